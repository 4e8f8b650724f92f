"""Two means of the same people: before and after, left and right, treated and untreated half.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
`post` is the treated condition and `pre` the other; effects are post minus pre.

Mean changes of the same people in units of the average standard deviation of the two conditions.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.corrections import hedges_factor, unbiased_correlation
from metaexo.effects.measure import Alternative, Measure, register
from metaexo.types import Array

FAMILY = "one group twice, means"
PAIRED = ("post_mean", "post_sd", "pre_mean", "pre_sd", "n", "correlation")


def difference_variance(post_sd: Array, pre_sd: Array, correlation: Array) -> Array:
    """Return the variance of within-person differences: s1^2 + s2^2 - 2 r s1 s2.

    Parameters
    ----------
    post_sd, pre_sd : ndarray
        Standard deviations of the two conditions.
    correlation : ndarray
        Correlation of the two conditions over people.

    Returns
    -------
    ndarray
        Variances, in the unit of the outcome squared.

    Examples
    --------
    >>> float(difference_variance(np.array(2.0), np.array(2.0), np.array(0.5)))
    4.0
    """
    return np.asarray(post_sd**2 + pre_sd**2 - 2 * correlation * post_sd * pre_sd)


def mean_change(
    post_mean: Array, post_sd: Array, pre_mean: Array, pre_sd: Array, n: Array, correlation: Array
) -> tuple[Array, Array]:
    """Return the mean change, post minus pre.

    Use it for split-face and before-after studies on one scale.

        y = m1 - m2,  v = (s1^2 + s2^2 - 2 r s1 s2) / n

    Parameters
    ----------
    post_mean, pre_mean : ndarray
        Means of the two conditions.
    post_sd, pre_sd : ndarray
        Their standard deviations.
    n : ndarray
        Numbers of people (pairs).
    correlation : ndarray
        Correlation of the two conditions over people.

    Returns
    -------
    y, v : ndarray
        Mean changes and sampling variances.

    References
    ----------
    Morris & DeShon (2002), Psychological Methods 7, 105-125, doi:10.1037/1082-989X.7.1.105.

    Examples
    --------
    >>> y, v = mean_change(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> float(y[0]), float(v[0])
    (2.0, 0.25)
    """
    return post_mean - pre_mean, difference_variance(post_sd, pre_sd, correlation) / n


def change_over_change_sd(
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
    """Return the mean change in units of the standard deviation of the changes.

    Use it when only change scores are of interest; it is not comparable with a standardised difference of
    two independent groups. With sd the standard deviation of the differences, m = n - 1, d = (m1 - m2)/sd
    and g = J(m) d,

        "LS"   v = 1/n + g^2 / (2 n)
        "LS2"  v = J^2 (1/n + d^2 / (2 n))
        "UB"   v = 1/n + (1 - (m - 2) / (m J^2)) g^2
        "H0"   v = J^2 m / (m - 2) / n

    Parameters
    ----------
    post_mean, pre_mean, post_sd, pre_sd, n, correlation : ndarray
        As in :func:`mean_change`.
    variance : {"LS", "LS2", "UB", "H0"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    References
    ----------
    Gibbons, Hedeker & Davis (1993), Journal of Educational Statistics 18, 271-279,
    doi:10.3102/10769986018003271.

    Examples
    --------
    >>> y, v = change_over_change_sd(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.091]))
    """
    d = (post_mean - pre_mean) / np.sqrt(difference_variance(post_sd, pre_sd, correlation))
    return change_from_d(d, n, variance=variance, bias_correction=bias_correction)


def change_from_d(
    d: Array, n: Array, *, variance: str = "LS", bias_correction: bool = True
) -> tuple[Array, Array]:
    """Return the corrected standardised change from the uncorrected one; see :func:`change_over_change_sd`.

    Parameters
    ----------
    d : ndarray
        Mean change over the standard deviation of the changes.
    n : ndarray
        Numbers of people.
    variance, bias_correction
        As in :func:`change_over_change_sd`.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    Examples
    --------
    >>> y, v = change_from_d(np.array([1.0]), np.array([16.0]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.091]))
    """
    m = n - 1
    factor = hedges_factor(m) if bias_correction else np.ones_like(d)
    g = factor * d
    if variance == "LS2":
        return g, factor**2 * (1 / n + d**2 / (2 * n))
    if variance == "UB":
        return g, 1 / n + (1 - (m - 2) / (m * factor**2)) * g**2
    if variance == "H0":
        return g, factor**2 * m / np.where(m > 2, m - 2, np.nan) / n
    return g, 1 / n + g**2 / (2 * n)


def change_over_pre_sd(
    post_mean: Array,
    pre_mean: Array,
    pre_sd: Array,
    n: Array,
    correlation: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return the mean change in units of the standard deviation before treatment.

    Use it when treatment may change the spread, so that only the first measurement tells the natural one.
    With d = (m1 - m2) / s2, m = n - 1 and g = J(m) d,

        "LS"   v = 2 (1 - r) / n + g^2 / (2 n)
        "LS2"  v = J^2 (2 (1 - r) / n + d^2 / (2 n))
        "UB"   v = 2 (1 - u) / n + (1 - (m - 2) / (m J^2)) g^2
        "H0"   v = J^2 m / (m - 2) 2 (1 - u) / n

    where u is the unbiased estimate of the correlation (NaN for n up to 4).

    Parameters
    ----------
    post_mean, pre_mean, pre_sd, n, correlation : ndarray
        As in :func:`mean_change`.
    variance : {"LS", "LS2", "UB", "H0"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    References
    ----------
    Becker (1988), British Journal of Mathematical and Statistical Psychology 41, 257-278,
    doi:10.1111/j.2044-8317.1988.tb00901.x.

    Examples
    --------
    >>> y, v = change_over_pre_sd(*np.array([[12.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.091]))
    """
    m = n - 1
    factor = hedges_factor(m) if bias_correction else np.ones_like(n)
    d = (post_mean - pre_mean) / pre_sd
    g = factor * d
    base = 2 * (1 - correlation) / n
    if variance == "LS2":
        return g, factor**2 * (base + d**2 / (2 * n))
    if variance in ("UB", "H0"):
        base = 2 * (1 - unbiased_correlation(correlation, n)) / n
    if variance == "UB":
        return g, base + (1 - (m - 2) / (m * factor**2)) * g**2
    if variance == "H0":
        return g, factor**2 * m / (m - 2) * base
    return g, base + g**2 / (2 * n)


