"""What is wrong with a sheet, place by place, and all of it as one error."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metaexo.errors import MetaexoError, SheetError
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd


MOST_SHOWN = 200
"""Problems that an error shows one by one."""
MOST_LINES = 12
"""Lines that are named of a problem in many rows."""
HEADER = ("place", "study", "cell", "finding")
NARROWEST = 40
INDENT = "  "
LONGEST_ALLOWED = 600


@shows_itself
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
    cells : tuple of str
        The cells of a workbook or a CSV file with headings of its own ("Data!F7"); empty for a folder.
    heading : str
        The heading that the column has in the file, where it is not its name.
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
    cells: tuple[str, ...] = ()
    heading: str = ""

    @property
    def place(self) -> str:
        """File and lines, or cells, in words."""
        if self.cells:
            more = len(self.cells) - MOST_LINES
            shown = ", ".join(self.cells[:MOST_LINES])
            return f"{self.file} {shown}{f' and {more} more' if more > 0 else ''}"
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
        name = f"{self.heading!r}" if self.heading else ""
        name = f"{name} ({self.column})" if name and self.column != self.heading else name or self.column
        parts += [f"column {name}"] if name else []
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
        groups.setdefault(replace(problem, line=None, study="", cells=()), []).append(problem)
    return tuple(
        replace(
            group[0],
            lines=tuple(p.line for p in group if p.line is not None),
            cells=tuple(cell for p in group for cell in p.cells),
        )
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
        """Return one row per problem: place, value, what is wrong, what is allowed, remedy, kind."""
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


def findings_table(findings: Iterable[tuple[str, SheetProblem]], width: int = 120) -> str:
    """Return findings as an aligned table, kind by kind, the last column wrapped.

    Examples
    --------
    >>> from metaexo.errors import ZeroSDWarning
    >>> place = ("outcomes.csv", 4, "li2020", "treatment_sd", "0")
    >>> finding = SheetProblem(ZeroSDWarning, "the SD is zero", "above 0", "look at the source", *place)
    >>> print(findings_table([("warning", finding)]))
      place                study   cell              finding
    warning: ZeroSDWarning (1). What to do: look at the source
      outcomes.csv line 4  li2020  treatment_sd = 0  the SD is zero
    """
    groups: dict[tuple[str, str], list[SheetProblem]] = {}
    for level, finding in findings:
        groups.setdefault((level, finding.kind.__name__), []).append(finding)
    if not groups:
        return ""
    cells = [_cells(finding) for group in groups.values() for finding in group]
    sizes = [max(map(len, column)) for column in zip(HEADER[:-1], *cells, strict=True)]
    rest = max(width - sum(sizes) - 2 * len(HEADER), NARROWEST)
    lines = _lines(HEADER[:-1], sizes, HEADER[-1:])
    for (level, kind), group in groups.items():
        remedies = {finding.remedy for finding in group}
        once = f". What to do: {group[0].remedy}" if len(remedies) == 1 else ""
        lines += textwrap.wrap(f"{level}: {kind} ({len(group)}){once}", width, subsequent_indent=INDENT)
        for finding in group:
            words = _words(finding, told=len(remedies) == 1)
            parts = [part for sentence in words for part in textwrap.wrap(sentence, rest)]
            lines += _lines(_cells(finding), sizes, parts)
    return "\n".join(lines)


def _cells(finding: SheetProblem) -> tuple[str, str, str]:
    value = textwrap.shorten(finding.value, 24, placeholder=" ...") or "(empty)"
    cell = f"{finding.column} = {value}" if finding.column and value != finding.column else finding.column
    return finding.place, finding.study if len(finding.lines) < 2 else "", cell


def _words(finding: SheetProblem, told: bool) -> list[str]:
    """Return what is said of a finding, a sentence each, with the remedy unless it is given for the kind."""
    words = [finding.what]
    if issubclass(finding.kind, MetaexoError):
        words.append(f"allowed: {textwrap.shorten(finding.allowed, LONGEST_ALLOWED, placeholder=' ...')}")
    words += [f"nearest: {finding.nearest}"] if finding.nearest else []
    words += [f"reading: {finding.reading}"] if finding.reading else []
    return words if told else [*words, f"what to do: {finding.remedy}"]


def _lines(cells: Sequence[str], sizes: Sequence[int], parts: Sequence[str]) -> list[str]:
    first = INDENT.join(cell.ljust(size) for cell, size in zip(cells, sizes, strict=True))
    blank = " " * len(first)
    starts = [first, *([blank] * (len(parts) - 1))]
    return [f"{INDENT}{start}{INDENT}{part}".rstrip() for start, part in zip(starts, parts, strict=True)]
