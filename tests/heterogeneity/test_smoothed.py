"""Smoothed between-study variances: between one for all and one for each, and where they must be either."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity.strata.smoothed import STEP, Marginal, _grid, _profile, smooth
from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.problem import make_batch
from tests.heterogeneity.helpers import effects

SIZES = {"a": 8, "b": 6, "c": 5, "d": 7}
UNLIKE = {"a": 0.0, "b": 2.0, "c": 0.05, "d": 0.6}


def batches(es: mx.EffectSizes) -> list:
    parts = es.data["source"].to_numpy()
    return [make_batch(es.y[parts == name], es.v[parts == name]) for name in SIZES]


def test_smoothed_variances_lie_between_each_by_itself_and_one_for_all() -> None:
    es = effects(SIZES, tau2=UNLIKE)
    result = mx.stratify(es, by="source", tau2="smoothed")
    found = result.smoothing
    assert found.omega > 0
    assert found.tau2.std() < found.own.std()
    assert found.tau2.min() > found.own.min()
    assert found.tau2.max() < found.own.max()
    assert (found.low <= found.tau2).all()
    assert (found.tau2 <= found.high).all()
    for name, tau2 in zip(found.names, found.tau2, strict=True):
        assert result[name].fit.tau2 == tau2
        assert result[name].heterogeneity.tau2.estimate == tau2
        assert result[name].heterogeneity.method == "empirical Bayes"


def test_strata_that_differ_by_chance_share_one_variance() -> None:
    es = effects(SIZES, tau2=0.3, seed=3)
    result = mx.stratify(es, by="source", tau2="smoothed")
    common = mx.stratify(es, by="source", tau2="common")
    assert result.smoothing.omega == 0
    for s, other in zip(result.strata, common.strata, strict=True):
        assert s.fit.tau2 == other.fit.tau2
        assert tuple(s.heterogeneity.tau2) == tuple(other.heterogeneity.tau2)
    assert "differ no more than chance" in str(result)


def test_strata_without_any_spread_stay_without() -> None:
    data = pd.DataFrame({"source": ["a"] * 4 + ["b"] * 4})
    es = mx.EffectSizes([0.1, 0.12, 0.11, 0.1, 0.5, 0.49, 0.51, 0.5], [0.1] * 8, data=data)
    found = mx.stratify(es, by="source", tau2="smoothed").smoothing
    assert found.tau2.tolist() == [0.0, 0.0]


def test_the_marginal_likelihood_is_the_integral() -> None:
    parts = batches(effects(SIZES, tau2=UNLIKE))
    grid = _grid(parts, True)
    marginal = Marginal(grid, np.array([_profile(b, grid, True) for b in parts]))
    centre, omega = math.log(0.2), 1.1
    total = 0.0
    for batch in parts:
        top = float(log_likelihood(batch, np.array([0.2]), True)[0])

        def weighed(u: float, batch=batch, top=top) -> float:
            value = float(log_likelihood(batch, np.array([math.exp(u)]), True)[0])
            return math.exp(value - top) * norm.pdf(u, centre, omega)

        total += math.log(quad(weighed, centre - 9 * omega, centre + 9 * omega, epsrel=1e-10)[0]) + top
    # the grid adds STEP^2 / 12 to omega^2
    found = float(marginal.value(np.array(centre), np.array(math.sqrt(omega**2 - STEP**2 / 12))))
    assert found == pytest.approx(total, abs=1e-7)


def test_no_other_centre_and_omega_have_a_higher_likelihood() -> None:
    parts = batches(effects(SIZES, tau2=UNLIKE))
    grid = _grid(parts, True)
    marginal = Marginal(grid, np.array([_profile(b, grid, True) for b in parts]))
    centre, spread, value, slope = marginal.maximum()
    assert slope < 1e-4
    for c in np.linspace(centre - 6, centre + 6, 41):
        others = marginal.value(np.full(30, c), np.geomspace(0.05, 8, 30))
        assert others.max() <= value + 1e-9
    assert value == pytest.approx(float(marginal.value(np.array(centre), np.exp(spread))), abs=1e-12)


def test_quantiles_are_those_of_the_posterior() -> None:
    parts = batches(effects(SIZES, tau2=UNLIKE))
    grid = _grid(parts, True)
    marginal = Marginal(grid, np.array([_profile(b, grid, True) for b in parts]))
    centre, omega = math.log(0.2), 1.1
    batch = parts[3]
    top = float(log_likelihood(batch, np.array([0.2]), True)[0])

    def weighed(u: float) -> float:
        value = float(log_likelihood(batch, np.array([math.exp(u)]), True)[0])
        return math.exp(value - top) * norm.pdf(u, centre, omega)

    median = math.log(marginal.quantile(centre, omega, 0.5)[3])
    below = quad(weighed, centre - 9 * omega, median, epsrel=1e-9)[0]
    whole = quad(weighed, centre - 9 * omega, centre + 9 * omega, epsrel=1e-9)[0]
    assert below / whole == pytest.approx(0.5, abs=2e-4)


def test_a_stratum_with_few_studies_moves_more() -> None:
    rng = np.random.default_rng(8)
    v = np.full(60, 0.05)
    base = rng.normal(size=40)
    wild = base * np.sqrt(2.05)
    calm = rng.normal(size=17) * np.sqrt(0.1)
    names, y = ["large", "calm", "small"], [wild, calm, wild[[0, 7, 21]]]
    parts = [make_batch(part, v[: len(part)]) for part in y]
    found = smooth(names, parts, 0.8, True, 0.95)
    ratio = np.abs(np.log(found.tau2 / found.own))
    assert found.omega > 0
    assert ratio[2] > ratio[0]


def test_smoothing_beats_each_by_itself_where_strata_are_small() -> None:
    # error of tau over strata of 3 to 6 studies, log tau2 normal with an SD of 0.7 between strata
    rng = np.random.default_rng(5)
    gain = []
    for _ in range(40):
        sizes = rng.integers(3, 7, 5)
        true = np.exp(rng.normal(math.log(0.15), 0.7, 5))
        v = [rng.uniform(0.02, 0.1, k) for k in sizes]
        y = [rng.normal(0, np.sqrt(t + part)) for t, part in zip(true, v, strict=True)]
        x = np.repeat(np.eye(5), sizes, axis=0)
        es = mx.EffectSizes(np.concatenate(y), np.concatenate(v))
        common = mx.RandomEffects(es, x, intercept=False).fit().tau2
        parts = [make_batch(a, b) for a, b in zip(y, v, strict=True)]
        found = smooth(list("abcde"), parts, common, True, 0.95)
        errors_of = [np.mean((np.sqrt(t) - np.sqrt(true)) ** 2) for t in (found.own, found.tau2)]
        gain.append(errors_of[0] - errors_of[1])
    gain = np.array(gain)
    assert gain.mean() > 4 * gain.std(ddof=1) / math.sqrt(len(gain))


def test_two_studies_rest_on_the_other_strata_and_words_say_so() -> None:
    es = effects({"a": 8, "b": 2}, tau2=0.3)
    assert "rests mostly on the other strata" in mx.stratify(es, by="source", tau2="smoothed")["b"].note


def test_one_stratum_alone_has_nothing_to_be_drawn_to() -> None:
    es = effects({"a": 8, "b": 1}, tau2=0.3)
    result = mx.stratify(es, by="source", tau2="smoothed")
    assert result.smoothing is None
    assert result["a"].fit.tau2 == mx.stratify(es, by="source")["a"].fit.tau2


def test_smoothing_needs_a_likelihood() -> None:
    es = effects(SIZES)
    with pytest.raises(errors.InputError, match="REML or ML"):
        mx.stratify(es, by="source", tau2="smoothed", method="DL")
    ml = mx.stratify(es, by="source", tau2="smoothed", method="ML").smoothing
    assert ml.own.tolist() == [
        mx.RandomEffects(s.effects).fit("ML").tau2 for s in mx.stratify(es, by="source").strata
    ]
