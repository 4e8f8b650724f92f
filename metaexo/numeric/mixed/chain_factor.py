"""The inverse of the covariance matrix of nested random effects, with crossing terms as low-rank updates.

With B the covariance matrix of the nest, and U Omega U' that of the crossing terms, M^-1 follows from B^-1 as
in `block_factor`; all that is needed of B^-1 comes from the pyramid of precisions and means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.numeric.mixed.chain import Chain
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.pyramid import Pyramid
from metaexo.types import Array


@dataclass(frozen=True, eq=False)
class ChainFactor:
    """The inverse of the covariance matrix at given variances, ready to be applied.

    Attributes
    ----------
    problem : MixedProblem
        What it belongs to.
    chain : Chain
        Its rows along a nest of terms.
    pyramid : Pyramid
        B^-1.
    low_rank : list of ndarray, shape (q, levels)
        U'B^-1 summed over the levels of each rung, the rows first.
    psi : ndarray, shape (q, q)
        Psi.
    t : ndarray, shape (q, q)
        T.
    logdet : float
        log|M|.
    """

    problem: MixedProblem
    chain: Chain
    pyramid: Pyramid
    low_rank: list[Array]
    psi: Array
    t: Array
    logdet: float

    def solve(self, a: Array) -> Array:
        """Return M^-1 A for A of shape (K, c)."""
        values = self.chain.sorted(a)
        out = self.pyramid.solve(values)[0]
        if self.psi.size:
            out = out - (values @ self.low_rank[0].T @ self.psi) @ self.low_rank[0]
        return self.chain.restored(out)

    def products(self, columns: Array) -> Array:
        """Return C'M^-1 C for columns C along the chain; the last, of crossing terms, are left out."""
        gram = self.pyramid.lift(columns)[0]
        if not self.psi.size:
            return gram
        own = len(gram) - len(self.psi)
        across = gram[:own, own:]
        return np.asarray(gram[:own, :own] - across @ self.psi @ across.T)

    @cached_property
    def _diagonals(self) -> list[Array]:
        """z'M^-1 z of each row, and of the indicator z of each level of each rung."""
        own = self.pyramid.diagonals()
        return [d - (u * (self.psi @ u)).sum(axis=0) for d, u in zip(own, self.low_rank, strict=True)]

    def diagonal(self) -> Array:
        """Return the diagonal of M^-1, shape (K,)."""
        return self.chain.restored(self._diagonals[0][None])[:, 0]

    def level_blocks(self, j: int) -> Array:
        """Return Z'M^-1 Z of each level of a term, shape (L, 1, 1)."""
        term, at = self.problem.terms[j], self.chain.places[j]
        out = np.zeros(term.levels)
        if not isinstance(at, int):
            out[:] = np.diagonal(self.t - self.t @ self.psi @ self.t)[at]
        elif at == 0:
            out[term.level[self.chain.order]] = self._diagonals[0]
        else:
            out[self.chain.rungs[at - 1].level] = self._diagonals[at]
        return out[:, None, None]


def factorise_chain(problem: MixedProblem, chain: Chain, gs: Sequence[Array]) -> ChainFactor:
    """Return the inverse of the covariance matrix with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If it is singular.
    """
    variances = np.array([g[0, 0] for g in gs])
    pyramid = Pyramid(chain, variances)
    if not np.isfinite(pyramid.logdet):
        raise NotPositiveDefinite
    if not chain.crossing:
        low_rank, none = [np.empty((0, h.size)) for h in pyramid.h], np.empty((0, 0))
        return ChainFactor(problem, chain, pyramid, low_rank, none, none, float(pyramid.logdet))
    low_rank = pyramid.solve(chain.u)
    t = chain.u @ low_rank[0].T
    psi, logdet = update(problem, chain, variances, 0.5 * (t + t.T))
    total = float(pyramid.logdet + logdet)
    return ChainFactor(problem, chain, pyramid, low_rank, psi, 0.5 * (t + t.T), total)


def update(problem: MixedProblem, chain: Chain, variances: Array, t: Array) -> tuple[Array, Array]:
    """Return Psi, and what the crossing terms add to the log-determinant; leading axes are a batch.

    Raises
    ------
    NotPositiveDefinite
        If the covariance matrix is singular.
    """
    levels = [problem.terms[j].levels for j in chain.crossing]
    f = np.repeat(np.sqrt(variances[..., chain.crossing]), levels, axis=-1)
    inner = f[..., :, None] * t * f[..., None, :]
    index = np.arange(f.shape[-1])
    inner[..., index, index] += 1.0
    try:
        root = np.linalg.cholesky(inner)
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    inverse = np.linalg.inv(inner)
    psi = f[..., :, None] * (0.5 * (inverse + inverse.swapaxes(-1, -2))) * f[..., None, :]
    return psi, 2 * np.log(root[..., index, index]).sum(axis=-1)
