"""t statistics from p-values and F statistics, and back.

One t stands behind most of what papers report of two means; from it follow standard deviations
(:mod:`metaexo.effects.sd_from_tests`) and standardised differences (:mod:`metaexo.effects.d_of_statistics`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.arguments import numbers, p_values, reads, signs, squares
from metaexo.numeric.tails import t_of_tail, t_two_sided
from metaexo.types import Array


@reads
def t_from_p(p_value: ArrayLike, direction: ArrayLike, df: ArrayLike, *, one_sided: bool = False) -> Array:
    """Return the t statistic of an exact p-value and the sign of the effect.

    Use it for p-values reported with "=". A threshold ("p < 0.05") gives a bound, not a t. With T the upper
    quantile of Student's distribution,

        t = sign T(p / 2; df)  (two-sided),  t = sign T(p; df)  (one-sided).

    Parameters
    ----------
    p_value : array_like
        p-values, 0 to 1.
    direction : array_like
        Sign of the effect: positive, negative; 0 only with p = 1. For one-sided p-values the side that was
        tested; a p above one half then means an effect on the other side.
    df : array_like
        Degrees of freedom of the test: n1 + n2 - 2 for two groups, n - 1 for pairs.
    one_sided : bool
        Whether the p-values are one-sided.

    Returns
    -------
    ndarray
        t statistics; infinite where p is 0.

    Raises
    ------
    PValueError
        If a p-value lies outside 0 to 1.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.3,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> t_from_p(0.05, -1, 10).round(3)
    np.float64(-2.228)
    >>> t_from_p(0.025, -1, 10, one_sided=True).round(3)
    np.float64(-2.228)
    """
    p, df = p_values(p_value), numbers(df)
    if not one_sided:
        return np.asarray(signs(direction, "p_value", p < 1) * t_of_tail(p / 2, df))
    beyond = np.where(p > 0.5, -1.0, 1.0)
    return np.asarray(signs(direction, "p_value", p != 0.5) * beyond * t_of_tail(np.minimum(p, 1 - p), df))


@reads
def p_from_t(t: ArrayLike, df: ArrayLike, *, one_sided: bool = False, direction: ArrayLike = 1.0) -> Array:
    """Return the p-value of a t statistic.

    Use it to check a reported pair of t and p, or to take a t back to p; the inverse of :func:`t_from_p`.

    Parameters
    ----------
    t : array_like
        t statistics.
    df : array_like
        Degrees of freedom.
    one_sided : bool
        Whether one-sided p-values are wanted.
    direction : array_like
        For one-sided p-values, the side that is tested: positive or negative.

    Returns
    -------
    ndarray
        p-values.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.3,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> p_from_t(-2.228, 10).round(3)
    np.float64(0.05)
    >>> p_from_t(-2.228, 10, one_sided=True).round(3)
    np.float64(0.975)
    """
    values = numbers(t)
    two_sided = t_two_sided(values, df)
    if not one_sided:
        return two_sided
    return np.asarray(
        np.where(signs(direction, "t", values != 0) * values >= 0, two_sided / 2, 1 - two_sided / 2)
    )


@reads
def t_from_f(f: ArrayLike, direction: ArrayLike) -> Array:
    """Return the t statistic of an F statistic with one degree of freedom in the numerator.

    Use it for analyses of variance of two groups, or of two conditions of the same people, where
    t = sign sqrt(F). An F of three groups or more is no t; :func:`sd_from_anova` uses those.

    Parameters
    ----------
    f : array_like
        F statistics.
    direction : array_like
        Sign of the effect.

    Returns
    -------
    ndarray
        t statistics.

    Raises
    ------
    InputError
        If an F is negative.

    References
    ----------
    Lakens (2013), Frontiers in Psychology 4, 863, doi:10.3389/fpsyg.2013.00863.

    Examples
    --------
    >>> float(t_from_f(6.25, -1))
    -2.5
    """
    square = squares(f, "f")
    return np.asarray(signs(direction, "f", square > 0) * np.sqrt(square))


@reads
def f_from_t(t: ArrayLike) -> Array:
    """Return the F statistic, with one degree of freedom in the numerator, of a t statistic: F = t^2.

    The inverse of :func:`t_from_f`, which needs the sign as well.

    Parameters
    ----------
    t : array_like
        t statistics.

    Returns
    -------
    ndarray
        F statistics.

    References
    ----------
    Lakens (2013), Frontiers in Psychology 4, 863, doi:10.3389/fpsyg.2013.00863.

    Examples
    --------
    >>> float(f_from_t(-2.5))
    6.25
    """
    return np.asarray(numbers(t) ** 2)
