"""Upper limits from few or no events, against scipy's distributions, closed forms and simulation."""

from __future__ import annotations

import math
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.numeric.study_risks import KINDS, log_choose, log_factors

room = mx.safety
BETA, LOGIT_NORMAL, GAMMA, LOG_NORMAL = KINDS
SIZES = [12, 8, 30, 10, 8]


def people(events, n=SIZES):
    return mx.event_counts(events=events, n=n)


# -- distributions -------------------------------------------------------------------------------------------


def test_beta_binomial_probabilities_are_those_of_scipy():
    p, icc = 0.07, 0.23
    a, b = p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc
    x, t = np.arange(13), special.logit(p)
    np.testing.assert_allclose(BETA.log_pmf(x, 12, t, icc), stats.betabinom.logpmf(x, 12, a, b), rtol=1e-12)
    np.testing.assert_allclose(BETA.log_pmf(x, 12, t, 0.0), stats.binom.logpmf(x, 12, p), rtol=1e-12)
    np.testing.assert_allclose(np.exp(BETA.log_pmf(x, 12, t, 1.0)), [1 - p, *[0] * 11, p], rtol=1e-12)


def test_a_million_people_and_hardly_any_correlation_keep_their_digits():
    """By mpmath with 50 digits: 0 and 7 events of 1e6, logit -8, intra-class correlation 1e-7."""
    made = BETA.log_pmf([0, 7], 10**6, -8.0, 1e-7)
    assert made.tolist() == pytest.approx([-319.67395505479007, -288.15168768877007], rel=1e-10)


def test_negative_binomial_probabilities_are_those_of_scipy():
    rate, cv, time, x = 0.4, 0.8, 3.5, np.arange(9)
    shape = 1 / cv**2
    wanted = stats.nbinom.logpmf(x, shape, shape / (shape + rate * time))
    np.testing.assert_allclose(GAMMA.log_pmf(x, time, math.log(rate), cv), wanted, rtol=1e-12)
    wanted = stats.poisson.logpmf(x, rate * time)
    np.testing.assert_allclose(GAMMA.log_pmf(x, time, math.log(rate), 0.0), wanted, rtol=1e-12)


@pytest.mark.parametrize(("x", "n", "tau"), [(0, 10, 0.5), (3, 40, 2.0), (0, 100_000, 3.0), (60, 150, 8.0)])
def test_logit_normal_probabilities_are_the_integral(x, n, tau):
    def density(z):
        return stats.norm.pdf(z) * stats.binom.pmf(x, n, special.expit(-3 + tau * z))

    peak = (special.logit((x + 0.5) / (n + 1)) + 3) / tau
    parts = sorted({-12.0, 12.0, *np.clip(peak + np.linspace(-6, 6, 13) / tau, -12, 12).tolist()})
    wanted = sum(integrate.fixed_quad(density, a, b, n=60)[0] for a, b in pairwise(parts))
    assert np.exp(LOGIT_NORMAL.log_pmf(x, n, -3.0, tau)) == pytest.approx(wanted, rel=1e-9)


def test_log_normal_rates_and_means_are_the_integral():
    def integral(of):
        return integrate.fixed_quad(lambda z: stats.norm.pdf(z) * of(z), -12, 12, n=200)[0]

    wanted = integral(lambda z: stats.poisson.pmf(2, 3 * np.exp(-1 + 0.7 * z)))
    assert np.exp(LOG_NORMAL.log_pmf(2, 3.0, -1.0, 0.7)) == pytest.approx(wanted, rel=1e-10)
    assert LOG_NORMAL.mean(-1.0, 0.7) == pytest.approx(math.exp(-1 + 0.245))
    mean = integral(lambda z: special.expit(-4 + 1.5 * z))
    assert LOGIT_NORMAL.mean(-4.0, 1.5) == pytest.approx(mean, rel=1e-11)
    assert LOGIT_NORMAL.location(mean, 1.5) == pytest.approx(-4, rel=1e-9)


