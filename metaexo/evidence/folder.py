"""Reading and checking sheets, of a folder or a file; categories, labels and outcome families are added."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.measure import get_measure
from metaexo.errors import (
    CodebookError,
    EmptySheetError,
    InputError,
    MetaexoError,
    MissingCellError,
    MissingSheetError,
    SheetError,
    UnknownOutcomeWarning,
    UnknownWordError,
    nearest_word,
    warn_caller,
)
from metaexo.evidence.checking.gaps import gaps_of
from metaexo.evidence.checking.places import Place, places_of
from metaexo.evidence.checking.prospects import prospect_of
from metaexo.evidence.checking.sheet_check import SheetCheck
from metaexo.evidence.codebook import (
    CODEBOOK,
    REQUIRED_SHEETS,
    Codebook,
    SheetPlan,
    find_codebook,
    find_sheets,
    load_codebook,
)
from metaexo.evidence.names import NAME
from metaexo.evidence.problems import (
    SheetErrors,
    SheetProblem,
    collected,
)
from metaexo.evidence.reading import Placed, RawSheet, Reading
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.slips.checks import find_slips
from metaexo.evidence.slips.rows import ARMS
from metaexo.evidence.tables import cells
from metaexo.evidence.tables.cells import TEXTS, WORKBOOKS, Grid, read_grids
from metaexo.evidence.tables.columns import LONGEST_VALUE, Tables
from metaexo.evidence.tables.headings import option
from metaexo.evidence.tables.table import linked, read_tables
from metaexo.evidence.values import check_across, to_values
from metaexo.evidence.vocabulary import (
    NOT_REPORTED,
    VOCABULARIES,
    Kind,
    isolation_category,
    isolation_main_step,
    isolation_methods,
    isolation_step_label,
    isolation_steps,
    load_vocabulary,
    source_category,
    source_kind,
)
from metaexo.formatting import plural

if TYPE_CHECKING:
    import pandas as pd


def read_sheets(
    path: str | Path, *, columns: Mapping[str, str | None] | None = None, sheet: str | None = None
) -> Sheets:
    """Read and check evidence sheets: a folder of CSV files, or one file.

    Use it for your own sheets: a folder with `studies.csv` and `outcomes.csv` (the other sheets may be
    missing), a workbook with worksheets of these names, or one flat table, as :func:`read_table` reads it.
    The sheets of metaexo are in `data/`; :func:`evidence_sheets` finds them wherever it is installed. The
    codebook is that of metaexo unless the folder has a `datapackage.json` or a `vocabulary/` of its own.
    Columns of your own are kept.

    Parameters
    ----------
    path : str or Path
        The folder or the file.
    columns : mapping of str to str, optional
        Of a file: what headings mean; see :func:`read_table`.
    sheet : str, optional
        Of a workbook: the worksheet that holds a flat table.

    Returns
    -------
    Sheets
        Tables, ledger, `reading` and `effects()`.

    Raises
    ------
    SheetErrors
        All problems of all sheets at once, each an error of its own class that names file, line or cell,
        study, column, value, what is allowed and what to do.
    SheetError
        If the file cannot be opened, or has several worksheets that read as data.
    UnknownChoiceError
        If a heading, a column or a worksheet that was named is not there.

    Warns
    -----
    SheetWarning
        One warning per kind for what is possible but looks wrong, unless the row explains it in `caution`:
        words that name kinds of findings settle these alone, others whatever is found.

    Examples
    --------
    >>> import metaexo as mx
    >>> folder = mx.evidence_sheets().folder
    >>> sheets = mx.read_sheets(folder)
    >>> len(sheets.outcomes), sheets.ledger.total
    (227, 227)
    """
    return _without_problems(_read(_asked(path, columns, sheet)))


def read_table(
    path: str | Path, *, columns: Mapping[str, str | None] | None = None, sheet: str | None = None
) -> Sheets:
    r"""Read a table of studies, one row per comparison: an Excel workbook or a CSV file.

    Use it for a spreadsheet as you have it. Headings are read by their words ("Exosome mean", "n control",
    "EV mean (SD)", "Author (year)"; two rows of headings; German ones), numbers with decimal commas, in
    per cent, or two in one cell ("5.0 ± 1.0", "12/20"), any separator and encoding. What is certain is read,
    and `reading.notes` says what was read as what. What can be read in two ways, such as "1,000" or an SD
    that may be an SE, is refused with the cell and the option that settles it. The file is not changed.

    Parameters
    ----------
    path : str or Path
        The file: .xlsx, .csv, .tsv or .txt.
    columns : mapping of str to str, optional
        What headings mean, where their words do not say it: ``{"my heading": "treatment_sd"}``. Several
        columns that stand in one cell are written as they stand: ``"treatment_mean ± treatment_sd"``; one
        value that holds for several is written ``"treatment_n and control_n"``; ``""`` keeps a column
        as your own. On the command line: ``--map "my heading=treatment_sd"``.
    sheet : str, optional
        The worksheet, if several read as data.

    Returns
    -------
    Sheets
        `outcomes` with the columns of outcomes and of their studies in each row, `studies` with one row per
        study, `effects()`, and `reading`: notes, and the cell of every value.

    Raises
    ------
    SheetErrors
        All problems at once; each names the cell, what stands there, what is allowed and what to do.
    SheetError
        If the file cannot be opened, or has several worksheets that read as data.
    UnknownChoiceError
        If a heading, a column or a worksheet that was named is not there.

    Warns
    -----
    SheetWarning
        As in :func:`read_sheets`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import metaexo as mx
    >>> path = Path(tempfile.mkdtemp(), "studies.csv")
    >>> _ = path.write_text(
    ...     "Study;Source;Isolation;Exosome mean;Exosome SD;Exosome n;Control mean;Control SD;Control n\n"
    ...     "Li 2020;adipose MSC;UC;5,1;1,2;10;3,9;1,1;10\n"
    ...     "Wu 2021;bone marrow MSC;SEC;4,4;0,9;8;3,7;1,0;8\n"
    ... )
    >>> sheets = mx.read_table(path)
    >>> sheets.reading.cell(2, "treatment_sd"), sheets.reading.text(2, "treatment_sd")
    ('E2', '1,2')
    >>> print(sheets.reading.notes[0])
    the cells are separated by semicolons
    >>> sheets.effects("SMD").y.round(2)
    array([1. , 0.7])
    """
    asked = _asked(path, columns, sheet)
    if asked.path.is_dir():
        raise InputError(
            f"{asked.path} is a folder",
            "a workbook or a CSV file",
            _files_in(asked.path) or "use read_sheets for a folder with studies.csv and outcomes.csv",
        )
    return _without_problems(_read(asked))


def _without_problems(found: tuple[SheetCheck, Sheets | None]) -> Sheets:
    """Return sheets that have no problem, with a warning per kind of finding."""
    check, sheets = found
    if sheets is None:
        raise SheetErrors(check.folder, check.problems)
    kinds: dict[type, list[SheetProblem]] = {}
    for finding in check.warnings:
        if finding.kind is UnknownOutcomeWarning and finding.nearest is None:
            continue  # a word outside the vocabulary: listed by check_sheets, nothing to warn of
        kinds.setdefault(finding.kind, []).append(finding)
    for kind, findings in kinds.items():
        places = "; ".join(f"{finding.where}: {finding.what}" for finding in findings[:8])
        more = f"; and {len(findings) - 8} more" if len(findings) > 8 else ""
        warn_caller(
            f"{places}{more}. What to do: {findings[0].remedy}. Words in the column `caution` of a row "
            f"silence this for the row (all findings, unless they name kinds such as {kind.__name__})",
            kind,
        )
    return sheets


def evidence_sheets() -> Sheets:
    """Return the evidence sheets of metaexo: what exosome studies report.

    Use it to begin without data of your own: clinical and preclinical outcomes, preparations, safety,
    published meta-analyses, the miRNA cargo of 305 public projects, isolation methods on the same material,
    and vesicles after brain injury. They come with the installed package; in a checkout they are those in
    `data/`. Each row has the place where its numbers stand; `data/README.md` says what they can carry.

    Returns
    -------
    Sheets
        As :func:`read_sheets` gives them.

    Raises
    ------
    SheetErrors
        If they were changed and do not fit the codebook any more.

    Examples
    --------
    >>> import metaexo as mx
    >>> cargo = mx.evidence_sheets().cargo_groups
    >>> cargo["study_id"].nunique(), cargo["laboratory"].nunique()
    (305, 278)
    """
    return read_sheets(find_sheets())


def check_sheets(
    path: str | Path,
    *,
    measure: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
) -> SheetCheck:
    """Check evidence sheets, of a folder or a file, without raising.

    Use it on the command line and while sheets are being filled.

    Parameters
    ----------
    path : str or Path
        The folder or the file; of a folder without `studies.csv` and `outcomes.csv` the one table in it.
    measure : str, optional
        Code of the measure whose effects are counted. Default: the one that most rows give.
    columns : mapping of str to str, optional
        Of a file: what headings mean; see :func:`read_table`.
    sheet : str, optional
        Of a workbook: the worksheet that holds a flat table.

    Returns
    -------
    SheetCheck
        Problems, warnings and cautions; what was read as what (`notes`); where each study goes (`places`);
        rows that give no effect and what they need (`gaps`); effects and studies per stratum (`prospect`).
        `ok`, `to_frame()`, and `report()` for reading.

    Raises
    ------
    UnknownChoiceError
        If the measure is not known, or a heading, a column or a worksheet that was named is not there.

    Examples
    --------
    >>> import metaexo as mx
    >>> check = mx.check_sheets(mx.evidence_sheets().folder)
    >>> check.ok, check.prospect.measure, check.prospect.effects
    (True, 'SMD', 23)
    """
    if measure is not None:
        get_measure(measure)
    asked = _asked(_file_meant(_path(path)), columns, sheet)
    try:
        found, sheets = _read(asked)
    except SheetError as error:
        where = error.rows[0] if error.rows else asked.path.name
        problem = SheetProblem(type(error), error.given, error.needed, error.remedy, where)
        return SheetCheck(str(asked.path), (problem,), (), (), {}, options=asked.options)
    found = replace(found, options=asked.options)
    if sheets is None:
        return found
    prospect = prospect_of(sheets, measure)
    names = dict(
        zip(sheets.studies[sheets.codebook.sheets["studies"].key], sheets.studies[NAME], strict=True)
    )
    return replace(
        found,
        ledger=sheets.ledger,
        bounded=sheets.rows_with_bounds(),
        places=tuple(
            replace(place, studies=tuple(dict.fromkeys(names[study] for study in place.studies)))
            for place in found.places
        ),
        gaps=gaps_of(sheets, prospect.left_out),
        prospect=prospect,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be read."""

    path: Path
    columns: Mapping[str, str | None] = field(default_factory=dict)
    sheet: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """What is said of the file, as options of the command line."""
        maps = [option(heading, meaning or "") for heading, meaning in self.columns.items()]
        return (*maps, *([f'--sheet "{self.sheet}"'] if self.sheet is not None else []))


