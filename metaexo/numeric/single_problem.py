"""The maximum of the (restricted) likelihood of tau2 for one problem, in plain numbers.

The steps, the proof and the answer are those of `likelihood_maximum` and `scan`, which solve many problems at
once with arrays. For a single short problem arrays of one element would take most of the time: here the
interval of the scan is halved only as far as the proof needs, and every number is a float.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaexo.numeric.likelihood import log_likelihood, score_parts, unbounded
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import bracketed_newton
from metaexo.numeric.scan import ABOVE_ZERO, MOST_INTERVALS, SHORTEST, settled_between
from metaexo.numeric.tau2 import Tau2, no_maximum
from metaexo.types import Array

# A first guess by cubic interpolation is trusted in brackets up to this width in log tau2.
WIDEST = 3.0
LARGEST_STEP = 50.0
TINY = float(np.finfo(float).tiny)


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
    tau2, iterations = _highest_of_one(problem, candidates) if len(candidates) > 1 else (candidates or [(0.0, 0)])[0]
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