def test_sums_of_logarithms():
    assert log_choose(10**6, 3) == pytest.approx(math.log(math.comb(10**6, 3)), rel=1e-13)
    wanted = sum(math.log(0.3 + 0.02 * j) for j in range(40))
    assert log_factors(0.3, 40, 0.02) == pytest.approx(wanted, rel=1e-12)


# -- limits of a common risk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize("events", [[0, 0, 0, 0, 0], [0, 1, 0, 2, 0]])
def test_a_common_risk_has_the_exact_limit_of_the_sum(level, events):
    x, n = sum(events), sum(SIZES)
    found = room.upper_limit(people(events), level=level)
    assert found.value == pytest.approx(stats.beta.ppf(level, x + 1, n - x), rel=1e-12)
    both = room.upper_limit(people(events), level=level, sides=2)
    assert both.value == pytest.approx(stats.beta.ppf((1 + level) / 2, x + 1, n - x), rel=1e-12)
    low = stats.beta.ppf((1 - level) / 2, x, n - x + 1) if x else 0.0
    assert both.low == pytest.approx(low, rel=1e-12)
    rate = room.upper_limit(mx.event_counts(events=events, time=SIZES), level=level)
    assert rate.value == pytest.approx(stats.chi2.ppf(level, 2 * x + 2) / 2 / n, rel=1e-12)


def test_the_rule_of_three_stands_beside_it():
    found = room.upper_limit(people([0] * 5))
    assert found.rule_of_three == pytest.approx(-math.log(0.05) / 68)
    assert "rule of three 4.41%" in found.sentence
    assert "one-sided" in found.sentence
    assert np.isnan(room.upper_limit(people([0, 1, 0, 0, 0])).rule_of_three)


def test_extreme_counts():
    assert room.upper_limit(people([1], [1])).value == 1
    assert "no common risk is excluded" in room.upper_limit(people([1], [1])).sentence
    assert room.upper_limit(people([0], [1])).value == pytest.approx(0.95)
    assert room.upper_limit(people([0], [10**6])).value == pytest.approx(-math.expm1(math.log(0.05) / 1e6))
    assert room.upper_limit(people([0], [1]), heterogeneity=0.4).value == pytest.approx(0.95, rel=1e-9)
    many = people([0] * 200, [50] * 200)
    assert room.upper_limit(many, heterogeneity=1.0).value == pytest.approx(1 - 0.05 ** (1 / 200), rel=1e-9)


@pytest.mark.parametrize("events", [0, 3])
def test_mid_p_takes_half_of_what_was_seen(events):
    found = room.upper_limit(people([events, 0], [20, 30]), mid_p=True).value
    below = stats.binom.cdf(events - 1, 50, found) + stats.binom.pmf(events, 50, found) / 2
    assert below == pytest.approx(0.05, rel=1e-9)


# -- under heterogeneity -------------------------------------------------------------------------------------


def sum_at_most(x, pmfs):
    """Return P(sum <= x) by convolution of whole distributions."""
    return reduce(np.convolve, pmfs)[: x + 1].sum()


def beta_binomials(mean, icc, sizes=SIZES):
    a, b = mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc
    return [stats.betabinom.pmf(np.arange(n + 1), n, a, b) for n in sizes]


@pytest.mark.parametrize("events", [[0, 0, 0, 0, 0], [0, 1, 0, 2, 1]])
@pytest.mark.parametrize("icc", [0.02, 0.3])
def test_the_limit_of_a_mean_risk_by_brute_force(events, icc):
    x = sum(events)
    found = room.upper_limit(people(events), heterogeneity=icc)
    assert sum_at_most(x, beta_binomials(found.value, icc)) == pytest.approx(0.05, rel=1e-9)
    rest = (1 - icc) / icc
    share = stats.beta.ppf(0.95, found.value * rest, (1 - found.value) * rest)
    assert found.new_study == pytest.approx(share, rel=1e-9)
    if x:
        low = room.upper_limit(people(events), heterogeneity=icc, sides=2).low
        assert sum_at_most(x - 1, beta_binomials(low, icc)) == pytest.approx(0.975, rel=1e-9)


