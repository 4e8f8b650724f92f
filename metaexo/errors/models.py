"""Errors of models: designs that cannot be fitted, data that say too little, iterations that fail."""

from __future__ import annotations

from collections.abc import Sequence

from metaexo.errors.base import InputError, MetaexoError


class CollinearError(InputError):
    """Columns of the design matrix that are linear combinations of others."""


class FormulaError(InputError):
    """A formula that holds more than columns, operators and the known functions.

    Parameters
    ----------
    token : str
        The part of the formula that cannot be read.
    formula : str
        The whole formula.
    needed : str
        What may stand there.
    """

    def __init__(self, token: str, formula: str, needed: str, remedy: str = "") -> None:
        self.token = token
        self.formula = formula
        super().__init__(f"{token!r} in the formula {formula!r} cannot be used", needed, remedy)


class EmptyLevelError(InputError):
    """A factor with a single level: it can explain nothing."""


class NotNestedError(InputError):
    """Two fits of which neither holds the other as a special case, or fits of different data."""


class MixedRepetitionError(InputError):
    """Spreads of readings, preparations, batches or laboratories, in one model or not told apart."""


class TooFewStudiesError(MetaexoError, ValueError):
    """The data hold too few studies for what was asked."""


class NotIdentifiableError(MetaexoError, ValueError):
    """The data cannot tell the quantity that was asked for, however long one computes."""


class NoMaximumError(MetaexoError, ValueError):
    """A likelihood that increases without bound: no estimate has the highest one."""


class ConvergenceError(MetaexoError, RuntimeError):
    """An iteration ended without a certificate of its solution."""


class ScaleConvergenceError(ConvergenceError):
    """A location-scale model whose likelihood was not maximised with a certificate.

    Parameters
    ----------
    log : sequence of str
        One line a start of the optimisation: where it began, where it ended, and why it was not accepted.
    """

    def __init__(self, given: str, needed: str, remedy: str, log: Sequence[str]) -> None:
        self.log = tuple(log)
        super().__init__(given, needed, remedy, log)
