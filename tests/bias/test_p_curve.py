"""The p-curve: its tests by noncentral chi-squares, its power and its bins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError
from tests.contract.test_results import CASES, example

Z = np.array([2.1, 2.4, 2.8, 3.3, 4.1, 2.0, 1.2, -0.4, -2.3])
V = np.array([0.02, 0.03, 0.05, 0.04, 0.06, 0.02, 0.03, 0.05, 0.04])
ES = mx.EffectSizes(Z * np.sqrt(V), V, labels=[f"study {i}" for i in range(9)])
SIGNIFICANT = Z[:6]
CRITICAL = stats.chi2.isf(0.05, 1)


def noncentrality(power, critical=CRITICAL):
    return optimize.brentq(lambda n: stats.ncx2.sf(critical, 1, n) - power, 1e-8, 100, xtol=1e-14)


def stouffer(z, delta2, critical=CRITICAL):
    """Return Stouffer's z of conditional probabilities, by chi-squares with 1 df as the authors do."""
    if delta2 == 0:
        q = stats.chi2.sf(z**2, 1) / stats.chi2.sf(critical, 1)
    else:
        q = stats.ncx2.sf(z**2, 1, delta2) / stats.ncx2.sf(critical, 1, delta2)
    return stats.norm.ppf(q).sum() / np.sqrt(z.size)


def test_tests_of_both_curves():
    found = mx.bias.p_curve(ES)
    half = stats.chi2.isf(0.025, 1)
    lower = SIGNIFICANT[half < SIGNIFICANT**2]
    assert (found.k_significant, found.k_half) == (6, lower.size) == (6, 4)
    weak = noncentrality(1 / 3)
    assert found.right_skew.statistic == pytest.approx(stouffer(SIGNIFICANT, 0), rel=1e-10)
    assert found.right_skew_half.statistic == pytest.approx(stouffer(lower, 0, half), rel=1e-10)
    assert found.flatness.statistic == pytest.approx(-stouffer(SIGNIFICANT, weak), rel=1e-8)
    assert found.flatness_half.statistic == pytest.approx(-stouffer(lower, weak, half), rel=1e-8)
    for test in (found.right_skew, found.right_skew_half, found.flatness, found.flatness_half):
        assert test.pvalue == pytest.approx(stats.norm.cdf(test.statistic))
    assert found.right_skew_binomial == pytest.approx(stats.binom.sf(3, 6, 0.5))
    share = stats.ncx2.sf(half, 1, weak) / (1 / 3)
    assert found.flatness_binomial == pytest.approx(stats.binom.cdf(4, 6, share), rel=1e-9)
    frame = found.to_frame()
    assert frame.loc[frame["curve"] == "full", "statistic"].tolist() == [
        found.right_skew.statistic,
        found.flatness.statistic,
    ]


def test_power_is_where_stouffers_statistic_is_zero():
    found = mx.bias.p_curve(ES, level=0.9)
    powers = (found.power, found.power_low, found.power_high)
    for power, goal in zip(powers, (0, -1.6448536269514722, 1.6448536269514722), strict=True):
        assert stouffer(SIGNIFICANT, noncentrality(power)) == pytest.approx(goal, abs=1e-6)
    assert 0.05 < found.power_low < found.power < found.power_high < 1


def test_bins_and_their_expectations():
    found = mx.bias.p_curve(ES)
    pvalues = 2 * stats.norm.sf(SIGNIFICANT)
    assert found.pvalues == pytest.approx(pvalues)
    assert found.labels == tuple(f"study {i}" for i in range(6))
    counts = np.histogram(pvalues, np.linspace(0, 0.05, 6))[0]
    assert found.observed == pytest.approx(counts / 6)
    table = found.histogram()
    assert table["count"].tolist() == counts.tolist()
    assert table["expected_null"].tolist() == pytest.approx([0.2] * 5)
    cuts = stats.chi2.isf(np.linspace(0, 0.05, 6), 1)
    for column, power in (("expected_low_power", 1 / 3), ("expected_power", found.power)):
        shares = np.diff(stats.ncx2.sf(cuts, 1, noncentrality(power))) / power
        assert table[column].tolist() == pytest.approx(shares.tolist(), rel=1e-8)


def test_verdicts():
    strong = mx.bias.p_curve(mx.EffectSizes([4.0, 5.0, 3.9, 6.0], [1.0] * 4))
    assert strong.evidential
    assert not strong.inadequate
    assert "right-skewed" in strong.sentence
    flat = mx.bias.p_curve(mx.EffectSizes([1.97, 1.98, 2.0, 2.02, 1.99], [1.0] * 5))
    assert flat.inadequate
    assert not flat.evidential
    assert "flatter" in flat.sentence
    assert flat.power == pytest.approx(0.05)
    assert any("no smaller than expected without any effect" in text for text in flat.cautions())
    assert np.isnan(flat.right_skew_half.pvalue)
    unclear = mx.bias.p_curve(mx.EffectSizes([2.1, 2.5, 2.6], [1.0] * 3))
    assert "inconclusive" in unclear.sentence


def test_units_direction_and_extremes():
    plain = mx.bias.p_curve(ES)
    for factor in (1e-9, 1e9, -1.0):
        other = mx.bias.p_curve(mx.EffectSizes(factor * ES.y, factor**2 * ES.v))
        assert other.power == pytest.approx(plain.power)
        assert other.right_skew.statistic == pytest.approx(plain.right_skew.statistic)
    far = mx.bias.p_curve(mx.EffectSizes([60.0, 90.0, 100.0], [1.0] * 3))
    assert far.right_skew.statistic == pytest.approx(-np.sqrt(1 / 3) * 250, rel=0.02)
    assert far.power == 1
    assert (far.pvalues[1:] < 1e-300).all()
    assert far.observed.tolist() == [1, 0, 0, 0, 0]


def test_nothing_significant():
    found = mx.bias.p_curve(mx.EffectSizes([0.1, 0.2], [0.04, 0.05]))
    assert found.k_significant == found.k_half == 0
    assert np.isnan([found.power, found.right_skew.pvalue, found.flatness_binomial, *found.observed]).all()
    assert "no curve" in str(found)
    assert not found.evidential
    assert not found.inadequate
    assert found.histogram()["count"].sum() == 0


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.p_curve(fit)
    else:
        assert "p-curve" in mx.bias.p_curve(fit).sentence


def test_a_level_that_leaves_no_room_for_low_power():
    found = mx.bias.p_curve(ES, significance=0.5)
    assert np.isnan([found.flatness.pvalue, found.flatness_half.pvalue, found.flatness_binomial]).all()
    assert found.right_skew.pvalue < 0.05


def test_wrong_inputs():
    for value in (0, 1, "0.05"):
        with pytest.raises(InputError, match="significance"):
            mx.bias.p_curve(ES, significance=value)
    with pytest.raises(NotIdentifiableError):
        mx.bias.p_curve(mx.EffectSizes([0.1, 0.2], [0.04, 0.05], measure="PLO"))
