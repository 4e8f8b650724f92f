r"""Robust variance estimation with variances by moments: correlated or hierarchical effects.

The working covariance matrix of a study with k_j effects is, with correlated effects,
:math:`\bar v_j [(1 - \rho) I + \rho J] + \tau^2 J`, with hierarchical effects
:math:`diag(v) + \tau^2 J + \omega^2 I` (J: all ones). The variances are where the residual sums of squares
of a weighted fit meet their expectations, which are linear in them; the final weights are diagonal,
:math:`1 / [k_j (\bar v_j + \tau^2)]` and :math:`1 / (v_{ij} + \tau^2 + \omega^2)`.

References
----------
Hedges, L. V., Tipton, E., Johnson, M. C. (2010). Robust variance estimation in meta-regression with dependent
effect size estimates. Research Synthesis Methods 1, 39-65. https://doi.org/10.1002/jrsm.5
Tipton, E. (2015). Small sample adjustments for robust variance estimation with meta-regression. Psychological
Methods 20, 375-393. https://doi.org/10.1037/met0000011
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import CorrelationError, InputError, TooFewStudiesError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.design import Design, make_design
from metaexo.models.linear.robust import Freedom, read_freedom, split_clusters
from metaexo.models.multilevel.robust import RobustResults
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import cluster_sandwich
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

WORKING = ("correlated", "hierarchical")


@dataclass(frozen=True, eq=False)
class MomentFit(Immutable):
    """Weighted least squares with a working model whose variances were estimated by moments.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design : Design
        Columns of the linear predictor.
    working : {"correlated", "hierarchical"}
        Working model.
    rho : float or None
        Assumed correlation, of correlated effects.
    tau2 : float
        Variance between studies.
    omega2 : float or None
        Variance within studies, of hierarchical effects.
    i2 : float or None
        Share of the residual sum of squares beyond its expectation without heterogeneity, of correlated
        effects.
    beta : ndarray, shape (p,)
        Coefficients.
    weights : ndarray, shape (k,)
        Weights.
    level : float
        Level of the intervals.
    """

    effects: EffectSizes
    design: Design
    working: str
    rho: float | None
    tau2: float
    omega2: float | None
    i2: float | None
    beta: Array
    weights: Array
    level: float

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k


@dataclass(frozen=True, eq=False, repr=False)
class MomentResults(RobustResults):
    """Coefficients with cluster-robust standard errors.

    Attributes
    ----------
    base : MomentFit
        The working model with its variances, weights and coefficients.
    kind : str
        Adjustment of the covariance matrix.
    freedom : {"satterthwaite", "clusters"}
        Degrees of freedom.
    clusters : tuple of str
        Names of the clusters.
    sandwich : Sandwich
        The covariance matrix and what its degrees of freedom are made of.
    """

    base: Any


def robust_variance(
    es: EffectSizes,
    working: Literal["correlated", "hierarchical"] = "correlated",
    rho: float = 0.8,
    *,
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    kind: str = "CR2",
    freedom: Freedom | None = None,
    level: float = 0.95,
) -> MomentResults:
    """Return coefficients of a meta-regression of dependent effects by robust variance estimation.

    Use it to repeat a published analysis with this older estimator; for a new one
    :func:`metaexo.correlated_effects` estimates the variances by likelihood.

    Parameters
    ----------
    es : EffectSizes
        Effects with their studies.
    working : {"correlated", "hierarchical"}
        Working model: one correlation of the sampling errors of a study, or effects that vary within it.
    rho : float
        Assumed correlation; for correlated effects only.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.RandomEffects`.
    cluster : str or sequence, length k, optional
        What is independent. Default: the study.
    kind : str
        Adjustment: "CR2" for small samples, or "CR1p" (the first proposal).
    freedom : {"satterthwaite", "clusters"}, optional
        Degrees of freedom. Default: by moments for CR2 and CR3.
    level : float
        Level of the intervals.

    Returns
    -------
    MomentResults
        Coefficients, tests and intervals.

    Raises
    ------
    TooFewStudiesError
        If there are not more clusters than coefficients.

    References
    ----------
    Hedges, L. V., Tipton, E., Johnson, M. C. (2010). https://doi.org/10.1002/jrsm.5
    Tipton, E. (2015). https://doi.org/10.1037/met0000011

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> fit = mx.robust_variance(es)
    >>> print(f"{fit.beta[0]:.2f} (SE {fit.se[0]:.2f})")
    0.44 (SE 0.11)
    """
    check_effects(es, "robust_variance")
    check_choice("working model", working, WORKING)
    if not 0 <= check_number("rho", rho) < 1:
        raise CorrelationError(f"rho = {rho!r}", "a correlation from 0 to below 1")
    level = check_level(level)
    chosen = read_freedom(kind, freedom)
    zero = np.flatnonzero(es.v <= 0)
    if zero.size:
        raise InputError(
            "some sampling variances are zero",
            "sampling variances above 0",
            "leave these rows out with EffectSizes.select",
            [es.row_ids[int(i)] for i in zero],
        )
    es.check_index("moderators", moderators)
    design = make_design(moderators, es.k, data=es.data)
    names, members = split_clusters(es, cluster)
    if len(names) <= design.p:
        raise TooFewStudiesError(
            f"{len(names)} clusters for {design.p} coefficients", f"at least {design.p + 1} clusters"
        )
    x = design.matrix(es.k)
    if working == "correlated":
        weights, tau2, i2 = _correlated(x, es, members, rho)
        omega2 = None
    else:
        weights, tau2, omega2 = _hierarchical(x, es, members)
        i2 = None
    beta, residuals = _weighted(x, es.y, weights)
    made = cluster_sandwich(x, residuals, members, [1 / weights[rows] for rows in members], kind)
    shown = rho if working == "correlated" else None
    base = MomentFit(es, design, working, shown, tau2, omega2, i2, beta, weights, level)
    return MomentResults(base, kind, chosen, names, made)


def _weighted(x: Array, y: Array, w: Array) -> tuple[Array, Array]:
    """Return coefficients and residuals of weighted least squares."""
    root = np.sqrt(w)
    beta = np.asarray(np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0], dtype=float)
    return beta, without_rounding(y - x @ beta, y)


class _Forms:
    """Expectations of quadratic forms of the residuals e = (I - XMX'W) y of weighted least squares.

    The covariance matrix of y in a cluster is diag(a) + b J: a value for each row and one for each cluster.
    """

    def __init__(self, x: Array, w: Array, label: Index) -> None:
        size = np.linalg.norm(x, axis=0)
        self.x, self.w, self.label = x / size, w, label
        self.wx = self.x * w[:, None]
        self.m = np.linalg.inv(self.wx.T @ self.x)
        self.count, self.total = self.per_cluster(np.ones(w.size)), self.per_cluster(w)
        self.x_sum = np.stack([self.per_cluster(column) for column in self.x.T], axis=1)
        self.wx_sum = np.stack([self.per_cluster(column) for column in self.wx.T], axis=1)

    def per_cluster(self, values: Array) -> Array:
        """Return sums of values over the rows of each cluster, shape (G,)."""
        return np.asarray(np.bincount(self.label, values), dtype=float)

    def _middle(self, a: Array, b: Array) -> Array:
        """Return X'W S WX."""
        return np.asarray((self.wx * a[:, None]).T @ self.wx + (self.wx_sum * b[:, None]).T @ self.wx_sum)

    def weighted(self, a: Array, b: Array) -> float:
        """Return E(e'We)."""
        return float(self.w @ a + self.total @ b - np.vdot(self.m, self._middle(a, b)))

    def summed(self, a: Array, b: Array) -> float:
        """Return E(sum_j (1'e_j)^2)."""
        spread = self.m @ self._middle(a, b) @ self.m
        ones = np.stack([self.per_cluster(column * a) for column in self.wx.T], axis=1)
        ones += self.wx_sum * (self.count * b)[:, None]  # X_j'W_j S_j 1
        total = float(a.sum() + b @ self.count**2)
        total -= 2 * float(np.einsum("gp,pq,gq->", self.x_sum, self.m, ones))
        return total + float(np.einsum("gp,pq,gq->", self.x_sum, spread, self.x_sum))


def _labels(k: int, members: Sequence[Index]) -> Index:
    """Return the number of the cluster of each row, shape (k,)."""
    label = np.empty(k, dtype=np.intp)
    label[np.concatenate(list(members))] = np.repeat(np.arange(len(members)), [rows.size for rows in members])
    return label


def _correlated(
    x: Array, es: EffectSizes, members: Sequence[Index], rho: float
) -> tuple[Array, float, float]:
    label = _labels(es.k, members)
    size = np.bincount(label)
    mean_v, count = (np.bincount(label, es.v) / size)[label], size[label]
    first = 1 / (count * mean_v)
    _, e = _weighted(x, es.y, first)
    q = float(first @ e**2)
    forms = _Forms(x, first, label)
    expected = forms.weighted((1 - rho) * mean_v, rho * np.bincount(label, mean_v) / size)
    slope = forms.weighted(np.zeros(es.k), np.ones(size.size))
    tau2 = max(0.0, (q - expected) / slope)
    return 1 / (count * (mean_v + tau2)), tau2, max(0.0, (q - expected) / q) if q > 0 else 0.0


def _hierarchical(x: Array, es: EffectSizes, members: Sequence[Index]) -> tuple[Array, float, float]:
    first, label = 1 / es.v, _labels(es.k, members)
    _, e = _weighted(x, es.y, first)
    q = float(first @ e**2)
    q_sum = float((np.bincount(label, e) ** 2).sum())
    forms = _Forms(x, first, label)
    nothing, none = np.zeros(es.k), np.zeros(len(members))
    parts = [(es.v, none), (nothing, np.ones(len(members))), (np.ones(es.k), none)]
    one = [forms.weighted(*part) for part in parts]
    two = [forms.summed(*part) for part in parts]
    tau2, omega2 = np.linalg.solve([one[1:], two[1:]], [q - one[0], q_sum - two[0]])
    if omega2 < 0:
        tau2, omega2 = (q - one[0]) / one[1], 0.0
    if tau2 < 0:
        tau2, omega2 = 0.0, max(0.0, (q - one[0]) / one[2])
    return 1 / (es.v + tau2 + omega2), float(tau2), float(omega2)
