"""From the sheet of safety to counts of events: which reports show a count of the kind that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.counts import EventCounts
from metaexo.errors import (
    AssumptionWarning,
    InputError,
    MixedDefinitionsWarning,
    RowsLeftOutWarning,
    warn_caller,
)
from metaexo.evidence.codebook import SheetPlan
from metaexo.evidence.names import NAME
from metaexo.evidence.to_effects import choose_rows, leave_out, nothing_left, row_labels
from metaexo.formatting import plural
from metaexo.inputs import check_choice, check_columns, check_flag, check_number, read_words, whole_number
from metaexo.types import Mask

if TYPE_CHECKING:
    import pandas as pd

EVENTS: Mapping[str, str] = {
    "adverse events": "ae_patients",
    "serious adverse events": "sae_patients",
    "related serious adverse events": "sae_related",
    "deaths": "deaths",
}
"""What can be counted, and how the columns begin that count the people."""

SCOPES: Mapping[str, str] = {
    "all": "any adverse event",
    "related": "only events called related",
    "significant": "only events called significant",
    "kind": "only one grade or kind of event",
    "window": "only a window of time",
}
"""What a count of people with adverse events covers (`ae_scope`), in words."""

SHEET = "safety_events"
HARMED = "people chosen because they were harmed: a numerator without a denominator"
ONE_ARM = "no control arm with a count and a size"
SAME_PEOPLE = "both arms are the same people, and how many had the event on both sides is not in the sheet"
NO_FOLLOW_UP = "the length of follow-up is not known"
WEEKS_PER_YEAR = 365.25 / 7
PARALLEL = ("rct_parallel", "nonrandomised_controlled")
SPLIT = "rct_split_body"
MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class CountsAsked:
    """What is asked of the sheet of safety."""

    kind: str
    arms: int = 1
    where: str | None = None
    scope: tuple[str, ...] = ("all",)
    person_time: bool = False
    min_follow_up: float | None = None  # weeks
    keep_paired: bool = False
    # the words that columns with a closed list may hold
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def counts_asked(
    kind: object,
    arms: object,
    where: str | None,
    scope: object,
    person_time: object,
    min_follow_up: object,
    keep_paired: object,
    words: Mapping[str, tuple[str, ...]],
) -> CountsAsked:
    """Return a request that can be answered; refuse any other."""
    check_choice("kind of event", kind, tuple(EVENTS))
    g = whole_number(arms, "arms", 1)
    if g > 2:
        raise InputError(f"arms is {g}", "1, the treated people, or 2, with their controls")
    weeks = None if min_follow_up is None else check_number("min_follow_up", min_follow_up)
    if weeks is not None and not 0 < weeks < np.inf:
        raise InputError(f"min_follow_up is {weeks:g}", "weeks of follow-up, above 0")
    if kind != "adverse events" and scope is not None:
        raise InputError(
            f"a scope is given for {kind}",
            "no scope: it says what a count of adverse events covers",
            "leave scope out",
        )
    return CountsAsked(
        str(kind),
        g,
        where,
        _scopes(scope),
        check_flag("person_time", person_time),
        weeks,
        check_flag("keep_paired", keep_paired),
        words,
    )


def _scopes(scope: object) -> tuple[str, ...]:
    """Return which scopes a count of adverse events may have; events of any kind by default."""
    if scope is None:
        return ("all",)
    found = (scope,) if isinstance(scope, str) else read_words(scope, "scope")
    for word in found:
        check_choice("scope", word, tuple(SCOPES))
    if not found:
        raise InputError("no scope is given", f"one at least of {', '.join(SCOPES)}")
    return tuple(dict.fromkeys(found))


def chosen_for_harm(reports: pd.DataFrame) -> pd.Series:
    """Return which reports are of people who were chosen because they were harmed.

    Parameters
    ----------
    reports : DataFrame
        The sheet, as in `Sheets.safety_events`.

    Returns
    -------
    Series of bool
        True for the designs ae_case_series and ae_case_report.

    Examples
    --------
    >>> import metaexo as mx
    >>> int(chosen_for_harm(mx.evidence_sheets().safety_events).sum())
    4
    """
    check_columns(reports, "the reports", ["design"])
    return reports["design"].fillna("").astype(str).str.startswith("ae_")


def make_counts(plan: SheetPlan, frame: pd.DataFrame, asked: CountsAsked) -> EventCounts:
    """Return the counts of a sheet of safety; see :meth:`metaexo.evidence.Sheets.event_counts`."""
    what = f"count of people with {asked.kind}" if asked.kind != "deaths" else "count of deaths"
    chosen = choose_rows(plan, frame, asked.where, asked.words, what)
    rows = chosen.frame
    other = _not_meant(rows, asked)
    ledger = leave_out(chosen.ledger, rows, plan.key, other != "", other.tolist(), "selection")
    meant = rows[other == ""]
    lacking = _not_usable(meant, asked)
    ledger = leave_out(ledger, meant, plan.key, lacking != "", lacking.tolist(), "counts")
    kept = meant[lacking == ""].reset_index(drop=True)
    if kept.empty:
        raise nothing_left(what, plan.file, asked.where, ledger)
    _warn_of_rows_left_out(plan, asked, [why for why in lacking.tolist() if why], len(meant))
    kept = _described(kept, asked)
    _warn_of_mixed_definitions(kept, asked)
    arms = ("treated", "control")[: asked.arms]
    sizes = kept[[f"n_{arm}" for arm in arms]].to_numpy(dtype=float)
    if asked.person_time:
        sizes = sizes * kept[["follow_up_weeks"]].to_numpy(dtype=float) / WEEKS_PER_YEAR
    return EventCounts(
        kept[[f"{EVENTS[asked.kind]}_{arm}" for arm in arms]].to_numpy(dtype=float),
        sizes,
        person_time=asked.person_time,
        labels=row_labels(kept, plan.key, ("ae_definition",)),
        study=list(kept[NAME]),
        data=kept,
        ledger=ledger,
    )


def same_people(rows: pd.DataFrame) -> pd.Series:
    """Return in which rows both arms are the same people, by the column `paired`, or else by the design."""
    return (rows["paired"] == "yes") | (rows["paired"].isna() & (rows["design"] == SPLIT))


def _not_meant(rows: pd.DataFrame, asked: CountsAsked) -> NDArray[np.object_]:
    """Return why each row is none of those that are asked for; empty if it is one."""
    treated, control = (f"{EVENTS[asked.kind]}_{arm}" for arm in ("treated", "control"))
    counted_alone = rows["n_control"].isna() | (rows[control].isna() if control in rows else True)
    scoped = asked.kind != "adverse events" or rows["ae_scope"].isin(asked.scope)
    wanted = " or ".join(SCOPES[word] for word in asked.scope)
    other = rows["ae_scope"].map(lambda scope: f"counts {SCOPES.get(scope, 'other events')}, not {wanted}")
    unstated = f"what the count covers is not stated (ae_scope), and {wanted} is asked for"
    return _first_reason(
        rows,
        (chosen_for_harm(rows), HARMED),
        (rows[treated].isna(), f"no count of people with {asked.kind}: an empty cell is not a zero"),
        (rows["use"] == "apart", "set apart: " + rows["caution"].fillna("no reason given")),
        (~_mask(rows, scoped), other.where(rows["ae_scope"].notna(), unstated)),
        (counted_alone & (asked.arms == 2), ONE_ARM),
        (
            rows["follow_up_weeks"] < (asked.min_follow_up or 0),
            f"followed for less than {asked.min_follow_up or 0:g} weeks",
        ),
    )


def _not_usable(rows: pd.DataFrame, asked: CountsAsked) -> NDArray[np.object_]:
    """Return what each row lacks for a count with its size; empty if nothing."""
    weeks = rows["follow_up_weeks"]
    timed = asked.person_time or asked.min_follow_up is not None
    paired = same_people(rows) & (asked.arms == 2) & (not asked.keep_paired)
    return _first_reason(
        rows,
        (rows["n_treated"].isna(), "the number of people treated is not known"),
        (paired, SAME_PEOPLE),
        (weeks.isna() & timed, NO_FOLLOW_UP),
        ((weeks == 0) & asked.person_time, "followed for 0 weeks by the sheet: no person-time"),
    )


def _mask(rows: pd.DataFrame, holds: pd.Series | Mask | bool) -> Mask:
    return np.broadcast_to(np.asarray(holds, dtype=bool), len(rows))


def _first_reason(
    rows: pd.DataFrame, *checks: tuple[pd.Series | Mask, pd.Series | str]
) -> NDArray[np.object_]:
    """Return the reason of the first check that applies to each row; empty if none does."""
    found = np.full(len(rows), "", dtype=object)
    for applies, reason in checks:
        words = np.broadcast_to(np.asarray(reason, dtype=object), len(rows))
        at = (found == "") & _mask(rows, applies)
        found[at] = words[at]
    return found


def _described(kept: pd.DataFrame, asked: CountsAsked) -> pd.DataFrame:
    """Return the rows with what the counts cover, and whether both arms are the same people."""
    counted = kept["ae_scope"].map(SCOPES) if asked.kind == "adverse events" else asked.kind
    table = kept.assign(counted=counted, same_people=same_people(kept))
    if asked.arms == 2:
        unknown = kept["paired"].isna() & ~kept["design"].isin([*PARALLEL, SPLIT])
        if unknown.any():
            warn_caller(
                f"assumed: different people in both arms of {plural(int(unknown.sum()), 'row')} of which "
                "neither `paired` nor the design says so",
                AssumptionWarning,
            )
    return table


def _warn_of_rows_left_out(plan: SheetPlan, asked: CountsAsked, reasons: Sequence[str], rows: int) -> None:
    """Warn of rows with a count of the kind that cannot be used, with the commonest reasons."""
    if not reasons:
        return
    tally = Counter(reasons).most_common(MOST_REASONS)
    warn_caller(
        f"{len(reasons)} of {plural(rows, 'row')} of {plan.file} with a count of {asked.kind} cannot be "
        "used: "
        + "; ".join(f"{plural(n, 'row')}: {reason}" for reason, n in tally)
        + ". The ledger of the counts names each row",
        RowsLeftOutWarning,
    )


def _warn_of_mixed_definitions(kept: pd.DataFrame, asked: CountsAsked) -> None:
    """Warn where counts of different events stand in one table."""
    tally = kept["counted"].value_counts(sort=False)
    if len(tally) > 1:
        warn_caller(
            "counts that cover different events stand in one table: "
            + "; ".join(f"{words} ({plural(int(n), 'row')})" for words, n in tally.items())
            + ". Pool each by itself: the column `counted` says which",
            MixedDefinitionsWarning,
        )
