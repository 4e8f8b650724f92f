"""Every public function and class explains itself: those of numpydoc's checks that this package keeps."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
from numpydoc.validate import validate

import metaexo as mx

ROOMS = (
    "effects", "evidence", "models", "heterogeneity", "sensitivity", "bias", "safety", "datasets", "plots",
    "runs",
)  # fmt: skip

EVERYWHERE = {
    "GL07",  # sections in the wrong order
    "GL08",  # no docstring
    "SS02",  # the first line does not open with a capital letter
    "SS03",  # or does not end with a full stop
    "SS04",  # or opens with a blank
    "SS06",  # or is longer than one line
    "PR01",  # a parameter that is not explained
    "PR02",  # an explained parameter that is not there
    "PR03",  # parameters in another order
    "PR04",  # a parameter without its type or shape
    "PR07",  # a parameter without words
    "RT03",  # a return value without words
    "YD01",  # no word on what is yielded
}
FUNCTIONS = EVERYWHERE | {
    "RT01",  # no word on what is returned
    "EX01",  # no example
}


def public_objects():
    """Return every public function and class by the room that it is written in."""
    found = [getattr(mx, name) for name in mx.__all__]
    for room in ROOMS:
        module = import_module(f"metaexo.{room}")
        found += [getattr(module, name) for name in module.__all__]
    rooms = {}
    for thing in {id(thing): thing for thing in found}.values():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            rooms.setdefault(thing.__module__.split(".")[1], []).append(thing)
    return rooms


WRITTEN_IN = public_objects()


def home(thing):
    return f"{thing.__module__}.{thing.__qualname__}"


def faults(path, codes):
    return [f"{path}: {code} {words}" for code, words in validate(path)["errors"] if code in codes]


@pytest.mark.parametrize("room", WRITTEN_IN)
def test_docstrings_have_their_parts(room):
    found = []
    for thing in WRITTEN_IN[room]:
        codes = FUNCTIONS if inspect.isfunction(thing) else EVERYWHERE
        if inspect.isclass(thing) and "Attributes\n" in inspect.getdoc(thing):
            codes = codes - {"PR01"}  # a result that nobody builds by hand explains what it holds
        found += faults(home(thing), codes)
    assert found == []


@pytest.mark.parametrize("room", WRITTEN_IN)
def test_the_methods_of_classes_have_docstrings_too(room):
    found = []
    for thing in filter(inspect.isclass, WRITTEN_IN[room]):
        for key, value in vars(thing).items():
            if key.startswith("_") or not _is_code(value):
                continue
            # One line is enough for a short method; one that has a section on its parameters names them all.
            complete = "Parameters\n" in (inspect.getdoc(value) or "")
            found += faults(f"{home(thing)}.{key}", EVERYWHERE if complete else EVERYWHERE - {"PR01"})
    assert found == []


def _is_code(value):
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
