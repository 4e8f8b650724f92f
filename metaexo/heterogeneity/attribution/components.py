"""The random-effects version of an attribution: factors as crossed variance components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import MetaexoError
from metaexo.heterogeneity.levels import FactorTable, readable
from metaexo.immutable import Immutable
from metaexo.models.multilevel.model import Multilevel

# A variance between so few levels rests on very little.
FEW_LEVELS = 5


@dataclass(frozen=True, slots=True)
class VarianceShares(Immutable):
    """Shares of the variance of true effects by variance components.

    Attributes
    ----------
    shares : mapping of str to float
        Factor, "interaction" and "unexplained" to share; empty if there is no fit.
    components : mapping of str to float
        The same in units of tau2.
    note : str
        Why there is no fit, or what the shares rest on.
    """

    shares: Mapping[str, float]
    components: Mapping[str, float]
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return shares, components and note as plain values."""
        return {"shares": dict(self.shares), "components": dict(self.components), "note": self.note}


def variance_shares(effects: EffectSizes, table: FactorTable, interaction: bool) -> VarianceShares:
    """Return the shares of crossed random effects of the factors, of their combinations and of studies."""
    columns = {f"factor{j}": table.codes[:, j] for j in range(table.p)}
    if interaction:
        columns["combination"] = table.cells()[1]
    texts = {name: [str(code) for code in codes] for name, codes in columns.items()}
    studies = "study/effect" if effects.m < effects.k else "study"
    try:
        with np.errstate(all="ignore"):  # a fit is certified, or refused
            fit = Multilevel(effects.with_columns(**texts), [*columns, studies]).fit()
    except MetaexoError as error:
        return VarianceShares({}, {}, f"no variance components: {error.given}")
    found = fit.component_values
    parts = {name: found[f"factor{j}"] for j, name in enumerate(table.names)}
    if interaction:
        parts["interaction"] = found["combination"]
    parts["unexplained"] = sum(value for name, value in found.items() if name not in columns)
    total = sum(parts.values())
    if total == 0:
        return VarianceShares({}, parts, "all variance components are zero")
    return VarianceShares({name: value / total for name, value in parts.items()}, parts, _note(table))


def _note(table: FactorTable) -> str:
    few = [
        f"{readable(name)} {len(levels)}"
        for name, levels in zip(table.names, table.levels, strict=True)
        if len(levels) < FEW_LEVELS
    ]
    return f"variances between few levels rest on very little ({', '.join(few)})" if few else ""
