"""The test of excess significance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

import metaexo as mx
from metaexo.bias.excess_significance import count_distribution, count_pvalue
from metaexo.effects import bounded_effects
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from tests.contract.test_results import CASES, example

Y = np.array([0.5, 0.4, 0.9, 0.1, 0.75, -0.2, 0.6, 0.05])
V = np.array([0.04, 0.03, 0.09, 0.09, 0.06, 0.02, 0.07, 0.05])


def test_the_exact_distribution_by_enumeration():
    chances = np.array([0.1, 0.9, 0.5, 0.05, 0.3, 0.77])
    expected = np.zeros(7)
    for events in itertools.product((0, 1), repeat=6):
        expected[sum(events)] += np.prod(np.where(events, chances, 1 - chances))
    assert count_distribution(chances) == pytest.approx(expected, rel=1e-13)
    assert count_pvalue(chances, 4, "greater") == pytest.approx(expected[4:].sum())
    assert count_pvalue(chances, 1, "less") == pytest.approx(expected[:2].sum())
    rare = expected[expected <= expected[5] * (1 + 1e-7)].sum()
    assert count_pvalue(chances, 5, "two-sided") == pytest.approx(rare)


@pytest.mark.parametrize("excess", ["greater", "less", "two-sided"])
def test_equal_chances_are_binomial(excess):
    for observed in (0, 3, 11, 40):
        expected = stats.binomtest(observed, 40, 0.3, excess).pvalue
        assert count_pvalue(np.full(40, 0.3), observed, excess) == pytest.approx(expected, rel=1e-10)


def test_chances_of_0_and_1_and_many_studies():
    assert count_distribution(np.array([0.0, 1.0, 1.0])).tolist() == [0, 0, 1, 0]
    assert count_pvalue(np.ones(3), 3, "greater") == 1
    assert count_pvalue(np.zeros(3), 1, "greater") == 0
    chances = np.random.default_rng(1).uniform(0, 1, 1000)
    law = count_distribution(chances)
    assert law.sum() == pytest.approx(1, rel=1e-12)
    assert law @ np.arange(1001) == pytest.approx(chances.sum())
    assert law @ (np.arange(1001) - chances.sum()) ** 2 == pytest.approx((chances * (1 - chances)).sum())


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_all_numbers_by_hand(alternative):
    found = mx.bias.excess_significance(
        mx.EffectSizes(Y, V), alternative=alternative, significance=0.1, model="common"
    )
    z, se = Y / np.sqrt(V), np.sqrt(V)
    true = np.average(Y, weights=1 / V)
    critical = stats.norm.isf(0.1 / (2 if alternative == "two-sided" else 1))
    above, below = z >= critical, z <= -critical
    up, down = stats.norm.sf(critical - true / se), stats.norm.cdf(-critical - true / se)
    sides = {"two-sided": (above | below, up + down), "greater": (above, up), "less": (below, down)}
    significant, power = sides[alternative]
    assert found.significant.tolist() == significant.tolist()
    assert found.power == pytest.approx(power)
    o, e = significant.sum(), power.sum()
    assert (found.observed, found.expected, found.ratio) == (o, pytest.approx(e), pytest.approx(o / e))
    chi2 = (o - e) ** 2 / e + (o - e) ** 2 / (8 - e)
    assert found.chi2 == pytest.approx(chi2)
    assert found.statistic == pytest.approx(math.copysign(math.sqrt(chi2), o - e))
    one_sided = stats.norm.sf(math.copysign(math.sqrt(chi2), o - e))
    assert found.chi2_pvalue == pytest.approx(one_sided)
    assert found.binomial_pvalue == pytest.approx(stats.binom.sf(o - 1, 8, e / 8))
    assert found.pvalue == found.exact_pvalue


def test_power_is_averaged_over_the_true_effects_of_a_fit():
    fit = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(method="DL")
    found = mx.bias.excess_significance(fit)
    assert (found.true_effect, found.tau2) == (fit.estimate, fit.tau2)
    critical = stats.norm.isf(0.025)
    for se, power in zip(np.sqrt(V), found.power, strict=True):

        def weighted(effect, se=se):
            beyond = stats.norm.sf(critical - effect / se) + stats.norm.cdf(-critical - effect / se)
            return beyond * stats.norm.pdf(effect, fit.estimate, fit.tau)

        ends = fit.estimate - 9 * fit.tau, fit.estimate + 9 * fit.tau
        assert power == pytest.approx(integrate.quad(weighted, *ends)[0], rel=1e-8)
    given = mx.bias.excess_significance(fit, true_effect=0.2)
    assert (given.true_effect, given.tau2, given.given) == (0.2, 0.0, True)
    assert mx.bias.excess_significance(fit, true_effect=0.2, tau2=0.01).tau2 == 0.01


def test_the_direction_of_the_excess():
    es = mx.EffectSizes(Y, V)
    more, fewer, other = (
        mx.bias.excess_significance(es, excess=excess, model="common")
        for excess in ("greater", "less", "two-sided")
    )
    assert more.observed > more.expected
    assert more.chi2_pvalue + fewer.chi2_pvalue == pytest.approx(1)
    assert other.chi2_pvalue == pytest.approx(stats.chi2.sf(more.chi2, 1))
    assert more.test.pvalue == pytest.approx(stats.norm.sf(more.statistic))
    assert fewer.test.pvalue == pytest.approx(stats.norm.cdf(fewer.statistic))
    assert "both one-sided, for more than expected" in more.sentence
    assert "both two-sided" in other.sentence
    assert more.exact_pvalue < 0.5 < fewer.exact_pvalue
    assert other.exact_pvalue >= more.exact_pvalue


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_units_and_direction_do_not_matter(factor):
    plain = mx.bias.excess_significance(mx.RandomEffects(mx.EffectSizes(Y, V)).fit(method="DL"))
    turned = mx.EffectSizes(-factor * Y, factor**2 * V)
    other = mx.bias.excess_significance(mx.RandomEffects(turned).fit(method="DL"))
    assert other.power == pytest.approx(plain.power, rel=1e-9)
    assert other.exact_pvalue == pytest.approx(plain.exact_pvalue, rel=1e-9)


def test_certain_significance():
    """Powers of 1, where the reference fails."""
    es = mx.EffectSizes([50.0, 60.0, 70.0], [1.0, 1.0, 1.0])
    found = mx.bias.excess_significance(es, model="common")
    assert (found.observed, found.expected) == (3, 3.0)
    assert (found.statistic, found.exact_pvalue, found.binomial_pvalue) == (0.0, 1.0, 1.0)
    none = mx.bias.excess_significance(
        mx.EffectSizes([-50.0, -60.0], [1.0, 1.0]), alternative="greater", true_effect=-55
    )
    assert (none.observed, none.expected) == (0, 0.0)
    assert math.isnan(none.ratio)
    assert none.exact_pvalue == 1.0


def test_the_table_and_the_sentence():
    found = mx.bias.excess_significance(mx.EffectSizes(Y, V, "RATIO"))
    assert found.sentence in found.to_text()
    assert f"{math.exp(found.true_effect):.2f}" in found.sentence
    assert f"{found.observed} of 8 studies are significant" in found.sentence
    assert found.to_frame()["observed"].tolist() == [found.observed]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.excess_significance(fit)
        return
    found = mx.bias.excess_significance(fit)
    assert 0 <= found.exact_pvalue <= 1
    assert found.sentence in found.to_text()


def test_wrong_inputs():
    es = mx.EffectSizes(Y, V)
    wrong = (
        {"alternative": "two.sided"},
        {"excess": "more"},
        {"significance": 5},
        {"true_effect": "large"},
        {"true_effect": math.nan},
        {"tau2": -1},
        {"tau2": math.inf},
    )
    for choices in wrong:
        with pytest.raises(InputError):
            mx.bias.excess_significance(es, **choices)
    with pytest.raises(TooFewStudiesError):
        mx.bias.excess_significance(mx.EffectSizes([0.1], [0.1]))
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        mx.bias.excess_significance(mx.effect_sizes("PLO", events=[2, 5], n=[10, 10]))


def test_bare_effects_have_the_true_effects_of_their_fit():
    """Taken as equal, heterogeneous effects give an excess without any selection."""
    es = mx.EffectSizes(Y, V)
    fit = mx.RandomEffects(es).fit()
    found = mx.bias.excess_significance(es)
    assert (found.true_effect, found.tau2) == (fit.estimate, fit.tau2)
    assert found.tau2 > 0
    assert found.true_effect == mx.bias.power(es).true_effect
    common = mx.bias.excess_significance(fit, model="common")
    assert (common.true_effect, common.tau2) == (pytest.approx(np.average(Y, weights=1 / V)), 0)
    assert any("taken as equal" in line for line in common.cautions())
    assert not any("taken as equal" in line for line in found.cautions())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_power_and_excess_have_the_true_effect_of_the_fit(kind, name):
    fit = example(kind, name)
    if fit.design.x is None:
        found = mx.bias.excess_significance(fit)
        assert found.true_effect == mx.bias.power(fit).true_effect == fit.estimate
        assert found.tau2 == fit.tau2


def test_what_bounds_show_of_significance_is_said():
    """Four effects between the critical values, two beyond, one that may be anywhere above 0."""
    y = np.linspace(0.1, 1.4, 9)
    v = np.r_[np.full(7, 0.1), np.linspace(0.02, 0.3, 9)]
    ends = 1.96 * math.sqrt(0.1)
    lower = np.r_[[-ends] * 4, 0.7, -np.inf, 0.0, y]
    upper = np.r_[[ends] * 4, np.inf, -0.7, np.inf, y]
    fit = mx.CensoredRandomEffects(bounded_effects(lower=lower, upper=upper, v=v)).fit()
    for method in (mx.bias.excess_significance, mx.bias.power, mx.bias.p_curve, mx.bias.fail_safe_n):
        said = " ".join(method(fit).cautions())
        assert "of these 7 effects the bounds show 4 not to be significant at 0.05, and 2 to be" in said
    assert "counts of significant" not in " ".join(mx.bias.pet_peese(fit).cautions())
