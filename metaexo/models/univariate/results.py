"""RandomEffectsResults: what a fitted random-effects model of one effect per study can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import percent
from metaexo.immutable import lock
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, WaldInference
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.models.univariate.heterogeneity import (
    Share,
    heteroscedasticity_test,
    i2_by,
    q_test,
    r2,
    r2_by,
    tau2_limits,
)
from metaexo.models.univariate.inference import TESTS, cautions_of_fit, infer
from metaexo.models.univariate.intervals import (
    HenmiCopas,
    HeterogeneityInterval,
    henmi_copas,
    heterogeneity_interval,
)
from metaexo.models.univariate.profile import Tau2Profile, profile_tau2
from metaexo.models.univariate.residuals import (
    Deletion,
    delete_each,
    hat_matrix,
    hat_values,
    predicted_effects,
    random_effects,
    residual_covariance,
    residuals,
)
from metaexo.numeric.estimators import get_estimator
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffectsResults(UnivariateFit, FitResults):
    """A fitted random-effects model; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design : Design
        Columns of the linear predictor.
    batch : Batch
        The problem as the kernels see it.
    solution : Tau2
        The between-study variance with its certificate.
    wls : WeightedFit
        The weighted fit with weights 1 / (v + tau2).
    method, test : str
        Estimator of tau2 and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    tau2_given : bool
        Whether tau2 was given and not estimated.
    weighting : ndarray, shape (k,), or None
        User-supplied weights.
    df_given : float or None
        User-supplied degrees of freedom.
    robust_covariance : RobustCovariance or None
        Cluster-robust inference, in a fit that ``robust()`` returned; None for that of the model.
    """

    # -- coefficients ------------------------------------------------------------------------------------

    @cached_property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests by the model."""
        return lock(infer(self))

    @property
    def test_scale(self) -> float:
        """Factor on the covariance matrix: weighted residual variance for Knapp-Hartung, else 1."""
        return self.wald.scale

    def henmi_copas(self, level: float | None = None) -> HenmiCopas:
        """Return the interval of Henmi and Copas, for a fit without moderators; see `metaexo.henmi_copas`."""
        if self.design.x is not None:
            raise InputError("this fit has moderators", "a fit without moderators")
        return henmi_copas(self.effects, self.level if level is None else level)

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing.

        Few degrees of freedom, few effects, intervals without width or narrower than those of the
        equal-effects model. The same lines stand in the summary and below the tables.
        """
        return (*cautions_of_fit(self), *super().cautions())

    # -- heterogeneity -----------------------------------------------------------------------------------

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity, with weights 1/v.

        Statistic and p-value are NaN if a sampling variance is zero: there is then no test.
        """
        return q_test(self)

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the interval of tau2 for the table of heterogeneity; see `conf_int_heterogeneity`."""
        return tau2_limits(self, level, method)

    def conf_int_heterogeneity(
        self, method: str = "q-profile", level: float | None = None
    ) -> HeterogeneityInterval:
        """Return intervals for tau2, tau, I2 and H2.

        Parameters
        ----------
        method : str
            "q-profile": the values of tau2 that the generalised Q test does not reject; exact for normal
            effects. "generalised-q": the same with the user-supplied weights of the model.
            "profile-likelihood": those within half a chi-square quantile of the maximum, for ML and REML
            fits. "wald", "wald-log", "wald-sqrt": estimate plus and minus a multiple of its standard error,
            for tau2, log tau2 and tau; rough. "higgins-thompson": test-based, without moderators.
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        HeterogeneityInterval
            Estimates and bounds, with a note on what is special.

        Raises
        ------
        UnknownChoiceError
            If the method is not known.
        InputError
            If the method does not go with the fit, or there are no residual degrees of freedom.

        References
        ----------
        Viechtbauer, W. (2007). https://doi.org/10.1002/sim.2514
        Jackson, D. (2013). https://doi.org/10.1002/jrsm.1081
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        Higgins, J. P. T., Thompson, S. G. (2002). https://doi.org/10.1002/sim.1186
        """
        return heterogeneity_interval(self, method, self.at_level(level))

    def i2_by(self, definition: str = "typical") -> Share:
        """Return I2 and H2 by another definition of the sampling variance of a typical study.

        Parameters
        ----------
        definition : {"typical", "harmonic-mean"}
            "typical": (k - p) / trace(P), as in `i2`; "harmonic-mean": that of the sampling variances.

        Raises
        ------
        UnknownChoiceError
            If the definition is not known.

        References
        ----------
        Higgins, J. P. T., Thompson, S. G. (2002). https://doi.org/10.1002/sim.1186
        Takkouche, B., Khudyakov, P., Costa-Bouzas, J., Spiegelman, D. (2013). Confidence intervals for
        heterogeneity measures in meta-analysis. American Journal of Epidemiology 178, 993-1004.
        https://doi.org/10.1093/aje/kwt060
        """
        return i2_by(self, definition)

    @cached_property
    def r2(self) -> float | None:
        """Share of tau2 that the moderators explain, at least 0.

        (tau2 without moderators - tau2) / tau2 without moderators, both by the same method. For the
        equal-effects model the adjusted R2 of the weighted regression. None without moderators, with a given
        tau2, and without residual degrees of freedom.
        """
        return r2(self)

    def r2_by(self, definition: str) -> float:
        """Return the share that the moderators explain, at least 0, by one of several definitions.

        Use it to compare with publications; `r2` is the usual one. With t0 and t the between-study variance
        without and with moderators, s the harmonic mean of the sampling variances, F the variance of the
        fitted values, and l0, l, ls the (restricted) log-likelihoods without and with moderators and of the
        saturated model:

        =========================  ======================================================
        "tau2"                     (t0 - t) / t0, which is `r2`
        "tau2-of-total"            (t0 - t) / (t0 + s)
        "fitted"                   F / (F + t)
        "fitted-of-total"          F / (F + t + s)
        "fitted-of-tau2"           F / t0
        "fitted-of-tau2-total"     F / (t0 + s)
        "correlation"              squared correlation of effects and fitted values
        "weighted-correlation"     the same with weights 1 / (v + t)
        "mcfadden"                 1 - l / l0
        "cox-snell"                1 - exp(2 (l0 - l) / k)
        "nagelkerke"               the same over its largest value, 1 - exp(2 l0 / k)
        "deviance"                 (l - l0) / (ls - l0)
        =========================  ======================================================

        Parameters
        ----------
        definition : str
            One of the words above.

        Raises
        ------
        UnknownChoiceError
            If the definition is not known.
        InputError
            If the fit has no moderators, no intercept, or no estimated tau2.

        References
        ----------
        López-López, J. A., Marín-Martínez, F., Sánchez-Meca, J., Van den Noortgate, W., Viechtbauer, W.
        (2014). Estimation of the predictive power of the model in mixed-effects meta-regression: a simulation
        study. British Journal of Mathematical and Statistical Psychology 67, 30-48.
        https://doi.org/10.1111/bmsp.12002
        """
        return r2_by(self, definition)

    def profile(self, grid: ArrayLike | None = None, level: float | None = None) -> Tau2Profile:
        """Return the profile likelihood of tau2 on a grid.

        Use it to see how well the data determine the between-study variance, and how much the coefficients
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
        return profile_tau2(self, grid, level)

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
        Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
        problems. Journal of the American Statistical Association 72, 320-338.
        https://doi.org/10.1080/01621459.1977.10480998
        """
        return heteroscedasticity_test(self, kind)

    # -- studies -----------------------------------------------------------------------------------------

    @property
    def weights(self) -> Array:
        """Share of each effect, scaled to sum to 1, shape (k,).

        1 / (v + tau2), or the user-supplied weights. Without moderators they make the pooled mean.
        """
        w = 1.0 / self.total_variance if self.weighting is None else self.weighting
        return lock(np.asarray(w / w.sum()))

    @cached_property
    def hat_matrix(self) -> Array:
        """The matrix that takes effects to fitted values, shape (k, k)."""
        return lock(hat_matrix(self))

    @property
    def hat_values(self) -> Array:
        """Leverage of each effect, the diagonal of the hat matrix, shape (k,); linear in memory."""
        return lock(hat_values(self))

    def cov_effects(self) -> Array:
        """Return the covariance matrix of the effects under the model, sampling errors included, (k, k)."""
        return lock(np.diag(self.total_variance))

    def cov_residuals(self) -> Array:
        """Return the covariance matrix of the raw residuals, shape (k, k)."""
        return lock(residual_covariance(self))

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return a residual per effect: columns fitted, residual, its standard error se, and their ratio z.

        Parameters
        ----------
        kind : {"standardized", "studentized", "pearson", "cholesky"}
            What the standard error is. "standardized": that of the residual, which allows for the estimation
            of the coefficients. "studentized": effect minus what the other studies predict for it, over the
            standard error of that difference; the one to look at for outliers. "pearson": the standard
            deviation of the effect, sqrt(v + tau2). "cholesky": that of uncorrelated residuals, in order;
            here the same.

        References
        ----------
        Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis.
        Research Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11
        """
        return residuals(self, kind, lambda: self.deletion)

    def blup(self, level: float | None = None) -> pd.DataFrame:
        """Return the best prediction of each study's true effect: its own effect drawn towards the fit.

        The prediction for study i is l y + (1 - l) f, with its fitted value f and l = tau2 / (tau2 + v).

        Parameters
        ----------
        level : float, optional
            Level of the intervals; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, one row per effect.

        References
        ----------
        Raudenbush, S. W., Bryk, A. S. (1985). Empirical Bayes meta-analysis. Journal of Educational
        Statistics 10, 75-98. https://doi.org/10.3102/10769986010002075
        """
        return predicted_effects(self, self.tau2, level, deviations=False)

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted deviation of each study's true effect from its fitted value.

        Columns component, level (the row's label), estimate, se, low, high, one row per effect.
        """
        return random_effects(self, self.tau2, level)

    @property
    def cooks_distance(self) -> Array:
        """How far the coefficients move without each effect, in units of their covariance, shape (k,).

        (b - b_i)' C^-1 (b - b_i), with b_i the coefficients without effect i; not divided by their number.
        NaN where the others cannot be fitted. More of this kind: :func:`metaexo.sensitivity.influence`.
        """
        moved = self.beta - self.deletion.beta
        if not (self.se > 0).all():  # no spread: no units to measure a move in
            return lock(np.full(self.k, np.nan))
        return lock(np.asarray(np.vecdot(moved, np.linalg.solve(self.cov, moved.T).T)))

    @cached_property
    def deletion(self) -> Deletion:
        """The fits without one effect at a time, all in one batched call."""
        return lock(delete_each(self))

    # -- for readers -------------------------------------------------------------------------------------

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        return _family_lines(self, self.r2)

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return super().facts() | {
            "method": "given" if self.tau2_given else self.method,
            "user_weights": self.weighting is not None,
            "tau2_se": self.tau2_se,
            "r2": self.r2,
        }


def _family_lines(fit: UnivariateFit, r2: float | None) -> FamilyLines:
    """Return model, estimator and test in words, the share explained, and how the maximum was found."""
    fitted = (
        [f"tau2: {'given' if fit.tau2_given else get_estimator(fit.method).name}"] if fit.is_random else []
    )
    if fit.weighting is not None:
        fitted.append("weights: as given, not 1 / (v + tau2)")
    return FamilyLines(
        model="Random-effects model" if fit.is_random else "Equal-effects model",
        tests=TESTS[fit.test],
        fitted=tuple(fitted),
        heterogeneity=() if r2 is None else (f"R2 {percent(r2)} of tau2 explained by the moderators",),
        certificate=tuple(_certificate(fit)),
    )


def _certificate(fit: UnivariateFit) -> list[str]:
    found = fit.certificate
    if np.isnan(found.score):
        state = "closed form"
    elif found.at_boundary:
        state = "at the boundary tau2 = 0, where no positive value fits better"
    else:
        state = "converged"
    if fit.method not in ("ML", "REML") or fit.tau2_given:
        return [state]
    maximum = "global maximum verified" if found.proved else "highest maximum of a fine scan"
    several = "" if found.maxima == 1 else f": the highest of {found.maxima} local maxima"
    return [state, maximum + several]
