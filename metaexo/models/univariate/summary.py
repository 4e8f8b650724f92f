"""The five-part summary of a fit: what was fitted, pooled, spread, data, fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.effects.conversions.scales import back_pooled
from metaexo.formatting import interval, number, percent, printed
from metaexo.models.linear.tables import coefficient_table, term_lines
from metaexo.models.univariate.inference import TESTS
from metaexo.numeric.estimators import get_estimator

if TYPE_CHECKING:
    from metaexo.models.univariate.fit import RandomEffectsResults


@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """Lines of a summary by part; it shows itself as text.

    Attributes
    ----------
    parts : dict of str to list of str
        Title to lines, always in the order: what was fitted, pooled, spread, data, fit.
    """

    parts: dict[str, list[str]]

    @printed
    def __str__(self) -> str:
        blocks = [
            f"{title}\n" + "\n".join("  " + line for text in lines for line in text.split("\n"))
            for title, lines in self.parts.items()
        ]
        return "\n".join(blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def summarise(fit: RandomEffectsResults) -> Summary:
    """Return the five parts for a fit."""
    return Summary(
        {
            "What was fitted": _fitted(fit),
            "Pooled": [*_pooled(fit), *(f"caution: {text}" for text in fit.cautions())],
            "Spread": _spread(fit),
            "Data": _data(fit),
            "Fit": _certificate(fit),
        }
    )


def _fitted(fit: RandomEffectsResults) -> list[str]:
    measure = fit.effects.measure
    kind = "Equal-effects model" if fit.method == "EE" else "Random-effects model"
    how = "given" if fit.tau2_given else get_estimator(fit.method).name
    lines = [f"{kind} of {counts_in_words(fit.effects)}, {measure.name} ({measure.code})"]
    if fit.method != "EE":
        lines.append(f"tau2: {how}")
    lines.append(f"intervals: {TESTS[fit.test]}, level {percent(fit.level)}")
    if fit.weighting is not None:
        lines.append("weights: as given, not 1 / (v + tau2)")
    if fit.design.x is not None:
        lines.append("moderators: " + ", ".join(fit.design.names))
    lines += fit.design.notes
    return lines


def _pooled(fit: RandomEffectsResults) -> list[str]:
    if fit.design.x is not None:
        test = f"moderators: {fit.moderator_test}"
        return [coefficient_table(fit), test, *term_lines(fit)]
    pooled = fit.pooled()
    measure = fit.effects.measure
    lines = [
        f"estimate {number(pooled.estimate, 4)} (SE {number(pooled.se, 4)}), "
        f"{percent(pooled.level)} interval {interval(pooled.low, pooled.high, 4)}",
        str(fit.moderator_test),
    ]
    predicted = []
    if pooled.prediction_low is not None and pooled.prediction_high is not None:
        predicted = [pooled.prediction_low, pooled.prediction_high]
        chance = percent(float(fit.probability_above(measure.null)[0]))
        above = f", above {measure.null:g} with probability {chance}"
        lines.insert(
            1,
            f"true effect of a new study: {percent(pooled.level)} prediction interval "
            f"{interval(predicted[0], predicted[1], 4)}{above if np.isfinite(measure.null) else ''}",
        )
    if measure.rescaled:
        ends = np.array([pooled.estimate, pooled.low, pooled.high, *predicted])
        shown = [float(x) for x in back_pooled(fit.effects, ends)]
        line = f"{measure.display.lower()} {number(shown[0], 3)} ({interval(shown[1], shown[2], 3)})"
        lines.append(line + (f", prediction interval {interval(shown[3], shown[4], 3)}" if predicted else ""))
    return lines


def _spread(fit: RandomEffectsResults) -> list[str]:
    lines = []
    if (fit.effects.v == 0).any():
        return [
            f"tau {number(fit.tau, 4)}, tau2 {number(fit.tau2, 4)}",
            "no I2, Q or interval: a sampling variance is zero",
        ]
    if fit.method != "EE" and fit.df_residual >= 1:
        own = get_estimator(fit.method).needs_weights
        bounds = fit.conf_int_heterogeneity("generalised-q" if own else "q-profile")
        lines += [
            f"tau {number(fit.tau, 4)} ({interval(bounds.tau.low, bounds.tau.high, 4)}), "
            f"tau2 {number(fit.tau2, 4)} ({interval(bounds.tau2.low, bounds.tau2.high, 4)}, "
            f"{'generalised Q' if own else 'Q-profile'})",
            f"I2 {percent(fit.i2)} ({percent(bounds.i2.low)} to {percent(bounds.i2.high)})",
        ]
        if bounds.note:
            lines.append(bounds.note)
    elif fit.df_residual < 1:
        return ["tau2 and I2 cannot be estimated: as many coefficients as effects"]
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
        state = "converged"
    lines = [state]
    if fit.method in ("ML", "REML") and not fit.tau2_given:
        found = "global maximum verified" if seal.proved else "highest maximum of a fine scan"
        lines.append(found if seal.maxima == 1 else f"{found}: the highest of {seal.maxima} local maxima")
    lines.append(f"data digest {fit.digest}")
    return lines