def _asked(path: object, columns: object, sheet: object) -> _Asked:
    """Return what is to be read; refuse what is no path, no mapping and no name."""
    if columns is None:
        columns = {}
    if not isinstance(columns, Mapping) or not all(
        isinstance(key, str) and (value is None or isinstance(value, str)) for key, value in columns.items()
    ):
        raise InputError(
            f"columns is {columns!r}"[:200],
            "a mapping of headings to columns",
            'write columns={"my heading": "treatment_sd"}',
        )
    if sheet is not None and not isinstance(sheet, str):
        raise InputError(f"sheet is {sheet!r}"[:200], "the name of a worksheet", 'write sheet="Sheet1"')
    asked = _Asked(_path(path), dict(columns), sheet)
    linked = _is_folder_of_sheets(asked.path)
    if asked.path.is_dir() and (sheet is not None or (asked.columns and not linked)):
        given = "columns or sheet were" if sheet is None else "sheet was"
        raise InputError(
            f"{asked.path} is a folder, and {given} given",
            "a workbook or a CSV file",
            "leave it out: the files of a folder are its sheets"
            if linked
            else _files_in(asked.path) or "leave them out, or look at the path",
        )
    return asked


def _files_in(folder: Path) -> str:
    """Return a remedy that names the tables in a folder; empty if there is none."""
    found = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in (*WORKBOOKS, *TEXTS)]
    names = [_in_quotes(p) for p in found if not p.name.startswith("~")]
    return f"name the file: {' or '.join(names[:4])}" if names else ""


