"""Log-likelihoods of counts as functions of a linear predictor, with derivatives up to the fourth.

A kernel holds counts of shape (B, K, g): B problems, K studies, g arms; one count per arm. `at` takes linear
predictors of shape (B, K, g) or, at N nodes of an integral, (B, K, g, N), and returns the log-likelihood and
its derivatives with respect to the linear predictor, all of the shape of the linear predictor, constants of
the counts included. Every kernel is log-concave in its linear predictor, except that a row without
information is flat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from scipy.special import expit, gammaln, log_ndtr, xlogy

from metaexo.types import Array, Index, Mask

# Linear predictors are kept within these limits: exp of them is finite; what lies beyond is 0 or infinite.
FARTHEST = 700.0
LOG_SQRT_2PI = 0.5 * float(np.log(2.0 * np.pi))
# The sum over the tables with given margins runs over a window of this many points on each side of the mode.
HALF_WINDOW = 45
# Sums of up to this many terms are taken whole.
LARGEST_TABLE = 250
# Points per standard deviation where the window does not hold every table; the sum over equidistant points of
# a smooth density is exact to exp(-2 pi^2 2.5^2), about 1e-53.
POINTS_PER_SD = 2.5


def log_choose(n: Array, x: Array) -> Array:
    """Return the logarithm of the binomial coefficient."""
    return np.asarray(gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0))


class CountKernel(ABC):
    """Base of the kernels; a heir is a frozen dataclass whose arrays have shape (B, K, g)."""

    @abstractmethod
    def at(self, eta: Array, order: int) -> tuple[Array, ...]:
        """Return log-likelihood and derivatives up to `order` (2 or 4) at linear predictors."""

    @abstractmethod
    def extremes(self) -> tuple[Mask, Mask]:
        """Return where the likelihood increases as the predictor goes to minus, and to plus infinity.

        Both are true where a count carries no information. Shape (B, K, g) each.
        """

    @abstractmethod
    def saturated(self) -> Array:
        """Return the highest possible log-likelihood of each count, shape (B, K, g)."""

    def take(self, which: Index | Mask | slice) -> Self:
        """Return the kernel of some of the problems."""
        return replace(self, **{f.name: self._part(getattr(self, f.name), which) for f in fields(self)})  # type: ignore[type-var, arg-type]

    @staticmethod
    def _part(value: Any, which: Index | Mask | slice) -> Any:
        return value[which] if isinstance(value, np.ndarray) and len(value) > 1 else value

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Problems (1 for the same counts in every problem), studies and arms."""

    @property
    def terms(self) -> int:
        """Terms of the sum that one log-likelihood takes: what it costs."""
        return 1


def _wide(values: Array, eta: Array) -> Array:
    """Return counts with an axis for the nodes, if the predictors have one."""
    return values[..., None] if eta.ndim == values.ndim + 1 else values


@dataclass(frozen=True, slots=True)
class Binomial(CountKernel):
    """Events x among n, with probability the inverse link of the linear predictor."""

    x: Array
    n: Array
    link: str = "logit"  # "logit", "cloglog" (log(-log(1 - p))) or "probit"
    offset: Array | None = None
    constant: Array | None = None  # log binomial coefficients; made if not given

    def __post_init__(self) -> None:
        if self.constant is None:
            object.__setattr__(self, "constant", log_choose(self.n, self.x))

    @property
    def shape(self) -> tuple[int, ...]:
        """Problems, studies and arms."""
        return self.x.shape

    def extremes(self) -> tuple[Mask, Mask]:
        """Return where there is no event, and where there are only events."""
        return self.x == 0, self.x == self.n

    def saturated(self) -> Array:
        """Return the log-likelihood at the observed proportions."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(self.n > 0, self.x / self.n, 0.5)
        assert self.constant is not None
        return np.asarray(self.constant + xlogy(self.x, p) + xlogy(self.n - self.x, 1 - p))

    def at(self, eta: Array, order: int) -> tuple[Array, ...]:
        """Return log-likelihood and derivatives up to `order` at linear predictors."""
        x, n = _wide(self.x, eta), _wide(self.n, eta)
        if self.offset is not None:
            eta = eta + _wide(self.offset, eta)
        eta = np.clip(eta, -FARTHEST, FARTHEST)
        assert self.constant is not None
        constant = _wide(self.constant, eta)
        if self.link == "logit":
            return _logit(x, n, eta, constant, order)
        made = _probit if self.link == "probit" else _cloglog
        events, others = made(eta, order), made(-eta, order) if self.link == "probit" else _survival(eta)
        signs = (1, -1, 1, -1, 1) if self.link == "probit" else (1, 1, 1, 1, 1)
        parts = [x * a + (n - x) * sign * b for a, b, sign in zip(events, others, signs, strict=False)]
        return (constant + parts[0], *parts[1 : order + 1])


def _logit(x: Array, n: Array, eta: Array, constant: Array, order: int) -> tuple[Array, ...]:
    p = expit(eta)
    q = expit(-eta)
    tail = np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))
    v = n * p * q
    found = (constant + x * eta - n * tail, x - n * p, -v)
    if order == 2:
        return found
    return (*found, -v * (q - p), -v * (1.0 - 6.0 * p * q))


def _mean(weight: Array, values: Array) -> Array:
    """Return sums of weights times values over the last axis; the values may be the same at all nodes."""
    if values.shape[-2] == 1 and weight.shape[-2] > 1:
        return np.asarray((weight @ np.swapaxes(values, -1, -2))[..., 0])
    return np.asarray(np.vecdot(weight, values))


def _probit(eta: Array, order: int) -> tuple[Array, ...]:
    """Return log Phi and its derivatives, by the recursion for the inverse Mills ratio r' = -r (eta + r)."""
    value = log_ndtr(eta)
    r = np.exp(-0.5 * eta * eta - LOG_SQRT_2PI - value)
    # eta + r is a small difference of large numbers far in the lower tail: there by its asymptotic series
    far = eta < -1e4
    s = np.where(far, -1.0 / np.minimum(eta, -1.0), eta + r)
    second = -r * s
    if order == 2:
        return value, r, second
    grown = 1.0 + second
    third = -second * s - r * grown
    fourth = -third * s - 2.0 * second * grown - r * third
    return value, r, second, third, fourth


