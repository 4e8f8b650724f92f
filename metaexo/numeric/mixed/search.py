r"""Proving that a maximum of the likelihood of one or two variance components is the global one.

Minus twice the log-likelihood is, but for a constant, :math:`f = d + q` with d the log-determinant of the
covariance matrix M of the effects (of their contrasts, with REML) and :math:`q = y'Py`. M is linear in the
variances :math:`\theta \ge 0`, so that d is concave and increasing, and q convex and decreasing. On a box of
variances with the corners a it follows that

.. math:: f(\theta) \ge \min_a \{ d(a) + q(c) + \nabla q(c)'(a - c) \}

for any point c: a concave function plus a linear one is least at a corner. The bound is exact to the second
order in the size of the box. Boxes in which it exceeds the least f known hold no higher maximum; the others
are halved. What is left are boxes around the maximum itself. There, let the variances change by
:math:`|\delta_j| \le e_j = \epsilon (\theta_j + \phi_j) / n`, where :math:`1 / \phi_j` is the largest
eigenvalue of :math:`Z_j'V^{-1}Z_j`. Then :math:`-\epsilon M \le \sum_j \delta_j Z_j Z_j' \le \epsilon M`, and
along a straight line from the maximum

.. math:: f'' \ge q''_0 / (1 + \epsilon)^3 - |d''_0| / (1 - \epsilon)^2 ,

as the eigenvalues show of which both are sums. If this is positive for every direction (where a variance is
0, with what the slope adds), the maximum is the only one of that box.

References
----------
Horst, R., Tuy, H. (1996). Global Optimization: Deterministic Approaches. Springer, chapter 10 (differences of
convex functions). https://doi.org/10.1007/978-3-662-03199-5
Boyd, S., Vandenberghe, L. (2004). Convex Optimization. Cambridge University Press, sections 3.1.7 and 3.2.2
(concavity of the log-determinant, convexity of the matrix fractional function).
https://doi.org/10.1017/CBO9780511804441
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.mixed.climb import Evaluation, Parts
from metaexo.numeric.mixed.likelihood import PartsOf, factorise, floors, parts_at
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.types import Array, Index

# A log-likelihood that is higher by no more than this is not looked for.
HIGHER = 2e-7
# Largest relative changes of the covariance matrix that are tried for the box around the maximum.
CHANGES = (0.3, 0.25, 0.2, 0.16, 0.13, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01)
# Size of the boxes next to the maximum where the box around it is smaller or not known.
LEAST = 0.01
# The boxes grow by this factor with the distance from the maximum.
GROWTH = 2.5
# Points after which the search is given up.
MOST_POINTS = 5_000
# The least variance, in units of its scale, where the covariance matrix is singular without it.
CUT = 1e-14
# The same where doubles do not reach that far: what is found is climbed from, but nothing is verified.
NEAR_CUT = 1e-9
# An eigenvalue of V that counts as 0, and what counts as explained exactly, relative to the largest.
SINGULAR, EXACT = 1e-14, 1e-12
# Most rows without sampling error, and most terms, for which it is asked whether there is a maximum.
MOST_ERRORLESS, MOST_TERMS = 1_000, 8
# Powers of 4 that are tried for the largest variances, in units of the variance at the maximum.
FAR = (3, 8, 20, 60)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a search has shown."""

    verified: bool  # whether no variances have a higher likelihood (by more than 2e-7)
    better: Array | None  # (n,): variances with a higher likelihood
    points: int  # points at which the likelihood was computed

    @property
    def words(self) -> str:
        """The verdict in words."""
        if self.verified:
            return f"search of {self.points} points: no higher likelihood"
        return f"search of {self.points} points: not finished"


@dataclass(frozen=True, eq=False)
class Peak:
    """A maximum that is to be proved, in the n variances that are estimated."""

    theta: Array  # (n,): the variances
    slope: Array  # (n,): derivatives of minus twice the log-likelihood
    # convex, concave (n, n): second derivatives of q, and minus those of d
    convex: Array
    concave: Array
    # (n,): where the search begins: 0, or a value next to it if the covariance matrix is singular at 0
    least: Array
    floor: Array  # (n,): phi of each variance


