"""From a file to a table of text: encoding, separators, header, rows; every cell kept as it stands."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metaexo.errors import (
    DuplicateColumnError,
    EmptyColumnWarning,
    EmptySheetError,
    EncodingError,
    MetaexoError,
    MissingColumnError,
    RowLengthError,
    SeparatorError,
    SheetSizeError,
    UnknownColumnError,
)
from metaexo.evidence.codebook import SheetPlan
from metaexo.evidence.problems import SheetProblem
from metaexo.readable import shows_itself

LARGEST_FILE = 30_000_000
"""Bytes of the largest file that is read: about 75,000 rows of outcomes, a minute and a gigabyte."""

MISSPELT = 0.85
"""Likeness from which an unknown column is taken for a misspelt one."""

ADDED = {
    "line": "note",
    "study_name": "first_author",
    "source": "source_category",
    "source_group": "source_category",
    "source_kind": "source_category",
    "isolation": "isolation_category",
    "isolation_group": "isolation_category",
    "isolation_methods": "isolation_reported",
    "isolation_step": "isolation_category",
    "treatment_isolation_step": "treatment_isolation",
    "control_isolation_step": "control_isolation",
    "outcome_label": "outcome",
    "outcome_family": "outcome",
    "method_pair": "treatment_isolation",
}
"""Columns that metaexo adds to the tables it hands out, and the column a user may have meant."""


Record = tuple[int, list[str]]
"""A line and its cells."""


@dataclass(slots=True)
class RawSheet:
    """The text of one sheet, its lines, and what is wrong with its form."""

    plan: SheetPlan
    header: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    problems: list[SheetProblem] = field(default_factory=list)

    def study(self, i: int) -> str:
        """Return the study of row `i`."""
        return self.rows[i].get(self.plan.key, "")

    def report(
        self,
        kind: type[MetaexoError] | type[Warning],
        what: str,
        allowed: str,
        remedy: str,
        *,
        line: int = 1,
        study: str = "",
        column: str = "",
        value: str | None = None,
        nearest: str | None = None,
    ) -> None:
        """Add a problem of the form of the sheet; without a value it is the name of the column."""
        shown = column if value is None else value
        found = (kind, what, allowed, remedy, self.plan.file, line, study, column, shown, nearest)
        self.problems.append(SheetProblem(*found))

    def report_cell(
        self,
        kind: type[MetaexoError],
        i: int | np.signedinteger,
        column: str,
        what: str,
        *,
        remedy: str,
        allowed: str = "",
        nearest: str | None = None,
    ) -> None:
        """Add a problem of the cell of a column in row `i`."""
        at, value = int(i), self.rows[int(i)].get(column, "")
        allowed = allowed or self.plan.columns[column].allowed
        found = (kind, what, allowed, remedy, self.plan.file, self.lines[at], self.study(at), column, value)
        self.problems.append(SheetProblem(*found, nearest))


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the rows of one sheet stand in the file that was read."""

    file: str
    worksheet: str  # name in the workbook; empty for CSV
    # column of the codebook, or of the user's own, -> position of the column in the file, from 0
    columns: Mapping[str, int]
    headings: Sequence[str]  # by position
    # row in the file -> its cells as they stand, by position or by heading
    texts: Mapping[int, Sequence[str] | Mapping[str, str]]
    made: tuple[str, ...] = ()  # columns that the file does not have and that follow from it
    by_letter: bool = True  # whether cells are named as in a spreadsheet ("F7"), or by line and column