def test_more_events_than_are_summed_directly():
    """Sums of many events are made by Fourier transforms, and are those of whole distributions."""
    n = [400, 300, 300]
    found = room.upper_limit(people([60, 40, 20], n), heterogeneity=0.01).value
    assert sum_at_most(120, beta_binomials(found, 0.01, n)) == pytest.approx(0.05, rel=1e-9)


def test_gamma_rates_by_brute_force():
    time, cv, x = [1.5, 8.0, 3.0], 0.6, 2
    found = room.upper_limit(mx.event_counts(events=[0, 2, 0], time=time), heterogeneity=cv)
    assert found.scale == "cv"
    shape = 1 / cv**2
    pmfs = [stats.nbinom.pmf(np.arange(x + 1), shape, shape / (shape + found.value * t)) for t in time]
    assert sum_at_most(x, pmfs) == pytest.approx(0.05, rel=1e-9)


def test_logit_normal_risks_by_simulation():
    """At the limit of the mean, at most as many events as seen have a probability of 5 per cent."""
    counts, tau = people([0, 1, 0, 0, 0]), 1.2
    found = room.upper_limit(counts, heterogeneity=tau, scale="tau")
    location = LOGIT_NORMAL.location(found.value, tau)
    rng, draws = np.random.default_rng(3), 200_000
    risks = special.expit(location + tau * rng.standard_normal((draws, len(SIZES))))
    share = (rng.binomial(SIZES, risks).sum(axis=1) <= 1).mean()
    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / draws))
    assert found.new_study == pytest.approx(special.expit(location + tau * stats.norm.ppf(0.95)), rel=1e-7)
    assert risks.mean() == pytest.approx(found.value, abs=4 * risks.std() / math.sqrt(risks.size))


@pytest.mark.parametrize("scale", ["icc", "tau"])
def test_the_curve_meets_its_closed_ends(scale):
    counts = people([0] * 5)
    found = room.limits_by_heterogeneity(counts, scale=scale)
    assert found.common == pytest.approx(1 - 0.05 ** (1 / 68), rel=1e-12)
    assert found.limit[0] == pytest.approx(found.common, rel=1e-12)
    assert (np.diff(found.limit) > 0).all()
    assert found.worst == pytest.approx(1 - 0.05 ** (1 / 5), rel=1e-9)
    assert (found.limit <= found.worst * (1 + 1e-9)).all()
    near = room.limits_by_heterogeneity(counts, [1e-9], scale=scale)
    assert near.limit[0] == pytest.approx(found.common, rel=1e-6)
    far = room.limits_by_heterogeneity(counts, [1.0 if scale == "icc" else 100.0], scale=scale)
    assert far.limit[0] == pytest.approx(found.worst, rel=1e-9 if scale == "icc" else 0.03)
    single = [room.upper_limit(counts, heterogeneity=h, scale=scale).value for h in found.heterogeneity[1:4]]
    np.testing.assert_allclose(found.limit[1:4], single, rtol=1e-9)


def test_any_heterogeneity_is_covered():
    """Study risks that are mostly 0 and sometimes high: the limit for any distribution holds its level."""
    rng, draws, k, mean = np.random.default_rng(5), 20_000, 12, 0.15
    risks = rng.choice([0.0, 0.5], size=(draws, k), p=[0.7, 0.3])
    totals = rng.binomial(15, risks).sum(axis=1)

    def limit(total):
        events = np.full(k, total // k) + (np.arange(k) < total % k)
        return room.upper_limit(people(events, [15] * k), heterogeneity="any").value

    seen, times = np.unique(totals, return_counts=True)
    covered = sum(times[i] for i, total in enumerate(seen.tolist()) if limit(total) >= mean) / draws
    assert covered >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / draws)
    mean, found = 7 / 180, limit(7)
    distance = mean * math.log(mean / found) + (1 - mean) * math.log((1 - mean) / (1 - found))
    assert math.exp(-k * distance) == pytest.approx(0.05, rel=1e-9)


