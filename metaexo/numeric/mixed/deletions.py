r"""The maximum of the likelihood without each of many sets of rows, all of them climbed at once.

Where terms cross, so that the rows fall into no small blocks, but form a chain with few levels across, the
climbs are those of `together`. Otherwise they go along stacks of blocks: the covariance matrix is V plus a
matrix per variance, :math:`M = V + \sum_a \theta_a D_a`, in small blocks.
Rows that are left out keep their place: their entries of M become those of the identity, and those of design
and effects 0. So all sets share one layout, and a step of Newton's method is a few products of stacks of
blocks. With P and r = Py as in `likelihood`, derivatives are

    gradient    1/2 [ r'D_a r - tr(P D_a) ]
    curvature   -r'D_a P D_b r + 1/2 tr(P D_a P D_b)

with M^-1 in place of P in the traces for ML. They follow from sums over blocks of C'M^-1 C, C'M^-1 D_a M^-1 C
and C'M^-1 D_a M^-1 D_b M^-1 C, with C the design and the effects side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.mixed.block_factor import changes_of_blocks
from metaexo.numeric.mixed.maximum import parameter_scale, start_points, variance_unit
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.together import PROMISED as PROMISED_ALONG_CHAIN
from metaexo.numeric.mixed.together import ChainPoints, Point, Points, can_use_chain, climb
from metaexo.numeric.problem import CHUNK_ELEMENTS
from metaexo.types import Array, Index, Mask

# The rise that a step promises, relative to the log-likelihood, with which a climb along blocks ends: what
# Newton's method leaves of it is about its square.
PROMISED = 1e-10
# Rows without which a coefficient is not determined leave less than this of some combination of the design.
UNDETERMINED = 1e-9
# Information on a variance, beside that on others, below which the likelihood does not see it.
SEEN = 1e-7
# By how much a climb from elsewhere must end higher, relative to the log-likelihood.
HIGHER = 1e-9
# Sets of rows whose climbs along a chain are made at once.
TOGETHER = 256
# Rows of a block beyond which climbs go along the chain, if there is one.
LARGE_BLOCK = 30
# Effects of another size than this overflow when they are squared.
SIZES = (1e-15, 1e15)


@dataclass(frozen=True, slots=True)
class Without:
    """Fits without each of some sets of rows; NaN where a set has none here."""

    theta: Array  # (B, n): parameters
    beta: Array  # (B, p): coefficients
    cov: Array  # (B, p, p): their covariance matrices (X'M^-1 X)^-1
    q: Array  # (B,): y'Py with V alone: Cochran's Q
    trace: Array  # (B,): trace of P with V alone
    found: NDArray[np.bool_]  # (B,): whether the climb ended at a maximum that is not flat


def can_climb_together(problem: MixedProblem) -> bool:
    """Say whether the model falls into blocks or forms a chain, and its parameters are variances."""
    low, high = SIZES
    return (
        problem.count > 0
        and all(term.structure.linear for term in problem.terms)
        and (not problem.cut.across or can_use_chain(problem))
        and bool((problem.v.diagonal() > 0).all())
        and low < float(np.sqrt(variance_unit(problem)[0])) < high
    )


def maximise_without(
    problem: MixedProblem, sets: Sequence[Index], restricted: bool, theta: Array, fixed: Mapping[int, float]
) -> Without:
    """Return the maxima without each set of rows.

    Each is the higher one of two climbs: from the parameters of the fit of all rows, and from afar.

    `theta`, shape (n,): those parameters. `fixed`: parameters that are held at a value.
    """
    k, p = problem.x.shape
    n, b = problem.count, len(sets)
    nothing = np.full(b, np.nan)
    out = Without(
        np.full((b, n), np.nan),
        np.full((b, p), np.nan),
        np.full((b, p, p), np.nan),
        nothing,
        nothing.copy(),
        np.zeros(b, dtype=bool),
    )
    basis, r_x = problem.basis
    possible = np.array([_determined(basis, rows) for rows in sets], dtype=bool)
    moving = np.array([i not in fixed for i in range(n)])
    engine = _Along(problem, theta, restricted)
    near = np.maximum(theta, 1e-3 * np.abs(theta).max())
    starts = np.array([np.where(moving, one, theta) for one in (near, start_points(problem, True)[0][1])])
    scale, base, back = parameter_scale(problem), basis.T @ problem.y, np.linalg.inv(r_x)
    for begin in range(0, b, engine.count):
        which = begin + np.flatnonzero(possible[begin : begin + engine.count])
        if not which.size:
            continue
        kept = np.ones((which.size, k))
        for i, s in enumerate(which.tolist()):
            kept[i, sets[s]] = 0.0
        m = which.size
        start = np.repeat(starts, m, axis=0)
        ends, tops, ended = climb(engine.points(np.tile(kept, (2, 1))), start, moving, scale, engine.promised)
        near, far = np.nan_to_num(tops.value[:m]), np.nan_to_num(tops.value[m:])
        better = ended[m:] & (~ended[:m] | (far > near + HIGHER * (1 + np.abs(near))))
        chosen = np.arange(m) + m * better
        found, at, done = ends[chosen], Point(*(part[chosen] for part in tops)), ended[chosen]
        done &= ~_flat(at, found, moving, scale)
        good = which[done]
        out.theta[good], out.found[good] = found[done], True
        out.beta[good] = (base + at.gamma[done]) @ back.T
        out.cov[good] = back @ at.inverse[done] @ back.T
        out.q[which], out.trace[which] = engine.sampling_only(kept)
    return out


class _Along:
    """The likelihoods without some rows, along the chain or along the blocks of a model.

    `count`: sets of rows that are handled at once. `promised`: the rise with which a climb ends.
    """

    def __init__(self, problem: MixedProblem, theta: Array, restricted: bool) -> None:
        self.problem, self.restricted = problem, restricted
        self.groups: list[_Group] = []
        self.count, self.promised = TOGETHER, PROMISED_ALONG_CHAIN
        crossed = bool(problem.cut.across) or problem.cut.largest > LARGE_BLOCK
        if not crossed or not can_use_chain(problem):
            self.groups = _groups(problem, theta)
            size = sum(g.changes[0].size for g in self.groups) * (2 + problem.count)
            self.count, self.promised = max(1, CHUNK_ELEMENTS // (2 * size)), PROMISED

    def points(self, kept: Array) -> Points:
        """Return what computes the likelihoods of the rows that are kept, shape (B, K)."""
        if not self.groups:
            return ChainPoints(self.problem, self.restricted, kept=kept)
        padded = _padded(kept)
        return lambda which, theta: _point(self.groups, padded[which], theta, self.restricted)

    def sampling_only(self, kept: Array) -> tuple[Array, Array]:
        """Return y'Py and the trace of P with V alone, shapes (B,)."""
        if self.groups:
            return _sampling_only(self.groups, _padded(kept))
        w = kept / self.problem.v.diagonal()
        basis, y = self.problem.basis[0], self.problem.centred
        gram = np.einsum("bk,ki,kj->bij", w, basis, basis)
        along = (w * y) @ basis
        inner = np.linalg.inv(gram)
        q = (w * y) @ y - np.einsum("bi,bij,bj->b", along, inner, along)
        square = np.einsum("bk,ki,kj->bij", w * w, basis, basis)
        return q, w.sum(axis=1) - np.einsum("bij,bji->b", inner, square)


