"""From the rows of a sheet to effect sizes or bounds: selection, derivation, orientation, labels, ledger."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.conditions import refuse_misspelt, rows_where, words_in_no_row
from metaexo.effects import EffectSizes, Measure, effects_from_table
from metaexo.effects.bounded_effect_sizes import BoundedEffects, BoundedEffectSizes
from metaexo.effects.derivation import Origin
from metaexo.effects.measure import get_measure
from metaexo.effects.tables.assumed_sd import effects_with_assumed_sd
from metaexo.effects.tables.bounds import bounds_from_table
from metaexo.effects.tables.derive import derive, orient
from metaexo.effects.tables.facts import Facts, read_facts
from metaexo.effects.tables.why_not import NO_CORRELATION
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    MixedContrastsWarning,
    NegativeMeansWarning,
    RowsWithoutEffectWarning,
    TooFewStudiesError,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.evidence.codebook import SheetPlan
from metaexo.evidence.names import NAME, named_studies
from metaexo.evidence.views import VIEWS, View, of_one_group, statistics
from metaexo.formatting import plural, with_article
from metaexo.inputs import check_columns, check_number, read_numbers, read_words
from metaexo.ledger import Ledger, without_rows
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 4
ONLY_P = "only p "
UNCONTROLLED = ("post_vs_pre", "single_arm")
WORDS_ONLY = "direction_only"
LABELS = ("outcome", "contrast")
SIGNIFICANCE = 0.05
TOLD = "significance in words, taken at the level 0.05"
_NOT = re.compile(r"\b(?:no|not|non|without)\b.*significan|nonsignifican", re.IGNORECASE)
_SIGNIFICANT = re.compile(r"\bsignifican", re.IGNORECASE)
_DIRECTIONS = {"favours_treatment": "higher", "favours_control": "lower"}
SIZED = ("exosome_vs_control", "post_vs_pre")
"""Contrasts whose arms are those of the study, so that its sizes hold."""
APART = ("rct_parallel", "animal_controlled")
SPLIT = r"\bsplit|_split"
"""Words of designs in which both arms are the same people."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a sheet."""

    measure: Measure
    where: str | None = None  # condition on the columns
    # correlation of the two conditions in paired rows that do not report it
    assumed_correlation: float | None = None
    # standard deviation by outcome, or the column that holds one per row, for rows without an SD
    assumed_sd: Mapping[str, float] | str | None = None
    turn: bool = True  # whether effects are turned so that positive means benefit
    # the words that columns with a closed list may hold
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: bool = False
    better: str = ""  # direction of benefit of rows that do not say it


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of a sheet that a condition selects, and the ledger so far."""

    frame: pd.DataFrame
    ledger: Ledger
    names: list[str]


def make_effects(view: View, plan: SheetPlan, frame: pd.DataFrame, asked: Request) -> EffectSizes:
    """Return the effects of the rows of a view; see :meth:`metaexo.evidence.Sheets.effects`."""
    record = asked.measure
    chosen = choose_rows(plan, frame, asked.where, asked.words, record.code)
    rows, table = chosen.frame, statistics(view, chosen.frame, record)
    sd = None if asked.assumed_sd is None else sd_of_rows(frame, rows, asked.assumed_sd)
    if sd is None:
        done = effects_from_table(record, table, asked.assumed_correlation, rows=chosen.names)
    else:
        done = effects_with_assumed_sd(record, table, sd, asked.assumed_correlation, rows=chosen.names)
    y, reasons = done.y, list(done.reasons)
    turned = asked.turn and view.turns and record.orientation == "negate"
    if turned:
        y, unturned = orient(y, directions_of_benefit(view, rows, asked.better))
        y = y * signs_of_ratios(record, table)
        reasons = [first or second for first, second in zip(reasons, unturned, strict=True)]
    kept, ledger, gone = leave_rows_out(plan, chosen, reasons, asked)
    return EffectSizes(
        y[~gone],
        done.v[~gone],
        record,
        labels=row_labels(kept, plan.key, view.labels),
        study=list(kept[NAME]),
        data=kept,
        derived=[mark for mark, out in zip(done.derived, gone, strict=True) if not out],
        ledger=ledger,
        oriented=turned,
        origin=_origin(table, np.flatnonzero(~gone), asked, sd),
    )


def _origin(
    table: pd.DataFrame, rows: NDArray[np.intp], asked: Request, assumed_sd: NDArray[np.float64] | None
) -> Origin:
    """Return the table of statistics behind the effects of some of its rows, and the choices made."""
    inputs = {
        str(name): np.asarray(column, dtype=None if column.dtype.kind in "fi" else object)
        for name, column in table.items()
    }
    options = {"assumed_correlation": asked.assumed_correlation, "assumed_sd": assumed_sd}
    return Origin(inputs, rows, options, from_table=True)


def choose_rows(
    plan: SheetPlan,
    frame: pd.DataFrame,
    where: str | None,
    words: Mapping[str, tuple[str, ...]],
    what: str,
) -> Chosen:
    """Return the rows that a condition selects; refuse one that selects none, and so nothing of `what`."""
    chosen = np.ones(len(frame), dtype=bool)
    if where is not None:
        chosen = rows_where(frame, where, words)
        refuse_misspelt(frame, where)
    why = f"not selected: {where}"
    ledger = leave_out(_full_ledger(plan, frame), frame, plan.key, ~chosen, why, step="selection")
    if not chosen.any():
        absent = words_in_no_row(frame, where) if where else ()
        raise nothing_left(what, plan.file, where, ledger, tuple(map(str, absent)))
    rows = frame[chosen]
    places = zip(rows["line"], rows[plan.key], strict=True)
    return Chosen(rows, ledger, [f"{plan.file} line {line}, study {study}" for line, study in places])


def leave_rows_out(
    plan: SheetPlan, chosen: Chosen, reasons: Sequence[str], asked: Request
) -> tuple[pd.DataFrame, Ledger, Mask]:
    """Return the rows without a reason against them, the ledger of the others, and which these are."""
    gone = np.array([bool(reason) for reason in reasons], dtype=bool)
    ledger = leave_out(chosen.ledger, chosen.frame, plan.key, gone, reasons, step="effect")
    if gone.all():
        raise nothing_left(asked.measure.code, plan.file, asked.where, ledger)
    kept = chosen.frame[~gone].reset_index(drop=True)
    _warn_of_rows_without_effect(plan, asked, [reason for reason in reasons if reason], len(reasons))
    _warn_of_mixed_contrasts(kept)
    return kept, ledger, gone


def directions_of_benefit(view: View, rows: pd.DataFrame, otherwise: str = "") -> str | Sequence[str]:
    """Return which direction is the benefit: one word for a view, or one per row; "none" where not known.

    `otherwise`: the word for rows that do not say it.
    """
    if view.better or "better" not in rows:
        return view.better or otherwise or "none"
    return [*(rows["better"].fillna(otherwise) if otherwise else rows["better"])]


def signs_of_ratios(measure: Measure, table: pd.DataFrame) -> NDArray[np.float64]:
    """Return -1 for ratios of two negative means, else 1: the larger such ratio is the lower mean."""
    signs = np.ones(len(table))
    if measure.code in ("ROM", "ROMC"):
        for part in ("mean", "median"):
            arms = [f"{arm}_{part}" for arm in ("treatment", "control")]
            if set(arms) <= set(table.columns):
                below = table[arms].to_numpy(dtype=float) < 0
                signs[below.all(axis=1)] = -1.0
    return signs


def sd_of_rows(
    frame: pd.DataFrame, rows: pd.DataFrame, assumed_sd: Mapping[str, float] | str
) -> NDArray[np.float64]:
    """Return the standard deviation that is assumed for each row, NaN for none."""
    if not isinstance(assumed_sd, str | Mapping):
        raise InputError(
            f"assumed_sd is of type {type(assumed_sd).__name__}",
            "a standard deviation by outcome, or the name of a column",
            'write {"wound_area": 5.0}',
        )
    if not isinstance(assumed_sd, str):
        known = set(frame["outcome"].dropna()) if "outcome" in frame else set()
        for outcome in assumed_sd:
            if outcome not in known:
                raise UnknownChoiceError("outcome in assumed_sd", outcome, sorted(known))
        sds = {outcome: check_number(f"assumed_sd of {outcome}", sd) for outcome, sd in assumed_sd.items()}
        return np.array([sds.get(word, np.nan) for word in rows["outcome"]], dtype=float)
    if assumed_sd not in rows:
        raise UnknownChoiceError("column in assumed_sd", assumed_sd, map(str, rows.columns))
    lines = [f"line {line}" for line in rows["line"]]
    return read_numbers(rows[assumed_sd], f"the column {assumed_sd!r}", rows=lines)


def _full_ledger(plan: SheetPlan, frame: pd.DataFrame) -> Ledger:
    """Return the ledger of a sheet of which every row is still used."""
    return Ledger(plan.file, tuple(int(line) for line in frame["line"]))


@dataclass(frozen=True, slots=True)
class Survey:
    """Which rows of a sheet can become an effect in any measure, and in which."""

    ledger: Ledger
    rows: Mapping[str, Mask]  # by measure: the rows that give it


def survey(view: View, plan: SheetPlan, frame: pd.DataFrame) -> Survey:
    """Return which rows can become an effect in any measure, and why the others cannot.

    Nothing is assumed: a paired row counts only if its correlation is reported or follows from other numbers.
    """
    if frame.empty:
        return Survey(_full_ledger(plan, frame), {})
    giving: dict[str, Mask] = {}
    without, reasons = np.ones(len(frame), dtype=bool), [""] * len(frame)
    facts: dict[bool, Facts] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        warnings.simplefilter("ignore", NegativeMeansWarning)
        for record in map(get_measure, view.measures):
            alone = of_one_group(record)
            if alone not in facts:
                facts[alone] = read_facts(statistics(view, frame, record))
            done = derive(record, facts[alone])
            giving[record.code] = np.isfinite(done.y) & np.isfinite(done.v)
            without &= ~giving[record.code]
            counted = facts[alone].has("treatment_events") & any(x.endswith("events") for x in record.inputs)
            for i, reason in enumerate(done.reasons):
                if reason and (not reasons[i] or counted[i]):
                    reasons[i] = reason
    ledger = leave_out(_full_ledger(plan, frame), frame, plan.key, without, reasons, step="sheet")
    return Survey(ledger, giving)


def leave_all_out(plan: SheetPlan, frame: pd.DataFrame, gone: Mask, reason: str) -> Ledger:
    """Return the ledger of a sheet of which the rows `gone` are left out for one reason."""
    return leave_out(_full_ledger(plan, frame), frame, plan.key, gone, reason, step="sheet")


def leave_out(
    ledger: Ledger, frame: pd.DataFrame, key: str, gone: Mask, reasons: str | Sequence[str], step: str
) -> Ledger:
    """Return the ledger without the rows `gone`, each with its reason."""
    if not gone.any():
        return ledger
    item = "outcome" if "outcome" in frame else "title" if "title" in frame else key
    studies, items = (
        ["" if blank else str(cell) for cell, blank in zip(frame[name], frame[name].isna(), strict=True)]
        for name in (NAME if NAME in frame else key, item)
    )
    return without_rows(ledger, gone, reasons, step, studies, items)


def nothing_left(
    what: str, file: str, where: str | None, ledger: Ledger, absent: Sequence[str] = ()
) -> TooFewStudiesError:
    """Return the error of a selection without any effect or count: words that no row has, reasons counted."""
    table = ledger.counts()
    pairs = zip(table["reason"], table["rows"], strict=True)
    tally = [f"{plural(n, 'row')}: {reason}" for reason, n in pairs if reason]
    remedy = "choose another measure or selection; the counted reasons say what is lacking"
    if not tally:
        remedy = f"{file} is not in the folder or has no rows: put it there"
    return TooFewStudiesError(
        f"no row of {file} gives {with_article(what)}" + (f" where {where}" if where else ""),
        "one row at least with an effect and a sampling variance, or with a count and a size",
        "; ".join(absent) or remedy,
        tally,
    )


def _warn_of_rows_without_effect(plan: SheetPlan, asked: Request, reasons: Sequence[str], rows: int) -> None:
    """Warn of rows that were asked for and give no effect, with the commonest reasons."""
    if not reasons:
        return
    tally = Counter(reasons).most_common()
    told = "; ".join(f"{plural(n, 'row')}: {reason}" for reason, n in tally[:MOST_REASONS])
    more = f"; and {len(tally) - MOST_REASONS} more reasons" if len(tally) > MOST_REASONS else ""
    bound = any(reason.startswith(ONLY_P) for reason in reasons)
    hints = [
        "assumed_correlation=0.5 takes in paired rows" if NO_CORRELATION in reasons else "",
        'bounds=True keeps "p < 0.05" as a bound' if bound and not asked.bounds else "",
    ]
    warn_caller(
        f"{len(reasons)} of {plural(rows, 'row')} of {plan.file} that were selected give no "
        f"{asked.measure.code}: {told}{more}. The ledger of the effects names each row"
        + "".join(f"; {hint}" for hint in hints if hint),
        RowsWithoutEffectWarning,
    )


def _warn_of_mixed_contrasts(kept: pd.DataFrame) -> None:
    if "contrast" not in kept:
        return
    kinds = sorted(set(kept["contrast"]))
    alone = [kind for kind in kinds if kind in UNCONTROLLED]
    if alone and len(kinds) > 1:
        warn_caller(
            f"effects of different contrasts are combined: {', '.join(kinds)}; results without a control "
            "should not be pooled with controlled ones. Select one contrast by `where`",
            MixedContrastsWarning,
        )


def row_labels(frame: pd.DataFrame, key: str, parts: Sequence[str]) -> list[str]:
    """Return what a reader sees of each row: the name of its study, and what distinguishes its rows.

    The name is that of the column `study_name`, which every table of :class:`metaexo.evidence.Sheets` has;
    without it, it is made from the rows: "Author year", with a letter where two studies would have one name.

    Parameters
    ----------
    frame : DataFrame
        Rows of a sheet joined with their studies.
    key : str
        Column of the study.
    parts : sequence of str
        Columns that may distinguish rows of one study, in this order.

    Returns
    -------
    list of str
        One label per row.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"study_id": ["a"] * 2, "first_author": "Li", "year": 2020.0, "outcome": ["pain", "scar"]}
    >>> row_labels(pd.DataFrame(rows), "study_id", ["outcome"])
    ['Li 2020, pain', 'Li 2020, scar']
    """
    check_columns(frame, "the frame", [key])
    parts = read_words(parts, "parts")
    studies = [str(study) for study in frame[key]]
    of_study: dict[str, list[int]] = {}
    for i, study in enumerate(studies):
        of_study.setdefault(study, []).append(i)
    columns = [list(frame[part]) for part in parts if part in frame]
    told = {
        i: words for rows in of_study.values() for i, words in _distinguishing(rows, columns, []) if words
    }
    return [", ".join([name, *told.get(i, [])]) for i, name in enumerate(named_studies(frame, key))]


def _distinguishing(
    rows: Sequence[int], columns: Sequence[Sequence[object]], so_far: list[str]
) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the fewest words that distinguish them from the others of their study."""
    groups: dict[str | None, list[int]] = {}
    if columns and len(rows) > 1:
        for i in rows:
            value = columns[0][i]
            groups.setdefault(value if isinstance(value, str) else None, []).append(i)
    if not groups:
        yield from ((i, so_far) for i in rows)
        return
    for value, found in groups.items():
        words = so_far if value is None or len(groups) == 1 else [*so_far, value]
        yield from _distinguishing(found, columns[1:], words)


