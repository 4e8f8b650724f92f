"""Places for the rows and columns of a table, from the measured widths of its texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots.canvas.arguments import Column
from metaexo.plots.canvas.fonts import HINTED, NO_FONT, NO_LETTER, plain
from metaexo.plots.canvas.legend import lay_out_keys
from metaexo.plots.canvas.plan import in_lines, is_axes, rows_on_a_page, size_of, whole_figure
from metaexo.plots.canvas.scale import Scale, ShownAxis, from_place, robust_limits, tick_label, to_place
from metaexo.plots.canvas.theme import LEAST_SIZE, Theme
from metaexo.plots.table.lanes import in_lanes
from metaexo.plots.table.plan import (
    BESIDE,
    BOLD,
    MARGIN,
    Box,
    PlacedColumn,
    SpanningHead,
    TablePlan,
    below_axis,
    between_sides,
    interval_of,
    is_bold,
    label_room,
)
from metaexo.plots.table.rows import ESTIMATE, LABEL, AxisSpec, Mark, Row, Table
from metaexo.types import Array

GAP, PANEL_GAP = 10.0, 12.0
LEAST_PANEL, LEAST_TEXT = 70.0, 34.0
PANEL_SHARE, NARROW_SHARE, LARGEST_SHARE = 0.34, 0.27, 0.62
STEP, LOSS = 3.0, 0.85
TITLE_LETTERS = 18
LEAST_ROW, PAD, LARGEST_PAD = 1.18, 0.36, 1.8  # height of a row of one line, and room around, in letters
TIGHTEST = 0.05  # what rows of a figure of a given height may lose, in letters
DWARFS = 2.0
PART = 0.25
DETAIL_GAP = 6.0
FAVOURS, LONG = 130.0, 230.0


def lay_out(
    table: Table, width: float, height: float | None = None, ax: Any = None, pages: bool | int = False
) -> TablePlan:
    """Return the plan of a table, every row and column at its place; further pages are part of it.

    `width`, `height`: size of the figure in inches; those of `ax` if it is given.
    `pages`: most rows on a page; True is 40, False is all on one page.
    Raises InputError if texts of 7 points do not fit, with a size that is large enough.
    """
    if ax is not None:
        width, height = size_of(ax)
    theme, across = table.theme, 72.0 * width
    columns, panel = _columns(table, across)
    by_key = {column.key: column for column in columns}
    block = panel.left - PANEL_GAP - columns[0].left if columns else 0.0
    rows = [
        _wrapped(row, by_key, columns, across - 2 * MARGIN if row.wide else block, theme)
        for row in table.rows
    ]
    axis = _axis(table, panel)
    rows = [in_lanes(_cut(row, axis), axis, panel.right - panel.left, theme) for row in rows]
    parts = _pages(rows, rows_on_a_page(pages), theme)
    plans = [
        _page(table, part, columns, panel, axis, (width, height), (i + 1, len(parts)), not is_axes(ax))
        for i, part in enumerate(parts)
    ]
    if ax is not None or height is not None:
        _check_height(plans, height, ax, theme)
    return replace(plans[0], more=tuple(plans[1:]))


# -- columns -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Wish:
    """What a column needs: its width as it is, and the least that it can be squeezed to."""

    column: Column
    width: float
    least: float
    floor: float  # with words broken
    lengths: Sequence[float] = ()  # of the texts of all rows
    interval: float = 0.0  # width of the intervals behind estimates


def _columns(table: Table, across: float) -> tuple[tuple[PlacedColumn, ...], Box]:
    """Return the columns at their places, and the edges of the panel.

    Where there is not enough room the panel gets narrower first, then long texts are broken into lines.
    """
    theme = table.theme
    wishes = [_wish(column, table) for column in table.columns]
    _widen_for_heads(wishes, table)
    _widen_for_texts(wishes, table)
    gaps = GAP * max(len(wishes) - 1, 0) + PANEL_GAP
    room = across - 2 * MARGIN - gaps
    wanted = sum(wish.width for wish in wishes)
    panel = min(max(room - wanted, PANEL_SHARE * across), LARGEST_SHARE * across)
    if wanted + panel > room:
        least = sum(wish.least for wish in wishes)
        panel = max(room - wanted, min(LEAST_PANEL, 0.5 * room), min(NARROW_SHARE * across, room - least))
        _squeeze(wishes, room - panel, across, theme)
    names = [wish for wish in wishes if wish.column.side == "left"]
    spare = room - panel - sum(wish.width for wish in wishes)
    if names and spare > 0:
        names[0].width += spare
    placed, x = [], MARGIN
    for wish in names:
        placed.append(_placed(wish, x, theme))
        x = placed[-1].right + GAP
    left = x - GAP + PANEL_GAP if names else MARGIN
    x = left + panel + PANEL_GAP
    for wish in wishes:
        if wish.column.side == "right":
            placed.append(_placed(wish, x, theme))
            x = placed[-1].right + GAP
    return tuple(placed), Box(_snap(left), _snap(left + panel), 0.0, 0.0)


def _wish(column: Column, table: Table) -> _Wish:
    theme, key = table.theme, column.key
    heading = max((theme.width(line, True) for line in _title(column, theme)), default=0.0)
    cells = [(row, row.cells[key]) for row in table.rows if key in row.cells]
    if column.kind == "risk":
        width = math.ceil(max(heading, 1.6 * theme.size))
        return _Wish(column, width, width, width)
    if column.kind == "estimate":
        bold = [is_bold(row, key) for row, _ in cells]
        texts = [(pieces[0], interval_of(pieces)) for _, pieces in cells]
        first, second = (
            max((theme.width(pair[i], one) for pair, one in zip(texts, bold, strict=True)), default=0.0)
            for i in (0, 1)
        )
        width = math.ceil(max(first + second + 1.8 * theme.width(" ") * (second > 0) + 1.0, heading))
        return _Wish(column, width, width, width, interval=second)
    widths = [
        theme.width(line, is_bold(row, key)) + (row.indent if key == LABEL else 0.0)
        for row, lines in cells
        for line in lines
    ]
    width = math.ceil(max([heading, *widths]))
    if column.kind != "text":
        return _Wish(column, width, width, width)
    longest = max(
        (
            theme.width(word, is_bold(row, key)) + (row.indent if key == LABEL else 0.0)
            for row, lines in cells
            for line in lines
            for word in line.split()
        ),
        default=0.0,
    )
    headed = max((theme.width(word, True) for word in column.title.split()), default=0.0)
    if key != LABEL:
        width = min(width, math.ceil(max(heading, column.letters * 0.6 * theme.size)))
    least = math.ceil(min(width, max(LEAST_TEXT, headed, min(longest, 110.0))))
    floor = min(least, math.ceil(max(LEAST_TEXT, headed)))
    return _Wish(column, width, least, floor, [_length(row, key, theme) for row in table.rows])


def _length(row: Row, key: str, theme: Theme) -> float:
    """Return the length of the text of a row in a column."""
    lines = row.cells.get(key, ())
    return theme.width(" ".join(lines), is_bold(row, key)) + (row.indent if key == LABEL else 0.0)


def _title(column: Column, theme: Theme, room: float = math.inf) -> tuple[str, ...]:
    """Return the lines of a heading."""
    if not column.title:
        return ()
    usual = math.inf if column.key == LABEL and room < math.inf else 0.58 * TITLE_LETTERS * theme.size
    return theme.wrap(column.title, min(room, usual), bold=True)


def _widen_for_heads(wishes: Sequence[_Wish], table: Table) -> None:
    """Make the last column wider where a heading over several columns is wider than they are.

    The heading can be broken into lines if there is no room for the whole of it.
    """
    keys = [wish.column.key for wish in wishes]
    under = [member for members in table.heads.values() for member in members]
    if twice := sorted({member for member in under if under.count(member) > 1}):
        raise InputError(f"the column {twice[0]!r} under two headings", "one heading over a column")
    for title, members in table.heads.items():
        for member in members:
            if member not in keys:
                raise UnknownChoiceError("column under a heading", member, keys)
        places = [keys.index(member) for member in members]
        sides = {wishes[place].column.side for place in places}
        if not places or places != list(range(places[0], places[0] + len(places))) or len(sides) > 1:
            raise InputError(
                f"the columns {list(members)} under {title!r} do not stand side by side",
                "neighbouring columns on one side of the panel, in their order",
                f"the order of the columns is {keys}",
            )
        have = sum(wishes[place].width for place in places) + GAP * (len(places) - 1)
        last, width = wishes[places[-1]], table.theme.width
        word = max((width(word, True) for word in title.split()), default=0.0)
        last.width += max(0.0, width(title, True) - have)
        last.least += max(0.0, word - have)
        last.floor += max(0.0, word - have)


def _widen_for_texts(wishes: Sequence[_Wish], table: Table) -> None:
    """Make the first column wide enough for texts that run over the columns on the left."""
    left = [wish for wish in wishes if wish.column.side == "left"]
    spanning = [row for row in table.rows if row.text and not row.wide]
    if not left or not spanning:
        return
    theme = table.theme
    tests = [row for row in spanning if row.kind in ("test", "note")]
    spanning = [row for row in spanning if row not in tests] or tests
    long = max((row.indent + theme.width(row.text[0]) for row in tests), default=0.0)
    name = max(row.indent + theme.width(max(row.text, key=len), row.kind in BOLD) for row in spanning)
    details = ((row.indent, part) for row in spanning for part in row.detail)
    part = max((indent + theme.width(part) for indent, part in details), default=0.0)
    for wanted, field in (
        (max(name + part + DETAIL_GAP, min(long, LONG)), "width"),
        (min(max(name, part), 84.0), "least"),
    ):
        have = sum(getattr(wish, field) for wish in left) + GAP * (len(left) - 1)
        setattr(left[0], field, math.ceil(getattr(left[0], field) + max(0.0, wanted - have)))
    beside = {wish.column.key for wish in left[1:]}  # columns whose cells leave a text the first one alone
    alone = [row for row in spanning if beside & set(row.cells)]
    own = max((row.indent + theme.width(row.text[0], row.kind in BOLD) for row in alone), default=0.0)
    left[0].least = max(left[0].least, math.ceil(min(own, 84.0)))
    left[0].width = max(left[0].width, left[0].least)


def _squeeze(wishes: Sequence[_Wish], room: float, across: float, theme: Theme) -> None:
    """Make texts narrower until all columns fit in a room, names last; raises InputError if they cannot."""
    _give_up_words(wishes, room)
    least = sum(wish.least for wish in wishes)
    if least > room:
        wider = (across + least - room) / 72
        raise InputError(
            f"{len(wishes)} columns need {wider:.2f} inches with letters of {theme.size:g} points, "
            f"and there are {across / 72:.2f}",
            "columns that fit beside the panel",
            f"choose width={math.ceil(10 * wider) / 10:g} or more, or show fewer columns",
        )
    over = sum(wish.width for wish in wishes) - room
    if over <= 0:
        return
    texts = [wish for wish in wishes if wish.width > wish.least]
    rows = max(len(wish.lengths) for wish in texts)  # a column of numbers is wide for a heading, not for them
    lengths = np.array([wish.lengths or [0.0] * rows for wish in texts]).T  # shape (rows, columns)
    widths, least_of = np.array([(wish.width, wish.least) for wish in texts]).T
    while over > 1e-9:
        steps = np.minimum(widths - least_of, min(STEP, over))
        costs = [
            _lines(lengths, widths - steps * (np.arange(widths.size) == i)).sum() - 1e-6 * widths[i]
            for i in range(widths.size)
        ]
        narrower = int(np.argmin(np.where(steps > 0, costs, math.inf)))
        widths[narrower] -= steps[narrower]
        over -= steps[narrower]
    for wish, width in zip(texts, widths, strict=True):
        wish.width = math.floor(width)


def _give_up_words(wishes: Sequence[_Wish], room: float) -> None:
    """Let words be broken where whole words do not fit in a room, in few columns and in names last."""
    lacking: float = math.ceil(sum(wish.least for wish in wishes) - room)
    for wish in sorted(wishes, key=lambda wish: (wish.column.key == LABEL, wish.floor - wish.least)):
        given = min(max(lacking, 0), wish.least - wish.floor)
        wish.least -= given
        lacking -= given


def _lines(lengths: Array, widths: Array) -> Array:
    """Return about how many lines each row takes if texts of such lengths stand in columns of such widths."""
    across = np.maximum(np.ceil(lengths / widths), 1)
    across = np.where(across > 1, np.ceil(lengths / (LOSS * widths)), across)  # words do not fill their lines
    return np.asarray(across.max(axis=1))


def _placed(wish: _Wish, x: float, theme: Theme) -> PlacedColumn:
    column, right = wish.column, _snap(x + wish.width)
    edges: tuple[float, ...] = ()
    if column.kind == "estimate":
        gap = 1.8 * theme.width(" ") * (wish.interval > 0)
        edges = (_snap(right - wish.interval - gap), right)
    title = _title(column, theme, wish.width + 0.5)
    return PlacedColumn(column.key, column.kind or "text", title, _snap(x), right, edges, column.tool)


# -- rows --------------------------------------------------------------------------------------------------


def _wrapped(
    row: Row, by_key: Mapping[str, PlacedColumn], columns: Sequence[PlacedColumn], block: float, theme: Theme
) -> Row:
    """Return the row with its texts broken into lines that fit, and the height that it needs."""
    cells = {}
    for key, lines in row.cells.items():
        column = by_key.get(key)
        if column is None or column.kind != "text":
            cells[key] = tuple(map(plain, lines))
            continue
        room = column.right - column.left - (row.indent if column is columns[0] else 0.0) + 0.5
        cells[key] = tuple(part for line in lines for part in theme.wrap(line, room, is_bold(row, key)))
    text, detail, beside = row.text, row.detail, True
    if text:
        left = [one.left for one in columns[1:] if one.right <= block + MARGIN + 1.0 and one.key in row.cells]
        room = (min(left) - GAP - columns[0].left if left else block) - row.indent
        room = max(room, LEAST_TEXT)
        bold = row.kind in BOLD
        text = tuple(part for line in text for part in theme.wrap(line, room, bold))
        said = "; ".join(detail)
        beside = len(text) == 1 and theme.width(text[0], bold) + DETAIL_GAP + theme.width(said) <= room
        detail = ((said,) if beside else theme.wrap(said, room)) if said else ()
    stacked = len(text) + (0 if beside else len(detail))
    several = [len(lines) for key, lines in cells.items() if key != ESTIMATE]
    count = max([1, stacked, *several])
    base = 0.25 if row.kind in ("spacer", "rule") else LEAST_ROW + (count - 1) * 1.22
    height = max(base * theme.size, row.height)
    return replace(row, cells=cells, text=text, detail=detail, beside=beside, height=height)


def _pages(rows: Sequence[Row], most: int | None, theme: Theme) -> list[list[Row]]:
    """Return the rows of each page: at most so many with a text, and a head never last on a page.

    The head of a group that goes on is repeated, and so is the label of several rows.
    """
    if most is None:
        return [list(rows)]
    pages: list[list[Row]] = [[]]
    head: Row | None = None
    label: tuple[str, ...] = ()
    for i, row in enumerate(rows):
        filled = sum(one.kind not in ("spacer", "rule") for one in pages[-1])
        opens = row.kind in ("head", "cluster")
        if filled >= most or (opens and filled >= most - 2):
            kept = pages[-1]
            while kept and kept[-1].kind in ("spacer", "rule", "head"):
                kept.pop()
            pages.append([])
            goes_on = row.kind in ("study", "subtotal") and head is not None and i > 0
            if goes_on and head is not None:
                again = (f"{head.text[0]} (continued)", *head.text[1:]) if head.text else head.text
                pages[-1].append(replace(head, id=f"{head.id}:page{len(pages)}", text=again))
        if row.kind in ("spacer", "rule") and not pages[-1]:
            continue
        if row.kind == "head":
            head = row
        label = row.cells.get(LABEL, label if row.kind == "study" else ())
        opened = all(one.kind == "head" for one in pages[-1]) and label and row.kind == "study"
        pages[-1].append(_labelled(row, label, theme) if opened else row)
    return [page for page in pages if page]


def _labelled(row: Row, label: tuple[str, ...], theme: Theme) -> Row:
    """Return a row with a label of its own."""
    least = (LEAST_ROW + (len(label) - 1) * 1.22) * theme.size
    return replace(row, cells={**row.cells, LABEL: label}, height=max(row.height, least))


def _page(
    table: Table,
    rows: Sequence[Row],
    columns: tuple[PlacedColumn, ...],
    panel: Box,
    axis: ShownAxis,
    size: tuple[float, float | None],
    page: tuple[int, int],
    with_notes: bool,
) -> TablePlan:
    """Return the plan of one page."""
    theme, across = table.theme, 72.0 * size[0]
    room = (across - 2 * MARGIN) / HINTED
    number, count = page
    title = table.title + (f" ({number} of {count})" if count > 1 and table.title else "")
    title_lines, _ = in_lines(title, (), room, theme)
    y = MARGIN + (len(title_lines) + 0.4 * bool(title_lines)) * theme.line
    keys, side_by_side, deep = lay_out_keys(table.keys, room, theme)
    y += deep
    heads = _heads(table, columns)
    tall = [head.above + (len(head.title) + 0.25) * theme.line for head in heads]
    top = y + max([3.0, *tall, *(3.0 + len(column.title) * theme.line for column in columns)])
    notes = (*table.notes, *_bounded_notes(rows, table), *_beyond_notes(rows)) if number == count else ()
    shown = (text for row in rows for lines in (*row.cells.values(), row.text) for text in lines)
    if any(NO_LETTER in text for text in (*shown, *title_lines, *(key.label for key in keys))):
        notes = (*notes, NO_FONT)
    _, note_lines = in_lines("", notes if with_notes else (), room, theme)
    favours = _favours(table, panel, axis, across)
    under = below_axis(axis, label_room(panel, across), theme) + max(map(len, favours)) * theme.line
    if not any(row.marks for row in rows):  # there is no axis then
        under = 0.0
    below = (
        3.0 + under + (0.4 * theme.line + len(note_lines) * 1.3 * theme.small if note_lines else 0.0) + MARGIN
    )
    pad = PAD * theme.size
    if table.row_height is not None:
        pad = table.row_height - LEAST_ROW * theme.size
    elif size[1] is not None:
        spare = 72.0 * size[1] - top - 3.0 - below - sum(row.height for row in rows)
        pad = min(max(spare / len(rows), -TIGHTEST * theme.size), LARGEST_PAD * theme.size)
    y = top + 3.0
    placed = []
    for row in rows:
        high = row.height + pad
        placed.append(replace(row, y=_snap(y + high / 2), height=_snap(high)))
        y += high
    bottom = y + 3.0
    height = math.ceil(bottom - 3.0 + below) / 72
    if size[1] is not None:
        height = max((bottom - 3.0 + below) / 72, size[1])
    return TablePlan(
        title=title,
        notes=tuple(notes),
        width=size[0],
        height=height,
        theme=theme,
        measure=table.measure,
        level=table.level,
        columns=columns,
        heads=heads,
        rows=tuple(placed),
        axis=axis,
        panel=replace(panel, top=_snap(top), bottom=_snap(bottom)),
        pooled=table.pooled,
        favours=favours,
        keys=keys,
        legend_columns=side_by_side,
        title_lines=title_lines,
        note_lines=note_lines,
        summary=table.summary,
    )


def _check_height(plans: Sequence[TablePlan], height: float | None, ax: Any, theme: Theme) -> None:
    """Refuse a height in which rows do not fit with letters that can be read."""
    tallest = max(plans, key=lambda plan: plan.height)
    needed = tallest.height
    if height is None or needed <= height + 0.005:
        return
    count, margins = len(tallest.rows), (2 * MARGIN + 12.0) / 72
    if ax is None:
        remedies = [f"choose height={_tenths(needed)}"]
        each = max(row.height for row in tallest.rows) / 72
        on_a_page = int((height - needed + count * each) / each) - 1  # a heading may come twice
        if on_a_page >= 3:
            remedies.append(f"pages={on_a_page}")
    else:
        figure = whole_figure(ax)
        wide, high = figure.get_size_inches()
        make = "plt.subplots" if is_axes(ax) else "plt.figure"
        remedies = [
            f"make a figure that is higher: {make}(figsize=({wide:g}, {_tenths(high * needed / height)}))"
        ]
    if margins + (needed - margins) * LEAST_SIZE / theme.size <= height and theme.size > LEAST_SIZE:
        remedies.append(f"font_size={LEAST_SIZE:g}")
    raise InputError(
        f"{count} rows need {needed:.2f} inches with letters of {theme.size:g} points, "
        f"and there are {height:.2f}",
        "a height that holds all rows",
        ", or ".join(remedies) + ", or show fewer rows",
    )


def _tenths(inches: float) -> str:
    """Return a length that is at least so long, as it is written."""
    return f"{math.ceil(10 * inches) / 10:g}"


def _heads(table: Table, columns: Sequence[PlacedColumn]) -> tuple[SpanningHead, ...]:
    """Return the headings over several columns, each just above the tallest heading below it."""
    theme = table.theme
    places = {column.key: column for column in columns}
    heads = []
    for title, members in table.heads.items():
        below = [places[member] for member in members]
        left, right = below[0].left, below[-1].right
        lines = theme.wrap(title, right - left + 0.5, bold=True)
        above = 3.0 + (max(len(column.title) for column in below) + 0.15) * theme.line
        heads.append(SpanningHead(lines, left, right, _snap(above)))
    return tuple(heads)


def _favours(
    table: Table, panel: Box, axis: ShownAxis, across: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words on both sides of the reference line below the axis, in lines."""
    x = between_sides(panel, axis)
    rooms = (min(FAVOURS, (end - BESIDE - MARGIN) / HINTED) for end in (x, across - x))
    texts = zip(table.favours, rooms, strict=True)
    left, right = (table.theme.wrap(text, room) if text else () for text, room in texts)
    return left, right


