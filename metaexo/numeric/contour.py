"""Distribution functions from their Laplace transforms, by a contour around the singularities.

A positive random variable Q with transform phi(s) = E exp(-s Q) has

    P(Q <= x) = 1/(2 pi i) int exp(s x) phi(s) / s ds    over a path that passes to the right of 0,
    P(Q > x) = -1/(2 pi i) int exp(s x) phi(s) / s ds    over a path between the largest singularity and 0.

The path taken is a parabola through the real saddle point of the integrand, open to the left, with the
curvature of the path of steepest descent there: s = s0 + i u - c u^2. The integrand is analytic and falls
like a Gaussian along it, so that the trapezoidal rule converges geometrically: some hundred points give
1e-13. Should the integrand grow anywhere on the path (it can where few terms are large and many small), the
path is straightened.

References
----------
Weideman, J. A. C., Trefethen, L. N. (2007). Parabolic and hyperbolic contours for computing the Bromwich
integral. Mathematics of Computation 76, 1341-1356. https://doi.org/10.1090/S0025-5718-07-01945-X
Rice, S. O. (1980). Distribution of quadratic forms in normal random variables: evaluation by numerical
integration. SIAM Journal on Scientific and Statistical Computing 1, 438-448. https://doi.org/10.1137/0901032
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.types import Array

Complex = NDArray[np.complexfloating[Any, Any]]
# From s, shape (N,), to log phi(s) and, in a second row a factor, more integrands: shape (1 + M, N).
Transform = Callable[[Complex], Complex]

POINTS = 64
POINTS_PER_WIDTH = 5
LONGEST = 1 << 14
NEGLIGIBLE = 1e-17
GROWTH = 1.05
CONVERGED = 1e-12
# Below this, changes that no longer fall are rounding error.
ROUNDING = 1e-8


@dataclass(frozen=True, slots=True)
class Path:
    """A parabola in the complex plane.

    Attributes
    ----------
    saddle : float
        Where it crosses the real axis; not 0.
    curvature : float
        Its bend to the left, at least 0.
    width : float
        Distance along the path over which the integrand falls noticeably.
    """

    saddle: float
    curvature: float
    width: float


def integrate(transform: Transform, x: float, path: Path) -> Array:
    """Return the integral of exp(s x) phi(s) / s over the path, divided by 2 pi i, and those with factors.

    Parameters
    ----------
    transform : callable
        Takes s, shape (N,), and returns an array of shape (1 + M, N): log phi(s), then factors by which the
        integrand is multiplied for the further integrals.
    x : float
        Where the distribution function is wanted.
    path : Path
        The contour.

    Returns
    -------
    ndarray, shape (1 + M,)
        The integrals, with the sign that makes the first one a probability.

    Raises
    ------
    ArithmeticError
        If no path converges, which no finite coefficients are known to cause.
    """
    curvature = path.curvature
    for attempt in range(40):
        found = _trapezoid(transform, x, Path(path.saddle, curvature, path.width))
        if found is not None:
            return found
        curvature = 0.25 * curvature if attempt < 38 else 0.0
    raise ArithmeticError("the contour integral did not converge")


def _trapezoid(transform: Transform, x: float, path: Path) -> Array | None:
    """Return the integrals by the trapezoidal rule with a step halved until they stand; None if it fails."""
    s0 = path.saddle
    sign = math.copysign(1.0, s0)
    start = np.array([complex(s0)])
    base = s0 * x + transform(start)[0, 0].real - math.log(abs(s0))

    def values(u: Array) -> Array:
        s = s0 + 1j * u - path.curvature * u * u
        rows = transform(s)
        rows[0] = np.exp(rows[0] + s * x - np.log(sign * s) - base) * (1 + 2j * path.curvature * u)
        rows[1:] *= rows[0]
        return np.asarray(rows.real)

    def outward(first: float, step: float) -> Array | None:
        """Sum the values at first, first + step, ... until they are negligible."""
        total, begin = 0.0, 0
        while begin < LONGEST:
            new = values(first + step * np.arange(begin, begin + POINTS, dtype=float))
            size = np.abs(new[0])
            if not size.max() <= GROWTH:
                return None
            total = total + new.sum(axis=-1)
            if size[-4:].max() < NEGLIGIBLE:
                return np.asarray(total)
            begin += POINTS
        return None

    step = path.width / POINTS_PER_WIDTH
    centre = 0.5 * values(np.zeros(1))[:, 0]
    total = outward(step, step)
    if total is None:
        return None
    total = total + centre
    before, last = step * total, math.inf
    for _ in range(10):
        between = outward(0.5 * step, step)
        if between is None:
            return None
        total, step = total + between, 0.5 * step
        now = step * total
        change = abs(now[0] - before[0]) / abs(now[0])
        if change <= CONVERGED or (change < ROUNDING and change > 0.1 * last):
            return np.asarray(now * (math.exp(base) / math.pi))
        before, last = now, change
    return None
