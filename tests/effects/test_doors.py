"""What EffectSizes takes and refuses: studies, labels, indexes, gaps, extremes; that it cannot be changed."""

from __future__ import annotations

import copy
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.effects.least_variances import least_variances
from metaexo.errors import (
    AssumptionWarning,
    ImpossibleVarianceWarning,
    InputError,
    MetaexoError,
    MissingInputError,
    RowsLeftOutWarning,
    ShapeError,
    UnknownChoiceError,
    UnusedStudyColumnWarning,
)
from metaexo.ledger import Ledger

Y, V = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.02] * 6


@pytest.mark.parametrize("blank", [np.nan, None, "", " ", pd.NaT, pd.NA])
def test_blank_study_is_refused_with_its_rows(blank: object) -> None:
    with pytest.raises(InputError, match=r"row 2; row 5.*fill down merged cells"):
        mx.EffectSizes(Y, V, study=["Ito", blank, "Ito", "Rao", blank, "Kim"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="fill down"):
        mx.EffectSizes(Y, V, data=pd.DataFrame({"study": ["Ito", blank, "Ito", "Rao", blank, "Kim"]}))
    means = {f"{arm}_{kind}": [2.0, 3.0] for arm in ("treatment", "control") for kind in ("mean", "sd", "n")}
    with pytest.raises(InputError, match=r"row 2.*fill down|line 2.*fill down"):
        mx.effect_sizes("MD", **means, study=["Ito", blank])  # type: ignore[list-item]


def test_blank_study_of_a_row_without_effect_does_not_matter() -> None:
    with pytest.warns(RowsLeftOutWarning):
        es = mx.EffectSizes([0.1, 0.2, np.nan], [0.1, 0.1, np.nan], study=["a", "a", None])  # type: ignore[list-item]
    assert es.study == ("a", "a")


def test_blank_label_is_the_number_of_its_row() -> None:
    es = mx.EffectSizes([1, 2, 3], [1, 1, 1], labels=["Ito", None, " "])  # type: ignore[list-item]
    assert es.labels == ("Ito", "2", "3")


def test_column_study_is_the_study_of_each_effect() -> None:
    data = pd.DataFrame({"study": [1.0, 1.0, 2.0, 2.0, 3.0, 3.0], "lab": list("aaaabb")})
    es = mx.EffectSizes(Y, V, data=data)
    assert es.m == 3
    assert es.study_column == "study"
    assert es.study[0] == "1"
    assert repr(es) == "EffectSizes(GEN: k = 6 effects, m = 3 studies (column 'study'))"
    other = mx.EffectSizes(Y, V, data=data, study="lab")
    assert other.m == 2
    assert other.study_column == "lab"
    assert other.select([0, 5]).study_column == "lab"
    assert mx.EffectSizes(Y, V, data=data, study=list("abcdef")).m == 6
    assert es.with_columns(study=list("aaaaab")).m == 2


def test_column_study_is_taken_by_effect_sizes_too() -> None:
    data = pd.DataFrame({"events": [1, 2, 3], "n": [10, 10, 10], "study": ["a", "a", "b"]})
    es = mx.effect_sizes("PLO", data=data)
    assert (es.m, es.study_column) == (2, "study")
    assert mx.effect_sizes("PLO", data=data, labels="study").labels == ("a", "a", "b")


@pytest.mark.parametrize("name", ["Study", "study_id", "Study ID"])
def test_column_that_looks_like_the_study_is_named(name: str) -> None:
    with pytest.warns(UnusedStudyColumnWarning, match=name):
        assert mx.EffectSizes(Y, V, data=pd.DataFrame({name: list("aabbcc")})).m == 6


def test_names_of_columns_stand_for_columns() -> None:
    data = pd.DataFrame({"yi": Y, "vi": V, "sei": np.sqrt(V), "who": list("uvwxyz")})
    es = mx.EffectSizes("yi", "vi", data=data, labels="who")
    assert es.y.tolist() == Y
    assert es.labels == tuple("uvwxyz")
    np.testing.assert_allclose(mx.EffectSizes("yi", se="sei", data=data).v, V, rtol=1e-14)


@pytest.mark.parametrize("name", ["labels", "study", "derived"])
def test_single_text_is_no_list(name: str) -> None:
    with pytest.raises(InputError, match=name):
        mx.EffectSizes(Y, V, **{name: "abcdef"})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'abcdef'"):
        mx.EffectSizes(Y, V, data=pd.DataFrame({"x": Y}), **{name: "abcdef"})  # type: ignore[arg-type]


def test_v_or_se_but_not_both_and_not_neither() -> None:
    np.testing.assert_allclose(mx.EffectSizes([1, 2], se=[0.1, 0.3]).v, [0.01, 0.09], rtol=1e-15)
    with pytest.raises(InputError, match="both given"):
        mx.EffectSizes([1], [1], se=[1])
    with pytest.raises(InputError, match="neither v nor se"):
        mx.EffectSizes([1])
    with pytest.raises(InputError, match=r"negative.*row 2"):
        mx.EffectSizes([1, 2], se=[0.1, -0.1])


def test_data_is_a_data_frame() -> None:
    with pytest.raises(InputError, match=r"read_csv\('file.csv'\)"):
        mx.EffectSizes([1], [1], data="file.csv")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"data is a list; .* pandas\.DataFrame\(data\)"):
        mx.EffectSizes([1], [1], data=[{"x": 1}])  # type: ignore[arg-type]
    assert mx.EffectSizes([1], [1], data={"x": [3]}).column("x").tolist() == [3]
    with pytest.raises(InputError, match="several columns named 'x'"):
        mx.EffectSizes([1], [1], data=pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_pandas_objects_with_other_indexes_are_refused() -> None:
    y = pd.Series([1.0, 2.0, 3.0], index=[7, 8, 9])
    turned = pd.Series([1.0, 2.0, 3.0], index=[9, 8, 7])
    for more in (
        {"v": turned},
        {"se": turned},
        {"v": [1.0] * 3, "study": turned},
        {"v": [1.0] * 3, "labels": turned},
    ):
        with pytest.raises(InputError, match="different indexes"):
            mx.EffectSizes(y, **more)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="different indexes"):
        mx.EffectSizes(y, [1.0] * 3, data=pd.DataFrame({"x": turned}))
    es = mx.EffectSizes(y, [1.0] * 3)
    with pytest.raises(InputError, match="different indexes"):
        es.select(pd.Series([True, False, True], index=[9, 8, 7]), "not these")
    with pytest.raises(InputError, match="different indexes"):
        es.with_columns(x=turned)


