"""Means and standard deviations of one group.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.corrections import average_over_rows, hedges_factor
from metaexo.effects.mean_ratios import log_of_positive
from metaexo.effects.measure import Measure, identity, register
from metaexo.types import Array

INPUTS = ("mean", "sd", "n")


def raw_mean(mean: Array, sd: Array, n: Array, *, variance: str = "LS") -> tuple[Array, Array]:
    """Return the mean of one group: y = m, v = s^2 / n.

    Use it for particle sizes, yields and the like. With variance "HO" the standard deviations of all
    studies are pooled.

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    variance : {"LS", "HO"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Means and sampling variances.

    References
    ----------
    Altman & Bland (2005), BMJ 331, 903, doi:10.1136/bmj.331.7521.903.
    Bland & Altman (1996), BMJ 312, 1654, doi:10.1136/bmj.312.7047.1654 (the pooled standard deviation).

    Examples
    --------
    >>> y, v = raw_mean(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> float(y[0]), float(v[0])
    (120.0, 100.0)
    """
    square = average_over_rows(sd**2, n - 1) if variance == "HO" else sd**2
    return mean, square / n


def standardized_mean(
    mean: Array, sd: Array, n: Array, *, bias_correction: bool = True
) -> tuple[Array, Array]:
    """Return the mean in units of the standard deviation.

    Use it for changes or scores that differ in scale between studies. With g = J(n - 1) m / s,
    v = 1 / n + g^2 / (2 n).

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to multiply by J.

    Returns
    -------
    y, v : ndarray
        Standardised means and sampling variances.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6, 107-128, doi:10.3102/10769986006002107.

    Examples
    --------
    >>> y, v = standardized_mean(np.array([2.0]), np.array([2.0]), np.array([16.0]))
    >>> y.round(3), v.round(3)
    (array([0.949]), array([0.091]))
    """
    g = mean / sd * (hedges_factor(n - 1) if bias_correction else 1.0)
    return g, 1 / n + g**2 / (2 * n)


def log_mean(mean: Array, sd: Array, n: Array) -> tuple[Array, Array]:
    """Return the log mean of a positive quantity: y = log(m), v = s^2 / (n m^2).

    Use it for skewed positive quantities such as particle concentrations.

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Log means and sampling variances; NaN where the mean is not above zero.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80, 1150-1156, doi:10.2307/177062.

    Examples
    --------
    >>> y, v = log_mean(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([4.7875]), array([0.0069]))
    """
    return log_of_positive(mean), sd**2 / (n * mean**2)


def log_cv(mean: Array, sd: Array, n: Array, *, bias_correction: bool = True) -> tuple[Array, Array]:
    """Return the log coefficient of variation.

    Use it for the repeatability of a method.

        y = log(s / m) + 1 / (2 (n - 1)),  v = 1 / (2 (n - 1)) + s^2 / (n m^2)

    Parameters
    ----------
    mean, sd, n : ndarray
        Means, standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to add the term after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log coefficients of variation and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.

    Examples
    --------
    >>> y, v = log_cv(np.array([120.0]), np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([-1.3238]), array([0.0694]))
    """
    bias = 1 / (2 * (n - 1))
    y = log_of_positive(sd / mean) + (bias if bias_correction else 0.0)
    return y, bias + sd**2 / (n * mean**2)


def log_sd(sd: Array, n: Array, *, bias_correction: bool = True) -> tuple[Array, Array]:
    """Return the log standard deviation: y = log(s) + 1 / (2 (n - 1)), v = 1 / (2 (n - 1)).

    Parameters
    ----------
    sd, n : ndarray
        Standard deviations and sizes of the groups.
    bias_correction : bool
        Whether to add the term after the logarithm.

    Returns
    -------
    y, v : ndarray
        Log standard deviations and sampling variances.

    References
    ----------
    Nakagawa et al. (2015), Methods in Ecology and Evolution 6, 143-152, doi:10.1111/2041-210X.12309.

    Examples
    --------
    >>> y, v = log_sd(np.array([30.0]), np.array([9.0]))
    >>> y.round(4), v.round(4)
    (array([3.4637]), array([0.0625]))
    """
    v = 1 / (2 * (n - 1))
    return log_of_positive(sd) + (v if bias_correction else 0.0), v


Compute = Callable[..., tuple[Array, Array]]

# code, name, function, display, DOI
_MEAN_RECORDS: tuple[tuple[str, str, Compute, str, str], ...] = (
    ("MN", "mean", raw_mean, "Mean", "10.1136/bmj.331.7521.903"),
    ("SMN", "standardised mean", standardized_mean, "Standardised mean", "10.3102/10769986006002107"),
    ("MNLN", "log mean", log_mean, "Mean", "10.2307/177062"),
    ("CVLN", "log coefficient of variation", log_cv, "Coefficient of variation", "10.1111/2041-210X.12309"),
    ("SDLN", "log standard deviation", log_sd, "Standard deviation", "10.1111/2041-210X.12309"),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="one group, means",
            inputs=INPUTS if code != "SDLN" else ("sd", "n"),
            compute=compute,
            null=0.0 if code == "SMN" else float("nan"),
            display=display,
            back=np.exp if code.endswith("LN") else identity,
            display_log=code.endswith("LN"),
            orientation="negate" if code == "SMN" else "none",
            reference=reference,
            variances=("LS", "HO") if code == "MN" else (),
            bias_corrected=code in ("SMN", "CVLN", "SDLN"),
        )
        for code, name, compute, display, reference in _MEAN_RECORDS
    )
)
