"""Evidence-gap maps: counts, areas, gaps, places."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import evidence_map, evidence_map_plan, overlapping_texts, save
from metaexo.plots.canvas.fonts import text_width
from metaexo.plots.canvas.page import Area
from metaexo.plots.evidence_map import evidence_map_page
from tests.plots.boxes import clashes, text_box


def test_the_map_counts_what_the_table_holds(studies):
    plan = evidence_map_plan(studies, "source", "isolation", study="study")
    filled = studies.fillna({"source": "not reported"})
    for bubble in plan.bubbles:
        part = filled[
            (filled["source"].str.replace("_", " ") == bubble.row)
            & (filled["isolation"].str.replace("_", " ") == bubble.column)
        ]
        assert bubble.count == part["study"].nunique()
    assert plan.total == 20
    assert plan.rows[-1].name == "not reported"
    assert len(plan.bubbles) + len(plan.gaps) == len(plan.rows) * len(plan.columns)
    assert plan.to_frame()["count"].sum() == sum(bubble.count for bubble in plan.bubbles)


def test_areas_of_bubbles_go_with_their_counts():
    table = pd.DataFrame({"r": ["a", "a", "b"], "c": ["x", "y", "x"], "n": [4, 16, 64]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    areas = [b.radius**2 / b.count for b in plan.bubbles]
    assert areas == pytest.approx([13.0**2 / 64] * 3, rel=0.01)
    assert plan.gaps == (("b", "y"),)
    assert plan.total == 84
    shaded = [i for i in evidence_map_page(plan).items if isinstance(i, Area)]
    assert len(shaded) == 1


def test_bubbles_stay_in_their_cells_and_apart(studies):
    plan = evidence_map_plan(studies, "source", "isolation", by="kind")
    columns = {c.name: c for c in plan.columns}
    rows = {r.name: r for r in plan.rows}
    for b in plan.bubbles:
        assert columns[b.column].low <= b.x - b.radius
        assert b.x + b.radius <= columns[b.column].high
        assert rows[b.row].low <= b.y - b.radius
        assert b.y + b.radius <= rows[b.row].high
        for other in plan.bubbles:
            if other != b and (b.row, b.column) == (other.row, other.column):
                assert math.dist((b.x, b.y), (other.x, other.y)) >= b.radius + other.radius


def test_categories_that_nobody_studied_are_shown(studies):
    order = ["milk_colostrum", "plant", "urine", "adipose_msc", None]
    plan = evidence_map_plan(studies, "source", "isolation", row_order=order)
    assert plan.rows[0].name == "milk colostrum"
    assert plan.rows[0].total == 0
    assert sum(row == "milk colostrum" for row, _ in plan.gaps) == 3
    with pytest.raises(InputError, match="urine"):
        evidence_map_plan(studies, "source", "isolation", row_order=["plant", "adipose_msc", None])


@pytest.mark.parametrize("by", [None, "kind"])
def test_texts_of_a_map_never_overlap(studies, by):
    plan = evidence_map_plan(studies, "source", "isolation", by=by, title="Map " * 60)
    assert clashes(evidence_map_page(plan)) == []
    assert overlapping_texts(evidence_map(plan)) == []


def test_numbers_that_do_not_fit_a_bubble_stand_beside_it():
    table = pd.DataFrame({"r": ["a", "b"], "c": ["x", "x"], "n": [12, 9000]})
    plan = evidence_map_plan(table, "r", "c", count="n")
    assert [b.number_inside for b in plan.bubbles] == [False, True]
    assert clashes(evidence_map_page(plan)) == []


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
    assert [row.name for row in plan.rows] == ["plant", "plasma", "urine", "Other", "Not reported"]
    assert plan.columns[0].name == "method 4"
    assert plan.columns[-1].name == "Other method"


def test_a_map_of_many_columns_has_upright_headings_and_is_narrower(tmp_path):
    names = [f"ultracentrifugation number {i}" for i in range(17)]
    table = pd.DataFrame({"source": ["plant", "urine"] * 34, "method": names * 4})
    plan = evidence_map_plan(table, "source", "method", title="A title", notes=["A remark"])
    assert plan.upright
    assert plan.width < 17 * text_width("ultracentrifugation", 8.5), "headings side by side would be wider"
    page = evidence_map_page(plan)
    assert clashes(page) == []
    assert overlapping_texts(evidence_map(plan)) == []
    headings = [text for text in page.texts if text.upright]
    assert " ".join(text.text for text in headings).count("ultracentrifugation") == 17
    assert all(text_box(text)[3] <= plan.rows[0].low for text in headings)
    files = [save(evidence_map(plan), tmp_path / f"{name}.svg") for name in ("one", "two")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    few = evidence_map_plan(table[table["method"].isin(names[:3])], "source", "method")
    assert not few.upright
    assert not any(text.upright for text in evidence_map_page(few).texts)


def test_the_legend_of_a_map_stands_in_rows_above_it(studies):
    table = studies.assign(group=[f"a group with a name of some length {i % 6}" for i in range(40)])
    plan = evidence_map_plan(table, "source", "isolation", by="group")
    assert len(plan.keys) > 1
    assert sorted(key.label for row in plan.keys for key in row) == sorted(set(table["group"]))
    page = evidence_map_page(plan)
    assert clashes(page) == []
    title = next(text for text in page.texts if text.text == plan.column_title)
    assert all(text.y < title.y for text in page.texts if text.text.startswith("a group"))