def search(
    problem: MixedProblem,
    restricted: bool,
    theta: Array,
    at: Evaluation,
    observed: Array,
    free: NDArray[np.bool_],
    scale: Array,
    cut: float = CUT,
) -> Verdict:
    """Look for parameters with a higher likelihood than that of a maximum, until none can be left.

    `problem`: a model whose structures are all `linear`.
    `theta`, shape (n,): the maximum, in units of `scale`.
    `at`: the likelihood there, in these units.
    `observed`: minus its second derivatives by the parameters that are free.
    `free`, shape (n,): which parameters are estimated.
    `scale`, shape (n,): units of the parameters.
    `cut`: share of the units above which is searched. Where the likelihood cannot be computed so near to 0
        the search begins farther from it, and proves nothing.
    """
    least = _least(problem, theta * scale, free, scale, cut)
    unit = scale[free]
    convex = 4 * at.information[np.ix_(free, free)]
    try:
        floor = floors(problem, np.where(free, least, theta * scale))
        every = parts_at(problem, restricted, free, np.where(free, least, theta * scale))

        def parts(some: Array) -> Parts:
            found = every(some * unit)
            return found._replace(traces=found.traces * unit, forms=found.forms * unit)

        peak = Peak(
            theta=theta[free],
            slope=-2 * at.gradient[free],
            convex=convex,
            concave=convex - 2 * observed,
            least=(least / scale)[free],
            floor=(floor / scale)[free],
        )
        found = above(parts, peak)
    except NotPositiveDefinite:
        if cut == NEAR_CUT:
            return Verdict(False, None, 0)
        again = search(problem, restricted, theta, at, observed, free, scale, NEAR_CUT)
        return replace(again, verified=False)
    if found.better is None:
        return found
    better = theta.copy()
    better[free] = found.better
    return Verdict(False, better, found.points)


def _least(problem: MixedProblem, theta: Array, free: NDArray[np.bool_], scale: Array, cut: float) -> Array:
    """Return the least parameters: 0, or next to it for those without which M is singular."""
    out = np.zeros(theta.size)
    if is_regular(problem, np.where(free, 0.0, theta)):
        return out
    for j in np.flatnonzero(free):
        trial = np.where(free, scale, theta)
        trial[j] = 0.0
        if not is_regular(problem, trial):
            out[j] = cut * scale[j]
    if not is_regular(problem, np.where(free, out, theta)):
        out[free] = cut * scale[free]
    return out


def is_regular(problem: MixedProblem, theta: Array) -> bool:
    """Say whether the covariance matrix is positive definite."""
    try:
        factorise(problem, problem.matrices(theta))
    except NotPositiveDefinite:
        return False
    return True


def above(parts: PartsOf, peak: Peak, most: int = MOST_POINTS) -> Verdict:
    """Look for variances with a higher likelihood than that of a maximum (see `search`).

    `parts`: of variances, shape (b, n), to d, q and their derivatives. `most`: points after which the search
    is given up.
    """
    n = peak.theta.size
    at = parts(np.stack([peak.theta, 1e12 * (peak.theta + peak.floor)]))
    least = float(at.logdet[0] + at.q[0]) - 2 * HIGHER
    farthest, points = _farthest(parts, peak, least - float(at.q[1]))
    if farthest is None:
        return Verdict(False, None, points)
    around = _around(peak)
    a, b = _boxes(peak, farthest, around)
    corner = np.array(list(product((0.0, 1.0), repeat=n)))
    while True:
        outside = ((a < peak.theta - around) | (b > peak.theta + around)).any(axis=1)
        a, b = a[outside], b[outside]
        if not len(a):
            return Verdict(True, None, points)
        corners = a[:, None] * (1 - corner) + b[:, None] * corner
        where, place = np.unique(corners.reshape(-1, n), axis=0, return_inverse=True)
        points += len(where)
        if points > most:
            return Verdict(False, None, points)
        found = parts(where)
        value = found.logdet + found.q
        if value.min() < least:
            return Verdict(False, where[value.argmin()], points)
        here = Parts(*(part[place.reshape(len(a), -1)] for part in found))
        left = _lower_bound(corners, here) < least
        a, b = _halved(a[left], b[left], Parts(*(part[left] for part in here)), corner > 0, peak.floor)


def _lower_bound(corners: Array, at: Parts) -> Array:
    """Return a lower bound of d + q in each box, by the best of some tangents of q."""
    way = corners[:, None] - corners[:, :, None]
    tangents = at.q[:, :, None] - (way * at.forms[:, :, None]).sum(
        axis=-1
    )  # at each corner, from each corner
    each = (at.logdet[:, None] + tangents).min(axis=2).max(axis=1)
    return np.asarray(np.maximum(each, (at.logdet + tangents.mean(axis=1)).min(axis=1)))


def _halved(a: Array, b: Array, at: Parts, high: NDArray[np.bool_], floor: Array) -> tuple[Array, Array]:
    """Return the halves of boxes, each cut across the direction in which the derivatives change most."""
    bend = at.traces + at.forms
    change = np.stack(
        [(bend[:, ~up, j] - bend[:, up, j]).mean(axis=1) for j, up in enumerate(high.T)], axis=1
    )
    j = (change * (b - a)).argmax(axis=1)
    i = np.arange(len(a))
    middle = np.sqrt((a[i, j] + floor[j]) * (b[i, j] + floor[j])) - floor[j]
    end, begin = b.copy(), a.copy()
    end[i, j] = begin[i, j] = middle
    return np.concatenate([a, begin]), np.concatenate([end, b])


def _farthest(parts: PartsOf, peak: Peak, enough: float) -> tuple[Array | None, int]:
    """Return variances beyond which the likelihood is lower, as the log-determinant alone is too large."""
    n, points = peak.theta.size, 2
    out = np.full(n, np.nan)
    for power in FAR:
        left = np.flatnonzero(np.isnan(out))
        reach = 4.0**power * (peak.theta + peak.floor)
        trial = np.where(np.eye(n, dtype=bool)[left], reach, peak.least)
        far = parts(trial).logdet > enough
        points += left.size
        out[left[far]] = reach[left[far]]
        if far.all():
            return out, points
    return None, points


