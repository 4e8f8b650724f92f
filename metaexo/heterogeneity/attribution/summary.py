"""An attribution as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaexo.formatting import (
    MISSING,
    html_table,
    interval,
    number,
    p_value,
    percent,
    plural,
    text_table,
)
from metaexo.heterogeneity.levels import readable, whole_percent
from metaexo.models.univariate.summary import Summary
from metaexo.numeric.estimators import get_estimator

if TYPE_CHECKING:
    from metaexo.heterogeneity.attribution.record import AttributionResults

HEADER = ["part", "share", "interval", "P(zero)", "by chance", "p", "by variance components"]
CLOSE = 0.1


def summarise(result: AttributionResults) -> Summary:
    """Return the five parts of the summary."""
    return Summary(
        {
            "What was fitted": _fitted(result),
            "Verdict": [result.verdict.sentence, *(f"because: {why}" for why in result.verdict.reasons)],
            "Spread": _spread(result),
            "Data": _data(result),
            "Fit": _fit(result),
        }
    )


def html(result: AttributionResults) -> str:
    """Return the verdict and the table of parts as HTML."""
    from html import escape

    words = f"<p><strong>{escape(result.verdict.sentence)}</strong></p>"
    rows = _rows(result)
    return f"{words}\n{html_table(rows, HEADER)}" if rows else words


def _fitted(result: AttributionResults) -> list[str]:
    used = result.estimability.used
    names = ", ".join(readable(name) for name in result.factors)
    lines = [
        f"tau2 of {plural(used.k, 'effect')} from {plural(used.m, 'study', 'studies')}, "
        f"{result.effects.measure.name} ({result.effects.measure.code}), attributed to {names}"
    ]
    method = get_estimator(result.choices.method).name
    return [*lines, f"tau2: {method}; shares over all orders of the factors, not cut off at zero"]


def _spread(result: AttributionResults) -> list[str]:
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


def _rows(result: AttributionResults) -> list[list[str]]:
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


def _data(result: AttributionResults) -> list[str]:
    found = result.estimability
    lines = [f"{plural(found.table.k, 'effect')} of {plural(found.table.m, 'study', 'studies')}"]
    lines += found.set_aside_words()
    for name, count in result.not_reported.items():
        if count:
            lines.append(f"{readable(name)} not reported in {plural(count, 'effect')}: a level of its own")
    if found.used.m < found.used.k:
        lines.append("several effects of one study: tests deal whole studies, draws keep them together")
    return lines


def _fit(result: AttributionResults) -> list[str]:
    chosen = result.choices
    if result.explained is None:
        return ["no shares, so nothing was drawn or dealt"]
    drawn = f"{chosen.draws} draws from the fitted model" if chosen.draws else "no draws, so no intervals"
    return [
        f"{drawn}, {chosen.deals} deals of whole studies, seed {chosen.seed}, level {percent(chosen.level)}"
    ]
