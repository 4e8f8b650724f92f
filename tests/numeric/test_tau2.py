"""Estimators of tau2 against dense matrix algebra, against each other, and against their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from metaexo.numeric.estimators import ESTIMATORS
from metaexo.numeric.likelihood import log_likelihood, upper_bound
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tau2 import Tau2

ALL = sorted(ESTIMATORS)
ITERATED = ["ML", "PM", "PMM", "REML"]


def solve(
    method: str, y: np.ndarray, v: np.ndarray, x: np.ndarray | None = None, n: np.ndarray | None = None
) -> Tau2:
    """Estimate tau2; estimators that need weights get the roots of the precisions."""
    weights = None if not ESTIMATORS[method].needs_weights else 1.0 / np.sqrt(v)
    return ESTIMATORS[method].kernel(make_batch(y, v, x, n, weights))


def data(seed: int, k: int, p: int = 1, tau2: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.5, k)
    x = np.column_stack([np.ones(k), rng.normal(size=(k, p - 1))])
    return rng.normal(0.3, np.sqrt(v + tau2)), v, x


def dense_p(v: np.ndarray, x: np.ndarray, tau2: float) -> np.ndarray:
    w = np.diag(1 / (v + tau2))
    return w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w


def dense_log_likelihood(y: np.ndarray, v: np.ndarray, x: np.ndarray, tau2: float, restricted: bool) -> float:
    s = np.diag(v + tau2)
    k, p = x.shape
    value = np.linalg.slogdet(s)[1] + y @ dense_p(v, x, tau2) @ y
    if not restricted:
        return -0.5 * (k * np.log(2 * np.pi) + value)
    gram = x.T @ np.linalg.inv(s) @ x
    value += np.linalg.slogdet(gram)[1] - np.linalg.slogdet(x.T @ x)[1]
    return -0.5 * ((k - p) * np.log(2 * np.pi) + value)


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("tau2", [0.0, 0.07, 30.0])
def test_moments_are_those_of_the_dense_matrices(p: int, tau2: float) -> None:
    y, v, x = data(1, 9, p)
    big = dense_p(v, x, tau2)
    got = moments(make_batch(y, v, x), np.array([tau2]))
    assert got.trace_p[0] == pytest.approx(np.trace(big), rel=1e-12)
    assert got.trace_pp[0] == pytest.approx(np.trace(big @ big), rel=1e-12)
    assert got.y_p_y[0] == pytest.approx(y @ big @ y, rel=1e-11)
    assert got.y_pp_y[0] == pytest.approx(y @ big @ big @ y, rel=1e-11)
    assert got.y_ppp_y[0] == pytest.approx(y @ big @ big @ big @ y, rel=1e-11)


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("p", [1, 3])
def test_log_likelihood_is_that_of_the_dense_matrices(restricted: bool, p: int) -> None:
    y, v, x = data(2, 8, p)
    got = log_likelihood(make_batch(y, v, x), np.array([0.2]), restricted)
    assert got[0] == pytest.approx(dense_log_likelihood(y, v, x, 0.2, restricted), rel=1e-12)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("seed", range(6))
def test_likelihood_maximum_is_that_of_a_general_optimiser(method: str, seed: int) -> None:
    y, v, x = data(seed, 12, 1 + seed % 3)
    got = solve(method, y, v, x)

    def minus(log_tau2: float) -> float:
        return -dense_log_likelihood(y, v, x, np.exp(log_tau2), method == "REML")

    best = optimize.minimize_scalar(minus, bounds=(-25, 5), method="bounded", options={"xatol": 1e-10})
    if got.at_boundary[0]:
        assert np.exp(best.x) < 1e-6
    else:
        assert got.tau2[0] == pytest.approx(np.exp(best.x), rel=1e-5)
        assert abs(got.score[0]) < 1e-10
        assert got.curvature[0] < 0


@pytest.mark.parametrize("method", ALL)
def test_a_batch_gives_what_its_members_give(method: str) -> None:
    sets = [data(seed, 7) for seed in range(5)]
    y, v = np.array([s[0] for s in sets]), np.array([s[1] for s in sets])
    together = solve(method, y, v)
    alone = [solve(method, a, b).tau2[0] for a, b, _ in sets]
    np.testing.assert_allclose(together.tau2, alone, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("p", [1, 2])
def test_counts_are_repeated_rows_and_zero_leaves_a_row_out(method: str, p: int) -> None:
    y, v, x = data(11, 8, p)
    counts = np.array([1, 2, 0, 1, 3, 1, 0, 2])
    rows = np.repeat(np.arange(8), counts)
    counted = solve(method, y, v, x, n=counts)
    repeated = solve(method, y[rows], v[rows], x[rows])
    np.testing.assert_allclose(counted.tau2, repeated.tau2, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(counted.se, repeated.se, rtol=1e-9)


@pytest.mark.parametrize("method", ALL)
def test_values_of_a_row_that_is_left_out_do_not_matter(method: str) -> None:
    y, v, _ = data(12, 6)
    counts = np.array([1, 1, 0, 1, 1, 1])
    spoiled_y, spoiled_v = y.copy(), v.copy()
    spoiled_y[2], spoiled_v[2] = np.nan, np.nan
    assert solve(method, spoiled_y, spoiled_v, n=counts).tau2 == solve(method, y, v, n=counts).tau2


@pytest.mark.parametrize("method", ALL)
@given(seed=st.integers(0, 10_000), power=st.integers(-60, 60), shift=st.floats(-5, 5))
def test_tau2_follows_the_scale_and_ignores_a_shift(method: str, seed: int, power: int, shift: float) -> None:
    y, v, _ = data(seed, 6)
    base = solve(method, y, v).tau2[0]
    factor = 2.0**power
    scaled = solve(method, y * factor, v * factor**2).tau2[0]
    moved = solve(method, y + shift, v).tau2[0]
    assert scaled == pytest.approx(base * factor**2, rel=1e-11, abs=0)
    assert moved == pytest.approx(base, rel=1e-8, abs=1e-13)


def test_decimal_scale_changes_no_digit_that_matters() -> None:
    y, v, _ = data(3, 10)
    for method in ITERATED:
        base = solve(method, y, v).tau2[0]
        small = solve(method, y * 1e-4, v * 1e-8).tau2[0]
        assert small * 1e8 == pytest.approx(base, rel=1e-12)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_the_higher_of_two_maxima_is_found(method: str) -> None:
    # three precise studies that agree and many imprecise ones that spread: one maximum each
    y = np.array([0.0, 0.001, -0.001, 3.0, -3.0, 3.5, -3.5, 2.8, -2.9])
    v = np.array([1e-6, 1e-6, 1e-6, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    batch = make_batch(y, v)
    got = ESTIMATORS[method].kernel(batch)
    grid = np.concatenate([[0.0], np.geomspace(1e-10, 1e3, 4000)])
    values = [log_likelihood(batch, np.array([t]), method == "REML")[0] for t in grid]
    at = log_likelihood(batch, got.tau2, method == "REML")[0]
    assert at >= max(values) - 1e-9
    assert got.maxima[0] >= 1


@given(seed=st.integers(0, 10_000), spread=st.floats(0, 12), size=st.floats(-6, 6))
def test_hard_data_end_at_the_maximum(seed: int, spread: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 15))
    v = 10 ** rng.uniform(-spread / 2, spread / 2, k)
    y = rng.normal(0, 1, k) * np.sqrt(v + 10**size)
    batch = make_batch(y, v)
    for method in ("ML", "REML"):
        got = ESTIMATORS[method].kernel(batch)
        restricted = method == "REML"
        at = log_likelihood(batch, got.tau2, restricted)[0]
        high = max(float(upper_bound(batch, restricted)[0]), 1e-12)
        grid = np.concatenate([[0.0], high * np.geomspace(1e-14, 1, 300)])
        values = np.array([log_likelihood(batch, np.array([t]), restricted)[0] for t in grid])
        assert at >= values.max() - 1e-8 * max(1.0, abs(at))


def test_paule_mandel_makes_the_generalised_q_equal_its_expectation() -> None:
    y, v, x = data(5, 15, 2, tau2=0.4)
    batch = make_batch(y, v, x)
    got = ESTIMATORS["PM"].kernel(batch)
    assert moments(batch, got.tau2).y_p_y[0] == pytest.approx(13, rel=1e-12)


def test_equal_effects_have_no_heterogeneity() -> None:
    for method in ALL:
        got = solve(method, np.full(5, 0.3), np.array([0.1, 0.2, 0.3, 0.2, 0.1]))
        assert got.tau2[0] == 0
        assert got.at_boundary[0]
