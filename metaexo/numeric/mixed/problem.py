"""The problem of a mixed model: effects, design, sampling covariances and random terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from metaexo.immutable import Immutable
from metaexo.numeric.mixed.chain import Chain, find_chain
from metaexo.numeric.mixed.partition import BLOCK_LIMIT, Partition, partition
from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array, Index


class NotPositiveDefinite(Exception):
    """The covariance matrix cannot be factorised at these parameters; all that factorises may raise this."""


@dataclass(frozen=True, eq=False)
class MixedProblem(Immutable):
    """A linear mixed model with known sampling covariances."""

    y: Array  # (K,): effects
    x: Array  # (K, p): design
    v: sparse.csr_array  # (K, K): sampling covariances
    terms: tuple[Term, ...]  # random terms
    block_limit: int = BLOCK_LIMIT  # most rows of one block

    @cached_property
    def chain(self) -> Chain | None:
        """The rows along a nest of terms, where the model is of that kind."""
        return find_chain(self.v, self.terms)

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
    def chain_columns(self) -> Array:
        """Basis of the design, centred effects, and levels of the crossing terms, along the chain."""
        assert self.chain is not None
        own = self.chain.sorted(np.column_stack([self.basis[0], self.centred]))
        return np.concatenate([own, self.chain.u])

    @cached_property
    def dense(self) -> tuple[Array, Array, Any]:
        """Basis of the design, centred effects, and what each variance adds to M, shape (n, K, K).

        In long doubles, for structures that are all linear.
        """
        moved = [
            term.z
            @ sparse.kron(
                sparse.eye_array(term.levels) if term.relation is None else sparse.csr_array(term.relation), g
            )
            @ term.z.T
            for term in self.terms
            for g in term.structure.derivatives(np.zeros(term.structure.count))
        ]
        changes = np.stack([m.toarray() for m in moved]).astype(np.longdouble)
        return self.basis[0].astype(np.longdouble), self.centred.astype(np.longdouble), changes

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
