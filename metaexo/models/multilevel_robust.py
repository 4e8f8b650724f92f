"""Cluster-robust inference for multilevel fits: only blocks of one cluster are ever dense."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import FewStudiesWarning, InputError, UnknownChoiceError
from metaexo.models.robust import FEW_DEGREES, FREEDOMS, Freedom, RobustResults, split_clusters
from metaexo.models.sandwich import KINDS, Sandwich, cluster_sandwich
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


@dataclass(frozen=True, eq=False)
class LinearSandwich(Sandwich):
    """A sandwich whose degrees of freedom take time and memory linear in the number of clusters."""

    def satterthwaite(self, rows: Array) -> Array:
        """Return the degrees of freedom of each combination, shape (q,)."""
        own = np.einsum("qp,gpr,qr->qg", rows, self.own, rows)
        across = rows @ self.across
        out = np.empty(len(rows))
        for i in range(len(rows)):
            a = across[:, i, :]
            square = (a**2).sum(axis=1)
            spread = ((a.T @ a) ** 2).sum() + (own[i] ** 2 - 2 * own[i] * square).sum()
            out[i] = (own[i] - square).sum() ** 2 / spread
        return out

    def hotelling(self, rows: Array) -> float:
        """Return the degrees of freedom eta of the approximate Hotelling test of several combinations."""
        own, across = rows @ self.own @ rows.T, rows @ self.across
        mean = (own - across @ across.transpose(0, 2, 1)).sum(axis=0)
        values, vectors = np.linalg.eigh(mean)
        if values.min() <= 0:
            return float("nan")
        root = vectors / np.sqrt(values)
        own, across = root.T @ own @ root, root.T @ across
        q, p = across.shape[1:]
        flat = across.reshape(len(across), q * p)
        # sum over g and h of tr(A_g A_h')^2, and of tr(A_g A_h' A_g A_h')
        products = flat.T @ flat
        four = products.reshape(q, p, q, p)
        variance = (products**2).sum() + np.einsum("sptr,tpsr->", four, four)
        inside = across @ across.transpose(0, 2, 1)
        trace_own, trace_inside = np.einsum("gss->g", own), np.einsum("gss->g", inside)
        variance += (trace_own**2 - 2 * trace_own * trace_inside).sum()
        variance += (own**2).sum() - 2 * (own * inside).sum()
        return float(q * (q + 1) / variance)


def robust(
    fit: MultilevelResults,
    cluster: str | Sequence[object] | ArrayLike | None,
    kind: str,
    freedom: Freedom | None,
) -> MultilevelRobustResults:
    """Return a fit with cluster-robust inference; see `MultilevelResults.robust`."""
    if kind not in KINDS:
        raise UnknownChoiceError("kind of robust covariance", kind, KINDS)
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
    working = [covariance_of_rows(fit, rows) for rows in members]
    made = cluster_sandwich(fit.problem.x, residuals, members, working, kind)
    return LinearSandwich(made.cov, made.own, made.across)


def covariance_of_rows(fit: MultilevelResults, rows: Index) -> Array:
    """Return the model's covariance matrix of a few effects, shape (n, n)."""
    m = np.asarray(fit.problem.v[rows][:, rows].toarray())
    for named, g in zip(fit.terms, fit.g, strict=True):
        term = named.term
        level = term.level[rows]
        if term.relation is None:
            shared = (level[:, None] == level).astype(float)
        else:
            shared = term.relation[np.ix_(level, level)]
        weights = np.zeros((rows.size, term.size))
        np.put_along_axis(weights, term.column[rows], term.weight[rows], axis=1)
        m = m + shared * (weights @ g @ weights.T)
    return np.asarray(m)


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
