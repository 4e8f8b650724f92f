"""Maximum likelihood of a mixture in which some studies carry their label and others do not.

A study with the label j has effects N(mu_j, tau2 + v); one without a label is of level j with probability
pi_j: a parameter of its own, one that the labelled studies inform too, or a given one. EM fills in the
labels by their probabilities given the data: each step raises the likelihood, from several starts. The best
end is then refined by Newton's method with the exact score, which also gives the observed information.

References
----------
Dempster, A. P., Laird, N. M., Rubin, D. B. (1977). Maximum likelihood from incomplete data via the EM
algorithm. Journal of the Royal Statistical Society B 39, 1-38.
https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. Journal of the Royal
Statistical Society B 44, 226-233. https://doi.org/10.1111/j.2517-6161.1982.tb01203.x
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metaexo.immutable import Immutable
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.roots import uphill_step
from metaexo.types import Array

MOST_STEPS = 2000
STILL = 1e-12
FALL = 1e-9
GRID = 48
SOFT = 0.02
GOLDEN = (math.sqrt(5) - 1) / 2
EMPTY_SHARE = 1e-7
EMPTY_TAU2 = 1e-8
DIFFERENCE = 1e-5
NEWTON_STEPS = 60
FLAT = 1e-10  # curvature that is rounding, relative to the largest


@dataclass(frozen=True, eq=False)
class Mixture:
    """The data of the mixture."""

    # y, v (k,): effects and sampling variances, above 0
    y: Array
    v: Array
    # (k, J): 1 at the level of an effect whose study reports it; a row of zeros where it does not
    known: Array
    # (k,): number of the unreported study of each effect; -1 where the level is reported
    unit: NDArray[np.intp]
    units: int  # number of unreported studies
    # (J,): studies of each level that inform the shares beside the unreported ones; zeros if none do
    counts: Array
    fixed: bool = False  # whether the shares are held, all equal

    @property
    def levels(self) -> int:
        """Number of known levels J."""
        return int(self.known.shape[1])

    def densities(self, mu: Array, tau2: Array) -> Array:
        """Return log densities of each effect at each level, shape (B, k, J)."""
        total = (self.v + tau2[:, None])[..., None]
        gap = self.y[:, None] - mu[:, None, :]
        return np.asarray(-0.5 * (LOG_2PI + np.log(total) + gap * gap / total))

    def expect(self, mu: Array, tau2: Array, share: Array) -> tuple[Array, Array]:
        """Return log-likelihoods (B,) and probabilities of the levels of unreported studies (B, U, J)."""
        logs = self.densities(mu, tau2)
        labelled = np.einsum("kj,bkj->b", self.known, logs)
        with np.errstate(divide="ignore"):
            joint = np.repeat(np.log(share)[:, None, :], self.units, axis=1)
        hidden = np.flatnonzero(self.unit >= 0)
        for row in hidden:
            joint[:, self.unit[row]] += logs[:, row]
        top = joint.max(axis=-1, keepdims=True)
        mass = np.exp(joint - top)
        total = mass.sum(axis=-1, keepdims=True)
        value = labelled + (np.log(total) + top)[..., 0].sum(axis=-1)
        if self.counts.any():
            value = value + np.log(share) @ self.counts
        return value, mass / total

    def shares(self, posterior: Array) -> Array:
        """Return the shares of the levels that go with probabilities of shape (B, U, J), shape (B, J)."""
        if self.fixed:
            return np.full((len(posterior), self.levels), 1.0 / self.levels)
        return np.asarray((posterior.sum(axis=1) + self.counts) / (self.units + self.counts.sum()))

    def weights(self, posterior: Array) -> Array:
        """Return the weight of each effect at each level, shape (B, k, J)."""
        full = np.repeat(self.known[None], len(posterior), axis=0)
        hidden = np.flatnonzero(self.unit >= 0)
        full[:, hidden] = posterior[:, self.unit[hidden]]
        return full


@dataclass(frozen=True, eq=False)
class MixtureMaximum(Immutable):
    """The maximum of the likelihood with its certificate."""

    mu: Array  # (J,): means of the levels
    tau2: float  # between-study variance within levels
    share: Array  # (J,): shares of the levels
    posterior: Array  # (U, J): probabilities of the levels of each unreported study
    value: float  # log-likelihood
    # (J, J): covariance matrix of the means, from the observed information of all parameters that are not at
    # a limit
    cov: Array
    tau2_se: float  # standard error of tau2; NaN at 0
    share_se: Array  # (J,): standard errors of the shares; NaN at 0 and 1
    # slope, curvature: largest score and smallest eigenvalue of the information at the maximum
    slope: float
    curvature: float
    # starts, agree: starts of EM, and how many ended at this maximum
    starts: int
    agree: int
    maxima: int  # different heights at which starts ended
    monotone: bool  # whether no step of EM lowered the likelihood


def maximise(mixture: Mixture, seed: int = 0) -> MixtureMaximum:
    """Return the highest maximum that EM finds from several starts."""
    posterior = _starts(mixture, np.random.default_rng(seed))
    mu, tau2, share, value, monotone = _climb(mixture, posterior)
    order = np.argsort(-value, kind="stable")
    heights = value[order]
    scale = 1e-6 * (1 + abs(heights[0]))
    point = _Point(mixture, mu[order[0]], float(tau2[order[0]]), share[order[0]])
    point.refine()
    cov, curvature = point.covariance()
    free = point.free
    at = {int(j): i for i, j in enumerate(free)}
    j = mixture.levels
    se = np.full(2 * j + 1, np.nan)
    se[free] = np.sqrt(np.maximum(np.diagonal(cov), 0.0))
    means = np.array([[cov[at[a], at[b]] for b in range(j)] for a in range(j)])
    final, found = mixture.expect(*point.parts())
    return MixtureMaximum(
        mu=point.mu,
        tau2=point.tau2,
        share=point.share,
        posterior=found[0],
        value=float(final[0]),
        cov=means,
        tau2_se=float(se[j]),
        share_se=point.share_errors(cov, at),
        slope=float(np.abs(point.score()[free]).max()),
        curvature=curvature,
        starts=len(value),
        agree=int((heights >= heights[0] - scale).sum()),
        maxima=1 + int((np.diff(heights) < -scale).sum()),
        monotone=monotone,
    )


def _starts(mixture: Mixture, rng: np.random.Generator) -> Array:
    """Return probabilities of the levels to start from, shape (B, U, J)."""
    u, j = mixture.units, mixture.levels
    alike = np.full((1, u, j), 1.0 / j)
    whole = np.repeat(np.eye(j)[:, None, :], u, axis=1)
    mu = (mixture.known * mixture.y[:, None]).sum(axis=0) / mixture.known.sum(axis=0)
    nearest = np.zeros((1, u, j))
    hidden = np.flatnonzero(mixture.unit >= 0)
    middle = np.bincount(mixture.unit[hidden], mixture.y[hidden], u) / np.bincount(mixture.unit[hidden])
    nearest[0, np.arange(u), np.abs(middle[:, None] - mu).argmin(axis=1)] = 1.0
    drawn = rng.dirichlet(np.full(j, 0.5), size=(16, u))
    # a share that begins at 0 would stay there
    return SOFT / j + (1 - SOFT) * np.concatenate([alike, nearest, whole, drawn])


def _climb(mixture: Mixture, posterior: Array) -> tuple[Array, Array, Array, Array, bool]:
    """Climb by EM from all starts at once."""
    b = len(posterior)
    tau2 = np.full(b, max(float(np.var(mixture.y)), float(mixture.v.min())))
    value = np.full(b, -np.inf)
    monotone = True
    mu = np.zeros((b, mixture.levels))
    share = mixture.shares(posterior)
    for _ in range(MOST_STEPS):
        mu, tau2 = _improve(mixture, mixture.weights(posterior), tau2)
        share = mixture.shares(posterior)
        now, posterior = mixture.expect(mu, tau2, share)
        monotone = monotone and bool((now >= value - FALL * (1 + np.abs(now))).all())
        still = bool((now - value <= STILL * (1 + np.abs(now))).all())
        value = now
        if still:
            break
    return mu, tau2, share, value, monotone


def _improve(mixture: Mixture, weights: Array, tau2: Array) -> tuple[Array, Array]:
    """Return means, and then tau2, that raise the likelihood at given weights of the levels."""
    w = weights / (mixture.v + tau2[:, None])[..., None]
    mu = np.einsum("bkj,k->bj", w, mixture.y) / w.sum(axis=1)
    gap = mixture.y[:, None] - mu[:, None, :]
    ss = (weights * gap * gap).sum(axis=-1)
    return mu, _best_tau2(mixture.v, ss, tau2)


def _best_tau2(v: Array, ss: Array, now: Array) -> Array:
    """Return the tau2 with the highest sum of -1/2 [log(v + t) + ss / (v + t)], never below that of `now`.

    The best point of a grid with its two neighbours brackets a maximum, which is then cut down.
    """
    top = np.maximum(ss.max(axis=1), v.max())
    grid = np.concatenate([[0.0], np.geomspace(1e-7, 1.0, GRID)])[None] * top[:, None]

    def height(t: Array) -> Array:
        total = v + t[..., None]
        return np.asarray(-0.5 * (np.log(total) + ss[:, None, :] / total).sum(axis=-1))

    best = height(grid).argmax(axis=1)
    rows = np.arange(len(grid))
    low, high = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, GRID)]
    for _ in range(45):
        reach = GOLDEN * (high - low)
        ends = height(np.column_stack([high - reach, low + reach]))
        left = ends[:, 0] > ends[:, 1]
        low, high = np.where(left, low, high - reach), np.where(left, low + reach, high)
    choices = np.column_stack([now, np.zeros_like(now), 0.5 * (low + high)])
    return np.asarray(choices[rows, height(choices).argmax(axis=1)])


class _Point:
    """A point of the likelihood, moved to the maximum by Newton's method.

    Parameters are the means, tau2, and the logarithms of the shares; those at a limit (tau2 = 0, a share of
    0) are held, and so is the log of the largest share, because the shares add up to 1.
    """

    def __init__(self, mixture: Mixture, mu: Array, tau2: float, share: Array) -> None:
        self.mixture = mixture
        j = mixture.levels
        open_ = share > EMPTY_SHARE
        self.share = np.where(open_, share, 0.0)
        self.share /= self.share.sum()
        held = tau2 <= EMPTY_TAU2 * float(mixture.v.min())
        self.mu, self.tau2 = mu.copy(), 0.0 if held else tau2
        self.base = int(self.share.argmax())
        movable = [i for i in range(j) if open_[i] and i != self.base and not mixture.fixed]
        self.free = np.array(
            [*range(j), *([] if held else [j]), *(j + 1 + i for i in movable)], dtype=np.intp
        )

    def parts(self) -> tuple[Array, Array, Array]:
        """Return the parameters as a batch of one."""
        return self.mu[None], np.array([self.tau2]), self.share[None]

    def score(self) -> Array:
        """Return the derivatives of the log-likelihood by all parameters, shape (2 J + 1,)."""
        mix = self.mixture
        _, posterior = mix.expect(*self.parts())
        weights = mix.weights(posterior)[0]
        w = 1.0 / (mix.v + self.tau2)
        gap = mix.y[:, None] - self.mu
        by_mu = (weights * gap * w[:, None]).sum(axis=0)
        ss = (weights * gap * gap).sum(axis=1)
        by_tau2 = 0.5 * (ss * w * w - w).sum()
        whole = mix.units + mix.counts.sum()
        by_share = posterior[0].sum(axis=0) + mix.counts - whole * self.share
        return np.concatenate([by_mu, [by_tau2], by_share])

    def moved(self, step: Array) -> _Point:
        """Return the point after a step in the free parameters."""
        whole = np.zeros(2 * self.mixture.levels + 1)
        whole[self.free] = step
        j = self.mixture.levels
        share = self.share * np.exp(whole[j + 1 :])
        new = object.__new__(_Point)
        new.mixture, new.free, new.base = self.mixture, self.free, self.base
        new.mu, new.tau2, new.share = self.mu + whole[:j], self.tau2 + whole[j], share / share.sum()
        return new

    def value(self) -> float:
        """Return the log-likelihood; minus infinity where tau2 is negative."""
        if self.tau2 < 0:
            return -math.inf
        return float(self.mixture.expect(*self.parts())[0][0])

    def information(self) -> Array:
        """Return minus the second derivatives by the free parameters, from differences of the score."""
        n = len(self.free)
        scale = np.ones(n)
        inside = np.flatnonzero(self.free == self.mixture.levels)
        scale[inside] = max(self.tau2, float(self.mixture.v.min()))
        out = np.empty((n, n))
        for i in range(n):
            step = np.zeros(n)
            reach = DIFFERENCE * scale[i]
            if i in inside:
                reach = min(reach, 0.5 * self.tau2)
            step[i] = reach
            ahead, behind = self.moved(step).score(), self.moved(-step).score()
            out[i] = -(ahead - behind)[self.free] / (2 * reach)
        return 0.5 * (out + out.T)

    def refine(self) -> None:
        """Move to the maximum by Newton's method; each step must raise the likelihood."""
        for _ in range(NEWTON_STEPS):
            score = self.score()[self.free]
            step, _, _ = uphill_step(self.information(), score, FLAT)
            before, length = self.value(), 1.0
            if float(score @ step) < 1e-16:
                return
            while length > 1e-6:
                new = self.moved(length * step)
                if new.value() > before:
                    self.mu, self.tau2, self.share = new.mu, new.tau2, new.share
                    break
                length *= 0.5
            else:
                return

    def covariance(self) -> tuple[Array, float]:
        """Return the inverse of the information of the free parameters, and its smallest eigenvalue."""
        information = self.information()
        smallest = float(np.linalg.eigvalsh(information).min())
        if smallest <= 0:
            return np.full_like(information, np.nan), smallest
        return np.asarray(np.linalg.inv(information)), smallest

    def share_errors(self, cov: Array, at: dict[int, int]) -> Array:
        """Return the standard errors of the shares; NaN where a share is at 0 or 1."""
        j = self.mixture.levels
        logs = [i for i in range(j) if j + 1 + i in at]
        out = np.full(j, np.nan)
        if not logs:
            return out
        places = [at[j + 1 + i] for i in logs]
        # d share_a / d log share_b = share_a (1[a = b] - share_b)
        slopes = self.share[:, None] * (np.eye(j) - self.share)[:, logs]
        variance = np.einsum("ab,bc,ac->a", slopes, cov[np.ix_(places, places)], slopes)
        inner = (self.share > 0) & (self.share < 1)
        out[inner] = np.sqrt(np.maximum(variance[inner], 0.0))
        return out
