"""Arguments of effects and conversions: read as numbers or words, refused where a value is impossible.

A missing value (NaN) passes: what is not reported cannot be wrong.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.check import check_correlation, check_direction, check_not_negative, check_p_value
from metaexo.errors import (
    InputError,
    ProportionError,
    SampleSizeError,
    ShapeError,
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
                arrays[name] = given[name] = _possible(name, read_numbers(value, name))
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


def _possible(name: str, values: Array) -> Array:
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
