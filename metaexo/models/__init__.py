"""Models: effects and variances in, sealed fits out; one file a model family."""

from metaexo.models.batched import ManyFits, fit_many
from metaexo.models.censored import CensoredRandomEffects
from metaexo.models.censored_batched import ManyCensoredFits, fit_many_censored
from metaexo.models.censored_imputation import ImputedResults
from metaexo.models.censored_results import CensoredResults
from metaexo.models.censored_strata import CensoredStrata, CensoredStratum, censored_strata
from metaexo.models.comparison import FitComparison, compare
from metaexo.models.contrasts import Contrasts, TermTests, adjust_pvalues
from metaexo.models.henmi_copas_interval import HenmiCopas, henmi_copas
from metaexo.models.hypothesis import TestResult
from metaexo.models.identifiability import IdentifiableTerms, TermCheck, identifiable_terms
from metaexo.models.likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
from metaexo.models.location_scale import LocationScale
from metaexo.models.location_scale_results import LocationScaleResults
from metaexo.models.multilevel import Multilevel
from metaexo.models.multilevel_moments import MomentResults, robust_variance
from metaexo.models.multilevel_presets import RhoSweep, correlated_effects, rho_sweep
from metaexo.models.multilevel_results import MultilevelResults
from metaexo.models.multilevel_terms import RandomTerm
from metaexo.models.permutation import PermutationTest, exact_permutation_test
from metaexo.models.profile import Tau2Profile
from metaexo.models.random_effects import RandomEffects
from metaexo.models.results import RandomEffectsResults
from metaexo.models.robust import RobustResults
from metaexo.models.values import model_of_values
from metaexo.models.vif import VarianceInflation

__all__ = [
    "CensoredRandomEffects",
    "CensoredResults",
    "CensoredStrata",
    "CensoredStratum",
    "Contrasts",
    "FitComparison",
    "HenmiCopas",
    "IdentifiableTerms",
    "ImputedResults",
    "LikelihoodRatioTest",
    "LocationScale",
    "LocationScaleResults",
    "ManyCensoredFits",
    "ManyFits",
    "MomentResults",
    "Multilevel",
    "MultilevelResults",
    "PermutationTest",
    "RandomEffects",
    "RandomEffectsResults",
    "RandomTerm",
    "RhoSweep",
    "RobustResults",
    "Tau2Profile",
    "TermCheck",
    "TermTests",
    "TestResult",
    "VarianceInflation",
    "adjust_pvalues",
    "censored_strata",
    "compare",
    "correlated_effects",
    "exact_permutation_test",
    "fit_many",
    "fit_many_censored",
    "henmi_copas",
    "identifiable_terms",
    "likelihood_ratio_test",
    "model_of_values",
    "rho_sweep",
    "robust_variance",
]
