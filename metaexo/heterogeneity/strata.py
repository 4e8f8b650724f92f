"""The sealed outcome of a subgroup analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.formatting import interval, number, percent, plural, text_table
from metaexo.models.hypothesis import TestResult
from metaexo.models.records import Pooled
from metaexo.models.results import RandomEffectsResults

if TYPE_CHECKING:
    import pandas as pd

Tau2Mode = Literal["separate", "common"]


@dataclass(frozen=True, eq=False)
class Stratum:
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
        The model of this stratum; None where one study is all there is. With a common tau2 it is the fit at
        that tau2.
    pooled : Pooled or None
        Its pooled effect: from its own fit, or with a common tau2 from the joint model.
    note : str
        Why there is no fit, or what is special about it.
    """

    name: str
    levels: dict[str, str]
    rows: NDArray[np.intp]
    effects: EffectSizes
    fit: RandomEffectsResults | None
    pooled: Pooled | None
    note: str

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m


@dataclass(frozen=True, eq=False, repr=False)
class StratifiedResults:
    """A subgroup analysis.

    Attributes
    ----------
    by : tuple of str
        The factors.
    effects : EffectSizes
        All effects, in the order handed in.
    strata : tuple of Stratum
        The strata, those with most studies first, "not reported" last.
    overall : RandomEffectsResults or None
        The model of all effects, strata ignored; None if they come from fewer than two studies.
    tau2_mode : {"separate", "common"}
        Whether each stratum has its own between-study variance.
    between : TestResult or None
        Test that all strata share one mean effect; None if fewer than two strata can be fitted.
    between_note : str
        Which strata and which method the test uses, or why there is none.
    """

    by: tuple[str, ...]
    effects: EffectSizes
    strata: tuple[Stratum, ...]
    overall: RandomEffectsResults | None
    tau2_mode: Tau2Mode
    between: TestResult | None
    between_note: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row a stratum, and one for all: counts, pooled effect, intervals, tau2, I2, note.

        Numbers that cannot be had from a stratum are missing and its note says why.
        """
        import pandas as pd

        rows = [
            {**s.levels, "stratum": s.name, **_numbers(s.fit, s.pooled, s.k, s.m), "note": s.note}
            for s in self.strata
        ]
        if self.overall is not None:
            fit = self.overall
            rows.append({"stratum": "all", **_numbers(fit, fit.pooled(), fit.k, fit.m), "note": ""})
        counts, words = {"k", "m"}, {*self.by, "stratum", "note"}
        table = pd.DataFrame(rows)
        return table.astype({name: float for name in table.columns if name not in counts | words})

    def summary(self) -> str:
        """Return the strata as a plain table, with the test between them."""
        rows = []
        for row in self.to_frame().to_dict("records"):
            cells = [str(row[c]) for c in ("stratum", "k", "m")]
            cells += [number(row["estimate"]), interval(row["low"], row["high"]), number(row["tau"])]
            rows.append([*cells, percent(row["i2"]), str(row["note"])])
        header = ["stratum", "k", "m", "estimate", "interval", "tau", "I2", "note"]
        test = f"between strata: {self.between}" if self.between else "between strata: no test"
        return f"{text_table(rows, header)}\n{test}\n{self.between_note}"

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        strata = plural(len(self.strata), "stratum", "strata")
        return f"StratifiedResults(by {', '.join(self.by)}: {strata}, k = {self.effects.k})"


def _numbers(
    fit: RandomEffectsResults | None, pooled: Pooled | None, k: int, m: int
) -> dict[str, float | int | None]:
    """Return the numeric columns of one row of the table."""
    return {
        "k": k,
        "m": m,
        "estimate": pooled.estimate if pooled else None,
        "se": pooled.se if pooled else None,
        "low": pooled.low if pooled else None,
        "high": pooled.high if pooled else None,
        "prediction_low": pooled.prediction_low if pooled else None,
        "prediction_high": pooled.prediction_high if pooled else None,
        "tau2": fit.tau2 if fit else None,
        "tau": fit.tau if fit else None,
        "i2": fit.i2 if fit else None,
        "q": fit.q.statistic if fit else None,
        "q_pvalue": fit.q.pvalue if fit else None,
    }
