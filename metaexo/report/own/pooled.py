"""The pooled effect and the heterogeneity: two tables, and what they say in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from metaexo.formatting import MISSING, level_words, number, p_value, percent, plural
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.report.certainty import FEW
from metaexo.report.content import Block, ReportTable, Section, Words
from metaexo.report.own.counts import rare_events
from metaexo.report.own.other import MAIN, MULTILEVEL
from metaexo.report.own.part import Part
from metaexo.report.own.words import (
    counted,
    direction,
    ends,
    groups_of,
    interval_shown,
    measure_words,
    null_shown,
    row_with_interval,
    sentence,
    short,
    side,
    typeset,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

FEWEST_TO_PREDICT = 5
"""Studies from which a prediction interval is shown (Cochrane Handbook 10.10.4.3)."""
SOME, MUCH = 0.4, 0.75
"""Ends of ranges of I2 in the Cochrane Handbook: up to 40% might not be important, from 75% considerable."""


def pooled_section(part: Part) -> Section:
    """Return the section on the pooled effect and the heterogeneity."""
    title = "Pooled effect and heterogeneity"
    if part.fit is None or rare_events(part):
        return Section(part.called("pooled"), title, (Words(pooled_sentence(part)),))
    blocks: list[Block] = [Words(pooled_sentence(part)), pooled_table(part, part.fit)]
    blocks += [heterogeneity_table(part, part.fit), Words(heterogeneity_sentence(part))]
    blocks += [Words(sentence(typeset(text)), "caution") for text in part.fit.cautions()]
    return Section(part.called("pooled"), title, tuple(blocks))


def pooled_frame(fit: RandomEffectsResults) -> pd.DataFrame:
    """Return the pooled effect as its measure is shown, with counts and test."""
    frame = fit.predict(scale="measure").reset_index(drop=True)
    frame.insert(0, "m", fit.effects.m)
    frame.insert(0, "k", fit.k)
    frame["pvalue"] = fit.pvalues.to_numpy()
    return frame


def pooled_table(part: Part, fit: RandomEffectsResults) -> ReportTable:
    """Return the table of the pooled effect."""
    frame, level = pooled_frame(fit), level_words(part.asked.level)
    headings = {
        "m": "Studies",
        "k": "Rows pooled",
        "estimate": short(part.every.measure),
        "low": f"{level} CI, lower",
        "high": f"{level} CI, upper",
        "prediction_low": f"{level} prediction interval, lower",
        "prediction_high": f"{level} prediction interval, upper",
        "pvalue": "p",
    }
    if frame["pvalue"].isna().all() or math.isnan(part.every.measure.null):
        del headings["pvalue"]
    formats = dict.fromkeys(("estimate", "low", "high", "prediction_low", "prediction_high"), ".2f")
    return ReportTable(
        part.called("pooled"), f"Pooled effect: {part.title}", frame, headings, {**formats, "pvalue": "p"},
        notes=(_direction_note(part),), null=null_shown(part.every),
    )  # fmt: skip


def _direction_note(part: Part) -> str:
    """Return what the sign of an effect means."""
    first, second = groups_of(part)
    if math.isnan(part.every.measure.null):
        return "One group: there is no value of no effect."
    what = "A ratio above 1" if part.every.measure.display_log else "A positive effect"
    if part.every.oriented:
        return f"{what} is in favour of {first}: effects were turned where lower values are better."
    return (
        f"{what} means higher values with {first} than with {second}. The sheet does not say which direction "
        "is the benefit, so effects were not turned."
    )


def heterogeneity_table(part: Part, fit: RandomEffectsResults) -> ReportTable:
    """Return the table of heterogeneity."""
    level = level_words(part.asked.level)
    headings = {
        "tau2": "τ²", "tau2_low": f"{level} CI, lower", "tau2_high": f"{level} CI, upper", "tau": "τ",
        "i2": "I²", "i2_low": "I², lower", "i2_high": "I², upper", "q": "Q",
        "q_df": "df", "q_pvalue": "p (Q)",
    }  # fmt: skip
    formats = dict.fromkeys(("tau2", "tau2_low", "tau2_high", "tau"), ".3f")
    formats |= {"i2": "%", "i2_low": "%", "i2_high": "%", "q": ".2f", "q_df": ".0f", "q_pvalue": "p"}
    scale = " on the scale of logarithms" if part.every.measure.display_log else ""
    notes = [f"τ² is the variance of true effects between studies{scale}; I² is the share of the variation "
             "between the effects that is not chance."]  # fmt: skip
    frame = heterogeneity_frame(fit)
    if "i2_low" in frame and frame["i2_low"].isna().all():
        notes.append(f"{MISSING}: no interval, because the effects agree better than chance usually allows.")
    return ReportTable(
        part.called("heterogeneity"), "Heterogeneity", frame, headings, formats,
        notes=tuple(notes),
    )  # fmt: skip


def heterogeneity_frame(fit: RandomEffectsResults) -> pd.DataFrame:
    """Return one row: tau2 and I2 with their intervals, Q with its test."""
    import pandas as pd

    row = {"tau2": fit.tau2, "tau": fit.tau, "i2": fit.i2}
    if fit.is_random and (fit.effects.v > 0).all():
        found = fit.conf_int_heterogeneity()
        for name, (_, low, high) in (("tau2", found.tau2), ("i2", found.i2)):
            # an empty interval, of effects that agree better than chance allows, is none
            row |= (
                {f"{name}_low": low, f"{name}_high": high}
                if low < high
                else dict.fromkeys((f"{name}_low", f"{name}_high"), math.nan)
            )
    q = fit.q
    row |= {"q": q.statistic, "q_df": q.df[0], "q_pvalue": q.pvalue}
    return pd.DataFrame([row])


def heterogeneity_is_shown(fit: RandomEffectsResults) -> bool:
    """Return whether the interval of the variance between studies lies above zero."""
    row = heterogeneity_frame(fit).iloc[0]
    return "tau2_low" in row and bool(row["tau2_low"] > 0)


def pooled_sentence(part: Part) -> str:
    """Return the first sentence of the answer: the pooled effect, or what stands in its place."""
    what, level = measure_words(part.every.measure), part.asked.level
    if part.fit is None:
        shown = [
            f"{part.studies.row_labels[i]}: {row_with_interval(part.studies, i, level)}"
            for i in range(part.studies.k)
        ]
        few = shown[:6] + ([f"and {len(shown) - 6} more"] if len(shown) > 6 else [])
        if part.every.m < 2:
            several = f", the average of {plural(part.every.k, 'effect')}," if part.averaged else ""
            return (
                f"1 study gives an effect, so that nothing can be pooled: the {what} of "
                f"{part.studies.row_labels[0]}{several} is {row_with_interval(part.studies, 0, level)}."
            )
        return (
            f"{counted(part).capitalize()} give effects, which cannot be pooled: {part.no_fit}; the {what} "
            f"is {'; '.join(few)}."
        )
    rare = rare_events(part)
    if rare:
        return rare
    pooled = part.fit.pooled()
    clause = direction(part, pooled.low, pooled.high)
    text = (
        f"Across {counted(part)}{_dependence(part)} the pooled {what} is "
        f"{with_interval(part.studies, level, pooled.estimate, pooled.low, pooled.high)}"
    )
    text += f", {clause}" if clause else ""
    text += multilevel_clause(part)
    if (
        pooled.prediction_low is not None
        and pooled.prediction_high is not None
        and part.fit.tau2 > 0
        and (part.studies.m >= FEWEST_TO_PREDICT)
    ):
        low, high = ends(part.studies, pooled.prediction_low, pooled.prediction_high)
        text += (
            f"; the true effect in a new study may lie from {interval_shown(part.every, low, high)} "
            f"({level_words(level)} prediction interval)"
        )
    return f"{text}."


def _dependence(part: Part) -> str:
    """Return how several effects of one study were taken, as a clause; empty where there are none."""
    return ", averaged within studies," if part.averaged else ""


def multilevel_clause(part: Part) -> str:
    """Return what the multilevel model of all effects says where it says something else; else nothing."""
    frame, null = part.analyses, part.every.measure.null
    if frame is None or math.isnan(null):
        return ""
    rows = frame[frame["model"].isin([MAIN, MULTILEVEL]) & frame["estimate"].notna()]
    if len(rows) < 1 or MULTILEVEL not in set(rows["model"]):
        return ""
    main, other = rows.iloc[0], rows[rows["model"] == MULTILEVEL].iloc[0]
    if side(main["low"], main["high"], null) == side(other["low"], other["high"], null):
        return ""
    found = with_interval(part.every, part.asked.level, other["estimate"], other["low"], other["high"])
    return f"; the multilevel model of all {part.every.k} effects says otherwise, {found}"


def heterogeneity_sentence(part: Part) -> str:
    """Return the second sentence: how far the effects differ, and what that means."""
    fit = part.fit
    if fit is None:
        return "How far effects differ between studies cannot be said from one study."
    if rare_events(part):
        return "How far the studies differ cannot be said from so few events."
    row = heterogeneity_frame(fit).iloc[0]
    q = f"Q test {p_value(row['q_pvalue'])}"
    i2 = f"I² = {percent(row['i2'])}"
    if "i2_low" in row and math.isnan(row["i2_low"]):
        i2 += ", its interval cannot be given"  # the effects agree better than chance usually lets them
    elif "i2_low" in row:
        i2 += f", {level_words(part.asked.level)} CI {percent(row['i2_low'])} to {percent(row['i2_high'])}"
    if fit.method == "EE":
        return f"All studies are taken to share one true effect, as was asked for ({i2}; {q})."
    open_words = _still_possible(part, row)
    if fit.tau2 == 0:
        return f"The effects vary no more than by chance ({i2}; {q}){open_words}."
    tau = f"τ = {number(row['tau'])}"
    if row["q_pvalue"] >= 1 - part.asked.level:
        return (
            f"The effects vary somewhat more than by chance, but the test does not show that they differ "
            f"({i2}; {tau}; {q}){open_words}."
        )
    low = float(row.get("i2_low", math.nan))
    average = f"so the pooled effect is the average of different effects{_crossing(part, fit)}"
    if low == 0:
        return (
            "The test suggests that the true effects differ between studies, but the interval of I² reaches "
            f"0 ({i2}; {tau}; {q}); if they do, the pooled effect is the average of different effects."
        )
    much = " considerably" if low > MUCH else " clearly" if low > SOME else ""
    text = f"The true effects differ{much} between studies ({i2}; {tau}; {q}), {average}"
    return f"{text}; how much they differ is uncertain." if low <= SOME else f"{text}."


def _still_possible(part: Part, row: pd.Series) -> str:
    """Return what effects that were not shown to differ leave open, by the upper end of I2's interval."""
    high = float(row.get("i2_high", math.nan))
    if high > SOME and high > row["i2"]:
        much = "that they differ considerably" if high > MUCH else "that they differ"
        return f"; that does not rule out {much}"
    return "" if part.every.m >= FEW else "; with few studies that does not show that they agree"


def _crossing(part: Part, fit: RandomEffectsResults) -> str:
    """Return what a prediction interval on both sides of no effect means, where the average is decided."""
    found, null = fit.pooled(), part.every.measure.null
    if part.studies.m < FEWEST_TO_PREDICT:
        return ""
    if found.prediction_low is None or found.prediction_high is None or math.isnan(null):
        return ""
    if found.low <= null <= found.high or not found.prediction_low <= null <= found.prediction_high:
        return ""
    return ", and in some settings there may be no effect or the opposite one"
