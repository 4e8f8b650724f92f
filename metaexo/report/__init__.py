"""Reports: tables, text and the reproduction of everything that the analyses write."""

from __future__ import annotations

from metaexo.calls import explain_room
from metaexo.other_names import unknown_in_module
from metaexo.report.certainty import Certainty, certainty
from metaexo.report.collected import Folders
from metaexo.report.compare import compare_outputs
from metaexo.report.content import Report
from metaexo.report.files import earlier_report, write_files
from metaexo.report.html import html_page
from metaexo.report.in_words import pooled_in_words
from metaexo.report.run import Analysis, reproduce, run_alone
from metaexo.report.word import write_docx
from metaexo.report.workbook import write_workbook
from metaexo.report.write import write_report

__all__ = [
    "Analysis",
    "Certainty",
    "Folders",
    "Report",
    "certainty",
    "compare_outputs",
    "earlier_report",
    "html_page",
    "pooled_in_words",
    "reproduce",
    "run_alone",
    "write_docx",
    "write_files",
    "write_report",
    "write_workbook",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
