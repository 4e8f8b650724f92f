"""The tetrachoric correlation: two normal variables behind a 2 x 2 table.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri, owens_t

from metaexo.effects.measure import Measure, identity, register
from metaexo.effects.measures.biserial import fisher_z
from metaexo.types import Array

EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")
BISECTIONS = 60


def tetrachoric_correlation(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return the maximum-likelihood tetrachoric correlation.

    Use it when both group and event come from cutting normal variables in two. With the cuts h and k at
    the normal quantiles of the margins, y is the correlation r at which the bivariate normal probability
    below both cuts is the share of the first cell; this is the maximum of the likelihood, because the
    table has as many free cells as there are parameters. The variance is that of the multinomial counts,
    carried over to r by the delta method (which is the inverse of the information): with P1, P2, P3 the
    shares of the first cell and of the rest of its row and column, f the bivariate density at the cuts, and
    g_h = Phi((k - r h) / w), g_k = Phi((h - r k) / w), w = sqrt(1 - r^2),

        Phi2(h, k; y) = x1 / N
        v = (sum P s^2 - (sum P s)^2) / (N f^2),  s = (1 - g_h - g_k, -g_h, -g_k)

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Correlations and sampling variances. A zero in one cell puts the correlation at -1 or 1 and leaves
        no variance; zeros in a whole row or column leave neither.

    References
    ----------
    Pearson (1900), Philosophical Transactions of the Royal Society A 195, 1-47, doi:10.1098/rsta.1900.0022.
    Kirk (1973), Psychometrika 38, 259-268, doi:10.1007/BF02291118.

    Examples
    --------
    >>> y, v = tetrachoric_correlation(*np.array([[30.0], [50.0], [20.0], [50.0]]))
    >>> y.round(4), v.round(4)
    (array([0.309]), array([0.0214]))
    """
    total = treatment_n + control_n
    first = treatment_events / total
    row, column = treatment_n / total, (treatment_events + control_events) / total
    h, k = ndtri(row), ndtri(column)
    empty = (
        treatment_events == 0,
        control_events == 0,
        treatment_events == treatment_n,
        control_events == control_n,
    )
    r = _solve(first, h, k)
    low, high = empty[0] | empty[3], empty[1] | empty[2]
    r = np.where(low, -1.0, np.where(high, 1.0, r))
    r = np.where((low & high) | ~np.isfinite(h + k) | ~np.isfinite(first), np.nan, r)
    inside = np.where(np.abs(r) < 1, r, np.nan)
    root = np.sqrt(1 - inside**2)
    density = np.exp(-(h**2 - 2 * inside * h * k + k**2) / (2 * root**2)) / (2 * np.pi * root)
    slope_row, slope_column = ndtr((k - inside * h) / root), ndtr((h - inside * k) / root)
    shares = (first, row - first, column - first)
    slopes = (1 - slope_row - slope_column, -slope_row, -slope_column)
    mean = sum(p * g for p, g in zip(shares, slopes, strict=True))
    square = sum(p * g**2 for p, g in zip(shares, slopes, strict=True))
    return r, np.asarray((square - mean**2) / (total * density**2))


def tetrachoric_z(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return Fisher's z of the tetrachoric correlation; see :func:`tetrachoric_correlation`.

    Parameters
    ----------
    treatment_events, treatment_n, control_events, control_n : ndarray
        Events and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    Examples
    --------
    >>> y, v = tetrachoric_z(*np.array([[30.0], [50.0], [20.0], [50.0]]))
    >>> y.round(4), v.round(4)
    (array([0.3195]), array([0.0262]))
    """
    return fisher_z(*tetrachoric_correlation(treatment_events, treatment_n, control_events, control_n))


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


def _solve(share: Array, h: Array, k: Array) -> Array:
    """Return the correlation at which the bivariate normal probability is `share`, by bisection."""
    low, high = np.full(share.shape, -1.0), np.full(share.shape, 1.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = bivariate_normal_cdf(h, k, middle) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


register(
    *(
        Measure(
            code=code,
            name=name,
            family="two groups, events",
            inputs=EVENTS,
            compute=compute,
            null=0.0,
            display="Correlation",
            back=np.tanh if code == "ZTET" else identity,
            reference="10.1098/rsta.1900.0022",
            zero_cells=0.0,
        )
        for code, name, compute in (
            ("RTET", "tetrachoric correlation", tetrachoric_correlation),
            ("ZTET", "tetrachoric correlation, Fisher's z", tetrachoric_z),
        )
    )
)
