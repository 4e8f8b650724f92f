"""BoundedEffectSizes: exact effects beside those that are known only as an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import (
    check_studies,
    index_of,
    look_up,
    read_labels,
    read_studies,
    read_table_of,
    read_variances,
    reading,
    study_column_of,
)
from metaexo.effects.columns import columns_of_effects
from metaexo.effects.derivation import REPORTED, Derivation, Origin
from metaexo.effects.effect_rows import EffectRows
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure, get_measure
from metaexo.errors import InputError, ShapeError, TooFewStudiesError
from metaexo.formatting import interval, plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_aligned, check_flag, describe, read_numbers
from metaexo.ledger import Ledger
from metaexo.readable import shows_itself
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["exact", "interval", "direction", ""]
ENDS = ("lower", "upper", "v_lower", "v_upper")


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class BoundedEffects(Immutable):
    """Effects of a table, one entry per row: a point where it follows, otherwise an interval.

    Attributes
    ----------
    lower, upper : ndarray, shape (k,)
        Ends of the interval that holds the observed effect; equal for exact effects, infinite where there is
        no bound; NaN where nothing is known.
    v_lower, v_upper : ndarray, shape (k,)
        Sampling variances that the effect would have at the ends; infinite at an infinite end, NaN where the
        sizes are not known.
    kind : tuple of {"exact", "interval", "direction", ""}
        What is known of each row; "" for nothing.
    derived : tuple of Derivation
        How each came about.
    reasons : tuple of str
        Why a row has neither point nor interval; "" where it has one.
    """

    lower: Array
    upper: Array
    v_lower: Array
    v_upper: Array
    kind: tuple[Kind, ...]
    derived: tuple[Derivation, ...]
    reasons: tuple[str, ...]

    def at(self, rows: NDArray[np.intp]) -> BoundedEffects:
        """Return the rows at these positions."""
        ends = {name: getattr(self, name)[rows] for name in ENDS}
        words: dict[str, Any] = {
            name: tuple(getattr(self, name)[i] for i in rows) for name in ("kind", "derived", "reasons")
        }
        return BoundedEffects(**ends, **words)

    def turned(self, signs: ArrayLike) -> BoundedEffects:
        """Return these bounds with the rows of sign -1 reversed.

        Parameters
        ----------
        signs : array_like
            1, -1, or NaN for rows that have no direction of benefit (their ends become NaN).

        Returns
        -------
        BoundedEffects
            With lower and upper exchanged where the sign changed.

        Examples
        --------
        >>> import metaexo as mx
        >>> table = {"treatment_n": [11], "control_n": [11], "direction": ["higher"], "paired": ["no"],
        ...          "p_relation": ["<"], "p_value": [0.05]}
        >>> back = mx.effects.bounds_from_table("SMD", table).turned([-1])
        >>> float(back.lower[0]), round(float(back.upper[0]), 3)
        (-inf, -0.856)
        """
        sign = np.asarray(signs, dtype=float)
        back, lost = sign < 0, np.isnan(sign)
        lower, upper = np.where(back, -self.upper, self.lower), np.where(back, -self.lower, self.upper)
        v_lower = np.where(back, self.v_upper, self.v_lower)
        v_upper = np.where(back, self.v_lower, self.v_upper)
        ends = [np.where(lost, np.nan, end) + 0.0 for end in (lower, upper, v_lower, v_upper)]  # no -0
        return BoundedEffects(ends[0], ends[1], ends[2], ends[3], self.kind, self.derived, self.reasons)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class BoundedEffectSizes(EffectRows):
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
    labels : sequence of str
        What a reader sees of each row.
    study : sequence of str, str or None
        Study of each row, or the name of a column of `data`; None for the column "study", or, without one,
        a study per row.
    data : pandas.DataFrame
        Further columns, one row per effect.
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
        If a row has no kind or its ends are in the wrong order.

    Examples
    --------
    >>> import metaexo as mx
    >>> sheets = mx.evidence_sheets()
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
    derived: tuple[Derivation, ...]
    ledger: Ledger
    oriented: bool
    origin: Origin | None
    study_column: str | None
    _data: pd.DataFrame

    def __init__(
        self,
        bounds: BoundedEffects,
        measure: str | Measure,
        labels: Sequence[str],
        study: Sequence[str] | str | None,
        data: pd.DataFrame,
        ledger: Ledger,
        oriented: bool = False,
        origin: Origin | None = None,
    ) -> None:
        kinds = (("bounds", bounds, BoundedEffects), ("ledger", ledger, Ledger), ("origin", origin, Origin))
        for name, given, kind in kinds:
            if not isinstance(given, kind) and not (name == "origin" and given is None):
                raise InputError(f"{name} is a {type(given).__name__}", f"a {kind.__name__}")
        table = read_table_of(data)
        if table is None:
            raise InputError("data is None", "a pandas.DataFrame with one row per effect")
        data = table
        column = study if isinstance(study, str) else study_column_of(data) if study is None else None
        studies = look_up(data, "study", column if column is not None else study)
        put = object.__setattr__
        put(self, "bounds", bounds)
        put(self, "measure", get_measure(measure))
        put(self, "labels", read_labels(look_up(data, "labels", labels)))
        put(self, "derived", bounds.derived)
        put(self, "ledger", ledger)
        put(self, "study", self.row_ids if studies is None else read_studies(studies))
        put(self, "oriented", check_flag("oriented", oriented))
        put(self, "origin", origin)
        put(self, "study_column", column)
        put(self, "_data", data.copy())
        lengths = {"labels": len(self.labels), "study": len(self.study), "data": len(data)}
        for name, length in {**lengths, "used rows of the ledger": len(ledger.used)}.items():
            if length != self.k:
                raise ShapeError(f"{name}: {length}, and there are {self.k} effects", "one for each effect")
        check_studies(self.study, self._row_name)
        self._check()

    @property
    def data(self) -> pd.DataFrame:
        """Further columns, one row per effect: a copy, so that no change reaches these effects."""
        return self._data.copy()

    @property
    def index(self) -> pd.Index[Any]:
        """Index of `data`; pandas objects that are used with these effects must have the same."""
        return self._data.index

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
    def y(self) -> Array:
        """Effects, shape (k,), where all are exact; otherwise refused: a bound is no point."""
        if not self.is_exact.all():
            raise self.no_points()
        return self.lower

    @property
    def v(self) -> Array:
        """Sampling variances, shape (k,), where all effects are exact; otherwise refused.

        The variance of a bound depends on where the effect lies; see `v_lower` and `v_upper`.
        """
        if not self.is_exact.all():
            raise self.no_points()
        return self.v_lower

    def no_points(self) -> InputError:
        """Return the error for whoever needs points: some effects are bounds."""
        whole = "fit all of them by mx.CensoredRandomEffects"
        return InputError(
            f"{self.k - int(self.is_exact.sum())} of {self.k} effects are bounds",
            "effects that are points",
            f"hand in `.exact`, or {whole}" if self.is_exact.any() else whole,
        )

    @property
    def kind(self) -> tuple[Kind, ...]:
        """What is known of each row: "exact", "interval" or "direction"."""
        return self.bounds.kind

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.kind)

    @property
    def is_exact(self) -> Mask:
        """Which rows have an exact effect."""
        return np.array([kind == "exact" for kind in self.kind], dtype=bool)

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
        fields = self._without(~self.is_exact, self._kept(), "effect")
        return EffectSizes(
            self.lower[at],
            self.v_lower[at],
            self.measure,
            data=fields["_data"],
            oriented=self.oriented,
            **{name: fields[name] for name in ("labels", "study", "derived", "ledger", "origin")},
        )

    def _kept(self) -> list[str]:
        """Return what the ledger says of each row that is no point."""
        return [
            f"kept as a bound: {interval(low, high)} ({mark.formula})"
            for low, high, mark in zip(self.lower, self.upper, self.derived, strict=True)
        ]

    def _with(self, **changes: Any) -> BoundedEffectSizes:
        """Return these effects with some of the fields exchanged."""
        fields: dict[str, Any] = {
            "bounds": self.bounds,
            "measure": self.measure,
            "labels": self.labels,
            "study": self.study,
            "data": self._data,
            "ledger": self.ledger,
            "oriented": self.oriented,
            "origin": self.origin,
        }
        made = BoundedEffectSizes(**(fields | changes))
        if "study" not in changes:
            object.__setattr__(made, "study_column", self.study_column)
        return made

    def _columns_at(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        return super()._columns_at(rows) | {"bounds": self.bounds.at(rows)}

    def _numbers(self) -> dict[str, Any]:
        return {"kind": self.kind, **{name: getattr(self, name) for name in ENDS}}

    def __repr__(self) -> str:
        exact = int(self.is_exact.sum())
        return (
            f"BoundedEffectSizes({self.measure.code}: k = {plural(self.k, 'effect')}, {exact} exact, "
            f"m = {plural(self.m, 'study', 'studies')})"
        )


def counts_in_words(effects: EffectSizes | BoundedEffectSizes) -> str:
    """Return how many effects of how many studies, and which column of the data says so."""
    of = f" (column {effects.study_column!r})" if effects.study_column is not None else ""
    return f"{plural(effects.k, 'effect')} from {plural(effects.m, 'study', 'studies')}{of}"


def check_effects(effects: object, function: str = "") -> EffectSizes:
    """Return the effects; refuse anything else, with a remedy for what is often handed in instead."""
    if isinstance(effects, EffectSizes):
        if np.isnan(effects.v).any():
            raise _without_estimate(effects)
        return effects
    if isinstance(effects, BoundedEffectSizes):
        if not effects.is_exact.all():
            raise effects.no_points()
        return effects.exact
    if isinstance(effects, str):
        given, remedy = 'mx.EffectSizes("yi", "vi", data=data)', f"with {reading(effects)}"
    elif hasattr(effects, "columns") or isinstance(effects, Mapping):
        found = columns_of_effects(cast("pd.DataFrame", read_table_of(effects)).columns)
        given = found or 'mx.EffectSizes("yi", "vi", data=data)'
        remedy = (
            ""
            if found
            else "with the names of its columns of effects and sampling variances, or hand in "
            'mx.effect_sizes("SMD", data) for a table of means, SDs and sizes'
        )
    elif isinstance(effects, EffectRows):
        given, remedy = (
            'counts.effect_sizes("RR")',
            "for the effects of counts",
        )
    elif isinstance(getattr(effects, "effects", None), EffectSizes):
        given, remedy = "result.effects", "for the effects of a result"
    else:
        given, remedy = "mx.EffectSizes(y, v)", "with arrays of effects y and sampling variances v"
    raise InputError(
        f"the effects are {describe(effects)}",
        "effects with sampling variances: an EffectSizes",
        (f"write {function}({given}) {remedy}" if function else f"hand in {given} {remedy}").rstrip(),
    )


def _without_estimate(effects: EffectSizes) -> InputError:
    """Return the error for estimates of which some do not exist; fits of counts have such."""
    rows = [effects._row_name(i) for i in np.flatnonzero(np.isnan(effects.v)).tolist()]
    return InputError(
        f"{plural(len(rows), 'row')} without an effect or a sampling variance",
        "an effect and a variance in every row",
        f'leave them out: counts.effect_sizes("{effects.measure.code}")',
        rows,
    )


def bounded_effects(
    lower: ArrayLike | str,
    upper: ArrayLike | str,
    v: ArrayLike | str | None = None,
    v_upper: ArrayLike | str | None = None,
    measure: str | Measure = "GEN",
    *,
    se: ArrayLike | str | None = None,
    se_upper: ArrayLike | str | None = None,
    labels: Sequence[str] | pd.Series | str | None = None,
    study: Sequence[str] | pd.Series | str | None = None,
    data: pd.DataFrame | Mapping[str, Any] | None = None,
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
    v : array_like, shape (k,), or str, optional
        Sampling variances of the observed effects: that at the lower end, or at both.
    v_upper : array_like, shape (k,), or str, optional
        Sampling variances at the upper ends, where they differ.
    measure : str or Measure
        Code of the measure; "GEN" for anything.
    se, se_upper : array_like, shape (k,), or str, optional
        Standard errors, in the place of `v` and `v_upper`.
    labels : sequence of str, or str, optional
        What a reader sees of each row. Default "1", "2", ...
    study : sequence of str, or str, optional
        Study of each row. Default: every row its own study.
    data : pandas.DataFrame, optional
        Further columns, one row per effect. Every argument may be the name of one of them.
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
        If an end is missing or the ends are in the wrong order.

    Examples
    --------
    >>> found = bounded_effects([0.4, 0.7, -0.7, 0.0], [0.4, float("inf"), 0.7, float("inf")], [0.05] * 4)
    >>> found.kind
    ('exact', 'interval', 'interval', 'direction')
    """
    import pandas as pd

    data = read_table_of(data)
    if study is None and data is not None:
        study = study_column_of(data)
    column = study if isinstance(study, str) else None
    given = {"lower": lower, "upper": upper, "v": v, "se": se, "v_upper": v_upper, "se_upper": se_upper}
    found = {name: look_up(data, name, values) for name, values in given.items()}
    named = {"labels": look_up(data, "labels", labels), "study": look_up(data, "study", study)}
    check_aligned(**found, **named, data=data)
    low, high = (read_numbers(found[name], name, ndim=1) for name in ("lower", "upper"))
    at_lower = read_variances(found["v"], found["se"])
    two = v_upper is not None or se_upper is not None
    at_upper = read_variances(found["v_upper"], found["se_upper"]) if two else at_lower
    k, index = low.size, index_of(*found.values(), *named.values())
    columns = {"upper": high, "v": at_lower, "v_upper": at_upper}
    for name, values in columns.items():
        if values.shape != low.shape:
            raise ShapeError(
                f"{name} has {plural(values.size, 'entry', 'entries')} and lower has {low.size}", "one length"
            )
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
        Ledger.of_rows(k),
        oriented,
    )


