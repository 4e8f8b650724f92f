"""Coefficients of a multilevel model with user-supplied weights.

The variance components are those of the likelihood, whatever the weights. With weights W the coefficients are
b = (X'WX)^-1 X'W y, and with B = (X'WX)^-1 X'W and M the covariance matrix of the effects under the model
their covariance matrix is B M B'. With W = M^-1 both are those of generalised least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.models.multilevel.covariance import as_sparse, is_symmetric
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.types import Array


@dataclass(frozen=True, eq=False)
class WeightedCoefficients(Immutable):
    """Coefficients with given weights."""

    beta: Array  # shape (p,)
    cov: Array  # their covariance matrix, shape (p, p)
    loadings: Array  # B, what each effect counts in each coefficient, shape (p, k)
    spread: Array  # B M, shape (p, k)


def read_weights(es: EffectSizes, weights: Any) -> sparse.csr_array | None:
    """Return weights as a sparse matrix, shape (k, k); None if there are none."""
    if weights is None:
        return None
    if isinstance(weights, str):
        check_choice("weights", weights, ("equal",))
        weights = np.ones(es.k)
    matrix = as_sparse(weights, es, "the weight matrix")
    diagonal = matrix.diagonal()
    bad = np.flatnonzero(~(np.isfinite(diagonal) & (diagonal > 0)))
    if bad.size or not np.isfinite(matrix.data).all():
        raise InputError(
            "some weights are missing, infinite or not above 0",
            "finite weights above 0",
            "leave the rows out with EffectSizes.select",
            [es.row_ids[int(i)] for i in bad],
        )
    if not is_symmetric(matrix):
        raise InputError("the weight matrix is not symmetric", "a symmetric matrix")
    return matrix


def weighted_coefficients(
    problem: MixedProblem, g: Sequence[Array], weights: sparse.csr_array
) -> WeightedCoefficients:
    """Return coefficients and their covariance matrix with given weights and components."""
    q, r = problem.basis
    wq = weights @ q
    inner = q.T @ wq
    if np.linalg.cond(inner) > 1 / (1e3 * np.finfo(float).eps):
        raise NotIdentifiableError(
            "the weights leave a coefficient undetermined", "a positive definite weight matrix"
        )
    loadings = np.asarray(np.linalg.solve(r, np.linalg.solve(inner, wq.T)), dtype=float)
    spread = loadings @ problem.v
    for term, matrix in zip(problem.terms, g, strict=True):
        moved = (term.zt @ loadings.T).reshape(term.levels, term.size, -1)
        moved = np.einsum("lip,ij->ljp", term.spread(moved), matrix)
        spread = spread + (term.z @ moved.reshape(term.width, -1)).T
    cov = spread @ loadings.T
    base = np.linalg.solve(r, q.T @ problem.y)
    beta = np.asarray(base + loadings @ problem.centred, dtype=float)
    return WeightedCoefficients(beta, 0.5 * (cov + cov.T), loadings, np.asarray(spread))
