"""Exact conditional inference against exact rational arithmetic, R (values cited), scipy, and invariances."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

import metaexo as mx
from metaexo.effects import EventCounts
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.inputs import LevelOfCurve
from metaexo.numeric.counts import hypergeometric

EVENTS = np.array([[1, 4], [0, 2], [3, 5], [0, 0], [12, 9]])
SIZES = np.array([[50, 49], [30, 31], [61, 60], [20, 20], [80, 41]])
M = 10**6


def fit(events=EVENTS, sizes=SIZES, time: bool = False, test: str = "exact", level: float = 0.95):
    return mx.ExactConditional(EventCounts(events, sizes, person_time=time)).fit(test, level)


def polynomial(events, sizes, time: bool) -> tuple[int, list[Fraction]]:
    """Return the least sum and the coefficients of all sums, in rational numbers."""
    low, found = 0, [Fraction(1)]
    for (a, c), (n1, n2) in zip(np.asarray(events).tolist(), np.asarray(sizes).tolist(), strict=True):
        m = a + c
        first, last = (0, m) if time else (max(0, m - n2), min(n1, m))
        if time:
            one = [math.comb(m, i) * Fraction(n1, n2) ** i for i in range(m + 1)]
        else:
            one = [Fraction(math.comb(n1, i) * math.comb(n2, m - i)) for i in range(first, last + 1)]
        low += first
        product = [Fraction(0)] * (len(found) + len(one) - 1)
        for (i, x), (j, y) in itertools.product(enumerate(found), enumerate(one)):
            product[i + j] += x * y
        found = product
    return low, found


def probabilities(events, sizes, time: bool, psi: Fraction) -> tuple[int, list[Fraction]]:
    """Return the position of the observed sum, and the probabilities of all sums at a ratio."""
    low, c = polynomial(events, sizes, time)
    weight = [x * psi**i for i, x in enumerate(c)]
    total = sum(weight)
    return int(np.asarray(events)[:, 0].sum()) - low, [x / total for x in weight]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("time", [False, True])
def test_tails_estimate_and_limits_are_those_of_rational_arithmetic(seed, time):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 30, (int(rng.integers(1, 6)), 2))
    x = rng.binomial(n, rng.choice([0.05, 0.3, 0.9], (len(n), 1)))
    x[0] = [1, 0]
    found = fit(x, n, time)
    for psi in (Fraction(1), Fraction(7, 2), Fraction(1, 9)):
        at, p = probabilities(x, n, time, psi)
        test = found.exact_test("probability", float(psi))
        tails = [float(sum(p[: at + 1])), float(p[at]), float(sum(p[at:]))]
        assert [test.lower_tail, test.point, test.upper_tail] == pytest.approx(tails, rel=1e-11)
        assert test.pvalue == pytest.approx(float(sum(q for q in p if q <= p[at])), rel=1e-9)
        assert found.exact_test(ratio=float(psi)).pvalue == pytest.approx(
            min(1.0, 2 * min(tails[0], tails[2])), rel=1e-11
        )
    if np.isfinite(found.theta):
        at, p = probabilities(x, n, time, Fraction(math.exp(found.theta)))
        mean = float(sum(i * q for i, q in enumerate(p)))
        assert mean == pytest.approx(at, rel=1e-12, abs=1e-11)
        assert found.information == pytest.approx(float(sum((i - mean) ** 2 * q for i, q in enumerate(p))))
    low, high = (math.exp(end[0]) for end in found.bounds())
    if low > 0:
        at, p = probabilities(x, n, time, Fraction(low))
        assert float(sum(p[at:])) == pytest.approx(0.025, rel=1e-8)
    if math.isfinite(high):
        at, p = probabilities(x, n, time, Fraction(high))
        assert float(sum(p[: at + 1])) == pytest.approx(0.025, rel=1e-8)


def test_estimate_limits_and_p_are_those_of_r():
    # mantelhaen.test(exact = TRUE) of R 4.2.2, whose roots are good to 1e-4; its study without event left out
    found = fit()
    low, high = (math.exp(end[0]) for end in found.bounds())
    assert (math.exp(found.theta), low, high) == pytest.approx((0.488965, 0.220638, 1.061354), abs=2e-4)
    test = found.exact_test("probability")
    assert test.pvalue == pytest.approx(0.066130872275, rel=1e-9)
    assert (test.lower_tail, test.upper_tail) == pytest.approx((0.0363401108402, 0.984543506892), rel=1e-9)
    assert (found.limit("upper"), found.limit("lower")) == pytest.approx((0.947420, 0.248838), abs=2e-4)


def test_one_study_is_fishers_test_and_the_binomial_one():
    table = fit(EVENTS[2:3], SIZES[2:3])
    peer = fisher_exact([[3, 58], [5, 55]])
    assert table.exact_test("probability").pvalue == pytest.approx(peer.pvalue, rel=1e-10)
    rates = fit(EVENTS[2:3], SIZES[2:3], time=True)
    peer = binomtest(3, 8, 61 / 121)
    assert rates.exact_test("probability").pvalue == pytest.approx(peer.pvalue, rel=1e-10)
    ends = peer.proportion_ci()
    odds = [p / (1 - p) * 60 / 61 for p in (ends.low, ends.high)]
    assert [math.exp(end[0]) for end in rates.bounds()] == pytest.approx(odds, rel=1e-8)
    assert math.exp(rates.theta) == pytest.approx(3 / 5 * 60 / 61, rel=1e-12)


def test_all_events_in_one_arm_have_one_limit():
    found = fit(np.array([[0, 3], [0, 2], [0, 0]]), SIZES[:3])
    assert found.estimate == -math.inf
    assert found.bounds()[0][0] == -math.inf
    shown = found.predict(scale="measure")
    assert (shown["estimate"][0], shown["low"][0]) == (0.0, 0.0)

    def none(psi: float) -> float:
        return math.prod(
            math.comb(n2, m) / sum(math.comb(n1, i) * math.comb(n2, m - i) * psi**i for i in range(m + 1))
            for n1, n2, m in ((50, 49, 3), (30, 31, 2))
        )

    assert none(shown["high"][0]) == pytest.approx(0.025, rel=1e-9)
    assert none(found.limit("upper")) == pytest.approx(0.05, rel=1e-9)
    assert found.limit("lower") == 0.0
    assert found.pvalues.iloc[0] == pytest.approx(2 * none(1.0), rel=1e-10)
    assert found.llf == 0.0
    assert "the upper limit" in found.cautions()[0]
    assert "odds ratio 0.000 (0.000 to" in str(found.summary())
    turned = fit(np.array([[3, 0], [2, 0], [0, 0]]), SIZES[:3, ::-1])
    assert turned.estimate == math.inf
    assert turned.bounds()[0][0] == pytest.approx(-found.bounds()[1][0], rel=1e-10)
    assert found.to_dict()["coefficients"][0]["estimate"] == "-inf"


def test_mid_p_takes_half_of_the_observed_sum():
    found = fit(test="mid-p")
    at, p = probabilities(EVENTS, SIZES, False, Fraction(math.exp(found.bounds()[1][0])))
    assert float(sum(p[:at]) + p[at] / 2) == pytest.approx(0.025, rel=1e-8)
    exact = fit()
    assert found.bounds()[0][0] > exact.bounds()[0][0]
    assert found.bounds()[1][0] < exact.bounds()[1][0]
    test = exact.exact_test("mid-p")
    assert found.pvalues.iloc[0] == test.pvalue == pytest.approx(2 * test.lower_tail - test.point)
    ends = fit(np.array([[0, 3]]), SIZES[:1], test="mid-p")
    at, p = probabilities([[0, 3]], SIZES[:1], False, Fraction(math.exp(ends.bounds()[1][0])))
    assert float(p[0] / 2) == pytest.approx(0.025, rel=1e-8)


@pytest.mark.parametrize("level", [1e-6, 0.5, 0.999999])
def test_limits_enclose_the_estimate_at_any_level_and_agree_with_the_test(level):
    found = fit(level=LevelOfCurve(level))
    low, high = (end[0] for end in found.bounds())
    assert low <= found.theta <= high
    for end in (low, high):
        assert found.exact_test(ratio=math.exp(end)).pvalue == pytest.approx(1 - level, rel=1e-6)


def test_exchanged_arms_or_outcome_turn_the_sign():
    found = fit()
    for other in (fit(EVENTS[:, ::-1], SIZES[:, ::-1]), fit(SIZES - EVENTS)):
        assert other.estimate == pytest.approx(-found.estimate, rel=1e-10)
        assert other.bounds()[0][0] == pytest.approx(-found.bounds()[1][0], rel=1e-9)
        assert other.exact_test("probability").pvalue == pytest.approx(
            found.exact_test("probability").pvalue, rel=1e-9
        )
    unit = fit(sizes=SIZES * 52, time=True)
    assert unit.estimate == pytest.approx(fit(time=True).estimate, rel=1e-10)


def test_a_million_people_are_counted_in_part_with_the_same_answer(monkeypatch):
    x, n = np.array([[300, 340], [20, 31]]), np.array([[M, M], [1000, 900]])
    whole = fit(x, n)
    monkeypatch.setattr(hypergeometric, "WHOLE", 10)
    part = fit(x, n)
    assert not part.family._is_whole
    assert part.estimate == pytest.approx(whole.estimate, rel=1e-9)
    assert part.bounds()[0][0] == pytest.approx(whole.bounds()[0][0], rel=1e-8)
    assert part.exact_test().pvalue == pytest.approx(whole.exact_test().pvalue, rel=1e-8)
    half = fit(np.array([[M // 2, M // 2 + 900]] * 3), np.full((3, 2), M))
    normal = mx.MantelHaenszel(half.counts).fit()
    assert half.estimate == pytest.approx(normal.estimate, rel=1e-6)
    assert half.bounds()[0][0] == pytest.approx(normal.bounds()[0][0], rel=1e-3)
    assert half.exact_test().pvalue == pytest.approx(normal.cochran_mantel_haenszel().pvalue, rel=1e-3)


def test_long_products_are_the_same_by_the_fast_transform():
    rng = np.random.default_rng(1)
    one, other = (np.exp(-0.5 * np.linspace(-5, 5, 1600) ** 2) * rng.random(1600) for _ in range(2))
    plain = hypergeometric._product(one, other, True)
    fast = hypergeometric._product(one, other, False)
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-13 * plain.max())


def test_likelihood_and_deviance_given_the_margins():
    found = fit()
    llf = 0.0
    apart = 0.0
    for i in (0, 1, 2, 4):
        at, p = probabilities(EVENTS[[i]], SIZES[[i]], False, Fraction(math.exp(found.theta)))
        llf += math.log(p[at])
        alone = fit(EVENTS[[i]], SIZES[[i]])
        apart += alone.llf
    assert found.llf == pytest.approx(llf, rel=1e-10)
    assert found.fit_statistics().deviance == pytest.approx(2 * (apart - llf), rel=1e-9)
    assert found.aic == pytest.approx(2 - 2 * llf)


def sets_no_more_likely(events, sizes) -> float:
    """Return Zelen's p-value by all sets of tables, in whole numbers."""
    total, less = 0, 0
    margins = [(a + c, n1, n2) for (a, c), (n1, n2) in zip(events, sizes, strict=True)]

    def ways(cells) -> int:
        return math.prod(
            math.comb(n1, a) * math.comb(n2, m - a) for a, (m, n1, n2) in zip(cells, margins, strict=True)
        )

    at_least = ways([a for a, _ in events])
    for cells in itertools.product(*(range(max(0, m - n2), min(n1, m) + 1) for m, n1, n2 in margins)):
        if sum(cells) == sum(a for a, _ in events):
            total += ways(cells)
            less += ways(cells) if ways(cells) <= at_least else 0
    return less / total


