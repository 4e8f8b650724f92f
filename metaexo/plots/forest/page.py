"""From the plan of a forest plot to a page: what stands where, from back to front."""

from __future__ import annotations

import math

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
    arrow,
    axis_label,
    cut_polygon,
    lines_of_text,
    make_page,
    mark_at_the_edge,
    middle,
    note_items,
    ticks_of,
    title_items,
    upright_line,
    value_at_the_edge,
)
from metaexo.plots.forest.layout import SPAN_GAP, is_bold
from metaexo.plots.forest.plan import ForestPlan, ForestRow, Mark, PlacedColumn
from metaexo.plots.forest.rows import ESTIMATE

STUDY = PALETTE[0]
ARROW, EDGE_MARK = 5.0, 6.0
FAR = 1e6
# Open intervals: color, line and brackets.
COLOR, WIDTH, DASH = PALETTE[1], 1.1, (3.0, 2.0)
BRACKET, DEPTH, STEPS, HEAD = 3.6, 2.2, 8, 4.0
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
    items += axis_label(plan.axis, plan.panel, plan.panel.bottom, plan.size, plan.line)
    items += _words_below(plan)
    return make_page(plan.width, plan.height, items, plan.panel, ticks_of(plan.axis))


def _header(plan: ForestPlan) -> list[Item]:
    items: list[Item] = title_items(plan.title, plan.size, plan.line)
    for head in plan.heads:
        y = head.rule_y - 0.35 * plan.line
        items.append(Text((head.left + head.right) / 2, y, head.title, plan.size, True, align="center"))
        items.append(Line(((head.left, head.rule_y), (head.right, head.rule_y)), 0.5, GREY))
    for column in plan.columns:
        bottom = plan.panel.top - 4.5
        align, x = _edge(column)
        for i, text in enumerate(reversed(column.title)):
            items.append(Text(x, bottom - i * plan.line, text, plan.size, True, align=align))
    items.append(Line(((MARGIN, plan.panel.top), (plan.width - MARGIN, plan.panel.top)), 0.8))
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
        return _open_interval(plan, row, mark)
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
    return [*items, Dot(plan.panel.x(mark.estimate), row.y, shape, mark.size, fill, color, 1.0)]


def _color(row: ForestRow, mark: Mark) -> str:
    if mark.shape == "diamond":
        return INK if row.kind == "total" else GREY
    return GREY if mark.shape == "bar" else STUDY


