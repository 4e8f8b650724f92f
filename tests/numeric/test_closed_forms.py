"""Moment estimators against dense matrices, and their standard errors against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from metaexo.numeric.estimators import ESTIMATORS, get_estimator
from metaexo.numeric.problem import make_batch

CLOSED = ["DL", "HE", "HS", "HSK", "SJ", "GENQ"]


def dense(
    method: str, y: np.ndarray, v: np.ndarray, x: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Return estimate and standard error from K x K matrices."""
    k, p = x.shape
    spread = float(np.var(y))
    r = {"HE": np.ones(k), "SJ": 1 / (v + spread), "GENQ": weights}.get(method, 1 / v)
    big = np.diag(r) - (r[:, None] * x) @ np.linalg.solve((x.T * r) @ x, x.T * r)
    form, trace, of_v = y @ big @ y, np.trace(big), np.trace(big * v)
    scale = {"SJ": spread / (k - p), "HS": 1 / r.sum(), "HSK": k / (k - p) / r.sum()}.get(method, 1 / trace)
    raw = {
        "SJ": scale * form,
        "HS": scale * (form - k),
        "HSK": scale * form - k / r.sum(),
    }.get(method, scale * (form - of_v))
    tau2 = max(raw, 0.0)
    return tau2, scale * np.sqrt(2 * np.trace(big @ np.diag(v + tau2) @ big @ np.diag(v + tau2)))


@pytest.mark.parametrize("method", CLOSED)
@pytest.mark.parametrize("p", [1, 3])
@pytest.mark.parametrize("true", [0.0, 0.5])
def test_estimates_are_those_of_the_dense_matrices(method: str, p: int, true: float) -> None:
    rng = np.random.default_rng(p)
    v, weights = rng.uniform(0.01, 0.4, 10), rng.uniform(1, 30, 10)
    x = np.column_stack([np.ones(10), rng.normal(size=(10, p - 1))])
    y = rng.normal(3, np.sqrt(v + true))
    got = ESTIMATORS[method].kernel(make_batch(y, v, x if p > 1 else None, weights=weights))
    tau2, se = dense(method, y, v, x, weights)
    assert got.tau2[0] == pytest.approx(tau2, rel=1e-10, abs=1e-15)
    assert got.se[0] == pytest.approx(se, rel=1e-10)


def test_standard_errors_are_standard_deviations_of_the_estimates() -> None:
    rng = np.random.default_rng(3)
    v, tau2, n = rng.uniform(0.01, 0.4, 12), 3.0, 20_000  # so large that none is cut at 0
    y = rng.normal(0, np.sqrt(v + tau2), (n, 12))
    for method in ("DL", "HE", "GENQ"):
        got = ESTIMATORS[method].kernel(make_batch(y, v, weights=np.arange(1.0, 13)))
        assert got.tau2.mean() == pytest.approx(tau2, abs=4 * got.tau2.std() / np.sqrt(n))
        # the standard error at the true tau2, by one data set whose estimate is it
        scale = np.sqrt(np.median(got.se**2 / (got.tau2 + v.mean()) ** 2)) * (tau2 + v.mean())
        assert got.tau2.std() == pytest.approx(scale, rel=0.03)


def test_sidik_jonkman_is_positive_even_where_the_effects_agree() -> None:
    got = ESTIMATORS["SJ"].kernel(make_batch([0.1, 0.11, 0.09], [0.2, 0.3, 0.2]))
    assert got.tau2[0] > 0
    assert ESTIMATORS["DL"].kernel(make_batch([0.1, 0.11, 0.09], [0.2, 0.3, 0.2])).tau2[0] == 0


def test_codes_are_found_in_any_capitals_and_by_their_other_name() -> None:
    assert get_estimator("HSk") is get_estimator("hsk")
    assert get_estimator("FE") is get_estimator("EE")
