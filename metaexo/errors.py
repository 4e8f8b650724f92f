"""Exceptions and warnings of metaexo, by what they are about.

Every error says four things: what was given, what is needed, which rows it concerns, and what to do.
Each kind of warning is a class, so that one kind can be silenced or turned into an error alone.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Failure = TypeVar("Failure", bound=BaseException)

MOST_SHOWN = 40
LONGEST = 80


# ----------------------------------------------------------------------------------------------------- Bases


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

    def __reduce__(self) -> tuple[Any, ...]:  # kinds of errors take other arguments than they keep
        return _remade, (type(self), self.args, vars(self))

    def __str__(self) -> str:
        parts = [f"{self.given}; needed: {self.needed}."]
        if self.rows:
            parts.append(f"Where: {_shorten(self.rows)}.")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}.")
        return " ".join(parts)


def _remade(kind: type[Failure], args: tuple[Any, ...], state: dict[str, Any]) -> Failure:
    """Return an exception as another process raised it."""
    made = kind.__new__(kind, *args)
    vars(made).update(state)
    return made


class MetaexoWarning(UserWarning):
    """Base of all warnings issued by metaexo."""


def _shorten(rows: Sequence[str], limit: int = 8) -> str:
    """Join row names, with the count of those not shown."""
    shown = "; ".join(rows[:limit])
    more = len(rows) - limit
    return f"{shown}; and {more} more" if more > 0 else shown


# -------------------------------------------------------------------------------- Errors: what was handed in


class InputError(MetaexoError, ValueError):
    """A value handed in cannot be used."""


class ShapeError(InputError):
    """Arrays that belong together differ in length or dimension."""


class MissingInputError(InputError):
    """An input that the measure needs was not given."""


class UnknownChoiceError(InputError):
    """A word that is not one of the allowed words; the nearest one is named, or all that it is a part of.

    Parameters
    ----------
    what : str
        What was being chosen, for example "measure".
    word : object
        The word that was given.
    allowed : iterable of str
        All allowed words.
    rows : str or sequence of str, optional
        The rows concerned.
    nearest : str, optional
        The allowed word that is most likely meant, if it is not the one that is spelt most alike.
    """

    def __init__(
        self,
        what: str,
        word: object,
        allowed: Iterable[str],
        rows: str | Sequence[str] = (),
        *,
        nearest: str | None = None,
    ) -> None:
        self.what = what
        self.word = word
        self.allowed = tuple(allowed)
        parts = [name for name in self.allowed if str(word).casefold() in name.casefold().split("_")[1:]]
        several = nearest is None and len(parts) > 1  # "se" may be treatment_se or control_se
        self.nearest = None if several else nearest or nearest_word(str(word), parts or self.allowed)
        meant = " or ".join(map(repr, parts)) if several else repr(self.nearest)
        remedy = f"write {meant} if that is what was meant" if several or self.nearest else ""
        remedy = remedy if self.allowed else f"leave the {what} out"
        shown = (*parts, *(name for name in self.allowed if name not in parts))
        if len(shown) > MOST_SHOWN:
            near = difflib.get_close_matches(str(word), shown, n=5, cutoff=0.4)
            first = [*([self.nearest] if self.nearest else []), *parts]
            shown = tuple(dict.fromkeys([*first, *near, *shown[:3]]))
        known = ", ".join(repr(name) for name in shown)
        if len(shown) < len(self.allowed):
            known += f" and {len(self.allowed) - len(shown)} others"
        needed = f"one of {known}" if known else f"nothing; there is no {what} to choose here"
        given = repr(word)
        if not isinstance(word, str) and (len(given) > LONGEST or "\n" in given):
            given = f"of type {type(word).__name__}"
        super().__init__(f"{what} {given} is not known", needed, remedy, rows)


class RowNumberError(InputError, IndexError):
    """A row beyond the last one."""


class CallError(InputError, TypeError):
    """A call with arguments that are not those of the function; the right one is named where it is known."""


class UnknownNameError(MetaexoError, AttributeError):
    """An attribute that an object or a module does not have; what is meant is named where it is known."""


def nearest_word(word: str, allowed: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the allowed word most like `word` (case ignored), or None if none is near.

    A word of three letters or more that only one allowed word begins with means that one; of words of two or
    three letters half have to agree.

    Examples
    --------
    >>> nearest_word("sorce", ["source", "isolation"]), nearest_word("iso", ["source", "isolation"])
    ('source', 'isolation')
    >>> nearest_word("9", ["08", "09"]), nearest_word("99", ["08", "09"]), nearest_word("ablat", ["latitude"])
    ('09', None, None)
    """
    by_fold = {name.casefold(): name for name in allowed}
    plain = word.casefold().strip()
    if plain.isdecimal():  # 9 is 09, and 99 is neither
        return next((by_fold[name] for name in by_fold if name.isdecimal() and int(name) == int(plain)), None)
    begun = [name for name in by_fold if len(plain) > 2 and name.startswith(plain)]
    if len(begun) == 1:
        return by_fold[begun[0]]
    swapped = [name for name in by_fold if sorted(name) == sorted(plain)]
    if len(swapped) == 1:
        return by_fold[swapped[0]]
    few = 0.5 if len(plain) < 4 else 0.0
    found = difflib.get_close_matches(plain, by_fold, n=1, cutoff=min(cutoff, few or cutoff))
    return by_fold[found[0]] if found else None


