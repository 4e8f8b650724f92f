r"""Extremes of weighted means over all ways to assign units to strata, for given weights.

A unit i has weight w_i and value y_i. Let a stratum have the mean N/W without any unit.

One mean. With x_i in [0, 1] the part of unit i that is assigned to the stratum, the mean
:math:`a = (N + \sum x_i w_i y_i) / (W + \sum x_i w_i)` has the derivative :math:`w_i (y_i - a) / W_x`. At a
maximum every unit above a is in and every unit below it is out: the units are ordered by y, and one of the
U + 1 top sets is the best.

Difference of two means, every unit in one of them. The derivative of a - b with respect to the part of unit i
that is in the first is :math:`w_i (1/W_a + 1/W_b)(y_i - c)` with
:math:`c = (a / W_a + b / W_b) / (1 / W_a + 1 / W_b)` the same for all units. So at a maximum over parts all
units above c are in the first and all below it in the second, and at most the units at c are split. The best
of the U + 1 thresholds is an assignment; the best with one unit split is a bound for all assignments, found
in closed form. Where both agree the assignment is proved to be the best, and where they do not the bound says
by how much it can be missed.

Difference of two means, units may also be elsewhere. The best top set of the first and the best bottom set of
the second, chosen apart, bound the difference; where no unit is in both they are an assignment, proved to be
the best. Where one is in both, a < b holds, no unit is better off elsewhere, and it is the case before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.types import Array

FIRST, SECOND, ELSEWHERE = 0, 1, 2
AGREE = 1e-12


@dataclass(frozen=True, eq=False)
class Extreme:
    """The largest value found, with a bound that no assignment exceeds.

    Attributes
    ----------
    place : ndarray of int, shape (U,)
        Where each unit is: 0 in the first stratum, 1 in the second, 2 elsewhere.
    value : float
        The mean or difference there.
    bound : float
        What no assignment exceeds.
    """

    place: NDArray[np.intp]
    value: float
    bound: float

    @property
    def proved(self) -> bool:
        """Whether the value reaches the bound."""
        return bool(self.bound <= self.value + AGREE * (1 + abs(self.value)))


@dataclass(frozen=True)
class Side:
    """A stratum without the units: the sum of its weights and of weights times values."""

    weight: float
    total: float


def largest_mean(side: Side, w: Array, y: Array) -> Extreme:
    """Return the largest mean of a stratum over all sets of units that may join it.

    Parameters
    ----------
    side : Side
        The stratum without them.
    w, y : ndarray, shape (U,)
        Weights and values of the units.
    """
    order = np.argsort(-y, kind="stable")
    weight = side.weight + np.append(0.0, np.cumsum(w[order]))
    means = (side.total + np.append(0.0, np.cumsum((w * y)[order]))) / weight
    best = int(means.argmax())
    place = np.full(len(y), ELSEWHERE)
    place[order[:best]] = FIRST
    return Extreme(place, float(means[best]), float(means[best]))


def largest_difference(first: Side, second: Side, w: Array, y: Array, elsewhere: bool) -> Extreme:
    """Return the largest difference of two means over all assignments of units.

    Parameters
    ----------
    first, second : Side
        The strata without the units; the difference is first minus second.
    w, y : ndarray, shape (U,)
        Weights and values of the units.
    elsewhere : bool
        Whether a unit may also be in neither.
    """
    if elsewhere:
        top = largest_mean(first, w, y)
        bottom = largest_mean(Side(second.weight, -second.total), w, -y)
        joined, left = top.place == FIRST, bottom.place == FIRST
        if not (joined & left).any():
            place = np.where(joined, FIRST, np.where(left, SECOND, ELSEWHERE))
            value = top.value + bottom.value
            return Extreme(place, value, value)
    return _best_threshold(first, second, w, y)


def _best_threshold(first: Side, second: Side, w: Array, y: Array) -> Extreme:
    """Return the best threshold, and the best with the units of one value split."""
    order = np.argsort(-y, kind="stable")
    w, y = w[order], y[order]
    above, above_total = np.append(0.0, np.cumsum(w)), np.append(0.0, np.cumsum(w * y))
    joined = (first.total + above_total) / (first.weight + above)
    left = (second.total + above_total[-1] - above_total) / (second.weight + above[-1] - above)
    best = int((joined - left).argmax())
    value = bound = float(joined[best] - left[best])
    for r in np.unique(y, return_index=True)[1]:
        same = y == y[r]
        mass = float(w[same].sum())
        p, q = first.total + above_total[r], first.weight + above[r]
        last = int(np.flatnonzero(same)[-1]) + 1
        rest, s = second.total + above_total[-1] - above_total[last], second.weight + above[-1] - above[last]
        bound = max(bound, _split((p, q), (rest, s), mass, float(y[r])))
    place = np.full(len(y), SECOND)
    place[order[:best]] = FIRST
    return Extreme(place, value, bound)


def _split(first: tuple[float, float], second: tuple[float, float], mass: float, y: float) -> float:
    """Return the largest difference as a unit of weight `mass` and value y is split between two strata.

    The strata are given by totals and weights without it. With x the part in the first, the derivative is
    zero where (y Q - P) / (Q + x m)^2 = -(y S - R) / (S + (1 - x) m)^2.
    """
    (p, q), (r, s) = first, second
    rise, fall = y * q - p, y * s - r
    if rise * fall >= 0 or mass == 0:
        return -math.inf
    ratio = math.sqrt(-fall / rise)
    x = (s + mass - ratio * q) / (mass * (1 + ratio))
    if not 0 < x < 1:
        return -math.inf
    return (p + x * mass * y) / (q + x * mass) - (r + (1 - x) * mass * y) / (s + (1 - x) * mass)
