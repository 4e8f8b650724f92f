"""What a random-effects fit can be asked beyond its numbers; each answer is made in a module of its own.

What a fit says about each study: fitted values, residuals, weights, predictions of true effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metaexo.immutable import lock
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from metaexo.models.linear.hypothesis import TestResult
    from metaexo.models.linear.likelihood_ratio import VarianceModel
    from metaexo.models.linear.robust import Freedom, RobustResults
    from metaexo.models.univariate.fit import RandomEffectsResults
    from metaexo.models.univariate.henmi_copas import HenmiCopas
    from metaexo.models.univariate.profile import Tau2Profile
    from metaexo.models.univariate.residuals import Deletion


class FurtherAnalyses:
    """Methods of RandomEffectsResults that start a further analysis of the fit."""

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the table of coefficients: what was fitted, and the spread."""
        parts = cast("RandomEffectsResults", self).summary().parts
        return [*parts["What was fitted"], *parts["Spread"]]

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        from metaexo.models.linear.facts import facts_of

        return facts_of(cast("RandomEffectsResults", self))

    def robust(
        self,
        cluster: str | Sequence[object] | ArrayLike | None = None,
        kind: str = "CR2",
        freedom: Freedom | None = None,
    ) -> RobustResults:
        """Return the fit with cluster-robust standard errors, tests and intervals.

        Use it where effects depend on each other in ways that the model does not describe, such as several
        effects of one study or of one laboratory. The coefficients stay as they are.

        Parameters
        ----------
        cluster : str or sequence of length k, optional
            Column of the data, or a label for each effect. Default: the study of each effect.
        kind : {"CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"}
            "CR2": unbiased if the model holds, the choice for few clusters; "CR0": no adjustment; "CR1",
            "CR1p", "CR1S": times G/(G-1), G/(G-p), G(N-1)/((G-1)(N-p)) for G clusters, N effects and p
            coefficients; "CR3": close to leaving out a cluster at a time.
        freedom : {"satterthwaite", "clusters"}, optional
            Degrees of freedom of the t and F distributions: by moments for each combination, or G - p.
            Default: "satterthwaite" for CR2 and CR3, else "clusters".

        Returns
        -------
        RobustResults
            Coefficients, tests and intervals.

        Raises
        ------
        UnknownChoiceError
            If `kind`, `freedom` or the column is not known.
        NotIdentifiableError
            If there are too few clusters.

        Warns
        -----
        FewStudiesWarning
            If a test has fewer than four degrees of freedom.

        References
        ----------
        Pustejovsky, J. E., Tipton, E. (2018). https://doi.org/10.1080/07350015.2016.1247004
        Tipton, E. (2015). Small sample adjustments for robust variance estimation with meta-regression.
        Psychological Methods 20, 375-393. https://doi.org/10.1037/met0000011

        Examples
        --------
        >>> import metaexo as mx
        >>> study = ["a", "a", "b", "b", "c", "d", "e", "f"]
        >>> y = [0.2, 0.3, 0.8, 0.6, 0.1, 0.9, 0.4, 0.5]
        >>> es = mx.EffectSizes(y, [0.04] * 8, study=study)
        >>> robust = mx.RandomEffects(es, dependence="accept").fit().robust()
        >>> print(f"{robust.se[0]:.4f}, df {robust.df[0]:.2f}")
        0.1195, df 4.37
        """
        from metaexo.models.linear.robust import robust

        return robust(cast("RandomEffectsResults", self), cluster, kind, freedom)

    def profile(self, grid: ArrayLike | None = None, level: float | None = None) -> Tau2Profile:
        """Return the profile likelihood of tau2 on a grid.

        Use it to see how well the data tell the between-study variance, and how much the coefficients
        depend on it. ML fits are profiled by the full likelihood, all others by the restricted one.

        Parameters
        ----------
        grid : array_like, shape (g,), optional
            Values of tau2, at least 0. Default: from 0 to four times the estimate.
        level : float, optional
            Level of the intervals of the coefficients.

        Returns
        -------
        Tau2Profile
            Log-likelihoods and coefficients, with `to_frame()`.

        Raises
        ------
        InputError
            If a value is negative.
        """
        from metaexo.models.univariate.profile import profile_tau2

        return profile_tau2(cast("RandomEffectsResults", self), grid, level)

    def heteroscedasticity_test(self, kind: str = "score") -> TestResult:
        """Test whether one between-study variance fits all studies.

        Use it to ask whether tau2 itself varies, before :class:`metaexo.LocationScale` asks with what. With
        as many variances as studies the chi-square distribution is a rough guide only.

        Parameters
        ----------
        kind : {"score", "likelihood-ratio"}
            The likelihood-ratio test needs an ML fit without moderators.

        Returns
        -------
        TestResult
            Statistic on k - 1 degrees of freedom.

        Raises
        ------
        InputError
            If the fit is not by ML or REML.

        References
        ----------
        Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
        """
        from metaexo.models.univariate.heterogeneity import heteroscedasticity_test

        return heteroscedasticity_test(cast("RandomEffectsResults", self), kind)

    def henmi_copas(self, level: float | None = None) -> HenmiCopas:
        """Return the interval of Henmi and Copas, for a fit without moderators.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        HenmiCopas
            Fixed-effect estimate with an interval that allows for heterogeneity.

        Raises
        ------
        InputError
            If the fit has moderators.

        References
        ----------
        Henmi, M., Copas, J. B. (2010). https://doi.org/10.1002/sim.4029
        """
        from metaexo.errors import InputError
        from metaexo.models.univariate.henmi_copas import henmi_copas

        fit = cast("RandomEffectsResults", self)
        if fit.design.x is not None:
            raise InputError("this fit has moderators", "a fit without moderators")
        return henmi_copas(fit.effects, fit.level if level is None else level)

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        from metaexo.models.linear.likelihood_ratio import VarianceModel

        fit = cast("RandomEffectsResults", self)
        if fit.method == "EE" or fit.tau2_given:
            return VarianceModel("none", np.empty((fit.k, 0)), fit.tau2)
        return VarianceModel("identity", np.ones((fit.k, 1)))


