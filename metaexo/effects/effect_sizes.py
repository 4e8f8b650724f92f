"""EffectSizes: effects with their sampling variances, and everything that must travel with them.

Where effects come from: the statistics that they were computed from, and the choices that were made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import (
    check_kind,
    check_studies,
    check_table,
    index_of,
    look_up,
    read_labels,
    read_studies,
    study_column_of,
    variances_too_small,
)
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import (
    ImpossibleVarianceWarning,
    InputError,
    RowsLeftOutWarning,
    ShapeError,
    UnknownChoiceError,
    VarianceRatioWarning,
)
from metaexo.formatting import plural
from metaexo.immutable import Immutable
from metaexo.inputs import (
    check_aligned,
    check_choice,
    check_flag,
    is_blank,
    is_number,
    read_entries,
    read_numbers,
)
from metaexo.ledger import Ledger
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

How = Literal["reported", "converted", "assumed"]
VARIANCE_RATIO_LIMIT = 1e7
LEAST_VARIANCE, MOST_VARIANCE, LARGEST_EFFECT = 1e-100, 1e100, 1e100
NOT_SELECTED = "not selected"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one effect came about.

    Attributes
    ----------
    how : {"reported", "converted", "assumed"}
        "reported": every input stands in the source as the formula needs it; "converted": an input was
        computed from another statistic; "assumed": an input is not in the source at all.
    formula : str
        Name of the formula or formulas, for example "SD from SE".
    note : str
        The assumption in words with its value, where there is one.
    """

    how: How
    formula: str = ""
    note: str = ""


