"""Descriptions of rows: used or why not, days after treatment, and which effects share animals or people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metaexo.effects.effect_rows import EffectRows
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import check_columns, describe, read_words
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


def ledger_table(
    ledger: Ledger, sheet: pd.DataFrame, not_selected: Mapping[int, str] | None = None
) -> pd.DataFrame:
    """Return every row of a sheet with what became of it: used, or left out at which step and why.

    Use it for the table of what could not enter an analysis.

    Parameters
    ----------
    ledger : Ledger
        Ledger of all rows of the sheet, as :meth:`metaexo.evidence.Sheets.effects` gives it.
    sheet : DataFrame
        The sheet, with its column `line`.
    not_selected : mapping of int to str, optional
        Line to the reason why the row was not asked for, in place of the condition.

    Returns
    -------
    DataFrame
        The sheet with the columns `step` ("used" for rows that took part) and `reason`.

    Raises
    ------
    InputError
        If the ledger is not that of this sheet.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.evidence_sheets()
    >>> es = sheets.effects("SMD", where="contrast == 'exosome_vs_control' and use == 'main'")
    >>> found = ledger_table(es.ledger, sheets.outcomes)
    >>> len(found), int((found["step"] == "used").sum()) == es.k
    (227, True)
    """
    check_columns(sheet, "the sheet", ["line"])
    if not isinstance(ledger, Ledger):
        raise InputError(f"the ledger is of type {type(ledger).__name__}", "the ledger of effects, es.ledger")
    told = {entry.line: (entry.step, entry.reason) for entry in ledger.left_out}
    told |= dict.fromkeys(ledger.used, ("used", ""))
    lines = [int(line) for line in sheet["line"]]
    if set(lines) != set(told):
        raise InputError(
            f"the ledger of {ledger.source} has {len(told)} rows and the sheet has {len(lines)}",
            "the sheet that the effects came from, with all its rows",
        )
    if not (not_selected is None or isinstance(not_selected, Mapping)):
        raise InputError(f"not_selected is {describe(not_selected)}", "a mapping of lines to reasons")
    words = not_selected or {}
    table = sheet.copy()
    table["step"] = [told[line][0] for line in lines]
    table["reason"] = [
        words.get(line, told[line][1]) if told[line][1].startswith("not selected") else told[line][1]
        for line in lines
    ]
    return table


def count_reasons(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return how many rows were used or left out for which reason, by columns of the sheet.

    Parameters
    ----------
    table : DataFrame
        What :func:`ledger_table` returned.
    by : sequence of str
        Columns of the sheet.

    Returns
    -------
    DataFrame
        The columns of `by`, then step, reason and rows: the rows used first, then the commonest reasons.
        The column `rows` adds up to the rows of the sheet.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"domain": ["a", "a", "b"], "step": ["used", "effect", "used"],
    ...                       "reason": ["", "no n", ""]})
    >>> count_reasons(table, ["domain"])["rows"].tolist()
    [1, 1, 1]
    """
    by = read_words(by, "by")
    keys = [*by, "step", "reason"]
    check_columns(table, "the table", keys)
    counted = table.groupby(keys, dropna=False, sort=False).size().rename("rows").reset_index()
    counted["later"] = counted["step"] != "used"
    order = [*by, "later", "rows", "step", "reason"]
    rising = [True] * (len(by) + 1) + [False, True, True]
    return counted.sort_values(order, ascending=rising, ignore_index=True).drop(columns="later")


DAYS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}

_UNIT = "|".join(DAYS)
_NUMBER = r"\d+(?:\.\d+)?\b"
_NUMBERS = rf"{_NUMBER}(?:\s*(?:,|-|–|to|and|or)\s*{_NUMBER})*"
_TIMES = re.compile(
    rf"(?P<count>{_NUMBERS})[\s-]*(?P<unit>{_UNIT})s?\b"
    rf"|\b(?P<named>{_UNIT})s?\s+(?P<place>{_NUMBERS})(?![\s-]*(?:{_UNIT}))"
    rf"|\bD(?P<short>{_NUMBER})",
    re.IGNORECASE,
)


