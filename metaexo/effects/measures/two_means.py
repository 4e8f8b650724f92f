"""Differences of two means: raw, and standardised by a pooled standard deviation.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.

Mean differences standardised when the two groups need not have one standard deviation.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.conversions.d import t_from_p, through_d
from metaexo.effects.corrections import average_over_rows, hedges_factor, pooled_sd
from metaexo.effects.measure import Alternative, Measure, register
from metaexo.types import Array

FAMILY = "two groups, means"
MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")


def mean_difference(
    treatment_mean: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return the difference of two means, treatment minus control.

    Use it when all studies measure on one scale. With s1, s2 the standard deviations,

        y = m1 - m2,  v = s1^2 / n1 + s2^2 / n2        (variance "LS" and "UB")
                      v = sp^2 (1 / n1 + 1 / n2)       (variance "HO", one standard deviation for both groups)

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups, in the unit of the outcome.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the same unit.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "UB", "HO"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Differences and sampling variances.

    References
    ----------
    Bonett (2009), Psychological Methods 14, 225-238, doi:10.1037/a0016619.

    Examples
    --------
    >>> y, v = mean_difference(*np.array([[24.0], [5.0], [10.0], [18.0], [4.0], [8.0]]))
    >>> float(y[0]), float(v[0])
    (6.0, 4.5)
    """
    y = treatment_mean - control_mean
    if variance == "HO":
        sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
        return y, sd**2 * (1 / treatment_n + 1 / control_n)
    return y, treatment_sd**2 / treatment_n + control_sd**2 / control_n


