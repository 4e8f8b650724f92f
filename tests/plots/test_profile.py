"""Plots of profile likelihoods show the numbers of the profiles, cut at the edges of their panels."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots.canvas.page import Line
from metaexo.plots.profile import curves_page, cut_curve

TABLE = mx.load_dataset("school_calendars")
ES = mx.EffectSizes(TABLE["y"], TABLE["v"], data=TABLE)


@pytest.fixture(scope="module")
def fit() -> mx.models.MultilevelResults:
    return mx.Multilevel(ES, mx.RandomTerm("district", "school", "CS")).fit()


def test_curve_estimate_and_interval_are_those_of_the_profile(fit: mx.models.MultilevelResults) -> None:
    found = [fit.profile(name) for name in fit.component_values]
    plan = mx.plots.profile_plan(found)
    for one, shown in zip(found, plan.sets, strict=True):
        np.testing.assert_allclose(shown.curves[0].points, np.c_[one.value, one.llf - one.maximum])
        assert shown.upright == (one.limits.low, one.limits.high)
        assert shown.dots == ((one.limits.estimate, 0.0),)
        assert shown.across[0] == pytest.approx(-3.841458820694124 / 2, rel=1e-9)
    assert [one.axis.label for one in plan.sets] == ["variance", "correlation"]
    assert plan.to_frame()["panel"].nunique() == 2


def test_open_ends_are_said_and_not_drawn() -> None:
    quiet = mx.EffectSizes(0.2 + 0.01 * np.asarray(TABLE["y"]), TABLE["v"], data=TABLE)
    fit = mx.Multilevel(quiet, "district").fit()
    plan = mx.plots.profile_plan(fit.profile("district"))
    assert len(plan.sets[0].upright) == 1
    assert any("begins at 0.00, the edge" in note for note in plan.notes)


def test_one_level_profiles_are_drawn_too() -> None:
    fit = mx.RandomEffects(ES, dependence="accept").fit()
    shown = mx.plots.profile_plan(fit.profile()).sets[0]
    assert shown.dots[0][0] == pytest.approx(fit.tau2, rel=1e-6)


def test_lines_stay_in_their_panels(fit: mx.models.MultilevelResults) -> None:
    plan = mx.plots.profile_plan([fit.profile(name) for name in fit.component_values])
    low, high = min(p.top for p in plan.panels), max(p.bottom for p in plan.panels)
    curves = [item for item in curves_page(plan).items if isinstance(item, Line) and item.width == 1.2]
    assert len(curves) == 2
    assert all(low - 0.01 <= y <= high + 0.01 for line in curves for _, y in line.points)


@pytest.mark.parametrize("columns", [1, 3])
def test_nothing_overlaps(fit: mx.models.MultilevelResults, columns: int) -> None:
    several = [fit.profile(name) for name in fit.component_values]
    ax = mx.plots.profile(several, title="Profile likelihoods of a long name", columns=columns)
    assert not mx.plots.overlapping_texts(ax)


def test_a_curve_that_leaves_and_returns_is_two_parts() -> None:
    points = [(0.0, 0.0), (1.0, -4.0), (2.0, -4.0), (3.0, 0.0)]
    assert cut_curve(points, -2.0, 1.0) == [((0.0, 0.0), (0.5, -2.0)), ((2.5, -2.0), (3.0, 0.0))]


def test_other_things_are_refused() -> None:
    for what in ([], [3.0]):
        with pytest.raises(InputError, match="no profile"):
            mx.plots.profile_plan(what)
