"""The plan of a figure of attributed heterogeneity, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from metaexo.plots.canvas import draw
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
    Area,
    Dot,
    Item,
    Line,
    Page,
    Panel,
    Text,
    Ticks,
    lines_of_text,
    make_page,
    middle,
)
from metaexo.plots.scale import Axis, Tick, linear_ticks, tick_label
from metaexo.plots.style import (
    FAINT,
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    SMALL_SIZE,
    TEXT_SIZE,
    WHITE,
    text_on,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BAR, DOT = 11.0, 5.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar: its name, its ends in per cent, its colour and hatch, its number."""

    name: str
    begin: float
    end: float
    colour: str
    text: str = ""
    hatch: str = ""


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """A row of the figure, with its middle and height in points.

    Attributes
    ----------
    kind : {"head", "words", "bar", "interval"}
        A name of data, a verdict, a stacked bar, or a share with its interval.
    label : tuple of str
        Lines of the label, or of the verdict.
    segments : tuple of Segment
        Of a stacked bar.
    value, low, high : float or None
        Of an interval, in per cent.
    colour : str
        Of an interval.
    cells : tuple of str
        Texts on the right.
    y, height : float
        Place.
    """

    kind: Literal["head", "words", "bar", "interval"]
    label: tuple[str, ...]
    segments: tuple[Segment, ...] = ()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    colour: str = INK
    cells: tuple[str, ...] = ()
    y: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class AttributionPlan:
    """What a figure of attributed heterogeneity shows, with its places in points from the upper left corner.

    Attributes
    ----------
    rows : tuple of AttributionRow
        Rows from top to bottom.
    columns : tuple of (str, float)
        Headings of the columns on the right, and their right edges.
    axis, panel : Axis, Panel
        The axis in per cent of tau2, and where it stands.
    keys : tuple of tuple of Key
        Rows of the legend.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    rows: tuple[AttributionRow, ...]
    columns: tuple[tuple[str, float], ...]
    axis: Axis
    panel: Panel
    keys: tuple[tuple[Key, ...], ...]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row a segment or interval: data, row, part, begin, end, value, low, high (per cent)."""
        import pandas as pd

        found: list[tuple[object, ...]] = []
        data = ""
        for row in self.rows:
            label = " ".join(row.label)
            data = label if row.kind == "head" else data
            found += [
                (data, label, s.name, s.begin, s.end, s.end - s.begin, None, None) for s in row.segments
            ]
            if row.kind == "interval":
                found.append((data, "interval", label, None, None, row.value, row.low, row.high))
        columns = ["data", "row", "part", "begin", "end", "value", "low", "high"]
        return pd.DataFrame(found, columns=columns)


def attribution_page(plan: AttributionPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items: list[Item] = title_items(plan.title)
    items += legend_rows_items(plan.keys, MARGIN, MARGIN + title_height(plan.title), TEXT_SIZE, LINE_HEIGHT)
    for title, right in plan.columns:
        items.append(Text(right, panel.top - 4.5, title, TEXT_SIZE, True, align="right"))
    edge = plan.width - MARGIN
    items.append(Line(((MARGIN, panel.top), (edge, panel.top))))
    for row in plan.rows:
        items += _row_items(plan, row, edge)
    ticks: Ticks = ()
    if any(row.kind in ("bar", "interval") for row in plan.rows):
        items += axis_label(plan.axis, panel, panel.bottom, TEXT_SIZE, LINE_HEIGHT)
        ticks = ticks_of(plan.axis)
    items += note_items(plan.notes, plan.height)
    return make_page(plan.width, plan.height, items, panel, ticks)


def _row_items(plan: AttributionPlan, row: AttributionRow, edge: float) -> list[Item]:
    if row.kind == "words":
        step = 1.3 * SMALL_SIZE
        return list(lines_of_text(MARGIN, row.y, row.label, step, size=SMALL_SIZE, colour=GREY))
    if row.kind == "head":
        return list(lines_of_text(MARGIN, row.y, row.label, LINE_HEIGHT, bold=True))
    zero = plan.panel.x(min(max(0.0, plan.axis.low), plan.axis.high))
    top, bottom = row.y - row.height / 2, row.y + row.height / 2
    items: list[Item] = [
        Line(((MARGIN, bottom), (edge, bottom)), 0.25, FAINT),
        Line(((zero, top), (zero, bottom)), 0.8, PALE),
        *lines_of_text(MARGIN, row.y, row.label, LINE_HEIGHT),
    ]
    for text, (_, right) in zip(row.cells, plan.columns, strict=False):
        items.append(Text(right, middle(row.y, TEXT_SIZE), text, TEXT_SIZE, align="right"))
    return items + (_bar_items(plan, row) if row.kind == "bar" else _interval_items(plan, row))


def _bar_items(plan: AttributionPlan, row: AttributionRow) -> list[Item]:
    items: list[Item] = []
    low, high = plan.axis.low, plan.axis.high
    for part in row.segments:
        if part.end <= low or part.begin >= high:
            continue
        left, right = plan.panel.x(max(part.begin, low)), plan.panel.x(min(part.end, high))
        top, bottom = row.y - BAR / 2, row.y + BAR / 2
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        items.append(Area(corners, part.colour, WHITE, 0.6, part.hatch))
        half = text_width(part.text, SMALL_SIZE) / 2 + 1.5
        if right - left >= 2 * half + 2.0:
            place, colour = (left + right) / 2, text_on(part.colour)
            baseline = middle(row.y, SMALL_SIZE)
            around = (place - half, place + half)
            box = (
                (around[0], top + 1),
                (around[1], top + 1),
                (around[1], bottom - 1),
                (around[0], bottom - 1),
            )
            items += [Area(box, part.colour)] if part.hatch else []
            items.append(Text(place, baseline, part.text, SMALL_SIZE, colour=colour, align="center"))
    return items


def _interval_items(plan: AttributionPlan, row: AttributionRow) -> list[Item]:
    items: list[Item] = []
    axis, panel = plan.axis, plan.panel
    if row.low is not None and row.high is not None and row.low <= axis.high and row.high >= axis.low:
        ends = panel.x(max(row.low, axis.low)), panel.x(min(row.high, axis.high))
        items.append(Line(((ends[0], row.y), (ends[1], row.y)), 1.2, row.colour))
    if row.value is None:
        return items
    if axis.low <= row.value <= axis.high:
        items.append(Dot(panel.x(row.value), row.y, "circle", DOT, row.colour, WHITE, 0.5))
    else:  # the value stands in the column on the right
        left = row.value < axis.low
        edge = panel.left + DOT / 2 if left else panel.right - DOT / 2
        items.append(Dot(edge, row.y, "left" if left else "right", DOT, WHITE, row.colour, 0.9))
    return items


def draw_attribution(plan: AttributionPlan, ax: Axes | None) -> Axes:
    """Draw a plan; at other limits of the Axes it is drawn anew."""

    def again(low: float, high: float, *_: float) -> Page:
        ticks = tuple(Tick(value, tick_label(value)) for value in linear_ticks(low, high))
        axis = replace(plan.axis, low=low, high=high, ticks=ticks)
        return attribution_page(replace(plan, axis=axis, panel=replace(plan.panel, x_low=low, x_high=high)))

    return draw(attribution_page(plan), ax, again)
