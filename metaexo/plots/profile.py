"""Profile likelihoods: how fast the likelihood falls on both sides of a variance or a correlation.

They are drawn as panels of curves side by side, which any other curves can be too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import level_words, shown
from metaexo.models.multilevel.profile import ComponentProfile
from metaexo.models.univariate.profile import Tau2Profile
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import Plan, drawing, surround
from metaexo.plots.canvas.fonts import (
    GREY,
    LINE_HEIGHT,
    MARGIN,
    PALETTE,
    SMALL_SIZE,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.page import (
    Dot,
    Item,
    Key,
    Line,
    Page,
    Panel,
    Point,
    Text,
    axis_height,
    axis_label,
    make_page,
    middle,
    snap,
)
from metaexo.plots.canvas.scale import Axis, Tick, linear_ticks

if TYPE_CHECKING:
    import pandas as pd

Profile = ComponentProfile | Tau2Profile
# How far below the line of the interval the panel reaches, in units of the line's depth.
DEPTH = 2.2
Y_LABEL = "log-likelihood, from its maximum"
GAP = 26.0
DASH = (3.0, 2.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: its name, its points in units of the axes from left to right, and how it is drawn."""

    name: str
    points: tuple[Point, ...]
    color: str
    shape: str = ""  # of marks at the points; "" for a line alone
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CurveSet:
    """What one panel shows below its heading; curves are cut at the ends of the axes."""

    heading: str
    axis: Axis
    y_low: float
    y_high: float
    y_ticks: tuple[Tick, ...]
    y_label: str
    curves: tuple[Curve, ...]
    across: tuple[float, ...] = ()  # heights of dashed lines
    upright: tuple[float, ...] = ()  # places of dashed upright lines
    dots: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesPlan(Plan):
    """What panels of curves show, with their places in points from the upper left corner.

    Attributes
    ----------
    sets : tuple of CurveSet
        What each panel shows.
    panels : tuple of Panel
        Where each stands.
    """

    sets: tuple[CurveSet, ...]
    panels: tuple[Panel, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the points of all curves: panel, curve, x, y."""
        import pandas as pd

        rows = [
            {"panel": one.heading, "curve": curve.name, "x": x, "y": y}
            for one in self.sets
            for curve in one.curves
            for x, y in curve.points
        ]
        return pd.DataFrame(rows, columns=["panel", "curve", "x", "y"])


@checked
def profile_plan(
    profiles: Profile | Sequence[Profile],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    columns: int = 3,
    panel_size: tuple[float, float] = (170.0, 140.0),
) -> CurvesPlan:
    """Return what a plot of profile likelihoods shows, without drawing it.

    Use it to see how much the data say about a variance or a correlation: a steep curve says much, a flat one
    little, and a curve that has not fallen to the dashed line at an end of its range leaves the interval open
    there.

    Parameters
    ----------
    profiles : ComponentProfile, Tau2Profile or sequence of them
        From ``fit.profile(...)``: a panel each.
    title : str
        Line above.
    notes : sequence of str
        Further lines below.
    columns : int
        Most panels side by side.
    panel_size : tuple of float
        Width and height of a panel in points.

    Returns
    -------
    CurvesPlan
        Curves, the estimate, the height of the interval, and its ends where they are known.

    Raises
    ------
    InputError
        If there is no profile, or something else.

    References
    ----------
    Hardy, R. J., Thompson, S. G. (1996).
    https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A

    Examples
    --------
    >>> import metaexo as mx
    >>> y, v = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1], [0.02, 0.03, 0.02, 0.04, 0.03, 0.02]
    >>> fit = mx.Multilevel(mx.EffectSizes(y, v, study=list("aabbcc")), "study").fit()
    >>> plan = mx.plots.profile_plan(fit.profile("study"))
    >>> [round(x, 2) for x in plan.sets[0].upright]
    [0.03, 3.18]
    >>> ax = mx.plots.profile(plan)
    """
    several: list[Profile] = []
    if isinstance(profiles, ComponentProfile | Tau2Profile):
        several = [profiles]
    elif isinstance(profiles, Iterable):
        several = list(profiles)
    if not several or not all(isinstance(one, ComponentProfile | Tau2Profile) for one in several):
        raise InputError("there is no profile to draw", "one or several profiles, from fit.profile(...)")
    level = several[0].level
    said = f"Below the dashed line lies what the {level_words(level)} interval leaves out."
    return lay_out_curves(
        [_panel(one, panel_size[0]) for one in several],
        columns=columns,
        panel_size=panel_size,
        title=title,
        notes=[said, *_open_ends(several), *notes],
    )


def _panel(one: Profile, width: float) -> CurveSet:
    values, name, estimate = _words(one)
    fall = one.llf - one.maximum
    depth = 0.5 * float(normal_quantile(one.level)) ** 2
    kept = np.isfinite(fall)
    points = tuple((float(x), float(y)) for x, y in zip(values[kept], fall[kept], strict=True))
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    ends = [x for x, is_open, _ in _ends(one) if not is_open]
    return CurveSet(
        heading=name,
        axis=Axis(low, high, linear_ticks(low, high, 6), None, _kind(one)),
        y_low=-DEPTH * depth,
        y_high=0.12 * depth,
        y_ticks=linear_ticks(-DEPTH * depth, 0.0, 6),
        y_label=Y_LABEL,
        curves=(Curve(name, points, PALETTE[0]),),
        across=(-depth,),
        upright=tuple(float(x) for x in ends if low <= x <= high),
        dots=((estimate, 0.0),) if low <= estimate <= high else (),
    )


def _words(one: Profile) -> tuple[np.ndarray, str, float]:
    """Return the values, what they are, and the estimate."""
    if isinstance(one, Tau2Profile):
        return one.tau2, "τ²", one.maximum_at
    return one.value, one.component.replace("tau2", "τ²").replace("rho", "ρ"), one.limits.estimate


def _kind(one: Profile) -> str:
    """Return what the values are."""
    if isinstance(one, ComponentProfile):
        for ending, word in (("rho", "correlation"), ("range", "range")):
            if one.component.rpartition(":")[2].startswith(ending):
                return word
    return "variance"


def _ends(one: Profile) -> list[tuple[float, bool, str]]:
    """Return the ends of the interval, as far as it is known: value, whether it is open, and what it is."""
    if not isinstance(one, ComponentProfile):
        return []
    limits = one.limits
    return [(limits.low, limits.low_open, "begins"), (limits.high, limits.high_open, "ends")]


def _open_ends(profiles: Sequence[Profile]) -> list[str]:
    """Return what is to be said of intervals that reach the edge of what can be."""
    out = []
    for one in profiles:
        for value, is_open, word in _ends(one):
            if is_open:
                edge = f"at {shown(value, 2)}, the edge of what it can be"
                where = edge if np.isfinite(value) else "nowhere"
                out.append(f"The interval of {_words(one)[1]} {word} {where}.")
    return out


def lay_out_curves(
    sets: Sequence[CurveSet],
    *,
    columns: int,
    panel_size: tuple[float, float],
    keys: Sequence[Key] = (),
    title: str = "",
    notes: Sequence[str] = (),
) -> CurvesPlan:
    """Return the plan of panels of a width and height in points, in rows of so many columns."""
    across, down = panel_size
    labels = max((text_width(t.label, SMALL_SIZE) for one in sets for t in one.y_ticks), default=0.0)
    step = labels + 8.0 + across + GAP
    columns = min(columns, len(sets))
    width = float(math.ceil(2 * MARGIN + columns * step - GAP + 8.0))
    around = surround(title, keys, notes, width)
    above = (max(len(_heading(one, across)) for one in sets) + 2.0) * LINE_HEIGHT
    under = max(axis_height(one.axis, across, 1.0) for one in sets)
    panels = []
    for i, one in enumerate(sets):
        left = snap(MARGIN + labels + 8.0 + (i % columns) * step)
        high = snap(around.top + above + (i // columns) * (above + down + under))
        ends = one.axis.low, one.axis.high, one.y_high, one.y_low
        panels.append(Panel(left, snap(left + across), high, snap(high + down), *ends))
    return CurvesPlan(**around.closed(panels[-1].bottom + under), sets=tuple(sets), panels=tuple(panels))


def _heading(one: CurveSet, width: float) -> tuple[str, ...]:
    """Return the lines of the heading of a panel."""
    return wrap_to_width(one.heading, width, bold=True) if one.heading else ()


def _at_limits(plan: CurvesPlan, low: float, high: float, bottom: float, top: float) -> CurvesPlan:
    """Return the plan with other ends of the axes of its first panel."""
    first, panel = plan.sets[0], plan.panels[0]
    axis = replace(first.axis, low=low, high=high, ticks=linear_ticks(low, high, 6))
    y_low, y_high = sorted((bottom, top))
    y_ticks = linear_ticks(y_low, y_high, 6)
    changed = replace(first, axis=axis, y_low=y_low, y_high=y_high, y_ticks=y_ticks)
    moved = replace(panel, x_low=low, x_high=high, y_top=top, y_bottom=bottom)
    return replace(plan, sets=(changed, *plan.sets[1:]), panels=(moved, *plan.panels[1:]))


def curves_page(plan: CurvesPlan) -> Page:
    """Return the page of a plan."""
    items = plan.items_above()
    for one, panel in zip(plan.sets, plan.panels, strict=True):
        items += _axes(one, panel)
        low, high = sorted((panel.y_top, panel.y_bottom))
        across = [panel.y(y) for y in one.across if low <= y <= high]
        upright = [panel.x(x) for x in one.upright if panel.x_low <= x <= panel.x_high]
        items += [Line(((panel.left, y), (panel.right, y)), 0.8, GREY, DASH) for y in across]
        items += [Line(((x, panel.top), (x, panel.bottom)), 0.8, GREY, DASH) for x in upright]
        for curve in one.curves:
            items += _curve(curve, panel)
        dots = [(x, y) for x, y in one.dots if panel.x_low <= x <= panel.x_high and low <= y <= high]
        items += [Dot(panel.x(x), panel.y(y), "circle", 5.0, GREY, GREY) for x, y in dots]
    return make_page(plan.width, plan.height, items + plan.items_below(), plan.panels[0])


def _axes(one: CurveSet, panel: Panel) -> list[Item]:
    """Return the axes of a panel with their ticks and names, and its heading."""
    bottom = panel.bottom
    items: list[Item] = [Line(((panel.left, bottom), (panel.right, bottom)))]
    for tick in one.axis.ticks:
        x = panel.x(tick.value)
        items.append(Line(((x, bottom), (x, bottom + 3.0))))
        items.append(Text(x, bottom + 5.0 + 0.9 * SMALL_SIZE, tick.label, SMALL_SIZE, align="center"))
    items += axis_label(one.axis, panel, bottom)
    items.append(Line(((panel.left, panel.top), (panel.left, panel.bottom))))
    for tick in one.y_ticks:
        y = panel.y(tick.value)
        items.append(Line(((panel.left - 3.0, y), (panel.left, y))))
        items.append(Text(panel.left - 5.0, middle(y, SMALL_SIZE), tick.label, SMALL_SIZE, align="right"))
    items.append(Text(panel.left, panel.top - 0.5 * LINE_HEIGHT, one.y_label, SMALL_SIZE, color=GREY))
    lines = _heading(one, panel.right - panel.left)
    first = panel.top - (len(lines) + 1.5) * LINE_HEIGHT
    for i, text in enumerate(lines):
        items.append(Text(panel.left, first + (i + 0.8) * LINE_HEIGHT, text, bold=True))
    return items


def _curve(curve: Curve, panel: Panel) -> list[Item]:
    """Return line and marks of a curve, cut at the edges of the panel."""
    low, high = sorted((panel.y_bottom, panel.y_top))
    items: list[Item] = []
    for part in cut_curve(curve.points, low, high):
        across = cut_curve([(y, x) for x, y in part], panel.x_low, panel.x_high)
        for piece in across:
            places = tuple((panel.x(x), panel.y(y)) for y, x in piece)
            items.append(Line(places, 1.2, curve.color, curve.dash))
    if curve.shape:
        items += [
            Dot(panel.x(x), panel.y(y), curve.shape, 5.0, curve.color, curve.color)
            for x, y in curve.points
            if low <= y <= high and panel.x_low <= x <= panel.x_high
        ]
    return items


def cut_curve(points: Sequence[Point], low: float, high: float) -> list[tuple[Point, ...]]:
    """Return the parts of a curve between two heights."""
    parts: list[list[Point]] = []
    for start, end in pairwise(points):
        piece = _piece(start, end, low, high)
        if piece is None:
            continue
        if parts and parts[-1][-1] == piece[0]:
            parts[-1].append(piece[1])
        else:
            parts.append(list(piece))
    return [tuple(part) for part in parts]


def _piece(start: Point, end: Point, low: float, high: float) -> tuple[Point, Point] | None:
    """Return the part of a line between two heights; None if it is outside."""
    if max(start[1], end[1]) < low or min(start[1], end[1]) > high:
        return None

    def moved(at: Point, other: Point) -> Point:
        for edge, beyond in ((low, at[1] < low), (high, at[1] > high)):
            if beyond:
                share = (edge - at[1]) / (other[1] - at[1])
                return at[0] + share * (other[0] - at[0]), edge
        return at

    return moved(start, end), moved(end, start)


profile = drawing(
    profile_plan,
    CurvesPlan,
    curves_page,
    "Draw profile likelihoods, one panel per variance or correlation.",
    at_limits=_at_limits,
)
