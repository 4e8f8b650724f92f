"""The rows of the sheet: what was studied, left out and assumed, and the cells behind each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects import back_by_rows, explain
from metaexo.evidence import Sheets
from metaexo.formatting import level_words, number, plural, with_article
from metaexo.heterogeneity.levels import readable
from metaexo.inputs import is_blank
from metaexo.ledger import LeftOut
from metaexo.report.content import Block, Cell, Listing, ReportTable, Section, Trace, Words
from metaexo.report.own.asked import CORRELATION
from metaexo.report.own.bias import TOOLS, bias_column, judgements, with_sign
from metaexo.report.own.fits import assumes, sharing_studies
from metaexo.report.own.part import Part
from metaexo.report.own.questions import SET_APART, Questions
from metaexo.report.own.words import (
    factor_words,
    listed,
    measure_words,
    null_shown,
    sentence,
    short,
    typeset,
)

if TYPE_CHECKING:
    import pandas as pd

KEY = "study_id"
NOT_TURNED = "no column says which direction is better"
NAMED = ("study_id", "first_author", "year", "outcome", "timepoint", "better")
OF_FACTORS = ("source_reported", "source_category", "isolation_reported", "isolation_category")

COLUMNS = {
    "year": "Year", "species": "Species", "model": "Model", "indication": "Indication", "design": "Design",
    "source": "Source", "isolation": "Isolation method", "outcome_label": "Outcome",
    "timepoint": "Time point",
    "treatment_label": "Group 1", "control_label": "Group 2", "treatment_events": "Events (group 1)",
    "treatment_n": "n (group 1)", "control_events": "Events (group 2)", "control_n": "n (group 2)",
    "use": "Use", "doi": "DOI",
}  # fmt: skip
SAME = ("outcome_label", "model", "indication", "species", "timepoint", "design", "treatment_label",
        "control_label", "use")  # fmt: skip
"""Columns that are said once where all rows have the same."""
WORDS = ("design", "species", "indication")
DESIGNS = {
    "rct_parallel": "randomised, parallel groups", "rct_split_body": "randomised, within each person",
    "nonrandomised_controlled": "controlled, not randomised", "animal_controlled": "animals with controls",
    "pre_post": "before and after",
}  # fmt: skip
"""Words of the sheets that do not read as words."""
RESULTS = ("label", "study", "effect_shown", "low_shown", "high_shown", "y", "v", "how", "risk_of_bias")
"""Columns of the table that are ours: a column of the user's with such a name has another one there."""


def _plain(word: object) -> object:
    """Return a word of a vocabulary as it is read."""
    if word in DESIGNS:
        return DESIGNS[str(word)]
    return word.replace("_", " ") if isinstance(word, str) else word


def characteristics_section(part: Part) -> Section:
    """Return the section on what was studied."""
    text = (
        f"{plural(part.every.k, 'row')} of {plural(part.every.m, 'study', 'studies')} "
        f"{'gives' if part.every.k == 1 else 'give'} {with_article(measure_words(part.every.measure))}."
    )
    same = _same_everywhere(part)
    text += f" In all rows: {'; '.join(f'{name}: {value}' for name, value in same.items())}." if same else ""
    return Section(
        part.called("characteristics"), "What was studied", (Words(text), characteristics_table(part))
    )


def _is_same(part: Part, name: str, column: pd.Series) -> bool:
    """Return whether a column is said once: all rows have one value, and it is none of the factors."""
    return (
        name in SAME and name not in part.asked.by and len(column) > 1 and column.nunique(dropna=False) == 1
    )


def _same_everywhere(part: Part) -> dict[str, str]:
    """Return what all rows have in common, by the heading of its column."""
    data = part.every.data
    if data is None:
        return {}
    return {
        COLUMNS[name].lower(): str(_plain(data[name].iloc[0]))
        for name in SAME
        if name in data and name != "use" and data[name].notna().all() and _is_same(part, name, data[name])
    }


