"""Row-wise checks of reported statistics, each with an error class of its own that names the rows.

A missing value (NaN) passes every check: what is not reported cannot be wrong.

Arguments of effects and conversions: read as numbers or words, refused where a value is impossible.

A missing value (NaN) passes: what is not reported cannot be wrong.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

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
    ShapeError,
    StandardErrorError,
    TimeError,
    UnclearLevelWarning,
    UnknownChoiceError,
    UnusedStudyColumnWarning,
)
from metaexo.inputs import (
    alike_words,
    as_word,
    check_aligned,
    check_flag,
    check_level,
    is_blank,
    read_entries,
    read_numbers,
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


STUDY_NAMES = ("study", "studies", "studyid", "studyname", "studyno", "studynumber", "studylabel", "paper")
P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[str, Array, Sequence[str]], None]


class _Entries(Sequence[str]):
    """Names of entries, made only when a message needs them: an array may have millions."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self.size))]
        return f"entry {at + 1}"


def reads(function: Callable[P, R]) -> Callable[P, R]:
    """Make a conversion read its arguments: arrays as numbers that are possible, flags, levels.

    An argument that the function takes as ArrayLike becomes a new array of floats, and is checked by what its
    name says it is: a p-value, a size, a standard deviation, a correlation, a share. The arrays must have
    shapes that go together, pandas objects one index. What does not exist (the logarithm of a negative
    number) comes back as NaN or infinite, without a warning.
    """
    return _reading(function, together=True)