# -- the axis ----------------------------------------------------------------------------------------------


def _axis(table: Table, panel: Box) -> ShownAxis:
    """Return the axis, with limits that hold every estimate if none are given."""
    spec = table.axis
    low, high = spec.limits or _limits(table, spec)
    return ShownAxis(
        low=low,
        high=high,
        scale=spec.scale,
        reference=spec.reference,
        label=spec.label,
        ticks=None if spec.ticks is None else tuple(float(tick) for tick in spec.ticks),
        tick_labels=None if spec.tick_labels is None else tuple(spec.tick_labels),
    )


def _limits(table: Table, spec: AxisSpec) -> tuple[float, float]:
    """Return limits that show every estimate, tick asked for, overall effect, and what else is pooled nearby.

    An interval of a stratum, of a cluster or of prediction that would more than double the axis is cut.
    """
    scale = spec.scale
    bounds: dict[str, list[tuple[float, float]]] = {}
    asked = [*(spec.ticks or ()), *(() if spec.reference is None else (spec.reference,))]
    always = [to_place(scale, value) for value in asked]
    for row in table.rows:
        for mark in row.marks:
            stretch = _bounds(mark, scale)
            if stretch is not None and not (mark.low is None and mark.high is None):
                bounds.setdefault(row.kind, []).append(stretch)
            if mark.estimate is not None:
                always.append(to_place(scale, mark.estimate))
    always = [place for place in always if math.isfinite(place)]
    studies = bounds.get("study") or bounds.get("subtotal", [])  # of strata alone: those are what is compared
    always += [bound for pair in bounds.get("total", []) for bound in pair if math.isfinite(bound)]
    lows, highs = [low for low, _ in studies], [high for _, high in studies]
    low, high = robust_limits(lows, highs, always)
    most = DWARFS * (high - low)
    for pair in (*bounds.get("cluster", []), *bounds.get("subtotal", []), *bounds.get("prediction", [])):
        if max(high, pair[1]) - min(low, pair[0]) <= most:
            always += pair
    low, high = _whole(spec, *robust_limits(lows, highs, always))
    low, high = min([low, *always]), max([high, *always])
    return from_place(scale, low), from_place(scale, high)


