"""Strips of single values with intervals by category, for example vesicle sizes by source and isolation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError
from metaexo.formatting import NOT_REPORTED, plural, shown, whole_or_decimals
from metaexo.inputs import is_blank, read_numbers
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import Plan, drawing, passing, surround
from metaexo.plots.canvas.fonts import (
    FAINT,
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    WHITE,
    color_and_shape,
    text_width,
    wrap,
)
from metaexo.plots.canvas.page import (
    COLUMN_GAP,
    EDGE_LETTERS,
    Dot,
    Item,
    Key,
    Line,
    Page,
    Panel,
    Text,
    arrow,
    axis_height,
    axis_label,
    column_headings,
    lines_of_text,
    make_page,
    mark_at_the_edge,
    panel_of,
    snap,
    text_columns,
    ticks_of,
    upright_line,
    value_at_the_edge,
)
from metaexo.plots.canvas.scale import (
    LOGARITHM,
    Axis,
    Side,
    axis_at,
    axis_between,
    axis_words,
    from_axis,
    given_limits,
    on_axis,
    place_of,
    robust_limits,
    side_of,
)
from metaexo.plots.canvas.tables import column_of, levels_of
from metaexo.plots.canvas.words import same_line, title_of, words
from metaexo.plots.table.lanes import lanes

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 5000
DOT, ARROW, EDGE_MARK = 5.0, 4.0, 5.5
ROW_HEIGHT, LANE, EDGE_LANE, INDENT = 14.0, DOT + 1.5, 9.0, 8.0
LABEL_LETTERS, HEAD_LETTERS = 38, 42


@dataclass(frozen=True, slots=True)
class StripPoint:
    """One value with its interval, on the scale of the axis (logarithms on a logarithmic one).

    An end that is missing is None; one that a logarithmic axis cannot show is minus infinity. `cells` are the
    texts that belong to the point, such as the name of its study; `beyond` says on which side of the axis the
    value lies, if it is not on it.
    """

    value: float
    low: float | None
    high: float | None
    group: str
    color: str
    shape: str
    hollow: bool
    cells: tuple[str, ...] = ()
    beyond: Side = ""
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class StripRow:
    """A head or a category: lines of its label, texts of its cells, points, middle and height in points.

    A cell of several lines holds line breaks. `texts` says where the texts of the cells stand: the column,
    the text, and its middle; what belongs to some points of the row stands at their height.
    """

    kind: Literal["head", "category"]
    label: tuple[str, ...]
    cells: tuple[str, ...] = ()
    texts: tuple[tuple[int, str, float], ...] = ()
    points: tuple[StripPoint, ...] = ()
    y: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StripPlan(Plan):
    """What a strip of values shows, with its places in points from the upper left corner.

    Attributes
    ----------
    measure : Measure
        Way from the scale of the axis to the values.
    rows : tuple of StripRow
        Rows from top to bottom.
    columns : tuple of (str, float)
        Headings of the columns on the right, and their right edges.
    row_title : str
        What the rows are.
    indent : float
        Indent of the categories below heads, in points.
    axis, panel : Axis, Panel
        The axis and where it stands.
    """

    measure: Measure
    rows: tuple[StripRow, ...]
    columns: tuple[tuple[str, float], ...]
    row_title: str
    indent: float
    axis: Axis
    panel: Panel

    def to_frame(self) -> pd.DataFrame:
        """Return the points: category, group, value, low, high, hollow, as they are shown."""
        import pandas as pd

        def value(x: float | None) -> float | None:
            return None if x is None else from_axis(self.measure, x)

        return pd.DataFrame(
            [
                (" ".join(row.label), p.group, value(p.value), value(p.low), value(p.high), p.hollow)
                for row in self.rows
                for p in row.points
            ],
            columns=["category", "group", "value", "low", "high", "hollow"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices of a strip, in the order of its arguments.

    Parameters
    ----------
    low, high : str, optional
        Columns of the ends of an interval around each value.
    by : str, optional
        Column whose values get a colour and a mark each, for example the technique.
    hollow : str, optional
        Column of true and false: points to be drawn hollow.
    study : str, optional
        Column that names the study; the studies of each row are counted.
    log : bool
        Whether the axis is logarithmic.
    cells : mapping of str to str, optional
        Columns of the table to show on the right, with their headings, in place of all counts and medians;
        empty for none. Different texts of one row stand one below the other.
    row_title, study_title : str
        Headings of the rows (default: the names of the columns in words) and of the counts of studies.
    row_order, head_order, by_order : sequence of str, optional
        Orders of the categories, of the heads if `rows` names two columns, and of the groups of `by`.
        Default: the commonest first.
    wording : mapping of str to str, optional
        Words for categories.
    axis_label : str
        Words at the axis, with the unit.
    limits : tuple of float, optional
        Ends of the axis. Default: all values but far ones; what is cut ends in an arrow.
    reference : float, optional
        Value of a vertical line.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    panel_width : float
        Width of the panel in points.
    """

    low: str | None = None
    high: str | None = None
    by: str | None = None
    hollow: str | None = None
    study: str | None = None
    log: bool = True
    cells: Mapping[str, str] | None = None
    row_title: str = ""
    study_title: str = "Studies"
    row_order: Sequence[str] | None = None
    head_order: Sequence[str] | None = None
    by_order: Sequence[str] | None = None
    wording: Mapping[str, str] | None = None
    axis_label: str = ""
    limits: tuple[float, float] | None = None
    reference: float | None = None
    title: str = ""
    notes: Sequence[str] = ()
    panel_width: float = 260.0

    @property
    def measure(self) -> Measure:
        """Way from the scale of the axis to the values."""
        return LOGARITHM if self.log else GENERIC

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


