"""What a fit of censored evidence says about heterogeneity: tau2, I2, H2, intervals and tests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.errors import InputError, NotNestedError
from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.linear.likelihood_ratio import within
from metaexo.models.univariate.intervals import HeterogeneityInterval, Interval
from metaexo.numeric.censored.inference import CensoredInference
from metaexo.numeric.censored.limits import tau2_limits
from metaexo.numeric.censored.maximum import CensoredMaximum, censored_at, censored_maximum
from metaexo.numeric.censored.rows import CensoredBatch, make_censored_batch
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import chi2_tail, normal_quantile

if TYPE_CHECKING:
    from metaexo.models.censored.fit import CensoredResults

NO_END = "the likelihood does not bound tau2 from above at this level"


class CensoredSpread:
    """The part of CensoredResults that is about heterogeneity."""

    effects: BoundedEffectSizes
    design: Design
    batch: CensoredBatch
    maximum: CensoredMaximum
    inference: CensoredInference
    method: str
    level: float
    tau2_given: bool

    @property
    def tau2(self) -> float:
        """Between-study variance."""
        return float(self.maximum.tau2[0])

    @property
    def tau(self) -> float:
        """Between-study standard deviation, in units of the effect."""
        return float(np.sqrt(self.tau2))

    @property
    def tau2_se(self) -> float | None:
        """Standard error of tau2 by its information; None where that is not positive."""
        se = float(self.inference.tau2_se[0])
        return None if np.isnan(se) else se

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom: effective number of effects less the number of coefficients."""
        return float(self.inference.effective[0]) - self.design.p

    @cached_property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002).

        Censored effects count with the variance at their finite end. 0 without residual degrees of freedom.
        """
        free = self.effects.k - self.design.p
        if not free:
            return 0.0
        batch = make_batch(np.zeros(self.effects.k), self.batch.v[0], self.design.x)
        return float(free / np.ravel(moments(batch, np.zeros(1)).trace_p)[0])

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is between studies, tau2 / (tau2 + typical variance)."""
        total = self.tau2 + self.typical_variance
        return self.tau2 / total if total > 0 else 0.0

    @property
    def h2(self) -> float:
        """Total over sampling variability."""
        return self.tau2 / self.typical_variance + 1 if self.typical_variance > 0 else 1.0

    def conf_int_heterogeneity(self, level: float | None = None) -> HeterogeneityInterval:
        """Return profile-likelihood intervals for tau2, tau, I2 and H2.

        They hold the values within half a chi-square quantile of the highest criterion; an end that the data
        do not set is infinite, and the note says so.

        Parameters
        ----------
        level : float, optional
            Confidence level; default that of the fit.

        Raises
        ------
        InputError
            If tau2 was given, and not estimated.

        References
        ----------
        Hardy, R. J., Thompson, S. G. (1996).
        https://doi.org/10.1002/(SICI)1097-0258(19960330)15:6<619::AID-SIM188>3.0.CO;2-A
        """
        if self.tau2_given:
            raise InputError("tau2 was given, so there is no interval for it", "an estimated tau2")
        fit = cast("CensoredResults", self)
        chosen = fit.at_level(level)
        drop = 0.5 * normal_quantile(chosen) ** 2
        low, high = tau2_limits(self.batch, self.maximum, self.method == "REML", drop)
        values = np.array([self.tau2, low[0], high[0]])
        typical = self.typical_variance
        h2 = values / typical + 1
        return HeterogeneityInterval(
            Interval(*map(float, values)),
            Interval(*map(float, np.sqrt(values))),
            Interval(*map(float, 1 - 1 / h2)),
            Interval(*map(float, h2)),
            "profile-likelihood",
            chosen,
            empty=False,
            note="" if np.isfinite(high[0]) else NO_END,
        )

    @cached_property
    def heterogeneity_test(self) -> TestResult:
        """Likelihood-ratio test of tau2 = 0, its p-value that of an equal mixture of chi-squares.

        It is the boundary of what tau2 can be (Self and Liang 1987). With a given tau2, that value is tested
        against the best one, and the p-value is that of chi-square.
        """
        restricted = self.method == "REML"
        if self.tau2_given:
            best = censored_maximum(self.batch, restricted)
            statistic = max(0.0, 2 * float(best.value[0] - self.maximum.value[0]))
            return make_test(statistic, "chi2", (1.0,), f"tau2 is {self.tau2:g}")
        at_zero = censored_at(self.batch, 0.0, restricted)
        statistic = max(0.0, 2 * float(self.maximum.value[0] - at_zero.value[0]))
        p = 0.5 * (float(chi2_tail(statistic, 1)) + float(statistic <= 0))
        null = "all studies share one true effect" if self.design.x is None else "no residual heterogeneity"
        return TestResult(statistic, "chi2", (1.0,), p, f"{null} (p-value of a mixture of chi-squares)")

    def likelihood_ratio_test(self, smaller: CensoredResults | None = None) -> TestResult:
        """Return the test of a smaller model against this one, both by maximum likelihood.

        Use it for moderators: the Wald test rests on a curvature at one point, this one on how far the
        likelihood falls. Both models are fitted by ML here, whatever they were fitted by.

        Parameters
        ----------
        smaller : CensoredResults, optional
            A fit of the same effects whose columns are combinations of those of this one. Default: the model
            without moderators.

        Raises
        ------
        InputError
            If there are no moderators and no smaller model.
        NotNestedError
            If the smaller fit is of other effects or no special case.
        """
        x = self.design.matrix(self.effects.k)
        if smaller is None and self.design.x is None:
            raise InputError(
                "the model has no moderators, so there is no smaller one",
                "a model with moderators",
                "heterogeneity_test tests tau2 = 0, moderator_test the pooled effect",
            )
        if smaller is not None and not hasattr(smaller, "digest_of_effects"):
            raise InputError(
                f"the smaller model is of type {type(smaller).__name__}",
                "a CensoredResults",
                "fit both with CensoredRandomEffects",
            )
        small = np.ones((self.effects.k, 1)) if smaller is None else smaller.design.matrix(self.effects.k)
        self._require_nested(smaller, small, x)
        known = self.tau2 if self.tau2_given else None
        heights = [_highest(self._batch_of(columns), known) for columns in (x, small)]
        df = float(x.shape[1] - small.shape[1])
        words = "the smaller model holds" if smaller is not None else "no effect of any moderator"
        return make_test(max(0.0, 2 * (heights[0] - heights[1])), "chi2", (df,), words)

    def _require_nested(self, smaller: CensoredResults | None, small: np.ndarray, x: np.ndarray) -> None:
        same = smaller is None or smaller.digest_of_effects == self.digest_of_effects
        if not same or not within(small, x) or small.shape[1] >= x.shape[1]:
            raise NotNestedError(
                "the smaller fit is of other effects" if not same else "the smaller fit is no special case",
                "a fit of the same effects whose columns are combinations of those of this one",
                "call the test on the larger fit and hand in the smaller one",
            )

    @property
    def digest_of_effects(self) -> tuple[bytes, ...]:
        """Ends and variances as they are: equal for fits of the same effects."""
        es = self.effects
        return tuple(a.tobytes() for a in (es.lower, es.upper, es.v_lower, es.v_upper))

    def _batch_of(self, x: np.ndarray) -> CensoredBatch:
        es = self.effects
        return make_censored_batch(es.lower, es.upper, es.v_lower, es.v_upper, x)


def _highest(batch: CensoredBatch, tau2: float | None) -> float:
    """Return the highest log-likelihood of a problem."""
    best = censored_maximum(batch, False) if tau2 is None else censored_at(batch, tau2, False)
    return float(best.value[0])
