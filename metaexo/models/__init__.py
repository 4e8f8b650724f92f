"""Models: effects and variances in, immutable fits out; one part per family of models."""

from importlib import import_module
from typing import Any

from metaexo.calls import explain_room
from metaexo.models.censored.batched import ManyCensoredFits, fit_many_censored
from metaexo.models.censored.effects import KINDS, count_in_words, kinds_of
from metaexo.models.censored.imputation import ImputedResults
from metaexo.models.censored.model import CensoredRandomEffects
from metaexo.models.censored.results import CensoredResults
from metaexo.models.censored.strata import CensoredStrata, CensoredStratum, censored_strata
from metaexo.models.counts.arm_based.model import ArmBased, ArmBasedResults
from metaexo.models.counts.beta_binomial.model import BetaBinomial
from metaexo.models.counts.beta_binomial.results import BetaBinomialResults
from metaexo.models.counts.exact import ExactConditional, ExactConditionalResults
from metaexo.models.counts.exact_test import ExactTest
from metaexo.models.counts.mantel_haenszel import MantelHaenszel, MantelHaenszelResults
from metaexo.models.counts.mixed.many import ManyCountFits, fit_many_counts
from metaexo.models.counts.mixed.model import CountGLMM
from metaexo.models.counts.mixed.results import CountGLMMResults
from metaexo.models.counts.peto import Peto, PetoResults
from metaexo.models.linear.comparison import FitComparison, compare
from metaexo.models.linear.contrasts import Contrasts, TermTests, VarianceInflation, adjust_pvalues
from metaexo.models.linear.hypothesis import RobustCovariance, TestResult
from metaexo.models.linear.likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
from metaexo.models.linear.results import FitResults
from metaexo.models.location_scale.model import LocationScale
from metaexo.models.location_scale.results import LocationScaleResults
from metaexo.models.multilevel.identifiability import IdentifiableTerms, TermCheck, identifiable_terms
from metaexo.models.multilevel.model import Multilevel
from metaexo.models.multilevel.moments import MomentResults, robust_variance
from metaexo.models.multilevel.presets import RhoSweep, correlated_effects, model_of_values, rho_sweep
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.multilevel.terms import RandomTerm
from metaexo.models.univariate.batched import ManyFits, fit_many
from metaexo.models.univariate.intervals import HenmiCopas, henmi_copas
from metaexo.models.univariate.model import RandomEffects
from metaexo.models.univariate.profile import Tau2Profile
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.other_names import unknown_in_module

__all__ = [
    "KINDS",
    "ArmBased",
    "ArmBasedResults",
    "BetaBinomial",
    "BetaBinomialResults",
    "CensoredRandomEffects",
    "CensoredResults",
    "CensoredStrata",
    "CensoredStratum",
    "Contrasts",
    "CountGLMM",
    "CountGLMMResults",
    "ExactConditional",
    "ExactConditionalResults",
    "ExactTest",
    "FitComparison",
    "FitResults",
    "HenmiCopas",
    "IdentifiableTerms",
    "ImputedResults",
    "LikelihoodRatioTest",
    "LocationScale",
    "LocationScaleResults",
    "MantelHaenszel",
    "MantelHaenszelResults",
    "ManyCensoredFits",
    "ManyCountFits",
    "ManyFits",
    "MomentResults",
    "Multilevel",
    "MultilevelResults",
    "Peto",
    "PetoResults",
    "RandomEffects",
    "RandomEffectsResults",
    "RandomTerm",
    "RhoSweep",
    "RobustCovariance",
    "Tau2Profile",
    "TermCheck",
    "TermTests",
    "TestResult",
    "VarianceInflation",
    "adjust_pvalues",
    "censored_strata",
    "compare",
    "correlated_effects",
    "count_in_words",
    "fit_many",
    "fit_many_censored",
    "fit_many_counts",
    "henmi_copas",
    "identifiable_terms",
    "kinds_of",
    "likelihood_ratio_test",
    "model_of_values",
    "rho_sweep",
    "robust_variance",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Find the permutation test, which moved to a room above this one, under its former name."""
    if name == "exact_permutation_test":
        return import_module("metaexo.sensitivity").permutation_test
    raise unknown_in_module(__name__, name, __all__)
