"""A table as it was read, under the names of the codebook: a workbook or CSV beside the user's own file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.evidence.reading import Placed, Reading
from metaexo.formatting import cell_text

if TYPE_CHECKING:
    import pandas as pd

Row = Sequence[str | int | float | None]
WIDEST = 40
"""Letters of the widest column of a workbook that is written."""
ENDINGS = (".xlsx", ".csv")


def write_tables(path: object, reading: Reading, frames: Mapping[str, pd.DataFrame]) -> Path:
    """Write the rows that were read of a file; a file that is there already is never written over."""
    target = _target(path, reading)
    tables = {
        name: _rows(frames[name], placed) for name, placed in reading._placed.items() if placed.by_letter
    }
    if not tables:
        raise InputError(
            f"{reading.path} is a folder",
            "a table that was read of a file",
            "its sheets have our names already",
        )
    if target.suffix.lower() == ".csv" and len(tables) > 1:
        raise InputError(
            f"{target.name} is one table, and {' and '.join(tables)} were read", "a workbook", "write a .xlsx"
        )
    only = next(iter(tables.values()))
    content = _csv(only) if target.suffix.lower() == ".csv" else _workbook(tables)
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise _there(target) from None
    except OSError as error:
        raise InputError(
            f"{target} cannot be written ({error.strerror or type(error).__name__})",
            "a folder that is there and that you may write to",
            "name another folder",
        ) from None
    return target


def _target(path: object, reading: Reading) -> Path:
    text = str(path) if isinstance(path, str | PathLike) else ""
    if not text.strip() or "\0" in text or Path(text).suffix.lower() not in ENDINGS:
        raise InputError(
            f"the path is {path!r}"[:200], "a path that ends in .xlsx or .csv", 'write "corrected.xlsx"'
        )
    target = Path(text)
    try:
        same = target.exists() and Path(reading.path).exists() and target.samefile(reading.path)
        there = target.exists()
    except OSError as error:
        raise InputError(
            f"{text[:80]} is no path ({error.strerror or type(error).__name__})", "the path of a file"
        ) from None
    if same:
        raise InputError(
            f"{target} is the file that was read",
            "another name: your file is never changed",
            "name a new file",
        )
    if there:
        raise _there(target)
    return target


def _there(target: Path) -> InputError:
    return InputError(
        f"{target} is there already", "the name of a new file", "name another, or delete it first"
    )


def _rows(frame: pd.DataFrame, placed: Placed) -> list[Row]:
    """Return the names of the columns and the values of the rows, in the order of the file."""
    names = [*sorted(placed.columns, key=placed.columns.__getitem__), *placed.made]
    names = [name for name in names if name in frame]
    columns = [[_value(value) for value in frame[name]] for name in names]
    return [[cell_text(name) for name in names], *zip(*columns, strict=True)]


def _value(value: object) -> str | int | float | None:
    if isinstance(value, str):
        return cell_text(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = float(str(value))
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _workbook(tables: Mapping[str, Sequence[Row]]) -> bytes:
    import openpyxl
    from openpyxl.styles import Font

    book = openpyxl.Workbook()
    for empty in book.worksheets:
        book.remove(empty)
    for name, rows in tables.items():
        sheet = book.create_sheet(name if len(tables) > 1 else "data")
        for line, row in enumerate(rows, 1):
            for at, value in enumerate(row, 1):
                if value is None:
                    continue
                cell = sheet.cell(line, at, value)
                if isinstance(value, str):
                    cell.data_type = "s"
        for cells in sheet.iter_cols(max_row=1):
            cells[0].font = Font(bold=True)
            width = min(max(len(str(cells[0].value)) + 2, 10), WIDEST)
            sheet.column_dimensions[cells[0].column_letter].width = width
        sheet.freeze_panes = "B2"
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
