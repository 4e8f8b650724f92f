"""Thresholds and directions stay intervals that hold the effect, and never become points."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import metaexo as mx
from metaexo.effects import calculate, effects_from_table
from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.tables.assumed_sd import effects_with_assumed_sd, pooled_sd
from metaexo.effects.tables.bounds import BOUNDED, bounds_from_table
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    NegativeSDError,
    ShapeError,
    TooFewStudiesError,
    UnknownChoiceError,
)


def one(**cells: object) -> dict[str, list[object]]:
    return {"paired": ["no"], **{name: [value] for name, value in cells.items()}}


def ends(found):
    return float(found.lower[0]), float(found.upper[0])


THRESHOLD = {"treatment_n": 9, "control_n": 14, "p_value": 0.05}


@pytest.mark.parametrize("measure", ["SMD", "D2OR", "D2ORN", "D2ORL"])
@pytest.mark.parametrize("p", [0.05, 0.01, 0.001])
def test_the_bound_is_the_effect_at_the_threshold(measure, p):
    at = calculate(measure, {"p_value": p, "direction": 1, "treatment_n": 9, "control_n": 14})
    found = bounds_from_table(measure, one(**THRESHOLD | {"p_value": p}, p_relation="<", direction="higher"))
    assert ends(found) == (pytest.approx(at.y[0], rel=1e-12), np.inf)
    assert found.v_lower[0] == pytest.approx(at.v[0], rel=1e-12)
    assert found.v_upper[0] == np.inf
    assert found.kind == ("interval",)
    assert found.derived[0].formula == f"bound from p < {p:g}"
    assert found.reasons == ("",)


def test_the_bound_of_hedges_g_is_its_formula():
    q = stats.t.isf(0.025, 21)
    j = 1 - 3 / (4 * 21 - 1)
    found = bounds_from_table("SMD", one(**THRESHOLD, p_relation="<=", direction="lower"))
    assert found.upper[0] == pytest.approx(
        -j * q * np.sqrt(1 / 9 + 1 / 14), rel=2e-4
    )  # J by its approximation
    assert found.lower[0] == -np.inf
    assert found.v_upper[0] == pytest.approx(1 / 9 + 1 / 14 + found.upper[0] ** 2 / 46, rel=1e-12)


@pytest.mark.parametrize(
    ("direction", "low", "high"), [(None, -1.0, 1.0), ("higher", 0.0, 1.0), ("lower", -1.0, 0.0)]
)
def test_not_significant_lies_on_both_sides_unless_the_direction_is_told(direction, low, high):
    cut = bounds_from_table("SMD", one(**THRESHOLD, p_relation="<", direction="higher")).lower[0]
    found = bounds_from_table("SMD", one(**THRESHOLD, p_relation=">", direction=direction))
    assert ends(found) == (pytest.approx(low * cut), pytest.approx(high * cut))
    assert np.isfinite(found.v_lower).all()
    assert not np.signbit(ends(found)[0]) or ends(found)[0] < 0, "no minus zero"


@given(st.integers(0, 10_000), st.integers(3, 25), st.integers(3, 25), st.floats(-1.5, 1.5))
def test_the_interval_holds_the_effect_that_was_observed(seed, n1, n2, shift):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(shift, 1, n1), rng.normal(0, 1, n2)
    p = stats.ttest_ind(a, b).pvalue
    told = {"treatment_n": n1, "control_n": n2}
    means = {"treatment_mean": a.mean(), "treatment_sd": a.std(ddof=1), "control_mean": b.mean()}
    exact = bounds_from_table("SMD", one(**told, **means, control_sd=b.std(ddof=1)))
    assert exact.kind == ("exact",)
    assert exact.lower[0] == exact.upper[0]
    for cut in (0.05, 0.01, 0.001):
        relation, direction = ("<", "higher" if a.mean() > b.mean() else "lower") if p < cut else (">", None)
        found = bounds_from_table("SMD", one(**told, p_relation=relation, p_value=cut, direction=direction))
        low, high = ends(found)
        assert low < exact.lower[0] < high
        for side in ("lower", "upper"):
            end, v = getattr(found, side)[0], getattr(found, f"v_{side}")[0]
            assert v == np.inf if np.isinf(end) else v > 0


@given(st.integers(0, 10_000), st.integers(4, 25), st.floats(-1, 1))
def test_a_paired_threshold_bounds_the_standardised_change(seed, n, shift):
    rng = np.random.default_rng(seed)
    change = rng.normal(shift, 1, n)
    p = stats.ttest_1samp(change, 0).pvalue
    t = change.mean() / change.std(ddof=1) * np.sqrt(n)
    observed = calculate("SMCC", {"t": t, "n": n}).y[0]
    relation, direction = ("<", "higher" if t > 0 else "lower") if p < 0.05 else (">", None)
    cells = {
        "paired": "yes",
        "treatment_n": n,
        "p_relation": relation,
        "p_value": 0.05,
        "direction": direction,
    }
    low, high = ends(bounds_from_table("SMCC", one(**cells)))
    assert low < observed < high


def test_a_paired_row_needs_a_correlation_for_the_scale_of_two_groups():
    cells = one(paired="yes", treatment_n=12, control_n=12, p_relation="<", p_value=0.05, direction="higher")
    found = bounds_from_table("SMD", cells)
    assert found.kind == ("direction",)
    assert ends(found) == (0.0, np.inf)
    assert np.isnan(found.v_lower[0])
    told = bounds_from_table("SMD", {**cells, "correlation": [0.6]})
    assert told.derived[0].how == "converted"
    with pytest.warns(AssumptionWarning, match=r"correlation of the two conditions taken as 0\.6 \(1 row\)"):
        assumed = bounds_from_table("SMD", cells, assumed_correlation=0.6)
    assert assumed.derived[0].how == "assumed"
    q = stats.t.isf(0.025, 11)
    at = calculate("SMCRP", {"t": q, "n": 12, "correlation": 0.6})
    for found in (told, assumed):
        assert ends(found) == (pytest.approx(at.y[0], rel=1e-10), np.inf)
        assert found.v_lower[0] == pytest.approx(at.v[0], rel=1e-10)


def test_an_unknown_pairing_is_an_assumption():
    cells = one(**THRESHOLD, p_relation="<", direction="higher") | {"paired": ["unknown"]}
    with pytest.warns(AssumptionWarning, match="two independent groups"):
        found = bounds_from_table("SMD", cells)
    assert found.derived[0].how == "assumed"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({**THRESHOLD, "p_relation": "<"}, "only p < 0.05, and no direction"),
        ({"p_relation": ">", "p_value": 0.05}, "only p > 0.05, and no n"),
        ({"treatment_n": 1, "control_n": 1, "p_relation": ">", "p_value": 0.05}, "no n"),
        (
            {"reported_as": "percent_change", "difference": -12.0, "treatment_n": 12},
            "percentage change without SD",
        ),
        ({}, "no numbers from which the effect follows"),
    ],
)
def test_what_gives_no_interval_has_its_reason(cells, words):
    found = bounds_from_table("SMD", one(**cells))
    assert found.kind == ("",)
    assert words in found.reasons[0]
    assert np.isnan([*ends(found), *found.v_lower, *found.v_upper]).all()


def test_a_direction_alone_is_a_half_line():
    found = bounds_from_table("SMD", one(direction="lower", treatment_n=10, control_n=10))
    assert (found.kind, ends(found)) == (("direction",), (-np.inf, 0.0))
    assert found.v_upper[0] == pytest.approx(0.2)
    by_means = bounds_from_table("SMD", one(treatment_mean=6, control_mean=20))
    assert (by_means.kind, ends(by_means)) == (("direction",), (-np.inf, 0.0))
    assert np.isnan(by_means.v_upper[0])


def test_exact_rows_are_those_of_the_table_without_bounds():
    table = {
        "treatment_mean": [24.0, None], "treatment_sd": [5.0, None], "treatment_n": [10, 11],
        "control_mean": [18.0, None], "control_sd": [5.0, None], "control_n": [10, 11],
        "p_relation": ["<"] * 2, "p_value": [0.05] * 2, "direction": [None, "higher"], "paired": ["no"] * 2,
    }  # fmt: skip
    done, found = effects_from_table("SMD", table), bounds_from_table("SMD", table)
    assert found.kind == ("exact", "interval")
    assert found.lower[0] == found.upper[0] == done.y[0]
    assert found.v_lower[0] == found.v_upper[0] == done.v[0]


def test_a_measure_that_no_test_bounds_is_refused():
    with pytest.raises(UnknownChoiceError, match="'SMD'"):
        bounds_from_table("MD", one(**THRESHOLD))
    assert "SMD" in BOUNDED


def test_turning_round_exchanges_the_ends():
    found = bounds_from_table("SMD", one(**THRESHOLD, p_relation="<", direction="lower"))
    back = found.turned([-1])
    assert ends(back) == (-found.upper[0], np.inf)
    assert (back.v_lower[0], back.v_upper[0]) == (found.v_upper[0], np.inf)
    assert np.isnan(ends(found.turned([np.nan]))).all()
    twice = back.turned([-1])
    assert ends(twice) == ends(found)


# ---------------------------------------------------------------- a supplied standard deviation

MEANS = {"treatment_mean": 30.0, "treatment_n": 8, "control_mean": 16.0, "control_n": 8}


def test_a_supplied_sd_gives_an_effect_that_says_so():
    assert effects_from_table("SMD", one(**MEANS)).reasons != ("",)
    with pytest.warns(AssumptionWarning, match=r"SMD assumes a standard deviation \(10\) in 1 row"):
        done = effects_with_assumed_sd("SMD", one(**MEANS), 10.0)
    reported = effects_from_table("SMD", one(**MEANS, treatment_sd=10, control_sd=10))
    assert done.y[0] == reported.y[0]
    assert done.v[0] == reported.v[0]
    assert (done.derived[0].how, done.derived[0].note) == ("assumed", "SD taken as 10")
    assert done.reasons == ("",)


def test_a_supplied_sd_never_replaces_what_is_reported():
    table = one(**MEANS, treatment_sd=4, control_sd=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = effects_with_assumed_sd("SMD", table, 10.0)
        assert done.derived[0].how == "reported"
        half = effects_with_assumed_sd("SMD", one(**MEANS), np.nan)
    assert half.reasons == effects_from_table("SMD", one(**MEANS)).reasons
    with pytest.warns(AssumptionWarning):
        mixed = effects_with_assumed_sd("MD", one(**MEANS, treatment_sd=4), 6.0)
    assert mixed.v[0] == pytest.approx((4**2 + 6**2) / 8)


def test_a_percentage_change_takes_it_as_the_sd_of_the_changes():
    table = one(
        paired="yes", treatment_n=12, treatment_mean=-13.0, difference=-13.0, reported_as="percent_change"
    )
    assert effects_from_table("MC", table).reasons == ("percentage change without SD",)
    with pytest.warns(AssumptionWarning):
        done = effects_with_assumed_sd("MC", table, 9.0)
    assert done.y[0] == -13
    assert done.v[0] == pytest.approx(81 / 12)


@pytest.mark.parametrize(
    ("sd", "kind"), [(-1.0, NegativeSDError), (0.0, InputError), ([1.0, 2.0], ShapeError)]
)
def test_a_supplied_sd_that_is_none_is_refused(sd, kind):
    with pytest.raises(kind):
        effects_with_assumed_sd("SMD", one(**MEANS), sd)


def test_a_supplied_sd_stands_in_for_an_sd_of_0():
    table = pd.DataFrame({"treatment_mean": [1.0, 2.0, 3.0], "treatment_n": [3, 1, 4]})
    table["treatment_sd"] = [0.0, np.nan, 1.0]
    assert sum(reason != "" for reason in effects_from_table("MN", table).reasons) == 2
    with pytest.warns(AssumptionWarning, match="2 rows"):
        done = effects_with_assumed_sd("MN", table, 2.0)
    assert done.v.tolist() == [4 / 3, 4.0, 1 / 4]
    assert [mark.how for mark in done.derived] == ["assumed", "assumed", "reported"]


def test_the_pooled_sd_is_the_root_of_the_mean_square_within_groups():
    rng = np.random.default_rng(4)
    groups = [rng.normal(i, 2.0, size) for i, size in enumerate((5, 1, 8, 2))]
    sd = [group.std(ddof=1) if group.size > 1 else np.nan for group in groups]
    sds = pooled_sd([*sd, 1.5, 0.0, 7.0], [5, 1, 8, 2, 4, 3, 1], [*["size"] * 4, *["yield"] * 3])
    residuals = np.concatenate([group - group.mean() for group in groups])
    assert sds["size"] == pytest.approx(np.sqrt(residuals @ residuals / (16 - 4)), rel=1e-12)
    # an SD of 0 counts with its df, an SD of one observation does not
    assert sds["yield"] == pytest.approx(np.sqrt(3 * 1.5**2 / 5), rel=1e-12)


def test_an_outcome_without_a_usable_sd_has_no_pooled_sd():
    sds = pooled_sd([0.0, np.nan, 2.0], [4, 3, 1], ["a", "b", "c"])
    assert list(sds) == ["a", "b", "c"]
    assert np.isnan(list(sds.values())).all()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (([1.0, -1.0], [2, 2], ["a", "a"]), NegativeSDError),
        (([1.0, 1.0], [2], ["a", "a"]), ShapeError),
        (([1.0, 1.0], [2, 2], ["a"]), ShapeError),
        (([1.0, 1.0], [2, 2], "aa"), InputError),
    ],
)
def test_a_pooled_sd_needs_sds_sizes_and_outcomes(arguments, kind):
    with pytest.raises(kind):
        pooled_sd(*arguments)


# ---------------------------------------------------------------- from the sheets


@pytest.fixture(scope="module")
def sheets(root):
    return mx.read_sheets(root / "data")


WOUNDS = "domain == 'preclinical' and contrast == 'exosome_vs_control' and use != 'apart'"


def test_the_sheets_keep_thresholds_as_bounds(sheets):
    found = sheets.effects("SMD", where=WOUNDS, bounds=True)
    assert isinstance(found, BoundedEffectSizes)
    assert set(found.kind) == {"exact", "interval", "direction"}
    assert found.oriented
    assert found.k == len(found) == len(found.ledger.used)
    assert found.ledger.total == len(sheets.outcomes)
    plain = sheets.effects("SMD", where=WOUNDS)
    exact = found.exact
    assert exact.y == pytest.approx(plain.y)
    assert exact.v == pytest.approx(plain.v)
    assert exact.row_ids == plain.row_ids
    reasons = {entry.line: entry.reason for entry in exact.ledger.left_out}
    bound = [line for line, kind in zip(found.ledger.used, found.kind, strict=True) if kind != "exact"]
    assert all(reasons[line].startswith("kept as a bound: ") for line in bound)
    assert "bound from p < 0.05" in " ".join(reasons.values())


def test_the_container_is_sealed_and_can_be_shown_and_selected(sheets):
    found = sheets.effects("SMD", where=WOUNDS, bounds=True)
    with pytest.raises(ValueError, match="read-only"):
        found.lower[0] = 0
    table = found.to_frame()
    assert list(table["kind"]) == list(found.kind)
    assert {"source", "isolation", "lower", "v_upper"} <= set(table.columns)
    some = found.select(~found.is_exact, "exact effects are shown elsewhere")
    assert some.k == found.k - found.exact.k
    assert some.ledger.total == found.ledger.total
    with pytest.raises(TooFewStudiesError, match="none of the"):
        some.exact  # noqa: B018
    with pytest.raises(ShapeError):
        found.select([True], "too short")
    with pytest.raises(InputError, match="neither a point nor an interval"):
        BoundedEffectSizes(
            found.bounds.turned(np.full(found.k, np.nan)),
            found.measure, found.labels, found.study, found.data, found.ledger,
        )  # fmt: skip
    with pytest.raises(ShapeError, match="labels"):
        BoundedEffectSizes(found.bounds, found.measure, (), found.study, found.data, found.ledger)


def test_a_model_of_points_is_told_what_to_take(sheets):
    found = sheets.effects("SMD", where=WOUNDS, bounds=True)
    with pytest.raises(InputError, match=r"are bounds.*hand in `\.exact`"):
        mx.RandomEffects(found, dependence="accept").fit()
    told = mx.explain(found.exact, 0)
    assert told.remark == ""
    assert told.steps == mx.explain(sheets.effects("SMD", where=WOUNDS), 0).steps


def test_a_lower_is_better_outcome_is_turned(sheets):
    where = "study_id == 'pbsc_dfu2024' and outcome == 'wound_area'"
    turned_round, plain = (
        sheets.effects("SMD", where=where, bounds=True, orient=orient) for orient in (True, False)
    )
    assert turned_round.lower[0] == -plain.upper[0] > 0
    assert turned_round.upper[0] == -plain.lower[0] == np.inf


@pytest.mark.parametrize("contrast", ["exosome_vs_control", "post_vs_pre"])
def test_results_in_words_become_bounds_and_say_what_was_assumed(sheets, contrast):
    options = {"sheet": "direction_only", "bounds": True, "assumed_correlation": 0.5}
    with pytest.warns(AssumptionWarning):
        found = sheets.effects("SMD", where=f"contrast == '{contrast}'", **options)
    assert found.ledger.total == len(sheets.direction_only)
    assert set(found.kind) == {"interval", "direction"}
    told = found.to_frame().set_index("study")
    significant = told[told["significance_as_worded"].str.startswith("significant")]
    assert (significant["lower"] > 0).all()
    refused = told[told["significance_as_worded"].str.contains("not significant|nonsignificant")]
    assert (refused["lower"] == -refused["upper"]).all()
    assert (told.loc[told["kind"] == "interval", "note"].str.contains("at the level 0.05")).all()
    with pytest.raises(InputError, match="bounds=True"):
        sheets.effects("SMD", sheet="direction_only")


def test_a_supplied_sd_by_outcome_or_by_column(sheets):
    where = "study_id == 'cica_ev2025' and outcome == 'roughness'"
    with pytest.raises(TooFewStudiesError):
        sheets.effects("MC", where=where)
    with pytest.warns(AssumptionWarning, match=r"standard deviation \(12\)"):
        es = sheets.effects("MC", where=where, assumed_sd={"roughness": 12.0})
    assert (es.y[0], es.derived[0].how, es.derived[0].note) == (9.0, "assumed", "SD taken as 12")
    assert es.v[0] == pytest.approx(144 / 20)
    with pytest.raises(UnknownChoiceError, match="roughness"):
        sheets.effects("MC", where=where, assumed_sd={"roughnes": 12.0})
    with pytest.raises(UnknownChoiceError, match="assumed_sd"):
        sheets.effects("MC", where=where, assumed_sd="my_sd")
    with pytest.raises(InputError, match=r"holds .* no number"):
        sheets.effects("MC", where=where, assumed_sd="unit")
    with pytest.warns(AssumptionWarning, match="standard deviation"):
        by_column = sheets.effects("MC", where=where, assumed_sd="treatment_n")
    assert by_column.v[0] == pytest.approx(400 / 20)


def test_a_supplied_sd_and_bounds_go_together(sheets):
    where = "study_id == 'cica_ev2025'"
    with pytest.warns(AssumptionWarning):
        found = sheets.effects("SMCC", where=where, assumed_sd={"roughness": 12.0}, bounds=True)
    kinds = dict(zip(found.data["outcome"], found.kind, strict=True))
    assert kinds["roughness"] == "exact"
    assert set(kinds.values()) == {"exact", "interval"}
