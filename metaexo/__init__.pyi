"""The public names for type checkers; a test holds them to __init__.py."""

from metaexo import datasets as datasets
from metaexo import effects as effects
from metaexo import errors as errors
from metaexo import evidence as evidence
from metaexo import formatting as formatting
from metaexo import heterogeneity as heterogeneity
from metaexo import models as models
from metaexo import plots as plots
from metaexo import report as report
from metaexo import sensitivity as sensitivity
from metaexo.datasets import load_dataset as load_dataset
from metaexo.effects import BoundedEffectSizes as BoundedEffectSizes
from metaexo.effects import EffectSizes as EffectSizes
from metaexo.effects import aggregate as aggregate
from metaexo.effects import bounded_effects as bounded_effects
from metaexo.effects import covariance_blocks as covariance_blocks
from metaexo.effects import covariance_matrix as covariance_matrix
from metaexo.effects import effect_sizes as effect_sizes
from metaexo.effects import explain as explain
from metaexo.effects import measures as measures
from metaexo.effects import one_per_study as one_per_study
from metaexo.effects import split as split
from metaexo.evidence import check_sheets as check_sheets
from metaexo.evidence import read_sheets as read_sheets
from metaexo.heterogeneity import attribute_heterogeneity as attribute_heterogeneity
from metaexo.heterogeneity import confounding as confounding
from metaexo.heterogeneity import estimability as estimability
from metaexo.heterogeneity import latent_moderator as latent_moderator
from metaexo.heterogeneity import repeatability as repeatability
from metaexo.heterogeneity import stratify as stratify
from metaexo.ledger import Ledger as Ledger
from metaexo.models import CensoredRandomEffects as CensoredRandomEffects
from metaexo.models import LocationScale as LocationScale
from metaexo.models import Multilevel as Multilevel
from metaexo.models import RandomEffects as RandomEffects
from metaexo.models import RandomTerm as RandomTerm
from metaexo.models import compare as compare
from metaexo.models import correlated_effects as correlated_effects
from metaexo.models import fit_many as fit_many
from metaexo.models import identifiable_terms as identifiable_terms
from metaexo.models import likelihood_ratio_test as likelihood_ratio_test
from metaexo.models import model_of_values as model_of_values
from metaexo.models import rho_sweep as rho_sweep
from metaexo.models import robust_variance as robust_variance

__version__: str
