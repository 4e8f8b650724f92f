"""Bubble plots of meta-regressions: effects against a moderator, and what the fit predicts along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.conversions.scales import back_by_rows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import level_words, number, plural
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import (
    Band,
    Chart,
    ChartAxis,
    Curve,
    Intervals,
    Layer,
    Panel,
    Points,
    Rule,
    group_sign,
)
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.tables import levels_of
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.canvas.words import method_words, name_of, title_of, with_ledger, words, words_of_test
from metaexo.plots.charts.effects import (
    along,
    counted,
    diameters,
    effect_notes,
    fit_of_points,
    hidden_note,
    kept_in_view,
    largest_of,
    no_prediction_note,
    points_by_group,
    reference_of,
    shares_of,
    size_notes,
    space_of,
    swarm,
    value_axis,
    words_beside,
)
from metaexo.plots.charts.moderators import (
    Level,
    Mean,
    Moderators,
    held_note,
    held_values,
    level_in_words,
    levels_with_means,
    means_at,
    moderators_of,
    new_table,
)
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

GRID = 151  # places of a curve
PANEL = 250.0  # points: height of the panel
NARROWEST = 32.0  # points: width of a level of a factor
TRUNK = 4.5  # points: half of the room of a mean
DASHES: tuple[Literal["solid", "dashed", "dashdot", "dotted"], ...] = ("solid", "dashed", "dashdot", "dotted")


@dataclass(frozen=True, slots=True)
class _Choices:
    """What the parts of a bubble plot need to know."""

    fit: FitResults
    es: EffectSizes
    found: Moderators
    moderator: str
    held: Mapping[str, float | str]
    group: str | None  # factor of the model whose levels have curves of their own
    groups: tuple[str, ...]  # words of the group of each effect; empty without colours
    level: float
    shows: tuple[str, ...]  # "confidence", "prediction"
    y: Array  # effects as shown
    size: Array
    wording: Mapping[str, str]


@checked
def bubble_plan(
    results: Any,
    moderator: str | None = None,
    *,
    interval: Literal["both", "confidence", "prediction"] | None = "both",
    at: Mapping[str, float | str] | None = None,
    adjusted: bool = False,
    color_by: str | None = None,
    labels: str | Sequence[str] = (),
    sizes: Literal["weight", "precision", "equal"] = "weight",
    marker_size: float | None = None,
    level: float | None = None,
    reference: float | Literal["null"] | None = "null",
    limits: tuple[float, float] | None = None,
    moderator_scale: Literal["linear", "log"] = "linear",
    wording: Mapping[str, str] | None = None,
    axis_label: str | None = None,
    moderator_label: str | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    r"""Return what a bubble plot of a meta-regression shows, without drawing it.

    Use it to see what a fit with moderators says: the mean effect along one of them,
    :math:`x(t)'\hat\beta`, with its confidence interval and the prediction interval for the true effect of a
    new study, over the effects that it rests on. Transformed moderators, polynomials, splines and
    interactions have the curves that they imply. A factor has its levels side by side; for many levels, or
    long names, see :func:`metaexo.plots.orchard`.

    Parameters
    ----------
    results : fit
        A fit with moderators, by a formula or by columns.
    moderator : str, optional
        Moderator on the horizontal axis. Default: the first of the fit.
    interval : {"both", "confidence", "prediction"} or None
        Which intervals of the mean effect are drawn.
    at : mapping of str to float or str, optional
        Values of the other moderators. Default: numbers are held at their mean, factors at their base level.
    adjusted : bool
        Whether the effects stand where they would be at the held values of the other moderators: the
        prediction there plus their residual. Otherwise they stand as observed.
    color_by : str, optional
        Column of the data whose values get colours and marks. If it is a factor of the model, each level has
        a curve of its own, over the range of its own effects.
    labels : str or sequence of str
        Labels of the effects that are written beside their marks; "all" for all of them. A label for which
        there is no room is left out, and a note counts these.
    sizes : {"weight", "precision", "equal"}
        What the areas of the circles are in proportion to: the weights of the fit, or 1 / standard error.
    marker_size : float, optional
        Diameter of the largest circle in points.
    level : float, optional
        Level of both intervals. Default: that of the fit.
    reference : float, "null" or None
        Where the reference line stands, on the scale that is shown; "null" is the value of no effect.
    limits : tuple of float, optional
        Ends of the axis of effects, on the scale that is shown. Default: wide enough for all effects.
    moderator_scale : {"linear", "log"}
        Scale of the axis of the moderator.
    wording : mapping of str to str, optional
        Words for levels of factors, and for the values of `color_by`.
    axis_label, moderator_label : str, optional
        Words at the axes. Default: the measure, and the name of the moderator.

    Returns
    -------
    Chart
        Points, curves and bands, or the levels of a factor with their means and intervals.

    Raises
    ------
    InputError
        If `results` is no fit of effects, or has no moderators; if a moderator is not above 0 and is to stand
        on a logarithmic axis.
    UnknownChoiceError
        If a moderator, a level, a column or a label is not known.

    References
    ----------
    Thompson, S. G., Higgins, J. P. T. (2002). How should meta-regression analyses be undertaken and
    interpreted? Statistics in Medicine 21, 1559-1573. https://doi.org/10.1002/sim.1187

    Examples
    --------
    >>> import metaexo as mx
    >>> trials = mx.load_dataset("bcg")
    >>> es = mx.effect_sizes("RR", data=trials, labels="study")
    >>> fit = mx.RandomEffects(es, "latitude + allocation").fit()
    >>> plan = mx.plots.bubble_plan(fit, "latitude", at={"allocation": "random"})
    >>> curve = plan.to_frame().query("layer == 'curve'")
    >>> curve.iloc[[0, -1]][["x", "y"]].round(2).to_numpy().tolist()
    [[13.0, 0.72], [55.0, 0.23]]
    >>> ax = mx.plots.bubble(plan)
    """
    fit = fit_of_points(results, "a bubble plot")
    es, found = cast("EffectSizes", fit.effects), moderators_of(fit)
    if not found.names:
        raise InputError(
            "the fit has no moderators",
            "a fit with at least one moderator",
            "draw a fit without moderators by mx.plots.forest, funnel or orchard",
        )
    chosen = found.names[0] if moderator is None else found.need(moderator)
    group = color_by if color_by in found.names else None
    if group is not None and (group in found.numbers or group == chosen):
        raise InputError(
            f"color_by is {group!r}, {'the moderator of the axis' if group == chosen else 'a number'}",
            "a factor of the model, or a column of the data",
            "leave color_by out, or cut the numbers into classes first",
        )
    held = held_values(found, [chosen, *([] if group is None else [group])], at)
    wording = wording or {}
    choices = _Choices(
        fit=fit,
        es=es,
        found=found,
        moderator=chosen,
        held=held,
        group=group,
        groups=() if color_by is None else tuple(words(value, wording) for value in es.column(color_by)),
        level=level or fit.level,
        shows=("confidence", "prediction") if interval == "both" else (interval or "",),
        y=back_by_rows(es, _adjusted(fit, found, chosen, group, held) if adjusted else es.y),
        size=diameters(shares_of(fit, sizes), largest_of(es.k, marker_size)),
        wording=wording,
    )
    space = space_of(ax, width, height, PANEL)
    look = get_theme(theme, font_size)
    line = reference_of(es, reference)
    ends = (limits, axis_label, [] if line is None else [line])
    beside = words_beside(es, labels)
    if chosen in found.factors:
        x, y, layers, points = _levels(choices, space, look, ends, beside)
    else:
        x, y, layers, points = _along(choices, moderator_scale, ends, beside)
    x = _named(x, title_of(chosen) if moderator_label is None else moderator_label)
    hidden = hidden_note(points)
    points, beyond = kept_in_view(points, y, upright=True)
    null = [] if line is None else [Rule(at=line, axis="y", dash="dotted", color="grey", width=1.0)]
    bands = [layer for layer in layers if isinstance(layer, Band)]
    drawn_over = [layer for layer in layers if not isinstance(layer, Band)]
    chart = Chart(
        panels=(Panel(x=x, y=y, layers=[*bands, *null, *points, *drawn_over]),),
        legend="below",
        summary=with_ledger(
            f"Bubble plot of {counted(es)} against {name_of(chosen)}: {_said(choices, layers)}.", es.ledger
        ),
        title=title,
        notes=(
            *_model_notes(choices, adjusted, at),
            *size_notes(sizes, choices.size),
            *hidden,
            *beyond,
            *_gaps(choices, layers),
            *effect_notes(fit),
            *notes,
        ),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(PANEL)


def _named(axis: ChartAxis, label: str) -> ChartAxis:
    return replace(axis, label=label + (" (log scale)" if axis.scale == "log" else ""))


def _adjusted(
    fit: FitResults, found: Moderators, moderator: str, group: str | None, held: Mapping[str, float | str]
) -> Array:
    """Return the effects as they would be at the values that other moderators are held at."""
    columns = {
        name: found.numbers[name] if name in found.numbers else found.cells[name]
        for name in (moderator, group)
        if name is not None
    }
    there = fit.predict(new_table(held, **columns))["estimate"].to_numpy()
    own = fit.predict()["estimate"].to_numpy()
    return np.asarray(cast("EffectSizes", fit.effects).y - own + there)


# -- a number ------------------------------------------------------------------------------------------------


def _along(
    c: _Choices,
    scale: Literal["linear", "log"],
    ends: tuple[tuple[float, float] | None, str | None, list[float]],
    beside: Sequence[str],
) -> tuple[ChartAxis, ChartAxis, list[Layer], list[Points]]:
    """Return axes, layers and points of a moderator that is a number."""
    x = c.found.numbers[c.moderator]
    if scale == "log" and x.min() <= 0:
        raise InputError(
            f"{c.moderator} has values of 0 or less, down to {x.min():g}",
            "values above 0 on a logarithmic axis",
            'leave out moderator_scale="log"',
        )
    curves = _curves(c, x, scale)
    layers = [
        layer
        for i, (name, grid, numbers) in enumerate(curves)
        for layer in _layers(c, name, grid, numbers, len(curves) > 1, i)
    ]
    means = [value for *_, numbers in curves for value in numbers["estimate"]]
    shown = [
        f"{part}_{end}".removeprefix("confidence_") for part in c.shows if part for end in ("low", "high")
    ]
    bounds = np.concatenate([numbers[name] for *_, numbers in curves for name in shown] or [np.empty(0)])
    y_axis = value_axis(c.es, [*c.y, *means, *ends[2]], bounds, ends[0], ends[1])
    points = points_by_group(c.es, x, c.y, c.size, groups=c.groups, words=beside, alpha=0.75, name="effect")
    return ChartAxis(scale=scale), y_axis, layers, points


def _curves(c: _Choices, x: Array, scale: str) -> list[tuple[str, Array, dict[str, Array]]]:
    """Return the curves: name of the group, places, and predictions; none over a single value."""
    if c.group is None:
        parts = [("", "", np.ones(x.size, dtype=bool))]
    else:
        cells = np.array(c.found.cells[c.group], dtype=object)
        parts = [(one, words(one, c.wording), cells == one) for one in c.found.factors[c.group]]
    out = []
    for level, name, rows in parts:
        low, high = float(x[rows].min()), float(x[rows].max())
        if low < high:
            grid = np.geomspace(low, high, GRID) if scale == "log" else np.linspace(low, high, GRID)
            grid[[0, -1]] = low, high  # a spline is not defined beyond
            columns: dict[str, Any] = {c.moderator: grid}
            if c.group is not None:
                columns[c.group] = [level] * GRID
            out.append((name, grid, means_at(c.fit, new_table(c.held, **columns), c.level)))
    return out


def _layers(
    c: _Choices, name: str, grid: Array, numbers: Mapping[str, Array], several: bool, position: int
) -> list[Layer]:
    """Return curve and bands of one group."""
    x, words_of_level = grid.tolist(), level_words(c.level)
    color = _color_of(c, name)
    out: list[Layer] = []
    low, high = numbers["prediction_low"], numbers["prediction_high"]
    if "prediction" in c.shows and np.isfinite(low).any():
        said = "" if position else f"{words_of_level} prediction interval"
        if several:
            out += [
                Curve(x=x, y=end.tolist(), color=color, width=0.8, dash="dotted", name=said * (i == 0))
                for i, end in enumerate((low, high))
            ]
        else:
            out.append(
                Band(x=x, low=low.tolist(), high=high.tolist(), name=said, color="track", edge="dashed")
            )
    if "confidence" in c.shows:
        said = "" if position else f"{words_of_level} CI"
        ends = numbers["low"].tolist(), numbers["high"].tolist()
        out.append(
            Band(x=x, low=ends[0], high=ends[1], name=said, color=color, alpha=0.15 if several else 0.3)
        )
    out.append(
        Curve(
            x=x,
            y=numbers["estimate"].tolist(),
            color=color if several else "pooled",
            width=1.6,
            dash=DASHES[position % len(DASHES)],
            name=f"mean effect, {name}" if name else "mean effect",
        )
    )
    return out


def _color_of(c: _Choices, name: str) -> Color:
    """Return the colour of a group of effects, as their marks have it."""
    return group_sign(levels_of(list(c.groups)).index(name))[0] if name else "study"


# -- a factor ------------------------------------------------------------------------------------------------


def _levels(
    c: _Choices,
    space: tuple[float, float],
    theme: Theme,
    ends: tuple[tuple[float, float] | None, str | None, list[float]],
    beside: Sequence[str],
) -> tuple[ChartAxis, ChartAxis, list[Layer], list[Points]]:
    """Return axes, layers and points of a moderator that is a factor."""
    columns = _columns(c)
    means = [one for column in columns for one in column.means]
    bounds = [x for one in means for x in _ends_of(c, one.mean)]
    y_axis = value_axis(
        c.es, [*c.y, *(one.mean.estimate for one in means if one.mean), *ends[2]], bounds, ends[0], ends[1]
    )
    step = 0.9 * (space[0] - 60.0) / len(columns)  # points from one level to the next
    if step < NARROWEST:
        raise InputError(
            f"{len(columns)} levels of {c.moderator} side by side in {space[0] / 72:.1f} inches",
            f"at least {NARROWEST:g} points for each",
            "let them stand below each other, by mx.plots.orchard, or make the figure wider",
        )
    x = np.empty(c.es.k)
    for position, column in enumerate(columns):
        lanes = len(column.means)
        for lane, one in enumerate(column.means):
            centre = position + (lane - (lanes - 1) / 2) * 0.8 / lanes
            up = along(c.es, y_axis, c.y[one.rows], 0.95 * space[1])
            x[one.rows] = centre + swarm(up, c.size[one.rows], 0.36 * step / lanes, TRUNK) / step
    ticks = [(float(i), _tick(column, step, theme)) for i, column in enumerate(columns)]
    points = points_by_group(c.es, x, c.y, c.size, groups=c.groups, words=beside, alpha=0.6, name="effect")
    layers = _marks_of_means(c, columns)
    return ChartAxis(ticks=ticks, limits=(-0.5, len(columns) - 0.5)), y_axis, layers, points


@dataclass(frozen=True, slots=True)
class _Column:
    """A level of the factor on the axis, with the means that stand in it: one, or one per group."""

    name: str
    means: list[Level]


def _columns(c: _Choices) -> list[_Column]:
    """Return the levels of a factor, each with its means."""
    if c.group is None:
        levels = levels_with_means(c.fit, c.found, c.moderator, c.held, c.level, c.wording)
        return [_Column(one.name, [one]) for one in levels]
    cells, others = (np.array(c.found.cells[name], dtype=object) for name in (c.moderator, c.group))
    out = []
    for name in c.found.factors[c.moderator]:
        there = [one for one in c.found.factors[c.group] if ((cells == name) & (others == one)).any()]
        columns = {c.moderator: [name] * len(there), c.group: there}
        numbers = means_at(c.fit, new_table(c.held, **columns), c.level)
        means = [
            Level(words(one, c.wording), np.flatnonzero((cells == name) & (others == one)), Mean.of(row))
            for one, row in zip(there, zip(*numbers.values(), strict=True), strict=True)
        ]
        out.append(_Column(words(name, c.wording), means))
    return out


def _ends_of(c: _Choices, mean: Mean | None) -> list[float]:
    if mean is None:
        return []
    ahead = [mean.prediction_low, mean.prediction_high] if "prediction" in c.shows else []
    return [*ahead, *([mean.low, mean.high] if "confidence" in c.shows else [])]


def _tick(column: _Column, room: float, theme: Theme) -> str:
    """Return the name of a level with its number of effects, broken into lines."""
    k = sum(one.rows.size for one in column.means)
    return "\n".join([*theme.wrap(column.name, room, size=theme.small), f"k = {k}"])


def _marks_of_means(c: _Choices, columns: Sequence[_Column]) -> list[Layer]:
    """Return the means of the levels with their intervals: thick confidence, thin prediction."""
    places = [
        (position + (lane - (len(column.means) - 1) / 2) * 0.8 / len(column.means), one)
        for position, column in enumerate(columns)
        for lane, one in enumerate(column.means)
    ]
    at = [place for place, _ in places]
    means = [cast("Mean", one.mean) for _, one in places]
    names = [one.name for _, one in places]
    out: list[Layer] = []
    if "prediction" in c.shows and any(np.isfinite(one.prediction_low) for one in means):
        low, high = [one.prediction_low for one in means], [one.prediction_high for one in means]
        name = f"{level_words(c.level)} prediction interval"
        out.append(
            Intervals(
                at=at, low=low, high=high, labels=names, name=name, across=False, color="pooled", width=1.2
            )
        )
    if "confidence" in c.shows:
        low, high = [one.low for one in means], [one.high for one in means]
        name = f"{level_words(c.level)} CI"
        out.append(
            Intervals(
                at=at, low=low, high=high, labels=names, name=name, across=False, color="pooled", width=4.0
            )
        )
    y = [one.estimate for one in means]
    out.append(Points(x=at, y=y, labels=names, name="mean effect", size=6.5, color="pooled", shape="diamond"))
    return out


def _said(c: _Choices, layers: Sequence[Layer]) -> str:
    """Return what is seen, for readers who do not see it: where the curves begin and end, or the means."""
    if c.moderator in c.found.factors:
        means = (
            f"{column.name} " * (c.group is not None) + level_in_words(one, c.level)
            for column in _columns(c)
            for one in column.means
        )
        return f"mean effect of {'; '.join(means)}"
    said = []
    for one in layers:
        if isinstance(one, Curve) and one.name.startswith("mean"):
            first, last = (f"{number(one.y[end])} at {number(one.x[end])}" for end in (0, -1))
            said.append(f"{one.name} {first} and {last}")
    return "; ".join(said) or "no curve"


# -- notes ---------------------------------------------------------------------------------------------------


def _model_notes(c: _Choices, adjusted: bool, at: Mapping[str, float | str] | None) -> list[str]:
    notes = [method_words(c.fit)]
    if np.isfinite(c.fit.omnibus.pvalue):
        notes[0] += f" Test of moderators: {words_of_test(c.fit.omnibus)}."
    notes += held_note(c.found, c.held, at, c.wording)
    notes += ["Effects stand as they would be at these values."] if adjusted and c.held else []
    return notes


def _gaps(c: _Choices, layers: Sequence[Layer]) -> list[str]:
    """Return what was asked for and is not there: prediction intervals, curves over a single value."""
    out = []
    if "prediction" in c.shows and not any("prediction" in getattr(one, "name", "") for one in layers):
        out.append(no_prediction_note(c.fit))
    if c.moderator in c.found.numbers and c.group is not None:
        x, cells = c.found.numbers[c.moderator], np.array(c.found.cells[c.group], dtype=object)
        flat = [one for one in c.found.factors[c.group] if np.ptp(x[cells == one]) == 0]
        if flat:
            named = ", ".join(words(one, c.wording) for one in flat)
            out.append(
                f"No curve of {named}: {plural(len(flat), 'level')} with one value of {name_of(c.moderator)}."
            )
    return out


bubble = drawn(bubble_plan, "Draw a bubble plot of a meta-regression.")
