"""MultilevelFit: the record of a multilevel fit, and the numbers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
from scipy import sparse

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.immutable import frozen
from metaexo.inputs import check_choice, check_flag
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearFit
from metaexo.models.linear.fit_statistics import FitStatistics, statistics_at
from metaexo.models.linear.hypothesis import DfRule, RobustCovariance, TestResult, WaldInference, make_test
from metaexo.models.multilevel.terms import NamedTerm
from metaexo.models.multilevel.weights import WeightedCoefficients, weighted_coefficients
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.mixed.likelihood import GeneralisedFit, generalised_fit
from metaexo.numeric.mixed.maximum import MixedMaximum
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.types import Array, Index


@dataclass(frozen=True, eq=False, kw_only=True)
class ContainmentInference(WaldInference):
    """Tests with degrees of freedom for each coefficient; a combination has the fewest of its own."""

    by_coefficient: Array

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, shape (q, p)."""
        df = self.by_coefficient
        return np.array([df[np.flatnonzero(row)].min() if row.any() else np.nan for row in rows])


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelFit(LinearFit):
    """A fitted multilevel model; `MultilevelResults` describes the fields."""

    effects: EffectSizes
    design: Design
    terms: tuple[NamedTerm, ...]
    problem: MixedProblem
    maximum: MixedMaximum
    fixed: Mapping[int, float]
    method: str
    test: str
    level: float
    weighting: sparse.csr_array | None = None
    robust_covariance: RobustCovariance | None = None

    # -- coefficients ------------------------------------------------------------------------------------

    @cached_property
    def gls(self) -> GeneralisedFit:
        """Generalised least squares at the estimated components."""
        found = generalised_fit(self.problem, self.problem.matrices(self.maximum.theta))
        for values in (found.beta, found.cov, found.mx, found.r):
            values.flags.writeable = False
        return found

    @cached_property
    def weighted(self) -> WeightedCoefficients | None:
        """Coefficients with user-supplied weights; None without such weights."""
        return None if self.weighting is None else weighted_coefficients(self.problem, self.g, self.weighting)

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return self.gls.beta if self.weighted is None else self.weighted.beta

    @cached_property
    def loadings(self) -> Array:
        """Weight of each effect in each coefficient, shape (p, k)."""
        if self.weighted is not None:
            return self.weighted.loadings
        return frozen(np.asarray(self.gls.cov @ self.gls.factor.solve(self.problem.x).T))

    @cached_property
    def diagonal_weights(self) -> Array:
        """Share of each effect in the diagonal of the weight matrix, shape (k,)."""
        diagonal = self.gls.factor.diagonal() if self.weighting is None else self.weighting.diagonal()
        return frozen(np.asarray(diagonal / diagonal.sum()))

    @cached_property
    def hat_values(self) -> Array:
        """Leverage of each effect, the diagonal of the hat matrix, shape (k,)."""
        return frozen((self.problem.x.T * self.loadings).sum(axis=0))

    @cached_property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests by the model."""
        cov = self.gls.cov if self.weighted is None else self.weighted.cov
        if self.test == "t-containment":
            df = self._containment
            return ContainmentInference(cov, float(df[self.design.tested].min()), by_coefficient=df)
        return WaldInference(cov, float(self.df_residual) if self.test == "t" else None)

    @property
    def _containment(self) -> Array:
        """Degrees of freedom of each coefficient by the levels between which its column varies."""
        x = self.design.matrix(self.k)
        df = np.full(self.design.p, float(self.df_residual))
        for named in self.terms:
            level = named.term.level
            firsts = np.unique(level, return_index=True)[1]
            between = (x == x[firsts[level]]).all(axis=0)
            left = named.term.levels - int(between.sum())
            df = np.where(between, np.minimum(df, max(left, 1)), df)
        return df

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Return the cluster-robust covariance matrix for the rows of each cluster."""
        apart = _independent(self, members)
        if not apart and (kind not in PLAIN or df_rule == "satterthwaite"):
            raise InputError(
                "some effects of different clusters share a random effect, a sampling covariance or a weight",
                "clusters that hold all effects that depend on each other",
                'use kind="CR1p", or a cluster that takes in all of them',
            )
        if len(members) < 2:
            raise InputError("all effects are in one cluster", "at least two clusters")
        return (_independent_clusters if apart else _dependent_clusters)(self, members, kind)

    # -- components --------------------------------------------------------------------------------------

    @cached_property
    def component_values(self) -> Mapping[str, float]:
        """Component to its estimate; read-only."""
        out: dict[str, float] = {}
        for named, part in zip(self.terms, self.problem.split(self.maximum.theta), strict=True):
            values = named.term.structure.values(part)
            out.update(zip(named.components, map(float, values), strict=True))
        return MappingProxyType(out)

    @property
    def fixed_components(self) -> frozenset[str]:
        """Names of the components that were held at a value."""
        return frozenset(
            name
            for named, first in zip(self.terms, self.problem.offsets, strict=False)
            if named.term.structure.count == len(named.components)
            for i, name in enumerate(named.components)
            if int(first) + i in self.fixed
        )

    def position(self, term: str) -> int:
        """Return the position of a random term."""
        names = [named.name for named in self.terms]
        check_choice("random term", term, names)
        return names.index(term)

    @cached_property
    def g(self) -> tuple[Array, ...]:
        """G of each term at the estimates."""
        return tuple(map(frozen, self.problem.matrices(self.maximum.theta)))

    # -- heterogeneity and likelihood --------------------------------------------------------------------

    @cached_property
    def sampling_only(self) -> GeneralisedFit | None:
        """Generalised least squares with V alone; None if V is singular."""
        zero = [np.zeros((t.size, t.size)) for t in self.problem.terms]
        try:
            return generalised_fit(self.problem, zero)
        except NotPositiveDefinite:
            return None

    @cached_property
    def q(self) -> TestResult:
        """Q test of (residual) heterogeneity: generalised least squares with V alone."""
        null = self.homogeneity_words("effects")
        fit = self.sampling_only
        if fit is None:
            return TestResult(
                np.nan, "chi2", (float(self.df_residual),), np.nan, f"{null}; not testable, V is singular"
            )
        return make_test(fit.q, "chi2", (self.df_residual,), null)

    @cached_property
    def typical_variance(self) -> float:
        """Sampling variance of a typical effect, (k - p) / trace(P) with V alone; NaN if V is singular.

        It is 0 for values without any sampling variance, whose residual variance is a random term.
        """
        if self.problem.v.nnz == 0:
            return 0.0
        fit = self.sampling_only
        if fit is None:
            return float("nan")
        trace = float(fit.factor.diagonal().sum() - (fit.mx**2).sum())
        return self.df_residual / trace

    @cached_property
    def term_variances(self) -> Array:
        """Mean variance that each random term adds to an effect, shape (terms,)."""
        return frozen(variances_of_terms(self.problem, self.g))

    @cached_property
    def tau2(self) -> float:
        """Variance of true effects, all random terms together: its mean over the effects."""
        return float(self.term_variances.sum())

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Variance component to its value; correlations are not among them."""
        kinds = (kind for named in self.terms for kind in named.kinds)
        values = self.component_values.items()
        return {name: x for kind, (name, x) in zip(kinds, values, strict=True) if kind == "variance"}

    @property
    def tau2_shares(self) -> Array:
        """Share of each variance component in tau2; NaN for slopes that correlate with an intercept."""
        loads = [
            component_load(named, i)
            for named in self.terms
            for i, kind in enumerate(named.kinds)
            if kind == "variance"
        ]
        values = np.array(list(self.tau2_by_component.values())) * loads
        return frozen(values / self.tau2 if self.tau2 > 0 else np.full(values.size, np.nan))

    @cached_property
    def ends_of_shares(self) -> dict[float, Array]:
        """Intervals of the shares that were asked for, by one minus their level, shape (c, 2) each."""
        return {}

    @property
    def new_effect_variance(self) -> float:
        """Variance of a new true effect around its mean; NaN where it depends on the inner level."""
        return float(sum(level_variance(named, g, None) for named, g in zip(self.terms, self.g, strict=True)))

    @property
    def parameters(self) -> int:
        """Parameters counted: coefficients and estimated components."""
        return self.design.p + self.problem.count - len(self.fixed)

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at this fit's components."""
        chosen = self.method != "ML" if restricted is None else check_flag("restricted", restricted)
        llf = self.gls.llf(chosen)
        if self.weighted is not None:  # at these coefficients the likelihood is lower
            change = self.weighted.beta - self.gls.beta
            llf -= 0.5 * float(change @ np.linalg.solve(self.gls.cov, change))
        n, count = float(self.df_residual if chosen else self.k), self.parameters
        found, alone = statistics_at(llf, self.effects.v, n, count, chosen), self.sampling_only
        if chosen:
            return found
        saturated = np.nan if alone is None else self.k * LOG_2PI + alone.factor.logdet
        return replace(found, deviance=-2 * llf - saturated)

    # -- provenance --------------------------------------------------------------------------------------

    @property
    def certificate(self) -> MixedMaximum:
        """What is known about the maximum: gradient, curvature, bounds, starts that agree."""
        return self.maximum

    @property
    def log(self) -> tuple[str, ...]:
        """One line per start of the optimisation."""
        return self.maximum.log

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: effects, V, design, user-supplied weights."""
        v = self.problem.v
        parts: list[Array] = [self.effects.y, v.data, v.indices, v.indptr, self.design.matrix(self.k)]
        if self.weighting is not None:
            parts += [self.weighting.data, self.weighting.indices, self.weighting.indptr]
        return parts


def variances_of_terms(problem: MixedProblem, g: Sequence[Array]) -> Array:
    """Return the mean variance that each random term adds to an effect, shape (terms,), at matrices G."""
    return np.array([term.contributions(a).mean() for term, a in zip(problem.terms, g, strict=True)], float)


def component_load(named: NamedTerm, i: int, rows: Index | None = None) -> float:
    """Return what a variance adds to the mean variance of effects, per unit; NaN where slopes correlate.

    `rows`: the effects whose mean it is. Default: all.
    """
    if named.structure == "GEN":
        return math.nan
    inner = named.term.structure.components()[i].inner
    unit = np.zeros(named.term.size)
    unit[list(inner) if inner else slice(None)] = 1.0
    each = named.term.contributions(np.diag(unit))
    return float((each if rows is None else each[rows]).mean())


def inner_weights(named: NamedTerm, inner: str | None) -> Array | None:
    """Return the weights of one inner level, shape (s,); None where it is needed but not named."""
    s = named.term.size
    if named.structure == "intercept":
        return np.ones(1)
    if inner is None:
        return None
    check_choice(f"inner level of {named.name}", inner, named.inner)
    where = named.inner.index(inner)
    return np.asarray(np.eye(s)[where if len(named.inner) == s else 0])


def level_variance(named: NamedTerm, g: Array, inner: str | None) -> float:
    """Return the variance that a term adds to one true effect; NaN where it depends on the inner level."""
    weights = inner_weights(named, inner)
    if weights is not None:
        return float(weights @ g @ weights)
    diagonal = np.diagonal(g)
    slopes = named.structure in ("GEN", "GDIAG")
    return float(diagonal[0]) if not slopes and np.ptp(diagonal) == 0 else math.nan


# -- cluster-robust covariance matrices: only blocks of one cluster are ever dense ---------------------------

PLAIN = ("CR0", "CR1", "CR1p", "CR1S")


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


def _independent_clusters(fit: MultilevelFit, members: Sequence[Index], kind: str) -> Sandwich:
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
    """Return the model's covariance matrices of clusters of one size, shape (b, n, n)."""
    return covariance_of_rows(fit.problem, fit.g, v, rows)


