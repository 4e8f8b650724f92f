"""Strips of single values with intervals by category, for example vesicle sizes by source and isolation.

Rows and places of a strip of values.

The plan of a strip of values, and its way to a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.inputs import is_blank, read_numbers
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas.canvas import draw
from metaexo.plots.canvas.fonts import (
    FAINT,
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    SMALL_SIZE,
    TEXT_SIZE,
    WHITE,
    colour_and_shape,
    text_width,
    wrap,
    wrap_to_width,
)
from metaexo.plots.canvas.furniture import (
    Key,
    axis_label,
    legend_rows,
    legend_rows_height,
    legend_rows_items,
    note_items,
    note_lines,
    notes_height,
    ticks_of,
    title_height,
    title_items,
    title_lines,
)
from metaexo.plots.canvas.page import (
    Align,
    Area,
    Dot,
    Item,
    Line,
    Page,
    Panel,
    Text,
    lines_of_text,
    make_page,
    middle,
    snap,
)
from metaexo.plots.canvas.scale import (
    Axis,
    axis_between,
    from_axis,
    given_limits,
    on_axis,
    place_of,
    robust_limits,
)
from metaexo.plots.canvas.tables import column_of, lanes, levels_of
from metaexo.plots.canvas.words import same_line, shown, title_of, whole_or_decimals, words
from metaexo.plots.forest.plan import Side

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DOT = 5.0
ARROW = 4.0
EDGE_MARK, EDGE_LETTERS = 5.5, 7.0


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
    colour: str
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


@dataclass(frozen=True, slots=True)
class StripPlan:
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
    keys : tuple of tuple of Key
        Rows of the legend.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    measure: Measure
    rows: tuple[StripRow, ...]
    columns: tuple[tuple[str, float], ...]
    row_title: str
    indent: float
    axis: Axis
    panel: Panel
    keys: tuple[tuple[Key, ...], ...]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

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


def strip_page(plan: StripPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items: list[Item] = title_items(plan.title)
    items += legend_rows_items(plan.keys, MARGIN, MARGIN + title_height(plan.title), TEXT_SIZE, LINE_HEIGHT)
    if plan.axis.reference is not None and plan.axis.low <= plan.axis.reference <= plan.axis.high:
        x = panel.x(plan.axis.reference)
        items.append(Line(((x, panel.top), (x, panel.bottom)), 0.8, PALE))
    headings = panel.top - 4.5
    items.append(Text(MARGIN, headings, plan.row_title, TEXT_SIZE, True))
    for title, right in plan.columns:
        items.append(Text(right, headings, title, TEXT_SIZE, True, align="right"))
    edge = plan.columns[-1][1] if plan.columns else panel.right
    items.append(Line(((MARGIN, panel.top), (edge, panel.top)), 0.8))
    for row in plan.rows:
        items += _row_items(plan, row, edge)
    items += axis_label(plan.axis, panel, panel.bottom, TEXT_SIZE, LINE_HEIGHT)
    items += note_items(plan.notes, plan.height)
    return make_page(plan.width, plan.height, items, panel, ticks_of(plan.axis))


def _row_items(plan: StripPlan, row: StripRow, edge: float) -> list[Item]:
    head = row.kind == "head"
    x = MARGIN + (0.0 if head else plan.indent)
    items: list[Item] = list(lines_of_text(x, row.y, row.label, LINE_HEIGHT, bold=head))
    if not head:
        bottom = row.y + row.height / 2
        items.append(Line(((MARGIN, bottom), (edge, bottom)), 0.25, FAINT))
    for column, text, y in row.texts:
        items += lines_of_text(plan.columns[column][1], y, (text,), LINE_HEIGHT, align="right")
    for point in row.points:
        items += _interval(plan, point)
    for point in row.points:
        if point.beyond:
            items += _at_the_edge(plan, point)
            continue
        fill = WHITE if point.hollow else point.colour
        x = plan.panel.x(point.value)
        items.append(Dot(x, point.y, point.shape, DOT, fill, point.colour, 0.9))
    return items


def edge_text(measure: Measure, point: StripPoint) -> str:
    """Return the value of a point that is not on the axis, as it stands at the edge."""
    value = from_axis(measure, point.value)
    return shown(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2)


def edge_room(measure: Measure, point: StripPoint) -> float:
    """Return the room that the mark at the edge takes, with the value beside it."""
    return EDGE_MARK + 4.0 + text_width(edge_text(measure, point), EDGE_LETTERS)


def _at_the_edge(plan: StripPlan, point: StripPoint) -> list[Item]:
    """Return a hollow triangle at the edge of the axis, and the value beside it."""
    left = point.beyond == "left"
    edge, sign = (plan.panel.left, 1.0) if left else (plan.panel.right, -1.0)
    words, align = edge_text(plan.measure, point), cast("Align", point.beyond)
    x = edge + sign * (EDGE_MARK + 2.0)
    return [
        Dot(edge + sign * EDGE_MARK / 2, point.y, point.beyond, EDGE_MARK, WHITE, point.colour, 0.9),
        Text(x, middle(point.y, EDGE_LETTERS), words, EDGE_LETTERS, align=align),
    ]


def _interval(plan: StripPlan, point: StripPoint) -> list[Item]:
    """Return the interval of a point, and arrows where the axis cuts it or the point itself."""
    axis, panel = plan.axis, plan.panel
    low = point.value if point.low is None else point.low
    high = point.value if point.high is None else point.high
    room = edge_room(plan.measure, point) / (panel.right - panel.left) * (axis.high - axis.low)
    if point.beyond == "left":
        low = axis.low + room
    elif point.beyond == "right":
        high = axis.high - room
    items: list[Item] = []
    if high > low and high >= axis.low and low <= axis.high:
        ends = panel.x(max(low, axis.low)), panel.x(min(high, axis.high))
        items.append(Line(((ends[0], point.y), (ends[1], point.y)), 0.9, point.colour))
    for cut, x, inward in ((low < axis.low, panel.left, 1.0), (high > axis.high, panel.right, -1.0)):
        if cut:
            back = x + inward * ARROW
            corners = ((x, point.y), (back, point.y - ARROW / 2), (back, point.y + ARROW / 2))
            items.append(Area(corners, point.colour))
    return items


MOST_POINTS = 5000
LOGARITHM = Measure(
    code="LOG",
    name="value on a logarithmic axis",
    family="values",
    inputs=(),
    compute=None,
    null=float("nan"),
    display="Value",
    back=np.exp,
    display_log=True,
)


@checked
def interval_strip_plan(
    table: pd.DataFrame,
    value: str,
    rows: str | Sequence[str],
    *,
    low: str | None = None,
    high: str | None = None,
    by: str | None = None,
    hollow: str | None = None,
    study: str | None = None,
    log: bool = True,
    cells: Mapping[str, str] | None = None,
    row_title: str = "",
    study_title: str = "Studies",
    row_order: Sequence[str] | None = None,
    head_order: Sequence[str] | None = None,
    by_order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
    axis_label: str = "",
    limits: tuple[float, float] | None = None,
    reference: float | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    panel_width: float = 260.0,
) -> StripPlan:
    """Return what a strip of values by category shows, without drawing it.

    Use it to show every single value, nothing pooled: one row a category, one point a value; points that
    would overlap stand one below the other. What `cells` says of a point stands at its height.

    Parameters
    ----------
    table : DataFrame
        One row a value; rows without a value are counted in a note.
    value : str
        Column of the values.
    rows : str or two str
        Column of the categories; with two, the values of the first become heads.
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
    """
    keys = (rows,) if isinstance(rows, str) else tuple(rows)
    if len(keys) not in (1, 2):
        raise InputError(f"rows names {len(keys)} columns", "one column, or two")
    texts = None if cells is None else dict(cells)
    ask = Ask(
        value, keys, low, high, by, hollow, study, dict(wording or {}), log, texts, row_title, study_title
    )
    if len(table) > MOST_POINTS:
        raise InputError(
            f"a table of {len(table)} rows, a point each",
            f"at most {MOST_POINTS} points",
            "draw a part of the table, for example table.sample(1000, random_state=0)",
        )
    measure = LOGARITHM if log else GENERIC
    values, without = _read(table, ask, measure, by_order)
    axis = _axis(values, measure, limits, reference, axis_label or title_of(value), panel_width)
    values = [replace(value, point=on(axis, value.point)) for value in values]
    if without:
        notes = [*notes, f"Not shown: {plural(without, 'row')} of the table without a value."]
    orders = (head_order if len(keys) == 2 else None, row_order)
    drafted = strip_rows(values, ask, orders, measure, axis, panel_width)
    legend = _keys(values, ask, by_order)
    return lay_out_strip(drafted, ask, axis, measure, legend, title, notes, panel_width)


@checked
def interval_strip(
    table: pd.DataFrame | StripPlan,
    value: str = "",
    rows: str | Sequence[str] = "",
    ax: Axes | None = None,
    **choices: Any,
) -> Axes:
    """Draw a strip of values by category.

    Parameters
    ----------
    table : DataFrame or StripPlan
        What is shown; a plan is drawn as it is.
    value, rows : str
        As for :func:`interval_strip_plan`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`interval_strip_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes, which are those of the panel; the horizontal coordinate is the value.

    Examples
    --------
    >>> import pandas as pd, metaexo as mx
    >>> table = pd.DataFrame({"size_nm": [101.0, 226.0, 91.0], "source": ["plant", "plant", "urine"]})
    >>> ax = mx.plots.interval_strip(table, "size_nm", "source", axis_label="Diameter (nm)")
    """
    asked = choices | {"value": value, "rows": rows}
    plan = plan_of(StripPlan, interval_strip_plan, table, asked)

    def again(low: float, high: float, *_: float) -> Page:
        if isinstance(table, StripPlan):
            ends = (on_axis(plan.measure, low), on_axis(plan.measure, high))
            return strip_page(with_limits(plan, *ends))
        return strip_page(interval_strip_plan(table, **(asked | {"limits": (low, high)})))

    return draw(strip_page(plan), ax, again)


def _read(
    table: pd.DataFrame, ask: Ask, measure: Measure, by_order: Sequence[str] | None
) -> tuple[list[Value], int]:
    """Return the values, and how many rows of the table have none."""
    known = [c for c in (ask.low, ask.high, ask.by, ask.hollow, ask.study) if c is not None]
    known += ask.cells or {}
    columns = {name: column_of(table, name).tolist() for name in (ask.value, *ask.rows, *known)}
    for name_ in (ask.value, ask.low, ask.high):
        if name_ is not None:
            columns[name_] = read_numbers(columns[name_], name_, ndim=1).tolist()
    if ask.hollow is not None:
        columns[ask.hollow] = _flags(columns[ask.hollow], ask.hollow)
    present = [i for i, x in enumerate(columns[ask.value]) if _is_number(x)]
    if not present:
        raise InputError(f"the column {ask.value!r} holds no number", "at least one value")
    bad = [i for i in present if ask.log and columns[ask.value][i] <= 0]
    if bad:
        raise InputError(
            f"{plural(len(bad), 'value')} of {ask.value!r} cannot stand on a logarithmic axis",
            "values above 0",
            "look the rows up in the source, or choose log=False",
            [f"row {i + 1}: {columns[ask.value][i]:g}" for i in bad],
        )

    def name(column: str | None, i: int) -> str:
        return "" if column is None else words(columns[column][i], ask.wording, "not reported")

    def end(column: str | None, i: int) -> float | None:
        x = None if column is None else columns[column][i]
        return on_axis(measure, float(x)) if x is not None and _is_number(x) else None

    signs = {
        group: colour_and_shape(position)
        for position, group in enumerate(levels_of((name(ask.by, i) for i in present), by_order, ask.wording))
    }
    values = []
    for i in present:
        group = name(ask.by, i)
        hollow = ask.hollow is not None and bool(columns[ask.hollow][i])
        x = on_axis(measure, float(columns[ask.value][i]))
        cells = tuple(words(columns[column][i]) for column in ask.cells or ())
        point = StripPoint(x, end(ask.low, i), end(ask.high, i), group, *signs[group], hollow, cells)
        head = name(ask.rows[0], i) if len(ask.rows) == 2 else ""
        values.append(Value(head, name(ask.rows[-1], i), name(ask.study, i), point))
    return values, len(table) - len(present)


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


def _axis(
    values: Sequence[Value],
    measure: Measure,
    limits: tuple[float, float] | None,
    reference: float | None,
    label: str,
    width: float,
) -> Axis:
    points = [v.point for v in values]
    line = None if reference is None else place_of(measure, reference, "reference")
    if limits is not None:
        low, high = given_limits(measure, limits)
    else:
        lows = [p.value if p.low is None else p.low for p in points]
        highs = [p.value if p.high is None else p.high for p in points]
        always = [p.value for p in points] + ([] if line is None else [line])
        low, high = robust_limits(lows, highs, always)
    suffix = ", logarithmic scale" if measure.display_log else ""
    return axis_between(measure, low, high, line, label + suffix, width)


def _keys(values: Sequence[Value], ask: Ask, by_order: Sequence[str] | None) -> tuple[Key, ...]:
    """Return the legend: groups, with their counts if counts are shown, and what hollow points are."""
    groups = [v.point.group for v in values]
    signs = {v.point.group: (v.point.colour, v.point.shape) for v in values}
    counts = {group: f" ({same_line(f'n = {groups.count(group)}')})" for group in signs}
    keys = [
        Key(group + (counts[group] if ask.cells is None else ""), *signs[group])
        for group in levels_of(groups, by_order, ask.wording)
        if group and group in signs
    ]
    if ask.hollow is not None and any(v.point.hollow for v in values):
        meaning = ask.wording.get(ask.hollow, title_of(ask.hollow).lower())
        keys.append(Key(f"hollow: {meaning}", GREY, "circle", hollow=True))
    return tuple(keys)


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
