"""What the figures that are grids of cells share: rows and columns with headings, lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metaexo.plots.canvas.figure import Plan
from metaexo.plots.canvas.fonts import LINE_HEIGHT, MARGIN, PALE, text_width, wrap, wrap_whole_words
from metaexo.plots.canvas.page import Item, Line, Panel, Text, lines_of_text, middle

LETTERS, UPRIGHT_LETTERS = 13, 20
HEADING_GAP = 6.0


@dataclass(frozen=True, slots=True)
class GridLine:
    """A row or a column: its name, lines of its label, edges in points, and its total where there is one."""

    name: str
    label: tuple[str, ...]
    low: float
    high: float
    total: int = 0

    @property
    def middle(self) -> float:
        """Where its cells have their middle."""
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPlan(Plan):
    """Rows and columns of a grid.

    Attributes
    ----------
    rows, columns : tuple of GridLine
        Rows from top to bottom and columns from left to right.
    row_title, column_title : str
        What rows and columns are.
    upright : bool
        Whether the headings of the columns stand upright.
    heading : float
        Height of the headings in points.
    """

    rows: tuple[GridLine, ...]
    columns: tuple[GridLine, ...]
    row_title: str
    column_title: str
    upright: bool
    heading: float

    @property
    def panel(self) -> Panel:
        """Where the cells stand; its coordinates are points of the page."""
        left, right = self.columns[0].low, self.columns[-1].high
        top, bottom = self.rows[0].low, self.rows[-1].high
        return Panel(left, right, top, bottom, left, right, top, bottom)


def heading_lines(name: str, upright: bool) -> tuple[str, ...]:
    """Return the heading of a column in lines."""
    return wrap(name, UPRIGHT_LETTERS) if upright else wrap_whole_words(name, LETTERS)


def heading_width(label: Sequence[str], upright: bool, bold: bool = False) -> float:
    """Return the width of the heading of a column, with room on both sides."""
    across = [LINE_HEIGHT * len(label)] if upright else [text_width(line, bold=bold) for line in label]
    return max(across) + 10.0


def heading_height(columns: Sequence[GridLine], upright: bool) -> float:
    """Return the height of the headings of the columns."""
    if upright:
        return max(text_width(line) for column in columns for line in column.label)
    return max(len(column.label) for column in columns) * LINE_HEIGHT


def items_around(plan: GridPlan) -> list[Item]:
    """Return title, legend, the names of rows and columns, and the notes."""
    heading_y = plan.panel.top - HEADING_GAP
    items = plan.items_above()
    items.append(Text(plan.panel.left, plan.top + 0.8 * LINE_HEIGHT, plan.column_title, bold=True))
    items.append(Text(MARGIN, heading_y, plan.row_title, bold=True))
    for column in plan.columns:
        items += _heading(column, plan.upright, heading_y)
    for row in plan.rows:
        items += lines_of_text(MARGIN, row.middle, row.label)
    return items + plan.items_below()


def _heading(column: GridLine, upright: bool, y: float) -> list[Item]:
    """Return the lines of the heading of a column, just above `y`."""
    if not upright:
        return [
            Text(column.middle, y - i * LINE_HEIGHT, line, align="center")
            for i, line in enumerate(reversed(column.label))
        ]
    first = middle(column.middle) - (len(column.label) - 1) / 2 * LINE_HEIGHT
    return [Text(first + i * LINE_HEIGHT, y, line, upright=True) for i, line in enumerate(column.label)]


def lines_between(plan: GridPlan) -> list[Item]:
    """Return the lines around all cells."""
    panel = plan.panel
    across = [*(row.low for row in plan.rows), panel.bottom]
    down = [*(column.low for column in plan.columns), panel.right]
    lines: list[Item] = [Line(((panel.left, y), (panel.right, y)), 0.5, PALE) for y in across]
    return lines + [Line(((x, panel.top), (x, panel.bottom)), 0.5, PALE) for x in down]
