"""The plan of a forest plot, seen without a canvas."""

from __future__ import annotations

import re
import unicodedata
import xml.dom.minidom

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import harmonic_mean, inverse_double_arcsine
from metaexo.errors import DependentEffectsWarning, InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.plots import Column, forest, forest_plan, overlapping_texts
from tests.combined import combined
from tests.plots.drawn import ARROW, AT_EDGE, all_texts, detail, diamonds, points, texts, ticks


def numbers(row):
    """Return estimate, low and high as the row prints them."""
    pieces = [re.sub(r"[\[\]]|to", "", piece).strip() for piece in row.cells["estimate"]]
    return [float(piece.replace("−", "-")) if piece else None for piece in pieces]


def kinds(plan):
    return [row.kind for row in plan.rows]


# -- rows ------------------------------------------------------------------------------------------------


def test_texts_say_what_the_fit_says(make_effects):
    fit = mx.RandomEffects(make_effects(9)).fit()
    plan = forest_plan(fit, decimals=4)
    es = fit.effects
    half = 1.959963984540054 * np.sqrt(es.v)
    studies = [row for row in plan.rows if row.kind == "study"]
    assert len(studies) == 9
    for i, row in enumerate(studies):
        assert row.id == f"study:{es.row_ids[i]}"
        assert numbers(row) == pytest.approx([es.y[i], es.y[i] - half[i], es.y[i] + half[i]], abs=6e-5)
        assert row.cells["weight"] == (f"{100 * fit.weights[i]:.1f}%",)
    pooled = fit.pooled()
    assert numbers(plan.row("total")) == pytest.approx([pooled.estimate, pooled.low, pooled.high], abs=6e-5)
    assert numbers(plan.row("prediction"))[1:] == pytest.approx(
        [pooled.prediction_low, pooled.prediction_high], abs=6e-5
    )
    assert detail(plan.row("total")) == (
        f"τ² = {fit.tau2:.2f}; I² = {100 * fit.i2:.0f}%; "
        f"Q(8) = {fit.q.statistic:.1f}, p = {fit.q.pvalue:.2f}; k = 9; m = 9"
    )
    assert plan.row("total").weight == pytest.approx(1.0)


def test_ratios_are_shown_as_ratios_on_a_logarithmic_axis(make_effects):
    fit = mx.RandomEffects(make_effects(6, measure="RR")).fit()
    plan = forest_plan(fit, decimals=4)
    assert numbers(plan.rows[0])[0] == pytest.approx(np.exp(fit.effects.y[0]), abs=6e-5)
    assert plan.axis.scale == "log"
    assert plan.axis.reference == 1.0
    assert (1.0, "1") in ticks(forest(plan))
    frame = plan.to_frame()
    assert frame.loc[frame["id"] == "total", "estimate"].item() == pytest.approx(
        np.exp(fit.pooled().estimate)
    )


def test_level_is_honoured_everywhere(make_effects):
    fit = mx.RandomEffects(make_effects(7)).fit()
    plan = forest_plan(fit, level=0.99, decimals=4)
    pooled = fit.pooled(0.99)
    assert numbers(plan.row("total")) == pytest.approx([pooled.estimate, pooled.low, pooled.high], abs=6e-5)
    assert plan.columns[-2].title[-1] == "99% CI"
    assert plan.row("prediction").text == ("99% prediction interval",)
    row = plan.rows[0]
    assert row.mark.high - row.mark.estimate == pytest.approx(2.5758293035489004 * np.sqrt(fit.effects.v[0]))


def test_bare_effects_are_not_pooled(make_effects):
    plan = forest_plan(make_effects(5), by="source")
    assert set(kinds(plan)) == {"head", "study", "spacer"}
    assert "weight" not in [column.key for column in plan.columns]
    assert plan.pooled == ()


def test_a_fit_with_moderators_shows_its_studies_and_says_why_nothing_is_pooled(make_effects):
    es = make_effects(10)
    fit = mx.RandomEffects(es, es.data[["dose"]]).fit()
    plan = forest_plan(fit)
    assert kinds(plan) == ["study"] * 10
    assert any("no single pooled effect" in note for note in plan.notes)


