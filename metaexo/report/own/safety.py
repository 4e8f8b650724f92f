"""Safety: how many of how many people or animals had an event, and what that excludes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metaexo.effects import EventCounts, event_counts
from metaexo.errors import MetaexoError
from metaexo.evidence import Sheets
from metaexo.formatting import level_words
from metaexo.report.content import Block, ReportTable, Section, Words
from metaexo.report.own.asked import Asked
from metaexo.report.own.fits import quiet
from metaexo.safety import upper_limit

HARM = re.compile(
    r"adverse|side.?effect|complication|death|mortality|died|infection|toxic|tumou?r|rejection|safety|\bsaes?\b|"
    r"\baes?\b",
    re.IGNORECASE,
)
"""Words of outcomes that are harms, wherever the sheet does not have a sheet of safety of its own."""
KINDS = ("adverse events", "serious adverse events")


def safety_section(sheets: Sheets, asked: Asked, said: list[str]) -> Section | None:
    """Return the section on safety; None where nothing was counted."""
    import pandas as pd

    rows, sentences = [], []
    with quiet(said):
        for what, counts in _counts(sheets):
            try:
                limit = upper_limit(counts, level=asked.level)
            except MetaexoError as error:
                sentences.append(f"{what}: {error.given}.")
                continue
            events, total = int(counts.events[:, 0].sum()), float(counts.totals[:, 0].sum())
            rows.append(
                {"what": what, "k": counts.k, "m": counts.m, "events": events, "total": total,
                 "without": int((counts.events[:, 0] == 0).sum()), "upper": limit.value}
            )  # fmt: skip
            sentences.append(f"{what}: {limit.sentence}")
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
                {"total": ".0f", "upper": "%"},
                notes=(note,),
            )
        )
    return Section("safety", "Safety", tuple(blocks))


def _counts(sheets: Sheets) -> Iterator[tuple[str, EventCounts]]:
    """Yield what was counted in the treated: from the sheet of safety, and from outcomes that are harms."""
    if len(sheets.safety_events):
        for kind in KINDS:
            try:
                yield kind.capitalize(), sheets.event_counts(kind)
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
            yield str(label), event_counts(
                events=once["treatment_events"].to_numpy(dtype=float),
                n=once["treatment_n"].to_numpy(dtype=float),
                study=list(once["study_name"]), labels=list(once["study_name"]),
            )  # fmt: skip
        except MetaexoError:
            continue
