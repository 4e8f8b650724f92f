"""Many likelihoods of one mixed model climbed at once: of other effects, or without some of the rows.

A step is Newton's within the variances that may move, halved until it leads uphill; the curvature is the
observed or the average information. Where the rows form a chain (see `chain`) all points of a step are one
batch: rows that are left out have the precision 0 and keep their place.

References
----------
Gilmour, A. R., Thompson, R., Cullis, B. R. (1995). Average information REML: an efficient algorithm for
variance parameter estimation in linear mixed models. Biometrics 51, 1440-1450.
https://doi.org/10.2307/2533274
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse

from metaexo.numeric.mixed.chain import Chain
from metaexo.numeric.mixed.climb import turn_of
from metaexo.numeric.mixed.maximum import variance_unit
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.types import Array, Index, Mask

# The rise that a step promises, relative to the log-likelihood, with which a climb ends.
PROMISED = 1e-12
# What rounding may take from a log-likelihood, relative to it.
ROUNDING = 1e-13
MAX_STEPS = 100
SMALLEST_STEP = 1e-9
# Eigenvalues of the information below this share of the largest are taken for it.
FLAT = 1e-8
# A variance below this share of its typical size is 0.
NO_VARIANCE = 1e-14
# Numbers that the arrays of one batch of points hold.
AT_ONCE = 30_000


class Point(NamedTuple):
    """What is known of the likelihood at one point of each climb."""

    value: Array  # (B,): log-likelihood but for constants
    gradient: Array  # (B, f)
    curvature: Array  # (B, f, f): minus the second derivatives, or the average information
    gamma: Array  # (B, p): coefficients of the basis of the design
    inverse: Array  # (B, p, p): their covariance matrix


# Returns what is known at points, shape (n, f), of the climbs with some numbers, shape (n,).
Points = Callable[[Index, Array], Point]


def climb(
    points: Points, start: Array, moving: Mask, scale: Array, promised_rise: float = PROMISED
) -> tuple[Array, Point, Mask]:
    """Return where the climbs end, what is known there, and which of them ended at a maximum.

    `start`, shape (B, f): variances. `moving`, shape (f,) or (B, f): which of them may change.
    `scale`, shape (f,): their typical sizes.
    """
    theta, moving = start.copy(), np.broadcast_to(moving, start.shape)
    at = points(np.arange(len(theta)), theta)
    at = Point(*(np.array(part) for part in at))
    step, promised = _step(at, theta, moving, scale)
    share, done = np.ones(len(theta)), np.zeros(len(theta), dtype=bool)
    done |= promised <= 0  # no variance can move uphill
    for _ in range(MAX_STEPS):
        active = np.flatnonzero(~done & (share > SMALLEST_STEP))
        if not active.size:
            break
        trial = theta[active] + share[active, None] * step[active]
        trial = np.where(trial > NO_VARIANCE * scale, trial, 0.0)
        trial = np.where(moving[active], trial, theta[active])
        there = points(active, trial)
        higher = there.value >= at.value[active] - ROUNDING * (1 + np.abs(at.value[active]))
        share[active[~higher]] *= 0.5
        moved = active[higher]
        if not moved.size:
            continue
        enough = promised[moved] <= promised_rise * (1 + np.abs(at.value[moved]))
        done[moved] = (share[moved] == 1) & enough
        theta[moved], share[moved] = trial[higher], 1.0
        for old, new in zip(at, there, strict=True):
            old[moved] = new[higher]
        now = Point(*(part[higher] for part in there))
        step[moved], promised[moved] = _step(now, theta[moved], moving[moved], scale)
    return theta, at, done


def _step(at: Point, theta: Array, moving: Mask, scale: Array) -> tuple[Array, Array]:
    """Return Newton's step within the variances that may move, and the rise that it promises."""
    free = moving & ((theta > 0) | (at.gradient > 0))
    both = free[:, :, None] & free[:, None, :]
    curvature = np.where(both, at.curvature * scale * scale[:, None], 0.0)
    index = np.arange(scale.size)
    curvature[:, index, index] += np.where(free, 0.0, 1.0)
    values, vectors = np.linalg.eigh(curvature)
    values = np.maximum(np.abs(values), FLAT * np.abs(values).max(axis=1, keepdims=True))
    slope = np.where(free, at.gradient * scale, 0.0)
    turned = (vectors.swapaxes(1, 2) @ slope[..., None])[..., 0]
    step = (vectors @ (turned / values)[..., None])[..., 0]
    return step * scale, 0.5 * (turned**2 / values).sum(axis=1)