def standardized_mean_difference(
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
    """Return Hedges' g: the mean difference in units of the pooled standard deviation.

    Use it when studies measure the same thing on different scales. With d = (m1 - m2) / sp,
    m = n1 + n2 - 2, J the exact factor of :func:`hedges_factor` and g = J d,

        "LS"   v = 1/n1 + 1/n2 + g^2 / (2 (n1 + n2))
        "LS2"  v = J^2 (1/n1 + 1/n2 + d^2 / (2 (n1 + n2)))
        "UB"   v = 1/n1 + 1/n2 + (1 - (m - 2) / (m J^2)) g^2, unbiased
        "AV"   as "LS" with the average of g over the studies, weighted by n1 + n2
        "H0"   v = J^2 m / (m - 2) (1/n1 + 1/n2), the exact variance if there is no effect

    Without the correction J is 1 throughout.

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the unit of the means.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2", "UB", "AV", "H0"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J; without it the effect is Cohen's d.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6, 107-128, doi:10.3102/10769986006002107.
    Hedges (1982), Psychological Bulletin 92, 490-499, doi:10.1037/0033-2909.92.2.490.

    Examples
    --------
    >>> y, v = standardized_mean_difference(*np.array([[24.0], [5.0], [10.0], [18.0], [5.0], [10.0]]))
    >>> y.round(3), v.round(3)
    (array([1.149]), array([0.233]))
    """
    sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
    return smd_from_d(
        (treatment_mean - control_mean) / sd,
        treatment_n,
        control_n,
        variance=variance,
        bias_correction=bias_correction,
    )


def smd_from_d(
    d: Array, treatment_n: Array, control_n: Array, *, variance: str = "LS", bias_correction: bool = True
) -> tuple[Array, Array]:
    """Return Hedges' g from an uncorrected standardised mean difference (Cohen's d).

    Parameters
    ----------
    d : ndarray
        Mean difference over the pooled standard deviation, without correction.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance, bias_correction
        As in :func:`standardized_mean_difference`.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    Examples
    --------
    >>> y, v = smd_from_d(np.array([1.2]), np.array([10.0]), np.array([10.0]))
    >>> y.round(3), v.round(3)
    (array([1.149]), array([0.233]))
    """
    total = treatment_n + control_n
    m = total - 2
    factor = hedges_factor(m) if bias_correction else np.ones_like(d)
    g = factor * d
    base = 1 / treatment_n + 1 / control_n
    if variance == "LS2":
        return g, factor**2 * (base + d**2 / (2 * total))
    if variance == "UB":
        return g, base + (1 - (m - 2) / (m * factor**2)) * g**2
    if variance == "AV":
        return g, base + average_over_rows(g, total) ** 2 / (2 * total)
    if variance == "H0":
        return g, factor**2 * m / np.where(m > 2, m - 2, np.nan) * base
    return g, base + g**2 / (2 * total)


def _difference_of_t(treatment_mean: Array, control_mean: Array, t: Array, **_: str) -> tuple[Array, Array]:
    y = treatment_mean - control_mean
    return y, (y / t) ** 2


def _difference_of_p(
    treatment_mean: Array,
    control_mean: Array,
    p_value: Array,
    treatment_n: Array,
    control_n: Array,
    **_: str,
) -> tuple[Array, Array]:
    t = t_from_p(p_value, np.ones_like(p_value), treatment_n + control_n - 2)
    return _difference_of_t(treatment_mean, control_mean, t)


register(
    Measure(
        code="MD",
        name="mean difference",
        family=FAMILY,
        inputs=MEANS,
        compute=mean_difference,
        null=0.0,
        display="Mean difference",
        reference="10.1037/a0016619",
        variances=("LS", "UB", "HO"),
        alternatives=(
            Alternative(("treatment_mean", "control_mean", "t"), _difference_of_t, "SE from t"),
            Alternative(
                ("treatment_mean", "control_mean", "p_value", "treatment_n", "control_n"),
                _difference_of_p,
                "SE from exact p",
            ),
        ),
    ),
    Measure(
        code="SMD",
        name="standardised mean difference (Hedges' g)",
        family=FAMILY,
        inputs=MEANS,
        compute=standardized_mean_difference,
        null=0.0,
        display="Standardised mean difference",
        reference="10.3102/10769986006002107",
        variances=("LS", "LS2", "UB", "AV", "H0"),
        bias_corrected=True,
        alternatives=through_d(smd_from_d),
    ),
)


def average_sd_difference(
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
    """Return the mean difference in units of the average standard deviation, variances not assumed equal.

    Use it in place of Hedges' g when the groups differ in spread. With s^2 = (s1^2 + s2^2) / 2,
    d = (m1 - m2) / s, g = J(n1 + n2 - 2) d,

        v = g^2 (s1^4 / f1 + s2^4 / f2) / (8 s^4) + (s1^2 / h1 + s2^2 / h2) / s^2

    where f and h are both n - 1 ("LS"), both n ("LS2"), or n - 1 and n ("LS3").

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the unit of the means.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2", "LS3"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> y, v = average_sd_difference(*np.array([[24.0], [5.0], [10.0], [18.0], [4.0], [12.0]]))
    >>> y.round(3), v.round(3)
    (array([1.275]), array([0.251]))
    """
    square = (treatment_sd**2 + control_sd**2) / 2
    d = (treatment_mean - control_mean) / np.sqrt(square)
    g = d * hedges_factor(treatment_n + control_n - 2) if bias_correction else d
    v = average_sd_variance(g, treatment_sd, treatment_n, control_sd, control_n, variance)
    return g, v


def average_sd_variance(
    effect: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_sd: Array,
    control_n: Array,
    variance: str,
) -> Array:
    """Return the sampling variance of a mean difference over the average standard deviation.

    Parameters
    ----------
    effect : ndarray
        Standardised differences.
    treatment_sd, control_sd, treatment_n, control_n : ndarray
        Standard deviations and sizes of the groups.
    variance : {"LS", "LS2", "LS3"}
        Type of sampling variance; see :func:`average_sd_difference`.

    Returns
    -------
    ndarray
        Sampling variances.

    Examples
    --------
    >>> one, ten = np.array([1.0]), np.array([11.0])
    >>> average_sd_variance(np.array([0.0]), one, ten, one, ten, "LS")
    array([0.2])
    """
    f1, f2, h1, h2 = treatment_n - 1, control_n - 1, treatment_n - 1, control_n - 1
    if variance == "LS2":
        f1, f2 = treatment_n, control_n
    if variance in ("LS2", "LS3"):
        h1, h2 = treatment_n, control_n
    square = (treatment_sd**2 + control_sd**2) / 2
    of_sds = effect**2 * (treatment_sd**4 / f1 + control_sd**4 / f2) / (8 * square**2)
    return np.asarray(of_sds + (treatment_sd**2 / h1 + control_sd**2 / h2) / square)


def control_sd_difference(
    treatment_mean: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return Glass' delta: the mean difference in units of the control group's standard deviation.

    Use it when treatment changes the spread, so that only untreated people show the natural one. With
    d = (m1 - m2) / s2, m = n2 - 1, J = J(m) and g = J d,

        "LS"   v = 1/n1 + 1/n2 + g^2 / (2 n2)
        "LS2"  v = J^2 (1/n1 + 1/n2 + d^2 / (2 n2))
        "UB"   v = 1/n1 + 1/n2 + (1 - (m - 2) / (m J^2)) g^2
        "AV"   as "LS" with the average of g over the studies, weighted by n1 + n2
        "H0"   v = J^2 m / (m - 2) (1/n1 + 1/n2)

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    control_sd : ndarray
        Standard deviations of the control groups.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2", "UB", "AV", "H0"}
        Type of sampling variance.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Glass (1976), Educational Researcher 5(10), 3-8, doi:10.3102/0013189X005010003.

    Examples
    --------
    >>> y, v = control_sd_difference(*np.array([[24.0], [10.0], [18.0], [4.0], [12.0]]))
    >>> y.round(3), v.round(3)
    (array([1.395]), array([0.264]))
    """
    total, m = treatment_n + control_n, control_n - 1
    d = (treatment_mean - control_mean) / control_sd
    factor = hedges_factor(m) if bias_correction else np.ones_like(d)
    g = factor * d
    base = 1 / treatment_n + 1 / control_n
    if variance == "LS2":
        return g, factor**2 * (base + d**2 / (2 * control_n))
    if variance == "UB":
        return g, base + (1 - (m - 2) / (m * factor**2)) * g**2
    if variance == "AV":
        return g, base + average_over_rows(g, total) ** 2 / (2 * control_n)
    if variance == "H0":
        return g, factor**2 * m / np.where(m > 2, m - 2, np.nan) * base
    return g, base + g**2 / (2 * control_n)


def control_sd_difference_unequal(
    treatment_mean: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    bias_correction: bool = True,
) -> tuple[Array, Array]:
    """Return Glass' delta with a variance that does not assume equal standard deviations.

        v = s1^2 / (s2^2 (n1 - 1)) + 1 / (n2 - 1) + g^2 / (2 (n2 - 1))

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    treatment_sd, control_sd : ndarray
        Standard deviations.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    bias_correction : bool
        Whether to multiply by J(n2 - 1).

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> y, v = control_sd_difference_unequal(*np.array([[24.0], [5.0], [10.0], [18.0], [4.0], [12.0]]))
    >>> y.round(3), v.round(3)
    (array([1.395]), array([0.353]))
    """
    d = (treatment_mean - control_mean) / control_sd
    g = d * hedges_factor(control_n - 1) if bias_correction else d
    of_means = treatment_sd**2 / (control_sd**2 * (treatment_n - 1)) + 1 / (control_n - 1)
    return g, of_means + g**2 / (2 * (control_n - 1))


register(
    Measure(
        code="SMDH",
        name="standardised mean difference, average SD",
        family=FAMILY,
        inputs=MEANS,
        compute=average_sd_difference,
        null=0.0,
        display="Standardised mean difference",
        reference="10.1037/1082-989X.13.2.99",
        variances=("LS", "LS2", "LS3"),
        bias_corrected=True,
    ),
    Measure(
        code="SMD1",
        name="standardised mean difference, SD of the controls (Glass' delta)",
        family=FAMILY,
        inputs=("treatment_mean", "treatment_n", "control_mean", "control_sd", "control_n"),
        compute=control_sd_difference,
        null=0.0,
        display="Standardised mean difference",
        reference="10.3102/0013189X005010003",
        variances=("LS", "LS2", "UB", "AV", "H0"),
        bias_corrected=True,
    ),
    Measure(
        code="SMD1H",
        name="standardised mean difference, SD of the controls, unequal SDs",
        family=FAMILY,
        inputs=MEANS,
        compute=control_sd_difference_unequal,
        null=0.0,
        display="Standardised mean difference",
        reference="10.1037/1082-989X.13.2.99",
        bias_corrected=True,
    ),
)