def test_what_cannot_be_said_is_refused():
    times = mx.event_counts(events=[0, 1], time=[3.0, 4.0])
    with pytest.raises(NotIdentifiableError, match="any"):
        room.upper_limit(times, heterogeneity="any")
    with pytest.raises(InputError, match="scale='icc'"):
        room.upper_limit(times, scale="icc")
    with pytest.raises(InputError, match="from 0 to 1"):
        room.upper_limit(people([0] * 5), heterogeneity=1.5)
    with pytest.raises(InputError, match="CountGLMM"):
        room.upper_limit(people([400_000], [10**6]), heterogeneity=0.1)
    assert room.upper_limit(times, heterogeneity=50.0).value == np.inf


def test_rows_of_one_study_are_said():
    counts = mx.event_counts(events=[0, 0, 0], n=[12, 8, 30], study=["a", "a", "b"])
    found = room.upper_limit(counts)
    assert "3 rows come from 2 studies" in found.cautions()[0]
    assert "2 studies with 3 rows" in found.sentence


def test_sentences_state_the_heterogeneity_they_assume():
    counts = people([0, 0, 2, 0, 0])
    said = room.upper_limit(counts, heterogeneity=0.05).sentence
    assert "if study risks vary with an ICC of 0.05, a mean risk" in said
    assert "at that limit 95% of studies have a risk of at most" in said
    assert "vary with a tau of 1," in room.upper_limit(counts, heterogeneity=1, scale="tau").sentence
    assert (
        "whatever the distribution of study risks" in room.upper_limit(counts, heterogeneity="any").sentence
    )
    assert "1e-10" in room.upper_limit(counts, heterogeneity=1e-10).sentence
    assert "with it left open, the profile likelihood" in room.heterogeneity_likelihood(counts).sentence
    assert len(room.heterogeneity_likelihood(counts).reader_tables()[0].rows) < 15


def test_the_limit_for_any_distribution_is_another_one_than_the_curve():
    """It rests on the unweighted mean of proportions: an event in a large study hardly counts in it."""
    found = room.limits_by_heterogeneity(people([3, *[0] * 19], [1000, *[1] * 19]), [0, 0.5, 1.0])
    assert found.limit[-1] > found.worst
    assert "unweighted mean of the study proportions" in found.sentence
    assert "at most" not in found.sentence


# -- intervals of single studies -----------------------------------------------------------------------------


def test_intervals_of_studies_are_those_of_scipy():
    x, n = np.array([0, 3, 12, 7]), np.array([12, 40, 12, 20])
    counts = people(x, n)
    for method in ("exact", "wilson"):
        found = room.study_intervals(counts, method, level=0.9)
        for i in range(4):
            wanted = stats.binomtest(int(x[i]), int(n[i])).proportion_ci(0.9, method)
            assert (found.low[i], found.high[i]) == pytest.approx(tuple(wanted), abs=1e-12)
    found = room.study_intervals(counts, "jeffreys")
    assert found.high[1] == pytest.approx(stats.beta.ppf(0.975, 3.5, 37.5))
    assert (found.low[0], found.high[2]) == (0, 1)
    found = room.study_intervals(counts, "mid-p")
    low, high = found.low[1], found.high[1]
    assert stats.binom.cdf(2, 40, high) + stats.binom.pmf(3, 40, high) / 2 == pytest.approx(0.025)
    assert stats.binom.sf(3, 40, low) + stats.binom.pmf(3, 40, low) / 2 == pytest.approx(0.025)
    other = room.study_intervals(people(n - x, n), "mid-p")  # events and non-events change places
    np.testing.assert_allclose(other.low, 1 - found.high, atol=1e-12)


