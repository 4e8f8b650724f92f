r"""The likelihood of a location-scale model, with its gradient and Hessian in the scale coefficients.

Effects are normal with mean X b and variances s_i = v_i + tau2_i, where log tau2 = Z a or tau2 = Z a. The
coefficients b are at their best for every a. With W = diag(1/s), P = W - W X (X'WX)^-1 X'W and r = P y,

    ML    -1/2 [ k log 2 pi + sum log s + y'Py ]
    REML  -1/2 [ (k - p) log 2 pi + sum log s + log|X'WX| - log|X'X| + y'Py ]

have the derivatives (r_i^2 - w_i) / 2 and (r_i^2 - P_ii) / 2 in s_i, and the second derivatives
-r_i P_ij r_j + w_i^2 / 2 (i = j) and -r_i P_ij r_j + P_ij^2 / 2. P is diagonal minus a matrix of rank p, so
all sums are linear in the number of effects.

References
----------
Viechtbauer, W., López-López, J. A. (2022). Location-scale models for meta-analysis. Research Synthesis
Methods 13, 697-715. https://doi.org/10.1002/jrsm.1562
Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array

LARGEST_LOG = 300.0


@dataclass(frozen=True, slots=True)
class Point:
    """The likelihood at one value of the scale coefficients."""

    coefficients: Array  # (q,): where it is
    value: float  # log-likelihood
    gradient: Array  # (q,): first derivatives
    hessian: Array  # (q, q): second derivatives
    tau2: Array  # (k,): between-study variance of each effect


@dataclass(frozen=True, slots=True)
class ScaleLikelihood:
    """The profile likelihood of the scale coefficients."""

    # y, v (k,): effects, less their unweighted fit, and sampling variances above 0
    y: Array
    v: Array
    basis: Array  # (k, p): orthonormal basis of the columns of X
    z: Array  # (k, q): columns of the scale
    log_link: bool  # whether Z a is log tau2, or tau2 itself
    restricted: bool  # whether it is the restricted likelihood
    zero: NDArray[np.bool_]  # (k,): effects whose tau2 is zero whatever the coefficients

    def tau2(self, coefficients: Array) -> Array:
        """Return the between-study variances, shape (k,)."""
        linear = self.z @ coefficients
        variance = np.exp(np.minimum(linear, LARGEST_LOG)) if self.log_link else np.maximum(linear, 0.0)
        return np.asarray(np.where(self.zero, 0.0, variance))

    def at(self, coefficients: Array) -> Point:
        """Return value, gradient and Hessian."""
        tau2 = self.tau2(coefficients)
        s = self.v + tau2
        w = 1.0 / s
        root = np.sqrt(w)
        q, upper = np.linalg.qr(self.basis * root[:, None])
        e = root * self.y
        e = e - q @ (q.T @ e)
        r, m = root * e, root[:, None] * q  # P y; P = diag(w) - m m'
        k, p = self.basis.shape
        value = np.log(s).sum() + e @ e + (k - p if self.restricted else k) * LOG_2PI
        leverage = np.einsum("kp,kp->k", m, m)
        if self.restricted:
            value += 2 * np.log(np.abs(np.diagonal(upper))).sum()
        score = 0.5 * (r**2 - w + (leverage if self.restricted else 0.0))
        d = np.where(self.zero, 0.0, tau2 if self.log_link else 1.0)[:, None] * self.z
        hessian = self._curvature(d, w, r, m, leverage)
        if self.log_link:
            hessian = hessian + (d * score[:, None]).T @ self.z
        return Point(coefficients, float(-0.5 * value), d.T @ score, 0.5 * (hessian + hessian.T), tau2)

    def _curvature(self, d: Array, w: Array, r: Array, m: Array, leverage: Array) -> Array:
        """Return D'HD with H the second derivatives in s."""
        along = (r[:, None] * m).T @ d
        own = 0.5 * w**2 - w * r**2
        if not self.restricted:
            return np.asarray((d * own[:, None]).T @ d + along.T @ along)
        cross = np.einsum("kq,kp,kr->qpr", d, m, m, optimize=True).reshape(d.shape[1], m.shape[1] ** 2)
        diagonal = own - w * leverage
        return np.asarray((d * diagonal[:, None]).T @ d + along.T @ along + 0.5 * cross @ cross.T)


def make_likelihood(x: Array, y: Array, v: Array, z: Array, link: str, restricted: bool) -> ScaleLikelihood:
    """Return the likelihood of a model with location columns x, shape (k, p), and scale columns z, (k, q)."""
    basis = np.linalg.qr(x / np.linalg.norm(x, axis=0))[0]
    rest = y
    for _ in range(2):  # the second pass removes what rounding left in
        rest = rest - basis @ (basis.T @ rest)
    return ScaleLikelihood(rest, v, basis, z, link == "log", restricted, np.zeros(y.size, dtype=bool))
