"""Exceptions and warnings of metaexo, each its own class.

Every error says four things: what was given, what is needed, which rows it concerns, and what to do.
Every warning is a class of its own, so that one kind can be silenced or turned into an error alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(frozen=True, slots=True)
class SheetProblem:
    """One thing that is wrong, or looks wrong, in one place of a sheet.

    Attributes
    ----------
    kind : type
        Class of the error or the warning.
    what : str
        What was found, in words.
    allowed : str
        What is allowed.
    remedy : str
        What to do.
    file : str
        Name of the sheet.
    line : int or None
        Line in the file; the header is line 1.
    study : str
        Study of the row; empty if not known.
    column : str
        Column concerned.
    value : str
        What stands there.
    nearest : str or None
        The nearest allowed word, if there is one.
    """

    kind: type[MetaexoError] | type[Warning]
    what: str
    allowed: str
    remedy: str
    file: str
    line: int | None = None
    study: str = ""
    column: str = ""
    value: str = ""
    nearest: str | None = None

    @property
    def where(self) -> str:
        """The place in words: file, line, study and column."""
        parts = [f"{self.file} line {self.line}" if self.line is not None else self.file]
        parts += [f"study {self.study}"] if self.study else []
        parts += [f"column {self.column}"] if self.column else []
        return ", ".join(parts)

    def __str__(self) -> str:
        nearest = f" (nearest: {self.nearest!r})" if self.nearest else ""
        return (
            f"{self.where}: {self.what}. Allowed: {self.allowed}{nearest}. What to do: {self.remedy}. "
            f"[{self.kind.__name__}]"
        )

    def error(self) -> MetaexoError:
        """Return the error of this problem, ready to be raised."""
        kind = self.kind if issubclass(self.kind, MetaexoError) else SheetError
        return kind(self.what, self.allowed, self.remedy, self.where)


class SheetErrors(ExceptionGroup[MetaexoError], MetaexoError, ValueError):
    """All problems of a folder of sheets at once; `except*` picks out one kind.

    Parameters
    ----------
    folder : str
        The folder.
    problems : sequence of SheetProblem
        What is wrong, in the order of the sheets.

    Attributes
    ----------
    problems : tuple of SheetProblem
        The same, as records.
    """

    problems: tuple[SheetProblem, ...]

    def __new__(cls, folder: str, problems: Sequence[SheetProblem]) -> SheetErrors:
        """Make the group; each problem becomes one error of its own class."""
        self = super().__new__(cls, folder, [problem.error() for problem in problems])
        self.problems = tuple(problems)
        return self

    def __init__(self, folder: str, problems: Sequence[SheetProblem]) -> None:
        Exception.__init__(self, folder, problems)

    def __str__(self) -> str:
        n = len(self.problems)
        lines = [f"{n} {'problem' if n == 1 else 'problems'} in the sheets of {self.message}:"]
        lines += [f"{i:>4}. {problem}" for i, problem in enumerate(self.problems, 1)]
        return "\n".join(lines)

    def derive(self, excs: Sequence[Any]) -> ExceptionGroup[Any]:
        """Return a plain group; used by `except*` and `split`."""
        return ExceptionGroup(self.message, list(excs))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a problem: place, value, what is wrong, what is allowed, remedy, kind."""
        return problems_frame(self.problems)


def problems_frame(problems: Iterable[SheetProblem]) -> pd.DataFrame:
    """Return problems as a table, one row each."""
    import pandas as pd

    names = ["file", "line", "study", "column", "value", "what", "allowed", "nearest", "remedy"]
    rows = [[*(getattr(problem, name) for name in names), problem.kind.__name__] for problem in problems]
    return pd.DataFrame(rows, columns=[*names, "kind"])


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
