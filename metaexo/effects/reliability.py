"""Reliability of a scale (Cronbach's alpha): raw and transformed.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.measure import Measure, identity, register
from metaexo.types import Array

ALPHA = ("alpha", "items", "n")


def raw_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return Cronbach's alpha as it is: v = 2 m (1 - alpha)^2 / ((m - 1) (n - 2)), m items.

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Reliabilities and sampling variances.

    References
    ----------
    Bonett (2010), Psychological Methods 15, 368-385, doi:10.1037/a0020142.

    Examples
    --------
    >>> y, v = raw_alpha(np.array([0.8]), np.array([11.0]), np.array([102.0]))
    >>> float(y[0]), v.round(6)
    (0.8, array([0.00088]))
    """
    return alpha, (1 - alpha) ** 2 * _log_variance(items, n)


def cube_root_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return 1 - (1 - alpha)^(1/3), which grows with alpha and is closer to normal.

        v = 18 m (n - 1) (1 - alpha)^(2/3) / ((m - 1) (9 n - 11)^2),  m items

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Transformed reliabilities and sampling variances.

    References
    ----------
    Hakstian & Whalen (1976), Psychometrika 41, 219-231, doi:10.1007/BF02291840.

    Examples
    --------
    >>> y, v = cube_root_alpha(np.array([0.875]), np.array([11.0]), np.array([102.0]))
    >>> float(y[0]), v.round(6)
    (0.5, array([0.000608]))
    """
    rest = np.cbrt(1 - alpha)
    return 1 - rest, 18 * items * (n - 1) * rest**2 / ((items - 1) * (9 * n - 11) ** 2)


def log_alpha(alpha: Array, items: Array, n: Array) -> tuple[Array, Array]:
    """Return -log(1 - alpha), whose variance does not depend on alpha: v = 2 m / ((m - 1) (n - 2)).

    Parameters
    ----------
    alpha, items, n : ndarray
        Reliabilities, numbers m of items, sample sizes.

    Returns
    -------
    y, v : ndarray
        Transformed reliabilities and sampling variances.

    References
    ----------
    Bonett (2002), Journal of Educational and Behavioral Statistics 27, 335-340,
    doi:10.3102/10769986027004335.

    Examples
    --------
    >>> y, v = log_alpha(np.array([0.8]), np.array([11.0]), np.array([102.0]))
    >>> y.round(4), v.round(4)
    (array([1.6094]), array([0.022]))
    """
    return -np.log1p(-alpha), _log_variance(items, n)


def _log_variance(items: Array, n: Array) -> Array:
    """Return the sampling variance of -log(1 - alpha)."""
    return np.asarray(2 * items / ((items - 1) * (n - 2)))


def from_cube_root(y: Array) -> Array:
    """Return alpha from 1 - (1 - alpha)^(1/3).

    Examples
    --------
    >>> float(from_cube_root(np.array(0.5)))
    0.875
    """
    return np.asarray(1 - (1 - np.asarray(y, dtype=float)) ** 3)


def from_log(y: Array) -> Array:
    """Return alpha from -log(1 - alpha).

    Examples
    --------
    >>> from_log(np.array(1.6094379)).round(4)
    np.float64(0.8)
    """
    return np.asarray(-np.expm1(-np.asarray(y, dtype=float)))


_ALPHA_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]], Callable[[Array], Array], str], ...] = (
    ("ARAW", "reliability (alpha)", raw_alpha, identity, "10.1037/a0020142"),
    ("AHW", "reliability, cube-root transform", cube_root_alpha, from_cube_root, "10.1007/BF02291840"),
    ("ABT", "reliability, log transform", log_alpha, from_log, "10.3102/10769986027004335"),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="one scale, reliability",
            inputs=ALPHA,
            compute=compute,
            null=float("nan"),
            display="Reliability",
            back=back,
            orientation="none",
            reference=reference,
        )
        for code, name, compute, back, reference in _ALPHA_RECORDS
    )
)
