"""Proportions of one group: raw, log, logit, probit, arcsine and double arcsine.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
Zero cells are dealt with before (see :mod:`metaexo.effects.zero_cells`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, ndtr, ndtri

from metaexo.effects.back_transforms import inverse_double_arcsine
from metaexo.effects.corrections import average_over_rows
from metaexo.effects.measure import BackBySize, Measure, identity, register
from metaexo.types import Array

FAMILY = "one group, events"
EVENTS = ("events", "n")


def raw_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the proportion of events as it is.

    Use it when proportions are far from 0 and 1; otherwise take PLO or PFT.

        y = p = x / n,  v = p (1 - p) / n      (variance "LS")

    "UB" divides by n - 1 (unbiased); "AV" puts the proportion over all studies in place of p in v.

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "UB", "AV"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Proportions and sampling variances.

    References
    ----------
    Schwarzer & Ruecker (2022), Methods in Molecular Biology 2345, 159-172,
    doi:10.1007/978-1-0716-1566-9_10.

    Examples
    --------
    >>> y, v = raw_proportion(np.array([20.0]), np.array([100.0]))
    >>> float(y[0]), round(float(v[0]), 6)
    (0.2, 0.0016)
    """
    p = _proportion_for_variance(events, n, variance)
    return events / n, p * (1 - p) / (n - 1 if variance == "UB" else n)


def log_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the log of a proportion.

    Use it when risks are to be compared as ratios; the upper end 1 is not respected.

        y = log(p),  v = (1 - p) / (n p)

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "AV"}
        "AV" puts the proportion over all studies in place of p in v.

    Returns
    -------
    y, v : ndarray
        Log proportions and sampling variances.

    References
    ----------
    Schwarzer & Ruecker (2022), Methods in Molecular Biology 2345, 159-172,
    doi:10.1007/978-1-0716-1566-9_10.

    Examples
    --------
    >>> y, v = log_proportion(np.array([20.0]), np.array([100.0]))
    >>> y.round(4), v.round(4)
    (array([-1.6094]), array([0.04]))
    """
    p = _proportion_for_variance(events, n, variance)
    return np.log(events / n), (1 - p) / (n * p)


def logit_proportion(events: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the logit (log odds) of a proportion.

    Use it as the usual scale for proportions of any size.

        y = log(p / (1 - p)),  v = 1 / (n p (1 - p))

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.
    variance : {"LS", "AV"}
        "AV" puts the proportion over all studies in place of p in v.

    Returns
    -------
    y, v : ndarray
        Log odds and sampling variances.

    References
    ----------
    Stijnen, Hamza & Ozdemir (2010), Statistics in Medicine 29, 3046-3067, doi:10.1002/sim.4040.

    Examples
    --------
    >>> y, v = logit_proportion(np.array([20.0]), np.array([100.0]))
    >>> y.round(4), v.round(4)
    (array([-1.3863]), array([0.0625]))
    """
    p = _proportion_for_variance(events, n, variance)
    return np.log(events / (n - events)), 1 / (n * p * (1 - p))


def probit_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the probit of a proportion: the normal quantile z with P(Z < z) = p.

    Use it when the event is a threshold on something that is normally distributed.

        y = z(p),  v = p (1 - p) / (n phi(z)^2),  phi the normal density

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Probits and sampling variances.

    References
    ----------
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448 (the variance of a probit).
    Finney (1971), Probit Analysis, 3rd ed., Cambridge University Press.

    Examples
    --------
    >>> y, v = probit_proportion(np.array([50.0]), np.array([100.0]))
    >>> float(y[0]), v.round(4)
    (0.0, array([0.0157]))
    """
    p = events / n
    z = ndtri(p)
    return z, 2 * np.pi * np.exp(z**2) * p * (1 - p) / n


def arcsine_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the arcsine of the square root of a proportion, whose variance does not depend on p.

        y = arcsin(sqrt(p)),  v = 1 / (4 n)

    Use it for small proportions when zeros occur and no correction is wanted.

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Transformed proportions in radians, and sampling variances.

    References
    ----------
    Ruecker, Schwarzer & Carpenter (2009), Statistics in Medicine 28, 721-738, doi:10.1002/sim.3511.

    Examples
    --------
    >>> y, v = arcsine_proportion(np.array([0.0]), np.array([25.0]))
    >>> float(y[0]), float(v[0])
    (0.0, 0.01)
    """
    return np.arcsin(np.sqrt(events / n)), 1 / (4 * n)


