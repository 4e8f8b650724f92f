"""Long work in chunks, on one core, on many, or on a cluster: the same numbers, resumable, with progress."""

from metaexo.runs.chunks import run

__all__ = ["run"]


def __dir__() -> list[str]:
    return sorted(__all__)
