"""The log-likelihood of a selection model with its gradient and Hessian, for a batch of parameters.

An effect y with sampling variance v is normal around x'beta with variance s^2 = tau2 + v, and is seen with a
probability proportional to a weight w. Its density is that of the selected effects,

    w(y) phi((y - x'beta) / s) / (s A),  A = integral of w(y) phi((y - x'beta) / s) / s over all y.

All derivatives follow from moments of the selected effects. With u = (y - x'beta) / s, and d the derivatives
of log w by the parameters of the weights, the score of one effect is that of the normal model and of log w,
less its mean over the selected effects, and minus the Hessian is its covariance plus what the observed score
adds. `Moments` holds these means: by closed forms for steps (`steps`), by quadrature for smooth weights
(`smooth`).

The parameters, a row of theta, are the coefficients, the logarithm of tau2 + `floor` and those of the
weights; the latter two in that order, each as log(value + shift) (or as they are, where the shift is NaN).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from metaexo.types import Array, Index

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


class Moments(NamedTuple):
    """Weights of the observed effects and means over the selected ones; B parameters, K effects, J weights.

    `u1` to `u4` are the means of u to u^4, `d`, `du`, `duu` those of the derivatives of log w times 1, u and
    u^2, and `dd` the mean of d d' plus the derivative of d.
    """

    log_weight: Array  # (B, K), of the observed effects
    slope: Array  # (B, K, J)
    curvature: Array | None  # (B, K, J, J); None where it is 0
    log_norm: Array  # (B, K), log A
    u1: Array  # (B, K), and so on
    u2: Array
    u3: Array
    u4: Array
    d: Array  # (B, K, J)
    du: Array
    duu: Array
    dd: Array | None  # (B, K, J, J); None where it is a diagonal matrix with d


class Weights(Protocol):
    """A kind of weight function with what it needs of the effects."""

    @property
    def shift(self) -> Array:
        """The shifts of the parameters, shape (J,); see above."""

    def moments(self, mean: Array, sd: Array, values: Array, rows: Index | None) -> Moments:
        """Return the moments at means and standard deviations, shape (B, K), and weights, shape (B, J)."""


class Value(NamedTuple):
    """Log-likelihood, gradient and Hessian by theta."""

    llf: Array  # (B,)
    gradient: Array  # (B, Q)
    hessian: Array  # (B, Q, Q)


@dataclass(frozen=True, eq=False)
class Problem:
    """Effects and weights of N data sets; N is 1 where several parameters are tried on the same effects."""

    y: Array  # (N, K)
    v: Array  # (N, K)
    x: Array  # (N, K, P)
    weights: Weights
    floor: Array  # (N,)
    used: Array | None = None  # (N, K), 1 for an effect, 0 for padding

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.x.shape[2])

    @cached_property
    def shift(self) -> Array:
        """The shifts of the parameters of the weights."""
        return self.weights.shift

    def _of(self, array: Array, rows: Index | None) -> Array:
        return array if rows is None or len(self.y) == 1 else array[rows]

    def tau2(self, theta: Array, rows: Index | None = None) -> Array:
        """Return tau2 of rows of theta, shape (B,)."""
        return np.maximum(np.exp(theta[:, self.p]) - self._of(self.floor, rows), 0.0)

    def values(self, theta: Array) -> Array:
        """Return the parameters of the weights, shape (B, J); logarithms where the shift is NaN."""
        inner = theta[:, self.p + 1 :]
        plain = np.isnan(self.shift)
        if plain.all():
            return inner
        return np.where(plain, inner, np.maximum(np.exp(np.where(plain, 0.0, inner)) - self.shift, 0.0))

    def evaluate(self, theta: Array, rows: Index | None = None) -> Value:
        """Return log-likelihood, gradient and Hessian at rows of theta; `rows`: the data set of each."""
        y, v, x = self._of(self.y, rows), self._of(self.v, rows), self._of(self.x, rows)
        used = None if self.used is None else self._of(self.used, rows)
        p, tau2 = self.p, self.tau2(theta, rows)
        beta = theta[:, :p]
        mean = beta * x[..., 0] if p == 1 else (x @ beta[:, :, None])[..., 0]
        precision = 1 / (v + tau2[:, None])
        root = np.sqrt(precision)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            at = self.weights.moments(mean, 1 / root, self.values(theta), rows)
            u = (y - mean) * root
            each = at.log_weight + np.log(root) - HALF_LOG_2PI - 0.5 * u * u - at.log_norm
            if used is not None:
                each = np.where(used > 0, each, 0.0)
            llf = each.sum(axis=1)
            gradient, hessian = self._derivatives(at, u, root, precision, x, used)
            gradient, hessian = self._in_theta(theta, gradient, hessian, self._of(self.floor, rows))
            lost = ~np.isfinite(llf + hessian.sum(axis=(1, 2)))
        return Value(np.where(lost, -np.inf, llf), gradient, hessian)

    def _derivatives(
        self, at: Moments, u: Array, root: Array, precision: Array, x: Array, used: Array | None
    ) -> tuple[Array, Array]:
        """Return gradient and Hessian by coefficients, tau2 and the values of the weights."""
        size, p, j = len(u), self.p, at.d.shape[2]
        if used is not None:  # effects that are padding have no part in any sum
            root, precision = root * used, precision * used
        d = at.d if used is None else at.d * used[..., None]
        over, above = u - at.u1, u * u - at.u2
        gradient, hessian = np.empty((size, p + 1 + j)), np.empty((size, p + 1 + j, p + 1 + j))
        # Var u, Cov(u, u^2), Var(u^2), Cov(u, d), Cov(u^2, d) of the selected effects
        var_u = at.u2 - at.u1 * at.u1
        cov_u = at.u3 - at.u1 * at.u2
        var_uu = at.u4 - at.u2 * at.u2
        gradient[:, :p] = _along(over * root, x)
        gradient[:, p] = 0.5 * (above * precision).sum(axis=1)
        hessian[:, :p, :p] = -(np.swapaxes(x * (precision * var_u)[..., None], 1, 2) @ x)
        hessian[:, :p, p] = -_along(root * precision * (over + 0.5 * cov_u), x)
        hessian[:, p, :p] = hessian[:, :p, p]
        hessian[:, p, p] = -(precision * precision * (above + 0.25 * var_uu)).sum(axis=1)
        of_mean = (at.du - at.u1[..., None] * at.d) * root[..., None]
        hessian[:, :p, p + 1 :] = -(np.swapaxes(x, 1, 2) @ of_mean)
        hessian[:, p + 1 :, :p] = np.swapaxes(hessian[:, :p, p + 1 :], 1, 2)
        of_tau2 = (at.duu - at.u2[..., None] * at.d) * precision[..., None]
        hessian[:, p, p + 1 :] = -0.5 * of_tau2.sum(axis=1)
        hessian[:, p + 1 :, p] = hessian[:, p, p + 1 :]
        inner = np.swapaxes(d, 1, 2) @ at.d
        slope = at.slope if used is None else at.slope * used[..., None]
        means = d.sum(axis=1)
        gradient[:, p + 1 :] = slope.sum(axis=1) - means
        if at.dd is None:
            every = np.arange(j)
            inner[:, every, every] -= means
        else:
            inner -= (at.dd if used is None else at.dd * used[..., None, None]).sum(axis=1)
        if at.curvature is not None:
            bent = at.curvature if used is None else at.curvature * used[..., None, None]
            inner += bent.sum(axis=1)
        hessian[:, p + 1 :, p + 1 :] = inner
        return gradient, hessian

    def _in_theta(self, theta: Array, gradient: Array, hessian: Array, floor: Array) -> tuple[Array, Array]:
        """Return the derivatives by logarithms: d value / d theta = value + shift."""
        p = self.p
        factor = np.ones_like(theta)
        factor[:, p:] = np.exp(theta[:, p:])
        plain = np.flatnonzero(np.isnan(self.shift)) + p + 1
        factor[:, plain] = 1.0
        gradient = gradient * factor
        hessian = hessian * factor[:, :, None] * factor[:, None, :]
        bent = np.arange(p, theta.shape[1]) if not plain.size else np.array([p])
        hessian[:, bent, bent] += gradient[:, bent]
        return gradient, hessian


def _along(values: Array, x: Array) -> Array:
    """Return the sums over effects of values, shape (B, K), times the columns of x, shape (B, P)."""
    return np.asarray((values[:, None, :] @ x)[:, 0])
