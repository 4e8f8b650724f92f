"""The log-likelihood of each row as a function of its mean, with its derivatives.

For an exact row it is the normal density of y with variance s^2 = tau2 + v, for a censored one

    log P = log [ Phi((upper - eta) / s) - Phi((lower - eta) / s) ],

taken from the nearer tail, so that it keeps its digits wherever the interval lies. Derivatives with respect
to eta are those of the truncated normal distribution: with R_n = P^(n) / P they are its cumulants. Both
densities solve the heat equation, dP/dtau2 = 1/2 d2P/deta2, so derivatives with respect to tau2 follow from
those with respect to eta, and nothing else has to be differentiated.

References
----------
Tobin, J. (1958). Estimation of relationships for limited dependent variables. Econometrica 26, 24-36.
https://doi.org/10.2307/1907382
Pratt, J. W. (1981). Concavity of the log likelihood. Journal of the American Statistical Association 76,
103-106. https://doi.org/10.1080/01621459.1981.10477613
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from metaexo.numeric.censored_rows import CensoredBatch
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array

# An interval shorter than this, in standard deviations, is a density times its length.
NARROW = 1e-5


@dataclass(frozen=True, slots=True)
class Terms:
    """Log-likelihoods of the rows of N problems, with derivatives with respect to eta.

    Attributes
    ----------
    value, first, second, third, fourth : ndarray, shape (N, K)
        Logarithm of the density or probability, and its derivatives; third and fourth are 0 where they were
        not asked for.
    """

    value: Array
    first: Array
    second: Array
    third: Array
    fourth: Array

    @property
    def by_tau2(self) -> Array:
        """Derivative with respect to tau2, shape (N, K)."""
        return 0.5 * (self.second + self.first**2)

    @property
    def first_by_tau2(self) -> Array:
        """Derivative of `first` with respect to tau2, shape (N, K)."""
        return 0.5 * (self.third + 2 * self.first * self.second)

    @property
    def second_by_tau2(self) -> Array:
        """Derivative of `second` with respect to tau2, shape (N, K)."""
        return 0.5 * (self.fourth + 2 * self.second**2 + 2 * self.first * self.third)

    @property
    def by_tau2_twice(self) -> Array:
        """Second derivative with respect to tau2, shape (N, K)."""
        return 0.5 * (self.second_by_tau2 + 2 * self.first * self.first_by_tau2)


def row_terms(batch: CensoredBatch, eta: Array, tau2: Array, complete: bool = True) -> Terms:
    """Return the terms at means eta, shape (B, K), and tau2, shape (B,).

    Parameters
    ----------
    complete : bool
        Whether third and fourth derivatives are wanted.
    """
    variance = batch.v + tau2[:, None]
    away = batch.y - eta
    found = [
        -0.5 * (LOG_2PI + np.log(variance) + away * away / variance),
        away / variance,
        -1.0 / variance,
        np.zeros_like(eta),
        np.zeros_like(eta),
    ]
    at = np.nonzero(batch.censored)
    if at[0].size:
        mean = eta[at][:, None]
        pieces = interval_terms(
            batch.lower[at] - mean,
            batch.upper[at] - mean,
            batch.piece_v[at] + tau2[at[0]][:, None],
            batch.log_weight[at],
            complete,
        )
        for array, piece in zip(found, pieces, strict=True):
            array[at] = piece
    return Terms(*found)


def interval_terms(
    lower: Array, upper: Array, variance: Array, log_weight: Array, complete: bool = True
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the log-probability of mixtures of intervals and its four derivatives, shape (C,) each.

    Parameters
    ----------
    lower, upper : ndarray, shape (C, M)
        Ends, as seen from the mean.
    variance : ndarray, shape (C, M)
        Variances.
    log_weight : ndarray, shape (C, M)
        Logarithms of the weights of the M intervals.
    complete : bool
        Whether third and fourth derivatives are wanted; they are 0 otherwise.
    """
    s = np.sqrt(variance)
    value, ratios = _interval_ratios(lower / s, upper / s, (upper - lower) / s, 4 if complete else 2)
    ratios = [ratio / s**order for order, ratio in enumerate(ratios, start=1)]
    if value.shape[-1] == 1:
        value, ratios = (value + log_weight)[..., 0], [ratio[..., 0] for ratio in ratios]
    else:
        joint = value + log_weight
        top = joint.max(axis=-1, keepdims=True)
        share = np.exp(joint - top)
        total = share.sum(axis=-1, keepdims=True)
        value = (top + np.log(total))[..., 0]
        ratios = [np.vecdot(share / total, ratio) for ratio in ratios]
    return _cumulants(value, ratios)


def log_interval(a: Array, b: Array) -> Array:
    """Return log [Phi(b) - Phi(a)] for a <= b, from the nearer tail."""
    with np.errstate(invalid="ignore"):
        turned = a + b > 0
    low, high = np.where(turned, -b, a), np.where(turned, -a, b)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    with np.errstate(divide="ignore"):
        return np.asarray(log_high + np.log1p(-np.exp(log_low - log_high)))


def _interval_ratios(a: Array, b: Array, width: Array, orders: int) -> tuple[Array, list[Array]]:
    """Return log P and P^(n) / P of standardised intervals, derivatives with respect to the mean."""
    narrow = width < NARROW
    value = log_interval(a, b)
    if narrow.any():
        middle = np.where(narrow, 0.5 * (a + b), 0.0)
        with np.errstate(divide="ignore"):
            dense = np.log(width) - 0.5 * (LOG_2PI + middle**2)
        value = np.where(narrow, dense, value)
    at_a, at_b = (_density_over(end, value) for end in (a, b))
    a, b = (np.where(np.isfinite(end), end, 0.0) for end in (a, b))
    ratios = [at_a - at_b, a * at_a - b * at_b]
    if orders > 2:
        ratios.append((a**2 - 1) * at_a - (b**2 - 1) * at_b)
        ratios.append((a**3 - 3 * a) * at_a - (b**3 - 3 * b) * at_b)
    if narrow.any():
        m = middle
        dense_ratios = [m, m**2 - 1, m**3 - 3 * m, m**4 - 6 * m**2 + 3]
        ratios = [np.where(narrow, d, r) for d, r in zip(dense_ratios, ratios, strict=False)]
    return value, ratios


def _density_over(end: Array, log_p: Array) -> Array:
    """Return phi(end) / P; 0 at infinite ends."""
    finite = np.isfinite(end)
    exponent = -0.5 * np.where(finite, end, 0.0) ** 2 - 0.5 * LOG_2PI - log_p
    return np.where(finite, np.exp(np.minimum(exponent, math.log(np.finfo(float).max))), 0.0)


def _cumulants(value: Array, ratios: list[Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Return log P and its derivatives from the ratios P^(n) / P."""
    r1, r2 = ratios[:2]
    second = np.minimum(r2 - r1**2, 0.0)  # the exact value is never above 0
    if len(ratios) == 2:
        nothing = np.zeros_like(value)
        return value, r1, second, nothing, nothing
    r3, r4 = ratios[2:]
    third = r3 - 3 * r2 * r1 + 2 * r1**3
    fourth = r4 - 4 * r3 * r1 - 3 * r2**2 + 12 * r2 * r1**2 - 6 * r1**4
    return value, r1, second, third, fourth
