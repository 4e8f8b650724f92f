"""Drawing and saving: the Axes that come back, no overlaps as drawn, the same bytes twice."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import metaexo as mx
from metaexo.errors import UnknownChoiceError
from metaexo.plots import forest, forest_plan, funnel, overlapping_texts, save


@pytest.mark.parametrize("k", [1, 13])
def test_no_two_texts_overlap_as_drawn(make_effects, k):
    ax = forest(mx.stratify(make_effects(k, measure="OR", oriented=True), by="source"), title="Title")
    assert overlapping_texts(ax) == []


def test_overlaps_are_found_where_they_are(make_effects):
    ax = forest(make_effects(3))
    ax.text(0.02, 0.5, "a text in the way", transform=ax.figure.transFigure)
    ax.text(0.98, 0.02, "a text that leaves the figure", transform=ax.figure.transFigure)
    found = overlapping_texts(ax)
    assert ("a text that leaves the figure", "leaves the figure") in found
    assert any("a text in the way" in pair for pair in found)


def test_the_figure_has_the_planned_size(make_effects):
    plan = forest_plan(make_effects(7))
    width, height = forest(plan).figure.get_size_inches()
    assert (72 * width, 72 * height) == pytest.approx((plan.width, plan.height))


@pytest.mark.parametrize("size", [(4.0, 3.0), (12.0, 9.0)])
def test_given_axes_are_drawn_into_and_returned(make_effects, size):
    figure = Figure(figsize=size)
    left, right = figure.subplots(1, 2)
    assert forest(make_effects(12), ax=left) is left
    assert funnel(make_effects(12), ax=right) is right
    assert figure.axes == [left, right]
    assert overlapping_texts(left) == []
    assert overlapping_texts(right) == []
    assert len(left.texts) > 12


@pytest.mark.parametrize("measure", ["SMD", "RR", "PLO", "ZCOR"])
def test_coordinates_are_what_is_shown(make_effects, measure):
    es = make_effects(5, measure=measure)
    plan = forest_plan(es)
    ax = forest(plan)
    row = plan.rows[2]
    shown = float(es.measure.back(es.y[2]))
    pixel = ax.transData.transform((shown, row.y))
    per_point = ax.figure.dpi / 72
    assert pixel[0] / per_point == pytest.approx(plan.panel.x(row.mark.estimate), abs=0.01)
    assert plan.height - pixel[1] / per_point == pytest.approx(row.y, abs=0.01)
    assert ax.get_xscale() == ("log" if measure == "RR" else "linear")
    assert [text.get_text() for text in ax.get_xticklabels()] == [tick.label for tick in plan.axis.ticks]


def marks(ax, shape="s"):
    """Return where the marks of an Axes are drawn, in pixels, from top to bottom."""
    found = [line for line in ax.lines if line.get_marker() == shape]
    places = [line.get_transform().transform((line.get_xdata()[0], line.get_ydata()[0])) for line in found]
    return np.array(sorted(places, key=lambda place: -place[1]))


def test_other_limits_move_marks_ticks_and_what_is_added_later():
    es = mx.EffectSizes(np.log([0.5, 0.7, 1.2, 0.9, 3.0]), [0.01, 0.02, 0.03, 0.01, 0.02], "RR")
    ax = forest(es)
    ax.set_xlim(0.6, 1.4)
    assert ax.get_xlim() == pytest.approx((0.6, 1.4))
    later = ax.axvline(1.2)
    x = later.get_transform().transform((1.2, 0.5))[0]
    assert len(marks(ax)) == 3
    assert marks(ax)[1][0] == pytest.approx(x, abs=0.02)
    assert (len(marks(ax, "<")), len(marks(ax, ">"))) == (1, 1)
    assert {text.get_text() for text in ax.texts} >= {"0.50", "3.00"}
    assert any("2 studies lie outside the axis" in text.get_text() for text in ax.texts)
    ticks = [float(text.get_text()) for text in ax.get_xticklabels()]
    assert len(ticks) >= 3
    assert all(0.6 <= tick <= 1.4 for tick in ticks)
    ax.set_xlim(0.1, 10.0)
    assert len(marks(ax)) == 5
    assert not any("outside" in text.get_text() for text in ax.texts)
    assert overlapping_texts(ax) == []


def test_the_limits_of_other_figures_move_what_they_show(make_effects, studies):
    ax = funnel(make_effects(6))
    ax.set_xlim(-4.0, 4.0)
    ax.set_ylim(1.5, 0.0)
    wanted = ax.transData.transform(np.column_stack([make_effects(6).y, np.sqrt(make_effects(6).v)]))
    assert marks(ax, "o") == pytest.approx(wanted[np.argsort(-wanted[:, 1])], abs=0.05)
    ax = mx.plots.interval_strip(studies, "size_nm", "source")
    before = marks(ax, "o")
    ax.set_xlim(1.0, 1e4)
    values = sorted(studies["size_nm"].dropna())
    wanted = sorted(ax.transData.transform([(value, 0.0) for value in values])[:, 0])
    assert sorted(marks(ax, "o")[:, 0]) == pytest.approx(wanted, abs=0.05)
    assert len(before) == len(values)
    ax = mx.plots.reported_shares(studies, ["isolation"])
    ax.set_xlim(0.0, 50.0)
    inside = [patch for patch in ax.patches if patch.get_clip_on()]
    assert inside


def test_settings_of_the_user_are_left_alone_and_have_no_effect(make_effects, tmp_path):
    plain = save(forest(make_effects(4)), tmp_path / "plain")
    mine = {"font.size": 30.0, "lines.linewidth": 9.0, "axes.facecolor": "red", "savefig.bbox": "tight"}
    with mpl.rc_context(mine):
        before = dict(mpl.rcParams)
        styled = save(forest(make_effects(4)), tmp_path / "styled")
        assert dict(mpl.rcParams) == before
    for one, two in zip(plain, styled, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_same_numbers_give_the_same_bytes_and_noise_changes_nothing(make_effects, tmp_path):
    es = make_effects(13)
    noise = 1 + 1e-13 * np.resize([1.0, -1.0], 13)
    noisy = mx.EffectSizes(es.y * noise, es.v / noise, es.measure, labels=es.labels, data=es.data)
    files = [
        save(forest(mx.stratify(e, by="source")), tmp_path / name)
        + save(funnel(mx.RandomEffects(e).fit(), by="source", contours=True), tmp_path / f"{name}_funnel")
        for name, e in (("one", es), ("two", es), ("noisy", noisy))
    ]
    for first, second, third in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes() == third.read_bytes()


def test_files_hold_no_date_and_no_version(make_effects, tmp_path):
    svg, png, pdf = save(forest(make_effects(2)), tmp_path / "folder" / "figure", ("svg", "png", "pdf"))
    assert [path.name for path in (svg, png, pdf)] == ["figure.svg", "figure.png", "figure.pdf"]
    assert mpl.__version__.encode() not in png.read_bytes()
    assert b"<dc:date>" not in svg.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    with pytest.raises(UnknownChoiceError, match="jpeg"):
        save(forest(make_effects(2)), tmp_path / "figure", ("jpeg",))


def test_dollar_signs_are_no_formulas(make_effects):
    ax = forest(make_effects(2, labels=["costs $5 and $6", "x_1^2"]))
    assert "costs $5 and $6" in [text.get_text() for text in ax.texts]
    assert overlapping_texts(ax) == []


def test_drawing_needs_no_pyplot():
    code = (
        "import sys, metaexo as mx; mx.plots.forest(mx.EffectSizes([0.1], [0.2])); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
