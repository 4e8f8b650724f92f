"""Grids of cells on plain Axes: rows and columns at whole numbers, their names as matplotlib's tick labels.

A kind of grid only writes cells: a fill, bubbles with their numbers, lines of text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.plots.canvas.chart import MARKERS
from metaexo.plots.canvas.fonts import HINTED, plain
from metaexo.plots.canvas.measured import MARGIN, beside, needed_height, open_axes, too_small
from metaexo.plots.canvas.plan import Plan, remember
from metaexo.plots.canvas.theme import Theme
from metaexo.plots.table.plan import sign
from metaexo.plots.table.rows import Key

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GAP = 5.0
LABEL_SHARE, LEAST_SHARE = 0.34, 0.12  # of the width for names of rows
LONGEST = 120.0  # most points for an upright heading in one line
GridKind = TypeVar("GridKind", bound="Grid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A mark with its number inside or beside it, `dx` and `dy` points right of and below the middle."""

    shape: str
    size: float
    color: str
    text: str = ""
    inside: bool = True
    dx: float = 0.0
    dy: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a cell holds; of its lines the first is bold. `fill` and colours are "#rrggbb"."""

    fill: str = ""
    lines: tuple[str, ...] = ()
    bold: bool = True
    corner: str = ""
    bubbles: tuple[Bubble, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid(Plan):
    """What a grid of cells shows.

    Attributes
    ----------
    rows, columns : tuple of str
        Names of the rows from top to bottom, and of the columns from left to right.
    cells : tuple of tuple of Cell
        One tuple per row.
    row_title, column_title : str
        What rows and columns are.
    keys : tuple of Key
        Entries of the legend.
    row_totals, column_totals : tuple of str
        Texts at the right of the rows and below the columns; empty for none.
    grand_total : str
        Text where these two meet.
    fields, records, types : tuple, tuple, mapping
        Names of the columns, lines and types of :meth:`to_frame`.
    cell : tuple of float
        Least width and height of a cell in points.
    summary : str
        What is seen, in words.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    row_title: str
    column_title: str
    keys: tuple[Key, ...] = ()
    row_totals: tuple[str, ...] = ()
    column_totals: tuple[str, ...] = ()
    grand_total: str = ""
    fields: tuple[str, ...]
    records: tuple[tuple[Any, ...], ...]
    types: Mapping[str, str] = field(default_factory=dict)
    cell: tuple[float, float]
    summary: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return what the cells hold as a long table."""
        import pandas as pd

        return pd.DataFrame(list(self.records), columns=list(self.fields)).astype(dict(self.types))

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        size = f"{plural(len(self.rows), 'row')} by {plural(len(self.columns), 'column')}"
        return " ".join(part for part in (self.summary, f"Grid of {size}.") if part)

    @property
    def upright(self) -> bool:
        """Whether the headings of the columns stand upright on a page of the planned width."""
        return _sides(self, 72 * self.width - 2 * MARGIN).upright

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the grid; see :meth:`metaexo.plots.Plan.draw`."""
        with self.theme.context():
            one, room = open_axes(self, ax)
            sides = _sides(self, room.width)
            high = room.height - sides.top - sides.bottom
            if high < 0.99 * sides.row * len(self.rows) or sides.column < 0.99 * self.cell[0]:
                raise too_small(self, room)
            right = room.left + sides.left + sides.column * len(self.columns)
            place = room.left + sides.left, room.top + sides.top, right, room.bottom - sides.bottom
            one.set_position(room.position(*place))
            _draw_cells(one, self, sides)
            _draw_around(one, self, sides)
        return remember(self, one)


@dataclass(frozen=True, slots=True)
class _Sides:
    """Points on each side of the cells, size of a cell, and what was broken into lines for it."""

    left: float
    top: float
    bottom: float
    column: float
    row: float
    labels: tuple[tuple[str, ...], ...]
    headings: tuple[tuple[str, ...], ...]
    upright: bool
    legend: tuple[int, float]  # entries side by side, and its height


def fits(grid: Grid, height: float | None = None) -> bool:
    """Return whether a grid fits in its width, and in a height in inches."""
    wide = _sides(grid, 72 * grid.width - 2 * MARGIN).column >= grid.cell[0]
    return wide and (height is None or sized(grid, None).height <= height)


