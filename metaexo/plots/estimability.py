"""Grids of what can be estimated: two factors crossed, and groups of levels that no study links."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity import AttributionResults, Estimability
from metaexo.heterogeneity import estimability as find_estimability
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import drawing, surround
from metaexo.plots.canvas.fonts import (
    CAP_HEIGHT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALETTE,
    SMALL_SIZE,
    TEXT_SIZE,
    TRACK,
    WHITE,
    text_on,
    text_width,
    wrap,
)
from metaexo.plots.canvas.page import Item, Key, Page, Text, make_page, middle, rectangle, snap
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.words import title_of, words
from metaexo.plots.grid import (
    HEADING_GAP,
    GridLine,
    GridPlan,
    heading_height,
    heading_lines,
    heading_width,
    items_around,
    lines_between,
)

if TYPE_CHECKING:
    import pandas as pd

FACTORS = ("source", "isolation")
CELL_HEIGHT, NARROWEST_CELL, NARROWEST, WIDE = 28.0, 40.0, 380.0, 620.0
NUMBER_ROOM = 18.0
ROW_LETTERS = 26
EMPTY, ASIDE, SHADE = WHITE, TRACK, "#4d4d4d"
COLORS = tuple(color for color in PALETTE if color != "#000000")
# How much of its group's colour a cell of one, of two, and of three studies or more has.
TINTS = {1: 0.25, 2: 0.55, 3: 1.0}
STATES = {1: "one study", 2: "two: a mean", 3: "three or more: a mean and heterogeneity"}


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
    color: str
    left: float
    right: float
    top: float
    bottom: float
    numbered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimabilityPlan(GridPlan):
    """What a grid of estimability shows, with its places in points from the upper left corner.

    Attributes
    ----------
    cells : tuple of GridCell
        All combinations of the levels of the two factors.
    """

    cells: tuple[GridCell, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell: row, column, k, m, group, estimable."""
        import pandas as pd

        rows = [(c.row, c.column, c.k, c.m, c.group, c.estimable) for c in self.cells]
        table = pd.DataFrame(rows, columns=["row", "column", "k", "m", "group", "estimable"])
        return table.astype({"group": "Int64"})


@checked
def estimability_plan(
    source: EffectSizes | AttributionResults | Estimability,
    by: Sequence[str] = FACTORS,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    wording: Mapping[str, str] | None = None,
) -> EstimabilityPlan:
    """Return what a grid of two crossed factors shows, without drawing it.

    Use it before a model with both factors: each cell has its studies (m) and effects (k); the shade says
    what can be estimated within it, the colour to which group of linked levels it belongs. Only with a
    single group are the two factors separately estimable.

    Parameters
    ----------
    source : EffectSizes, AttributionResults or Estimability
        What is shown. Of an attribution to several factors the first two are.
    by : two str
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
    >>> ax = mx.plots.estimability(plan)
    """
    found = _read(source, tuple(by))
    return _laid_out(found, wording or {}, title, notes)


def _read(source: EffectSizes | AttributionResults | Estimability, by: tuple[str, ...]) -> Estimability:
    """Return what is shown, with its first two factors; raises InputError if there are not two factors."""
    if isinstance(source, Estimability):
        found = source
    elif isinstance(source, AttributionResults):
        found = source.estimability
        if len(found.by) > 2:
            found = find_estimability(source.effects, found.by[:2], found.min_studies)
    elif isinstance(source, EffectSizes):
        found = find_estimability(source, by)
    else:
        raise InputError(
            f"a grid cannot be made of {type(source).__name__}",
            "EffectSizes, or what mx.attribute_heterogeneity(...) returns",
        )
    if len(found.by) != 2:
        raise InputError(f"a grid of the factors {', '.join(found.by)}", "two factors, rows and columns")
    return found