def _interval(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return the line of an interval; an arrow where the axis cuts it."""
    if mark.low is None or mark.high is None:
        return []
    axis, panel, y = plan.axis, plan.panel, row.y
    thick = mark.size if mark.shape == "bar" else 1.0
    if mark.high < axis.low or mark.low > axis.high:
        left = mark.high < axis.low
        edge, sign = (panel.left, 1) if left else (panel.right, -1)
        return [
            Line(((edge, y), (edge + sign * 2 * ARROW, y)), thick, color),
            arrow(edge, y, left, ARROW, color),
        ]
    low, high = panel.x(max(mark.low, axis.low)), panel.x(min(mark.high, axis.high))
    start = low + (0.8 * ARROW if mark.cut_low else 0.0)
    end = high - (0.8 * ARROW if mark.cut_high else 0.0)
    items: list[Item] = [Line(((start, y), (end, y)), thick, color)]
    items += [arrow(low, y, True, ARROW, color)] if mark.cut_low else []
    return items + ([arrow(high, y, False, ARROW, color)] if mark.cut_high else [])


def _at_the_edge(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return a hollow triangle at the edge of the axis, the estimate beside it, and what is seen of the line.

    The line of the interval ends before the estimate; where it runs out on the other side it has an arrow.
    """
    panel, axis, left = plan.panel, plan.axis, mark.beyond == "left"
    words = row.cells.get(ESTIMATE, ("",))[0]
    value = value_at_the_edge(panel, left, row.y, EDGE_MARK, words, color)
    items: list[Item] = [mark_at_the_edge(panel, left, row.y, EDGE_MARK, color, 1.0), value]
    end, cut = (mark.high, mark.cut_high) if left else (mark.low, mark.cut_low)
    if end is None:
        return items
    sign = 1.0 if left else -1.0
    inner = value.x + sign * (text_width(words, value.size) + 2.0)
    far = panel.x(min(max(end, axis.low), axis.high))
    if sign * (far - inner) > ARROW:
        stop = far - sign * (0.8 * ARROW if cut else 0.0)
        items.append(Line(((inner, row.y), (stop, row.y)), 1.0, color))
        items += [arrow(far, row.y, not left, ARROW, color)] if cut else []
    return items


def _diamond(plan: ForestPlan, row: ForestRow, mark: Mark, color: str) -> list[Item]:
    """Return a diamond from bound to bound; one that the axis cuts has a head as high as itself there."""
    if mark.estimate is None:
        return []
    panel, half, y = plan.panel, mark.size / 2, row.y
    x = panel.x(mark.estimate)
    fill, width = (WHITE, 0.9) if mark.hollow else (color, 0.5)
    if mark.low is None or mark.high is None:
        return [Dot(x, y, "diamond", mark.size, fill, color, 0.9)]
    left, right = (
        panel.x(end) if math.isfinite(end) else x + math.copysign(FAR, end) for end in (mark.low, mark.high)
    )
    corners: list[Point] = [(left, y), (x, y - half), (right, y), (x, y + half)]
    heads: list[Item] = []
    for cut, edge, inward in ((mark.cut_low, panel.left, ARROW), (mark.cut_high, panel.right, -ARROW)):
        if cut:
            back = edge + inward
            corners = cut_polygon(corners, back, inward > 0)
            heads.append(Area(((edge, y), (back, y - half), (back, y + half)), fill, color, width))
    return [Area(tuple(corners), fill, color, width), *heads] if len(corners) > 2 else heads


def _open_interval(plan: ForestPlan, row: ForestRow, mark: Mark) -> list[Item]:
    """Return the line of an open interval: a round bracket at a finite end, an arrow where there is none.

    A hollow mark, of which a direction is all that is known, is dashed.
    """
    if mark.low is None or mark.high is None:
        return []
    axis, panel, y = plan.axis, plan.panel, row.y
    items: list[Item] = []
    ends = [
        panel.x(min(max(mark.low, axis.low), axis.high)),
        panel.x(max(min(mark.high, axis.high), axis.low)),
    ]
    for side, (cut, left) in enumerate(((mark.cut_low, True), (mark.cut_high, False))):
        x = ends[side]
        beyond = (mark.low > axis.high) if left else (mark.high < axis.low)
        if cut:
            items.append(arrow(x, y, left, ARROW, COLOR))
        elif not beyond:
            items.append(Line(_bracket(x, y, left), WIDTH, COLOR))
        if cut or beyond:
            ends[side] = x + (HEAD if left else -HEAD)
    if ends[0] < ends[1]:
        items.append(Line(((ends[0], y), (ends[1], y)), WIDTH, COLOR, DASH if mark.hollow else ()))
    return items


def _bracket(x: float, y: float, left: bool) -> tuple[Point, ...]:
    """Return the points of a round bracket whose back stands at x."""
    most = math.radians(62)
    turns = [most * (2 * i / STEPS - 1) for i in range(STEPS + 1)]
    depth = (DEPTH if left else -DEPTH) / (1 - math.cos(most))
    return tuple((x + depth * (1 - math.cos(t)), y + BRACKET * math.sin(t) / math.sin(most)) for t in turns)


def _words_below(plan: ForestPlan) -> list[Item]:
    items: list[Item] = []
    lines = len(wrap_to_width(plan.axis.label, plan.panel.right - plan.panel.left, plan.size))
    y = plan.panel.bottom + 5.0 + 1.3 * SMALL_SIZE + lines * plan.line
    ends: tuple[tuple[float, Align], ...] = ((plan.panel.left, "left"), (plan.panel.right, "right"))
    for (x, align), words in zip(ends, plan.sides, strict=True):
        for i, text in enumerate(words):
            items.append(Text(x, y + (i + 0.9) * plan.line, text, plan.size, align=align))
    return items + note_items(plan.notes, plan.height)