def _cloglog(eta: Array, order: int) -> tuple[Array, ...]:
    """Return log(1 - exp(-mu)) with mu = exp(eta), and its derivatives with respect to eta."""
    mu = np.exp(eta)
    # g = mu / (exp(mu) - 1) is the first derivative; D g = g (1 - mu - g)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = np.where(mu < 1e-300, eta, np.log(-np.expm1(-mu)))
        g = np.where(mu < 1e-300, 1.0, np.where(mu > FARTHEST, 0.0, mu / np.expm1(np.minimum(mu, FARTHEST))))
    mu = np.where(g > 0, mu, 0.0)  # the products below vanish with g
    # u = 1 - mu - g is near -mu / 2 for small mu
    u = np.where(mu < 1e-4, -0.5 * mu - mu * mu / 12.0, 1.0 - mu - g)
    second = g * u
    if order == 2:
        return value, g, second
    u1 = -mu - second
    third = second * u + g * u1
    fourth = third * u + 2.0 * second * u1 + g * (-mu - third)
    return value, g, second, third, fourth


def _survival(eta: Array) -> tuple[Array, ...]:
    """Return log(1 - p) = -exp(eta) and its derivatives, which are all the same."""
    minus = -np.exp(eta)
    return (minus,) * 5


@dataclass(frozen=True, slots=True)
class Poisson(CountKernel):
    """Events x in a given time, with rate exp of the linear predictor."""

    x: Array
    log_time: Array
    constant: Array | None = None  # log factorials; made if not given

    def __post_init__(self) -> None:
        if self.constant is None:
            object.__setattr__(self, "constant", gammaln(self.x + 1.0))

    @property
    def shape(self) -> tuple[int, ...]:
        """Problems, studies and arms."""
        return self.x.shape

    def extremes(self) -> tuple[Mask, Mask]:
        """Return where there is no event; nothing drives a rate to infinity."""
        return self.x == 0, np.zeros(self.x.shape, dtype=bool)

    def saturated(self) -> Array:
        """Return the log-likelihood at the observed rates."""
        return np.asarray(xlogy(self.x, self.x) - self.x - gammaln(self.x + 1.0))

    def at(self, eta: Array, order: int) -> tuple[Array, ...]:
        """Return log-likelihood and derivatives up to `order` at linear predictors."""
        x = _wide(self.x, eta)
        eta = np.clip(eta + _wide(self.log_time, eta), -FARTHEST, FARTHEST)
        mu = np.exp(eta)
        assert self.constant is not None
        value = x * eta - mu - _wide(self.constant, eta)
        return (value, x - mu, -mu) if order == 2 else (value, x - mu, -mu, -mu, -mu)


