"""Figures of attributed heterogeneity: bars that add up, refusals in words, no text over another."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import THEMES, attribution, attribution_plan, overlapping_texts
from metaexo.plots.canvas.fonts import contrast
from tests.plots.drawn import AT_EDGE, points, texts

SOURCES, METHODS = ["plant", "milk", "MSC"], ["UC", "SEC", "kit"]


def attributed(k=27, confounded=False, draws=60, seed=1):
    rng = np.random.default_rng(seed)
    source = [SOURCES[i % 3] for i in range(k)]
    other = [METHODS[i % 3] if confounded else METHODS[(i // 3) % 3] for i in range(k)]
    y = rng.normal([0.6 * SOURCES.index(s) for s in source], 0.4)
    data = pd.DataFrame({"source": source, "isolation": other})
    return mx.attribute_heterogeneity(mx.EffectSizes(y, [0.05] * k, data=data), draws=draws, permutations=39)


@pytest.fixture(scope="module")
def found():
    return attributed()


def kind_of(row):
    return row.id.partition(":")[0]


def rows_of(plan, kind):
    return [row for row in plan.rows if kind_of(row) == kind]


def label_of(row):
    return row.cells["label"][0]


def sizes(row):
    return {mark.name: mark.high - mark.low for mark in row.marks}


def boxes(ax):
    """Return left, right, place in points from the top and hatch of the parts of bars as drawn."""
    found = []
    for collection in ax.collections:
        if collection.get_zorder() == 1.5:
            for path in collection.get_paths():
                (x0, y0), (x1, y1) = path.vertices.min(axis=0), path.vertices.max(axis=0)
                found.append((x0, x1, (y0 + y1) / 2, collection.get_hatch()))
    return found


def test_bars_hold_the_shares(found):
    bars = {label_of(row): row for row in rows_of(attribution_plan(found), "bar")}
    assert list(bars) == ["All orders (Shapley)", "Own and common", "Variance components"]
    shown = sizes(bars["All orders (Shapley)"])
    assert shown["Source"] == pytest.approx(100 * found.shares["source"], abs=1e-6)
    assert sum(shown.values()) == pytest.approx(100, abs=0.2)
    random = sizes(bars["Variance components"])
    assert random["Source"] == pytest.approx(100 * found.random.shares["source"], abs=1e-6)
    for row in bars.values():
        assert {mark.name: mark.estimate for mark in row.marks} == pytest.approx(sizes(row))


def test_parts_stand_side_by_side_as_planned(found):
    plan = attribution_plan(found)
    drawn = boxes(attribution(plan))
    for row in rows_of(plan, "bar"):
        assert row.marks[0].low == 0
        assert [one.low for one in row.marks[1:]] == [one.high for one in row.marks[:-1]]
        here = sorted(box for box in drawn if abs(box[2] - row.y) < 0.02)
        wanted = [(mark.low, mark.high, mark.hatch or None) for mark in row.marks]
        assert [(left, right, hatch) for left, right, _, hatch in here] == [
            (pytest.approx(left), pytest.approx(right), hatch) for left, right, hatch in wanted
        ]
    assert len(drawn) == sum(len(row.marks) for row in rows_of(plan, "bar"))


def test_a_share_below_zero_is_shown_as_zero_and_said():
    result = next(r for r in (attributed(seed=s, draws=0) for s in range(9)) if r.shares["isolation"] < -0.02)
    plan = attribution_plan(result)
    bar = rows_of(plan, "bar")[0]
    assert "Isolation method" not in sizes(bar)
    assert sum(sizes(bar).values()) == pytest.approx(100, abs=0.2)
    assert (plan.axis.low, plan.axis.high) == (0.0, 100.0)
    assert any("below 0 or above 100%" in note for note in plan.notes)
    row = plan.row("share::Isolation method")
    assert (row.mark.estimate, row.cells["estimate"]) == (0.0, ("0", "", ""))
    assert (0.0, row.y) in [(x, y) for x, y, *_ in points(attribution(plan))]


@pytest.mark.parametrize("seed", range(6))
def test_every_share_lies_inside_its_interval_and_the_axis(seed):
    plan = attribution_plan(attributed(seed=seed, draws=40))
    shown = rows_of(plan, "share")
    assert len(shown) == 3
    for row in shown:
        assert row.mark.low <= row.mark.estimate <= row.mark.high
        share, low, high = row.cells["estimate"]
        assert float(low.strip("[").removesuffix(" to")) <= float(share) <= float(high.strip("]"))
    for row in rows_of(plan, "bar"):
        for part in row.marks:
            assert 0 <= part.low < part.high <= 100 + 1e-6
    assert not any(mark.beyond or mark.cut_low or mark.cut_high for row in shown for mark in row.marks)


@pytest.mark.parametrize("theme", THEMES)
def test_every_part_has_a_colour_and_a_hatch_of_its_own_as_in_the_legend(found, theme):
    many = {"a": found, "b": attributed(confounded=True)}
    plan = attribution_plan(many, theme=theme)
    signs = {mark.name: (mark.color, mark.hatch) for row in rows_of(plan, "bar") for mark in row.marks}
    assert len(signs) >= 4
    assert len({hatch for _, hatch in signs.values()}) == len(signs)
    assert len({plan.theme.color(color) for color, _ in signs.values()}) == len(signs)
    assert {key.label: (key.color, key.hatch) for key in plan.keys} == signs
    ax = attribution(plan)
    assert {hatch for *_, hatch in boxes(ax)} == {hatch or None for _, hatch in signs.values()}
    assert overlapping_texts(ax) == []


def test_intervals_are_those_of_the_result(found):
    plan = attribution_plan(found)
    rows = rows_of(plan, "share")
    assert [label_of(row) for row in rows] == ["Source", "Isolation method", "Interaction"]
    source = found.part("source")
    mark = rows[0].mark
    assert (mark.low, mark.high) == pytest.approx((100 * source.low, 100 * source.high), abs=1e-6)
    assert rows[0].cells["estimate"] == (
        str(round(100 * source.share)), f"[{round(100 * source.low)} to", f"{round(100 * source.high)}]",
    )  # fmt: skip
    assert rows[1].cells["p"][0] == f"{found.part('isolation').pvalue:.2f}"
    bmj = attribution_plan(found, theme="jama")
    assert rows_of(bmj, "share")[0].cells["estimate"][1:] == (
        f"({round(100 * source.low)}-", f"{round(100 * source.high)})",
    )  # fmt: skip
    assert bmj.columns[-1].title == ("P",)
    none = attribution_plan(attributed(draws=0))
    assert [row.cells["estimate"][1:] for row in rows_of(none, "share")] == [("", "")] * 3


def test_what_is_confounded_has_a_bar_of_its_own():
    plan = attribution_plan({"Sizes": attributed(confounded=True)})
    assert [kind_of(row) for row in plan.rows] == ["head", "verdict", "bar", "share"]
    assert "cannot separate source from isolation" in " ".join(plan.rows[1].text)
    assert list(sizes(plan.rows[2])) == ["Confounded", "Unexplained"]
    assert plan.rows[0].text == ("Sizes (27 effects, 27 studies)",)


def test_a_refusal_is_words_and_no_axis():
    plan = attribution_plan(attributed(4), verdict=False)
    assert [kind_of(row) for row in plan.rows] == ["head", "verdict"]
    assert plan.keys == ()
    assert plan.columns == ()
    assert not plan.has_axis
    ax = attribution(plan)
    assert not ax.axison
    assert not ax.lines
    assert overlapping_texts(ax) == []


def test_verdicts_of_what_was_told_can_be_left_out(found):
    assert not rows_of(attribution_plan(found, verdict=False), "verdict")


def test_the_line_of_zero_runs_through_no_words(found):
    plan = attribution_plan({"a": found, "b": attributed(4)})
    ax = attribution(plan)
    (pieces,) = (c.get_segments() for c in ax.collections if c.get_zorder() == 1)
    for row in plan.rows:
        if row.wide:
            for piece in pieces:
                ends = sorted(y for _, y in piece)
                assert ends[1] <= row.y - row.height / 2 + 0.02 or ends[0] >= row.y + row.height / 2 - 0.02


@pytest.mark.parametrize("width", [5.0, 7.0, 10.0])
def test_texts_never_overlap(found, width):
    many = {
        "A data set with a long name " * 4: found,
        "Apart": attributed(confounded=True),
        "王": attributed(4),
    }
    for results in (many, found, attributed(4)):
        ax = attribution(results, title="Title " * 30, notes=["Note " * 60], width=width)
        assert overlapping_texts(ax) == []
        plt.close(ax.figure)


def test_numbers_stand_beside_their_bars_and_intervals(found):
    plan = attribution_plan(found)
    ax = attribution(plan)
    for row in (*rows_of(plan, "bar"), *rows_of(plan, "share")):
        at = [text.text for text in texts(ax) if text.y == pytest.approx(row.y)]
        assert label_of(row) in at
        assert all(row.cells[key][0] in at for key in ("estimate", "p_zero", "p") if key in row.cells)
    numbers = {mark.text for row in rows_of(plan, "bar") for mark in row.marks if mark.estimate > 10}
    assert numbers <= {text.get_text() for text in ax.texts}


def test_a_figure_in_axes_and_in_a_part_of_a_figure(found):
    _, (left, right) = plt.subplots(1, 2, figsize=(14, 5))
    assert attribution(found, ax=left) is left
    assert overlapping_texts(left) == []
    assert right.get_position().x0 > 0.5
    part = plt.figure(figsize=(14, 5)).subfigures(1, 2)[0]
    assert overlapping_texts(attribution(found, ax=part)) == []


def test_the_frame_has_a_row_for_each_part_and_interval(found):
    plan = attribution_plan({"a": found, "b": attributed(confounded=True)})
    frame = plan.to_frame()
    shown = frame.dropna(subset=["estimate"])
    assert set(shown["data"]) == {"a", "b"}
    assert len(shown) == sum(len(row.marks) for row in plan.rows)
    bars = shown[shown["id"].str.startswith("bar:a:All")].set_index("group")["estimate"]
    assert bars["Source"] == pytest.approx(100 * found.shares["source"], abs=1e-6)


def test_nothing_is_refused():
    with pytest.raises(InputError, match="no attributions"):
        attribution_plan({})


def test_no_share_is_lost_at_other_limits(found):
    ax = attribution(found)
    rows = rows_of(attribution_plan(found), "share")
    ax.set_xlim(0, 30)
    beyond = {row.y for row in rows if row.mark.estimate > 30}
    assert beyond
    assert len(points(ax)) == len(rows) - len(beyond)
    assert {y for _, y, *_ in points(ax, AT_EDGE)} == beyond
    ax.set_xlim(0, 100)
    assert [x for x, *_ in points(ax)] == [row.mark.estimate for row in rows]


def with_parts(result, **changed):
    """Return a result with other numbers of some parts."""
    parts = tuple(dataclasses.replace(part, **changed.get(part.name, {})) for part in result.parts)
    return dataclasses.replace(result, parts=parts)


def test_shares_of_more_than_all_are_scaled_to_it():
    result = with_parts(
        attributed(12),
        source={"share": 0.9, "low": 0.2, "high": 1.0},
        isolation={"share": 0.6, "low": 0.1, "high": 0.9},
        interaction={"share": None},
        unexplained={"share": -0.5},
    )
    plan = attribution_plan(result)
    assert sizes(rows_of(plan, "bar")[0]) == pytest.approx({"Source": 60.0, "Isolation method": 40.0})
    assert plan.row("share::Source").mark.estimate == 90.0
    assert any("below 0 or above 100%" in note for note in plan.notes)


def test_a_share_outside_its_interval_stands_at_the_end_of_it_and_that_is_said(found):
    plan = attribution_plan(with_parts(found, source={"share": 0.5, "low": 0.6, "high": 0.9}))
    row = plan.row("share::Source")
    assert (row.mark.estimate, row.cells["estimate"]) == (60.0, ("60", "[60 to", "90]"))
    assert any("nearer end" in note for note in plan.notes)
    assert not any("nearer end" in note for note in attribution_plan(found).notes)


def test_numbers_on_a_hatch_stand_on_the_plain_colour(found):
    plan = attribution_plan({"a": found, "b": attributed(confounded=True)})
    hatched = {mark.text: mark for row in rows_of(plan, "bar") for mark in row.marks if mark.hatch}
    written = [text for text in attribution(plan).texts if text.get_bbox_patch() is not None]
    assert written
    for text in written:
        ground = to_hex(text.get_bbox_patch().get_facecolor())
        assert ground == plan.theme.color(hatched[text.get_text()].color)
        assert contrast(text.get_color(), ground) >= 4.5
