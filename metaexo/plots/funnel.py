"""Funnel plots: effect against standard error, to see whether small studies differ from large ones."""

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
from metaexo.formatting import fixed, level_words, shown
from metaexo.heterogeneity import AttributionResults
from metaexo.models.linear.results import FitResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.figure import Plan, drawing, surround
from metaexo.plots.canvas.fonts import (
    GREY,
    INK,
    LINE_HEIGHT,
    MARGIN,
    PALE,
    SMALL_SIZE,
    WHITE,
    color_and_shape,
    text_width,
)
from metaexo.plots.canvas.page import (
    Area,
    Dot,
    Item,
    Key,
    Line,
    Page,
    Panel,
    Point,
    Text,
    axis_height,
    cut_polygon,
    legend_height,
    legend_items,
    legend_width,
    make_page,
    mark_at_the_edge,
    snap,
    ticks_of,
    upright_line,
)
from metaexo.plots.canvas.page import axis_label as axis_label_items
from metaexo.plots.canvas.scale import (
    Axis,
    Tick,
    axis_at,
    axis_between,
    axis_words,
    linear_ticks,
    robust_limits,
)
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.words import same_line, stratum_words, words
from metaexo.plots.forest.rows import has_one_mean

if TYPE_CHECKING:
    import pandas as pd

FEW = 10
LEGEND_GAP, ARROW, EDGE_MARK = 18.0, 6.0, 6.0
DASH = (3.0, 2.0)
# Regions of the p-value of a single study, from back to front: level of the inner edge, shade, words.
WIDEST = 0.90
CONTOURS = (
    (None, "#f6f6f6", "p < 0.01"),
    (0.99, "#ececec", "0.01 < p < 0.05"),
    (0.95, "#e0e0e0", "0.05 < p < 0.10"),
    (WIDEST, WHITE, "p > 0.10"),
)
# Lines at the edges of the regions of p: at 0.10, 0.05 and 0.01.
EDGES: tuple[tuple[float, ...], ...] = ((7.0, 1.5), (5.0, 1.5, 1.0, 1.5), (1.0, 1.5))


