"""The problem that every kernel solves: B meta-regressions at once, as plain arrays.

A batch has effects y, sampling variances v, a design matrix X and counts n that say how often each row takes
part: 0 leaves a row out (a mask), 1 is the usual case, larger integers repeat it (a bootstrap). One fit is a
batch of one, leave-one-out a batch of K, a permutation test a batch of permuted y.

The design is replaced by an orthonormal basis of its columns: the fit is the same, and columns such as
calendar years cost no digits. A problem without moderators is also kept as seen from its most precise row,
which dominates all sums when sampling variances differ by many orders of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.types import Array

# Elements of one temporary array: chunks of a large batch are cut to this size (32 MB of doubles).
CHUNK_ELEMENTS = 4_000_000
# Rows of up to so many elements are summed as a product.
SHORT_ROW = 512
# Variances of one problem with moderators that differ by more than this are seen from its most precise rows.
WIDE_RANGE = 1e6
# A row whose part that other rows do not have is smaller, as a share of its square, is a combination of them.
INDEPENDENT = 1e-12
# Relative size of what is rounding error of an effect.
NOISE = 4 * float(np.finfo(float).eps)


@dataclass(frozen=True, slots=True)
class Pivot:
    """Problems of a mean alone, as differences from the row with the smallest variance, the pivot."""

    v0: Array  # (B,): sampling variance of the pivot
    y: Array  # (B, L): effects of the other rows minus that of the pivot
    v: Array  # (B, L): their sampling variances
    n: Array | None  # (B, L): their counts; None if every count is 1

    def take(self, which: NDArray[np.intp] | slice) -> Pivot:
        """Return the problems at `which`."""
        counts = None if self.n is None else self.n[which]
        return Pivot(self.v0[which], self.y[which], self.v[which], counts)


@dataclass(frozen=True, slots=True)
class WidePivot:
    """One problem with moderators and sampling variances far apart, as seen from its most precise rows.

    The P rows that are most precise and linearly independent, the pivots, fix the coefficients; the others
    are taken as differences from what the pivots predict for them.
    """

    # (N,): the rows that take part, each as often as it is counted; the P pivots come first
    rows: NDArray[np.intp]
    ell: Array  # (N - P, P): takes fitted values at the pivots to those of the other rows
    z: Array  # (N - P,): effects of the others minus what those of the pivots predict
    y: Array  # (P,): effects of the pivots
    to_basis: Array  # (P, P): takes fitted values at the pivots to coefficients on the basis
    logdet: float  # twice the logarithm of the determinant of the pivots' rows of the basis


@dataclass(frozen=True, slots=True)
class Batch:
    """B problems with K rows and P coefficients each."""

    # (B, K): effects; residuals of the unweighted fit, so that a common shift of all effects costs no digits
    y: Array
    v: Array  # (B, K): sampling variances, at least 0; the largest one in rows that take no part
    basis: Array  # (1, K, P): orthonormal basis of the columns of X
    n: Array  # (B, K): counts: how often each row takes part
    k: Array  # (B,): sum of the counts
    to_x: Array  # (P, P): takes coefficients on the basis to coefficients on X
    offset: Array  # (B, P): coefficients of the unweighted fit on X, which were taken out of y
    unit: bool  # whether every count is 1
    # the same problems seen from their most precise row, where X is a column of ones
    pivot: Pivot | None = None
    weights: Array | None = None  # (1 or B, K): user-supplied weights
    # the problems with a design whose variances are far apart, seen from their most precise rows
    wide: tuple[WidePivot | None, ...] | None = None

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.basis.shape[-1])

    @property
    def df(self) -> Array:
        """Residual degrees of freedom, shape (B,)."""
        return self.k - self.p

    @property
    def size(self) -> int:
        """Number of problems B."""
        return int(self.y.shape[0])

    def take(self, which: NDArray[np.intp] | slice | int) -> Batch:
        """Return the problems at `which`, in that order; a problem may stand several times."""
        if isinstance(which, int):
            return self if self.size == 1 else self._take(slice(which, which + 1))
        if not isinstance(which, slice) and self.is_all(which):
            return self
        return self._take(which)

    def is_all(self, which: NDArray[np.intp]) -> bool:
        """Say whether positions are those of all problems, in their order."""
        return which.size == self.size and bool((which == np.arange(self.size)).all())

    def _take(self, which: NDArray[np.intp] | slice) -> Batch:
        shared = self.weights is None or self.weights.shape[0] == 1
        return Batch(
            self.y[which],
            self.v[which],
            self.basis,
            self._counts_at(which),
            self.k[which],
            self.to_x,
            self.offset[which],
            self.unit,
            None if self.pivot is None else self.pivot.take(which),
            self.weights if shared else self.weights[which],  # type: ignore[index]
            self._wide_at(which),
        )

    def _counts_at(self, which: NDArray[np.intp] | slice) -> Array:
        if not self.unit:
            return self.n[which]
        size = len(range(self.size)[which]) if isinstance(which, slice) else which.size
        return np.broadcast_to(self.n[:1], (size, self.n.shape[1]))

    def _wide_at(self, which: NDArray[np.intp] | slice) -> tuple[WidePivot | None, ...] | None:
        if self.wide is None:
            return None
        places = range(self.size)[which] if isinstance(which, slice) else which.tolist()
        found = tuple(self.wide[i] for i in places)
        return found if any(pivot is not None for pivot in found) else None

    def in_units(self, unit: Array) -> Batch:
        """Return the problems with effects divided by `unit`, shape (B,), and variances by its square."""
        u = unit[:, None]
        pivot, wide = self.pivot, self.wide
        if pivot is not None:
            pivot = Pivot(pivot.v0 / unit**2, pivot.y / u, pivot.v / u**2, pivot.n)
        if wide is not None:
            wide = tuple(
                part if part is None else replace(part, z=part.z / one, y=part.y / one)
                for part, one in zip(wide, unit, strict=True)
            )
        return replace(self, y=self.y / u, v=self.v / u**2, offset=self.offset / u, pivot=pivot, wide=wide)

    def variance_range(self) -> tuple[Array, Array]:
        """Return the smallest and the largest sampling variance that takes part, both of shape (B,)."""
        if self.unit:
            return self.v.min(axis=-1), self.v.max(axis=-1)
        present = self.n > 0
        smallest = np.where(present, self.v, np.inf).min(axis=-1)
        return smallest, np.where(present, self.v, -np.inf).max(axis=-1)

    def residual_ss(self) -> Array:
        """Return the sum of squares around the unweighted fit, shape (B,)."""
        return np.asarray(np.vecdot(self.y if self.unit else self.n * self.y, self.y))


def make_batch(
    y: ArrayLike,
    v: ArrayLike,
    x: ArrayLike | None = None,
    n: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Batch:
    """Return a batch from arrays that broadcast to (B, K).

    `y` and `v`, shape (K,) or (B, K): effects and sampling variances. Both finite in every row that takes
        part.
    `x`, shape (K, P): design matrix, shared by the batch, of full column rank. Default: a column of ones.
    `n`, shape (K,) or (B, K): how often each row takes part. Default: once.
    `weights`, shape (K,) or (B, K): user-supplied weights, for the estimators that take them.
    """
    effects = np.atleast_2d(np.asarray(y, dtype=float))
    variances = np.atleast_2d(np.asarray(v, dtype=float))
    unit = n is None
    counts = np.ones((1, effects.shape[-1])) if n is None else np.atleast_2d(np.asarray(n, dtype=float))
    if not effects.shape == variances.shape == counts.shape:
        shape = np.broadcast_shapes(effects.shape, variances.shape, counts.shape)
        effects = np.broadcast_to(effects, shape)
        variances = np.broadcast_to(variances, shape)
        counts = np.broadcast_to(counts, shape)
    if not unit:
        absent = counts == 0
        effects = np.where(absent, 0.0, effects)
        largest = np.where(absent, -np.inf, variances).max(axis=-1, keepdims=True)
        variances = np.where(absent, np.where(np.isfinite(largest), largest, 1.0), variances)
    given = None if weights is None else np.atleast_2d(np.asarray(weights, dtype=float))
    if x is None:
        return _mean_batch(effects, variances, counts, unit, given)
    return _design_batch(effects, variances, counts, unit, given, np.asarray(x, dtype=float))


def _mean_batch(y: Array, v: Array, n: Array, unit: bool, weights: Array | None) -> Batch:
    """Return the batch of problems whose design is a column of ones."""
    columns = y.shape[-1]
    total = np.full(y.shape[0], float(columns)) if unit else n.sum(axis=-1)
    mean = (row_sums(y if unit else n * y) / total)[:, None]
    scale = 1.0 / np.sqrt(columns)
    basis = np.full((1, columns, 1), scale)
    residual = without_rounding(y - mean, y)
    pivot = _pivot(residual, y, v, None if unit else n)
    return Batch(residual, v, basis, n, total, np.array([[scale]]), mean, unit, pivot, weights)


def _design_batch(y: Array, v: Array, n: Array, unit: bool, weights: Array | None, x: Array) -> Batch:
    """Return the batch of problems that share the design x, shape (K, P)."""
    basis, upper = np.linalg.qr(x)
    to_x = np.linalg.inv(upper)
    if unit:
        gamma = y @ basis
    else:
        gram = np.einsum("bk,kp,kq->bpq", n, basis, basis)
        gamma = np.linalg.solve(gram, ((n * y) @ basis)[..., None])[..., 0]
    residual = without_rounding(y - gamma @ basis.T, y)
    wide = _wide_pivots(residual, y, v, n, basis)
    return Batch(residual, v, basis[None], n, n.sum(axis=-1), to_x, gamma @ to_x.T, unit, None, weights, wide)


def _wide_pivots(
    residual: Array, y: Array, v: Array, n: Array, basis: Array
) -> tuple[WidePivot | None, ...] | None:
    """Return the pivots of the problems whose variances are far apart; None if there are none."""
    far = np.flatnonzero(v.max(axis=-1) > WIDE_RANGE * v.min(axis=-1))
    if not far.size or not basis.shape[1]:  # without coefficients all sums are of one sign
        return None
    found: list[WidePivot | None] = [None] * v.shape[0]
    for b in far.tolist():
        rows = np.repeat(np.arange(v.shape[1]), n[b].astype(np.intp))
        at = v[b][rows]
        if rows.size > basis.shape[1] and at.max() > WIDE_RANGE * at.min():
            found[b] = _wide_pivot(y[b] if residual[b].any() else np.zeros_like(y[b]), at, basis, rows)
    return tuple(found) if any(pivot is not None for pivot in found) else None


def _wide_pivot(y: Array, v: Array, basis: Array, rows: NDArray[np.intp]) -> WidePivot | None:
    """Return one problem as seen from its most precise rows; None if its rows do not fix the coefficients."""
    p = basis.shape[1]
    rest = basis[rows].copy()
    size = np.vecdot(rest, rest)
    order, chosen = np.argsort(v, kind="stable"), []
    for _ in range(p):
        length = np.vecdot(rest, rest)
        useful = order[length[order] > INDEPENDENT * size[order]]
        if not useful.size:
            return None
        # Among rows of like precision the one that is farthest from those before it.
        near = useful[v[useful] <= 4 * v[useful[0]]]
        pick = int(near[length[near].argmax()])
        chosen.append(pick)
        unit = rest[pick] / np.sqrt(length[pick])
        rest -= np.outer(rest @ unit, unit)
    others = np.setdiff1d(np.arange(rows.size), chosen)
    placed = np.concatenate([rows[chosen], rows[others]])
    to_basis = np.asarray(np.linalg.inv(basis[rows[chosen]]), dtype=np.float64)
    ell = basis[rows[others]] @ to_basis
    ell[np.abs(ell) < INDEPENDENT * np.abs(ell).max()] = 0.0
    z = y[rows[others]] - ell @ y[rows[chosen]]
    logdet = 2 * float(np.linalg.slogdet(basis[rows[chosen]])[1])
    return WidePivot(placed, ell, z, y[rows[chosen]], to_basis, logdet)


def row_sums(x: Array) -> Array:
    """Return the sums of rows, shape (B,); for short rows a product with ones is several times faster."""
    return np.asarray(x @ np.ones(x.shape[-1]) if x.shape[-1] <= SHORT_ROW else x.sum(axis=-1))


def _pivot(residual: Array, y: Array, v: Array, n: Array | None) -> Pivot:
    """Set the row with the smallest variance apart."""
    still = np.asarray(~residual.any(axis=-1))
    if n is not None:
        place = np.where(n > 0, v, np.inf).argmin(axis=-1)
        rows = np.arange(v.shape[0])
        others = n.copy()
        others[rows, place] -= 1.0
        apart = np.where(n > 0, y - y[rows, place][:, None], 0.0)
        apart[still] = 0.0
        return Pivot(v[rows, place], apart, v, others)
    if v.shape[0] == 1:
        i = int(v[0].argmin())
        others = np.concatenate((v[:, :i], v[:, i + 1 :]), axis=1)
        apart = np.concatenate((y[:, :i], y[:, i + 1 :]), axis=1) - y[0, i]
        if still[0]:
            apart = np.zeros_like(apart)
        return Pivot(v[:, i], apart, others, None)
    rows, place = np.arange(v.shape[0]), v.argmin(axis=-1)
    first, y0 = v[rows, place], y[rows, place]
    moved = np.flatnonzero(place < v.shape[1] - 1)  # the last row takes the place of the pivot
    others, apart = v[:, :-1].copy(), y[:, :-1] - y0[:, None]
    others[moved, place[moved]] = v[moved, -1]
    apart[moved, place[moved]] = y[moved, -1] - y0[moved]
    if still.any():
        apart[still] = 0.0
    return Pivot(first, apart, others, None)


def without_rounding(residual: Array, effects: Array) -> Array:
    """Set residuals that are rounding error of the effects to zero, so that equal effects do not vary."""
    noise = NOISE * np.abs(effects).max(axis=-1, keepdims=True)
    return np.where(np.abs(residual) <= noise, 0.0, residual)
