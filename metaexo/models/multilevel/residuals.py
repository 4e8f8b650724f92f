"""Residuals of a multilevel fit, its fits without one cluster at a time, and the influence of clusters.

With M the covariance matrix of the effects, P = M^-1 - M^-1 X (X'M^-1 X)^-1 X'M^-1 and r = Py, leaving out
the rows S at the same M changes nothing but the coefficients:

    b_S = b - A_S e,  cov(b_S) = cov(b) + A_S (P_SS)^-1 A_S',  A = (X'M^-1 X)^-1 X'M^-1,  e = (P_SS)^-1 r_S,

so that nothing is fitted again. Where the components are estimated anew, each fit starts from those of all
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from metaexo.errors import ConvergenceError, InputError, MetaexoError
from metaexo.inputs import check_choice
from metaexo.models.linear.grouping import split_clusters
from metaexo.models.linear.influence import Influence, chi2_of, flagged, moves
from metaexo.models.multilevel.batched import groups_differ, is_batched
from metaexo.models.multilevel.covariance import at_rows
from metaexo.models.multilevel.fit import MultilevelFit, covariance_of_rows
from metaexo.models.multilevel.multivariate_moments import METHODS as MOMENTS
from metaexo.models.multilevel.multivariate_moments import by_moments
from metaexo.models.multilevel.weights import weighted_coefficients
from metaexo.numeric.mixed.deletions import maximise_without
from metaexo.numeric.mixed.likelihood import GeneralisedFit, generalised_fit
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.terms import Term
from metaexo.numeric.problem import CHUNK_ELEMENTS, without_rounding
from metaexo.numeric.tails import chi2_tail
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd
    from scipy import sparse

KINDS = ("standardized", "studentized", "conditional", "pearson", "cholesky")
OF_CLUSTERS = ("standardized", "studentized")
# Effects whose residuals vary by no more than this share of their variance alone determine a coefficient.
ALONE = 1e-9


def marginal_covariance(fit: MultilevelFit, rows: Index | None = None) -> Array:
    """Return the covariance matrix of some effects under the model, all by default."""
    chosen = np.arange(fit.k) if rows is None else rows
    return np.asarray(covariance_of_rows(fit.problem, fit.g, fit.problem.v.tocoo(), chosen[None])[0])


def residual_covariance(fit: MultilevelFit, rows: Index | None = None) -> Array:
    """Return the covariance matrix of the raw residuals of some effects, (I - H) M (I - H)'."""
    chosen = np.arange(fit.k) if rows is None else rows
    x = fit.problem.x[chosen]
    of_mean = x @ fit.model_inference.cov @ x.T
    out = marginal_covariance(fit, chosen)
    if fit.weighted is None:
        return np.asarray(out - x @ fit.gls.cov @ x.T)
    both = x @ fit.weighted.spread[:, chosen]
    return np.asarray(out - both - both.T + of_mean)


# -- residuals by row and by cluster -------------------------------------------------------------------------


