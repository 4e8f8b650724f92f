"""Covariance matrices of outcomes by moments against sums written out by study, and values of mixmeta."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, NotIdentifiableError, UnknownChoiceError

# Berkey 1998 (10.1002/(SICI)1097-0258(19981130)17:22<2537::AID-SIM953>3.0.CO;2-C): probing depth, attachment
PD, AL = [0.47, 0.20, 0.40, 0.26, 0.56], [-0.32, -0.60, -0.12, -0.31, -0.39]
VECH = np.array(
    [
        [0.0075, 0.0030, 0.0077],
        [0.0057, 0.0009, 0.0008],
        [0.0021, 0.0007, 0.0014],
        [0.0029, 0.0009, 0.0015],
        [0.0148, 0.0072, 0.0304],
    ]
)
TRIALS = 5


def trials() -> tuple[mx.EffectSizes, np.ndarray]:
    blocks = np.zeros((TRIALS, 2, 2))
    blocks[:, [0, 0, 1, 1], [0, 1, 0, 1]] = VECH[:, [0, 1, 1, 2]]
    data = pd.DataFrame(
        {
            "outcome": ["PD", "AL"] * TRIALS,
            "trial": np.repeat(list("abcde"), 2),
        }
    )
    v = np.zeros((10, 10))
    for i in range(TRIALS):
        v[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = blocks[i]
    return mx.EffectSizes(np.column_stack([PD, AL]).ravel(), np.diagonal(v), data=data), v


def scattered(outcomes: int = 3, seed: int = 4) -> tuple[mx.EffectSizes, np.ndarray]:
    """Return effects of some outcomes, not all of which every study reports, with correlated errors."""
    rng = np.random.default_rng(seed)
    m = 14
    seen = rng.random((m, outcomes)) < 0.75
    seen[:5] = True
    study, outcome = np.nonzero(seen)
    between = np.full((outcomes, outcomes), 0.15) + 0.2 * np.eye(outcomes)
    x = rng.normal(size=m)
    truth = rng.multivariate_normal(np.arange(outcomes) * 0.2, between, m) + 0.3 * x[:, None]
    v = np.zeros((study.size, study.size))
    for i in range(m):
        rows = np.flatnonzero(study == i)
        sd = np.sqrt(rng.uniform(0.01, 0.1, rows.size))
        v[np.ix_(rows, rows)] = np.outer(sd, sd) * (0.4 + 0.6 * np.eye(rows.size))
    y = truth[study, outcome] + rng.multivariate_normal(np.zeros(study.size), v)
    data = pd.DataFrame({"outcome": outcome.astype(str), "trial": study.astype(str), "x": x[study]})
    return mx.EffectSizes(y, np.diagonal(v), data=data), v


def model(es: mx.EffectSizes, v: np.ndarray, moderators: str = "0 + C(outcome)") -> mx.Multilevel:
    return mx.Multilevel(es, mx.RandomTerm("trial", "outcome", "UN"), v, moderators)


def gls(x: np.ndarray, m: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w = np.linalg.inv(m)
    cov = np.linalg.inv(x.T @ w @ x)
    return cov @ x.T @ w @ y, cov


def expanded(es: mx.EffectSizes, g: np.ndarray) -> np.ndarray:
    """Return what G adds to the covariance matrix of the effects."""
    trial = es.data["trial"].to_numpy()
    outcome = np.unique(es.data["outcome"], return_inverse=True)[1]
    return g[np.ix_(outcome, outcome)] * (trial[:, None] == trial)


def by_moments(es: mx.EffectSizes, v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return G by equating the sum of W e e' with its expectation, one entry of G at a time."""
    outcome = np.unique(es.data["outcome"], return_inverse=True)[1]
    trial = np.unique(es.data["trial"], return_inverse=True)[1]
    s = int(outcome.max()) + 1
    w = np.linalg.inv(v)
    left = np.eye(es.k) - x @ np.linalg.solve(x.T @ w @ x, x.T @ w)

    def blocks(a: np.ndarray) -> np.ndarray:
        out = np.zeros((s, s))
        for i in range(int(trial.max()) + 1):
            rows = np.flatnonzero(trial == i)
            out[np.ix_(outcome[rows], outcome[rows])] += a[np.ix_(rows, rows)]
        return out

    e = left @ es.y
    found = blocks(w @ np.outer(e, e)) - blocks(w @ left @ v @ left.T)
    columns = []
    for i in range(s):
        for j in range(s):
            unit = np.zeros((s, s))
            unit[i, j] = 1.0
            columns.append(blocks(w @ left @ expanded(es, unit) @ left.T).ravel())
    g = np.linalg.solve(np.array(columns).T, found.ravel()).reshape(s, s)
    return 0.5 * (g + g.T)


