"""Save figures, so that the same numbers give the same bytes; and look for texts that overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import describe
from metaexo.plots.canvas.arguments import checked
from metaexo.plots.canvas.fonts import DEJAVU
from metaexo.plots.canvas.plan import pages_of, plans_of, whole_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Box = tuple[float, float, float, float]  # left, lower, right and upper edge
FORMATS = ("svg", "pdf", "png", "tiff", "eps")
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "metaexo"},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": "metaexo", "Producer": None},
    "eps": {"Creator": "metaexo"},
}
# What a file of vectors needs to be the same everywhere, and to hold text as text.
SETTINGS: dict[Any, Any] = {
    "path.simplify": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.bbox": None,
    "savefig.transparent": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "metaexo",
    "text.hinting": "none",
    "text.usetex": False,
}
# Fonts as wide as DejaVu Sans, for readers of an SVG who do not have it.
AS_WIDE = f"'{DEJAVU}', 'Bitstream Vera Sans', Verdana, Geneva, sans-serif"


@checked
def save(
    figure: Figure | Axes | Sequence[Axes],
    path: str | Path,
    *,
    dpi: float = 300,
    title: str | None = None,
    description: str | None = None,
) -> Path:
    """Save a figure to exactly the file that is named; the same figure gives the same bytes.

    An SVG holds its text as text, a title and an alternative text made from what the figure shows; a PDF and
    an EPS hold TrueType fonts. Several pages go into one PDF.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, matplotlib.axes.Axes or sequence of Axes
        The figure or any of its Axes, with all its pages; or a list of the pages to save, of those in
        :func:`metaexo.plots.pages_of`.
    path : str or Path
        The file; its ending is the format: ``.svg``, ``.pdf``, ``.png``, ``.tiff`` or ``.eps``. The folder is
        made if it is missing.
    dpi : float
        Pixels per inch of a PNG or TIFF.
    title, description : str, optional
        Title and alternative text of an SVG. Default: made from what the figure shows.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownChoiceError
        If the ending is no known format.
    InputError
        If the file cannot be written, or a format other than PDF is to hold several pages.

    Examples
    --------
    >>> import tempfile, metaexo as mx
    >>> ax = mx.plots.forest(mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mx.plots.save(ax, f"{folder}/two_studies.svg").name
    'two_studies.svg'
    """
    _check_figure(figure)
    given = pages_of(cast("Any", figure)) if _is_one(figure) else cast("Sequence[Axes]", figure)
    pages = [whole_figure(page) for page in given] or [whole_figure(figure)]
    target = Path(path)
    ending = target.suffix.lower().removeprefix(".").replace("tif", "tiff").replace("tifff", "tiff")
    if not target.stem or not ending:
        raise InputError(
            f"the path {str(path)!r} names no file with an ending",
            "a file such as forest.svg",
            f"choose one of {', '.join('.' + known for known in FORMATS)}",
        )
    if ending not in FORMATS:
        raise UnknownChoiceError("ending of a figure's file", ending, FORMATS)
    if len(pages) != 1 and ending != "pdf":
        raise InputError(
            f"{len(pages)} pages for one {ending.upper()} file",
            "one page, or a PDF",
            "save to a .pdf, or each page to a file of its own: save([page], ...) for page in pages_of(ax)",
        )
    import matplotlib as mpl

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(SETTINGS):
            if len(pages) > 1:
                _save_pages(pages, target)
            else:
                more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if ending == "png" else {}
                pages[0].savefig(target, format=ending, dpi=dpi, metadata=METADATA.get(ending), **more)
        if ending == "eps":
            _forget_date(target)
        if ending == "svg":
            _write_words(target, pages[0], title, description)
    except (OSError, ValueError) as problem:
        raise InputError(
            f"the figure cannot be written to {target}: {problem}",
            "a folder that can be written to, and a size that the format can hold",
            "choose another folder, a smaller dpi, or a .svg or .pdf",
        ) from problem
    return target


def _is_one(figure: object) -> bool:
    """Return whether it is one figure, and no sequence of pages."""
    return not isinstance(figure, list | tuple)


def _check_figure(figure: Any) -> None:
    """Refuse what is no figure, no part of one and no list of pages."""
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    pages = [figure] if _is_one(figure) else figure
    wrong = [page for page in pages if not isinstance(page, Axes | FigureBase)]
    if wrong or not pages:
        name = "figure" if _is_one(figure) else "a page"
        raise InputError(
            f"{name} is {describe(wrong[0])}" if wrong else "figure is an empty list",
            "a figure of matplotlib, any of its Axes, or a list of pages",
            "hand in what mx.plots.forest(...) returned",
        )


def _save_pages(pages: Sequence[Figure], target: Path) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(target, metadata=METADATA["pdf"]) as book:
        for page in pages:
            book.savefig(page)


def _forget_date(target: Path) -> None:
    """Take the name of the file and the date out of the head of an EPS."""
    head = re.compile(rb"^%%(Title|CreationDate): [^\n]*\n", re.MULTILINE)
    target.write_bytes(head.sub(b"", target.read_bytes(), count=2))


def _write_words(target: Path, figure: Figure, title: str | None, description: str | None) -> None:
    """Write title and alternative text into an SVG, and fonts that stand in for its own."""
    plans = plans_of(figure)
    title = title or next((plan.title for plan in plans if plan.title), "") or "Figure"
    description = description or " ".join(plan.alternative for plan in plans) or title
    text = target.read_text(encoding="utf-8")
    text = re.sub(rf"'{DEJAVU}'(?:, sans-serif)?", AS_WIDE, text)
    title, description = (
        "".join(s if s.isprintable() else " " for s in said) for said in (title, description)
    )
    words = f" <title>{escape(title)}</title>\n <desc>{escape(description)}</desc>\n"
    head = re.search(r"<svg [^>]*>\n", text)
    if head is None:
        raise InputError("the SVG has no head", "a file as matplotlib writes it")
    opening = head[0].replace("<svg ", '<svg role="img" ', 1)
    target.write_text(text[: head.start()] + opening + words + text[head.end() :], encoding="utf-8")


@checked
def overlapping_texts(ax: Axes | Figure | SubFigure, tolerance: float = 0.5) -> list[tuple[str, str]]:
    """Return the pairs of texts of a figure that overlap as drawn, and those that leave the figure.

    Use it in tests of figures of your own.

    Parameters
    ----------
    ax : matplotlib Axes, Figure or SubFigure
        The figure, or any part of it; the whole figure is looked at.
    tolerance : float
        Overlap in points that does not count.

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
    import matplotlib as mpl

    figure = whole_figure(ax)
    with mpl.rc_context(SETTINGS):
        boxes = _boxes_of_texts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    slack = tolerance * figure.dpi / 72
    return overlapping(boxes, slack) + [
        (name, "leaves the figure")
        for name, (x0, y0, x1, y1) in boxes
        if x0 < -slack or y0 < -slack or x1 > width + slack or y1 > height + slack
    ]


def overlapping(boxes: Sequence[tuple[str, Box]], tolerance: float) -> list[tuple[str, str]]:
    """Return the pairs of named boxes that overlap by more than a tolerance, in the order of the boxes.

    Boxes are looked at from the lowest second coordinate to the highest, so that only those of about one
    height are compared.
    """
    found: list[tuple[int, int]] = []
    near: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i][1][1]):
        left, low, right, high = boxes[i][1]
        near = [j for j in near if low + tolerance < boxes[j][1][3]]
        found += [
            (min(i, j), max(i, j))
            for j in near
            if left + tolerance < boxes[j][1][2]
            and boxes[j][1][0] + tolerance < right
            and boxes[j][1][1] + tolerance < high
        ]
        near.append(i)
    return [(boxes[i][0], boxes[j][0]) for i, j in sorted(found)]


