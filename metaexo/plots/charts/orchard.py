"""Orchard plots: pooled estimates with their intervals, each over the cloud of the effects it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import level_words
from metaexo.heterogeneity import StratifiedResults
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Chart, ChartAxis, Intervals, Layer, Panel, Points, Rule
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.theme import Theme, get_theme
from metaexo.plots.canvas.words import derived_words, method_words, stratum_words, with_ledger, words_of_test
from metaexo.plots.charts.effects import (
    along,
    counted,
    diameters,
    effect_notes,
    fit_of_points,
    kept_in_view,
    largest_of,
    no_prediction_note,
    points_by_group,
    precisions,
    reference_of,
    shares_of,
    shown_pooled,
    size_notes,
    space_of,
    swarm,
    value_axis,
)
from metaexo.plots.charts.moderators import (
    Level,
    Mean,
    held_note,
    held_values,
    level_in_words,
    levels_with_means,
    moderators_of,
)
from metaexo.plots.forest.rows import WHOSE_TAU2, caution_notes, other_level, words_of_strata
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BESIDE = 70.0  # points: what stands at the right of the panel
LEAST, MOST = 36.0, 60.0  # points: height of a row, and half of that of its marks
TRUNK = 4.5  # points: half of the room of a mean
NAMES = 0.28  # most of the width that names take


@checked
def orchard_plan(
    results: Any,
    *,
    moderator: str | None = None,
    at: Mapping[str, float | str] | None = None,
    overall: bool = True,
    overall_label: str = "All effects",
    interval: Literal["both", "confidence", "prediction"] | None = "both",
    sizes: Literal["precision", "weight", "equal"] = "precision",
    marker_size: float | None = None,
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
    """Return what an orchard plot shows, without drawing it.

    Use it to show pooled estimates of several groups with all the effects behind them, where a forest plot
    would be too long: each group has its estimate, its confidence interval (thick) and its prediction
    interval (thin) over a cloud of its effects, with the numbers of effects (k) and studies (m) at the right.
    Across their row the effects are spread only so that none hides another.

    Parameters
    ----------
    results : fit or StratifiedResults
        A fit without moderators (one row), a fit with a factor among its moderators (a row per level), or
        strata (a row per stratum, and one for all).
    moderator : str, optional
        The factor of a fit whose levels are the rows. Default: the first factor of the model.
    at : mapping of str to float or str, optional
        Values of the other moderators. Default: numbers are held at their mean, factors at their base level.
    overall : bool
        Whether strata have a row for all effects.
    overall_label : str
        Name of that row, or of the only one.
    interval : {"both", "confidence", "prediction"} or None
        Which intervals are drawn.
    sizes : {"precision", "weight", "equal"}
        What the areas of the circles are in proportion to: 1 / standard error, or the weights of the fit.
    marker_size : float, optional
        Diameter of the largest circle in points.
    level : float, optional
        Level of both intervals. Default: that of the fit.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, on the scale that is shown. Default: wide enough for all effects.
    wording : mapping of str to str, optional
        Words for the levels.
    axis_label : str, optional
        Words at the horizontal axis. Default: the measure.

    Returns
    -------
    Chart
        Points, estimates and intervals; a row per level, from the top.

    Raises
    ------
    InputError
        If `results` is none of the kinds above, or has moderators and none of them is a factor; if strata are
        to be shown at another level than they were pooled at.
    UnknownChoiceError
        If a moderator or a level is not known.

    References
    ----------
    Nakagawa, S., Lagisz, M., O'Dea, R. E., et al. (2021). The orchard plot: Cultivating a forest plot for use
    in ecology, evolution, and beyond. Research Synthesis Methods 12, 4-12. https://doi.org/10.1002/jrsm.1424

    Examples
    --------
    >>> import metaexo as mx
    >>> trials = mx.load_dataset("bcg")
    >>> es = mx.effect_sizes("RR", data=trials, labels="study")
    >>> plan = mx.plots.orchard_plan(mx.RandomEffects(es, "allocation").fit())
    >>> [label for place, label in plan.panels[0].y.opposite]
    ['k = 2', 'k = 7', 'k = 4']
    >>> ax = mx.plots.orchard(plan)
    """
    found = _found(results, moderator, at, overall, overall_label, level, wording or {})
    es, rows = found.es, found.rows
    shows = ("confidence", "prediction") if interval == "both" else (interval or "",)
    shown, line = back_by_rows(es, es.y), reference_of(es, reference)
    always = [*shown, *(row.mean.estimate for row in rows if row.mean), *([] if line is None else [line])]
    axis = value_axis(es, always, [x for row in rows for x in _ends(row, shows)], limits, axis_label)
    shares = precisions(es) if found.fit is None else shares_of(found.fit, sizes)
    size = diameters(shares, largest_of(max(row.rows.size for row in rows), marker_size))
    look = get_theme(theme, font_size)
    wide = space_of(ax, width, height)[0]
    names = ["\n".join(look.wrap(row.name, NAMES * wide, size=look.small)) for row in rows]
    room = wide - max(look.width(line, size=look.small) for name in names for line in name.split("\n"))
    apart = [
        swarm(
            along(es, axis, shown[row.rows], 0.9 * max(room - BESIDE, LEAST)),
            size[row.rows],
            MOST,
            TRUNK if row.mean else 0.0,
        )
        for row in rows
    ]
    needed = [
        _height(away, size[row.rows], name, look) for away, row, name in zip(apart, rows, names, strict=True)
    ]
    panel = space_of(ax, width, height, sum(needed))[1]
    places, unit = _places(needed)
    scale = panel / sum(needed)
    clouds: list[Points] = []
    for position, (row, away) in enumerate(zip(rows, apart, strict=True)):
        y = np.zeros(es.k)
        y[row.rows] = places[position] - _within(away, needed[position] * scale) / (unit * scale)
        color = "study" if row.rows.size == es.k else position
        clouds += points_by_group(es, shown, y, size, color=color, alpha=0.6, rows=row.rows)
    clouds, beyond = kept_in_view(clouds, axis, upright=False, beside=False)
    null = [] if line is None else [Rule(at=line, dash="dotted", color="grey", width=1.0)]
    upright = ChartAxis(
        ticks=list(zip(places, names, strict=True)),
        opposite=[(place, _counts(es, row)) for place, row in zip(places, rows, strict=True)],
        limits=(len(rows) - 0.5, -0.5),
    )
    said = [level_in_words(row, found.level) for row in rows]
    marks = _marks(rows, places, shows, found.level)
    chart = Chart(
        panels=(Panel(x=axis, y=upright, layers=[*null, *clouds, *marks]),),
        legend="below",
        summary=with_ledger(f"Orchard plot of {counted(es)}: {'; '.join(said)}.", es.ledger),
        title=title,
        notes=(*found.notes, *size_notes(sizes, size), *beyond, *_lacking(found, shows), *notes),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(panel)


def _height(away: Array, size: Array, name: str, theme: Theme) -> float:
    """Return the height in points that a row needs: for its marks on both sides, and for its name."""
    marks = 2.0 * float((np.abs(away) + 0.5 * size).max()) + 10.0
    return max(marks, LEAST, 1.25 * theme.small * (name.count("\n") + 1) + 8.0)


def _places(needed: Sequence[float]) -> tuple[list[float], float]:
    """Return where rows of these heights stand, from -0.5 at the top, and the points of a unit.

    Rows of equal height stand at 0, 1, 2, ...
    """
    high = np.asarray(needed)
    unit = float(high.mean())
    return ((high.cumsum() - 0.5 * high) / unit - 0.5).tolist(), unit


def _within(away: Array, high: float) -> Array:
    """Return how far marks stand from the middle of a row; closer together if it is too low for them."""
    half, most = max(0.5 * high - 5.0, 1.0), float(np.abs(away).max())
    return away * (half / most) if most > half else away


@dataclass(frozen=True, slots=True)
class _Found:
    """What an orchard plot is made of; rows from the top."""

    es: EffectSizes
    fit: FitResults | None  # of all effects
    rows: list[Level]
    level: float
    notes: tuple[str, ...]


def _found(
    results: Any,
    moderator: str | None,
    at: Mapping[str, float | str] | None,
    overall: bool,
    overall_label: str,
    level: float | None,
    wording: Mapping[str, str],
) -> _Found:
    if isinstance(results, StratifiedResults):
        if moderator is not None or at is not None:
            raise InputError(
                "strata, and with them moderator= or at=", "strata alone, or a fit with moderators"
            )
        return _of_strata(results, overall_label if overall else "", level, wording)
    fit = fit_of_points(results, "an orchard plot", " or strata")
    es, chosen = cast("EffectSizes", fit.effects), level or fit.level
    known = moderators_of(fit)
    notes = [method_words(fit)]
    if not known.names:
        if moderator is not None:
            known.need(moderator)
        rows = [Level(overall_label, np.arange(es.k), _mean(es, fit.pooled(chosen)))]
    else:
        if not known.factors or (moderator is not None and known.need(moderator) in known.numbers):
            raise InputError(
                f"{moderator or ', '.join(known.names)} is a number, not a factor",
                "a factor whose levels are the rows",
                "draw the fit along a number by mx.plots.bubble",
            )
        factor = moderator or next(iter(known.factors))
        held = held_values(known, [factor], at)
        rows = levels_with_means(fit, known, factor, held, chosen, wording)
        if np.isfinite(fit.omnibus.pvalue):
            notes[0] += f" Test of moderators: {words_of_test(fit.omnibus)}."
        notes += held_note(known, held, at, wording)
    return _Found(es, fit, rows, chosen, (*notes, *effect_notes(fit)))


def _mean(es: EffectSizes, pooled: Any) -> Mean:
    """Return a pooled effect as shown."""
    ahead = [pooled.prediction_low, pooled.prediction_high]
    ends = [float("nan") if x is None else float(x) for x in ahead]
    return Mean.of(shown_pooled(es, [pooled.estimate, pooled.low, pooled.high, *ends]).tolist())


def _of_strata(
    results: StratifiedResults, overall_label: str, level: float | None, wording: Mapping[str, str]
) -> _Found:
    """Return a row per stratum, and one for all effects if it has a name."""
    if level is not None and level != results.level:
        raise other_level("the strata were pooled", results.level, level)
    es = results.effects
    rows = [
        Level(
            stratum_words(one.levels, wording) or one.name,
            np.asarray(one.rows, dtype=np.intp),
            None if one.pooled is None else _mean(one.effects, one.pooled),
        )
        for one in results.strata
    ]
    if overall_label and results.overall_pooled is not None:
        rows.append(Level(overall_label, np.arange(es.k), _mean(es, results.overall_pooled)))
    notes = [] if results.overall is None else [f"{words_of_strata(results)} {WHOSE_TAU2[results.tau2_mode]}"]
    notes += [] if results.between is None else [f"Test between strata: {words_of_test(results.between)}."]
    notes += [*caution_notes(results), *derived_words(es.derived, "circle")]
    return _Found(es, results.overall, rows, results.level, tuple(notes))


def _counts(es: EffectSizes, row: Level) -> str:
    """Return the numbers of effects and studies of a row."""
    studies = len({es.study[i] for i in row.rows}) if es.study else row.rows.size
    return f"k = {row.rows.size}" + ("" if studies == row.rows.size else f" (m = {studies})")


def _ends(row: Level, shows: Sequence[str]) -> list[float]:
    if row.mean is None:
        return []
    ahead = [row.mean.prediction_low, row.mean.prediction_high] if "prediction" in shows else []
    return [*ahead, *([row.mean.low, row.mean.high] if "confidence" in shows else [])]


def _marks(rows: Sequence[Level], places: Sequence[float], shows: Sequence[str], level: float) -> list[Layer]:
    """Return estimates with their intervals: thick confidence, thin prediction."""
    found = [(place, row.mean, row.name) for place, row in zip(places, rows, strict=True) if row.mean]
    at, labels = [place for place, *_ in found], [name for *_, name in found]
    out: list[Layer] = []
    if "prediction" in shows and any(np.isfinite(mean.prediction_low) for _, mean, _ in found):
        low, high = ([getattr(mean, f"prediction_{end}") for _, mean, _ in found] for end in ("low", "high"))
        name = f"{level_words(level)} prediction interval"
        out.append(Intervals(at=at, low=low, high=high, labels=labels, name=name, color="pooled", width=1.2))
    if "confidence" in shows:
        low, high = ([getattr(mean, end) for _, mean, _ in found] for end in ("low", "high"))
        name = f"{level_words(level)} CI"
        out.append(Intervals(at=at, low=low, high=high, labels=labels, name=name, color="pooled", width=4.0))
    x = [mean.estimate for _, mean, _ in found]
    points = Points(x=x, y=at, labels=labels, name="pooled effect", size=6.5, color="pooled", shape="diamond")
    return [*out, points]


def _lacking(found: _Found, shows: Sequence[str]) -> list[str]:
    """Return which rows have no estimate, and whether there is no prediction interval."""
    alone = [row.name for row in found.rows if row.mean is None]
    out = [f"No pooled effect of {', '.join(alone)}: a single study."] if alone else []
    means = [row.mean for row in found.rows if row.mean]
    if "prediction" in shows and means and not any(np.isfinite(mean.prediction_low) for mean in means):
        out.append(no_prediction_note(found.fit))
    return out


orchard = drawn(orchard_plan, "Draw an orchard plot.")
