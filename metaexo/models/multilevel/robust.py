"""Cluster-robust inference for multilevel fits: only blocks of one cluster are ever dense."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from metaexo.errors import InputError
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.types import Array, Index

PLAIN = ("CR0", "CR1", "CR1p", "CR1S")


def sandwich(fit: MultilevelFit, members: Sequence[Index], kind: str, df_rule: str) -> Sandwich:
    """Return the cluster-robust covariance matrix of a fit for the rows of each cluster.

    Raises
    ------
    InputError
        If effects of different clusters depend on each other and `kind` or `df_rule` needs independent ones.
    """
    apart = _independent(fit, members)
    if not apart and (kind not in PLAIN or df_rule == "satterthwaite"):
        raise InputError(
            "some effects of different clusters share a random effect, a sampling covariance or a weight",
            "clusters that hold all effects that depend on each other",
            'use kind="CR1p", or a cluster that takes in all of them',
        )
    if len(members) < 2:
        raise InputError("all effects are in one cluster", "at least two clusters")
    return _sandwich(fit, members, kind) if apart else _plain(fit, members, kind)


def _independent(fit: MultilevelFit, members: Sequence[Index]) -> bool:
    """Say whether every dependent pair of effects is inside one cluster."""
    label = np.empty(fit.k, dtype=np.intp)
    for i, rows in enumerate(members):
        label[rows] = i
    varying = [named.term for named, g in zip(fit.terms, fit.g, strict=True) if g.any()]
    linked = fit.problem.v
    if fit.weighting is not None:
        linked = sparse.csr_array(abs(fit.problem.v) + abs(fit.weighting))
    component = dependent_rows(linked, varying)
    firsts = np.unique(component, return_index=True)
    first_of = np.zeros(int(component.max()) + 1, dtype=np.intp)
    first_of[firsts[0]] = firsts[1]
    return bool((label == label[first_of[component]]).all())


def _sandwich(fit: MultilevelFit, members: Sequence[Index], kind: str) -> Sandwich:
    residuals = without_rounding(fit.effects.y - fit.problem.x @ fit.beta, fit.effects.y)
    entries = fit.problem.v.tocoo()
    weights = None if fit.weighting is None else fit.weighting.tocoo()
    return cluster_sandwich(
        fit.problem.x,
        residuals,
        members,
        lambda rows: covariance_of_clusters(fit, entries, rows),
        kind,
        None if weights is None else lambda rows: _blocks_of(weights, rows),
    )


def _blocks_of(matrix: sparse.coo_array, rows: Index) -> Array:
    """Return the parts of a sparse matrix that belong to clusters of one size, shape (b, n, n)."""
    b, n = rows.shape
    cluster, place = np.full(matrix.shape[0], -1), np.zeros(matrix.shape[0], dtype=np.intp)
    cluster[rows], place[rows] = np.arange(b)[:, None], np.arange(n)
    here = (cluster[matrix.row] >= 0) & (cluster[matrix.row] == cluster[matrix.col])
    i, j = matrix.row[here], matrix.col[here]
    out = np.zeros((b, n, n))
    out[cluster[i], place[i], place[j]] = matrix.data[here]
    return out


def covariance_of_clusters(fit: MultilevelFit, v: sparse.coo_array, rows: Index) -> Array:
    """Return the model's covariance matrices of clusters of one size, shape (b, n, n).

    Parameters
    ----------
    fit : MultilevelFit
        The fit.
    v : sparse array, shape (K, K)
        Its sampling covariances.
    rows : ndarray of int, shape (b, n)
        Effects of each cluster.
    """
    b, n = rows.shape
    m = _blocks_of(v, rows)
    for named, g in zip(fit.terms, fit.g, strict=True):
        term = named.term
        level = term.level[rows]
        if term.relation is None:
            shared = (level[:, :, None] == level[:, None, :]).astype(float)
        else:
            shared = term.relation[level[:, :, None], level[:, None, :]]
        weights = np.zeros((b, n, term.size))
        np.put_along_axis(weights, term.column[rows], term.weight[rows], axis=2)
        m += shared * (weights @ g @ weights.transpose(0, 2, 1))
    return m


def _plain(fit: MultilevelFit, members: Sequence[Index], kind: str) -> Sandwich:
    """Return the sandwich where clusters are not independent under the model."""
    x, p = fit.problem.x, fit.design.p
    g, n = len(members), fit.k
    loadings = fit.gls.cov @ fit.gls.factor.solve(x).T if fit.weighted is None else fit.weighted.loadings
    each = loadings * without_rounding(fit.effects.y - x @ fit.beta, fit.effects.y)
    scores = np.stack([each[:, rows].sum(axis=1) for rows in members])
    factor = {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": g * (n - 1) / ((g - 1) * (n - p))}
    nothing = np.full((g, p, p), np.nan)
    return Sandwich(scores.T @ scores * factor.get(kind, 1.0), nothing, nothing, np.ones(p))
