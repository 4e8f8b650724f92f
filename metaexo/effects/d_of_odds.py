"""Standardised mean differences of odds ratios and risks, and back, for an outcome with something behind it.

An event is taken as a continuous outcome beyond a threshold, logistic or normal. All take arrays (or numbers)
and return arrays; missing values stay missing. Effects with variances: measures OR2D..., D2OR..., PBIT.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from metaexo.effects.arguments import numbers, reads, signs, sizes, squares
from metaexo.effects.two_by_two import first_cell
from metaexo.errors import ProportionError
from metaexo.inputs import check_choice
from metaexo.types import Array

LOGISTIC = math.pi / math.sqrt(3)
NORMAL = 1.65
SCALES = {"logistic": LOGISTIC, "normal": NORMAL}

Outcome = Literal["logistic", "normal"]


@reads
def d_of_log_odds_ratio(log_odds_ratio: ArrayLike, outcome: Outcome = "logistic") -> Array:
    """Return the standardised mean difference that a log odds ratio amounts to.

    Use it to set a published odds ratio beside standardised differences: d = log(OR) / c, with
    c = pi / sqrt(3) for a logistic outcome and c = 1.65 for a normal one (Cox).

    Parameters
    ----------
    log_odds_ratio : array_like
        Log odds ratios.
    outcome : {"logistic", "normal"}
        Distribution of what stands behind the event.

    Returns
    -------
    ndarray
        Standardised mean differences.

    Raises
    ------
    UnknownChoiceError
        If the distribution is neither.

    References
    ----------
    Hasselblad & Hedges (1995), Psychological Bulletin 117, 167-178, doi:10.1037/0033-2909.117.1.167.
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448 (the factor 1.65 of Cox).

    Examples
    --------
    >>> d_of_log_odds_ratio(np.log(2.5)).round(3), d_of_log_odds_ratio(np.log(2.5), "normal").round(3)
    (np.float64(0.505), np.float64(0.555))
    """
    return np.asarray(numbers(log_odds_ratio) / _scale(outcome))


@reads
def log_odds_ratio_of_d(d: ArrayLike, outcome: Outcome = "logistic") -> Array:
    """Return the log odds ratio that a standardised mean difference amounts to: c d.

    The inverse of :func:`d_of_log_odds_ratio`.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.
    outcome : {"logistic", "normal"}
        Distribution of what stands behind the event.

    Returns
    -------
    ndarray
        Log odds ratios.

    Raises
    ------
    UnknownChoiceError
        If the distribution is neither.

    References
    ----------
    Chinn (2000), Statistics in Medicine 19, 3127-3131,
    doi:10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M.

    Examples
    --------
    >>> log_odds_ratio_of_d(0.5).round(3), log_odds_ratio_of_d(0.5, "normal").round(3)
    (np.float64(0.907), np.float64(0.825))
    """
    return np.asarray(numbers(d) * _scale(outcome))


@reads
def d_of_risks(treatment_risk: ArrayLike, control_risk: ArrayLike) -> Array:
    """Return the standardised mean difference of two risks, over probits: z(p1) - z(p2).

    Use it when two proportions are reported and the event is a normal outcome beyond a threshold; unlike the
    odds ratio with a fixed factor it holds for rare events as well.

    Parameters
    ----------
    treatment_risk, control_risk : array_like
        Proportions with the event.

    Returns
    -------
    ndarray
        Standardised mean differences; infinite where a risk is 0 or 1.

    Raises
    ------
    ProportionError
        If a risk lies outside 0 to 1.

    References
    ----------
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448.

    Examples
    --------
    >>> d_of_risks(0.7, 0.5).round(3)
    np.float64(0.524)
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(ndtri(_risk(treatment_risk)) - ndtri(_risk(control_risk)))


@reads
def risk_of_d(d: ArrayLike, control_risk: ArrayLike) -> Array:
    """Return the risk of the treated for a standardised mean difference and the risk of the controls.

    The inverse of :func:`d_of_risks`: Phi(d + z(p2)).

    Parameters
    ----------
    d : array_like
        Standardised mean differences.
    control_risk : array_like
        Proportions of the controls with the event.

    Returns
    -------
    ndarray
        Proportions of the treated.

    Raises
    ------
    ProportionError
        If a risk lies outside 0 to 1.

    References
    ----------
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448.

    Examples
    --------
    >>> risk_of_d(0.5244, 0.5).round(3)
    np.float64(0.7)
    """
    return np.asarray(ndtr(numbers(d) + ndtri(_risk(control_risk))))


