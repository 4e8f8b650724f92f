"""The maximum of the likelihood where random effects correlate: covariance matrices and ranges.

An unstructured covariance matrix G is searched for as A A' with A square, without bounds, from many starts.
On the way up the likelihood may flatten out at a singular G from which it still rises: a direction v of the
null space of G with v'Sv > 0, S the derivative of the likelihood along G. Then v is added to A and the climb
goes on. A maximum over all positive semidefinite matrices has S G = 0 and S negative semidefinite on the null
space of G; where it is singular, it is a maximum at the boundary, and certified as one.

References
----------
Burer, S., Monteiro, R. D. C. (2005). Local minima and convergence in low-rank semidefinite programming.
Mathematical Programming 103, 427-444. https://doi.org/10.1007/s10107-004-0564-1
Boyd, S., Vandenberghe, L. (2004). Convex Optimization. Cambridge University Press, section 5.9 (conditions of
Karush, Kuhn and Tucker for semidefinite constraints). https://doi.org/10.1017/CBO9780511804441
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from metaexo.numeric.mixed import maximum
from metaexo.numeric.mixed.climb import Box, Evaluation, Top, climb, observed_information
from metaexo.numeric.mixed.likelihood import changes, evaluate, generalised_fit
from metaexo.numeric.mixed.maximum import (
    CERTIFIED,
    FLAT,
    MANY_ROWS,
    SAME_TOP,
    MixedMaximum,
    kinks_of,
    parameter_scale,
    start_points,
    variance_unit,
)
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.structures import (
    Diagonal,
    Factor,
    Heterogeneous,
    Homogeneous,
    Structure,
    Unstructured,
)
from metaexo.types import Array

# Eigenvalues of G below this share of the largest are zero.
NO_RANK = 1e-9
# A slope out of a singular G, in log-likelihood per typical variance, that is taken up on the way.
SLOPE = 1e-6
# The largest slope out of a singular G at a certified maximum.
CERTIFIED_SLOPE = 1e-5
# Most numbers of the designs of the random effects that are written out for second derivatives.
DENSE = 4_000_000
# How often a climb goes on from a singular G.
ESCAPES = 12
# Random starts of a search for covariance matrices.
RANDOM_STARTS = 8
# Along a grid of correlations, every so many points a climb starts from afar.
COLD = 8
# Local tops along a grid that are so far below the highest are not climbed from, and not more than so many.
PROMISING = 2.0
MOST_TOPS = 8
# Tops this near the highest one are climbed to the end.
NEARLY = 0.05


def maximise(
    problem: MixedProblem,
    restricted: bool,
    fixed: Mapping[int, float] | None = None,
    warm: Array | None = None,
    certify: bool = True,
) -> MixedMaximum | tuple[str, ...]:
    """Return the maximum of the likelihood, or the log of the starts if none could be climbed from.

    `fixed`: parameters that are held at a value.
    `warm`, shape (n,): where to start; no other start is then tried.
    `certify`: whether to compute the observed information.
    """
    held = dict(fixed or {})
    charts = [_chart(problem, j, held) for j in range(len(problem.terms))]
    if any(charts):
        return _Cone(problem, restricted, held, charts).maximise(warm, certify)
    found = maximum.maximise(problem, restricted, held, warm, certify)
    lines = [] if warm is not None else _correlations(problem, held)
    return found if not lines else _along_correlations(problem, restricted, held, found, lines)


def _correlations(problem: MixedProblem, held: Mapping[int, float]) -> list[tuple[int, Array]]:
    """Return the positions of free correlations and ranges, and the grids along which they are looked for."""
    out = []
    for j, term in enumerate(problem.terms):
        at = int(problem.offsets[j + 1]) - 1
        if isinstance(term.structure, Homogeneous | Heterogeneous) and at not in held:
            out.append((at, term.structure.correlation.grid()))
    return out


def _along_correlations(
    problem: MixedProblem,
    restricted: bool,
    held: Mapping[int, float],
    found: MixedMaximum | tuple[str, ...],
    lines: list[tuple[int, Array]],
) -> MixedMaximum | tuple[str, ...]:
    """Return the highest maximum that is reached from all local tops along each correlation and range.

    Along the grid of one of them all other parameters are at their best. Where several terms have one, the
    others move freely.
    """
    best, log, starts, agreeing, steps = found, [], 0, 0, 0
    if isinstance(found, MixedMaximum):
        starts, agreeing, steps = found.starts, found.agreeing, found.steps
    scale = parameter_scale(problem)
    lower, upper = problem.bounds()
    for i, value in held.items():
        lower[i] = upper[i] = value
    both = np.outer(scale, scale)

    def function(scaled: Array) -> Evaluation:
        at = evaluate(problem, scaled * scale, restricted)
        return Evaluation(at.llf, at.gradient * scale, at.information * both, at.scores)

    def held_at(at: int, value: float, starts: list[Array]) -> Top | None:
        low, high = lower / scale, upper / scale
        low[at] = high[at] = value / scale[at]
        each = [climb(function, start, Box(low, high), rough=True) for start in starts]
        return max((top for top in each if top is not None), key=lambda top: top.at.llf, default=None)

    cold = start_points(problem, True)[0][1] / scale
    for at, every in lines:
        grid = every[::3] if problem.y.size > MANY_ROWS else every
        tops: list[Top | None] = []
        for i, value in enumerate(grid):
            before = tops[-1] if tops else None
            near = [] if before is None else [before.theta]
            tops.append(held_at(at, value, near if near and i % COLD else [*near, cold]))
        chosen = _local_tops(tops)
        kinks = np.array(kinks_of(problem.terms[int(np.searchsorted(problem.offsets, at, side="right")) - 1]))
        for i in chosen:
            top = tops[i]
            assert top is not None
            inside = kinks[(kinks > grid[max(i - 1, 0)]) & (kinks < grid[min(i + 1, len(grid) - 1)])]
            more = [held_at(at, kink, [top.theta]) for kink in inside if not np.isin(kink, grid)]
            top = max([top, *(t for t in more if t is not None)], key=lambda t: t.at.llf)
            steps += top.steps
            there = maximum.maximise(problem, restricted, held, top.theta * scale)
            if isinstance(there, tuple):
                continue
            starts, steps = starts + 1, steps + there.steps
            log.append(f"start grid {grid[i]:.6g}: log-likelihood {there.llf:.9g}")
            if isinstance(best, tuple) or _better(there, best):
                best, agreeing = there, 1
            else:
                agreeing += abs(there.llf - best.llf) < 10 * SAME_TOP
    if isinstance(best, tuple):
        return best
    best = _endless(problem, restricted, held, best, lines)
    return replace(best, starts=starts, agreeing=agreeing, steps=steps, log=(*_log(found), *log))


def _local_tops(tops: list[Top | None]) -> list[int]:
    """Return the points of a grid that are as high as their neighbours, the highest first."""
    height = np.array([-np.inf if top is None else top.at.llf for top in tops])
    padded = np.concatenate([[-np.inf], height, [-np.inf]])
    local = (height >= padded[:-2]) & (height >= padded[2:]) & (height > height.max() - PROMISING)
    where = np.flatnonzero(local)
    return [int(i) for i in where[np.argsort(-height[where], kind="stable")][:MOST_TOPS]]


def _endless(
    problem: MixedProblem,
    restricted: bool,
    held: Mapping[int, float],
    best: MixedMaximum,
    lines: list[tuple[int, Array]],
) -> MixedMaximum:
    """Return a maximum whose range grows without end held at the bound of the range.

    Then the data know only how variance and range go together: the likelihood comes as near to its supremum
    as one likes, and the range is at its bound.
    """
    for at, grid in lines:
        far = float(problem.bounds()[1][at])
        if best.theta[at] <= grid[-1] or not far > grid[-1]:
            continue
        warm = best.theta.copy()
        j = int(np.searchsorted(problem.offsets, at, side="right")) - 1
        warm[int(problem.offsets[j])] *= far / warm[at]
        there = maximum.maximise(problem, restricted, {**held, at: far}, warm)
        if isinstance(there, MixedMaximum) and there.llf > best.llf - SAME_TOP:
            bound = there.at_bound.copy()
            bound[at] = True
            best = replace(there, at_bound=bound)
    return best


def _better(there: MixedMaximum, best: MixedMaximum) -> bool:
    """Say whether a maximum is higher, or as high and certified where the other is not."""
    if there.certified != best.certified and abs(there.llf - best.llf) < SAME_TOP:
        return there.certified
    return there.llf > best.llf + 1e-9


def _log(found: MixedMaximum | tuple[str, ...]) -> tuple[str, ...]:
    return found if isinstance(found, tuple) else found.log


def _chart(problem: MixedProblem, j: int, held: Mapping[int, float]) -> Factor | None:
    """Return the structure in which a term is searched for, if it is any covariance matrix."""
    structure = problem.terms[j].structure
    first, last = int(problem.offsets[j]), int(problem.offsets[j + 1])
    own = [i - first for i in held if first <= i < last]
    if isinstance(structure, Unstructured):
        return Factor(structure.size, structure.first_correlation, bool(own)) if own in ([], [0]) else None
    return Factor(2) if _two_by_two(structure) and not own else None


def _two_by_two(structure: Structure) -> bool:
    """Say whether a structure is that of two variances and any correlation."""
    any_matrix = isinstance(structure, Heterogeneous) and structure.size == 2
    return any_matrix and structure.correlation.low == -1  # type: ignore[attr-defined]


def is_any_matrix(structure: Structure) -> bool:
    """Say whether a structure allows every covariance matrix."""
    return isinstance(structure, Unstructured) or _two_by_two(structure)


def _factor(structure: Structure, theta: Array) -> Array:
    """Return a lower triangular L with L L' = G."""
    if isinstance(structure, Unstructured):
        return structure._factor(theta)
    sd, rho = theta[:2], float(theta[2])
    return np.array([[sd[0], 0.0], [rho * sd[1], np.sqrt(max(0.0, 1 - rho**2)) * sd[1]]])


