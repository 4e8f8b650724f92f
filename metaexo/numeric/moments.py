r"""The weighted fit at given tau2, and the traces that every estimator of tau2 is made of.

With w = 1 / (v + tau2), W = diag(w), P = W - W X (X'WX)^-1 X'W (all on the rows that take part, each as often
as its count says) the quantities are

    trace(P), trace(PP), y'Py (the generalised Q), y'PPy, y'PPPy.

They are computed without a K x K matrix: time and memory are linear in K. Where X is a column of ones, the
sums run over all rows but the most precise one, whose share is added in closed form; no difference of large
numbers is taken, however far apart the variances are. Otherwise an orthonormal basis of the weighted design
is used.

Factors make few different rows. Rows with the same levels of all factors are a cell, and sums over the rows
of a cell are all that a fit needs. The factor with most levels, the main one, costs nothing: its X'WX is
diagonal. With P_1 what is left of the weights W when its means are taken out, and Z the columns of the other
factors, all that the estimators need follows from

.. math:: P = P_1 - P_1 Z (Z' P_1 Z)^{-1} Z' P_1,

where :math:`P_1 Z = W \zeta` with :math:`\zeta` the columns of Z as differences from their weighted means
within each level of the main factor. Nothing is larger than cells times columns of Z.

References
----------
Viechtbauer, W. (2005). Bias and efficiency of meta-analytic variance estimators in the random-effects model.
Journal of Educational and Behavioral Statistics 30, 261-293. https://doi.org/10.3102/10769986030003261
Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance components, chapter 6 and appendix M. Wiley.
https://doi.org/10.1002/9780470316856
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.numeric.problem import Batch, Pivot, WidePivot, make_batch, row_sums
from metaexo.types import Array, Index, Mask

# Variances farther apart than this are left to the kernels that pivot.
FAR_APART = 1e6


# Designs of up to so many columns are taken by cross-products where there are many problems.
MOST_COLUMNS = 8
# A column of which less than this share is left by those before it, as a square, is near a combination.
CLEAR = 1e-4
# Elements of temporary arrays: below 128 kB they stay in the processor's cache, and allocating one is cheap.
CACHE_ELEMENTS = 16_000


@dataclass(frozen=True, slots=True)
class Moments:
    """Traces and quadratic forms of a batch at given tau2."""

    # trace_p, trace_pp, y_p_y, y_pp_y, y_ppp_y, sum_w, sum_ww (B,) or (B, G): trace(P), trace(PP), y'Py,
    # y'PPy, y'PPPy, and the sums of the weights and of their squares
    trace_p: Array
    trace_pp: Array
    y_p_y: Array
    y_pp_y: Array
    y_ppp_y: Array
    sum_w: Array
    sum_ww: Array


@dataclass(frozen=True, slots=True)
class WeightedFit:
    """Weighted least squares of a batch."""

    beta: Array  # (B, P): coefficients on the columns of X
    cov: Array  # (B, P, P): (X'WX)^-1
    weighted_ss: Array  # (B,): sum of the weighted squared residuals, y'Py
    logdet: Array  # (B,): log |X'WX| - log |X'X|, the latter over distinct rows


def moments(batch: Batch, tau2: Array | float, which: NDArray[np.intp] | None = None) -> Moments:
    """Return traces and quadratic forms at `tau2`, shape (B,) or, several points a problem, (B, G).

    A plain number is a point of a batch of one, and the moments are plain numbers too. With `which` the
    points are those of the problems at these positions.
    """
    if not isinstance(tau2, np.ndarray):
        return _at_number(batch, tau2)
    if which is not None and not batch.is_all(which):
        if batch.pivot is None:
            return moments(batch.take(which), tau2)
        return _at_points(batch.pivot.take(which), tau2)
    if batch.pivot is None:
        if tau2.ndim == 1:
            return _design_moments(batch, tau2)
        if batch.y.size > CACHE_ELEMENTS:
            points = [_design_moments(batch, tau2[:, g]) for g in range(tau2.shape[1])]
            return Moments(*(np.stack([getattr(p, n) for p in points], -1) for n in Moments.__slots__))
        problem = np.repeat(np.arange(batch.size), tau2.shape[1])
        return _reshaped(_design_moments(batch.take(problem), tau2.ravel()), tau2.shape)
    return _at_points(batch.pivot, tau2)


def _at_points(pivot: Pivot, tau2: Array) -> Moments:
    """Return the moments of problems of a mean alone at `tau2`, shape (B,) or (B, G)."""
    if tau2.ndim == 2:
        return _mean_moments(pivot, tau2)
    if tau2.size == 1 and pivot.y.size <= CACHE_ELEMENTS:
        at = _one_problem(pivot, float(tau2[0]))
        return Moments(*(np.array([getattr(at, name)]) for name in Moments.__slots__))
    return _reshaped(_mean_moments(pivot, tau2[:, None]), tau2.shape)


def _at_number(batch: Batch, tau2: float) -> Moments:
    """Return the moments of a batch of one at a number, as plain numbers."""
    if batch.pivot is not None and batch.pivot.y.size <= CACHE_ELEMENTS:
        return _one_problem(batch.pivot, tau2)
    at = moments(batch, np.array([tau2]))
    return Moments(*(getattr(at, name).item() for name in Moments.__slots__))


def generalised_q(batch: Batch, tau2: Any) -> tuple[Any, Any]:
    """Return y'Py and y'PPy at `tau2`, shape (B,); y'PPy is minus the derivative of y'Py.

    A plain number is a point of a batch of one, and so are the values then.
    """
    if not isinstance(tau2, np.ndarray):
        return _one_q(batch, tau2)
    if batch.pivot is None:
        at = _design_moments(batch, tau2)
        return at.y_p_y, at.y_pp_y
    pivot = batch.pivot
    w0, w = 1.0 / (pivot.v0 + tau2), 1.0 / (pivot.v + tau2[:, None])
    c = w if pivot.n is None else pivot.n * w
    mu = np.vecdot(c, pivot.y) / (w0 + c.sum(axis=-1))
    e = pivot.y - mu[:, None]
    ce = c * e
    first = w0 * mu
    return first * mu + np.vecdot(ce, e), first * first + np.vecdot(ce, w * e)


def _one_q(batch: Batch, tau2: float) -> tuple[float, float]:
    """Return y'Py and y'PPy of a batch of one at a number."""
    pivot = batch.pivot
    if pivot is None:
        at = _at_number(batch, tau2)
        return at.y_p_y, at.y_pp_y  # type: ignore[return-value]
    w = 1.0 / (pivot.v[0] + tau2)
    c = w if pivot.n is None else pivot.n[0] * w
    w0 = 1.0 / (float(pivot.v0[0]) + tau2)
    mu = float(c.dot(pivot.y[0])) / (w0 + float(c.sum()))
    e = pivot.y[0] - mu
    ce, first = c * e, w0 * mu
    return first * mu + float(ce.dot(e)), first * first + float(ce.dot(w * e))


def _mean_moments(pivot: Pivot, tau2: Array) -> Moments:
    """Return the moments of problems of a mean alone at `tau2`, shape (B, G).

    Large batches are taken in slices and long problems in blocks of rows, so that temporary arrays stay in
    the processor's cache.
    """
    rows = max(1, CACHE_ELEMENTS // (pivot.y.shape[1] * tau2.shape[1] + 1))
    w0 = 1.0 / (pivot.v0[:, None] + tau2)
    if tau2.shape[0] <= rows or tau2.shape[0] == 1:
        return _finish(w0, *_sums(pivot, tau2, w0))
    cuts = [slice(begin, begin + rows) for begin in range(0, tau2.shape[0], rows)]
    parts = [_sums(pivot.take(cut), tau2[cut], w0[cut]) for cut in cuts]
    return _finish(w0, *(np.concatenate(part, axis=-2) for part in zip(*parts, strict=True)))


def _sums(pivot: Pivot, tau2: Array, w0: Array) -> tuple[Array, Array, Array]:
    """Return mu, the sums of weights and the sums of squared residuals, block by block of rows."""
    width = max(1, CACHE_ELEMENTS // tau2.size)
    begins = range(0, max(pivot.y.shape[1], 1), width)
    first = _weights(pivot, 0, width, tau2)
    sums = _weight_sums(*first)
    for begin in begins[1:]:
        sums = sums + _weight_sums(*_weights(pivot, begin, width, tau2))
    mu = sums[3] / (w0 + sums[0])
    squares = _residual_sums(*first, mu)
    for begin in begins[1:]:
        squares = squares + _residual_sums(*_weights(pivot, begin, width, tau2), mu)
    return mu, sums, squares


def _weights(pivot: Pivot, begin: int, width: int, tau2: Array) -> tuple[Array, Array, Array]:
    """Return y, w and w times the counts of a block of rows, of shapes that broadcast to (B, G, L)."""
    rows = slice(begin, begin + width)
    w = 1.0 / (pivot.v[:, None, rows] + tau2[:, :, None])
    return pivot.y[:, None, rows], w, w if pivot.n is None else w * pivot.n[:, None, rows]


def _weight_sums(y: Array, w: Array, c: Array) -> Array:
    """Return the sums of w, w^2, w^3 and w y, each times the counts, shape (4, B, G)."""
    return np.array([c @ np.ones(c.shape[-1]), np.vecdot(c, w), np.vecdot(c, w * w), np.vecdot(c, y)])


def _residual_sums(y: Array, w: Array, c: Array, mu: Array) -> Array:
    """Return the sums of w e^2, w^2 e^2, w^3 e^2 and w^2 e, each times the counts, shape (4, B, G)."""
    e = y - mu[:, :, None]
    we = w * e
    ce = we if c is w else c * e
    return np.array([np.vecdot(ce, e), np.vecdot(ce, we), np.vecdot(ce, w * we), np.vecdot(ce, w)])


def _one_problem(pivot: Pivot, tau2: float) -> Moments:
    """Return the moments of one problem at one point, as plain numbers.

    A fit at k = 13 takes 0.2 ms with it, and 1.5 ms with arrays of one problem.
    """
    y, v = pivot.y[0], pivot.v[0]
    w = 1.0 / (v + tau2)
    c = w if pivot.n is None else pivot.n[0] * w
    first, r1 = float(pivot.v0[0]) + tau2, float(np.add.reduce(c))
    w0 = 1.0 / first if first else math.inf
    mu = float(c.dot(y)) / (w0 + r1)
    e = y - mu
    we, ce = w * e, c * e
    sums = (r1, float(c.dot(w)), float(c.dot(w * w)))
    squares = (float(ce.dot(e)), float(ce.dot(we)), float(ce.dot(w * we)), float(ce.dot(w)))
    return _finish(w0, mu, sums, squares)


def _finish(w0: Any, mu: Any, sums: Any, squares: Any) -> Moments:
    """Return the moments from the sums of w, w^2, w^3 and of w e^2, w^2 e^2, w^3 e^2, w^2 e.

    With the pivot's weight w0 and the others' w, R_j = sum w^j, S = w0 + R_1, mu the weighted mean of the
    differences from the pivot and e the residuals, the pivot's own residual is -mu and w0 mu = sum w e. Plain
    numbers serve as well as arrays.
    """
    r1, r2, r3 = sums[:3]
    q1, q2, q3, second = squares
    total = w0 + r1
    first, share, rest, r2_of_total = w0 * mu, w0 / total, r1 / total, r2 / total
    first_square, pivot_rest = first * first, w0 * rest
    return Moments(
        trace_p=2 * pivot_rest + r1 * rest - r2_of_total,
        trace_pp=pivot_rest * pivot_rest + r2 - 2 * r3 / total + r2_of_total * (2 * share * w0 + r2_of_total),
        y_p_y=first * mu + q1,
        y_pp_y=first_square + q2,
        y_ppp_y=pivot_rest * first_square + second * (2 * share * first - second / total) + q3,
        sum_w=total,
        sum_ww=w0 * w0 + r2,
    )


def _reshaped(at: Moments, shape: tuple[int, ...]) -> Moments:
    return Moments(*(getattr(at, name).reshape(shape) for name in Moments.__slots__))


def _design_moments(batch: Batch, tau2: Array) -> Moments:
    """Return the moments of problems with a design; those whose variances are far apart by their pivots."""
    if batch.wide is None:
        return _plain_design_moments(batch, tau2)
    parts = []
    for b, pivot in enumerate(batch.wide):
        total = batch.v[b] + tau2[b]
        if pivot is None:
            parts.append(_plain_design_moments(batch.take(slice(b, b + 1)), tau2[b : b + 1]))
        else:
            parts.append(_wide_moments(pivot, total))
    return Moments(
        *(np.concatenate([np.atleast_1d(getattr(p, n)) for p in parts]) for n in Moments.__slots__)
    )


def _is_wide(variances: Array) -> bool:
    """Say whether variances, tau2 included, are so far apart that the rows are best seen from the pivots."""
    return bool(variances.max() > FAR_APART * variances.min())


class _WideFit:
    """The generalised least squares of a wide problem, with variances `d` of its rows.

    With D_A and D_B the variances of pivots and others, M = D_B^-1/2 L D_A^1/2, C = (I + M'M)^-1 and T =
    D_B^-1/2 (I - M C M') D_B^-1/2 the blocks of P are L'TL, -TL and T. As the pivots are the most precise
    rows, M is of moderate size, and no difference of large numbers is taken. Where the pivots are almost
    parallel M is large; I and M one above the other are then QR with C = (R'R)^-1, and M'M is not formed.
    """

    def __init__(self, pivot: WidePivot, d: Array) -> None:
        p = pivot.y.size
        self.root_a, self.root_b = np.sqrt(d[pivot.rows[:p]]), np.sqrt(d[pivot.rows[p:]])
        self.m = pivot.ell * self.root_a / self.root_b[:, None]
        q, self.r = np.linalg.qr(np.vstack([np.eye(p), self.m]))
        self.q = q[p:]  # of the other rows: M = QR
        self.r_inverse = np.linalg.inv(self.r)
        self.c = self.r_inverse @ self.r_inverse.T

    def solve(self, z: Array) -> tuple[Array, Array]:
        """Return g and e of z, or of its columns: Tz = D_B^-1/2 e, and z'Tz is e'e + g'g."""
        scaled = (z.T / self.root_b).T
        g = self.r_inverse @ (self.q.T @ scaled)
        return g, scaled - self.q @ (self.q.T @ scaled)


def _wide_moments(pivot: WidePivot, d: Array) -> Moments:
    """Return the moments of one wide problem whose rows have the variances d, shape (K,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a variance of 0 at tau2 = 0
        fit = _WideFit(pivot, d)
        w_a, w_b = fit.root_a**-2, fit.root_b**-2
        leverage = np.vecdot(fit.q, fit.q)
        of_pivots, rest = fit.solve(pivot.ell)
        p_aa = of_pivots.T @ of_pivots + rest.T @ rest
        p_ba = rest / fit.root_b[:, None]
        inner = (fit.q.T * w_b) @ fit.q
        own = np.square((1 - leverage) * w_b).sum()
        shared = max(float((inner * inner).sum() - np.square(leverage * w_b).sum()), 0.0)
        g, e = fit.solve(pivot.z)
        r_a, r_b = -g / fit.root_a, e / fit.root_b
        g2, e2 = fit.solve(r_b - pivot.ell @ r_a)
        return Moments(
            trace_p=np.trace(p_aa) + ((1 - leverage) * w_b).sum(),
            trace_pp=(p_aa * p_aa).sum() + 2 * (p_ba * p_ba).sum() + own + shared,
            y_p_y=g @ g + e @ e,
            y_pp_y=r_a @ r_a + r_b @ r_b,
            y_ppp_y=g2 @ g2 + e2 @ e2,
            sum_w=w_a.sum() + w_b.sum(),
            sum_ww=w_a @ w_a + w_b @ w_b,
        )


def _wide_fit(batch: Batch, pivot: WidePivot, weights: Array) -> WeightedFit:
    """Return the weighted fit of one wide problem, shapes as for a batch of one."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fit = _WideFit(pivot, 1.0 / weights)
        g, e = fit.solve(pivot.z)
        on_x = batch.to_x @ pivot.to_basis
        half = on_x * fit.root_a
        beta = on_x @ (pivot.y + fit.root_a * g)
        if not pivot.y.any() and not pivot.z.any():  # equal effects: the unweighted fit is exact
            beta = batch.offset[0]
        logdet = pivot.logdet - 2 * np.log(fit.root_a).sum() + 2 * np.log(np.abs(np.diagonal(fit.r))).sum()
    cov = half @ fit.c @ half.T
    return WeightedFit(
        beta=beta[None],
        cov=0.5 * (cov + cov.T)[None],
        weighted_ss=np.atleast_1d(g @ g + e @ e),
        logdet=np.atleast_1d(logdet),
    )


def _plain_design_moments(batch: Batch, tau2: Array) -> Moments:
    """Return the moments of problems with a design."""
    if isinstance(batch, CellBatch):
        return Moments(*batch.sums(tau2))
    if batch.size > 1 and 0 < batch.p <= MOST_COLUMNS:
        return _by_cross_products(batch, tau2)
    return _by_bases(batch, tau2)


def _by_cross_products(batch: Batch, tau2: Array) -> Moments:
    """Return the moments from X'WX and its like, products with matrices that the whole batch shares."""
    (size, k), p, q = batch.y.shape, batch.p, batch.basis[0]
    powers = np.empty((3, size, k))  # w, w^2 and w^3, each times the counts
    c, cw = powers[:2]
    w = np.reciprocal(batch.v + tau2[:, None], out=c if batch.unit else None)
    if not batch.unit:
        np.multiply(batch.n, w, out=c)
    np.multiply(c, w, out=cw)
    np.multiply(cw, w, out=powers[2])
    grams = (_pairs(q).T @ powers.reshape(-1, k).T).reshape(p, p, 3, size)
    h, j = grams[:, :, 1], grams[:, :, 2]
    inverse, clear, _ = small_inverses(grams[:, :, 0])
    gamma = (inverse * (q.T @ (c * batch.y).T)).sum(axis=1)
    e = batch.y - gamma.T @ q.T
    we = w * e
    ce = we if batch.unit else c * e
    cwe = w * ce
    cross = q.T @ cwe.T
    gh = (inverse[:, :, None] * h).sum(axis=1)
    sum_w, sum_ww = row_sums(c), row_sums(cw)
    found = Moments(
        trace_p=sum_w - gh.trace(),
        trace_pp=sum_ww - 2 * (inverse * j).sum(axis=(0, 1)) + (gh * gh.swapaxes(0, 1)).sum(axis=(0, 1)),
        y_p_y=row_sums(ce * e),
        y_pp_y=row_sums(ce * we),
        y_ppp_y=row_sums(cwe * we) - ((inverse * cross).sum(axis=1) * cross).sum(axis=0),
        sum_w=sum_w,
        sum_ww=sum_ww,
    )
    if clear.all():
        return found
    unclear = np.flatnonzero(~clear)
    exact = _by_bases(batch.take(unclear), tau2[unclear])
    for name in Moments.__slots__:
        getattr(found, name)[unclear] = getattr(exact, name)
    return found


def _pairs(q: Array) -> Array:
    """Return the products of all pairs of columns, (K, P) to (K, P^2)."""
    return (q[:, :, None] * q[:, None, :]).reshape(q.shape[0], -1)


def small_inverses(matrices: Array) -> tuple[Array, Mask, Array]:
    """Return the inverses of small symmetric positive matrices, what is safe, and the pivots.

    With a handful of columns this is many times quicker than a call of LAPACK for each.

    `matrices`, shape (P, P, B).
    Returns `inverses`, shape (P, P, B).
    Returns `clear`, shape (B,): whether no column is nearly a combination of those before it.
    Returns `pivots`, shape (P, B): their product is the determinant.
    """
    pivots = np.empty(matrices.shape[1:])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if len(matrices) == 2:
            (first, beside), (_, second) = matrices
            pivots[0], pivots[1] = first, second - beside * beside / first
            a = np.array([[second, -beside], [-beside, first]])
            a /= first * pivots[1]
            return a, (pivots[1] > CLEAR * second) & (first > 0), pivots
        a, clear = matrices.copy(), np.ones(matrices.shape[-1], dtype=np.bool_)
        for i in range(len(a)):
            pivots[i] = a[i, i]
            clear &= pivots[i] > CLEAR * matrices[i, i]
            a[i, i] = 1.0
            a[i] /= pivots[i]
            for j in range(len(a)):
                if j != i:
                    factor = a[j, i].copy()
                    a[j, i] = 0.0
                    a[j] -= factor * a[i]
    return a, clear, pivots


def _by_bases(batch: Batch, tau2: Array) -> Moments:
    """Return the moments from an orthonormal basis of the weighted design of each problem."""
    w = 1.0 / (batch.v + tau2[:, None])
    combined = w if batch.unit else batch.n * w
    root = np.sqrt(combined)
    q = np.linalg.qr(root[..., None] * batch.basis)[0]
    e = root * batch.y
    e = e - (q @ (np.swapaxes(q, -1, -2) @ e[..., None]))[..., 0]
    leverage_w = np.vecdot(q, q) * w
    we = w * e
    wq = w[..., None] * q
    g = np.swapaxes(q, -1, -2) @ wq
    cross = np.swapaxes(wq, -1, -2) @ e[..., None]
    sum_w, sum_ww = combined.sum(axis=-1), np.vecdot(combined, w)
    return Moments(
        trace_p=sum_w - leverage_w.sum(axis=-1),
        trace_pp=sum_ww - 2 * np.vecdot(leverage_w, w) + (g * g).sum(axis=(-1, -2)),
        y_p_y=np.vecdot(e, e),
        y_pp_y=np.vecdot(e, we),
        y_ppp_y=np.vecdot(we, we) - (cross * cross).sum(axis=(-1, -2)),
        sum_w=sum_w,
        sum_ww=sum_ww,
    )


def weighted_fit(batch: Batch, weights: Array) -> WeightedFit:
    """Return the weighted least-squares fit with the given weights, shape (B, K); counts come on top."""
    combined = weights if batch.unit else batch.n * weights
    if batch.pivot is not None:
        total = row_sums(combined)
        mean = np.vecdot(combined, batch.y) / total
        residuals = batch.y - mean[:, None]
        return WeightedFit(
            beta=batch.offset + mean[:, None],
            cov=(1.0 / total)[:, None, None],
            weighted_ss=np.vecdot(combined * residuals, residuals),
            logdet=np.log(total / batch.y.shape[-1]),
        )
    if batch.wide is not None:
        parts = []
        for b, pivot in enumerate(batch.wide):
            one = batch.take(slice(b, b + 1))
            own = np.broadcast_to(weights, batch.v.shape)[b]
            if pivot is None or not _is_wide(own):
                parts.append(weighted_fit(replace(one, wide=None), own[None]))
            else:
                parts.append(_wide_fit(one, pivot, own))
        return WeightedFit(*(np.concatenate([getattr(p, n) for p in parts]) for n in WeightedFit.__slots__))
    if batch.size > 1 and 0 < batch.p <= MOST_COLUMNS:
        return _fit_by_cross_products(batch, np.broadcast_to(combined, batch.y.shape))
    return _fit_by_bases(batch, combined)


def _fit_by_cross_products(batch: Batch, combined: Array) -> WeightedFit:
    """Return the weighted fits from X'WX; those near a singular one from bases of their own."""
    q = batch.basis[0]
    gram = (_pairs(q).T @ combined.T).reshape(batch.p, batch.p, -1)
    inverse, clear, pivots = small_inverses(gram)
    gamma = (inverse * (q.T @ (combined * batch.y).T)).sum(axis=1).T
    residuals = batch.y - gamma @ q.T
    found = WeightedFit(
        beta=batch.offset + gamma @ batch.to_x.T,
        cov=batch.to_x @ np.moveaxis(inverse, -1, 0) @ batch.to_x.T,
        weighted_ss=np.vecdot(combined * residuals, residuals),
        logdet=np.log(np.where(clear, pivots, 1.0)).sum(axis=0),
    )
    if clear.all():
        return found
    unclear = np.flatnonzero(~clear)
    exact = _fit_by_bases(batch.take(unclear), combined[unclear])
    for name in WeightedFit.__slots__:
        getattr(found, name)[unclear] = getattr(exact, name)
    return found


def _fit_by_bases(batch: Batch, combined: Array) -> WeightedFit:
    """Return the weighted fits from an orthonormal basis of the weighted design of each problem."""
    root = np.sqrt(combined)
    q, upper = np.linalg.qr(root[..., None] * batch.basis)
    inverse = np.linalg.inv(upper)
    gamma = (inverse @ (np.swapaxes(q, -1, -2) @ (root * batch.y)[..., None]))[..., 0]
    on_x = batch.to_x @ inverse
    residuals = batch.y - gamma @ batch.basis[0].T
    diagonal = np.abs(np.diagonal(upper, axis1=-2, axis2=-1))
    return WeightedFit(
        beta=batch.offset + gamma @ batch.to_x.T,
        cov=on_x @ np.swapaxes(on_x, -1, -2),
        weighted_ss=np.vecdot(combined * residuals, residuals),
        logdet=2 * np.log(diagonal).sum(axis=-1),
    )


@dataclass(frozen=True, eq=False)
class Cells:
    """A design by its cells; rows stand sorted by main level, and within it by cell."""

    order: Index  # (K,): takes the rows to this order
    first_row: Index  # (C,): where each cell begins among the rows
    first_cell: Index  # (L,): where each level of the main factor begins among the cells
    main: Index  # (C,): main level of each cell
    cell: Index  # (K,): cell of each row
    z: Array  # (C, Q): columns of the other factors

    def by_cell(self, x: Array) -> Array:
        """Return sums over the rows of each cell, (B, K) to (B, C)."""
        return np.asarray(np.add.reduceat(x, self.first_row, axis=1))

    def by_main(self, x: Array) -> Array:
        """Return sums over the cells of each main level, (B, C, ...) to (B, L, ...)."""
        return np.asarray(np.add.reduceat(x, self.first_cell, axis=1))

    def design(self) -> Array:
        """Return the design with a column for each main level, rows sorted, shape (K, L + Q)."""
        of_row = self.main[self.cell]
        return np.hstack([np.eye(self.first_cell.size)[of_row], self.z[self.cell]])


def cells_of(factors: Sequence[Index]) -> Cells:
    """Return the cells of an additive design.

    `factors`, shape (K,): levels of each factor, from 0 and without gaps. Columns that others make redundant
    are left out.
    """
    ranked = sorted(factors, key=lambda codes: -int(codes.max()))
    main, others = ranked[0], ranked[1:]
    order = np.lexsort((*others[::-1], main))
    rows = np.column_stack(ranked)[order]
    starts = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)])
    heads = rows[starts]
    columns = [np.eye(int(codes.max()) + 1)[heads[:, j + 1]][:, 1:] for j, codes in enumerate(others)]
    z = np.hstack([np.zeros((starts.size, 0)), *columns])
    cell = np.repeat(np.arange(starts.size), np.diff(np.r_[starts, rows.shape[0]]))
    first_cell = np.flatnonzero(np.r_[True, heads[1:, 0] != heads[:-1, 0]])
    return Cells(order, starts, first_cell, heads[:, 0], cell, _independent(z, heads[:, 0], first_cell))


