"""Mean changes of the same people in units of the average standard deviation of the two conditions.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.corrections import hedges_factor
from metaexo.effects.measure import Alternative, Measure, register
from metaexo.effects.paired_means import FAMILY, PAIRED, difference_variance
from metaexo.effects.t_statistics import t_from_p
from metaexo.types import Array


def change_over_average_sd(
    post_mean: Array,
    post_sd: Array,
    pre_mean: Array,
    pre_sd: Array,
    n: Array,
    correlation: Array,
    *,
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the mean change in units of the average standard deviation of the two conditions.

    Use it to set paired studies beside studies of two independent groups on one standardised scale.
    With sp^2 = (s1^2 + s2^2) / 2, d = (m1 - m2) / sp and g = J d, J with 2 (n - 1) / (1 + r^2) degrees of
    freedom,

        v = 2 (1 - r) / n + g^2 (1 + r^2) / (4 n)

    Parameters
    ----------
    post_mean, pre_mean, post_sd, pre_sd, n, correlation : ndarray
        As in :func:`metaexo.effects.paired_means.mean_change`.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    References
    ----------
    Cousineau (2020), The Quantitative Methods for Psychology 16, 418-421, doi:10.20982/tqmp.16.4.p418.

    Examples
    --------
    >>> y, v = change_over_average_sd(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(3), v.round(3)
    (array([0.968]), array([0.081]))
    """
    d = (post_mean - pre_mean) / np.sqrt((post_sd**2 + pre_sd**2) / 2)
    return average_sd_change_from_d(d, n, correlation, bias_correction=bias_correction)


def average_sd_change_from_d(
    d: Array, n: Array, correlation: Array, *, bias_correction: bool = True
) -> tuple[Array, Array]:
    """Return the corrected effect of :func:`change_over_average_sd` from the uncorrected one.

    Parameters
    ----------
    d : ndarray
        Mean change over the average standard deviation of the conditions.
    n, correlation : ndarray
        Numbers of people, correlation of the conditions.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    Examples
    --------
    >>> y, v = average_sd_change_from_d(np.array([1.0]), np.array([16.0]), np.array([0.5]))
    >>> y.round(3), v.round(3)
    (array([0.968]), array([0.081]))
    """
    shared = 1 + correlation**2
    g = d * hedges_factor(2 * (n - 1) / shared) if bias_correction else d
    return g, 2 * (1 - correlation) / n + g**2 * shared / (4 * n)


def average_sd_d_from_t(t: Array, n: Array, correlation: Array) -> Array:
    """Return the change over the average SD from a paired t: d = t sqrt(2 (1 - r) / n).

    Exact when the two conditions have one standard deviation.

    Parameters
    ----------
    t : ndarray
        Paired t statistics.
    n, correlation : ndarray
        Numbers of people, correlation of the conditions.

    Returns
    -------
    ndarray
        Uncorrected standardised changes.

    References
    ----------
    Dunlap, Cortina, Vaslow & Burke (1996), Psychological Methods 1, 170-177, doi:10.1037/1082-989X.1.2.170.

    Examples
    --------
    >>> float(average_sd_d_from_t(np.array(4.0), np.array(16.0), np.array(0.5)))
    1.0
    """
    return np.asarray(t * np.sqrt(2 * (1 - correlation) / n))


def change_over_average_sd_unequal(
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
    """Return the mean change over the average SD, the two SDs not assumed equal.

    With sd^2 the variance of the differences, sp^2 = (s1^2 + s2^2) / 2 and g as in
    :func:`change_over_average_sd`,

        v = (sd^2 / sp^2 + g^2 (s1^4 + s2^4 + 2 r^2 s1^2 s2^2) / (8 sp^4)) / f

    with f = n - 1 ("LS") or n ("LS2").

    Parameters
    ----------
    post_mean, post_sd, pre_mean, pre_sd, n, correlation : ndarray
        As in :func:`metaexo.effects.paired_means.mean_change`.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    References
    ----------
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> y, v = change_over_average_sd_unequal(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(3), v.round(3)
    (array([0.968]), array([0.086]))
    """
    square = (post_sd**2 + pre_sd**2) / 2
    d = (post_mean - pre_mean) / np.sqrt(square)
    g = d * hedges_factor(2 * (n - 1) / (1 + correlation**2)) if bias_correction else d
    of_sds = post_sd**4 + pre_sd**4 + 2 * (correlation * post_sd * pre_sd) ** 2
    f = n if variance == "LS2" else n - 1
    of_means = difference_variance(post_sd, pre_sd, correlation) / square
    return g, (of_means + g**2 * of_sds / (8 * square**2)) / f


def _average_sd_of_t(t: Array, n: Array, correlation: Array, **options: bool) -> tuple[Array, Array]:
    return average_sd_change_from_d(average_sd_d_from_t(t, n, correlation), n, correlation, **options)


def _average_sd_of_p(
    p_value: Array, direction: Array, n: Array, correlation: Array, **options: bool
) -> tuple[Array, Array]:
    return _average_sd_of_t(t_from_p(p_value, direction, n - 1), n, correlation, **options)


register(
    Measure(
        code="SMCRP",
        name="standardised mean change (average SD)",
        family=FAMILY,
        inputs=PAIRED,
        compute=change_over_average_sd,
        null=0.0,
        display="Standardised mean change",
        reference="10.20982/tqmp.16.4.p418",
        bias_corrected=True,
        alternatives=(
            Alternative(("t", "n", "correlation"), _average_sd_of_t, "d from paired t"),
            Alternative(
                ("p_value", "direction", "n", "correlation"), _average_sd_of_p, "d from exact paired p"
            ),
        ),
    ),
    Measure(
        code="SMCRPH",
        name="standardised mean change (average SD), unequal SDs",
        family=FAMILY,
        inputs=PAIRED,
        compute=change_over_average_sd_unequal,
        null=0.0,
        display="Standardised mean change",
        reference="10.1037/1082-989X.13.2.99",
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
)
