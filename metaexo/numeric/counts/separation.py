"""Counts for which some estimates are infinite: found from the data, before anything is maximised.

A row of counts (an arm, or a study in a conditional model) whose count is the least possible pulls its linear
predictor to minus infinity, one whose count is the largest possible to plus infinity, and all others hold
theirs in place. If some direction of the coefficients agrees with every row, the likelihood increases along
it without end (Albert and Anderson 1984); otherwise the maximum for given variances is finite. Variances are
finite if some row would become impossible as they grow.

References
----------
Albert, A., Anderson, J. A. (1984). On the existence of maximum likelihood estimates in logistic regression
models. Biometrika 71, 1-10. https://doi.org/10.1093/biomet/71.1.1
"""

from __future__ import annotations

import numpy as np

from metaexo.types import Array, Mask

# Columns with mean square 1 whose combination moves a row by no more than this do not move it.
STILL = 1e-9


def separated(columns: Array, low: Mask, high: Mask, counted: Mask) -> Mask:
    """Return for which of B problems the coefficients have no finite estimate, (B,).

    `columns` (B or 1, R, P) of R rows, `low` and `high` (B or 1, R): where the count is the least, and the
    largest, possible; both where it is both. `counted` (B or 1, R): the rows of each problem.
    """
    size = max(len(columns), len(low), len(counted))
    rows = (size, columns.shape[1])
    low, high, counted = (np.broadcast_to(v, rows) for v in (low, high, counted))
    inner = counted & ~low & ~high
    found = np.zeros(size, dtype=bool)
    for b in range(size) if columns.shape[2] > 1 else ():
        own = columns[b if len(columns) > 1 else 0]
        found[b] = direction_of_infinity(own, low[b], high[b], counted[b]) is not None
    if columns.shape[2] == 1:
        sign = np.broadcast_to(np.sign(columns[..., 0]), rows)
        up = counted & ((high & ~low & (sign > 0)) | (low & ~high & (sign < 0)))
        down = counted & ((high & ~low & (sign < 0)) | (low & ~high & (sign > 0)))
        found = ~(inner & (sign != 0)).any(axis=1) & ~(up.any(axis=1) & down.any(axis=1))
    return found


def direction_of_infinity(columns: Array, low: Mask, high: Mask, counted: Mask) -> Array | None:
    """Return a direction of the coefficients, (P,), along which the likelihood never falls; None if none.

    Arrays as in `separated`, for one problem.
    """
    from scipy.optimize import linprog

    counted = counted & ~(low & high)
    inner = counted & ~(low | high)
    p = columns.shape[1]
    if p == 0:
        return None
    size = np.maximum(np.abs(columns[counted]).max(axis=0, initial=0.0), 1e-300)
    scaled = columns / size
    if np.linalg.matrix_rank(scaled[inner], tol=STILL * np.sqrt(len(scaled))) == p:
        return None
    if np.linalg.matrix_rank(scaled[counted], tol=STILL * np.sqrt(len(scaled))) < p:
        null: Array = np.linalg.svd(scaled[counted])[2][-1] / size
        return null
    rows = np.concatenate([scaled[counted & high], -scaled[counted & low]])
    solved = linprog(
        -rows.sum(axis=0),
        A_ub=-rows,
        b_ub=np.zeros(len(rows)),
        A_eq=scaled[inner] if inner.any() else None,
        b_eq=np.zeros(int(inner.sum())) if inner.any() else None,
        bounds=[(-1, 1)] * p,
    )
    if not solved.success or -solved.fun <= STILL * len(rows):
        return None
    return np.asarray(solved.x / size)