def _independent(z: Array, main: Index, first_cell: Index) -> Array:
    """Return columns that span, with the main factor, what z spans with it, and no more of them."""
    if not z.shape[1]:
        return z
    counts = np.bincount(main)[:, None]
    beyond = z - (np.add.reduceat(z, first_cell, axis=0) / counts)[main]
    _, size, right = np.linalg.svd(beyond, full_matrices=False)
    free = size > size[0] * max(z.shape) * np.finfo(float).eps if size[0] > 0 else size > 0
    return z if free.sum() == z.shape[1] else z @ right[free].T


@dataclass(frozen=True, slots=True)
class CellBatch(Batch):
    """Problems that share a design of cells; every row counts once."""

    cells: Cells | None = None  # the design

    def _take(self, which: NDArray[np.intp] | slice) -> Batch:
        return _with_cells(Batch._take(self, which), self.cells)

    def sums(self, tau2: Array) -> tuple[Array, ...]:
        """Return traces and quadratic forms, in the order of :class:`metaexo.numeric.moments.Moments`.

        `tau2`, shape (B,): one value for each problem.
        """
        cells = self.cells
        assert cells is not None
        w = 1.0 / (self.v + tau2[:, None])
        ww = w * w
        s1, s2, s3 = cells.by_cell(w), cells.by_cell(ww), cells.by_cell(ww * w)
        r1, r2, r3 = cells.by_main(s1), cells.by_main(s2), cells.by_main(s3)
        wy = cells.by_cell(w * self.y)
        fitted = (cells.by_main(wy) / r1)[:, cells.main]
        share = r2 / r1
        sum_w, sum_ww = r1.sum(axis=1), r2.sum(axis=1)
        trace_p = sum_w - share.sum(axis=1)
        trace_pp = sum_ww - 2 * (r3 / r1).sum(axis=1) + np.vecdot(share, share)
        taken: Array | float = 0.0
        if cells.z.shape[1]:
            centred, solve, n = self._others(s1, s2, r1)
            zz = np.swapaxes(centred, 1, 2)
            h = zz @ (s2[..., None] * centred)
            j = zz @ (s3[..., None] * centred) - np.swapaxes(n, 1, 2) @ (n / r1[..., None])
            gh = solve @ h
            trace_p = trace_p - np.trace(gh, axis1=1, axis2=2)
            trace_pp = trace_pp - 2 * np.einsum("bpq,bqp->b", solve, j) + np.einsum("bpq,bqp->b", gh, gh)
            fitted = fitted + (centred @ (solve @ (zz @ wy[..., None])))[..., 0]
        e = self.y - fitted[:, cells.cell]
        a = w * e
        wa = cells.by_cell(w * a)
        sides = cells.by_main(wa)
        taken = np.vecdot(sides / r1, sides)
        if cells.z.shape[1]:
            c = zz @ wa[..., None]
            taken = taken + (np.swapaxes(c, 1, 2) @ (solve @ c))[:, 0, 0]
        return trace_p, trace_pp, np.vecdot(a, e), np.vecdot(a, a), np.vecdot(w * a, a) - taken, sum_w, sum_ww

    def _others(self, s1: Array, s2: Array, r1: Array) -> tuple[Array, Array, Array]:
        """Return zeta, (B, C, Q), the inverse of Z'P1Z, (B, Q, Q), and sums of w^2 zeta, (B, L, Q)."""
        cells = self.cells
        assert cells is not None
        means = cells.by_main(s1[..., None] * cells.z) / r1[..., None]
        centred = cells.z - means[:, cells.main]
        gram = np.swapaxes(centred, 1, 2) @ (s1[..., None] * centred)
        return centred, np.asarray(np.linalg.inv(gram), dtype=float), cells.by_main(s2[..., None] * centred)


def cell_batch(y: ArrayLike, v: ArrayLike, cells: Cells) -> Batch:
    """Return problems with a design of cells, its rows sorted; the result does not depend on their order.

    `y` and `v`, shape (B, K): effects and sampling variances. `cells`: the design.
    """
    effects, variances = (np.atleast_2d(np.asarray(x, dtype=float))[:, cells.order] for x in (y, v))
    batch = make_batch(effects, variances, cells.design())
    smallest = float(variances.min())
    if smallest <= 0 or float(variances.max()) > FAR_APART * smallest:
        return batch
    return _with_cells(batch, cells)


def _with_cells(batch: Batch, cells: Cells | None) -> CellBatch:
    return CellBatch(**{field.name: getattr(batch, field.name) for field in fields(Batch)}, cells=cells)
