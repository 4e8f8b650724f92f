"""Every DOI in a text is a link: pages and docstrings write ``doi:10.1002/sim.1187``."""

from __future__ import annotations

import re
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx

# Brackets belong to a DOI only in pairs; a full stop or a comma at its end belongs to the sentence.
DOI = re.compile(
    r"""\bdoi:\s?(10\.\d{4,9}/(?:\([^\s()]*\)|<[^\s<>]*>|[^\s()<>"])*(?:[^\s()<>"'.,;:]|\([^\s()]*\)))"""
)
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


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the links when a page has been read."""
    app.connect("doctree-read", link_dois)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
