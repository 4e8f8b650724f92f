"""The highest likelihood of many mixed models of counts at once, over coefficients and random-effect scales.

The parameters psi of a problem are coefficients of location and the scales (standard deviations) of the
random effects; those of a study are theta = D psi, followed, where studies have intercepts of their own, by
that intercept, which is profiled. For given scales the likelihood is log-concave in all other parameters (it
is a marginal of a log-concave function), so that Newton's method finds its one maximum; over the scales the
search looks at a grid and climbs from each of its local maxima. The likelihood is even in the scales: a scale
of 0 is a stationary point, and a maximum where the second derivative is not positive. Models with some scales
at 0 are the faces of the parameter space; each face is searched, and the highest maximum is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from metaexo.numeric.counts.integrals import integrate
from metaexo.numeric.counts.kernels import CountKernel
from metaexo.types import Array, Index, Mask

MAX_STEPS, MAX_HALVINGS = 100, 40
# A climb is at its end when a Newton step promises no more than this, times 1 + |log-likelihood|.
PROMISED = 1e-15
# A promise below this that no longer falls is rounding.
SMALL = 1e-9
# The heights of a scan are near enough to their maxima when a step promises no more, times 1 + |height|.
ROUGH = 0.01
# No step moves a linear predictor, or a scale, by more than this.
LONGEST_STEP = 5.0
FLAT = 1e-12
# Below this share of the unit a scale has gone to 0: the face without it holds the maximum.
GONE = 1e-5
# A climb that leaves a saddle at 0 begins with this share of the unit.
NUDGE = 0.1
# Maxima whose heights differ by no more are one; the smaller face wins a tie.
SAME_HEIGHT = 1e-10
# Numbers in one temporary array of an evaluation.
ELEMENTS = 2_000_000


@dataclass(frozen=True)
class CountProblem:
    """B mixed models of the counts of K studies.

    Arrays whose first axis has length 1 are the same in all problems.
    """

    kernel: CountKernel  # (B, K, g)
    constants: Array  # (1 + Q, g, d): predictors by parameters of the study, see `integrals`
    design: Array  # (B, K, d', P): parameters of the study by psi; d' = d, or d - 1 with own intercepts
    weights: Array  # (B, K): how often each study counts; 0 leaves it out
    points: int  # of the quadrature, in each dimension
    own: bool = False  # whether each study has an intercept of its own, the last parameter of the study
    offset: Array | None = None  # (B, K, d'): added to design @ psi

    @property
    def p(self) -> int:
        """Number of parameters."""
        return int(self.design.shape[-1])

    @property
    def size(self) -> int:
        """Number of problems."""
        parts = [self.kernel.shape[0], len(self.design), len(self.weights)]
        return max(parts if self.offset is None else [*parts, len(self.offset)])

    @property
    def k(self) -> int:
        """Number of studies."""
        return int(self.design.shape[1])

    def take(self, which: Index | Mask | slice) -> CountProblem:
        """Return some of the problems."""

        def part(values: Array) -> Array:
            return values[which] if len(values) > 1 else values

        return replace(
            self,
            kernel=self.kernel.take(which),
            design=part(self.design),
            weights=part(self.weights),
            offset=None if self.offset is None else part(self.offset),
        )

    def only(self, parameters: Sequence[int], others: Array | None = None) -> CountProblem:
        """Return the problem of some of the parameters, the others held: at 0, or at `others`, (B, P).

        Parameters of the studies that are 0 throughout, and random effects without variance, are left out.
        """
        design, offset = self.design[..., list(parameters)], self.offset
        if others is not None:
            added = (self.design @ others[:, None, :, None])[..., 0]
            offset = added if offset is None else offset + added
        used = design.any(axis=(0, 1, 3))
        if offset is not None:
            used |= offset.any(axis=(0, 1))
        kept = np.append(used, True) if self.own else used
        constants = self.constants[..., kept]
        random = [q for q in range(len(constants)) if q == 0 or constants[q].any()]
        return replace(
            self,
            design=design[:, :, used],
            offset=None if offset is None else offset[..., used],
            constants=constants[random],
        )

    def along(self, basis: Array, origin: Array) -> CountProblem:
        """Return the problem with psi = origin + basis @ phi; `basis` (P, R), `origin` (B, P)."""
        added = (self.design @ origin[:, None, :, None])[..., 0]
        return replace(
            self,
            design=self.design @ basis,
            offset=added if self.offset is None else self.offset + added,
        )


@dataclass(slots=True)
class Place:
    """Where B climbs are: parameters, intercepts of the studies, modes of the random effects."""

    psi: Array  # (B, P)
    own: Array  # (B, K): intercepts of the studies; all 0 where the model has none
    mode: Array  # (B, K, Q)

    def take(self, which: Index | Mask) -> Place:
        """Return some of the places."""
        return Place(self.psi[which], self.own[which], self.mode[which])

    def put(self, which: Index, other: Place) -> None:
        """Overwrite some of the places."""
        self.psi[which], self.own[which], self.mode[which] = other.psi, other.own, other.mode

    def repeat(self, times: int) -> Place:
        """Return each place several times over, one after the other."""
        return Place(*(np.repeat(part, times, axis=0) for part in (self.psi, self.own, self.mode)))


def begin_at(problem: CountProblem, psi: Array, own: Array) -> Place:
    """Return a place whose modes are not known yet."""
    return Place(psi, own, np.zeros((*own.shape, len(problem.constants) - 1)))


class Height(NamedTuple):
    """Log-likelihoods at places and their derivatives, the intercepts of the studies profiled."""

    value: Array  # (B,)
    gradient: Array  # (B, P)
    hessian: Array  # (B, P, P)
    own_step: Array  # (B, K): Newton step of the intercepts, psi held
    own_turn: Array  # (B, K, P): how the intercepts move with psi
    own_gain: Array  # (B,): what the steps of the intercepts promise
    mode: Array  # (B, K, Q)
    spread: Array  # (B, K, Q, Q)


def theta_of(problem: CountProblem, place: Place) -> Array:
    """Return the parameters of the studies, (B, K, d)."""
    theta = (problem.design @ place.psi[:, None, :, None])[..., 0]
    if problem.offset is not None:
        theta = theta + problem.offset
    if problem.own:
        theta = np.concatenate([theta, place.own[..., None]], axis=-1)
    return theta


def height_at(problem: CountProblem, place: Place) -> Height:
    """Return the log-likelihoods at places, with derivatives."""
    theta = theta_of(problem, place)
    found = integrate(problem.kernel, problem.constants, theta, problem.points, place.mode)
    w, design = problem.weights, problem.design
    value = (w * found.value).sum(axis=-1)
    first, second = found.gradient, found.hessian
    none = np.zeros(found.value.shape)
    step, gain = none, none[:, 0]
    turn = np.zeros((*found.value.shape, problem.p))
    if problem.own:
        pull, bend = first[..., -1], np.maximum(-second[..., -1, -1], FLAT)
        cross = second[..., :-1, -1]
        step = np.where(w > 0, pull / bend, 0.0)
        gain = (w * step * pull).sum(axis=-1)
        turn = (np.swapaxes(design, -1, -2) @ (cross / bend[..., None])[..., None])[..., 0]
        first = first[..., :-1] + cross * step[..., None]
        second = second[..., :-1, :-1] + cross[..., :, None] * cross[..., None, :] / bend[..., None, None]
    weighted = w[..., None, None] * design
    across = np.swapaxes(weighted, -1, -2)
    gradient = (across @ first[..., None])[..., 0].sum(axis=1)
    hessian = (across @ (second @ design)).sum(axis=1)
    return Height(value, gradient, hessian, step, turn, gain, found.mode, found.spread)


def uphill(height: Height) -> tuple[Array, Array]:
    """Return the step of psi and the rise that it promises.

    Where the likelihood is not concave, the step goes uphill by the size of the curvature.
    """
    gradient, hessian = height.gradient, height.hessian
    p = gradient.shape[-1]
    if p == 0:
        return gradient, np.zeros(len(height.value))
    if p == 1:
        size = np.maximum(np.abs(hessian[:, 0]), 1e-3 * FLAT)
        step = gradient / size
        return step, (step * gradient)[:, 0]
    if p == 2:
        a, b, c = -hessian[:, 0, 0], -hessian[:, 0, 1], -hessian[:, 1, 1]
        size = a * c - b * b
        if (size > 1e-6 * a * c).all() and (a > 0).all():
            u, v = gradient[:, 0], gradient[:, 1]
            step = np.stack([c * u - b * v, a * v - b * u], axis=-1) / size[:, None]
            return step, (step * gradient).sum(axis=-1)
    usable: Mask = np.asarray(np.isfinite(hessian).all(axis=(-1, -2)))
    if not usable.all():
        hessian = np.where(usable[:, None, None], hessian, -np.eye(p))
    curvature, axes = np.linalg.eigh(-hessian)
    size = np.abs(curvature)
    size = np.maximum(size, FLAT * np.maximum(size.max(axis=-1, keepdims=True), 1e-3))
    along = (np.swapaxes(axes, -1, -2) @ gradient[..., None])[..., 0]
    step = (axes @ (along / size)[..., None])[..., 0]
    return step, (along * along / size).sum(axis=-1)


class Climb(NamedTuple):
    """Where climbs ended."""

    place: Place
    value: Array  # (B,)
    promised: Array  # (B,): rise that one more step promises
    steps: Index  # (B,)
    height: Height


def climb(problem: CountProblem, start: Place, promised: float = PROMISED) -> Climb:
    """Climb from places to local maxima, by Newton's method with halved steps; all problems at once."""
    size = len(start.psi)
    place = Place(start.psi.copy(), start.own.copy(), start.mode.copy())
    value, left = np.full(size, -np.inf), np.full(size, np.inf)
    steps = np.zeros(size, dtype=np.intp)
    active: Index = np.arange(size)
    some, here = problem, place.take(active)
    height = height_at(some, here)
    here.mode = height.mode
    ends = Height(*(v.copy() for v in height))
    share = np.ones(size)
    halvings = np.zeros(size, dtype=np.intp)
    before = np.full(size, np.inf)
    while active.size:
        step, gain = uphill(height)
        gain = gain + height.own_gain
        own = height.own_step + (height.own_turn @ step[..., None])[..., 0]
        length = _longest(some, step, own)
        cut = share * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-300))
        done = (gain <= promised * (1.0 + np.abs(height.value))) | (steps[active] >= MAX_STEPS)
        done |= (halvings > MAX_HALVINGS) | ~np.isfinite(gain)
        done |= (gain < SMALL) & (gain > 0.25 * before)  # rounding: no step makes it smaller
        before = gain
        if done.any():
            ended = active[done]
            place.put(ended, here.take(done))
            value[ended], left[ended] = height.value[done], gain[done]
            for whole, part in zip(ends, height, strict=True):
                whole[ended] = part[done]
            keep = ~done
            active = active[keep]
            if not active.size:
                break
            some, here = problem.take(active), here.take(keep)
            height = Height(*(v[keep] for v in height))
            step, gain, own, cut, share, before = (v[keep] for v in (step, gain, own, cut, share, before))
            halvings = halvings[keep]
        moved = Place(here.psi + cut[:, None] * step, here.own + cut[:, None] * own, here.mode)
        new = height_at(some, moved)
        moved.mode = new.mode
        rounding = 1e-12 * (1.0 + np.abs(height.value))
        ok = new.value >= height.value + 1e-4 * cut * gain - np.where(gain < 1e-6, rounding, 0.0)
        steps[active] += 1
        if ok.all():
            here, height = moved, new
        else:
            here = Place(*(_where(ok, a, b) for a, b in _pairs(moved, here)))
            height = Height(*(_where(ok, a, b) for a, b in zip(new, height, strict=True)))
        share = np.where(ok, np.minimum(1.0, 4.0 * share), 0.25 * share)
        halvings = np.where(ok, 0, halvings + 1)
    return Climb(place, value, left, steps, ends)