def test_index_is_kept() -> None:
    data = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    with pytest.warns(RowsLeftOutWarning):
        es = mx.EffectSizes([1.0, np.nan, 3.0], [1.0] * 3, data=data)
    assert es.index is not None
    assert es.index.tolist() == [7, 9]
    assert es.data is not None
    assert es.data.index.tolist() == [7, 9]
    kept = es.select(es.column("x") > 2, "below 2")
    assert kept.index is not None
    assert kept.index.tolist() == [9]
    assert es.with_columns(z=es.column("x")).index is not None
    assert mx.EffectSizes([1.0], [1.0]).index is None


def test_masked_and_missing_values_are_left_out() -> None:
    y = np.ma.array([0.1, 99.0, 0.2, 0.3], mask=[0, 1, 0, 0])
    with pytest.warns(RowsLeftOutWarning):
        es = mx.EffectSizes(y, [0.02, 0.05, pd.NA, Decimal("0.03")])  # type: ignore[list-item]
    assert es.y.tolist() == [0.1, 0.3]


@pytest.mark.parametrize(
    "y",
    [
        [1 + 2j, 1],
        pd.to_datetime(["2020-01-01", "2021-01-01"]),
        pd.to_timedelta([1, 2]),
        ["5,1", "n/a"],
        [[1, 2]],
    ],
)
def test_what_is_no_number_is_refused(y: object) -> None:
    with pytest.raises(InputError):
        mx.EffectSizes(y, [1.0, 1.0])  # type: ignore[arg-type]


