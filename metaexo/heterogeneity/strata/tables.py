"""Strata as tables, as plain values, and as a summary in five parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.effects.conversions.scales import back_pooled
from metaexo.formatting import (
    MISSING,
    html_table,
    interval,
    latex_table,
    latex_text,
    level_words,
    markdown_table,
    markdown_text,
    number,
    percent,
    plural,
    text_table,
)
from metaexo.heterogeneity.strata.comparisons import pairwise, trend
from metaexo.heterogeneity.strata.fit import StrataFit, Stratum
from metaexo.models.linear.cautions import cautions_of_estimates, cautions_of_range
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.summary import Summary
from metaexo.models.univariate.inference import TESTS, narrower_than_equal_effects
from metaexo.models.univariate.intervals import HeterogeneityInterval
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.numeric.estimators import get_estimator

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("stratum", "note")
COUNTS = ("k", "m")
# Marks the effect of a single study in the tables for readers.
ALONE = "(one study)"


def strata_frame(results: StrataFit) -> pd.DataFrame:
    """Return one row per stratum, and one for all; see `StratifiedResults.to_frame`."""
    import pandas as pd

    means = results.means
    df: dict[str, float] = {}
    if means is not None and (several := means.df_of(np.eye(means.design.p))) is not None:
        df = dict(zip(means.design.names, several.tolist(), strict=True))
    rows: list[dict[str, Any]] = [
        {
            **s.levels,
            "stratum": s.name,
            **_numbers(s.fit, s.pooled or s.single, s.heterogeneity, s.k, s.m, df.get(s.name)),
            "note": s.note,
        }
        for s in results.strata
    ]
    fit = results.overall
    if fit is not None:
        whole = _numbers(
            fit, results.overall_pooled, overall_spread(results), fit.k, fit.m, results.overall_df
        )
        rows.append({"stratum": "all", **whole, "note": "; ".join(_cautions_of_all(results))})
    table = pd.DataFrame(rows)
    words = {*results.by, *WORDS, *COUNTS}
    return table.astype({name: float for name in table.columns if name not in words})


def _cautions_of_all(results: StrataFit) -> tuple[str, ...]:
    """Return what to know about the interval of all effects together."""
    pooled, df = results.overall_pooled, results.overall_df
    if pooled is None:
        return ()
    return cautions_of_estimates(["all"], np.array([pooled.se]), None if df is None else np.array([df]))


def overall_spread(results: StrataFit) -> HeterogeneityInterval | None:
    """Return tau2 and I2 of all effects with their intervals; None where there are none."""
    fit = results.overall
    if fit is None or fit.method == "EE" or (fit.effects.v == 0).any():
        return None
    return fit.conf_int_heterogeneity()


def _numbers(
    fit: RandomEffectsResults | None,
    pooled: Pooled | None,
    spread: HeterogeneityInterval | None,
    k: int,
    m: int,
    df: float | None,
) -> dict[str, float | int | None]:
    """Return the numeric columns of one row of the table."""
    return {
        "k": k,
        "m": m,
        "estimate": pooled.estimate if pooled else None,
        "se": pooled.se if pooled else None,
        "df": df,
        "low": pooled.low if pooled else None,
        "high": pooled.high if pooled else None,
        "prediction_low": pooled.prediction_low if pooled else None,
        "prediction_high": pooled.prediction_high if pooled else None,
        "tau2": fit.tau2 if fit else None,
        "tau2_low": spread.tau2.low if spread else None,
        "tau2_high": spread.tau2.high if spread else None,
        "tau": fit.tau if fit else None,
        "i2": fit.i2 if fit else None,
        "i2_low": spread.i2.low if spread else None,
        "i2_high": spread.i2.high if spread else None,
        "q": fit.q.statistic if fit else None,
        "q_pvalue": fit.q.pvalue if fit else None,
    }


def strata_dict(results: StrataFit) -> dict[str, object]:
    """Return strata, tests and choices as plain values; see `StratifiedResults.to_dict`."""
    rows = strata_frame(results).to_dict("records")
    plain = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    return {
        "by": list(results.by),
        "k": results.effects.k,
        "m": results.effects.m,
        "measure": results.effects.measure.code,
        "tau2": results.tau2_mode,
        "method": results.method,
        "test": results.test,
        "level": results.level,
        "clusters": results.cluster if results.clusters else None,
        "strata": plain,
        "between": None if results.between is None else asdict(results.between),
        "between_note": results.between_note,
        "cautions": list(cautions_of_strata(results)),
        "digest": results.digest,
    }


def reader_rows(results: StrataFit) -> tuple[list[list[str]], list[str]]:
    """Return rows and header of the table that readers see."""
    shown: list[tuple[str, Any]] = [(s.name, s) for s in results.strata]
    rows = [_cells(name, s.k, s.m, s.fit, s.pooled or s.single, s.heterogeneity) for name, s in shown]
    fit = results.overall
    if fit is not None:
        rows.append(_cells("all", fit.k, fit.m, fit, results.overall_pooled, overall_spread(results)))
    level = level_words(results.level)
    header = [
        "stratum",
        "k",
        "m",
        "estimate",
        f"{level} interval",
        f"{level} prediction interval",
        "tau",
        "I2",
    ]
    return rows, header


def _cells(
    name: str,
    k: int,
    m: int,
    fit: RandomEffectsResults | None,
    pooled: Pooled | None,
    spread: HeterogeneityInterval | None,
) -> list[str]:
    cells = [name, str(k), str(m)]
    if pooled is None:
        return [*cells, *[MISSING] * 5]
    if fit is None:
        return [
            *cells,
            f"{number(pooled.estimate)} {ALONE}",
            interval(pooled.low, pooled.high),
            *[MISSING] * 3,
        ]
    ahead = MISSING
    if pooled.prediction_low is not None:
        ahead = interval(pooled.prediction_low, pooled.prediction_high)
    return [
        *cells,
        number(pooled.estimate),
        interval(pooled.low, pooled.high),
        ahead,
        tau_words(fit, spread),
        i2_words(fit, spread),
    ]


def tau_words(fit: RandomEffectsResults, spread: HeterogeneityInterval | None) -> str:
    """Return tau with its interval."""
    return number(fit.tau) + (f" ({interval(spread.tau.low, spread.tau.high)})" if spread else "")


def i2_words(fit: RandomEffectsResults, spread: HeterogeneityInterval | None) -> str:
    """Return I2 with its interval, in per cent."""
    if spread is None:
        return percent(fit.i2)
    return f"{percent(fit.i2)} ({percent(spread.i2.low)} to {percent(spread.i2.high)})"


def notes(results: StrataFit) -> list[str]:
    """Return the sentences below the table: tests, and what is special about single strata."""
    lines = [f"between strata: {results.between}"] if results.between else []
    lines.append(results.between_note)
    lines += stratum_notes(results.strata) + dependence_note(results)
    return lines + [f"caution: {text}" for text in cautions_of_strata(results)]


def stratum_notes(strata: tuple[Stratum, ...]) -> list[str]:
    """Return the remark on each stratum, those that share one together."""
    found: dict[str, list[str]] = {}
    for s in strata:
        if s.note:
            found.setdefault(s.note, []).append(s.name)
    return [f"{', '.join(names)}: {note}" for note, names in found.items()]


def dependence_note(results: StrataFit) -> list[str]:
    """Return how dependence between effects is allowed for, where there is any."""
    if results.clusters is None:
        return []
    count = len(set(results.clusters))
    return [
        f"standard errors are robust to dependence within each {results.cluster} (CR2, {count} clusters); "
        "tau2, I2 and Q take the effects as independent"
    ]


def cautions_of_strata(results: StrataFit) -> tuple[str, ...]:
    """Return what to know before relying on the intervals of strata; see `StratifiedResults.cautions`."""
    means = results.means
    if means is None:
        return ()
    found = list(cautions_of_estimates(means.design.names, means.se, means.df_of(np.eye(means.design.p))))
    separate = results.clusters is None and results.tau2_mode != "common"
    fits = [(s.name, s.fit) for s in results.fitted if s.fit is not None] if separate else []
    narrow = [name for name, fit in fits if narrower_than_equal_effects(fit)]
    if narrow:
        found.append(
            f"the Knapp-Hartung interval of {', '.join(narrow)} is narrower than that of the equal-effects "
            'model with normal quantiles; test="knapp-hartung-adhoc" or "z" is wider'
        )
    for s in results.strata:
        if s.fit is not None and s.pooled is not None:
            found.extend(
                cautions_of_range(s.fit.effects, {f"interval of {s.name}": (s.pooled.low, s.pooled.high)})
            )
    return tuple(found)


def as_markdown(results: StrataFit) -> str:
    """Return the strata as a Markdown table, followed by the notes."""
    return "\n\n".join([markdown_table(*reader_rows(results)), *map(markdown_text, notes(results))])


def as_latex(results: StrataFit, caption: str | None) -> str:
    """Return the strata as a LaTeX table, followed by the notes."""
    table = latex_table(*reader_rows(results), caption=caption)
    return "\n\n".join([table, *map(latex_text, notes(results))])


def as_html(results: StrataFit, caption: str | None) -> str:
    """Return the strata as an HTML table, followed by the notes."""
    table = html_table(*reader_rows(results), caption=caption)
    return "\n".join([table, *(f"<p>{escape(note)}</p>" for note in notes(results))])


WHOSE = {
    "separate": "tau2 estimated separately in each stratum",
    "common": "one tau2 for all strata",
    "smoothed": "tau2 of each stratum shrunk towards the others",
}


def summarise(results: StrataFit) -> Summary:
    """Return the five parts for strata."""
    return Summary(
        {
            "What was fitted": _fitted(results),
            "Pooled": _pooled(results),
            "Heterogeneity": _heterogeneity(results),
            "Data": _data(results),
            "Fit": _fit(results),
        }
    )


def _fitted(results: StrataFit) -> list[str]:
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
    lines.append(f"intervals: {how}, level {level_words(results.level)}")
    return lines + dependence_note(results)


def _pooled(results: StrataFit) -> list[str]:
    rows, header = reader_rows(results)
    lines = [text_table([row[:6] for row in rows], header[:6])]
    if results.effects.measure.rescaled:
        lines.append(_displayed(results))
    test = f"between strata: {results.between}" if results.between else "between strata: no test"
    lines += [test, results.between_note]
    if results.between is not None and len(results.compared) > 2:
        lines += ["pairs, p adjusted by Holm's method:", str(pairwise(results)).rpartition("\n")[0]]
    if results.order:
        lines += _trend(results)
    lines += [f"caution: {text}" for text in cautions_of_strata(results)]
    return lines + _latent(results)


def _displayed(results: StrataFit) -> str:
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


def _trend(results: StrataFit) -> list[str]:
    """Return the trend over the order of the strata, or why there is none."""
    if sum(s.name in results.order for s in results.fitted) < 2:
        return ["no trend: fewer than two strata of the order have two or more studies"]
    return [str(trend(results)).rpartition("\n")[0]]


def _latent(results: StrataFit) -> list[str]:
    if results.latent is not None:
        return [f"unreported {results.by[0]}:", *results.latent.lines()]
    return [results.latent_note] if results.latent_note else []


def _heterogeneity(results: StrataFit) -> list[str]:
    rows = [[s.name, *_heterogeneity_cells(s)] for s in results.fitted]
    if results.overall is not None:
        fit, spread = results.overall, overall_spread(results)
        rows.append(["all", tau_words(fit, spread), number(fit.tau2, 4), i2_words(fit, spread), _q(fit.q)])
    if not rows:
        return ["no stratum has two or more studies, so there is no between-study variance"]
    lines = [text_table(rows, ["stratum", "tau", "tau2", "I2", "Q"])]
    if results.smoothing is not None:
        lines.append(str(results.smoothing))
    remarks = {
        s.heterogeneity.note for s in results.fitted if s.heterogeneity is not None and s.heterogeneity.note
    }
    return lines + sorted(remarks)


def _heterogeneity_cells(stratum: Stratum) -> list[str]:
    fit = stratum.fit
    assert fit is not None
    return [
        tau_words(fit, stratum.heterogeneity),
        number(fit.tau2, 4),
        i2_words(fit, stratum.heterogeneity),
        _q(fit.q),
    ]


def _q(test: object) -> str:
    return str(test).partition(" (null")[0]


def _data(results: StrataFit) -> list[str]:
    es = results.effects
    lines = [] if es.ledger is None else [str(es.ledger)]
    if es.ledger is not None:
        left_out = es.ledger.counts().iloc[1:]
        lines += [f"{row.rows} x {row.reason} ({row.step})" for row in left_out.itertuples()]
    unreported = [s for s in results.strata if not s.reported]
    for s in unreported:
        lines.append(f"{plural(s.m, 'study', 'studies')} in {s.name}: a separate stratum")
    kinds = Counter(d.how for d in es.derived)
    if kinds:
        lines.append(
            ", ".join(f"{kinds[how]} {how}" for how in ("reported", "converted", "assumed") if kinds[how])
        )
    return [*lines, *stratum_notes(results.strata)] or ["every effect handed in is in a stratum"]


def _fit(results: StrataFit) -> list[str]:
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
