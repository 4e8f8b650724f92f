"""The distribution of effects by a model as a sum of independent normal parts, and draws from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.terms import Term
from metaexo.runs.counter import normals
from metaexo.types import Array, Index

# Draws that are made at once, and most numbers of a block.
BLOCK, MOST_NUMBERS = 1_024, 4_000_000


@dataclass(frozen=True, eq=False)
class Law:
    """The distribution of the effects by a model: normal, as a sum of independent parts.

    Effects are the mean plus independent deviations, deviations that are shared within blocks of rows, and
    the random effects of terms.
    """

    mean: Array  # (k,)
    sd: Array  # (k,): of the independent deviations; 0 in rows of blocks
    blocks: tuple[tuple[Index, Array], ...] = ()  # rows, and a root of their covariance matrix
    # of each random term: its design, a root of G, and one of the correlations of its levels
    terms: tuple[tuple[sparse.csr_array, Array, Array | None], ...] = ()

    @property
    def numbers(self) -> int:
        """Normal numbers that a draw takes."""
        return int(self.mean.size + sum(z.shape[1] for z, _, _ in self.terms))

    def draw(self, seed: int, begin: int, end: int) -> Array:
        """Return draws begin to end, shape (end - begin, k)."""
        u, k = normals(seed, begin, end, per_item=self.numbers), self.mean.size
        out = self.mean + self.sd * u[:, :k]
        for rows, root in self.blocks:
            out[:, rows] += u[:, rows] @ root.T
        at = k
        for z, root, relation in self.terms:
            own = u[:, at : at + z.shape[1]].reshape(len(u), -1, len(root)) @ root.T
            if relation is not None:
                own = np.einsum("lm,bms->bls", relation, own)
            out += (z @ own.reshape(len(u), -1).T).T
            at += z.shape[1]
        return out

    def block(self) -> int:
        """Return how many draws are made at once."""
        return max(1, min(BLOCK, MOST_NUMBERS // self.numbers))


def mixed_law(problem: MixedProblem, gs: Sequence[Array], mean: Array) -> Law:
    """Return the distribution of the effects of a mixed model with the given G of each term."""
    v, k = problem.v, problem.y.size
    count, label = connected_components(v, directed=False)
    sd, blocks = np.sqrt(v.diagonal()), []
    if count < k:
        order = np.argsort(label, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
            if rows.size > 1:
                blocks.append((rows, root_of(v[rows][:, rows].toarray())))
                sd[rows] = 0.0
    terms = [_of_term(term, g) for term, g in zip(problem.terms, gs, strict=True)]
    return Law(mean, sd, tuple(blocks), tuple(terms))


def _of_term(term: Term, g: Array) -> tuple[sparse.csr_array, Array, Array | None]:
    return term.z, root_of(g), None if term.relation is None else root_of(term.relation)


def root_of(matrix: Array) -> Array:
    """Return A with A A' the matrix, which may be singular."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
