"""From reported statistics to effects and sampling variances, row by row, whatever the measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import MATCHED_CELLS, possible
from metaexo.effects.derivation import REPORTED, Derivation
from metaexo.effects.formulas import Route
from metaexo.effects.measure import Measure, get_measure
from metaexo.effects.measures.zero_cells import ZeroCells, add_to_cells, cells
from metaexo.errors import (
    InputError,
    MissingInputError,
    NegativeMeansWarning,
    ShapeError,
    UnknownChoiceError,
    warn_caller,
)
from metaexo.formatting import plural
from metaexo.immutable import Immutable
from metaexo.inputs import check_aligned, check_choice, check_flag, read_numbers
from metaexo.readable import shows_itself
from metaexo.types import Array, Mask

AT_THE_EDGE = "is at the edge of what is possible, where its formula gives no sampling variance above 0"
ASSOCIATION = ("Correlation", "Yule's Q", "Yule's Y")
NOT_GIVEN = "not given: "
ROUNDING = 1e-12  # no source reports a correlation to twelve digits
NEGATIVE_MEANS = "both means are negative, so that their ratio is positive"
Options = Mapping[str, str | bool]
CHECKED = ("p_value", "f", "point_biserial", "treatment_n", "control_n")  # of a conversion


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class Calculated(Immutable):
    """Effects of all rows, those that could not be computed included.

    Attributes
    ----------
    y, v : ndarray, shape (k,)
        Effects and sampling variances; NaN where there is none. A variance may be 0 or, of an unbiased
        estimate, negative: as its formula gives it, with a reason not to use the row.
    derived : tuple of Derivation
        How each effect came about.
    reasons : tuple of str
        Why a row has no effect, or no variance above 0; "" where it has both.
    """

    y: Array
    v: Array
    derived: tuple[Derivation, ...]
    reasons: tuple[str, ...]


def calculate(
    measure: str | Measure,
    inputs: Mapping[str, ArrayLike],
    *,
    variance: str | None = None,
    bias_correction: bool = True,
    zero_cells: ZeroCells | None = None,
) -> Calculated:
    """Compute effects and sampling variances from reported statistics, and keep every row.

    Use :func:`metaexo.effect_sizes` unless rows without an effect must keep their place; it also refuses
    values that are impossible, which this function takes as they are.

    Parameters
    ----------
    measure : str or Measure
        Code of the measure.
    inputs : mapping of str to array_like
        Statistics by name, one number per row each, or one number for all rows.
    variance : str, optional
        Type of sampling variance; the measure's default if not given.
    bias_correction : bool
        Whether to apply the measure's small-sample correction, if it has one.
    zero_cells : ZeroCells, optional
        What to do with counts of zero; the measure's default if not given.

    Returns
    -------
    Calculated
        y, v, derived and reasons, one entry per row.

    Raises
    ------
    MissingInputError
        If the inputs given do not suffice for the measure.
    UnknownChoiceError
        If the measure, an input or a type of variance is not known.

    Warns
    -----
    NegativeMeansWarning
        If both means of a ratio are negative.

    Examples
    --------
    >>> counts = {"treatment_events": [0, 4], "treatment_n": 10, "control_events": [3, 8], "control_n": 10}
    >>> done = calculate("RR", counts)
    >>> done.y.round(3)
    array([-1.946, -0.693])
    >>> done.derived[0].note
    '0.5 added to every cell'
    """
    record = get_measure(measure)
    done = calculate_quietly(
        record, inputs, variance=variance, bias_correction=bias_correction, zero_cells=zero_cells
    )
    rows = [str(i + 1) for i, mark in enumerate(done.derived) if mark.note == NEGATIVE_MEANS]
    warn_of_negative_means(record.code, rows)
    return done


@np.errstate(all="ignore")
def calculate_quietly(
    record: Measure,
    inputs: Mapping[str, ArrayLike],
    *,
    variance: str | None = None,
    bias_correction: bool = True,
    zero_cells: ZeroCells | None = None,
) -> Calculated:
    """Compute as :func:`calculate` does; ratios of two negative means are noted, but not warned of."""
    check_flag("bias_correction", bias_correction)
    if not isinstance(inputs, Mapping):
        raise InputError(f"inputs is a {type(inputs).__name__}", "a mapping of names to numbers")
    if zero_cells is not None and not isinstance(zero_cells, ZeroCells):
        raise InputError(f"zero_cells is a {type(zero_cells).__name__}", "a metaexo.effects.ZeroCells")
    check_aligned(**{str(name): values for name, values in inputs.items()})
    arrays = as_rows(inputs)
    _check_names(record, arrays)
    options = _options(record, variance, bias_correction)
    if record.zero_cells is not None:
        rule = zero_cells if zero_cells is not None else ZeroCells(record.zero_cells)
        route = next(one for one in record.routes if set(one.inputs) <= set(arrays))
        return _from_counts(record, route, {name: arrays[name] for name in route.inputs}, options, rule)
    if zero_cells is not None:
        raise InputError(
            f"a continuity correction was given for {record.code}", "a measure of counts, or no correction"
        )
    return _by_first_route(record, arrays, options)


def as_rows(inputs: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Return the inputs as one-dimensional arrays of one length; single numbers are repeated."""
    arrays: dict[str, Array] = {}
    faults: list[InputError] = []
    for name, values in inputs.items():
        try:
            arrays[name] = read_numbers(values, name, ndim=1)
        except InputError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        cells = [f"{fault.given}: {'; '.join(fault.rows)}" if fault.rows else fault.given for fault in faults]
        raise InputError("several inputs cannot be read", faults[0].needed, faults[0].remedy, cells)
    lengths = {name: values.size for name, values in arrays.items() if values.size != 1}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {size}" for name, size in lengths.items())
        raise ShapeError(f"the inputs differ in length ({found})", "one entry per row in each")
    k = max(lengths.values(), default=1)
    return {name: values if values.size == k else np.full(k, values) for name, values in arrays.items()}


