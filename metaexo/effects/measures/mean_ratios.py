"""Ratios of means, of coefficients of variation and of standard deviations, on the log scale.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.

Log ratios of means, of coefficients of variation and of SDs of the same people under two conditions.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.corrections import average_over_rows, pooled_sd
from metaexo.effects.measure import Measure, register
from metaexo.types import Array

FAMILY = "two groups, means"
MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")


def log_ratio_of_means(
    treatment_mean: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the log ratio of two means (log response ratio).

    Use it for outcomes with a true zero whose change is naturally in per cent: concentrations, areas,
    counts. Both means must have one sign. With c^2 = s^2 / m^2 of each group,

        y = log(m1 / m2) + (c1^2 / n1 - c2^2 / n2) / 2      (the second term is the bias correction)
        "LS"    v = c1^2 / n1 + c2^2 / n2
        "LS2"   v = c1^2 / n1 + c2^2 / n2 + c1^4 / (2 n1^2) + c2^4 / (2 n2^2)
        "HO"    as "LS" with the pooled standard deviation in both groups
        "AV"    as "LS" with each group's c averaged over the studies, weighted by its size
        "AVHO"  as "LS" with one c for both groups, averaged over groups and studies

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the unit of the means.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2", "HO", "AV", "AVHO"}
        Type of sampling variance.
    bias_correction : bool
        Whether to add the second-order term.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances; NaN where the means differ in sign.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80, 1150-1156, doi:10.2307/177062.
    Lajeunesse (2015), Ecology 96, 2056-2063, doi:10.1890/14-2402.1.
    Nakagawa et al. (2023), Ecology Letters 26, 232-244, doi:10.1111/ele.14144.

    Examples
    --------
    >>> y, v = log_ratio_of_means(*np.array([[20.0], [4.0], [10.0], [10.0], [2.0], [10.0]]))
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.008]))
    """
    cv2_1 = (treatment_sd / treatment_mean) ** 2
    cv2_2 = (control_sd / control_mean) ** 2
    bias = 0.5 * (cv2_1 / treatment_n - cv2_2 / control_n) if bias_correction else 0.0
    y = log_of_positive(treatment_mean / control_mean) + bias
    if variance == "HO":
        sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
        return y, sd**2 * (1 / (treatment_n * treatment_mean**2) + 1 / (control_n * control_mean**2))
    if variance == "LS2":
        second = cv2_1**2 / (2 * treatment_n**2) + cv2_2**2 / (2 * control_n**2)
        return y, cv2_1 / treatment_n + cv2_2 / control_n + second
    if variance == "AV":
        average_1 = average_over_rows(np.sqrt(cv2_1), treatment_n)
        average_2 = average_over_rows(np.sqrt(cv2_2), control_n)
        return y, average_1**2 / treatment_n + average_2**2 / control_n
    if variance == "AVHO":
        both = np.sqrt(np.concatenate([np.atleast_1d(cv2_1), np.atleast_1d(cv2_2)]))
        sizes = np.concatenate([np.atleast_1d(treatment_n), np.atleast_1d(control_n)])
        return y, average_over_rows(both, sizes) ** 2 * (1 / treatment_n + 1 / control_n)
    return y, cv2_1 / treatment_n + cv2_2 / control_n


