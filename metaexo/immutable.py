"""Records that nobody can write to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind")
Scalar = TypeVar("Scalar", bound=np.generic)

# Every fit makes its parts immutable: what holds no array is passed over at once.
_PLAIN = frozenset({float, int, str, bool, type(None), np.float64, np.bool_})
MANY = 16
_FIELDS: dict[type, tuple[str, ...]] = {}
_TO_LOCK: dict[type, tuple[str, ...]] = {}


class ByContents:
    """Base of dataclasses with `eq=False` that are equal if all that they hold is."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return same(_held(self), _held(other)) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *(x for x in _held(self).values() if isinstance(x, str | int | None))))


def _held(record: Any) -> dict[str, Any]:
    """Return what a record is compared by."""
    return {field.name: getattr(record, field.name) for field in fields(record) if field.compare}


def same(one: Any, other: Any) -> bool:
    """Say whether two values are equal, arrays and tables inside them too; NaN is equal to NaN.

    Examples
    --------
    >>> same({"y": np.array([1.0, np.nan])}, {"y": np.array([1.0, np.nan])})
    True
    """
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if type(one) is not type(other):
        return isinstance(one, int | float) and isinstance(other, int | float) and one == other
    if isinstance(one, np.ndarray):
        if one.dtype.kind in "fc" and one.dtype == other.dtype:
            return bool(np.array_equal(one, other, equal_nan=True))
        return one.shape == other.shape and same(one.tolist(), other.tolist())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    if hasattr(one, "equals"):  # a table or a column of pandas
        return bool(one.equals(other))
    if hasattr(one, "tocoo"):  # a sparse matrix of scipy
        parts = [(x.shape, x.row, x.col, x.data) for x in (one.tocoo(), other.tocoo())]
        return same(*parts)
    if isinstance(one, partial):
        return same((one.func, one.args, one.keywords), (other.func, other.args, other.keywords))
    if is_dataclass(one):
        return same(_held(one), _held(other))
    comparison: Any = type(one).__eq__
    plain = comparison is object.__eq__ and hasattr(one, "__dict__") and not callable(one)
    return same(vars(one), vars(other)) if plain else bool(one == other)


class Immutable(ByContents):
    """Base of frozen dataclasses whose arrays are read-only, after copying and unpickling too.

    Arrays among the fields are copied unless they are read-only already; a mapping becomes a read-only one.
    Arrays deeper down (in tuples and in plain records), which fits made themselves, are locked in place.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        kind = type(self)
        if kind not in _FIELDS:
            _FIELDS[kind] = tuple(field.name for field in fields(self))  # type: ignore[arg-type]
        for name in _FIELDS[kind]:
            value = getattr(self, name)
            if type(value) in _PLAIN:
                continue
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, frozen(value))
            elif isinstance(value, Mapping):
                held = {key: frozen(x) if isinstance(x, np.ndarray) else lock(x) for key, x in value.items()}
                object.__setattr__(self, name, MappingProxyType(held))
            else:
                lock(value)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        plain = {name: dict(x) if isinstance(x, MappingProxyType) else x for name, x in values.items()}
        return _remade, (type(self), plain)


def _remade(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """Return a record from its fields."""
    return kind(**values)


def frozen(values: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return a read-only copy of an array; an array that is read-only and no view is returned as it is."""
    if type(values) is np.ndarray and not values.flags.writeable and values.flags.owndata:
        return values
    copy = np.array(values)
    copy.flags.writeable = False
    return copy


def lock(value: Kind) -> Kind:
    """Make all arrays in a value read-only, those inside tuples, dicts and plain records too; return it."""
    kind: type[Any] = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple | list):
        _lock_all(value)
    elif isinstance(value, dict):
        _lock_all(list(value.values()))
    else:
        names = _TO_LOCK.get(kind)
        for name in _fields_to_lock(kind) if names is None else names:
            part = getattr(value, name)
            if type(part) not in _PLAIN:
                lock(part)
    return value


def _lock_all(values: Sequence[Any]) -> None:
    """Lock the entries that may hold an array; a million labels are passed over by their kind."""
    if len(values) > MANY and not any(map(_may_hold_an_array, set(map(type, values)) - _PLAIN)):
        return
    for value in values:
        if type(value) not in _PLAIN:
            lock(value)


def _may_hold_an_array(kind: type) -> bool:
    return issubclass(kind, np.ndarray | tuple | list | dict) or bool(_fields_to_lock(kind))


def _fields_to_lock(kind: type) -> tuple[str, ...]:
    """Return the fields of a plain record; sets of effects and immutable records lock themselves."""
    own = issubclass(kind, Immutable) or kind.__module__.startswith("metaexo.effects")
    _TO_LOCK[kind] = () if own else tuple(getattr(kind, "__dataclass_fields__", ()))
    return _TO_LOCK[kind]