def _length(arrays: Mapping[str, Array]) -> int:
    return next((values.size for values in arrays.values()), 0)


def _check_names(record: Measure, arrays: Mapping[str, Array]) -> None:
    """Refuse inputs that are unknown or do not suffice."""
    ways = [route.inputs for route in record.routes]
    if not ways:
        raise InputError(
            f"{record.code} stands for effects computed elsewhere",
            "a measure with a formula, or EffectSizes(y, v) for numbers of your own",
        )
    allowed = {name: None for way in ways for name in way}
    for name in arrays:
        if name not in allowed:
            raise UnknownChoiceError(f"input of {record.code}", name, list(allowed))
    if not any(set(way) <= set(arrays) for way in ways):
        missing = [name for name in record.inputs if name not in arrays]
        others = "; ".join(", ".join(way) for way in ways[1:])
        raise MissingInputError(
            f"{record.code} lacks {', '.join(missing)}",
            ", ".join(record.inputs) + (f" (or: {others})" if others else ""),
            "give these inputs by name",
        )


def _options(record: Measure, variance: str | None, bias_correction: bool) -> Options:
    """Return the options of a route of the measure."""
    if variance is not None:
        check_choice(f"variance of {record.code}", variance, record.variances or ("LS",))
    kind = variance or record.variances[0] if record.variances else None
    return {"variance": kind or "", "bias_correction": bias_correction}


def _run(route: Route, arrays: Mapping[str, Array], options: Options) -> tuple[Array, Array]:
    """Compute effects and variances; the inputs of a conversion must be possible."""
    if route.formula:
        for name in [name for name in CHECKED if name in arrays]:
            possible(name, arrays[name])
    return route.compute(**arrays, **options)  # type: ignore[arg-type]