def reads_groups(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`reads`, for a function that looks after the shapes of its arrays itself."""
    return _reading(function, together=False)


def _reading(function: Callable[P, R], together: bool) -> Callable[P, R]:
    signature = inspect.signature(function)
    kinds = {name: str(parameter.annotation) for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def reading(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        given, arrays = bound.arguments, {}
        check_aligned(**{name: x for name, x in given.items() if kinds[name].startswith("ArrayLike")})
        for name, value in given.items():
            if kinds[name].startswith("ArrayLike") and not (value is None and "None" in kinds[name]):
                arrays[name] = given[name] = possible(name, read_numbers(value, name))
            elif name == "level":
                given[name] = check_level(value)
            elif kinds[name] == "bool":
                given[name] = check_flag(name, value)
        if together:
            check_shapes(arrays)
        with np.errstate(all="ignore"):
            return function(*bound.args, **bound.kwargs)

    return reading


def check_shapes(arrays: Mapping[str, Array]) -> None:
    """Refuse arrays whose shapes do not go together."""
    try:
        np.broadcast_shapes(*(values.shape for values in arrays.values()))
    except ValueError:
        found = ", ".join(f"{name}: {values.shape}" for name, values in arrays.items())
        raise ShapeError(
            f"the arrays differ in shape ({found})", "arrays of one shape, or single numbers"
        ) from None


def possible(name: str, values: Array) -> Array:
    """Return the values; refuse those that a quantity of this name cannot have."""
    last = name.rsplit("_", 1)[-1]
    check = BY_NAME.get(name, BY_NAME.get(last))
    if check is not None:
        check(name, values.ravel(), _Entries(values.size))
    return values


def _check_share(name: str, values: Array, rows: Sequence[str]) -> None:
    _refuse_values(
        name,
        values,
        (values < 0) | (values > 1),
        rows,
        ProportionError,
        "a value from 0 to 1",
        "20 per cent is 0.2",
    )


def _check_at_least_zero(name: str, values: Array, rows: Sequence[str]) -> None:
    _refuse_values(name, values, values < 0, rows, InputError, "values of at least 0")


def _check_levels(name: str, values: Array, rows: Sequence[str]) -> None:
    wrong = ~((values > 0) & (values < 1)) & ~np.isnan(values)
    remedy = "write 0.95 for 95 per cent"
    _refuse_values(name, values, wrong, rows, InputError, "a fraction between 0 and 1", remedy)


def _refuse_values(
    name: str,
    values: Array,
    wrong: Mask,
    rows: Sequence[str],
    error: type[InputError],
    needed: str,
    remedy: str = "look at these values in the source",
) -> None:
    if wrong.any():
        at = np.flatnonzero(wrong).tolist()
        raise error(f"{name} is impossible", needed, remedy, [f"{rows[i]}: {values[i]:g}" for i in at])


def numbers(values: ArrayLike) -> Array:
    """Return values as an array of numbers."""
    return np.asarray(values, dtype=float)


def p_values(values: ArrayLike, name: str = "p_value") -> Array:
    """Return p-values; refuse any outside 0 to 1."""
    return _checked(name, values, check_p_value)


def not_negative(values: ArrayLike, name: str) -> Array:
    """Return standard deviations; refuse any below 0."""
    return _checked(name, values, check_not_negative)


def correlations(values: ArrayLike, name: str = "correlation") -> Array:
    """Return correlations; refuse any outside -1 to 1."""
    return _checked(name, values, check_correlation)


def squares(values: ArrayLike, name: str) -> Array:
    """Return F or chi-square statistics; refuse any below 0."""
    return _checked(name, values, _check_square)


def sizes(values: ArrayLike, name: str) -> Array:
    """Return sizes of groups; refuse any below 1. They need not be whole: effective sizes are not."""
    return _checked(name, values, _check_size)


def signs(direction: ArrayLike, name: str, differs: Mask) -> Array:
    """Return 1 or -1 for the direction of an effect; refuse 0 where a statistic says that groups differ.

    Parameters
    ----------
    direction : array_like
        Signs of the effects.
    name : str
        What the statistic is called.
    differs : ndarray of bool
        Where it says that the groups differ.
    """
    given, there = np.broadcast_arrays(numbers(direction), differs)
    check_direction(given.ravel(), name, there.ravel(), _Entries(given.size))
    return np.sign(numbers(direction))


def _checked(name: str, values: ArrayLike, check: Check) -> Array:
    given = numbers(values)
    check(name, given.ravel(), _Entries(given.size))
    return given


def _check_square(name: str, values: Array, rows: Sequence[str]) -> None:
    if (values < 0).any():
        raise InputError(
            f"{name} is negative",
            "a statistic of at least 0",
            "give its size here, and the sign of the effect as the direction",
            [f"{rows[i]}: {values[i]:g}" for i in np.flatnonzero(values < 0).tolist()],
        )


def _check_size(name: str, values: Array, rows: Sequence[str]) -> None:
    if (values < 1).any():
        raise SampleSizeError(
            f"{name} is below 1",
            "sizes of at least 1",
            "give the number of people or animals in this group",
            [f"{rows[i]}: {values[i]:g}" for i in np.flatnonzero(values < 1).tolist()],
        )


def check_table(data: object, name: str = "data") -> None:
    """Refuse anything but a data frame (or nothing), and a data frame with two columns of one name.

    Raises
    ------
    InputError
        If it is something else, for example the name of a file.
    """
    if data is None:
        return
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        twice = [str(column) for column in data.columns[data.columns.duplicated()]]
        if twice:
            raise InputError(
                f"{name} has several columns named {', '.join(map(repr, dict.fromkeys(twice)))}",
                "columns with names of their own",
                f"rename them: {name}.columns = [...]",
            )
        return
    if isinstance(data, str):
        found, remedy = f"the text {data!r}", f"read the file first: pandas.read_csv({data!r})"
    else:
        found, remedy = f"a {type(data).__name__}", f"make one: pandas.DataFrame({name})"
    raise InputError(f"{name} is {found}", "a pandas.DataFrame with one row per effect", remedy)


def look_up(data: pd.DataFrame | None, name: str, values: Any) -> Any:
    """Return the column of `data` if `values` is its name; anything but a text is returned as it is.

    Raises
    ------
    InputError
        If a text was given and there is no data.
    UnknownChoiceError
        If there is no such column; it names the nearest.
    """
    if not isinstance(values, str):
        return values
    if data is None:
        raise InputError(
            f"{name} is the text {values!r}",
            "a list with one entry per row, or the name of a column together with data=",
            f"hand in the table too: data=d, or the column itself: {name}=d[{values!r}]",
        )
    by_name = {str(column): column for column in data.columns}
    if values not in by_name:
        raise UnknownChoiceError("column", values, by_name)
    return data[by_name[values]]


def read_variances(v: object, se: object, ndim: int = 1) -> Array:
    """Return sampling variances, from standard errors if these were given.

    Raises
    ------
    InputError
        If neither or both are given, or a standard error is negative.
    """
    if (v is None) == (se is None):
        raise InputError(
            "neither v nor se is given" if v is None else "v and se are both given",
            "sampling variances v, or standard errors se",
            "v=..., or se=...",
        )
    if se is None:
        return read_numbers(v, "v", ndim=ndim)
    found = read_numbers(se, "se", ndim=ndim)
    negative = (found < 0).any(axis=tuple(range(1, ndim)))
    if negative.any():
        raise InputError(
            "some standard errors are negative",
            "standard errors of at least 0",
            "look at these rows in the source",
            [f"row {i + 1}: {found[i]}" for i in np.flatnonzero(negative)],
        )
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(found**2)


def index_of(*given: object) -> pd.Index[Any] | None:
    """Return the index of the first pandas object, or None."""
    indexes = (getattr(values, "index", None) for values in given)
    return next((index for index in indexes if index is not None and not callable(index)), None)


def check_kind(name: str, given: object, *kinds: type) -> None:
    """Refuse anything but an object of some kinds.

    Raises
    ------
    InputError
        If it is something else; it says what is needed.
    """
    if not isinstance(given, kinds):
        needed = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{name} is a {type(given).__name__}, not {needed}", needed)


def read_names(names: object, what: str) -> tuple[str, ...]:
    """Return one name or several as a tuple.

    Raises
    ------
    InputError
        If they are no texts.
    """
    if isinstance(names, str):
        return (names,)
    entries = read_entries(names, what)
    if not all(isinstance(entry, str) for entry in entries):
        raise InputError(f"{what} holds other things than names", "the name of a column, or a list of names")
    return tuple(entries)


def read_labels(values: object, k: int | None = None) -> tuple[str, ...]:
    """Return labels as texts; a blank one is the number of its row; empty if none are given."""
    if values is None:
        return ()
    entries = read_entries(values, "labels", k)
    return tuple(str(i + 1) if is_blank(entry) else as_word(entry) for i, entry in enumerate(entries))


def read_studies(values: object, k: int | None = None) -> tuple[str, ...]:
    """Return studies as texts, "" for a blank one; empty if none are given."""
    if values is None:
        return ()
    return tuple("" if is_blank(entry) else as_word(entry) for entry in read_entries(values, "study", k))


def check_studies(study: Sequence[str], row_name: Callable[[int], str]) -> None:
    """Refuse blank studies: they are not one study, nor known to be several.

    Parameters
    ----------
    study : sequence of str
        Study of each row, "" where it is blank.
    row_name : callable
        From a position to what the row is called in messages.

    Raises
    ------
    InputError
        If some are blank; it names their rows.

    Warns
    -----
    UnclearLevelWarning
        If studies differ by blanks or capitals alone: they count as several.
    """
    if all(study):
        alike = alike_words(study)
        if alike:
            warnings.warn(
                f"studies differ by blanks or capitals alone and count as several: "
                f"{', '.join(map(repr, alike[:8]))}; write them alike if they are one",
                UnclearLevelWarning,
                stacklevel=4,
            )
        return
    rows = [row_name(i) for i, name in enumerate(study) if not name]
    raise InputError(
        f"the study is blank in {len(rows)} of {len(study)} rows",
        "the study of every row",
        'where cells were merged, fill down merged cells: data["study"].ffill(); otherwise give each row '
        "the name of its study",
        rows,
    )


def study_column_of(data: pd.DataFrame) -> str | None:
    """Return "study" if `data` has this column; warn of another one that looks like it.

    Warns
    -----
    UnusedStudyColumnWarning
        If there is a column such as "Study" or "study_id" that names one study several times.
    """
    names = {str(column): column for column in data.columns}
    if "study" in names:
        return "study"
    for name, column in names.items():
        if "".join(filter(str.isalnum, name)).casefold() in STUDY_NAMES and data[column].duplicated().any():
            warnings.warn(
                f"data has a column {name!r} that names some studies several times, and study is not given: "
                f"every effect is taken as a study of its own; study={name!r} takes this column",
                UnusedStudyColumnWarning,
                stacklevel=3,
            )
            return None
    return None


BY_NAME: dict[str, Check] = {
    "p_value": check_p_value,
    "sd": check_not_negative,
    "se": check_not_negative,
    "sd_1": check_not_negative,
    "sd_2": check_not_negative,
    "correlation": check_correlation,
    "correlations": check_correlation,
    "phi": check_correlation,
    "f": _check_square,
    "n": _check_size,
    "risk": _check_share,
    "proportion": _check_share,
    "probability": _check_share,
    "share": _check_share,
    "sensitivity": _check_share,
    "specificity": _check_share,
    "positive_predictive_value": _check_share,
    "negative_predictive_value": _check_share,
    "time": _check_at_least_zero,
    "rate": _check_at_least_zero,
    "tau2": _check_at_least_zero,
    "v": _check_at_least_zero,
    "odds_ratio": _check_at_least_zero,
    "risk_ratio": _check_at_least_zero,
    "level": _check_levels,
}
