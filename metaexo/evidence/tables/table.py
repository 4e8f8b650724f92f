"""From grids of cells to raw sheets: one flat table, or linked worksheets; what was read is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from metaexo.errors import (
    DuplicateColumnError,
    EmptySheetError,
    MissingCellError,
    MissingColumnError,
    RepeatedNumbersWarning,
    RowLengthError,
    StandardErrorsAsSDsWarning,
    TwoPapersWarning,
    UnclearCellError,
    UnclearColumnError,
    UnknownChoiceError,
    WorksheetError,
)
from metaexo.evidence.codebook import Codebook, Column, SheetPlan
from metaexo.evidence.names import is_example
from metaexo.evidence.reading import Placed, letters
from metaexo.evidence.tables.asides import (
    MOST_NAMED,
    ask_of_means,
    ask_of_spread,
    comments_said,
    is_legend,
    is_row_of_units,
    numbers_not_used,
    says_standard_errors,
    side_by_side,
    struck_out,
    with_legend,
)
from metaexo.evidence.tables.cells import SEPARATORS, Grid, Number, Percent, merged_cells, read_grids
from metaexo.evidence.tables.columns import MEANS, Columns, Remarks, Tables, that_are_there
from metaexo.evidence.tables.headings import (
    ARMS,
    DECIMALS,
    Mapped,
    Vocabulary,
    find_header,
    fold,
    load_headings,
    map_columns,
    meaning,
    option,
    tokens,
)
from metaexo.evidence.tables.scales import Impossible, Scale, on_our_scale
from metaexo.evidence.tables.values import (
    OF_WORD,
    Dialect,
    Trouble,
    Value,
    dialect_of,
    dialect_of_column,
    ends_of,
    half_of,
    is_empty,
    number,
    p_value,
    share,
    shown,
    unit_of_time,
    value_of,
    values_of,
)
from metaexo.evidence.tables.which_rows import (
    alone_said,
    ask_of_choice,
    ask_of_outcome,
    copied_rows,
    is_ditto,
    is_remark,
    is_summary,
    paper,
    summed,
    two_papers,
)
from metaexo.evidence.vocabulary import VOCABULARIES, load_vocabulary
from metaexo.formatting import plural

FLAT = ("studies", "outcomes")
"""Sheets that one flat table holds; as worksheets of these names they are linked."""
LOCATIONS = ("mean", "sd", "se", "ci_low", "ci_high", "median", "q1", "q3", "min", "max")
NAMES = ("study_id", "first_author")
"""Columns in which "Na" is a name."""
_OF_BIAS = re.compile(r"bias|\brob|robins|syrcle|quality|GRADE", re.IGNORECASE)
SIZES = ("n_treatment", "n_control")
"""Columns of studies that a flat table has as the sizes of the arms of each row."""
ADDED = frozenset(
    [
        *("line", "study_name", "source", "source_group", "source_kind", "isolation", "isolation_group"),
        *("isolation_methods", "isolation_step", "treatment_isolation_step", "control_isolation_step"),
        *("outcome_label", "outcome_family", "method_pair"),
    ]
)
"""Columns that metaexo adds to the tables it hands out: a column of the user's own has another name."""
FEWEST_HEADINGS = 4
"""Known headings by which a row below the first one is the header of another table."""
MOST_WORDS = 6
"""Words of a cell that stands alone in the last rows and names a study; longer texts are remarks."""
ONE_OUTCOME = "outcome"
"""The outcome of a table that names none."""


def read_tables(
    path: Path,
    codebook: Codebook,
    columns: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
    folder: Path | None = None,
) -> Tables:
    """Return the raw sheets of a file; a file that cannot be opened, or chosen from, is refused."""
    grids = read_grids(path)
    sheets = {fold(grid.sheet): grid for grid in grids if fold(grid.sheet) in codebook.sheets}
    if sheet is None and all(name in sheets for name in FLAT):
        others = [grid for grid in grids if grid not in sheets.values()]
        tables = linked(path.name, codebook, sheets, columns or {}, folder or path.parent, others)
        unread = f"; not read: {', '.join(repr(grid.sheet) for grid in others)}" if others else ""
        named = ", ".join(map(repr, sheets))
        tables.notes.insert(0, f"the worksheets {named} were read as linked sheets{unread}")
        return tables
    plan, words = flat_plan(codebook, path.name), load_headings(folder)
    grid, notes = _chosen(path, grids, plan, words, columns or {}, sheet)
    words, explained = with_legend(grid, grids, words)
    tables = Tables(flat_codebook(codebook, plan), worksheet=grid.sheet, notes=[*notes, *explained])
    _Table(tables, grid, plan, words, columns or {}, folder).read_flat()
    return tables


def flat_plan(codebook: Codebook, file: str) -> SheetPlan:
    """Return the plan of a flat table: the columns of outcomes and of their studies."""
    outcomes, studies = codebook.sheets["outcomes"], codebook.sheets["studies"]
    of_studies = {n: c for n, c in studies.columns.items() if n not in outcomes.columns and n not in SIZES}
    columns = {**outcomes.columns, **of_studies}
    optional = (outcomes.key, "better", "contrast", "outcome")
    columns |= {name: replace(columns[name], required=False) for name in optional}
    return replace(outcomes, file=file, columns=columns)


def flat_codebook(codebook: Codebook, plan: SheetPlan) -> Codebook:
    """Return a codebook with the plan of a flat table."""
    studies = replace(codebook.sheets["studies"], file=f"studies of {plan.file}")
    return replace(codebook, sheets={**codebook.sheets, "studies": studies, plan.name: plan})


