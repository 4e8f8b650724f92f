"""UnivariateFit: the record of a fitted random-effects model of one effect per study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import Certificate, FitStatistics, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import DfRule, RobustCovariance
from metaexo.numeric.likelihood import log_likelihood_of
from metaexo.numeric.moment_estimators import own_weights_fit
from metaexo.numeric.moments import Moments, WeightedFit, moments
from metaexo.numeric.problem import Batch, without_rounding
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.numeric.tau2 import Tau2
from metaexo.numeric.weighted import projected
from metaexo.types import Array, Index


@dataclass(frozen=True, eq=False, repr=False)
class UnivariateFit(LinearFit):
    """What a random-effects model came to; `RandomEffectsResults` describes the fields."""

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
    robust_covariance: RobustCovariance | None = None

    # -- coefficients ------------------------------------------------------------------------------------

    @cached_property
    def coefficient_fit(self) -> WeightedFit:
        """The weighted fit that the coefficients come from: with user-supplied weights, or the best ones."""
        if self.weighting is None:
            return self.wls
        return lock(own_weights_fit(self.batch, self.solution.tau2))

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return np.asarray(self.coefficient_fit.beta[0])

    @property
    def df_residual(self) -> int:
        """Residual degrees of freedom k - p."""
        return self.k - self.design.p

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Return the cluster-robust covariance matrix for the rows of each cluster."""
        y, x, weights = self.effects.y, self.design.matrix(self.k), self.weighting
        total = self.total_variance
        residuals = y - x @ self.beta if weights is not None else projected(x, y, total)[0] * np.sqrt(total)
        return cluster_sandwich(
            x,
            without_rounding(residuals, y),
            members,
            [total[rows] for rows in members],
            kind,
            None if weights is None else [weights[rows] for rows in members],
        )

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def tau2(self) -> float:
        """Between-study variance."""
        return float(self.solution.tau2[0])

    @property
    def tau2_se(self) -> float | None:
        """Standard error of tau2; None where the estimator has none.

        With a given tau2 it is the one that an estimate of that size would have by (restricted) likelihood.
        """
        se = float(self.solution.se[0])
        return None if np.isnan(se) else se

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The between-study variance by name."""
        return {"between studies": self.tau2}

    @property
    def total_variance(self) -> Array:
        """Variance of each effect around the mean, v + tau2, shape (k,)."""
        return lock(np.asarray(self.effects.v + self.tau2))

    @property
    def is_random(self) -> bool:
        """Whether true effects differ between studies in this model; False for equal effects."""
        return self.method != "EE"

    @property
    def tau2_is_estimated(self) -> bool:
        """Whether tau2 is estimated, neither given nor left out of the model."""
        return self.is_random and not self.tau2_given

    @cached_property
    def at_zero(self) -> Moments:
        """Moments of the effects at tau2 = 0."""
        return moments(self.batch, 0.0)

    @cached_property
    def has_zero_variance(self) -> bool:
        """Whether a sampling variance is 0."""
        return bool((self.effects.v == 0).any())

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002).

        NaN if a sampling variance is zero; 0 without residual degrees of freedom.
        """
        if self.has_zero_variance or not self.df_residual:
            return float("nan") if self.df_residual else 0.0
        return float(self.df_residual / self.at_zero.trace_p)

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is between studies, a fraction.

        tau2 / (tau2 + typical variance); for the equal-effects model (Q - df) / Q, at least 0. NaN if a
        sampling variance is zero. 0, and not shown, without residual degrees of freedom.
        """
        if self.df_residual == 0:
            return 0.0
        if self.is_random:
            return self.tau2 / (self.tau2 + self.typical_variance)
        q = self.cochran_q
        return max(0.0, (q - self.df_residual) / q) if q > 0 else 0.0

    @property
    def h2(self) -> float:
        """Total over sampling variability; for the equal-effects model Q / df."""
        if self.df_residual == 0:
            return 1.0
        if self.is_random:
            return self.tau2 / self.typical_variance + 1
        return self.cochran_q / self.df_residual

    @property
    def cochran_q(self) -> float:
        """Cochran's Q, with weights 1 / v; NaN if a sampling variance is zero, 0 without residual df."""
        if not self.df_residual:
            return 0.0
        return float("nan") if self.has_zero_variance else float(self.at_zero.y_p_y)

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        if not self.tau2_is_estimated:
            return VarianceModel("none", np.empty((self.k, 0)), self.tau2)
        return VarianceModel("identity", np.ones((self.k, 1)))

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at this fit's tau2."""
        chosen = self.method == "REML" if restricted is None else check_flag("restricted", restricted)
        count = self.design.p + self.tau2_is_estimated
        fit = self.coefficient_fit
        llf = log_likelihood_of(self.batch, self.solution.tau2, fit.weighted_ss, fit.logdet, chosen)
        observations = float(self.df_residual if chosen else self.k)
        return statistics_at(float(llf[0]), self.effects.v, observations, count, chosen)

    @property
    def certificate(self) -> Certificate:
        """What is known about the estimate of tau2."""
        s = self.solution
        return Certificate(
            bool(s.at_boundary[0]),
            float(s.score[0]),
            float(s.curvature[0]),
            int(s.iterations[0]),
            int(s.maxima[0]),
            bool(s.proved[0]),
        )
