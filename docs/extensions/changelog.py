"""The directive ``changelog``: CHANGELOG.md as a page, with its headings in the contents."""

from __future__ import annotations

import re
from pathlib import Path

from answers import plain
from docutils import nodes
from docutils.statemachine import StringList
from findings import marked, table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
UNDERLINES = {"##": "-", "###": "~"}


class Changelog(SphinxDirective):
    """``.. changelog::`` shows what has changed."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        lines = as_rst(FILE.read_text(encoding="utf-8"))
        return self.parse_text_to_nodes(StringList(lines, source=str(FILE)), allow_section_headings=True)


def as_rst(text: str) -> list[str]:
    """Return the page below its title: headings, paragraphs, tables, and lists, also in lists."""
    text = re.sub(r"\n +(?!- )(?=\S)", " ", text)  # an item goes on where the next line is indented
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip())[1:]:
        if block.startswith("|"):
            lines += table(block)
            continue
        before = 0
        for line in block.splitlines():
            head, indent = re.fullmatch(r"(#+) (.*)", line), len(line) - len(line.lstrip())
            if head:
                lines += [plain(head[2]), UNDERLINES[head[1]] * len(plain(head[2]))]
                continue
            lines += [""] * (indent != before) + [" " * indent + marked(line.lstrip())]
            before = indent
        lines.append("")
    return lines


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("changelog", Changelog)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
