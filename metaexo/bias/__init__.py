"""Small-study effects and selection: whether the evidence is one-sided, and estimates that allow for it."""

from metaexo.bias.asymmetry import RankTest, RegressionTest, rank_test, regression_test
from metaexo.bias.beyond import ProportionBeyond, proportion_beyond
from metaexo.bias.combine import CombinedPValues, combine_pvalues
from metaexo.bias.copas import CopasSelection, copas_selection
from metaexo.bias.counts_test import CountsTest, counts_test
from metaexo.bias.excess_significance import ExcessSignificance, excess_significance
from metaexo.bias.fail_safe import FailSafeN, fail_safe_n
from metaexo.bias.henmi_copas import HenmiCopasEstimate, henmi_copas
from metaexo.bias.lfk import LfkIndex, lfk_index
from metaexo.bias.limit import LimitMetaAnalysis, limit_meta_analysis
from metaexo.bias.p_curve import PCurve, p_curve
from metaexo.bias.p_uniform import PUniform, p_uniform
from metaexo.bias.p_uniform_star import PUniformStar, p_uniform_star
from metaexo.bias.pet_peese import PetPeese, PrecisionRegression, pet_peese
from metaexo.bias.power import Power, power
from metaexo.bias.report import BiasReport, report
from metaexo.bias.selection.many import ManySelection, selection_many
from metaexo.bias.selection.model import selection_model
from metaexo.bias.selection.results import SelectionCertificate, SelectionCoefficients, SelectionModel
from metaexo.bias.trim_and_fill import ManyTrimAndFill, TrimAndFill, trim_and_fill, trim_and_fill_many
from metaexo.bias.waap import UnrestrictedMean, Waap, waap_wls
from metaexo.bias.worst_case import CorrectedMean, WorstCase, worst_case
from metaexo.calls import explain_room
from metaexo.other_names import unknown_in_module

__all__ = [
    "BiasReport",
    "CombinedPValues",
    "CopasSelection",
    "CorrectedMean",
    "CountsTest",
    "ExcessSignificance",
    "FailSafeN",
    "HenmiCopasEstimate",
    "LfkIndex",
    "LimitMetaAnalysis",
    "ManySelection",
    "ManyTrimAndFill",
    "PCurve",
    "PUniform",
    "PUniformStar",
    "PetPeese",
    "Power",
    "PrecisionRegression",
    "ProportionBeyond",
    "RankTest",
    "RegressionTest",
    "SelectionCertificate",
    "SelectionCoefficients",
    "SelectionModel",
    "TrimAndFill",
    "UnrestrictedMean",
    "Waap",
    "WorstCase",
    "combine_pvalues",
    "copas_selection",
    "counts_test",
    "excess_significance",
    "fail_safe_n",
    "henmi_copas",
    "lfk_index",
    "limit_meta_analysis",
    "p_curve",
    "p_uniform",
    "p_uniform_star",
    "pet_peese",
    "power",
    "proportion_beyond",
    "rank_test",
    "regression_test",
    "report",
    "selection_many",
    "selection_model",
    "trim_and_fill",
    "trim_and_fill_many",
    "waap_wls",
    "worst_case",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
