"""How much each study, cluster or effect moves a fit of any family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.inputs import check_flag
from metaexo.models.linear.influence import Influence, chi2_of, flagged, moves
from metaexo.models.linear.results import FitResults
from metaexo.models.multilevel.results import MultilevelResults
from metaexo.models.univariate.residuals import Deletion, delete_each
from metaexo.models.univariate.results import RandomEffectsResults
from metaexo.sensitivity.leave_one_out import clusters_of
from metaexo.sensitivity.refit import checked_fit, covariance_of, quadratic_form
from metaexo.sensitivity.refits import leaving_out, refits_seen
from metaexo.types import Array, Index


def influence(
    fit: FitResults,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    refit: bool = True,
) -> Influence:
    r"""Return measures of the influence of each effect, or of each cluster, on a fit of any family.

    Use it to see whether single studies make the result. From fits of one effect per study an effect is left
    out at a time, in one batched call, each fit with its own between-study variance; from other fits a study.

    With b and b_g the coefficients with and without the rows g, C and C_g their covariances, s_g the
    Knapp-Hartung scale without them (1 for other tests) and :math:`W_g` the weights
    :math:`1 / (v + \tau^2_g)` of all effects,

    .. math::

        D_g = (b - b_g)' C^{-1} (b - b_g), \quad
        \mathrm{COVRATIO}_g = |C_g| / |C|, \quad
        \mathrm{DFBETAS}_{gj} = \frac{b_j - b_{gj}}{\sqrt{s_g [(X'W_gX)^{-1}]_{jj}}}, \quad
        \mathrm{DFFITS}_i = \frac{x_i'(b - b_i)}{\sqrt{s_i h_i (v_i + \tau^2_i)}}.

    With user-supplied weights the variances below the roots are those of these weights; in multilevel models
    they are at the components without the cluster; in other families the standard errors without it.

    The deleted residuals of a cluster, :math:`r_g = y_g - X_g b_g`, have the covariance matrix
    :math:`M_g + X_g C_g X_g'`, with :math:`M_g` that of its effects at the heterogeneity without it. The
    statistic :math:`r_g' (M_g + X_g C_g X_g')^{-1} r_g` is chi-square with as many df as the cluster has
    effects if it is no outlier. Censored evidence has none.

    Parameters
    ----------
    fit : FitResults
        The fit.
    cluster : str or sequence, length k, optional
        What is left out at a time: "study", "effect", a column of the data, or a label for each effect.
        Default: single effects of a fit of RandomEffects, studies of any other.
    refit : bool
        Of a multilevel fit: whether the components are estimated anew without each cluster.

    Returns
    -------
    Influence
        The measures, with `to_frame()`; NaN where the fit without an effect or cluster is not possible.

    Raises
    ------
    InputError
        If `fit` is no fit, its test has no deleted version, or refit=False is given for a fit of one level.

    References
    ----------
    Viechtbauer, W., Cheung, M. W.-L. (2010). Outlier and influence diagnostics for meta-analysis. Research
    Synthesis Methods 1, 112-125. https://doi.org/10.1002/jrsm.11

    Examples
    --------
    >>> import metaexo as mx
    >>> from metaexo.sensitivity import influence
    >>> es = mx.EffectSizes([0.2, 0.3, 0.1, 0.25, 1.4], [0.02, 0.03, 0.02, 0.04, 0.02])
    >>> found = influence(mx.RandomEffects(es).fit())
    >>> found.influential.tolist()
    [False, False, False, False, True]
    >>> print(found.sentence)
    Influential: 5 (1 of 5 effects).
    """
    checked_fit(fit)
    if not check_flag("refit", refit) and not isinstance(fit, MultilevelResults):
        raise InputError(
            "refit=False was given for a fit that is made anew without each effect or cluster",
            "a multilevel fit",
            "fit the effects with mx.Multilevel, or leave refit out",
        )
    if isinstance(fit, MultilevelResults) and fit.robust_covariance is None:
        return fit.influence(cluster, refit)
    if isinstance(fit, RandomEffectsResults):
        plain = fit.robust_covariance is None and fit.test in DELETED_TESTS
        if plain or cluster is None:
            return _of_one_level(fit, "effect" if cluster is None else cluster)
    return _of_refits(fit, "study" if cluster is None else cluster)


DELETED_TESTS = ("z", "t", "knapp-hartung", "knapp-hartung-adhoc")


# -- one effect per study ------------------------------------------------------------------------------------


def _of_one_level(fit: RandomEffectsResults, cluster: Any) -> Influence:
    """Return the influence of effects or clusters, from fits without them in one batched call."""
    labels, members = clusters_of(fit, cluster)
    single = all(rows.size == 1 for rows in members)
    by_effect = isinstance(cluster, str) and cluster == "effect"
    without = fit.deletion if by_effect else delete_each(fit, members)
    x = fit.design.matrix(fit.k)
    sizes = np.array([rows.size for rows in members], dtype=float)
    change = fit.beta - without.beta
    spread = without.scale[:, None, None] * _covariances_at(fit, without.tau2)
    z = without.residual / np.where(without.residual_se > 0, without.residual_se, np.nan)
    z = np.where((without.residual == 0) & (without.residual_se == 0), 0.0, z)
    dffits, statistic = np.full(sizes.size, np.nan), np.full(sizes.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if single:
            rows = np.concatenate(members)
            dffits = np.vecdot(change, x[rows]) / np.sqrt(_fitted_variances(fit, without, spread)[rows])
        dfbetas = change / np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
        ratio = np.linalg.det(without.cov) / np.linalg.det(fit.cov)
    for g, rows in enumerate(members):
        own = np.diag(without.scale[g] * (fit.effects.v[rows] + without.tau2[g]))
        statistic[g] = (
            z[rows[0]] ** 2
            if rows.size == 1
            else quadratic_form(without.residual[rows], own + x[rows] @ without.cov[g] @ x[rows].T)
        )
    cooks = moves(change, fit.cov)
    hat = np.array([fit.hat_values[rows].sum() for rows in members])
    lost = np.isnan(without.tau2)
    reasons = dict.fromkeys(np.flatnonzero(lost).tolist(), NO_FIT)
    return Influence(
        labels=labels,
        names=fit.design.names,
        cluster=cluster if isinstance(cluster, str) else "",
        sizes=sizes,
        rstudent=np.array([z[rows[0]] if rows.size == 1 else np.nan for rows in members]),
        statistic=statistic,
        df=sizes,
        pvalue=chi2_of(statistic, sizes),
        dffits=dffits,
        cooks_distance=cooks,
        covariance_ratio=ratio,
        tau2=without.tau2,
        q=without.q,
        hat=hat,
        weights=np.array([fit.weights[rows].sum() for rows in members]),
        beta=without.beta,
        dfbetas=dfbetas,
        component_names=tuple(fit.tau2_by_component),
        components=without.tau2[:, None],
        influential=flagged(fit.k, cooks, dfbetas, dffits, hat, sizes, lost),
        reasons=reasons,
    )


NO_FIT = "the other effects are too few, or do not determine all coefficients"


def _covariances_at(fit: RandomEffectsResults, tau2: Array) -> Array:
    """Return the unscaled covariance matrix of the coefficients at each tau2, shape (G, p, p)."""
    basis, to_x = fit.batch.basis[0], fit.batch.to_x
    k, p = basis.shape
    pairs = (basis[:, :, None] * basis[:, None, :]).reshape(k, p * p)
    known = np.isfinite(tau2)
    total = fit.effects.v + np.where(known, tau2, 1.0)[:, None]
    if fit.weighting is None:
        inner = np.linalg.inv(((1.0 / total) @ pairs).reshape(-1, p, p))
    else:
        a = fit.weighting
        bread = np.linalg.inv((a @ pairs).reshape(p, p))
        inner = bread @ ((a * a * total) @ pairs).reshape(-1, p, p) @ bread
    return np.where(known[:, None, None], to_x @ inner @ to_x.T, np.nan)


def _fitted_variances(fit: RandomEffectsResults, without: Deletion, spread: Array) -> Array:
    """Return the variance of each fitted value that DFFITS is in units of, shape (k,)."""
    if fit.weighting is None:
        return np.asarray(without.scale * fit.hat_values * (fit.effects.v + without.tau2))
    x = fit.design.matrix(fit.k)
    return np.asarray(np.vecdot((spread @ x[..., None])[..., 0], x))


# -- every family: by refits ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outside:
    """The statistic of the deleted residuals of each cluster, from the fits without it."""

    fit: FitResults
    members: tuple[Index, ...]

    def __call__(self, g: int, found: FitResults) -> float:
        fit, rows, effects = self.fit, self.members[g], self.fit.effects
        covariance = covariance_of(found, fit, rows)
        known = [name in found.design.names for name in fit.design.names]
        x = fit.design.matrix(fit.k)[rows]
        if covariance is None or not isinstance(effects, EffectSizes) or x[:, np.invert(known)].any():
            return float("nan")
        x = x[:, known]
        if not x.any(axis=1).all():  # rows of a stratum without a mean
            return float("nan")
        at = [found.design.names.index(name) for name in np.array(fit.design.names)[known]]
        of_mean = x @ found.cov[np.ix_(at, at)] @ x.T
        return quadratic_form(effects.y[rows] - x @ found.beta[at], covariance + of_mean)


def _of_refits(fit: FitResults, cluster: Any) -> Influence:
    """Return the influence of clusters, from one refit without each."""
    labels, members = clusters_of(fit, cluster)
    look = _Outside(fit, tuple(members))
    without, statistic = refits_seen(fit, leaving_out(members, fit.k), len(members), look)
    sizes = np.array([rows.size for rows in members], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):  # a ratio of counts may be infinite
        change = fit.beta - without.beta
        ratio = np.linalg.det(without.cov) / np.linalg.det(fit.cov)
        dfbetas = change / without.se
    cooks = moves(change, fit.cov)
    lost = np.asarray(np.isnan(without.beta).all(axis=1))
    nothing = np.full(sizes.size, np.nan)
    return Influence(
        labels=labels,
        names=fit.design.names,
        cluster=cluster if isinstance(cluster, str) else "",
        sizes=sizes,
        rstudent=nothing,
        statistic=statistic,
        df=sizes,
        pvalue=chi2_of(statistic, sizes),
        dffits=nothing,
        cooks_distance=cooks,
        covariance_ratio=ratio,
        tau2=without.tau2,
        q=without.q,
        hat=nothing,
        weights=nothing,
        beta=without.beta,
        dfbetas=dfbetas,
        component_names=without.components,
        components=without.tau2_by_component,
        influential=flagged(fit.k, cooks, dfbetas, nothing, nothing, sizes, lost),
        reasons=without.reasons,
    )
