"""Correlations out of a regression: partial and semi-partial, raw and as Fisher's z.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.biserial import fisher_z
from metaexo.effects.corrections import average_over_rows
from metaexo.effects.correlations import correlation_from_t
from metaexo.effects.measure import Alternative, Measure, register
from metaexo.effects.t_statistics import t_from_p
from metaexo.types import Array

FAMILY = "regression, one predictor"
PARTIAL = ("partial", "n", "predictors")
SEMIPARTIAL = ("semipartial", "n", "predictors", "r_squared")


def partial_correlation(
    partial: Array, n: Array, predictors: Array, *, variance: str = "LS"
) -> tuple[Array, Array]:
    """Return the partial correlation of the outcome with one predictor of a regression.

    Use it when studies report regressions rather than correlations. With p predictors,

        v = (1 - r^2)^2 / (n - p)      ("AV": with the average of r over the studies, weighted by n)

    Parameters
    ----------
    partial : ndarray
        Partial correlations.
    n, predictors : ndarray
        Sample sizes and numbers of predictors, the one of interest included.
    variance : {"LS", "AV"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Partial correlations and sampling variances.

    References
    ----------
    Aloe & Thompson (2013), Journal of the Society for Social Work and Research 4, 390-405,
    doi:10.5243/jsswr.2013.24.

    Examples
    --------
    >>> y, v = partial_correlation(np.array([0.5]), np.array([28.0]), np.array([3.0]))
    >>> float(y[0]), float(v[0])
    (0.5, 0.0225)
    """
    centre = average_over_rows(partial, n) if variance == "AV" else partial
    return partial, (1 - centre**2) ** 2 / (n - predictors)


def partial_z(partial: Array, n: Array, predictors: Array) -> tuple[Array, Array]:
    """Return Fisher's z of a partial correlation: v = 1 / (n - p - 2).

    Parameters
    ----------
    partial, n, predictors : ndarray
        As in :func:`partial_correlation`.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    References
    ----------
    Fisher (1924), Metron 3, 329-332.

    Examples
    --------
    >>> y, v = partial_z(np.array([0.5]), np.array([30.0]), np.array([3.0]))
    >>> y.round(4), float(v[0])
    (array([0.5493]), 0.04)
    """
    return np.arctanh(partial), 1 / (n - predictors - 2)


def semipartial_correlation(
    semipartial: Array, n: Array, predictors: Array, r_squared: Array, *, variance: str = "LS"
) -> tuple[Array, Array]:
    """Return the semi-partial correlation of the outcome with one predictor of a regression.

    Use it for the share of the outcome's spread that the predictor adds. With R2 of the whole regression
    and f = R2 - r^2 that without the predictor,

        v = (R2^2 - 2 R2 + f + 1 - f^2) / n      ("AV": with the average of r, weighted by n)

    Parameters
    ----------
    semipartial : ndarray
        Semi-partial correlations.
    n, predictors : ndarray
        Sample sizes and numbers of predictors (not used by the formula).
    r_squared : ndarray
        R2 of the whole regression.
    variance : {"LS", "AV"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Semi-partial correlations and sampling variances.

    References
    ----------
    Aloe & Becker (2012), Journal of Educational and Behavioral Statistics 37, 278-297,
    doi:10.3102/1076998610396901.

    Examples
    --------
    >>> y, v = semipartial_correlation(*np.array([[0.3], [100.0], [3.0], [0.4]]))
    >>> float(y[0]), v.round(5)
    (0.3, array([0.00574]))
    """
    del predictors
    centre = average_over_rows(semipartial, n) if variance == "AV" else semipartial
    without = r_squared - centre**2
    return semipartial, (r_squared**2 - 2 * r_squared + without + 1 - without**2) / n


def semipartial_z(semipartial: Array, n: Array, predictors: Array, r_squared: Array) -> tuple[Array, Array]:
    """Return Fisher's z of a semi-partial correlation; see :func:`semipartial_correlation`.

    y = atanh(r), v that of r over (1 - r^2)^2 (delta method).

    Parameters
    ----------
    semipartial, n, predictors, r_squared : ndarray
        As in :func:`semipartial_correlation`.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    Examples
    --------
    >>> y, v = semipartial_z(*np.array([[0.3], [100.0], [3.0], [0.4]]))
    >>> y.round(4), v.round(5)
    (array([0.3095]), array([0.00693]))
    """
    return fisher_z(*semipartial_correlation(semipartial, n, predictors, r_squared))


def semipartial_from_t(t: Array, n: Array, predictors: Array, r_squared: Array) -> Array:
    """Return the semi-partial correlation from the predictor's t: r = t sqrt(1 - R2) / sqrt(n - p - 1).

    Parameters
    ----------
    t, n, predictors, r_squared : ndarray
        t statistics, sample sizes, numbers of predictors, R2 of the whole regression.

    Returns
    -------
    ndarray
        Semi-partial correlations.

    References
    ----------
    Aloe & Becker (2012), Journal of Educational and Behavioral Statistics 37, 278-297,
    doi:10.3102/1076998610396901.

    Examples
    --------
    >>> semipartial_from_t(*np.array([2.0, 28.0, 3.0, 0.36])).round(4)
    np.float64(0.3266)
    """
    return np.asarray(t * np.sqrt((1 - r_squared) / (n - predictors - 1)))


Compute = Callable[..., tuple[Array, Array]]


def _of_partial(from_partial: Compute) -> tuple[Alternative, ...]:
    """Return the ways from t and exact p to a partial correlation."""

    def of_t(t: Array, n: Array, predictors: Array, **options: str) -> tuple[Array, Array]:
        return from_partial(correlation_from_t(t, n - predictors - 1), n, predictors, **options)

    def of_p(
        p_value: Array, direction: Array, n: Array, predictors: Array, **options: str
    ) -> tuple[Array, Array]:
        return of_t(t_from_p(p_value, direction, n - predictors - 1), n, predictors, **options)

    return (
        Alternative(("t", "n", "predictors"), of_t, "partial correlation from t"),
        Alternative(("p_value", "direction", "n", "predictors"), of_p, "partial correlation from exact p"),
    )


def _of_semipartial(from_semipartial: Compute) -> tuple[Alternative, ...]:
    """Return the ways from t and exact p to a semi-partial correlation."""

    def of_t(t: Array, n: Array, predictors: Array, r_squared: Array, **options: str) -> tuple[Array, Array]:
        r = semipartial_from_t(t, n, predictors, r_squared)
        return from_semipartial(r, n, predictors, r_squared, **options)

    def of_p(
        p_value: Array, direction: Array, n: Array, predictors: Array, r_squared: Array, **options: str
    ) -> tuple[Array, Array]:
        t = t_from_p(p_value, direction, n - predictors - 1)
        return of_t(t, n, predictors, r_squared, **options)

    rest = ("n", "predictors", "r_squared")
    return (
        Alternative(("t", *rest), of_t, "semi-partial correlation from t"),
        Alternative(("p_value", "direction", *rest), of_p, "semi-partial correlation from exact p"),
    )


register(
    Measure(
        code="PCOR",
        name="partial correlation",
        family=FAMILY,
        inputs=PARTIAL,
        compute=partial_correlation,
        null=0.0,
        display="Partial correlation",
        reference="10.5243/jsswr.2013.24",
        variances=("LS", "AV"),
        alternatives=_of_partial(partial_correlation),
    ),
    Measure(
        code="ZPCOR",
        name="partial correlation, Fisher's z",
        family=FAMILY,
        inputs=PARTIAL,
        compute=partial_z,
        null=0.0,
        display="Partial correlation",
        back=np.tanh,
        reference="10.5243/jsswr.2013.24",
        alternatives=_of_partial(partial_z),
    ),
    Measure(
        code="SPCOR",
        name="semi-partial correlation",
        family=FAMILY,
        inputs=SEMIPARTIAL,
        compute=semipartial_correlation,
        null=0.0,
        display="Semi-partial correlation",
        reference="10.3102/1076998610396901",
        variances=("LS", "AV"),
        alternatives=_of_semipartial(semipartial_correlation),
    ),
    Measure(
        code="ZSPCOR",
        name="semi-partial correlation, Fisher's z",
        family=FAMILY,
        inputs=SEMIPARTIAL,
        compute=semipartial_z,
        null=0.0,
        display="Semi-partial correlation",
        back=np.tanh,
        reference="10.3102/1076998610396901",
        alternatives=_of_semipartial(semipartial_z),
    ),
)
