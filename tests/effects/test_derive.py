"""From a table with gaps to effects: each route, its mark, and each reason for no effect."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri, stdtrit

from metaexo.effects import calculate, effects_from_table, get_measure, mean_sd_from_quantiles, orient
from metaexo.effects.measures.calculate import NEGATIVE_MEANS
from metaexo.effects.tables.why_not import FLAT
from metaexo.errors import (
    AssumptionWarning,
    CorrelationError,
    InputError,
    IntervalError,
    NegativeMeansWarning,
    ShapeError,
    StandardErrorError,
    UnknownChoiceError,
)

BASE = {
    "treatment_mean": 24.0,
    "treatment_sd": 5.0,
    "treatment_n": 10,
    "control_mean": 18.0,
    "control_sd": 4.0,
    "control_n": 12,
    "paired": "no",
}
INPUTS = {name: x for name, x in BASE.items() if name != "paired"}


def one_row(drop: tuple[str, ...] = (), **more: Any) -> dict[str, list[Any]]:
    row = {name: x for name, x in BASE.items() if name not in drop} | more
    return {name: [x] for name, x in row.items()}


def derive(measure: str, table: dict[str, list[Any]], **options: Any):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        done = effects_from_table(measure, table, **options)
    return float(done.y[0]), float(done.v[0]), done.derived[0], done.reasons[0]


NO_SD = ("treatment_sd", "control_sd")
EMPTY = ("treatment_mean", "control_mean", *NO_SD)
EXPECTED = calculate("SMD", INPUTS)
POOLED_T = float(EXPECTED.y[0])


def pooled_t() -> float:
    pooled = (9 * 25 + 11 * 16) / 20
    return 6 / np.sqrt(pooled * (1 / 10 + 1 / 12))


def test_reported_means_and_sds():
    y, v, mark, reason = derive("SMD", one_row())
    assert (y, v) == (EXPECTED.y[0], EXPECTED.v[0])
    assert (mark.how, mark.formula, reason) == ("reported", "", "")


@pytest.mark.parametrize("measure", ["SMD", "MD", "ROM", "CVR"])
def test_sds_from_se_and_from_ci_give_the_same_effect(measure):
    expected = calculate(measure, INPUTS)
    half = -stdtrit(11, 0.025) * 4.0 / np.sqrt(12)
    table = one_row(
        NO_SD,
        treatment_se=5.0 / np.sqrt(10),
        control_ci_low=18.0 - half,
        control_ci_high=18.0 + half,
    )
    y, v, mark, _ = derive(measure, table)
    assert y == pytest.approx(expected.y[0], rel=1e-12)
    assert v == pytest.approx(expected.v[0], rel=1e-9)
    assert (mark.how, mark.formula) == ("converted", "SD from SE, SD from CI of a mean")


def test_t_and_exact_p_give_the_same_effect_as_the_means():
    from scipy.special import stdtr

    t = pooled_t()
    drop = (*NO_SD, "control_mean", "treatment_mean")
    y, v, mark, _ = derive("SMD", one_row(drop, reported_as="t", statistic=t))
    assert y == pytest.approx(EXPECTED.y[0], rel=1e-12)
    assert v == pytest.approx(EXPECTED.v[0], rel=1e-12)
    assert mark.formula == "d from t"
    p = 2 * stdtr(20, -t)
    y, v, mark, _ = derive("SMD", one_row(NO_SD, p_relation="=", p_value=p))
    assert y == pytest.approx(EXPECTED.y[0], rel=1e-9)
    assert mark.formula == "d from exact p"
    turned = one_row(NO_SD, p_relation="=", p_value=p, treatment_mean=11.0)
    assert derive("SMD", turned)[0] == pytest.approx(-EXPECTED.y[0], rel=1e-9)
    raw_y, raw_v, mark, _ = derive("MD", one_row(NO_SD, p_relation="=", p_value=p))
    assert (raw_y, mark.formula) == (6.0, "SE from exact p")
    assert raw_v == pytest.approx((6 / t) ** 2, rel=1e-9)


class TestF:
    """An F of the two arms is a t squared; one of other groups is left alone."""

    F = pooled_t() ** 2

    @pytest.mark.parametrize("df", [20, 1])
    def test_with_the_degrees_of_freedom_of_the_arms_it_is_converted(self, df):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            done = effects_from_table("SMD", one_row(NO_SD, reported_as="f", statistic=self.F, df=df))
        assert done.y[0] == pytest.approx(EXPECTED.y[0], rel=1e-12)
        assert done.v[0] == pytest.approx(EXPECTED.v[0], rel=1e-12)
        assert (done.derived[0].how, done.derived[0].formula) == ("converted", "t from F, d from t")

    def test_without_them_it_rests_on_an_assumption_that_is_told(self):
        table = one_row(NO_SD, reported_as="f", statistic=self.F)
        with pytest.warns(AssumptionWarning, match="an F of the two arms alone in 1 rows"):
            done = effects_from_table("SMD", table)
        assert done.y[0] == pytest.approx(EXPECTED.y[0], rel=1e-12)
        assert done.derived[0].how == "assumed"
        assert "degrees of freedom are not reported" in done.derived[0].note

    def test_the_sign_comes_from_the_means_or_from_words(self):
        turned = one_row(NO_SD, reported_as="f", statistic=self.F, df=20, treatment_mean=11.0)
        assert derive("SMD", turned)[0] == pytest.approx(-EXPECTED.y[0], rel=1e-12)
        drop = (*NO_SD, "treatment_mean", "control_mean")
        words = one_row(drop, reported_as="f", statistic=self.F, df=20, direction="lower")
        assert derive("SMD", words)[0] == pytest.approx(-EXPECTED.y[0], rel=1e-12)

    def test_it_gives_the_standard_error_of_a_mean_difference(self):
        y, v, mark, _ = derive("MD", one_row(NO_SD, reported_as="f", statistic=self.F, df=20))
        assert (y, mark.formula) == (6.0, "t from F, SE from t")
        assert v == pytest.approx(36 / self.F, rel=1e-12)

    @pytest.mark.parametrize("measure", ["MD", "SMD"])
    def test_the_same_people_twice(self, measure):
        t = 6 / np.sqrt((25 + 16 - 2 * 0.3 * 20) / 10)
        told = {"paired": "yes", "control_n": 10, "reported_as": "f", "statistic": t**2, "df": 9}
        y, v, mark, _ = derive(measure, one_row(**told))
        as_t = derive(measure, one_row(**{**told, "reported_as": "t", "statistic": t}))
        assert (y, v) == (pytest.approx(as_t[0], rel=1e-12), pytest.approx(as_t[1], rel=1e-12))
        assert mark.formula == "t from F, correlation from paired t"

    def test_an_f_with_the_degrees_of_freedom_of_pairs_is_not_that_of_independent_arms(self):
        told = one_row(NO_SD, reported_as="f", statistic=self.F, df=9, paired="unknown", control_n=10)
        assert np.isnan(derive("SMD", told)[0])

    def test_means_and_sds_win_over_it(self):
        y, _, mark, _ = derive("SMD", one_row(reported_as="f", statistic=99.0))
        assert (y, mark.how) == (EXPECTED.y[0], "reported")


QUANTILES = {
    "range": {"min": 6.0, "median": 10.0, "max": 16.0},
    "quartiles": {"q1": 8.5, "median": 10.0, "q3": 12.0},
    "five": {"min": 6.0, "q1": 8.5, "median": 10.0, "q3": 12.0, "max": 16.0},
}
NAMES = {
    "range": "mean and SD from median and range",
    "quartiles": "mean and SD from median and quartiles",
    "five": "mean and SD from five numbers",
}


def medians(kind: str, arm: str = "treatment", **more: Any) -> dict[str, list[Any]]:
    drop = (f"{arm}_mean", f"{arm}_sd")
    return one_row(drop, **{f"{arm}_{name}": x for name, x in QUANTILES[kind].items()}, **more)


class TestMedians:
    """Medians with quartiles or range become means and SDs, and say so."""

    @pytest.mark.parametrize("kind", QUANTILES)
    @pytest.mark.parametrize("measure", ["MD", "SMD", "ROM", "MN"])
    def test_they_stand_in_for_mean_and_sd(self, kind, measure):
        names = {"min": "minimum", "max": "maximum"}
        found = mean_sd_from_quantiles(
            10, **{names.get(name, name): x for name, x in QUANTILES[kind].items()}
        )
        direct = derive(measure, one_row(treatment_mean=found.mean[0], treatment_sd=found.sd[0]))
        y, v, mark, _ = derive(measure, medians(kind))
        assert (y, v) == (pytest.approx(direct[0], rel=1e-14), pytest.approx(direct[1], rel=1e-14))
        assert (mark.how, mark.formula) == ("converted", NAMES[kind])

    def test_the_same_people_twice(self):
        table = medians("quartiles", "control", paired="yes", control_n=None, correlation=0.4)
        y, _, mark, _ = derive("MD", table)
        found = mean_sd_from_quantiles(10, q1=8.5, median=10.0, q3=12.0)
        assert y == pytest.approx(24 - found.mean[0])
        assert mark.formula == NAMES["quartiles"]

    def test_a_t_is_trusted_more_and_an_exact_p_less(self):
        assert derive("SMD", medians("range", reported_as="t", statistic=2.5))[2].formula == "d from t"
        p = derive("SMD", medians("range", p_relation="=", p_value=0.001))
        assert p[2].formula == NAMES["range"]

    def test_one_arm_of_a_difference_with_a_p_is_named_as_well(self):
        table = medians("range", control_sd=None, p_relation="=", p_value=0.001)
        assert derive("MD", table)[2].formula == f"{NAMES['range']}, SE from exact p"

    def test_what_is_too_asymmetric_or_has_no_n_gives_a_reason(self):
        skewed = one_row(EMPTY, treatment_q1=9.9, treatment_median=10.0, treatment_q3=30.0)
        skewed |= {"control_q1": [8.0], "control_median": [10.0], "control_q3": [12.0]}
        big = skewed | {"treatment_n": [100], "control_n": [100]}
        assert derive("SMD", big)[3] == "medians and quantiles too asymmetric for a normal sample"
        none = skewed | {"treatment_n": [None], "control_n": [None]}
        assert derive("SMD", none)[3] == "medians and quantiles, but no n"

    def test_quantiles_in_the_wrong_order_are_refused_by_name(self):
        with pytest.raises(IntervalError, match="line 9"):
            effects_from_table("SMD", medians("quartiles") | {"treatment_q1": [11.0]}, rows=["line 9"])
        with pytest.raises(IntervalError, match="treatment_q3"):
            effects_from_table("SMD", medians("five") | {"treatment_max": [11.0]})


def test_means_win_over_a_t_that_stands_beside_them():
    y, _, mark, _ = derive("SMD", one_row(reported_as="t", statistic=99.0))
    assert y == EXPECTED.y[0]
    assert mark.how == "reported"


def test_a_statistic_that_is_not_called_t_is_not_taken_for_one():
    *_, reason = derive("SMD", one_row(NO_SD, reported_as="median_iqr", statistic=86.5))
    assert reason == "no SD in either arm and no t or exact p"


def test_a_difference_with_its_interval():
    half = -stdtrit(20, 0.025) * 1.5
    drop = (*NO_SD, "treatment_mean", "control_mean")
    table = one_row(drop, difference=6.0, difference_ci_low=6 - half, difference_ci_high=6 + half)
    y, v, mark, _ = derive("MD", table)
    assert y == 6.0
    assert v == pytest.approx(1.5**2, rel=1e-9)
    assert mark.formula == "SE from CI (t)"
    assert derive("SMD", table)[3] == "a difference without SD, interval or exact p"


def test_an_effect_of_the_source_with_its_interval():
    half = ndtri(0.975) * 0.2
    table = {
        "effect_measure": ["odds_ratio"],
        "effect": [2.0],
        "effect_ci_low": [2 * np.exp(-half)],
        "effect_ci_high": [2 * np.exp(half)],
    }
    y, v, mark, _ = derive("OR", table)
    assert y == pytest.approx(np.log(2))
    assert v == pytest.approx(0.04, rel=1e-9)
    assert mark.formula == "SE from CI"
    assert np.isnan(derive("RR", table)[0])
    y, v, mark, _ = derive("SMD", {"effect_measure": ["hedges_g"], "effect": [0.5], "effect_se": [0.2]})
    assert (y, v, mark.how) == (0.5, pytest.approx(0.04), "reported")
    d = one_row((*NO_SD, "treatment_mean", "control_mean"), effect_measure="cohens_d", effect=1.3416407865)
    y, _, mark, _ = derive("SMD", d)
    assert mark.formula == "variance from d and n"
    assert y == pytest.approx(calculate("SMD", {"d": 1.3416407865, "treatment_n": 10, "control_n": 12}).y[0])


def test_events_and_the_mark_of_a_continuity_correction():
    table = {"treatment_events": [0], "treatment_n": [20], "control_events": [3], "control_n": [20]}
    y, _, mark, _ = derive("RR", table)
    assert y == pytest.approx(np.log(0.5 / 3.5))
    assert mark.formula == "continuity correction (0.5 added to every cell)"
    assert derive("PLO", table)[0] == pytest.approx(np.log(0.5 / 20.5))


class TestPaired:
    table = one_row(paired="yes", control_n=10)

    def test_without_a_correlation_there_is_no_effect(self):
        y, _, _, reason = derive("SMD", self.table)
        assert np.isnan(y)
        assert reason.startswith("paired, and the correlation")

    def test_an_assumed_correlation_is_marked_and_told_once(self):
        twice = {name: column * 2 for name, column in self.table.items()}
        with pytest.warns(AssumptionWarning, match="correlation of 0.5 in 2 paired rows") as caught:
            done = effects_from_table("SMD", twice, 0.5)
        assert len(caught) == 1
        assert done.derived[0].how == "assumed"
        assert done.derived[0].note == "correlation of the two conditions taken as 0.5"
        direct = calculate("SMCRP", self.paired(0.5))
        assert done.y.tolist() == [direct.y[0]] * 2

    def paired(self, correlation: float) -> dict[str, float]:
        return {
            "post_mean": 24.0,
            "post_sd": 5.0,
            "pre_mean": 18.0,
            "pre_sd": 4.0,
            "n": 10,
            "correlation": correlation,
        }

    def test_a_reported_correlation_wins_over_the_assumed_one(self):
        done = effects_from_table("MD", {**self.table, "correlation": [0.8]}, 0.5)
        direct = calculate("MC", self.paired(0.8))
        assert (done.y[0], done.v[0]) == (direct.y[0], direct.v[0])
        assert done.derived[0].how == "reported"

    def test_a_correlation_is_recovered_from_the_interval_of_the_difference(self):
        se = np.sqrt((25 + 16 - 2 * 0.3 * 20) / 10)
        half = -stdtrit(9, 0.025) * se
        table = {
            **self.table,
            "difference": [6.0],
            "difference_ci_low": [6 - half],
            "difference_ci_high": [6 + half],
        }
        y, v, mark, _ = derive("SMD", table)
        direct = calculate("SMCRP", self.paired(0.3))
        assert y == pytest.approx(direct.y[0], rel=1e-9)
        assert v == pytest.approx(direct.v[0], rel=1e-6)
        assert (mark.how, mark.formula) == ("converted", "correlation from SE of the difference")

    def test_a_correlation_is_recovered_from_a_paired_t(self):
        se = np.sqrt((25 + 16 - 2 * 0.6 * 20) / 10)
        table = {**self.table, "reported_as": ["t"], "statistic": [6 / se]}
        _, v, mark, _ = derive("MD", table)
        assert v == pytest.approx(se**2, rel=1e-9)
        assert mark.formula == "correlation from paired t"

    def test_paired_t_without_sds_needs_the_correlation_for_g_but_not_for_the_difference(self):
        table = one_row(NO_SD, paired="yes", control_n=10, reported_as="t", statistic=3.0)
        assert derive("SMD", table)[3].startswith("paired, and the correlation")
        y, v, mark, _ = derive("MD", table)
        assert (y, v, mark.formula) == (6.0, pytest.approx(4.0), "SE from paired t")
        *_, mark, _ = derive("SMD", table, assumed_correlation=0.5)
        assert (mark.how, mark.formula) == ("assumed", "d from paired t")

    def test_mean_and_sd_of_the_changes(self):
        table = {
            "treatment_mean": [4.0],
            "treatment_sd": [8.0],
            "treatment_n": [16],
            "difference": [4.0],
            "paired": ["yes"],
        }
        y, v, mark, _ = derive("MD", table)
        assert (y, v) == (4.0, pytest.approx(64 / 16))
        assert mark.formula == "t from mean and SD of the changes, SE from paired t"

    def test_different_sizes_and_events_are_refused_with_a_reason(self):
        assert derive("MD", one_row(paired="yes"))[3] == "paired, but the two arms have different n"
        events = {"treatment_events": [3], "treatment_n": [20], "control_events": [5], "control_n": [20]}
        assert derive("RR", {**events, "paired": ["yes"]})[3].startswith("paired events")

    def test_a_paired_measure_leaves_independent_rows_out(self):
        y, _, _, reason = derive("MC", one_row(), assumed_correlation=0.5)
        assert np.isnan(y)
        assert reason == "two independent groups, and MC needs one group measured twice"


def test_unknown_pairing_is_taken_as_independent_and_marked():
    with pytest.warns(AssumptionWarning, match="independent groups in 1 rows"):
        done = effects_from_table("SMD", one_row(paired="unknown"))
    assert done.y[0] == EXPECTED.y[0]
    assert done.derived[0].how == "assumed"


REASONS = [
    (one_row(NO_SD), "no SD in either arm and no t or exact p"),
    (one_row(EMPTY, p_relation="<", p_value=0.05), "only p < 0.05: gives a bound, not a point"),
    (one_row(NO_SD, reported_as="percent_change"), "percentage change without SD"),
    (one_row(EMPTY, treatment_median=3.0, treatment_min=1.0), "median and range only"),
    (one_row(EMPTY, treatment_q1=3.0, treatment_q3=9.0), "median and quartiles only"),
    (one_row(("control_n",)), "means and SDs, but no n in the control arm"),
    (one_row(("control_n", "treatment_n")), "means and SDs, but no n"),
    (one_row(("control_mean", *NO_SD)), "a mean in one arm only"),
    (
        one_row(EMPTY, p_relation="=", p_value=0.01),
        "an exact p, but neither means nor a difference give the direction",
    ),
    (one_row((*NO_SD, "control_n"), p_relation="=", p_value=0.01), "an exact p, but no n"),
    (
        one_row(EMPTY, reported_as="f", statistic=4.0),
        "an F statistic, but neither means nor a difference give the direction",
    ),
    (
        one_row(NO_SD, reported_as="f", statistic=4.0, df=31),
        "an F statistic whose degrees of freedom are not those of the two arms",
    ),
    (
        one_row(NO_SD, reported_as="f", statistic=4.0, df=31, p_relation="=", p_value=0.03),
        "an F statistic whose degrees of freedom are not those of the two arms",
    ),
    (
        one_row(NO_SD, reported_as="f", statistic=4.0, df=31, p_relation="<", p_value=0.05),
        "an F statistic whose degrees of freedom are not those of the two arms",
    ),
    (one_row((*NO_SD, "control_n"), reported_as="f", statistic=4.0), "an F statistic, but no n"),
    (one_row(EMPTY, treatment_events=3), "numbers of events, not means"),
    (one_row(EMPTY), "no numbers from which the effect follows"),
]


@pytest.mark.parametrize(("table", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_why_a_row_has_no_effect(table, reason):
    y, v, _, told = derive("SMD", table)
    assert np.isnan(y)
    assert np.isnan(v)
    assert told == reason


def test_each_row_has_an_effect_or_a_reason_and_rows_do_not_disturb_each_other():
    rows = [table for table, _ in REASONS] + [one_row(), one_row(NO_SD, treatment_se=1.0, control_se=1.0)]
    names = {name for row in rows for name in row}
    table = {name: [row.get(name, [None])[0] for row in rows] for name in names}
    done = effects_from_table("SMD", table)
    for y, v, reason, (expected, _) in zip(done.y, done.v, done.reasons, REASONS, strict=False):
        assert np.isnan(y)
        assert np.isnan(v)
        assert reason == derive("SMD", expected)[3]
    assert done.y[-2] == EXPECTED.y[0]
    assert done.reasons[-1] == ""


def test_impossible_values_are_refused():
    with pytest.raises(StandardErrorError, match="row 1: 6"):
        effects_from_table("SMD", one_row(treatment_se=6.0))
    with pytest.raises(IntervalError, match="line 7"):
        effects_from_table("SMD", one_row(treatment_ci_low=25.0, treatment_ci_high=30.0), rows=["line 7"])
    with pytest.raises(CorrelationError, match="between -1 and 1"):
        effects_from_table("SMD", one_row(), 1.0)
    with pytest.raises(InputError, match="no number"):
        effects_from_table("SMD", one_row(treatment_mean="many"))
    with pytest.raises(ShapeError, match="differ in length"):
        effects_from_table("SMD", {**one_row(), "paired": ["no", "no"]})
    with pytest.raises(ShapeError, match="2 row names"):
        effects_from_table("SMD", one_row(), rows=["a", "b"])


def test_orienting_twice_gives_the_effect_back():
    y = np.array([0.3, -0.2])
    turned, reasons = orient(y, "lower")
    assert orient(turned, "lower")[0].tolist() == y.tolist()
    assert reasons == ("", "")
    _, reasons = orient(y, ["higher", None])
    assert reasons[1].startswith("the sheet does not say")
    with pytest.raises(UnknownChoiceError, match="'higher'"):
        orient(y, ["hihger", "lower"])
    with pytest.raises(ShapeError, match="3 entries for 2"):
        orient(y, ["lower"] * 3)


ARMS_AT_THE_EDGE = {
    "treatment_mean": [5.0, 6.0],
    "treatment_sd": [0.0, 1.0],
    "treatment_n": [8, 8],
    "control_mean": [4.0, 4.0],
    "control_sd": [0.0, 1.0],
    "control_n": [8, 8],
}


@pytest.mark.parametrize("code", ["SMD", "ROM", "MD", "SMDH", "CVR", "VR"])
def test_a_table_gives_the_reason_that_the_formula_gives(code):
    record = get_measure(code)
    inputs = {name: ARMS_AT_THE_EDGE[name] for name in record.inputs}
    expected = calculate(code, inputs).reasons
    assert expected[0]
    assert effects_from_table(code, {**ARMS_AT_THE_EDGE, "paired": ["no", "no"]}).reasons == expected


def test_a_table_of_events_gives_the_reason_that_the_formula_gives():
    """Peto's method adds nothing to counts of zero."""
    counts = {
        "treatment_events": [0, 10, 4],
        "treatment_n": [10] * 3,
        "control_events": [0, 10, 5],
        "control_n": [10] * 3,
    }
    expected = calculate("PETO", counts).reasons
    assert expected[0] == "no events: carries no weight"
    assert effects_from_table("PETO", {**counts, "paired": ["no"] * 3}).reasons == expected