@checked
@passing(Options)
def interval_strip_plan(
    table: pd.DataFrame, value: str, rows: str | Sequence[str], **choices: Any
) -> StripPlan:
    """Return what a strip of values by category shows, without drawing it.

    Use it to show every single value, nothing pooled: one row per category, one point per value; points that
    would overlap stand one below the other. What `cells` says of a point stands at its height.

    Parameters
    ----------
    table : DataFrame
        One row per value; rows without a value are counted in a note.
    value : str
        Column of the values.
    rows : str or two str
        Column of the categories; with two, the values of the first become heads.

    Returns
    -------
    StripPlan
        Rows, points, axis and legend with their places.

    Raises
    ------
    UnknownChoiceError
        If a column is not in the table.
    InputError
        If there is no value, or one that is not positive on a logarithmic axis.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> source = ["plant", "plant", "urine", "urine"]
    >>> table = pd.DataFrame({"size_nm": [101.0, 226.0, 91.0, None], "source": source})
    >>> plan = mx.plots.interval_strip_plan(table, "size_nm", "source")
    >>> [(row.label[0], row.cells) for row in plan.rows]
    [('plant', ('2', '164')), ('urine', ('1', '91'))]
    >>> ax = mx.plots.interval_strip(plan)
    """
    keys = (rows,) if isinstance(rows, str) else tuple(rows)
    if len(keys) not in (1, 2):
        raise InputError(f"rows names {len(keys)} columns", "one column, or two")
    if len(table) > MOST_POINTS:
        raise InputError(
            f"a table of {len(table)} rows, one point per row",
            f"at most {MOST_POINTS} points",
            "draw a part of the table, for example table.sample(1000, random_state=0)",
        )
    options = Options(**choices)
    values = _read(table, value, keys, options)
    axis = _axis(values, options, options.axis_label or title_of(value))
    values = [replace(one, point=_on(axis, one.point)) for one in values]
    without = len(table) - len(values)
    unseen = [f"Not shown: {plural(without, 'row')} of the table without a value."] if without else []
    row_title = options.row_title or " / ".join(title_of(key) for key in keys)
    indent = INDENT if len(keys) == 2 else 0.0
    return _laid_out(_rows(values, options), axis, row_title, indent, _keys(values, options), unseen, options)