def _pairs(one: Place, other: Place) -> list[tuple[Array, Array]]:
    return [(one.psi, other.psi), (one.own, other.own), (one.mode, other.mode)]


def _where(mask: Mask, one: Array, other: Array) -> Array:
    return np.where(mask.reshape(mask.shape + (1,) * (one.ndim - 1)), one, other)


def _longest(problem: CountProblem, step: Array, own: Array) -> Array:
    """Return the largest change of a parameter of a study that counts, (B,)."""
    moved = np.abs((problem.design @ step[:, None, :, None])[..., 0]).max(axis=-1, initial=0.0)
    return np.asarray((np.maximum(moved, np.abs(own)) * (problem.weights > 0)).max(axis=-1))


# -- the search over the scales -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """Which scales may be 0 together, and where to look for the others."""

    scales: tuple[int, ...]  # the parameters that are scales
    faces: tuple[tuple[int, ...], ...]  # free scales of each face, the smallest face first
    grids: tuple[tuple[int, ...], ...]  # shape of the grid of each face: () for a face without scales
    values: tuple[Array, ...]  # (B or 1, points of the grid, number of scales): values of all scales
    unit: Array  # (B or 1,): size of a scale that matters
    coefficients: tuple[Array, ...] = ()  # (B, points, p): where the first parameters may be; begin if empty