def characteristics_table(part: Part) -> ReportTable:
    """Return one row per effect: study, what was studied, sizes, effect with its interval, and its trace."""
    import pandas as pd

    es, level = part.every, part.asked.level
    data = es.data
    frame = pd.DataFrame({"label": es.row_labels, "study": list(es.study)})
    headings = {"label": "Study"}
    words = COLUMNS | {name: factor_words(name).capitalize() for name in part.asked.by}
    if data is not None and "contrast" in data and (data["contrast"] == "exosome_vs_control").all():
        for one, called in {"group 1": "exosomes", "group 2": "control"}.items():
            words = {
                name: text.replace(one, called).replace(one.capitalize(), called.capitalize())
                for name, text in words.items()
            }
    for name, heading in words.items():
        if data is None or name not in data or data[name].isna().all():
            continue
        column = data[name].reset_index(drop=True)
        if _is_same(part, name, column) or (name == "use" and column.isin(["main", None]).all()):
            continue
        own = f"{name} (as given)" if name in RESULTS else name
        frame[own] = column.map(_plain) if name in WORDS else column
        headings[own] = heading
    if bias := bias_column(es):
        frame["risk_of_bias"] = [with_sign(one) for one in judgements(es, bias)]
        headings["risk_of_bias"] = "Risk of bias"
    limits = es.conf_int(level)
    for name, values in {"effect": es.y, "low": limits.iloc[:, 0], "high": limits.iloc[:, 1]}.items():
        frame[f"{name}_shown"] = back_by_rows(es, np.asarray(values, dtype=float))
    frame["y"], frame["v"] = es.y, es.v
    frame["how"] = [mark.how for mark in es.derived] if es.derived else "reported"
    shown = level_words(level)
    headings |= {
        "effect_shown": short(es.measure), "low_shown": f"{shown} CI, lower",
        "high_shown": f"{shown} CI, upper",
    }  # fmt: skip
    notes = [
        "In report.html the first column leads to the cells of the file that an effect was made of; "
        "traces.csv lists them."
    ]
    if (frame["how"] != "reported").any():
        headings["how"] = "Effect is"
    if es.measure.display_log:
        notes.append("y and v in the file of this table are the logarithm and its sampling variance.")
    formats = dict.fromkeys(("effect_shown", "low_shown", "high_shown"), ".2f") | {"year": ".0f"}
    formats |= {name: ".0f" for name in map(str, frame) if name.endswith(("_n", "_events"))}
    return ReportTable(
        part.called("characteristics"), "Study characteristics", frame, headings, formats,
        traces=tuple(part.called(f"row_{i + 1}") for i in range(es.k)), notes=tuple(notes),
        null=null_shown(es),
    )  # fmt: skip


# -- what was left out ---------------------------------------------------------------------------------------


def left_out_of(questions: Questions) -> list[LeftOut]:
    """Return the rows of the sheet that stand in no question, each once, in the order of the sheet."""
    used: set[int] = set()
    found: dict[int, LeftOut] = {}
    for ledger in (questions.ledger, *(part.every.ledger for part in questions.parts)):
        if ledger is None:
            continue
        if ledger is not questions.ledger:
            used |= set(ledger.used)
        for entry in ledger.left_out:
            before = found.get(entry.line)
            if before is None or (before.step == "selection" and entry.step != "selection"):
                found[entry.line] = entry
    return [found[line] for line in sorted(set(found) - used)]


def left_out_section(sheets: Sheets, questions: Questions) -> Section:
    """Return the section on the rows without an effect in this report: reasons counted, then row by row."""
    import pandas as pd

    entries = left_out_of(questions)
    used = sum(part.every.k for part in questions.parts)
    total = questions.ledger.total
    if not entries:
        return Section(
            "left_out", "What was left out", (Words(f"Nothing: all {plural(total, 'row')} gave an effect."),)
        )
    words = [_reason(entry) for entry in entries]
    known = sheets.outcomes
    pairs = zip(known["outcome"], known["outcome_label"], strict=True) if "outcome_label" in known else ()
    labels = {str(word): str(label) for word, label in pairs if not is_blank(label)}
    counts = [f"{plural(n, 'row')}: {reason}" for reason, n in Counter(words).most_common()]
    rows = [
        {
            "cell": sheets.reading.cell(entry.line, KEY), "line": entry.line, "study": entry.study,
            "outcome": labels.get(entry.item, readable(entry.item)), "reason": reason,
        }
        for entry, reason in zip(entries, words, strict=True)
    ]  # fmt: skip
    headings = {"cell": "Cell", "study": "Study", "outcome": "Outcome", "reason": "Why it is left out"}
    blocks: tuple[Block, ...] = (
        Words(f"{used} of {plural(total, 'row')} gave an effect for this report, {len(entries)} did not."),
        Listing(tuple(counts)),
        ReportTable("left_out", "Rows that are not in this report", pd.DataFrame(rows), headings),
    )
    return Section("left_out", "What was left out", blocks)


def _reason(entry: LeftOut) -> str:
    """Return why a row is left out, in words for a reader of the report."""
    if entry.step == "selection":
        return SET_APART if entry.reason.endswith("use != 'apart'") and "and" not in entry.reason else (
            "another outcome or selection than that of this report"
        )  # fmt: skip
    return entry.reason


# -- what was assumed ----------------------------------------------------------------------------------------


def assumed_section(sheets: Sheets, questions: Questions, warned: Sequence[str]) -> Section:
    """Return the section on what was decided, converted and assumed, and what reading warned of."""
    lines = list(questions.notes)
    silent = questions.asked.better is None
    notes = [one for one in sheets.reading.notes if silent or not one.startswith(NOT_TURNED)]
    lines += [sentence(text) for text in notes]
    lines += _to_look_at(warned)
    if not any(bias_column(part.every) for part in questions.parts):
        lines.append(
            f"The risk of bias of the studies was not judged: the table has no column of it. {TOOLS}"
        )
    for part in questions.parts:
        before = f"{part.title}: " if len(questions.parts) > 1 else ""
        lines += [sentence(f"{before}{text}") for text in _of_part(part)]
    lines = list(dict.fromkeys(lines))
    blocks: tuple[Block, ...] = (Listing(tuple(lines)),) if lines else (Words("Nothing was assumed."),)
    return Section("assumed", "What was decided and assumed", blocks)


