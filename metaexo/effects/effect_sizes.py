"""EffectSizes: effects with their sampling variances, and everything that must travel with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import (
    check_kind,
    check_studies,
    index_of,
    look_up,
    read_labels,
    read_studies,
    read_table_of,
    read_variances,
    study_column_of,
)
from metaexo.effects.columns import columns_of_effects
from metaexo.effects.derivation import AVERAGED, Derivation, Origin
from metaexo.effects.effect_rows import EffectRows
from metaexo.effects.least_variances import variances_too_small
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import (
    ImpossibleVarianceWarning,
    InputError,
    RowsLeftOutWarning,
    ShapeError,
    VarianceRatioWarning,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.immutable import frozen
from metaexo.inputs import (
    check_aligned,
    check_choice,
    check_flag,
    check_level,
    read_entries,
    read_numbers,
)
from metaexo.ledger import Ledger
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

VARIANCE_RATIO_LIMIT = 1e7
LEAST_VARIANCE, MOST_VARIANCE, LARGEST_EFFECT = 1e-100, 1e100, 1e100


@dataclass(frozen=True, eq=False, init=False, repr=False)
class EffectSizes(EffectRows):
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
        labels: Sequence[str] | pd.Series | str | None = None,
        study: Sequence[str] | pd.Series | str | None = None,
        data: pd.DataFrame | Mapping[str, Any] | None = None,
        derived: Sequence[Derivation] | None = None,
        ledger: Ledger | None = None,
        oriented: bool = False,
        origin: Origin | None = None,
        missing: Literal["drop", "raise"] = "drop",
    ) -> None:
        check_choice("missing", missing, ("drop", "raise"))
        if hasattr(y, "columns") or isinstance(y, Mapping):
            raise _table_for_effects(read_table_of(y))
        record = get_measure(measure)
        data = read_table_of(data)
        column = study if isinstance(study, str) else None
        if study is None and data is not None:
            column = study = study_column_of(data)
        given = {"y": y, "v": v, "se": se, "labels": labels, "study": study}
        found = {name: look_up(data, name, values) for name, values in given.items()}
        check_aligned(**found, data=data)
        effects = read_numbers(found["y"], "y", ndim=1)
        variances = read_variances(found["v"], found["se"])
        if effects.shape != variances.shape:
            raise ShapeError(
                f"y has {plural(effects.size, 'entry', 'entries')} and "
                f"{'v' if se is None else 'se'} has {variances.size}",
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
            warn_caller(
                f"the largest sampling variance is {positive.max() / positive.min():.1e} times the smallest; "
                "a standard error or a standard deviation may stand where a variance belongs",
                VarianceRatioWarning,
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
        v = self.v
        if self.derived:  # the average of several effects of a study may be more precise than one of them
            v = np.where([mark.formula == AVERAGED for mark in self.derived], np.inf, v)
        rows, least, corrected = variances_too_small(self.measure.code, v, self._data)
        if not rows.size:
            return
        told = [
            f"{self._row_name(int(i))}: {self.v[i]:.4g}, at least {low:.4g}"
            for i, low in zip(rows, least, strict=True)
        ]
        why = (
            "programs that multiply the variance by the squared small-sample correction give such values"
            if corrected.all()
            else "the sizes or the variances may be wrong, or v is that of an average of several outcomes"
        )
        warn_caller(
            f"{len(told)} of {self.k} sampling variances are smaller than those of a standardised mean "
            f"difference of independent groups of these sizes can be (1/n1 + 1/n2 for Hedges' g): "
            f"{'; '.join(told[:8])}{f'; and {len(told) - 8} more' if len(told) > 8 else ''}; {why}",
            ImpossibleVarianceWarning,
        )

    def _drop_missing(self, missing: str) -> None:
        gone = np.isnan(self.y) | np.isnan(self.v)
        if not gone.any():
            return
        rows = [self._row_name(int(i)) for i in np.flatnonzero(gone)]
        if missing == "raise":
            raise InputError(
                f"{plural(len(rows), 'row')} without an effect or a sampling variance",
                "a number in y and in v of every row",
                'fill them, or leave them out with missing="drop"',
                rows,
            )
        warn_caller(
            f"left out, without an effect or a variance, {len(rows)} of {plural(self.y.size, 'row')}: "
            + "; ".join(rows[:8]),
            RowsLeftOutWarning,
        )
        fields = self._without(gone, "no effect or no sampling variance", "effect")
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        index = None if self.index is None else self.index[rows]
        return super()._columns_at(rows) | {"y": self.y[rows], "v": self.v[rows], "index": index}

    def _numbers(self) -> dict[str, Any]:
        return {"y": self.y, "v": self.v, "se": np.sqrt(self.v)}

    @property
    def k(self) -> int:
        """Number of effects."""
        return int(self.y.size)

    @property
    def se(self) -> Array:
        """Standard errors, the roots of the sampling variances."""
        return frozen(np.sqrt(self.v))

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Return the confidence interval of each single effect, y plus and minus z times the root of v.

        Use it to show single studies; the scale is that of the analysis (logarithms for ratios), and
        :func:`metaexo.effects.back_by_rows` takes the ends to the scale of the measure.

        Parameters
        ----------
        level : float
            Confidence level.

        Returns
        -------
        DataFrame
            Columns low and high, one row per effect, by label.

        Examples
        --------
        >>> import metaexo as mx
        >>> mx.EffectSizes([0.1, 0.4], [0.04, 0.01], labels=["Li", "Cho"]).conf_int().round(3)
               low   high
        Li  -0.292  0.492
        Cho  0.204  0.596
        """
        import pandas as pd

        half = normal_quantile(check_level(level)) * np.sqrt(self.v)
        labels = self.labels or [str(i + 1) for i in range(self.k)]
        return pd.DataFrame({"low": self.y - half, "high": self.y + half}, index=pd.Index(labels))

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
            raise ShapeError(
                f"index has {plural(len(index), 'entry', 'entries')} for {plural(self.k, 'effect')}",
                "one entry for each",
            )
        made = object.__new__(EffectSizes)
        data = None if self._data is None else self._data.set_axis(index, axis=0)
        made.__setstate__(self.__dict__ | {"index": index, "_data": data})
        return made

    def __repr__(self) -> str:
        of = f" (column {self.study_column!r})" if self.study_column is not None else ""
        effects, studies = plural(self.k, "effect"), plural(self.m, "study", "studies")
        return f"EffectSizes({self.measure.code}: k = {effects}, m = {studies}{of})"


def _table_for_effects(table: Any) -> InputError:
    """Return the error for a table in the place of effects, with the call that reads its columns."""
    columns = [str(column) for column in table.columns]
    found = columns_of_effects(columns)
    return InputError(
        f"a table stands where the effects y are expected; its columns are {', '.join(map(repr, columns))}",
        "the names of its columns of effects and of variances (or standard errors), and the table as data=",
        f"write {found}"
        if found
        else 'write mx.EffectSizes("my effects", "my variances", data=data), or '
        'mx.effect_sizes("SMD", data) if the table holds means, SDs and sizes',
    )


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
