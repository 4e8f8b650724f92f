"""The power of single studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

import metaexo as mx
from metaexo.bias.power import power_of_studies
from metaexo.errors import InputError, NotIdentifiableError
from tests.contract.test_results import CASES, example

# pnorm of R for the standard errors and the equal-effects estimate of metafor's dat.bcg, two-sided at 0.05
R_TRUE = -0.430285163654091
R_POWER = [
    0.1172566740574, 0.1640974882016, 0.1024213016602, 0.8603404253582, 0.476714378941, 0.9993544551074,
    0.1491757270575, 0.9999994596744, 0.4409819830601, 0.356747826921, 0.9714280980521, 0.09068654428121,
    0.3634547279085,
]  # fmt: skip


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def test_power_is_the_chance_of_a_significant_test():
    """The area of the sampling distribution beyond both critical values, by quadrature."""
    es = bcg()
    found = mx.bias.power(es, -0.4, significance=0.1)
    z = stats.norm.ppf(0.95)
    for se, value in zip(np.sqrt(es.v), found.power, strict=True):
        law = stats.norm(-0.4, se)
        left, right = law.cdf(-z * se), law.sf(z * se)
        assert value == pytest.approx(left + right, rel=1e-12)
    significant = np.abs(es.y) / np.sqrt(es.v) >= z
    assert found.observed == significant.sum()
    assert found.expected == pytest.approx(found.power.sum())
    assert found.r_index == pytest.approx(2 * np.median(found.power) - significant.mean())
    assert found.enough == (found.power >= 0.8).sum()
    assert found.to_frame()["significant"].tolist() == significant.tolist()


def test_values_of_r():
    found = mx.bias.power(bcg(), model="common")
    assert found.true_effect == pytest.approx(R_TRUE, rel=1e-11)
    assert found.power == pytest.approx(R_POWER, rel=1e-10)


def test_power_averaged_over_true_effects():
    se, tau2, z = 0.3, 0.04, stats.norm.ppf(0.975)

    def weighted(effect):
        beyond = stats.norm.sf(z - effect / se) + stats.norm.cdf(-z - effect / se)
        return beyond * stats.norm.pdf(effect, 0.5, np.sqrt(tau2))

    expected = integrate.quad(weighted, -2, 3, epsabs=1e-13)[0]
    assert power_of_studies(0.5, np.array([se]), 0.05, tau2)[0] == pytest.approx(expected, rel=1e-10)
    one = power_of_studies(0.5, np.array([se]), 0.05, sides=(1,))[0]
    assert one == pytest.approx(stats.norm.sf(stats.norm.ppf(0.95) - 0.5 / se))
    other = power_of_studies(0.5, np.array([se]), 0.05, sides=(-1,))[0]
    assert other == pytest.approx(stats.norm.cdf(-stats.norm.ppf(0.95) - 0.5 / se))


def test_the_true_effect_is_the_pooled_one_of_a_fit_or_that_of_equal_effects_if_asked_for():
    es = bcg()
    fit = mx.RandomEffects(es).fit()
    assert mx.bias.power(fit).true_effect == fit.estimate
    assert mx.bias.power(es).true_effect == fit.estimate
    for results in (es, fit):
        common = mx.bias.power(results, model="common").true_effect
        assert common == pytest.approx(np.average(es.y, weights=1 / es.v))
    alone = mx.EffectSizes([0.4], [0.1])
    assert mx.bias.power(alone).true_effect == 0.4
    assert not mx.bias.power(es).given
    assert mx.bias.power(es, -0.5).given


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_power_does_not_depend_on_units_or_direction(factor):
    draws = np.random.default_rng(3)
    y, v = draws.normal(0.4, 0.3, 9), draws.uniform(0.02, 0.2, 9)
    plain = mx.bias.power(mx.EffectSizes(y, v))
    for sign in (1, -1):
        other = mx.bias.power(mx.EffectSizes(sign * factor * y, factor**2 * v))
        assert other.power == pytest.approx(plain.power, rel=1e-12)
        assert other.r_index == pytest.approx(plain.r_index)


def test_no_effect_has_the_power_of_the_level():
    found = mx.bias.power(bcg(), 0.0, significance=0.01)
    assert found.power == pytest.approx(np.full(13, 0.01))


def test_one_study_and_its_words():
    found = mx.bias.power(mx.EffectSizes([0.9], [0.04], "SMD"), 0.5)
    assert found.sentence == (
        "For the assumed true standardised mean difference of 0.500 the median power of 1 study is 71%, and "
        "0 have 80% or more; 1 is significant at the level 0.05 where 0.7 are expected (R-index 41%)."
    )
    assert "fewer than 10" in " ".join(found.cautions())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.power(fit)
        return
    found = mx.bias.power(fit)
    assert found.true_effect == fit.estimate
    assert found.sentence in found.to_text()
    assert found.to_frame().shape == (found.k, 6)


def test_what_has_no_power():
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        mx.bias.power(mx.effect_sizes("PLO", events=[2, 5], n=[10, 10]))
    for wrong in (None, 3, "fit", [0.1, 0.2]):
        with pytest.raises(InputError):
            mx.bias.power(wrong)
    for choices in ({"true_effect": "large"}, {"true_effect": np.nan}, {"significance": 5}):
        with pytest.raises(InputError):
            mx.bias.power(bcg(), **choices)
    with pytest.raises(InputError, match="above 0"):
        mx.bias.power(mx.EffectSizes([0.1, 0.2], [0.0, 0.1]))
