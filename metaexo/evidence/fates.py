"""What became of the rows of a sheet, counted by its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.inputs import read_words
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


def fates(ledger: Ledger, sheet: pd.DataFrame, not_selected: Mapping[int, str] | None = None) -> pd.DataFrame:
    """Return every row of a sheet with its fate: used, or left out at which step and for which reason.

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
    >>> sheets = mx.read_sheets("data")
    >>> es = sheets.effects("SMD", where="contrast == 'exosome_vs_control' and use == 'main'")
    >>> found = fates(es.ledger, sheets.outcomes)
    >>> len(found), int((found["step"] == "used").sum()) == es.k
    (220, True)
    """
    _check_table(sheet, "the sheet", ["line"])
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
    words = not_selected or {}
    table = sheet.copy()
    table["step"] = [told[line][0] for line in lines]
    table["reason"] = [
        words.get(line, told[line][1]) if told[line][1].startswith("not selected") else told[line][1]
        for line in lines
    ]
    return table


def _check_table(table: object, what: str, columns: Sequence[str]) -> None:
    """Refuse what is no table with these columns."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{what} is of type {type(table).__name__}", "a DataFrame")
    for column in columns:
        if column not in table:
            raise UnknownChoiceError(f"column of {what}", column, map(str, table.columns))


def count_fates(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return how many rows met which fate, by columns of the sheet.

    Parameters
    ----------
    table : DataFrame
        What :func:`fates` returned.
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
    >>> count_fates(table, ["domain"])["rows"].tolist()
    [1, 1, 1]
    """
    by = read_words(by, "by")
    keys = [*by, "step", "reason"]
    _check_table(table, "the table", keys)
    counted = table.groupby(keys, dropna=False, sort=False).size().rename("rows").reset_index()
    counted["later"] = counted["step"] != "used"
    order = [*by, "later", "rows", "step", "reason"]
    rising = [True] * (len(by) + 1) + [False, True, True]
    return counted.sort_values(order, ascending=rising, ignore_index=True).drop(columns="later")
