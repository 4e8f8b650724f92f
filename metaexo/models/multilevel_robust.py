"""Cluster-robust inference for multilevel fits: only blocks of one cluster are ever dense."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from metaexo.errors import FewStudiesWarning, InputError, UnknownChoiceError
from metaexo.models.robust import FEW_DEGREES, FREEDOMS, Freedom, RobustResults, split_clusters
from metaexo.models.sandwich import KINDS, Sandwich, cluster_sandwich
from metaexo.models.weighted import refuse_own_weights
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.mixed.terms import Index
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    from metaexo.models.multilevel_results import MultilevelResults

PLAIN = ("CR0", "CR1", "CR1p", "CR1S")


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelRobustResults(RobustResults):
    """Coefficients of a multilevel fit with cluster-robust standard errors, tests and intervals."""

    base: Any


def robust(
    fit: MultilevelResults,
    cluster: str | Sequence[object] | ArrayLike | None,
    kind: str,
    freedom: Freedom | None,
) -> MultilevelRobustResults:
    """Return a fit with cluster-robust inference; see `MultilevelResults.robust`."""
    if kind not in KINDS:
        raise UnknownChoiceError("kind of robust covariance", kind, KINDS)
    refuse_own_weights(fit, "the robust covariance matrix")
    names, members = split_clusters(fit, cluster)  # type: ignore[arg-type]
    apart = _independent(fit, members)
    chosen = freedom or ("satterthwaite" if kind in ("CR2", "CR3") else "clusters")
    if chosen not in FREEDOMS:
        raise UnknownChoiceError("degrees of freedom", chosen, FREEDOMS)
    if not apart and (kind not in PLAIN or chosen == "satterthwaite"):
        raise InputError(
            "some effects of different clusters share a random effect or a sampling covariance",
            "clusters that hold all effects that depend on each other",
            'use kind="CR1p", or a cluster that takes in all of them',
        )
    if chosen == "clusters" and len(names) <= fit.design.p:
        raise InputError(
            f"{len(names)} clusters for {fit.design.p} coefficients leave no degrees of freedom",
            "more clusters than coefficients",
            'use kind="CR2" with its Satterthwaite degrees of freedom, or a smaller model',
        )
    made = _sandwich(fit, members, kind) if apart else _plain(fit, members, kind)
    found = MultilevelRobustResults(fit, kind, chosen, names, made)
    few = [n for n, df in zip(fit.design.names, found.df, strict=True) if df < FEW_DEGREES]
    if few:
        warnings.warn(
            f"the robust tests of {', '.join(few)} have fewer than {FEW_DEGREES:.0f} degrees of freedom: "
            "their p-values are not to be relied on",
            FewStudiesWarning,
            stacklevel=3,
        )
    return found


def _independent(fit: MultilevelResults, members: Sequence[Index]) -> bool:
    """Say whether every dependent pair of effects is inside one cluster."""
    label = np.empty(fit.k, dtype=np.intp)
    for i, rows in enumerate(members):
        label[rows] = i
    varying = [named.term for named, g in zip(fit.terms, fit.g, strict=True) if g.any()]
    component = dependent_rows(fit.problem.v, varying)
    firsts = np.unique(component, return_index=True)
    first_of = np.zeros(int(component.max()) + 1, dtype=np.intp)
    first_of[firsts[0]] = firsts[1]
    return bool((label == label[first_of[component]]).all())


def _sandwich(fit: MultilevelResults, members: Sequence[Index], kind: str) -> Sandwich:
    residuals = fit.effects.y - fit.problem.x @ fit.beta
    entries = fit.problem.v.tocoo()
    return cluster_sandwich(
        fit.problem.x, residuals, members, lambda rows: covariance_of_clusters(fit, entries, rows), kind
    )


def covariance_of_clusters(fit: MultilevelResults, v: sparse.coo_array, rows: Index) -> Array:
    """Return the model's covariance matrices of clusters of one size, shape (b, n, n).

    Parameters
    ----------
    fit : MultilevelResults
        The fit.
    v : sparse array, shape (K, K)
        Its sampling covariances.
    rows : ndarray of int, shape (b, n)
        Effects of each cluster.
    """
    b, n = rows.shape
    cluster, place = np.full(fit.k, -1), np.zeros(fit.k, dtype=np.intp)
    cluster[rows], place[rows] = np.arange(b)[:, None], np.arange(n)
    here = (cluster[v.row] >= 0) & (cluster[v.row] == cluster[v.col])
    i, j = v.row[here], v.col[here]
    m = np.zeros((b, n, n))
    m[cluster[i], place[i], place[j]] = v.data[here]
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


def _plain(fit: MultilevelResults, members: Sequence[Index], kind: str) -> Sandwich:
    """Return the sandwich where clusters are not independent under the model."""
    x, p = fit.problem.x, fit.design.p
    g, n = len(members), fit.k
    weighted = fit.gls.factor.solve(x) * (fit.effects.y - x @ fit.beta)[:, None]
    scores = np.stack([weighted[rows].sum(axis=0) for rows in members])
    factor = {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": g * (n - 1) / ((g - 1) * (n - p))}
    meat = scores.T @ scores * factor.get(kind, 1.0)
    nothing = np.full((g, p, p), np.nan)
    return Sandwich(fit.cov @ meat @ fit.cov, nothing, nothing)