def _padded(kept: Array) -> Array:
    """Return which rows are kept, with one more for padding, which is a row of the identity already."""
    return np.concatenate([kept, np.ones((len(kept), 1))], axis=1)


def _flat(at: Point, theta: Array, moving: Mask, scale: Array) -> Mask:
    """Say where the likelihood hardly depends on some combination of the variances that are not 0."""
    free = moving & (theta > 0)
    both = free[:, :, None] & free[:, None, :]
    curvature = np.where(both, at.curvature * scale * scale[:, None], 0.0)
    size = np.sqrt(np.maximum(np.diagonal(curvature, axis1=1, axis2=2), 0.0))
    alone = np.where(free, size, np.inf).min(axis=1) <= SEEN * size.max(axis=1)
    index = np.arange(scale.size)
    size = np.where(free & (size > 0), size, 1.0)
    curvature = curvature / (size[:, :, None] * size[:, None, :])
    curvature[:, index, index] += np.where(free, 0.0, 1.0)
    together = np.linalg.eigvalsh(curvature)[:, 0] <= SEEN
    return np.asarray(free.any(axis=1) & (alone | together))


def _sampling_only(groups: Sequence[_Group], kept: Array) -> tuple[Array, Array]:
    """Return y'Py and the trace of P with V alone, shapes (B,)."""
    b, c = len(kept), groups[0].columns.shape[2]
    gram, square, trace = np.zeros((b, c, c)), np.zeros((b, c, c)), np.zeros(b)
    for group in groups:
        own = kept[:, group.rows]
        index = np.arange(own.shape[-1])
        m = group.v * (own[..., :, None] * own[..., None, :])
        m[..., index, index] += 1 - own
        inverse = np.linalg.inv(m)
        columns = group.columns * own[..., None]
        solved = inverse @ columns
        gram += (columns.swapaxes(2, 3) @ solved).sum(axis=1)
        square += (solved.swapaxes(2, 3) @ solved).sum(axis=1)
        real = own * group.real
        trace += (np.einsum("bgii->bgi", inverse) * real).sum(axis=(1, 2))
    p = c - 1
    inner = np.linalg.inv(gram[:, :p, :p])
    gamma = (inner @ gram[:, :p, p:])[..., 0]
    q = gram[:, p, p] - np.vecdot(gamma, gram[:, :p, p])
    return q, trace - np.einsum("bij,bji->b", inner, square[:, :p, :p])


