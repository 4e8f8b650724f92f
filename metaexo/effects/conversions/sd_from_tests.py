# mypy: disable-error-code="empty-body"
"""The standard deviation within groups from the difference of their means and a test of it, and back.

All take arrays (or numbers) and return arrays; missing values stay missing. One SD is had for both groups:
that which the test pooled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import check_shapes, numbers, reads, reads_groups
from metaexo.effects.conversions.d import t_from_p
from metaexo.effects.formulas import conversion
from metaexo.effects.papers import COHEN_ANOVA, HANDBOOK_TESTS, LAKENS, rests_on
from metaexo.errors import ShapeError
from metaexo.types import Array

SD_OF_T = "s = abs(D) / abs(t) / sqrt(1 / n1 + 1 / n2) if abs(t) > 0 else nan"


@rests_on(HANDBOOK_TESTS)
@conversion(SD_OF_T)
def sd_from_t(difference: ArrayLike, t: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return the SD within two groups from the difference of their means and its t statistic.

    Use it when a paper gives means and Student's t (one pooled variance), and no SDs.

    Parameters
    ----------
    difference : array_like
        Differences of the two means; the sign does not matter.
    t : array_like
        t statistics of two independent groups.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        Pooled standard deviations; NaN where t is 0, which says nothing of the variability.

    Examples
    --------
    >>> sd_from_t(3.8, 2.78, 25, 22).round(2)
    np.float64(4.68)
    """


@rests_on(HANDBOOK_TESTS)
@conversion("t = D / (s * sqrt(1 / n1 + 1 / n2))")
def t_from_sd(difference: ArrayLike, sd: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return Student's t of two groups from the difference of their means and the SD within them.

    The inverse of :func:`sd_from_t`.

    Parameters
    ----------
    difference : array_like
        Differences of the two means.
    sd : array_like
        Pooled standard deviations.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        t statistics, with the sign of the difference.

    Examples
    --------
    >>> t_from_sd(3.8, 4.6762, 25, 22).round(2)
    np.float64(2.78)
    """


@rests_on(HANDBOOK_TESTS)
@reads
def sd_from_p(
    difference: ArrayLike,
    p_value: ArrayLike,
    treatment_n: ArrayLike,
    control_n: ArrayLike,
    *,
    one_sided: bool = False,
) -> Array:
    """Return the SD within two groups from the difference of their means and its exact p-value.

    Use it for p-values of Student's t test that are reported with "=": the p gives t with n1 + n2 - 2
    degrees of freedom, and t the SD as in :func:`sd_from_t`.

    Parameters
    ----------
    difference : array_like
        Differences of the two means; the sign does not matter.
    p_value : array_like
        p-values.
    treatment_n, control_n : array_like
        Sizes of the groups.
    one_sided : bool
        Whether the p-values are one-sided.

    Returns
    -------
    ndarray
        Pooled standard deviations; NaN where p says that t is 0.

    Examples
    --------
    The example of the Handbook, a difference of 3.8 with p = 0.008 in 25 and 22 people. It rounds the
    standard error to 1.37 on the way, and arrives at 4.69.

    >>> sd_from_p(3.8, 0.008, 25, 22).round(2)
    np.float64(4.68)
    """
    df = numbers(treatment_n) + numbers(control_n) - 2
    t = t_from_p(p_value, 1.0, df, one_sided=one_sided)
    return sd_from_t(difference, t, treatment_n, control_n)


@rests_on(LAKENS)
@conversion(f"t = sqrt(F)\n{SD_OF_T}")
def sd_from_f(difference: ArrayLike, f: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike) -> Array:
    """Return the SD within two groups from the difference of their means and its F statistic.

    Use it for an analysis of variance of two groups: abs(t) is the root of F, and the SD as in
    :func:`sd_from_t`. For three groups or more take :func:`sd_from_anova`.

    Parameters
    ----------
    difference : array_like
        Differences of the two means; the sign does not matter.
    f : array_like
        F statistics with 1 and n1 + n2 - 2 degrees of freedom.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray
        Pooled standard deviations; NaN where F is 0.

    Examples
    --------
    >>> sd_from_f(3.8, 7.7284, 25, 22).round(2)
    np.float64(4.68)
    """


@rests_on(COHEN_ANOVA)
@reads_groups
def sd_from_anova(f: ArrayLike, means: ArrayLike, n: ArrayLike) -> Array:
    """Return the SD within groups from the F of a one-way analysis of variance and all groups' means.

    Use it when a paper with three groups or more gives means and F, and no SDs: with M the mean of all
    people and G groups,

        MSB = sum(n (m - M)^2) / (G - 1),  s^2 = MSE = MSB / F.

    Parameters
    ----------
    f : array_like, shape (...)
        F statistics with G - 1 and N - G degrees of freedom.
    means : array_like, shape (..., G)
        Means of the groups, along the last axis.
    n : array_like, shape (..., G)
        Sizes of the groups.

    Returns
    -------
    ndarray, shape (...)
        Standard deviations within groups; NaN where F is 0.

    Raises
    ------
    ShapeError
        If there are fewer than two groups.
    InputError
        If an F is negative.

    Examples
    --------
    >>> float(sd_from_anova(3.0, [10.0, 12.0, 14.0], [6, 6, 6]).round(3))
    2.828
    """
    between, statistic = _between(means, n), numbers(f)
    check_shapes({"f": statistic, "the groups": between})
    with np.errstate(divide="ignore", invalid="ignore"):
        square = between / statistic
    return np.asarray(np.sqrt(np.where(np.isfinite(square), square, np.nan)))


@rests_on(COHEN_ANOVA)
@reads_groups
def anova_f_from_sd(sd: ArrayLike, means: ArrayLike, n: ArrayLike) -> Array:
    """Return the F of a one-way analysis of variance from means, sizes and the SD within groups.

    The inverse of :func:`sd_from_anova`: F = MSB / s^2.

    Parameters
    ----------
    sd : array_like, shape (...)
        Pooled standard deviations within groups.
    means : array_like, shape (..., G)
        Means of the groups, along the last axis.
    n : array_like, shape (..., G)
        Sizes of the groups.

    Returns
    -------
    ndarray, shape (...)
        F statistics with G - 1 and N - G degrees of freedom.

    Raises
    ------
    ShapeError
        If there are fewer than two groups.
    NegativeSDError
        If a standard deviation is negative.

    Examples
    --------
    >>> float(anova_f_from_sd(8**0.5, [10.0, 12.0, 14.0], [6, 6, 6]).round(3))
    3.0
    """
    between, spread = _between(means, n), numbers(sd)
    check_shapes({"sd": spread, "the groups": between})
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(between / spread**2)


def _between(means: ArrayLike, n: ArrayLike) -> Array:
    """Return the mean square between groups, the groups along the last axis."""
    given = {"means": numbers(means), "n": numbers(n)}
    check_shapes(given)
    m, size = np.broadcast_arrays(*given.values())
    groups = m.shape[-1] if m.ndim else 1
    if groups < 2:
        raise ShapeError("means of one group", "means of two groups or more along the last axis")
    centre = (size * m).sum(axis=-1, keepdims=True) / size.sum(axis=-1, keepdims=True)
    return np.asarray((size * (m - centre) ** 2).sum(axis=-1) / (groups - 1))
