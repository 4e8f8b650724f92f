"""What is wrong with a sheet, place by place, and all of it as one error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metaexo.errors import MetaexoError, SheetError

if TYPE_CHECKING:
    import pandas as pd


MOST_SHOWN = 200
"""Problems that an error shows one by one."""
MOST_LINES = 12
"""Lines that are named of a problem in many rows."""


@dataclass(frozen=True, slots=True)
class SheetProblem:
    """One thing that is wrong, or looks wrong, in one place of a sheet.

    Attributes
    ----------
    kind : type
        Class of the error or the warning.
    what : str
        What was found, in words.
    allowed : str
        What is allowed.
    remedy : str
        What to do.
    file : str
        Name of the sheet.
    line : int or None
        Line in the file; the header is line 1.
    study : str
        Study of the row; empty if not known.
    column : str
        Column concerned.
    value : str
        What stands there.
    nearest : str or None
        The nearest allowed word, if there is one.
    reading : str
        What may have been meant, in words; empty if nothing is likely.
    lines : tuple of int
        All lines of which the same is to be said, `line` first; empty if it is one.
    """

    kind: type[MetaexoError] | type[Warning]
    what: str
    allowed: str
    remedy: str
    file: str
    line: int | None = None
    study: str = ""
    column: str = ""
    value: str = ""
    nearest: str | None = None
    reading: str = ""
    lines: tuple[int, ...] = ()

    @property
    def place(self) -> str:
        """File and lines in words."""
        if self.line is None:
            return self.file
        if len(self.lines) < 2:
            return f"{self.file} line {self.line}"
        shown = ", ".join(map(str, self.lines[:MOST_LINES]))
        more = len(self.lines) - MOST_LINES
        return f"{self.file} lines {shown}{f' and {more} more' if more > 0 else ''}"

    @property
    def where(self) -> str:
        """The place in words: file, line, study and column."""
        parts = [self.place]
        parts += [f"study {self.study}"] if self.study and len(self.lines) < 2 else []
        parts += [f"column {self.column}"] if self.column else []
        return ", ".join(parts)

    def __str__(self) -> str:
        nearest = f" (nearest: {self.nearest!r})" if self.nearest else ""
        reading = f" Suggested reading: {self.reading}." if self.reading else ""
        return (
            f"{self.where}: {self.what}. Allowed: {self.allowed}{nearest}.{reading} "
            f"What to do: {self.remedy}. [{self.kind.__name__}]"
        )

    def error(self) -> MetaexoError:
        """Return the error of this problem, ready to be raised."""
        kind = self.kind if issubclass(self.kind, MetaexoError) else SheetError
        return kind(self.what, self.allowed, self.remedy, self.where)


def collected(problems: Iterable[SheetProblem]) -> tuple[SheetProblem, ...]:
    """Return problems with those that say the same of the same cell in several rows as one."""
    groups: dict[SheetProblem, list[SheetProblem]] = {}
    for problem in problems:
        groups.setdefault(replace(problem, line=None, study=""), []).append(problem)
    return tuple(
        replace(group[0], lines=tuple(p.line for p in group if p.line is not None))
        if len(group) > 1 and group[0].line is not None
        else group[0]
        for group in groups.values()
    )


class SheetErrors(ExceptionGroup[MetaexoError], MetaexoError, ValueError):
    """All problems of a folder of sheets at once; `except*` picks out one kind.

    Parameters
    ----------
    folder : str
        The folder.
    problems : sequence of SheetProblem
        What is wrong, in the order of the sheets.

    Attributes
    ----------
    problems : tuple of SheetProblem
        The same, as records.
    """

    problems: tuple[SheetProblem, ...]

    def __new__(cls, folder: str, problems: Sequence[SheetProblem]) -> SheetErrors:
        """Make the group; each problem becomes one error of its own class."""
        self = super().__new__(cls, folder, [problem.error() for problem in problems])
        self.problems = tuple(problems)
        return self

    def __init__(self, folder: str, problems: Sequence[SheetProblem]) -> None:
        Exception.__init__(self, folder, problems)

    def __str__(self) -> str:
        n = len(self.problems)
        lines = [f"{n} {'problem' if n == 1 else 'problems'} in the sheets of {self.message}:"]
        lines += [f"{i:>4}. {problem}" for i, problem in enumerate(self.problems[:MOST_SHOWN], 1)]
        if n > MOST_SHOWN:
            lines.append(
                f"      and {n - MOST_SHOWN} more: check_sheets(folder).to_frame() lists all of them"
            )
        return "\n".join(lines)

    def derive(self, excs: Sequence[Any]) -> ExceptionGroup[Any]:
        """Return a plain group; used by `except*` and `split`."""
        return ExceptionGroup(self.message, list(excs))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a problem: place, value, what is wrong, what is allowed, remedy, kind."""
        return problems_frame(self.problems)


def problems_frame(problems: Iterable[SheetProblem]) -> pd.DataFrame:
    """Return problems as a table, one row each."""
    import pandas as pd

    names = ["file", "line", "study", "column", "value", "what", "allowed", "nearest", "reading", "remedy"]
    rows = [
        [*(getattr(problem, name) for name in names), problem.kind.__name__, problem.lines or (problem.line,)]
        for problem in problems
    ]
    return pd.DataFrame(rows, columns=[*names, "kind", "lines"])
