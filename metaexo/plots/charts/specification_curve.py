"""Specification curves: the estimates of all paths through an analysis in order, and their choices below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects import get_measure
from metaexo.errors import InputError
from metaexo.formatting import fixed, interval, level_words, number, percent, plural
from metaexo.inputs import check_choice, describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Band, Chart, ChartAxis, Intervals, Layer, Panel, Points, Rule, Words
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import robust_limits, round_values
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.canvas.words import typeset
from metaexo.plots.charts.effects import space_of
from metaexo.plots.forest.rows import caution_notes
from metaexo.sensitivity.multiverse.inference import CurveTest
from metaexo.sensitivity.multiverse.results import FINE, OF_WORDS, Multiverse
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

CURVE, ROW = 165.0, 1.5  # height of the curve in points, and of a row of marks in sizes of its letters
OPEN = 3.0  # points between paths from which marks can be hollow
MOST = 2_000  # paths that are drawn
TALL = 0.36  # half of the height of a mark, in rows
BESIDE = 5.0  # width of ticks and numbers beside a panel, in sizes of their letters
NAMES = 17.0  # most width of the names of options, in sizes of their letters
MAIN, NULL, MIDDLE = "main analysis", "no effect", "median"
WITHOUT = "95% of curves without an effect"
# Colour, shape and whether hollow, by what an interval says: the first side, the other one, neither.
SIGNS: tuple[tuple[Color, str, bool], ...] = (
    ("study", "circle", False),
    (1, "square", False),
    ("grey", "diamond", True),
)


@dataclass(frozen=True, slots=True)
class Side:
    """The paths of one scale, in the order of their estimates."""

    scale: str
    fits: Index  # in order; those that are drawn
    rank: Array  # from 1
    count: int  # of all paths
    log: bool


@checked
def specification_curve_plan(
    results: Any,
    *,
    choices: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    axis_label: str | None = None,
    test: Any = None,
    title: str = "",
    notes: Sequence[str] = (),
    ax: Axes | Figure | SubFigure | None = None,
    width: float = WIDTH,
    height: float | None = None,
    theme: str | Theme | None = None,
    font_size: float | None = None,
) -> Chart:
    """Return what a specification curve shows, without drawing it.

    Use it to see whether a conclusion depends on choices of the analysis, and on which. Above, the estimates
    of all distinct paths in order, with their confidence intervals, coloured by what the interval says;
    below, a mark under each path for every option that leads to it, the median of the paths of each option,
    and behind each choice its share of the variance over paths. Options whose marks crowd at one end move
    the result. Paths on several scales (differences beside ratios) have a curve each, side by side.

    Parameters
    ----------
    results : Multiverse
        What :func:`metaexo.sensitivity.multiverse` returned.
    choices : sequence of str, optional
        Choices to show, in this order. Default: all that have several options, in the order of declaration.
    limits : tuple of float, optional
        Ends of the axis of the estimates, as shown; for paths on one scale. Default: all estimates, and
        intervals as far as few wide ones do not squash the others.
    axis_label : str, optional
        Label of the axis of the estimates; for paths on one scale. Default: the quantity of the measure.
    test : CurveTest, optional
        What `permutation_test` of the paths returned, all of them on one scale: a band holds the middle 95%
        of the curves that there would be without an effect, place by place.

    Returns
    -------
    Chart
        A panel with the curve above one with the choices, for each scale.

    Raises
    ------
    InputError
        If `results` is something else, or an axis is described and there are several.
    UnknownChoiceError
        If there is no such choice.

    References
    ----------
    Simonsohn, U., Simmons, J. P., Nelson, L. D. (2020). Specification curve analysis. Nature Human Behaviour
    4, 1208-1214. https://doi.org/10.1038/s41562-020-0912-z
    Voracek, M., Kossmeier, M., Tran, U. S. (2019). Zeitschrift fuer Psychologie 227, 64-82.
    https://doi.org/10.1027/2151-2604/a000357

    Examples
    --------
    >>> import metaexo as mx
    >>> bcg = mx.load_dataset("bcg")
    >>> found = mx.sensitivity.multiverse(
    ...     bcg,
    ...     {
    ...         "measure": ["RR"], "method": ["REML", "DL", "EE"], "test": ["t", "z"],
    ...         "include": {"all": None, "randomised": "allocation == 'random'"},
    ...     },
    ...     better="lower",
    ... )
    >>> plan = mx.plots.specification_curve_plan(found)
    >>> curve = plan.to_frame().query("layer == 'points' and name != 'main analysis'")
    >>> len(curve), float(curve["y"].min().round(3))
    (12, 0.366)
    >>> ax = mx.plots.specification_curve(plan)
    """
    if not isinstance(results, Multiverse):
        raise InputError(
            f"the first argument is {describe(results)}",
            "a Multiverse",
            "mx.plots.specification_curve(mx.sensitivity.multiverse(effects, choices))",
        )
    look = get_theme(theme, font_size)
    sides = [_side(results, scale) for scale in results.scales]
    for name, given in (("limits", limits), ("axis_label", axis_label)):
        if given is not None and len(sides) > 1:
            raise InputError(f"{name} came with paths on {len(sides)} scales", "paths on one scale")
    room, _ = space_of(ax, width, 1.0)
    if test is not None:
        _check_test(results, test)
    rows = _rows(results, _chosen(results, choices))
    drawn_limits = [_limits(results, side, limits) for side in sides]
    wide = max(0.75 * (room - 12.0 * look.small) / len(sides) - BESIDE * look.small, 20.0)
    roomy = wide / max(side.count for side in sides) > OPEN
    behind = [] if test is None else [_band(results, test, sides[0], drawn_limits[0])]
    upper = [
        _curve(results, side, ends, wide, axis_label, behind, roomy)
        for side, ends in zip(sides, drawn_limits, strict=True)
    ]
    lower = [
        _marks(results, side, rows, wide, look, min(NAMES * look.small, 0.4 * room), i == 0)
        for i, side in enumerate(sides)
    ]
    high = ROW * look.small * len(rows)
    chart = Chart(
        panels=(*upper, *lower),
        across=len(sides),
        heights=(CURVE, high),
        legend="below",
        summary=results.sentence,
        title=title,
        notes=(
            *_notes(results, sides, drawn_limits),
            *([] if test is None else [typeset(test.sentence)]),
            *caution_notes(results),
            *notes,
        ),
        width=width,
        height=height or 1.0,
        theme=look,
    )
    return chart if height else chart.with_panels(0.5 * (CURVE + high))


def _side(found: Multiverse, scale: str) -> Side:
    """Return the paths of a scale in order; of very many the reference path and evenly spaced ones."""
    here = np.flatnonzero(found.of_scale(scale))
    order = here[np.argsort(found.shown["estimate"][here], kind="stable")]
    kept = np.arange(order.size)
    if order.size > MOST:
        even = np.linspace(0, order.size - 1, MOST).round().astype(np.intp)
        kept = np.unique(np.concatenate([even, np.flatnonzero(order == found.reference_fit)]))
    return Side(scale, order[kept], (kept + 1).astype(float), order.size, bool(found.is_ratio[here].all()))


def _chosen(found: Multiverse, choices: Sequence[str] | None) -> list[str]:
    """Return the choices that are shown."""
    if choices is None:
        return [name for name, labels in found.choices.items() if len(labels) > 1]
    for name in choices:
        check_choice("choice", name, list(found.choices))
    return list(dict.fromkeys(choices))


def _rows(found: Multiverse, choices: Sequence[str]) -> list[tuple[str, Mask | None]]:
    """Return the rows below the curve: names of choices without paths, options with the fits they lead to."""
    rows: list[tuple[str, Mask | None]] = []
    concluded = np.array(found.conclusion)
    if np.isfinite(found.null).any():
        rows.append((f"{level_words(found.level)} CI", None))
        rows += [(word, concluded == word) for word in found.ordered if (concluded == word).any()]
    table = found.importance().set_index("choice")["share"]
    names = list(found.choices)
    for name in choices:
        share = float(table[name])
        words = name.replace("_", " ")
        rows.append((words[0].upper() + words[1:] + (f": {percent(share)}" if share == share else ""), None))
        j = names.index(name)
        for i, label in enumerate(found.choices[name]):
            leads = np.zeros(found.distinct, dtype=bool)
            here = found.options[:, j] == i
            leads[found.fit_of[found.possible & here]] = True
            lost = "ruled out" if found.excluded[here].all() else "no path possible"
            rows.append((label if leads.any() else f"{label} ({lost})", leads))
    return rows


def _places(side: Side, values: Array) -> Array:
    """Return places on the axis of a scale: values, or their logarithms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values) if side.log else values


