"""Exceptions and warnings of metaexo, each its own class.

Every error says four things: what was given, what is needed, which rows it concerns, and what to do.
Every warning is a class of its own, so that one kind can be silenced or turned into an error alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class MetaexoError(Exception):
    """Base of all errors raised by metaexo.

    Parameters
    ----------
    given : str
        What was given, in words.
    needed : str
        What is needed instead.
    remedy : str, optional
        What the reader can do about it.
    rows : str or sequence of str, optional
        The rows concerned, already in words ("outcomes.csv line 12, study kwon2020").
    """

    def __init__(self, given: str, needed: str, remedy: str = "", rows: str | Sequence[str] = ()) -> None:
        self.given = given
        self.needed = needed
        self.remedy = remedy
        self.rows: tuple[str, ...] = (rows,) if isinstance(rows, str) else tuple(rows)
        super().__init__(given, needed, remedy, self.rows)

    def __str__(self) -> str:
        parts = [f"{self.given}; needed: {self.needed}."]
        if self.rows:
            parts.append(f"Where: {_shorten(self.rows)}.")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}.")
        return " ".join(parts)


class InputError(MetaexoError, ValueError):
    """A value handed in cannot be used."""


class ShapeError(InputError):
    """Arrays that belong together differ in length or dimension."""


class UnknownChoiceError(InputError):
    """A word that is not one of the allowed words; the nearest allowed word is named.

    Parameters
    ----------
    what : str
        What was being chosen, for example "measure".
    word : object
        The word that was given.
    allowed : iterable of str
        All allowed words.
    """

    def __init__(
        self, what: str, word: object, allowed: Iterable[str], rows: str | Sequence[str] = ()
    ) -> None:
        self.what = what
        self.word = word
        self.allowed = tuple(allowed)
        self.nearest = nearest_word(str(word), self.allowed)
        remedy = f"write {self.nearest!r} if that is what was meant" if self.nearest else ""
        super().__init__(
            f"{what} {word!r} is not known",
            "one of " + ", ".join(repr(name) for name in self.allowed),
            remedy,
            rows,
        )


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
    """A level of a factor that no row has."""


class NotNestedError(InputError):
    """Two fits of which neither holds the other as a special case, or fits of different data."""


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


class TooFewStudiesError(MetaexoError, ValueError):
    """The data hold too few studies for what was asked."""


class NotIdentifiableError(MetaexoError, ValueError):
    """The data cannot tell the quantity that was asked for, however long one computes."""


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


class SheetError(InputError):
    """A sheet of evidence that cannot be read as it is."""


class MissingSheetError(SheetError):
    """A sheet that is needed is not in the folder."""


class EmptySheetError(SheetError):
    """A sheet without a single row."""


class EncodingError(SheetError):
    """A file that is not UTF-8."""


class SeparatorError(SheetError):
    """A sheet whose cells are not separated by commas, or whose quotes do not close."""


class RowLengthError(SheetError):
    """A row with more or fewer cells than the header."""


class UnknownColumnError(SheetError):
    """A column that looks like a misspelt one, or has a name that metaexo gives to a column of its own."""


class MissingColumnError(SheetError):
    """A column that every sheet of its kind needs is not there."""


class DuplicateColumnError(SheetError):
    """Two columns with one name."""


class MissingCellError(SheetError):
    """An empty cell where a value is needed."""


class NotANumberError(SheetError):
    """Words, or a number in another notation, in a column of numbers."""


class OutOfRangeError(SheetError):
    """A number beyond the limits of its column."""


class UnknownWordError(SheetError):
    """A word that is not one of the words of its column."""


class FormError(SheetError):
    """Text that does not have the form of its column, such as a DOI."""


class DuplicateStudyError(SheetError):
    """Two rows of one study in a sheet that has one row a study."""


class DuplicateRowError(SheetError):
    """The same result entered twice."""


class UnknownStudyError(SheetError):
    """A row whose study is not in the sheet of studies."""


class MetaexoWarning(UserWarning):
    """Base of all warnings issued by metaexo."""


class RowsLeftOutWarning(MetaexoWarning):
    """Rows did not take part; the ledger of the result names each with its reason."""


class AssumptionWarning(MetaexoWarning):
    """A value that the data do not hold was assumed, for example a correlation."""


class DependentEffectsWarning(MetaexoWarning):
    """Several effects of one study enter a model that takes them as independent."""


class SingleStudyStratumWarning(MetaexoWarning):
    """A stratum holds one study; it takes no part in a between-study variance."""


class FewStudiesWarning(MetaexoWarning):
    """So few studies that the quantity rests on very little."""


class MixedContrastsWarning(MetaexoWarning):
    """Results with and without a control stand in one set of effects."""


class RedundantColumnsWarning(MetaexoWarning):
    """Columns that add nothing to those before them were dropped, because that was asked for."""


class NearlyCollinearWarning(MetaexoWarning):
    """A column that is almost a linear combination of others: its coefficient rests on rounding."""


class ScaleBoundaryWarning(MetaexoWarning):
    """A between-study variance of a location-scale model is zero in some rows: its model has no finite fit."""


class IncomparableFitsWarning(MetaexoWarning):
    """Fits side by side whose likelihoods cannot be compared."""


class VarianceRatioWarning(MetaexoWarning):
    """Sampling variances so different in size that one row rules the result."""


class SheetWarning(MetaexoWarning):
    """Something in a sheet that is possible but looks wrong."""


class OneArmWarning(SheetWarning):
    """A comparison of which only one arm has numbers."""


class ZeroSDWarning(SheetWarning):
    """A standard deviation or standard error of zero."""


class ZeroPValueWarning(SheetWarning):
    """A p-value of exactly zero, as programs print very small ones."""


class LargeDifferenceWarning(SheetWarning):
    """Means many standard deviations apart: a standard error may stand where an SD belongs."""


class SpreadMismatchWarning(SheetWarning):
    """A standard error that is not the standard deviation divided by the root of n."""


class UnknownOutcomeWarning(SheetWarning):
    """An outcome that looks like a misspelt word of the vocabulary."""


def nearest_word(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word most like `word` (case ignored), or None if none is near."""
    by_fold = {name.casefold(): name for name in allowed}
    found = difflib.get_close_matches(word.casefold().strip(), by_fold, n=1, cutoff=0.5)
    return by_fold[found[0]] if found else None


def _shorten(rows: Sequence[str], limit: int = 8) -> str:
    """Join row names, with the count of those not shown."""
    shown = "; ".join(rows[:limit])
    more = len(rows) - limit
    return f"{shown}; and {more} more" if more > 0 else shown
