"""The five-part summary of a fit: what was fitted, pooled, spread, data, fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.formatting import interval, number, p_value, percent, plural, text_table
from metaexo.numeric.estimators import get_estimator

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults

TEST_WORDS = {
    "z": "normal quantiles",
    "t": "t distribution",
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung, scale at least 1",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines of a summary by part; `str()` sets them as text.

    Attributes
    ----------
    parts : dict of str to list of str
        Title to lines, always in the order: what was fitted, pooled, spread, data, fit.
    """

    parts: dict[str, list[str]]

    def __str__(self) -> str:
        blocks = [
            f"{title}\n" + "\n".join("  " + line for text in lines for line in text.split("\n"))
            for title, lines in self.parts.items()
        ]
        return "\n".join(blocks)


def summarise(fit: RandomEffectsResults) -> Summary:
    """Return the five parts for a fit."""
    return Summary(
        {
            "What was fitted": _fitted(fit),
            "Pooled": _pooled(fit),
            "Spread": _spread(fit),
            "Data": _data(fit),
            "Fit": _certificate(fit),
        }
    )


def _fitted(fit: RandomEffectsResults) -> list[str]:
    measure = fit.effects.measure
    kind = "Equal-effects model" if fit.method == "EE" else "Random-effects model"
    how = "given" if fit.tau2_given else get_estimator(fit.method).name
    lines = [
        f"{kind} of {plural(fit.k, 'effect')} from {plural(fit.m, 'study', 'studies')}, "
        f"{measure.name} ({measure.code})"
    ]
    if fit.method != "EE":
        lines.append(f"tau2: {how}")
    lines.append(f"intervals: {TEST_WORDS[fit.test]}, level {percent(fit.level)}")
    if fit.design.x is not None:
        lines.append("moderators: " + ", ".join(fit.design.names))
    return lines


def _pooled(fit: RandomEffectsResults) -> list[str]:
    if fit.design.x is not None:
        bounds = fit.conf_int().to_numpy()
        rows = [
            [name, number(b, 4), number(se, 4), interval(low, high, 4), p_value(p)]
            for name, b, se, (low, high), p in zip(
                fit.design.names, fit.beta, fit.se, bounds, fit.pvalues, strict=True
            )
        ]
        test = f"moderators: {fit.moderator_test}"
        return [text_table(rows, ["term", "estimate", "SE", "interval", "p"]), test]
    pooled = fit.pooled()
    measure = fit.effects.measure
    lines = [
        f"estimate {number(pooled.estimate, 4)} (SE {number(pooled.se, 4)}), "
        f"{percent(pooled.level)} interval {interval(pooled.low, pooled.high, 4)}",
        str(fit.moderator_test),
    ]
    if pooled.prediction_low is not None:
        lines.insert(1, f"prediction interval {interval(pooled.prediction_low, pooled.prediction_high, 4)}")
    if measure.display_log:
        shown = [float(x) for x in measure.back(np.array([pooled.estimate, pooled.low, pooled.high]))]
        lines.append(f"{measure.display.lower()} {number(shown[0], 3)} ({interval(shown[1], shown[2], 3)})")
    return lines


def _spread(fit: RandomEffectsResults) -> list[str]:
    lines = []
    if fit.method != "EE" and fit.df_residual >= 1:
        bounds = fit.conf_int_heterogeneity()
        lines += [
            f"tau {number(fit.tau, 4)} ({interval(bounds.tau.low, bounds.tau.high, 4)}), "
            f"tau2 {number(fit.tau2, 4)} ({interval(bounds.tau2.low, bounds.tau2.high, 4)}, Q-profile)",
            f"I2 {percent(fit.i2)} ({percent(bounds.i2.low)} to {percent(bounds.i2.high)})",
        ]
        if bounds.empty:
            lines.append("no tau2 fits these data at this level: the effects agree more than chance allows")
    else:
        lines.append(f"I2 {percent(fit.i2)}")
    lines.append(f"Q: {fit.q}")
    if fit.r2 is not None:
        lines.append(f"R2 {percent(fit.r2)} of tau2 explained by the moderators")
    return lines


def _data(fit: RandomEffectsResults) -> list[str]:
    ledger = fit.ledger
    lines = [str(ledger)]
    lines += [f"{row.rows} x {row.reason} ({row.step})" for row in ledger.counts().iloc[1:].itertuples()]
    kinds = Counter(d.how for d in fit.effects.derived)
    if kinds:
        lines.append(
            ", ".join(f"{kinds[how]} {how}" for how in ("reported", "converted", "assumed") if kinds[how])
        )
        lines += sorted({f"assumed: {d.note}" for d in fit.effects.derived if d.how == "assumed"})
    return lines


def _certificate(fit: RandomEffectsResults) -> list[str]:
    seal = fit.certificate
    if np.isnan(seal.score):
        state = "closed form"
    elif seal.at_boundary:
        state = "at the boundary tau2 = 0, where no positive value fits better"
    else:
        state = f"inner solution after {plural(seal.iterations, 'evaluation')}"
    lines = [state]
    if seal.maxima > 1:
        lines.append(f"{seal.maxima} local maxima; the highest is reported")
    if fit.k < 5:
        lines.append(f"only {plural(fit.k, 'effect')}: tau and the prediction interval rest on very little")
    lines.append(f"data digest {fit.digest}")
    return lines