# ------------------------------------------------------------------------------- Errors: reported statistics


class NegativeSDError(InputError):
    """A standard deviation or a standard error below zero."""


class StandardErrorError(InputError):
    """A standard error larger than the standard deviation of the same sample."""


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


# ----------------------------------------------------------------- Errors: formulas, designs and comparisons


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


class CollinearError(InputError):
    """Columns of the design matrix that are linear combinations of others."""


class EmptyLevelError(InputError):
    """A factor with a single level, which cannot explain any variation."""


class NotNestedError(InputError):
    """Two fits of which neither is a special case of the other, or fits to different data."""


class MixedRepetitionError(InputError):
    """SDs between readings, preparations, batches or laboratories in one model, or not distinguished."""


# ---------------------------------------------------------------------------------------- Errors: estimation


class TooFewStudiesError(MetaexoError, ValueError):
    """The data hold too few studies for what was asked."""


class NotIdentifiableError(MetaexoError, ValueError):
    """The data do not identify the quantity that was asked for."""


class NoMaximumError(MetaexoError, ValueError):
    """A likelihood that increases without bound: no estimate has the highest one."""


class ConvergenceError(MetaexoError, RuntimeError):
    """An iteration ended before its solution was verified."""


class ScaleConvergenceError(ConvergenceError):
    """A location-scale model whose likelihood was not verified to be at its maximum.

    Parameters
    ----------
    log : sequence of str
        One line per start of the optimisation: where it began, where it ended, and why it was not accepted.
    """

    def __init__(self, given: str, needed: str, remedy: str, log: Sequence[str]) -> None:
        self.log = tuple(log)
        super().__init__(given, needed, remedy, log)


# ----------------------------------------------------------------------------------------- Errors: long runs


class WorkerLostError(MetaexoError, RuntimeError):
    """The processes that computed a part of a run ended again and again."""


