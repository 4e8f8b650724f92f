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

from dataclasses import dataclass

import numpy as np

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.problem import Factor, MixedProblem, factorise
from metaexo.numeric.problem import Array


@dataclass(frozen=True, eq=False)
class GeneralisedFit:
    """Generalised least squares at given parameters.

    Attributes
    ----------
    factor : Factor
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

    factor: Factor
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


def generalised_fit(problem: MixedProblem, gs: list[Array]) -> GeneralisedFit:
    """Return generalised least squares with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
    """
    factor = factorise(problem, gs)
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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The likelihood at given parameters.

    Attributes
    ----------
    llf : float
        Log-likelihood.
    gradient : ndarray, shape (n,)
        Its derivative.
    information : ndarray, shape (n, n)
        Average information.
    scores : list of ndarray, shape (s, s)
        S of each term: what the gradient is on the scale of G.
    """

    llf: float
    gradient: Array
    information: Array
    scores: list[Array]


def evaluate(problem: MixedProblem, theta: Array, restricted: bool) -> Evaluation:
    """Return the likelihood with its gradient and average information.

    Parameters
    ----------
    theta : ndarray, shape (n,)
        Parameters of all terms, one after another.
    restricted : bool
        REML or ML.
    """
    gs = problem.matrices(theta)
    fit = generalised_fit(problem, gs)
    scores, gradient, moved = [], [], []
    for j, (term, part) in enumerate(zip(problem.terms, problem.split(theta), strict=True)):
        score, t = term_score(fit, j, restricted)
        changes = term.structure.derivatives(part)
        scores.append(score)
        gradient.append(0.5 * np.einsum("nij,ij->n", changes, score))
        spread = term.spread(t)
        moved.append(term.z @ np.einsum("li,nij->ljn", spread, changes).reshape(term.width, -1))
    if not scores:
        return Evaluation(fit.llf(restricted), np.empty(0), np.empty((0, 0)), [])
    f = np.column_stack(moved)
    information = 0.5 * (f.T @ fit.project(f))
    return Evaluation(fit.llf(restricted), np.concatenate(gradient), information, scores)


def term_score(fit: GeneralisedFit, j: int, restricted: bool) -> tuple[Array, Array]:
    """Return S of one term, shape (s, s), and Z'r, shape (L, s)."""
    term = fit.factor.problem.terms[j]
    t = (term.zt @ fit.r).reshape(term.levels, term.size)
    score = t.T @ term.spread(t) - inner_trace(fit.factor, j)
    if restricted:
        tx = (term.zt @ fit.mx).reshape(term.levels, term.size, -1)
        score = score + np.einsum("lip,ljp->ij", tx, term.spread(tx))
    return score, t


def inner_trace(factor: Factor, j: int) -> Array:
    """Return Z'M^-1 Z of one term, summed over its levels (weighted by their relation), shape (s, s)."""
    problem = factor.problem
    term = problem.terms[j]
    s = term.size
    if j in problem.cut.across:
        before = sum(problem.terms[i].width for i in problem.cut.across if i < j)
        square = factor.reduced[before : before + term.width, before : before + term.width]
        cube = square.reshape(term.levels, s, term.levels, s)
        if term.relation is None:
            return np.asarray(np.einsum("lilj->ij", cube))
        return np.asarray(np.einsum("limj,lm->ij", cube, term.relation))
    out = np.zeros((s, s))
    for blocks, inverse in zip(problem.cut.blocks, factor.blocks, strict=True):
        part = blocks.terms[j]
        if part.shared is None:
            out[0, 0] += float((np.einsum("bii->bi", inverse) * blocks.real).sum())
        elif part.pair is not None:
            both = part.shared * inverse
            out += np.bincount(part.pair.ravel(), both.ravel(), minlength=s * s).reshape(s, s)
        elif part.weights is not None:
            both = part.shared * inverse
            out += np.einsum("bai,bac,bcj->ij", part.weights, both, part.weights, optimize=True)
        else:
            out[0, 0] += float(np.vdot(part.shared, inverse))
    return out