def test_an_equal_effects_fit_has_no_prediction_interval(make_effects):
    plan = forest_plan(mx.RandomEffects(make_effects(4)).fit(method="EE"))
    assert "prediction" not in kinds(plan)
    assert plan.notes[0].startswith("Equal-effects model; intervals of pooled effects: normal quantiles")


def test_robust_intervals_are_said_to_be_robust(make_effects):
    es = make_effects(20, study=list("aabbccddeeffgghhiijj"))
    fit = mx.RandomEffects(es, dependence="accept").fit()
    plain, robust = forest_plan(fit), forest_plan(fit.robust("study"))
    assert "taken as independent" in plain.notes[0]
    assert "CR2" in robust.notes[0]
    assert "independent" not in robust.notes[0]
    assert robust.row("total").mark.low != plain.row("total").mark.low


def test_equal_labels_make_rows_of_their_own(make_effects):
    plan = forest_plan(make_effects(6, labels=["Li 2020"] * 6))
    assert len({row.id for row in plan.rows}) == 6
    assert len({row.y for row in plan.rows}) == 6


@pytest.mark.parametrize("order", ["estimate", "precision", "animals"])
def test_order(make_effects, order):
    es = make_effects(12)
    plan = forest_plan(es, order=order)
    ids = [row.id.removeprefix("study:") for row in plan.rows]
    places = [es.row_ids.index(i) for i in ids]
    values = {"estimate": es.y, "precision": es.v, "animals": es.column("animals").to_numpy()}[order]
    assert sorted(places) == list(range(12))
    assert list(values[places]) == sorted(values)


# -- columns ---------------------------------------------------------------------------------------------


def test_source_and_isolation_are_shown_unless_the_strata_say_so(make_effects):
    es = make_effects(8)
    assert [c.key for c in forest_plan(es).columns][1:3] == ["source", "isolation"]
    assert [c.key for c in forest_plan(mx.stratify(es, by="source")).columns][1] == "isolation"


def test_a_category_of_the_sources_is_the_source(make_effects):
    es = make_effects(8)
    data = es.data.rename(columns={"isolation": "isolation_category"}).assign(
        source_category=es.data["source"]
    )
    results = mx.stratify(mx.EffectSizes(es.y, es.v, data=data), by="source_category")
    assert [c.key for c in forest_plan(results).columns][1:-2] == ["isolation_category"]


def test_columns_have_kinds_decimals_and_words(make_effects):
    columns = [
        "animals",
        "dose",
        Column("bias", kind="risk"),
        Column("source", wording={"platelet": "platelets"}),
    ]
    plan = forest_plan(make_effects(8), columns=columns)
    assert [c.kind for c in plan.columns] == ["text", "number", "number", "risk", "text", "estimate"]
    decimals = {len(row.cells["dose"][0].partition(".")[2]) for row in plan.rows}
    assert decimals == {2}
    assert all("." not in row.cells["animals"][0] for row in plan.rows)
    assert {" ".join(row.cells["source"]) for row in plan.rows} == {
        "adipose msc",
        "umbilical cord msc",
        "platelets",
        "not reported",
    }


def test_numbers_of_a_column_end_at_one_edge(make_effects):
    plan = forest_plan(make_effects(8), columns=["animals"])
    column = next(c for c in plan.columns if c.key == "animals")
    cells = {" ".join(row.cells["animals"]) for row in plan.rows}
    ends = {t.x for t in texts(forest(plan)) if t.text in cells and t.align == "right"}
    assert column.right in ends


