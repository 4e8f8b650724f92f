"""The weighted fit at given tau2, and the traces that every estimator of tau2 is made of.

With w = 1 / (v + tau2), W = diag(w), P = W - W X (X'WX)^-1 X'W (all on the rows that take part, each as often
as its count says) the quantities are

    trace(P), trace(PP), y'Py (the generalised Q), y'PPy, y'PPPy.

They are computed from an orthonormal basis of the weighted design, never from a K x K matrix: time and memory
are linear in K.

References
----------
Viechtbauer, W. (2005). Bias and efficiency of meta-analytic variance estimators in the random-effects model.
Journal of Educational and Behavioral Statistics 30, 261-293. https://doi.org/10.3102/10769986030003261
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.problem import Array, Batch


@dataclass(frozen=True, slots=True)
class Moments:
    """Traces and quadratic forms of a batch at one tau2 a problem.

    Attributes
    ----------
    trace_p, trace_pp, y_p_y, y_pp_y, y_ppp_y, sum_w, sum_ww : ndarray, shape (B,)
        trace(P), trace(PP), y'Py, y'PPy, y'PPPy, and the sums of the weights and of their squares.
    """

    trace_p: Array
    trace_pp: Array
    y_p_y: Array
    y_pp_y: Array
    y_ppp_y: Array
    sum_w: Array
    sum_ww: Array


@dataclass(frozen=True, slots=True)
class WeightedFit:
    """Weighted least squares of a batch.

    Attributes
    ----------
    beta : ndarray, shape (B, P)
        Coefficients on the columns of X.
    cov : ndarray, shape (B, P, P)
        (X'WX)^-1.
    residuals : ndarray, shape (B, K)
        y - X beta.
    weighted_ss : ndarray, shape (B,)
        Sum of the weighted squared residuals, y'Py.
    logdet : ndarray, shape (B,)
        log |X'WX| - log |X'X|, the latter over distinct rows.
    """

    beta: Array
    cov: Array
    residuals: Array
    weighted_ss: Array
    logdet: Array


def moments(batch: Batch, tau2: Array) -> Moments:
    """Return traces and quadratic forms at `tau2`, shape (B,)."""
    w = 1.0 / (batch.v + tau2[:, None])
    combined = w if batch.unit else batch.n * w
    root = np.sqrt(combined)
    q = _orthonormal(root, batch.basis)
    e = root * batch.y
    if batch.p == 1:
        flat = q[..., 0]
        e = e - flat * np.einsum("bk,bk->b", flat, e)[:, None]
        leverage = flat * flat
    else:
        e = e - np.einsum("bkp,bp->bk", q, np.einsum("bkp,bk->bp", q, e))
        leverage = np.einsum("bkp,bkp->bk", q, q)
    we = w * e
    sum_w = combined.sum(axis=-1)
    sum_ww = np.einsum("bk,bk->b", combined, w)
    if batch.p == 1:
        trace_g2 = np.einsum("bk,bk->b", leverage, w) ** 2
        cross = np.einsum("bk,bk->b", flat, we) ** 2
    else:
        g = np.einsum("bkp,bk,bkq->bpq", q, w, q, optimize=True)
        trace_g2 = np.einsum("bpq,bpq->b", g, g)
        cross = (np.einsum("bkp,bk->bp", q, we) ** 2).sum(axis=-1)
    leverage_w = leverage * w
    return Moments(
        trace_p=sum_w - leverage_w.sum(axis=-1),
        trace_pp=sum_ww - 2 * np.einsum("bk,bk->b", leverage_w, w) + trace_g2,
        y_p_y=np.einsum("bk,bk->b", e, e),
        y_pp_y=np.einsum("bk,bk->b", e, we),
        y_ppp_y=np.einsum("bk,bk->b", we, we) - cross,
        sum_w=sum_w,
        sum_ww=sum_ww,
    )


def weighted_fit(batch: Batch, weights: Array) -> WeightedFit:
    """Return the weighted least-squares fit with the given weights, shape (B, K); counts come on top."""
    combined = weights if batch.unit else batch.n * weights
    root = np.sqrt(combined)
    scaled = root[..., None] * batch.basis
    e = root * batch.y
    q, upper = np.linalg.qr(scaled)
    inverse = np.linalg.inv(upper)
    gamma = np.einsum("bpq,bq->bp", inverse, np.einsum("bkq,bk->bq", q, e))
    on_x = np.einsum("pq,bqr->bpr", batch.to_x, inverse)
    residuals = batch.y - np.einsum("bkp,bp->bk", np.broadcast_to(batch.basis, scaled.shape), gamma)
    diagonal = np.abs(np.diagonal(upper, axis1=-2, axis2=-1))
    return WeightedFit(
        beta=batch.offset + gamma @ batch.to_x.T,
        cov=on_x @ np.swapaxes(on_x, -1, -2),
        residuals=residuals,
        weighted_ss=np.einsum("bk,bk,bk->b", combined, residuals, residuals),
        logdet=2 * np.log(diagonal).sum(axis=-1),
    )


def _orthonormal(root: Array, basis: Array) -> Array:
    """Return an orthonormal basis of diag(root) basis, shape (B, K, P)."""
    scaled = root[..., None] * basis
    if basis.shape[-1] > 1:
        return np.asarray(np.linalg.qr(scaled)[0])
    flat = scaled[..., 0]
    return np.asarray(scaled / np.sqrt(np.einsum("bk,bk->b", flat, flat))[:, None, None])
