"""MultilevelResults: what a multilevel fit can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.formatting import TEST_NAMES, number, plural
from metaexo.immutable import frozen
from metaexo.inputs import check_flag, check_number
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import quantiles
from metaexo.models.linear.influence import Influence
from metaexo.models.linear.likelihood_ratio import LikelihoodRatioTest
from metaexo.models.linear.prediction import adjusted_level, index_of, new_rows, prediction_frame
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.models.multilevel import component_tests, prediction, profile, residuals
from metaexo.models.multilevel.component_tests import ComponentTests
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.multivariate_moments import WORDS
from metaexo.models.multilevel.profile import ComponentProfile
from metaexo.models.multilevel.terms import STRUCTURES
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.linear.prediction import NewRows


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelResults(MultilevelFit, FitResults):
    """A fitted multilevel model; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design : Design
        Columns of the linear predictor.
    terms : tuple of NamedTerm
        The random terms.
    problem : MixedProblem
        The arrays of the model.
    maximum : MixedMaximum
        The maximum of the likelihood with its certificate and log.
    fixed : dict of int to float
        Parameters that were held at a value.
    method, test : str
        Likelihood and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    weighting : sparse array, shape (k, k), or None
        User-supplied weights.
    robust_covariance : RobustCovariance or None
        Cluster-robust inference, in a fit that ``robust()`` returned; None for that of the model.
    """

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
            One row per component: estimate, low, high, low_open, high_open (the search met the edge of the
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
        self, component: str | None = None, grid: ArrayLike | None = None, level: float | None = None
    ) -> ComponentProfile:
        """Return the profile likelihood of one variance or correlation, with its interval.

        Parameters
        ----------
        component : str, optional
            Name as in `components`; may be left out where only one was estimated.
        grid : array_like, optional
            Values; default a grid that reaches beyond the interval.
        level : float, optional
            Confidence level; default that of the fit.

        Raises
        ------
        InputError
            If there are several components, or none was estimated, and no name is given.
        UnknownChoiceError
            If the component is not known.
        """
        return profile.profile(self, component, grid, level)

    def predict(
        self,
        new: NewRows = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
        *,
        kind: str = "default",
        sampling_variance: float = 0.0,
        adjust: str | None = None,
        given: Mapping[str, str] | None = None,
        inner: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        transform: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """Return mean effects with confidence intervals, and prediction intervals for a new true effect.

        The prediction interval adds the variance of every random term: it is for a new effect of a new study
        (source, isolation method). With `given` an observed level is taken as known instead: its
        predicted random effect is part of the estimate. `without` leaves terms out: a new study without its
        effects within is their mean.

        Parameters
        ----------
        new : array_like, dict or DataFrame, shape (r, q), optional
            Moderator values, without the intercept. Default: the rows of the fit (one row if there are no
            moderators).
        level, scale, kind, sampling_variance, adjust : float, str, str, float and str, optional
            As in :meth:`metaexo.models.FitResults.predict`.
        given : mapping of str to str, optional
            Random term to an observed level: ``{"source": "adipose"}``.
        inner : mapping of str to str, optional
            Random term to the inner level (outcome, time) that the prediction is for; needed where inner
            levels have different variances.
        without : sequence of str
            Random terms whose variance the prediction interval leaves out.
        transform : {"analysis", "measure", "exp"} or callable, optional
            Another name of `scale`, as other packages have it.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high.

        Raises
        ------
        UnknownChoiceError
            If a term or a level is not known.
        """
        terms = ({} if given is None else given, {} if inner is None else inner, without)
        x = new_rows(self.design, new)
        found = prediction.predict(self, x, kind, sampling_variance, *terms)
        return prediction_frame(
            self,
            found,
            adjusted_level(self, level, adjust, len(x)),
            scale if transform is None else transform,
            index_of(new),
        )

    def probability_above(
        self,
        value: float = 0.0,
        new: NewRows = None,
        kind: str = "default",
        *,
        given: Mapping[str, str] | None = None,
        inner: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> Array:
        """Return the probability that the true effect of a new study exceeds a value, shape (r,).

        It is from the same distribution as the prediction interval of `predict`, whose parameters these are;
        NaN where inner levels have different variances and `inner` does not say which is meant.
        """
        terms = ({} if given is None else given, {} if inner is None else inner, without)
        found = prediction.predict(self, new_rows(self.design, new), kind, 0.0, *terms)
        return found.above(check_number("value", value))

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects (BLUPs) of every term with prediction intervals.

        Parameters
        ----------
        level : float, optional
            Level of the intervals.

        Returns
        -------
        DataFrame
            One row per level (and inner level) of each term: component (the variance of the random effect),
            level, estimate, se, low, high, inner.

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
        return profile.component_table(self)

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
        return profile.matrix(self, term)

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return intervals of the variances for the table of heterogeneity; none if no method is named."""
        return profile.tau2_limits(self, level, method)

    def heterogeneity(
        self, level: float | None = None, method: str | None = "profile-likelihood"
    ) -> pd.DataFrame:
        """Return the variance components with intervals, and the shares of heterogeneity they account for.

        Correlations stand in `components`, and their intervals in `conf_int_components`.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : {"profile-likelihood", None}
            Profile-likelihood intervals, which take some refits; None: no intervals.

        Returns
        -------
        DataFrame
            A row per variance: tau2 and its root tau; low and high, the interval of tau2 (NaN if it was held
            fixed); share, what it adds to the variance of true effects, averaged over the effects; i2, what
            it adds to the variability of effects. Both shares are NaN for slopes that correlate with an
            intercept.

        References
        ----------
        Nakagawa, S., Santos, E. S. A. (2012). Methodological issues and advances in biological meta-analysis.
        Evolutionary Ecology 26, 1253-1274. https://doi.org/10.1007/s10682-012-9555-5
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        """
        return super().heterogeneity(level, method)

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
        return profile.shares(self, level)

    def conf_int_shares(self, level: float | None = None) -> pd.DataFrame:
        r"""Return the share of each variance in the variance of true effects with intervals, fractions.

        Use it to say which share of the heterogeneity each random term has, sampling error aside. The
        share is :math:`\tau^2_j / \sum_i \tau^2_i`; its interval holds the shares at which the likelihood,
        all else at its best, is not significantly lower than at the maximum.

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.

        Returns
        -------
        DataFrame
            One row per variance component: share, low, high. Intervals are NaN for models with anything but
            one free variance per term, with user-supplied weights, or fitted without a likelihood.

        References
        ----------
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A

        Examples
        --------
        >>> import metaexo as mx
        >>> table = mx.load_dataset("school_calendars")
        >>> schools = mx.EffectSizes(table["y"], table["v"], data=table)
        >>> fit = mx.Multilevel(schools, "district/school").fit()
        >>> fit.conf_int_shares().round(2)
                         share   low  high
        component
        district          0.67  0.33  0.89
        district/school   0.33  0.11  0.67
        """
        return profile.interval_of_shares(self, level)

    # -- effects one by one ------------------------------------------------------------------------------

    def residuals(
        self,
        kind: str = "standardized",
        *,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        refit: bool = True,
    ) -> pd.DataFrame:
        """Return a residual per effect: columns fitted, residual, its standard error se, and their ratio z.

        Parameters
        ----------
        kind : {"standardized", "studentized", "conditional", "pearson", "cholesky"}
            What the effect is compared with, and what the standard error is. "standardized": the fitted
            value; the standard error allows for the estimation of the coefficients. "studentized": the mean
            that the other effects predict, of which the effect and those of its `cluster` are no part; the
            one to look at for outliers. Its variance is that of the effect plus that of the prediction,
            which is exact for clusters that are independent and too large for effects left out of their
            cluster. "conditional": what the other effects predict for it, those of its own study included,
            at the components of the fit; the standard error is exact. "pearson": the fitted value; the
            standard deviation of the effect under the model. "cholesky": uncorrelated residuals, each given
            the rows after it.
        cluster : str or sequence, length k, optional
            Of studentized residuals: what is left out together. Default: single effects.
        refit : bool
            Of studentized residuals: whether the components are estimated anew without each cluster.

        Raises
        ------
        InputError
            If clusters are named for another kind of residuals, all effects are in one cluster, or the fit
            is cluster-robust and the residuals studentized.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis.
        Research Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
        Houseman, E. A., Ryan, L. M., Coull, B. A. (2004). Cholesky residuals for assessing normal errors in a
        linear model with correlated outcomes. Journal of the American Statistical Association 99, 383-394.
        https://doi.org/10.1198/016214504000000403
        """
        return residuals.residuals(self, kind, cluster, check_flag("refit", refit))

    def cluster_residuals(
        self,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        kind: str = "studentized",
        refit: bool = True,
    ) -> pd.DataFrame:
        r"""Return a test per cluster of whether its effects are where the model expects them.

        Use it to find clusters that are outliers as a whole. With d the residuals of the n effects of a
        cluster and S their covariance matrix, :math:`d'S^{-1}d` is compared with chi-square on n degrees of
        freedom.

        Parameters
        ----------
        cluster : str or sequence, length k, optional
            Clusters; they should hold all effects that depend on each other. Default: studies.
        kind : {"studentized", "standardized"}
            Residuals from the fit without the cluster, or from the fit of all effects.
        refit : bool
            Of studentized residuals: whether the components are estimated anew without each cluster.

        Returns
        -------
        DataFrame
            A row per cluster: effects, statistic, df, pvalue; NaN where the other clusters do not determine
            the coefficients, or residuals of the cluster are zero by construction.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). https://doi.org/10.1002/jrsm.11
        """
        return residuals.cluster_residuals(self, cluster, kind, check_flag("refit", refit))

    def blup(self, level: float | None = None) -> pd.DataFrame:
        """Return the best prediction of each true effect: fitted value plus predicted random effects.

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row per effect; the standard error allows for the estimation
            of the coefficients.

        References
        ----------
        Robinson, G. K. (1991). https://doi.org/10.1214/ss/1177011926
        """
        import pandas as pd

        estimate, variance = residuals.predicted_effects(self)
        se = np.sqrt(variance)
        half = float(np.asarray(quantiles(self.at_level(level), self.model_inference.df))) * se
        return pd.DataFrame(
            {"estimate": estimate, "se": se, "low": estimate - half, "high": estimate + half},
            index=list(self.effects.row_labels),
        )

    @cached_property
    def weight_matrix(self) -> Array:
        """Weights of the effects: the inverse of their covariance matrix, or those given, shape (k, k)."""
        found = self.gls.factor.solve(np.eye(self.k)) if self.weighting is None else self.weighting.toarray()
        return frozen(np.asarray(0.5 * (found + found.T)))

    @cached_property
    def hat_matrix(self) -> Array:
        """The matrix that takes effects to fitted values, shape (k, k)."""
        return frozen(np.asarray(self.problem.x @ self.loadings))

    def cov_effects(self) -> Array:
        """Return the covariance matrix of the effects under the model, sampling errors included, (k, k)."""
        return frozen(residuals.marginal_covariance(self))

    def cov_residuals(self) -> Array:
        """Return the covariance matrix of the raw residuals, shape (k, k)."""
        return frozen(residuals.residual_covariance(self))

    @cached_property
    def weights(self) -> Array:
        """Share of each effect in the pooled mean, shape (k,); NaN with moderators."""
        return frozen(self.loadings[0] if self.design.x is None else np.full(self.k, np.nan))

    def influence(
        self, cluster: str | Sequence[object] | ArrayLike | None = None, refit: bool = True
    ) -> Influence:
        """Return how the fit changes when a cluster is left out: all measures of influence.

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
        return residuals.influence(self, cluster, check_flag("refit", refit))

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

    def test_components(self, draws: int = 0, *, seed: int = 0) -> ComponentTests:
        r"""Test for each random term whether effects vary between its levels, by likelihood ratios.

        The statistic is :math:`2(\ell - \ell_0)` with :math:`\ell_0` the maximum without the term, by the
        likelihood of the fit. A variance of 0 is on the boundary of what it can be: where all other variances
        are above 0, the statistic is 0 or chi-square with one degree of freedom with probability 1/2 each,
        in large samples. With few levels that p-value is mostly too large; draws from the fit without the
        term take nothing for granted but the model.

        Parameters
        ----------
        draws : int
            Sets of effects drawn for the simulated p-value of each term; 0 for none. 999 of crossed terms
            take some seconds.
        seed : int
            Seed of the draws.

        Returns
        -------
        ComponentTests
            A row per term: share, statistic, df, p-values, the null hypothesis in words, and a note where
            other variances are on their boundary or the term has several parameters.

        Raises
        ------
        InputError
            If the fit is not by likelihood, has user-supplied weights, or estimated no variance.

        References
        ----------
        Self, S. G., Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and
        likelihood ratio tests under nonstandard conditions. Journal of the American Statistical Association
        82, 605-610. https://doi.org/10.1080/01621459.1987.10478472
        Stram, D. O., Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model.
        Biometrics 50, 1171-1177. https://doi.org/10.2307/2533455

        Examples
        --------
        >>> import metaexo as mx
        >>> table = mx.load_dataset("school_calendars")
        >>> schools = mx.EffectSizes(table["y"], table["v"], data=table)
        >>> fit = mx.Multilevel(schools, "district/school").fit()
        >>> fit.test_components().to_frame()[["statistic", "df"]].round(2)
                         statistic  df
        term
        district             17.77   1
        district/school      48.52   1
        """
        return component_tests.component_tests(self, draws, seed)

    # -- for readers -------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Return by name what only a multilevel fit knows: terms, variances and correlations."""
        terms = [
            {"term": one.name, "structure": one.structure, "levels": one.term.levels, "inner": one.inner}
            for one in self.terms
        ]
        return super().facts() | {
            "user_weights": self.weighting is not None,
            "random": terms,
            "parameters": self.components.reset_index(),
        }

    def family_lines(self) -> FamilyLines:
        """Return random terms, choices, correlations, and how the maximum was found, in words."""
        return family_lines(self)