class Cases:
    """The part of RandomEffectsResults that has an entry a study."""

    @property
    def weights(self) -> Array:
        """Share of each effect, scaled to sum to 1, shape (k,).

        1 / (v + tau2), or the user's own weights. Without moderators they make the pooled mean.
        """
        fit = cast("RandomEffectsResults", self)
        w = 1.0 / (fit.effects.v + fit.tau2) if fit.weighting is None else fit.weighting
        shares: Array = lock(np.asarray(w / w.sum()))
        return shares

    @property
    def fitted_values(self) -> Array:
        """Mean effect at each study's moderators, shape (k,)."""
        fit = cast("RandomEffectsResults", self)
        fitted: Array = lock(np.asarray(fit.design.matrix(fit.k) @ fit.beta))
        return fitted

    @cached_property
    def hat_matrix(self) -> Array:
        """The matrix that takes effects to fitted values, shape (k, k)."""
        from metaexo.models.univariate.residuals import hat_matrix

        found: Array = lock(hat_matrix(cast("RandomEffectsResults", self)))
        return found

    @property
    def hat_values(self) -> Array:
        """Leverage of each effect, the diagonal of the hat matrix, shape (k,); linear in memory."""
        from metaexo.models.univariate.residuals import hat_values

        found: Array = lock(hat_values(cast("RandomEffectsResults", self)))
        return found

    def residuals(self, kind: str = "raw") -> Array:
        """Return a residual for each effect.

        Parameters
        ----------
        kind : {"raw", "pearson", "standardised", "studentised", "cholesky"}
            "raw": effect minus fitted value. "pearson": that over the standard deviation of the effect,
            sqrt(v + tau2). "standardised": over its own standard error, which allows for the estimation of
            the coefficients. "studentised": effect minus what the other studies predict for it, over the
            standard error of that difference; the one to look at for outliers. "cholesky": uncorrelated ones,
            in order.

        Returns
        -------
        ndarray, shape (k,)
            The residuals.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis.
        Research Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
        """
        from metaexo.models.univariate.residuals import residuals

        found: Array = lock(residuals(cast("RandomEffectsResults", self), kind))
        return found

    def residual_frame(self, kind: str = "standardised") -> pd.DataFrame:
        """Return residuals with their standard errors: columns residual, se, z.

        Parameters
        ----------
        kind : {"standardised", "studentised"}
            As in `residuals`.
        """
        from metaexo.models.univariate.residuals import residual_frame

        return residual_frame(cast("RandomEffectsResults", self), kind)

    def blup(self, level: float | None = None, *, random_effects: bool = False) -> pd.DataFrame:
        """Return the best prediction of each study's true effect: its own effect drawn towards the fit.

        The prediction for study i is l y + (1 - l) f, with its fitted value f and l = tau2 / (tau2 + v).

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.
        random_effects : bool
            Return the deviations from the fitted values instead of the true effects.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row an effect.

        References
        ----------
        Raudenbush, S. W., Bryk, A. S. (1985). Empirical Bayes meta-analysis. Journal of Educational
        Statistics 10, 75-98. https://doi.org/10.3102/10769986010002075
        """
        from metaexo.models.univariate.residuals import blup

        return blup(cast("RandomEffectsResults", self), level, random_effects)

    @property
    def cooks_distance(self) -> Array:
        """How far the coefficients move without each effect, in units of their covariance, shape (k,).

        (b - b_i)' C^-1 (b - b_i), with b_i the coefficients without effect i; not divided by their number.
        NaN where the others cannot be fitted. More of this kind: :func:`metaexo.sensitivity.influence`.
        """
        fit = cast("RandomEffectsResults", self)
        moved = fit.beta - fit.deletion.beta
        if not (fit.se > 0).all():  # no spread: no units to measure a move in
            return lock(np.full(fit.k, np.nan))
        found: Array = lock(np.asarray(np.vecdot(moved, np.linalg.solve(fit.cov, moved.T).T)))
        return found

    @cached_property
    def deletion(self) -> Deletion:
        """The fits without one effect at a time, all in one batched call."""
        from metaexo.models.univariate.residuals import delete_each

        found: Deletion = lock(delete_each(cast("RandomEffectsResults", self)))
        return found
