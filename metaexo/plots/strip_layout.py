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
    legend_height,
    legend_width,
    note_lines,
    notes_height,
    title_height,
    title_lines,
)
from metaexo.plots.page import Panel, snap
from metaexo.plots.scale import Axis, display
from metaexo.plots.strip_page import DOT, LEGEND_GAP, StripPlan, StripPoint, StripRow
from metaexo.plots.style import LINE_HEIGHT, MARGIN, SMALL_SIZE, TEXT_SIZE
from metaexo.plots.tables import lanes, levels_of
from metaexo.plots.wording import shown, title_of, whole_or_decimals

ROW_HEIGHT = 14.0
LANE = DOT + 1.5
COLUMN_GAP = 12.0
INDENT = 8.0
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


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the table, on the scale of the axis."""

    head: str
    category: str
    study: str
    point: StripPoint


def strip_rows(
    values: Sequence[Value],
    ask: Ask,
    order: Sequence[str] | None,
    measure: Measure,
    axis: Axis,
    width: float,
) -> list[StripRow]:
    """Return heads and categories with their points; places count from the first row."""
    per_point = width / (axis.high - axis.low)
    digits = min(1, whole_or_decimals([display(measure, v.point.value) for v in values]))
    categories = levels_of((v.category for v in values), order, ask.wording)
    rows: list[StripRow] = []
    y = 0.0
    for head in levels_of(v.head for v in values):
        if head:
            rows.append(StripRow("head", (head,), y=y + ROW_HEIGHT / 2, height=ROW_HEIGHT))
            y += ROW_HEIGHT
        for category in categories:
            members = [v for v in values if v.head == head and v.category == category]
            if members:
                row = _row(members, ask, measure, digits, y, per_point)
                rows.append(row)
                y += row.height
    return rows


def _row(
    members: Sequence[Value], ask: Ask, measure: Measure, digits: int, top: float, per_point: float
) -> StripRow:
    points = [v.point for v in members]
    lane_of = lanes([_extent(p, per_point) for p in points])
    label = wrap(members[0].category, 34)
    deep = max(lane_of) + 1
    height = max(ROW_HEIGHT, deep * LANE + 5.0, len(label) * LINE_HEIGHT + 3.0)
    first = top + (height - deep * LANE) / 2
    placed = [replace(p, y=first + (lane + 0.5) * LANE) for p, lane in zip(points, lane_of, strict=True)]
    median = float(np.median([display(measure, p.value) for p in points]))
    studies = (str(len({v.study for v in members})),) if ask.study is not None else ()
    cells = (str(len(points)), *studies, shown(median, digits))
    return StripRow("category", label, cells, tuple(placed), top + height / 2, height)


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
    row_title = " / ".join(title_of(key) for key in ask.rows)
    labels = [
        text_width(line, TEXT_SIZE, row.kind == "head") + (0.0 if row.kind == "head" else indent)
        for row in rows
        for line in row.label
    ]
    left = MARGIN + math.ceil(max([text_width(row_title, TEXT_SIZE, True), *labels])) + COLUMN_GAP
    x = left + panel_width
    columns = []
    for i, name in enumerate(("n", *(("studies",) if ask.study is not None else ()), "median")):
        texts = [text_width(row.cells[i], TEXT_SIZE) for row in rows if row.cells]
        x += COLUMN_GAP + math.ceil(max(text_width(name, TEXT_SIZE, True), *texts))
        columns.append((name, x))
    legend = LEGEND_GAP + legend_width(keys, TEXT_SIZE) if keys else 0.0
    width = float(math.ceil(x + legend + MARGIN))
    above, below = title_lines(title, width), note_lines(notes, width)
    top = math.ceil(MARGIN + title_height(above) + LINE_HEIGHT + 4.0)
    bottom = top + max(sum(row.height for row in rows), legend_height(keys, TEXT_SIZE, LINE_HEIGHT)) + 3.0
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
        keys=keys,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(bottom + axis_height + notes_height(below))),
    )


def _moved(row: StripRow, top: float) -> StripRow:
    """Return the row at its place on the page."""
    points = tuple(replace(point, y=snap(top + point.y)) for point in row.points)
    return replace(row, y=snap(top + row.y), height=snap(row.height), points=points)
