"""The problem of a mixed model, and its covariance matrix at given parameters, factorised block by block.

The covariance matrix of the effects is M = B + U Omega U', with B made of small blocks and U Omega U' the
terms that run across them. With Omega = F F',

    M^-1 = B^-1 - B^-1 U Psi U' B^-1,   Psi = F (I + F'TF)^-1 F',   T = U'B^-1 U,
    log|M| = log|B| + log|I + F'TF|,

which holds where variances are zero. Nothing of size K x K is made.

References
----------
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
problems. Journal of the American Statistical Association 72, 320-338.
https://doi.org/10.1080/01621459.1977.10480998
Woodbury, M. A. (1950). Inverting modified matrices. Statistical Research Group, Princeton. (See Hager, W. W.
(1989), https://doi.org/10.1137/1031049)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from metaexo.numeric.mixed.partition import BLOCK_LIMIT, Blocks, BlockTerm, Partition, partition
from metaexo.numeric.mixed.terms import Index, Term
from metaexo.numeric.problem import Array


@dataclass(frozen=True, eq=False)
class MixedProblem:
    """A linear mixed model with known sampling covariances.

    Attributes
    ----------
    y : ndarray, shape (K,)
        Effects.
    x : ndarray, shape (K, p)
        Design.
    v : sparse array, shape (K, K)
        Sampling covariances.
    terms : tuple of Term
        Random terms.
    block_limit : int
        Most rows of one block.
    """

    y: Array
    x: Array
    v: sparse.csr_array
    terms: tuple[Term, ...]
    block_limit: int = BLOCK_LIMIT

    @cached_property
    def cut(self) -> Partition:
        """The rows in blocks."""
        return partition(self.v, self.terms, self.block_limit)

    @cached_property
    def basis(self) -> tuple[Array, Array]:
        """An orthonormal basis Q of the columns of X, and R with X = Q R."""
        size = np.linalg.norm(self.x, axis=0)
        q, r = np.linalg.qr(self.x / size)
        return q, r * size

    @cached_property
    def centred(self) -> Array:
        """Residuals of the unweighted fit: what the likelihood needs to know of the effects."""
        q = self.basis[0]
        rest = self.y
        for _ in range(2):  # the second pass removes what rounding left in
            rest = rest - q @ (q.T @ rest)
        return rest

    @cached_property
    def across(self) -> sparse.csr_array:
        """U: the designs of the low-rank terms side by side, with a last row of zeros for padding."""
        parts = [self.terms[j].z for j in self.cut.across]
        joined = sparse.hstack(parts, format="csr")
        empty = sparse.csr_array((1, joined.shape[1]))
        return sparse.csr_array(sparse.vstack([joined, empty], format="csr"))

    @cached_property
    def pattern(self) -> tuple[Index, Index, Index]:
        """Order, columns and row starts that turn the inverse blocks into one sparse matrix."""
        k = self.y.size
        rows = np.concatenate([np.repeat(b.rows, b.rows.shape[1], axis=1).ravel() for b in self.cut.blocks])
        columns = np.concatenate([np.tile(b.rows, (1, b.rows.shape[1])).ravel() for b in self.cut.blocks])
        kept = np.flatnonzero((rows < k) & (columns < k))
        order = kept[np.lexsort((columns[kept], rows[kept]))]
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows[order], minlength=k + 1))])
        return order, columns[order], starts

    @cached_property
    def offsets(self) -> Index:
        """Where the parameters of each term begin, and their number at the end."""
        return np.concatenate([[0], np.cumsum([t.structure.count for t in self.terms])]).astype(np.intp)

    @property
    def count(self) -> int:
        """Number of parameters."""
        return int(self.offsets[-1])

    def split(self, theta: Array) -> list[Array]:
        """Return the parameters of each term."""
        return [theta[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def bounds(self) -> tuple[Array, Array]:
        """Return the bounds of all parameters."""
        pairs = [t.structure.bounds for t in self.terms]
        empty = [np.empty(0)]
        return np.concatenate(empty + [p[0] for p in pairs]), np.concatenate(empty + [p[1] for p in pairs])

    def matrices(self, theta: Array) -> list[Array]:
        """Return G of each term."""
        return [t.structure.matrix(part) for t, part in zip(self.terms, self.split(theta), strict=True)]


class NotPositiveDefinite(Exception):
    """The covariance matrix cannot be factorised at these parameters."""


@dataclass(frozen=True, eq=False)
class Factor:
    """The inverse of the covariance matrix at given G, ready to be applied.

    Attributes
    ----------
    problem : MixedProblem
        What it belongs to.
    inverses : list of ndarray, shape (b, n, n)
        Inverse blocks of B.
    psi : ndarray, shape (q, q), or None
        Psi; None without low-rank terms.
    t : ndarray, shape (q, q), or None
        T.
    logdet : float
        log|M|.
    """

    problem: MixedProblem
    inverses: list[Array]
    psi: Array | None
    t: Array | None
    logdet: float

    def solve(self, a: Array) -> Array:
        """Return M^-1 A for A of shape (K, c)."""
        out = self._solve_blocks(a)
        if self.psi is not None:
            u = self.problem.across[:-1]
            out = out - self._solve_blocks(u @ (self.psi @ (u.T @ out)))
        return out

    def _solve_blocks(self, a: Array) -> Array:
        padded = np.concatenate([a, np.zeros((1, a.shape[1]))])
        out = np.empty_like(padded)
        for blocks, inverse in zip(self.problem.cut.blocks, self.inverses, strict=True):
            out[blocks.rows] = inverse @ padded[blocks.rows]
        return out[:-1]

    @cached_property
    def blocks(self) -> list[Array]:
        """The diagonal blocks of M^-1."""
        if self.psi is None:
            return self.inverses
        u, out = self.problem.across, []
        for blocks, inverse in zip(self.problem.cut.blocks, self.inverses, strict=True):
            out.append(inverse - inverse @ _gather(u, self.psi, blocks.rows) @ inverse)
        return out

    @cached_property
    def reduced(self) -> Array:
        """U'M^-1 U."""
        assert self.psi is not None
        assert self.t is not None
        return np.asarray(self.t - self.t @ self.psi @ self.t)

    def diagonal(self) -> Array:
        """Return the diagonal of M^-1, shape (K,)."""
        out = np.empty(self.problem.y.size + 1)
        for blocks, inverse in zip(self.problem.cut.blocks, self.blocks, strict=True):
            out[blocks.rows] = np.einsum("bii->bi", inverse)
        return out[:-1]