@pytest.mark.parametrize(("y", "v"), [(1.0, 1e-310), (1.0, 1e-101), (1.0, 1e101), (1e101, 1.0)])
def test_values_beyond_what_is_computed_rightly_are_refused(y: float, v: float) -> None:
    with pytest.raises(InputError, match=r"too large or too small.*row 2"):
        mx.EffectSizes([0.0, y], [1.0, v])


def test_variances_of_zero_are_taken() -> None:
    assert mx.EffectSizes([0.0, 1.0], [0.0, 1.0]).v.tolist() == [0.0, 1.0]


def test_an_average_of_effects_may_be_more_precise_than_its_groups_allow() -> None:
    sizes = pd.DataFrame({"treatment_n": [5, 5], "control_n": [6, 6]})
    es = mx.EffectSizes([0.1, 0.2], [0.37, 0.37], measure="SMD", study=["a", "a"], data=sizes)
    with pytest.warns(AssumptionWarning, match="averaged"):
        assert mx.aggregate(es, correlation=0.1).v[0] < 1 / 5 + 1 / 6


def test_variance_below_what_the_groups_allow() -> None:
    # 1/5 + 1/6 = 0.3667: the variance of Hedges' g at an effect of 0
    sizes = pd.DataFrame({"treatment_n": [5, 6], "control_n": [6, 6]})
    with pytest.warns(ImpossibleVarianceWarning, match=r"1 of 2.*row 1: 0.01667, at least 0.3667"):
        mx.EffectSizes([-0.0035, -1.12], [0.016667, 0.413], measure="SMD", data=sizes)
    with pytest.warns(ImpossibleVarianceWarning, match="squared small-sample correction"):
        mx.EffectSizes([0.0, 0.0], [0.32, 0.34], measure="SMD", data=sizes)
    for accepted in (
        {"measure": "GEN", "data": sizes},
        {"measure": "SMD", "data": sizes.assign(paired="yes")},
        {"measure": "SMCC", "data": sizes},
        {"measure": "SMD", "data": sizes[["control_n"]]},
    ):
        mx.EffectSizes([-0.0035, -1.12], [0.016667, 0.0413], **accepted)  # type: ignore[arg-type]


def test_least_variances_are_lower_bounds_of_our_own() -> None:
    # every variance that the package itself computes is above the bound, whatever means, SDs and sizes
    rng = np.random.default_rng(1)
    n1, n2 = rng.integers(4, 60, 400), rng.integers(4, 60, 400)
    arms = {
        "treatment_mean": rng.normal(0, 2, 400),
        "treatment_sd": rng.uniform(0.1, 3, 400),
        "treatment_n": n1,
    }
    arms |= {"control_mean": rng.normal(0, 2, 400), "control_sd": rng.uniform(0.1, 3, 400), "control_n": n2}
    for code in ("SMD", "SMDH", "SMD1", "SMD1H", "D2OR", "D2ORN", "D2ORL"):
        inputs = {name: arms[name] for name in mx.effects.get_measure(code).inputs}
        least = least_variances(code, n1, n2)
        assert least is not None
        assert (mx.effect_sizes(code, **inputs).v >= least * (1 - 1e-12)).all(), code


def test_selection_in_words() -> None:
    es = mx.EffectSizes(Y, V, data=pd.DataFrame({"year": range(6)}))
    kept = es.select(es.column("year") > 3)
    assert kept.k == 2
    assert kept.ledger is not None
    assert kept.ledger.left_out[0].reason == "not selected"
    by_condition = es.select("year > 3")
    assert by_condition.y.tolist() == kept.y.tolist()
    assert by_condition.ledger is not None
    assert by_condition.ledger.left_out[0].reason == "not selected: year > 3"
    with pytest.raises(ShapeError, match="5 entries for 6"):
        es.select([True] * 5)
    for wrong in (None, {1}, [0.5], [6], [-1], [0, 0], ["a"], [[True] * 6], pd.Series([True, None] * 3)):
        with pytest.raises(InputError):
            es.select(wrong)  # type: ignore[arg-type]
    for reason in ("", 3, None):
        with pytest.raises(InputError, match="reason"):
            es.select([0], reason)  # type: ignore[arg-type]