def test_values_of_mixmeta() -> None:
    """mixmeta 1.2.0: mixmeta(cbind(PD, AL), S, method = "mm") and "vc"."""
    es, v = trials()
    moments, residual = model(es, v).fit("MM", "z"), model(es, v).fit("VC", "z")
    found = moments.matrix("outcome|trial").loc[["PD", "AL"], ["PD", "AL"]].to_numpy()
    expected = [[0.0146573480209, 0.0215045677051], [0.0215045677051, 0.0577133457614]]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert moments.beta.tolist() == pytest.approx([-0.338034447815, 0.352095967240], rel=1e-10)
    assert moments.cov[1, 1] == pytest.approx(0.00405064067094, rel=1e-10)
    found = residual.matrix("outcome|trial").loc[["PD", "AL"], ["PD", "AL"]].to_numpy()
    expected = [[0.0152354253198, 0.00805495785492], [0.00805495785492, 0.0228598026673]]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert residual.beta.tolist() == pytest.approx([-0.341387607640, 0.359735514040], rel=1e-10)


@pytest.mark.parametrize("moderators", ["0 + C(outcome)", "0 + C(outcome) + C(outcome):x"])
@pytest.mark.parametrize("outcomes", [2, 3])
def test_moments_of_studies_that_miss_outcomes(moderators: str, outcomes: int) -> None:
    es, v = scattered(outcomes)
    fit = model(es, v, moderators).fit("MM")
    expected = by_moments(es, v, fit.design.matrix(es.k))
    assert np.linalg.eigvalsh(expected)[0] > 0
    np.testing.assert_allclose(fit.g[0], expected, rtol=1e-8)
    beta, cov = gls(fit.design.matrix(es.k), v + expanded(es, expected), es.y)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-8)
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-8)


@pytest.mark.parametrize("moderators", ["0 + C(outcome)", "0 + C(outcome) + C(outcome):x"])
def test_variance_components_solve_their_own_equation(moderators: str) -> None:
    """G is the mean over studies of enlarged products of residuals minus sampling covariances."""
    es, v = scattered()
    fit = model(es, v, moderators).fit("VC")
    x, g = fit.design.matrix(es.k), fit.g[0]
    m = v + expanded(es, g)
    beta, cov = gls(x, m, es.y)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-8)
    outcome = np.unique(es.data["outcome"], return_inverse=True)[1]
    total, count = np.zeros((3, 3)), np.zeros((3, 3))
    for label in es.data["trial"].unique():
        rows = np.flatnonzero(es.data["trial"] == label)
        own = np.eye(rows.size) - x[rows] @ cov @ x[rows].T @ np.linalg.inv(m[np.ix_(rows, rows)])
        values, vectors = np.linalg.eig(own)  # of the matrix as it stands, which is not symmetric
        root = (vectors / np.sqrt(values)) @ np.linalg.inv(vectors)
        e = root @ (es.y[rows] - x[rows] @ beta)
        at = np.ix_(outcome[rows], outcome[rows])
        total[at] += np.outer(e, e) - v[np.ix_(rows, rows)]
        count[at] += 1
    expected = total / count
    assert np.linalg.eigvalsh(expected)[0] > 0
    np.testing.assert_allclose(g, expected, rtol=1e-8)


