"""Cutting the rows into blocks: which terms stay inside small blocks, which become low-rank updates.

Rows that share a level of a term, or a block of V, are dependent. Terms are taken in, the one with most
random effects first, as long as the connected rows stay few; the covariance matrix of V and these terms then
falls into small blocks. The terms left over have few effects, and are added by the Woodbury identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array, Index

# Most rows of one block, and most elements of all blocks together.
BLOCK_LIMIT = 300
ELEMENT_LIMIT = 8_000_000
# Blocks are padded to these sizes, so that blocks of one size are handled in one call.
SIZES = np.unique(np.ceil(1.25 ** np.arange(60)).astype(int))


@dataclass(frozen=True, eq=False)
class BlockTerm:
    """A term as seen inside blocks of one size."""

    # (b, n, n): 1 where two rows share a level (or the known correlation of their levels); None stands for a
    # diagonal
    shared: Array | None
    pair: Index | None  # (b, n, n): position of the pair of inner levels in G; None where there is one
    weights: Array | None  # (b, n, s): weights on the inner levels, where there are slopes


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of one size."""

    rows: Index  # (b, n): rows of each block; K stands for padding
    v: Array  # (b, n, n): sampling covariances; 1 on the diagonal of padding
    real: NDArray[np.bool_]  # (b, n): whether a place holds a row
    terms: dict[int, BlockTerm]  # position of the term to how it stands here


@dataclass(frozen=True, eq=False)
class Partition:
    """Rows cut into blocks, and the terms that run across them."""

    blocks: tuple[Blocks, ...]  # blocks by size
    # inside, across: positions of the terms inside the blocks, and of the low-rank ones
    inside: tuple[int, ...]
    across: tuple[int, ...]
    largest: int  # rows of the largest block


def partition(v: sparse.csr_array, terms: Sequence[Term], block_limit: int = BLOCK_LIMIT) -> Partition:
    """Cut the rows into blocks.

    `v`, shape (K, K): sampling covariances. `block_limit`: most rows of one block, unless V itself has a
    larger one.
    """
    k = v.shape[0]
    inside: list[int] = []
    label = _components(v)
    limit = max(block_limit, int(np.bincount(label).max()))
    for j in sorted(range(len(terms)), key=lambda j: -terms[j].width):
        joined = _join(label, terms[j])
        sizes = np.bincount(joined)
        if sizes.max() <= limit and (_padded(sizes) ** 2).sum() <= max(ELEMENT_LIMIT, k):
            inside.append(j)
            label = joined
    across = tuple(j for j in range(len(terms)) if j not in inside)
    blocks = tuple(_blocks(label, v, terms, sorted(inside)))
    return Partition(blocks, tuple(sorted(inside)), across, int(np.bincount(label).max()))


def dependent_rows(v: sparse.csr_array, terms: Sequence[Term]) -> Index:
    """Return a number for each row, the same for rows that V or the terms make dependent, shape (K,)."""
    label = _components(v)
    for term in terms:
        label = _join(label, term)
    return label


def _components(pattern: sparse.csr_array) -> Index:
    return np.asarray(csgraph.connected_components(pattern, directed=False)[1], dtype=np.intp)


def _join(label: Index, term: Term) -> Index:
    """Return the components of rows when rows of one level of a term are dependent too."""
    level = term.level if term.relation is None else _components(sparse.csr_array(term.relation))[term.level]
    n, m = int(label.max()) + 1, int(level.max()) + 1
    pairs = sparse.coo_array((np.ones(label.size), (label, n + level)), shape=(n + m, n + m))
    return _components(sparse.csr_array(pairs))[label]


def _padded(sizes: Index) -> Index:
    found = np.searchsorted(SIZES, sizes)
    return np.asarray(np.where(found < SIZES.size, SIZES[np.minimum(found, SIZES.size - 1)], sizes))


def _blocks(label: Index, v: sparse.csr_array, terms: Sequence[Term], inside: list[int]) -> list[Blocks]:
    k = label.size
    dense_label = np.unique(label, return_inverse=True)[1]
    sizes = np.bincount(dense_label)
    order = np.argsort(dense_label, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place = np.empty(k, dtype=np.intp)
    place[order] = np.arange(k) - np.repeat(first, sizes)
    entries = v.tocoo()
    out = []
    padded = _padded(sizes)
    for n in np.unique(padded):
        chosen = np.flatnonzero(padded == n)
        rows = np.full((chosen.size, n), k, dtype=np.intp)
        where = np.full(sizes.size, -1, dtype=np.intp)
        where[chosen] = np.arange(chosen.size)
        mine = np.flatnonzero(where[dense_label] >= 0)
        rows[where[dense_label[mine]], place[mine]] = mine
        cov = np.zeros((chosen.size, n, n))
        here = where[dense_label[entries.row]] >= 0
        i, j = entries.row[here], entries.col[here]
        cov[where[dense_label[i]], place[i], place[j]] = entries.data[here]
        index = np.arange(n)
        cov[:, index, index] += rows == k
        out.append(Blocks(rows, cov, rows < k, {t: _block_term(terms[t], rows, k) for t in inside}))
    return out


def _block_term(term: Term, rows: Index, k: int) -> BlockTerm:
    if term.single:
        return BlockTerm(None, None, None)
    real = rows < k
    safe = np.where(real, rows, 0)
    level = term.level[safe]
    both = real[:, :, None] & real[:, None, :]
    if term.relation is None:
        shared = ((level[:, :, None] == level[:, None, :]) & both).astype(float)
    else:
        shared = term.relation[level[:, :, None], level[:, None, :]] * both
    if term.plain:
        if term.size == 1:
            return BlockTerm(shared, None, None)
        column = term.column[safe, 0]
        return BlockTerm(shared, column[:, :, None] * term.size + column[:, None, :], None)
    weights = np.zeros((*rows.shape, term.size))
    for c in range(term.column.shape[1]):
        np.put_along_axis(
            weights, term.column[safe, c][:, :, None], (term.weight[safe, c] * real)[:, :, None], axis=2
        )
    return BlockTerm(shared, None, weights)
