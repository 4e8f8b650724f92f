"""The generalised Q statistic y'Py as a function of tau2, and what is solved from it.

Q(tau2) falls strictly in tau2, so Q(tau2) = c has one solution or, if Q(0) < c, none. PM solves it for its
expectation k - p, PMM for the median of its chi-square distribution, the Q-profile interval for other
quantiles. The empirical Bayes estimator (EB), the iterated DerSimonian-Laird estimator (DLIT) and the
iterated Sidik-Jonkman estimator (SJIT) are other ways to the root of PM: at a fixed point of each, Q(tau2) =
k - p.

References
----------
Paule, R. C., Mandel, J. (1982). https://doi.org/10.6028/jres.087.022
DerSimonian, R., Kacker, R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
Morris, C. N. (1983). Parametric empirical Bayes inference: theory and applications. Journal of the American
Statistical Association 78, 47-55. https://doi.org/10.1080/01621459.1983.10477920
Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. Statistics in
Medicine 26, 37-52. https://doi.org/10.1002/sim.2514
Viechtbauer, W. (2021). Median-unbiased estimators for the amount of heterogeneity in meta-analysis. European
Congress of Methodology, Valencia.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.numeric.moments import generalised_q
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import Roots, bracketed_newton
from metaexo.numeric.tails import chi2_median
from metaexo.numeric.tau2 import Tau2, in_parts, variance_scale
from metaexo.types import Array


def solve_q(batch: Batch, target: Array) -> tuple[Array, Roots]:
    """Solve Q(tau2) = target.

    Newton's iteration is made on 1/Q, which is concave and nearly a straight line in tau2.

    Parameters
    ----------
    target : ndarray, shape (B,)
        Positive values.

    Returns
    -------
    tau2 : ndarray, shape (B,)
        The solutions; NaN where Q(0) is not above the target, so that there is none.
    roots : Roots
        The iteration's record, for the problems that have a solution, in their order.
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

    Parameters
    ----------
    low_quantile, high_quantile : ndarray, shape (B,)
        The small and the large quantile of the chi-square distribution with k - p degrees of freedom. The
        large one gives the lower bound.

    Returns
    -------
    low, high : ndarray, shape (B,)
        Bounds. Both are 0 where even Q(0) lies below the small quantile: then no tau2 fits the data at this
        level, and the set is empty.
    """
    low, _ = solve_q(batch, high_quantile)
    high, _ = solve_q(batch, low_quantile)
    return np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=0.0)
