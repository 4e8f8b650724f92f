"""Extraction sheets: reading, checking, vocabulary, ledger, and the way to effect sizes."""

from __future__ import annotations

from metaexo.evidence.codebook import Codebook, load_codebook
from metaexo.evidence.folder import SheetCheck, check_sheets, read_sheets
from metaexo.evidence.problems import SheetErrors, SheetProblem
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.vocabulary import (
    isolation_category,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    source_category,
)

__all__ = [
    "Codebook",
    "SheetCheck",
    "SheetErrors",
    "SheetProblem",
    "Sheets",
    "check_sheets",
    "isolation_category",
    "isolation_methods",
    "isolation_steps",
    "load_codebook",
    "load_vocabulary",
    "read_sheets",
    "source_category",
]
