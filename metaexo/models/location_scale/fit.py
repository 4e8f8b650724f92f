"""LocationScaleFit: the record of a location-scale fit, and the numbers that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.inputs import check_flag
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.scale.maximum import ScaleMaximum
from metaexo.numeric.weighted import WeightedLeastSquares
from metaexo.types import Array


@dataclass(frozen=True, eq=False, repr=False)
class LocationScaleFit(LinearFit):
    """A fitted location-scale model; `LocationScaleResults` describes the fields."""

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
    def _at_zero(self) -> Moments:
        return moments(make_batch(self.effects.y, self.effects.v, self.design.x), 0.0)

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002)."""
        return float(self.df_residual / self._at_zero.trace_p)

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        return VarianceModel(self.link, self.scale_design.matrix(self.k))

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at the fitted variances."""
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
