"""Grids of cells on plain Axes: rows and columns at whole numbers, their names as matplotlib's tick labels.

A kind of grid only writes cells: a fill, bubbles with their numbers, a mark with its sign, lines of text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.plots.canvas.fonts import HINTED, plain
from metaexo.plots.canvas.legend import SIGN, Key, draw_keys, lay_out_keys
from metaexo.plots.canvas.measured import MARGIN, needed_height, open_axes, too_small, write
from metaexo.plots.canvas.plan import Plan, further_pages, remember, rows_on_a_page
from metaexo.plots.canvas.theme import MARKERS, Theme
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GAP, BELOW, APART = 5.0, 3.0, 0.3  # points beside and below the cells; columns before one that stands apart
LABEL_SHARE, LEAST_SHARE = 0.38, 0.1  # of the width for names of rows
LONGEST = 120.0  # most points for an upright heading in one line
WIDEST = 3.2  # width of a cell over the least one
MOST_ROWS = 200
GridKind = TypeVar("GridKind", bound="Grid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A mark with its text inside or beside it, `dx` and `dy` points right of and below the middle."""

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


@dataclass(frozen=True, slots=True)
class Beside:
    """Texts at the right of the rows, or below the columns, with their heading."""

    heading: str
    texts: tuple[str, ...]


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Grid(Plan):
    """What a grid of cells shows.

    Attributes
    ----------
    rows, columns : tuple of str
        Names of the rows from top to bottom, and of the columns from left to right.
    cells : tuple of tuple of Cell
        One tuple per row.
    headings : tuple of str
        What stands above the columns; empty for their names.
    row_title, column_title : str
        What rows and columns are; empty for no such titles.
    keys : tuple of Key
        Entries of the legend.
    after, below : Beside or None
        Texts at the right of the rows, and below the columns.
    grand_total : str
        Text where these two meet.
    parted : bool
        Whether the last column stands apart, as that of the whole.
    fields, records, types : tuple, tuple, mapping
        Names of the columns, lines and types of :meth:`to_frame`.
    cell : tuple of float
        Least width and height of a cell in points.
    summary : str
        What is seen, in words.
    more : tuple of Grid
        The pages after this one.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...] = ()
    headings: tuple[str, ...] = ()
    row_title: str = ""
    column_title: str = ""
    keys: tuple[Key, ...] = ()
    after: Beside | None = None
    below: Beside | None = None
    grand_total: str = ""
    parted: bool = False
    fields: tuple[str, ...]
    records: tuple[tuple[Any, ...], ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    cell: tuple[float, float] = (0.0, 0.0)
    summary: str = ""
    more: tuple[Grid, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return what the cells hold as a long table."""
        import pandas as pd

        records = [record for page in (self, *self.more) for record in page.records]
        return pd.DataFrame(records, columns=list(self.fields)).astype(dict(self.types))

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of rows and columns, and the words of the legend."""
        return (*self.rows, *self.columns, *(key.label for key in self.keys))

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        return self.summary

    @property
    def places(self) -> tuple[float, ...]:
        """Where the columns have their middle, in columns."""
        apart = len(self.columns) - 1 if self.parted else len(self.columns)
        return tuple(j + (APART if j >= apart else 0.0) for j in range(len(self.columns)))

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
            right = room.left + sides.left + sides.column * (self.places[-1] + 1)
            place = room.left + sides.left, room.top + sides.top, right, room.bottom - sides.bottom
            one.set_position(room.position(*place))
            _draw_cells(one, self, sides, high)
            _draw_around(one, self, sides, high)
            others = further_pages(self.more, Grid.draw)
        return remember(self, one, others)


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
    below: tuple[str, ...]
    turned: bool  # whether the texts below the columns stand upright
    keys: tuple[Key, ...]
    legend: tuple[int, float]  # entries side by side, and its height


def with_signs(grid: GridKind, words: Sequence[Sequence[str]], keys: Mapping[str, Key]) -> GridKind:
    """Return a grid of studies whose cells have the marks and signs of words, as the legend has them.

    `words`: of each cell, one sequence per row.
    `keys`: of each word, in the order of the legend.
    """
    theme, size = grid.theme, SIGN * grid.theme.small
    marks = {
        word: Bubble(shape=key.shape, size=size, color=theme.color(key.color), text=key.text)
        for word, key in keys.items()
    }
    records = [
        (row, column, word, keys[word].text)
        for row, said in zip(grid.rows, words, strict=True)
        for column, word in zip(grid.columns, said, strict=True)
    ]
    tally = Counter(word for _, _, word, _ in records)
    told = ", ".join(f"{key.label.casefold()} {tally[word]}" for word, key in keys.items())
    studies = plural(len(grid.rows), "study", "studies")
    return replace(
        grid,
        cells=tuple(tuple(Cell(bubbles=(marks[word],)) for word in said) for said in words),
        keys=tuple(keys.values()),
        records=tuple(records),
        cell=(size + 3.0, size + 2.0),
        summary=f"{studies} by {plural(len(grid.columns), grid.fields[1])}: {told}.",
    )


def size_words(rows: Sequence[str], columns: Sequence[str]) -> str:
    """Return how large a grid is, in words."""
    return f"{plural(len(rows), 'row')} by {plural(len(columns), 'column')}"


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
        wide = (sides.left + _after(grid) + grid.cell[0] * (grid.places[-1] + 1) + 2 * MARGIN) / 72
        raise InputError(
            f"{len(grid.columns)} columns need {wide:.2f} inches, and there are {grid.width:g}",
            "columns that fit beside the names of the rows",
            f"choose width={math.ceil(10 * wide) / 10:g} or more, or join columns",
        )
    body = sides.top + sides.bottom + sides.row * len(grid.rows)
    return replace(grid, height=needed_height(grid, body) if height is None else height)


def paged(grid: GridKind, height: float | None, pages: bool | int) -> GridKind:
    """Return a grid with its pages, sized; refuse more rows on one than can be read.

    `pages`: most rows on a page; True is 40. Texts below the columns stand on the last one.
    """
    most = rows_on_a_page(pages) or len(grid.rows)
    if most > MOST_ROWS:
        raise InputError(
            f"{most} rows in one figure",
            f"at most {MOST_ROWS}, so that their names can be read",
            "write pages=True for 40 rows on a page, or draw shares of the rows instead",
        )
    starts = range(0, len(grid.rows), most)
    first, *others = (sized(_page(grid, i, most, len(starts)), height) for i in starts)
    return replace(first, more=tuple(others))


def _page(grid: GridKind, start: int, most: int, count: int) -> GridKind:
    """Return the rows of one page."""
    if count == 1:
        return grid
    part, number, each = slice(start, start + most), start // most + 1, len(grid.columns)
    return replace(
        grid,
        title=f"{grid.title} ({number} of {count})" if grid.title else "",
        rows=grid.rows[part],
        cells=grid.cells[part],
        records=grid.records[start * each : (start + most) * each],
        after=grid.after and Beside(grid.after.heading, grid.after.texts[part]),
        below=grid.below if number == count else None,
    )


def _after(grid: Grid) -> float:
    """Return the room of the texts at the right of the rows."""
    return _widest((grid.after.heading, *grid.after.texts) if grid.after else (), grid.theme, True, GAP)


def _widest(texts: Iterable[str], theme: Theme, bold: bool = False, more: float = 0.0) -> float:
    """Return the width of the widest of some texts, and a little more; 0 if there are none."""
    return max((HINTED * theme.width(text, bold, theme.small) + more for text in texts), default=0.0)


def _sides(grid: Grid, width: float) -> _Sides:
    """Return what stands around the cells in a room of a width in points."""
    theme, across = grid.theme, grid.places[-1] + 1
    small, line = theme.small, 1.22 * theme.small
    left_over = width - _after(grid) - grid.cell[0] * across - GAP
    most = min(max(left_over / HINTED, LEAST_SHARE * width), LABEL_SHARE * width)
    labels = [theme.wrap(name, most, size=small) for name in grid.rows]
    titles = grid.row_title, grid.below.heading if grid.below else ""
    left = max(_widest((text for lines in labels for text in lines), theme), _widest(titles, theme, True))
    left += GAP
    column = min((width - left - _after(grid)) / across, WIDEST * grid.cell[0])
    names = grid.headings or grid.columns
    upright = _widest((word for name in names for word in name.split()), theme) > column - 4.0
    length = LONGEST if upright else column - 4.0
    headings = [theme.wrap(name, length, size=small) for name in names]
    while upright and max(map(len, headings)) > max(1, int(column / line)):
        length *= 1.2
        headings = [theme.wrap(name, length, size=small) for name in names]
    if upright:
        top = _widest((text for lines in headings for text in lines), theme)
    else:
        top = line * max(map(len, headings))
    below = grid.below.texts if grid.below else ()
    turned = _widest((part for text in below for part in text.splitlines()), theme) > column - 3.0
    if turned:
        below = tuple(text.replace("\n", ", ") for text in below)
    deep = _widest(below, theme) if turned else line * max((len(t.splitlines()) for t in below), default=0)
    keys, side_by_side, legend = lay_out_keys(grid.keys, width / HINTED, theme)
    titled = 1.5 * line if grid.column_title else 0.0
    return _Sides(
        left=left,
        top=legend + titled + top + GAP,
        bottom=deep + 2 * BELOW if below else 2.0,
        column=column,
        row=max(grid.cell[1], max(map(len, labels)) * line + 3.0),
        labels=tuple(labels),
        headings=tuple(headings),
        upright=upright,
        below=below,
        turned=turned,
        keys=keys,
        legend=(side_by_side, legend),
    )


def _draw_cells(ax: Axes, grid: Grid, sides: _Sides, high: float) -> None:
    """Draw fills, lines between cells, bubbles and texts."""
    from matplotlib.collections import PolyCollection

    theme = grid.theme
    places = [
        (x, float(y), cell)
        for y, cells in enumerate(grid.cells)
        for x, cell in zip(grid.places, cells, strict=True)
    ]
    areas = [
        [(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)] for x, y, _ in places
    ]
    fills: Any = [cell.fill or "none" for *_, cell in places]
    boxes = PolyCollection(
        areas, facecolors=fills, edgecolors=theme.pale, linewidths=0.5, zorder=1, clip_on=False
    )
    ax.add_collection(boxes, autolim=False)
    for x, y, cell in places:
        _write_lines(ax, (x, y), cell, theme)
    step = high / len(grid.rows)
    bubbles = [(x + b.dx / sides.column, y + b.dy / step, b) for x, y, cell in places for b in cell.bubbles]
    for shape in dict.fromkeys(one.shape for *_, one in bubbles):
        group = [(x, y, one) for x, y, one in bubbles if one.shape == shape]
        colors = [one.color for *_, one in group]
        edges = [theme.edge(color) for color in colors]
        ax.scatter(
            [x for x, *_ in group], [y for _, y, _ in group], s=[one.size**2 for *_, one in group],
            marker=MARKERS[shape], c=colors, edgecolors=edges, zorder=2,
            linewidths=[0.8 * (one != two) for one, two in zip(colors, edges, strict=True)],
        )  # fmt: skip
    for x, y, one in bubbles:
        if one.inside:
            ink = theme.text_on(one.color)
            write(ax, one.text, (x, y), (0.0, 0.0), theme, ha="center", bold=True, color=ink, inside=True)
        else:
            write(ax, one.text, (x, y), (one.size / 2 + 2.0, 0.0), theme, inside=True)
    ax.set_xlim(-0.5, grid.places[-1] + 0.5)
    ax.set_ylim(len(grid.rows) - 0.5, -0.5)


def _write_lines(ax: Axes, at: tuple[float, float], cell: Cell, theme: Theme) -> None:
    """Write the lines and the corner of a cell."""
    ink = theme.text_on(cell.fill) if cell.fill else theme.grey
    for i, text in enumerate(cell.lines):
        up = ((len(cell.lines) - 1) / 2 - i) * 1.22 * theme.small
        bold = cell.bold and i == 0
        write(ax, text, at, (0.0, up), theme, ha="center", bold=bold, color=ink, inside=True)
    corner = at[0] - 0.5, at[1] - 0.5
    write(ax, cell.corner, corner, (3.0, -2.0), theme, va="top", color=ink, inside=True)


def _draw_around(ax: Axes, grid: Grid, sides: _Sides, high: float) -> None:
    """Write names of rows and columns, titles and texts beside them, and draw the legend."""
    theme = grid.theme
    ax.set_frame_on(False)
    ax.tick_params(length=0, pad=2, bottom=False, labelbottom=False, labeltop=True)
    ax.set_yticks(range(len(grid.rows)), labels=["\n".join(map(plain, lines)) for lines in sides.labels])
    ax.set_xticks(grid.places, labels=["\n".join(map(plain, lines)) for lines in sides.headings])
    if sides.upright:
        ax.tick_params(axis="x", labelrotation=90)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_fontproperties(theme.font(label.get_text(), size=theme.small))
    right, end = grid.places[-1] + 0.5, len(grid.rows) - 0.5
    above = sides.top - sides.legend[1] - 0.75 * 1.22 * theme.small
    write(ax, grid.column_title, (-0.5, -0.5), (0.0, above), theme, bold=True)
    write(ax, grid.row_title, (-0.5, -0.5), (-GAP, 2.0), theme, ha="right", va="bottom", bold=True)
    if grid.after:
        write(ax, grid.after.heading, (right, -0.5), (GAP, 2.0), theme, va="bottom", bold=True)
        for i, text in enumerate(grid.after.texts):
            write(ax, text, (right, i), (GAP, 0.0), theme)
    write(ax, grid.grand_total, (right, end), (GAP, -BELOW), theme, va="top", bold=True)
    if grid.below:
        turn = 90.0 * sides.turned
        write(ax, grid.below.heading, (-0.5, end), (-GAP, -BELOW), theme, ha="right", va="top", bold=True)
        for place, text in zip(grid.places, sides.below, strict=True):
            write(ax, text, (place, end), (0.0, -BELOW), theme, ha="center", va="top", turn=turn)
    if grid.keys:
        corner = -sides.left / (sides.column * (right + 0.5)), 1.0 + sides.top / high
        draw_keys(ax, sides.keys, theme, sides.legend[0], corner, ax.transAxes)