def parameters_of_root(structure: Structure, a: Array) -> Array:
    """Return the parameters of A A' in the structure of the model."""
    lower = np.linalg.qr(a.T)[1].T
    lower = lower * np.where(np.diagonal(lower) < 0, -1.0, 1.0)
    if isinstance(structure, Unstructured):
        if structure.first_correlation is not None:
            lower[1, 1] = np.hypot(lower[1, 0], lower[1, 1])
        return np.asarray(lower[structure._places], dtype=float)
    sd = np.sqrt((lower**2).sum(axis=1))
    rho = float(lower[0] @ lower[1] / (sd[0] * sd[1])) if (sd > 0).all() else 0.0
    rho = float(np.copysign(1.0, rho)) if lower[1, 1] ** 2 <= NO_RANK * sd[1] ** 2 else rho
    return np.array([sd[0], sd[1], float(np.clip(rho, -1, 1))])


class _Cone:
    """The search for covariance matrices in the parameters of their factors, in units of their scale."""

    def __init__(
        self, problem: MixedProblem, restricted: bool, held: Mapping[int, float], charts: list[Factor | None]
    ) -> None:
        self.problem, self.restricted, self.charts = problem, restricted, charts
        terms = [
            term if chart is None else replace(term, structure=chart)
            for term, chart in zip(problem.terms, charts, strict=True)
        ]
        self.searched = replace(problem, terms=tuple(terms))
        self.scale = parameter_scale(self.searched)
        lower, upper = self.searched.bounds()
        for i, value in held.items():
            j = int(np.searchsorted(problem.offsets, i, side="right")) - 1
            at = int(self.searched.offsets[j] + i - problem.offsets[j])
            lower[at] = upper[at] = value
        self.box = Box(lower / self.scale, upper / self.scale)
        self.exact = (
            all(isinstance(term.structure, Factor | Diagonal) and term.relation is None for term in terms)
            and problem.y.size * sum(term.width for term in terms) <= DENSE
        )

    def __call__(self, scaled: Array) -> Evaluation:
        """Return the likelihood."""
        found = evaluate(self.searched, scaled * self.scale, self.restricted)
        both = np.outer(self.scale, self.scale)
        exact = None
        if self.exact:
            exact = cache(lambda: both * self._observed(scaled * self.scale, found.scores))
        return Evaluation(
            found.llf, found.gradient * self.scale, found.information * both, found.scores, exact
        )

    def _observed(self, theta: Array, scores: list[Array]) -> Array:
        """Return minus the second derivatives of the likelihood.

        They are r'dM_a P dM_b r - tr(P dM_a P dM_b) / 2 - tr(S d2G_ab) / 2; for ML the trace has M^-1 for P.
        """
        problem = self.searched
        fit = generalised_fit(problem, problem.matrices(theta))
        f = changes(problem, theta, fit.r)
        out = f.T @ fit.project(f)
        parts = problem.split(theta)
        derivatives = [t.structure.derivatives(part) for t, part in zip(problem.terms, parts, strict=True)]
        dense = [t.z.toarray() for t in problem.terms]
        solved = [fit.project(z) if self.restricted else fit.factor.solve(z) for z in dense]
        for a, first in enumerate(problem.terms):
            rows = slice(int(problem.offsets[a]), int(problem.offsets[a + 1]))
            for b, second in enumerate(problem.terms):
                shape = (first.levels, first.size, second.levels, second.size)
                w = (dense[a].T @ solved[b]).reshape(shape).transpose(0, 2, 1, 3)
                flat = w.reshape(-1, first.size * second.size)
                square = (flat.T @ flat).reshape(first.size, second.size, first.size, second.size)
                half = np.einsum("aij,jkiq->akq", derivatives[a], square, optimize=True)
                columns = slice(int(problem.offsets[b]), int(problem.offsets[b + 1]))
                out[rows, columns] -= 0.5 * np.einsum("akq,bkq->ab", half, derivatives[b], optimize=True)
            bend = first.structure.bend(scores[a])
            if bend is not None:
                out[rows, rows] += bend
        return np.asarray(0.5 * (out + out.T))

    def maximise(self, warm: Array | None, certify: bool) -> MixedMaximum | tuple[str, ...]:
        """Return the highest of the tops that are reached from all starts."""
        starts = [("warm", self._inward(warm))] if warm is not None else list(self._starts())
        tops: list[Top] = []
        log: list[str] = []
        for name, start in starts:
            top = self._climb(start / self.scale, warm is None)
            if top is None:
                log.append(f"start {name}: the covariance matrix is singular there")
                continue
            tops.append(top)
            log.append(f"start {name}: log-likelihood {top.at.llf:.9g} after {top.steps} evaluations")
        if not tops:
            return tuple(log)
        if warm is None:
            tops.sort(key=lambda top: -top.at.llf)
            best: list[Top] = []
            for top in tops:
                if top.at.llf < tops[0].at.llf - NEARLY:
                    break
                if all(abs(top.at.llf - other.at.llf) > 1e-4 for other in best):
                    polished = self._climb(top.theta, False) or top
                    best.append(polished)
                    tops.append(polished)
        top = max(tops, key=lambda top: top.at.llf)
        agreeing = sum(t.at.llf > top.at.llf - 10 * SAME_TOP for t in tops[: len(starts)])
        steps = sum(t.steps for t in tops)
        return self._certificate(top, (len(starts), agreeing, steps), tuple(log), certify)

    def _starts(self) -> Iterator[tuple[str, Array]]:
        named = start_points(self.problem, True)
        for name, theta in named:
            yield name, self._inward(theta)
        rng = np.random.default_rng(0)
        for i in range(RANDOM_STARTS):
            parts = self.searched.split(self._inward(named[i % 2][1]))
            for j, chart in enumerate(self.charts):
                if chart is not None:
                    size = self.searched.split(self.scale)[j]
                    rank = 1 + i % chart.size
                    columns = chart._places[1]
                    parts[j] = np.where(columns < rank, rng.normal(size=size.size), 0.05 * (columns >= rank))
                    parts[j] = parts[j] * size / np.sqrt(2 * rank)
            yield f"random, rank {1 + i}", np.concatenate(parts)

    def _inward(self, theta: Array) -> Array:
        """Return the parameters of the search for those of the model."""
        parts = []
        for term, chart, part in zip(self.problem.terms, self.charts, self.problem.split(theta), strict=True):
            if chart is None:
                parts.append(part)
                continue
            lower = _factor(term.structure, part)
            if chart.first_correlation is not None:
                lower[1, 1] = np.hypot(lower[1, 0], lower[1, 1])
            parts.append(np.asarray(lower[chart._places], dtype=float))
        return np.concatenate(parts)

    def _outward(self, theta: Array) -> Array:
        """Return the parameters of the model for those of the search."""
        parts = []
        for j, part in enumerate(self.searched.split(theta)):
            chart = self.charts[j]
            if chart is None:
                parts.append(part)
                continue
            a = chart._factor(part)
            still = np.abs(a).max(axis=1) < NO_RANK * self._sizes(j)  # a variance of 0, but for rounding
            parts.append(
                parameters_of_root(self.problem.terms[j].structure, np.where(still[:, None], 0.0, a))
            )
        return np.concatenate(parts)

    def _climb(self, start: Array, rough: bool) -> Top | None:
        """Climb, and go on from singular matrices from which the likelihood still rises."""
        top = climb(self, start, self.box, rough)
        for _ in range(ESCAPES):
            onward = None if top is None else self._escape(top)
            if top is None or onward is None:
                return top
            there = climb(self, onward, self.box, rough)
            if there is None or there.at.llf <= top.at.llf:
                return top
            top = replace(there, steps=top.steps + there.steps)
        return top

    def slopes(self, top: Top) -> Iterator[tuple[int, Array, Array]]:
        """Yield the terms whose G is singular: position, and slopes along null directions with these.

        Slopes are in log-likelihood per typical variance.
        """
        parts = self.searched.split(top.theta * self.scale)
        for j, (term, chart) in enumerate(zip(self.searched.terms, self.charts, strict=True)):
            if chart is None:
                continue
            d = self._sizes(j)
            values, vectors = np.linalg.eigh(term.structure.matrix(parts[j]) / np.outer(d, d))
            empty = vectors[:, values <= NO_RANK * max(float(values.max()), NO_RANK)]
            if chart.first_correlation is not None or chart.first_variance:
                empty = empty[:, np.abs(empty[:2]).max(axis=0) < 1e-6]
            if empty.shape[1]:
                inside = empty.T @ (top.at.scores[j] * np.outer(d, d)) @ empty
                slopes, within = np.linalg.eigh(0.5 * (inside + inside.T))
                yield j, 0.5 * slopes, d[:, None] * (empty @ within)

    def _sizes(self, j: int) -> Array:
        """Return the typical standard deviation of each inner level of a term."""
        total, _ = variance_unit(self.problem)
        return np.sqrt(total / self.problem.terms[j].mean_square)

    def _escape(self, top: Top) -> Array | None:
        """Return a higher point off a singular G, or None if the likelihood falls in all null directions."""
        for j, slopes, directions in self.slopes(top):
            if slopes[-1] <= SLOPE:
                continue
            chart = self.charts[j]
            assert chart is not None
            first = int(self.searched.offsets[j])
            a = chart._factor((top.theta * self.scale)[first : first + chart.count])
            away = np.linalg.svd(a)[2][-1]  # a direction of rows that A does not use
            for share in (1e-2, 1e-4, 1e-6):
                there = top.theta * self.scale
                moved = a + np.sqrt(share) * np.outer(directions[:, -1], away)
                there[first : first + chart.count] = moved[chart._places]
                try:
                    if self(there / self.scale).llf > top.at.llf:
                        return there / self.scale
                except NotPositiveDefinite:
                    continue
        return None

    def _certificate(
        self, top: Top, counts: tuple[int, int, int], log: tuple[str, ...], certify: bool
    ) -> MixedMaximum:
        theta, at, box = top.theta, top.at, self.box
        fixed = box.lower == box.upper
        bound = ((theta <= box.lower) | (theta >= box.upper)) & ~fixed
        moving = np.flatnonzero(~fixed & ~bound)
        gradient, curvature = 0.0, float("nan")
        if certify and moving.size:
            free = box.free(theta, at.gradient)
            observed = top.curvature
            if observed is None or not np.array_equal(np.flatnonzero(free), moving):
                observed = observed_information(self, theta, at, ~fixed & ~bound, box)
            size = np.sqrt(np.maximum(np.abs(np.diagonal(observed)), FLAT))
            gradient = float(np.abs(at.gradient[moving] / size).max())
            rest = _complement((self._rotations(theta)[:, moving] * size).T)
            curved = rest.T @ (observed / np.outer(size, size)) @ rest
            curvature = float(np.linalg.eigvalsh(curved).min()) if rest.shape[1] else float("nan")
        outward = not (box.free(theta, at.gradient) & bound).any()
        slope = max((float(slopes[-1]) for _, slopes, _ in self.slopes(top)), default=-np.inf)
        sound = gradient < CERTIFIED and outward and slope < CERTIFIED_SLOPE
        own = self._outward(theta * self.scale)
        low, high = self.problem.bounds()
        return MixedMaximum(
            theta=own,
            llf=at.llf,
            gradient=gradient,
            curvature=curvature,
            at_bound=np.asarray((own <= low) | (own >= high)),
            information=np.zeros((own.size, own.size)),
            starts=counts[0],
            agreeing=counts[1],
            steps=counts[2],
            log=log,
            certified=bool(sound and (np.isnan(curvature) or curvature > -1e-4)),
        )

    def _rotations(self, theta: Array) -> Array:
        """Return the directions of scaled parameters in which no G changes, shape (r, n)."""
        out = [np.zeros((0, theta.size))]
        for j, chart in enumerate(self.charts):
            if chart is None:
                continue
            first = int(self.searched.offsets[j])
            own = slice(first, first + chart.count)
            held = 2 if chart.first_correlation is not None else int(chart.first_variance)
            a, s = chart._factor(theta[own] * self.scale[own]), chart.size
            for i in range(held, s):
                for k in range(i + 1, s):
                    turn = np.zeros((s, s))
                    turn[i, k], turn[k, i] = 1.0, -1.0
                    row = np.zeros((1, theta.size))
                    row[0, own] = (a @ turn)[chart._places] / self.scale[own]
                    out.append(row)
        return np.concatenate(out)


def _complement(columns: Array) -> Array:
    """Return an orthonormal basis of what is orthogonal to some columns."""
    if not columns.shape[1]:
        return np.eye(len(columns))
    u, size, _ = np.linalg.svd(columns, full_matrices=True)
    rank = int((size > 1e-8 * max(float(size.max()), 1e-300)).sum())
    return np.asarray(u[:, rank:])
