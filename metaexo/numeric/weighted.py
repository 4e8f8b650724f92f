"""Weighted least squares of one problem, in units in which every row has variance 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.errors import InputError
from metaexo.types import Array

PLAIN_TESTS = ("z", "t", "knapp-hartung", "knapp-hartung-adhoc")


def projected(x: Array, y: Array, variance: Array) -> tuple[Array, Array]:
    """Return standardised residuals and an orthonormal basis of the standardised design.

    `x`, shape (k, p): design.
    `y`, shape (k,): effects.
    `variance`, shape (k,): variance of each row, above 0.
    Returns `residuals`, shape (k,): (y - X b) / sqrt(variance) with the weighted fit b.
    Returns `basis`, shape (k, p): orthonormal columns that span those of X / sqrt(variance).
    """
    root = 1.0 / np.sqrt(variance)
    scaled = x * root[:, None]
    basis = np.linalg.qr(scaled / np.linalg.norm(scaled, axis=0))[0]
    rest = y * root
    for _ in range(2):  # the second pass removes what rounding left in
        rest = rest - basis @ (basis.T @ rest)
    return rest, basis


@dataclass(frozen=True, slots=True)
class WeightedLeastSquares:
    """A weighted fit."""

    beta: Array  # (p,): coefficients
    cov: Array  # (p, p): (X'WX)^-1 with W the inverse variances
    residuals: Array  # (k,): residuals in units of their standard deviations
    logdet: float  # log |X'WX| - log |X'X|


def weighted_least_squares(x: Array, y: Array, variance: Array) -> WeightedLeastSquares:
    """Return the fit of y on x, shape (k, p), with weights 1 / variance."""
    size = np.linalg.norm(x, axis=0)
    basis, upper = np.linalg.qr(x / size)
    to_x = np.linalg.inv(upper) / size[:, None]
    start = basis.T @ y
    rest = y - basis @ start
    root = 1.0 / np.sqrt(variance)
    q, inner = np.linalg.qr(basis * root[:, None])
    gamma = np.linalg.solve(inner, q.T @ (root * rest))
    spread = to_x @ np.linalg.inv(inner)
    residuals = root * (rest - basis @ gamma)
    logdet = 2 * float(np.log(np.abs(np.diagonal(inner))).sum())
    return WeightedLeastSquares(to_x @ (start + gamma), spread @ spread.T, residuals, logdet)


def refuse_own_weights(fit: Any, what: str) -> None:
    """Raise if a fit has weights of its own, which `what` is not made for."""
    if getattr(fit, "weighting", None) is not None:
        raise InputError(
            f"the fit has weights of its own, and {what} is made for inverse-variance weights",
            "a fit without weights",
        )


def refuse_special_tests(fit: Any, what: str) -> None:
    """Raise if a fit has user-supplied weights, or a test whose covariance matrix is not simply scaled."""
    refuse_own_weights(fit, what)
    if getattr(fit, "robust_covariance", None) is not None:
        raise InputError(
            f"the fit has a cluster-robust covariance matrix, and {what} rests on that of the model",
            "a fit before robust()",
        )
    if fit.test not in PLAIN_TESTS:
        raise InputError(
            f"the test of the fit is {fit.test!r}, and {what} knows only the plain ones",
            "a test of " + ", ".join(PLAIN_TESTS),
        )
