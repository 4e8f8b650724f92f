# mypy: disable-error-code="empty-body"
"""The standardised mean difference of two groups from other statistics of theirs, and back.

All take arrays (or numbers) and return arrays; missing values stay missing. d is the uncorrected difference
over the pooled SD (Cohen's d); ``mx.effect_sizes("SMD", d=..., treatment_n=..., control_n=...)`` turns it
into Hedges' g with its variance. From and to odds ratios and risks: :func:`d_of_log_odds_ratio`. One t stands
behind most of what papers report of two means; standard deviations follow from it too (:func:`sd_from_t`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import check_square, numbers, possible, reads, signs
from metaexo.effects.conversions.group_correlations import d_of_point_biserial, point_biserial_of_d
from metaexo.effects.formulas import conversion
from metaexo.effects.papers import BORENSTEIN, HANDBOOK_TESTS, LAKENS, ROSENTHAL, rests_on
from metaexo.errors import InputError
from metaexo.numeric.tails import t_of_tail, t_two_sided
from metaexo.types import Array

D_OF_T = "d = t * sqrt(1 / n1 + 1 / n2)"
T_OF_F = "t = direction * sqrt(F)"


@rests_on(BORENSTEIN)
@conversion(D_OF_T)
def d_of_t(t: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return Cohen's d from the t statistic of two independent groups.

    Use it when a study gives Student's t (one pooled variance), not Welch's, and no means.

    Parameters
    ----------
    t : array_like
        t statistics; positive when the treatment mean is the higher.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        d, without small-sample correction.

    Examples
    --------
    >>> float(d_of_t(2.0, 8, 8))
    1.0
    """


