"""Levels of factors and of repetition, and studies that do not report theirs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    InputError,
    MixedRepetitionError,
    ShapeError,
    TooFewStudiesError,
    UnknownChoiceError,
)
from metaexo.formatting import NOT_REPORTED, percent
from metaexo.immutable import Immutable
from metaexo.inputs import as_word, check_choice, is_blank, warn_of_unclear_levels
from metaexo.types import Array, Index, Mask

# What programs write for a missing value; no level is called so.
SILENT = ("", NOT_REPORTED, "nan", "<na>", "nat")
STUDY = "study"


def is_unreported(level: str) -> bool:
    """Say whether a level is the word for a study that does not report it.

    Examples
    --------
    >>> is_unreported("Not_reported"), is_unreported("plant")
    (True, False)
    """
    return level.replace("_", " ").strip().casefold() in SILENT


def word_for_all(names: Iterable[str]) -> str:
    """Return the word for all levels together: "all", or "all strata" where a level is called "all".

    Examples
    --------
    >>> word_for_all(["milk", "plant"]), word_for_all(["milk", "All"])
    ('all', 'all strata')
    """
    return "all strata" if any(name.strip().casefold() == "all" for name in names) else "all"


def columns_beside(factors: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return factor to its column in a table that has other columns: its name, unless one of them has it.

    Examples
    --------
    >>> columns_beside(["source", "k"], ["k", "m"])
    {'source': 'source', 'k': 'k (level)'}
    """
    taken = set(others)
    return {factor: f"{factor} (level)" if factor in taken else factor for factor in factors}


def read_factors_named(by: object, most: int | None = None) -> tuple[str, ...]:
    """Return the names of one factor or several, each once, and at most so many."""
    several = by.tolist() if isinstance(by, np.ndarray) or type(by).__name__ == "Index" else by  # type: ignore[attr-defined]
    names = (by,) if isinstance(by, str) else tuple(several) if isinstance(several, Sequence) else None
    needed = "one column or more, each once" if most is None else f"one to {most} different columns"
    if names is None or not all(isinstance(name, str) for name in names):
        kind = type(by).__name__
        raise InputError(f"the factors are of type {kind}", f"{needed}, by name", 'write by="source"')
    if not names or len(set(names)) < len(names) or (most is not None and len(names) > most):
        raise InputError(f"the factors {', '.join(names) or '(none)'}", needed)
    return names


def read_factor_named(by: object) -> str:
    """Return the name of one factor."""
    if not isinstance(by, str) or not by:
        raise InputError("the factor is no name of a column", "the name of one column", 'write by="source"')
    return by


def factor_levels(effects: EffectSizes, factor: str) -> NDArray[np.object_]:
    """Return the level of each effect as a word, shape (k,); all that are not reported under one word.

    Blank cells (None, NaN, NaT, pandas.NA, empty text) and "not reported" are not reported. Whole numbers
    read as they are written. The word "study" means the studies of the effects, where there is no
    such column. Levels that are called "NA", "-" or the like, or differ by blanks or capitals alone, count
    as levels, with an UnclearLevelWarning.
    """
    words = ["" if is_blank(value) else as_word(value) for value in _values(effects, factor)]
    own = next((word for word in words if word.strip() and is_unreported(word)), NOT_REPORTED)
    own = NOT_REPORTED if own.casefold() in ("nan", "<na>", "nat") else own
    reported = ["" if is_unreported(word) else word for word in words]
    warn_of_unclear_levels(factor, reported, lambda i: effects.row_ids[i])
    levels = np.empty(len(words), dtype=object)
    levels[:] = [own if is_unreported(word) else word for word in words]
    return levels


def _values(effects: EffectSizes, factor: str) -> Sequence[object]:
    """Return the cells of a column, or the studies."""
    columns = [] if effects.data is None else [str(name) for name in effects.data.columns]
    if factor == STUDY and STUDY not in columns:
        return studies_of(effects)
    if not columns:
        check_choice("column", factor, [STUDY])
    return list(effects.column(factor))


