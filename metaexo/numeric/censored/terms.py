"""The log-likelihood of each row of censored evidence, the likeliest coefficients, and the criterion of tau2.

For an exact row it is the normal density of y with variance s^2 = tau2 + v, for a censored one

    log P = log [ Phi((upper - eta) / s) - Phi((lower - eta) / s) ],

taken from the nearer tail, so that it keeps its digits wherever the interval lies. Derivatives with respect
to eta are those of the truncated normal distribution: with R_n = P^(n) / P they are its cumulants. Both
densities solve the heat equation, dP/dtau2 = 1/2 d2P/deta2, so derivatives with respect to tau2 follow from
those with respect to eta, and nothing else has to be differentiated.

At a given tau2 the log-likelihood is concave in the coefficients (a normal density is log-concave, and so is
the probability of an interval in its mean: Prekopa 1973, Pratt 1981), so Newton's method with halved steps
ends at the one maximum. With J(tau2) the information on the coefficients there, the criteria are

    ML    l(b(tau2), tau2)
    REML  l(b(tau2), tau2) + p/2 log 2 pi - 1/2 log|J(tau2)| + 1/2 log|X'X|.

The second is the likelihood with the coefficients integrated out, by Laplace's method, which is also the
adjusted profile likelihood of Cox and Reid (1987). Where every row is exact the integral is exact and the
criterion is the restricted likelihood (Harville 1974).

References
----------
Tobin, J. (1958). Estimation of relationships for limited dependent variables. Econometrica 26, 24-36.
https://doi.org/10.2307/1907382
Pratt, J. W. (1981). Concavity of the log likelihood. Journal of the American Statistical Association 76,
103-106. https://doi.org/10.1080/01621459.1981.10477613
Cox, D. R., Reid, N. (1987). Parameter orthogonality and approximate conditional inference. Journal of the
Royal Statistical Society B 49, 1-18. https://doi.org/10.1111/j.2517-6161.1987.tb01422.x
Harville, D. A. (1974). Bayesian inference for variance components using only error contrasts. Biometrika 61,
383-385. https://doi.org/10.1093/biomet/61.2.383
Prekopa, A. (1973). On logarithmic concave measures and functions. Acta Scientiarum Mathematicarum 34,
335-343.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from metaexo.errors import ConvergenceError
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array

MAX_STEPS = 200
# Rise that the next Newton step promises, below which that step is the last.
LAST_RISE = 1e-11


# An interval shorter than this, in standard deviations, is a density times its length.
NARROW = 1e-5


@dataclass(frozen=True, slots=True)
class Terms:
    """Log-likelihoods of the rows of N problems, with derivatives with respect to eta."""

    # value, first, second, third, fourth (N, K): logarithm of the density or probability, and its
    # derivatives; third and fourth are 0 where they were not asked for
    value: Array
    first: Array
    second: Array
    third: Array
    fourth: Array

    @property
    def by_tau2(self) -> Array:
        """Derivative with respect to tau2, shape (N, K)."""
        return 0.5 * (self.second + self.first**2)

    @property
    def first_by_tau2(self) -> Array:
        """Derivative of `first` with respect to tau2, shape (N, K)."""
        return 0.5 * (self.third + 2 * self.first * self.second)

    @property
    def second_by_tau2(self) -> Array:
        """Derivative of `second` with respect to tau2, shape (N, K)."""
        return 0.5 * (self.fourth + 2 * self.second**2 + 2 * self.first * self.third)

    @property
    def by_tau2_twice(self) -> Array:
        """Second derivative with respect to tau2, shape (N, K)."""
        return 0.5 * (self.second_by_tau2 + 2 * self.first * self.first_by_tau2)


def row_terms(batch: CensoredBatch, eta: Array, tau2: Array, complete: bool = True) -> Terms:
    """Return the terms at means eta, shape (B, K), and tau2, shape (B,).

    `complete`: whether third and fourth derivatives are wanted.
    """
    variance = batch.v + tau2[:, None]
    away = batch.y - eta
    found = [
        -0.5 * (LOG_2PI + np.log(variance) + away * away / variance),
        away / variance,
        -1.0 / variance,
        np.zeros_like(eta),
        np.zeros_like(eta),
    ]
    at = np.nonzero(batch.censored)
    if at[0].size:
        mean = eta[at][:, None]
        pieces = interval_terms(
            batch.lower[at] - mean,
            batch.upper[at] - mean,
            batch.piece_v[at] + tau2[at[0]][:, None],
            batch.log_weight[at],
            complete,
        )
        for array, piece in zip(found, pieces, strict=True):
            array[at] = piece
    return Terms(*found)


def interval_terms(
    lower: Array, upper: Array, variance: Array, log_weight: Array, complete: bool = True
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the log-probability of mixtures of intervals and its four derivatives, shape (C,) each.

    `lower` and `upper`, shape (C, M): ends, as seen from the mean.
    `variance`, shape (C, M): variances.
    `log_weight`, shape (C, M): logarithms of the weights of the M intervals.
    `complete`: whether third and fourth derivatives are wanted; they are 0 otherwise.
    """
    s = np.sqrt(variance)
    value, ratios = _interval_ratios(lower / s, upper / s, (upper - lower) / s, 4 if complete else 2)
    ratios = [ratio / s**order for order, ratio in enumerate(ratios, start=1)]
    if value.shape[-1] == 1:
        value, ratios = (value + log_weight)[..., 0], [ratio[..., 0] for ratio in ratios]
    else:
        joint = value + log_weight
        top = joint.max(axis=-1, keepdims=True)
        share = np.exp(joint - top)
        total = share.sum(axis=-1, keepdims=True)
        value = (top + np.log(total))[..., 0]
        ratios = [np.vecdot(share / total, ratio) for ratio in ratios]
    return _cumulants(value, ratios)


