"""From sheets to the questions of a report: which measure, and which outcomes stand apart from each other.

Outcomes, kinds of comparison and kinds of subject are never pooled together: each combination is a question
of its own, and where there are many, the one who asks has to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from metaexo.conditions import quoted
from metaexo.effects import BoundedEffectSizes, EffectSizes, Measure, get_measure
from metaexo.effects.tables.bounds import BOUNDED
from metaexo.errors import InputError, MetaexoError, TooFewStudiesError, UnknownChoiceError
from metaexo.evidence import Sheets
from metaexo.evidence.domains import domain_condition, domains_of
from metaexo.evidence.tables.table import ONE_OUTCOME
from metaexo.formatting import plural
from metaexo.inputs import is_blank
from metaexo.ledger import Ledger
from metaexo.report.own.asked import MOST_NUMBERS, Asked
from metaexo.report.own.fits import quiet
from metaexo.report.own.part import Part, names_once
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

MOST_PARTS = 4
CANDIDATES = ("SMD", "RR", "OR", "RD", "MD", "ROM", "PFT", "MN")
"""Measures that are tried where none is asked for, or none fits, the first of the likes first."""
ONE_GROUP = ("MN", "PFT")
RAW = ("MD", "MN", "MC")
"""Measures in the unit of the outcome."""
APART = "use != 'apart'"
SET_APART = "set apart by the sheet (use is apart)"
TURNED = ("higher", "lower")


@dataclass(frozen=True, slots=True)
class Questions:
    """What a report answers.

    Attributes
    ----------
    asked : Asked
        The choices, with the measure.
    parts : tuple of Part
        The questions.
    conditions : tuple of str
        The condition of each on the rows of the sheet.
    ledger : Ledger
        All rows of the sheet, and why some give no effect of this measure.
    notes : tuple of str
        What was decided for the reader: the measure, rows set apart.
    """

    asked: Asked
    parts: tuple[Part, ...]
    conditions: tuple[str, ...]
    ledger: Ledger
    notes: tuple[str, ...]


def questions_of(sheets: Sheets, asked: Asked) -> Questions:
    """Return the questions that these sheets answer in the measure that is asked for."""
    notes: list[str] = []
    if asked.measure is None:
        asked = replace(asked, measure=_most(sheets, asked.where, notes))
    measure = asked.known_measure
    where = _with_apart(asked.where)
    try:
        every = _effects(sheets, measure, where)
    except InputError:
        _effects(sheets, measure, asked.where or where)  # says it of the condition as it was given
        raise
    _check_factors(every, asked)
    groups = _groups(every, asked)
    varying = _varying([columns for columns, _ in groups])
    parts, names, conditions, said = [], [], [], list[str]()
    for columns, rows in groups:
        needed = [_needed(every, sheets, name, value) for name, value in columns.items()]
        condition = " and ".join(filter(None, [*needed, where]))
        turned = _is_turned(every.select(rows), asked, measure)
        with quiet(said):
            effects = sheets.effects(measure, condition, orient=turned, better=asked.better)
        data = every.data
        labels = {} if data is None else {str(k): v for k, v in data[rows].iloc[0].items()}
        outcomes = () if "outcome" in columns else tuple(dict.fromkeys(effects.column("outcome_label")))
        title = _title(columns, labels)
        names.append(" ".join(str(columns.get(one, "")) for one in varying))
        bounds = _bounds(sheets, measure, condition, turned, asked, effects)
        parts.append(
            Part("", title, asked, effects, bounds, outcomes if len(outcomes) > 1 else ()),
        )
        conditions.append(condition)
    notes += _kept_apart(every)
    if len(parts) > 1:
        named = zip(parts, names_once(names, "question"), strict=True)
        parts = [replace(part, name=name) for part, name in named]
    return Questions(asked, tuple(parts), tuple(conditions), _ledger(every), tuple(notes))


# -- the measure ---------------------------------------------------------------------------------------------


def counts_by_measure(sheets: Sheets, where: str | None) -> dict[str, tuple[int, int]]:
    """Return how many effects of how many studies each measure gives; those that give none are left out."""
    found = {}
    for code in CANDIDATES:
        try:
            with quiet([]):
                effects = sheets.effects(code, _with_apart(where), orient=False)
        except MetaexoError:
            continue
        found[code] = (effects.k, effects.m)
    return found


def _most(sheets: Sheets, where: str | None, notes: list[str]) -> Measure:
    """Return the measure that gives most effects, those of two groups before those of one; and say so."""
    counts = counts_by_measure(sheets, where)
    if not counts and where:
        _effects(sheets, get_measure("SMD"), _with_apart(where))  # a condition that cannot be read is said
    if not counts:
        raise _nothing(sheets, where, "no row gives an effect in any measure", {})
    pair = {code: count for code, count in counts.items() if code not in ONE_GROUP} or counts
    code = max(pair, key=lambda one: pair[one])
    k, m = pair[code]
    others = [f"{other} {count[0]}" for other, count in counts.items() if other != code]
    notes.append(
        f"No measure was asked for: {code} ({get_measure(code).name}) gives {plural(k, 'effect')} of "
        f"{plural(m, 'study', 'studies')}, the most"
        + (f" (others: {', '.join(others)} effects)." if others else ".")
    )
    return get_measure(code)


def _effects(sheets: Sheets, measure: Measure, where: str) -> EffectSizes:
    """Return all effects of a measure, not turned; refuse one that fits no row, naming those that would."""
    try:
        with quiet([]):
            return sheets.effects(measure, where, orient=False)
    except TooFewStudiesError as error:
        counts = {code: c for code, c in counts_by_measure(sheets, where).items() if code != measure.code}
        raise _nothing(sheets, where, error.given, counts) from error


def _nothing(sheets: Sheets, where: str | None, given: str, counts: dict[str, tuple[int, int]]) -> Exception:
    """Return the error of sheets without an effect: the measures that would give some, or what is lacking."""
    if counts:
        listed = ", ".join(
            f"{code} ({plural(k, 'effect')} of {plural(m, 'study', 'studies')})"
            for code, (k, m) in counts.items()
        )
        first = next(iter(counts))
        return TooFewStudiesError(
            given, f"a measure that fits the rows: {listed}", f'write measure="{first}" (--measure {first})'
        )
    reasons = sheets.ledger.counts()
    pairs = zip(reasons["reason"], reasons["rows"], strict=True)
    tally = [f"{plural(n, 'row')}: {reason}" for reason, n in pairs if reason]
    return TooFewStudiesError(
        given,
        "one row at least with mean, SD and n of each group, or with events and n of each group",
        "fill in what the counted reasons name; metaexo check says it row by row",
        tally,
    )


# -- the questions -------------------------------------------------------------------------------------------


def _groups(every: EffectSizes, asked: Asked) -> list[tuple[dict[str, object], Mask]]:
    """Return what distinguishes the questions, and the rows of each; refuse more than can be answered."""
    import pandas as pd

    data = every.data
    if data is None:
        return [({}, np.ones(every.k, dtype=bool))]
    names = ["outcome", "contrast", "domain", *(["unit"] if asked.known_measure.code in RAW else [])]
    known = [name for name in names if name in data]
    blank = data[known].isna()
    cells = data[known].astype(object).where(~blank, None)
    if "domain" in known:
        cells["domain"] = pd.Series(domains_of(data), index=cells.index, dtype=object)
    family = np.zeros(every.k, dtype=bool)
    if asked.outcomes and "outcome" in data:
        chosen, family = _chosen(data, asked.outcomes)
        cells.loc[family, "outcome"] = None
    else:
        chosen = np.ones(every.k, dtype=bool)
    rows_of: dict[tuple[object, ...], list[int]] = {}
    for i in np.flatnonzero(chosen).tolist():
        head = data["outcome_family"].iloc[i] if family[i] else None
        rows_of.setdefault((head, *cells.iloc[i]), []).append(i)
    groups = []
    for (head, *values), rows in rows_of.items():
        columns = dict(zip(known, values, strict=True))
        if head is not None:
            columns = {"outcome_family": head} | {k: v for k, v in columns.items() if k != "outcome"}
        mask = np.zeros(every.k, dtype=bool)
        mask[rows] = True
        groups.append((columns, mask))
    groups.sort(key=lambda pair: -int(pair[1].sum()))
    if len(groups) > MOST_PARTS:
        raise _too_many(every, groups)
    return groups


def _differs(sheets: Sheets, column: str) -> bool:
    """Return whether a column of the sheet, or of its studies, has several values."""
    frame = sheets._joined("outcomes")
    return bool(frame[column].nunique(dropna=False) > 1)


def _needed(every: EffectSizes, sheets: Sheets, column: str, value: object) -> str:
    """Return the condition that a question needs of a column; empty where all rows have one value."""
    if column != "domain" or every.data is None:
        return _is(column, value) if _differs(sheets, column) else ""
    if len(set(domains_of(every.data))) < 2 and not _differs(sheets, column):
        return ""
    return domain_condition(every.data, None if value is None else str(value))


def _kept_apart(every: EffectSizes) -> list[str]:
    """Return that people and animals were distinguished by design and species, where they were."""
    if every.data is None or "domain" not in every.data:
        return []
    pairs = zip(every.data["domain"], domains_of(every.data), strict=True)
    filled = sum(is_blank(given) and found is not None for given, found in pairs)
    if not filled:
        return []
    return [
        f"The column domain is empty in {plural(filled, 'row')} with an effect: the species decided (human: "
        "people, any other: animals), or the design. Results in people and in animals are not pooled."
    ]


def _varying(groups: Sequence[dict[str, object]]) -> list[str]:
    """Return the columns in which questions differ."""
    names = dict.fromkeys(name for columns in groups for name in columns)
    return [name for name in names if len({columns.get(name) for columns in groups}) > 1]


def _chosen(data: pd.DataFrame, outcomes: Sequence[str]) -> tuple[Mask, Mask]:
    """Return the rows of the outcomes that are asked for, and those that are asked for by their family."""
    chosen, family = np.zeros(len(data), dtype=bool), np.zeros(len(data), dtype=bool)
    for word in outcomes:
        found = {
            name: (data[name].astype(str).str.casefold() == word.casefold()).to_numpy()
            for name in ("outcome", "outcome_label", "outcome_family")
            if name in data
        }
        column = next((name for name, rows in found.items() if rows.any()), None)
        if column is not None and _is_family(data, word, found[column]):
            column = "outcome_family"
        if column is None:
            if set(data["outcome"].dropna()) == {ONE_OUTCOME}:
                raise InputError(
                    f"outcome {word!r}: no column of the table names outcomes, so all rows are taken as one",
                    "a table with a column outcome, or no choice among outcomes",
                    "leave --outcome (outcomes=) out",
                )
            raise UnknownChoiceError("outcome", word, sorted(set(data["outcome"].dropna().astype(str))))
        chosen |= found[column]
        family |= found[column] & (column == "outcome_family")
    return chosen, family


def _is_family(data: pd.DataFrame, word: str, rows: Mask) -> bool:
    """Return whether a word is the name of a family with more outcomes than these rows, which it names too.

    The word of an outcome in the sheet asks for that outcome alone.
    """
    if "outcome_family" not in data or bool((data["outcome"] == word).any()):
        return False
    family = (data["outcome_family"] == word).to_numpy(dtype=bool)
    return bool((family & ~rows).any() and (family | ~rows).all())


def _too_many(every: EffectSizes, groups: list[tuple[dict[str, object], Mask]]) -> InputError:
    """Return the error that asks to choose among many outcomes, each with its counts."""
    rows = []
    for columns, mask in groups:
        part = every.select(mask)
        words = ", ".join(str(value) for value in columns.values() if value is not None)
        rows.append(f"{words}: {plural(part.k, 'effect')} of {plural(part.m, 'study', 'studies')}")
    outcomes = {str(columns.get("outcome", columns.get("outcome_family"))) for columns, _ in groups}
    first = str(groups[0][0].get("outcome", groups[0][0].get("outcome_family")))
    mixed = [n for n in ("contrast", "domain", "unit") if len({g.get(n) for g, _ in groups}) > 1]
    also = "".join(f', and one {name} by --where "{_is(name, groups[0][0][name])}"' for name in mixed)
    return InputError(
        f"the sheets hold {len(groups)} questions ({plural(len(outcomes), 'outcome')}), which are never "
        "pooled together",
        f"at most {MOST_PARTS} in one report",
        f'choose the outcome: --outcome "{first}" (outcomes=["{first}"]){also}',
        rows,
    )


def _title(columns: dict[str, object], labels: dict[str, object]) -> str:
    """Return what is asked, in words."""
    first = str(labels.get("outcome_label") or "Effect")
    if "outcome_family" in columns:
        first = str(columns["outcome_family"])
    more = [CONTRASTS.get(str(columns.get("contrast")), "")]
    if columns.get("domain"):
        more.append(DOMAINS.get(str(columns["domain"]), str(columns["domain"])))
    if columns.get("unit"):
        more.append(f"in {columns['unit']}")
    return ", ".join(filter(None, [first, *more]))


CONTRASTS = {
    "exosome_vs_control": "exosomes against control",
    "post_vs_pre": "after against before treatment",
    "single_arm": "one group",
    "method_a_vs_method_b": "one isolation method against another",
    "source_a_vs_source_b": "one source against another",
}
DOMAINS = {"clinical": "in people", "preclinical": "in animals or cells", "isolation": "in the laboratory"}


def _is(column: str, value: object) -> str:
    """Return the condition that a column holds a value, or is blank."""
    if value is None:
        return f"is_blank({column})"
    return f"{column} == {quoted(value) if isinstance(value, str) else repr(value)}"


def _with_apart(where: str | None) -> str:
    """Return a condition with that on rows which the sheet sets apart."""
    return APART if not where or where == APART else f"({where}) and {APART}" if APART not in where else where


def _is_turned(effects: EffectSizes, asked: Asked, measure: Measure) -> bool:
    """Return whether effects are turned: some row says which direction is the benefit, or it was said."""
    if measure.orientation != "negate":
        return False
    if asked.better is not None:
        return True
    data = effects.data
    return data is not None and "better" in data and bool(data["better"].isin(TURNED).any())


def _check_factors(effects: EffectSizes, asked: Asked) -> None:
    """Refuse a factor that is no column, and one that is a scale: a number with many values."""
    for factor in asked.by:
        values = [value for value in effects.column(factor) if not is_blank(value)]
        different = len(set(values))
        if different > MOST_NUMBERS and all(map(_is_figure, values)):
            raise InputError(
                f"by={factor!r} is a number with {different} values, and each would be a group of its own",
                "a column with words, or with few values",
                f"add a column that puts {factor} into two or three ranges, and compare by that; how the "
                f'effects change with the number itself is mx.RandomEffects(effects, "{factor}").fit(), and '
                f"mx.plots.bubble of that draws it",
            )


def _is_figure(value: object) -> bool:
    """Return whether a cell is a number, also one that was read as text."""
    try:
        float(str(value))
    except ValueError:
        return False
    return True


# -- bounds, and what is left out ----------------------------------------------------------------------------


def _bounds(
    sheets: Sheets, measure: Measure, condition: str, turned: bool, asked: Asked, effects: EffectSizes
) -> BoundedEffectSizes | None:
    """Return the bounds of studies that give no effect; None where there are none."""
    if measure.code not in BOUNDED or effects.ledger is None:
        return None
    if not any(entry.step == "effect" for entry in effects.ledger.left_out):
        return None
    try:
        with quiet([]):
            found = sheets.effects(measure, condition, orient=turned, better=asked.better, bounds=True)
    except MetaexoError:
        return None
    have = set(effects.study)
    rows = np.array(
        [
            kind == "interval" and study not in have
            for kind, study in zip(found.kind, found.study, strict=True)
        ]
    )
    return found.select(rows, "an effect of the study is known") if rows.any() else None


def _ledger(effects: EffectSizes) -> Ledger:
    """Return the ledger of effects from sheets, which always have one."""
    if effects.ledger is None:
        raise InputError("the effects have no ledger", "effects from sheets")
    return effects.ledger
