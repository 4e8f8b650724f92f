"""Cluster-robust covariance matrices: the definitions with full matrices, and what they imply."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors
from metaexo.models.sandwich import KINDS, cluster_sandwich

RNG = np.random.default_rng(2)
SIZES = (3, 1, 4, 2, 5, 1, 3, 2)
LABELS = np.repeat([f"s{g}" for g in range(len(SIZES))], SIZES)
N = LABELS.size
X = np.column_stack([np.ones(N), RNG.normal(size=N), RNG.uniform(size=N)])
Y = X @ [0.3, 0.2, -0.1] + RNG.normal(size=N)
ROWS = [np.flatnonzero(label == LABELS) for label in dict.fromkeys(LABELS)]
SAME = LABELS[:, None] == LABELS


def blocks(seed: int = 0) -> np.ndarray:
    """Return a working covariance with dependence inside clusters."""
    scale = np.random.default_rng(seed).uniform(0.3, 1.0, N)
    return np.where(SAME, 0.4, 0.0) * np.sqrt(np.outer(scale, scale)) + np.diag(0.6 * scale)


def pieces(s: np.ndarray):
    w = np.linalg.inv(s)
    m = np.linalg.inv(X.T @ w @ X)
    return w, m, np.eye(N) - X @ m @ X.T @ w


def adjustment(kind: str, s: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return A_g by its definition."""
    w, m, residual_maker = pieces(s)
    part = np.ix_(rows, rows)
    g, p = len(ROWS), X.shape[1]
    if kind == "CR2":
        d = np.linalg.cholesky(s[part]).T
        b = d @ residual_maker[rows] @ s @ residual_maker[rows].T @ d.T
        values, vectors = np.linalg.eigh(b)
        keep = values > 1e-10
        root = vectors[:, keep] / np.sqrt(values[keep]) @ vectors[:, keep].T
        return d.T @ root @ d
    if kind == "CR3":
        return np.linalg.inv(np.eye(rows.size) - X[rows] @ m @ X[rows].T @ w[part])
    factor = {"CR1": g / (g - 1), "CR1p": g / (g - p), "CR1S": g * (N - 1) / ((g - 1) * (N - p))}
    return np.sqrt(factor.get(kind, 1.0)) * np.eye(rows.size)


def loadings(kind: str, s: np.ndarray) -> list[np.ndarray]:
    """Return the matrices (p, N) that take y to the contribution of each cluster."""
    w, m, residual_maker = pieces(s)
    return [m @ X[r].T @ w[np.ix_(r, r)] @ adjustment(kind, s, r) @ residual_maker[r] for r in ROWS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_matrix_follows_its_definition(kind: str) -> None:
    s = blocks()
    residuals = pieces(s)[2] @ Y
    made = cluster_sandwich(X, residuals, ROWS, [s[np.ix_(r, r)] for r in ROWS], kind)
    by_hand = sum(np.outer(t @ Y, t @ Y) for t in loadings(kind, s))
    np.testing.assert_allclose(made.cov, by_hand, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_degrees_of_freedom_match_mean_and_variance_of_the_quadratic_form(kind: str) -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS], kind)
    c = np.array([0.3, -1.0, 2.0])
    form = sum(np.outer(t.T @ c, t.T @ c) for t in loadings(kind, s))
    mean, variance = np.trace(form @ s), 2 * np.trace(form @ s @ form @ s)
    assert made.satterthwaite(c[None])[0] == pytest.approx(2 * mean**2 / variance, rel=1e-9)
    # the joint test of one combination has the same degrees of freedom, whatever its length
    assert made.hotelling(7 * c[None]) == pytest.approx(2 * mean**2 / variance, rel=1e-9)


def test_the_joint_test_does_not_depend_on_how_combinations_are_written() -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS])
    rows = np.eye(3)[1:]
    assert made.hotelling(np.array([[2.0, 1.0], [-1.0, 3.0]]) @ rows) == pytest.approx(
        made.hotelling(rows), rel=1e-9
    )


def test_cr2_is_unbiased_under_the_working_model() -> None:
    s = blocks()
    made = cluster_sandwich(X, pieces(s)[2] @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS])
    np.testing.assert_allclose(made.mean(np.eye(3)), pieces(s)[1], rtol=1e-9)


def test_cr3_is_the_jackknife_over_clusters() -> None:
    s = blocks()
    w, m, residual_maker = pieces(s)
    made = cluster_sandwich(X, residual_maker @ Y, ROWS, [s[np.ix_(r, r)] for r in ROWS], "CR3")
    b = m @ X.T @ w @ Y
    moved = []
    for rows in ROWS:
        kept = np.setdiff1d(np.arange(N), rows)
        part = w[np.ix_(kept, kept)]
        moved.append(np.linalg.solve(X[kept].T @ part @ X[kept], X[kept].T @ part @ Y[kept]) - b)
    np.testing.assert_allclose(made.cov, np.array(moved).T @ np.array(moved), rtol=1e-9)


