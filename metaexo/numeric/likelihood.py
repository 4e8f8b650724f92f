"""The (restricted) likelihood of tau2: its value, its score, and a bound for its maxima.

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
from numpy.typing import NDArray

from metaexo.numeric.moments import Moments, generalised_q, weighted_fit
from metaexo.numeric.problem import Batch
from metaexo.types import Array

LOG_2PI = math.log(2 * math.pi)


def log_likelihood(batch: Batch, tau2: Array, restricted: bool) -> Array:
    """Return the log-likelihood at `tau2`, shape (B,), with the coefficients that maximise it."""
    if batch.pivot is None:
        fit = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
        return log_likelihood_of(batch, tau2, fit.weighted_ss, fit.logdet, restricted)
    total = (batch.n / (batch.v + tau2[:, None])).sum(axis=-1)
    q, _ = generalised_q(batch, tau2)
    return log_likelihood_of(batch, tau2, q, np.log(total / batch.y.shape[-1]), restricted)


def log_likelihood_of(
    batch: Batch, tau2: Array, weighted_ss: Array, logdet: Array, restricted: bool
) -> Array:
    """Return the log-likelihood of a fit with its weighted sum of squares and log|X'WX| - log|X'X|.

    In `logdet` the X'X is that of the distinct rows; counts are allowed for here.
    """
    logs = np.log(batch.v + tau2[:, None])
    log_total = logs.sum(axis=-1) if batch.unit else np.vecdot(batch.n, logs)
    if not restricted:
        return np.asarray(-0.5 * (batch.k * LOG_2PI + log_total + weighted_ss))
    if not batch.unit:
        basis = batch.basis[0]
        logdet = logdet - np.linalg.slogdet(np.einsum("bk,kp,kq->bpq", batch.n, basis, basis))[1]
    return np.asarray(-0.5 * (batch.df * LOG_2PI + log_total + logdet + weighted_ss))


def unbounded(batch: Batch, restricted: bool) -> NDArray[np.bool_]:
    """Say, problem by problem, whether the likelihood grows without bound as tau2 goes to 0, shape (B,).

    It does where rows with a sampling variance of 0 are fitted exactly: with n such rows, of rank r, the
    likelihood behaves as -n/2 log tau2 (ML) or -(n - r)/2 log tau2 (REML) there, less their sum of squares
    over 2 tau2.
    """
    out = np.zeros(batch.size, dtype=np.bool_)
    none = (batch.v == 0) & (batch.n > 0)
    for b in np.flatnonzero(none.any(axis=-1)):
        rows, counts = none[b], batch.n[b][none[b]]
        x, y = batch.basis[0][rows], batch.y[b][rows]
        coefficients, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-10)
        noise = 1e-12 * max(float(np.abs(batch.y[b]).max()), float(np.abs(y).max()))
        exact = bool((np.abs(y - x @ coefficients) <= noise).all())
        out[b] = exact and (not restricted or float(counts.sum()) > rank)
    return out


def score_parts(at: Moments, restricted: bool) -> tuple[Array, Array, Array, Array]:
    """Return quadratic form and trace, whose difference is twice the score, and minus their derivatives.

    Returns
    -------
    form, trace, form_slope, trace_slope : ndarray, of the shape of the moments
        y'PPy; trace(P) or trace(W); 2 y'PPPy; trace(PP) or trace(WW).
    """
    if restricted:
        return at.y_pp_y, at.trace_p, 2 * at.y_ppp_y, at.trace_pp
    return at.y_pp_y, at.sum_w, 2 * at.y_ppp_y, at.sum_ww


def upper_bound(batch: Batch, restricted: bool, span: tuple[Array, Array] | None = None) -> Array:
    """Return a tau2 above which the score is negative, shape (B,); at least 0.

    `span` is the batch's variance range, if it is known already.
    """
    smallest, largest = span or batch.variance_range()
    rss = batch.residual_ss()
    f = batch.df if restricted else batch.k
    root = (rss + np.sqrt(rss * rss + 4 * f * rss * (largest - smallest))) / (2 * f)
    return np.asarray(np.maximum(1.0000001 * root - smallest, 0.0))
