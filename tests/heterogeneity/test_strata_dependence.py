"""Several effects a study: what is robust to it, and what says that it is not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from tests.heterogeneity.helpers import effects, several_a_study

pytestmark = [
    pytest.mark.filterwarnings("ignore::metaexo.errors.DependentEffectsWarning"),
    pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning"),
]
TWO = {"plant": 5, "adipose": 6}


def test_one_tau2_gives_the_robust_joint_model() -> None:
    es = several_a_study(TWO)
    result = mx.stratify(es, by="source", tau2="common")
    dummies = pd.get_dummies(es.data["source"]).astype(float)
    joint = mx.RandomEffects(es, dummies, intercept=False).fit().robust()
    for s in result.strata:
        j = joint.design.names.index(s.name)
        assert s.pooled.estimate == pytest.approx(joint.beta[j], rel=1e-9)
        assert s.pooled.se == pytest.approx(joint.se[j], rel=1e-9)
        bounds = joint.conf_int().loc[s.name]
        assert (s.pooled.low, s.pooled.high) == pytest.approx((bounds["low"], bounds["high"]), rel=1e-9)
    row = np.array([[1.0, -1.0]])
    theirs = joint.joint_test(row, np.zeros(1), "equal")
    assert result.between.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert result.between.df == pytest.approx(theirs.df, rel=1e-9)


def test_separate_strata_without_shared_studies_are_robust_fits_of_their_own() -> None:
    es = several_a_study(TWO)
    result = mx.stratify(es, by="source")
    for s in result.strata:
        alone = mx.RandomEffects(s.effects).fit().robust()
        assert s.fit.tau2 == mx.RandomEffects(s.effects).fit().tau2
        assert s.pooled.se == pytest.approx(alone.se[0], rel=1e-9)
        assert result.df_of(np.eye(2))[result.design.names.index(s.name)] == pytest.approx(
            alone.df_inference.iloc[0], rel=1e-9
        )


def test_a_study_in_two_strata_makes_their_means_correlated() -> None:
    es = several_a_study({"plant": 20, "adipose": 20})
    result = mx.stratify(es, by="isolation", tau2="common")
    cov = result.cov
    assert cov[0, 1] > 0.5 * np.sqrt(cov[0, 0] * cov[1, 1]), "studies differ more than methods within them"
    independent = mx.stratify(es, by="isolation", tau2="common", cluster=None)
    assert result.pairwise().se[0] < independent.pairwise().se[0]


def test_prediction_intervals_add_tau2_to_the_robust_variance() -> None:
    s = mx.stratify(several_a_study(TWO), by="source").strata[0]
    quantile = (s.pooled.high - s.pooled.estimate) / s.pooled.se
    half = quantile * np.sqrt(s.pooled.se**2 + s.fit.tau2)
    assert s.pooled.prediction_high == pytest.approx(s.pooled.estimate + half, rel=1e-10)


def test_normal_tests_keep_the_robust_covariance() -> None:
    es = several_a_study(TWO)
    z, t = (mx.stratify(es, by="source", test=test) for test in ("z", "t"))
    assert z.between.distribution == "chi2"
    assert z.strata[0].pooled.se == pytest.approx(t.strata[0].pooled.se, rel=1e-12)
    assert z.strata[0].pooled.high < t.strata[0].pooled.high


def test_the_overall_effect_is_robust_too() -> None:
    es = several_a_study(TWO)
    result = mx.stratify(es, by="source")
    robust = mx.RandomEffects(es).fit().robust()
    assert result.overall_pooled.se == pytest.approx(robust.se[0], rel=1e-9)
    assert result.to_frame().set_index("stratum").loc["all", "se"] == result.overall_pooled.se


def test_words_say_what_is_robust_and_what_is_not() -> None:
    es = several_a_study(TWO)
    with pytest.warns(errors.DependentEffectsWarning, match="robust to that, but tau2"):
        result = mx.stratify(es, by="source")
    assert "clusters: study" in result.between_note
    assert "CR2, 11 clusters" in str(result)
    assert "Satterthwaite" in str(result)
    with pytest.warns(errors.DependentEffectsWarning, match="too narrow"):
        plain = mx.stratify(es, by="source", cluster=None)
    assert plain.clusters is None
    assert plain.strata[0].pooled == plain.strata[0].fit.pooled()


def test_independent_effects_need_no_clusters() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mx.stratify(effects({"plant": 4, "milk": 4}), by="source").clusters is None


def test_a_column_can_hold_the_clusters() -> None:
    es = effects({"plant": 6, "milk": 6}).with_columns(laboratory=["a", "a", "b", "b", "c", "d"] * 2)
    result = mx.stratify(es, by="source", cluster="laboratory")
    assert len(set(result.clusters)) == 4
    with pytest.raises(errors.UnknownChoiceError, match="laboratory"):
        mx.stratify(es, by="source", cluster="labratory")
    gap = es.with_columns(laboratory=["a", "a", None, "b", "c", "d"] * 2)
    with pytest.raises(errors.InputError, match="no laboratory"):
        mx.stratify(gap, by="source", cluster="laboratory")


def test_a_stratum_of_one_cluster_is_shown_and_takes_no_part() -> None:
    es = effects({"plant": 4, "milk": 3, "urine": 4}).with_columns(
        laboratory=["a", "b", "c", "c", "d", "d", "d", "e", "f", "g", "g"]
    )
    result = mx.stratify(es, by="source", cluster="laboratory")
    assert result["milk"].fit is None
    assert result["milk"].note.startswith("one laboratory: shown")
    assert result.design.names == tuple(s.name for s in result.strata if s.name != "milk")


def test_two_clusters_are_said_to_be_few() -> None:
    es = several_a_study({"plant": 2, "adipose": 6})
    assert mx.stratify(es, by="source")["plant"].note.startswith("two clusters")


def test_too_few_clusters_for_a_joint_test_leave_words() -> None:
    # two studies that used three methods each: their two rows of residuals cannot carry two differences
    data = pd.DataFrame({"isolation": ["UC", "SEC", "kit"] * 2})
    es = mx.EffectSizes([0.1, 0.4, 0.3, 0.6, 0.2, 0.9], [0.05] * 6, study=["a"] * 3 + ["b"] * 3, data=data)
    result = mx.stratify(es, by="isolation")
    assert result.between is None
    assert "too few clusters" in result.between_note
    assert all(np.isfinite(s.pooled.se) for s in result.strata)


def test_the_table_counts_the_clusters_that_notes_and_tests_count() -> None:
    es = effects({"plant": 6, "milk": 4}).with_columns(laboratory=list("aabbab") + list("cdee"))
    result = mx.stratify(es, by="source", cluster="laboratory")
    frame = result.to_frame().set_index("stratum")
    assert frame["k"].tolist() == frame["m"].tolist() == [6, 4, 10]
    assert frame["clusters"].tolist() == [2, 3, 5]
    assert frame.loc["plant", "note"].startswith("two clusters")
    assert [result.clusters_in(s) for s in result.strata] == [2, 3] == [result.clusters_in("plant"), 3]
    shown = result.to_text().splitlines()
    heading = next(line for line in shown if line.startswith("stratum")).split()
    row = next(line for line in shown if line.startswith("plant")).split()
    assert dict(zip(heading, row, strict=False))["clusters"] == "2"
    with pytest.raises(errors.UnknownChoiceError, match="plant"):
        result.clusters_in("plnt")


def test_studies_are_the_clusters_where_no_others_are_named() -> None:
    result = mx.stratify(several_a_study({"plant": 2, "adipose": 6}), by="source")
    frame = result.to_frame()
    assert (frame["clusters"] == frame["m"]).all()
    assert (frame["m"] < frame["k"]).any()
    assert "clusters" not in result.reader_tables()[0].header