def _in_quotes(path: Path) -> str:
    """Return a path as a command takes it, on Windows too: double quotes, backslashes as they are."""
    return f'"{path}"'


def _path(path: object) -> Path:
    """Return a path; refuse what is none."""
    text = str(path) if isinstance(path, str | PathLike) else ""
    if (
        text.strip()
        and "\0" not in text
        and all(len(part.encode(errors="surrogatepass")) <= LONGEST_NAME for part in Path(text).parts)
    ):
        return Path(text)
    raise InputError(
        f"the path is {path!r}"[:200],
        "the path of a folder with studies.csv and outcomes.csv, or of a workbook or CSV file",
        'read_sheets("my_studies.xlsx")',
    )


def _of_codebook(error: CodebookError) -> SheetProblem:
    """Return the problem of a codebook that cannot be used; without it no sheet can be read."""
    file = error.rows[0] if error.rows else CODEBOOK
    return SheetProblem(CodebookError, error.given, error.needed, error.remedy, file)


def _files_of(folder: Path, codebook: Codebook) -> dict[str, Path]:
    """Return the files of the sheets of a folder: `studies.csv`, or both with any ending of a table."""
    exact = {name: folder / plan.file for name, plan in codebook.sheets.items()}
    files = {name: path for name, path in exact.items() if path.is_file()}
    named = {path.stem.casefold(): path for path in reversed(_tables_in(folder, [*WORKBOOKS, *TEXTS]))}
    found = {name: named[name] for name in codebook.sheets if name in named} | files
    return {name: found[name] for name in exact if name in found} if {*REQUIRED_SHEETS} <= {*found} else files