def double_arcsine_proportion(events: Array, n: Array) -> tuple[Array, Array]:
    """Return the Freeman-Tukey double arcsine of a proportion.

    Use it for proportions with zeros. The way back to a proportion needs a sample size
    (:func:`metaexo.effects.inverse_double_arcsine`): each study is shown with its own, a pooled value with
    the harmonic mean of the studies' sizes.

        y = (arcsin sqrt(x / (n + 1)) + arcsin sqrt((x + 1) / (n + 1))) / 2,  v = 1 / (4 n + 2)

    Parameters
    ----------
    events, n : ndarray
        Numbers with the event and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Transformed proportions in radians, and sampling variances.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.
    Miller (1978), The American Statistician 32, 138, doi:10.1080/00031305.1978.10479283.

    Examples
    --------
    >>> y, v = double_arcsine_proportion(np.array([0.0]), np.array([24.0]))
    >>> y.round(4), v.round(4)
    (array([0.1007]), array([0.0102]))
    """
    low = np.arcsin(np.sqrt(events / (n + 1)))
    high = np.arcsin(np.sqrt((events + 1) / (n + 1)))
    return (low + high) / 2, 1 / (4 * n + 2)


def _proportion_for_variance(events: Array, n: Array, variance: str) -> Array:
    """Return each study's proportion, or for "AV" the proportion over all studies."""
    if variance != "AV":
        return np.asarray(events / n)
    return np.full(n.shape, average_over_rows(events / n, n))


def squared_sine(angle: Array) -> Array:
    """Return sin^2 of an angle in radians, cut at 0 and pi/2: the way back from an arcsine square root.

    Examples
    --------
    >>> squared_sine(np.array([-0.1, np.pi / 4, 2.0])).round(3)
    array([0. , 0.5, 1. ])
    """
    return np.asarray(np.sin(np.clip(angle, 0, np.pi / 2)) ** 2)


_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]], Callable[[Array], Array], str], ...] = (
    ("PR", "proportion", raw_proportion, identity, "10.1007/978-1-0716-1566-9_10"),
    ("PLN", "log proportion", log_proportion, np.exp, "10.1007/978-1-0716-1566-9_10"),
    ("PLO", "logit proportion", logit_proportion, expit, "10.1002/sim.4040"),
    ("PRZ", "probit proportion", probit_proportion, ndtr, "10.1037/1082-989X.8.4.448"),
    ("PAS", "arcsine proportion", arcsine_proportion, squared_sine, "10.1002/sim.3511"),
    ("PFT", "double arcsine proportion", double_arcsine_proportion, squared_sine, "10.1214/aoms/1177729756"),
)


def _size_of(v: Array) -> Array:
    """Return n of v = 1 / (4 n + 2), whatever was added to the counts; NaN where no group has such a v."""
    n = (1 / v - 2) / 4
    return np.where(n > 1 - 1e-9, np.maximum(n, 1.0), np.nan)


_BY_N = BackBySize(inverse_double_arcsine, _size_of)
_VARIANCES = {"PR": ("LS", "UB", "AV"), "PLN": ("LS", "AV"), "PLO": ("LS", "AV")}

register(
    *(
        Measure(
            code=code,
            name=name,
            family=FAMILY,
            inputs=EVENTS,
            compute=compute,
            null=float("nan"),
            display="Proportion",
            back=back,
            orientation="none",
            reference=reference,
            variances=_VARIANCES.get(code, ()),
            zero_cells=0.0 if code in ("PAS", "PFT") else 0.5,
            by_size=_BY_N if code == "PFT" else None,
        )
        for code, name, compute, back, reference in _RECORDS
    )
)
