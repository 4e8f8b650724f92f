"""p-uniform: its equations solved, its tests, and what becomes of extreme results."""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import metaexo as mx
from metaexo.bias.significant import crossing, log_density, log_share, mean_excess
from metaexo.errors import InputError, NotIdentifiableError, UnknownChoiceError
from tests.contract.test_results import CASES, example

Y = np.array([0.62, 0.71, 0.48, 0.9, 0.1, -0.3, 0.35])
V = np.array([0.05, 0.04, 0.03, 0.09, 0.04, 0.06, 0.02])
METHODS = ("P", "LNP", "LN1MINP", "ML")
C = stats.norm.ppf(0.975)


def shares(mu, y=Y, v=V):
    """Return the conditional p-values of the significant effects, from the tails of scipy."""
    s = np.sqrt(v)
    chosen = y / s > C
    return stats.norm.sf(y[chosen], mu, s[chosen]) / stats.norm.sf(C * s[chosen], mu, s[chosen])


def irwin_hall(x, n):
    """Return P(sum of n uniforms <= x), exactly."""
    exact = Fraction(x)
    terms = ((-1) ** j * comb(n, j) * (exact - j) ** n for j in range(int(x) + 1))
    return float(sum(terms) / factorial(n))


def log_likelihood(mu):
    s = np.sqrt(V)
    chosen = s * C < Y
    whole = [
        integrate.quad(lambda t, m=s_i: stats.norm.pdf(t, mu, m), C * s_i, np.inf, epsabs=1e-14)[0]
        for s_i in s[chosen]
    ]
    return stats.norm.logpdf(Y[chosen], mu, s[chosen]).sum() - np.log(whole).sum()


def test_the_sum_of_conditional_p_values():
    found = mx.bias.p_uniform(mx.EffectSizes(Y, V))
    k = found.k_significant
    assert (k, found.method, found.alternative) == (5, "P", "greater")
    assert shares(found.estimate).sum() == pytest.approx(k / 2, rel=1e-12)
    assert irwin_hall(shares(found.low).sum(), k) == pytest.approx(0.025, rel=1e-9)
    assert irwin_hall(k - shares(found.high).sum(), k) == pytest.approx(0.025, rel=1e-9)
    assert found.zero_pvalue == pytest.approx(irwin_hall(shares(0).sum(), k), rel=1e-9)
    assert found.zero_statistic == pytest.approx((shares(0).sum() - k / 2) / np.sqrt(k / 12), rel=1e-12)
    fixed = (Y / V).sum() / (1 / V).sum()
    assert found.fixed_effect == pytest.approx(fixed)
    assert found.bias_pvalue == pytest.approx(irwin_hall(k - shares(fixed).sum(), k), rel=1e-9)
    assert found.pvalue == pytest.approx(2 * min(found.zero_pvalue, 1 - found.zero_pvalue))


def test_sums_of_logarithms():
    for method, logs in (("LNP", lambda q: -np.log(q)), ("LN1MINP", lambda q: -np.log1p(-q))):
        found = mx.bias.p_uniform(mx.EffectSizes(Y, V), method, level=0.9)
        law = stats.gamma(5)
        assert logs(shares(found.estimate)).sum() == pytest.approx(5, rel=1e-12)
        ends = [law.cdf(logs(shares(end)).sum()) for end in (found.low, found.high)]
        assert sorted(ends) == pytest.approx([0.05, 0.95], rel=1e-9)
        tail = law.sf if method == "LNP" else law.cdf
        assert found.zero_pvalue == pytest.approx(tail(logs(shares(0)).sum()), rel=1e-10)
        other = law.cdf if method == "LNP" else law.sf
        assert found.bias_pvalue == pytest.approx(other(logs(shares(found.fixed_effect)).sum()), rel=1e-10)


