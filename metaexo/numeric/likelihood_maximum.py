"""ML and REML estimates of tau2: every local maximum is found, the highest is returned.

The score is scanned on a grid that reaches the bound above which it is negative; each change of sign from
plus to minus is the bracket of a local maximum, refined by a safeguarded Newton iteration on
log(y'PPy / trace) as a function of log(tau2 + s), which is nearly a straight line. The boundary at 0 is a
candidate where the score is not positive there. The candidates' likelihoods are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import log_likelihood, scan_grid, scan_score, score_parts, upper_bound
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import Array, Batch
from metaexo.numeric.roots import Roots, bracketed_newton
from metaexo.numeric.tau2 import Tau2, variance_scale


def maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=False)


def restricted_maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the restricted likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=True)


def likelihood_at(batch: Batch, tau2: float, restricted: bool) -> Tau2:
    """Return a given tau2 with the standard error and the score that the likelihood has there."""
    none = np.zeros(batch.size, dtype=np.int64)
    return _certify(batch, np.full(batch.size, tau2), none, none, restricted)


def _global_maximum(batch: Batch, restricted: bool) -> Tau2:
    grid = scan_grid(batch, upper_bound(batch, restricted))
    score = scan_score(batch, grid, restricted)
    boundary = _boundary_is_candidate(batch, score, restricted)
    problem, position = np.nonzero((score[:, :-1] > 0) & (score[:, 1:] <= 0))
    roots = _refine(batch.take(problem), grid, score, problem, position, restricted)
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    maxima = boundary.astype(np.int64) + np.bincount(problem, minlength=batch.size)
    if (maxima > 1).any():
        tau2, iterations = _highest(batch, boundary, problem, roots, restricted)
    else:
        tau2[problem], iterations[problem] = roots.root, roots.iterations
    return _certify(batch, tau2, iterations, maxima, restricted)


def _boundary_is_candidate(batch: Batch, score: Array, restricted: bool) -> NDArray[np.bool_]:
    """Say where tau2 = 0 is a local maximum: every v positive and the score at 0 not positive."""
    usable = np.where(batch.n > 0, batch.v, 1.0).min(axis=-1) > 0
    return np.asarray(usable & (score[:, 0] <= 0))


def _refine(
    part: Batch,
    grid: Array,
    score: Array,
    problem: NDArray[np.intp],
    position: NDArray[np.intp],
    restricted: bool,
) -> Roots:
    """Solve score = 0 in the brackets [grid[position], grid[position + 1]], one problem of `part` each."""
    low, high = grid[problem, position], grid[problem, position + 1]
    plus, minus = score[problem, position], score[problem, position + 1]
    scale = variance_scale(part) if problem.size else np.empty(0)
    # first guess: the secant in log(t + scale)
    share = plus / (plus - minus)
    start = (low + scale) * ((high + scale) / (low + scale)) ** share - scale

    def step(t: Array, which: NDArray[np.intp]) -> tuple[Array, Array]:
        form, trace, form_slope, trace_slope = score_parts(moments(part.take(which), t), restricted)
        value = np.log(form / trace)
        slope = trace_slope / trace - form_slope / form
        moved = t + scale[which]
        return value, moved * np.expm1(np.clip(-value / (slope * moved), -50.0, 50.0))

    return bracketed_newton(step, low, high, start, scale)


def _highest(
    batch: Batch, boundary: NDArray[np.bool_], problem: NDArray[np.intp], roots: Roots, restricted: bool
) -> tuple[Array, NDArray[np.int64]]:
    """Return, a problem, the candidate with the highest likelihood; 0 wins a tie."""
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    best = np.full(batch.size, -np.inf)
    at_zero = np.flatnonzero(boundary)
    if at_zero.size:
        best[at_zero] = log_likelihood(batch.take(at_zero), np.zeros(at_zero.size), restricted)
    inner = log_likelihood(batch.take(problem), roots.root, restricted)
    for row in range(problem.size):
        b = problem[row]
        if inner[row] > best[b]:
            best[b], tau2[b], iterations[b] = inner[row], roots.root[row], roots.iterations[row]
    return tau2, iterations


def _certify(
    batch: Batch, tau2: Array, iterations: NDArray[np.int64], maxima: NDArray[np.int64], restricted: bool
) -> Tau2:
    """Attach standard error, score and curvature to the solutions."""
    at: Moments = moments(batch, tau2)
    form, trace, form_slope, trace_slope = score_parts(at, restricted)
    boundary = tau2 == 0
    unit = np.where(boundary, variance_scale(batch), tau2)
    score = 0.5 * (form - trace) * unit
    curvature = np.where(boundary, np.nan, 0.5 * (trace_slope - form_slope) * tau2**2 + score)
    return Tau2(
        tau2=tau2,
        se=np.sqrt(2.0 / trace_slope),
        at_boundary=boundary,
        score=score,
        curvature=curvature,
        iterations=iterations,
        maxima=maxima,
    )
