"""Row-wise checks of reported statistics, each with an error class of its own that names the rows.

A missing value (NaN) passes every check: what is not reported cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import (
    CorrelationError,
    EventsError,
    InputError,
    IntervalError,
    NegativeSDError,
    ProportionError,
    PValueError,
    SampleSizeError,
    StandardErrorError,
    TimeError,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MATCHED_CELLS = ("both", "first_only", "second_only", "neither")
GENOTYPES = ("homozygous_first", "heterozygous", "homozygous_second")
CORRELATIONS = ("correlation", "point_biserial", "phi", "semipartial", "partial")
ROUNDING = 1e-9


def check_inputs(inputs: Mapping[str, Array], rows: Sequence[str]) -> None:
    """Check each input by the kind of quantity its name says it is, then events against group sizes.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        Inputs in words (treatment_sd, control_n, ...), one entry a row.
    rows : sequence of str
        Names of the rows, for the message.

    Raises
    ------
    InputError
        One of its subclasses, for the first kind of fault found; it names all rows with this fault.

    Examples
    --------
    >>> check_inputs({"treatment_sd": np.array([1.0, -2.0])}, ["row 1", "row 2"])
    Traceback (most recent call last):
        ...
    metaexo.errors.NegativeSDError: treatment_sd is negative; needed: ... Where: row 2: -2. What to do: ...
    """
    for name, values in inputs.items():
        _check_finite(name, values, rows)
        last = name.rsplit("_", 1)[-1]
        if last in ("sd", "se"):
            check_not_negative(name, values, rows)
        elif last == "n":
            check_sample_size(name, values, rows)
        elif last == "events" or name in MATCHED_CELLS or name in GENOTYPES:
            check_counts(name, values, rows)
        elif last == "time":
            _refuse(TimeError, name, values, values <= 0, rows, "is not above zero", "person-time above zero")
        elif name == "p_value":
            check_p_value(name, values, rows)
        elif name in CORRELATIONS:
            check_correlation(name, values, rows)
        elif name == "alpha":
            _refuse(
                ProportionError, name, values, values > 1, rows, "is above 1", "a reliability of at most 1"
            )
        elif name in ("r_squared", "auc", "ties", "both_share"):
            wrong = (values < 0) | (values > 1)
            _refuse(ProportionError, name, values, wrong, rows, "lies outside 0 to 1", "a value from 0 to 1")
    for prefix in ("treatment_", "control_", "first_", "second_", ""):
        events, n = inputs.get(f"{prefix}events"), inputs.get(f"{prefix}n", inputs.get("n"))
        if events is not None and n is not None:
            check_events_within(f"{prefix}events", events, n, rows)


def check_not_negative(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise NegativeSDError if a standard deviation or standard error is below zero."""
    remedy = "look at these rows in the source; a minus sign may be a hyphen of the typesetter"
    _refuse(NegativeSDError, name, values, values < 0, rows, "is negative", "a value of at least 0", remedy)


def check_sample_size(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise SampleSizeError if a sample size is not a whole number of at least 1."""
    with np.errstate(invalid="ignore"):
        wrong = (values < 1) | (np.abs(values - np.round(values)) > ROUNDING)
    remedy = "give the number of people or animals in this group; leave the cell empty if it is unknown"
    _refuse(
        SampleSizeError,
        name,
        values,
        wrong,
        rows,
        "is not a whole number of at least 1",
        "whole numbers of at least 1",
        remedy,
    )


def check_counts(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise EventsError if a count is negative or not whole."""
    with np.errstate(invalid="ignore"):
        wrong = (values < 0) | (np.abs(values - np.round(values)) > ROUNDING)
    remedy = "give numbers of people, not percentages"
    _refuse(EventsError, name, values, wrong, rows, "is not a count", "whole numbers of at least 0", remedy)


def check_events_within(name: str, events: Array, n: Array, rows: Sequence[str]) -> None:
    """Raise EventsError if there are more events than members of the group."""
    remedy = "count people with an event, not events; for events per person-time use the measure IRR"
    _refuse(
        EventsError,
        name,
        events,
        events > n,
        rows,
        "is above the size of its group",
        "at most n events",
        remedy,
    )


def check_p_value(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise PValueError if a p-value lies outside 0 to 1."""
    wrong = (values < 0) | (values > 1)
    remedy = "give the two-sided p-value and, apart from it, the direction of the effect"
    _refuse(PValueError, name, values, wrong, rows, "lies outside 0 to 1", "a value from 0 to 1", remedy)


def check_correlation(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise CorrelationError if a correlation lies outside -1 to 1."""
    wrong = np.abs(values) > 1
    _refuse(CorrelationError, name, values, wrong, rows, "lies outside -1 to 1", "a value from -1 to 1")


def check_interval(name: str, estimate: Array, low: Array, high: Array, rows: Sequence[str]) -> None:
    """Raise IntervalError if the ends stand the wrong way round or the estimate lies outside.

    An estimate beyond an end by no more than a rounding error of it is let pass.
    """
    with np.errstate(invalid="ignore"):
        slack = ROUNDING * np.maximum(np.abs(low), np.abs(high))
        turned = low > high
        outside = (estimate < low - slack) | (estimate > high + slack)
    wrong = turned | outside
    if wrong.any():
        raise IntervalError(
            f"the interval of {name} does not hold its estimate, or its ends stand the wrong way round",
            "low <= estimate <= high",
            "look at these rows in the source; an interval of another quantity may stand beside the estimate",
            [
                f"{rows[i]}: {low[i]:g} to {high[i]:g}, estimate {estimate[i]:g}"
                for i in np.flatnonzero(wrong).tolist()
            ],
        )


def check_se_below_sd(name: str, se: Array, sd: Array, rows: Sequence[str]) -> None:
    """Raise StandardErrorError if a standard error exceeds the standard deviation of its sample."""
    remedy = "the two columns may be exchanged"
    wrong = se > sd * (1 + ROUNDING)
    _refuse(StandardErrorError, name, se, wrong, rows, "is larger than its SD", "SE = SD / sqrt(n)", remedy)


def _check_finite(name: str, values: Array, rows: Sequence[str]) -> None:
    _refuse(InputError, name, values, np.isinf(values), rows, "is infinite", "finite numbers")


def _refuse(
    error: type[InputError],
    name: str,
    values: Array,
    wrong: Mask,
    rows: Sequence[str],
    what: str,
    needed: str,
    remedy: str = "look at these rows in the source",
) -> None:
    """Raise `error` if any row is wrong, and name these rows with their values."""
    if wrong.any():
        raise error(
            f"{name} {what}",
            needed,
            remedy,
            [f"{rows[i]}: {values[i]:g}" for i in np.flatnonzero(wrong).tolist()],
        )
