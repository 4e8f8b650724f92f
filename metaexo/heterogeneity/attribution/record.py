"""The record of an attribution of heterogeneity."""

from __future__ import annotations

from dataclasses import dataclass

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import NOT_REPORTED
from metaexo.heterogeneity.attribution.components import VarianceShares
from metaexo.heterogeneity.attribution.confounding import Confounding
from metaexo.heterogeneity.attribution.estimability import Estimability
from metaexo.heterogeneity.attribution.shares import PartKind
from metaexo.heterogeneity.attribution.verdicts import Verdict
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice


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
    """What was chosen for an attribution.

    Attributes
    ----------
    method : str
        Estimator of tau2.
    draws, permutations : int
        Number of bootstrap draws and of permutations.
    seed : int
        Seed of both.
    level : float
        Level of intervals and tests.
    min_studies : int
        In how many studies a level must stand.
    """

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
class AttributionFit(Immutable):
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
        """Return a part by its name.

        Parameters
        ----------
        name : str
            For example "source", "interaction" or "unexplained".

        Raises
        ------
        UnknownChoiceError
            If there is no such part.
        """
        known = {part.name: part for part in self.parts}
        check_choice("part", name, tuple(known))
        return known[name]
