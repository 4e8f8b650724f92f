"""Grids of what can be estimated: two factors crossed, and groups of levels that no study links.

Places and colours for a grid of what can be estimated.

The plan of a grid of what can be estimated, and its way to a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity import AttributionResults, Estimability
from metaexo.heterogeneity import estimability as find_estimability
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas.canvas import draw
from metaexo.plots.canvas.fonts import (
    CAP_HEIGHT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    PALETTE,
    SMALL_SIZE,
    TEXT_SIZE,
    TRACK,
    WHITE,
    text_on,
    text_width,
    wrap,
    wrap_whole_words,
)
from metaexo.plots.canvas.furniture import (
    Key,
    legend_rows,
    legend_rows_height,
    legend_rows_items,
    note_items,
    note_lines,
    notes_height,
    title_height,
    title_items,
    title_lines,
)
from metaexo.plots.canvas.page import (
    Area,
    Item,
    Line,
    Page,
    Panel,
    Text,
    lines_of_text,
    make_page,
    middle,
    snap,
)
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.words import title_of, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FACTORS = ("source", "isolation")


@checked
def estimability_plan(
    source: EffectSizes | AttributionResults | Estimability,
    factors: Sequence[str] = FACTORS,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    wording: Mapping[str, str] | None = None,
) -> EstimabilityPlan:
    """Return what a grid of two crossed factors shows, without drawing it.

    Use it before a model with both factors: each cell has its studies (m) and effects (k); the shade says
    what can be estimated within it, the colour to which group of linked levels it belongs. Only with a
    single group can the two factors be told apart.

    Parameters
    ----------
    source : EffectSizes, AttributionResults or Estimability
        What is shown. Of an attribution to several factors the first two are.
    factors : two str
        Columns of the effects, for rows and columns of the grid; for effects only.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    wording : mapping of str to str, optional
        Words for levels.

    Returns
    -------
    EstimabilityPlan
        Cells with their places.

    Raises
    ------
    InputError
        If there are not two factors.
    UnknownChoiceError
        If a factor is not a column.

    References
    ----------
    Weeks, D. L., Williams, D. R. (1964). https://doi.org/10.1080/00401706.1964.10490188

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> plan = mx.plots.estimability_plan(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    >>> [(cell.row, cell.column, cell.m, cell.group) for cell in plan.cells if cell.m]
    [('milk', 'UC', 3, 1), ('plant', 'SEC', 3, 2)]
    """
    found = _read(source, tuple(factors))
    return lay_out_grid(found, wording or {}, title, notes)


@checked
def estimability(
    source: EffectSizes | AttributionResults | Estimability | EstimabilityPlan,
    factors: Sequence[str] = FACTORS,
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw a grid of two crossed factors and of what can be estimated from it.

    Parameters
    ----------
    source : EffectSizes, AttributionResults, Estimability or EstimabilityPlan
        What is shown; a plan is drawn as it is.
    factors : two str
        As for :func:`estimability_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`estimability_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes; its coordinates are points of the page, and its limits cannot be changed.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> data = pd.DataFrame({"source": ["plant"] * 3 + ["milk"] * 3, "isolation": ["SEC"] * 3 + ["UC"] * 3})
    >>> ax = mx.plots.estimability(mx.EffectSizes([1, 2, 3, 4, 5, 6], [0.1] * 6, data=data))
    """
    asked = choices if factors == FACTORS else choices | {"factors": factors}
    plan = plan_of(EstimabilityPlan, estimability_plan, source, asked)
    return draw(estimability_page(plan), ax, fixed=True)


def _read(source: EffectSizes | AttributionResults | Estimability, factors: tuple[str, ...]) -> Estimability:
    """Return what is shown, with its first two factors.

    Raises
    ------
    InputError
        If there are not two factors.
    """
    if isinstance(source, Estimability):
        found = source
    elif isinstance(source, AttributionResults):
        found = source.estimability
        if len(found.factors) > 2:
            found = find_estimability(source.effects, found.factors[:2], found.min_studies)
    elif isinstance(source, EffectSizes):
        found = find_estimability(source, factors)
    else:
        raise InputError(
            f"a grid cannot be made of {type(source).__name__}",
            "EffectSizes, or what mx.attribute_heterogeneity(...) returns",
        )
    if len(found.factors) != 2:
        raise InputError(f"a grid of the factors {', '.join(found.factors)}", "two factors, rows and columns")
    return found


CELL_HEIGHT, NARROWEST_CELL, NARROWEST, WIDE = 28.0, 40.0, 380.0, 620.0
NUMBER_ROOM = 18.0
LETTERS, UPRIGHT_LETTERS, ROW_LETTERS = 13, 20, 26
EMPTY, ASIDE, SHADE = WHITE, TRACK, "#4d4d4d"
COLOURS = tuple(colour for colour in PALETTE if colour != "#000000")
# How much of its group's colour a cell of one, of two, and of three studies or more has.
TINTS = {1: 0.25, 2: 0.55, 3: 1.0}
STATES = {1: "one study", 2: "two: a mean", 3: "three or more: a mean and heterogeneity"}


def lay_out_grid(
    found: Estimability, wording: Mapping[str, str], title: str, notes: Sequence[str]
) -> EstimabilityPlan:
    """Return the plan of a grid of two factors."""
    orders = [_order(found, side) for side in (0, 1)]
    titles = [title_of(factor) for factor in found.factors]
    labels = [wrap(words(level, wording), ROW_LETTERS) for level in orders[0]]
    widest = max(
        [
            text_width(titles[0], TEXT_SIZE, True),
            *(text_width(t, TEXT_SIZE) for label in labels for t in label),
        ]
    )
    left = MARGIN + math.ceil(widest) + 10.0
    narrowest = NARROWEST_CELL + (NUMBER_ROOM if len(found.groups) > 1 else 0.0)
    columns = _columns(orders[1], left, wording, narrowest, upright=False)
    upright = columns[-1].high > WIDE
    if upright:
        columns = _columns(orders[1], left, wording, narrowest, upright=True)
    heading = _heading_height(columns, upright)
    width = float(math.ceil(max(columns[-1].high + MARGIN, NARROWEST)))
    above, below = title_lines(title, width), note_lines([*_notes(found), *notes], width)
    keys = legend_rows(_keys(found), width, TEXT_SIZE)
    over = title_height(above) + legend_rows_height(keys, LINE_HEIGHT) + 1.4 * LINE_HEIGHT
    rows = _rows(orders[0], labels, float(math.ceil(MARGIN + over + heading + HEADING_GAP)))
    return EstimabilityPlan(
        rows=rows,
        columns=columns,
        cells=_cells(found, rows, columns),
        row_title=titles[0],
        column_title=titles[1],
        upright=upright,
        heading=heading,
        keys=keys,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(rows[-1].high + 8.0 + notes_height(below))),
    )


