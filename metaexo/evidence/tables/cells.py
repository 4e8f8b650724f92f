"""From a file to grids of text: worksheets of a workbook, or CSV with any separator and encoding."""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaexo.errors import (
    EmptySheetError,
    EncodingError,
    MergedCellsError,
    MetaexoError,
    SeparatorError,
    SheetSizeError,
    UnclearCellError,
    UncomputedCellError,
    WorkbookError,
)
from metaexo.evidence.reading import letters
from metaexo.formatting import FORMULA_SIGNS, plural

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

WORKBOOKS = (".xlsx", ".xlsm")
TEXTS = (".csv", ".tsv", ".txt", ".tab")
LARGEST_FILE = 30_000_000
"""Bytes of the largest file that is read: about 75,000 rows of outcomes, a minute and a gigabyte."""
LARGEST_CONTENT = 150_000_000
"""Bytes that the parts of a workbook may have once they are unpacked."""
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""First bytes of a workbook of the format before 2007, and of one that is encrypted."""
MOST_NULS = 50
"""One letter of so many may be a null in a file of text."""
MOST_SHEETS = 60
MOST_COLUMNS = 2_000
LONGEST_CELL = 32_767
"""Letters that a cell of a spreadsheet may have."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
OTHERS = {
    ".xls": "the format of Excel before 2007",
    ".xlsb": "a binary workbook",
    ".ods": "a workbook of LibreOffice",
    ".numbers": "a workbook of Apple Numbers",
    ".docx": "a document of Word",
    ".doc": "a document of Word",
    ".pdf": "a PDF file",
    ".pptx": "a set of slides",
    ".png": "a picture",
    ".jpg": "a picture",
    ".jpeg": "a picture",
    ".tif": "a picture",
    ".tiff": "a picture",
    ".gif": "a picture",
    ".heic": "a picture",
    ".zip": "an archive",
    ".json": "a JSON file",
    ".rds": "a file of R",
    ".sav": "a file of SPSS",
}
SAVE = 'open it and save it as "Excel workbook (.xlsx)" or as "CSV UTF-8", then name that file'

OURS = "metaexo"
"""Who writes the comments on the headings of our template."""
TYPE = "type its numbers into a workbook: metaexo new FOLDER writes one to fill in"


class Number(str):
    """The text of a cell that holds a number, not words: no decimal mark of it is in doubt."""

    __slots__ = ()


