"""EffectSizes: effects with their sampling variances, and everything that must travel with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.origin import Origin
from metaexo.errors import (
    InputError,
    RowsLeftOutWarning,
    ShapeError,
    UnknownChoiceError,
    VarianceRatioWarning,
)
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
How = Literal["reported", "converted", "assumed"]
VARIANCE_RATIO_LIMIT = 1e7


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
    """Effects and their sampling variances, one row an effect.

    Use this for numbers of your own; :func:`metaexo.effect_sizes` and the evidence sheets return it too.

    Parameters
    ----------
    y : array_like, shape (k,)
        Effects on the scale of the analysis (logarithms for ratios).
    v : array_like, shape (k,)
        Sampling variances, the square of the standard errors; at least 0.
    measure : str or Measure
        Code of the measure; "GEN" for anything.
    labels : sequence of str, optional
        What a reader sees of each row; need not be unique. Default "1", "2", ...
    study : sequence of str, optional
        Study of each row; effects of one study are dependent. Default: every row its own study.
    data : pandas.DataFrame, optional
        Further columns (moderators, source, isolation method), one row an effect.
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

    Raises
    ------
    ShapeError
        If the lengths differ.
    InputError
        If an effect is infinite or a variance negative or infinite; it names the rows.

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
    data: pd.DataFrame | None
    derived: tuple[Derivation, ...]
    ledger: Ledger | None
    oriented: bool
    origin: Origin | None

    def __init__(
        self,
        y: ArrayLike,
        v: ArrayLike,
        measure: str | Measure = "GEN",
        *,
        labels: Sequence[str] | None = None,
        study: Sequence[str] | None = None,
        data: pd.DataFrame | None = None,
        derived: Sequence[Derivation] | None = None,
        ledger: Ledger | None = None,
        oriented: bool = False,
        origin: Origin | None = None,
        missing: Literal["drop", "raise"] = "drop",
    ) -> None:
        effects = np.array(y, dtype=float, ndmin=1)
        variances = np.array(v, dtype=float, ndmin=1)
        if effects.ndim != 1 or effects.shape != variances.shape:
            raise ShapeError(
                f"y has shape {effects.shape} and v has shape {variances.shape}",
                "two one-dimensional arrays of one length",
            )
        if ledger is not None and len(ledger.used) != effects.size:
            raise ShapeError(
                f"the ledger has {len(ledger.used)} used rows for {effects.size} effects",
                "one used row of the ledger for each effect",
            )
        sources = origin.rows if origin is not None else None
        columns = {"labels": labels, "study": study, "derived": derived, "data": data, "origin": sources}
        for name, column in columns.items():
            if column is not None and len(column) != effects.size:
                raise ShapeError(
                    f"{name} has {len(column)} rows and y has {effects.size}",
                    "one entry for each effect",
                )
        put = object.__setattr__
        put(self, "y", effects)
        put(self, "v", variances)
        put(self, "measure", get_measure(measure))
        put(self, "labels", tuple(str(x) for x in labels) if labels is not None else ())
        put(self, "study", tuple(str(x) for x in study) if study is not None else ())
        put(self, "data", data)
        put(self, "derived", tuple(derived) if derived is not None else ())
        put(self, "ledger", ledger)
        put(self, "oriented", oriented)
        put(self, "origin", origin)
        if not self._is_ordinary():
            self._check_values()
            self._drop_missing(missing)
        self.y.flags.writeable = False
        self.v.flags.writeable = False

    def _is_ordinary(self) -> bool:
        """Say, in few steps, whether all values can be used and no variance is far from the others."""
        if not self.v.size or not self.v.min() > 0:
            return False
        near = self.v.max() <= VARIANCE_RATIO_LIMIT * self.v.min()
        return bool(near and np.isfinite(self.y + self.v).all())

    def _check_values(self) -> None:
        bad = np.isinf(self.y) | np.isinf(self.v) | (self.v < 0)
        if bad.any():
            raise InputError(
                "some effects are infinite or some sampling variances are negative or infinite",
                "finite effects y and finite sampling variances v >= 0",
                "look at these rows in the source; a standard error must be squared to be a variance",
                [
                    f"{self._row_name(int(i))}: y = {self.y[i]:g}, v = {self.v[i]:g}"
                    for i in np.flatnonzero(bad)
                ],
            )
        positive = self.v[self.v > 0]
        if positive.size > 1 and positive.max() > VARIANCE_RATIO_LIMIT * positive.min():
            warnings.warn(
                f"the largest sampling variance is {positive.max() / positive.min():.1e} times the smallest; "
                "a standard error or a standard deviation may stand where a variance belongs",
                VarianceRatioWarning,
                stacklevel=4,
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
            studies=dict(zip((int(x) for x in lines), np.array(self.study)[gone], strict=True))
            if self.study
            else None,
        )
        keep = np.flatnonzero(~gone)
        put = object.__setattr__
        for name, value in self._columns_at(keep).items():
            put(self, name, value)
        put(self, "ledger", ledger)

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Return every per-row field at the given positions."""

        def pick(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[i] for i in rows) if column else ()

        return {
            "y": self.y[rows],
            "v": self.v[rows],
            "labels": pick(self.labels),
            "study": pick(self.study),
            "data": self.data.iloc[rows].reset_index(drop=True) if self.data is not None else None,
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
        known = [] if self.data is None else list(map(str, self.data.columns))
        if self.data is None or name not in known:
            raise UnknownChoiceError("column", name, known)
        return self.data[name]

    def with_columns(self, **columns: Sequence[object]) -> EffectSizes:
        """Return the same effects with further columns of data, or with columns replaced.

        Parameters
        ----------
        **columns : sequence
            Name to values, one an effect.

        Raises
        ------
        ShapeError
            If a column does not have one value an effect.
        """
        import pandas as pd

        data = pd.DataFrame(index=range(self.k)) if self.data is None else self.data.copy()
        for name, values in columns.items():
            if len(values) != self.k:
                raise ShapeError(f"{name} has {len(values)} values for {self.k} effects", "one for each")
            data[name] = pd.Series(list(values), index=data.index)
        return self._with(data=data)

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
            "data": self.data,
            "derived": self.derived or None,
            "ledger": self.ledger,
            "oriented": self.oriented,
            "origin": self.origin,
        }
        return EffectSizes(self.y, self.v, self.measure, **(columns | changes))

    def select(self, rows: ArrayLike, reason: str) -> EffectSizes:
        """Return the effects at `rows`; the others enter the ledger with `reason`.

        Parameters
        ----------
        rows : array_like
            A boolean mask of length k, or positions from 0.
        reason : str
            Why the others are left out, in words.
        """
        chosen = np.asarray(rows)
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.intp)
        if chosen.dtype == bool and chosen.size != self.k:
            raise ShapeError(f"the mask has {chosen.size} entries for {self.k} effects", "one for each")
        ledger = self.ledger or Ledger("input", tuple(range(1, self.k + 1)))
        kept = {ledger.used[i] for i in positions}
        gone = {line: reason for line in ledger.used if line not in kept}
        studies = dict(zip(ledger.used, self.study, strict=True)) if self.study else None
        items = dict(zip(ledger.used, self.labels, strict=True)) if self.labels else None
        order = np.sort(positions)
        fields = self._columns_at(order)
        return EffectSizes(
            fields.pop("y"),
            fields.pop("v"),
            self.measure,
            labels=fields["labels"] or None,
            study=fields["study"] or None,
            data=fields["data"],
            derived=fields["derived"] or None,
            ledger=ledger.leave_out(gone, "selection", studies, items),
            oriented=self.oriented,
            origin=fields["origin"],
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a table: row, label, study, y, v, se, how, formula, note, and the columns of `data`."""
        import pandas as pd

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
        if self.data is None:
            return frame
        extra = self.data.reset_index(drop=True)
        return pd.concat([frame, extra[[c for c in extra.columns if c not in frame.columns]]], axis=1)

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        return f"EffectSizes({self.measure.code}: k = {self.k} effects, m = {self.m} studies)"
