r"""The maximum of the likelihood without each of many sets of rows, all of them climbed at once.

The covariance matrix is V plus a matrix per variance, :math:`M = V + \sum_a \theta_a D_a`, in small blocks.
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
from metaexo.numeric.problem import CHUNK_ELEMENTS
from metaexo.types import Array, Index, Mask

# The rise that a step promises, relative to the log-likelihood, with which a climb ends: what Newton's method
# leaves of it is about its square.
PROMISED = 1e-10
# What rounding may take from a log-likelihood, relative to it.
ROUNDING = 1e-13
MAX_STEPS = 100
SMALLEST_STEP = 1e-9
# Eigenvalues of the information below this share of the largest are taken for it.
FLAT = 1e-8
# Rows without which a coefficient is not determined leave less than this of some combination of the design.
UNDETERMINED = 1e-9
# A variance below this share of its typical size is 0.
NO_VARIANCE = 1e-14
# Information on a variance, beside that on others, below which the likelihood does not see it.
SEEN = 1e-7
# By how much a climb from elsewhere must end higher, relative to the log-likelihood.
HIGHER = 1e-9
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


class _Point(NamedTuple):
    """What is known of the likelihood at one point of each climb."""

    value: Array  # (B,): log-likelihood but for constants
    gradient: Array  # (B, f)
    curvature: Array  # (B, f, f): minus the second derivatives
    gamma: Array  # (B, p): coefficients of the basis of the design
    inverse: Array  # (B, p, p): their covariance matrix


def can_climb_together(problem: MixedProblem) -> bool:
    """Say whether the model falls into blocks, and its parameters are variances."""
    low, high = SIZES
    return (
        problem.count > 0
        and all(term.structure.linear for term in problem.terms)
        and not problem.cut.across
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
    groups = _groups(problem, theta)
    size = sum(g.changes[0].size for g in groups) * (2 + n)
    count = max(1, CHUNK_ELEMENTS // (2 * size))
    near = np.maximum(theta, 1e-3 * np.abs(theta).max())
    starts = np.array([np.where(moving, one, theta) for one in (near, start_points(problem, True)[0][1])])
    scale, base, back = parameter_scale(problem), basis.T @ problem.y, np.linalg.inv(r_x)
    for begin in range(0, b, count):
        which = begin + np.flatnonzero(possible[begin : begin + count])
        if not which.size:
            continue
        kept = np.ones((which.size, k + 1))
        for i, s in enumerate(which.tolist()):
            kept[i, sets[s]] = 0.0
        kept[:, k] = 1.0  # padding is a row of the identity already
        m = which.size
        start = np.repeat(starts, m, axis=0)
        ends, tops, ended = _climb(groups, np.tile(kept, (2, 1)), restricted, start, moving, scale)
        near, far = np.nan_to_num(tops.value[:m]), np.nan_to_num(tops.value[m:])
        better = ended[m:] & (~ended[:m] | (far > near + HIGHER * (1 + np.abs(near))))
        chosen = np.arange(m) + m * better
        found, at, done = ends[chosen], _Point(*(part[chosen] for part in tops)), ended[chosen]
        done &= ~_flat(at, found, moving, scale)
        good = which[done]
        out.theta[good], out.found[good] = found[done], True
        out.beta[good] = (base + at.gamma[done]) @ back.T
        out.cov[good] = back @ at.inverse[done] @ back.T
        out.q[which], out.trace[which] = _sampling_only(groups, kept)
    return out


def _flat(at: _Point, theta: Array, moving: Mask, scale: Array) -> Mask:
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


def _climb(
    groups: Sequence[_Group], kept: Array, restricted: bool, start: Array, moving: Mask, scale: Array
) -> tuple[Array, _Point, Mask]:
    """Return where the climbs end, what is known there, and which of them ended at a maximum."""
    theta = start.copy()
    at = _point(groups, kept, theta, restricted)
    step, promised = _step(at, theta, moving, scale)
    share, done = np.ones(len(theta)), np.zeros(len(theta), dtype=bool)
    for _ in range(MAX_STEPS):
        active = np.flatnonzero(~done & (share > SMALLEST_STEP))
        if not active.size:
            break
        trial = theta[active] + share[active, None] * step[active]
        trial = np.where(trial > NO_VARIANCE * scale, trial, 0.0)
        trial[:, ~moving] = theta[active][:, ~moving]
        there = _point(groups, kept[active], trial, restricted)
        higher = there.value >= at.value[active] - ROUNDING * (1 + np.abs(at.value[active]))
        share[active[~higher]] *= 0.5
        moved = active[higher]
        if not moved.size:
            continue
        done[moved] = (share[moved] == 1) & (promised[moved] <= PROMISED * (1 + np.abs(at.value[moved])))
        theta[moved], share[moved] = trial[higher], 1.0
        for old, new in zip(at, there, strict=True):
            old[moved] = new[higher]
        now = _Point(*(part[higher] for part in there))
        step[moved], promised[moved] = _step(now, theta[moved], moving, scale)
    return theta, at, done


def _step(at: _Point, theta: Array, moving: Mask, scale: Array) -> tuple[Array, Array]:
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


def _point(groups: Sequence[_Group], kept: Array, theta: Array, restricted: bool) -> _Point:
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
) -> _Point:
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
    return _Point(value, gradient, curvature, np.asarray(gamma), np.asarray(inverse))
