"""The figures of a report as files and as text: each is drawn once per format, and read by every form."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from xml.etree import ElementTree

from metaexo.formatting import legible
from metaexo.plots import pages_of, save
from metaexo.plots.canvas.plan import whole_figure
from metaexo.report.content import Report, ReportFigure, check_report

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"
# What a reader sees of a figure that is 7 inches wide on a screen of usual size: letters of 12 pixels.
PIXELS_PER_POINT = 1.65
_REFERENCE = re.compile(r"(?:url\()?#([^\s()]+)\)?")
_FONT = re.compile(
    r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>bold|\d{3}) )?(?P<size>[\d.]+px) (?P<family>.+)"
)


@dataclass(slots=True)
class Drawings:
    """The figures of one report, drawn into a folder of its own; a context manager that removes it.

    Attributes
    ----------
    figures : mapping of str to ReportFigure
        The figures by the names of their files, which every system can hold.
    """

    figures: dict[str, ReportFigure]
    _folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    @classmethod
    def of(cls, report: Report) -> Self:
        """Return the drawings of a report; nothing is drawn before it is asked for."""
        check_report(report)
        names = file_names([one.name for one in report.figures])
        return cls(dict(zip(names, report.figures, strict=True)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def names(self, figure: ReportFigure) -> tuple[str, ...]:
        """Return the names of the pages of a figure, without their endings: one, or NAME_1, NAME_2, ..."""
        name = next(name for name, one in self.figures.items() if one is figure)
        pages = len(pages_of(figure.figure))
        return (name,) if pages < 2 else tuple(f"{name}_{i + 1}" for i in range(pages))

    def files(self, figure: ReportFigure, ending: str) -> tuple[Path, ...]:
        """Return the files of a figure in one format, one per page; a PDF holds all pages."""
        folder = Path(self._folder.name)
        if ending == "pdf":
            name = next(name for name, one in self.figures.items() if one is figure)
            return (self._drawn(figure.figure, folder / f"{name}.pdf", figure),)
        names = self.names(figure)
        if len(names) == 1:
            return (self._drawn(figure.figure, folder / f"{names[0]}.{ending}", figure),)
        return tuple(
            self._drawn([page], folder / f"{name}.{ending}", figure)
            for name, page in zip(names, pages_of(figure.figure), strict=True)
        )

    def _drawn(self, page: Figure | list[Axes], path: Path, figure: ReportFigure) -> Path:
        if not path.exists():
            save(page, path, title=legible(figure.title), description=legible(figure.alternative))
            for one in pages_of(
                figure.figure
            ):  # laid out anew for each format, parts would move by hundredths
                whole_figure(one).set_layout_engine("none")
        return path


def file_names(names: list[str]) -> list[str]:
    """Return names of files that every system can hold, each once, whatever the case of their letters.

    Examples
    --------
    >>> file_names(["forest", "Forest", "con", "a/b: <c>", "été"])
    ['forest', 'forest_2', 'con_', 'a_b_c', 't']
    """
    made: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-")[:80] or "unnamed"
        plain = f"{plain}_" if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", plain) else plain
        count, unique = 1, plain
        while unique in made:
            count += 1
            unique = f"{plain}_{count}"
        made.append(unique)
    return made


def inline_svg(path: Path, name: str) -> str:
    """Return an SVG file of ours as an element of a page: scaled by it, and with identifiers of its own.

    path : the file, as `metaexo.plots.save` writes it. name : what its identifiers begin with.

    Styles become attributes, since a page that allows no styles but its own would not show them.
    """
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", LINK)
    root = ElementTree.parse(path).getroot()
    wide, high = (float(size) for size in root.attrib["viewBox"].split()[2:])
    links = (value for one in root.iter() for value in one.attrib.values())
    used = {found[1] for value in links for found in [_REFERENCE.fullmatch(value)] if found}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _use_attributes(element)
        identifier = element.attrib.pop("id", "")
        if identifier in used:
            element.set("id", f"{name}-{identifier}")
        for key, value in element.attrib.items():
            if key in ("clip-path", f"{{{LINK}}}href"):
                element.set(key, value.replace("#", f"#{name}-"))
    root.attrib.pop("version", None)
    root.attrib.update(
        {"width": f"{wide * PIXELS_PER_POINT:.0f}", "height": f"{high * PIXELS_PER_POINT:.0f}"}
    )
    # as the file says for all of its elements
    root.attrib.update({"stroke-linejoin": "round", "stroke-linecap": "butt", "class": "drawing"})
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-words"})
    for tag, identifier in (("title", "title"), ("desc", "words")):
        found = root.find(f"{{{SVG}}}{tag}")
        if found is not None:
            found.set("id", f"{name}-{identifier}")
    return ElementTree.tostring(root, encoding="unicode")


def _use_attributes(element: Element) -> None:
    """Turn the style of an element into attributes."""
    for rule in element.attrib.pop("style", "").split(";"):
        key, colon, value = (part.strip() for part in rule.partition(":"))
        if not colon:
            continue
        font = _FONT.fullmatch(value) if key == "font" else None
        if font is not None:
            parts = {f"font-{part}": said for part, said in font.groupdict().items() if said}
            element.attrib.update(parts)
        else:
            element.set(key, value)


@contextmanager
def usual_settings() -> Iterator[None]:
    """Draw with matplotlib's own settings, whatever those of the user are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["figure.max_open_warning"] = 0
        yield
