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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import EmptyLevelError, InputError, UnknownChoiceError
from metaexo.models.formula import Formula, read_formula
from metaexo.models.formula_expressions import Expression, values
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    import pandas as pd


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
    """

    formula: Formula
    factors: dict[int, Factor]
    state: dict[str, Any]

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
        known = [str(c) for c in frame.columns]
        lost = [name for name in self.formula.columns if name not in known]
        if lost:
            raise InputError(
                f"the table has no column {', '.join(map(repr, lost))}; it has {', '.join(known)}",
                f"a column for each moderator of the formula: {', '.join(self.formula.columns)}",
            )
        frame = frame.set_axis(known, axis=1)
        _refuse_missing(frame, self.formula.columns, rows)
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
        bad = ~np.isfinite(table).all(axis=1)
        if bad.any():
            raise InputError(
                f"{part.text} is not finite in some rows",
                "values for which it can be computed",
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


def learn_encoding(text: str, frame: pd.DataFrame | None, rows: Sequence[str]) -> Encoding:
    """Return the encoding of a formula on the data of a fit.

    Raises
    ------
    InputError
        If there is no table of moderators.
    EmptyLevelError
        If a factor has a level without a row.
    UnknownChoiceError
        If a column, or the base level that was asked for, is not there.
    """
    import pandas as pd

    known = [] if frame is None else [str(c) for c in frame.columns]
    formula = read_formula(text, known)
    twice = [name for name in formula.columns if known.count(name) > 1]
    if twice:
        raise InputError(f"the data have several columns called {twice[0]!r}", "one column a name")
    frame = pd.DataFrame(index=range(len(rows))) if frame is None else frame.set_axis(known, axis=1)
    _refuse_missing(frame, formula.columns, rows)
    factors = {
        i: _learn_factor(part, frame[part.columns[0]])
        for i, part in enumerate(formula.parts)
        if part.is_factor or (part.kind == "column" and _holds_words(frame[part.name]))
    }
    return Encoding(formula, factors, {})


def _holds_words(column: pd.Series) -> bool:
    from pandas.api import types

    if types.is_object_dtype(column):
        return types.infer_dtype(column, skipna=True) not in (
            "integer",
            "floating",
            "mixed-integer-float",
            "decimal",
        )
    return not types.is_numeric_dtype(column) or types.is_bool_dtype(column)


def _learn_factor(part: Expression, column: pd.Series) -> Factor:
    """Return the levels of a column, in order, with the base in front."""
    name = part.columns[0]
    if hasattr(column, "cat"):
        levels = list(column.cat.categories)
        empty = [_in_words(level) for level in levels if not (column == level).any()]
        if empty:
            raise EmptyLevelError(
                f"no row has the level {', '.join(map(repr, empty))} of {name!r}",
                "at least one row for each level of a factor",
                f"drop it: data[{name!r}].cat.remove_unused_categories()",
            )
    else:
        levels = sorted(set(column.tolist()), key=_sorting_key)
    words = [_in_words(level) for level in levels]
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
    return (1, level.casefold(), level) if isinstance(level, str) else (0, level, "")


def _in_words(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


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


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[str], rows: Sequence[str]) -> None:
    gaps = [(name, np.flatnonzero(frame[name].isna().to_numpy())) for name in columns]
    found = [f"{rows[int(i)]}: {name}" for name, where in gaps for i in where]
    if found:
        raise InputError(
            "some rows have a missing moderator",
            "a value of every moderator of the formula in every row",
            "fill the values, or leave the rows out with EffectSizes.select, which records the reason",
            found,
        )
