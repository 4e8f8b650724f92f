"""Correlation matrices that depend on one parameter, with their derivatives.

References
----------
Pinheiro, J. C., Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer, chapter 5.
https://doi.org/10.1007/b98882
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from metaexo.types import Array

Pair = Callable[[float], tuple[Array, Array]]
# Points of the grid of a correlation, and of the grid of a range between two distances.
CORRELATIONS = 25
BETWEEN = 2
# More distinct distances than this are represented by as many quantiles.
MANY_DISTANCES = 120


@dataclass(frozen=True)
class Correlation:
    """A correlation matrix of one parameter.

    Attributes
    ----------
    both : callable
        From the parameter to the matrix, shape (s, s), and its derivative.
    low, high : float
        Bounds of the parameter.
    kind : {"correlation", "range"}
        Whether the parameter is a correlation itself, or the distance over which correlation fades.
    scale : float
        Typical size of the parameter.
    kinks : tuple of float
        Values at which the derivative jumps.
    distances : tuple of float
        Distinct distances above 0, where the parameter is a range.
    """

    both: Pair
    low: float
    high: float
    kind: str = "correlation"
    scale: float = 1.0
    kinks: tuple[float, ...] = ()
    distances: tuple[float, ...] = ()

    def matrix(self, rho: float) -> Array:
        """Return the correlation matrix."""
        return self.both(float(rho))[0]

    def derivative(self, rho: float) -> Array:
        """Return the derivative of the correlation matrix."""
        return self.both(float(rho))[1]

    def grid(self) -> Array:
        """Return values that are close enough together for the likelihood to have no maximum unseen.

        For a range: all distances with points between them (quantiles of them, if there are many), a fading
        grid below the smallest and one beyond the largest.
        """
        if self.kind != "range":
            return np.linspace(self.low, self.high, CORRELATIONS)
        apart = np.array(self.distances or (self.scale,))
        if apart.size > MANY_DISTANCES:
            apart = np.unique(np.quantile(apart, np.linspace(0, 1, MANY_DISTANCES)))
        parts = np.linspace(apart[:-1], apart[1:], BETWEEN + 1, endpoint=False)[1:].ravel()
        below, beyond = apart[0] * 0.6 ** np.arange(1, 9), apart[-1] * 1.25 ** np.arange(1, 30)
        return np.unique(np.concatenate([below, apart, parts, beyond]))

    def start(self, correlation: float) -> float:
        """Return a parameter inside the bounds that gives about this correlation."""
        if self.kind == "range":
            return float(self.scale * 4.0 ** (4 * correlation - 2))
        room = min(self.high, 1.0) - self.low
        return float(np.clip(correlation, self.low + 0.05 * room, self.high - 0.05 * room))


def compound(size: int, lowest: float) -> Correlation:
    """Return equal correlations of all pairs; `lowest` is what keeps the matrix positive semidefinite."""
    ones, eye = np.ones((size, size)), np.eye(size)
    return Correlation(partial(_compound, ones, eye), lowest, 1.0)


def power(distance: ArrayLike, negative: bool) -> Correlation:
    """Return correlations rho^d for distances d: autoregressive (d whole, negative allowed) or continuous."""
    return Correlation(
        partial(_power, np.asarray(distance, dtype=float), negative), -1.0 if negative else 0.0, 1.0
    )


def spatial(distance: ArrayLike, form: str) -> Correlation:
    """Return correlations that fade with distance over a range: one of the keys of SPATIAL."""
    d = np.asarray(distance, dtype=float)
    typical = float(np.median(d[d > 0])) if (d > 0).any() else 1.0
    apart = tuple(map(float, np.unique(d[d > 0])))  # a range of 1e6 times the largest is one without end
    return Correlation(
        partial(_spatial, d, form, typical),
        0.0,
        1e6 * max(apart, default=1.0),
        "range",
        typical,
        apart if form == "SPLIN" else (),
        apart,
    )


def _compound(ones: Array, eye: Array, rho: float) -> tuple[Array, Array]:
    return rho * ones + (1 - rho) * eye, ones - eye


def _power(d: Array, negative: bool, rho: float) -> tuple[Array, Array]:
    base = rho if negative else max(rho, 1e-12)
    apart = d > 0
    value, slope = np.ones(d.shape), np.zeros(d.shape)
    value[apart] = np.power(base, d[apart])
    slope[apart] = d[apart] * np.power(base, d[apart] - 1)
    return value, slope


def _spatial(d: Array, form: str, typical: float, rho: float) -> tuple[Array, Array]:
    ratio = d / max(rho, 1e-12 * typical)
    value, slope = SPATIAL[form](ratio)
    return value, slope * (-ratio / max(rho, 1e-12 * typical))


def _exponential(r: Array) -> tuple[Array, Array]:
    return np.exp(-r), -np.exp(-r)


def _gaussian(r: Array) -> tuple[Array, Array]:
    value = np.exp(-(np.minimum(r, 1e100) ** 2))
    return value, -2 * np.minimum(r, 1e100) * value


def _linear(r: Array) -> tuple[Array, Array]:
    near = r < 1
    return np.where(near, 1 - r, 0.0), np.where(near, -1.0, 0.0)


def _rational(r: Array) -> tuple[Array, Array]:
    value = 1 / (1 + np.minimum(r, 1e100) ** 2)
    return value, -2 * np.minimum(r, 1e100) * value**2


def _spherical(r: Array) -> tuple[Array, Array]:
    near = r < 1
    return (
        np.where(near, 1 - 1.5 * r + 0.5 * np.minimum(r, 1) ** 3, 0.0),
        np.where(near, -1.5 + 1.5 * np.minimum(r, 1) ** 2, 0.0),
    )


SPATIAL: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "SPEXP": _exponential,
    "SPGAU": _gaussian,
    "SPLIN": _linear,
    "SPRAT": _rational,
    "SPSPH": _spherical,
}
