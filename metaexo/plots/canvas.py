"""Draw a page with matplotlib, and save a figure so that the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots.fonts import font
from metaexo.plots.page import Area, Dot, Item, Line, Page, Text
from metaexo.plots.style import WHITE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

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
    "tick": "|",
}
# A text is put on whole pixels when it becomes a PNG. No place of a page (a hundredth of a point) plus this
# shift lies half way between two pixels, so no last digit decides on which of the two a letter falls.
SHIFT = 0.003
STYLE: dict[str, Any] = {
    "agg.path.chunksize": 0,
    "path.simplify": False,
    "path.snap": True,
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
METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "metaexo"},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "metaexo", "Producer": None},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Use matplotlib's own defaults and the settings of all figures, for the time of a block."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def draw(page: Page, ax: Axes | None = None) -> Axes:
    """Draw a page and return the Axes that hold it.

    Parameters
    ----------
    page : Page
        What is to be drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Without it a figure of the size of the page is made, apart from pyplot. In Axes smaller
        than the page everything shrinks alike, the letters too.

    Returns
    -------
    matplotlib.axes.Axes
        `ax`, or the new Axes. Its coordinates are those of the data: effects on the scale of the analysis.
    """
    with house_style():
        if ax is None:
            ax = _new_axes(page)
        scale, across, down = _fit(page, ax)
        _set_limits(page, ax, across / scale, down / scale)
        place = _places(ax, scale, across, down)
        for position, item in enumerate(page.items):
            artist = _artist(item, scale)
            artist.set_transform(place)
            artist.set_clip_on(False)
            artist.set_zorder(2 + position / 1024)
            ax.add_artist(artist)
    return ax


def save(
    figure: Figure | Axes, path_stem: str | Path, formats: Sequence[str] = ("svg", "png"), dpi: float = 150
) -> tuple[Path, ...]:
    """Save a figure in several formats; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or matplotlib.axes.Axes
        The figure, or any of its Axes.
    path_stem : str or Path
        Path without the ending; the folder is made if it is missing.
    formats : sequence of {"svg", "png", "pdf"}
        Endings.
    dpi : float
        Pixels per inch of a PNG.

    Returns
    -------
    tuple of Path
        The files, in the order of `formats`.

    Raises
    ------
    UnknownChoiceError
        If a format is not known.

    Examples
    --------
    >>> import tempfile, metaexo as mx
    >>> from metaexo.plots import forest, save
    >>> ax = forest(mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(ax, f"{folder}/two_studies")]
    ['two_studies.svg', 'two_studies.png']
    """
    from matplotlib.figure import Figure

    whole = figure if isinstance(figure, Figure) else _whole_figure(figure)
    stem = Path(path_stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending in formats:
        if ending not in METADATA:
            raise UnknownChoiceError("format", ending, METADATA)
        path = stem.with_name(f"{stem.name}.{ending}")
        with house_style():
            whole.savefig(path, format=ending, dpi=dpi, metadata=METADATA[ending])
        paths.append(path)
    return tuple(paths)


def overlapping_texts(ax: Axes, tolerance: float = 0.5) -> list[tuple[str, str]]:
    """Return the pairs of texts of an Axes that overlap as drawn, and those that leave the figure.

    Use it in tests of figures of your own.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The Axes to look at.
    tolerance : float
        Overlap in pixels that does not count.

    Returns
    -------
    list of (str, str)
        The two texts, or the text and "leaves the figure"; empty if all is well.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"])
    >>> mx.plots.overlapping_texts(mx.plots.forest(es))
    []
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.text import Text as DrawnText

    with house_style():
        figure = _whole_figure(ax)
        width, height = figure.bbox.width, figure.bbox.height
        renderer = RendererAgg(int(width), int(height), figure.dpi)  # type: ignore[no-untyped-call]
        texts = cast("list[DrawnText]", ax.findobj(DrawnText))
        boxes = [
            (t.get_text(), t.get_window_extent(renderer))
            for t in texts
            if t.get_visible() and t.get_text().strip()
        ]
    found = [
        (a, b)
        for (a, one), (b, two) in combinations(boxes, 2)
        if one.x0 + tolerance < two.x1
        and two.x0 + tolerance < one.x1
        and one.y0 + tolerance < two.y1
        and two.y0 + tolerance < one.y1
    ]
    return found + [
        (name, "leaves the figure")
        for name, box in boxes
        if box.x0 < -tolerance
        or box.y0 < -tolerance
        or box.x1 > width + tolerance
        or box.y1 > height + tolerance
    ]


def _whole_figure(ax: Axes) -> Figure:
    """Return the figure of an Axes, also of one in a part of a figure."""
    if ax.figure is None:
        raise InputError("the Axes stand in no figure", "Axes of a figure")
    return ax.figure.figure


def _new_axes(page: Page) -> Axes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(page.width / 72, page.height / 72), facecolor=WHITE)
    return figure.add_axes((0.0, 0.0, 1.0, 1.0))


def _fit(page: Page, ax: Axes) -> tuple[float, float, float]:
    """Return by how much the page shrinks to stand in the Axes, and the size of the Axes in points."""
    per_point = 72 / _whole_figure(ax).dpi
    box = ax.get_window_extent()
    across, down = box.width * per_point, box.height * per_point
    scale = min(across / page.width, down / page.height)
    return (scale if scale < 1 - 1e-6 else 1.0), across, down


def _places(ax: Axes, scale: float, across: float, down: float) -> Transform:
    """Return the way from points of the page to the Axes."""
    from matplotlib.transforms import Affine2D

    to_axes = Affine2D().translate(SHIFT, SHIFT).scale(scale / across, -scale / down).translate(0, 1)
    return to_axes + ax.transAxes


def _set_limits(page: Page, ax: Axes, width: float, height: float) -> None:
    left, top = page.panel.value_at(0, 0)
    right, bottom = page.panel.value_at(width, height)
    ax.set_axis_off()
    ax.set_aspect("auto")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def _artist(item: Item, scale: float) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon
    from matplotlib.text import Text as DrawnText

    if isinstance(item, Text):
        return DrawnText(
            item.x,
            item.y,
            item.text,
            fontproperties=font(round(item.size * scale, 3), item.bold),
            color=item.colour,
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
            color=item.colour,
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