def test_a_diagonal_can_be_given_as_such() -> None:
    v = np.linspace(0.5, 2.0, N)
    residuals = pieces(np.diag(v))[2] @ Y
    short = cluster_sandwich(X, residuals, ROWS, [v[r] for r in ROWS])
    full = cluster_sandwich(X, residuals, ROWS, [np.diag(v[r]) for r in ROWS])
    np.testing.assert_allclose(short.cov, full.cov, rtol=1e-12)


LABS = np.repeat([f"lab{g}" for g in range(14)], [3, 1, 4, 2, 2, 1, 3, 2, 2, 1, 1, 3, 2, 2])
K = LABS.size
DATA = pd.DataFrame({"lab": LABS, "dose": np.tile([1.0, 3.0, 2.0, 4.0], K)[:K]})
ES = mx.EffectSizes(RNG.normal(0.5, 0.6, K), RNG.uniform(0.1, 0.4, K), study=LABS, data=DATA)


def fit(text: str | None = "dose"):
    return mx.RandomEffects(ES, text, dependence="accept").fit(test="z")


def test_a_robust_fit_keeps_the_coefficients_and_tells_its_tests() -> None:
    base = fit()
    robust = base.robust()
    np.testing.assert_array_equal(robust.beta, base.beta)
    t = robust.params["dose"] / robust.bse["dose"]
    assert robust.pvalues["dose"] == pytest.approx(2 * stats.t.sf(abs(t), robust.df[1]), rel=1e-10)
    half = stats.t.ppf(0.95, robust.df[1]) * robust.bse["dose"]
    bounds = robust.conf_int(0.9).loc["dose"]
    assert bounds["high"] - bounds["low"] == pytest.approx(2 * half, rel=1e-10)
    found = robust.contrast({"intercept": 1, "dose": 2})
    assert found.df[0] == pytest.approx(robust.df_of(np.array([[1.0, 2.0]]))[0])
    assert robust.moderator_test.statistic == pytest.approx(t**2, rel=1e-9)
    assert "14 clusters" in repr(robust)
    assert "robust SE" in str(robust)
    assert "CR2 standard errors" in robust.to_html()


def test_clusters_can_be_named_in_three_ways() -> None:
    base = fit()
    by_study, by_column, by_label = base.robust(), base.robust("lab"), base.robust(list(LABS))
    np.testing.assert_array_equal(by_study.cov, by_column.cov)
    np.testing.assert_array_equal(by_study.cov, by_label.cov)


def test_order_of_rows_does_not_matter() -> None:
    order = np.random.default_rng(1).permutation(K)
    es = mx.EffectSizes(
        ES.y[order], ES.v[order], study=LABS[order], data=DATA.iloc[order].reset_index(drop=True)
    )
    moved = mx.RandomEffects(es, "dose", dependence="accept").fit(test="z").robust()
    robust = fit().robust()
    np.testing.assert_allclose(moved.cov, robust.cov, rtol=1e-9)
    np.testing.assert_allclose(moved.df, robust.df, rtol=1e-9)


def test_plain_kinds_have_clusters_minus_coefficients() -> None:
    zero, one = fit().robust(kind="CR0"), fit().robust(kind="CR1p")
    np.testing.assert_allclose(one.cov, zero.cov * 14 / 12, rtol=1e-12)
    np.testing.assert_array_equal(zero.df, [12, 12])
    assert zero.moderator_test.df == (1, 12)
    assert fit().robust(kind="CR1S", freedom="satterthwaite").df[0] != 12


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"kind": "CR4"}, errors.UnknownChoiceError, "CR2"),
        ({"freedom": "all"}, errors.UnknownChoiceError, "satterthwaite"),
        ({"cluster": "labb"}, errors.UnknownChoiceError, "lab"),
        ({"cluster": ["a"] * K}, errors.NotIdentifiableError, "1 clusters"),
        ({"cluster": ["a"]}, errors.ShapeError, "1 entries"),
        ({"cluster": [None, *LABS[1:]]}, errors.InputError, "no cluster"),
        ({"cluster": ["a"] * 9 + ["b"] * 20, "kind": "CR0"}, errors.InputError, "degrees of freedom"),
        ({"cluster": ["a"] * 9 + ["b"] * 20, "kind": "CR1p"}, errors.NotIdentifiableError, "2 clusters"),
    ],
)
def test_what_cannot_be_done_is_said(call: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fit().robust(**call)


def test_cr3_needs_every_coefficient_without_any_one_cluster() -> None:
    data = DATA.assign(first=(LABS == "lab0") * 1.0)
    es = mx.EffectSizes(ES.y, ES.v, study=LABS, data=data)
    base = mx.RandomEffects(es, "first", dependence="accept").fit()
    with pytest.raises(errors.NotIdentifiableError, match="CR3"):
        base.robust(kind="CR3")


def test_few_degrees_of_freedom_warn() -> None:
    cluster = ["a"] * 9 + ["b"] * 10 + ["c"] * 10
    with pytest.warns(errors.FewStudiesWarning, match="fewer than 4"):
        found = fit(None).robust(cluster)
    assert found.df[0] < 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joint = fit("dose + I(dose^2)").robust(["a"] * 9 + ["b"] * 10 + ["c"] * 10).contrast(np.eye(3)).joint
    assert np.isnan(joint.pvalue)
    assert "too few clusters" in joint.null
