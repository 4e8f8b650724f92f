"""A forest plot of censored evidence: points are points, and what is no point is an open interval."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import UnknownChoiceError
from metaexo.plots import forest, forest_plan, overlapping_texts
from tests.plots.drawn import ARROW, BRACKET, detail, intervals, points

INF = float("inf")
LOWER = [0.2, 0.9, 0.6, 0.7, -0.6, 0.0, -INF]
UPPER = [0.2, 0.9, 0.6, INF, 0.6, INF, -0.3]
NAMES = ["Li 2020", "Cho 2021", "Abe 2022", "Kim 2023", "Lee 2019", "Poe 2017", "Low 2016"]


def make(measure="SMD", **more):
    data = pd.DataFrame({"source": ["plant", "urine", "plant", "urine", "plant", "urine", "plant"]})
    v = [0.08, 0.10, 0.09, 0.13, 0.09, 0.12, 0.10]
    return bounded_effects(LOWER, UPPER, v, measure=measure, labels=NAMES, data=data, **more)


@pytest.fixture
def fit():
    return mx.CensoredRandomEffects(make(oriented=True)).fit()


def studies(plan):
    return [row for row in plan.rows if row.kind == "study"]


def open_ink(plan):
    """Return the arrows, brackets and lines of open intervals as drawn, by the height of their row."""
    ax = forest(plan)
    rows = {row.y: row for row in studies(plan)}
    arrows = Counter(y for _, y, *_ in points(ax, ARROW) if rows[y].mark.shape == "open")
    brackets = Counter(y for _, y, *_ in points(ax, BRACKET))
    lines = {y: (low, high) for low, high, y in intervals(ax) if y in rows and rows[y].mark.shape == "open"}
    return arrows, brackets, lines


def test_points_have_marks_and_the_others_have_none(fit):
    plan = forest_plan(fit)
    rows = studies(plan)
    assert [row.mark.shape for row in rows] == ["square"] * 3 + ["open"] * 4
    assert [row.mark.estimate for row in rows] == [0.2, 0.9, 0.6, None, None, None, None]
    assert [x for x, *_ in points(forest(plan))] == [0.2, 0.9, 0.6]
    half = 1.959963984540054 * np.sqrt(0.08)
    assert rows[0].mark.low == pytest.approx(0.2 - half)


def test_the_cells_of_bounds_say_what_is_known_and_no_more(fit):
    cells = [row.cells["estimate"] for row in studies(forest_plan(fit))]
    assert cells[3] == ("> 0.70", "", "")
    assert cells[4] == ("", "(−0.60 to", "0.60)")
    assert cells[5] == ("> 0.00", "", "")
    assert cells[6] == ("< −0.30", "", "")


def test_open_ends_have_arrows_and_finite_ends_have_brackets(fit):
    plan = forest_plan(fit)
    rows = studies(plan)
    assert [(row.mark.cut_low, row.mark.cut_high) for row in rows[3:]] == [
        (False, True), (False, False), (False, True), (True, False),
    ]  # fmt: skip
    arrows, brackets, lines = open_ink(plan)
    counts = [(arrows[row.y], brackets[row.y], row.y in lines) for row in rows]
    assert counts == [(0, 0, False)] * 3 + [(1, 1, True), (0, 2, True), (1, 1, True), (1, 1, True)]
    low, high = plan.axis.low, plan.axis.high
    assert [lines[row.y] for row in rows[3:]] == [(0.7, high), (-0.6, 0.6), (0.0, high), (low, -0.3)]


def test_the_back_of_a_bracket_stands_at_the_bound(fit):
    plan = forest_plan(fit)
    row = studies(plan)[3]
    (group,) = [g for g in forest(plan).collections if (0.7, row.y) in [tuple(o) for o in g.get_offsets()]]
    assert min(x for x, _ in group.get_paths()[0].vertices) == pytest.approx(0.0)  # from its place on


def test_a_direction_alone_is_dashed(fit):
    plan = forest_plan(fit)
    rows = studies(plan)
    groups = [group for group in forest(plan).collections if isinstance(group, LineCollection)]
    dashed = [group for group in groups if group.get_linestyles()[0][1] is not None]
    assert [line[0, 1] for group in dashed for line in group.get_segments()] == [rows[5].y]
    assert "dashed" in " ".join(plan.notes)


def test_the_total_has_its_diamond_prediction_and_effective_k(fit):
    plan = forest_plan(fit)
    pooled = fit.pooled()
    total = plan.row("total")
    assert (total.mark.estimate, total.mark.low) == pytest.approx((pooled.estimate, pooled.low))
    assert plan.row("prediction").mark.high == pytest.approx(pooled.prediction_high)
    assert f"effective k = {fit.effective:.1f}" in detail(total)
    assert plan.pooled == pytest.approx((pooled.estimate,))
    assert [row.weight for row in studies(plan)] == pytest.approx(fit.weights.tolist())


def test_bounded_effects_are_shown_without_pooling_also_under_heads():
    plan = forest_plan(make(), by="source")
    assert [row.kind for row in plan.rows] == ["head", *["study"] * 4, "spacer", "head", *["study"] * 3]
    assert all(row.kind != "total" for row in plan.rows)
    assert plan.favours == ((), ())


@pytest.mark.parametrize(
    ("order", "first"),
    [("given", "Li 2020"), ("estimate", "Lee 2019"), ("precision", "Li 2020"), ("rank", "Low 2016")],
)
def test_order(order, first):
    es = make()
    ranked = bounded_effects(
        es.lower, es.upper, [0.08, 0.10, 0.09, 0.13, 0.09, 0.12, 0.10], labels=NAMES,
        data=pd.DataFrame({"rank": [7, 6, 5, 4, 3, 2, 1]}),
    )  # fmt: skip
    assert studies(forest_plan(ranked, order=order))[0].cells["label"] == (first,)
    with pytest.raises(UnknownChoiceError, match="order"):
        forest_plan(ranked, order="color")


def test_ratios_are_shown_as_ratios():
    plan = forest_plan(mx.CensoredRandomEffects(make("D2OR")).fit())
    cells = [row.cells["estimate"] for row in studies(plan)]
    assert cells[3][0] == "> 2.01"
    assert cells[6][0] == "< 0.74"


def test_a_fit_with_moderators_has_no_total():
    fit = mx.CensoredRandomEffects(make(), "source", dependence="accept").fit(test="z")
    plan = forest_plan(fit)
    assert all(row.kind == "study" for row in plan.rows)
    assert "moderators" in " ".join(plan.notes)


@pytest.mark.parametrize("limits", [None, (-0.1, 0.5), (1.0, 3.0), (-4.0, -1.0)])
def test_nothing_overlaps_and_nothing_leaves_the_panel(fit, limits):
    plan = forest_plan(fit, limits=limits, title="A title")
    ax = forest(plan)
    assert overlapping_texts(ax) == []
    for low, high, _ in intervals(ax):
        assert plan.axis.low <= low <= high <= plan.axis.high
    for x, *_ in points(ax, BRACKET):
        assert plan.axis.low <= x <= plan.axis.high
    seen = {y for _, _, y in intervals(ax)} | {y for _, y, *_ in points(ax, ARROW)}
    assert seen >= {row.y for row in studies(plan)}, "every study leaves ink, also beyond the axis"


def test_the_table_of_the_plan_has_the_bounds(fit):
    frame = forest_plan(fit).to_frame().set_index("id")
    assert frame.loc["study:input:4", "low"] == pytest.approx(0.7)
    assert np.isinf(frame.loc["study:input:4", "high"])
    assert pd.isna(frame.loc["study:input:4", "estimate"])