# Most pairs of rows that share a level of the coarsest term of the nest, where terms cross it.
MOST_PAIRS = 60_000
# Largest ratio of a typical variance to a sampling variance, so that differences of precisions keep digits.
LARGEST_RATIO = 1e8


def can_use_chain(problem: MixedProblem) -> bool:
    """Say whether the rows form a chain on which many likelihoods can be computed at once."""
    chain = problem.chain
    if chain is None or not chain.v.min() > 0:
        return False
    if variance_unit(problem)[0] > LARGEST_RATIO * chain.v.min():
        return False
    return not chain.crossing or not chain.rungs or int((_sizes(chain) ** 2).sum()) <= MOST_PAIRS


def _sizes(chain: Chain) -> Index:
    """Return how many rows each level of the coarsest rung has."""
    return np.bincount(_levels_of_rows(chain)[-1])


def _levels_of_rows(chain: Chain) -> list[Index]:
    """Return the level of each rung that each row, sorted, belongs to."""
    out, level = [], np.arange(chain.v.size)
    for rung in chain.rungs:
        level = rung.of[level]
        out.append(level)
    return out


class ChainPoints:
    r"""The likelihoods of a model whose rows form a chain, for effects of each climb or without some rows.

    With :math:`w_0 = h` the precisions of the rows, s the sums of w over the levels of a rung with variance
    :math:`\theta`, and :math:`D = 1 + \theta s`, the inverse of the covariance matrix of the nest is

    .. math:: B^{-1} = H - \sum_{rungs} \frac{\theta}{D} w w', \qquad w_{next} = w / D,

    each product within the levels of its rung. For terms U that cross the nest only pairs of rows of one
    level of the coarsest rung enter T = U'B^-1 U, whose derivatives follow along.

    Parameters: the problem; whether the likelihood is restricted; `y`, shape (B, K), the effects of each
    climb, by default those of the problem; `kept`, shape (B, K), 1 for rows that take part in a climb and 0
    for others, by default all.
    """

    def __init__(
        self, problem: MixedProblem, restricted: bool, y: Array | None = None, kept: Array | None = None
    ) -> None:
        chain = problem.chain
        assert chain is not None
        self.restricted, self.chain, self.n = restricted, chain, problem.count
        self.v, self.basis = chain.v, problem.basis[0][chain.order].T
        self.e = problem.centred[chain.order][None]
        if y is not None:
            sorted_y = y[:, chain.order]
            self.e = sorted_y - (sorted_y @ self.basis.T) @ self.basis
        self.kept = None if kept is None else kept[:, chain.order]
        self.level = _levels_of_rows(chain)
        self.starts = [np.flatnonzero(np.diff(level, prepend=-1)) for level in self.level]
        self.crossing = [chain.u[chain.places[j]].argmax(axis=0) for j in chain.crossing]
        first = np.cumsum([0, *(problem.terms[j].levels for j in chain.crossing)])
        self.column = [level + at for level, at in zip(self.crossing, first, strict=False)]
        self.widths = np.diff(first)
        self._pair_rows()

    def _pair_rows(self) -> None:
        """Find the pairs of rows of one level of the coarsest rung, and which entries of T they add to."""
        k, q = self.v.size, int(self.widths.sum())
        if not self.level or not q:
            self.first = self.second = np.arange(k if q else 0)
        else:
            order, size = np.arange(k), np.bincount(self.level[-1])
            counts = size[self.level[-1]]
            self.first = np.repeat(order, counts)
            begin = self.starts[-1][self.level[-1]][self.first]
            self.second = begin + np.arange(self.first.size) - np.repeat(np.cumsum(counts) - counts, counts)
        self.same = [np.flatnonzero(level[self.first] == level[self.second]) for level in self.level]
        self.diagonal = np.flatnonzero(self.first == self.second)
        rows = [a[self.first] * q + b[self.second] for a in self.column for b in self.column]
        place = np.tile(np.arange(self.first.size), len(rows))
        index = np.concatenate([np.empty(0, dtype=np.intp), *rows])
        self.to_t = sparse.csr_array((np.ones(index.size), (index, place)), shape=(q * q, self.first.size))

    def __call__(self, which: Index, theta: Array) -> Point:
        """Return what is known of the likelihoods of some climbs at one point each."""
        count = max(1, AT_ONCE // (self.v.size + self.first.size))
        cuts = range(0, len(theta), count)
        parts = [self._some(which[i : i + count], theta[i : i + count]) for i in cuts]
        return parts[0] if len(parts) == 1 else Point(*map(np.concatenate, zip(*parts, strict=True)))

    def _some(self, which: Index, theta: Array) -> Point:
        kept = None if self.kept is None else self.kept[which]
        nest = _Nest(self, theta, kept)
        root = np.sqrt(np.repeat(theta[:, np.array(self.chain.crossing, dtype=int)], self.widths, axis=1))
        inner = root[:, :, None] * nest.t * root[:, None, :]
        index = np.arange(root.shape[1])
        inner[:, index, index] += 1.0
        logdet = nest.logdet + np.linalg.slogdet(inner)[1]
        psi = root[:, :, None] * np.linalg.inv(inner) * root[:, None, :]

        def solved(columns: Array) -> Array:
            """Return C M^-1 for vectors C, shape (b, c, K)."""
            inside = self.across(nest.solve(columns)) @ psi
            return nest.solve(columns - self.back(inside))

        e = self.e[which] if len(self.e) > 1 else np.repeat(self.e, which.size, axis=0)
        basis = np.broadcast_to(self.basis, (which.size, *self.basis.shape))
        columns = np.concatenate([basis, e[:, None]], axis=1)
        mc = solved(columns)
        turn, q, logdet_x = turn_of(mc @ columns.swapaxes(1, 2))
        turned = turn @ mc  # rows: mx, and r last
        sums = [self.sums(turned, j) for j in range(self.n)]
        r = np.stack([self.spread(s[:, -1], j) for j, s in enumerate(sums)], axis=1)
        traces = self._traces(nest, psi)
        if self.restricted:
            traces -= np.stack([(s[:, :-1] ** 2).sum(axis=(1, 2)) for s in sums], axis=1)
        forms = np.stack([(s[:, -1] ** 2).sum(axis=1) for s in sums], axis=1)
        along = r @ turned[:, :-1].swapaxes(1, 2)
        information = 0.5 * (r @ solved(r).swapaxes(1, 2) - along @ along.swapaxes(1, 2))
        inverse = turn[:, :-1, :-1]
        return Point(
            -0.5 * (logdet + q + (logdet_x if self.restricted else 0.0)),
            0.5 * (forms - traces),
            information,
            -turn[:, -1, :-1],
            inverse.swapaxes(1, 2) @ inverse,
        )

    def _traces(self, nest: _Nest, psi: Array) -> Array:
        """Return the trace of M^-1 along each variance, shape (b, n)."""
        out = np.empty((len(psi), self.n))
        for j, slope, moved in zip(self.chain.nest, nest.slopes, nest.t_slopes, strict=True):
            out[:, j] = slope + np.vecdot(psi.reshape(len(psi), -1), moved.reshape(len(psi), -1))
        end = 0
        for j, width in zip(self.chain.crossing, self.widths.tolist(), strict=True):
            rows = nest.t[:, end : end + width]
            own = rows[:, :, end : end + width].diagonal(axis1=1, axis2=2).sum(axis=1)
            out[:, j] = own - ((rows @ psi) * rows).sum(axis=(1, 2))
            end += width
        return out

    def across(self, rows: Array) -> Array:
        """Return sums over the levels of the crossing terms, (b, c, q), of values by row, (b, c, K)."""
        return rows @ self.chain.u.T

    def back(self, levels: Array) -> Array:
        """Return values of the levels of the crossing terms, (b, c, q), summed by row, (b, c, K)."""
        return levels @ self.chain.u

    def sums(self, rows: Array, j: int) -> Array:
        """Return sums over the levels of a term of values by row."""
        at = self.chain.places[j]
        if not isinstance(at, int):
            return rows @ self.chain.u[at].T
        rung = at - 1
        return rows if rung < 0 else np.add.reduceat(rows, self.starts[rung], axis=-1)

    def spread(self, levels: Array, j: int) -> Array:
        """Return values of the levels of a term by row."""
        at = self.chain.places[j]
        if not isinstance(at, int):
            return levels[..., self.crossing[self.chain.crossing.index(j)]]
        return levels if at == 0 else levels[..., self.level[at - 1]]


class _Nest:
    """The inverse of the covariance matrix of the nest, T = U'B^-1 U, and how both change.

    `slopes`: the derivative of log|B| along each variance of the nest. `t_slopes`: that of T.
    """

    def __init__(self, points: ChainPoints, theta: Array, kept: Array | None) -> None:
        chain, self.points = points.chain, points
        total = np.broadcast_to(points.v, (len(theta), points.v.size))
        if chain.single is not None:
            total = total + theta[:, [chain.single]]
        if not total.min() > 0:
            raise NotPositiveDefinite
        self.h = 1.0 / total if kept is None else kept / total
        self.logdet = (np.log(total) if kept is None else kept * np.log(total)).sum(axis=1)
        self.weights: list[tuple[Array, Array]] = []
        self.slopes: list[Array] = []
        entries, changes = self._on_diagonal(self.h), []
        w, moved = self.h, []  # w of the rung, and its derivatives along the variances so far
        if chain.single is not None:
            moved.append(-self.h * self.h)
            changes.append(self._on_diagonal(moved[0]))
            self.slopes.append(self.h.sum(axis=1))
        for rung, level, starts, pairs in zip(
            chain.rungs, points.level, points.starts, points.same, strict=True
        ):
            variance = theta[:, [rung.term]]
            s = np.add.reduceat(w, starts, axis=1)
            grown = 1.0 + variance * s
            g = variance / grown
            steeper = [variance * np.add.reduceat(part, starts, axis=1) for part in moved] + [s]
            bend = [-g * part for part in steeper]
            bend[-1] = bend[-1] + 1.0
            moved.append(np.zeros(w.shape))
            changes.append(np.zeros(entries.shape))
            self.slopes.append(np.zeros(len(theta)))
            self.weights.append((w, g))
            self.logdet = self.logdet + np.log(grown).sum(axis=1)
            load, share = g[:, level] * w, (1.0 / grown)[:, level]
            a, b = points.first[pairs], points.second[pairs]
            entries[:, pairs] -= load[:, a] * w[:, b]
            for i, part in enumerate(moved):
                load_change = (bend[i] / grown)[:, level] * w + g[:, level] * part
                changes[i][:, pairs] -= load_change[:, a] * w[:, b] + load[:, a] * part[:, b]
                self.slopes[i] = self.slopes[i] + (steeper[i] / grown).sum(axis=1)
                moved[i] = share * (part - w * (steeper[i] / grown)[:, level])
            w = w * share
        self.t = self._summed(entries)
        self.t_slopes = [self._summed(part) for part in changes]

    def _on_diagonal(self, values: Array) -> Array:
        """Return entries of pairs of rows, with values for those of a row with itself."""
        out = np.zeros((len(values), self.points.first.size))
        out[:, self.points.diagonal] = values[:, self.points.first[self.points.diagonal]]
        return out

    def _summed(self, entries: Array) -> Array:
        """Return U'EU of entries E of pairs of rows, shape (b, q, q)."""
        q = int(self.points.widths.sum())
        return np.ascontiguousarray((self.points.to_t @ entries.T).T).reshape(len(entries), q, q)

    def solve(self, columns: Array) -> Array:
        """Return C B^-1 for vectors C, shape (b, c, K)."""
        out = columns * self.h[:, None]
        for (w, g), level, starts in zip(self.weights, self.points.level, self.points.starts, strict=True):
            sums = np.add.reduceat(columns * w[:, None], starts, axis=-1) * g[:, None]
            out -= sums[..., level] * w[:, None]
        return out
