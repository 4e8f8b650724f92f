"""What users hand in: read as numbers or words, or refused in words that name the rows.

Every public function reads the values of its caller here, once; below this door all arrays are plain.
"""

from __future__ import annotations

import datetime
import math
import numbers as abstract
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.calls import level_of_alpha
from metaexo.errors import (
    InputError,
    ShapeError,
    UnclearLevelWarning,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.types import Array

LARGEST = 1e100  # beyond it squares of numbers overflow
SHAPES = {0: "a single number", 1: "a one-dimensional array", 2: "a two-dimensional array"}


def read_numbers(
    values: object, name: str, *, rows: Sequence[str] | None = None, ndim: int | None = None
) -> Array:
    """Return values as a new array of floats; what is missing or masked is NaN.

    `values`: numbers; lists, NumPy and masked arrays, pandas objects. Text that is a number counts as one.
    `name`: what the values are called in messages.
    `rows`: what the rows are called in messages; default "row 1", "row 2", ...
    `ndim`: number of dimensions that is needed. With 1, a single number is an array of one.
    Returned: a copy, never a view of what was handed in.
    Raises InputError if some values are text, complex numbers, dates or other things; it names all of their
        rows.
    Raises ShapeError if the values form no array, or one of another dimension.
    """
    if type(values) is np.ndarray and values.dtype.kind in "fiub":
        made = np.array(values, dtype=float)
    else:
        made = _read_any(values, name, rows)
    if ndim == 1 and made.ndim == 0:
        made = made.reshape(1)
    if ndim is not None and made.ndim != ndim:
        raise ShapeError(f"{name} has shape {made.shape}", SHAPES.get(ndim, f"{ndim} dimensions"))
    return made


def read_words(values: object, name: str, size: int | None = None) -> tuple[str, ...]:
    """Return one text per row; whole numbers read as they are written, 2010 rather than 2010.0.

    `values`: one entry per row. A single text is refused: it would be read letter by letter.
    `name`: what the values are called in messages.
    `size`: number of entries that is needed.
    Raises InputError if `values` is a single text or no sequence, or if entries are blank; it names the rows.
    Raises ShapeError if the number of entries is another one.
    """
    entries = read_entries(values, name, size)
    blank = [f"row {i + 1}" for i, entry in enumerate(entries) if is_blank(entry)]
    if blank:
        raise InputError(
            f"{len(blank)} entries of {name} are blank",
            "an entry in every row",
            "fill them in; where cells were merged, fill down merged cells: series.ffill()",
            blank,
        )
    return tuple(as_word(entry) for entry in entries)


def read_entries(values: object, name: str, size: int | None = None) -> list[Any]:
    """Return a list with one entry per row, as they are; masked entries are None.

    `values`: one entry per row.
    `name`: what the values are called in messages.
    `size`: number of entries that is needed.
    Raises InputError if `values` is a single text, or no one-dimensional sequence.
    Raises ShapeError if the number of entries is another one.
    """
    if isinstance(values, str | bytes):
        raise InputError(
            f"{name} is the single text {values!r}",
            "a list with one entry per row",
            f"write [{values!r}] if that is the only entry, or d[{values!r}] for a column of a table d",
        )
    if isinstance(values, np.ma.MaskedArray):
        values = _unmasked(values)
    if isinstance(values, np.ndarray) and values.ndim == 0:
        values = values.item()
    if (
        isinstance(values, dict | set | frozenset)
        or not isinstance(values, Iterable)
        or getattr(values, "ndim", 1) == 0
        or hasattr(values, "columns")
    ):
        raise InputError(f"{name} is {describe(values)}", "a list with one entry per row")
    entries = list(values)
    if any(isinstance(e, list | tuple | dict | set | np.ndarray) and e is not np.ma.masked for e in entries):
        raise InputError(f"{name} holds lists, not single entries", "a list with one entry per row")
    if size is not None and len(entries) != size:
        raise ShapeError(
            f"{name} has {len(entries)} {'entry' if len(entries) == 1 else 'entries'} for "
            f"{size} row{'' if size == 1 else 's'}",
            "one entry for each row",
        )
    return entries


def is_blank(value: object) -> bool:
    """Say whether a cell is missing: None, NaN, NaT, pandas.NA, masked, or text of nothing but spaces."""
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value))
    )


