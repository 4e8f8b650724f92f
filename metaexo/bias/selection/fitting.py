"""Fitting a selection model: the problem in units of the data, starts, the maximum, and profiles of it.

Effects are mirrored so that greater ones are favoured, divided by a typical standard deviation, and the
columns of the design are made orthonormal, so that scale, direction and calendar years cost no digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from metaexo.errors import InputError
from metaexo.immutable import Immutable
from metaexo.inputs import read_numbers
from metaexo.numeric.likelihood_maximum import maximum_likelihood
from metaexo.numeric.problem import make_batch
from metaexo.numeric.selection.likelihood import HALF_LOG_2PI, Problem, Weights
from metaexo.numeric.selection.smooth import KINDS, Smooth
from metaexo.numeric.selection.solver import Maxima, maximise
from metaexo.numeric.selection.steps import NEVER, Steps, step_of
from metaexo.types import Array, Index, Mask

# The search ends where coefficients and tau are this many times the spread of the effects, and where a weight
# of a step or a parameter of a smooth weight function is beyond these.
FAR = 1000.0
MOST_LOG_WEIGHT = 25.0
MOST_DELTA = 1e4
# Bounds of the parameters that are logarithms: powers and exponents.
POWERS = (1e-4, 1e3)
# Starts whose log-likelihood is nearer to the largest one than this have found the same maximum.
SAME = 1e-6
# Smallest eigenvalue of minus the Hessian, scaled to a unit diagonal, at which it is taken as definite.
DEFINITE = 1e-9
# Error of the integrals above which the rules get twice the points, and how often at most.
EXACT = 1e-10
MOST_REFINED = 8
# Logarithm of the share of effects that are seen below which an estimate is no estimate any more.
HARDLY_ANY = -100.0
PROFILE_STEPS = 40
PROFILE_ITERATIONS = 50
# How near the root of the drop of the log-likelihood is to what is sought where the search for an end stops.
CLOSE = 1e-8
# Width, in theta, at which that search stops where the likelihood is too rugged for its maxima to be found.
NARROW = 1e-3


ALTERNATIVES = ("greater", "less", "two-sided")
# Size of the logarithm of a weight beyond which it goes to 0 or infinity.
STEEP = 12.0


class Shape(NamedTuple):
    """What is selected by: the kind of weights, in the units of the effects as they were handed in."""

    kind: str
    cuts: tuple[float, ...]
    two_sided: bool
    precision: Array | None  # (k,), at most 1


def cuts_of(cuts: object, kind: str) -> tuple[float, ...]:
    """Return the cuts, checked: p-values above 0 and below 1 in rising order, or the truncation point."""
    if kind == "truncated-estimated":
        if cuts is not None:
            raise InputError(
                "cuts are given for an estimated truncation point", 'weights="truncated" with cuts='
            )
        return ()
    if cuts is None:
        return {"step": (0.025,), "truncated": (0.0,)}.get(kind, ())
    values = np.atleast_1d(read_numbers(cuts, "cuts"))
    if values.ndim != 1:
        raise InputError(f"cuts has shape {values.shape}", "p-values in rising order", "cuts=(0.025, 0.5)")
    if kind == "truncated":
        if values.shape != (1,) or not np.isfinite(values).all():
            raise InputError("cuts of a truncation is not one number", "the effect at which it is truncated")
        return (float(values[0]),)
    if values.size and values[-1] == 1:
        values = values[:-1]
    if not ((values > 0) & (values < 1)).all() or (np.diff(values) <= 0).any():
        raise InputError(
            f"cuts are {', '.join(f'{cut:g}' for cut in values.ravel())}",
            "p-values above 0 and below 1, in rising order",
            "cuts=(0.025,) or cuts=(0.025, 0.5)",
        )
    if kind == "beta" and values.size:
        raise InputError("cuts are given for beta weights", "no cuts, or other weights", "leave cuts= out")
    if kind != "step" and values.size > 1:
        raise InputError(
            f"{values.size} cuts for {kind} weights",
            "one p-value, up to which the weight is 1",
            'use one cut, or weights="step"',
        )
    if kind == "step" and not values.size:
        raise InputError("there are no cuts below 1", "p-values that end a step", "cuts=(0.025,)")
    return tuple(values.tolist())


@dataclass(frozen=True, eq=False)
class Standard(Immutable):
    """Effects in standard units.

    `y`, `v`, `x`: mirrored, divided by `unit`, orthonormal. `to_beta` takes the coefficients on `x` to those
    of the design, mirrored back and in units of the effects.
    """

    y: Array
    v: Array
    x: Array
    to_beta: Array
    unit: float
    sign: float
    centre: float  # what the effects are counted from: the value of no effect
    floor: float  # harmonic mean of v: the scale on which tau2 is looked for
    reach: float  # largest distance between effects, and standard errors

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.x.shape[1])

    @cached_property
    def plain_tau2(self) -> float:
        """The ML estimate of tau2 without selection."""
        alone = self.p == 1 and np.ptp(self.x) == 0
        batch = make_batch(self.y, self.v, None if alone else self.x)
        return float(maximum_likelihood(batch).tau2[0])


def standard_units(y: Array, v: Array, x: Array, sign: float, centre: float = 0.0) -> Standard:
    """Return effects in standard units."""
    unit = float(np.sqrt(1 / (1 / v).mean()))
    root = np.sqrt(len(y))
    if x.shape[1] == 1 and np.ptp(x) == 0:  # an intercept stays exactly constant: sums take the short way
        columns, r = np.ones_like(x), x[:1] * root
    else:
        q, r = np.linalg.qr(x)
        columns = q * root
    ys, vs = sign * (y - centre) / unit, v / unit**2
    return Standard(
        y=ys,
        v=vs,
        x=columns,
        to_beta=np.linalg.inv(r) * (root * unit * sign),
        unit=unit,
        sign=sign,
        centre=centre,
        floor=1.0,
        reach=float(max(np.abs(ys).max(), np.sqrt(vs.max()))),
    )


class Parts(NamedTuple):
    """Weights with the bounds of their parameters, the logarithms that were found beforehand, and starts."""

    weights: Weights
    low: Array  # (J,)
    high: Array
    starts: Array  # (M, J)
    counts: tuple[int, ...] = ()  # p-values per step


def pvalues_of(shape: Shape, data: Standard) -> Array:
    """Return the p-values of the effects: one-sided in the favoured direction, or two-sided."""
    return pvalues(data.y / np.sqrt(data.v), shape.two_sided)


def pvalues(z: Array, two_sided: bool) -> Array:
    """Return the p-values of z: one-sided, small where z is large, or two-sided."""
    return np.asarray(2 * ndtr(-np.abs(z)) if two_sided else ndtr(-z))


def step_edges(cuts: Array, two_sided: bool) -> tuple[Array, Index]:
    """Return the values of z between which the weights are constant, and which weight is where."""
    count = cuts.size + 1
    if not two_sided:
        return -ndtri(cuts)[::-1], np.arange(count - 1, -1, -1, dtype=np.intp)
    a = -ndtri(cuts / 2)
    return np.concatenate([-a, a[::-1]]), np.array([*range(count), *range(count - 2, -1, -1)], dtype=np.intp)


def step_parts(shape: Shape, data: Standard, swap: bool = True) -> Parts:
    """Return the weights of steps of p-values.

    The weight of a step without p-values is 0 at the maximum; where it is the first, to which the others
    relate, the next one with p-values takes its place.
    """
    cuts = np.array([cut for cut in shape.cuts if cut < 1])
    count = cuts.size + 1
    root_v = np.sqrt(data.v)
    z, kind = step_edges(cuts, shape.two_sided)
    seen = step_of(pvalues_of(shape, data), cuts)
    weights = Steps((root_v[:, None] * z)[None], kind, seen[None], count)
    counts = np.bincount(seen, minlength=count)
    return Parts(weights, *step_bounds(counts, swap), np.zeros((1, 0)), tuple(counts.tolist()))


def step_bounds(counts: Index, swap: bool = True) -> tuple[Array, Array]:
    """Return the bounds of the logarithms of weights of steps that hold so many p-values."""
    low, high = np.full(counts.size, -MOST_LOG_WEIGHT), np.full(counts.size, MOST_LOG_WEIGHT)
    low[counts == 0] = high[counts == 0] = NEVER
    reference = int(np.flatnonzero(counts)[0]) if swap else 0
    low[reference] = high[reference] = 0.0
    return low, high


def truncation_parts(shape: Shape, data: Standard) -> Parts:
    """Return the weights of effects above and below a point: 1 and delta."""
    cut = data.sign * (shape.cuts[0] - data.centre) / data.unit
    return truncation_at(data, np.array([cut]), (data.y <= cut)[None])


def truncation_at(data: Standard, cuts: Array, below: Mask) -> Parts:
    """Return the weights for truncation points, shape (N,), and which effects are below, shape (N, k)."""
    edges = np.broadcast_to(cuts[:, None, None], (cuts.size, data.y.size, 1))
    weights = Steps(edges, np.array([1, 0]), below.astype(np.intp), 2, truncates=True)
    counts = np.array([(~below[0]).sum(), below[0].sum()])
    return Parts(weights, *step_bounds(counts), np.zeros((1, 0)), tuple(counts.tolist()))


def smooth_parts(shape: Shape, data: Standard) -> Parts:
    """Return the weights of a smooth function of the p-value."""
    kind = KINDS[shape.kind]
    precision = np.ones((1, 1)) if shape.precision is None else shape.precision[None]
    constant = shape.cuts[0] if shape.cuts else None
    weights = Smooth(kind, data.y[None], np.sqrt(data.v)[None], precision, shape.two_sided, constant)
    shift = weights.shift
    low, high = np.zeros(shift.size), np.full(shift.size, np.log(MOST_DELTA + 1))
    low[shift == 0], high[shift == 0] = np.log(POWERS)
    starts = np.log(np.array(SMOOTH_STARTS[shape.kind]) + shift)
    return Parts(weights, low, high, np.asarray(starts))


SMOOTH_STARTS: dict[str, tuple[tuple[float, ...], ...]] = {
    **dict.fromkeys(("half-normal", "negative-exponential", "logistic"), ((0.2,), (2.0,), (8.0,))),
    "power": ((0.1,), (0.6,), (3.0,)),
    "negative-exponential-power": ((0.5, 0.7), (3.0, 0.3), (5.0, 3.0), (20.0, 20.0)),
    # In pairs: turned about, they are the weights of the mirrored effects.
    "beta": (
        *((1.0, 1.0), (1.3, 0.8), (1.3, 1.6), (0.9, 1.3), (0.3, 1.3)),
        *((0.8, 1.3), (1.6, 1.3), (1.3, 0.9), (1.3, 0.3)),
    ),
}


class Fitted(NamedTuple):
    """A fit in standard units with all that is needed to fit it again."""

    data: Standard
    shape: Shape
    parts: Parts | None  # None for an estimated truncation point
    fixed: Array | None
    solution: Solution


def make_parts(shape: Shape, data: Standard, swap: bool = True) -> Parts:
    """Return the weights of a kind; those with an estimated truncation point are made one by one."""
    if shape.kind == "step":
        return step_parts(shape, data, swap)
    return truncation_parts(shape, data) if shape.kind == "truncated" else smooth_parts(shape, data)


class Solution(NamedTuple):
    """A maximum of the likelihood in standard units, and what is known of it."""

    problem: Problem
    theta: Array  # (Q,)
    llf: float
    gradient: Array
    hessian: Array
    held: Mask
    low: Array
    high: Array
    converged: bool
    rise: float
    ends: Array  # log-likelihoods to which the starts led


def solve(
    data: Standard,
    parts: Parts,
    tau2: float | None,
    fixed: Array | None = None,
    more: Array | None = None,
) -> Solution:
    """Return the highest maximum that several starts lead to.

    `tau2`: fixed, in standard units; None: estimated. `fixed`: parameters of the weights as theta has them,
    NaN where they are estimated. `more`: further starts, shape (B, Q).
    """
    low, high = bounds(data, parts, tau2, fixed)
    problem = Problem(data.y[None], data.v[None], data.x[None], parts.weights, np.array([data.floor]))
    start = starting_points(data, parts, tau2)
    if more is not None:
        start = np.vstack([start, more])
    unit = units_of(data, low.size)
    solution = solution_of(problem, maximise(problem.evaluate, start, low, high, unit), low, high)
    while quadrature_error(solution) > EXACT:
        weights = solution.problem.weights
        assert isinstance(weights, Smooth)
        if weights.refine >= MOST_REFINED:
            break
        finer = replace(problem, weights=weights.refined())
        found = maximise(finer.evaluate, solution.theta[None], low, high, unit)
        solution = solution_of(finer, found, low, high)._replace(ends=solution.ends)
    return solution


def quadrature_error(solution: Solution) -> float:
    """Return the change of the log-likelihood with twice the points; 0 for closed forms."""
    problem = solution.problem
    if not isinstance(problem.weights, Smooth):
        return 0.0
    finer = replace(problem, weights=problem.weights.refined())
    return abs(float(finer.evaluate(solution.theta[None]).llf[0]) - solution.llf)


def bounds(data: Standard, parts: Parts, tau2: float | None, fixed: Array | None) -> tuple[Array, Array]:
    """Return the bounds of theta; equal where it is fixed."""
    far = np.full(data.p, FAR * data.reach)
    ends = [np.log(data.floor), np.log((FAR * data.reach) ** 2 + data.floor)]
    if tau2 is not None:
        ends = [np.log(tau2 + data.floor)] * 2
    low, high = parts.low, parts.high
    if fixed is not None:
        low, high = np.where(np.isnan(fixed), low, fixed), np.where(np.isnan(fixed), high, fixed)
    return np.concatenate([-far, ends[:1], low]), np.concatenate([far, ends[1:], high])


class Plain(NamedTuple):
    """The ML fit without selection, in standard units."""

    beta: Array
    cov: Array
    tau2: float
    llf: float


def plain_maximum(data: Standard, tau2: float | None) -> Plain:
    """Return the ML fit without selection, with tau2 estimated or fixed."""
    found = data.plain_tau2 if tau2 is None else tau2
    w = 1 / (data.v + found)
    xw = data.x * w[:, None]
    cov = np.linalg.inv(data.x.T @ xw)
    beta = cov @ (xw.T @ data.y)
    e = data.y - data.x @ beta
    llf = 0.5 * float((np.log(w) - w * e * e).sum()) - HALF_LOG_2PI * e.size
    return Plain(beta, np.asarray(cov), found, llf)


# Starts: of the mean, in units of the spread of effects; of tau2, as a factor; of logarithms of weights.
STEP_STARTS = (
    (0.0, 1.0, 0.0),
    (-0.5, 1.0, -1.5),
    (-0.5, 0.25, -1.5),
    (-1.5, 3.0, -3.0),
    (0.3, 1.0, 1.5),
)
SMOOTH_MEANS = ((0.0, 1.0, 0.0), (-0.7, 0.0, 0.0), (0.7, 0.0, 0.0), (-1.5, 3.0, 0.0))


def starting_points(data: Standard, parts: Parts, tau2: float | None) -> Array:
    """Return starts, shape (B, Q): the fit without selection, and others around it."""
    b, _, t2, _ = plain_maximum(data, tau2)
    spread = float(np.sqrt(np.median(data.v) + t2))
    towards = data.x.sum(axis=0) / len(data.y)  # coefficients of a common shift, where there is an intercept
    towards = towards / max(float(towards @ towards), 1e-12) if towards.any() else towards
    tries = STEP_STARTS if parts.starts.shape[1] == 0 else SMOOTH_MEANS
    weights = parts.starts if parts.starts.shape[1] else np.zeros((1, parts.low.size))
    shift, factor, log_weight = np.array(tries).T
    variance = factor * t2 + np.where(factor > 1, 0.1, 0.0)
    outer = np.column_stack([b + np.outer(shift * spread, towards), np.log(variance + data.floor)])
    inner = np.minimum(np.maximum(weights + log_weight[:, None, None], parts.low), parts.high)
    return np.hstack([np.repeat(outer, len(weights), axis=0), inner.reshape(len(tries) * len(weights), -1)])


def units_of(data: Standard, q: int) -> Array:
    """Return the longest first step of each element of theta."""
    unit = np.full(q, 1.5)
    unit[: data.p] = max(1.0, 0.5 * data.reach)
    return unit


def solution_of(problem: Problem, found: Maxima, low: Array, high: Array) -> Solution:
    """Return the best of several maxima."""
    i = int(np.argmax(found.llf))
    held = found.held[i].copy()
    weights = problem.weights
    if isinstance(weights, Smooth) and weights.kind.moot_at_zero and held[-2]:
        held[-1] = True
    return Solution(
        problem=problem,
        theta=found.theta[i],
        llf=float(found.llf[i]),
        gradient=found.gradient[i],
        hessian=found.hessian[i],
        held=held,
        low=low,
        high=high,
        converged=bool(found.converged[i]),
        rise=float(found.rise[i]),
        ends=found.llf,
    )


def estimated_truncation(data: Standard, tau2: float | None) -> tuple[Solution, float]:
    """Return the maximum over the truncation point too, and that point in standard units.

    Between two neighbouring effects the likelihood is monotone in the point, so that its supremum lies at
    an effect: all of them are tried, the effect itself counted as above and as below.
    """
    values = np.unique(data.y)
    cuts, below = [], []
    for lower, upper in pairwise(values):
        for cut in (lower, upper):
            cuts.append(cut)
            below.append(data.y <= lower)
    first = truncation_at(data, np.array(cuts[:1]), np.array(below[:1]))
    low, high = bounds(data, first, tau2, None)
    start = starting_points(data, first, tau2)
    many = truncation_at(data, np.repeat(cuts, len(start)), np.repeat(np.array(below), len(start), axis=0))
    size = len(cuts) * len(start)
    y, v, x = (np.broadcast_to(a, (size, *a.shape)) for a in (data.y, data.v, data.x))
    problem = Problem(y, v, x, many.weights, np.full(size, data.floor))
    found = maximise(
        problem.evaluate,
        np.tile(start, (len(cuts), 1)),
        low,
        high,
        units_of(data, low.size),
        np.arange(size),
    )
    i = int(np.argmax(found.llf))
    which = i // len(start)
    one = truncation_at(data, np.array([cuts[which]]), below[which][None])
    alone = Problem(data.y[None], data.v[None], data.x[None], one.weights, np.array([data.floor]))
    return solution_of(alone, found, low, high), float(cuts[which])


# -- what follows from a solution ---------------------------------------------------------------------------


def covariance(solution: Solution) -> tuple[Array, float]:
    """Return the inverse of minus the Hessian by theta, and its smallest eigenvalue on a unit diagonal.

    Parameters that are held have no variance (NaN); all are NaN where the Hessian is not definite.
    """
    free = np.flatnonzero(~solution.held)
    size = solution.theta.size
    cov = np.full((size, size), np.nan)
    if not free.size:
        return cov, np.nan
    minus = -solution.hessian[np.ix_(free, free)]
    scale = np.sqrt(np.abs(np.diagonal(minus)))
    if not (np.isfinite(minus).all() and (scale > 0).all()):
        return cov, 0.0
    values, vectors = np.linalg.eigh(minus / np.outer(scale, scale))
    if values[0] < DEFINITE:
        return cov, float(values[0])
    inner = (vectors / values) @ vectors.T / np.outer(scale, scale)
    cov[np.ix_(free, free)] = inner
    return cov, float(values[0])


def profile_bounds(solution: Solution, data: Standard, which: Sequence[int], drop: float) -> Array:
    """Return where the profile log-likelihood of elements of theta lies `drop` below its maximum.

    Shape (len(which), 2): the lower and the upper ends, all found together. The end is the bound of the
    search, infinite unless it is one of the parameter, where the profile does not fall so far.
    The root of the drop is nearly linear in the parameter, and its slope is known from the gradient: each end
    is found by Newton's method, kept between points on either side of it.
    """
    index = np.repeat(np.asarray(which, dtype=np.intp), 2)
    side = np.tile([-1.0, 1.0], len(which))
    size = index.size
    cov, _ = covariance(solution)
    spread = np.sqrt(np.diagonal(cov))[index]
    unit = units_of(data, solution.theta.size)
    centre = solution.theta[index]
    limit = np.where(side < 0, solution.low[index], solution.high[index])
    target = np.sqrt(2 * drop)
    spread = np.where(
        np.isfinite(spread) & (spread > 0), np.minimum(spread, 4 * unit[index]), 0.5 * unit[index]
    )
    inside, outside = centre.copy(), np.full(size, np.nan)
    at = centre + side * target * spread
    theta = np.tile(solution.theta, (size, 1))
    open_ = np.ones(size, dtype=np.bool_)
    result = limit.copy()
    open_ &= centre != limit
    for _ in range(PROFILE_STEPS):
        rows = np.flatnonzero(open_)
        if not rows.size:
            break
        at = np.where(side < 0, np.maximum(at, limit), np.minimum(at, limit))
        found = _held_at(solution, theta[rows], index[rows], at[rows], unit)
        theta[rows] = found.theta
        root = np.sqrt(np.maximum(2 * (solution.llf - found.llf), 0.0))
        slope = -found.gradient[np.arange(rows.size), index[rows]] / np.maximum(root, 1e-12)
        ahead = at[rows] + (target - root) / np.where(slope * side[rows] > 0, slope, np.nan)
        here = at[rows]
        under = root < target
        inside[rows] = np.where(under, here, inside[rows])
        outside[rows] = np.where(under, outside[rows], here)
        done = np.abs(root - target) < CLOSE
        stuck = under & (here == limit[rows])
        result[rows] = np.where(stuck, limit[rows], here)
        width = np.abs(outside[rows] - inside[rows])
        done |= width < 1e-9 * np.maximum(1.0, np.abs(here))
        lost = ~found.converged & (width < NARROW)  # the end lies between: the outer one is the safe answer
        result[rows[lost]] = outside[rows[lost]]
        done |= lost
        open_[rows[done | stuck]] = False
        known = np.isfinite(outside[rows])
        between = 0.5 * (inside[rows] + np.where(known, outside[rows], inside[rows]))
        ok = np.isfinite(ahead) & np.where(
            known, (ahead - inside[rows]) * (ahead - outside[rows]) < 0, (ahead - here) * side[rows] > 0
        )
        further = here + side[rows] * 2 * np.maximum(np.abs(here - centre[rows]), 0.1 * unit[index[rows]])
        longest = here + side[rows] * 4 * np.maximum(np.abs(here - centre[rows]), unit[index[rows]])
        ahead = np.where(
            known, ahead, np.where(side[rows] > 0, np.minimum(ahead, longest), np.maximum(ahead, longest))
        )
        at[rows] = np.where(ok, ahead, np.where(known, between, further))
    result = np.where(log_norm(solution.problem, theta).min(axis=1) < HARDLY_ANY, limit, result)
    return result.reshape(len(which), 2)


def log_norm(problem: Problem, theta: Array) -> Array:
    """Return the logarithm of the share of effects that are seen at rows of theta, shape (B, k)."""
    mean = theta[:, : problem.p] @ problem.x[0].T
    sd = np.sqrt(problem.v + problem.tau2(theta)[:, None])
    return problem.weights.moments(mean, sd, problem.values(theta), None).log_norm


def _held_at(solution: Solution, theta: Array, index: Index, at: Array, unit: Array) -> Maxima:
    """Return the maxima with one element of each row of theta held.

    They are looked for from the last point, from the maximum, and from no selection.
    """
    size = len(theta)
    every = np.arange(size)
    low, high = np.tile(solution.low, (size, 1)), np.tile(solution.high, (size, 1))
    low[every, index] = high[every, index] = at
    start = theta.copy()
    start[every, index] = at
    top = np.tile(solution.theta, (size, 1))
    top[every, index] = at
    p = solution.problem.p
    plain = top.copy()  # little heterogeneity and no selection, where every integral is finite
    plain[:, p] = solution.low[p]
    plain[:, p + 1 :] = np.clip(0.0, solution.low[p + 1 :], solution.high[p + 1 :])
    plain[every, index] = at
    found = maximise(
        solution.problem.evaluate,
        np.vstack([start, top, plain]),
        np.vstack([low, low, low]),
        np.vstack([high, high, high]),
        unit,
        most=PROFILE_ITERATIONS,
    )
    best = np.argmax(found.llf.reshape(3, size), axis=0)
    return found.take(every + size * best)
