"""Cluster-robust inference for multilevel fits: only blocks of one cluster are ever dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from metaexo.errors import InputError, TooFewStudiesError
from metaexo.formatting import interval, number, p_value, plural, printed, text_table
from metaexo.immutable import frozen
from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import TestResult, make_test, quantiles, wald_test
from metaexo.models.linear.prediction import new_rows
from metaexo.models.linear.results import LinearResults
from metaexo.models.linear.robust import (
    FEW_DF_ROBUST,
    Freedom,
    read_freedom,
    refuse_few_clusters,
    split_clusters,
    warn_of_few,
)
from metaexo.models.multilevel.fit import MultilevelFit
from metaexo.models.multilevel.prediction import variance_of_new
from metaexo.numeric.mixed.partition import dependent_rows
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import Sandwich, cluster_sandwich
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd

PLAIN = ("CR0", "CR1", "CR1p", "CR1S")


@dataclass(frozen=True, eq=False, repr=False)
class RobustResults(LinearResults):
    """Coefficients of a fit with cluster-robust standard errors, tests and intervals.

    Attributes
    ----------
    base : RandomEffectsResults
        The fit; its coefficients are kept.
    kind : str
        Adjustment of the covariance matrix: "CR0", "CR1", "CR1p", "CR1S", "CR2" or "CR3".
    freedom : {"satterthwaite", "clusters"}
        Degrees of freedom: of each combination by moments, or clusters minus coefficients.
    clusters : tuple of str
        Names of the clusters.
    sandwich : Sandwich
        The covariance matrix and what its degrees of freedom are made of.
    """

    base: Any
    kind: str
    freedom: Freedom
    clusters: tuple[str, ...]
    sandwich: Sandwich

    @property
    def design(self) -> Design:  # type: ignore[override]
        """Columns of the linear predictor."""
        return self.base.design  # type: ignore[no-any-return]

    @property
    def level(self) -> float:  # type: ignore[override]
        """Confidence level of all intervals unless a call says otherwise."""
        return self.base.level  # type: ignore[no-any-return]

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return self.base.beta  # type: ignore[no-any-return]

    @property
    def cov(self) -> Array:
        """Robust covariance matrix of the coefficients, shape (p, p)."""
        return self.sandwich.cov

    @property
    def df_test(self) -> float | None:
        """Clusters minus coefficients; combinations have their own with Satterthwaite's."""
        return float(len(self.clusters) - self.design.p)

    @cached_property
    def df(self) -> Array:
        """Degrees of freedom of each coefficient, shape (p,)."""
        return frozen(self.df_of(np.eye(self.design.p)))

    def df_of(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations of coefficients, shape (q,).

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        """
        rows, _ = self._combinations(rows)
        if self.freedom == "satterthwaite":
            return self.sandwich.satterthwaite(rows)
        return np.full(len(rows), float(len(self.clusters) - self.design.p))

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the test that combinations of coefficients have given values.

        With Satterthwaite's degrees of freedom it is the approximate Hotelling test: with q combinations and
        eta degrees of freedom, F = (eta - q + 1) / (eta q) times the Wald statistic, on q and eta - q + 1.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        null : ndarray, shape (q,)
            The values.
        words : str
            The null hypothesis in words.
        """
        if self.freedom == "clusters":
            return super().joint_test(rows, null, words)
        rows, null = self._combinations(rows, null)
        q = len(rows)
        plain = wald_test(rows @ self.beta - null, rows @ self.cov @ rows.T, None, words)
        eta = self.sandwich.hotelling(rows)
        second = eta - q + 1
        if np.isnan(plain.statistic) or not second > 0:
            why = plain.null if np.isnan(plain.statistic) else f"{words}; not testable, too few clusters"
            return TestResult(np.nan, "F", (float(q), max(second, 0.0)), np.nan, why)
        return make_test(plain.statistic * second / (eta * q), "F", (q, second), words)

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone).

        Raises
        ------
        TooFewStudiesError
            If the clusters carry no test of so many coefficients.
        """
        test = self._omnibus
        if np.isnan(test.statistic):
            raise TooFewStudiesError(
                f"{plural(len(self.clusters), 'cluster')} for a joint test of "
                f"{plural(self.design.tested.size, 'coefficient')}",
                "more clusters than coefficients, with more than "
                f"{self.design.tested.size - 1} degrees of freedom in common",
                "test fewer coefficients together with contrast() or test_terms(), or fit a smaller model",
            )
        return test

    @cached_property
    def _omnibus(self) -> TestResult:
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        words = "the pooled effect is zero" if self.design.x is None else f"no effect of {names}"
        return self.joint_test(np.eye(self.design.p)[tested], np.zeros(tested.size), words)

    def predict(
        self, new: ArrayLike | pd.DataFrame | None = None, level: float | None = None
    ) -> pd.DataFrame:
        """Return mean effects with robust confidence intervals, and prediction intervals for a new effect.

        The prediction interval adds to the robust variance of the mean what the model says of the variance
        of true effects.

        Parameters
        ----------
        new : array_like, dict or DataFrame, shape (r, q), optional
            Moderator values, as in `predict` of the fit. Default: the rows of the fit (one row if there are
            no moderators).
        level : float, optional
            Level of both intervals; default that of the fit.

        Returns
        -------
        DataFrame
            Columns estimate, se, df, low, high, prediction_se, prediction_low, prediction_high, on the scale
            of the analysis.

        Raises
        ------
        ShapeError, InputError
            If the rows do not have a value of each moderator.
        """
        return self._predicted(new, level, self.base.tau2 + (getattr(self.base, "omega2", None) or 0.0))

    def _predicted(self, new: Any, level: float | None, added: float) -> pd.DataFrame:
        import pandas as pd

        x = new_rows(self.design, new)
        mean, se = x @ self.beta, np.sqrt(np.maximum(np.einsum("rp,pq,rq->r", x, self.cov, x), 0.0))
        df = self.df_of(x)
        quantile, wide = quantiles(self.at_level(level), df), np.sqrt(se**2 + added)
        return pd.DataFrame(
            {
                "estimate": mean,
                "se": se,
                "df": df,
                "low": mean - quantile * se,
                "high": mean + quantile * se,
                "prediction_se": wide,
                "prediction_low": mean - quantile * wide,
                "prediction_high": mean + quantile * wide,
            }
        )

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        found = {name: getattr(self, name) for name in ("kind", "freedom", "clusters")}
        found["moderator_test"] = self._omnibus
        of_base = ("method", "k", "working", "rho", "tau2", "omega2", "i2")
        return found | {name: getattr(self.base, name) for name in of_base if hasattr(self.base, name)}

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the table of coefficients."""
        df = ", ".join(number(value, 1) for value in self.df)
        return [
            f"{self.kind} standard errors, {plural(len(self.clusters), 'cluster')}; degrees of freedom {df}",
            str(self._omnibus),
        ]

    @printed
    def __str__(self) -> str:
        bounds = self.conf_int().to_numpy()
        rows = [
            [name, number(b, 4), number(se, 4), interval(low, high, 4), number(df, 1), p_value(p)]
            for name, b, se, (low, high), df, p in zip(
                self.design.names, self.beta, self.se, bounds, self.df, self.pvalues, strict=True
            )
        ]
        head = f"{self.kind}, {plural(len(self.clusters), 'cluster')}"
        table = text_table(rows, ["term", "estimate", "robust SE", "interval", "df", "p"])
        cautions = [f"caution: {text}" for text in self.cautions()]
        return "\n".join([head, table, str(self._omnibus), *cautions])

    def __repr__(self) -> str:
        return f"RobustResults({self.kind}, {plural(len(self.clusters), 'cluster')})"


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelRobustResults(RobustResults):
    """Coefficients of a multilevel fit with cluster-robust standard errors, tests and intervals."""

    base: Any

    def predict(
        self,
        new: ArrayLike | pd.DataFrame | None = None,
        level: float | None = None,
        *,
        inner: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return mean effects with robust confidence intervals, and prediction intervals for a new effect.

        Parameters
        ----------
        new, level
            As in :meth:`metaexo.models.MultilevelResults.predict`.
        inner : mapping of str to str, optional
            Random term to the inner level (outcome, time) that the prediction is for.
        without : sequence of str
            Random terms whose variance the prediction interval leaves out.

        Returns
        -------
        DataFrame
            Columns estimate, se, df, low, high, prediction_se, prediction_low, prediction_high.
        """
        return self._predicted(
            new, level, variance_of_new(self.base, {}, {} if inner is None else inner, without)
        )


def robust(
    fit: MultilevelFit,
    cluster: str | Sequence[object] | ArrayLike | None,
    kind: str,
    freedom: Freedom | None,
) -> MultilevelRobustResults:
    """Return a fit with cluster-robust inference; see `MultilevelResults.robust`."""
    chosen = read_freedom(kind, freedom)
    names, members = split_clusters(fit.effects, cluster)
    apart = _independent(fit, members)
    if not apart and (kind not in PLAIN or chosen == "satterthwaite"):
        raise InputError(
            "some effects of different clusters share a random effect, a sampling covariance or a weight",
            "clusters that hold all effects that depend on each other",
            'use kind="CR1p", or a cluster that takes in all of them',
        )
    refuse_few_clusters(names, fit.design.p, chosen)
    if len(names) < 2:
        raise InputError("all effects are in one cluster", "at least two clusters")
    made = _sandwich(fit, members, kind) if apart else _plain(fit, members, kind)
    found = MultilevelRobustResults(fit, kind, chosen, names, made)
    warn_of_few([n for n, df in zip(found.design.names, found.df, strict=True) if not df >= FEW_DF_ROBUST])
    return found


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
    loadings = fit.cov @ fit.gls.factor.solve(x).T if fit.weighted is None else fit.weighted.loadings
    each = loadings * without_rounding(fit.effects.y - x @ fit.beta, fit.effects.y)
    scores = np.stack([each[:, rows].sum(axis=1) for rows in members])
    factor = {"CR1": g / (g - 1), "CR1p": g / max(g - p, 1), "CR1S": g * (n - 1) / ((g - 1) * (n - p))}
    nothing = np.full((g, p, p), np.nan)
    return Sandwich(scores.T @ scores * factor.get(kind, 1.0), nothing, nothing, np.ones(p))
