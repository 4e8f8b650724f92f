"""Climbing to a maximum inside bounds: average information first, then Newton with the observed information.

A step is damped until it gains (Levenberg and Marquardt) and is cut at the bounds; a parameter at a bound
whose gradient points outwards rests. Near the top the observed information is taken, by differences of the
analytic gradient, so that the last steps are Newton's and the top is reached to rounding.

References
----------
Marquardt, D. W. (1963). An algorithm for least-squares estimation of nonlinear parameters. Journal of the
Society for Industrial and Applied Mathematics 11, 431-441. https://doi.org/10.1137/0111030
Bertsekas, D. P. (1982). Projected Newton methods for optimization problems with simple constraints. SIAM
Journal on Control and Optimization 20, 221-246. https://doi.org/10.1137/0320018
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.mixed.problem import NotPositiveDefinite
from metaexo.numeric.roots import uphill_step
from metaexo.types import Array

# The gain that a Newton step still promises, in units of log-likelihood, when the top counts as reached.
GAIN = 1e-15
ROUGH_GAIN = 1e-5
DIFFERENCE = 1e-6
MAX_STEPS = 150
# A promised gain below which the top is near and the observed information worth computing.
NEAR = 1e-3
# Damping after a step that did not gain: the first value, how it grows, and how it shrinks after a gain.
FIRST_DAMPING, DAMPED_MORE, DAMPED_LESS = 0.03, 6.0, 16.0
# An eigenvalue of the information below this share of the largest carries no information about its direction.
FLAT = 1e-10
# A bound is met from nearby only (in units of the parameter's size); from further off a step goes this near.
CLOSE = 0.02
SHORTEN = 0.1


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The likelihood at given parameters."""

    llf: float  # log-likelihood
    gradient: Array  # (n,): its derivative
    information: Array  # (n, n): average information
    scores: list[Array]  # (s, s): S of each term: what the gradient is on the scale of G
    # returns minus the second derivatives, shape (n, n), where they are known in closed form
    observed: Callable[[], Array] | None = None


class Parts(NamedTuple):
    """What minus twice the log-likelihood is made of at b points, but for its constant: logdet + q."""

    logdet: Array  # (b,): log|M|, with REML plus log|X'M^-1 X| - log|X'X|
    q: Array  # (b,): y'P y
    traces: Array  # (b, n): the derivatives of `logdet`
    forms: Array  # (b, n): minus the derivatives of `q`


def turn_of(gram: Array) -> tuple[Array, Array, Array]:
    """Fit the design, from the products of basis and effects under M^-1; leading axes are a batch.

    `gram`, shape (..., p + 1, p + 1): [Q, e]'M^-1 [Q, e].
    Returns `turn`, shape (..., p + 1, p + 1): what turns M^-1 [Q, e] into mx and r.
    Returns `q`, shape (...): y'P y.
    Returns `logdet_x`, shape (...): log|X'M^-1 X| - log|X'X|.
    Raises NotPositiveDefinite if the design cannot be fitted.
    """
    try:
        lower = np.linalg.cholesky(gram[..., :-1, :-1])
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    logdet_x = 2 * np.log(lower.diagonal(axis1=-2, axis2=-1)).sum(axis=-1)
    inverse = np.linalg.inv(lower)
    along = inverse @ gram[..., :-1, -1:]
    q = gram[..., -1, -1] - (along * along).sum(axis=(-2, -1))
    turn = np.zeros(gram.shape)
    turn[..., :-1, :-1], turn[..., -1, -1] = inverse, 1.0
    turn[..., -1:, :-1] = -along.swapaxes(-1, -2) @ inverse
    return turn, q, logdet_x


Function = Callable[[Array], Evaluation]


@dataclass(frozen=True, eq=False)
class Top:
    """Where a climb ended."""

    theta: Array  # scaled parameters
    at: Evaluation  # the likelihood there, in scaled parameters
    steps: int  # evaluations of the likelihood
    gain: float  # what a further step promises
    reason: str  # why it ended
    # observed information of the parameters that could move there, where it was needed
    curvature: Array | None = None