def join_bounded(*parts: BoundedEffectSizes | EffectSizes) -> BoundedEffectSizes:
    """Return bounded effects of several tables as one.

    Use it for the numbers of one sheet and the words of another. Rows are counted anew; the columns `sheet`
    and `line` of the data say where each is from. Rows that the parts left out stay in their ledgers.

    Parameters
    ----------
    *parts : BoundedEffectSizes or EffectSizes
        Effects of one measure; exact ones have equal ends.

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
    >>> sheets = mx.evidence_sheets()
    >>> chosen = "study_id == 'cho2020'"
    >>> numbers = sheets.effects("SMD", where="study_id == 'pbsc_dfu2024'", bounds=True)
    >>> words = sheets.effects("SMD", where=chosen, sheet="direction_only", bounds=True)
    >>> join_bounded(numbers, words).data["sheet"].tolist()
    ['outcomes.csv', 'outcomes.csv', 'outcomes.csv', 'direction_only.csv']
    """
    import pandas as pd

    ready = [as_bounded(part) for part in parts]
    codes = sorted({part.measure.code for part in ready})
    if len(codes) != 1:
        raise InputError(f"the measures are {codes}", "effects of one measure")
    frames = []
    for part in ready:
        frame = part._data.reset_index(drop=True).assign(sheet=part.ledger.source)
        frames.append(frame.assign(line=list(part.ledger.used)))
    ends = {name: np.concatenate([getattr(part, name) for part in ready]) for name in ENDS}
    k = sum(part.k for part in ready)
    bounds = BoundedEffects(
        **ends,
        kind=tuple(kind for part in ready for kind in part.kind),
        derived=tuple(mark for part in ready for mark in part.derived),
        reasons=("",) * k,
    )
    return BoundedEffectSizes(
        bounds,
        ready[0].measure,
        tuple(label for part in ready for label in part.labels),
        tuple(study for part in ready for study in part.study),
        pd.concat(frames, ignore_index=True),
        Ledger.of_rows(k, " and ".join(part.ledger.source for part in ready)),
        all(part.oriented for part in ready),
    )


def as_bounded(effects: EffectSizes | BoundedEffectSizes) -> BoundedEffectSizes:
    """Return effects as bounded ones: exact effects have equal ends.

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
        effects.ledger or Ledger.of_rows(k),
        effects.oriented,
        effects.origin,
    )


def _kind(lower: float, upper: float) -> Kind:
    """Return what two ends say of an effect."""
    if lower == upper:
        return "exact"
    return "direction" if {lower, upper} in ({0.0, np.inf}, {-np.inf, 0.0}) else "interval"