def _gather(u: sparse.csr_array, psi: Array, rows: Index) -> Array:
    """Return (U Psi U') at the rows of each block, shape (b, n, n)."""
    most = int(np.diff(u.indptr).max(initial=0))
    k = u.shape[0]
    columns, weights = np.zeros((k, most), dtype=np.intp), np.zeros((k, most))
    slot = np.arange(u.indices.size) - np.repeat(u.indptr[:-1], np.diff(u.indptr))
    row = np.repeat(np.arange(k), np.diff(u.indptr))
    columns[row, slot], weights[row, slot] = u.indices, u.data
    out = np.zeros((*rows.shape, rows.shape[1]))
    for c in range(most):
        left = columns[rows, c]
        for d in range(most):
            part = psi[left[:, :, None], columns[rows, d][:, None, :]]
            out += weights[rows, c][:, :, None] * part * weights[rows, d][:, None, :]
    return out


def factorise(problem: MixedProblem, gs: Sequence[Array]) -> Factor:
    """Return the inverse of the covariance matrix with the given G of each term.

    Raises
    ------
    NotPositiveDefinite
        If it is singular.
    """
    inverses: list[Array] = []
    logdet = 0.0
    for blocks in problem.cut.blocks:
        m = covariance_blocks(blocks, problem.terms, gs)
        if m.shape[1] == 1:
            if not (m > 0).all():
                raise NotPositiveDefinite
            inverse = np.asarray(1.0 / m)
            logdet += float(np.log(m).sum())
        else:
            try:
                root = np.linalg.cholesky(m)
            except np.linalg.LinAlgError as error:
                raise NotPositiveDefinite from error
            logdet += 2 * float(np.log(np.einsum("bii->bi", root)).sum())
            inverse = np.asarray(np.linalg.inv(m))
            inverse = 0.5 * (inverse + inverse.transpose(0, 2, 1))
        inverses.append(inverse)
    if not np.isfinite(logdet):
        raise NotPositiveDefinite
    if not problem.cut.across:
        return Factor(problem, inverses, None, None, logdet)
    order, columns, starts = problem.pattern
    data = np.concatenate([inverse.ravel() for inverse in inverses])[order]
    k, u = problem.y.size, problem.across
    b_inverse = sparse.csr_array((data, columns, starts), shape=(k + 1, k + 1))
    t = (u.T @ (b_inverse @ u)).toarray()
    f = _root_of_omega(problem, gs)
    inner = f.T @ (f.T @ t.T).T
    inner = 0.5 * (inner + inner.T)
    inner[np.diag_indices_from(inner)] += 1.0
    from scipy.linalg import cho_factor, cho_solve

    try:
        lower = cho_factor(inner, lower=True)
    except np.linalg.LinAlgError as error:
        raise NotPositiveDefinite from error
    logdet += 2 * float(np.log(np.diagonal(lower[0])).sum())
    psi = f @ cho_solve(lower, f.T.toarray())
    return Factor(problem, inverses, 0.5 * (psi + psi.T), 0.5 * (t + t.T), logdet)


def _root_of_omega(problem: MixedProblem, gs: Sequence[Array]) -> sparse.csr_array:
    """Return F with F F' = Omega."""
    parts = []
    for j in problem.cut.across:
        term = problem.terms[j]
        levels = sparse.eye_array(term.levels) if term.relation is None else psd_root(term.relation)
        parts.append(sparse.kron(levels, psd_root(gs[j])))
    return sparse.csr_array(sparse.block_diag(parts))


def psd_root(a: Array) -> Array:
    """Return S with S S' = A for a positive semidefinite A."""
    values, vectors = np.linalg.eigh(a)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def covariance_blocks(blocks: Blocks, terms: Sequence[Term], gs: Sequence[Array]) -> Array:
    """Return the blocks of B, shape (b, n, n)."""
    m = blocks.v.copy()
    n = m.shape[1]
    for j, part in blocks.terms.items():
        g = gs[j]
        if part.shared is None:
            index = np.arange(n)
            m[:, index, index] += float(g[0, 0]) * blocks.real
        else:
            m += _contribution(part, part.shared, g)
    return m


def _contribution(part: BlockTerm, shared: Array, g: Array) -> Array:
    if part.pair is not None:
        return np.asarray(shared * g.ravel()[part.pair])
    if part.weights is not None:
        return np.asarray(shared * (part.weights @ g @ part.weights.transpose(0, 2, 1)))
    return np.asarray(shared * float(g[0, 0]))