REPORTED = Derivation("reported")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class EffectSizes:
    """Effects and their sampling variances, one row per effect.

    Use this for numbers of your own; :func:`metaexo.effect_sizes` and the evidence sheets return it too.
    It cannot be changed: arrays are read-only copies of what was handed in, and `data` is a copy each time.

    Parameters
    ----------
    y : array_like, shape (k,), or str
        Effects on the scale of the analysis (logarithms for ratios), or the name of a column of `data`.
    v : array_like, shape (k,), or str, optional
        Sampling variances, the square of the standard errors: 0, or from 1e-100 to 1e100.
    measure : str or Measure
        Code of the measure; "GEN" for anything, "RATIO" for the logarithm of any ratio.
    se : array_like, shape (k,), or str, optional
        Standard errors, in the place of `v`.
    labels : sequence of str, or str, optional
        What a reader sees of each row, or the name of a column of `data`; need not be unique. A blank label
        is the number of its row. Default "1", "2", ...
    study : sequence of str, or str, optional
        Study of each row, or the name of a column of `data`; effects of one study are dependent. Default: the
        column "study" of `data`; without one, every row is its own study.
    data : pandas.DataFrame, optional
        Further columns (moderators, source, isolation method), one row per effect.
    derived : sequence of Derivation, optional
        How each effect came about. Default: as reported.
    ledger : Ledger, optional
        Which rows of the source table are here and which are not.
    oriented : bool
        Whether positive means benefit in every row.
    origin : Origin, optional
        The statistics that the effects were computed from, for :func:`metaexo.explain`.
    missing : {"drop", "raise"}
        What to do with rows whose effect or variance is missing: leave them out with a warning and an
        entry in the ledger, or raise.

    Attributes
    ----------
    k : int
        Number of effects.
    m : int
        Number of studies.
    index : pandas.Index or None
        Index of the pandas objects that were handed in; pandas objects that are used with these effects
        later must have the same.
    study_column : str or None
        Column of `data` from which the studies are.

    Raises
    ------
    ShapeError
        If the lengths differ.
    InputError
        If an effect is infinite or a variance negative or infinite, if either is too large or too small to
        compute with, if a study is blank, or if pandas objects have different indexes; it names the rows.

    Warns
    -----
    RowsLeftOutWarning
        If rows without an effect or a variance are left out.
    VarianceRatioWarning
        If the largest variance is more than 1e7 times the smallest.
    ImpossibleVarianceWarning
        If a standardised mean difference has a smaller variance than the sizes of its groups allow; `data`
        has to hold them (treatment_n and control_n).
    UnusedStudyColumnWarning
        If no study is given, and `data` has a column that looks like one, for example "Study".

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.1, 0.4], [0.02, 0.05], labels=["Li 2020", "Cho 2021"])
    >>> es.k, es.m
    (2, 2)
    """

    y: Array
    v: Array
    measure: Measure
    labels: tuple[str, ...]
    study: tuple[str, ...]
    derived: tuple[Derivation, ...]
    ledger: Ledger | None
    oriented: bool
    origin: Origin | None
    index: pd.Index[Any] | None
    study_column: str | None
    _data: pd.DataFrame | None

    def __init__(
        self,
        y: ArrayLike | str,
        v: ArrayLike | str | None = None,
        measure: str | Measure = "GEN",
        *,
        se: ArrayLike | str | None = None,
        labels: Sequence[str] | str | None = None,
        study: Sequence[str] | str | None = None,
        data: pd.DataFrame | None = None,
        derived: Sequence[Derivation] | None = None,
        ledger: Ledger | None = None,
        oriented: bool = False,
        origin: Origin | None = None,
        missing: Literal["drop", "raise"] = "drop",
    ) -> None:
        check_choice("missing", missing, ("drop", "raise"))
        record = get_measure(measure)
        check_table(data)
        column = study if isinstance(study, str) else None
        if study is None and data is not None:
            column = study = study_column_of(data)
        given = {"y": y, "v": v, "se": se, "labels": labels, "study": study}
        found = {name: look_up(data, name, values) for name, values in given.items()}
        check_aligned(**found, data=data)
        effects = read_numbers(found["y"], "y", ndim=1)
        variances = _variances(found["v"], found["se"])
        if effects.shape != variances.shape:
            raise ShapeError(
                f"y has {effects.size} entries and {'v' if se is None else 'se'} has {variances.size}",
                "one sampling variance for each effect",
            )
        k = effects.size
        marks = _check_companions(k, data, derived, ledger, origin)
        put = object.__setattr__
        put(self, "y", effects)
        put(self, "v", variances)
        put(self, "measure", record)
        put(self, "labels", read_labels(found["labels"], k))
        put(self, "study", read_studies(found["study"], k))
        put(self, "derived", marks)
        put(self, "ledger", ledger)
        put(self, "oriented", check_flag("oriented", oriented))
        put(self, "origin", origin)
        put(self, "index", index_of(*found.values(), data))
        put(self, "study_column", column)
        put(self, "_data", None if data is None else data.copy())
        if not self._is_ordinary():
            self._check_values("v" if se is None else "se")
            self._drop_missing(missing)
        check_studies(self.study, self._row_name)
        self._look_at_sizes()
        self.y.flags.writeable = False
        self.v.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.y.flags.writeable = False
        self.v.flags.writeable = False

    def _is_ordinary(self) -> bool:
        """Say, in few steps, whether all values can be used and no variance is far from the others."""
        if not self.v.size:
            return False
        least, most = self.v.min(), self.v.max()
        near = least >= LEAST_VARIANCE and most <= MOST_VARIANCE and most / VARIANCE_RATIO_LIMIT <= least
        return bool(near and np.abs(self.y).max() <= LARGEST_EFFECT)

    def _check_values(self, what: str) -> None:
        bad = np.isinf(self.y) | np.isinf(self.v) | (self.v < 0)
        if bad.any():
            raise InputError(
                "some effects are infinite or some sampling variances are negative or infinite",
                "finite effects y and finite sampling variances v >= 0",
                "look at these rows in the source; a standard error must be squared to be a variance",
                self._values_at(bad),
            )
        small = (self.v > 0) & (self.v < LEAST_VARIANCE)
        bad = small | (self.v > MOST_VARIANCE) | (np.abs(self.y) > LARGEST_EFFECT)
        if bad.any():
            raise InputError(
                "some effects or sampling variances are too large or too small to compute with",
                f"effects of at most {LARGEST_EFFECT:g}, variances of 0 or from {LEAST_VARIANCE:g} to "
                f"{MOST_VARIANCE:g}",
                "look at these rows in the source; if they are right, take another unit (y times c and v "
                "times c squared)",
                self._values_at(bad),
            )
        positive = self.v[self.v > 0]
        if positive.size > 1 and positive.max() > VARIANCE_RATIO_LIMIT * positive.min():
            warnings.warn(
                f"the largest sampling variance is {positive.max() / positive.min():.1e} times the smallest; "
                "a standard error or a standard deviation may stand where a variance belongs",
                VarianceRatioWarning,
                stacklevel=4,
            )

    def _values_at(self, rows: NDArray[np.bool_]) -> list[str]:
        return [
            f"{self._row_name(int(i))}: y = {self.y[i]:g}, v = {self.v[i]:g}" for i in np.flatnonzero(rows)
        ]

    def _look_at_sizes(self) -> None:
        """Warn of standardised mean differences whose variance is too small for the sizes in the data."""
        computed = self.origin is not None and not self.origin.from_table
        if computed or self._data is None:
            return
        rows, least, corrected = variances_too_small(self.measure.code, self.v, self._data)
        if not rows.size:
            return
        told = [
            f"{self._row_name(int(i))}: {self.v[i]:.4g}, at least {low:.4g}"
            for i, low in zip(rows, least, strict=True)
        ]
        why = (
            "programs that multiply the variance by the squared small-sample correction give such values"
            if corrected
            else "the sizes or the variances may be wrong, or v is that of an average of several outcomes"
        )
        warnings.warn(
            f"{len(told)} of {self.k} sampling variances are smaller than possible for a standardised mean "
            f"difference of independent groups of these sizes (1/n1 + 1/n2 for Hedges' g): "
            f"{'; '.join(told[:8])}{f'; and {len(told) - 8} more' if len(told) > 8 else ''}; {why}",
            ImpossibleVarianceWarning,
            stacklevel=3,
        )

    def _drop_missing(self, missing: str) -> None:
        gone = np.isnan(self.y) | np.isnan(self.v)
        if not gone.any():
            return
        rows = [self._row_name(int(i)) for i in np.flatnonzero(gone)]
        if missing == "raise":
            raise InputError(
                f"{len(rows)} rows have no effect or no sampling variance",
                "a number in y and in v of every row",
                'fill them, or leave them out with missing="drop"',
                rows,
            )
        warnings.warn(
            f"{len(rows)} of {self.y.size} rows have no effect or no sampling variance and are left out: "
            + "; ".join(rows[:8]),
            RowsLeftOutWarning,
            stacklevel=4,
        )
        ledger = self.ledger or Ledger("input", tuple(range(1, self.y.size + 1)))
        lines = np.array(ledger.used)[gone]
        ledger = ledger.leave_out(
            {int(line): "no effect or no sampling variance" for line in lines},
            step="effect",
            studies=dict(zip(ledger.used, self.study, strict=True)) if self.study else None,
            items=dict(zip(ledger.used, self.labels, strict=True)) if self.labels else None,
        )
        keep = np.flatnonzero(~gone)
        put = object.__setattr__
        for name, value in self._columns_at(keep).items():
            put(self, name, value)
        put(self, "ledger", ledger)

    @property
    def data(self) -> pd.DataFrame | None:
        """Further columns, one row per effect: a copy, so that no change reaches these effects."""
        return None if self._data is None else self._data.copy()

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Return every per-row field at the given positions."""

        def pick(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[i] for i in rows) if column else ()

        return {
            "y": self.y[rows],
            "v": self.v[rows],
            "labels": pick(self.labels),
            "study": pick(self.study),
            "_data": None if self._data is None else self._data.iloc[rows],
            "index": None if self.index is None else self.index[rows],
            "derived": pick(self.derived),
            "origin": self.origin.at(rows) if self.origin is not None else None,
        }

    def _row_name(self, i: int) -> str:
        line = f"{self.ledger.source} line {self.ledger.used[i]}" if self.ledger else f"row {i + 1}"
        return f"{line} ({self.labels[i]})" if self.labels else line

    @property
    def k(self) -> int:
        """Number of effects."""
        return int(self.y.size)

    @property
    def m(self) -> int:
        """Number of studies."""
        return len(set(self.study)) if self.study else self.k

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Unique name of each row: the line of its sheet, or its number."""
        if self.ledger is None:
            return tuple(f"input:{i + 1}" for i in range(self.k))
        return tuple(f"{self.ledger.source}:{line}" for line in self.ledger.used)

    @property
    def row_labels(self) -> tuple[str, ...]:
        """What a reader sees of each row; not necessarily unique."""
        return self.labels or tuple(str(i + 1) for i in range(self.k))

    def column(self, name: str) -> pd.Series:
        """Return one column of `data`.

        Raises
        ------
        UnknownChoiceError
            If there is no such column.
        """
        if self._data is None:
            raise UnknownChoiceError("column", name, [])
        found: pd.Series[Any] = look_up(self._data, "column", str(name))
        return found.copy()

    def with_columns(self, **columns: Sequence[object]) -> EffectSizes:
        """Return the same effects with further columns of data, or with columns replaced.

        Parameters
        ----------
        **columns : sequence
            Name to values, one per effect. A column `study` is the study of each effect from then on.

        Raises
        ------
        ShapeError
            If a column does not have one value per effect.
        InputError
            If a column is a single text, or a pandas object with another index than the effects.
        """
        import pandas as pd

        index = pd.RangeIndex(self.k) if self.index is None else self.index
        known = pd.DataFrame(index=index) if self._data is None else self._data
        for name, values in columns.items():
            self.check_index(name, values)
        data = joined(known, columns)
        return self._with(data=data, **({"study": "study"} if "study" in columns else {}))

    def check_index(self, name: str, values: object) -> None:
        """Refuse a pandas object whose index is not that of the effects.

        Parameters
        ----------
        name : str
            What the values are called in the message.
        values : object
            What was handed in; anything without an index passes.

        Raises
        ------
        InputError
            If both have an index, and these differ.
        """
        if self.index is not None and isinstance(name, str):
            check_aligned(**{"the effects": self, name: values})

    def with_labels(self, labels: Sequence[str]) -> EffectSizes:
        """Return the same effects under other labels.

        Parameters
        ----------
        labels : sequence of str
            What a reader sees of each row, one an effect.
        """
        return self._with(labels=labels)

    def _with(self, **changes: Any) -> EffectSizes:
        """Return the same effects with some of the columns exchanged."""
        columns: dict[str, Any] = {
            "labels": self.labels or None,
            "study": self.study or None,
            "data": self._data,
            "derived": self.derived or None,
            "ledger": self.ledger,
            "oriented": self.oriented,
            "origin": self.origin,
        }
        made = EffectSizes(self.y, self.v, self.measure, **(columns | changes))
        if self.index is not None:
            made = made.with_index(self.index)
        if "study" not in changes:
            object.__setattr__(made, "study_column", self.study_column)
        return made

    def with_index(self, index: pd.Index[Any]) -> EffectSizes:
        """Return the same effects with the index of the pandas objects that they are made of.

        Parameters
        ----------
        index : pandas.Index
            One entry per effect.

        Raises
        ------
        ShapeError
            If there is not one entry per effect.
        """
        import pandas as pd

        check_kind("index", index, pd.Index)
        if len(index) != self.k:
            raise ShapeError(f"index has {len(index)} entries for {self.k} effects", "one entry for each")
        made = object.__new__(EffectSizes)
        data = None if self._data is None else self._data.set_axis(index, axis=0)
        made.__setstate__(self.__dict__ | {"index": index, "_data": data})
        return made

    def select(self, rows: ArrayLike, reason: str = NOT_SELECTED) -> EffectSizes:
        """Return the effects at `rows`; the others enter the ledger with `reason`.

        Parameters
        ----------
        rows : array_like
            A boolean mask of length k, or positions from 0.
        reason : str
            Why the others are left out, in words.

        Raises
        ------
        ShapeError
            If a mask does not have one entry per effect.
        InputError
            If `rows` is a text or no mask and no positions, or a Series with another index than the effects.
        """
        self.check_index("rows", rows)
        positions = positions_of(rows, self.k, self._row_name)
        reason = read_reason(reason)
        ledger = self.ledger or Ledger("input", tuple(range(1, self.k + 1)))
        kept = {ledger.used[i] for i in positions}
        gone = {line: reason for line in ledger.used if line not in kept}
        studies = dict(zip(ledger.used, self.study, strict=True)) if self.study else None
        items = dict(zip(ledger.used, self.labels, strict=True)) if self.labels else None
        made = object.__new__(EffectSizes)
        fields = self.__dict__ | self._columns_at(np.sort(positions))
        made.__setstate__(fields | {"ledger": ledger.leave_out(gone, "selection", studies, items)})
        return made

    def to_frame(self, all_rows: bool = False) -> pd.DataFrame:
        """Return a table: row, label, study, y, v, se, how, formula, note, and the columns of `data`.

        Parameters
        ----------
        all_rows : bool
            Also list the rows that were left out, in the order of the table that was handed in; the column
            `left_out` says why, and is empty for the effects.
        """
        import pandas as pd

        check_flag("all_rows", all_rows)
        derived = self.derived or (REPORTED,) * self.k
        frame = pd.DataFrame(
            {
                "row": self.row_ids,
                "label": self.row_labels,
                "study": self.study or self.row_labels,
                "y": self.y,
                "v": self.v,
                "se": np.sqrt(self.v),
                "how": [d.how for d in derived],
                "formula": [d.formula for d in derived],
                "note": [d.note for d in derived],
            }
        )
        if self._data is not None:
            extra = self._data.reset_index(drop=True)
            frame = pd.concat([frame, extra[[c for c in extra.columns if c not in frame.columns]]], axis=1)
        if not all_rows:
            return frame
        frame["left_out"] = ""
        if self.ledger is None or not self.ledger.left_out:
            return frame
        gone = pd.DataFrame(
            {
                "row": [f"{self.ledger.source}:{one.line}" for one in self.ledger.left_out],
                "label": [one.item for one in self.ledger.left_out],
                "study": [one.study for one in self.ledger.left_out],
                "left_out": [one.reason for one in self.ledger.left_out],
            }
        )
        lines = [*self.ledger.used, *(one.line for one in self.ledger.left_out)]
        whole = pd.concat([frame, gone], ignore_index=True)
        return whole.iloc[np.argsort(lines, kind="stable")].reset_index(drop=True)

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        of = f" (column {self.study_column!r})" if self.study_column is not None else ""
        effects, studies = plural(self.k, "effect"), plural(self.m, "study", "studies")
        return f"EffectSizes({self.measure.code}: k = {effects}, m = {studies}{of})"


