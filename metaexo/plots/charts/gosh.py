"""Subsets of studies: the pooled effect of each against its heterogeneity, with both distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo import sensitivity
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import plural, shown
from metaexo.inputs import check_choice
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.chart import Cells, Chart, ChartAxis, Layer, Panel, Points, Steps, group_sign
from metaexo.plots.canvas.plan import WIDTH, drawn
from metaexo.plots.canvas.scale import (
    axis_words,
    from_axis,
    given_limits,
    on_axis,
    robust_limits,
    whole_range,
)
from metaexo.plots.canvas.theme import Color, Theme, get_theme
from metaexo.plots.canvas.words import same_line, typeset, with_ledger
from metaexo.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_POINTS = 20_000
CELLS, PER_BAR = (120, 80), 2  # cells of a density across and up; as many as these make a bar at an edge
MOST_BARS = 40
PANEL = 310.0  # height in points, the strip above it included
AT_ONCE = 1 << 20  # subsets that are looked at at a time
MOST_LACKING = 0.1  # share of the subsets with an estimate that may lack what stands on the vertical axis
ROOM = 0.025  # empty share above and below the values
CLUSTERS = {"study": ("study", "studies"), "effect": ("effect", "effects")}
HEADINGS = {"i2": "I² (%)", "tau2": "τ²", "h2": "H²", "q": "Q"}
Vertical = Literal["i2", "tau2", "h2", "q"]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Group:
    """Subsets that are drawn alike: what they have in common, and which they are."""

    name: str
    members: Mask
    color: Color
    shape: str
    edge: Literal["solid", "dashed"]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Equal cells between the ends of both axes, as places; and the edges of the cells as shown."""

    ends: tuple[tuple[float, float], tuple[float, float]]
    bins: tuple[int, int]
    edges: tuple[Array, Array]

    def counts(self, x: Array, y: Array, members: Mask) -> NDArray[np.int64]:
        """Return how many points lie in each cell, shape (up, across)."""
        (left, right), (low, high) = self.ends
        across, up = self.bins
        total = np.zeros(up * across, dtype=np.int64)
        for begin in range(0, x.size, AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            rows = members[part]
            column = np.minimum(
                ((x[part][rows] - left) * (across / (right - left))).astype(np.intp), across - 1
            )
            row = np.minimum(((y[part][rows] - low) * (up / (high - low))).astype(np.intp), up - 1)
            total += np.bincount(row * across + column, minlength=total.size)
        return total.reshape(up, across)


@checked
def gosh_plan(
    results: Any,
    *,
    highlight: str | None = None,
    vertical: Literal["i2", "tau2", "h2", "q"] = "i2",
    coefficient: str | None = None,
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
    """Return what a plot of all subsets of studies (GOSH) shows, without drawing it.

    Use it to see whether the studies are of one kind. Subsets of studies whose true effects have one
    distribution make one cloud. Several clouds, or a long tail, mean that some studies differ from the
    others; `highlight` shows whether one study makes them. The numbers are those of
    :func:`metaexo.sensitivity.gosh`.

    Parameters
    ----------
    results : Gosh or FitResults
        What :func:`metaexo.sensitivity.gosh` returned; or a fit, of which that makes the subsets.
    highlight : str, optional
        Label of a study (one of the ``clusters`` of the subsets): subsets with it and subsets without it have
        colours and marks of their own.
    vertical : {"i2", "tau2", "h2", "q"}
        Heterogeneity on the vertical axis.
    coefficient : str, optional
        Coefficient on the horizontal axis. Default: the last, as in the sentence of the subsets; of a model
        without moderators it is the pooled effect.
    limits : tuple of float, optional
        Ends of the horizontal axis, on the scale that is shown. Default: wide enough for all subsets.
    axis_label : str, optional
        Words below the axis. Default: the measure.

    Returns
    -------
    Chart
        A point per subset, or, for more than 20,000 subsets, cells with the number of subsets in each; the
        distributions along both axes, the medians, and the fit of all studies.

    Raises
    ------
    InputError
        If `results` is something else, or a fit that has no subsets.
    TooFewStudiesError
        If no subset has an estimate and its heterogeneity.
    UnknownChoiceError
        If there is no such study or coefficient.

    References
    ----------
    Olkin, I., Dahabreh, I. J., Trikalinos, T. A. (2012). GOSH - a graphical display of study heterogeneity.
    Research Synthesis Methods 3, 214-223. https://doi.org/10.1002/jrsm.1053

    Examples
    --------
    >>> import metaexo as mx
    >>> names = ["Li 2020", "Cho 2021", "Diaz 2019", "Okafor 2022", "Moreau 2018"]
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02], labels=names)
    >>> plan = mx.plots.gosh_plan(mx.RandomEffects(es).fit(), highlight="Moreau 2018")
    >>> [name for name in plan.to_frame()["name"].unique() if "subsets" in name][:2]
    ['with Moreau 2018 (16 subsets)', 'without Moreau 2018 (15 subsets)']
    >>> ax = mx.plots.gosh(plan)
    """
    found = results if isinstance(results, sensitivity.Gosh) else sensitivity.gosh(results)
    es, name = found.effects, found.names[-1] if coefficient is None else coefficient
    check_choice("coefficient", name, found.names)
    measure = (
        es.measure if len(found.names) == 1 or es.measure.display_log else GENERIC
    )  # a slope is no proportion
    beta = found.beta[:, found.names.index(name)]
    x, y = _places(es, measure, beta), _upright(found.values(vertical), vertical)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise TooFewStudiesError(
            f"no subset has an estimate and {HEADINGS[vertical]}",
            "at least two studies",
            "draw a forest plot",
        )
    fitted = int(np.isfinite(x).sum())
    lacking = fitted - int(known.sum())
    if lacking > MOST_LACKING * fitted:
        raise InputError(
            f"{lacking:,} of {fitted:,} subsets with an estimate have no {HEADINGS[vertical]}: "
            "each stratum or component has its own",
            "a measure of heterogeneity that nearly all subsets have",
            'use vertical="q", or the subsets of one stratum',
        )
    groups = _groups(found, highlight, known)
    across = _across(found, name, measure, x[known], limits, axis_label)
    left, right = (on_axis(measure, end) for end in across.limits or (0.0, 1.0))
    inside = known & (x >= left) & (x <= right)
    span = _span(y[known], vertical)
    grid = _grid(measure, ((left, right), span), int(inside.sum()))
    counts = [grid.counts(x, y, one.members & inside) for one in groups]
    whole = _of_all(results, name, measure, vertical, (float(x[0]), float(y[0])))
    chart = Chart(
        panels=(
            Panel(
                x=across,
                y=_upright_axis(span, vertical),
                layers=[
                    *_clouds(measure, groups, counts, grid, (x, y, inside)),
                    *_centres(measure, groups, (x, y), whole, vertical),
                ],
                above=_bars(groups, [table.sum(axis=0) for table in counts], grid.edges[0], False),
                beside=_bars(groups, [table.sum(axis=1) for table in counts], grid.edges[1], True),
            ),
        ),
        legend="below",
        summary=with_ledger(
            f"Estimates and {HEADINGS[vertical]} of subsets of {plural(es.m, 'study', 'studies')}.", es.ledger
        ),
        title=title,
        notes=(*_notes(found, vertical, known, inside, counts), *notes),
        width=width,
        height=height or 1.0,
        theme=get_theme(theme, font_size),
    )
    return chart if height else chart.with_panels(PANEL)


def _places(es: Any, measure: Measure, values: Array) -> Array:
    """Return coefficients as places on the axis: as analysed for ratios and slopes, and else as shown."""
    return values if measure.display_log or measure is GENERIC else back_pooled(es, values)


def _across(
    found: sensitivity.Gosh,
    name: str,
    measure: Measure,
    places: Array,
    limits: tuple[float, float] | None,
    label: str | None,
) -> ChartAxis:
    """Return the horizontal axis, which says which coefficient it has where there are several."""
    if label is None and len(found.names) > 1:
        label = f"{found.effects.measure.display}: {name}" + (", as analysed" if measure is GENERIC else "")
    low, high = robust_limits((), (), [float(places.min()), float(places.max())])
    low, high = (low, high) if measure.display_log else whole_range(measure, low, high)
    low, high = (low, high) if limits is None else given_limits(measure, limits)
    return ChartAxis(
        label=axis_words(measure, label),
        scale="log" if measure.display_log else "linear",
        limits=(from_axis(measure, low), from_axis(measure, high)),
    )


def _upright(values: Array, vertical: Vertical) -> Array:
    """Return heterogeneity as the vertical axis shows it."""
    return 100.0 * values if vertical == "i2" else values


def _of_all(
    results: sensitivity.Gosh | FitResults,
    name: str,
    measure: Measure,
    vertical: Vertical,
    first: tuple[float, float],
) -> tuple[float, float] | None:
    """Return where the fit of all studies stands if it is known; `first` is where the first subset does."""
    if isinstance(results, sensitivity.Gosh):
        return first if results.subsets.draws is None else None  # the first of all subsets is the whole
    value = results.q.statistic if vertical == "q" else getattr(results, vertical)
    place = _places(results.effects, measure, results.beta[[results.design.names.index(name)]])
    return float(place[0]), float(_upright(np.array(value), vertical))


def _groups(found: sensitivity.Gosh, highlight: str | None, known: Mask) -> list[_Group]:
    """Return the subsets that can be drawn: all alike, or with and without a study."""
    if highlight is None:
        return [_Group("", known, "study", "circle", "solid")]
    without = found.without(highlight)
    sides: tuple[tuple[str, Mask, Literal["solid", "dashed"]], ...] = (
        ("with", ~without, "solid"),
        ("without", without, "dashed"),
    )
    return [
        _Group(f"{word} {highlight}", known & which, *group_sign(i), edge)
        for i, (word, which, edge) in enumerate(sides)
    ]


def _span(values: Array, vertical: Vertical) -> tuple[float, float]:
    """Return the range of the vertical axis: the whole of I², and else from the least that is possible."""
    if vertical == "i2":
        return 0.0, 100.0
    least = 1.0 if vertical == "h2" else 0.0
    top = float(values.max())
    return least, top if top > least else least + 1.0


def _upright_axis(span: tuple[float, float], vertical: Vertical) -> ChartAxis:
    """Return the vertical axis."""
    ticks = tuple((float(x), str(x)) for x in range(0, 101, 20)) if vertical == "i2" else None
    room = ROOM * (span[1] - span[0])
    return ChartAxis(label=HEADINGS[vertical], limits=(span[0] - room, span[1] + room), ticks=ticks)


def _grid(measure: Measure, ends: tuple[tuple[float, float], tuple[float, float]], subsets: int) -> _Grid:
    """Return the cells in which subsets are counted: those of a density, or of bars where there are few."""
    few = min(MOST_BARS, max(5, math.ceil(2 * subsets ** (1 / 3))))
    bins = CELLS if subsets > MOST_POINTS else (few, few)
    across, up = (np.linspace(*pair, n + 1) for pair, n in zip(ends, bins, strict=True))
    return _Grid(ends, bins, (np.array([from_axis(measure, float(edge)) for edge in across]), up))


def _clouds(
    measure: Measure,
    groups: Sequence[_Group],
    counts: Sequence[NDArray[np.int64]],
    grid: _Grid,
    subsets: tuple[Array, Array, Mask],
) -> list[Layer]:
    """Return the subsets that are seen: points, or the cells of a density."""
    x, y, inside = subsets
    layers: list[Layer] = []
    total = sum(int(table.sum()) for table in counts)
    for one, table in zip(groups, counts, strict=True):
        count = _counted(int(one.members.sum()))
        name = f"{one.name} ({count})" if len(groups) > 1 else count
        if total > MOST_POINTS:
            across, up = (edges.tolist() for edges in grid.edges)
            layers.append(Cells(x=across, y=up, counts=table, name=name, color=one.color, edge=one.edge))
            continue
        rows = one.members & inside
        look: dict[str, Any] = {"name": name, "color": one.color, "shape": one.shape}
        layers.append(Points(x=[], y=[], size=5.0, **look))  # a sign that is seen, for the legend
        places = x[rows]
        layers.append(
            Points(
                x=(np.exp(places) if measure.display_log else places).tolist(),
                y=y[rows].tolist(),
                size=min(5.0, max(1.7, 40.0 / total**0.35)),
                alpha=min(1.0, max(0.3, 12.0 / total**0.4)),
                **look,
            )
        )
    return layers


def _centres(
    measure: Measure,
    groups: Sequence[_Group],
    subsets: tuple[Array, Array],
    whole: tuple[float, float] | None,
    vertical: Vertical,
) -> list[Layer]:
    """Return the medians of the groups, and the fit of all studies."""
    x, y = subsets
    layers: list[Layer] = []
    for one in (group for group in groups if group.members.any()):
        at, up = (float(np.median(values[one.members])) for values in (x, y))
        of = one.name or "of the subsets"
        look: dict[str, Any] = {"size": 9.0, "hollow": True, "color": one.color, "shape": one.shape}
        layers.append(_mark(measure, f"median {of}", (at, up), vertical, look))
    if whole is not None and np.isfinite(whole).all():
        look = {"size": 7.0, "color": "ink", "shape": "star"}
        layers.append(_mark(measure, "all studies", whole, vertical, look))
    return layers


def _mark(
    measure: Measure, what: str, place: tuple[float, float], vertical: Vertical, look: Mapping[str, Any]
) -> Points:
    """Return a single mark, whose name says where it stands."""
    at, up = from_axis(measure, place[0]), place[1]
    spread = f"I² = {up:.0f}%" if vertical == "i2" else f"{HEADINGS[vertical]} = {shown(up, 2)}"
    return Points(x=[at], y=[up], name=f"{what}: {same_line(f'{shown(at, 2)}; {spread}')}", **look)


def _bars(
    groups: Sequence[_Group], counts: Sequence[NDArray[np.int64]], edges: Array, across: bool
) -> list[Steps]:
    """Return the distributions of the groups along an axis."""
    every = PER_BAR if counts[0].size in CELLS else 1
    return [
        Steps(
            edges=edges[::every].tolist(),
            heights=table.reshape(-1, every).sum(axis=1).tolist(),
            across=across,
            color=one.color,
            edge=one.edge,
        )
        for one, table in zip(groups, counts, strict=True)
    ]


def _counted(subsets: int) -> str:
    """Return a number of subsets in words."""
    return f"{subsets:,} subset{'' if subsets == 1 else 's'}"


def _notes(
    found: sensitivity.Gosh,
    vertical: Vertical,
    known: Mask,
    inside: Mask,
    counts: Sequence[NDArray[np.int64]],
) -> list[str]:
    """Return how to read a density, and which subsets are not drawn."""
    kind = "All" if found.subsets.draws is None else "Random"
    of = plural(len(found.clusters), *CLUSTERS.get(found.cluster, ("cluster", "clusters")))
    out = [f"{kind} subsets of {of}, each fitted anew ({found.method})."]
    if counts[0].shape == CELLS[::-1]:
        most = max(int(table.max()) for table in counts)
        out.append(
            f"The stronger the colour of a cell, the more subsets lie in it (log scale, up to {most:,}); "
            "lines hold the densest cells with 90% of the subsets."
        )
    lacking, beyond = int((~known).sum()), int((known & ~inside).sum())
    if lacking:
        out.append(
            f"{_counted(lacking)} without an estimate or {HEADINGS[vertical].partition(' (')[0]} not drawn."
        )
    if found.alone:
        out.append(f"{typeset(found.alone)}.")
    if beyond:
        out.append(f"{_counted(beyond)} beyond the horizontal axis.")
    return out


gosh = drawn(gosh_plan, "Draw the estimates of all subsets of studies against their heterogeneity (GOSH).")
