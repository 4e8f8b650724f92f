"""What is handed in beside the effects of a multilevel model: refused with its rows, or put in order."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo.effects import aggregate, covariance_blocks, covariance_matrix
from metaexo.errors import (
    InputError,
    MissingInputError,
    NotNestedError,
    ShapeError,
    UnclearLevelWarning,
)
from metaexo.sensitivity import influence

Y = [0.1, 0.5, -0.3, 0.9, 0.2, 0.4]
ES = mx.EffectSizes(Y, [0.02] * 6, study=list("aabbcc"), labels=["a1", "a2", "b1", "b2", "c1", "c2"])
GOOD = np.kron(np.eye(3), [[0.02, 0.01], [0.01, 0.02]])


def changed(i: int, j: int, value: float) -> np.ndarray:
    v = GOOD.copy()
    v[i, j] = v[j, i] = value
    return v


@pytest.mark.parametrize(
    ("v", "error", "words"),
    [
        (changed(2, 3, 0.03), InputError, "input:3 and input:4: covariance 0.03"),
        (changed(4, 4, 0.5), InputError, "input:5: 0.5 in V, v = 0.02"),
        (changed(0, 0, np.nan), InputError, "input:1"),
        (changed(1, 1, -0.02), InputError, "input:2"),
        (np.eye(5) * 0.02, ShapeError, r"shape \(5, 5\) for 6 effects"),
        (GOOD[:, :5], ShapeError, "for 6 effects"),
        ([GOOD[:2, :2]] * 2, ShapeError, "4 rows for 6 effects"),
        (np.triu(GOOD), InputError, "not symmetric"),
        ("study", InputError, "V"),
        (GOOD.astype(complex), InputError, "no number"),
    ],
)
def test_a_covariance_matrix_of_other_effects_is_refused(
    v: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        mx.Multilevel(ES, V=v)


def test_correlations_that_contradict_each_other_are_refused() -> None:
    """Correlations 0.9, 0.9 and -0.9 of three effects: the smallest eigenvalue is -0.8."""
    es = mx.EffectSizes(Y, [0.02] * 6, study=list("aaabbb"))
    r = np.array([[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]])
    v = 0.02 * np.block([[r, np.zeros((3, 3))], [np.zeros((3, 3)), np.eye(3)]])
    with pytest.raises(InputError, match=r"not positive semidefinite.*input:1, input:2, input:3"):
        mx.Multilevel(es, V=v)


def test_a_table_is_read_by_its_labels() -> None:
    right = mx.Multilevel(ES, V=changed(2, 3, 0.015)).fit()
    table = pd.DataFrame(changed(2, 3, 0.015), index=list(ES.row_labels), columns=list(ES.row_labels))
    order = [5, 2, 0, 3, 1, 4]
    mixed = table.iloc[order, order]
    assert mx.Multilevel(ES, V=mixed).fit().llf == pytest.approx(right.llf, rel=1e-12)
    with pytest.raises(InputError, match="row 1: 'x1', the effect is 'a1'"):
        mx.Multilevel(ES, V=table.rename(index={"a1": "x1"}, columns={"a1": "x1"}))
    with pytest.raises(InputError, match="different labels"):
        mx.Multilevel(ES, V=table.iloc[order])
    assert mx.Multilevel(ES, V=pd.DataFrame(changed(2, 3, 0.015))).fit().llf == right.llf


def test_blocks_of_other_rows_are_named() -> None:
    blocks = covariance_blocks([0.02] * 7, list("aabbccc"), correlation=0.5)
    with pytest.raises(InputError, match="block 'c': rows 7"):
        mx.Multilevel(ES, V=blocks)
    with pytest.raises(InputError, match=r"in no block of V.*input:5; input:6"):
        mx.Multilevel(ES, V=blocks[:2])
    with pytest.raises(InputError, match=r"in several blocks of V.*input:1; input:2"):
        mx.Multilevel(
            ES, V=[*blocks[:2], blocks[0], *covariance_blocks([0.02] * 6, list("aabbcc"), correlation=0)]
        )
    with pytest.raises(ShapeError, match="row 5 in no block; row 6 in no block"):
        aggregate(ES, blocks=blocks[:2])
    with pytest.raises(InputError, match="row 1 in 2 blocks"):
        covariance_matrix([blocks[0], blocks[0]])


def test_only_correlations_that_are_used_are_asked_for() -> None:
    """Every cluster has one effect of each kind: the correlation within a kind is not needed."""
    v, cluster = [0.04, 0.09, 0.04], ["a", "a", "b"]
    first = covariance_blocks(v, cluster, kind=["x", "y", "x"], between_kinds=0.5)[0]
    assert first.cov[0, 1] == pytest.approx(0.5 * 0.2 * 0.3)
    same = covariance_blocks(v, cluster, kind=["x", "x", "x"], correlation=0.5)[0]
    assert same.cov[0, 1] == pytest.approx(0.03)
    with pytest.raises(MissingInputError, match="between_kinds not given"):
        covariance_blocks(v, cluster, kind=["x", "y", "x"], correlation=0.5)
    with pytest.raises(MissingInputError, match="correlation not given"):
        covariance_blocks(v, cluster, kind=["x", "x", "x"], between_kinds=0.5)


def nested(n: int = 40) -> mx.EffectSizes:
    rng = np.random.default_rng(8)
    study = np.repeat(np.arange(n // 4), 4)
    data = pd.DataFrame({"place": study % 5, "o": ["x", "y"] * (n // 2), "dose": rng.normal(size=n)})
    y = 0.2 + 0.4 * rng.normal(size=n // 4)[study] + 0.3 * rng.normal(size=n)
    return mx.EffectSizes(y, rng.uniform(0.02, 0.06, n), study=[f"s{i}" for i in study], data=data)


def test_the_likelihood_ratio_of_two_multilevel_fits() -> None:
    """Twice the difference of the likelihoods; half the chi-square tail where a variance is dropped."""
    es = nested()
    full, reduced = (mx.Multilevel(es, random).fit() for random in ("study/effect", "study"))
    test = mx.likelihood_ratio_test(full, reduced)
    assert test.statistic == pytest.approx(2 * (full.llf - reduced.llf))
    assert test.pvalue == pytest.approx(0.5 * stats.chi2.sf(test.statistic, 1))
    at_zero = mx.Multilevel(es, "study/effect", fix={"study/effect": 0.0}).fit()
    assert mx.likelihood_ratio_test(full, at_zero).pvalue == pytest.approx(test.pvalue, rel=1e-6)
    more = mx.Multilevel(es, "study/effect", moderators="dose").fit("ML")
    less = mx.Multilevel(es, "study/effect").fit("ML")
    of_dose = mx.likelihood_ratio_test(more, less)
    assert of_dose.pvalue == pytest.approx(stats.chi2.sf(2 * (more.llf - less.llf), 1))


@pytest.mark.parametrize(
    ("full", "reduced"),
    [
        (mx.RandomTerm("study", "o", "UN"), mx.RandomTerm("study", "o", "HCS")),
        (mx.RandomTerm("study", "o", "HCS"), mx.RandomTerm("study", "o", "CS")),
        (mx.RandomTerm("study", "o", "CS"), "study"),
        (mx.RandomTerm("study", "o", "CS"), mx.RandomTerm("study/o")),
        (mx.RandomTerm("study", ["1", "dose"], "GEN"), "study"),
    ],
)
def test_structures_that_hold_each_other_are_compared(full: object, reduced: object) -> None:
    es = nested()
    larger, smaller = (mx.Multilevel(es, term).fit() for term in (full, reduced))
    if larger.parameters > smaller.parameters:
        assert 0 <= mx.likelihood_ratio_test(larger, smaller).pvalue <= 1
        with pytest.raises(NotNestedError):
            mx.likelihood_ratio_test(smaller, larger)


def test_structures_that_do_not_hold_each_other_are_refused() -> None:
    es = nested()
    fit = mx.Multilevel(es, "study/effect").fit()
    with pytest.raises(NotNestedError, match="the random terms place of the second fit"):
        mx.likelihood_ratio_test(fit, mx.Multilevel(es, "place").fit())
    with pytest.raises(NotNestedError, match="one fit is multilevel and the other is not"):
        mx.likelihood_ratio_test(fit, mx.RandomEffects(es, dependence="accept").fit())
    with pytest.raises(InputError, match="robust MultilevelResults"):
        mx.likelihood_ratio_test(fit.robust(), fit)


def test_influence_of_multilevel_fits() -> None:
    es = nested()
    fit = mx.Multilevel(es, "study/effect").fit()
    by_study = fit.influence("study")
    assert by_study.labels == fit.influence().labels
    assert len(fit.influence("effect", refit=False).labels) == es.k
    pd.testing.assert_frame_equal(influence(fit).to_frame(), by_study.to_frame())
    pd.testing.assert_frame_equal(
        influence(fit, "effect", refit=False).to_frame(), fit.influence("effect", refit=False).to_frame()
    )
    assert influence(mx.RandomEffects(es, dependence="accept").fit(), "study").labels == by_study.labels
    outcomes = mx.Multilevel(es, mx.RandomTerm("study", "o", "UN")).fit().influence()
    assert np.isfinite(outcomes.cooks_distance).all()


def test_few_degrees_of_freedom_carry_a_caution() -> None:
    """Containment with a moderator of the studies: 3 studies, 2 coefficients between them: 1 df."""
    data = pd.DataFrame({"dose": [1.0, 1, 2, 2, 4, 4]})
    es = mx.EffectSizes(Y, [0.02] * 6, study=list("aabbcc"), data=data)
    fit = mx.Multilevel(es, "study/effect", moderators="dose").fit(test="t-containment")
    assert fit.to_frame()["df"].tolist() == [1.0, 1.0]
    assert "caution: intercept, dose: 1 df" in str(fit.summary())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        robust = fit.robust()
    low = (robust.df_inference < 1 - 1e-9).to_numpy()  # exactly 1 but for rounding has a p-value
    assert np.isnan(robust.pvalues.to_numpy()[low]).all()
    assert robust.cautions()
    assert all(f"caution: {text}" in str(robust) for text in robust.cautions())
    assert "df" in robust.to_frame()


def test_levels_that_are_numbers_stand_in_their_order() -> None:
    """Studies called 1 to 11 are in the order of numbers, not of letters."""
    study = [str(i) for i in range(1, 12) for _ in range(2)]
    rng = np.random.default_rng(1)
    fit = mx.Multilevel(mx.EffectSizes(rng.normal(size=22), [0.05] * 22, study=study)).fit()
    assert fit.random_effects().query("component == 'study'")["level"].tolist() == [
        str(i) for i in range(1, 12)
    ]


def test_a_level_of_a_random_term_that_reads_like_a_missing_value_is_said() -> None:
    data = pd.DataFrame({"lab": ["a", "a", "NA", "b", "b", "c"]})
    es = mx.EffectSizes([0.1, 0.5, 0.3, 0.2, 0.6, 0.4], [0.05] * 6, data=data)
    with pytest.warns(UnclearLevelWarning, match=r"'NA' is a level of lab.*input:3"):
        mx.Multilevel(es, "lab")