def _only_grid(grids: Sequence[Grid], name: str) -> Grid:
    """Return the worksheet of a file that holds one sheet: that of its name, or the first with content."""
    filled = [grid for grid in grids if grid.rows]
    if not filled:
        raise EmptySheetError(
            "the file has no cell with content", "a header and rows", "fill it", grids[0].file
        )
    return next((grid for grid in filled if grid.sheet.casefold() == name), filled[0])


def _no_sheets(folder: Path) -> SheetProblem:
    """Return the problem of a folder that has neither sheet, or is not there."""
    tables = [p.name for p in _tables_in(folder)]
    what, remedy = f"the folder {folder} holds no table", f"write one to fill in: metaexo new {folder}"
    near = None
    if books := [] if folder.exists() else _workbooks(folder):
        what = f"there is no folder {folder}, but there is the workbook {books[0].name}"
        remedy = f"name it: {str(books[0])!r}"
    elif not folder.exists():
        what = f"there is no folder or file {folder}"
        remedy = "look at the path; it begins at the working folder"
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = nearest_word(folder.name, beside)
        if folder.is_symlink():
            what, near = f"{folder} is a link to {folder.readlink()}, which is not there", None
            remedy = "name the file itself"
    elif tables:
        what = f"the folder {folder} holds {plural(len(tables), 'table')}: {', '.join(tables[:6])}"
        remedy = f"name the file: {str(folder / tables[0])!r}"
    needed = "a workbook or CSV file, or a folder with " + " and ".join(_REQUIRED)
    return SheetProblem(MissingSheetError, what, needed, remedy, folder.name or str(folder), nearest=near)


def _tables_in(folder: Path, endings: Sequence[str] = ()) -> list[Path]:
    """Return the tables in a folder: by their endings, else its workbooks, else its text files."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in inside if path.is_file() and not path.name.startswith(("~", "."))]
    if endings:
        return [path for path in files if path.suffix.lower() in endings]
    books = [path for path in files if path.suffix.lower() in WORKBOOKS]
    return books or [path for path in files if path.suffix.lower() in TEXTS]


def _file_meant(path: Path) -> Path:
    """Return the one workbook, or the one text file, of a folder that has no sheet; else the path."""
    if _is_folder_of_sheets(path):
        return path
    tables = _tables_in(path)
    return tables[0] if len(tables) == 1 else path


def _is_folder_of_sheets(path: Path) -> bool:
    """Return whether a folder holds a sheet of studies or of outcomes, by the names of files."""
    if not path.is_dir():
        return False
    try:
        return bool({*_files_of(path, load_codebook(path))} & {*REQUIRED_SHEETS})
    except CodebookError:
        return any((path / file).is_file() for file in _REQUIRED)


def _missing(folder: Path, plan: SheetPlan) -> SheetProblem:
    """Return the problem of a sheet that is not there, with what is there in its place."""
    others = sorted(found.name for found in folder.glob("*.csv")) if folder.is_dir() else []
    near = nearest_word(plan.file, others)
    what, remedy = f"there is no {plan.file} in {folder}", f"add {plan.file}"
    books = _workbooks(folder)
    if books:
        what = f"{what}, but there is the workbook {books[0].name}"
        remedy = f"name it: {' or '.join(map(_in_quotes, books[:4]))}"
    elif near:
        remedy = f"rename {near} to {plan.file}, if it is that sheet"
    elif len(others) == 1 and folder.is_dir():
        remedy = f"name the file, if it holds all: {_in_quotes(folder / others[0])}"
    elif not folder.exists():
        what, remedy = (
            f"there is no folder or file {folder}",
            "look at the path; it begins at the working folder",
        )
    needed = "a workbook or CSV file, or a folder with " + " and ".join(_REQUIRED)
    return SheetProblem(MissingSheetError, what, needed, remedy, plan.file, nearest=near)


LONGEST_NAME = 255
"""Bytes that the name of a file may have."""
_REQUIRED = tuple(f"{name}.csv" for name in REQUIRED_SHEETS)


def _workbooks(folder: Path) -> list[Path]:
    """Return the workbooks in a folder, or beside it under its name."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    beside = [folder.with_name(folder.name + suffix) for suffix in WORKBOOKS] if folder.name else []
    found = [*inside, *(path for path in beside if path.is_file())]
    return [path for path in found if path.suffix.lower() in WORKBOOKS and not path.name.startswith("~")]


