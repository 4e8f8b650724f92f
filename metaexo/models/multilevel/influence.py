"""Residuals of a multilevel fit, and how it changes when clusters are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import ConvergenceError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.numeric.mixed.likelihood import GeneralisedFit, generalised_fit
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.terms import Term
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd


# An effect that alone determines a coefficient is not predicted by the others.
ALONE = 1e-9


@dataclass(frozen=True, eq=False)
class ClusterInfluence(Immutable):
    """How the fit changes when a cluster is left out.

    Attributes
    ----------
    clusters : tuple of str
        What was left out.
    names : tuple of str
        Coefficients.
    cooks_distance : ndarray, shape (G,)
        (b - b_g)' C^-1 (b - b_g), C the covariance matrix of b; NaN where the rest has no fit.
    dfbetas : ndarray, shape (G, p)
        Changes of the coefficients over the standard errors at the components without the cluster.
    beta : ndarray, shape (G, p)
        Coefficients without each cluster.
    components : ndarray, shape (G, n)
        Components without each cluster.
    component_names : tuple of str
        Their names.
    """

    clusters: tuple[str, ...]
    names: tuple[str, ...]
    cooks_distance: Array
    dfbetas: Array
    beta: Array
    components: Array
    component_names: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cluster: cooks_distance, then "dfbetas ..." and the components without it."""
        import pandas as pd

        frame = pd.DataFrame(
            {"cooks_distance": self.cooks_distance}, index=pd.Index(self.clusters, name="cluster")
        )
        for j, name in enumerate(self.names):
            frame[f"dfbetas {name}"] = self.dfbetas[:, j]
        for j, name in enumerate(self.component_names):
            frame[name] = self.components[:, j]
        return frame


KINDS = ("standardized", "studentized", "pearson")


def residuals(fit: MultilevelFit, kind: str) -> pd.DataFrame:
    """Return residuals with standard errors; see `MultilevelResults.residuals`."""
    import pandas as pd

    check_choice("kind of residual", kind, KINDS)
    fitted = fit.problem.x @ fit.beta
    residual = fit.effects.y - fitted
    if kind == "studentized":
        refuse_own_weights(fit, "the studentized residual")
        own = fit.gls.factor.diagonal() - (fit.gls.mx**2).sum(axis=1)
        own = np.where(own > ALONE * fit.gls.factor.diagonal(), own, np.nan)
        residual, variance = fit.gls.r / own, 1 / own
        fitted = fit.effects.y - residual
    else:
        variance = fit.problem.v.diagonal() + sum(
            (term.contributions(g) for term, g in zip(fit.problem.terms, fit.g, strict=True)), np.zeros(fit.k)
        )
        if kind == "standardized":
            of_mean = np.einsum("kp,pq,kq->k", fit.problem.x, fit.model_inference.cov, fit.problem.x)
            own = fit.weighted
            with_fitted = of_mean if own is None else (fit.problem.x.T * own.spread).sum(axis=0)
            variance = variance - 2 * with_fitted + of_mean
    se = np.sqrt(np.maximum(variance, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = residual / se
    return pd.DataFrame(
        {"fitted": fitted, "residual": residual, "se": se, "z": z}, index=list(fit.effects.row_labels)
    )


def loadings(fit: MultilevelFit) -> Array:
    """Return the weight of each effect in each coefficient, shape (p, k)."""
    if fit.weighted is not None:
        return fit.weighted.loadings
    return np.asarray(fit.gls.cov @ fit.gls.factor.solve(fit.problem.x).T)


def diagonal_weights(fit: MultilevelFit) -> Array:
    """Return the diagonal of the weight matrix, scaled to sum to 1, shape (k,)."""
    diagonal = fit.gls.factor.diagonal() if fit.weighting is None else fit.weighting.diagonal()
    return np.asarray(diagonal / diagonal.sum())


def influence(
    fit: MultilevelFit, cluster: str | Sequence[object] | ArrayLike | None, refit: bool
) -> ClusterInfluence:
    """Return the influence of clusters; see `MultilevelResults.influence`."""
    refuse_own_weights(fit, "influence")
    names, members = split_clusters(fit.effects, cluster)
    n, p = len(members), fit.design.p
    beta, dfbetas = np.full((n, p), np.nan), np.full((n, p), np.nan)
    cooks, components = np.full(n, np.nan), np.full((n, len(fit.component_values)), np.nan)
    for i, rows in enumerate(members):
        kept = np.setdiff1d(np.arange(fit.k), rows)
        found = _without(fit, kept, refit)
        if found is None:
            continue
        theta, left = found
        change = fit.beta - left.beta
        beta[i] = left.beta
        cooks[i] = float(change @ np.linalg.solve(fit.model_inference.cov, change))
        everyone = generalised_fit(fit.problem, fit.problem.matrices(theta))
        dfbetas[i] = change / np.sqrt(np.diagonal(everyone.cov))
        parts = fit.problem.split(theta)
        components[i] = np.concatenate(
            [np.empty(0)]
            + [named.term.structure.values(part) for named, part in zip(fit.terms, parts, strict=True)]
        )
    return ClusterInfluence(
        names, fit.design.names, cooks, dfbetas, beta, components, tuple(fit.component_values)
    )


def _without(fit: MultilevelFit, kept: Index, refit: bool) -> tuple[Array, GeneralisedFit] | None:
    """Return parameters and coefficients of the fit of some rows; None if they cannot be fitted."""
    x = fit.problem.x[kept]
    if kept.size <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        return None
    part = subproblem(fit.problem, kept)
    theta = fit.maximum.theta
    if refit and theta.size:
        low, high = part.bounds()
        warm = np.clip(
            np.maximum(theta, np.where(np.isfinite(low), low + 1e-3 * np.abs(theta).max(), low)), None, high
        )
        found = maximise(part, fit.method == "REML", fit.fixed, warm=warm, certify=False)
        if isinstance(found, tuple):
            raise ConvergenceError(
                "the model cannot be fitted without one of the clusters", "refit=False", rows=found
            )
        theta = found.theta
    return theta, generalised_fit(part, part.matrices(theta))


def subproblem(problem: MixedProblem, kept: Index) -> MixedProblem:
    """Return the problem of some of the rows."""
    terms = []
    for term in problem.terms:
        levels, level = np.unique(term.level[kept], return_inverse=True)
        relation = None if term.relation is None else term.relation[np.ix_(levels, levels)]
        terms.append(
            Term(
                np.asarray(level, dtype=np.intp),
                levels.size,
                term.column[kept],
                term.weight[kept],
                term.structure,
                relation,
            )
        )
    return replace(
        problem, y=problem.y[kept], x=problem.x[kept], v=problem.v[kept][:, kept], terms=tuple(terms)
    )
