"""RandomEffectsResults: the sealed outcome of one fit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.ledger import Ledger
from metaexo.models.coefficients import LinearResults
from metaexo.models.design import Design
from metaexo.models.fit_statistics import FitStatistics, fit_statistics
from metaexo.models.hypothesis import TestResult, make_test, wald_test
from metaexo.models.intervals import HeterogeneityInterval, heterogeneity_interval
from metaexo.models.prediction import new_rows, predict_rows
from metaexo.models.records import Certificate, Pooled
from metaexo.numeric.moments import Moments, WeightedFit, moments
from metaexo.numeric.problem import Array, Batch, make_batch
from metaexo.numeric.tau2 import Tau2

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.summary import Summary


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffectsResults(LinearResults):
    """A fitted random-effects model; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    method, test : str
        Estimator of tau2 and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    effects: EffectSizes
    design: Design
    batch: Batch
    solution: Tau2
    wls: WeightedFit
    method: str
    test: str
    level: float
    tau2_given: bool

    # -- counts ------------------------------------------------------------------------------------------

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def df_residual(self) -> int:
        """Residual degrees of freedom k - p."""
        return self.k - self.design.p

    @property
    def df_test(self) -> int | None:
        """Degrees of freedom of the t distribution; None for z."""
        return None if self.test == "z" else self.df_residual

    @property
    def ledger(self) -> Ledger:
        """Rows used and left out."""
        return self.effects.ledger or Ledger("input", tuple(range(1, self.k + 1)))

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def tau2(self) -> float:
        """Between-study variance."""
        return float(self.solution.tau2[0])

    @property
    def tau(self) -> float:
        """Between-study standard deviation, in units of the effect."""
        return float(np.sqrt(self.tau2))

    @property
    def tau2_se(self) -> float | None:
        """Standard error of tau2; None where the estimator has none.

        With a given tau2 it is the one that an estimate of that size would have by (restricted) likelihood.
        """
        se = float(self.solution.se[0])
        return None if np.isnan(se) else se

    @cached_property
    def _at_zero(self) -> Moments:
        return moments(self.batch, np.zeros(1))

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002)."""
        return float(self.df_residual / self._at_zero.trace_p[0])

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is between studies, a fraction.

        tau2 / (tau2 + typical variance); for the equal-effects model (Q - df) / Q, at least 0.
        """
        if self.df_residual == 0:
            return 0.0
        if self.method == "EE":
            q = self.q.statistic
            return max(0.0, (q - self.df_residual) / q) if q > 0 else 0.0
        return self.tau2 / (self.tau2 + self.typical_variance)

    @property
    def h2(self) -> float:
        """Total over sampling variability; for the equal-effects model Q / df."""
        if self.df_residual == 0:
            return 1.0
        if self.method == "EE":
            return self.q.statistic / self.df_residual
        return self.tau2 / self.typical_variance + 1

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity, with weights 1/v."""
        statistic = float(self._at_zero.y_p_y[0]) if self.df_residual else 0.0
        null = "all studies share one true effect" if self.design.x is None else "no residual heterogeneity"
        if not self.df_residual:
            return TestResult(0.0, "chi2", (0.0,), 1.0, null)
        return make_test(statistic, "chi2", (self.df_residual,), null)

    def conf_int_heterogeneity(
        self, method: str = "q-profile", level: float | None = None
    ) -> HeterogeneityInterval:
        """Return intervals for tau2, tau, I2 and H2.

        Parameters
        ----------
        method : {"q-profile"}
            Q-profile: the values of tau2 that the generalised Q test does not reject.
        level : float, optional
            Confidence level; default that of the fit.

        Raises
        ------
        InputError
            If there are no residual degrees of freedom.

        References
        ----------
        Viechtbauer, W. (2007). https://doi.org/10.1002/sim.2514
        """
        if self.df_residual < 1:
            raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
        return heterogeneity_interval(
            self.batch, self.tau2, self.typical_variance, method, self._level(level)
        )

    # -- coefficients ------------------------------------------------------------------------------------

    @cached_property
    def test_scale(self) -> float:
        """Factor on the covariance matrix: weighted residual variance for Knapp-Hartung, else 1."""
        if not self.test.startswith("knapp-hartung") or self.df_residual == 0:
            return 1.0
        scale = float(self.wls.weighted_ss[0]) / self.df_residual
        return max(1.0, scale) if self.test == "knapp-hartung-adhoc" else scale

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return np.asarray(self.wls.beta[0])

    @cached_property
    def cov(self) -> Array:
        """Covariance matrix of the coefficients, shape (p, p), the test's scale included."""
        return np.asarray(self.wls.cov[0] * self.test_scale)

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone)."""
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        word = "the pooled effect is zero" if self.design.x is None else f"no effect of {names}"
        return wald_test(self.beta[tested], self.cov[np.ix_(tested, tested)], self.df_test, word)

    @cached_property
    def r2(self) -> float | None:
        """Share of tau2 that the moderators explain, at least 0; None without moderators.

        (tau2 without moderators - tau2) / tau2 without moderators, both by the same method. For the
        equal-effects model the adjusted R2 of the weighted regression.
        """
        if self.design.x is None or self.tau2_given:
            return None
        null = make_batch(self.effects.y, self.effects.v)
        if self.method == "EE":
            total = float(moments(null, np.zeros(1)).y_p_y[0]) / (self.k - 1)
            return max(0.0, 1 - (self.q.statistic / self.df_residual) / total) if total > 0 else 0.0
        from metaexo.numeric.estimators import get_estimator

        before = float(get_estimator(self.method).kernel(null).tau2[0])
        return max(0.0, (before - self.tau2) / before) if before > 0 else 0.0

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at this fit's tau2.

        Parameters
        ----------
        restricted : bool, optional
            From the restricted likelihood; default: for REML fits.
        """
        chosen = self.method == "REML" if restricted is None else restricted
        count = self.design.p + (0 if self.method == "EE" or self.tau2_given else 1)
        return fit_statistics(self.batch, self.tau2, count, chosen)

    @property
    def llf(self) -> float:
        """Log-likelihood: restricted for REML fits."""
        return self.fit_statistics().llf

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.fit_statistics().aic

    @property
    def bic(self) -> float:
        """Bayesian information criterion."""
        return self.fit_statistics().bic

    @property
    def aicc(self) -> float:
        """AIC with small-sample correction."""
        return self.fit_statistics().aicc

    # -- estimates and predictions -----------------------------------------------------------------------

    @property
    def estimate(self) -> float:
        """The pooled effect, of a fit without moderators."""
        return self.pooled().estimate

    def pooled(self, level: float | None = None) -> Pooled:
        """Return the pooled effect with confidence and prediction interval.

        Raises
        ------
        InputError
            If the fit has moderators: there is no single pooled effect.
        """
        if self.design.x is not None:
            raise InputError(
                "this fit has moderators, so there is no single pooled effect",
                "a fit without moderators",
                "use predict() at the moderator values of interest",
            )
        row = self.predict(level=level).iloc[0]
        known = self.method != "EE"
        return Pooled(
            estimate=float(row["estimate"]),
            se=float(row["se"]),
            low=float(row["low"]),
            high=float(row["high"]),
            prediction_low=float(row["prediction_low"]) if known else None,
            prediction_high=float(row["prediction_high"]) if known else None,
            level=self._level(level),
        )

    def predict(
        self, new: ArrayLike | pd.DataFrame | None = None, level: float | None = None
    ) -> pd.DataFrame:
        """Return mean effects at moderator values, with confidence and prediction intervals.

        The prediction interval is for the true effect of a new study: its variance adds tau2 to that of the
        mean, and its quantile is that of the fit's test (t with k - p degrees of freedom, or normal).

        Parameters
        ----------
        new : array_like or DataFrame, shape (r, q), optional
            Rows of moderators in the order of the fit, without the intercept. Default: the rows of the fit
            (one row if there are no moderators).
        level : float, optional
            Level of both intervals.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high.

        Raises
        ------
        ShapeError
            If the new rows do not have a column for each moderator.

        References
        ----------
        Higgins, J. P. T., Thompson, S. G., Spiegelhalter, D. J. (2009).
        https://doi.org/10.1111/j.1467-985X.2008.00552.x
        """
        x = new_rows(self.design, new)
        return predict_rows(x, self.beta, self.cov, self.tau2, self._quantile(self._level(level)))

    @property
    def weights(self) -> Array:
        """Share of each effect in the pooled mean, 1 / (v + tau2) scaled to sum to 1, shape (k,)."""
        w = 1.0 / (self.effects.v + self.tau2)
        return np.asarray(w / w.sum())

    # -- provenance --------------------------------------------------------------------------------------

    @property
    def certificate(self) -> Certificate:
        """What the estimation of tau2 can vouch for."""
        s = self.solution
        return Certificate(
            bool(s.at_boundary[0]),
            float(s.score[0]),
            float(s.curvature[0]),
            int(s.iterations[0]),
            int(s.maxima[0]),
        )

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and design: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, self.design.matrix(self.k)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()[:16]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the numbers."""
        return {name: version(name) for name in ("metaexo", "numpy", "scipy")}

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        from metaexo.models.summary import summarise

        return summarise(self)

    def __repr__(self) -> str:
        return (
            f"RandomEffectsResults({self.effects.measure.code}, {self.method}, {self.test}: "
            f"k = {self.k}, tau2 = {self.tau2:.4g})"
        )
