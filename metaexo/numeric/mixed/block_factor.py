"""The inverse of the covariance matrix of the effects, block by block.

The covariance matrix is M = B + U Omega U', with B made of small blocks and U Omega U' the terms that run
across them. With Omega = F F',

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

from metaexo.numeric.mixed.partition import Blocks, BlockTerm
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array, Index


@dataclass(frozen=True, eq=False)
class BlockFactor:
    """The inverse of the covariance matrix at given G, ready to be applied."""

    problem: MixedProblem  # what it belongs to
    inverses: list[Array]  # (b, n, n): inverse blocks of B
    psi: Array | None  # (q, q): psi; None without low-rank terms
    t: Array  # (q, q): T; empty without low-rank terms
    logdet: float  # log|M|

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
        return np.asarray(self.t - self.t @ self.psi @ self.t)

    def diagonal(self) -> Array:
        """Return the diagonal of M^-1, shape (K,)."""
        out = np.empty(self.problem.y.size + 1)
        for blocks, inverse in zip(self.problem.cut.blocks, self.blocks, strict=True):
            out[blocks.rows] = np.einsum("bii->bi", inverse)
        return out[:-1]

    def trace(self, j: int) -> Array:
        """Return Z'M^-1 Z of one term, summed over its levels (weighted by their relation), shape (s, s)."""
        term = self.problem.terms[j]
        s = term.size
        if j in self.problem.cut.across:
            cube = self._reduced_of(j)
            if term.relation is None:
                return np.asarray(np.einsum("lilj->ij", cube))
            return np.asarray(np.einsum("limj,lm->ij", cube, term.relation))
        out = np.zeros((s, s))
        for blocks, inverse in zip(self.problem.cut.blocks, self.blocks, strict=True):
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

    def level_blocks(self, j: int) -> Array:
        """Return Z'M^-1 Z of each level of a term, shape (L, s, s)."""
        term = self.problem.terms[j]
        levels, s = term.levels, term.size
        if j in self.problem.cut.across:
            return np.array(np.einsum("lilj->lij", self._reduced_of(j)))
        out = np.zeros((levels, s, s))
        for blocks, inverse in zip(self.problem.cut.blocks, self.blocks, strict=True):
            b, a, c = np.nonzero(blocks.real[:, :, None] & blocks.real[:, None, :])
            row, other = blocks.rows[b, a], blocks.rows[b, c]
            same = term.level[row] == term.level[other]
            row, other, value = row[same], other[same], inverse[b[same], a[same], c[same]]
            for d in range(term.column.shape[1]):
                for e in range(term.column.shape[1]):
                    weight = term.weight[row, d] * value * term.weight[other, e]
                    place = (term.level[row] * s + term.column[row, d]) * s + term.column[other, e]
                    out += np.bincount(place, weight, minlength=levels * s * s).reshape(levels, s, s)
        return out

    def _reduced_of(self, j: int) -> Array:
        """Return Z'M^-1 Z of a low-rank term, shape (L, s, L, s)."""
        terms = self.problem.terms
        before = sum(terms[i].width for i in self.problem.cut.across if i < j)
        term = terms[j]
        square = self.reduced[before : before + term.width, before : before + term.width]
        return np.asarray(square.reshape(term.levels, term.size, term.levels, term.size))


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


def factorise_blocks(problem: MixedProblem, gs: Sequence[Array]) -> BlockFactor:
    """Return the inverse of the covariance matrix with the given G of each term."""
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
                inverse = np.asarray(np.linalg.inv(m))
            except np.linalg.LinAlgError as error:
                raise NotPositiveDefinite from error
            logdet += 2 * float(np.log(np.einsum("bii->bi", root)).sum())
            inverse = 0.5 * (inverse + inverse.transpose(0, 2, 1))
        inverses.append(inverse)
    if not np.isfinite(logdet):
        raise NotPositiveDefinite
    if not problem.cut.across:
        return BlockFactor(problem, inverses, None, np.empty((0, 0)), logdet)
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
    return BlockFactor(problem, inverses, 0.5 * (psi + psi.T), 0.5 * (t + t.T), logdet)


def _root_of_omega(problem: MixedProblem, gs: Sequence[Array]) -> sparse.csr_array:
    """Return F with F F' = Omega."""
    parts = []
    for j in problem.cut.across:
        term = problem.terms[j]
        levels = (
            sparse.eye_array(term.levels)
            if term.relation is None
            else sparse.csr_array(psd_root(term.relation))
        )
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


