"""The (restricted) likelihood of tau2: its value, its score, and brackets around all of its maxima.

The log-likelihoods, with the constants that the reference values use, are

    ML    -1/2 [ k log 2 pi + sum log(v + tau2) + y'Py ]
    REML  -1/2 [ (k - p) log 2 pi + sum log(v + tau2) + log|X'WX| - log|X'X| + y'Py ].

Twice the score is y'PPy - trace(W) for ML and y'PPy - trace(P) for REML.

Every maximum lies below a bound that needs no search. Write r for the residuals of the unweighted fit, d for
the range of v and f for k (ML) or k - p (REML). Then y'PPy <= sum r^2 / (v_min + tau2)^2 and the trace is at
least f / (v_max + tau2), so the score is negative once s = v_min + tau2 exceeds the positive root of
f s^2 - s sum r^2 - d sum r^2 = 0.

The scan finds every maximum below it, with proof. Let h = log(form / trace), with form = y'PPy and trace =
trace(P) (REML) or trace(W) (ML): the score is positive where h is. Write R = trace(PP) / trace(P) (ML: the
same of W) and S = y'PPPy / y'PPy. Then form' = -2 S form, trace' = -R trace and h' = R - 2 S. By the Cauchy-
Schwarz inequality trace(PPP) trace(P) is at least trace(PP)^2 and y'PPPPy y'PPy at least (y'PPPy)^2, so that
R' <= -R^2 and S' <= -S^2: both 1 / R and 1 / S grow at least as fast as tau2. With rho = 1 / R, sigma = 1 / S
and L = b - a it follows that on an interval [a, b]

    if 2 rho(a) + L > sigma(b), h falls throughout, so there is at most one root, and it is a maximum;
    if 2 rho(b) < sigma(a) + L, h rises throughout, so there is at most one root, and it is a minimum;
    if form(b) rho(b) > trace(a) (rho(b) - L) and form(b) sigma(b)^2 > trace(a) (sigma(b) - L)^2, the score is
    positive throughout;
    if form(a) (sigma(b) - L)^2 (rho(b) - x) < trace(b) rho(b) (sigma(b) - x)^2 at x = 2 rho(b) - sigma(b),
    cut to [0, L], the score is negative throughout.

For the last two, form and trace are carried from one end to a point between by the bounds of R and S that
hold there; as functions of that point the bounds have one turning point, so their ends and it decide.

An interval of which none of this can be said is halved, until all are settled. No search is needed above
v_max - 2 v_min: the eigenvalues of P on the residual space lie between 1 / (v_max + tau2) and 1 / (v_min +
tau2), so R <= 1 / (v_min + tau2) and S >= 1 / (v_max + tau2), and h falls from there on.

References
----------
Viechtbauer, W. (2005). Bias and efficiency of meta-analytic variance estimators in the random-effects model.
Journal of Educational and Behavioral Statistics 30, 261-293. https://doi.org/10.3102/10769986030003261
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
problems. Journal of the American Statistical Association 72, 320-338. https://doi.org/10.1080/01621459.1977.10480998
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.moments import Moments, generalised_q, moments, weighted_fit
from metaexo.numeric.problem import Batch
from metaexo.types import Array

# The first grid has this ratio between neighbouring values of v_min + tau2.
GRID_RATIO = 16.0
# Inequalities of the proof must hold by more than rounding error.
SLACK = 1e-12
# An interval that is so short, relative to v_min + tau2, is not halved any further.
SHORTEST = 1e-7
# After so many intervals of one problem no more are halved: what is left is not proved.
MOST_INTERVALS = 20_000
# Where the smallest variance is zero the scan begins at this fraction of the smallest other one.
ABOVE_ZERO = 1e-14
# Rows of the arrays that describe points: tau2, y'PPy, the trace, rho and sigma.
T, FORM, TRACE, RHO, SIGMA = range(5)


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

    Returns `form`, `trace`, `form_slope`, `trace_slope`: y'PPy; trace(P) or trace(W); 2 y'PPPy; trace(PP) or
    trace(WW).
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


@dataclass(frozen=True, slots=True)
class Scan:
    """Brackets of all local maxima of a batch."""

    problem: NDArray[np.intp]  # (N,): problem of each bracket
    # (2, 5, N): lower and upper end of each bracket: tau2, y'PPy, the trace, rho and sigma. The score, which
    # has the sign of y'PPy minus the trace, is positive at the lower end and not positive at the upper.
    ends: Array
    boundary: NDArray[np.bool_]  # (B,): where tau2 = 0 is a local maximum
    proved: NDArray[np.bool_]  # (B,): whether every interval was settled


def scan(batch: Batch, restricted: bool) -> Scan:
    """Return brackets that hold one local maximum each, and all of them."""
    smallest, largest = batch.variance_range()
    positive = smallest > 0
    floor, begin = smallest, np.zeros(batch.size)
    if not positive.all():
        begin = np.where(positive, 0.0, ABOVE_ZERO * _smallest_positive(batch))
        floor = np.where(positive, smallest, begin)
    end = np.maximum(upper_bound(batch, restricted, (smallest, largest)), begin)
    middle = np.minimum(np.maximum(largest - 2 * smallest, begin), end)
    grid = _grid(begin, middle, floor)
    at = _evaluate(batch, grid, restricted)
    intervals = grid.shape[1] - 1
    ends = np.array([at[:, :, :-1].reshape(5, -1), at[:, :, 1:].reshape(5, -1)])
    problem = np.repeat(np.arange(batch.size), intervals)
    settled = np.zeros(problem.size, dtype=np.bool_)
    # From `middle` on h falls: where the score is not positive there, it never is again.
    above = np.flatnonzero((at[FORM, :, -1] > at[TRACE, :, -1]) & (end > middle))
    if above.size:
        top = _evaluate(batch, end[above, None], restricted, above)[:, :, 0]
        ends = np.concatenate([ends, np.array([at[:, above, -1], top])], axis=-1)
        problem = np.concatenate([problem, above])
        settled = np.concatenate([settled, np.ones(above.size, dtype=np.bool_)])
    problem, ends, proved = _settle(batch, problem, ends, settled, floor, restricted)
    return Scan(problem, ends, (at[FORM, :, 0] <= at[TRACE, :, 0]) & positive, proved)


def _grid(begin: Array, middle: Array, floor: Array) -> Array:
    """Return points from `begin` to `middle`, equally far apart in log(t + floor)."""
    low = begin + floor
    ratio = (middle + floor) / low
    steps = math.ceil(math.log(float(ratio.max())) / math.log(GRID_RATIO))
    share = np.arange(steps + 1) / max(steps, 1)
    grid = low[:, None] * ratio[:, None] ** share - floor[:, None]
    grid[:, 0], grid[:, steps] = begin, middle if steps else begin
    return np.maximum.accumulate(grid, axis=-1)


def _evaluate(batch: Batch, t: Array, restricted: bool, which: NDArray[np.intp] | None = None) -> Array:
    """Return what the score is made of at the points t, shape (B, G), as an array of shape (5, B, G).

    With `which`, the points are those of the problems at these positions.
    """
    out = np.empty((5, *t.shape))
    out[T] = t
    form, trace, form_slope, trace_slope = score_parts(moments(batch, t, which), restricted)
    out[FORM], out[TRACE] = form, trace
    np.divide(trace, trace_slope, out=out[RHO])
    if form.all():
        np.divide(2 * form, form_slope, out=out[SIGMA])
    else:  # equal effects: the score is negative and h falls
        still = form == 0
        out[SIGMA] = np.where(still, 0.0, 2 * form / np.where(still, 1.0, form_slope))
    return out


def settled_between(low: Any, high: Any, slack: float = SLACK) -> Any:
    """Say of which intervals one of the four statements above can be made, from the points at their ends.

    `low` and `high`, shape (5, ...): points: tau2, y'PPy, the trace, rho and sigma. Plain numbers serve as
    well as arrays. `slack`: by how much more than nothing the inequalities must hold, as a share; above the
    rounding error of the points.
    """
    t, form, trace, rho, sigma = low
    t_after, form_after, trace_after, rho_after, sigma_after = high
    length = t_after - t
    near, far, short = 1 - slack, 1 + slack, sigma_after - length
    falls = 2 * rho + length > far * sigma_after
    rises = 2 * rho_after < near * (sigma + length)
    positive = (near * form_after * rho_after > trace * (rho_after - length)) & (
        near * form_after * sigma_after * sigma_after > trace * short * short
    )
    x = _clip(2 * rho_after - sigma_after, length)
    rest = sigma_after - x
    negative = far * form * short * short * (rho_after - x) < trace_after * rho_after * rest * rest
    return falls | rises | positive | negative


def _clip(x: Any, length: Any) -> Any:
    """Return x cut to [0, length]."""
    if isinstance(x, float):
        return min(max(x, 0.0), length)
    return np.minimum(np.maximum(x, 0.0), length)


def _settle(
    batch: Batch,
    problem: NDArray[np.intp],
    ends: Array,
    settled: NDArray[np.bool_],
    floor: Array,
    restricted: bool,
) -> tuple[NDArray[np.intp], Array, NDArray[np.bool_]]:
    """Halve the intervals that are not settled, and return those over which the score turns negative."""
    proved = np.ones(batch.size, dtype=np.bool_)
    seen = np.zeros(batch.size, dtype=np.int64)
    found: list[tuple[NDArray[np.intp], Array]] = []
    while True:
        low, high = ends
        clear = settled | settled_between(low, high)
        if not clear.all():
            short = ~clear & (high[T] - low[T] <= SHORTEST * (high[T] + floor[problem]))
            seen += np.bincount(problem, minlength=batch.size)
            short |= ~clear & (seen > MOST_INTERVALS)[problem]
            proved[problem[short]] = False
            clear |= short
        turns = clear & (low[FORM] > low[TRACE]) & (high[FORM] <= high[TRACE])
        found.append((problem[turns], ends[:, :, turns]))
        if clear.all():
            break
        problem, ends = problem[~clear], ends[:, :, ~clear]
        (low, high), scale = ends[:, T], floor[problem]
        t = np.clip(np.sqrt((low + scale) * (high + scale)) - scale, low, high)
        middle = _evaluate(batch, t[:, None], restricted, problem)[:, :, 0]
        problem = np.concatenate([problem, problem])
        ends = np.array([np.hstack([ends[0], middle]), np.hstack([middle, ends[1]])])
        settled = np.zeros(problem.size, dtype=np.bool_)
    if len(found) == 1:
        return *found[0], proved
    return np.concatenate([p for p, _ in found]), np.concatenate([e for _, e in found], axis=-1), proved


def _smallest_positive(batch: Batch) -> Array:
    """Return the smallest variance above zero, shape (B,); the largest squared effect if there is none."""
    part = (batch.n > 0) & (batch.v > 0)
    found = np.where(part, batch.v, np.inf).min(axis=-1)
    spare = np.maximum((batch.y**2).max(axis=-1), np.finfo(float).tiny)
    return np.asarray(np.where(np.isfinite(found), found, spare))
