"""Radial plots (Galbraith plots): effects in standard errors against precision; slopes are effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import fixed, level_words
from metaexo.models.linear.results import FitResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Band, Chart, ChartAxis, Curve, Layer, Panel, Words
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import FURTHEST, from_axis, make_ticks, on_axis
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.charts.effects import (
    effect_notes,
    effects_of,
    fit_of_points,
    groups_of,
    hidden_note,
    legend_beside,
    points_by_group,
    space_of,
    words_beside,
)
from metaexo.plots.forest.rows import has_one_mean
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL, BESIDE = 250.0, 60.0  # points: side of the panel, and what its axis needs beside it
ARC, EDGE = 1.08, 1.30  # radius of the arc and end of the axis, where the farthest point is 1
TICK = 0.012  # length of a tick of the arc, in units of the side of the panel
STEPS = 120


@checked
def radial_plan(
    results: Any,
    *,
    by: str | None = None,
    level: float | None = None,
    labels: str | Sequence[str] = (),
    wording: Mapping[str, str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a radial plot (Galbraith plot) shows, without drawing it.

    Use it to see which effects differ from the pooled effect, with the precise ones standing far to the
    right. Effect i stands at :math:`x_i = 1 / s_i` and :math:`z_i = y_i / s_i`, with :math:`s_i^2` its
    variance under the model (v, or v + tau2), so that the line from the origin through it has the slope
    :math:`y_i`. The pooled effect is a line; 95% of the effects are expected within 1.96 of it. The arc at
    the right gives the effects that belong to slopes.

    Parameters
    ----------
    results : FitResults or StratifiedResults
        A fit without moderators, of any model of effects; strata give colours and marks too. ``method="EE"``
        gives the plot as Galbraith drew it, without heterogeneity.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    level : float, optional
        Level of the band and of the interval on the arc. Default: that of the fit.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: "all", those outside the band
        ("outside"), or those of some rows. A note
        counts the labels without room.
    wording : mapping of str to str, optional
        Words for the values of `by`.

    Returns
    -------
    Chart
        Points, line, band and arc. The table of the points has the further columns id, group, effect, se and
        residual (the distance from the line, in standard errors).

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or has moderators.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Galbraith, R. F. (1988). A note on graphical presentation of estimated odds ratios from several clinical
    trials. Statistics in Medicine 7, 889-894. https://doi.org/10.1002/sim.4780070807

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> plan = mx.plots.radial_plan(mx.RandomEffects(es).fit(method="EE"))
    >>> points = plan.to_frame().query("layer == 'points'")
    >>> (points["y"] / points["x"]).astype(float).round(3).tolist()
    [0.2, 0.6, 0.1]
    >>> ax = mx.plots.radial(plan)
    """
    es, fit = effects_of(results, "a radial plot")
    fit = _one_mean(fit if fit is not None else results)
    level = fit.level if level is None else level
    fan = _fan(es, fit, level)
    points = points_by_group(
        es,
        fan.x,
        fan.y,
        5.0,
        groups=groups_of(results, es, by, wording),
        words=words_beside(es, labels, np.abs(fan.residual) > fan.z),
        extra={"effect": es.y.tolist(), "se": (1 / fan.x).tolist(), "residual": fan.residual.tolist()},
    )
    sides = _sides(fan)
    side_points = min(space_of(ax, width, height, PANEL))
    has_tau2 = bool((fan.x * np.sqrt(es.v) < 1 - 1e-9).any())
    wide, look = space_of(ax, width, height, PANEL)[0], get_theme(theme, font_size)
    chart = Chart(
        legend=legend_beside(wide, look),
        panels=(
            Panel(
                x=ChartAxis(
                    label="1 / standard error" + (", heterogeneity included" if has_tau2 else ""),
                    limits=(0.0, sides.right),
                ),
                y=ChartAxis(label="Effect / standard error", limits=(sides.low, sides.high)),
                layers=[
                    *_lines(es, fan, sides, level),
                    *_arc(es, fit, fan, sides, level, side_points),
                    *points,
                ],
                equal=True,
            ),
        ),
        summary=with_ledger(
            f"Radial plot of {es.k} effects; {_outside(fan)} outside the {level_words(level)} band.",
            es.ledger,
        ),
        title=title,
        notes=(*_notes(es, fit), *hidden_note(points), *notes),
        width=width,
        height=height or width,
        theme=look,
    )
    return chart if height else chart.with_panels(min(PANEL, wide - BESIDE))


