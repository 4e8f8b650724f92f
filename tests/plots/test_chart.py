"""The engine of charts: words beside marks, further columns, choices among words, tints."""

from __future__ import annotations

import inspect
import io
import pickle
import time
from dataclasses import replace
from typing import Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from metaexo.errors import UnknownChoiceError
from metaexo.plots import THEMES, Chart, overlapping_texts, plans_of
from metaexo.plots.canvas.arguments import check_of
from metaexo.plots.canvas.chart import Cells, ChartAxis, Curve, Intervals, Panel, Points, Steps, Words, steady
from metaexo.plots.canvas.theme import get_theme
from tests.plots.drawn import as_fonts_allow


def chart_of(*layers):
    panel = Panel(x=ChartAxis(label="x"), y=ChartAxis(label="y"), layers=layers)
    return Chart(panels=(panel,), title="", notes=(), width=4.0, height=3.0, theme=THEMES["metaexo"])


def words_of(ax):
    return [text for text in ax.texts if isinstance(text, Annotation)]


@pytest.mark.parametrize("k", [1, 2, 13, 150])
def test_words_beside_marks_cover_neither_marks_nor_each_other(k):
    draws = np.random.default_rng(k)
    x, y = draws.normal(0, 1, (2, k))
    names = [f"Author {i} {2000 + i % 25}" for i in range(k)]
    ax = chart_of(Points(x=x, y=y, words=names, size=6.0)).draw()
    assert overlapping_texts(ax) == []
    written = words_of(ax)
    assert len(written) == (k if k <= 2 else len(written))
    assert len(written) >= min(k, 8)
    marks = ax.transData.transform(np.column_stack([x, y]))
    for text in written:
        box = text.get_window_extent()
        assert not any(box.x0 < a < box.x1 and box.y0 < b < box.y1 for a, b in marks)
    at = {text.get_text(): text.xy for text in written}
    assert all(at[name] == (x[i], y[i]) for i, name in enumerate(names) if name in at)


def test_the_words_of_the_first_marks_come_first():
    close = Points(x=[0.0, 1e-4, 1.0], y=[0.0, 0.0, 1.0], words=["first", "a very long name " * 4, "last"])
    assert {text.get_text() for text in words_of(chart_of(close).draw())} >= {"first", "last"}


def test_many_words_take_no_time_to_speak_of():
    x, y = np.random.default_rng(0).normal(0, 1, (2, 20_000))
    chart = chart_of(Points(x=x, y=y, words=[str(i) for i in range(20_000)]))
    before = time.process_time()
    chart.draw(Figure())
    assert time.process_time() - before < 10.0


def test_points_may_have_further_columns():
    line = Curve(x=[0.0, 1.0], y=[0.0, 1.0])
    one, two = Points(x=[1.0], y=[2.0], extra={"id": ["a"]}), Points(x=[3.0], y=[4.0], extra={"id": ["b"]})
    frame = chart_of(one, line, two).to_frame()
    assert frame["id"].fillna("").tolist() == ["a", "", "", "b"]
    assert frame.loc[frame["id"] == "b", "x"].tolist() == [3.0]
    assert "id" not in chart_of(line).to_frame()


def test_a_choice_among_words_is_checked_by_its_annotation():
    def plan(results, *, order: Literal["given", "rising"] = "given"):
        """Plan."""

    check = check_of("plan", inspect.signature(plan).parameters["order"])
    assert check("order", "rising") is None
    with pytest.raises(UnknownChoiceError) as error:
        check("order", "risng")
    assert error.value.nearest == "rising"


def test_a_tint_lies_between_background_and_ink():
    for theme in THEMES.values():
        assert theme.tint(0.0) == theme.paper
        assert theme.tint(1.0) == theme.ink
    assert THEMES["jama"].tint(0.5) == "#808080"


@pytest.mark.parametrize(
    ("settings", "fonts"),
    [
        ({}, ("DejaVu Sans",)),
        ({"font.monospace": ["Courier New"]}, ("DejaVu Sans",)),
        ({"font.sans-serif": ["Arial", "DejaVu Sans"]}, ("Arial", "DejaVu Sans")),
        ({"font.family": ["Verdana", "monospace"], "font.monospace": ["Courier"]}, ("Verdana", "Courier")),
    ],
)
def test_the_fonts_of_a_figure_are_those_of_the_family_in_use(settings, fonts):
    """Other packages change the fonts of families that no figure uses."""
    with mpl.rc_context(settings):
        assert get_theme().fonts == fonts


