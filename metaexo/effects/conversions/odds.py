# mypy: disable-error-code="empty-body"
"""Odds ratios, risks and 2 x 2 tables: what they amount to, and how a table is rebuilt from them.

An event is taken as a continuous outcome beyond a threshold, logistic or normal. All take arrays (or numbers)
and return arrays; missing values stay missing. Effects with variances: measures OR2D..., D2OR..., PBIT.
In a rebuilt table a, b are the first row (event, no event) and c, d the second; cells are rounded to whole
numbers, and missing where the reported numbers contradict each other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import check_square, numbers, possible, reads, signs
from metaexo.effects.formulas import Line, conversion
from metaexo.effects.papers import DI_PIETRANTONJ, SANCHEZ_MECA, rests_on
from metaexo.errors import MissingInputError, SampleSizeError, ShapeError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.readable import shows_itself
from metaexo.types import Array

FACTORS = {"logistic": "pi / sqrt(3)", "normal": "1.65"}
"""Distribution behind the event -> log odds ratio per standard deviation."""
LOGISTIC, NORMAL = (float(Line("c", factor).compute({})) for factor in FACTORS.values())
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
    Sánchez-Meca, Marín-Martínez & Chacón-Moscoso (2003), Psychological Methods 8, 448-467,
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


@rests_on(SANCHEZ_MECA)
@conversion("d = z(treatment_risk) - z(control_risk)")
def d_of_risks(treatment_risk: ArrayLike, control_risk: ArrayLike) -> Array:
    """Return the standardised mean difference of two risks, over probits.

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

    Examples
    --------
    >>> d_of_risks(0.7, 0.5).round(3)
    np.float64(0.524)
    """


@rests_on(SANCHEZ_MECA)
@conversion("risk = Phi(d + z(control_risk))")
def risk_of_d(d: ArrayLike, control_risk: ArrayLike) -> Array:
    """Return the risk of the treated for a standardised mean difference and the risk of the controls.

    The inverse of :func:`d_of_risks`.

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

    Examples
    --------
    >>> risk_of_d(0.5244, 0.5).round(3)
    np.float64(0.7)
    """


@rests_on(DI_PIETRANTONJ)
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

    Examples
    --------
    >>> log_odds_ratio_of_chi_square(8.297, 1, 30, 30, 25).round(2)
    np.float64(1.6)
    """
    n1, n2 = numbers(treatment_n), numbers(control_n)
    m, total = numbers(events), n1 + n2
    square = possible("chi_square", numbers(chi_square), check_square)
    gap = np.sqrt(square * n1 * n2 * m * (total - m) / total**3)
    a = n1 * m / total + signs(direction, "chi_square", square > 0) * gap
    cells = np.stack(np.broadcast_arrays(a, n1 - a, m - a, n2 - m + a))
    cells = np.where((cells >= 0).all(axis=0), cells, np.nan)
    with np.errstate(divide="ignore"):
        first, second, third, fourth = np.log(cells)
    return np.asarray(first + fourth - second - third)


