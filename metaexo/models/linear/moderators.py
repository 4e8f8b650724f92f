"""The cells of moderators: which columns a table has, which cells are missing, numbers or words."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError, nearest_word
from metaexo.inputs import is_blank
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
NO_LEVELS = (*DATES, complex, list, dict, set, np.ndarray)
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def named_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Return a table whose columns are named by text, after a check that it holds those that are wanted."""
    known = [str(c) for c in frame.columns]
    lost = [name for name in wanted if name not in known]
    if lost:
        near = {name: nearest_word(name, [c for c in known if c not in wanted]) for name in lost}
        renamed = ", ".join(f"{there!r} to {name!r}" for name, there in near.items() if there)
        there_are = ", ".join(map(repr, known)) or "none"
        raise InputError(
            f"the table has no column {', '.join(map(repr, lost))}; it has {there_are}",
            f"a column for each moderator: {', '.join(map(repr, wanted))}",
            f"rename {renamed}, if that is what was meant" if renamed else "",
        )
    twice = [name for name in wanted if known.count(name) > 1]
    if twice:
        raise InputError(f"the table has several columns called {twice[0]!r}", "one column per name")
    return frame.set_axis(known, axis=1)


def refuse_cells(column: pd.Series, name: str, rows: Sequence[str]) -> None:
    """Refuse cells that are neither numbers nor words: dates, complex numbers, lists."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "biuf" or hasattr(column, "cat"):
        return
    if kind in "mMc":
        bad = {"m": "time spans", "M": "dates", "c": "complex numbers"}[kind]
        raise InputError(
            f"the column {name!r} holds {bad}",
            "numbers, or words that are levels of a factor",
            f"make a number of it, for example data[{name!r}].dt.year" if kind == "M" else "",
        )
    found = [
        f"{row}: {cell!r}"
        for row, cell in zip(rows, column.tolist(), strict=True)
        if isinstance(cell, NO_LEVELS)
    ]
    if found:
        raise InputError(
            f"the column {name!r} holds cells that are neither numbers nor words",
            "numbers, or words that are levels of a factor",
            "correct these cells",
            found,
        )


def holds_words(column: pd.Series, rows: Sequence[str]) -> bool:
    """Say whether a column is a factor; refuse one that holds numbers but for some cells."""
    from pandas.api import types

    if types.is_bool_dtype(column) or hasattr(column, "cat"):
        return True
    if types.is_numeric_dtype(column):
        return False
    cells = column.tolist()
    text = [isinstance(cell, str) for cell in cells]
    if all(isinstance(cell, bool | np.bool_) for cell in cells):
        return True
    if not any(text):
        return False
    plain = [not isinstance(cell, str) or is_number_text(cell) for cell in cells]
    numbers = [ok or DECIMAL_COMMA.fullmatch(cell) is not None for ok, cell in zip(plain, cells, strict=True)]
    if all(text) and (all(plain) or 2 * sum(numbers) <= len(cells)):
        return True
    if all(plain):
        return False
    raise InputError(
        f"the column {column.name!r} holds numbers, and {plain.count(False)} cells of text that are none",
        "numbers in every row, with a point as decimal mark",
        f"correct these cells; or write C({column.name}) if every value is a level of its own",
        [f"{row}: {cell!r}" for row, cell, ok in zip(rows, cells, plain, strict=True) if not ok],
    )


def is_number_text(text: str) -> bool:
    """Say whether a text reads as a finite number."""
    try:
        return "_" not in text and bool(np.isfinite(float(text)))
    except ValueError:
        return False


def missing_remedy(can_drop: bool) -> str:
    """Return what to do about missing moderators: leave the rows out by a call that can, or by hand."""
    option = 'missing="drop" in the call that makes the model, or ' if can_drop else ""
    return (
        "fill the values; or leave the rows out, which the ledger records: "
        f"{option}the method select of the effects with a reason"
    )


def refuse_missing(frame: pd.DataFrame, columns: Sequence[str], rows: Sequence[str], remedy: str) -> None:
    """Refuse rows in which one of the columns is missing."""
    gaps = [(name, np.flatnonzero(blank_cells(frame[name]))) for name in columns]
    found = [f"{rows[int(i)]}: {name}" for name, where in gaps for i in where]
    if found:
        raise InputError(
            "some rows have a missing moderator",
            "a value of every moderator of the formula in every row",
            remedy,
            found,
        )


def blank_cells(column: pd.Series) -> Mask:
    """Return which cells of a column are missing: None, NaN, pandas.NA, or text of nothing but spaces."""
    gone = np.array(column.isna(), dtype=np.bool_)
    if getattr(column.dtype, "kind", "O") in "biufc":
        return gone
    return np.array(
        [lost or is_blank(cell) for lost, cell in zip(gone, column.tolist(), strict=True)], dtype=np.bool_
    )


def numbers_in(frame: pd.DataFrame, name: str) -> Array:
    """Return a column as numbers, or say that it holds words."""
    try:
        return np.asarray(frame[name].to_numpy(dtype=float))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column {name!r} holds words", "numbers where a formula computes", f"write {name} or C({name})"
        ) from error