@shows_itself
@dataclass(frozen=True, slots=True)
class Reading:
    """How a file was read: what was taken as what, and where each value stands.

    Attributes
    ----------
    path : str
        The file, or the folder.
    sheet : str
        The worksheet of a workbook; empty for CSV and folders.
    notes : tuple of str
        What was read as what, in sentences: headings, decimal commas, cells taken as empty.
    """

    path: str
    sheet: str = ""
    notes: tuple[str, ...] = ()
    _placed: Mapping[str, Placed] = field(default_factory=dict, repr=False)

    def cell(self, line: int, column: str, sheet: str = "outcomes") -> str:
        """Return where a value stands: "Data!F7", "F7" in a CSV file, "outcomes.csv line 7, treatment_mean".

        A value that stands in no cell of its own, such as a contrast that follows from the columns, has the
        row alone.
        """
        place = self._placed.get(sheet)
        if place is None or not place.by_letter:
            return f"{place.file if place else sheet} line {line}, {column}"
        at = place.columns.get(column)
        where = f"row {line}" if at is None else f"{letters(at)}{line}"
        if not place.worksheet:
            return where
        return f"{place.worksheet}!{where}" if at is not None else f"{place.worksheet}, {where}"

    def heading(self, column: str, sheet: str = "outcomes") -> str:
        """Return the heading that a column has in the file; its name where it has none."""
        place = self._placed.get(sheet)
        at = place.columns.get(column) if place else None
        return column if place is None or at is None else place.headings[at]

    def text(self, line: int, column: str, sheet: str = "outcomes") -> str:
        """Return what stands in a cell, as it stands; empty if it is empty or there is no such cell."""
        place = self._placed.get(sheet)
        cells = place.texts.get(int(line), ()) if place else ()
        if isinstance(cells, Mapping):
            return cells.get(column, "")
        at = place.columns.get(column) if place else None
        return cells[at] if at is not None and at < len(cells) else ""

    def columns(self, sheet: str = "outcomes") -> tuple[str, ...]:
        """Return the columns that were read, as metaexo calls them, in the order of the file."""
        place = self._placed.get(sheet)
        return tuple(sorted(place.columns, key=place.columns.__getitem__)) if place else ()


def letters(at: int) -> str:
    """Return the letters of a column of a spreadsheet, from its position counted from 0.

    Examples
    --------
    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    found, number = "", at + 1
    while number:
        number, rest = divmod(number - 1, 26)
        found = chr(ord("A") + rest) + found
    return found


def read_raw(path: Path, plan: SheetPlan) -> RawSheet:
    """Read one sheet as text and check its form; what is wrong is collected, not raised."""
    sheet = RawSheet(plan)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        what = f"the file has {size / 1e6:.0f} MB"
        remedy = "keep the rows of one question in a folder of their own"
        sheet.report(SheetSizeError, what, f"at most {LARGEST_FILE / 1e6:.0f} MB", remedy)
        return sheet
    text = _decode(path.read_bytes(), sheet)
    if text is None:
        return sheet
    records = _records(text, sheet)
    if not records:
        if not sheet.problems:
            sheet.report(EmptySheetError, "the file is empty", "a header and rows", "fill it or delete it")
        return sheet
    sheet.header = [name.strip() for name in records[0][1]]
    records = _without_empty_ends(sheet, records)
    _check_header(sheet)
    if len(records) == 1:
        sheet.report(
            EmptySheetError,
            "the sheet has a header and no row",
            "one row at least",
            "fill it or delete it",
        )
    for line, cells in records[1:]:
        _take_row(sheet, line, cells)
    return sheet


def _decode(content: bytes, sheet: RawSheet) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        line = content.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start} (0x{byte:02x}) is not UTF-8"
        sheet.report(
            EncodingError,
            what,
            "UTF-8 text",
            'save the file as "CSV UTF-8"',
            line=line,
            value=f"0x{byte:02x}",
        )
        return None


def _records(text: str, sheet: RawSheet) -> list[tuple[int, list[str]]]:
    """Return the first line and the cells of every record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    first = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((first, cells))
            first = reader.line_num + 1
    except csv.Error as error:
        sheet.report(
            SeparatorError,
            f"the text from here on cannot be split into cells ({error})",
            "cells separated by commas; text that holds a comma or a quote in double quotes",
            "close the quotes of this row",
            line=first,
        )
    if records and len(records[0][1]) == 1:
        found = next((mark for mark in (";", "\t", "|") if mark in records[0][1][0]), None)
        if found is not None:
            name = {";": "semicolons", "\t": "tabs", "|": "bars"}[found]
            sheet.report(
                SeparatorError,
                f"the cells are separated by {name}",
                "cells separated by commas, numbers with a decimal point",
                _other_separator(found, sheet.plan.file),
                line=records[0][0],
            )
            return []
    return records


