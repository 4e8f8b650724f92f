"""Small-study effects and selection: whether the evidence is one-sided, and estimates that allow for it."""

from metaexo.bias.lfk import LfkIndex, lfk_index
from metaexo.bias.limit import LimitMetaAnalysis, limit_meta_analysis
from metaexo.bias.pet_peese import PetPeese, PrecisionRegression, pet_peese
from metaexo.bias.power import Power, power

__all__ = [
    "LfkIndex",
    "LimitMetaAnalysis",
    "PetPeese",
    "Power",
    "PrecisionRegression",
    "lfk_index",
    "limit_meta_analysis",
    "pet_peese",
    "power",
]


def __dir__() -> list[str]:
    return sorted(__all__)
