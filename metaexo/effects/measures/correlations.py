"""Correlations: raw, corrected for bias, and as Fisher's z.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances. There
is no sampling variance for samples of 3 or fewer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.corrections import average_over_rows, hypergeometric, unbiased_correlation
from metaexo.effects.measure import Alternative, Measure, identity, register
from metaexo.types import Array

INPUTS = ("correlation", "n")
SMALLEST_N = 3


def raw_correlation(correlation: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return a product-moment correlation as it is.

        "LS"   v = (1 - r^2)^2 / (n - 1)
        "AV"   as "LS" with the average of r over the studies, weighted by n
        "H0"   v = (1 - r^2) / (n - 2) ("H0a" is the same); "H0b" v = 1 / n; both as if there were no effect

    Parameters
    ----------
    correlation, n : ndarray
        Correlations and sample sizes.
    variance : {"LS", "AV", "H0", "H0a", "H0b"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Correlations and sampling variances.

    References
    ----------
    Hunter & Schmidt (2004), Methods of Meta-Analysis, 2nd ed., doi:10.4135/9781412985031.

    Examples
    --------
    >>> y, v = raw_correlation(np.array([0.5]), np.array([26.0]))
    >>> float(y[0]), float(v[0])
    (0.5, 0.0225)
    """
    size = _large_enough(n)
    if variance == "AV":
        average = average_over_rows(correlation, n)
        return correlation, (1 - average**2) ** 2 / (size - 1)
    if variance in ("H0", "H0a"):
        return correlation, (1 - correlation**2) / (size - 2)
    if variance == "H0b":
        return correlation, 1 / size
    return correlation, (1 - correlation**2) ** 2 / (size - 1)


def corrected_correlation(correlation: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the unbiased estimate of a correlation of two normal variables.

    Use it for small samples. With u the estimate of :func:`metaexo.effects.corrections.unbiased_correlation`,

        "LS"  v = (1 - u^2)^2 / (n - 1)
        "AV"  as "LS" with the average of u over the studies, weighted by n
        "UB"  v = u^2 - 1 + (n - 3) / (n - 2) (1 - r^2) F(1, 1; n / 2; 1 - r^2), unbiased

    Parameters
    ----------
    correlation, n : ndarray
        Correlations and sample sizes.
    variance : {"LS", "UB", "AV"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Correlations and sampling variances; NaN for samples of 4 or fewer.

    References
    ----------
    Olkin & Pratt (1958), Annals of Mathematical Statistics 29, 201-211, doi:10.1214/aoms/1177706717.

    Examples
    --------
    >>> y, v = corrected_correlation(np.array([0.5]), np.array([26.0]))
    >>> y.round(4), v.round(4)
    (array([0.5084]), array([0.022]))
    """
    u, size = unbiased_correlation(correlation, n), _large_enough(n)
    if variance == "UB":
        rest = 1 - correlation**2
        return u, u**2 - 1 + (size - 3) / (size - 2) * rest * hypergeometric(1.0, size / 2, rest)
    centre = average_over_rows(u, n) if variance == "AV" else u
    return u, (1 - centre**2) ** 2 / (size - 1)


def correlation_z(correlation: Array, n: Array) -> tuple[Array, Array]:
    """Return Fisher's z of a correlation: y = atanh(r), v = 1 / (n - 3).

    Use it as the usual scale for correlations: the variance does not depend on the correlation.

    Parameters
    ----------
    correlation, n : ndarray
        Correlations and sample sizes.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    References
    ----------
    Fisher (1921), Metron 1, 3-32.

    Examples
    --------
    >>> y, v = correlation_z(np.array([0.5]), np.array([28.0]))
    >>> y.round(4), float(v[0])
    (array([0.5493]), 0.04)
    """
    return np.arctanh(correlation), 1 / (_large_enough(n) - SMALLEST_N)


def correlation_from_t(t: Array, df: Array) -> Array:
    """Return the correlation whose test is t with `df` degrees of freedom: r = t / sqrt(t^2 + df).

    Parameters
    ----------
    t, df : ndarray
        t statistics and degrees of freedom (n - 2; n - p - 1 for a partial one with p predictors).

    Returns
    -------
    ndarray
        Correlations; NaN where there is no degree of freedom.

    Examples
    --------
    >>> float(correlation_from_t(np.array(3.0), np.array(16.0)))
    0.6
    """
    possible = np.where(np.asarray(df) > 0, df, np.nan)
    return np.asarray(t / np.sqrt(np.asarray(t) ** 2 + possible))


def _large_enough(n: Array) -> Array:
    return np.asarray(np.where(n > SMALLEST_N, n, np.nan))


Compute = Callable[..., tuple[Array, Array]]


def _alternatives(of_correlation: Compute) -> tuple[Alternative, ...]:
    """Return the ways from t and from an exact p-value."""

    def of_t(t: Array, n: Array, **options: str) -> tuple[Array, Array]:
        return of_correlation(correlation_from_t(t, n - 2), n, **options)

    def of_p(p_value: Array, direction: Array, n: Array, **options: str) -> tuple[Array, Array]:
        return of_t(t_from_p(p_value, direction, n - 2), n, **options)

    return (
        Alternative(("t", "n"), of_t, "correlation from t"),
        Alternative(("p_value", "direction", "n"), of_p, "correlation from exact p"),
    )


# code, name, function, way back, types of variance
_RECORDS: tuple[tuple[str, str, Compute, Callable[[Array], Array], tuple[str, ...]], ...] = (
    ("COR", "correlation", raw_correlation, identity, ("LS", "AV", "H0", "H0a", "H0b")),
    ("UCOR", "correlation, bias corrected", corrected_correlation, identity, ("LS", "UB", "AV")),
    ("ZCOR", "correlation, Fisher's z", correlation_z, np.tanh, ()),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="one group, correlation",
            inputs=INPUTS,
            compute=compute,
            null=0.0,
            display="Correlation",
            back=back,
            reference="10.1214/aoms/1177706717" if code == "UCOR" else "10.4135/9781412985031",
            variances=variances,
            alternatives=_alternatives(compute),
        )
        for code, name, compute, back, variances in _RECORDS
    )
)
