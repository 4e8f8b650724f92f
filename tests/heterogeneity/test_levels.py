"""Levels of strata: any kind of column, numbers as they are written, blanks not reported."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import estimability

Y, V = [1.0, 2.0, 3.0, 1.5], [0.1] * 4
COLUMNS = {
    "categorical": (pd.Categorical(["a", "b", None, "a"], categories=["z", "b", "a"]), ["a", "b"]),
    "ordered categories": (pd.Categorical(["a", "b", None, "a"], ordered=True), ["a", "b"]),
    "Int64": (pd.array([1, 2, None, 1], dtype="Int64"), ["1", "2"]),
    "boolean": (pd.array([True, False, None, True], dtype="boolean"), ["True", "False"]),
    "Float64": (pd.array([1.5, 2, None, 1.5], dtype="Float64"), ["1.5", "2"]),
    "string": (pd.array(["a", "b", None, "a"], dtype="string"), ["a", "b"]),
    "float": ([2010.0, 2012.0, np.nan, 2010.0], ["2010", "2012"]),
    "numbers by category": (pd.Categorical([10, 9, None, 10]), ["9", "10"]),
    "dates": (pd.to_datetime(["2020-01-01", "2021-01-01", None, "2020-01-01"]), None),
    "mixed": (["a", 7, None, "a"], ["a", "7"]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_any_kind_of_column_with_a_gap_makes_strata(kind: str) -> None:
    values, names = COLUMNS[kind]
    es = mx.EffectSizes(Y, V, data=pd.DataFrame({"g": values}))
    found = mx.stratify(es, by="g")
    assert [s.reported for s in found.strata] == [True, True, False]
    assert found.strata[-1].name == "not reported"
    if names is not None:
        assert [s.name for s in found.strata[:2]] == names
    assert {*estimability(es, "g").table.levels[0]} == {s.name for s in found.strata}


@pytest.mark.parametrize(
    "blank", ["", " ", np.nan, None, pd.NaT, pd.NA, "not_reported", "Not reported", "nan"]
)
def test_blanks_are_not_reported_everywhere(blank: object) -> None:
    es = mx.EffectSizes(Y, V, data=pd.DataFrame({"g": pd.Series(["a", "b", blank, "a"], dtype=object)}))
    assert sum(not s.reported for s in mx.stratify(es, by="g").strata) == 1
    assert estimability(es, "g").table.levels[0] == ("a", "b", "not reported")


@pytest.mark.parametrize("word", ["NA", "n/a", "-", "None", "?"])
def test_words_that_may_mean_a_blank_are_levels_with_a_warning(word: str) -> None:
    es = mx.EffectSizes(Y, V, data=pd.DataFrame({"g": ["a", "b", word, "a"]}))
    with pytest.warns(errors.UnclearLevelWarning, match="leave these cells empty"):
        strata = mx.stratify(es, by="g").strata
    assert word in [s.name for s in strata]
    with pytest.warns(errors.UnclearLevelWarning):
        assert word in estimability(es, "g").table.levels[0]


def test_numbers_are_ordered_as_numbers_and_words_by_studies() -> None:
    dose = mx.EffectSizes([0.1, 0.2, 0.3, 0.4, 0.5], [0.02] * 5, data=pd.DataFrame({"d": [2, 10, 9, 2, 10]}))
    assert [s.name for s in mx.stratify(dose, by="d").strata] == ["2", "9", "10"]
    assert estimability(dose, "d").table.levels[0] == ("2", "9", "10")
    assert mx.stratify(dose, by="d", order=[10, 9, 2]).order == ("10", "9", "2")
    words = dose.with_columns(d=["x", "b", "b", "c", "b"])
    assert [s.name for s in mx.stratify(words, by="d").strata] == ["b", "c", "x"]


def test_study_is_a_grouping_at_every_door() -> None:
    es = mx.EffectSizes([0.1, 0.2, 0.3, 0.4], [0.02] * 4, study=list("aabb"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DependentEffectsWarning)
        assert [s.name for s in mx.stratify(es, by="study").strata] == ["a", "b"]
        mx.stratify(es.with_columns(g=list("xyxy")), by="g", cluster="study")
    assert estimability(es, "study").by == ("study",)


def test_unreported_studies_are_compared_only_where_that_is_asked_for() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": ["a"] * 4 + ["b"] * 4 + [None] * 4, "h": ["a"] * 4 + ["b"] * 4 + ["c"] * 4})
    es = mx.EffectSizes(rng.normal(0, 0.4, 12), rng.uniform(0.02, 0.1, 12), data=data)
    known = es.select(np.arange(8), "not reported")
    for mode in ("separate", "common", "smoothed"):
        found, asked = mx.stratify(es, "g", mode), mx.stratify(es, "g", mode, compare_unreported=True)
        assert found.between.df[0] == 1
        assert asked.between.df[0] == 2
        assert "not reported left out (compare_unreported=True" in found.between_note
        assert "not reported left out" in str(found)
        assert found.pairwise().names == ("b minus a",)
        assert len(asked.pairwise().names) == 3
        assert found["not reported"].fit is not None
        full = mx.stratify(es, "h", mode)
        assert asked.between.statistic == pytest.approx(full.between.statistic)
        assert (
            asked.permutation_test(limit=10, draws=99).pvalue
            == full.permutation_test(limit=10, draws=99).pvalue
        )
        # the statistic of the permutation test is that of the test between strata
        if mode != "smoothed":
            assert found.permutation_test().statistic == pytest.approx(found.between.statistic)
    # with variances of their own the other strata do not know of those left out
    alone, found = mx.stratify(known, "g"), mx.stratify(es, "g")
    assert found.between == alone.between
    assert found.permutation_test().pvalue == alone.permutation_test().pvalue
    assert found.heterogeneity_test(draws=99).pvalue == alone.heterogeneity_test(draws=99).pvalue


def test_strata_that_mix_domains_say_so() -> None:
    data = pd.DataFrame(
        {"g": list("aaabbb"), "domain": ["clinical", "preclinical", "clinical"] + ["clinical"] * 3}
    )
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.2, 0.5, 0.6], [0.02] * 6, data=data)
    found = mx.stratify(es, "g")
    assert found["a"].note == "mixes domains: clinical 2, preclinical 1 (effects)"
    assert found["b"].note == ""
    assert "mixes domains" in str(found)
    assert mx.stratify(es, ["g", "domain"])["b / clinical"].note == ""


def test_few_degrees_of_freedom_are_said_and_tabulated() -> None:
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.9], [0.02] * 4, data=pd.DataFrame({"g": list("aabb")}))
    found = mx.stratify(es, "g")
    table = found.to_frame().set_index("stratum")
    assert table["df"].tolist() == [1, 1, 3]
    assert any("1 df" in text for text in found.cautions())
    assert "caution: a, b: 1 df, interval and p-value are rough guides" in str(found)
    assert "caution" in found.to_markdown()
    assert mx.stratify(es, "g", test="z").to_frame()["df"].isna().all()
