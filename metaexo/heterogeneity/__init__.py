"""How much effects vary, and with what: strata by source and isolation method."""

from metaexo.heterogeneity.strata import StratifiedResults, Stratum
from metaexo.heterogeneity.stratify import stratify

__all__ = ["StratifiedResults", "Stratum", "stratify"]
