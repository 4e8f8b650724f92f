"""Reported test statistics, p-values and intervals against what the numbers beside them imply.

What is typed is rounded, so every check compares with the smallest and the largest value that numbers
rounding to those typed can give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.papers import ALTMAN_BLAND, NUIJTEN, rests_on
from metaexo.errors import UnknownChoiceError
from metaexo.evidence.slips.grim import door, typed
from metaexo.numeric.tails import t_two_sided
from metaexo.types import Array, Mask

RELATIONS = ("=", "<", "<=", ">", ">=")
ROUNDING = 1e-9
OFF_CENTRE = 0.15
"""Distance of an estimate from the middle of its interval, in half-widths, beyond which it is off centre."""


@rests_on(NUIJTEN)
@door(
    treatment_mean="typed",
    treatment_sd="typed",
    treatment_n="numbers",
    control_mean="typed",
    control_sd="typed",
    control_n="numbers",
    paired="flags",
)
def implied_t(
    treatment_mean: ArrayLike,
    treatment_sd: ArrayLike,
    treatment_n: ArrayLike,
    control_mean: ArrayLike,
    control_sd: ArrayLike,
    control_n: ArrayLike,
    *,
    paired: ArrayLike = False,
) -> tuple[Array, Array]:
    """Return the smallest and the largest absolute t that means, SDs and sizes allow, rounding included.

    Use it to see whether a printed t can be right. For two groups the range holds Student's t (one pooled
    SD) and Welch's::

        t = |m1 - m2| / (sp sqrt(1/n1 + 1/n2)),  t = |m1 - m2| / sqrt(s1^2/n1 + s2^2/n2).

    For the same people twice it goes from a correlation of -1 to one of 1::

        |m1 - m2| sqrt(n) / (s1 + s2)  to  |m1 - m2| sqrt(n) / |s1 - s2|.

    Parameters
    ----------
    treatment_mean, treatment_sd : array_like of str or float
        Mean and SD of the first group; as text where trailing zeros count.
    treatment_n : array_like
        Size of the first group.
    control_mean, control_sd : array_like of str or float
        Mean and SD of the second group.
    control_n : array_like
        Size of the second group.
    paired : array_like of bool
        Whether the groups are the same people.

    Returns
    -------
    low, high : ndarray
        Ends of the range; NaN where a number is missing.

    Examples
    --------
    >>> low, high = implied_t(["10.74"], ["2.50"], [27], ["15.78"], ["3.26"], [18])
    >>> low.round(2), high.round(2)
    (array([5.54]), array([5.88]))
    """
    m1, m1_places = typed(treatment_mean, None)
    m2, m2_places = typed(control_mean, None)
    s1, s1_places = typed(treatment_sd, None)
    s2, s2_places = typed(control_sd, None)
    n1, n2 = np.asarray(treatment_n, dtype=float), np.asarray(control_n, dtype=float)
    off = _half(m1_places) + _half(m2_places)
    gap = np.abs(m1 - m2)
    gaps = np.maximum(gap - off, 0.0), gap + off
    small = [np.maximum(s - _half(places), 0.0) for s, places in ((s1, s1_places), (s2, s2_places))]
    large = [s + _half(places) for s, places in ((s1, s1_places), (s2, s2_places))]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = [_standard_errors(sds[0], sds[1], n1, n2) for sds in (small, large)]
        independent = gaps[0] / np.maximum(*errors[1]), gaps[1] / np.minimum(*errors[0])
        nearest = np.maximum(np.maximum(small[0] - large[1], small[1] - large[0]), 0.0)
        root = np.sqrt(np.where(n1 == n2, n1, np.nan))
        twice = gaps[0] * root / (large[0] + large[1]), gaps[1] * root / nearest
    same = np.asarray(paired, dtype=bool)
    low, high = (np.where(same, b, a) for a, b in zip(independent, twice, strict=True))
    return np.asarray(low), np.asarray(high)


@rests_on(NUIJTEN)
@door(t_low="numbers", t_high="numbers", treatment_n="numbers", control_n="numbers", paired="flags")
def implied_p(
    t_low: ArrayLike,
    t_high: ArrayLike,
    treatment_n: ArrayLike,
    control_n: ArrayLike,
    *,
    paired: ArrayLike = False,
) -> tuple[Array, Array]:
    """Return the smallest and the largest two-sided p-value of a range of t.

    Use it after :func:`implied_t`. The degrees of freedom go from those that Welch's test has at least,
    min(n1, n2) - 1, to Student's n1 + n2 - 2; they are n - 1 for the same people twice.

    Parameters
    ----------
    t_low, t_high : array_like
        Range of the absolute t.
    treatment_n, control_n : array_like
        Sizes.
    paired : array_like of bool
        Whether the groups are the same people.

    Returns
    -------
    low, high : ndarray
        Ends of the range of p.

    Examples
    --------
    >>> low, high = implied_p([2.0], [2.0], [10], [10])
    >>> low.round(3), high.round(3)
    (array([0.061]), array([0.077]))
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        n1, n2 = np.asarray(treatment_n, dtype=float), np.asarray(control_n, dtype=float)
        fewest = np.minimum(n1, n2) - 1
        most = np.where(np.asarray(paired, dtype=bool), fewest, n1 + n2 - 2)
        usable = fewest >= 1
    return _p_of(t_high, np.where(usable, most, np.nan)), _p_of(t_low, np.where(usable, fewest, np.nan))


