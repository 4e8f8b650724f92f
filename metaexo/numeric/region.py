"""The smallest and largest value of a function of the parameters where the likelihood is high enough.

These are the ends of a profile-likelihood interval: a value lies in it if some parameters that give it have a
log-likelihood within half a chi-square quantile of the highest, so the interval reaches from the smallest to
the largest value in that region. Searching the region needs no parameter that is the value itself, which
serves functions of several parameters, and edges of the parameters, alike.

References
----------
Venzon, D. J., Moolgavkar, S. H. (1988). A method for computing profile-likelihood-based confidence intervals.
Applied Statistics 37, 87-94. https://doi.org/10.2307/2347496
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metaexo.types import Array

# Value and gradient of a function at parameters of shape (n,).
Function = Callable[[Array], tuple[float, Array]]
FARTHEST = 1e3  # in standard errors: a search that comes so far has no end
FAR_BELOW = 1e6  # how far below the highest a likelihood counts as impossible
MOST_ITERATIONS = 100
PRECISION = 1e-12
SHARES = (1.0, 0.5, 0.1, 0.8)  # of the first guess, where searches begin until one succeeds
STILL = 1e-6
SQUARE = 1e-3  # how far the slope of the target at an end may be from square to the region
CLOSE = 1e-6  # how near the log-likelihood at an end comes to the lowest that is allowed


class Region(NamedTuple):
    """Parameters whose log-likelihood is at least `lowest`."""

    log_likelihood: Function
    top: Array  # (n,): where it is highest
    root: Array  # (n, n): takes steps of about one standard error to steps of the parameters
    lowest: float
    rows: Array  # (r, n): combinations of the parameters that have a least value
    least: Array  # (r,): these values


class End(NamedTuple):
    """An end of an interval."""

    value: float  # infinite where the likelihood does not fall; NaN where none was found
    at: Array  # (n,): the parameters there


def region_end(region: Region, target: Function, sign: float, nudge: Array | None = None) -> End:
    """Return the largest value of `target` in the region for `sign` 1, the smallest for -1.

    `nudge`, shape (n,): a step, in units of `root`, that the search adds to its first one: for a target that
    is flat at the top.
    """
    from scipy.optimize import minimize

    search = _Search(region, target, sign)
    start, endless = search.start(nudge), False
    constraints = [{"type": "ineq", "fun": search.room, "jac": search.room_slope}]
    if search.rows.size:
        limits = {"fun": lambda z: search.slack + search.rows @ z, "jac": lambda z: search.rows}
        constraints.append({"type": "ineq", **limits})
    for share in SHARES:
        found = minimize(
            search.objective,
            share * start,
            jac=True,
            method="SLSQP",
            bounds=[(-FARTHEST, FARTHEST)] * start.size,
            constraints=constraints,
            options={"maxiter": MOST_ITERATIONS, "ftol": PRECISION},
        )
        if search.room(found.x) < -CLOSE * (1 + search.drop):
            continue
        if search.is_end(found.x):
            at = search.place(found.x)
            return End(float(target(at)[0]), at)
        endless |= bool(np.abs(found.x).max() >= FARTHEST)
    return End(sign * np.inf if endless else np.nan, region.top)


class _Search:
    """The search for one end, in steps z of about one standard error from where the likelihood is highest."""

    def __init__(self, region: Region, target: Function, sign: float) -> None:
        self.log_likelihood, self.target = _remembering(region.log_likelihood), _remembering(target)
        self.top, self.root, self.lowest, self.sign = region.top, region.root, region.lowest, sign
        self.drop = float(self.log_likelihood(self.top)[0]) - region.lowest
        self.base, slope = self.target(self.top)
        self.uphill = sign * (self.root.T @ slope)
        self.size = float(np.linalg.norm(self.uphill)) or 1.0
        self.rows, self.slack = region.rows @ self.root, region.rows @ self.top - region.least

    def place(self, z: Array) -> Array:
        """Return the parameters at a step."""
        return np.asarray(self.top + self.root @ z)

    @np.errstate(all="ignore")
    def objective(self, z: Array) -> tuple[float, Array]:
        """Return what is made smallest, and its slope."""
        value, gradient = self.target(self.place(z))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return FAR_BELOW, np.zeros_like(z)  # out of the range of numbers
        away = self.sign * (value - self.base) / self.size
        # the inverse hyperbolic sine keeps targets that grow like squares or powers within reach
        slope = -self.sign * (self.root.T @ gradient) / (self.size * math.hypot(1.0, away))
        return -math.asinh(away), slope

    def room(self, z: Array) -> float:
        """Return how far the log-likelihood lies above the lowest that is allowed."""
        return max(float(self.log_likelihood(self.place(z))[0]) - self.lowest, -FAR_BELOW)

    def room_slope(self, z: Array) -> Array:
        """Return the slope of `room`."""
        value, gradient = self.log_likelihood(self.place(z))
        return self.root.T @ gradient if np.isfinite(value) else np.zeros_like(z)

    def start(self, nudge: Array | None) -> Array:
        """Return the step to the end of a parabola with a straight target, cut to be inside."""
        start = self.uphill / self.size * np.sqrt(2 * self.drop)
        start = start if nudge is None else start + nudge
        while self.room(start) < -self.drop and np.abs(start).max(initial=0.0) > 1e-6:
            start = start / 2
        short = self.rows @ start < -self.slack
        if short.any():
            start = start * float((self.slack[short] / -(self.rows @ start)[short]).min())
        return np.asarray(start)

    def is_end(self, z: Array) -> bool:
        """Say whether the target can only rise by leaving the region: its slope points out of it."""
        from scipy.optimize import nnls

        value, slope = self.objective(z)
        if value == FAR_BELOW:
            return False
        length = float(np.linalg.norm(slope))
        if length <= STILL:  # the target has its largest value inside the region
            return True
        inward = self.room_slope(z)
        outward = [-inward / max(float(np.linalg.norm(inward)), 1e-300)]
        outward += list(-self.rows[self.slack + self.rows @ z <= CLOSE])
        return bool(nnls(np.stack(outward, axis=1), -slope)[1] <= SQUARE * length)


def _remembering(function: Function) -> Function:
    """Return a function that is not computed again where it was computed last."""
    last: list[tuple[bytes, tuple[float, Array]]] = []

    def remembering(at: Array) -> tuple[float, Array]:
        key = at.tobytes()
        if not last or last[0][0] != key:
            last[:] = [(key, function(at))]
        return last[0][1]

    return remembering