def days_after(timepoint: object) -> float:
    """Return a time point in days, the last one if several are named; NaN if no time is given.

    Use it to put the time points of a study in order: "day 7", "12 weeks", "weeks 2 and 4", "D21".

    Parameters
    ----------
    timepoint : str or missing
        The words of the sheet.

    Returns
    -------
    float
        Days; a month is a twelfth of 365.25 days.

    Examples
    --------
    >>> days_after("12 weeks"), days_after("weeks 2 and 4"), days_after("3 to 12 days"), days_after("D21")
    (84.0, 28.0, 12.0, 21.0)
    >>> days_after("end of study")
    nan
    """
    if not isinstance(timepoint, str):
        return math.nan
    found = [_days(match) for match in _TIMES.finditer(timepoint)]
    return max(found, default=math.nan)


def _days(match: re.Match[str]) -> float:
    unit = (match["unit"] or match["named"] or "day").lower()
    numbers = match["count"] or match["place"] or match["short"]
    return max(float(number) for number in re.findall(_NUMBER, numbers)) * DAYS[unit]


ARMS = ("treatment_label", "control_label")


def same_subjects(effects: EffectRows) -> tuple[str, ...]:
    """Return who each effect was measured on; effects with one name share animals or people.

    Use it as the clusters of :func:`metaexo.effects.covariance_blocks`: the sampling errors of two effects
    are correlated if the same animals gave both (two time points, two outcomes) or if they share an arm (two
    doses against one control), and independent if both arms are different animals, even in one study. Arms
    are known by their labels, so effects of a study are linked by every label that they share, directly or by
    way of a third; an arm without a label may be any arm of its study.

    Parameters
    ----------
    effects : EffectSizes or BoundedEffectSizes
        Effects of the sheets, with the columns treatment_label and control_label.

    Returns
    -------
    tuple of str
        The study of each effect, with a number where a study has several groups of animals or people.

    Raises
    ------
    UnknownChoiceError
        If the labels of the arms are not in the data.

    References
    ----------
    Gleser, L. J., Olkin, I. (2009). Stochastically dependent effect sizes. In The Handbook of Research
    Synthesis and Meta-Analysis, 2nd ed., 357-376. https://doi.org/10.7758/9781610441384

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> arms = pd.DataFrame({"treatment_label": ["gel", "gel", "low dose", "high dose"],
    ...                      "control_label": ["no gel", "no gel", "saline", "saline"]})
    >>> es = mx.EffectSizes([0.4, 0.5, 0.6, 0.7], [0.1] * 4, study=["Lee"] * 4, data=arms)
    >>> same_subjects(es)
    ('Lee, group 1', 'Lee, group 1', 'Lee, group 2', 'Lee, group 2')
    """
    if not isinstance(effects, EffectRows):
        raise InputError(f"the effects are {describe(effects)}", "an EffectSizes with the labels of its arms")
    columns = [] if effects.data is None else list(map(str, effects.data.columns))
    for name in ARMS:
        if name not in columns:
            raise UnknownChoiceError("column", name, columns)
    study = effects.study or effects.row_ids
    labels = list(zip(*(effects.column(name) for name in ARMS), strict=True))
    groups: dict[str, list[list[int]]] = {}
    for i, name in enumerate(study):
        groups.setdefault(name, [])
        tied = [group for group in groups[name] if any(_share(labels[i], labels[j]) for j in group)]
        rest = [group for group in groups[name] if group not in tied]
        groups[name] = [*rest, sorted([*(j for group in tied for j in group), i])]
    names = [""] * effects.k
    for name, found in groups.items():
        for number, group in enumerate(sorted(found), start=1):
            for i in group:
                names[i] = name if len(found) == 1 else f"{name}, group {number}"
    return tuple(names)


def _share(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """Say whether two comparisons may have an arm in common."""
    told = [{_plain(label) for label in labels} for labels in (one, two)]
    return bool(told[0] & told[1]) or any("" in labels for labels in told)


def _plain(label: Any) -> str:
    """Return a label without what does not matter; empty if there is none."""
    if label is None or label != label or str(label) == "<NA>":
        return ""
    return " ".join(str(label).casefold().split())
