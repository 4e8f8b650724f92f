"""Refits of multilevel models in one call are those made one by one."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.models.multilevel.batched import fits_without, is_batched

rng = np.random.default_rng(8)
SIZES = [1, 2, 3, 5, 2, 4, 1, 3, 2]
LAB = np.repeat(np.arange(len(SIZES)), SIZES)
K = LAB.size
V = rng.uniform(0.02, 0.1, K)
DATA = pd.DataFrame(
    {"lab": LAB.astype(str), "outcome": rng.choice(["x", "y"], K), "dose": rng.normal(size=K)}
)
Y = 0.3 + 0.4 * rng.normal(size=len(SIZES))[LAB] + 0.3 * rng.normal(size=K) + np.sqrt(V) * rng.normal(size=K)
ES = mx.EffectSizes(Y, V, data=DATA, study=DATA["lab"])
MODELS = {
    "nested": (mx.Multilevel(ES, "study/effect"), "REML", "t"),
    "moderator": (mx.Multilevel(ES, "study/effect", moderators="dose"), "ML", "z"),
    "held": (mx.Multilevel(ES, "study/effect", fix={"study": 0.1}), "REML", "z"),
    "one variance per outcome": (mx.Multilevel(ES, mx.RandomTerm("study", "outcome", "DIAG")), "REML", "t"),
    "correlated errors": (
        mx.Multilevel(ES, "study/effect", mx.effects.covariance_blocks(V, LAB, correlation=0.5)),
        "REML",
        "t",
    ),
}
NUMBERS = ("estimate", "se", "low", "high", "pvalue", "tau2", "i2", "h2", "q", "q_df", "q_pvalue", "k", "m")


@pytest.mark.parametrize("name", MODELS)
def test_leave_one_out_is_a_refit_of_the_others(name: str) -> None:
    model, method, test = MODELS[name]
    fit = model.fit(method, test, 0.9)
    assert is_batched(fit)
    found = mx.sensitivity.leave_one_out(fit)
    for i, label in enumerate(found.row_names[1]):
        one = mx.sensitivity.refit(fit, label != DATA["lab"].to_numpy())
        low, high = one.bounds()
        alone = {"beta": one.beta, "se": one.se, "cov": one.cov, "low": low, "high": high}
        alone |= {"statistic": one.wald_statistics, "pvalue": one.wald_pvalues, "tau2": one.tau2}
        alone |= {"i2": one.i2, "h2": one.h2, "q": one.q.statistic, "q_pvalue": one.q.pvalue}
        alone |= {"q_df": one.q.df[0], "k": one.k, "m": one.m}
        alone |= {"tau2_by_component": list(one.tau2_by_component.values())}
        for field, value in alone.items():
            np.testing.assert_allclose(getattr(found, field)[i], value, rtol=2e-6, atol=1e-8, err_msg=field)
    assert not found.reasons


def test_rows_that_repeat_are_fitted_alone() -> None:
    fit = MODELS["nested"][0].fit()
    counts = np.ones((3, K))
    counts[0, :3] = 0
    counts[1, 4] = 2
    found = mx.sensitivity.refits(fit, counts)
    np.testing.assert_allclose(found.beta[2], fit.beta, rtol=1e-8)
    rows = np.repeat(np.arange(K), counts[1].astype(int))
    other = mx.sensitivity.refit(fit, rows, copies=["0"] * 5 + ["1"] + ["0"] * (K - 5))
    assert found.beta[1] == pytest.approx(other.beta, rel=1e-8)


def test_terms_that_cannot_be_told_apart_any_more_have_no_fit() -> None:
    """Without the labs of several effects each lab has one; in one lab alone nothing is between labs."""
    fit = MODELS["nested"][0].fit()
    many = np.isin(LAB, np.flatnonzero(np.array(SIZES) > 1))
    sets = [np.flatnonzero(many), np.flatnonzero(LAB != 3), np.flatnonzero(LAB == 0)]
    assert fits_without(fit, sets).found.tolist() == [False, False, True]
    counts = np.ones((2, K))
    counts[0, sets[0]] = counts[1, sets[1]] = 0
    found = mx.sensitivity.refits(fit, counts)
    assert np.isnan(found.beta).all()
    assert set(found.reasons) == {0, 1}
    assert "one level" in found.reasons[1]


def test_parts_of_any_size_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = MODELS["moderator"][0].fit("ML")
    whole = mx.sensitivity.leave_one_out(fit, "effect")
    again = mx.sensitivity.leave_one_out(fit, "effect")
    np.testing.assert_array_equal(whole.beta, again.beta)
    monkeypatch.setattr(sys.modules["metaexo.sensitivity.refits"], "TOGETHER", 4)
    parts = mx.sensitivity.leave_one_out(fit, "effect")
    np.testing.assert_allclose(parts.beta, whole.beta, rtol=1e-12)
    np.testing.assert_allclose(parts.tau2, whole.tau2, rtol=1e-9)
