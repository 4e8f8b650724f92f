"""Sensitivity: how much results depend on single studies, on kinds of evidence and on choices."""

from metaexo.calls import explain_room
from metaexo.models.linear.influence import Influence
from metaexo.other_names import unknown_in_module
from metaexo.sensitivity.baujat import Baujat, baujat
from metaexo.sensitivity.bootstrap import Bootstrap, bootstrap
from metaexo.sensitivity.cumulative import Cumulative, cumulative
from metaexo.sensitivity.gosh import Gosh, gosh
from metaexo.sensitivity.influence import influence
from metaexo.sensitivity.kinds_of_evidence import leave_kind_out, without_kind
from metaexo.sensitivity.leave_one_level_out import LeaveOneLevelOut, LevelLeftOut, leave_one_level_out
from metaexo.sensitivity.leave_one_out import LeaveOneOut, leave_one_out
from metaexo.sensitivity.multiverse.inference import CurveTest
from metaexo.sensitivity.multiverse.multiverse import multiverse
from metaexo.sensitivity.multiverse.results import Multiverse
from metaexo.sensitivity.permutation import PermutationTest, permutation_test
from metaexo.sensitivity.power_of_component import PowerOfComponent, power_of_component
from metaexo.sensitivity.profile import Profile, profile
from metaexo.sensitivity.refit import refit
from metaexo.sensitivity.refits import Refits, refits
from metaexo.sensitivity.simulate import simulate

__all__ = [
    "Baujat",
    "Bootstrap",
    "Cumulative",
    "CurveTest",
    "Gosh",
    "Influence",
    "LeaveOneLevelOut",
    "LeaveOneOut",
    "LevelLeftOut",
    "Multiverse",
    "PermutationTest",
    "PowerOfComponent",
    "Profile",
    "Refits",
    "baujat",
    "bootstrap",
    "cumulative",
    "gosh",
    "influence",
    "leave_kind_out",
    "leave_one_level_out",
    "leave_one_out",
    "multiverse",
    "permutation_test",
    "power_of_component",
    "profile",
    "refit",
    "refits",
    "simulate",
    "without_kind",
]

explain_room(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    raise unknown_in_module(__name__, name, __all__)