def make_bounds(view: View, plan: SheetPlan, frame: pd.DataFrame, asked: Request) -> BoundedEffectSizes:
    """Return the effects of the rows of a view, bounds included; see `Sheets.effects` with `bounds`."""
    chosen = choose_rows(plan, frame, asked.where, asked.words, asked.measure.code)
    sd = None if asked.assumed_sd is None else sd_of_rows(frame, chosen.frame, asked.assumed_sd)
    table = statistics(view, chosen.frame, asked.measure)
    found = bounds_from_table(
        asked.measure, table, asked.assumed_correlation, assumed_sd=sd, rows=chosen.names
    )
    reasons = list(found.reasons)
    turned = asked.turn and view.turns
    if turned:
        directions = directions_of_benefit(view, chosen.frame, asked.better)
        signs, unturned = orient(np.ones(len(chosen.frame)), directions)
        signs = signs * signs_of_ratios(asked.measure, table)
        found = found.turned(signs)
        reasons = [first or second for first, second in zip(reasons, unturned, strict=True)]
    origin = _origin(table, np.arange(len(table)), asked, sd)
    return _collected(plan, chosen, found, reasons, asked, view.labels, turned, origin)


def bounds_of_words(plan: SheetPlan, frame: pd.DataFrame, asked: Request) -> BoundedEffectSizes:
    """Return the bounds of results that are given in words only; positive means in favour of treatment.

    "Significant" is taken as p < 0.05 and "not significant" as p > 0.05; such rows are marked as assumed.
    Sizes are those of the study.
    """
    chosen = choose_rows(plan, frame, asked.where, asked.words, asked.measure.code)
    table = table_from_words(chosen.frame)
    found = bounds_from_table(asked.measure, table, asked.assumed_correlation, rows=chosen.names)
    derived = [
        replace(mark, how="assumed", note="; ".join(filter(None, (TOLD, mark.note))))
        if kind == "interval"
        else mark
        for mark, kind in zip(found.derived, found.kind, strict=True)
    ]
    found = replace(found, derived=tuple(derived))
    return _collected(plan, chosen, found, list(found.reasons), asked, LABELS, oriented=True)


