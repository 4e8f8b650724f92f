"""Draw a page with matplotlib, and save a figure so that the same numbers give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metaexo.errors import InputError
from metaexo.plots.canvas.arguments import axes_of_figure
from metaexo.plots.canvas.fonts import INK, SMALL_SIZE, WHITE, font, fonts_besides
from metaexo.plots.canvas.page import Area, Dot, Item, Line, Page, Panel, Text, Ticks, inside

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MatplotlibAxis
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec
    from matplotlib.transforms import Bbox, Transform

Again = Callable[[float, float, float, float], Page]
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "triangle_down": "v",
    "diamond": "D",
    "pentagon": "p",
    "plus": "P",
    "cross": "X",
    "star": "*",
    "hexagon": "h",
    "left": "<",
    "right": ">",
}
# A text is put on whole pixels when it becomes a PNG. No place of a page (a hundredth of a point) plus this
# shift lies half way between two pixels, so no last digit decides on which of the two a letter falls.
SHIFT = 0.003
STYLE: dict[str, Any] = {
    "agg.path.chunksize": 0,
    "path.simplify": False,
    "path.snap": True,
    "hatch.linewidth": 0.7,
    "savefig.bbox": None,
    "savefig.edgecolor": WHITE,
    "savefig.facecolor": WHITE,
    "savefig.transparent": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "metaexo",
    "pdf.fonttype": 42,
    "text.antialiased": True,
    "text.hinting": "none",
    "text.usetex": False,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Use matplotlib's own defaults and the settings of all figures, for the time of a block."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def draw(page: Page, ax: Axes | None = None, again: Again | None = None, fixed: bool = False) -> Axes:
    """Draw a page and return the Axes of its panel.

    The Axes are those of the panel, in the units that are shown: a ratio on a logarithmic axis. What stands
    beside the panel is drawn on the same Axes, without being clipped.

    `ax`: where to draw: the place of these Axes is given to the whole page, and they become the panel.
        Without it a figure of the size of the page is made, apart from pyplot. In Axes smaller than the page
        everything shrinks alike, the letters too.
    `again`: gives the page for other limits of the Axes, as shown (left, right, bottom, top). With it the
        page is drawn anew after `ax.set_xlim` and `ax.set_ylim`; without it what leaves the panel is clipped.
    `fixed`: whether the panel is a grid of cells, so that other limits would part the cells from their
        headings; they are refused.
    Returned: `ax`, or the new Axes.
    Raises InputError if `ax` is no Axes, or stands in no figure; from `ax.set_xlim` and `ax.set_ylim` if they
        are fixed.
    """
    if ax is not None:
        axes_of_figure("ax", ax)
    with figure_style():
        own = ax is None
        axes = _new_axes(page) if ax is None else ax
        frame = _frame(axes)
        drawn = _put(page, axes, frame)
    ends = axes.get_xlim(), axes.get_ylim()
    busy = False

    def moved(_: Axes) -> None:
        nonlocal drawn, busy
        if busy or not any(artist.axes is axes for artist in drawn):  # the Axes were cleared
            return
        busy = True
        try:
            if fixed:
                axes.set_xlim(*ends[0])
                axes.set_ylim(*ends[1])
                raise InputError(
                    "other limits for a grid of cells",
                    "the limits that it has; its coordinates are points of the page",
                    "leave rows or columns out of the table instead",
                )
            with figure_style():
                drawn = _moved(page, axes, frame, drawn, again, own)
        finally:
            busy = False

    axes.callbacks.connect("xlim_changed", moved)
    axes.callbacks.connect("ylim_changed", moved)
    return axes


def _moved(
    page: Page, ax: Axes, frame: Bbox, drawn: list[Artist], again: Again | None, own: bool
) -> list[Artist]:
    """Draw anew at the limits that the Axes have now, or clip what leaves them; return the artists."""
    from matplotlib.ticker import AutoLocator, ScalarFormatter

    if again is None:
        for artist, item in zip(drawn, page.items, strict=True):
            if inside(item, page.panel):
                artist.set_clip_on(True)
                artist.set_clip_path(ax.patch)
        if page.ticks:
            ax.xaxis.set_major_locator(AutoLocator())
            ax.xaxis.set_major_formatter(ScalarFormatter())
        return drawn
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    new = again(min(left, right), max(left, right), bottom, top)
    for artist in drawn:
        artist.remove()
    if own:
        whole_figure(ax).set_size_inches(new.width / 72, new.height / 72)
    made = _put(new, ax, frame)
    ax.set_xlim(left, right)
    return made


def _put(page: Page, ax: Axes, frame: Bbox) -> list[Artist]:
    """Make the Axes the panel of the page, and draw its items; return them."""
    from matplotlib.transforms import blended_transform_factory

    scale, across, down = _fit(page, ax, frame)
    place = _places(ax, frame, scale, across, down)
    _set_panel(page, ax, frame, place, scale)
    with_data = blended_transform_factory(ax.transData, place)
    artists = []
    for position, item in enumerate(page.items):
        of_data = inside(item, page.panel)
        artist = _artist(_in_data(item, page.panel) if of_data else item, scale)
        artist.set_transform(with_data if of_data else place)
        artist.set_clip_on(False)
        artist.set_zorder(2 + position / 1024)
        ax.add_artist(artist)
        artists.append(artist)
    return artists


def _in_data(item: Item, panel: Panel) -> Item:
    """Return an item whose horizontal places are values as shown, its vertical ones still points."""

    def value(x: float) -> float:
        place = panel.value_at(x, panel.top)[0]
        return math.exp(place) if panel.log else place

    if isinstance(item, Line | Area):
        return replace(item, points=tuple((value(x), y) for x, y in item.points))
    return replace(item, x=value(item.x))


def whole_figure(ax: Axes) -> Figure:
    """Return the figure of an Axes, also of one in a part of a figure."""
    if ax.figure is None:
        raise InputError("the Axes stand in no figure", "Axes of a figure", "make them by plt.subplots()")
    return ax.figure.figure


def _new_axes(page: Page) -> Axes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(page.width / 72, page.height / 72), facecolor=WHITE)
    return figure.add_axes((0.0, 0.0, 1.0, 1.0))


def _frame(ax: Axes) -> Bbox:
    """Return the place of a whole page: that of the Axes before a figure made them its panel."""
    placed = ax.get_axes_locator()
    return placed.frame if isinstance(placed, _Place) else ax.get_position().frozen()


def _part(ax: Axes) -> Transform:
    """Return the way from fractions of the figure, or of the part of it that holds the Axes, to pixels."""
    return ax.figure.transSubfigure


def _fit(page: Page, ax: Axes, frame: Bbox) -> tuple[float, float, float]:
    """Return by how much the page shrinks to stand in its frame, and the size of the frame in points."""
    per_point = 72 / whole_figure(ax).dpi
    box = frame.transformed(_part(ax))
    across, down = box.width * per_point, box.height * per_point
    scale = min(across / page.width, down / page.height)
    return (scale if scale < 1 - 1e-6 else 1.0), across, down


def _places(ax: Axes, frame: Bbox, scale: float, across: float, down: float) -> Transform:
    """Return the way from points of the page to pixels."""
    from matplotlib.transforms import Affine2D

    to_frame = Affine2D().translate(SHIFT, SHIFT).scale(scale / across, -scale / down).translate(0, 1)
    return to_frame.scale(frame.width, frame.height).translate(frame.x0, frame.y0) + _part(ax)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Keeps the Axes where the panel is: a layout that moved them would part marks from their names."""

    axes: Axes
    frame: Bbox
    corners: tuple[float, float, float, float]

    def __call__(self, ax: object, renderer: object) -> Bbox:
        """Return where the Axes stand, in fractions of the figure."""
        from matplotlib.transforms import Bbox

        return Bbox.from_extents(*self.corners)

    def get_subplotspec(self) -> SubplotSpec | None:
        """Return the cell of the grid that the Axes came from, for matplotlib's layouts."""
        return self.axes.get_subplotspec()


