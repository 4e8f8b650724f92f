"""Records that nobody can write to."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind")


class Immutable:
    """A record whose arrays cannot be written to, after copying and unpickling too."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for part in getattr(self, "__dict__", {}).values():
            lock(part)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for part in state.values():
            lock(part)


# Every fit locks its parts: what holds no array is passed over at once.
_PLAIN = frozenset({float, int, str, bool, type(None), np.float64, np.bool_})


_FIELDS: dict[type, tuple[str, ...]] = {}


def _fields_to_lock(kind: type) -> tuple[str, ...]:
    """Return the fields of a plain record; sets of effects and immutable records lock themselves."""
    own = issubclass(kind, Immutable) or kind.__module__.startswith("metaexo.effects")
    return () if own else tuple(getattr(kind, "__dataclass_fields__", ()))


def lock(value: Kind) -> Kind:
    """Make all arrays in a value read-only, those inside tuples, dicts and plain records too; return it."""
    kind: type[Any] = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple | list):
        for part in value:
            lock(part)
    elif isinstance(value, dict):
        for part in value.values():
            lock(part)
    else:
        if kind not in _FIELDS:
            _FIELDS[kind] = _fields_to_lock(kind)
        for name in _FIELDS[kind]:
            lock(getattr(value, name))
    return value
