"""Counts of events: models that need no zero cells filled, and safety, what few events exclude."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from metaexo.effects import EffectSizes, EventCounts, event_counts, one_per_study
from metaexo.errors import MetaexoError
from metaexo.evidence import Sheets
from metaexo.formatting import level_words, plural
from metaexo.models import CountGLMM, MantelHaenszel
from metaexo.report.content import Block, ReportTable, Section, Words
from metaexo.report.own.asked import Asked
from metaexo.report.own.fits import quiet
from metaexo.report.own.part import Part
from metaexo.report.own.words import measure_words, null_shown, null_words, side, small, with_interval
from metaexo.safety import upper_limit

HARM = re.compile(
    r"adverse|side.?effect|complication|death|mortality|died|infection|toxic|tumou?r|rejection|safety|\bsaes?\b|"
    r"\baes?\b",
    re.IGNORECASE,
)
"""Words of outcomes that are harms, wherever the sheet does not have a sheet of safety of its own."""
KINDS = ("adverse events", "serious adverse events")


def safety_section(sheets: Sheets, asked: Asked) -> Section | None:
    """Return the section on safety; None where nothing was counted."""
    import pandas as pd

    rows, sentences = [], []
    with quiet([]):
        for what, counts, pairs in _counts(sheets):
            try:
                limit = upper_limit(counts, level=asked.level)
            except MetaexoError as error:
                sentences.append(f"{what}: {error.given}.")
                continue
            events, total = int(counts.events[:, 0].sum()), float(counts.totals[:, 0].sum())
            rows.append(
                {"what": what, "k": counts.k, "m": counts.m, "events": events, "total": total,
                 "without": int((counts.events[:, 0] == 0).sum()), "upper": limit.value,
                 "rule_of_three": limit.rule_of_three}
            )  # fmt: skip
            sentences.append(f"{what}: {limit.sentence}{_beside_controls(pairs, asked.level)}")
    if not rows and not sentences:
        return None
    blocks: list[Block] = [Words(text) for text in sentences]
    if rows:
        headings = {
            "what": "What was counted", "m": "Studies", "events": "Events", "total": "Treated",
            "without": "Rows without an event",
            "upper": f"Highest risk not excluded ({level_words(asked.level)}, one-sided)",
        }  # fmt: skip
        note = "Treated groups alone. No event in n excludes, with 95% confidence, a risk above about 3/n."
        blocks.append(
            ReportTable(
                "safety",
                "What was counted, and what it excludes",
                pd.DataFrame(rows),
                headings,
                {"total": ".0f", "upper": ".2%"},
                notes=(note,),
            )
        )
    return Section("safety", "Safety", tuple(blocks))


def _beside_controls(pairs: EventCounts | None, level: float) -> str:
    """Return what was counted in the controls, and the difference of risks; empty where there are none."""
    if pairs is None:
        return ""
    (first, second), (n_first, n_second) = pairs.events.sum(axis=0), pairs.totals.sum(axis=0)
    text = (
        f" With a control group ({plural(pairs.m, 'study', 'studies')}): "
        f"{first:.0f} of {n_first:.0f} treated, {second:.0f} of {n_second:.0f} controls"
    )
    found = MantelHaenszel(pairs, "RD").fit(level)
    pooled = found.pooled()
    if not pooled.low < pooled.high:
        return f"{text}."
    words = with_interval(found.effects, level, pooled.estimate, pooled.low, pooled.high)
    return f"{text}; risk difference {words} by Mantel-Haenszel, below 0 fewer events in the treated."


def _counts(sheets: Sheets) -> Iterator[tuple[str, EventCounts, EventCounts | None]]:
    """Yield what was counted in the treated, and beside controls: of safety, and of outcomes of harm."""
    if len(sheets.safety_events):
        for kind in KINDS:
            try:
                yield kind.capitalize(), sheets.event_counts(kind), None
            except MetaexoError:
                continue
    frame = sheets.outcomes
    if not {"outcome_label", "treatment_events", "treatment_n"} <= set(frame.columns):
        return
    rows = frame[frame["treatment_events"].notna() & frame["treatment_n"].notna()]
    rows = rows[rows["use"] != "apart"] if "use" in rows else rows
    names = rows["outcome"].fillna("") + " " + rows["outcome_label"].fillna("")
    for label, part in rows[names.str.replace("_", " ").str.contains(HARM)].groupby(
        "outcome_label", sort=False
    ):
        once = part.drop_duplicates("study_name", keep="last")
        try:
            treated = event_counts(
                events=once["treatment_events"].to_numpy(dtype=float),
                n=once["treatment_n"].to_numpy(dtype=float),
                study=list(once["study_name"]), labels=list(once["study_name"]),
            )  # fmt: skip
            both = once.dropna(subset=list(ARMS)) if set(ARMS) <= set(once) else once[:0]
            both = both[both["contrast"] == "exosome_vs_control"] if "contrast" in both else both
            of = list(both["study_name"])
            pairs = event_counts(both[list(ARMS)], study=of, labels=of) if len(both) else None
        except MetaexoError:
            continue
        yield str(label), treated, pairs


# -- models of the counts of two groups --------------------------------------------------------------------

OF_ONE = "one group, events"
RARE = 0.5
"""Share of studies without an event in a group from which effects of single studies are not relied on."""
ARMS = ("treatment_events", "treatment_n", "control_events", "control_n")
POOLED = ("OR", "RR", "RD")


def counts_of(effects: EffectSizes) -> EventCounts | None:
    """Return the counts behind effects, one row per study; None where they are of something else."""
    data = effects.data
    if effects.measure.code not in POOLED or data is None or not set(ARMS) <= set(data):
        return None
    once = one_per_study(effects)
    if once.data is None or once.data[list(ARMS)].isna().any(axis=None):
        return None
    return event_counts(once.data[list(ARMS)], study=list(once.study), labels=list(once.study))


def one_group(effects: EffectSizes) -> EventCounts | None:
    """Return the events of one group behind proportions, one row per study; None where they are others."""
    data = effects.data
    if effects.measure.family != OF_ONE or data is None or not set(ARMS[:2]) <= set(data):
        return None
    once = one_per_study(effects)
    if once.data is None or once.data[list(ARMS[:2])].isna().any(axis=None):
        return None
    events, n = (once.data[name].to_numpy(dtype=float) for name in ARMS[:2])
    return event_counts(events=events, n=n, study=list(once.study), labels=list(once.study))


def rare_events(part: Part) -> str:
    """Return what to say where events are too rare for effects of single studies; empty where they are not.

    They are where at least half of the studies have no event in a group.
    """
    counts = counts_of(part.every)
    counts = one_group(part.every) if counts is None else counts
    if counts is None:
        return ""
    zeros = int((counts.events == 0).any(axis=1).sum())
    if zeros < RARE * counts.m:
        return ""
    two = counts.events.shape[1] == 2
    which = "in one group at least" if two else "at all"
    head = f"Events are rare: {zeros} of {plural(counts.m, 'study', 'studies')} have none {which}"
    try:
        with quiet(part.said):
            if not two:
                return f"{head}; {small(upper_limit(counts, level=part.asked.level).sentence)}"
            fit = MantelHaenszel(counts, part.every.measure.code).fit(part.asked.level)
            treated = upper_limit(counts, arm="treatment", level=part.asked.level)
    except MetaexoError as error:
        return f"{head}, and {error.given}."
    found = fit.pooled()
    if found.low == found.high:
        return f"{head}, and effects that are all alike have no interval; {small(treated.sentence)}"
    words = with_interval(fit.effects, part.asked.level, found.estimate, found.low, found.high)
    what = measure_words(part.every.measure)
    return (
        f"{head}; by Mantel-Haenszel, which adds nothing to zeros, the {what} is {words}; it is not turned, "
        f"so that {_fewer(part.every)} means fewer events in the first group."
    )


def rare_effect_is_decided(part: Part) -> bool:
    """Return whether the interval by Mantel-Haenszel, which stands in for the pooled effect, decides."""
    counts = counts_of(part.every)
    if counts is None:
        return False
    try:
        with quiet(part.said):
            found = MantelHaenszel(counts, part.every.measure.code).fit(part.asked.level).pooled()
    except MetaexoError:
        return False
    return found.low < found.high and bool(side(found.low, found.high, part.every.measure.null))


def _fewer(effects: EffectSizes) -> str:
    """Return which effects mean fewer events: "a ratio below 1", "a difference below 0"."""
    return f"a {'ratio' if effects.measure.display_log else 'difference'} below {null_words(effects)}"


def counts_section(part: Part) -> Section | None:
    """Return the section on models of the counts themselves; None where there are none."""
    import pandas as pd

    counts = counts_of(part.every)
    if counts is None or part.studies.m < 2:
        return None
    measure, level = part.every.measure.code, part.asked.level
    rows, sentences = [], []
    for name, code in (("Mantel-Haenszel", measure), ("exact conditional model, random effects", "OR")):
        try:
            with quiet(part.said):
                mantel = name == "Mantel-Haenszel"
                fit = (
                    MantelHaenszel(counts, code).fit(level) if mantel else CountGLMM(counts).fit(level=level)
                )
                found = fit.pooled()
        except MetaexoError as error:
            sentences.append(f"{name}: {error.given}.")
            continue
        if found.low == found.high:
            sentences.append(f"{name}: no interval, because no two groups of a study differ.")
            continue
        back = fit.effects.measure.back(np.array([found.estimate, found.low, found.high]))
        rows.append(
            {"model": name, "measure": fit.effects.measure.display, "m": counts.m,
             "estimate": found.estimate, "low": found.low, "high": found.high, "estimate_shown": back[0],
             "low_shown": back[1], "high_shown": back[2]}
        )  # fmt: skip
    zeros = int((counts.events == 0).any(axis=1).sum())
    none = f"{plural(zeros, 'study has', 'studies have')} no event in a group." if zeros else ""
    text = (
        f"{none or 'Every study has events in both groups.'} These models take the counts as they are and "
        "add nothing to zeros; where events are rare they are to be preferred to the pooled effect above. "
        f"They are not turned: {_fewer(part.every)} means fewer events in the first group."
    )
    shown = level_words(level)
    headings = {
        "model": "Model", "measure": "Measure", "m": "Studies", "estimate_shown": "Estimate",
        "low_shown": f"{shown} CI, lower", "high_shown": f"{shown} CI, upper",
    }  # fmt: skip
    formats = dict.fromkeys(("estimate_shown", "low_shown", "high_shown"), ".2f")
    blocks: list[Block] = [Words(text), *(Words(words, "caution") for words in sentences)]
    if rows:
        blocks.append(
            ReportTable(
                part.called("counts"),
                "Models of the counts",
                pd.DataFrame(rows),
                headings,
                formats,
                null=null_shown(part.every),
            )
        )
    return Section(part.called("counts"), "Models of the counts", tuple(blocks))
