"""RandomEffectsResults: the sealed outcome of one fit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.ledger import Ledger
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearResults
from metaexo.models.linear.fit_statistics import Certificate, FitStatistics, statistics_at
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.prediction import Forecasts
from metaexo.models.univariate.heterogeneity import Heterogeneity
from metaexo.models.univariate.inference import Inference, cautions_of_fit, infer
from metaexo.models.univariate.results import Cases, FurtherAnalyses
from metaexo.numeric.likelihood import log_likelihood_of
from metaexo.numeric.moment_estimators import own_weights_fit
from metaexo.numeric.moments import WeightedFit
from metaexo.numeric.problem import Batch
from metaexo.numeric.tau2 import Tau2
from metaexo.types import Array
from metaexo.versions import versions

if TYPE_CHECKING:
    from metaexo.models.univariate.summary import Summary


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffectsResults(Heterogeneity, Forecasts, Cases, FurtherAnalyses, LinearResults):
    """A fitted random-effects model; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    method, test : str
        Estimator of tau2 and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    weighting : ndarray, shape (k,), or None
        Weights of the user's own.
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
    weighting: Array | None = None
    df_given: float | None = None

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
    def ledger(self) -> Ledger:
        """Rows used and left out."""
        return self.effects.ledger or Ledger("input", tuple(range(1, self.k + 1)))

    # -- coefficients ------------------------------------------------------------------------------------

    @cached_property
    def coefficient_fit(self) -> WeightedFit:
        """The weighted fit that the coefficients come from: with own weights, or the best ones."""
        if self.weighting is None:
            return self.wls
        found: WeightedFit = lock(own_weights_fit(self.batch, self.solution.tau2))
        return found

    @cached_property
    def _inference(self) -> Inference:
        found: Inference = lock(infer(self))
        return found

    @property
    def test_scale(self) -> float:
        """Factor on the covariance matrix: weighted residual variance for Knapp-Hartung, else 1."""
        return self._inference.scale

    @property
    def df_test(self) -> float | None:
        """Degrees of freedom of the t distribution; None for z. Kenward-Roger: of the first coefficient."""
        return self._inference.df

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return np.asarray(self.coefficient_fit.beta[0])

    @property
    def cov(self) -> Array:
        """Covariance matrix of the coefficients, shape (p, p), the test's scale included."""
        return self._inference.cov

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, shape (q,); None for z.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        """
        if self.test != "kenward-roger":
            return super().df_of(rows)
        from metaexo.models.univariate.inference import adjust

        return adjust(self).df(self._combinations(rows)[0])

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the Wald test that combinations of coefficients have given values.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        null : ndarray, shape (q,)
            The values.
        words : str
            The null hypothesis in words.
        """
        if self.test != "kenward-roger":
            return super().joint_test(rows, null, words)
        from metaexo.models.univariate.inference import adjust

        rows, null = self._combinations(rows, null)
        return adjust(self).joint_test(rows @ self.beta - null, rows, words)

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the fit; empty if there is nothing.

        Few degrees of freedom, few effects, intervals without width or narrower than those of the
        equal-effects model. The same lines stand in the summary and below the tables.
        """
        return (*cautions_of_fit(self), *super().cautions())

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone)."""
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        words = "the pooled effect is zero" if self.design.x is None else f"no effect of {names}"
        return self.joint_test(np.eye(self.design.p)[tested], np.zeros(tested.size), words)

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at this fit's tau2.

        Parameters
        ----------
        restricted : bool, optional
            From the restricted likelihood; default: for REML fits.
        """
        chosen = self.method == "REML" if restricted is None else check_flag("restricted", restricted)
        count = self.design.p + (0 if self.method == "EE" or self.tau2_given else 1)
        fit = self.coefficient_fit
        llf = log_likelihood_of(self.batch, self.solution.tau2, fit.weighted_ss, fit.logdet, chosen)
        observations = float(self.df_residual if chosen else self.k)
        return statistics_at(float(llf[0]), self.effects.v, observations, count, chosen)

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
            bool(s.proved[0]),
        )

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and design: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, self.design.matrix(self.k)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()[:16]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the numbers."""
        return versions()

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        from metaexo.models.univariate.summary import summarise

        return summarise(self)

    def __repr__(self) -> str:
        return (
            f"RandomEffectsResults({self.effects.measure.code}, {self.method}, {self.test}: "
            f"k = {self.k}, tau2 = {self.tau2:.4g})"
        )