def test_words_beside_marks_keep_clear_of_other_words():
    points = Points(x=[0.5], y=[0.5], words=["beside"])
    ax = chart_of(points, Words(x=0.5, y=0.5, text="a text that stands here already", align="center")).draw()
    assert overlapping_texts(ax) == []
    assert len(ax.texts) == 2


def test_noise_in_the_last_digits_changes_no_place():
    values = np.array([0.1, -3.0, 0.0, np.inf, 1e-9, 12345.678])
    assert steady(values * (1 + 1e-13)).tolist() == steady(values).tolist()
    assert steady(values) == pytest.approx(values, rel=1e-9)


def test_axes_of_the_user_get_the_look_of_the_theme_and_others_keep_their_own():
    _, (left, right) = plt.subplots(1, 2)
    before = right.get_facecolor()
    replace(chart_of(Points(x=[0.5], y=[0.5])), theme=THEMES["dark"]).draw(left)
    assert to_hex(left.get_facecolor()) == THEMES["dark"].paper
    assert right.get_facecolor() == before
    assert {to_hex(label.get_color()) for label in left.get_xticklabels()} == {THEMES["dark"].ink}
    assert left.get_xticklabels()[0].get_size() == THEMES["dark"].small
    assert not left.spines["top"].get_visible()


def test_letters_of_a_legend_have_a_font():
    ax = chart_of(Points(x=[0.5], y=[0.5], name="王 2021")).draw()
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_texts()[0].get_text() == as_fonts_allow("王 2021")


def test_a_figure_with_a_chart_can_be_pickled():
    chart = chart_of(Points(x=[0.5, 2.0], y=[0.5, 1.0]))
    (panel,) = chart.panels
    chart = replace(chart, panels=(replace(panel, y=replace(panel.y, opposite=[(0.5, "half")])),))
    again = pickle.loads(pickle.dumps(chart.draw().figure)).axes[0]
    again.set_xlim(0.0, 10.0)
    again.figure.draw_without_rendering()
    assert [text.get_text() for text in again.get_xticklabels()][-1] == "10"


# -- labels without room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 60])
def test_labels_that_find_no_room_are_counted_below(k):
    places = np.linspace(0.0, 1.0, k)
    names = [f"Author number {i} of all" for i in range(k)]
    plan = replace(chart_of(Points(x=places, y=places, words=names)), notes=("A note.",))
    ax = plan.draw()
    lost = k - len(words_of(ax))
    assert (lost > 0) is (k == 60)
    told = (f"Labels without room are left out: {lost} of {k}.",) if lost else ()
    assert plans_of(ax)[0].notes == ("A note.", *told)
    assert ax.figure.get_supxlabel() == "\n".join(("A note.", *told))
    assert overlapping_texts(ax) == []
    if lost:
        assert told[0] in plans_of(ax)[0].alternative


def test_room_for_a_count_of_labels_is_given_back():
    with_words = chart_of(Points(x=[0.0, 1.0], y=[0.0, 1.0], words=["a", "b"])).draw()
    without = chart_of(Points(x=[0.0, 1.0], y=[0.0, 1.0])).draw()
    heights = []
    for ax in (with_words, without):
        ax.figure.savefig(io.BytesIO())
        heights.append(ax.get_position().height)
    assert heights[0] == pytest.approx(heights[1], rel=1e-6)


@pytest.mark.parametrize("across", [True, False])
def test_words_beside_marks_keep_clear_of_intervals(across):
    values = np.linspace(0.02, 0.98, 25)
    lines = Intervals(at=values, low=[0.5] * 25, high=[np.inf] * 25, across=across)
    x, y = ([0.45], [0.5]) if across else ([0.5], [0.35])
    panel = Panel(
        x=ChartAxis(limits=(0.0, 1.0)),
        y=ChartAxis(limits=(0.0, 1.0)),
        layers=[lines, Points(x=x, y=y, words=["a label"])],
    )
    (text,) = words_of(replace(chart_of(), panels=(panel,)).draw())
    ax = text.axes
    ax.figure.draw_without_rendering()
    box = text.get_window_extent()
    edge = ax.transData.transform((0.5, 0.5))
    assert (box.x1 < edge[0]) if across else (box.y1 < edge[1])


# -- names beside Axes of the user's -------------------------------------------------------------------------


