"""Mean and standard deviation of one arm of a reported table, from whatever the row gives of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.conversions import FORMULAS
from metaexo.effects.five_numbers import QuantileEstimates, mean_sd_from_quantiles
from metaexo.effects.reported import Reported, Words, complete_sd
from metaexo.types import Array, Mask

QUANTILES = ("min", "q1", "median", "q3", "max")
OF_MEDIANS = tuple(FORMULAS[f"mean_sd_from_{kind}"] for kind in ("quartiles", "range", "five"))
"""Names of the conversions of medians."""


@dataclass(frozen=True, slots=True)
class ArmMoments:
    """Mean and SD of an arm, row by row.

    Attributes
    ----------
    mean, sd : ndarray
        Means and standard deviations, NaN where none can be had.
    formulas : ndarray of str
        Names of the conversions, "" where both are reported.
    has_quantiles : ndarray of bool
        Rows that report a median with quartiles or range.
    asymmetric : ndarray of bool
        Rows whose quantiles are too asymmetric for a normal sample.
    flat : ndarray of bool
        Rows whose quartiles, ends or interval are one value, or whose standard error is 0.
    """

    mean: Array
    sd: Array
    formulas: Words
    has_quantiles: Mask
    asymmetric: Mask
    flat: Mask


def arm_moments(table: Reported, arm: str, level: float) -> ArmMoments:
    """Return mean and SD of an arm: as reported, else from SE or CI, else from its median and quantiles.

    Medians are converted only where no mean and no t or F is reported, n is known, and the quantiles are not
    too asymmetric for a normal sample; see :func:`mean_sd_from_quantiles`.

    Parameters
    ----------
    table : Reported
        The table.
    arm : {"treatment", "control"}
        The arm.
    level : float
        Level of the intervals of the means.

    Returns
    -------
    ArmMoments
        mean, sd, formulas, has_quantiles, asymmetric.

    Examples
    --------
    >>> from metaexo.effects.reported import read_table
    >>> table = read_table({"treatment_median": [10.0], "treatment_min": [6.0], "treatment_max": [16.0],
    ...                     "treatment_n": [27]})
    >>> found = arm_moments(table, "treatment", 0.95)
    >>> found.mean.round(2), found.sd.round(2), str(found.formulas[0])
    (array([10.25]), array([2.5]), 'mean and SD from median and range')
    """
    mean = table.numbers(f"{arm}_mean")
    sd, words = complete_sd(table, arm, level)
    names = _formulas(table, arm)
    has_quantiles = np.asarray(names != "", dtype=bool)
    no_width = _no_width(table, arm)
    nothing = np.zeros(table.k, dtype=bool)
    if not has_quantiles.any():
        return ArmMoments(mean, sd, words, has_quantiles, nothing, no_width)
    found = _from_quantiles(table, arm)
    no_test = ~np.isin(table.words("reported_as"), ("t", "f"))
    filled = no_test & np.isnan(mean) & np.isfinite(found.mean) & np.isfinite(found.sd)
    return ArmMoments(
        np.where(filled, found.mean, mean),
        np.where(filled, found.sd, sd),
        np.where(filled, names, words).astype(str),
        has_quantiles,
        np.asarray(found.skewed & np.isfinite(found.critical), dtype=bool),
        (has_quantiles & _flat(table, arm)) | no_width,
    )


def _from_quantiles(table: Reported, arm: str) -> QuantileEstimates:
    """Return what the quantiles of an arm say of its mean and SD; NaN where there are too few or no n."""
    low, q1, median, q3, high = (table.numbers(f"{arm}_{name}") for name in QUANTILES)
    n = table.numbers(f"{arm}_n")
    other = table.numbers(f"{'control' if arm == 'treatment' else 'treatment'}_n")
    n = np.where(np.isnan(n) & (table.words("paired") == "yes"), other, n)
    return mean_sd_from_quantiles(n, minimum=low, q1=q1, median=median, q3=q3, maximum=high)


def _flat(table: Reported, arm: str) -> Mask:
    """Return the rows whose quartiles, or whose ends, are one value."""
    low, q1, q3, high = (table.numbers(f"{arm}_{name}") for name in ("min", "q1", "q3", "max"))
    return np.asarray((q1 == q3) | (low == high), dtype=bool)


def _no_width(table: Reported, arm: str) -> Mask:
    """Return the rows whose standard error is 0, or whose interval of the mean is one value."""
    se, low, high = (table.numbers(f"{arm}_{name}") for name in ("se", "ci_low", "ci_high"))
    return np.asarray((se == 0) | (low == high), dtype=bool)


def _formulas(table: Reported, arm: str) -> NDArray[np.object_]:
    """Return the name of the conversion that the quantiles of each row allow; "" where there is none."""
    middle = table.has(f"{arm}_median")
    quartiles, ends = table.has(f"{arm}_q1", f"{arm}_q3"), table.has(f"{arm}_min", f"{arm}_max")
    names = np.full(table.k, "", dtype=object)
    for rows, name in zip((quartiles & ~ends, ends & ~quartiles, quartiles & ends), OF_MEDIANS, strict=True):
        names[middle & rows] = name
    return names
