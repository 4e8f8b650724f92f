"""Correlations out of a regression: partial and semi-partial, raw and as Fisher's z.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.

The share of variance that a regression explains (R2), raw and transformed.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv

from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.corrections import average_over_rows
from metaexo.effects.measure import Alternative, Measure, identity, register
from metaexo.effects.measures.biserial import fisher_z
from metaexo.effects.measures.correlations import correlation_from_t
from metaexo.numeric.quadrature import gauss_legendre
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


INPUTS = ("r_squared", "n", "predictors")
POINTS = 400
REACH = 12.0
LARGEST_N = 1e12


def raw_r_squared(
    r_squared: Array, n: Array, predictors: Array, *, variance: str = "LS"
) -> tuple[Array, Array]:
    """Return R2 of a regression as it is, for random predictors.

        "LS"   v = 4 R2 (1 - R2)^2 / n
        "LS2"  v = 4 R2 (1 - R2)^2 (n - p - 1)^2 / ((n^2 - 1) (n + 3))
        "AV", "AV2"  the same with the average of R2 over the studies, weighted by n

    Parameters
    ----------
    r_squared : ndarray
        R2, 0 to 1.
    n, predictors : ndarray
        Sample sizes and numbers p of predictors.
    variance : {"LS", "LS2", "AV", "AV2"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        R2 and sampling variances.

    References
    ----------
    Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155.

    Examples
    --------
    >>> y, v = raw_r_squared(np.array([0.5]), np.array([100.0]), np.array([3.0]))
    >>> float(y[0]), float(v[0])
    (0.5, 0.005)
    """
    centre = average_over_rows(r_squared, n) if variance.startswith("AV") else r_squared
    v = 4 * centre * (1 - centre) ** 2
    if variance in ("LS2", "AV2"):
        return r_squared, v * (n - predictors - 1) ** 2 / ((n**2 - 1) * (n + 3))
    return r_squared, v / n


def r_squared_z(r_squared: Array, n: Array, predictors: Array) -> tuple[Array, Array]:
    """Return Fisher's z of the multiple correlation R: y = atanh(R), v = 1 / n.

    Parameters
    ----------
    r_squared, n, predictors : ndarray
        As in :func:`raw_r_squared`; the number of predictors is not used.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    References
    ----------
    Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155.

    Examples
    --------
    >>> y, v = r_squared_z(np.array([0.25]), np.array([100.0]), np.array([3.0]))
    >>> y.round(4), float(v[0])
    (array([0.5493]), 0.01)
    """
    del predictors
    return np.arctanh(np.sqrt(r_squared)), 1 / n


def fixed_r_squared(r_squared: Array, n: Array, predictors: Array) -> tuple[Array, Array]:
    """Return R2 of a regression with fixed predictors.

    Use it for designed experiments, whose predictors were set and not drawn. The variance is that of the
    true share of variance q, given F, when every q is as likely before: F is noncentral with
    noncentrality n q / (1 - q).

    Parameters
    ----------
    r_squared, n, predictors : ndarray
        As in :func:`raw_r_squared`.

    Returns
    -------
    y, v : ndarray
        R2 and variances.

    References
    ----------
    Olkin & Finn (1995), Psychological Bulletin 118, 155-164, doi:10.1037/0033-2909.118.1.155 (the case of
    random predictors, to which this is the counterpart).

    Examples
    --------
    >>> y, v = fixed_r_squared(np.array([0.5]), np.array([100.0]), np.array([3.0]))
    >>> float(y[0]), v.round(4)
    (0.5, array([0.004]))
    """
    return r_squared, _variance_given_f(r_squared, n, predictors, identity)


def fixed_r_squared_z(r_squared: Array, n: Array, predictors: Array) -> tuple[Array, Array]:
    """Return Fisher's z of R of a regression with fixed predictors; see :func:`fixed_r_squared`.

    Parameters
    ----------
    r_squared, n, predictors : ndarray
        As in :func:`raw_r_squared`.

    Returns
    -------
    y, v : ndarray
        z and variances.

    Examples
    --------
    >>> y, v = fixed_r_squared_z(np.array([0.5]), np.array([100.0]), np.array([3.0]))
    >>> y.round(4), v.round(4)
    (array([0.8814]), array([0.0078]))
    """
    v = _variance_given_f(r_squared, n, predictors, lambda q: np.arctanh(np.sqrt(q)))
    return np.arctanh(np.sqrt(r_squared)), v


def r_squared_from_f(f: Array, n: Array, predictors: Array) -> Array:
    """Return R2 from the F statistic of the regression: R2 = p F / (p F + n - p - 1).

    Parameters
    ----------
    f, n, predictors : ndarray
        F statistics, sample sizes, numbers p of predictors.

    Returns
    -------
    ndarray
        R2.

    Examples
    --------
    >>> float(r_squared_from_f(np.array(8.0), np.array(28.0), np.array(3.0)))
    0.5
    """
    return np.asarray(predictors * f / (predictors * f + n - predictors - 1))


def r_squared_from_p(p_value: Array, n: Array, predictors: Array) -> Array:
    """Return R2 from the p-value of the regression's F test.

    The upper tail of F is the incomplete beta function of 1 - R2, which keeps its digits for any p.

    Parameters
    ----------
    p_value, n, predictors : ndarray
        p-values, sample sizes, numbers of predictors.

    Returns
    -------
    ndarray
        R2.

    Examples
    --------
    >>> r_squared_from_p(np.array(1e-90), np.array(500.0), np.array(3.0)).round(4)
    np.float64(0.5709)
    """
    return np.asarray(1 - betaincinv((n - predictors - 1) / 2, predictors / 2, p_value))


def _variance_given_f(
    r_squared: Array, n: Array, predictors: Array, transform: Callable[[Array], Array]
) -> Array:
    """Return the variance of a function of the true share of variance, given R2, under a flat prior."""
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
    values = transform(share)
    mean = (weight * values).sum(axis=-1, keepdims=True)
    return np.asarray((weight * (values - mean) ** 2).sum(axis=-1))


def _alternatives(of_r_squared: Compute) -> tuple[Alternative, ...]:
    """Return the ways from F and from an exact p-value."""

    def of_f(f: Array, n: Array, predictors: Array, **options: str) -> tuple[Array, Array]:
        return of_r_squared(r_squared_from_f(f, n, predictors), n, predictors, **options)

    def of_p(p_value: Array, n: Array, predictors: Array, **options: str) -> tuple[Array, Array]:
        return of_r_squared(r_squared_from_p(p_value, n, predictors), n, predictors, **options)

    return (
        Alternative(("f", "n", "predictors"), of_f, "R2 from F"),
        Alternative(("p_value", "n", "predictors"), of_p, "R2 from exact p"),
    )


def squared_tanh(z: Array) -> Array:
    """Return tanh(z)^2, cut at z = 0: from Fisher's z of R back to R2.

    Examples
    --------
    >>> squared_tanh(np.array([-1.0, 0.549306])).round(4)
    array([0.  , 0.25])
    """
    return np.asarray(np.tanh(np.maximum(z, 0.0)) ** 2)


# code, name, function, way back, types of variance
_RECORDS: tuple[tuple[str, str, Compute, Callable[[Array], Array], tuple[str, ...]], ...] = (
    ("R2", "R2", raw_r_squared, identity, ("LS", "LS2", "AV", "AV2")),
    ("ZR2", "R2, Fisher's z of R", r_squared_z, squared_tanh, ()),
    ("R2F", "R2, fixed predictors", fixed_r_squared, identity, ()),
    ("ZR2F", "R2, Fisher's z of R, fixed predictors", fixed_r_squared_z, squared_tanh, ()),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="regression, all predictors",
            inputs=INPUTS,
            compute=compute,
            null=0.0,
            display="R2",
            back=back,
            orientation="none",
            reference="10.1037/0033-2909.118.1.155",
            variances=variances,
            alternatives=_alternatives(compute),
        )
        for code, name, compute, back, variances in _RECORDS
    )
)
