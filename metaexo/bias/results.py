"""What all results on small-study effects and selection have in common: a name, a sentence, cautions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.formatting import interval, level_words, number
from metaexo.models.linear.hypothesis import TestResult
from metaexo.readable import Readable, with_ratios

if TYPE_CHECKING:
    import pandas as pd

NO_SPREAD = (
    "the effects do not vary about the model at all, so that there is no standard error, interval or p-value"
)
IMPOSSIBLE = "the {} is outside the values that are possible ({})"
STEP = 1e-6  # by which the end of a scale is distinguished from a value beyond it


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BiasResult(Readable):
    """Base of the results of this room.

    Attributes
    ----------
    effects : EffectSizes
        The effects that were looked into.
    said : tuple of str
        What to know before relying on the result; `cautions()` returns it.
    """

    name: ClassVar[str]  # of the method, as the field writes it: "trim and fill (L0)"
    effects: EffectSizes
    said: tuple[str, ...] = ()

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What was found, in one plain sentence."""

    @property
    def measure(self) -> Measure:
        """Effect-size measure of the effects."""
        return self.effects.measure

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    def table_notes(self) -> list[str]:
        """Return the sentence, which stands below the table."""
        return [self.sentence]

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the result; empty if there is nothing."""
        return self.said


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AdjustedEstimate(BiasResult):
    """Base of the estimates of a mean effect that allow for small-study effects or selection.

    Attributes
    ----------
    estimate, se, low, high : float
        The adjusted mean on the scale of the analysis, its standard error and its interval; NaN where there
        is none.
    level : float
        Level of the interval.
    pvalue : float
        Two-sided p-value of no effect; NaN where the method has none, or the measure has no such value.
    tau2 : float
        Between-study variance; NaN where the method has none.
    usable : bool
        Whether the estimate is one to be used: False where the data do not determine it (the likelihood has
        no maximum within reason, standard errors hardly differ); the cautions say why. Reports and figures
        keep it out of what they sum up.
    is_adjusted : bool
        Whether the method found something to adjust for; False where it returned the mean before adjustment.

    `rests_on` says in a few words what of the effects the estimate rests on.
    """

    rests_on: ClassVar[str] = ""
    estimate: float
    se: float
    low: float
    high: float
    level: float
    pvalue: float = np.nan
    tau2: float = np.nan
    usable: bool = True
    is_adjusted: bool = True

    def __post_init__(self) -> None:
        """Take away a width of 0, and say where an estimate is impossible."""
        said: list[str] = []
        if self.se == 0:
            for name in ("se", "low", "high", "pvalue"):
                object.__setattr__(self, name, np.nan)
            object.__setattr__(self, "usable", False)
            said.append(NO_SPREAD)
        if is_impossible(self.measure, self.estimate):
            object.__setattr__(self, "usable", False)
            said.append(IMPOSSIBLE.format("estimate", self.measure.name))
        if np.isnan(self.measure.null):
            object.__setattr__(self, "pvalue", np.nan)
        object.__setattr__(self, "said", (*said, *(text for text in self.said if text not in said)))
        super().__post_init__()

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, estimate, se, low, high, pvalue, tau2; ratios beside logarithms."""
        import pandas as pd

        row = {"method": self.name, "k": self.k}
        row |= {name: getattr(self, name) for name in ("estimate", "se", "low", "high", "pvalue", "tau2")}
        frame = pd.DataFrame([row])
        return with_ratios(frame, "pvalue") if self.measure.display_log else frame

    @property
    def shown(self) -> str:
        """The estimate and its interval as the measure is shown: "1.21 (95% CI 1.02 to 1.44)"."""
        if is_impossible(self.measure, self.estimate):
            return f"{number(self.estimate, 3)} on the scale of the analysis, which is not possible"
        return shown_estimate(self.effects, self.estimate, self.low, self.high, self.level)


def is_impossible(measure: Measure, value: float) -> bool:
    """Say whether a mean on the scale of the analysis belongs to no possible value of the quantity.

    Beyond its end the way back to the display scale stays at the end, however far one goes.
    """
    least, most = measure.possible
    step = STEP * (1.0 + abs(value))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        here, lower, higher = measure.back(np.array([value, value - step, value + step]))
    return bool(here < least or here > most or (here == least == higher) or (here == most == lower))


def shown_estimate(effects: EffectSizes, estimate: float, low: float, high: float, level: float) -> str:
    """Return a mean and its interval as the measure of the effects is shown: "1.21 (95% CI 1.02 to 1.44)"."""
    shown, least, most = back_pooled(effects, [estimate, low, high])
    if np.isnan(least) and np.isnan(most):
        return number(float(shown), 3)
    bounds = interval(float(least), float(most), 3)
    return f"{number(float(shown), 3)} ({level_words(level)} CI {bounds})"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BiasTest(BiasResult):
    """Base of tests of small-study effects.

    Attributes
    ----------
    test : TestResult
        Statistic, distribution, degrees of freedom, p-value and the null hypothesis in words.
    """

    test: TestResult

    @property
    def statistic(self) -> float:
        """The test statistic."""
        return self.test.statistic

    @property
    def pvalue(self) -> float:
        """Its p-value."""
        return self.test.pvalue

    def to_frame(self) -> pd.DataFrame:
        """Return one row: method, k, and the columns of the test."""
        frame = self.test.to_frame()
        frame.insert(0, "method", self.name)
        frame.insert(1, "k", self.k)
        return frame
