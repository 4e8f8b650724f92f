r"""Robust variance estimation with variances by moments: correlated or hierarchical effects.

The working covariance matrix of a study with k_j effects is, with correlated effects,
:math:`\bar v_j [(1 - \rho) I + \rho J] + \tau^2 J`, with hierarchical effects
:math:`diag(v) + \tau^2 J + \omega^2 I` (J: all ones). The variances are where the residual sums of squares
of a weighted fit meet their expectations, which are linear in them; the final weights are diagonal,
:math:`1 / [k_j (\bar v_j + \tau^2)]` and :math:`1 / (v_{ij} + \tau^2 + \omega^2)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import check_effects
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import CorrelationError, InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import number, plural
from metaexo.inputs import check_choice, check_level, check_number
from metaexo.models.linear.design import MISSING, Design, make_design, without_missing
from metaexo.models.linear.grouping import cluster_labels, split_clusters
from metaexo.models.linear.hypothesis import DfRule, RobustCovariance, TestResult, WaldInference, make_test
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.moments import Moments, moments
from metaexo.numeric.problem import make_batch, without_rounding
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

WORKING = ("correlated", "hierarchical")
# Equations for two variances whose determinant is smaller, as a share of its parts, are one equation.
ALIKE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class MomentResults(FitResults):
    """Robust variance estimation: coefficients with cluster-robust standard errors.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design : Design
        Columns of the linear predictor.
    working : {"correlated", "hierarchical"}
        Working model.
    correlation : float or None
        Assumed correlation, of correlated effects.
    variances : dict of str to float
        Variance between studies and, of hierarchical effects, within them.
    excess : float or None
        Share of the residual sum of squares beyond its expectation without heterogeneity, of correlated
        effects: their I2.
    members : tuple of ndarray
        Rows of each cluster of the working model.
    beta_hat : ndarray, shape (p,)
        Coefficients.
    weighting : ndarray, shape (k,)
        Weights of the working model.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    method, test : str
        "moments" and "t".
    robust_covariance : RobustCovariance or None
        Cluster-robust inference, which all results of :func:`metaexo.robust_variance` have.
    """

    effects: EffectSizes
    design: Design
    working: str
    correlation: float | None
    variances: Mapping[str, float]
    excess: float | None
    members: tuple[Index, ...]
    beta_hat: Array
    weighting: Array
    level: float
    method: str = "moments"
    test: str = "t"
    robust_covariance: RobustCovariance | None = None

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return self.beta_hat

    @property
    def model_inference(self) -> WaldInference:
        """Covariance matrix and tests if the working model were true, (X'WX)^-1; results are robust."""
        x = self.design.matrix(self.k)
        cov = np.asarray(np.linalg.inv((x.T * self.weighting) @ x), dtype=float)
        return WaldInference(cov, float(self.df_residual))

    @property
    def has_likelihood(self) -> bool:
        """Whether the model has a likelihood: a working model by moments has none."""
        return False

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Variance between studies and, of hierarchical effects, within them."""
        return self.variances

    @cached_property
    def _at_zero(self) -> Moments:
        return moments(make_batch(self.effects.y, self.effects.v, self.design.x), 0.0)

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical effect, (k - p) / trace(P) with independent sampling errors."""
        return float(self.df_residual / self._at_zero.trace_p)

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is heterogeneity, a fraction.

        For correlated effects the share of the residual sum of squares beyond its expectation; for
        hierarchical ones tau2 over the sum of tau2 and a typical sampling variance.
        """
        return super().i2 if self.excess is None else self.excess

    @property
    def h2(self) -> float:
        """Total over sampling variability, 1 / (1 - I2)."""
        return super().h2 if self.excess is None else 1 / (1 - self.excess) if self.excess < 1 else math.inf

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Return the cluster-robust covariance matrix for the rows of each cluster."""
        x, w = self.design.matrix(self.k), self.weighting
        residuals = without_rounding(self.effects.y - x @ self.beta, self.effects.y)
        return cluster_sandwich(x, residuals, members, [1 / w[rows] for rows in members], kind)

    @property
    def q(self) -> TestResult:
        """Cochran's Q test of heterogeneity; NaN for correlated effects, for which it is not a test."""
        null = self.homogeneity_words("effects")
        if self.working == "correlated":
            why = f"{null}; not testable, the sampling errors are taken to be correlated"
            return TestResult(np.nan, "chi2", (float(self.df_residual),), np.nan, why)
        return make_test(float(self._at_zero.y_p_y), "chi2", (self.df_residual,), null)

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return a residual per effect: columns fitted, residual, its standard error se, and their ratio z.

        Parameters
        ----------
        kind : {"standardized", "pearson"}
            What the standard error is, under the working model. "standardized": that of the residual, which
            allows for the estimation of the coefficients. "pearson": the standard deviation of the effect.
        """
        import pandas as pd

        check_choice("kind of residual", kind, ("standardized", "pearson"))
        x = self.design.matrix(self.k)
        fitted = x @ self.beta
        residual, variance = self.effects.y - fitted, self.effects.v + self.tau2
        if kind == "standardized":
            variance = self._variance_of_residuals(x, variance)
        se = np.sqrt(np.maximum(variance, 0.0))
        return pd.DataFrame(
            {"fitted": fitted, "residual": residual, "se": se, "z": residual / se},
            index=list(self.effects.row_labels),
        )

    def _variance_of_residuals(self, x: Array, total: Array) -> Array:
        """Return the diagonal of (I - H) S (I - H)', with S of the working model and H = X(X'WX)^-1 X'W."""
        wx, between = x * self.weighting[:, None], self.variances["between studies"]
        wxs = wx * total[:, None]  # S W X
        for rows in self.members:
            sd = np.sqrt((self.correlation or 0.0) * self.effects.v[rows])
            together = np.outer(sd, sd) + between
            np.fill_diagonal(together, 0.0)
            wxs[rows] += together @ wx[rows]
        loading = x @ np.linalg.inv(wx.T @ x)
        return np.asarray(total - 2 * np.vecdot(loading, wxs) + np.vecdot(loading @ (wx.T @ wxs), loading))

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Refuse: this estimator has weights, and no model that would predict random effects."""
        raise InputError(
            "robust variance estimation by moments predicts no random effects",
            "a fit by likelihood",
            "use metaexo.correlated_effects(...).fit().random_effects()",
        )

    def facts(self) -> dict[str, Any]:
        """Return by name what only this estimator knows: its working model."""
        return super().facts() | {"working": self.working, "correlation": self.correlation}

    def family_lines(self) -> FamilyLines:
        """Return the working model in words."""
        model = f"working model: {self.working} effects"
        assumed = "" if self.correlation is None else f", assumed correlation {number(self.correlation, 2)}"
        return FamilyLines(
            model="Robust variance estimation",
            tests="t distribution",
            fitted=(model + assumed, "variances by moments"),
        )


def robust_variance(
    effects: EffectSizes,
    working: Literal["correlated", "hierarchical"] = "correlated",
    correlation: float = 0.8,
    *,
    moderators: str | ArrayLike | pd.DataFrame | None = None,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    kind: str = "CR2",
    df: DfRule | None = None,
    level: float = 0.95,
    missing: Literal["raise", "drop"] = "raise",
) -> MomentResults:
    """Return coefficients of a meta-regression of dependent effects by robust variance estimation.

    Use it to repeat a published analysis with this older estimator; for a new one
    :func:`metaexo.correlated_effects` estimates the variances by likelihood.

    Parameters
    ----------
    effects : EffectSizes
        Effects with their studies.
    working : {"correlated", "hierarchical"}
        Working model: one correlation of the sampling errors of a study, or effects that vary within it.
    correlation : float
        Assumed correlation; for correlated effects only.
    moderators : str, array_like or DataFrame, optional
        As in :class:`metaexo.RandomEffects`.
    cluster : str or sequence, length k, optional
        What is independent. Default: the study.
    kind : str
        Adjustment: "CR2" for small samples, or "CR1p" (the first proposal).
    df : {"satterthwaite", "clusters"}, optional
        Degrees of freedom. Default: by moments for CR2 and CR3.
    level : float
        Level of the intervals.
    missing : {"raise", "drop"}
        What to do with rows in which a moderator is missing; as in :class:`metaexo.Multilevel`. A sequence of
        clusters is given for all rows.

    Returns
    -------
    MomentResults
        Coefficients, tests and intervals.

    Raises
    ------
    TooFewStudiesError
        If there are not more clusters than coefficients.

    Warns
    -----
    RowsLeftOutWarning
        If rows were left out because `missing` is "drop".

    References
    ----------
    Hedges, L. V., Tipton, E., Johnson, M. C. (2010). Robust variance estimation in meta-regression with
    dependent effect size estimates. Research Synthesis Methods 1, 39-65. https://doi.org/10.1002/jrsm.5
    Tipton, E. (2015). Small sample adjustments for robust variance estimation with meta-regression.
    Psychological Methods 20, 375-393. https://doi.org/10.1037/met0000011

    Examples
    --------
    >>> import metaexo as mx
    >>> y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]
    >>> es = mx.EffectSizes(y, [0.02, 0.03, 0.04] * 4, study=list("aabbccddeeff"))
    >>> fit = mx.robust_variance(es)
    >>> print(f"{fit.beta[0]:.2f} (SE {fit.se[0]:.2f})")
    0.44 (SE 0.11)
    """
    check_effects(effects, "mx.robust_variance")
    check_choice("working model", working, WORKING)
    if not 0 <= check_number("correlation", correlation) < 1:
        raise CorrelationError(f"correlation = {correlation!r}", "a correlation from 0 to below 1")
    check_choice("missing", missing, MISSING)
    level = check_level(level)
    effects.check_index("moderators", moderators)
    if missing == "drop":
        labels = None if isinstance(cluster, str | None) else cluster_labels(effects, cluster)
        effects, (moderators,), keep = without_missing(effects, moderators)
        cluster = cluster if labels is None else [labels[i] for i in np.flatnonzero(keep)]
    zero = np.flatnonzero(effects.v <= 0)
    if zero.size:
        raise InputError(
            f"{plural(zero.size, 'sampling variance is', 'sampling variances are')} zero",
            "sampling variances above 0",
            "look these rows up in the source, or leave them out with EffectSizes.select",
            [effects.row_ids[int(i)] for i in zero],
        )
    rows = None if effects.ledger is None else effects.row_ids
    design = make_design(moderators, effects.k, data=effects.data, rows=rows, can_drop=True)
    members = split_clusters(effects, cluster)[1]
    assumed = correlation if working == "correlated" else None
    return working_fit(effects, design, members, working, assumed, level).robust(cluster, kind, df)


def working_fit(
    effects: EffectSizes,
    design: Design,
    members: Sequence[Index],
    working: str,
    correlation: float | None,
    level: float,
) -> MomentResults:
    """Return the fit by the working model of clusters with these rows, before it is robust."""
    if len(members) <= design.p:
        raise TooFewStudiesError(
            f"{plural(len(members), 'cluster')} for {plural(design.p, 'coefficient')}",
            f"at least {design.p + 1} clusters",
            "use fewer levels or moderators, or a finer cluster="
            if design.p > 1
            else "give a finer cluster=, if its members are independent; or describe the one by itself",
        )
    x = design.matrix(effects.k)
    excess = None
    if correlation is not None:
        weights, tau2, excess = _correlated(x, effects, members, correlation)
        variances = {"between studies": tau2}
    else:
        weights, tau2, omega2 = _hierarchical(x, effects, members)
        variances = {"between studies": tau2, "within studies": omega2}
    return MomentResults(
        effects=effects,
        design=design,
        working=working,
        correlation=correlation,
        variances=variances,
        excess=excess,
        members=tuple(members),
        beta_hat=_weighted(x, effects.y, weights)[0],
        weighting=weights,
        level=level,
    )


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
    x: Array, es: EffectSizes, members: Sequence[Index], correlation: float
) -> tuple[Array, float, float]:
    label = _labels(es.k, members)
    size = np.bincount(label)
    mean_v, count = (np.bincount(label, es.v) / size)[label], size[label]
    first = 1 / (count * mean_v)
    _, e = _weighted(x, es.y, first)
    q = float(first @ e**2)
    forms = _Forms(x, first, label)
    expected = forms.weighted((1 - correlation) * mean_v, correlation * np.bincount(label, mean_v) / size)
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
    apart = one[1] * two[2] - one[2] * two[1]
    if abs(apart) <= ALIKE * (abs(one[1] * two[2]) + abs(one[2] * two[1])):
        raise NotIdentifiableError(
            "the variances between and within clusters are not separately estimable: too few clusters hold "
            "several effects",
            "clusters of several effects, beyond what the coefficients use up",
            'use working="correlated"',
        )
    tau2, omega2 = np.linalg.solve([one[1:], two[1:]], [q - one[0], q_sum - two[0]])
    if omega2 < 0:
        tau2, omega2 = (q - one[0]) / one[1], 0.0
    if tau2 < 0:
        tau2, omega2 = 0.0, max(0.0, (q - one[0]) / one[2])
    return 1 / (es.v + tau2 + omega2), float(tau2), float(omega2)
