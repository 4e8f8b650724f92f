"""Extraction sheets: reading, checking, vocabulary, ledger, and the way to effect sizes."""

from __future__ import annotations

from metaexo.calls import explain_room
from metaexo.evidence.checking.sheet_check import SheetCheck
from metaexo.evidence.codebook import Codebook, load_codebook
from metaexo.evidence.descriptions.one_material import (
    compare_preparations,
    ratio_of_methods,
    ratios_on_one_material,
)
from metaexo.evidence.descriptions.reporting import REPORTING_ITEMS, reporting
from metaexo.evidence.descriptions.rows import count_reasons, days_after, ledger_table, same_subjects
from metaexo.evidence.descriptions.sizes import choose_means, laboratories, method_ratios
from metaexo.evidence.folder import check_sheets, evidence_sheets, read_sheets, read_table
from metaexo.evidence.names import named_studies
from metaexo.evidence.problems import SheetErrors, SheetProblem
from metaexo.evidence.reading import Reading
from metaexo.evidence.risk_of_bias.record import RiskOfBias, read_risk_of_bias
from metaexo.evidence.risk_of_bias.tool import BiasTool, bias_tool, bias_tools
from metaexo.evidence.sheets import Sheets
from metaexo.evidence.slips.checks import slip_checks
from metaexo.evidence.slips.copies import copied_studies
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
from metaexo.evidence.template import new_table
from metaexo.evidence.to_counts import EVENTS, SCOPES, chosen_for_harm
from metaexo.evidence.to_effects import row_labels
from metaexo.evidence.vocabulary import (
    isolation_category,
    isolation_main_step,
    isolation_methods,
    isolation_steps,
    load_vocabulary,
    source_category,
)
from metaexo.other_names import unknown_in_module

__all__ = [
    "EVENTS",
    "REPORTING_ITEMS",
    "SCOPES",
    "BiasTool",
    "Codebook",
    "Multiple",
    "Reading",
    "RiskOfBias",
    "SheetCheck",
    "SheetErrors",
    "SheetProblem",
    "Sheets",
    "bias_tool",
    "bias_tools",
    "check_sheets",
    "choose_means",
    "chosen_for_harm",
    "compare_preparations",
    "constant_multiples",
    "copied_studies",
    "count_reasons",
    "days_after",
    "evidence_sheets",
    "extreme_variances",
    "grim",
    "grim_median",
    "grimmer",
    "implied_p",
    "implied_t",
    "interval_and_p_agree",
    "interval_is_centred",
    "isolation_category",
    "isolation_main_step",
    "isolation_methods",
    "isolation_steps",
    "laboratories",
    "ledger_table",
    "load_codebook",
    "load_vocabulary",
    "mean_near_zero",
    "method_ratios",
    "named_studies",
    "new_table",
    "p_agrees",
    "ratio_of_methods",
    "ratios_on_one_material",
    "read_risk_of_bias",
    "read_sheets",
    "read_table",
    "repeated_numbers",
    "reporting",
    "row_labels",
    "same_subjects",
    "sd_against_n",
    "slip_checks",
    "source_category",
    "statistic_agrees",
    "unusual_cv",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