class Percent(Number):
    """The text of a number that the workbook shows in per cent: 0.5 is shown, and read, as "50%"."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Odd:
    """A cell that cannot be taken as it stands, and why."""

    kind: type[MetaexoError]
    what: str
    allowed: str
    remedy: str


@dataclass(slots=True)
class Grid:
    """The cells of one worksheet, or of a CSV file, as text."""

    file: str
    sheet: str = ""  # name of the worksheet; empty for CSV
    lines: list[int] = field(default_factory=list)  # number of each row that is not blank, as Excel counts
    rows: list[list[str]] = field(default_factory=list)
    odd: dict[tuple[int, int], Odd] = field(default_factory=dict)  # by line and column
    widths: list[int] = field(default_factory=list)  # of CSV: cells of each row, empty ones at its end too
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)  # first and last line, column
    notes: list[str] = field(default_factory=list)
    comments: dict[tuple[int, int], str] = field(default_factory=dict)  # by line and column
    struck: set[tuple[int, int]] = field(default_factory=set)  # cells with a line through them
    separator: str = ""
    hidden: bool = False
    # rows of the worksheets beside it that explain it: name of the worksheet, and the cells that are filled
    legend: list[tuple[str, list[str]]] = field(default_factory=list)

    def address(self, line: int, column: int) -> str:
        """Return where a cell stands: "Data!F7"."""
        return f"{self.sheet}!{letters(column)}{line}" if self.sheet else f"{letters(column)}{line}"

    def spread(self, span: tuple[int, int, int, int]) -> str:
        """Return a range of cells in the notation of a spreadsheet."""
        first, last, left, right = span
        return f"{self.address(first, left)}:{letters(right)}{last}"


def read_grids(path: Path) -> list[Grid]:
    """Return the cells of a file, one grid per worksheet; a file that cannot be read is refused in words."""
    ending = path.suffix.lower()
    content = _content(path)
    if ending in WORKBOOKS or (content[:4] == b"PK\x03\x04" and ending not in OTHERS):
        return _workbook(path, content)
    if ending in OTHERS or content[:8] == OLD or content[:5] == b"%PDF-":
        what = OTHERS.get(ending, "no table of text")
        remedy = TYPE if what in ("a PDF file", "a picture", "a set of slides") else SAVE
        raise WorkbookError(
            f"{path.name} is {what}",
            "an Excel workbook (.xlsx), or a CSV file",
            remedy,
            path.name,
        )
    return [_text(path, content)]


def _content(path: Path) -> bytes:
    if path.name.startswith("~$"):
        real = path.name.removeprefix("~$")
        raise WorkbookError(
            f"{path.name} is a file by which Excel knows that a workbook is open",
            "the workbook itself",
            f"name {path.with_name(real)}"
            if path.with_name(real).exists()
            else "name the workbook beside it",
            path.name,
        )
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise SheetSizeError(
                f"{path.name} has {size / 1e6:.0f} MB",
                f"at most {LARGEST_FILE / 1e6:.0f} MB",
                "keep the rows of one question in a file of their own; pictures make workbooks large",
                path.name,
            )
        content = path.read_bytes()
    except OSError as error:
        raise WorkbookError(
            f"{path} cannot be opened ({error.strerror or error})",
            "a file that can be read",
            "close it in Excel, or look at its permissions",
            path.name,
        ) from None
    if not content.strip():
        raise EmptySheetError(
            f"{path.name} is empty", "a header and rows", "look at the path, or save it again", path.name
        )
    return content


# ----------------------------------------------------------------------------------------------- Workbooks


def _workbook(path: Path, content: bytes) -> list[Grid]:
    if content[:8] == OLD:  # a workbook of the old format, or an encrypted one
        raise WorkbookError(
            f"{path.name} is protected with a password, or is of the format of Excel before 2007",
            "an Excel workbook (.xlsx) without a password",
            "open it in Excel, take the password off (File, Info), and save it as .xlsx",
            path.name,
        )
    has_formulas = _check_parts(path, content)
    book = _opened(path, content, values=True)
    formulas = _opened(path, content, values=False) if has_formulas else None
    sheets = book.worksheets[:MOST_SHEETS]
    if not sheets:
        raise _damaged(path, "it has no worksheet with cells")
    return [_worksheet(path, sheet, formulas[sheet.title] if formulas else None) for sheet in sheets]


def _damaged(path: Path, why: object) -> WorkbookError:
    words = " ".join(str(why).split())[:120] or type(why).__name__
    return WorkbookError(
        f"{path.name} cannot be read as a workbook ({words})",
        "an Excel workbook (.xlsx) that Excel opens",
        "open it in Excel and save it again as .xlsx, or save it as CSV UTF-8",
        path.name,
    )


def _check_parts(path: Path, content: bytes) -> bool:
    """Refuse a workbook that is damaged, far too large or hostile; return whether it has formulas."""
    has_formulas = False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            infos = [
                info for info in parts.infolist() if _is_text(parts, info)
            ]  # whatever its name ends with
            size = sum(info.file_size for info in infos)
            if size > LARGEST_CONTENT:
                raise SheetSizeError(
                    f"the worksheets of {path.name} have {size / 1e6:.0f} MB",
                    f"at most {LARGEST_CONTENT / 1e6:.0f} MB",
                    "delete empty rows and columns at the end, or save the worksheet as CSV UTF-8",
                    path.name,
                )
            for info in infos:
                text = parts.read(info)
                if b"<!DOCTYPE" in text or b"<!ENTITY" in text or text[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    raise _damaged(path, "its XML has definitions of its own")
                worksheet = b"sheetData" in text
                has_formulas = has_formulas or (worksheet and (b"<f>" in text or b"<f " in text))
    except MetaexoError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None
    return has_formulas


def _is_text(parts: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Return whether a part of a workbook is XML, and no picture."""
    if info.filename.endswith((".xml", ".rels")):
        return True
    with parts.open(info) as part:
        begin = part.read(64)
    return begin.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"<" or begin[:2] in (b"\xff\xfe", b"\xfe\xff")


