"""Profile-likelihood intervals of fits of censored evidence: for tau2, and for one coefficient at a time.

The interval of tau2 holds every value at which the criterion is within `drop` of its maximum, from the lowest
such value to the highest. The interval of a coefficient holds the values at which the likelihood, with tau2
and the other coefficients at their best, is within `drop` of its maximum.

References
----------
Hardy, R. J., Thompson, S. G. (1996). A likelihood approach to meta-analysis with random effects. Statistics
in Medicine 15, 619-629.
https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.censored.maximum import (
    EXPANSION,
    MAX_EXPANSIONS,
    CensoredMaximum,
    censored_at,
    censored_maximum,
    criterion_at,
    scan_criterion,
)
from metaexo.numeric.censored.rows import CensoredBatch, basis_of
from metaexo.numeric.censored.terms import likeliest_mean
from metaexo.numeric.roots import bracketed_newton, of_arrays
from metaexo.types import Array


def tau2_limits(
    batch: CensoredBatch, maximum: CensoredMaximum, restricted: bool, drop: float
) -> tuple[Array, Array]:
    """Return the ends of the set of tau2 whose criterion is at least the maximum minus `drop`.

    `drop`: half the quantile of chi-square with one degree of freedom. Returns `low` and `high`, shape (B,):
    ends; `low` is 0 where the set reaches the boundary, `high` infinite where no end was found.
    """
    points, _ = scan_criterion(batch, restricted)
    goal = maximum.value - drop
    places = np.full((4, batch.size), np.nan)  # below and first inside, last inside and above
    for b in range(batch.size):
        mine = np.flatnonzero(points.problem == b)
        at = np.append(points.tau2[mine], maximum.tau2[b])
        height = np.append(points.height[mine], maximum.value[b])
        order = np.argsort(at, kind="stable")
        at, inside = at[order], np.flatnonzero(height[order] >= goal[b])
        first, last = inside[0], inside[-1]
        places[:, b] = (
            at[max(first - 1, 0)],
            at[first],
            at[last],
            at[last + 1] if last + 1 < at.size else np.nan,
        )
    below, first_in, last_in, above = places
    above = _beyond(batch, last_in, above, goal, restricted)
    low, high = np.zeros(batch.size), np.full(batch.size, np.inf)
    rising, falling = np.flatnonzero(below < first_in), np.flatnonzero(np.isfinite(above))
    low[rising] = _crossing(batch, rising, below, first_in, goal, restricted, sign=-1.0)
    high[falling] = _crossing(batch, falling, last_in, above, goal, restricted, sign=1.0)
    return low, high


def _beyond(batch: CensoredBatch, last: Array, above: Array, goal: Array, restricted: bool) -> Array:
    """Return a tau2 above the last one inside at which the criterion is below the goal; infinite if none."""
    above = above.copy()
    open_ = np.flatnonzero(np.isnan(above))
    step = np.maximum(last, batch.v.max(axis=-1))
    for _ in range(MAX_EXPANSIONS):
        if not open_.size:
            return above
        above[open_] = last[open_] + step[open_]
        step[open_] *= EXPANSION
        open_ = open_[criterion_at(batch, open_, above[open_], restricted).height >= goal[open_]]
    above[open_] = np.inf
    return above


def _crossing(
    batch: CensoredBatch,
    which: NDArray[np.intp],
    low: Array,
    high: Array,
    goal: Array,
    restricted: bool,
    *,
    sign: float,
) -> Array:
    """Return where the criterion crosses the goal between `low` and `high`, for some of the problems."""
    if not which.size:
        return np.empty(0)

    def step(t: Any, rows: Any) -> tuple[Any, Any]:
        mine = which[rows]
        here = criterion_at(batch, mine, t, restricted)
        value = sign * (here.height - goal[mine])
        with np.errstate(divide="ignore", invalid="ignore"):
            move = -value / (sign * here.slope)
        return value, move

    floor = batch.v[which].min(axis=-1)
    low, high = low[which], high[which]
    return np.asarray(bracketed_newton(of_arrays(step), low, high, 0.5 * (low + high), floor).root)


# -- one coefficient ----------------------------------------------------------------------------------------


def coefficient_limits(
    batch: CensoredBatch, x: Array, position: int, drop: float, tau2: float | None = None
) -> tuple[Array, Array]:
    """Return the ends of the profile-likelihood interval of one coefficient.

    `x`, shape (K, P): the design that the batch was made with.
    `position`: column of the coefficient.
    `drop`: half the quantile of chi-square with one degree of freedom.
    `tau2`: a known between-study variance; default: it is at its best too.
    Returns `low` and `high`, shape (B,): the ends.
    """
    best = censored_maximum(batch, False) if tau2 is None else censored_at(batch, tau2, False)
    fit = likeliest_mean(batch, best.tau2, best.gamma)
    beta = fit.gamma @ batch.to_x.T + batch.offset
    spread = np.einsum(
        "q,bqr,r->b", batch.to_x[position], np.linalg.inv(fit.information), batch.to_x[position]
    )
    reach = np.sqrt(2 * drop * spread)
    goal = best.value - drop
    ends = [_end_of(batch, x, position, beta[:, position], sign * reach, goal, tau2) for sign in (-1.0, 1.0)]
    return ends[0], ends[1]


def with_coefficient(
    batch: CensoredBatch, x: Array, position: int, values: Array
) -> tuple[CensoredBatch, Array]:
    """Return the problems with one coefficient at given values, shape (B,), and its column.

    The others are those of the remaining columns; there may be none.
    """
    column = x[:, position]
    shift = (values - batch.offset[:, position])[:, None] * column
    rest = np.delete(x, position, axis=1)
    basis, to_x = basis_of(rest)
    moved = replace(
        batch,
        y=np.where(batch.censored, 0.0, batch.y - shift),
        lower=batch.lower - shift[..., None],
        upper=batch.upper - shift[..., None],
        anchor=batch.anchor - shift,
        basis=basis,
        to_x=to_x,
        offset=np.delete(batch.offset, position, axis=1),
    )
    return moved, column


def _profile(
    batch: CensoredBatch, x: Array, position: int, values: Array, tau2: float | None
) -> tuple[Array, Array]:
    """Return the highest log-likelihood at values of one coefficient, and its slope there, shape (B,)."""
    fixed, column = with_coefficient(batch, x, position, values)
    best = censored_maximum(fixed, False) if tau2 is None else censored_at(fixed, tau2, False)
    at = likeliest_mean(fixed, best.tau2, best.gamma, complete=False)
    return best.value, (batch.n * at.terms.first) @ column


def _end_of(
    batch: CensoredBatch,
    x: Array,
    position: int,
    centre: Array,
    reach: Array,
    goal: Array,
    tau2: float | None,
) -> Array:
    """Return where the profile falls to the goal, on the side of `centre` that `reach` points to."""
    far, sign = np.abs(reach), np.sign(reach)
    near, open_ = np.zeros(batch.size), np.arange(batch.size)
    for _ in range(MAX_EXPANSIONS):
        values = centre[open_] + sign[open_] * far[open_]
        inside = _profile(batch.take(open_), x, position, values, tau2)[0] >= goal[open_]
        open_ = open_[inside]
        near[open_] = far[open_]
        far[open_] *= 2.0
        if not open_.size:
            break
    found = np.setdiff1d(np.arange(batch.size), open_)
    part = batch.take(found)

    def step(at: Any, mine: Any) -> tuple[Any, Any]:
        side = sign[found[mine]]
        height, slope = _profile(part.take(mine), x, position, centre[found[mine]] + side * at, tau2)
        value = height - goal[found[mine]]
        with np.errstate(divide="ignore", invalid="ignore"):
            move = -value / (side * slope)
        return value, move

    distance = np.full(batch.size, np.inf)
    if found.size:
        low, high = near[found], far[found]
        roots = bracketed_newton(of_arrays(step), low, high, 0.5 * (low + high), np.abs(reach[found]))
        distance[found] = roots.root
    return np.asarray(centre + sign * distance)
