r"""Shares of tau2 by factor: from tau2 under every set of factors, in all orders, and what factors share.

With :math:`e(S) = \tau^2_0 - \tau^2_S`, the between-study variance that a set S of factors explains, the
share of a factor by Shapley (also LMG) is the mean over all orders of what it adds to those before it, and
the commonality of a set T is what all of its factors explain together and none of them alone:

    shapley(f) = sum over S without f of |S|! (p - |S| - 1)! / p! [e(S + f) - e(S)],
    common(T)  = sum over S in T of (-1)^(|T| - |S|) [e(all) - e(all without S)].

Nothing is cut off at zero, so the parts add up to what all factors explain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Literal

import numpy as np

from metaexo.heterogeneity.attribution.draws import hedges_tau2, rounding
from metaexo.heterogeneity.levels import FactorTable, column_space, readable
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import Cells, cell_batch, cells_of
from metaexo.numeric.problem import make_batch
from metaexo.types import Array

PartKind = Literal["factor", "interaction", "unexplained", "only", "common", "together"]
Subset = tuple[int, ...]
# Sets of effects between two reports of how far the work is.
REPORT = 50


@dataclass(frozen=True, eq=False)
class Parts:
    """What tau2 is divided into, and the models whose tau2 that takes."""

    names: tuple[str, ...]
    kinds: tuple[PartKind, ...]
    owners: tuple[Subset, ...]  # the factors that each part is about
    models: tuple[Array, ...]  # orthonormal bases of the designs, (k, rank) each; the first is the intercept
    weights: Array  # takes tau2 under the models to the parts, shape (parts, models)
    cells: tuple[Cells | None, ...]  # the designs by their cells; None for the intercept

    def of(self, tau2: Array) -> Array:
        """Return the parts in units of tau2, shape (B, parts), for tau2 of shape (B, models)."""
        return tau2 @ self.weights.T

    def shares(self, tau2: Array) -> Array:
        """Return the parts as shares of the tau2 without factors; 0 where that is 0."""
        whole = tau2[:, :1]
        shares = self.of(tau2) / np.where(whole > 0, whole, 1.0)
        unexplained = np.array([kind == "unexplained" for kind in self.kinds])
        return np.where(whole > 0, shares, unexplained.astype(float))


def subsets(p: int) -> tuple[Subset, ...]:
    """Return all sets of p factors, the smaller ones first.

    Examples
    --------
    >>> subsets(2)
    ((), (0,), (1,), (0, 1))
    """
    return tuple(s for size in range(p + 1) for s in combinations(range(p), size))


def shapley_weights(p: int) -> Array:
    """Return what takes e(S) to the Shapley values, shape (p, 2^p).

    Examples
    --------
    >>> shapley_weights(2).tolist()
    [[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]
    """
    sets = subsets(p)
    weights = np.zeros((p, len(sets)))
    for f in range(p):
        for i, s in enumerate(sets):
            before = len(s) - (f in s)
            share = factorial(before) * factorial(p - before - 1) / factorial(p)
            weights[f, i] = share if f in s else -share
    return weights


def commonality_weights(p: int) -> Array:
    """Return what takes e(S) to the commonalities of all sets but the empty one, shape (2^p - 1, 2^p).

    Examples
    --------
    >>> commonality_weights(2).tolist()
    [[0.0, 0.0, -1.0, 1.0], [0.0, -1.0, 0.0, 1.0], [-1.0, 1.0, 1.0, -1.0]]
    """
    sets = subsets(p)
    weights = np.zeros((len(sets) - 1, len(sets)))
    for i, t in enumerate(sets[1:]):
        for s in subsets(len(t)):
            inside = {t[j] for j in s}
            sign = (-1) ** (len(t) - len(s))
            weights[i, sets.index(tuple(range(p)))] += sign
            weights[i, sets.index(tuple(f for f in range(p) if f not in inside))] -= sign
    return weights


def separable_parts(table: FactorTable, interaction: bool) -> Parts:
    """Return the parts of a design whose factors are separately estimable."""
    sets = subsets(table.p)
    models = [column_space(table.additive(s)) for s in sets]
    cells = [cells_of([table.codes[:, f] for f in s]) if s else None for s in sets]
    if interaction:
        models.append(column_space(table.saturated()))
        cells.append(cells_of([table.cells()[1]]))
    all_factors = sets[-1]
    rows: list[tuple[str, PartKind, Subset, Array]] = []
    for f, row in enumerate(shapley_weights(table.p)):
        rows.append((table.names[f], "factor", (f,), _of_explained(row, len(models))))
    if interaction:
        rows.append(("interaction", "interaction", all_factors, _step(len(sets) - 1, len(sets), len(models))))
    rows.append(("unexplained", "unexplained", (), np.eye(len(models))[-1]))
    if table.p > 1:
        for s, row in zip(sets[1:], commonality_weights(table.p), strict=True):
            kind: PartKind = "only" if len(s) == 1 else "common"
            rows.append((_commonality_name(table, s), kind, s, _of_explained(row, len(models))))
    rows.append(("together", "together", all_factors, _step(0, len(sets) - 1, len(models))))
    return _collect(rows, models, cells)


def joint_parts(table: FactorTable) -> Parts:
    """Return the parts of a design whose factors are confounded: all together, and the rest."""
    everything = tuple(range(table.p))
    models = [column_space(table.additive(())), column_space(table.additive(everything))]
    return _collect(
        [
            ("unexplained", "unexplained", (), np.eye(2)[1]),
            ("together", "together", everything, _step(0, 1, 2)),
        ],
        models,
        [None, cells_of([table.codes[:, f] for f in everything])],
    )


def tau2_by_model(
    y: Array, v: Array, parts: Parts, method: str, advance: Callable[[int], None] | None = None
) -> Array:
    """Return tau2 under each model, shape (B, models), for B sets of effects, shape (B, k)."""
    if method == "REML" and not v.any():  # then it is the mean squared residual, and 0 is no trouble
        found = np.column_stack([hedges_tau2(y, v, x) for x in parts.models])
        return np.where(found > rounding(y)[:, None], found, 0.0)
    kernel = get_estimator(method).kernel
    out = np.empty((len(y), len(parts.models)))
    for j, cells in enumerate(parts.cells):
        for begin in range(0, len(y), REPORT):
            some = slice(begin, begin + REPORT)
            batch = make_batch(y[some], v[some]) if cells is None else cell_batch(y[some], v[some], cells)
            out[some, j] = kernel(batch).tau2
            if advance is not None:
                advance(batch.size)
    return out


def _of_explained(weights: Array, models: int) -> Array:
    """Return weights on tau2 by model from weights on what each set explains."""
    row = np.zeros(models)
    row[: weights.size] = -weights
    row[0] += weights.sum()
    return row


def _step(before: int, after: int, models: int) -> Array:
    """Return the weights of what one model explains beyond another."""
    return np.asarray(np.eye(models)[before] - np.eye(models)[after])


def _commonality_name(table: FactorTable, s: Subset) -> str:
    names = [readable(table.names[f]) for f in s]
    return f"only {names[0]}" if len(names) == 1 else "common to " + " and ".join(names)


def _collect(
    rows: Sequence[tuple[str, PartKind, Subset, Array]],
    models: Sequence[Array],
    cells: Sequence[Cells | None],
) -> Parts:
    names, kinds, owners, weights = zip(*rows, strict=True)
    return Parts(names, kinds, owners, tuple(models), np.array(weights), tuple(cells))
