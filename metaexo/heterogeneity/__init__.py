"""How much effects vary, and with what: strata by source and isolation method."""

from metaexo.heterogeneity.attribution.attribution import attribute_heterogeneity, attribution_verdict
from metaexo.heterogeneity.attribution.confounding import Confounding, confounding
from metaexo.heterogeneity.attribution.estimability import Estimability, estimability
from metaexo.heterogeneity.attribution.record import AttributionResults, Part
from metaexo.heterogeneity.attribution.verdicts import Verdict
from metaexo.heterogeneity.repeatability import Repeatability, repeatability
from metaexo.heterogeneity.strata.comparisons import (
    BetweenPermutation,
    SpreadBetween,
    compare_spread,
    permute_strata,
)
from metaexo.heterogeneity.strata.fit import StratifiedResults, Stratum
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.heterogeneity.strata.stratify import stratify
from metaexo.heterogeneity.unreported.bounds import AssignmentBounds, assignment_bounds
from metaexo.heterogeneity.unreported.mixture import LatentModerator, latent_moderator
from metaexo.heterogeneity.unreported.ranges import AssignmentBound

__all__ = [
    "AssignmentBound",
    "AssignmentBounds",
    "AttributionResults",
    "BetweenPermutation",
    "Confounding",
    "Estimability",
    "LatentModerator",
    "Part",
    "Repeatability",
    "Smoothing",
    "SpreadBetween",
    "StratifiedResults",
    "Stratum",
    "Verdict",
    "assignment_bounds",
    "attribute_heterogeneity",
    "attribution_verdict",
    "compare_spread",
    "confounding",
    "estimability",
    "latent_moderator",
    "permute_strata",
    "repeatability",
    "stratify",
]