def _opened(path: Path, content: bytes, *, values: bool) -> Any:
    import warnings

    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # parts of a workbook that hold no cells, such as drop-down lists
            return openpyxl.load_workbook(io.BytesIO(content), data_only=values, rich_text=values)
    except Exception as error:
        raise _damaged(path, error) from None


def _worksheet(path: Path, sheet: Worksheet, formulas: Any) -> Grid:
    grid = Grid(path.name, sheet.title, hidden=sheet.sheet_state != "visible")
    found: dict[int, dict[int, str]] = {}
    marks: list[str] = []
    far = 0
    for (line, column), cell in sorted(
        sheet._cells.items()
    ):  # only cells that are there: a sheet may end far off
        if column > MOST_COLUMNS:
            far += cell.value is not None
            continue
        value = cell.value
        at = line, column - 1
        if cell.comment is not None and cell.comment.author != OURS:
            grid.comments[at] = " ".join(str(cell.comment.text).split())
        if cell.has_style and cell.font.strike:
            grid.struck.add(at)
        formula = formulas._cells.get((line, column)) if formulas is not None else None
        if value is None:
            if formula is not None and formula.data_type == "f":
                text = formula.value if isinstance(formula.value, str) else "a formula"
                grid.odd[at] = _uncomputed(text)
                found.setdefault(line, {})[column - 1] = text
            continue
        text, odd, left_out = _content_of(cell)
        if not text:
            continue
        found.setdefault(line, {})[column - 1] = text
        grid.odd |= {at: odd} if odd is not None else {}
        marks += [f"{grid.address(*at)} {left_out!r}"] if left_out else []
    more = " ..." if len(marks) > MOST_MARKS else ""
    told = f"raised marks were left out of texts: {', '.join(marks[:MOST_MARKS])}{more}"
    grid.notes += [told] if marks else []
    spans = sheet.merged_cells.ranges
    grid.merged = sorted((span.min_row, span.max_row, span.min_col - 1, span.max_col - 1) for span in spans)
    for line in sorted(found):
        cells = found[line]
        grid.lines.append(line)
        grid.rows.append([cells.get(i, "") for i in range(max(cells) + 1)])
    if far:
        told = f"{plural(far, 'cell')} to the right of column {letters(MOST_COLUMNS - 1)}"
        grid.notes.append(f"{told} {'was' if far == 1 else 'were'} not read")
    _note_hidden(grid, sheet)
    return grid


_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Blanks of other widths, and signs without any: what is pasted from a PDF or a word processor holds them."""
_NUMBER = re.compile(r"[\s(<>=~±+\-−–]*\d[\d.,;/()\[\]±\s%+\-−–]*")
_POWER_OF_TEN = re.compile(r"[x×*·]\s*10$", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\s*(?:[a-z](?:\s*,\s*[a-z])*|[*†‡§¶#]+)\s*")
MOST_MARKS = 12
"""Raised marks that a note names."""


def _content_of(cell: Any) -> tuple[str, Odd | None, str]:
    """Return the text of a cell, why it cannot be taken as it stands, and the raised marks left out of it."""
    value = cell.value
    if not isinstance(value, list):  # else it is one of runs with fonts of their own
        text = _shown(cell, value)
        return text, _oddity(cell, value, text), ""
    whole, odd, left_out = _of_runs(value)
    text = _shown(cell, whole)
    return text, odd or _oddity(cell, whole, text), left_out


def _of_runs(runs: Sequence[Any]) -> tuple[str, Odd | None, str]:
    """Return the text of a cell whose letters differ in font, why it cannot be taken, and what was left out.

    A raised figure behind a number is a footnote, and would be read as its last digit; so would a part with a
    line through it.
    """
    parts = [(str(run), getattr(run, "font", None)) for run in runs]
    whole = "".join(text for text, _ in parts)
    struck = "".join(text for text, font in parts if font is not None and font.strike).strip()
    kept = "".join(text for text, font in parts if font is None or not font.strike).strip()
    if struck and kept:
        return whole, _in_part(whole, f"a line goes through {struck!r} in it", kept), ""
    text, raised, left_out = "", "", ""
    for part, font in parts:
        place = font.vertAlign if font is not None else None
        if place not in ("superscript", "subscript") or not part.strip():
            text += part
        elif place == "superscript" and _POWER_OF_TEN.search(text.rstrip()):
            text = f"{text.rstrip()}^{part.strip()}"
        elif _NUMBER.fullmatch(text) and any(letter.isdigit() for letter in part):
            raised += part
        elif place == "superscript" and (
            _FOOTNOTE.fullmatch(part) or (text[-1:].isdigit() and part.strip(" ,").isdigit())
        ):
            left_out += part
        else:
            text += part
    if raised:
        odd = _in_part(
            whole, f"{raised.strip()!r} is raised or lowered in it, as marks of footnotes are", text.strip()
        )
        return whole, odd, ""
    return text, None, left_out.strip()


def _in_part(whole: str, what: str, kept: str) -> Odd:
    return Odd(
        UnclearCellError,
        f"the cell holds {whole.strip()[:60]!r}, and {what[:80]}",
        "a value in one font, without marks",
        f"write {kept[:60]!r} alone if that is what counts",
    )


_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
"""Signs of a number format that are shown as they stand: 0"%" shows 30 as 30%, and only 0% scales."""


def _shown(cell: Any, value: object) -> str:
    """Return the value of a cell as text: numbers with a decimal point, and in per cent where shown so."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        text = repr(value)
        if isinstance(value, float):
            text = format(value, ".15g") if len(text.strip("-0.")) > 16 else text
            text = text.removesuffix(".0")
        if "%" in _LITERAL.sub("", cell.number_format or ""):
            return Percent(f"{(Decimal(text) * 100).normalize():f}%")
        return Number(text)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return _seen(str(value)[: LONGEST_CELL + 1])


