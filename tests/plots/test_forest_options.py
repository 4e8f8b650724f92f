"""What a forest plot can be asked for: columns, orders, models, rows of journals, scales and marks."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import p_value
from metaexo.plots import Column, forest, forest_plan, overlapping_texts
from tests.plots.drawn import detail, diamonds, intervals, points, texts, ticks

Z = 1.959963984540054


def numbers(row):
    """Return estimate, low and high as the row prints them."""
    text = " ".join(row.cells["estimate"]).replace("\N{MINUS SIGN}", "-")
    return [float(found) for found in re.findall(r"-?\d+\.\d+", text)]


def labels(plan):
    return [" ".join(row.cells["label"]) for row in plan.rows if row.kind == "study"]


@pytest.fixture
def trials():
    """Return risk ratios of two strata with their events and numbers."""
    data = pd.DataFrame(
        {
            "events": [4, 12, 3, 20, 7],
            "n": [40, 120, 35, 90, 60],
            "events_control": [9, 15, 6, 31, 12],
            "n_control": [42, 118, 33, 95, 61],
            "mean": [3.14, 2.0, 5.5, 1.25, 4.0],
            "sd": [0.8, 1.1, 2.0, 0.5, 1.0],
            "bias": ["low", "high", "some concerns", "low", "high"],
            "source": ["plant", "plant", "milk", "milk", "milk"],
        }
    )
    return mx.effect_sizes(
        "RR",
        data=data,
        treatment_events="events",
        treatment_n="n",
        control_events="events_control",
        control_n="n_control",
        labels=["Li 2020", "cho 2021", "Abe 2022", "Ng 2019", "Bo 2018"],
    )


# -- columns ---------------------------------------------------------------------------------------------


def test_a_column_can_be_given_by_its_name_alone(make_effects):
    plan = forest_plan(make_effects(3), columns="dose")
    assert [column.key for column in plan.columns] == ["label", "dose", "estimate"]


def test_events_and_means_stand_with_their_numbers_on_either_side(trials):
    columns = [
        Column(("events", "n"), "Exosome", kind="events"),
        Column(("events_control", "n_control"), "Control", kind="events"),
        Column(("mean", "sd"), kind="mean_sd", decimals=1, side="right"),
    ]
    plan = forest_plan(trials, columns=columns, heads={"Events / n": [column.key for column in columns[:2]]})
    data = trials.data
    for i, row in enumerate(plan.rows):
        assert row.cells["events / n"] == (f"{data['events'][i]} / {data['n'][i]}",)
        assert row.cells["mean / sd"] == (f"{data['mean'][i]:.1f} ({data['sd'][i]:.1f})",)
    by_key = {column.key: column for column in plan.columns}
    assert by_key["mean / sd"].title == ("Mean (SD)",)
    assert by_key["events_control / n_control"].right < plan.panel.left < plan.panel.right
    assert by_key["mean / sd"].left > plan.panel.right
    ax = forest(plan)
    at = {(seen.text, seen.align): seen for seen in texts(ax)}
    for i, row in enumerate(plan.rows):
        seen = at[f"{data['events'][i]} / {data['n'][i]}", "right"]
        assert (seen.x, seen.y) == pytest.approx((by_key["events / n"].right, row.y))
    assert overlapping_texts(ax) == []


def test_a_judgement_has_a_sign_beside_its_colour(trials):
    plan = forest_plan(trials, columns=[Column("bias", kind="risk")])
    ax = forest(plan)
    column = next(column for column in plan.columns if column.key == "bias")
    middle = (column.left + column.right) / 2
    signs = {round(t.y, 2): t.text for t in texts(ax) if t.x == pytest.approx(middle) and len(t.text) == 1}
    wanted = {"low": "+", "high": "\N{MINUS SIGN}", "some concerns": "?"}
    assert [signs[row.y] for row in plan.rows] == [wanted[word] for word in trials.data["bias"]]
    discs = {
        round(line.get_ydata()[0], 2): to_hex(line.get_markerfacecolor())
        for line in ax.figure.findobj(lambda one: getattr(one, "get_marker", str)() == "o")
        if len(line.get_ydata()) == 1
    }
    colors = [discs[row.y] for row in plan.rows]
    assert colors[0] == colors[3]
    assert colors[1] == colors[4]
    assert len(set(colors)) == 3


def test_headings_are_those_that_were_given(make_effects):
    plan = forest_plan(
        mx.RandomEffects(make_effects(4)).fit(),
        columns=["dose"],
        titles={"label": "Trial", "dose": "Dose, µg", "estimate": "SMD", "weight": "%"},
    )
    assert [column.title for column in plan.columns] == [("Trial",), ("Dose, µg",), ("SMD",), ("%",)]
    written = {text.text for text in texts(forest(plan))}
    assert written >= {"Trial", "Dose, µg", "SMD", "%"}


def test_decimals_are_those_of_each_column(make_effects):
    fit = mx.RandomEffects(make_effects(6)).fit()
    plan = forest_plan(fit, columns=["dose"], decimals={"estimate": 3, "weight": 0, "dose": 1})
    for row, y, weight, dose in zip(
        plan.rows, fit.effects.y, fit.weights, fit.effects.data["dose"], strict=False
    ):
        assert numbers(row)[0] == pytest.approx(y, abs=5e-4)
        assert len(row.cells["estimate"][0].partition(".")[2]) == 3
        assert row.cells["weight"] == (f"{100 * weight:.0f}%",)
        assert float(row.cells["dose"][0]) == pytest.approx(dose, abs=0.0501)
        assert len(row.cells["dose"][0].partition(".")[2]) == 1


@pytest.mark.parametrize(
    ("given", "positive", "negative"),
    [
        ("({low}; {high})", "0.50 (0.06; 0.94)", "0.10 (−0.34; 0.54)"),
        ("{low}–{high}", "0.50 0.06–0.94", "0.10 −0.34 to 0.54"),  # a dash is no sign between signs
        ("CI {low} ... {high}!", "0.50 CI 0.06 ... 0.94!", "0.10 CI −0.34 ... 0.54!"),
    ],
)
def test_intervals_are_written_as_asked_for(given, positive, negative):
    for y, wanted in ((0.5, positive), (0.1, negative)):
        ax = forest(mx.EffectSizes([y], [(0.44 / Z) ** 2]), ci_format=given)
        found = [text for text in texts(ax) if text.align == "right"]
        cells = [text.text for text in found if text.y == pytest.approx(found[-1].y)]
        assert " ".join(cells) == wanted


# -- orders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [None, False, True])
@pytest.mark.parametrize("order", ["weight", "label", "estimate", "precision", "dose"])
def test_studies_stand_in_the_order_that_was_chosen(make_effects, order, descending):
    es = make_effects(11)
    fit = mx.RandomEffects(es).fit()
    plan = forest_plan(fit, order=order, descending=descending)
    key = {
        "weight": fit.weights,
        "label": np.argsort(np.argsort(es.row_labels)),
        "estimate": es.y,
        "precision": 1 / es.v,
        "dose": es.data["dose"].to_numpy(),
    }[order]
    places = [es.row_labels.index(label) for label in labels(plan)]
    assert sorted(places) == list(range(11))
    values = [key[i] for i in places]
    falling = order in ("weight", "precision") if descending is None else descending
    assert values == sorted(values, reverse=falling)


def test_the_last_study_stands_first_if_asked_for(make_effects):
    es = make_effects(5)
    assert labels(forest_plan(es)) == labels(forest_plan(es, descending=False)) == list(es.row_labels)
    assert labels(forest_plan(es, descending=True)) == list(es.row_labels)[::-1]


@pytest.mark.parametrize("choice", [{"strata_order": "size"}, {"strata_order": ["a"]}, {"subtotals": "only"}])
def test_choices_on_strata_need_strata(make_effects, choice):
    es = make_effects(6)
    for results in (es, mx.RandomEffects(es).fit(), mx.Multilevel(es, "study").fit()):
        with pytest.raises(InputError, match=rf"{next(iter(choice))}=.* has no strata.*mx\.stratify"):
            forest_plan(results, **choice)


def test_two_sides_are_asked_for_where_one_text_is_given(make_effects):
    with pytest.raises(InputError, match=r"favours is a single text.*write favours=\(\"favours A\", "):
        forest_plan(make_effects(3), favours="ab")


def test_a_misspelt_stratum_is_answered_with_its_name(make_effects):
    results = mx.stratify(make_effects(21), by="source")
    names = [row.text[0] for row in forest_plan(results).rows if row.kind == "head"]
    with pytest.raises(UnknownChoiceError, match=names[0]):
        forest_plan(results, strata_order=[names[0][:-1], *names[1:]])


# -- decimals that the data call for -----------------------------------------------------------------------


def estimates_of(plan):
    return [row.cells["estimate"] for row in plan.rows if row.kind == "study"]


@pytest.mark.parametrize(
    ("unit", "decimals"),
    [(1e-5, 6), (1e-3, 4), (0.1, 2), (1.0, 2), (20.0, 2), (100.0, 1), (1e3, 0), (1e5, 0)],
)
def test_decimals_follow_from_the_data(unit, decimals):
    y, se = unit * np.array([1.234, -0.52, 3.96]), unit * np.array([0.3, 0.21, 0.27])
    es = mx.EffectSizes(y, se**2, "MD")
    plan = forest_plan(es)
    for cell, value, low, high in zip(estimates_of(plan), y, y - Z * se, y + Z * se, strict=True):
        pieces = [piece.strip("[] to").replace("−", "-") for piece in cell]
        assert [len(piece.partition(".")[2]) for piece in pieces] == [decimals] * 3
        shown = [float(piece) for piece in pieces]
        assert shown == pytest.approx([value, low, high], abs=0.5001 * 10.0**-decimals)
        assert max(abs(np.subtract(shown, [value, low, high]))) <= 0.25 * min(value - low, high - value)
    for fixed in (0, 2, 5):
        assert estimates_of(forest_plan(es, decimals={"estimate": fixed})) == estimates_of(
            forest_plan(es, decimals=fixed)
        )


def test_a_ratio_of_few_digits_keeps_them_beside_wide_intervals():
    es = mx.EffectSizes(np.log([0.3, 40.0, 900.0]), [1.0, 2.0, 3.0], "RR")
    assert estimates_of(forest_plan(es))[0] == ("0.30", "[0.04 to", "2.13]")
    tiny = mx.EffectSizes(np.log([1e-5, 2e-5]), [0.04, 0.05], "RR")
    assert estimates_of(forest_plan(tiny))[0] == ("0.000010", "[0.000007 to", "0.000015]")


def test_all_strata_have_the_decimals_of_all_effects():
    y, v = [0.1, 0.2, 0.3, 0.0011, 0.0012, 0.0013], [0.04] * 3 + [1e-8] * 3
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"group": list("aaabbb")}))
    for results in (mx.stratify(es, by="group"), es):
        cells = [row.cells["estimate"][0] for row in forest_plan(results).rows if "estimate" in row.cells]
        assert {len(cell.partition(".")[2]) for cell in cells if cell} == {2}


def test_decimals_without_intervals_follow_from_the_estimates():
    for values, wanted in (([2.5e-4, 4e-4], "0.00025"), ([0.3, 0.4], "0.30"), ([0.0, 0.0], "0.00")):
        table = pd.DataFrame({"label": list("ab"), "estimate": values, "low": np.nan, "high": np.nan})
        assert mx.plots.heterogeneity_plan(table).rows[0].cells["estimate"][0] == wanted


# -- strata alone ------------------------------------------------------------------------------------------


def test_the_axis_holds_the_intervals_of_strata_that_stand_alone():
    y, v = [0.1, 0.2, 0.15, 0.4, -0.1], [0.01, 0.01, 0.01, 0.8, 0.9]
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"group": ["a", "a", "a", "b", "c"]}))
    plan = forest_plan(mx.stratify(es, by="group"), subtotals="only")
    marks = [row.mark for row in plan.rows if row.kind == "subtotal"]
    assert len([mark for mark in marks if mark is not None and mark.low is not None]) == 3
    for mark in marks:
        assert not mark.cut_low
        assert not mark.cut_high
        assert plan.axis.low <= mark.low
        assert mark.high <= plan.axis.high


def test_labels_are_ordered_whatever_their_capitals(trials):
    assert labels(forest_plan(trials, order="label")) == [
        "Abe 2022",
        "Bo 2018",
        "cho 2021",
        "Li 2020",
        "Ng 2019",
    ]


def test_strata_stand_in_the_order_that_was_chosen(make_effects):
    results = mx.stratify(make_effects(21), by="source")
    names = {s: stratum.name for s, stratum in enumerate(results.strata)}

    def heads(**choices):
        return [row.text[0] for row in forest_plan(results, **choices).rows if row.kind == "head"]

    given = heads()
    assert sorted(given) == heads(strata_order="label")
    assert heads(strata_order="given") == given
    by_words = dict(zip(given, results.strata, strict=True))
    sizes = [by_words[name].k for name in heads(strata_order="size")]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 1
    estimates = [by_words[name].pooled.estimate for name in heads(strata_order="estimate")]
    assert estimates == sorted(estimates)
    assert heads(strata_order=given[::-1]) == given[::-1]
    with pytest.raises(InputError, match="leaves out"):
        heads(strata_order=given[:1])
    assert len(names) == 4


# -- pooled effects --------------------------------------------------------------------------------------


def test_further_models_have_a_row_each(make_effects):
    es = make_effects(9)
    fit = mx.RandomEffects(es).fit(method="DL")
    other = mx.RandomEffects(es).fit(method="PM", test="z")
    plan = forest_plan(fit, models=["common", "random", "EB", other], decimals=4)
    rows = [row for row in plan.rows if row.kind == "total"]
    assert [row.text[0].partition(": ")[2] for row in rows] == [
        "random effects (DL)",
        "equal effects",
        "random effects (REML)",
        "random effects (EB)",
        "random effects (PM)",
    ]
    wanted = [
        fit,
        mx.RandomEffects(es).fit(method="EE", test="z"),
        mx.RandomEffects(es).fit(method="REML"),
        mx.RandomEffects(es).fit(method="EB"),
        other,
    ]
    for row, one in zip(rows, wanted, strict=True):
        pooled = one.pooled()
        assert numbers(row) == pytest.approx([pooled.estimate, pooled.low, pooled.high], abs=6e-5)
        assert (row.mark.estimate, row.mark.low, row.mark.high) == pytest.approx(
            (pooled.estimate, pooled.low, pooled.high)
        )
    y, v = es.y, es.v
    assert rows[1].mark.estimate == pytest.approx((y / v).sum() / (1 / v).sum())
    assert rows[1].mark.high - rows[1].mark.estimate == pytest.approx(Z / np.sqrt((1 / v).sum()))
    ax = forest(plan)
    assert [corners[1, 1] + row.mark.size / 2 for corners, row in zip(diamonds(ax), rows, strict=True)] == (
        pytest.approx([row.y for row in rows])
    )
    with pytest.raises(InputError, match="other effects"):
        forest_plan(fit, models=[mx.RandomEffects(make_effects(8)).fit()])
    with pytest.raises(InputError, match="moderators"):
        forest_plan(fit, models=[mx.RandomEffects(es, "dose").fit()])


def test_subtotals_alone_are_a_row_per_stratum(make_effects):
    results = mx.stratify(make_effects(17), by=["source", "isolation"])
    whole, short = forest_plan(results), forest_plan(results, subtotals="only")
    assert [row.kind for row in short.rows if row.kind == "study"] == []
    found = {row.id: row for row in short.rows if row.kind == "subtotal"}
    assert len(found) == len(results.strata)
    pooled = {s for s, stratum in enumerate(results.strata) if stratum.fit is not None}
    assert pooled
    for s in pooled:
        one, other = found[f"subtotal:{s}"].mark, whole.row(f"subtotal:{s}").mark
        assert (one.estimate, one.low, one.high) == (other.estimate, other.low, other.high)
        assert found[f"subtotal:{s}"].text == whole.row(f"head:{s}").text
    assert numbers(short.row("total")) == numbers(whole.row("total"))
    assert len(diamonds(forest(short))) == len(found) + 1
    for s in set(range(len(results.strata))) - pooled:
        assert detail(found[f"single:{s}"]) == "k = 1; m = 1", "strata that are not pooled stay in sight"
        (alone,) = results.strata[s].rows
        assert found[f"single:{s}"].mark.estimate == pytest.approx(results.effects.y[alone])
        assert found[f"single:{s}"].mark.hollow
    none = forest_plan(results, subtotals=False)
    assert [row.kind for row in none.rows if row.kind == "subtotal"] == []
    assert labels(none) == labels(whole)


def test_journals_print_sums_heterogeneity_and_tests_in_rows(trials):
    columns = [Column(("events", "n"), "Exosome", kind="events"), "n_control"]
    results = mx.stratify(trials, by="source")
    plan = forest_plan(results, columns=columns, totals=True)
    data = trials.data
    total, fit = plan.row("total"), results.overall
    assert total.cells["events / n"] == (f"{data['events'].sum()} / {data['n'].sum()}",)
    assert total.cells["n_control"] == (f"{data['n_control'].sum()}",)
    for s, stratum in enumerate(results.strata):
        part = data.iloc[list(stratum.rows)]
        row = plan.row(f"subtotal:{s}")
        assert row.cells["events / n"] == (f"{part['events'].sum()} / {part['n'].sum()}",)
        said = plan.row(f"subtotal:{s}:heterogeneity").text
        assert f"I² = {100 * stratum.fit.i2:.0f}%" in " ".join(said).replace("\N{NO-BREAK SPACE}", " ")
        assert detail(row) == f"k = {stratum.k}; m = {stratum.k}"

    def said(name):
        return " ".join(plan.row(name).text).replace("\N{NO-BREAK SPACE}", " ")

    assert said("total:heterogeneity").startswith(
        f"Heterogeneity: τ² = {fit.tau2:.2f}; I² = {100 * fit.i2:.0f}%"
    )
    assert f"Q(4) = {fit.q.statistic:.1f}, p = {fit.q.pvalue:.2f}" in said("total:heterogeneity")
    test = fit.to_frame().iloc[0]
    t = f"t(4) = {test['statistic']:.2f}, {p_value(test['pvalue'])}".replace("-", "\N{MINUS SIGN}")
    assert said("total:effect") == f"Test for overall effect: {t}"
    assert said("subtotal:0:effect").startswith(f"Test for effect: t({results.strata[0].k - 1}) = ")
    assert said("between").startswith("Test for subgroup differences: F(1, ")
    assert overlapping_texts(forest(plan)) == []
    plain = forest_plan(results, columns=columns)
    assert not [row.id for row in plain.rows if row.id.endswith((":heterogeneity", ":effect"))]
    assert "n_control" not in plain.row("total").cells
    assert forest_plan(results, theme="bmj").row("total:effect")
    assert not [
        row for row in forest_plan(results, theme="bmj", totals=False).rows if row.id == "total:effect"
    ]


def test_the_test_of_the_effect_can_be_had_alone(make_effects):
    fit = mx.RandomEffects(make_effects(8)).fit(test="z")
    ids = [row.id for row in forest_plan(fit, test_effect=True).rows]
    assert "total:effect" in ids
    assert "total:heterogeneity" not in ids
    row = forest_plan(fit, test_effect=True).row("total:effect")
    z = fit.to_frame()["estimate"].iloc[0] / fit.to_frame()["se"].iloc[0]
    assert row.text[0].replace("\N{NO-BREAK SPACE}", " ").startswith(f"Test for overall effect: z = {z:.2f}")
    ids = [row.id for row in forest_plan(fit, theme="revman", test_effect=False).rows]
    assert "total:effect" not in ids
    assert "total:heterogeneity" in ids
    bare = forest_plan(fit, heterogeneity=False)
    assert detail(bare.row("total")) == "k = 8; m = 8"
    assert "total:heterogeneity" not in [
        row.id for row in forest_plan(fit, theme="bmj", heterogeneity=False).rows
    ]


def test_rows_of_the_whole_can_be_left_away_and_named(make_effects):
    fit = mx.RandomEffects(make_effects(8)).fit()
    assert [row.kind for row in forest_plan(fit, overall=False).rows] == ["study"] * 8
    assert "prediction" not in [row.kind for row in forest_plan(fit, prediction=False).rows]
    assert forest_plan(fit, overall_label="Everything").row("total").text == ("Everything",)


@pytest.mark.parametrize("measure", ["SMD", "RR", "PLO"])
def test_fitted_diamonds_are_what_the_model_predicts(make_effects, measure):
    es = make_effects(12, measure)
    fit = mx.RandomEffects(es, "dose").fit()
    plan = forest_plan(fit, order="estimate", level=0.9)
    table = es.measure.back(fit.predict(level=0.9)[["estimate", "low", "high"]].to_numpy())
    rows = {row.id: row for row in plan.rows}
    for name, wanted in zip(es.row_ids, table, strict=True):
        study, fitted = rows[f"study:{name}"].marks
        assert (fitted.shape, fitted.name) == ("diamond", "fitted")
        assert (fitted.estimate, fitted.low, fitted.high) == pytest.approx(tuple(wanted))
        assert study.shape == "square"
    ax = forest(plan)
    assert len(diamonds(ax)) == len(points(ax)) == 12
    for row, corners, point in zip(plan.rows, diamonds(ax), points(ax), strict=True):
        assert corners[1, 0] == pytest.approx(row.marks[1].estimate)
        assert point[:2] == pytest.approx((row.marks[0].estimate, row.y))
    frame = plan.to_frame()
    assert (frame["group"] == "fitted").sum() == 12
    assert any("fitted effect with its 90% CI" in note for note in plan.notes)
    plain = forest_plan(fit, fitted=False)
    assert {len(row.marks) for row in plain.rows} == {1}
    assert not any("fitted" in note for note in plain.notes)


def test_weights_may_be_drawn_and_not_printed_or_neither(make_effects):
    fit = mx.RandomEffects(make_effects(7)).fit()
    drawn = forest_plan(fit, weight_column=False)
    assert "weight" not in [column.key for column in drawn.columns]
    sizes = [row.mark.size for row in drawn.rows if row.kind == "study"]
    assert np.square(sizes) / max(sizes) ** 2 == pytest.approx(fit.weights / fit.weights.max())
    equal = forest_plan(fit, weights=None)
    assert "weight" not in [column.key for column in equal.columns]
    assert len({row.mark.size for row in equal.rows if row.kind == "study"}) == 1


# -- the axis and the marks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "scale", "label"),
    [
        ("RR", "linear", "Risk ratio"),
        ("RR", "log", "Risk ratio (log scale)"),
        ("PLO", "logit", "Proportion (logit scale)"),
        ("PLO", "linear", "Proportion"),
        ("PLO", "log", "Proportion (log scale)"),
    ],
)
def test_the_scale_of_the_axis_can_be_chosen(make_effects, measure, scale, label):
    es = make_effects(6, measure)
    plan = forest_plan(es, scale=scale)
    ax = forest(plan)
    assert (ax.get_xscale(), ax.get_xlabel().replace("\n", " ")) == (scale, label)
    assert [x for x, *_ in points(ax)] == pytest.approx(es.measure.back(es.y))
    seen = ticks(ax)
    assert len(seen) >= 3
    assert all(float(text) == pytest.approx(value) for value, text in seen)
    ends = [(low, high) for low, high, _ in intervals(ax)]
    half = Z * np.sqrt(es.v)
    wanted = np.clip(es.measure.back(np.array([es.y - half, es.y + half])), *ax.get_xlim())
    assert pytest.approx(wanted) == np.array(ends).T
    assert overlapping_texts(ax) == []


def test_a_scale_that_cannot_show_an_estimate_is_refused():
    es = mx.EffectSizes([-0.2, 0.4], [0.1, 0.1], "SMD", labels=["Li 2020", "Cho 2021"])
    with pytest.raises(InputError, match=r"-0\.2 \(Li 2020\)"):
        forest_plan(es, scale="log")
    with pytest.raises(InputError, match="not a value of a log axis"):
        forest_plan(mx.EffectSizes([0.2], [0.1], "RR"), limits=(-1.0, 2.0))
    positive = forest_plan(mx.EffectSizes([0.2, 0.9], [0.001, 0.1], "MD"), scale="log")
    assert positive.axis.reference is None, "no effect, 0, is not on this axis"
    assert overlapping_texts(forest(positive)) == []


def test_ticks_stand_where_they_are_asked_for(make_effects):
    ax = forest(make_effects(5, "RR"), ticks=[0.5, 1, 3])
    assert ticks(ax) == [(0.5, "0.5"), (1.0, "1"), (3.0, "3")]
    ax.set_xlim(0.8, 4.0)
    assert ticks(ax) == [(1.0, "1"), (3.0, "3")]


def test_color_and_size_of_the_marks_of_studies(make_effects):
    fit = mx.RandomEffects(make_effects(6)).fit()
    for given, wanted in (("#663399", "#663399"), ("rebeccapurple", "#663399"), ("pooled", "#1a1a1a")):
        ax = forest(fit, color=given, marker_size=14.0)
        assert {to_hex(fill) for *_, fill in points(ax)} == {wanted}
        assert max(side for _, _, side, _ in points(ax)) == pytest.approx(14.0)
    with pytest.raises(UnknownChoiceError, match="purpel"):
        forest(fit, color="purpel")


def test_rows_have_the_height_that_is_asked_for(make_effects):
    plan = forest_plan(make_effects(6), row_height=25.0)
    steps = np.diff([row.y for row in plan.rows])
    assert steps == pytest.approx([25.0] * 5, abs=0.02)
    with pytest.raises(InputError, match="too low"):
        forest_plan(make_effects(3), row_height=6.0)


def test_what_each_side_favours_stands_on_its_side_of_the_line(make_effects):
    ax = forest(make_effects(5), favours=("less scar", "more scar"))
    left, right = (next(t for t in texts(ax) if t.text == words) for words in ("less scar", "more scar"))
    zero = ax.transData.transform((0.0, 0.0))[0] / ax.figure.dpi * 72
    ax.figure.draw_without_rendering()
    zero = ax.transData.transform((0.0, 0.0))[0] / ax.figure.dpi * 72
    assert (left.align, right.align) == ("right", "left")
    assert left.x < zero < right.x
    assert left.y == right.y


def test_a_prediction_interval_below_zero_has_no_dash_between_its_ends():
    es = mx.EffectSizes([2.2, 3.1, 1.8], [0.04, 0.05, 0.03], "SMD")
    frame = forest_plan(mx.RandomEffects(es).fit(), theme="lancet").to_frame().set_index("kind")
    assert frame["low"].min() == frame.loc["prediction", "low"] < 0
    assert " to " in frame.loc["prediction", "cell_estimate"]
    assert "\N{EN DASH}" in frame.loc["total", "cell_estimate"]