@dataclass(frozen=True, slots=True)
class Fan:
    """Where the effects stand: precision x, effect in standard errors y; the line has the slope `pooled`."""

    x: Array
    y: Array
    pooled: float
    z: float  # half width of the band

    @property
    def residual(self) -> Array:
        """Distance of each effect from the line, in standard errors."""
        return np.asarray(self.y - self.pooled * self.x)


@dataclass(frozen=True, slots=True)
class Sides:
    """The panel, a square: its ends in units of the axes, and the radius of the arc along the x axis."""

    right: float
    low: float
    high: float
    radius: float

    def on_arc(self, slopes: Array, further: float = 0.0) -> tuple[Array, Array]:
        """Return where lines from the origin cross the arc, or one further out by a share of a side."""
        ratio = self.right / (self.high - self.low)  # of a unit of y to one of x, as drawn
        x = (self.radius + further * self.right) / np.sqrt(1.0 + (ratio * slopes) ** 2)
        return x, slopes * x


def _one_mean(results: Any) -> FitResults:
    """Return a fit without moderators; raises InputError for all else."""
    fit = fit_of_points(
        results, "a radial plot", " without moderators", "hand in mx.RandomEffects(...).fit()"
    )
    if not has_one_mean(fit):
        raise InputError(
            "the model has moderators, and a radial plot has a single line",
            "a fit without moderators",
            "see its residuals with mx.plots.funnel(fit) or mx.plots.normal_quantile(fit)",
        )
    return fit


def _fan(es: EffectSizes, fit: FitResults, level: float) -> Fan:
    """Return where the effects stand, with their standard deviations under the model."""
    se = fit.residuals("pearson")["se"].to_numpy(dtype=float)
    return Fan(1 / se, es.y / se, float(fit.beta[0]), float(normal_quantile(level)))


def _sides(fan: Fan) -> Sides:
    """Return a panel that holds the origin, all points, the band, and the arc at the pooled effect."""
    most, furthest = float(fan.x.max()), float(np.abs(fan.y).max())
    middle = fan.pooled * most
    ends = [*fan.y.tolist(), -fan.z, fan.z, middle - fan.z, middle + fan.z, ARC * middle]
    low, high = min(ends), max(ends)
    room = 0.05 * (high - low)
    low, high = low - room, high + room
    # high enough that an arc around all points has room
    lacking = max(1.5 * EDGE * furthest - (high - low), 0.0)
    low, high = (low - lacking, high) if -low > high else (low, high + lacking)
    left = 1 / ARC**2 - (EDGE / ARC * fan.y / (high - low)) ** 2
    radius = float((fan.x / np.sqrt(left)).max())
    return Sides(EDGE / ARC * radius, low, high, radius)


def _lines(es: EffectSizes, fan: Fan, sides: Sides, level: float) -> list[Layer]:
    """Return the band, and the lines of no effect and of the pooled effect as far as the arc."""
    ends = [0.0, float(fan.x.max())]
    line = [fan.pooled * x for x in ends]
    value = fixed(float(back_pooled(es, fan.pooled)), 2)
    null = es.measure.null
    lines = [("pooled effect " + value, fan.pooled, "pooled", 1.2)]
    if not math.isnan(null):
        lines.insert(0, ("no effect", null, "pale", 0.8))
    return [
        Band(
            x=ends,
            low=[y - fan.z for y in line],
            high=[y + fan.z for y in line],
            name=f"{level_words(level)} band of effects",
        ),
        *(
            Curve(
                x=[0.0, float(sides.on_arc(np.array(slope))[0])],
                y=[0.0, float(sides.on_arc(np.array(slope))[1])],
                name=name,
                color=color,
                width=wide,
            )
            for name, slope, color, wide in lines
        ),
    ]


