"""Correlations and ranges: no dense search, which shares no code with ours, finds a higher likelihood."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize

import metaexo as mx
from metaexo.errors import NotIdentifiableError
from tests.combined import combined, some_of

FORMS = {
    "SPLIN": lambda r: np.where(r < 1, 1 - r, 0.0),
    "SPSPH": lambda r: np.where(r < 1, 1 - 1.5 * r + 0.5 * r**3, 0.0),
    "SPEXP": lambda r: np.exp(-r),
    "SPGAU": lambda r: np.exp(-(r**2)),
    "SPRAT": lambda r: 1 / (1 + r**2),
}


def minus_llf(m: np.ndarray, y: np.ndarray) -> float:
    """Minus the restricted log-likelihood of a common mean, by the definition."""
    try:
        lower = np.linalg.cholesky(m)
    except np.linalg.LinAlgError:
        return 1e6
    x, z = linalg.solve_triangular(lower, np.column_stack([np.ones(y.size), y]), lower=True).T
    total = x @ x
    rest = z - x * (x @ z / total)
    constant = (y.size - 1) * np.log(2 * np.pi) - np.log(y.size)
    return 0.5 * (constant + 2 * np.log(np.diag(lower)).sum() + np.log(total) + rest @ rest)


def over_ranges(code: str, y: np.ndarray, v: np.ndarray, distance: np.ndarray) -> float:
    """The highest likelihood on a dense grid of ranges, each with the best variance."""
    apart = np.unique(distance[distance > 0])
    inside = [np.linspace(a, b, 4, endpoint=False) for a, b in pairwise(apart)]
    ranges = np.concatenate([[apart[0] / 2], *inside, apart[-1] * np.geomspace(1, 50, 20)])
    grid, best = np.linspace(-9, 5, 8), np.inf
    for one in ranges:
        c = FORMS[code](distance / one)

        def loss(log_variance: float, c: np.ndarray = c) -> float:
            return minus_llf(np.diag(v) + np.exp(log_variance) * c, y)

        i = int(np.argmin([loss(x) for x in grid]))
        bounds = (grid[max(i - 1, 0)], grid[min(i + 1, 7)])
        best = min(best, optimize.minimize_scalar(loss, bounds=bounds, method="bounded").fun)
    return -best


@combined(code=["SPLIN", "SPSPH"], seed=range(2))
def test_no_range_between_the_distances_is_missed(code: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = 8 + seed
    place = rng.uniform(0, 10, (k, 2))
    distance = np.sqrt(((place[:, None] - place[None]) ** 2).sum(-1))
    v = rng.uniform(0.01, 0.1, k)
    y = rng.multivariate_normal(np.zeros(k), np.diag(v) + 0.4 * np.exp(-distance / 3))
    names = [f"p{i}" for i in range(k)]
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"place": names}))
    table = pd.DataFrame(distance, index=names, columns=names)
    fit = mx.Multilevel(es, mx.RandomTerm(None, "place", code, distance=table)).fit()
    assert fit.llf >= over_ranges(code, y, v, distance) - 1e-6


@pytest.mark.parametrize("code", ["SPEXP", "SPGAU", "SPRAT"])
def test_smooth_forms(code: str) -> None:
    rng = np.random.default_rng(11)
    place = rng.uniform(0, 10, (9, 2))
    distance = np.sqrt(((place[:, None] - place[None]) ** 2).sum(-1))
    v = rng.uniform(0.01, 0.1, 9)
    y = rng.multivariate_normal(np.zeros(9), np.diag(v) + 0.4 * np.exp(-distance / 3))
    names = [f"p{i}" for i in range(9)]
    es = mx.EffectSizes(y, v, data=pd.DataFrame({"place": names}))
    table = pd.DataFrame(distance, index=names, columns=names)
    fit = mx.Multilevel(es, mx.RandomTerm(None, "place", code, distance=table)).fit()
    assert fit.llf >= over_ranges(code, y, v, distance) - 1e-6


def test_a_range_without_end_is_at_its_bound() -> None:
    """A trend along a line: the farther the range, the higher the likelihood."""
    y = np.array([0.0, 1.1, 1.9, 3.0, 4.1, 4.9, 6.0])
    names = [f"p{i}" for i in range(7)]
    distance = np.abs(np.subtract.outer(np.arange(7.0), np.arange(7.0)))
    es = mx.EffectSizes(y, np.full(7, 0.01), data=pd.DataFrame({"place": names}))
    table = pd.DataFrame(distance, index=names, columns=names)
    fit = mx.Multilevel(es, mx.RandomTerm(None, "place", "SPEXP", distance=table)).fit()
    assert fit.component_values["place|all:range"] > 1e5
    assert fit.certificate.at_bound[1]
    assert fit.llf >= over_ranges("SPEXP", y, es.v, distance)
    assert "beyond all distances" in str(fit.summary())


def correlations(code: str, s: int, rho: float) -> np.ndarray:
    if code in ("CS", "HCS"):
        return (1 - rho) * np.eye(s) + rho
    steps = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    return np.where(steps % 2 == 1, np.sign(rho), 1.0) * np.abs(rho) ** steps


@pytest.mark.parametrize("seed", some_of(range(12), 4))
def test_no_dense_search_of_correlations_and_variances_finds_a_higher_likelihood(seed: int) -> None:
    """CS, HCS, AR and HAR, with correlations at their bounds and variances of 0 among those simulated."""
    rng = np.random.default_rng(seed)
    code = ("CS", "HCS", "AR", "HAR")[seed % 4]
    s = 2 + seed % 3
    least = -1 / (s - 1) if "CS" in code else -1.0
    sd = rng.uniform(0.1, 0.6, s) * rng.integers(0, 2, s) if code[0] == "H" else np.full(s, 0.4)
    rho = (least, 1.0, rng.uniform(least, 1))[seed // 4]
    g = np.outer(sd, sd) * correlations(code, s, rho)
    rows, y, blocks = [], [], []
    for i in range(8):
        some = np.sort(rng.choice(s, rng.integers(1, s + 1), replace=False)) if i > 2 else np.arange(s)
        v = np.diag(rng.uniform(0.01, 0.1, some.size))
        y.append(rng.multivariate_normal(np.zeros(some.size), g[np.ix_(some, some)] + v))
        blocks.append(v)
        rows += [(f"s{i}", j) for j in some]
    data, effects, dense = (
        pd.DataFrame(rows, columns=["study", "o"]),
        np.concatenate(y),
        linalg.block_diag(*blocks),
    )
    es = mx.EffectSizes(effects, np.diag(dense), study=data["study"].tolist(), data=data)
    fit = mx.Multilevel(es, mx.RandomTerm("study", "o", code)).fit()
    assert fit.certificate.certified
    o, same = data["o"].to_numpy(), data["study"].to_numpy()[:, None] == data["study"].to_numpy()[None, :]
    several = s if code[0] == "H" else 1

    def loss(p: np.ndarray) -> float:
        each = np.broadcast_to(p[:-1], s)
        inner = np.outer(each, each) * correlations(code, s, p[-1])
        return minus_llf(dense + same * inner[np.ix_(o, o)], effects)

    bounds = [(0.0, 5.0)] * several + [(least, 1.0)]
    found = [
        optimize.minimize(
            loss, np.append(rng.uniform(0, 0.8, several), rng.uniform(least, 1)), bounds=bounds
        ).fun
        for _ in range(6)
    ]
    assert fit.llf >= -min(found) - 1e-6


def test_a_correlation_of_outcomes_that_never_meet_is_refused() -> None:
    """R holds such a correlation at 0 and says nothing."""
    data = pd.DataFrame({"o": ["x"] * 4 + ["y"] * 4})
    es = mx.EffectSizes(np.arange(8.0), np.full(8, 0.1), study=list("aabbccdd"), data=data)
    with pytest.raises(NotIdentifiableError, match="x and y never occur in the same level"):
        mx.Multilevel(es, mx.RandomTerm("study", "o", "UN"))
