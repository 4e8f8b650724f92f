"""Long work in chunks, on one core, on many, or on a cluster: the same numbers, resumable, with progress."""

from metaexo.calls import explain_room
from metaexo.other_names import unknown_in_module
from metaexo.runs import counter
from metaexo.runs.chunks import run
from metaexo.runs.stored import Stored

__all__ = ["Stored", "counter", "run"]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
