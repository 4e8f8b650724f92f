"""The sealed outcome of an attribution of heterogeneity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import printed
from metaexo.heterogeneity.attribution.components import VarianceShares
from metaexo.heterogeneity.attribution.confounding import Confounding
from metaexo.heterogeneity.attribution.estimability import Estimability
from metaexo.heterogeneity.attribution.shares import PartKind
from metaexo.heterogeneity.attribution.verdicts import Verdict
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.univariate.summary import Summary


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the between-study variance.

    A number that the data cannot tell is None, and `note` says why.

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
        Mean share when whole studies are dealt to labels at random.
    corrected : float or None
        (share - chance) / (1 - chance of all factors together).
    pvalue : float or None
        p-value of the deals, given the factors that the part is not about.
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
    draws, deals : int
        Number of bootstrap draws and of deals.
    seed : int
        Seed of both.
    level : float
        Level of intervals and tests.
    min_studies : int
        In how many studies a level must stand.
    """

    method: str
    draws: int
    deals: int
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
        The same when whole studies are dealt to labels at random, on average.
    """

    tau2: float
    r2: float
    r2_chance: float

    @property
    def r2_corrected(self) -> float:
        """R2 corrected for chance: (r2 - chance) / (1 - chance), cut off at zero."""
        return max(0.0, (self.r2 - self.r2_chance) / (1 - self.r2_chance)) if self.r2_chance < 1 else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class AttributionResults(Immutable):
    """An attribution of heterogeneity to factors.

    Attributes
    ----------
    effects, used : EffectSizes
        The effects handed in, and those that took part.
    factors : tuple of str
        The factors.
    parts : tuple of Part
        What tau2 is divided into; without numbers where the verdict is a refusal.
    explained : Explained or None
        tau2 without factors, and R2; None where they cannot be had.
    verdict : Verdict
        The plain answer.
    confounding : Confounding
        How far the factors go together.
    random : VarianceShares or None
        The random-effects version; None where the verdict is a refusal.
    choices : Choices
        What was chosen.
    """

    effects: EffectSizes
    used: EffectSizes
    factors: tuple[str, ...]
    parts: tuple[Part, ...]
    explained: Explained | None
    verdict: Verdict
    confounding: Confounding
    random: VarianceShares | None
    choices: Choices

    @property
    def estimability(self) -> Estimability:
        """What the crossing of the factors can tell."""
        return self.confounding.estimability

    @property
    def shares(self) -> dict[str, float | None]:
        """Factor to its share of tau2 over all orders; None where the data cannot tell."""
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
        from metaexo.heterogeneity.levels import NOT_REPORTED

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

    def to_frame(self) -> pd.DataFrame:
        """Return one row a part, with the fields of :class:`Part`; what cannot be told is missing."""
        import pandas as pd

        table = pd.DataFrame([asdict(part) for part in self.parts])
        words = {"name", "kind", "note"}
        return table.astype({name: float for name in table.columns if name not in words})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: verdict, parts, R2, confounding, counts, choices."""
        found = self.estimability
        return {
            "factors": list(self.factors),
            "verdict": asdict(self.verdict),
            "parts": [asdict(part) for part in self.parts],
            "explained": None if self.explained is None else asdict(self.explained),
            "r2_corrected": None if self.explained is None else self.explained.r2_corrected,
            "associations": [asdict(pair) for pair in self.confounding.associations],
            "inflations": [asdict(one) for one in self.confounding.inflations],
            "k": found.table.k,
            "m": found.table.m,
            "k_used": found.used.k,
            "m_used": found.used.m,
            "not_reported": self.not_reported,
            "random": None if self.random is None else self.random.to_dict(),
            "disagreement": self.disagreement,
            "choices": asdict(self.choices),
        }

    def summary(self) -> Summary:
        """Return the summary in its five parts."""
        from metaexo.heterogeneity.attribution.summary import summarise

        return summarise(self)

    @printed
    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"AttributionResults({self.verdict.kind}: {self.verdict.sentence})"

    def _repr_html_(self) -> str:
        from metaexo.heterogeneity.attribution.summary import html

        return html(self)
