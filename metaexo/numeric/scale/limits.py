"""Limits of a location-scale model with a log link: tau2 = 0 in some rows, at no finite coefficients.

In a direction d of the coefficients with z_i d < 0 for some rows and z_i d = 0 for the others, log tau2 falls
for ever in the first and stays in the others. The limit is a model of its own, with fewer coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from metaexo.numeric.scale.climb import Summit, climb
from metaexo.numeric.scale.likelihood import ScaleLikelihood
from metaexo.types import Array, Mask

# Rows whose tau2 is below such a share of v may have it at zero.
VANISHING = (*(10.0**-power for power in range(1, 15)), np.inf)
STILL = 1e-9
# How long a direction may be, for columns of size 1, and what counts as a fall along it.
FARTHEST = 1e6
FALLING = 1e-7


@dataclass(frozen=True, slots=True)
class Found:
    """A local maximum: of the whole model, or of a limit with tau2 = 0 in some rows.

    Attributes
    ----------
    summit : Summit
        Where the ascent ended.
    model : ScaleLikelihood
        What was climbed.
    to_full : ndarray, shape (q, r)
        Takes its coefficients to those of the standardised model.
    away : ndarray, shape (q, n)
        Directions, beside these, in which the rows that keep their tau2 do not change.
    """

    summit: Summit
    model: ScaleLikelihood
    to_full: Array
    away: Array

    @property
    def value(self) -> float:
        """Log-likelihood."""
        return self.summit.point.value


def find_limits(model: ScaleLikelihood, found: list[Found]) -> Iterator[Found]:
    """Yield the maxima of the limits that the ascents point to, and of the one with tau2 = 0 everywhere."""
    looked: set[bytes] = set()
    tried: set[bytes] = set()
    for one in found:
        ratio = one.summit.point.tau2 / model.v
        for share in VANISHING:
            small = ratio < share
            if small.tobytes() in looked:
                continue
            looked.add(small.tobytes())
            zero = falling_rows(model.z, small)
            if zero.any() and zero.tobytes() not in tried:
                tried.add(zero.tobytes())
                yield _limit(model, zero, one.summit.point.coefficients)


def falling_rows(z: Array, small: Mask) -> Mask:
    """Return which of the small rows some direction sends to zero together, the other rows left alone.

    The largest set: directions that do this for two sets, added, do it for both. Small rows that no such
    direction sends to zero stay where they are.

    Parameters
    ----------
    z : ndarray, shape (k, q)
        Columns of the scale.
    small : ndarray of bool, shape (k,)
        Rows whose tau2 may fall; it must stay in the others.
    """
    from scipy.optimize import linprog

    zero = np.zeros(len(z), dtype=bool)
    rows, which = np.unique(z[small], axis=0, return_inverse=True)
    if not len(rows):
        return zero
    others, (n, q) = np.unique(z[~small], axis=0), rows.shape
    solved = linprog(  # fall z d + t <= 0 of each row, by up to 1
        np.concatenate([np.zeros(q), -np.ones(n)]),
        A_ub=np.hstack([rows, np.eye(n)]),
        b_ub=np.zeros(n),
        A_eq=np.hstack([others, np.zeros((len(others), n))]) if len(others) else None,
        b_eq=np.zeros(len(others)) if len(others) else None,
        bounds=[(-FARTHEST, FARTHEST)] * q + [(0, 1)] * n,
    )
    if solved.success:
        zero[small] = (solved.x[q:] > FALLING)[np.ravel(which)]
    return zero


def _limit(model: ScaleLikelihood, zero: Mask, start: Array) -> Found:
    """Return the maximum of the model with tau2 = 0 in the given rows."""
    rank, rows = 0, np.eye(start.size)
    if not zero.all():
        _, sizes, rows = np.linalg.svd(model.z[~zero])
        rank = int((sizes > STILL * np.sqrt(model.y.size)).sum())
    kept, away = rows[:rank].T, rows[rank:].T
    reduced = replace(model, z=model.z @ kept, zero=zero)
    return Found(climb(reduced.at, kept.T @ start, np.empty((0, rank))), reduced, kept, away)


def signs_of_infinity(standard: ScaleLikelihood, best: Found, back: Array) -> Array:
    """Return, a coefficient, 0 if it is finite, else the sign with which it leaves, NaN if that is open.

    Parameters
    ----------
    standard : ScaleLikelihood
        The model with all its coefficients.
    best : Found
        The maximum.
    back : ndarray, shape (q, q)
        Takes standardised coefficients to those that are reported.
    """
    from scipy.optimize import linprog

    out = np.zeros(len(back))
    moving = back @ best.away
    rows = np.unique(standard.z[best.model.zero] @ best.away, axis=0)
    for j in range(len(back)):
        if np.abs(moving[j]).max(initial=0.0) <= STILL * np.abs(back[j]).max():
            continue
        ends = [
            sign * linprog(sign * moving[j], A_ub=rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1)).fun
            for sign in (1, -1)
        ]
        reach = STILL * np.abs(moving[j]).max()
        low, high = ends[0] < -reach, ends[1] > reach
        out[j] = np.nan if low == high else 1.0 if high else -1.0
    return out