@dataclass(frozen=True, slots=True)
class FunnelPoint:
    """One effect of a funnel plot, on the scale of the analysis, and the effect as it is shown elsewhere."""

    id: str
    label: str
    group: str
    effect: float
    se: float
    color: str
    shape: str
    hollow: bool
    shown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelPlan(Plan):
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
    legend : tuple of Key
        What stands beside the panel.
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
    legend: tuple[Key, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the points: id, label, group, effect, se (scale of the analysis), shown, hollow."""
        import pandas as pd

        names = ["id", "label", "group", "effect", "se", "shown", "hollow"]
        return pd.DataFrame([{name: getattr(p, name) for name in names} for p in self.points])


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
    :math:`\hat\mu \pm z s` at standard error s: where 95% of the studies of one common effect would lie.
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
    >>> ax = mx.plots.funnel(plan)
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
    panel, around = _places(axis, deepest, keys, title, (*_notes(es, points, deepest), *notes), panel_size)
    return FunnelPlan(
        **around,
        measure=es.measure,
        points=points,
        centre=centre,
        region=region,
        level=level,
        contours=shaded,
        axis=axis,
        se_ticks=linear_ticks(0.0, deepest, 7),
        panel=panel,
        legend=keys,
    )


def _what(
    results: Any, by: str | None, level: float | None, wording: Mapping[str, str]
) -> tuple[EffectSizes, float | None, float, list[str]]:
    """Return effects, centre, level and the group of each effect."""
    strata = getattr(results, "strata", None)
    fit = results.overall if strata is not None else results
    if isinstance(results, EffectSizes):
        es, centre, level = results, None, level or 0.95
    elif (
        isinstance(fit, FitResults)
        and isinstance(fit.effects, EffectSizes)
        and not isinstance(fit, AttributionResults)
    ):
        es, level = fit.effects, level or fit.level
        centre = fit.estimate if has_one_mean(fit) else None
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
    signs = {group: color_and_shape(position) for position, group in enumerate(levels_of(groups))}
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
        analysed = measure.rescaled and not measure.display_log
        label = f"{measure.display}, as analysed ({measure.code})" if analysed else axis_words(measure)
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


def _keys(
    es: EffectSizes, points: Sequence[FunnelPoint], centre: float | None, level: float, contours: bool
) -> tuple[Key, ...]:
    """Return the legend: groups, derived values, centre and region, contours."""
    groups = Counter(p.group for p in points)
    keys = []
    if set(groups) != {""}:
        signs = {p.group: (p.color, p.shape) for p in points}
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
        notes.append(f"With fewer than {FEW} studies (here {es.m}) asymmetry may well be chance.")
    return notes


def _places(
    axis: Axis,
    deepest: float,
    keys: Sequence[Key],
    title: str,
    notes: Sequence[str],
    size: tuple[float, float],
) -> tuple[Panel, dict[str, Any]]:
    """Return the panel, and what stands around it."""
    ticks = linear_ticks(0.0, deepest, 7)
    left = MARGIN + max(text_width(tick.label, SMALL_SIZE) for tick in ticks) + 8.0
    right = left + size[0]
    width = float(math.ceil(right + LEGEND_GAP + legend_width(keys) + MARGIN))
    around = surround(title, (), notes, width)
    top = around.top + 1.6 * LINE_HEIGHT
    bottom = top + max(size[1], legend_height(keys))
    corners = snap(left), snap(right), snap(top), snap(bottom)
    panel = Panel(*corners, axis.low, axis.high, 0.0, deepest, axis.log)
    return panel, around.closed(bottom + axis_height(axis, size[0]))


def _at_limits(plan: FunnelPlan, left: float, right: float, bottom: float, top: float) -> FunnelPlan:
    """Return the plan with other axes: ends of the effects, and of the standard errors (below and above)."""
    axis = axis_at(plan.measure, plan.axis, plan.panel.right - plan.panel.left, left, right)
    highest, deepest = sorted((bottom, top))
    centre = plan.centre
    return replace(
        plan,
        axis=axis,
        panel=replace(plan.panel, x_low=axis.low, x_high=axis.high, y_top=top, y_bottom=bottom),
        region=() if centre is None else _triangle(centre, plan.level, deepest, axis, highest),
        contours=_shades(plan.measure.null, deepest, axis, highest) if plan.contours else (),
        se_ticks=linear_ticks(highest, deepest, 7),
    )


def funnel_page(plan: FunnelPlan) -> Page:
    """Return the page of a plan."""
    panel, axis = plan.panel, plan.axis
    items = plan.items_above()
    for shade, corners in plan.contours:
        items.append(Area(tuple((panel.x(x), panel.y(y)) for x, y in corners), shade))
    for (_, corners), dash in zip(reversed(plan.contours[1:]), EDGES, strict=False):
        items += _sides(plan, corners, 0.6, dash)
    items += upright_line(axis, panel, axis.reference, 0.8, PALE)
    items += _sides(plan, plan.region, 0.9, DASH)
    items += upright_line(axis, panel, plan.centre, 0.9, GREY)
    items.append(Text(MARGIN, panel.top - 0.8 * LINE_HEIGHT, "Standard error", color=INK))
    items += axis_label_items(axis, panel, panel.bottom)
    items += [_point(plan, p) for p in plan.points]
    items += legend_items(plan.legend, panel.right + LEGEND_GAP, panel.top)
    side = tuple((tick.value, tick.label) for tick in plan.se_ticks)
    return make_page(plan.width, plan.height, items + plan.items_below(), panel, ticks_of(axis), side)


def _sides(plan: FunnelPlan, corners: tuple[Point, ...], width: float, dash: tuple[float, ...]) -> list[Item]:
    """Return the sides of a region that are not edges of the panel; these close it."""
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
        y = min(panel.y(max(point.se, panel.y_top)), panel.bottom)
        return mark_at_the_edge(panel, point.effect < plan.axis.low, y, EDGE_MARK, point.color)
    x = panel.x(point.effect)
    if point.se < panel.y_top:
        return Dot(x, panel.top + EDGE_MARK / 2, "triangle", EDGE_MARK, WHITE, point.color, 0.9)
    if point.se > panel.y_bottom:
        back, half = panel.bottom - ARROW, 0.6 * ARROW
        return Area(((x, panel.bottom), (x - half, back), (x + half, back)), point.color)
    fill = WHITE if point.hollow else point.color
    outline = INK if plan.contours and not point.hollow else point.color
    return Dot(x, panel.y(point.se), point.shape, 5.5, fill, outline, 0.9)


funnel = drawing(funnel_plan, FunnelPlan, funnel_page, "Draw a funnel plot.", at_limits=_at_limits)
