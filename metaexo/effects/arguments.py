"""Arguments of the conversions: read as arrays of numbers, and refused where a value is impossible.

A missing value (NaN) passes: what is not reported cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import Array, check_correlation, check_not_negative, check_p_value
from metaexo.errors import InputError, SampleSizeError

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


def signs(direction: ArrayLike) -> NDArray[np.float64]:
    """Return 1, -1, 0 for the direction of an effect."""
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
