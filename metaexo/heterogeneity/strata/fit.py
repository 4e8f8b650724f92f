"""The record of a subgroup analysis: its strata with their fits, and the means that are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity.levels import is_unreported
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.results import LinearResults
from metaexo.models.univariate.intervals import HeterogeneityInterval
from metaexo.models.univariate.results import RandomEffectsResults

if TYPE_CHECKING:
    from metaexo.heterogeneity.unreported.mixture import LatentModerator

Tau2Mode = Literal["separate", "common", "smoothed"]


@dataclass(frozen=True, eq=False)
class Stratum(Immutable):
    """One stratum: the effects that share a level of every factor.

    Attributes
    ----------
    name : str
        The levels in words, joined by " / ".
    levels : dict of str to str
        Factor to level.
    rows : ndarray of int
        Positions of its effects in the effects handed in.
    effects : EffectSizes
        Its effects.
    fit : RandomEffectsResults or None
        The model of this stratum; None where there is one study only. With a common or smoothed tau2 it is
        the fit at that tau2.
    pooled : Pooled or None
        Its pooled effect: from its own fit, with a common tau2 from the joint model, and with several
        effects per study robust to their dependence.
    note : str
        Why there is no fit, or what is special about it.
    heterogeneity : HeterogeneityInterval or None
        tau2 and I2 with their intervals; None without a fit, and where there is no interval.
    single : Pooled or None
        Without a fit, the effect of its one study; the interval rests on the sampling variance alone.
        Several effects of the study are averaged with weights 1/v, and the standard error is that of
        effects that depend on each other completely.
    """

    name: str
    levels: Mapping[str, str]
    rows: NDArray[np.intp]
    effects: EffectSizes
    fit: RandomEffectsResults | None
    pooled: Pooled | None
    note: str
    heterogeneity: HeterogeneityInterval | None = None
    single: Pooled | None = None

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def reported(self) -> bool:
        """Whether its studies report a level of every factor."""
        return not any(is_unreported(level) for level in self.levels.values())


@dataclass(frozen=True, eq=False, repr=False)
class StrataFit(Immutable):
    """What a subgroup analysis found; the fields are described in StratifiedResults."""

    by: tuple[str, ...]
    effects: EffectSizes
    strata: tuple[Stratum, ...]
    overall: RandomEffectsResults | None
    overall_pooled: Pooled | None
    tau2_mode: Tau2Mode
    between: TestResult | None
    between_note: str
    means: LinearResults | None
    method: str
    test: str
    level: float
    clusters: tuple[str, ...] | None = None
    cluster: str = "study"
    order: tuple[str, ...] = ()
    smoothing: Smoothing | None = None
    latent: LatentModerator | None = None
    latent_note: str = ""
    compare_unreported: bool = False
    overall_df: float | None = None

    def __getitem__(self, name: str) -> Stratum:
        """Return a stratum by its name."""
        names = [s.name for s in self.strata]
        check_choice("stratum", name, names)
        return self.strata[names.index(name)]

    @property
    def fitted(self) -> tuple[Stratum, ...]:
        """The strata with a fit."""
        return tuple(s for s in self.strata if s.fit is not None)

    @property
    def compared(self) -> tuple[Stratum, ...]:
        """The strata in tests between strata: fitted, and by default reported."""
        return tuple(s for s in self.fitted if s.reported or self.compare_unreported)

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and strata: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, *(s.rows for s in self.strata)]
        whole = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(
            whole + "|".join(s.name for s in self.strata).encode(errors="surrogatepass")
        ).hexdigest()[:16]


def check_strata(results: object) -> StrataFit:
    """Return the strata, or say what was handed in instead.

    Raises
    ------
    InputError
        If it is something else than the result of :func:`metaexo.stratify`.
    """
    if not isinstance(results, StrataFit):
        raise InputError(
            f"the strata are of type {type(results).__name__}",
            "the result of mx.stratify",
            "stratify first: mx.stratify(effects, by=...)",
        )
    return results