def _read(table: pd.DataFrame, value: str, rows: tuple[str, ...], ask: Options) -> list[Value]:
    """Return the values of the table; rows without one are left out."""
    known = [c for c in (ask.low, ask.high, ask.by, ask.hollow, ask.study) if c is not None]
    known += ask.cells or {}
    columns = {name: column_of(table, name).tolist() for name in (value, *rows, *known)}
    for column in (value, ask.low, ask.high):
        if column is not None:
            columns[column] = read_numbers(columns[column], column, ndim=1).tolist()
    if ask.hollow is not None:
        columns[ask.hollow] = _flags(columns[ask.hollow], ask.hollow)
    present = [i for i, x in enumerate(columns[value]) if _is_number(x)]
    if not present:
        raise InputError(f"the column {value!r} holds no number", "at least one value")
    bad = [i for i in present if ask.measure.display_log and columns[value][i] <= 0]
    if bad:
        raise InputError(
            f"{plural(len(bad), 'value')} of {value!r} cannot stand on a logarithmic axis",
            "values above 0",
            "look the rows up in the source, or choose log=False",
            [f"row {i + 1}: {columns[value][i]:g}" for i in bad],
        )

    def name(column: str | None, i: int) -> str:
        return "" if column is None else words(columns[column][i], ask.wording, NOT_REPORTED)

    def end(column: str | None, i: int) -> float | None:
        x = None if column is None else columns[column][i]
        return on_axis(ask.measure, float(x)) if x is not None and _is_number(x) else None

    groups = levels_of((name(ask.by, i) for i in present), ask.by_order, ask.wording)
    signs = {group: color_and_shape(position) for position, group in enumerate(groups)}
    values = []
    for i in present:
        group = name(ask.by, i)
        hollow = ask.hollow is not None and bool(columns[ask.hollow][i])
        x = on_axis(ask.measure, float(columns[value][i]))
        cells = tuple(words(columns[column][i]) for column in ask.cells or ())
        point = StripPoint(x, end(ask.low, i), end(ask.high, i), group, *signs[group], hollow, cells)
        head = name(rows[0], i) if len(rows) == 2 else ""
        values.append(Value(head, name(rows[-1], i), name(ask.study, i), point))
    return values


def _flags(cells: list[Any], name: str) -> list[bool]:
    """Return a column of true and false; what is missing is false."""
    bad = [
        f"row {i + 1}: {cell!r}"
        for i, cell in enumerate(cells)
        if not is_blank(cell) and not isinstance(cell, bool | np.bool_)
    ]
    if bad:
        raise InputError(
            f"{len(bad)} cells of {name!r} are not true or false",
            "True, False or nothing in every row",
            f"make the column by a comparison, for example table[{name!r}] == 'yes'",
            bad,
        )
    return [not is_blank(cell) and bool(cell) for cell in cells]


def _is_number(x: object) -> bool:
    return isinstance(x, int | float | np.number) and math.isfinite(float(x))


def _axis(values: Sequence[Value], options: Options, label: str) -> Axis:
    """Return an axis that holds all values, and all intervals but far ends, unless its limits are given."""
    measure, reference = options.measure, options.reference
    line = None if reference is None else place_of(measure, reference, "reference")
    if options.limits is not None:
        low, high = given_limits(measure, options.limits)
    else:
        points = [v.point for v in values]
        lows = [p.value if p.low is None else p.low for p in points]
        highs = [p.value if p.high is None else p.high for p in points]
        low, high = robust_limits(
            lows, highs, [*(p.value for p in points), *([] if line is None else [line])]
        )
    return axis_between(measure, low, high, line, axis_words(measure, label), options.panel_width)


