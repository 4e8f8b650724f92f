"""People with adverse events, study by study: which reports show a count, and exact intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metaexo.effects.conversions.translations import clopper_pearson
from metaexo.evidence.names import named_studies
from metaexo.inputs import check_choice, check_columns, check_level
from metaexo.ledger import Ledger

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

HARMED = "people chosen because they were harmed: a numerator without a denominator"


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
    >>> int(chosen_for_harm(mx.read_sheets("data").safety_events).sum())
    4
    """
    check_columns(reports, "the reports", ["design"])
    return reports["design"].fillna("").astype(str).str.startswith("ae_")


def choose_reports(reports: pd.DataFrame, events: str) -> Ledger:
    """Return which reports say how many of how many treated people had the events.

    Use it before shares are computed: an empty cell is not a zero, and people who were chosen because they
    were harmed have no share.

    Parameters
    ----------
    reports : DataFrame
        The sheet, as in `Sheets.safety_events`.
    events : str
        What is counted, one of `EVENTS`.

    Returns
    -------
    Ledger
        Lines used, and the others each with its reason.

    Raises
    ------
    UnknownChoiceError
        If `events` is not one of `EVENTS`.

    Examples
    --------
    >>> import metaexo as mx
    >>> print(choose_reports(mx.read_sheets("data").safety_events, "deaths"))
    safety_events.csv: 63 rows, 3 used, 60 left out
    """
    check_choice("kind of event", events, tuple(EVENTS))
    needed = [f"{EVENTS[events]}_treated", "n_treated", "design", "use", "caution", "line", "study_id"]
    check_columns(reports, "the reports", needed)
    harmed = chosen_for_harm(reports)
    counted, known = reports[f"{EVENTS[events]}_treated"].notna(), reports["n_treated"].notna()
    apart = reports["use"] == "apart"
    reasons = {}
    rows = zip(reports["line"], harmed, counted, known, apart, reports["caution"], strict=True)
    for line, is_harmed, is_counted, is_known, is_apart, caution in rows:
        if is_harmed:
            reasons[line] = HARMED
        elif not is_counted:
            reasons[line] = f"no count of people with {events}: an empty cell is not a zero"
        elif not is_known:
            reasons[line] = "the number of people treated is not known"
        elif is_apart:
            reasons[line] = f"set apart: {caution}"
    studies = dict(zip(reports["line"], named_studies(reports, "study_id"), strict=True))
    whole = Ledger("safety_events.csv", tuple(int(line) for line in reports["line"]))
    return whole.leave_out(reasons, "selection", studies)


def event_shares(reports: pd.DataFrame, events: str, level: float = 0.95) -> pd.DataFrame:
    """Return the share of people with the events in every arm that shows it, with exact intervals.

    Use it to report safety study by study. Nothing is pooled: what the counts cover differs (`counted`), and
    rates this low need models for rare events.

    Parameters
    ----------
    reports : DataFrame
        The sheet, as in `Sheets.safety_events`.
    events : str
        What is counted, one of `EVENTS`.
    level : float
        Level of the Clopper-Pearson intervals.

    Returns
    -------
    DataFrame
        One row per arm, treated arms first: the columns of the sheet, and events, counted (what the count
        covers, in words), arm, people, n, share, low, high, same_people (both arms are the same people).

    Examples
    --------
    >>> import metaexo as mx
    >>> found = event_shares(mx.read_sheets("data").safety_events, "adverse events")
    >>> zeros = found[(found["people"] == 0) & (found["counted"] == "any adverse event")]
    >>> len(found), len(zeros), round(float(zeros["high"].max()), 2)
    (35, 9, 0.52)
    """
    import pandas as pd

    level = check_level(level)
    check_columns(reports, "the reports", ["ae_scope", "paired"])
    used = reports[reports["line"].isin(choose_reports(reports, events).used)]
    arms = []
    for arm in ("treated", "control"):
        column = f"{EVENTS[events]}_{arm}"
        if column in used:
            rows = used[used[column].notna() & used[f"n_{arm}"].notna()]
            arms.append(rows.assign(arm=arm, people=rows[column], n=rows[f"n_{arm}"]))
    table = pd.concat(arms, ignore_index=True)
    table[["people", "n"]] = table[["people", "n"]].astype(int)
    table["events"] = events
    table["counted"] = table["ae_scope"].map(SCOPES) if events == "adverse events" else events
    table["same_people"] = table["paired"] == "yes"
    table["share"] = table["people"] / table["n"]
    table["low"], table["high"] = clopper_pearson(table["people"], table["n"], level)
    return table
