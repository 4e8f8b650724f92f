"""Warnings of slips: numbers that are possible one by one, but not, or hardly, together."""

from __future__ import annotations

from metaexo.errors.sheets import SheetWarning


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
    """The same numbers in two rows that report different things."""


class ConstantMultipleWarning(SheetWarning):
    """Numbers that are one constant multiple of the numbers of another row."""


class MeanNearZeroWarning(SheetWarning):
    """A mean so near zero, for its standard error, that its logarithm is no normal variable."""


class ExtremeVarianceWarning(SheetWarning):
    """Sampling variances of one outcome that differ more than studies do."""


class EffectTooPreciseWarning(SheetWarning):
    """A standardised mean difference whose standard error is smaller than the sizes of its arms allow."""


class OffCentreIntervalWarning(SheetWarning):
    """A confidence interval that is not centred on its estimate."""
