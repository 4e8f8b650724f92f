"""Long work in chunks, on one core, on many, or on a cluster: the same numbers, resumable, with progress."""

from metaexo.runs import counter
from metaexo.runs.chunks import run
from metaexo.runs.stored import Stored

__all__ = ["Stored", "counter", "run"]


def __dir__() -> list[str]:
    return sorted(__all__)
