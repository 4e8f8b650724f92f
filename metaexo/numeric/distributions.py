"""The distribution of positive combinations of independent chi-square variables.

Q = sum of lambda_i chi2(1) has the transform phi(s) = E exp(-s Q) = prod (1 + 2 lambda_i s)^(-1/2), and

    P(Q <= x) = 1/(2 pi i) int exp(s x) phi(s) / s ds    over a path that passes to the right of 0,
    P(Q > x) = -1/(2 pi i) int exp(s x) phi(s) / s ds    over a path between the largest singularity and 0,

with full relative accuracy in either tail. The path is a parabola through the real saddle point of the
integrand, open to the left, with the curvature of the path of steepest descent there: s = s0 + i u - c u^2.
The integrand is analytic and falls like a Gaussian along it, so that the trapezoidal rule converges
geometrically: some hundred points give 1e-13. Should the integrand grow anywhere on the path (it can where
few terms are large and many small), the path is straightened.

References
----------
Farebrother, R. W. (1984). Algorithm AS 204: the distribution of a positive linear combination of chi-squared
random variables. Applied Statistics 33, 332-339. https://doi.org/10.2307/2347721
Imhof, J. P. (1961). Computing the distribution of quadratic forms in normal variables. Biometrika 48,
419-426. https://doi.org/10.1093/biomet/48.3-4.419
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
from numpy.typing import ArrayLike, NDArray

from metaexo.numeric.problem import CHUNK_ELEMENTS
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


def chi2_mixture(x: float, coefficients: ArrayLike, counts: ArrayLike = 1.0) -> tuple[float, float]:
    """Return P(Q <= x) and P(Q > x) of Q = sum of coefficients times chi-square variables.

    Use it for statistics that are quadratic forms of normal variables, such as a generalised Q with any
    weights.

    `coefficients`, shape (L,): the positive coefficients lambda; zeros are left out.
    `counts`, shape (L,): degrees of freedom of each chi-square variable.
    Returns `below` and `above`: the two probabilities; whichever is small is computed by itself, not as one
        minus the other.

    Examples
    --------
    >>> below, above = chi2_mixture(8.0, [6.0, 3.0, 1.0])
    >>> round(below, 4)
    0.5469
    """
    lam = np.asarray(coefficients, dtype=float)
    n = np.broadcast_to(np.asarray(counts, dtype=float), lam.shape)
    lam, n = lam[lam > 0], n[lam > 0]
    if x <= 0 or not lam.size:
        return (0.0, 1.0) if x < 0 or lam.size else (1.0, 0.0)
    top = float(lam.max())
    lam, x = lam / top, x / top

    def transform(s: Complex) -> Complex:
        return np.asarray(-0.5 * (n * np.log1p(2 * s[:, None] * lam)).sum(axis=-1))[None]

    below = float(integrate(transform, x, right_path(x, lam, n))[0])
    if below < 0.9 or x <= n @ lam:
        return below, 1.0 - below
    above = float(integrate(transform, x, _left_path(x, lam, n))[0])
    return 1.0 - above, above


def right_path(x: float, lam: Array, n: Array) -> Path:
    """Return the path to the right of 0 through the saddle point of exp(s x) phi(s) / s.

    There x = 1/s + sum n lambda / (1 + 2 lambda s), which lies between 1/x and (1 + sum n / 2) / x.
    """
    low, high = 1.0 / x, (1.0 + 0.5 * float(n.sum())) / x
    s = math.sqrt(low * high)
    for _ in range(60):
        g = lam / (1 + 2 * lam * s)
        value = x - float(n @ g) - 1 / s
        low, high = (low, s) if value > 0 else (s, high)
        # Newton's step for the nearly straight function s value
        following = s - value / (2 * float(n @ (g * g)) + 1 / s**2)
        following = following if low < following < high else math.sqrt(low * high)
        if abs(following - s) <= 1e-6 * s:
            break
        s = following
    g = lam / (1 + 2 * lam * s)
    second = 2 * float(n @ (g * g)) + 1 / s**2
    third = 8 * float(n @ g**3) + 2 / s**3
    return Path(s, third / (6 * second), 1 / math.sqrt(second))


def _left_path(x: float, lam: Array, n: Array) -> Path:
    """Return the path between the branch point -1 / (2 max lambda) and 0, where the largest lambda is 1."""
    low, high = -0.5, 0.0
    for _ in range(60):
        s = 0.5 * (low + high)
        if x - float((n * lam / (1 + 2 * lam * s)).sum()) - 1 / s > 0:
            high = s
        else:
            low = s
    g = lam / (1 + 2 * lam * s)
    of_phi = 2 * float(n @ (g * g))
    return Path(s, 8 * float(n @ g**3) / (6 * of_phi), 1 / math.sqrt(of_phi + 1 / s**2))


class WeightedQ:
    """The generalised Q statistic with weights a, y'Ay, A = D - D X (X'DX)^-1 X'D, D = diag(a).

    For normal effects with variances S = V + tau2 I it is a combination of chi-square variables whose
    coefficients are the eigenvalues of S^1/2 A S^1/2. They are not needed: their transform is

        phi(s)^-2 = prod_i (1 + 2 s a_i S_i) |X'D (I + 2 s D S)^-1 X| / |X'DX|,

    which takes time and memory linear in K.

    `weights`, `v`, `counts`, shape (K,): weights above 0, sampling variances and counts; rows with a count of
        0 left out.
    `basis`, shape (K, P): orthonormal columns of the weighted design (X'DX = I after its weights are
        applied).
    `value`: the observed statistic.

    References
    ----------
    Jackson, D. (2013). Confidence intervals for the between-study variance in random effects meta-analysis
    using generalised Cochran heterogeneity statistics. Research Synthesis Methods 4, 220-229.
    https://doi.org/10.1002/jrsm.1081
    """

    def __init__(self, weights: Array, v: Array, counts: Array, basis: Array, value: float) -> None:
        self.a, self.v, self.n = weights, v, counts
        self.basis, self.value = basis, value

    def moment_estimate(self) -> float:
        """Return the tau2 under which the observed statistic is the expected one; may be negative."""
        share = self.a * (self.n - np.vecdot(self.basis, self.basis))
        return float((self.value - share @ self.v) / share.sum())

    def below(self, tau2: float) -> tuple[float, float]:
        """Return P(Q <= observed) if the between-study variance is `tau2`, and its derivative there."""
        size = self.a * (self.v + tau2)
        top = float(size.max())
        lam, share = size / top, self.a / top
        x = self.value / top
        rows = max(1, CHUNK_ELEMENTS // (8 * lam.size * self.basis.shape[1] ** 2))

        def transform(s: Complex) -> Complex:
            parts = [self._transform(s[i : i + rows], lam, share) for i in range(0, s.size, rows)]
            return np.concatenate(parts, axis=-1)

        below, slope = integrate(transform, x, right_path(x, lam, self.n))
        return float(below), float(slope)

    def _transform(self, s: Complex, lam: Array, share: Array) -> Complex:
        """Return log phi(s) and its derivative with respect to tau2, shape (2, N)."""
        twice = 2 * s[:, None]
        inverse = 1 / (1 + twice * lam)
        moved = twice * share * inverse
        out = np.empty((2, s.size), dtype=complex)
        log_product = -(self.n * np.log(inverse)).sum(axis=-1)
        if self.basis.shape[1] == 1:
            leverage = self.basis[:, 0] ** 2
            inner = inverse @ leverage
            out[0] = log_product + np.log(inner)
            out[1] = moved @ self.n - (moved * inverse) @ leverage / inner
        else:
            pairs = self.basis[:, :, None] * self.basis[:, None, :]
            inner = np.tensordot(inverse, pairs, axes=(1, 0))
            change = np.tensordot(moved * inverse, pairs, axes=(1, 0))
            # each eigenvalue is a mean of values of `inverse`, so its principal logarithm is the right one
            out[0] = log_product + np.log(np.linalg.eigvals(inner)).sum(axis=-1)
            out[1] = moved @ self.n - np.trace(np.linalg.solve(inner, change), axis1=-2, axis2=-1)
        return np.asarray(-0.5 * out)


@dataclass(frozen=True, slots=True)
class Path:
    """A parabola in the complex plane."""

    saddle: float  # where it crosses the real axis; not 0
    curvature: float  # its bend to the left, at least 0
    width: float  # distance along the path over which the integrand falls noticeably


def integrate(transform: Transform, x: float, path: Path) -> Array:
    """Return the integral of exp(s x) phi(s) / s over the path, divided by 2 pi i, and those with factors.

    `transform`: takes s, shape (N,), and returns an array of shape (1 + M, N): log phi(s), then factors by
        which the integrand is multiplied for the further integrals.
    `x`: where the distribution function is wanted.
    Returned, shape (1 + M,): the integrals, with the sign that makes the first one a probability.
    Raises ArithmeticError if no path converges, which no finite coefficients are known to cause.
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