def as_word(value: object) -> str:
    """Return a cell as text: whole numbers without decimals, everything else as it prints."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)


def alike_words(words: Iterable[str]) -> list[str]:
    """Return the words that differ from another one by blanks or capitals alone, near ones side by side.

    Single letters are codes, where capitals tell: "A" and "a" are not alike.

    Examples
    --------
    >>> alike_words(["milk", "plant", "Milk ", "milk"])
    ['Milk ', 'milk']
    """
    seen: dict[str, set[str]] = {}
    for word in words:
        plain = " ".join(word.split())
        seen.setdefault(plain.casefold() if len(plain) > 1 else plain, set()).add(word)
    return [word for several in seen.values() if len(several) > 1 for word in sorted(several)]


# Levels that read like a missing value.
PLACEHOLDERS = frozenset(
    ("na", "n/a", "n.a.", "n.a", "nan", "n.r.", "nr", "null", "none", "missing", "-", "--", "?", ".", "..")
) | {"\N{EN DASH}", "\N{EM DASH}"}


def warn_of_unclear_levels(name: str, words: Sequence[str], row_name: Callable[[int], str]) -> None:
    """Warn of levels that read like a missing value, or differ from others by blanks or capitals alone.

    `name`: what the column is called.
    `words`: the level of each row; empty where there is none.
    `row_name`: from the position of a row to what it is called.
    Warns UnclearLevelWarning: once for each of the two; the levels are taken as they are.
    """
    levels = set(words)
    unclear = sorted(word for word in levels if word.strip().casefold() in PLACEHOLDERS)
    if unclear:
        rows = [row_name(i) for i, word in enumerate(words) if word in unclear]
        shown = "; ".join(rows[:8]) + (f"; and {len(rows) - 8} more" if len(rows) > 8 else "")
        warn_caller(
            f"{', '.join(map(repr, unclear))} is a level of {name}, and reads like a missing value "
            f"({shown}); if it is one, leave these cells empty",
            UnclearLevelWarning,
        )
    alike = alike_words(levels)
    if alike:
        warn_caller(
            f"levels of {name} differ by blanks or capitals alone and count as several: "
            f"{', '.join(map(repr, alike[:8]))}; write them alike if they are one",
            UnclearLevelWarning,
        )


class LevelOfCurve(float):
    """A level on a curve of the intervals of all levels, which may be low."""


def check_level(level: object, name: str = "level") -> float:
    """Return a level; refuse anything but a fraction between 0 and 1, and an alpha for a confidence level.

    Other packages ask for alpha: 0.1 there is a confidence level of 0.9, so it is refused where a level is.
    """
    number = float(level) if is_number(level) else math.nan  # type: ignore[arg-type]
    if 0 < number < 0.5 and name == "level" and not isinstance(level, LevelOfCurve):
        raise InputError(
            f"level is {number:g}, an interval that would hold the truth in {number:.3%} of cases",
            "a confidence level of at least 0.5, for example 0.95",
            f"write level={level_of_alpha(number)}: the interval with alpha = {number:g} is that",
        )
    if 0 < number < 1:
        return number
    raise InputError(
        f"{name} is {level!r}",
        "a fraction between 0 and 1, for example 0.95",
        f"write {number / 100:g}" if 50 <= number < 100 else "write 0.95",
    )


def check_choice(
    name: str, word: object, allowed: Sequence[str], of_others: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuse anything but one of the allowed words; of_others maps words of other packages to them."""
    if not isinstance(word, str):
        raise UnknownChoiceError(name, word, allowed)
    if word not in allowed:
        raise UnknownChoiceError(name, word, allowed, nearest=of_others.get(word))


def in_any_case(word: object, allowed: Iterable[str]) -> object:
    """Return a word as it is written here if it differs from one of the allowed words by capitals alone.

    Examples
    --------
    >>> in_any_case("Riley", ["riley", "simple"]), in_any_case("other", ["riley"])
    ('riley', 'other')
    """
    plain = word.strip().casefold() if isinstance(word, str) else None
    return next((one for one in allowed if one.casefold() == plain), word)


def check_columns(table: object, what: str, columns: Sequence[object]) -> None:
    """Refuse what is no table with these columns."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{what} is of type {type(table).__name__}", "a DataFrame")
    for column in columns:
        if not isinstance(column, str) or column not in table:
            raise UnknownChoiceError(f"column of {what}", str(column), map(str, table.columns))


def check_flag(name: str, value: object) -> bool:
    """Return a flag; refuse anything but True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {describe(value)}", "True or False")
    return bool(value)


