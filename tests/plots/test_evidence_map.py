"""Evidence-gap maps: counts, areas, gaps, places."""

from __future__ import annotations

import re
from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import evidence_map, evidence_map_plan, forest, overlapping_texts, save
from metaexo.plots.grids.evidence_map import BUBBLES
from tests.combined import combined


def bubbles(plan):
    """Return row, column and bubble of every bubble of a map."""
    return [
        (row, column, bubble)
        for row, cells in zip(plan.rows, plan.cells, strict=True)
        for column, cell in zip(plan.columns, cells, strict=True)
        for bubble in cell.bubbles
    ]


def test_the_map_counts_what_the_table_holds(studies):
    plan = evidence_map_plan(studies, "source", "isolation", study="study")
    filled = studies.fillna({"source": "not reported"})
    for row, column, bubble in bubbles(plan):
        part = filled[
            (filled["source"].str.replace("_", " ") == row)
            & (filled["isolation"].str.replace("_", " ") == column)
        ]
        assert int(bubble.text) == part["study"].nunique() == plan.counts[row, column, ""]
    assert plan.total == 20
    assert plan.grand_total == "20"
    assert plan.rows[-1] == "not reported"
    assert len(plan.counts) + len(plan.gaps) == len(plan.rows) * len(plan.columns)
    assert plan.to_frame()["count"].sum() == sum(plan.counts.values())


def test_totals_count_once_and_each_group_by_itself():
    table = pd.DataFrame({"s": ["1", "1", "2", "3"], "r": list("aaab"), "c": list("xyxx"), "g": list("uuvv")})
    plan = evidence_map_plan(table, "r", "c", by="g", study="s")
    assert plan.after.texts == ("1 + 1", "1 + 0")
    assert plan.below.texts == ("2 + 1", "0 + 1")
    assert plan.grand_total == ""
    assert plan.notes[0].endswith("Totals count each once: the cells add up to more.")
    alone = evidence_map_plan(table[1:], "r", "c", by="g", study="s")
    assert "Totals" not in alone.notes[0]
    assert alone.total == 3