def test_headings_over_columns_stand_over_neighbours_only(make_effects):
    es = make_effects(4)
    columns = ["animals", "dose", "source"]
    plan = forest_plan(es, columns=columns, heads={"A heading wider than its columns": ["animals", "dose"]})
    head = plan.heads[0]
    below = {c.key: c for c in plan.columns}
    assert (head.left, head.right) == (below["animals"].left, below["dose"].right)
    assert " ".join(head.title) == "A heading wider than its columns"
    assert overlapping_texts(forest(plan)) == []
    with pytest.raises(InputError, match="'dose' under two headings"):
        forest_plan(es, columns=columns, heads={"Both": ["animals", "dose"], "One": ["dose"]})
    with pytest.raises(InputError, match="side by side"):
        forest_plan(es, columns=columns, heads={"Both": ["animals", "source"]})
    with pytest.raises(UnknownChoiceError, match="doses"):
        forest_plan(es, columns=columns, heads={"Both": ["doses"]})


def test_a_missing_value_is_a_dash(make_effects):
    es = make_effects(3)
    data = es.data.assign(animals=[5.0, np.nan, 7.0], source=["plant", None, "urine"])
    plan = forest_plan(mx.EffectSizes(es.y, es.v, data=data), columns=["animals", "source"])
    assert [row.cells["animals"] for row in plan.rows] == [("5",), ("–",), ("7",)]
    assert plan.rows[1].cells["source"] == ("–",)


def test_remarks_stand_in_brackets_behind_the_labels(make_effects):
    es = make_effects(3)
    data = es.data.assign(use=["main", "doubtful", None])
    es = mx.EffectSizes(es.y, es.v, labels=es.labels, data=data)
    plan = forest_plan(es, remark="use", wording={"main": ""})
    assert [" ".join(row.cells["label"]) for row in plan.rows] == [
        "Author 1 2000",
        "Author 2 2001 (doubtful)",
        "Author 3 2002",
    ]
    with pytest.raises(UnknownChoiceError, match="user"):
        forest_plan(es, remark="user")


# -- marks, axis, notes ----------------------------------------------------------------------------------


def test_derived_values_are_hollow_and_explained(make_effects, derived):
    es = make_effects(8, derived=derived(8))
    plan = forest_plan(mx.RandomEffects(es).fit())
    marks = {row.how: (row.mark.shape, row.mark.hollow) for row in plan.rows if row.kind == "study"}
    assert marks == {
        "reported": ("square", False),
        "converted": ("square", True),
        "assumed": ("circle", True),
    }
    assert any("Hollow square" in note and "SD from SE (2)" in note for note in plan.notes)
    assert any("Hollow circle" in note and "correlation 0.5 assumed (2)" in note for note in plan.notes)
    assert not any("Hollow" in note for note in forest_plan(make_effects(3)).notes)


def test_square_areas_go_with_weights(make_effects):
    fit = mx.RandomEffects(make_effects(6)).fit()
    marks = [row.mark for row in forest_plan(fit).rows if row.kind == "study"]
    areas = np.array([mark.size**2 for mark in marks])
    assert areas / areas.max() == pytest.approx(fit.weights / fit.weights.max())


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_keeps_its_numbers(make_effects):
    es = make_effects(9)
    v = es.v.copy()
    v[4] = 900.0
    plan = forest_plan(mx.RandomEffects(mx.EffectSizes(es.y, v)).fit())
    row = plan.rows[4]
    assert row.mark.cut_low
    assert row.mark.cut_high
    assert numbers(row)[2] == pytest.approx(es.y[4] + 1.959964 * 30, abs=6e-3)
    assert plan.axis.high - plan.axis.low < 10
    assert [(x, y) for x, y, *_ in points(forest(plan), ARROW)] == [(0.0, row.y), (1.0, row.y)]