def rows_by_factor(new: Any, levels: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the levels in new rows, given as a dict or a table with a column for each factor.

    Examples
    --------
    >>> rows_by_factor({"source": ["plant", "milk"], "dose": 2}, {"source": ["milk", "plant"], "dose": ["2"]})
    [('plant', '2'), ('milk', '2')]
    """
    given = {str(name): new[name] for name in new.keys()}  # noqa: SIM118
    for name in given:
        check_choice("factor", name, tuple(levels))
    missing = [name for name in levels if name not in given]
    if missing:
        raise InputError(f"the new rows have no {', '.join(missing)}", "a level of every factor")
    columns = [
        [given[name]] if isinstance(given[name], str) or np.ndim(given[name]) == 0 else list(given[name])
        for name in levels
    ]
    sizes = {len(column) for column in columns} - {1}
    if len(sizes) > 1:
        counts = ", ".join(f"{name}: {len(column)}" for name, column in zip(levels, columns, strict=True))
        raise ShapeError(f"the new levels differ in number ({counts})", "one level per row, or a single one")
    size = sizes.pop() if sizes else 1
    words = [
        [_level_known(name, cell, levels[name]) for cell in column] * (size if len(column) == 1 else 1)
        for name, column in zip(levels, columns, strict=True)
    ]
    return list(zip(*words, strict=True))


def _level_known(factor: str, cell: object, levels: Sequence[str]) -> str:
    word = "" if is_blank(cell) else as_word(cell)
    if is_unreported(word):
        word = next((level for level in levels if is_unreported(level)), NOT_REPORTED)
    check_choice(f"level of {factor}", word, levels)
    return word


def natural_key(level: str) -> tuple[bool, float, str]:
    """Return what sorts levels as a reader expects: numbers by size and before words.

    Examples
    --------
    >>> sorted(["10", "2", "milk", "9"], key=natural_key)
    ['2', '9', '10', 'milk']
    """
    number = as_number(level)
    return (number is None, 0.0 if number is None else number, level)


def as_number(level: str) -> float | None:
    """Return a level as a number; None if it is a word."""
    try:
        number = float(level)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def studies_of(effects: EffectSizes) -> tuple[str, ...]:
    """Return the study of each effect; every effect is a separate study where none are given."""
    return effects.study or effects.row_ids


# From the smallest step to the largest; with donors the biology differs as well.
REPETITIONS = {
    "reading": "one preparation measured again",
    "preparation": "one material isolated again",
    "batch": "another production batch of the same source",
    "laboratory": "another laboratory",
    "donor": "material of other donors, patients, animals or pools",
}
COLUMN = "repetition"
OF_ONE_GROUP = ("CVLN", "SDLN")
OF_TWO_GROUPS = ("CVR", "VR", "CVRC", "VRC")
VARIABILITY = (*OF_ONE_GROUP, *OF_TWO_GROUPS)


def repetition_levels(effects: EffectSizes, column: str = COLUMN) -> NDArray[np.object_]:
    """Return the level of repetition of each effect, shape (k,)."""
    if effects.measure.code not in VARIABILITY:
        raise InputError(
            f"the effects are {effects.measure.name} ({effects.measure.code}), no measure of variability",
            "one of " + ", ".join(VARIABILITY),
            'compute them with mx.effect_sizes("CVLN", mean=..., sd=..., n=...)',
        )
    if effects.data is None or column not in effects.data.columns:
        raise MixedRepetitionError(
            f"no column {column!r} says what was repeated",
            "for each standard deviation, whether it is over " + ", ".join(_phrases()),
            f'add it: effects.with_columns({column}=[...]), with "not_reported" where it is not known',
        )
    levels = factor_levels(effects, column)
    strange = [i for i, word in enumerate(levels) if not is_unreported(word) and word not in REPETITIONS]
    if strange:
        rows = [effects.row_ids[i] for i in strange]
        raise UnknownChoiceError(
            "level of repetition", levels[strange[0]], [*REPETITIONS, "not_reported"], rows
        )
    return levels


def _phrases() -> list[str]:
    return [f"a {name} ({words})" for name, words in REPETITIONS.items()]


def refuse_mixed_levels(effects: EffectSizes, factors: Sequence[str] = ()) -> None:
    """Raise if one model would mix spreads of different levels of repetition.

    Nothing is asked of effects of another kind, nor of those without a column `repetition`.
    """
    measured = effects.measure.code in VARIABILITY
    if not measured or effects.data is None or COLUMN not in effects.data.columns or COLUMN in factors:
        return
    found = list(dict.fromkeys(factor_levels(effects, COLUMN)))
    if len(found) > 1:
        raise MixedRepetitionError(
            f"the spreads are over {', '.join(found)}: they are of different things, and a method with many "
            "readings would look better than one with many preparations",
            "one level of repetition in a model",
            "use mx.heterogeneity.repeatability, which keeps the levels apart, or select one level",
        )


MOST_FACTORS = 5


@dataclass(frozen=True, eq=False)
class FactorTable(Immutable):
    """Levels of the factors, and studies, as codes.

    Attributes
    ----------
    names : tuple of str
        The factors.
    levels : tuple of tuple of str
        Levels of each factor; "not reported" is a level and comes last.
    codes : ndarray of int, shape (k, p)
        Level of each row for each factor.
    study : ndarray of int, shape (k,)
        Study of each row.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    codes: Index
    study: Index

    @property
    def k(self) -> int:
        """Number of rows."""
        return len(self.study)

    @property
    def p(self) -> int:
        """Number of factors."""
        return len(self.names)

    @property
    def m(self) -> int:
        """Number of studies."""
        return len(np.unique(self.study))

    def studies_of(self, factor: int, rows: Mask | None = None) -> Index:
        """Return how many studies have each level of a factor, shape (levels,); in some rows."""
        part = slice(None) if rows is None else rows
        pairs = np.unique(np.column_stack([self.codes[part, factor], self.study[part]]), axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.levels[factor]))

    def indicators(self, factor: int) -> Array:
        """Return one column per level of a factor, shape (k, levels)."""
        return np.eye(len(self.levels[factor]))[self.codes[:, factor]]

    def additive(self, which: Iterable[int]) -> Array:
        """Return an intercept and, for some factors, a column for every level but the first."""
        parts = [np.ones((self.k, 1)), *(self.indicators(j)[:, 1:] for j in which)]
        return np.hstack(parts)

    def cells(self) -> tuple[Index, Index]:
        """Return the combinations that occur, shape (c, p), and the combination of each row."""
        found, of_row = np.unique(self.codes, axis=0, return_inverse=True)
        return found, of_row.ravel()

    def saturated(self) -> Array:
        """Return one column per combination that occurs, shape (k, c)."""
        found, of_row = self.cells()
        return np.eye(len(found))[of_row]

    def words(self, factor: int, codes: Iterable[int]) -> list[str]:
        """Return levels as they are read."""
        return [readable(self.levels[factor][code]) for code in codes]

    def keep(self, rows: Mask) -> FactorTable:
        """Return the table of some rows, without the levels that none of them has."""
        codes, levels = [], []
        for j in range(self.p):
            present, again = np.unique(self.codes[rows, j], return_inverse=True)
            codes.append(again)
            levels.append(tuple(self.levels[j][code] for code in present))
        stacked = np.column_stack(codes).astype(np.intp)
        study = np.unique(self.study[rows], return_inverse=True)[1]
        return FactorTable(self.names, tuple(levels), stacked, study)