def _whole(spec: AxisSpec, low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis of a measure with a range: the whole of it, unless a part is enough."""
    if spec.whole is None or spec.scale == "logit":
        return low, high
    least, most = (to_place(spec.scale, end) for end in spec.whole)
    if math.isfinite(most - least) and high - low >= PART * (most - least):
        return least, most
    return max(low, least), min(high, most)


def _bounds(mark: Mark, scale: Scale) -> tuple[float, float] | None:
    """Return the stretch that a mark takes; that of an effect without interval is a point."""
    low = mark.estimate if mark.low is None else mark.low
    high = mark.estimate if mark.high is None else mark.high
    return None if low is None or high is None else (to_place(scale, low), to_place(scale, high))


def _cut(row: Row, axis: ShownAxis) -> Row:
    """Return the row with its marks marked where their intervals, or their estimates, leave the axis."""
    marks = tuple(
        replace(
            mark,
            beyond=axis.side_of(mark.estimate),
            cut_low=axis.side_of(mark.low) == "left",
            cut_high=axis.side_of(mark.high) == "right",
        )
        for mark in row.marks
    )
    return replace(row, marks=marks)


def _bounded_notes(rows: Sequence[Row], table: Table) -> tuple[str, ...]:
    """Return how many intervals end where the range of the measure does."""
    count = sum(mark.bounded for row in rows for mark in row.marks)
    if not count:
        return ()
    least, most = (tick_label(x) if math.isfinite(x) else "" for x in table.measure.possible)
    where = f"{least} to {most}" if least and most else f"at least {least}" if least else f"at most {most}"
    is_cut = "1 interval leaves" if count == 1 else f"{count} intervals leave"
    return (f"{is_cut} what is possible ({where}) and {'is' if count == 1 else 'are'} cut there.",)


def _beyond_notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return how many estimates lie outside the axis; their marks stand at its edge."""
    outside = [(row.kind, mark) for row in rows for mark in row.marks if mark.beyond]
    if not outside:
        return ()
    verb = "estimate lies" if len(outside) == 1 else "estimates lie"
    return (f"{len(outside)} {verb} outside the axis: hollow triangle at its edge, with the value.",)


def _snap(value: float) -> float:
    """Round to a hundredth of a point, in two steps: noise in the last digits cannot turn a tie."""
    return round(round(float(value), 6), 2)
