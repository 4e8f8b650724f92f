"""Models: effects and variances in, sealed fits out; one file a model family."""

from metaexo.models.hypothesis import TestResult
from metaexo.models.random_effects import RandomEffects
from metaexo.models.results import RandomEffectsResults

__all__ = ["RandomEffects", "RandomEffectsResults", "TestResult"]
