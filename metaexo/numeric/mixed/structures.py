"""Covariance structures of random effects: the matrix G of one outer level as a function of parameters.

Variances are parameters themselves, so that zero is a bound that can be reached; where variances differ and
correlate, their roots are. Correlations are a function of one parameter. An unstructured matrix of more than
two dimensions is the product of a triangular factor with its transpose: positive semidefinite whatever its
entries, singular where they are zero.

References
----------
Pinheiro, J. C., Bates, D. M. (1996). Unconstrained parametrizations for variance-covariance matrices.
Statistics and Computing 6, 289-296. https://doi.org/10.1007/BF00140873
Pinheiro, J. C., Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer, chapter 5.
https://doi.org/10.1007/b98882
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.types import Array

Pair = Callable[[float], tuple[Array, Array]]
# Points of the grid of a correlation, and of the grid of a range between two distances.
CORRELATIONS = 25
BETWEEN = 2
# More distinct distances than this are represented by as many quantiles.
MANY_DISTANCES = 120


@dataclass(frozen=True, slots=True)
class Component:
    """A variance or correlation as readers know it."""

    kind: str  # what it is
    inner: tuple[int, ...]  # positions of the inner levels it belongs to; empty if it belongs to all


class Structure(ABC):
    """How G, shape (s, s), depends on its parameters."""

    size: int  # s
    linear: ClassVar[bool] = False  # whether G is linear in its parameters, which are all variances

    @property
    @abstractmethod
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the parameters, each of shape (n,)."""

    @abstractmethod
    def matrix(self, theta: Array) -> Array:
        """Return G, shape (s, s)."""

    @abstractmethod
    def derivatives(self, theta: Array) -> Array:
        """Return dG / dtheta, shape (n, s, s)."""

    @abstractmethod
    def start(self, variance: Array, correlation: float) -> Array:
        """Return parameters with about these variances, shape (s,), and about this correlation."""

    @abstractmethod
    def scale(self, variance: Array) -> Array:
        """Return the typical size of each parameter where the variances are of the given size."""

    @abstractmethod
    def components(self) -> tuple[Component, ...]:
        """Return the components that are reported, in order."""

    @abstractmethod
    def values(self, theta: Array) -> Array:
        """Return the values of the components."""

    def parameter(self, component: int, value: float) -> tuple[int, float]:
        """Return position and value of the parameter that sets a component to a value; mostly its own."""
        return component, value

    @property
    def count(self) -> int:
        """Number of parameters."""
        return int(self.bounds[0].size)

    def bend(self, score: Array) -> Array | None:
        """Return what the second derivatives of G add to the information, -tr(S d2G) / 2; None where 0.

        `score`, shape (s, s): S of the term: what the gradient is on the scale of G.
        """
        return None


@dataclass(frozen=True)
class Diagonal(Structure):
    """Uncorrelated effects: one variance for all inner levels, or one for each."""

    size: int  # s
    common: bool  # whether all inner levels share one variance
    linear: ClassVar[bool] = True

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Variances are at least 0."""
        n = 1 if self.common else self.size
        return np.zeros(n), np.full(n, np.inf)

    def matrix(self, theta: Array) -> Array:
        """Return G."""
        return np.diag(np.broadcast_to(theta, self.size))

    def derivatives(self, theta: Array) -> Array:
        """Return dG / dtheta."""
        if self.common:
            return np.eye(self.size)[None]
        out = np.zeros((self.size, self.size, self.size))
        index = np.arange(self.size)
        out[index, index, index] = 1.0
        return out

    def start(self, variance: Array, correlation: float) -> Array:
        """Return parameters with these variances."""
        return np.array([variance.mean()]) if self.common else variance.copy()

    def scale(self, variance: Array) -> Array:
        """Return the variances."""
        return self.start(variance, 0.0)

    def components(self) -> tuple[Component, ...]:
        """Return the variances."""
        if self.common:
            return (Component("variance", ()),)
        return tuple(Component("variance", (i,)) for i in range(self.size))

    def values(self, theta: Array) -> Array:
        """Return the variances."""
        return theta


@dataclass(frozen=True)
class Homogeneous(Structure):
    """One variance, and a correlation that is a function of one parameter: CS, AR, CAR, spatial ones."""

    size: int  # s
    correlation: Correlation  # the correlation matrix

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The variance is at least 0."""
        return np.array([0.0, self.correlation.low]), np.array([np.inf, self.correlation.high])

    def matrix(self, theta: Array) -> Array:
        """Return G."""
        return np.asarray(theta[0] * self.correlation.matrix(theta[1]))

    def derivatives(self, theta: Array) -> Array:
        """Return dG / dtheta."""
        return np.stack([self.correlation.matrix(theta[1]), theta[0] * self.correlation.derivative(theta[1])])

    def start(self, variance: Array, correlation: float) -> Array:
        """Return parameters with about this variance and correlation."""
        return np.array([variance.mean(), self.correlation.start(correlation)])

    def scale(self, variance: Array) -> Array:
        """Return the typical size of the parameters."""
        return np.array([variance.mean(), self.correlation.scale])

    def components(self) -> tuple[Component, ...]:
        """Return variance and correlation."""
        return Component("variance", ()), Component(self.correlation.kind, ())

    def values(self, theta: Array) -> Array:
        """Return variance and correlation; NaN for a correlation of effects that do not vary."""
        return theta if theta[0] > 0 else np.array([theta[0], np.nan])


