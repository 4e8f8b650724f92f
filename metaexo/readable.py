"""What every result has for readers: a table as text, Markdown, LaTeX and HTML, and plain values."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import (
    MISSING,
    TextTable,
    html_table,
    latex_table,
    latex_text,
    markdown_table,
    markdown_text,
    number,
    one_line,
    p_value,
    percent,
    plain_text,
    text_table,
)
from metaexo.immutable import Immutable
from metaexo.other_names import Answering

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
DIGITS = 4
COUNTS = ("df", "df1", "df2")
PROBABILITIES = ("pvalue", "adjusted")
HEADINGS = {"se": "SE", "pvalue": "p", "adjusted": "adjusted p"}


class ReaderTable(NamedTuple):
    """A table as readers see it: cells of text, a header, and what it is about if there are several."""

    rows: list[list[str]]
    header: list[str]
    title: str = ""


class Summary(str, Answering):
    """A summary in titled parts: a text, which also comes as Markdown, LaTeX and HTML.

    Attributes
    ----------
    parts : mapping of str to list of str
        The lines of each part, by its title.
    """

    _answers_as = "tables"

    parts: Mapping[str, list[str]]

    def __new__(cls, parts: Mapping[str, list[str]]) -> Summary:
        """Make the text of the parts."""
        blocks = [
            "\n".join([title, *("  " + line for text in lines for line in text.split("\n"))])
            for title, lines in parts.items()
        ]
        made = super().__new__(cls, plain_text("\n".join(blocks)))
        made.parts = MappingProxyType({title: [*lines] for title, lines in parts.items()})
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (dict(self.parts),)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.__getnewargs__()

    def to_text(self) -> str:
        """Return the summary as plain text."""
        return str.__str__(self)

    def to_markdown(self) -> str:
        """Return the summary as Markdown: a heading per part, its lines as a list, its tables as tables."""
        blocks = []
        for title, lines in self.parts.items():
            blocks.append(f"**{markdown_text(title)}**")
            for plain_lines, table in _runs(lines):
                blocks += (
                    ["\n".join(f"- {markdown_text(line)}" for line in plain_lines)] if plain_lines else []
                )
                blocks += [markdown_table(table.rows, table.header, table.left)] if table is not None else []
        return "\n\n".join(blocks)

    def to_latex(self) -> str:
        """Return the summary as LaTeX paragraphs, one per part; it needs the booktabs package."""
        blocks = []
        for title, lines in self.parts.items():
            blocks.append(rf"\paragraph{{{latex_text(title)}}}")
            for plain_lines, table in _runs(lines):
                blocks += [" \\\\\n".join(map(latex_text, plain_lines))] if plain_lines else []
                blocks += [latex_table(table.rows, table.header, table.left)] if table is not None else []
        return "\n\n".join(blocks)

    def to_html(self) -> str:
        """Return the summary as an HTML table with a row per part."""
        rows = []
        for title, lines in self.parts.items():
            cell = []
            for plain_lines, table in _runs(lines):
                cell += [f"<div>{escape(one_line(line))}</div>" for line in plain_lines]
                cell += [html_table(table.rows, table.header, table.left)] if table is not None else []
            style = "text-align: left; vertical-align: top"
            head = f'<th scope="row" style="{style}; white-space: nowrap">{escape(one_line(title))}</th>'
            rows.append(f'<tr>{head}<td style="{style}">{"".join(cell)}</td></tr>')
        return "\n".join(["<table>", "<tbody>", *rows, "</tbody>", "</table>"])

    def __repr__(self) -> str:
        return str.__str__(self)

    def _repr_html_(self) -> str:
        return self.to_html()


def _runs(lines: Sequence[str]) -> Iterator[tuple[list[str], TextTable | None]]:
    """Yield the lines up to each table, and the table; None after the last lines."""
    run: list[str] = []
    for line in lines:
        if isinstance(line, TextTable):
            yield run, line
            run = []
        else:
            run += line.split("\n")
    if run:
        yield run, None


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

    def summary(self) -> Summary:
        """Return the result in words and tables, which print and come as Markdown, LaTeX and HTML."""
        return Summary({self._title(): [*self.text_tables(), *self._lines_below()]})

    def text_tables(self) -> list[str]:
        """Return the tables as text, each after its title if it has one; a summary knows their cells."""
        return [
            line
            for table in self.reader_tables()
            for line in (*([table.title] if table.title else []), text_table(table.rows, table.header))
        ]

    def _title(self) -> str:
        """Return what the result is, in words: its own name, or that of its class."""
        name = getattr(self, "name", None)
        if isinstance(name, str) and name:
            return name[:1].upper() + name[1:]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).capitalize()

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
        return "\n".join([*blocks, *(f"<div>{escape(one_line(note))}</div>" for note in self._lines_below())])

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        sentence = getattr(self, "sentence", None)
        if isinstance(sentence, str) and sentence:
            return plain_text(f"{type(self).__name__}({cut(one_line(sentence), LONGEST_REPR)})")
        return short_repr(self)

    def _repr_html_(self) -> str:
        """Return the tables for a notebook; of a long one the first and last rows."""
        blocks = [
            table_view(table.rows, table.header, caption=table.title or None)
            for table in self.reader_tables()
        ]
        return "\n".join([*blocks, *(f"<div>{escape(one_line(note))}</div>" for note in self._lines_below())])


class ReadableLines(Readable):
    """A result in lines of text, some of them tables; whoever inherits this gives `lines()`."""

    __slots__ = ()

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the result in lines of text and tables."""

    def reader_tables(self) -> list[ReaderTable]:
        """Return the tables among the lines; without one, the table of numbers."""
        found = [ReaderTable(line.rows, line.header) for line in self.lines() if isinstance(line, TextTable)]
        return found or [cells_of(self.to_frame())]

    def table_notes(self) -> list[str]:
        """Return the other lines, which stand below the tables."""
        return [line for line in self.lines() if not isinstance(line, TextTable)]

    def summary(self) -> Summary:
        """Return the result in words and tables, which print and come as Markdown, LaTeX and HTML."""
        return Summary({self._title(): self.lines()})

    def to_text(self) -> str:
        """Return the result as plain text."""
        return plain_text("\n".join(self.lines()))


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


