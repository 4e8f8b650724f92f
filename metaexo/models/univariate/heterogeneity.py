"""What a fit says about heterogeneity: tau2, I2, H2, R2, Q, and intervals for them.

Definitions of R2: how much of the heterogeneity the moderators explain.

Tests of whether one between-study variance fits all studies.

Every study is given a variance of its own, tau2_i, and the hypothesis is that they are equal. The score test
needs only the fit with one tau2: with P = W - W X (X'WX)^-1 X'W the restricted score of tau2_i is
((Py)_i^2 - P_ii) / 2 and the expected information of tau2_i and tau2_j is P_ij^2 / 2. For ML the score is
(w_i^2 e_i^2 - w_i) / 2 and the information w_i^2 / 2, which has no part outside its diagonal.

The likelihood-ratio test needs the highest likelihood with all tau2_i >= 0 free. Given the mean m it is
reached at tau2_i = max(0, (y_i - m)^2 - v_i), which leaves one unknown.

References
----------
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
problems. Journal of the American Statistical Association 72, 320-338.
https://doi.org/10.1080/01621459.1977.10480998
Rao, C. R. (1948). Large sample tests of statistical hypotheses concerning several parameters with
applications to problems of estimation. Mathematical Proceedings of the Cambridge Philosophical Society 44,
50-57. https://doi.org/10.1017/S0305004100023987
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from metaexo.errors import InputError
from metaexo.immutable import lock
from metaexo.inputs import check_choice, check_level
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.univariate.intervals import HeterogeneityInterval, Spread, heterogeneity_interval
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood import LOG_2PI, log_likelihood
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.weighted import projected
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.effects.effect_sizes import EffectSizes
    from metaexo.models.linear.design import Design
    from metaexo.models.univariate.fit import RandomEffectsResults
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
        from metaexo.models.univariate.heterogeneity import explained

        return explained(self, definition)

    @cached_property
    def _null_batch(self) -> Batch:
        """The same effects without moderators."""
        return lock(make_batch(self.effects.y, self.effects.v, weights=self.weighting))

    @cached_property
    def _null_tau2(self) -> float:
        """The between-study variance without moderators, by the method of the fit."""
        return float(get_estimator(self.method).kernel(self._null_batch).tau2[0])


@dataclass(frozen=True, slots=True)
class Parts:
    """What the definitions are made of.

    Attributes
    ----------
    fit : RandomEffectsResults
        The fit with moderators.
    before, after, sampling : float
        tau2 without and with moderators, harmonic mean of the sampling variances.
    fitted : ndarray, shape (k,)
        Fitted values.
    """

    fit: RandomEffectsResults
    before: float
    after: float
    sampling: float
    fitted: Array

    @property
    def of_fitted(self) -> float:
        """Variance of the fitted values."""
        return float(np.var(self.fitted, ddof=1))

    def likelihoods(self) -> tuple[float, float, float]:
        """Return the log-likelihoods without and with moderators and of the saturated model.

        Restricted for REML fits, where that of the saturated model is one.
        """
        fit = self.fit
        restricted = fit.method == "REML"
        null = float(log_likelihood(fit._null_batch, np.array([self.before]), restricted)[0])
        saturated = -0.5 * float((LOG_2PI + np.log(fit.effects.v)).sum())
        return null, fit.fit_statistics(restricted).llf, 0.0 if restricted else saturated


def explained(fit: Heterogeneity, definition: str) -> float:
    """Return R2 by a definition; see `RandomEffectsResults.r2_by`."""
    check_choice("definition of R2", definition, tuple(DEFINITIONS))
    if fit.design.x is None or fit.design.intercept is None or fit.tau2_given or fit.method == "EE":
        raise InputError(
            "R2 compares the between-study variance with and without moderators, and this fit has no "
            "moderators, no intercept or no estimated tau2",
            "a random-effects fit with an intercept and moderators",
        )
    full = cast("RandomEffectsResults", fit)
    parts = Parts(
        fit=full,
        before=fit._null_tau2,
        after=fit.tau2,
        sampling=float(1.0 / np.mean(1.0 / fit.effects.v)),
        fitted=fit.design.matrix(fit.effects.k) @ full.beta,
    )
    return max(0.0, DEFINITIONS[definition](parts))


def _of_tau2(parts: Parts) -> float:
    return (parts.before - parts.after) / parts.before if parts.before > 0 else 0.0


def _of_total(parts: Parts) -> float:
    return (parts.before - parts.after) / (parts.before + parts.sampling)


def _share_of_fitted(parts: Parts, rest: float) -> float:
    total = parts.of_fitted + rest
    return parts.of_fitted / total if total > 0 else 0.0


def _fitted_over(parts: Parts, total: float) -> float:
    return parts.of_fitted / total if total > 0 else math.nan


def _correlation(parts: Parts, weights: Array) -> float:
    share = weights / weights.sum()
    y, fitted = parts.fit.effects.y, parts.fitted
    y, fitted = y - share @ y, fitted - share @ fitted
    spread = (share @ y**2) * (share @ fitted**2)
    return float((share @ (y * fitted)) ** 2 / spread) if spread > 0 else 0.0


def _cox_snell(parts: Parts) -> float:
    null, full, _ = parts.likelihoods()
    return -math.expm1(2 * (null - full) / parts.fit.k)


def _nagelkerke(parts: Parts) -> float:
    return _cox_snell(parts) / -math.expm1(2 * parts.likelihoods()[0] / parts.fit.k)


def _mcfadden(parts: Parts) -> float:
    null, full, _ = parts.likelihoods()
    return 1 - full / null


def _deviance(parts: Parts) -> float:
    null, full, saturated = parts.likelihoods()
    return (full - null) / (saturated - null)


DEFINITIONS: dict[str, Callable[[Parts], float]] = {
    "tau2": _of_tau2,
    "tau2-of-total": _of_total,
    "fitted": lambda p: _share_of_fitted(p, p.after),
    "fitted-of-total": lambda p: _share_of_fitted(p, p.after + p.sampling),
    "fitted-of-tau2": lambda p: _fitted_over(p, p.before),
    "fitted-of-tau2-total": lambda p: _fitted_over(p, p.before + p.sampling),
    "correlation": lambda p: _correlation(p, np.ones(p.fit.k)),
    "weighted-correlation": lambda p: _correlation(p, 1.0 / (p.fit.effects.v + p.after)),
    "mcfadden": _mcfadden,
    "cox-snell": _cox_snell,
    "nagelkerke": _nagelkerke,
    "deviance": _deviance,
}


KINDS = ("score", "likelihood-ratio")
POINTS = 64
HALVINGS = 60


def heteroscedasticity_test(fit: RandomEffectsResults, kind: str = "score") -> TestResult:
    """Return the test of equal tau2; see `RandomEffectsResults.heteroscedasticity_test`."""
    check_choice("test", kind, KINDS)
    if fit.method not in ("ML", "REML") or fit.tau2_given:
        raise InputError(f"the fit is by {fit.method}", 'a fit by "ML" or "REML"')
    if fit.df_residual < 1 or (fit.effects.v == 0).any():
        raise InputError(
            "there are no residual degrees of freedom, or sampling variances of zero",
            "more effects than coefficients and sampling variances above 0",
        )
    null = "all studies share one between-study variance"
    if kind == "score" and fit.method == "REML" and fit.df_residual == 1:
        words = f"{null}; not testable with one residual degree of freedom"
        return TestResult(np.nan, "chi2", (float(fit.k - 1),), np.nan, words)
    if kind == "score":
        statistic = _restricted_score(fit) if fit.method == "REML" else _plain_score(fit)
        return make_test(statistic, "chi2", (fit.k - 1,), null)
    if fit.method != "ML" or fit.design.x is not None:
        raise InputError(
            "the likelihood-ratio test needs the full likelihood of a model without moderators",
            'a fit with method="ML" and no moderators',
            'or use kind="score"',
        )
    gain = 2 * (highest_likelihood(fit.effects.y, fit.effects.v) - fit.fit_statistics(False).llf)
    return make_test(max(0.0, gain), "chi2", (fit.k - 1,), null)


def _restricted_score(fit: RandomEffectsResults) -> float:
    """Return g' I^-1 g of the restricted likelihood; I is inverted on the space where it has spread.

    In units of v_i + tau2 the score is (w_i e_i^2 - M_ii) / 2 and the information M_ij^2 / 2, with M the
    projector off the weighted design.
    """
    residuals, basis = projected(fit.design.matrix(fit.k), fit.effects.y, fit.effects.v + fit.tau2)
    projector = np.eye(fit.k) - basis @ basis.T
    score = residuals**2 - np.diagonal(projector)
    values, vectors = np.linalg.eigh(projector**2)
    kept = values > values.max() * fit.k * np.finfo(float).eps
    return float(0.5 * ((vectors[:, kept].T @ score) ** 2 / values[kept]).sum())


def _plain_score(fit: RandomEffectsResults) -> float:
    residuals, _ = projected(fit.design.matrix(fit.k), fit.effects.y, fit.effects.v + fit.tau2)
    return float(0.5 * ((residuals**2 - 1) ** 2).sum())


def highest_likelihood(y: Array, v: Array) -> float:
    """Return the highest log-likelihood with a mean and a between-study variance of each study.

    Minus twice the likelihood at a mean m is the sum of log s_i + (y_i - m)^2 / s_i with s_i the larger of
    v_i and (y_i - m)^2. Its derivative in m is continuous; it is looked at between the points where an s_i
    changes its form, and every change from falling to rising is refined by halving.
    """
    breaks = np.unique(np.concatenate([y - np.sqrt(v), y, y + np.sqrt(v)]))
    breaks = breaks[(breaks >= y.min()) & (breaks <= y.max())]
    if breaks.size < 2:
        return _likelihood(y, v, np.array([float(y[0])]))
    steps = np.linspace(0.0, 1.0, POINTS, endpoint=False)
    grid = np.append((breaks[:-1, None] + np.diff(breaks)[:, None] * steps).ravel(), breaks[-1])
    slope = _slope(y, v, grid)
    low = np.flatnonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    a, b = grid[low], grid[low + 1]
    for _ in range(HALVINGS):
        middle = 0.5 * (a + b)
        falling = _slope(y, v, middle) < 0
        a, b = np.where(falling, middle, a), np.where(falling, b, middle)
    return _likelihood(y, v, np.append(0.5 * (a + b), grid))


def _slope(y: Array, v: Array, mean: Array) -> Array:
    """Return the derivative of minus twice the likelihood, at each mean."""
    e = mean[:, None] - y
    near = e**2 <= v
    return np.asarray(np.where(near, e / v, 1.0 / np.where(near, 1.0, e)).sum(axis=1))


def _likelihood(y: Array, v: Array, mean: Array) -> float:
    """Return the highest likelihood over the given means."""
    square = (mean[:, None] - y) ** 2
    total = np.maximum(v, square)
    return float((-0.5 * (LOG_2PI + np.log(total) + square / total).sum(axis=1)).max())
