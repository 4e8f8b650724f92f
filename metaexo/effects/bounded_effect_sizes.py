"""BoundedEffectSizes: exact effects beside those that are known only as an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.bounds import BoundedEffects, Kind
from metaexo.effects.effect_sizes import Derivation, EffectSizes
from metaexo.effects.measure import Measure
from metaexo.effects.origin import Origin
from metaexo.errors import InputError, ShapeError, TooFewStudiesError, UnknownChoiceError
from metaexo.formatting import interval
from metaexo.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
ENDS = ("lower", "upper", "v_lower", "v_upper")


@dataclass(frozen=True, eq=False, repr=False)
class BoundedEffectSizes:
    """Effects of which some are exact and the others an interval or a direction.

    Use it to keep what a threshold says ("p < 0.05") beside exact effects. A model for exact effects takes
    `exact`; a model for censored effects takes all rows. An exact effect has equal ends, so no row needs a
    case of its own: the effect lies in [lower, upper], with the sampling variance v_lower at the one end and
    v_upper at the other.

    Parameters
    ----------
    bounds : BoundedEffects
        Ends, variances, kinds and derivations; every row must have a kind.
    measure : Measure
        The measure.
    labels : tuple of str
        What a reader sees of each row.
    study : tuple of str
        Study of each row.
    data : pandas.DataFrame
        Further columns, one row an effect.
    ledger : Ledger
        Which rows of the source table are here and which are not.
    oriented : bool
        Whether positive means benefit in every row.
    origin : Origin, optional
        The table of statistics behind the effects, for :func:`metaexo.explain` of those that are exact.

    Raises
    ------
    ShapeError
        If lengths differ.
    InputError
        If a row has no kind or its ends stand the wrong way round.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.read_sheets("data")
    >>> found = sheets.effects("SMD", where="study_id in ['chemburn_hucmsc', 'pbsc_dfu2024']", bounds=True)
    >>> found.kind
    ('interval', 'interval', 'interval', 'exact')
    >>> found.exact.k, found.lower.round(2)
    (1, array([ 0.73,  0.73, -0.73,  1.36]))
    """

    bounds: BoundedEffects
    measure: Measure
    labels: tuple[str, ...]
    study: tuple[str, ...]
    data: pd.DataFrame
    ledger: Ledger
    oriented: bool = False
    origin: Origin | None = None

    def __post_init__(self) -> None:
        used = self.ledger.used
        lengths = {"labels": len(self.labels), "study": len(self.study), "data": len(self.data)}
        for name, length in {**lengths, "used rows of the ledger": len(used)}.items():
            if length != self.k:
                raise ShapeError(f"{name}: {length}, and there are {self.k} effects", "one for each effect")
        for values in (self.lower, self.upper, self.v_lower, self.v_upper):
            values.flags.writeable = False
        self._check()

    def _check(self) -> None:
        with np.errstate(invalid="ignore"):
            known = np.array([kind != "" for kind in self.kind], dtype=bool) & (self.lower <= self.upper)
            point = np.isfinite(self.lower) & (self.lower == self.upper) & np.isfinite(self.v_lower)
        wrong = ~known | (self.is_exact & ~point)
        if wrong.any():
            raise InputError(
                "some rows have neither a point nor an interval",
                "lower <= upper in every row, and one point in rows of the kind exact",
                "leave these rows out, with a reason in the ledger",
                [self.labels[i] for i in np.flatnonzero(wrong)],
            )

    @property
    def lower(self) -> Array:
        """Lower ends on the scale of the analysis, shape (k,); minus infinity where there is none."""
        return self.bounds.lower

    @property
    def upper(self) -> Array:
        """Upper ends, shape (k,); infinity where there is none."""
        return self.bounds.upper

    @property
    def v_lower(self) -> Array:
        """Sampling variances at the lower ends, shape (k,); NaN where the sizes are not known."""
        return self.bounds.v_lower

    @property
    def v_upper(self) -> Array:
        """Sampling variances at the upper ends, shape (k,); NaN where the sizes are not known."""
        return self.bounds.v_upper

    @property
    def y(self) -> NoReturn:
        """Refused: a bound is no point; `exact` has the effects that are."""
        raise self._no_points()

    @property
    def v(self) -> NoReturn:
        """Refused: the variance of a bound depends on where the effect lies; see `v_lower` and `v_upper`."""
        raise self._no_points()

    def _no_points(self) -> InputError:
        return InputError(
            f"{self.k - int(self.is_exact.sum())} of {self.k} effects are bounds",
            "effects that are points",
            "hand in `.exact`, or take a model for censored effects",
        )

    @property
    def kind(self) -> tuple[Kind, ...]:
        """What is known of each row: "exact", "interval" or "direction"."""
        return self.bounds.kind

    @property
    def derived(self) -> tuple[Derivation, ...]:
        """How each row came about."""
        return self.bounds.derived

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.kind)

    @property
    def m(self) -> int:
        """Number of studies."""
        return len(set(self.study))

    @property
    def is_exact(self) -> Mask:
        """Which rows have an exact effect."""
        return np.array([kind == "exact" for kind in self.kind], dtype=bool)

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Unique name of each row: the line of its sheet."""
        return tuple(f"{self.ledger.source}:{line}" for line in self.ledger.used)

    @property
    def row_labels(self) -> tuple[str, ...]:
        """What a reader sees of each row."""
        return self.labels

    @property
    def exact(self) -> EffectSizes:
        """The exact effects, for models that know no other; the ledger keeps the rest as bounds.

        Raises
        ------
        TooFewStudiesError
            If no effect is exact.
        """
        at = np.flatnonzero(self.is_exact)
        if not at.size:
            raise TooFewStudiesError(
                f"none of the {self.k} effects is exact", "one exact effect at least", "", self._kept()
            )
        lines = dict(zip(self.ledger.used, self._kept(), strict=True))
        gone = {self.ledger.used[i]: lines[self.ledger.used[i]] for i in np.flatnonzero(~self.is_exact)}
        studies = dict(zip(self.ledger.used, self.study, strict=True))
        items = dict(zip(self.ledger.used, self.labels, strict=True))
        return EffectSizes(
            self.lower[at],
            self.v_lower[at],
            self.measure,
            labels=[self.labels[i] for i in at],
            study=[self.study[i] for i in at],
            data=self.data.iloc[at].reset_index(drop=True),
            derived=[self.derived[i] for i in at],
            ledger=self.ledger.leave_out(gone, "effect", studies, items),
            oriented=self.oriented,
            origin=self.origin.at(at) if self.origin is not None else None,
        )

    def _kept(self) -> list[str]:
        """Return what the ledger says of each row that is no point."""
        return [
            f"kept as a bound: {interval(low, high)} ({mark.formula})"
            for low, high, mark in zip(self.lower, self.upper, self.derived, strict=True)
        ]

    def column(self, name: str) -> pd.Series:
        """Return one column of `data`.

        Raises
        ------
        UnknownChoiceError
            If there is no such column.
        """
        if name not in self.data.columns:
            raise UnknownChoiceError("column", name, [str(c) for c in self.data.columns])
        return self.data[name]

    def with_labels(self, labels: Sequence[str]) -> BoundedEffectSizes:
        """Return the same effects under other labels.

        Parameters
        ----------
        labels : sequence of str
            What a reader sees of each row, one an effect.
        """
        return replace(self, labels=tuple(str(label) for label in labels))

    def select(self, rows: ArrayLike, reason: str) -> BoundedEffectSizes:
        """Return the effects where `rows` is true; the others enter the ledger with `reason`.

        Parameters
        ----------
        rows : array_like of bool, shape (k,)
            Which effects to keep.
        reason : str
            Why the others are left out, in words.

        Raises
        ------
        ShapeError
            If there is not one entry for each effect.
        """
        mask = np.asarray(rows, dtype=bool)
        if mask.shape != (self.k,):
            raise ShapeError(f"the mask has shape {mask.shape} for {self.k} effects", "one entry for each")
        at = np.flatnonzero(mask)
        studies = dict(zip(self.ledger.used, self.study, strict=True))
        items = dict(zip(self.ledger.used, self.labels, strict=True))
        gone = {self.ledger.used[i]: reason for i in np.flatnonzero(~mask)}
        return BoundedEffectSizes(
            self.bounds.at(at),
            self.measure,
            tuple(self.labels[i] for i in at),
            tuple(self.study[i] for i in at),
            self.data.iloc[at].reset_index(drop=True),
            self.ledger.leave_out(gone, "selection", studies, items),
            self.oriented,
            self.origin.at(at) if self.origin is not None else None,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a table: row, label, study, kind, the four ends, how, formula, note, and `data`."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "row": self.row_ids,
                "label": self.labels,
                "study": self.study,
                "kind": self.kind,
                **{name: getattr(self, name) for name in ENDS},
                "how": [mark.how for mark in self.derived],
                "formula": [mark.formula for mark in self.derived],
                "note": [mark.note for mark in self.derived],
            }
        )
        extra = self.data.reset_index(drop=True)
        return pd.concat([frame, extra[[c for c in extra.columns if c not in frame.columns]]], axis=1)

    def __len__(self) -> int:
        return self.k

    def __repr__(self) -> str:
        exact = int(self.is_exact.sum())
        return (
            f"BoundedEffectSizes({self.measure.code}: k = {self.k} effects, {exact} exact, "
            f"m = {self.m} studies)"
        )