@door(statistic="typed", t_low="numbers", t_high="numbers", squared="flags")
def statistic_agrees(
    statistic: ArrayLike, t_low: ArrayLike, t_high: ArrayLike, squared: ArrayLike = True
) -> Mask:
    """Return whether a printed statistic lies in a range of t, or is the square of such a t (an F).

    Parameters
    ----------
    statistic : array_like of str or float
        Statistics as printed; their sign does not matter.
    t_low, t_high : array_like
        Range of the absolute t, from :func:`implied_t`.
    squared : array_like of bool
        Whether an F with one degree of freedom, t squared, agrees as well.

    Returns
    -------
    ndarray of bool
        True where it agrees or a number is missing.

    Examples
    --------
    >>> statistic_agrees(["5.54", "6.90", "31"], 5.54, 5.88)
    array([ True, False,  True])
    """
    values, places = typed(statistic, None)
    size = np.abs(values)
    ends = np.maximum(size - _half(places), 0.0), size + _half(places)
    low, high = np.asarray(t_low, dtype=float), np.asarray(t_high, dtype=float)
    with np.errstate(invalid="ignore"):
        agrees = (ends[1] >= low) & (ends[0] <= high)
        agrees = agrees | (np.asarray(squared, dtype=bool) & (ends[1] >= low**2) & (ends[0] <= high**2))
    return np.asarray(agrees | ~np.isfinite(values) | np.isnan(low) | np.isnan(high))


@rests_on(NUIJTEN)
@door(p_value="typed", relation="words", p_low="numbers", p_high="numbers")
def p_agrees(p_value: ArrayLike, relation: ArrayLike, p_low: ArrayLike, p_high: ArrayLike) -> Mask:
    """Return whether a printed p-value, or its bound, is possible for a range of p.

    Use it with the range of :func:`implied_p`, or of a printed statistic. "p < 0.05" agrees if some p of
    the range is below 0.05, "p = 0.03" if some p of the range rounds to 0.03.

    Parameters
    ----------
    p_value : array_like of str or float
        p-values as printed.
    relation : array_like of str
        "=", "<", "<=", ">" or ">=" before each.
    p_low, p_high : array_like
        Range of the two-sided p.

    Returns
    -------
    ndarray of bool
        True where it agrees or something is missing.

    Raises
    ------
    UnknownChoiceError
        If a relation is none of the five.

    Examples
    --------
    >>> p_agrees(["0.05", "0.05", "0.030"], ["<", ">", "="], 0.0301, 0.0304)
    array([ True, False,  True])
    """
    values, places = typed(p_value, None)
    words = np.asarray(relation, dtype=object)
    values, places, words, low, high = np.broadcast_arrays(
        values, places, words, np.asarray(p_low, dtype=float), np.asarray(p_high, dtype=float)
    )
    told = np.array([_relation(word) for word in words.ravel()], dtype=object).reshape(words.shape)
    off = _half(places) + ROUNDING
    with np.errstate(invalid="ignore"):
        equal = (low <= values + off) & (high >= values - off)
        below = low <= values * (1 + ROUNDING)
        above = high >= values * (1 - ROUNDING)
    agrees = np.where(told == "=", equal, np.where((told == "<") | (told == "<="), below, above))
    unknown = (told == "") | np.isnan(values) | np.isnan(low) | np.isnan(high)
    return np.asarray(agrees | unknown, dtype=bool)


