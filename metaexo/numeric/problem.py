"""The problem that every kernel solves: B meta-regressions at once, as plain arrays.

A batch has effects y, sampling variances v, a design matrix X and counts n that say how often each row takes
part: 0 leaves a row out (a mask), 1 is the usual case, larger integers repeat it (a bootstrap). One fit is a
batch of one, leave-one-out a batch of K, a permutation test a batch of permuted y.

The design is replaced by an orthonormal basis of its columns: the fit is the same, and columns such as
calendar years cost no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Elements of one temporary array: chunks of a large batch are cut to this size (32 MB of doubles).
CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """B problems with K rows and P coefficients each.

    Attributes
    ----------
    y : ndarray, shape (B, K)
        Effects; residuals of the unweighted fit, so that a common shift of all effects costs no digits.
    v : ndarray, shape (B, K)
        Sampling variances, at least 0; 1 in rows that take no part.
    basis : ndarray, shape (1 or B, K, P)
        Orthonormal basis of the columns of X.
    n : ndarray, shape (B, K)
        Counts: how often each row takes part.
    k : ndarray, shape (B,)
        Sum of the counts.
    to_x : ndarray, shape (P, P)
        Takes coefficients on the basis to coefficients on X.
    offset : ndarray, shape (B, P)
        Coefficients of the unweighted fit on X, which were taken out of y.
    unit : bool
        Whether every count is 1.
    """

    y: Array
    v: Array
    basis: Array
    n: Array
    k: Array
    to_x: Array
    offset: Array
    unit: bool

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

    def take(self, which: NDArray[np.intp]) -> Batch:
        """Return the problems at `which`, in that order; a problem may stand several times."""
        if self.size == 1 and which.size == 1:
            return self
        basis = self.basis if self.basis.shape[0] == 1 else self.basis[which]
        return Batch(
            self.y[which],
            self.v[which],
            basis,
            self.n[which],
            self.k[which],
            self.to_x,
            self.offset[which],
            self.unit,
        )


def make_batch(y: ArrayLike, v: ArrayLike, x: ArrayLike | None = None, n: ArrayLike | None = None) -> Batch:
    """Return a batch from arrays that broadcast to (B, K).

    Parameters
    ----------
    y, v : array_like, shape (K,) or (B, K)
        Effects and sampling variances. Both finite in every row that takes part.
    x : array_like, shape (K, P), optional
        Design matrix, shared by the batch, of full column rank. Default: a column of ones.
    n : array_like, shape (K,) or (B, K), optional
        How often each row takes part. Default: once.
    """
    effects = np.atleast_2d(np.asarray(y, dtype=float))
    variances = np.atleast_2d(np.asarray(v, dtype=float))
    unit = n is None
    counts = np.ones((1, effects.shape[-1])) if n is None else np.atleast_2d(np.asarray(n, dtype=float))
    shape = np.broadcast_shapes(effects.shape, variances.shape, counts.shape)
    if not unit:
        absent = counts == 0
        effects = np.where(absent, 0.0, effects)
        variances = np.where(absent, 1.0, variances)
    effects = np.broadcast_to(effects, shape)
    variances = np.broadcast_to(variances, shape)
    counts = np.broadcast_to(counts, shape)
    total = counts.sum(axis=-1)
    if x is None:
        mean = (counts * effects).sum(axis=-1, keepdims=True) / total[:, None]
        scale = 1.0 / np.sqrt(shape[-1])
        basis = np.full((1, shape[-1], 1), scale)
        residual = _without_rounding(effects - mean, effects)
        return Batch(residual, variances, basis, counts, total, np.array([[scale]]), mean, unit)
    design = np.asarray(x, dtype=float)
    basis, upper = np.linalg.qr(design)
    to_x = np.linalg.inv(upper)
    if unit:
        gamma = effects @ basis
    else:
        gram = np.einsum("bk,kp,kq->bpq", counts, basis, basis)
        gamma = np.linalg.solve(gram, ((counts * effects) @ basis)[..., None])[..., 0]
    residual = _without_rounding(effects - gamma @ basis.T, effects)
    return Batch(residual, variances, basis[None], counts, total, to_x, gamma @ to_x.T, unit)


def _without_rounding(residual: Array, effects: Array) -> Array:
    """Set residuals that are rounding error of the effects to zero, so that equal effects have no spread."""
    noise = 4 * np.finfo(float).eps * np.abs(effects).max(axis=-1, keepdims=True)
    return np.where(np.abs(residual) <= noise, 0.0, residual)