def read_factors(effects: EffectSizes, factors: str | Sequence[str]) -> FactorTable:
    """Return the levels of some columns of the effects; missing ones are "not reported"."""
    effects, names = check_effects(effects), read_factors_named(factors, MOST_FACTORS)
    if effects.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    codes, levels = [], []
    for name in names:
        column = [level_of(word) for word in factor_levels(effects, name)]
        found = sorted(set(column), key=lambda level: (level == NOT_REPORTED, natural_key(level)))
        codes.append([found.index(level) for level in column])
        levels.append(tuple(found))
    study: Sequence[Any] = effects.study or range(effects.k)
    study_codes = np.unique(np.asarray(study), return_inverse=True)[1]
    return FactorTable(names, tuple(levels), np.array(codes, dtype=np.intp).T, study_codes)


def level_of(word: str) -> str:
    """Return a level without blanks around it; all words for not reported are one.

    Examples
    --------
    >>> level_of("Plant "), level_of("Not_reported")
    ('Plant', 'not reported')
    """
    return NOT_REPORTED if is_unreported(word) else word.strip()


def readable(name: str) -> str:
    """Return a level or a factor with blanks for underscores."""
    return name.replace("_", " ")


def whole_percent(fraction: float | None) -> str:
    """Return a share in whole per cent, however small it is.

    Examples
    --------
    >>> whole_percent(0.0031), whole_percent(-0.127), whole_percent(None)
    ('0%', '−13%', '–')
    """
    return percent(None if fraction is None else round(fraction, 2))


def repeated_levels(table: FactorTable, min_studies: int) -> Mask:
    """Return the rows whose levels are all in enough studies, shape (k,).

    A level that is left out takes its rows with it, which may leave too few studies to another level, so the
    rule is applied until nothing changes.
    """
    keep = np.ones(table.k, dtype=np.bool_)
    while True:
        before = keep.copy()
        for j in range(table.p):
            keep &= table.studies_of(j, keep)[table.codes[:, j]] >= min_studies
        if (keep == before).all():
            return keep


def column_space(x: Array) -> Array:
    """Return an orthonormal basis of the columns, shape (k, rank)."""
    left, size, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray(left[:, size > size[0] * max(x.shape) * np.finfo(float).eps])


def basis_beyond(large: Array, small: Array) -> Array:
    """Return an orthonormal basis of what one space has beyond another within it, from such bases.

    The number of columns is the difference of the dimensions, whatever rounding makes of small ones.
    """
    left = np.linalg.svd(large - small @ (small.T @ large), full_matrices=False)[0]
    return np.asarray(left[:, : large.shape[1] - small.shape[1]])


def rank(x: Array) -> int:
    """Return how many columns are independent."""
    return int(np.linalg.matrix_rank(np.unique(x, axis=0)))
