"""The record of a subgroup analysis: its strata with their fits, and the means that are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.heterogeneity.levels import is_unreported
from metaexo.heterogeneity.strata.smoothed import Smoothing
from metaexo.immutable import Immutable, lock
from metaexo.inputs import check_choice
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics, Pooled, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import DfRule, TestResult, WaldInference
from metaexo.models.univariate.intervals import HeterogeneityInterval
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.sandwich import Sandwich
from metaexo.readable import shows_itself
from metaexo.types import Array, Index, Mask

if TYPE_CHECKING:
    from metaexo.heterogeneity.unreported.mixture import LatentModerator

# Clusters from which on the mean of a stratum rests on more than one degree of freedom.
LARGE = 3
Tau2Mode = Literal["separate", "common", "smoothed"]


@shows_itself
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
class StrataFit(LinearFit):
    """What a subgroup analysis found; the fields are described in StratifiedResults."""

    by: tuple[str, ...]
    effects: EffectSizes
    strata: tuple[Stratum, ...]
    overall: RandomEffectsResults | None
    overall_pooled: Pooled | None
    tau2_mode: Tau2Mode
    between: TestResult | None
    between_note: str
    design: Design
    estimates: Array
    inference: WaldInference
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
    between_without: TestResult | None = None

    def __getitem__(self, name: str) -> Stratum:
        """Return a stratum by its name."""
        names = [s.name for s in self.strata]
        check_choice("stratum", name, names)
        return self.strata[names.index(name)]

    @property
    def fitted(self) -> tuple[Stratum, ...]:
        """The strata with a fit: those whose means are the coefficients."""
        return tuple(s for s in self.strata if s.fit is not None)

    @property
    def fits(self) -> tuple[RandomEffectsResults, ...]:
        """The models of the fitted strata."""
        return tuple(s.fit for s in self.strata if s.fit is not None)

    @property
    def compared(self) -> tuple[Stratum, ...]:
        """The strata in tests between strata: fitted, and by default reported."""
        return tuple(s for s in self.fitted if s.reported or self.compare_unreported)

    @property
    def small(self) -> tuple[Stratum, ...]:
        """The strata in tests between strata that have two clusters only: studies, or what shares effects."""
        return tuple(s for s in self.compared if self.clusters_in(s) < LARGE)

    def clusters_in(self, stratum: Stratum | str) -> int:
        """Return the number of clusters in a stratum; of studies where effects are independent.

        Examples
        --------
        >>> import pandas as pd, metaexo as mx
        >>> data = pd.DataFrame({"source": ["milk"] * 3 + ["plant"] * 3})
        >>> es = mx.EffectSizes([0.3, 0.4, 0.2, 0.5, 0.3, 0.9], [0.01] * 6, data=data)
        >>> mx.stratify(es, by="source").clusters_in("milk")
        3
        """
        found = stratum if isinstance(stratum, Stratum) else self[stratum]
        return found.m if self.clusters is None else len({self.clusters[i] for i in found.rows})

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and strata: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, *(s.rows for s in self.strata)]
        whole = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(
            whole + "|".join(s.name for s in self.strata).encode(errors="surrogatepass")
        ).hexdigest()[:16]

    # -- means as coefficients ---------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Means of the fitted strata, shape (S,)."""
        return self.estimates

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the means and their tests."""
        return self.inference

    @property
    def omnibus(self) -> TestResult:
        """The test that the strata share one mean; statistic and p-value are NaN where there is none."""
        nothing = TestResult(np.nan, "chi2", (np.nan,), np.nan, self.between_note)
        return nothing if self.between is None else self.between

    def no_single_mean(self) -> tuple[str, str]:
        """Return that strata have a pooled effect each, and where that of all effects is."""
        return (
            "each stratum has its own pooled effect, so there is no single one",
            "use .overall for the fit of all effects, to_frame() or predict() for the strata",
        )

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Refuse: strata are made robust when they are fitted."""
        raise InputError(
            "fitted strata have no cluster-robust covariance matrix for other clusters",
            "clusters that are named when strata are fitted",
            "stratify again with cluster=..., which gives standard errors robust to dependence within it",
        )

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether true effects differ within strata in this model; False for equal effects."""
        return self.method != "EE"

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Fitted stratum to its between-study variance."""
        return {s.name: fit.tau2 for s, fit in zip(self.fitted, self.fits, strict=True)}

    @property
    def tau2(self) -> float:
        """The between-study variance that all strata share; NaN where each has its own.

        :meth:`StratifiedResults.heterogeneity` has that of each stratum.
        """
        values = set(self.tau2_by_component.values())
        return values.pop() if len(values) == 1 else np.nan

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical effect of all fitted strata; NaN without one.

        (k - S) / trace(P), where P is that of one mean per stratum and equal effects within.
        """
        fits = [fit for fit in self.fits if not (fit.effects.v == 0).any()]
        if not fits or len(fits) < len(self.fits):
            return np.nan
        free = sum(fit.df_residual for fit in fits)
        trace = sum(fit.df_residual / fit.typical_variance for fit in fits if fit.df_residual)
        return float(free / trace) if trace else np.nan

    # -- likelihood --------------------------------------------------------------------------------------

    @property
    def has_likelihood(self) -> bool:
        """Whether there is a fitted stratum."""
        return bool(self.fits)

    @property
    def rows_in_likelihood(self) -> Mask:
        """Which effects are in a fitted stratum, shape (k,)."""
        return lock(np.asarray(self.design.matrix(self.effects.k).any(axis=1)))

    def variance_model(self) -> VarianceModel | None:
        """Return how tau2 depends on parameters: one per stratum or one; None for smoothed tau2."""
        if not self.fits or self.tau2_mode == "smoothed":
            return None
        if not self.is_random:
            return VarianceModel("none", np.empty((self.k, 0)))
        x = self.design.matrix(self.effects.k)
        return VarianceModel("identity", x if self.tau2_mode == "separate" else x.sum(axis=1, keepdims=True))

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return the statistics of all strata: the sum of their log-likelihoods at their tau2.

        Counted are a mean per stratum, and one tau2, or one per stratum, or the two parameters of smoothed
        ones. The likelihood is the restricted one by default for REML.
        """
        if not self.fits:
            return super().fit_statistics(restricted)
        parts = [fit.fit_statistics(restricted) for fit in self.fits]
        s, of_reml = len(parts), parts[0].restricted
        variances = {"separate": s, "common": 1, "smoothed": 2}[self.tau2_mode] if self.is_random else 0
        v = np.concatenate([fit.effects.v for fit in self.fits])
        observations = float(v.size - (s if of_reml else 0))
        return statistics_at(sum(part.llf for part in parts), v, observations, s + variances, of_reml)


def check_strata(results: object) -> StrataFit:
    """Return the strata, or say what was handed in instead."""
    if not isinstance(results, StrataFit):
        raise InputError(
            f"the strata are of type {type(results).__name__}",
            "the result of mx.stratify",
            "stratify first: mx.stratify(effects, by=...)",
        )
    return results
