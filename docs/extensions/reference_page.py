"""Writes reference.rst, and a page per room, from the public names, so that no name can be missing."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import metaexo

# In the order in which a reader meets them; rooms that are not built yet are passed over.
ROOMS = {
    "evidence": "Evidence",
    "effects": "Effects",
    "models": "Models",
    "heterogeneity": "Heterogeneity",
    "sensitivity": "Sensitivity",
    "bias": "Small-study effects and selection",
    "safety": "Safety: rare and zero events",
    "planning": "Planning",
    "plots": "Figures",
    "report": "Reports and reproduction",
    "runs": "Long runs",
    "datasets": "Data sets",
}
HEAD = """Reference
=========

``import metaexo as mx`` gives the names directly under ``metaexo``; others are reached through their modules:
``mx.models.FitResults``. Each module has a page:

.. list-table::
   :header-rows: 1
   :widths: 30 60 10

   * - Module
     - What it is for
     - Names
"""
ROOM = """   * - :doc:`{title} <api/{name}>`
     - {intro}
     - {count}
"""
TOP = """
Directly under metaexo
----------------------

.. autosummary::
   :nosignatures:

{names}

.. toctree::
   :hidden:

{pages}
   changes
"""
ERRORS = """Errors and warnings
===================

.. automodule:: metaexo.errors
   :members:
"""


def write(docs: Path) -> None:
    """Write `reference.rst`, and in `api/` a page per room and per name, where one is not as it should be."""
    api = docs / "api"
    api.mkdir(exist_ok=True)
    rooms = {name: title for name, title in ROOMS.items() if find_spec(f"metaexo.{name}")}
    pages, text, listed = {"errors": ERRORS}, HEAD, set()
    for name, title in rooms.items():
        module = import_module(f"metaexo.{name}")
        names = sorted(
            (shortest_name(module.__name__, public) for public in public_names(module)),
            key=order_of_appearance,
        )
        listed.update(names)
        intro = " ".join((inspect.getdoc(module) or "").split("\n\n", 1)[0].split())
        text += ROOM.format(title=title, name=name, intro=intro, count=len(names))
        pages[name] = page(title, f"metaexo.{name}", intro, names)
        pages |= {public: page_of_one(public) for public in names}
    text += ROOM.format(
        title="Errors and warnings", name="errors", intro="What is raised, and what to do.", count=""
    )
    at_the_top = sorted((name for name in listed if name.count(".") == 1), key=order_of_appearance)
    links = [f"   api/{name}" for name in (*rooms, "errors")]
    text += TOP.format(names="\n".join(f"   {name}" for name in at_the_top), pages="\n".join(links))
    for stale in api.glob("*.rst"):
        if stale.stem not in pages:
            stale.unlink()
    wanted = {docs / "reference.rst": text} | {api / f"{name}.rst": words for name, words in pages.items()}
    for path, words in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != words:
            path.write_text(words, encoding="utf-8")


def page(title: str, module: str, intro: str, names: list[str]) -> str:
    """Return the page on one room: names directly under metaexo, then other functions, then classes."""
    first = [name for name in names if name.count(".") == 1]
    others = [name for name in names if name not in first]
    classes = [name for name in others if name.rpartition(".")[2][0].isupper()]
    functions = [name for name in others if name not in classes]
    lines = [title, "=" * len(title), "", intro, ""]
    for head, part in (
        ("Directly under metaexo", first),
        ("Functions", functions),
        ("Classes: what is given and returned", classes),
    ):
        if part:
            lines += [
                head,
                "-" * len(head),
                "",
                ".. autosummary::",
                "   :toctree: .",
                "   :nosignatures:",
                "",
            ]
            lines += [*(f"   {name}" for name in part), ""]
    return "\n".join([*lines, f".. module:: {module}", ""])


def page_of_one(name: str) -> str:
    """Return the page on one class or function, which is filled from its docstring."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    kind = "function"
    if inspect.isclass(thing):
        kind = "exception" if issubclass(thing, BaseException) else "class"
    lines = [last, "=" * len(last), "", f".. currentmodule:: {module}", "", f".. auto{kind}:: {last}"]
    return "\n".join([*lines, "   :members:" * (kind != "function"), ""])


def public_names(module: object) -> list[str]:
    """Return the public functions and classes: those in ``__all__``, or else those written in the module."""
    listed = getattr(module, "__all__", None)
    names = listed or [name for name in vars(module) if not name.startswith("_")]
    found = [(name, getattr(module, name)) for name in names]
    return [
        name
        for name, thing in found
        if (inspect.isclass(thing) or inspect.isfunction(thing))
        and (listed or thing.__module__ == module.__name__)
    ]


def shortest_name(module: str, name: str) -> str:
    """Return the name that a user would write."""
    at_the_top = name in metaexo.__all__ and getattr(metaexo, name) is getattr(import_module(module), name)
    return f"metaexo.{name}" if at_the_top else f"{module}.{name}"


def order_of_appearance(name: str) -> tuple[bool, int, str]:
    """Put the names under ``metaexo`` first, in their own order."""
    last = name.removeprefix("metaexo.")
    known = last in metaexo.__all__
    return (not known, metaexo.__all__.index(last) if known else 0, name.lower())


def by_last_name(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Resolve a name that is documented elsewhere than where it was looked for, if only one ends so.

    A docstring names what stands in its own module; the reference has it under the name that a user writes.
    """
    if node.get("refdomain") != "py" or node.get("reftype") == "obj":
        return None
    domain, end = env.get_domain("py"), "." + node["reftarget"].rpartition("metaexo.")[2]
    last = "." + end.rpartition(".")[2]
    for wanted in (end, last):
        found = [name for name, *_, first in domain.get_objects() if first > 0 and name.endswith(wanted)]
        near = [name for name in found if name.startswith(f"metaexo.{Path(node['refdoc']).name}.")]
        found = near or found  # a table of a module means the module's own
        if len(found) == 1:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "any", found[0], node, content)
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Resolve names by their last part where they are not found."""
    app.connect("missing-reference", by_last_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