def sized(grid: GridKind, height: float | None) -> GridKind:
    """Return a grid with the height that it needs, or the one asked for; refuse what is too wide.

    Raises InputError if the columns do not fit, with a width that is large enough.
    """
    sides = _sides(grid, 72 * grid.width - 2 * MARGIN)
    if sides.column < grid.cell[0]:
        wide = (sides.left + _after(grid, grid.theme) + grid.cell[0] * len(grid.columns) + 2 * MARGIN) / 72
        raise InputError(
            f"{len(grid.columns)} columns need {wide:.2f} inches, and there are {grid.width:g}",
            "columns that fit beside the names of the rows",
            f"choose width={math.ceil(10 * wide) / 10:g} or more, or join columns",
        )
    body = sides.top + sides.bottom + sides.row * len(grid.rows)
    return replace(grid, height=needed_height(grid, body) if height is None else height)


def _after(grid: Grid, theme: Theme) -> float:
    """Return the room of the totals at the right of the rows."""
    texts = ("Total", *grid.row_totals) if grid.row_totals else ()
    return max((HINTED * theme.width(text, True, theme.small) + GAP for text in texts), default=0.0)


def _sides(grid: Grid, width: float) -> _Sides:
    """Return what stands around the cells in a room of a width in points."""
    theme = grid.theme
    small, line = theme.small, 1.22 * theme.small
    left_over = width - _after(grid, theme) - grid.cell[0] * len(grid.columns) - GAP
    most = min(max(left_over / HINTED, LEAST_SHARE * width), LABEL_SHARE * width)
    labels = [theme.wrap(name, most, size=small) for name in grid.rows]
    texts = [(text, False) for lines in labels for text in lines]
    texts += [(grid.row_title, True), *([("Total", True)] if grid.column_totals else [])]
    left = max(HINTED * theme.width(text, bold, small) for text, bold in texts) + GAP
    room = width - left - _after(grid, theme)
    column = room / len(grid.columns)
    words = [word for name in grid.columns for word in name.split()]
    upright = max((HINTED * theme.width(word, size=small) for word in words), default=0.0) > column - 4.0
    length = LONGEST if upright else column - 4.0
    headings = [theme.wrap(name, length, size=small) for name in grid.columns]
    while upright and max(map(len, headings)) > max(1, int(column / line)):
        length *= 1.2
        headings = [theme.wrap(name, length, size=small) for name in grid.columns]
    if upright:
        top = max(HINTED * theme.width(text, size=small) for lines in headings for text in lines)
    else:
        top = line * max(map(len, headings))
    widest = max((theme.width(key.label, size=small) for key in grid.keys), default=0.0) + 4.0 * small
    side_by_side = max(1, min(len(grid.keys), int(width / widest)))
    deep = (math.ceil(len(grid.keys) / side_by_side) * 1.5 + 0.4) * small if grid.keys else 0.0
    titled = 1.5 * line if grid.column_title else 0.0
    row = max(grid.cell[1], max(map(len, labels)) * line + 3.0)
    bottom = 1.7 * line if grid.column_totals else 2.0
    legend = (side_by_side, deep)
    edges = left, deep + titled + top + GAP, bottom
    return _Sides(
        *edges, min(column, 3.2 * grid.cell[0]), row, tuple(labels), tuple(headings), upright, legend
    )


def _draw_cells(ax: Axes, grid: Grid, sides: _Sides) -> None:
    """Draw fills, lines between cells, bubbles and texts."""
    from matplotlib.collections import PolyCollection

    theme = grid.theme
    places = [
        (float(j), float(i), cell) for i, cells in enumerate(grid.cells) for j, cell in enumerate(cells)
    ]
    areas = [
        ([(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)], cell.fill)
        for x, y, cell in places
        if cell.fill
    ]
    fills = PolyCollection([a for a, _ in areas], facecolors=[c for _, c in areas], linewidths=0, zorder=1)
    ax.add_collection(fills, autolim=False)
    ends = (-0.5, len(grid.columns) - 0.5), (-0.5, len(grid.rows) - 0.5)
    look: dict[str, Any] = {"colors": theme.pale, "linewidths": 0.5, "zorder": 1.5, "clip_on": False}
    ax.hlines([i - 0.5 for i in range(len(grid.rows) + 1)], *ends[0], **look)
    ax.vlines([j - 0.5 for j in range(len(grid.columns) + 1)], *ends[1], **look)
    for x, y, cell in places:
        _draw_texts(ax, (x, y), cell, theme)
    bubbles = [
        (j + one.dx / sides.column, i + one.dy / sides.row, one)
        for j, i, cell in places
        for one in cell.bubbles
    ]
    for shape in dict.fromkeys(one.shape for *_, one in bubbles):
        group = [(x, y, one) for x, y, one in bubbles if one.shape == shape]
        colors = [one.color for *_, one in group]
        ax.scatter(
            [x for x, *_ in group], [y for _, y, _ in group], s=[one.size**2 for *_, one in group],
            marker=MARKERS[shape], c=colors, linewidths=0, zorder=2,
        )  # fmt: skip
    for across, down, one in bubbles:
        _write(ax, one.text, (across, down), (0.0 if one.inside else one.size / 2 + 2.0, 0.0), theme, one)
    ax.set_xlim(-0.5, len(grid.columns) - 0.5)
    ax.set_ylim(len(grid.rows) - 0.5, -0.5)


