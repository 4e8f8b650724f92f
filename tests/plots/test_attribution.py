"""Figures of attributed heterogeneity: bars that add up, refusals in words, no text over another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import attribution, attribution_plan, overlapping_texts
from metaexo.plots.attribution import attribution_page
from metaexo.plots.canvas.page import Area
from tests.plots.boxes import clashes

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


def test_bars_hold_the_shares(found):
    plan = attribution_plan(found)
    bars = {row.label[0]: row for row in plan.rows if row.kind == "bar"}
    assert list(bars) == ["All orders (Shapley)", "Own and common", "Variance components"]
    shown = {s.name: s.end - s.begin for s in bars["All orders (Shapley)"].segments}
    assert shown["Source"] == pytest.approx(100 * found.shares["source"], abs=1e-6)
    assert sum(shown[n] * (1 if s.begin >= 0 else -1) for n, s in zip(
        shown, bars["All orders (Shapley)"].segments, strict=True
    )) == pytest.approx(100, abs=0.2)  # fmt: skip
    random = {s.name: s.end - s.begin for s in bars["Variance components"].segments}
    assert random["Source"] == pytest.approx(100 * found.random.shares["source"], abs=1e-6)


def test_segments_stand_side_by_side(found):
    for row in attribution_plan(found).rows:
        right = sorted((s.begin, s.end) for s in row.segments if s.begin >= 0)
        assert [begin for begin, _ in right[1:]] == [end for _, end in right[:-1]]
        left = sorted((s.begin, s.end) for s in row.segments if s.begin < 0)
        assert not left or left[-1][1] == 0


def test_a_share_below_zero_is_shown_as_zero_and_said():
    result = next(r for r in (attributed(seed=s, draws=0) for s in range(9)) if r.shares["isolation"] < -0.02)
    plan = attribution_plan(result)
    bar = next(row for row in plan.rows if row.kind == "bar")
    assert "Isolation method" not in [part.name for part in bar.segments]
    assert sum(part.end - part.begin for part in bar.segments) == pytest.approx(100, abs=0.2)
    assert (plan.axis.low, plan.axis.high) == (0.0, 100.0)
    assert any("below 0 or above 100%" in note for note in plan.notes)
    row = next(row for row in plan.rows if row.kind == "interval" and row.label == ("Isolation method",))
    assert (row.value, row.cells[0]) == (0.0, "0")


@pytest.mark.parametrize("seed", range(6))
def test_every_share_lies_inside_its_interval_and_the_axis(seed):
    plan = attribution_plan(attributed(seed=seed, draws=40))
    shown = [row for row in plan.rows if row.kind == "interval"]
    assert len(shown) == 3
    for row in shown:
        assert row.low <= row.value <= row.high
        low, high = (float(text) for text in row.cells[1].split(" to "))
        assert low <= float(row.cells[0]) <= high
    for row in plan.rows:
        for part in row.segments:
            assert 0 <= part.begin < part.end <= 100 + 1e-6


def test_every_part_has_a_hatch_of_its_own(found):
    segments = {s.name: (s.color, s.hatch) for row in attribution_plan(found).rows for s in row.segments}
    assert len(segments) >= 3
    assert len({hatch for _, hatch in segments.values()}) == len(segments)
    areas = [item for item in attribution_page(attribution_plan(found)).items if isinstance(item, Area)]
    assert {area.hatch for area in areas} >= {hatch for _, hatch in segments.values()}


def test_intervals_are_those_of_the_result(found):
    rows = [row for row in attribution_plan(found).rows if row.kind == "interval"]
    assert [row.label[0] for row in rows] == ["Source", "Isolation method", "Interaction"]
    source = found.part("source")
    assert (rows[0].low, rows[0].high) == pytest.approx((100 * source.low, 100 * source.high), abs=1e-6)
    assert rows[0].cells[0] == str(round(100 * source.share))
    none = attribution_plan(attributed(draws=0))
    assert [row.cells[1] for row in none.rows if row.kind == "interval"] == ["–"] * 3


def test_what_is_confounded_has_a_bar_of_its_own():
    result = attributed(confounded=True)
    plan = attribution_plan({"Sizes": result})
    kinds = [row.kind for row in plan.rows]
    assert kinds == ["head", "words", "bar", "interval"]
    assert "cannot separate source from isolation" in " ".join(plan.rows[1].label)
    assert [s.name for s in plan.rows[2].segments] == ["Confounded", "Unexplained"]
    assert plan.rows[0].label == ("Sizes (27 effects, 27 studies)",)


def test_a_refusal_is_words_and_no_axis():
    result = attributed(4)
    plan = attribution_plan(result, verdict=False)
    assert [row.kind for row in plan.rows] == ["head", "words"]
    assert plan.keys == ()
    assert plan.columns == ()
    page = attribution_page(plan)
    assert not any(isinstance(item, Area) for item in page.items)
    assert "Share of" not in " ".join(text.text for text in page.texts)


def test_verdicts_of_what_was_told_can_be_left_out(found):
    assert not any(row.kind == "words" for row in attribution_plan(found, verdict=False).rows)


def test_texts_never_overlap(found):
    many = {"A data set with a long name": found, "Apart": attributed(confounded=True), "Few": attributed(4)}
    for results in (many, found, attributed(4)):
        plan = attribution_plan(results, title="Title " * 30, notes=["Note " * 60])
        assert clashes(attribution_page(plan)) == []
        assert overlapping_texts(attribution(plan)) == []


def test_the_frame_has_a_row_for_each_segment_and_interval(found):
    plan = attribution_plan({"a": found, "b": attributed(confounded=True)})
    frame = plan.to_frame()
    assert frame["data"].nunique() == 2
    assert len(frame) == sum(len(row.segments) + (row.kind == "interval") for row in plan.rows)


def test_nothing_is_refused():
    with pytest.raises(InputError, match="no attributions"):
        attribution_plan({})


def test_no_share_is_lost_at_other_limits(found):
    ax = attribution(found)
    rows = [row for row in attribution_plan(found).rows if row.kind == "interval"]
    ax.set_xlim(0, 30)
    shapes = [line.get_marker() for line in ax.lines if line.get_marker() not in ("None", "")]
    assert len(shapes) == len(rows)
    assert shapes.count(">") == sum(row.value > 30 for row in rows)
    ax.set_xlim(0, 100)
    shapes = [line.get_marker() for line in ax.lines if line.get_marker() not in ("None", "")]
    assert shapes.count("o") == len(rows)
