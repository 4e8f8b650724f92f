"""From a formula and a table to the columns of the design, and to the same columns for new rows.

Factors are coded by treatments: one column a level, named variable + level, the base level left out. Levels
are sorted (those of a pandas Categorical keep their order) and the first is the base unless ``C(source,
base="adipose")`` says otherwise. A factor keeps all its levels in a product whose margin, the product without
the factor, is not in the model; without an intercept the first factor keeps all of them.

References
----------
Wilkinson, G. N., Rogers, C. E. (1973). Symbolic description of factorial models for analysis of variance.
Journal of the Royal Statistical Society C 22, 392-399. https://doi.org/10.2307/2346786
"""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import (
    EmptyLevelError,
    InputError,
    UnknownChoiceError,
    nearest_word,
)
from metaexo.inputs import LARGEST, as_word, is_blank, warn_of_unclear_levels
from metaexo.models.linear.formula import Formula, read_formula
from metaexo.models.linear.formula_expressions import Expression, values
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

DATES = datetime.date | datetime.time | datetime.timedelta | np.datetime64 | np.timedelta64
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


@dataclass(frozen=True, slots=True)
class Factor:
    """The levels of a factor, base first.

    Attributes
    ----------
    levels : tuple
        Levels as they stand in the data.
    names : tuple of str
        Levels in words.
    """

    levels: tuple[Any, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a model.

    Attributes
    ----------
    name : str
        How it is written.
    columns : tuple of int
        Positions of its columns in the design.
    """

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A formula with everything that was learnt from the data of the fit: levels, means, knots.

    Attributes
    ----------
    formula : Formula
        What was asked for.
    factors : dict of int to Factor
        Position of a part to its levels, for parts that are factors.
    state : dict
        Means, spreads and knots of the transforms.
    unused : tuple of str
        In words, the levels of categorical columns that no row has; they are no levels of the model.
    """

    formula: Formula
    factors: dict[int, Factor]
    state: dict[str, Any]
    unused: tuple[str, ...] = ()

    def encode(self, frame: pd.DataFrame, rows: Sequence[str]) -> tuple[Array, list[str], list[Term]]:
        """Return the columns for a table, shape (r, p), with their names and terms.

        Parameters
        ----------
        frame : DataFrame
            A table with the columns of the formula.
        rows : sequence of str
            What its rows are called in errors.

        Raises
        ------
        UnknownChoiceError
            If a level is not known; it names the allowed ones.
        InputError
            If a column is missing, or a value is missing or not finite once transformed; it names them.
        """
        frame = named_columns(frame, self.formula.columns)
        _refuse_missing(frame, self.formula.columns, rows, "fill the values, or leave these rows out")
        state = copy.deepcopy(self.state) if self.state else self.state
        coded = [self._code(i, part, frame, rows, state) for i, part in enumerate(self.formula.parts)]
        columns = [np.ones(len(frame))] if self.formula.intercept else []
        names = ["intercept"] if self.formula.intercept else []
        terms = []
        for term, full in zip(self.formula.terms, self._full_codings(), strict=True):
            begin = len(names)
            sides = [_side(coded[i], i in self.factors and i not in full) for i in term]
            for choice in product(*[range(len(side)) for side in reversed(sides)]):
                picked = [side[j] for side, j in zip(sides, reversed(choice), strict=True)]
                names.append(":".join(name for name, _ in picked))
                columns.append(np.prod([column for _, column in picked], axis=0))
            text = ":".join(self.formula.parts[i].text for i in term)
            terms.append(Term(text, tuple(range(begin, len(names)))))
        return np.column_stack(columns) if columns else np.empty((len(frame), 0)), names, terms

    def _code(
        self, i: int, part: Expression, frame: pd.DataFrame, rows: Sequence[str], state: dict[str, Any]
    ) -> list[tuple[str, Array]]:
        """Return every column of one part with its name: all levels of a factor, base first."""
        if i in self.factors:
            factor = self.factors[i]
            position = _positions(factor, frame[part.columns[0]], part.columns[0], rows)
            return [(part.text + name, (position == j) * 1.0) for j, name in enumerate(factor.names)]
        table, endings = values(part, frame, state, str(i))
        bad = ~(np.abs(table) <= LARGEST).all(axis=1)
        if bad.any():
            raise InputError(
                f"{part.text} is not finite, or too large, in some rows",
                f"values for which it can be computed and is at most {LARGEST:g} in size",
                "mend the values, or leave the rows out with EffectSizes.select, which records the reason",
                [rows[int(r)] for r in np.flatnonzero(bad)],
            )
        return [(part.text + ending, table[:, j]) for j, ending in enumerate(endings)]

    def _full_codings(self) -> list[set[int]]:
        """Return, a term, the factors in it that keep all their levels."""
        present: set[frozenset[int]] = {frozenset(), *(frozenset(term) for term in self.formula.terms)}
        full = [
            {i for i in term if i in self.factors and frozenset(term) - {i} not in present}
            for term in self.formula.terms
        ]
        if not self.formula.intercept:
            for term, found in zip(self.formula.terms, full, strict=True):
                if len(term) == 1 and term[0] in self.factors:
                    found.add(term[0])
                    break
        return full


def learn_encoding(
    text: str, frame: pd.DataFrame | None, rows: Sequence[str], intercept: bool = True, remedy: str = ""
) -> Encoding:
    """Return the encoding of a formula on the data of a fit; without `intercept` it has none.

    The remedy is what to do where a moderator is missing.

    Raises
    ------
    InputError
        If there is no table of moderators.
    EmptyLevelError
        If a factor has a single level.
    UnknownChoiceError
        If a column, or the base level that was asked for, is not there.
    """
    import pandas as pd

    known = [] if frame is None else [str(c) for c in frame.columns]
    formula = read_formula(text, known)
    if not intercept:
        formula = replace(formula, intercept=False)
    frame = named_columns(pd.DataFrame(index=range(len(rows))) if frame is None else frame, formula.columns)
    _refuse_missing(frame, formula.columns, rows, remedy)
    for name in formula.columns:
        _refuse_cells(frame[name], name, rows)
    factors = {
        i: _learn_factor(part, frame[part.columns[0]], rows)
        for i, part in enumerate(formula.parts)
        if part.is_factor or (part.kind == "column" and _holds_words(frame[part.name], rows))
    }
    encoding = Encoding(formula, factors, {}, tuple(_unused_levels(formula, factors, frame)))
    _refuse_single_levels(encoding)
    return encoding


def named_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Return a table whose columns are named by text, after a check that it holds those that are wanted.

    Raises
    ------
    InputError
        If a column is not there, or there twice; it names those that are, and the nearest.
    """
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


def _refuse_cells(column: pd.Series, name: str, rows: Sequence[str]) -> None:
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
        if isinstance(cell, DATES | complex | list | dict | set | np.ndarray)
    ]
    if found:
        raise InputError(
            f"the column {name!r} holds cells that are neither numbers nor words",
            "numbers, or words that are levels of a factor",
            "correct these cells",
            found,
        )


def _holds_words(column: pd.Series, rows: Sequence[str]) -> bool:
    """Say whether a column is a factor; refuse one that holds numbers but for some cells.

    Raises
    ------
    InputError
        If most cells are numbers and some are not; it names their rows.
    """
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
    plain = [not isinstance(cell, str) or _is_number(cell) for cell in cells]
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


def _is_number(text: str) -> bool:
    try:
        return "_" not in text and bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _unused_levels(formula: Formula, factors: dict[int, Factor], frame: pd.DataFrame) -> list[str]:
    """Return in words the categories that no row has."""
    out = []
    for name in dict.fromkeys(formula.parts[i].columns[0] for i in factors):
        if hasattr(frame[name], "cat"):
            present = set(frame[name].tolist())
            empty = [_in_words(level) for level in frame[name].cat.categories if level not in present]
            if empty:
                out.append(f"no row has {', '.join(map(repr, empty))} of {name}: no level of the model")
    return out


def _refuse_single_levels(encoding: Encoding) -> None:
    """Refuse factors with one level that would become no column."""
    for term, full in zip(encoding.formula.terms, encoding._full_codings(), strict=True):
        for i in term:
            factor = encoding.factors.get(i)
            if factor is not None and len(factor.levels) == 1 and i not in full:
                name = encoding.formula.parts[i].columns[0]
                raise EmptyLevelError(
                    f"{name} has one level ({factor.names[0]}) in these rows",
                    "at least two levels of a factor",
                    f"leave {name} out of the formula",
                )


def _learn_factor(part: Expression, column: pd.Series, rows: Sequence[str]) -> Factor:
    """Return the levels of a column, in order, with the base in front; categories without a row are none."""
    name = part.columns[0]
    cells = column.tolist()
    if hasattr(column, "cat"):
        present = set(cells)
        levels = [level for level in column.cat.categories if level in present]
    else:
        levels = sorted(set(cells), key=_sorting_key)
    words = [_in_words(level) for level in levels]
    warn_of_unclear_levels(name, [_in_words(cell) for cell in cells], lambda i: rows[i], 6)
    base = dict(part.options).get("base") if part.is_factor else None
    if base is not None:
        if _in_words(base) not in words:
            raise UnknownChoiceError(f"base level of {name}", base, words)
        first = words.index(_in_words(base))
        order = [first, *(j for j in range(len(words)) if j != first)]
        levels, words = [levels[j] for j in order], [words[j] for j in order]
    return Factor(tuple(levels), tuple(words))


def _sorting_key(level: Any) -> tuple[Any, ...]:
    """Sort numbers by size, and words as a dictionary does: capitals count last."""
    if isinstance(level, str):
        return (0, float(level), level) if _is_number(level) else (1, level.casefold(), level)
    return (0, level, "") if isinstance(level, int | float | np.number) else (1, str(level), "")


_in_words = as_word


def _positions(factor: Factor, column: pd.Series, name: str, rows: Sequence[str]) -> NDArray[np.intp]:
    """Return the position of each row's level, or say which level is not known."""
    where = {level: j for j, level in enumerate(factor.levels)} | {w: j for j, w in enumerate(factor.names)}
    found = [where.get(level, -1) for level in column.tolist()]
    for row, level, position in zip(rows, column.tolist(), found, strict=True):
        if position < 0:
            raise UnknownChoiceError(f"level of {name}", level, factor.names, row)
    return np.array(found, dtype=np.intp)


def _side(columns: list[tuple[str, Array]], without_base: bool) -> list[tuple[str, Array]]:
    return columns[1:] if without_base else columns


def missing_remedy(model: str = "") -> str:
    """Return what to do about missing moderators: leave the rows out with a model that can, or by hand."""
    option = f'{model}(..., missing="drop"), or ' if model else ""
    return (
        "fill the values; or leave the rows out, which the ledger records: "
        f"{option}the method select of the effects with a reason"
    )


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[str], rows: Sequence[str], remedy: str) -> None:
    gaps = [(name, np.flatnonzero(blank_cells(frame[name]))) for name in columns]
    found = [f"{rows[int(i)]}: {name}" for name, where in gaps for i in where]
    if found:
        raise InputError(
            "some rows have a missing moderator",
            "a value of every moderator of the formula in every row",
            remedy,
            found,
        )


def blank_cells(column: pd.Series) -> NDArray[np.bool_]:
    """Return which cells of a column are missing: None, NaN, pandas.NA, or text of nothing but spaces."""
    gone = np.array(column.isna(), dtype=np.bool_)
    if getattr(column.dtype, "kind", "O") in "biufc":
        return gone
    return np.array(
        [lost or is_blank(cell) for lost, cell in zip(gone, column.tolist(), strict=True)], dtype=np.bool_
    )