@pytest.mark.parametrize("limits", [None, (0.3, 1.1), (0.75, 0.8), (5.0, 9.0), (1e-4, 1e-3)])
def test_every_study_has_one_mark(limits):
    es = mx.EffectSizes(np.log([0.5, 0.7, 1.2, 0.9, 3.0]), [0.01, 0.02, 0.03, 0.01, 0.02], "RR")
    plan = forest_plan(mx.RandomEffects(es).fit(), limits=limits)
    ax = forest(plan)
    inside, at_edge = points(ax), points(ax, AT_EDGE)
    outside = 0
    for row, shown in zip(plan.rows, np.exp(es.y), strict=False):
        (mark,) = [mark for mark in (*inside, *at_edge) if mark[1] == row.y]
        if limits is None or limits[0] <= shown <= limits[1]:
            assert mark in inside
            assert mark[0] == pytest.approx(shown, rel=1e-12)
            assert row.mark.beyond == ""
            continue
        outside += 1
        side = "left" if shown < limits[0] else "right"
        assert mark in at_edge
        assert (row.mark.beyond, mark[0]) == (side, 0.0 if side == "left" else 1.0)  # in parts of the panel
        assert mark[3] == (1.0, 1.0, 1.0, 1.0), "a mark at the edge is hollow"
        beside = [text for text in ax.texts if text.xy[1] == row.y]
        assert [text.get_text() for text in beside] == [f"{shown:.2f}"]
    total = plan.row("total").mark
    outside += bool(total.beyond)
    said = [note for note in plan.notes if "outside the axis" in note]
    assert bool(said) == bool(outside)
    if outside:
        assert said[0].startswith(f"{outside} {'estimate lies' if outside == 1 else 'estimates lie'}")
    assert overlapping_texts(ax) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measure", ["SMD", "OR", "PLO", "ZCOR", "COR", "PFT", "IRLN"])
def test_automatic_limits_hold_every_estimate(seed, measure):
    draws = np.random.default_rng(seed)
    y = draws.standard_t(1.2, 9)
    y = np.clip(y, -0.99, 0.99) if measure == "COR" else np.abs(y) % 1.5 if measure == "PFT" else y
    plan = forest_plan(mx.RandomEffects(mx.EffectSizes(y, draws.uniform(0.01, 0.2, 9), measure)).fit())
    for row in plan.rows:
        if row.mark is not None and row.mark.estimate is not None:
            assert plan.axis.low <= row.mark.estimate <= plan.axis.high
            assert row.mark.beyond == ""
    ax = forest(plan)
    assert len(ticks(ax)) >= 3
    names = {seen.text: seen.y for seen in texts(ax) if seen.x < plan.panel.left}
    for row in plan.rows:
        if row.kind == "study":
            assert names[row.cells["label"][0]] == pytest.approx(row.y, abs=1e-9)


def test_default_limits_hold_the_pooled_effect_the_null_and_the_prediction(make_effects):
    fit = mx.RandomEffects(make_effects(12)).fit()
    plan = forest_plan(fit)
    pooled = fit.pooled()
    wanted = [0.0, pooled.low, pooled.high, pooled.prediction_low, pooled.prediction_high]
    assert plan.axis.low < min(wanted)
    assert plan.axis.high > max(wanted)


def test_a_fit_has_no_heads_unless_its_effects_are_stratified(make_effects):
    """Who asks for heads must not get one list of studies without a word."""
    es = make_effects(6)
    for results in (mx.RandomEffects(es).fit(), mx.stratify(es, by="source")):
        with pytest.raises(InputError, match=r"mx\.stratify\(effects, by='source'\)"):
            forest_plan(results, by="source")


def test_default_limits_hold_the_ticks_that_are_asked_for(make_effects):
    plan = forest_plan(make_effects(4, measure="RR"), ticks=[1e-3, 1.0, 200.0])
    assert plan.axis.low <= 1e-3
    assert plan.axis.high >= 200.0
    assert plan.axis.ticks == (1e-3, 1.0, 200.0)


def test_limits_and_reference_are_given_on_the_shown_scale(make_effects):
    plan = forest_plan(make_effects(4, measure="RR"), limits=(0.5, 4.0), reference=1.25)
    assert (plan.axis.low, plan.axis.high, plan.axis.reference) == (0.5, 4.0, 1.25)
    ax = forest(plan)
    assert ax.get_xlim() == pytest.approx((0.5, 4.0), rel=1e-12)
    assert ticks(ax) == [(0.5, "0.5"), (1.0, "1"), (2.0, "2")]
    assert any(line.get_xdata()[0] == 1.25 for line in ax.lines)
    assert forest_plan(make_effects(4), reference=None).axis.reference is None
    with pytest.raises(InputError, match="limits"):
        forest_plan(make_effects(4), limits=(1.0, 1.0))


