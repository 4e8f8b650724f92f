"""Choosing one effect per study, for models of independent effects, and splitting effects by columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.check import check_kind, read_names
from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_rows import EffectRows, rows_by
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError
from metaexo.formatting import NOT_REPORTED
from metaexo.inputs import check_aligned, read_numbers

Rows = TypeVar("Rows", bound=EffectRows)
EARLIER = "an earlier time point of the same study; the latest is taken"
ANOTHER = "another result of the same study; the first in the sheet is taken"


def one_per_study(
    effects: EffectSizes, by: str | Sequence[str] = (), latest: ArrayLike | None = None
) -> EffectSizes:
    """Return one effect per study: the latest, and among equals the first.

    Use it before :class:`metaexo.RandomEffects` or :func:`metaexo.stratify`, which take effects as
    independent, when a study reports one thing at several times or in several ways. The rule looks at
    nothing but time and order, so it cannot favour large effects. The others enter the ledger.

    Parameters
    ----------
    effects : EffectSizes
        Effects, some of one study.
    by : str or sequence of str
        Columns of the data; a study may give one effect for each combination of their values.
    latest : array_like, shape (k,), optional
        Time of each effect, in any unit; NaN where it is not known, which counts as earlier than any time.
        Default: times are not used.

    Returns
    -------
    EffectSizes
        At most one effect for each study and combination, in the order handed in.

    Raises
    ------
    ShapeError
        If there is not one time for each effect.
    UnknownChoiceError
        If a name in `by` is not a column of the data.

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.2, 0.5, 0.4], [0.1, 0.1, 0.1], study=["Li", "Li", "Cho"])
    >>> one_per_study(es, latest=[4, 12, 8]).y
    array([0.5, 0.4])
    """
    check_kind("effects", effects, EffectSizes, BoundedEffectSizes)
    check_aligned(effects=effects, latest=latest)
    times = np.full(effects.k, np.nan) if latest is None else read_numbers(latest, "latest", ndim=1)
    if times.shape != (effects.k,):
        raise ShapeError(f"latest has shape {times.shape} for {effects.k} effects", "one time per effect")
    columns = [effects.column(name).astype(str) for name in read_names(by, "by")]
    times = np.where(np.isnan(times), -np.inf, times)
    late = np.zeros(effects.k, dtype=bool)
    first = np.zeros(effects.k, dtype=bool)
    for rows in rows_by(zip(effects.study or effects.row_ids, *columns, strict=True)).values():
        last = rows[times[rows] == times[rows].max()]
        late[last] = True
        first[last[0]] = True
    if not late.all():
        effects = effects.select(late, EARLIER)
    return effects if first[late].all() else effects.select(first[late], ANOTHER)


def split(effects: Rows, by: str | Sequence[str]) -> dict[tuple[str, ...], Rows]:
    """Return the effects, or the counts, of every combination of values of some columns.

    Use it to ask one question of several groups that must not meet in one model: animals and patients,
    or one outcome family after the other.

    Parameters
    ----------
    effects : EffectSizes, BoundedEffectSizes or EventCounts
        Effects, or counts of events, with the columns among their data.
    by : str or sequence of str
        Columns; a missing value counts as "not reported".

    Returns
    -------
    dict of tuple of str to what was handed in
        Combinations in alphabetical order; in the ledger of each the others are left out.

    Raises
    ------
    UnknownChoiceError
        If a name is not a column of the data.

    Examples
    --------
    >>> import pandas as pd
    >>> import metaexo as mx
    >>> data = pd.DataFrame({"domain": ["clinical", "preclinical", "clinical"]})
    >>> es = mx.EffectSizes([0.2, 0.5, 0.4], [0.1, 0.1, 0.1], data=data)
    >>> {names: part.k for names, part in split(es, "domain").items()}
    {('clinical',): 2, ('preclinical',): 1}
    """
    check_kind("effects", effects, EffectSizes, BoundedEffectSizes, EventCounts)
    names = read_names(by, "by")
    if not names:
        raise InputError("by names no column", "the name of a column, or a list of names")
    columns = [effects.column(name).fillna(NOT_REPORTED).astype(str) for name in names]
    found = rows_by(zip(*columns, strict=True))
    return {key: effects.select(found[key], f"not {' / '.join(key)}") for key in sorted(found)}