def test_columns_in_words() -> None:
    es = mx.EffectSizes(Y, V, data=pd.DataFrame({3: range(6)}))
    assert es.column("3").tolist() == list(range(6))
    with pytest.raises(UnknownChoiceError):
        es.column("x")
    for wrong in ("abcdef", 3, {"a": 1}):
        with pytest.raises(InputError, match="x"):
            es.with_columns(x=wrong)  # type: ignore[arg-type]
    typed = es.with_columns(
        g=pd.Categorical(list("aabbcc")), n=pd.array([1, None, 2, 3, 4, 5], dtype="Int64")
    )
    assert typed.data is not None
    assert [str(t) for t in typed.data.dtypes] == ["int64", "category", "Int64"]


def test_table_of_all_rows() -> None:
    with pytest.warns(RowsLeftOutWarning):
        es = mx.EffectSizes([1.0, np.nan, 3.0, 4.0], [1.0] * 4, labels=list("abcd"))
    table = es.select([0, 1], "too large").to_frame(all_rows=True)
    assert table["label"].tolist() == list("abcd")
    assert table["left_out"].tolist() == ["", "no effect or no sampling variance", "", "too large"]
    assert table["y"].isna().tolist() == [False, True, False, True]


def test_nothing_reaches_the_effects() -> None:
    y, v, data = np.array(Y), np.array(V), pd.DataFrame({"x": np.arange(6.0), "g": list("aabbcc")})
    es = mx.EffectSizes(y, v, data=data)
    y[0], v[0] = 99.0, 99.0
    data.loc[0, "x"] = 99.0
    handed_out = es.data
    assert handed_out is not None
    handed_out.loc[0, "x"] = 99.0
    handed_out["new"] = 1
    column = es.column("x")
    column.iloc[0] = 99.0
    assert es.y[0] == 0.1
    assert es.v[0] == 0.02
    assert es.column("x").iloc[0] == 0.0
    assert es.data is not None
    assert "new" not in es.data
    for one in (es, pickle.loads(pickle.dumps(es)), copy.deepcopy(es), es.select([0, 1, 2])):
        for array in (one.y, one.v):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0


def test_ordinary_effects_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.EffectSizes(Y, V, "SMD", data=pd.DataFrame({"study": list("abcdef"), "Study": list("aabbcc")}))


def test_hazard_ratio_is_shown_as_a_ratio() -> None:
    ratio, low, high = np.array([0.76, 0.54]), np.array([0.55, 0.31]), np.array([1.05, 0.94])
    se = mx.effects.se_from_ci(low, high, log=True)
    np.testing.assert_allclose(se, np.log(high / low) / (2 * 1.959963984540054), rtol=1e-14)
    for code in ("HR", "hazard ratio", "RATIO"):
        es = mx.EffectSizes(np.log(ratio), se=se, measure=code)
        assert es.measure.display_log
        np.testing.assert_allclose(es.measure.back(es.y), ratio, rtol=1e-14)
    assert "HR" in set(mx.measures()["code"])


def test_reported_hazard_ratio_of_a_table() -> None:
    table = {
        "effect_measure": ["hazard_ratio"],
        "effect": [0.7],
        "effect_ci_low": [0.5],
        "effect_ci_high": [0.98],
    }
    found = mx.effects.effects_from_table("HR", table)
    np.testing.assert_allclose(found.y, np.log(0.7), rtol=1e-14)
    np.testing.assert_allclose(found.v, (np.log(0.98 / 0.5) / (2 * 1.959963984540054)) ** 2, rtol=1e-14)
    with pytest.raises(InputError, match="computed elsewhere"):
        mx.effects.effects_from_table("GEN", table)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Hedges g", "SMD"),
        ("Hedges' g", "SMD"),
        ("cohen d", "SMD"),
        ("risk ratio", "RR"),
        ("smd", "SMD"),
        ("mean difference", "MD"),
    ],
)
def test_usual_names_of_measures_are_understood(name: str, code: str) -> None:
    assert mx.effects.get_measure(name).code == code
    assert mx.measures(name)["code"].tolist() == [code]


@pytest.mark.parametrize("name", ["hedge g", "standardized mean diff", "smdx"])
def test_near_measure_is_named(name: str) -> None:
    with pytest.raises(UnknownChoiceError, match="write 'SMD' if that is what was meant") as caught:
        mx.EffectSizes([1], [1], name)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("family", ["foo", "", 3])