@dataclass(frozen=True, slots=True)
class CountMaximum:
    """The highest maxima of B problems."""

    psi: Array  # (B, P): parameters; scales at least 0 where their sign has no meaning
    own: Array  # (B, K): intercepts of the studies
    mode: Array  # (B, K, Q): modes of the standardised random effects
    spread: Array  # (B, K, Q, Q): their covariance, by the curvature of the integrand
    value: Array  # (B,): log-likelihood
    gradient: Array  # (B, P)
    hessian: Array  # (B, P, P)
    free: Mask  # (B, P): parameters that are not at the boundary
    curvature: Array  # (B,): smallest curvature in the free directions; above 0 at a maximum
    promised: Array  # (B,): rise that one more Newton step promises
    boundary: Array  # (B,): largest second derivative by a scale at 0; not above 0 at a maximum
    maxima: Index  # (B,): local maxima found
    steps: Index  # (B,): Newton steps of the winning climb
    certified: Mask  # (B,): whether all this says that it is a maximum

    def take(self, which: Index | Mask | slice) -> CountMaximum:
        """Return some of the maxima."""
        return CountMaximum(*(getattr(self, name)[which] for name in CountMaximum.__slots__))


def search(problem: CountProblem, begin: Place, plan: Search) -> CountMaximum:
    """Return the highest maxima of B problems, in parts of bounded memory.

    `begin`: a place with all scales 0 from which to climb.
    """
    d, n = problem.constants.shape[-1], problem.points ** (len(problem.constants) - 1)
    widest = max(int(np.prod(grid)) for grid in plan.grids)
    each = problem.k * max(d, 4, problem.kernel.terms) * n * widest
    step = max(1, ELEMENTS // each)
    if problem.size <= step:
        return _search(problem, begin, plan)
    parts = []
    for first in range(0, problem.size, step):
        cut = slice(first, min(first + step, problem.size))
        some = Place(begin.psi[cut], begin.own[cut], begin.mode[cut])
        own = replace(
            plan,
            values=tuple(v[cut] if len(v) > 1 else v for v in plan.values),
            unit=plan.unit[cut] if len(plan.unit) > 1 else plan.unit,
            coefficients=tuple(v[cut] if len(v) > 1 else v for v in plan.coefficients),
        )
        parts.append(_search(problem.take(cut), some, own))
    return CountMaximum(*(np.concatenate([getattr(p, n) for p in parts]) for n in CountMaximum.__slots__))


class _Ends(NamedTuple):
    """Ends of climbs of all faces, one after the other."""

    problem: Index
    face: Index
    place: Place
    value: Array
    promised: Array
    steps: Index
    saddle: Mask  # whether the likelihood rises as a scale that is 0 leaves 0
    height: Height  # with the derivatives by all parameters


def _search(problem: CountProblem, begin: Place, plan: Search) -> CountMaximum:
    size, p = begin.psi.shape
    locations = [j for j in range(p) if j not in plan.scales]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = [_face(problem, begin, plan, number, locations) for number in range(len(plan.faces))]
        ends = _joined(found)
        nudged = _from_saddles(problem, plan, ends, size)
        return _report(problem, plan, _joined([ends, nudged]) if nudged else ends, size)


def _joined(parts: list[_Ends]) -> _Ends:
    """Return the ends of several searches as one list."""

    def all_of(name: str) -> Array:
        return np.concatenate([getattr(part, name) for part in parts])

    places = [part.place for part in parts]
    place = Place(*(np.concatenate([getattr(q, n) for q in places]) for n in ("psi", "own", "mode")))
    return _Ends(
        all_of("problem").astype(np.intp),
        all_of("face").astype(np.intp),
        place,
        all_of("value"),
        all_of("promised"),
        all_of("steps").astype(np.intp),
        all_of("saddle").astype(bool),
        Height(*(np.concatenate(values) for values in zip(*(part.height for part in parts), strict=True))),
    )


def _from_saddles(problem: CountProblem, plan: Search, ends: _Ends, size: int) -> _Ends | None:
    """Climb on from the ends that are the highest of their problem, yet rise with a scale that is 0 there."""
    best = np.full(size, -np.inf)
    np.maximum.at(best, ends.problem, ends.value)
    rising = np.flatnonzero(ends.saddle & (ends.value >= best[ends.problem]))
    if not rising.size:
        return None
    full = len(plan.faces) - 1
    which, start = ends.problem[rising], ends.place.take(rising)
    unit = np.broadcast_to(plan.unit, (size,))[which]
    for j in plan.faces[full]:
        start.psi[:, j] = np.where(start.psi[:, j] == 0, NUDGE * unit, start.psi[:, j])
    done = climb(problem.take(which), start)
    return _Ends(
        which,
        np.full(which.size, full),
        done.place,
        done.value,
        done.promised,
        done.steps,
        np.zeros(which.size, dtype=bool),
        done.height,
    )


def _face(problem: CountProblem, begin: Place, plan: Search, number: int, locations: list[int]) -> _Ends:
    """Return where the climbs in one face end, without those that leave it for a smaller one."""
    face, grid, values = plan.faces[number], plan.grids[number], plan.values[number]
    size, p = begin.psi.shape
    which: Index = np.arange(size)
    if face:
        points = values.shape[1]
        start = begin.repeat(points)
        start.psi[:, list(plan.scales)] = _all_points(values, size)
        if plan.coefficients:
            near = _all_points(plan.coefficients[number], size)
            start.psi[:, : near.shape[1]] = near
        tiled = problem if problem.size == 1 and size == 1 else problem.take(np.repeat(which, points))
        held = np.where(np.isin(np.arange(p), plan.scales), start.psi, 0.0)
        part = tiled.only(locations, held)
        rough = climb(part, begin_at(part, start.psi[:, locations], start.own), ROUGH)
        start.psi[:, locations] = rough.place.psi
        start.own, start.mode = rough.place.own, rough.place.mode
        chosen = np.flatnonzero(_peaks(rough.value.reshape(size, *grid)).ravel())
        which, start = chosen // points, start.take(chosen)
    else:
        start = begin
    free = [*locations, *face]
    some = problem if which.size == size else problem.take(which)
    part = some.only(free)
    first = begin_at(part, start.psi[:, free], start.own)
    if face:
        first.mode = start.mode
    done = climb(part, first)
    psi = np.zeros((which.size, p))
    psi[:, free] = done.place.psi
    place = begin_at(problem, psi, done.place.own)
    if done.place.mode.shape == place.mode.shape:
        place.mode = done.place.mode
    unit = np.broadcast_to(plan.unit, (size,))[which]
    stays = (np.abs(psi[:, list(face)]) > GONE * unit[:, None]).all(axis=1) & np.isfinite(done.value)
    kept = np.flatnonzero(stays)
    place, which = place.take(kept), which[kept]
    gone = [j for j in plan.scales if j not in face]
    saddle = np.zeros(kept.size, dtype=bool)
    height = Height(*(v[kept] for v in done.height))
    if gone:
        height = height_at(problem.take(which), place)
        bend = height.hessian[:, gone, gone]
        saddle = np.asarray((bend > 1e-6 * (1.0 + np.abs(done.value[kept, None]))).any(axis=1))
    return _Ends(
        which,
        np.full(kept.size, number),
        place,
        done.value[kept],
        done.promised[kept],
        done.steps[kept],
        saddle,
        height,
    )


def _all_points(values: Array, size: int) -> Array:
    """Return values at the points of a grid, (B or 1, points, n), as rows: one for each problem and point."""
    return np.broadcast_to(values, (size, *values.shape[1:])).reshape(-1, values.shape[2])


def _peaks(heights: Array) -> Mask:
    """Return which points of grids, (B, ...), are not lower than any neighbour along an axis."""
    peaks = np.isfinite(heights)
    for axis in range(1, heights.ndim):
        rise = np.diff(heights, axis=axis)
        edge = [(0, 0)] * heights.ndim
        edge[axis] = (1, 0)
        before = np.pad(rise, edge, constant_values=np.inf)
        edge[axis] = (0, 1)
        after = np.pad(rise, edge, constant_values=-np.inf)
        peaks &= (before >= 0) & (after <= 0)
    return peaks


def _report(problem: CountProblem, plan: Search, ends: _Ends, size: int) -> CountMaximum:
    """Return the highest end of each problem, with what is known about it."""
    best = np.full(size, -np.inf)
    np.maximum.at(best, ends.problem, ends.value)
    tie = ends.value >= best[ends.problem] - SAME_HEIGHT * (1.0 + np.abs(best[ends.problem]))
    order = np.lexsort((-ends.value, ends.face, ~tie, ends.problem))
    first = order[np.searchsorted(ends.problem[order], np.arange(size))]
    place = ends.place.take(first)
    height = Height(*(v[first] for v in ends.height))
    p = problem.p
    free = np.ones((size, p), dtype=bool)
    for j in plan.scales:
        free[:, j] = [j in plan.faces[f] for f in ends.face[first]]
    inner = np.where(free[:, :, None] & free[:, None, :], height.hessian, 0.0)
    inner = inner - np.where(free, 0.0, 1.0)[..., None] * np.eye(p) * np.maximum(
        np.abs(height.hessian).max(axis=(1, 2), initial=1.0), 1.0
    ).reshape(-1, 1, 1)
    curvature = np.linalg.eigvalsh(-inner)[:, 0] if p else np.full(size, np.inf)
    gone = ~free
    outer = np.where(gone, np.diagonal(height.hessian, axis1=1, axis2=2), -np.inf).max(
        axis=1, initial=-np.inf
    )
    promised = ends.promised[first]
    scale = 1.0 + np.abs(height.value)
    certified = (promised <= 1e-9 * scale) & (curvature > 0) & ~(outer > 1e-6 * scale)
    return CountMaximum(
        place.psi,
        place.own,
        height.mode,
        height.spread,
        height.value,
        height.gradient,
        height.hessian,
        free,
        curvature,
        promised,
        outer,
        _different(ends, size),
        ends.steps[first],
        certified,
    )


def _different(ends: _Ends, size: int) -> Index:
    """Return how many different maxima the climbs found, (B,)."""
    counts = np.zeros(size, dtype=np.intp)
    order = np.lexsort((ends.value, ends.problem))
    order = order[~ends.saddle[order]]
    problem, value = ends.problem[order], ends.value[order]
    new = np.ones(order.size, dtype=bool)
    same = (problem[1:] == problem[:-1]) & (np.diff(value) <= 1e-7 * (1.0 + np.abs(value[1:])))
    new[1:] = ~same
    np.add.at(counts, problem, new)
    return counts
