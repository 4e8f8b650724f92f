"""Files of tables, made in the test, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.tables.columns import Tables
from metaexo.evidence.tables.table import read_tables

Rows = Sequence[Sequence[Any]]

HEADINGS = ("Study", "Exosome mean", "Exosome SD", "Exosome n", "Control mean", "Control SD", "Control n")
LI = ("Li 2020", 5.1, 1.2, 10, 3.9, 1.1, 9)
WU = ("Wu 2021", 4.4, 0.9, 8, 3.7, 1.25, 7)
COLUMNS = (
    "study_id",
    *(f"{arm}_{name}" for arm in ("treatment", "control") for name in ("mean", "sd", "n")),
)


def workbook(
    path: Path,
    rows: Rows,
    change: Callable[[Any], object] | None = None,
    title: str = "Data",
    more: Mapping[str, Rows] | None = None,
) -> Path:
    """Write a workbook with one worksheet, changed by a function, and more after it."""
    book = openpyxl.Workbook()
    book.active.title = title
    sheets = [
        (book.active, rows),
        *((book.create_sheet(name), lines) for name, lines in (more or {}).items()),
    ]
    for sheet, lines in sheets:
        for row in lines:
            sheet.append(list(row))
    if change is not None:
        change(book.active)
    book.save(path)
    return path


def text(path: Path, rows: Rows, mark: str = ",", decimal: str = ".", encoding: str = "utf-8") -> Path:
    """Write a table as text, cells that hold the separator in quotes."""

    def cell(value: Any) -> str:
        words = "" if value is None else str(value)
        words = words.replace(".", decimal) if isinstance(value, float) else words
        return f'"{words}"' if mark in words else words

    path.write_bytes("\n".join(mark.join(map(cell, row)) for row in rows).encode(encoding))
    return path


def read(path: Path, **choices: Any) -> Tables:
    """Return the raw sheets of a file."""
    return read_tables(path, load_codebook(), **choices)


def values(tables: Tables, *columns: str) -> list[tuple[str, ...]]:
    """Return the cells of some columns of the rows that were read."""
    return [tuple(row.get(name, "") for name in columns or COLUMNS) for row in tables.raws["outcomes"].rows]


def problems(tables: Tables, sheet: str = "outcomes") -> list[tuple[str, str]]:
    """Return the kind and the first cell of every problem of a sheet."""
    found = tables.raws[sheet].problems
    return [(problem.kind.__name__, problem.cells[0].rpartition("!")[2]) for problem in found]


def said(tables: Tables, words: str) -> bool:
    """Return whether a note has these words."""
    return any(words in note for note in tables.notes)
