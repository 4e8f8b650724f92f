"""The (restricted) likelihood of tau2: its value, its score, a bound for its maxima, and a scan for them.

The log-likelihoods, with the constants that the reference values use, are

    ML    -1/2 [ k log 2 pi + sum log(v + tau2) + y'Py ]
    REML  -1/2 [ (k - p) log 2 pi + sum log(v + tau2) + log|X'WX| - log|X'X| + y'Py ].

Twice the score is y'PPy - trace(W) for ML and y'PPy - trace(P) for REML.

Every maximum lies below a bound that needs no search. Write r for the residuals of the unweighted fit, d for
the range of v and f for k (ML) or k - p (REML). Then y'PPy <= sum r^2 / (v_min + tau2)^2 and the trace is at
least f / (v_max + tau2), so the score is negative once s = v_min + tau2 exceeds the positive root of
f s^2 - s sum r^2 - d sum r^2 = 0.

References
----------
Viechtbauer, W. (2005). https://doi.org/10.3102/10769986030003261
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
problems. Journal of the American Statistical Association 72, 320-338. https://doi.org/10.1080/01621459.1977.10480998
"""

from __future__ import annotations

import math

import numpy as np

from metaexo.numeric.moments import Moments, weighted_fit
from metaexo.numeric.problem import CHUNK_ELEMENTS, Array, Batch

POINTS_PER_DECADE = 5
LOG_2PI = math.log(2 * math.pi)


def log_likelihood(batch: Batch, tau2: Array, restricted: bool) -> Array:
    """Return the log-likelihood at `tau2`, shape (B,)."""
    total = batch.v + tau2[:, None]
    fit = weighted_fit(batch, 1.0 / total)
    log_total = np.einsum("bk,bk->b", batch.n, np.log(total))
    if not restricted:
        return np.asarray(-0.5 * (batch.k * LOG_2PI + log_total + fit.weighted_ss))
    logdet = fit.logdet
    if not batch.unit:
        gram = np.einsum("bk,bkp,bkq->bpq", batch.n, _full(batch), _full(batch), optimize=True)
        logdet = logdet - np.linalg.slogdet(gram)[1]
    return np.asarray(-0.5 * (batch.df * LOG_2PI + log_total + logdet + fit.weighted_ss))


def score_parts(at: Moments, restricted: bool) -> tuple[Array, Array, Array, Array]:
    """Return quadratic form and trace, whose difference is twice the score, and minus their derivatives.

    Returns
    -------
    form, trace, form_slope, trace_slope : ndarray, shape (B,)
        y'PPy; trace(P) or trace(W); 2 y'PPPy; trace(PP) or trace(WW).
    """
    if restricted:
        return at.y_pp_y, at.trace_p, 2 * at.y_ppp_y, at.trace_pp
    return at.y_pp_y, at.sum_w, 2 * at.y_ppp_y, at.sum_ww


def upper_bound(batch: Batch, restricted: bool) -> Array:
    """Return a tau2 above which the score is negative, shape (B,); at least 0."""
    present = batch.n > 0
    smallest = np.where(present, batch.v, np.inf).min(axis=-1)
    largest = np.where(present, batch.v, -np.inf).max(axis=-1)
    rss = np.einsum("bk,bk,bk->b", batch.n, batch.y, batch.y)
    f = batch.df if restricted else batch.k
    root = (rss + np.sqrt(rss * rss + 4 * f * rss * (largest - smallest))) / (2 * f)
    return np.asarray(np.maximum(1.0000001 * root - smallest, 0.0))


def scan_grid(batch: Batch, high: Array) -> Array:
    """Return points from 0 to `high` at which the score is looked at, shape (B, G).

    Features of the score are never narrower than a factor of about e in v + tau2, so five points a decade,
    beginning a decade below the smallest variance, see each of them.
    """
    smallest = np.where(batch.n > 0, batch.v, np.inf).min(axis=-1)
    begin = np.maximum(0.1 * smallest, 1e-12 * high)
    begin = np.where(high > 0, np.minimum(begin, 0.5 * high), 1.0)
    end = np.where(high > 0, high, 1.0)
    decades = np.log10(end / begin).max()
    points = max(2, math.ceil(POINTS_PER_DECADE * float(decades)) + 1)
    grid = np.geomspace(begin, end, points, axis=-1)
    grid[:, -1] = end
    grid = np.where((high > 0)[:, None], grid, 0.0)
    return np.concatenate([np.zeros((batch.size, 1)), grid], axis=-1)


def scan_score(batch: Batch, grid: Array, restricted: bool) -> Array:
    """Return y'PPy - trace at every grid point, shape (B, G), by normal equations on the centred data.

    Good enough to find the signs; the roots are computed from :func:`metaexo.numeric.moments.moments`.
    """
    design = _full(batch)
    columns = np.concatenate([design, batch.y[..., None]], axis=-1)
    size = columns.shape[-1]
    upper = np.triu_indices(size)
    products = columns[..., upper[0]] * columns[..., upper[1]]
    if not batch.unit:
        products = products * batch.n[..., None]
    out = np.empty(grid.shape)
    per_point = max(1, batch.v.size)
    step = max(1, CHUNK_ELEMENTS // per_point)
    for begin in range(0, grid.shape[-1], step):
        points = slice(begin, begin + step)
        w = 1.0 / (batch.v[:, None, :] + grid[:, points, None])
        first = _symmetric(w @ products, upper, size)
        second = _symmetric((w * w) @ products, upper, size)
        form, taken = _form_and_trace(first, second)
        weights = w if batch.unit else w * batch.n[:, None, :]
        out[:, points] = form - weights.sum(axis=-1) + (taken if restricted else 0.0)
    return out


def _full(batch: Batch) -> Array:
    """Return the basis with a leading batch axis of the batch's size."""
    return np.broadcast_to(batch.basis, (batch.size, *batch.basis.shape[1:]))


def _symmetric(packed: Array, upper: tuple[np.ndarray, np.ndarray], size: int) -> Array:
    """Unpack upper triangles, shape (..., size (size + 1) / 2), into symmetric matrices."""
    full = np.empty((*packed.shape[:-1], size, size))
    full[..., upper[0], upper[1]] = packed
    full[..., upper[1], upper[0]] = packed
    return full


def _form_and_trace(first: Array, second: Array) -> tuple[Array, Array]:
    """Return y'PPy and trace((X'WX)^-1 X'WWX) from the cross products of [X, y] with W and WW."""
    xwx, xwy = first[..., :-1, :-1], first[..., :-1, -1]
    xwwx, xwwy, ywwy = second[..., :-1, :-1], second[..., :-1, -1], second[..., -1, -1]
    if xwx.shape[-1] == 1:
        beta = xwy / xwx[..., 0]
        form = ywwy - 2 * beta[..., 0] * xwwy[..., 0] + beta[..., 0] ** 2 * xwwx[..., 0, 0]
        return form, xwwx[..., 0, 0] / xwx[..., 0, 0]
    solved = np.linalg.solve(xwx, np.concatenate([xwy[..., None], xwwx], axis=-1))
    beta = solved[..., 0]
    form = ywwy - 2 * (beta * xwwy).sum(axis=-1) + np.einsum("...p,...pq,...q->...", beta, xwwx, beta)
    return form, np.trace(solved[..., 1:], axis1=-2, axis2=-1)
