"""The levels of each factor by row, the studies, and the designs that they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import TooFewStudiesError
from metaexo.formatting import percent
from metaexo.heterogeneity.levels import (
    NOT_REPORTED,
    check_effects,
    factor_levels,
    is_unreported,
    natural_key,
    read_factors_named,
)
from metaexo.inputs import Immutable
from metaexo.types import Array, Index, Mask

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
        return self.studies_in(np.ones(self.k, dtype=np.bool_))

    def studies_in(self, rows: Mask) -> int:
        """Return how many studies stand in some rows."""
        return len(np.unique(self.study[rows]))

    def studies_of(self, factor: int, rows: Mask | None = None) -> Index:
        """Return how many studies each level of a factor stands in, shape (levels,); in some rows."""
        part = slice(None) if rows is None else rows
        pairs = np.unique(np.column_stack([self.codes[part, factor], self.study[part]]), axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.levels[factor]))

    def indicators(self, factor: int) -> Array:
        """Return one column a level of a factor, shape (k, levels)."""
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
        """Return one column a combination that occurs, shape (k, c)."""
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
    """Return the levels of some columns of the effects; missing ones are "not reported".

    Raises
    ------
    InputError
        If no factor, too many of them, or one of them twice is named.
    UnknownChoiceError
        If a factor is not a column.
    TooFewStudiesError
        If there are no effects.
    """
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
    """Return a level without blanks around it; all ways to say that it is not reported are one.

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
    ('0 %', '−13 %', '–')
    """
    return percent(None if fraction is None else round(fraction, 2))


def repeated_levels(table: FactorTable, min_studies: int) -> Mask:
    """Return the rows whose levels all stand in enough studies, shape (k,).

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
    """Return an orthonormal basis of what one space has beyond another within it.

    The number of columns is the difference of the dimensions, whatever rounding makes of small ones.

    Parameters
    ----------
    large, small : ndarray, shape (k, rank)
        Orthonormal bases; the second space lies within the first.
    """
    left = np.linalg.svd(large - small @ (small.T @ large), full_matrices=False)[0]
    return np.asarray(left[:, : large.shape[1] - small.shape[1]])


def rank(x: Array) -> int:
    """Return how many columns are independent."""
    return int(np.linalg.matrix_rank(np.unique(x, axis=0)))
