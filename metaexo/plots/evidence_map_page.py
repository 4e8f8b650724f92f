"""The plan of an evidence-gap map, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.plots.fonts import text_width
from metaexo.plots.furniture import Key, legend_items, note_items, title_items
from metaexo.plots.page import Area, Dot, Item, Line, Page, Panel, Text, lines_of_text, make_page, middle
from metaexo.plots.style import GREY, LINE_HEIGHT, MARGIN, PALE, TEXT_SIZE
from metaexo.plots.tables import text_on

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "#efefef"
GAP = 2.0
LEGEND_GAP = 14.0


@dataclass(frozen=True, slots=True)
class MapBubble:
    """One bubble: the cell it stands in, its count, and its place and radius in points."""

    row: str
    column: str
    group: str
    count: int
    x: float
    y: float
    radius: float
    colour: str
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
    keys, title, notes : tuple
        Legend, lines above and below.
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
    keys: tuple[Key, ...]
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
    heading = top - 6.0 - max(len(c.label) for c in plan.columns) * LINE_HEIGHT - 0.5 * LINE_HEIGHT
    items.append(Text(left, heading, plan.column_title, TEXT_SIZE, True))
    items.append(Text(MARGIN, top - 6.0, plan.row_title, TEXT_SIZE, True))
    total_x = right + 8.0 + text_width("Total", TEXT_SIZE, True)
    items.append(Text(total_x, top - 6.0, "Total", TEXT_SIZE, True, align="right"))
    for column in plan.columns:
        x = (column.low + column.high) / 2
        for i, text in enumerate(reversed(column.label)):
            items.append(Text(x, top - 6.0 - i * LINE_HEIGHT, text, TEXT_SIZE, align="center"))
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
    items += legend_items(plan.keys, total_x + LEGEND_GAP, top, TEXT_SIZE, LINE_HEIGHT)
    items += note_items(plan.notes, plan.height)
    panel = Panel(left, right, top, bottom, 0.0, float(len(plan.columns)), 0.0, float(len(plan.rows)))
    return make_page(plan.width, plan.height, items, panel)


def _bubble_items(bubble: MapBubble) -> list[Item]:
    dot = Dot(bubble.x, bubble.y, "circle", 2 * bubble.radius, bubble.colour, bubble.colour, 0.0)
    baseline = middle(bubble.y, TEXT_SIZE)
    if bubble.number_inside:
        colour = text_on(bubble.colour)
        return [dot, Text(bubble.x, baseline, str(bubble.count), TEXT_SIZE, True, colour, "center")]
    return [dot, Text(bubble.x + bubble.radius + GAP, baseline, str(bubble.count), TEXT_SIZE)]


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
