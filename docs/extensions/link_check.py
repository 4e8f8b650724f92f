"""Every link inside the documentation leads somewhere: checked in the pages as written, without a network.

Sphinx checks the references that it resolves; this looks at what stands in the pages, whoever wrote it:
links, anchors, pictures, style sheets, scripts and downloads, and that every picture says what it shows. A
link that leads nowhere is a warning, which stops the build.
"""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
ANCHOR = re.compile(r'<[a-zA-Z][^>]*?\s(?:id|name)="([^"]*)"')
LINK = re.compile(r'<[a-zA-Z][^>]*?\s(?:href|src)="([^"]*)"')
IMAGE = re.compile(r"<img\b[^>]*>")
# Code and what is shown as text is no link.
NO_PAGE = re.compile(r"<script\b(?![^>]*\bsrc=).*?</script>|<!--.*?-->", re.DOTALL)


def broken(folder: Path) -> list[tuple[str, str]]:
    """Return the pages with a link that leads nowhere, or a picture without words, and which it is."""
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: NO_PAGE.sub("", path.read_text(encoding="utf-8")) for path in paths}
    anchors = {path: {unescape(name) for name in ANCHOR.findall(text)} for path, text in pages.items()}
    there: dict[str, bool] = {}
    found = []
    for path, text in pages.items():
        name = path.relative_to(folder).as_posix()
        found += [(name, image) for image in IMAGE.findall(text) if "alt=" not in image]
        for link in sorted({unescape(link) for link in LINK.findall(text)}):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            key = str(target)
            if key not in there:
                there[key] = target.is_file()
            lost = parts.fragment and target in anchors and unquote(parts.fragment) not in anchors[target]
            if not there[key] or lost:
                found.append((name, link))
    return found


def check(app: Sphinx, problem: Exception | None) -> None:
    if problem is None and app.builder.name == "html":
        for page, link in broken(Path(app.outdir)):
            LOGGER.warning("%s: %s leads nowhere", page, link)


def setup(app: Sphinx) -> dict[str, bool]:
    """Check the pages when all are written."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
