"""What an estimator of tau2 hands back: the estimate with its standard error and its certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.problem import Array, Batch


@dataclass(frozen=True, slots=True)
class Tau2:
    """Estimates of tau2 of a batch, each with its certificate.

    Attributes
    ----------
    tau2 : ndarray, shape (B,)
        The estimates, at least 0.
    se : ndarray, shape (B,)
        Standard errors; NaN where the estimator has none.
    at_boundary : ndarray of bool, shape (B,)
        Whether the estimate is 0 because the estimating equation has no positive solution.
    score : ndarray, shape (B,)
        Derivative of the criterion with respect to log tau2 at the solution (0 at an inner one); at the
        boundary the derivative with respect to tau2, which is not positive, times the typical variance. NaN
        for closed forms.
    curvature : ndarray, shape (B,)
        Second derivative with respect to log tau2 at an inner solution; negative at a maximum.
    iterations : ndarray of int, shape (B,)
        Evaluations after the scan.
    maxima : ndarray of int, shape (B,)
        Local maxima seen by the scan, the boundary included; 1 for closed forms and monotone equations.
    """

    tau2: Array
    se: Array
    at_boundary: NDArray[np.bool_]
    score: Array
    curvature: Array
    iterations: NDArray[np.int64]
    maxima: NDArray[np.int64]


def closed_form(batch: Batch, raw: Array, se: Array | None = None) -> Tau2:
    """Wrap a closed-form estimate, cut at zero."""
    nothing = np.full(batch.size, np.nan)
    none = np.zeros(batch.size, dtype=np.int64)
    return Tau2(
        tau2=np.maximum(raw, 0.0),
        se=nothing if se is None else se,
        at_boundary=raw <= 0,
        score=nothing,
        curvature=nothing,
        iterations=none,
        maxima=none + 1,
    )


def variance_scale(batch: Batch) -> Array:
    """Return the harmonic mean of the positive v, shape (B,): a scale of tau2 that matters.

    The largest squared effect stands in where every v is zero.
    """
    part = (batch.n > 0) & (batch.v > 0)
    count = np.where(part, batch.n, 0.0)
    inverse = (count / np.where(part, batch.v, 1.0)).sum(axis=-1)
    total = count.sum(axis=-1)
    spare = np.maximum((batch.y**2).max(axis=-1), np.finfo(float).tiny)
    return np.asarray(np.where(total > 0, total / np.where(total > 0, inverse, 1.0), spare))
