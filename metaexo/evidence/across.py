"""Rules that hold between cells: intervals and their estimates, SE and SD, events and n, rows and studies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import (
    DuplicateRowError,
    DuplicateStudyError,
    EventsError,
    IntervalError,
    MetaexoError,
    MissingCellError,
    StandardErrorError,
    UnknownStudyError,
    nearest_word,
)
from metaexo.evidence.reading import RawSheet
from metaexo.evidence.values import problem

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-9
MOST_NEAREST = 100
"""Unknown studies for which the nearest known one is looked for."""

# name of what the interval belongs to: estimate, low, high
INTERVALS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "outcomes": (
        *((f"{arm}_mean", f"{arm}_ci_low", f"{arm}_ci_high") for arm in ("treatment", "control")),
        *((f"{arm}_median", f"{arm}_q1", f"{arm}_q3") for arm in ("treatment", "control")),
        *((f"{arm}_median", f"{arm}_min", f"{arm}_max") for arm in ("treatment", "control")),
        *((f"{arm}_mean", f"{arm}_min", f"{arm}_max") for arm in ("treatment", "control")),
        ("difference", "difference_ci_low", "difference_ci_high"),
        ("effect", "effect_ci_low", "effect_ci_high"),
    ),
    "preparations": (("size_nm", "size_low", "size_high"),),
    "published_meta_analyses": (
        ("estimate", "ci_low", "ci_high"),
        ("estimate", "prediction_low", "prediction_high"),
    ),
}
SPREADS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "outcomes": (("treatment_se", "treatment_sd"), ("control_se", "control_sd")),
    "preparations": (("size_se", "size_sd"),),
}
COUNTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "outcomes": (("treatment_events", "treatment_n"), ("control_events", "control_n")),
    "safety_events": (
        ("ae_patients_treated", "n_treated"),
        ("ae_patients_control", "n_control"),
        ("sae_patients_treated", "n_treated"),
        ("sae_patients_control", "n_control"),
        ("sae_related_treated", "n_treated"),
        ("deaths_treated", "n_treated"),
    ),
}
NEEDED_BESIDE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "outcomes": (("p_value", "p_relation"), ("effect", "effect_measure")),
}
REMARKS = ("line", "locator", "confidence", "note", "use", "caution")


def check_across(sheet: RawSheet, frame: pd.DataFrame, studies: Collection[str] | None) -> None:
    """Check the rules between the cells of a row and between rows; faults are added to the problems.

    Parameters
    ----------
    sheet : RawSheet
        The sheet as text.
    frame : DataFrame
        Its values.
    studies : collection of str or None
        The studies of `studies.csv`; None if that sheet could not be read.
    """
    name = sheet.plan.name
    for trio in INTERVALS.get(name, ()):
        _check_interval(sheet, frame, *trio)
    for se, sd in SPREADS.get(name, ()):
        wrong = frame[se] > frame[sd] * (1 + ROUNDING)
        what = "the standard error is larger than the standard deviation"
        remedy = "the two columns may be exchanged; SE is SD divided by the root of n"
        _report(sheet, StandardErrorError, wrong, se, what, f"at most the value of {sd}", remedy)
    for events, n in COUNTS.get(name, ()):
        remedy = "count people with an event, not events"
        what = "there are more events than members of the group"
        _report(sheet, EventsError, frame[events] > frame[n], events, what, f"at most {n}", remedy)
    for column, beside in NEEDED_BESIDE.get(name, ()):
        wrong = frame[column].notna() & frame[beside].isna()
        what = f"{column} is given and {beside} is not"
        allowed = ", ".join(sheet.plan.columns[beside].words)
        _report(sheet, MissingCellError, wrong, beside, what, allowed, f"say in {beside} what {column} is")
    _check_doubles(sheet, frame)
    if sheet.plan.needs_study and studies is not None:
        _check_studies(sheet, frame, studies)


def _check_interval(sheet: RawSheet, frame: pd.DataFrame, estimate: str, low: str, high: str) -> None:
    y, a, b = (frame[name].to_numpy(dtype=float) for name in (estimate, low, high))
    turned = a > b
    slack = ROUNDING * np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore"):
        outside = ~turned & ((y < a - slack) | (y > b + slack))
    remedy = "look at the source; a sign may be lost, or the interval may belong to another number"
    what = f"{low} is above {high}"
    _report(sheet, IntervalError, turned, low, what, f"at most the value of {high}", remedy)
    what = f"{estimate} lies outside its interval, {low} to {high}"
    _report(sheet, IntervalError, outside, estimate, what, f"from {low} to {high}", remedy)


def _check_doubles(sheet: RawSheet, frame: pd.DataFrame) -> None:
    """Report a study that stands twice where it may stand once, and results entered twice."""
    key = sheet.plan.key
    if sheet.plan.one_row_a_study:
        for i, first in _repeats(frame[key].notna(), frame[[key]]):
            column = sheet.plan.columns[key]
            study = sheet.study(i)
            problem(
                sheet,
                DuplicateStudyError,
                i,
                column,
                study,
                f"the study {study!r} stands on line {sheet.lines[first]} already",
                allowed="one row a study",
                remedy="delete one of the rows, or give the second study a name of its own",
            )
        return
    compared = frame.drop(columns=[name for name in REMARKS if name in frame])
    for i, first in _repeats(frame[key].notna(), compared):
        problem(
            sheet,
            DuplicateRowError,
            i,
            sheet.plan.columns[key],
            sheet.study(i),
            f"the row says what line {sheet.lines[first]} says",
            allowed="each result once",
            remedy="delete one of the rows, or enter what tells them apart (time point, arm, unit)",
        )


def _repeats(counted: pd.Series, table: pd.DataFrame) -> Iterator[tuple[int, int]]:
    """Yield the position of each row that repeats an earlier one, and of the first such row."""
    seen: dict[tuple[str, ...], int] = {}
    for i, row in enumerate(table.astype(object).itertuples(index=False, name=None)):
        words = tuple(str(value) for value in row)
        if not counted.iloc[i]:
            continue
        if words in seen:
            yield i, seen[words]
        else:
            seen[words] = i


def _check_studies(sheet: RawSheet, frame: pd.DataFrame, studies: Collection[str]) -> None:
    column = sheet.plan.columns[sheet.plan.key]
    strange = [
        study for study in frame[column.name].unique() if isinstance(study, str) and study not in studies
    ]
    nearest = {study: nearest_word(study[:80], studies) for study in strange[:MOST_NEAREST]}
    for i, study in enumerate(frame[column.name]):
        if isinstance(study, str) and study not in studies:
            near = nearest.get(study)
            problem(
                sheet,
                UnknownStudyError,
                i,
                column,
                study,
                f"the study {study!r} is not in studies.csv",
                allowed="a study_id of studies.csv",
                remedy=f"write {near!r}, or add the study to studies.csv"
                if near
                else "add the study to studies.csv",
                nearest=near,
            )


def _report(
    sheet: RawSheet,
    kind: type[MetaexoError],
    wrong: pd.Series | NDArray[np.bool_],
    column: str,
    what: str,
    allowed: str,
    remedy: str,
) -> None:
    for i in np.flatnonzero(np.asarray(wrong)):
        cell = sheet.rows[i].get(column, "")
        problem(sheet, kind, int(i), sheet.plan.columns[column], cell, what, allowed=allowed, remedy=remedy)
