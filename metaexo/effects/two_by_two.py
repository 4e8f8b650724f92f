"""2 x 2 tables rebuilt from what a study reports about them.

Cells: a, b are the first row (event, no event), c, d the second. Results are rounded to whole numbers and
are missing where the reported numbers contradict each other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.arguments import reads
from metaexo.errors import MissingInputError, SampleSizeError, ShapeError
from metaexo.inputs import Immutable
from metaexo.types import Array

SMALLEST = 1e-12

MOST_PEOPLE = 10_000_000


@dataclass(frozen=True, slots=True)
class Tables(Immutable):
    """Rebuilt 2 x 2 tables, one entry a study.

    Attributes
    ----------
    a, b, c, d : ndarray, shape (k,)
        First row, second row; NaN where no table fits.
    """

    a: Array
    b: Array
    c: Array
    d: Array


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

    References
    ----------
    Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287.

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

    References
    ----------
    Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287.

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

    References
    ----------
    Di Pietrantonj (2006), Statistics in Medicine 25, 2299-2322, doi:10.1002/sim.2287.

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
