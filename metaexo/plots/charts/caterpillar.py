"""Caterpillar plots: every effect with its interval, from the smallest to the largest, and the pooled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import fixed, level_words, plural
from metaexo.formatting import interval as interval_words
from metaexo.heterogeneity import StratifiedResults
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Intervals, Layer, Panel, Points, Region, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import derived_words, method_words, with_ledger, words
from metaexo.plots.charts.effects import (
    counted,
    effect_notes,
    estimate_words,
    fit_of_points,
    kept_in_view,
    no_prediction_note,
    points_by_group,
    reference_of,
    shown_pooled,
    space_of,
    value_axis,
)
from metaexo.plots.forest.rows import other_level, shown_intervals
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Where effects are so many points apart, true effects stand beside them, that far in ranks.
APART, BESIDE = 8.0, 0.3


@checked
def caterpillar_plan(
    results: Any,
    *,
    true_effects: bool = False,
    interval: Literal["both", "confidence", "prediction"] | None = "both",
    color_by: str | None = None,
    descending: bool = False,
    level: float | None = None,
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
    r"""Return what a caterpillar plot shows, without drawing it.

    Use it for more effects than a forest plot has room for, 30 to some thousands: how they are distributed
    around the pooled effect, and how precise they are. The line of each effect is its confidence interval,
    :math:`y \pm z \sqrt{v}`.

    Parameters
    ----------
    results : fit, StratifiedResults or EffectSizes
        A fit without moderators gives the pooled effect, strata their overall effect; bare effects and a fit
        with moderators have none.
    true_effects : bool
        Whether to draw the predicted true effects (BLUPs) with their intervals over the effects; for a fit of
        :class:`metaexo.RandomEffects`.
    interval : {"both", "confidence", "prediction"} or None
        Which intervals of the pooled effect are bands.
    color_by : str, optional
        Column of the data whose values get colours and marks.
    descending : bool
        Whether the largest effect stands at the bottom.
    level : float, optional
        Level of all intervals. Default: that of the fit; 0.95 for bare effects.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, on the scale that is shown. Default: wide enough for all effects.
    wording : mapping of str to str, optional
        Words for the values of `color_by`.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        Points and intervals by rank, and the bands of the pooled effect.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or there are no predicted true effects.
    TooFewStudiesError
        If there are no effects.

    References
    ----------
    Raudenbush, S. W., Bryk, A. S. (1985). Empirical Bayes meta-analysis. Journal of Educational Statistics
    10, 75-98. https://doi.org/10.3102/10769986010002075

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.6, 0.2, 0.4], [0.02, 0.05, 0.03], labels=["Li 2020", "Cho 2021", "Abe 2022"])
    >>> plan = mx.plots.caterpillar_plan(mx.RandomEffects(es).fit())
    >>> plan.to_frame().query("layer == 'points'").sort_values("y")["label"].tolist()
    ['Cho 2021', 'Abe 2022', 'Li 2020']
    >>> ax = mx.plots.caterpillar(plan)
    """
    es, fit, pooled = _what(results, level)
    chosen = level or (0.95 if fit is None else fit.level)
    if es.k == 0:
        raise TooFewStudiesError("there are no effects", "at least one effect", "look at the ledger")
    shown = np.clip(shown_intervals(es, chosen), *es.measure.possible)
    groups = [] if color_by is None else [words(value, wording or {}) for value in es.column(color_by)]
    rank = np.empty(es.k)
    rank[np.lexsort((np.arange(es.k), -es.y if descending else es.y))] = np.arange(1, es.k + 1)
    bands, always = _bands(es, pooled, interval, chosen)
    line = reference_of(es, reference)
    axis = value_axis(
        es, [*shown[0], *always, *([] if line is None else [line])], shown[1:], limits, axis_label
    )
    panel = float(np.clip(120.0 + 1.4 * es.k, 150.0, 460.0))
    step = space_of(ax, width, height, panel)[1] / es.k  # points from one effect to the next
    size, thick = float(np.clip(1.2 * step, 1.8, 4.5)), float(np.clip(0.4 * step, 0.3, 1.1))
    points = points_by_group(es, shown[0], rank, np.full(es.k, size), groups=groups, name="effect")
    points, beyond = kept_in_view(points, axis, upright=False, beside=False)
    layers: list[Layer] = [*bands, *_lines(rank, shown, groups, thick, points, chosen)]
    layers += [] if line is None else [Rule(at=line, dash="dotted", color="grey", width=1.0)]
    below = BESIDE if step >= APART else 0.0
    layers += _true(es, fit, chosen, rank - below, size, thick) if true_effects else []
    layers += points
    if pooled is not None:
        estimate = float(shown_pooled(es, pooled.estimate))
        name = f"pooled effect {fixed(estimate, 2)}"
        layers.append(Rule(at=estimate, color="pooled", width=1.4, name=name))
    model = [] if pooled is None or fit is None else [method_words(fit)]
    wanted = pooled is not None and interval in ("both", "prediction")
    lacking = [no_prediction_note(fit)] if wanted and not _has_prediction(pooled) else []
    said = derived_words(es.derived, "circle") if fit is None else effect_notes(fit)
    chart = Chart(
        panels=(
            Panel(x=axis, y=ChartAxis(label="Rank", limits=(0.3, es.k + 0.7), whole=True), layers=layers),
        ),
        legend="below",
        summary=with_ledger(_summary(es, pooled, chosen, descending), es.ledger),
        title=title,
        notes=(*model, *lacking, *_cut(axis, bands, shown), *beyond, *said, *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(panel)


def _summary(es: EffectSizes, pooled: Any, level: float, descending: bool) -> str:
    low, high = (float(end(back_by_rows(es, es.y))) for end in (np.min, np.max))
    said = f"Caterpillar plot of {counted(es)}, from {interval_words(low, high)}, "
    said += f"the {'largest' if descending else 'smallest'} below."
    if pooled is None:
        return said
    ends = shown_pooled(es, [pooled.estimate, pooled.low, pooled.high]).tolist()
    return f"{said} Pooled effect {estimate_words(ends, level)}."


def _what(results: Any, level: float | None) -> tuple[EffectSizes, FitResults | None, Any]:
    """Return the effects, their fit, and the pooled effect if there is one."""
    if isinstance(results, EffectSizes):
        return results, None, None
    if isinstance(results, StratifiedResults):
        fit, pooled = results.overall, results.overall_pooled
        if pooled is not None and level is not None and level != pooled.level:
            raise other_level("the overall effect was pooled", pooled.level, level)
        return results.effects, fit, pooled
    found = fit_of_points(results, "a caterpillar plot", ", strata or EffectSizes")
    es = cast("EffectSizes", found.effects)
    return es, found, found.pooled(level) if found.design.x is None else None


def _bands(
    es: EffectSizes, pooled: Any, interval: str | None, level: float
) -> tuple[list[Region], list[float]]:
    """Return the bands of the pooled effect, and what of them the axis holds."""
    if pooled is None:
        return [], []
    bands: list[Region] = []
    if interval in ("both", "prediction") and _has_prediction(pooled):
        ends = shown_pooled(es, [pooled.prediction_low, pooled.prediction_high])
        bands.append(_band(ends, es.k, f"{level_words(level)} prediction interval", "track", 1.0))
    ends = shown_pooled(es, [pooled.low, pooled.high])
    if interval in ("both", "confidence"):
        bands.append(_band(ends, es.k, f"{level_words(level)} CI of the pooled effect", "pooled", 0.18))
    return bands, [float(shown_pooled(es, pooled.estimate)), *ends.tolist()]


def _cut(axis: ChartAxis, bands: Sequence[Region], intervals: Array) -> list[str]:
    """Return which bands go on beyond the axis, with their ends, and how many intervals of effects do."""
    low, high = axis.limits or (-np.inf, np.inf)
    out = []
    for band in bands:
        ends = min(x for x, _ in band.corners), max(x for x, _ in band.corners)
        if ends[0] < low or ends[1] > high:
            out.append(f"The {band.name} goes on beyond the axis: {interval_words(*ends)}.")
    cut = int(((intervals[1] < low) | (intervals[2] > high)).sum())
    if cut:
        out.append(f"{plural(cut, 'interval')} of effects {'goes' if cut == 1 else 'go'} on beyond the axis.")
    return out


def _has_prediction(pooled: Any) -> bool:
    return pooled.prediction_low is not None and bool(np.isfinite(pooled.prediction_low))


def _band(ends: Array, k: int, name: str, color: str, alpha: float) -> Region:
    low, high = (float(x) for x in ends)
    corners = ((low, 0.0), (high, 0.0), (high, k + 1.0), (low, k + 1.0))
    return Region(corners=corners, name=name, color=color, alpha=alpha)


def _lines(
    rank: Array, shown: Array, groups: Sequence[str], thick: float, points: Sequence[Points], level: float
) -> list[Intervals]:
    """Return the intervals of the effects, in the colour of their group."""
    names = np.array(groups if len(groups) else [""] * rank.size, dtype=object)
    colors = {layer.name.rpartition(" (")[0]: layer.color for layer in points if layer.name}
    lines = []
    for group in dict.fromkeys(names.tolist()):
        at = names == group
        low, high = shown[1:, at].tolist()
        color = colors[group] if len(groups) else "grey" if thick > 1.0 else "pale"
        lines.append(Intervals(at=rank[at].tolist(), low=low, high=high, color=color, width=thick))
    return [
        Intervals(
            at=line.at,
            low=line.low,
            high=line.high,
            color=line.color,
            width=line.width,
            name="" if i else f"{level_words(level)} CI",
        )
        for i, line in enumerate(lines)
    ]


def _true(
    es: EffectSizes, fit: Any, level: float, places: Array, size: float, thick: float
) -> list[Intervals | Points]:
    """Return predicted true effects with their intervals."""
    if not hasattr(fit, "blup"):
        raise InputError(
            f"{'bare effects' if fit is None else type(fit).__name__} have no predicted true effects",
            "a fit of mx.RandomEffects",
            "leave out true_effects=True",
        )
    found = fit.blup(level)
    at, low, high = (
        np.clip(back_by_rows(es, found[name].to_numpy()), *es.measure.possible).tolist()
        for name in ("estimate", "low", "high")
    )
    name = f"predicted true effect (BLUP) with {level_words(level)} interval"
    return [
        Intervals(at=places.tolist(), low=low, high=high, color=1, width=thick),
        Points(x=at, y=places.tolist(), labels=es.row_labels, size=size, color=1, shape="diamond", name=name),
    ]


caterpillar = drawn(caterpillar_plan, "Draw a caterpillar plot.")
