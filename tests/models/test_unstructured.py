"""Unstructured covariance matrices: maxima at the boundary of what they can be, and none that is higher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import metaexo as mx
from metaexo.numeric.mixed.likelihood import evaluate
from metaexo.numeric.mixed.structured import _chart, _Cone
from tests.combined import some_of

CRAFT = json.loads((Path(__file__).parent / "craft2003.json").read_text())


def craft() -> mx.Multilevel:
    blocks = [np.array(block) for block in CRAFT["V"]]
    data = pd.DataFrame({"pair": CRAFT["pair"]})
    es = mx.EffectSizes(
        CRAFT["yi"], np.concatenate([np.diag(b) for b in blocks]), study=CRAFT["study"], data=data
    )
    return mx.Multilevel(es, mx.RandomTerm("study", "pair", "UN"), V=blocks, moderators="0 + pair")


def test_a_singular_matrix_is_a_maximum_as_in_r() -> None:
    """dat.craft2003 of metadat; rma.mv (metafor 3.8-1) with struct="UN" and REML."""
    fit = craft().fit()
    assert fit.llf == pytest.approx(20.256794408, abs=2e-9)
    variances = fit.components["estimate"].to_numpy()[:6]
    order = np.argsort(fit.terms[0].inner)
    right = {
        "acog.asom": 0.56714492,
        "acog.conf": -0.48882820,
        "acog.perf": -0.06001592,
        "asom.conf": -0.47499163,
        "asom.perf": -0.14233987,
        "conf.perf": 0.31672105,
    }
    assert list(fit.params) == pytest.approx(list(right.values()), abs=2e-5)
    tau2 = [0.004663419, 0.012517235, 0.161124823, 0.011071403, 0.060448155, 0.046781370]
    assert variances[order] == pytest.approx(tau2, abs=3e-6)
    g = fit.g[0]
    values, vectors = np.linalg.eigh(g)
    assert (values < 1e-12).sum() == 2  # rank 4 of 6
    # conditions of Karush, Kuhn and Tucker: S G = 0, and the likelihood falls along every null direction
    score = evaluate(fit.problem, fit.maximum.theta, True).scores[0]
    assert np.abs(score @ g).max() < 1e-6
    empty = vectors[:, :2]
    assert np.linalg.eigvalsh(empty.T @ score @ empty).max() < 0
    assert fit.certificate.certified
    assert "rank 4 of 6" in str(fit.summary())


def simulated(seed: int) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray]]:
    """Studies with 2 to s of s outcomes, whose effects correlate by a matrix of any rank."""
    rng = np.random.default_rng(seed)
    s = 3 + seed % 4
    factor = rng.normal(size=(s, max(seed % (s + 1), 1))) * rng.uniform(0.05, 0.5, size=(s, 1))
    g = factor @ factor.T * (seed % (s + 1) > 0)
    rows, y, blocks = [], [], []
    for i in range(int(rng.integers(s + 2, 14))):
        n = int(rng.integers(2, s + 1))
        some = np.sort(rng.choice(s, n, replace=False))
        sd = np.sqrt(rng.uniform(0.01, 0.1, n))
        v = np.outer(sd, sd) * (0.5 + 0.5 * np.eye(n))
        y.append(rng.multivariate_normal(0.3 * some, g[np.ix_(some, some)] + v))
        blocks.append(v)
        rows += [(f"s{i:02d}", f"o{j}") for j in some]
    return pd.DataFrame(rows, columns=["study", "outcome"]), np.concatenate(y), blocks


def highest(data: pd.DataFrame, y: np.ndarray, blocks: list[np.ndarray], restricted: bool) -> float:
    """The highest log-likelihood of dense matrices from several random starts, by BFGS."""
    study = data["study"].to_numpy()
    same = (study[:, None] == study[None, :]).astype(float)
    z = (data["outcome"].to_numpy()[:, None] == np.unique(data["outcome"])[None, :]).astype(float)
    v = np.zeros((y.size, y.size))
    at = 0
    for block in blocks:
        v[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    k, s = z.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        a = flat.reshape(s, s)
        m = v + same * (z @ a @ a.T @ z.T)
        inverse = np.linalg.inv(m)
        information = z.T @ inverse @ z
        p = inverse - inverse @ z @ np.linalg.solve(information, z.T @ inverse)
        r = p @ y
        value = 0.5 * ((k - s * restricted) * np.log(2 * np.pi) + np.linalg.slogdet(m)[1] + y @ r)
        if restricted:
            value += 0.5 * (np.linalg.slogdet(information)[1] - np.linalg.slogdet(z.T @ z)[1])
        change = (np.outer(r, r) - (p if restricted else inverse)) * same
        return float(value), -(z.T @ change @ z @ a).ravel()

    rng = np.random.default_rng(7)
    found = [
        optimize.minimize(loss, rng.normal(size=s * s) * scale, jac=True, method="BFGS").fun
        for scale in (0.05, 0.3, 0.3, 1.0)
    ]
    return -min(found)


@pytest.mark.parametrize("seed", some_of(range(10), 3))
def test_no_dense_search_finds_a_higher_likelihood(seed: int) -> None:
    data, y, blocks = simulated(seed)
    es = mx.EffectSizes(
        y, np.concatenate([np.diag(b) for b in blocks]), study=data["study"].tolist(), data=data
    )
    model = mx.Multilevel(es, mx.RandomTerm("study", "outcome", "UN"), V=blocks, moderators="0 + outcome")
    method = ("REML", "ML")[seed % 2]
    fit = model.fit(method)
    assert fit.certificate.certified
    assert fit.llf >= highest(data, y, blocks, method == "REML") - 1e-6


@pytest.mark.parametrize("restricted", [True, False])
def test_second_derivatives_are_differences_of_the_gradient(restricted: bool) -> None:
    """The observed information in closed form, with a term of another grouping beside the matrix."""
    data, y, blocks = simulated(5)
    data["group"] = np.arange(y.size) % 4
    es = mx.EffectSizes(
        y, np.concatenate([np.diag(b) for b in blocks]), study=data["study"].tolist(), data=data
    )
    terms = [mx.RandomTerm("study", "outcome", "UN"), "group"]
    problem = mx.Multilevel(es, terms, V=blocks, moderators="0 + outcome").problem
    cone = _Cone(problem, restricted, {}, [_chart(problem, 0, {}), None])
    theta = np.abs(np.random.default_rng(1).normal(size=cone.scale.size))
    at = cone(theta)
    step = 1e-6 * np.eye(theta.size)
    differences = np.array([cone(theta - h).gradient - cone(theta + h).gradient for h in step]) / 2e-6
    assert at.observed is not None
    assert at.observed() == pytest.approx(differences, abs=1e-6 * np.abs(differences).max())


def test_two_outcomes_with_a_perfect_correlation() -> None:
    """One effect of the study for both outcomes: G has rank 1, and the correlation is exactly 1 or -1."""
    for sign in (1.0, -1.0):
        u = np.array([-0.9, -0.5, 0.1, 0.4, 0.8, 1.1])
        y = np.column_stack([u, sign * 2 * u]).ravel()
        data = pd.DataFrame({"study": np.repeat(list("abcdef"), 2), "outcome": list("xy") * 6})
        es = mx.EffectSizes(y, np.full(12, 0.02), study=data["study"].tolist(), data=data)
        fit = mx.Multilevel(es, mx.RandomTerm("study", "outcome", "UN"), moderators="0 + outcome").fit()
        assert fit.component_values["outcome|study:rho[x,y]"] == sign


def test_profiles_and_predictions_of_a_singular_fit() -> None:
    """The profile interval of a variance of a singular matrix holds the estimate; BLUPs exist."""
    fit = craft().fit()
    bounds = fit.conf_int_components(["pair|study:tau2[acog.conf]"]).iloc[0]
    assert bounds["low"] < bounds["estimate"] < bounds["high"]
    effects = fit.random_effects()
    assert np.isfinite(effects["estimate"]).all()
    assert (effects["se"] >= 0).all()
