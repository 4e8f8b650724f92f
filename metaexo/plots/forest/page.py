"""From the plan of a forest plot to a page: what stands where, from back to front.

The mark of a censored effect: an interval that is open at both ends, and never a point.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from metaexo.formatting import MISSING
from metaexo.plots.canvas.fonts import (
    FAINT,
    GREY,
    INK,
    MARGIN,
    PALE,
    PALETTE,
    SMALL_SIZE,
    WHITE,
    text_on,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.page import (
    Align,
    Area,
    Dot,
    Item,
    Line,
    Page,
    Point,
    Text,
    cut_polygon,
    lines_of_text,
    make_page,
    middle,
)
from metaexo.plots.canvas.surroundings import (
    axis_label,
    note_items,
    ticks_of,
    title_items,
    upright_line,
)
from metaexo.plots.forest.layout import SPAN_GAP, is_bold
from metaexo.plots.forest.plan import ForestPlan, ForestRow, Mark, PlacedColumn
from metaexo.plots.forest.rows import ESTIMATE

STUDY = PALETTE[0]
ARROW = 5.0
EDGE_MARK, EDGE_LETTERS = 6.0, 7.0
FAR = 1e6
RISK = {
    "low": ("+", PALETTE[2]),
    "some concerns": ("?", PALETTE[4]),
    "unclear": ("?", PALETTE[4]),
    "high": (f"{chr(0x2212)}", PALETTE[1]),
}


def forest_page(plan: ForestPlan) -> Page:
    """Return the page of a plan."""
    items = upright_line(plan.axis, plan.panel, plan.axis.reference, 0.8, PALE)
    items += upright_line(plan.axis, plan.panel, plan.pooled, 0.7, GREY, (3.0, 2.0))
    items += _header(plan)
    for row in plan.rows:
        items += _row(plan, row)
    items += axis_label(plan.axis, plan.panel, plan.axis_y, plan.size, plan.line)
    items += _words_below(plan)
    return make_page(plan.width, plan.height, items, plan.panel, ticks_of(plan.axis))


def _header(plan: ForestPlan) -> list[Item]:
    items: list[Item] = title_items(plan.title, plan.size, plan.line)
    for head in plan.heads:
        y = head.rule_y - 0.35 * plan.line
        items.append(Text((head.left + head.right) / 2, y, head.title, plan.size, True, align="center"))
        items.append(Line(((head.left, head.rule_y), (head.right, head.rule_y)), 0.5, GREY))
    for column in plan.columns:
        bottom = plan.rule_y - 4.5
        align, x = _edge(column)
        for i, text in enumerate(reversed(column.title)):
            items.append(Text(x, bottom - i * plan.line, text, plan.size, True, align=align))
    items.append(Line(((MARGIN, plan.rule_y), (plan.width - MARGIN, plan.rule_y)), 0.8))
    return items


def _edge(column: PlacedColumn) -> tuple[Align, float]:
    """Return how a column is aligned, and at which place."""
    if column.kind == "text":
        return "left", column.left
    if column.kind == "risk":
        return "center", (column.left + column.right) / 2
    return "right", column.right


def _row(plan: ForestPlan, row: ForestRow) -> list[Item]:
    if row.kind == "rule":
        return [Line(((MARGIN, row.y), (plan.width - MARGIN, row.y)), 0.3, FAINT)]
    items = _spanning_text(plan, row)
    for column in plan.columns:
        bold = is_bold(row, column.key)
        lines = row.cells.get(column.key)
        if lines is None:
            continue
        if column.kind == "estimate":
            items += [
                Text(edge, middle(row.y, plan.size), piece, plan.size, bold, align="right")
                for edge, piece in zip(column.edges, lines, strict=True)
                if piece
            ]
        elif column.kind == "risk":
            items += _risk_items(column, row.y, " ".join(lines), plan.size)
        else:
            align, x = _edge(column)
            x += row.indent if column is plan.columns[0] else 0.0
            items += lines_of_text(x, row.y, lines, plan.line, size=plan.size, bold=bold, align=align)
    return items + _mark_items(plan, row)


def _spanning_text(plan: ForestPlan, row: ForestRow) -> list[Item]:
    if not row.text:
        return []
    bold = row.kind not in {"note", "prediction"}
    color = GREY if row.kind == "note" else INK
    x = plan.columns[0].left + row.indent
    items: list[Item] = list(
        lines_of_text(x, row.y, row.text, plan.line, size=plan.size, bold=bold, color=color)
    )
    if row.detail:
        widest = max(text_width(line, plan.size, bold) for line in row.text)
        x += widest + SPAN_GAP
        items.append(Text(x, middle(row.y, plan.size), row.detail, plan.size, color=GREY))
    return items


def _risk_items(column: PlacedColumn, y: float, word: str, size: float) -> list[Item]:
    """Return a disc with the sign of a judgement; a hollow one where there is none of the known ones."""
    sign, color = RISK.get(word.lower(), (MISSING, WHITE))
    x = (column.left + column.right) / 2
    return [
        Dot(x, y, "circle", 1.1 * size, color, PALE if color == WHITE else color),
        Text(x, middle(y, size), sign, size, True, text_on(color), "center"),
    ]


def _mark_items(plan: ForestPlan, row: ForestRow) -> list[Item]:
    mark = row.mark
    if mark is None:
        return []
    if mark.shape == "open":
        return open_interval(plan, row, mark, _arrow)
    color = _color(row, mark)
    if mark.beyond:
        return _at_the_edge(plan, row, mark, color)
    if mark.shape == "diamond":
        return _diamond(plan, row, mark, color)
    items = _interval(plan, row, mark, color)
    if mark.estimate is None:
        return items
    fill = WHITE if mark.hollow else color
    shape = "circle" if mark.shape == "circle" else "square"
    items.append(Dot(plan.panel.x(mark.estimate), row.y, shape, mark.size, fill, color, 1.0))
    return items


def _color(row: ForestRow, mark: Mark) -> str:
    if mark.shape == "diamond":
        return INK if row.kind == "total" else GREY
    return GREY if mark.shape == "bar" else STUDY


def _interval(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return the line of an interval; an arrow where the axis cuts it."""
    if mark.low is None or mark.high is None:
        return []
    axis, panel = plan.axis, plan.panel
    thick = mark.size if mark.shape == "bar" else 1.0
    if mark.high < axis.low or mark.low > axis.high:
        left = mark.high < axis.low
        edge = panel.left if left else panel.right
        inner = edge + (2 * ARROW if left else -2 * ARROW)
        return [Line(((edge, row.y), (inner, row.y)), thick, color), _arrow(edge, row.y, left, color)]
    low, high = panel.x(max(mark.low, axis.low)), panel.x(min(mark.high, axis.high))
    inside = (
        low + (0.8 * ARROW if mark.cut_low else 0.0),
        high - (0.8 * ARROW if mark.cut_high else 0.0),
    )
    items: list[Item] = [Line(((inside[0], row.y), (inside[1], row.y)), thick, color)]
    if mark.cut_low:
        items.append(_arrow(low, row.y, True, color))
    if mark.cut_high:
        items.append(_arrow(high, row.y, False, color))
    return items


