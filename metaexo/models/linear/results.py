"""FitResults: what every fitted model can be asked, and how it is shown."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import FewStudiesWarning, InputError, TooFewStudiesError, warn_caller
from metaexo.formatting import plural, printed
from metaexo.immutable import frozen
from metaexo.inputs import check_choice
from metaexo.models.linear.contrasts import (
    Contrasts,
    TermTests,
    VarianceInflation,
    Weights,
    make_contrasts,
    make_term_tests,
    variance_inflation,
)
from metaexo.models.linear.fit import Coefficients, LinearFit
from metaexo.models.linear.fit_statistics import Pooled
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.hypothesis import ROUNDING, DfRule, RobustCovariance, TestResult
from metaexo.models.linear.prediction import pooled, predict, probability_above, refuse_moderators
from metaexo.models.linear.summary import (
    FamilyLines,
    coefficient_rows,
    component_rows,
    data_lines,
    fitted_lines,
    heterogeneity_lines,
    heterogeneity_table,
    pooled_as_shown,
    summarise,
    term_lines,
)
from metaexo.numeric.sandwich import KINDS
from metaexo.readable import Readable, ReaderTable, Summary, plain, with_ratios
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from metaexo.models.linear.prediction import NewRows


# Below this the distribution of a robust test is hardly that of t (Tipton 2015, 10.1037/met0000011).
FEW_DF_ROBUST = 4.0
# Steps on the way to a result, which completion by tab does not list beside what can be asked of a fit.
STEPS = frozenset({
    "at_level", "at_zero", "batch", "bounds", "coefficient_fit", "deletion", "df_by_coefficient",
    "df_given", "df_of", "digest_parts", "facts", "family_lines", "has_likelihood", "has_zero_variance",
    "homogeneity_words", "intercept_words", "joint_test", "model_inference", "new_effect_variance",
    "no_single_mean", "omnibus", "own_inference", "reader_tables", "rows_in_likelihood", "rows_in_words",
    "said", "shown", "rests_on", "solution", "table_notes", "tau2_given", "tau2_limits", "test_scale",
    "text_tables", "total_variance", "variance_model", "wald", "weighting", "wls",
})  # fmt: skip


class LinearResults(Coefficients, Readable):
    """Coefficients with their standard errors, tests and intervals, by name."""

    _answers_as = "results"

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in STEPS]

    @property
    def params(self) -> pd.Series:
        """Coefficients by name."""
        return self._series(self.beta, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Standard errors by name."""
        return self._series(self.se, "se")

    @property
    def tvalues(self) -> pd.Series:
        """Test statistics of single coefficients: t, or z; NaN where the standard error is 0."""
        return self._series(self.wald_statistics, "statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values by name; NaN without standard error, or with fewer than 1 degree of freedom."""
        return self._series(self.wald_pvalues, "pvalue")

    @property
    def df_inference(self) -> pd.Series:
        """Degrees of freedom of the t distributions by name; NaN where the normal one is used."""
        df = self.df_by_coefficient
        return self._series(np.full(self.design.p, np.nan) if df is None else df, "df")

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high."""
        import pandas as pd

        low, high = self.bounds(level)
        return pd.DataFrame({"low": low, "high": high}, index=pd.Index(self.design.names))

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        import pandas as pd

        names = pd.Index(self.design.names)
        return pd.DataFrame(np.array(self.cov), index=names, columns=names)

    def _series(self, values: Array, name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(np.array(values), index=pd.Index(self.design.names), name=name)

    # -- combinations of coefficients --------------------------------------------------------------------

    def contrast(
        self,
        weights: Weights,
        null: ArrayLike = 0.0,
        level: float | None = None,
        adjust: str | None = None,
    ) -> Contrasts:
        """Return linear combinations of the coefficients with tests and intervals.

        Use it for what single coefficients do not say: the difference of two sources, the mean effect at a
        dose, or several coefficients together.

        Parameters
        ----------
        weights : str, list of str, dict, or array_like, shape (q, p)
            Names of coefficients; the weights of one combination, by name; a dict of such dicts; or an array
            with a row per combination and a column per coefficient.
        null : float or array_like, shape (q,)
            Values under the null hypothesis.
        level : float, optional
            Level of the intervals; default that of the fit.
        adjust : str, optional
            Adjusts the p-values for their number: "holm", "bonferroni", "sidak", "holm-sidak", "hochberg",
            "hommel", "benjamini-hochberg" or "benjamini-yekutieli".

        Returns
        -------
        Contrasts
            The combinations one by one, and their joint test.

        Raises
        ------
        UnknownChoiceError
            If a coefficient or the adjustment is not known.
        ShapeError
            If an array does not have a column for each coefficient.

        Examples
        --------
        >>> import pandas as pd
        >>> import metaexo as mx
        >>> data = pd.DataFrame({"source": ["adipose", "plant", "milk"] * 3})
        >>> y = [0.9, 0.1, 0.4, 0.7, 0.3, 0.5, 1.2, 0.2, 0.3]
        >>> fit = mx.RandomEffects(mx.EffectSizes(y, [0.04] * 9, data=data), "source").fit()
        >>> print(fit.contrast({"sourcemilk": 1, "sourceplant": -1}).to_frame().round(2).to_string())
                                  estimate    se  statistic   df  pvalue   low  high
        contrast
        sourcemilk - sourceplant       0.2  0.14       1.47  6.0    0.19 -0.13  0.53
        """
        return make_contrasts(self, weights, null, level, adjust)

    def test_terms(self, adjust: str | None = None) -> TermTests:
        """Return a test of each term of the model: that all its coefficients are zero.

        Use it for factors with several levels, whose single coefficients depend on the choice of the base.

        Parameters
        ----------
        adjust : str, optional
            Adjusts the p-values for the number of terms; see `contrast`.

        Returns
        -------
        TermTests
            Term to test, with `to_frame()`.

        Raises
        ------
        InputError
            If the model has no moderators.
        """
        return make_term_tests(self, adjust)

    def vif(self) -> VarianceInflation:
        """Return the variance inflation of each coefficient and of each term.

        Use it to see how much the coefficients suffer from being correlated: a value of 4 means a standard
        error twice as large as with uncorrelated coefficients.

        Returns
        -------
        VarianceInflation
            Factors by coefficient, and generalised factors by term.

        Raises
        ------
        InputError
            If the model has no moderators.

        References
        ----------
        Fox, J., Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
        Association 87, 178-183. https://doi.org/10.1080/01621459.1992.10475190
        """
        return variance_inflation(self)

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone).

        Raises
        ------
        TooFewStudiesError
            If the clusters of a robust covariance matrix carry no test of so many coefficients.
        """
        test = self.omnibus
        if self.robust_covariance is not None and np.isnan(test.statistic):
            tested = self.design.tested.size
            raise TooFewStudiesError(
                f"{plural(len(self.robust_covariance.clusters), 'cluster')} for a joint test of "
                f"{plural(tested, 'coefficient')}",
                f"more clusters than coefficients, with more than {tested - 1} degrees of freedom in common",
                "test fewer coefficients together with contrast() or test_terms(), or fit a smaller model",
            )
        return test

    # -- for readers -------------------------------------------------------------------------------------

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients as a table: term, estimate, se, statistic, df, pvalue, low, high.

        The column df, the degrees of freedom of the t distributions, is NaN where the normal one is used.
        """
        import pandas as pd

        low, high = self.bounds()
        return pd.DataFrame(
            {
                "term": self.design.names,
                "estimate": self.beta,
                "se": self.se,
                "statistic": self.wald_statistics,
                "df": self.df_inference.to_numpy(),
                "pvalue": self.wald_pvalues,
                "low": low,
                "high": high,
            }
        )

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table of coefficients, numbers rounded."""
        return [ReaderTable(*coefficient_rows(self))]

    def to_dict(self) -> dict[str, Any]:
        """Return coefficients, their covariance and what else the fit knows as plain values.

        For files such as JSON: numbers are not rounded, what is missing is None.
        """
        found = {
            "coefficients": LinearResults.to_frame(self),
            "df": self.df_by_coefficient,
            "covariance": self.cov,
            "level": self.level,
            **self.facts(),
        }
        return {name: plain(value) for name, value in found.items()}

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return {}


class FitResults(LinearFit, LinearResults):
    """Base of the results of all models of effects: the same questions, the same answers, the same tables.

    A family inherits it beside its record, ``class RandomEffectsResults(UnivariateFit, FitResults)``, and
    gives `q`, `residuals`, `random_effects` and `family_lines`; see ``LinearFit`` for what the record
    gives.
    """

    # -- what a family gives -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity."""

    @abstractmethod
    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""

    @abstractmethod
    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return a residual per effect: columns fitted, residual, se, z, indexed by the rows' labels."""

    @abstractmethod
    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted random effects: columns component, level, estimate, se, low, high."""

    # -- pooled effect and predictions ------------------------------------------------------------------

    @property
    def estimate(self) -> float:
        """The pooled effect, of a fit without moderators."""
        refuse_moderators(self)
        return float(self.beta[0])

    def pooled(self, level: float | None = None, kind: str = "default") -> Pooled:
        """Return the pooled effect with confidence and prediction interval.

        Parameters
        ----------
        level : float, optional
            Level of both intervals; default that of the fit.
        kind : str
            Kind of prediction interval; see `predict`.

        Raises
        ------
        InputError
            If the fit has moderators: there is no single pooled effect.
        """
        return pooled(self, level, kind)

    def predict(
        self,
        new: NewRows = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
        *,
        kind: str = "default",
        sampling_variance: float = 0.0,
        adjust: str | None = None,
        transform: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """Return mean effects at moderator values, with confidence and prediction intervals.

        The prediction interval is for the true effect of a new study: its variance adds tau2 to that of the
        mean.

        Parameters
        ----------
        new : array_like, dict or DataFrame, shape (r, q), optional
            Rows of moderators, by name or in the order of the fit, without the intercept. Default: the rows
            of the fit (one row if there are no moderators).
        level : float, optional
            Level of both intervals; default that of the fit.
        scale : {"analysis", "measure", "exp"} or callable
            What estimates and bounds are on: the scale of the analysis, that on which the measure is shown (a
            risk ratio), the exponential, or a monotone function. Standard errors stay on the scale of the
            analysis.
        kind : {"default", "riley", "hts", "t", "simple"}
            Quantile of the prediction interval. "default": that of the fit's test (t with k - p degrees of
            freedom, or normal). "riley", also called "hts": t with k - p - 1 degrees of freedom, at least 1.
            "t": t with k - p. "simple": normal, with tau alone, as if the mean were known.
        sampling_variance : float
            Sampling variance of the new study, for the interval of its observed effect; 0: of its true
            effect.
        adjust : {"bonferroni"}, optional
            Makes all r intervals hold together: each has the level 1 - (1 - level) / r.
        transform : {"analysis", "measure", "exp"} or callable, optional
            Another name of `scale`, as other packages have it.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high; the index is that
            of a table of new rows. Equal effects have no prediction interval but that of an observed one.

        Raises
        ------
        ShapeError
            If the new rows do not have a column for each moderator.
        UnknownChoiceError
            If a word is not known.
        InputError
            If the sampling variance is negative.

        References
        ----------
        Higgins, J. P. T., Thompson, S. G., Spiegelhalter, D. J. (2009). A re-evaluation of random-effects
        meta-analysis. Journal of the Royal Statistical Society A 172, 137-159.
        https://doi.org/10.1111/j.1467-985X.2008.00552.x
        Riley, R. D., Higgins, J. P. T., Deeks, J. J. (2011). Interpretation of random effects meta-analyses.
        BMJ 342, d549. https://doi.org/10.1136/bmj.d549

        Examples
        --------
        >>> import metaexo as mx
        >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04], measure="RR")
        >>> table = mx.RandomEffects(es).fit().predict(scale="measure", kind="riley")
        >>> table[["estimate", "prediction_low", "prediction_high"]].round(2).to_numpy().tolist()
        [[1.54, 0.31, 7.54]]
        """
        return predict(
            self, new, level, scale if transform is None else transform, kind, sampling_variance, adjust
        )

    def probability_above(self, value: float = 0.0, new: NewRows = None, kind: str = "default") -> Array:
        """Return the probability that the true effect of a new study exceeds a value.

        Use it to say how often an effect that matters may be expected, not only what the mean is.

        Parameters
        ----------
        value : float
            The value, on the scale of the analysis.
        new : array_like, dict or DataFrame, shape (r, q), optional
            Rows of moderators, as in `predict`.
        kind : str
            The distribution, as in `predict`.

        Returns
        -------
        ndarray, shape (r,)
            Probabilities, from the same distribution as the prediction interval; NaN where there is none.

        Examples
        --------
        >>> import metaexo as mx
        >>> es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
        >>> print(mx.RandomEffects(es).fit().probability_above(0.0).round(2))
        [0.84]
        """
        return probability_above(self, value, new, kind)

    @property
    def fitted_values(self) -> Array:
        """Mean effect at the moderators of each row, shape (k,)."""
        return frozen(np.asarray(self.design.matrix(self.k) @ self.beta))

    def cov_fitted(self) -> Array:
        """Return the covariance matrix of the fitted values, shape (k, k)."""
        x = self.design.matrix(self.k)
        return frozen(np.asarray(x @ self.cov @ x.T))

    # -- heterogeneity and robust inference --------------------------------------------------------------

    def heterogeneity(self, level: float | None = None, method: str | None = None) -> pd.DataFrame:
        """Return the heterogeneity by component, with intervals of tau2.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        method : str, optional
            How the intervals are found; default that of the family.

        Returns
        -------
        DataFrame
            A row per component: tau2 and its root tau; low and high, the interval of tau2 (not of tau; NaN
            where there is none); i2, the share of the variability of effects that the component accounts for;
            share, its share of the sum of all tau2. `attrs` holds level, method, and a note on what is
            special.
        """
        return heterogeneity_table(self, level, method)

    def robust(
        self,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        kind: str = "CR2",
        df: DfRule | None = None,
    ) -> Self:
        """Return the fit with cluster-robust standard errors, tests and intervals.

        Use it where effects depend on each other in ways that the model does not describe, such as several
        effects of one study or of one laboratory. Coefficients and heterogeneity stay as they are; contrasts,
        predictions and tables rest on the robust covariance matrix, which `robust_covariance` describes.

        Parameters
        ----------
        cluster : str or sequence of length k, optional
            Column of the data, or a label for each effect. Default: the study of each effect.
        kind : {"CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"}
            "CR2": unbiased if the model holds, the choice for few clusters; "CR0": no adjustment; "CR1",
            "CR1p", "CR1S": times G/(G-1), G/(G-p), G(N-1)/((G-1)(N-p)) for G clusters, N effects and p
            coefficients; "CR3": close to leaving out a cluster at a time.
        df : {"satterthwaite", "clusters"}, optional
            Degrees of freedom of the t and F distributions: by moments for each combination, or G - p.
            Default: "satterthwaite" for CR2 and CR3, else "clusters".

        Returns
        -------
        FitResults
            A fit of the same class.

        Raises
        ------
        UnknownChoiceError
            If `kind`, `df` or the column is not known.
        InputError
            If effects of different clusters depend on each other in the model, and `kind` or `df` needs
            independent clusters.
        NotIdentifiableError
            If there are too few clusters.

        Warns
        -----
        FewStudiesWarning
            If a test has fewer than four degrees of freedom.

        References
        ----------
        Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004
        Pustejovsky, J. E., Tipton, E. (2022). https://doi.org/10.1007/s11121-021-01246-3
        Tipton, E. (2015). Small sample adjustments for robust variance estimation with meta-regression.
        Psychological Methods 20, 375-393. https://doi.org/10.1037/met0000011

        Examples
        --------
        >>> import metaexo as mx
        >>> study = ["a", "a", "b", "b", "c", "d", "e", "f"]
        >>> y = [0.2, 0.3, 0.8, 0.6, 0.1, 0.9, 0.4, 0.5]
        >>> es = mx.EffectSizes(y, [0.04] * 8, study=study)
        >>> robust = mx.RandomEffects(es, dependence="accept").fit().robust()
        >>> print(f"{robust.se[0]:.4f}, df {robust.df_inference.iloc[0]:.2f}")
        0.1195, df 4.37
        """
        return replace(self, robust_covariance=cluster_robust(self, cluster, kind, df))  # type: ignore[type-var]

    # -- for readers -------------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, heterogeneity, data, fit."""
        found, above = None if self.design.x is not None else self.pooled(), np.nan
        if found is not None and found.prediction_low is not None and np.isfinite(self.measure.null):
            above = float(self.probability_above(self.measure.null)[0])
        return summarise(self, self.family_lines(), self.q, found, above)

    def reader_tables(self) -> list[ReaderTable]:
        """Return the coefficients and the components of the heterogeneity, numbers rounded."""
        tables = [ReaderTable(*coefficient_rows(self, self.effects))]
        components = self.heterogeneity(method=None)
        return [*tables, ReaderTable(*component_rows(components))] if len(components) else tables

    def table_notes(self) -> list[str]:
        """Return the lines below the tables: what was fitted, tests, heterogeneity, rows used."""
        family = self.family_lines()
        tests = [f"{'' if self.design.x is None else 'moderators: '}{self.omnibus}", *term_lines(self)]
        found = heterogeneity_lines(self, self.q) if len(self.tau2_by_component) < 2 else [f"Q: {self.q}"]
        lines = [*fitted_lines(self, family), *tests, *found, *family.heterogeneity, *data_lines(self)]
        return [line for line in lines if "\n" not in line]

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients as a table: term, estimate, se, statistic, df, pvalue, low, high.

        The column df, the degrees of freedom of the t distributions, is NaN where the normal one is used.
        Ratio measures have the columns ratio, ratio_low and ratio_high as well. `attrs` holds k, m, method,
        test, measure, scale, level, tau2, i2, the ledger in words, and the digest.
        """
        frame = LinearResults.to_frame(self)
        if self.measure.display_log:
            frame = with_ratios(frame)
        frame.attrs = {
            "k": self.k,
            "m": self.m,
            "method": self.method,
            "test": self.test,
            "robust": None if self.robust_covariance is None else str(self.robust_covariance),
            "measure": self.measure.code,
            "scale": self.scale,
            "level": self.level,
            "tau2": self.tau2,
            "i2": self.i2,
            "ledger": str(self.ledger),
            "digest": self.digest,
        }
        return frame

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`.

        `components` has a record per row of `heterogeneity()`. A family adds what only it knows:
        ``return super().facts() | {...}``.
        """
        components, robust, ledger = self.heterogeneity(method=None), self.robust_covariance, self.ledger
        alone = None if self.design.x is not None else self.pooled()
        return {
            "measure": self.measure.code,
            "scale": self.scale,
            "method": self.method,
            "test": self.test,
            "robust": robust
            and {"kind": robust.kind, "df_rule": robust.df_rule, "clusters": robust.clusters},
            "k": self.k,
            "m": self.m,
            "pooled": alone,
            "pooled_as_shown": (alone and self.measure.rescaled and pooled_as_shown(self, alone)) or None,
            "tau2": self.tau2,
            "tau": self.tau,
            "i2": self.i2,
            "h2": self.h2,
            "components": components.reset_index(),
            "components_interval": components.attrs,
            "q": self.q,
            "moderator_test": self.omnibus,
            "likelihood": self.fit_statistics() if self.has_likelihood else None,
            "certificate": self.certificate,
            "ledger": {"source": ledger.source, "used": len(ledger.used), "left_out": ledger.left_out},
            "derived": dict(Counter(mark.how for mark in self.derivations)),
            "cautions": self.cautions(),
            "digest": self.digest,
            "versions": self.versions,
        }

    @printed
    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        robust = self.robust_covariance
        test = self.test if robust is None else f"{robust.kind}, {plural(len(robust.clusters), 'cluster')}"
        return (
            f"{type(self).__name__}({self.measure.code}, {self.method}, {test}: k = {self.k}, "
            f"tau2 = {self.tau2:.4g})"
        )


