"""Rows in the order of a nest of random terms, such as effects within samples within studies.

Where the sampling errors are independent and every term is one effect per level, the terms whose levels lie
inside each other form a chain. Sorted along it each level is a run of rows, sums over levels are sums over
neighbours, and the inverse of the covariance matrix is a matter of precisions and weighted means (see
`chain_factor`). Terms that cross the chain are low-rank updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from metaexo.numeric.mixed.structures import Diagonal
from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array, Index

# Most numbers that the designs of the crossing terms may hold, written out row by row.
CROSSING_LIMIT = 8_000_000


@dataclass(frozen=True, eq=False)
class Rung:
    """One term of a chain."""

    term: int  # position of the term
    # (m,): where each of its levels begins among the members, which are the levels of the rung below (or
    # rows)
    starts: Index
    of: Index  # which level each member belongs to
    level: Index  # (m,): number of each level in the term


@dataclass(frozen=True, eq=False)
class Chain:
    """Rows sorted along a nest of terms."""

    order: Index  # (K,): rows as they are sorted
    v: Array  # (K,): sampling variances in that order
    single: int | None  # position of the term with a level for each row
    rungs: tuple[Rung, ...]  # the other terms of the nest, from fine to coarse
    # nest, crossing: positions of the terms of the nest, from fine to coarse, and of those outside it
    nest: tuple[int, ...]
    crossing: tuple[int, ...]
    # where each term is: its rung (0 for rows), or its rows of `u` if it crosses the nest
    places: tuple[int | slice, ...]
    rank: Index  # (n,): where each term stands if those of the nest come first, then the crossing ones
    u: Array  # (q, K): which rows, sorted, belong to each level of the crossing terms

    def sorted(self, a: Array) -> Array:
        """Return A of shape (K, c) as rows of the sorted values, shape (c, K)."""
        return np.ascontiguousarray(a[self.order].T)

    def restored(self, a: Array) -> Array:
        """Return what `sorted` took, shape (K, c)."""
        out = np.empty(a.shape[::-1])
        out[self.order] = a.T
        return out


def find_chain(v: sparse.csr_array, terms: Sequence[Term]) -> Chain | None:
    """Return the rows sorted along the nest of terms; None where the covariance matrix is of another kind."""
    if not terms or not all(map(_is_simple, terms)):
        return None
    variances = _independent(v, any(term.single for term in terms))
    if variances is None:
        return None
    nest, crossing = _nest(terms)
    k = variances.size
    if k * sum(terms[j].levels for j in crossing) > CROSSING_LIMIT:
        return None
    order = np.lexsort([terms[j].level for j in nest])
    single = nest[0] if terms[nest[0]].single else None
    rungs: list[Rung] = []
    firsts = order  # a row of each member
    for j in nest:
        if j == single:
            continue
        level = terms[j].level[firsts]
        starts = np.flatnonzero(np.concatenate([[True], level[1:] != level[:-1]]))
        of = np.repeat(np.arange(starts.size), np.diff(np.append(starts, level.size)))
        rungs.append(Rung(j, starts, of, level[starts]))
        firsts = firsts[starts]
    indicators = [terms[j].level[order] == np.arange(terms[j].levels)[:, None] for j in crossing]
    u = np.concatenate([np.empty((0, k)), *indicators])
    places: dict[int, int | slice] = {j: i + (single is None) for i, j in enumerate(nest)}
    end = 0
    for j in crossing:
        places[j] = slice(end, end + terms[j].levels)
        end += terms[j].levels
    where = tuple(places[j] for j in range(len(terms)))
    rank = np.argsort([*nest, *crossing])
    return Chain(order, variances[order], single, tuple(rungs), nest, crossing, where, rank, u)


def _independent(v: sparse.csr_array, residual: bool) -> Array | None:
    """Return the variances of independent sampling errors, all above 0, or all 0; None if they are not so.

    `v`, shape (K, K): sampling covariances. `residual`: whether a random term adds a variance to each row, so
    that they may be 0.
    """
    k = v.shape[0]
    if v.nnz == 0 and residual:
        return np.zeros(k)
    if v.nnz != k or (v.indptr != np.arange(k + 1)).any() or (v.indices != np.arange(k)).any():
        return None
    return v.data if (v.data > 0).all() else None


def _is_simple(term: Term) -> bool:
    """Say whether a term is one independent effect per level, with one variance."""
    return isinstance(term.structure, Diagonal) and term.size == 1 and term.relation is None and term.plain


def _nest(terms: Sequence[Term]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the terms of a nest from fine to coarse, the finest one first, and the terms outside it."""
    nest: list[int] = []
    for j in sorted(range(len(terms)), key=lambda j: -terms[j].levels):
        if not nest or _inside(terms[nest[-1]], terms[j]):
            nest.append(j)
    return tuple(nest), tuple(j for j in range(len(terms)) if j not in nest)


def _inside(fine: Term, coarse: Term) -> bool:
    """Say whether each level of a term lies inside one level of another."""
    parent = np.zeros(fine.levels, dtype=np.intp)
    parent[fine.level] = coarse.level
    return bool((parent[fine.level] == coarse.level).all())
