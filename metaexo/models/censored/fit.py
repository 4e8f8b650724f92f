"""CensoredFit: the record of a model of exact and censored effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from metaexo.effects.bounded_effect_sizes import ENDS, BoundedEffectSizes
from metaexo.errors import InputError
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.censored.effects import kinds_of
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import Certificate, FitStatistics, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.censored.inference import CensoredInference
from metaexo.numeric.censored.maximum import CensoredMaximum
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.types import Array

# Tests by name, and what a summary calls them.
CENSORED_TESTS = {
    "knapp-hartung": "Knapp-Hartung, by effective numbers",
    "knapp-hartung-adhoc": "Knapp-Hartung, by effective numbers, scale at least 1",
    "t": "t distribution, by the effective number",
    "z": "normal quantiles",
}


@dataclass(frozen=True, eq=False, repr=False)
class CensoredFit(LinearFit):
    """What a model of exact and censored effects came to; the fields are described in CensoredResults."""

    effects: BoundedEffectSizes
    design: Design
    batch: CensoredBatch
    maximum: CensoredMaximum
    inference: CensoredInference
    method: str
    test: str
    level: float
    tau2_given: bool

    # -- what was fitted ---------------------------------------------------------------------------------

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is known of each effect: exact, an interval with two ends or one, a direction."""
        return kinds_of(self.effects)

    @property
    def effective(self) -> float:
        """Effective number of effects: how many exact effects carry as much information on the mean."""
        return float(self.inference.effective[0])

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom: effective number of effects less the number of coefficients."""
        return self.effective - self.design.p

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: ends, variances and design.

        Where no effect is a bound, they are those of a model of exact effects.
        """
        names = ("lower", "v_lower") if self.effects.is_exact.all() else ENDS
        return [getattr(self.effects, name) for name in names] + [self.design.matrix(self.k)]

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return lock(np.asarray(self.inference.beta[0]))

    @cached_property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests; for Knapp-Hartung scaled.

        The scale is the residual variance over its expectation.
        """
        scale = float(self.inference.scale[0]) if self.test.startswith("knapp-hartung") else 1.0
        scale = max(1.0, scale) if self.test.endswith("adhoc") else scale
        df = None if self.test == "z" else self.df_residual
        return WaldInference(np.asarray(self.inference.cov[0] * scale), df, scale)

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def tau2_is_estimated(self) -> bool:
        """Whether tau2 is estimated, and not given."""
        return not self.tau2_given

    @property
    def tau2(self) -> float:
        """Between-study variance."""
        return float(self.maximum.tau2[0])

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The between-study variance by name."""
        return {"between studies": self.tau2}

    @property
    def tau2_se(self) -> float | None:
        """Standard error of tau2 by its information; None where that is not positive."""
        se = float(self.inference.tau2_se[0])
        return None if np.isnan(se) else se

    @cached_property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002).

        Censored effects count with the variance at their finite end. 0 without residual degrees of freedom.
        """
        free = self.k - self.design.p
        if not free:
            return 0.0
        batch = make_batch(np.zeros(self.k), self.batch.v[0], self.design.x)
        return float(free / np.ravel(moments(batch, np.zeros(1)).trace_p)[0])

    # -- likelihood --------------------------------------------------------------------------------------

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        if self.tau2_given:
            return VarianceModel("none", np.empty((self.k, 0)), self.tau2)
        return VarianceModel("identity", np.ones((self.k, 1)))

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc; the restricted likelihood counts k - p effects.

        With censored effects there is no saturated model, and the deviance is -2 llf. `restricted` must be
        that of the fit, which is the default: only one of the two was maximised.
        """
        by_method = self.method == "REML"
        if restricted is not None and check_flag("restricted", restricted) != by_method:
            raise InputError(
                f"restricted is {restricted}, and the fit is by {self.method}",
                "the likelihood that was maximised",
                f'fit again with method="{"ML" if by_method else "REML"}"',
            )
        count = self.design.p + (0 if self.tau2_given else 1)
        observations = float(self.k - (self.design.p if by_method else 0))
        llf = float(self.maximum.value[0])
        found = statistics_at(llf, self.batch.v[0], observations, count, by_method)
        return replace(found, deviance=-2 * llf) if self.batch.censored.any() else found

    @property
    def certificate(self) -> Certificate:
        """What is known of the maximum of the likelihood; that there is no other one is not proved."""
        s = self.maximum
        return Certificate(
            bool(s.at_boundary[0]),
            float(s.score[0]),
            float(s.curvature[0]),
            int(s.iterations[0]),
            int(s.maxima[0]),
            proved=False,
        )