def _laid_out(
    found: Estimability, wording: Mapping[str, str], title: str, notes: Sequence[str]
) -> EstimabilityPlan:
    """Return the plan of a grid of two factors."""
    orders = [_order(found, side) for side in (0, 1)]
    titles = [title_of(factor) for factor in found.by]
    labels = [wrap(words(level, wording), ROW_LETTERS) for level in orders[0]]
    widths = [text_width(line) for label in labels for line in label]
    left = MARGIN + math.ceil(max([text_width(titles[0], bold=True), *widths])) + 10.0
    narrowest = NARROWEST_CELL + (NUMBER_ROOM if len(found.groups) > 1 else 0.0)
    columns = _columns(orders[1], left, wording, narrowest, upright=False)
    upright = columns[-1].high > WIDE
    if upright:
        columns = _columns(orders[1], left, wording, narrowest, upright=True)
    heading = heading_height(columns, upright)
    width = float(math.ceil(max(columns[-1].high + MARGIN, NARROWEST)))
    around = surround(title, _keys(found), [*_notes(found), *notes], width)
    top = float(math.ceil(around.top + 1.4 * LINE_HEIGHT + heading + HEADING_GAP))
    rows = _rows(orders[0], labels, top)
    return EstimabilityPlan(
        **around.closed(rows[-1].high + 8.0),
        rows=rows,
        columns=columns,
        cells=_cells(found, rows, columns),
        row_title=titles[0],
        column_title=titles[1],
        upright=upright,
        heading=heading,
    )


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


def _columns(
    levels: Sequence[str], x: float, wording: Mapping[str, str], narrowest: float, upright: bool
) -> tuple[GridLine, ...]:
    """Return the columns, each wide enough for its heading and for its counts."""
    columns = []
    for level in levels:
        label = heading_lines(words(level, wording), upright)
        width = math.ceil(max(heading_width(label, upright), narrowest))
        columns.append(GridLine(level, label, x, x + width))
        x += width
    return tuple(columns)


def _rows(levels: Sequence[str], labels: Sequence[tuple[str, ...]], y: float) -> tuple[GridLine, ...]:
    rows = []
    for level, label in zip(levels, labels, strict=True):
        height = max(CELL_HEIGHT, len(label) * LINE_HEIGHT + 6.0)
        rows.append(GridLine(level, label, snap(y), snap(y + height)))
        y += height
    return tuple(rows)


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
                    color=_color(cell.m, cell.group),
                    left=column.low,
                    right=column.high,
                    top=row.low,
                    bottom=row.high,
                    numbered=len(found.groups) > 1,
                )
            )
    return tuple(placed)


def _color(m: int, group: int | None) -> str:
    if m == 0:
        return EMPTY
    return ASIDE if group is None else tinted(COLORS[group % len(COLORS)], TINTS[min(m, 3)])


def tinted(color: str, strength: float) -> str:
    """Return a colour mixed with white."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + strength * (part - 255)):02x}" for part in parts)


def _keys(found: Estimability) -> list[Key]:
    """Return the legend: shades, groups that no study links, what is set aside."""
    groups = range(len(found.groups))
    used = {min(cell.m, 3) for cell in found.cells if cell.group is not None}
    base = COLORS[0] if len(groups) == 1 else SHADE
    keys = [Key(STATES[m], tinted(base, TINTS[m]), "area") for m in sorted(used)]
    if len(groups) > 1:
        keys += [Key(f"linked group {g + 1}", COLORS[g % len(COLORS)], "area") for g in groups]
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


def estimability_page(plan: EstimabilityPlan) -> Page:
    """Return the page of a plan."""
    items = items_around(plan)
    for cell in plan.cells:
        items += _cell_items(cell)
    return make_page(plan.width, plan.height, items + lines_between(plan), plan.panel)


def _cell_items(cell: GridCell) -> list[Item]:
    items: list[Item] = [rectangle(cell.left, cell.top, cell.right, cell.bottom, cell.color)]
    x, y = (cell.left + cell.right) / 2, (cell.top + cell.bottom) / 2
    if cell.m == 0:
        return [*items, Text(x, middle(y), "0", color=GREY, align="center")]
    ink = text_on(cell.color)
    first, second = y - 0.5 * LINE_HEIGHT, y + 0.5 * LINE_HEIGHT
    if cell.group is not None and cell.numbered:
        place = cell.top + 2.0 + CAP_HEIGHT * SMALL_SIZE
        items.append(Text(cell.left + 3.0, place, str(cell.group), SMALL_SIZE, color=ink))
    aside = cell.group is None
    studies, effects = (f"({text})" if aside else text for text in (f"m = {cell.m}", f"k = {cell.k}"))
    return [
        *items,
        Text(x, middle(first), studies, TEXT_SIZE, not aside, ink, "center"),
        Text(x, middle(second, SMALL_SIZE), effects, SMALL_SIZE, False, ink, "center"),
    ]


estimability = drawing(
    estimability_plan,
    EstimabilityPlan,
    estimability_page,
    "Draw a grid of two crossed factors and of what can be estimated from it.",
    fixed=True,
)
