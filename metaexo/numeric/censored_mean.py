"""The coefficients that are likeliest at a given tau2, and the criterion of tau2 that follows.

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
Cox, D. R., Reid, N. (1987). Parameter orthogonality and approximate conditional inference. Journal of the
Royal Statistical Society B 49, 1-18. https://doi.org/10.1111/j.2517-6161.1987.tb01422.x
Harville, D. A. (1974). Bayesian inference for variance components using only error contrasts. Biometrika 61,
383-385. https://doi.org/10.1093/biomet/61.2.383
Prekopa, A. (1973). On logarithmic concave measures and functions. Acta Scientiarum Mathematicarum 34,
335-343.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaexo.errors import ConvergenceError
from metaexo.numeric.censored_rows import CensoredBatch
from metaexo.numeric.censored_terms import Terms, row_terms
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.types import Array

MAX_STEPS = 200
# Rise that the next Newton step promises, below which that step is the last.
LAST_RISE = 1e-11


@dataclass(frozen=True, slots=True)
class MeanFit:
    """The likeliest coefficients of N problems at their tau2.

    Attributes
    ----------
    tau2 : ndarray, shape (N,)
        The between-study variances.
    gamma : ndarray, shape (N, P)
        Coefficients on the orthonormal basis, the offset left out.
    log_lik : ndarray, shape (N,)
        Log-likelihood.
    information : ndarray, shape (N, P, P)
        Minus the second derivative of the log-likelihood in the coefficients.
    terms : Terms
        The rows at these coefficients.
    """

    tau2: Array
    gamma: Array
    log_lik: Array
    information: Array
    terms: Terms

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

    Parameters
    ----------
    start : ndarray, shape (B, P), optional
        Where to begin, on the basis. Default: the fit of the anchors by least squares.
    complete : bool
        Whether third and fourth derivatives of the rows are wanted in the result.
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
