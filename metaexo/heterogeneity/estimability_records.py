"""Cells, comparisons and groups of levels of crossed factors."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    1: "an effect that cannot be told from its study",
    2: "a mean; a spread on one degree of freedom",
    3: "a mean and a spread",
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
        Whether the data can tell the difference.
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