class RunInterrupted(KeyboardInterrupt):
    """A run that was stopped from the keyboard; what was done by then is kept.

    Parameters
    ----------
    finished : object
        What the run returns, of its finished items alone: columns, a folder of them, or a summary (None if
        there is nothing yet).
    spans : sequence of tuple of int
        The finished items, in order: where each chunk begins and where it ends.
    size : int
        Number of items of the whole run.
    what : str
        What the items are, in the plural.
    remedy : str, optional
        How to go on.
    """

    def __init__(
        self, finished: object, spans: Sequence[tuple[int, int]], size: int, what: str, remedy: str = ""
    ) -> None:
        self.finished = finished
        self.spans = tuple(spans)
        self.size = size
        done = sum(end - begin for begin, end in self.spans)
        kept = f"after {done:,} of {size:,} {what}; they are in the attribute finished"
        text = f"interrupted {kept if done else f'before the first of {size:,} {what}'}"
        super().__init__(f"{text}. {remedy}." if remedy else f"{text}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, vars(self))


# -------------------------------------------------------------------------------- Errors: sheets of evidence


class SheetError(InputError):
    """A sheet of evidence that cannot be read as it is."""


class CodebookError(SheetError):
    """A codebook (`datapackage.json`) or a vocabulary that cannot be used as it is."""


class MissingSheetError(SheetError):
    """A sheet that is needed is not in the folder."""


class EmptySheetError(SheetError):
    """A sheet without a single row."""


class SheetSizeError(SheetError):
    """A file far larger than a sheet of evidence."""


class EncodingError(SheetError):
    """A file that is not UTF-8."""


class SeparatorError(SheetError):
    """A sheet whose cells are not separated by commas, or whose quotes do not close."""


class RowLengthError(SheetError):
    """A row with more or fewer cells than the header."""


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
    """Two rows of one study in a sheet that has one row per study."""


class DuplicateRowError(SheetError):
    """The same result entered twice."""


class UnknownStudyError(SheetError):
    """A row whose study is not in the sheet of studies."""


class WorkbookError(SheetError):
    """A file that cannot be opened as a table: damaged, protected, of another format, or far too large."""


class WorksheetError(SheetError):
    """A workbook with several worksheets, or none, that read as a table of studies."""


class UnclearColumnError(SheetError):
    """A heading that can be read in more than one way, or that is only like one that is known."""


class UnclearCellError(SheetError):
    """A cell that can be read in more than one way."""


class MergedCellsError(SheetError):
    """Merged cells among the rows: which rows the value holds for cannot be known."""


class UncomputedCellError(SheetError):
    """A formula without a stored result, or one that gave an error."""


# --------------------------------------------------------------------- Warnings: words and columns of sheets


class SheetWarning(MetaexoWarning):
    """Something in a sheet that is possible but implausible."""


class UnknownOutcomeWarning(SheetWarning):
    """An outcome that is no word of the vocabulary: it is a family of its own."""


class UnknownCategoryWarning(SheetWarning):
    """A source or an isolation in words that lead to no category: the row counts as not reported."""


class UnspecificCategoryWarning(SheetWarning):
    """A source or an isolation in words that say little: "MSC" without a tissue, "commercial kit"."""


class MisnamedColumnWarning(SheetWarning):
    """A column outside the codebook whose name is like one of it; rows count as not reported without it."""


class OverallJudgementWarning(SheetWarning):
    """An overall risk of bias that is better than that of the worst domain."""


# -------------------------------------------------------------------------- Warnings: likely slips in sheets


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


class StandardErrorsAsSDsWarning(SheetWarning):
    """So many SDs of a sheet look like standard errors that all of them may be."""


class ShrinkingSDWarning(SheetWarning):
    """SDs that fall as the root of n grows, as standard errors do."""


class UnusualCVWarning(SheetWarning):
    """An SD far smaller beside its mean than in other studies: a standard error may stand as an SD."""


class ImpossibleMeanWarning(SheetWarning):
    """A mean that whole numbers of this sample size cannot have (GRIM)."""


class ImpossibleMedianWarning(SheetWarning):
    """A median that whole numbers of this sample size cannot have."""


class ImpossibleSDWarning(SheetWarning):
    """A standard deviation that whole numbers with this mean and sample size cannot have (GRIMMER)."""


class StatisticMismatchWarning(SheetWarning):
    """A test statistic that does not follow from the means, SDs and sizes beside it."""


class PValueMismatchWarning(SheetWarning):
    """A p-value that does not follow from the numbers beside it."""


class RepeatedNumbersWarning(SheetWarning):
    """The same numbers in two rows: they report different things, or one study was entered twice."""


class CopiedStudyWarning(SheetWarning):
    """The same means, SDs and n under two study ids: one study, or one set of samples, stands there twice."""


class TwoPapersWarning(SheetWarning):
    """Rows of one study that name two papers: two studies of one name would count as one."""


class ConstantMultipleWarning(SheetWarning):
    """Numbers that are one constant multiple of the numbers of another row."""


class MeanNearZeroWarning(SheetWarning):
    """A mean so near zero, for its standard error, that its logarithm is no normal variable."""


class ExtremeVarianceWarning(SheetWarning):
    """Sampling variances of one outcome that differ more than studies do."""


class MixedDirectionsWarning(SheetWarning):
    """Rows of one outcome of which some call higher values better, and some lower ones."""


class MixedUnitsWarning(SheetWarning):
    """Rows of one outcome in different units."""


class UnusualScaleWarning(SheetWarning):
    """Values on another scale than those of the other studies of the outcome: another unit, or per cent."""


class UnusualSizeWarning(SheetWarning):
    """A group of animals far larger than those of the other studies."""


class ExchangedNumbersWarning(SheetWarning):
    """Two arms, or a mean and its SD or n, that seem to be exchanged."""


class EffectTooPreciseWarning(SheetWarning):
    """A standardised mean difference whose standard error is smaller than the sizes of its arms allow."""


class EffectMismatchWarning(SheetWarning):
    """An effect, its standard error or its direction that contradicts the means, SDs and sizes beside it."""


class OffCentreIntervalWarning(SheetWarning):
    """A confidence interval that is not centred on its estimate."""


# ----------------------------------------------------------------------------------------- Warnings: effects


class RowsLeftOutWarning(MetaexoWarning):
    """Rows were left out; the ledger of the result names each with its reason."""


class RowsWithoutEffectWarning(MetaexoWarning):
    """Rows that were selected give no effect; the ledger of the effects names each with its reason."""


class AssumptionWarning(MetaexoWarning):
    """A value that the data do not hold was assumed, for example a correlation."""


class NegativeMeansWarning(MetaexoWarning):
    """Ratios of two negative means: positive numbers, but greater means further below zero."""


class VarianceRatioWarning(MetaexoWarning):
    """Sampling variances so different in size that one row dominates the result."""


class ImpossibleVarianceWarning(MetaexoWarning):
    """Sampling variances that are smaller than the sizes of the groups allow."""


class UnusedStudyColumnWarning(MetaexoWarning):
    """A column of the data that looks like the study of each effect, and is not used as such."""


class UnclearLevelWarning(MetaexoWarning):
    """Levels or studies whose names leave open what is meant.

    A level called "NA", "-" or the like counts as a level, and may mean that nothing is reported; names that
    differ by blanks or capitals alone count as several, and may mean one.
    """


class MixedContrastsWarning(MetaexoWarning):
    """Results with and without a control stand in one set of effects."""


class MixedDefinitionsWarning(MetaexoWarning):
    """Counts that cover different events (any event, related ones, one kind) stand in one table."""


class MixedDomainsWarning(MetaexoWarning):
    """Results in people, in animals and in cells stand in one set of effects or in one stratum."""


# ------------------------------------------------------------------------------------------ Warnings: models


class DependentEffectsWarning(MetaexoWarning):
    """Several effects of one study enter a model that takes them as independent."""


class FewStudiesWarning(MetaexoWarning):
    """So few studies that the quantity rests on very little."""


class EqualEffectsTestWarning(MetaexoWarning):
    """A test that is meant for random-effects models was asked for with the equal-effects model."""


class RedundantColumnsWarning(MetaexoWarning):
    """Columns that add nothing to those before them were dropped, because that was asked for."""


class NearlyCollinearWarning(MetaexoWarning):
    """A column that is almost a linear combination of others: its coefficient rests on rounding."""


class ScaleBoundaryWarning(MetaexoWarning):
    """A between-study variance of a location-scale model is zero in some rows: it has no finite fit."""


class IncomparableFitsWarning(MetaexoWarning):
    """Fits side by side whose likelihoods cannot be compared."""


__all__ = sorted(  # noqa: PLE0605 (every public name above, without a second list of them)
    name
    for name, thing in list(globals().items())
    if getattr(thing, "__module__", None) == __name__ and not name.startswith("_")
)


def __dir__() -> list[str]:
    return list(__all__)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user that called into the package, from however deep."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "metaexo":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
