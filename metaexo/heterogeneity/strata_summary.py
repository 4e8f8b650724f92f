"""The five-part summary of a subgroup analysis: what was fitted, pooled, spread, data, fit."""

from __future__ import annotations

from collections import Counter

from metaexo.effects.back_transforms import back_pooled
from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.formatting import interval, number, percent, plural, text_table
from metaexo.heterogeneity.strata import StratifiedResults, Stratum
from metaexo.heterogeneity.strata_tables import (
    ALONE,
    dependence_note,
    i2_words,
    overall_spread,
    reader_rows,
    stratum_notes,
    tau_words,
)
from metaexo.models.inference import TESTS
from metaexo.models.summary import Summary
from metaexo.numeric.estimators import get_estimator

WHOSE = {
    "separate": "tau2 of each stratum by itself",
    "common": "one tau2 for all strata",
    "smoothed": "tau2 of each stratum drawn towards the others",
}


def summarise(results: StratifiedResults) -> Summary:
    """Return the five parts for strata."""
    return Summary(
        {
            "What was fitted": _fitted(results),
            "Pooled": _pooled(results),
            "Spread": _spread(results),
            "Data": _data(results),
            "Fit": _fit(results),
        }
    )


def _fitted(results: StratifiedResults) -> list[str]:
    es = results.effects
    lines = [
        f"Strata by {' x '.join(results.by)}: {plural(len(results.strata), 'stratum', 'strata')} of "
        f"{counts_in_words(es)}, {es.measure.name} "
        f"({es.measure.code})"
    ]
    if results.method != "EE":
        lines.append(f"{WHOSE[results.tau2_mode]}: {get_estimator(results.method).name}")
    else:
        lines.append("equal effects within each stratum")
    how = TESTS[results.test]
    if results.clusters is not None and results.test != "z":
        how = "t distribution, Satterthwaite's degrees of freedom"
    lines.append(f"intervals: {how}, level {percent(results.level)}")
    return lines + dependence_note(results)


def _pooled(results: StratifiedResults) -> list[str]:
    rows, header = reader_rows(results)
    lines = [text_table([row[:6] for row in rows], header[:6])]
    if results.effects.measure.rescaled:
        lines.append(_displayed(results))
    test = f"between strata: {results.between}" if results.between else "between strata: no test"
    lines += [test, results.between_note]
    if results.between is not None and len(results.compared) > 2:
        lines += ["pairs, p adjusted by Holm's method:", str(results.pairwise()).rpartition("\n")[0]]
    if results.order:
        lines += _trend(results)
    lines += [f"caution: {text}" for text in results.cautions()]
    return lines + _latent(results)


def _displayed(results: StratifiedResults) -> str:
    """Return the pooled effects on the scale on which the measure is shown."""
    measure = results.effects.measure
    rows = []
    for s in results.strata:
        made = s.pooled or s.single
        if made is None:
            continue
        shown = [float(x) for x in back_pooled(s.effects, [made.estimate, made.low, made.high])]
        alone = f" {ALONE}" if s.fit is None else ""
        rows.append([s.name, number(shown[0]) + alone, interval(shown[1], shown[2])])
    return text_table(rows, ["stratum", measure.display.lower(), "interval"])


def _trend(results: StratifiedResults) -> list[str]:
    """Return the trend over the order of the strata, or why there is none."""
    if sum(s.name in results.order for s in results.fitted) < 2:
        return ["no trend: fewer than two strata of the order have two or more studies"]
    return [str(results.trend()).rpartition("\n")[0]]


def _latent(results: StratifiedResults) -> list[str]:
    if results.latent is not None:
        return [f"unreported {results.by[0]}:", *results.latent.lines()]
    return [results.latent_note] if results.latent_note else []


def _spread(results: StratifiedResults) -> list[str]:
    rows = [[s.name, *_spread_cells(s)] for s in results.fitted]
    if results.overall is not None:
        fit, spread = results.overall, overall_spread(results)
        rows.append(["all", tau_words(fit, spread), number(fit.tau2, 4), i2_words(fit, spread), _q(fit.q)])
    if not rows:
        return ["no stratum has two or more studies, so there is no between-study variance"]
    lines = [text_table(rows, ["stratum", "tau", "tau2", "I2", "Q"])]
    if results.smoothing is not None:
        lines.append(str(results.smoothing))
    remarks = {s.spread.note for s in results.fitted if s.spread is not None and s.spread.note}
    return lines + sorted(remarks)


def _spread_cells(stratum: Stratum) -> list[str]:
    fit = stratum.fit
    assert fit is not None
    return [
        tau_words(fit, stratum.spread),
        number(fit.tau2, 4),
        i2_words(fit, stratum.spread),
        _q(fit.q),
    ]


def _q(test: object) -> str:
    return str(test).partition(" (null")[0]


def _data(results: StratifiedResults) -> list[str]:
    es = results.effects
    lines = [] if es.ledger is None else [str(es.ledger)]
    if es.ledger is not None:
        left_out = es.ledger.counts().iloc[1:]
        lines += [f"{row.rows} x {row.reason} ({row.step})" for row in left_out.itertuples()]
    unreported = [s for s in results.strata if not s.reported]
    for s in unreported:
        lines.append(f"{plural(s.m, 'study', 'studies')} in {s.name}: a stratum of its own")
    kinds = Counter(d.how for d in es.derived)
    if kinds:
        lines.append(
            ", ".join(f"{kinds[how]} {how}" for how in ("reported", "converted", "assumed") if kinds[how])
        )
    return [*lines, *stratum_notes(results.strata)] or ["every effect handed in is in a stratum"]


def _fit(results: StratifiedResults) -> list[str]:
    at_zero = [s.name for s in results.fitted if s.fit is not None and s.fit.tau2 == 0]
    lines = []
    if at_zero and results.method != "EE":
        lines.append(f"tau2 is 0, as no positive value fits better: {', '.join(at_zero)}")
    few = [f"{s.name} ({s.k})" for s in results.fitted if s.k < 5]
    if few:
        lines.append(f"fewer than five effects, so tau and prediction rest on very little: {', '.join(few)}")
    alone = sum(s.fit is None for s in results.strata)
    if alone:
        lines.append(f"{plural(alone, 'stratum', 'strata')} without a fit")
    return [*lines, f"data digest {results.digest}"]