def log_cv_ratio(
    treatment_mean: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the log ratio of two coefficients of variation.

    Use it to ask whether a treatment changes the spread relative to the mean: whether an isolation method
    is more repeatable than another, for example. With c = s / m of each group,

        y = log(c1 / c2) + 1/(2(n1 - 1)) - 1/(2(n2 - 1)) - (c1^2 / n1 - c2^2 / n2) / 2
        "LS"   v = sum over groups of c^2 / n + 1 / (2 (n - 1))
        "LS2"  v = sum over groups of c^2 / n + c^4 / (2 n^2) + n / (2 (n - 1)^2)

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups, of one sign.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the unit of the means.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to add the terms after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.
    Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423.

    Examples
    --------
    >>> y, v = log_cv_ratio(*np.array([[20.0], [8.0], [11.0], [10.0], [2.0], [11.0]]))
    >>> y.round(4), v.round(4)
    (array([0.6877]), array([0.1182]))
    """
    cv_1, cv_2 = treatment_sd / treatment_mean, control_sd / control_mean
    y = log_of_positive(cv_1 / cv_2)
    if bias_correction:
        y = y + 0.5 * (1 / (treatment_n - 1) - 1 / (control_n - 1))
        y = y - 0.5 * (cv_1**2 / treatment_n - cv_2**2 / control_n)
    if variance == "LS2":
        return y, _log_cv_variance_2(cv_1, treatment_n) + _log_cv_variance_2(cv_2, control_n)
    v = cv_1**2 / treatment_n + 1 / (2 * (treatment_n - 1))
    return y, v + cv_2**2 / control_n + 1 / (2 * (control_n - 1))


def log_sd_ratio(
    treatment_sd: Array,
    treatment_n: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the log ratio of two standard deviations (log variability ratio).

    Use it to compare the spread of two groups whose means do not differ, or whose spread does not follow
    the mean:

        y = log(s1 / s2) + 1/(2(n1 - 1)) - 1/(2(n2 - 1))
        "LS"   v = 1 / (2 (n1 - 1)) + 1 / (2 (n2 - 1))
        "LS2"  v = n1 / (2 (n1 - 1)^2) + n2 / (2 (n2 - 1)^2)

    Parameters
    ----------
    treatment_sd, control_sd : ndarray
        Standard deviations of the groups.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to add the terms after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.
    Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423.

    Examples
    --------
    >>> y, v = log_sd_ratio(*np.array([[4.0], [11.0], [2.0], [11.0]]))
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.1]))
    """
    df_1, df_2 = treatment_n - 1, control_n - 1
    y = log_of_positive(treatment_sd / control_sd)
    if bias_correction:
        y = y + 0.5 * (1 / df_1 - 1 / df_2)
    if variance == "LS2":
        return y, treatment_n / (2 * df_1**2) + control_n / (2 * df_2**2)
    return y, 1 / (2 * df_1) + 1 / (2 * df_2)


def log_of_positive(ratio: Array) -> Array:
    """Return the logarithm where the ratio is above zero, NaN elsewhere.

    Examples
    --------
    >>> log_of_positive(np.array([1.0, 0.0, -2.0]))
    array([ 0., nan, nan])
    """
    return np.asarray(np.log(np.where(ratio > 0, ratio, np.nan)))


def _log_cv_variance_2(cv: Array, n: Array) -> Array:
    """Second-order sampling variance of the log coefficient of variation of one group."""
    return np.asarray(cv**2 / n + cv**4 / (2 * n**2) + n / (2 * (n - 1) ** 2))


register(
    Measure(
        code="ROM",
        name="log ratio of means",
        family=FAMILY,
        inputs=MEANS,
        compute=log_ratio_of_means,
        null=0.0,
        display="Ratio of means",
        back=np.exp,
        display_log=True,
        reference="10.2307/177062",
        variances=("LS", "LS2", "HO", "AV", "AVHO"),
        bias_corrected=True,
    ),
    Measure(
        code="CVR",
        name="log ratio of coefficients of variation",
        family=FAMILY,
        inputs=MEANS,
        compute=log_cv_ratio,
        null=0.0,
        display="Ratio of coefficients of variation",
        back=np.exp,
        display_log=True,
        reference="10.1111/2041-210X.12309",
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
    Measure(
        code="VR",
        name="log ratio of standard deviations",
        family=FAMILY,
        inputs=("treatment_sd", "treatment_n", "control_sd", "control_n"),
        compute=log_sd_ratio,
        null=0.0,
        display="Ratio of standard deviations",
        back=np.exp,
        display_log=True,
        reference="10.1111/2041-210X.12309",
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
)


PAIRED_FAMILY = "one group twice, means"
PAIRED = ("post_mean", "post_sd", "pre_mean", "pre_sd", "n", "correlation")
REFERENCE = "10.1002/jrsm.1423"


def log_ratio_of_paired_means(
    post_mean: Array,
    post_sd: Array,
    pre_mean: Array,
    pre_sd: Array,
    n: Array,
    correlation: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the log ratio of two means of the same people.

    Use it as :func:`log_ratio_of_means`, for paired conditions. With c = s / m of each
    condition and r their correlation,

        y = log(m1 / m2) + (c1^2 - c2^2) / (2 n)      (the second term is the bias correction)
        "LS"   v = (c1^2 + c2^2 - 2 r c1 c2) / n
        "LS2"  adds (c1^4 + c2^4) / (2 n^2) + r^2 s1^2 s2^2 (m1^-4 + m2^-4) / (2 n^2)

    Parameters
    ----------
    post_mean, pre_mean : ndarray
        Means of the two conditions, of one sign.
    post_sd, pre_sd : ndarray
        Their standard deviations.
    n : ndarray
        Numbers of people.
    correlation : ndarray
        Correlation of the two conditions over people.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to add the second-order term.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances.

    References
    ----------
    Lajeunesse (2011), Ecology 92, 2049-2055, doi:10.1890/11-0423.1.
    Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423.

    Examples
    --------
    >>> y, v = log_ratio_of_paired_means(*np.array([[20.0], [4.0], [10.0], [2.0], [10.0], [0.5]]))
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.004]))
    """
    cv_1, cv_2 = post_sd / post_mean, pre_sd / pre_mean
    y = log_of_positive(post_mean / pre_mean)
    if bias_correction:
        y = y + (cv_1**2 - cv_2**2) / (2 * n)
    return y, _mean_ratio_variance(post_mean, post_sd, pre_mean, pre_sd, n, correlation, variance)


def log_ratio_of_paired_cvs(
    post_mean: Array,
    post_sd: Array,
    pre_mean: Array,
    pre_sd: Array,
    n: Array,
    correlation: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the log ratio of two coefficients of variation of the same people.

        y = log(c1 / c2) - (c1^2 - c2^2) / (2 n)      (the second term is the bias correction)
        v = variance of the log ratio of means plus that of the log ratio of standard deviations

    Parameters
    ----------
    post_mean, post_sd, pre_mean, pre_sd, n, correlation : ndarray
        As in :func:`log_ratio_of_paired_means`.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to add the second-order term.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances.

    References
    ----------
    Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423.

    Examples
    --------
    >>> y, v = log_ratio_of_paired_cvs(*np.array([[20.0], [4.0], [10.0], [2.0], [11.0], [0.5]]))
    >>> float(y[0]), v.round(4)
    (0.0, array([0.0786]))
    """
    cv_1, cv_2 = post_sd / post_mean, pre_sd / pre_mean
    y = log_of_positive(cv_1 / cv_2)
    if bias_correction:
        y = y - (cv_1**2 - cv_2**2) / (2 * n)
    v = _mean_ratio_variance(post_mean, post_sd, pre_mean, pre_sd, n, correlation, variance)
    return y, v + _sd_ratio_variance(post_sd, pre_sd, n, correlation, variance)


def log_ratio_of_paired_sds(
    post_sd: Array, pre_sd: Array, n: Array, correlation: Array, *, variance: str = "LS"
) -> tuple[Array, Array]:
    """Return the log ratio of two standard deviations of the same people.

        y = log(s1 / s2)
        "LS"   v = (1 - r^2) / (n - 1)
        "LS2"  v = n / (n - 1)^2 - r^2 / (n - 1) + r^4 (s1^4 / s2^4 + s2^4 / s1^4) / (2 (n - 1)^2)

    Parameters
    ----------
    post_sd, pre_sd, n, correlation : ndarray
        As in :func:`log_ratio_of_paired_means`.
    variance : {"LS", "LS2"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Log ratios and sampling variances.

    References
    ----------
    Senior, Viechtbauer & Nakagawa (2020), Research Synthesis Methods 11, 553-567, doi:10.1002/jrsm.1423.

    Examples
    --------
    >>> y, v = log_ratio_of_paired_sds(*np.array([[4.0], [2.0], [11.0], [0.5]]))
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.075]))
    """
    return log_of_positive(post_sd / pre_sd), _sd_ratio_variance(post_sd, pre_sd, n, correlation, variance)


def _mean_ratio_variance(
    post_mean: Array,
    post_sd: Array,
    pre_mean: Array,
    pre_sd: Array,
    n: Array,
    correlation: Array,
    variance: str,
) -> Array:
    """Return the sampling variance of the log ratio of two means of the same people."""
    cv_1, cv_2 = post_sd / post_mean, pre_sd / pre_mean
    v = (cv_1**2 + cv_2**2 - 2 * correlation * cv_1 * cv_2) / n
    if variance == "LS2":
        cross = (correlation * post_sd * pre_sd) ** 2 * (post_mean**-4.0 + pre_mean**-4.0)
        v = v + (cv_1**4 + cv_2**4 + cross) / (2 * n**2)
    return np.asarray(v)


def _sd_ratio_variance(post_sd: Array, pre_sd: Array, n: Array, correlation: Array, variance: str) -> Array:
    """Return the sampling variance of the log ratio of two standard deviations of the same people."""
    df = n - 1
    if variance != "LS2":
        return np.asarray((1 - correlation**2) / df)
    ratio = (post_sd / pre_sd) ** 4
    cross = correlation**4 * (ratio + 1 / ratio) / (2 * df**2)
    return np.asarray(n / df**2 - correlation**2 / df + cross)


register(
    Measure(
        code="ROMC",
        name="log ratio of means, same people",
        family=PAIRED_FAMILY,
        inputs=PAIRED,
        compute=log_ratio_of_paired_means,
        null=0.0,
        display="Ratio of means",
        back=np.exp,
        display_log=True,
        reference=REFERENCE,
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
    Measure(
        code="CVRC",
        name="log ratio of coefficients of variation, same people",
        family=PAIRED_FAMILY,
        inputs=PAIRED,
        compute=log_ratio_of_paired_cvs,
        null=0.0,
        display="Ratio of coefficients of variation",
        back=np.exp,
        display_log=True,
        reference=REFERENCE,
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
    Measure(
        code="VRC",
        name="log ratio of standard deviations, same people",
        family=PAIRED_FAMILY,
        inputs=("post_sd", "pre_sd", "n", "correlation"),
        compute=log_ratio_of_paired_sds,
        null=0.0,
        display="Ratio of standard deviations",
        back=np.exp,
        display_log=True,
        reference=REFERENCE,
        variances=("LS", "LS2"),
    ),
)