@dataclass(frozen=True, slots=True)
class Hypergeometric(CountKernel):
    """Events x of n1 in the first arm, given the events in both; the predictor is the log odds ratio.

    Fisher's non-central hypergeometric distribution. Arrays have shape (B, K, 1).
    """

    x: Array
    n1: Array
    n2: Array
    total: Array  # events in both arms
    table: Array | None = None  # (B, K, S): counts that all margins allow, made if not given and not too many
    log_numbers: Array | None = None  # (B, K, S): logarithms of the numbers of tables with these counts
    own: Array | None = None  # (B, K, 1): the same of the count x

    def __post_init__(self) -> None:
        if self.own is not None:
            return
        object.__setattr__(self, "own", self._log_number(self.x))
        size = int((self.highest - self.lowest).max(initial=0.0)) + 1
        if size <= LARGEST_TABLE:
            at = self.lowest + np.arange(size)
            inside = at <= self.highest
            at = np.minimum(at, self.highest)
            object.__setattr__(self, "table", at)
            object.__setattr__(self, "log_numbers", np.where(inside, self._log_number(at), -np.inf))

    @property
    def shape(self) -> tuple[int, ...]:
        """Problems, studies and arms (one)."""
        return self.x.shape

    @property
    def terms(self) -> int:
        """Terms of the sum that one log-likelihood takes."""
        return 2 * HALF_WINDOW + 1 if self.table is None else int(self.table.shape[-1])

    @property
    def lowest(self) -> Array:
        """The least number of events that the first arm can have."""
        return np.asarray(np.maximum(0.0, self.total - self.n2))

    @property
    def highest(self) -> Array:
        """The largest number of events that the first arm can have."""
        return np.asarray(np.minimum(self.n1, self.total))

    def extremes(self) -> tuple[Mask, Mask]:
        """Return where the count is the least, and the largest, that the margins allow."""
        return self.x == self.lowest, self.x == self.highest

    def saturated(self) -> Array:
        """Return the log-likelihood at the log odds ratio at which the count is the expected one."""
        low, high = self.extremes()
        eta = np.zeros(self.x.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = self.total - self.x
            start = np.log(self.x * (self.n2 - rest)) - np.log((self.n1 - self.x) * rest)
        inner = ~(low | high)
        eta = np.where(inner & np.isfinite(start), start, 0.0)
        for _ in range(60):
            _, slope, curvature = self.at(eta, 2)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.where(inner, np.clip(-slope / curvature, -2.0, 2.0), 0.0)
            eta = eta + step
            if np.abs(step).max(initial=0.0) < 1e-12:
                break
        return np.where(inner, self.at(eta, 2)[0], 0.0)

    def _log_number(self, at: Array) -> Array:
        """Return the logarithm of the number of tables with these counts, (B, K, ...) as the counts."""
        n1, n2, total = (
            v.reshape(v.shape[:2] + (1,) * (at.ndim - 2)) for v in (self.n1, self.n2, self.total)
        )
        return np.asarray(log_choose(n1, at) + log_choose(n2, total - at))

    def at(self, eta: Array, order: int) -> tuple[Array, ...]:
        """Return log-likelihood and derivatives up to `order` at linear predictors."""
        wide = np.clip(eta.reshape(*eta.shape[:2], -1), -FARTHEST, FARTHEST)  # (B, K, N)
        if self.table is None or self.log_numbers is None:
            at, log_weight, spacing = self._window(wide)
            log_weight += at * wide[..., None]
            away = at - self.x[..., None]
        else:
            spacing = np.ones(1)
            log_weight = wide[..., None] * self.table[..., None, :]
            log_weight += self.log_numbers[..., None, :]
            away = (self.table - self.x)[..., None, :]
        top = log_weight.max(axis=-1, keepdims=True)
        log_weight -= top
        weight = np.exp(log_weight, out=log_weight)
        mass = weight.sum(axis=-1)
        assert self.own is not None
        value = self.own + self.x * wide - top[..., 0] - np.log(mass * spacing)
        mean = _mean(weight, away) / mass
        if order == 2 and self.table is not None:
            variance = np.maximum(_mean(weight, away * away) / mass - mean * mean, 0.0)
            return tuple(part.reshape(eta.shape) for part in (value, -mean, -variance))
        weight /= mass[..., None]
        away = away - mean[..., None]
        weight *= away
        variance = _mean(weight, away)
        found = [value, -mean, -variance]
        if order > 2:
            weight *= away
            cube, fourth = _mean(weight, away), _mean(weight, away * away)
            found += [-cube, 3.0 * variance**2 - fourth]
        return tuple(part.reshape(eta.shape) for part in found)

    def _window(self, eta: Array) -> tuple[Array, Array, Array]:
        """Return equidistant counts around the mode, logs of their numbers, and the distances.

        For large tables; predictors of shape (B, K, N). The mode is near the root of
        (n1 - x) (m - x) exp(eta) = x (n2 - m + x).
        """
        n1, n2, m, low, high = self.n1, self.n2, self.total, self.lowest, self.highest
        shift = np.where(eta > 0, 1.0, 0.0)  # both sides times exp(-eta) where that is large
        scale = np.exp(-np.abs(eta))
        large, small = np.where(shift > 0, 1.0, scale), np.where(shift > 0, scale, 1.0)
        # a x^2 - b x + c = 0 with a = large - small
        a, c = large - small, large * n1 * m
        b = large * (n1 + m) + small * (n2 - m)
        root = np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            mode = np.where(b > 0, 2.0 * c / (b + root), (b - root) / (2.0 * a))
        mode = np.clip(np.rint(np.where(np.isfinite(mode), mode, low)), low, high)
        cells = 1 / (mode + 1) + 1 / (n1 - mode + 1) + 1 / (m - mode + 1) + 1 / (n2 - m + mode + 1)
        spacing = np.maximum(1.0, np.floor(np.sqrt(1.0 / cells) / POINTS_PER_SD))
        at: Array = mode[..., None] + spacing[..., None] * np.arange(-HALF_WINDOW, HALF_WINDOW + 1.0)
        inside = (at >= low[..., None]) & (at <= high[..., None])
        at = np.clip(at, low[..., None], high[..., None])
        weights = np.where(inside, self._log_number(at), -np.inf)
        return np.asarray(at), weights, np.asarray(spacing)
