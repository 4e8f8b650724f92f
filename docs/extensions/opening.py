"""The directive ``opening-figure``, and the picture in it: one that opens at its full size on a click.

::

    .. opening-figure:: /../figures/02_shares.svg
       :alt: What is seen

       A caption.

On a narrow screen the picture keeps a readable size and scrolls within itself.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

PIXELS_PER_POINT = 4 / 3
SIZE = re.compile(r'<svg[^>]*? height="([\d.]+)pt"[^>]*? width="([\d.]+)pt"|'
                  r'<svg[^>]*? width="([\d.]+)pt"[^>]*? height="([\d.]+)pt"', re.DOTALL)  # fmt: skip


class OpeningImage(nodes.image):
    """A picture that is a link to itself."""


class OpeningFigure(SphinxDirective):
    """``.. opening-figure:: file`` shows a picture with its caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        figure = nodes.figure("", opening_image(self.arguments[0], self.options["alt"]), align="default")
        words = self.parse_content_to_nodes()
        if words and isinstance(words[0], nodes.paragraph):
            figure += nodes.caption("", "", *words[0].children)
        return [figure]


def opening_image(uri: str, alt: str) -> OpeningImage:
    """Return a picture that opens; `uri` starts at the folder of the documentation."""
    return OpeningImage(uri=uri, alt=alt)


def size_of(path: Path) -> str:
    """Return the attributes of size for an SVG in points, so that a page does not jump while it loads."""
    found = SIZE.search(path.read_text(encoding="utf-8")[:2000]) if path.suffix == ".svg" else None
    if found is None:
        return ""
    height, width = (found[1], found[2]) if found[1] else (found[4], found[3])
    return f' width="{float(width) * PIXELS_PER_POINT:.0f}" height="{float(height) * PIXELS_PER_POINT:.0f}"'


def visit(self: HTML5Translator, node: OpeningImage) -> None:
    builder, uri = self.builder, node["uri"]
    where = Path(builder.srcdir) / uri
    if uri in builder.images:
        uri = posixpath.join(builder.imgpath, quote(builder.images[uri]))
    alt = html.escape(node["alt"])
    self.body.append(f'<a class="opens" href="{uri}" title="Open at full size"><img src="{uri}" alt="{alt}"')
    self.body.append(f'{size_of(where)} loading="lazy"/></a>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive and its picture known to Sphinx."""
    app.add_node(OpeningImage, html=(visit, None))
    app.add_directive("opening-figure", OpeningFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