_KIND = re.compile(r"\b[A-Z][A-Za-z]*Warning\b")
"""The name of a kind of finding."""
MOST_KEPT = 4
"""Folders that are kept in memory after they were read."""
_KEPT: dict[bytes, tuple[SheetCheck, Sheets]] = {}


def _read(asked: _Asked) -> tuple[SheetCheck, Sheets | None]:
    """Return what was found in a folder or a file, and its sheets unless there are problems.

    What has no problems is read once: as long as no byte of its files changes, the next call copies the
    tables of the first.
    """
    content = _content(asked)
    if content not in _KEPT:
        made = _Reading(asked)
        check = made.check
        if check.problems:
            return check, None
        sheets = made.sheets()
        unused = made.tables.unused if made.tables is not None else None
        if unused is not None and not sheets.ledger.used:
            return replace(check, problems=(unused,)), None
        if content is None:
            return check, sheets
        while len(_KEPT) >= MOST_KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[content] = check, sheets
    check, sheets = _KEPT[content]
    frames = {name: frame.copy() for name, frame in sheets._frames.items()}
    return check, replace(sheets, _frames=MappingProxyType(frames))


def _content(asked: _Asked) -> bytes | None:
    """Return the fingerprint of all that is read, and of its path; None if it cannot be read."""
    said = f"{asked.path}\n{Path.cwd()}\n{sorted(asked.columns.items(), key=repr)}\n{asked.sheet}"
    found = hashlib.blake2b(said.encode(errors="surrogatepass"))
    folder = asked.path.parent if asked.path.is_file() else asked.path
    try:
        books = dict.fromkeys([find_codebook(folder), find_codebook()])
        files = [asked.path] if asked.path.is_file() else _files_of(folder, load_codebook(folder)).values()
        places = dict.fromkeys([folder, *(book.parent for book in books)])
        words = [path for place in places for path in sorted((place / "vocabulary").glob("*.csv"))]
        for path in filter(Path.is_file, (*books, *words, *files)):
            if path.stat().st_size > cells.LARGEST_FILE:
                return None
            content = path.read_bytes()
            found.update(f"\n{path} {len(content)}\n".encode(errors="surrogatepass") + content)
    except (OSError, CodebookError):
        return None
    return found.digest()


