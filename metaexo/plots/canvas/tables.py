"""What the figures of tables share: columns by name, the order of categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.formatting import NOT_REPORTED
from metaexo.plots.canvas.words import OTHER, words

if TYPE_CHECKING:
    import pandas as pd

LAST = (OTHER, NOT_REPORTED)
SILENT = ("", "not_reported", "not reported", "unclear", "nan", "<na>", "none")


def column_of(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of a table; raises UnknownChoiceError if there is no such column."""
    known = [str(column) for column in table.columns]
    if name not in known:
        raise UnknownChoiceError("column", name, known)
    if known.count(name) > 1:
        raise InputError(
            f"the table has {known.count(name)} columns called {name!r}",
            "one column of a name",
            "rename them",
        )
    return table.iloc[:, known.index(name)]


def levels_of(
    names: Iterable[str] | Mapping[str, int],
    order: Sequence[str] | None = None,
    wording: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the different names in an order: as given, or the commonest first.

    Names that come with counts are not counted again. "other" and "not reported", in capitals or not, and
    with what follows them ("Other method"), come last. An order may hold names that are not found.

    Raises InputError if the order leaves out a name that is found.
    """
    found = Counter(names)
    if order is None:
        return sorted(found, key=lambda name: (_rank(name), -found[name], name))
    wanted = [words(value, wording, "not reported") for value in order]
    missing = [name for name in found if name not in wanted]
    if missing:
        raise InputError(
            f"the order of the categories leaves out {', '.join(map(repr, missing))}",
            "all categories of the table",
            "add them to the order, or leave their rows out of the table",
        )
    return list(dict.fromkeys(wanted))


def is_reported(value: object) -> bool:
    """Return whether a cell says something."""
    if value is None or isinstance(value, bool | np.bool_):
        return bool(value)
    return str(value).strip().lower() not in SILENT


def _rank(name: str) -> int:
    folded = name.casefold()
    return next((i for i, last in enumerate(LAST, 1) if f"{folded} ".startswith(f"{last} ")), 0)