def family_lines(fit: MultilevelResults) -> FamilyLines:
    """Return what a multilevel fit adds to the summary."""
    fitted = []
    for named in fit.terms:
        what = "" if named.structure == "intercept" else f", {STRUCTURES[named.structure]}"
        fitted.append(f"random: {named.name} ({plural(named.term.levels, 'level')}{what})")
    pairs = (fit.problem.v.nnz - fit.k) // 2
    errors = f"correlated in {plural(pairs, 'pair')}" if pairs > 0 else "independent"
    fitted += [f"sampling errors {errors}", WORDS.get(fit.method, fit.method)]
    if fit.weighting is not None:
        fitted.append("user-supplied weights; the components are those of the likelihood")
    table = fit.components
    others = table[table["kind"] != "variance"]["estimate"]
    heterogeneity = [f"{name} {number(value, 3)}" for name, value in others.items()]
    fixed = [name for name in table.index if name in fit.fixed_components]
    if fixed:
        heterogeneity.append(f"held fixed: {', '.join(fixed)}")
    return FamilyLines(
        model="Multilevel model",
        tests=TEST_NAMES[fit.test],
        fitted=tuple(fitted),
        heterogeneity=tuple(heterogeneity),
        certificate=tuple(_certificate(fit, [str(name) for name in table.index[table["at_bound"]]])),
    )


