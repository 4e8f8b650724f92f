"""What is handed to effects and conversions: read as numbers or words, and refused where it is impossible.

Each kind of quantity has one check, with an error class that names the rows. A missing value (NaN) passes:
what is not reported cannot be wrong.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from metaexo.calls import bound as bound_call
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
    warn_caller,
)
from metaexo.inputs import (
    alike_words,
    as_word,
    check_aligned,
    check_flag,
    check_level,
    describe,
    is_blank,
    read_entries,
    read_numbers,
)
from metaexo.types import Array, Mask

if TYPE_CHECKING:
    import pandas as pd

MATCHED_CELLS = ("both", "first_only", "second_only", "neither")
ROUNDING = 1e-9
IN_THE_SOURCE = "look at these rows in the source"
P = ParamSpec("P")
R = TypeVar("R")


def refuse(
    error: type[InputError],
    name: str,
    values: Array,
    wrong: Mask,
    rows: Sequence[str],
    what: str,
    needed: str,
    remedy: str = IN_THE_SOURCE,
) -> None:
    """Raise `error` if any row is wrong, and name these rows with their values."""
    if wrong.any():
        raise error(
            f"{name} {what}",
            needed,
            remedy,
            [f"{rows[i]}: {values[i]:g}" for i in np.flatnonzero(wrong).tolist()],
        )


@dataclass(frozen=True, slots=True)
class Check:
    """What a quantity cannot be, and what is said of it.

    Called with the name of a quantity, its values and the names of their rows, it raises its error if any
    value is wrong; the error names all rows with this fault.
    """

    error: type[InputError]
    wrong: Callable[[Array], Mask]
    what: str
    needed: str
    remedy: str = IN_THE_SOURCE

    def __call__(self, name: str, values: Array, rows: Sequence[str]) -> None:
        """Raise the error if any value is wrong."""
        with np.errstate(invalid="ignore"):
            wrong = self.wrong(values)
        refuse(self.error, name, values, wrong, rows, self.what, self.needed, self.remedy)


def _not_whole(values: Array) -> Mask:
    return np.asarray(np.abs(values - np.round(values)) > ROUNDING)


def _beyond(low: float, high: float) -> Callable[[Array], Mask]:
    return lambda values: (values < low) | (values > high)


OUTSIDE_0_1, FROM_0_1 = "lies outside 0 to 1", "a value from 0 to 1"
LEAST_0 = "a value of at least 0"
WHOLE_1 = "is not a whole number of at least 1"
GIVE_SIZE = "give the number of people or animals in this group"

check_finite = Check(InputError, np.isinf, "is infinite", "finite numbers")
check_not_negative = Check(
    NegativeSDError,
    lambda x: x < 0,
    "is negative",
    LEAST_0,
    "look at these rows in the source; a minus sign may be a hyphen of the typesetter",
)
check_at_least_zero = Check(InputError, lambda x: x < 0, "is negative", LEAST_0)
check_square = Check(
    InputError,
    lambda x: x < 0,
    "is negative",
    "a statistic of at least 0",
    "give its size here, and the sign of the effect as the direction",
)
check_sample_size = Check(
    SampleSizeError,
    lambda x: (x < 1) | _not_whole(x),
    WHOLE_1,
    "whole numbers of at least 1",
    f"{GIVE_SIZE}; leave the cell empty if it is unknown",
)
check_effective_size = Check(SampleSizeError, lambda x: x < 1, "is below 1", "sizes of at least 1", GIVE_SIZE)
check_whole = Check(InputError, lambda x: (x < 1) | _not_whole(x), WHOLE_1, "whole numbers of at least 1")
check_counts = Check(
    EventsError,
    lambda x: (x < 0) | _not_whole(x),
    "is not a count",
    "whole numbers of at least 0",
    "give the number of people or events: a percentage is no count, and no count is below 0",
)
check_time = Check(TimeError, lambda x: x <= 0, "is not above zero", "person-time above zero")
check_p_value = Check(
    PValueError,
    _beyond(0, 1),
    OUTSIDE_0_1,
    FROM_0_1,
    "give the two-sided p-value and, apart from it, the direction of the effect",
)
check_correlation = Check(CorrelationError, _beyond(-1, 1), "lies outside -1 to 1", "a value from -1 to 1")
check_share = Check(
    ProportionError,
    _beyond(0, 1),
    OUTSIDE_0_1,
    FROM_0_1,
    "look at these rows in the source; 20 per cent is 0.2",
)
check_reliability = Check(ProportionError, lambda x: x > 1, "is above 1", "a reliability of at most 1")
check_levels = Check(
    InputError,
    lambda x: ~((x > 0) & (x < 1)) & ~np.isnan(x),
    "is no level",
    "a fraction between 0 and 1",
    "write 0.95 for 95 per cent",
)

# the input itself, or the last word of its name -> what it cannot be
OF_INPUTS: Mapping[str, Check] = {
    **dict.fromkeys(("sd", "se"), check_not_negative),
    "n": check_sample_size,
    **dict.fromkeys(("events", *MATCHED_CELLS), check_counts),
    **dict.fromkeys(("homozygous_first", "heterozygous", "homozygous_second"), check_counts),
    "f": check_square,
    "time": check_time,
    "p_value": check_p_value,
    **dict.fromkeys(("correlation", "point_biserial", "phi", "semipartial", "partial"), check_correlation),
    "alpha": check_reliability,
    **dict.fromkeys(("predictors", "items"), check_whole),
    **dict.fromkeys(("r_squared", "auc", "ties", "both_share"), check_share),
}
# the same for arguments of conversions, whose sizes may be effective ones
OF_ARGUMENTS: Mapping[str, Check] = {
    "p_value": check_p_value,
    **dict.fromkeys(("sd", "se", "sd_1", "sd_2"), check_not_negative),
    **dict.fromkeys(("correlation", "correlations", "phi"), check_correlation),
    "f": check_square,
    "n": check_effective_size,
    **dict.fromkeys(("risk", "proportion", "probability", "share"), check_share),
    **dict.fromkeys(("sensitivity", "specificity"), check_share),
    **dict.fromkeys(("positive_predictive_value", "negative_predictive_value"), check_share),
    **dict.fromkeys(("time", "rate", "tau2", "v", "odds_ratio", "risk_ratio"), check_at_least_zero),
    "level": check_levels,
}


def check_inputs(inputs: Mapping[str, Array], rows: Sequence[str]) -> None:
    """Check each input by the kind of quantity its name says it is, then events against group sizes.

    The error of the first kind of fault found names all rows with this fault.

    Examples
    --------
    >>> check_inputs({"treatment_sd": np.array([1.0, -2.0])}, ["row 1", "row 2"])
    Traceback (most recent call last):
        ...
    metaexo.errors.NegativeSDError: treatment_sd is negative; needed: ... Where: row 2: -2. What to do: ...
    """
    for name, values in inputs.items():
        check_finite(name, values, rows)
        check = OF_INPUTS.get(name, OF_INPUTS.get(name.rsplit("_", 1)[-1]))
        if check is not None:
            check(name, values, rows)
    for prefix in ("treatment_", "control_", "first_", "second_", ""):
        events, n = inputs.get(f"{prefix}events"), inputs.get(f"{prefix}n", inputs.get("n"))
        if events is not None and n is not None:
            check_events_within(f"{prefix}events", events, n, rows)
    if "direction" in inputs:
        for name in [name for name in ("p_value", "f") if name in inputs]:
            differs = inputs[name] < 1 if name == "p_value" else inputs[name] > 0
            check_direction(inputs["direction"], name, differs, rows)


def check_direction(direction: Array, name: str, differs: Mask, rows: Sequence[str]) -> None:
    """Raise InputError if the direction is 0 where a statistic says that the groups differ.

    `differs` says where the statistic called `name` finds a difference.
    """
    wrong = (direction == 0) & differs
    if wrong.any():
        raise InputError(
            f"direction is 0 where {name} says that there is a difference",
            "a positive number where the treatment mean is the higher, a negative one where it is the lower",
            "look at the means or the text of these studies; leave the cell empty if neither says it",
            [rows[i] for i in np.flatnonzero(wrong).tolist()],
        )


def check_events_within(name: str, events: Array, n: Array, rows: Sequence[str]) -> None:
    """Raise EventsError if there are more events than members of the group."""
    remedy = "count people with an event, not events; for events per person-time use the measure IRR"
    refuse(
        EventsError,
        name,
        events,
        events > n,
        rows,
        "is above the size of its group",
        "at most n events",
        remedy,
    )


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
    refuse(StandardErrorError, name, se, wrong, rows, "is larger than its SD", "SE = SD / sqrt(n)", remedy)


STUDY_NAMES = ("study", "studies", "studyid", "studyname", "studyno", "studynumber", "studylabel", "paper")


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
    number) comes back as NaN or infinite, without a warning. A docstring without Raises gets what is refused.
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
        bound = bound_call(function, signature, args, kwargs)
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
        if "f" in arrays and "direction" in arrays:
            signs(arrays["direction"], "f", arrays["f"] > 0)
        with np.errstate(all="ignore"):
            return function(*bound.args, **bound.kwargs)

    arrays_of = (name for name, kind in kinds.items() if kind.startswith("ArrayLike"))
    reading.__doc__ = _with_raises(inspect.getdoc(function) or "", arrays_of)
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


def _check_of(name: str) -> Check | None:
    """Return what an argument of a conversion is checked for, by its name or the last word of it."""
    return OF_ARGUMENTS.get(name, OF_ARGUMENTS.get(name.rsplit("_", 1)[-1]))


def _with_raises(words: str, names: Iterable[str]) -> str:
    """Return a docstring with what is refused in its arguments, if it has no such section of its own."""
    names_of: dict[Check, list[str]] = {}
    for name in names:
        check = _check_of(name)
        if check is not None:
            names_of.setdefault(check, []).append(f"`{name}`")
    if not names_of or "\nReturns\n" not in words or "\nRaises\n" in words:
        return words
    rows = [
        f"{check.error.__name__}\n    If {' or '.join(given)} {check.what}."
        for check, given in names_of.items()
    ]
    after = re.search(r"\n\n(Warns|See Also|References|Examples)\n-", words)
    at = after.start() if after else len(words)
    section = "\n".join(["Raises", "------", *rows])
    return f"{words[:at]}\n\n{section}{words[at:]}"


def possible(name: str, values: Array, check: Check | None = None) -> Array:
    """Return the values; refuse those that fail a check, by default that of a quantity of this name."""
    check = check or _check_of(name)
    if check is not None:
        check(name, values.ravel(), _Entries(values.size))
    return values


def numbers(values: ArrayLike) -> Array:
    """Return values as an array of numbers."""
    return np.asarray(values, dtype=float)


def signs(direction: ArrayLike, name: str, differs: Mask) -> Array:
    """Return 1 or -1 for the direction of an effect; refuse 0 where a statistic says that groups differ."""
    given, there = np.broadcast_arrays(numbers(direction), differs)
    check_direction(given.ravel(), name, there.ravel(), _Entries(given.size))
    return np.sign(numbers(direction))


def read_table_of(data: object, name: str = "data") -> pd.DataFrame | None:
    """Return a data frame (or nothing), which a mapping of columns is too; refuse anything else.

    A data frame with two columns of one name is refused as well.
    """
    if data is None:
        return None
    import pandas as pd

    if isinstance(data, Mapping):
        columns = {str(column): read_entries(values, str(column)) for column, values in data.items()}
        lengths = {column: len(values) for column, values in columns.items()}
        if len(set(lengths.values())) > 1:
            each = ", ".join(f"{column} has {length}" for column, length in lengths.items())
            raise ShapeError(f"the columns of {name} differ in length: {each}", "one entry per row in each")
        check_aligned(**{str(column): values for column, values in data.items()})
        return pd.DataFrame(dict(data))
    if isinstance(data, pd.DataFrame):
        twice = [str(column) for column in data.columns[data.columns.duplicated()]]
        if twice:
            raise InputError(
                f"{name} has several columns named {', '.join(map(repr, dict.fromkeys(twice)))}",
                "columns with names of their own",
                f"rename them: {name}.columns = [...]",
            )
        return data
    if isinstance(data, str):
        remedy = f'read the file first: {reading(data)}, or mx.read_table({data!r}).effects("SMD")'
        found = f"the text {data!r}"
    else:
        found, remedy = describe(data), f"make one: {_as_pandas(data, name)}"
        if hasattr(data, "to_pandas"):
            found = f"a {type(data).__name__} of {type(data).__module__.partition('.')[0]}"
    raise InputError(f"{name} is {found}", "a pandas.DataFrame with one row per effect", remedy)


def _as_pandas(data: object, name: str = "data") -> str:
    """Return how something else is made a data frame of pandas, as it is written."""
    if hasattr(data, "to_pandas"):  # polars, pyarrow
        return f"{name}.to_pandas()"
    if getattr(data, "ndim", 0) == 2:
        words = ", ".join(f'"column {i + 1}"' for i in range(min(data.shape[1], 3)))  # type: ignore[attr-defined]
        return f"pandas.DataFrame({name}, columns=[{words}{', ...' if data.shape[1] > 3 else ''}])"  # type: ignore[attr-defined]
    return f"pandas.DataFrame({name})"


def reading(path: str) -> str:
    """Return how a file is read as a table, in words for a remedy."""
    excel = path.casefold().endswith((".xlsx", ".xlsm", ".xls"))
    return f"data = pandas.{'read_excel' if excel else 'read_csv'}({path!r})"


def is_file_name(text: str) -> bool:
    """Say whether a text ends as the name of a table in a file does."""
    return text.casefold().endswith((".csv", ".xlsx", ".xlsm", ".xls", ".tsv", ".txt"))


def look_up(data: pd.DataFrame | None, name: str, values: Any) -> Any:
    """Return the column of `data` if `values` is its name; anything but a text is returned as it is."""
    if not isinstance(values, str):
        return values
    if data is None:
        needed = "a list with one entry per row, or the name of a column together with data="
        if is_file_name(values):
            file = f"{name} is the text {values!r}, which looks like the name of a file"
            raise InputError(file, needed, f"read the file first: {reading(values)}")
        raise InputError(
            f"{name} is the text {values!r}",
            needed,
            f"hand in the table too: data=d, or the column itself: {name}=d[{values!r}]",
        )
    by_name = {str(column): column for column in data.columns}
    if values not in by_name:
        raise UnknownChoiceError("column", values, by_name)
    return data[by_name[values]]


def read_variances(v: object, se: object, ndim: int = 1) -> Array:
    """Return sampling variances, from standard errors if these were given."""
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


def refuse_zero_variances(row_ids: Sequence[str], v: Array) -> None:
    """Refuse sampling variances of zero, for methods that divide by them.

    Raises
    ------
    InputError
        If there is one; it names the rows.
    """
    if (v == 0).any():
        raise InputError(
            "some sampling variances are zero",
            "sampling variances above 0",
            "look at these rows in the source; leave them out with the method select of the effects",
            [row_ids[i] for i in np.flatnonzero(v == 0).tolist()],
        )


def index_of(*given: object) -> pd.Index[Any] | None:
    """Return the index of the first pandas object, or None."""
    indexes = (getattr(values, "index", None) for values in given)
    return next((index for index in indexes if index is not None and not callable(index)), None)


def check_kind(name: str, given: object, *kinds: type) -> None:
    """Refuse anything but an object of some kinds."""
    if not isinstance(given, kinds):
        needed = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{name} is a {type(given).__name__}, not {needed}", needed)


def read_names(names: object, what: str) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
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

    `row_name` goes from a position to what the row is called in messages. Studies that differ by blanks or
    capitals alone count as several, with an UnclearLevelWarning.
    """
    if all(study):
        alike = alike_words(study)
        if alike:
            warn_caller(
                f"studies differ by blanks or capitals alone and count as several: "
                f"{', '.join(map(repr, alike[:8]))}; write them alike if they are one",
                UnclearLevelWarning,
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
    """Return "study" if `data` has this column; warn of another one that looks like it."""
    names = {str(column): column for column in data.columns}
    if "study" in names:
        return "study"
    for name, column in names.items():
        if "".join(filter(str.isalnum, name)).casefold() in STUDY_NAMES and data[column].duplicated().any():
            warn_caller(
                f"data has a column {name!r} that names some studies several times, and study is not given: "
                f"every effect counts as a separate study; study={name!r} takes this column",
                UnusedStudyColumnWarning,
            )
            return None
    return None
