"""How much effects vary, and with what: strata by source and isolation method."""

from metaexo.heterogeneity.assignment_ranges import AssignmentBound
from metaexo.heterogeneity.attribution import attribute_heterogeneity, attribution_verdict
from metaexo.heterogeneity.attribution_results import AttributionResults, Part
from metaexo.heterogeneity.between_permutation import BetweenPermutation, permute_strata
from metaexo.heterogeneity.bounds_of_assignments import AssignmentBounds, assignment_bounds
from metaexo.heterogeneity.confounding import Confounding, confounding
from metaexo.heterogeneity.estimability import Estimability, estimability
from metaexo.heterogeneity.latent_levels import LatentModerator, latent_moderator
from metaexo.heterogeneity.repeatability_by_level import Repeatability, repeatability
from metaexo.heterogeneity.smoothed import Smoothing
from metaexo.heterogeneity.spread_between import SpreadBetween, compare_spread
from metaexo.heterogeneity.strata import StratifiedResults, Stratum
from metaexo.heterogeneity.stratify import stratify
from metaexo.heterogeneity.verdicts import Verdict

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
