"""An attribution of heterogeneity with its methods, and its forms for readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import MISSING, level_words, number, p_value, percent, plural, text_table
from metaexo.heterogeneity.attribution.record import NO_MODEL, AttributionFit
from metaexo.heterogeneity.levels import readable, rows_by_factor, whole_percent
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import (
    FamilyLines,
    coefficient_rows,
    coefficient_table,
    data_lines,
    fitted_lines,
)
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator
from metaexo.readable import ReaderTable, Summary
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.linear.prediction import NewRows

COEFFICIENTS = "additive model of all factors"
HEADER = ["part", "share", "interval", "P(zero)", "by chance", "p", "by variance components"]
CLOSE = 0.1
NOT_CUT = "intervals hold only what is possible, and shares are not cut: a share may lie outside its interval"


@dataclass(frozen=True, eq=False, repr=False)
class AttributionResults(AttributionFit, FitResults):
    """An attribution of heterogeneity to factors.

    Attributes
    ----------
    effects, used : EffectSizes
        The effects given, and those that were used.
    by : tuple of str
        The factors.
    parts : tuple of Part
        What tau2 is divided into; without numbers where the verdict is a refusal.
    explained : Explained or None
        tau2 without factors, and R2; None where they cannot be had.
    verdict : Verdict
        The plain answer.
    confounding : Confounding
        How far the factors are confounded.
    random : VarianceShares or None
        The random-effects version; None where the verdict is a refusal.
    choices : Choices
        What was chosen.
    model : RandomEffectsResults or None
        The additive model of all factors, redundant columns left out; None where it has no fit.
    design : Design
        Its columns.
    method, test : str
        Estimator of tau2, and kind of test of the model.
    level : float
        Level of intervals and tests.
    """

    @property
    def q(self) -> TestResult:
        """Cochran's Q test of residual heterogeneity in the additive model; NaN where it has no fit."""
        nothing = TestResult(np.nan, "chi2", (np.nan,), np.nan, NO_MODEL)
        return nothing if self.model is None else self.model.q

    def heterogeneity(self, level: float | None = None, method: str | None = None) -> pd.DataFrame:
        """Return the parts of tau2 without factors that add up, with the intervals of the bootstrap.

        Parameters
        ----------
        level : float, optional
            Only that of the attribution, which is the default.
        method : str, optional
            Only "bootstrap", which is the default.

        Returns
        -------
        DataFrame
            A row per part: tau2, below zero where a factor explains less than one without effect would, and
            its root tau (missing there); low and high, the interval of tau2; i2 and share, which add up to
            those of the model without factors. No rows where nothing was attributed. Estimates are not cut,
            so that parts add up, while intervals hold only what is possible, from 0 to the whole tau2: an
            estimate may lie outside its interval.

        Raises
        ------
        InputError
            If another level is asked for.
        """
        import pandas as pd

        if self.at_level(level) != self.level:
            raise InputError(
                f"level {level}, and the draws were summarised at {self.level:g}",
                f"level {self.level:g}",
                "attribute again with level=...",
            )
        if method is not None:
            get_interval(method, ("bootstrap",))
        parts = self.components
        share = np.array([part.share for part in parts], dtype=float)
        ends = np.array([(part.low, part.high) for part in parts], dtype=float).reshape(-1, 2) * self.tau2
        values = np.array([part.tau2 for part in parts], dtype=float)
        table = pd.DataFrame(
            {
                "tau2": values,
                "tau": np.sqrt(np.where(values >= 0, values, np.nan)),
                "low": ends[:, 0],
                "high": ends[:, 1],
                "i2": share * self.i2,
                "share": share,
            },
            index=pd.Index([part.name for part in parts], name="component", dtype=object),
        )
        table.attrs = {"level": self.level, "method": "bootstrap" if self.choices.draws else ""}
        table.attrs["note"] = "".join(_outside(self))
        return table

    def predict(
        self,
        new: NewRows = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
        *,
        kind: str = "default",
        adjust: str | None = None,
        transform: str | Callable[[Array], Array] | None = None,
        sampling_variance: float = 0.0,
    ) -> pd.DataFrame:
        """Return predictions of the additive model of all factors; it must have a fit.

        New rows are a dict or a table with a level of each factor; or indicators of the levels, in the order
        of `design.names`. All else is as in :meth:`metaexo.models.FitResults.predict`.
        """
        return self._fitted_model().predict(
            self._indicators(new),
            level,
            scale,
            kind=kind,
            sampling_variance=sampling_variance,
            adjust=adjust,
            transform=transform,
        )

    def probability_above(self, value: float = 0.0, new: NewRows = None, kind: str = "default") -> Array:
        """Return probabilities from the additive model of all factors, for new rows as in `predict`."""
        return self._fitted_model().probability_above(value, self._indicators(new), kind)

    def _indicators(self, new: Any) -> Any:
        """Return new rows that are given by factor as indicators of its levels; others as they are."""
        if not hasattr(new, "keys") or not set(map(str, new.keys())).isdisjoint(self.design.needed):
            return new
        import pandas as pd

        table = self.estimability.table
        levels = dict(zip(table.names, table.levels, strict=True))
        cells = rows_by_factor(new, levels)
        return pd.DataFrame(
            {
                f"{name}{level}": [float(cell[j] == level) for cell in cells]
                for j, (name, known) in enumerate(levels.items())
                for level in known[1:]
            }
        )

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the residuals of the additive model: columns fitted, residual, se, z."""
        return self._fitted_model().residuals(kind)

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects of the additive model: what the factors leave unexplained."""
        return self._fitted_model().random_effects(level).assign(component="unexplained")

    def _fitted_model(self) -> RandomEffectsResults:
        if self.model is None:
            raise NotIdentifiableError(
                "the additive model of all factors has no fit",
                "more effects than levels, which are in enough studies",
                "join levels, or attribute to fewer factors",
            )
        return self.model

    # -- for readers -------------------------------------------------------------------------------------

    def to_frame(self) -> pd.DataFrame:
        """Return one row per part, with the fields of :class:`Part`; what is not estimable is missing.

        `attrs` holds k, m, method, test, measure, scale, level, tau2, i2, the ledger in words, the digest.
        """
        import pandas as pd

        table = pd.DataFrame([asdict(part) for part in self.parts])
        words = {"name", "kind", "note"}
        table = table.astype({name: float for name in table.columns if name not in words})
        table.attrs = super().to_frame().attrs
        return table

    def facts(self) -> dict[str, Any]:
        """Return what an attribution adds to `to_dict`: verdict, parts, R2, confounding, choices."""
        found = self.estimability
        return super().facts() | {
            "by": self.by,
            "verdict": self.verdict,
            "parts": self.parts,
            "explained": self.explained,
            "r2_corrected": None if self.explained is None else self.explained.r2_corrected,
            "associations": self.confounding.associations,
            "inflations": self.confounding.inflations,
            "k_used": found.used.k,
            "m_used": found.used.m,
            "not_reported": self.not_reported,
            "random": self.random,
            "disagreement": self.disagreement,
            "choices": self.choices,
        }

    def family_lines(self) -> FamilyLines:
        """Return what an attribution adds to the summary and to the notes below the tables."""
        names = ", ".join(readable(name) for name in self.by)
        return FamilyLines(
            model=f"Attribution of tau2 to {names}",
            tests=f"{self.choices.draws} draws from the fitted model" if self.choices.draws else "none",
            fitted=(f"tau2: {get_estimator(self.method).name}; shares over all orders, not cut off at zero",),
        )

    def summary(self) -> Summary:
        """Return the summary in its five parts."""
        return summarise(self)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the parts of tau2, and the coefficients of the additive model."""
        tables = [ReaderTable(_rows(self), HEADER)]
        if self.model is not None:
            tables.append(ReaderTable(*coefficient_rows(self, self.effects), COEFFICIENTS))
        return [table for table in tables if table.rows]

    def table_notes(self) -> list[str]:
        """Return the lines below the tables: the verdict with its reasons, what was fitted, rows used."""
        parts = summarise(self).parts
        model = [] if self.model is None else [f"{COEFFICIENTS}: {self.omnibus}"]
        return [*parts["Verdict"], *_fitted(self), *_totals(self), *_outside(self), *model, *_data(self)]

    def __repr__(self) -> str:
        return f"AttributionResults({self.verdict.kind}: {self.verdict.sentence})"


def summarise(result: AttributionResults) -> Summary:
    """Return the five parts of the summary."""
    return Summary(
        {
            "What was fitted": _fitted(result),
            "Verdict": [result.verdict.sentence, *(f"because: {why}" for why in result.verdict.reasons)],
            "Heterogeneity": _heterogeneity(result),
            "Data": _data(result),
            "Fit": _fit(result),
        }
    )


def _fitted(result: AttributionResults) -> list[str]:
    lines = fitted_lines(result, result.family_lines())
    return [line for line in lines if not line.startswith("moderators: ")]


def _totals(result: AttributionFit) -> list[str]:
    """Return tau2 without factors and R2; empty where nothing was attributed."""
    found = result.explained
    if found is None:
        return []
    return [
        f"tau2 without factors {number(found.tau2, 4)}, I2 {percent(result.i2)}",
        f"R2 of all factors {whole_percent(found.r2)}, by chance {whole_percent(found.r2_chance)}, "
        f"corrected for chance {whole_percent(found.r2_corrected)}",
    ]


def _outside(result: AttributionFit) -> list[str]:
    """Return that estimates may lie outside their intervals, where there are intervals."""
    return [NOT_CUT] if result.choices.draws and result.components else []


def _heterogeneity(result: AttributionFit) -> list[str]:
    rows = _rows(result)
    lines = [*_totals(result), text_table(rows, HEADER) if rows else "no shares are given"]
    lines += _outside(result)
    lines += [f"{readable(part.name)}: {part.note}" for part in result.parts if part.note and rows]
    if result.disagreement is not None:
        lines.append(_disagreement(result.disagreement))
    if result.random is not None and result.random.note:
        lines.append(result.random.note)
    return lines


def _disagreement(points: float) -> str:
    """Return how far the shares of the fixed and of the random version differ."""
    if points <= CLOSE:
        return f"fixed and random versions agree: shares differ by at most {whole_percent(points)} of tau2"
    return (
        f"fixed and random versions disagree: shares differ by up to {whole_percent(points)} of tau2 (the "
        "fixed one is about the levels at hand, the random one about all levels they are drawn from)"
    )


def _rows(result: AttributionFit) -> list[list[str]]:
    """Return a row for each part that has a number."""
    return [
        [
            readable(part.name),
            whole_percent(part.share),
            MISSING
            if part.low is None or part.high is None
            else f"{whole_percent(part.low)} to {whole_percent(part.high)}",
            number(part.p_zero),
            whole_percent(part.chance),
            MISSING if part.pvalue is None else p_value(part.pvalue),
            whole_percent(part.random_share),
        ]
        for part in result.parts
        if part.share is not None
    ]


def _data(result: AttributionFit) -> list[str]:
    found = result.estimability
    lines = [*data_lines(result), *found.set_aside_words()]
    lines.append(f"used: {plural(found.used.k, 'effect')} of {plural(found.used.m, 'study', 'studies')}")
    for name, count in result.not_reported.items():
        if count:
            lines.append(f"{readable(name)} not reported in {plural(count, 'effect')}: a separate level")
    if found.used.m < found.used.k:
        lines.append("several effects per study: tests permute whole studies, draws keep them together")
    return lines


def _fit(result: AttributionFit) -> list[str]:
    chosen = result.choices
    lines = ["no shares, so nothing was drawn or permuted"]
    if result.explained is not None:
        drawn = f"{chosen.draws} draws from the fitted model" if chosen.draws else "no draws, so no intervals"
        lines = [
            f"{drawn}, {chosen.permutations} permutations of whole studies, seed {chosen.seed}, "
            f"level {level_words(chosen.level)}"
        ]
    if result.model is not None:
        table = coefficient_table(result, result.effects)
        lines += [f"{COEFFICIENTS}: {result.omnibus}", table]
    return [*lines, f"data digest {result.digest}"]
