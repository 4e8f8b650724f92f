"""Strips of values by category."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import interval_strip, interval_strip_plan, overlapping_texts
from metaexo.plots.canvas.page import Area, Dot
from metaexo.plots.strip import strip_page
from tests.plots.boxes import clashes


def strip_of(studies, **choices):
    table = studies.assign(
        low=studies["size_nm"] - studies["size_sd"], high=studies["size_nm"] + studies["size_sd"]
    )
    return interval_strip_plan(table, "size_nm", low="low", high="high", by="kind", study="study", **choices)


def test_a_strip_shows_every_value(studies):
    plan = strip_of(studies, rows="source")
    frame = plan.to_frame()
    there = studies.dropna(subset=["size_nm"])
    assert sorted(frame["value"]) == pytest.approx(sorted(there["size_nm"]))
    assert sorted(frame["low"]) == pytest.approx(sorted(there["size_nm"] - 20))
    missing = int(studies["size_nm"].isna().sum())
    assert missing > 0
    assert plan.notes == (f"Not shown: {missing} rows of the table without a value.",)
    row = next(row for row in plan.rows if row.label == ("plant",))
    part = there[there["source"] == "plant"]
    assert row.cells == (str(len(part)), str(part["study"].nunique()), f"{part['size_nm'].median():.0f}")


def test_points_of_a_strip_do_not_overlap(studies):
    plan = strip_of(studies, rows="isolation")
    for row in plan.rows:
        places = [(plan.panel.x(p.value), p.y) for p in row.points]
        assert all(abs(y - row.y) <= row.height / 2 for _, y in places)
        for i, one in enumerate(places):
            assert all(math.dist(one, two) >= 5.0 for two in places[:i])


def test_two_columns_make_heads(studies):
    plan = strip_of(studies, rows=["source", "isolation"], title="Sizes", reference=120.0)
    heads = [row.label[0] for row in plan.rows if row.kind == "head"]
    assert set(heads) == {"adipose msc", "plant", "urine", "not reported"}
    assert heads[-1] == "not reported"
    assert clashes(strip_page(plan)) == []
    assert overlapping_texts(interval_strip(plan)) == []
    assert plan.axis.reference == pytest.approx(math.log(120.0))


def test_an_interval_below_zero_runs_out_of_a_logarithmic_axis():
    table = pd.DataFrame(
        {"size": [100.0, 120.0, 90.0], "low": [-20.0, 100.0, 80.0], "high": [200.0, 140.0, 99.0]}
    )
    table["source"] = "plant"
    plan = interval_strip_plan(table, "size", "source", low="low", high="high")
    assert plan.rows[0].points[0].low == -math.inf
    assert math.exp(plan.axis.low) > 50
    arrows = [i for i in strip_page(plan).items if isinstance(i, Area)]
    assert plan.panel.left in [arrow.points[0][0] for arrow in arrows]


def test_values_that_a_logarithmic_axis_cannot_show_are_refused():
    table = pd.DataFrame({"size": [100.0, 0.0], "source": ["plant", "urine"]})
    with pytest.raises(InputError, match="row 2: 0"):
        interval_strip_plan(table, "size", "source")
    assert len(interval_strip_plan(table, "size", "source", log=False).rows) == 2
    with pytest.raises(InputError, match="no number"):
        interval_strip_plan(table.assign(size=np.nan), "size", "source")


def test_medians_have_about_three_significant_digits():
    for factor, text in ((1.0, "1.04"), (10.0, "10.4"), (100.0, "104"), (1000.0, "1041")):
        table = pd.DataFrame({"x": factor * np.array([1.0376, 1.0444]), "row": ["a", "a"]})
        assert interval_strip_plan(table, "x", "row").rows[0].cells == ("2", text)
    whole = pd.DataFrame({"x": [3.0, 5.0], "row": ["a", "a"]})
    assert interval_strip_plan(whole, "x", "row").rows[0].cells == ("2", "4")


def test_columns_of_the_table_may_stand_in_place_of_counts(studies):
    table = studies.dropna(subset=["size_nm"]).assign(
        row=lambda t: [f"row {i // 2}" for i in range(len(t))],
        said=lambda t: [f"{size:.0f} nm" for size in t["size_nm"]],
    )
    plan = interval_strip_plan(table, "size_nm", "row", by="kind", cells={"said": "Size", "kind": "Kind"})
    assert [title for title, _ in plan.columns] == ["Size", "Kind"]
    for row in plan.rows:
        members = table[table["row"] == row.label[0]]
        assert row.cells[0].split("\n") == list(dict.fromkeys(members["said"]))
        assert set(row.cells[1].split("\n")) == set(members["kind"])
        assert row.height >= 10.0 * len(row.cells[0].split("\n"))
    assert {key.label for row in plan.keys for key in row} == {"clinical", "preclinical"}
    assert clashes(strip_page(plan)) == []
    with pytest.raises(UnknownChoiceError, match="tolled"):
        interval_strip_plan(table, "size_nm", "row", cells={"tolled": "Size"})


def test_a_strip_may_have_no_columns_on_the_right(studies):
    plan = interval_strip_plan(studies, "size_nm", "source", cells={})
    assert plan.columns == ()
    assert {row.cells for row in plan.rows} == {()}
    assert overlapping_texts(interval_strip(plan)) == []


def test_headings_and_orders_of_a_strip_can_be_chosen(studies):
    orders = {"head_order": [None, "urine", "plant", "adipose_msc"], "by_order": ["preclinical", "clinical"]}
    plan = strip_of(
        studies, rows=["source", "isolation"], row_title="What", study_title="Laboratories", **orders
    )
    assert plan.row_title == "What"
    assert [title for title, _ in plan.columns] == ["n", "Laboratories", "Median"]
    heads = [row.label[0] for row in plan.rows if row.kind == "head"]
    assert heads == ["not reported", "urine", "plant", "adipose msc"]
    assert [key.label.partition(" ")[0] for key in plan.keys[0]] == ["preclinical", "clinical"]
    assert plan.keys[0][0].color == next(
        p.color for row in plan.rows for p in row.points if p.group == "preclinical"
    )


def test_long_heads_are_broken_into_lines():
    head = "patient samples, the fluid of which is not named in the repository of the paper"
    table = pd.DataFrame({"size": [100.0, 120.0], "head": head, "source": ["plant", "urine"]})
    plan = interval_strip_plan(table, "size", ["head", "source"])
    assert " ".join(plan.rows[0].label) == head
    assert len(plan.rows[0].label) == 2
    assert plan.panel.left < 260.0
    assert clashes(strip_page(plan)) == []


# -- a name has the y of its point ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_name_has_the_height_of_its_point(seed):
    draws = np.random.default_rng(seed)
    k = 18
    table = pd.DataFrame(
        {
            "g": draws.normal(0, 1, k),
            "row": draws.choice(["SEC", "UC", "kit"], k),
            "head": draws.choice(["patients", "animals"], k),
            "study": [f"Study {i}" for i in range(k)],
            "journal": draws.choice(["A", "B"], k),
        }
    )
    table["low"], table["high"] = table["g"] - 0.6, table["g"] + 0.6
    cells = {"study": "Study", "journal": "Journal"}
    plan = interval_strip_plan(table, "g", ["head", "row"], low="low", high="high", log=False, cells=cells)
    value_of = dict(zip(table["study"], table["g"], strict=True))
    journal_of = dict(zip(table["study"], table["journal"], strict=True))
    seen = []
    for row in plan.rows:
        names = {text: y for column, text, y in row.texts if column == 0}
        journals = {y: text for column, text, y in row.texts if column == 1}
        for point in row.points:
            (name,) = [text for text, y in names.items() if y == point.y]
            assert value_of[name] == point.value
            assert journals.get(point.y, *{journals[row.y]} if len(journals) == 1 else ()) == journal_of[name]
            seen.append(name)
    assert sorted(seen) == sorted(table["study"])
    page = strip_page(plan)
    for row in plan.rows:
        for _, text, y in row.texts:
            assert any(t.text == text and abs(t.y - y) < 5 for t in page.texts)
    assert clashes(page) == []


def test_points_of_one_name_stand_at_its_height():
    table = pd.DataFrame({"x": [1.0, 1.0, 1.0, 1.0], "row": "a", "name": ["Li", "Cho", "Li", "Cho"]})
    (row,) = interval_strip_plan(table, "x", "row", log=False, cells={"name": "Study"}).rows
    heights = {text: y for _, text, y in row.texts}
    spread = {name: [p.y for p in row.points if p.cells == (name,)] for name in heights}
    for name, y in heights.items():
        assert np.mean(spread[name]) == pytest.approx(y, abs=0.02)
    assert max(spread["Li"]) < min(spread["Cho"])


def test_a_value_outside_the_limits_has_a_mark_at_the_edge_and_is_counted():
    table = pd.DataFrame({"x": [1.0, 2.0, 9.0, -4.0], "row": ["a", "a", "a", "b"]})
    plan = interval_strip_plan(table, "x", "row", log=False, limits=(0.0, 3.0))
    page = strip_page(plan)
    dots = [item for item in page.items if isinstance(item, Dot)]
    assert sorted(dot.shape for dot in dots) == ["circle", "circle", "left", "right"]
    assert {text.text for text in page.texts} >= {"9.00", "−4.00"}
    assert any(note.startswith("2 values lie outside the axis") for note in plan.notes)
    assert clashes(page) == []


@pytest.mark.parametrize("from_plan", [True, False])
def test_no_value_is_lost_at_other_limits(from_plan):
    table = pd.DataFrame({"x": [1.0, 2.0, 9.0, 4.0], "row": ["a", "a", "a", "b"]})
    plan = interval_strip_plan(table, "x", "row", log=False)
    ax = interval_strip(plan) if from_plan else interval_strip(table, "x", "row", log=False)
    for limits, outside in (((0.0, 3.0), 2), ((0.0, 10.0), 0), ((1.5, 3.0), 3)):
        ax.set_xlim(*limits)
        shapes = [line.get_marker() for line in ax.lines if line.get_marker() not in ("None", "")]
        assert len(shapes) == 4
        assert sum(shape in "<>" for shape in shapes) == outside
        said = [text.get_text() for text in ax.texts if "outside the axis" in text.get_text()]
        assert bool(said) == bool(outside)
        assert overlapping_texts(ax) == []
