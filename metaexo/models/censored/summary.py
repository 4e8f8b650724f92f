"""The five-part summary of a fit of censored evidence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.effects.conversions.scales import back_pooled
from metaexo.formatting import interval, level_words, number, percent, text_table
from metaexo.models.censored.effects import count_in_words
from metaexo.models.linear.summary import Summary, coefficient_table, term_lines

if TYPE_CHECKING:
    from metaexo.models.censored.fit import CensoredResults

CRITERIA = {
    "REML": "restricted maximum likelihood, coefficients integrated out by Laplace's method",
    "ML": "maximum likelihood",
}


def summarise(fit: CensoredResults) -> Summary:
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


def _fitted(fit: CensoredResults) -> list[str]:
    from metaexo.models.censored.fit import CENSORED_TESTS

    measure = fit.effects.measure
    lines = [
        f"Random-effects model of {counts_in_words(fit.effects)}, "
        f"some of them censored: {count_in_words(fit.kinds)}; {measure.name} ({measure.code})",
        f"tau2: {'given' if fit.tau2_given else CRITERIA[fit.method]}",
        f"intervals: {CENSORED_TESTS[fit.test]}, level {level_words(fit.level)}",
    ]
    if fit.design.x is not None:
        lines.append("moderators: " + ", ".join(fit.design.names))
    return lines


def _pooled(fit: CensoredResults) -> list[str]:
    if fit.design.x is not None:
        return [coefficient_table(fit), f"moderators: {fit.moderator_test}", *term_lines(fit)]
    pooled, measure = fit.pooled(), fit.effects.measure
    chance = percent(float(fit.probability_above(measure.null)[0]))
    above = f", above {measure.null:g} with probability {chance}" if np.isfinite(measure.null) else ""
    profile = fit.conf_int(kind="profile").iloc[0]
    lines = [
        f"estimate {number(pooled.estimate, 4)} (SE {number(pooled.se, 4)}), "
        f"{percent(pooled.level)} interval {interval(pooled.low, pooled.high, 4)}",
        f"profile-likelihood interval {interval(profile['low'], profile['high'], 4)}",
        f"true effect of a new study: {percent(pooled.level)} prediction interval "
        f"{interval(pooled.prediction_low, pooled.prediction_high, 4)}{above}",
        str(fit.moderator_test),
    ]
    if measure.rescaled:
        ends = [pooled.estimate, pooled.low, pooled.high]
        shown = [float(x) for x in back_pooled(fit.effects, ends)]
        lines.append(f"{measure.display.lower()} {number(shown[0], 3)} ({interval(shown[1], shown[2], 3)})")
    return lines


def _spread(fit: CensoredResults) -> list[str]:
    if fit.tau2_given:
        return [f"tau {number(fit.tau, 4)}, tau2 {number(fit.tau2, 4)}, given", f"I2 {percent(fit.i2)}"]
    bounds = fit.conf_int_heterogeneity()
    lines = [
        f"tau {number(fit.tau, 4)} ({interval(bounds.tau.low, bounds.tau.high, 4)}), "
        f"tau2 {number(fit.tau2, 4)} ({interval(bounds.tau2.low, bounds.tau2.high, 4)}, profile likelihood)",
        f"I2 {percent(fit.i2)} ({percent(bounds.i2.low)} to {percent(bounds.i2.high)})",
    ]
    return [*lines, *([bounds.note] if bounds.note else []), str(fit.heterogeneity_test)]


def _data(fit: CensoredResults) -> list[str]:
    table = fit.contributions()
    header = ["kind", "k", "worth", "of the mean", "of tau2"]
    rows = [
        [
            str(kind),
            f"{row['k']:.0f}",
            number(row["effective"], 1),
            percent(row["share"]),
            percent(row["tau2_share"]),
        ]
        for kind, row in table.iterrows()
    ]
    lines = [
        f"worth {number(fit.effective, 1)} exact effects of {fit.k}; shares of the information:",
        text_table(rows, header),
        str(fit.ledger),
    ]
    lines += [f"{row.rows} x {row.reason} ({row.step})" for row in fit.ledger.counts().iloc[1:].itertuples()]
    kinds = Counter(mark.how for mark in fit.effects.derived)
    lines.append(
        ", ".join(f"{kinds[how]} {how}" for how in ("reported", "converted", "assumed") if kinds[how])
    )
    return lines + sorted({f"assumed: {d.note}" for d in fit.effects.derived if d.how == "assumed"})


def _certificate(fit: CensoredResults) -> list[str]:
    seal = fit.certificate
    lines = []
    if not fit.tau2_given:
        boundary = "at the boundary tau2 = 0, where no positive value fits better"
        lines.append(boundary if seal.at_boundary else "converged")
        of = "" if seal.maxima == 1 else f": the highest of {seal.maxima} local maxima"
        lines.append(f"highest maximum of a fine scan{of}")
    if fit.effective < 5:
        lines.append(
            f"worth only {number(fit.effective, 1)} effects: tau and prediction interval rest on very little"
        )
    lines.append(f"data digest {fit.digest}")
    return lines
