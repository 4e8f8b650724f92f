"""Small-sample factors and averages over studies that several measures share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, hyp2f1

from metaexo.effects.papers import HEDGES_1981, rests_on
from metaexo.types import Array

LARGE_DF = 100.0
SMALLEST_N_OF_A_CORRELATION = 4
LARGE_C = 25.0
SERIES_TERMS = 120


@rests_on(HEDGES_1981)
def hedges_factor(df: ArrayLike) -> Array:
    """Return the factor that removes the small-sample bias of a standardised mean difference.

    Use it on any mean or mean difference divided by an estimated standard deviation with `df` degrees
    of freedom, whole or not. The exact factor, NaN where `df` is at most 1, is

        J(m) = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2)).

    Examples
    --------
    >>> hedges_factor([8, 98]).round(4)
    array([0.9027, 0.9923])
    """
    m = np.asarray(df, dtype=float)
    usable = np.where(m > 1, m, np.nan)
    x = (usable - 1) / 2
    small = gammaln(x + 0.5) - gammaln(x) - 0.5 * np.log(usable / 2)
    # the difference of two large log-gammas loses digits; its asymptotic series does not
    inverse = 1 / x
    series = (0.5 * np.log1p(-1 / usable)) - inverse / 8 * (
        1 - inverse**2 / 24 * (1 - inverse**2 * 3 / 10 * (1 - inverse**2 * 85 / 112))
    )
    return np.asarray(np.exp(np.where(usable > LARGE_DF, series, small)))


def unbiased_correlation(correlation: ArrayLike, n: ArrayLike) -> Array:
    """Return the unbiased estimate of a correlation of normal variables.

    u = r F(1/2, 1/2; (n - 2) / 2; 1 - r^2), F the hypergeometric function; NaN where n is 4 or less.

    References
    ----------
    Olkin & Pratt (1958), Annals of Mathematical Statistics 29, 201-211, doi:10.1214/aoms/1177706717.

    Examples
    --------
    >>> unbiased_correlation([0.5, 0.5], [20, 4]).round(4)
    array([0.5115,    nan])
    """
    r, size = np.asarray(correlation, dtype=float), np.asarray(n, dtype=float)
    c = np.where(size > SMALLEST_N_OF_A_CORRELATION, (size - 2) / 2, np.nan)
    return np.asarray(r * hypergeometric(0.5, c, 1 - r**2))


def hypergeometric(a: float, c: ArrayLike, z: ArrayLike) -> Array:
    """Return the hypergeometric function F(a, a; c; z) for z from 0 to 1.

    For large c, where the library function may fail, the series is summed directly: all its terms are
    positive and shrink fast. c lies above 2 a - 1 where z is 1; where it is NaN, so is the value.

    References
    ----------
    NIST Digital Library of Mathematical Functions, 15.2.1.

    Examples
    --------
    >>> hypergeometric(1.0, [3.0, 300.0], [1.0, 1.0]).round(6)
    array([2.      , 1.003356])
    """
    third, x = np.broadcast_arrays(np.asarray(c, dtype=float), np.asarray(z, dtype=float))
    total, term = np.ones(third.shape), np.ones(third.shape)
    for k in range(SERIES_TERMS):
        term = term * (a + k) ** 2 / ((third + k) * (k + 1)) * x
        total = total + term
    small = np.where(third > LARGE_C, LARGE_C, third)
    return np.asarray(np.where(third > LARGE_C, total, hyp2f1(a, a, small, x)))


def average_over_rows(values: Array, weights: Array) -> float:
    """Return the weighted average over the rows that have both a value and a weight.

    The variance types "AV" put this average, over all studies, in place of each study's own estimate. The
    weights are mostly sample sizes. NaN if no row has both.

    Examples
    --------
    >>> float(average_over_rows(np.array([1.0, 3.0, np.nan]), np.array([1.0, 3.0, 5.0])))
    2.5
    """
    there = np.isfinite(values) & np.isfinite(weights)
    total = weights[there].sum()
    # a number of NumPy: its powers become infinite where those of a float are refused
    return np.float64((values[there] * weights[there]).sum() / total if total else np.nan)