def matrix_rank(g: Array) -> int:
    """Return the rank of a covariance matrix."""
    size = np.sqrt(np.maximum(np.diagonal(g), 1e-300))
    values = np.linalg.eigvalsh(g / np.outer(size, size))
    return int((values > 1e-9).sum())


def _certificate(fit: MultilevelFit, edges: list[str]) -> list[str]:
    found = fit.maximum
    if fit.method in WORDS:
        return list(found.log)
    lines = [
        f"log-likelihood {number(fit.llf, 4)}, AIC {number(fit.aic)}, BIC {number(fit.bic)}, "
        f"AICc {number(fit.aicc)}",
        "converged; global maximum verified"
        if found.verified
        else f"converged; highest of {plural(found.starts, 'start')}, of which {found.agreeing} agree",
    ]
    if edges:
        lines.append(f"at the edge of their range: {', '.join(edges)}")
    lines += [
        f"the covariance matrix of {named.name} is singular (rank {rank} of {len(g)}): "
        "the maximum is at the boundary of what it can be"
        for named, g in zip(fit.terms, fit.g, strict=True)
        if named.structure in ("UN", "GEN") and 0 < (rank := matrix_rank(g)) < len(g)
    ]
    lines += [
        f"{name} is beyond all distances and has no upper end: the data know only its ratio to the variance"
        for j, named in enumerate(fit.terms)
        for i, (name, kind) in enumerate(zip(named.components, named.kinds, strict=True))
        if kind == "range"
        and i == len(named.kinds) - 1
        and found.at_bound[int(fit.problem.offsets[j]) + i]
        and fit.component_values[name] > 0
    ]
    few = [named.name for named in fit.terms if named.structure == "intercept" and named.term.levels < 5]
    if few:
        lines.append(f"fewer than five levels, so that the variance rests on very little: {', '.join(few)}")
    return lines + _of_few_levels(fit)


# Levels below which the summary says that one of them can make the variance between them.
FEW_LEVELS = 20


def _of_few_levels(fit: MultilevelFit) -> list[str]:
    """Return where to look whether a variance between few levels, of several effects, rests on one."""
    few = [
        f"{named.name} {named.term.levels}"
        for named in fit.terms
        if 2 < named.term.levels < min(FEW_LEVELS, fit.k)
    ]
    if not few or fit.method in WORDS:
        return []
    return [
        f"fewer than {FEW_LEVELS} levels ({', '.join(few)}): one of them can make a variance, as "
        "mx.sensitivity.leave_one_level_out(fit) shows"
    ]