def _around(peak: Peak) -> Array:
    """Return half the sides of a box in which the maximum is the only one; 0 if it is not known."""
    size = np.sqrt(np.maximum(np.diagonal(peak.concave), 1e-300))
    unit = (peak.theta + peak.floor) / peak.theta.size
    rest = np.where(peak.theta <= peak.least, 2 * np.maximum(peak.slope, 0.0), 0.0)
    for change in CHANGES:
        form = peak.convex / (1 + change) ** 3 - peak.concave / (1 - change) ** 2
        form = (form + np.diag(rest / (change * unit))) / np.outer(size, size)
        if np.linalg.eigvalsh(form)[0] > 0:
            return np.asarray(change * unit)
    return np.zeros(peak.theta.size)


def _boxes(peak: Peak, farthest: Array, around: Array) -> tuple[Array, Array]:
    """Return boxes that fill the space; their size grows with the distance from the maximum."""
    lines = []
    for theta, low, high, floor, half in zip(
        peak.theta, peak.least, farthest, peak.floor, around, strict=True
    ):
        width = np.log1p(max(half / (theta + floor), LEAST)) * (1 - 1e-9)
        count = int(np.log(np.log((high + floor) / floor) / width) / np.log(GROWTH)) + 2
        steps = np.exp(width * GROWTH ** np.arange(count))
        inside = np.concatenate([(theta + floor) / steps, (theta + floor) * steps]) - floor
        lines.append(np.unique([low, high, *inside[(inside > low) & (inside < high)]]))
    a = np.stack(np.meshgrid(*(line[:-1] for line in lines), indexing="ij"), axis=-1)
    b = np.stack(np.meshgrid(*(line[1:] for line in lines), indexing="ij"), axis=-1)
    return a.reshape(-1, len(lines)), b.reshape(-1, len(lines))


def rises_without_bound(
    problem: MixedProblem, restricted: bool, held: Collection[int]
) -> tuple[tuple[int, ...], Index] | None:
    r"""Return terms and rows that let the likelihood rise without bound, or None.

    Let N be a basis of the effects without any sampling error, and Z the designs of the terms that stay. As
    the variances of the other terms go to 0, the log-determinant goes to minus infinity if Z leaves out some
    direction of N (with REML: Z and X together), and q stays finite if Z and X explain N'y exactly.

    `held`: terms with a parameter that is held at a value: they stay.
    Returned: positions of the terms whose variances go to 0, none if M is singular whatever they are; rows.
    """
    errorless = without_error(problem)
    if errorless is None or len(problem.terms) > MOST_TERMS:
        return None
    rows, n = errorless
    designs = [n.T @ term.z.tocsr()[rows].toarray() for term in problem.terms]
    x, y = n.T @ problem.basis[0][rows], n.T @ problem.centred[rows]
    for stay in product((True, False), repeat=len(designs)):
        gone = tuple(j for j, kept in enumerate(stay) if not kept)
        if any(j in held for j in gone):
            continue
        z = np.concatenate([n[:0].T, *(d for d, kept in zip(designs, stay, strict=True) if kept)], axis=1)
        both = np.concatenate([z, x], axis=1)
        left = _beside(both if restricted and gone else z)
        if not left.shape[1]:
            continue
        rest = y - both @ np.linalg.lstsq(both, y, rcond=None)[0]
        if not gone or np.abs(rest).max() <= EXACT * np.abs(problem.centred).max():
            return gone, rows[np.abs(n @ left).max(axis=1) > 1e-6]
    return None


def _beside(columns: Array) -> Array:
    """Return an orthonormal basis of what columns leave out."""
    vectors, size, _ = np.linalg.svd(columns, full_matrices=True)
    rank = int((size > 1e-10 * size.max(initial=0.0)).sum())
    return np.asarray(vectors[:, rank:])


def without_error(problem: MixedProblem) -> tuple[Index, Array] | None:
    """Return rows, and a basis of what of them has no sampling error; None if there is none."""
    if problem.chain is not None and problem.chain.v.all():
        return None
    rows: list[Index] = []
    parts: list[Array] = []
    for blocks in problem.cut.blocks:
        own = np.einsum("bii->bi", blocks.v)
        values, vectors = np.linalg.eigh(blocks.v)
        for b in np.flatnonzero(values[:, 0] <= SINGULAR * own.max()):
            none = vectors[b][:, values[b] <= SINGULAR * own.max()][blocks.real[b]]
            rows.append(blocks.rows[b][blocks.real[b]])
            parts.append(none)
    if not rows:
        return None
    at = np.concatenate(rows)
    if at.size > MOST_ERRORLESS:
        return None
    from scipy.linalg import block_diag

    return at, np.asarray(block_diag(*parts))
