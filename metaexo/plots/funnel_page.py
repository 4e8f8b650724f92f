"""The plan of a funnel plot, and its way to a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.effects.measure import Measure
from metaexo.plots.furniture import Key, axis_label, legend_items, note_items, ticks_of, title_items
from metaexo.plots.page import Area, Dot, Item, Line, Page, Panel, Point, Text, make_page
from metaexo.plots.scale import Axis, Tick
from metaexo.plots.style import GREY, INK, LINE_HEIGHT, MARGIN, PALE, TEXT_SIZE, WHITE

if TYPE_CHECKING:
    import pandas as pd

DASH = (3.0, 2.0)
# Lines at the edges of the regions of p: at 0.10, 0.05 and 0.01.
EDGES: tuple[tuple[float, ...], ...] = ((7.0, 1.5), (5.0, 1.5, 1.0, 1.5), (1.0, 1.5))
LEGEND_GAP = 18.0
ARROW = 6.0
EDGE_MARK = 6.0


@dataclass(frozen=True, slots=True)
class FunnelPoint:
    """One effect of a funnel plot, on the scale of the analysis, and the effect as it is shown elsewhere."""

    id: str
    label: str
    group: str
    effect: float
    se: float
    colour: str
    shape: str
    hollow: bool
    shown: float


@dataclass(frozen=True, slots=True)
class FunnelPlan:
    """What a funnel plot shows, with its places in points from the upper left corner.

    Attributes
    ----------
    measure : Measure
        The measure.
    points : tuple of FunnelPoint
        One an effect.
    centre : float or None
        Pooled effect, scale of the analysis; None if there is none.
    region : tuple of points
        Corners of the pseudo-confidence region: effect and standard error.
    level : float
        Its level.
    contours : tuple of (str, tuple of points)
        Shade and corners of the regions of the p-value, from back to front.
    axis, se_ticks : Axis, tuple of Tick
        The two axes.
    panel : Panel
        Where the points stand.
    keys : tuple of Key
        Legend.
    title, notes : tuple of str
        Lines above and below.
    width, height : float
        Size of the figure in points.
    """

    measure: Measure
    points: tuple[FunnelPoint, ...]
    centre: float | None
    region: tuple[Point, ...]
    level: float
    contours: tuple[tuple[str, tuple[Point, ...]], ...]
    axis: Axis
    se_ticks: tuple[Tick, ...]
    panel: Panel
    keys: tuple[Key, ...]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    width: float
    height: float

    def to_frame(self) -> pd.DataFrame:
        """Return the points: id, label, group, effect, se (scale of the analysis), shown, hollow."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "id": p.id,
                    "label": p.label,
                    "group": p.group,
                    "effect": p.effect,
                    "se": p.se,
                    "shown": p.shown,
                    "hollow": p.hollow,
                }
                for p in self.points
            ]
        )


def funnel_page(plan: FunnelPlan) -> Page:
    """Return the page of a plan."""
    panel = plan.panel
    items: list[Item] = title_items(plan.title)
    for shade, corners in plan.contours:
        items.append(Area(tuple((panel.x(x), panel.y(y)) for x, y in corners), shade))
    for (_, corners), dash in zip(reversed(plan.contours[1:]), EDGES, strict=False):
        items += _sides(plan, corners, 0.6, dash)
    if plan.axis.reference is not None and plan.axis.low <= plan.axis.reference <= plan.axis.high:
        x = panel.x(plan.axis.reference)
        items.append(Line(((x, panel.top), (x, panel.bottom)), 0.8, PALE))
    items += _region(plan)
    if plan.centre is not None and plan.axis.low <= plan.centre <= plan.axis.high:
        x = panel.x(plan.centre)
        items.append(Line(((x, panel.top), (x, panel.bottom)), 0.9, GREY))
    items.append(Text(MARGIN, panel.top - 0.8 * LINE_HEIGHT, "Standard error", TEXT_SIZE, colour=INK))
    items += axis_label(plan.axis, panel, panel.bottom, TEXT_SIZE, LINE_HEIGHT)
    items += [_point(plan, p) for p in plan.points]
    items += legend_items(plan.keys, panel.right + LEGEND_GAP, panel.top, TEXT_SIZE, LINE_HEIGHT)
    items += note_items(plan.notes, plan.height)
    side = tuple((tick.value, tick.label) for tick in plan.se_ticks)
    return make_page(plan.width, plan.height, items, panel, ticks_of(plan.axis), side)


def _region(plan: FunnelPlan) -> list[Item]:
    """Return the sides of the pseudo-confidence region; the edges of the panel close it."""
    return _sides(plan, plan.region, 0.9, DASH)


def _sides(plan: FunnelPlan, corners: tuple[Point, ...], width: float, dash: tuple[float, ...]) -> list[Item]:
    """Return the sides of a region that are no edges of the panel."""
    panel = plan.panel
    ends = zip(corners, (*corners[1:], *corners[:1]), strict=True)
    sides = [pair for pair in ends if pair[0][0] != pair[1][0] and pair[0][1] != pair[1][1]]
    return [
        Line(
            tuple((panel.x(x), panel.y(y)) for x, y in sorted(side, key=lambda end: end[1])),
            width,
            GREY,
            dash,
        )
        for side in sides
    ]


def _point(plan: FunnelPlan, point: FunnelPoint) -> Item:
    """Return the mark of a point; an arrow where its standard error is beyond the axis."""
    panel = plan.panel
    if not plan.axis.low <= point.effect <= plan.axis.high:
        left = point.effect < plan.axis.low
        edge = panel.left + EDGE_MARK / 2 if left else panel.right - EDGE_MARK / 2
        y = min(panel.y(max(point.se, panel.y_top)), panel.bottom)
        return Dot(edge, y, "left" if left else "right", EDGE_MARK, WHITE, point.colour, 0.9)
    x = panel.x(point.effect)
    if point.se < panel.y_top:
        return Dot(x, panel.top + EDGE_MARK / 2, "triangle", EDGE_MARK, WHITE, point.colour, 0.9)
    if point.se > panel.y_bottom:
        back, half = panel.bottom - ARROW, 0.6 * ARROW
        return Area(((x, panel.bottom), (x - half, back), (x + half, back)), point.colour)
    fill = WHITE if point.hollow else point.colour
    outline = INK if plan.contours and not point.hollow else point.colour
    return Dot(x, panel.y(point.se), point.shape, 5.5, fill, outline, 0.9)
