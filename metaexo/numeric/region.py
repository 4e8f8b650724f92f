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

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metaexo.types import Array

# Value and gradient of a function at parameters of shape (n,).
Function = Callable[[Array], tuple[float, Array]]
FAR_BELOW = 1e6  # how far below the highest a likelihood counts as impossible
MOST_ITERATIONS = 200
PRECISION = 1e-12
SHARES = (1.0, 0.5, 0.1, 0.8)  # of the first guess, where searches begin until one succeeds
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

    value: float  # NaN where none was found
    at: Array  # (n,): the parameters there


def region_end(region: Region, target: Function, sign: float) -> End:
    """Return the largest value of `target` in the region for `sign` 1, the smallest for -1."""
    from scipy.optimize import minimize, nnls

    top, root = region.top, region.root
    height = float(region.log_likelihood(top)[0])
    drop = height - region.lowest
    base, slope = target(top)
    size = float(np.linalg.norm(root.T @ slope)) or 1.0
    rows, slack = region.rows @ root, region.rows @ top - region.least

    def place(z: Array) -> Array:
        return np.asarray(top + root @ z)

    def objective(z: Array) -> tuple[float, Array]:
        value, gradient = target(place(z))
        return -sign * (value - base) / size, -sign * (root.T @ gradient) / size

    def room(z: Array) -> float:
        return max(float(region.log_likelihood(place(z))[0]) - region.lowest, -FAR_BELOW)

    def room_slope(z: Array) -> Array:
        value, gradient = region.log_likelihood(place(z))
        return np.zeros_like(z) if not np.isfinite(value) else root.T @ gradient

    along = sign * (root.T @ slope)
    length = float(np.linalg.norm(along))
    start = along / length * np.sqrt(2 * drop) if length > 0 else np.zeros_like(top)
    while room(start) < -drop and np.abs(start).max(initial=0.0) > 1e-6:
        start = start / 2
    short = rows @ start < -slack
    if short.any():  # stay inside
        start = start * float((slack[short] / -(rows @ start)[short]).min())
    constraints = [{"type": "ineq", "fun": room, "jac": room_slope}]
    if rows.size:
        constraints.append({"type": "ineq", "fun": lambda z: slack + rows @ z, "jac": lambda z: rows})

    def is_end(z: Array) -> bool:
        """Say whether the target can only rise by leaving the region: its slope points out of it."""
        uphill = -objective(z)[1]
        outward = [-room_slope(z) / max(float(np.linalg.norm(room_slope(z))), 1e-300)]
        outward += list(-rows[slack + rows @ z <= CLOSE])
        return bool(nnls(np.stack(outward, axis=1), uphill)[1] <= SQUARE * float(np.linalg.norm(uphill)))

    for share in SHARES:
        found = minimize(
            objective,
            share * start,
            jac=True,
            method="SLSQP",
            constraints=constraints,
            options={"maxiter": MOST_ITERATIONS, "ftol": PRECISION},
        )
        if room(found.x) >= -CLOSE * (1 + drop) and is_end(found.x):
            at = place(found.x)
            return End(float(target(at)[0]), at)
    return End(float("nan"), top)
