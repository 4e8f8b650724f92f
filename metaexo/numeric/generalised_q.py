"""The generalised Q statistic y'Py as a function of tau2, and what is solved from it.

Q(tau2) falls strictly in tau2, so Q(tau2) = c has one solution or, if Q(0) < c, none. PM solves it for its
expectation k - p; the Q-profile interval for the quantiles of its chi-square distribution.

References
----------
Paule, R. C., Mandel, J. (1982). https://doi.org/10.6028/jres.087.022
DerSimonian, R., Kacker, R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. Statistics in
Medicine 26, 37-52. https://doi.org/10.1002/sim.2514
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.moments import moments
from metaexo.numeric.problem import Array, Batch
from metaexo.numeric.roots import Roots, bracketed_newton
from metaexo.numeric.tau2 import Tau2, variance_scale


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
    at_zero = moments(batch, np.zeros(batch.size))
    inner = np.flatnonzero(at_zero.y_p_y > target)
    part, goal = batch.take(inner), target[inner]
    rss = np.einsum("bk,bk,bk->b", part.n, part.y, part.y)
    smallest = np.where(part.n > 0, part.v, np.inf).min(axis=-1) if inner.size else np.empty(0)
    # y'Py is at most the sum of squares over v_min + tau2, so the root lies below this:
    high = np.maximum(1.0000001 * rss / goal - smallest, 0.0)

    def step(t: Array, which: NDArray[np.intp]) -> tuple[Array, Array]:
        at = moments(part.take(which), t)
        excess = at.y_p_y - goal[which]
        return excess, excess * at.y_p_y / (goal[which] * at.y_pp_y)

    zero = np.zeros(inner.size)
    roots = bracketed_newton(step, zero, high, zero, variance_scale(part))
    tau2 = np.full(batch.size, np.nan)
    tau2[inner] = roots.root
    return tau2, roots


def paule_mandel(batch: Batch) -> Tau2:
    """Return the root of Q(tau2) = k - p, or 0 if Q(0) is not above it."""
    root, record = solve_q(batch, batch.df)
    outside = np.isnan(root)
    tau2 = np.where(outside, 0.0, root)
    at = moments(batch, tau2)
    iterations = np.zeros(batch.size, dtype=np.int64)
    iterations[~outside] = record.iterations
    slope = np.where(outside, np.nan, -tau2 * at.y_pp_y)
    se = np.sqrt(2 * batch.k**2 / batch.df) / at.sum_w
    score = np.where(outside, at.y_p_y - batch.df, (at.y_p_y - batch.df) / batch.df)
    return Tau2(tau2, se, outside, score, slope, iterations, iterations * 0 + 1)


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
