"""What a fit says about heterogeneity: tau2, I2, H2, R2, Q, and intervals for them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice, check_level
from metaexo.models.hypothesis import TestResult, make_test
from metaexo.models.intervals import HeterogeneityInterval, Spread, heterogeneity_interval
from metaexo.models.records import lock
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import Batch, make_batch
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.effects.effect_sizes import EffectSizes
    from metaexo.models.design import Design
    from metaexo.numeric.tau2 import Tau2


class Share(NamedTuple):
    """I2 (a fraction) and H2 with the typical sampling variance that they are made with."""

    i2: float
    h2: float
    typical_variance: float


class Heterogeneity:
    """The part of RandomEffectsResults that is about heterogeneity."""

    effects: EffectSizes
    design: Design
    batch: Batch
    solution: Tau2
    method: str
    level: float
    tau2_given: bool
    weighting: Array | None

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

    @property
    def df_residual(self) -> int:
        """Residual degrees of freedom k - p."""
        return self.effects.k - self.design.p

    @cached_property
    def _at_zero(self) -> Moments:
        return moments(self.batch, 0.0)

    @cached_property
    def _has_zero_variance(self) -> bool:
        return bool((self.effects.v == 0).any())

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P) (Higgins and Thompson 2002).

        NaN if a sampling variance is zero; 0 without residual degrees of freedom.
        """
        if self._has_zero_variance or not self.df_residual:
            return float("nan") if self.df_residual else 0.0
        return float(self.df_residual / self._at_zero.trace_p)

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is between studies, a fraction.

        tau2 / (tau2 + typical variance); for the equal-effects model (Q - df) / Q, at least 0. NaN if a
        sampling variance is zero. 0, and not shown, without residual degrees of freedom.
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

    def spread_by(self, definition: str = "typical") -> Share:
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
        check_choice("definition", definition, ("typical", "harmonic-mean"))
        if definition == "typical":
            return Share(self.i2, self.h2, self.typical_variance)
        v = float(1.0 / np.mean(1.0 / self.effects.v))
        return Share(self.tau2 / (self.tau2 + v), self.tau2 / v + 1, v)

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity, with weights 1/v.

        Statistic and p-value are NaN if a sampling variance is zero: there is then no test.
        """
        null = "all studies share one true effect" if self.design.x is None else "no residual heterogeneity"
        df = self.df_residual
        if not df:
            return TestResult(0.0, "chi2", (0.0,), 1.0, null)
        if self._has_zero_variance:
            words = f"{null}; not testable, a sampling variance is zero"
            return TestResult(float("nan"), "chi2", (float(df),), float("nan"), words)
        return make_test(float(self._at_zero.y_p_y), "chi2", (df,), null)

    def conf_int_heterogeneity(
        self, method: str = "q-profile", level: float | None = None
    ) -> HeterogeneityInterval:
        """Return intervals for tau2, tau, I2 and H2.

        Parameters
        ----------
        method : str
            "q-profile": the values of tau2 that the generalised Q test does not reject; exact for normal
            effects. "generalised-q": the same with the fit's own weights. "profile-likelihood": those within
            half a chi-square quantile of the maximum, for ML and REML fits. "wald", "wald-log", "wald-sqrt":
            estimate plus and minus a multiple of its standard error, for tau2, log tau2 and tau; rough.
            "higgins-thompson": test-based, without moderators.
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
        if self.df_residual < 1:
            raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
        if self._has_zero_variance:
            raise InputError(
                "a sampling variance is zero, and intervals for heterogeneity divide by it",
                "sampling variances above 0",
                "look the rows up in the source",
            )
        spread = Spread(
            batch=self.batch,
            method=self.method,
            tau2=self.tau2,
            se=float(self.solution.se[0]),
            typical_variance=self.typical_variance,
            h2=self.h2,
            q=self.q.statistic,
            df=self.df_residual,
        )
        chosen = self.level if level is None else check_level(level)
        return heterogeneity_interval(spread, method, chosen)

    @cached_property
    def r2(self) -> float | None:
        """Share of tau2 that the moderators explain, at least 0.

        None without moderators, with a given tau2, and without residual degrees of freedom.

        (tau2 without moderators - tau2) / tau2 without moderators, both by the same method. For the
        equal-effects model the adjusted R2 of the weighted regression.
        """
        if self.design.x is None or self.tau2_given or self.df_residual == 0:
            return None
        if self.method == "EE":
            total = float(moments(self._null_batch, np.zeros(1)).y_p_y[0]) / (self.effects.k - 1)
            return max(0.0, 1 - (self.q.statistic / self.df_residual) / total) if total > 0 else 0.0
        before = self._null_tau2
        return max(0.0, (before - self.tau2) / before) if before > 0 else 0.0

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
        Lopez-Lopez, J. A., Marin-Martinez, F., Sanchez-Meca, J., Van den Noortgate, W., Viechtbauer, W.
        (2014). Estimation of the predictive power of the model in mixed-effects meta-regression: a simulation
        study. British Journal of Mathematical and Statistical Psychology 67, 30-48.
        https://doi.org/10.1111/bmsp.12002
        """
        from metaexo.models.explained import explained

        return explained(self, definition)

    @cached_property
    def _null_batch(self) -> Batch:
        """The same effects without moderators."""
        return lock(make_batch(self.effects.y, self.effects.v, weights=self.weighting))

    @cached_property
    def _null_tau2(self) -> float:
        """The between-study variance without moderators, by the method of the fit."""
        return float(get_estimator(self.method).kernel(self._null_batch).tau2[0])
