"""The highest value of the criterion of tau2: every bracket of a fine scan is refined, the highest is taken.

The scan looks at values of tau2 from 0 to where the criterion falls for good, equally far apart on the scale
log(tau2 + v). Between two neighbours where the score turns from positive to not positive there is a maximum;
it is refined by a bracketed secant iteration on the analytic score. The boundary at 0 is a candidate where
the score is not positive there. Unlike with exact effects alone it is not proved that a bracket between two
grid points holds no further pair of a maximum and a minimum; a stretch whose heights do not agree with its
slopes is halved, and the certificate says that this is all that is known.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.censored.terms import MeanFit, likeliest_mean
from metaexo.numeric.roots import bracketed_newton, of_arrays
from metaexo.types import Array

GRID_RATIO = 1.6
EXPANSION = 8.0
MAX_EXPANSIONS = 20
MAX_HALVINGS = 6
# Rows of an evaluation are cut to this many elements.
PART_ELEMENTS = 200_000
CURVATURE_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class CensoredMaximum:
    """Estimates of B problems, each with its certificate."""

    tau2: Array  # (B,): between-study variance
    gamma: Array  # (B, P): coefficients on the basis, the offset left out
    value: Array  # (B,): criterion at the maximum
    at_boundary: NDArray[np.bool_]  # (B,): whether tau2 is 0 because no positive value fits better
    # (B,): whether the criterion still rises at the largest value that was looked at: there is no estimate
    unbounded: NDArray[np.bool_]
    # score, curvature (B,): first and second derivative with respect to log tau2 at an inner solution; at the
    # boundary the first with respect to tau2 times the typical variance, and NaN
    score: Array
    curvature: Array
    # iterations, maxima (B,): evaluations after the scan; local maxima seen, the boundary included
    iterations: NDArray[np.int64]
    maxima: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """The criterion at N points: problem, tau2, height and slope, each of shape (N,)."""

    problem: NDArray[np.intp]
    tau2: Array
    height: Array
    slope: Array


def censored_maximum(batch: CensoredBatch, restricted: bool) -> CensoredMaximum:
    """Return the highest maximum of the criterion over tau2 >= 0."""
    step = max(1, PART_ELEMENTS // (32 * batch.y.shape[1]))
    cuts = [np.arange(i, min(i + step, batch.size)) for i in range(0, batch.size, step)]
    parts = [_maximise(batch.take(cut), restricted) for cut in cuts]
    return CensoredMaximum(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(CensoredMaximum))
    )


def censored_at(batch: CensoredBatch, tau2: float, restricted: bool) -> CensoredMaximum:
    """Return the estimates at a given tau2, with the score that the criterion has there."""
    return _certified(batch, np.full(batch.size, tau2), restricted, _zeros(batch), _zeros(batch))


def criterion_at(batch: CensoredBatch, problem: NDArray[np.intp], tau2: Array, restricted: bool) -> Points:
    """Return height and slope of the criterion at points of several problems, shape (N,)."""
    size = max(1, PART_ELEMENTS // batch.y.shape[1])
    heights, slopes = np.empty(tau2.size), np.empty(tau2.size)
    for begin in range(0, tau2.size, size):
        cut = slice(begin, begin + size)
        part = batch.take(problem[cut])
        found = likeliest_mean(part, tau2[cut])
        heights[cut], slopes[cut] = found.criterion(part, restricted), found.score(part, restricted)
    return Points(problem, tau2, heights, slopes)


def scan_criterion(batch: CensoredBatch, restricted: bool) -> tuple[Points, NDArray[np.bool_]]:
    """Return points that hold every maximum between them, in order, and which problems have no end."""
    floor = _floor(batch)
    end, unbounded = _end(batch, floor, restricted)
    steps = int(np.ceil(np.log(float(((end + floor) / floor).max())) / np.log(GRID_RATIO)))
    share = np.arange(steps + 1) / steps
    grid = floor[:, None] * ((end + floor) / floor)[:, None] ** share - floor[:, None]
    grid[:, 0], grid[:, -1] = 0.0, end
    problem = np.repeat(np.arange(batch.size), steps + 1)
    points = criterion_at(batch, problem, grid.ravel(), restricted)
    return _halve_doubtful(batch, points, floor, restricted), unbounded


def _floor(batch: CensoredBatch) -> Array:
    """Return the smallest sampling variance that takes part, shape (B,)."""
    return np.asarray(np.where(batch.n > 0, batch.v, np.inf).min(axis=-1))


def _end(batch: CensoredBatch, floor: Array, restricted: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Return a tau2 at which the criterion falls, above all that the spread of the rows can ask for."""
    widest = np.where(batch.n > 0, np.maximum(batch.anchor**2, batch.v), 0.0).max(axis=-1)
    free = np.maximum(batch.two_ended - (batch.p if restricted else 0), 1.0)
    end = 4.0 * widest * (1.0 + batch.n.sum(axis=-1) / free) + floor
    rising = np.arange(batch.size)
    for _ in range(MAX_EXPANSIONS):
        slope = criterion_at(batch, rising, end[rising], restricted).slope
        rising = rising[slope >= 0]
        if not rising.size:
            break
        end[rising] *= EXPANSION
    unbounded = np.zeros(batch.size, dtype=np.bool_)
    unbounded[rising] = True
    return end, unbounded


