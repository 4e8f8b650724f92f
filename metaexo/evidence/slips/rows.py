"""The rows of one sheet as checks read them: numbers, text as typed, and findings with their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import MetaexoError
from metaexo.evidence.codebook import Outcome
from metaexo.evidence.problems import SheetProblem
from metaexo.evidence.reading import RawSheet
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

Positions = NDArray[np.intp]

ARMS = ("treatment", "control")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one sheet."""

    sheet: RawSheet  # the sheet as text
    frame: pd.DataFrame  # its values as numbers and words
    outcomes: Mapping[str, Outcome]
    folder: Path | None = None  # folder of the sheets, which may bring vocabularies of its own
    _known: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    # what checks share, by name
    shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def numbers(self, name: str) -> Array:
        """Return a column as numbers; NaN for what is missing, in cells and as a column."""
        if name not in self._known:
            self._known[name] = self._numbers(name)
            self._known[name].flags.writeable = False
        return self._known[name]

    def _numbers(self, name: str) -> Array:
        if name not in self.frame:
            return np.full(len(self.frame), np.nan)
        import pandas as pd

        return np.array(pd.to_numeric(self.frame[name], errors="coerce"), dtype=float)

    def cells(self, name: str) -> list[str]:
        """Return the numbers of a column as they are typed; "" for what is missing or is no number."""
        known = np.isfinite(self.numbers(name))
        return [row.get(name, "") if has else "" for row, has in zip(self.sheet.rows, known, strict=True)]

    def words(self, name: str) -> list[str]:
        """Return a column as words; "" for what is missing."""
        return [row.get(name, "") for row in self.sheet.rows]

    def groups(self, *names: str) -> Iterator[Positions]:
        """Yield the positions of the rows that agree in the named columns, for groups of two and more."""
        places: dict[tuple[str, ...], list[int]] = {}
        for i, key in enumerate(zip(*(self.words(name) for name in names), strict=True)):
            places.setdefault(key, []).append(i)
        for found in places.values():
            if len(found) > 1:
                yield np.array(found, dtype=np.intp)

    def line(self, i: int) -> str:
        """Return a row in words, for the finding of another row."""
        return f"line {self.sheet.lines[i]} ({self.sheet.study(i)})"


class Slip(NamedTuple):
    """What looks wrong in one cell.

    Attributes
    ----------
    i : int or None
        Position of the row; None for the header.
    column, what, allowed, remedy, reading, nearest : str
        As in :class:`SheetProblem`.
    kind : type or None
        Class of the finding, where it is not that of the check.
    rows : tuple of int
        Positions of all rows of which it is said; empty if it is said of one.
    """

    i: int | np.signedinteger | None
    column: str
    what: str
    allowed: str
    remedy: str
    reading: str = ""
    nearest: str | None = None
    kind: type[Warning] | None = None
    rows: tuple[int, ...] = ()


Slips = Iterator[Slip]
Find = Callable[[Rows], Slips]


@dataclass(frozen=True, slots=True)
class SlipCheck:
    """One thing that is looked for in the rows of a sheet."""

    name: str
    looks_for: str  # what it looks for, in words
    # class of its findings: a warning, or an error for what is impossible
    kind: type[MetaexoError] | type[Warning]
    sheets: tuple[str, ...]  # sheets that it reads
    find: Find  # from the rows to the slips
    reference: str = ""  # DOI of the paper it rests on; empty for plain sense
    raw: bool = False  # whether it reads cells that have a problem by themselves too

    def problems(self, rows: Rows) -> Iterator[SheetProblem]:
        """Yield what is found in the rows of a sheet."""
        sheet = rows.sheet
        for slip in self.find(rows):
            kind, i = slip.kind or self.kind, slip.i
            said = (kind, slip.what, slip.allowed, slip.remedy, sheet.plan.file)
            if i is None:
                place = (1, "", slip.column, slip.column)
            else:
                place = (
                    sheet.lines[int(i)],
                    sheet.study(int(i)),
                    slip.column,
                    sheet.rows[int(i)].get(slip.column, ""),
                )
            lines = tuple(sheet.lines[row] for row in slip.rows) if len(slip.rows) > 1 else ()
            yield SheetProblem(*said, *place, slip.nearest, slip.reading, lines)


class Checks(list[SlipCheck]):
    """Checks in the order in which they are written."""

    def add(
        self,
        name: str,
        looks_for: str,
        kind: type[MetaexoError] | type[Warning],
        reference: str = "",
        sheets: tuple[str, ...] = ("outcomes",),
        raw: bool = False,
    ) -> Callable[[Find], Find]:
        """Return a decorator that makes a check of a function; see :class:`SlipCheck`."""

        def added(find: Find) -> Find:
            self.append(SlipCheck(name, looks_for, kind, sheets, find, reference, raw))
            return find

        return added