def test_a_measure_without_a_null_has_no_reference_line():
    es = mx.effect_sizes("PLO", events=[3, 5, 8], n=[20, 30, 25])
    assert forest_plan(es).axis.reference is None


def test_sides_are_named_only_if_positive_means_benefit(make_effects):
    assert forest_plan(make_effects(3)).favours == ((), ())
    assert forest_plan(make_effects(3, oriented=True)).favours == (
        ("← favours control",),
        ("favours exosome →",),
    )
    plan = forest_plan(make_effects(3), favours=("less", "more"))
    assert plan.favours == (("less",), ("more",))


def test_what_was_left_out_is_told(make_effects):
    es = make_effects(9).select(np.arange(9) < 6, "no spread reported")
    plan = forest_plan(mx.RandomEffects(es).fit(), notes=["One more line."])
    assert "Left out: 3 of 9 rows of input: no spread reported (3)." in plan.describe()
    assert plan.describe() in plan.alternative
    assert plan.notes[-1] == "One more line."


def test_effects_of_one_study_that_are_taken_as_independent_are_told(make_effects):
    es = make_effects(6, study=["a", "a", "b", "c", "d", "e"])
    with pytest.warns(DependentEffectsWarning):
        fit = mx.RandomEffects(es).fit()
    plan = forest_plan(fit)
    assert "6 effects of 5 studies are taken as independent." in " ".join(plan.notes)
    assert detail(plan.row("total")).endswith("k = 6; m = 5")


# -- sizes -----------------------------------------------------------------------------------------------


@combined(k=[1, 2, 13, 150], letters=[8, 80])
def test_texts_never_overlap_nor_leave_the_page(make_effects, derived, k, letters):
    labels = [("A study with a long name " * 4)[:letters]] * k
    es = make_effects(k, measure="RR", labels=labels, derived=derived(k), oriented=True)
    plan = forest_plan(
        mx.stratify(es, by=["source", "isolation"]),
        columns=["animals", "dose", Column("bias", "Risk\nof bias", kind="risk")],
        heads={"Size and dose of every single study": ["animals", "dose"]},
        title="A title " * 20,
        level=0.99,
    )
    ax = forest(plan)
    assert overlapping_texts(ax) == []
    assert len(texts(ax)) > 5 * k
    assert min(text.get_fontsize() for text in all_texts(ax)) >= 7.0


def test_the_height_follows_the_rows(make_effects):
    heights = [forest_plan(make_effects(k)).height for k in (1, 10, 150)]
    row = forest_plan(make_effects(1)).rows[0].height / 72
    assert heights[1] - heights[0] == pytest.approx(9 * row, abs=1.5 / 72)
    assert heights[2] - heights[1] == pytest.approx(140 * row, abs=1.5 / 72)
    taller = [forest_plan(make_effects(k), row_height=30).height for k in (1, 10)]
    assert taller[1] - taller[0] == pytest.approx(9 * 30 / 72, abs=1.5 / 72)


def test_a_long_label_stays_whole(make_effects):
    label = "Exosomes of adipose stem cells in a hydrogel for the healing of diabetic wounds"
    row = forest_plan(make_effects(2, labels=[label] * 2)).rows[0]
    assert len(row.cells["label"]) > 1
    assert " ".join(row.cells["label"]) == label


# -- refusals --------------------------------------------------------------------------------------------


