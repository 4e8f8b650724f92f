"""Sampling covariances in any of the forms in which they are at hand, as one sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError

# V is stored in blocks; one of more rows than this would be a large dense matrix.
LARGEST_BLOCK = 5_000


def read_covariance(es: EffectSizes, v: Any) -> sparse.csr_array:
    """Return V as a sparse matrix, shape (k, k).

    Parameters
    ----------
    es : EffectSizes
        The effects.
    v : None, array, list of arrays, list of Block, or sparse matrix
        None: the sampling variances of the effects. A list of arrays holds blocks in the order of the rows.

    Raises
    ------
    ShapeError
        If it does not fit the effects.
    InputError
        If it is not symmetric, or has negative or missing entries on its diagonal.
    """
    if v is None:
        return sparse.csr_array(sparse.diags_array(es.v))
    return _checked(as_sparse(v, es.k, "V"), es)


def as_sparse(v: Any, k: int, name: str) -> sparse.csr_array:
    """Return a matrix in any of the forms in which it is at hand as a sparse one, shape (k, k).

    Parameters
    ----------
    v : array, list of arrays, list of Block, or sparse matrix
        The matrix; a vector is a diagonal, a list of arrays holds blocks in the order of the rows.
    k : int
        Number of rows.
    name : str
        What it is called in messages.

    Raises
    ------
    ShapeError
        If the shape is another one.
    """
    if sparse.issparse(v):
        matrix = sparse.csr_array(v)
    elif isinstance(v, list | tuple) and len(v) and all(hasattr(b, "rows") and hasattr(b, "cov") for b in v):
        matrix = _from_blocks([(np.asarray(b.rows), np.asarray(b.cov, dtype=float)) for b in v], k, name)
    elif isinstance(v, list | tuple) and len(v) and all(np.ndim(b) == 2 for b in v):
        parts = [np.asarray(b, dtype=float) for b in v]
        total = sum(len(b) for b in parts)
        if total != k:
            raise ShapeError(f"the blocks of {name} have {total} rows for {k} effects", "one for each")
        first = np.concatenate([[0], np.cumsum([len(b) for b in parts])])
        rows = [np.arange(first[i], first[i + 1]) for i in range(len(parts))]
        matrix = _from_blocks(list(zip(rows, parts, strict=True)), k, name)
    else:
        dense = np.asarray(v, dtype=float)
        matrix = sparse.csr_array(sparse.diags_array(dense) if dense.ndim == 1 else dense)
    if matrix.shape != (k, k):
        raise ShapeError(f"{name} has shape {matrix.shape} for {k} effects", f"shape ({k}, {k})")
    return sparse.csr_array(matrix, dtype=float)


def _from_blocks(blocks: list[tuple[Any, Any]], k: int, name: str) -> sparse.csr_array:
    for where, cov in blocks:
        if cov.shape != (where.size, where.size):
            raise ShapeError(
                f"a block of {name} has shape {cov.shape} for {where.size} rows", "a square block"
            )
    rows = np.concatenate([np.repeat(where, where.size) for where, _ in blocks])
    columns = np.concatenate([np.tile(where, where.size) for where, _ in blocks])
    values = np.concatenate([cov.ravel() for _, cov in blocks])
    return sparse.csr_array((values, (rows, columns)), shape=(k, k))


def _checked(matrix: sparse.csr_array, es: EffectSizes) -> sparse.csr_array:
    matrix.eliminate_zeros()
    diagonal = matrix.diagonal()
    bad = np.flatnonzero(~(np.isfinite(diagonal) & (diagonal >= 0)))
    if bad.size or not np.isfinite(matrix.data).all():
        raise InputError(
            "V has missing, infinite or negative entries",
            "finite covariances and variances of at least 0",
            rows=[es.row_ids[int(i)] for i in bad],
        )
    if not is_symmetric(matrix):
        raise InputError("V is not symmetric", "the covariance matrix of the sampling errors")
    from scipy.sparse import csgraph

    sizes = np.bincount(csgraph.connected_components(matrix, directed=False)[1])
    if sizes.max() > LARGEST_BLOCK:
        raise InputError(
            f"V makes {sizes.max()} effects depend on each other",
            f"blocks of at most {LARGEST_BLOCK} effects",
            "set covariances between independent samples to zero",
        )
    return sparse.csr_array(0.5 * (matrix + matrix.T))


def is_symmetric(matrix: sparse.csr_array) -> bool:
    """Say whether a matrix is symmetric, but for rounding."""
    apart = abs(matrix - matrix.T)
    return not apart.nnz or bool(apart.max() <= 1e-8 * max(float(np.abs(matrix.data).max()), 1e-300))
