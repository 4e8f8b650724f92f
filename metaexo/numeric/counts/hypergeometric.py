r"""Events of the treated arms when each study's margins are given: an exponential family in the log ratio.

Given its total m of events, the events of the treated arm of a study have probabilities proportional to
:math:`c(a) e^{\theta a}`: with the log odds ratio theta and
:math:`c(a) = \binom{n_1}{a} \binom{n_2}{m - a}` they are non-central hypergeometric, with the log rate ratio
and :math:`c(a) = \binom{m}{a} t_1^a t_2^{m-a}` they are binomial. What the studies say of a common theta is
in their sum S. Its coefficients are the product of polynomials, one per study; the polynomial of each study
is taken at the theta that fits best, where it is a distribution around what was observed, so that no number
overflows, tails keep their digits, and only the part with weight is multiplied. Probabilities at another
theta follow by tilting: :math:`P_\theta(s) = P_{\hat\theta}(s) e^{(\theta - \hat\theta)s}` over the ratio of
the normalising constants, which are products over studies and need no multiplication of polynomials. The
smaller tail is always the one that is summed.

References
----------
Mehta, C. R., Patel, N. R., Gray, R. (1985). Computing an exact confidence interval for the common odds ratio
in several 2 x 2 contingency tables. Journal of the American Statistical Association 80, 969-973.
https://doi.org/10.1080/01621459.1985.10478212
Vollset, S. E., Hirji, K. F., Elashoff, R. M. (1991). Fast computation of exact confidence limits for the
common odds ratio in a series of 2 x 2 tables. Journal of the American Statistical Association 86, 404-409.
https://doi.org/10.1080/01621459.1991.10475053
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from metaexo.immutable import lock
from metaexo.numeric.counts.two_arms import TwoArms, expected_events
from metaexo.types import Array, Index

# Up to this many possible counts in all studies together, all of them are used; beyond, those within so many
# standard deviations (and so many counts) of the fitted one, outside of which lie less than 1e-40.
WHOLE = 50_000
REACH, LEAST_REACH = 14.0, 60.0
# So many standard deviations apart, fitted counts still share what matters.
SAME = 2.0
# Probabilities below this share of the largest are cut off the ends of a product.
CUT, CUT_OF_WHOLE = 1e-40, 1e-290
# From this length of the shorter factor on, products are made by the fast Fourier transform. Its error is
# relative to the largest probability, which is where all sums begin.
LONG = 1500
# Least shares of the largest probability that can be compared with others; ties are equal to so many digits.
LEAST, LEAST_OF_WHOLE, TIES = 1e-10, 1e-280, 1e-7
# Sets of tables that are gone through one by one; from more, some are drawn.
MOST_SETS = 300_000
# Log ratios beyond these are taken for these where the counts that matter are sought.
FARTHEST = 600.0
# Newton's error is about the square of its last step.
MOST_STEPS, STEP, LEAST_STEP = 200, 1e-12, 1e-2


class Cumulants(NamedTuple):
    """Logarithm of the normalising constant of S, its mean and its variance."""

    log_constant: float
    mean: float
    variance: float


class Tails(NamedTuple):
    """Logarithms of P(S <= s), P(S = s) and P(S >= s) at the observed s."""

    lower: float
    point: float
    upper: float


class ConditionalSum:
    """The events of the treated arms of all studies, given the margins of each study.

    `t`: counts of k studies, shape (k,); studies whose margins leave no choice say nothing and are left out.
    `person_time`: whether the totals are person-time.
    """

    def __init__(self, t: TwoArms, person_time: bool) -> None:
        events = t.x1 + t.x2
        low = np.zeros_like(events) if person_time else np.maximum(0.0, events - t.n2)
        high = events if person_time else np.minimum(t.n1, events)
        free = self.free = high > low  # which studies have a choice, shape (k,)
        self.t = TwoArms(*(x[free] for x in t))
        self.events, self.person_time = events[free], person_time
        self.low, self.high = low[free], high[free]
        self.informative = int(free.sum())
        self.observed = float(self.t.x1.sum())
        lock((*self.t, self.events, self.free, self.low, self.high))
        # fitted counts, how far others may be from them, and what matters near them, of the last theta
        self._kept: tuple[Array, Array, tuple[Array, Array, Index, Index]] | None = None

    @property
    def at_lowest(self) -> bool:
        """Whether S is the least that it can be, so that theta has no lower limit."""
        return self.observed <= float(self.low.sum())

    @property
    def at_highest(self) -> bool:
        """Whether S is the largest that it can be, so that theta has no upper limit."""
        return self.observed >= float(self.high.sum())

    @property
    def leaves_a_choice(self) -> bool:
        """Whether more than one set of tables has the observed S."""
        return self.informative > 1 and not (self.at_lowest or self.at_highest)

    # -- single studies ----------------------------------------------------------------------------------

    def _log_coefficients(self, a: Array, which: Index) -> Array:
        """Return log c(a) of counts a of the studies at `which`."""
        m, n1, n2 = self.events[which], self.t.n1[which], self.t.n2[which]
        if self.person_time:
            share = np.log(n1) - np.log(n2)
            return np.asarray(gammaln(m + 1) - gammaln(a + 1) - gammaln(m - a + 1) + a * share)
        return np.asarray(
            gammaln(n1 + 1) - gammaln(a + 1) - gammaln(n1 - a + 1)
            + gammaln(n2 + 1) - gammaln(m - a + 1) - gammaln(n2 - m + a + 1)
        )  # fmt: skip

    def _flat(self, low: Array, high: Array) -> tuple[Array, Array, Index, Index]:
        """Return the counts from low to high of each study, end to end, with log c and where each begins."""
        sizes = (high - low + 1).astype(np.intp)
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        which = np.repeat(np.arange(sizes.size), sizes)
        a = np.arange(sizes.sum()) - begins[which] + low[which]
        return a, self._log_coefficients(a, which), begins, which

    @cached_property
    def _is_whole(self) -> bool:
        return float((self.high - self.low + 1).sum()) <= WHOLE

    @cached_property
    def _whole(self) -> tuple[Array, Array, Index, Index]:
        return lock(self._flat(self.low, self.high))

    def _near(self, theta: float) -> tuple[Array, Array, Index, Index]:
        """Return the counts that matter at theta; all of them if there are not too many."""
        if self._is_whole:
            return self._whole
        ratio = math.exp(min(max(theta, -FARTHEST), FARTHEST))
        fitted, variance = expected_events(ratio, self.t, self.person_time)
        if self._kept is not None and (np.abs(fitted - self._kept[0]) <= self._kept[1]).all():
            return self._kept[2]
        half = np.ceil(REACH * np.sqrt(variance) + LEAST_REACH)
        low = np.clip(np.floor(fitted) - half, self.low, self.high)
        flat = self._flat(low, np.clip(np.ceil(fitted) + half, self.low, self.high))
        self._kept = lock((fitted, SAME * np.sqrt(variance), flat))
        return flat

    def _distributions(self, theta: float) -> tuple[Array, Array, Array, Index, Index]:
        """Return counts, their probabilities, log constants, where each study begins, and whose they are."""
        a, log_c, begins, which = self._near(theta)
        logs = log_c + theta * a
        top = np.maximum.reduceat(logs, begins)
        weight = np.exp(logs - top[which])
        total = np.add.reduceat(weight, begins)
        return a, weight / total[which], top + np.log(total), begins, which

    def cumulants(self, theta: float) -> Cumulants:
        """Return log constant, mean and variance of S at theta."""
        return Cumulants(*(math.fsum(each) for each in self.cumulants_by_study(theta)))

    def cumulants_by_study(self, theta: float) -> tuple[Array, Array, Array]:
        """Return log constant, mean and variance of the events of each study that has a choice."""
        a, p, constants, begins, which = self._distributions(theta)
        start = a[begins]
        mean = start + np.add.reduceat(p * (a - start[which]), begins)
        return constants, mean, np.add.reduceat(p * (a - mean[which]) ** 2, begins)

    # -- the estimate ------------------------------------------------------------------------------------

    @cached_property
    def estimate(self) -> float:
        """The theta whose mean of S is the observed sum; infinite where S is at an end."""
        if self.at_lowest or self.at_highest:
            return -math.inf if self.at_lowest else math.inf

        def off(theta: float) -> tuple[float, float]:
            found = self.cumulants(theta)
            return found.mean - self.observed, found.variance

        return rising_root(off, self._rough())

    def log_likelihood(self, theta: float) -> float:
        """Return the log probability of all counts at theta; 0 at an infinite one that is the estimate."""
        if math.isinf(theta):
            fitted = self.at_lowest if theta < 0 else self.at_highest
            return 0.0 if fitted else -math.inf
        log_c = math.fsum(self._log_coefficients(self.t.x1, np.arange(self.t.x1.size)))
        return min(log_c + theta * self.observed - self.cumulants(theta).log_constant, 0.0)

    @cached_property
    def at_estimate(self) -> Cumulants:
        """Cumulants of S at the estimate, where it is finite."""
        return self.cumulants(self.estimate)

    @cached_property
    def _fitted(self) -> tuple[float, Array]:
        """Least value and probabilities of S at the estimate."""
        return lock(self.distribution(self.estimate))

    def distribution(self, theta: float) -> tuple[float, Array]:
        """Return the least value of S and the probabilities of it and of those above, at theta."""
        a, p, _, begins, _ = self._distributions(theta)
        cut = CUT_OF_WHOLE if self._is_whole else CUT
        parts = [(float(a[i]), one) for i, one in zip(begins, np.split(p, begins[1:]), strict=True)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            merged = [_trimmed(x[0] + y[0], _product(x[1], y[1], self._is_whole), cut) for x, y in pairs]
            parts = merged + (parts[-1:] if len(parts) % 2 else [])
        return parts[0]

    # -- tails -------------------------------------------------------------------------------------------

    def tails(self, theta: float) -> Tails:
        """Return the log probabilities of sums up to, at, and from the observed one on, at theta."""
        if self.at_lowest or self.at_highest:
            point = self._of_the_end(theta)[0]
            return Tails(point, point, 0.0) if self.at_lowest else Tails(0.0, point, point)
        upward = theta <= self.estimate  # the tail whose probabilities fall off from s
        near, point, _ = self._tail(theta, upward)
        far = math.log(min(max(1 - math.exp(near) + math.exp(point), math.exp(point)), 1.0))
        return Tails(far, point, near) if upward else Tails(near, point, far)

    def _of_the_end(self, theta: float) -> tuple[float, float]:
        """Return log P(S = s) of a sum at its end, and the derivative."""
        ends, found = self.low if self.at_lowest else self.high, self.cumulants(theta)
        log_c = math.fsum(self._log_coefficients(ends, np.arange(ends.size)))
        return min(log_c + theta * self.observed - found.log_constant, 0.0), self.observed - found.mean

    def _tail(self, theta: float, upward: bool, share: float = 1.0) -> tuple[float, float, float]:
        """Return log P(S > s) (or S < s) with a share of P(S = s) added, log P(S = s), and the derivative."""
        first, p = self._fitted
        at = round(self.observed - first)
        part = (p[at:] if upward else p[at::-1]).copy()
        move, found = theta - self.estimate, self.cumulants(theta)
        scale = move * self.observed - (found.log_constant - self.at_estimate.log_constant)
        point = min(math.log(part[0]) + scale, 0.0)
        part[0] *= share
        away = np.arange(part.size) if upward else -np.arange(part.size)
        part *= np.exp(move * away)
        total = float(part.sum())
        slope = self.observed + float(part @ away) / total - found.mean
        return min(math.log(total) + scale, 0.0), point, slope

    def limit(self, tail: float, upper: bool, mid_p: bool = False) -> float:
        """Return the theta at which the tail beyond the observed sum has the probability `tail`, at most 1/2.

        The upper limit has P(S <= s) = tail, the lower one P(S >= s) = tail; with `mid_p` half of P(S = s) is
        taken off. Infinite where S is at the end.
        """
        if self.at_highest if upper else self.at_lowest:
            return math.inf if upper else -math.inf
        at_end, sign = self.at_lowest or self.at_highest, -1.0 if upper else 1.0
        target = math.log(tail) + (math.log(2) if at_end and mid_p else 0.0)
        if target >= 0:
            return -math.inf if upper else math.inf

        def off(theta: float) -> tuple[float, float]:
            if at_end:
                value, slope = self._of_the_end(theta)
            else:
                value, _, slope = self._tail(theta, not upper, 0.5 if mid_p else 1.0)
            return sign * (value - target), sign * slope

        return rising_root(off, self._rough() if at_end else self.estimate)

    def _rough(self) -> float:
        """Return a rough theta to start from: the log ratio of all studies together."""
        x1, n1, x2, n2 = (float(x.sum()) for x in self.t)
        if self.person_time:
            return math.log((x1 + 0.5) / n1) - math.log((x2 + 0.5) / n2)
        return math.log((x1 + 0.5) / (n1 - x1 + 0.5)) - math.log((x2 + 0.5) / (n2 - x2 + 0.5))

    def no_more_likely(self, theta: float) -> float:
        """Return the probability, at theta, of all sums that are no more likely than the observed one.

        That of the tail alone where the other side of so small probabilities is lost to rounding.
        """
        first, p = self.distribution(theta)
        at = round(self.observed - first)
        if not 0 <= at < p.size or not p[at] > p.max() * (LEAST_OF_WHOLE if self._is_whole else LEAST):
            found = self.tails(theta)
            return math.exp(min(found.lower, found.upper))
        return min(1.0, float(p[p <= p[at] * (1 + TIES)].sum()))

    # -- tables given their sum --------------------------------------------------------------------------

    def tables_no_more_likely(self, draws: int, seed: int) -> tuple[float, float, int]:
        """Return the probability, given S, of all sets of tables no more likely than the observed one.

        And minus twice the log probability of the observed set, and how many sets were drawn at random: 0
        where all of them were gone through. It does not depend on theta.
        """
        theta = self.estimate
        if not math.isfinite(theta):  # one possible set
            return 1.0, 0.0, 0
        a, p, _, begins, _ = self._distributions(theta)
        parts = list(zip(a[begins].tolist(), np.split(p, begins[1:]), strict=True))
        seen, of_sum = self.log_likelihood(theta), self.tails(theta).point
        found = _every_set(parts, self.observed, seen)
        if found is not None:
            return min(1.0, found / math.exp(of_sum)), 2 * (of_sum - seen), 0
        logs = _drawn_sets(parts, self.observed, draws, np.random.default_rng(seed))
        beyond = int((logs <= seen + TIES).sum())
        return (1 + beyond) / (1 + draws), 2 * (of_sum - seen), draws


def _every_set(parts: Sequence[tuple[float, Array]], total: float, seen: float) -> float | None:
    """Return the probability of all sets with a sum that are no more likely than one; None if too many.

    Sets of the first studies with the same sum and the same probability go on together.
    """
    least = np.cumsum([first for first, _ in parts][::-1])[::-1]
    most = np.cumsum([first + one.size - 1 for first, one in parts][::-1])[::-1]
    sums, logs, shares = np.zeros(1), np.zeros(1), np.ones(1)
    for i, (first, one) in enumerate(parts):
        if sums.size * one.size > MOST_SETS:
            return None
        kept = one > 0
        sums = (sums[:, None] + first + np.arange(one.size)[kept]).ravel()
        logs = (logs[:, None] + np.log(one[kept])).ravel()
        shares = (shares[:, None] * one[kept]).ravel()
        rest = (least[i + 1], most[i + 1]) if i + 1 < len(parts) else (0.0, 0.0)
        able = (sums + rest[0] <= total) & (sums + rest[1] >= total)
        keys = np.column_stack([sums[able], np.round(logs[able] / TIES)])
        _, index, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        shares = np.asarray(np.bincount(inverse.ravel(), weights=shares[able]), dtype=float)
        sums, logs = sums[able][index], logs[able][index]
    return float(shares[logs <= seen + TIES].sum())


def _drawn_sets(
    parts: Sequence[tuple[float, Array]], total: float, draws: int, rng: np.random.Generator
) -> Array:
    """Return the log probabilities of sets drawn at random given their sum, shape (draws,)."""
    rest: list[tuple[float, Array]] = [(0.0, np.ones(1))]
    for first, one in parts[:0:-1]:
        rest.append(_trimmed(rest[-1][0] + first, _product(rest[-1][1], one, True), CUT_OF_WHOLE))
    rest.reverse()
    left, logs = np.full(draws, total), np.zeros(draws)
    for (first, one), (least, others) in zip(parts, rest, strict=True):
        for value in np.unique(left):
            here = np.flatnonzero(left == value)
            at = np.round(value - first - np.arange(one.size) - least).astype(np.intp)
            able = (at >= 0) & (at < others.size)
            weight = np.where(able, one * others[np.clip(at, 0, others.size - 1)], 0.0)
            chosen = rng.choice(one.size, size=here.size, p=weight / weight.sum())
            left[here] -= first + chosen
            logs[here] += np.log(one[chosen])
    return logs


def _product(one: Array, other: Array, plain: bool) -> Array:
    """Return the coefficients of the product of two polynomials with positive coefficients.

    The plain way keeps the digits of every coefficient; the other, for long factors, those of the large ones.
    """
    if plain or min(one.size, other.size) < LONG:
        return np.convolve(one, other)
    size = one.size + other.size - 1
    room = 1 << (size - 1).bit_length()
    made = np.fft.irfft(np.fft.rfft(one, room) * np.fft.rfft(other, room), room)[:size]
    return np.asarray(np.maximum(made, 0.0))


def _trimmed(first: float, p: Array, cut: float) -> tuple[float, Array]:
    """Return probabilities without the negligible ones at both ends."""
    kept = np.flatnonzero(p > cut * p.max())
    return first + float(kept[0]), p[kept[0] : kept[-1] + 1]


def rising_root(function: Callable[[float], tuple[float, float]], start: float) -> float:
    """Return the root of a function that does not fall, from its values and slopes.

    Newton's steps inside a bracket, which grows from `start` by doubled steps.
    """
    low, high, now, reach = -math.inf, math.inf, start, 1.0
    for _ in range(MOST_STEPS):
        value, slope = function(now)
        if value == 0:
            return now
        low, high = (low, now) if value > 0 else (now, high)
        guess = now - value / slope if slope > 0 else math.nan
        if math.isfinite(low) and math.isfinite(high):
            following = guess if low < guess < high else 0.5 * (low + high)
        else:
            out = now - math.copysign(reach, value)
            following = guess if abs(guess - now) <= reach else out
            reach *= 2
        if abs(following - now) <= STEP * max(abs(now), LEAST_STEP):
            return following
        now = following
    return now