class _Reading:
    """One pass over a folder or a file: raw sheets, values, problems and findings."""

    def __init__(self, asked: _Asked) -> None:
        self.path = asked.path
        self.folder = asked.path.parent if asked.path.is_file() else asked.path
        self.problems: list[SheetProblem] = []
        self.findings: list[SheetProblem] = []
        self.frames: dict[str, pd.DataFrame] = {}
        self.spoken: dict[tuple[str, int | None], frozenset[str]] = {}  # kinds that words name; empty: all
        self.placed: dict[str, Placed] = {}
        self.tables: Tables | None = None
        try:
            self.codebook = load_codebook(self.folder)
        except CodebookError as error:
            self.problems.append(_of_codebook(error))
            return
        if self.path.is_file():
            self.tables = read_tables(self.path, self.codebook, asked.columns, asked.sheet, self.folder)
        else:
            files = _files_of(self.folder, self.codebook)
            if not {*files} & {*REQUIRED_SHEETS}:
                self.problems.append(_no_sheets(self.folder))
                return
            self.tables = self._of_folder(files, asked.columns)
        self.codebook, self.placed = self.tables.codebook, self.tables.placed
        flat = self.tables.flat
        studies: dict[str, set[str]] = {}
        for name, plan in self.codebook.sheets.items():
            sheet = self.tables.raws.get(name) or RawSheet(plan)
            self.findings += [p for p in sheet.problems if not issubclass(p.kind, MetaexoError)]
            sheet.problems = [p for p in sheet.problems if issubclass(p.kind, MetaexoError)]
            frame = to_values(sheet)
            if sheet.rows:
                check_across(sheet, frame, None if flat else studies.get(plan.studies))
                found = find_slips(sheet, frame, self.codebook.outcomes, self.folder)
                sheet.problems += [slip for slip in found if issubclass(slip.kind, MetaexoError)]
                self.findings += [slip for slip in found if not issubclass(slip.kind, MetaexoError)]
                self._note_cautions(plan, frame)
            if plan.one_row_per_study and sheet.rows:
                studies[name] = set(frame[plan.key].dropna())
            self.problems += sheet.problems
            self.frames[name] = frame
        self._of_file(self.tables)

    def _of_folder(self, files: Mapping[str, Path], columns: Mapping[str, str | None]) -> Tables:
        """Return the sheets of a folder; a file that cannot be opened is a problem of its sheet."""
        grids: dict[str, Grid] = {}
        for name, path in files.items():
            try:
                grids[name] = _only_grid(read_grids(path), name)
            except SheetError as error:
                where = error.rows[0] if error.rows else path.name
                self.problems.append(
                    SheetProblem(type(error), error.given, error.needed, error.remedy, where)
                )
        self.problems += [
            _missing(self.folder, self.codebook.sheets[name]) for name in REQUIRED_SHEETS if name not in files
        ]
        tables = linked(self.folder.name, self.codebook, grids, columns, self.folder)
        others = [path.name for name, path in files.items() if path.name != self.codebook.sheets[name].file]
        if others:
            tables.notes.insert(0, f"read as linked sheets: {', '.join(others)}")
        tables.placed = {name: replace(place, by_letter=False) for name, place in tables.placed.items()}
        return tables

    def _of_file(self, tables: Tables) -> None:
        """Name the cells of all problems, and give a flat table the sheet of its studies."""
        names = {plan.file: name for name, plan in tables.codebook.sheets.items()}
        unread = {problem.line for problem in self.problems if problem.cells}
        if not unread.isdisjoint(tables.headers):
            self.findings = []  # what stands where is not clear yet
        told = Reading(str(self.path), tables.worksheet, (), tables.placed)
        self.problems = [
            _with_cells(p, told, names[p.file]) if p.file in names else p
            for p in self.problems
            if not (p.kind is MissingCellError and p.column == "effect_measure" and not p.cells)
            or "effect_measure" in tables.raws[names[p.file]].header
        ]
        self.findings = [
            _with_cells(p, told, names[p.file])
            for p in self.findings
            if p.column not in tables.assumed and p.line not in unread
        ]
        if self.path.is_dir():  # its cells are named by line and column
            self.problems = [replace(p, cells=()) for p in self.problems]
            self.findings = [replace(p, cells=()) for p in self.findings]
        if tables.flat and not self.problems:
            plan = tables.codebook.sheets["studies"]
            studies, notes = studies_of(self.frames["outcomes"], plan)
            self.frames = {**self.frames, "studies": studies}
            tables.notes += notes

    def _note_cautions(self, plan: SheetPlan, frame: pd.DataFrame) -> None:
        if "caution" in frame:
            said = frame.loc[frame["caution"].notna(), ["line", "caution"]]
            for line, words in said.itertuples(index=False):
                self.spoken[plan.file, int(line)] = frozenset(_KIND.findall(str(words)))

    def _is_settled(self, finding: SheetProblem) -> bool:
        """Return whether words in `caution` of the row settle a finding: those that name kinds only these."""
        named = self.spoken.get((finding.file, finding.line))
        return named is not None and (not named or finding.kind.__name__ in named)

    @property
    def check(self) -> SheetCheck:
        """What was found."""
        spoken = tuple(f for f in self.findings if self._is_settled(f))
        rows = {name: len(frame) for name, frame in self.frames.items() if len(frame)}
        new = tuple(f for f in self.findings if not self._is_settled(f))
        problems, new = collected(self.problems), collected(new)
        if self.tables is not None and self.tables.flat:
            table = self.frames["outcomes"]
            rows = {"studies": table["study_id"].nunique(), "outcomes": len(table)}
        if self.tables is not None and self.path.is_file() and not self.tables.flat:
            # the cells say in which worksheet
            name = self.path.name
            problems, new, spoken = (
                tuple(replace(p, file=name) for p in found) for found in (problems, new, spoken)
            )
        return SheetCheck(
            str(self.path), problems, new, spoken, rows, places=self.places(), notes=self._notes
        )

    @property
    def _notes(self) -> tuple[str, ...]:
        return tuple(self.tables.notes) if self.tables is not None else ()

    def places(self) -> tuple[Place, ...]:
        """Return where the studies go by their words, as they stand in the sheet."""
        name = "outcomes" if self.tables is not None and self.tables.flat else "studies"
        if (frame := self.frames.get(name)) is None or not len(frame):
            return ()
        return places_of(frame, frame[self.codebook.sheets[name].key].fillna(""), self.folder)

    def sheets(self) -> Sheets:
        """Return the sheets, once there are no problems."""
        frames = {
            name: finish(name, frame, self.codebook, self.folder) for name, frame in self.frames.items()
        }
        cautions = tuple(finding for finding in self.findings if self._is_settled(finding))
        worksheet = self.tables.worksheet if self.tables is not None else ""
        told = Reading(str(self.path), worksheet, self._notes, self.placed)
        return Sheets(str(self.path), self.codebook, MappingProxyType(frames), cautions, told)


