"""The adjustment of Kenward and Roger: covariance and degrees of freedom that allow for estimating tau2.

With w = 1 / (v + tau2), C = (X'WX)^-1 and u = 2 / trace(PP), the large-sample variance of the REML estimate
of tau2, the adjusted covariance is

    C + 2 u C (X'W^3 X - X'W^2 X C X'W^2 X) C.

A combination c of coefficients has 2 (c'Cc)^2 / (u g^2) degrees of freedom, g = c'C X'W^2 X C c. Joint tests
are scaled to an F distribution by matching two moments.

References
----------
Kenward, M. G., Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum
likelihood. Biometrics 53, 983-997. https://doi.org/10.2307/2533558
Partlett, C., Riley, R. D. (2017). Random effects meta-analysis: coverage performance of 95% confidence and
prediction intervals following REML estimation. Statistics in Medicine 36, 301-317.
https://doi.org/10.1002/sim.7140
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.models.hypothesis import TestResult, make_test
from metaexo.numeric.moments import moments
from metaexo.types import Array

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults


@dataclass(frozen=True, slots=True)
class KenwardRoger:
    """Adjusted covariance and what the degrees of freedom are made of.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
        Adjusted covariance matrix.
    change : ndarray, shape (p, p)
        Derivative of the covariance with respect to tau2.
    variance : float
        Large-sample variance of the estimate of tau2.
    """

    cov: Array
    change: Array
    variance: float

    def df(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations of coefficients, shape (q, p)."""
        of_rows = np.vecdot(rows @ self.cov, rows)
        change = np.vecdot(rows @ self.change, rows)
        return np.asarray(2 * of_rows**2 / (self.variance * change**2))

    def joint_test(self, difference: Array, rows: Array, null: str) -> TestResult:
        """Return the scaled F test that the `difference` of combinations, shape (q, p), is zero."""
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


def adjust(fit: RandomEffectsResults) -> KenwardRoger:
    """Return the adjustment for a REML fit.

    Raises
    ------
    InputError
        If the fit is not by REML, or has weights of its own.
    """
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
    return KenwardRoger(cov, cov @ second @ cov, variance)
