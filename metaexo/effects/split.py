"""Splitting effects by columns of their data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metaexo.effects.arguments import check_kind, read_names
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError

NOT_REPORTED = "not reported"


def split(effects: EffectSizes, by: str | Sequence[str]) -> dict[tuple[str, ...], EffectSizes]:
    """Return the effects of every combination of values of some columns.

    Use it to ask one question of several groups that must not meet in one model: animals and patients,
    or one outcome family after the other.

    Parameters
    ----------
    effects : EffectSizes
        Effects with the columns among their data.
    by : str or sequence of str
        Columns; a missing value counts as "not reported".

    Returns
    -------
    dict of tuple of str to EffectSizes
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
    check_kind("effects", effects, EffectSizes)
    names = read_names(by, "by")
    if not names:
        raise InputError("by names no column", "the name of a column, or a list of names")
    columns = [effects.column(name).fillna(NOT_REPORTED).astype(str) for name in names]
    found: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(zip(*columns, strict=True)):
        found.setdefault(key, []).append(i)
    return {
        key: effects.select(np.array(found[key], dtype=np.intp), f"not {' / '.join(key)}")
        for key in sorted(found)
    }