def tinted(colour: str, strength: float) -> str:
    """Return a colour mixed with white.

    Examples
    --------
    >>> tinted("#0072B2", 1.0), tinted("#0072B2", 0.0)
    ('#0072b2', '#ffffff')
    """
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + strength * (part - 255)):02x}" for part in parts)


def _order(found: Estimability, side: int) -> list[str]:
    """Return the levels of a factor, those of the largest group and of most studies first."""
    group, studies = dict[str, int](), dict[str, int]()
    for cell in found.cells:
        level = cell.levels[side]
        studies[level] = studies.get(level, 0) + cell.m
        if cell.group is not None:
            group[level] = cell.group
    usual = levels_of(studies)
    return sorted(studies, key=lambda level: (group.get(level, len(studies)), usual.index(level)))


def _cells(
    found: Estimability, rows: Sequence[GridLine], columns: Sequence[GridLine]
) -> tuple[GridCell, ...]:
    by_level = {cell.levels: cell for cell in found.cells}
    placed = []
    for row in rows:
        for column in columns:
            cell = by_level[row.name, column.name]
            placed.append(
                GridCell(
                    row=row.name,
                    column=column.name,
                    k=cell.k,
                    m=cell.m,
                    estimable=cell.estimable,
                    group=None if cell.group is None else cell.group + 1,
                    colour=_colour(cell.m, cell.group),
                    left=column.low,
                    right=column.high,
                    top=row.low,
                    bottom=row.high,
                    numbered=len(found.groups) > 1,
                )
            )
    return tuple(placed)


def _colour(m: int, group: int | None) -> str:
    if m == 0:
        return EMPTY
    return ASIDE if group is None else tinted(COLOURS[group % len(COLOURS)], TINTS[min(m, 3)])


def _columns(
    levels: Sequence[str], x: float, wording: Mapping[str, str], narrowest: float, upright: bool
) -> tuple[GridLine, ...]:
    """Return the columns, each wide enough for its heading and for its counts."""
    columns = []
    for level in levels:
        name = words(level, wording)
        label = wrap(name, UPRIGHT_LETTERS) if upright else wrap_whole_words(name, LETTERS)
        across = LINE_HEIGHT * len(label) if upright else max(text_width(t, TEXT_SIZE) for t in label)
        width = math.ceil(max(across + 10.0, narrowest))
        columns.append(GridLine(level, label, x, x + width))
        x += width
    return tuple(columns)


def _heading_height(columns: Sequence[GridLine], upright: bool) -> float:
    """Return the height of the headings of the columns, in points."""
    if upright:
        return max(text_width(line, TEXT_SIZE) for column in columns for line in column.label)
    return max(len(column.label) for column in columns) * LINE_HEIGHT


def _rows(levels: Sequence[str], labels: Sequence[tuple[str, ...]], y: float) -> tuple[GridLine, ...]:
    rows = []
    for level, label in zip(levels, labels, strict=True):
        height = max(CELL_HEIGHT, len(label) * LINE_HEIGHT + 6.0)
        rows.append(GridLine(level, label, snap(y), snap(y + height)))
        y += height
    return tuple(rows)


def _keys(found: Estimability) -> list[Key]:
    """Return the legend: shades, groups that no study links, what is set aside."""
    groups = range(len(found.groups))
    used = {min(cell.m, 3) for cell in found.cells if cell.group is not None}
    base = COLOURS[0] if len(groups) == 1 else SHADE
    keys = [Key(STATES[m], tinted(base, TINTS[m]), "area") for m in sorted(used)]
    if len(groups) > 1:
        keys += [Key(f"linked group {g + 1}", COLOURS[g % len(COLOURS)], "area") for g in groups]
    if any(cell.m and cell.group is None for cell in found.cells):
        keys.append(Key("set aside: a level of too few studies", ASIDE, "area"))
    return keys


def _notes(found: Estimability) -> list[str]:
    """Return what the grid tells, below it."""
    first = "m: studies; k: effects."
    if any(cell.m and cell.group is None for cell in found.cells):
        first += " In brackets: set aside."
    if len(found.groups) > 1:
        first += " The number in a corner is that of the linked group."
    return [first, *(f"{line[:1].upper()}{line[1:]}." for line in found.words()[1:])]


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
