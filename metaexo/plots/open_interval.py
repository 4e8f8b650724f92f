"""The mark of a censored effect: an interval that is open at both ends, and never a point."""

from __future__ import annotations

import math
from collections.abc import Callable

from metaexo.plots.page import Area, Item, Line, Point
from metaexo.plots.plan import ForestPlan, ForestRow, Mark
from metaexo.plots.style import PALETTE

Arrow = Callable[[float, float, bool, str], Area]

COLOUR = PALETTE[1]
WIDTH = 1.1
DASH = (3.0, 2.0)
BRACKET, DEPTH, STEPS = 3.6, 2.2, 8
HEAD = 4.0


def open_interval(plan: ForestPlan, row: ForestRow, mark: Mark, arrow: Arrow) -> list[Item]:
    """Return the line of an open interval: a round bracket at a finite end, an arrow where there is none.

    A hollow mark, of which a direction is all that is known, is dashed.

    Parameters
    ----------
    plan : ForestPlan
        The plan.
    row : ForestRow
        The row.
    mark : Mark
        A mark of the shape "open".
    arrow : callable
        Makes the head of an arrow from its tip, the middle of the row, whether it points left, and a colour.
    """
    if mark.low is None or mark.high is None:
        return []
    axis, panel, y = plan.axis, plan.panel, row.y
    low = panel.x(min(max(mark.low, axis.low), axis.high))
    high = panel.x(max(min(mark.high, axis.high), axis.low))
    items: list[Item] = []
    ends = [low, high]
    for side, (cut, left) in enumerate(((mark.cut_low, True), (mark.cut_high, False))):
        x = ends[side]
        beyond = (mark.low > axis.high) if left else (mark.high < axis.low)
        if cut or beyond:
            if cut:
                items.append(arrow(x, y, left, COLOUR))
            ends[side] = x + (HEAD if left else -HEAD)
        else:
            items.append(Line(_bracket(x, y, left), WIDTH, COLOUR))
    if ends[0] < ends[1]:
        items.append(Line(((ends[0], y), (ends[1], y)), WIDTH, COLOUR, DASH if mark.hollow else ()))
    return items


def _bracket(x: float, y: float, left: bool) -> tuple[Point, ...]:
    """Return the points of a round bracket whose back stands at x."""
    turns = [math.radians(-62 + 124 * i / STEPS) for i in range(STEPS + 1)]
    sign = 1.0 if left else -1.0
    edge = math.cos(math.radians(62))
    return tuple(
        (
            x + sign * DEPTH * (1 - math.cos(t)) / (1 - edge),
            y + BRACKET * math.sin(t) / math.sin(math.radians(62)),
        )
        for t in turns
    )
