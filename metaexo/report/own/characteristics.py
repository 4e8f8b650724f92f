"""The table of study characteristics: what was studied, in how many, and what each row gives."""

from __future__ import annotations

import numpy as np

from metaexo.effects import back_by_rows
from metaexo.formatting import level_words, plural
from metaexo.report.content import ReportTable, Section, Words
from metaexo.report.own.part import Part
from metaexo.report.own.words import factor_words, measure_words

COLUMNS = {
    "year": "Year", "species": "Species", "model": "Model", "indication": "Indication", "design": "Design",
    "source": "Source", "isolation": "Isolation method", "outcome_label": "Outcome",
    "timepoint": "Time point",
    "treatment_label": "Group 1", "control_label": "Group 2", "treatment_events": "Events (group 1)",
    "treatment_n": "n (group 1)", "control_events": "Events (group 2)", "control_n": "n (group 2)",
    "use": "Use", "doi": "DOI",
}  # fmt: skip
SAME = ("outcome_label", "use", "model", "indication", "species", "timepoint")
"""Columns that say nothing where all rows have the same."""
WORDS = ("design", "species", "indication")


def _plain(word: object) -> object:
    """Return a word of a vocabulary as it is read."""
    return word.replace("_", " ") if isinstance(word, str) else word


def characteristics_section(part: Part) -> Section:
    """Return the section on what was studied."""
    text = (
        f"{plural(part.every.k, 'row')} of {plural(part.every.m, 'study', 'studies')} "
        f"{'gives' if part.every.k == 1 else 'give'} a {measure_words(part.every.measure)}."
    )
    return Section(
        part.called("characteristics"), "What was studied", (Words(text), characteristics_table(part))
    )


def characteristics_table(part: Part) -> ReportTable:
    """Return one row per effect: study, what was studied, sizes, effect with its interval, and its trace."""
    import pandas as pd

    es, level = part.every, part.asked.level
    data = es.data
    frame = pd.DataFrame({"label": es.row_labels, "study": list(es.study)})
    headings = {"label": "Study"}
    words = COLUMNS | {name: factor_words(name).capitalize() for name in part.asked.by}
    for name, heading in words.items():
        if data is None or name not in data or data[name].isna().all():
            continue
        column = data[name].reset_index(drop=True)
        if name in SAME and name not in part.asked.by and column.nunique(dropna=False) == 1:
            continue
        frame[name] = column.map(_plain) if name in WORDS else column
        headings[name] = heading
    limits = es.conf_int(level)
    for name, values in {"effect": es.y, "low": limits.iloc[:, 0], "high": limits.iloc[:, 1]}.items():
        frame[f"{name}_shown"] = back_by_rows(es, np.asarray(values, dtype=float))
    frame["y"], frame["v"] = es.y, es.v
    frame["how"] = [mark.how for mark in es.derived] if es.derived else "reported"
    shown = level_words(level)
    headings |= {
        "effect_shown": es.measure.display, "low_shown": f"{shown} CI, lower",
        "high_shown": f"{shown} CI, upper",
    }  # fmt: skip
    notes = ["Every number leads to the cells of the file that it was made of."]
    if (frame["how"] != "reported").any():
        headings["how"] = "Effect is"
    if es.measure.display_log:
        notes.append("y and v in the file of this table are the logarithm and its sampling variance.")
    formats = dict.fromkeys(("effect_shown", "low_shown", "high_shown"), ".2f") | {"year": ".0f"}
    formats |= {name: ".0f" for name in map(str, frame) if name.endswith(("_n", "_events"))}
    return ReportTable(
        part.called("characteristics"), "Study characteristics", frame, headings, formats,
        traces=tuple(part.called(f"row_{i + 1}") for i in range(es.k)), notes=tuple(notes),
    )  # fmt: skip
