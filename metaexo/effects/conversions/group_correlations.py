"""Standardised mean differences as correlations with group membership, and back.

For group sizes that are not known, the limit of large groups of one size is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from metaexo.effects.check import check_correlation, numbers, possible, reads
from metaexo.effects.papers import JACOBS, rests_on
from metaexo.types import Array

EQUAL_GROUPS = 4.0


@rests_on(JACOBS)
@reads
def point_biserial_of_d(
    d: ArrayLike, treatment_n: ArrayLike | None = None, control_n: ArrayLike | None = None
) -> Array:
    """Return the point-biserial correlation of a standardised mean difference.

    r = d / sqrt(d^2 + h), h = m/n1 + m/n2 with m = n1 + n2 - 2; h = 4 if the sizes are not given.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.
    treatment_n, control_n : array_like, optional
        Sizes of the groups.

    Returns
    -------
    ndarray
        Correlations.

    Examples
    --------
    >>> point_biserial_of_d(1.0).round(4)
    np.float64(0.4472)
    """
    values = numbers(d)
    return np.asarray(values / np.sqrt(values**2 + _h(treatment_n, control_n)))


@rests_on(JACOBS)
@reads
def d_of_point_biserial(
    r: ArrayLike, treatment_n: ArrayLike | None = None, control_n: ArrayLike | None = None
) -> Array:
    """Return the standardised mean difference of a point-biserial correlation: sqrt(h) r / sqrt(1 - r^2).

    h as in :func:`point_biserial_of_d`; with the sizes of the groups this is exactly Cohen's d of the two
    groups whose outcome has this correlation with membership.

    Parameters
    ----------
    r : array_like
        Correlations, between -1 and 1.
    treatment_n, control_n : array_like, optional
        Sizes of the groups; equal and large if not given.

    Returns
    -------
    ndarray
        Standardised mean differences; infinite where r is 1 or -1.

    Raises
    ------
    CorrelationError
        If a correlation lies outside -1 to 1.

    Examples
    --------
    >>> d_of_point_biserial(point_biserial_of_d(1.0)).round(4)
    np.float64(1.0)
    """
    values = possible("r", numbers(r), check_correlation)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(_h(treatment_n, control_n)) * values / np.sqrt(1 - values**2))


@rests_on(JACOBS)
@reads
def biserial_of_point_biserial(r: ArrayLike, share: ArrayLike = 0.5) -> Array:
    """Return the biserial correlation of a point-biserial one: r sqrt(p (1 - p)) / f.

    Parameters
    ----------
    r : array_like
        Point-biserial correlations.
    share : array_like
        Share p of the first group; f is the normal density at its quantile.

    Returns
    -------
    ndarray
        Biserial correlations; may exceed 1.

    Examples
    --------
    >>> biserial_of_point_biserial(0.4).round(4)
    np.float64(0.5013)
    """
    return np.asarray(numbers(r) * _stretch(share))


@rests_on(JACOBS)
@reads
def point_biserial_of_biserial(r: ArrayLike, share: ArrayLike = 0.5) -> Array:
    """Return the point-biserial correlation of a biserial one; see :func:`biserial_of_point_biserial`.

    Parameters
    ----------
    r : array_like
        Biserial correlations.
    share : array_like
        Share of the first group.

    Returns
    -------
    ndarray
        Point-biserial correlations.

    Examples
    --------
    >>> point_biserial_of_biserial(biserial_of_point_biserial(0.4, 0.2), 0.2).round(4)
    np.float64(0.4)
    """
    return np.asarray(numbers(r) / _stretch(share))


@rests_on(JACOBS)
@reads
def biserial_of_d(
    d: ArrayLike, treatment_n: ArrayLike | None = None, control_n: ArrayLike | None = None
) -> Array:
    """Return the biserial correlation of a standardised mean difference.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.
    treatment_n, control_n : array_like, optional
        Sizes of the groups; equal and large if not given.

    Returns
    -------
    ndarray
        Biserial correlations.

    Examples
    --------
    >>> biserial_of_d(1.0).round(4)
    np.float64(0.5605)
    """
    r = point_biserial_of_d(d, treatment_n, control_n)
    return biserial_of_point_biserial(r, _share(treatment_n, control_n))


@rests_on(JACOBS)
@reads
def d_of_biserial(
    r: ArrayLike, treatment_n: ArrayLike | None = None, control_n: ArrayLike | None = None
) -> Array:
    """Return the standardised mean difference of a biserial correlation.

    Parameters
    ----------
    r : array_like
        Biserial correlations.
    treatment_n, control_n : array_like, optional
        Sizes of the groups; equal and large if not given.

    Returns
    -------
    ndarray
        Standardised mean differences.

    Examples
    --------
    >>> d_of_biserial(biserial_of_d(1.0)).round(4)
    np.float64(1.0)
    """
    point = point_biserial_of_biserial(r, _share(treatment_n, control_n))
    return d_of_point_biserial(point, treatment_n, control_n)


def _h(treatment_n: ArrayLike | None, control_n: ArrayLike | None) -> Array:
    """Return m/n1 + m/n2 with m = n1 + n2 - 2; 4 without sizes."""
    if treatment_n is None or control_n is None:
        return np.asarray(EQUAL_GROUPS)
    n1, n2 = numbers(treatment_n), numbers(control_n)
    return np.asarray((n1 + n2 - 2) * (1 / n1 + 1 / n2))


def _share(treatment_n: ArrayLike | None, control_n: ArrayLike | None) -> Array:
    """Return the share of the first group; one half without sizes."""
    if treatment_n is None or control_n is None:
        return np.asarray(0.5)
    n1, n2 = numbers(treatment_n), numbers(control_n)
    return np.asarray(n1 / (n1 + n2))


def _stretch(share: ArrayLike) -> Array:
    """Return sqrt(p (1 - p)) over the normal density at the quantile of p."""
    p = numbers(share)
    density = np.exp(-(ndtri(p) ** 2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(np.sqrt(p * (1 - p)) / density)