@dataclass(frozen=True)
class Heterogeneous(Structure):
    """A variance for each inner level, and one correlation parameter: HCS, HAR, and UN of two levels."""

    size: int  # s
    correlation: Correlation  # the correlation matrix

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Standard deviations are at least 0."""
        low = np.append(np.zeros(self.size), self.correlation.low)
        return low, np.append(np.full(self.size, np.inf), self.correlation.high)

    def matrix(self, theta: Array) -> Array:
        """Return G."""
        sd = theta[:-1]
        return np.asarray(np.outer(sd, sd) * self.correlation.matrix(theta[-1]))

    def derivatives(self, theta: Array) -> Array:
        """Return dG / dtheta."""
        sd, c = theta[:-1], self.correlation.matrix(theta[-1])
        out = np.zeros((self.size + 1, self.size, self.size))
        for i in range(self.size):
            out[i, i, :] += c[i] * sd
            out[i, :, i] += c[i] * sd
        out[-1] = np.outer(sd, sd) * self.correlation.derivative(theta[-1])
        return out

    def start(self, variance: Array, correlation: float) -> Array:
        """Return parameters with about these variances and this correlation."""
        return np.append(np.sqrt(variance), self.correlation.start(correlation))

    def scale(self, variance: Array) -> Array:
        """Return the typical size of the parameters."""
        return np.append(np.sqrt(variance), self.correlation.scale)

    def components(self) -> tuple[Component, ...]:
        """Return the variances and the correlation."""
        inner = (0, 1) if self.size == 2 else ()
        return (*(Component("variance", (i,)) for i in range(self.size)), Component("correlation", inner))

    def values(self, theta: Array) -> Array:
        """Return the variances and the correlation; NaN for a correlation of effects that do not vary."""
        several = (theta[:-1] > 0).sum() > 1
        return np.append(theta[:-1] ** 2, theta[-1] if several else np.nan)

    def parameter(self, component: int, value: float) -> tuple[int, float]:
        """Return a standard deviation for a variance, or the correlation itself."""
        return component, float(np.sqrt(value)) if component < self.size else value


@dataclass(frozen=True)
class Unstructured(Structure):
    """Any covariance matrix, as L L', L lower triangular; its first variance or correlation can be held."""

    size: int  # s, at least 2
    # a value at which the correlation of the first two inner levels is held; L[1, 1] then is no parameter
    first_correlation: float | None = None

    @property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = (np.asarray(index, dtype=np.intp) for index in np.tril_indices(self.size))
        if self.first_correlation is None:
            return rows, columns
        kept = ~((rows == 1) & (columns == 0))
        return rows[kept], columns[kept]

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Nothing is bounded but the diagonal, whose sign is arbitrary."""
        rows, columns = self._places
        return np.where(rows == columns, 0.0, -np.inf), np.full(rows.size, np.inf)

    def _factor(self, theta: Array) -> Array:
        root = np.zeros((self.size, self.size))
        root[self._places] = theta
        if self.first_correlation is not None:
            rho, sd = self.first_correlation, root[1, 1]
            root[1, :2] = sd * rho, sd * np.sqrt(max(0.0, 1 - rho**2))
        return root

    def matrix(self, theta: Array) -> Array:
        """Return G."""
        root = self._factor(theta)
        return np.asarray(root @ root.T)

    @cached_property
    def _changes(self) -> Array:
        """Derivatives of the factor, shape (n, s, s); it is linear in the parameters."""
        rows, columns = self._places
        change = np.zeros((rows.size, self.size, self.size))
        change[np.arange(rows.size), rows, columns] = 1.0
        if self.first_correlation is not None:
            rho = self.first_correlation
            at = int(np.flatnonzero((rows == 1) & (columns == 1))[0])
            change[at, 1, :2] = rho, np.sqrt(max(0.0, 1 - rho**2))
        return change

    def derivatives(self, theta: Array) -> Array:
        """Return dG / dtheta."""
        half = self._changes @ self._factor(theta).T
        return np.asarray(half + half.transpose(0, 2, 1))

    def bend(self, score: Array) -> Array:
        """Return -tr(S d2G) / 2 for all pairs of parameters, shape (n, n)."""
        n = len(self._changes)
        return np.asarray(-self._changes.reshape(n, -1) @ (score @ self._changes).reshape(n, -1).T)

    def start(self, variance: Array, correlation: float) -> Array:
        """Return parameters with about these variances and this correlation."""
        rho = max(correlation, -0.9 / max(self.size - 1, 1))
        shape = (1 - rho) * np.eye(self.size) + rho
        root = np.linalg.cholesky(np.outer(np.sqrt(variance), np.sqrt(variance)) * shape)
        if self.first_correlation is not None:
            root[1, 1] = np.sqrt(variance[1])
        return np.asarray(root[self._places])

    def scale(self, variance: Array) -> Array:
        """Return the typical size of the parameters."""
        return np.asarray(np.sqrt(variance)[self._places[0]])

    def components(self) -> tuple[Component, ...]:
        """Return the variances and the correlations of all pairs."""
        rows, columns = np.tril_indices(self.size, -1)
        pairs = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
        return (
            *(Component("variance", (i,)) for i in range(self.size)),
            *(Component("correlation", pair) for pair in pairs),
        )

    def values(self, theta: Array) -> Array:
        """Return the variances and the correlations."""
        g = self.matrix(theta)
        sd = np.sqrt(np.diagonal(g))
        with np.errstate(divide="ignore", invalid="ignore"):
            c = g / np.outer(sd, sd)
        pairs = [part.inner for part in self.components()[self.size :]]
        return np.append(np.diagonal(g), [np.clip(c[pair], -1, 1) for pair in pairs])

    def parameter(self, component: int, value: float) -> tuple[int, float]:
        """Return the first entry of L for the first variance; others must be brought to the front."""
        if component:
            raise ValueError("only the first variance is a parameter of its own")
        return 0, float(np.sqrt(value))


@dataclass(frozen=True)
class Factor(Unstructured):
    """Any covariance matrix, as A A' with A square: the parameters in which a maximum is searched for.

    No entry has a bound. A point where the gradient is zero and the likelihood curves down in every direction
    of A is one where no positive semidefinite matrix nearby is better, singular ones included; that does not
    hold for a triangular factor. A is not unique (A Q with Q orthogonal is the same G).

    `first_variance`: whether the first variance is held: the first row of A then is (a, 0, ..., 0).

    References
    ----------
    Burer, S., Monteiro, R. D. C. (2005). Local minima and convergence in low-rank semidefinite programming.
    Mathematical Programming 103, 427-444. https://doi.org/10.1007/s10107-004-0564-1
    """

    first_variance: bool = False

    @property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        kept = np.ones((self.size, self.size), dtype=bool)
        if self.first_variance or self.first_correlation is not None:
            kept[0, 1:] = False
        if self.first_correlation is not None:
            kept[1, [0, *range(2, self.size)]] = False
        rows, columns = np.nonzero(kept)
        return np.asarray(rows, dtype=np.intp), np.asarray(columns, dtype=np.intp)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Nothing is bounded but the roots of held variances, whose sign is arbitrary."""
        rows, columns = self._places
        low = np.full(rows.size, -np.inf)
        if self.first_variance or self.first_correlation is not None:
            low[(rows == 0) & (columns == 0)] = 0.0
        if self.first_correlation is not None:
            low[(rows == 1) & (columns == 1)] = 0.0
        return low, np.full(rows.size, np.inf)


@dataclass(frozen=True)
class Correlation:
    """A correlation matrix of one parameter."""

    both: Pair  # from the parameter to the matrix, shape (s, s), and its derivative
    # low, high: bounds of the parameter
    low: float
    high: float
    # whether the parameter is a correlation itself, or the distance over which correlation fades
    kind: str = "correlation"
    scale: float = 1.0  # typical size of the parameter
    kinks: tuple[float, ...] = ()  # values at which the derivative jumps
    distances: tuple[float, ...] = ()  # distinct distances above 0, where the parameter is a range

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
