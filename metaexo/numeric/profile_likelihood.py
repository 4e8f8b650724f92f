"""Bounds for tau2 by the (restricted) profile likelihood.

The set holds every tau2 whose log-likelihood lies within half a chi-square quantile of the maximum. Between
its local maxima, all of which are known from the scan, the likelihood falls once and rises once; so each end
of the set lies in a bracket with a single crossing. Where the set falls apart, the bounds enclose all of it.

References
----------
Hardy, R. J., Thompson, S. G. (1996). A likelihood approach to meta-analysis with random effects. Statistics
in Medicine 15, 619-629. https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
Viechtbauer, W. (2007). https://doi.org/10.1002/sim.2514
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.numeric.likelihood import log_likelihood, score_parts
from metaexo.numeric.likelihood_maximum import local_maxima
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import bracketed_newton
from metaexo.numeric.tau2 import variance_scale
from metaexo.types import Array

EXPANSION = 8.0


def profile_likelihood_interval(batch: Batch, restricted: bool, drop: float) -> tuple[Array, Array]:
    """Return the ends of the set of tau2 whose log-likelihood is at least the maximum minus `drop`.

    Parameters
    ----------
    restricted : bool
        Whether the restricted likelihood is meant.
    drop : float
        Half the quantile of chi-square with one degree of freedom.

    Returns
    -------
    low, high : ndarray, shape (B,)
        Ends of the set; `low` is 0 where the set reaches the boundary.
    """
    problem, places = local_maxima(batch, restricted)
    heights = log_likelihood(batch.take(problem), places, restricted)
    best = np.full(batch.size, -np.inf)
    np.maximum.at(best, problem, heights)
    goal = best - drop
    below, first, last, above = (np.full(batch.size, np.nan) for _ in range(4))
    for b in range(batch.size):
        mine = np.flatnonzero(problem == b)
        order = mine[np.argsort(places[mine])]
        inside = np.flatnonzero(heights[order] >= goal[b])
        at = np.concatenate([[0.0], places[order], [np.nan]])
        first[b], below[b] = at[inside[0] + 1], at[inside[0]]
        last[b], above[b] = at[inside[-1] + 1], at[inside[-1] + 2]
    scale = variance_scale(batch)
    above = _expand(batch, last, above, goal, scale, restricted)
    low = _crossing(batch, below, first, goal, scale, restricted, rising=True)
    high = _crossing(batch, last, above, goal, scale, restricted, rising=False)
    return low, high


def _expand(batch: Batch, last: Array, above: Array, goal: Array, scale: Array, restricted: bool) -> Array:
    """Return an end above each last maximum where the likelihood is below the goal."""
    above = above.copy()
    open_ = np.flatnonzero(np.isnan(above))
    above[open_] = last[open_] + scale[open_]
    while open_.size:
        inside = log_likelihood(batch.take(open_), above[open_], restricted) >= goal[open_]
        open_ = open_[inside]
        above[open_] *= EXPANSION
    return above


def _crossing(
    batch: Batch, low: Array, high: Array, goal: Array, scale: Array, restricted: bool, *, rising: bool
) -> Array:
    """Return where the likelihood crosses the goal between `low` and `high`; 0 where `low` is inside."""
    out = np.zeros(batch.size)
    if rising:
        zero = np.flatnonzero((low == 0) & (high > 0))
        inside = np.zeros(batch.size, dtype=np.bool_) | (high == 0)
        if zero.size:
            inside[zero] = log_likelihood(batch.take(zero), low[zero], restricted) >= goal[zero]
        which = np.flatnonzero(~inside)
    else:
        which = np.arange(batch.size)
    part, sign = batch.take(which), -1.0 if rising else 1.0
    target, unit = goal[which], scale[which]

    def step(t: Any, rows: Any) -> tuple[Any, Any]:
        here, at = part.take(rows), np.atleast_1d(t)
        value = sign * (log_likelihood(here, at, restricted) - target[rows])
        form, trace, _, _ = score_parts(moments(here, at), restricted)
        moved = at + unit[rows]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            away = np.clip(-value / (sign * 0.5 * (form - trace) * moved), -50.0, 50.0)
        move = moved * np.expm1(away)
        return (value, move) if isinstance(t, np.ndarray) else (value.item(), move.item())

    if which.size:
        start = np.sqrt((low[which] + unit) * (high[which] + unit)) - unit
        out[which] = bracketed_newton(step, low[which], high[which], start, unit).root
    return out
