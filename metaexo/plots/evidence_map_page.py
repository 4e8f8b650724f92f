"""The plan of an evidence-gap map, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.plots.fonts import text_width
from metaexo.plots.furniture import (
    Key,
    legend_rows_height,
    legend_rows_items,
    note_items,
    title_height,
    title_items,
)
from metaexo.plots.page import Area, Dot, Item, Line, Page, Panel, Text, lines_of_text, make_page, middle
from metaexo.plots.style import GREY, LINE_HEIGHT, MARGIN, PALE, TEXT_SIZE, text_on

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "#efefef"
GAP = 2.0
HEADING_GAP = 6.0
# Shapes of bubbles, a group each: size of the mark and half its width, over the radius of a disc of its area.
BUBBLES = {
    "circle": (2.0, 1.0),
    "square": (1.772, 0.886),
    "triangle": (2.507, 1.254),
    "diamond": (1.772, 1.254),
    "triangle_down": (2.507, 1.254),
    "pentagon": (2.299, 1.1),
    "hexagon": (2.2, 1.1),
}


@dataclass(frozen=True, slots=True)
class MapBubble:
    """One bubble: the cell it stands in, its count, its place, and the radius of a disc of its area."""

    row: str
    column: str
    group: str
    count: int
    x: float
    y: float
    radius: float
    colour: str
    shape: str
    number_inside: bool


@dataclass(frozen=True, slots=True)
class MapLine:
    """A row or a column: its name, lines of its label, total, and edges in points."""

    name: str
    label: tuple[str, ...]
    total: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EvidenceMapPlan:
    """What an evidence-gap map shows, with its places in points from the upper left corner.

    Attributes
    ----------
    rows, columns : tuple of MapLine
        Rows from top to bottom and columns from left to right.
    bubbles : tuple of MapBubble
        One a combination that was studied; a combination without a bubble is a gap.
    total : int
        All that was counted.
    counted : str
        What is counted.
    row_title, column_title : str
        What rows and columns are.
    upright : bool
        Whether the headings of the columns stand upright.
    heading : float
        Height of the headings in points.
    keys : tuple of tuple of Key
        Rows of the legend.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    rows: tuple[MapLine, ...]
    columns: tuple[MapLine, ...]
    bubbles: tuple[MapBubble, ...]
    total: int
    counted: str
    row_title: str
    column_title: str
    upright: bool
    heading: float
    keys: tuple[tuple[Key, ...], ...]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    @property
    def gaps(self) -> tuple[tuple[str, str], ...]:
        """The combinations of a row and a column that nobody studied."""
        studied = {(bubble.row, bubble.column) for bubble in self.bubbles}
        return tuple(
            (row.name, column.name)
            for row in self.rows
            for column in self.columns
            if (row.name, column.name) not in studied
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the counts as a long table: row, column, group, count; gaps have a count of 0."""
        import pandas as pd

        found = [(b.row, b.column, b.group, b.count) for b in self.bubbles]
        empty = [(row, column, "", 0) for row, column in self.gaps]
        return pd.DataFrame([*found, *empty], columns=["row", "column", "group", "count"])


def evidence_map_page(plan: EvidenceMapPlan) -> Page:
    """Return the page of a plan."""
    left, right = plan.columns[0].low, plan.columns[-1].high
    top, bottom = plan.rows[0].low, plan.rows[-1].high
    items: list[Item] = [*title_items(plan.title), *_empty_cells(plan), *_grid(plan)]
    legend_y = MARGIN + title_height(plan.title)
    items += legend_rows_items(plan.keys, MARGIN, legend_y, TEXT_SIZE, LINE_HEIGHT)
    title_y = legend_y + legend_rows_height(plan.keys, LINE_HEIGHT) + 0.8 * LINE_HEIGHT
    items.append(Text(left, title_y, plan.column_title, TEXT_SIZE, True))
    items.append(Text(MARGIN, top - HEADING_GAP, plan.row_title, TEXT_SIZE, True))
    total_x = right + 8.0 + text_width("Total", TEXT_SIZE, True)
    items.append(Text(total_x, top - HEADING_GAP, "Total", TEXT_SIZE, True, align="right"))
    for column in plan.columns:
        x = (column.low + column.high) / 2
        items += _heading(plan, column, x, top - HEADING_GAP)
        items.append(Text(x, bottom + 1.3 * LINE_HEIGHT, str(column.total), TEXT_SIZE, align="center"))
    for row in plan.rows:
        y = (row.low + row.high) / 2
        items += lines_of_text(MARGIN, y, row.label, LINE_HEIGHT)
        items.append(Text(total_x, middle(y, TEXT_SIZE), str(row.total), TEXT_SIZE, align="right"))
    items.append(Text(MARGIN, bottom + 1.3 * LINE_HEIGHT, "Total", TEXT_SIZE, True))
    grand = Text(total_x, bottom + 1.3 * LINE_HEIGHT, str(plan.total), TEXT_SIZE, True, align="right")
    items.append(grand)
    for bubble in plan.bubbles:
        items += _bubble_items(bubble)
    items += note_items(plan.notes, plan.height)
    panel = Panel(left, right, top, bottom, left, right, top, bottom)
    return make_page(plan.width, plan.height, items, panel)


def _heading(plan: EvidenceMapPlan, column: MapLine, x: float, y: float) -> list[Item]:
    """Return the lines of the heading of a column whose middle is `x`, just above `y`."""
    if not plan.upright:
        lines = enumerate(reversed(column.label))
        return [Text(x, y - i * LINE_HEIGHT, text, TEXT_SIZE, align="center") for i, text in lines]
    first = middle(x, TEXT_SIZE) - (len(column.label) - 1) / 2 * LINE_HEIGHT
    return [
        Text(first + i * LINE_HEIGHT, y, text, TEXT_SIZE, upright=True) for i, text in enumerate(column.label)
    ]


def _bubble_items(bubble: MapBubble) -> list[Item]:
    size, half = (factor * bubble.radius for factor in BUBBLES[bubble.shape])
    dot = Dot(bubble.x, bubble.y, bubble.shape, size, bubble.colour, bubble.colour, 0.0)
    baseline = middle(bubble.y, TEXT_SIZE)
    if bubble.number_inside:
        colour = text_on(bubble.colour)
        return [dot, Text(bubble.x, baseline, str(bubble.count), TEXT_SIZE, True, colour, "center")]
    return [dot, Text(bubble.x + half + GAP, baseline, str(bubble.count), TEXT_SIZE)]


def _empty_cells(plan: EvidenceMapPlan) -> list[Item]:
    rows = {row.name: row for row in plan.rows}
    columns = {column.name: column for column in plan.columns}
    items: list[Item] = []
    for row_name, column_name in plan.gaps:
        row, column = rows[row_name], columns[column_name]
        corners = (
            (column.low, row.low),
            (column.high, row.low),
            (column.high, row.high),
            (column.low, row.high),
        )
        items.append(Area(corners, EMPTY))
        x, y = (column.low + column.high) / 2, (row.low + row.high) / 2
        items.append(Text(x, middle(y, TEXT_SIZE), "0", TEXT_SIZE, colour=GREY, align="center"))
    return items


def _grid(plan: EvidenceMapPlan) -> list[Item]:
    left, right = plan.columns[0].low, plan.columns[-1].high
    top, bottom = plan.rows[0].low, plan.rows[-1].high
    across = [row.low for row in plan.rows] + [bottom]
    down = [column.low for column in plan.columns] + [right]
    lines: list[Item] = [Line(((left, y), (right, y)), 0.5, PALE) for y in across]
    return lines + [Line(((x, top), (x, bottom)), 0.5, PALE) for x in down]