def covariance_of_rows(problem: MixedProblem, g: Sequence[Array], v: sparse.coo_array, rows: Index) -> Array:
    """Return the covariance matrices of sets of rows of one size, (b, n), with given G: shape (b, n, n)."""
    b, n = rows.shape
    m = _blocks_of(v, rows)
    for term, matrix in zip(problem.terms, g, strict=True):
        level = term.level[rows]
        if term.relation is None:
            shared = (level[:, :, None] == level[:, None, :]).astype(float)
        else:
            shared = term.relation[level[:, :, None], level[:, None, :]]
        weights = np.zeros((b, n, term.size))
        np.put_along_axis(weights, term.column[rows], term.weight[rows], axis=2)
        m += shared * (weights @ matrix @ weights.transpose(0, 2, 1))
    return m


def _dependent_clusters(fit: MultilevelFit, members: Sequence[Index], kind: str) -> Sandwich:
    """Return the sandwich where clusters are not independent under the model."""
    x, p = fit.problem.x, fit.design.p
    g, n = len(members), fit.k
    each = fit.loadings * without_rounding(fit.effects.y - x @ fit.beta, fit.effects.y)
    scores = np.stack([each[:, rows].sum(axis=1) for rows in members])
    factor = {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": g * (n - 1) / ((g - 1) * (n - p))}
    nothing = np.full((g, p, p), np.nan)
    return Sandwich(scores.T @ scores * factor.get(kind, 1.0), nothing, nothing, np.ones(p))
