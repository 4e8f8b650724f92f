"""Extraction sheets: reading, checking, vocabulary, ledger, and the way to effect sizes."""

from __future__ import annotations

from metaexo.evidence.codebook import Codebook, load_codebook
from metaexo.evidence.folder import SheetCheck, check_sheets, read_sheets
from metaexo.evidence.problems import SheetErrors, SheetProblem
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.slips.checks import slip_checks
from metaexo.evidence.slips.grim import grim, grim_median, grimmer
from metaexo.evidence.slips.patterns import (
    Multiple,
    constant_multiples,
    extreme_variances,
    mean_near_zero,
    repeated_numbers,
    sd_against_n,
    unusual_cv,
)
from metaexo.evidence.slips.statistics import (
    implied_p,
    implied_t,
    interval_and_p_agree,
    interval_is_centred,
    p_agrees,
    statistic_agrees,
)
from metaexo.evidence.vocabulary import (
    isolation_category,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    source_category,
)

__all__ = [
    "Codebook",
    "Multiple",
    "SheetCheck",
    "SheetErrors",
    "SheetProblem",
    "Sheets",
    "check_sheets",
    "constant_multiples",
    "extreme_variances",
    "grim",
    "grim_median",
    "grimmer",
    "implied_p",
    "implied_t",
    "interval_and_p_agree",
    "interval_is_centred",
    "isolation_category",
    "isolation_methods",
    "isolation_steps",
    "load_codebook",
    "load_vocabulary",
    "mean_near_zero",
    "p_agrees",
    "read_sheets",
    "repeated_numbers",
    "sd_against_n",
    "slip_checks",
    "source_category",
    "statistic_agrees",
    "unusual_cv",
]
