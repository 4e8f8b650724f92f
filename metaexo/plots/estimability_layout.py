"""Places and colours for a grid of what can be estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from metaexo.heterogeneity import Estimability
from metaexo.plots.estimability_page import HEADING_GAP, EstimabilityPlan, GridCell, GridLine
from metaexo.plots.fonts import text_width, wrap, wrap_whole_words
from metaexo.plots.furniture import (
    Key,
    legend_rows,
    legend_rows_height,
    note_lines,
    notes_height,
    title_height,
    title_lines,
)
from metaexo.plots.page import snap
from metaexo.plots.style import LINE_HEIGHT, MARGIN, PALETTE, TEXT_SIZE, TRACK, WHITE
from metaexo.plots.tables import levels_of
from metaexo.plots.wording import title_of, words

CELL_HEIGHT, NARROWEST_CELL, NARROWEST, WIDE = 28.0, 40.0, 380.0, 620.0
NUMBER_ROOM = 18.0
LETTERS, UPRIGHT_LETTERS, ROW_LETTERS = 13, 20, 26
EMPTY, ASIDE, SHADE = WHITE, TRACK, "#4d4d4d"
COLOURS = tuple(colour for colour in PALETTE if colour != "#000000")
# How much of its group's colour a cell of one, of two, and of three studies or more has.
TINTS = {1: 0.25, 2: 0.55, 3: 1.0}
STATES = {1: "one study", 2: "two: a mean", 3: "three or more: a mean and a spread"}


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