def lines_with_bounds(rows: pd.DataFrame) -> set[int]:
    """Return the lines of the rows of outcomes that give an interval of a standardised mean difference."""
    if rows.empty:
        return set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        found = bounds_from_table("SMD", statistics(VIEWS["outcomes"], rows, get_measure("SMD")))
    return {int(line) for line, kind in zip(rows["line"], found.kind, strict=True) if kind == "interval"}


def table_from_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Return results in words as a table of reported statistics."""
    import pandas as pd

    told = rows["significance_as_worded"].fillna("")
    refused = told.map(lambda words: bool(_NOT.search(words)))
    claimed = told.map(lambda words: bool(_SIGNIFICANT.search(words))) & ~refused
    sized = rows["contrast"].isin(SIZED)
    apart = rows["design"].isin(APART)
    split = rows[["design", "model", "title"]].fillna("").agg(" ".join, axis=1).str.contains(SPLIT)
    twice = (rows["contrast"] == "post_vs_pre") | (split & ~apart)
    return pd.DataFrame(
        {
            "treatment_n": rows["n_treatment"].where(sized),
            "control_n": rows["n_control"].where(sized & (rows["contrast"] != "post_vs_pre")),
            "direction": rows["direction"].map(_DIRECTIONS),
            "p_relation": np.where(claimed, "<", np.where(refused, ">", "")),
            "p_value": np.where(claimed | refused, SIGNIFICANCE, np.nan),
            "paired": np.where(twice, "yes", np.where(apart, "no", "unknown")),
        },
        index=rows.index,
    )


def _collected(
    plan: SheetPlan,
    chosen: Chosen,
    found: BoundedEffects,
    reasons: list[str],
    asked: Request,
    labels: tuple[str, ...],
    oriented: bool,
    origin: Origin | None = None,
) -> BoundedEffectSizes:
    """Return what is known as one container; the rows of which nothing is known enter the ledger."""
    kept, ledger, gone = leave_rows_out(plan, chosen, reasons, asked)
    at = np.flatnonzero(~gone)
    return BoundedEffectSizes(
        found.at(at),
        asked.measure,
        tuple(row_labels(kept, plan.key, labels)),
        tuple(kept[NAME]),
        kept,
        ledger,
        oriented,
        origin.at(at) if origin is not None else None,
    )