def test_zelens_test_goes_through_all_sets_or_draws_some(monkeypatch):
    x, n = [[0, 4], [5, 1], [1, 2], [2, 2]], [[20, 20], [20, 20], [20, 20], [10, 12]]
    found = fit(np.array(x), np.array(n))
    exact = found.zelen_test()
    assert exact.pvalue == pytest.approx(sets_no_more_likely(x, n), rel=1e-9)
    monkeypatch.setattr(hypergeometric, "MOST_SETS", 0)
    drawn = found.zelen_test(draws=20_000)
    error = math.sqrt(exact.pvalue * (1 - exact.pvalue) / 20_000)
    assert abs(drawn.pvalue - exact.pvalue) < 4 * error
    assert drawn.pvalue == found.zelen_test(draws=20_000).pvalue
    assert "20,000 sets" in drawn.null
    assert drawn.statistic == pytest.approx(exact.statistic, rel=1e-9)


def test_one_event_and_mid_p_are_called_what_they_are():
    one = fit(np.array([[1, 3]]), SIZES[:1], test="mid-p")
    assert str(one.exact_test()).startswith("1 event in the treated arms, ")
    assert str(fit().exact_test()).startswith("16 events in the treated arms, ")
    assert "(mid-p; null: " in str(one.exact_test("mid-p"))
    assert str(one.omnibus).startswith("mid-p test, p = ")
    assert one.omnibus.pvalue == one.exact_test("mid-p").pvalue
    assert not any("exact" in line for line in one.summary().parts["Pooled"])


