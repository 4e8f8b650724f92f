"""The five-part summary of a multilevel fit."""

from __future__ import annotations

from collections import Counter

import numpy as np

from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.effects.conversions.scales import back_pooled
from metaexo.formatting import TEST_NAMES, interval, level_words, number, p_value, percent, plural, text_table
from metaexo.models.linear.summary import Summary
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.heterogeneity import component_table
from metaexo.models.multilevel.prediction import predict
from metaexo.models.multilevel.terms import STRUCTURES
from metaexo.types import Array

__all__ = ["Summary", "summarise"]


def summarise(fit: MultilevelFit) -> Summary:
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


def _fitted(fit: MultilevelFit) -> list[str]:
    measure = fit.effects.measure
    lines = [f"Multilevel model of {counts_in_words(fit.effects)}, {measure.name} ({measure.code})"]
    for named in fit.terms:
        what = "" if named.structure == "intercept" else f", {STRUCTURES[named.structure]}"
        lines.append(f"random: {named.name} ({plural(named.term.levels, 'level')}{what})")
    pairs = (fit.problem.v.nnz - fit.k) // 2
    lines.append(
        "sampling errors " + (f"correlated in {plural(pairs, 'pair')}" if pairs > 0 else "independent")
    )
    lines.append(f"{fit.method}; intervals: {TEST_NAMES[fit.test]}, level {level_words(fit.level)}")
    if fit.weighting is not None:
        lines.append("user-supplied weights; the components are those of the likelihood")
    if fit.design.x is not None:
        lines.append("moderators: " + ", ".join(fit.design.names))
    return lines


def _pooled(fit: MultilevelFit) -> list[str]:
    if fit.design.x is not None:
        bounds = np.column_stack(fit.bounds())
        rows = [
            [name, number(b, 4), number(se, 4), interval(low, high, 4), p_value(p)]
            for name, b, se, (low, high), p in zip(
                fit.design.names, fit.beta, fit.se, bounds, fit.wald_pvalues, strict=True
            )
        ]
        return [
            text_table(rows, ["term", "estimate", "SE", "interval", "p"]),
            f"moderators: {fit.moderator_test}",
        ]
    row = predict(fit, None, None, {}, {}, ()).iloc[0]
    lines = [
        f"estimate {number(row['estimate'], 4)} (SE {number(row['se'], 4)}), "
        f"{level_words(fit.level)} interval {interval(row['low'], row['high'], 4)}",
        f"prediction interval {interval(row['prediction_low'], row['prediction_high'], 4)}",
    ]
    measure = fit.effects.measure
    if measure.rescaled:
        values = np.array([row[name] for name in ("estimate", "low", "high")], dtype=float)
        shown = [float(x) for x in back_pooled(fit.effects, values)]
        lines.append(f"{measure.display.lower()} {number(shown[0], 3)} ({interval(shown[1], shown[2], 3)})")
    return [*lines, str(fit.moderator_test)]


def _spread(fit: MultilevelFit) -> list[str]:
    table = component_table(fit)
    rows = [
        [
            str(name),
            number(row["estimate"], 4),
            number(row["sd"], 4),
            "fixed" if row["fixed"] else "at the edge" if row["at_bound"] else "",
        ]
        for name, row in table.iterrows()
    ]
    lines = [text_table(rows, ["component", "estimate", "SD", ""])] if rows else []
    total = fit.tau2 + fit.typical_variance
    shares = [
        f"{named.name} {percent(x / total)}" for named, x in zip(fit.terms, fit.term_variances, strict=True)
    ]
    lines.append("I2 by level: " + ", ".join([*shares, f"total {percent(fit.i2)}"]))
    return [*lines, f"Q: {fit.q}"]


def _data(fit: MultilevelFit) -> list[str]:
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


def matrix_rank(g: Array) -> int:
    """Return the rank of a covariance matrix."""
    size = np.sqrt(np.maximum(np.diagonal(g), 1e-300))
    values = np.linalg.eigvalsh(g / np.outer(size, size))
    return int((values > 1e-9).sum())


def _certificate(fit: MultilevelFit) -> list[str]:
    seal = fit.maximum
    lines = [
        f"log-likelihood {number(fit.llf, 4)}, AIC {number(fit.aic)}, BIC {number(fit.bic)}, "
        f"AICc {number(fit.aicc)}",
        "converged; global maximum verified"
        if seal.verified
        else f"converged; highest of {plural(seal.starts, 'start')}, of which {seal.agreeing} agree",
    ]
    table = component_table(fit)
    edges = [str(name) for name in table.index[table["at_bound"]]]
    if edges:
        lines.append(f"at the edge of their range: {', '.join(edges)}")
    lines += [
        f"the covariance matrix of {named.name} is singular (rank {rank} of {len(g)}): "
        "the maximum is at the boundary of what it can be"
        for named, g in zip(fit.terms, fit.g, strict=True)
        if named.structure in ("UN", "GEN") and 0 < (rank := matrix_rank(g)) < len(g)
    ]
    lines += [
        f"{name} is beyond all distances and has no upper end: the data know only its ratio to the variance"
        for j, named in enumerate(fit.terms)
        for i, (name, kind) in enumerate(zip(named.components, named.kinds, strict=True))
        if kind == "range"
        and i == len(named.kinds) - 1
        and seal.at_bound[int(fit.problem.offsets[j]) + i]
        and fit.component_values[name] > 0
    ]
    few = [named.name for named in fit.terms if named.structure == "intercept" and named.term.levels < 5]
    if few:
        lines.append(f"fewer than five levels, so that the variance rests on very little: {', '.join(few)}")
    lines.append(f"data digest {fit.digest}")
    return lines
