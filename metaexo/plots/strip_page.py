"""The plan of a strip of values, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from metaexo.effects.measure import Measure
from metaexo.plots.fonts import text_width
from metaexo.plots.furniture import (
    Key,
    axis_label,
    legend_rows_items,
    note_items,
    ticks_of,
    title_height,
    title_items,
)
from metaexo.plots.page import (
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
)
from metaexo.plots.plan import Side
from metaexo.plots.scale import Axis, from_axis
from metaexo.plots.style import FAINT, LINE_HEIGHT, MARGIN, PALE, TEXT_SIZE, WHITE
from metaexo.plots.wording import shown

if TYPE_CHECKING:
    import pandas as pd

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