def test_the_conditional_likelihood():
    found = mx.bias.p_uniform(mx.EffectSizes(Y, V), "ML")
    best = optimize.minimize_scalar(lambda m: -log_likelihood(m), (0, 0.5), tol=1e-11)
    assert found.estimate == pytest.approx(best.x, abs=1e-7)
    assert found.zero_statistic == pytest.approx(2 * (-best.fun - log_likelihood(0)), rel=1e-7)
    for end in (found.low, found.high):
        assert 2 * (-best.fun - log_likelihood(end)) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-7)
    step = 1e-3
    curvature = (log_likelihood(best.x + step) - 2 * -best.fun + log_likelihood(best.x - step)) / step**2
    assert found.se == pytest.approx((-curvature) ** -0.5, rel=1e-4)


def test_all_methods_have_one_sided_tests():
    """The signed root of the likelihood ratio points where the sums do; `pvalue` is two-sided for all."""
    se = np.linspace(0.28, 0.83, 14)
    just = mx.EffectSizes(2.1 * se, se=se)
    for es, significant in ((mx.EffectSizes(Y, V), True), (just, False)):
        for method in METHODS:
            found = mx.bias.p_uniform(es, method)
            assert (found.zero_pvalue < 0.5) == significant
            assert found.pvalue == pytest.approx(2 * min(found.zero_pvalue, 1 - found.zero_pvalue), abs=1e-12)
            assert (found.bias_pvalue < 0.5) == (found.solution < found.fixed_effect)
            assert "one-sided" in found.sentence
    found = mx.bias.p_uniform(mx.EffectSizes(-Y, V), "ML")
    assert found.zero_pvalue == pytest.approx(mx.bias.p_uniform(mx.EffectSizes(Y, V), "ML").zero_pvalue)
    assert found.zero_pvalue == pytest.approx(stats.norm.sf(np.sqrt(found.zero_statistic)))


@pytest.mark.parametrize("method", METHODS)
def test_other_units_and_the_other_direction(method):
    plain = mx.bias.p_uniform(mx.EffectSizes(Y, V), method)
    for factor in (1e-9, 1e9, -1.0):
        other = mx.bias.p_uniform(mx.EffectSizes(factor * Y, factor**2 * V), method)
        ends = sorted(factor * end for end in (plain.low, plain.high))
        assert [other.estimate, other.low, other.high] == pytest.approx(
            [factor * plain.estimate, *ends], rel=1e-9
        )
        assert [other.zero_pvalue, other.bias_pvalue] == pytest.approx([plain.zero_pvalue, plain.bias_pvalue])
        assert other.alternative == ("less" if factor < 0 else "greater")


@pytest.mark.parametrize("method", METHODS)
def test_results_that_leave_no_digits_in_plain_tails(method):
    """z of 100 and more: every tail is 0 as a plain number, and the estimate is that of all effects."""
    found = mx.bias.p_uniform(mx.EffectSizes([30.0, 35.0, 40.0], [0.1, 0.1, 0.1]), method)
    if method in ("P", "ML"):  # nothing is cut off so far away
        assert found.estimate == pytest.approx(35, rel=1e-9)
    assert found.low < found.estimate < found.high
    assert found.pvalue < 1e-3


def test_results_just_beyond_the_critical_value():
    """The solution is far on the other side of 0, not at the end of a range of search."""
    z = np.array([1.97, 1.98])
    raw = mx.bias.p_uniform(mx.EffectSizes(z, [1, 1]), "LNP")
    beyond = z - C
    # far out the conditional distribution is exponential, with the distance to the mean as its rate
    assert raw.estimate == pytest.approx(C - 2 / beyond.sum(), rel=2e-3)
    found = mx.bias.p_uniform(mx.EffectSizes(z, [1, 1]))
    assert found.solution < -30
    assert found.estimate == 0
    assert found.low < -30
    assert found.high == 0  # it reaches up to the estimate
    assert any("was set to 0" in text for text in found.cautions())
    assert any("take it as 0" in text for text in raw.cautions())