def positions_of(rows: object, k: int, row_name: Callable[[int], str]) -> NDArray[np.intp]:
    """Return the positions that a mask or positions select.

    Parameters
    ----------
    rows : array_like
        A boolean mask of length k, or positions from 0, each once.
    k : int
        Number of effects.
    row_name : callable
        From a position to what the row is called in messages.

    Raises
    ------
    ShapeError
        If a mask does not have one entry per effect.
    InputError
        If `rows` is something else, or has gaps.
    """
    needed = f"a mask of {k} entries that are True or False, or positions from 0 to {k - 1}, each once"
    remedy = 'compare a column with a value: es.select(es.column("year") > 2010, "published before 2011")'
    if isinstance(rows, str):
        raise InputError(f"rows is the text {rows!r}", needed, remedy)
    entries = read_entries(rows, "rows")
    if all(isinstance(entry, bool | np.bool_) for entry in entries) and entries:
        if len(entries) != k:
            raise ShapeError(f"the mask has {len(entries)} entries for {k} effects", "one for each")
        return np.flatnonzero(np.array(entries, dtype=bool))
    blank = [i for i, entry in enumerate(entries) if is_blank(entry)]
    if blank and len(entries) == k:
        raise InputError(
            "the mask is missing in some rows", needed, "fill them", [row_name(i) for i in blank]
        )
    whole = all(isinstance(e, int | np.integer) and is_number(e) for e in entries)
    if not whole or any(not 0 <= int(e) < k for e in entries) or len(set(entries)) < len(entries):
        raise InputError("rows are neither a mask nor positions", needed, remedy)
    return np.array([int(e) for e in entries], dtype=np.intp)