DESCRIBE = ("domain", "indication", "design", "species", "access", "confidence", "repetition")
"""Columns with a closed list that describe a study; a table of one's own may have other words in them."""


def _with_cells(problem: SheetProblem, told: Reading, sheet: str) -> SheetProblem:
    """Return a problem of a file with its cells, the heading, and what stands in the cell."""
    if problem.cells or problem.line is None:
        return problem
    column = problem.column
    lines = problem.lines or (problem.line,)
    heading = told.heading(column, sheet)
    text = told.text(problem.line, column, sheet) if problem.value else ""
    own = problem.kind is UnknownWordError and column in DESCRIBE
    remedy = f"{problem.remedy}; or keep the column as your own: {option(heading, '')}"
    return replace(
        problem,
        cells=tuple(told.cell(line, column, sheet) for line in lines),
        heading="" if heading == column else heading,
        value=(text or problem.value)[:LONGEST_VALUE],
        remedy=remedy if own else problem.remedy,
    )


def studies_of(rows: pd.DataFrame, plan: SheetPlan) -> tuple[pd.DataFrame, list[str]]:
    """Return the studies of a flat table, one row each, and what differs between the rows of a study.

    Words that differ are joined by "; "; numbers and words of closed lists that differ are left empty.
    """
    import pandas as pd

    first = rows[rows[plan.key].notna()].drop_duplicates(plan.key)
    data: dict[str, list[object]] = {plan.key: list(first[plan.key]), "line": list(first["line"])}
    differing: dict[str, list[str]] = {}
    for name, column in plan.columns.items():
        if name == plan.key:
            continue
        if name not in rows:
            data[name] = [None] * len(first)
            continue
        known = rows.loc[rows[name].notna(), [plan.key, name]].drop_duplicates()
        values: dict[object, list[object]] = {}
        for study, value in zip(known[plan.key], known[name], strict=True):
            values.setdefault(study, []).append(value)
        data[name] = [
            _of_study(values.get(study, []), joins=not (column.is_number or column.words))
            for study in data[plan.key]
        ]
        unlike = [str(study) for study, found in values.items() if len(found) > 1]
        if unlike and name not in ("use", "caution"):
            differing[name] = unlike
        if column.is_number:
            data[name] = [np.nan if value is None else value for value in data[name]]
    for kind in VOCABULARIES:  # one category for several sources, or methods, would be that of the first
        several = set(differing.get(f"{kind}_reported", ()))
        data[f"{kind}_category"] = [
            NOT_REPORTED if str(study) in several else value
            for study, value in zip(data[plan.key], data[f"{kind}_category"], strict=True)
        ]
    notes = [
        f"{name} differs between the rows of {', '.join(found[:4])}{' ...' if len(found) > 4 else ''}: "
        "every row keeps its own"
        for name, found in differing.items()
    ]
    return pd.DataFrame({name: data[name] for name in ("line", *plan.columns)}), notes


def _of_study(values: list[object], *, joins: bool) -> object:
    """Return what the rows of a study say of one thing."""
    if len(values) == 1:
        return values[0]
    return "; ".join(map(str, values)) if values and joins else None


def finish(name: str, frame: pd.DataFrame, codebook: Codebook, folder: Path | None) -> pd.DataFrame:
    """Return a sheet with empty categories filled and with the columns that analyses group by.

    These are `use`, "main" where it was empty; `source`, `source_group`, `source_kind`, `isolation`,
    `isolation_group` and `isolation_step` (labels) where there are categories, the step of both arms where
    there are two; `outcome_label` and `outcome_family` where there are outcomes; `isolation_methods` for
    studies; `method_pair` where two methods are compared.
    """
    frame = frame.copy()
    own = codebook.sheets[name].columns
    if "use" in frame:
        frame["use"] = frame["use"].fillna("main")
    _fill_categories(frame, folder)
    for kind, column in _columns_of_kinds(frame):
        words = load_vocabulary(kind, folder)
        frame[kind] = frame[column].map(words.label)
        if f"{kind}_group" not in own:
            frame[f"{kind}_group"] = frame[column].map(words.group)
    if "source_category" in frame:
        frame["source_kind"] = _source_kinds(frame, "source_group" in own, folder)
    _add_steps(frame, folder)
    if "outcome" in frame and name != "direction_only":
        known = codebook.outcomes
        frame["outcome_label"] = [_outcome_label(codebook, word) for word in frame["outcome"]]
        frame["outcome_family"] = [
            known[word].family if word in known else _outcome_label(codebook, word)
            for word in frame["outcome"]
        ]
    if name == "studies":
        pairs = list(zip(frame["isolation_reported"], frame["isolation_category"], strict=True))
        methods = {pair: _methods(*pair, folder) for pair in dict.fromkeys(pairs)}
        frame["isolation_methods"] = [methods[pair] for pair in pairs]
    if "control_isolation" in frame:
        isolation = load_vocabulary("isolation", folder)
        frame["method_pair"] = [
            f"{isolation.label(a)} vs {_small(isolation.label(b))}"
            if isinstance(a, str) and isinstance(b, str)
            else None
            for a, b in zip(frame["treatment_isolation"], frame["control_isolation"], strict=True)
        ]
    return frame


