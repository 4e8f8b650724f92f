"""The probability that a treated person does better than an untreated one (common language effect, AUC).

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from metaexo.effects.conversions.d import through_d
from metaexo.effects.corrections import pooled_sd
from metaexo.effects.measure import Alternative, Measure, register
from metaexo.effects.measures.two_means import average_sd_variance
from metaexo.types import Array

MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")
PAIRED = ("post_mean", "post_sd", "pre_mean", "pre_sd", "n", "correlation")


def superiority(
    auc: Array, treatment_n: Array, control_n: Array, ties: Array | None = None, *, variance: str = "LS"
) -> tuple[Array, Array]:
    """Return a probability of superiority as it is, with a variance that asks no distribution.

    Use it for areas under the ROC curve and for Mann-Whitney statistics U / (n1 n2). With A the
    probability, q1 = A / (2 - A) - A^2, q2 = 2 A^2 / (1 + A) - A^2 and n = (n1 + n2) / 2,

        "LS"   v = (A (1 - A) + (n - 1) (q1 + q2)) / ((n1 - 1) (n2 - 1))
        "LS2"  v = (A (1 - A) - t / 4 + (n1 - 1) q1 + (n2 - 1) q2) / ((n1 - 1) (n2 - 1)), t share of ties
        "H0"   v = (n1 + n2 + 1) / (12 n1 n2), as if there were no effect
        "MAX"  v = A (1 - A) / (min(n1, n2) - 1), the largest possible

    Parameters
    ----------
    auc : ndarray
        Probabilities, 0 to 1.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    ties : ndarray, optional
        Share of tied pairs, 0 to 1; counts for "LS2" only.
    variance : {"LS", "LS2", "H0", "MAX"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Probabilities and sampling variances.

    References
    ----------
    Hanley & McNeil (1982), Radiology 143, 29-36, doi:10.1148/radiology.143.1.7063747.
    Newcombe (2006), Statistics in Medicine 25, 559-573, doi:10.1002/sim.2324.

    Examples
    --------
    >>> y, v = superiority(np.array([0.75]), np.array([20.0]), np.array([20.0]))
    >>> float(y[0]), v.round(4)
    (0.75, array([0.0067]))
    """
    a, shared = auc, 0.0 if ties is None else ties
    q1, q2 = a / (2 - a) - a**2, 2 * a**2 / (1 + a) - a**2
    pairs = (treatment_n - 1) * (control_n - 1)
    if variance == "LS2":
        own = (treatment_n - 1) * q1 + (control_n - 1) * q2
        return a, (a * (1 - a) - shared / 4 + own) / pairs
    if variance == "H0":
        return a, (treatment_n + control_n + 1) / (12 * treatment_n * control_n)
    if variance == "MAX":
        return a, a * (1 - a) / (np.minimum(treatment_n, control_n) - 1)
    return a, (a * (1 - a) + ((treatment_n + control_n) / 2 - 1) * (q1 + q2)) / pairs


def normal_superiority(
    treatment_mean: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_mean: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return the probability of superiority of two normal distributions.

    Use it to tell readers a mean difference as a probability. With D = (m1 - m2) / sqrt(s1^2 + s2^2), Phi
    and phi the normal distribution function and density,

        y = Phi(D),  v = phi(D)^2 Var(D)

    where Var(D) is half that of the difference over the average standard deviation ("LS", "LS2", "LS3";
    ``average_sd_difference``). "HO" assumes one standard deviation for both groups, in effect and
    variance; "H0" takes the variance as if there were no effect.

    Parameters
    ----------
    treatment_mean, control_mean : ndarray
        Means of the groups.
    treatment_sd, control_sd : ndarray
        Standard deviations, in the unit of the means.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "LS2", "LS3", "HO", "H0"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Probabilities and sampling variances.

    References
    ----------
    McGraw & Wong (1992), Psychological Bulletin 111, 361-365, doi:10.1037/0033-2909.111.2.361.
    Ruscio (2008), Psychological Methods 13, 19-30, doi:10.1037/1082-989X.13.1.19.

    Examples
    --------
    >>> y, v = normal_superiority(*np.array([[24.0], [5.0], [10.0], [18.0], [4.0], [12.0]]))
    >>> y.round(4), v.round(4)
    (array([0.8256]), array([0.0084]))
    """
    gap = treatment_mean - control_mean
    if variance == "HO":
        sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
        return superiority_from_d(gap / sd, treatment_n, control_n)
    delta = gap / np.sqrt(treatment_sd**2 + control_sd**2)
    if variance == "H0":
        d, kind = np.zeros_like(delta), "LS"
    else:
        d, kind = delta * np.sqrt(2), variance
    v = average_sd_variance(d, treatment_sd, treatment_n, control_sd, control_n, kind)
    return ndtr(delta), _slope(d) * v


def superiority_from_d(d: Array, treatment_n: Array, control_n: Array, **_: str) -> tuple[Array, Array]:
    """Return the probability of superiority from an uncorrected standardised mean difference.

    Groups with one standard deviation: y = Phi(d / sqrt(2)).

    Parameters
    ----------
    d : ndarray
        Mean differences over the pooled standard deviation.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    **_ : str
        The type of sampling variance is not used: d alone allows this one only.

    Returns
    -------
    y, v : ndarray
        Probabilities and sampling variances.

    Examples
    --------
    >>> y, v = superiority_from_d(np.array([0.0]), np.array([10.0]), np.array([10.0]))
    >>> float(y[0]), v.round(4)
    (0.5, array([0.0159]))
    """
    v = 1 / treatment_n + 1 / control_n + d**2 / (2 * (treatment_n + control_n))
    return ndtr(d / np.sqrt(2)), _slope(d) * v


def normal_superiority_from_auc(
    auc: Array, treatment_n: Array, control_n: Array, **_: str
) -> tuple[Array, Array]:
    """Return a reported area under the curve with the variance of two normal groups of one SD.

    Parameters
    ----------
    auc : ndarray
        Areas under the ROC curve.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    **_ : str
        The type of sampling variance is not used.

    Returns
    -------
    y, v : ndarray
        Areas and sampling variances.

    References
    ----------
    Goddard & Hinberg (1990), Statistics in Medicine 9, 325-337, doi:10.1002/sim.4780090402.

    Examples
    --------
    >>> y, v = normal_superiority_from_auc(np.array([0.5]), np.array([10.0]), np.array([10.0]))
    >>> float(y[0]), v.round(4)
    (0.5, array([0.0159]))
    """
    return auc, superiority_from_d(np.sqrt(2) * ndtri(auc), treatment_n, control_n)[1]


def normal_superiority_from_auc_and_sds(
    auc: Array,
    treatment_sd: Array,
    treatment_n: Array,
    control_sd: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return a reported area under the curve with the variance of two normal groups of known SDs.

    Parameters
    ----------
    auc : ndarray
        Areas under the ROC curve.
    treatment_sd, control_sd, treatment_n, control_n : ndarray
        Standard deviations and sizes of the groups.
    variance : {"LS", "LS2", "LS3", "HO", "H0"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Areas and sampling variances.

    References
    ----------
    Goddard & Hinberg (1990), Statistics in Medicine 9, 325-337, doi:10.1002/sim.4780090402.

    Examples
    --------
    >>> sd, n = np.array([1.0]), np.array([11.0])
    >>> y, v = normal_superiority_from_auc_and_sds(np.array([0.5]), sd, n, sd, n)
    >>> float(y[0]), v.round(4)
    (0.5, array([0.0159]))
    """
    gap = ndtri(auc) * np.sqrt(treatment_sd**2 + control_sd**2)
    v = normal_superiority(
        gap, treatment_sd, treatment_n, np.zeros_like(gap), control_sd, control_n, variance=variance
    )[1]
    return auc, v


def paired_superiority(
    post_mean: Array, post_sd: Array, pre_mean: Array, pre_sd: Array, n: Array, correlation: Array
) -> tuple[Array, Array]:
    """Return the probability of superiority from the same people under two conditions.

    The effect is that of two unpaired people, as in :func:`normal_superiority`; its variance allows for the
    correlation r. With s^2 the mean of the two variances, d = (m1 - m2) / s and D = d / sqrt(2),

        v = phi(D)^2 / 2 ((s1^2 + s2^2 - 2 r s1 s2) / s^2
            + d^2 (s1^4 + s2^4 + 2 r^2 s1^2 s2^2) / (8 s^4)) / (n - 1)

    Parameters
    ----------
    post_mean, pre_mean, post_sd, pre_sd : ndarray
        Means and standard deviations of the two conditions.
    n, correlation : ndarray
        Numbers of people, correlation of the conditions.

    Returns
    -------
    y, v : ndarray
        Probabilities and sampling variances.

    References
    ----------
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> y, v = paired_superiority(*np.array([[12.0], [2.0], [10.0], [2.0], [16.0], [0.5]]))
    >>> y.round(4), v.round(4)
    (array([0.7602]), array([0.0042]))
    """
    square = (post_sd**2 + pre_sd**2) / 2
    d = (post_mean - pre_mean) / np.sqrt(square)
    of_means = (2 * square - 2 * correlation * post_sd * pre_sd) / square
    of_sds = post_sd**4 + pre_sd**4 + 2 * (correlation * post_sd * pre_sd) ** 2
    v = (of_means + d**2 * of_sds / (8 * square**2)) / (n - 1)
    return ndtr(d / np.sqrt(2)), _slope(d) * v


def _slope(d: Array) -> Array:
    """Return the square of the derivative of Phi(d / sqrt(2)): phi(d / sqrt(2))^2 / 2."""
    return np.asarray(np.exp(-(d**2) / 2) / (4 * np.pi))


_TIES = ("auc", "treatment_n", "control_n", "ties")
_WITHOUT_TIES = Alternative(("auc", "treatment_n", "control_n"), superiority, "")
_OF_TWO_NORMALS = (
    *through_d(superiority_from_d),
    Alternative(
        ("auc", "treatment_sd", "treatment_n", "control_sd", "control_n"),
        normal_superiority_from_auc_and_sds,
        "variance from AUC and SDs",
    ),
    Alternative(("auc", "treatment_n", "control_n"), normal_superiority_from_auc, "variance from AUC"),
)


def _probability(
    code: str,
    name: str,
    compute: Callable[..., tuple[Array, Array]],
    inputs: tuple[str, ...],
    variances: tuple[str, ...] = (),
    alternatives: tuple[Alternative, ...] = (),
) -> Measure:
    """Return a record with what the probabilities of superiority have in common."""
    return Measure(
        code=code,
        name=name,
        family="one group twice, means" if "pre_mean" in inputs else "two groups, means",
        inputs=inputs,
        compute=compute,
        null=0.5,
        display="Probability of superiority",
        orientation="none",
        reference="10.1037/0033-2909.111.2.361" if inputs == MEANS else "10.1002/sim.2324",
        variances=variances,
        alternatives=alternatives,
    )


_FREE = ("LS", "LS2", "H0", "MAX")
_NORMAL = ("LS", "LS2", "LS3", "HO", "H0")
_PAIRED_NAME = "probability of superiority, normal outcome, same people"

register(
    _probability("CLES", "probability of superiority", superiority, _TIES, _FREE, (_WITHOUT_TIES,)),
    _probability("AUC", "area under the ROC curve", superiority, _TIES, _FREE, (_WITHOUT_TIES,)),
    _probability(
        "CLESN",
        "probability of superiority, normal outcome",
        normal_superiority,
        MEANS,
        _NORMAL,
        _OF_TWO_NORMALS,
    ),
    _probability(
        "AUCN",
        "area under the ROC curve, normal outcome",
        normal_superiority,
        MEANS,
        _NORMAL,
        _OF_TWO_NORMALS,
    ),
    _probability("CLESCN", _PAIRED_NAME, paired_superiority, PAIRED),
)
