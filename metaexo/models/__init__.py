"""Models: effects and variances in, sealed fits out; one file a model family."""

from metaexo.models.batched import ManyFits, fit_many
from metaexo.models.comparison import FitComparison, compare
from metaexo.models.contrasts import Contrasts, TermTests, adjust_pvalues
from metaexo.models.henmi_copas_interval import HenmiCopas, henmi_copas
from metaexo.models.hypothesis import TestResult
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
from metaexo.models.vif import VarianceInflation

__all__ = [
    "Contrasts",
    "FitComparison",
    "HenmiCopas",
    "LikelihoodRatioTest",
    "LocationScale",
    "LocationScaleResults",
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
    "TermTests",
    "TestResult",
    "VarianceInflation",
    "adjust_pvalues",
    "compare",
    "correlated_effects",
    "exact_permutation_test",
    "fit_many",
    "henmi_copas",
    "likelihood_ratio_test",
    "rho_sweep",
    "robust_variance",
]
