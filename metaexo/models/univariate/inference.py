"""How coefficients are tested: the distribution, the degrees of freedom and the covariance matrix.

The adjustment of Kenward and Roger allows for the estimation of tau2. With w = 1 / (v + tau2),
C = (X'WX)^-1 and u = 2 / trace(PP), the large-sample variance of the REML estimate of tau2, the adjusted
covariance is

    C + 2 u C (X'W^3 X - X'W^2 X C X'W^2 X) C.

A combination c of coefficients has 2 (c'Cc)^2 / (u g^2) degrees of freedom, g = c'C X'W^2 X C c. Joint tests
are scaled to an F distribution by matching two moments.

References
----------
Knapp, G., Hartung, J. (2003). Improved tests for a random effects meta-regression with a single covariate.
Statistics in Medicine 22, 2693-2710. https://doi.org/10.1002/sim.1482
Jackson, D., Law, M., Rücker, G., Schwarzer, G. (2017). The Hartung-Knapp modification for random-effects
meta-analysis: a useful refinement but are there any residual concerns? Statistics in Medicine 36, 3923-3934.
https://doi.org/10.1002/sim.7411
Schulz, A., Schuermann, C., Skipka, G., Bender, R. (2022). Performing meta-analyses with very few studies.
Methods in Molecular Biology 2345, 91-102. https://doi.org/10.1007/978-1-0716-1566-9_6
Kenward, M. G., Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum
likelihood. Biometrics 53, 983-997. https://doi.org/10.2307/2533558
Partlett, C., Riley, R. D. (2017). Random effects meta-analysis: coverage performance of 95% confidence and
prediction intervals following REML estimation. Statistics in Medicine 36, 301-317.
https://doi.org/10.1002/sim.7140
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import TEST_NAMES, plural
from metaexo.models.linear.cautions import cautions_of_range
from metaexo.models.linear.hypothesis import TestResult, WaldInference, make_test
from metaexo.models.linear.prediction import pooled
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.numeric.moment_estimators import dersimonian_laird
from metaexo.numeric.moments import moments, weighted_fit
from metaexo.numeric.tails import normal_quantile, t_quantile
from metaexo.types import Array

# Tests by name, and what a summary calls them.
TESTS = {name: words for name, words in TEST_NAMES.items() if name != "t-containment"}
# Fewer effects than this carry a caution: tau2 is then estimated on at most three degrees of freedom.
FEW_EFFECTS = 5
MEANT_FOR_RANDOM_EFFECTS = (
    "the Knapp-Hartung test is meant for random-effects models: with equal effects its scale turns "
    "heterogeneity into the width of the interval, and agreement into too narrow a one"
)


def scale_of_test(test: str, weighted_ss: Array, df: Array | float) -> Array:
    """Return the factor of a plain test on the covariance matrix of each of several fits, shape (b,).

    Made of weighted residual sums of squares, shape (b,), and their degrees of freedom; 1 where these are 0.
    """
    if not test.startswith("knapp-hartung"):
        return np.ones(weighted_ss.shape)
    scale = np.where(np.asarray(df) > 0, weighted_ss / np.maximum(df, 1.0), 1.0)
    return np.maximum(scale, 1.0) if test == "knapp-hartung-adhoc" else scale


def infer(fit: UnivariateFit) -> WaldInference:
    """Return covariance matrix, degrees of freedom and scale of the fit's test."""
    cov = np.asarray(fit.coefficient_fit.cov[0])
    if fit.test == "z":
        return WaldInference(cov, None)
    df = float(fit.df_residual)
    if fit.test == "t":
        return WaldInference(cov, df if fit.df_given is None else fit.df_given)
    if fit.test == "kenward-roger":
        return kenward_roger(fit)
    scale = float(fit.wls.weighted_ss[0]) / df if df else 1.0
    if fit.test == "knapp-hartung-or-z":
        if t_quantile(fit.level, df) ** 2 * scale < normal_quantile(fit.level) ** 2:
            return WaldInference(cov, None)
    elif fit.test == "knapp-hartung-adhoc" or (
        fit.test == "knapp-hartung-iqwig" and _narrower_than_dersimonian_laird(fit, cov, scale)
    ):
        scale = max(1.0, scale)
    return WaldInference(cov * scale, df, scale)


def cautions_of_fit(fit: UnivariateFit) -> tuple[str, ...]:
    """Return what to know about a fit beyond the degrees of freedom of its coefficients."""
    found = []
    if fit.df_residual == 0:
        found.append(
            "one effect: there is no tau2 and no I2"
            if fit.k == 1
            else f"as many coefficients as effects ({fit.k}): there is no tau2 and no I2"
        )
    elif fit.k < FEW_EFFECTS and fit.tau2_is_estimated:
        found.append(f"only {plural(fit.k, 'effect')}: tau and the prediction interval rest on very little")
    by_model = fit.robust_covariance is None
    if by_model and fit.method == "EE" and fit.test.startswith("knapp-hartung"):
        found.append(MEANT_FOR_RANDOM_EFFECTS)
    narrower = narrower_than_equal_effects(fit) if by_model else []
    if narrower:
        found.append(
            f"the Knapp-Hartung interval of {', '.join(narrower)} is narrower than that of the equal-effects "
            'model with normal quantiles; test="knapp-hartung-adhoc" or "z" is wider'
        )
    if fit.design.x is None and fit.is_random:
        found_pooled = pooled(fit)
        ends = {"prediction interval": (found_pooled.prediction_low, found_pooled.prediction_high)}
        found.extend(cautions_of_range(fit.effects, ends))
    return tuple(found)


