"""The room that a chart has for panels and words; many curves at once; the other side of an axis."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import Chart, overlapping_texts
from metaexo.plots.canvas.chart import ChartAxis, Curves, Panel, Points
from metaexo.plots.canvas.theme import get_theme
from tests.combined import combined


def chart(layers=(), **choices):
    """Return a chart of one panel."""
    axes = {"x": ChartAxis(limits=(0.0, 1.0)), "y": ChartAxis(limits=(0.0, 1.0))} | choices.pop("axes", {})
    made = {"title": "A title", "notes": ("A note.",), "width": 5.0, "height": 4.0, "theme": get_theme()}
    return Chart(panels=(Panel(**axes, layers=layers),), legend="below", **(made | choices))


def height_of_panel(ax):
    """Return the height of the first panel in points, as it is drawn."""
    ax.figure.draw_without_rendering()
    return ax.get_window_extent().height * 72 / ax.figure.dpi


@pytest.mark.parametrize("notes", [(), ("A note of some words that fills a line and more, " * 8,) * 4])
@pytest.mark.parametrize("names", [1, 9])
@pytest.mark.parametrize("font_size", [7.0, 14.0])
def test_a_panel_keeps_its_height_whatever_stands_around_it(notes, names, font_size):
    layers = [Points(x=[0.5], y=[0.1 * i], name=f"a name of some length, {i}") for i in range(names)]
    plan = chart(layers, notes=notes, theme=get_theme(font_size=font_size)).with_panels(200.0)
    ax = plan.draw()
    assert height_of_panel(ax) == pytest.approx(200.0, abs=25.0)
    assert overlapping_texts(ax) == []


def test_names_below_that_are_too_long_for_one_column_break():
    plan = chart(
        [Points(x=[0.5], y=[0.5], name="a name of eighty letters and more than that, " * 3)], width=3.0
    )
    ax = plan.draw()
    assert overlapping_texts(ax) == []
    legend = next(one.get_legend() for one in ax.figure.axes if one.get_legend())
    assert "\n" in legend.get_texts()[0].get_text()


@pytest.mark.parametrize("size", [{"height": 0.6}, {"width": 0.6}])
def test_a_figure_without_room_for_its_panel_is_refused(size):
    with pytest.raises(InputError, match="make it larger"):
        chart([Points(x=[0.5], y=[0.5], name="a name")], **size).draw()
    with pytest.raises(InputError, match="at least"):
        chart().draw(plt.figure(figsize=(0.5, 0.5)))


def test_many_curves_are_one_artist_with_their_places():
    x, y = np.linspace(0, 1, 30).reshape(3, 10), np.linspace(0, 1, 10)
    plan = chart([Curves(x=x.tolist(), y=y.tolist(), labels=["a", "b", "c"])])
    (lines,) = plan.draw().collections
    for segment, own in zip(lines.get_segments(), x, strict=True):
        assert segment == pytest.approx(np.column_stack([own, y]))
    frame = plan.to_frame()
    assert frame["label"].tolist() == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert frame["x"].tolist() == pytest.approx(x.ravel().tolist())


def test_faint_lines_are_seen_in_the_legend():
    ax = chart([Curves(x=[[0.0, 1.0]], y=[0.0, 1.0], name="single study", alpha=0.2)]).draw()
    (sign,) = next(one.get_legend() for one in ax.figure.axes if one.get_legend()).legend_handles
    assert sign.get_alpha() == 1.0
    assert ax.collections[0].get_alpha() == 0.2


def test_the_other_side_has_ticks_of_its_own_that_move_with_the_axis():
    y = ChartAxis(limits=(0.0, 1.0), opposite=[(0.2, "low"), (0.8, "high\nenough")], opposite_label="Level")
    ax = chart(axes={"y": y}).draw()
    (beside,) = ax.child_axes
    assert [label.get_text() for label in beside.get_yticklabels()] == ["low", "high\nenough"]
    assert beside.get_yticks().tolist() == [0.2, 0.8]
    ax.set_ylim(0.0, 2.0)
    ax.figure.draw_without_rendering()
    assert beside.get_ylim() == (0.0, 2.0)


@pytest.mark.parametrize("font_size", [8.0, 15.0])
def test_ticks_stand_apart_in_letters_of_any_size(font_size):
    axes = {
        "y": ChartAxis(limits=(0.09, 11.0), scale="log"),
        "x": ChartAxis(limits=(0.09, 11.0), scale="log"),
    }
    ax = chart(axes=axes, theme=get_theme(font_size=font_size)).with_panels(150.0).draw()
    assert overlapping_texts(ax) == []


@combined(
    style=[{"font.size": 17.0, "xtick.labelsize": 16.0}, "fivethirtyeight", "default"],
    kind=["labbe", "radial", "normal_quantile", "funnel", "doi"],
)
def test_axes_and_legends_of_large_letters_stay_in_the_figure(kind, style):
    trials = mx.load_dataset("bcg")
    fit = mx.RandomEffects(mx.effect_sizes("RR", data=trials, labels=trials["study"])).fit()
    with plt.style.context(style):
        ax = getattr(mx.plots, kind)(fit)
    assert overlapping_texts(ax) == []
    ax.figure.draw_without_rendering()
    label = ax.yaxis.label.get_window_extent()
    assert label.x0 >= 0
    assert label.height <= ax.figure.bbox.height
