"""Reports: tables, text and the reproduction of everything that the analyses write."""

from __future__ import annotations

from metaexo.report.certainty import Certainty, certainty
from metaexo.report.collected import Folders
from metaexo.report.compare import compare_outputs
from metaexo.report.in_words import pooled_in_words
from metaexo.report.run import Analysis, reproduce, run_alone

__all__ = [
    "Analysis",
    "Certainty",
    "Folders",
    "certainty",
    "compare_outputs",
    "pooled_in_words",
    "reproduce",
    "run_alone",
]


def __dir__() -> list[str]:
    return sorted(__all__)