@rests_on(DI_PIETRANTONJ)
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

    Examples
    --------
    >>> chi_square_of_log_odds_ratio(np.log(4.9286), 30, 30, 25).round(3)
    np.float64(8.297)
    """
    n1, n2 = numbers(treatment_n), numbers(control_n)
    m, total = numbers(events), n1 + n2
    a = first_cell(np.exp(numbers(log_odds_ratio)), total, n1, m)
    return np.asarray((a - n1 * m / total) ** 2 * total**3 / (n1 * n2 * m * (total - m)))


def _scale(outcome: str) -> float:
    check_choice("outcome", outcome, tuple(SCALES))
    return SCALES[outcome]


SMALLEST = 1e-12

MOST_PEOPLE = 10_000_000


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class Tables(Immutable):
    """Rebuilt 2 x 2 tables, one entry per study.

    Attributes
    ----------
    a, b, c, d : ndarray, shape (k,)
        First row, second row; NaN where no table fits.
    """

    a: Array
    b: Array
    c: Array
    d: Array


@rests_on(DI_PIETRANTONJ)
@reads
def tables_from_odds_ratio(odds_ratio: ArrayLike, n: ArrayLike, row: ArrayLike, column: ArrayLike) -> Tables:
    """Return the tables with these odds ratios and margins.

    a solves (w - 1) a^2 - ((w - 1) (r + s) + n) a + w r s = 0, w the odds ratio, r and s the margins.

    Parameters
    ----------
    odds_ratio : array_like
        Odds ratios.
    n : array_like
        Totals of the tables.
    row, column : array_like
        Total of the first row (a + b) and of the first column (a + c).

    Returns
    -------
    Tables
        Cells, rounded.

    Examples
    --------
    >>> table = tables_from_odds_ratio(4.93, 60, 30, 25)
    >>> int(table.a[0]), int(table.b[0]), int(table.c[0]), int(table.d[0])
    (18, 12, 7, 23)
    """
    w, total, r, s = _rows(odds_ratio, n, row, column)
    return _complete(first_cell(w, total, r, s), total, r, s)


def first_cell(odds_ratio: Array, total: Array, row: Array, column: Array) -> Array:
    """Return the first cell of the table with this odds ratio and these margins, not rounded."""
    square = odds_ratio - 1
    middle = square * (row + column) + total
    root = np.sqrt(np.maximum(middle**2 - 4 * square * odds_ratio * row * column, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # both forms are the same root; each has no difference of near numbers on its side
        above = 2 * odds_ratio * row * column / (middle + root)
        below = (middle - root) / (2 * square)
    return np.asarray(np.where(middle >= 0, above, below))


@rests_on(DI_PIETRANTONJ)
@reads
def tables_from_risk_ratio(risk_ratio: ArrayLike, n: ArrayLike, row: ArrayLike, column: ArrayLike) -> Tables:
    """Return the tables with these risk ratios, first row against second, and margins.

    a = w r s / (n - r + w r), w the risk ratio, r and s the margins.

    Parameters
    ----------
    risk_ratio : array_like
        Risk ratios.
    n, row, column : array_like
        As in :func:`tables_from_odds_ratio`.

    Returns
    -------
    Tables
        Cells, rounded.

    Examples
    --------
    >>> table = tables_from_risk_ratio(2.571, 60, 30, 25)
    >>> int(table.a[0]), int(table.b[0]), int(table.c[0]), int(table.d[0])
    (18, 12, 7, 23)
    """
    w, total, r, s = _rows(risk_ratio, n, row, column)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = w * r * s / (total - r + w * r)
    return _complete(a, total, r, s)


@rests_on(DI_PIETRANTONJ)
@reads
def tables_from_phi(phi: ArrayLike, n: ArrayLike, row: ArrayLike, column: ArrayLike) -> Tables:
    """Return the tables with these phi coefficients and margins.

    a = (r s + phi sqrt(r (n - r) s (n - s))) / n, r and s the margins.

    Parameters
    ----------
    phi : array_like
        Phi coefficients.
    n, row, column : array_like
        As in :func:`tables_from_odds_ratio`.

    Returns
    -------
    Tables
        Cells, rounded.

    Examples
    --------
    >>> table = tables_from_phi(0.3717, 60, 30, 25)
    >>> int(table.a[0]), int(table.d[0])
    (18, 23)
    """
    r_phi, total, r, s = _rows(phi, n, row, column)
    a = (r * s + r_phi * np.sqrt(r * (total - r) * s * (total - s))) / total
    return _complete(a, total, r, s)


@reads
def tables_from_chi_square(
    chi_square: ArrayLike,
    n: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    *,
    continuity_corrected: bool = True,
) -> Tables:
    """Return the tables with these chi-square statistics and margins.

    Parameters
    ----------
    chi_square : array_like
        Chi-square statistics with one degree of freedom, with the sign of the association: negative where
        the event is rarer in the first row.
    n, row, column : array_like
        As in :func:`tables_from_odds_ratio`.
    continuity_corrected : bool
        Whether the statistics carry Yates' correction.

    Returns
    -------
    Tables
        Cells, rounded. A corrected statistic of 0 gives the table nearest to no association.

    References
    ----------
    Yates (1934), Supplement to the Journal of the Royal Statistical Society 1, 217-235, doi:10.2307/2983604.

    Examples
    --------
    >>> table = tables_from_chi_square(8.297, 60, 30, 25, continuity_corrected=False)
    >>> int(table.a[0]), int(table.d[0])
    (18, 23)
    """
    x2, total, r, s = _rows(chi_square, n, row, column)
    spread = r * (total - r) * s * (total - s)
    gap = np.sqrt(np.abs(x2) * spread / total)
    if continuity_corrected:
        gap = np.where(x2 == 0, 0.0, gap + total / 2)
    return _complete((r * s + np.sign(x2) * gap) / total, total, r, s)


@reads
def tables_from_diagnostics(
    n: ArrayLike,
    *,
    sensitivity: ArrayLike | None = None,
    specificity: ArrayLike | None = None,
    positive_predictive_value: ArrayLike | None = None,
    negative_predictive_value: ArrayLike | None = None,
) -> Tables:
    """Return the tables whose diagnostic statistics come nearest to the reported ones.

    Use it for diagnostic studies that report rounded statistics. a are true positives, b false positives,
    c false negatives, d true negatives. All whole tables with the right total are compared; the one with
    the least sum of squared deviations is taken.

    Parameters
    ----------
    n : array_like
        Totals of the tables.
    sensitivity, specificity, positive_predictive_value, negative_predictive_value : array_like, optional
        At least three of the four, as fractions.

    Returns
    -------
    Tables
        Cells.

    Raises
    ------
    MissingInputError
        If fewer than three statistics are given.

    Examples
    --------
    >>> table = tables_from_diagnostics(
    ...     100, sensitivity=0.9, specificity=0.8, positive_predictive_value=0.75
    ... )
    >>> int(table.a[0]), int(table.b[0]), int(table.c[0]), int(table.d[0])
    (36, 12, 4, 48)
    """
    given = (sensitivity, specificity, positive_predictive_value, negative_predictive_value)
    if sum(x is not None for x in given) < len(given) - 1:
        raise MissingInputError("fewer than three diagnostic statistics", "three of the four, and n")
    totals, *reported = _rows(n, *(np.nan if x is None else x for x in given))
    _check_totals(totals)
    cells = np.array(
        [
            _nearest_table(int(total), [column[i] for column in reported]) if total >= 2 else [np.nan] * 4
            for i, total in enumerate(totals)
        ]
    )
    return Tables(*cells.reshape(-1, 4).T)


def _check_totals(totals: Array) -> None:
    """Refuse totals that are so large that no table of people can have them: all tables are compared."""
    if (totals > MOST_PEOPLE).any():
        raise SampleSizeError(f"n is {totals.max():g}", f"totals of at most {MOST_PEOPLE:,}")


def _nearest_table(total: int, reported: list[float]) -> tuple[float, ...]:
    """Return the whole table of a total that comes nearest to the reported statistics."""
    sensitivity, specificity, positive, negative = reported
    sick = np.arange(1.0, total)
    well = total - sick
    best: tuple[float, tuple[float, ...]] = (np.inf, (np.nan,) * 4)
    for up, over in itertools.product((-1, 0, 1), repeat=2):
        if np.isnan(sensitivity):
            d = np.clip(np.round(specificity * well) + over, 0, well)
            a = np.clip(np.round(positive * (well - d) / max(1 - positive, SMALLEST)) + up, 0, sick)
        else:
            a = np.clip(np.round(sensitivity * sick) + up, 0, sick)
            share = specificity * well
            if np.isnan(specificity):
                share = negative * (sick - a) / max(1 - negative, SMALLEST)
            d = np.clip(np.round(share) + over, 0, well)
        best = min(best, _best_of(a, d, sick, total, reported))
    return best[1]


def _best_of(
    a: Array, d: Array, sick: Array, total: int, reported: list[float]
) -> tuple[float, tuple[float, ...]]:
    """Return the least sum of squared deviations and its table."""
    c, b = sick - a, total - sick - d
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (a / (a + c), d / (b + d), a / (a + b), d / (c + d))
        off = sum((x - y) ** 2 for x, y in zip(found, reported, strict=True) if np.isfinite(y))
    off = np.where(np.isfinite(off), off, np.inf)
    i = int(np.argmin(off))
    return float(off[i]), (float(a[i]), float(b[i]), float(c[i]), float(d[i]))


def _rows(*columns: ArrayLike) -> list[Array]:
    """Return the columns as arrays of one length."""
    arrays = [np.array(x) for x in np.broadcast_arrays(*(np.atleast_1d(c) for c in columns))]
    if arrays[0].ndim != 1:
        raise ShapeError(f"the arguments have shape {arrays[0].shape}", "one entry per table")
    return arrays


def _complete(a: Array, total: Array, row: Array, column: Array) -> Tables:
    """Return the whole table that has a in the first cell; missing where a cell would be negative."""
    first = np.round(a)
    cells = np.stack([first, row - first, column - first, total - row - column + first])
    cells = np.where((cells >= 0).all(axis=0), cells, np.nan)
    return Tables(*cells)