def _limits(found: Multiverse, side: Side, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the ends of the axis of a curve, as shown."""
    if limits is not None:
        low, high = limits
        if not low < high or (side.log and low <= 0):
            raise InputError(
                f"the limits are {limits}", "two numbers, the lower one first, above 0 for ratios"
            )
        return low, high
    lows, highs, middles = (
        _places(side, found.shown[name][side.fits]).tolist() for name in ("low", "high", "estimate")
    )
    null = _places(side, found.shown["null"][side.fits[:1]]).tolist()
    ends = robust_limits(lows, highs, [*middles, *null])
    return (float(np.exp(ends[0])), float(np.exp(ends[1]))) if side.log else ends


def _kinds(found: Multiverse, side: Side) -> list[tuple[str, Mask, tuple[Color, str, bool]]]:
    """Return what intervals say: words, which paths of a side, and colour and shape."""
    concluded = np.array(found.conclusion)[side.fits]
    ci = f"{level_words(found.level)} CI"
    if not np.isfinite(found.null[side.fits]).all():
        return [(f"estimate with {ci}", np.ones(side.fits.size, dtype=bool), SIGNS[0])]
    return [
        (f"{ci}: {word}", concluded == word, sign) for word, sign in zip(found.ordered, SIGNS, strict=True)
    ]


def _curve(
    found: Multiverse,
    side: Side,
    limits: tuple[float, float],
    wide: float,
    label: str | None,
    behind: Sequence[Layer],
    roomy: bool,
) -> Panel:
    """Return the panel of the estimates in order; `roomy`: there is room to see the shapes of marks."""
    estimate, low, high = (found.shown[name][side.fits] for name in ("estimate", "low", "high"))
    apart = wide / side.count
    null = float(found.shown["null"][side.fits[0]])
    layers: list[Layer] = list(behind)
    if np.isfinite(null):
        layers.append(Rule(at=null, axis="y", name=NULL, color="pale"))
    middle = float(np.median(found.shown["estimate"][found.of_scale(side.scale)]))
    layers.append(Rule(at=middle, axis="y", name=MIDDLE, color="grey", dash="dotted", width=1.0))
    kinds = [(name, rows, sign) for name, rows, sign in _kinds(found, side) if rows.any()]
    layers += [  # keys of the legend: the shapes where they can be seen in the figure, else the bars
        Points(
            x=(),
            y=(),
            name=name,
            color=color,
            shape=shape if roomy else "bar",
            hollow=hollow and roomy,
            size=5.0 if roomy else 8.0,
        )
        for name, _, (color, shape, hollow) in kinds
    ]
    for _, rows, (color, _, _) in kinds:
        layers.append(
            Intervals(
                at=side.rank[rows].tolist(),
                low=np.maximum(low[rows], limits[0]).tolist(),
                high=np.minimum(high[rows], limits[1]).tolist(),
                across=False,
                color=color,
                width=float(np.clip(0.55 * apart, 0.15, 1.0)),
            )
        )
    for name, rows, (color, shape, hollow) in kinds:
        layers.append(
            Points(
                x=side.rank[rows].tolist(),
                y=estimate[rows].tolist(),
                name=name,
                color=color,
                shape=shape,
                hollow=hollow and roomy,
                size=float(np.clip(0.9 * apart, 1.6, 4.5)),
            )
        )
    at = np.flatnonzero(side.fits == found.reference_fit)
    if at.size:
        layers.append(
            Points(
                x=side.rank[at].tolist(),
                y=estimate[at].tolist(),
                name=MAIN,
                color="pooled",
                shape="star",
                size=7.0,
                clip=False,
            )
        )
    return Panel(
        x=ChartAxis(limits=(0.5, side.count + 0.5), ticks=()),
        y=ChartAxis(
            label=_label(found, side, label),
            scale="log" if side.log else "linear",
            limits=limits,
        ),
        layers=layers,
    )


def _check_test(found: Multiverse, test: Any) -> None:
    """Refuse what is no test of all of these paths on one scale."""
    if not isinstance(test, CurveTest):
        raise InputError(f"test is {describe(test)}", "a CurveTest", "write test=found.permutation_test()")
    if test.curve_low.size != found.distinct:
        raise InputError(
            f"the test has a band for {plural(test.curve_low.size, 'path')} of {found.distinct}",
            "a test of all these paths, on one scale",
            "leave test= out; its p-values can stand in notes=[test.sentence]",
        )


def _band(found: Multiverse, test: CurveTest, side: Side, limits: tuple[float, float]) -> Band:
    """Return the band of curves without an effect, at the places that are drawn."""
    at = side.rank.astype(int) - 1
    ends = [end[at] for end in (test.curve_low, test.curve_high)]
    if side.log:
        ends = [np.exp(end) for end in ends]
    elif found.term is None:
        ends = [get_measure(found.measure[0]).back(end) for end in ends]
    low, high = (np.clip(end, *limits).tolist() for end in ends)
    return Band(x=side.rank.tolist(), low=low, high=high, name=WITHOUT)


def _label(found: Multiverse, side: Side, label: str | None) -> str:
    """Return the label of the axis of a curve."""
    of = side.scale if found.term is None else f"{found.term}: {side.scale}"
    return (of if label is None else label) + (" (log scale)" if side.log else "")


def _marks(
    found: Multiverse, side: Side, rows: Sequence[tuple[str, Mask | None]], wide: float, theme: Theme,
    room: float, first: bool,
) -> Panel:  # fmt: skip
    """Return the panel of the choices: a mark per path and option that leads to it."""
    layers: list[Layer] = []
    at = np.flatnonzero(side.fits == found.reference_fit)
    if at.size:
        layers.append(Rule(at=float(side.rank[at[0]]), color="track", width=4.0))
    line = float(np.clip(0.8 * wide / side.count, 0.12, 3.5))
    for _, kept, (color, _, _) in _kinds(found, side):
        places: list[float] = []
        heights: list[float] = []
        labels: list[str] = []
        for row, (label, leads) in enumerate(rows):
            if leads is not None:
                ranks = side.rank[kept & leads[side.fits]].tolist()
                places, heights = places + ranks, heights + [float(row)] * len(ranks)
                labels += [label] * len(ranks)
        if places:
            middle = np.array(heights)
            layers.append(
                Intervals(
                    at=places,
                    low=(middle - TALL).tolist(),
                    high=(middle + TALL).tolist(),
                    labels=labels,
                    across=False,
                    color=color,
                    width=line,
                )
            )
    if first:
        layers += [
            Words(x=0.5, y=float(row), text=theme.short(label, wide), color="ink", bold=True)
            for row, (label, leads) in enumerate(rows)
            if leads is None
        ]
    options = [(row, label, leads) for row, (label, leads) in enumerate(rows) if leads is not None]
    here = found.of_scale(side.scale)
    digits = 2 if np.abs(found.shown["estimate"][here]).max() >= FINE else 4
    medians = [(0.0, "median")] + [
        (float(row), fixed(float(np.median(found.shown["estimate"][leads & here])), digits))
        for row, _, leads in options
        if (leads & here).any()
    ]
    names = [(float(row), theme.short(label, room) if first else "") for row, label, _ in options]
    return Panel(
        x=ChartAxis(
            label="Paths in order of their estimates",
            limits=(0.5, side.count + 0.5),
            ticks=_ranks(side.count),
        ),
        y=ChartAxis(
            limits=(-0.7, len(rows) - 0.3),
            ticks=names,
            inverted=True,
            opposite=medians,
        ),
        layers=layers,
    )


def _ranks(count: int) -> list[tuple[float, str]]:
    """Return ticks at round numbers of paths."""
    return [(value, f"{value:.0f}") for value in round_values(0.5, count + 0.5, 6) if value == int(value)]


def _notes(found: Multiverse, sides: Sequence[Side], limits: Sequence[tuple[float, float]]) -> list[str]:
    """Return how many paths are shown, what the main analysis found, and how to read the panel of choices."""
    lines = [found.counts_sentence]
    if found.reference_fit >= 0:
        main = found.reference_fit
        shown = {name: float(found.shown[name][main]) for name in ("estimate", "low", "high")}
        scale = next(name for name in found.scales if found.of_scale(name)[main])
        of = f", {scale.lower()}" if len(found.scales) > 1 else ""
        lines.append(
            f"Main analysis{of}: {number(shown['estimate'])} ({level_words(found.level)} CI "
            f"{interval(shown['low'], shown['high'])}). Paths rest on {_span(found.k)} effects of "
            f"{_span(found.m)} studies."
        )
    if not found.importance()["share"].isna().all():
        lines.append(
            f"Per cent behind a choice: its share of the variance of {OF_WORDS[found.default_of]} over paths."
        )
    lines += [
        f"Of {side.count:,} paths {side.fits.size:,} evenly spaced ones are drawn."
        for side in sides
        if side.fits.size < side.count
    ]
    cut = sum(
        int(((found.shown["low"][s.fits] < a) | (found.shown["high"][s.fits] > b)).sum())
        for s, (a, b) in zip(sides, limits, strict=True)
    )
    if cut:
        lines.append(f"{plural(cut, 'interval')} beyond the axis.")
    gone = sum(
        int(((found.shown["estimate"][s.fits] < a) | (found.shown["estimate"][s.fits] > b)).sum())
        for s, (a, b) in zip(sides, limits, strict=True)
    )
    if gone:
        lines.append(f"{plural(gone, 'estimate')} beyond the limits that were given.")
    return lines


def _span(counts: Array) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


specification_curve = drawn(
    specification_curve_plan, "Draw a specification curve: all paths through an analysis and their choices."
)
