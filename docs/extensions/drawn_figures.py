"""The directives ``drawn``, a script and the figure that it draws, made while the page is built; and
``drawn-overview``, small pictures of all of them, each leading to its section.

::

    .. drawn:: forest

       import metaexo as mx
       ax = mx.plots.forest(...)

What is shown is the figure of `ax`, with all its pages, as the SVG that ``mx.plots.save`` writes, at its
printed size; its alternative text is made from its plans. A script that fails is an error of the build.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from opening import opening_image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import metaexo as mx

ROOT = Path(__file__).resolve().parents[2]
MADE = Path("_build") / "drawn"  # below docs/
# The heading of a section, and the name of the figure in it.
FIGURES = re.compile(r"^(.+)\n~+\n\n(?:(?!\.\. ).*\n)*\.\. drawn:: (\w+)$", re.MULTILINE)


class Drawn(SphinxDirective):
    """``.. drawn:: name`` shows the script in its content, and its figure."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        for path in (ROOT / "metaexo").rglob("*.py"):
            self.env.note_dependency(str(path))
        script, name = "\n".join(self.content), self.arguments[0]
        try:
            with contextlib.chdir(ROOT):
                pictures = draw(script, Path(self.env.srcdir) / MADE, name)
        except Exception as problem:  # whatever it is, the page lacks a figure
            raise self.error(f"the script of figure {name!r} failed: {problem!r}") from problem
        code = nodes.literal_block(script, script, language="python")
        return [code, *(opening_image(f"/{MADE / path.name}", words) for path, words in pictures)]


class Overview(SphinxDirective):
    """``.. drawn-overview::`` shows the first page of every figure of this page, in a small size."""

    def run(self) -> list[nodes.Node]:
        source = Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")
        overview = nodes.container(classes=["thumbnails"])
        for title, name in FIGURES.findall(source):
            picture = nodes.image(uri=f"/{MADE / name}.svg", alt="", loading="lazy")
            words, anchor = nodes.inline("", title), nodes.make_id(title)
            link = nodes.reference("", "", picture, words, refuri=f"#{anchor}", internal=True)
            overview += nodes.paragraph("", "", link)
        return [overview]


def draw(script: str, folder: Path, name: str) -> list[tuple[Path, str]]:
    """Run a script and save the figure of its `ax`; return its files, one per page, and what they show."""
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__"}
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.RowsWithoutEffectWarning)  # the rule in our sheets
        exec(compile(script, name, "exec"), names)
        pages = mx.plots.pages_of(names["ax"])
        files = [folder / f"{name}{f'_{i}' if i else ''}.svg" for i in range(len(pages))]
        for page, file in zip(pages, files, strict=True):
            mx.plots.save([page], file)
    words = [" ".join(plan.alternative for plan in mx.plots.plans_of(page)) for page in pages]
    plt.close("all")
    return list(zip(files, words, strict=True))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("drawn", Drawn)
    app.add_directive("drawn-overview", Overview)
    return {"parallel_read_safe": True}
