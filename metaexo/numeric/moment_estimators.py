"""Estimators of tau2 from quadratic forms: EE, DL, HE, HS, HSk, SJ, GENQ, and those that solve for Q.

All closed forms but EE are made of one quadratic form y'Ay with A = R - R X (X'RX)^-1 X'R, R = diag(r), which
takes the mean out: its expectation is tau2 trace(A) + trace(AV), V = diag(v).

    DL    r = 1/v        (y'Ay - (k - p)) / trace(A)
    HE    r = 1          (y'Ay - trace(AV)) / (k - p)
    GENQ  r as given     (y'Ay - trace(AV)) / trace(A)
    HS    r = 1/v        (y'Ay - k) / sum 1/v
    HSk   r = 1/v        (k / (k - p) y'Ay - k) / sum 1/v
    SJ    r = 1/(v + t)  t y'Ay / (k - p), with t the sum of squares of y around its mean over k

For normal effects the variance of y'Ay is 2 trace(ASAS) with S = V + tau2 I, which gives the standard error
at the estimate.

The generalised Q statistic, y'Py, falls strictly in tau2, so Q(tau2) = c has one solution or, if Q(0) < c,
none. PM solves it for its expectation k - p, PMM for the median of its chi-square distribution, the Q-profile
interval for other quantiles. The empirical Bayes estimator (EB), the iterated DerSimonian-Laird estimator
(DLIT) and the iterated Sidik-Jonkman estimator (SJIT) are other ways to the root of PM: at a fixed point of
each, Q(tau2) = k - p. With user-supplied weights P(Q <= observed; tau2) falls strictly too: GENQM solves for
1/2, the interval for both ends, with the exact distribution of Q, one problem after another.

References
----------
DerSimonian, R., Laird, N. (1986). https://doi.org/10.1016/0197-2456(86)90046-2
Hedges, L. V. (1983). A random effects model for effect sizes. Psychological Bulletin 93, 388-395.
https://doi.org/10.1037/0033-2909.93.2.388
Schmidt, F. L., Hunter, J. E. (2015). Methods of Meta-Analysis, 3rd ed. https://doi.org/10.4135/9781483398105
Brannick, M. T., Potter, S. M., Benitez, B., Morris, S. B. (2019). Bias and precision of alternate estimators
in meta-analysis. Organizational Research Methods 22, 490-514. https://doi.org/10.1177/1094428117741966
Sidik, K., Jonkman, J. N. (2005). Simple heterogeneity variance estimation for meta-analysis. Journal of the
Royal Statistical Society C 54, 367-384. https://doi.org/10.1111/j.1467-9876.2005.00489.x
DerSimonian, R., Kacker, R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
Paule, R. C., Mandel, J. (1982). https://doi.org/10.6028/jres.087.022
Morris, C. N. (1983). Parametric empirical Bayes inference: theory and applications. Journal of the American
Statistical Association 78, 47-55. https://doi.org/10.1080/01621459.1983.10477920
Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. Statistics in
Medicine 26, 37-52. https://doi.org/10.1002/sim.2514
Viechtbauer, W. (2021). Median-unbiased estimators for the amount of heterogeneity in meta-analysis. European
Congress of Methodology, Valencia.
Jackson, D. (2013). https://doi.org/10.1002/jrsm.1081
Henmi, M., Copas, J. B. (2010). Confidence intervals for random effects meta-analysis and robustness to
publication bias. Statistics in Medicine 29, 2969-2983. https://doi.org/10.1002/sim.4029
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.numeric.distributions import WeightedQ
from metaexo.numeric.moments import Moments, WeightedFit, generalised_q, moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import Roots, bracketed_newton
from metaexo.numeric.tails import chi2_median
from metaexo.numeric.tau2 import Tau2, closed_form, in_parts, variance_scale
from metaexo.types import Array

EXPANSION = 8.0


@dataclass(frozen=True, slots=True)
class QuadraticForm:
    """The quadratic form y'Ay of a batch, with what its traces are made of."""

    value: Array  # (B,): y'Ay
    r: Array  # (B, K): the weights
    n: Array  # (B, K): counts
    q: Array  # (B, K, P): orthonormal basis of the columns of X weighted by the roots of n r

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
    """Return the weights that came with the batch, 0 in rows with a count of 0."""
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


