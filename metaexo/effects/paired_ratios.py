"""Log ratios of means, of coefficients of variation and of SDs of the same people under two conditions.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.mean_ratios import log_of_positive
from metaexo.effects.measure import Measure, register
from metaexo.types import Array

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

    Use it as :func:`metaexo.effects.mean_ratios.log_ratio_of_means`, for paired conditions. With c = s / m
    of each condition and r their correlation,

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