def _set_panel(page: Page, ax: Axes, frame: Bbox, place: Transform, scale: float) -> None:
    """Put the Axes where the panel is, in the units that are shown, with its ticks."""
    panel = page.panel
    corners = [(panel.left, panel.bottom), (panel.right, panel.top)]
    (x0, y0), (x1, y1) = (place - _part(ax)).transform(corners)
    ax.set_aspect("auto")
    ax.set_position((x0, y0, x1 - x0, y1 - y0))
    ax.set_axes_locator(_Place(ax, frame, (float(x0), float(y0), float(x1), float(y1))))
    ax.set_xscale("log" if panel.log else "linear")
    ends = (math.exp(x) if panel.log else x for x in (panel.x_low, panel.x_high))
    ax.set_xlim(*ends)
    ax.set_ylim(panel.y_bottom, panel.y_top)
    ax.patch.set_visible(False)
    ax.set_axisbelow(False)
    for side, ticks in (("bottom", page.ticks), ("left", page.side_ticks)):
        spine = ax.spines[side]
        spine.set_visible(bool(ticks))
        spine.set_color(INK)
        spine.set_linewidth(0.8 * scale)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    _set_ticks(ax.xaxis, page.ticks, scale)
    _set_ticks(ax.yaxis, page.side_ticks, scale)


def _set_ticks(axis: MatplotlibAxis, ticks: Ticks, scale: float) -> None:
    from matplotlib.ticker import NullLocator

    letters = font(round(SMALL_SIZE * scale, 3))
    axis.set_ticks([value for value, _ in ticks], labels=[label for _, label in ticks])
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(
        which="major", length=3.0 * scale, width=0.8 * scale, pad=2.0 * scale, color=INK, labelcolor=INK
    )
    for label in axis.get_ticklabels():
        label.set_fontproperties(letters)
        label.set_parse_math(False)


def _artist(item: Item, scale: float) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon
    from matplotlib.text import Text as DrawnText

    if isinstance(item, Text):
        return DrawnText(
            item.x,
            item.y,
            item.text,
            fontproperties=font(round(item.size * scale, 3), item.bold, fonts_besides(item.text, item.bold)),
            color=item.color,
            horizontalalignment=item.align,
            verticalalignment="baseline",
            rotation=90.0 if item.upright else 0.0,
            rotation_mode="anchor",
            parse_math=False,
        )
    if isinstance(item, Line):
        return Line2D(
            [x for x, _ in item.points],
            [y for _, y in item.points],
            linewidth=item.width * scale,
            color=item.color,
            linestyle=(0, tuple(d / item.width for d in item.dash)) if item.dash else "solid",
            dash_capstyle="butt",
            solid_capstyle="butt",
        )
    if isinstance(item, Area):
        return Polygon(
            item.points,
            closed=True,
            facecolor=item.fill,
            edgecolor=item.edge or "none",
            linewidth=item.width * scale if item.edge else 0.0,
            joinstyle="miter",
            hatch=item.hatch or None,
        )
    return _dot(item, scale)


def _dot(item: Dot, scale: float) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D(
        [item.x],
        [item.y],
        linestyle="none",
        marker=MARKERS[item.shape],
        markersize=item.size * scale,
        markerfacecolor=item.fill,
        markeredgecolor=item.edge,
        markeredgewidth=item.width * scale,
    )
