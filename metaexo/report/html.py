"""The report as a page: one file that needs no network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metaexo.formatting import legible
from metaexo.report.content import LONG_TEXT, LONGEST_WORD, SHORT, Report, ReportFigure, ReportTable
from metaexo.report.drawings import Drawings, inline_svg
from metaexo.report.workbook import csv_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = "metaexo.report"
# Letters side by side on A4, and on A4 turned on its side, in the size in which tables are printed.
ACROSS, ACROSS_TURNED = 126, 185
LONG = 30  # rows of a table that scrolls within its frame on a screen
# What is a link in a text: digital object identifiers, alone or as an address.
_LINK = re.compile(
    r"(?P<url>https?://(?:dx\.)?doi\.org/[^\s<>\"]+)|(?:doi:\s?)?(?P<doi>\b10\.\d{4,9}/[^\s<>\"]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table as the page shows it."""

    heading: str
    number: bool
    kind: str  # number, words (texts that need room), broken (long words that may be broken), or neither
    cells: list[tuple[str, str]]  # what is read, and what it is sorted by


def html_page(report: Report) -> str:
    """Return a report as one HTML page, with its figures, styles and script in it.

    Use it to show a report in a browser, or to hand it on as a single file.

    Parameters
    ----------
    report : Report
        What the page says.

    Returns
    -------
    str
        The page. The same report gives the same text. Every text of the report is shown as it stands: nothing
        in it is taken for markup, and only DOIs become links: an address in a cell stays text.

    Raises
    ------
    InputError
        If it is no report.
    """
    with Drawings.of(report) as drawings:
        return page_with(report, drawings)


def page_with(report: Report, drawings: Drawings) -> str:
    """Return the page of a report whose figures are drawn for other forms as well."""
    environment = _environment()
    style, script = (_source(environment, name) for name in ("page.css", "page.js"))
    widths = {id(one): sum(one.seen.letters(name) + 2 for name in one.columns) for one in report.tables}
    figures = {id(one): (i, _pictures(drawings, one)) for i, one in enumerate(report.figures, start=1)}
    tables = {id(one): (i, list(_columns(one.seen))) for i, one in enumerate(report.tables, start=1)}
    page: str = environment.get_template("page.html").render(
        report=report,
        parts=_parts(report),
        style=style,
        script=script,
        policy=(
            f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        figures=figures,
        tables=tables,
        traces={trace.name: f"trace-{i}" for i, trace in enumerate(report.traces, start=1)},
        script_text="\n".join(map(legible, report.script.split("\n"))),
        wide={one for one, width in widths.items() if width > ACROSS},
        squeezed={one for one, width in widths.items() if width > ACROSS_TURNED},
        long=LONG,
        short=SHORT,
    )
    return page


def _parts(report: Report) -> list[tuple[str, str]]:
    """Return anchors and titles of the parts of the page below the answer, for the list of contents."""
    parts = [(f"part-{i}", part.title) for i, part in enumerate(report.sections, start=1)]
    parts += [("traces", "How each number came about")] if report.traces else []
    parts += [("script", "The same numbers in Python")] if report.script else []
    return [*parts, *([("facts", "Versions and settings")] if report.facts else [])]


def _columns(table: ReportTable) -> Iterator[_Column]:
    for name in table.columns:
        number = table.is_number(name)
        values = (
            [repr(float(v)) if v == v else "" for v in table.frame[name].astype(float)] if number else None
        )
        texts = table.texts(name)
        words = max((len(word) for text in texts for word in text.split()), default=0)
        long = "words" if max(map(len, texts), default=0) > LONG_TEXT else ""
        kind = "number" if number else f"{long} broken".strip() if words > LONGEST_WORD else long
        sorted_by = values or [""] * len(texts)
        yield _Column(table.headings[name], number, kind, list(zip(texts, sorted_by, strict=True)))


def _pictures(drawings: Drawings, figure: ReportFigure) -> list[Markup]:
    from markupsafe import Markup

    names = drawings.names(figure)
    return [
        Markup(inline_svg(path, f"figure-{name}"))
        for name, path in zip(names, drawings.files(figure, "svg"), strict=True)
    ]


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _source(environment: Environment, name: str) -> Markup:
    """Return a style or a script of ours, which stands in the page as it is."""
    from markupsafe import Markup

    if environment.loader is None:
        raise LookupError(name)
    return Markup(environment.loader.get_source(environment, name)[0])


def linked(text: str) -> Markup:
    """Return text for a page in which DOIs are links; any other address may be of a cell, and is text."""
    from markupsafe import Markup, escape

    text, done = legible(text), 0
    pieces: list[str] = []
    for found in _LINK.finditer(text):
        said = found[0].rstrip(".,;:!?'")
        while said.endswith((")", "]")) and said.count(said[-1]) > said.count(
            "(" if said[-1] == ")" else "["
        ):
            said = said[:-1].rstrip(".,;:!?'")
        address = said if found["url"] else "https://doi.org/" + said[said.index("10.") :]
        pieces += [str(escape(text[done : found.start()]))]
        pieces += [f'<a href="{escape(address)}" rel="noreferrer">{escape(said)}</a>']
        done = found.start() + len(said)
    return Markup("".join([*pieces, str(escape(text[done:]))]))


def _lines(text: str) -> tuple[str, str]:
    """Return the first line of a text, and its other lines as they stand, less what all are indented by."""
    first, *rest = (legible(line) for line in text.split("\n"))
    return first, textwrap.dedent("\n".join(rest))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    kinds: dict[str, Any] = {"linked": linked, "id": id, "lines": _lines, "legible": legible, "csv": csv_text}
    made.filters.update(kinds)
    made.tests["of_kind"] = lambda block, kind: type(block).__name__ == kind
    return made