@pytest.mark.parametrize(
    "width",
    [{"treatment_se": [0.0]}, {"treatment_ci_low": [5.0], "treatment_ci_high": [5.0]}],
)
def test_an_error_or_interval_without_width_is_the_reason(width):
    table = {"treatment_mean": [5.0], "treatment_n": [8], "control_mean": [4.0], "control_sd": [1.0]}
    done = effects_from_table("MD", {**table, "control_n": [8], "paired": ["no"], **width})
    assert done.reasons == (FLAT,)


@pytest.mark.parametrize(("pairing", "correlation"), [("no", None), ("yes", 0.5)])
def test_ratios_of_two_negative_means_are_said_once_with_their_rows(pairing, correlation):
    """Row 1 has negative means, and its SD by way of the SE; row 2 has positive ones.

    log(-4 / -2) = log 2, and the correction is (1 / (16 * 4**2) - 1 / (16 * 2**2)) / 2 (Lajeunesse 2015).
    """
    table = {
        "treatment_mean": [-4.0, 4.0],
        "treatment_sd": [None, 1.0],
        "treatment_se": [0.25, None],
        "treatment_n": [16, 16],
        "control_mean": [-2.0, 2.0],
        "control_sd": [1.0, 1.0],
        "control_n": [16, 16],
        "paired": [pairing] * 2,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = effects_from_table("ROM", table, correlation, rows=["line 2", "line 3"])
    told = [str(one.message) for one in caught if issubclass(one.category, NegativeMeansWarning)]
    assert len(told) == 1
    assert "1 row (line 2)" in told[0]
    assert done.y == pytest.approx([np.log(2) + (1 / 256 - 1 / 64) / 2] * 2)
    assert NEGATIVE_MEANS in done.derived[0].note
    assert done.derived[0].formula == "SD from SE"
    assert NEGATIVE_MEANS not in done.derived[1].note
