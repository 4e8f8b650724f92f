"""Drapery plots: the p-value of every value that the effect may have, per study and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import fixed, level_words
from metaexo.inputs import LevelOfCurve, check_level
from metaexo.numeric.tails import normal_quantile, normal_two_sided
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Curve, Curves, Layer, Panel, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import method_words, with_ledger
from metaexo.plots.charts.effects import (
    counted,
    effect_notes,
    estimate_words,
    fit_of_points,
    no_prediction_note,
    reference_of,
    shown_pooled,
    space_of,
    value_axis,
)
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

HALF = 60  # points of a curve on each side of its estimate
DEEPEST = 4.5  # the curves go down to the p-value of this z
FARTHEST = 1e100
PANEL = 260.0  # points: height of the panel
LOWEST = 3.6  # where the axis of z ends
MARKED = {"p": (0.5, 0.8, 0.9, 0.95, 0.99), "z": (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)}


@checked
def drapery_plan(
    results: Any,
    *,
    y_scale: Literal["p", "z"] = "p",
    levels: Sequence[float] | None = None,
    prediction: bool = True,
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
    r"""Return what a drapery plot shows, without drawing it.

    Use it beside a forest plot to see the confidence intervals of all levels at once, instead of those of one
    level: a curve is the two-sided p-value of each value that the true effect may have. For a study it is
    :math:`p(\theta) = 2\,\Phi(-|y - \theta| / \sqrt{v})`; for the pooled effect it is that of the test of
    the fit. Where a curve stands above 0.05 lies the 95% interval.

    Parameters
    ----------
    results : fit
        A fit without moderators.
    y_scale : {"p", "z"}
        Vertical axis: the p-value, or the z that has it, with 0 at the top. The second shows intervals of 95%
        and more better.
    levels : sequence of float, optional
        Confidence levels that are marked at the right. Default: 0.5, 0.8, 0.9, 0.95, 0.99, and 0.999 for "z",
        as far as there is room.
    prediction : bool
        Whether to draw the curve of the prediction interval, dashed.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, on the scale that is shown. Default: wide enough for all effects.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        The curves of the studies, of the pooled effect and of the prediction interval.

    Raises
    ------
    InputError
        If `results` is no fit of effects, or one with moderators.

    References
    ----------
    Rücker, G., Schwarzer, G. (2021). Beyond the forest plot: The drapery plot. Research Synthesis Methods 12,
    13-19. https://doi.org/10.1002/jrsm.1410

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])
    >>> plan = mx.plots.drapery_plan(mx.RandomEffects(es).fit())
    >>> sorted(set(plan.to_frame()["name"]))
    ['', 'pooled effect 0.26', 'prediction interval', 'single study']
    >>> ax = mx.plots.drapery(plan)
    """
    fit = fit_of_points(results, "a drapery plot")
    es = cast("EffectSizes", fit.effects)
    z = np.linspace(0.0, DEEPEST, HALF + 1)
    p = normal_two_sided(z)
    up = (p if y_scale == "p" else z)[np.abs(np.arange(-HALF, HALF + 1))]
    pooled, ahead = _ends(fit, p[1:])
    axis = _axis(es, fit, reference, limits, axis_label)
    look = get_theme(theme, font_size)
    room = space_of(ax, width, height, PANEL)[1]
    marked = _apart(y_scale, room, look) if levels is None else [check_level(one, "levels") for one in levels]
    layers: list[Layer] = [
        Rule(
            at=1 - one if y_scale == "p" else normal_quantile(one),
            axis="y",
            color="grey" if one == fit.level else "track",
            dash="dashed" if one == fit.level else "solid",
            width=0.7,
        )
        for one in marked
    ]
    layers.append(
        Curves(
            x=_of_studies(es, z),
            y=up.tolist(),
            name=f"single {'effect' if es.m < es.k else 'study'}",
            labels=es.row_labels,
            alpha=float(np.clip(5.0 / np.sqrt(es.k), 0.2, 0.9)),
            width=0.7,
        )
    )
    line = reference_of(es, reference)
    layers += [] if line is None else [Rule(at=line, dash="dotted", color="grey", width=1.0)]
    if prediction and ahead is not None:
        layers.append(
            Curve(
                x=ahead, y=up.tolist(), name="prediction interval", color="pooled", width=1.2, dash="dashed"
            )
        )
    mean = fit.pooled()
    ends = shown_pooled(es, [mean.estimate, mean.low, mean.high]).tolist()
    estimate = fixed(ends[0], 2)
    said = f"Drapery plot of {counted(es)} and the pooled effect, {estimate_words(ends, fit.level)}."
    layers.append(Curve(x=pooled, y=up.tolist(), name=f"pooled effect {estimate}", color="pooled", width=2.0))
    chart = Chart(
        panels=(Panel(x=axis, y=_upright(y_scale, marked), layers=layers),),
        legend="below",
        summary=with_ledger(said, es.ledger),
        title=title,
        notes=(*_notes(es, fit, axis, prediction and ahead is None), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _ends(fit: Any, p: Array) -> tuple[list[float], list[float] | None]:
    """Return the curve of the pooled effect, and that of the prediction interval if there is one.

    At the height p stand the ends of the intervals of level 1 - p.
    """
    found = [fit.pooled(LevelOfCurve(1 - one)) for one in p]

    def curve(low: str, high: str) -> list[float]:
        left, right = ([getattr(one, name) for one in found] for name in (low, high))
        return _within(fit.effects, shown_pooled(fit.effects, [*left[::-1], fit.estimate, *right]))

    known = found[0].prediction_low is not None and np.isfinite(found[0].prediction_low)
    return curve("low", "high"), curve("prediction_low", "prediction_high") if known else None


def _of_studies(es: EffectSizes, z: Array) -> list[list[float]]:
    """Return the places of the curves of the studies, from the left to the right."""
    away = np.concatenate([-z[:0:-1], z])
    places = back_by_rows(es, es.y + away[:, None] * np.sqrt(es.v))
    return [_within(es, np.clip(one, *es.measure.possible)) for one in places.T]


def _within(es: EffectSizes, values: Array) -> list[float]:
    """Return places that matplotlib can compute with."""
    found: list[float] = np.clip(
        values, 1 / FARTHEST if es.measure.display_log else -FARTHEST, FARTHEST
    ).tolist()
    return found


def _axis(
    es: EffectSizes,
    fit: Any,
    reference: float | Literal["null"] | None,
    limits: tuple[float, float] | None,
    label: str | None,
) -> ChartAxis:
    pooled, line = fit.pooled(), reference_of(es, reference)
    half = normal_quantile(fit.level) * np.sqrt(es.v)
    bounds = back_by_rows(es, np.array([es.y - half, es.y + half]))
    always = [*back_by_rows(es, es.y), *shown_pooled(es, [pooled.low, pooled.estimate, pooled.high])]
    return value_axis(es, [*always, *([] if line is None else [line])], bounds, limits, label)


def _apart(y_scale: str, room: float, theme: Theme) -> list[float]:
    """Return the usual levels whose labels do not touch at a height of the panel in points."""
    kept: list[float] = []
    for one in MARKED[y_scale]:
        places = [1 - x if y_scale == "p" else normal_quantile(x) / LOWEST for x in (one, *kept[-1:])]
        if not kept or room * abs(places[0] - places[1]) >= 1.25 * theme.small:
            kept.append(one)
    return kept


def _upright(y_scale: str, marked: Sequence[float]) -> ChartAxis:
    """Return the vertical axis, with the confidence levels at its other side."""
    at_right = [(1 - one if y_scale == "p" else normal_quantile(one), level_words(one)) for one in marked]
    if y_scale == "p":
        return ChartAxis(
            label="p-value", limits=(0.0, 1.0), opposite=at_right, opposite_label="Confidence level"
        )
    deepest = max([LOWEST, *(place + 0.2 for place, _ in at_right)])
    return ChartAxis(
        label="|z| of the p-value",
        limits=(deepest, 0.0),
        opposite=at_right,
        opposite_label="Confidence level",
    )


def _notes(es: EffectSizes, fit: Any, axis: ChartAxis, no_prediction: bool) -> list[str]:
    low, high = axis.limits or (-np.inf, np.inf)
    at = back_by_rows(es, es.y)
    beyond = int(((at < low) | (at > high)).sum())
    notes = ["A curve is as wide as the confidence interval of the level at the right.", method_words(fit)]
    notes += [no_prediction_note(fit)] if no_prediction else []
    notes += [f"The estimates of {beyond} of {counted(es)} lie beyond the axis."] if beyond else []
    return [*notes, *effect_notes(fit)]


drapery = drawn(
    drapery_plan, "Draw a drapery plot: p-value functions of the studies and of the pooled effect."
)