def test_intervals_of_rates():
    counts = mx.event_counts(events=[0, 3], time=[2.5, 40.0])
    found = room.study_intervals(counts)
    np.testing.assert_allclose(found.low, [0, stats.chi2.ppf(0.025, 6) / 80], rtol=1e-12)
    np.testing.assert_allclose(found.high, stats.chi2.ppf(0.975, [2, 8]) / 2 / [2.5, 40], rtol=1e-12)
    mid = room.study_intervals(counts, "mid-p").high[1] * 40
    assert stats.poisson.cdf(2, mid) + stats.poisson.pmf(3, mid) / 2 == pytest.approx(0.025)
    with pytest.raises(InputError, match="wilson"):
        room.study_intervals(counts, "wilson")


# -- what the data say of the heterogeneity ------------------------------------------------------------------


def test_no_event_says_nothing_about_the_heterogeneity():
    found = room.heterogeneity_likelihood(people([0] * 5))
    assert found.is_flat
    assert np.isnan(found.estimate)
    assert (found.low, found.high) == (0, np.inf)
    assert "say nothing about the heterogeneity" in found.sentence
    assert found.mean_limit == pytest.approx(-math.expm1(-(stats.norm.ppf(0.95) ** 2) / 10))
    rates = room.heterogeneity_likelihood(mx.event_counts(events=[0, 0], time=[3, 4]))
    assert rates.mean_limit == np.inf


def test_the_profile_is_that_of_a_fine_grid():
    x, n = np.array([0, 4, 0, 0, 1, 6]), np.array([12, 18, 30, 10, 25, 20])
    found = room.heterogeneity_likelihood(people(x, n))
    means, icc = np.meshgrid(np.linspace(0.02, 0.5, 241), np.linspace(0.005, 0.9, 359), indexing="ij")
    rest = (1 - icc) / icc
    logs = sum(
        stats.betabinom.logpmf(a, b, means * rest, (1 - means) * rest) for a, b in zip(x, n, strict=True)
    )
    top = logs.max()
    best = np.unravel_index(logs.argmax(), logs.shape)
    assert found.estimate == pytest.approx(icc[best], abs=0.0025)
    inside = icc[0][logs.max(axis=0) >= top - stats.chi2.ppf(0.95, 1) / 2]
    assert (found.low, found.high) == pytest.approx((inside[0], inside[-1]), abs=0.0026)
    reached = means[:, 0][logs.max(axis=1) >= top - stats.norm.ppf(0.95) ** 2 / 2]
    assert found.mean_limit == pytest.approx(reached[-1], abs=0.0021)


# -- by group ------------------------------------------------------------------------------------------------


def test_each_group_is_asked_by_itself():
    counts = people([0, 0, 2, 0, 0]).with_columns(route=["in", "on", "on", None, "on"], kind=[*"abaaa"])
    found = room.limits_by_group(counts, "route")
    assert found.groups == ("in", "not reported", "on")
    by_hand = stats.beta.ppf(0.95, [1, 1, 3], [12, 10, 44])
    np.testing.assert_allclose(found.limit, by_hand, rtol=1e-10)
    table = found.to_frame().set_index("group")
    assert table.loc["on", ["studies", "without_event", "people", "events"]].tolist() == [3, 2, 46, 2]
    assert found.cautions() == ()
    assert found.sentence.index(f"on {by_hand[2]:.1%}") < found.sentence.index(
        f"not reported {by_hand[1]:.1%}"
    )
    both = room.limits_by_group(counts, ["route", "kind"])
    assert (both.by, both.groups[0]) == ("route / kind", "in / a")


def test_groups_without_events_are_not_compared():
    counts = people([0] * 5).with_columns(route=["in", "on", "on", "on", "on"])
    found = room.limits_by_group(counts, "route", heterogeneity=0.05)
    assert "no group has an event" in found.cautions()[0]
    assert "mean risk over studies" in found.sentence
    mean = found.limit[0]
    assert stats.betabinom.pmf(0, 12, mean * 19, (1 - mean) * 19) == pytest.approx(0.05, rel=1e-8)
    with pytest.raises(mx.errors.UnknownChoiceError, match="route"):
        room.limits_by_group(counts, "rout")
