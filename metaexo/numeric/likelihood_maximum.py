"""ML and REML estimates of tau2, proved to be global, and bounds by the profile likelihood.

Each bracket of the scan is refined by a safeguarded Newton iteration on h = log(y'PPy / trace) as a function
of log(tau2 + s), which is nearly a straight line. The boundary at 0 is a candidate where the score is not
positive there. If there are several candidates, their likelihoods are compared.

A single short problem is solved with plain numbers by the same steps: with 13 effects that takes a third of
the time of a batch of one (0.10 ms in place of 0.29 ms), and halves the time of a whole fit.

The profile likelihood set holds every tau2 whose log-likelihood lies within half a chi-square quantile of the
maximum. Between its local maxima, all of which are known from the scan, the likelihood falls once and rises
once; so each end of the set lies in a bracket with a single crossing. Where the set falls apart, the bounds
enclose all of it.

References
----------
Hardy, R. J., Thompson, S. G. (1996). A likelihood approach to meta-analysis with random effects. Statistics
in Medicine 15, 619-629. https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. Statistics in
Medicine 26, 37-52. https://doi.org/10.1002/sim.2514
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import (
    ABOVE_ZERO,
    FORM,
    MOST_INTERVALS,
    RHO,
    SHORTEST,
    SIGMA,
    TRACE,
    Scan,
    T,
    log_likelihood,
    scan,
    score_parts,
    settled_between,
    unbounded,
)
from metaexo.numeric.moments import CACHE_ELEMENTS, Moments, moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import Roots, bracketed_newton, of_arrays
from metaexo.numeric.tau2 import Tau2, in_parts, no_maximum, variance_scale
from metaexo.types import Array

# A first guess by cubic interpolation is trusted in brackets up to this width in log tau2.
WIDEST = 3.0
LARGEST_STEP = 50.0
TINY = float(np.finfo(float).tiny)
EXPANSION = 8.0


@in_parts
def maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=False)


@in_parts
def restricted_maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the restricted likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=True)


@in_parts
def maximum_likelihood_alone(batch: Batch) -> Tau2:
    """Return the same maximum without standard errors and scores, which take a tenth of the time."""
    return _global_maximum(batch, restricted=False, certified=False)


@in_parts
def restricted_maximum_likelihood_alone(batch: Batch) -> Tau2:
    """Return the same maximum without standard errors and scores, which take a tenth of the time."""
    return _global_maximum(batch, restricted=True, certified=False)


def likelihood_at(batch: Batch, tau2: float, restricted: bool) -> Tau2:
    """Return a given tau2 with the standard error and the score that the likelihood has there."""
    none = np.zeros(batch.size, dtype=np.int64)
    counts = (none, none, none == 0)
    return _certify(batch, np.full(batch.size, tau2), counts, variance_scale(batch), restricted)


def local_maxima(batch: Batch, restricted: bool) -> tuple[NDArray[np.intp], Array]:
    """Return the problem and the tau2 of every local maximum, the boundary included, shape (N,) each."""
    seen = scan(batch, restricted)
    at_zero = np.flatnonzero(seen.boundary)
    inner = np.empty(0)
    if seen.problem.size:
        inner = _refine(batch, seen, variance_scale(batch), restricted).root
    return np.concatenate([at_zero, seen.problem]), np.concatenate([np.zeros(at_zero.size), inner])


def _global_maximum(batch: Batch, restricted: bool, certified: bool = True) -> Tau2:
    if batch.size == 1 and batch.unit and batch.y.size <= CACHE_ELEMENTS:
        return maximum_of_one(batch, restricted)
    seen = scan(batch, restricted)
    problem, scale = seen.problem, variance_scale(batch)
    maxima = seen.boundary + np.bincount(problem, minlength=batch.size)
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    if problem.size:
        roots = _refine(batch, seen, scale, restricted)
        if (maxima > 1).any():
            tau2, iterations = _highest(batch, seen, roots, maxima, restricted)
        else:
            tau2[problem], iterations[problem] = roots.root, roots.iterations
    counts = (iterations, maxima, seen.proved)
    if certified:
        found = _certify(batch, tau2, counts, scale, restricted)
    else:
        unknown = np.full(batch.size, np.nan)
        found = Tau2(tau2, unknown, tau2 == 0, unknown, unknown, *counts)
    if batch.v.min() > 0:
        return found
    nowhere = unbounded(batch, restricted)
    other = no_maximum(batch.size)
    parts = {f.name: (getattr(found, f.name), getattr(other, f.name)) for f in fields(Tau2)}
    return Tau2(**{name: np.where(nowhere, without, own) for name, (own, without) in parts.items()})


def _refine(batch: Batch, seen: Scan, scale: Array, restricted: bool) -> Roots:
    """Solve h = 0 in the brackets of the scan."""
    problem, scale = seen.problem, scale[seen.problem]

    def step(t: Any, which: Any) -> tuple[Any, Any]:
        if isinstance(which, int):  # one bracket alone: plain numbers
            at = moments(batch.take(int(problem[which])), t)
        else:
            at = moments(batch, t, problem[which])
        form, trace, form_slope, trace_slope = score_parts(at, restricted)
        value = np.log(form / trace)
        slope = trace_slope / trace - form_slope / form
        return value, _step_in_log(value, slope, t + scale[which])

    low, high = seen.ends[:, T]
    return bracketed_newton(step, low, high, _first_guess(seen.ends, scale), scale)


def _step_in_log(value: Any, slope: Any, moved: Any) -> Any:
    """Return Newton's step in t for a function whose argument is log of `moved`, a shifted t."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved * np.expm1(np.minimum(np.maximum(-value / (slope * moved), -50.0), 50.0))