def test_what_cannot_be_drawn_is_refused(make_effects):
    es = make_effects(3)
    with pytest.raises(InputError, match="dict"):
        forest_plan({})
    with pytest.raises(UnknownChoiceError, match="sauce"):
        forest_plan(es, columns=["sauce"])
    with pytest.raises(UnknownChoiceError, match="alphabet"):
        forest_plan(es, order="alphabet")
    with pytest.raises(UnknownChoiceError, match="study"):
        forest_plan(es, weights="study")
    with pytest.raises(InputError, match="level"):
        forest_plan(es, level=95)
    with pytest.raises(InputError, match="texts"):
        forest_plan(es, columns=[Column("source", kind="number")])
    with pytest.raises(TooFewStudiesError):
        forest_plan(mx.EffectSizes([], []))
    data = es.data.assign(weight=1.0)
    with pytest.raises(InputError, match="weight"):
        forest_plan(mx.EffectSizes(es.y, es.v, data=data), columns=["weight"])


# -- decimals, cut diamonds, cautions, scales of their own --------------------------------------------------


@pytest.mark.parametrize("digits", [0, 1, 2, 4])
def test_estimates_have_the_same_decimals(digits):
    es = mx.EffectSizes([-0.000524, 0.46, 0.003, 12.3456, -2.0], [0.001, 0.0013, 1e-5, 4.0, 0.01])
    plan = forest_plan(mx.RandomEffects(es).fit(), decimals=digits)
    for row in plan.rows:
        for piece in row.cells.get("estimate", ()):
            text = piece.strip("[] to").replace("−", "-")
            if text:
                assert len(text.partition(".")[2]) == digits
                assert text.lstrip("-0.") or not text.startswith("-"), "no zero has a sign"


def test_only_a_variance_that_is_small_is_shown_as_a_bound():
    es = mx.EffectSizes([0.1, 0.3, 0.2, 0.25], [0.004, 0.004, 0.003, 0.005])
    fit = mx.RandomEffects(es).fit()
    assert 0 < fit.tau2 < 0.005
    assert forest_plan(fit).row("total").detail[0].replace("\xa0", " ").startswith("τ² < 0.01; I²")


@pytest.mark.parametrize("limits", [(-0.2, 0.9), (0.3, 2.0), (0.35, 0.6), None])
def test_a_diamond_that_is_cut_has_an_arrow_and_is_no_narrower_than_what_is_seen(limits):
    fit = mx.RandomEffects(mx.EffectSizes([-0.9, 0.4, 1.9], [0.1, 0.2, 0.1])).fit()
    plan = forest_plan(fit, limits=limits, prediction=False)
    row, pooled = plan.row("total"), fit.pooled()
    ax = forest(plan)
    low, high = ax.get_xlim()
    assert (row.mark.cut_low, row.mark.cut_high) == (pooled.low < low, pooled.high > high)
    (corners,) = diamonds(ax)
    assert corners[1, 0] == corners[3, 0] == pytest.approx(pooled.estimate)
    # the ends are those of the interval, also beyond the axis, where matplotlib clips the diamond
    assert (corners[0, 0], corners[2, 0]) == pytest.approx((pooled.low, pooled.high))
    heads = [(x, side) for x, y, side, _ in points(ax, ARROW) if y == row.y]
    assert sorted(x for x, _ in heads) == [0.0] * row.mark.cut_low + [1.0] * row.mark.cut_high
    assert [side for _, side in heads] == pytest.approx([row.mark.size] * len(heads))


def test_a_narrow_knapp_hartung_interval_carries_a_caution_in_figure_and_print():
    es = mx.EffectSizes([0.45, 0.47, 0.49], [0.1, 0.12, 0.09])
    fit = mx.RandomEffects(es).fit()
    said = " ".join(forest_plan(fit).notes)
    assert "narrower than that of the equal-effects model" in said
    assert "intercept" not in said
    assert "narrower than that of the equal-effects model" in str(fit.summary())
    wide = mx.RandomEffects(es).fit(test="knapp-hartung-adhoc")
    assert "narrower" not in " ".join(forest_plan(wide).notes)


def test_one_study_has_no_tau2_and_no_i2():
    fit = mx.RandomEffects(mx.EffectSizes([0.4], [0.1])).fit(method="EE")
    plan = forest_plan(fit)
    assert detail(plan.row("total")) == "k = 1; m = 1"
    assert any("one effect" in note for note in plan.notes)
    assert "I2 0" not in str(fit.summary())