def test_areas_of_bubbles_go_with_their_counts():
    table = pd.DataFrame({"r": ["a", "a", "b"], "c": ["x", "y", "x"], "n": [4, 16, 64]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    areas = [bubble.size**2 / int(bubble.text) for *_, bubble in bubbles(plan)]
    assert areas == pytest.approx([26.0**2 / 64] * 3, rel=1e-9)
    assert plan.gaps == (("b", "y"),)
    assert plan.total == 84
    assert [cell.fill != "" for cells in plan.cells for cell in cells] == [False, True, False, False]


def test_bubbles_are_drawn_at_their_cells_and_stay_apart(studies):
    plan = evidence_map_plan(studies, "source", "isolation", by="kind")
    assert len(plan.keys) == 2
    assert len({(key.color, key.shape) for key in plan.keys}) == 2
    assert len({key.shape for key in plan.keys}) == 2, "a shape beside the colour"
    ax = plan.draw()
    ax.figure.draw_without_rendering()
    wide = ax.get_window_extent().width / ax.figure.dpi * 72 / len(plan.columns)
    drawn = sorted(
        tuple(xy.round(3))
        for group in ax.collections
        if group.get_zorder() == 2
        for xy in group.get_offsets()
    )
    wanted = sorted(
        (round(plan.columns.index(column) + bubble.dx / wide, 3), float(plan.rows.index(row)))
        for row, column, bubble in bubbles(plan)
    )
    assert drawn == [pytest.approx(place, abs=2e-3) for place in wanted]
    for cells in plan.cells:
        for cell in cells:
            edges = [
                (bubble.dx - half, bubble.dx + half)
                for bubble in cell.bubbles
                for half in [bubble.size / BUBBLES[bubble.shape][0] * BUBBLES[bubble.shape][1]]
            ]
            assert all(-wide / 2 <= left and right <= wide / 2 for left, right in edges)
            assert all(one[1] < two[0] for one, two in pairwise(sorted(edges)))


def test_categories_that_nobody_studied_are_shown(studies):
    order = ["milk_colostrum", "plant", "urine", "adipose_msc", None]
    plan = evidence_map_plan(studies, "source", "isolation", row_order=order)
    assert plan.rows[0] == "milk colostrum"
    assert plan.after.texts[0] == "0"
    assert sum(row == "milk colostrum" for row, _ in plan.gaps) == 3
    with pytest.raises(InputError, match="urine"):
        evidence_map_plan(studies, "source", "isolation", row_order=["plant", "adipose_msc", None])


@combined(theme=["metaexo", "jama", "dark"], by=[None, "kind"])
def test_texts_of_a_map_never_overlap(studies, by, theme):
    title = "Map " * 60
    assert (
        overlapping_texts(evidence_map(studies, "source", "isolation", by=by, title=title, theme=theme)) == []
    )


def test_numbers_that_do_not_fit_a_bubble_stand_beside_it():
    table = pd.DataFrame({"r": ["a", "b"], "c": ["x", "x"], "n": [12, 9000]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    assert [bubble.inside for *_, bubble in bubbles(plan)] == [True, False]
    assert overlapping_texts(plan.draw()) == []


def test_maps_that_cannot_be_drawn_are_refused(studies):
    with pytest.raises(UnknownChoiceError, match="sauce"):
        evidence_map_plan(studies, "sauce", "isolation")
    with pytest.raises(InputError, match="no rows"):
        evidence_map_plan(studies.iloc[:0], "source", "isolation")
    with pytest.raises(InputError, match="20 values"):
        evidence_map_plan(studies, "source", "isolation", by="study")


def test_rows_and_columns_are_ordered_by_what_is_counted():
    # one study that compares five methods stands in five rows of the table
    table = pd.DataFrame(
        {
            "study": ["a"] * 5 + ["b", "c", "d", "e", "f", "g", "h"],
            "source": ["plasma"] * 5 + ["plant", "plant", "urine", "Other", "Other", "Other", "Not reported"],
            "method": [f"method {i}" for i in range(5)] + ["method 4", "method 4"] + ["Other method"] * 5,
        }
    )
    plan = evidence_map_plan(table, "source", "method", study="study")
    assert list(plan.rows) == ["plant", "plasma", "urine", "Other", "Not reported"]
    assert plan.columns[0] == "method 4"
    assert plan.columns[-1] == "Other method"


def test_a_map_of_many_columns_has_upright_headings(tmp_path):
    names = [f"ultracentrifugation number {i}" for i in range(17)]
    table = pd.DataFrame({"source": ["plant", "urine"] * 34, "method": names * 4})
    plan = evidence_map_plan(table, "source", "method", title="A title", notes=["A remark"])
    assert plan.upright
    ax = plan.draw()
    assert overlapping_texts(ax) == []
    labels = [label for label in ax.get_xticklabels() if label.get_text()]
    assert [label.get_rotation() for label in labels] == [90.0] * 17
    assert " ".join(label.get_text() for label in labels).count("ultracentrifugation") == 17
    files = [save(evidence_map(plan), tmp_path / f"{name}.svg") for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    few = evidence_map_plan(table[table["method"].isin(names[:3])], "source", "method")
    assert not few.upright


def test_more_columns_than_fit_are_refused_with_a_width_that_works():
    table = pd.DataFrame({"source": ["plant"] * 60, "method": [f"method {i}" for i in range(60)]})
    with pytest.raises(InputError, match="choose width=") as refused:
        evidence_map_plan(table, "source", "method")
    width = float(re.search(r"width=([\d.]+)", str(refused.value))[1])
    assert overlapping_texts(evidence_map(table, "source", "method", width=width)) == []


def test_a_map_fits_the_axes_of_the_user(studies):
    figure, ax = plt.subplots(figsize=(8.0, 4.5))
    assert evidence_map(studies, "source", "isolation", ax=ax) is ax
    assert overlapping_texts(figure) == []
    ax.set_xlim(-0.5, 1.5)
    assert ax.get_xlim() == (-0.5, 1.5)
    small = plt.figure(figsize=(3.0, 1.0)).add_subplot()
    with pytest.raises(InputError, match="inches"):
        evidence_map(studies, "source", "isolation", ax=small)


@pytest.mark.parametrize("first", ["map", "forest"])
@pytest.mark.parametrize("second", ["map", "forest"])
def test_what_is_drawn_into_axes_takes_the_place_of_what_was_there(studies, make_effects, first, second):
    def draw(kind, ax):
        if kind == "forest":
            return forest(make_effects(5), title="A forest plot", ax=ax)
        return evidence_map(studies, "source", "isolation", title="A map", ax=ax)

    once = draw(second, plt.figure(figsize=(9, 5)).add_subplot())
    ax = plt.figure(figsize=(9, 5)).add_subplot()
    draw(first, ax)
    draw(second, ax)
    figures = once.figure, ax.figure
    for figure in figures:
        figure.draw_without_rendering()
    assert ax.get_window_extent().bounds == pytest.approx(once.get_window_extent().bounds)
    shown = [
        sorted(text.get_text() for text in figure.findobj(plt.Text) if text.get_text()) for figure in figures
    ]
    assert shown[0] == shown[1]
    assert [one.get_visible() for one in (ax.xaxis, ax.yaxis)] == [
        one.get_visible() for one in (once.xaxis, once.yaxis)
    ]
    assert ax.get_frame_on() == once.get_frame_on()
    assert overlapping_texts(ax.figure) == []


def test_a_map_may_be_drawn_again_into_axes_that_were_cleared(studies):
    ax = plt.figure(figsize=(9, 5)).add_subplot()
    places = []
    for _ in range(3):
        evidence_map(studies, "source", "isolation", title="A map", ax=ax)
        ax.figure.draw_without_rendering()
        places.append(ax.get_window_extent().bounds)
        ax.clear()
    assert places[1:] == places[:1] * 2
