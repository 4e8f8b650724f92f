"""Formulas as MathML, made while the documentation is built: a browser shows them without script or network.

A formula that the converter would show wrongly, such as a command that it does not know, is a warning, which
stops the build.
"""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

# What the converter lays out; it passes over the name of any other environment without a word.
KNOWN = {"split", "align*", "cases", "array", "matrix", "pmatrix", "bmatrix", "vmatrix"}
ROWS = re.compile(r"\\begin\{(?:split|align\*|cases|array|[pbv]?matrix)\}")
# A command as text, an ampersand as text, a break of the line that browsers pass over.
LEFT_OVER = re.compile(r"\\[A-Za-z]+|\\\\|<mi>&(?:amp;)?</mi>|linebreak=")
# What the converter writes otherwise than TeX sets it: the sign of a relation, names as operators with room
# on both sides, room around a slash and inside bars, capital Greek letters in italics, no room after log.
AS_TEX = [
    (r"<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>"),
    (r"<mo>([A-Za-z]{2,})</mo>", r"<mi>\1</mi>"),
    (
        r"<mo(?: stretchy=\"false\")?>(/|&#x0002F;|&#x0007C;|\|)</mo>",
        r'<mo lspace="0" rspace="0" stretchy="false">\1</mo>',
    ),
    (r"<mi>(&#x003(?:9[3-9A-F]|A[0-9]);)</mi>", r'<mi mathvariant="normal">\1</mi>'),
    # not where the name is the base of an index, which has to have two parts
    (
        r"(?<!<msub>)(?<!<msup>)(?<!<munder>)(<mi>(?:log|exp|max|min|tr)</mi>)(?=<m(?:i|n|su|over|frac|sqrt))",
        r'\1<mspace width="0.167em"/>',
    ),
]
LONG = 40  # characters of LaTeX; on a phone such a formula has a line of its own, which scrolls
LOGGER = logging.getLogger(__name__)


def mathml(latex: str, *, display: bool) -> str:
    """Return a formula as MathML; raise ValueError if some of it would be shown wrongly."""
    latex = latex.strip()
    for old in ("aligned", "align", "gather", "gathered"):
        latex = latex.replace(f"{{{old}}}", "{split}")
    unknown = set(re.findall(r"\\begin\{(.*?)\}", latex)) - KNOWN
    if unknown:
        raise ValueError(f"{latex!r}: the environment {unknown.pop()!r} is not known")
    if display and (r"\\" in latex or "&" in latex) and not ROWS.search(latex):
        latex = rf"\begin{{split}}{latex}\end{{split}}"
    try:
        made = convert(latex, display="block" if display else "inline")
    except Exception as problem:  # the converter has a class of its own for each fault
        raise ValueError(f"{latex!r}: {type(problem).__name__}") from problem
    for written_as, wanted in AS_TEX:
        made = re.sub(written_as, wanted, made)
    left_over = LEFT_OVER.search(made)
    if left_over:
        raise ValueError(f"{latex!r}: {left_over[0]!r} is left over")
    return made


def written(latex: str, node: nodes.Node, *, display: bool) -> str:
    """Return a formula as MathML, or as it stands with a warning."""
    try:
        return mathml(latex, display=display)
    except ValueError as problem:
        LOGGER.warning("formula %s", problem, location=node)
        return nodes.unescape(latex)


def inline(self: HTML5Translator, node: nodes.math) -> None:
    latex = node.astext()
    long = ' long" tabindex="0' if len(latex) > LONG else ""  # browsers do not break lines within a formula
    self.body.append(f'<span class="math{long}">{written(latex, node, display=False)}</span>')
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula; an empty line in it starts another. A long one scrolls, also by keys."""
    self.body.append(self.starttag(node, "div", CLASS="math", tabindex="0", role="group"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    parts = re.split(r"\n\s*\n", node.astext().strip())
    self.body += [written(part, node, display=True) for part in parts]
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Make this way to write formulas known to Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
