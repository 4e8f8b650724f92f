"""Row-wise checks of reported statistics, each with an error class of its own that names the rows.

A missing value (NaN) passes every check: what is not reported cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.corrections import hedges_factor
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
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd


MATCHED_CELLS = ("both", "first_only", "second_only", "neither")
GENOTYPES = ("homozygous_first", "heterozygous", "homozygous_second")
CORRELATIONS = ("correlation", "point_biserial", "phi", "semipartial", "partial")
WHOLE = ("predictors", "items")
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
        _check_kind(name, values, rows)
    for prefix in ("treatment_", "control_", "first_", "second_", ""):
        events, n = inputs.get(f"{prefix}events"), inputs.get(f"{prefix}n", inputs.get("n"))
        if events is not None and n is not None:
            check_events_within(f"{prefix}events", events, n, rows)
    _check_directions(inputs, rows)


def _check_kind(name: str, values: Array, rows: Sequence[str]) -> None:
    """Check an input by the kind of quantity its name says it is."""
    last = name.rsplit("_", 1)[-1]
    if last in ("sd", "se"):
        check_not_negative(name, values, rows)
    elif last == "n":
        check_sample_size(name, values, rows)
    elif last == "events" or name in MATCHED_CELLS or name in GENOTYPES:
        check_counts(name, values, rows)
    elif name == "f":
        _refuse(InputError, name, values, values < 0, rows, "is negative", "a statistic of at least 0")
    elif last == "time":
        _refuse(TimeError, name, values, values <= 0, rows, "is not above zero", "person-time above zero")
    elif name == "p_value":
        check_p_value(name, values, rows)
    elif name in CORRELATIONS:
        check_correlation(name, values, rows)
    elif name == "alpha":
        _refuse(ProportionError, name, values, values > 1, rows, "is above 1", "a reliability of at most 1")
    elif name in WHOLE:
        check_whole(name, values, rows)
    elif name in ("r_squared", "auc", "ties", "both_share"):
        wrong = (values < 0) | (values > 1)
        _refuse(ProportionError, name, values, wrong, rows, "lies outside 0 to 1", "a value from 0 to 1")


def _check_directions(inputs: Mapping[str, Array], rows: Sequence[str]) -> None:
    """Refuse a direction of 0 beside a test statistic that says there is one."""
    direction = inputs.get("direction")
    if direction is None:
        return
    for name in ("p_value", "f"):
        values = inputs.get(name)
        if values is not None:
            check_direction(direction, name, values < 1 if name == "p_value" else values > 0, rows)


def check_direction(direction: Array, name: str, differs: Mask, rows: Sequence[str]) -> None:
    """Raise InputError if the direction is 0 where a statistic says that the groups differ.

    Parameters
    ----------
    direction : ndarray
        Signs of the effects.
    name : str
        What the statistic is called.
    differs : ndarray of bool
        Where the statistic says that the groups differ.
    rows : sequence of str
        Names of the rows, for the message.
    """
    wrong = (direction == 0) & differs
    if wrong.any():
        raise InputError(
            f"direction is 0 where {name} says that there is a difference",
            "a positive number where the treatment mean is the higher, a negative one where it is the lower",
            "look at the means or the text of these studies; leave the cell empty if neither tells",
            [rows[i] for i in np.flatnonzero(wrong).tolist()],
        )


def check_whole(name: str, values: Array, rows: Sequence[str]) -> None:
    """Raise InputError if a number of predictors or items is not a whole number of at least 1."""
    with np.errstate(invalid="ignore"):
        wrong = (values < 1) | (np.abs(values - np.round(values)) > ROUNDING)
    what = "is not a whole number of at least 1"
    _refuse(InputError, name, values, wrong, rows, what, "whole numbers of at least 1")


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


LEAST_BY_GROUPS = {"SMD": 1.0, "SMD1": 1.0, "D2OR": np.pi**2 / 3, "D2ORL": np.pi**2 / 3, "D2ORN": 1.65**2}
SIZE_COLUMNS = (("treatment_n", "control_n"), ("n1i", "n2i"), ("n_e", "n_c"), ("n.e", "n.c"), ("n1", "n2"))
ROUNDED = 0.01


def least_variances(code: str, treatment_n: ArrayLike, control_n: ArrayLike) -> Array | None:
    """Return the least sampling variance that a standardised mean difference can have.

    Whatever the effect, the variance of Hedges' g of two independent groups, and of Glass' delta of groups
    with one standard deviation, is at least 1/n1 + 1/n2; that of a log odds ratio made of it is pi^2 / 3
    (1.65^2 for normal outcomes) times as much. Over the average of two standard deviations (SMDH) it is at
    least 2 / max(n1, n2), over that of the control group where the two differ (SMD1H) at least 1 / n2.

    Parameters
    ----------
    code : str
        Code of the measure.
    treatment_n, control_n : array_like
        Sizes of the groups.

    Returns
    -------
    ndarray or None
        Least variances, NaN where a size is not known; None for a measure without such a bound.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6, 107-128, doi:10.3102/10769986006002107.
    Bonett (2008), Psychological Methods 13, 99-109, doi:10.1037/1082-989X.13.2.99.

    Examples
    --------
    >>> least_variances("SMD", [5, 10], [6, 10]).round(3)
    array([0.367, 0.2  ])
    """
    n1, n2 = np.asarray(treatment_n, dtype=float), np.asarray(control_n, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        n1, n2 = np.where(n1 > 0, n1, np.nan), np.where(n2 > 0, n2, np.nan)
        if code in LEAST_BY_GROUPS:
            return np.asarray(LEAST_BY_GROUPS[code] * (1 / n1 + 1 / n2))
        if code == "SMDH":
            return np.asarray(2 / np.maximum(n1, n2))
        if code == "SMD1H":
            return np.asarray(1 / n2)
    return None


def variances_too_small(code: str, v: Array, data: pd.DataFrame) -> tuple[NDArray[np.intp], Array, bool]:
    """Find sampling variances that are smaller than the sizes of the groups in the data allow.

    Rows of paired designs (a column `paired` that says "yes") have no such bound. A hundredth below it is
    taken as rounding.

    Parameters
    ----------
    code : str
        Code of the measure.
    v : ndarray, shape (k,)
        Sampling variances.
    data : pandas.DataFrame
        One row per effect; the sizes are its columns treatment_n and control_n (or n1i and n2i).

    Returns
    -------
    rows : ndarray of int
        Positions of these rows.
    least : ndarray
        The least possible variance of each.
    corrected : bool
        Whether the squared small-sample correction, with which some programs multiply the variance of
        Hedges' g, accounts for all of them.
    """
    import pandas as pd

    none = np.array([], dtype=np.intp), np.array([]), False
    names = next((pair for pair in SIZE_COLUMNS if set(pair) <= set(data.columns)), None)
    if names is None or least_variances(code, 1, 1) is None:
        return none
    n1, n2 = (pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=float) for name in names)
    least = least_variances(code, n1, n2)
    if least is None:
        return none
    if "paired" in data.columns:
        least = np.where(data["paired"].astype(str) == "yes", np.nan, least)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = np.flatnonzero(v < least * (1 - ROUNDED))
        corrected = least * hedges_factor(n1 + n2 - 2) ** 2 * (1 - ROUNDED)
    return rows, least[rows], bool((v[rows] >= corrected[rows]).all())