def _to_look_at(warned: Sequence[str]) -> list[str]:
    """Return what reading the sheets warned of, without how to silence it."""
    return [f"To be looked at: {text.partition('. Words in the column')[0].rstrip('.')}." for text in warned]


def _of_part(part: Part) -> list[str]:
    """Return what was decided and assumed for one question."""
    found = []
    if part.pooled_outcomes:
        found.append(f"outcomes of one family were pooled, as was asked for: {listed(part.pooled_outcomes)}")
    if part.every.measure.orientation == "negate" and not part.every.oriented:
        found.append("the sheet does not say which direction is the benefit, so effects were not turned")
    elif part.asked.better is not None:
        found.append(f"where the sheet does not say it, {part.asked.better} values were taken as the benefit")
    if part.averaged:
        averaged = [name for name, n in Counter(part.every.study).items() if n > 1]
        names = [factor_words(name) for name in part.asked.by if part.in_several(name)]
        same = f" with the same {listed(names)}" if names else ""
        sharing = sharing_studies(part.every)
        shared = f"computed where they share a group ({listed(sharing)})" if sharing else ""
        elsewhere = f"assumed from a correlation of {CORRELATION:g}"
        if sharing:
            elsewhere = f", elsewhere {elsewhere}" if assumes(part.every) else ""
        strata = f"; in a comparison of strata, those{same}" if same else ""
        found.append(
            f"effects of one study were averaged ({listed(averaged)}){strata}; the covariance of their "
            f"sampling errors was {shared}{elsewhere}"
        )
    for how, verb in (("converted", "converted"), ("assumed", "assumed")):
        marks = [
            (label, mark)
            for label, mark in zip(part.every.row_labels, part.every.derived, strict=False)
            if mark.how == how
        ]
        kinds: dict[str, list[str]] = {}
        for label, mark in marks:
            kinds.setdefault(mark.note or mark.formula, []).append(label)
        found += [f"{verb} ({what}): {listed(labels)}" for what, labels in kinds.items()]
    return [*found, *map(typeset, part.said)]


# -- traces --------------------------------------------------------------------------------------------------


def traces_of(sheets: Sheets, part: Part) -> list[Trace]:
    """Return how each effect of a part came from its cells."""
    es, data = part.every, part.every.data
    steps_after, lines = _averages(part), _lines_of_studies(sheets)
    found = []
    for i in range(es.k):
        one = explain(es, i)
        cells = (
            []
            if data is None
            else _cells(sheets, lines, data.iloc[i], [entry.name for entry in one.inputs], part.asked.by)
        )
        steps = [f"{es.measure.code}: {es.measure.name}"]
        steps += [f"Note: {one.mark.note}"] if one.mark.note else []
        steps += [str(block) for block in one.blocks] or [f"{one.remark}: {es.measure.formula()}"]
        if one.turned:
            steps.append("Lower values are better, so the sign is changed.")
        steps.append(
            f"Effect {number(float(es.y[i]), 4)}, sampling variance {number(float(es.v[i]), 4)}; "
            f"shown as {one.shown_as}"
        )
        after = steps_after.get(es.study[i] if es.study else "")
        found.append(
            Trace(
                part.called(f"row_{i + 1}"),
                es.row_labels[i],
                tuple(cells),
                tuple(steps + ([after] if after else [])),
            )
        )
    return found


def _averages(part: Part) -> dict[str, str]:
    """Return for each study of several effects in how many rows it is pooled."""
    several = {name: n for name, n in Counter(part.every.study).items() if n > 1}
    return {
        name: f"This study has {n} effects; their average is what is pooled." for name, n in several.items()
    }


def _cells(
    sheets: Sheets, lines: dict[str, int], row: pd.Series, used: list[str], by: tuple[str, ...]
) -> list[Cell]:
    """Return the cells behind an effect: study, outcome, source, isolation, and the numbers used."""
    known = [name for name in dict.fromkeys((*NAMED, *OF_FACTORS, *by, *used)) if name in row]
    found = (_cell(sheets, lines, row, name, name in used) for name in known)
    return [cell for cell in found if cell is not None]


def _cell(sheets: Sheets, lines: dict[str, int], row: pd.Series, name: str, needed: bool) -> Cell | None:
    """Return a cell of the row, or of its study in a sheet of its own; None where nothing stands there."""
    reading, line = sheets.reading, int(row["line"])
    if text := reading.text(line, name):
        return Cell(reading.cell(line, name), reading.heading(name), text)
    at = lines.get(str(row[KEY]), 0)
    if at and (text := reading.text(at, name, "studies")):
        return Cell(reading.cell(at, name, "studies"), reading.heading(name, "studies"), text)
    value = row[name]
    if not needed or value is None or value != value:
        return None
    return Cell(reading.cell(line, name), name, f"{value:g}" if isinstance(value, float) else str(value))


def _lines_of_studies(sheets: Sheets) -> dict[str, int]:
    """Return study to its line in the sheet of studies, the first if it has several."""
    frame = sheets._frames["studies"].drop_duplicates(KEY)
    return dict(zip(map(str, frame[KEY]), map(int, frame["line"]), strict=True))
