"""From cells in our notation to values: numbers, checks by pandera, then cells among themselves."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.tables.derive import EFFECT_NAMES
from metaexo.errors import (
    DuplicateRowError,
    DuplicateStudyError,
    EventsError,
    FormError,
    IntervalError,
    MetaexoError,
    MissingCellError,
    NegativeSDError,
    OutOfRangeError,
    PValueError,
    SampleSizeError,
    StandardErrorError,
    UnknownStudyError,
    UnknownWordError,
    nearest_word,
)
from metaexo.evidence.codebook import Column
from metaexo.evidence.patterns import read_form
from metaexo.evidence.reading import RawSheet
from metaexo.evidence.vocabulary import isolation_category, isolation_steps, source_category

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

SMALLEST, LARGEST = 1e-50, 1e50
"""Sizes between which numbers of a sheet lie; what is computed from them stays finite then."""

LONGEST_SHOWN = 80
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
P_VALUE = re.compile(r"(?:p\s*)?(<=|>=|<|>|=|≤|≥)?\s*(0?\.\d+|[01](?:\.\d*)?)", re.IGNORECASE)
"""A p-value as papers print it: the relation, if there is one, and the number."""
P_SIGNS = {"≤": "<=", "≥": ">=", None: "="}

_BY_QUANTITY: dict[str, type[MetaexoError]] = {
    "sample_size": SampleSizeError,
    "standard_deviation": NegativeSDError,
    "standard_error": NegativeSDError,
    "events": EventsError,
    "p_value": PValueError,
    "p_value_words": PValueError,
}
_REMEDY = {
    "sample_size": "give the number of people, animals or preparations, or leave the cell empty",
    "standard_deviation": "look at the source; a minus sign may be a hyphen of the typesetter",
    "standard_error": "look at the source; a minus sign may be a hyphen of the typesetter",
    "events": "give the number of people with an event, not a percentage",
    "p_value": "look at the source; a percentage or a test statistic may stand in the place of p",
    "p_value_words": "write the number alone, or the relation before it: <0.001",
}


def to_values(sheet: RawSheet) -> pd.DataFrame:
    """Return the table of values of one sheet; faults of single cells are added to the sheet's problems.

    Every column of the codebook is there, the user's own columns come after, and `line` is first.
    """
    import pandas as pd

    known = sheet.plan.columns
    data: dict[str, object] = {"line": sheet.lines}
    for name, column in known.items():
        cells = [row.get(name, "") for row in sheet.rows]
        data[name] = _numbers(sheet, column, cells) if column.is_number else _words(cells)
    for name in sheet.header:
        if name not in known:
            data[name] = _words([row.get(name, "") for row in sheet.rows])
    frame = pd.DataFrame(data)
    if sheet.rows:
        _check_with_pandera(sheet, frame)
    return frame


def _words(cells: list[str]) -> list[str | None]:
    return [cell or None for cell in cells]


def _numbers(sheet: RawSheet, column: Column, cells: list[str]) -> np.ndarray:
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        text = cell.replace("\N{MINUS SIGN}", "-")
        if _NUMBER.fullmatch(text):
            values[i] = float(text)
            size = abs(values[i])
            if size > LARGEST or (0 < size < SMALLEST and column.quantity != "p_value"):
                values[i] = np.nan
                allowed = f"numbers of {SMALLEST:g} to {LARGEST:g} in size, or 0"
                what, remedy = f"{column.name} is {cell}", "look at the source; a unit may help"
                sheet.report_cell(OutOfRangeError, i, column.name, what, allowed=allowed, remedy=remedy)
    return values


def _check_with_pandera(sheet: RawSheet, frame: pd.DataFrame) -> None:
    """Check limits, words, forms and empty cells; each failure becomes a problem of its own class."""
    from pandera.errors import SchemaErrors

    try:
        table_schema(sheet).validate(frame, lazy=True)
    except SchemaErrors as failed:
        cases = failed.failure_cases.dropna(subset=["index"])
        pairs = zip(cases["column"], cases["check"], cases["index"], strict=True)
        order = {name: j for j, name in enumerate(sheet.plan.columns)}
        for name, check, i in sorted(pairs, key=lambda pair: (int(pair[2]), order[pair[0]])):
            _report_failure(sheet, sheet.plan.columns[name], str(check), int(i))


def table_schema(sheet: RawSheet) -> pa.DataFrameSchema:
    """Return the pandera schema that the codebook gives for a sheet."""
    import pandera.pandas as pa

    columns = {}
    for column in sheet.plan.columns.values():
        if column.name not in sheet.header:
            continue  # nothing to check; a needed column that is missing is reported with the header
        checks = []
        if column.words:
            checks.append(pa.Check.isin(column.words, error="word"))
        if column.pattern:
            form = read_form(column.pattern)
            checks.append(pa.Check(form.matches, element_wise=True, error="form"))
        if column.minimum is not None:
            checks.append(pa.Check.ge(column.minimum, error="limit"))
        if column.maximum is not None:
            checks.append(pa.Check.le(column.maximum, error="limit"))
        if column.type == "integer":
            checks.append(pa.Check(_is_whole, error="whole"))
        columns[column.name] = pa.Column(None, checks, nullable=not column.required)
    return pa.DataFrameSchema(columns)


def _is_whole(values: pd.Series) -> pd.Series:
    return values == values.round()


def _report_failure(sheet: RawSheet, column: Column, check: str, i: int) -> None:
    cell = sheet.rows[i].get(column.name, "")
    if check == "not_nullable":
        what = f"the cell of {column.name!r} is empty"
        sheet.report_cell(MissingCellError, i, column.name, what, remedy=f"fill it: {column.description}")
    elif check == "word":
        near = _nearest(column, cell)
        remedy = f"write {near!r} if that is what was meant" if near else "write one of the allowed words"
        remedy += "; 'other' if it is none of them" if near is None and "other" in column.words else ""
        what = f"{_shown(cell)} is not a word of {column.name!r}"
        sheet.report_cell(UnknownWordError, i, column.name, what, remedy=remedy, nearest=near)
    else:
        kind = _BY_QUANTITY.get(column.quantity, FormError if check == "form" else OutOfRangeError)
        remedy = _REMEDY.get(column.quantity, "look at the source")
        sheet.report_cell(kind, i, column.name, f"{column.name} is {_shown(cell)[1:-1]}", remedy=remedy)


def _shown(cell: str) -> str:
    """Return a cell in quotes, shortened if it is long."""
    return repr(cell if len(cell) <= LONGEST_SHOWN else f"{cell[:LONGEST_SHOWN]} ...")


OPPOSITE = ("non", "pre")
"""Beginnings by which a word says the opposite of one that is spelt alike."""


def _nearest(column: Column, cell: str) -> str | None:
    """Return the allowed word that a cell means, through the synonyms where the column has a vocabulary."""
    meant, cell = None, cell[:LONGEST_SHOWN]
    if column.name.endswith("isolation_category") or column.name.endswith("_isolation"):
        meant = isolation_category(isolation_steps(cell))
    elif column.name == "source_category":
        meant = source_category(cell)
    elif column.name == "effect_measure":
        meant = _measure_meant(column, cell)
    if meant in column.words and meant != "not_reported":
        return meant
    near = nearest_word(cell, column.words)
    turned = near and any((mark in near) != (mark in cell.lower()) for mark in OPPOSITE)
    return None if turned else near


def _measure_meant(column: Column, cell: str) -> str | None:
    """Return the word for the kind of an effect of which the cell holds the code or another name."""
    said = "_".join(cell.lower().replace("'", "").replace("-", " ").split())
    names = next((names for names in EFFECT_NAMES.values() if said in names), ())
    return next((word for word in column.words if word in names), None)


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
# counted people, those they are some of, and the scope of the count for which that holds (empty: always)
NESTED: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "safety_events": (
        ("sae_related_treated", "sae_patients_treated", ""),
        ("sae_patients_treated", "ae_patients_treated", "all"),
        ("sae_patients_control", "ae_patients_control", "all"),
    ),
}
NEEDED_BESIDE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "outcomes": (("p_value", "p_relation"), ("effect", "effect_measure")),
}
REMARKS = ("line", "locator", "confidence", "note", "use", "caution")


def check_across(sheet: RawSheet, frame: pd.DataFrame, studies: Collection[str] | None) -> None:
    """Check the rules between the cells of a row and between rows; faults are added to the problems."""
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
    for part, whole, scope in NESTED.get(name, ()):
        wrong = frame[part] > frame[whole]
        wrong = wrong & (frame["ae_scope"] == scope) if scope else wrong
        what = f"there are more people than in {whole}, of whom they are some"
        remedy = "look at the source; an empty cell is no zero, and ae_scope says what was counted"
        _report(sheet, EventsError, wrong, part, what, f"at most {whole}", remedy)
    for column, beside in NEEDED_BESIDE.get(name, ()):
        wrong = frame[column].notna() & frame[beside].isna()
        what = f"{column} is given and {beside} is not"
        allowed = ", ".join(sheet.plan.columns[beside].words)
        _report(sheet, MissingCellError, wrong, beside, what, allowed, f"say in {beside} what {column} is")
    _check_doubles(sheet, frame)
    if studies is not None:
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
    """Report studies and results that are entered twice."""
    key = sheet.plan.key
    if sheet.plan.one_row_per_study:
        for i, first in _repeats(frame[key].notna(), frame[[key]]):
            sheet.report_cell(
                DuplicateStudyError,
                i,
                key,
                f"the study {sheet.study(i)!r} stands on line {sheet.lines[first]} already",
                allowed="one row per study",
                remedy="delete one of the rows, or give the second study a name of its own",
            )
        return
    compared = frame.drop(columns=[name for name in REMARKS if name in frame])
    for i, first in _repeats(frame[key].notna(), compared):
        sheet.report_cell(
            DuplicateRowError,
            i,
            key,
            f"the row says what line {sheet.lines[first]} says",
            allowed="each result once",
            remedy="delete one of the rows, or enter what distinguishes them (time point, arm, unit)",
        )


def _repeats(counted: pd.Series, table: pd.DataFrame) -> Iterator[tuple[int, int]]:
    """Yield the position of each row that repeats an earlier one, and of the first such row."""
    if not table.duplicated().any():
        return
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
            sheet.report_cell(
                UnknownStudyError,
                i,
                column.name,
                f"the study {study!r} is not in {sheet.plan.studies}.csv",
                allowed=f"a {sheet.plan.key} of {sheet.plan.studies}.csv",
                remedy=f"write {near!r}, or add the study to {sheet.plan.studies}.csv"
                if near
                else f"add the study to {sheet.plan.studies}.csv",
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
        sheet.report_cell(kind, i, column, what, allowed=allowed, remedy=remedy)
