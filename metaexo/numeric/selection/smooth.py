"""Moments of effects that are selected by smooth functions of their p-value, by quadrature.

The p-value depends on z = y / sqrt(v) alone, so the weights are integrated over z, where the effect is normal
with mean m and standard deviation r = s / sqrt(v), at least 1. The middle, -6 to 6, is cut at every whole
number and where the weight has a kink; each piece has a Gauss-Legendre rule. Beyond, w is exp(-c z^2 / 2)
times a function that hardly changes, so that the integrand is nearly that of a normal density with variance
r^2 / (1 + c r^2); a rule covers it as far as it counts. Where 1 + c r^2 is not positive the integral is
infinite and the likelihood has no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import erf, expit, log_ndtr, ndtri

from metaexo.numeric.quadrature import gauss_legendre
from metaexo.numeric.selection.likelihood import HALF_LOG_2PI, Moments
from metaexo.types import Array, Index

EDGE = 6.0
# Standard deviations of the integrand in the tails that are integrated over, to either side of its mean.
REACH = 9.0
MIDDLE_POINTS, TAIL_POINTS, CORE_POINTS = 10, 48, 40
# The core of two-sided weights, |z| < 1, in log z: to where z^b is below 1e-17.
LOG_SMALL = 39.0
LOG_TWO = float(np.log(2.0))


class LogWeight(NamedTuple):
    """The logarithm of a weight function at points, with its derivatives by the parameters."""

    value: Array
    slope: tuple[Array, ...]  # by each of the J parameters
    curvature: tuple[tuple[Array, ...], ...] | None  # None where it is 0


# Of log p, log(1 - p), the precision and the parameters, each of which broadcasts to the points.
Function = Callable[[Array, Array, Array, tuple[Array, ...]], LogWeight]


def half_normal(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """exp(-delta c p^2)."""
    slope = -c * np.exp(2 * log_p)
    return LogWeight(delta[0] * slope, (slope,), None)


def negative_exponential(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """exp(-delta c p)."""
    slope = -c * np.exp(log_p)
    return LogWeight(delta[0] * slope, (slope,), None)


def logistic(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """2 exp(-delta c p) / (1 + exp(-delta c p))."""
    cp = c * np.exp(log_p)
    t = delta[0] * cp
    share = expit(t)
    return LogWeight(LOG_TWO - np.logaddexp(0.0, t), (-cp * share,), ((-cp * cp * share * (1 - share),),))


def power(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """(1 - p)^(delta c)."""
    slope = c * log_q
    return LogWeight(delta[0] * slope, (slope,), None)


def negative_exponential_power(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """exp(-delta_1 c p^(1 / delta_2))."""
    first, second = delta
    bend = log_p / second  # log of p^(1 / delta_2)
    base = -c * np.exp(bend)
    by_second = -base * bend / second
    twice = base * (bend / second) ** 2 + 2 * base * bend / second**2
    return LogWeight(
        first * base,
        (base, first * by_second),
        ((np.zeros_like(base), by_second), (by_second, first * twice)),
    )


def beta(log_p: Array, log_q: Array, c: Array, delta: tuple[Array, ...]) -> LogWeight:
    """p^(delta_1 - 1) (1 - p)^(delta_2 - 1)."""
    return LogWeight((delta[0] - 1) * log_p + (delta[1] - 1) * log_q, (log_p, log_q), None)


@dataclass(frozen=True)
class Kind:
    """A smooth weight function.

    `shift`: of the parameters, see `likelihood`. The parameter `near_zero`, and `near_one`, less `less` is
    the c of the tail where p goes to 0, and to 1.
    """

    function: Function
    shift: tuple[float, ...]
    near_zero: int | None = None
    near_one: int | None = None
    less: float = 1.0
    moot_at_zero: bool = False  # whether the last parameter has no meaning where the one before it is 0


@dataclass(frozen=True, eq=False)
class Smooth:
    """A weight function of the p-values of given effects."""

    kind: Kind
    y: Array  # (N, K)
    root_v: Array  # (N, K)
    precision: Array  # (N, K)
    two_sided: bool = False
    constant_to: float | None = None  # p-value up to which the weight is 1
    refine: int = 1  # factor on the points of the rules

    @property
    def shift(self) -> Array:
        """The shifts of the parameters."""
        return np.array(self.kind.shift)

    def refined(self) -> Smooth:
        """Return the same weights with twice the points."""
        return replace(self, refine=2 * self.refine)

    @cached_property
    def _middle(self) -> tuple[Array, Array]:
        """Points and weights of the middle."""
        edges = set(np.arange(-EDGE, EDGE + 1).tolist())
        if self.constant_to is not None:
            kink = -float(ndtri(self.constant_to / (2 if self.two_sided else 1)))
            edges |= {kink, -kink} if self.two_sided else {kink}
        if self._core:
            edges -= {0.0}
        ends = np.array(sorted(edge for edge in edges if abs(edge) <= EDGE))
        low, high = ends[:-1], ends[1:]
        if self._core:
            keep = ~((low < 0) & (high > 0))
            low, high = low[keep], high[keep]
        node, weight = gauss_legendre(MIDDLE_POINTS * self.refine)
        half = 0.5 * (high - low)[:, None]
        points = 0.5 * (high + low)[:, None] + half * node
        return points.ravel(), (half * weight).ravel()

    @property
    def _core(self) -> bool:
        """Whether the weight may be singular at z = 0, where two-sided p-values are 1."""
        return self.two_sided and self.kind.near_one is not None

    def _logs(self, z: Array) -> tuple[Array, Array]:
        """Return log p and log(1 - p) at z."""
        if self.two_sided:
            a = np.abs(z)
            log_p = np.minimum(LOG_TWO + log_ndtr(-a), 0.0)
            with np.errstate(divide="ignore"):
                return log_p, np.log(erf(a / np.sqrt(2.0)))
        return log_ndtr(-z), log_ndtr(z)

    @cached_property
    def _seen(self) -> tuple[Array, Array]:
        """Log p and log(1 - p) of the observed effects."""
        return self._logs(self.y / self.root_v)

    @cached_property
    def _middle_logs(self) -> tuple[Array, Array]:
        return self._logs(self._middle[0])

    def log_weight(self, logs: tuple[Array, Array], c: Array, delta: tuple[Array, ...]) -> LogWeight:
        """Return the log weight, 0 up to the p-value to which it is constant."""
        if self.constant_to is None:
            return self.kind.function(*logs, c, delta)
        top = np.log(self.constant_to)
        beyond = logs[0] > top
        rest = self.kind.function(*logs, c, delta)
        at = self.kind.function(np.array(top), np.array(np.log1p(-self.constant_to)), c, delta)

        def less(one: Array, other: Array) -> Array:
            return np.where(beyond, one - other, 0.0)

        curvature = rest.curvature and tuple(
            tuple(less(a, b) for a, b in zip(r, s, strict=True))
            for r, s in zip(rest.curvature, at.curvature or (), strict=True)
        )
        slope = tuple(less(a, b) for a, b in zip(rest.slope, at.slope, strict=True))
        return LogWeight(less(rest.value, at.value), slope, curvature)

    def _curvature_of_tail(self, side: float, c: Array, delta: tuple[Array, ...]) -> Array | float:
        """Return the c of w = exp(-c z^2 / 2) beyond the middle."""
        kind = self.kind
        which = kind.near_zero if side > 0 or self.two_sided else kind.near_one
        return 0.0 if which is None else (delta[which] - kind.less) * c

    def _rise_of_tail(self, side: float, c: Array, delta: tuple[Array, ...]) -> Array | float:
        """Return by how much log w may rise beyond the middle, where it goes to 0 for p to 0."""
        if self.kind.near_zero is not None or (side < 0 and not self.two_sided):
            return 0.0
        return np.asarray(np.maximum(-self.log_weight(self._logs(np.array(EDGE)), c, delta).value, 0.0))

    def _tail(
        self, side: float, m: Array, r: Array, c: Array, delta: tuple[Array, ...]
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Return points, weights and logs of p beyond the middle; the weights are NaN where w phi grows.

        The points lie more densely near the middle: the rule runs in the root of the distance from it.
        """
        bend = 1 + self._curvature_of_tail(side, c, delta) * r * r
        bend = np.where(bend > 1e-12, bend, np.nan)
        centre, spread = side * m / bend, r / np.sqrt(bend)
        low = np.maximum(EDGE, centre - REACH * spread)
        # The rule ends where the density has fallen by exp(-REACH^2 / 2), and by as much as w may still rise.
        reach = np.hypot(REACH, np.sqrt(2 * self._rise_of_tail(side, c, delta)))
        away = np.maximum(low - centre, 0.0) / spread
        high = np.maximum(centre + reach * spread, low + spread * (np.hypot(away, reach) - away))
        node, weight = gauss_legendre(TAIL_POINTS * self.refine)
        t = 0.5 * (1 + node)
        z = low + (high - low) * t * t
        ways = (high - low) * t * weight
        z = side * np.where(np.isnan(z), EDGE, z)
        return z, ways, self._logs(z)

    def _inside(
        self, side: float, c: Array, delta: tuple[Array, ...]
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Return points, weights and logs of p for |z| < 1 of two-sided weights, which go as |z|^(b - 1)."""
        assert self.kind.near_one is not None
        b = (delta[self.kind.near_one] - self.kind.less) * c + 1
        node, weight = gauss_legendre(CORE_POINTS * self.refine)
        reach = LOG_SMALL / np.maximum(b, 1e-3)
        z = np.exp(-reach * 0.5 * (1 - node))
        return side * z, 0.5 * reach * weight * z, self._logs(z)

    def moments(self, mean: Array, sd: Array, values: Array, rows: Index | None) -> Moments:
        """Return the moments; `values`: parameters, shape (B, J)."""

        def of(array: Array) -> Array:
            return array if rows is None or len(array) == 1 else array[rows]

        root_v, c = of(self.root_v), of(self.precision)[..., None]
        m, r = (mean / root_v)[..., None], (sd / root_v)[..., None]
        delta = tuple(values[:, j, None, None] for j in range(values.shape[1]))
        pieces = [(*self._middle, self._middle_logs)]
        pieces += [self._tail(side, m, r, c, delta) for side in (-1.0, 1.0)]
        pieces += [self._inside(side, c, delta) for side in (-1.0, 1.0)] if self._core else []
        parts = []
        for z, weight, logs in pieces:
            log_w = self.log_weight(logs, c, delta)
            u = (z - m) / r
            with np.errstate(divide="ignore"):
                parts.append((log_w, u, log_w.value - 0.5 * u * u + np.log(weight)))
        top = np.max([part[2].max(axis=-1) for part in parts], axis=0)
        size = top.shape
        sums, d, dd = _sums(parts, top, values.shape[1])
        norm = sums[0]
        sums, d, dd = sums / norm, d / norm[..., None], dd / norm[..., None, None]
        logs = of(self._seen[0]), of(self._seen[1])
        seen = self.log_weight(logs, of(self.precision), tuple(v[..., 0] for v in delta))
        curvature = (
            None
            if seen.curvature is None
            else np.stack(
                [np.stack([np.broadcast_to(part, size) for part in row], axis=-1) for row in seen.curvature],
                axis=-2,
            )
        )
        slope = np.stack([np.broadcast_to(part, size) for part in seen.slope], axis=-1)
        log_norm = np.log(norm) + top - np.log(r[..., 0]) - HALF_LOG_2PI
        log_norm = np.where(np.isnan(log_norm), np.inf, log_norm)
        return Moments(
            np.broadcast_to(seen.value, size),
            slope,
            curvature,
            log_norm,
            sums[1],
            sums[2],
            sums[3],
            sums[4],
            d[0],
            d[1],
            d[2],
            dd,
        )


def _sums(parts: list[tuple[LogWeight, Array, Array]], top: Array, j: int) -> tuple[Array, Array, Array]:
    """Return the sums over all points of 1 to u^4, of the slopes times 1, u, u^2, and of their products.

    `parts`: log weights, u and log of the integrand, of which `top` is taken off.
    """
    size = top.shape
    sums, d, dd = np.zeros((5, *size)), np.zeros((3, *size, j)), np.zeros((*size, j, j))
    for log_w, u, log_q in parts:
        q = np.exp(log_q - top[..., None])
        qu = q * u
        quu = qu * u
        terms = (q, qu, quu, quu * u, quu * u * u)
        for n in range(5):
            sums[n] += terms[n].sum(axis=-1)
        for a in range(j):
            for n in range(3):
                d[n, ..., a] += (terms[n] * log_w.slope[a]).sum(axis=-1)
            for b in range(a + 1):
                inner = log_w.slope[a] * log_w.slope[b]
                if log_w.curvature is not None:
                    inner = inner + log_w.curvature[a][b]
                dd[..., a, b] += (q * inner).sum(axis=-1)
                dd[..., b, a] = dd[..., a, b]
    return sums, d, dd


KINDS = {
    "half-normal": Kind(half_normal, (1.0,)),
    "negative-exponential": Kind(negative_exponential, (1.0,)),
    "logistic": Kind(logistic, (1.0,)),
    "power": Kind(power, (1.0,), near_one=0, less=0.0),
    "negative-exponential-power": Kind(negative_exponential_power, (1.0, 0.0), moot_at_zero=True),
    "beta": Kind(beta, (0.0, 0.0), near_zero=0, near_one=1),
}
