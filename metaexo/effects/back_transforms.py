"""Ways back from the double arcsine and Freeman-Tukey scales, which need a sample size or a person-time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def double_arcsine(proportion: ArrayLike, n: ArrayLike) -> Array:
    """Return the Freeman-Tukey double arcsine of a proportion.

    Parameters
    ----------
    proportion, n : array_like
        Proportions and sample sizes.

    Returns
    -------
    ndarray
        Half the sum of the two arcsines, in radians.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> double_arcsine(0.1, 50).round(4)
    np.float64(0.3343)
    """
    p, size = np.asarray(proportion, dtype=float), np.asarray(n, dtype=float)
    x = p * size
    low, high = np.arcsin(np.sqrt(x / (size + 1))), np.arcsin(np.sqrt((x + 1) / (size + 1)))
    return np.asarray((low + high) / 2)


def inverse_double_arcsine(y: ArrayLike, n: ArrayLike) -> Array:
    """Return the proportion whose double arcsine is y, for a sample size n.

    Use it for a pooled value and the ends of its interval, with one n for all of them: mostly the harmonic
    mean of the studies' sizes (:func:`harmonic_mean`). With t = 2 y and s = sin(t) + (sin(t) - 1/sin(t))/n,

        p = (1 - sign(cos t) sqrt(1 - s^2)) / 2

    Parameters
    ----------
    y : array_like
        Values on the double arcsine scale (half sums).
    n : array_like
        Sample sizes; need not be whole.

    Returns
    -------
    ndarray
        Proportions; 0 and 1 where y lies beyond the values of no and all events.

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

    Examples
    --------
    >>> inverse_double_arcsine(double_arcsine(0.1, 50), 50).round(6)
    np.float64(0.1)
    """
    z, size = np.asarray(y, dtype=float), np.asarray(n, dtype=float)
    sine = np.sin(2 * z)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = sine + (sine - 1 / sine) / size
        p = (1 - np.sign(np.cos(2 * z)) * np.sqrt(np.maximum(1 - inner**2, 0.0))) / 2
    p = np.where(z <= double_arcsine(0.0, size), 0.0, p)
    return np.asarray(np.where(z >= double_arcsine(1.0, size), 1.0, p))


def freeman_tukey_of_rate(rate: ArrayLike, time: ArrayLike) -> Array:
    """Return the Freeman-Tukey transform of a rate: (sqrt(r) + sqrt(r + 1 / t)) / 2.

    Parameters
    ----------
    rate, time : array_like
        Rates and person-times.

    Returns
    -------
    ndarray
        Transformed rates.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> float(freeman_tukey_of_rate(0.0, 100))
    0.05
    """
    r, t = np.asarray(rate, dtype=float), np.asarray(time, dtype=float)
    return np.asarray((np.sqrt(r) + np.sqrt(r + 1 / t)) / 2)


def inverse_freeman_tukey_rate(y: ArrayLike, time: ArrayLike) -> Array:
    """Return the rate whose Freeman-Tukey transform is y, for a person-time t: ((4 y^2 - 1/t) / (4 y))^2.

    Parameters
    ----------
    y, time : array_like
        Transformed rates and person-times (for a pooled value mostly the harmonic mean of the studies').

    Returns
    -------
    ndarray
        Rates; 0 where y lies below the value of no events.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> inverse_freeman_tukey_rate(freeman_tukey_of_rate(0.2, 100), 100).round(6)
    np.float64(0.2)
    """
    z, t = np.asarray(y, dtype=float), np.asarray(time, dtype=float)
    least = freeman_tukey_of_rate(0.0, t)
    inside = np.maximum(z, least)
    return np.where(z <= least, 0.0, ((4 * inside**2 - 1 / t) / (4 * inside)) ** 2)


def harmonic_mean(sizes: ArrayLike) -> float:
    """Return the harmonic mean of sample sizes or person-times: k over the sum of their inverses.

    Parameters
    ----------
    sizes : array_like
        Values above zero.

    Returns
    -------
    float
        The harmonic mean.

    References
    ----------
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

    Examples
    --------
    >>> round(harmonic_mean([10, 40]), 6)
    16.0
    """
    values = np.asarray(sizes, dtype=float)
    return float(values.size / np.sum(1 / values))
