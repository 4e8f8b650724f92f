"""Writes reference.rst from the public names of each room, so that no name can be missing from it."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

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
    "report": "Running the analyses, and their words",
    "runs": "Long runs",
    "datasets": "Data sets",
}
HEAD = """Reference
=========

``import metaexo as mx`` gives the names directly under ``metaexo``; others are reached through their rooms:
``mx.models.FitResults``.

"""
TAIL = """Errors and warnings
-------------------

.. automodule:: metaexo.errors
   :members:
"""


def write(path: Path) -> None:
    """Write the page, if it is not there already as it should be."""
    rooms = {f"metaexo.{name}": title for name, title in ROOMS.items() if find_spec(f"metaexo.{name}")}
    text = HEAD + "".join(section(name, title) for name, title in rooms.items()) + TAIL
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def section(name: str, title: str) -> str:
    """Return the part of the page on one module."""
    module = import_module(name)
    names = sorted(
        (shortest_name(module.__name__, public) for public in public_names(module)), key=order_of_appearance
    )
    intro = (inspect.getdoc(module) or "").split("\n\n", 1)[0]
    lines = [title, "-" * len(title), "", intro, ""]
    lines += [".. autosummary::", "   :toctree: api", "   :nosignatures:", ""]
    return "\n".join([*lines, *(f"   {public}" for public in names), "", ""])


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
