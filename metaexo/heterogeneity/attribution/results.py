"""An attribution of heterogeneity with its forms for readers: tables, plain values, HTML and the summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from metaexo.formatting import (
    MISSING,
    html_table,
    interval,
    number,
    p_value,
    percent,
    plural,
    printed,
    text_table,
)
from metaexo.heterogeneity.attribution.record import AttributionFit
from metaexo.heterogeneity.levels import readable, whole_percent
from metaexo.models.linear.summary import Summary
from metaexo.numeric.estimators import get_estimator

if TYPE_CHECKING:
    import pandas as pd

HEADER = ["part", "share", "interval", "P(zero)", "by chance", "p", "by variance components"]
CLOSE = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class AttributionResults(AttributionFit):
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
    """

    def to_frame(self) -> pd.DataFrame:
        """Return one row per part, with the fields of :class:`Part`; what is not estimable is missing."""
        import pandas as pd

        table = pd.DataFrame([asdict(part) for part in self.parts])
        words = {"name", "kind", "note"}
        return table.astype({name: float for name in table.columns if name not in words})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: verdict, parts, R2, confounding, counts, choices."""
        found = self.estimability
        return {
            "by": list(self.by),
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
        return summarise(self)

    @printed
    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"AttributionResults({self.verdict.kind}: {self.verdict.sentence})"

    def _repr_html_(self) -> str:
        return html(self)


def summarise(result: AttributionFit) -> Summary:
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


def html(result: AttributionFit) -> str:
    """Return the verdict and the table of parts as HTML."""
    words = f"<p><strong>{escape(result.verdict.sentence)}</strong></p>"
    rows = _rows(result)
    return f"{words}\n{html_table(rows, HEADER)}" if rows else words


def _fitted(result: AttributionFit) -> list[str]:
    used = result.estimability.used
    names = ", ".join(readable(name) for name in result.by)
    lines = [
        f"tau2 of {plural(used.k, 'effect')} from {plural(used.m, 'study', 'studies')}, "
        f"{result.effects.measure.name} ({result.effects.measure.code}), attributed to {names}"
    ]
    method = get_estimator(result.choices.method).name
    return [*lines, f"tau2: {method}; shares over all orders of the factors, not cut off at zero"]


def _heterogeneity(result: AttributionFit) -> list[str]:
    lines = []
    if result.explained is not None:
        found = result.explained
        lines.append(f"tau2 without factors {number(found.tau2, 4)}")
        lines.append(
            f"R2 of all factors {whole_percent(found.r2)}, by chance {whole_percent(found.r2_chance)}, "
            f"corrected for chance {whole_percent(found.r2_corrected)}"
        )
    rows = _rows(result)
    if rows:
        lines.append(text_table(rows, HEADER))
    else:
        lines.append("no shares are given")
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
            else interval(round(100 * part.low), round(100 * part.high), 0),
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
    lines = [f"{plural(found.table.k, 'effect')} of {plural(found.table.m, 'study', 'studies')}"]
    lines += found.set_aside_words()
    for name, count in result.not_reported.items():
        if count:
            lines.append(f"{readable(name)} not reported in {plural(count, 'effect')}: a level of its own")
    if found.used.m < found.used.k:
        lines.append("several effects of one study: tests permute whole studies, draws keep them together")
    return lines


def _fit(result: AttributionFit) -> list[str]:
    chosen = result.choices
    if result.explained is None:
        return ["no shares, so nothing was drawn or permuted"]
    drawn = f"{chosen.draws} draws from the fitted model" if chosen.draws else "no draws, so no intervals"
    return [
        f"{drawn}, {chosen.permutations} permutations of whole studies, seed {chosen.seed}, "
        f"level {percent(chosen.level)}"
    ]