def narrower_than_equal_effects(fit: UnivariateFit) -> list[str]:
    """Return the coefficients whose Knapp-Hartung interval is narrower than the equal-effects one.

    The interval of the equal-effects model, with normal quantiles, leaves out the uncertainty about the
    differences between studies. See Jackson et al. (2017) above.
    """
    scale, df = fit.wald.scale, fit.df_test
    if not 0 < scale < 1 or df is None or fit.has_zero_variance:
        return []
    plain = np.diagonal(weighted_fit(fit.batch, 1.0 / fit.batch.v).cov[0])
    half, other = t_quantile(fit.level, df) * fit.se, normal_quantile(fit.level) * np.sqrt(plain)
    return [name for name, ours, least in zip(fit.design.names, half, other, strict=True) if ours < least]


def _narrower_than_dersimonian_laird(fit: UnivariateFit, cov: Array, scale: float) -> bool:
    """Say whether the Knapp-Hartung interval of the mean is narrower than that of DerSimonian and Laird."""
    if fit.design.p > 1:
        raise InputError(
            'test="knapp-hartung-iqwig" compares intervals of a mean and the fit has moderators',
            "a fit without moderators",
            'use test="knapp-hartung-adhoc"',
        )
    if fit.has_zero_variance:  # there is no such interval; the scale is at least 1, which is on the safe side
        return True
    tau2 = dersimonian_laird(fit.batch).tau2
    other = weighted_fit(fit.batch, 1.0 / (fit.batch.v + tau2[:, None])).cov[0, 0, 0]
    half = t_quantile(fit.level, fit.df_residual) * math.sqrt(scale * cov[0, 0])
    return half < normal_quantile(fit.level) * math.sqrt(other)


@dataclass(frozen=True, eq=False, kw_only=True)
class KenwardRoger(WaldInference):
    """Adjusted covariance, and what degrees of freedom are made of; df is that of the first coefficient."""

    change: Array  # derivative of the covariance with respect to tau2, shape (p, p)
    variance: float  # large-sample variance of the estimate of tau2

    def df_of(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations of coefficients, shape (q, p)."""
        of_rows = np.vecdot(rows @ self.cov, rows)
        change = np.vecdot(rows @ self.change, rows)
        return np.asarray(2 * of_rows**2 / (self.variance * change**2))

    def joint_test(self, rows: Array, difference: Array, null: str) -> TestResult:
        """Return the scaled F test that the `difference`, shape (q,), of combinations is zero."""
        count = len(rows)
        inside = np.linalg.solve(rows @ self.cov @ rows.T, rows @ self.change @ rows.T)
        a1 = self.variance * float(np.trace(inside)) ** 2
        a2 = self.variance * float(np.trace(inside @ inside))
        b = (a1 + 6 * a2) / (2 * count)
        g = ((count + 1) * a1 - (count + 4) * a2) / ((count + 2) * a2)
        unit = 3 * count + 2 * (1 - g)
        c1, c2, c3 = g / unit, (count - g) / unit, (count + 2 - g) / unit
        mean = 1 / (1 - a2 / count)
        variance = 2 / count * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
        df = 4 + (count + 2) / (count * variance / (2 * mean**2) - 1)
        statistic = float(difference @ np.linalg.solve(rows @ self.cov @ rows.T, difference)) / count
        return make_test(df / (mean * (df - 2)) * statistic, "F", (count, df), null)


def kenward_roger(fit: UnivariateFit) -> KenwardRoger:
    """Return the adjustment for a REML fit."""
    if fit.method != "REML" or fit.weighting is not None or fit.tau2_given:
        raise InputError(
            'test="kenward-roger" is derived for REML estimates with inverse-variance weights',
            'method="REML" without weights and without a given tau2',
            'use test="knapp-hartung"',
        )
    w = 1.0 / (fit.effects.v + fit.tau2)
    x = fit.design.matrix(fit.k)
    plain = np.asarray(fit.wls.cov[0])
    second = (x.T * w**2) @ x
    # X'W^3X - X'W^2X (X'WX)^-1 X'W^2X is a sum of squares, taken so that weights far apart lose no digits;
    # rows in falling order of weight keep the factorisation exact in each row
    order = np.argsort(-w)
    q, r = np.linalg.qr(np.sqrt(w[order])[:, None] * x[order])
    weighted = w[order][:, None] * np.linalg.solve(r, q.T).T
    left = weighted - q @ (q.T @ weighted)
    variance = 2.0 / float(moments(fit.batch, np.array([fit.tau2])).trace_pp[0])
    cov = plain + 2 * variance * left.T @ left
    cov = 0.5 * (cov + cov.T)
    change = cov @ second @ cov
    df = 2 * cov[0, 0] ** 2 / (variance * change[0, 0] ** 2)
    return KenwardRoger(cov=cov, df=float(df), change=change, variance=variance)