def solve_q(batch: Batch, target: Array) -> tuple[Array, Roots]:
    """Solve Q(tau2) = target.

    Newton's iteration is made on 1/Q, which is concave and nearly a straight line in tau2.

    `target`, shape (B,): positive values.
    Returns `tau2`, shape (B,): the solutions; NaN where Q(0) is not above the target, so that there is none.
    Returns `roots`: the iteration's record, for the problems that have a solution, in their order.
    """
    q, slope = generalised_q(batch, np.zeros(batch.size))
    inner = np.flatnonzero(q > target)
    part, goal = batch.take(inner), target[inner]
    if not inner.size:
        return np.full(batch.size, np.nan), Roots(np.empty(0), np.empty(0, dtype=np.int64))
    # y'Py is at most the sum of squares over v_min + tau2, so the root lies below this:
    high = np.maximum(1.0000001 * part.residual_ss() / goal - part.variance_range()[0], 0.0)

    def step(t: Any, which: Any) -> tuple[Any, Any]:
        value, fall = generalised_q(part.take(which), t)
        excess = value - goal[which]
        return excess, excess * value / (goal[which] * fall)

    start = (q[inner] - goal) * q[inner] / (goal * slope[inner])
    roots = bracketed_newton(step, np.zeros(inner.size), high, start, variance_scale(part))
    tau2 = np.full(batch.size, np.nan)
    tau2[inner] = roots.root
    return tau2, roots


@in_parts
def paule_mandel(batch: Batch) -> Tau2:
    """Return the root of Q(tau2) = k - p, or 0 if Q(0) is not above it."""
    return _root_of_q(batch, batch.df)


@in_parts
def paule_mandel_median(batch: Batch) -> Tau2:
    """Return the root of Q(tau2) = median of chi-square with k - p degrees of freedom, or 0."""
    return _root_of_q(batch, chi2_median(batch.df))


def _root_of_q(batch: Batch, target: Array) -> Tau2:
    root, record = solve_q(batch, target)
    outside = np.isnan(root)
    tau2 = np.where(outside, 0.0, root)
    q, fall = generalised_q(batch, tau2)
    iterations = np.zeros(batch.size, dtype=np.int64)
    iterations[~outside] = record.iterations
    sum_w = (batch.n / (batch.v + tau2[:, None])).sum(axis=-1)
    return Tau2(
        tau2=tau2,
        se=np.sqrt(2 * batch.k**2 / batch.df) / sum_w,
        at_boundary=outside,
        score=np.where(outside, q - target, (q - target) / target),
        curvature=np.where(outside, np.nan, -tau2 * fall),
        iterations=iterations,
        maxima=np.ones(batch.size, dtype=np.int64),
        proved=np.ones(batch.size, dtype=np.bool_),
    )


def q_profile(batch: Batch, low_quantile: Array, high_quantile: Array) -> tuple[Array, Array]:
    """Return the tau2 at which Q equals each quantile, lower and upper bound, cut at 0.

    `low_quantile` and `high_quantile`, shape (B,): the small and the large quantile of the chi-square
    distribution with k - p degrees of freedom. The large one gives the lower bound. Returns `low` and `high`,
    shape (B,): bounds. Both are 0 where even Q(0) lies below the small quantile: then no tau2 fits the data
    at this level, and the set is empty.
    """
    low, _ = solve_q(batch, high_quantile)
    high, _ = solve_q(batch, low_quantile)
    return np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=0.0)


@in_parts
def generalised_median(batch: Batch) -> Tau2:
    """Return the tau2 under which the observed generalised Q is the median, or 0 if it is below that at 0."""
    form = quadratic_form(batch, user_weights(batch))
    solved = [solve_probability(q, 0.5) for q in distributions(batch)]
    tau2 = np.array([s[0] for s in solved])
    outside = np.array([s[1] < 0 for s in solved])
    return Tau2(
        tau2=np.where(outside, 0.0, tau2),
        se=form_se(batch, form, np.where(outside, 0.0, tau2)) / form.trace(np.ones((1, 1))),
        at_boundary=outside,
        score=np.array([s[2] for s in solved]),
        curvature=np.array([s[3] for s in solved]),
        iterations=np.array([max(s[1], 0) for s in solved], dtype=np.int64),
        maxima=np.ones(batch.size, dtype=np.int64),
        proved=np.ones(batch.size, dtype=np.bool_),
    )


