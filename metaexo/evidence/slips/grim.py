"""Means and SDs that whole numbers cannot have: GRIM and GRIMMER."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import wraps
from inspect import signature
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.calls import bound as bound_call
from metaexo.errors import InputError, ShapeError
from metaexo.formatting import MINUS
from metaexo.inputs import check_level, check_number, read_entries, read_numbers
from metaexo.types import Mask

ROUNDING = 1e-9
MOST_PLACES = 15
MOST_SUMS = 1000
"""Above so many possible sums a mean of whole numbers rules out no SD in practice."""


P = ParamSpec("P")
R = TypeVar("R")
Kind = Literal["typed", "numbers", "column", "places", "flags", "words", "level", "positive"]


def door(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that reads what a check is handed, or refuses it by name."""

    def of(function: Callable[P, R]) -> Callable[P, R]:
        form = signature(function)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = bound_call(function, form, args, kwargs)
            for name, value in bound.arguments.items():
                bound.arguments[name] = _READERS[kinds[name]](value, name)
            shapes = {n: v.shape for n, v in bound.arguments.items() if isinstance(v, np.ndarray)}
            columns = {shape for name, shape in shapes.items() if kinds[name] in ("column", "words")}
            try:
                np.broadcast_shapes(*shapes.values())
                fits = len(columns) < 2
            except ValueError:
                fits = False
            if not fits:
                told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
                raise ShapeError(f"the shapes do not fit one another: {told}", "one entry per row")
            return function(*bound.args, **bound.kwargs)

        return checked

    return of


def _read_typed(values: Any, name: str) -> NDArray[Any]:
    """Return numbers as they are typed, each checked to be one, or to be missing."""
    if isinstance(values, np.ndarray) and values.ndim == 0:
        values = values.item()
    if type(values) is np.ndarray and values.dtype.kind in "fiu":
        return values
    if isinstance(values, np.ma.MaskedArray):
        return read_numbers(values, name)
    cells = np.asarray(values, dtype=object)
    if any(isinstance(cell, str) and MINUS in cell for cell in cells.ravel()):  # as papers print it
        plain = [cell.replace(MINUS, "-") if isinstance(cell, str) else cell for cell in cells.ravel()]
        values = cells = np.array(plain, dtype=object).reshape(cells.shape)
    read = read_numbers(values, name)
    if any(isinstance(cell, bool | np.bool_) for cell in cells.ravel()):
        raise InputError(f"{name} holds True or False", "numbers")
    found: NDArray[Any] = np.array(read, dtype=object)
    if cells.shape == read.shape:
        found[~np.isnan(read)] = cells[~np.isnan(read)]
    return found


def _read_places(values: Any, name: str) -> NDArray[np.float64] | None:
    if values is None:
        return None
    places = read_numbers(values, name)
    if not (
        np.isfinite(places) & (places >= 0) & (places == np.round(places)) & (places < MOST_PLACES)
    ).all():
        raise InputError(
            f"{name} holds something else than decimals", f"whole numbers from 0 to {MOST_PLACES}"
        )
    return places


def _read_flags(values: Any, name: str) -> NDArray[np.bool_]:
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths", "True or False in each row") from None
    if array.dtype != bool:
        raise InputError(f"{name} holds something else than True and False", "True or False in each row")
    return array


def _read_words(values: Any, name: str) -> NDArray[Any]:
    entries = [values] if isinstance(values, str) else read_entries(values, name)
    if not all(entry is None or isinstance(entry, str) for entry in entries):
        raise InputError(f"{name} holds something else than words", "a word in each row")
    found = np.empty(len(entries), dtype=object)
    found[:] = ["" if entry is None else entry for entry in entries]
    return found


def _read_positive(value: Any, name: str) -> float:
    number = check_number(name, value)
    if not 0 < number < math.inf:
        raise InputError(f"{name} is {number:g}", "a number above 0")
    return number


_READERS: Mapping[Kind, Callable[[Any, str], Any]] = {
    "typed": _read_typed,
    "numbers": read_numbers,
    "column": lambda value, name: read_numbers(value, name, ndim=1),
    "places": _read_places,
    "flags": _read_flags,
    "words": _read_words,
    "level": check_level,
    "positive": _read_positive,
}


