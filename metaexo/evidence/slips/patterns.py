"""Patterns over several rows that data rarely make and slips of the pen often do."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.papers import HANDBOOK_SD, rests_on
from metaexo.errors import InputError, ShapeError
from metaexo.evidence.slips.grim import door, typed
from metaexo.numeric.tails import t_quantile
from metaexo.types import Array, Mask

FEWEST_NUMBERS = 3
FEWEST_STUDIES = 4
FEWEST_DIGITS = 4
MULTIPLE_PRECISION = 0.01
"""Numbers typed so coarsely that a ratio is not known to this share say nothing of a constant multiple."""
SAME_PRECISION = 1e-12
SMALL_CV = 0.25
FEWEST_OTHERS = 2
NORMAL_ENOUGH = 3.0
VARIANCE_RATIO = 1000.0


@dataclass(frozen=True, slots=True)
class Multiple:
    """One column that is a constant multiple of another.

    Attributes
    ----------
    first, second : int
        Positions of the columns.
    factor : float
        What the first column is multiplied by.
    """

    first: int
    second: int
    factor: float


@door(table="typed")
def constant_multiples(table: ArrayLike) -> tuple[Multiple, ...]:
    """Return the columns of a table that are one constant multiple of another column in every row.

    Use it on replicates (one row per group or day, one column per replicate) or on several statistics of
    several outcomes. Measured values vary by themselves: replicates that stand in one ratio in every group
    were computed, not measured. Rounding is allowed for: a factor is constant if numbers that round to those
    typed can have it. Columns that are equal are no multiples; rows where one is missing or zero are passed
    over, three rows have to be left.

    Parameters
    ----------
    table : array_like of str or float, shape (rows, columns)
        Numbers; as text where trailing zeros count.

    Returns
    -------
    tuple of Multiple
        Pairs of columns with the factor.

    Raises
    ------
    ShapeError
        If the table does not have two dimensions.

    Examples
    --------
    >>> replicates = [[100.0, 105.0, 98.1], [212.0, 222.6, 219.9], [87.0, 91.35, 85.2], [140.0, 147.0, 150.3]]
    >>> [(pair.first, pair.second, round(pair.factor, 3)) for pair in constant_multiples(replicates)]
    [(0, 1, 1.05)]
    """
    values, places = typed(table, None)
    if values.ndim != 2:
        raise ShapeError(f"the table has {values.ndim} dimensions", "rows and columns")
    half = 0.5 * 10.0**-places
    pairs = [(i, j) for i in range(values.shape[1] - 1) for j in _possible(values, half, i)]
    found = [(i, j, _factor(values[:, i], half[:, i], values[:, j], half[:, j])) for i, j in pairs]
    return tuple(Multiple(i, j, factor) for i, j, factor in found if factor is not None)


def _possible(values: Array, half: Array, i: int) -> list[int]:
    """Return the columns after column `i` that one factor may turn it into, by all ratios at once."""
    a, a_half = values[:, i, None], half[:, i, None]
    b, b_half = values[:, i + 1 :], half[:, i + 1 :]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        used = np.isfinite(a) & np.isfinite(b) & (np.abs(a) > a_half) & (np.abs(b) > b_half)
        ratio = np.where(used, b / a, np.nan)
        off = np.abs(ratio) * (b_half / np.abs(b) + a_half / np.abs(a) + SAME_PRECISION)
    low = np.where(used, ratio - off, -np.inf).max(axis=0)
    high = np.where(used, ratio + off, np.inf).min(axis=0)
    fits = (used.sum(axis=0) >= FEWEST_NUMBERS) & (low <= high) & ((low > 1) | (high < 1))
    return [int(j) + i + 1 for j in np.flatnonzero(fits)]


def _factor(a: Array, a_half: Array, b: Array, b_half: Array) -> float | None:
    """Return the one factor that turns a into b, or None."""
    used = np.isfinite(a) & np.isfinite(b) & (np.abs(a) > a_half) & (np.abs(b) > b_half)
    a, a_half, b, b_half = a[used], a_half[used], b[used], b_half[used]
    if np.unique(a).size < FEWEST_NUMBERS:
        return None
    ratio = b / a
    off = np.abs(ratio) * (b_half / np.abs(b) + a_half / np.abs(a) + SAME_PRECISION)
    fine = off <= MULTIPLE_PRECISION * np.abs(ratio)
    if np.unique(a[fine]).size < FEWEST_NUMBERS:
        return None
    low, high = float((ratio - off).max()), float((ratio + off).min())
    return None if low > high or low <= 1 <= high else (low + high) / 2


def repeated_numbers(numbers: Sequence[tuple[str, ...]], belongs_to: Sequence[Hashable]) -> tuple[int, ...]:
    """Return for each row the earlier row that gives the same numbers for something else, or -1.

    Use it to find a line that was typed, or pasted, twice. Rows of the same thing (one control group beside
    several arms) may repeat their numbers; so may rows whose numbers have fewer than four digits in all,
    because those meet by chance.

    Parameters
    ----------
    numbers : sequence of tuple of str
        Numbers of each row as typed, for example mean and SD; an empty tuple where they are missing.
    belongs_to : sequence of hashable
        What the numbers of each row are of: study, outcome, time point, arm.

    Returns
    -------
    tuple of int
        Position of the first row with the same numbers and another owner; -1 where there is none.

    Examples
    --------
    >>> repeated_numbers([("12.31", "4.52"), ("9.1", "2"), ("12.31", "4.52")], ["day 7", "day 7", "day 14"])
    (-1, -1, 0)
    """
    rows, owners = _rows_and_owners(numbers, belongs_to)
    first: dict[tuple[float, ...], list[int]] = {}
    found = []
    for i, cells in enumerate(rows):
        if sum(digits(cell) for cell in cells) < FEWEST_DIGITS:
            found.append(-1)
            continue
        values = tuple(abs(float(cell.replace("\N{MINUS SIGN}", "-") or "nan")) for cell in cells)
        earlier = first.setdefault(values, [])
        found.append(next((j for j in earlier if owners[j] != owners[i]), -1))
        earlier.append(i)
    return tuple(found)


def _rows_and_owners(numbers: object, belongs_to: object) -> tuple[list[tuple[str, ...]], list[Hashable]]:
    """Return rows of numbers as typed and what they are of; refuse anything else by name."""
    for name, given in (("numbers", numbers), ("belongs_to", belongs_to)):
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise InputError(f"{name} is of type {type(given).__name__}", "a list with one entry per row")
    rows: list[Any] = list(cast("Sequence[Any]", numbers))
    owners: list[Hashable] = list(cast("Sequence[Hashable]", belongs_to))
    if len(rows) != len(owners):
        raise ShapeError(f"{len(rows)} rows of numbers and {len(owners)} owners", "one owner for each row")
    wrong = [
        f"row {i + 1}"
        for i, row in enumerate(rows)
        if not isinstance(row, tuple) or not all(isinstance(cell, str) and _is_number(cell) for cell in row)
    ]
    if wrong:
        raise InputError(
            "numbers holds rows that are no numbers as typed", 'tuples such as ("1.50", "2")', rows=wrong
        )
    return rows, owners


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell.replace("\N{MINUS SIGN}", "-") or "nan")) or not cell
    except ValueError:
        return False


def digits(cell: str) -> int:
    """Return how many digits of a number would have to meet by chance: zeros at its ends do not count."""
    mantissa = cell.strip().lower().split("e")[0].lstrip("+-\N{MINUS SIGN}")
    return len(mantissa.replace(".", "").strip("0"))


@rests_on(HANDBOOK_SD)
@door(sd="column", n="column", level="level")
def sd_against_n(sd: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Return the slope of log SD on log n over studies of one outcome, with its interval.

    Use it to find standard errors among SDs. The SD of an outcome does not depend on the size of the study,
    so the slope is near 0; standard errors fall as the root of n, so theirs is near -1/2.

    Parameters
    ----------
    sd : array_like
        Standard deviations in one unit, one per study.
    n : array_like
        Sample sizes.
    level : float
        Level of the interval.

    Returns
    -------
    slope, low, high : float
        Least squares slope and its t interval; NaN with fewer than four studies, or if all have one size.

    Examples
    --------
    >>> slope, low, high = sd_against_n([3.1, 1.6, 0.82, 0.39], [10, 40, 160, 640])
    >>> round(slope, 2), high < 0
    (-0.5, True)
    """
    s, size = np.asarray(sd, dtype=float), np.asarray(n, dtype=float)
    used = (s > 0) & (size > 0)
    x, y = np.log(size[used]), np.log(s[used])
    if x.size < FEWEST_STUDIES or np.unique(size[used]).size == 1:
        return float("nan"), float("nan"), float("nan")
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    rest = y - y.mean() - slope * (x - x.mean())
    error = float(np.sqrt((rest**2).sum() / (x.size - 2) / spread))
    half = t_quantile(level, x.size - 2) * error
    return slope, slope - half, slope + half


