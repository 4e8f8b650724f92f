"""Columns of the data in a forest plot: which are shown, and the text of their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots.plan import Column
from metaexo.plots.wording import shown, title_of, whole_or_decimals, words

LABEL, ESTIMATE, WEIGHT = "label", "estimate", "weight"
OWN = {LABEL, ESTIMATE, WEIGHT}


def cell(value: object, column: Column) -> tuple[str, ...]:
    """Return the text of a cell of the data."""
    if column.kind == "number":
        number = float(value) if isinstance(value, int | float | np.number) else float("nan")
        return (shown(number, column.digits or 0),)
    return (words(value, column.wording),)


def settle_columns(
    es: EffectSizes,
    columns: tuple[Column, ...] | None,
    wording: Mapping[str, str],
    used: Sequence[str | None] = (),
) -> tuple[Column, ...]:
    """Return the columns of the data that are shown, with their kinds and decimals.

    Without a choice these are source and isolation method, as far as the data have them and no head says the
    same already.
    """
    if columns is None:
        names = () if es.data is None else [str(name) for name in es.data.columns]
        pairs = (("source", "source_category"), ("isolation", "isolation_category"))
        free = [pair for pair in pairs if not set(pair) & set(used)]
        found = [next((name for name in pair if name in names), None) for pair in free]
        columns = tuple(Column(name) for name in found if name is not None)
    taken = sorted({column.key for column in columns} & OWN)
    if taken:
        raise InputError(
            f"the columns {taken} have the names of columns that every forest plot makes itself",
            "other names",
            "rename them in the data before the effects are made",
        )
    return tuple(_settle_column(column, es.column(column.key), wording) for column in columns)


def _settle_column(column: Column, values: Any, wording: Mapping[str, str]) -> Column:
    numeric = values.dtype.kind in "iuf"
    kind = column.kind or ("number" if numeric else "text")
    if kind not in {"text", "number", "risk"}:
        raise UnknownChoiceError("kind of column", kind, ["text", "number", "risk"])
    if kind == "number" and not numeric:
        raise InputError(
            f"the column {column.key!r} holds texts and is to be shown as numbers",
            "a column of numbers",
            'turn it into numbers first, or choose kind="text"',
        )
    digits = column.digits
    if digits is None and numeric:
        digits = whole_or_decimals(values.to_numpy(dtype=float, na_value=np.nan))
    title = column.title or title_of(column.key)
    return Column(column.key, title, kind, digits, {**wording, **column.wording}, column.letters)
