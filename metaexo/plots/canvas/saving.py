"""Save a figure so that the same numbers give the same bytes, and look for texts that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.plots.arguments import axes_of_figure, checked
from metaexo.plots.canvas.canvas import figure_style, whole_figure
from metaexo.plots.canvas.page import Box, overlapping

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "metaexo"},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "metaexo", "Producer": None},
}


@checked
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
    InputError
        If the files cannot be written.

    Examples
    --------
    >>> import tempfile, metaexo as mx
    >>> from metaexo.plots import forest, save
    >>> ax = forest(mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(ax, f"{folder}/two_studies")]
    ['two_studies.svg', 'two_studies.png']
    """
    whole = _figure_of("figure", figure)
    stem = Path(path_stem)
    for ending in formats:
        check_choice("format", ending, tuple(METADATA))
    if not stem.name:
        raise InputError(f"the path {str(path_stem)!r} has no name", "a path that ends in the name of a file")
    paths = tuple(stem.with_name(f"{stem.name}.{ending}") for ending in formats)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path, ending in zip(paths, formats, strict=True):
            with figure_style():
                whole.savefig(path, format=ending, dpi=dpi, metadata=METADATA[ending])
    except (OSError, ValueError) as problem:
        raise InputError(
            f"the figure cannot be written to {stem}: {problem}",
            "a folder that can be written to, and a size that the format can hold",
            'choose another folder, a smaller dpi, or formats=("svg", "pdf")',
        ) from problem
    return paths


@checked
def overlapping_texts(ax: Axes | Figure, tolerance: float = 0.5) -> list[tuple[str, str]]:
    """Return the pairs of texts of Axes or a figure that overlap as drawn, and those that leave the figure.

    Use it in tests of figures of your own.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or matplotlib.figure.Figure
        What to look at.
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

    figure = _figure_of("ax", ax)
    with figure_style():
        width, height = figure.bbox.width, figure.bbox.height
        renderer = RendererAgg(int(width), int(height), figure.dpi)  # type: ignore[no-untyped-call]
        texts = cast("list[DrawnText]", ax.findobj(DrawnText))
        boxes: list[tuple[str, Box]] = []
        for text in texts:
            if text.get_visible() and text.get_text().strip():
                box = text.get_window_extent(renderer)
                boxes.append((text.get_text(), (box.x0, box.y0, box.x1, box.y1)))
    return overlapping(boxes, tolerance) + [
        (name, "leaves the figure")
        for name, (x0, y0, x1, y1) in boxes
        if x0 < -tolerance or y0 < -tolerance or x1 > width + tolerance or y1 > height + tolerance
    ]


def _figure_of(name: str, what: object) -> Figure:
    """Return a figure, or the figure of Axes."""
    from matplotlib.figure import Figure

    if isinstance(what, Figure):
        return what
    axes_of_figure(name, what)
    return whole_figure(cast("Axes", what))
