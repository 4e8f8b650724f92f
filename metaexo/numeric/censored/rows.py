"""The problem of censored evidence: B meta-regressions whose effects are points or lie in intervals.

A row is a point (y, v), or says that the effect which was observed lies between `lower` and `upper`, either
of which may be infinite. The observed effect has another sampling variance at the one end than at the other,
because that of a standardised effect grows with the effect itself: y = d / S with S the relative error of the
standard deviation, and

    P(y <= u) = P(d - u S <= 0),   whose variance is v(u) = v(0) + u^2 var(S)

(Johnson and Welch 1940). So every end takes the variance that belongs to it. With one finite end that is a
normal tail. With two ends of unequal variances the probability is an integral over S > 0, which is done by
the trapezoidal rule (its error falls exponentially for a normal S): the row becomes a mixture of intervals
[lower S, upper S] that have the one variance v(0). It is positive everywhere and log-concave in the mean, as
the difference of two normal tails with different variances is not.

References
----------
Johnson, N. L., Welch, B. L. (1940). Applications of the non-central t-distribution. Biometrika 31, 362-389.
https://doi.org/10.1093/biomet/31.3-4.362
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.types import Array, Mask

# Values of S on either side of 1, and how many standard deviations they reach; more of them where the part of
# the variance that grows with the effect is large beside the other, up to a largest ratio of the two.
NODES, REACH, LARGEST_RATIO = 12, 6.0, 400.0
# Variances of two ends that differ by less than this share are taken as equal.
EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class CensoredBatch:
    """B problems with K rows and P coefficients each."""

    # y, v (B, K): effects and sampling variances of exact rows. In censored rows y is 0, and v that at the
    # finite end, or v(0) where two ends have variances of their own.
    y: Array
    v: Array
    censored: Mask  # (B, K): which rows are intervals
    # lower, upper, piece_v, log_weight (B, K, M): ends and variances of the M intervals whose mixture a
    # censored row is, and the logarithms of their weights
    lower: Array
    upper: Array
    piece_v: Array
    log_weight: Array
    # (B, K): A finite value of each row: the effect, the middle of an interval, or the finite end of a half-
    # line
    anchor: Array
    n: Array  # (B, K): how often each row takes part; 0 leaves it out
    basis: Array  # (K, P): orthonormal basis of the columns of X
    to_x: Array  # (P, P): takes coefficients on the basis to coefficients on X
    offset: Array  # (B, P): coefficients on X that were taken out of all effects and ends

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.basis.shape[-1])

    @property
    def size(self) -> int:
        """Number of problems B."""
        return int(self.y.shape[0])

    @property
    def two_ended(self) -> Array:
        """Number of rows that are a point or have two finite ends, shape (B,)."""
        closed = np.isfinite(self.lower[..., 0]) & np.isfinite(self.upper[..., 0])
        return np.asarray((self.n * (~self.censored | closed)).sum(axis=-1))

    def take(self, which: NDArray[np.intp]) -> CensoredBatch:
        """Return the problems at `which`, in that order; a problem may stand several times."""
        return CensoredBatch(
            self.y[which],
            self.v[which],
            self.censored[which],
            self.lower[which],
            self.upper[which],
            self.piece_v[which],
            self.log_weight[which],
            self.anchor[which],
            self.n[which],
            self.basis,
            self.to_x,
            self.offset[which],
        )


def basis_of(x: Array) -> tuple[Array, Array]:
    """Return an orthonormal basis of the columns of X, and what takes coefficients on it to those on X."""
    if not x.shape[1]:
        return x, np.eye(0)
    basis, upper = np.linalg.qr(x)
    return basis, np.asarray(np.linalg.inv(upper), dtype=float)


def make_censored_batch(
    lower: ArrayLike,
    upper: ArrayLike,
    v_lower: ArrayLike,
    v_upper: ArrayLike,
    x: ArrayLike | None = None,
    n: ArrayLike | None = None,
) -> CensoredBatch:
    """Return a batch from arrays that broadcast to (B, K).

    `lower` and `upper`, shape (K,) or (B, K): ends of each row; equal for exact effects, infinite where there
        is no bound.
    `v_lower` and `v_upper`, shape (K,) or (B, K): sampling variances at the ends, above 0 at every finite
        end; anything at an infinite one.
    `x`, shape (K, P): design matrix, shared by the batch, of full column rank; P may be 0. Default: a column
        of ones.
    `n`, shape (K,) or (B, K): how often each row takes part. Default: once.
    """
    arrays = [np.atleast_2d(np.asarray(a, dtype=float)) for a in (lower, upper, v_lower, v_upper)]
    arrays.append(np.ones((1, 1)) if n is None else np.atleast_2d(np.asarray(n, dtype=float)))
    low, high, v_low, v_high, counts = (np.array(a) for a in np.broadcast_arrays(*arrays))
    design = np.ones((low.shape[1], 1)) if x is None else np.asarray(x, dtype=float)
    basis, to_x = basis_of(design)
    censored = low != high
    anchor = _anchor(low, high)
    gamma = anchor @ basis
    shift = gamma @ basis.T
    pieces = _pieces(low, high, v_low, v_high, censored, shift)
    return CensoredBatch(
        y=np.where(censored, 0.0, low - np.where(censored, 0.0, shift)),
        v=np.where(censored, variance_of_scale(low, high, v_low, v_high)[0], v_low),
        censored=censored,
        lower=pieces[0],
        upper=pieces[1],
        piece_v=pieces[2],
        log_weight=pieces[3],
        anchor=anchor - shift,
        n=counts,
        basis=basis,
        to_x=to_x,
        offset=gamma @ to_x.T,
    )


def variance_of_scale(
    lower: ArrayLike, upper: ArrayLike, v_lower: ArrayLike, v_upper: ArrayLike
) -> tuple[Array, Array]:
    """Return v(0) and the factor c of v(y) = v(0) + c y^2 that two ends follow; NaN where none does.

    With equal variances, or one finite end, c is 0 and v(0) that variance: no more is needed there. NaN also
    where c y^2 at an end is more than 400 times v(0).

    `lower`, `upper`, `v_lower`, `v_upper`: ends and the sampling variances there.
    """
    low, high, v_low, v_high = (np.asarray(a, dtype=float) for a in (lower, upper, v_lower, v_upper))
    both = np.isfinite(low) & np.isfinite(high)
    one = np.where(np.isfinite(low), v_low, v_high)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        plain = ~both | (np.abs(v_high - v_low) <= EQUAL * np.maximum(v_low, v_high))
        factor = (v_high - v_low) / (high**2 - low**2)
        at_zero = v_low - factor * low**2
        grown = factor * np.maximum(low**2, high**2)
        fits = np.isfinite(factor) & (factor > 0) & (at_zero > 0) & (grown <= LARGEST_RATIO * at_zero)
    at_zero = np.where(plain, one, np.where(fits, at_zero, np.nan))
    return at_zero, np.where(plain, 0.0, np.where(fits, factor, np.nan))


def _anchor(lower: Array, upper: Array) -> Array:
    """Return a finite value of each row."""
    with np.errstate(invalid="ignore"):
        middle = 0.5 * (lower + upper)
    return np.where(np.isfinite(middle), middle, np.where(np.isfinite(lower), lower, upper))


def _nodes(lower: Array, upper: Array, at_zero: Array, factor: Array) -> Array:
    """Return where S is looked at, in standard deviations from 1; only there if no row needs more."""
    if not lower.size:
        return np.zeros(1)
    ratio = float(np.sqrt(factor * np.maximum(lower**2, upper**2) / at_zero).max())
    half = max(NODES, int(np.ceil(REACH * ratio)))
    return np.asarray(REACH * np.arange(-half, half + 1) / half)


def _pieces(
    lower: Array, upper: Array, v_lower: Array, v_upper: Array, censored: Mask, shift: Array
) -> tuple[Array, Array, Array, Array]:
    """Return ends, variances and log weights of the mixture of each row, shape (B, K, M)."""
    at_zero, factor = variance_of_scale(lower, upper, v_lower, v_upper)
    mixed = censored & (factor > 0)
    nodes = _nodes(lower[mixed], upper[mixed], at_zero[mixed], factor[mixed])
    size = nodes.size
    scale = np.where(mixed[..., None], 1.0 + np.sqrt(factor)[..., None] * nodes, 1.0)
    weight = np.where(mixed[..., None], np.exp(-0.5 * nodes**2), np.eye(1, size)[0])
    weight, scale = np.where(scale > 0, weight, 0.0), np.where(scale > 0, scale, 1.0)
    with np.errstate(divide="ignore"):
        log_weight = np.log(weight / weight.sum(axis=-1, keepdims=True))
    ends = []
    for end in (lower, upper):
        finite = np.isfinite(end)
        moved = np.where(finite, end, 0.0)[..., None] * scale - shift[..., None]
        ends.append(np.where(finite[..., None], moved, end[..., None]))
    piece_v = np.broadcast_to(at_zero[..., None], scale.shape).copy()
    return ends[0], ends[1], piece_v, log_weight
