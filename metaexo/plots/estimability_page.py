"""The plan of a grid of what can be estimated, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.plots.fonts import CAP_HEIGHT
from metaexo.plots.furniture import (
    Key,
    legend_rows_height,
    legend_rows_items,
    note_items,
    title_height,
    title_items,
)
from metaexo.plots.page import Area, Item, Line, Page, Panel, Text, lines_of_text, make_page, middle
from metaexo.plots.style import GREY, LINE_HEIGHT, MARGIN, PALE, SMALL_SIZE, TEXT_SIZE, text_on

if TYPE_CHECKING:
    import pandas as pd

HEADING_GAP = 6.0


@dataclass(frozen=True, slots=True)
class GridCell:
    """A cell: its row and column, counts, what can be estimated, group, colour, edges in points.

    The number of the group stands in the cell if there are several (`numbered`).
    """

    row: str
    column: str
    k: int
    m: int
    estimable: str
    group: int | None
    colour: str
    left: float
    right: float
    top: float
    bottom: float
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class GridLine:
    """A row or a column: its name, lines of its label, edges in points."""

    name: str
    label: tuple[str, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EstimabilityPlan:
    """What a grid of estimability shows, with its places in points from the upper left corner.

    Attributes
    ----------
    rows, columns : tuple of GridLine
        Levels of the two factors.
    cells : tuple of GridCell
        All combinations.
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

    rows: tuple[GridLine, ...]
    columns: tuple[GridLine, ...]
    cells: tuple[GridCell, ...]
    row_title: str
    column_title: str
    upright: bool
    heading: float
    keys: tuple[tuple[Key, ...], ...]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row a cell: row, column, k, m, group, estimable."""
        import pandas as pd

        rows = [(c.row, c.column, c.k, c.m, c.group, c.estimable) for c in self.cells]
        table = pd.DataFrame(rows, columns=["row", "column", "k", "m", "group", "estimable"])
        return table.astype({"group": "Int64"})


def estimability_page(plan: EstimabilityPlan) -> Page:
    """Return the page of a plan."""
    left, right = plan.columns[0].low, plan.columns[-1].high
    top, bottom = plan.rows[0].low, plan.rows[-1].high
    legend_y = MARGIN + title_height(plan.title)
    title_y = legend_y + legend_rows_height(plan.keys, LINE_HEIGHT) + 0.8 * LINE_HEIGHT
    items: list[Item] = [
        *title_items(plan.title),
        *legend_rows_items(plan.keys, MARGIN, legend_y, TEXT_SIZE, LINE_HEIGHT),
        Text(left, title_y, plan.column_title, TEXT_SIZE, True),
        Text(MARGIN, top - HEADING_GAP, plan.row_title, TEXT_SIZE, True),
    ]
    for column in plan.columns:
        items += _heading(plan, column, top - HEADING_GAP)
    for row in plan.rows:
        items += lines_of_text(MARGIN, (row.low + row.high) / 2, row.label, LINE_HEIGHT)
    for cell in plan.cells:
        items += _cell_items(cell)
    across = [row.low for row in plan.rows] + [bottom]
    down = [column.low for column in plan.columns] + [right]
    items += [Line(((left, y), (right, y)), 0.5, PALE) for y in across]
    items += [Line(((x, top), (x, bottom)), 0.5, PALE) for x in down]
    items += note_items(plan.notes, plan.height)
    panel = Panel(left, right, top, bottom, left, right, top, bottom)
    return make_page(plan.width, plan.height, items, panel)


def _heading(plan: EstimabilityPlan, column: GridLine, y: float) -> list[Item]:
    """Return the lines of the heading of a column, just above `y`."""
    x = (column.low + column.high) / 2
    if not plan.upright:
        lines = enumerate(reversed(column.label))
        return [Text(x, y - i * LINE_HEIGHT, text, TEXT_SIZE, align="center") for i, text in lines]
    first = middle(x, TEXT_SIZE) - (len(column.label) - 1) / 2 * LINE_HEIGHT
    return [
        Text(first + i * LINE_HEIGHT, y, text, TEXT_SIZE, upright=True) for i, text in enumerate(column.label)
    ]


def _cell_items(cell: GridCell) -> list[Item]:
    corners = (
        (cell.left, cell.top),
        (cell.right, cell.top),
        (cell.right, cell.bottom),
        (cell.left, cell.bottom),
    )
    items: list[Item] = [Area(corners, cell.colour)]
    x, y = (cell.left + cell.right) / 2, (cell.top + cell.bottom) / 2
    if cell.m == 0:
        return [*items, Text(x, middle(y, TEXT_SIZE), "0", TEXT_SIZE, colour=GREY, align="center")]
    ink = text_on(cell.colour)
    first, second = y - 0.5 * LINE_HEIGHT, y + 0.5 * LINE_HEIGHT
    if cell.group is not None and cell.numbered:
        place = cell.top + 2.0 + CAP_HEIGHT * SMALL_SIZE
        items.append(Text(cell.left + 3.0, place, str(cell.group), SMALL_SIZE, colour=ink))
    aside = cell.group is None
    studies, effects = (f"({text})" if aside else text for text in (f"m = {cell.m}", f"k = {cell.k}"))
    return [
        *items,
        Text(x, middle(first, TEXT_SIZE), studies, TEXT_SIZE, not aside, ink, "center"),
        Text(x, middle(second, SMALL_SIZE), effects, SMALL_SIZE, False, ink, "center"),
    ]
