"""Example data sets of published meta-analyses, each with its citation."""

from __future__ import annotations

from metaexo.datasets.loader import datasets, load_dataset

__all__ = ["datasets", "load_dataset"]


def __dir__() -> list[str]:
    return sorted(__all__)
