"""ML and REML estimates of tau2: every local maximum is bracketed, the highest is returned.

Each bracket of the scan is refined by a safeguarded Newton iteration on h = log(y'PPy / trace) as a function
of log(tau2 + s), which is nearly a straight line. The boundary at 0 is a candidate where the score is not
positive there. If there are several candidates, their likelihoods are compared.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import log_likelihood, score_parts, unbounded
from metaexo.numeric.moments import CACHE_ELEMENTS, moments
from metaexo.numeric.problem import Batch
from metaexo.numeric.roots import Roots, bracketed_newton
from metaexo.numeric.scan import FORM, RHO, SIGMA, TRACE, Scan, T, scan
from metaexo.numeric.single_problem import maximum_of_one
from metaexo.numeric.tau2 import Tau2, in_parts, no_maximum, variance_scale
from metaexo.types import Array


@in_parts
def maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=False)


@in_parts
def restricted_maximum_likelihood(batch: Batch) -> Tau2:
    """Return the global maximum of the restricted likelihood over tau2 >= 0."""
    return _global_maximum(batch, restricted=True)


def likelihood_at(batch: Batch, tau2: float, restricted: bool) -> Tau2:
    """Return a given tau2 with the standard error and the score that the likelihood has there."""
    none = np.zeros(batch.size, dtype=np.int64)
    seal = (none, none, none == 0)
    return _certify(batch, np.full(batch.size, tau2), seal, variance_scale(batch), restricted)


def local_maxima(batch: Batch, restricted: bool) -> tuple[NDArray[np.intp], Array]:
    """Return the problem and the tau2 of every local maximum, the boundary included, shape (N,) each."""
    seen = scan(batch, restricted)
    at_zero = np.flatnonzero(seen.boundary)
    inner = np.empty(0)
    if seen.problem.size:
        inner = _refine(batch, seen, variance_scale(batch), restricted).root
    return np.concatenate([at_zero, seen.problem]), np.concatenate([np.zeros(at_zero.size), inner])


def _global_maximum(batch: Batch, restricted: bool) -> Tau2:
    if batch.size == 1 and batch.unit and batch.y.size <= CACHE_ELEMENTS:
        return maximum_of_one(batch, restricted)
    seen = scan(batch, restricted)
    problem, scale = seen.problem, variance_scale(batch)
    maxima = seen.boundary + np.bincount(problem, minlength=batch.size)
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    if problem.size:
        roots = _refine(batch, seen, scale, restricted)
        if (maxima > 1).any():
            tau2, iterations = _highest(batch, seen, roots, maxima, restricted)
        else:
            tau2[problem], iterations[problem] = roots.root, roots.iterations
    found = _certify(batch, tau2, (iterations, maxima, seen.proved), scale, restricted)
    if batch.v.min() > 0:
        return found
    nowhere = unbounded(batch, restricted)
    other = no_maximum(batch.size)
    parts = {f.name: (getattr(found, f.name), getattr(other, f.name)) for f in fields(Tau2)}
    return Tau2(**{name: np.where(nowhere, without, own) for name, (own, without) in parts.items()})


def _refine(batch: Batch, seen: Scan, scale: Array, restricted: bool) -> Roots:
    """Solve h = 0 in the brackets of the scan."""
    problem, scale = seen.problem, scale[seen.problem]

    def step(t: Any, which: Any) -> tuple[Any, Any]:
        if isinstance(which, int):  # one bracket alone: plain numbers
            at = moments(batch.take(int(problem[which])), t)
        else:
            at = moments(batch, t, problem[which])
        form, trace, form_slope, trace_slope = score_parts(at, restricted)
        value = np.log(form / trace)
        slope = trace_slope / trace - form_slope / form
        return value, _step_in_log(value, slope, t + scale[which])

    low, high = seen.ends[:, T]
    return bracketed_newton(step, low, high, _first_guess(seen.ends, scale), scale)


def _step_in_log(value: Any, slope: Any, moved: Any) -> Any:
    """Return Newton's step in t for a function whose argument is log of `moved`, a shifted t."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved * np.expm1(np.minimum(np.maximum(-value / (slope * moved), -50.0), 50.0))


def _first_guess(ends: Array, scale: Array) -> Array:
    """Return the root of h by cubic interpolation in the bracket; Newton's step from below in a wide one.

    log(t + scale) is taken as a cubic function of h, through both ends with the slopes there.
    """
    moved = ends[:, T] + scale
    h = np.log(np.maximum(ends[:, FORM], np.finfo(float).tiny) / ends[:, TRACE])
    slope = 1 / ends[:, RHO] - 2 / ends[:, SIGMA]
    rise = h[1] - h[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width = np.log(moved[1] / moved[0])
        m = rise / (slope * moved)
        u = -h[0] / rise
        cubic = u * ((1 - u) ** 2 * m[0] + u * ((3 - 2 * u) * width - (1 - u) * m[1]))
        guess = ends[0, T] + moved[0] * np.expm1(cubic)
        useful = (np.abs(width - 1.5) < 1.5) & (guess > ends[0, T]) & (guess < ends[1, T])
    if useful.all():
        return np.asarray(guess)
    return np.asarray(np.where(useful, guess, ends[0, T] + _step_in_log(h[0], slope[0], moved[0])))


def _highest(
    batch: Batch, seen: Scan, roots: Roots, maxima: NDArray[np.int64], restricted: bool
) -> tuple[Array, NDArray[np.int64]]:
    """Return, a problem, the candidate with the highest likelihood; 0 wins a tie."""
    several = np.flatnonzero(maxima > 1)
    zero = np.full(batch.size, -np.inf)
    at_zero = several[seen.boundary[several]]
    zero[at_zero] = log_likelihood(batch.take(at_zero), np.zeros(at_zero.size), restricted)
    rows = np.flatnonzero(maxima[seen.problem] > 1)
    inner = np.full(seen.problem.size, np.inf)
    inner[rows] = log_likelihood(batch.take(seen.problem[rows]), roots.root[rows], restricted)
    best = zero.copy()
    np.maximum.at(best, seen.problem, inner)
    wins = (inner == best[seen.problem]) & (inner > zero[seen.problem])
    tau2, iterations = np.zeros(batch.size), np.zeros(batch.size, dtype=np.int64)
    tau2[seen.problem[wins]], iterations[seen.problem[wins]] = roots.root[wins], roots.iterations[wins]
    return tau2, iterations


def _certify(
    batch: Batch,
    tau2: Array,
    seal: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
    scale: Array,
    restricted: bool,
) -> Tau2:
    """Attach standard error, score and curvature to the solutions; `seal`: iterations, maxima, proved."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a variance of 0 at tau2 = 0 has no likelihood
        form, trace, form_slope, trace_slope = score_parts(moments(batch, tau2), restricted)
        boundary = tau2 == 0
        score = 0.5 * (form - trace) * np.where(boundary, scale, tau2)
        second = 0.5 * (trace_slope - form_slope) * tau2**2 + score
        return Tau2(
            tau2, np.sqrt(2.0 / trace_slope), boundary, score, np.where(boundary, np.nan, second), *seal
        )
