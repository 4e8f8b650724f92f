"""Evidence-gap maps: which combinations of two things have been studied, and which never were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import NOT_REPORTED
from metaexo.inputs import read_numbers
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import drawing, surround
from metaexo.plots.canvas.fonts import (
    CAP_HEIGHT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALETTE,
    TEXT_SIZE,
    text_on,
    text_width,
    wrap,
)
from metaexo.plots.canvas.page import Dot, Item, Key, Page, Text, make_page, middle, rectangle, snap
from metaexo.plots.canvas.tables import column_of, levels_of
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
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "#efefef"
GAP, SLOT_GAP = 2.0, 5.0
LARGEST, CELL_HEIGHT, NARROWEST = 13.0, 18.0, 240.0
WIDE, NARROWER = 600.0, 0.8  # a wide map gets upright headings if they make it that much narrower
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
    color: str
    shape: str
    number_inside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceMapPlan(GridPlan):
    """What an evidence-gap map shows, with its places in points from the upper left corner.

    Attributes
    ----------
    bubbles : tuple of MapBubble
        One per combination that was studied; a combination without a bubble is a gap.
    total : int
        All that was counted.
    counted : str
        What is counted.
    """

    bubbles: tuple[MapBubble, ...]
    total: int
    counted: str

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


@dataclass(frozen=True, slots=True)
class _Sized:
    """A count with the radius of a disc of the area of its bubble, and whether its number stands inside."""

    count: int
    radius: float
    shape: str
    inside: bool

    @property
    def half(self) -> float:
        """Half the width of the bubble."""
        return self.radius * BUBBLES[self.shape][1]

    @property
    def right(self) -> float:
        """Room that bubble and number need on the right of the middle."""
        return self.half + (0.0 if self.inside else GAP + text_width(str(self.count), TEXT_SIZE))


_Found = dict[tuple[str, str, str], _Sized]
_Places = dict[tuple[str, str], float]


@checked
def evidence_map_plan(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    by: str | None = None,
    study: str | None = None,
    count: str | None = None,
    counted: str = "",
    row_order: Sequence[str] | None = None,
    column_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    notes: Sequence[str] = (),
) -> EvidenceMapPlan:
    """Return what an evidence-gap map shows, without drawing it.

    Use it to show where evidence is and where there is none: sources against isolation methods, say. The area
    of a bubble goes with its count, the count is printed, and empty cells are shaded.

    Parameters
    ----------
    table : DataFrame
        One row per study, effect or count.
    rows, columns : str
        Columns of the table whose values make the rows and the columns of the map; missing values count as
        "not reported", which comes last.
    by : str, optional
        Column whose values get a bubble of their own colour each, side by side in the cell.
    study : str, optional
        Column that names the study; different studies are counted. Default: rows of the table are.
    count : str, optional
        Column of counts that are summed, in place of `study`.
    counted : str
        What is counted, for the note; default "studies" or "rows".
    row_order, column_order : sequence of str, optional
        Values in the order wanted; values that the table never has make empty rows. Default: by count.
    wording : mapping of str to str, optional
        Words for values.
    row_title, column_title, title : str
        Headings; default: the names of the columns in words.
    notes : sequence of str
        Further lines below.

    Returns
    -------
    EvidenceMapPlan
        Rows, columns, bubbles with their places; `gaps` names the empty cells.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If nothing can be counted, or an order leaves out a value of the table.

    References
    ----------
    Snilstveit, B., et al. (2016). Evidence & Gap Maps. https://doi.org/10.1016/j.jclinepi.2016.05.015

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"source": ["plant", "plant", "urine"], "isolation": ["SEC", "UC", "UC"]})
    >>> plan = mx.plots.evidence_map_plan(table, rows="source", columns="isolation")
    >>> plan.total, plan.gaps
    (3, (('urine', 'SEC'),))
    >>> ax = mx.plots.evidence_map(plan)
    """
    if len(table) == 0:
        raise InputError("the table has no rows", "at least one row to count")
    frame = _counts_frame(table, rows, columns, by, study, count, wording or {})
    row_names = levels_of(_counted(frame, "row"), row_order, wording)
    column_names = levels_of(_counted(frame, "column"), column_order, wording)
    groups = levels_of(_counted(frame, "group"))
    if len(groups) > len(PALETTE):
        raise InputError(
            f"{by!r} has {len(groups)} values", f"at most {len(PALETTE)}, one colour each", "group the values"
        )
    return _laid_out(
        frame,
        (row_names, column_names, groups),
        counted or ("studies" if study else "rows"),
        (row_title or title_of(rows), column_title or title_of(columns)),
        title,
        notes,
    )


def _counts_frame(
    table: pd.DataFrame,
    rows: str,
    columns: str,
    by: str | None,
    study: str | None,
    count: str | None,
    wording: Mapping[str, str],
) -> pd.DataFrame:
    """Return row, column, group, unit and count, one line per row of the table."""
    import pandas as pd

    def named(column: str | None) -> list[str]:
        if column is None:
            return [""] * len(table)
        return [words(v, wording, NOT_REPORTED) for v in column_of(table, column)]

    units = range(len(table)) if study is None else column_of(table, study).astype(str)
    counts = np.ones(len(table)) if count is None else _counts(table, count)
    return pd.DataFrame(
        {
            "row": named(rows),
            "column": named(columns),
            "group": named(by),
            "unit": list(units),
            "count": counts.astype(int),
            "summed": count is not None,
        }
    )


def _counts(table: pd.DataFrame, count: str) -> Array:
    """Return a column of counts; raises InputError if some are no whole numbers, or all are zero."""
    counts = read_numbers(column_of(table, count), count, ndim=1)
    bad = np.flatnonzero(~(counts >= 0) | (counts != np.floor(counts)))
    if bad.size or not counts.sum() > 0:
        raise InputError(
            f"{bad.size} of {counts.size} cells of {count!r} are no counts"
            if bad.size
            else "all counts are 0",
            "whole numbers that are not negative, and at least one above 0",
            "look these rows up in the source",
            [f"row {int(i) + 1}: {counts[i]:g}" for i in bad],
        )
    return counts


def _counted(frame: pd.DataFrame, side: str) -> dict[str, int]:
    """Return the different names on one side of the map with what is counted of each."""
    return {str(name): _units(part) for name, part in frame.groupby(side, sort=False)}


def _units(frame: pd.DataFrame) -> int:
    """Return the different units of a part of the table, or the sum of its counts."""
    if len(frame) and bool(frame["summed"].iloc[0]):
        return int(frame["count"].sum())
    return int(frame["unit"].nunique())


def _laid_out(
    frame: pd.DataFrame,
    names: tuple[Sequence[str], Sequence[str], Sequence[str]],
    counted: str,
    titles: tuple[str, str],
    title: str,
    notes: Sequence[str],
) -> EvidenceMapPlan:
    """Return the plan of counts: rows, columns and groups in the order of `names`."""
    row_names, column_names, groups = names
    found = _sized(frame, groups)
    labels = {name: wrap(name, 30) for name in row_names}
    texts = [(titles[0], True), ("Total", True)]
    texts += [(line, False) for lines in labels.values() for line in lines]
    left = math.ceil(MARGIN + max(text_width(text, bold=bold) for text, bold in texts) + 10.0)
    after = text_width("Total", bold=True) + 14.0 + MARGIN
    columns, places = _columns(frame, column_names, found, groups, float(left))
    turned = _columns(frame, column_names, found, groups, float(left), upright=True)
    wide = columns[-1].high + after
    upright = wide > WIDE and turned[0][-1].high + after < NARROWER * wide
    if upright:
        columns, places = turned
    keys = [Key(name, PALETTE[g], list(BUBBLES)[g]) for g, name in enumerate(groups) if name]
    note = f"Numbers and areas count {counted}; shaded cells are empty."
    width = float(max(math.ceil(columns[-1].high + after), NARROWEST))
    around = surround(title, keys, [note, *notes], width)
    heading = heading_height(columns, upright)
    rows = _rows(frame, labels, found, math.ceil(around.top + LINE_HEIGHT + heading + HEADING_GAP))
    return EvidenceMapPlan(
        **around.closed(rows[-1].high + 1.8 * LINE_HEIGHT + 4.0),
        rows=rows,
        columns=columns,
        bubbles=_bubbles(found, rows, places, groups),
        total=_units(frame),
        counted=counted,
        row_title=titles[0],
        column_title=titles[1],
        upright=upright,
        heading=heading,
    )


def _sized(frame: pd.DataFrame, groups: Sequence[str]) -> _Found:
    """Return count, radius and place of the number of every combination that was studied."""
    counts = {key: _units(part) for key, part in frame.groupby(["row", "column", "group"], sort=False)}
    most = max(counts.values())
    found = {}
    for (row, column, group), n in counts.items():
        if n > 0:
            radius = max(1.5, LARGEST * math.sqrt(n / most))
            number = math.hypot(text_width(str(n), bold=True), CAP_HEIGHT * TEXT_SIZE)
            shape = list(BUBBLES)[groups.index(str(group))]
            room = 1.2 if shape.startswith("triangle") else 1.7 if shape != "circle" else 1.9
            sized = _Sized(n, radius, shape, inside=number <= room * radius)
            found[str(row), str(column), str(group)] = sized
    return found


def _columns(
    frame: pd.DataFrame,
    names: Sequence[str],
    found: _Found,
    groups: Sequence[str],
    x: float,
    upright: bool = False,
) -> tuple[tuple[GridLine, ...], _Places]:
    """Return the columns, and where in them the bubbles of each group stand.

    A column is wide enough for its heading and for the bubbles of the groups that it has.
    """
    columns, places = [], {}
    for name in names:
        label = heading_lines(name, upright)
        rooms = _rooms(name, found, groups)
        needed = sum(left + right for left, right in rooms.values()) + SLOT_GAP * (len(rooms) + 1)
        width = math.ceil(max(needed, heading_width(label, upright, bold=True)))
        columns.append(GridLine(name, label, x, x + width, _units(frame[frame["column"] == name])))
        left = x + (width - needed) / 2 + SLOT_GAP
        for group, (before, after) in rooms.items():
            places[name, group] = left + before
            left += before + after + SLOT_GAP
        x += width
    return tuple(columns), places


def _rooms(column: str, found: _Found, groups: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return by group the room that the bubbles of a column need left and right of their middles."""
    rooms = {}
    for group in groups:
        members = [sized for (_, c, g), sized in found.items() if (c, g) == (column, group)]
        if members:
            rooms[group] = max(m.half for m in members), max(m.right for m in members)
    return rooms


