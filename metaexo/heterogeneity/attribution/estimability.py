"""What studies can estimate of several factors: cells, comparisons, and groups that no study links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import plural, text_table
from metaexo.heterogeneity.levels import (
    FactorTable,
    columns_beside,
    rank,
    read_factors,
    readable,
    repeated_levels,
)
from metaexo.inputs import whole_number
from metaexo.readable import ReadableLines
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9
# Combinations of levels that a grid may have, the empty ones too.
MOST_CELLS = 1_000_000
# Groups that are described level by level.
MOST_GROUPS = 4


@dataclass(frozen=True, eq=False, repr=False)
class Estimability(ReadableLines):
    """What can be estimated from a crossing of factors.

    Attributes
    ----------
    by : tuple of str
        The factors.
    table, used : FactorTable
        All rows, and those whose levels are in enough studies.
    rows_used : ndarray of bool, shape (k,)
        Which rows those are.
    min_studies : int
        In how many studies a level must be.
    """

    by: tuple[str, ...]
    table: FactorTable
    used: FactorTable
    rows_used: Mask
    min_studies: int

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All combinations of levels, the empty ones too, row by row of the grid."""
        group_of = dict(zip(map(tuple, self.table.codes[self.rows_used]), self._group_of_row, strict=True))
        sizes = [len(levels) for levels in self.table.levels]
        if math.prod(sizes) > MOST_CELLS:
            raise InputError(
                f"the factors have {math.prod(sizes)} combinations",
                f"at most {MOST_CELLS} for a grid of all of them",
                "join levels that belong together, or take fewer factors",
            )
        present, of_row = self.table.cells()
        members: dict[tuple[int, ...], set[int]] = {tuple(codes): set() for codes in present.tolist()}
        counts = dict(zip(members, np.bincount(of_row).tolist(), strict=True))
        for codes, study in zip(self.table.codes.tolist(), self.table.study.tolist(), strict=True):
            members[tuple(codes)].add(study)
        found = []
        for codes in np.ndindex(*sizes):
            levels = tuple(self.table.levels[j][code] for j, code in enumerate(codes))
            k, m = counts.get(codes, 0), len(members.get(codes, ()))
            found.append(Cell(levels, k, m, group_of.get(codes)))
        return tuple(found)

    @cached_property
    def _group_of_row(self) -> list[int]:
        """Group of each used row: levels in one row belong together."""
        sizes = np.array([len(levels) for levels in self.used.levels])
        nodes = self.used.codes + (np.cumsum(sizes) - sizes)
        label = np.arange(sizes.sum())
        while True:
            before = label.copy()
            lowest = label[nodes].min(axis=1) if len(nodes) else np.empty(0, dtype=np.intp)
            for j in range(nodes.shape[1]):
                np.minimum.at(label, nodes[:, j], lowest)
            if (label == before).all():
                break
        of_row = label[nodes[:, 0]]
        sizes_of = {g: int((of_row == g).sum()) for g in np.unique(of_row)}
        order = sorted(sizes_of, key=lambda g: (-sizes_of[g], g))
        return [order.index(g) for g in of_row]

    @cached_property
    def groups(self) -> tuple[LevelGroup, ...]:
        """The groups of levels that no study links, the largest first."""
        of_row = np.array(self._group_of_row, dtype=np.intp)
        found = []
        for g in range(of_row.max(initial=-1) + 1):
            part = self.used.keep(of_row == g)
            found.append(LevelGroup(part.levels, part.k, part.m))
        return tuple(found)

    def rows_of(self, group: int) -> Mask:
        """Return which of all rows belong to a group of levels, from 0 (the largest), shape (k,)."""
        if whole_number(group, "group", 0) >= len(self.groups):
            raise InputError(f"group is {group}", f"a number below {len(self.groups)}, the count of groups")
        rows = np.zeros(self.table.k, dtype=np.bool_)
        rows[self.rows_used] = np.array(self._group_of_row) == group
        return rows

    @cached_property
    def rank_additive(self) -> int:
        """Number of means that an additive model can estimate."""
        return rank(self.used.additive(range(self.used.p)))

    @cached_property
    def interaction_df(self) -> int:
        """Differences between combinations that an additive model does not make."""
        return len(self.used.cells()[0]) - self.rank_additive

    @property
    def interaction_df_complete(self) -> int:
        """What `interaction_df` would be if no combination of the used levels were empty."""
        sizes = [len(levels) for levels in self.used.levels]
        return int(np.prod(sizes)) - 1 - sum(size - 1 for size in sizes)

    @property
    def separable(self) -> bool:
        """Whether the factors are separately estimable: the additive model has full rank.

        With two factors this is so if, and only if, studies link all levels to one group.
        """
        return self.rank_additive == 1 + sum(len(levels) - 1 for levels in self.used.levels)

    @property
    def residual_df(self) -> int:
        """Studies that are left for the unexplained variance: studies minus means."""
        return self.used.m - self.rank_additive

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Levels that are set aside, by factor."""
        both = zip(self.by, self.table.levels, self.used.levels, strict=True)
        return {name: tuple(level for level in every if level not in kept) for name, every, kept in both}

    @property
    def unlinked(self) -> tuple[str, ...]:
        """Factors with levels that are aliased with the others."""
        every = range(self.used.p)
        found = []
        for j in every:
            others = rank(self.used.additive(i for i in every if i != j))
            if self.rank_additive - others < len(self.used.levels[j]) - 1:
                found.append(self.by[j])
        return tuple(found)

    @cached_property
    def contrasts(self) -> tuple[Contrast, ...]:
        """All comparisons of two levels of a factor, the other factors held."""
        return tuple(
            self._contrast(j, a, b)
            for j, levels in enumerate(self.table.levels)
            for a, b in combinations(levels, 2)
        )

    def _contrast(self, j: int, first: str, second: str) -> Contrast:
        name, kept = self.by[j], self.used.levels[j]
        alone = [level for level in (first, second) if level not in kept]
        if alone:
            words = " and ".join(readable(level) for level in alone)
            return Contrast(name, first, second, False, f"{words} set aside")
        a, b = kept.index(first), kept.index(second)
        if not self._in_row_space(j, a, b):
            return Contrast(name, first, second, False, "no study links the two")
        shared = self._shared(j, a, b)
        if shared and self.used.p > 1:
            return Contrast(name, first, second, True, f"both with {' and '.join(shared)}")
        how = "through other levels" if self.used.p > 1 else "between studies"
        return Contrast(name, first, second, True, how)

    @cached_property
    def _beyond_rows(self) -> Array:
        """What of each level's column the rows of the additive design do not span; levels of all factors."""
        parts = [np.ones((self.used.k, 1)), *(self.used.indicators(i) for i in range(self.used.p))]
        x = np.unique(np.hstack(parts), axis=0)
        return np.asarray((np.eye(x.shape[1]) - np.linalg.pinv(x) @ x)[1:])

    def _in_row_space(self, j: int, a: int, b: int) -> bool:
        """Return whether the difference of two levels is a combination of rows of the design."""
        start = sum(len(levels) for levels in self.used.levels[:j])
        beyond = self._beyond_rows[start + a] - self._beyond_rows[start + b]
        return bool(np.abs(beyond).max() < TOLERANCE)

    @cached_property
    def _partners(self) -> tuple[tuple[set[tuple[int, ...]], ...], ...]:
        """For each factor and level, the combinations of the other factors in which it occurs."""
        found = []
        for j, levels in enumerate(self.used.levels):
            others = [i for i in range(self.used.p) if i != j]
            part: tuple[set[tuple[int, ...]], ...] = tuple(set() for _ in levels)
            for row in self.used.codes.tolist():
                part[row[j]].add(tuple(row[i] for i in others))
            found.append(part)
        return tuple(found)

    def _shared(self, j: int, a: int, b: int) -> list[str]:
        """Return the combinations of the other factors in which both levels occur."""
        others = [i for i in range(self.used.p) if i != j]
        both = sorted(self._partners[j][a] & self._partners[j][b])
        return [
            ", ".join(self.used.words(i, [code])[0] for i, code in zip(others, row, strict=True))
            for row in both
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per combination: its levels, k, m, group, estimable."""
        import pandas as pd

        columns = columns_beside(self.by, ("k", "m", "group", "estimable"))
        rows = [
            {**dict(zip(columns.values(), cell.levels, strict=True)), "k": cell.k, "m": cell.m}
            | {"group": None if cell.group is None else cell.group + 1, "estimable": cell.estimable}
            for cell in self.cells
        ]
        return pd.DataFrame(rows).astype({"group": "Int64"})

    def contrasts_frame(self) -> pd.DataFrame:
        """Return one row per comparison of two levels: factor, first, second, estimable, how."""
        import pandas as pd

        rows = [(c.factor, c.first, c.second, c.estimable, c.how) for c in self.contrasts]
        return pd.DataFrame(rows, columns=["factor", "first", "second", "estimable", "how"])

    def words(self) -> list[str]:
        """Return what can and cannot be estimated, one sentence each."""
        names = " and ".join(readable(name) for name in self.by)
        lines = [f"{plural(self.table.k, 'effect')} of {plural(self.table.m, 'study', 'studies')}"]
        lines += self.set_aside_words()
        if self.used.k == 0:
            return [*lines, "no effect is left"]
        lines.append(f"used: {plural(self.used.k, 'effect')} of {plural(self.used.m, 'study', 'studies')}")
        single = [name for name, levels in zip(self.by, self.used.levels, strict=True) if len(levels) == 1]
        if single:
            lines.append(f"one level only: {', '.join(map(readable, single))}")
        elif self.used.p > 1:
            state = "are separately estimable" if self.separable else "are confounded"
            lines.append(f"{names} {state}: {linkage_words(self)}")
            lines.append(self._interaction_words())
        good = sum(c.estimable for c in self.contrasts)
        lines.append(f"{good} of {plural(len(self.contrasts), 'comparison')} of two levels can be estimated")
        return lines

    def set_aside_words(self) -> list[str]:
        """Return which levels are set aside and why, a line for each factor and reason."""
        lines = []
        for j, (name, levels) in enumerate(self.left_out.items()):
            studies = dict(zip(self.table.levels[j], self.table.studies_of(j), strict=True))
            few = [readable(level) for level in levels if studies[level] < self.min_studies]
            with_them = [readable(level) for level in levels if studies[level] >= self.min_studies]
            if few:
                lines.append(f"{readable(name)} set aside, as in {self.too_few} only: {', '.join(few)}")
            if with_them:
                lines.append(f"{readable(name)} left without a second study by this: {', '.join(with_them)}")
        return lines

    @property
    def too_few(self) -> str:
        """In how many studies a level is set aside, in words."""
        return "one study" if self.min_studies == 2 else f"fewer than {self.min_studies} studies"

    def _interaction_words(self) -> str:
        possible, complete = self.interaction_df, self.interaction_df_complete
        if possible == 0:
            return "interaction: not estimable"
        return f"interaction: {possible} of {complete} degrees of freedom"

    def lines(self) -> list[str]:
        """Return the grid as a table, and what can be estimated from it in lines."""
        frame = self.to_frame()
        found = frame[frame["k"] > 0]
        header = [*self.by, "k", "m", "estimable"]
        rows = [[str(row[name]) for name in header] for row in found.to_dict("records")]
        return [text_table(rows, header, left=len(self.by)), *self.words()]

    def __repr__(self) -> str:
        state = "separable" if self.separable else "not separable"
        return f"Estimability({' x '.join(self.by)}: {state}, k = {self.table.k}, m = {self.table.m})"


def estimability(
    effects: EffectSizes, by: str | Sequence[str] = ("source", "isolation"), min_studies: int = 2
) -> Estimability:
    """Return what the data can estimate of several factors at once.

    Use it before any model with two factors: how many effects and studies each combination has, whether
    studies link all levels (only then are the factors separately estimable), and which comparisons of two
    levels can be estimated while the other factors are held. A comparison can be estimated if it is a
    combination of rows of the additive design.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the factors among the columns of `data`; a missing level counts as "not reported".
    by : str or sequence of str
        One to five columns.
    min_studies : int
        A level must be in so many studies: a level of one study is confounded with that study.

    Returns
    -------
    Estimability
        Cells, groups, contrasts, and words.

    Raises
    ------
    InputError
        If no factor, too many of them, or one of them twice is named, or `min_studies` is below 1.
    UnknownChoiceError
        If a factor is not a column.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Weeks, D. L., Williams, D. R. (1964). A note on the determination of connectedness in an N-way cross
    classification. Technometrics 6, 319-324. https://doi.org/10.1080/00401706.1964.10490188

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> from metaexo.heterogeneity import estimability
    >>> data = pd.DataFrame({"source": ["plant"] * 2 + ["milk"] * 2, "isolation": ["SEC"] * 2 + ["UC"] * 2})
    >>> found = estimability(mx.EffectSizes([0.1, 0.3, 0.2, 0.5], [0.04] * 4, data=data))
    >>> found.separable, len(found.groups)
    (False, 2)
    >>> found.contrasts[0].how
    'no study links the two'
    """
    min_studies = whole_number(min_studies, "min_studies", 1)
    table = read_factors(effects, by)
    rows = repeated_levels(table, min_studies)
    return Estimability(table.names, table, table.keep(rows), rows, min_studies)


def linkage_words(found: Estimability) -> str:
    """Return why factors are separately estimable, or confounded."""
    if found.separable:
        return "studies link all levels"
    if len(found.groups) == 1:
        names = ", ".join(readable(name) for name in found.unlinked)
        return f"the levels of {names} follow from those of the other factors"
    first, *others = (readable(name) for name in found.by)
    parts = []
    for group in found.groups[:MOST_GROUPS]:
        levels = [" or ".join(readable(level) for level in every) for every in group.levels]
        has = " and ".join(f"{name} {level}" for name, level in zip(others, levels[1:], strict=True))
        parts.append(f"every effect with {first} {levels[0]} has {has}")
    more = len(found.groups) - MOST_GROUPS
    if more > 0:
        parts.append(f"{plural(more, 'more group')} of levels without a link")
    return ", ".join([*parts[:-1], f"and {parts[-1]}"])


WORDS = {
    1: "an effect confounded with its study",
    2: "a mean; heterogeneity on one degree of freedom",
    3: "a mean and heterogeneity",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A combination of levels.

    Attributes
    ----------
    levels : tuple of str
        Level of each factor.
    k, m : int
        Effects and studies; 0 where nobody has it.
    group : int or None
        The group of levels that it belongs to, from 0; None if it is empty or set aside.
    """

    levels: tuple[str, ...]
    k: int
    m: int
    group: int | None

    @property
    def estimable(self) -> str:
        """What can be estimated within the cell, in words."""
        if self.m == 0:
            return "nothing: no study"
        if self.group is None:
            return "set aside: a level of too few studies"
        return WORDS[min(self.m, 3)]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A comparison of two levels of a factor, the other factors held.

    Attributes
    ----------
    factor, first, second : str
        What is compared.
    estimable : bool
        Whether the data can estimate the difference.
    how : str
        By which studies, or why not.
    """

    factor: str
    first: str
    second: str
    estimable: bool
    how: str


@dataclass(frozen=True, slots=True)
class LevelGroup:
    """Levels that studies link with each other, and with no level of another group.

    Attributes
    ----------
    levels : tuple of tuple of str
        Levels of each factor.
    k, m : int
        Effects and studies.
    """

    levels: tuple[tuple[str, ...], ...]
    k: int
    m: int
