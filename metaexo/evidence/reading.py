"""The text of a sheet as it was read, and where each value of it stands in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from metaexo.errors import MetaexoError
from metaexo.evidence.codebook import SheetPlan
from metaexo.evidence.problems import SheetProblem
from metaexo.readable import shows_itself


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
