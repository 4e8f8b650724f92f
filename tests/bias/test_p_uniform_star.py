"""p-uniform*: its likelihood, its equations, and data that do not determine both parameters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import metaexo as mx
from metaexo.bias.significant import log_complement
from metaexo.errors import InputError, UnknownChoiceError

Y = np.array([0.62, 0.71, 0.48, 0.9, 0.1, -0.3, 0.35, 1.3, 0.05])
V = np.array([0.05, 0.04, 0.03, 0.09, 0.04, 0.06, 0.02, 0.05, 0.01])
CUT = stats.norm.ppf(0.975) * np.sqrt(V)
LARGE = Y > CUT
C95 = stats.chi2.ppf(0.95, 1)


def log_likelihood(mu, tau2):
    law = stats.norm(mu, np.sqrt(V + tau2))
    return (law.logpdf(Y) - np.where(LARGE, law.logsf(CUT), law.logcdf(CUT))).sum()


def profile(mu=None, tau2=None):
    """Return the highest likelihood with one parameter held, from many starts."""
    starts = [(m, t) for m in (0.0, 0.6) for t in (0.05, 0.7)]

    def value(p):
        return -log_likelihood(p[0] if mu is None else mu, p[1] ** 2 if tau2 is None else tau2)

    found = [
        optimize.minimize(value, s, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
        for s in starts
    ]
    return -min(f.fun for f in found)


def shares(mu, tau2):
    """Return conditional p-values, and those of effects as far from the mean on their side of it."""
    law = stats.norm(mu, np.sqrt(V + tau2))
    low, high = np.where(LARGE, CUT, -np.inf), np.where(LARGE, np.inf, CUT)
    q = (law.cdf(high) - law.cdf(Y)) / (law.cdf(high) - law.cdf(low))
    above = mu < Y
    low, high = np.where(above, np.maximum(low, mu), low), np.where(above, high, np.minimum(high, mu))
    beyond = np.where(above, law.cdf(high) - law.cdf(Y), law.cdf(Y) - law.cdf(low))
    return q, beyond / (law.cdf(high) - law.cdf(low))


@pytest.fixture(scope="module")
def found():
    return mx.bias.p_uniform_star(mx.EffectSizes(Y, V))


def test_the_highest_likelihood(found):
    assert (found.k_significant, found.method, found.alternative) == (6, "ML", "greater")
    top = profile()
    assert found.log_likelihood == pytest.approx(top, abs=1e-9)
    assert log_likelihood(found.estimate, found.tau2) == pytest.approx(top, abs=1e-9)
    assert found.certificate.maxima == 1
    assert abs(found.certificate.score) < 1e-5
    assert found.certificate.curvature < 0


def test_tests_and_profile_intervals(found):
    top = found.log_likelihood
    assert found.zero_statistic == pytest.approx(2 * (top - profile(mu=0)), rel=1e-6)
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.zero_statistic, 1), rel=1e-9)
    assert found.heterogeneity_statistic == pytest.approx(2 * (top - profile(tau2=0)), rel=1e-6)
    half = 0.5 * stats.chi2.sf(found.heterogeneity_statistic, 1)
    assert found.heterogeneity_pvalue == pytest.approx(half, rel=1e-9)
    for end in (found.low, found.high):
        assert 2 * (top - profile(mu=end)) == pytest.approx(C95, rel=1e-6)
    assert 2 * (top - profile(tau2=found.tau2_high)) == pytest.approx(C95, rel=1e-6)
    assert found.tau2_low > 0
    assert 2 * (top - profile(tau2=found.tau2_low)) == pytest.approx(C95, rel=1e-6)
    assert found.low < found.estimate < found.high


def test_the_two_equations_of_sums():
    es, k = mx.EffectSizes(Y, V), Y.size
    plain = mx.bias.p_uniform_star(es, "P")
    q, extreme = shares(plain.estimate, plain.tau2)
    assert [q.sum(), extreme.sum()] == pytest.approx([k / 2, k / 2], rel=1e-9)
    law = stats.irwinhall(k)
    ends = sorted(law.cdf(shares(mu, plain.tau2)[0].sum()) for mu in (plain.low, plain.high))
    assert ends == pytest.approx([0.025, 0.975], rel=1e-7)
    ends = [law.cdf(shares(plain.estimate, t)[1].sum()) for t in (plain.tau2_low, plain.tau2_high)]
    assert ends == pytest.approx([0.025, 0.975], rel=1e-7)
    logs = mx.bias.p_uniform_star(es, "LNP")
    q, extreme = shares(logs.estimate, logs.tau2)
    assert [-np.log(q).sum(), -np.log1p(-extreme).sum()] == pytest.approx([k, k], rel=1e-9)
    gamma = stats.gamma(k)
    ends = sorted(gamma.cdf(-np.log(shares(mu, logs.tau2)[0]).sum()) for mu in (logs.low, logs.high))
    assert ends == pytest.approx([0.025, 0.975], rel=1e-7)
    without = optimize.brentq(lambda mu: shares(mu, 0)[0].sum() - k / 2, 0, 1, xtol=1e-14)
    q = shares(without, 0)[0]
    statistic = -np.log(2 * np.minimum(q, 1 - q)).sum()
    assert plain.heterogeneity_statistic == pytest.approx(statistic, rel=1e-7)
    assert plain.heterogeneity_pvalue == pytest.approx(gamma.sf(statistic), rel=1e-6)
    assert np.isnan([plain.pvalue, plain.log_likelihood]).all()
    assert plain.certificate is None


@pytest.mark.parametrize("method", ["ML", "P", "LNP"])
def test_other_units_and_the_other_direction(method):
    plain = mx.bias.p_uniform_star(mx.EffectSizes(Y, V), method)
    for factor in (1e-7, 1e7, -1.0):
        other = mx.bias.p_uniform_star(mx.EffectSizes(factor * Y, factor**2 * V), method)
        ends = sorted(factor * end for end in (plain.low, plain.high))
        assert [other.estimate, other.low, other.high] == pytest.approx(
            [factor * plain.estimate, *ends], rel=1e-6
        )
        own = [plain.tau2, plain.tau2_low, plain.tau2_high]
        assert [other.tau2, other.tau2_low, other.tau2_high] == pytest.approx(
            [factor**2 * t for t in own], rel=1e-6, abs=1e-12 * factor**2
        )


def test_a_likelihood_without_a_maximum():
    """All are significant and most just so: the best distribution is an exponential, at no finite mean."""
    y = np.array([2.1, 2.0, 2.3, 8.0, 2.02])
    found = mx.bias.p_uniform_star(mx.EffectSizes(y, np.ones(5)))
    assert np.isnan([found.estimate, found.low, found.high, found.tau2, found.pvalue]).all()
    assert not found.usable
    assert any("no maximum" in text for text in found.cautions())
    assert any("all effects are significant" in text for text in found.cautions())
    assert "do not determine" in found.sentence
    cut = stats.norm.ppf(0.975)
    limit = stats.expon(cut, (y - cut).mean()).logpdf(y).sum()
    for mu, tau2 in ((0, 10), (-10, 40), (-1000, 5000)):
        law = stats.norm(mu, np.sqrt(1 + tau2))
        assert (law.logpdf(y) - law.logsf(cut)).sum() < limit


def test_an_interval_without_an_end():
    found = mx.bias.p_uniform_star(mx.EffectSizes([0.3] * 3, [0.02] * 3))
    assert found.low == -np.inf
    assert found.tau2_high == np.inf
    assert np.isfinite([found.estimate, found.high]).all()
    assert not found.usable
    assert np.isnan([found.pvalue, found.zero_statistic, found.heterogeneity_pvalue]).all()
    assert any("its interval has no end" in said for said in found.cautions())
    assert "do not determine" in found.sentence
    se = np.linspace(0.28, 0.83, 14)
    far = mx.bias.p_uniform_star(mx.EffectSizes(1.8 * se, se=se))
    assert not far.usable
    assert far.estimate > 3 * far.effects.y.max()
    assert any("far outside the range of the effects" in said for said in far.cautions())


def test_effects_far_beyond_their_critical_values():
    """Nothing is cut off: the estimates are those of maximum likelihood without selection."""
    y, v = np.linspace(20, 40, 12), np.linspace(0.01, 0.09, 12)
    es = mx.EffectSizes(y, v)
    found = mx.bias.p_uniform_star(es)
    plain = mx.RandomEffects(es).fit("ML")
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-4)
    assert found.tau2 == pytest.approx(plain.tau2, rel=1e-4)
    for method in ("P", "LNP"):
        assert np.isfinite(mx.bias.p_uniform_star(es, method).heterogeneity_statistic)


def test_equations_without_a_solution():
    found = mx.bias.p_uniform_star(mx.EffectSizes([0.3] * 3, [0.02] * 3), "LNP")
    assert np.isnan([found.estimate, found.tau2]).all()
    assert any("no solution" in text for text in found.cautions())


def test_complements_keep_their_digits():
    for centre in (-30.0, 1.0, 30.0):
        inside = integrate.quad(lambda t, m=centre: np.exp(-0.5 * ((t - m) ** 2 - (2.2 - m) ** 2)), 2, 2.2)[0]
        if centre < 2:
            whole = integrate.quad(
                lambda t, m=centre: np.exp(-0.5 * (t * t + 2 * t * (2 - m))), 0, 60, epsabs=0
            )[0]
            whole *= np.exp(-0.5 * ((2 - centre) ** 2 - (2.2 - centre) ** 2))
        else:
            whole = np.sqrt(2 * np.pi) * np.exp(0.5 * (2.2 - centre) ** 2)
        assert log_complement(np.array([2.2]), 2.0, centre)[0] == pytest.approx(
            np.log(inside / whole), rel=1e-9
        )


def test_wrong_inputs():
    es = mx.EffectSizes(Y, V)
    with pytest.raises(UnknownChoiceError, match="ML"):
        mx.bias.p_uniform_star(es, "LN1MINP")
    with pytest.raises(InputError, match="significance"):
        mx.bias.p_uniform_star(es, significance=1.5)
