"""What every result has for readers: a table as text, Markdown, LaTeX and HTML, and plain values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import (
    MISSING,
    html_table,
    latex_table,
    latex_text,
    markdown_table,
    markdown_text,
    number,
    p_value,
    percent,
    plain_text,
    text_table,
)
from metaexo.immutable import Immutable
from metaexo.other_names import Answering

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 4
COUNTS = ("df", "df1", "df2")
PROBABILITIES = ("pvalue", "adjusted")
HEADINGS = {"se": "SE", "pvalue": "p", "adjusted": "adjusted p"}


class ReaderTable(NamedTuple):
    """A table as readers see it: cells of text, a header, and what it is about if there are several."""

    rows: list[list[str]]
    header: list[str]
    title: str = ""


def with_ratios(table: pd.DataFrame, before: str | None = None) -> pd.DataFrame:
    """Return a table with the ratios of the logarithms in its columns estimate, low and high.

    The columns ratio, ratio_low and ratio_high stand at the end, or before a column.
    """
    made = table.copy()
    for name, source in (("ratio", "estimate"), ("ratio_low", "low"), ("ratio_high", "high")):
        place = list(made.columns).index(before) if before else made.shape[1]
        with np.errstate(over="ignore"):
            made.insert(place, name, np.exp(table[source].to_numpy()))
    return made


class Readable(Immutable, Answering, ABC):
    """A result that can be shown; whoever inherits this gives `to_frame()`."""

    __slots__ = ()
    _answers_as = "tables"

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the result as a table of numbers."""

    def reader_tables(self) -> list[ReaderTable]:
        """Return the tables that readers see, numbers rounded."""
        return [cells_of(self.to_frame())]

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the tables."""
        return []

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the result; empty if there is nothing."""
        return ()

    def _lines_below(self) -> list[str]:
        """Return the notes, and then the cautions, that stand below the tables."""
        return [*self.table_notes(), *(f"caution: {text}" for text in self.cautions())]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for files such as JSON; what is missing is None."""
        return {str(name): plain(value) for name, value in _parts(self).items()}

    def to_text(self) -> str:
        """Return the result as plain text."""
        blocks = [
            "\n".join([*([table.title] if table.title else []), text_table(table.rows, table.header)])
            for table in self.reader_tables()
        ]
        return plain_text("\n".join([*blocks, *self._lines_below()]))

    def to_markdown(self) -> str:
        """Return the result as a Markdown table, followed by notes."""
        blocks = []
        for table in self.reader_tables():
            blocks += [markdown_text(table.title)] if table.title else []
            blocks.append(markdown_table(table.rows, table.header))
        return "\n\n".join([*blocks, *map(markdown_text, self._lines_below())])

    def to_latex(self, caption: str | None = None) -> str:
        """Return the result as a LaTeX table, followed by notes; it needs the booktabs package.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        blocks = [
            latex_table(table.rows, table.header, caption=_caption(caption, table.title))
            for table in self.reader_tables()
        ]
        return "\n\n".join([*blocks, *(latex_text(note) for note in self._lines_below())])

    def to_html(self, caption: str | None = None) -> str:
        """Return the result as an HTML table, followed by notes.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        blocks = [
            html_table(table.rows, table.header, caption=_caption(caption, table.title))
            for table in self.reader_tables()
        ]
        return "\n".join([*blocks, *(f"<p>{escape(note)}</p>" for note in self._lines_below())])

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def _caption(caption: object, title: str) -> str | None:
    """Return the caption of a table with its title; refuse what is no text."""
    if caption is not None and not isinstance(caption, str):
        raise InputError(f"the caption is of type {type(caption).__name__}", "a text", 'caption="Strata"')
    return ": ".join(part for part in (caption, title) if part) or None


def cells_of(frame: pd.DataFrame, title: str = "") -> ReaderTable:
    """Return a table of numbers as cells of text; its index comes first if it has a name."""
    table = frame if frame.index.name is None else frame.reset_index()
    names = [str(name) for name in table.columns]
    rows = [
        [_cell(name, value) for name, value in zip(names, row, strict=True)]
        for row in table.itertuples(index=False, name=None)
    ]
    return ReaderTable(rows, [HEADINGS.get(name, name.replace("_", " ")) for name in names], title)


def _cell(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        if name in COUNTS or name == "level":
            return f"{value:.4g}" if name in COUNTS else percent(float(value))
        return p_value(float(value)) if name in PROBABILITIES else number(float(value), DIGITS)
    return str(value)


# -- plain values -------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value made of dicts, lists, words, numbers and None alone.

    NaN becomes None, and what is infinite the words "inf" and "-inf", which JSON has no numbers for.

    Examples
    --------
    >>> import numpy as np
    >>> plain({"tau2": np.float64(0.5), "bounds": np.array([0.1, np.nan]), "names": ("a", "b")})
    {'tau2': 0.5, 'bounds': [0.1, None], 'names': ['a', 'b']}
    """
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, Readable):
        return value.to_dict()
    if isinstance(value, Mapping) or is_dataclass(value) or hasattr(value, "_asdict"):
        return {str(name): plain(part) for name, part in _parts(value).items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _parts(value: Any) -> Mapping[Any, Any]:
    """Return the parts of a record by name."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(value._asdict())
