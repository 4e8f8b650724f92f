"""The sealed outcome of a model of censored evidence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from metaexo.effects.bounded_effect_sizes import ENDS, BoundedEffectSizes
from metaexo.immutable import lock
from metaexo.inputs import check_choice
from metaexo.ledger import Ledger
from metaexo.models.censored.effects import kinds_of
from metaexo.models.censored.evidence import EvidenceDiagnostics
from metaexo.models.censored.heterogeneity import CensoredSpread
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import Certificate, FitStatistics, statistics_at
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.results import Forecasts, LinearResults
from metaexo.numeric.censored.inference import CensoredInference
from metaexo.numeric.censored.limits import coefficient_limits
from metaexo.numeric.censored.maximum import CensoredMaximum
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array
from metaexo.versions import versions

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.censored.imputation import ImputedResults
    from metaexo.models.linear.summary import Summary

# Tests by name, and what a summary calls them.
CENSORED_TESTS = {
    "knapp-hartung": "Knapp-Hartung, by effective numbers",
    "knapp-hartung-adhoc": "Knapp-Hartung, by effective numbers, scale at least 1",
    "t": "t distribution, by the effective number",
    "z": "normal quantiles",
}


@dataclass(frozen=True, eq=False, repr=False)
class CensoredResults(CensoredSpread, EvidenceDiagnostics, Forecasts, LinearResults):
    """A fitted model of exact and censored effects; asking again with other choices gives a new one.

    Attributes
    ----------
    effects : BoundedEffectSizes
        What was fitted.
    design : Design
        Columns of the mean.
    batch : CensoredBatch
        The problem as the kernels see it.
    maximum : CensoredMaximum
        Estimates with their certificate.
    inference : CensoredInference
        Covariance matrix and effective numbers.
    method : {"REML", "ML"}
        Criterion of tau2.
    test : str
        Kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    tau2_given : bool
        Whether tau2 was given and not estimated.
    """

    effects: BoundedEffectSizes
    design: Design
    batch: CensoredBatch
    maximum: CensoredMaximum
    inference: CensoredInference
    method: str
    test: str
    level: float
    tau2_given: bool

    # -- counts ------------------------------------------------------------------------------------------

    @property
    def k(self) -> int:
        """Number of effects, censored ones included."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is known of each effect: exact, an interval with two ends or one, a direction."""
        return kinds_of(self.effects)

    @property
    def effective(self) -> float:
        """Effective number of effects: how many exact ones the effects are worth for the mean."""
        return float(self.inference.effective[0])

    @property
    def ledger(self) -> Ledger:
        """Rows used and left out."""
        return self.effects.ledger

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return lock(np.asarray(self.inference.beta[0]))

    @property
    def test_scale(self) -> float:
        """Factor on the covariance matrix: for Knapp-Hartung residual variance over expectation, else 1."""
        if not self.test.startswith("knapp-hartung"):
            return 1.0
        scale = float(self.inference.scale[0])
        return max(1.0, scale) if self.test.endswith("adhoc") else scale

    @property
    def cov(self) -> Array:
        """Covariance matrix of the coefficients, shape (p, p), the test's scale included."""
        return lock(np.asarray(self.inference.cov[0] * self.test_scale))

    @property
    def df_test(self) -> float | None:
        """Degrees of freedom of the t distribution; None for z."""
        return None if self.test == "z" else self.df_residual

    def conf_int(self, level: float | None = None, kind: Literal["wald", "profile"] = "wald") -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.
        kind : {"wald", "profile"}
            "wald": estimate plus and minus a multiple of its standard error, by the test of the fit.
            "profile": the values within half a chi-square quantile of the highest likelihood, tau2 and the
            other coefficients being at their best; not symmetric, and by ML whatever the method.

        Raises
        ------
        UnknownChoiceError
            If the kind is not known.
        """
        import pandas as pd

        check_choice("kind of interval", kind, ("wald", "profile"))
        if kind == "wald":
            return super().conf_int(level)
        drop = 0.5 * normal_quantile(self.at_level(level)) ** 2
        x, known = self.design.matrix(self.k), self.tau2 if self.tau2_given else None
        ends = [coefficient_limits(self.batch, x, j, drop, known) for j in range(self.design.p)]
        return pd.DataFrame(
            {"low": [float(low[0]) for low, _ in ends], "high": [float(high[0]) for _, high in ends]},
            index=pd.Index(self.design.names),
        )

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone)."""
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        words = "the pooled effect is zero" if self.design.x is None else f"no effect of {names}"
        return self.joint_test(np.eye(self.design.p)[tested], np.zeros(tested.size), words)

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self) -> FitStatistics:  # type: ignore[override]
        """Return log-likelihood, deviance, AIC, BIC and AICc; the restricted likelihood counts k - p effects.

        With censored effects there is no saturated model, and the deviance is -2 llf.
        """
        restricted = self.method == "REML"
        count = self.design.p + (0 if self.tau2_given else 1)
        observations = float(self.k - (self.design.p if restricted else 0))
        found = statistics_at(self.llf, self.batch.v[0], observations, count, restricted)
        return replace(found, deviance=-2 * self.llf) if self.batch.censored.any() else found

    @property
    def llf(self) -> float:
        """Log-likelihood; for REML with the coefficients integrated out."""
        return float(self.maximum.value[0])

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

    # -- a second way ------------------------------------------------------------------------------------

    def impute(self, draws: int = 200, seed: int = 1, draw_tau2: bool = True) -> ImputedResults:
        """Return the fit by multiple imputation of the censored effects: a second way that must agree.

        Each draw takes tau2 and the coefficients from their likelihood, draws every censored effect within
        its interval, and fits the usual random-effects model; the fits are combined by Rubin's rules. With
        many effects both ways agree but for Monte Carlo error. With few, tau2 that is drawn makes wider
        intervals than tau2 that is estimated.

        Parameters
        ----------
        draws : int
            Number of imputations, at least 2.
        seed : int
            Seed of the random numbers.
        draw_tau2 : bool
            Whether tau2 is drawn for each imputation; otherwise effects are imputed at its estimate.

        Raises
        ------
        InputError
            If there are fewer than two draws.
        NotIdentifiableError
            If too few effects are points or have two ends to draw tau2 from its likelihood.

        References
        ----------
        Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
        https://doi.org/10.1002/9780470316696
        """
        from metaexo.models.censored.imputation import impute

        return impute(self, draws, seed, draw_tau2)

    # -- provenance --------------------------------------------------------------------------------------

    @property
    def certificate(self) -> Certificate:
        """What the estimation of tau2 can vouch for; that there is no other maximum is not proved."""
        s = self.maximum
        return Certificate(
            bool(s.at_boundary[0]),
            float(s.score[0]),
            float(s.curvature[0]),
            int(s.iterations[0]),
            int(s.maxima[0]),
            proved=False,
        )

    @property
    def digest(self) -> str:
        """Fingerprint of ends, variances and design: the same data give the same one."""
        parts = [getattr(self.effects, name) for name in ENDS] + [self.design.matrix(self.k)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()[:16]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the numbers."""
        return versions()

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the table of coefficients: what was fitted, and the spread."""
        parts = self.summary().parts
        return [*parts["What was fitted"], *parts["Spread"]]

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        from metaexo.models.censored.summary import summarise

        return summarise(self)

    def __repr__(self) -> str:
        return (
            f"CensoredResults({self.effects.measure.code}, {self.method}, {self.test}: k = {self.k}, "
            f"{self.effective:.1f} effective, tau2 = {self.tau2:.4g})"
        )