class DiagonalisedBlocks:
    """Blocks of one size whose covariance matrix depends on one or two variances, ready for many points.

    The blocks are V + a A + b B. A basis in which V is 1 and A diagonal makes M^-1 a diagonal matrix and an
    update of the rank of B, which is 1 where a block is one level.

    `changes`, shape (1 or 2, b, n, n): the derivatives by the variances.
    `columns`, shape (b, n, c): basis of the design and effects.
    """

    def __init__(self, v: Array, changes: Array, columns: Array) -> None:
        try:
            root = np.linalg.cholesky(v)
        except np.linalg.LinAlgError as error:
            raise NotPositiveDefinite from error
        self.logdet = 2 * float(np.log(np.einsum("bii->bi", root)).sum())
        inverse = np.linalg.inv(root)
        ranks = np.linalg.matrix_rank(changes, hermitian=True).max(axis=1)
        self.order = np.argsort(-ranks)
        first = changes[self.order[0]]
        values, vectors = np.linalg.eigh(inverse @ first @ inverse.swapaxes(1, 2))
        self.values = np.maximum(values, 0.0)
        turn = vectors.swapaxes(1, 2) @ inverse
        self.columns = turn @ columns
        self.u = np.empty((*v.shape[:2], 0))
        rank = int(ranks[self.order[-1]])
        if len(changes) > 1 and rank:
            size, vectors = np.linalg.eigh(changes[self.order[1]])
            self.u = turn @ (vectors * np.sqrt(np.maximum(size, 0.0))[:, None])[:, :, -rank:]

    def at(self, theta: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return log|M|, C'M^-1 C, trace(M^-1 A) and trace(M^-1 B), M^-1 C, and U'M^-1 C for columns C."""
        theta = theta[:, self.order]
        d = 1.0 / (1.0 + theta[:, 0, None, None] * self.values)
        logdet = self.logdet - np.log(d).sum(axis=(1, 2))
        solved = d[..., None] * self.columns
        traces = np.zeros(theta.shape)
        traces[:, 0] = (self.values * d).sum(axis=(1, 2))
        along = solved[:, :, :0]
        rank = self.u.shape[2]
        if rank:
            b = theta[:, 1, None, None, None]
            du = d[..., None] * self.u
            t = self.u.swapaxes(1, 2) @ du
            inner = np.eye(rank) + b * t
            share = 1.0 / inner if rank == 1 else np.linalg.inv(inner)
            grown = inner[..., 0, 0] if rank == 1 else np.linalg.det(inner)
            logdet += np.log(grown).sum(axis=1)
            along = share @ (du.swapaxes(2, 3) @ self.columns)
            solved = solved - b * (du @ along)
            inside = (self.values[..., None] * du).swapaxes(2, 3) @ du
            traces[:, 0] -= (b * share * inside).sum(axis=(1, 2, 3))
            traces[:, 1] = (share * t).sum(axis=(1, 2, 3))
        flat = self.columns.reshape(-1, self.columns.shape[2])
        gram = flat.T @ solved.reshape(len(solved), *flat.shape)
        return logdet, gram, traces[:, np.argsort(self.order)], solved, along

    def squares(self, turn: Array, solved: Array, along: Array) -> Array:
        """Return z'A z and z'B z for the turned columns z of M^-1 C, shape (t, 1 or 2, c)."""
        wide = (solved.reshape(len(solved), -1, turn.shape[1]) @ turn.swapaxes(1, 2)) ** 2
        out = np.zeros((len(turn), len(self.order), turn.shape[1]))
        out[:, 0] = self.values.ravel() @ wide
        if along.size:
            narrow = along.reshape(len(along), -1, turn.shape[1]) @ turn.swapaxes(1, 2)
            out[:, 1] = (narrow**2).sum(axis=1)
        return out[:, np.argsort(self.order)]


def changes_of_blocks(blocks: Blocks, terms: Sequence[Term], theta: Array) -> Array:
    """Return the derivatives of the blocks of B along each parameter, shape (n, b, m, m)."""
    out, offset = [], 0
    for j, term in enumerate(terms):
        along = term.structure.derivatives(theta[offset : offset + term.structure.count])
        offset += term.structure.count
        part = blocks.terms[j]
        for g in along:
            if part.shared is None:
                out.append(float(g[0, 0]) * np.eye(blocks.rows.shape[1]) * blocks.real[:, :, None])
            else:
                out.append(_contribution(part, part.shared, g))
    return np.stack(out)


def _contribution(part: BlockTerm, shared: Array, g: Array) -> Array:
    if part.pair is not None:
        return np.asarray(shared * g.ravel()[part.pair])
    if part.weights is not None:
        return np.asarray(shared * (part.weights @ g @ part.weights.transpose(0, 2, 1)))
    return np.asarray(shared * float(g[0, 0]))
