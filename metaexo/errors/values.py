"""Errors of single values and of the inputs of a measure."""

from __future__ import annotations

from metaexo.errors.base import InputError


class NegativeSDError(InputError):
    """A standard deviation or a standard error below zero."""


class SampleSizeError(InputError):
    """A sample size that is not a whole number of at least one."""


class EventsError(InputError):
    """A number of events below zero, not whole, or above the size of its group."""


class TimeError(InputError):
    """A person-time that is not above zero."""


class PValueError(InputError):
    """A p-value outside 0 to 1."""


class CorrelationError(InputError):
    """A correlation outside -1 to 1."""


class ProportionError(InputError):
    """A proportion outside 0 to 1."""


class IntervalError(InputError):
    """A confidence interval whose ends stand the wrong way round, or that does not hold its estimate."""


class StandardErrorError(InputError):
    """A standard error larger than the standard deviation of the same sample."""


class MissingInputError(InputError):
    """An input that the measure needs was not given."""
