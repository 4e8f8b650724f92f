"""How true risks or rates vary among studies, what counts follow from it, and the sum of all counts.

Each kind has a location t and a heterogeneity h, and is stochastically increasing in t: that is why a test of
the sum of events inverts to an interval. Everything broadcasts: counts and sizes are the last axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import elementwise

from metaexo.types import Array, Index

# Terms of the asymptotic series of log-gamma; from 10 on they give full precision.
SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
SHIFT = 10
FARTHEST = 60.0  # locations are sought from -60 to 60: risks from 1e-26 on
WIDEST = 9.5  # standard deviations of a normal distribution of study risks that are summed over
FEW = 4  # events up to which probabilities are computed one by one
DIRECT = 64  # events from which on sums are made by fast Fourier transforms
LARGEST_LOG = 700.0
TINY = float(np.finfo(float).tiny)


def log_rising(z: ArrayLike, m: ArrayLike) -> Array:
    """Return log Gamma(z + m) - log Gamma(z) for z > 0 and m >= 0, without cancellation where z is large."""
    z, m = np.asarray(z, dtype=float), np.asarray(m, dtype=float)
    small = z < SHIFT
    far = np.where(small, z + SHIFT, z)
    with np.errstate(over="ignore"):
        made = m * np.log(far) + (far + m - 0.5) * np.log1p(m / far) - m + _series(far + m) - _series(far)
    if small.any():
        near = np.where(small, z, 1.0)
        with np.errstate(over="ignore"):
            steps = sum(np.log1p(m / (near + j)) for j in range(SHIFT))
        made = made - np.where(small, steps, 0.0)
    return np.asarray(made)


def _series(z: Array) -> Array:
    inverse = 1 / z**2
    total = reduce(lambda so_far, term: so_far * inverse + term, reversed(SERIES), np.zeros_like(z))
    return np.asarray(total / z)


def log_factors(start: ArrayLike, count: ArrayLike, step: ArrayLike) -> Array:
    """Return the sum of log(start + j step) over j = 0, ..., count - 1."""
    start, count, step = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (start, count, step)))
    some = step > 0
    apart = np.where(some, step, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        equal = special.xlogy(count, start)
        rising = count * np.log(apart) + log_rising(np.where(some, start / apart, 1.0), count)
    return np.where(some, np.where(count > 0, rising, 0.0), equal)


def log_choose(n: ArrayLike, x: ArrayLike) -> Array:
    """Return the logarithm of the number of ways to choose x of n."""
    n, x = np.asarray(n, dtype=float), np.asarray(x, dtype=float)
    fewer = np.minimum(x, n - x)
    return np.asarray(log_rising(n - fewer + 1, fewer) - special.gammaln(fewer + 1))


class StudyRisks(ABC):
    """Distribution of true risks among studies, and of counts of events given their sizes."""

    scale: ClassVar[str]  # what the heterogeneity is
    words: ClassVar[str]  # the distribution in words
    of_people: ClassVar[bool]  # counts of people, or events in person-time
    largest: ClassVar[float]  # heterogeneity that is accepted

    @abstractmethod
    def log_pmf(self, x: ArrayLike, total: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the log probability of x events in a study of a size or person-time."""

    def log_pmfs(self, most: int, total: float, t: Array, h: Array) -> Array:
        """Return the log probabilities of 0, 1, ..., most events for each t and h, shape (B, most + 1)."""
        return self.log_pmf(np.arange(most + 1.0), total, t[:, None], h[:, None])

    @abstractmethod
    def mean(self, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the mean risk over studies."""

    @abstractmethod
    def quantile(self, share: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the risk below which a share of the studies lies."""

    @abstractmethod
    def below(self, risk: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the share of the studies whose risk is at most a value."""

    @abstractmethod
    def location(self, mean: ArrayLike, h: ArrayLike) -> Array:
        """Return the location that belongs to a mean risk."""

    def ends(self, total: float, h: Array) -> tuple[Array, Array]:
        """Return locations between which limits are sought."""
        return np.full(h.shape, -FARTHEST), np.full(h.shape, FARTHEST)


class BetaRisks(StudyRisks):
    """Risks with a beta distribution: t is the logit of the mean, h the intra-class correlation."""

    scale, words, of_people, largest = "icc", "a beta distribution", True, 1.0

    def log_pmf(self, x: ArrayLike, total: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return beta-binomial log probabilities; binomial for h = 0, all or nothing for h = 1."""
        chosen = log_choose(total, x)
        x, n, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (x, total, t, h)))
        p, q = special.expit(t), special.expit(-t)
        whole = h >= 1
        step = np.where(whole, 0.0, h) / np.where(whole, 1.0, 1 - h)
        made = _log_none(p, q, n - x, step)
        if x.any():
            made = made + chosen + log_factors(p, x, step) - log_factors(1 + (n - x) * step, x, step)
        if whole.any():
            with np.errstate(divide="ignore"):
                none = np.where(x == 0, q, 0.0) + np.where(x == n, p, 0.0)
                made = np.where(whole, np.log(none), made)
        return np.asarray(made)

    def log_pmfs(self, most: int, total: float, t: Array, h: Array) -> Array:
        """Return the log probabilities of 0, 1, ..., most events, each from the one before."""
        if most < FEW or (h >= 1).any():
            return super().log_pmfs(most, total, t, h)
        p, q, j = special.expit(t)[:, None], special.expit(-t)[:, None], np.arange(float(most))
        step = (h / (1 - h))[:, None]
        with np.errstate(divide="ignore"):
            ratios = np.log((total - j) / (j + 1)) + np.log(p + j * step) - np.log(q + (total - j - 1) * step)
        return _from_first(self.log_pmf(0.0, total, t, h), ratios)

    def mean(self, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the mean risk."""
        return np.asarray(special.expit(np.broadcast_arrays(t, h)[0]))

    def quantile(self, share: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return quantiles of the beta distribution."""
        share, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (share, t, h)))
        p, q = special.expit(t), special.expit(-t)
        some = (h > 0) & (h < 1)
        rest = (1 - np.where(some, h, 0.5)) / np.where(some, h, 0.5)
        inside = special.betaincinv(p * rest, q * rest, share)
        return np.asarray(np.where(some, inside, np.where(h >= 1, (share > q) * 1.0, p)))

    def below(self, risk: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the beta distribution function."""
        risk, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (risk, t, h)))
        p, q = special.expit(t), special.expit(-t)
        some = (h > 0) & (h < 1)
        rest = (1 - np.where(some, h, 0.5)) / np.where(some, h, 0.5)
        inside = special.betainc(np.maximum(p * rest, TINY), np.maximum(q * rest, TINY), risk)
        all_or_none = np.where(risk >= 1, 1.0, q)
        return np.asarray(np.where(some, inside, np.where(h >= 1, all_or_none, (risk >= p) * 1.0)))

    def location(self, mean: ArrayLike, h: ArrayLike) -> Array:
        """Return the logit of the mean."""
        return np.asarray(special.logit(np.broadcast_arrays(np.asarray(mean, dtype=float), h)[0]))


def _log_none(p: Array, q: Array, n: Array, step: Array) -> Array:
    """Return the log probability of no event in n: the product of (q + j step) / (1 + j step).

    In gamma functions it is symmetrical in n and p / step; taken over the smaller one it keeps its digits.
    """
    some = step > 0
    apart = np.where(some, step, 1.0)
    a, b = p / apart, q / apart
    less, more = np.minimum(a, n), np.maximum(a, n)
    b = np.maximum(b, TINY)
    with np.errstate(over="ignore", invalid="ignore"):
        varied = log_rising(b, less) - log_rising(b + more, less)
    equal = n * np.where(p < 0.5, np.log1p(-np.minimum(p, 0.5)), np.log(np.maximum(q, TINY)))
    return np.where(some, varied, equal)


def _from_first(first: Array, ratios: Array) -> Array:
    """Return log probabilities from the first, shape (B,), and the logs of their ratios, shape (B, most)."""
    made = np.empty((ratios.shape[0], ratios.shape[1] + 1))
    made[:, 0] = first
    np.cumsum(ratios, axis=1, out=made[:, 1:])
    made[:, 1:] += first[:, None]
    return made


class GammaRates(StudyRisks):
    """Rates with a gamma distribution: t is the log of the mean, h the coefficient of variation."""

    scale, words, of_people, largest = "cv", "a gamma distribution", False, 100.0

    def log_pmf(self, x: ArrayLike, total: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return negative-binomial log probabilities; Poisson for h = 0."""
        x, time, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (x, total, t, h)))
        with np.errstate(over="ignore"):
            expected = np.exp(t + np.log(time))
            step = h**2
            some = step > 0
            apart = np.where(some, step, 1.0)
            spread = np.log1p(apart * expected)
            varied = log_factors(1.0, x, step) - x * spread - spread / apart
        counted = special.xlogy(x, expected) - special.gammaln(x + 1)
        return np.asarray(counted + np.where(some, varied, -expected))

    def log_pmfs(self, most: int, total: float, t: Array, h: Array) -> Array:
        """Return the log probabilities of 0, 1, ..., most events, each from the one before."""
        if most < FEW:
            return super().log_pmfs(most, total, t, h)
        j, step = np.arange(float(most)), (h**2)[:, None]
        with np.errstate(over="ignore"):
            log_expected = t[:, None] + math.log(total)
            spread = np.logaddexp(0.0, log_expected + np.log(np.maximum(step, TINY)))
        ratios = log_expected + np.log1p(j * step) - np.log(j + 1) - spread
        return _from_first(self.log_pmf(0.0, total, t, h), ratios)

    def mean(self, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the mean rate."""
        return np.asarray(np.exp(np.broadcast_arrays(np.asarray(t, dtype=float), h)[0]))

    def quantile(self, share: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return quantiles of the gamma distribution."""
        share, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (share, t, h)))
        some = h > 0
        variance = np.where(some, h, 1.0) ** 2
        relative = np.where(some, special.gammaincinv(1 / variance, share) * variance, 1.0)
        return np.asarray(np.exp(t) * relative)

    def below(self, risk: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the gamma distribution function."""
        risk, t, h = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (risk, t, h)))
        some = h > 0
        variance = np.where(some, h, 1.0) ** 2
        with np.errstate(over="ignore"):
            relative = risk / np.exp(t)
        return np.asarray(
            np.where(some, special.gammainc(1 / variance, relative / variance), (relative >= 1) * 1.0)
        )

    def location(self, mean: ArrayLike, h: ArrayLike) -> Array:
        """Return the logarithm of the mean."""
        return np.asarray(np.log(np.broadcast_arrays(np.asarray(mean, dtype=float), h)[0]))

    def ends(self, total: float, h: Array) -> tuple[Array, Array]:
        """Return log rates from far below one event in all person-time, up to where numbers end."""
        most = math.log(total)
        return np.full(h.shape, -FARTHEST - most), np.full(h.shape, LARGEST_LOG - most)


class NormalRisks(StudyRisks):
    """Base of risks that are normal on a transformed scale: t is their mean there, h the SD tau."""

    scale = "tau"

    @abstractmethod
    def log_given(self, x: Array, total: Array, eta: Array) -> Array:
        """Return the log probability of x events given a study's own location."""

    @abstractmethod
    def back(self, eta: Array) -> Array:
        """Return the risk of a location."""

    @abstractmethod
    def forth(self, risk: Array) -> Array:
        """Return the location of a risk."""

    def log_pmf(self, x: ArrayLike, total: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return log probabilities by the trapezoidal rule, whose step is narrow for what it sums."""
        x, total, t, h = (np.asarray(a, dtype=float) for a in (x, total, t, h))
        most = np.minimum(x, np.maximum(total - x, 1)) if self.of_people else x
        finest = float(h.max(initial=0.0)) * max(4.0, 2 * math.sqrt(float(most.max(initial=0.0)) + 1))
        z, log_weights = _normal_nodes(finest)
        eta = t[..., None] + h[..., None] * z
        given = np.exp(self.log_given(x[..., None], total[..., None], eta))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(given @ np.exp(log_weights)))

    def mean(self, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the mean risk, by the trapezoidal rule."""
        t, h = np.broadcast_arrays(np.asarray(t, dtype=float), np.asarray(h, dtype=float))
        z, log_weights = _normal_nodes(4.0 * float(h.max(initial=0.0)))
        return np.asarray(self.back(t[..., None] + h[..., None] * z) @ np.exp(log_weights))

    def quantile(self, share: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the risk at the quantile of the normal distribution."""
        return self.back(np.asarray(t) + np.asarray(h) * special.ndtri(share))

    def below(self, risk: ArrayLike, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the normal distribution function on the scale of the location."""
        to, t, h = np.broadcast_arrays(self.forth(np.asarray(risk, dtype=float)), t, h)
        some = h > 0
        return np.asarray(np.where(some, special.ndtr((to - t) / np.where(some, h, 1.0)), (to >= t) * 1.0))

    def location(self, mean: ArrayLike, h: ArrayLike) -> Array:
        """Return the location whose mean risk is given, by root-finding."""
        mean, h = np.broadcast_arrays(np.asarray(mean, dtype=float), np.asarray(h, dtype=float))
        wide = FARTHEST + WIDEST * h
        return root(lambda t, mean, h: self.mean(t, h) - mean, -wide, wide, mean, h)

    def ends(self, total: float, h: Array) -> tuple[Array, Array]:
        """Return locations between which limits are sought, wider the more risks vary."""
        return -FARTHEST - WIDEST * h, FARTHEST + WIDEST * h


def _normal_nodes(narrowness: float) -> tuple[Array, Array]:
    """Return nodes of the standard normal distribution and their log weights; the step is 1 / narrowness."""
    half = math.ceil(WIDEST * max(2.0, narrowness))
    z = np.linspace(-WIDEST, WIDEST, 2 * half + 1)
    weights = -0.5 * z**2
    return z, weights - special.logsumexp(weights)


class LogitNormalRisks(NormalRisks):
    """Risks that are normal on the logit scale."""

    words, of_people, largest = "a normal distribution on the logit scale", True, 100.0

    def log_given(self, x: Array, total: Array, eta: Array) -> Array:
        """Return binomial log probabilities."""
        return np.asarray(
            log_choose(total, x) + x * special.log_expit(eta) + (total - x) * special.log_expit(-eta)
        )

    def back(self, eta: Array) -> Array:
        """Return the risk of a logit."""
        return np.asarray(special.expit(eta))

    def forth(self, risk: Array) -> Array:
        """Return the logit of a risk."""
        return np.asarray(special.logit(risk))


class LogNormalRates(NormalRisks):
    """Rates that are normal on the log scale."""

    words, of_people, largest = "a normal distribution on the log scale", False, 10.0

    def log_given(self, x: Array, total: Array, eta: Array) -> Array:
        """Return Poisson log probabilities."""
        with np.errstate(over="ignore"):
            return np.asarray(x * (eta + np.log(total)) - total * np.exp(eta) - special.gammaln(x + 1))

    def back(self, eta: Array) -> Array:
        """Return the rate of a logarithm."""
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def forth(self, risk: Array) -> Array:
        """Return the logarithm of a rate."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(risk))

    def mean(self, t: ArrayLike, h: ArrayLike) -> Array:
        """Return the mean of a log-normal distribution."""
        with np.errstate(over="ignore"):
            return np.exp(np.asarray(t) + np.square(h) / 2)

    def location(self, mean: ArrayLike, h: ArrayLike) -> Array:
        """Return the location of a mean rate."""
        return np.asarray(np.log(mean) - np.square(h) / 2)

    def ends(self, total: float, h: Array) -> tuple[Array, Array]:
        """Return locations around one event in all person-time."""
        most = math.log(total)
        return -FARTHEST - most - WIDEST * h, FARTHEST - most + WIDEST * h


KINDS: tuple[StudyRisks, ...] = (BetaRisks(), LogitNormalRisks(), GammaRates(), LogNormalRates())


def root(f: object, low: Array, high: Array, *args: Array | Index) -> Array:
    """Return where a function that changes its sign once is zero, for each element; NaN where it does not."""
    shape = np.shape(low)
    found = elementwise.find_root(
        f,
        (np.atleast_1d(low), np.atleast_1d(high)),
        args=tuple(map(np.atleast_1d, args)),
        tolerances={"xatol": 1e-13, "xrtol": 1e-15, "fatol": 0.0, "frtol": 0.0},
        maxiter=200,
    )
    return np.asarray(np.where(found.success, found.x, np.nan)).reshape(shape)


def sum_probabilities(
    risks: StudyRisks, x: int, sizes: Array, times: Index, t: Array, h: Array
) -> tuple[Array, Array]:
    """Return the probabilities of at most x events in all studies together, and of exactly x.

    `t` and `h` have shape (B,); there are `times` studies of each of the `sizes`. With x = 0 it is a product;
    otherwise a convolution.
    """
    t, h = np.broadcast_arrays(np.asarray(t, dtype=float), np.asarray(h, dtype=float))
    if x == 0:
        none = np.exp(risks.log_pmf(0.0, sizes, t[:, None], h[:, None]) @ times)
        return none, none
    made = np.zeros((t.size, x + 1))
    made[:, 0] = 1.0
    for size, count in zip(sizes.tolist(), times.tolist(), strict=True):
        most = min(x, int(size)) if risks.of_people else x
        one = np.zeros_like(made)
        one[:, : most + 1] = np.exp(risks.log_pmfs(most, size, t, h))
        made = _convolved(made, _power(one, count))
    return np.minimum(made.sum(axis=1), 1.0), made[:, -1]


def running_probabilities(
    risks: StudyRisks, x: Index, sizes: Array, which: Index, t: Array, h: Array
) -> Array:
    """Return the probabilities of at most x[i] events in the studies up to and with the i-th, for each i.

    `which` has these i in ascending order, and `t` and `h` have its shape. What lies before all of them is
    summed by size; from there on each study is added once, to all sums that it is in.
    """
    first, width = int(which[0]), int(x[which].max()) + 1
    made = np.zeros((which.size, width))
    made[:, 0] = 1.0
    known, times = np.unique(sizes[: first + 1], return_counts=True)
    before = zip(known.tolist(), times.tolist(), strict=True)
    after = ((size, 1) for size in sizes[first + 1 : int(which[-1]) + 1].tolist())
    for i, (size, count) in enumerate((*before, *after), start=first + 1 - known.size):
        rows = slice(int(np.searchsorted(which, i)) if i > first else 0, None)
        most = min(width - 1, int(size)) if risks.of_people else width - 1
        one = np.zeros_like(made[rows])
        one[:, : most + 1] = np.exp(risks.log_pmfs(most, size, t[rows], h[rows]))
        made[rows] = _convolved(made[rows], _power(one, count))
    return np.asarray(np.minimum(made.cumsum(axis=1)[np.arange(which.size), x[which]], 1.0))


def _power(one: Array, count: int) -> Array:
    """Return the distribution of the sum of several like counts, by repeated squaring."""
    made, square = None, one
    while True:
        if count % 2:
            made = square if made is None else _convolved(made, square)
        count //= 2
        if not count:
            return one if made is None else made
        square = _convolved(square, square)


def _convolved(a: Array, b: Array) -> Array:
    """Return the distribution of a sum, cut off where both are."""
    size = a.shape[1]
    if size > DIRECT:
        from scipy import signal  # slow to load

        return np.asarray(np.maximum(signal.fftconvolve(a, b, axes=1)[:, :size], 0.0))
    made = np.zeros_like(a)
    for j in range(size):
        made[:, j:] += a[:, j : j + 1] * b[:, : size - j]
    return made