@door(mean="column", sd="column", n="column", study="words")
def unusual_cv(mean: ArrayLike, sd: ArrayLike, n: ArrayLike, study: Sequence[str]) -> tuple[Mask, Array]:
    """Return which coefficients of variation look like those of standard errors, beside other studies.

    Use it on the arms of one outcome. A CV, SD over mean, is compared with the median of the other studies
    (each the median of its arms). It is unusual if it is less than a quarter of that, and if reading the SD
    as a standard error, SD sqrt(n), brings it nearer; where n is missing the first condition is enough.

    Parameters
    ----------
    mean, sd : array_like
        Means and SDs of the arms; only means above zero take part.
    n : array_like
        Sizes of the arms, NaN for missing.
    study : sequence of str
        Study of each arm.

    Returns
    -------
    unusual : ndarray of bool
        Arms whose SD may be a standard error; False with fewer than two other studies.
    others : ndarray
        Median CV of the other studies.

    Examples
    --------
    >>> unusual, others = unusual_cv([20, 22, 19, 21], [6, 5, 0.9, 7], [30, 30, 30, 30], ["a", "b", "c", "d"])
    >>> unusual, others.round(2)
    (array([False, False,  True, False]), array([0.23, 0.3 , 0.3 , 0.23]))
    """
    centre, spread, size = (np.asarray(column, dtype=float) for column in (mean, sd, n))
    owners = np.asarray(study, dtype=object)
    with np.errstate(divide="ignore", invalid="ignore"):
        cv = np.where((centre > 0) & (spread > 0), spread / centre, np.nan)
    known = np.isfinite(cv)
    by_study: dict[object, list[float]] = {}
    for own, value in zip(owners[known], cv[known], strict=True):
        by_study.setdefault(own, []).append(float(value))
    typical = np.array([np.median(values) for values in by_study.values()])
    of_others = median_of_others(typical)
    whole = float(np.median(typical)) if typical.size > 1 else math.nan
    rest = dict(zip(by_study, np.where(typical.size > FEWEST_OTHERS, of_others, np.nan), strict=True))
    others = np.array([rest.get(own, whole) for own in owners], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        as_sd, as_se = np.abs(np.log(cv / others)), np.abs(np.log(cv * np.sqrt(size) / others))
        unusual = (cv < SMALL_CV * others) & ((as_se < as_sd) | np.isnan(size))
    return np.asarray(unusual), others


def median_of_others(values: ArrayLike) -> Array:
    """Return for each value the median of all the others; NaN where there are none.

    Examples
    --------
    >>> median_of_others([1.0, 2.0, 10.0, 4.0])
    array([4., 4., 2., 2.])
    """
    array = np.asarray(values, dtype=float)
    if array.size < 2:
        return np.full(array.shape, np.nan)
    order = np.argsort(array, kind="stable")
    rank = np.empty(array.size, dtype=int)
    rank[order] = np.arange(array.size)
    low, high = (array.size - 2) // 2, (array.size - 1) // 2
    ends = [array[order][end + (rank <= end)] for end in (low, high)]
    return np.asarray((ends[0] + ends[1]) / 2)


@door(mean="numbers", sd="numbers", n="numbers")
def mean_near_zero(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Mask:
    """Return which means are so near zero that their logarithm is not close to normal.

    Use it before log ratios of means and of CVs. The condition is that of Geary in the form with a
    small-sample correction::

        |mean| / SD * 4 n^(3/2) / (1 + 4 n) >= 3;

    below it the log ratio is biased and its variance formula fails.

    Parameters
    ----------
    mean, sd, n : array_like
        Means, SDs and sizes of groups.

    Returns
    -------
    ndarray of bool
        True where the mean is too near zero; False where a number is missing.

    References
    ----------
    Lajeunesse (2015), Ecology 96, 2056-2063, doi:10.1890/14-2402.1.

    Examples
    --------
    >>> mean_near_zero([10.0, 10.0], [5.0, 20.0], [8, 8])
    array([False,  True])
    """
    centre, spread, size = (np.asarray(column, dtype=float) for column in (mean, sd, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(centre) / spread * 4 * size**1.5 / (1 + 4 * size)
        return np.asarray((distance < NORMAL_ENOUGH) & (spread > 0))


@door(v="numbers", ratio="positive")
def extreme_variances(v: ArrayLike, ratio: float = VARIANCE_RATIO) -> Mask:
    """Return which sampling variances differ from the median of the others by more than a factor.

    Use it on effects in one unit. One row whose variance is a thousand times smaller than the others rules
    the pooled effect alone; mostly a standard error stands as an SD, or a unit was mixed up.

    Parameters
    ----------
    v : array_like
        Sampling variances.
    ratio : float
        Factor from which a variance is extreme.

    Returns
    -------
    ndarray of bool
        True where it is; False where a variance is missing or stands alone.

    Examples
    --------
    >>> extreme_variances([0.2, 0.3, 0.0001, 0.5])
    array([False, False,  True, False])
    """
    values = np.asarray(v, dtype=float)
    usable = np.isfinite(values) & (values > 0)
    found = np.zeros(values.shape, dtype=bool)
    if usable.sum() > 1:
        found[usable] = np.abs(np.log(values[usable] / median_of_others(values[usable]))) > np.log(ratio)
    return found
