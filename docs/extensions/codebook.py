"""The directive ``codebook``: the columns of one sheet, as a table made from data/datapackage.json.

That of the template is made from the template, which takes what may stand in a column from the codebook.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaexo.evidence.codebook import load_codebook
from metaexo.evidence.template import FIELDS, column_of, list_of

CODEBOOK = Path(__file__).resolve().parents[2] / "data" / "datapackage.json"
MOST_WORDS = 20
"""Longer lists are those of the vocabularies, which have pages of their own."""


class Codebook(SphinxDirective):
    """``.. codebook:: outcomes`` shows what each column of `outcomes.csv` holds; or ``template``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(CODEBOOK))
        if self.arguments[0] == "template":
            return self.parse_text_to_nodes(StringList(template(), source="template"))
        package = json.loads(CODEBOOK.read_text(encoding="utf-8"))
        resources = {resource["name"]: resource for resource in package["resources"]}
        name = self.arguments[0]
        if name not in resources:
            raise self.error(f"no sheet {name!r}; the sheets are {', '.join(resources)}")
        return self.parse_text_to_nodes(StringList(table(resources[name]), source=str(CODEBOOK)))


def table(resource: dict[str, Any]) -> list[str]:
    """Return the lines of a list-table, one row per column of the sheet."""
    lines = [resource["description"], "", ".. list-table::", "   :header-rows: 1", "   :widths: 22 12 66", ""]
    lines += row("Column", "Type", "What it holds")
    for field in resource["schema"]["fields"]:
        lines += row(f"``{field['name']}``", field["type"], what_it_holds(field))
    return [*lines, ""]


def template() -> list[str]:
    """Return the lines of a list-table, one row per column of the template, in its order."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 22 16 62", ""]
    lines += row("Column", "Block", "What to write")
    codebook = load_codebook()
    for field in FIELDS:
        column, words = column_of(field, codebook), list_of(field, codebook)
        text = ("**Needed.** " if column.required else "") + literal(field.note)
        if words and not field.free and len(words) < MOST_WORDS:
            text += " One of: " + ", ".join(f"``{word}``" for word in words) + "."
        lines += row(f"``{field.name}``", field.group, text)
    return [*lines, ""]


def row(*cells: str) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def literal(text: str) -> str:
    """Return a text with the signs that reStructuredText would read as markup taken literally."""
    for sign in "\\*`|_":
        text = text.replace(sign, "\\" + sign)
    return text


def what_it_holds(field: dict[str, Any]) -> str:
    """Return a column's description with its unit and the words that are allowed in it, if there are any."""
    text = literal(field["description"])
    if "unit" in field:
        text += f" Unit: {literal(field['unit'])}."
    words = field.get("constraints", {}).get("enum", [])
    return text + (" One of: " + ", ".join(f"``{word}``" for word in words) + "." if words else "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("codebook", Codebook)
    return {"parallel_read_safe": True}