def _first_guess(ends: Array, scale: Array) -> Array:
    """Return the root of h by cubic interpolation in the bracket; Newton's step from below in a wide one.

    log(t + scale) is taken as a cubic function of h, through both ends with the slopes there.
    """
    moved = ends[:, T] + scale
    h = np.log(np.maximum(ends[:, FORM], np.finfo(float).tiny) / ends[:, TRACE])
    slope = 1 / ends[:, RHO] - 2 / ends[:, SIGMA]
    rise = h[1] - h[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width = np.log(moved[1] / moved[0])
        m = rise / (slope * moved)
        u = -h[0] / rise
        cubic = u * ((1 - u) ** 2 * m[0] + u * ((3 - 2 * u) * width - (1 - u) * m[1]))
        guess = ends[0, T] + moved[0] * np.expm1(cubic)
        useful = (np.abs(width - 1.5) < 1.5) & (guess > ends[0, T]) & (guess < ends[1, T])
    if useful.all():
        return np.asarray(guess)
    return np.asarray(np.where(useful, guess, ends[0, T] + _step_in_log(h[0], slope[0], moved[0])))


def _highest(
    batch: Batch, seen: Scan, roots: Roots, maxima: NDArray[np.int64], restricted: bool
) -> tuple[Array, NDArray[np.int64]]:
    """Return the candidate with the highest likelihood for each problem; 0 wins a tie."""
    several = np.flatnonzero(maxima > 1)
    zero = np.full(batch.size, -np.inf)
    at_zero = several[seen.boundary[several]]
    zero[at_zero] = log_likelihood(batch.take(at_zero), np.zeros(at_zero.size), restricted)
    rows = np.flatnonzero(maxima[seen.problem] > 1)
    inner = np.full(seen.problem.size, np.inf)
    inner[rows] = log_likelihood(batch.take(seen.problem[rows]), roots.root[rows], restricted)
    best = zero.copy()
    np.maximum.at(best, seen.problem, inner)
    wins = (inner == best[seen.problem]) & (inner > zero[seen.problem])
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    tau2[seen.problem[wins]], iterations[seen.problem[wins]] = roots.root[wins], roots.iterations[wins]
    return tau2, iterations


def _certify(
    batch: Batch,
    tau2: Array,
    counts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
    scale: Array,
    restricted: bool,
) -> Tau2:
    """Attach standard error, score and curvature to the solutions; `counts`: iterations, maxima, proved."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a variance of 0 at tau2 = 0 has no likelihood
        form, trace, form_slope, trace_slope = score_parts(moments(batch, tau2), restricted)
        boundary = tau2 == 0
        score = 0.5 * (form - trace) * np.where(boundary, scale, tau2)
        second = 0.5 * (trace_slope - form_slope) * tau2**2 + score
        return Tau2(
            tau2, np.sqrt(2.0 / trace_slope), boundary, score, np.where(boundary, np.nan, second), *counts
        )


class Point(NamedTuple):
    """What the score is made of at one tau2: y'PPy, the trace, rho and sigma (see scan)."""

    t: float
    form: float
    trace: float
    rho: float
    sigma: float

    @property
    def slope(self) -> float:
        """The slope of h."""
        return 1 / self.rho - 2 / self.sigma if self.rho and self.sigma else 0.0


class Interval(NamedTuple):
    """An interval of tau2 by its ends; `falls` where h is known to fall in it."""

    low: Point
    high: Point
    falls: bool = False

    @property
    def turns(self) -> bool:
        """Whether the score is positive at the lower end and not at the upper."""
        return self.low.form > self.low.trace and self.high.form <= self.high.trace


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its batch of one, the kind of likelihood, and the variances that set its scale.

    The scan begins at `begin`, above 0 where a sampling variance is 0, and halves intervals on the scale of
    log(tau2 + floor).
    """

    batch: Batch
    restricted: bool
    smallest: float
    largest: float
    begin: float
    floor: float
    scale: float

    def parts(self, t: float) -> tuple[float, float, float, float]:
        """Return quadratic form, trace and minus their derivatives at a tau2."""
        at: Moments = moments(self.batch, t)
        form, trace, form_slope, trace_slope = score_parts(at, self.restricted)
        return form, trace, form_slope, trace_slope  # type: ignore[return-value]

    def point(self, t: float) -> Point:
        """Return the point at a tau2."""
        form, trace, form_slope, trace_slope = self.parts(t)
        rho = trace / trace_slope if trace_slope else math.nan
        return Point(t, form, trace, rho, 2 * form / form_slope if form_slope else 0.0)

    def end(self) -> float:
        """Return a tau2 above which the score is negative; the formula is that of likelihood.upper_bound."""
        rss = float(self.batch.y[0].dot(self.batch.y[0]))
        f = float(self.batch.k[0]) - (self.batch.p if self.restricted else 0)
        root = (rss + math.sqrt(rss * rss + 4 * f * rss * (self.largest - self.smallest))) / (2 * f)
        return max(1.0000001 * root - self.smallest, 0.0)


def maximum_of_one(batch: Batch, restricted: bool) -> Tau2:
    """Return the global maximum of a batch of one problem whose counts are all 1."""
    problem = _problem(batch, restricted)
    begin = problem.begin
    end = max(problem.end(), begin)
    middle = min(max(problem.largest - 2 * problem.smallest, begin), end)
    first = centre = problem.point(begin)
    intervals = []
    if middle > begin:
        centre = problem.point(middle)
        intervals.append(Interval(first, centre))
    if (
        end > middle and centre.form > centre.trace
    ):  # else the score, which falls from here on, stays negative
        intervals.append(Interval(centre, problem.point(end), falls=True))
    brackets, proved = _brackets(problem, intervals)
    boundary = problem.smallest > 0 and first.form <= first.trace
    candidates = [(0.0, 0)] if boundary else []
    candidates += [_refine_one(problem, bracket) for bracket in brackets]
    tau2, iterations = (
        _highest_of_one(problem, candidates) if len(candidates) > 1 else (candidates or [(0.0, 0)])[0]
    )
    if problem.smallest == 0 and unbounded(batch, restricted)[0]:
        return no_maximum(1)
    return _certify_one(problem, tau2, iterations, len(candidates), proved)


def _problem(batch: Batch, restricted: bool) -> Problem:
    v = batch.v[0]
    smallest, largest = float(v.min()), float(v.max())
    if smallest > 0:
        return Problem(batch, restricted, smallest, largest, 0.0, smallest, v.size / float((1.0 / v).sum()))
    positive = v[v > 0]
    if positive.size:
        begin = ABOVE_ZERO * float(positive.min())
        scale = positive.size / float((1.0 / positive).sum())
        return Problem(batch, restricted, smallest, largest, begin, begin, scale)
    spare = max(float((batch.y**2).max()), TINY)
    return Problem(batch, restricted, smallest, largest, ABOVE_ZERO * spare, ABOVE_ZERO * spare, spare)


def _brackets(problem: Problem, intervals: list[Interval]) -> tuple[list[Interval], bool]:
    """Halve the intervals that are not settled, and return those over which the score turns negative."""
    found, proved, looked_at = [], True, 0
    while intervals:
        interval = intervals.pop()
        looked_at += 1
        low, high = interval.low.t, interval.high.t
        if not (interval.falls or settled_between(interval.low, interval.high)):
            if high - low > SHORTEST * (high + problem.floor) and looked_at <= MOST_INTERVALS:
                middle = math.sqrt((low + problem.floor) * (high + problem.floor)) - problem.floor
                centre = problem.point(min(max(middle, low), high))
                intervals += [Interval(interval.low, centre), Interval(centre, interval.high)]
                continue
            proved = False
        if interval.turns:
            found.append(interval)
    return found, proved


def _refine_one(problem: Problem, bracket: Interval) -> tuple[float, int]:
    """Return the root of h in a bracket of the scan, and the evaluations used."""
    scale = problem.scale

    def step(t: float, _: int) -> tuple[float, float]:
        form, trace, form_slope, trace_slope = problem.parts(t)
        h = math.log(form / trace)
        return h, _step_of_one(h, trace_slope / trace - form_slope / form, t + scale)

    low, high = np.array([bracket.low.t]), np.array([bracket.high.t])
    roots = bracketed_newton(step, low, high, np.array([_guess_of_one(bracket, scale)]), np.array([scale]))
    return float(roots.root[0]), int(roots.iterations[0])


def _step_of_one(h: float, slope: float, moved: float) -> float:
    """Return Newton's step in t for a function whose argument is the log of `moved`, a shifted t."""
    rate = slope * moved
    step = -h / rate if rate else math.copysign(LARGEST_STEP, h)
    return moved * math.expm1(min(max(step, -LARGEST_STEP), LARGEST_STEP))


def _guess_of_one(bracket: Interval, scale: float) -> float:
    """Return the root of h by cubic interpolation in the bracket; Newton's step from below in a wide one."""
    low, high = bracket.low, bracket.high
    begin, end = low.t + scale, high.t + scale
    slope, slope_after = low.slope, high.slope
    h, width = math.log(low.form / low.trace), math.log(end / begin)
    rise = math.log(max(high.form, TINY) / high.trace) - h
    if slope and slope_after and rise and width < WIDEST:
        u, m, m_after = -h / rise, rise / (slope * begin), rise / (slope_after * end)
        cubic = u * ((1 - u) ** 2 * m + u * ((3 - 2 * u) * width - (1 - u) * m_after))
        guess = low.t + begin * math.expm1(min(cubic, LARGEST_STEP))
        if low.t < guess < high.t:
            return guess
    return low.t + _step_of_one(h, slope, begin)


def _highest_of_one(problem: Problem, candidates: list[tuple[float, int]]) -> tuple[float, int]:
    """Return the candidate with the highest likelihood; 0, which stands first, wins a tie."""
    at: Array = np.array([t for t, _ in candidates])
    values = [
        float(log_likelihood(problem.batch, at[i : i + 1], problem.restricted)[0]) for i in range(at.size)
    ]
    return candidates[values.index(max(values))]


def _certify_one(problem: Problem, tau2: float, iterations: int, maxima: int, proved: bool) -> Tau2:
    """Attach standard error, score and curvature to the solution."""
    at_zero = tau2 == 0
    if at_zero and problem.smallest == 0:  # no likelihood there
        form, trace, form_slope, trace_slope = (math.nan,) * 4
    else:
        form, trace, form_slope, trace_slope = problem.parts(tau2)
    score = 0.5 * (form - trace) * (problem.scale if at_zero else tau2)
    second = math.nan if at_zero else 0.5 * (trace_slope - form_slope) * tau2**2 + score
    return Tau2(
        tau2=np.array([tau2]),
        se=np.array([math.sqrt(2.0 / trace_slope)]),
        at_boundary=np.array([at_zero]),
        score=np.array([score]),
        curvature=np.array([second]),
        iterations=np.array([iterations]),
        maxima=np.array([maxima]),
        proved=np.array([proved]),
    )


def profile_likelihood_interval(batch: Batch, restricted: bool, drop: float) -> tuple[Array, Array]:
    """Return the ends of the set of tau2 whose log-likelihood is at least the maximum minus `drop`.

    `drop`: half the quantile of chi-square with one degree of freedom. Returns `low` and `high`, shape (B,):
    ends of the set; `low` is 0 where the set reaches the boundary.
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

    def step(at: Any, rows: Any) -> tuple[Any, Any]:
        here = part.take(rows)
        value = sign * (log_likelihood(here, at, restricted) - target[rows])
        form, trace, _, _ = score_parts(moments(here, at), restricted)
        moved = at + unit[rows]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            away = np.clip(-value / (sign * 0.5 * (form - trace) * moved), -50.0, 50.0)
        return value, moved * np.expm1(away)

    if which.size:
        start = np.sqrt((low[which] + unit) * (high[which] + unit)) - unit
        out[which] = bracketed_newton(of_arrays(step), low[which], high[which], start, unit).root
    return out
