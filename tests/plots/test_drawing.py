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
    ax.text(0.02, 0.5, "a text in the way", transform=ax.transAxes)
    ax.text(0.98, 0.02, "a text that leaves the figure", transform=ax.transAxes)
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


def test_coordinates_are_effects_on_the_scale_of_the_analysis(make_effects):
    plan = forest_plan(make_effects(5))
    ax = forest(plan)
    row = plan.rows[2]
    pixel = ax.transData.transform((row.mark.estimate, row.y))
    per_point = ax.figure.dpi / 72
    assert pixel[0] / per_point == pytest.approx(plan.panel.x(row.mark.estimate), abs=0.01)
    assert plan.height - pixel[1] / per_point == pytest.approx(row.y, abs=0.01)


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