def test_two_studies_carry_the_caution_of_one_df():
    fit = mx.RandomEffects(mx.EffectSizes([0.4, 0.9], [0.1, 0.2])).fit()
    assert any("1 df" in note for note in forest_plan(fit).notes)


def test_freeman_tukey_proportions_are_events_over_n_and_pooled_ones_use_the_harmonic_mean():
    events, n = np.array([0, 1, 1, 2, 8]), np.array([5, 30, 33, 40, 34])
    data = pd.DataFrame({"source": ["a", "a", "b", "b", "b"]})
    es = mx.effect_sizes("PFT", events=events, n=n)
    es = mx.EffectSizes(es.y, es.v, "PFT", data=data)
    fit = mx.RandomEffects(es).fit()
    plan = forest_plan(fit)
    shown = plan.to_frame().query("kind == 'study'")
    assert shown["estimate"].to_numpy() == pytest.approx(events / n, abs=1e-12)
    # Miller (1978) with the harmonic mean of the sizes, of the stratum in a stratum.
    for found, sizes, pooled in (
        (plan.row("total"), n, fit.pooled()),
        *(
            (forest_plan(strata).row(f"subtotal:{s}"), n[stratum.rows], stratum.pooled)
            for strata in [mx.stratify(es, by="source")]
            for s, stratum in enumerate(strata.strata)
        ),
    ):
        wanted = inverse_double_arcsine([pooled.estimate, pooled.high], harmonic_mean(sizes))
        assert (found.mark.estimate, found.mark.high) == pytest.approx(tuple(wanted), abs=1e-12)


def test_freeman_tukey_rates_are_events_over_time():
    events, time = np.array([0, 3, 5]), np.array([10.0, 40.0, 25.0])
    es = mx.effect_sizes("IRFT", events=events, time=time)
    shown = forest_plan(es).to_frame()["estimate"].to_numpy(dtype=float)
    assert shown == pytest.approx(events / time, abs=1e-12)


@pytest.mark.parametrize(
    ("es", "low", "high"),
    [
        (mx.effect_sizes("COR", correlation=[0.2, 0.9, 0.5], n=[20, 5, 8]), -1.0, 1.0),
        (mx.effect_sizes("PR", events=[1, 5, 19], n=[20, 30, 20]), 0.0, 1.0),
        (mx.effect_sizes("PLN", events=[1, 5, 19], n=[20, 30, 20]), 0.0, 1.0),
    ],
)
def test_intervals_end_where_what_is_possible_ends(es, low, high):
    plan = forest_plan(mx.RandomEffects(es).fit())
    frame = plan.to_frame()
    assert frame["low"].dropna().between(low, high).all()
    assert frame["high"].dropna().between(low, high).all()
    half = 1.959963984540054 * np.sqrt(es.v)
    beyond = (es.measure.back(es.y + half) > high) | (es.measure.back(es.y - half) < low)
    assert [row.mark.bounded for row in plan.rows if row.kind == "study"] == list(beyond)
    assert any("what is possible" in note for note in plan.notes)


@pytest.mark.parametrize("code", ["PLO", "PAS", "PFT", "PR", "PLN", "ZCOR", "COR"])
def test_proportions_and_correlations_stand_on_a_linear_axis_of_their_range(code):
    if code.endswith("COR"):
        es = mx.effect_sizes(code, correlation=[-0.5, 0.1, 0.6], n=[20, 40, 30])
    else:
        es = mx.effect_sizes(code, events=[3, 12, 20], n=[20, 30, 25])
    plan = forest_plan(es)
    assert (plan.axis.low, plan.axis.high) == ((-1.0, 1.0) if code.endswith("COR") else (0.0, 1.0))
    ax = forest(plan)
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim() == (plan.axis.low, plan.axis.high)
    seen = ticks(ax)
    assert len(seen) >= 3
    assert [label.replace("−", "-") for _, label in seen] == [f"{value:g}" for value, _ in seen]
    studies = [row.mark.estimate for row in plan.rows if row.kind == "study"]
    assert studies == pytest.approx(
        [-0.5, 0.1, 0.6] if code.endswith("COR") else [3 / 20, 12 / 30, 20 / 25], abs=1e-9
    )