@rests_on(BORENSTEIN)
@conversion("t = d / sqrt(1 / n1 + 1 / n2)")
def t_of_d(d: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return the t statistic of two independent groups from Cohen's d; the inverse of :func:`d_of_t`.

    Parameters
    ----------
    d : array_like
        Standardised mean differences, without correction.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        t statistics with n1 + n2 - 2 degrees of freedom.

    Examples
    --------
    >>> float(t_of_d(1.0, 8, 8))
    2.0
    """


@rests_on(LAKENS)
@conversion(f"{T_OF_F}\n{D_OF_T}")
def d_of_f(f: ArrayLike, direction: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return Cohen's d from the F statistic of two independent groups.

    Use it for a one-way analysis of variance of two groups, not for three or more, nor where F comes from a
    model with covariates or other factors.

    Parameters
    ----------
    f : array_like
        F statistics with 1 and n1 + n2 - 2 degrees of freedom.
    direction : array_like
        Sign of the effect.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        d, without small-sample correction.

    Examples
    --------
    >>> float(d_of_f(4.0, -1, 8, 8))
    -1.0
    """


@rests_on(LAKENS)
@conversion("F = (d / sqrt(1 / n1 + 1 / n2))**2")
def f_of_d(d: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return the F statistic of two independent groups from Cohen's d; the inverse of :func:`d_of_f`.

    Parameters
    ----------
    d : array_like
        Standardised mean differences, without correction.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        F statistics with 1 and n1 + n2 - 2 degrees of freedom.

    Examples
    --------
    >>> float(f_of_d(-1.0, 8, 8))
    4.0
    """


@rests_on(BORENSTEIN)
@reads
def d_of_p(
    p_value: ArrayLike,
    direction: ArrayLike,
    treatment_n: ArrayLike,
    control_n: ArrayLike,
    *,
    one_sided: bool = False,
) -> Array:
    """Return Cohen's d from the exact p-value of Student's t test.

    Use it for p-values that are reported with "="; a threshold gives a bound (:func:`bounds_from_table`). The
    p gives t with n1 + n2 - 2 degrees of freedom, and t gives d as in :func:`d_of_t`.

    Parameters
    ----------
    p_value : array_like
        p-values.
    direction : array_like
        Sign of the effect; for one-sided p-values the side that was tested.
    treatment_n, control_n : array_like
        Sizes of the groups.
    one_sided : bool
        Whether the p-values are one-sided.

    Returns
    -------
    ndarray
        d, without small-sample correction; infinite where p is 0.

    Examples
    --------
    >>> d_of_p(0.005, 1, 11, 11).round(3)
    np.float64(1.345)
    """
    df = numbers(treatment_n) + numbers(control_n) - 2
    return d_of_t(t_from_p(p_value, direction, df, one_sided=one_sided), treatment_n, control_n)


@rests_on(BORENSTEIN)
@reads
def p_of_d(
    d: ArrayLike,
    treatment_n: ArrayLike,
    control_n: ArrayLike,
    *,
    one_sided: bool = False,
    direction: ArrayLike = 1.0,
) -> Array:
    """Return the p-value of Student's t test from Cohen's d; the inverse of :func:`d_of_p`.

    Parameters
    ----------
    d : array_like
        Standardised mean differences, without correction.
    treatment_n, control_n : array_like
        Sizes of the groups.
    one_sided : bool
        Whether one-sided p-values are wanted.
    direction : array_like
        For one-sided p-values, the side that is tested.

    Returns
    -------
    ndarray
        p-values.

    Examples
    --------
    >>> p_of_d(1.345, 11, 11).round(3)
    np.float64(0.005)
    """
    df = numbers(treatment_n) + numbers(control_n) - 2
    t = t_of_d(d, treatment_n, control_n)
    return p_from_t(t, df, one_sided=one_sided, direction=direction)


@rests_on(ROSENTHAL)
@reads
def d_of_chi_square(
    chi_square: ArrayLike, direction: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike
) -> Array:
    """Return Cohen's d from the chi-square of a 2 x 2 table of group and outcome, over phi.

    Use it when a paper gives Pearson's chi-square (one degree of freedom, without Yates' correction) and no
    table. phi = sign sqrt(X^2 / N) is the point-biserial correlation of the outcome, taken as 0 and 1, with
    the group, and d that of :func:`d_of_point_biserial`. This is the difference of the 0/1 outcome over its
    pooled SD, which depends on how common the event is; if the number of events is known, and the outcome
    stands for something continuous, go over the odds ratio (:func:`log_odds_ratio_of_chi_square`).

    Parameters
    ----------
    chi_square : array_like
        Chi-square statistics.
    direction : array_like
        Sign of the effect.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        d, without small-sample correction.

    Raises
    ------
    InputError
        If a chi-square is negative, or above the number of people.

    Examples
    --------
    >>> d_of_chi_square(4.0, 1, 20, 20).round(3)
    np.float64(0.65)
    """
    total = numbers(treatment_n) + numbers(control_n)
    square = possible("chi_square", numbers(chi_square), check_square)
    if (square > total).any():
        raise InputError(
            "a chi-square is above the number of people",
            "chi-square of a 2 x 2 table, at most n1 + n2",
            "look at the degrees of freedom: a larger table, or another test, may stand behind it",
        )
    phi = signs(direction, "chi_square", square > 0) * np.sqrt(square / total)
    with np.errstate(divide="ignore"):
        return d_of_point_biserial(phi, treatment_n, control_n)


@rests_on(ROSENTHAL)
@reads
def chi_square_of_d(d: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return Pearson's chi-square of a 2 x 2 table from the d of its outcome.

    The inverse of :func:`d_of_chi_square`: X^2 = N phi^2, phi the point-biserial correlation of d.

    Parameters
    ----------
    d : array_like
        Standardised differences of an outcome of 0 and 1.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        Chi-square statistics with one degree of freedom.

    Examples
    --------
    >>> chi_square_of_d(0.65, 20, 20).round(2)
    np.float64(4.0)
    """
    total = numbers(treatment_n) + numbers(control_n)
    return np.asarray(total * point_biserial_of_d(d, treatment_n, control_n) ** 2)


@rests_on(HANDBOOK_TESTS)
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

    Examples
    --------
    >>> t_from_p(0.05, -1, 10).round(3)
    np.float64(-2.228)
    >>> t_from_p(0.025, -1, 10, one_sided=True).round(3)
    np.float64(-2.228)
    """
    p, df = numbers(p_value), numbers(df)
    if not one_sided:
        return np.asarray(signs(direction, "p_value", p < 1) * t_of_tail(p / 2, df))
    beyond = np.where(p > 0.5, -1.0, 1.0)
    return np.asarray(signs(direction, "p_value", p != 0.5) * beyond * t_of_tail(np.minimum(p, 1 - p), df))


@rests_on(HANDBOOK_TESTS)
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


@rests_on(LAKENS)
@conversion(T_OF_F)
def t_from_f(f: ArrayLike, direction: ArrayLike) -> Array:
    """Return the t statistic of an F statistic with one degree of freedom in the numerator.

    Use it for analyses of variance of two groups, or of two conditions of the same people, where t is
    the root of F. An F of three groups or more is no t; :func:`sd_from_anova` uses those.

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

    Examples
    --------
    >>> float(t_from_f(6.25, -1))
    -2.5
    """


@rests_on(LAKENS)
@conversion("F = t**2")
def f_from_t(t: ArrayLike) -> Array:
    """Return the F statistic, with one degree of freedom in the numerator, of a t statistic.

    The inverse of :func:`t_from_f`, which needs the sign as well.

    Parameters
    ----------
    t : array_like
        t statistics.

    Returns
    -------
    ndarray
        F statistics.

    Examples
    --------
    >>> float(f_from_t(-2.5))
    6.25
    """