def _at_the_edge(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return a hollow triangle at the edge of the axis, the estimate beside it, and what is seen of the line.

    The line of the interval ends before the estimate; where it runs out on the other side it has an arrow.
    """
    panel, axis = plan.panel, plan.axis
    left = mark.beyond == "left"
    edge, sign = (panel.left, 1.0) if left else (panel.right, -1.0)
    words = row.cells.get(ESTIMATE, ("",))[0]
    align: Align = "left" if left else "right"
    place = edge + sign * (EDGE_MARK + 2.0)
    items: list[Item] = [
        Dot(edge + sign * EDGE_MARK / 2, row.y, mark.beyond, EDGE_MARK, WHITE, color, 1.0),
        Text(place, middle(row.y, EDGE_LETTERS), words, EDGE_LETTERS, color=color, align=align),
    ]
    inner = place + sign * (text_width(words, EDGE_LETTERS) + 2.0)
    end = mark.high if left else mark.low
    if end is None:
        return items
    cut = mark.cut_high if left else mark.cut_low
    far = panel.x(min(max(end, axis.low), axis.high))
    if sign * (far - inner) > ARROW:
        items.append(Line(((inner, row.y), (far - sign * (0.8 * ARROW if cut else 0.0), row.y)), 1.0, color))
        items += [_arrow(far, row.y, not left, color)] if cut else []
    return items


def _arrow(x: float, y: float, left: bool, color: str) -> Area:
    back = x + (ARROW if left else -ARROW)
    return Area(((x, y), (back, y - 0.5 * ARROW), (back, y + 0.5 * ARROW)), color)


def _diamond(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return a diamond from bound to bound; one that the axis cuts is cut there and has an arrow."""
    if mark.estimate is None:
        return []
    panel, half = plan.panel, mark.size / 2
    x = panel.x(mark.estimate)
    if mark.low is None or mark.high is None:
        return [Dot(x, row.y, "diamond", mark.size, WHITE if mark.hollow else color, color, 0.9)]
    ends = [
        panel.x(end) if math.isfinite(end) else x + math.copysign(FAR, end) for end in (mark.low, mark.high)
    ]
    corners: list[Point] = [(ends[0], row.y), (x, row.y - half), (ends[1], row.y), (x, row.y + half)]
    if mark.cut_low:
        corners = cut_polygon(corners, panel.left + ARROW, True)
    if mark.cut_high:
        corners = cut_polygon(corners, panel.right - ARROW, False)
    items: list[Item] = []
    if len(corners) > 2:
        shape = Area(tuple(corners), WHITE if mark.hollow else color, color, 0.9 if mark.hollow else 0.5)
        items.append(shape)
    for cut, edge, left in ((mark.cut_low, panel.left, True), (mark.cut_high, panel.right, False)):
        if cut:
            items.append(_arrow_of_diamond(edge, row.y, left, half, color, mark.hollow))
    return items


def _arrow_of_diamond(x: float, y: float, left: bool, half: float, color: str, hollow: bool) -> Area:
    """Return the head of an arrow as high as a diamond: that it goes on is seen at once."""
    back = x + (ARROW if left else -ARROW)
    fill = WHITE if hollow else color
    return Area(((x, y), (back, y - half), (back, y + half)), fill, color, 0.9 if hollow else 0.5)


def _words_below(plan: ForestPlan) -> list[Item]:
    items: list[Item] = []
    lines = len(wrap_to_width(plan.axis.label, plan.panel.right - plan.panel.left, plan.size))
    y = plan.axis_y + 5.0 + 1.3 * SMALL_SIZE + lines * plan.line
    ends: tuple[tuple[float, Align], ...] = ((plan.panel.left, "left"), (plan.panel.right, "right"))
    for (x, align), words in zip(ends, plan.sides, strict=True):
        for i, text in enumerate(words):
            items.append(Text(x, y + (i + 0.9) * plan.line, text, plan.size, align=align))
    return items + note_items(plan.notes, plan.height)


Arrow = Callable[[float, float, bool, str], Area]

COLOR = PALETTE[1]
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
                items.append(arrow(x, y, left, COLOR))
            ends[side] = x + (HEAD if left else -HEAD)
        else:
            items.append(Line(_bracket(x, y, left), WIDTH, COLOR))
    if ends[0] < ends[1]:
        items.append(Line(((ends[0], y), (ends[1], y)), WIDTH, COLOR, DASH if mark.hollow else ()))
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
