"""Safeguarded Newton steps: inside brackets, for many problems at once, and uphill.

Each bracketed problem has a function that is positive at `low` and not positive at `high`. Newton's step is
taken where it stays inside the bracket and the bracket shrinks fast enough; otherwise the bracket is halved
on a logarithmic scale. It cannot leave the bracket and cannot fail to end.

References
----------
Press, W. H., Teukolsky, S. A., Vetterling, W. T., Flannery, B. P. (2007). Numerical Recipes, 3rd ed.,
section 9.4 (Newton-Raphson safeguarded by bisection). Cambridge University Press.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.types import Array

MAX_ITERATIONS = 200
# Newton's error is about the square of its last step, so a relative step of this size ends at rounding error.
STEP_TOLERANCE = 1e-8
ROUNDING = 4 * np.finfo(float).eps

# Value and Newton step of the function at t, for the problems at the given positions: arrays, or, for a batch
# of one, plain numbers and the position 0.
Step = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Roots:
    """Solutions of a batch of bracketed equations."""

    root: Array  # (B,): the solution
    iterations: NDArray[np.int64]  # (B,): evaluations used


def bracketed_newton(function: Step, low: Array, high: Array, start: Array, floor: Array) -> Roots:
    """Solve B equations, each positive at `low` and not positive at `high`, in the unknown t >= 0.

    `function`: takes t, shape (b,), and the positions of those problems, and returns the function and
        Newton's step, -f / f', both of shape (b,). For a single problem all of them are plain numbers.
    `low`, `high`, `start`, shape (B,): bracket and first guess.
    `floor`, shape (B,): a positive scale below which differences in t do not matter, in units of t: steps
        shorter than rounding error at this scale end the iteration.
    """
    if low.size == 1:
        return _solve_one(function, float(low[0]), float(high[0]), float(start[0]), float(floor[0]))
    lo, hi = low.astype(float).copy(), high.astype(float).copy()
    t = np.clip(start, lo, hi)
    used = np.zeros(t.shape, dtype=np.int64)
    open_ = np.arange(t.size)
    previous_width = hi - lo
    for _ in range(MAX_ITERATIONS if t.size else 0):
        now = t[open_]
        value, step = function(now, open_)
        positive = value > 0
        bottom = lo[open_] = np.where(positive, now, lo[open_])
        top = hi[open_] = np.where(positive, hi[open_], now)
        used[open_] += 1
        guess, width = now + step, top - bottom
        inside = (guess >= bottom) & (guess <= top)
        newton = inside & ((np.abs(step) < 0.5 * previous_width[open_]) | (used[open_] < 4))
        following = np.where(newton, guess, _middle(bottom, top, floor[open_]))
        moved = np.abs(following - now)
        done = (value == 0) | (newton & (moved <= STEP_TOLERANCE * now))
        done |= (moved <= ROUNDING * (now + floor[open_])) | (width <= ROUNDING * top)
        t[open_] = np.where(value == 0, now, following)
        previous_width[open_] = width
        if done.all():
            break
        if done.any():
            open_ = open_[~done]
    return Roots(t, used)


def of_arrays(step: Step) -> Step:
    """Let a step that knows arrays alone serve single problems too."""

    def either(t: Any, which: Any) -> tuple[Any, Any]:
        value, move = step(np.atleast_1d(t), np.atleast_1d(which))
        return (value, move) if isinstance(t, np.ndarray) else (value.item(), move.item())

    return either


def uphill_step(
    curvature: Array, gradient: Array, flat: float, least: float = 1.0, damping: float = 0.0
) -> tuple[Array, float, Array]:
    """Return Newton's step uphill, the rise that it promises, and the eigenvalues of the curvature.

    Where the curvature is not that of a maximum, eigenvalues change sign, so that every step leads uphill;
    none counts as less than `flat` times the largest (or `least`, if that is larger).

    `curvature`, shape (n, n): minus the second derivatives, or an approximation.
    `gradient`, shape (n,): the first derivatives.
    `flat`, `least`, `damping`: what is rounding; the size of eigenvalues that matters; what is added to all
        of them (Marquardt).
    """
    eigenvalues, vectors = np.linalg.eigh(curvature)
    size = np.abs(eigenvalues)
    size = np.maximum(size, flat * max(least, float(size.max())))
    along = vectors.T @ gradient
    return vectors @ (along / (size + damping)), float(0.5 * (along**2 / size).sum()), eigenvalues


def _middle(low: Array, high: Array, floor: Array) -> Array:
    """Return the middle of a bracket on the scale log(t + floor)."""
    return np.asarray(np.clip(np.sqrt((low + floor) * (high + floor)) - floor, low, high))


def _solve_one(function: Step, lo: float, hi: float, start: float, floor: float) -> Roots:
    """Solve one equation: the same steps with plain numbers: 0.004 ms, with arrays 0.14 ms."""
    t = min(max(start, lo), hi)
    previous_width, used = hi - lo, 0
    while used < MAX_ITERATIONS:
        value, step = function(t, 0)
        used += 1
        if value == 0:
            break
        lo, hi = (t, hi) if value > 0 else (lo, t)
        now, guess, width = t, t + step, hi - lo
        newton = lo <= guess <= hi and (abs(step) < 0.5 * previous_width or used < 4)
        t = guess if newton else min(max(math.sqrt((lo + floor) * (hi + floor)) - floor, lo), hi)
        moved = abs(t - now)
        if newton and moved <= STEP_TOLERANCE * now:
            break
        if moved <= ROUNDING * (now + floor) or width <= ROUNDING * hi:
            break
        previous_width = width
    return Roots(np.array([t]), np.array([used]))
