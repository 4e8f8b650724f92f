"""MultilevelResults: what a multilevel fit can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from metaexo.inputs import check_flag
from metaexo.models.linear.likelihood_ratio import LikelihoodRatioTest
from metaexo.models.linear.results import LinearResults
from metaexo.models.linear.robust import Freedom
from metaexo.models.linear.summary import Summary
from metaexo.models.multilevel import heterogeneity, influence, prediction, profile, robust
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.influence import ClusterInfluence
from metaexo.models.multilevel.profile import ComponentProfile
from metaexo.models.multilevel.robust import MultilevelRobustResults
from metaexo.models.multilevel.summary import summarise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelResults(MultilevelFit, LinearResults):
    """A fitted multilevel model; asking again with other choices gives a new one."""

    def robust(
        self,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        kind: str = "CR2",
        freedom: Freedom | None = None,
    ) -> MultilevelRobustResults:
        """Return the fit with cluster-robust standard errors, valid if the random terms are not right.

        Parameters
        ----------
        cluster : str or sequence, length k, optional
            Column of the data, or a label for each effect. Default: the study.
        kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"}
            Small-sample adjustment; CR2 is unbiased where the model is right.
        freedom : {"satterthwaite", "clusters"}, optional
            Degrees of freedom: by moments, or clusters minus coefficients. Default: by moments for CR2 and
            CR3.

        Returns
        -------
        MultilevelRobustResults
            Coefficients, tests and intervals.

        Raises
        ------
        InputError
            If effects of different clusters share a random effect and `kind` or `freedom` needs
            independent clusters.

        References
        ----------
        Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004
        Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3
        """
        return robust.robust(self, cluster, kind, freedom)

    def conf_int_components(
        self, components: Sequence[str] | None = None, level: float | None = None
    ) -> pd.DataFrame:
        """Return profile-likelihood intervals of the variances and correlations.

        Parameters
        ----------
        components : sequence of str, optional
            Names as in `components`; default all that were estimated.
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        DataFrame
            Row a component: estimate, low, high, low_open, high_open (the search met the edge of the
            parameter's range, which lies inside the interval).

        Raises
        ------
        UnknownChoiceError
            If a component is not known.

        References
        ----------
        Hardy, R. J., Thompson, S. G. (1996). A likelihood approach to meta-analysis with random effects.
        Statistics in Medicine 15, 619-629.
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        """
        return profile.intervals(self, components, level)

    def profile(
        self, component: str, grid: ArrayLike | None = None, level: float | None = None
    ) -> ComponentProfile:
        """Return the profile likelihood of one variance or correlation, with its interval.

        Parameters
        ----------
        component : str
            Name as in `components`.
        grid : array_like, optional
            Values; default a grid that reaches beyond the interval.
        level : float, optional
            Confidence level; default that of the fit.
        """
        return profile.profile(self, component, grid, level)

    def predict(
        self,
        new: ArrayLike | pd.DataFrame | None = None,
        level: float | None = None,
        *,
        given: Mapping[str, str] | None = None,
        inner: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return mean effects with confidence intervals, and prediction intervals for a new true effect.

        The prediction interval adds the variance of every random term: it is for a new effect of a new study
        (source, isolation method). With `given` a level that was seen is taken as known instead: its
        predicted random effect is part of the estimate. `without` leaves terms out: a new study without its
        effects within is their mean.

        Parameters
        ----------
        new : array_like or DataFrame, shape (r, q), optional
            Moderator values, without the intercept. Default: the rows of the fit (one row if there are no
            moderators).
        level : float, optional
            Level of both intervals.
        given : mapping of str to str, optional
            Random term to a level that was seen: ``{"source": "adipose"}``.
        inner : mapping of str to str, optional
            Random term to the inner level (outcome, time) that the prediction is for; needed where inner
            levels have different variances.
        without : sequence of str
            Random terms whose variance the prediction interval leaves out.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high.

        Raises
        ------
        UnknownChoiceError
            If a term or a level is not known.
        """
        known = {} if given is None else given
        return prediction.predict(self, new, level, known, {} if inner is None else inner, without)

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects (BLUPs) of every term with prediction intervals.

        Parameters
        ----------
        level : float, optional
            Level of the intervals.

        Returns
        -------
        DataFrame
            One row per level (and inner level) of each term: term, level, inner, estimate, se, low, high.

        References
        ----------
        Robinson, G. K. (1991). That BLUP is a good thing: the estimation of random effects. Statistical
        Science 6, 15-32. https://doi.org/10.1214/ss/1177011926
        """
        return prediction.random_effects(self, level)

    @property
    def components(self) -> pd.DataFrame:
        """Variances and correlations of the random terms.

        One row per component, named as `fix` and `profile` take it: term, structure, kind ("variance",
        "correlation" or "range"), estimate, sd (root of a variance), levels of the term, fixed, at_bound.
        """
        return heterogeneity.component_table(self)

    def matrix(self, term: str) -> pd.DataFrame:
        """Return the covariance matrix of the random effects of one term by its inner levels.

        Parameters
        ----------
        term : str
            Name of the term.

        Raises
        ------
        UnknownChoiceError
            If there is no such term.
        """
        return heterogeneity.matrix(self, term)

    def heterogeneity(self, level: float | None = None, method: str = "profile") -> pd.DataFrame:
        """Return the variance components with intervals, and the shares of heterogeneity they account for.

        Correlations stand in `components`, and their intervals in `conf_int_components`.

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.
        method : {"profile", "none"}
            "profile": profile-likelihood intervals, which take some refits; "none": no intervals.

        Returns
        -------
        DataFrame
            One row per variance: tau2, tau, low and high (of tau2; NaN if it was held fixed), i2 (what it
            adds to the variance of an effect, over that of all terms and of a typical sampling error), share
            (over that of all terms). i2 and share are NaN for slopes that correlate with the intercept.

        References
        ----------
        Nakagawa, S., Santos, E. S. A. (2012). Methodological issues and advances in biological meta-analysis.
        Evolutionary Ecology 26, 1253-1274. https://doi.org/10.1007/s10682-012-9555-5
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        """
        return heterogeneity.heterogeneity(self, level, method)

    def conf_int_i2(self, level: float | None = None) -> pd.DataFrame:
        """Return the share of the variability of effects by random term with intervals, fractions.

        The variance of a term over that of all terms and of a typical sampling error. Interval ends are the
        shares at the ends of the profile-likelihood interval of the term's variance (of the sum of all
        variances, for the total), the other components at their best there.

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.

        Returns
        -------
        DataFrame
            One row per term, and "total": variance, i2, low, high (NaN for terms of several variances, and
            for the total if a term has standard deviations that correlate or a component is held fixed).

        References
        ----------
        Higgins, J. P. T., Thompson, S. G. (2002). https://doi.org/10.1002/sim.1186
        """
        return heterogeneity.shares(self, level)

    def residuals(self) -> pd.DataFrame:
        """Return residuals, hat values and weights, one row per effect.

        Columns fitted, residual, se, z (standardised), hat, diagonal_weight (share of the diagonal of M^-1,
        or of user-supplied weights), and weight (share in the pooled mean; NaN with moderators).
        """
        return influence.residuals(self)

    def influence(
        self, cluster: str | Sequence[object] | ArrayLike | None = None, refit: bool = True
    ) -> ClusterInfluence:
        """Return how the fit changes when a cluster is left out: Cook's distances and DFBETAS.

        Parameters
        ----------
        cluster : str or sequence, length k, optional
            What is left out at a time. Default: studies.
        refit : bool
            Whether the components are estimated anew without each cluster.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis.
        Research Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
        """
        return influence.influence(self, cluster, check_flag("refit", refit))

    def test_against(self, reduced: MultilevelFit) -> LikelihoodRatioTest:
        """Test a simpler structure against this one by their likelihoods.

        Parameters
        ----------
        reduced : MultilevelResults
            A fit of the same effects by the same likelihood, with fewer random terms or a simpler
            structure (or, by ML, fewer moderators).

        Returns
        -------
        LikelihoodRatioTest
            With a mixture p-value where one variance is dropped, which is on the edge of what it can be.

        Raises
        ------
        NotNestedError
            If the fits are of different effects, or the other one is no special case.

        References
        ----------
        Self, S. G., Liang, K.-Y. (1987). https://doi.org/10.1080/01621459.1987.10478472
        """
        return profile.structure_test(self, reduced)

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        return summarise(self)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name} = {value:.4g}" for name, value in self.component_values.items())
        return f"MultilevelResults({self.effects.measure.code}, {self.method}: k = {self.k}, {inner})"
