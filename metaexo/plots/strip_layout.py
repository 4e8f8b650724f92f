"""Rows and places of a strip of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.plots.fonts import text_width, wrap, wrap_to_width
from metaexo.plots.furniture import (
    Key,
    legend_rows,
    legend_rows_height,
    note_lines,
    notes_height,
    title_height,
    title_lines,
)
from metaexo.plots.page import Panel, snap
from metaexo.plots.scale import Axis, display
from metaexo.plots.strip_page import DOT, StripPlan, StripPoint, StripRow
from metaexo.plots.style import LINE_HEIGHT, MARGIN, SMALL_SIZE, TEXT_SIZE
from metaexo.plots.tables import lanes, levels_of
from metaexo.plots.wording import shown, title_of, whole_or_decimals

ROW_HEIGHT = 14.0
LANE = DOT + 1.5
COLUMN_GAP = 12.0
INDENT = 8.0
LABEL_LETTERS, HEAD_LETTERS = 38, 42
FAR = 1e6


@dataclass(frozen=True, slots=True)
class Ask:
    """Which columns of the table are shown as what."""

    value: str
    rows: tuple[str, ...]
    low: str | None
    high: str | None
    by: str | None
    hollow: str | None
    study: str | None
    wording: Mapping[str, str]
    log: bool
    cells: Mapping[str, str] | None = None
    row_title: str = ""
    study_title: str = ""

    @property
    def titles(self) -> tuple[str, ...]:
        """Headings of the columns on the right."""
        if self.cells is not None:
            return tuple(self.cells.values())
        return ("n", *((self.study_title or "Studies",) if self.study is not None else ()), "Median")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the table, on the scale of the axis."""

    head: str
    category: str
    study: str
    cells: tuple[str, ...]
    point: StripPoint


def strip_rows(
    values: Sequence[Value],
    ask: Ask,
    orders: tuple[Sequence[str] | None, Sequence[str] | None],
    measure: Measure,
    axis: Axis,
    width: float,
) -> list[StripRow]:
    """Return heads and categories, in their orders, with their points; places count from the first row."""
    per_point = width / (axis.high - axis.low)
    digits = _digits([display(measure, v.point.value) for v in values])
    heads = levels_of((v.head for v in values), orders[0], ask.wording)
    categories = levels_of((v.category for v in values), orders[1], ask.wording)
    rows: list[StripRow] = []
    y = 0.0
    for head in heads:
        if head and any(v.head == head for v in values):
            lines = wrap(head, HEAD_LETTERS)
            height = ROW_HEIGHT + (len(lines) - 1) * LINE_HEIGHT
            rows.append(StripRow("head", lines, y=y + height / 2, height=height))
            y += height
        for category in categories:
            members = [v for v in values if v.head == head and v.category == category]
            if members:
                row = _row(members, ask, measure, digits, y, per_point)
                rows.append(row)
                y += row.height
    return rows


def _digits(values: Sequence[float]) -> int:
    """Return how many decimals a median needs: three significant digits of a usual value."""
    usual = float(np.median(np.abs(values)))
    return min(whole_or_decimals(values), 0 if usual >= 100 else 1 if usual >= 10 else 2)


def _row(
    members: Sequence[Value], ask: Ask, measure: Measure, digits: int, top: float, per_point: float
) -> StripRow:
    points = [v.point for v in members]
    lane_of = lanes([_extent(p, per_point) for p in points])
    label = wrap(members[0].category, LABEL_LETTERS)
    cells = _cells(members, ask, measure, digits)
    lines = max(len(label), *(len(cell.split("\n")) for cell in cells), 1)
    deep = max(lane_of) + 1
    height = max(ROW_HEIGHT, deep * LANE + 5.0, lines * LINE_HEIGHT + 3.0)
    first = top + (height - deep * LANE) / 2
    placed = [replace(p, y=first + (lane + 0.5) * LANE) for p, lane in zip(points, lane_of, strict=True)]
    return StripRow("category", label, cells, tuple(placed), top + height / 2, height)


def _cells(members: Sequence[Value], ask: Ask, measure: Measure, digits: int) -> tuple[str, ...]:
    """Return the texts on the right: counts and median, or columns of the table, one text a line."""
    if ask.cells is not None:
        return tuple(
            "\n".join(dict.fromkeys(texts)) for texts in zip(*(v.cells for v in members), strict=True)
        )
    median = float(np.median([display(measure, v.point.value) for v in members]))
    studies = (str(len({v.study for v in members})),) if ask.study is not None else ()
    return str(len(members)), *studies, shown(median, digits)


def _extent(point: StripPoint, per_point: float) -> tuple[float, float]:
    """Return the stretch that a point takes, in points; it may go on for ever to the left."""
    low = min(point.value, point.value if point.low is None else point.low)
    high = max(point.value, point.value if point.high is None else point.high)
    left = min(max(low * per_point, -FAR), point.value * per_point - DOT / 2)
    right = max(high * per_point, point.value * per_point + DOT / 2)
    return round(left, 6), round(right, 6)  # so that noise cannot move a point to another lane


def lay_out_strip(
    rows: Sequence[StripRow],
    ask: Ask,
    axis: Axis,
    measure: Measure,
    keys: tuple[Key, ...],
    title: str,
    notes: Sequence[str],
    panel_width: float,
) -> StripPlan:
    """Return the plan of drafted rows, each at its place."""
    indent = INDENT if len(ask.rows) == 2 else 0.0
    row_title = ask.row_title or " / ".join(title_of(key) for key in ask.rows)
    labels = [
        text_width(line, TEXT_SIZE, row.kind == "head") + (0.0 if row.kind == "head" else indent)
        for row in rows
        for line in row.label
    ]
    left = MARGIN + math.ceil(max([text_width(row_title, TEXT_SIZE, True), *labels])) + COLUMN_GAP
    x = left + panel_width
    columns = []
    for i, name in enumerate(ask.titles):
        cells = [line for row in rows if row.cells for line in row.cells[i].split("\n")]
        texts = [text_width(text, TEXT_SIZE) for text in cells]
        x += COLUMN_GAP + math.ceil(max(text_width(name, TEXT_SIZE, True), *texts))
        columns.append((name, x))
    width = float(math.ceil(x + MARGIN))
    above, legend, below = (
        title_lines(title, width),
        legend_rows(keys, width, TEXT_SIZE),
        note_lines(notes, width),
    )
    over = title_height(above) + legend_rows_height(legend, LINE_HEIGHT)
    top = math.ceil(MARGIN + over + LINE_HEIGHT + 4.0)
    bottom = top + sum(row.height for row in rows) + 3.0
    label_lines = len(wrap_to_width(axis.label, panel_width, TEXT_SIZE))
    axis_height = 5.0 + 1.3 * SMALL_SIZE + (label_lines + 0.6) * LINE_HEIGHT
    return StripPlan(
        measure=measure,
        rows=tuple(_moved(row, top) for row in rows),
        columns=tuple(columns),
        row_title=row_title,
        indent=indent,
        axis=axis,
        panel=Panel(left, left + panel_width, top, snap(bottom), axis.low, axis.high, top, snap(bottom)),
        keys=legend,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(bottom + axis_height + notes_height(below))),
    )


def _moved(row: StripRow, top: float) -> StripRow:
    """Return the row at its place on the page."""
    points = tuple(replace(point, y=snap(top + point.y)) for point in row.points)
    return replace(row, y=snap(top + row.y), height=snap(row.height), points=points)