def residuals(
    fit: MultilevelFit, kind: str, cluster: str | Sequence[object] | ArrayLike | None, refit: bool
) -> pd.DataFrame:
    """Return residuals with standard errors; see `MultilevelResults.residuals`."""
    import pandas as pd

    check_choice("kind of residual", kind, KINDS)
    if kind != "studentized" and cluster is not None:
        raise InputError(
            f"cluster was given for {kind} residuals, of which each is by itself",
            'kind="studentized", for which the effects of a cluster are left out together',
            "leave cluster out; tests by cluster are in cluster_residuals()",
        )
    residual = fit.effects.y - fit.problem.x @ fit.beta
    if kind == "studentized":
        without = delete_each(fit, "effect" if cluster is None else cluster, refit)
        residual, se = without.residual, without.residual_se
    elif kind == "conditional":
        refuse_own_weights(fit, "the conditional residual")
        own = fit.gls.factor.diagonal() - (fit.gls.mx**2).sum(axis=1)
        own = np.where(own > ALONE * fit.gls.factor.diagonal(), own, np.nan)
        residual, se = fit.gls.r / own, np.sqrt(1 / own)
    elif kind == "cholesky":
        residual, se = _given_later_rows(fit, without_rounding(residual, fit.effects.y))
    else:
        se = np.sqrt(np.maximum(_variances(fit, kind), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = residual / se
    return pd.DataFrame(
        {"fitted": fit.effects.y - residual, "residual": residual, "se": se, "z": z},
        index=list(fit.effects.row_labels),
    )


def _variances(fit: MultilevelFit, kind: str) -> Array:
    """Return the variances of the effects, or of the raw residuals, shape (k,)."""
    x = fit.problem.x
    variance = fit.problem.v.diagonal() + sum(
        (term.contributions(g) for term, g in zip(fit.problem.terms, fit.g, strict=True)), np.zeros(fit.k)
    )
    if kind == "pearson":
        return np.asarray(variance)
    of_mean = np.vecdot(x @ fit.model_inference.cov, x)
    own = fit.weighted
    with_fitted = np.vecdot(x @ fit.gls.cov, x) if own is None else (x.T * own.spread).sum(axis=0)
    return np.asarray(variance - 2 * with_fitted + of_mean)


def _given_later_rows(fit: MultilevelFit, residual: Array) -> tuple[Array, Array]:
    """Return residuals minus what the later rows say of them, and their standard deviations, shapes (k,).

    They are uncorrelated under the model. M = U U' with U upper triangular: U is the Cholesky factor of M
    with its rows in reverse order.
    """
    out, sd = residual.copy(), np.empty(fit.k)
    label = dependent_rows(fit.problem.v, fit.problem.terms)
    order = np.argsort(label, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        backwards = rows[::-1]
        try:
            lower = np.linalg.cholesky(marginal_covariance(fit, backwards))
        except np.linalg.LinAlgError:
            raise InputError(
                "the covariance matrix of the effects is singular: some are known from others without error",
                'another kind of residual, such as "standardized"',
            ) from None
        sd[backwards] = np.diagonal(lower)
        out[backwards] = sd[backwards] * solve_triangular(lower, residual[backwards], lower=True)
    return out, sd


def cluster_residuals(
    fit: MultilevelFit, cluster: str | Sequence[object] | ArrayLike | None, kind: str, refit: bool
) -> pd.DataFrame:
    """Return tests of the residuals of each cluster; see `MultilevelResults.cluster_residuals`."""
    import pandas as pd

    check_choice("kind of residual", kind, OF_CLUSTERS)
    if kind == "studentized":
        without = delete_each(fit, cluster, refit)
        names, members, statistic = without.clusters, without.members, without.statistic
    else:
        names, split = split_clusters(fit.effects, cluster)
        members = tuple(split)
        residual = fit.effects.y - fit.problem.x @ fit.beta
        scale = _variances(fit, "pearson")
        statistic = np.array(
            [_form(residual[rows], residual_covariance(fit, rows), scale[rows]) for rows in members]
        )
    size = np.array([rows.size for rows in members])
    return pd.DataFrame(
        {"effects": size, "statistic": statistic, "df": size, "pvalue": chi2_tail(statistic, size)},
        index=pd.Index(names, name="cluster"),
    )


def _form(residual: Array, covariance: Array, scale: Array) -> float:
    """Return residual' covariance^-1 residual; NaN where the covariance matrix is singular."""
    size = np.sqrt(scale)
    try:
        values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    except np.linalg.LinAlgError:
        return float("nan")
    if not values[0] > ALONE:
        return float("nan")
    return float((((residual / size) @ vectors) ** 2 / values).sum())


# -- fits without a cluster ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deletion:
    """Fits without one cluster at a time; NaN where the rest cannot be fitted."""

    clusters: tuple[str, ...]
    members: tuple[Index, ...]  # rows of each cluster
    theta: Array  # parameters without each cluster, shape (G, n)
    beta: Array  # coefficients without it, shape (G, p)
    cov: Array  # their covariance matrix, shape (G, p, p)
    residual: Array  # effects minus their prediction from the other clusters, shape (k,)
    residual_se: Array  # their standard errors, shape (k,)
    statistic: Array  # the residuals of a cluster taken together: chi-square with as many df, shape (G,)
    reasons: tuple[str, ...]  # why there is no fit without a cluster; empty where there is one


def delete_each(
    fit: MultilevelFit, cluster: str | Sequence[object] | ArrayLike | None, refit: bool
) -> Deletion:
    """Return the fits without one cluster at a time, with components estimated anew or as they are."""
    names, members = split_clusters(fit.effects, cluster)
    if fit.robust_covariance is not None:
        raise InputError(
            "deletion diagnostics rest on the covariance matrix of the model, and the fit has a robust one",
            "a fit before robust()",
            "take the diagnostics from the fit that robust() was asked of",
        )
    if len(members) < 2:
        raise InputError(
            "all effects are in one cluster: nothing is left without it",
            "at least two clusters",
            'give a finer cluster=; cluster="effect" leaves out single effects',
        )
    g, n, p = len(members), fit.maximum.theta.size, fit.design.p
    theta, beta, cov = np.full((g, n), np.nan), np.full((g, p), np.nan), np.full((g, p, p), np.nan)
    anew = refit and n > len(fit.fixed)
    reasons: list[str] = [""] * g
    if fit.weighting is None and not anew:
        theta[:] = fit.maximum.theta
        reasons = _change_coefficients(fit, members, beta, cov)
    else:
        alone = np.arange(g)
        if anew and is_batched(fit):
            found = maximise_without(fit.problem, members, fit.method == "REML", fit.maximum.theta, fit.fixed)
            theta, beta, cov, alone = found.theta, found.beta, found.cov, np.flatnonzero(~found.found)
        for i in alone:
            reasons[i] = _fit_others(fit, members[i], refit, theta[i], beta[i], cov[i])
    residual, se, statistic = _outside(fit, members, theta, beta, cov, anew)
    return Deletion(names, tuple(members), theta, beta, cov, residual, se, statistic, tuple(reasons))


NO_COEFFICIENT = "the other effects do not determine all coefficients"
NOT_SEPARABLE = "the other effects do not tell all variance components apart"


def _fit_others(fit: MultilevelFit, rows: Index, refit: bool, theta: Array, beta: Array, cov: Array) -> str:
    """Write the fit of the other rows into three arrays; return why there is none, or nothing."""
    kept = np.setdiff1d(np.arange(fit.k), rows)
    if refit and not groups_differ(fit, kept):
        return NOT_SEPARABLE
    try:
        found = _fit_rows(fit, kept, refit)
    except MetaexoError as error:
        return error.given
    if found is None:
        return NO_COEFFICIENT
    theta[:], left = found
    beta[:], cov[:] = left.beta, left.cov
    if fit.weighting is not None:
        part = subproblem(fit.problem, kept)
        own = weighted_coefficients(part, part.matrices(theta), at_rows(fit.weighting, kept))
        beta[:], cov[:] = own.beta, own.cov
    return ""


def _fit_rows(fit: MultilevelFit, kept: Index, refit: bool) -> tuple[Array, GeneralisedFit] | None:
    """Return parameters and coefficients of the fit of some rows; None if they cannot be fitted."""
    x = fit.problem.x[kept]
    if kept.size <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        return None
    part = subproblem(fit.problem, kept)
    theta = fit.maximum.theta
    if refit and fit.method in MOMENTS:
        theta = by_moments(part, fit.method).theta
    elif refit and theta.size:
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


def _change_coefficients(fit: MultilevelFit, members: Sequence[Index], beta: Array, cov: Array) -> list[str]:
    """Write the coefficients without each cluster, and their covariances, at the components of the fit."""
    gls, loadings = fit.gls, fit.loadings
    reasons = []
    for i, (rows, inverse) in enumerate(zip(members, _inverse_blocks(gls, members), strict=True)):
        inner = inverse - gls.mx[rows] @ gls.mx[rows].T
        size = np.sqrt(np.diagonal(inverse))
        values, vectors = np.linalg.eigh(inner / np.outer(size, size))
        if not values[0] > ALONE:
            reasons.append(NO_COEFFICIENT)
            continue
        turned = (loadings[:, rows] / size) @ vectors  # A_S (P_SS)^-1 A_S' from its eigenvectors
        beta[i] = gls.beta - (turned / values) @ (vectors.T @ (gls.r[rows] / size))
        cov[i] = gls.cov + (turned / values) @ turned.T
        reasons.append("")
    return reasons


def _inverse_blocks(gls: GeneralisedFit, members: Sequence[Index]) -> list[Array]:
    """Return the blocks of M^-1 of the rows of each cluster."""
    k = gls.r.size
    if all(rows.size == 1 for rows in members):
        diagonal = gls.factor.diagonal()
        return [np.array([[diagonal[rows[0]]]]) for rows in members]
    out: list[Array] = []
    chunk: list[Index] = []
    for i, rows in enumerate(members):
        chunk.append(rows)
        if i + 1 == len(members) or k * sum(map(len, chunk)) > CHUNK_ELEMENTS:
            together = np.concatenate(chunk)
            units = np.zeros((k, together.size))
            units[together, np.arange(together.size)] = 1.0
            solved = gls.factor.solve(units)
            ends = np.cumsum([len(part) for part in chunk])
            out += [solved[part, end - len(part) : end] for part, end in zip(chunk, ends, strict=True)]
            chunk = []
    return out


def _outside(
    fit: MultilevelFit, members: Sequence[Index], theta: Array, beta: Array, cov: Array, anew: bool
) -> tuple[Array, Array, Array]:
    """Return effects minus their predictions from the other clusters, standard errors, and joint statistics.

    The variance is that of the effects plus that of the prediction: exact for independent clusters.
    """
    residual, se = np.full(fit.k, np.nan), np.full(fit.k, np.nan)
    statistic = np.full(len(members), np.nan)
    entries: sparse.coo_array = fit.problem.v.tocoo()
    for i, rows in enumerate(members):
        if np.isnan(beta[i]).any():
            continue
        g = fit.problem.matrices(theta[i]) if anew else fit.g
        x = fit.problem.x[rows]
        m = covariance_of_rows(fit.problem, g, entries, rows[None])[0]
        total = m + x @ cov[i] @ x.T
        residual[rows] = fit.effects.y[rows] - x @ beta[i]
        se[rows] = np.sqrt(np.diagonal(total))
        statistic[i] = _form(residual[rows], total, np.diagonal(total))
    return residual, se, statistic


# -- influence -----------------------------------------------------------------------------------------------


def influence(
    fit: MultilevelFit, cluster: str | Sequence[object] | ArrayLike | None, refit: bool
) -> Influence:
    """Return the influence of clusters; see `MultilevelResults.influence`."""
    without = delete_each(fit, cluster, refit)
    members = without.members
    sizes = np.array([rows.size for rows in members], dtype=float)
    change = fit.beta - without.beta
    cooks = moves(change, fit.model_inference.cov)
    spread, tau2 = np.full(change.shape, np.nan), np.full(sizes.size, np.nan)
    components = np.full((sizes.size, len(fit.component_values)), np.nan)
    for i in np.flatnonzero(np.isfinite(without.beta).all(axis=1)):
        theta = without.theta[i]
        spread[i] = np.diagonal(_coefficient_covariance(fit, fit.problem, theta))
        parts = fit.problem.split(theta)
        components[i] = np.concatenate(
            [np.empty(0)]
            + [named.term.structure.values(part) for named, part in zip(fit.terms, parts, strict=True)]
        )
        of_terms = zip(fit.problem.terms, fit.problem.matrices(theta), strict=True)
        tau2[i] = sum(float(np.delete(term.contributions(g), members[i]).mean()) for term, g in of_terms)
    dfbetas, lost = change / np.sqrt(spread), np.asarray(np.isnan(without.beta).any(axis=1))
    hat = np.array([fit.hat_values[rows].sum() for rows in members])
    z = np.array([without.residual[rows[0]] / without.residual_se[rows[0]] for rows in members])
    shares = fit.loadings[0] if fit.design.x is None else fit.diagonal_weights
    nothing = np.full(sizes.size, np.nan)
    with np.errstate(invalid="ignore"):
        ratio = np.linalg.det(without.cov) / np.linalg.det(fit.model_inference.cov)
    return Influence(
        labels=without.clusters,
        names=fit.design.names,
        cluster="study" if cluster is None else cluster if isinstance(cluster, str) else "",
        sizes=sizes,
        rstudent=np.where(sizes == 1, z, np.nan),
        statistic=without.statistic,
        df=sizes,
        pvalue=chi2_of(without.statistic, sizes),
        dffits=nothing,
        cooks_distance=cooks,
        covariance_ratio=ratio,
        tau2=tau2,
        q=np.where(lost, np.nan, _q_without(fit, members)),
        hat=hat,
        weights=np.array([shares[rows].sum() for rows in members]),
        beta=without.beta,
        dfbetas=dfbetas,
        component_names=tuple(fit.component_values),
        components=components,
        influential=flagged(fit.k, cooks, dfbetas, nothing, hat, sizes, lost),
        reasons={i: why for i, why in enumerate(without.reasons) if why},
    )


def _q_without(fit: MultilevelFit, members: Sequence[Index]) -> Array:
    """Return Cochran's Q without each cluster: Q - r_S' (P_SS)^-1 r_S with V alone in the place of M."""
    plain, out = fit.sampling_only, np.full(len(members), np.nan)
    if plain is None:
        return out
    for i, (rows, inverse) in enumerate(zip(members, _inverse_blocks(plain, members), strict=True)):
        inner = inverse - plain.mx[rows] @ plain.mx[rows].T
        out[i] = plain.q - _form(plain.r[rows], inner, np.diagonal(inverse))
    return np.where(out < 0, 0.0, out)


def _coefficient_covariance(fit: MultilevelFit, problem: MixedProblem, theta: Array) -> Array:
    """Return the covariance matrix of the coefficients of all effects at given parameters."""
    if np.array_equal(theta, fit.maximum.theta):
        return fit.model_inference.cov
    g = problem.matrices(theta)
    if fit.weighting is not None:
        return weighted_coefficients(problem, g, fit.weighting).cov
    return generalised_fit(problem, g).cov


def predicted_effects(fit: MultilevelFit) -> tuple[Array, Array]:
    """Return predictions of the true effects, y - V P y, and their error variances, those of V - V P V."""
    refuse_own_weights(fit, "the prediction of true effects")
    v = fit.problem.v
    error = np.empty(fit.k)
    rows = max(1, CHUNK_ELEMENTS // fit.k)
    for begin in range(0, fit.k, rows):
        part = v[:, begin : begin + rows].toarray()
        error[begin : begin + rows] = (part * fit.gls.project(part)).sum(axis=0)
    return fit.effects.y - v @ fit.gls.r, np.maximum(v.diagonal() - error, 0.0)
