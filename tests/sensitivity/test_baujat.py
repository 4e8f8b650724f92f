"""Baujat's plot: contributions and influence by hand, for effects, clusters and every family."""

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.sensitivity import baujat
from tests.contract.test_results import EXAMPLES, example
from tests.sensitivity.test_refits import DATA, ES, V, Y, by_hand, model


def test_values_of_bcg() -> None:
    """baujat(rma(yi, vi, mods=~ablat, weights=1:13, test="knha")) of metafor 3.8-1, dat.bcg in log RR."""
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"))
    found = baujat(mx.RandomEffects(es, "latitude", weights=np.arange(1.0, 14.0)).fit())
    np.testing.assert_allclose(found.contribution[[0, 6]], [0.01180604176, 5.98184490961], rtol=1e-4)
    np.testing.assert_allclose(found.influence[[0, 6]], [5.629610621e-05, 2.304401174], rtol=1e-4)


@pytest.mark.parametrize("method", ["EE", "REML"])
def test_single_effects_by_hand(method) -> None:
    fit = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(method, test="z")
    found = baujat(fit)
    np.testing.assert_allclose(found.contribution, (Y - fit.estimate) ** 2 / (V + fit.tau2))
    if method == "EE":
        assert found.contribution.sum() == pytest.approx(fit.q.statistic)
    for i in range(8):
        less = mx.RandomEffects(mx.EffectSizes(np.delete(Y, i), np.delete(V, i))).fit(method, test="z")
        moved = (fit.estimate - less.estimate) ** 2 / less.cov[0, 0]
        assert found.influence[i] == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("moderators", [None, "dose"])
def test_clusters_by_hand(moderators) -> None:
    fit = model(moderators).fit()
    found = baujat(fit, "study")
    assert found.sizes.tolist() == [2, 2, 1, 1, 1, 1]
    x = fit.design.matrix(8)
    for g, name in enumerate("abcdef"):
        rows = np.flatnonzero(DATA["study"] == name)
        less = by_hand(np.setdiff1d(np.arange(8), rows), moderators).fit()
        residual = Y[rows] - x[rows] @ fit.beta
        assert found.contribution[g] == pytest.approx((residual**2 / (V[rows] + fit.tau2)).sum())
        moved = x[rows] @ (fit.beta - less.beta)
        spread = np.linalg.pinv(x[rows] @ less.cov @ x[rows].T, rcond=1e-9)
        assert found.influence[g] == pytest.approx(moved @ spread @ moved, rel=1e-5)


def test_effects_of_one_study_depend_on_each_other_in_a_multilevel_fit() -> None:
    fit = mx.Multilevel(ES).fit("ML")
    found = baujat(fit)
    between, within = fit.component_values.values()
    total = np.diag(V[:2] + within) + between
    residual = Y[:2] - fit.estimate
    assert found.contribution[0] == pytest.approx(residual @ np.linalg.solve(total, residual), rel=1e-9)
    less = mx.Multilevel(ES.select(np.arange(2, 8))).fit("ML")
    moved = (fit.estimate - less.estimate) ** 2 / less.cov[0, 0]
    assert found.influence[0] == pytest.approx(moved, rel=1e-4)
    assert baujat(fit, "effect").contribution.size == 8


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_family(kind) -> None:
    fit = example(kind, next(iter(EXAMPLES[kind])))
    if kind == "ImputedResults":
        with pytest.raises(mx.errors.InputError, match="likelihood"):
            baujat(fit)
        return
    found = baujat(fit)
    assert found.labels == tuple("abcdef")
    assert np.isfinite(found.influence).all()
    known = np.isfinite(found.contribution)
    silent = ("CensoredResults", "MantelHaenszelResults", "PetoResults", "ExactConditionalResults")
    silent += ("BetaBinomialResults", "CountGLMMResults", "ArmBasedResults")
    assert known.all() == (kind not in silent)  # a bound, or no event, has no residual
    assert known[:4].all()
    assert found.sentence in found.to_text()
    assert list(found.to_frame()) == ["effects", "contribution", "influence"]


def test_a_study_that_alone_determines_a_moderator_has_no_influence_with_the_reason() -> None:
    data = pd.DataFrame({"g": ["a"] * 7 + ["b"], "study": list("stuvwxyz")})
    found = baujat(mx.RandomEffects(mx.EffectSizes(Y, V, data=data), "g").fit())
    assert np.flatnonzero(np.isnan(found.influence)).tolist() == list(found.reasons) == [7]
    assert "z: 7 rows cannot determine gb" in found.to_text()


def test_wrong_inputs_are_said() -> None:
    with pytest.raises(mx.errors.InputError):
        baujat("fit")
    with pytest.raises(mx.errors.UnknownChoiceError):
        baujat(model().fit(), "lab ")
    with pytest.raises(mx.errors.TooFewStudiesError):
        baujat(mx.RandomEffects(mx.EffectSizes([0.2], [0.1])).fit("EE"))


def test_one_that_leads_in_both_is_named_once() -> None:
    es = mx.EffectSizes([0.2, 0.3, 0.1, 1.4], [0.02, 0.03, 0.02, 0.02], labels=list("abcd"))
    assert mx.sensitivity.baujat(mx.RandomEffects(es).fit(method="EE")).sentence == (
        "d contributes most to the heterogeneity and moves the fitted values most."
    )
