"""Safety: what no or few events in one arm exclude, and what relative effects mean in absolute numbers."""

from metaexo.safety.exclusion import (
    ExclusionCurve,
    FollowUpLimits,
    PatientsToExclude,
    by_follow_up,
    exclusion_curve,
    patients_to_exclude,
)
from metaexo.safety.heterogeneity import HeterogeneityLikelihood, heterogeneity_likelihood
from metaexo.safety.intervals import StudyIntervals, study_intervals
from metaexo.safety.limits import LimitCurve, UpperLimit, limits_by_heterogeneity, upper_limit

__all__ = [
    "ExclusionCurve",
    "FollowUpLimits",
    "HeterogeneityLikelihood",
    "LimitCurve",
    "PatientsToExclude",
    "StudyIntervals",
    "UpperLimit",
    "by_follow_up",
    "exclusion_curve",
    "heterogeneity_likelihood",
    "limits_by_heterogeneity",
    "patients_to_exclude",
    "study_intervals",
    "upper_limit",
]


def __dir__() -> list[str]:
    return sorted(__all__)
