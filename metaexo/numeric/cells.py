r"""Problems whose design has equal rows: sums over cells in place of decompositions of all rows.

Factors make few different rows. Rows with the same levels of all factors are a cell, and sums over the rows
of a cell are all that a fit needs. The factor with most levels, the main one, costs nothing: its X'WX is
diagonal. With P_1 what is left of the weights W when its means are taken out, and Z the columns of the other
factors, all that the estimators need follows from

.. math:: P = P_1 - P_1 Z (Z' P_1 Z)^{-1} Z' P_1,

where :math:`P_1 Z = W \zeta` with :math:`\zeta` the columns of Z as differences from their weighted means
within each level of the main factor. Nothing is larger than cells times columns of Z.

References
----------
Searle, S. R., Casella, G., McCulloch, C. E. (1992). Variance components, chapter 6 and appendix M. Wiley.
https://doi.org/10.1002/9780470316856
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.numeric.problem import Batch, make_batch
from metaexo.types import Array, Index

# Variances farther apart than this are left to the kernels that pivot.
FAR_APART = 1e6


@dataclass(frozen=True, eq=False)
class Cells:
    """A design by its cells; rows stand sorted by main level, and within it by cell.

    Attributes
    ----------
    order : ndarray of int, shape (K,)
        Takes the rows to this order.
    first_row : ndarray of int, shape (C,)
        Where each cell begins among the rows.
    first_cell : ndarray of int, shape (L,)
        Where each level of the main factor begins among the cells.
    main : ndarray of int, shape (C,)
        Main level of each cell.
    cell : ndarray of int, shape (K,)
        Cell of each row.
    z : ndarray, shape (C, Q)
        Columns of the other factors.
    """

    order: Index
    first_row: Index
    first_cell: Index
    main: Index
    cell: Index
    z: Array

    def by_cell(self, x: Array) -> Array:
        """Return sums over the rows of each cell, (B, K) to (B, C)."""
        return np.asarray(np.add.reduceat(x, self.first_row, axis=1))

    def by_main(self, x: Array) -> Array:
        """Return sums over the cells of each main level, (B, C, ...) to (B, L, ...)."""
        return np.asarray(np.add.reduceat(x, self.first_cell, axis=1))

    def design(self) -> Array:
        """Return the design with a column for each main level, rows sorted, shape (K, L + Q)."""
        of_row = self.main[self.cell]
        return np.hstack([np.eye(self.first_cell.size)[of_row], self.z[self.cell]])


def cells_of(factors: Sequence[Index]) -> Cells:
    """Return the cells of an additive design.

    Parameters
    ----------
    factors : sequence of ndarray of int, shape (K,)
        Levels of each factor, from 0 and without gaps. Columns that others make redundant are left out.
    """
    ranked = sorted(factors, key=lambda codes: -int(codes.max()))
    main, others = ranked[0], ranked[1:]
    order = np.lexsort((*others[::-1], main))
    rows = np.column_stack(ranked)[order]
    starts = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)])
    heads = rows[starts]
    columns = [np.eye(int(codes.max()) + 1)[heads[:, j + 1]][:, 1:] for j, codes in enumerate(others)]
    z = np.hstack([np.zeros((starts.size, 0)), *columns])
    cell = np.repeat(np.arange(starts.size), np.diff(np.r_[starts, rows.shape[0]]))
    first_cell = np.flatnonzero(np.r_[True, heads[1:, 0] != heads[:-1, 0]])
    return Cells(order, starts, first_cell, heads[:, 0], cell, _independent(z, heads[:, 0], first_cell))


def _independent(z: Array, main: Index, first_cell: Index) -> Array:
    """Return columns that span, with the main factor, what z spans with it, and no more of them."""
    if not z.shape[1]:
        return z
    counts = np.bincount(main)[:, None]
    beyond = z - (np.add.reduceat(z, first_cell, axis=0) / counts)[main]
    _, size, right = np.linalg.svd(beyond, full_matrices=False)
    free = size > size[0] * max(z.shape) * np.finfo(float).eps if size[0] > 0 else size > 0
    return z if free.sum() == z.shape[1] else z @ right[free].T


@dataclass(frozen=True, slots=True)
class CellBatch(Batch):
    """Problems that share a design of cells; every row counts once.

    Attributes
    ----------
    cells : Cells or None
        The design.
    """

    cells: Cells | None = None

    def _take(self, which: NDArray[np.intp] | slice) -> Batch:
        return _with_cells(Batch._take(self, which), self.cells)

    def sums(self, tau2: Array) -> tuple[Array, ...]:
        """Return traces and quadratic forms, in the order of :class:`metaexo.numeric.moments.Moments`.

        Parameters
        ----------
        tau2 : ndarray, shape (B,)
            One value for each problem.
        """
        cells = self.cells
        assert cells is not None
        w = 1.0 / (self.v + tau2[:, None])
        ww = w * w
        s1, s2, s3 = cells.by_cell(w), cells.by_cell(ww), cells.by_cell(ww * w)
        r1, r2, r3 = cells.by_main(s1), cells.by_main(s2), cells.by_main(s3)
        wy = cells.by_cell(w * self.y)
        fitted = (cells.by_main(wy) / r1)[:, cells.main]
        share = r2 / r1
        sum_w, sum_ww = r1.sum(axis=1), r2.sum(axis=1)
        trace_p = sum_w - share.sum(axis=1)
        trace_pp = sum_ww - 2 * (r3 / r1).sum(axis=1) + np.vecdot(share, share)
        taken: Array | float = 0.0
        if cells.z.shape[1]:
            centred, solve, n = self._others(s1, s2, r1)
            zz = np.swapaxes(centred, 1, 2)
            h = zz @ (s2[..., None] * centred)
            j = zz @ (s3[..., None] * centred) - np.swapaxes(n, 1, 2) @ (n / r1[..., None])
            gh = solve @ h
            trace_p = trace_p - np.trace(gh, axis1=1, axis2=2)
            trace_pp = trace_pp - 2 * np.einsum("bpq,bqp->b", solve, j) + np.einsum("bpq,bqp->b", gh, gh)
            fitted = fitted + (centred @ (solve @ (zz @ wy[..., None])))[..., 0]
        e = self.y - fitted[:, cells.cell]
        a = w * e
        wa = cells.by_cell(w * a)
        sides = cells.by_main(wa)
        taken = np.vecdot(sides / r1, sides)
        if cells.z.shape[1]:
            c = zz @ wa[..., None]
            taken = taken + (np.swapaxes(c, 1, 2) @ (solve @ c))[:, 0, 0]
        return trace_p, trace_pp, np.vecdot(a, e), np.vecdot(a, a), np.vecdot(w * a, a) - taken, sum_w, sum_ww

    def _others(self, s1: Array, s2: Array, r1: Array) -> tuple[Array, Array, Array]:
        """Return zeta, (B, C, Q), the inverse of Z'P1Z, (B, Q, Q), and sums of w^2 zeta, (B, L, Q)."""
        cells = self.cells
        assert cells is not None
        means = cells.by_main(s1[..., None] * cells.z) / r1[..., None]
        centred = cells.z - means[:, cells.main]
        gram = np.swapaxes(centred, 1, 2) @ (s1[..., None] * centred)
        return centred, np.asarray(np.linalg.inv(gram), dtype=float), cells.by_main(s2[..., None] * centred)


def cell_batch(y: ArrayLike, v: ArrayLike, cells: Cells) -> Batch:
    """Return problems with a design of cells, its rows sorted; the result does not depend on their order.

    Parameters
    ----------
    y, v : array_like, shape (B, K)
        Effects and sampling variances.
    cells : Cells
        The design.
    """
    effects, variances = (np.atleast_2d(np.asarray(x, dtype=float))[:, cells.order] for x in (y, v))
    batch = make_batch(effects, variances, cells.design())
    smallest = float(variances.min())
    if smallest <= 0 or float(variances.max()) > FAR_APART * smallest:
        return batch
    return _with_cells(batch, cells)


def _with_cells(batch: Batch, cells: Cells | None) -> CellBatch:
    return CellBatch(**{field.name: getattr(batch, field.name) for field in fields(Batch)}, cells=cells)