def _arc(es: EffectSizes, fit: FitResults, fan: Fan, sides: Sides, level: float, side: float) -> list[Layer]:
    """Return the arc of effects with ticks at round values, and the interval of the pooled effect on it.

    `side`: side of the panel in points.
    """
    pooled = fit.pooled(level)
    bounds = np.array([pooled.low, pooled.high])
    bounds = bounds[np.isfinite(bounds)]
    slopes = _slopes(sides, [*es.y.tolist(), fan.pooled, *bounds.tolist()])
    x, y = sides.on_arc(slopes)
    layers: list[Layer] = [Curve(x=x.tolist(), y=y.tolist(), color="ink", width=0.8)]
    if bounds.size == 2:
        low, high = np.clip(bounds, slopes[0], slopes[-1]).tolist()
        within = np.linspace(low, high, STEPS)
        x, y = sides.on_arc(within, -TICK)
        layers.append(
            Curve(
                x=x.tolist(),
                y=y.tolist(),
                name=f"{level_words(level)} interval of the pooled effect",
                color="pooled",
                width=3.0,
            )
        )
    last = -math.inf
    for slope, label in _ticks(es, slopes, side):
        at = np.array(slope)
        inner, outer, beside = (sides.on_arc(at, further) for further in (0.0, TICK, 2.5 * TICK))
        height = (float(beside[1]) - sides.low) / (sides.high - sides.low) * side
        if height - last < 10.0:
            continue
        last = height
        layers.append(
            Curve(
                x=[float(inner[0]), float(outer[0])],
                y=[float(inner[1]), float(outer[1])],
                color="ink",
                width=0.8,
            )
        )
        layers.append(Words(x=float(beside[0]), y=float(beside[1]), text=label, color="ink"))
    return layers


def _slopes(sides: Sides, values: Sequence[float]) -> Array:
    """Return the slopes of the arc from low to high: those of all values, as far as the panel reaches."""
    ratio = sides.right / (sides.high - sides.low)
    low, high = (math.atan(ratio * one) for one in (min(values), max(values)))
    more = max(0.05 * (high - low), 0.06)
    angles = np.linspace(max(low - more, -1.5), min(high + more, 1.5), 20 * STEPS)
    every = np.tan(angles) / ratio
    _, y = sides.on_arc(every, 2.0 * TICK)
    room = 0.01 * (sides.high - sides.low)
    return np.asarray(every[(y > sides.low + room) & (y < sides.high - room)])


def _ticks(es: EffectSizes, slopes: Array, side: float) -> list[tuple[float, str]]:
    """Return slopes of round shown values with their labels, from low to high."""
    measure = es.measure
    shown = back_pooled(es, slopes)
    places = np.array([on_axis(measure, float(one)) for one in shown])
    kept = np.abs(places) < (FURTHEST if measure.display_log else 1e99)
    if kept.sum() < 2:
        return []
    shown, slopes, places = shown[kept], slopes[kept], places[kept]
    found = make_ticks(measure, float(places.min()), float(places.max()), 2.0 * side)
    values = [from_axis(measure, tick.value) for tick in found]
    order = np.argsort(shown)
    at = np.interp(values, shown[order], slopes[order])
    return sorted((float(slope), tick.label) for slope, tick in zip(at, found, strict=True))


def _outside(fan: Fan) -> int:
    return int((np.abs(fan.residual) > fan.z).sum())


def _notes(es: EffectSizes, fit: FitResults) -> list[str]:
    """Return how to read the plot, and what to know before relying on it."""
    name = es.measure.display
    notes = [f"Arc: the {name[:1].lower()}{name[1:]} of a line from the origin."]
    if es.m < es.k:
        notes.append(f"{es.k} effects of {es.m} studies; effects of one study are not independent.")
    return [*notes, *effect_notes(fit)]


radial = drawn(radial_plan, "Draw a radial plot (Galbraith plot).")
