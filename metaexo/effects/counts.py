"""EventCounts: people with an event among those followed, or events per person-time, study by study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import (
    check_inputs,
    check_kind,
    check_studies,
    index_of,
    look_up,
    read_labels,
    read_studies,
    read_table_of,
    study_column_of,
)
from metaexo.effects.columns import call_with
from metaexo.effects.derivation import Derivation, Origin
from metaexo.effects.effect_rows import EffectRows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.calculate import Calculated, as_rows, calculate
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import (
    InputError,
    MissingInputError,
    RepeatedNumbersWarning,
    RowsLeftOutWarning,
    ShapeError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.immutable import frozen
from metaexo.inputs import check_aligned, check_choice, check_flag, read_numbers
from metaexo.ledger import Ledger
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("treatment", "control")
NOT_COUNTED = "a count or a size is missing"
BOTH_SIZES = "people and person-time are both given"


@dataclass(frozen=True, eq=False, init=False, repr=False)
class EventCounts(EffectRows):
    """Counts of events in one or two arms per study, as the models of counts take them.

    Use :func:`metaexo.event_counts` to make it from columns of a table. Nothing is added to zeros here, and a
    study without any event is a row like the others.

    Parameters
    ----------
    events : array_like, shape (k, g)
        People with an event, or events; g is 1 or 2, the first column of two is the treated arm.
    totals : array_like, shape (k, g)
        People in each arm, or their person-time.
    person_time : bool
        Whether `totals` are person-time, in a unit that is the same in all rows, and not people.
    labels : sequence of str, or str, optional
        What a reader sees of each row, or the name of a column of `data`.
    study : sequence of str, or str, optional
        Study of each row, or the name of a column of `data`. Default: the column "study" of `data`; without
        one, every row is a separate study.
    data : pandas.DataFrame, optional
        Further columns, one row per row of counts.
    ledger : Ledger, optional
        Which rows of the source table are here and which are not.

    Attributes
    ----------
    k : int
        Number of rows.
    m : int
        Number of studies.
    arms : int
        1 or 2.

    Raises
    ------
    ShapeError
        If the lengths differ, or there are more than two arms.
    EventsError
        If a count is no whole number of at least 0, or above the size of its arm.
    SampleSizeError
        If a size is no whole number of at least 1.
    TimeError
        If a person-time is not above 0.
    InputError
        If a study is blank, or pandas objects have different indexes; it names the rows.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.effects.EventCounts([[0, 2], [1, 1]], [[12, 12], [30, 31]], labels=["Li", "Cho"])
    >>> counts
    EventCounts(two arms, people: k = 2 rows, m = 2 studies, 4 events among 85)
    """

    _answers_as = "counts"

    events: Array
    totals: Array
    person_time: bool
    labels: tuple[str, ...]
    study: tuple[str, ...]
    ledger: Ledger | None
    index: pd.Index[Any] | None
    study_column: str | None
    _data: pd.DataFrame | None
    derived: tuple[Derivation, ...] = ()
    oriented: bool = False
    origin: Origin | None = None

    def __init__(
        self,
        events: ArrayLike,
        totals: ArrayLike,
        *,
        person_time: bool = False,
        labels: Sequence[str] | pd.Series | str | None = None,
        study: Sequence[str] | pd.Series | str | None = None,
        data: pd.DataFrame | Mapping[str, Any] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        data = read_table_of(data)
        if ledger is not None:
            check_kind("ledger", ledger, Ledger)
        column = study if isinstance(study, str) else None
        if study is None and data is not None:
            column = study = study_column_of(data)
        found = {name: look_up(data, name, x) for name, x in (("labels", labels), ("study", study))}
        check_aligned(events=events, totals=totals, **found, data=data)
        x, n = _columns(events, "events"), _columns(totals, "totals")
        if x.shape != n.shape or x.shape[1] not in (1, 2):
            raise ShapeError(
                f"events has shape {x.shape} and totals has {n.shape}",
                "a column per arm, one or two, and a row per study in both",
            )
        k = len(x)
        sizes = {
            "data": k if data is None else len(data),
            "used rows of the ledger": k if ledger is None else len(ledger.used),
        }
        for name, size in sizes.items():
            if size != k:
                raise ShapeError(f"{name}: {size}, and there are {plural(k, 'row')}", "one for each row")
        put = object.__setattr__
        put(self, "events", frozen(x))
        put(self, "totals", frozen(n))
        put(self, "person_time", check_flag("person_time", person_time))
        put(self, "labels", read_labels(found["labels"], k))
        put(self, "study", read_studies(found["study"], k))
        put(self, "ledger", ledger)
        put(self, "index", index_of(events, totals, *found.values(), data))
        put(self, "study_column", column)
        put(self, "_data", None if data is None else data.copy())
        check_studies(self.study, self._row_name)
        self._check()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.events.flags.writeable = False
        self.totals.flags.writeable = False

    def _check(self) -> None:
        if not self.k:
            return
        rows = [self._row_name(i) for i in range(self.k)]
        missing = np.flatnonzero(np.isnan(self.events).any(axis=1) | np.isnan(self.totals).any(axis=1))
        if missing.size:
            raise InputError(
                f"{NOT_COUNTED} in {plural(missing.size, 'row')}",
                "a number of events and a size in every arm",
                'an empty cell is no zero: fill it, or leave the row out, event_counts(..., missing="drop")',
                [rows[i] for i in missing],
            )
        check_inputs(self.inputs, rows)

    # -- what there is -----------------------------------------------------------------------------------

    @property
    def k(self) -> int:
        """Number of rows."""
        return len(self.events)

    @property
    def arms(self) -> int:
        """Number of arms: 1 or 2."""
        return int(self.events.shape[1])

    @property
    def inputs(self) -> Mapping[str, Array]:
        """The columns under the names that :func:`metaexo.effect_sizes` knows: treatment_events, ..."""
        size = "time" if self.person_time else "n"
        prefixes = ("",) if self.arms == 1 else tuple(f"{arm}_" for arm in ARMS)
        found = {}
        for j, prefix in enumerate(prefixes):
            found[f"{prefix}events"] = self.events[:, j]
            found[f"{prefix}{size}"] = self.totals[:, j]
        return found

    @property
    def is_zero(self) -> Mask:
        """Which rows have no event in any arm, shape (k,)."""
        return np.asarray((self.events == 0).all(axis=1))

    @property
    def is_double_zero(self) -> Mask:
        """Which rows of two arms have no event in either, or events in everyone of both, shape (k,).

        They say nothing on a ratio of the arms within a study.
        """
        everyone = (self.events == self.totals).all(axis=1) & (not self.person_time)
        return np.asarray((self.is_zero | everyone) & (self.arms == 2))

    def zeros_in_words(self) -> str:
        """Return how many rows have no event, and how many have events in everyone.

        "9 of 12 rows without event in an arm, 4 without event in either".
        """
        some, rows = int((self.events == 0).any(axis=1).sum()), f"of {plural(self.k, 'row')}"
        if not some:
            found = "events in every row" if self.arms == 1 else "events in every arm"
        elif self.arms == 1:
            found = f"{some} {rows} without event"
        else:
            found = (
                f"{some} {rows} without event in an arm, {int(self.is_zero.sum())} without event in either"
            )
        everyone = (self.events == self.totals) & (not self.person_time)
        full = int(everyone.any(axis=1).sum())
        if not full:
            return found
        arms = "" if self.arms == 1 else f" of an arm, {int(everyone.all(axis=1).sum())} in everyone of both"
        return f"{found}; {full} {rows} with events in everyone{arms}"

    def arm(self, which: Literal["treatment", "control"]) -> EventCounts:
        """Return the counts of one arm.

        Parameters
        ----------
        which : {"treatment", "control"}
            The arm.

        Raises
        ------
        InputError
            If there is one arm only.
        """
        check_choice("arm", which, ARMS)
        if self.arms == 1:
            raise InputError("the counts are of one arm", "counts of two arms", "take them as they are")
        at = ARMS.index(which)
        made = object.__new__(EventCounts)
        made.__setstate__(
            self.__dict__ | {name: frozen(getattr(self, name)[:, [at]]) for name in ("events", "totals")}
        )
        return made

    # -- effects -----------------------------------------------------------------------------------------

    def effect_sizes(self, measure: str | Measure, zero_cells: ZeroCells | None = None) -> EffectSizes:
        """Return each study's effect with its sampling variance, for models of effects.

        Parameters
        ----------
        measure : str or Measure
            "OR", "RR", "RD", "PETO" or "AS" for people in two arms, "IRR" or "IRD" for person-time, "PLO",
            "PR", "PAS" or "PFT" for one arm, "IRLN" or "IR" for its person-time, and so on.
        zero_cells : ZeroCells, optional
            What is added to counts of zero; the default of the measure if not given.

        Returns
        -------
        EffectSizes
            Studies without an effect are left out, with a warning and an entry in the ledger.

        Raises
        ------
        MissingInputError
            If the measure is of other counts.

        Warns
        -----
        RowsLeftOutWarning
            If studies have no effect.
        """
        done = self._calculated(measure, zero_cells)
        every = self._estimates(done, measure, zero_cells)
        gone = np.array([bool(reason) for reason in done.reasons], dtype=bool)
        if not gone.any():
            return every
        rows = [f"{self._row_name(int(i))}: {done.reasons[i]}" for i in np.flatnonzero(gone)]
        warn_caller(
            f"left out, without an effect or a variance, {len(rows)} of {plural(self.k, 'row')}: "
            + "; ".join(rows[:8])
            + (f"; and {len(rows) - 8} more" if len(rows) > 8 else ""),
            RowsLeftOutWarning,
        )
        made = object.__new__(EffectSizes)
        made.__setstate__(every.__dict__ | every._without(gone, done.reasons, "effect"))
        return made

    def study_estimates(self, measure: str | Measure, zero_cells: ZeroCells | None = None) -> EffectSizes:
        """Return the same with every row: a study without an effect has NaN as effect and variance.

        For drawing and for tables beside a model of counts; models of effects refuse it.
        """
        return self._estimates(self._calculated(measure, zero_cells), measure, zero_cells)

    def _calculated(self, measure: str | Measure, rule: ZeroCells | None) -> Calculated:
        return calculate(measure, dict(self.inputs), zero_cells=rule)

    def _estimates(self, done: Calculated, measure: str | Measure, rule: ZeroCells | None) -> EffectSizes:
        """Return the effects of all rows, NaN where a row has none."""
        made = object.__new__(EffectSizes)
        shared = {name: getattr(self, name) for name in ("labels", "study", "ledger", "index")}
        options = {"variance": None, "bias_correction": True, "zero_cells": rule}
        none = np.array([bool(reason) for reason in done.reasons], dtype=bool)
        made.__setstate__(
            {
                **shared,
                "y": frozen(np.where(none, np.nan, done.y)),
                "v": frozen(np.where(none, np.nan, done.v)),
                "measure": get_measure(measure),
                "derived": done.derived,
                "oriented": False,
                "origin": Origin(as_rows(dict(self.inputs)), np.arange(self.k), options),
                "study_column": self.study_column,
                "_data": self._data,
            }
        )
        return made

    # -- rows --------------------------------------------------------------------------------------------

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        index = None if self.index is None else self.index[rows]
        counts = {name: frozen(getattr(self, name)[rows]) for name in ("events", "totals")}
        found = super()._columns_at(rows) | counts | {"index": index}
        return {name: value for name, value in found.items() if name not in ("derived", "origin")}

    def _numbers(self) -> dict[str, Any]:
        return dict(self.inputs)

    def _with(self, **changes: Any) -> Self:
        columns: dict[str, Any] = {
            "labels": self.labels or None,
            "study": self.study or None,
            "data": self._data,
            "ledger": self.ledger,
        }
        made = type(self)(self.events, self.totals, person_time=self.person_time, **(columns | changes))
        if self.index is not None:
            object.__setattr__(made, "index", self.index)
        if "study" not in changes:
            object.__setattr__(made, "study_column", self.study_column)
        return made

    def __repr__(self) -> str:
        what = "person-time" if self.person_time else "people"
        arms = "one arm" if self.arms == 1 else "two arms"
        return (
            f"EventCounts({arms}, {what}: k = {plural(self.k, 'row')}, "
            f"m = {plural(self.m, 'study', 'studies')}, {plural(int(self.events.sum()), 'event')} "
            f"{'in' if self.person_time else 'among'} {self.totals.sum():,.10g})"
        )


def event_counts(
    data: pd.DataFrame | Mapping[str, Any] | None = None,
    *,
    treatment_events: ArrayLike | str | None = None,
    treatment_n: ArrayLike | str | None = None,
    treatment_time: ArrayLike | str | None = None,
    control_events: ArrayLike | str | None = None,
    control_n: ArrayLike | str | None = None,
    control_time: ArrayLike | str | None = None,
    events: ArrayLike | str | None = None,
    n: ArrayLike | str | None = None,
    time: ArrayLike | str | None = None,
    labels: Sequence[str] | pd.Series | str | None = None,
    study: Sequence[str] | pd.Series | str | None = None,
    missing: Literal["drop", "raise"] = "drop",
) -> EventCounts:
    """Return counts of events from columns of a table, or from arrays.

    Use it before the models of counts: :class:`metaexo.MantelHaenszel`, :class:`metaexo.CountGLMM` and their
    neighbours. A zero is a count; an empty cell is none, and its row is left out.

    Parameters
    ----------
    data : pandas.DataFrame, optional
        One row per study; travels with the counts. If no counts are given, they are its columns with the
        names of the arguments.
    treatment_events : array_like, shape (k,), or str
        People with an event in the treated arm (with n), or events (with time); or the name of a column.
    treatment_n : array_like, shape (k,), or str
        People in the treated arm.
    treatment_time : array_like, shape (k,), or str
        Person-time of the treated arm, in one unit for all rows and arms, in the place of n.
    control_events, control_n, control_time : array_like, shape (k,), or str
        The same for the control arm.
    events, n, time : array_like, shape (k,), or str
        The same for studies with one arm.
    labels, study : sequence of str, or str, optional
        Label and study of each row, or the name of a column of `data`.
    missing : {"drop", "raise"}
        Rows with an empty cell are left out, with a warning and an entry in the ledger, or raise an error.

    Returns
    -------
    EventCounts
        Of one or two arms.

    Raises
    ------
    MissingInputError
        If the counts of an arm or their sizes are not given.
    InputError
        If people and person-time, or one arm and two, are given together; if a value is impossible (it names
        the rows).

    Warns
    -----
    RowsLeftOutWarning
        If rows are left out.
    RepeatedNumbersWarning
        If two rows have the same label, or the same study where no labels are given, and the same counts.

    Examples
    --------
    >>> import metaexo as mx
    >>> counts = mx.event_counts(
    ...     treatment_events=[0, 3, 0], treatment_n=[12, 40, 25],
    ...     control_events=[0, 5, 1], control_n=[11, 42, 25],
    ... )
    >>> print(counts.zeros_in_words())
    2 of 3 rows without event in an arm, 1 without event in either
    """
    data = read_table_of(data)
    check_choice("missing", missing, ("drop", "raise"))
    given = {
        "treatment_events": treatment_events,
        "treatment_n": treatment_n,
        "treatment_time": treatment_time,
        "control_events": control_events,
        "control_n": control_n,
        "control_time": control_time,
        "events": events,
        "n": n,
        "time": time,
    }
    asked = {name: values for name, values in given.items() if values is not None}
    if not asked and data is not None:
        asked = {name: name for name in given if name in data.columns}
        if not asked:
            raise _no_columns_of_counts([str(column) for column in data.columns], [*given])
    columns = [look_up(data, name, values) for name, values in asked.items()]
    check_aligned(**dict(zip(asked, columns, strict=True)), data=data)
    arrays = as_rows(dict(zip(asked, columns, strict=True)))
    person_time, prefixes = _arms_of(arrays)
    sizes = "time" if person_time else "n"
    x = np.column_stack([arrays[f"{prefix}events"] for prefix in prefixes])
    total = np.column_stack([arrays[f"{prefix}{sizes}"] for prefix in prefixes])
    if data is not None and len(data) != len(x):
        raise ShapeError(f"data has {len(data)} rows and the counts have {len(x)}", "one row for each")
    column = study if isinstance(study, str) else None
    if study is None and data is not None:
        column = study = study_column_of(data)
    index = index_of(*columns, data)
    gone = np.asarray(np.isnan(np.column_stack([x, total])).any(axis=1))
    shown = read_labels(look_up(data, "labels", labels), len(x))
    studies = read_studies(look_up(data, "study", study), len(x))
    ledger = _ledger(gone, shown, studies, missing)
    at = np.flatnonzero(~gone)
    made = EventCounts(
        x[at],
        total[at],
        person_time=person_time,
        labels=[shown[i] for i in at] if shown else None,
        study=column or ([studies[i] for i in at] if studies else None),
        data=None if data is None else data.iloc[at],
        ledger=ledger,
    )
    if index is not None:
        object.__setattr__(made, "index", index[at])
    _warn_of_twins(made)
    return made


def _no_columns_of_counts(columns: list[str], inputs: list[str]) -> MissingInputError:
    """Return the error for a table none of whose columns are called like counts, with the call to write."""
    call = call_with("mx.event_counts(", inputs[:2] + inputs[3:5], columns, inputs)
    return MissingInputError(
        f"treatment_events, treatment_n, control_events, control_n: not given; the columns of data are "
        f"{', '.join(map(repr, columns)) or 'none'}",
        "treatment_events, treatment_n, control_events, control_n, or events and n for one arm",
        f"say which column is which: {call}",
    )


def _columns(values: object, name: str) -> Array:
    """Return counts or sizes as a table with a column per arm."""
    found = read_numbers(values, name)
    return found[:, None] if found.ndim == 1 else found


def _arms_of(arrays: Mapping[str, Array]) -> tuple[bool, tuple[str, ...]]:
    """Return whether sizes are person-time, and the prefixes of the arms; refuse what does not fit."""
    two = [name for name in arrays if name.startswith(("treatment_", "control_"))]
    one = [name for name in arrays if name not in two]
    if two and one:
        raise InputError(
            f"{', '.join(two)} and {', '.join(one)} are given together",
            "counts of two arms (treatment_events, control_events), or of one (events)",
            f"leave out {' and '.join(one)} for two arms, or {' and '.join(two)} for one",
        )
    prefixes = ("",) if one else tuple(f"{arm}_" for arm in ARMS)
    sizes = {word: [f"{prefix}{word}" for prefix in prefixes] for word in ("n", "time")}
    there = {word: [name for name in names if name in arrays] for word, names in sizes.items()}
    if there["n"] and there["time"]:
        raise InputError(
            f"{BOTH_SIZES}: {', '.join(there['n'] + there['time'])}",
            "people with an event among n, or events in a person-time",
            "hand in those that are meant: " + ", ".join(f"{name}=..." for name in sizes["n"]),
        )
    person_time = bool(there["time"])
    needed = [
        name
        for prefix in prefixes
        for name in (f"{prefix}events", f"{prefix}{'time' if person_time else 'n'}")
    ]
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise MissingInputError(
            f"{', '.join(missing)}: not given",
            f"{', '.join(needed)}" + (", or events and n for one arm" if two or not arrays else ""),
            "hand in the name of each column, as in "
            + ", ".join(f"{name}='my column'" for name in missing[:2])
            + _one_arm_remedy(arrays),
        )
    return person_time, prefixes


def _one_arm_remedy(arrays: Mapping[str, Array]) -> str:
    """Return how the counts of the only arm that is given are handed in; empty for another fault."""
    for arm in ARMS:
        for size in ("n", "time"):
            if set(arrays) == {f"{arm}_events", f"{arm}_{size}"}:
                return f"; if there is no other arm: events={arm}_events, {size}={arm}_{size}"
    return ""


def _warn_of_twins(counts: EventCounts) -> None:
    """Warn of rows with the same label, or the same study where there are no labels, and the same counts."""
    names = counts.labels or counts.study
    if not names:
        return
    first: dict[tuple[Any, ...], int] = {}
    twins = []
    table = np.column_stack([counts.events, counts.totals]).tolist()
    for i, key in enumerate(zip(names, *zip(*table, strict=True), strict=True)):
        if first.setdefault(key, i) != i:
            rows = f"{counts._row_name(first[key])} and {counts._row_name(i)}"
            twins.append(rows if counts.labels else f"{rows} ({names[i]})")
    if twins:
        warn_caller(
            f"the same {'label' if counts.labels else 'study'} and the same counts: {'; '.join(twins[:8])}"
            + (f"; and {len(twins) - 8} more" if len(twins) > 8 else "")
            + "; leave one out if a study was entered twice, or give the rows labels of their own",
            RepeatedNumbersWarning,
        )


def _ledger(
    gone: Mask, labels: Sequence[str], studies: Sequence[str], missing: Literal["drop", "raise"]
) -> Ledger | None:
    """Enter the rows with an empty cell, and tell of them; None if there are none."""
    if not gone.any():
        return None
    rows = [f"row {i + 1}{f' ({labels[i]})' if labels else ''}" for i in np.flatnonzero(gone).tolist()]
    if missing == "raise":
        raise InputError(
            f"{NOT_COUNTED} in {plural(len(rows), 'row')}",
            "a number of events and a size in every arm",
            'an empty cell is no zero: fill it, or leave the row out, missing="drop"',
            rows,
        )
    warn_caller(
        f"left out, because {NOT_COUNTED}, {len(rows)} of {plural(gone.size, 'row')}: "
        + "; ".join(rows[:8])
        + (f"; and {len(rows) - 8} more" if len(rows) > 8 else ""),
        RowsLeftOutWarning,
    )
    lines = {int(i) + 1: NOT_COUNTED for i in np.flatnonzero(gone)}
    named = [{line: words[line - 1] for line in lines} if words else None for words in (studies, labels)]
    return Ledger.of_rows(gone.size).leave_out(lines, "sheet", *named)