def _by_first_route(record: Measure, arrays: Mapping[str, Array], options: Options) -> Calculated:
    """Compute each row from the first set of inputs that gives an effect."""
    k = _length(arrays)
    y, v, derived = np.full(k, np.nan), np.full(k, np.nan), [REPORTED] * k
    if "direction" in arrays:  # 0 is no sign that a statistic could take
        arrays = {**arrays, "direction": np.where(arrays["direction"] == 0, np.nan, arrays["direction"])}
    for route in record.routes:
        if not set(route.inputs) <= set(arrays):
            continue
        if route is record.routes[0]:
            y, v = _run(route, {name: arrays[name] for name in route.inputs}, options)
            continue
        complete = np.all([np.isfinite(arrays[name]) for name in route.inputs], axis=0)
        here = complete & ~(np.isfinite(y) & np.isfinite(v))
        if here.any():
            y[here], v[here] = _run(route, {name: arrays[name][here] for name in route.inputs}, options)
        for i in np.flatnonzero(here):
            derived[i] = Derivation("converted", route.formula) if route.formula else REPORTED
    return _finished(record, arrays, y, v, derived)


def _from_counts(
    record: Measure,
    route: Route,
    arrays: Mapping[str, Array],
    options: Options,
    rule: ZeroCells,
) -> Calculated:
    """Compute effects of counts under a rule for zeros."""
    events, others = cells(arrays)
    has_zero = np.any([cell == 0 for cell in (*events, *others)], axis=0)
    touched = rule.touched(has_zero)
    y, v = _run(route, add_to_cells(arrays, rule, touched), options)
    if rule.share != "both":
        plain_y, plain_v = _run(route, arrays, options)
        y, v = (y, plain_v) if rule.share == "estimate" else (plain_y, v)
    given = np.all([np.isfinite(values) for values in arrays.values()], axis=0)
    v = np.where(given & np.isnan(y), np.nan, v)
    without = _weightless(arrays, events, others)
    if rule.drop_double_zero and len(events) > 1:
        none = np.all([cell == 0 for cell in events], axis=0)
        everyone = np.all([cell == 0 for cell in others], axis=0) if others else np.zeros_like(none)
        y, v = (np.where(none | everyone, np.nan, x) for x in (y, v))
        without |= {int(i): "an event in everyone of both groups" for i in np.flatnonzero(everyone)}
        without |= {int(i): "no event in either group" for i in np.flatnonzero(none)}
    plain = Derivation("converted", route.formula) if route.formula else REPORTED
    mark = rule.derivation()
    return _finished(record, arrays, y, v, [mark if hit else plain for hit in touched], without)


def _weightless(
    arrays: Mapping[str, Array], events: tuple[Array, ...], others: tuple[Array, ...]
) -> dict[int, str]:
    """Return the rows whose counts may say nothing of an effect, with the words for it."""
    found: dict[int, str] = {}
    if MATCHED_CELLS[1] in arrays:
        equal = arrays["first_only"] + arrays["second_only"] == 0
        found = {int(i): "no pairs that differ: carries no weight" for i in np.flatnonzero(equal)}
    elif len(others) > 1:
        everyone = np.all([cell == 0 for cell in others], axis=0)
        found = {int(i): "events in everyone: carries no weight" for i in np.flatnonzero(everyone)}
    none = np.all([cell == 0 for cell in events], axis=0)
    return found | {int(i): "no events: carries no weight" for i in np.flatnonzero(none)}


