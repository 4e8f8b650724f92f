"""Funnel plots: effect against standard error, to see whether small studies differ from large ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metaexo.bias import TrimAndFill
from metaexo.bias.results import BiasResult, BiasTest
from metaexo.effects.conversions.scales import back_by_rows, back_pooled, without_noise
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import level_words, shown
from metaexo.models.linear.results import FitResults
from metaexo.numeric.tails import normal_quantile
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Layer, Panel, Points, Region, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import given_limits, robust_limits
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import with_ledger
from metaexo.plots.charts.effects import (
    analysed_value,
    analysed_words,
    effects_of,
    groups_of,
    hidden_note,
    in_order,
    kept_in_view,
    legend_beside,
    places_of,
    points_by_group,
    reference_rules,
    space_of,
    unseen_notes,
    words_beside,
)
from metaexo.plots.charts.funnel_axes import Y_AXES, VerticalAxis, heights_of, vertical_ends
from metaexo.plots.charts.funnel_overlays import (
    Funnel,
    centre_of,
    drawn_over,
    given_overlays,
    lines_beyond,
    sentence_of,
)
from metaexo.plots.forest.rows import caution_notes, has_one_mean, no_single_effect
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FEW = 10
FAR = 1.0  # an axis goes on for lines by this share of its length at most
PANEL = 240.0  # points: height of the panel
# Regions of the p-value of a single study, from back to front: level of the inner edge, share of ink, words.
WIDEST = 0.90
CONTOURS = (
    (None, 0.04, "p < 0.01"),
    (0.99, 0.083, "0.01 < p < 0.05"),
    (0.95, 0.135, "0.05 < p < 0.10"),
    (WIDEST, 0.0, ""),
)
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
EDGES: tuple[tuple[str, float, Dash], ...] = (
    ("p = 0.10", 0.90, "solid"),
    ("p = 0.05", 0.95, "dashdot"),
    ("p = 0.01", 0.99, "dotted"),
)


@checked
def funnel_plan(
    results: Any,
    *,
    by: str | None = None,
    yaxis: Literal[
        "sei", "vi", "seinv", "vinv", "ni", "lni", "ninv", "sqrtni", "sqrtninv", "groups", "wi"
    ] = "sei",
    residuals: bool | None = None,
    overlays: Any = (),
    contours: bool | None = None,
    level: float | None = None,
    labels: str | Sequence[str] = (),
    reference: float | Literal["null"] | None = "null",
    limits: tuple[float, float] | None = None,
    wording: Mapping[str, str] | None = None,
    axis_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a funnel plot shows, without drawing it.

    Use it to see whether small studies report other effects than large ones. The pseudo-confidence region is
    :math:`\hat\mu \pm z s` at standard error s: where 95% of the studies of one common effect would lie.
    With contours the regions around no effect show where single studies are significant. A model with
    moderators has no single centre; its residuals :math:`y_i - x_i'\hat\beta` are drawn against their
    standard errors, which allow for heterogeneity, and 95% of them are expected in the region around 0.

    Results of :mod:`metaexo.bias` are drawn over it, or alone. Fitted curves (Egger's line, PET and PEESE,
    limit meta-analysis) go to their limit, the mean effect at perfect precision, which has a mark at the top;
    adjusted means are upright lines; studies that trim and fill adds are hollow lozenges at the heights of
    those that they mirror, and the region lies around the mean with them.

    Parameters
    ----------
    results : FitResults, StratifiedResults, EffectSizes or a result of mx.bias
        A fit of any model of effects, robust or not, gives the centre; strata give colours and marks too;
        bare effects have no region. A result of :mod:`metaexo.bias` has the funnel of its effects, around the
        mean before adjustment if it keeps one.
    by : str, optional
        Column of the data whose values get colours and marks of their own.
    yaxis : {"sei", "vi", "seinv", "vinv", "ni", "lni", "ninv", "sqrtni", "sqrtninv", "groups", "wi"}
        Vertical axis: standard error, sampling variance, their inverses, sample size, its inverse, the roots
        of these two, the root of 1/n1 + 1/n2 of two groups ("groups": where the regression test of
        standardised mean differences is a straight line), or weight in the fit. Large studies stand above.
        With sample sizes and weights there is no region. The sample size is n, or treatment_n and control_n
        together, of what the effects were computed from or of their data.
    residuals : bool, optional
        Whether to show residuals. Default: if the model has moderators.
    overlays : result of mx.bias, or several
        What is drawn over the funnel, computed from the same effects. Where the vertical axis does not show
        what a curve depends on, the fitted effect of each study is marked instead.
    contours : bool, optional
        Whether to shade the regions of p < 0.01, p < 0.05 and p < 0.10 around no effect. Default: where trim
        and fill is drawn, if there is a value of no effect and an axis of standard errors.
    level : float, optional
        Level of the region. Default: that of the fit.
    labels : str or sequence of str
        Which points have their label beside them, where there is room: "all", those outside the region
        ("outside"), the farthest first, or those of some rows. A note
        counts the labels without room.
    reference : float, "null" or None
        Where the reference line stands, in units of the axis; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, in its units. Default: all effects and the whole region. An effect beyond
        them is a triangle at the edge, and a note has its value.
    wording : mapping of str to str, optional
        Words for the values of `by`.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        Points, region, contours and lines in units of the axes. The table of the points has the further
        columns id, group, effect and se (on the scale of the analysis), shown (the effect as its measure is
        shown), place (effect or residual, on the scale of the analysis) and height (on the vertical axis) of
        all points, also of those beyond the axes, hollow and, with trim and fill, filled.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, sample sizes or weights are asked for and not known, or an
        overlay is of other effects or has nothing to draw.
    NotIdentifiableError
        If contours are asked for and the measure has no value of no effect.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Sterne, J. A. C., Egger, M. (2001). https://doi.org/10.1016/S0895-4356(01)00377-8
    Peters, J. L., et al. (2008). https://doi.org/10.1016/j.jclinepi.2007.11.010
    Sterne, J. A. C., et al. (2011). https://doi.org/10.1136/bmj.d4002
    Nakagawa, S., et al. (2022). https://doi.org/10.1111/2041-210X.13724

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> plan = mx.plots.funnel_plan(mx.RandomEffects(es).fit())
    >>> plan.to_frame().query("name == 'pooled effect 0.26'")["x"].round(3).tolist()
    [0.26]
    >>> ax = mx.plots.funnel(plan)
    >>> ax = mx.plots.funnel(mx.bias.trim_and_fill(es))
    """
    alone = results if isinstance(results, BiasResult) else None
    laid = (*([] if alone is None else [alone]), *given_overlays(overlays))
    es, fit = effects_of(_base(results), "a funnel plot")
    measure, side = es.measure, Y_AXES[yaxis]
    cloud = _cloud(es, fit, residuals, level, alone)
    _check_overlays(cloud, laid)
    if contours is None:
        contours = (
            side.has_se and not math.isnan(measure.null) and any(isinstance(one, TrimAndFill) for one in laid)
        )
    _check_contours(es, cloud, side, contours)
    y = heights_of(es, fit, cloud.se, side)
    ends = vertical_ends(side, y)
    groups = groups_of(results, es, by, wording)
    over = drawn_over(laid, Funnel(es, y, side, ends, alone, max(1, len(set(groups)))))
    x_ends = _horizontal_ends(es, cloud, side, ends, contours, limits, over.values)
    across = ChartAxis(
        label=_axis_label(es, cloud) if axis_label is None else axis_label,
        scale="log" if measure.display_log else "linear",
        limits=(places_of(measure, x_ends[0]), places_of(measure, x_ends[1])),
    )
    up = ChartAxis(label=_side_label(side, es, cloud), limits=ends, inverted=side.falls)
    points = [*over.points, *_points(es, cloud, y, groups, labels)]
    hidden = hidden_note(points)
    points, beyond = kept_in_view(points, across, upright=False, beside=False)
    beyond += lines_beyond(over.lines, across)
    points, below = kept_in_view(points, up, upright=True, beside=False, what=f"a {side.label.lower()}")
    look = get_theme(theme, font_size)
    wide = space_of(ax, width, height, PANEL)[0]
    chart = Chart(
        legend=legend_beside(wide, look),
        panels=(
            Panel(
                x=across,
                y=up,
                layers=[
                    *(_shades(measure, side, ends, x_ends, look) if contours else []),
                    *_lines(es, cloud, side, ends, reference),
                    *over.lines,
                    *points,
                ],
            ),
        ),
        summary=with_ledger(_summary(es, cloud, side, laid), es.ledger),
        title=title,
        notes=(*_notes(es, fit, cloud, contours, over.notes), *hidden, *beyond, *below, *notes),
        width=width,
        height=height or width,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


@dataclass(frozen=True, slots=True)
class Cloud:
    """What the points of a funnel are, on the scale of the analysis: effects, or residuals of a model."""

    x: Array
    se: Array
    centre: float | None
    level: float
    residual: bool
    words: str = ""  # for the centre, if it is not that of the fit

    @property
    def z(self) -> Array:
        """How far each point lies from the centre, in standard errors; NaN without a centre."""
        if self.centre is None:
            return np.full(self.x.size, np.nan)
        away = self.x - self.centre
        # what has no standard error lies infinitely far out, unless it stands at the centre
        alone = np.where(away == 0, 0.0, np.copysign(np.inf, away))
        return np.divide(away, self.se, out=alone, where=self.se > 0)

    @property
    def outside(self) -> Any:
        """Which points lie outside the region, shape (k,)."""
        return np.abs(self.z) > float(normal_quantile(self.level))


def _base(results: Any) -> Any:
    """Return what a result of mx.bias has its funnel of: its unadjusted fit, or its effects."""
    if not isinstance(results, BiasResult):
        return results
    unadjusted = getattr(results, "unadjusted", None)
    return unadjusted if isinstance(unadjusted, FitResults) else results.effects


def _cloud(
    es: EffectSizes,
    fit: FitResults | None,
    residuals: bool | None,
    level: float | None,
    alone: BiasResult | None,
) -> Cloud:
    """Return effects or residuals with their standard errors, and what they lie around."""
    known = None if alone is None or residuals else centre_of(alone)
    if known is not None:
        level = level or float(getattr(alone, "level", 0.95))
        return Cloud(es.y, np.sqrt(es.v), known[0], level, False, known[1])
    if fit is None:
        if residuals:
            raise InputError("bare effects have no residuals", "a fit", "hand in mx.RandomEffects(...).fit()")
        return Cloud(es.y, np.sqrt(es.v), None, level or 0.95, False)
    one_mean = has_one_mean(fit)
    if not one_mean if residuals is None else residuals:
        table = fit.residuals("standardized")
        values, se = (table[name].to_numpy(dtype=float) for name in ("residual", "se"))
        return Cloud(values, np.where(np.isfinite(se), se, 0.0), 0.0, level or fit.level, True)
    return Cloud(es.y, np.sqrt(es.v), float(fit.beta[0]) if one_mean else None, level or fit.level, False)


def _check_contours(es: EffectSizes, cloud: Cloud, side: VerticalAxis, contours: bool) -> None:
    """Refuse contours where there is no value of no effect for them to lie around."""
    if contours and cloud.residual:
        raise InputError(
            "contours of the p-values of effects in a funnel plot of residuals",
            "a funnel plot of effects",
            "leave contours out, or set residuals=False",
        )
    if contours and math.isnan(es.measure.null):
        raise NotIdentifiableError(
            f"{es.measure.display} has no value of no effect",
            "a measure of a difference or a ratio",
            "draw the funnel without contours",
        )
    if contours and not side.has_se:
        raise InputError(
            "contours on an axis of sample sizes or weights, on which p-values have no place",
            "an axis of standard errors",
            'choose yaxis="sei", or leave contours out',
        )


def _check_overlays(cloud: Cloud, laid: Sequence[BiasResult]) -> None:
    """Refuse what has no meaning beside residuals."""
    if laid and cloud.residual:
        raise InputError(
            f"{laid[0].name} over residuals, which lie around 0 whatever the effects are",
            "a funnel plot of effects",
            "leave it out, or hand in a fit without moderators",
        )


def _points(es: EffectSizes, cloud: Cloud, y: Array, groups: Sequence[str], labels: Any) -> list[Points]:
    """Return the points, those far from the centre with their words first, and what hollow ones are."""
    if labels == "outside" and cloud.centre is None:
        raise InputError(
            "there is no pooled effect, and so no region to be outside of",
            "a fit without moderators, or residuals",
            'hand in a fit, or choose labels="all"',
        )
    points = points_by_group(
        es,
        places_of(es.measure, cloud.x),
        y,
        5.0,
        groups=groups,
        words=words_beside(es, labels, cloud.outside),
        extra={
            "effect": es.y.tolist(),
            "se": cloud.se.tolist(),
            "z": cloud.z.tolist(),
            "shown": back_by_rows(es, es.y).tolist(),
            "place": cloud.x.tolist(),
            "height": y.tolist(),
            "hollow": [mark.how != "reported" for mark in es.derived] or [False] * es.k,
        },
    )
    if cloud.centre is not None:
        points = [in_order(layer, -np.abs(layer.extra["z"])) for layer in points]
    if any(layer.hollow for layer in points):
        points.append(Points(x=[], y=[], name="hollow: derived value", color="grey", hollow=True))
    return points


def _horizontal_ends(
    es: EffectSizes,
    cloud: Cloud,
    side: VerticalAxis,
    ends: tuple[float, float],
    contours: bool,
    limits: tuple[float, float] | None,
    further: Sequence[float],
) -> tuple[float, float]:
    """Return the ends of the horizontal axis, ratios as logarithms: all points and regions, or as given."""
    if limits is not None:
        return given_limits(es.measure, limits)
    always = cloud.x.tolist()
    if not cloud.residual and not math.isnan(es.measure.null):
        always.append(es.measure.null)
    if side.has_se:
        widest = float(side.quantities(np.array(ends[1]))) if side.falls else float(cloud.se.max())
        regions = [] if cloud.centre is None else [(cloud.centre, cloud.level)]
        for middle, level in [*regions, *([(es.measure.null, WIDEST)] if contours else [])]:
            half = float(normal_quantile(level)) * widest
            always += [middle - half, middle + half]
    low, high = min(always), max(always)
    reach = FAR * ((high - low) or 1.0)
    return robust_limits([], [], [*always, *(x for x in further if low - reach <= x <= high + reach)])


def _sides(
    measure: Measure, centre: float, level: float, side: VerticalAxis, ends: tuple[float, float]
) -> tuple[list[float], Array, Array]:
    """Return heights, and centre - z s and centre + z s there, in units of the axes."""
    heights = side.heights(ends)
    half = float(normal_quantile(level)) * side.quantities(heights)
    left, right = centre - half, centre + half
    return heights.tolist(), places_of(measure, left), places_of(measure, right)


def _shades(
    measure: Measure, side: VerticalAxis, ends: tuple[float, float], x_ends: tuple[float, float], theme: Theme
) -> list[Layer]:
    """Return the regions of the p-value of a single study from back to front, and the lines between them."""
    wide = x_ends[1] - x_ends[0]
    low, high = (places_of(measure, one) for one in (x_ends[0] - 2 * wide, x_ends[1] + 2 * wide))
    layers: list[Layer] = []
    for inner, share, words in CONTOURS:
        corners = [(low, ends[0]), (high, ends[0]), (high, ends[1]), (low, ends[1])]
        if inner is not None:
            heights, left, right = _sides(measure, measure.null, inner, side, ends)
            corners = [*zip(left.tolist(), heights, strict=True)]
            corners += [*zip(right.tolist()[::-1], heights[::-1], strict=True)]
        layers.append(Region(corners=corners, name=words, color=theme.tint(share)))
    for words, inner, dash in EDGES:
        layers += _pair(measure, measure.null, inner, side, ends, words, dash, 0.7)
    return layers


def _pair(
    measure: Measure,
    centre: float,
    level: float,
    side: VerticalAxis,
    ends: tuple[float, float],
    name: str,
    dash: Dash,
    width: float,
) -> list[Layer]:
    """Return the two sides of a region."""
    heights, left, right = _sides(measure, centre, level, side, ends)
    return [
        Curve(x=one.tolist(), y=heights, name=words, dash=dash, width=width)
        for one, words in ((left, name), (right, ""))
    ]


def _lines(
    es: EffectSizes,
    cloud: Cloud,
    side: VerticalAxis,
    ends: tuple[float, float],
    reference: float | Literal["null"] | None,
) -> list[Layer]:
    """Return the reference line, the centre, and the two sides of the region around it."""
    measure, layers = es.measure, list[Layer]()
    if not (cloud.residual and reference == "null"):
        layers += reference_rules(es, reference)
    if cloud.centre is None:
        return layers
    pooled = f"pooled effect {analysed_value(es, cloud.centre)}"
    name = "as the model predicts" if cloud.residual else cloud.words or pooled
    layers.append(Rule(at=places_of(measure, cloud.centre), name=name, color="grey", width=0.9))
    if side.has_se:
        said = level_words(cloud.level)
        region = f"{said} region of residuals" if cloud.residual else f"pseudo {said} region around it"
        layers += _pair(measure, cloud.centre, cloud.level, side, ends, region, "dashed", 0.9)
    return layers


def _axis_label(es: EffectSizes, cloud: Cloud) -> str:
    """Return the words at the horizontal axis."""
    measure = es.measure
    name = measure.display
    if cloud.residual:
        sign = "/" if measure.display_log else "minus"
        name = f"Observed {sign} fitted {name[:1].lower()}{name[1:]}"
    return analysed_words(measure, name)


def _side_label(side: VerticalAxis, es: EffectSizes, cloud: Cloud) -> str:
    """Return the words at the vertical axis."""
    if not side.has_se:
        return side.label
    log = "log " if es.measure.display_log else ""
    if cloud.residual:
        return f"{side.label} of the {log}residual"
    name = es.measure.display
    return f"{side.label} of the log {name[:1].lower()}{name[1:]}" if log else side.label


def _summary(es: EffectSizes, cloud: Cloud, side: VerticalAxis, laid: Sequence[BiasResult]) -> str:
    """Return what is seen, in words."""
    what = "residuals of a model of" if cloud.residual else ""
    around = ""
    if cloud.centre is not None:
        middle = "0" if cloud.residual else shown(float(back_pooled(es, without_noise(es, cloud.centre))), 2)
        around = f" around {middle}"
        if side.has_se:  # else no region is drawn
            around += f"; {int(cloud.outside.sum())} outside the {level_words(cloud.level)} region"
    found = f"Funnel plot of {what} {es.k} effects{around}.".replace("  ", " ")
    return " ".join((found, *(sentence_of(one) for one in laid if not isinstance(one, BiasTest))))


def _notes(
    es: EffectSizes, fit: FitResults | None, cloud: Cloud, contours: bool, over: Sequence[str]
) -> list[str]:
    """Return how to read the plot, and what to know before relying on it."""
    notes = ["Shades: the p-value of each point against no effect."] if contours else []
    notes += over
    if es.m < FEW and not over:
        notes.append(f"With fewer than {FEW} studies (here {es.m}) asymmetry may well be chance.")
    if fit is None:
        return notes
    notes += unseen_notes(es)
    if es.m < es.k and not any("taken as independent" in note for note in over):
        notes.append(f"{es.k} effects of {es.m} studies; effects of one study are not independent.")
    if cloud.residual:
        said = (
            f"Residuals of the model with {_moderators(fit)}; their standard errors allow for heterogeneity, "
            f"so that {level_words(cloud.level)} of them are expected in the region."
        )
        return [said, *notes]
    return [*notes, *(no_single_effect(fit) if cloud.centre is None else caution_notes(fit))]


def _moderators(fit: FitResults) -> str:
    """Return what a model predicts effects from."""
    names = [term.name for term in fit.design.terms]
    return ", ".join(names) if names else "a single mean"


funnel = drawn(funnel_plan, "Draw a funnel plot.")
