"""Charts: figures that are plain Axes of matplotlib, planned as layers of points, curves, bands and words.

A kind of chart only writes layers; matplotlib makes axes, ticks, legend and clipping.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.plots.canvas.fonts import HINTED, NO_FONT, NO_LETTER, lines_in, plain
from metaexo.plots.canvas.legend import draw_legend, legend_lines
from metaexo.plots.canvas.plan import Plan, in_lines, remember, size_of, whole_figure
from metaexo.plots.canvas.scale import RoundTicks, Scale
from metaexo.plots.canvas.theme import DASHES, MARKERS, Color, Theme
from metaexo.readable import shows_itself

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MatplotlibAxis
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpec

SHAPES = tuple(MARKERS)[:10]
STAR = 1.5  # width of a star over that of other marks: its area is about theirs
FAINTEST = 0.25  # opacity of a cell with a single point
STRIP, STRIP_GAP = 0.18, 0.025  # height of a distribution beside a panel over that of the panel, and the gap
NO_ROOM = "Labels without room are left out: {} of {}."
LEAST_MARGIN = 24.0  # points: less beside Axes is no room for names
LEAST_WIDTH, LEAST_HEIGHT = 90.0, 36.0  # points: of a panel, its vertical axis included
BESIDE = 3.0  # words of a legend beside the panels have this part of the width at most


def group_sign(position: int) -> tuple[int, str]:
    """Return colour and shape of the group at a position; no pair comes twice before the 70th."""
    return position, SHAPES[position % len(SHAPES)]


@shows_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Marks at places.

    Attributes
    ----------
    x, y : sequence of float
        Places, in the units of the axes.
    name : str
        Entry in the legend; empty for none.
    labels : sequence of str
        What the marks are, for the table of the chart.
    words : sequence of str
        What is drawn beside the marks where there is room, those of the first marks first.
    size : float or sequence of float
        Diameter in points, one or one per mark.
    color : str or int
        A part of the theme ("study", "pooled", "ink", "grey", "pale"), a place in its palette, or "#rrggbb".
    shape : str
        "circle", "square", "triangle", "diamond" and the other shapes of the theme.
    hollow, clip : bool
        Whether only the edge is coloured; whether marks end at the edge of the panel.
    alpha : float
        Opacity.
    extra : mapping of str to sequence
        Further columns of the table of the chart, one value per mark.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    labels: Sequence[str] = ()
    words: Sequence[str] = ()
    size: float | Sequence[float] = 5.0
    color: Color = "study"
    shape: str = "circle"
    hollow: bool = False
    clip: bool = True
    alpha: float = 1.0
    extra: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line through points; `mark` is the shape of a mark at the first of them, and in the legend."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    color: Color = "grey"
    width: float = 1.0
    dash: Literal["solid", "dashed", "dotted", "dashdot"] = "solid"
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Many lines that look the same, drawn at once; each has its own x, and y unless all share one."""

    x: Sequence[Sequence[float]]
    y: Sequence[Sequence[float]] | Sequence[float]
    name: str = ""
    labels: Sequence[str] = ()
    color: Color = "pale"
    width: float = 0.5
    alpha: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The area between two curves over x."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    name: str = ""
    color: Color = "track"
    alpha: float = 1.0
    edge: Literal["", "solid", "dashed", "dotted", "dashdot"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A filled polygon."""

    corners: Sequence[tuple[float, float]]
    name: str = ""
    color: Color = "track"
    alpha: float = 1.0
    hatch: str = ""


@shows_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Lines from one end to another at each place.

    Attributes
    ----------
    at : sequence of float
        Places on the other axis.
    low, high : sequence of float
        Ends.
    name : str
        Entry in the legend; empty for none.
    labels : sequence of str
        What the lines are, for the table of the chart.
    across : bool
        Whether the lines are horizontal; else upright.
    color : str or int
        As in Points.
    width : float
        Width in points.
    """

    at: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    name: str = ""
    labels: Sequence[str] = ()
    across: bool = True
    color: Color = "study"
    width: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line from edge to edge at a value of one axis.

    Attributes
    ----------
    at : float
        The value.
    axis : {"x", "y"}
        Its axis: "x" is an upright line.
    name : str
        Entry in the legend; empty for none.
    color : str or int
        As in Points.
    width : float
        Width in points.
    dash : {"solid", "dashed", "dotted", "dashdot"}
        Kind of line.
    """

    at: float
    axis: Literal["x", "y"] = "x"
    name: str = ""
    color: Color = "pale"
    width: float = 0.8
    dash: Literal["solid", "dashed", "dotted", "dashdot"] = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A histogram: the height of each stretch between two edges; `across` stands on the vertical axis."""

    edges: Sequence[float]
    heights: Sequence[float]
    name: str = ""
    across: bool = False
    color: Color = "study"
    alpha: float = 0.35
    edge: Literal["solid", "dashed", "dotted", "dashdot"] = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """How many points lie in each cell of a grid, the more the less transparent (log scale); empty: nothing.

    `x` and `y` are edges, and `counts` has a row per stretch of y. `edge` is the kind of line around the
    densest cells, which together hold `held` of all points.
    """

    x: Sequence[float]
    y: Sequence[float]
    counts: NDArray[np.int64]
    name: str = ""
    color: Color = "study"
    edge: Literal["", "solid", "dashed", "dotted", "dashdot"] = ""
    held: float = 0.9

    @property
    def extra(self) -> Mapping[str, Sequence[Any]]:
        """The numbers of points in the cells that are not empty, for the table of the chart."""
        return {"count": self.counts[self.counts > 0].tolist()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A text at a place."""

    x: float
    y: float
    text: str
    align: Literal["left", "center", "right"] = "left"
    color: Color = "grey"
    bold: bool = False


Layer = Points | Curve | Curves | Band | Region | Intervals | Rule | Steps | Cells | Words


@shows_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class ChartAxis:
    """An axis of a chart; places are as shown.

    Attributes
    ----------
    label : str
        What it shows.
    scale : {"linear", "log", "logit", "sqrt"}
        Its scale; "sqrt" is one of square roots, for values from 0.
    limits : tuple of float, optional
        Its ends. Default: all layers, with room.
    ticks : sequence of (float, str), optional
        Values with their labels. Default: round values that fit the axis.
    inverted : bool
        Whether small values are at the top, or at the right.
    whole : bool
        Whether only whole numbers are ticks.
    opposite : sequence of (float, str)
        Further ticks with their labels at the other side of the panel, without a line.
    opposite_label : str
        What these show.
    room : float
        Empty share at both ends where there are no limits.
    """

    label: str = ""
    scale: Scale | Literal["sqrt"] = "linear"
    limits: tuple[float, float] | None = None
    ticks: Sequence[tuple[float, str]] | None = None
    inverted: bool = False
    whole: bool = False
    opposite: Sequence[tuple[float, str]] = ()
    opposite_label: str = ""
    room: float = 0.04


@shows_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The Axes of a chart with their layers.

    Attributes
    ----------
    x, y : ChartAxis
        The horizontal and the vertical axis.
    layers : sequence of layers
        What is drawn, from back to front: Points, Intervals, Rule and others.
    heading : str
        Words above it.
    equal : bool
        Whether it is a square of equal axes.
    above, beside : sequence of Steps
        Distributions along its horizontal and its vertical axis, in strips at its edges; Axes of the user's
        have no room for them.
    """

    x: ChartAxis
    y: ChartAxis
    layers: Sequence[Layer]
    heading: str = ""
    equal: bool = False
    above: Sequence[Steps] = ()
    beside: Sequence[Steps] = ()

    @property
    def every(self) -> tuple[Layer, ...]:
        """Its layers, those of the strips at its edges included."""
        return (*self.layers, *self.above, *self.beside)


@shows_itself
@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Chart(Plan):
    """What a chart shows: one panel or several.

    Attributes
    ----------
    panels : tuple of Panel
        Panels from left to right and from top to bottom.
    across : int
        Most panels side by side.
    heights : tuple of float
        Heights of the rows of panels relative to each other; empty if all are as high.
    legend : {"right", "below", "inside", "none"}
        Where the names of the layers stand.
    summary : str
        What is seen, in words; the alternative text opens with it.
    """

    panels: tuple[Panel, ...]
    across: int = 3
    heights: tuple[float, ...] = ()
    legend: Literal["right", "below", "inside", "none"] = "right"
    summary: str = ""

    def layers(self, kind: type[Any]) -> list[Any]:
        """Return all layers of a class, for example Points, Curve, Intervals, Rule or Words."""
        return [layer for panel in self.panels for layer in panel.every if isinstance(layer, kind)]

    def to_frame(self) -> pd.DataFrame:
        """Return what is drawn: panel, layer, name, label, x, y, low, high; one row per point.

        Points of some kinds of chart have further columns; cells have their counts.
        """
        import pandas as pd

        columns = ["panel", "layer", "name", "label", "x", "y", "low", "high"]
        rows: list[tuple[Any, ...]] = []
        further: dict[str, dict[int, Any]] = {}
        for panel in self.panels:
            for layer in panel.every:
                if isinstance(layer, Words):
                    continue
                for key, values in layer.extra.items() if isinstance(layer, Points | Cells) else ():
                    further.setdefault(key, {}).update(enumerate(values, len(rows)))
                head = panel.heading, type(layer).__name__.lower(), layer.name
                rows += [(*head, *values) for values in _rows_of(layer)]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.assign(**{key: pd.Series(values) for key, values in further.items()})

    def describe(self) -> str:
        """Return what is seen in a sentence or two."""
        points = sum(len(layer.x) for layer in self.layers(Points))
        points += sum(int(layer.counts.sum()) for layer in self.layers(Cells))
        x, y = self.panels[0].x.label, self.panels[0].y.label
        axes = f"Horizontal axis: {x or 'none'}; vertical axis: {y or 'none'}."
        counted = f"{plural(len(self.panels), 'panel')}, {plural(points, 'point')}."
        return " ".join(part for part in (self.summary, counted, axes) if part)

    def draw(self, ax: Axes | Figure | SubFigure | None = None) -> Axes:
        """Draw the chart; see :meth:`metaexo.plots.Plan.draw`."""
        from matplotlib.axes import Axes

        with self.theme.context():
            if isinstance(ax, Axes):
                if len(self.panels) > 1:
                    raise InputError(
                        f"a chart of {len(self.panels)} panels for one Axes",
                        "a Figure or a SubFigure",
                        "hand in plt.figure(), or leave ax= out",
                    )
                axes, whole = [ax], False
                _give_back(ax)
                _dress(ax, self.theme)
            else:
                axes, whole = self._new_axes(ax), True
            for one, panel in zip(axes, self.panels, strict=True):
                _draw_panel(one, panel, self.theme)
                if whole:
                    _draw_strips(one, panel, self.theme)
            self._around(axes, whole)
            plan, wanted = self, sum(map(bool, (w for one in self.layers(Points) for w in one.words)))
            if whole:  # with room for what is to be told of labels
                self._write_notes(axes[0], (NO_ROOM.format(wanted, wanted),) if wanted else ())
            lost = _words_beside(axes, self.panels, self.theme) if wanted else 0
            if lost:
                plan = replace(self, notes=(*self.notes, NO_ROOM.format(lost, wanted)))
            if whole and wanted:
                plan._write_notes(axes[0])
        return remember(plan, axes[0])

    def _new_axes(self, figure: Figure | SubFigure | None) -> list[Axes]:
        import matplotlib.pyplot as plt

        if figure is None:
            figure = plt.figure(figsize=(self.width, self.height), layout="constrained")
        elif whole_figure(figure).get_layout_engine() is None:
            whole_figure(figure).set_layout_engine("constrained")
        figure.set_facecolor(self.theme.paper)
        across, down = self._grid()
        wide, high = (72 * side for side in size_of(figure))
        room = _room(wide)
        legend = self._legend_height(room)
        left = high - self._words_height(room) - legend
        if left < LEAST_HEIGHT * down or wide < LEAST_WIDTH * across:
            raise InputError(
                f"a figure of {wide / 72:.2g} by {high / 72:.2g} inches",
                f"at least {LEAST_WIDTH * across / 72:.2g} by {(high - left + LEAST_HEIGHT * down) / 72:.2g} "
                f"inches, for letters of {self.theme.small:g} points",
                "make it larger, or leave ax=, width= and height= out",
            )
        high_rows = [down * one / sum(self.heights) for one in self.heights] or [1.0] * down
        ratios = high_rows + ([legend * down / left] if legend else [])
        grid = figure.add_gridspec(len(ratios), across, height_ratios=ratios)
        return [figure.add_subplot(grid[i // across, i % across]) for i in range(len(self.panels))]

    def _grid(self) -> tuple[int, int]:
        """Return how many panels stand side by side, and how many below each other."""
        across = min(self.across, len(self.panels))
        return across, math.ceil(len(self.panels) / across)

    def with_panels(self, high: float) -> Self:
        """Return the chart so high that each panel has a height in points, whatever stands around it.

        Panels are higher where the legend beside them is. With `heights` it is that of the average panel.
        """
        room = _room(72 * self.width)
        high = max(high, self._height_beside(room) / self._grid()[1])
        needed = self._words_height(room) + self._legend_height(room) + self._grid()[1] * high
        return replace(self, height=needed / 72)

    def _legend_height(self, room: float) -> float:
        """Return the height in points of a legend below the panels, if there is one."""
        names = dict.fromkeys(one.name for one in self.layers(object) if getattr(one, "name", ""))
        if self.legend != "below" or not names:
            return 0.0
        return 1.6 * self.theme.small * (legend_lines(list(names), room, self.theme)[2] + 0.7)

    def _height_beside(self, room: float) -> float:
        """Return the height in points of a legend beside the panels, if there is one."""
        small = self.theme.small
        names = dict.fromkeys(one.name for one in self.layers(object) if getattr(one, "name", ""))
        if self.legend != "right" or not names:
            return 0.0
        lines = [len(self.theme.wrap(plain(name), room / BESIDE, size=small)) for name in names]
        return small * sum(1.2 * each + 0.5 for each in lines)

    def _words_height(self, room: float) -> float:
        """Return the height in points that title, notes and words at the axes take."""
        theme = self.theme
        title, notes = map(len, in_lines(self.title, self.notes, room, theme))
        ticks = max(1 + label.count("\n") for one in self.panels for _, label in one.x.ticks or [(0.0, "")])
        heads = any(one.heading for one in self.panels)
        at_axes = 1.25 * theme.small * ticks + 1.3 * theme.size * (1 + heads) + 12.0
        return 1.25 * (theme.size * title + theme.small * notes) + self._grid()[1] * at_axes + 12.0

    def _around(self, axes: list[Axes], whole: bool) -> None:
        """Draw title and legend, which stands inside Axes of the user's."""
        from matplotlib.transforms import blended_transform_factory

        figure, theme = axes[0].figure, self.theme
        room = _room(72 * size_of(figure if whole else axes[0])[0])
        left = 4.0 / (72 * size_of(figure)[0])
        title = "\n".join(in_lines(self.title, (), room, theme)[0])
        if title and whole:
            figure.suptitle(title, x=left, ha="left", fontproperties=theme.font(title, bold=True))
        elif title:
            axes[0].set_title(title, loc="left", fontproperties=theme.font(title, bold=True))
        handles, labels = _legend(axes, self.panels)
        labels = [plain(label) for label in labels]
        beside = ["\n".join(theme.wrap(label, room / BESIDE, size=theme.small)) for label in labels]
        if not handles or self.legend == "none":
            return
        if self.legend == "inside" or not whole:
            framed: dict[str, Any] = {"frameon": True, "edgecolor": "none", "framealpha": 0.85}
            draw_legend(axes[0], handles, beside, theme, loc="best", **framed)
        elif self.legend == "below":
            below = figure.add_subplot(cast("GridSpec", axes[0].get_gridspec())[-1, :])
            below.set_axis_off()
            labels, columns, _ = legend_lines(labels, room, theme)
            along = blended_transform_factory(figure.transSubfigure, below.transAxes)
            place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (left, 1.0), "borderaxespad": 0}
            legend = draw_legend(below, handles, labels, theme, columns, bbox_transform=along, **place)
            legend.set_in_layout(False)
        else:
            last = axes[min(self.across, len(axes)) - 1]
            place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1), "borderaxespad": 0}
            draw_legend(last, handles, beside, theme, **place)

    def _write_notes(self, ax: Axes, more: Sequence[str] = ()) -> None:
        """Write the notes below the panels, in place of those that stand there."""
        from matplotlib.text import Text

        figure, theme = ax.figure, self.theme
        wide = 72 * size_of(figure)[0]
        lacking = [NO_FONT] if any(NO_LETTER in t.get_text() for t in figure.findobj(Text)) else []
        notes = "\n".join(in_lines("", (*self.notes, *more, *lacking), _room(wide), theme)[1])
        if notes or ax.figure.get_supxlabel():
            font = theme.font(notes, size=theme.small)
            text = figure.supxlabel(notes, x=4.0 / wide, ha="left", fontproperties=font, color=theme.grey)
            text.set_in_layout(bool(notes))


def _room(width: float) -> float:
    """Return the room for lines of text in a width in points, that of the wider letters of a screen."""
    return (width - 8.0) / HINTED


def _rows_of(layer: Any) -> list[tuple[Any, ...]]:
    """Return label, x, y, low, high of each point of a layer."""
    nothing = float("nan")
    if isinstance(layer, Points):
        labels = layer.labels or [""] * len(layer.x)
        return [(one, x, y, nothing, nothing) for one, x, y in zip(labels, layer.x, layer.y, strict=True)]
    if isinstance(layer, Curve):
        return [("", x, y, nothing, nothing) for x, y in zip(layer.x, layer.y, strict=True)]
    if isinstance(layer, Curves):
        labels, (x, y) = layer.labels or [""] * len(layer.x), np.broadcast_arrays(layer.x, layer.y)
        return [
            (label, float(a), float(b), nothing, nothing)
            for label, across, up in zip(labels, x, y, strict=True)
            for a, b in zip(across, up, strict=True)
        ]
    if isinstance(layer, Band):
        return [("", x, nothing, a, b) for x, a, b in zip(layer.x, layer.low, layer.high, strict=True)]
    if isinstance(layer, Region):
        return [("", x, y, nothing, nothing) for x, y in layer.corners]
    if isinstance(layer, Intervals):
        labels = layer.labels or [""] * len(layer.at)
        ends = zip(labels, layer.at, layer.low, layer.high, strict=True)
        return [(n, nothing, at, a, b) if layer.across else (n, at, nothing, a, b) for n, at, a, b in ends]
    if isinstance(layer, Steps):
        middles = (np.asarray(layer.edges[:-1]) + np.asarray(layer.edges[1:])) / 2
        bars = zip(middles.tolist(), layer.heights, layer.edges[:-1], layer.edges[1:], strict=True)
        return [("", high, at, a, b) if layer.across else ("", at, high, a, b) for at, high, a, b in bars]
    if isinstance(layer, Cells):
        x, y = ((np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2 for edges in (layer.x, layer.y))
        rows, columns = np.nonzero(layer.counts)
        return [
            ("", a, b, nothing, nothing) for a, b in zip(x[columns].tolist(), y[rows].tolist(), strict=True)
        ]
    return [
        ("", layer.at, nothing, nothing, nothing)
        if layer.axis == "x"
        else ("", nothing, layer.at, nothing, nothing)
    ]


def _give_back(ax: Axes) -> None:
    """Give Axes the place that they had before a table, map or flow was drawn into them, without that one."""
    placed: Any = ax.get_axes_locator()
    if hasattr(placed, "frame") and hasattr(placed, "empty"):
        placed.empty()
        ax.clear()
        ax.set_frame_on(True)
        ax.yaxis.set_visible(True)
        ax.set_axes_locator(None)  # type: ignore[arg-type]
        ax.set_position(placed.frame)


def _dress(ax: Axes, theme: Theme) -> None:
    """Give Axes that were made elsewhere the look of a theme; other Axes of their figure keep their own."""
    rc = theme.rc()
    ax.set_facecolor(theme.paper)
    for name in ("x", "y"):
        size, pad = (rc[f"{name}tick.major.{what}"] for what in ("size", "pad"))
        ax.tick_params(axis=name, labelsize=theme.small, colors=theme.ink, length=size, pad=pad)
    for side, spine in ax.spines.items():
        spine.set_edgecolor(theme.ink)
        spine.set_visible(rc.get(f"axes.spines.{side}", True))
    if ax.figure.axes == [ax]:
        ax.figure.set_facecolor(theme.paper)


def _draw_panel(ax: Axes, panel: Panel, theme: Theme) -> None:
    """Draw the layers of a panel, back to front."""
    for name, axis in (("x", panel.x), ("y", panel.y)):
        if axis.scale == "sqrt":
            getattr(ax, f"set_{name}scale")("function", functions=(root, np.square))
        else:
            getattr(ax, f"set_{name}scale")(axis.scale)
    for order, layer in enumerate(panel.layers):
        _DRAW[type(layer)](ax, _steady_layer(layer), theme, 2 + order / 100)
    for name, axis in (("x", panel.x), ("y", panel.y)):
        _set_axis(ax, name, axis, theme)
    if panel.equal:
        ax.set_box_aspect(1)
    if panel.heading:
        lines = theme.wrap(panel.heading, max(90.0, 72 * size_of(ax)[0]), bold=True)
        ax.set_title("\n".join(lines), fontproperties=theme.font(panel.heading, bold=True))


def _draw_strips(ax: Axes, panel: Panel, theme: Theme) -> None:
    """Draw distributions above and beside a panel, in Axes that share its axis and move with it."""
    for steps, box, shared in (
        (panel.above, (0.0, 1.0 + STRIP_GAP, 1.0, STRIP), {"sharex": ax}),
        (panel.beside, (1.0 + STRIP_GAP, 0.0, STRIP, 1.0), {"sharey": ax}),
    ):
        if not steps:
            continue
        strip = ax.inset_axes(box, **shared)  # type: ignore[arg-type]
        strip.set_facecolor("none")
        strip.spines[:].set_visible(False)
        strip.tick_params(which="both", length=0, labelleft=False, labelbottom=False)
        getattr(strip, "set_yticks" if "sharex" in shared else "set_xticks")([])
        for order, layer in enumerate(steps):
            _steps(strip, _steady_layer(layer), theme, 2 + order / 100)
        most = max((high for layer in steps for high in layer.heights), default=0.0)
        getattr(strip, "set_ylim" if "sharex" in shared else "set_xlim")(0.0, 1.05 * most or 1.0)


def root(values: Any) -> Any:
    """Return square roots; what is below 0 is at 0."""
    return np.sqrt(np.maximum(values, 0.0))


def steady(values: Any) -> Any:
    """Return places to ten digits: noise beyond these is not to change what is drawn."""
    places = np.asarray(values, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        unit = 10.0 ** (np.floor(np.log10(np.abs(places))) - 9)
        rounded = np.round(places / unit) * unit
    return np.where(np.isfinite(rounded), rounded, places)


def _steady_layer(layer: Any) -> Any:
    """Return a layer with its places to ten digits."""
    named = {part.name for part in fields(layer)} & {"x", "y", "low", "high", "at", "corners", "edges"}
    return replace(layer, **{name: steady(getattr(layer, name)) for name in named})


def _set_axis(ax: Axes, name: str, axis: ChartAxis, theme: Theme) -> None:
    """Set label, ends and ticks of an axis."""
    from matplotlib.ticker import MaxNLocator

    which: MatplotlibAxis = getattr(ax, f"{name}axis")
    length = 72 * size_of(ax)[("x", "y").index(name)]
    lines = theme.wrap(axis.label, max(90.0, 0.8 * length))
    label = "\n".join(map(plain, lines))
    which.set_label_text(label, fontproperties=theme.font(label), color=theme.ink)
    if axis.limits is not None:
        getattr(ax, f"set_{name}lim")(*steady(axis.limits))
    else:
        getattr(ax, f"set_{name}margin")(axis.room)
        ax.autoscale_view()
    if axis.inverted and not which.get_inverted():
        which.set_inverted(True)
    if axis.ticks is not None:
        _set_ticks(which, _in_margin(ax, axis.ticks, theme) if name == "y" else axis.ticks, theme)
    elif axis.whole:
        which.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    else:
        RoundTicks(axis.scale).put_on(which)
    if axis.opposite:
        _mark_opposite(ax, name, axis, theme)


def _in_margin(ax: Axes, ticks: Sequence[tuple[float, str]], theme: Theme) -> Sequence[tuple[float, str]]:
    """Return ticks of a vertical axis with labels in lines that fit beside Axes that no layout will move."""
    whole = whole_figure(ax)
    if whole.get_layout_engine() is not None:
        return ticks
    per_point, box = whole.dpi / 72, ax.get_window_extent()
    others = (one.get_window_extent().x1 for one in whole.axes if one is not ax)
    room = (box.x0 - max((x for x in others if x <= box.x0), default=0.0)) / per_point - 8.0
    if room < LEAST_MARGIN:
        return ticks
    apart = box.height / per_point / max(len(ticks), 1)
    most = max(1, int(apart / (1.22 * theme.small)))
    out = []
    for place, label in ticks:
        lines = theme.wrap(label, room / HINTED, size=theme.small)
        if len(lines) > most:
            lines = (*lines[: most - 1], theme.short(" ".join(lines[most - 1 :]), room / HINTED))
        out.append((place, "\n".join(lines)))
    return out


def _set_ticks(which: MatplotlibAxis, ticks: Sequence[tuple[float, str]], theme: Theme) -> None:
    """Put ticks at values, with labels of one line or several."""
    labels = ["\n".join(lines_in(label)) for _, label in ticks]
    font = theme.font("".join(labels), size=theme.small)
    which.set_ticks([value for value, _ in ticks], labels=labels, fontproperties=font)


def _mark_opposite(ax: Axes, name: str, axis: ChartAxis, theme: Theme) -> None:
    """Put further ticks at the other side of a panel."""
    same = (np.positive, np.positive)  # matplotlib's own default can not be pickled
    beside = ax.secondary_yaxis("right", same) if name == "y" else ax.secondary_xaxis("top", same)
    beside.spines[:].set_visible(False)
    which: MatplotlibAxis = getattr(beside, f"{name}axis")
    _set_ticks(which, axis.opposite, theme)
    which.set_tick_params(length=0, which="both")
    which.set_label_text(plain(axis.opposite_label), fontproperties=theme.font(axis.opposite_label))


def _points(ax: Axes, layer: Points, theme: Theme, order: float) -> None:
    wider = STAR if layer.shape == "star" else 1.0
    sizes = [
        (wider * size) ** 2 for size in ([layer.size] if isinstance(layer.size, int | float) else layer.size)
    ]
    color = theme.color(layer.color)
    edge = 0.4 if max(sizes, default=9.0) >= 9.0 else 0.0  # of a dot nothing would be left
    ax.scatter(
        layer.x,
        layer.y,
        s=sizes,
        marker=MARKERS[layer.shape],
        zorder=order,
        facecolors=theme.paper if layer.hollow else color,
        edgecolors=color if layer.hollow else theme.paper,
        linewidths=1.0 if layer.hollow else edge,
        clip_on=layer.clip,
        alpha=layer.alpha,
        label=layer.name or None,
    )


def _curve(ax: Axes, layer: Curve, theme: Theme, order: float) -> None:
    ax.plot(
        layer.x,
        layer.y,
        color=theme.color(layer.color),
        linewidth=layer.width,
        linestyle=DASHES[layer.dash],
        marker=MARKERS[layer.mark] if layer.mark else "none",
        markevery=[0],
        markersize=5.5,
        markeredgecolor=theme.paper,
        markeredgewidth=0.4,
        zorder=order,
        label=layer.name or None,
    )


def _curves(ax: Axes, layer: Curves, theme: Theme, order: float) -> None:
    from matplotlib.collections import LineCollection

    lines = LineCollection(
        list(np.stack(np.broadcast_arrays(layer.x, layer.y), axis=-1)),
        colors=theme.color(layer.color),
        linewidths=layer.width,
        alpha=layer.alpha,
        zorder=order,
        label=layer.name or "",
    )
    ax.add_collection(lines)


def _band(ax: Axes, layer: Band, theme: Theme, order: float) -> None:
    ax.fill_between(
        layer.x,
        layer.low,
        layer.high,
        color=theme.color(layer.color),
        alpha=layer.alpha,
        linewidth=0.0,
        zorder=order,
        label=layer.name or None,
    )
    if layer.edge:
        for side in (layer.low, layer.high):
            ax.plot(
                layer.x, side, color=theme.grey, linewidth=0.8, linestyle=DASHES[layer.edge], zorder=order
            )


def _region(ax: Axes, layer: Region, theme: Theme, order: float) -> None:
    from matplotlib.patches import Polygon

    edge = theme.grey if layer.hatch else "none"
    ax.add_patch(
        Polygon(
            list(layer.corners),
            closed=True,
            facecolor=theme.color(layer.color),
            edgecolor=edge,
            linewidth=0.4,
            hatch=layer.hatch or None,
            alpha=layer.alpha,
            zorder=order,
            label=layer.name or None,
        )
    )


def _intervals(ax: Axes, layer: Intervals, theme: Theme, order: float) -> None:
    draw = ax.hlines if layer.across else ax.vlines
    draw(
        layer.at,
        layer.low,
        layer.high,
        colors=theme.color(layer.color),
        linewidths=layer.width,
        zorder=order,
        label=layer.name or "",
    )


def _rule(ax: Axes, layer: Rule, theme: Theme, order: float) -> None:
    draw = ax.axvline if layer.axis == "x" else ax.axhline
    draw(
        layer.at,
        color=theme.color(layer.color),
        linewidth=layer.width,
        linestyle=DASHES[layer.dash],
        zorder=order,
        label=layer.name or None,
    )


def _steps(ax: Axes, layer: Steps, theme: Theme, order: float) -> None:
    high = np.flatnonzero(layer.heights)
    first, last = (int(high[0]), int(high[-1]) + 1) if high.size else (0, 0)
    if first == last:
        return
    color, upright = theme.color(layer.color), "horizontal" if layer.across else "vertical"
    look: dict[str, Any] = {"orientation": upright, "color": color, "zorder": order}
    heights, edges = layer.heights[first:last], layer.edges[first : last + 1]
    ax.stairs(heights, edges, fill=True, alpha=layer.alpha, label=layer.name or None, **look)
    ax.stairs(heights, edges, linestyle=DASHES[layer.edge], linewidth=0.9, **look)


def _cells(ax: Axes, layer: Cells, theme: Theme, order: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgba
    from matplotlib.patheffects import withStroke

    color, most = theme.color(layer.color), int(layer.counts.max(initial=0))
    shades = [to_rgba(color, FAINTEST), to_rgba(color, 1.0)]
    ax.pcolormesh(
        layer.x,
        layer.y,
        np.ma.masked_equal(layer.counts, 0),
        cmap=LinearSegmentedColormap.from_list("cells", shades),
        norm=LogNorm(1, max(most, 2)),
        zorder=order,
        rasterized=True,
        linewidth=0.0,
    )
    line = DASHES[layer.edge] if layer.edge else "none"
    sign: dict[str, Any] = {"facecolor": to_rgba(color, 0.6), "edgecolor": color if layer.edge else "none"}
    ax.fill([], [], linestyle=line, linewidth=1.2, label=layer.name or None, **sign)
    x, y, smooth, level = _densest(layer) if layer.edge and most else ((), (), np.zeros(1), 0.0)
    if smooth.min() < level:  # and there is a line: no cells are equal
        drawn = ax.contour(x, y, smooth, [level], colors=[color], linestyles=[line], linewidths=1.3)
        drawn.set(zorder=order + 0.5, path_effects=[withStroke(linewidth=3.0, foreground=theme.paper)])


def _densest(layer: Cells) -> tuple[Any, Any, Any, float]:
    """Return middles of cells, smoothed counts, and the height above which cells hold the share of points."""
    from scipy.ndimage import gaussian_filter

    x, y = ((np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2 for edges in (layer.x, layer.y))
    smooth = gaussian_filter(layer.counts.astype(float), 1.0)
    heights = np.sort(smooth, axis=None)[::-1]
    held = np.cumsum(heights) / heights.sum()
    return x, y, smooth, float(heights[np.searchsorted(held, layer.held)])


def _words(ax: Axes, layer: Words, theme: Theme, order: float) -> None:
    ax.annotate(  # which is not drawn where its place is outside the panel, after a zoom
        plain(layer.text),
        (layer.x, layer.y),
        ha=layer.align,
        va="center",
        color=theme.color(layer.color),
        fontproperties=theme.font(layer.text, layer.bold, theme.small),
        zorder=order + 1,
        clip_on=False,
    )


_DRAW: Mapping[type, Any] = {
    Points: _points,
    Curve: _curve,
    Curves: _curves,
    Band: _band,
    Region: _region,
    Intervals: _intervals,
    Rule: _rule,
    Steps: _steps,
    Cells: _cells,
    Words: _words,
}


def _legend(axes: Sequence[Axes], panels: Sequence[Panel]) -> tuple[list[Any], list[str]]:
    """Return the entries of the legends of all panels, each name once, in the order of the layers."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    order = [getattr(layer, "name", "") for panel in panels for layer in panel.every]
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return [found[name] for name in names], names


def _words_beside(axes: Sequence[Axes], panels: Sequence[Panel], theme: Theme) -> int:
    """Write words beside marks where no other words, mark, interval or edge of the panel is in the way.

    Returns how many found no room.
    """
    todo = [(ax, layer) for ax, layer in _points_of(axes, panels) if any(layer.words)]
    figure = whole_figure(axes[0])
    for _ in range(2):  # constrained layout settles in the second pass
        figure.draw_without_rendering()
    rooms: dict[Axes, FreeRoom] = {}
    lost = 0
    for ax, layer in todo:
        if ax not in rooms:
            rooms[ax] = FreeRoom(ax)
            for one in (one for which, one in _points_of(axes, panels) if which is ax and len(one.x)):
                rooms[ax].take_marks(np.column_stack([one.x, one.y]), _sizes(one))
            for lines in panels[axes.index(ax)].layers:
                if isinstance(lines, Intervals):
                    rooms[ax].take_intervals(lines)
            for other in ax.texts:
                rooms[ax].take(np.atleast_2d(other.get_window_extent().extents))
        for x, y, size, text in zip(layer.x, layer.y, _sizes(layer), layer.words, strict=True):
            if text:
                lost += not rooms[ax].write((x, y), float(size), plain(text), theme)
    return lost


def _points_of(axes: Sequence[Axes], panels: Sequence[Panel]) -> list[tuple[Axes, Points]]:
    return [
        (ax, layer)
        for ax, panel in zip(axes, panels, strict=True)
        for layer in panel.layers
        if isinstance(layer, Points)
    ]


def _sizes(layer: Points) -> Any:
    return np.broadcast_to(np.asarray(layer.size, dtype=float), (len(layer.x),))


class FreeRoom:
    """The pixels of Axes, and which of them marks and words have taken."""

    def __init__(self, ax: Axes) -> None:
        self.ax = ax
        self.per_point = whole_figure(ax).dpi / 72
        self.box = ax.get_window_extent()
        self.taken = np.zeros((math.ceil(self.box.height), math.ceil(self.box.width)), dtype=bool)

    def take_marks(self, places: Any, sizes: Any) -> None:
        """Take the room of marks: their places as shown, shape (n, 2), and diameters in points."""
        at = self.ax.transData.transform(places) - self.box.min
        radii = 0.5 * self.per_point * sizes[:, None]
        self.take(np.hstack([at - radii, at + radii]) + np.tile(self.box.min, 2))

    def take_intervals(self, layer: Intervals) -> None:
        """Take the room of lines from one end to another, as far as they are seen."""
        left, right = sorted(self.ax.get_xlim() if layer.across else self.ax.get_ylim())
        ends = [np.clip(steady(end), left, right) for end in (layer.low, layer.high)]
        corners = [(end, layer.at) if layer.across else (layer.at, end) for end in ends]
        one, other = (self.ax.transData.transform(np.column_stack(corner)) for corner in corners)
        half = 0.5 * self.per_point * layer.width
        self.take(np.hstack([np.minimum(one, other) - half, np.maximum(one, other) + half]))

    def take(self, boxes: Any) -> None:
        """Take the room of boxes: left, low, right and top in pixels of the figure, shape (n, 4)."""
        inside = np.asarray(boxes, dtype=float) - np.tile(self.box.min, 2)
        corners = np.hstack([np.floor(inside[:, :2]), np.ceil(inside[:, 2:])])
        kept = np.isfinite(corners).all(axis=1) & (corners[:, 2:] >= 0).all(axis=1)
        for left, low, right, top in np.clip(corners[kept], 0, 1e6).astype(int):
            self.taken[low:top, left:right] = True

    def write(self, at: tuple[float, float], size: float, text: str, theme: Theme) -> bool:
        """Write a text at a side of a mark, or aslant of it, in the first of these places that is free.

        Returns whether there is one.
        """
        x, y = self.ax.transData.transform(at) - self.box.min
        wide, high = (
            self.per_point * one for one in (HINTED * theme.width(text, size=theme.small), 1.22 * theme.small)
        )
        gap = (0.5 * size + 2.0) * self.per_point
        places = (
            ("left", x + gap, y - high / 2),
            ("right", x - gap - wide, y - high / 2),
            ("center", x - wide / 2, y + gap),
            ("center", x - wide / 2, y - gap - high),
            *(
                (align, left, low)
                for align, left in (("left", x + 0.7 * gap), ("right", x - 0.7 * gap - wide))
                for low in (y + 0.5 * gap, y - 0.5 * gap - high)
            ),
        )
        if not (0 <= x <= self.box.width and 0 <= y <= self.box.height):
            return False
        for align, left, low in places:
            right, top = left + wide, low + high
            if left < 0 or low < 0 or right > self.box.width or top > self.box.height:
                continue
            here = self.taken[math.floor(low) : math.ceil(top), math.floor(left) : math.ceil(right)]
            if here.any():
                continue
            here[:] = True
            anchor = {"left": left, "right": right, "center": (left + right) / 2}[align]
            self.ax.annotate(
                text,
                at,
                ((anchor - x) / self.per_point, (low + high / 2 - y) / self.per_point),
                "data",
                "offset points",
                ha=align,
                va="center",
                color=theme.ink,
                fontproperties=theme.font(text, size=theme.small),
                bbox={"facecolor": theme.paper, "alpha": 0.75, "edgecolor": "none", "pad": 0.4},
            )
            return True
        return False
