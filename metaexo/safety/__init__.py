"""Safety: what no or few events in one arm exclude, and what relative effects mean in absolute numbers."""

from metaexo.calls import explain_room
from metaexo.other_names import unknown_in_module
from metaexo.safety.absolute import AbsoluteEffect, NumberNeeded, absolute_effect, number_needed
from metaexo.safety.bayes import BayesianLimit, bayesian_limit
from metaexo.safety.exclusion import (
    ExclusionCurve,
    PatientsToExclude,
    exclusion_curve,
    patients_to_exclude,
)
from metaexo.safety.follow_up import FollowUpLimits, by_follow_up
from metaexo.safety.groups import GroupLimits, limits_by_group
from metaexo.safety.heterogeneity import HeterogeneityLikelihood, heterogeneity_likelihood
from metaexo.safety.intervals import StudyIntervals, study_intervals
from metaexo.safety.limits import LimitCurve, UpperLimit, limits_by_heterogeneity, upper_limit
from metaexo.safety.prediction import CountPrediction, predict_count
from metaexo.safety.proportions import ProportionComparison, RiskRange, compare_proportions, risk_range

__all__ = [
    "AbsoluteEffect",
    "BayesianLimit",
    "CountPrediction",
    "ExclusionCurve",
    "FollowUpLimits",
    "GroupLimits",
    "HeterogeneityLikelihood",
    "LimitCurve",
    "NumberNeeded",
    "PatientsToExclude",
    "ProportionComparison",
    "RiskRange",
    "StudyIntervals",
    "UpperLimit",
    "absolute_effect",
    "bayesian_limit",
    "by_follow_up",
    "compare_proportions",
    "exclusion_curve",
    "heterogeneity_likelihood",
    "limits_by_group",
    "limits_by_heterogeneity",
    "number_needed",
    "patients_to_exclude",
    "predict_count",
    "risk_range",
    "study_intervals",
    "upper_limit",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
