"""Estimators of tau2 that need no iteration: EE, DL, HE, HS, HSk, SJ and GENQ.

All but EE are made of one quadratic form y'Ay with A = R - R X (X'RX)^-1 X'R, R = diag(r), which takes the
mean out: its expectation is tau2 trace(A) + trace(AV), V = diag(v).

    DL    r = 1/v        (y'Ay - (k - p)) / trace(A)
    HE    r = 1          (y'Ay - trace(AV)) / (k - p)
    GENQ  r as given     (y'Ay - trace(AV)) / trace(A)
    HS    r = 1/v        (y'Ay - k) / sum 1/v
    HSk   r = 1/v        (k / (k - p) y'Ay - k) / sum 1/v
    SJ    r = 1/(v + t)  t y'Ay / (k - p), with t the sum of squares of y around its mean over k

For normal effects the variance of y'Ay is 2 trace(ASAS) with S = V + tau2 I, which gives the standard error
at the estimate.

References
----------
DerSimonian, R., Laird, N. (1986). https://doi.org/10.1016/0197-2456(86)90046-2
Hedges, L. V. (1983). A random effects model for effect sizes. Psychological Bulletin 93, 388-395.
https://doi.org/10.1037/0033-2909.93.2.388
Schmidt, F. L., Hunter, J. E. (2015). Methods of Meta-Analysis, 3rd ed. https://doi.org/10.4135/9781483398105
Brannick, M. T., Potter, S. M., Benitez, B., Morris, S. B. (2019). Bias and precision of alternate estimators
in meta-analysis. Organizational Research Methods 22, 490-514. https://doi.org/10.1177/1094428117741966 Sidik,
K., Jonkman, J. N. (2005). Simple heterogeneity variance estimation for meta-analysis. Journal of the Royal
Statistical Society C 54, 367-384. https://doi.org/10.1111/j.1467-9876.2005.00489.x DerSimonian, R., Kacker,
R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2, closed_form, in_parts
from metaexo.types import Array


@dataclass(frozen=True, slots=True)
class QuadraticForm:
    """The quadratic form y'Ay of a batch, with what its traces are made of.

    Attributes
    ----------
    value : ndarray, shape (B,)
        y'Ay.
    r : ndarray, shape (B, K)
        The weights.
    n : ndarray, shape (B, K)
        Counts.
    q : ndarray, shape (B, K, P)
        Orthonormal basis of the columns of X weighted by the roots of n r.
    """

    value: Array
    r: Array
    n: Array
    q: Array

    def trace(self, s: Array) -> Array:
        """Return trace(A diag(s)), with s of shape (B, K)."""
        rs = self.r * s
        return np.asarray((self.n * rs).sum(axis=-1) - np.vecdot(np.vecdot(self.q, self.q), rs))

    def trace_square(self, s: Array) -> Array:
        """Return trace(A diag(s) A diag(s)), with s of shape (B, K)."""
        rs = self.r * s
        g = np.swapaxes(self.q, -1, -2) @ (rs[..., None] * self.q)
        leverage = np.vecdot(self.q, self.q)
        return np.asarray(np.vecdot(self.n - 2 * leverage, rs * rs) + (g * g).sum(axis=(-1, -2)))


def quadratic_form(batch: Batch, r: Array) -> QuadraticForm:
    """Return y'Ay with the weights r, shape (B, K)."""
    r = np.broadcast_to(r, batch.y.shape)
    root = np.sqrt(batch.n * r)
    q = root[..., None] * batch.basis
    q = q / np.sqrt((q * q).sum(axis=-2, keepdims=True)) if batch.p == 1 else np.linalg.qr(q)[0]
    e = root * batch.y
    e = e - (q @ (np.swapaxes(q, -1, -2) @ e[..., None]))[..., 0]
    return QuadraticForm(np.vecdot(e, e), r, batch.n, q)