def log_interval(a: Array, b: Array) -> Array:
    """Return log [Phi(b) - Phi(a)] for a <= b, from the nearer tail."""
    with np.errstate(invalid="ignore"):
        turned = a + b > 0
    low, high = np.where(turned, -b, a), np.where(turned, -a, b)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    with np.errstate(divide="ignore"):
        return np.asarray(log_high + np.log1p(-np.exp(log_low - log_high)))


def _interval_ratios(a: Array, b: Array, width: Array, orders: int) -> tuple[Array, list[Array]]:
    """Return log P and P^(n) / P of standardised intervals, derivatives with respect to the mean."""
    narrow = width < NARROW
    value = log_interval(a, b)
    if narrow.any():
        middle = np.where(narrow, 0.5 * (a + b), 0.0)
        with np.errstate(divide="ignore"):
            dense = np.log(width) - 0.5 * (LOG_2PI + middle**2)
        value = np.where(narrow, dense, value)
    at_a, at_b = (_density_over(end, value) for end in (a, b))
    a, b = (np.where(np.isfinite(end), end, 0.0) for end in (a, b))
    ratios = [at_a - at_b, a * at_a - b * at_b]
    if orders > 2:
        ratios.append((a**2 - 1) * at_a - (b**2 - 1) * at_b)
        ratios.append((a**3 - 3 * a) * at_a - (b**3 - 3 * b) * at_b)
    if narrow.any():
        m = middle
        dense_ratios = [m, m**2 - 1, m**3 - 3 * m, m**4 - 6 * m**2 + 3]
        ratios = [np.where(narrow, d, r) for d, r in zip(dense_ratios, ratios, strict=False)]
    return value, ratios


def _density_over(end: Array, log_p: Array) -> Array:
    """Return phi(end) / P; 0 at infinite ends."""
    finite = np.isfinite(end)
    exponent = -0.5 * np.where(finite, end, 0.0) ** 2 - 0.5 * LOG_2PI - log_p
    return np.where(finite, np.exp(np.minimum(exponent, math.log(np.finfo(float).max))), 0.0)