def _finished(
    record: Measure,
    arrays: Mapping[str, Array],
    y: Array,
    v: Array,
    derived: list[Derivation],
    without: Mapping[int, str] | None = None,
) -> Calculated:
    """Turn what is infinite into NaN, and say of each row without a usable effect and variance why."""
    edge, beyond = _at_the_edge(record, y, v)
    with np.errstate(invalid="ignore"):
        undefined = np.isinf(y) | np.isinf(v)
        wanting = np.flatnonzero(edge | beyond | undefined | np.isnan(y) | np.isnan(v) | (v <= 0))
    y, v = np.where(undefined, np.nan, y), np.where(undefined, np.nan, v)
    y.flags.writeable = v.flags.writeable = False  # the record keeps them as they are, without a copy
    reasons = [""] * y.size
    ways = [route.inputs for route in record.routes]
    for i in wanting:
        missing = [name for name, values in arrays.items() if np.isnan(values[i])]
        if any(set(way) <= set(arrays) and not set(way) & set(missing) for way in ways):
            missing = []
        no_spread = [name for name in arrays if name.endswith("sd") and arrays[name][i] == 0]
        value = "" if np.isnan(y[i]) else f" = {y[i]:.6g}"
        if missing:
            reasons[i] = f"{NOT_GIVEN}{', '.join(missing)}"
        elif without and int(i) in without and np.isnan(y[i]):
            reasons[i] = without[int(i)]
        elif no_spread:
            reasons[i] = f"{' and '.join(no_spread)} of 0: {record.code} has no sampling variance above 0"
        elif edge[i]:
            reasons[i] = f"{record.code}{value} {AT_THE_EDGE}"
        elif beyond[i]:
            reasons[i] = (
                f"{record.code}{value} lies beyond what is possible: its inputs contradict each other"
            )
        elif v[i] < 0:
            reasons[i] = f"{record.code} has a negative sampling variance by its formula ({v[i]:.3g})"
        else:
            lacks = "effect" if np.isnan(y[i]) else "sampling variance"
            reasons[i] = f"{record.code} has no {lacks} for these numbers"
    _note_negative_means(record, arrays, y, derived)
    return Calculated(y, v, tuple(derived), tuple(reasons))


def _note_negative_means(
    record: Measure, arrays: Mapping[str, Array], y: Array, derived: list[Derivation]
) -> None:
    """Say of ratios of two negative means what they are, in the rows' derivations."""
    means = [arrays[name] for name in record.inputs if name.endswith("_mean") and name in arrays]
    if record.code not in ("ROM", "CVR", "ROMC", "CVRC") or len(means) < 2:
        return
    rows = np.flatnonzero(np.isfinite(y) & np.all([mean < 0 for mean in means], axis=0))
    for i in rows.tolist():
        if not derived[i].formula:
            derived[i] = replace(derived[i], note=NEGATIVE_MEANS)


def warn_of_negative_means(code: str, rows: Sequence[str]) -> None:
    """Warn once of all rows whose ratio is that of two negative means."""
    if rows:
        warn_caller(
            f"{code}: {NEGATIVE_MEANS}, in {plural(len(rows), 'row')} ({', '.join(rows[:8])}); a ratio above "
            "1 is further below zero",
            NegativeMeansWarning,
        )


def _at_the_edge(record: Measure, y: Array, v: Array) -> tuple[Mask, Mask]:
    """Return the rows at the edge of what is possible, whatever the rounding, and those beyond it.

    A correlation of -1 or 1, a proportion of 0 or 1 to which nothing was added, an R2 of 0 or 1, a
    reliability of 1 or an area under the curve of 0 or 1 has an infinite effect, or a variance of 0, by its
    formula. Within rounding of the edge the formula gives a variance of no meaning. Where the variance
    depends on the sizes alone (arcsine and root scales), the edge is an ordinary result. Of the estimates
    only a biserial correlation may lie beyond.
    """
    of_counts = record.zero_cells is not None and record.display not in ASSOCIATION
    low, high = record.possible
    with np.errstate(all="ignore"):
        edge, beyond = np.isinf(y) | (v == 0), np.zeros(y.shape, dtype=bool)
        if of_counts or record.code == "RBIS":
            return edge, beyond
        shown = record.back(y)
        beyond = (shown < low - ROUNDING) | (shown > high + ROUNDING)
        for end in record.possible:
            if np.isfinite(end) and not (end == 0 and record.rescaled):  # R2 = 0 has a variance as Fisher's z
                edge = edge | (np.abs(shown - end) <= ROUNDING)
    return np.asarray(edge, dtype=bool), np.asarray(beyond, dtype=bool)