def _write(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], theme: Theme, of: Bubble
) -> None:
    """Write the number of a bubble inside or beside it."""
    letters = theme.font(text, of.inside, theme.small)
    ax.annotate(
        text, at, offset, "data", "offset points", ha="center" if of.inside else "left", va="center_baseline",
        color=theme.text_on(of.color) if of.inside else theme.ink, fontproperties=letters, zorder=3,
    )  # fmt: skip


def _draw_texts(ax: Axes, at: tuple[float, float], cell: Cell, theme: Theme) -> None:
    """Write the lines and the corner of a cell."""
    ink = theme.text_on(cell.fill) if cell.fill else theme.grey
    step = 1.22 * theme.small
    for i, text in enumerate(cell.lines):
        offset = (0.0, ((len(cell.lines) - 1) / 2 - i) * step)
        letters = theme.font(text, cell.bold and i == 0, theme.small)
        ax.annotate(
            text, at, offset, "data", "offset points", ha="center", va="center_baseline", color=ink,
            fontproperties=letters, zorder=3,
        )  # fmt: skip
    if cell.corner:
        corner = (at[0] - 0.5, at[1] - 0.5)
        ax.annotate(
            cell.corner, corner, (3.0, -2.0), "data", "offset points", ha="left", va="top", color=ink,
            fontproperties=theme.font(cell.corner, size=theme.small), zorder=3,
        )  # fmt: skip


def _draw_around(ax: Axes, grid: Grid, sides: _Sides) -> None:
    """Write names of rows and columns, titles and totals, and draw the legend."""
    theme = grid.theme
    small, line = theme.small, 1.22 * theme.small
    ax.set_frame_on(False)
    ax.tick_params(length=0, pad=2, bottom=False, labelbottom=False, labeltop=True)
    ax.set_yticks(range(len(grid.rows)), labels=["\n".join(map(plain, lines)) for lines in sides.labels])
    ax.set_xticks(range(len(grid.columns)), labels=["\n".join(map(plain, lines)) for lines in sides.headings])
    if sides.upright:
        ax.tick_params(axis="x", labelrotation=90)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_fontproperties(theme.font(label.get_text(), size=small))
    right, end = len(grid.columns) - 0.5, len(grid.rows) - 0.5
    above = sides.top - sides.legend[1] - GAP - 0.75 * line
    beside(ax, grid.column_title, (-0.5, -0.5), (0.0, above + GAP), theme, bold=True)
    beside(ax, grid.row_title, (-0.5, -0.5), (-GAP, 2.0), theme, ha="right", va="bottom", bold=True)
    if grid.row_totals:
        beside(ax, "Total", (right, -0.5), (GAP, 2.0), theme, va="bottom", bold=True)
        for i, text in enumerate(grid.row_totals):
            beside(ax, text, (right, i), (GAP, 0.0), theme)
        beside(ax, grid.grand_total, (right, end), (GAP, -3.0), theme, va="top", bold=True)
    if grid.column_totals:
        beside(ax, "Total", (-0.5, end), (-GAP, -3.0), theme, ha="right", va="top", bold=True)
        for j, text in enumerate(grid.column_totals):
            beside(ax, text, (j, end), (0.0, -3.0), theme, ha="center", va="top")
    if grid.keys:
        handles, labels = [sign(key, theme) for key in grid.keys], [plain(key.label) for key in grid.keys]
        wide, high = sides.column * len(grid.columns), sides.row * len(grid.rows)
        legend = ax.legend(
            handles, labels, loc="upper left", borderpad=0.0, borderaxespad=0.0, ncols=sides.legend[0],
            bbox_to_anchor=(-sides.left / wide, 1.0 + sides.top / high), columnspacing=1.5, handletextpad=0.5,
        )  # fmt: skip
        for entry in legend.get_texts():
            entry.set_fontproperties(theme.font(entry.get_text(), size=small))
