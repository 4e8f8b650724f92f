"""Trim and fill."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.bias.trim_and_fill import _iterate, _mean
from metaexo.errors import ConvergenceError, InputError, NotIdentifiableError, TooFewStudiesError
from tests.contract.test_results import CASES, example

Y = np.array([0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.8, 0.05, 0.22])
V = np.array([0.01, 0.012, 0.02, 0.021, 0.05, 0.06, 0.1, 0.004, 0.03])


def by_hand(y, v, estimator, side):
    """Return k0 and the trimmed mean by plain loops, with equal effects; None where Q0 is not defined."""
    sign = 1 if side == "left" else -1
    rows = sorted(range(len(y)), key=lambda i: (sign * y[i], i))
    n, k0 = len(y), 0
    while True:
        left = rows[: n - k0]
        mean = sum(y[i] / v[i] for i in left) / sum(1 / v[i] for i in left)
        away = [sign * (y[i] - mean) for i in rows]
        ranked = sorted(range(n), key=lambda j: (abs(away[j]), j))
        positive = [away[j] > 0 for j in ranked]
        total = sum(rank for rank, above in enumerate(positive, 1) if above)
        run = positive[::-1].index(False)
        inner = 2 * n**2 - 4 * total + 0.25
        if estimator == "Q0" and inner < 0:
            return None
        raw = {
            "L0": (4 * total - n * (n + 1)) / (2 * n - 1),
            "R0": run - 1,
            "Q0": n - 0.5 - math.sqrt(abs(inner)),
        }[estimator]
        new = max(0, round(raw))
        if new == k0:
            return k0, mean
        k0 = new


@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seed", range(6))
def test_a_computation_by_hand(estimator, side, seed):
    draws = np.random.default_rng(seed)
    v = draws.uniform(0.01, 0.3, 12)
    y = draws.normal(0.2, np.sqrt(v)) + (1 if side == "left" else -1) * np.sqrt(v) * draws.uniform(0, 2, 12)
    expected = by_hand(y, v, estimator, side)
    fit = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="EE")
    if expected is None:
        with pytest.raises(NotIdentifiableError, match="Q0 is not defined"):
            mx.bias.trim_and_fill(fit, estimator, side)
        return
    k0, mean = expected
    found = mx.bias.trim_and_fill(fit, estimator, side)
    assert (found.k0, found.side, found.side_given) == (k0, side, True)
    order = np.argsort(y if side == "left" else -y)[12 - k0 :]
    assert found.filled.y[12:] == pytest.approx(2 * mean - y[order])
    assert found.filled.v[12:] == pytest.approx(v[order])
    assert found.is_filled.tolist() == [False] * 12 + [True] * k0
    whole = np.average(found.filled.y, weights=1 / found.filled.v)
    assert found.estimate == pytest.approx(whole)
    assert found.unadjusted.estimate == pytest.approx(np.average(y, weights=1 / v))
    if estimator == "R0":
        assert found.k0_se == pytest.approx(math.sqrt(2 * k0 + 2))
        assert found.k0_pvalue == pytest.approx(stats.binom.cdf(0, k0 + 1, 0.5))
    else:
        assert math.isnan(found.k0_pvalue)


# k0, its SE, estimate, SE and tau2 of trimfill(rma(Y, V, method="DL")) by metafor 3.8-1
R_VALUES = [4, 1.8359220727443322, 0.1178381447097320, 0.0686277467595538, 0.0310730108282289]


def test_values_of_r():
    es = mx.EffectSizes(Y, V)
    ours = mx.bias.trim_and_fill(mx.RandomEffects(es).fit(method="DL", test="z"))
    values = [ours.k0, ours.k0_se, ours.estimate, ours.se, ours.tau2]
    assert values == pytest.approx(R_VALUES, rel=1e-9)


@pytest.mark.parametrize("method", ["EE", "DL", "HE", "HS", "SJ", "ML", "REML", "PM", "PMM"])
def test_every_estimator_of_tau2_fits_its_own_trimmed_means(method):
    fit = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(method=method, test="z")
    found = mx.bias.trim_and_fill(fit, side="left")
    assert found.fit.method == method
    assert found.k0 > 0
    order = np.argsort(Y)
    left = order[: Y.size - found.k0]
    trimmed = mx.RandomEffects(mx.EffectSizes(Y[left], V[left])).fit(method=method, test="z")
    mirrored = 2 * trimmed.estimate - Y[order[Y.size - found.k0 :]]
    assert found.filled.y[found.is_filled] == pytest.approx(mirrored, rel=1e-9)


def test_weights_and_a_given_tau2_go_along():
    w = np.linspace(1, 3, Y.size)
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), weights=w).fit(method="GENQ", test="z")
    found = mx.bias.trim_and_fill(fit, side="left")
    extreme = np.argsort(Y)[Y.size - found.k0 :]
    assert found.fit.weighting == pytest.approx(np.concatenate((w, w[extreme])))
    assert found.estimate == pytest.approx(np.average(found.filled.y, weights=found.fit.weighting))
    given = mx.bias.trim_and_fill(mx.RandomEffects(mx.EffectSizes(Y, V)).fit(tau2=0.3), side="left")
    assert given.tau2 == 0.3
    weights = 1 / (given.filled.v + 0.3)
    assert given.estimate == pytest.approx(np.average(given.filled.y, weights=weights))
    t = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(test="t", df=4)
    assert mx.bias.trim_and_fill(t).fit.df_test == 4


@pytest.mark.parametrize("factor", [1e-8, 1e7])
@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
def test_units_origin_and_direction_do_not_matter(factor, estimator):
    y = Y + np.array([0, 0, 0, -0.3, 0, 0, 0.2, 0.2, 0])
    plain = mx.bias.trim_and_fill(mx.RandomEffects(mx.EffectSizes(y, V)).fit(), estimator)
    assert (plain.side, plain.k0) == ("left", 2)
    fit = mx.RandomEffects(mx.EffectSizes(-factor * y + 3 * factor, factor**2 * V)).fit()
    other = mx.bias.trim_and_fill(fit, estimator)
    assert (other.k0, other.side) == (plain.k0, "right")
    assert other.estimate == pytest.approx(factor * (3 - plain.estimate), rel=1e-7)
    assert other.se == pytest.approx(factor * plain.se, rel=1e-6)


def test_the_side_is_chosen_by_the_slope():
    x = np.column_stack((np.ones(Y.size), np.sqrt(V)))
    for sign, side in ((1, "left"), (-1, "right")):
        slope = np.linalg.lstsq(x / np.sqrt(V)[:, None], sign * Y / np.sqrt(V), rcond=None)[0][1]
        found = mx.bias.trim_and_fill(mx.RandomEffects(mx.EffectSizes(sign * Y, V)).fit(method="EE"))
        assert (found.side, found.side_given) == (side, False)
        assert (slope < 0) == (side == "right")


def test_equal_standard_errors_choose_no_side():
    fit = mx.RandomEffects(mx.EffectSizes(Y, np.full(9, 0.02))).fit()
    with pytest.raises(InputError, match='side="left"'):
        mx.bias.trim_and_fill(fit)
    assert mx.bias.trim_and_fill(fit, side="left").k0 >= 0


@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
def test_equal_effects_miss_nothing(estimator):
    found = mx.bias.trim_and_fill(mx.EffectSizes([0.3] * 6, V[:6]), estimator, "left")
    assert (found.k0, found.filled.k, found.estimate) == (0, 6, pytest.approx(0.3))
    assert found.fit is found.unadjusted


def test_a_symmetric_funnel_misses_nothing():
    """Effects that are mirror images by construction have ranks that rounding must not decide."""
    y, v = [0.1, 0.2, 0.3, 0.4, 0.5], [0.01] * 5
    counts = {mx.bias.trim_and_fill(mx.EffectSizes(y, v), "L0", side).k0 for side in ("left", "right")}
    shifted = {
        mx.bias.trim_and_fill(mx.EffectSizes(np.array(y) + 0.7, v), "L0", side).k0
        for side in ("left", "right")
    }
    assert counts == shifted


def test_q0_without_a_real_root():
    """All but the smallest effect are above the mean of the trimmed ones, and far away."""
    y, v = [0.0, 1.0, 1.1, 1.2, 1.3], [1e-6, 1, 1, 1, 1]
    with pytest.raises(NotIdentifiableError, match="Q0 is not defined"):
        mx.bias.trim_and_fill(mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="EE"), "Q0", "left")


def test_a_circle_is_found():
    """Trimming can move a random-effects mean either way, so that k0 may come back."""
    draws = np.random.default_rng(4)
    v = np.exp(draws.normal(-2, 1.5, (2000, 8)))
    y = np.sort(draws.normal(0, np.sqrt(v + 0.1)) + np.sqrt(v) * draws.exponential(1, v.shape), axis=1)
    found = _iterate(y, v, None, _mean("DL"), "L0")
    circle = np.flatnonzero(found.circle)
    assert 0 < circle.size < 20
    assert (found.settled | found.circle).all()
    first = circle[0]
    fit = mx.RandomEffects(mx.EffectSizes(y[first], v[first])).fit(method="DL")
    with pytest.raises(ConvergenceError, match="does not settle"):
        mx.bias.trim_and_fill(fit, "L0", "left")


@pytest.mark.parametrize("method", ["EE", "DL", "REML", "SJ"])
@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
def test_many_at_once_as_one_by_one(method, estimator):
    draws = np.random.default_rng(5)
    v = np.exp(draws.normal(-2, 1, (40, 9)))
    y = np.sort(draws.normal(0, np.sqrt(v)) + np.sqrt(v) * draws.exponential(1, v.shape), axis=1)
    whole = _iterate(y, v, None, _mean(method), estimator)
    assert len(set(whole.k0.tolist())) > 1
    for i in range(40):
        one = _iterate(y[i : i + 1], v[i : i + 1], None, _mean(method), estimator)
        assert (one.k0[0], one.settled[0]) == (whole.k0[i], whole.settled[i])
        assert one.mean[0] == pytest.approx(whole.mean[i], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("method", "estimator"), [("REML", "L0"), ("DL", "R0"), ("EE", "Q0")])
def test_many_meta_analyses_have_the_numbers_of_single_ones(method, estimator, side):
    draws = np.random.default_rng(6)
    v = np.exp(draws.normal(-2, 1, (30, 8)))
    y = draws.normal(0.3, np.sqrt(v)) + np.sqrt(v) * draws.exponential(1, v.shape)
    y = y if side == "left" else -y
    many = mx.bias.trim_and_fill_many(y, v, estimator=estimator, side=side, method=method, test="z")
    assert (many.k0 > 0).any()
    for i in range(30):
        fit = mx.RandomEffects(mx.EffectSizes(y[i], v[i])).fit(method=method, test="z")
        assert many.unadjusted.estimate[i] == pytest.approx(fit.estimate, rel=1e-9)
        if not many.settled[i]:
            assert (many.k0[i], math.isnan(many.fits.estimate[i])) == (-1, True)
            with pytest.raises((NotIdentifiableError, ConvergenceError)):
                mx.bias.trim_and_fill(fit, estimator, side)
            continue
        one = mx.bias.trim_and_fill(fit, estimator, side)
        assert many.k0[i] == one.k0
        ours = [many.fits.estimate[i], many.fits.se[i], many.fits.low[i], many.fits.tau2[i]]
        assert ours == pytest.approx([one.estimate, one.se, one.low, one.tau2], rel=1e-7, abs=1e-10)


def test_wrong_inputs_of_many():
    for choices in ({"side": None}, {"estimator": "L1"}, {"method": "XX"}):
        with pytest.raises(InputError):
            mx.bias.trim_and_fill_many([Y], [V], **choices)
    for y, v in (([Y], [V[:3]]), (Y, V), ([Y], [-V]), ("y", "v")):
        with pytest.raises(InputError):
            mx.bias.trim_and_fill_many(y, v)


def test_filled_effects_are_studies_of_their_own_without_data():
    es = mx.EffectSizes(
        Y,
        V,
        labels=[f"Li {i}" for i in range(9)],
        study=list("aabbccdde"),
    ).with_columns(n=list(range(9)), source=["MSC"] * 9, open=[True] * 9)
    found = mx.bias.trim_and_fill(es, side="left")
    assert found.k0 > 0
    filled = found.filled
    assert filled.m == es.m + found.k0
    assert all(label.startswith("filled: Li ") for label in filled.labels[9:])
    assert filled.data[9:].isna().all().all()
    assert filled.data["n"][:9].tolist() == list(range(9))
    assert found.fit.effects is filled
    assert "taken as independent" in " ".join(found.cautions())
    mx.plots.forest(found.fit)
    mx.plots.funnel(found.fit)


def test_the_table_and_the_sentence():
    ratio = mx.bias.trim_and_fill(mx.EffectSizes(Y, V, "RATIO"), side="left")
    table = ratio.to_frame()
    assert table["filled"].tolist() == [0, ratio.k0]
    assert table["k"].tolist() == [9, 9 + ratio.k0]
    assert table["ratio"].to_numpy() == pytest.approx(np.exp([ratio.unadjusted.estimate, ratio.estimate]))
    assert f"{math.exp(ratio.estimate):.3f} (95% CI" in ratio.sentence
    assert "trim and fill (L0)" in ratio.to_text()
    none = mx.bias.trim_and_fill(mx.EffectSizes(-Y, V), side="left")
    assert none.k0 == 0
    assert "no missing study on the left" in none.sentence


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.trim_and_fill(fit)
        return
    found = mx.bias.trim_and_fill(fit)
    assert found.sentence in found.to_text()
    assert found.filled.k == found.k + found.k0


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
def test_few_studies(k, estimator):
    found = mx.bias.trim_and_fill(mx.EffectSizes(Y[-k:], V[-k:]), estimator)
    assert 0 <= found.k0 < k
    assert "fewer than 10" in " ".join(found.cautions())


def test_wrong_inputs():
    es = mx.EffectSizes(Y, V)
    for choices in ({"estimator": "L1"}, {"side": "top"}, {"estimator": None}, {"side": 1}):
        with pytest.raises(InputError):
            mx.bias.trim_and_fill(es, **choices)
    with pytest.raises(TooFewStudiesError):
        mx.bias.trim_and_fill(mx.EffectSizes([0.1], [0.1]))
    with pytest.raises(InputError, match="zero"):
        mx.bias.trim_and_fill(mx.EffectSizes([0.1, 0.2, 0.4], [0.0, 0.1, 0.1]))
