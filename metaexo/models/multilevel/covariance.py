"""Sampling covariances in any of the forms in which they are at hand, as one sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError
from metaexo.inputs import as_word, read_numbers
from metaexo.types import Array

# Variances that differ by no more than this share are one variance, rounded.
SAME_VARIANCE = 1e-3
# What rounding may leave beyond a correlation of 1, and below an eigenvalue of 0.
POSSIBLE = 1e-8
# V is stored in blocks; one of more rows than this would be a large dense matrix.
LARGEST_BLOCK = 5_000


def read_covariance(es: EffectSizes, v: Any) -> sparse.csr_array:
    """Return V as a sparse matrix, shape (k, k)."""
    if v is None:
        return sparse.csr_array(sparse.diags_array(es.v))
    return _checked(as_sparse(v, es, "V"), es)


def at_rows(matrix: sparse.csr_array, rows: NDArray[np.intp] | None) -> sparse.csr_array:
    """Return the rows and columns of a matrix at some positions; None stands for all."""
    return matrix if rows is None else sparse.csr_array(matrix[rows][:, rows])


def as_sparse(v: Any, es: EffectSizes, name: str) -> sparse.csr_array:
    """Return a matrix in any of the forms in which it is at hand as a sparse one, shape (k, k).

    A vector is a diagonal, a list of arrays holds blocks in the order of the rows, and a table whose rows and
    columns are named by the effects is put in their order. `name` is what messages call it.
    """
    k = es.k
    if sparse.issparse(v):
        if v.dtype.kind not in "fiub":
            raise InputError(f"{name} holds {v.dtype} entries", "real numbers")
        matrix = sparse.csr_array(v, copy=True)
    elif isinstance(v, list | tuple) and len(v) and all(hasattr(b, "rows") and hasattr(b, "cov") for b in v):
        matrix = _from_blocks(_rows_of_blocks(v, es, name), k, name)
    elif isinstance(v, list | tuple) and len(v) and all(_is_table(b) for b in v):
        parts = [read_numbers(b, f"a block of {name}", ndim=2) for b in v]
        total = sum(len(b) for b in parts)
        if total != k:
            raise ShapeError(
                f"the blocks of {name} have {total} rows for {k} effects",
                "one row for each effect",
                "make the blocks from the effects that are fitted: covariance_blocks(es.v, es.study, ...)",
            )
        first = np.concatenate([[0], np.cumsum([len(b) for b in parts])])
        rows = [np.arange(first[i], first[i + 1]) for i in range(len(parts))]
        matrix = _from_blocks(list(zip(rows, parts, strict=True)), k, name)
    else:
        dense = read_numbers(_in_order(v, es, name), name, rows=es.row_ids)
        if dense.ndim not in (1, 2):
            raise ShapeError(f"{name} has shape {dense.shape} for {k} effects", f"shape ({k}, {k})")
        matrix = sparse.csr_array(sparse.diags_array(dense) if dense.ndim == 1 else dense)
    if matrix.shape != (k, k):
        raise ShapeError(f"{name} has shape {matrix.shape} for {k} effects", f"shape ({k}, {k})")
    return sparse.csr_array(matrix, dtype=float)


def _is_table(block: Any) -> bool:
    """Say whether a member of a list is a matrix, not a row of one."""
    return (hasattr(block, "ndim") and block.ndim == 2) or (
        isinstance(block, list | tuple) and len(block) > 0 and all(isinstance(r, list | tuple) for r in block)
    )


def _in_order(v: Any, es: EffectSizes, name: str) -> Any:
    """Return a labelled vector or table in the order of the effects; anything else as it is."""
    if not hasattr(v, "iloc"):
        return v
    both = [v.index, v.columns] if hasattr(v, "columns") else [v.index]
    labels = [list(axis) for axis in both]
    if any(len(axis) != es.k for axis in labels):
        raise ShapeError(
            f"{name} has shape {v.shape} for {es.k} effects", f"one row for each of {es.k} effects"
        )
    if len(labels) == 2 and list(map(str, labels[0])) != list(map(str, labels[1])):
        plain = [axis == list(range(es.k)) for axis in labels]
        if not any(plain):
            apart = [f"{a!r} and {b!r}" for a, b in zip(*labels, strict=True) if str(a) != str(b)]
            raise InputError(
                f"the rows and the columns of {name} have different labels", "one order for both", "", apart
            )
        labels = [labels[0] if plain[1] else labels[1]]
    given = [as_word(label) for label in labels[0]]
    known = [list(map(str, range(es.k))), list(es.row_ids), list(es.row_labels), list(es.study)]
    known += [
        [as_word(label) for label in index]
        for index in (es.index, getattr(es.data, "index", None))
        if index is not None
    ]
    if given in known:
        return v
    for names in known:
        if len(set(names)) == es.k and set(names) == set(given):
            place = {label: i for i, label in enumerate(given)}
            order = [place[label] for label in names]
            return v.iloc[order] if len(both) == 1 else v.iloc[order, order]
    wrong = [
        f"row {i + 1}: {a!r}, the effect is {b!r}"
        for i, (a, b) in enumerate(zip(given, es.row_labels, strict=True))
        if a != b
    ]
    raise InputError(
        f"the labels of {name} are not those of the effects",
        "rows and columns named by the labels of the effects or the index of their data, in any order",
        f"if the rows are in the order of the effects, hand in {name}.to_numpy()"
        if name.isidentifier()
        else "if the rows are in the order of the effects, hand in the array: .to_numpy()",
        wrong,
    )


def _rows_of_blocks(blocks: Any, es: EffectSizes, name: str) -> list[tuple[Any, Any]]:
    """Return rows and matrix of each block; refuse blocks that are not of the rows of these effects."""
    out, times = [], np.zeros(es.k, dtype=int)
    wrong: list[str] = []
    for block in blocks:
        rows = np.asarray(block.rows)
        if rows.dtype.kind not in "iu" or rows.ndim != 1:
            raise InputError(f"the rows of a block of {name} are {block.rows!r}", "positions of rows, from 0")
        inside = (rows >= 0) & (rows < es.k)
        if not inside.all():
            others = ", ".join(str(r + 1) for r in rows[~inside])
            wrong.append(f"block {getattr(block, 'cluster', '')!r}: rows {others}")
        np.add.at(times, rows[inside], 1)
        out.append((rows.astype(np.intp), read_numbers(block.cov, f"a block of {name}", ndim=2)))
    if wrong:
        raise InputError(
            f"the blocks of {name} have rows that the {es.k} effects do not have",
            "blocks made of the effects that are fitted",
            "make them after rows were left out: covariance_blocks(es.v, es.study, ...)",
            wrong,
        )
    for bad, said in ((times == 0, "in no block"), (times > 1, "in several blocks")):
        if bad.any():
            raise InputError(
                f"some effects are {said} of {name}",
                "every effect in one block",
                "make the blocks of the effects that are fitted: covariance_blocks(es.v, es.study, ...)",
                [es.row_ids[int(i)] for i in np.flatnonzero(bad)],
            )
    return out


def _from_blocks(blocks: list[tuple[Any, Any]], k: int, name: str) -> sparse.csr_array:
    for where, cov in blocks:
        if cov.shape != (where.size, where.size):
            raise ShapeError(
                f"a block of {name} has shape {cov.shape} for {where.size} rows",
                "a square block with a row for each effect",
                "",
                [f"rows {', '.join(str(r + 1) for r in where[:8])}"],
            )
    rows = np.concatenate([np.repeat(where, where.size) for where, _ in blocks])
    columns = np.concatenate([np.tile(where, where.size) for where, _ in blocks])
    values = np.concatenate([cov.ravel() for _, cov in blocks])
    return sparse.csr_array((values, (rows, columns)), shape=(k, k))


def _checked(matrix: sparse.csr_array, es: EffectSizes) -> sparse.csr_array:
    matrix.eliminate_zeros()
    diagonal = matrix.diagonal()
    bad = ~(np.isfinite(diagonal) & (diagonal >= 0))
    entries = matrix.tocoo()
    bad[entries.row[~np.isfinite(entries.data)]] = True
    if bad.any():
        raise InputError(
            "V has missing, infinite or negative entries",
            "finite covariances and variances of at least 0",
            "leave these rows out of effects and V, or give a covariance that is known or assumed",
            rows=[es.row_ids[int(i)] for i in np.flatnonzero(bad)],
        )
    if not is_symmetric(matrix):
        raise InputError("V is not symmetric", "the covariance matrix of the sampling errors")
    _refuse_other_diagonal(diagonal, es)
    size = np.sqrt(diagonal)
    beyond = (entries.row < entries.col) & (
        np.abs(entries.data) > size[entries.row] * size[entries.col] * (1 + POSSIBLE)
    )
    if beyond.any():
        pairs = zip(entries.row[beyond], entries.col[beyond], entries.data[beyond], strict=True)
        raise InputError(
            f"V has {int(beyond.sum())} covariances larger than the variances allow",
            "correlations from -1 to 1",
            "look for correlations where covariances are needed, and for SE in the place of variances",
            [f"{es.row_ids[int(i)]} and {es.row_ids[int(j)]}: covariance {x:.4g}" for i, j, x in pairs],
        )
    from scipy.sparse import csgraph

    group = csgraph.connected_components(matrix, directed=False)[1]
    sizes = np.bincount(group)
    if sizes.max() > LARGEST_BLOCK:
        raise InputError(
            f"V makes {sizes.max()} effects depend on each other",
            f"blocks of at most {LARGEST_BLOCK} effects",
            "set covariances between independent samples to zero",
        )
    _refuse_indefinite(entries, size, group, sizes, es)
    return sparse.csr_array(0.5 * (matrix + matrix.T))


def _refuse_other_diagonal(diagonal: Array, es: EffectSizes) -> None:
    """Raise if the diagonal of V is not the sampling variances of the effects."""
    other = np.flatnonzero(np.abs(diagonal - es.v) > SAME_VARIANCE * np.maximum(diagonal, es.v))
    if other.size:
        raise InputError(
            f"the diagonal of V is not the variances of the effects in {other.size} of {es.k} rows",
            "one set of sampling variances, in the order of the effects",
            "if those of V are right, make the effects with v=np.diag(V)",
            [f"{es.row_ids[int(i)]}: {diagonal[i]:.4g} in V, v = {es.v[i]:.4g}" for i in other],
        )


def _refuse_indefinite(
    entries: sparse.coo_array, size: Array, group: Any, sizes: Any, es: EffectSizes
) -> None:
    """Raise if the correlations of V contradict each other: a block that is not positive semidefinite."""
    order = np.argsort(group, kind="stable")
    place = np.empty(group.size, dtype=np.intp)
    place[order] = np.arange(group.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    root = np.where(size > 0, size, 1.0)
    correlation = entries.data / (root[entries.row] * root[entries.col])
    rows: list[str] = []
    for n in np.unique(sizes[sizes > 1]):
        chosen = np.flatnonzero(sizes == n)
        number = np.full(sizes.size, -1)
        number[chosen] = np.arange(chosen.size)
        at = number[group[entries.row]]
        here = at >= 0
        blocks = np.zeros((chosen.size, n, n))
        blocks[at[here], place[entries.row[here]], place[entries.col[here]]] = correlation[here]
        try:
            np.linalg.cholesky(blocks + POSSIBLE * n * np.eye(n))
        except np.linalg.LinAlgError:
            lowest = np.linalg.eigvalsh(blocks)[:, 0]
            for g in chosen[lowest < -POSSIBLE]:
                names = [es.row_ids[int(i)] for i in np.flatnonzero(group == g)]
                rows.append(", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else ""))
    if rows:
        raise InputError(
            "V is not positive semidefinite: its correlations contradict each other",
            "a covariance matrix that sampling errors can have",
            "look for covariances with a wrong sign, or of other rows",
            rows,
        )


def is_symmetric(matrix: sparse.csr_array) -> bool:
    """Say whether a matrix is symmetric, but for rounding."""
    apart = abs(matrix - matrix.T)
    return not apart.nnz or bool(apart.max() <= 1e-8 * max(float(np.abs(matrix.data).max()), 1e-300))
