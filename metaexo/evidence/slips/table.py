"""Findings as a table to be read in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from metaexo.errors import MetaexoError
from metaexo.evidence.problems import SheetProblem

HEADER = ("place", "study", "cell", "finding")
NARROWEST = 40
INDENT = "  "
LONGEST_ALLOWED = 600


def findings_table(findings: Iterable[tuple[str, SheetProblem]], width: int = 120) -> str:
    """Return findings as an aligned table, kind by kind, the last column wrapped.

    Parameters
    ----------
    findings : iterable of (str, SheetProblem)
        Level ("error", "warning", "settled") and finding.
    width : int
        Width of the table, in characters; the last column has 40 at least.

    Returns
    -------
    str
        The table; empty if there is no finding.

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
    """Return what is said of a finding, a sentence each; the remedy unless it is told for the whole kind."""
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
