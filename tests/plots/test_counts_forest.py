"""Forest plots of counts: shares of one arm with exact intervals, effects of two arms beside their counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import forest, forest_plan, overlapping_texts

LONG = "Exosomes of umbilical cord stem cells for the healing of diabetic wounds, 王小明 B"


def one_arm(x=(0, 3, 12, 1, 0), n=(12, 40, 12, 1, 300), **more):
    return mx.event_counts(events=list(x), n=list(n), **more)


def studies(plan):
    return [row for row in plan.rows if row.kind == "study"]


def row_of(plan, id):
    return plan.to_frame().set_index("id").loc[id]


# -- one arm -------------------------------------------------------------------------------------------------


def test_shares_stand_where_they_were_observed_with_the_limits_of_clopper_and_pearson():
    counts = one_arm()
    plan = forest_plan(counts)
    table = plan.to_frame().query("kind == 'study'")
    x, n = counts.events[:, 0], counts.totals[:, 0]
    low = np.where(x == 0, 0.0, stats.beta.ppf(0.025, np.maximum(x, 1e-9), n - x + 1))
    high = np.where(x == n, 1.0, stats.beta.ppf(0.975, x + 1, np.maximum(n - x, 1e-9)))
    assert table["estimate"].to_numpy() == pytest.approx(x / n, abs=1e-12)
    assert table["low"].to_numpy() == pytest.approx(low, abs=1e-10)
    assert table["high"].to_numpy() == pytest.approx(high, abs=1e-10)
    assert not table["hollow"].any(), "nothing was added, so nothing is derived"
    assert [row.cells["events / n"] for row in studies(plan)][:2] == [("0 / 12",), ("3 / 40",)]
    assert studies(plan)[0].cells["estimate"] == ("0.000", "[0.000 to", "0.265]")
    assert (plan.axis.scale, plan.axis.low, plan.axis.high, plan.axis.reference) == ("linear", 0.0, 1.0, None)
    assert len(forest(plan).get_xticks()) >= 3
    areas = np.square([row.mark.size for row in studies(plan)])
    assert areas[1] / areas[4] == pytest.approx(40 / 300)
    assert "weight" not in {column.key for column in plan.columns}
    assert "Intervals of studies: exact (Clopper and Pearson); nothing is added to zeros." in plan.notes


def test_rare_events_have_the_part_of_the_axis_that_is_used():
    plan = forest_plan(one_arm((0, 1, 0), (120, 300, 80)), per=1000)
    assert plan.axis.low == 0.0
    assert 45 < plan.axis.high < 60
    assert len(forest(plan).get_xticks()) >= 3
    first = studies(plan)[1].mark
    assert (first.estimate, first.high) == pytest.approx((1000 / 300, 1000 * stats.beta.ppf(0.975, 2, 299)))
    assert plan.axis.label == "People with an event per 1,000"


@pytest.mark.parametrize("interval", ["exact", "mid-p", "wilson", "jeffreys"])
def test_other_intervals_are_those_of_safety(interval):
    counts = one_arm()
    found = mx.safety.study_intervals(counts, interval, level=0.9)
    table = forest_plan(counts, interval=interval, level=0.9, per=100).to_frame()
    assert table["low"].to_numpy(dtype=float) == pytest.approx(100 * found.low)
    assert table["high"].to_numpy(dtype=float) == pytest.approx(100 * found.high)


def test_rates_have_the_limits_of_garwood_on_a_linear_axis_from_zero():
    counts = mx.event_counts(events=[0, 4], time=[12.5, 40.25])
    plan = forest_plan(counts, per=100)
    table = plan.to_frame()
    assert table["low"].tolist() == pytest.approx([0.0, 100 * stats.chi2.ppf(0.025, 8) / 2 / 40.25])
    assert table["high"].tolist() == pytest.approx(
        [100 * stats.chi2.ppf(0.975, 2) / 2 / 12.5, 100 * stats.chi2.ppf(0.975, 10) / 2 / 40.25]
    )
    assert (plan.axis.scale, plan.axis.low) == ("linear", 0.0)
    assert studies(plan)[1].cells["events / time"] == ("4 / 40.25",)
    assert "Area of a square: person-time." in plan.notes


def test_upper_limits_alone_are_one_sided_and_open_to_the_left():
    counts = one_arm()
    plan = forest_plan(counts, upper=True)
    rows = studies(plan)
    assert rows[0].mark.high == pytest.approx(1 - 0.05 ** (1 / 12))
    assert all(row.mark.low is None for row in rows)
    assert rows[0].cells["estimate"] == ("0.000", "[up to", "0.221]")
    assert any(note.startswith("Each study has its one-sided 95% upper limit alone") for note in plan.notes)
    assert ("Proportion", "95% limit") in {column.title for column in plan.columns}
    fit = mx.BetaBinomial(one_arm((0, 3, 2), (12, 40, 12))).fit()
    heading = next(
        column.title for column in forest_plan(fit, upper=True).columns if column.key == "estimate"
    )
    assert heading == ("Proportion", "95% limit or CI")


def test_limits_of_all_studies_stand_below_them():
    counts = one_arm((0, 0, 0), (12, 8, 30))
    one, two = (mx.safety.upper_limit(counts, sides=sides) for sides in (1, 2))
    mean = mx.safety.upper_limit(counts, heterogeneity=0.1)
    plan = forest_plan(counts, models=[one, two, mean])
    first, second, third = (row_of(plan, f"limit:{i}") for i in range(3))
    assert first["high"] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert (second["estimate"], second["low"]) == (0.0, 0.0)
    assert second["high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert third["high"] == pytest.approx(mean.value)
    assert np.isnan(third["estimate"])
    assert [row["cell_events / n"] for row in (first, third)] == ["0 / 50"] * 2
    assert first["cell_estimate"] == "0.000 [up to 0.058]"
    assert any(
        note.startswith("Mean risk (ICC 0.1); assumed: study risks with a beta") for note in plan.notes
    )
    assert [row.kind for row in forest_plan(one).rows] == ["study"] * 3 + ["spacer", "total"]
    bayes = mx.safety.bayesian_limit(counts, sides=2)
    row = row_of(forest_plan(counts, models=[bayes]), "limit:0")
    posterior = stats.beta(0.5, 50.5)
    wanted = [posterior.ppf(p) for p in (0.5, 0.025, 0.975)]
    assert [row["estimate"], row["low"], row["high"]] == pytest.approx(wanted)
    assert row["text"] == "Common risk (Bayesian): 95% interval"
    with pytest.raises(InputError, match="other counts"):
        forest_plan(one_arm(), models=[one])


def test_heads_columns_and_orders():
    data = pd.DataFrame({"route": ["topical", "inhaled", "topical"], "age": [3.0, 2.0, 1.0]})
    counts = mx.event_counts(data, events=[0, 1, 2], n=[10, 20, 5], labels=["a", "b", "c"])
    plan = forest_plan(counts, by="route", columns=["age", "events"], order="age")
    assert [" ".join(row.text or row.cells["label"]) for row in plan.rows if row.kind != "spacer"] == [
        "topical", "c", "a", "inhaled", "b",
    ]  # fmt: skip
    assert [column.key for column in plan.columns] == ["label", "age", "events / n", "estimate"]
    assert [column.key for column in forest_plan(counts, columns=()).columns] == ["label", "estimate"]


def test_large_numbers_have_commas():
    counts = one_arm([168, 1200], [16192, 250000])
    words = " ".join("".join(cell) for row in forest_plan(counts).rows for cell in row.cells.values())
    assert "168 / 16,192" in words
    assert "1,200 / 250,000" in words


@pytest.mark.parametrize(("k", "look"), [
    (1, {}), (2, {"theme": "revman"}), (3, {"theme": "dark", "width": 5.0}), (150, {"upper": True}),
])  # fmt: skip
def test_texts_of_shares_never_overlap(k, look):
    n = np.random.default_rng(k).integers(1, 80, k)
    counts = one_arm(np.random.default_rng(k).binomial(n, 0.03), n, labels=[f"{i} {LONG}" for i in range(k)])
    plan = forest_plan(counts, models=[mx.safety.upper_limit(counts)], title=LONG, **look)
    assert len([row for row in studies(plan) if row.mark is not None]) == k
    assert overlapping_texts(forest(plan)) == []


def test_wrong_choices_of_counts_are_refused():
    two = mx.event_counts(treatment_events=[1], treatment_n=[9], control_events=[0], control_n=[8])
    with pytest.raises(InputError, match="two arms, which have no effect"):
        forest_plan(two)
    with pytest.raises(InputError, match="per is 7"):
        forest_plan(one_arm(), per=7)
    with pytest.raises(InputError, match=r"a level of at least 0\.75"):
        forest_plan(one_arm(), upper=True, level=0.6)
    with pytest.raises(InputError, match="log scale, and an estimate of 0"):
        forest_plan(one_arm(), scale="log")
    effects = mx.EffectSizes([0.1, 0.2], [0.1, 0.1])
    for choice in ({"per": 100}, {"upper": True}, {"interval": "wilson"}):
        with pytest.raises(InputError, match="for an EffectSizes"):
            forest_plan(effects, **choice)
    for choice in ({"strata_order": "label"}, {"subtotals": "only"}):
        with pytest.raises(InputError, match="has no strata"):
            forest_plan(one_arm(), **choice)
    with pytest.raises(InputError, match="models holds 'common'"):
        forest_plan(one_arm(), models=["common"])


# -- fits ----------------------------------------------------------------------------------------------------


def two_arms(**more):
    """Return counts with studies that say nothing on a ratio: the first, the fourth and the fifth."""
    data = pd.DataFrame({"route": ["a", "b", "b", "b", "a", "a"], "year": range(2015, 2021)})
    return mx.event_counts(
        data,
        treatment_events=[0, 3, 0, 5, 0, 2],
        treatment_n=[12, 40, 25, 5, 20, 50],
        control_events=[0, 5, 1, 5, 0, 7],
        control_n=[11, 42, 25, 5, 20, 48],
        labels=[f"Study {i}" for i in "abcdef"],
        **more,
    )


@pytest.fixture(scope="module")
def pooled():
    return mx.MantelHaenszel(two_arms(), "OR").fit()


def test_studies_without_an_estimate_keep_their_row_and_counts_without_a_mark(pooled):
    plan = forest_plan(pooled)
    rows = studies(plan)
    assert [bool(row.marks) for row in rows] == [False, True, True, False, False, True]
    assert rows[0].cells["estimate"] == ("", "not estimable", "")
    assert (rows[0].cells["treatment_events / treatment_n"], rows[3].cells["control_events / control_n"]) == (
        ("0 / 12",),
        ("5 / 5",),
    )
    said = (
        "Not estimable: 3 studies without event, or with events in everyone; not used in the pooled effect."
    )
    assert said in plan.notes
    odds = (3 / 37) / (5 / 37)
    assert rows[1].mark.estimate == pytest.approx(odds)
    assert not rows[1].mark.hollow
    half = 1.959963984540054 * np.sqrt(1 / 3 + 1 / 37 + 1 / 5 + 1 / 37)
    assert rows[1].mark.low == pytest.approx(odds * np.exp(-half))


def test_double_zeros_that_the_model_uses_are_said_to_be_used():
    plan = forest_plan(mx.BetaBinomial(two_arms(), "OR").fit())
    said = "Not estimable: 3 studies without event, or with events in everyone; used in the pooled effect."
    assert said in plan.notes


def test_a_zero_cell_is_drawn_with_a_half_and_the_pooled_effect_is_not(pooled):
    plan = forest_plan(pooled)
    mark = studies(plan)[2].mark
    assert mark.estimate == pytest.approx((0.5 / 25.5) / (1.5 / 24.5))
    assert mark.hollow
    note = "Hollow square: drawn with 0.5 added to every cell (1 study); the pooled effect adds nothing."
    assert note in plan.notes
    r = [3 * 37 / 82, 0.0, 2 * 41 / 98]
    s = [37 * 5 / 82, 25 * 1 / 50, 48 * 7 / 98]
    total = row_of(plan, "total")
    assert total["estimate"] == pytest.approx(sum(r) / sum(s))
    assert total["cell_treatment_events / treatment_n"] == "10 / 152"
    adds = mx.MantelHaenszel(two_arms(), "OR", zero_cells=mx.effects.ZeroCells(0.5)).fit()
    assert any(note.endswith("so are the counts that are pooled.") for note in forest_plan(adds).notes)


def test_weights_are_shown_where_there_are_some(pooled):
    weights = forest_plan(pooled).to_frame().query("kind == 'study'")["weight"].to_numpy(dtype=float)
    assert weights == pytest.approx(pooled.weights)
    for fit in (mx.ExactConditional(two_arms()).fit(), mx.BetaBinomial(two_arms(), "OR").fit()):
        plan = forest_plan(fit)
        assert "weight" not in {column.key for column in plan.columns}
        assert "Area of a square: number of people." in plan.notes


def test_a_difference_of_nothing_is_nought_without_an_interval():
    plan = forest_plan(mx.MantelHaenszel(two_arms(), "RD").fit())
    mark = studies(plan)[0].mark
    assert (mark.estimate, mark.low, mark.high, mark.hollow) == (0.0, None, None, False)
    assert "No interval: 3 studies without event, or with events in everyone." in plan.notes
    bounds = [m for row in studies(plan) for m in row.marks if m.low is not None]
    assert all(plan.axis.low <= m.low <= m.high <= plan.axis.high for m in bounds)


def test_an_infinite_ratio_is_a_line_from_its_limit_to_the_edge():
    counts = mx.event_counts(
        treatment_events=[0, 0], treatment_n=[40, 25], control_events=[5, 1], control_n=[42, 25]
    )
    for arms, cell, end in ((counts, "0", "high"), (swapped(counts), "∞", "low")):
        fit = mx.ExactConditional(arms).fit()
        plan = forest_plan(fit)
        total = plan.row("total")
        assert total.mark.shape == "bar"
        assert total.cells["estimate"][0] == cell
        limit = float(np.exp(getattr(fit.pooled(), end)))
        assert getattr(total.mark, end) == pytest.approx(limit)
        assert (total.mark.cut_low, total.mark.cut_high) == (end == "high", end == "low")
        assert plan.axis.low < limit < plan.axis.high
        assert overlapping_texts(forest(plan)) == []


def swapped(counts):
    x, n = counts.events, counts.totals
    return mx.event_counts(
        treatment_events=x[:, 1], treatment_n=n[:, 1], control_events=x[:, 0], control_n=n[:, 0]
    )


def test_a_fit_of_one_arm_stands_below_the_observed_shares():
    counts = one_arm((0, 3, 2, 1, 0), (12, 40, 12, 10, 300))
    fit, other = mx.CountGLMM(counts, "PLO").fit(), mx.BetaBinomial(counts).fit()
    plan = forest_plan(fit, per=100, models=[other, mx.safety.upper_limit(counts, sides=2)])
    mean, ahead = fit.pooled(), row_of(plan, "prediction")
    share = [100 / (1 + np.exp(-x)) for x in (mean.estimate, mean.low, mean.high)]
    total = row_of(plan, "total")
    assert [total["estimate"], total["low"], total["high"]] == pytest.approx(share)
    assert ahead["high"] == pytest.approx(100 / (1 + np.exp(-mean.prediction_high)))
    assert row_of(plan, "model:0")["estimate"] == pytest.approx(100 / (1 + np.exp(-other.pooled().estimate)))
    assert row_of(plan, "limit:1")["high"] == pytest.approx(100 * stats.beta.ppf(0.975, 7, 368))
    assert studies(plan)[0].mark.estimate == 0.0
    assert overlapping_texts(forest(plan)) == []


def test_strata_of_counts_have_heads_subtotals_and_a_test(pooled):
    strata = mx.stratify_counts(pooled, by="route")
    plan = forest_plan(strata)
    kinds = [row.kind for row in plan.rows if row.kind != "spacer"]
    assert kinds == [
        *["head", "study", "study", "study", "subtotal"],
        *["head", "study", "study", "study", "subtotal", "test"],
        *["total", "test", "test"],
    ]
    for s, stratum in enumerate(strata.strata):
        row = row_of(plan, f"subtotal:{s}")
        assert row["estimate"] == pytest.approx(np.exp(stratum.fit.beta[0]))
        assert row["weight"] == pytest.approx(pooled.weights[stratum.rows].sum())
        x, n = (int(values[:, 0].sum()) for values in (stratum.counts.events, stratum.counts.totals))
        assert row["cell_treatment_events / treatment_n"] == f"{x} / {n}"
    assert overlapping_texts(forest(plan)) == []
    alone = forest_plan(strata, subtotals="only", strata_order="label")
    assert [" ".join(row.text) for row in alone.rows if row.kind == "subtotal"] == ["a", "b"]


def test_a_stratum_without_an_estimate_has_its_sums_and_the_reason():
    counts = two_arms().with_columns(group=["x", "y", "y", "x", "x", "y"])
    plan = forest_plan(mx.stratify_counts(mx.MantelHaenszel(counts, "OR").fit(), by="group"))
    row = next(row for row in plan.rows if row.id.startswith("subtotal") and not row.marks)
    assert row.cells["estimate"] == ("", "not estimable", "")
    assert row.cells["control_events / control_n"] == ("5 / 36",)
    assert any(note.startswith("x: ") for note in plan.notes)
    assert any(note.startswith("No test between strata: 1 stratum") for note in plan.notes)


def test_refits_of_a_common_effect_draw_and_have_no_tau2(pooled):
    for found in (mx.sensitivity.leave_one_out(pooled), mx.sensitivity.cumulative(pooled, "year")):
        plan = forest_plan(found)
        assert "tau2" not in {column.key for column in plan.columns}
        assert overlapping_texts(forest(plan)) == []
    left_out = forest_plan(mx.sensitivity.leave_one_out(pooled)).row("refit:1").mark
    without = mx.MantelHaenszel(pooled.counts.select([0, 2, 3, 4, 5]), "OR").fit()
    assert left_out.estimate == pytest.approx(np.exp(without.estimate))


def test_charts_of_effects_show_the_studies_that_have_one_or_say_why_not(pooled):
    for name in ("funnel", "radial", "baujat", "caterpillar", "orchard"):
        plan = getattr(mx.plots, f"{name}_plan")(pooled)
        assert "Not shown: 3 studies without an estimate." in plan.notes
        points = plan.to_frame().query("layer == 'points'")
        assert {f"Study {i}" for i in "bcf"} <= set(points["label"])
        assert not {f"Study {i}" for i in "ade"} & set(points["label"])
    difference = mx.MantelHaenszel(two_arms(), "RD").fit()
    with pytest.raises(InputError, match="rests on them too"):
        mx.plots.funnel_plan(difference)
    with pytest.raises(InputError, match="no heterogeneity"):
        mx.plots.variance_components_plan(pooled)
    with pytest.raises(InputError, match="which are not normal"):
        mx.plots.normal_quantile_plan(pooled)


def test_labbe_plots_of_fits_have_all_studies_and_the_curve_of_the_pooled_effect(pooled):
    plan = mx.plots.labbe_plan(pooled)
    table = plan.to_frame()
    assert (table["layer"] == "points").sum() == 6
    curve = table[table["name"].str.startswith("pooled odds ratio")]
    x, y = curve["x"].to_numpy(dtype=float)[1:-1], curve["y"].to_numpy(dtype=float)[1:-1]
    assert y / (1 - y) / (x / (1 - x)) == pytest.approx(np.exp(pooled.estimate))
    groups = mx.plots.labbe_plan(mx.stratify_counts(pooled, by="route")).layers(mx.plots.canvas.chart.Points)
    assert {layer.name.partition(" ")[0] for layer in groups if layer.name} == {"a", "b"}


def test_further_models_have_their_own_notes_and_the_heterogeneity_says_whose_it_is(pooled):
    counts = two_arms()
    models = [mx.ExactConditional(counts).fit(), mx.BetaBinomial(counts, "OR").fit()]
    plan = forest_plan(pooled, models=models)
    said = " ".join(plan.notes)
    silent = "without event, or with events in everyone"
    used = "not used by Mantel-Haenszel, exact conditional; used by beta-binomial."
    assert f"Not estimable: 3 studies {silent}; {used}" in said
    assert "Conditional likelihood of a common odds ratio; intervals of pooled effects: exact." in said
    assert "no model adds anything" in said
    ids = [row.id for row in plan.rows if row.kind in ("total", "test")]
    assert ids == ["total", "total:heterogeneity", "model:0", "model:1"]
    assert plan.row("total:heterogeneity").text[0].startswith("Heterogeneity (Mantel-Haenszel): ")
    alone = forest_plan(pooled, models=models[:1])
    assert any(f"{silent}; not used in any pooled effect." in note for note in alone.notes)
    assert overlapping_texts(forest(plan)) == []


def test_a_labbe_plot_has_the_mean_risks_of_a_model_that_has_them():
    fit = mx.ArmBased(two_arms()).fit()
    plan = mx.plots.labbe_plan(fit, scale="odds")
    table = plan.to_frame()
    mark = table[(table["layer"] == "points") & table["name"].str.startswith("mean risks")].iloc[0]
    risks = fit.risks()["estimate"]
    assert (mark["x"], mark["y"]) == pytest.approx(
        (risks["control"] / (1 - risks["control"]), risks["treatment"] / (1 - risks["treatment"]))
    )
    assert len(plan.layers(mx.plots.canvas.chart.Intervals)) == 2
    assert overlapping_texts(mx.plots.labbe(plan)) == []


def test_other_models_must_be_of_the_same_counts_and_measure(pooled):
    plan = forest_plan(pooled, models=[mx.Peto(two_arms()).fit()])
    assert row_of(plan, "model:0")["estimate"] == pytest.approx(np.exp(mx.Peto(two_arms()).fit().estimate))
    with pytest.raises(InputError, match="of: Risk ratio; the plot is of: Odds ratio"):
        forest_plan(pooled, models=[mx.MantelHaenszel(two_arms(), "RR").fit()])
    with pytest.raises(InputError, match="other counts"):
        forest_plan(pooled, models=[mx.Peto(swapped(two_arms())).fit()])
    with pytest.raises(InputError, match="per=100 for counts of two arms"):
        forest_plan(pooled, per=100)


@pytest.mark.parametrize("k", [1, 2, 150])
@pytest.mark.filterwarnings("ignore::metaexo.errors.MetaexoWarning")
def test_texts_of_fits_of_counts_never_overlap(k):
    draws = np.random.default_rng(k)
    n = draws.integers(5, 60, (2, k))
    x = draws.binomial(n, 0.04)
    x[:, 0] += 1
    names = dict(zip(("treatment_events", "treatment_n"), (x[0], n[0]), strict=True))
    counts = mx.event_counts(
        **names, control_events=x[1], control_n=n[1], labels=[f"{LONG} {i}" for i in range(k)]
    )
    plan = forest_plan(mx.MantelHaenszel(counts, "RR").fit(), theme="dark", title=LONG)
    assert len(studies(plan)) == k
    assert overlapping_texts(forest(plan)) == []
