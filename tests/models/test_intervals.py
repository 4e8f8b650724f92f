"""Intervals for heterogeneity: by definition, for every scale, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.models.univariate.intervals import INTERVALS

Y = [0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1]
V = [0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05]


def fit(method: str = "REML", **model: object) -> mx.models.RandomEffectsResults:
    return mx.RandomEffects(mx.EffectSizes(Y, V), **model).fit(method=method, test="z")


@pytest.mark.parametrize("method", sorted(INTERVALS))
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_scales_are_one_interval(method: str, level: float) -> None:
    result = fit("GENQ", weights=np.sqrt(V)) if method == "generalised-q" else fit()
    found = result.conf_int_heterogeneity(method, level)
    assert found.tau2.low <= found.tau2.estimate <= found.tau2.high
    for tau2, tau, i2, h2 in zip(found.tau2, found.tau, found.i2, found.h2, strict=True):
        assert tau == pytest.approx(math.sqrt(tau2))
        assert i2 == pytest.approx(tau2 / (tau2 + result.typical_variance), abs=1e-15)
        assert h2 == pytest.approx(1 + tau2 / result.typical_variance)


@pytest.mark.parametrize("method", sorted(set(INTERVALS) - {"generalised-q"}))
def test_a_higher_level_is_wider(method: str) -> None:
    narrow, wide = (fit().conf_int_heterogeneity(method, level).tau2 for level in (0.8, 0.99))
    assert wide.low <= narrow.low
    assert narrow.high < wide.high


def test_wald_intervals_are_symmetric_on_their_scale() -> None:
    result = fit()
    low, high = result.conf_int_heterogeneity("wald", 0.5).tau2[1:]
    assert (low + high) / 2 == pytest.approx(result.tau2)
    low, high = result.conf_int_heterogeneity("wald-log", 0.5).tau2[1:]
    assert low * high == pytest.approx(result.tau2**2)
    low, high = result.conf_int_heterogeneity("wald-sqrt", 0.5).tau[1:]
    assert (low + high) / 2 == pytest.approx(result.tau)


def test_with_inverse_variance_weights_the_lower_generalised_bound_is_that_of_cochran() -> None:
    # at tau2 = 0 and with a = 1/v the weighted Q is Cochran's Q: both tests decide alike about 0
    es = mx.EffectSizes(0.4 * np.array(Y), V)
    result = mx.RandomEffects(es, weights=1 / np.array(V)).fit("GENQ")
    level = 1 - 2 * result.q.pvalue
    assert result.conf_int_heterogeneity("generalised-q", level * (1 + 1e-9)).tau2.low == 0
    assert result.conf_int_heterogeneity("generalised-q", level * (1 - 1e-9)).tau2.low > 0


def test_at_zero_the_scales_without_a_standard_error_exclude_nothing_and_say_so() -> None:
    result = mx.RandomEffects(mx.EffectSizes([0.2, 0.21, 0.19, 0.2], [0.2, 0.3, 0.2, 0.3])).fit()
    for method in ("wald-log", "wald-sqrt"):
        found = result.conf_int_heterogeneity(method)
        assert found.tau2 == (0, 0, math.inf)
        assert (found.i2.high, found.h2.high) == (1, math.inf)
        assert "nothing is excluded" in found.note


@pytest.mark.parametrize(
    ("result", "method", "words"),
    [
        (lambda: fit("DL"), "profile-likelihood", "REML"),
        (fit, "generalised-q", "weights"),
        (lambda: fit(moderators=range(8)), "higgins-thompson", "moderators"),
        (lambda: fit(method="EE"), "wald", "no standard error"),
        (fit, "q-profil", "q-profile"),
    ],
)
def test_what_does_not_go_together_is_said(result: object, method: str, words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        result().conf_int_heterogeneity(method)


@pytest.mark.long
def test_coverage_of_the_exact_intervals_is_their_level() -> None:
    # Q-profile and generalised Q are exact for normal effects; 400 data sets of 6 studies
    rng = np.random.default_rng(11)
    tau2, level, n = 0.2, 0.8, 400
    v, a = rng.uniform(0.05, 0.5, 6), np.array([1.0, 5, 2, 8, 3, 1])
    hits = {"q-profile": 0, "generalised-q": 0}
    for _ in range(n):
        es = mx.EffectSizes(rng.normal(0, np.sqrt(v + tau2)), v)
        result = mx.RandomEffects(es, weights=a).fit("GENQ", "z")
        for method in hits:
            found = result.conf_int_heterogeneity(method, level)
            hits[method] += not found.empty and found.tau2.low <= tau2 <= found.tau2.high
    for count in hits.values():
        assert count / n == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / n))


@pytest.mark.parametrize("method", sorted(set(INTERVALS) - {"generalised-q"}))
def test_the_table_of_heterogeneity_has_the_interval_of_tau2(method: str) -> None:
    result = fit()
    found = result.conf_int_heterogeneity(method, 0.9).tau2
    table = result.heterogeneity(0.9, method)
    row = table.loc["between studies"]
    assert (row["tau2"], row["low"], row["high"]) == tuple(found)
    assert (row["tau"], row["i2"], row["share"]) == (result.tau, result.i2, 1.0)
    assert table.attrs["level"] == 0.9


def test_the_table_of_heterogeneity_takes_the_interval_that_fits_the_estimator() -> None:
    assert fit().heterogeneity().attrs["method"] == "q-profile"
    weighted = fit("GENQ", weights=np.sqrt(V))
    assert weighted.heterogeneity().attrs["method"] == "generalised-q"
    assert (
        weighted.heterogeneity()["low"].iloc[0] == weighted.conf_int_heterogeneity("generalised-q").tau2.low
    )
    equal = fit("EE").heterogeneity().iloc[0]
    assert (equal["tau2"], equal["i2"]) == (0.0, fit("EE").i2)
    assert np.isnan([equal["low"], equal["high"], equal["share"]]).all()
    zero = mx.RandomEffects(mx.EffectSizes(Y, [0.0, *V[1:]])).fit().heterogeneity()
    assert np.isnan(zero["low"].iloc[0])
    assert "a sampling variance is zero" in zero.attrs["note"]
    with pytest.raises(errors.UnknownChoiceError, match="q-profile"):
        fit().heterogeneity(method="q-profil")