def _keys(values: Sequence[Value], ask: Options) -> tuple[Key, ...]:
    """Return the legend: groups, with their counts if counts are shown, and what hollow points are."""
    groups = [v.point.group for v in values]
    signs = {v.point.group: (v.point.color, v.point.shape) for v in values}
    counts = {group: f" ({same_line(f'n = {groups.count(group)}')})" for group in signs}
    keys = [
        Key(group + (counts[group] if ask.cells is None else ""), *signs[group])
        for group in levels_of(groups, ask.by_order, ask.wording)
        if group and group in signs
    ]
    if ask.hollow is not None and any(v.point.hollow for v in values):
        meaning = (ask.wording or {}).get(ask.hollow, title_of(ask.hollow).lower())
        keys.append(Key(f"hollow: {meaning}", GREY, "circle", hollow=True))
    return tuple(keys)


def _rows(values: Sequence[Value], ask: Options) -> list[StripRow]:
    """Return heads and categories, in their orders, with their texts and points; nothing is placed yet."""
    digits = _digits([from_axis(ask.measure, v.point.value) for v in values])
    heads = [v.head for v in values]
    heads = levels_of(heads, ask.head_order if any(heads) else None, ask.wording)
    categories = levels_of((v.category for v in values), ask.row_order, ask.wording)
    rows: list[StripRow] = []
    for head in heads:
        if head and any(v.head == head for v in values):
            rows.append(StripRow("head", wrap(head, HEAD_LETTERS)))
        for category in categories:
            members = [v for v in values if v.head == head and v.category == category]
            if members:
                cells = _cells(members, ask, digits)
                points = tuple(value.point for value in members)
                rows.append(StripRow("category", wrap(category, LABEL_LETTERS), cells, points=points))
    return rows


def _digits(values: Sequence[float]) -> int:
    """Return how many decimals a median needs: three significant digits of a usual value."""
    usual = float(np.median(np.abs(values)))
    return min(whole_or_decimals(values), 0 if usual >= 100 else 1 if usual >= 10 else 2)


def _cells(members: Sequence[Value], ask: Options, digits: int) -> tuple[str, ...]:
    """Return the texts on the right: counts and median, or columns of the table, one text per line."""
    if ask.cells is not None:
        columns = zip(*(value.point.cells for value in members), strict=True)
        return tuple("\n".join(dict.fromkeys(texts)) for texts in columns)
    median = float(np.median([from_axis(ask.measure, value.point.value) for value in members]))
    studies = (str(len({value.study for value in members})),) if ask.study is not None else ()
    return str(len(members)), *studies, shown(median, digits)


def _laid_out(
    rows: Sequence[StripRow],
    axis: Axis,
    row_title: str,
    indent: float,
    keys: Sequence[Key],
    unseen: Sequence[str],
    options: Options,
) -> StripPlan:
    """Return the plan of rows that stand below each other, each at its place."""
    labels = [
        text_width(line, bold=row.kind == "head") + (0.0 if row.kind == "head" else indent)
        for row in rows
        for line in row.label
    ]
    left = MARGIN + math.ceil(max([text_width(row_title, bold=True), *labels])) + COLUMN_GAP
    right = left + options.panel_width
    cells = [
        [line for row in rows if row.cells for line in row.cells[i].split("\n")]
        for i in range(len(options.titles))
    ]
    columns = text_columns(options.titles, cells, right)
    width = float(math.ceil((columns[-1][1] if columns else right) + MARGIN))
    around = surround(options.title, keys, [*options.notes, *unseen, *_outside_notes(rows)], width)
    top = math.ceil(around.top + LINE_HEIGHT + 4.0)
    placed, bottom = _placed(rows, top, axis, options.measure, options.panel_width)
    return StripPlan(
        **around.closed(bottom + axis_height(axis, options.panel_width)),
        measure=options.measure,
        rows=placed,
        columns=columns,
        row_title=row_title,
        indent=indent,
        axis=axis,
        panel=panel_of(axis, left, right, top, bottom),
    )