@reads
def log_odds_ratio_of_chi_square(
    chi_square: ArrayLike,
    direction: ArrayLike,
    treatment_n: ArrayLike,
    control_n: ArrayLike,
    events: ArrayLike,
) -> Array:
    """Return the log odds ratio of a 2 x 2 table from its chi-square, the group sizes and all events.

    Use it on the way from a chi-square to d by the odds ratio: `d_of_log_odds_ratio` of the result. The
    margins and Pearson's chi-square (without Yates' correction) leave one table for each direction: with E
    the expected events of the treated and V = n1 n2 m (N - m) / N^3 for m events in N people,

        a = E + sign sqrt(X^2 V).

    Cells are not rounded; :func:`tables_from_chi_square` gives whole ones.

    Parameters
    ----------
    chi_square : array_like
        Chi-square statistics with one degree of freedom.
    direction : array_like
        Sign of the effect: positive where the treated have more events than expected.
    treatment_n, control_n : array_like
        Sizes of the groups.
    events : array_like
        Events in both groups together.

    Returns
    -------
    ndarray
        Log odds ratios; infinite where a cell would be 0, NaN where no table has this chi-square.

    Raises
    ------
    InputError
        If a chi-square is negative.

    References
    ----------
    Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287.

    Examples
    --------
    >>> log_odds_ratio_of_chi_square(8.297, 1, 30, 30, 25).round(2)
    np.float64(1.6)
    """
    n1, n2 = sizes(treatment_n, "treatment_n"), sizes(control_n, "control_n")
    m, total = numbers(events), n1 + n2
    square = squares(chi_square, "chi_square")
    gap = np.sqrt(square * n1 * n2 * m * (total - m) / total**3)
    a = n1 * m / total + signs(direction, "chi_square", square > 0) * gap
    cells = np.stack(np.broadcast_arrays(a, n1 - a, m - a, n2 - m + a))
    cells = np.where((cells >= 0).all(axis=0), cells, np.nan)
    with np.errstate(divide="ignore"):
        first, second, third, fourth = np.log(cells)
    return np.asarray(first + fourth - second - third)


@reads
def chi_square_of_log_odds_ratio(
    log_odds_ratio: ArrayLike, treatment_n: ArrayLike, control_n: ArrayLike, events: ArrayLike
) -> Array:
    """Return Pearson's chi-square of the 2 x 2 table that has this log odds ratio and these margins.

    The inverse of :func:`log_odds_ratio_of_chi_square`. The cells are those of the quadratic equation in
    :func:`tables_from_odds_ratio`, not rounded.

    Parameters
    ----------
    log_odds_ratio : array_like
        Log odds ratios.
    treatment_n, control_n : array_like
        Sizes of the groups.
    events : array_like
        Events in both groups together.

    Returns
    -------
    ndarray
        Chi-square statistics with one degree of freedom.

    References
    ----------
    Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287.

    Examples
    --------
    >>> chi_square_of_log_odds_ratio(np.log(4.9286), 30, 30, 25).round(3)
    np.float64(8.297)
    """
    n1, n2 = sizes(treatment_n, "treatment_n"), sizes(control_n, "control_n")
    m, total = numbers(events), n1 + n2
    a = first_cell(np.exp(numbers(log_odds_ratio)), total, n1, m)
    return np.asarray((a - n1 * m / total) ** 2 * total**3 / (n1 * n2 * m * (total - m)))


def _scale(outcome: str) -> float:
    check_choice("outcome", outcome, tuple(SCALES))
    return SCALES[outcome]


def _risk(risk: ArrayLike) -> Array:
    values = numbers(risk)
    if ((values < 0) | (values > 1)).any():
        raise ProportionError("a risk lies outside 0 to 1", "values from 0 to 1", "write 0.2 for 20 per cent")
    return values
