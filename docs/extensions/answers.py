"""The directives ``main-answer`` and ``answers``: what the analyses found."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metaexo.report.answers import ANSWERS, Sentence, main_answer, read_answers

FILE = Path(__file__).resolve().parents[2] / "analyses" / "results" / ANSWERS


class MainAnswer(SphinxDirective):
    """``.. main-answer::`` shows the answer to the main question, and its figure."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        main = main_answer(read_answers(FILE))
        if main is None:
            raise self.error(f"{FILE.name} has no answer")
        lines = [f"**{plain(main.question)}** {plain(main.words)}", ""]
        lines += [f"Certainty: {main.certainty} ({plain(main.reasons)}).", ""]
        if main.figure:
            picture = f"/../figures/{main.figure}"
            lines += [f".. opening-figure:: {picture}", f"   :alt: {main.question}", ""]
        return self.parse_text_to_nodes(StringList(lines, source=str(FILE)))


class Answers(SphinxDirective):
    """``.. answers::`` shows what is known, what would settle the rest, and every answer."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        said = read_answers(FILE)
        lines = []
        for part, head in (("known", "What is known"), ("settle", "What would settle it")):
            found = [one for one in said if one.part == part]
            lines += [f".. rubric:: {head}", "", *(f"- {plain(one.words)}" for one in found), ""]
        lines += [".. rubric:: Question by question", "", *table(said)]
        return self.parse_text_to_nodes(StringList(lines, source=str(FILE)))


def table(said: list[Sentence]) -> list[str]:
    """Return the lines of a list-table, one row per question."""
    options = (":class: sentences answers", ":header-rows: 1", ":widths: 22 48 6 14 10")
    lines = [".. list-table::", *(f"   {option}" for option in options), ""]
    lines += row("Question", "Answer", "k", "Independent", "Certainty")
    for one in said:
        if one.part == "answer":
            question = f":doc:`{plain(one.question)} </findings/{one.script}>`"
            cells = (one.words, f"{one.k:,}", f"{one.m:,} {one.units}", one.certainty)
            lines += row(question, *map(plain, cells))
    return [*lines, ""]


def row(*cells: str) -> list[str]:
    first, *others = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def plain(text: str) -> str:
    """Return a text whose signs reStructuredText takes literally; names in backticks stay code."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        for sign in "\\*|_":
            parts[i] = parts[i].replace(sign, "\\" + sign)
    return "".join(part if i % 2 == 0 else f"``{part}``" for i, part in enumerate(parts))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known to Sphinx."""
    app.add_directive("main-answer", MainAnswer)
    app.add_directive("answers", Answers)
    return {"parallel_read_safe": True}
