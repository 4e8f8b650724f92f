r"""Between-study variances of strata that borrow from each other (empirical Bayes).

Few studies say little about the between-study variance of their own stratum. Taking one variance for all
strata assumes too much, taking each by itself demands too much of few studies. Between the two is the model

.. math:: \log \tau_s^2 \sim N(\log c, \omega^2), \qquad y_{si} \sim N(\mu_s, \tau_s^2 + v_{si}),

a location-scale model with a random effect of the stratum on the scale. With omega = 0 all strata share one
variance; with omega large each has its own. Both c and omega are estimated from the marginal likelihood, in
which the means are taken out by the restricted likelihood and each log variance is integrated out on a grid;
a stratum's variance is the median of what its studies and the other strata leave possible. As for variances
of genes, from which the idea is taken, strata with few studies move most.

References
----------
Hedeker, D., Mermelstein, R. J., Demirtas, H. (2008). An application of a mixed-effects location scale model
for analysis of ecological momentary assessment (EMA) data. Biometrics 64, 627-634.
https://doi.org/10.1111/j.1541-0420.2007.00924.x
Smyth, G. K. (2004). Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments. Statistical Applications in Genetics and Molecular Biology 3(1), 3.
https://doi.org/10.2202/1544-6115.1027
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.errors import ConvergenceError
from metaexo.formatting import printed
from metaexo.immutable import Immutable
from metaexo.numeric.likelihood import log_likelihood, upper_bound
from metaexo.numeric.likelihood_maximum import maximum_likelihood, restricted_maximum_likelihood
from metaexo.numeric.problem import CHUNK_ELEMENTS, Batch
from metaexo.readable import shows_itself
from metaexo.types import Array

# Step of the grid of log tau2; it adds a twelfth of its square to omega^2, 1% at the smallest omega.
STEP = 0.02
SMALLEST_OMEGA, LARGEST_OMEGA = 0.05, 8.0
# Below this share of the smallest sampling variance a between-study variance changes no likelihood.
NEGLIGIBLE = 1e-6
HIGHEST = 1e4
LARGEST_SLOPE = 1e-4
DIFFERENCE = 1e-4
NO_GAIN = 1e-9


@shows_itself
@dataclass(frozen=True, eq=False)
class Smoothing(Immutable):
    """Between-study variances of strata that borrow from each other.

    Attributes
    ----------
    names : tuple of str
        The strata.
    own : ndarray, shape (S,)
        Each by itself.
    common : float
        One for all.
    centre : float
        Median of the distribution of tau2 over strata; 0 if no stratum shows any.
    omega : float
        SD of log tau2 between strata; 0 if they differ no more than chance lets them.
    tau2, low, high : ndarray, shape (S,)
        Smoothed variances (medians) and the ends of their intervals, for given `centre` and `omega`.
    gain : float
        Log-likelihood above that of one variance for all.
    slope : float
        Largest derivative of the log-likelihood at the estimates; 0 where omega is 0.
    level : float
        Level of the intervals.
    """

    names: tuple[str, ...]
    own: Array
    common: float
    centre: float
    omega: float
    tau2: Array
    low: Array
    high: Array
    gain: float
    slope: float
    level: float

    @printed
    def __str__(self) -> str:
        if self.omega == 0:
            return (
                f"smoothed: the variances differ no more than chance lets them, so all are tau2 = "
                f"{self.common:.4g}"
            )
        return (
            f"smoothed: log tau2 varies between strata with an SD of {self.omega:.2g} around log "
            f"{self.centre:.4g}"
        )


def smooth(
    names: Sequence[str], batches: Sequence[Batch], common: float, restricted: bool, level: float
) -> Smoothing:
    """Return smoothed between-study variances of two or more strata, given the one that is common to all."""
    grid = _grid(batches, restricted)
    marginal = Marginal(grid, np.array([_profile(batch, grid, restricted) for batch in batches]))
    kernel = restricted_maximum_likelihood if restricted else maximum_likelihood
    own = np.array([float(kernel(batch).tau2[0]) for batch in batches])
    shared = np.array([common])
    height = float(sum(log_likelihood(batch, shared, restricted)[0] for batch in batches))
    centre, log_omega, value, slope = marginal.maximum()
    omega = math.exp(log_omega)
    if value <= height + NO_GAIN or omega <= SMALLEST_OMEGA * (1 + NO_GAIN):
        same = np.full(len(own), common)
        return Smoothing(tuple(names), own, common, common, 0.0, same, same, same, 0.0, 0.0, level)
    shares = (0.5, (1 - level) / 2, (1 + level) / 2)
    middle, low, high = (marginal.quantile(centre, omega, share) for share in shares)
    gain, at = value - height, math.exp(centre)
    return Smoothing(tuple(names), own, common, at, omega, middle, low, high, gain, slope, level)


class Marginal:
    """The likelihood of centre and omega, the variances of the strata integrated out.

    The grid, shape (G,), has evenly spaced values of log tau2; `logs`, shape (S, G + 1), the log-likelihoods
    of each stratum at tau2 = 0 and on the grid.
    """

    def __init__(self, grid: Array, logs: Array) -> None:
        self.ends = np.append(grid[0] - 0.5 * STEP, grid + 0.5 * STEP)
        self.top = logs.max(axis=1)
        self.likelihood = np.exp(logs - self.top[:, None])

    def _prior(self, centre: Array, omega: Array) -> Array:
        """Return the masses of tau2 = 0 and of the cells of the grid, shape (..., G + 1).

        What lies below the grid is given to 0, what lies above it to its last cell.
        """
        from scipy.special import ndtr

        centre, omega = np.asarray(centre)[..., None], np.asarray(omega)[..., None]
        below = ndtr((self.ends - centre) / omega)
        below[..., -1] = 1.0
        return np.asarray(np.diff(below, prepend=0.0, axis=-1))

    def value(self, centre: Array, omega: Array) -> Array:
        """Return the log-likelihood, of the shape of `centre`."""
        inside = self._prior(centre, omega) @ self.likelihood.T
        with np.errstate(divide="ignore"):
            return np.asarray((np.log(inside) + self.top).sum(axis=-1))

    def maximum(self) -> tuple[float, float, float, float]:
        """Return centre, log omega, log-likelihood and largest slope where the likelihood is highest."""
        from scipy.optimize import minimize

        limits = (self.ends[0], self.ends[-1]), (math.log(SMALLEST_OMEGA), math.log(LARGEST_OMEGA))
        centres, log_omegas = np.linspace(*limits[0], 60), np.linspace(*limits[1], 16)
        values = np.array([self.value(centres, np.full(centres.size, omega)) for omega in np.exp(log_omegas)])
        i, j = np.unravel_index(int(values.argmax()), values.shape)
        start = np.array([centres[j], log_omegas[i]])
        inward = np.where(start > np.mean(limits, axis=1), -0.5, 0.5)
        found = minimize(
            lambda at: -float(self.value(at[0], np.exp(at[1]))),
            start,
            bounds=limits,
            method="Nelder-Mead",
            options={
                "xatol": 1e-8,
                "fatol": 1e-13,
                "maxiter": 2000,
                "initial_simplex": [start, start + inward * [1, 0], start + inward * [0, 1]],
            },
        )
        slope = self._slope(np.array(found.x), np.array(limits))
        if slope > LARGEST_SLOPE:
            raise ConvergenceError(
                f"the search for smoothed variances ended on a slope of {slope:.1e}",
                "a point where the likelihood is flat",
                'use tau2="separate" or tau2="common"',
            )
        return float(found.x[0]), float(found.x[1]), -float(found.fun), slope

    def _slope(self, at: Array, limits: Array) -> float:
        """Return the largest derivative at a point; one that points over a limit does not count."""
        largest = 0.0
        for j, (low, high) in enumerate(limits):
            step = np.zeros(2)
            step[j] = DIFFERENCE
            ends = np.array([at - step, at + step])
            before, after = self.value(ends[:, 0], np.exp(ends[:, 1]))
            slope = (after - before) / (2 * DIFFERENCE)
            outward = (at[j] <= low + DIFFERENCE and slope < 0) or (at[j] >= high - DIFFERENCE and slope > 0)
            largest = max(largest, 0.0 if outward else abs(slope))
        return largest

    def quantile(self, centre: float, omega: float, share: float) -> Array:
        """Return a quantile of tau2 of each stratum, given centre and omega, shape (S,)."""
        mass = self.likelihood * self._prior(np.array(centre), np.array(omega))
        total = np.cumsum(mass, axis=1) / mass.sum(axis=1, keepdims=True)
        out = np.zeros(len(total))
        for i, row in enumerate(total):
            out[i] = 0.0 if share <= row[0] else math.exp(np.interp(share, row, self.ends))
        return out


def _grid(batches: Sequence[Batch], restricted: bool) -> Array:
    """Return values of log tau2 from where it changes nothing to where it is out of the question."""
    smallest = min(float(batch.variance_range()[0][0]) / batch.y.shape[-1] for batch in batches)
    largest = max(float(upper_bound(batch, restricted)[0]) for batch in batches)
    low = math.log(NEGLIGIBLE * smallest)
    high = math.log(max(largest, smallest) * HIGHEST)
    return np.asarray(low + STEP * np.arange(int((high - low) / STEP) + 2), dtype=float)


def _profile(batch: Batch, grid: Array, restricted: bool) -> Array:
    """Return the log-likelihoods of one stratum at tau2 = 0 and on the grid, shape (G + 1,)."""
    values = np.concatenate([[0.0], np.exp(grid)])
    rows = max(1, CHUNK_ELEMENTS // batch.y.shape[-1])
    parts = []
    for begin in range(0, values.size, rows):
        part = values[begin : begin + rows]
        parts.append(log_likelihood(batch.take(np.zeros(part.size, dtype=np.intp)), part, restricted))
    return np.concatenate(parts)