def whole_number(value: object, name: str, least: int) -> int:
    """Return a whole number; refuse what is none, or too small."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        meant = isinstance(value, float | np.floating) and float(value).is_integer() and value >= least
        remedy = f"write {name}={int(value)}" if meant else ""  # type: ignore[call-overload]
        raise InputError(f"{name} is {value!r}", f"a whole number of at least {least}", remedy)
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_number(name: str, value: object) -> float:
    """Return a single number; refuse anything else, True and False included."""
    if not is_number(value):
        raise InputError(f"{name} is {describe(value)}", "a number")
    return float(value)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    """Say whether a value is a single real number that a float can hold; True and False are none."""
    if isinstance(value, bool | np.bool_ | np.timedelta64 | np.complexfloating):
        return False
    if isinstance(value, int):
        return abs(value) < 2**1023
    return isinstance(value, abstract.Real | np.number)


def check_aligned(**named: object) -> None:
    """Refuse pandas objects whose indexes differ: pairing them by position would mix rows."""
    first, known = "", None
    for name, values in named.items():
        index = getattr(values, "index", None)
        if index is None or callable(index):
            continue
        if known is None:
            first, known = name, index
        elif not known.equals(index):
            if len(known) != len(index):
                raise ShapeError(
                    f"{name} has {len(index)} rows and {first} has {len(known)}", "one row for each effect"
                )
            raise InputError(
                f"{first} and {name} have different indexes",
                "columns of one table, or arrays whose rows stand in the same order",
                f"take both from one data frame, or pair them by position with {name}.to_numpy()",
                [
                    f"row {i + 1}: {a!r} and {b!r}"
                    for i, (a, b) in enumerate(zip(known, index, strict=True))
                    if a != b
                ],
            )


def _read_any(values: object, name: str, rows: Sequence[str] | None) -> Array:
    if values is None or isinstance(values, dict | set | frozenset) or callable(values):
        raise InputError(f"{name} is {describe(values)}", "numbers")
    cells = _as_cells(values, name)
    if cells.dtype.kind in "fiub":
        return np.array(cells, dtype=float)
    made = np.empty(cells.shape)
    flat = made.reshape(-1)
    bad: list[str] = []
    for at, cell in enumerate(cells.ravel().tolist()):
        number = _number(cell)
        if number is None:
            row = at // (cells.shape[1] if cells.ndim == 2 else 1)
            where = rows[row] if rows is not None and row < len(rows) else f"row {row + 1}"
            bad.append(f"{where}: {cell!r}")
            number = np.nan
        flat[at] = number
    if bad:
        raise InputError(
            f"{name} holds {len(bad)} {'entries that are' if len(bad) > 1 else 'entry that is'} no number",
            "numbers, with a point as decimal mark; None or NaN where a value is missing",
            _without_unit(cells) or "correct these cells, or leave them empty where nothing is reported",
            bad,
        )
    return made


def _without_unit(cells: NDArray[Any]) -> str:
    """Return how a unit is taken out of texts that all end with it ("5.1 mm"); "" if it is none."""
    texts = [cell for cell in cells.ravel().tolist() if isinstance(cell, str) and cell.strip()]
    ends = {match[1] if (match := _WITH_UNIT.fullmatch(text)) else "" for text in texts}
    unit = ends.pop() if len(ends) == 1 else ""
    return f"take the unit out of the cells: column.str.removesuffix({unit!r}).astype(float)" if unit else ""


_WITH_UNIT = re.compile(r"[-+]?\d+\.?\d*(\s*[^\d\s.,;:<>=+±-][^\d]{0,14})")


def _as_cells(values: Any, name: str) -> NDArray[Any]:
    """Return an array of numbers where all cells are numbers, else of objects; masked cells are None."""
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values)
    if hasattr(values, "to_numpy") and hasattr(
        values, "shape"
    ):  # pandas: its own missing values are no floats
        cells = np.array(values.to_numpy())
        return cells if cells.dtype.kind in "fiub" else np.array(values.to_numpy(dtype=object))
    text = isinstance(values, str | bytes)
    items = list(values) if isinstance(values, Iterable) and not text else values
    if isinstance(items, list) and any(isinstance(item, np.ma.MaskedArray) for item in items):
        items = [_unmasked(i) if isinstance(i, np.ma.MaskedArray) else i for i in items]
        items = [i.item() if isinstance(i, np.ndarray) and i.ndim == 0 else i for i in items]
    try:
        cells = np.array(items)
        return cells if cells.dtype.kind in "fiub" else np.array(items, dtype=object)
    except (ValueError, TypeError, OverflowError):
        raise ShapeError(f"{name} has rows of different lengths", "an array of numbers") from None


def _unmasked(values: Any) -> NDArray[Any]:
    cells = np.array(values.data, dtype=object)
    cells[np.ma.getmaskarray(values)] = None
    return cells


def _number(cell: object) -> float | None:
    """Return a cell as a number, NaN where it is missing, None where it is something else."""
    if isinstance(cell, float | int):
        return float(cell) if abs(cell) < 1e308 or isinstance(cell, float) else None
    if cell is None or (is_blank(cell) and not isinstance(cell, str)):
        return float("nan")
    if isinstance(
        cell, complex | np.complexfloating | datetime.date | datetime.time | datetime.timedelta | bytes
    ):
        return None
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return None
    if isinstance(cell, str) and ("_" in cell or not cell.strip()):
        return None if cell.strip() else float("nan")
    if isinstance(cell, str | abstract.Number) or hasattr(cell, "__float__"):
        try:
            return float(cell)
        except (TypeError, ValueError, OverflowError):
            return None
    return None


def describe(value: object) -> str:
    """Return what was handed in, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeio' else 'a'} {kind}"
