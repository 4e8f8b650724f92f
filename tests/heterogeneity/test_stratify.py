"""Subgroup analysis: what each stratum gives, what the test says, and what strata of one study may not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.oneway import anova_generic

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity.strata.stratify import ONE_STUDY


def effects(n: dict[str, int], seed: int = 3, isolation: bool = False) -> mx.EffectSizes:
    rng = np.random.default_rng(seed)
    source = [name for name, count in n.items() for _ in range(count)]
    k = len(source)
    v = rng.uniform(0.02, 0.2, k)
    y = rng.normal([0.2 * len(s) for s in source], np.sqrt(v + 0.05))
    frame = pd.DataFrame({"source": source})
    if isolation:
        frame["isolation"] = np.where(np.arange(k) % 2, "ultracentrifugation", "size exclusion")
    return mx.EffectSizes(y, v, data=frame)


def test_separate_strata_are_models_of_their_own() -> None:
    es = effects({"plant": 5, "adipose": 4})
    result = mx.stratify(es, by="source")
    assert [s.name for s in result.strata] == ["plant", "adipose"]
    for stratum in result.strata:
        alone = mx.RandomEffects(mx.EffectSizes(es.y[stratum.rows], es.v[stratum.rows])).fit()
        assert stratum.fit.tau2 == alone.tau2
        assert stratum.pooled == alone.pooled()
    assert result.overall.estimate == mx.RandomEffects(es).fit().estimate


def test_common_tau2_is_the_joint_model() -> None:
    es = effects({"plant": 5, "adipose": 4, "urine": 3})
    result = mx.stratify(es, by="source", tau2="common", test="z")
    dummies = pd.get_dummies(es.data["source"]).astype(float)
    joint = mx.RandomEffects(es, dummies, intercept=False).fit(test="z")
    for stratum in result.strata:
        assert stratum.pooled.estimate == pytest.approx(joint.params[stratum.name], rel=1e-10)
        assert stratum.pooled.se == pytest.approx(joint.bse[stratum.name], rel=1e-10)
        assert stratum.fit.tau2 == pytest.approx(joint.tau2, rel=1e-10)
    nested = mx.RandomEffects(es, dummies.iloc[:, 1:]).fit(test="z")
    assert result.between.statistic == pytest.approx(nested.moderator_test.statistic, rel=1e-8)
    assert result.between.df == (2,)


def test_the_welch_test_is_that_of_statsmodels() -> None:
    # statsmodels' Welch test takes group means, variances and sizes; a stratum's squared standard error is
    # variance / size, with size - 1 degrees of freedom
    es = effects({"plant": 6, "adipose": 4, "urine": 5})
    result = mx.stratify(es, by="source")
    fits = [s.fit for s in result.strata]
    sizes = np.array([f.k for f in fits])
    variances = np.array([f.se[0] ** 2 for f in fits]) * sizes
    theirs = anova_generic(np.array([f.estimate for f in fits]), variances, sizes, use_var="unequal")
    assert result.between.statistic == pytest.approx(theirs.statistic, rel=1e-10)
    assert result.between.pvalue == pytest.approx(theirs.pvalue, rel=1e-8)


def test_normal_tests_give_the_chi_square_between_strata() -> None:
    es = effects({"plant": 6, "adipose": 4})
    result = mx.stratify(es, by="source", test="z")
    (m1, s1), (m2, s2) = ((s.pooled.estimate, s.pooled.se) for s in result.strata)
    assert result.between.statistic == pytest.approx((m1 - m2) ** 2 / (s1**2 + s2**2), rel=1e-12)
    assert result.between.distribution == "chi2"


@pytest.mark.parametrize("mode", ["separate", "common"])
def test_a_stratum_of_one_study_is_shown_and_takes_no_part(mode: str) -> None:
    es = effects({"plant": 5, "adipose": 4, "milk": 1})
    result = mx.stratify(es, by="source", tau2=mode)
    milk = result.strata[-1]
    assert (milk.name, milk.k, milk.fit, milk.pooled) == ("milk", 1, None, None)
    assert milk.note == ONE_STUDY
    without = mx.stratify(es.select(np.arange(9), "milk left out"), by="source", tau2=mode)
    assert result.between == without.between
    assert [s.pooled for s in result.strata[:2]] == [s.pooled for s in without.strata]
    assert "milk" in str(result)


@pytest.mark.parametrize("mode", ["separate", "common"])
def test_without_two_strata_there_is_no_test_and_words_say_so(mode: str) -> None:
    result = mx.stratify(effects({"plant": 5, "milk": 1}), by="source", tau2=mode)
    assert result.between is None
    assert "1 stratum" in result.between_note
    alone = mx.stratify(effects({"plant": 1, "milk": 1}), by="source", tau2=mode)
    assert alone.between is None
    assert all(s.fit is None for s in alone.strata)


def test_two_effects_of_one_study_are_one_study() -> None:
    es = mx.EffectSizes(
        [0.1, 0.2, 0.5, 0.7],
        [0.1] * 4,
        study=["a", "a", "b", "c"],
        data=pd.DataFrame({"source": ["plant", "plant", "milk", "milk"]}),
    )
    with pytest.warns(errors.DependentEffectsWarning):
        result = mx.stratify(es, by="source")
    plant = next(s for s in result.strata if s.name == "plant")
    assert (plant.k, plant.m, plant.fit) == (2, 1, None)


def test_two_factors_are_crossed_and_unreported_levels_come_last() -> None:
    es = effects({"plant": 6, "adipose": 4}, isolation=True)
    frame = es.data.copy()
    frame.loc[0, "source"] = None
    crossed = mx.stratify(mx.EffectSizes(es.y, es.v, data=frame), by=["source", "isolation"])
    assert sum(s.k for s in crossed.strata) == 10
    assert crossed.strata[-1].levels["source"] == "not reported"
    assert set(crossed.strata[0].levels) == {"source", "isolation"}


def test_every_row_is_in_one_stratum_and_the_ledger_says_so() -> None:
    es = effects({"plant": 5, "adipose": 4, "milk": 1})
    result = mx.stratify(es, by="source")
    rows = np.sort(np.concatenate([s.rows for s in result.strata]))
    assert rows.tolist() == list(range(10))
    for stratum in result.strata:
        assert stratum.effects.ledger.total == 10


def test_the_table_agrees_with_the_strata() -> None:
    result = mx.stratify(effects({"plant": 5, "adipose": 4, "milk": 1}), by="source")
    table = result.to_frame().set_index("stratum")
    for stratum in result.strata[:2]:
        assert table.loc[stratum.name, "estimate"] == stratum.pooled.estimate
        assert table.loc[stratum.name, "tau2"] == stratum.fit.tau2
    assert table.loc["all", "k"] == 10
    assert np.isnan(table.loc["milk", "tau2"])
    assert table.loc["milk", "estimate"] == result["milk"].effects.y[0]


def test_wrong_words_are_named() -> None:
    es = effects({"plant": 5, "adipose": 4})
    with pytest.raises(errors.UnknownChoiceError, match="source"):
        mx.stratify(es, by="sorce")
    with pytest.raises(errors.UnknownChoiceError, match="separate"):
        mx.stratify(es, by="source", tau2="seperate")


def test_all_effects_are_kept_when_there_is_no_overall_model() -> None:
    # one study in two strata: nothing can be pooled, and nothing may be lost
    frame = pd.DataFrame({"source": ["plant", "urine", "plant"]})
    es = mx.EffectSizes([0.1, 0.2, 0.3], [0.01] * 3, study=["Li"] * 3, data=frame)
    with pytest.warns(errors.DependentEffectsWarning):
        result = mx.stratify(es, by="source")
    assert result.overall is None
    assert result.effects is es
    assert sum(s.k for s in result.strata) == 3


def test_a_name_that_is_no_valid_text_has_a_fingerprint():
    data = pd.DataFrame({"g": ["\ud800", "\ud800", "b", "b"]})
    strata = mx.stratify(mx.EffectSizes([0.1, 0.3, 0.5, 0.4], [0.02] * 4, data=data), by="g")
    assert len(strata.digest) == 16


def test_strata_without_a_column_are_told_which_there_are() -> None:
    es = mx.EffectSizes([0.1, 0.2], [0.1, 0.1], data=pd.DataFrame({"source": ["a", "b"]}))
    with pytest.raises(errors.InputError, match="choose among source"):
        mx.stratify(es)
    with pytest.raises(errors.InputError, match="EffectSizes"):
        mx.stratify(mx.RandomEffects(es).fit())