def _cumulants(value: Array, ratios: list[Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Return log P and its derivatives from the ratios P^(n) / P."""
    r1, r2 = ratios[:2]
    second = np.minimum(r2 - r1**2, 0.0)  # the exact value is never above 0
    if len(ratios) == 2:
        nothing = np.zeros_like(value)
        return value, r1, second, nothing, nothing
    r3, r4 = ratios[2:]
    third = r3 - 3 * r2 * r1 + 2 * r1**3
    fourth = r4 - 4 * r3 * r1 - 3 * r2**2 + 12 * r2 * r1**2 - 6 * r1**4
    return value, r1, second, third, fourth


@dataclass(frozen=True, slots=True)
class MeanFit:
    """The likeliest coefficients of N problems at their tau2."""

    tau2: Array  # (N,): the between-study variances
    gamma: Array  # (N, P): coefficients on the orthonormal basis, the offset left out
    log_lik: Array  # (N,): log-likelihood
    information: Array  # (N, P, P): minus the second derivative of the log-likelihood in the coefficients
    terms: Terms  # the rows at these coefficients

    def criterion(self, batch: CensoredBatch, restricted: bool) -> Array:
        """Return the criterion of tau2, shape (N,)."""
        if not restricted or not batch.p:
            return self.log_lik
        counts = np.einsum("bk,kp,kq->bpq", batch.n, batch.basis, batch.basis)
        logdet = np.linalg.slogdet(self.information)[1] - np.linalg.slogdet(counts)[1]
        return np.asarray(self.log_lik + 0.5 * (batch.p * LOG_2PI - logdet))

    def score(self, batch: CensoredBatch, restricted: bool) -> Array:
        """Return the derivative of the criterion with respect to tau2, shape (N,)."""
        rows = self.row_scores(batch, restricted)
        return np.asarray(rows.sum(axis=-1))

    def row_scores(self, batch: CensoredBatch, restricted: bool) -> Array:
        """Return what each row adds to the derivative of the criterion, shape (N, K)."""
        terms, basis = self.terms, batch.basis
        scores = terms.by_tau2
        if restricted and batch.p:
            slope = np.einsum("bk,kp->bp", batch.n * terms.first_by_tau2, basis)
            moved = _solve(self.information, slope) @ basis.T
            leverage = self.row_leverage(batch)
            scores = scores + 0.5 * leverage * (terms.second_by_tau2 + terms.third * moved)
        return np.asarray(batch.n * scores)

    def row_leverage(self, batch: CensoredBatch) -> Array:
        """Return x' J^-1 x of each row, shape (N, K)."""
        if not batch.p:
            return np.zeros_like(self.terms.value)
        solved = np.linalg.solve(self.information, np.broadcast_to(batch.basis.T, self._shape(batch)))
        return np.asarray(np.einsum("kp,bpk->bk", batch.basis, solved))

    def _shape(self, batch: CensoredBatch) -> tuple[int, int, int]:
        return (self.tau2.size, batch.p, batch.basis.shape[0])


def likeliest_mean(
    batch: CensoredBatch, tau2: Array, start: Array | None = None, complete: bool = True
) -> MeanFit:
    """Return the coefficients with the highest likelihood at tau2, shape (B,).

    `start`, shape (B, P): where to begin, on the basis. Default: the fit of the anchors by least squares.
    `complete`: whether third and fourth derivatives of the rows are wanted in the result.
    """
    gamma = np.zeros((batch.size, batch.p)) if start is None else start.copy()
    if batch.p:
        _climb(batch, tau2, gamma)
    terms = row_terms(batch, gamma @ batch.basis.T, tau2, complete)
    log_lik = np.asarray(np.vecdot(batch.n, terms.value))
    return MeanFit(tau2, gamma, log_lik, _information(batch, terms), terms)


def _climb(batch: CensoredBatch, tau2: Array, gamma: Array) -> None:
    """Move gamma to the maximum by Newton's method; steps that do not lead uphill are halved."""
    open_ = np.arange(batch.size)
    part, here = batch, gamma.copy()
    height, step, rise = _newton(part, tau2, here)
    share = np.ones(batch.size)
    for _ in range(MAX_STEPS):
        last = rise <= LAST_RISE * (1 + np.abs(height))
        gamma[open_[last]] = here[last] + step[last]
        if last.any():
            keep = ~last
            open_, here, height, step = open_[keep], here[keep], height[keep], step[keep]
            rise, share = rise[keep], share[keep]
            part = batch.take(open_)
        if not open_.size:
            return
        tried = here + share[:, None] * step
        new_height, new_step, new_rise = _newton(part, tau2[open_], tried)
        better = new_height >= height + 1e-4 * share * rise
        here, step = np.where(better[:, None], tried, here), np.where(better[:, None], new_step, step)
        height = np.asarray(np.where(better, new_height, height))
        rise = np.asarray(np.where(better, new_rise, rise))
        share = np.where(better, 1.0, 0.5 * share)
    raise ConvergenceError(
        f"{open_.size} of {batch.size} problems of censored evidence were not solved in {MAX_STEPS} steps",
        "a likelihood with one maximum in the coefficients",
        "look for effects or variances that are out of all proportion",
    )


def _newton(batch: CensoredBatch, tau2: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """Return the log-likelihood, Newton's step and the rise of a full step by the slope."""
    terms = row_terms(batch, gamma @ batch.basis.T, tau2, complete=False)
    slope = (batch.n * terms.first) @ batch.basis
    information = _information(batch, terms)
    step: Array = slope / information[..., 0] if batch.p == 1 else _solve(information, slope)
    return np.asarray(np.vecdot(batch.n, terms.value)), step, np.asarray(np.vecdot(slope, step))


def _solve(information: Array, slope: Array) -> Array:
    return np.asarray(np.linalg.solve(information, slope[..., None])[..., 0])


def _information(batch: CensoredBatch, terms: Terms) -> Array:
    """Return minus the second derivatives in the coefficients, shape (N, P, P)."""
    weighted = (-batch.n * terms.second)[..., None] * batch.basis
    return np.asarray(np.swapaxes(weighted, 1, 2) @ batch.basis)
