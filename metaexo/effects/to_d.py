"""Ways to Cohen's d, the uncorrected standardised mean difference, from other statistics of two groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.measure import Alternative
from metaexo.numeric.tails import t_of_tail

Array = NDArray[np.float64]


def d_from_t(t: Array, treatment_n: Array, control_n: Array) -> Array:
    """Return Cohen's d from the t statistic of two independent groups: d = t sqrt(1/n1 + 1/n2).

    Use it when a study gives Student's t (one pooled variance), not Welch's, and no means.

    Parameters
    ----------
    t : ndarray
        t statistics; positive when the treatment mean is the higher.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    ndarray
        d, without small-sample correction.

    References
    ----------
    Borenstein (2009), in Cooper, Hedges & Valentine, The Handbook of Research Synthesis and Meta-Analysis,
    2nd ed., 221-235, doi:10.7758/9781610441384.

    Examples
    --------
    >>> float(d_from_t(np.array(2.0), np.array(8.0), np.array(8.0)))
    1.0
    """
    return t * np.sqrt(1 / treatment_n + 1 / control_n)


def t_from_p(p_value: Array, direction: Array, df: Array) -> Array:
    """Return the t statistic of an exact two-sided p-value and the sign of the effect.

    Use it for p-values reported with "=". A threshold ("p < 0.05") gives a bound, not a t.

    Parameters
    ----------
    p_value : ndarray
        Two-sided p-values, 0 to 1.
    direction : ndarray
        Sign of the effect: positive, negative; 0 only with p = 1.
    df : ndarray
        Degrees of freedom of the test.

    Returns
    -------
    ndarray
        t statistics; infinite where p is 0.

    Examples
    --------
    >>> t_from_p(np.array(0.05), np.array(-1.0), np.array(10.0)).round(3)
    np.float64(-2.228)
    """
    return np.asarray(np.sign(direction) * t_of_tail(p_value / 2, df))


def d_from_point_biserial(point_biserial: Array, treatment_n: Array, control_n: Array) -> Array:
    """Return Cohen's d from the correlation of the outcome with membership in the treatment group.

    d = r sqrt(h) / sqrt(1 - r^2) with h = m/n1 + m/n2 and m = n1 + n2 - 2.

    Parameters
    ----------
    point_biserial : ndarray
        Point-biserial correlations, between -1 and 1.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    ndarray
        d, without small-sample correction.

    References
    ----------
    Soper (1914), Biometrika 10, 384-390, doi:10.1093/biomet/10.2-3.384.

    Examples
    --------
    >>> d_from_point_biserial(np.array(0.5), np.array(10.0), np.array(10.0)).round(3)
    np.float64(1.095)
    """
    m = treatment_n + control_n - 2
    h = m / treatment_n + m / control_n
    return np.sqrt(h) * point_biserial / np.sqrt(1 - point_biserial**2)


def through_d(from_d: Callable[..., tuple[Array, Array]]) -> tuple[Alternative, ...]:
    """Return the alternatives of a measure that is a function of d and the two group sizes.

    Parameters
    ----------
    from_d : callable
        Function of d, treatment_n, control_n (and options) that returns effects and sampling variances.

    Returns
    -------
    tuple of Alternative
        From d, from t, from a p-value with a direction, from a point-biserial correlation.
    """

    def of_d(d: Array, treatment_n: Array, control_n: Array, **options: str | bool) -> tuple[Array, Array]:
        return from_d(d, treatment_n, control_n, **options)

    def of_t(t: Array, treatment_n: Array, control_n: Array, **options: str | bool) -> tuple[Array, Array]:
        return from_d(d_from_t(t, treatment_n, control_n), treatment_n, control_n, **options)

    def of_p(
        p_value: Array, direction: Array, treatment_n: Array, control_n: Array, **options: str | bool
    ) -> tuple[Array, Array]:
        t = t_from_p(p_value, direction, treatment_n + control_n - 2)
        return of_t(t, treatment_n, control_n, **options)

    def of_r(
        point_biserial: Array, treatment_n: Array, control_n: Array, **options: str | bool
    ) -> tuple[Array, Array]:
        d = d_from_point_biserial(point_biserial, treatment_n, control_n)
        return from_d(d, treatment_n, control_n, **options)

    return (
        Alternative(("d", "treatment_n", "control_n"), of_d, "from d"),
        Alternative(("t", "treatment_n", "control_n"), of_t, "d from t"),
        Alternative(("p_value", "direction", "treatment_n", "control_n"), of_p, "d from exact p"),
        Alternative(("point_biserial", "treatment_n", "control_n"), of_r, "d from point-biserial r"),
    )
