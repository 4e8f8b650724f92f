"""Every DOI in a text is a link: pages and docstrings write ``doi:10.1002/sim.1187``.

A paper below References in a docstring ends with its DOI, and each is a paragraph.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx

# Brackets belong to a DOI only in pairs; a full stop or a comma at its end belongs to the sentence.
DOI = re.compile(
    r"""\bdoi:\s?(10\.\d{4,9}/(?:\([^\s()]*\)|<[^\s<>]*>|[^\s()<>"])*(?:[^\s()<>"'.,;:]|\([^\s()]*\)))"""
)
ENDS = re.compile(r"(?:https://doi\.org/|doi:\s?)10\.\S+$")
AS_IT_STANDS = (nodes.FixedTextElement, nodes.literal, nodes.reference, nodes.title)


def link_dois(app: Sphinx, document: nodes.document) -> None:
    for text in list(document.findall(nodes.Text)):
        parts = DOI.split(text.astext())
        above = text.parent
        while above is not None and not isinstance(above, AS_IT_STANDS):
            above = above.parent
        if len(parts) == 1 or above is not None:
            continue
        made: list[nodes.Node] = []
        for i, part in enumerate(parts):
            address = f"https://doi.org/{quote(part, safe='/:;()')}"
            made.append(nodes.reference("", f"doi:{part}", refuri=address) if i % 2 else nodes.Text(part))
        text.parent.replace(text, made)


def part_papers(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Put an empty line after each paper below References."""
    if "References" not in lines:
        return
    for i in range(len(lines) - 2, lines.index("References"), -1):
        if ENDS.search(lines[i]) and lines[i + 1].strip():
            lines.insert(i + 1, "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Part the papers before a docstring is read, and make the links when a page has been read."""
    app.connect("autodoc-process-docstring", part_papers, priority=100)
    app.connect("doctree-read", link_dois)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
