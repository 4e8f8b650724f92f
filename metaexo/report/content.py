"""What a report on one table of studies says, before it is a page, a document or files.

A report is made once, from the numbers, and written in several forms. Each form reads these records and
nothing else: whatever stands on the page stands in the document and in the tables as well, and every text in
them is plain text, which each form escapes for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from metaexo.errors import InputError
from metaexo.formatting import MINUS, MISSING, fixed, legible, number, p_value, percent, whole_or_decimals
from metaexo.inputs import describe
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LONGEST_WORD = 24  # letters; a longer word in a table is broken
LONG_TEXT = 45  # letters of a text that is given a wide column
MOST_DECIMALS, LEAST_APART = 6, 1e-9
FIRST = 16  # letters of the first column, which says what a row is, that stand in one line
SHORT = 15  # rows of a table that stands on one page


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph of plain text."""

    text: str
    role: Literal["plain", "answer", "caution", "formula"] = "plain"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of plain texts."""

    items: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table: values for a program, and how a reader sees each column.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and underscores: the file is ``tables/NAME.csv``.
    title : str
        What the rows are, above the table.
    frame : DataFrame
        The values, unrounded. An empty cell is a missing value.
    headings : mapping of str to str
        What a reader sees above each column; columns that are not named here are in the file only.
    formats : mapping of str to str
        How the numbers of a column are shown: a format specification such as ".2f", or "p" for p-values and
        "%" for fractions. Texts are shown as they are.
    traces : tuple of str
        For each row the identifier of the :class:`Trace` behind it, or an empty text.
    notes : tuple of str
        Below the table.
    rows : tuple of int, optional
        Positions of the rows that a reader sees; the files have all. Default: all.
    null : float
        The value of no effect: no other number is shown as if it were that.
    """

    name: str
    title: str
    frame: pd.DataFrame
    headings: Mapping[str, str]
    formats: Mapping[str, str] = field(default_factory=dict)
    traces: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rows: tuple[int, ...] | None = None
    null: float = 0.0

    @property
    def seen(self) -> ReportTable:
        """The table with the rows that a reader sees."""
        if self.rows is None:
            return self
        traces = tuple(self.traces[i] for i in self.rows) if self.traces else ()
        return replace(self, frame=self.frame.iloc[list(self.rows)], traces=traces, rows=None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a reader sees, in the order of the headings; of texts, those with any text."""
        named = [name for name in self.headings if name in self.frame.columns]
        return tuple(name for name in named if self.frame.empty or not self._is_blank(name))

    def _is_blank(self, column: str) -> bool:
        values = self.frame[column]
        return not self.is_number(column) and bool((values.isna() | (values == "")).all())

    def is_number(self, column: str) -> bool:
        """Return whether a column holds numbers, which are aligned to the right and sorted by size."""
        return self.frame[column].dtype.kind in "iuf"

    def texts(self, column: str) -> list[str]:
        """Return what a reader sees in a column, row by row; a dash where there is no value."""
        values = self.frame[column]
        spec = self.formats.get(column, "")
        if not spec and self.is_number(column):
            spec = f".{whole_or_decimals([float(v) for v in values.dropna()])}f"
        empty = values.isna()
        return [
            MISSING if no else _shown(value, spec, self.null) for value, no in zip(values, empty, strict=True)
        ]

    def letters(self, column: str) -> int:
        """Return how many letters wide a column is at least: its longest word, as far as words stay whole."""
        texts = self.texts(column)
        words = [word for text in texts for word in ([text] if self.is_number(column) else text.split())]
        words += legible(self.headings[column]).split()
        longest = max(map(len, texts), default=0)
        least = 14 if longest > LONG_TEXT else min(longest, FIRST) if column == self.columns[0] else 1
        return min(LONGEST_WORD, max([least, *map(len, words)]))


def distinct(value: float, null: float, digits: int) -> str:
    """Return a number with some decimals, and more where it would look like zero or `null` without being it.

    So an interval that ends at 0.004, or for a ratio at 1.002, is seen to exclude no effect.

    Examples
    --------
    >>> distinct(0.004, 0, 2), distinct(1.0021, 1, 2), distinct(-0.0004, 0, 2), distinct(0.8, 0, 2)
    ('0.004', '1.002', '−0.0004', '0.80')
    """
    for more in range(digits, MOST_DECIMALS + 1):
        text = f"{value:.{more}f}"
        if not any(abs(value - one) > LEAST_APART and float(text) == one for one in (0.0, null)):
            return fixed(value, more)
    return fixed(value, digits)


def _shown(value: Any, spec: str, null: float = 0.0) -> str:
    """Return a value of a table as a reader sees it; texts stand as they are."""
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if isinstance(value, str) or not hasattr(value, "__float__"):
        return legible(str(value))
    if spec == "p":
        return p_value(float(value)).removeprefix("p ").removeprefix("= ")
    if spec.endswith("%"):
        return percent(float(value), int(spec[1:-1] or 0))
    if spec.startswith(".") and spec.endswith("f"):
        return distinct(float(value), null, int(spec[1:-1]))
    return format(value, spec).replace("-", MINUS) if spec else number(float(value))


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A drawing, the name of its files (``figures/NAME.svg``, .pdf, .png), and what it shows in words."""

    name: str
    title: str
    alternative: str  # for a reader who does not see it: what is drawn and what comes out
    figure: Figure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the user's file: its address, the heading above it, and what stands in it."""

    address: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """How one effect came from the cells of the user's file.

    Attributes
    ----------
    name : str
        Identifier within the report.
    label : str
        The study, and the outcome or time point where it has several.
    cells : tuple of Cell
        What was read.
    steps : tuple of str
        Conversions, formula with its paper, effect and sampling variance, in the order of the computation.
    """

    name: str
    label: str
    cells: tuple[Cell, ...]
    steps: tuple[str, ...]


Block = Words | Listing | ReportTable | ReportFigure


def traces_table(traces: tuple[Trace, ...]) -> pd.DataFrame:
    """Return how each effect came about as a table: a row per cell that was read, then a row per step."""
    import pandas as pd

    rows = []
    for trace in traces:
        rows += [(trace.label, "cell", cell.address, cell.heading, cell.text) for cell in trace.cells]
        rows += [(trace.label, "step", "", "", step) for step in trace.steps]
    return pd.DataFrame(rows, columns=["effect", "kind", "cell", "heading", "text"])


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report under a heading of its own; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@shows_itself
@dataclass(frozen=True, slots=True)
class Report:
    """A report on one table of studies.

    Attributes
    ----------
    title : str
        What was compared, in whom or what.
    source : str
        The file that was read, with its sheet.
    answer : tuple of str
        Five sentences at the most: pooled effect, heterogeneity, source, isolation, how far to trust it.
    sections : tuple of Section
        In the order of reading.
    traces : tuple of Trace
        One per effect.
    script : str
        A Python script that makes the same numbers.
    facts : mapping of str to str
        Versions, the digest of the file, the choices: what a reader needs to make it again.
    """

    title: str
    source: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]
    traces: tuple[Trace, ...]
    script: str
    facts: Mapping[str, str]

    @property
    def tables(self) -> tuple[ReportTable, ...]:
        """All tables, in the order of reading."""
        return tuple(b for part in self.sections for b in part.blocks if isinstance(b, ReportTable))

    @property
    def figures(self) -> tuple[ReportFigure, ...]:
        """All figures, in the order of reading."""
        return tuple(b for part in self.sections for b in part.blocks if isinstance(b, ReportFigure))


def check_report(report: object) -> None:
    """Refuse what is no report, before anything is written."""
    if not isinstance(report, Report):
        raise InputError(
            f"report is {describe(report)}", "a Report", "hand in what mx.write_report(...) returned"
        )
