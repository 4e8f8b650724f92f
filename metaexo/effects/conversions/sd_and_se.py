# mypy: disable-error-code="empty-body"
"""Standard deviations and standard errors from what papers report in their place, and back.

All take arrays (or numbers) and return arrays; missing values stay missing. FORMULAS gives the name under
which a conversion stands in the derivation of an effect. The SD of changes follows from the standard error or
the interval of a mean change by :func:`sd_from_se` and :func:`sd_from_ci`, as for any mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from metaexo.effects.check import numbers, reads
from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.formulas import computed, conversion, lines_of
from metaexo.effects.papers import ALTMAN_BLAND, HANDBOOK_CHANGES, HANDBOOK_SD, rests_on
from metaexo.types import Array

FORMULAS = {
    "sd_from_se": "SD from SE",
    "sd_from_ci": "SD from CI of a mean",
    "se_from_ci": "SE from CI",
    "se_from_ci_t": "SE from CI (t)",
    "correlation_from_difference_se": "correlation from SE of the difference",
    "correlation_from_t": "correlation from paired t",
    "t_from_f": "t from F",
    "mean_sd_from_quartiles": "mean and SD from median and quartiles",
    "mean_sd_from_range": "mean and SD from median and range",
    "mean_sd_from_five": "mean and SD from five numbers",
}

SD_OF_SE = "s = se * sqrt(n)"
SD_OF_CI = "s = sqrt(n) * ((high - low) / (2 * t_quantile(level, n - 1))) if n >= 2 else nan"
# standard error of an interval: by t with some degrees of freedom, by z, and by z on the log scale
SE_OF_CI_T = "se = (high - low) / (2 * t_quantile(level, df)) if df >= 1 else nan"
SE_OF_CI = "se = (high - low) / (2 * z_quantile(level))"
LOG_ENDS = "low = log(low) if low > 0 else nan\nhigh = log(high) if high > 0 else nan"
R_OF_CHANGE_SD = "r = (s1**2 + s2**2 - s_c**2) / (2 * s1 * s2)"
R_OF_SE = f"s_c = se * sqrt(n)\n{R_OF_CHANGE_SD}"
CHANGE_SD_OF_T = "s_c = abs(D) * sqrt(n) / abs(t) if abs(t) > 0 else nan"
T_OF_CHANGE_SD = "t = D * sqrt(n) / s_c"
POSSIBLE_R = "r = r if abs(r) <= 1 else nan"
BOTH_SDS = {"baseline_sd": "s1", "follow_up_sd": "s2", "sd": "s_c"}
CHANGES = {"change": "D", "sd": "s_c"}


@rests_on(HANDBOOK_SD)
@conversion(SD_OF_SE)
def sd_from_se(se: ArrayLike, n: ArrayLike) -> Array:
    """Return the standard deviation from the standard error of a mean.

    Use it when a study gives "mean (SE)" or error bars that are standard errors.

    Parameters
    ----------
    se : array_like
        Standard errors of the mean of one group.
    n : array_like
        Sizes of the group.

    Returns
    -------
    ndarray
        Standard deviations.

    Examples
    --------
    >>> float(sd_from_se(2.0, 25))
    10.0
    """


@rests_on(HANDBOOK_SD)
@conversion(SD_OF_CI)
def sd_from_ci(low: ArrayLike, high: ArrayLike, n: ArrayLike, level: float = 0.95) -> Array:
    """Return the standard deviation from the confidence interval of one group's mean.

    Use it when a study gives "mean (95% CI)"; the interval is taken as one by t.

    Parameters
    ----------
    low, high : array_like
        Ends of the interval.
    n : array_like
        Sizes of the group.
    level : float
        Level of the interval.

    Returns
    -------
    ndarray
        Standard deviations; NaN where n is 1.

    Examples
    --------
    >>> sd_from_ci(8.0, 12.0, 16).round(3)
    np.float64(3.753)
    """


@reads
def se_from_ci(
    low: ArrayLike,
    high: ArrayLike,
    *,
    level: ArrayLike = 0.95,
    df: ArrayLike | None = None,
    log: bool = False,
) -> Array:
    """Return the standard error of an estimate from its confidence interval.

    SE = (high - low) / (2 q), q the normal quantile, or the t quantile if `df` is given; on the log scale
    for ratios (`log`), whose intervals are symmetric there.

    Parameters
    ----------
    low, high : array_like
        Ends of the interval.
    level : array_like
        Level of the interval, 0.95 for 95 per cent.
    df : array_like, optional
        Degrees of freedom, if the interval was made with t.
    log : bool
        Whether the interval belongs to a ratio; the SE is then that of its logarithm.

    Returns
    -------
    ndarray
        Standard errors; NaN where `df` is below 1, or a ratio's end is not above 0.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.3,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    >>> se_from_ci(0.5, 2.0, log=True).round(4)
    np.float64(0.3537)
    """
    known = {"low": numbers(low), "high": numbers(high), "level": numbers(level)}
    known |= {} if df is None else {"df": numbers(df)}
    text = SE_OF_CI if df is None else SE_OF_CI_T
    return np.asarray(computed(lines_of(f"{LOG_ENDS}\n{text}" if log else text), known)["se"])


@rests_on(ALTMAN_BLAND)
@reads
def estimates_and_variances(
    estimate: ArrayLike | None = None,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    z: ArrayLike | None = None,
    p_value: ArrayLike | None = None,
    level: ArrayLike = 0.95,
    log: bool = False,
) -> tuple[Array, Array]:
    """Return effects and sampling variances from published estimates with an interval, a z or a p-value.

    Use it for results that others have computed. Row by row the interval is taken first, then z, then the
    two-sided p-value; SE = estimate / z. Ratios go to the log scale.

    Parameters
    ----------
    estimate : array_like, optional
        Estimates, on the scale on which they are published.
    low, high : array_like, optional
        Ends of their confidence intervals, on the same scale.
    z, p_value : array_like, optional
        z statistics; two-sided p-values of z tests.
    level : array_like
        Level of the intervals, one for all or one per row.
    log : bool
        Whether the estimates are ratios.

    Returns
    -------
    y, v : ndarray
        Effects (NaN if no estimate is given) and sampling variances, logarithms for ratios.

    Examples
    --------
    >>> y, v = estimates_and_variances([2.0], low=[1.0], high=[4.0], log=True)
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.1251]))
    """
    given = [x for x in (estimate, low, high, z, p_value) if x is not None]
    shape = np.broadcast_shapes(*(np.shape(x) for x in given))
    none = np.full(shape, np.nan)
    y = none if estimate is None else np.asarray(estimate, dtype=float)
    if log:
        y = np.log(np.where(y > 0, y, np.nan))
    se = none
    if low is not None and high is not None:
        se = se_from_ci(low, high, level=level, log=log)
    with np.errstate(divide="ignore", invalid="ignore"):
        if z is not None:
            se = np.where(np.isfinite(se), se, np.abs(y / np.asarray(z, dtype=float)))
        if p_value is not None:
            se = np.where(np.isfinite(se), se, np.abs(y / ndtri(np.asarray(p_value, dtype=float) / 2)))
    return np.asarray(y), np.asarray(se**2)


@conversion(f"{R_OF_SE}\n{POSSIBLE_R}", sd_1="s1", sd_2="s2")
def correlation_from_difference_se(se: ArrayLike, sd_1: ArrayLike, sd_2: ArrayLike, n: ArrayLike) -> Array:
    """Return the correlation of two conditions from the standard error of their mean difference.

    Use it for paired studies that give both standard deviations and an interval or a test of the
    difference.

    Parameters
    ----------
    se : array_like
        Standard errors of the mean within-person difference.
    sd_1, sd_2 : array_like
        Standard deviations of the conditions.
    n : array_like
        Numbers of people.

    Returns
    -------
    ndarray
        Correlations; NaN where the numbers contradict each other (``|r|`` above 1).

    References
    ----------
    Higgins, Eldridge & Li (2019), Cochrane Handbook for Systematic Reviews of Interventions,
    chapter 23.2.7, doi:10.1002/9781119536604.ch23.

    Examples
    --------
    >>> float(correlation_from_difference_se(0.5, 2.0, 2.0, 16))
    0.5
    """


@rests_on(HANDBOOK_CHANGES)
@conversion("v_c = s1**2 + s2**2 - 2 * r * s1 * s2\ns_c = sqrt(larger(v_c, 0))", **BOTH_SDS)
def change_sd(baseline_sd: ArrayLike, follow_up_sd: ArrayLike, correlation: ArrayLike) -> Array:
    """Return the standard deviation of changes from those of baseline and follow-up and their correlation.

    Use it when a paper gives both SDs, and the correlation is reported or taken from another study.

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

    Examples
    --------
    >>> change_sd(4.0, 4.4, 0.40).round(2)
    np.float64(4.61)
    """


@rests_on(HANDBOOK_CHANGES)
@conversion(f"{R_OF_CHANGE_SD}\n{POSSIBLE_R}", **BOTH_SDS)
def correlation_from_change_sd(sd: ArrayLike, baseline_sd: ArrayLike, follow_up_sd: ArrayLike) -> Array:
    """Return the correlation of baseline and follow-up that a reported SD of changes implies.

    Use it to learn the correlation from a study that gives all three SDs, for the studies that give two. The
    inverse of :func:`change_sd`.

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

    Examples
    --------
    >>> correlation_from_change_sd(4.6, 4.0, 4.4).round(2)
    np.float64(0.4)
    """


@rests_on(HANDBOOK_CHANGES)
@conversion(CHANGE_SD_OF_T, **CHANGES)
def change_sd_from_t(change: ArrayLike, t: ArrayLike, n: ArrayLike) -> Array:
    """Return the standard deviation of changes from their mean and the t statistic of a paired test.

    Use it when a paper gives the mean change and a paired t. For the F of two
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
        Standard deviations of the changes; NaN where t is 0, which says nothing of the variability.

    Examples
    --------
    >>> float(change_sd_from_t(2.0, 4.0, 16))
    2.0
    """


@rests_on(HANDBOOK_CHANGES)
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

    Examples
    --------
    >>> change_sd_from_p(2.0, 0.05, 16).round(3)
    np.float64(3.753)
    """
    t = t_from_p(p_value, 1.0, numbers(n) - 1, one_sided=one_sided)
    return change_sd_from_t(change, t, n)


@rests_on(HANDBOOK_CHANGES)
@conversion(T_OF_CHANGE_SD, **CHANGES)
def t_from_change_sd(change: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Array:
    """Return the paired t from the mean and the standard deviation of changes.

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

    Examples
    --------
    >>> float(t_from_change_sd(2.0, 2.0, 16))
    4.0
    """