@dataclass(frozen=True, eq=False)
class Box:
    """Bounds of scaled parameters; fixed ones have equal bounds."""

    lower: Array
    upper: Array

    def free(self, theta: Array, gradient: Array) -> NDArray[np.bool_]:
        """Return which parameters can move uphill."""
        low = (theta <= self.lower) & (gradient <= 0)
        high = (theta >= self.upper) & (gradient >= 0)
        return np.asarray(~(low | high | (self.lower == self.upper)))

    def clip(self, theta: Array) -> Array:
        """Return the nearest point inside."""
        return np.clip(theta, self.lower, self.upper)

    def stride(self, theta: Array, trial: Array) -> Array:
        """Return the trial point, long ways to a bound cut short: no bound is met by overshooting."""
        out = self.clip(trial)
        for edge in (self.lower, self.upper):
            hits = np.flatnonzero((out == edge) & (np.abs(theta - edge) > CLOSE))
            out[hits] = edge[hits] + SHORTEN * (theta[hits] - edge[hits])
        return out


def climb(function: Function, start: Array, box: Box, rough: bool = False) -> Top | None:
    """Return the top that is reached from `start`; None if the likelihood cannot be computed there."""
    theta = box.clip(start)
    try:
        at = function(theta)
    except NotPositiveDefinite:
        return None
    steps, damping, gain = 1, 0.0, np.inf
    goal = ROUGH_GAIN if rough else GAIN
    reason = f"stopped after {MAX_STEPS} evaluations"
    exact = False
    curvature: Array | None = None
    while steps < MAX_STEPS:
        free = box.free(theta, at.gradient)
        if not free.any():
            return Top(theta, at, steps, 0.0, "every parameter rests on a bound")
        if curvature is None and exact:
            curvature = observed_information(function, theta, at, free, box)
            steps += int(free.sum()) if at.observed is None else 0
        elif curvature is None:
            curvature = at.information[np.ix_(free, free)]
        step, gain = newton_step(curvature, at.gradient[free], damping)
        if gain < goal and (exact or rough or damping == 0):
            return Top(theta, at, steps, gain, "no further step gains", curvature if exact else None)
        moved = _move(function, theta, at, free, step, box)
        steps += 1
        if moved is None:
            if gain < 1e-9 * (1 + abs(at.llf)) and exact:
                return Top(theta, at, steps, gain, "no further step gains more than rounding", curvature)
            damping = max(DAMPED_MORE * damping, FIRST_DAMPING)
            if damping > 1e12:
                reason = "no step uphill was found"
                break
            continue
        gained = moved[1].llf - at.llf
        (theta, at), curvature = moved, None
        damping = damping / DAMPED_LESS if damping > 1e-4 else 0.0
        exact = not rough and (exact or gain < NEAR or (gained < 0.05 * gain and gain < 1) or steps > 40)
    return Top(theta, at, steps, gain, reason)


def newton_step(curvature: Array, gradient: Array, damping: float) -> tuple[Array, float]:
    """Return a step uphill and the gain it promises; directions without curvature are damped."""
    size = np.sqrt(np.maximum(np.abs(np.diagonal(curvature)), 1e-300))
    step, gain, _ = uphill_step(curvature / np.outer(size, size), gradient / size, FLAT, 1e-300, damping)
    return step / size, gain


def _move(
    function: Function, theta: Array, at: Evaluation, free: NDArray[np.bool_], step: Array, box: Box
) -> tuple[Array, Evaluation] | None:
    """Return the point after the step and the likelihood there, if it gains enough."""
    trial = theta.copy()
    trial[free] += step
    trial = box.stride(theta, trial)
    promised = float(at.gradient @ (trial - theta))
    if promised <= 0:
        return None
    try:
        there = function(trial)
    except (NotPositiveDefinite, np.linalg.LinAlgError):
        return None
    slack = 1e-13 * (1 + abs(at.llf))
    if not np.isfinite(there.llf) or there.llf < at.llf + 1e-4 * promised - slack:
        return None
    return trial, there


def observed_information(
    function: Function, theta: Array, at: Evaluation, free: NDArray[np.bool_], box: Box
) -> Array:
    """Return minus the second derivatives at the free parameters, by differences if there is no formula."""
    chosen = np.flatnonzero(free)
    if at.observed is not None:
        return at.observed()[np.ix_(chosen, chosen)]
    out = np.zeros((chosen.size, chosen.size))
    for a, i in enumerate(chosen):
        size = DIFFERENCE * max(abs(theta[i]), 0.1)
        for h in (size, -size):
            trial = theta.copy()
            trial[i] += h
            if not box.lower[i] <= trial[i] <= box.upper[i]:
                continue
            try:
                out[a] = -(function(trial).gradient[chosen] - at.gradient[chosen]) / h
            except NotPositiveDefinite:
                continue
            break
    return 0.5 * (out + out.T)
