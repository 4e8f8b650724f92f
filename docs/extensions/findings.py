"""The directive ``finding``: what one analysis asked, answered, drew, wrote and did.

::

    .. finding:: 03_isolation_methods

It shows what is committed in `analyses/results` and `figures`, which ``make check`` holds to what the
script makes; nothing is run here. The page's title has to be the question of the script.
"""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

from answers import FILE, plain, row
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaexo.report.answers import read_answers
from metaexo.report.collected import MANIFEST, SUMMARY, read_manifest

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURES = ROOT / "analyses" / "results", ROOT / "figures"


class Finding(SphinxDirective):
    """``.. finding:: name`` shows one analysis."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        script = ROOT / "analyses" / f"{name}.py"
        if not script.is_file():
            raise self.error(f"there is no analysis {name!r}")
        title, how = question(script)
        if title != self.state.document.next_node(nodes.title).astext():
            raise self.error(f"the title of this page has to be the question of {script.name}: {title}")
        for path in (script, FILE, RESULTS / SUMMARY, FIGURES / MANIFEST):
            self.env.note_dependency(str(path))
        lines = [*answer(name), *figures(name), *text(name), "How it was done", "-" * 15, "", how, ""]
        lines += [*tables(name), *folded(script)]
        return self.parse_text_to_nodes(StringList(lines, source=str(script)), allow_section_headings=True)


def question(script: Path) -> tuple[str, str]:
    """Return the title of a script and the rest of its docstring."""
    doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    title, _, rest = doc.partition("\n")
    return title, rest.partition("\n")[2].strip()


def answer(name: str) -> list[str]:
    """Return the answer in a box, then what else is known, and what would settle the rest."""
    said = [one for one in read_answers(FILE) if one.script == name]
    lines = []
    for one in said:
        if one.part == "answer":
            lines += [".. admonition:: Answer", "   :class: note answer", "", f"   {plain(one.words)}", ""]
            rests = f"Rests on {one.k:,} effects or groups from {one.m:,} {one.units}."
            reasons = f" ({plain(one.reasons)})" if one.reasons else ""
            lines += [f"   {rests} Certainty: {one.certainty}{reasons}.", ""]
    for part, head in (("known", "What is known besides"), ("settle", "What would settle it")):
        found = [f"- {plain(one.words)}" for one in said if one.part == part]
        lines += [f".. rubric:: {head}", "", *found, ""] if found else []
    return lines


def figures(name: str) -> list[str]:
    """Return the figures of an analysis; each opens at its full size."""
    drawn = [one for one in read_manifest(FIGURES / MANIFEST) if one.script == name]
    lines = []
    for one in drawn:
        if one.file.endswith(".svg"):
            picture = f"/../figures/{one.file}"
            lines += [
                f".. opening-figure:: {picture}",
                f"   :alt: {one.title}",
                "",
                f"   {plain(one.title)}.",
                "",
            ]
    return ["Figures", "-------", "", *lines] if lines else []


def text(name: str) -> list[str]:
    """Return the part of summary.md on an analysis, without heading and answer, as reStructuredText."""
    parts = re.split(r"<!-- (\w+) -->\n", (RESULTS / SUMMARY).read_text(encoding="utf-8"))
    written = dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, "")
    lines = ["Results", "-------", ""]
    for block in re.split(r"\n\s*\n", written.strip())[2:]:
        lines += table(block) if block.startswith("|") else [*map(marked, block.splitlines()), ""]
    return lines


def marked(line: str) -> str:
    """Return a line of Markdown, text or an item of a list, as reStructuredText."""
    item, line = ("- ", line[2:]) if line.startswith("- ") else ("", line)
    parts = [plain(part) for part in line.split("**")]
    return item + "".join(f"**{part}**" if i % 2 else part for i, part in enumerate(parts))


def table(block: str) -> list[str]:
    """Return a table of Markdown as a list-table."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines()]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in (cells for cells in rows if not set("".join(cells)) <= set("-: ")):
        lines += row(*map(plain, cells))
    return [*lines, ""]


def tables(name: str) -> list[str]:
    """Return the tables that an analysis wrote, with what they hold, to download."""
    lines = ["Its tables, with every number above, as CSV files:", ""]
    for path in sorted(RESULTS.glob(f"{name[:2]}_*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            heads, *rows = csv.reader(file)
        count = f"{len(rows):,} row{'s' * (len(rows) != 1)}"
        shown = ", ".join(f"``{head}``" for head in heads[:5]) + (" and others" if len(heads) > 5 else "")
        lines += [f"- :download:`{path.name} </../analyses/results/{path.name}>`: {count} of {shown}"]
    return [*lines, ""]


def folded(script: Path) -> list[str]:
    """Return the script, folded, with the command that runs it."""
    lines = [f"To run it again: ``metaexo reproduce {script.name[:2]}``.", ""]
    lines += [f".. dropdown:: The script, analyses/{script.name}", "   :icon: code", ""]
    return [*lines, f"   .. literalinclude:: /../analyses/{script.name}", "      :language: python", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("finding", Finding)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
