"""Example data sets of published meta-analyses, each with its citation."""

from __future__ import annotations

from metaexo.calls import explain_room
from metaexo.datasets.loader import datasets, load_dataset
from metaexo.other_names import unknown_in_module

__all__ = ["datasets", "load_dataset"]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