def _chosen(
    path: Path,
    grids: Sequence[Grid],
    plan: SheetPlan,
    words: Vocabulary,
    columns: Mapping[str, str | None],
    sheet: str | None,
) -> tuple[Grid, list[str]]:
    """Return the worksheet that reads as data; several, or none, are refused with their names."""
    names = [grid.sheet for grid in grids]
    if sheet is not None:
        if not grids[0].sheet:
            raise UnknownChoiceError("worksheet (--sheet)", sheet, [], rows=f"{path.name} is no workbook")
        found = [grid for grid in grids if fold(grid.sheet) == fold(sheet)]
        if not found:
            raise UnknownChoiceError("worksheet (--sheet)", sheet, names, rows=path.name)
        return found[0], [*found[0].notes]
    filled = [grid for grid in grids if grid.rows]
    if not filled:
        raise EmptySheetError(
            f"{path.name} has no cell with content",
            "a header and rows",
            "fill it, or look at the path",
            path.name,
        )
    if len(filled) == 1:
        return filled[0], _said_of(filled[0], grids)
    data = [grid for grid in filled if _reads_as_data(grid, plan, words, columns)]
    visible = [grid for grid in data if not grid.hidden] or data
    if not visible and len(tables := [grid for grid in filled if not is_legend(grid)]) == 1:
        visible = tables
    visible = [grid for grid in visible if not is_legend(grid)] or visible
    if len(visible) == 1:
        return visible[0], _said_of(visible[0], grids)
    first = (visible or filled)[0].sheet
    listed = ", ".join(repr(grid.sheet) for grid in (visible or filled))
    what = (
        "several worksheets that read as data" if visible else "no worksheet that reads as a table of studies"
    )
    raise WorksheetError(
        f"{path.name} has {what}: {listed}",
        "one table, one row per comparison",
        f'name one: --sheet "{first}" (in Python: sheet="{first}")',
        path.name,
    )


def _reads_as_data(grid: Grid, plan: SheetPlan, words: Vocabulary, columns: Mapping[str, str | None]) -> bool:
    layout = find_header(grid, plan.columns, words, columns)
    if layout is None or layout.start >= len(grid.rows):
        return False
    map_columns(grid, layout, plan.columns, words, that_are_there(layout, columns), grid.file)
    taken = layout.taken()
    named = taken & {plan.key, "first_author"}
    return bool(named) and any(plan.columns[name].is_number for name in taken - {"year", "items"})


def _said_of(grid: Grid, grids: Sequence[Grid]) -> list[str]:
    if not grid.sheet:
        return [*grid.notes]
    others = [other.sheet for other in grids if other is not grid]
    hidden = " (hidden)" if grid.hidden else ""
    notes = [f"the worksheet {grid.sheet!r}{hidden} was read"]
    if others:
        notes[0] += f"; not read: {', '.join(map(repr, others[:MOST_NAMED]))}"
    return [*notes, *grid.notes]


def linked(
    of: str,
    codebook: Codebook,
    grids: Mapping[str, Grid],
    columns: Mapping[str, str | None],
    folder: Path,
    others: Sequence[Grid] = (),
) -> Tables:
    """Return the sheets that are linked by the study: worksheets of a workbook, or files of a folder."""
    plans = {
        name: replace(plan, file=f"{of}, {grids[name].sheet}" if grids[name].sheet else grids[name].file)
        for name, plan in codebook.sheets.items()
        if name in grids
    }
    tables = Tables(replace(codebook, sheets={**codebook.sheets, **plans}), flat=False)
    used: set[str] = set()
    for name, plan in plans.items():
        words, explained = with_legend(grids[name], others, load_headings(folder))
        tables.notes += explained
        table = _Table(tables, grids[name], plan, words, columns, folder)
        table.read_linked()
        used |= table.used
    for heading in columns:
        if fold(heading) not in used:
            shown_ = [name for placed in tables.placed.values() for name in placed.headings]
            raise UnknownChoiceError("heading", heading, shown_, rows=of)
    return tables