def cluster_robust(
    fit: LinearFit, cluster: str | Sequence[object] | ArrayLike | None, kind: str, df: DfRule | None
) -> RobustCovariance:
    """Return the cluster-robust inference for a fit; see `FitResults.robust`."""
    check_choice("kind of robust covariance", kind, KINDS)
    if df is None:
        df = "satterthwaite" if kind in ("CR2", "CR3") else "clusters"
    check_choice("df", df, ("satterthwaite", "clusters"))
    if not isinstance(fit.effects, EffectSizes):
        whole = bool(fit.effects.is_exact.all())
        raise InputError(
            f"{type(fit).__name__} have no cluster-robust covariance matrix"
            + ("" if whole else ": some effects are bounds"),
            "a fit of RandomEffects or Multilevel" if whole else "effects that are points",
            f"{'fit' if whole else 'pool'} the exact effects alone: "
            "mx.RandomEffects(result.effects.exact).fit().robust()",
        )
    names, members = split_clusters(fit.effects, cluster)
    made, p = fit._sandwich_of(members, kind, df), fit.design.p
    if df == "clusters" and len(names) <= p:
        raise InputError(
            f"{plural(len(names), 'cluster')} for {plural(p, 'coefficient')} leave no degrees of freedom",
            "more clusters than coefficients",
            'use kind="CR2" with its Satterthwaite degrees of freedom, or a smaller model',
        )
    found = RobustCovariance(
        cov=made.cov,
        df=float(len(names) - p),
        kind=kind,
        df_rule=df,
        clusters=names,
        sandwich=made,
        members=tuple(members),
    )
    each = found.df_of(np.eye(p))
    few = [
        name for name, one in zip(fit.design.names, each, strict=True) if not one >= FEW_DF_ROBUST - ROUNDING
    ]
    if few:
        warn_caller(
            f"the robust tests of {', '.join(few)} have fewer than {FEW_DF_ROBUST:.0f} degrees of freedom: "
            "their p-values are not to be relied on",
            FewStudiesWarning,
        )
    return found
