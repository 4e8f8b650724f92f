"""Warnings: what was assumed or left out, and what rests on very little."""

from __future__ import annotations

from metaexo.errors.base import MetaexoWarning


class RowsLeftOutWarning(MetaexoWarning):
    """Rows did not take part; the ledger of the result names each with its reason."""


class RowsWithoutEffectWarning(MetaexoWarning):
    """Rows that were asked for give no effect; the ledger of the effects names each with its reason."""


class AssumptionWarning(MetaexoWarning):
    """A value that the data do not hold was assumed, for example a correlation."""


class DependentEffectsWarning(MetaexoWarning):
    """Several effects of one study enter a model that takes them as independent."""


class SingleStudyStratumWarning(MetaexoWarning):
    """A stratum holds one study; it takes no part in a between-study variance."""


class FewStudiesWarning(MetaexoWarning):
    """So few studies that the quantity rests on very little."""


class UnclearLevelWarning(MetaexoWarning):
    """Levels or studies whose names leave open what is meant.

    A level called "NA", "-" or the like counts as a level, and may mean that nothing is reported; names that
    differ by blanks or capitals alone count as several, and may mean one.
    """


class EqualEffectsTestWarning(MetaexoWarning):
    """A test that is meant for random-effects models was asked for with the equal-effects model."""


class MixedContrastsWarning(MetaexoWarning):
    """Results with and without a control stand in one set of effects."""


class MixedDomainsWarning(MetaexoWarning):
    """Results in people, in animals and in cells stand in one set of effects or in one stratum."""


class RedundantColumnsWarning(MetaexoWarning):
    """Columns that add nothing to those before them were dropped, because that was asked for."""


class NearlyCollinearWarning(MetaexoWarning):
    """A column that is almost a linear combination of others: its coefficient rests on rounding."""


class ScaleBoundaryWarning(MetaexoWarning):
    """A between-study variance of a location-scale model is zero in some rows: it has no finite fit."""


class IncomparableFitsWarning(MetaexoWarning):
    """Fits side by side whose likelihoods cannot be compared."""


class NegativeMeansWarning(MetaexoWarning):
    """Ratios of two negative means: positive numbers, but greater means further below zero."""


class VarianceRatioWarning(MetaexoWarning):
    """Sampling variances so different in size that one row rules the result."""


class ImpossibleVarianceWarning(MetaexoWarning):
    """Sampling variances that are smaller than the sizes of the groups allow."""


class UnusedStudyColumnWarning(MetaexoWarning):
    """A column of the data that looks like the study of each effect, and is not used as such."""