def test_nothing_significant():
    found = mx.bias.p_uniform(mx.EffectSizes([0.1, 0.2, 0.15], [0.04, 0.05, 0.06], measure="RR"))
    assert found.k_significant == 0
    assert np.isnan([found.estimate, found.low, found.high, found.pvalue, found.zero_pvalue]).all()
    assert "none of 3 effects is significant" in found.sentence
    assert "no estimate" in str(found)


def test_one_effect():
    found = mx.bias.p_uniform(mx.EffectSizes([1.0], [0.1]))
    assert shares(found.estimate, np.array([1.0]), np.array([0.1]))[0] == pytest.approx(0.5)


def test_effects_around_another_value_than_zero():
    """A probability of superiority of one half is no effect."""
    superiority = mx.EffectSizes(0.5 + Y / 3, V / 9, measure="AUC")
    found, plain = mx.bias.p_uniform(superiority), mx.bias.p_uniform(mx.EffectSizes(Y, V))
    assert found.estimate == pytest.approx(0.5 + plain.estimate / 3)
    assert found.zero_pvalue == pytest.approx(plain.zero_pvalue)
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        mx.bias.p_uniform(mx.EffectSizes(Y, V, measure="PLO"))


def test_cautions_of_heterogeneity_and_of_the_other_direction():
    y, v = [0.9, 0.8, 1.1, -0.9, 0.1], [0.02] * 5
    said = mx.bias.p_uniform(mx.EffectSizes(y, v)).cautions()
    assert any("overestimates" in text for text in said)
    assert any("1 effect that is significant in the other direction was left out" in text for text in said)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.p_uniform(fit)
    else:
        assert "p-uniform" in mx.bias.p_uniform(fit).sentence


def test_wrong_inputs():
    es = mx.EffectSizes(Y, V)
    with pytest.raises(UnknownChoiceError, match="LNP"):
        mx.bias.p_uniform(es, "LN")
    for value in (0, 1, 5, "0.05", None):
        with pytest.raises(InputError, match="significance"):
            mx.bias.p_uniform(es, significance=value)
    with pytest.raises(UnknownChoiceError, match="alternative"):
        mx.bias.p_uniform(es, alternative="two")


def test_conditional_tails_against_quadrature():
    for centre in (-40.0, -3.0, 1.0, 5.0):
        top = np.exp(-0.5 * ((2.5 - centre) ** 2 - (2.0 - centre) ** 2))
        near = integrate.quad(lambda t, m=centre: np.exp(-0.5 * (t * t + 2 * t * (2.5 - m))), 0, 60, epsabs=0)
        far = integrate.quad(lambda t, m=centre: np.exp(-0.5 * (t * t + 2 * t * (2.0 - m))), 0, 60, epsabs=0)
        share = log_share(np.array([2.5]), 2.0, centre)[0]
        assert share == pytest.approx(np.log(top * near[0] / far[0]), rel=1e-8)
        assert log_density(np.array([2.5]), 2.0, centre)[0] == pytest.approx(np.log(top / far[0]), rel=1e-8)
    # in its series and in its closed form the mean excess is the same; 1/b - 2/b^3 + 10/b^5 far out
    assert mean_excess(np.array([299.999]))[0] == pytest.approx(mean_excess(np.array([300.001]))[0], rel=1e-5)
    assert mean_excess(np.array([1e6]))[0] == pytest.approx(1e-6 - 2e-18, rel=1e-15)


def test_a_root_is_never_the_end_of_a_range():
    assert crossing(lambda x: x - 1e12, 0.0, 1e-3) == pytest.approx(1e12)
    assert crossing(lambda x: x + 1e12, 0.0, 1e-3) == pytest.approx(-1e12)
    assert crossing(lambda x: x, 0.0, 1.0) == 0
    assert crossing(lambda _: 1.0, 0.0, 1.0) == -np.inf
    assert crossing(lambda _: -1.0, 0.0, 1.0) == np.inf