# -- in a notebook and at the prompt ------------------------------------------------------------------------

LONGEST_REPR = 150
FIRST_ROWS, LAST_ROWS = 20, 5


def cut(text: str, most: int) -> str:
    """Return a text, or as much of it as is allowed and three dots.

    Examples
    --------
    >>> cut("a long sentence", 9)
    'a long...'
    """
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def table_view(
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    left: int | Sequence[int] = 1,
    caption: str | None = None,
) -> str:
    """Return rows of text as an HTML table for a notebook: of many, the first and the last with the count."""
    count = len(rows)
    if count <= FIRST_ROWS + LAST_ROWS + 5:
        return html_table(rows, header, left, caption)
    shown = [*rows[:FIRST_ROWS], ["..."] * len(header), *rows[count - LAST_ROWS :]]
    note = f"{count:,} rows, the first {FIRST_ROWS} and the last {LAST_ROWS} shown"
    return f"{html_table(shown, header, left, caption)}\n<div>{note}</div>"


def shows_itself(kind: type[Kind]) -> type[Kind]:
    """Give a record a short `repr`, and a table in notebooks; what it says of itself already stays.

    Use it on a dataclass whose own `repr` would write out arrays and other records.
    """
    if kind.__dict__["__dataclass_params__"].repr:
        setattr(kind, "__repr__", short_repr)  # noqa: B010 (a type checker knows no such assignment)
    setattr(kind, "_repr_html_", record_html)  # noqa: B010
    return kind


def frame_view(frame: pd.DataFrame, caption: str = "") -> str:
    """Return a table of numbers as an HTML table for a notebook: words stand left, whole numbers as such."""
    table = frame.copy()
    for name in table.columns:
        values = table[name]
        if values.dtype.kind == "f" and (whole := values.dropna() % 1 == 0).all() and whole.size:
            table[name] = np.array([None if np.isnan(x) else int(x) for x in values], dtype=object)
    words = [j for j, name in enumerate(table.columns) if table[name].map(lambda x: isinstance(x, str)).any()]
    cells = cells_of(table)
    return table_view(cells.rows, cells.header, words, caption or None)


def short_repr(record: object) -> str:
    """Return a record by its name and its first fields, in one line; arrays and records are counted.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     name: str
    ...     x: float
    ...     draws: np.ndarray
    >>> print(short_repr(Point("a", 1 / 3, np.zeros(99))))
    Point(name='a', x=0.333333, draws=<99>)
    """
    name, written = type(record).__name__, ""
    for field in fields(record):  # type: ignore[arg-type]
        if field.repr and not field.name.startswith("_"):
            part = f"{', ' if written else ''}{field.name}={_short(getattr(record, field.name))}"
            if len(name) + len(written) + len(part) > LONGEST_REPR:
                return plain_text(f"{name}({written}, ...)")
            written += part
    return plain_text(f"{name}({written})")


def _short(value: Any) -> str:
    """Return a value in a few letters."""
    if value is None or isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    if isinstance(value, str):
        return repr(cut(one_line(value), 40))
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return f"<{' x '.join(map(str, value.shape))}>"
    if isinstance(value, np.ndarray | list | tuple):
        few = len(value) <= 4 and all(
            x is None or isinstance(x, str | bool | int | float | np.generic) for x in value
        )
        return f"({', '.join(map(_short, value))}{',' * (len(value) == 1)})" if few else f"<{len(value)}>"
    if isinstance(value, Mapping):
        return f"<{len(value)}>"
    code = getattr(value, "code", None)
    return repr(code) if isinstance(code, str) else f"<{type(value).__name__}>"


def record_html(record: object) -> str:
    """Return a record as an HTML table: its rows if it has any, else what it is made of."""
    caption = cut(one_line(repr(record)), 200)
    if hasattr(record, "to_frame"):
        return frame_view(record.to_frame(), caption)
    values = {
        field.name: getattr(record, field.name)
        for field in fields(record)  # type: ignore[arg-type]
        if field.repr and not field.name.startswith("_")
    }
    columns = {name: x for name, x in values.items() if isinstance(x, np.ndarray) and x.ndim == 1}
    if len({len(x) for x in columns.values()}) == 1 and len(columns) > 1:
        size = len(next(iter(columns.values())))
        beside = {n: x for n, x in values.items() if isinstance(x, tuple | list) and len(x) == size}
        columns = {name: x for name, x in values.items() if name in columns or name in beside}
        cells = [[_cell(name, x[i]) for name, x in columns.items()] for i in range(size)]
        return table_view(cells, [name.replace("_", " ") for name in columns], caption=caption)
    rows = [[name.replace("_", " "), _cell_of_record(name, value)] for name, value in values.items()]
    return table_view(rows, ["", type(record).__name__], left=2)


def _cell_of_record(name: str, value: Any) -> str:
    if value is None or isinstance(value, str | bool | int | float | np.generic):
        return _cell(name, value)
    if isinstance(value, tuple | list) and all(isinstance(x, str) for x in value):
        return cut(", ".join(value), 400)
    return _short(value)


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
