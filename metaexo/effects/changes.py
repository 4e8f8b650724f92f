"""The standard deviation of changes (before to after, left to right) from what papers report, and back.

All take arrays (or numbers) and return arrays; missing values stay missing. From the standard error or the
interval of a mean change the SD of the changes is had by `sd_from_se` and `sd_from_ci`, as for any mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.arguments import correlations, not_negative, numbers, reads, sizes
from metaexo.effects.paired_means import difference_variance
from metaexo.effects.t_statistics import t_from_p
from metaexo.types import Array


@reads
def change_sd(baseline_sd: ArrayLike, follow_up_sd: ArrayLike, correlation: ArrayLike) -> Array:
    """Return the standard deviation of changes from those of baseline and follow-up and their correlation.

    Use it when a paper gives both SDs, and the correlation is reported or taken from another study.

        s_c = sqrt(s1^2 + s2^2 - 2 r s1 s2)

    Parameters
    ----------
    baseline_sd, follow_up_sd : array_like
        Standard deviations of the two conditions.
    correlation : array_like
        Correlations of the two conditions over people.

    Returns
    -------
    ndarray
        Standard deviations of the changes.

    Raises
    ------
    NegativeSDError
        If a standard deviation is negative.
    CorrelationError
        If a correlation lies outside -1 to 1.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.8,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> change_sd(4.0, 4.4, 0.40).round(2)
    np.float64(4.61)
    """
    first, second = not_negative(baseline_sd, "baseline_sd"), not_negative(follow_up_sd, "follow_up_sd")
    square = difference_variance(first, second, correlations(correlation))
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


@reads
def correlation_from_change_sd(sd: ArrayLike, baseline_sd: ArrayLike, follow_up_sd: ArrayLike) -> Array:
    """Return the correlation of baseline and follow-up that a reported SD of changes implies.

    Use it to learn the correlation from a study that gives all three SDs, for the studies that give two. The
    inverse of :func:`change_sd`: r = (s1^2 + s2^2 - s_c^2) / (2 s1 s2).

    Parameters
    ----------
    sd : array_like
        Standard deviations of the changes.
    baseline_sd, follow_up_sd : array_like
        Standard deviations of the two conditions.

    Returns
    -------
    ndarray
        Correlations; NaN where the numbers contradict each other (``|r|`` above 1).

    Raises
    ------
    NegativeSDError
        If a standard deviation is negative.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.8,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> correlation_from_change_sd(4.6, 4.0, 4.4).round(2)
    np.float64(0.4)
    """
    first, second = not_negative(baseline_sd, "baseline_sd"), not_negative(follow_up_sd, "follow_up_sd")
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (first**2 + second**2 - not_negative(sd, "sd") ** 2) / (2 * first * second)
    return np.asarray(np.where(np.abs(r) <= 1, r, np.nan))


@reads
def change_sd_from_t(change: ArrayLike, t: ArrayLike, n: ArrayLike) -> Array:
    """Return the standard deviation of changes from their mean and the t statistic of a paired test.

    Use it when a paper gives the mean change and a paired t: s_c = abs(D) sqrt(n) / abs(t). For the F of two
    conditions of the same people take :func:`metaexo.effects.t_from_f` first.

    Parameters
    ----------
    change : array_like
        Mean changes; the sign does not matter.
    t : array_like
        Paired t statistics.
    n : array_like
        Numbers of people.

    Returns
    -------
    ndarray
        Standard deviations of the changes; NaN where t is 0, which tells nothing of the spread.

    Raises
    ------
    SampleSizeError
        If a size is below 1.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.8,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> float(change_sd_from_t(2.0, 4.0, 16))
    2.0
    """
    size = np.abs(numbers(t))
    root = np.sqrt(sizes(n, "n"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(numbers(change)) * root / np.where(size > 0, size, np.nan))


@reads
def change_sd_from_p(
    change: ArrayLike, p_value: ArrayLike, n: ArrayLike, *, one_sided: bool = False
) -> Array:
    """Return the standard deviation of changes from their mean and the exact p-value of a paired t test.

    The p gives t with n - 1 degrees of freedom, and t the SD as in :func:`change_sd_from_t`.

    Parameters
    ----------
    change : array_like
        Mean changes; the sign does not matter.
    p_value : array_like
        p-values that are reported with "=".
    n : array_like
        Numbers of people.
    one_sided : bool
        Whether the p-values are one-sided.

    Returns
    -------
    ndarray
        Standard deviations of the changes; NaN where p says that t is 0.

    Raises
    ------
    PValueError
        If a p-value lies outside 0 to 1.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.8,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> change_sd_from_p(2.0, 0.05, 16).round(3)
    np.float64(3.753)
    """
    t = t_from_p(p_value, 1.0, sizes(n, "n") - 1, one_sided=one_sided)
    return change_sd_from_t(change, t, n)


@reads
def t_from_change_sd(change: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Array:
    """Return the paired t from the mean and the standard deviation of changes: t = D sqrt(n) / s_c.

    The inverse of :func:`change_sd_from_t`.

    Parameters
    ----------
    change : array_like
        Mean changes.
    sd : array_like
        Standard deviations of the changes.
    n : array_like
        Numbers of people.

    Returns
    -------
    ndarray
        Paired t statistics, with the sign of the change.

    Raises
    ------
    NegativeSDError
        If a standard deviation is negative.
    SampleSizeError
        If a size is below 1.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.8,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> float(t_from_change_sd(2.0, 2.0, 16))
    4.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(numbers(change) * np.sqrt(sizes(n, "n")) / not_negative(sd, "sd"))