def test_contrasts_predictions_and_tables_rest_on_the_exact_limits():
    found = fit()
    low, high = (end[0] for end in found.bounds())
    assert (found.pooled().low, found.pooled().high) == (low, high)
    assert found.predict()["high"][0] == high
    assert found.conf_int()["low"].iloc[0] == low
    doubled = found.contrast({"intercept": -2.0}, null=math.log(4))
    assert (doubled.low[0], doubled.high[0]) == pytest.approx((-2 * high, -2 * low))
    assert doubled.pvalue[0] == pytest.approx(found.exact_test(ratio=0.5).pvalue, rel=1e-9)
    assert doubled.joint.pvalue == pytest.approx(doubled.pvalue[0], rel=1e-9)


def test_what_says_nothing_is_refused():
    with pytest.raises(NotIdentifiableError, match="events in everyone of both"):
        fit(np.array([[0, 0], [20, 20]]), np.array([[20, 20], [20, 20]]))
    with pytest.raises(NotIdentifiableError, match="there is no IRR"):
        fit(np.zeros((2, 2), int), SIZES[:2], time=True)
    with pytest.raises(InputError, match="above 0"):
        fit().exact_test(ratio=0.0)
    no_event = mx.MantelHaenszel(EventCounts(np.zeros((2, 2), int), SIZES[:2]), "RD").fit()
    assert no_event.exact_test().pvalue == 1.0


def test_an_infinite_ratio_of_one_study_has_all_its_forms():
    """Neither I2 nor H2 exists, and tables, plain values and refits say so without an error."""
    counts = mx.event_counts(
        treatment_events=[3, 0], treatment_n=[10, 12], control_events=[0, 0], control_n=[12, 10]
    )
    fit = mx.ExactConditional(counts).fit()
    assert np.isnan(fit.i2)
    assert np.isnan(fit.h2)
    assert fit.to_dict()["h2"] is None
    assert "exact" in str(fit.summary())
    three = mx.event_counts(
        treatment_events=[3, 0, 2], treatment_n=[10, 12, 20], control_events=[0, 0, 4], control_n=[12, 10, 21]
    )
    grown = mx.sensitivity.cumulative(mx.ExactConditional(three).fit(), [1, 2, 3])
    assert np.isnan(grown.h2[0])
    assert np.isfinite(grown.h2[2])
