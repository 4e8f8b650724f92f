"""Parts of formulas that are found numerically: the tetrachoric correlation, variances given the predictors.

All functions take arrays of one shape, one entry per study.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri, owens_t

from metaexo.numeric.quadrature import gauss_legendre
from metaexo.types import Array

BISECTIONS = 60
POINTS = 400
REACH = 12.0
LARGEST_N = 1e12


def tetrachoric_correlation(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> Array:
    """Return the maximum-likelihood tetrachoric correlation.

    With the cuts h and k at the normal quantiles of the margins, it is the r at which the bivariate normal
    probability below both cuts is the share of the first cell, Phi2(h, k; r) = x1 / N. This is the maximum of
    the likelihood, because the table has as many free cells as there are parameters.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    ndarray
        Correlations; -1 or 1 where one cell is zero, NaN where a whole row or column is.

    References
    ----------
    Pearson (1900), Philosophical Transactions of the Royal Society A 195, 1-47, doi:10.1098/rsta.1900.0022.
    Kirk (1973), Psychometrika 38, 259-268, doi:10.1007/BF02291118.

    Examples
    --------
    >>> tetrachoric_correlation(*np.array([[30.0], [50.0], [20.0], [50.0]])).round(4)
    array([0.309])
    """
    x1, n1, x2, n2 = (
        np.asarray(x, dtype=float) for x in (treatment_events, treatment_n, control_events, control_n)
    )
    total = n1 + n2
    share, h, k = x1 / total, ndtri(n1 / total), ndtri((x1 + x2) / total)
    low, high = np.full(share.shape, -1.0), np.full(share.shape, 1.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = bivariate_normal_cdf(h, k, middle) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    negative, positive = (x1 == 0) | (x2 == n2), (x2 == 0) | (x1 == n1)
    r = np.where(negative, -1.0, np.where(positive, 1.0, (low + high) / 2))
    return np.where((negative & positive) | ~np.isfinite(h + k) | ~np.isfinite(share), np.nan, r)


def bivariate_normal_cdf(h: Array, k: Array, r: Array) -> Array:
    """Return the probability that two standard normal variables with correlation r lie below h and k.

    By Owen's T function.

    Parameters
    ----------
    h, k : ndarray
        Upper limits.
    r : ndarray
        Correlations, between -1 and 1.

    Returns
    -------
    ndarray
        Probabilities.

    References
    ----------
    Owen (1956), Annals of Mathematical Statistics 27, 1075-1090, doi:10.1214/aoms/1177728074.

    Examples
    --------
    >>> bivariate_normal_cdf(np.array([0.0]), np.array([0.0]), np.array([0.5])).round(6)
    array([0.333333])
    """
    # Owen's formula divides by h and k; the nudge is far below the accuracy of the result
    h, k = (np.where(np.abs(x) < 1e-300, 1e-300, x) for x in (h, k))
    root = np.sqrt(1 - r**2)
    t_h, t_k = owens_t(h, (k - r * h) / (h * root)), owens_t(k, (h - r * k) / (k * root))
    opposite = np.where((h * k < 0) | ((h * k == 0) & (h + k < 0)), 0.5, 0.0)
    return np.asarray((ndtr(h) + ndtr(k)) / 2 - t_h - t_k - opposite)


def variance_given_predictors(
    r_squared: Array, n: Array, predictors: Array, *, fisher_z: bool = False
) -> Array:
    """Return the variance of the true share of variance q of a regression with fixed predictors, given R2.

    Every q is taken as equally likely beforehand; F is noncentral with noncentrality n q / (1 - q).

    Parameters
    ----------
    r_squared, n, predictors : ndarray
        R2, sample sizes, numbers of predictors.
    fisher_z : bool
        Whether the variance of atanh(sqrt(q)) is wanted.

    Returns
    -------
    ndarray
        Variances.

    References
    ----------
    Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155 (the case of
    random predictors, to which this is the counterpart).

    Examples
    --------
    >>> given = np.array([[0.5], [100.0], [3.0]])
    >>> variance_given_predictors(*given).round(4), variance_given_predictors(*given, fisher_z=True).round(4)
    (array([0.004]), array([0.0078]))
    """
    from scipy.stats import ncf

    r2, size, p = (np.asarray(x, dtype=float)[..., None] for x in (r_squared, n, predictors))
    possible = (r2 >= 0) & (r2 < 1) & (p >= 1) & (size - p - 1 >= 1) & (size < LARGEST_N)
    r2, size, p = (np.where(possible, x, np.nan) for x in (r2, size, p))
    centre, reach = np.arctanh(np.sqrt(r2)), REACH / np.sqrt(size)
    low, high = np.maximum(centre - reach, 0.0), centre + reach
    nodes, weights = gauss_legendre(POINTS)
    z = (low + high) / 2 + (high - low) / 2 * nodes
    share = np.tanh(z) ** 2
    df = size - p - 1
    density = ncf.pdf(r2 / p / ((1 - r2) / df), p, df, size * np.sinh(z) ** 2)
    # d share / d z = 2 tanh(z) / cosh(z)^2
    weight = weights * density * np.tanh(z) / np.cosh(z) ** 2
    weight = weight / weight.sum(axis=-1, keepdims=True)
    values = np.arctanh(np.sqrt(share)) if fisher_z else share
    mean = (weight * values).sum(axis=-1, keepdims=True)
    return np.asarray((weight * (values - mean) ** 2).sum(axis=-1))
