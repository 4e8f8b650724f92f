"""Sunset plots: a funnel with the power of a study at each standard error, for one assumed true effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.optimize import brentq

from metaexo.bias.power import Power, power, power_of_studies
from metaexo.effects.conversions.scales import back_by_rows, back_pooled, without_noise
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import fixed, number, percent, shown
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Layer, Panel, Region, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import given_limits, place_of, robust_limits
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import derived_words, with_ledger
from metaexo.plots.charts.effects import (
    analysed_words,
    counted,
    hidden_note,
    kept_in_view,
    places_of,
    points_by_group,
    reference_rules,
    space_of,
    words_beside,
)
from metaexo.plots.forest.rows import caution_notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PANEL = 260.0  # points: height of the panel
BANDS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # powers between bands, from the top
NAMED = (
    0.8,
    0.5,
    0.2,
    0.1,
    0.9,
    0.3,
    0.7,
    0.4,
    0.6,
)  # those with a label at the right, as far as there is room
ENOUGH = 0.8
DEEPEST = 0.4  # share of colour in the lowest band: a study's mark is seen on it
SECOND = 0.01  # level of the further lines of significance


@checked
def sunset_plan(
    results: Any,
    *,
    true_effect: float | None = None,
    significance: float = 0.05,
    labels: str | Sequence[str] = (),
    reference: float | Literal["null"] | None = "null",
    limits: tuple[float, float] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a sunset plot shows, without drawing it.

    Use it to see whether the studies could have found what they report. It is a funnel plot whose background
    is the power of a study at each standard error, for one assumed true effect: the stronger the colour, the
    less. Where many effects of little power are significant, some of them owe it to selection. The numbers
    are those of :func:`metaexo.bias.power`.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or bare effects.
    true_effect : float, optional
        The assumed true effect, in units of the axis: a ratio as a ratio. Default: the pooled effect of the
        fit, or the equal-effects estimate of bare effects.
    significance : float
        Level of the two-sided test of each study. Lines show where it is passed, and p = 0.01.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: "all", the significant ones
        ("outside"), or those of some rows. A note counts the labels without room.
    reference : float, "null" or None
        Where the reference line stands, in units of the axis; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, in its units. Default: all effects. An effect beyond them is a triangle
        at the edge, and a note has its value.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        Points, bands of power and lines of significance in units of the axes. The table of the points has
        the further columns id, group, effect and se (on the scale of the analysis), shown (the effect as its
        measure is shown), pvalue and power.

    Raises
    ------
    InputError
        If `results` is something else, or a fit with moderators.
    NotIdentifiableError
        If the measure has no value of no effect.

    References
    ----------
    Kossmeier, M., Tran, U. S., Voracek, M. (2020). Power-enhanced funnel plots for meta-analysis: The sunset
    funnel plot. Zeitschrift für Psychologie 228, 43-49. https://doi.org/10.1027/2151-2604/a000392

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> plan = mx.plots.sunset_plan(es, true_effect=0.5)
    >>> plan.to_frame()["power"].dropna().round(2).tolist()
    [0.94, 0.61, 0.82]
    >>> ax = mx.plots.sunset(plan)
    """
    given = true_effect
    found = power(results, significance=significance)
    if given is not None:
        found = power(results, place_of(found.measure, given, "true_effect"), significance=significance)
    es, measure, look = found.effects, found.measure, get_theme(theme, font_size)
    se = np.sqrt(es.v)
    deepest = 1.05 * robust_limits([], se.tolist(), [0.0], pad=0.0)[1]
    ends = -0.02 * deepest, deepest
    across = _across(found, deepest, limits, axis_label)
    edges = _edges(found, deepest)
    upright = ChartAxis(
        label=_side_label(es),
        limits=ends,
        inverted=True,
        opposite=_labelled(edges, ends, space_of(ax, width, height, PANEL)[1], look),
        opposite_label=f"Power (true effect {_value(found)})",
    )
    points = points_by_group(
        es,
        places_of(measure, es.y),
        se,
        5.0,
        words=words_beside(es, labels, found.pvalues <= significance),
        name="effect" if es.m < es.k else "study",
        extra={
            "effect": es.y.tolist(),
            "se": se.tolist(),
            "shown": back_by_rows(es, es.y).tolist(),
            "pvalue": found.pvalues.tolist(),
            "power": found.power.tolist(),
        },
    )
    hidden = hidden_note(points)
    points, beyond = kept_in_view(points, across, upright=False, beside=False)
    points, below = kept_in_view(points, upright, upright=True, beside=False, what="a standard error")
    layers: list[Layer] = [
        *_bands(edges, ends, across, look),
        *_significance(found, deepest),
        *reference_rules(es, reference),
        Rule(
            at=places_of(measure, found.true_effect),
            name=f"{'assumed' if found.given else 'estimated'} true effect {_value(found)}",
            color="pooled",
            dash="dashed",
            width=1.2,
        ),
        *points,
    ]
    derived = derived_words(es.derived, "circle")
    chart = Chart(
        panels=(Panel(x=across, y=upright, layers=layers),),
        legend="below",
        summary=with_ledger(f"Sunset plot of {counted(es)}. {found.sentence}", es.ledger),
        title=title,
        notes=(*_notes(found), *hidden, *beyond, *below, *caution_notes(found), *derived, *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _value(found: Power) -> str:
    """Return the assumed true effect as its measure is shown."""
    effects = found.effects
    return shown(float(back_pooled(effects, without_noise(effects, found.true_effect))), 2)


def _true(found: Power) -> str:
    """Return what the power is for, in words."""
    name = found.measure.display
    return f"a true {name[:1].lower()}{name[1:]} of {_value(found)}"


def _side_label(es: EffectSizes) -> str:
    """Return the words at the vertical axis."""
    name = es.measure.display
    return (
        f"Standard error of the log {name[:1].lower()}{name[1:]}"
        if es.measure.display_log
        else "Standard error"
    )


def _across(found: Power, deepest: float, limits: tuple[float, float] | None, label: str | None) -> ChartAxis:
    """Return the horizontal axis: all effects, the true one, and the lines of significance."""
    measure = found.measure
    if limits is None:
        half = normal_quantile(1 - found.significance) * deepest
        always = [found.true_effect, measure.null - half, measure.null + half]
        low, high = robust_limits([], [], [*found.effects.y.tolist(), *always])
    else:
        low, high = given_limits(measure, limits)
    return ChartAxis(
        label=analysed_words(measure) if label is None else label,
        scale="log" if measure.display_log else "linear",
        limits=(places_of(measure, low), places_of(measure, high)),
    )


def _edges(found: Power, deepest: float) -> list[tuple[float, float]]:
    """Return the powers between bands, as far as the axis reaches, and the standard errors that have them."""
    effect = abs(found.true_effect - found.measure.null)
    edges = []
    for one in BANDS:
        se = _se_of(one, effect, found.significance)
        if 0 < se < deepest:
            edges.append((one, se))
    return edges


def _se_of(wanted: float, effect: float, significance: float) -> float:
    """Return the standard error at which a study has a power; 0 where none has as little, or as much."""
    if effect == 0 or wanted <= significance:
        return 0.0

    def lacking(ratio: float) -> float:
        return float(power_of_studies(ratio, np.array(1.0), significance)) - wanted

    return effect / float(brentq(lacking, 0.0, normal_quantile(1 - significance) + 10.0, xtol=1e-14))


def _bands(
    edges: Sequence[tuple[float, float]], ends: tuple[float, float], across: ChartAxis, theme: Theme
) -> list[Layer]:
    """Return the bands of power from the top, the darker the less power, and the lines between them."""
    low, high = across.limits or (0.0, 1.0)
    heights = [ends[0], *(se for _, se in edges), ends[1]]
    first = BANDS.index(edges[0][0]) if edges else len(BANDS)
    layers: list[Layer] = []
    for i, (top, bottom) in enumerate(pairwise(heights)):
        share = DEEPEST * (first + i) / len(BANDS)
        layers.append(
            Region(
                corners=[(low, top), (high, top), (high, bottom), (low, bottom)],
                color=theme.tint(share, theme.palette[1]),
            )
        )
    layers += [
        Rule(at=se, axis="y", name="power of 80%", color="grey", width=0.9)
        for one, se in edges
        if one == ENOUGH
    ]
    return layers


def _labelled(
    edges: Sequence[tuple[float, float]], ends: tuple[float, float], room: float, theme: Theme
) -> list[tuple[float, str]]:
    """Return the labels of the edges of bands that do not touch each other in a height in points."""
    known, kept = dict(edges), list[float]()
    for one in NAMED:
        if one in known:
            apart = [room * abs(known[one] - known[other]) / (ends[1] - ends[0]) for other in kept]
            if min(apart, default=math.inf) >= 1.25 * theme.small:
                kept.append(one)
    return [(known[one], percent(one)) for one in sorted(kept)]


def _significance(found: Power, deepest: float) -> list[Layer]:
    """Return the lines on which a study has a p-value: from no effect down to both sides."""
    measure, layers = found.measure, list[Layer]()
    dashes: Sequence[tuple[float, Literal["solid", "dotted"]]]
    dashes = ((found.significance, "solid"), (SECOND, "dotted"))
    for one, dash in dashes:
        if one is found.significance or one < found.significance:
            half = normal_quantile(1 - one) * deepest
            for sign, name in ((-1, f"p = {one:g}"), (1, "")):
                x = [places_of(measure, measure.null), places_of(measure, measure.null + sign * half)]
                layers.append(Curve(x=x, y=[0.0, deepest], name=name, color="ink", dash=dash, width=0.9))
    return layers


def _notes(found: Power) -> list[str]:
    """Return how to read the plot, and the numbers of the power."""
    source = "" if found.given else ", which is estimated from the same studies,"
    return [
        f"Shades: power of a study for {_true(found)}{source} by the two-sided test at "
        f"{found.significance:g}; the stronger the colour, the less.",
        f"Median power {percent(found.median)}; 80% or more in {found.enough} of {found.k}; significant: "
        f"{found.observed} observed, {number(found.expected, 1)} expected; "
        f"R-index {fixed(100 * found.r_index, 0)}%.",
    ]


sunset = drawn(sunset_plan, "Draw a sunset plot: a funnel plot with the power of single studies.")
