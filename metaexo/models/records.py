"""Small records that a fit hands out."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Pooled:
    """The pooled effect of a fit without moderators, on the scale of the analysis.

    Attributes
    ----------
    estimate, se, low, high : float
        The mean effect, its standard error and its confidence interval.
    prediction_low, prediction_high : float or None
        Interval for the true effect of a new study; None for the equal-effects model, which knows of no
        difference between studies.
    level : float
        Level of both intervals.
    """

    estimate: float
    se: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    level: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the estimation of tau2 can vouch for.

    Attributes
    ----------
    at_boundary : bool
        Whether tau2 is 0 because no positive value fits better.
    score, curvature : float
        First and second derivative of the criterion with respect to log tau2 at the solution (at the boundary
        the first with respect to tau2 over the typical variance, and no second); NaN for closed forms.
    iterations : int
        Evaluations after the scan; 0 for closed forms.
    maxima : int
        Local maxima of the criterion, the boundary included.
    proved : bool
        Whether it was shown that the criterion has no other maximum.
    """

    at_boundary: bool
    score: float
    curvature: float
    iterations: int
    maxima: int
    proved: bool
