"""Heterogeneity of effects, and whether exosome source or isolation method explains it."""

from metaexo.calls import explain_room
from metaexo.heterogeneity.attribution.attribution import attribute_heterogeneity, attribution_verdict
from metaexo.heterogeneity.attribution.confounding import Confounding, confounding
from metaexo.heterogeneity.attribution.estimability import Estimability, estimability
from metaexo.heterogeneity.attribution.record import Part
from metaexo.heterogeneity.attribution.results import AttributionResults
from metaexo.heterogeneity.attribution.verdicts import Verdict
from metaexo.heterogeneity.levels import REPETITIONS
from metaexo.heterogeneity.repeatability import Repeatability, repeatability
from metaexo.heterogeneity.strata.between import BetweenTest, BetweenTests
from metaexo.heterogeneity.strata.comparisons import (
    BetweenPermutation,
    HeterogeneityComparison,
    compare_heterogeneity,
    permute_strata,
)
from metaexo.heterogeneity.strata.fit import Stratum
from metaexo.heterogeneity.strata.of_counts import CountStrata, CountStratum, stratify_counts
from metaexo.heterogeneity.strata.results import StratifiedResults
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.heterogeneity.strata.stratify import stratify
from metaexo.heterogeneity.unreported.bounds import AssignmentBound, AssignmentBounds, assignment_bounds
from metaexo.heterogeneity.unreported.mixture import LatentModerator, latent_moderator
from metaexo.other_names import unknown_in_module

__all__ = [
    "REPETITIONS",
    "AssignmentBound",
    "AssignmentBounds",
    "AttributionResults",
    "BetweenPermutation",
    "BetweenTest",
    "BetweenTests",
    "Confounding",
    "CountStrata",
    "CountStratum",
    "Estimability",
    "HeterogeneityComparison",
    "LatentModerator",
    "Part",
    "Repeatability",
    "Smoothing",
    "StratifiedResults",
    "Stratum",
    "Verdict",
    "assignment_bounds",
    "attribute_heterogeneity",
    "attribution_verdict",
    "compare_heterogeneity",
    "confounding",
    "estimability",
    "latent_moderator",
    "permute_strata",
    "repeatability",
    "stratify",
    "stratify_counts",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