def _at_limits(plan: StripPlan, left: float, right: float, *_: float) -> StripPlan:
    """Return the plan with another axis: points in new lanes, those outside it at its edge and counted."""
    panel = plan.panel
    width = panel.right - panel.left
    axis = axis_at(plan.measure, plan.axis, width, left, right)
    rows = [replace(row, points=tuple(_on(axis, point) for point in row.points)) for row in plan.rows]
    placed, bottom = _placed(rows, panel.top, axis, plan.measure, width)
    now = plan.with_notes(_outside_notes(plan.rows), _outside_notes(rows))
    return replace(
        plan,
        **now.closed(bottom + axis_height(axis, width)),
        axis=axis,
        panel=panel_of(axis, panel.left, panel.right, panel.top, bottom),
        rows=placed,
    )


def _placed(
    rows: Sequence[StripRow], top: float, axis: Axis, measure: Measure, width: float
) -> tuple[tuple[StripRow, ...], float]:
    """Return the rows at their places, and where the panel ends."""
    placed, y = [], top
    for row in rows:
        if row.kind == "head":
            height = ROW_HEIGHT + (len(row.label) - 1) * LINE_HEIGHT
            placed.append(replace(row, y=snap(y + height / 2), height=snap(height)))
        else:
            found, height = _in_lanes(row, y, axis, measure, width)
            placed.append(found)
        y += height
    return tuple(placed), y + 3.0


def _in_lanes(
    row: StripRow, top: float, axis: Axis, measure: Measure, width: float
) -> tuple[StripRow, float]:
    """Return the row of a category at its place, and its height.

    Points of the same texts share lanes, at the height of these; points of one text, or of none of their own,
    stand in as few lanes as they need.
    """
    blocks: dict[tuple[str, ...], list[StripPoint]] = {}
    for point in row.points:
        blocks.setdefault(point.cells, []).append(point)
    lanes_of = {
        texts: lanes([_extent(p, axis, measure, width) for p in block]) for texts, block in blocks.items()
    }
    lane = EDGE_LANE if any(point.beyond for point in row.points) else LANE
    least = LINE_HEIGHT if len(blocks) > 1 else 0.0
    heights = {texts: max((max(found) + 1) * lane, least) for texts, found in lanes_of.items()}
    deep = sum(heights.values())
    height = max(ROW_HEIGHT, deep + 5.0, len(row.label) * LINE_HEIGHT + 3.0)
    y = top + (height - deep) / 2
    points: list[StripPoint] = []
    middles = {}
    for texts, block in blocks.items():
        middles[texts] = snap(y + heights[texts] / 2)
        first = y + heights[texts] / 2 - (max(lanes_of[texts]) + 1) * lane / 2
        points += [
            replace(p, y=snap(first + (at + 0.5) * lane))
            for p, at in zip(block, lanes_of[texts], strict=True)
        ]
        y += heights[texts]
    middle = snap(top + height / 2)
    places: list[tuple[int, str, float]] = []
    for column, cell in enumerate(row.cells):
        if "\n" in cell:  # what differs between the points of the row stands at their height
            places += [(column, texts[column], at) for texts, at in middles.items()]
        else:
            places.append((column, cell, middle))
    placed = replace(row, texts=tuple(places), points=tuple(points), y=middle, height=snap(height))
    return placed, height


def _extent(point: StripPoint, axis: Axis, measure: Measure, width: float) -> tuple[float, float]:
    """Return the stretch that a point takes, in points; what the axis cuts ends at its edge."""
    per_point = width / (axis.high - axis.low)

    def x(value: float) -> float:
        return (min(max(value, axis.low), axis.high) - axis.low) * per_point

    low = min(point.value, point.value if point.low is None else point.low)
    high = max(point.value, point.value if point.high is None else point.high)
    room = _edge_room(measure, point) if point.beyond else 0.0
    left, right = min(x(low), x(point.value) - DOT / 2), max(x(high), x(point.value) + DOT / 2)
    if point.beyond == "left":
        right = max(right, room)
    elif point.beyond == "right":
        left = min(left, width - room)
    return round(left, 6), round(right, 6)  # so that noise cannot move a point to another lane


