"""Robust variance estimation by moments: expectations of quadratic forms, and special cases."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import (
    FewStudiesWarning,
    InputError,
    NearlyCollinearWarning,
    NotIdentifiableError,
    RowsLeftOutWarning,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.models.multilevel.moments import _Forms


@pytest.fixture(scope="module")
def es() -> mx.EffectSizes:
    rng = np.random.default_rng(6)
    study = np.sort(rng.integers(0, 12, 40))
    v = rng.uniform(0.02, 0.1, 40)
    y = 0.4 + 0.4 * rng.normal(size=12)[study] + np.sqrt(v) * rng.normal(size=40)
    return mx.EffectSizes(y, v, study=[str(s) for s in study])


def test_expectations_are_those_of_dense_matrices(es: mx.EffectSizes) -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(40), rng.normal(size=40)])
    w = rng.uniform(1, 3, 40)
    names = np.array(es.study)
    label = np.unique(names, return_inverse=True)[1]
    own, shared = rng.uniform(0.5, 2, 40), rng.uniform(-0.1, 1, label.max() + 1)
    same = (names[:, None] == names).astype(float)
    cov = np.diag(own) + same * shared[label]
    left = np.eye(40) - x @ np.linalg.inv(x.T @ (w[:, None] * x)) @ (x * w[:, None]).T
    spread = left @ cov @ left.T
    forms = _Forms(x, w, label)
    # (I - H)' W (I - H) = W (I - H), so the weighted form may use either
    assert forms.weighted(own, shared) == pytest.approx(np.trace(np.diag(w) @ spread), rel=1e-10)
    assert forms.summed(own, shared) == pytest.approx((same * spread).sum(), rel=1e-10)


def test_one_effect_a_study_has_no_use_for_the_correlation() -> None:
    rng = np.random.default_rng(3)
    one = mx.EffectSizes(rng.normal(size=10), rng.uniform(0.05, 0.2, 10))
    low, high = mx.robust_variance(one, correlation=0.0), mx.robust_variance(one, correlation=0.9)
    assert low.beta[0] == pytest.approx(high.beta[0], rel=1e-12)
    assert low.tau2 == pytest.approx(mx.RandomEffects(one).fit("DL").tau2, rel=1e-10)


def test_both_working_models_have_robust_errors(es: mx.EffectSizes) -> None:
    for working in ("correlated", "hierarchical"):
        fit = mx.robust_variance(es, working)
        assert fit.tau2 >= 0
        assert fit.df_inference.iloc[0] < 12
        assert fit.conf_int()["low"].iloc[0] < fit.beta[0]
    assert mx.robust_variance(es, "hierarchical").correlation is None


def test_refusals(es: mx.EffectSizes) -> None:
    with pytest.raises(InputError):
        mx.robust_variance(es, correlation=1.2)
    with pytest.raises(TooFewStudiesError):
        mx.robust_variance(es, cluster=["a"] * 40)


def test_the_working_model_is_a_fit_like_the_others(es: mx.EffectSizes) -> None:
    fit = mx.robust_variance(es, "hierarchical")
    assert fit.tau2 == sum(fit.variances.values())
    equal = mx.RandomEffects(es, dependence="accept").fit("EE", test="z")
    assert fit.q.statistic == pytest.approx(equal.q.statistic, rel=1e-10)
    typical = mx.RandomEffects(es, dependence="accept").fit().typical_variance
    assert fit.i2 == pytest.approx(fit.tau2 / (fit.tau2 + typical), rel=1e-10)
    row = fit.predict().iloc[0]
    assert row["prediction_se"] ** 2 == pytest.approx(fit.se[0] ** 2 + fit.tau2)
    assert fit.residuals()["residual"].to_numpy() == pytest.approx(es.y - fit.beta[0])
    assert "working model: hierarchical effects" in str(fit.summary())
    with pytest.warns(FewStudiesWarning):
        few = mx.robust_variance(es.select(range(12), "few"))
    assert "assumed correlation 0.8" in str(few.summary())
    assert np.isnan(few.q.pvalue)
    with pytest.raises(InputError, match="has no likelihood"):
        mx.compare(few)


def test_the_weights_stay_where_another_adjustment_is_asked(es: mx.EffectSizes) -> None:
    fit = mx.robust_variance(es)
    again = fit.robust(kind="CR1p")
    other = mx.robust_variance(es, kind="CR1p")
    np.testing.assert_array_equal(again.beta, fit.beta)
    np.testing.assert_allclose(again.se, other.se, rtol=1e-12)


@pytest.mark.parametrize(("working", "random"), [("correlated", "study"), ("hierarchical", "study/effect")])
def test_residuals_are_those_of_a_multilevel_fit_with_the_same_variances_and_weights(
    es: mx.EffectSizes, working: str, random: str
) -> None:
    x = np.linspace(-1, 1, es.k)
    fit = mx.robust_variance(es, working, moderators=x)
    blocks = mx.effects.covariance_blocks(es.v, es.study, correlation=fit.correlation or 0.0)
    held = dict(zip(("study", "study/effect"), fit.variances.values(), strict=False))
    model = mx.Multilevel(es, random, V=blocks, moderators=x, fix=held, weights=fit.weighting).fit()
    for kind in ("standardized", "pearson"):
        np.testing.assert_allclose(fit.residuals(kind), model.residuals(kind), rtol=1e-10)
    np.testing.assert_array_equal(fit.residuals(), fit.residuals("standardized"))
    with pytest.raises(UnknownChoiceError, match="'standardized', 'pearson'"):
        fit.residuals("studentized")


BCG = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def test_rows_without_a_moderator_are_left_out_if_asked(es: mx.EffectSizes) -> None:
    x = np.linspace(-1, 1, es.k)
    lost = np.where(np.arange(es.k) == 7, np.nan, x)
    keep = np.arange(es.k) != 7
    wanted = mx.robust_variance(es.select(keep, "gap"), moderators=x[keep])
    for cluster in (None, list(es.study)):
        with pytest.warns(RowsLeftOutWarning, match="1 of 40 rows has no value of moderators and is left"):
            fit = mx.robust_variance(es, moderators=lost, cluster=cluster, missing="drop")
        np.testing.assert_array_equal(fit.beta, wanted.beta)
        np.testing.assert_array_equal(fit.se, wanted.se)
        assert len(fit.ledger.left_out) == 1
    for call in (mx.robust_variance, mx.correlated_effects, mx.rho_sweep, mx.Multilevel):
        with pytest.raises(InputError, match='missing="drop" in the call that makes the model') as caught:
            call(es, moderators=lost)
        assert "Multilevel(" not in str(caught.value)


def test_warnings_point_to_the_line_of_the_caller(es: mx.EffectSizes) -> None:
    x = np.linspace(-1, 1, es.k)
    near = np.column_stack([x, x + 1e-6 * np.cos(9 * x)])
    lost = np.where(np.arange(es.k) == 7, np.nan, x)
    few = es.select(range(12), "few")
    calls = {
        NearlyCollinearWarning: (
            lambda: mx.RandomEffects(es, near, dependence="accept"),
            lambda: mx.Multilevel(es, moderators=near),
            lambda: mx.correlated_effects(es, moderators=near),
            lambda: mx.robust_variance(es, moderators=near),
        ),
        RowsLeftOutWarning: (
            lambda: mx.correlated_effects(es, moderators=lost, missing="drop"),
            lambda: mx.rho_sweep(es, [0.5], moderators=lost, missing="drop"),
            lambda: mx.robust_variance(es, moderators=lost, missing="drop"),
        ),
        FewStudiesWarning: (
            lambda: mx.robust_variance(few),
            lambda: mx.rho_sweep(few, [0.5]),
            lambda: mx.Multilevel(few).fit().robust(),
        ),
    }
    for category, made in calls.items():
        for call in made:
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                call()
            where = {one.filename for one in found if one.category is category}
            assert where == {__file__}


def test_one_effect_per_study_has_no_correlated_effects() -> None:
    for call in (mx.correlated_effects, mx.rho_sweep):
        with pytest.raises(NotIdentifiableError, match="each study has one effect") as caught:
            call(BCG)
        assert "metaexo.RandomEffects(effects" in str(caught.value)


@pytest.mark.parametrize("structure", ["HCS", "DIAG", "UN"])
def test_a_total_that_is_an_average_says_so(structure: str) -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"outcome": ["a", "b"] * 12})
    y = np.repeat(rng.normal(size=12), 2) + rng.normal(size=24) * np.tile([0.2, 0.8], 12)
    two = mx.EffectSizes(y, np.full(24, 0.02), study=[str(i // 2) for i in range(24)], data=data)
    fit = mx.Multilevel(two, mx.RandomTerm("study", "outcome", structure)).fit()
    assert fit.tau2 == pytest.approx(fit.heterogeneity(method=None)["tau2"].mean())
    assert "in total, averaged over the effects: tau2" in str(fit.summary())
    assert "in total: tau2" in str(mx.Multilevel(two).fit().summary())


def test_one_of_a_kind_is_singular_and_the_remedies_work() -> None:
    one = mx.EffectSizes([0.3], [0.1])
    with pytest.raises(
        TooFewStudiesError, match=r"^1 cluster for 1 coefficient;.*describe the one by itself"
    ):
        mx.robust_variance(one)
    with pytest.raises(TooFewStudiesError, match=r"^1 effect for 1 coefficient;.*report it as it is"):
        mx.Multilevel(one)
    factor = pd.DataFrame({"g": list("abc")})
    levels = mx.EffectSizes([0.3, 0.1, 0.5], [0.1] * 3, data=factor)
    with pytest.raises(TooFewStudiesError, match="fewer levels or moderators") as caught:
        mx.RandomEffects(levels, "g").fit()
    assert "one effect" not in str(caught.value)
    mx.RandomEffects(levels, "g").fit("EE")  # what the error says can be done
    zero = mx.EffectSizes([0.3, 0.1, 0.5], [0.0, 0.1, 0.1])
    with pytest.raises(InputError, match="1 sampling variance is zero, and EE divides by it;"):
        mx.RandomEffects(zero).fit("EE")
    for call in (mx.robust_variance, mx.LocationScale):
        with pytest.raises(InputError, match="1 sampling variance is zero;"):
            call(zero)
    assert "input: 1 row, 1 used" in str(mx.RandomEffects(one).fit("EE").summary())


def test_a_blank_cluster_is_a_cluster_that_is_missing() -> None:
    data = pd.DataFrame({"lab": ["a", "a", "b", "", "c", "c"]})
    six = mx.EffectSizes(np.arange(6.0), np.ones(6), data=data)
    with pytest.raises(InputError, match="needed: a cluster for every effect"):
        mx.RandomEffects(six).fit().robust("lab")


def test_hierarchical_effects_need_clusters_of_several_effects():
    """Where every cluster holds one effect, only the sum of the two variances is estimable."""
    es = mx.EffectSizes(np.linspace(0.1, 1.2, 9), np.full(9, 0.02), study=list("abcdefghi"))
    with pytest.raises(NotIdentifiableError, match="not separately estimable"):
        mx.robust_variance(es, "hierarchical")
    assert mx.robust_variance(es, "correlated").tau2 > 0