class _Table(Columns):
    """One pass over the rows of a grid."""

    def __init__(
        self,
        tables: Tables,
        grid: Grid,
        plan: SheetPlan,
        words: Vocabulary,
        columns: Mapping[str, str | None],
        folder: Path | None,
    ) -> None:
        super().__init__(tables, grid, plan, words, columns)
        self.folder = folder
        self.dialect = Dialect()  # of all numbers, and of each column by its position
        self.dialects: dict[int, Dialect] = {}
        # what is asked once per column: by its remedy, and numbers that can be two
        self._once: dict[tuple[Mapped, str], list[tuple[int, Trouble]]] = {}
        self._signs: dict[int, bool] = {}
        self._two_ways: dict[Mapped, list[tuple[int, str, tuple[str, str]]]] = {}
        self._spread_asked = False  # whether columns of SDs may be SEs as a title or a remark says
        self._twice = False  # whether numbers of one group stand side by side
        self.remarks = Remarks()
        self._in_percent: set[str] = set()  # columns of the row whose cells have a percent sign
        self._of_logarithm = False  # whether the row says that its effect is a logarithm
        self.studies: dict[str, tuple[str, int]] = {}
        self.outcomes: dict[str, str] = {}
        self.own: dict[int, str] = {}  # the names of the user's own columns, by position
        self.skipped: dict[tuple[int, int], None] = {}  # cells of which something else is said already

    # ------------------------------------------------------------------------------------------- Steps

    def read_flat(self) -> None:
        """Read one flat table."""
        if not self.header():
            return
        self.ask()
        self._side_by_side()
        asked = {problem.heading for problem in [*self.layout.problems, *self.raw.problems]}
        for one in ask_of_means(self.grid, self.layout, self.plan.columns, self.words):
            if self.layout.headings[one.at or 0] not in asked and not self._twice:
                self.problem(UnclearColumnError, one.what, one.allowed, one.remedy, one.at, one.line)
        self._body()
        self.notes += self.remarks.said(self.layout, self.tables.flat)
        self._fill()
        unused = numbers_not_used(self.grid, self.layout, self.plan.columns, self.words)
        if unused is not None:
            self.problem(
                UnclearColumnError, unused.what, unused.allowed, unused.remedy, unused.at, unused.line
            )
            self.tables.unused = self.raw.problems.pop()  # a question where no row gives an effect

    def read_linked(self) -> None:
        """Read one of several linked sheets; what is said of it begins with its name."""
        self.notes = []
        self._read_linked()
        name = self.grid.sheet or self.grid.file
        self.tables.notes += [f"{name}: {note}" for note in self.notes]

    def _read_linked(self) -> None:
        self.notes += self.grid.notes
        if not self.header():
            return
        known, taken = self.plan.columns, self.layout.taken()
        for name in self.plan.required_columns:
            if name not in taken:
                self.problem(
                    MissingColumnError,
                    f"no heading of {self.grid.sheet or self.grid.file!r} is {name}",
                    ", ".join(self.plan.required_columns),
                    f"add it: {known[name].description}",
                    column=name,
                )
        self._body()
        self.notes += self.remarks.said(self.layout, self.tables.flat)

    # -------------------------------------------------------------------------------------------- Rows

    def _body(self) -> None:
        layout, grid = self.layout, self.grid
        self.raw.problems += layout.problems
        mapped = [column for column in layout.mapped if column.columns]
        own = self._own_names([column for column in layout.mapped if not column.columns])
        self.own = own
        known = self.plan.columns
        self.raw.header = [
            *dict.fromkeys(name for column in mapped for name in column.columns),
            *own.values(),
        ]
        rows = list(zip(grid.lines, grid.rows, strict=True))[layout.start :]
        rows = self._without_examples(self._without_remarks(self._without_units(rows)))
        self._around(rows)
        self._row_lengths(rows)
        self._merged(rows)
        numeric = [c for c in mapped if any(known[name].is_number for name in c.columns)]
        self.dialect = dialect_of(
            (row[c.at] for _, row in rows for c in numeric if c.at < len(row)), grid.separator
        )
        self.dialects = {column.at: self._dialect_of(column, rows) for column in numeric}
        texts = dict(rows)
        columns = {name: column.at for column in mapped for name in column.columns}
        columns |= {name: at for at, name in own.items()}
        self.tables.placed[self.plan.name] = Placed(
            self.plan.file, grid.sheet, columns, tuple(layout.headings), texts
        )
        last = ""
        for line, row in rows:
            last = self._row(line, row, mapped, own, last)
        self._ask_for_decimal_mark()
        for (column, remedy), cells in self._once.items():
            lines = tuple(line for line, _ in cells)
            first = cells[0][1]
            more = f" (and {plural(len(lines) - 1, 'more cell')} of the column)" if len(lines) > 1 else ""
            self.problem(
                first.kind,
                first.what + more,
                first.allowed,
                remedy,
                column.at,
                lines[0],
                lines if more else (),
                column=column.columns[0],
                study="" if more else self._study_in(self._by_line[lines[0]]),
            )

    def _dialect_of(self, column: Mapped, rows: Sequence[tuple[int, list[str]]]) -> Dialect:
        """Return how numbers of a column are read: as the user says, as its cells say, or as those of all."""
        if column.decimal:
            return replace(self.dialect, decimal=column.decimal)
        cells = [row[column.at] for _, row in rows if column.at < len(row)]
        whole = all(self.plan.columns[name].type == "integer" for name in column.columns)
        return dialect_of_column(cells, self.dialect, whole=whole)

    def _ask_for_decimal_mark(self) -> None:
        """Ask once per column what "1,234" is, where no other number settles it."""
        for column, cells in self._two_ways.items():
            (line, cell, (whole, point)), *more = cells
            mark = "," if "," in cell else "."
            names = {"each": " and ", "half": " + "}.get(column.shared, " ± ").join(column.columns)
            as_point, as_whole = (
                option(column.heading, f"{names}, {DECIMALS[one]}") for one in (mark, ".,".replace(mark, ""))
            )
            others = f", and {plural(len(more), 'other cell')} of the column likewise" if more else ""
            self.problem(
                UnclearCellError,
                f"{shown(cell)} can be {whole} or {point}{others}: the other numbers of the file do not "
                "settle it",
                self.plan.columns[column.columns[0]].allowed,
                f"{as_point} if it is {point}; {as_whole} if it is {whole}",
                column.at,
                line,
                column=column.columns[0],
                lines=tuple(one for one, *_ in cells) if more else (),
                study="" if more else self._study_in(self._by_line[line]),
            )

    def _own_names(self, own: Sequence[Mapped]) -> dict[int, str]:
        """Return the names of the user's own columns, by position; none has the name of another column."""
        taken = {*self.plan.columns, *ADDED}
        names: dict[int, str] = {}
        nameless = []
        for column in own:
            heading = column.heading
            if not heading:
                nameless.append(letters(column.at))
                continue
            name = heading
            while name in taken:
                name = f"{name} (as in the file)" if name == heading else f"{name} {letters(column.at)}"
            taken.add(name)
            names[column.at] = name
        if nameless:
            has, was = ("has", "was") if len(nameless) == 1 else ("have", "were")
            told = f"{plural(len(nameless), 'column')} {has} cells and no heading, and {was} not used"
            self.notes.append(f"{told}: {', '.join(nameless[:MOST_NAMED])}")
        return names

    def _around(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        """Ask of what stands around the numbers, and say what was not read of it."""
        self.notes += comments_said(self.grid, self.layout)
        if not rows:
            return
        taken = {column.at for column in self.layout.mapped if column.columns}
        struck = [struck_out(self.grid, line, row, taken) for line, row in rows] if self.grid.struck else []
        spreads = [*ask_of_spread(self.grid, self.layout)]
        self._spread_asked = bool(spreads)
        chosen = ask_of_choice(rows, self.layout) if self.tables.flat else ()
        for question in [*spreads, *filter(None, struck), *chosen]:
            self.problem(
                UnclearCellError, question.what, question.allowed, question.remedy, question.at, question.line
            )

    def _side_by_side(self) -> None:
        """Ask once where outcomes or time points stand side by side, and not for each of their columns."""
        found = side_by_side(self.grid, self.layout, self.plan.columns, self.words)
        if found is None:
            return
        self._twice = True
        question, headings = found
        for problems in (self.layout.problems, self.raw.problems):
            problems[:] = [one for one in problems if one.heading not in headings]
        self.problem(
            DuplicateColumnError, question.what, question.allowed, question.remedy, question.at, question.line
        )

    def _without_units(self, rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
        """Leave out a row of units below the headings, and say so."""
        known = self.plan.columns
        numeric = {c.at for c in self.layout.mapped if any(known[name].is_number for name in c.columns)}
        if not rows or not is_row_of_units(rows[0][1], numeric):
            return rows
        line, row = rows[0]
        units = ", ".join(dict.fromkeys(shown(cell) for cell in row if cell))
        self.remarks.unread.append(f"row {line} was not read: it holds units ({units})")
        return rows[1:]

    def _without_remarks(self, rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
        """Leave out remarks below the table, sums and repeated headers, and say so; ask for others."""
        filled = [sum(bool(cell) for cell in row) for _, row in rows]
        wide = len(self.layout.taken()) + len([c for c in self.layout.mapped if not c.columns]) > 1
        header = [fold(name) for name in self.grid.rows[self.layout.start - 1]]
        names, known = {self.plan.key, "first_author"}, self.plan.columns
        key = next((c.at for c in self.layout.mapped if names & {*c.columns}), 0)
        numeric = {c.at for c in self.layout.mapped if any(known[name].is_number for name in c.columns)}
        remarks = [self.tables.flat and is_remark(row, key, numeric, MOST_WORDS) for _, row in rows]
        last = max((i for i, n in enumerate(filled) if n > 1 and not remarks[i]), default=-1)
        alone: list[tuple[int, str]] = []
        kept: list[tuple[int, list[str]]] = []
        for i, (line, row) in enumerate(rows):
            first = next((cell for cell in row if cell), "")
            study = row[key] if key < len(row) else ""
            named = self.plan.one_row_per_study and bool(study) and len(study.split()) <= MOST_WORDS
            others = [cell for cell in row if cell and cell != (study or first)]
            if wide and filled[i] == 1 and i > last and not named:
                alone.append((line, first))
            elif kept and i > last and remarks[i]:
                words = ", ".join(shown(cell) for cell in row if cell)
                self.remarks.unread.append(f"row {line} was not read: it is a remark ({words})")
            elif self.tables.flat and kept and is_summary(study or first, others):
                self.remarks.unread.append(
                    f"row {line} was not read: {shown(study or first)} sums up other rows"
                )
            elif self._second_table(i, rows, header):
                break
            elif _is_row(row, header):
                self.remarks.unread.append(f"row {line} was not read: it repeats the headings")
            elif wide and filled[i] == 1 and self.tables.flat:
                at = row.index(first)
                self.problem(
                    UnclearCellError,
                    f"the row holds only {shown(first)}",
                    "one comparison per row",
                    "delete the row; if it is a heading of rows below it, write it in a column of its own",
                    at,
                    line,
                )
            else:
                kept.append((line, row))
        self.remarks.unread += alone_said(alone)
        what = summed(kept[-1][1], [row for _, row in kept[:-1]], numeric) if kept else ""
        if self.tables.flat and what:
            self.problem(
                UnclearCellError,
                f"the numbers of the row are the {what} of the rows above it",
                "one comparison per row, and no row that sums up others",
                "delete the row; if it is a study all the same, move it above another one",
                key,
                kept[-1][0],
            )
        return kept

    def _second_table(self, i: int, rows: Sequence[tuple[int, list[str]]], header: list[str]) -> bool:
        """Refuse a second table below the first: what it holds may be another outcome."""
        if not self.tables.flat:
            return False
        line, row = rows[i]
        if sum(map(bool, row)) == 1 and i + 1 < len(rows):  # a title above the headings
            return self._second_table(i + 1, rows, header)
        same = _is_row(row, header)
        if (same and "outcome" in self.layout.taken()) or not (same or self._are_headings(row)):
            return False
        below = [next(filter(None, cells), "") for _, cells in rows[i + 1 :] if sum(map(bool, cells)) > 1]
        if all(is_summary(first, ()) for first in below):
            return False
        self.problem(
            UnclearCellError,
            f"row {line} holds headings again: two tables stand on one sheet, and the second one may hold "
            f"another outcome; rows {rows[i][0]} to {rows[-1][0]} were not read",
            "one row of headings, and one table below it",
            "put the rows of both under one row of headings, with a column Outcome that names the outcome in "
            "every row; or give each table a worksheet of its own",
            next(at for at, cell in enumerate(row) if cell),
            line,
        )
        return True

    def _are_headings(self, row: Sequence[str]) -> bool:
        cells = [cell for cell in row if cell]
        if any(isinstance(cell, Number) or cell[0].isdigit() for cell in cells):
            return False
        known = sum(meaning(cell, self.plan.columns, self.words).sure for cell in cells)
        return known >= FEWEST_HEADINGS and known > len(cells) / 2

    def _without_examples(self, rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
        """Leave out the examples of the template, and say so; a table of examples alone is refused."""
        key = next((c.at for c in self.layout.mapped if self.plan.key in c.columns), None)
        if key is None:
            return rows
        lines = [line for line, row in rows if key < len(row) and is_example(row[key])]
        if not lines:
            return rows
        kept = [(line, row) for line, row in rows if line not in set(lines)]
        listed = ", ".join(map(str, lines[:MOST_NAMED])) + (" ..." if len(lines) > MOST_NAMED else "")
        why = 'the study begins with "Example", as the examples of the template do'
        self.notes.append(f"{plural(len(lines), 'row')} not read ({listed}): {why}")
        if not kept:
            self.problem(
                EmptySheetError,
                "the table holds only the examples of the template",
                "one row of a study at least",
                "write your studies in the rows below, one row per comparison",
                key,
                lines[0],
            )
        return kept

    def _row_lengths(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        """Name the rows of a CSV file with more or fewer cells than its header: their cells are shifted."""
        if not self.grid.widths:
            return
        width = self.grid.widths[self.layout.start - 1]
        lengths = dict(zip(self.grid.lines, self.grid.widths, strict=True))
        mark = SEPARATORS[self.grid.separator]
        for line, row in rows:
            if lengths[line] != width and (lengths[line] < width or len(row) > width):
                self.problem(
                    RowLengthError,
                    f"the row has {lengths[line]} cells and the header {width}",
                    f"{width} cells, separated by {mark}",
                    f"put text or numbers that hold one of the {mark} in double quotes, and add {mark} for "
                    "cells that are empty",
                    line=line,
                    study=row[0],
                )

    def _merged(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        """Name the merged cells among the rows."""
        texts = dict(rows)
        for span in self.grid.merged:
            first, last, left, right = span
            lines = (
                [line for line in texts if first <= line <= last] if last - first < 100_000 else list(texts)
            )
            if not lines or last <= self.layout.line:
                continue
            row = texts.get(first, [])
            odd = merged_cells(self.grid, span, row[left] if left < len(row) else "")
            self.problem(odd.kind, odd.what, odd.allowed, odd.remedy, left, first)
            self.skipped |= {
                (line, at): None for line in lines for at in range(left, min(right, left + 500) + 1)
            }

    def _row(
        self, line: int, row: list[str], mapped: Sequence[Mapped], own: Mapping[int, str], last: str
    ) -> str:
        """Read one row; return its study, which the next may continue."""
        found: dict[str, str] = {}
        signs: dict[str, bool] = {}
        self._in_percent, self._of_logarithm = set(), False
        for column in mapped:
            cell = row[column.at] if column.at < len(row) else ""
            if not cell or (line, column.at) in self.skipped:
                continue
            odd = self.grid.odd.get((line, column.at))
            if odd is not None:
                self.skipped[line, column.at] = None
                self._cell_problem(Trouble(odd.kind, odd.what, odd.allowed, odd.remedy), line, row, column)
                continue
            self._cell(line, row, cell, column, found, signs)
        for at, name in own.items():
            odd = self.grid.odd.get((line, at))
            if odd is not None and odd.what.startswith("the formula"):
                self.remarks.wrote("formula without a result, left empty", name)
            elif at < len(row) and row[at]:
                self._words(row[at], at, name, found)
        self._one_sign(line, row, signs)
        if no_zero := self._without_zero(mapped):
            unit = found.get("unit", "")
            found["unit"] = unit if no_zero in fold(unit) else f"{no_zero} {unit}".strip()
        self._on_our_scale(line, row, mapped, found)
        study = self._study(line, row, found, last)
        sds = [c for c in mapped if {f"{arm}_sd" for arm in ARMS} & {*c.columns}]
        settled = self._spread_asked or any(column.by_user for column in sds)
        if text := "" if settled else says_standard_errors(self.grid, line, found):
            column = sds[0]
            self.problem(
                StandardErrorsAsSDsWarning,
                f"the row says {shown(text)}, and its spreads stand as SDs",
                "SDs, or standard errors in columns of their own",
                "write them into treatment_se and control_se if they are standard errors; if they are SDs, "
                'write in the column caution of the row "StandardErrorsAsSDsWarning: the paper says SD"',
                column.at,
                line,
                study=study,
            )
        self.raw.lines.append(line)
        self.raw.rows.append(found)
        return study

    def _without_zero(self, mapped: Sequence[Mapped]) -> str:
        """Return the unit of means that are logarithms or changes, as a heading says; "" of others."""
        if "unit" not in self.plan.columns:
            return ""
        for column in mapped:
            if any(name in MEANS for name in column.columns):
                said = tokens(column.heading)
                for word in ("log", "ln", "ct"):
                    if word in said:
                        after = said[said.index(word) + 1 :][:1]
                        return word + (after[0] if word == "log" and after in (["10"], ["2"]) else "")
                if "change" in said and "fold" not in said:
                    return "change from baseline"
        return ""

    def _on_our_scale(
        self, line: int, row: list[str], mapped: Sequence[Mapped], found: dict[str, str]
    ) -> None:
        """Turn numbers on another scale into those of their columns, and say so."""
        scales = {name: column.scale for column in mapped for name in column.columns if column.scale}
        if self._of_logarithm:
            scales["effect"] = replace(scales.get("effect", Scale()), log=1.0)
        if not scales and not self._in_percent and "effect" not in found:
            return
        measure = found.get("effect_measure") or self.layout.constants.get("effect_measure", "")
        places = {name: column for column in mapped for name in column.columns}
        for told in on_our_scale(found, scales, measure, self._in_percent):
            if isinstance(told, Impossible):
                trouble = Trouble(UnclearCellError, told.what, told.allowed, told.remedy)
                self._cell_problem(trouble, line, row, places[told.column])
                continue
            how, name = told
            self.remarks.wrote(how, places[name].heading)

    def _study(self, line: int, row: list[str], found: dict[str, str], last: str) -> str:
        key = self.plan.key
        if self.tables.flat and self.by_author and "first_author" in found:
            found[key] = " ".join(filter(None, (found["first_author"], found.get("year", ""))))
        study = found.get(key, "")
        ditto = self.tables.flat and is_ditto(study)
        if ditto:
            study = ""
            del found[key]
        if study:
            study = found[key] = " ".join(study.split())
            self._one_spelling(line, row, study)
        if study or not self.tables.flat or (key not in self.layout.taken() and not self.by_author):
            return study or last
        names = (key, "first_author")
        at = next((c.at for c in self.layout.mapped if set(names) & set(c.columns)), 0)
        if (line, at) not in self.skipped:
            remedy = (
                f"write {last!r} in it if the row is of that study (fill down)"
                if last
                else "write the study in it"
            )
            self.problem(
                MissingCellError,
                f"{shown(self.at(line, at))} stands for the study above"
                if ditto
                else "the cell of the study is empty",
                "the study in every row",
                remedy,
                at,
                line,
                column=key,
            )
        return last

    def _one_spelling(self, line: int, row: list[str], study: str) -> None:
        """Refuse a study that is written in another way elsewhere: it would count as two."""
        first, where = self.studies.setdefault(paper(study), (study, line))
        if first != study:
            at = next(
                (c.at for c in self.layout.mapped if {self.plan.key, "first_author"} & set(c.columns)), 0
            )
            self.problem(
                UnclearCellError,
                f"{study!r} is written {first!r} in row {where}, and would count as another study",
                "one spelling per study",
                f"write {first!r} in both; if they are two studies, names that differ by a letter: "
                f"{first + 'a'!r} and {first + 'b'!r}",
                at,
                line,
                column=self.plan.key,
                study=study,
            )

    def _cell(
        self,
        line: int,
        row: list[str],
        cell: str,
        column: Mapped,
        found: dict[str, str],
        signs: dict[str, bool],
    ) -> None:
        """Read one cell into the columns that it holds."""
        plans = [self.plan.columns[name] for name in column.columns]
        if len(plans) == 1 and _takes_any_text(plans[0]) and plans[0].name not in ("outcome", "timepoint"):
            self._words(cell, column.at, plans[0].name, found)
            return
        values = self._values(row, cell, column, plans, found)
        if isinstance(values, Trouble) and values.two_ways:
            self._two_ways.setdefault(column, []).append((line, cell, values.two_ways))
            return
        if isinstance(values, Trouble):
            trouble = self._apart(values, line, column)
            if trouble is values and trouble.once:
                self._once.setdefault((column, trouble.remedy), []).append((line, trouble))
            else:
                self._cell_problem(trouble, line, row, column)
            return
        if values[0].how.startswith("percent"):
            self._in_percent |= {*column.columns}
        self._of_logarithm |= values[0].how == "measure of logarithms"
        for how in dict.fromkeys(value.how for value in values if value.how):
            if how == "empty":
                self.remarks.emptied[cell.strip()] += 1
            elif how in ("word", "outcome", "measure", "measure of logarithms"):
                self.remarks.renamed[plans[0].name, str(cell), values[0].text] += 1
            else:
                self.remarks.wrote(how, column.heading)
        for plan, value in zip(plans, values, strict=True):
            if value.text:
                found[plan.name] = value.text
                part = plan.name.partition("_")[2]
                if plan.name.startswith(ARMS) and part in LOCATIONS:
                    signs[plan.name] = value.how.startswith("percent")

    def _words(self, cell: str, at: int, name: str, found: dict[str, str]) -> None:
        """Read a cell of any text; "NA", "-" or "unknown" is no text but says that nothing is reported.

        Signs are words in a column with "+", and where the risk of bias is judged; "?" is a word everywhere.
        """
        nothing = is_empty(cell) and name not in NAMES and not name.endswith("_reported")
        if nothing and not any(map(str.isalnum, cell)):
            nothing = "?" not in cell and not self._has_signs(at)
        if nothing:
            self.remarks.emptied[cell.strip()] += 1
        else:
            found[name] = str(cell)

    def _has_signs(self, at: int) -> bool:
        """Return whether a column is one in which "-" is a word: beside "+", or for the risk of bias."""
        if at not in self._signs:
            plus = any(at < len(row) and row[at].strip(" +") == "" != row[at] for row in self.grid.rows)
            self._signs[at] = plus or _OF_BIAS.search(self.layout.headings[at]) is not None
        return self._signs[at]

    def _apart(self, trouble: Trouble, line: int, column: Mapped) -> Trouble:
        """Say where each number of a cell goes, where the other cells of its column hold one number."""
        cells = self._sample(column.at)
        single = sum(number(cell, self.dialects[column.at]) is not None for cell in cells)
        places = {name: other.at for other in self.layout.mapped for name in other.columns}
        others = {places.get(name, column.at) for names, _ in trouble.several for name in names} - {column.at}
        taken = any(self._sample(at) for at in others)  # an empty column leaves its name to --map
        if not trouble.several or not (single > len(cells) / 2 or taken):
            return trouble
        said = []
        for names, text in trouble.several:
            known = [name for name in names if name in places]
            where = [
                f"{self.grid.address(line, places[name])} ({name})" if name in known else f"a column {name}"
                for name in known or names
            ]
            said.append(f"{text} in {' or '.join(where)}")
        return replace(trouble, remedy=f"write {', '.join(said[:-1])} and {said[-1]}")

    def _values(
        self, row: list[str], cell: str, column: Mapped, plans: Sequence[Column], found: dict[str, str]
    ) -> list[Value] | Trouble:
        dialect = self.dialects.get(column.at, self.dialect)
        if column.shared:
            value = value_of(cell, plans[0], dialect, column.heading)
            value = half_of(value, cell) if column.shared == "half" else value
            return value if isinstance(value, Trouble) else [value] * len(plans)
        name = plans[0].name
        if len(plans) == 1 and plans[0].quantity == "p_value" and "p_relation" in self.plan.columns:
            return self._p(row, cell, plans[0], found, dialect)
        if len(plans) == 1 and name.endswith("_events") and (two := share(cell)):
            return self._events_of(row, two, plans[0], found)
        kind = name.rpartition("_")[2]
        if len(plans) == 1 and kind in ("median", "mean") and (three := ends_of(cell, kind)):
            return self._with_ends(*three, plans[0], found, dialect)
        if name == "timepoint" and number(cell, dialect) and (unit := unit_of_time(column.heading)):
            return [Value(f"{unit} {cell}", "word")]
        if len(plans) == 1 and not plans[0].is_number:
            return self._word(cell, plans[0])
        return values_of(cell, plans, dialect, column.heading)

    def _p(
        self, row: list[str], cell: str, plan: Column, found: dict[str, str], dialect: Dialect
    ) -> list[Value] | Trouble:
        said = p_value(cell, plan, dialect)
        if isinstance(said, Trouble):
            return said
        relation, value = said
        beside = next((c.at for c in self.layout.mapped if "p_relation" in c.columns), None)
        other = row[beside] if beside is not None and beside < len(row) else ""
        if relation and other and other != relation:
            return Trouble(
                UnclearCellError,
                f"{shown(cell)} has another relation than {other!r} in the column of relations",
                "one relation",
                "write the relation once",
            )
        if value.text and not other:
            found["p_relation"] = relation or "="
            self.remarks.wrote(f"p with {relation or '='}", plan.name)
        return [value]

    def _events_of(
        self, row: list[str], two: tuple[str, str], plan: Column, found: dict[str, str]
    ) -> list[Value] | Trouble:
        """Read "12/20" in a column of events: the size of the arm stands there too."""
        size = plan.name.replace("_events", "_n")
        beside = next((c.at for c in self.layout.mapped if size in c.columns), None)
        other = row[beside] if beside is not None and beside < len(row) else ""
        n = number(two[1], self.dialect)
        events = number(two[0], self.dialect)
        given = number(other, self.dialect) if other and not is_empty(other) else None
        if n is None or events is None or (given is not None and given.text != n.text):
            return Trouble(
                UnclearCellError,
                f"{two[0]} of {two[1]} stands beside n = {other}"
                if given
                else f"{two[0]}/{two[1]} is no count of a size",
                "events of the size of the arm",
                "write the events alone, and the size in its own column",
            )
        found[size] = n.text
        return [Value(events.text, "events / n")]

    def _with_ends(
        self,
        ends: tuple[str, str],
        texts: tuple[str, str, str],
        plan: Column,
        found: dict[str, str],
        dialect: Dialect,
    ) -> list[Value] | Trouble:
        """Read "5 (range 2-9)" in a column of medians: the cell says what the interval is."""
        arm = plan.name.rpartition("_")[0]
        names = [f"{arm}_{end}" for end in ends]
        read = [number(text, dialect) for text in texts]
        if not {*names} <= {*self.plan.columns} or {*names} & self.layout.taken() or None in read:
            return Trouble(
                UnclearCellError,
                f"{texts[0]} ({texts[1]} to {texts[2]}) stands beside columns of their own",
                plan.allowed,
                "write each number in its column",
            )
        values = [value.text for value in read if value is not None]
        found |= zip(names, values[1:], strict=True)
        return [Value(values[0], "an interval")]

    def _word(self, cell: str, plan: Column) -> list[Value] | Trouble:
        value = value_of(cell, plan, self.dialect, plan.name)
        if isinstance(value, Trouble):
            return value
        if plan.name == "outcome" and value.text not in self.tables.codebook.outcomes:
            meant = self._outcomes.get(fold(value.text))
            first = self.outcomes.setdefault(fold(value.text), value.text)
            meant = meant or (first if first != value.text else None)
            return [Value(meant, "outcome")] if meant else [value]
        if plan.words and value.text and value.text not in plan.words:
            if plan.name == "effect_measure":
                said = meaning(value.text, {"effect": plan}, self.words)
                how = "measure of logarithms" if said.scale.log else "measure"
                return [Value(said.measure, how)] if said.sure and said.measure in plan.words else [value]
            label = self._labels.get(fold(value.text))
            return [Value(label, "word")] if label in plan.words else [value]
        return [value]

    @property
    def _outcomes(self) -> dict[str, str]:
        """Words of the vocabulary of outcomes by label and by word, in small letters."""
        if not hasattr(self, "_known_outcomes"):
            known: dict[str, str] = {}
            outcomes = self.tables.codebook.outcomes
            for word in outcomes:
                known.setdefault(fold(word.replace("_", " ")), word)
            for word, outcome in outcomes.items():
                known.setdefault(fold(outcome.label), word)
            self._known_outcomes = known
        return self._known_outcomes

    @property
    def _labels(self) -> dict[str, str]:
        """Categories of source and isolation by their labels."""
        if not hasattr(self, "_known_labels"):
            self._known_labels = {
                fold(term.label): term.category
                for kind in VOCABULARIES
                for term in load_vocabulary(kind, self.folder).terms.values()
            }
        return self._known_labels

    def _cell_problem(self, trouble: Trouble, line: int, row: list[str], column: Mapped) -> None:
        self.problem(
            trouble.kind,
            trouble.what,
            trouble.allowed,
            trouble.remedy,
            column.at,
            line,
            study=self._study_in(row),
            nearest=trouble.nearest,
            column=column.columns[0],
        )

    def _study_in(self, row: Sequence[str]) -> str:
        """Return the study as a row has it."""
        names = {self.plan.key, "first_author"}
        key = next((c.at for c in self.layout.mapped if names & set(c.columns)), None)
        return row[key] if key is not None and key < len(row) else ""

    def _one_sign(self, line: int, row: list[str], signs: Mapping[str, bool]) -> None:
        """Refuse rows in which some numbers of one outcome are in per cent and others are not."""
        if len(set(signs.values())) < 2:
            return
        name = next(name for name, percent in signs.items() if not percent)
        column = next(c for c in self.layout.mapped if name in c.columns)
        of = next(c for c in self.layout.mapped if any(signs.get(n) for n in c.columns))
        cell = row[of.at]
        self._cell_problem(
            Trouble(
                UnclearCellError,
                f"{shown(row[column.at])} has no percent sign, and {shown(cell)} of the same row has one"
                + (" (the workbook holds it as a fraction)" if isinstance(cell, Percent) else ""),
                "numbers of one unit in a row",
                "write all numbers of the row in per cent, without the sign: 50 for 50 %",
            ),
            line,
            row,
            column,
        )

    # --------------------------------------------------------------------------------- What is not there

    def _fill(self) -> None:
        """Fill what the table does not have and what follows from it; say so."""
        taken, rows = set(self.raw.header), self.raw.rows
        self._repeated(rows)
        if "outcome" not in taken:
            for row in rows:
                row["outcome"] = ONE_OUTCOME
            self.notes.append("no column names the outcome: all rows are taken as one outcome")
        self._not_told_apart(rows)
        self._contrasts(taken, rows)
        if "better" not in taken:
            self.notes.append(
                "no column says which direction is better: effects are not turned, and a positive effect "
                "means a higher value with exosomes"
            )
        for name, size in self.layout.sizes.items():
            arm = name.removesuffix("n")
            for row in rows:
                if any(
                    other.startswith(arm) and self.plan.columns[other].is_number
                    for other in row
                    if other in self.plan.columns
                ):
                    row.setdefault(name, size)
        for column, word in self.layout.constants.items():
            for row in rows:
                if row.get("effect"):
                    row[column] = word
            self.notes.append(f"the effects are taken as {word}, as the heading says")
        self._empty_outcomes(taken)
        made = (
            "outcome",
            "contrast",
            "effect_measure",
            "p_relation",
            self.plan.key,
            "treatment_n",
            "control_n",
            "reported_as",
            "unit",
            "effect_ci_low",
            "effect_ci_high",
            *(f"{arm}_{end}" for arm in ARMS for ends in OF_WORD.values() for end in ends),
        )
        added = [name for name in made if name not in taken and any(name in row for row in rows)]
        self.raw.header += added
        placed = self.tables.placed[self.plan.name]
        self.tables.placed[self.plan.name] = replace(placed, made=tuple(added))
        self.tables.assumed = frozenset(added)

    def _repeated(self, rows: Sequence[dict[str, str]]) -> None:
        """Warn of results that stand several times below a study, and of papers that share its name."""
        key, known, lines = self.plan.key, self.plan.columns, self.raw.lines
        at = next((c.at for c in self.layout.mapped if {key, "first_author"} & {*c.columns}), None)
        if "outcome" not in self.raw.header:
            asked = {problem.heading for problem in self.raw.problems}
            own = {
                place: name for place, name in self.own.items() if self.layout.headings[place] not in asked
            }
            one = ask_of_outcome(rows, own, self.layout, key, known)
            if one is not None:
                self.problem(UnclearColumnError, one.what, one.allowed, one.remedy, one.at, one.line)
        for copies, study, what, remedy in copied_rows(lines, rows, self.own, key, known):
            allowed = "one row per result"
            self.problem(
                RepeatedNumbersWarning, what, allowed, remedy, at, copies[0], copies, study=study, column=key
            )
        for line, study, name, what, remedy in two_papers(lines, rows, key):
            place = next(c.at for c in self.layout.mapped if name in c.columns)
            allowed = "one paper, or papers on one experiment, per study"
            self.problem(TwoPapersWarning, what, allowed, remedy, place, line, study=study, column=name)

    def _not_told_apart(self, rows: Sequence[dict[str, str]]) -> None:
        """Say which rows of a study differ in nothing but their numbers, or in the time point alone."""
        known = self.plan.columns
        numbers = {name for name, column in known.items() if column.is_number}
        places: dict[tuple[tuple[str, str], ...], dict[str, list[int]]] = {}
        for line, row in zip(self.raw.lines, rows, strict=True):
            if row.get(self.plan.key):
                words = [(name, fold(text)) for name, text in row.items() if name not in numbers]
                rest = tuple(sorted(pair for pair in words if pair[0] != "timepoint"))
                places.setdefault(rest, {}).setdefault(row.get("timepoint", ""), []).append(line)
        doubled = [lines for times in places.values() for lines in times.values() if len(lines) > 1]
        if doubled:
            listed = "; ".join(" and ".join(map(str, lines[:MOST_NAMED])) for lines in doubled[:MOST_NAMED])
            more = " ..." if len(doubled) > MOST_NAMED else ""
            self.notes.append(
                f"rows of one study do not say how they differ ({listed}{more}), and their effects are "
                "averaged: where they are of several outcomes, time points or groups, say it in a column "
                "Outcome, Timepoint or Treatment label"
            )
        times = dict.fromkeys(time for found in places.values() if len(found) > 1 for time in found if time)
        if times:
            last = [*times][-1]
            listed = ", ".join([*times][:MOST_NAMED]) + (" ..." if len(times) > MOST_NAMED else "")
            self.notes.append(
                f"rows of one study differ in the time point alone ({listed}), and their effects are "
                f'averaged within the study; for one time point alone: --where "timepoint == {last!r}"'
            )

    def _contrasts(self, taken: set[str], rows: Sequence[dict[str, str]]) -> None:
        """Say what is compared in rows that do not, by the arms that the table has."""
        usual = "exosome_vs_control" if _two_arms(taken) else "single_arm"
        empty = [row for row in rows if not row.get("contrast")]
        for row in empty:
            row["contrast"] = usual
        if empty:
            what = "exosomes and a control" if usual == "exosome_vs_control" else "one group alone"
            where = "no column names the contrast" if "contrast" not in taken else "the contrast is empty"
            verb = "is" if len(empty) == 1 else "are"
            self.notes.append(f"{where}: {plural(len(empty), 'row')} {verb} taken as {usual}, {what}")

    def _empty_outcomes(self, taken: set[str]) -> None:
        """Name the rows without an outcome, where a column has it."""
        if "outcome" not in taken:
            return
        at = next(c.at for c in self.layout.mapped if "outcome" in c.columns)
        for line, row in zip(self.raw.lines, self.raw.rows, strict=True):
            if not row.get("outcome") and (line, at) not in self.skipped:
                self.problem(
                    MissingCellError,
                    "the cell of the outcome is empty",
                    "the outcome in every row",
                    "write the outcome in it",
                    at,
                    line,
                    column="outcome",
                    study=row.get(self.plan.key),
                )


def _takes_any_text(plan: Column) -> bool:
    return not (plan.is_number or plan.words or plan.pattern)


def _is_row(row: Sequence[str], header: Sequence[str]) -> bool:
    """Return whether a row holds the headings again."""
    return len(row) == len(header) and all(fold(cell) == name for cell, name in zip(row, header, strict=True))


def _two_arms(columns: Iterable[str]) -> bool:
    """Return whether a table has a control, or effects of two arms."""
    names = set(columns)
    alone = any(name.startswith("treatment_") and name != "treatment_label" for name in names)
    control = any(name.startswith("control_") and name != "control_label" for name in names)
    return control or not alone or bool(names & {"difference", "effect", "p_value", "statistic"})
