"""Pairs of strata, trends over their order, and what both rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors
from tests.heterogeneity.helpers import effects

THREE = {"plant": 6, "adipose": 4, "urine": 5}


def test_pairs_of_separate_strata_are_welch_t_tests() -> None:
    result = mx.stratify(effects(THREE), by="source")
    pairs = result.pairwise(adjust=None).to_frame()
    for name, row in pairs.iterrows():
        later, earlier = name.split(" minus ")
        a, b = result[later], result[earlier]
        parts = np.array([a.pooled.se**2, b.pooled.se**2])
        df = parts.sum() ** 2 / (parts**2 / np.array([a.k - 1, b.k - 1])).sum()
        assert row["estimate"] == pytest.approx(a.pooled.estimate - b.pooled.estimate, rel=1e-12)
        assert row["df"] == pytest.approx(df, rel=1e-12)
        t = row["estimate"] / np.sqrt(parts.sum())
        assert row["pvalue"] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-10)


def test_pairs_of_strata_with_one_tau2_are_those_of_the_regression() -> None:
    es = effects(THREE)
    pairs = mx.stratify(es, by="source", tau2="common").pairwise().to_frame()
    fit = mx.RandomEffects(es, "source").fit()
    theirs = fit.contrast(
        {"x": {"sourceplant": 1.0}, "y": {"sourceurine": 1.0, "sourceplant": -1.0}}
    ).to_frame()
    assert pairs.loc["adipose minus plant", "estimate"] == pytest.approx(
        -theirs.iloc[0]["estimate"], rel=1e-9
    )
    assert pairs.loc["adipose minus plant", "pvalue"] == pytest.approx(theirs.iloc[0]["pvalue"], rel=1e-8)
    assert pairs.loc["urine minus plant", "pvalue"] == pytest.approx(theirs.iloc[1]["pvalue"], rel=1e-8)


def test_pvalues_are_adjusted_by_the_method_asked_for() -> None:
    result = mx.stratify(effects(THREE), by="source")
    plain = result.pairwise(adjust=None)
    assert plain.adjusted is None
    for how in ("holm", "bonferroni"):
        found = result.pairwise(adjust=how)
        assert found.adjusted == pytest.approx(mx.models.adjust_pvalues(plain.pvalue, how))
    with pytest.raises(errors.UnknownChoiceError, match="holm"):
        result.pairwise(adjust="hulm")


def test_the_joint_test_of_pairs_is_the_test_between_strata() -> None:
    result = mx.stratify(effects(THREE), by="source")
    assert result.pairwise().joint == result.between


def test_the_hotelling_test_of_one_difference_is_its_t_test_squared() -> None:
    result = mx.stratify(effects({"plant": 6, "adipose": 4}), by="source")
    row = np.array([[1.0, -1.0]])
    joint = result.joint_test(row, np.zeros(1), "no difference")
    assert joint.pvalue == pytest.approx(result.between.pvalue, rel=1e-10)
    assert joint.df == pytest.approx(result.between.df, rel=1e-10)


@pytest.mark.parametrize("mode", ["separate", "common"])
def test_a_trend_is_the_slope_through_the_means(mode: str) -> None:
    order = ["urine", "plant", "adipose"]
    result = mx.stratify(effects(THREE), by="source", tau2=mode, order=order)
    assert [s.name for s in result.strata] == order
    slope = np.polyfit(range(3), [result[name].pooled.estimate for name in order], 1)[0]
    trend = result.trend()
    assert trend.estimate[0] == pytest.approx(slope, rel=1e-10)
    backwards = mx.stratify(effects(THREE), by="source", tau2=mode, order=order[::-1]).trend()
    assert backwards.estimate[0] == pytest.approx(-slope, rel=1e-10)
    assert backwards.pvalue[0] == pytest.approx(trend.pvalue[0], rel=1e-10)


def test_strata_of_one_study_keep_their_place_in_the_order_and_take_no_part() -> None:
    es = effects({"low": 5, "middle": 1, "high": 4})
    trend = mx.stratify(es, by="source", order=["low", "middle", "high"]).trend()
    result = mx.stratify(es, by="source")
    step = (result["high"].pooled.estimate - result["low"].pooled.estimate) / 2
    assert trend.estimate[0] == pytest.approx(step, rel=1e-12)
    assert trend.names == ("trend per step over low < high",)


def test_unreported_studies_have_no_place_in_an_order() -> None:
    es = effects({"low": 5, "high": 4, "not reported": 3})
    result = mx.stratify(es, by="source", order=["low", "high"])
    assert [s.name for s in result.strata] == ["low", "high", "not reported"]
    assert len(result.trend().names) == 1
    assert "not reported" not in result.trend().names[0]


@pytest.mark.parametrize(
    ("order", "words"), [(["plant"], "leaves out"), (["plant", "urine", "adipose", "adipose"], "twice")]
)
def test_an_order_names_every_stratum_once(order: list[str], words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        mx.stratify(effects(THREE), by="source", order=order)


def test_a_stratum_in_an_order_that_does_not_exist_is_named() -> None:
    with pytest.raises(errors.UnknownChoiceError, match="plant"):
        mx.stratify(effects(THREE), by="source", order=["plnt", "urine", "adipose"])


def test_without_two_strata_there_are_no_pairs_and_no_trend() -> None:
    result = mx.stratify(effects({"plant": 5, "milk": 1}), by="source", order=["plant", "milk"])
    for ask in (result.pairwise, result.trend):
        with pytest.raises(errors.TooFewStudiesError, match="1 stratum with two or more studies"):
            ask()
    assert "no trend" in str(result)
    with pytest.raises(errors.InputError, match="no order"):
        mx.stratify(effects(THREE), by="source").trend()


def test_equal_effects_in_a_stratum_leave_no_test_and_words_say_so() -> None:
    data = pd.DataFrame({"source": ["a", "a", "b", "b", "b"]})
    es = mx.EffectSizes([0.2, 0.2, 0.1, 0.5, 0.9], [0.1] * 5, data=data)
    result = mx.stratify(es, by="source")
    assert result.between is None
    assert "all equal" in result.between_note
