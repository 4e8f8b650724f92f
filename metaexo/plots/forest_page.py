"""From the plan of a forest plot to a page: what stands where, from back to front."""

from __future__ import annotations

from metaexo.plots.fonts import text_width, wrap_to_width
from metaexo.plots.forest_layout import SPAN_GAP, is_bold
from metaexo.plots.furniture import axis_items, note_items, title_items
from metaexo.plots.open_interval import open_interval
from metaexo.plots.page import (
    Align,
    Area,
    Dot,
    Item,
    Line,
    Page,
    Text,
    lines_of_text,
    make_page,
    middle,
)
from metaexo.plots.plan import ForestPlan, ForestRow, Mark, PlacedColumn
from metaexo.plots.style import FAINT, GREY, INK, MARGIN, PALE, PALETTE, SMALL_SIZE, WHITE

STUDY = PALETTE[0]
ARROW = 5.0
RISK = {
    "low": ("+", "#009E73"),
    "some concerns": ("?", "#E69F00"),
    "unclear": ("?", "#E69F00"),
    "high": (f"{chr(0x2212)}", "#D55E00"),
}


def forest_page(plan: ForestPlan) -> Page:
    """Return the page of a plan."""
    items: list[Item] = [*_lines_behind(plan), *_header(plan)]
    for row in plan.rows:
        items += _row(plan, row)
    items += axis_items(plan.axis, plan.panel, plan.axis_y, plan.size, plan.line)
    items += _words_below(plan)
    return make_page(plan.width, plan.height, items, plan.panel)


def _lines_behind(plan: ForestPlan) -> list[Item]:
    """Return the reference line and the line of the overall effect."""
    items: list[Item] = []
    panel = plan.panel
    if plan.axis.reference is not None:
        x = panel.x(plan.axis.reference)
        items.append(Line(((x, plan.rule_y), (x, plan.axis_y)), 0.8, PALE))
    if plan.pooled is not None and plan.axis.low <= plan.pooled <= plan.axis.high:
        x = panel.x(plan.pooled)
        items.append(Line(((x, plan.rule_y), (x, plan.axis_y)), 0.7, GREY, (3.0, 2.0)))
    return items


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
        return [Line(((MARGIN, row.y), (plan.width - MARGIN, row.y)), 0.5, FAINT)]
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
    colour = GREY if row.kind == "note" else INK
    x = plan.columns[0].left + row.indent
    items: list[Item] = list(
        lines_of_text(x, row.y, row.text, plan.line, size=plan.size, bold=bold, colour=colour)
    )
    if row.detail:
        widest = max(text_width(line, plan.size, bold) for line in row.text)
        x += widest + SPAN_GAP
        items.append(Text(x, middle(row.y, plan.size), row.detail, plan.size, colour=GREY))
    return items


def _risk_items(column: PlacedColumn, y: float, word: str, size: float) -> list[Item]:
    sign, colour = RISK.get(word.lower(), ("", FAINT))
    x = (column.left + column.right) / 2
    items: list[Item] = [Dot(x, y, "circle", 1.1 * size, colour, colour)]
    if sign:
        items.append(Text(x, middle(y, size), sign, size, True, WHITE, "center"))
    return items


def _mark_items(plan: ForestPlan, row: ForestRow) -> list[Item]:
    mark = row.mark
    if mark is None:
        return []
    if mark.shape == "diamond":
        return _diamond(plan, row, mark)
    if mark.shape == "open":
        return open_interval(plan, row, mark, _arrow)
    items = _interval(plan, row, mark, GREY if mark.shape == "bar" else STUDY)
    if mark.estimate is None or not plan.axis.low <= mark.estimate <= plan.axis.high:
        return items
    fill = WHITE if mark.hollow else STUDY
    shape = "circle" if mark.shape == "circle" else "square"
    items.append(Dot(plan.panel.x(mark.estimate), row.y, shape, mark.size, fill, STUDY, 1.0))
    return items


def _interval(plan: ForestPlan, row: ForestRow, mark: Mark, colour: str) -> list[Item]:
    """Return the line of an interval; an arrow where the axis cuts it."""
    if mark.low is None or mark.high is None:
        return []
    axis, panel = plan.axis, plan.panel
    thick = mark.size if mark.shape == "bar" else 1.0
    if mark.high < axis.low or mark.low > axis.high:
        left = mark.high < axis.low
        edge = panel.left if left else panel.right
        inner = edge + (2 * ARROW if left else -2 * ARROW)
        return [Line(((edge, row.y), (inner, row.y)), thick, colour), _arrow(edge, row.y, left, colour)]
    low, high = panel.x(max(mark.low, axis.low)), panel.x(min(mark.high, axis.high))
    inside = (
        low + (0.8 * ARROW if mark.cut_low else 0.0),
        high - (0.8 * ARROW if mark.cut_high else 0.0),
    )
    items: list[Item] = [Line(((inside[0], row.y), (inside[1], row.y)), thick, colour)]
    if mark.cut_low:
        items.append(_arrow(low, row.y, True, colour))
    if mark.cut_high:
        items.append(_arrow(high, row.y, False, colour))
    return items


def _arrow(x: float, y: float, left: bool, colour: str) -> Area:
    back = x + (ARROW if left else -ARROW)
    return Area(((x, y), (back, y - 0.5 * ARROW), (back, y + 0.5 * ARROW)), colour)


def _diamond(plan: ForestPlan, row: ForestRow, mark: Mark) -> list[Item]:
    """Return a diamond from bound to bound; a small one on a line with arrows where the axis is too short."""
    colour = INK if row.kind == "total" else GREY
    if mark.estimate is None or mark.low is None or mark.high is None:
        return []
    x, half = plan.panel.x(mark.estimate), mark.size / 2
    if mark.cut_low or mark.cut_high:
        items = _interval(plan, row, mark, colour)
        left, right = x - half, x + half
        if not plan.axis.low <= mark.estimate <= plan.axis.high:
            return items
    else:
        items = []
        left, right = plan.panel.x(mark.low), plan.panel.x(mark.high)
    corners = ((left, row.y), (x, row.y - half), (right, row.y), (x, row.y + half))
    return [*items, Area(corners, WHITE if mark.hollow else colour, colour, 0.9 if mark.hollow else 0.5)]


def _words_below(plan: ForestPlan) -> list[Item]:
    items: list[Item] = []
    lines = len(wrap_to_width(plan.axis.label, plan.panel.right - plan.panel.left, plan.size))
    y = plan.axis_y + 5.0 + 1.3 * SMALL_SIZE + lines * plan.line
    ends: tuple[tuple[float, Align], ...] = ((plan.panel.left, "left"), (plan.panel.right, "right"))
    for (x, align), words in zip(ends, plan.sides, strict=True):
        for i, text in enumerate(words):
            items.append(Text(x, y + (i + 0.9) * plan.line, text, plan.size, align=align))
    return items + note_items(plan.notes, plan.height)
