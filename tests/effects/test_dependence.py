"""Effects of one study: covariances, averages, and regressions from correlation matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo import effects
from metaexo.effects import EffectSizes
from metaexo.errors import (
    AssumptionWarning,
    CollinearError,
    CorrelationError,
    InputError,
    MissingInputError,
    ShapeError,
    UnknownChoiceError,
)

V = [0.04, 0.09, 0.01, 0.16, 0.25]
CLUSTER = ["a", "a", "b", "a", "b"]


def test_blocks_follow_the_clusters_wherever_their_rows_stand():
    blocks = effects.covariance_blocks(V, CLUSTER, correlation=0.5)
    assert [block.cluster for block in blocks] == ["a", "b"]
    assert blocks[0].rows.tolist() == [0, 1, 3]
    whole = effects.covariance_matrix(blocks)
    assert np.diag(whole).tolist() == pytest.approx(V)
    assert whole[0, 3] == pytest.approx(0.5 * 0.2 * 0.4)
    assert whole[0, 2] == 0


def test_kinds_and_times():
    kinds, times = ["x", "y", "x", "x", "y"], [0, 0, 1, 2, 3]
    whole = effects.covariance_matrix(
        effects.covariance_blocks(
            np.ones(5), CLUSTER, kind=kinds, between_kinds=0.4, time=times, autocorrelation=0.5
        )
    )
    assert whole[0, 1] == pytest.approx(0.4)
    assert whole[0, 3] == pytest.approx(0.25)
    assert whole[1, 3] == pytest.approx(0.1)
    lasting = effects.covariance_blocks(np.ones(5), CLUSTER, time=times, autocorrelation=0.5, lasting=0.2)
    assert effects.covariance_matrix(lasting)[0, 3] == pytest.approx(0.2 + 0.8 * 0.25)


def test_what_is_not_told_is_asked_for():
    with pytest.raises(MissingInputError, match="correlation"):
        effects.covariance_blocks(V, CLUSTER)
    with pytest.raises(MissingInputError, match="between_kinds"):
        effects.covariance_blocks(V, CLUSTER, correlation=0.5, kind=list("xyxyx"))
    with pytest.raises(MissingInputError, match="autocorrelation"):
        effects.covariance_blocks(V, CLUSTER, time=range(5))
    with pytest.raises(CorrelationError, match=r"correlation = 1\.5"):
        effects.covariance_blocks(V, CLUSTER, correlation=1.5)
    with pytest.raises(InputError, match="contradict each other"):
        effects.covariance_blocks(V, CLUSTER, correlation=-0.9)
    with pytest.raises(ShapeError, match="cluster has 4"):
        effects.covariance_blocks(V, CLUSTER[:4], correlation=0.5)


@given(seed=st.integers(0, 10**6), r=st.floats(0, 0.99))
def test_the_average_of_like_effects(seed, r):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 6))
    y = rng.normal(size=m)
    es = EffectSizes(y, np.full(m, 0.2), study=["s"] * m)
    with pytest.warns(AssumptionWarning, match="1 studies"):
        one = effects.aggregate(es, correlation=r)
    assert one.y[0] == pytest.approx(y.mean())
    assert one.v[0] == pytest.approx(0.2 * (1 + (m - 1) * r) / m)
    with pytest.warns(AssumptionWarning):
        plain = effects.aggregate(es, correlation=r, weighted=False)
    assert plain.v[0] == pytest.approx(one.v[0])


def test_single_effects_pass_through_with_their_marks_and_constant_columns_stay():
    data = pd.DataFrame({"source": ["plant", "urine", "plant"], "outcome": ["a", "b", "c"]})
    es = EffectSizes([0.1, 0.2, 0.4], [0.04, 0.01, 0.04], study=["x", "y", "x"], data=data, oriented=True)
    with pytest.warns(AssumptionWarning):
        one = effects.aggregate(es, correlation=0.6)
    assert one.study == ("x", "y")
    assert list(one.data.columns) == ["source"]
    assert one.oriented
    assert [mark.how for mark in one.derived] == ["assumed", "reported"]
    assert one.y[1] == 0.2
    alone = EffectSizes([0.1], [0.04], study=["x"])
    assert effects.aggregate(alone, correlation=0.6).y.tolist() == [0.1]


def test_correlations_of_unrelated_variables_are_unrelated():
    y, cov = effects.covariance_of_correlations(np.eye(4), 51)
    assert (y == 0).all()
    assert cov == pytest.approx(np.eye(6) / 50)
    _, z = effects.covariance_of_correlations(np.eye(4), 51, fisher_z=True)
    assert z == pytest.approx(np.eye(6) / 48)


def test_the_covariance_of_correlations_by_simulation():
    r = np.array([[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]])
    rng = np.random.default_rng(5)
    n, draws = 200, 4000
    x = rng.standard_normal((draws, n, 3)) @ np.linalg.cholesky(r).T
    x = x - x.mean(axis=1, keepdims=True)
    s = np.einsum("dni,dnj->dij", x, x)
    root = np.sqrt(np.einsum("dii->di", s))
    sample = s / root[:, :, None] / root[:, None, :]
    pairs = np.stack([sample[:, 0, 1], sample[:, 0, 2], sample[:, 1, 2]], axis=1)
    _, cov = effects.covariance_of_correlations(r, n)
    scale = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    assert np.cov(pairs.T) / scale == pytest.approx(cov / scale, abs=4 * np.sqrt(2 / draws))


@given(seed=st.integers(0, 10**6))
def test_a_regression_from_the_covariances_is_that_of_the_people(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 2))
    y = 1 + x @ [0.5, -0.2] + rng.normal(size=30)
    table = np.column_stack([y, x])
    names = ["y", "a", "b"]
    fit = effects.regression_from_matrix(
        np.cov(table.T), "y", ["a", "b"], names, n=30, means=table.mean(axis=0)
    )
    design = np.column_stack([np.ones(30), x])
    beta, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
    cov = np.linalg.inv(design.T @ design) * float(rss[0]) / 27
    assert fit.names == ("intercept", "a", "b")
    assert fit.estimate == pytest.approx(beta, rel=1e-8)
    assert fit.cov == pytest.approx(cov, rel=1e-8, abs=1e-12)
    assert fit.f_df == (2, 27)
    r = np.corrcoef(table.T)
    plain = effects.regression_from_matrix(r, "y", ["a", "b"], names, n=30)
    assert plain.r2 == pytest.approx(fit.r2)
    _, errors = effects.covariance_of_correlations(r, 30)
    wald = effects.regression_from_matrix(r, "y", ["a", "b"], names, errors=errors)
    assert wald.estimate == pytest.approx(plain.estimate)
    numeric = effects.delta_method(
        r[np.triu_indices(3, 1)],
        errors,
        lambda ya, yb, ab: np.linalg.solve([[1, ab], [ab, 1]], [ya, yb]),
    )
    assert wald.cov == pytest.approx(numeric.cov, rel=1e-6, abs=1e-12)


def test_a_matrix_of_covariances_has_used_a_degree_of_freedom_for_the_means():
    # R, lm(mpg ~ hp + wt + am, mtcars) and, for the correlations, lm of scaled variables without intercept;
    # metafor's matreg gives the same
    names = ["mpg", "hp", "wt", "am"]
    cov = np.array(
        [
            [36.3241028225806, -320.732056451613, -5.11668467741935, 1.80393145161290],
            [-320.732056451613, 4700.86693548387, 44.1926612903226, -8.32056451612903],
            [-5.11668467741935, 44.1926612903226, 0.957378967741935, -0.338104838709677],
            [1.80393145161290, -8.32056451612903, -0.338104838709677, 0.248991935483871],
        ]
    )
    fit = effects.regression_from_matrix(cov, "mpg", names[1:], names, n=32)
    assert fit.f_df == (3, 28)
    assert fit.se == pytest.approx([0.009605422, 0.904970538, 1.376420152], rel=1e-7)
    means = [20.090625, 146.6875, 3.21725, 0.40625]
    whole = effects.regression_from_matrix(cov, "mpg", names[1:], names, n=32, means=means)
    assert whole.se[1:] == pytest.approx(fit.se, rel=1e-12)
    assert [whole.estimate[0], whole.se[0]] == pytest.approx([34.00287512, 2.642659337], rel=1e-7)
    assert whole.r2_adjusted == pytest.approx(fit.r2_adjusted, rel=1e-12)
    root = np.sqrt(np.diag(cov))
    plain = effects.regression_from_matrix(cov / np.outer(root, root), "mpg", names[1:], names, n=32)
    assert plain.f_df == (3, 29)
    assert plain.se == pytest.approx([0.1073712, 0.1443640, 0.1119763], rel=1e-6)
    with pytest.raises(InputError, match="residual degrees of freedom"):
        effects.regression_from_matrix(cov, "mpg", names[1:], names, n=4)


def test_refusals_of_matrices():
    r = np.array([[1, 0.5, 0.5], [0.5, 1, 1], [0.5, 1, 1]])
    with pytest.raises(CollinearError, match="linear combinations"):
        effects.regression_from_matrix(r, "y", ["a", "b"], ["y", "a", "b"], n=20)
    with pytest.raises(MissingInputError, match="neither n nor the errors"):
        effects.regression_from_matrix(np.eye(2), "y", ["a"], ["y", "a"])
    with pytest.raises(UnknownChoiceError, match="variable 'z'"):
        effects.regression_from_matrix(np.eye(2), "y", ["z"], ["y", "a"], n=20)
    with pytest.raises(ShapeError, match="square and symmetric"):
        effects.covariance_of_correlations([[1, 0.5], [0.4, 1]], 20)
    with pytest.raises(ShapeError, match="one row a pair"):
        effects.regression_from_matrix(np.eye(2), "y", ["a"], ["y", "a"], errors=np.eye(3))
