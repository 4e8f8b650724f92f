"""Errors and warnings of extraction sheets."""

from __future__ import annotations

from metaexo.errors.base import InputError, MetaexoWarning


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
    """An outcome that is no word of the vocabulary: it is a family of its own."""


class UnknownCategoryWarning(SheetWarning):
    """A source or an isolation in words that lead to no category: the row counts as not reported."""


class UnspecificCategoryWarning(SheetWarning):
    """A source or an isolation in words that say little: "MSC" without a tissue, "commercial kit"."""


class MisnamedColumnWarning(SheetWarning):
    """A column of the user's own that may be one of the codebook; rows count as not reported without it."""


class EmptyColumnWarning(SheetWarning):
    """Columns, or cells at the end of rows, without a name and without content: they were left out."""


class StandardErrorsAsSDsWarning(SheetWarning):
    """So many SDs of a sheet look like standard errors that all of them may be."""
