"""Random terms as arrays: which effects share a level, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from metaexo.immutable import Immutable
from metaexo.numeric.mixed.structures import Structure
from metaexo.types import Array, Index


@dataclass(frozen=True, eq=False)
class Term(Immutable):
    """One random term: row i adds z_i' u[level_i], with cov(u) = relation x G."""

    level: Index  # (K,): outer level of each row, from 0
    levels: int  # number of outer levels L
    column: Index  # (K, c): inner levels that a row draws on: one for a factor, all for random slopes
    weight: Array  # (K, c): their weights in z_i: 1 for a factor, 1 and the covariates for slopes
    structure: Structure  # how G, shape (s, s), depends on its parameters
    # (L, L): known correlations of the outer levels; None if they are independent
    relation: Array | None = None

    @property
    def size(self) -> int:
        """Number of inner levels s."""
        return self.structure.size

    @property
    def width(self) -> int:
        """Number of random effects, L s."""
        return self.levels * self.size

    @property
    def single(self) -> bool:
        """Whether no two rows share a level and each has one effect: a variance on the diagonal."""
        return self.size == 1 and self.levels == self.level.size and self.relation is None and self.plain

    @cached_property
    def plain(self) -> bool:
        """Whether every row has one inner level with weight 1."""
        return self.column.shape[1] == 1 and bool((self.weight == 1).all())

    @cached_property
    def z(self) -> sparse.csr_array:
        """The design of the random effects, shape (K, L s), level by level."""
        k, c = self.column.shape
        columns = self.level[:, None] * self.size + self.column
        where = np.repeat(np.arange(k), c)
        return sparse.csr_array((self.weight.ravel(), (where, columns.ravel())), shape=(k, self.width))

    @cached_property
    def zt(self) -> sparse.csr_array:
        """The transpose of `z`."""
        return sparse.csr_array(self.z.T)

    @cached_property
    def mean_square(self) -> Array:
        """Mean square of the weights on each inner level, over the rows that draw on it, shape (s,)."""
        flat = self.column.ravel()
        total = np.bincount(flat, self.weight.ravel() ** 2, minlength=self.size)
        return np.asarray(np.maximum(total / np.maximum(np.bincount(flat, minlength=self.size), 1), 1e-300))

    def contributions(self, g: Array) -> Array:
        """Return the variance that the term adds to each row, z_i'G z_i, shape (K,)."""
        inner = g[self.column[:, :, None], self.column[:, None, :]]
        out = np.einsum("kc,kcd,kd->k", self.weight, inner, self.weight)
        return np.asarray(out if self.relation is None else out * np.diagonal(self.relation)[self.level])

    def spread(self, values: Array) -> Array:
        """Return relation times values, shape (L, s, ...), along the levels."""
        return values if self.relation is None else np.tensordot(self.relation, values, axes=1)


def intercept_term(level: Index, levels: int, structure: Structure, relation: Array | None = None) -> Term:
    """Return a term of one effect per level."""
    k = level.size
    return Term(level, levels, np.zeros((k, 1), dtype=np.intp), np.ones((k, 1)), structure, relation)