def test_unknown_family_of_measures(family: object) -> None:
    with pytest.raises(UnknownChoiceError, match="family of measures"):
        mx.measures(family)  # type: ignore[arg-type]
    assert len(mx.measures("Means")) > 10


def test_missing_columns_are_named_with_those_that_are_near() -> None:
    data = pd.DataFrame({"Treatment Mean": [5.0], "Treatment SD": [1.0], "n1i": [10], "Outcome": ["x"]})
    with pytest.raises(MissingInputError) as caught:
        mx.effect_sizes("MD", data=data)
    for words in (
        "treatment_mean",
        "control_sd",
        "'Outcome'",
        'treatment_mean="Treatment Mean"',
        'treatment_n="n1i"',
        'control_sd="my control sd"',
    ):
        assert words in str(caught.value)


def test_all_cells_that_are_no_number_are_named() -> None:
    rest = {"control_mean": 4.0, "control_sd": 1.0, "control_n": 10}
    with pytest.raises(InputError, match=r"treatment_mean.*'5,1'.*'n/a'.*treatment_sd.*row 2: 'x'"):
        mx.effect_sizes(
            "MD", treatment_mean=["5,1", "6", "n/a"], treatment_sd=[1.0, "x", 1.0], treatment_n=10, **rest
        )


def test_inputs_with_other_indexes_are_refused() -> None:
    events, n = pd.Series([1, 2], index=[0, 1]), pd.Series([10, 12], index=[1, 0])
    with pytest.raises(InputError, match="different indexes"):
        mx.effect_sizes("PLO", events=events, n=n)
    with pytest.raises(InputError, match="different indexes"):
        mx.effect_sizes("PLO", events=events, n=10, study=pd.Series(["a", "b"], index=[1, 0]))
    with pytest.raises(InputError, match="different indexes"):
        mx.effects.calculate("PLO", {"events": events, "n": n})
    es = mx.effect_sizes("PLO", events=n, n=20)
    assert es.index is not None
    assert es.index.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("measure", "inputs", "words"),
    [
        (
            "SMD",
            {"p_value": [0.03], "direction": [0], "treatment_n": [10], "control_n": [10]},
            "direction is 0",
        ),
        ("R2", {"r_squared": [0.3], "predictors": [-3], "n": [50]}, "predictors"),
        ("R2", {"r_squared": [0.3], "predictors": [2.5], "n": [50]}, "predictors"),
    ],
)
def test_impossible_statistics_are_refused(measure: str, inputs: dict[str, list[float]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mx.effect_sizes(measure, **inputs)


def test_a_p_of_one_has_no_direction() -> None:
    # t is 0, whatever the sizes
    assert float(mx.effects.t_from_p(1.0, 0, 18)) == 0.0
    with pytest.raises(InputError, match="direction is 0"):
        mx.effects.t_from_p(0.03, 0, 18)
    with pytest.raises(InputError, match="direction is 0"):
        mx.effects.d_of_p(0.03, 0, 18, 18)


def test_bounded_effects_and_origins_cannot_be_changed() -> None:
    low, data = np.array([0.1, 0.7]), pd.DataFrame({"x": [1.0, 2.0]})
    found = bounded_effects(low, [0.1, np.inf], [0.05, 0.05], data=data)
    low[0] = 99.0
    data.loc[0, "x"] = 99.0
    handed_out = found.data
    handed_out.loc[0, "x"] = 99.0
    assert found.lower[0] == 0.1
    assert found.column("x").iloc[0] == 1.0
    es = mx.effect_sizes("PLO", events=[1, 2], n=[10, 10])
    for one in (found, pickle.loads(pickle.dumps(found)), copy.deepcopy(found), found.select([0, 1])):
        for array in (one.lower, one.upper, one.v_lower, one.v_upper, one.bounds.lower):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
    for same in (es, pickle.loads(pickle.dumps(es)), copy.deepcopy(es)):
        assert same.origin is not None
        assert mx.explain(same, 0) is not None
        with pytest.raises(ValueError, match="read-only"):
            same.origin.inputs["n"][0] = 1.0
        with pytest.raises(TypeError):
            same.origin.inputs["n"] = np.zeros(2)  # type: ignore[index]


def test_ledger_holds_copies_of_lines() -> None:
    lines = [1, 2, 3]
    ledger = Ledger("input", lines)  # type: ignore[arg-type]
    lines.append(4)
    assert ledger.used == (1, 2, 3)
    for wrong in ("123", [1.5], [True], 3.5, {1: 2}):
        with pytest.raises(InputError):
            Ledger("input", wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mapping"):
        ledger.leave_out([1], "model")  # type: ignore[arg-type]


def test_bounds_by_the_same_door() -> None:
    data = pd.DataFrame(
        {"lo": [0.1, 0.7], "hi": [0.1, 2.0], "v": [0.1, 0.2], "study": ["a", "a"]}, index=[5, 6]
    )
    found = bounded_effects("lo", "hi", "v", data=data, labels="study")
    assert (found.m, found.study_column, found.index.tolist()) == (1, "study", [5, 6])
    with pytest.raises(InputError, match="different indexes"):
        bounded_effects("lo", pd.Series([0.1, 2.0], index=[6, 5]), "v", data=data)
    with pytest.raises(InputError, match="different indexes"):
        found.select(pd.Series([True, False], index=[6, 5]))
    with pytest.raises(InputError, match=r"line 2.*fill down"):
        bounded_effects([0.1, 0.2], [0.1, 0.2], [0.1, 0.1], study=["a", None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="negative"):
        bounded_effects([0.1], [0.1], [-0.1])
    with pytest.raises(InputError, match="BoundedEffectSizes"):
        mx.effects.join_bounded(found, "x")  # type: ignore[arg-type]


def test_standard_errors_and_columns_at_every_door():
    import pandas as pd

    table = pd.DataFrame(
        {"d": [0.2, 0.5, 0.3], "se": [0.1, 0.2, 0.3], "study": ["a", "a", "b"], "top": [0.2, np.inf, 0.3]}
    )
    v = table["se"] ** 2
    es = mx.EffectSizes("d", se="se", data=table)
    np.testing.assert_allclose(es.v, v)
    assert es.study == ("a", "a", "b")
    blocks = mx.covariance_blocks(se="se", data=table, correlation=0.5)
    plain = mx.covariance_blocks(v, ["a", "a", "b"], correlation=0.5)
    for one, other in zip(blocks, plain, strict=True):
        np.testing.assert_array_equal(one.cov, other.cov)
    bounded = mx.bounded_effects("d", "top", se="se", se_upper="se", data=table)
    np.testing.assert_allclose(bounded.v_lower, v)
    np.testing.assert_allclose(bounded.v_upper[[0, 2]], v[[0, 2]])
    y, errors = np.array([[0.2, 0.6, 0.1]]), np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(mx.fit_many(y, se=errors).tau2, mx.fit_many(y, errors**2).tau2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mx.covariance_blocks([0.1, 0.2], correlation=0.5), "cluster is the text 'study'"),
        (lambda: mx.covariance_blocks([0.1], ["a"], se=[0.3]), "v and se are both given"),
        (lambda: mx.bounded_effects([0.1], [0.2]), "neither v nor se is given"),
        (lambda: mx.fit_many([[0.1, 0.2]], se=[[0.1, -0.2]]), "row 1"),
        (lambda: mx.EffectSizes([0.1], se=[-1.0]), "row 1: -1"),
    ],
)
def test_variances_or_standard_errors(call, words):
    with pytest.raises(MetaexoError, match=words):
        call()


def test_intervals_of_single_effects():
    """y plus and minus 1.959964 standard errors; at level 0.5, 0.67449 of them."""
    es = mx.EffectSizes([0.1, 0.4], [0.04, 0.01])
    np.testing.assert_allclose(es.conf_int(), [[-0.2919927969, 0.4919927969], [0.2040036015, 0.5959963985]])
    np.testing.assert_allclose(es.conf_int(0.5)["high"] - es.y, 0.6744897502 * np.array([0.2, 0.1]))
    with pytest.raises(MetaexoError, match="level"):
        es.conf_int(95)
