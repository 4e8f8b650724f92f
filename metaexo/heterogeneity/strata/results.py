"""A subgroup analysis with its methods: comparisons of the strata, bounds, tables and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metaexo.errors import InputError
from metaexo.formatting import plural, printed
from metaexo.heterogeneity.levels import read_caption
from metaexo.heterogeneity.strata import comparisons, tables
from metaexo.heterogeneity.strata.comparisons import BetweenPermutation, HeterogeneityComparison
from metaexo.heterogeneity.strata.fit import StrataFit
from metaexo.heterogeneity.unreported.bounds import AssignmentBounds, assignment_bounds
from metaexo.models.linear.contrasts import Contrasts
from metaexo.models.linear.summary import Summary

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class StratifiedResults(StrataFit):
    """A subgroup analysis.

    Attributes
    ----------
    by : tuple of str
        The factors.
    effects : EffectSizes
        All effects, in the order handed in.
    strata : tuple of Stratum
        The strata in the order asked for, else those with most studies first; "not reported" last.
    overall : RandomEffectsResults or None
        The model of all effects, strata ignored; None if they come from fewer than two studies.
    overall_pooled : Pooled or None
        Its pooled effect; with several effects per study robust to their dependence.
    overall_df : float or None
        Degrees of freedom of its interval; None for normal ones.
    tau2_mode : {"separate", "common", "smoothed"}
        Whether each stratum has its own between-study variance, all share one, or each is smoothed.
    between : TestResult or None
        Test that all strata share one mean effect; None if fewer than two strata can be fitted.
    between_note : str
        Which strata and which method the test uses, or why there is none.
    means : LinearResults or None
        Means of the strata that are fitted, with their covariance matrix; None if none is.
    method, test : str
        As in :meth:`metaexo.RandomEffects.fit`.
    level : float
        Level of all intervals.
    clusters : tuple of str or None
        Cluster of each effect, where some share one; None where effects are independent.
    cluster : str
        What the clusters are: "study", or a column.
    order : tuple of str
        The strata in their natural order, where one was given.
    smoothing : Smoothing or None
        How smoothed variances came about.
    latent : LatentModerator or None
        Studies that do not report the factor as a mixture of the known strata, where that was asked for.
    latent_note : str
        Why there is no such mixture although it was asked for.
    compare_unreported : bool
        Whether studies that do not report a factor are in tests between strata.
    """

    # -- between strata --------------------------------------------------------------------------------------

    def pairwise(self, adjust: str | None = "holm", level: float | None = None) -> Contrasts:
        """Return the differences between all pairs of strata, with p-values adjusted for their number.

        Parameters
        ----------
        adjust : str, optional
            As in :func:`metaexo.models.adjust_pvalues`; None leaves the p-values as they are.
        level : float, optional
            Level of the intervals, which are not adjusted.

        Returns
        -------
        Contrasts
            One row per pair, the later stratum minus the earlier one.

        Raises
        ------
        TooFewStudiesError
            If fewer than two strata have two or more studies.
        """
        return comparisons.pairwise(self, adjust, level)

    def trend(self, level: float | None = None) -> Contrasts:
        """Return the linear trend of the means over the order of the strata: the change from one to the next.

        The contrast is the slope of a straight line through the means with equal weights:
        with places s and their mean, weights (s - mean) / sum (s - mean)^2.

        Parameters
        ----------
        level : float, optional
            Level of the interval.

        Returns
        -------
        Contrasts
            One row: the slope per step, tested against zero.

        Raises
        ------
        InputError
            If the strata were given no order.
        TooFewStudiesError
            If fewer than two strata have two or more studies.
        """
        return comparisons.trend(self, level)

    def permutation_test(self, limit: int = 50_000, draws: int = 9_999, seed: int = 0) -> BetweenPermutation:
        """Test the strata against permuted labels; see :func:`metaexo.heterogeneity.permute_strata`.

        Use it with few studies, where the distribution of a test statistic is least certain.

        Parameters
        ----------
        limit : int
            Up to this many arrangements all are fitted; beyond it some are drawn.
        draws : int
            How many are drawn.
        seed : int
            Seed of the draws.
        """
        return comparisons.permute_strata(self, limit, draws, seed)

    def heterogeneity_test(self, draws: int = 999, seed: int = 0) -> HeterogeneityComparison:
        """Test whether tau2 differs between strata; see :func:`metaexo.heterogeneity.compare_heterogeneity`.

        Parameters
        ----------
        draws : int
            Data sets of the parametric bootstrap.
        seed : int
            Its seed.
        """
        return comparisons.compare_heterogeneity(self, draws, seed)

    def assignment_bounds(self, limit: int = 2**15) -> AssignmentBounds:
        """Return how far means and differences can move with the true levels of unreported studies.

        See :func:`metaexo.heterogeneity.assignment_bounds`.

        Parameters
        ----------
        limit : int
            Up to this many assignments all are fitted.
        """
        if len(self.by) > 1:
            raise InputError(
                f"the strata cross {len(self.by)} factors",
                "strata of one factor, of which a study may lack the level",
                "stratify by one factor",
            )
        return assignment_bounds(self.effects, self.by[0], method=self.method, test=self.test, limit=limit)

    # -- for readers -----------------------------------------------------------------------------------------

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on intervals and tests; empty if there is nothing."""
        return tables.cautions_of_strata(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per stratum, and one for all: counts, pooled effect, df, intervals, tau2, I2, note.

        A stratum of one study has the effect of that study. Numbers that cannot be had from a stratum are
        missing and its note says why. The column df is that of the interval, missing for normal ones.
        """
        return tables.strata_frame(self)

    def to_dict(self) -> dict[str, object]:
        """Return strata, tests and choices as plain values, for files such as JSON."""
        return tables.strata_dict(self)

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, heterogeneity, data, fit."""
        return tables.summarise(self)

    def to_markdown(self) -> str:
        """Return the strata as a Markdown table, followed by the tests and notes."""
        return tables.as_markdown(self)

    def to_latex(self, caption: str | None = None) -> str:
        """Return the strata as a LaTeX table, followed by the tests and notes; it needs booktabs.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        return tables.as_latex(self, read_caption(caption))

    def to_html(self, caption: str | None = None) -> str:
        """Return the strata as an HTML table, followed by the tests and notes.

        Parameters
        ----------
        caption : str, optional
            Caption of the table.
        """
        return tables.as_html(self, read_caption(caption))

    def _repr_html_(self) -> str:
        return self.to_html()

    @printed
    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        strata = plural(len(self.strata), "stratum", "strata")
        return f"StratifiedResults(by {', '.join(self.by)}: {strata}, k = {self.effects.k})"