@in_parts
def equal_effects(batch: Batch) -> Tau2:
    """Return tau2 = 0, the assumption of the equal-effects model."""
    return closed_form(np.zeros(batch.size))


@in_parts
def dersimonian_laird(batch: Batch) -> Tau2:
    """Return the estimate that equates Cochran's Q with its expectation."""
    at = moments(batch, np.zeros(batch.size))
    raw = (at.y_p_y - batch.df) / at.trace_p
    return closed_form(raw, _q_se(batch, at, np.maximum(raw, 0.0)) / at.trace_p)


@in_parts
def hedges(batch: Batch) -> Tau2:
    """Return the estimate that equates the unweighted sum of squares with its expectation."""
    return _equate(batch, quadratic_form(batch, np.ones((1, 1))))


@in_parts
def generalised_moment(batch: Batch) -> Tau2:
    """Return the estimate that equates the sum of squares with the user's weights with its expectation."""
    return _equate(batch, quadratic_form(batch, user_weights(batch)))


@in_parts
def hunter_schmidt(batch: Batch) -> Tau2:
    """Return (Q - k) / sum of 1/v."""
    return _hunter_schmidt(batch, np.ones(batch.size))


@in_parts
def hunter_schmidt_corrected(batch: Batch) -> Tau2:
    """Return the Hunter-Schmidt estimate with Q multiplied by k / (k - p)."""
    return _hunter_schmidt(batch, batch.k / batch.df)


@in_parts
def sidik_jonkman(batch: Batch) -> Tau2:
    """Return the two-step estimate of Sidik and Jonkman, which is positive unless all effects are equal."""
    first = _variance(batch)
    start = np.where(first > 0, first, 1.0)
    form = quadratic_form(batch, 1.0 / (batch.v + start[:, None]))
    tau2 = np.where(first > 0, start * form.value / batch.df, 0.0)
    return closed_form(tau2, first / batch.df * form_se(batch, form, tau2))


def user_weights(batch: Batch) -> Array:
    """Return the weights that came with the batch, 0 in rows that take no part."""
    if batch.weights is None:
        raise ValueError("this estimator needs a batch with weights")
    return np.where(batch.n > 0, batch.weights, 0.0)


def _equate(batch: Batch, form: QuadraticForm) -> Tau2:
    """Solve y'Ay = tau2 trace(A) + trace(AV)."""
    trace = form.trace(np.ones((1, 1)))
    raw = (form.value - form.trace(batch.v)) / trace
    return closed_form(raw, form_se(batch, form, np.maximum(raw, 0.0)) / trace)


def _hunter_schmidt(batch: Batch, factor: Array) -> Tau2:
    at = moments(batch, np.zeros(batch.size))
    raw = (factor * at.y_p_y - batch.k) / at.sum_w
    return closed_form(raw, factor * _q_se(batch, at, np.maximum(raw, 0.0)) / at.sum_w)


def _q_se(batch: Batch, at: Moments, tau2: Array) -> Array:
    """Return the standard deviation of Cochran's Q: there A = P at tau2 = 0, so that AVA = A."""
    return np.asarray(np.sqrt(2 * (batch.df + 2 * tau2 * at.trace_p + tau2**2 * at.trace_pp)))


def form_se(batch: Batch, form: QuadraticForm, tau2: Array) -> Array:
    """Return the standard deviation of y'Ay where the between-study variance is tau2, shape (B,)."""
    return np.asarray(np.sqrt(2 * np.maximum(form.trace_square(batch.v + tau2[:, None]), 0.0)))


def _variance(batch: Batch) -> Array:
    """Return the sum of squares of the effects around their plain mean, divided by k."""
    y = batch.y
    if batch.pivot is None:
        y = y + (batch.offset @ np.linalg.inv(batch.to_x).T) @ batch.basis[0].T
    mean = np.vecdot(batch.n, y) / batch.k
    return np.asarray(np.vecdot(batch.n, (y - mean[:, None]) ** 2) / batch.k)
