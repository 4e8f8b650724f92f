"""Rows and places of a strip of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.formatting import plural
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
from metaexo.plots.scale import Axis, axis_between, from_axis
from metaexo.plots.strip_page import DOT, StripPlan, StripPoint, StripRow, edge_room
from metaexo.plots.style import LINE_HEIGHT, MARGIN, SMALL_SIZE, TEXT_SIZE
from metaexo.plots.tables import lanes, levels_of
from metaexo.plots.wording import shown, title_of, whole_or_decimals

ROW_HEIGHT = 14.0
LANE = DOT + 1.5
EDGE_LANE = 9.0
COLUMN_GAP = 12.0
INDENT = 8.0
LABEL_LETTERS, HEAD_LETTERS = 38, 42


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
    digits = _digits([from_axis(measure, v.point.value) for v in values])
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
                row = _row(members, ask, measure, digits, y, axis, width)
                rows.append(row)
                y += row.height
    return rows


def _digits(values: Sequence[float]) -> int:
    """Return how many decimals a median needs: three significant digits of a usual value."""
    usual = float(np.median(np.abs(values)))
    return min(whole_or_decimals(values), 0 if usual >= 100 else 1 if usual >= 10 else 2)


def _row(
    members: Sequence[Value], ask: Ask, measure: Measure, digits: int, top: float, axis: Axis, width: float
) -> StripRow:
    """Return the row of a category: points of the same texts share lanes, at the height of these.

    Points of one text, or of none of their own, stand in as few lanes as they need.
    """
    blocks: dict[tuple[str, ...], list[StripPoint]] = {}
    for value in members:
        blocks.setdefault(value.point.cells, []).append(value.point)
    label = wrap(members[0].category, LABEL_LETTERS)
    cells = _cells(members, ask, measure, digits)
    lanes_of = {
        texts: lanes([_extent(p, axis, measure, width) for p in block]) for texts, block in blocks.items()
    }
    lane = EDGE_LANE if any(p.beyond for block in blocks.values() for p in block) else LANE
    least = LINE_HEIGHT if len(blocks) > 1 else 0.0
    heights = {texts: max((max(found) + 1) * lane, least) for texts, found in lanes_of.items()}
    deep = sum(heights.values())
    height = max(ROW_HEIGHT, deep + 5.0, len(label) * LINE_HEIGHT + 3.0)
    y = top + (height - deep) / 2
    placed, middles = [], {}
    for texts, block in blocks.items():
        middles[texts] = y + heights[texts] / 2
        first = middles[texts] - (max(lanes_of[texts]) + 1) * lane / 2
        placed += [
            replace(p, y=first + (at + 0.5) * lane) for p, at in zip(block, lanes_of[texts], strict=True)
        ]
        y += heights[texts]
    middle = top + height / 2
    return StripRow("category", label, cells, _texts(cells, middles, middle), tuple(placed), middle, height)


def _texts(
    cells: Sequence[str], middles: Mapping[tuple[str, ...], float], middle: float
) -> tuple[tuple[int, str, float], ...]:
    """Return where the texts of a row stand: those that differ between its points at the height of these."""
    found: list[tuple[int, str, float]] = []
    for column, cell in enumerate(cells):
        if "\n" in cell:
            found += [(column, texts[column], y) for texts, y in middles.items()]
        else:
            found.append((column, cell, middle))
    return tuple(found)


def _cells(members: Sequence[Value], ask: Ask, measure: Measure, digits: int) -> tuple[str, ...]:
    """Return the texts on the right: counts and median, or columns of the table, one text a line."""
    if ask.cells is not None:
        columns = zip(*(value.point.cells for value in members), strict=True)
        return tuple("\n".join(dict.fromkeys(texts)) for texts in columns)
    median = float(np.median([from_axis(measure, value.point.value) for value in members]))
    studies = (str(len({value.study for value in members})),) if ask.study is not None else ()
    return str(len(members)), *studies, shown(median, digits)


def _extent(point: StripPoint, axis: Axis, measure: Measure, width: float) -> tuple[float, float]:
    """Return the stretch that a point takes, in points; what the axis cuts ends at its edge."""
    per_point = width / (axis.high - axis.low)

    def x(value: float) -> float:
        return (min(max(value, axis.low), axis.high) - axis.low) * per_point

    low = min(point.value, point.value if point.low is None else point.low)
    high = max(point.value, point.value if point.high is None else point.high)
    room = edge_room(measure, point) if point.beyond else 0.0
    left, right = min(x(low), x(point.value) - DOT / 2), max(x(high), x(point.value) + DOT / 2)
    if point.beyond == "left":
        right = max(right, room)
    elif point.beyond == "right":
        left = min(left, width - room)
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
        note_lines([*notes, *outside_notes(rows)], width),
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
        panel=Panel(
            left, left + panel_width, top, snap(bottom), axis.low, axis.high, top, snap(bottom), axis.log
        ),
        keys=legend,
        title=above,
        notes=below,
        width=width,
        height=float(math.ceil(bottom + axis_height + notes_height(below))),
    )


def with_limits(plan: StripPlan, low: float, high: float) -> StripPlan:
    """Return the plan with another axis: values outside it marked and counted; lanes stay as they are."""
    width = plan.panel.right - plan.panel.left
    axis = axis_between(plan.measure, low, high, plan.axis.reference, plan.axis.label, width)
    rows = tuple(replace(row, points=tuple(on(axis, point) for point in row.points)) for row in plan.rows)
    before, now = (note_lines(outside_notes(some), plan.width) for some in (plan.rows, rows))
    notes = (*plan.notes[: len(plan.notes) - len(before)], *now)
    more = float(math.ceil(notes_height(notes) - notes_height(plan.notes)))
    panel = replace(plan.panel, x_low=axis.low, x_high=axis.high)
    return replace(plan, axis=axis, panel=panel, rows=rows, notes=notes, height=plan.height + more)


def on(axis: Axis, point: StripPoint) -> StripPoint:
    """Return a point told on which side of the axis it lies, if it is not on it."""
    slack = 1e-9 * (axis.high - axis.low)
    if axis.low - slack <= point.value <= axis.high + slack:
        return replace(point, beyond="")
    return replace(point, beyond="left" if point.value < axis.low else "right")


def outside_notes(rows: Sequence[StripRow]) -> list[str]:
    """Return how many values lie outside the axis; their marks stand at its edge."""
    outside = sum(bool(point.beyond) for row in rows for point in row.points)
    if not outside:
        return []
    verb = "lies" if outside == 1 else "lie"
    told = f"{plural(outside, 'value')} {verb} outside the axis"
    return [f"{told}: hollow triangle at its edge, with the value."]


def _moved(row: StripRow, top: float) -> StripRow:
    """Return the row at its place on the page."""
    points = tuple(replace(point, y=snap(top + point.y)) for point in row.points)
    texts = tuple((column, text, snap(top + y)) for column, text, y in row.texts)
    return replace(row, y=snap(top + row.y), height=snap(row.height), points=points, texts=texts)
