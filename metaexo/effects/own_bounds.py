"""Bounded effects from numbers of one's own, and exact effects seen as bounded ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.arguments import (
    check_table,
    index_of,
    look_up,
    read_labels,
    read_studies,
    study_column_of,
)
from metaexo.effects.bounded_effect_sizes import ENDS, BoundedEffectSizes
from metaexo.effects.bounds import BoundedEffects, Kind
from metaexo.effects.effect_sizes import REPORTED, EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import check_aligned, read_numbers
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


def bounded_effects(
    lower: ArrayLike,
    upper: ArrayLike,
    v: ArrayLike,
    v_upper: ArrayLike | None = None,
    measure: str | Measure = "GEN",
    *,
    labels: Sequence[str] | str | None = None,
    study: Sequence[str] | str | None = None,
    data: pd.DataFrame | None = None,
    oriented: bool = False,
) -> BoundedEffectSizes:
    """Return effects that are points or intervals, from numbers of your own.

    Use it for a model of censored effects where there is no sheet; :func:`bounds_from_table` finds the ends
    from reported statistics. Equal ends are an exact effect, one end at 0 and the other infinite a direction.

    Parameters
    ----------
    lower, upper : array_like, shape (k,)
        Ends of the interval that holds the observed effect, on the scale of the analysis; equal for exact
        effects, infinite where there is no bound.
    v : array_like, shape (k,)
        Sampling variances of the observed effects: that at the lower end, or at both.
    v_upper : array_like, shape (k,), optional
        Sampling variances at the upper ends, where they differ.
    measure : str or Measure
        Code of the measure; "GEN" for anything.
    labels : sequence of str, optional
        What a reader sees of each row. Default "1", "2", ...
    study : sequence of str, optional
        Study of each row. Default: every row its own study.
    data : pandas.DataFrame, optional
        Further columns, one row an effect.
    oriented : bool
        Whether positive means benefit in every row.

    Returns
    -------
    BoundedEffectSizes
        The effects, for :class:`metaexo.CensoredRandomEffects`.

    Raises
    ------
    ShapeError
        If lengths differ.
    InputError
        If an end is missing or the ends stand the wrong way round.

    Examples
    --------
    >>> found = bounded_effects([0.4, 0.7, -0.7, 0.0], [0.4, float("inf"), 0.7, float("inf")], [0.05] * 4)
    >>> found.kind
    ('exact', 'interval', 'interval', 'direction')
    """
    import pandas as pd

    check_table(data)
    if study is None and data is not None:
        study = study_column_of(data)
    column = study if isinstance(study, str) else None
    ends = {"lower": lower, "upper": upper, "v": v, "v_upper": v if v_upper is None else v_upper}
    found = {name: look_up(data, name, values) for name, values in ends.items()}
    named = {"labels": look_up(data, "labels", labels), "study": look_up(data, "study", study)}
    check_aligned(**found, **named, data=data)
    low, high, at_lower, at_upper = (read_numbers(x, name, ndim=1) for name, x in found.items())
    k, index = low.size, index_of(*found.values(), *named.values())
    columns = {"upper": high, "v": at_lower, "v_upper": at_upper}
    for name, values in columns.items():
        if values.shape != low.shape:
            raise ShapeError(f"{name} has {values.size} entries and lower has {low.size}", "one length")
    if np.isnan(low).any() or np.isnan(high).any():
        raise InputError(
            "some ends are missing",
            "a number in every end",
            "write infinity where there is no bound",
            [f"row {i + 1}" for i in np.flatnonzero(np.isnan(low) | np.isnan(high))],
        )
    bad = (at_lower < 0) | (at_upper < 0)
    if bad.any():
        raise InputError(
            "some sampling variances are negative",
            "sampling variances of at least 0",
            "look at these rows in the source",
            [f"row {i + 1}: {at_lower[i]:g}, {at_upper[i]:g}" for i in np.flatnonzero(bad)],
        )
    names = read_labels(named["labels"], k) or tuple(str(i + 1) for i in range(k))
    bounds = BoundedEffects(
        low,
        high,
        np.where(np.isinf(low), np.inf, at_lower),
        np.where(np.isinf(high), np.inf, at_upper),
        tuple(_kind(a, b) for a, b in zip(low, high, strict=True)),
        (REPORTED,) * k,
        ("",) * k,
    )
    return BoundedEffectSizes(
        bounds,
        get_measure(measure),
        names,
        column or read_studies(named["study"], k) or tuple(str(i + 1) for i in range(k)),
        pd.DataFrame(index=range(k) if index is None else index) if data is None else data,
        Ledger("input", tuple(range(1, k + 1))),
        oriented,
    )


def join_bounded(*parts: BoundedEffectSizes) -> BoundedEffectSizes:
    """Return bounded effects of several tables as one.

    Use it for the numbers of one sheet and the words of another. Rows are counted anew; the columns `sheet`
    and `line` of the data say where each is from. Rows that the parts left out stay in their ledgers.

    Parameters
    ----------
    *parts : BoundedEffectSizes
        Effects of one measure.

    Returns
    -------
    BoundedEffectSizes
        All of them, in their order; oriented if every part is.

    Raises
    ------
    InputError
        If there is no part, or the measures differ.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.read_sheets("data")
    >>> told = "study_id == 'cho2020'"
    >>> numbers = sheets.effects("SMD", where="study_id == 'pbsc_dfu2024'", bounds=True)
    >>> words = sheets.effects("SMD", where=told, sheet="direction_only", bounds=True)
    >>> join_bounded(numbers, words).data["sheet"].tolist()
    ['outcomes.csv', 'outcomes.csv', 'outcomes.csv', 'direction_only.csv']
    """
    import pandas as pd

    for part in parts:
        if not isinstance(part, BoundedEffectSizes):
            raise InputError(
                f"a part is a {type(part).__name__}", "BoundedEffectSizes", "metaexo.effects.bounded_effects"
            )
    codes = sorted({part.measure.code for part in parts})
    if len(codes) != 1:
        raise InputError(f"the measures are {codes}", "effects of one measure")
    frames = []
    for part in parts:
        frame = part.data.reset_index(drop=True).assign(sheet=part.ledger.source)
        frames.append(frame.assign(line=list(part.ledger.used)))
    ends = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ENDS}
    k = sum(part.k for part in parts)
    bounds = BoundedEffects(
        **ends,
        kind=tuple(kind for part in parts for kind in part.kind),
        derived=tuple(mark for part in parts for mark in part.derived),
        reasons=("",) * k,
    )
    return BoundedEffectSizes(
        bounds,
        parts[0].measure,
        tuple(label for part in parts for label in part.labels),
        tuple(study for part in parts for study in part.study),
        pd.concat(frames, ignore_index=True),
        Ledger(" and ".join(part.ledger.source for part in parts), tuple(range(1, k + 1))),
        all(part.oriented for part in parts),
    )


def as_bounded(effects: EffectSizes | BoundedEffectSizes) -> BoundedEffectSizes:
    """Return effects as bounded ones: exact effects have equal ends.

    Parameters
    ----------
    effects : EffectSizes or BoundedEffectSizes
        The effects; bounded ones are returned as they are.

    Raises
    ------
    InputError
        If `effects` is neither.

    Examples
    --------
    >>> import metaexo as mx
    >>> as_bounded(mx.EffectSizes([0.1, 0.4], [0.02, 0.05])).kind
    ('exact', 'exact')
    """
    import pandas as pd

    if isinstance(effects, BoundedEffectSizes):
        return effects
    if not isinstance(effects, EffectSizes):
        raise InputError(
            f"the effects are {type(effects).__name__}",
            "EffectSizes or BoundedEffectSizes",
            "make them with EffectSizes, metaexo.effects.bounded_effects, or sheets.effects(bounds=True)",
        )
    k, index = effects.k, range(effects.k) if effects.index is None else effects.index
    point: Kind = "exact"
    y, v = effects.y, effects.v
    bounds = BoundedEffects(y, y, v, v, (point,) * k, effects.derived or (REPORTED,) * k, ("",) * k)
    return BoundedEffectSizes(
        bounds,
        effects.measure,
        effects.row_labels,
        effects.study or effects.row_ids,
        pd.DataFrame(index=index) if effects.data is None else effects.data,
        effects.ledger or Ledger("input", tuple(range(1, k + 1))),
        effects.oriented,
        effects.origin,
    )


def _kind(lower: float, upper: float) -> Kind:
    """Return what two ends say of an effect."""
    if lower == upper:
        return "exact"
    return "direction" if {lower, upper} in ({0.0, np.inf}, {-np.inf, 0.0}) else "interval"