def decimals(number: object) -> int:
    """Return how many decimals a number is typed with; negative for a power of ten.

    Use it on the text of a cell: "12.50" has two decimals, the number 12.5 has one.

    Examples
    --------
    >>> decimals("12.50"), decimals("7"), decimals("1.2e3"), decimals(12.5)
    (2, 0, -2, 1)
    """
    text = number if isinstance(number, str) else f"{number!r}" if isinstance(number, float) else str(number)
    try:
        exponent = Decimal(text.strip().replace(MINUS, "-")).as_tuple().exponent
    except InvalidOperation as error:
        raise InputError(f"{number!r} is no number", "a number, or its text") from error
    if not isinstance(exponent, int):
        raise InputError(f"{number!r} is not finite", "a finite number, or its text")
    whole = isinstance(number, float) and text.endswith(".0")
    return 0 if whole else -exponent


@door(mean="typed", n="numbers", items="numbers", decimals="places")
def grim(mean: ArrayLike, n: ArrayLike, items: ArrayLike = 1, decimals: ArrayLike | None = None) -> Mask:
    """Return whether whole numbers of this sample size can have this mean (GRIM).

    Use it for means of counts, days, or scores in whole points. The sum of n whole numbers is a whole
    number, so the mean of n people with a score of `items` whole-number items is a multiple of
    1 / (n items). The test asks whether a multiple rounds to the mean as typed, whichever way halves were
    rounded. It is informative only where n items is below 10 to the power of the decimals.

    Parameters
    ----------
    mean : array_like of str or float
        Means; as text where trailing zeros count ("12.50").
    n : array_like
        Sample sizes.
    items : array_like
        Number of whole-number items whose average is the score of a person; 1 if the score is a whole number.
    decimals : array_like, optional
        Decimals of the means; read from the means if not given.

    Returns
    -------
    ndarray of bool
        True where the mean is possible, or where mean, n or items are missing.

    References
    ----------
    Brown & Heathers (2017), Social Psychological and Personality Science 8, 363-369,
    doi:10.1177/1948550616673876.

    Examples
    --------
    >>> grim(["20.92", "20.95"], 12)
    array([ True, False])
    """
    numbers, places = typed(mean, decimals)
    numbers, places, size, parts = np.broadcast_arrays(numbers, places, _floats(n), _floats(items))
    low, high = _possible_sums(numbers, places, size * parts)
    known = np.isfinite(numbers) & np.isfinite(size) & np.isfinite(parts)
    return np.asarray(~known | (low <= high))


@door(mean="typed", sd="typed", n="numbers", items="numbers", decimals="places", sd_decimals="places")
def grimmer(
    mean: ArrayLike,
    sd: ArrayLike,
    n: ArrayLike,
    items: ArrayLike = 1,
    decimals: ArrayLike | None = None,
    sd_decimals: ArrayLike | None = None,
) -> Mask:
    """Return whether whole numbers of this sample size and mean can have this standard deviation (GRIMMER).

    Use it where :func:`grim` can be used. With X the whole numbers (a score times `items`), S their sum and
    Q the sum of their squares, SD^2 = (Q - S^2 / n) / ((n - 1) items^2), and

    - Q is a whole number,
    - Q is even if S is even and odd if S is odd, because x^2 and x are both even or both odd,
    - Q is at least that of the whole numbers nearest each other that have the sum S.

    The test asks whether some S that fits the mean and some such Q give an SD that rounds to the one typed.

    Parameters
    ----------
    mean, sd : array_like of str or float
        Means and standard deviations (divisor n - 1); as text where trailing zeros count.
    n : array_like
        Sample sizes.
    items : array_like
        As in :func:`grim`.
    decimals, sd_decimals : array_like, optional
        Decimals of means and SDs; read from them if not given.

    Returns
    -------
    ndarray of bool
        True where mean and SD are possible together, where one is missing, or where n is 1. The conditions
        are necessary: a possible SD is never called impossible.

    References
    ----------
    Anaya (2016), PeerJ Preprints 4, e2400v1, doi:10.7287/peerj.preprints.2400v1.

    Examples
    --------
    >>> grimmer("3.0", ["1.00", "1.05"], 5)
    array([ True, False])
    """
    means, places = typed(mean, decimals)
    sds, sd_places = typed(sd, sd_decimals)
    table = np.broadcast_arrays(means, places, sds, sd_places, _floats(n), _floats(items))
    flat = [column.ravel() for column in table]
    found = [_sd_is_possible(*(float(value) for value in row)) for row in zip(*flat, strict=True)]
    return np.array(found, dtype=bool).reshape(table[0].shape)


