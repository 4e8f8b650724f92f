"""Several marks in one row: in lanes one below the other, so that none covers another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from metaexo.plots.canvas.scale import ShownAxis, to_place
from metaexo.plots.canvas.theme import Theme
from metaexo.plots.table.rows import Mark, Row

GAP = 1.5  # between two marks of a lane, and between two lanes
EDGE_WORDS = 6.0  # from the edge of the panel to the value of a mark beyond it
ROOM = 5.0  # above and below the lanes of a row


def lanes(extents: Sequence[tuple[float, float]], gap: float = GAP) -> list[int]:
    """Return a lane for each stretch, as few lanes as it takes that none overlap."""
    ends: list[float] = []
    chosen = [0] * len(extents)
    for i in sorted(range(len(extents)), key=lambda i: (*extents[i], i)):
        left, right = extents[i]
        lane = next((lane for lane, end in enumerate(ends) if end + gap <= left), len(ends))
        ends[lane : lane + 1] = [right]
        chosen[i] = lane
    return chosen


def in_lanes(row: Row, axis: ShownAxis, width: float, theme: Theme, height: float = math.inf) -> Row:
    """Return a packed row with its marks in lanes, and with the least height that these need.

    `width`: of the panel, in points.
    `height`: of the row, if it has one already; its lanes then stand within it, one over another if need be.
    """
    if not row.packed or not row.marks:
        return row
    found = lanes([extent(mark, axis, width, theme) for mark in row.marks])
    count = max(found) + 1
    step = max(mark.size for mark in row.marks) + GAP
    if any(axis.side_of(mark.estimate) for mark in row.marks):
        step = max(step, 1.3 * theme.small)
    step = min(step, (height - GAP) / count)
    marks = tuple(
        replace(mark, lane=round((lane - (count - 1) / 2) * step, 6))
        for mark, lane in zip(row.marks, found, strict=True)
    )
    return replace(row, marks=marks, height=max(row.height, count * step + (ROOM if count > 1 else 0.0)))


def extent(mark: Mark, axis: ShownAxis, width: float, theme: Theme) -> tuple[float, float]:
    """Return the stretch that a mark takes, in points from the left edge of the panel.

    What the axis cuts ends at its edge; the value of a mark beyond it stands there too.
    """
    (first, last), side = axis.places, axis.side_of(mark.estimate)

    def x(value: float) -> float:
        place = min(max(to_place(axis.scale, value), first), last)
        return (place - first) / (last - first) * width

    ends = [x(value) for value in (mark.low, mark.estimate, mark.high) if value is not None]
    left, right = min(ends), max(ends)
    if mark.estimate is not None:
        at = x(mark.estimate)
        left, right = min(left, at - mark.size / 2), max(right, at + mark.size / 2)
    room = EDGE_WORDS + GAP + theme.width(mark.text, size=theme.small)
    if side == "left":
        right = max(right, room)
    elif side == "right":
        left = min(left, width - room)
    return round(left, 6), round(right, 6)  # noise cannot move a mark to another lane
