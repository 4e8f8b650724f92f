"""What is solved from the distribution of the generalised Q with the user's weights.

P(Q <= observed; tau2) falls strictly in tau2, so each probability belongs to one tau2 or to none. GENQM takes
the median; the interval takes both ends. The distribution is that of a combination of chi-square variables
with unequal coefficients, computed exactly; problems of a batch are solved one by one.

References
----------
Jackson, D. (2013). https://doi.org/10.1002/jrsm.1081
DerSimonian, R., Kacker, R. (2007). https://doi.org/10.1016/j.cct.2006.04.004
"""

from __future__ import annotations

import math

import numpy as np

from metaexo.numeric.closed_forms import form_se, quadratic_form, user_weights
from metaexo.numeric.problem import Batch
from metaexo.numeric.quadratic_form import WeightedQ
from metaexo.numeric.roots import bracketed_newton
from metaexo.numeric.tau2 import Tau2, in_parts
from metaexo.types import Array

EXPANSION = 8.0


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

    Returns
    -------
    low, high : ndarray, shape (B,)
        Bounds, cut at 0; both 0 if even at 0 the statistic is too small.
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

    Returns
    -------
    tau2, iterations, score, curvature : float, int, float, float
        The solution with its certificate: the relative distance from the target and its derivative with
        respect to log tau2. Where there is none (the probability at 0 is below the target) tau2 and the
        curvature are NaN, the iterations -1, and the score is the distance at 0.
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