def _on(axis: Axis, point: StripPoint) -> StripPoint:
    """Return a point with the side of the axis on which it lies, if it is not on it."""
    return replace(point, beyond=side_of(axis, point.value))


def _outside_notes(rows: Sequence[StripRow]) -> list[str]:
    """Return how many values lie outside the axis; their marks stand at its edge."""
    outside = sum(bool(point.beyond) for row in rows for point in row.points)
    if not outside:
        return []
    verb = "lies" if outside == 1 else "lie"
    return [
        f"{plural(outside, 'value')} {verb} outside the axis: hollow triangle at its edge, with the value."
    ]


def strip_page(plan: StripPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items = plan.items_above() + upright_line(plan.axis, panel, plan.axis.reference, 0.8, PALE)
    items.append(Text(MARGIN, panel.top - 4.5, plan.row_title, bold=True))
    items += column_headings(plan.columns, panel)
    edge = plan.columns[-1][1] if plan.columns else panel.right
    items.append(Line(((MARGIN, panel.top), (edge, panel.top)), 0.8))
    for row in plan.rows:
        items += _row_items(plan, row, edge)
    items += axis_label(plan.axis, panel, panel.bottom) + plan.items_below()
    return make_page(plan.width, plan.height, items, panel, ticks_of(plan.axis))


def _row_items(plan: StripPlan, row: StripRow, edge: float) -> list[Item]:
    head = row.kind == "head"
    x = MARGIN + (0.0 if head else plan.indent)
    items: list[Item] = list(lines_of_text(x, row.y, row.label, bold=head))
    if not head:
        bottom = row.y + row.height / 2
        items.append(Line(((MARGIN, bottom), (edge, bottom)), 0.25, FAINT))
    for column, text, y in row.texts:
        items += lines_of_text(plan.columns[column][1], y, (text,), align="right")
    for point in row.points:
        items += _interval(plan, point)
    for point in row.points:
        if point.beyond:
            left, value = point.beyond == "left", _edge_text(plan.measure, point)
            items.append(mark_at_the_edge(plan.panel, left, point.y, EDGE_MARK, point.color))
            items.append(value_at_the_edge(plan.panel, left, point.y, EDGE_MARK, value, INK))
            continue
        fill = WHITE if point.hollow else point.color
        x = plan.panel.x(point.value)
        items.append(Dot(x, point.y, point.shape, DOT, fill, point.color, 0.9))
    return items


def _edge_text(measure: Measure, point: StripPoint) -> str:
    """Return the value of a point that is not on the axis, as it stands at the edge."""
    value = from_axis(measure, point.value)
    return shown(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2)


def _edge_room(measure: Measure, point: StripPoint) -> float:
    """Return the room that the mark at the edge takes, with the value beside it."""
    return EDGE_MARK + 4.0 + text_width(_edge_text(measure, point), EDGE_LETTERS)


def _interval(plan: StripPlan, point: StripPoint) -> list[Item]:
    """Return the interval of a point, and arrows where the axis cuts it or the point itself."""
    axis, panel = plan.axis, plan.panel
    low = point.value if point.low is None else point.low
    high = point.value if point.high is None else point.high
    room = _edge_room(plan.measure, point) / (panel.right - panel.left) * (axis.high - axis.low)
    if point.beyond == "left":
        low = axis.low + room
    elif point.beyond == "right":
        high = axis.high - room
    items: list[Item] = []
    if high > low and high >= axis.low and low <= axis.high:
        ends = panel.x(max(low, axis.low)), panel.x(min(high, axis.high))
        items.append(Line(((ends[0], point.y), (ends[1], point.y)), 0.9, point.color))
    if low < axis.low:
        items.append(arrow(panel.left, point.y, True, ARROW, point.color))
    if high > axis.high:
        items.append(arrow(panel.right, point.y, False, ARROW, point.color))
    return items


interval_strip = drawing(
    interval_strip_plan, StripPlan, strip_page, "Draw a strip of values by category.", at_limits=_at_limits
)