def _other_separator(mark: str, file: str) -> str:
    """Say how a file with another separator becomes one with commas, in any country."""
    decimal = ', decimal=","' if mark == ";" else ""
    python = f"pandas.read_csv({file!r}, sep={mark!r}{decimal}, dtype=object).to_csv({file!r}, index=False)"
    if mark != ";":
        return f'save the file as "CSV UTF-8 (comma delimited)", or once in Python: {python}'
    python = python.replace(", dtype=object", "")
    return (
        "Excel writes semicolons where the comma is the decimal mark of the computer. Windows: set the "
        "decimal symbol to a point and the list separator to a comma (settings of region, additional "
        'settings), then save in Excel as "CSV UTF-8". Google Sheets: set the locale of the file to United '
        f"States and download it as CSV. Or once in Python: {python}"
    )


def _without_empty_ends(sheet: RawSheet, records: list[Record]) -> list[Record]:
    """Leave out unnamed columns and cells at the end of rows that hold nothing, and say so."""
    width = max((i + 1 for i, name in enumerate(sheet.header) if name), default=0)
    rows = records[1:]
    used = max((i + 1 for _, cells in rows for i, cell in enumerate(cells) if cell.strip()), default=0)
    keep = max(width, min(used, len(sheet.header)))
    longer = {line for line, cells in rows if len(cells) > len(sheet.header)}
    shortened = [
        (line, cells[: max(keep, _filled(cells))] if len(cells) > keep else cells) for line, cells in rows
    ]
    gone = len(sheet.header) - keep
    if gone or any(len(cells) <= keep for (line, cells) in shortened if line in longer):
        what = (
            f"{gone} unnamed columns at the end are empty"
            if gone
            else "rows end with empty cells beyond the header"
        )
        sheet.report(EmptyColumnWarning, what, "named columns", "nothing: they were left out")
    sheet.header = sheet.header[:keep]
    return [records[0], *shortened]


def _filled(cells: list[str]) -> int:
    return max((i + 1 for i, cell in enumerate(cells) if cell.strip()), default=0)


def _check_header(sheet: RawSheet) -> None:
    """Report columns that are doubled, misspelt, reserved or missing; keep the user's own columns."""
    known, seen = sheet.plan.columns, set()
    absent = [name for name in known if name not in sheet.header]
    for name in sheet.header:
        if name in seen:
            sheet.report(
                DuplicateColumnError,
                f"the column {name!r} occurs twice",
                "one column of each name",
                "rename or delete one of them",
                column=name,
            )
        seen.add(name)
        if name in known:
            continue
        near = difflib.get_close_matches(name.casefold(), absent, n=1, cutoff=MISSPELT)
        if name in ADDED:
            sheet.report(
                UnknownColumnError,
                f"{name!r} is the name of a column that metaexo adds",
                f"another name, or {ADDED[name]!r}",
                "rename the column",
                column=name,
                nearest=ADDED[name],
            )
        elif near or not name:
            sheet.report(
                UnknownColumnError,
                f"the column {name!r} is not in the codebook",
                "the columns of the codebook, and columns of your own with names unlike theirs",
                f"rename it to {near[0]!r}" if near else "give it a name or delete it",
                column=name,
                nearest=near[0] if near else None,
            )
            absent = [other for other in absent if other not in near]
    for name in sheet.plan.required_columns:
        if name in absent:
            sheet.report(
                MissingColumnError,
                f"the column {name!r} is missing",
                ", ".join(sheet.plan.required_columns),
                f"add it: {known[name].description}",
                column=name,
            )


def _take_row(sheet: RawSheet, line: int, cells: list[str]) -> None:
    """Keep one row; a row of the wrong length is reported and kept as far as it goes."""
    row = dict(zip(sheet.header, (cell.strip() for cell in cells), strict=False))
    if len(cells) != len(sheet.header):
        sheet.report(
            RowLengthError,
            f"the row has {len(cells)} cells and the header {len(sheet.header)}",
            f"{len(sheet.header)} cells",
            "put text that holds a comma in double quotes; add or delete the cells that are amiss",
            line=line,
            study=row.get(sheet.plan.key, ""),
            value=f"{len(cells)} cells",
        )
    sheet.lines.append(line)
    sheet.rows.append(row)
