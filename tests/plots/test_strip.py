"""Strips of values by category."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.transforms import Affine2D

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import THEMES, interval_strip, interval_strip_plan, overlapping_texts
from metaexo.plots.canvas.theme import MARKERS
from metaexo.plots.table.lanes import in_lanes
from tests.combined import combined
from tests.plots.drawn import AT_EDGE, MARK, points, texts


def strip_of(studies, **choices):
    table = studies.assign(
        low=studies["size_nm"] - studies["size_sd"], high=studies["size_nm"] + studies["size_sd"]
    )
    return interval_strip_plan(table, "size_nm", low="low", high="high", by="kind", study="study", **choices)


def categories(plan):
    return [row for row in plan.rows if row.kind == "study"]


def drawn(ax):
    """Return the shown values of the marks within the panel, and the edges (0, 1) of those beyond it."""
    return [x for x, *_ in points(ax)], [x for x, *_ in points(ax, AT_EDGE)]


def test_a_strip_shows_every_value(studies):
    plan = strip_of(studies, rows="source")
    frame = plan.to_frame()
    there = studies.dropna(subset=["size_nm"])
    assert sorted(frame["estimate"]) == pytest.approx(sorted(there["size_nm"]))
    assert sorted(frame["low"]) == pytest.approx(sorted(there["size_nm"] - 20))
    assert set(frame["group"]) == {"clinical", "preclinical"}
    missing = int(studies["size_nm"].isna().sum())
    assert missing > 0
    assert plan.notes == (f"Not shown: {missing} rows of the table without a value.",)
    (row,) = (row for row in plan.rows if row.cells["label"] == ("plant",))
    part = there[there["source"] == "plant"]
    assert [row.cells[key][0] for key in ("n", "studies", "median")] == [
        str(len(part)),
        str(part["study"].nunique()),
        f"{part['size_nm'].median():.0f}",
    ]


@pytest.mark.parametrize("width", [4.5, 7.0, 12.0])
def test_points_of_a_strip_do_not_overlap(studies, width):
    plan = strip_of(studies, rows="isolation", width=width)
    low, high = math.log(plan.axis.low), math.log(plan.axis.high)
    per_log = (plan.panel.right - plan.panel.left) / (high - low)
    for row in plan.rows:
        assert all(abs(mark.lane) + mark.size / 2 <= row.height / 2 for mark in row.marks)
        places = [(math.log(mark.estimate) * per_log, mark.lane) for mark in row.marks]
        for i, one in enumerate(places):
            assert all(math.dist(one, two) >= 5.0 for two in places[:i])
        for i, one in enumerate(row.marks):  # nor does an interval run through the mark of another
            for two in row.marks[:i]:
                assert one.lane != two.lane or one.high < two.low or two.high < one.low


def test_two_columns_make_heads(studies):
    plan = strip_of(studies, rows=["source", "isolation"], title="Sizes", reference=120.0)
    heads = [row.text[0] for row in plan.rows if row.kind == "head"]
    assert set(heads) == {"adipose msc", "plant", "urine", "not reported"}
    assert heads[-1] == "not reported"
    assert overlapping_texts(interval_strip(plan)) == []
    assert plan.axis.reference == 120.0
    frame = plan.to_frame().dropna(subset=["estimate"])
    named = studies.assign(source=studies["source"].fillna("not reported").str.replace("_", " "))
    wanted = named.dropna(subset=["size_nm"]).groupby("source")["size_nm"].apply(sorted)
    assert frame.groupby("head")["estimate"].apply(sorted).to_dict() == wanted.to_dict()


def test_an_interval_below_zero_runs_out_of_a_logarithmic_axis():
    table = pd.DataFrame(
        {"size": [100.0, 120.0, 90.0], "low": [-20.0, 100.0, 80.0], "high": [200.0, 140.0, 99.0]}
    )
    table["source"] = "plant"
    plan = interval_strip_plan(table, "size", "source", low="low", high="high")
    mark = plan.rows[0].marks[0]
    assert (mark.low, mark.cut_low, mark.cut_high) == (-20.0, True, False)
    assert plan.axis.low > 50
    ax = interval_strip(plan)
    heads = [c for c in ax.collections if c.get_zorder() == 2.1]
    assert [x for c in heads for x, _ in c.get_offsets()] == [0.0]  # one arrow, at the left edge


def test_an_interval_with_one_end_starts_at_the_value():
    table = pd.DataFrame({"x": [1.0, 2.0], "high": [3.0, np.nan], "row": "a"})
    ax = interval_strip(table, "x", "row", high="high", log=False)
    lines = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert [[x for x, _ in s] for c in lines for s in c.get_segments()] == [[1.0, 3.0]]


def test_values_that_a_logarithmic_axis_cannot_show_are_refused():
    table = pd.DataFrame({"size": [100.0, 0.0], "source": ["plant", "urine"]})
    with pytest.raises(InputError, match="row 2: 0"):
        interval_strip_plan(table, "size", "source")
    assert len(interval_strip_plan(table, "size", "source", log=False).rows) == 2
    with pytest.raises(InputError, match="no number"):
        interval_strip_plan(table.assign(size=np.nan), "size", "source")
    with pytest.raises(InputError, match="ticks: 0"):
        interval_strip_plan(table.assign(size=1.0), "size", "source", ticks=[0.0, 1.0])


def test_medians_have_about_three_significant_digits():
    for factor, text in ((1.0, "1.04"), (10.0, "10.4"), (100.0, "104"), (1000.0, "1041")):
        table = pd.DataFrame({"x": factor * np.array([1.0376, 1.0444]), "row": ["a", "a"]})
        assert interval_strip_plan(table, "x", "row").rows[0].cells["median"] == (text,)
    whole = pd.DataFrame({"x": [3.0, 5.0], "row": ["a", "a"]})
    assert interval_strip_plan(whole, "x", "row").rows[0].cells["median"] == ("4",)
    table = pd.DataFrame({"x": [1.0376, 1.0444], "row": ["a", "a"]})
    assert interval_strip_plan(table, "x", "row", theme="lancet").rows[0].cells["median"] == ("1·04",)


def test_columns_of_the_table_may_stand_in_place_of_counts(studies):
    table = studies.dropna(subset=["size_nm"]).assign(
        row=lambda t: [f"row {i // 2}" for i in range(len(t))],
        said=lambda t: [f"{size:.0f} nm" for size in t["size_nm"]],
    )
    plan = interval_strip_plan(table, "size_nm", "row", by="kind", cells={"said": "Size", "kind": "Kind"})
    assert [column.title for column in plan.columns] == [("Row",), ("Size",), ("Kind",)]
    assert [column.kind for column in plan.columns] == ["text", "number", "text"]
    frame = plan.to_frame()
    assert sorted(zip(frame["category"], frame["cell_said"], frame["cell_kind"], strict=True)) == sorted(
        zip(table["row"], table["said"], table["kind"], strict=True)
    )
    assert (frame["cell_kind"] == frame["group"]).all()
    assert [f"{value:.0f} nm" for value in frame["estimate"]] == frame["cell_said"].tolist()
    labelled = [row.cells["label"] for row in plan.rows if "label" in row.cells]
    assert len(labelled) == len(set(labelled)) == table["row"].nunique()
    assert {key.label for key in plan.keys} == {"clinical", "preclinical"}
    assert overlapping_texts(interval_strip(plan)) == []
    with pytest.raises(UnknownChoiceError, match="tolled"):
        interval_strip_plan(table, "size_nm", "row", cells={"tolled": "Size"})


def test_a_strip_may_have_no_columns_on_the_right(studies):
    plan = interval_strip_plan(studies, "size_nm", "source", cells={})
    assert [column.key for column in plan.columns] == ["label"]
    assert {tuple(row.cells) for row in plan.rows} == {("label",)}
    assert overlapping_texts(interval_strip(plan)) == []


def test_headings_and_orders_of_a_strip_can_be_chosen(studies):
    orders = {"head_order": [None, "urine", "plant", "adipose_msc"], "by_order": ["preclinical", "clinical"]}
    plan = strip_of(
        studies, rows=["source", "isolation"], row_title="What", study_title="Laboratories", **orders
    )
    assert [column.title for column in plan.columns] == [("What",), ("n",), ("Laboratories",), ("Median",)]
    heads = [row.text[0] for row in plan.rows if row.kind == "head"]
    assert heads == ["not reported", "urine", "plant", "adipose msc"]
    assert [key.label.partition(" ")[0] for key in plan.keys] == ["preclinical", "clinical"]
    first = next(m for row in plan.rows for m in row.marks if m.name == "preclinical")
    assert (plan.keys[0].color, plan.keys[0].shape) == (first.color, first.shape)


def test_every_group_has_a_colour_and_a_shape_as_in_the_legend():
    groups = list("abcdefghij")
    table = pd.DataFrame({"x": range(1, 11), "row": "a", "g": groups, "low": 0.5})
    table["high"] = table["x"] + 0.5
    plan = interval_strip_plan(table, "x", "row", by="g", low="low", high="high", log=False)
    marks = {mark.name: mark for mark in plan.rows[0].marks}
    assert len({(marks[g].color, marks[g].shape) for g in groups}) == 10
    for key, group in zip(plan.keys, groups, strict=True):
        assert key.label.startswith(group)
        assert key.color == marks[group].color
        assert MARKERS[key.shape] == MARKERS[marks[group].shape]
    ax = interval_strip(plan)
    lines = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert sum(len(c.get_segments()) for c in lines) == 10  # each has its interval, whatever its shape
    assert sorted(drawn(ax)[0]) == list(range(1, 11))
    for collection in ax.collections:  # no mark is larger than the room that it was given
        if collection.get_zorder() == MARK:
            (path,), (side,) = collection.get_paths(), set(np.sqrt(collection.get_sizes()))
            width, height = path.transformed(Affine2D().scale(side)).get_extents().size
            size = next(mark.size for mark in marks.values() if mark.size == side)
            assert max(width, height) <= size + 1e-9


def test_long_heads_run_over_the_panel_and_the_line_stops_there():
    head = "patient samples, the fluid of which is not named in the repository of the paper, " * 2
    table = pd.DataFrame({"size": [100.0, 120.0], "head": head, "source": ["plant", "urine"]})
    plan = interval_strip_plan(table, "size", ["head", "source"], reference=110.0)
    assert " ".join(plan.rows[0].text) == head.strip()
    assert len(plan.rows[0].text) == 2
    assert plan.panel.left < 200.0
    ax = interval_strip(plan)
    assert overlapping_texts(ax) == []
    (pieces,) = (c.get_segments() for c in ax.collections if c.get_zorder() == 1)
    (ends,) = ([y for _, y in piece] for piece in pieces)
    assert sorted(ends) == pytest.approx([plan.rows[0].y + plan.rows[0].height / 2, plan.panel.bottom])
    short = interval_strip_plan(table.assign(head="x"), "size", ["head", "source"], reference=110.0)
    assert [line.get_xdata() for line in interval_strip(short).lines] == [[110.0, 110.0]]


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
            "journal": [f"Journal {draws.integers(2)}" for _ in range(k)],
        }
    )
    table["low"], table["high"] = table["g"] - 0.6, table["g"] + 0.6
    cells = {"study": "Study", "journal": "Journal"}
    plan = interval_strip_plan(
        table, "g", ["head", "row"], low="low", high="high", log=False, cells=cells, limits=(-1.0, 1.0)
    )
    ax = interval_strip(plan)
    beside, inside, beyond = texts(ax), points(ax), points(ax, AT_EDGE)
    assert len(inside) + len(beyond) == k
    assert beyond
    by_name = table.set_index("study")
    seen = []
    for row in categories(plan):
        (mark,) = row.marks
        (name,), (journal,) = row.cells["study"], row.cells["journal"]
        assert mark.estimate == by_name.loc[name, "g"]
        assert journal == by_name.loc[name, "journal"]
        here = [text.text for text in beside if text.y == pytest.approx(row.y)]
        assert here[-2:] == [name, journal]
        if abs(mark.estimate) <= 1:
            assert [x for x, y, *_ in inside if y == row.y] == [mark.estimate]
        else:
            assert [x for x, y, *_ in beyond if y == row.y] == [float(mark.estimate > 0)]
        seen.append(name)
    assert sorted(seen) == sorted(table["study"])
    assert overlapping_texts(ax) == []


def test_points_of_one_name_share_its_row():
    table = pd.DataFrame({"x": [1.0, 1.0, 1.0, 1.0], "row": "a", "name": ["Li", "Cho", "Li", "Cho"]})
    first, second = interval_strip_plan(table, "x", "row", log=False, cells={"name": "Study"}).rows
    assert (first.cells["name"], second.cells["name"]) == (("Li",), ("Cho",))
    assert first.cells["label"] == ("a",)
    assert "label" not in second.cells
    for row in (first, second):
        assert sum(mark.lane for mark in row.marks) == pytest.approx(0)
        assert len({mark.lane for mark in row.marks}) == 2


def test_a_value_outside_the_limits_has_a_mark_at_the_edge_and_is_counted():
    table = pd.DataFrame({"x": [1.0, 2.0, 9.0, 8.0, -4.0], "row": ["a", "a", "a", "a", "b"]})
    plan = interval_strip_plan(table, "x", "row", log=False, limits=(0.0, 3.0))
    assert [mark.beyond for row in plan.rows for mark in row.marks] == ["", "", "right", "right", "left"]
    ax = interval_strip(plan)
    assert (sorted(drawn(ax)[0]), sorted(drawn(ax)[1])) == ([1.0, 2.0], [0.0, 1.0, 1.0])
    assert {text.get_text() for text in ax.texts} == {"9.00", "8.00", "−4.00"}
    assert any(note.startswith("3 estimates lie outside the axis") for note in plan.notes)
    assert overlapping_texts(ax) == []


@pytest.mark.parametrize("from_plan", [True, False])
def test_no_value_is_lost_at_other_limits(from_plan):
    table = pd.DataFrame({"x": [1.0, 2.0, 9.0, 4.0], "row": ["a", "a", "a", "b"]})
    plan = interval_strip_plan(table, "x", "row", log=False)
    ax = interval_strip(plan) if from_plan else interval_strip(table, "x", "row", log=False)
    for limits, outside in (((0.0, 3.0), 2), ((0.0, 10.0), 0), ((1.5, 3.0), 3), ((5.0, 6.0), 4)):
        ax.set_xlim(*limits)
        within, beyond = points(ax), points(ax, AT_EDGE)
        assert sorted(x for x, *_ in within) == sorted(x for x in table["x"] if limits[0] <= x <= limits[1])
        assert len(beyond) == len({(x, y) for x, y, *_ in beyond}) == outside
        assert overlapping_texts(ax) == []


# -- themes, places, sizes ---------------------------------------------------------------------------------


@combined(theme=THEMES, k=[1, 2, 3, 13, 150])
def test_strips_of_all_sizes_in_all_themes(k, theme):
    draws = np.random.default_rng(k)
    table = pd.DataFrame(
        {
            "x": draws.lognormal(4.7, 0.4, k),
            "row": [("a very long name of a source of exosomes, with what was done to it " * 2)[: 80 - i % 7]
                    for i in range(k)],
            "by": draws.choice(["NTA", "王 2021", "TRPS"], k),
            "head": draws.choice(["patients", "animals"], k),
        }
    )  # fmt: skip
    plan = interval_strip_plan(table, "x", ["head", "row"], by="by", theme=theme, title="Sizes " * 20)
    assert sorted(plan.to_frame()["estimate"].dropna()) == sorted(table["x"])
    ax = interval_strip(plan)
    assert sorted(drawn(ax)[0]) == sorted(table["x"])
    assert overlapping_texts(ax) == []
    plt.close(ax.figure)


def test_a_strip_in_axes_and_in_a_part_of_a_figure(studies):
    _, (left, right) = plt.subplots(1, 2, figsize=(13, 5))
    assert interval_strip(studies, "size_nm", "source", ax=left, by="kind") is left
    assert overlapping_texts(left) == []
    assert right.get_position().x0 > 0.5
    part = plt.figure(figsize=(13, 5)).subfigures(1, 2)[1]
    ax = interval_strip(studies, "size_nm", "source", ax=part, title="Sizes")
    assert ax.figure is part
    assert overlapping_texts(ax) == []
    with pytest.raises(InputError, match="inches"):
        interval_strip(studies, "size_nm", ["source", "isolation"], height=1.0)


def test_the_alternative_text_says_what_is_seen(studies):
    (plan,) = mx.plots.plans_of(interval_strip(studies, "size_nm", "source", title="Sizes"))
    count = int(studies["size_nm"].notna().sum())
    assert plan.alternative.startswith(f"Sizes. {count} values in 4 categories.")


def test_further_pages_repeat_heads_and_categories():
    table = pd.DataFrame({"x": range(1, 101), "name": [f"Study {i}" for i in range(100)], "row": "UC"})
    table["head"] = ["animals"] * 30 + ["patients"] * 70
    plan = interval_strip_plan(
        table, "x", ["head", "row"], cells={"name": "Study"}, pages=True, head_order=["animals", "patients"]
    )
    pages = (plan, *plan.more)
    assert [sum(row.kind == "study" for row in page.rows) for page in pages] == [38, 39, 23]
    for page in pages:
        first, second, *_ = page.rows
        assert (first.kind, second.cells["label"]) == ("head", ("UC",))
    assert [page.rows[0].text[0] for page in pages] == ["animals", *["patients (continued)"] * 2]
    assert [page.axis for page in pages] == [plan.axis] * 3
    assert sorted(plan.to_frame()["estimate"].dropna()) == list(range(1, 101))
    ax = interval_strip(plan)
    for page in mx.plots.pages_of(ax):
        assert overlapping_texts(page) == []
        plt.close(page.figure)


def test_lanes_of_a_row_that_has_a_height_stay_inside_it():
    table = pd.DataFrame({"x": np.linspace(1, 1.001, 20), "row": "a"})
    plan = interval_strip_plan(table, "x", "row", log=False)
    (row,) = plan.rows
    panel = plan.panel.right - plan.panel.left
    wide = in_lanes(row, plan.axis, panel, plan.theme, row.height)
    crowded = in_lanes(row, plan.axis.between(-50.0, 50.0), panel, plan.theme, row.height)
    assert len({mark.lane for mark in wide.marks}) < len({mark.lane for mark in crowded.marks}) == 20
    assert max(abs(mark.lane) for mark in crowded.marks) <= row.height / 2
    assert crowded.marks[0].lane == -crowded.marks[-1].lane < 0


def test_columns_may_be_named_as_those_of_every_table():
    long = "a name of many words that will be broken into lines where there is little room for it"
    table = pd.DataFrame({"x": [1.0, 2.0], "row": "a", "label": ["Li", long], "estimate": [long, "no"]})
    plan = interval_strip_plan(table, "x", "row", cells={"label": "Study", "estimate": "Said"}, width=5.0)
    assert [column.title[0] for column in plan.columns] == ["Row", "Study", "Said"]
    frame = plan.to_frame()
    assert frame["category"].tolist() == ["a", "a"]
    assert frame["cell_label_"].tolist() == ["Li", long]
    assert frame["cell_estimate_"].tolist() == [long, "no"]
    assert overlapping_texts(interval_strip(plan)) == []


@pytest.mark.parametrize("theme", ["metaexo", "dark"])
def test_hollow_points_are_filled_with_the_paper_and_said(theme):
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0], "row": "a", "computed": [False, True, None]})
    wording = {"computed": "computed from files"}
    plan = interval_strip_plan(table, "x", "row", log=False, hollow="computed", wording=wording, theme=theme)
    assert plan.to_frame().set_index("estimate")["hollow"].to_dict() == {1.0: False, 2.0: True, 3.0: False}
    assert [(key.label, key.hollow) for key in plan.keys] == [("hollow: computed from files", True)]
    fills = {x: to_hex(fill) for x, _, _, fill in points(interval_strip(plan))}
    assert fills == {1.0: plan.theme.study.lower(), 2.0: plan.theme.paper, 3.0: plan.theme.study.lower()}
    none = interval_strip_plan(table.assign(computed=False), "x", "row", hollow="computed")
    assert none.keys == ()


def test_points_without_intervals_do_not_touch():
    draws = np.random.default_rng(2)
    table = pd.DataFrame({"x": draws.normal(0, 1, 60), "row": "a", "g": draws.choice(list("abcdef"), 60)})
    plan = interval_strip_plan(table, "x", "row", by="g", log=False)
    (row,) = plan.rows
    per_unit = (plan.panel.right - plan.panel.left) / (plan.axis.high - plan.axis.low)
    for i, one in enumerate(row.marks):
        for two in row.marks[:i]:
            room = (one.size + two.size) / 2
            apart = abs(one.estimate - two.estimate) * per_unit
            assert apart >= room or abs(one.lane - two.lane) >= room


def test_the_value_at_an_edge_hides_no_point():
    table = pd.DataFrame({"x": [-4.0, 0.15, 9.0, 2.85], "row": "a"})
    (row,) = interval_strip_plan(table, "x", "row", log=False, limits=(0.0, 3.0)).rows
    low, near_low, high, near_high = (mark.lane for mark in row.marks)
    assert low != near_low
    assert high != near_high
    inside = table.assign(x=[0.5, 0.15, 2.5, 2.85])
    (row,) = interval_strip_plan(inside, "x", "row", log=False, limits=(0.0, 3.0)).rows
    assert {mark.lane for mark in row.marks} == {0.0}


@pytest.mark.parametrize(("theme", "ruled"), [("metaexo", True), ("jama", False), ("minimal", False)])
def test_a_line_parts_the_categories_unless_stripes_do(theme, ruled):
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0], "row": ["a", "a", "b"], "name": ["Li", "Cho", "Abe"]})
    plan = interval_strip_plan(table, "x", "row", log=False, cells={"name": "Study"}, theme=theme)
    lines = [one for one in interval_strip(plan).figure.artists if isinstance(one, LineCollection)]
    found = {round(float(y), 2) for line in lines for (_, y), _ in line.get_segments()}
    bottoms = {round(row.y + row.height / 2, 2) for row in plan.rows if row.cells["name"] != ("Li",)}
    assert (bottoms <= found) == ruled
    assert round(plan.rows[0].y + plan.rows[0].height / 2, 2) not in found
