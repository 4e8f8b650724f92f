"""The maximum of the likelihood of a mixed model: several starts, the highest, and its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from metaexo.immutable import Immutable
from metaexo.numeric.mixed.climb import Box, Evaluation, Function, Top, climb, observed_information
from metaexo.numeric.mixed.likelihood import evaluate, evaluate_precisely, parts_at
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.search import HIGHER, search
from metaexo.numeric.mixed.structures import Heterogeneous, Unstructured
from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array

# Tops within this distance in log-likelihood count as the same.
SAME_TOP = 1e-5
# A gradient, per standard error of its parameter, up to which the top counts as certified.
CERTIFIED = 1e-4
# Most rows of a problem in which every higher likelihood is searched for, by the number of variances.
SEARCHED_ROWS = {1: 5_000, 2: 500}
# Most variances of which every subset is set to 0 for a start.
MOST_CORNERS = 4
# Corners that are climbed from, of those next to which the likelihood may have a maximum.
MOST_CORNER_CLIMBS = 2
# Problems of more rows than this try fewer starts.
MANY_ROWS = 5_000
# A start that is tried only if the others do not agree.
SPARE = "large, as the others disagree"
# Most rows of a problem that is fitted again in long doubles if doubles lead to no certified maximum.
MOST_PRECISE = 300
# How many kinks of the likelihood next to a top are tried.
NEAR_KINKS = 8
# Further starts for the range of a correlation with kinks, on the scale of starting correlations.
RANGES = (0.3, 0.4, 0.6, 0.65, 0.75, 0.8)
# Information on a parameter, in units of its typical size, up to which differences of the gradient hold
# rounding error that matters: the likelihood is flat there, and the sign of a curvature means nothing.
FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class MixedMaximum(Immutable):
    """The maximum of the likelihood with its certificate."""

    theta: Array  # (n,): parameters
    llf: float  # log-likelihood
    gradient: float  # largest gradient of a free parameter, in units of log-likelihood per standard error
    # smallest eigenvalue of the observed information of the free parameters, scaled to a unit diagonal; NaN
    # if none is free
    curvature: float
    at_bound: NDArray[np.bool_]  # (n,): which parameters rest on a bound
    information: Array  # (n, n): observed information; zero for parameters that do not move
    # starts, agreeing: starts that were tried, and how many of them ended at this maximum
    starts: int
    agreeing: int
    steps: int  # evaluations of the likelihood, all starts together
    log: tuple[str, ...]  # one line per start
    certified: bool  # whether gradient, curvature and bounds are those of a maximum
    # whether a search of all parameters has shown that no likelihood is higher (see `search`)
    verified: bool = False


def maximise(
    problem: MixedProblem,
    restricted: bool,
    fixed: Mapping[int, float] | None = None,
    warm: Array | None = None,
    certify: bool = True,
) -> MixedMaximum | tuple[str, ...]:
    """Return the maximum as `structured.maximise` does, from starts that know nothing of correlations."""
    unit = _unit(problem)
    if unit != 1.0:
        return _in_units(problem, restricted, fixed or {}, warm, certify, unit)
    with np.errstate(all="ignore"):  # a maximum is certified, or none is returned as such
        return _highest(problem, restricted, fixed or {}, warm, certify)


def _unit(problem: MixedProblem) -> float:
    """Return the unit of the effects, a power of 2, mostly 1, in which squares do not overflow."""
    size = float(np.sqrt(variance_unit(problem)[0]))
    return 1.0 if 1e-15 < size < 1e15 else float(2.0 ** np.round(np.log2(size)))


def _in_units(
    problem: MixedProblem,
    restricted: bool,
    fixed: Mapping[int, float],
    warm: Array | None,
    certify: bool,
    unit: float,
) -> MixedMaximum | tuple[str, ...]:
    """Return the maximum of a problem whose effects are divided by a unit first."""
    scaled = replace(problem, y=problem.y / unit, v=problem.v / unit**2)
    size = parameter_scale(problem) / parameter_scale(scaled)
    held = {i: value / size[i] for i, value in fixed.items()}
    found = maximise(scaled, restricted, held, None if warm is None else warm / size, certify)
    if isinstance(found, tuple):
        return found
    rows = problem.y.size - problem.x.shape[1] * restricted
    return replace(
        found,
        theta=found.theta * size,
        llf=found.llf - rows * float(np.log(unit)),
        information=found.information / size / size[:, None],
    )


def _highest(
    problem: MixedProblem, restricted: bool, fixed: Mapping[int, float], warm: Array | None, certify: bool
) -> MixedMaximum | tuple[str, ...]:
    """Return the highest top of all starts, with its certificate."""
    scale = parameter_scale(problem)
    box = _box(problem, scale, fixed)

    def function(scaled: Array) -> Evaluation:
        return _scaled(evaluate(problem, scaled * scale, restricted), scale)

    climbs = _Climbs(function, box)
    if warm is not None:
        climbs.climb("warm", warm / scale)
    starts = start_points(problem, bool((box.lower < box.upper).any())) if warm is None else []
    verified = False
    if starts and _searchable(problem, box):
        name, theta = starts.pop(0)
        climbs.climb(name, theta / scale)
        verified = _searched(problem, restricted, climbs, scale)
    if not verified:
        if starts:
            starts += _corners(problem, restricted, box, scale, start_points(problem, True)[0][1])
        for name, theta in starts:
            climbs.climb(name, theta / scale)
    best = climbs.best
    if best is None:
        return tuple(climbs.log)
    best, box = _at_kink(problem, function, best, box, scale)
    found = _certificate(problem, function, best, box, scale, climbs, certify, verified)
    return found if found.certified or not certify else _precise(problem, restricted, climbs, found, scale)


def _precise(
    problem: MixedProblem, restricted: bool, doubles: _Climbs, found: MixedMaximum, scale: Array
) -> MixedMaximum:
    """Return the highest top in long doubles, where doubles had none that is certified."""
    if problem.y.size > MOST_PRECISE or not all(term.structure.linear for term in problem.terms):
        return found

    def function(scaled: Array) -> Evaluation:
        return _scaled(evaluate_precisely(problem, scaled * scale, restricted), scale)

    climbs = _Climbs(function, doubles.box)
    for top in doubles.tops:
        climbs.climb("in long doubles", top.theta)
    best = climbs.best
    if best is None:
        return found
    verified = _searchable(problem, climbs.box) and _searched(problem, restricted, climbs, scale)
    climbs.log = doubles.log + climbs.log
    better = _certificate(problem, function, climbs.best or best, climbs.box, scale, climbs, True, verified)
    return better if better.certified else found


class _Climbs:
    """Climbs from several starts, and the highest top so far."""

    def __init__(self, function: Function, box: Box) -> None:
        self.function, self.box = function, box
        self.best: Top | None = None
        self.tops: list[Top] = []
        self.log: list[str] = []
        self.starts = self.steps = 0

    def climb(self, name: str, start: Array) -> None:
        """Climb from a start; roughly, unless that leads higher than all starts before."""
        best = self.best
        if name == SPARE and len(self.tops) > 1 and np.ptp([t.at.llf for t in self.tops]) < 10 * SAME_TOP:
            return  # two starts far apart agree, and nothing but variances is estimated
        self.starts += 1
        top = climb(self.function, start, self.box, rough=best is not None)
        if top is not None and best is not None and top.at.llf > best.at.llf + 1e-9:
            top = climb(self.function, top.theta, self.box) or top
        if top is None:
            self.log.append(f"start {name}: the covariance matrix is singular there")
            return
        self.tops.append(top)
        self.steps += top.steps
        self.log.append(
            f"start {name}: log-likelihood {top.at.llf:.9g} after {top.steps} evaluations, {top.reason}"
        )
        if best is None or top.at.llf > best.at.llf + 1e-9:
            self.best = top


def _searchable(problem: MixedProblem, box: Box) -> bool:
    """Say whether every likelihood that is higher than a maximum can be found."""
    moving = int((box.lower < box.upper).sum())
    return (
        moving > 0
        and problem.y.size <= SEARCHED_ROWS.get(moving, 0)
        and all(term.structure.linear for term in problem.terms)
    )


def _searched(problem: MixedProblem, restricted: bool, climbs: _Climbs, scale: Array) -> bool:
    """Climb from every higher likelihood that a search finds; say whether none was left."""
    moving = climbs.box.lower < climbs.box.upper
    while (best := climbs.best) is not None:
        observed = observed_information(climbs.function, best.theta, best.at, moving, climbs.box)
        found = search(problem, restricted, best.theta, best.at, observed, moving, scale)
        climbs.steps += found.points
        if found.better is None:
            climbs.log.append(found.words)
            return found.verified
        climbs.climb("found by the search", found.better)
        if climbs.best is best:
            return False
    return False


def _scaled(found: Evaluation, scale: Array) -> Evaluation:
    """Return what is known of the likelihood, in parameters in units of their scale."""
    both, second = np.outer(scale, scale), found.observed
    return Evaluation(
        found.llf,
        found.gradient * scale,
        found.information * both,
        found.scores,
        None if second is None else cache(lambda: second() * both),
    )


def _at_kink(problem: MixedProblem, function: Function, best: Top, box: Box, scale: Array) -> tuple[Top, Box]:
    """Return the top held at a kink of the likelihood nearby, if it is one, with the box that holds it."""
    for j, term in enumerate(problem.terms):
        kinks = np.array(kinks_of(term))
        at = int(problem.offsets[j + 1]) - 1
        if not kinks.size or box.lower[at] == box.upper[at]:
            continue
        near = kinks[np.argsort(np.abs(kinks / scale[at] - best.theta[at]))[:NEAR_KINKS]] / scale[at]
        for kink in near:
            lower, upper, start = box.lower.copy(), box.upper.copy(), best.theta.copy()
            lower[at] = upper[at] = start[at] = kink
            held = Box(lower, upper)
            top = climb(function, start, held)
            if top is not None and top.at.llf > best.at.llf - 1e-8 and _is_kink_top(function, top.theta, at):
                return top, held
    return best, box


def kinks_of(term: Term) -> tuple[float, ...]:
    """Return the ranges at which the likelihood has a kink."""
    return tuple(getattr(getattr(term.structure, "correlation", None), "kinks", ()))


def _is_kink_top(function: Function, theta: Array, at: int) -> bool:
    """Say whether the likelihood rises up to a kink in one parameter and falls after it."""
    step = np.zeros(theta.size)
    step[at] = 1e-6
    return bool(function(theta - step).gradient[at] >= 0 >= function(theta + step).gradient[at])


def _box(problem: MixedProblem, scale: Array, fixed: Mapping[int, float]) -> Box:
    lower, upper = problem.bounds()
    for i, value in fixed.items():
        lower[i] = upper[i] = value
    return Box(lower / scale, upper / scale)


def variance_unit(problem: MixedProblem) -> tuple[float, float]:
    """Return the variance of the residuals of the unweighted fit, and what of it the sampling leaves."""
    k, p = problem.x.shape
    total = float((problem.centred**2).sum() / max(k - p, 1))
    sampling = float(problem.v.diagonal().mean())
    total = max(total, 1e-8 * sampling, 1e-300)
    return total, max(total - sampling, 0.1 * total)


def parameter_scale(problem: MixedProblem) -> Array:
    """Return the typical size of each parameter."""
    total, _ = variance_unit(problem)
    parts = [t.structure.scale(total / t.mean_square) for t in problem.terms]
    return np.concatenate([np.empty(0), *parts])


def start_points(problem: MixedProblem, moving: bool) -> list[tuple[str, Array]]:
    """Return names and parameters of the starts: moments, small and large variances, several correlations."""
    if not problem.terms or not moving:
        return [("given", np.concatenate([np.empty(0), *(_start(problem, 1.0, 0.5))]))]
    correlated = any(t.structure.count > 1 and t.size > 1 for t in problem.terms)
    plan = [("moments", 1.0, 0.5), ("small", 0.05, 0.2)]
    if problem.y.size <= MANY_ROWS:
        plan.append(("large" if correlated else SPARE, 3.0, 0.7))
    if correlated:
        plan += [("negative", 1.0, -0.4), ("high", 1.0, 0.93), ("uncorrelated", 0.5, 0.0)]
    if any(kinks_of(t) for t in problem.terms):  # a likelihood with many tops
        plan += [(f"range {rho}", 1.0, rho) for rho in RANGES]
    out = [(name, np.concatenate(_start(problem, share, rho))) for name, share, rho in plan]
    if any(isinstance(t.structure, Heterogeneous | Unstructured) for t in problem.terms):
        out += [
            (f"inner levels {rho}", np.concatenate(_start_by_level(problem, rho)))
            for rho in (0.5, 0.93, -0.3)
        ]
    return out


def _start(problem: MixedProblem, share: float, correlation: float) -> list[Array]:
    _, excess = variance_unit(problem)
    each = share * excess / max(len(problem.terms), 1)
    return [t.structure.start(each / t.mean_square, correlation) for t in problem.terms]


def _corners(
    problem: MixedProblem, restricted: bool, box: Box, scale: Array, start: Array
) -> list[tuple[str, Array]]:
    """Return starts with some variances at 0, the others sharing what these had: every way, or one by one.

    A maximum at which these variances are 0 has a likelihood that falls along all of them. Where nothing is
    searched, only the highest such corners are kept: from the others a climb leaves the corner.
    """
    n = start.size
    moving = box.lower < box.upper
    if problem.y.size > MANY_ROWS or not all(t.structure.linear for t in problem.terms) or not moving.any():
        return []
    ways: Iterable[tuple[bool, ...]] = product((False, True), repeat=n)
    if n > MOST_CORNERS:
        ways = [tuple(i == j for i in range(n)) for j in range(n)]
        ways += [tuple(i != j for i in range(n)) for j in range(n)]
    zero = np.array([way for way in ways if any(way)])
    share = n / np.maximum(n - zero.sum(axis=1), 1)
    points = np.where(zero, 0.0, share[:, None] * start)
    names = ["without variance " + ", ".join(str(j + 1) for j in np.flatnonzero(way)) for way in zero]
    kept = np.arange(len(points))
    if problem.y.size > SEARCHED_ROWS.get(n, 0):
        points = box.clip(points / scale) * scale
        try:
            parts = parts_at(problem, restricted, moving, np.where(moving, 0.0, points[0]))(points[:, moving])
        except NotPositiveDefinite:
            return list(zip(names, points, strict=True))
        uphill = (parts.forms > parts.traces) & zero[:, moving]
        order = np.argsort(parts.logdet + parts.q)
        kept = order[~uphill[order].any(axis=1)][:MOST_CORNER_CLIMBS]
    return [(names[i], points[i]) for i in kept]


def _start_by_level(problem: MixedProblem, correlation: float) -> list[Array]:
    """Return starts whose variances follow the spread of the residuals at each inner level."""
    total, _ = variance_unit(problem)
    share = 1.0 / max(len(problem.terms), 1)
    square = problem.centred**2 - problem.v.diagonal()
    out = []
    for t in problem.terms:
        flat = t.column.ravel()
        each = np.repeat(square, t.column.shape[1]) * t.weight.ravel() ** 2
        size = np.bincount(flat, t.weight.ravel() ** 4, minlength=t.size)
        moment = np.bincount(flat, each, minlength=t.size) / np.maximum(size, 1e-300)
        out.append(t.structure.start(share * np.maximum(moment, 0.01 * total / t.mean_square), correlation))
    return out


def _certificate(
    problem: MixedProblem,
    function: Function,
    top: Top,
    box: Box,
    scale: Array,
    climbs: _Climbs,
    certify: bool,
    verified: bool,
) -> MixedMaximum:
    theta, at = top.theta, top.at
    free = box.free(theta, at.gradient)
    fixed = box.lower == box.upper
    bound = ((theta <= box.lower) | (theta >= box.upper)) & ~fixed
    moving = ~fixed & ~bound
    n = theta.size
    information = np.zeros((n, n))
    gradient, curvature = 0.0, float("nan")
    if certify and moving.any():
        observed = top.curvature
        if observed is None or (free != moving).any():
            observed = observed_information(function, theta, at, moving, box)
        information[np.ix_(moving, moving)] = observed / np.outer(scale[moving], scale[moving])
        size = np.sqrt(np.maximum(np.abs(np.diagonal(observed)), FLAT))
        curvature = float(np.linalg.eigvalsh(observed / np.outer(size, size)).min())
        gradient = float(np.abs(at.gradient[moving] / size).max())
    outward = not (free & bound).any()
    # what a gradient promises to gain is within what a search has shown: rounding error of a V near singular
    steep = gradient >= CERTIFIED and not (verified and 0.5 * gradient**2 * n < HIGHER)
    sound = not steep and outward and not _inside_slope(problem, at, theta * scale)
    flat_only = np.isnan(curvature) or curvature > -1e-4
    return MixedMaximum(
        theta=theta * scale,
        llf=at.llf,
        gradient=gradient,
        curvature=curvature,
        at_bound=bound,
        information=information,
        starts=climbs.starts,
        agreeing=sum(one.at.llf > at.llf - 10 * SAME_TOP for one in climbs.tops),
        steps=climbs.steps,
        log=tuple(climbs.log),
        certified=bool(sound and flat_only),
        verified=verified,
    )


def _inside_slope(problem: MixedProblem, at: Evaluation, theta: Array) -> bool:
    """Say whether the likelihood rises along a direction in which G is singular and its gradient is zero."""
    for term, part, score in zip(problem.terms, problem.split(theta), at.scores, strict=True):
        if isinstance(term.structure, Heterogeneous):
            still = part[:-1] == 0
            if still.all() and np.diagonal(score).max() > 1e-4 * np.abs(np.diagonal(score)).max():
                return True
        if not isinstance(term.structure, Unstructured) or term.structure.first_correlation is not None:
            continue
        g = term.structure.matrix(part)
        values, vectors = np.linalg.eigh(g)
        empty = vectors[:, values <= 1e-10 * max(values.max(), 1e-300)]
        if empty.shape[1]:
            size = max(float(np.abs(np.diagonal(score)).max()), 1e-300)
            if np.linalg.eigvalsh(empty.T @ score @ empty).max() > 1e-4 * size:
                return True
    return False