def _determined(basis: Array, rows: Index) -> bool:
    """Say whether the other rows determine all coefficients, with one to spare."""
    k, p = basis.shape
    if k - rows.size <= p:
        return False
    if not rows.size:
        return True
    part = basis[rows]
    inner = part @ part.T if rows.size < p else part.T @ part
    return bool(np.linalg.eigvalsh(inner)[-1] < 1 - UNDETERMINED)


class _Group(NamedTuple):
    """Blocks of one size."""

    rows: Index  # (nb, n): rows of each block; K stands for padding
    v: Array  # (nb, n, n)
    real: NDArray[np.bool_]  # (nb, n): whether a place holds a row
    changes: Array  # (f, nb, n, n)
    columns: Array  # (nb, n, c): basis of the design and centred effects


def _groups(problem: MixedProblem, theta: Array) -> list[_Group]:
    columns = np.column_stack([problem.basis[0], problem.centred])
    padded = np.concatenate([columns, np.zeros((1, columns.shape[1]))])
    return [
        _Group(
            blocks.rows,
            blocks.v,
            blocks.real,
            changes_of_blocks(blocks, problem.terms, theta),
            padded[blocks.rows],
        )
        for blocks in problem.cut.blocks
    ]


def _point(groups: Sequence[_Group], kept: Array, theta: Array, restricted: bool) -> Point:
    """Return the likelihood with its derivatives, for parameters of shape (B, f)."""
    b, f = theta.shape
    c = groups[0].columns.shape[2]
    logdet, gram = np.zeros(b), np.zeros((b, c, c))
    traces, forms = np.zeros((b, f)), np.zeros((b, f, c, c))
    pairs, products = np.zeros((b, f, f)), np.zeros((b, f, f, c, c))
    for group in groups:
        own = kept[:, group.rows]  # (B, nb, n)
        both = own[..., :, None] * own[..., None, :]
        m = group.v + np.einsum("bf,fgij->bgij", theta, group.changes)
        m *= both
        index = np.arange(m.shape[-1])
        m[..., index, index] += 1 - own
        inverse = np.linalg.inv(m)
        logdet += np.linalg.slogdet(m)[1].sum(axis=1)
        columns = group.columns * own[..., None]
        solved = inverse @ columns
        gram += (columns.swapaxes(2, 3) @ solved).sum(axis=1)
        moved, along = [], []
        for a in range(f):
            change = group.changes[a] * both
            product = inverse @ change
            moved.append(product)
            along.append(change @ solved)
            traces[:, a] += np.einsum("bgii->b", product)
            forms[:, a] += (solved.swapaxes(2, 3) @ along[a]).sum(axis=1)
            for e in range(a + 1):
                pair = (product * moved[e].swapaxes(2, 3)).sum(axis=(1, 2, 3))
                twice = (along[a].swapaxes(2, 3) @ (inverse @ along[e])).sum(axis=1)
                pairs[:, a, e] += pair
                products[:, a, e] += twice
                if e < a:
                    pairs[:, e, a] += pair
                    products[:, e, a] += twice.swapaxes(1, 2)
    return _derivatives(logdet, gram, (traces, forms), (pairs, products), restricted)


def _derivatives(
    logdet: Array, gram: Array, first: tuple[Array, Array], second: tuple[Array, Array], restricted: bool
) -> Point:
    """Return the likelihood from sums over the blocks."""
    traces, forms = first
    pairs, products = second
    p = gram.shape[1] - 1
    inner = gram[:, :p, :p]
    inverse = np.linalg.inv(inner)
    gamma = (inverse @ gram[:, :p, p:])[..., 0]
    w = np.concatenate([-gamma, np.ones((len(gamma), 1))], axis=1)  # P y = M^-1 C w
    value = -0.5 * (logdet + np.einsum("bi,bij,bj->b", w, gram, w))
    squares = np.einsum("bi,bfij,bj->bf", w, forms, w)
    across = np.einsum("bi,bfij->bfj", w, forms)[..., :p]
    quadratic = np.einsum("bi,baeij,bj->bae", w, products, w)
    quadratic -= np.einsum("bai,bij,bej->bae", across, inverse, across)
    if restricted:
        value = value - 0.5 * np.linalg.slogdet(inner)[1]
        turned = inverse[:, None] @ forms[..., :p, :p]
        traces = traces - np.einsum("bfii->bf", turned)
        pairs = pairs - 2 * np.einsum("bij,baeji->bae", inverse, products[..., :p, :p])
        pairs = pairs + np.einsum("baij,beji->bae", turned, turned)
    curvature = quadratic - 0.5 * pairs
    gradient = np.asarray(0.5 * (squares - traces))
    return Point(value, gradient, curvature, np.asarray(gamma), np.asarray(inverse))
