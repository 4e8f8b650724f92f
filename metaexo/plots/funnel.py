"""Funnel plots: effect against standard error, to see whether small studies differ from large ones.

The plan of a funnel plot, and its way to a page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.conversions.scales import back_by_rows, back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.arguments import checked, plan_of
from metaexo.plots.canvas.canvas import draw
from metaexo.plots.canvas.fonts import (
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    SMALL_SIZE,
    TEXT_SIZE,
    WHITE,
    colour_and_shape,
    text_width,
    wrap_to_width,
)
from metaexo.plots.canvas.furniture import (
    Key,
    axis_label,
    legend_height,
    legend_items,
    legend_width,
    note_items,
    note_lines,
    notes_height,
    ticks_of,
    title_height,
    title_items,
    title_lines,
)
from metaexo.plots.canvas.page import (
    Area,
    Dot,
    Item,
    Line,
    Page,
    Panel,
    Point,
    Text,
    cut_polygon,
    make_page,
    snap,
)
from metaexo.plots.canvas.scale import (
    Axis,
    Tick,
    axis_between,
    linear_ticks,
    on_axis,
    robust_limits,
    tick_label,
)
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.words import fixed, level_words, same_line, shown, stratum_words, words
from metaexo.plots.forest.rows import has_one_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FEW = 10
# Regions of the p-value of a single study, from back to front: level of the inner edge, shade, words.
WIDEST = 0.90
CONTOURS = (
    (None, "#f6f6f6", "p < 0.01"),
    (0.99, "#ececec", "0.01 < p < 0.05"),
    (0.95, "#e0e0e0", "0.05 < p < 0.10"),
    (WIDEST, WHITE, "p > 0.10"),
)


@checked
def funnel_plan(
    results: Any,
    *,
    by: str | None = None,
    contours: bool = False,
    level: float | None = None,
    wording: Mapping[str, str] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    panel_size: tuple[float, float] = (300.0, 230.0),
) -> FunnelPlan:
    r"""Return what a funnel plot shows, without drawing it.

    Use it to see whether small studies report other effects than large ones. The pseudo-confidence region is
    :math:`\hat\mu \pm z s` at standard error s: where 95 % of the studies of one common effect would lie.
    With contours the regions around no effect show where single studies are significant.

    Parameters
    ----------
    results : RandomEffectsResults, StratifiedResults or EffectSizes
        A fit gives the centre; strata give colours and marks too; bare effects have no region.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    contours : bool
        Whether to shade the regions of p < 0.01, p < 0.05 and p < 0.10 around no effect.
    level : float, optional
        Level of the region. Default: that of the fit.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    axis_label, title : str, optional
        Words at the horizontal axis (default: the measure) and above.
    notes : sequence of str
        Further lines below.
    panel_size : tuple of float
        Width and height of the panel in points.

    Returns
    -------
    FunnelPlan
        Points, regions, axes and legend with their places.

    Raises
    ------
    InputError
        If `results` is none of the kinds above.
    NotIdentifiableError
        If contours are asked for and the measure has no value of no effect.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Sterne, J. A. C., Egger, M. (2001). https://doi.org/10.1016/S0895-4356(01)00377-8
    Peters, J. L., et al. (2008). https://doi.org/10.1016/j.jclinepi.2007.11.010
    Sterne, J. A. C., et al. (2011). https://doi.org/10.1136/bmj.d4002

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> plan = mx.plots.funnel_plan(mx.RandomEffects(es).fit())
    >>> len(plan.points), round(plan.centre, 3)
    (3, 0.26)
    """
    es, centre, level, groups = _what(results, by, level, wording or {})
    null = es.measure.null
    if es.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    if contours and math.isnan(null):
        raise NotIdentifiableError(
            f"{es.measure.display} has no value of no effect",
            "a measure of a difference or a ratio",
            "draw the funnel without contours",
        )
    points = _points(es, groups)
    deepest = _depth(points)
    regions = [] if centre is None else [(centre, level)]
    regions += [(null, WIDEST)] if contours else []
    axis = _axis(es, points, regions, deepest, axis_label, panel_size[0])
    region = () if centre is None else _triangle(centre, level, deepest, axis)
    shaded = _shades(null, deepest, axis) if contours else ()
    keys = _keys(es, points, centre, level, contours)
    place = _place(axis, deepest, keys, title, (*_notes(es, points, deepest), *notes), panel_size)
    return FunnelPlan(
        measure=es.measure,
        points=points,
        centre=centre,
        region=region,
        level=level,
        contours=shaded,
        axis=axis,
        se_ticks=_se_ticks(0.0, deepest),
        panel=place.panel,
        keys=keys,
        title=place.title,
        notes=place.notes,
        width=place.width,
        height=place.height,
    )


@checked
def funnel(results: Any, ax: Axes | None = None, **choices: Any) -> Axes:
    """Draw a funnel plot.

    Parameters
    ----------
    results : RandomEffectsResults, StratifiedResults, EffectSizes or FunnelPlan
        What is shown; a plan is drawn as it is.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a figure of the planned size, apart from pyplot.
    **choices
        As for :func:`funnel_plan`.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes, with effects (ratios as ratios) and standard errors as coordinates.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> ax = mx.plots.funnel(mx.RandomEffects(es).fit(), contours=True)
    """
    plan = plan_of(FunnelPlan, funnel_plan, results, choices)

    def again(low: float, high: float, bottom: float, top: float) -> Page:
        ends = (on_axis(plan.measure, low), on_axis(plan.measure, high))
        return funnel_page(with_limits(plan, *ends, bottom, top))

    return draw(funnel_page(plan), ax, again)


def with_limits(plan: FunnelPlan, low: float, high: float, bottom: float, top: float) -> FunnelPlan:
    """Return the plan with other axes: ends of the effects, and of the standard errors (below and above)."""
    width = plan.panel.right - plan.panel.left
    axis = axis_between(plan.measure, low, high, plan.axis.reference, plan.axis.label, width)
    highest, deepest = sorted((bottom, top))
    centre = plan.centre
    return replace(
        plan,
        axis=axis,
        panel=replace(plan.panel, x_low=low, x_high=high, y_top=top, y_bottom=bottom),
        region=() if centre is None else _triangle(centre, plan.level, deepest, axis, highest),
        contours=_shades(plan.measure.null, deepest, axis, highest) if plan.contours else (),
        se_ticks=_se_ticks(highest, deepest),
    )


def _what(
    results: Any, by: str | None, level: float | None, wording: Mapping[str, str]
) -> tuple[EffectSizes, float | None, float, list[str]]:
    """Return effects, centre, level and the group of each effect."""
    strata = getattr(results, "strata", None)
    fit = results.overall if strata is not None else results
    if isinstance(results, EffectSizes):
        es, centre, level = results, None, level or 0.95
    elif hasattr(fit, "effects") and hasattr(fit, "pooled"):
        es, level = fit.effects, level or fit.level
        centre = float(fit.pooled(level).estimate) if has_one_mean(fit) else None
    else:
        raise InputError(
            f"a funnel plot cannot be made of {type(results).__name__}",
            "EffectSizes, a fit with a pooled effect, or strata with an overall effect",
            "hand in mx.EffectSizes(...), mx.RandomEffects(...).fit() or mx.stratify(...)",
        )
    if by is not None:
        return es, centre, level, [words(value, wording) for value in es.column(by)]
    groups = [""] * es.k
    for stratum in strata or ():
        for row in stratum.rows:
            groups[int(row)] = stratum_words(stratum.levels, wording)
    return es, centre, level, groups


def _points(es: EffectSizes, groups: Sequence[str]) -> tuple[FunnelPoint, ...]:
    """Return the points; the largest group has the first colour."""
    signs = {group: colour_and_shape(position) for position, group in enumerate(levels_of(groups))}
    ids, labels, errors, as_shown = es.row_ids, es.row_labels, np.sqrt(es.v), back_by_rows(es, es.y)
    return tuple(
        FunnelPoint(
            ids[i],
            labels[i],
            groups[i],
            float(es.y[i]),
            float(errors[i]),
            *signs[groups[i]],
            bool(es.derived) and es.derived[i].how != "reported",
            float(as_shown[i]),
        )
        for i in range(es.k)
    )


def _depth(points: Sequence[FunnelPoint]) -> float:
    """Return where the axis of standard errors ends: below all but far ones."""
    high = robust_limits([], [p.se for p in points], [0.0], pad=0.0)[1]
    return 1.05 * high if high > 0 else 1.0


def _axis(
    es: EffectSizes,
    points: Sequence[FunnelPoint],
    regions: Sequence[tuple[float, float]],
    deepest: float,
    label: str | None,
    width: float,
) -> Axis:
    """Return an axis that holds all points and the regions (centre and level)."""
    measure = es.measure
    null = None if math.isnan(measure.null) else measure.null
    shown_always = [p.effect for p in points] + ([] if null is None else [null])
    for middle, level in regions:
        half = float(normal_quantile(level)) * deepest
        shown_always += [middle - half, middle + half]
    low, high = robust_limits([], [], shown_always)
    if label is None:
        scale = ", logarithmic scale" if measure.display_log else f", as analysed ({measure.code})"
        label = measure.display + (scale if measure.rescaled else "")
    return axis_between(measure, low, high, null, label, width)


def _triangle(
    centre: float, level: float, deepest: float, axis: Axis, highest: float = 0.0
) -> tuple[Point, ...]:
    """Return the corners of centre ± z se between two standard errors, as far as the axis goes."""
    z = float(normal_quantile(level))
    corners = [(centre + z * deepest, deepest), (centre - z * deepest, deepest)]
    if highest > 0:
        corners = [(centre - z * highest, highest), (centre + z * highest, highest), *corners]
    else:
        corners = [(centre, 0.0), *corners]
    corners = cut_polygon(corners, axis.low, True)
    return tuple(cut_polygon(corners, axis.high, False))


def _shades(
    null: float, deepest: float, axis: Axis, highest: float = 0.0
) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    """Return the regions of the p-value of a single study, from back to front."""
    whole = ((axis.low, highest), (axis.high, highest), (axis.high, deepest), (axis.low, deepest))
    return tuple(
        (shade, whole if inner is None else _triangle(null, inner, deepest, axis, highest))
        for inner, shade, _ in CONTOURS
    )


def _se_ticks(low: float, high: float) -> tuple[Tick, ...]:
    return tuple(Tick(v, tick_label(v)) for v in linear_ticks(low, high, 7))


def _keys(
    es: EffectSizes, points: Sequence[FunnelPoint], centre: float | None, level: float, contours: bool
) -> tuple[Key, ...]:
    """Return the legend: groups, derived values, centre and region, contours."""
    groups = Counter(p.group for p in points)
    keys = []
    if set(groups) != {""}:
        signs = {p.group: (p.colour, p.shape) for p in points}
        full = {p.group for p in points if not p.hollow}
        keys += [
            Key(f"{name} ({same_line(f'k = {groups[name]}')})", *signs[name], hollow=name not in full)
            for name in levels_of(groups)
        ]
    if any(p.hollow for p in points):
        keys.append(Key("hollow: derived value", GREY, "circle", hollow=True))
    if centre is not None:
        keys.append(Key(f"pooled effect {fixed(float(back_pooled(es, centre)), 2)}", GREY, "line"))
        keys.append(Key(f"pseudo {level_words(level)} region around it", GREY, "line", dash=DASH))
    if not math.isnan(es.measure.null):
        keys.append(Key("no effect", PALE, "line"))
    if contours:
        keys.append(Key("p-value of each point"))
        edges = zip(("p = 0.10", "p = 0.05", "p = 0.01"), EDGES, strict=True)
        keys += [Key(text, GREY, "line", dash=dash) for text, dash in edges]
        keys += [Key(text, shade, "area") for _, shade, text in reversed(CONTOURS)]
    return tuple(keys)


def _notes(es: EffectSizes, points: Sequence[FunnelPoint], deepest: float) -> list[str]:
    notes = []
    far = [shown(p.se, 2) for p in points if p.se > deepest]
    if far:
        notes.append(f"An arrow at the lower edge: a standard error beyond the axis ({', '.join(far)}).")
    if es.m < FEW:
        notes.append(f"With fewer than {FEW} studies (here {es.m}) asymmetry can hardly be told from chance.")
    return notes


@dataclass(frozen=True, slots=True)
class _Place:
    """The places of a funnel plot."""

    title: tuple[str, ...]
    notes: tuple[str, ...]
    panel: Panel
    width: float
    height: float


def _place(
    axis: Axis,
    deepest: float,
    keys: Sequence[Key],
    title: str,
    notes: Sequence[str],
    size: tuple[float, float],
) -> _Place:
    ticks = linear_ticks(0.0, deepest, 7)
    left = MARGIN + max(text_width(tick_label(v), SMALL_SIZE) for v in ticks) + 8.0
    right = left + size[0]
    width = float(math.ceil(right + LEGEND_GAP + legend_width(keys, TEXT_SIZE) + MARGIN))
    titles, below = title_lines(title, width), note_lines(notes, width)
    top = MARGIN + title_height(titles) + 1.6 * LINE_HEIGHT
    bottom = top + max(size[1], legend_height(keys, TEXT_SIZE, LINE_HEIGHT))
    panel = Panel(
        snap(left), snap(right), snap(top), snap(bottom), axis.low, axis.high, 0.0, deepest, axis.log
    )
    label_lines = len(wrap_to_width(axis.label, size[0], TEXT_SIZE))
    axis_height = 5.0 + 1.3 * SMALL_SIZE + (label_lines + 0.6) * LINE_HEIGHT
    return _Place(titles, below, panel, width, float(math.ceil(bottom + axis_height + notes_height(below))))


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
