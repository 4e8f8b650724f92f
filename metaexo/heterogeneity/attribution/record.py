"""The record of an attribution of heterogeneity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.formatting import NOT_REPORTED
from metaexo.heterogeneity.attribution.components import VarianceShares
from metaexo.heterogeneity.attribution.confounding import Confounding
from metaexo.heterogeneity.attribution.estimability import Estimability
from metaexo.heterogeneity.attribution.shares import PartKind
from metaexo.heterogeneity.attribution.verdicts import Verdict
from metaexo.inputs import check_choice
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.hypothesis import DfRule, TestResult, WaldInference
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.sandwich import Sandwich
from metaexo.readable import shows_itself
from metaexo.types import Array, Index

NO_MODEL = "no additive model of all factors can be fitted"


@shows_itself
@dataclass(frozen=True, slots=True)
class Part:
    """One part of the between-study variance.

    A number that the data do not determine is None, and `note` says why.

    Attributes
    ----------
    name : str
        The part in words.
    kind : {"factor", "interaction", "unexplained", "only", "common", "together"}
        "factor": share of a factor over all orders (Shapley); these, "interaction" and "unexplained" add up
        to 1, and so do "only", "common", "interaction" and "unexplained". "only": what a factor adds to all
        others; "common": what some factors explain together and none alone; "together": all factors.
    tau2 : float or None
        The part in units of tau2; below zero if a factor explains less than one without effect would.
    share : float or None
        The part as a share of tau2 without factors.
    low, high : float or None
        Its interval, within what is possible.
    p_zero : float or None
        Share of the draws in which it is not above zero.
    chance : float or None
        Mean share over permutations of whole studies.
    corrected : float or None
        (share - chance) / (1 - chance of all factors together).
    pvalue : float or None
        p-value of the permutations, given the factors that the part is not about.
    pvalue_alone : float or None
        p-value of a factor by itself.
    random_share : float or None
        Share by variance components.
    note : str
        Why numbers are missing.
    """

    name: str
    kind: PartKind
    tau2: float | None = None
    share: float | None = None
    low: float | None = None
    high: float | None = None
    p_zero: float | None = None
    chance: float | None = None
    corrected: float | None = None
    pvalue: float | None = None
    pvalue_alone: float | None = None
    random_share: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen for an attribution, as in :func:`metaexo.attribute_heterogeneity`."""

    method: str
    draws: int
    permutations: int
    seed: int
    level: float
    min_studies: int


@dataclass(frozen=True, slots=True)
class Explained:
    """How much of tau2 all factors explain.

    Attributes
    ----------
    tau2 : float
        tau2 without factors.
    r2 : float
        Share explained by all factors together, cut off at zero.
    r2_chance : float
        The same on average over permutations of whole studies.
    """

    tau2: float
    r2: float
    r2_chance: float

    @property
    def r2_corrected(self) -> float:
        """R2 corrected for chance: (r2 - chance) / (1 - chance), cut off at zero."""
        return max(0.0, (self.r2 - self.r2_chance) / (1 - self.r2_chance)) if self.r2_chance < 1 else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class AttributionFit(LinearFit):
    """What an attribution of heterogeneity found; the fields are described in AttributionResults."""

    effects: EffectSizes
    used: EffectSizes
    by: tuple[str, ...]
    parts: tuple[Part, ...]
    explained: Explained | None
    verdict: Verdict
    confounding: Confounding
    random: VarianceShares | None
    choices: Choices
    model: RandomEffectsResults | None
    design: Design
    method: str
    test: str
    level: float

    # -- the model of all factors ------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Coefficients of the additive model of all factors, shape (p,); none where it has no fit."""
        return np.empty(0) if self.model is None else self.model.beta

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix and tests of these coefficients."""
        return WaldInference(np.empty((0, 0)), None) if self.model is None else self.model.wald

    @property
    def omnibus(self) -> TestResult:
        """Wald test that no factor matters, by the additive model; NaN where it has no fit."""
        nothing = TestResult(np.nan, "chi2", (np.nan,), np.nan, NO_MODEL)
        return nothing if self.model is None else self.model.omnibus

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom of the additive model; NaN where it has no fit."""
        return np.nan if self.model is None else self.model.df_residual

    @property
    def has_likelihood(self) -> bool:
        """No: tau2 under several models is compared; `model` has the likelihood of the largest."""
        return False

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: effects, variances, levels."""
        return [self.effects.y, self.effects.v, self.estimability.table.codes.astype(float)]

    def no_single_mean(self) -> tuple[str, str]:
        """Return that parts of tau2 are no pooled effect, and where that is."""
        return (
            "an attribution divides tau2, so there is no single pooled effect",
            "use mx.RandomEffects(result.effects).fit().pooled() for all effects, to_frame() for the parts",
        )

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Refuse: tests of an attribution permute whole studies."""
        raise InputError(
            "an attribution has no cluster-robust covariance matrix: its tests permute whole studies",
            "the additive model of all factors",
            "call .model.robust(...) on this result: its coefficients with robust standard errors"
            if self.model is not None
            else "join levels, so that this model has a fit",
        )

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def components(self) -> tuple[Part, ...]:
        """The parts that add up to tau2 without factors; none where nothing was attributed."""
        known = [part for part in self.parts if part.tau2 is not None]
        divided = any(part.kind == "factor" for part in known)
        kinds = {"factor", "interaction", "unexplained"} if divided else {"together", "unexplained"}
        return tuple(part for part in known if part.kind in kinds)

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Part to its share of tau2 in units of tau2; parts add up to tau2 without factors."""
        return {part.name: part.tau2 for part in self.components if part.tau2 is not None}

    @property
    def tau2(self) -> float:
        """Between-study variance without factors; NaN where nothing was attributed."""
        return np.nan if self.explained is None else self.explained.tau2

    @cached_property
    def typical_variance(self) -> float:
        """Sampling variance of a typical effect in the model without factors; NaN without one."""
        used = self.used
        if used.k < 2 or (used.v == 0).any():
            return np.nan
        trace = moments(make_batch(used.y, used.v), np.zeros(1)).trace_p
        return float((used.k - 1) / np.ravel(trace)[0])

    # -- parts -------------------------------------------------------------------------------------------

    @property
    def estimability(self) -> Estimability:
        """What the crossing of the factors can estimate."""
        return self.confounding.estimability

    @property
    def shares(self) -> dict[str, float | None]:
        """Factor to its share of tau2 over all orders; None where it is not estimable."""
        return {part.name: part.share for part in self.parts if part.kind == "factor"}

    @property
    def disagreement(self) -> float | None:
        """Largest difference between a factor's share and that by variance components."""
        pairs = [(p.share, p.random_share) for p in self.parts if p.kind == "factor"]
        gaps = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        return max(gaps) if gaps else None

    @property
    def not_reported(self) -> dict[str, int]:
        """Factor to the number of effects whose level is not reported."""
        table = self.estimability.table
        return {
            name: sum(levels[code] == NOT_REPORTED for code in table.codes[:, j])
            for j, (name, levels) in enumerate(zip(table.names, table.levels, strict=True))
        }

    def part(self, name: str) -> Part:
        """Return a part by its name, for example "source", "interaction" or "unexplained"."""
        known = {part.name: part for part in self.parts}
        check_choice("part", name, tuple(known))
        return known[name]