def joined(data: pd.DataFrame, columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """Return a copy of a table with further columns, or with columns replaced."""
    import pandas as pd

    data = data.copy()
    for name, values in columns.items():
        entries = read_entries(values, name, len(data))
        data[name] = pd.Series(_typed(values, entries), index=data.index)
    return data


def _typed(values: Any, entries: list[Any]) -> Any:
    """Return a column of pandas as it is typed (categories, nullable numbers), anything else as entries."""
    import pandas as pd

    if isinstance(values, pd.Series | pd.Index):
        return values.array
    return values if isinstance(values, pd.api.extensions.ExtensionArray) else entries


def read_reason(reason: object) -> str:
    """Return why rows are left out; refuse anything but words."""
    if not isinstance(reason, str) or not reason.strip():
        raise InputError(
            f"the reason is {reason!r}",
            "words that say why the other rows are left out",
            'reason="animals only"',
        )
    return reason


def _variances(v: object, se: object) -> Array:
    """Return the sampling variances, from standard errors if these were given."""
    if (v is None) == (se is None):
        raise InputError(
            "neither v nor se is given" if v is None else "v and se are both given",
            "sampling variances v, or standard errors se",
            "EffectSizes(y, v), or EffectSizes(y, se=se)",
        )
    if se is None:
        return read_numbers(v, "v", ndim=1)
    errors = read_numbers(se, "se", ndim=1)
    if (errors < 0).any():
        raise InputError(
            "some standard errors are negative",
            "standard errors of at least 0",
            "look at these rows in the source",
            [f"row {i + 1}: {errors[i]:g}" for i in np.flatnonzero(errors < 0)],
        )
    with np.errstate(over="ignore", under="ignore"):
        return errors**2


def _check_companions(
    k: int, data: Any, derived: Any, ledger: Ledger | None, origin: Origin | None
) -> tuple[Derivation, ...]:
    """Return the derivations; refuse what does not have one entry per effect, or is of another kind."""
    for name, given, kind in (("ledger", ledger, Ledger), ("origin", origin, Origin)):
        if given is not None and not isinstance(given, kind):
            raise InputError(f"{name} is a {type(given).__name__}", f"a {kind.__name__}")
    marks = None if derived is None else read_entries(derived, "derived")
    if marks is not None and not all(isinstance(mark, Derivation) for mark in marks):
        raise InputError("derived holds other things than Derivation", "one Derivation per effect")
    sizes = {
        "data": None if data is None else len(data),
        "derived": None if marks is None else len(marks),
        "the ledger": None if ledger is None else len(ledger.used),
        "origin": None if origin is None else len(origin.rows),
    }
    for name, size in sizes.items():
        if size is not None and size != k:
            raise ShapeError(f"{name} has {size} rows and y has {k}", "one row for each effect")
    return tuple(marks or ())


@dataclass(frozen=True, slots=True, eq=False)
class Origin(Immutable):
    """The statistics that effects were computed from.

    Attributes
    ----------
    inputs : mapping of str to ndarray
        Statistics by name, every row that was handed in, rows without an effect included: some variances
        rest on averages over all rows.
    rows : ndarray of int
        For each effect its row in `inputs`.
    options : mapping of str to object
        Choices: variance, bias_correction and zero_cells, or assumed_correlation for a table.
    from_table : bool
        Whether the inputs are the columns of a table of reported statistics with gaps, from which the
        measure's own inputs were derived.
    """

    inputs: Mapping[str, NDArray[Any]]
    rows: NDArray[np.intp]
    options: Mapping[str, Any] = field(default_factory=dict)
    from_table: bool = False

    def at(self, positions: NDArray[np.intp]) -> Origin:
        """Return the origin of the effects at these positions."""
        return replace(self, rows=self.rows[positions])
