"""Tables for spreadsheets, as CSV and as a workbook: numbers as numbers, texts as texts, formulas never."""

from __future__ import annotations

import io
import math
import re
import textwrap
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError
from metaexo.formatting import FORMULA_SIGNS, safe_cells

if TYPE_CHECKING:
    import pandas as pd
    from openpyxl.cell.cell import Cell, MergedCell
    from openpyxl.worksheet.worksheet import Worksheet

FLOAT_FORMAT = "%.10g"
BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows that a CSV file is UTF-8
WHEN = datetime(1980, 1, 1)  # the first date of a ZIP archive, so that the same tables give the same bytes
WIDEST = 60  # letters of a column
LONGEST = 31  # letters of the name of a worksheet
CONTENTS = "Contents"
LINE_HEIGHT = 15  # points; 409 is the most that a row can have
_CHANGED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")
_NO_SHEET = re.compile(r"[\[\]:*?/\\\x00-\x1f\ufffe\uffff]")
_UNHELD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def csv_text(frame: pd.DataFrame) -> str:
    r"""Return a table as the text of a CSV file: ten digits, an empty cell for a missing value, no formulas.

    Examples
    --------
    >>> import pandas as pd
    >>> csv_text(pd.DataFrame({"study": ["=1+1", "Li 2020"], "y": [-0.5, None]}))
    "study,y\n'=1+1,-0.5\nLi 2020,\n"
    """
    text: str = safe_cells(frame).to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    return text


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as a CSV file that Excel opens with all its letters."""
    path.write_text(BYTE_ORDER_MARK + csv_text(frame), encoding="utf-8", newline="\n")


def write_workbook(
    path: str | Path, tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str] | None = None
) -> Path:
    r"""Write tables into one workbook for Excel and its like, a worksheet per table.

    Use it to hand tables on to those who work with spreadsheets. Numbers stay numbers and texts stay texts: a
    text that begins like a formula (= + - @) is marked as text and reads as it stands. The first row is
    frozen, and columns are as wide as what they hold. The same tables give the same bytes.

    Parameters
    ----------
    path : str or Path
        The file, ending in ``.xlsx``.
    tables : mapping of str to DataFrame
        The tables by the names of their worksheets. What a worksheet's name cannot hold is replaced: it has
        31 letters at most, none of ``[ ] : * ? / \``, and no other worksheet has the same. Of a longer name
        the last words are kept.
    titles : mapping of str to str, optional
        Titles of tables, by the same names. With them a first worksheet lists all, each with a link to it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no table, a table is larger than a worksheet, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> from metaexo.report import write_workbook
    >>> studies = pd.DataFrame({"study": ["Li 2020", "=Cho 2021"], "y": [0.5, -0.1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_workbook(f"{folder}/tables.xlsx", {"studies": studies}).name
    'tables.xlsx'
    """
    from openpyxl import Workbook

    target = Path(path)
    _check(target, tables)
    book = Workbook()
    book.remove(book.worksheets[0])
    names = sheet_names([*([CONTENTS] if titles else []), *tables])
    if titles:
        _list(book.create_sheet(names.pop(0)), names, tables, titles)
    for name, frame in zip(names, tables.values(), strict=True):
        _fill(book.create_sheet(name), frame)
    book.properties.creator = "metaexo"
    kept = io.BytesIO()
    book.save(kept)
    try:
        target.write_bytes(same_archive(kept.getvalue()))
    except OSError as problem:
        raise InputError(
            f"{target} cannot be written: {problem.strerror or problem}",
            "a file that may be written, in a folder that is there",
            "close it in Excel if it is open there, or choose another name",
        ) from problem
    return target


def _check(target: Path, tables: object) -> None:
    """Refuse what is no mapping of names to tables, and what no worksheet can hold."""
    import pandas as pd

    if target.suffix.lower() != ".xlsx":
        raise InputError(
            f"the path {str(target)!r}"[:200],
            "a file that ends in .xlsx",
            f"write {target.stem or 'tables'}.xlsx",
        )
    if not isinstance(tables, Mapping) or not tables:
        raise InputError("no tables", 'tables by the names of their worksheets, {"studies": frame}')
    for name, frame in tables.items():
        if not isinstance(name, str) or not isinstance(frame, pd.DataFrame):
            raise InputError(
                f"{name!r} is no name of a table"[:200], "a name and a DataFrame for each worksheet"
            )
        if len(frame) >= 2**20 or frame.shape[1] > 2**14:
            raise InputError(
                f"the table {name!r} has {len(frame)} rows and {frame.shape[1]} columns"[:200],
                "at most 1,048,575 rows and 16,384 columns, which is what a worksheet holds",
                "write it as CSV",
            )


def _list(
    sheet: Worksheet, names: Sequence[str], tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]
) -> None:
    """Write the list of worksheets: each with a link to it, its title, and how many rows it has."""
    import pandas as pd
    from openpyxl.styles import Font
    from openpyxl.worksheet.hyperlink import Hyperlink

    rows = [
        (name, titles.get(given, ""), len(frame))
        for name, (given, frame) in zip(names, tables.items(), strict=True)
    ]
    _fill(sheet, pd.DataFrame(rows, columns=["Worksheet", "Title", "Rows"]))
    for i, name in enumerate(names, start=2):
        quoted = name.replace("'", "''")
        cell = sheet.cell(i, 1)
        cell.hyperlink = Hyperlink(ref=cell.coordinate, location=f"'{quoted}'!A1")
        cell.font = Font(name="Calibri", size=11, color="0563C1", underline="single")


def sheet_names(names: Sequence[str]) -> list[str]:
    """Return names that worksheets can have: 31 letters at most, each once, whatever the case.

    Of a longer name the last words are kept, since they tell tables of one kind of outcome apart.

    Examples
    --------
    >>> sheet_names(["effects", "Effects", "a/b", "", "history", "x" * 40])[:5]
    ['effects', 'Effects 2', 'a b', 'table', 'history_']
    >>> sheet_names(["wound_closure_in_animals_tests_by_isolation"])
    ['in_animals_tests_by_isolation']
    """
    made: list[str] = []
    for name in names:
        plain = _last_words(_NO_SHEET.sub(" ", name).strip(" '"), LONGEST) or "table"
        plain = f"{plain}_" if plain.lower() == "history" else plain  # which Excel keeps for itself
        count, unique = 1, plain
        while unique.casefold() in {one.casefold() for one in made}:
            count += 1
            unique = f"{_last_words(plain, LONGEST - 1 - len(str(count)))} {count}"
        made.append(unique)
    return made


def _last_words(name: str, most: int) -> str:
    """Return the last words of a name that fit into so many letters; a single word that does not is cut."""
    if len(name) <= most:
        return name
    kept = ""
    for word in reversed(re.findall(r"[^ _-]+[ _-]*|[ _-]+", name)):
        if len(word) + len(kept.rstrip(" _-'")) > most:
            break
        kept = word + kept
    return kept.strip(" _-'") or name[:most].strip(" '")


def _fill(sheet: Worksheet, frame: pd.DataFrame) -> None:
    """Write a table to a worksheet: headings in bold and frozen, sized by what is in the cells."""
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    bold, wrapped = Font(name="Calibri", size=11, bold=True), Alignment(wrap_text=True, vertical="top")
    right = Alignment(wrap_text=True, vertical="top", horizontal="right")
    lines = [1] * (len(frame) + 1)
    for j, name in enumerate(frame.columns, start=1):
        cells = [sheet.cell(i, j) for i in range(1, len(frame) + 2)]
        for cell, value in zip(cells, [str(name), *frame.iloc[:, j - 1].tolist()], strict=True):
            _put(cell, value)
        cells[0].font = bold
        cells[0].alignment = right if frame.iloc[:, j - 1].dtype.kind in "iuf" else wrapped
        texts = [cell.value if isinstance(cell.value, str) else "" for cell in cells]
        longest = [len(word) + 1 for word in texts[0].split()]
        longest += [len(line) for text in texts[1:] for line in text.split("\n")]
        width = min(WIDEST, max([10, *longest]))
        sheet.column_dimensions[get_column_letter(j)].width = width + 2
        for i, text in enumerate(texts):
            needed = sum(max(1, len(textwrap.wrap(line, width))) for line in text.split("\n"))
            lines[i] = max(lines[i], needed)
            if i > 0 and needed > 1:
                cells[i].alignment = wrapped
    for i, needed in enumerate(lines, start=1):
        if needed > 1:
            sheet.row_dimensions[i].height = min(409, LINE_HEIGHT * needed)
    sheet.freeze_panes = "A2"
    # on paper: all columns on a page, the headings on each
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", 9
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "1:1"
    if len(frame) and frame.shape[1]:
        sheet.auto_filter.ref = sheet.dimensions


def _put(cell: Cell | MergedCell, value: Any) -> None:
    """Put a value into a cell: a number, a truth value or a text, and a text never as a formula."""
    import pandas as pd

    value = value.item() if hasattr(value, "item") else value
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        cell.value = value
        return
    text = _UNHELD.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n"))[:32767]
    cell.value = text
    cell.data_type = "s"
    if text.lstrip(" ").startswith((*FORMULA_SIGNS, "'")):
        cell.quotePrefix = True


def same_archive(content: bytes) -> bytes:
    """Return a ZIP archive (a workbook, a document) without the times at which it was made."""
    made = io.BytesIO()
    stamp = WHEN.isoformat().encode() + b"Z"
    with (
        zipfile.ZipFile(io.BytesIO(content)) as given,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as kept,
    ):
        for name in given.namelist():
            body = given.read(name)
            if name == "docProps/core.xml":
                body = _CHANGED.sub(rb"\g<1>" + stamp, body)
            entry = zipfile.ZipInfo(name, WHEN.timetuple()[:6])
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o600 << 16,
            )
            kept.writestr(entry, body)
    return made.getvalue()
