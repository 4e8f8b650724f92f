"""A subgroup analysis with its methods: comparisons of the strata, bounds, tables and the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import plural
from metaexo.heterogeneity.strata import between, comparisons, tables
from metaexo.heterogeneity.strata.between import BetweenTests
from metaexo.heterogeneity.strata.comparisons import BetweenPermutation, HeterogeneityComparison
from metaexo.heterogeneity.strata.fit import StrataFit
from metaexo.heterogeneity.unreported.bounds import AssignmentBounds, assignment_bounds
from metaexo.inputs import check_number
from metaexo.models.linear.contrasts import Contrasts, TermTests, make_term_tests
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.readable import ReaderTable, Summary
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    NamedStrata = str | Sequence[str | tuple[str, ...]] | Mapping[str, Any] | pd.DataFrame | None


@dataclass(frozen=True, eq=False, repr=False)
class StratifiedResults(StrataFit, FitResults):
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
    between_without : TestResult or None
        The same test without strata of two clusters (studies, where effects are independent); None if there
        are no such strata, or fewer than two others.
    between_note : str
        Which strata and which method the test uses, or why there is none, and what it is without strata of
        two clusters.
    design : Design
        One column per fitted stratum: the coefficients are the means of the strata.
    estimates : ndarray, shape (S,)
        Means of the fitted strata.
    inference : WaldInference
        Their covariance matrix and tests.
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

    # -- within strata -----------------------------------------------------------------------------------

    def heterogeneity(self, level: float | None = None, method: str | None = None) -> pd.DataFrame:
        """Return the heterogeneity of each fitted stratum, with intervals of tau2.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit. With a common or smoothed tau2 there is no other.
        method : str, optional
            How the intervals of separate tau2 are found, as in
            :meth:`metaexo.models.RandomEffectsResults.conf_int_heterogeneity`.

        Returns
        -------
        DataFrame
            A row per stratum: tau2 and its root tau; low and high, the interval of tau2; i2; share, which is
            missing, because the variances of strata do not add up. `attrs` holds level, method and a note.

        Raises
        ------
        InputError
            If another level or method is asked for and tau2 is common or smoothed.
        """
        return tables.heterogeneity_of_strata(self, level, method)

    def predict(  # type: ignore[override]
        self,
        new: NamedStrata = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
    ) -> pd.DataFrame:
        """Return the pooled effects of strata, with confidence and prediction intervals.

        Names of fitted strata take the place of new rows, by default all of them, and index the table; a dict
        or a table with a level per factor names them as well, or tuples of levels. All else is as in
        :meth:`metaexo.models.FitResults.predict`.
        """
        return tables.predictions(self, new, level, scale)

    def probability_above(  # type: ignore[override]
        self,
        value: float = 0.0,
        new: NamedStrata = None,
    ) -> Array:
        """Return the probability that the true effect of a new study in a stratum exceeds a value.

        It is from the same distribution as the prediction intervals; NaN for equal effects.
        """
        above = tables.predicted(self, new)[1].above(check_number("value", value))
        return above if self.is_random else np.full_like(above, np.nan)

    def test_terms(self, adjust: str | None = None) -> TermTests:
        """Return the test between strata, that they share one mean, as that of their term."""
        return make_term_tests(self, adjust, lambda fit, term: fit.omnibus)

    @property
    def q(self) -> TestResult:
        """Cochran's Q test within strata: the sum over the fitted strata; NaN where one of them has none."""
        null = "the studies of each stratum share one true effect"
        parts = [fit.q for fit in self.fits]
        total, df = sum(part.statistic for part in parts), sum(part.df[0] for part in parts)
        if not parts or np.isnan(total):
            return TestResult(np.nan, "chi2", (float(df),), np.nan, f"{null}; not testable")
        return make_test(total, "chi2", (float(df),), null)

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the residuals of the fitted strata: columns fitted, residual, se, z, and stratum."""
        return tables.of_all_strata(self, lambda fit: fit.residuals(kind), "stratum")

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted deviations of true effects from the means of their strata, the components."""
        return tables.of_all_strata(self, lambda fit: fit.random_effects(level), "component")

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
        """
        return comparisons.permute_strata(self, limit, draws, seed)

    def between_tests(self, seed: int = 0, permutations: int = 999) -> BetweenTests:
        """Return the test between strata beside its permutation test, with and without small strata.

        Use it before relying on a test between strata of few studies or laboratories. The mean of a stratum
        of two clusters rests on one degree of freedom, and one such stratum can make the test of many: both
        tests are made again without strata of fewer than three clusters. The permutation test permutes labels
        between whole clusters; see :func:`metaexo.heterogeneity.permute_strata`. A test that cannot be made
        has a row with the reason and what to do.

        Parameters
        ----------
        seed : int
            Seed of the permutations.
        permutations : int
            Permutations drawn, at least 19; where there are no more arrangements than that, all are made.

        Returns
        -------
        BetweenTests
            Four tests, and cautions where they disagree at the level of the fit.

        Raises
        ------
        InputError
            If seed or permutations are no such whole numbers.

        References
        ----------
        Tipton, E., Pustejovsky, J. E. (2015). Small-sample adjustments for tests of moderators and model fit
        using robust variance estimation in meta-regression. Journal of Educational and Behavioral Statistics
        40, 604-634. https://doi.org/10.3102/1076998615606099

        Examples
        --------
        >>> import metaexo as mx
        >>> trials = mx.load_dataset("bcg")
        >>> strata = mx.stratify(mx.effect_sizes("RR", data=trials, labels="study"), by="allocation")
        >>> strata.between_tests().to_frame()[["number", "left_out", "df1", "df2", "pvalue"]].round(2)
           number   left_out  df1   df2  pvalue
        0       3       none  2.0  ...
        """
        return between.between_tests(self, seed, permutations)

    def heterogeneity_test(self, draws: int = 999, seed: int = 0) -> HeterogeneityComparison:
        """Test whether strata differ in tau2; see :func:`metaexo.heterogeneity.compare_heterogeneity`."""
        return comparisons.compare_heterogeneity(self, draws, seed)

    def assignment_bounds(self, limit: int = 2**15) -> AssignmentBounds:
        """Return how far means and differences can move with the true levels of unreported studies.

        See :func:`metaexo.heterogeneity.assignment_bounds`.
        """
        if len(self.by) > 1:
            raise InputError(
                f"the strata cross {len(self.by)} factors",
                "strata of one factor, of which a study may lack the level",
                "stratify by one factor",
            )
        return assignment_bounds(self.effects, self.by[0], method=self.method, test=self.test, limit=limit)

    # -- for readers -------------------------------------------------------------------------------------

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on intervals and tests; empty if there is nothing."""
        return tables.cautions_of_strata(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per stratum, and one for all: counts, pooled effect, df, intervals, tau2, I2, note.

        Counts are k effects, m studies and, with `cluster="laboratory"`, how many laboratories these are: the
        clusters that tests and notes count (studies, where effects are independent).
        A stratum of one study has the effect of that study. Numbers that cannot be had from a stratum are
        missing and its note says why. The column df is that of the interval, missing for normal ones. Ratio
        measures have the columns ratio, ratio_low and ratio_high as well. `attrs` holds k, m, method, test,
        measure, scale, level, tau2, i2, the ledger in words, and the digest.
        """
        frame = tables.strata_frame(self)
        frame.attrs = super().to_frame().attrs
        return frame

    def family_lines(self) -> FamilyLines:
        """Return what strata add to the summary and to the notes below the tables."""
        return tables.family_lines(self)

    def facts(self) -> dict[str, Any]:
        """Return what strata add to `to_dict`: the rows of `to_frame`, tests between strata, choices."""
        return super().facts() | {
            "by": self.by,
            "tau2_mode": self.tau2_mode,
            "clusters": self.cluster if self.clusters else None,
            "strata": tables.strata_frame(self),
            "between": self.between,
            "between_without": self.between_without,
            "between_note": self.between_note,
            "order": self.order,
        }

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, heterogeneity, data, fit."""
        return tables.summarise(self)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table of the strata, numbers rounded; ratios stand beside their logarithms."""
        return [ReaderTable(*tables.reader_rows(self))]

    def table_notes(self) -> list[str]:
        """Return the lines below the table: what was fitted, tests between strata, notes, rows used."""
        return tables.notes(self)

    def __repr__(self) -> str:
        strata = plural(len(self.strata), "stratum", "strata")
        return f"StratifiedResults(by {', '.join(self.by)}: {strata}, k = {self.k}{between.repr_words(self)})"
