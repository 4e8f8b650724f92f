"""What a fit says about heterogeneity: Q, I2 and R2 by several definitions, and whether one tau2 fits all.

The tests of heteroscedasticity give every study its own variance tau2_i; the hypothesis is that they are
equal. The score test needs only the fit with one tau2: with P = W - W X (X'WX)^-1 X'W the restricted score
of tau2_i is ((Py)_i^2 - P_ii) / 2 and the expected information of tau2_i and tau2_j is P_ij^2 / 2. For ML the
score is (w_i^2 e_i^2 - w_i) / 2 and the information w_i^2 / 2, which has no part outside its diagonal.

The likelihood-ratio test needs the highest likelihood with all tau2_i >= 0 free. Given the mean m it is
reached at tau2_i = max(0, (y_i - m)^2 - v_i), which leaves one unknown.

References
----------
Rao, C. R. (1948). Large sample tests of statistical hypotheses concerning several parameters with
applications to problems of estimation. Mathematical Proceedings of the Cambridge Philosophical Society 44,
50-57. https://doi.org/10.1017/S0305004100023987
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaexo.errors import InputError
from metaexo.inputs import check_choice
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, make_test
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.models.univariate.intervals import heterogeneity_interval
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.likelihood import LOG_2PI, log_likelihood
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import Batch, make_batch
from metaexo.numeric.weighted import projected
from metaexo.types import Array


class Share(NamedTuple):
    """I2 (a fraction) and H2 with the typical sampling variance that they are made with."""

    i2: float
    h2: float
    typical_variance: float


def q_test(fit: UnivariateFit) -> TestResult:
    """Return Cochran's Q test of (residual) heterogeneity; NaN if a sampling variance is zero."""
    null = fit.homogeneity_words()
    df = fit.df_residual
    if not df:
        return TestResult(0.0, "chi2", (0.0,), 1.0, null)
    if fit.has_zero_variance:
        words = f"{null}; not testable, a sampling variance is zero"
        return TestResult(float("nan"), "chi2", (float(df),), float("nan"), words)
    return make_test(fit.cochran_q, "chi2", (df,), null)


def tau2_limits(fit: UnivariateFit, level: float, method: str | None) -> Tau2Limits | None:
    """Return the interval of tau2; by default Q-profile, or generalised Q where tau2 is from weights."""
    if method is None:
        if not fit.is_random or fit.df_residual < 1:
            return None
        if fit.has_zero_variance:
            return Tau2Limits({}, "", "no I2, Q or interval: a sampling variance is zero")
        method = "generalised-q" if get_estimator(fit.method).needs_weights else "q-profile"
    found = heterogeneity_interval(fit, method, level)
    (name,) = fit.tau2_by_component
    return Tau2Limits({name: (found.tau2.low, found.tau2.high)}, found.method, found.note)


def i2_by(fit: UnivariateFit, definition: str) -> Share:
    """Return I2 and H2 by a definition; see `RandomEffectsResults.i2_by`."""
    check_choice("definition", definition, ("typical", "harmonic-mean"))
    if definition == "typical":
        return Share(fit.i2, fit.h2, fit.typical_variance)
    v = harmonic_mean_variance(fit)
    return Share(fit.tau2 / (fit.tau2 + v), fit.tau2 / v + 1, v)


def harmonic_mean_variance(fit: UnivariateFit) -> float:
    """Return the harmonic mean of the sampling variances."""
    return float(1.0 / np.mean(1.0 / fit.effects.v))


def r2(fit: UnivariateFit) -> float | None:
    """Return the share of tau2 that the moderators explain; see `RandomEffectsResults.r2`."""
    if fit.design.x is None or fit.tau2_given or fit.df_residual == 0:
        return None
    if not fit.is_random:
        total = float(moments(_null_batch(fit), np.zeros(1)).y_p_y[0]) / (fit.k - 1)
        return max(0.0, 1 - (fit.cochran_q / fit.df_residual) / total) if total > 0 else 0.0
    before = _null_tau2(fit)
    return max(0.0, (before - fit.tau2) / before) if before > 0 else 0.0


def _null_batch(fit: UnivariateFit) -> Batch:
    """Return the same effects without moderators."""
    return make_batch(fit.effects.y, fit.effects.v, weights=fit.weighting)


def _null_tau2(fit: UnivariateFit) -> float:
    """Return the between-study variance without moderators, by the method of the fit."""
    return float(get_estimator(fit.method).kernel(_null_batch(fit)).tau2[0])


@dataclass(frozen=True, slots=True)
class Parts:
    """What the definitions are made of."""

    fit: UnivariateFit  # with moderators
    before: float  # tau2 without moderators
    after: float  # tau2 with moderators
    sampling: float  # harmonic mean of the sampling variances
    fitted: Array  # fitted values, shape (k,)

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
        null = float(log_likelihood(_null_batch(fit), np.array([self.before]), restricted)[0])
        saturated = -0.5 * float((LOG_2PI + np.log(fit.effects.v)).sum())
        return null, fit.fit_statistics(restricted).llf, 0.0 if restricted else saturated


def r2_by(fit: UnivariateFit, definition: str) -> float:
    """Return R2 by a definition; see `RandomEffectsResults.r2_by`."""
    check_choice("definition of R2", definition, tuple(DEFINITIONS))
    if fit.design.x is None or fit.design.intercept is None or fit.tau2_given or fit.method == "EE":
        raise InputError(
            "R2 compares the between-study variance with and without moderators, and this fit has no "
            "moderators, no intercept or no estimated tau2",
            "a random-effects fit with an intercept and moderators",
        )
    parts = Parts(
        fit=fit,
        before=_null_tau2(fit),
        after=fit.tau2,
        sampling=harmonic_mean_variance(fit),
        fitted=fit.design.matrix(fit.k) @ fit.beta,
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


def heteroscedasticity_test(fit: UnivariateFit, kind: str = "score") -> TestResult:
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


def _restricted_score(fit: UnivariateFit) -> float:
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


def _plain_score(fit: UnivariateFit) -> float:
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