def _halve_doubtful(batch: CensoredBatch, points: Points, floor: Array, restricted: bool) -> Points:
    """Add points where the heights of two neighbours do not agree with the signs of their slopes."""
    for _ in range(MAX_HALVINGS):
        same = points.problem[1:] == points.problem[:-1]
        rise = np.diff(points.height)
        noise = 1e-9 * (1 + np.abs(points.height[1:]))
        up = (points.slope[1:] > 0) & (points.slope[:-1] > 0) & (rise < -noise)
        down = (points.slope[1:] <= 0) & (points.slope[:-1] <= 0) & (rise > noise)
        at = np.flatnonzero(same & (up | down))
        if not at.size:
            break
        problem, scale = points.problem[at], floor[points.problem[at]]
        middle = np.sqrt((points.tau2[at] + scale) * (points.tau2[at + 1] + scale)) - scale
        more = criterion_at(batch, problem, middle, restricted)
        columns = [np.concatenate([getattr(points, f.name), getattr(more, f.name)]) for f in fields(Points)]
        order = np.lexsort((columns[1], columns[0]))
        points = Points(*(column[order] for column in columns))
    return points


def _maximise(batch: CensoredBatch, restricted: bool) -> CensoredMaximum:
    points, unbounded = scan_criterion(batch, restricted)
    first = np.flatnonzero(np.diff(points.problem, prepend=-1))
    boundary = first[points.slope[first] <= 0]
    same = points.problem[1:] == points.problem[:-1]
    turns = np.flatnonzero(same & (points.slope[:-1] > 0) & (points.slope[1:] <= 0))
    problem = points.problem[turns]
    root, used = _refine(batch, points, turns, restricted)
    inner = criterion_at(batch, problem, root, restricted)
    problem = np.concatenate([problem, points.problem[boundary]])
    places = np.concatenate([root, np.zeros(boundary.size)])
    heights = np.concatenate([inner.height, points.height[boundary]])
    iterations, maxima = _zeros(batch), np.bincount(problem, minlength=batch.size)
    np.add.at(iterations, problem[: used.size], used)
    best, tau2 = np.full(batch.size, -np.inf), np.zeros(batch.size)
    for i in range(problem.size):
        if heights[i] > best[problem[i]]:
            best[problem[i]], tau2[problem[i]] = heights[i], places[i]
    tau2[unbounded] = np.nan
    known = np.flatnonzero(~unbounded)
    certified = _certified(batch.take(known), tau2[known], restricted, iterations[known], maxima[known])
    return certified if known.size == batch.size else _with_unbounded(batch, certified, known)


def _refine(
    batch: CensoredBatch, points: Points, turns: NDArray[np.intp], restricted: bool
) -> tuple[Array, NDArray[np.int64]]:
    """Return where the score is zero in each bracket, and the evaluations used."""
    if not turns.size:
        return np.empty(0), np.empty(0, dtype=np.int64)
    problem, low, high = points.problem[turns], points.tau2[turns], points.tau2[turns + 1]
    before, slope_before = low.copy(), points.slope[turns].copy()
    upper_slope = points.slope[turns + 1]

    def step(at: Any, which: Any) -> tuple[Any, Any]:
        slope = criterion_at(batch, problem[which], at, restricted).slope
        with np.errstate(divide="ignore", invalid="ignore"):
            bend = (slope - slope_before[which]) / (at - before[which])
            move = np.where(bend < 0, -slope / bend, np.nan)
        before[which], slope_before[which] = at, slope
        return slope, move

    start = low + (high - low) * points.slope[turns] / (points.slope[turns] - upper_slope)
    found = bracketed_newton(of_arrays(step), low, high, start, _floor(batch)[problem])
    return found.root, found.iterations


def _certified(
    batch: CensoredBatch,
    tau2: Array,
    restricted: bool,
    iterations: NDArray[np.int64],
    maxima: NDArray[np.int64],
) -> CensoredMaximum:
    """Return the estimates at tau2 with their certificate."""
    found: MeanFit = likeliest_mean(batch, tau2)
    zero = tau2 == 0
    score = found.score(batch, restricted) * np.where(zero, _floor(batch), tau2)
    problem = np.arange(batch.size)
    slopes = [
        criterion_at(batch, problem, tau2 * (1 + sign * CURVATURE_STEP), restricted).slope for sign in (1, -1)
    ]
    with np.errstate(invalid="ignore"):
        curvature = tau2 * (slopes[0] - slopes[1]) / (2 * CURVATURE_STEP)
    return CensoredMaximum(
        tau2=tau2,
        gamma=found.gamma,
        value=found.criterion(batch, restricted),
        at_boundary=zero,
        unbounded=np.zeros(batch.size, dtype=np.bool_),
        score=score,
        curvature=np.where(zero, np.nan, curvature),
        iterations=iterations,
        maxima=maxima,
    )


def _with_unbounded(
    batch: CensoredBatch, certified: CensoredMaximum, known: NDArray[np.intp]
) -> CensoredMaximum:
    """Return the estimates of all problems; NaN in those that have none."""
    columns = []
    for field in fields(CensoredMaximum):
        values = getattr(certified, field.name)
        whole = np.zeros((batch.size, *values.shape[1:]), dtype=values.dtype)
        if values.dtype.kind == "f":
            whole[:] = np.nan
        whole[known] = values
        columns.append(whole)
    columns[4][:] = True
    columns[4][known] = False
    return CensoredMaximum(*columns)


def _zeros(batch: CensoredBatch) -> NDArray[np.int64]:
    return np.zeros(batch.size, dtype=np.int64)
