"""A safeguarded Newton iteration inside brackets, for many problems at once.

Each problem has a function that is positive at `low` and not positive at `high`. Newton's step is taken where
it stays inside the bracket and the bracket shrinks fast enough; otherwise the bracket is halved on a
logarithmic scale. It cannot leave the bracket and cannot fail to end.

References
----------
Press, W. H., Teukolsky, S. A., Vetterling, W. T., Flannery, B. P. (2007). Numerical Recipes, 3rd ed.,
section 9.4 (Newton-Raphson safeguarded by bisection). Cambridge University Press.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.problem import Array

MAX_ITERATIONS = 200
STEP_TOLERANCE = 1e-9
ROUNDING = 4 * np.finfo(float).eps

# Value and Newton step of the function at t, for the problems at the given positions.
Step = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Roots:
    """Solutions of a batch of bracketed equations.

    Attributes
    ----------
    root : ndarray, shape (B,)
        The solution.
    value : ndarray, shape (B,)
        The function at the last point evaluated before the final step.
    iterations : ndarray of int, shape (B,)
        Evaluations used.
    """

    root: Array
    value: Array
    iterations: NDArray[np.int64]


def bracketed_newton(function: Step, low: Array, high: Array, start: Array, floor: Array) -> Roots:
    """Solve B equations, each positive at `low` and not positive at `high`, in the unknown t >= 0.

    Parameters
    ----------
    function : callable
        Takes t, shape (b,), and the positions of those problems, and returns the function and Newton's step,
        -f / f', both of shape (b,).
    low, high, start : ndarray, shape (B,)
        Bracket and first guess.
    floor : ndarray, shape (B,)
        A positive scale below which differences in t do not matter, in units of t: steps shorter than
        rounding error at this scale end the iteration.
    """
    lo, hi = low.astype(float).copy(), high.astype(float).copy()
    t = np.clip(start, lo, hi)
    last_value = np.zeros_like(t)
    used = np.zeros(t.shape, dtype=np.int64)
    open_ = np.arange(t.size)
    previous_width = hi - lo
    for _ in range(MAX_ITERATIONS):
        value, step = function(t[open_], open_)
        now = t[open_]
        positive = value > 0
        lo[open_] = np.where(positive, now, lo[open_])
        hi[open_] = np.where(positive, hi[open_], now)
        last_value[open_] = value
        used[open_] += 1
        guess = now + step
        width = hi[open_] - lo[open_]
        inside = (guess >= lo[open_]) & (guess <= hi[open_]) & np.isfinite(guess)
        newton = inside & ((np.abs(step) < 0.5 * previous_width[open_]) | (used[open_] < 4))
        middle = _middle(lo[open_], hi[open_], floor[open_])
        following = np.where(newton, guess, middle)
        moved = np.abs(following - now)
        done = (value == 0) | (newton & (moved <= STEP_TOLERANCE * now))
        done |= (moved <= ROUNDING * (now + floor[open_])) | (width <= ROUNDING * hi[open_])
        t[open_] = np.where(value == 0, now, following)
        previous_width[open_] = width
        if done.all():
            break
        if done.any():
            open_ = open_[~done]
    return Roots(t, last_value, used)


def _middle(low: Array, high: Array, floor: Array) -> Array:
    """Return the middle of a bracket on the scale log(t + floor)."""
    return np.asarray(np.clip(np.sqrt((low + floor) * (high + floor)) - floor, low, high))
