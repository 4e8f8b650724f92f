"""What an estimator of tau2 returns: the estimate, its standard error and certificate; batches in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.problem import Batch, row_sums
from metaexo.runs.parallel import each_part
from metaexo.types import Array

# Problems of a large batch are solved in parts of so many rows, whose arrays stay in the processor's cache.
PART_ROWS = 65_536
# Variances and squared effects from 1 / ORDINARY to ORDINARY are taken as they are.
ORDINARY = 1e24


@dataclass(frozen=True, slots=True)
class Tau2:
    """Estimates of tau2 of a batch, each with its certificate."""

    tau2: Array  # (B,): the estimates, at least 0
    se: Array  # (B,): standard errors; NaN where the estimator has none
    # (B,): whether the estimate is 0 because the estimating equation has no positive solution
    at_boundary: NDArray[np.bool_]
    # (B,): derivative of the criterion with respect to log tau2 at the solution (0 at an inner one); at the
    # boundary the derivative with respect to tau2, which is not positive, times the typical variance. NaN for
    # closed forms.
    score: Array
    # (B,): second derivative with respect to log tau2 at an inner solution; negative at a maximum
    curvature: Array
    iterations: NDArray[np.int64]  # (B,): evaluations after the scan
    # (B,): local maxima seen by the scan, the boundary included; 1 for closed forms and monotone equations
    maxima: NDArray[np.int64]
    # (B,): whether every interval of the scan was shown to hold no further solution; True for closed forms
    # and monotone equations
    proved: NDArray[np.bool_]


def closed_form(raw: Array, se: Array | None = None) -> Tau2:
    """Wrap a closed-form estimate, cut at zero."""
    nothing = np.full(raw.shape, np.nan)
    none = np.zeros(raw.shape, dtype=np.int64)
    return Tau2(
        tau2=np.maximum(raw, 0.0),
        se=nothing if se is None else se,
        at_boundary=raw <= 0,
        score=nothing,
        curvature=nothing,
        iterations=none,
        maxima=none + 1,
        proved=none == 0,
    )


def no_maximum(size: int) -> Tau2:
    """Return what stands for estimates of a likelihood that has no maximum."""
    nothing, none = np.full(size, np.nan), np.zeros(size, dtype=np.int64)
    return Tau2(nothing, nothing, none > 0, nothing, nothing, none, none, none > 0)


def in_parts(kernel: Callable[[Batch], Tau2]) -> Callable[[Batch], Tau2]:
    """Let a kernel solve a large batch part by part: bounded memory, and faster.

    Problems of very large or very small numbers are solved in units of their own size, powers of two, so
    that no product of them leaves the range of floating-point numbers.
    """

    @wraps(kernel)
    def solve(batch: Batch) -> Tau2:
        unit = own_unit(batch)
        if unit is not None:
            found = solve(batch.in_units(unit))
            return replace(found, tau2=found.tau2 * unit**2, se=found.se * unit**2)
        if batch.y.size <= PART_ROWS or batch.size == 1:
            return kernel(batch)
        step = max(1, PART_ROWS // batch.y.shape[1])
        cuts = [slice(begin, begin + step) for begin in range(0, batch.size, step)]
        parts = each_part(kernel, ((batch.take(cut),) for cut in cuts))
        return Tau2(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Tau2))
        )

    return solve


def own_unit(batch: Batch) -> Array | None:
    """Return a power of two for each problem, shape (B,), to divide effects by; None if all is ordinary.

    It lies in the middle, on a logarithmic scale, of what the variances and squared effects range over.
    """
    v, y = batch.v, batch.y
    least, most, far = float(v.min()), float(v.max()), float(np.abs(y).max(initial=0.0))
    if least >= 1 / ORDINARY and most <= ORDINARY and far * far <= ORDINARY:
        return None
    smallest = np.where(v > 0, v, np.inf).min(axis=-1)
    largest = np.maximum(v.max(axis=-1), np.square(np.minimum(np.abs(y).max(axis=-1), 1e150)))
    smallest = np.where(np.isfinite(smallest), smallest, largest)
    known = (smallest > 0) & (largest > 0)
    logs = np.log2(np.where(known, smallest, 1.0)) + np.log2(np.where(known, largest, 1.0))
    power = np.round(logs / 4)
    return np.exp2(power) if (np.abs(power) > 1).any() else None


def variance_scale(batch: Batch) -> Array:
    """Return the harmonic mean of the positive v, shape (B,): a scale of tau2 that matters.

    The largest squared effect stands in where every v is zero.
    """
    if batch.unit and batch.v.min() > 0:
        return np.asarray(batch.v.shape[1] / row_sums(1.0 / batch.v))
    part = (batch.n > 0) & (batch.v > 0)
    count = np.where(part, batch.n, 0.0)
    inverse = (count / np.where(part, batch.v, 1.0)).sum(axis=-1)
    total = count.sum(axis=-1)
    spare = np.maximum((batch.y**2).max(axis=-1), np.finfo(float).tiny)
    return np.asarray(np.where(total > 0, total / np.where(total > 0, inverse, 1.0), spare))