def _rows(
    frame: pd.DataFrame, labels: Mapping[str, tuple[str, ...]], found: _Found, y: float
) -> tuple[GridLine, ...]:
    rows = []
    for name, label in labels.items():
        largest = max((sized.half for (row, _, _), sized in found.items() if row == name), default=0.0)
        height = math.ceil(max(CELL_HEIGHT, 2 * largest + 6.0, len(label) * LINE_HEIGHT + 6.0))
        rows.append(GridLine(name, label, y, y + height, _units(frame[frame["row"] == name])))
        y += height
    return tuple(rows)


def _bubbles(
    found: _Found, rows: Sequence[GridLine], places: _Places, groups: Sequence[str]
) -> tuple[MapBubble, ...]:
    middles = {row.name: row.middle for row in rows}
    return tuple(
        MapBubble(
            row=row,
            column=column,
            group=group,
            count=sized.count,
            x=snap(places[column, group]),
            y=snap(middles[row]),
            radius=snap(sized.radius),
            color=PALETTE[groups.index(group)],
            shape=sized.shape,
            number_inside=sized.inside,
        )
        for (row, column, group), sized in found.items()
    )


def evidence_map_page(plan: EvidenceMapPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    top, below = panel.top - HEADING_GAP, panel.bottom + 1.3 * LINE_HEIGHT
    right = panel.right + 8.0 + text_width("Total", bold=True)
    items = [*_empty_cells(plan), *lines_between(plan), *items_around(plan)]
    items.append(Text(right, top, "Total", bold=True, align="right"))
    items.append(Text(MARGIN, below, "Total", bold=True))
    items.append(Text(right, below, str(plan.total), bold=True, align="right"))
    items += [Text(column.middle, below, str(column.total), align="center") for column in plan.columns]
    items += [Text(right, middle(row.middle), str(row.total), align="right") for row in plan.rows]
    for bubble in plan.bubbles:
        items += _bubble_items(bubble)
    return make_page(plan.width, plan.height, items, panel)


def _empty_cells(plan: EvidenceMapPlan) -> list[Item]:
    rows = {row.name: row for row in plan.rows}
    columns = {column.name: column for column in plan.columns}
    items: list[Item] = []
    for row_name, column_name in plan.gaps:
        row, column = rows[row_name], columns[column_name]
        items.append(rectangle(column.low, row.low, column.high, row.high, EMPTY))
        y = middle(row.middle)
        items.append(Text(column.middle, y, "0", color=GREY, align="center"))
    return items


def _bubble_items(bubble: MapBubble) -> list[Item]:
    size, half = (factor * bubble.radius for factor in BUBBLES[bubble.shape])
    dot = Dot(bubble.x, bubble.y, bubble.shape, size, bubble.color, bubble.color, 0.0)
    baseline = middle(bubble.y)
    if bubble.number_inside:
        color = text_on(bubble.color)
        return [dot, Text(bubble.x, baseline, str(bubble.count), TEXT_SIZE, True, color, "center")]
    return [dot, Text(bubble.x + half + GAP, baseline, str(bubble.count), TEXT_SIZE)]


evidence_map = drawing(
    evidence_map_plan, EvidenceMapPlan, evidence_map_page, "Draw an evidence-gap map.", fixed=True
)