def _seen(cell: str) -> str:
    """Return the text of a cell: without the apostrophe that makes it one, and what nobody sees."""
    text = _SPACES.sub(" ", _UNSEEN.sub("", cell)).strip()
    marked = text[:1] == "'" and (text[1:2].isdigit() or text[1:].startswith(FORMULA_SIGNS))
    return text[1:].strip() if marked else text


def _oddity(cell: Any, value: object, text: str) -> Odd | None:
    """Return why a cell cannot be taken as it stands: a date, an error of a formula, a text without end."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        return Odd(
            UnclearCellError,
            f"the cell holds a date or a time ({text}): Excel makes dates of what looks like one, such as "
            "10-12, 3/4 or 2.5",
            "numbers, or words",
            "type what the paper says again; format the cell as Text first where it is a range",
        )
    if cell.data_type == "e" and text.upper() != "#N/A":
        return Odd(
            UncomputedCellError,
            f"the formula of the cell gives the error {text}",
            "a value",
            "mend the formula, or write the value",
        )
    if len(text) > LONGEST_CELL:
        return Odd(
            SheetSizeError,
            f"the cell holds more than {LONGEST_CELL:,} letters",
            "what one cell of a spreadsheet can hold",
            "shorten the text",
        )
    return None


def _uncomputed(text: str) -> Odd:
    return Odd(
        UncomputedCellError,
        f"the formula {text[:60]} has no stored result",
        "a value",
        "open the file in Excel and save it, which stores the results, or paste as values",
    )


def _note_hidden(grid: Grid, sheet: Worksheet) -> None:
    """Say which rows and columns are hidden; they are read like the others."""
    rows = [line for line in grid.lines if line in sheet.row_dimensions and sheet.row_dimensions[line].hidden]
    width = max((len(row) for row in grid.rows), default=0)
    columns = [
        letters(at)
        for dimension in sheet.column_dimensions.values()
        if dimension.hidden
        for at in range((dimension.min or 1) - 1, min(dimension.max or 0, width))
    ]
    if rows:
        shown = ", ".join(map(str, rows[:12])) + (" ..." if len(rows) > 12 else "")
        verb = (
            "is hidden or filtered out, and was" if len(rows) == 1 else "are hidden or filtered out, and were"
        )
        grid.notes.append(
            f"{plural(len(rows), 'row')} ({shown}) of the worksheet {verb} read like the others"
        )
    if columns:
        verb = "is hidden, and was" if len(columns) == 1 else "are hidden, and were"
        grid.notes.append(
            f"{plural(len(columns), 'column')} ({', '.join(columns[:12])}) {verb} read like the others"
        )


def merged_cells(grid: Grid, span: tuple[int, int, int, int], value: str) -> Odd:
    """Return why merged cells among the rows cannot be taken as they stand."""
    down = span[1] > span[0]
    what = f"{value!r}" if value else "nothing"
    return Odd(
        MergedCellsError,
        f"the cells {grid.spread(span)} are merged and hold {what[:80]}",
        "one value in each cell",
        f"unmerge them and write the value in {'every row' if down else 'every column'} for which it holds",
    )


# ---------------------------------------------------------------------------------------------------- Text


def _text(path: Path, content: bytes) -> Grid:
    grid = Grid(path.name)
    text = _decoded(path, content, grid)
    if text.count("\0") > len(text) / MOST_NULS:
        raise EncodingError(
            f"{path.name} holds bytes that are no text", "a CSV file, or a workbook (.xlsx)", SAVE, path.name
        )
    grid.separator = "," if path.suffix.lower() == ".csv" else "\t"
    if text[:4].casefold() == "sep=":  # a line by which Excel is told the separator; it counts no row for it
        text = text.partition("\n")[2]
    return _split(grid, text)


def _decoded(path: Path, content: bytes, grid: Grid) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise EncodingError(
                    f"{path.name} begins as {encoding} and is not ({error.reason})",
                    "UTF-8 text",
                    'save the file as "CSV UTF-8"',
                    path.name,
                ) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"byte {error.start} of {path.name} (0x{content[error.start]:02x}) is no UTF-8 or Windows-1252",
            "UTF-8 text",
            'save the file as "CSV UTF-8"',
            path.name,
        ) from None
    strange = sorted({letter for letter in text if ord(letter) > 127})
    shown = " ".join(strange[:8])
    grid.notes.append(f"the file is not UTF-8 and was read as Windows-1252; its special letters are {shown}")
    return text


def _split(grid: Grid, text: str) -> Grid:
    """Split text at the separator that gives the most even rows."""
    sample = "".join(text[:200_000].splitlines(keepends=True)[:200])
    best = max(SEPARATORS, key=lambda mark: _evenness(sample, mark))
    if _evenness(sample, best) > (0, 0):
        grid.separator = best
    if grid.separator != ",":
        grid.notes.append(f"the cells are separated by {SEPARATORS[grid.separator]}")
    line = 0
    try:
        for line, cells in enumerate(_records(text, grid.separator), 1):
            stripped = [_seen(cell) for cell in cells[:MOST_COLUMNS]]
            while stripped and not stripped[-1]:
                stripped.pop()
            if stripped:
                grid.lines.append(line)
                grid.rows.append(stripped)
                grid.widths.append(len(cells))
                for at, cell in enumerate(stripped):
                    if len(cell) > LONGEST_CELL:
                        grid.odd[line, at] = Odd(
                            SheetSizeError,
                            f"the cell holds {len(cell):,} letters",
                            f"at most {LONGEST_CELL:,}, what one cell of a spreadsheet can hold",
                            "shorten the text, or close the quotes of an earlier cell",
                        )
    except csv.Error as error:
        raise SeparatorError(
            f"from row {line + 1} on the text of {grid.file} cannot be split into cells ({error})",
            'cells with quotes closed; text that holds the separator or a quote in "double quotes"',
            "close the quotes of this row, or save the file again from the spreadsheet",
            f"{grid.file} row {line + 1}",
        ) from None
    return grid


def _records(text: str, mark: str) -> Iterator[list[str]]:
    before = csv.field_size_limit()
    csv.field_size_limit(LARGEST_FILE)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    finally:
        csv.field_size_limit(before)


def _evenness(sample: str, mark: str) -> tuple[float, int]:
    """Return how many rows have the commonest number of cells above one, and that number."""
    try:
        widths = [len(cells) for cells in _records(sample, mark) if any(cell.strip() for cell in cells)]
    except csv.Error:
        widths = [line.count(mark) + 1 for line in sample.splitlines() if line.strip()]
    several = [width for width in widths if width > 1]
    if not several:
        return 0, 0
    common = max(set(several), key=lambda width: (several.count(width), width))
    return several.count(common) / len(widths), common
