"""Draws have the mean and the covariance matrix of the model, and depend on seed and position alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.runs.counter import normals
from metaexo.sensitivity import simulate
from tests.contract.test_results import effects, example

ES = effects()
SAME_STUDY = np.equal.outer(np.array(ES.study), np.array(ES.study))
SOURCE = ES.column("source").to_numpy()
X = np.column_stack([np.ones(8), ES.column("dose")])
DRAWS = 20_000


def check(draws: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> None:
    """Raise if moments of draws are farther than 4.5 Monte Carlo errors from what they should be."""
    variance = np.diagonal(cov)
    error = np.sqrt(variance / len(draws))
    assert (np.abs(draws.mean(axis=0) - mean) <= 4.5 * error + 1e-12).all()
    away = draws - mean
    found = away.T @ away / len(draws)
    error = np.sqrt((np.outer(variance, variance) + cov**2) / len(draws))
    assert (np.abs(found - cov) <= 4.5 * error + 1e-12).all()
    assert np.abs(away**4).mean(axis=0) == pytest.approx(3 * variance**2, rel=0.15)


def test_one_level_draws_are_those_of_the_formula() -> None:
    for name in ("mean", "moderators", "equal effects", "given tau2", "robust mean"):
        fit = example("RandomEffectsResults", name)
        tau2 = {"equal effects": 0.0, "given tau2": 0.05}.get(name, fit.tau2)
        x = fit.design.matrix(8)
        expected = x @ fit.beta + np.sqrt(ES.v + tau2) * normals(3, 0, 5, per_item=8)
        np.testing.assert_allclose(simulate(fit, 5, seed=3), expected, rtol=1e-12)


def test_a_draw_depends_on_its_place_and_the_seed_alone() -> None:
    for fit in (example("RandomEffectsResults", "mean"), example("MultilevelResults", "correlation")):
        many = simulate(fit, 3000, seed=7)
        np.testing.assert_allclose(simulate(fit, 4, seed=7), many[:4], rtol=1e-13)
        assert simulate(fit).shape == (1, 8)
        assert np.unique(many[:, 0]).size == 3000
        assert (simulate(fit, 4, seed=8) != many[:4]).all()


def test_multilevel_draws_have_the_covariance_of_the_model() -> None:
    fit = mx.Multilevel(
        ES, "study/effect", fix={"study": 0.05, "study/effect": 0.02}, moderators="dose"
    ).fit()
    m = np.diag(ES.v + 0.02) + 0.05 * SAME_STUDY
    check(simulate(fit, DRAWS), X @ fit.beta, m)


def test_correlated_sampling_errors_and_random_effects() -> None:
    v = 0.6 * np.sqrt(np.outer(ES.v, ES.v)) * SAME_STUDY
    np.fill_diagonal(v, ES.v)
    v[6, 7] = v[7, 6] = np.sqrt(ES.v[6] * ES.v[7])  # singular: two studies share all of their error
    term = mx.RandomTerm("study", "source", "CS")
    held = {"source|study:tau2": 0.04, "source|study:rho": 0.5}
    fit = mx.Multilevel(ES, term, V=v, fix=held).fit()
    shared = np.where(SOURCE[:, None] == SOURCE, 1.0, 0.5) * SAME_STUDY
    check(simulate(fit, DRAWS, seed=2), np.full(8, fit.beta[0]), v + 0.04 * shared)


def test_related_levels() -> None:
    names = sorted(set(ES.study))
    related = np.fromfunction(lambda i, j: 0.5 ** abs(i - j), (6, 6))
    term = mx.RandomTerm("study", relation=pd.DataFrame(related, index=names, columns=names))
    fit = mx.Multilevel(ES, term, fix={"study": 0.05}).fit()
    at = np.array([names.index(one) for one in ES.study])
    m = np.diag(ES.v) + 0.05 * related[np.ix_(at, at)]
    check(simulate(fit, DRAWS, seed=4), np.full(8, fit.beta[0]), m)


def test_tau2_of_its_own_for_each_effect_and_each_stratum() -> None:
    fit = example("LocationScaleResults", "both")
    expected = X @ fit.beta + np.sqrt(ES.v + fit.tau2_by_effect) * normals(0, 0, 3, per_item=8)
    np.testing.assert_allclose(simulate(fit, 3), expected, rtol=1e-12)
    strata = example("StratifiedResults", "separate")
    tau2 = np.where(SOURCE == "milk", strata["milk"].fit.tau2, strata["plant"].fit.tau2)
    mean = np.where(SOURCE == "milk", strata["milk"].pooled.estimate, strata["plant"].pooled.estimate)
    expected = mean + np.sqrt(ES.v + tau2) * normals(0, 0, 3, per_item=8)
    np.testing.assert_allclose(simulate(strata, 3), expected, rtol=1e-12)


def test_a_stratum_without_a_fit_has_no_draws() -> None:
    data = pd.DataFrame({"source": ["milk", "milk", "milk", "plant"]})
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04], data=data)
    found = simulate(mx.stratify(es, "source"), 2)
    np.testing.assert_array_equal(np.isnan(found), [[False, False, False, True]] * 2)


def test_censored_fits_give_true_effects() -> None:
    fit = example("CensoredResults", "moderators")
    expected = fit.design.matrix(fit.k) @ fit.beta + fit.tau * normals(0, 0, 3, per_item=fit.k)
    np.testing.assert_allclose(simulate(fit, 3), expected, rtol=1e-12)


def test_what_generates_no_effects_says_what_to_do() -> None:
    for fit, words in (
        ([1.0], "a fitted model"),
        (example("MomentResults", "correlated"), "Multilevel"),
        (example("ImputedResults", "mean"), "results.likelihood"),
        (example("AttributionResults", "divided"), "results.model"),
    ):
        with pytest.raises(InputError, match=words):
            simulate(fit)
    fit = example("RandomEffectsResults", "mean")
    for wrong in ({"draws": 0}, {"draws": 2.5}, {"draws": "many"}, {"seed": -1}, {"seed": None}):
        with pytest.raises(InputError, match="whole number"):
            simulate(fit, **wrong)