def change_over_pre_sd_unequal(
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
    """Return the mean change over the SD before treatment, the two SDs not assumed equal.

    With sd^2 the variance of the differences and g as in :func:`change_over_pre_sd`,

        v = (sd^2 / s2^2 + g^2 / 2) / f,  f = n - 1 ("LS") or n ("LS2")

    Parameters
    ----------
    post_mean, post_sd, pre_mean, pre_sd, n, correlation : ndarray
        As in :func:`mean_change`.
    variance : {"LS", "LS2"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J(n - 1).

    Returns
    -------
    y, v : ndarray
        Standardised changes and sampling variances.

    References
    ----------
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> y, v = change_over_pre_sd_unequal(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.097]))
    """
    d = (post_mean - pre_mean) / pre_sd
    g = d * hedges_factor(n - 1) if bias_correction else d
    f = n if variance == "LS2" else n - 1
    return g, (difference_variance(post_sd, pre_sd, correlation) / pre_sd**2 + g**2 / 2) / f


def _change_of_t(t: Array, n: Array, **options: str | bool) -> tuple[Array, Array]:
    return change_from_d(t / np.sqrt(n), n, **options)  # type: ignore[arg-type]


def _change_of_p(p_value: Array, direction: Array, n: Array, **options: str | bool) -> tuple[Array, Array]:
    return _change_of_t(t_from_p(p_value, direction, n - 1), n, **options)


def _raw_of_t(post_mean: Array, pre_mean: Array, t: Array) -> tuple[Array, Array]:
    y = post_mean - pre_mean
    return y, (y / t) ** 2


def _raw_of_p(post_mean: Array, pre_mean: Array, p_value: Array, n: Array) -> tuple[Array, Array]:
    return _raw_of_t(post_mean, pre_mean, t_from_p(p_value, np.ones_like(n), n - 1))


register(
    Measure(
        code="MC",
        name="mean change",
        family=FAMILY,
        inputs=PAIRED,
        compute=mean_change,
        null=0.0,
        display="Mean change",
        reference="10.1037/1082-989X.7.1.105",
        alternatives=(
            Alternative(("post_mean", "pre_mean", "t"), _raw_of_t, "SE from paired t"),
            Alternative(("post_mean", "pre_mean", "p_value", "n"), _raw_of_p, "SE from exact paired p"),
        ),
    ),
    Measure(
        code="SMCC",
        name="standardised mean change (SD of the changes)",
        family=FAMILY,
        inputs=PAIRED,
        compute=change_over_change_sd,
        null=0.0,
        display="Standardised mean change",
        reference="10.3102/10769986018003271",
        variances=("LS", "LS2", "UB", "H0"),
        bias_corrected=True,
        alternatives=(
            Alternative(("d", "n"), change_from_d, "from d"),
            Alternative(("t", "n"), _change_of_t, "d from paired t"),
            Alternative(("p_value", "direction", "n"), _change_of_p, "d from exact paired p"),
        ),
    ),
    Measure(
        code="SMCR",
        name="standardised mean change (SD before treatment)",
        family=FAMILY,
        inputs=("post_mean", "pre_mean", "pre_sd", "n", "correlation"),
        compute=change_over_pre_sd,
        null=0.0,
        display="Standardised mean change",
        reference="10.1111/j.2044-8317.1988.tb00901.x",
        variances=("LS", "LS2", "UB", "H0"),
        bias_corrected=True,
    ),
    Measure(
        code="SMCRH",
        name="standardised mean change (SD before treatment), unequal SDs",
        family=FAMILY,
        inputs=PAIRED,
        compute=change_over_pre_sd_unequal,
        null=0.0,
        display="Standardised mean change",
        reference="10.1037/1082-989X.13.2.99",
        variances=("LS", "LS2"),
        bias_corrected=True,
    ),
)


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
        As in :func:`metaexo.effects.measures.paired_means.mean_change`.
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
        As in :func:`metaexo.effects.measures.paired_means.mean_change`.
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
