"""Sunset plots: where points, bands of power and lines of significance stand, and what is said."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.plots import THEMES, overlapping_texts, sunset, sunset_plan
from metaexo.plots.canvas.chart import Curve, Points, Region, Rule
from metaexo.plots.canvas.fonts import contrast
from tests.combined import combined
from tests.contract.test_results import CASES, censored, example


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def power_at(se, effect, significance=0.05):
    z = stats.norm.ppf(1 - significance / 2)
    return stats.norm.sf(z - abs(effect) / se) + stats.norm.cdf(-z - abs(effect) / se)


def bands_of(plan):
    """Return top and bottom of each band, from the top."""
    found = [np.array(region.corners)[:, 1] for region in plan.layers(Region)]
    return [(corners.min(), corners.max()) for corners in found]


@combined(measure=["SMD", "RR", "ZCOR"], k=[1, 2, 3, 13, 150])
def test_points_stand_at_effect_and_standard_error(make_effects, measure, k):
    es = make_effects(k, measure)
    plan = sunset_plan(es, significance=0.1)
    frame = plan.to_frame().query("layer == 'points'")
    shown = np.exp(es.y) if measure == "RR" else es.y
    assert sorted(frame["x"]) == pytest.approx(sorted(shown))
    frame = frame.set_index("id").loc[list(es.row_ids)]
    assert frame["y"].to_numpy() == pytest.approx(np.sqrt(es.v))
    pooled = mx.RandomEffects(es).fit().estimate if k > 1 else es.y[0]
    assert frame["power"].to_numpy() == pytest.approx(power_at(np.sqrt(es.v), pooled, 0.1))
    assert frame["pvalue"].to_numpy() == pytest.approx(2 * stats.norm.sf(np.abs(es.y) / np.sqrt(es.v)))


@pytest.mark.parametrize(("true", "significance"), [(0.7, 0.05), (1.3, 0.05), (0.5, 0.001), (0.2, 0.2)])
def test_bands_end_where_a_study_has_their_power(true, significance):
    plan = sunset_plan(bcg(), true_effect=true, significance=significance)
    upright = plan.panels[0].y
    bands = bands_of(plan)
    assert bands[0][0] == upright.limits[0]
    assert bands[-1][1] == upright.limits[1]
    edges = [bottom for _, bottom in bands[:-1]]
    assert [top for top, _ in bands[1:]] == edges
    found = power_at(np.array(edges), np.log(true), significance)
    assert found == pytest.approx([0.9 - 0.1 * i for i in range(len(edges))])
    least = power_at(upright.limits[1], np.log(true), significance)
    assert len(edges) == sum(0.1 * i > least + 1e-9 for i in range(1, 10))
    for se, label in upright.opposite:
        assert label == f"{100 * power_at(se, np.log(true), significance):.0f}%"
    (line,) = [rule for rule in plan.layers(Rule) if rule.axis == "y"]
    assert power_at(line.at, np.log(true), significance) == pytest.approx(0.8)
    assert upright.opposite_label == f"Power (true effect {true:.2f})"


def test_the_lines_of_significance_and_of_the_true_effect():
    fit = mx.RandomEffects(bcg()).fit()
    plan = sunset_plan(fit, significance=0.1)
    curves = plan.layers(Curve)
    assert [curve.name for curve in curves] == ["p = 0.1", "", "p = 0.01", ""]
    for curve, sign, p in zip(curves, (-1, 1, -1, 1), (0.1, 0.1, 0.01, 0.01), strict=True):
        x, y = np.log(curve.x), np.array(curve.y)
        assert x[0] == y[0] == 0
        assert 2 * stats.norm.sf(sign * x[1] / y[1]) == pytest.approx(p)
    true = next(rule for rule in plan.layers(Rule) if "true effect" in rule.name)
    assert np.log(true.at) == pytest.approx(fit.estimate)
    assert true.name == f"estimated true effect {np.exp(fit.estimate):.2f}"
    assert [curve.name for curve in sunset_plan(fit, significance=0.01).layers(Curve)] == ["p = 0.01", ""]


def test_the_numbers_are_those_of_power():
    es = bcg()
    found = mx.bias.power(es, np.log(0.7))
    plan = sunset_plan(es, true_effect=0.7)
    assert found.sentence in plan.summary
    (said,) = [note for note in plan.notes if note.startswith("Median power")]
    assert said == (
        f"Median power {100 * np.median(found.power):.0f}%; 80% or more in "
        f"{(found.power >= 0.8).sum()} of 13; "
        f"significant: 8 observed, {found.power.sum():.1f} expected; "
        f"R-index {100 * (2 * np.median(found.power) - 8 / 13):.0f}%.".replace("-8", "−8")
    )
    assert "estimated from the same studies" not in plan.notes[0]
    assert "estimated from the same studies" in sunset_plan(es).notes[0]


def test_labels_of_significant_effects_and_points_beyond_the_limits():
    es = bcg()
    plan = sunset_plan(es, labels="outside", limits=(0.3, 1.2))
    significant = np.abs(es.y) / np.sqrt(es.v) >= stats.norm.ppf(0.975)
    said = {label for layer in plan.layers(Points) for label in layer.words if label}
    inside = (es.y >= np.log(0.3)) & (es.y <= np.log(1.2))
    assert said == {es.row_labels[i] for i in np.flatnonzero(significant & inside)}
    assert sum(len(layer.x) for layer in plan.layers(Points)) == 13
    assert any(
        note.startswith(f"Hollow triangle at the edge: an effect beyond the axis ({(~inside).sum()}")
        for note in plan.notes
    )


def test_no_effect_has_one_band():
    plan = sunset_plan(bcg(), true_effect=1.0)
    assert len(bands_of(plan)) == 1
    assert plan.panels[0].y.opposite == []
    assert "Median power 5%" in plan.notes[1]


@pytest.mark.parametrize("theme", THEMES)
def test_marks_stand_out_on_the_strongest_colour(theme):
    plan = sunset_plan(bcg(), true_effect=1.05, theme=theme)
    weakest = plan.layers(Region)[-1].color
    assert contrast(plan.theme.color("study"), weakest) >= 3.0
    assert contrast(plan.theme.ink, weakest) >= 4.5


@pytest.mark.parametrize(("k", "measure"), [
    (1, "SMD"), (2, "RR"), (3, "ZCOR"), (13, "RR"), (13, "SMD"), (150, "ZCOR"), (1000, "RR"),
])  # fmt: skip
def test_no_texts_overlap(make_effects, k, measure):
    es = make_effects(k, measure)
    for true in (None, 5.0):
        labels = "all" if k < 150 else "outside"
        ax = sunset(es, true_effect=true, labels=labels, title="Effects of " * 20)
        assert overlapping_texts(ax) == []
        plt.close(ax.figure)


def test_axes_and_subfigures_of_the_user(make_effects):
    fit = mx.RandomEffects(make_effects(30)).fit()
    _, (left, _) = plt.subplots(1, 2)
    assert sunset(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = sunset(fit, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_effects_known_within_bounds_are_counted():
    plan = sunset_plan(censored().fit())
    assert sum(len(layer.x) for layer in plan.layers(Points)) == 6
    assert any("known only within bounds" in note for note in plan.notes)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            sunset_plan(fit)
        return
    plan = sunset_plan(fit)
    exact = mx.bias.power(fit).effects
    frame = plan.to_frame().query("layer == 'points'").set_index("id").loc[list(exact.row_ids)]
    assert np.log(frame["x"]).to_numpy() == pytest.approx(exact.y)
    true = next(rule for rule in plan.layers(Rule) if "true effect" in rule.name)
    assert np.log(true.at) == pytest.approx(fit.estimate)


def test_a_far_standard_error_is_a_triangle_at_the_edge():
    se = [*np.linspace(0.1, 0.3, 12), 9.0]
    plan = sunset_plan(mx.EffectSizes([0.3] * 13, se=se))
    high = plan.panels[0].y.limits[1]
    assert high < 9.0
    (far,) = [layer for layer in plan.layers(Points) if layer.shape.startswith("triangle")]
    assert far.y == [high]
    assert any("a standard error beyond the axis (1: 9.00)" in note for note in plan.notes)


def test_what_cannot_be_drawn(make_effects):
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        sunset_plan(mx.effect_sizes("PLO", events=[2, 5], n=[10, 10]))
    with pytest.raises(InputError, match="moderators"):
        sunset_plan(mx.RandomEffects(make_effects(12), "source").fit())
    with pytest.raises(InputError, match="true_effect"):
        sunset_plan(bcg(), true_effect=-0.4)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_true_effect_has_significant_digits_in_any_unit(unit):
    es = mx.EffectSizes(np.array([0.2, 0.6, 0.1]) * unit, np.array([0.02, 0.05, 0.03]) * unit**2)
    plan = sunset_plan(es)
    (name,) = (rule.name for rule in plan.layers(Rule) if "true effect" in rule.name)
    mantissa, raised = name.rpartition(" ")[2].split("×10")
    power = int(raised.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert float(mantissa) * 10.0**power == pytest.approx(mx.RandomEffects(es).fit().estimate, rel=0.005)


def test_a_true_effect_of_rounding_noise_is_zero():
    es = mx.EffectSizes([0.1, 0.2, 0.3, -0.6], [0.01] * 4)
    assert 0 < abs(mx.bias.power(es).true_effect) < 1e-15
    assert "true effect of 0.00" in sunset_plan(es).notes[0]
    assert "true effect 0.00" in " ".join(rule.name for rule in sunset_plan(es).layers(Rule))
