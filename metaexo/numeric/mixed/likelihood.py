"""The (restricted) likelihood of a mixed model with its gradient and its average information.

With M the covariance matrix of the effects, P = M^-1 - M^-1 X (X'M^-1 X)^-1 X'M^-1 and r = Py,

    ML    -1/2 [ K log 2 pi + log|M| + y'Py ]
    REML  -1/2 [ (K - p) log 2 pi + log|M| + log|X'M^-1 X| - log|X'X| + y'Py ].

All a term contributes to the gradient is the small matrix S = Z'(r r' - P)Z (ML: M^-1 in place of P), summed
over its levels: the derivative along dG is trace(S dG) / 2. The average information of two parameters is
r'dM_a P dM_b r / 2, which needs one solution a parameter and no trace.

References
----------
Gilmour, A. R., Thompson, R., Cullis, B. R. (1995). Average information REML: an efficient algorithm for
variance parameter estimation in linear mixed models. Biometrics 51, 1440-1450.
https://doi.org/10.2307/2533274
Harville, D. A. (1977). https://doi.org/10.1080/01621459.1977.10480998
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.block_factor import BlockFactor, factorise_blocks
from metaexo.numeric.mixed.chain_factor import ChainFactor, factorise_chain
from metaexo.numeric.mixed.chain_likelihood import evaluate_chain
from metaexo.numeric.mixed.evaluation import Evaluation
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.problem import Array


@dataclass(frozen=True, eq=False)
class GeneralisedFit:
    """Generalised least squares at given parameters.

    Attributes
    ----------
    factor : BlockFactor or ChainFactor
        The inverse of the covariance matrix.
    beta : ndarray, shape (p,)
        Coefficients.
    cov : ndarray, shape (p, p)
        Their covariance matrix (X'M^-1 X)^-1.
    mx : ndarray, shape (K, p)
        M^-1 Q root, with (Q'M^-1 Q)^-1 = root root': P = M^-1 - mx mx'.
    r : ndarray, shape (K,)
        P y.
    q : float
        y'P y.
    logdet_x : float
        log|X'M^-1 X| - log|X'X|.
    """

    factor: BlockFactor | ChainFactor
    beta: Array
    cov: Array
    mx: Array
    r: Array
    q: float
    logdet_x: float

    def project(self, a: Array) -> Array:
        """Return P A for A of shape (K, c)."""
        solved = self.factor.solve(a)
        return solved - self.mx @ (self.mx.T @ a)

    def llf(self, restricted: bool) -> float:
        """Return the log-likelihood."""
        k, p = self.mx.shape
        if restricted:
            return float(-0.5 * ((k - p) * LOG_2PI + self.factor.logdet + self.logdet_x + self.q))
        return float(-0.5 * (k * LOG_2PI + self.factor.logdet + self.q))


def factorise(problem: MixedProblem, gs: Sequence[Array]) -> BlockFactor | ChainFactor:
    """Return the inverse of the covariance matrix with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If it is singular.
    """
    if problem.chain is not None:
        return factorise_chain(problem, problem.chain, gs)
    return factorise_blocks(problem, gs)


def generalised_fit(problem: MixedProblem, gs: Sequence[Array]) -> GeneralisedFit:
    """Return generalised least squares with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
    """
    return least_squares(problem, factorise(problem, gs))


def least_squares(problem: MixedProblem, factor: BlockFactor | ChainFactor) -> GeneralisedFit:
    """Return generalised least squares with an inverse covariance matrix."""
    q, r_x = problem.basis
    e = problem.centred
    solved = factor.solve(np.column_stack([q, e]))
    mq, me = solved[:, :-1], solved[:, -1]
    information = q.T @ mq
    lower = np.linalg.cholesky(0.5 * (information + information.T))
    root = np.linalg.solve(lower, np.eye(len(lower))).T
    mx = mq @ root
    gamma = root @ (root.T @ (q.T @ me))
    r = me - mx @ (mx.T @ e)
    base = q.T @ problem.y
    back = np.linalg.solve(r_x, root)
    return GeneralisedFit(
        factor=factor,
        beta=np.asarray(np.linalg.solve(r_x, base + gamma), dtype=float),
        cov=back @ back.T,
        mx=mx,
        r=r,
        q=float(e @ r),
        logdet_x=2 * float(np.log(np.diagonal(lower)).sum()),
    )


def evaluate(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the likelihood with its gradient and average information.

    Parameters
    ----------
    theta : ndarray, shape (n,)
        Parameters of all terms, one after another.
    restricted : bool
        REML or ML.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
    """
    if problem.chain is not None:
        return evaluate_chain(problem, problem.chain, theta, restricted)
    return evaluate_blocks(problem, theta, restricted)


def evaluate_blocks(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the same as `evaluate`, whatever the structures are."""
    factor = factorise_blocks(problem, problem.matrices(theta))
    fit = least_squares(problem, factor)
    scores, gradient = [], []
    for j, (term, part) in enumerate(zip(problem.terms, problem.split(theta), strict=True)):
        score = _term_score(factor, fit, j, restricted)
        scores.append(score)
        gradient.append(0.5 * np.einsum("nij,ij->n", term.structure.derivatives(part), score))
    f = _changes(problem, theta, fit.r)
    information = 0.5 * (f.T @ fit.project(f))
    return Evaluation(fit.llf(restricted), np.concatenate([np.empty(0), *gradient]), information, scores)


def _changes(problem: MixedProblem, theta: Array, r: Array) -> Array:
    """Return the derivative of M along each parameter, times r: shape (K, n)."""
    moved = [np.empty((r.size, 0))]
    for term, part in zip(problem.terms, problem.split(theta), strict=True):
        t = term.spread((term.zt @ r).reshape(term.levels, term.size))
        changed = np.einsum("li,nij->ljn", t, term.structure.derivatives(part))
        moved.append(term.z @ changed.reshape(term.width, -1))
    return np.concatenate(moved, axis=1)


def information_of_draws(problem: MixedProblem, theta: Array, draws: Array) -> Array:
    """Return the average information of several sets of effects, summed, shape (n, n).

    Its null space is that of the expected information: what no effects could tell.

    Parameters
    ----------
    theta : ndarray, shape (n,)
        Parameters.
    draws : ndarray, shape (K, b)
        Sets of effects.
    """
    fit = least_squares(problem, factorise_blocks(problem, problem.matrices(theta)))
    total = np.zeros((theta.size, theta.size))
    for r in fit.project(draws).T:
        f = _changes(problem, theta, r)
        total += 0.5 * (f.T @ fit.project(f))
    return total


def _term_score(factor: BlockFactor, fit: GeneralisedFit, j: int, restricted: bool) -> Array:
    """Return S of one term, shape (s, s)."""
    term = factor.problem.terms[j]
    t = (term.zt @ fit.r).reshape(term.levels, term.size)
    score = t.T @ term.spread(t) - factor.trace(j)
    if restricted:
        tx = (term.zt @ fit.mx).reshape(term.levels, term.size, -1)
        score = score + np.einsum("lip,ljp->ij", tx, term.spread(tx))
    return np.asarray(score)