def test_names_of_rows_stay_beside_axes_that_no_layout_moves():
    names = ["sampling error (typical)", "a name of a component that is far too long for one line or two"]
    panel = Panel(
        x=ChartAxis(), y=ChartAxis(ticks=list(enumerate(names))), layers=[Points(x=[0.0, 1.0], y=[0.0, 1.0])]
    )
    chart = replace(chart_of(), panels=(panel,))
    _, (one, other) = plt.subplots(ncols=2, figsize=(9.0, 5.0))
    for ax in (one, other):
        chart.draw(ax)
    assert overlapping_texts(one) == []
    ends = [label.get_window_extent().x0 for label in other.get_yticklabels()]
    assert min(ends) >= one.get_window_extent().x1
    assert [label.get_text().replace("\n", " ") for label in one.get_yticklabels()] == names
    _, low = plt.subplots(figsize=(5.0, 0.6))
    assert all("\n" not in label.get_text() for label in chart.draw(low).get_yticklabels())


# -- many points as cells, and distributions at the edges of a panel ----------------------------------------

EDGES = np.linspace(-4.0, 4.0, 41)


def cells_of(x, y, **look):
    counts = np.histogram2d(y, x, [EDGES, EDGES])[0].astype(np.int64)
    return Cells(x=EDGES.tolist(), y=EDGES.tolist(), counts=counts, **look)


def test_cells_show_counts_and_are_in_the_table_of_the_chart():
    x, y = np.random.default_rng(1).normal(0, 0.8, (2, 5000))
    layer = cells_of(x, y, name="all of them")
    chart = chart_of(layer)
    ax = chart.draw()
    (mesh,) = ax.collections
    drawn = np.ma.asarray(mesh.get_array()).reshape(layer.counts.shape)
    assert drawn.filled(0).tolist() == layer.counts.tolist()
    ax.figure.draw_without_rendering()
    strength = mesh.get_facecolor()[:, 3].reshape(layer.counts.shape)
    assert (strength[layer.counts == 0] == 0).all()
    order = np.argsort(layer.counts, axis=None)
    assert (np.diff(strength.ravel()[order]) >= 0).all()
    frame = chart.to_frame()
    assert frame["count"].sum() == layer.counts.sum() == 5000
    most = frame.loc[frame["count"].idxmax()]
    row, column = np.unravel_index(layer.counts.argmax(), layer.counts.shape)
    assert EDGES[column] < most["x"] < EDGES[column + 1]
    assert EDGES[row] < most["y"] < EDGES[row + 1]
    assert "5000 points" in chart.describe()
    legend = next(one.get_legend() for one in ax.figure.axes if one.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["all of them"]


def test_the_line_around_cells_holds_the_share_that_it_says():
    x, y = np.random.default_rng(2).normal(0, 0.8, (2, 200_000))
    ax = chart_of(cells_of(x, y, edge="dashed", held=0.9)).draw()
    (line,) = ax.collections[1].get_paths()
    inside = line.contains_points(np.column_stack([x, y]))
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    equal = Cells(x=EDGES.tolist(), y=EDGES.tolist(), counts=np.ones((40, 40), dtype=np.int64), edge="solid")
    empty = replace(equal, counts=np.zeros((40, 40), dtype=np.int64))
    assert len(chart_of(equal).draw().collections) == len(chart_of(empty).draw().collections) == 1


def test_distributions_at_the_edges_share_the_axes_of_the_panel():
    counts = [0.0, 3.0, 5.0, 0.0, 1.0, 0.0]
    edges = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    panel = Panel(
        x=ChartAxis(scale="log", limits=(1.0, 64.0)),
        y=ChartAxis(limits=(0.0, 64.0)),
        layers=[Points(x=[2.0], y=[3.0])],
        above=[Steps(edges=edges, heights=counts, edge="dashed")],
        beside=[Steps(edges=edges, heights=counts, across=True), Steps(edges=edges, heights=[0.0] * 6)],
    )
    chart = replace(chart_of(), panels=(panel,))
    ax = chart.draw()
    above, beside = ax.child_axes
    fill, line = above.patches
    for patch in (fill, line):
        values, places, _ = patch.get_data()
        assert values.tolist() == counts[1:5]
        assert places.tolist() == edges[1:6]
    assert len(beside.patches) == 2
    assert above.get_xscale() == "log"
    ax.set_xlim(2.0, 8.0)
    ax.set_ylim(5.0, 9.0)
    assert above.get_xlim() == (2.0, 8.0)
    assert beside.get_ylim() == (5.0, 9.0)
    ax.figure.draw_without_rendering()
    assert above.get_window_extent().y0 > ax.get_window_extent().y1
    assert beside.get_window_extent().x1 <= ax.figure.bbox.width
    assert overlapping_texts(ax) == []
    frame = chart.to_frame().query("layer == 'steps'")
    assert frame["y"].dropna().iloc[:6].tolist() == counts
    assert frame["low"].iloc[:6].tolist() == edges[:-1]
    _, own = plt.subplots()
    assert chart.draw(own).child_axes == []
