"""Effects of rows without a standard deviation, where the reader supplies one and accepts the assumption.

The SD may come from elsewhere, or from the other groups of the same table (:func:`pooled_sd`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import check_not_negative, reads_groups
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.tables.derive import DerivedEffects, derive
from metaexo.effects.tables.facts import Facts, read_facts
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    ShapeError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.inputs import read_numbers, read_words
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

NOTE = "SD taken as {:g}"


def effects_with_assumed_sd(
    measure: str | Measure,
    table: pd.DataFrame | Mapping[str, Any],
    assumed_sd: ArrayLike,
    assumed_correlation: float | None = None,
    *,
    level: float = 0.95,
    rows: Sequence[str] | None = None,
) -> DerivedEffects:
    """Derive effects from a table, with a supplied SD in rows that give no effect without it.

    Use it for means or percentage changes without a spread, if you know the SD of the outcome from
    elsewhere, or from the other groups (:func:`pooled_sd`). It stands in for the SD of every arm that has a
    mean and no SD, or an SD of 0, in rows without an effect of their own; these rows are marked as assumed.
    In rows that give only a change, before to after, it is the SD of the changes.

    Parameters
    ----------
    measure : str or Measure
        Code of the measure.
    table : pandas.DataFrame or mapping of str to sequence
        The table, with the columns of :func:`effects_from_table`.
    assumed_sd : array_like
        Standard deviations in the unit of the outcome: one for all rows, or one per row with NaN for none.
    assumed_correlation : float, optional
        Correlation of the two conditions in paired rows that do not report it.
    level : float
        Level of the confidence intervals in the table.
    rows : sequence of str, optional
        Names of the rows, for error messages.

    Returns
    -------
    DerivedEffects
        y, v, derived, reasons: one entry per row.

    Raises
    ------
    InputError
        If a standard deviation is not above zero.

    Warns
    -----
    AssumptionWarning
        If the standard deviation was used; it gives the value and the number of rows.

    Examples
    --------
    >>> table = {"treatment_mean": [30.7], "treatment_n": [8], "control_mean": [15.9], "control_n": [8],
    ...          "paired": ["no"]}
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the assumption is a warning
    ...     done = effects_with_assumed_sd("MD", table, 10.0)
    >>> float(done.v[0]), done.derived[0].note
    (25.0, 'SD taken as 10')
    """
    facts = read_facts(table, rows, level)
    return derive_with_sd(get_measure(measure), facts, assumed_sd, assumed_correlation)


@reads_groups
def pooled_sd(sd: ArrayLike, n: ArrayLike, outcome: Sequence[str]) -> dict[str, float]:
    """Return the standard deviation within groups of each outcome, pooled over its groups.

    Use it for groups of one observation, or with an SD of 0: their own SD gives no sampling variance, and the
    other groups of the same outcome tell how much single observations differ. For one outcome

        s = sqrt(sum((n - 1) sd^2) / sum(n - 1)),

    over all groups with an SD and n of 2 or more, those with an SD of 0 included. It assumes that groups
    have one variance; compare with the groups' own SDs where they have some. Hand it on as
    ``sheets.effects(..., assumed_sd=pooled_sd(...))``: rows with a usable SD keep their own.

    Parameters
    ----------
    sd : array_like, shape (k,)
        Standard deviations; NaN where there is none.
    n : array_like, shape (k,)
        Sizes of the groups.
    outcome : sequence of str, shape (k,)
        Outcome of each group. SDs of different units must have different outcomes.

    Returns
    -------
    dict of str to float
        Outcome to SD, in its unit; NaN if no group of the outcome has two observations and an SD above 0.

    Raises
    ------
    ShapeError
        If the three differ in length.
    NegativeSDError
        If an SD is negative.
    SampleSizeError
        If a size is not possible.

    See Also
    --------
    effects_with_assumed_sd : Effects of a table with these SDs.

    References
    ----------
    Higgins, Li & Deeks (2019), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6.5.2.10,
    doi:10.1002/9781119536604.ch6.

    Examples
    --------
    The second group has one observation: the SD of its outcome comes from the first and the third.

    >>> sds = pooled_sd([2.0, float("nan"), 4.0], [3, 1, 3], ["size"] * 3)
    >>> round(sds["size"], 3)
    3.162
    """
    spread, size = read_numbers(sd, "sd", ndim=1), read_numbers(n, "n", ndim=1)
    words = read_words(outcome, "outcome", spread.size)
    if size.shape != spread.shape:
        raise ShapeError(f"n has {size.size} entries for {spread.size} SDs", "one size for each group")
    told = np.isfinite(spread) & (size >= 2) & np.isfinite(size)
    found: dict[str, float] = {}
    for name in dict.fromkeys(words):
        here = told & (np.array(words, dtype=object) == name)
        df = size[here] - 1
        square = float(df @ spread[here] ** 2) / float(df.sum()) if here.any() else 0.0
        found[name] = float(np.sqrt(square)) if square > 0 else float("nan")
    return found


def derive_with_sd(
    record: Measure, facts: Facts, assumed_sd: ArrayLike, assumed_correlation: float | None
) -> DerivedEffects:
    """Derive effects from the facts of a table; see :func:`effects_with_assumed_sd`."""
    done = derive(record, facts, assumed_correlation)
    sd = _sd_per_row(assumed_sd, facts)
    at = np.flatnonzero(np.array([bool(reason) for reason in done.reasons], dtype=bool) & np.isfinite(sd))
    if not at.size:
        return done
    columns: dict[str, Any] = {
        name: values[at] for part in (facts.numbers, facts.words) for name, values in part.items()
    }
    for arm, found in facts.arms.items():
        gap = (np.isnan(found.sd) | (found.sd == 0)) & facts.has(f"{arm}_mean")
        columns[f"{arm}_sd"] = np.where(gap, sd, facts.numbers[f"{arm}_sd"])[at]
    names = [facts.rows[i] for i in at]
    again = derive(record, read_facts(columns, names, facts.level), assumed_correlation)
    gained = [int(i) for i, reason in zip(at, again.reasons, strict=True) if not reason]
    if gained:
        values = ", ".join(f"{value:g}" for value in sorted(set(sd[gained].tolist())))
        warn_caller(
            f"{record.code} assumes a standard deviation ({values}) in {plural(len(gained), 'row')}",
            AssumptionWarning,
        )
    return _merged(done, again, at, sd)


def _sd_per_row(assumed_sd: ArrayLike, facts: Facts) -> Array:
    sd = read_numbers(assumed_sd, "assumed_sd", rows=facts.rows)
    if sd.ndim == 0:
        sd = np.full(facts.k, float(sd))
    if sd.shape != (facts.k,):
        raise ShapeError(f"assumed_sd has shape {sd.shape} for {facts.k} rows", "one number, or one per row")
    check_not_negative("assumed_sd", sd, facts.rows)
    if (sd == 0).any():
        raise InputError("an assumed standard deviation is 0", "standard deviations above 0")
    return sd


def _merged(first: DerivedEffects, second: DerivedEffects, at: NDArray[np.intp], sd: Array) -> DerivedEffects:
    """Return the first effects with those of the second, which rest on an assumed SD, in their gaps."""
    y, v = first.y.copy(), first.v.copy()
    derived, reasons = list(first.derived), list(first.reasons)
    for i, j in zip(at.tolist(), range(at.size), strict=True):
        reasons[i] = second.reasons[j]
        if second.reasons[j]:
            continue
        y[i], v[i] = second.y[j], second.v[j]
        mark = second.derived[j]
        notes = [NOTE.format(sd[i]), *([mark.note] if mark.note else [])]
        derived[i] = replace(mark, how="assumed", note="; ".join(notes))
    return DerivedEffects(y, v, tuple(derived), tuple(reasons))