def generalised_q_interval(batch: Batch, level: float) -> tuple[Array, Array]:
    """Return the values of tau2 that the generalised Q test with the user's weights does not reject.

    Returns `low` and `high`, shape (B,): bounds, cut at 0; both 0 if even at 0 the statistic is too small.
    """
    tail = (1 - level) / 2
    found = [[solve_probability(q, p)[0] for p in (1 - tail, tail)] for q in distributions(batch)]
    bounds = np.nan_to_num(np.array(found), nan=0.0)
    return bounds[:, 0], bounds[:, 1]


def distributions(batch: Batch) -> list[WeightedQ]:
    """Return the distribution of the generalised Q of each problem."""
    form = quadratic_form(batch, user_weights(batch))
    out = []
    for b in range(batch.size):
        rows = form.r[b] > 0
        q = form.q[b if form.q.shape[0] > 1 else 0][rows]
        out.append(WeightedQ(form.r[b][rows], batch.v[b][rows], batch.n[b][rows], q, float(form.value[b])))
    return out


def solve_probability(q: WeightedQ, target: float) -> tuple[float, int, float, float]:
    """Solve P(Q <= observed; tau2) = target.

    Returns `tau2`, `iterations`, `score`, `curvature`: the solution with its certificate: the relative
    distance from the target and its derivative with respect to log tau2. Where there is none (the probability
    at 0 is below the target) tau2 and the curvature are NaN, the iterations -1, and the score is the distance
    at 0.
    """
    if q.value <= 0:
        return np.nan, -1, -target, np.nan
    at_zero, _ = q.below(0.0)
    if at_zero <= target:
        return np.nan, -1, at_zero - target, np.nan
    scale = float(q.n.sum() / (q.n / q.v).sum()) if q.v.min() > 0 else float(q.v.max())
    start = max(q.moment_estimate(), scale)
    low, high = 0.0, start
    while q.below(high)[0] > target:
        low, high = high, high * EXPANSION

    def step(t: float, _: int) -> tuple[float, float]:
        below, slope = q.below(t)
        moved = t + scale
        if not (below > 0 and slope * moved < 0):  # so far out that both are rounding error
            return below - target, math.nan
        value = math.log(below / target)
        return value, moved * math.expm1(min(max(-value * below / (slope * moved), -50.0), 50.0))

    ends = [np.array([number]) for number in (low, high, start, scale)]
    root = bracketed_newton(step, *ends)
    tau2 = float(root.root[0])
    below, slope = q.below(tau2)
    return tau2, int(root.iterations[0]), below / target - 1, slope * tau2 / target


def own_weights_fit(batch: Batch, tau2: Array) -> WeightedFit:
    """Return the fit with user-supplied weights A, whose effects have variances S = V + tau2 I.

    The coefficients are (X'AX)^-1 X'Ay, their covariance (X'AX)^-1 X'A S A X (X'AX)^-1. The sum of squares is
    that of the residuals weighted by 1/(v + tau2).
    """
    a = batch.n * user_weights(batch)
    basis, s = batch.basis[0], batch.v + tau2[:, None]
    gram = np.swapaxes(basis * a[..., None], -1, -2) @ basis
    bread = np.linalg.inv(gram)
    gamma = (bread @ ((a * batch.y) @ basis)[..., None])[..., 0]
    meat = np.swapaxes(basis * (a * user_weights(batch) * s)[..., None], -1, -2) @ basis
    cov = batch.to_x @ bread @ meat @ bread @ batch.to_x.T
    residuals = batch.y - gamma @ basis.T
    best = np.swapaxes(basis * (batch.n / s)[..., None], -1, -2) @ basis
    return WeightedFit(
        beta=batch.offset + gamma @ batch.to_x.T,
        cov=0.5 * (cov + np.swapaxes(cov, -1, -2)),
        weighted_ss=np.vecdot(batch.n * residuals / s, residuals),
        logdet=np.linalg.slogdet(best)[1],
    )