def _columns_of_kinds(frame: pd.DataFrame) -> list[tuple[Kind, str]]:
    """Return the column that holds the category of each kind; that of a single arm is the row's."""
    found = [(kind, f"{kind}_category") for kind in VOCABULARIES if f"{kind}_category" in frame]
    if len(found) == 1 and "treatment_isolation" in frame and "control_isolation" not in frame:
        found.append(("isolation", "treatment_isolation"))
    return found


def _source_kinds(frame: pd.DataFrame, grouped: bool, folder: Path | None) -> list[str]:
    """Return the label of the finer source of each row: that of the sheet's own groups, or from its words."""
    if grouped:
        label = load_vocabulary("source_kind", folder).label
        return [label(word) for word in frame["source_group"].fillna(NOT_REPORTED)]
    words = frame["source_reported"] if "source_reported" in frame else frame["source_category"]
    pairs = list(zip(words, frame["source_category"], strict=True))
    kinds = {pair: source_kind(*pair, folder) for pair in dict.fromkeys(pairs)}
    return [kinds[pair] for pair in pairs]


def _add_steps(frame: pd.DataFrame, folder: Path | None) -> None:
    """Add the label of the step that decides the isolation, of the row and of both arms of a comparison."""
    parts = ("isolation_step", "main_step", "isolation", "label")
    places = [tuple(f"{arm}_{part}" for part in parts) for arm in ARMS]
    column = dict(_columns_of_kinds(frame)).get("isolation", "")
    of_row = ("isolation_step", "isolation_main_step", column, "isolation_reported")
    if "control_isolation" not in frame:
        places = [of_row]
    elif "isolation_category" in frame:
        places.append(of_row)
    for added, *names in places:
        if names[1] not in frame:
            continue
        columns = [frame.get(name, [None] * len(frame)) for name in names]
        cells = list(zip(*columns, strict=True))
        found = {
            row: isolation_step_label(row[0], folder)
            if isinstance(row[0], str)
            else _step(row[1], row[2], folder)
            for row in dict.fromkeys(cells)
        }
        frame[added] = [found[row] for row in cells]


def _step(category: object, words: object, folder: Path | None) -> str | None:
    """Return the label of the step that decides: that of the words, if they lead to the category."""
    if not isinstance(category, str):
        return None
    for part in words.split(";") if isinstance(words, str) else ():
        if isolation_category(isolation_steps(part, folder)) == category:
            return isolation_step_label(isolation_main_step(part, folder), folder)
    return isolation_step_label(isolation_main_step(category, folder), folder)


def _fill_categories(frame: pd.DataFrame, folder: Path | None) -> None:
    """Derive empty categories from the words of the paper; without words they are not reported."""

    def isolation(text: str) -> str:
        return isolation_category(isolation_steps(text, folder))

    def source(text: str) -> str:
        return source_category(text, folder)

    for kind, derive in (("source", source), ("isolation", isolation)):
        category, reported = f"{kind}_category", f"{kind}_reported"
        if category not in frame:
            continue
        words = list(frame[reported] if reported in frame else frame[category])
        known = {text: derive(text) for text in dict.fromkeys(words) if isinstance(text, str)}
        frame[category] = [
            given if isinstance(given, str) else known.get(text, NOT_REPORTED)
            for given, text in zip(frame[category], words, strict=True)
        ]


def _methods(text: object, category: str, folder: Path | None) -> str:
    """Return the categories of all methods that a study names, joined by "; "."""
    methods = isolation_methods(text, folder) if isinstance(text, str) else ()
    found = dict.fromkeys(isolation_category(steps) for steps in methods)
    if category not in found:
        found = {category: None, **found}
    return "; ".join(word for word in found if word != NOT_REPORTED or len(found) == 1)


def _outcome_label(codebook: Codebook, word: str) -> str:
    known = codebook.outcomes.get(word)
    if known:
        return known.label
    words = word.replace("_", " ")
    return words.capitalize() if words.islower() else words


def _small(label: str) -> str:
    """Return a label for the middle of a sentence."""
    return label[0].lower() + label[1:] if label[1:2].islower() else label