def test_one_outcome_of_two_is_that_of_dersimonian_and_laird() -> None:
    """Without correlated errors the diagonal of G is the estimate of each outcome by itself."""
    es, v = scattered(2)
    fit = model(es, np.diag(np.diagonal(v))).fit("MM")
    for i, name in enumerate(("0", "1")):
        own = es.data["outcome"] == name
        alone = mx.RandomEffects(mx.EffectSizes(es.y[own], es.v[own])).fit("DL")
        assert fit.g[0][i, i] == pytest.approx(alone.tau2, rel=1e-9)


def test_other_units_of_the_outcomes() -> None:
    es, v = scattered()
    c = 1e-3
    small = mx.EffectSizes(c * es.y, c**2 * es.v, data=es.data)
    for method in ("MM", "VC"):
        one, two = model(es, v).fit(method), model(small, c**2 * v).fit(method)
        np.testing.assert_allclose(two.g[0], c**2 * one.g[0], rtol=1e-8)
        order = np.random.default_rng(0).permutation(es.k)
        mixed = mx.EffectSizes(es.y[order], es.v[order], data=es.data.iloc[order].reset_index(drop=True))
        other = model(mixed, v[np.ix_(order, order)]).fit(method)
        np.testing.assert_allclose(other.g[0], one.g[0], rtol=1e-8)


def test_a_negative_eigenvalue_becomes_zero_and_is_said() -> None:
    es, v = trials()
    still = mx.EffectSizes(np.tile([0.3, -0.3], TRIALS), es.v, data=es.data)
    for method in ("MM", "VC"):
        fit = model(still, v).fit(method)
        assert fit.tau2 == pytest.approx(0.0, abs=1e-12)
        assert "negative eigenvalue" in str(fit.summary())


def test_the_fit_answers_like_others_but_for_its_likelihood() -> None:
    es, v = scattered()
    fit = model(es, v).fit("mm")
    assert fit.method == "MM"
    assert "method of moments" in str(fit.summary())
    assert fit.heterogeneity()["low"].isna().all()
    assert len(fit.random_effects()) == len(fit.blup()) == es.k
    assert np.isfinite(fit.robust("trial").se).all()
    json.dumps(fit.to_dict(), allow_nan=False)
    table = fit.residuals("studentized", cluster="trial")
    out = es.data["trial"].to_numpy() == "3"
    other = model(es.select(~out, "left out"), v[np.ix_(~out, ~out)]).fit("MM")
    residual = es.y[out] - fit.design.matrix(es.k)[out] @ other.beta
    np.testing.assert_allclose(table["residual"][out], residual, rtol=1e-8)
    for call in (
        fit.conf_int_components,
        lambda: fit.profile("outcome|trial:tau2[0]"),
        lambda: fit.test_against(fit),
        lambda: mx.sensitivity.profile(fit, "outcome|trial:tau2[0]"),
    ):
        with pytest.raises(InputError, match="method of moments"):
            call()


def test_models_that_moments_are_not_made_for() -> None:
    es, v = scattered()
    with pytest.raises(UnknownChoiceError, match="VC"):
        model(es, v).fit("MVM")
    with pytest.raises(InputError, match="unstructured"):
        mx.Multilevel(es, "trial/effect").fit("MM")
    with pytest.raises(InputError, match="unstructured"):
        mx.Multilevel(es, mx.RandomTerm("trial", "outcome", "CS")).fit("VC")
    twice = mx.EffectSizes(
        np.tile(es.y, 2), np.tile(es.v, 2), data=pd.concat([es.data, es.data]).reset_index(drop=True)
    )
    with pytest.raises(InputError, match="several effects of one outcome"):
        model(twice, None).fit("MM")
    across = v.copy()
    across[0, -1] = across[-1, 0] = 1e-3
    with pytest.raises(InputError, match="different studies correlate"):
        model(es, across).fit("MM")
    alone = mx.EffectSizes(es.y, es.v, data=es.data.assign(x=(es.data["trial"] == "2").astype(float)))
    with pytest.raises(NotIdentifiableError, match="one study alone"):
        model(alone, v, "0 + C(outcome) + C(outcome):x").fit("VC")
    free = mx.EffectSizes(es.y, np.where(np.arange(es.k) == 0, 0.0, es.v), data=es.data)
    with pytest.raises(InputError, match="sampling covariance matrix of a study is singular"):
        model(free, None).fit("MM")
