"""Plots of p-curves: bars, points and expected shares at their values, and the tests in words."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import optimize, stats

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import THEMES, overlapping_texts, p_curve, p_curve_plan
from metaexo.plots.canvas.chart import Curve, Intervals, Points, Region, Words

Z = stats.norm.ppf(0.975)


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def pvalues_of(es):
    """Return the two-sided p-values of effects that are significant in the direction of the common mean."""
    sign = np.sign(np.average(es.y, weights=1 / es.v))
    z = sign * es.y / np.sqrt(es.v)
    return 2 * stats.norm.sf(z[z > Z])


def expected_shares(noncentrality):
    """Return the shares of significant p-values per bin, of two-sided tests with one noncentrality."""
    z = stats.norm.isf(np.arange(6) / 100 / 2)
    beyond = stats.norm.sf(z - noncentrality) + stats.norm.sf(z + noncentrality)
    return 100 * np.diff(beyond) / beyond[-1]


def curve_of(plan, words):
    return next(np.array(curve.y) for curve in plan.layers(Curve) if words in curve.name)


def test_points_and_bars_are_the_shares_of_the_p_values():
    es = bcg()
    plan = p_curve_plan(es)
    found = pvalues_of(es)
    shares = 100 * np.histogram(found, np.arange(6) / 100)[0] / len(found)
    (points,) = plan.layers(Points)
    assert points.x == pytest.approx([0.005, 0.015, 0.025, 0.035, 0.045])
    assert points.y == pytest.approx(shares)
    bars = plan.layers(Region)
    for i, (bar, share) in enumerate(zip(bars, shares, strict=True)):
        x, y = np.array(bar.corners).T
        assert (x.min(), x.max()) == pytest.approx((i / 100, (i + 1) / 100))
        assert (y.min(), y.max()) == pytest.approx((0, share))
    (rug,) = plan.layers(Intervals)
    assert sorted(rug.at) == pytest.approx(sorted(found))
    assert not rug.across
    assert [word.text for word in plan.layers(Words)] == [f"{share:.0f}%" for share in shares]


def test_what_is_expected():
    plan = p_curve_plan(bcg())
    third = optimize.brentq(lambda d: stats.norm.sf(Z - d) + stats.norm.sf(Z + d) - 1 / 3, 0, 5)
    assert curve_of(plan, "without an effect") == pytest.approx(expected_shares(0.0))
    assert curve_of(plan, "without an effect") == pytest.approx([20] * 5)
    assert curve_of(plan, "power of 33%") == pytest.approx(expected_shares(third))


def test_the_tests_in_words():
    found = mx.bias.p_curve(bcg())
    plan = p_curve_plan(found)
    assert plan.notes[0].startswith(
        "8 of 13 effects below no effect with a two-sided p below 0.05; estimated"
    )
    full = found.right_skew
    said = f"full curve z = {full.statistic:.2f}, p < 0.0001".replace("-", "−")
    assert plan.notes[1].startswith(f"Right skew, evidence of an effect: {said}; half curve z = ")
    flat = found.flatness_binomial
    assert plan.notes[2].endswith(f"share below half the level p = {flat:.2f}.")
    assert found.sentence in plan.describe()


def test_choices_of_the_p_curve_are_kept():
    found = mx.bias.p_curve(bcg(), alternative="greater", significance=0.2)
    plan = p_curve_plan(found)
    assert plan.panels[0].x.limits == (0.0, pytest.approx(0.2))
    assert [label for _, label in plan.panels[0].x.ticks] == ["0", "0.04", "0.08", "0.12", "0.16", "0.2"]


def test_without_a_significant_effect_there_is_no_curve_but_what_is_expected():
    plan = p_curve_plan(mx.EffectSizes([0.1, 0.2], [0.1, 0.1]))
    assert plan.notes[0] == "0 of 2 effects above no effect with a two-sided p below 0.05: there is no curve."
    assert plan.layers(Points) == plan.layers(Region) == []
    assert len(plan.layers(Curve)) == 2
    assert overlapping_texts(p_curve(plan)) == []


@pytest.mark.parametrize("k", [1, 2, 3, 13, 150, 1000])
def test_no_texts_overlap(make_effects, k):
    ax = p_curve(make_effects(k, "RR"), title="Effects of " * 20)
    assert overlapping_texts(ax) == []


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme(theme):
    assert overlapping_texts(p_curve(bcg(), theme=theme, width=4.0, font_size=9.0)) == []


def test_axes_and_subfigures_of_the_user(make_effects):
    fit = mx.RandomEffects(make_effects(30)).fit()
    _, (left, _) = plt.subplots(1, 2)
    assert p_curve(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = p_curve(fit, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_what_cannot_be_drawn(make_effects):
    for wrong in (None, 3, "fit", [0.1], mx.RandomEffects(make_effects(12), "source").fit()):
        with pytest.raises(InputError):
            p_curve_plan(wrong)