def test_rare_events_have_an_axis_that_shows_them():
    plan = forest_plan(mx.effect_sizes("PLO", events=[3, 2, 5], n=[900, 700, 800]))
    assert plan.axis.low >= 0
    assert plan.axis.high < 0.05
    assert len(ticks(forest(plan))) >= 3


def test_a_ratio_with_its_interval_is_shown_as_it_was_reported():
    hr, low, high = np.array([0.71, 1.2, 0.5]), np.array([0.5, 0.9, 0.3]), np.array([1.008, 1.6, 0.8333])
    v = (np.log(high / low) / (2 * 1.959963984540054)) ** 2
    plan = forest_plan(mx.EffectSizes(np.log(hr), v, "HR"))
    shown = plan.to_frame()
    assert shown["estimate"].to_numpy(dtype=float) == pytest.approx(hr, rel=1e-12)
    assert plan.axis.scale == "log"
    assert plan.axis.reference == 1.0
    assert plan.axis.label.startswith("Hazard ratio")
    assert plan.columns[-1].title[0] == "Hazard ratio"


# -- labels as people have them -----------------------------------------------------------------------------

HARD = [
    "Li 2020\nfirst arm",
    "C\x00\x1b[31m \ud800x",
    "王 2021 山田太郎",
    "a\u2028b\tc",
    "",
    "𓀀 x" * 30,
    " " * 90,
]


def test_labels_with_line_breaks_make_higher_rows_and_overlap_nothing(tmp_path):
    es = mx.EffectSizes(np.arange(7.0), [0.1] * 7, labels=HARD, data=pd.DataFrame({"g\nh": HARD}))
    plan = forest_plan(es, columns=["g\nh"], title="a\nb\x07", notes=["n\x00\nm"], axis_label="x\ny")
    assert plan.rows[0].cells["label"] == ("Li 2020", "first arm")
    assert plan.rows[0].height > plan.rows[3].height - 1e-9 or len(plan.rows[3].cells["label"]) > 1
    ax = forest(plan)
    assert overlapping_texts(ax) == []
    for seen in texts(ax):
        assert all(unicodedata.category(sign) not in ("Cc", "Cs") for sign in seen.text)
    path = mx.plots.save(ax, tmp_path / "figure.svg")
    xml.dom.minidom.parse(str(path))


def test_letters_without_a_font_are_said(monkeypatch):
    monkeypatch.setattr("metaexo.plots.canvas.fonts._family_with", lambda letter: None)
    ax = forest(mx.EffectSizes([0.1], [0.1], labels=["王 2021"]))
    assert "� 2021" in [seen.text for seen in texts(ax)]
    assert any("no installed font" in seen.text for seen in texts(ax))
    assert overlapping_texts(ax) == []


def test_more_effects_than_a_page_holds_are_refused_with_a_remedy_that_works():
    draws = np.random.default_rng(1)
    es = mx.EffectSizes(draws.normal(0, 1, 20_000), draws.uniform(0.01, 0.1, 20_000))
    fit = mx.RandomEffects(es).fit(method="DL")
    for results in (es, fit):
        with pytest.raises(InputError, match=r"20000 effects.*funnel"):
            mx.plots.forest(results)
    assert len(forest_plan(es.select(range(100), "the first 100")).rows) == 100
    assert len(mx.plots.funnel_plan(fit).to_frame().query("layer == 'points'")) == 20_000


def test_an_interval_that_leaves_a_range_with_one_end_is_said_to_be_cut():
    es = mx.effect_sizes("IR", events=[0, 3, 5, 10], time=[10.0, 50.0, 40.0, 200.0])
    plan = forest_plan(mx.RandomEffects(es).fit(method="DL", test="z"))
    assert any("possible (at least 0)" in note for note in plan.notes)