def _boxes_of_texts(figure: Figure) -> list[tuple[str, Box]]:
    """Return the texts of a figure with their places in pixels."""
    from matplotlib.axis import Axis
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.text import Text

    figure.draw_without_rendering()
    size = int(figure.bbox.width), int(figure.bbox.height)
    renderer = RendererAgg(*size, figure.dpi)  # type: ignore[no-untyped-call]
    axes = [one for one in figure.findobj(Axis) if one.axes.axison and one.get_visible()]
    hidden = {id(text) for one in figure.findobj(Axis) for text in one.findobj(Text)}
    # of an axis only what is drawn: labels of ticks within the view
    shown = {id(text) for one in axes for text in _texts_of_axis(one)}
    boxes: list[tuple[str, Box]] = []
    for text in figure.findobj(Text):
        if id(text) in hidden and id(text) not in shown:
            continue
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent(renderer)
            if box.bounds == (0.0, 0.0, 1.0, 1.0):  # words of a place outside the panel, which are not drawn
                continue
            boxes.append((text.get_text(), (box.x0, box.y0, box.x1, box.y1)))
    return boxes


def _texts_of_axis(axis: Any) -> list[Any]:
    """Return label, offset and the labels of the ticks of an axis that are drawn."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    ticks = zip(axis.get_majorticklocs(), axis.get_major_ticks(), strict=True)
    drawn = [tick for place, tick in ticks if low - slack <= place <= high + slack]
    return [axis.label, axis.offsetText, *(label for tick in drawn for label in (tick.label1, tick.label2))]
