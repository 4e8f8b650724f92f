"""LocationScaleFit: the record of a location-scale fit, and the numbers that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.inputs import check_flag
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Coefficients, LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import WaldInference, quantiles
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.scale.maximum import ScaleMaximum
from metaexo.numeric.weighted import WeightedLeastSquares
from metaexo.types import Array


@dataclass(frozen=True, eq=False, repr=False)
class ScaleFit(Coefficients):
    """Coefficients of the between-study variance, on the scale of the link.

    Attributes
    ----------
    design : Design
        Columns of the scale.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    maximum : ScaleMaximum
        Where the likelihood is highest.
    link : {"log", "identity"}
        What is linear in the scale moderators.
    test : {"t", "z"}
        Kind of test.
    """

    design: Design
    level: float
    maximum: ScaleMaximum
    link: str
    test: str

    @property
    def scale(self) -> str:
        """What the scale moderators are linear in: "log tau2" or "tau2"."""
        return "tau2" if self.link == "identity" else "log tau2"

    @property
    def beta(self) -> Array:
        """Coefficients, shape (q,); infinite or NaN where the likelihood increases without bound."""
        return self.maximum.coefficients

    @property
    def model_inference(self) -> WaldInference:
        """Inverse of the observed information, shape (q, q), NaN at the boundary; t on k - q, or z."""
        df = None if self.test == "z" else float(self.maximum.tau2.size - self.design.p)
        return WaldInference(self.maximum.cov, df)

    def tau2_at(self, z: Array) -> Array:
        """Return tau2 at rows of the scale, shape (r,); NaN where an infinite coefficient leaves it open."""
        with np.errstate(invalid="ignore"):
            parts = np.where(z == 0, 0.0, z * self.beta)  # 0 times infinity counts as 0
            linear = parts.sum(axis=1)
        return np.asarray(np.exp(linear) if self.link == "log" else np.maximum(linear, 0.0))

    def mean_limits(self, level: float) -> tuple[float, float]:
        """Return the Wald interval of the mean of tau2 over the effects; of its logarithm with a log link."""
        tau2 = self.maximum.tau2
        z = self.design.matrix(tau2.size)
        mean, slope = tau2.mean(), z.mean(axis=0)
        if self.link == "log":
            slope = (z.T @ tau2) / max(tau2.sum(), 1e-300)
        half = float(quantiles(level, self.df_test)) * float(np.sqrt(slope @ self.cov @ slope))
        if self.link == "log":
            return float(mean * np.exp(-half)), float(mean * np.exp(half))
        return float(np.maximum(mean - half, 0.0)), float(mean + half)


@dataclass(frozen=True, eq=False, repr=False)
class LocationScaleFit(LinearFit):
    """A fitted location-scale model; its own coefficients are those of the location.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design, scale_design : Design
        Columns of the location and of the scale.
    wls : WeightedLeastSquares
        The location at the fitted variances.
    maximum : ScaleMaximum
        The scale with its certificate and its log.
    link : {"log", "identity"}
        What is linear in the scale moderators.
    method, test : str
        Likelihood and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    effects: EffectSizes
    design: Design
    scale_design: Design
    wls: WeightedLeastSquares
    maximum: ScaleMaximum
    link: str
    method: str
    test: str
    level: float

    @property
    def beta(self) -> Array:
        """Location coefficients, shape (p,)."""
        return self.wls.beta

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the location coefficients, and their tests: t on k - p, or z."""
        return WaldInference(self.wls.cov, None if self.test == "z" else self.df_residual)

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: effects, variances and both designs."""
        return [*super().digest_parts(), self.scale_design.matrix(self.k)]

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def tau2_by_effect(self) -> Array:
        """Between-study variance of each effect, shape (k,)."""
        return self.maximum.tau2

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The between-study variance by name: its mean over the effects."""
        return {"between studies": float(self.tau2_by_effect.mean())}

    @property
    def new_effect_variance(self) -> float:
        """Variance of a new true effect around its mean; NaN where it depends on scale moderators."""
        return self.tau2 if self.scale_design.x is None else float("nan")

    @cached_property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002)."""
        batch = make_batch(self.effects.y, self.effects.v, self.design.x)
        return float(self.df_residual / moments(batch, 0.0).trace_p)

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        return VarianceModel(self.link, self.scale_design.matrix(self.k))

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at the fitted variances.

        Parameters
        ----------
        restricted : bool, optional
            From the restricted likelihood; default: for REML fits.
        """
        chosen = self.method == "REML" if restricted is None else check_flag("restricted", restricted)
        observations = self.k - self.design.p if chosen else self.k
        total = np.log(self.effects.v + self.tau2_by_effect).sum() + self.wls.residuals @ self.wls.residuals
        llf = -0.5 * (observations * LOG_2PI + total + (self.wls.logdet if chosen else 0.0))
        count = self.design.p + self.scale_design.p
        return statistics_at(float(llf), self.effects.v, observations, count, chosen)

    @property
    def certificate(self) -> ScaleMaximum:
        """What is known about the maximum of the likelihood: slope, curvature, and the log of the starts."""
        return self.maximum
