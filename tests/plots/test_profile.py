"""Plots of profile likelihoods show the numbers of the profiles, on axes that matplotlib makes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots.canvas.chart import Curve, Points, Rule
from tests.combined import combined

TABLE = mx.load_dataset("school_calendars")
ES = mx.EffectSizes(TABLE["y"], TABLE["v"], data=TABLE)


@pytest.fixture(scope="module")
def found() -> list[object]:
    fit = mx.Multilevel(ES, mx.RandomTerm("district", "school", "CS")).fit()
    return [fit.profile(name) for name in fit.component_values]


def layers(panel, kind):
    return [layer for layer in panel.layers if isinstance(layer, kind)]


def test_curve_estimate_and_interval_are_those_of_the_profile(found) -> None:
    plan = mx.plots.profile_plan(found)
    for one, panel in zip(found, plan.panels, strict=True):
        (curve,), (dot,) = layers(panel, Curve), layers(panel, Points)
        np.testing.assert_allclose(curve.x, one.value)
        np.testing.assert_allclose(curve.y, one.llf - one.maximum)
        assert [rule.at for rule in layers(panel, Rule) if rule.axis == "x"] == [
            one.limits.low,
            one.limits.high,
        ]
        assert (dot.x, dot.y) == ([one.limits.estimate], [0.0])
        across = [rule.at for rule in layers(panel, Rule) if rule.axis == "y"]
        assert across == [pytest.approx(-3.841458820694124 / 2, rel=1e-9)]
    assert [panel.x.label for panel in plan.panels] == ["Variance", "Correlation"]
    assert plan.to_frame()["panel"].nunique() == 2
    assert "Dashed: limits of the 95% interval." in plan.notes


def test_open_ends_are_said_and_not_drawn() -> None:
    quiet = mx.EffectSizes(0.2 + 0.01 * np.asarray(TABLE["y"]), TABLE["v"], data=TABLE)
    fit = mx.Multilevel(quiet, "district").fit()
    plan = mx.plots.profile_plan(fit.profile("district"))
    assert len([rule for rule in plan.layers(Rule) if rule.axis == "x"]) == 1
    assert any("begins at 0.00, the edge" in note for note in plan.notes)


def test_one_level_profiles_are_drawn_too() -> None:
    fit = mx.RandomEffects(ES, dependence="accept").fit()
    (dot,) = mx.plots.profile_plan(fit.profile()).layers(Points)
    assert dot.x[0] == pytest.approx(fit.tau2, rel=1e-6)


def test_a_mean_stands_on_the_scale_of_its_measure() -> None:
    bcg = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    fit = mx.RandomEffects(bcg, "latitude").fit()
    profiles = [
        mx.sensitivity.profile(mx.RandomEffects(bcg).fit(), "estimate"),
        mx.sensitivity.profile(fit),
        mx.sensitivity.profile(fit, "latitude"),
    ]
    plan = mx.plots.profile_plan(profiles)
    mean, tau2, latitude = plan.panels
    assert (mean.x.scale, mean.x.label, mean.heading) == ("log", "Risk ratio (log scale)", "Pooled effect")
    assert [(panel.x.scale, panel.x.label) for panel in (tau2, latitude)] == [
        ("linear", "Variance"),
        ("linear", "Coefficient"),
    ]
    np.testing.assert_allclose(layers(mean, Curve)[0].x, np.exp(profiles[0].value))
    ends = [rule.at for rule in layers(mean, Rule) if rule.axis == "x"]
    np.testing.assert_allclose(ends, np.exp([profiles[0].low, profiles[0].high]))
    assert layers(latitude, Points)[0].x == [profiles[2].estimate]
    assert mx.plots.overlapping_texts(mx.plots.profile(plan)) == []


@combined(columns=[1, 3], theme=mx.plots.THEMES)
def test_nothing_overlaps(found, columns: int, theme: str) -> None:
    ax = mx.plots.profile(found, title="Profile likelihoods of a long name", columns=columns, theme=theme)
    assert mx.plots.overlapping_texts(ax) == []


def test_panels_stand_side_by_side_and_below_each_other(found) -> None:
    beside = mx.plots.profile(found).figure
    below = mx.plots.profile(found, columns=1).figure
    beside.draw_without_rendering()
    below.draw_without_rendering()
    (a, b), (c, d) = ([ax.get_position() for ax in figure.axes] for figure in (beside, below))
    assert a.x1 < b.x0
    assert a.y0 == pytest.approx(b.y0)
    assert c.y0 > d.y1
    assert c.x0 == pytest.approx(d.x0)
    assert below.get_figheight() > beside.get_figheight()


def test_limits_and_lines_of_the_user_are_those_of_matplotlib(found) -> None:
    _, ax = plt.subplots()
    assert mx.plots.profile(found[0], ax=ax) is ax
    ax.set_xlim(0.0, 0.05)
    ax.axvline(0.02, color="red")
    ax.figure.draw_without_rendering()
    assert ax.get_xlim() == (0.0, 0.05)
    assert {tick.get_text() for tick in ax.get_xticklabels()} >= {"0.01", "0.05"}


def test_other_things_are_refused() -> None:
    for what in ([], [3.0]):
        with pytest.raises(InputError, match="no profile"):
            mx.plots.profile_plan(what)