@door(median="typed", n="numbers", items="numbers")
def grim_median(median: ArrayLike, n: ArrayLike, items: ArrayLike = 1) -> Mask:
    """Return whether whole numbers of this sample size can have this median.

    Use it beside :func:`grim`. With an odd n the median is one of the scores, a multiple of 1 / items; with
    an even n it is the mean of two, a multiple of 1 / (2 items). Rounding is allowed for.

    Parameters
    ----------
    median : array_like of str or float
        Medians; as text where trailing zeros count.
    n, items : array_like
        As in :func:`grim`.

    Returns
    -------
    ndarray of bool
        True where the median is possible, or where a number is missing.

    Examples
    --------
    >>> grim_median(["10.5", "10.5"], [32, 33])
    array([ True, False])
    """
    size = _floats(n)
    with np.errstate(invalid="ignore"):
        middle = np.where(size % 2 == 1, 1.0, 2.0)
    return grim(median, np.where(np.isfinite(size), middle, np.nan), items)


def nearest_means(mean: float, n: float, items: float = 1) -> tuple[float, float]:
    """Return the nearest means, below and above, that whole numbers of this sample size can have.

    Examples
    --------
    >>> nearest_means(3.45, 10)
    (3.4, 3.5)
    """
    steps = n * items
    return math.floor(mean * steps) / steps, math.ceil(mean * steps) / steps


def typed(numbers: ArrayLike, given: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numbers as floats, and the decimals that they are typed with (or those given).

    Examples
    --------
    >>> typed(["1.50", ""], None)
    (array([1.5, nan]), array([2., 0.]))
    """
    cells = np.asarray(numbers, dtype=object)
    missing = np.array([_is_missing(cell) for cell in cells.ravel()], dtype=bool).reshape(cells.shape)
    values = np.array(
        [
            math.nan if gap else float(str(cell).replace(MINUS, "-"))
            for cell, gap in zip(cells.ravel(), missing.ravel(), strict=True)
        ],
        dtype=float,
    ).reshape(cells.shape)
    if given is not None:
        places = _floats(given)
        try:
            return values, np.broadcast_to(places, values.shape)
        except ValueError:
            told = f"numbers of shape {values.shape} and decimals of shape {places.shape}"
            raise ShapeError(told, "one entry per number") from None
    count = [
        0 if gap else decimals(_plain(cell)) for cell, gap in zip(cells.ravel(), missing.ravel(), strict=True)
    ]
    return values, np.array(count, dtype=float).reshape(cells.shape)


def _plain(cell: object) -> object:
    """Return numpy's numbers as Python's, whose text has no type in it."""
    return cell.item() if isinstance(cell, np.generic) else cell


def _is_missing(cell: object) -> bool:
    return cell is None or cell == "" or cell != cell


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float)


def _possible_sums(
    mean: NDArray[np.float64], places: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first and last whole number that, over `steps`, rounds to the mean; first > last: none."""
    half = 0.5 * 10.0**-places
    with np.errstate(invalid="ignore"):
        slack = ROUNDING * (1 + np.abs(mean * steps))
        return np.ceil((mean - half) * steps - slack), np.floor((mean + half) * steps + slack)


def _sd_is_possible(mean: float, places: float, sd: float, sd_places: float, n: float, items: float) -> bool:
    """Say whether some sum and some sum of squares fit one row."""
    if not all(map(math.isfinite, (mean, sd, n, items))) or n <= 1:
        return True
    low, high = (float(end) for end in _possible_sums(*(np.asarray(x) for x in (mean, places, n * items))))
    if high - low > MOST_SUMS:
        return True
    half = 0.5 * 10.0**-sd_places
    scale = (n - 1) * items**2
    ends = scale * max(sd - half, 0.0) ** 2, scale * (sd + half) ** 2
    return any(_square_fits(total, ends, n) for total in range(int(low), int(high) + 1))


def _square_fits(total: int, ends: tuple[float, float], n: float) -> bool:
    """Say whether n whole numbers with this sum can have a sum of squared deviations between `ends`."""
    size = round(n)
    each, more = divmod(total, size)
    least = size * each**2 + 2 * each * more + more
    centre = total**2 / size
    slack = ROUNDING * (1 + centre + ends[1])
    first = max(least, math.ceil(ends[0] + centre - slack))
    first += (first - total) % 2
    return first <= ends[1] + centre + slack
