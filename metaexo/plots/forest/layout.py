"""Places for the rows and columns of a forest plot, from the measured widths of its texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import level_words, plural
from metaexo.plots.canvas.fonts import MARGIN, SMALL_SIZE, plain, text_width, wrap, wrap_to_width
from metaexo.plots.canvas.page import note_lines, notes_height, panel_of, snap, title_height, title_lines
from metaexo.plots.canvas.scale import (
    Axis,
    axis_at,
    axis_between,
    axis_words,
    display,
    given_limits,
    on_axis,
    place_of,
    robust_limits,
    side_of,
    tick_label,
    whole_range,
)
from metaexo.plots.forest.options import Options
from metaexo.plots.forest.plan import ForestPlan, ForestRow, Mark, PlacedColumn, SpanningHead
from metaexo.plots.forest.rows import ESTIMATE, LABEL, SPAN_LETTERS, WEIGHT, Rows

TITLE_LETTERS = 18
COLUMN_GAP = 14.0
PANEL_GAP = 16.0
SPAN_GAP = 7.0
HEAD_LINES = 1.4
DWARFS = 2.0
BOLD = ("subtotal", "total")
LEFT_SIDE, RIGHT_SIDE = "← favours control", "favours exosome →"


def lay_out(found: Rows, options: Options) -> ForestPlan:
    """Return the plan: every row and column at its place."""
    size, line = options.text_size, 1.22 * options.text_size
    rows = [_wrapped(row, found, options.label_letters) for row in found.rows]
    columns, panel_left = _columns(rows, found, options)
    axis = _axis(found, options)
    right = columns[-1].right
    width = float(math.ceil(right + MARGIN))
    title = title_lines(options.title, width, size)
    y = MARGIN + title_height(title, line)
    headed = {member for members in (options.heads or {}).values() for member in members}
    rule_y = y + 3.0 + max((len(c.title) + HEAD_LINES * (c.key in headed)) * line for c in columns)
    heads = _heads(columns, options, rule_y - 3.0, line)
    y = rule_y + 3.0
    placed = []
    for row in rows:
        height = _height(row, options)
        placed.append(replace(_cut(row, axis), y=snap(y + height / 2), height=snap(height)))
        y += height
    axis_y = y + 3.0
    panel = panel_of(axis, panel_left, panel_left + options.panel_width, rule_y, axis_y)
    sides = _sides(found, options)
    below = len(wrap_to_width(axis.label, options.panel_width, size)) + max(len(s) for s in sides)
    y = axis_y + 5.0 + 1.3 * SMALL_SIZE + below * line + 0.6 * line
    said = (*found.notes, *_bounded_notes(placed, found), *options.notes, *_beyond_notes(placed))
    notes = note_lines(said, width)
    height = float(math.ceil(y + notes_height(notes)))
    return ForestPlan(
        measure=found.measure,
        level=found.level,
        columns=columns,
        heads=heads,
        rows=tuple(placed),
        axis=axis,
        panel=panel,
        pooled=found.pooled,
        sides=sides,
        title=title,
        notes=notes,
        width=width,
        height=height,
        size=size,
        line=snap(line),
    )


def _wrapped(row: ForestRow, found: Rows, label_letters: int) -> ForestRow:
    """Return the row with its long texts broken into lines."""
    letters = {column.key: column.letters for column in found.columns if column.kind == "text"}
    letters[LABEL] = label_letters
    cells = {
        key: wrap(lines[0], letters[key]) if key in letters and len(lines) == 1 else lines
        for key, lines in row.cells.items()
    }
    text = tuple(part for line in row.text for part in wrap(line, SPAN_LETTERS))
    return replace(row, cells=cells, text=text, detail=plain(row.detail))


def _height(row: ForestRow, options: Options) -> float:
    base = 1.6 * options.text_size if options.row_height is None else options.row_height
    if row.kind in ("spacer", "rule"):
        return 0.5 * base
    lines = max([len(row.text), *(len(c) for key, c in row.cells.items() if key != ESTIMATE)], default=1)
    return base + (max(lines, 1) - 1) * 1.22 * options.text_size


def _columns(
    rows: Sequence[ForestRow], found: Rows, options: Options
) -> tuple[tuple[PlacedColumn, ...], float]:
    """Return the columns at their places, and the left edge of the panel."""
    size = options.text_size
    titles = {LABEL: options.label_title} | {column.key: column.title for column in found.columns}
    kinds = {column.key: column.kind or "text" for column in found.columns}
    heading = {key: wrap(title, TITLE_LETTERS) for key, title in titles.items()}
    widths = {
        key: max(
            [_widest(heading[key], size, bold=True)]
            + [
                _widest(row.cells[key], size, is_bold(row, key)) + (row.indent if key == LABEL else 0.0)
                for row in rows
                if key in row.cells and kinds.get(key) != "risk"
            ]
        )
        for key in heading
    }
    widths |= _widened_for_heads(widths, options)
    block = sum(widths.values()) + COLUMN_GAP * (len(widths) - 1)
    widths[LABEL] += max(0.0, max((_span_width(row, size) for row in rows), default=0.0) - block)
    placed, x = [], MARGIN
    for key, width in widths.items():
        right = x + math.ceil(width)
        placed.append(PlacedColumn(key, kinds.get(key, "text"), heading[key], x, right))
        x = right + COLUMN_GAP
    panel_left = x - COLUMN_GAP + PANEL_GAP
    x = panel_left + options.panel_width + PANEL_GAP
    placed.append(_estimate_column(rows, found, options, x))
    if found.weighted:
        shown = [row.cells[WEIGHT] for row in rows if WEIGHT in row.cells]
        title = ("Weight", "(%)")
        width = math.ceil(max(_widest(lines, size, bold=True) for lines in (*shown, title)))
        x = placed[-1].right + COLUMN_GAP
        placed.append(PlacedColumn(WEIGHT, "weight", title, x, x + width))
    return tuple(placed), panel_left


def _estimate_column(rows: Sequence[ForestRow], found: Rows, options: Options, left: float) -> PlacedColumn:
    """Return the column of estimates: three pieces, each aligned to its right edge."""
    size = options.text_size
    name = found.measure.display if len(found.measure.display) <= TITLE_LETTERS else found.measure.code
    title = (name, f"[{level_words(found.level)} CI]")
    pieces = [(row.cells[ESTIMATE], is_bold(row, ESTIMATE)) for row in rows if ESTIMATE in row.cells]
    widest = [max((text_width(p[i], size, bold) for p, bold in pieces), default=0.0) for i in range(3)]
    gap = 1.4 * text_width(" ", size)
    needed = sum(widest) + 2 * gap + 2.0
    spare = max(0.0, _widest(title, size, bold=True) - needed)
    first = left + spare + widest[0]
    second = first + gap + 2.0 + widest[1]
    edges = tuple(float(math.ceil(edge)) for edge in (first, second, second + gap + widest[2]))
    return PlacedColumn(ESTIMATE, "estimate", title, left, edges[-1], edges)


def is_bold(row: ForestRow, key: str) -> bool:
    """Return whether a cell is set in bold: pooled effects, and the names of clusters."""
    return row.kind in BOLD or (row.kind == "cluster" and key == LABEL)


def _widest(lines: Sequence[str], size: float, bold: bool = False) -> float:
    return max((text_width(line, size, bold) for line in lines), default=0.0)


def _span_width(row: ForestRow, size: float) -> float:
    if not row.text:
        return 0.0
    bold = row.kind != "note"
    return (
        row.indent
        + _widest(row.text, size, bold)
        + (SPAN_GAP + text_width(row.detail, size) if row.detail else 0.0)
    )


def _widened_for_heads(widths: dict[str, float], options: Options) -> dict[str, float]:
    """Return wider last columns where a heading over several columns is wider than they are."""
    wider = {}
    keys = list(widths)
    for title, members in (options.heads or {}).items():
        for member in members:
            if member not in widths:
                raise UnknownChoiceError("column under a heading", member, keys)
        places = [keys.index(member) for member in members]
        if not places or places != list(range(places[0], places[0] + len(places))):
            raise InputError(
                f"the columns {list(members)} under {title!r} do not stand side by side",
                "neighbouring columns, in their order",
                f"the order of the columns is {keys}",
            )
        have = sum(widths[m] for m in members) + COLUMN_GAP * (len(members) - 1)
        more = text_width(title, options.text_size, True) - have
        if more > 0:
            wider[members[-1]] = widths[members[-1]] + more
    return wider


def _heads(
    columns: Sequence[PlacedColumn], options: Options, bottom: float, line: float
) -> tuple[SpanningHead, ...]:
    """Return the headings over several columns, each just above the tallest heading below it."""
    places = {column.key: column for column in columns}
    heads = []
    for title, members in (options.heads or {}).items():
        below = [places[member] for member in members]
        rule = bottom - (max(len(column.title) for column in below) + 0.15) * line
        heads.append(SpanningHead(title, below[0].left, below[-1].right, snap(rule)))
    return tuple(heads)


def _axis(found: Rows, options: Options) -> Axis:
    measure = found.measure
    if options.reference == "null":
        no_effect = display(measure, measure.null)
        reference = None if math.isnan(no_effect) else on_axis(measure, no_effect)
    else:
        reference = None if options.reference is None else place_of(measure, options.reference, "reference")
    if options.limits is None:
        low, high = _limits(found, reference)
    else:
        low, high = given_limits(measure, options.limits)
    label = axis_words(measure) if options.axis_label is None else options.axis_label
    return axis_between(measure, low, high, reference, label, options.panel_width)


def _limits(found: Rows, reference: float | None) -> tuple[float, float]:
    """Return limits that show every estimate, the overall effect, and what else is pooled unless it is far.

    An interval of a stratum, of a cluster or of prediction that would more than double the axis is cut.
    """
    bounds: dict[str, list[tuple[float, float]]] = {}
    always = [] if reference is None else [reference]
    for row in found.rows:
        stretch = _bounds(row.mark)
        if stretch is not None:
            bounds.setdefault(row.kind, []).append(stretch)
        if row.mark is not None and row.mark.estimate is not None:
            always.append(row.mark.estimate)
    always = [place for place in always if math.isfinite(place)]
    lows = [low for low, _ in bounds.get("study", [])]
    highs = [high for _, high in bounds.get("study", [])]
    always += [bound for pair in bounds.get("total", []) for bound in pair]
    low, high = robust_limits(lows, highs, always)
    most = DWARFS * (high - low)
    for pair in (*bounds.get("cluster", []), *bounds.get("subtotal", []), *bounds.get("prediction", [])):
        if max(high, pair[1]) - min(low, pair[0]) <= most:
            always += pair
    low, high = whole_range(found.measure, *robust_limits(lows, highs, always))
    return min([low, *always]), max([high, *always])


def _bounds(mark: Mark | None) -> tuple[float, float] | None:
    """Return the stretch that a mark takes; that of an effect without interval is a point."""
    if mark is None:
        return None
    low = mark.estimate if mark.low is None else mark.low
    high = mark.estimate if mark.high is None else mark.high
    return None if low is None or high is None else (low, high)


def at_limits(plan: ForestPlan, left: float, right: float, *_: float) -> ForestPlan:
    """Return the plan with another axis: marks cut where it ends, ticks, and the note on what lies beyond."""
    axis = axis_at(plan.measure, plan.axis, plan.panel.right - plan.panel.left, left, right)
    rows = tuple(_cut(row, axis) for row in plan.rows)
    panel = replace(plan.panel, x_low=axis.low, x_high=axis.high)
    now = plan.with_notes(_beyond_notes(plan.rows), _beyond_notes(rows))
    return replace(plan, axis=axis, panel=panel, rows=rows, notes=now.notes, height=now.height)


def _cut(row: ForestRow, axis: Axis) -> ForestRow:
    """Return the row with its mark marked where its interval, or its estimate, leaves the axis."""
    mark = row.mark
    if mark is None:
        return row
    beyond = "" if mark.estimate is None else side_of(axis, mark.estimate)
    cut_low = mark.low is not None and side_of(axis, mark.low) == "left"
    cut_high = mark.high is not None and side_of(axis, mark.high) == "right"
    return replace(row, mark=replace(mark, cut_low=cut_low, cut_high=cut_high, beyond=beyond))


def _bounded_notes(rows: Sequence[ForestRow], found: Rows) -> tuple[str, ...]:
    """Return how many intervals end where the range of the measure does."""
    count = sum(row.mark is not None and row.mark.bounded for row in rows)
    if not count:
        return ()
    least, most = (tick_label(x) if math.isfinite(x) else "" for x in found.measure.possible)
    where = f"{least} to {most}" if least and most else f"at least {least}" if least else f"at most {most}"
    is_cut = "1 interval leaves" if count == 1 else f"{count} intervals leave"
    return (f"{is_cut} what is possible ({where}) and {'is' if count == 1 else 'are'} cut there.",)


def _beyond_notes(rows: Sequence[ForestRow]) -> tuple[str, ...]:
    """Return how many estimates lie outside the axis; their marks stand at its edge."""
    outside = [row for row in rows if row.mark is not None and row.mark.beyond]
    studies = sum(row.kind == "study" for row in outside)
    nested = any(row.kind == "cluster" for row in rows)
    noun = ("effect", "effects") if nested else ("study", "studies")
    parts = [plural(studies, *noun)] if studies else []
    pooled = len(outside) - studies
    parts += [plural(pooled, "pooled effect")] if pooled else []
    if not parts:
        return ()
    verb = "lies" if len(outside) == 1 else "lie"
    return (
        f"{' and '.join(parts)} {verb} outside the axis: hollow triangle at its edge, with the estimate.",
    )


def _sides(found: Rows, options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words under the left and the right end of the axis."""
    given = (options.left_label, options.right_label)
    usual = (LEFT_SIDE, RIGHT_SIDE) if found.oriented else ("", "")
    left, right = (u if g is None else g for g, u in zip(given, usual, strict=True))
    half = (options.panel_width - 12.0) / 2
    wrapped = [wrap_to_width(text, half, options.text_size) if text else () for text in (left, right)]
    return wrapped[0], wrapped[1]
