"""Posterior distributions of a mean risk or rate, of a study's, and of its count.

Where risks do not vary it is a beta or gamma distribution, otherwise a set of nodes (location, heterogeneity)
with weights, by quadrature. The mean's distribution function is integrated piece by piece up to any value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

from metaexo.immutable import Immutable
from metaexo.numeric.study_risks import StudyRisks
from metaexo.types import Array, Index

FALL = 32.0  # what lies so much lower on the log scale is left out: 1e-14
NODES = 12  # per piece
PIECES = 4  # of the heterogeneity
SCAN = 41
AS_GOOD_AS_NONE, NEGLIGIBLE = 1e-7, 1e-12
FARTHEST = 700.0  # logits, or log rates times person-time
AT_ONCE = 400_000  # probabilities per block
FEWEST = 64  # counts whose probabilities are computed at first
MOST_WORK = 20_000_000  # probabilities that a prediction may take


class Predictive(ABC):
    """What is known of the count of a new study."""

    of_people: bool

    @abstractmethod
    def expected(self) -> float:
        """Return the expected mean risk, or rate."""

    @abstractmethod
    def count_pmf(self, most: int, total: float) -> Array:
        """Return the predictive probabilities of 0, 1, ..., most events in a new study of a size."""

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Number of distributions that the count is a mixture of."""

    def predicted(self, total: float, tail: float) -> Array | None:
        """Return the predictive probabilities of 0, 1, ... events, up to a tail of the given probability.

        None if there are too many to compute.
        """
        most = int(total) if self.of_people else np.iinfo(np.int64).max
        limit, size = max(FEWEST, MOST_WORK // self.nodes), FEWEST
        while True:
            last = min(most, size, limit)
            made = self.count_pmf(last, total)
            if last == most or 1 - made.sum() < tail:
                return made
            if last == limit:
                return None
            size *= 4


@dataclass(frozen=True, eq=False)
class NodePredictive(Predictive, Immutable):
    """A count whose study risks have one of several distributions, each with a probability."""

    risks: StudyRisks
    t: Array  # locations, shape (j,)
    h: Array  # heterogeneity, shape (j,)
    weights: Array  # probabilities, shape (j,)

    @property
    def of_people(self) -> bool:  # type: ignore[override]
        """Whether risks of people are meant."""
        return self.risks.of_people

    def expected(self) -> float:
        """Return the expected mean risk."""
        return float(self.risks.mean(self.t, self.h) @ self.weights)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.weights.size

    def count_pmf(self, most: int, total: float) -> Array:
        """Return the probabilities of counts, averaged over the nodes."""
        made = np.zeros(most + 1)
        block = max(1, AT_ONCE // (most + 1))
        for start in range(0, self.weights.size, block):
            at = slice(start, start + block)
            made += self.weights[at] @ np.exp(self.risks.log_pmfs(most, total, self.t[at], self.h[at]))
        return np.asarray(made / self.weights.sum())


class RiskPosterior(Predictive):
    """What is known of the mean risk (or rate), of the risk of a new study, and of its count."""

    @abstractmethod
    def below(self, risk: float) -> float:
        """Return the probability that the mean is at most a value."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """Return a quantile of the mean."""

    @abstractmethod
    def study_quantile(self, share: float) -> float:
        """Return a quantile of the risk of a new study."""


@dataclass(frozen=True, eq=False)
class ConjugatePosterior(RiskPosterior, Immutable):
    """A beta distribution of a common risk, or a gamma distribution of a common rate."""

    of_people: bool
    a: float
    b: float  # the other parameter of the beta distribution; the person-time of the gamma distribution

    def below(self, risk: float) -> float:
        """Return the distribution function."""
        if self.of_people:
            return float(special.betainc(self.a, self.b, min(max(risk, 0.0), 1.0)))
        return float(special.gammainc(self.a, max(risk, 0.0) * self.b))

    def quantile(self, share: float) -> float:
        """Return a quantile."""
        if self.of_people:
            upper = special.betainccinv(self.a, self.b, 1 - share)
            return float(upper if share > 0.5 else special.betaincinv(self.a, self.b, share))
        upper = special.gammainccinv(self.a, 1 - share)
        return float(upper if share > 0.5 else special.gammaincinv(self.a, share)) / self.b

    def expected(self) -> float:
        """Return the expected value."""
        return self.a / (self.a + self.b) if self.of_people else self.a / self.b

    def study_quantile(self, share: float) -> float:
        """Return the quantile of the risk: it is the same in all studies."""
        return self.quantile(share)

    @property
    def nodes(self) -> int:
        """One: the distribution has a closed form."""
        return 1

    def count_pmf(self, most: int, total: float) -> Array:
        """Return beta-binomial, or negative-binomial, probabilities."""
        counts = np.arange(most + 1.0)
        if self.of_people:
            chosen = special.gammaln(total + 1) - special.gammaln(counts + 1)
            chosen = chosen - special.gammaln(total - counts + 1)
            logs = special.betaln(self.a + counts, self.b + total - counts) - special.betaln(self.a, self.b)
            return np.asarray(np.exp(chosen + logs))
        share = total / (total + self.b)
        logs = special.gammaln(self.a + counts) - special.gammaln(self.a) - special.gammaln(counts + 1)
        return np.asarray(np.exp(logs + counts * math.log(share) + self.a * math.log1p(-share)))


@dataclass(frozen=True, eq=False)
class GridPosterior(RiskPosterior, Immutable):
    """A posterior by quadrature over the location of the study risks and their heterogeneity."""

    risks: StudyRisks
    edges: Array  # of pieces of the location, shape (s + 1,)
    heterogeneity: Array  # values, shape (b,)
    weights: Array  # probabilities of the nodes, shape (s * NODES, b)

    @property
    def of_people(self) -> bool:  # type: ignore[override]
        """Whether risks of people are meant."""
        return self.risks.of_people

    @property
    def t(self) -> Array:
        """The locations of the nodes, shape (s * NODES,)."""
        return _nodes(self.edges)[0].ravel()

    @property
    def masses(self) -> Array:
        """The probability of each piece."""
        return np.asarray(self.weights.sum(axis=1).reshape(-1, NODES).sum(axis=1))

    def _within(self, i: int) -> Callable[[float], float]:
        """Return the integral of the density of the location from the start of a piece."""
        integral = _integrals(self.weights.sum(axis=1).reshape(-1, NODES))[:, i]
        low, high = float(self.edges[i]), float(self.edges[i + 1])
        return lambda t: float(np.polynomial.legendre.legval(2 * (t - low) / (high - low) - 1, integral))

    def below(self, risk: float) -> float:
        """Return the probability that the mean is at most a value."""
        if risk <= 0:
            return 0.0
        if self.of_people and risk >= 1:
            return 1.0
        t = float(self.risks.location(np.array(risk), np.array(0.0)))
        i = int(np.searchsorted(self.edges, t)) - 1
        if i < 0:
            return 0.0
        return 1.0 if i >= self.masses.size else float(self.masses[:i].sum()) + self._within(i)(t)

    def quantile(self, share: float) -> float:
        """Return a quantile of the mean."""
        so_far = np.cumsum(self.masses)
        i = min(int(np.searchsorted(so_far, share)), so_far.size - 1)
        rest, within = share - (float(so_far[i - 1]) if i else 0.0), self._within(i)
        low, high = float(self.edges[i]), float(self.edges[i + 1])
        t = high if within(high) <= rest else float(brentq(lambda t: within(t) - rest, low, high, xtol=1e-12))
        return self._risk(t)

    def _risk(self, t: float) -> float:
        return float(self.risks.mean(np.array(t), np.array(0.0)))

    def expected(self) -> float:
        """Return the expected mean."""
        return float((self.risks.mean(self.t[:, None], self.heterogeneity[None, :]) * self.weights).sum())

    def study_quantile(self, share: float) -> float:
        """Return a quantile of the risk of a new study, by its distribution function over all nodes."""
        if self.heterogeneity.max() < AS_GOOD_AS_NONE:
            return self.quantile(share)
        t, h, weights = self._important()

        def excess(eta: float) -> float:
            return float(self.risks.below(self._risk(eta), t, h) @ weights) - share

        low, high = float(self.edges[0]), float(self.edges[-1])
        step = 5.0
        while excess(high) < 0 and high < FARTHEST:
            high, step = high + step, 2 * step
        while excess(low) > 0 and low > -FARTHEST:
            low, step = low - step, 2 * step
        if excess(low) >= 0:
            return 0.0
        if excess(high) <= 0:
            return 1.0 if self.of_people else math.inf
        return self._risk(float(brentq(excess, low, high, xtol=1e-8)))

    def heterogeneity_quantile(self, share: float) -> float:
        """Return a quantile of the heterogeneity: its distribution function at the nodes, interpolated."""
        from scipy.interpolate import PchipInterpolator  # slow to load

        shares = self.weights.sum(axis=0).reshape(-1, NODES)
        within = np.polynomial.legendre.legval(_unit_nodes()[0], _integrals(shares))
        before = np.cumsum(shares.sum(axis=1)) - shares.sum(axis=1)
        at = np.maximum.accumulate((before[:, None] + within).ravel())
        first = np.unique(at, return_index=True)[1]
        if first.size == 1:
            return float(self.heterogeneity[0])
        curve = PchipInterpolator(at[first], self.heterogeneity[first])
        return float(curve(np.clip(share, at[0], at[-1])))

    @property
    def nodes(self) -> int:
        """Number of nodes that matter."""
        return int((self.weights > NEGLIGIBLE).sum())

    def count_pmf(self, most: int, total: float) -> Array:
        """Return the probabilities of counts, averaged over the nodes."""
        return NodePredictive(self.risks, *self._important()).count_pmf(most, total)

    def _important(self) -> tuple[Array, Array, Array]:
        """Return locations, heterogeneity and weights of the nodes that matter."""
        row, column = np.nonzero(self.weights > NEGLIGIBLE)
        return self.t[row], self.heterogeneity[column], self.weights[row, column]


@lru_cache(maxsize=1)
def _unit_nodes() -> tuple[Array, Array]:
    """Return the nodes and weights of Gauss and Legendre from -1 to 1."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    return np.asarray(x), np.asarray(w)


def _integrals(masses: Array) -> Array:
    """Return the Legendre coefficients of the integral over each piece, from the masses at its nodes.

    The polynomial through the density at the nodes is integrated; `masses` have shape (s, NODES), and what
    is returned a column per piece.
    """
    orders = np.arange(NODES)[:, None]
    values = np.polynomial.legendre.legvander(_unit_nodes()[0], NODES - 1).T @ masses.T
    return np.asarray(np.polynomial.legendre.legint((orders + 0.5) * values, lbnd=-1))


def _nodes(edges: Array) -> tuple[Array, Array]:
    """Return the nodes and weights of Gauss and Legendre in each piece, shape (s, NODES)."""
    x, w = _unit_nodes()
    half = np.diff(edges)[:, None] / 2
    return edges[:-1, None] + half * (x + 1), half * w


@dataclass(frozen=True)
class HeterogeneityDensity:
    """A prior density of the heterogeneity, over s with heterogeneity = scale (exp(s) - 1)."""

    log_density: Callable[[Array], Array]  # but for a constant
    scale: float
    most: float

    @property
    def end(self) -> float:
        """The largest s."""
        return math.log1p(self.most / self.scale)

    def at(self, s: Array) -> tuple[Array, Array]:
        """Return the heterogeneity at values of s, and the log density of s."""
        h = np.minimum(self.scale * np.expm1(s), self.most)
        return h, np.asarray(self.log_density(h) + s)


def grid_posterior(
    risks: StudyRisks,
    x: Array,
    totals: Array,
    log_prior: Callable[[Array], Array],
    slope: float,
    heterogeneity: float | HeterogeneityDensity,
) -> GridPosterior:
    """Return the posterior of study risks of a kind, given counts.

    `log_prior` is the log density of the location; the posterior falls by `slope` per unit towards low ones.
    `heterogeneity` is a value, or has a prior density.
    """
    unlike, counts = np.unique(np.column_stack([x, totals]), axis=0, return_counts=True)
    likelihood = _Likelihood(risks, unlike[:, 0], unlike[:, 1], counts)
    events, total = float(x.sum()), float(totals.sum())
    usual = float(risks.location(np.array((events + 0.5) / (total + 1.0)), np.array(0.0)))
    far = np.arange(40.0, FARTHEST, 20.0)
    scan = np.concatenate([-far[::-1], np.arange(-39.0, 40.0), far]) - (
        0 if risks.of_people else math.log(total)
    )
    scan = np.sort(np.append(scan, usual + np.arange(-8, 9) / math.sqrt(events + 1)))
    if isinstance(heterogeneity, HeterogeneityDensity):
        s = np.linspace(0, heterogeneity.end, SCAN)
        values, logs = heterogeneity.at(s)
        heights = (likelihood(scan[:, None], values[None, :]) + log_prior(scan)[:, None]).max(axis=0) + logs
        near = np.flatnonzero(heights > heights.max() - FALL)
        first, last = s[max(near[0] - 1, 0)], s[min(near[-1] + 1, SCAN - 1)]
        at, shares = (part.ravel() for part in _nodes(np.linspace(first, last, PIECES + 1)))
        h, logs = heterogeneity.at(at)
        log_shares = logs + np.log(shares)
        fineness = 1.0
    else:
        h, log_shares = np.array([heterogeneity]), np.zeros(1)
        fineness = min(40.0, max(1.0, 0.1 / math.sqrt(heterogeneity)))
    along = (likelihood(scan[:, None], h[None, :]) + log_shares).max(axis=1) + log_prior(scan)
    edges = _pieces(scan, along, slope, fineness * math.sqrt(events + 1))
    t, weights = (part.ravel() for part in _nodes(edges))
    logs = likelihood(t[:, None], h[None, :]) + log_shares + (log_prior(t) + np.log(weights))[:, None]
    return GridPosterior(risks=risks, edges=edges, heterogeneity=h, weights=special.softmax(logs))


def _pieces(scan: Array, along: Array, slope: float, fineness: float) -> Array:
    """Return the edges of pieces of the location: narrow where the likelihood is, wide in the tails."""
    peak = int(np.argmax(along))
    near = np.flatnonzero(along > along[peak] - FALL)
    low, high = float(scan[max(near[0] - 1, 0)]), float(scan[min(near[-1] + 1, scan.size - 1)])
    start, end = max(low, float(scan[peak]) - 8.0), min(high, float(scan[peak]) + 8.0)
    narrow, wide = min(1.0, 3 / fineness), min(4.0, 4 / slope)
    steps = ((low, start, wide), (start, end, narrow), (end, high, wide))
    parts = [np.linspace(a, b, math.ceil((b - a) / step) + 1)[1:] for a, b, step in steps if b > a]
    return np.concatenate([[low], *parts])


@dataclass(frozen=True)
class _Likelihood:
    """The log-likelihood of unlike rows of counts, for locations and heterogeneity that broadcast."""

    risks: StudyRisks
    x: Array
    totals: Array
    counts: Index

    def __call__(self, t: Array, h: Array) -> Array:
        t, h = np.broadcast_arrays(t, h)
        flat_t, flat_h = t.ravel(), h.ravel()
        made = np.empty(flat_t.size)
        block = max(1, AT_ONCE // self.x.size)
        for start in range(0, made.size, block):
            at = slice(start, start + block)
            logs = self.risks.log_pmf(self.x, self.totals, flat_t[at, None], flat_h[at, None])
            made[at] = np.maximum(logs, -1e300) @ self.counts
        return made.reshape(t.shape)
