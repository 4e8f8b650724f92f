"""Two groups as a correlation: point-biserial and biserial, raw and as Fisher's z.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from metaexo.effects.conversions.d import through_d
from metaexo.effects.corrections import pooled_sd
from metaexo.effects.measure import Measure, identity, register
from metaexo.types import Array

MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")


def point_biserial(
    d: Array, treatment_n: Array, control_n: Array, *, variance: str = "ST"
) -> tuple[Array, Array]:
    """Return the point-biserial correlation of a standardised mean difference.

    Use it to bring two-group studies into a synthesis of correlations when group membership is a true
    dichotomy. With m = n1 + n2 - 2 and h = m / n1 + m / n2,

        r = d / sqrt(d^2 + h)
        "ST" (group sizes fixed by design)  v = h^2 / (d^2 + h)^3 (1/n1 + 1/n2 + d^2 / (2 (n1 + n2)))
        "CS" (only the total fixed), p = n1 / (n1 + n2):
             v = (1 - r^2)^2 (1 - 3/2 r^2 + r^2 / (4 p (1 - p))) / (n1 + n2)

    Parameters
    ----------
    d : ndarray
        Mean differences over the pooled standard deviation, without correction.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"ST", "LS", "CS"}
        Type of sampling variance; "LS" is "ST".

    Returns
    -------
    y, v : ndarray
        Correlations and sampling variances.

    References
    ----------
    Tate (1954), Annals of Mathematical Statistics 25, 603-607, doi:10.1214/aoms/1177728730.
    Jacobs & Viechtbauer (2017), Research Synthesis Methods 8, 161-180, doi:10.1002/jrsm.1218.

    Examples
    --------
    >>> y, v = point_biserial(np.array([1.0]), np.array([10.0]), np.array([10.0]))
    >>> y.round(4), v.round(4)
    (array([0.4663]), array([0.03]))
    """
    total = treatment_n + control_n
    h = (total - 2) / treatment_n + (total - 2) / control_n
    r = d / np.sqrt(d**2 + h)
    if variance == "CS":
        p = treatment_n / total
        return r, (1 - r**2) ** 2 * (1 - 1.5 * r**2 + r**2 / (4 * p * (1 - p))) / total
    of_d = 1 / treatment_n + 1 / control_n + d**2 / (2 * total)
    return r, h**2 / (d**2 + h) ** 3 * of_d


def biserial(d: Array, treatment_n: Array, control_n: Array) -> tuple[Array, Array]:
    """Return the biserial correlation of a standardised mean difference.

    Use it when the groups come from cutting a continuous variable in two. With r the point-biserial
    correlation, p = n1 / (n1 + n2), q = 1 - p, z = z(p) the normal quantile and f its density,

        r_b = sqrt(p q) / f r
        v = (p q / f^2 - (3/2 + (1 + p z / f) (1 - q z / f)) r_b^2 + r_b^4) / (n1 + n2 - 1)

    An estimate beyond -1 or 1 is kept, and cut to -1 or 1 in its variance.

    Parameters
    ----------
    d : ndarray
        Mean differences over the pooled standard deviation, without correction.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Correlations (possibly beyond 1) and sampling variances.

    References
    ----------
    Soper (1914), Biometrika 10, 384-390, doi:10.1093/biomet/10.2-3.384.
    Jacobs & Viechtbauer (2017), Research Synthesis Methods 8, 161-180, doi:10.1002/jrsm.1218.

    Examples
    --------
    >>> y, v = biserial(np.array([1.0]), np.array([10.0]), np.array([10.0]))
    >>> y.round(4), v.round(4)
    (array([0.5844]), array([0.0439]))
    """
    total = treatment_n + control_n
    p, q = treatment_n / total, control_n / total
    z = ndtri(p)
    f = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    r = np.sqrt(p * q) / f * point_biserial(d, treatment_n, control_n)[0]
    inside = np.clip(r, -1, 1)
    middle = (1.5 + (1 + p * z / f) * (1 - q * z / f)) * inside**2
    return r, (p * q / f**2 - middle + inside**4) / (total - 1)


def fisher_z(r: Array, v: Array) -> tuple[Array, Array]:
    """Return Fisher's z of a correlation and its variance by the delta method: v / (1 - r^2)^2.

    Parameters
    ----------
    r, v : ndarray
        Correlations and their sampling variances.

    Returns
    -------
    y, v : ndarray
        z = atanh(r) and sampling variances; where |r| is 1 an infinite z without variance, beyond it neither.

    Examples
    --------
    >>> y, v = fisher_z(np.array([0.5]), np.array([0.02]))
    >>> y.round(4), v.round(4)
    (array([0.5493]), array([0.0356]))
    """
    inside = np.where(np.abs(r) <= 1, r, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.arctanh(inside), np.where(np.abs(inside) < 1, v / (1 - inside**2) ** 2, np.nan)


def _of_means(from_d: Callable[..., tuple[Array, Array]]) -> Callable[..., tuple[Array, Array]]:
    """Return the function of means that belongs to a function of d."""

    def of_means(
        treatment_mean: Array,
        treatment_sd: Array,
        treatment_n: Array,
        control_mean: Array,
        control_sd: Array,
        control_n: Array,
        **options: str,
    ) -> tuple[Array, Array]:
        sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
        return from_d((treatment_mean - control_mean) / sd, treatment_n, control_n, **options)

    of_means.__doc__ = from_d.__doc__  # d is (m1 - m2) over the pooled SD
    return of_means


def point_biserial_z(
    d: Array, treatment_n: Array, control_n: Array, *, variance: str = "ST"
) -> tuple[Array, Array]:
    """Return Fisher's z of the point-biserial correlation; see :func:`point_biserial`.

    Parameters
    ----------
    d, treatment_n, control_n : ndarray
        As in :func:`point_biserial`.
    variance : {"ST", "LS", "CS"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    Examples
    --------
    >>> y, v = point_biserial_z(np.array([1.0]), np.array([10.0]), np.array([10.0]))
    >>> y.round(4), v.round(4)
    (array([0.5053]), array([0.0489]))
    """
    return fisher_z(*point_biserial(d, treatment_n, control_n, variance=variance))


def biserial_z(d: Array, treatment_n: Array, control_n: Array) -> tuple[Array, Array]:
    """Return Fisher's z of the biserial correlation; see :func:`biserial`.

    Parameters
    ----------
    d, treatment_n, control_n : ndarray
        As in :func:`biserial`.

    Returns
    -------
    y, v : ndarray
        z and sampling variances; NaN where the correlation is beyond 1.

    Examples
    --------
    >>> y, v = biserial_z(np.array([1.0]), np.array([10.0]), np.array([10.0]))
    >>> y.round(4), v.round(4)
    (array([0.6691]), array([0.1012]))
    """
    return fisher_z(*biserial(d, treatment_n, control_n))


_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]], bool], ...] = (
    ("RPB", "point-biserial correlation", point_biserial, False),
    ("ZPB", "point-biserial correlation, Fisher's z", point_biserial_z, True),
    ("RBIS", "biserial correlation", biserial, False),
    ("ZBIS", "biserial correlation, Fisher's z", biserial_z, True),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="two groups, means",
            inputs=MEANS,
            compute=_of_means(from_d),
            null=0.0,
            display="Correlation",
            back=np.tanh if is_z else identity,
            reference="10.1002/jrsm.1218",
            variances=("ST", "LS", "CS") if "PB" in code else (),
            alternatives=through_d(from_d),
        )
        for code, name, from_d, is_z in _RECORDS
    )
)