@rests_on(ALTMAN_BLAND)
@door(estimate="typed", low="typed", high="typed", log="flags")
def interval_is_centred(
    estimate: ArrayLike, low: ArrayLike, high: ArrayLike, *, log: ArrayLike = False
) -> Mask:
    """Return whether an estimate stands in the middle of its interval, rounding included.

    Use it for intervals that are symmetric on the scale of the analysis: those of differences, and of the
    logarithms of ratios. Half-widths that differ by more than rounding and a seventh hint at a misprint, or
    at a ratio whose interval was made on the wrong scale.

    Parameters
    ----------
    estimate, low, high : array_like of str or float
        Estimates and ends of intervals.
    log : array_like of bool
        Whether they are ratios.

    Returns
    -------
    ndarray of bool
        True where the estimate is in the middle or a number is missing.

    Examples
    --------
    >>> ratio = [False, False, True]
    >>> interval_is_centred(["1.0"] * 3, ["0.5", "0.0", "0.50"], ["1.5", "1.5", "2.00"], log=ratio)
    array([ True, False,  True])
    """
    ends = []
    for column in (estimate, low, high):
        values, places = typed(column, None)
        ends.append((values - _half(places), values + _half(places)))
    ratio = np.asarray(log, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = [tuple(np.where(ratio, np.log(end), end) for end in pair) for pair in ends]
        middle = tuple((a + b) / 2 for a, b in zip(shown[1], shown[2], strict=True))
        half = (shown[2][0] - shown[1][1]) / 2
        away = np.maximum(shown[0][0] - middle[1], middle[0] - shown[0][1])
        centred = away <= OFF_CENTRE * half
    return np.asarray(centred | ~np.isfinite(away) | ~np.isfinite(half), dtype=bool)


@door(low="typed", high="typed", p_value="typed", relation="words", null="numbers", level="numbers")
def interval_and_p_agree(
    low: ArrayLike,
    high: ArrayLike,
    p_value: ArrayLike,
    relation: ArrayLike,
    *,
    null: ArrayLike = 0.0,
    level: ArrayLike = 0.95,
) -> Mask:
    """Return whether an interval and a p-value say the same of the value of no effect.

    A 95% interval leaves out the value of no effect exactly where p is below 0.05, by whatever test both
    were made. What rounding leaves open agrees.

    Parameters
    ----------
    low, high : array_like of str or float
        Ends of the intervals.
    p_value : array_like of str or float
        Two-sided p-values as printed.
    relation : array_like of str
        "=", "<", "<=", ">" or ">=" before each.
    null : array_like
        Value of no effect: 0 for differences, 1 for ratios.
    level : array_like
        Levels of the intervals.

    Returns
    -------
    ndarray of bool
        True where they agree or something is missing.

    References
    ----------
    Altman & Bland (2011), BMJ 343, d2304, doi:10.1136/bmj.d2304.

    Examples
    --------
    >>> interval_and_p_agree(["0.10", "-0.30"], ["0.90", "0.90"], ["0.01", "0.01"], "=")
    array([ True, False])
    """
    lows, low_places = typed(low, None)
    highs, high_places = typed(high, None)
    alpha = 1 - np.asarray(level, dtype=float)
    nothing = np.asarray(null, dtype=float)
    with np.errstate(invalid="ignore"):
        surely_out = (lows - _half(low_places) > nothing) | (highs + _half(high_places) < nothing)
        surely_in = (lows + _half(low_places) < nothing) & (highs - _half(high_places) > nothing)
    known = np.isfinite(lows) & np.isfinite(highs)
    p_low = np.where(surely_in, alpha, 0.0)
    p_high = np.where(surely_out, alpha, 1.0)
    return p_agrees(p_value, relation, np.where(known, p_low, np.nan), np.where(known, p_high, np.nan))


def _half(places: Array) -> Array:
    return np.asarray(0.5 * 10.0**-places)


def _p_of(t: ArrayLike, df: Array) -> Array:
    """Return the two-sided p of t; 0 for an infinite t, which has none below it."""
    size = np.asarray(t, dtype=float)
    p = t_two_sided(np.where(np.isinf(size), 0.0, size), np.where(np.isinf(df), np.nan, df))
    return np.where(np.isinf(size) & np.isfinite(df), 0.0, p)


def _standard_errors(s1: Array, s2: Array, n1: Array, n2: Array) -> tuple[Array, Array]:
    """Return the standard errors of the difference by Student and by Welch."""
    pooled = ((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2)
    return np.sqrt(pooled * (1 / n1 + 1 / n2)), np.sqrt(s1**2 / n1 + s2**2 / n2)


def _relation(word: object) -> str:
    if word is None or word != word or word == "":
        return ""
    if word not in RELATIONS:
        raise UnknownChoiceError("relation", word, RELATIONS)
    return str(word)
