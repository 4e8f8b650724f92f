"""Coefficients with cluster-robust standard errors: valid whatever the dependence inside a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.errors import FewStudiesWarning, InputError, ShapeError, UnknownChoiceError
from metaexo.formatting import interval, number, p_value, plural, printed, text_table
from metaexo.models.coefficients import LinearResults
from metaexo.models.design import Design
from metaexo.models.hypothesis import TestResult, make_test, wald_test
from metaexo.models.sandwich import Sandwich, cluster_sandwich
from metaexo.models.weighted import projected, refuse_own_weights
from metaexo.numeric.problem import Array

if TYPE_CHECKING:
    from metaexo.models.results import RandomEffectsResults

Freedom = Literal["satterthwaite", "clusters"]
FREEDOMS = ("satterthwaite", "clusters")
# Below this the distribution of a robust test is hardly that of t (Tipton 2015, 10.1037/met0000011).
FEW_DEGREES = 4.0


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

    base: RandomEffectsResults
    kind: str
    freedom: Freedom
    clusters: tuple[str, ...]
    sandwich: Sandwich

    @property
    def design(self) -> Design:  # type: ignore[override]
        """Columns of the linear predictor."""
        return self.base.design

    @property
    def level(self) -> float:  # type: ignore[override]
        """Confidence level of all intervals unless a call says otherwise."""
        return self.base.level

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return self.base.beta

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
        return self.df_of(np.eye(self.design.p))

    def df_of(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations of coefficients, shape (q,).

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        """
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
        q = len(rows)
        plain = wald_test(rows @ self.beta - null, rows @ self.cov @ rows.T, None, words)
        eta = self.sandwich.hotelling(rows)
        second = eta - q + 1
        if np.isnan(plain.statistic) or not second > 0:
            why = plain.null if np.isnan(plain.statistic) else f"{words}; not testable, too few clusters"
            return TestResult(np.nan, "F", (float(q), second), np.nan, why)
        return make_test(plain.statistic * second / (eta * q), "F", (q, second), words)

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all coefficients but the intercept (of the intercept, if it is alone)."""
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        words = "the pooled effect is zero" if self.design.x is None else f"no effect of {names}"
        return self.joint_test(np.eye(self.design.p)[tested], np.zeros(tested.size), words)

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        found = {name: getattr(self, name) for name in ("kind", "freedom", "clusters", "moderator_test")}
        of_base = ("method", "k", "working", "rho", "tau2", "omega2", "i2")
        return found | {name: getattr(self.base, name) for name in of_base if hasattr(self.base, name)}

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the table of coefficients."""
        df = ", ".join(number(value, 1) for value in self.df)
        return [
            f"{self.kind} standard errors, {plural(len(self.clusters), 'cluster')}; degrees of freedom {df}",
            str(self.moderator_test),
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
        return f"{head}\n{table}\n{self.moderator_test}"

    def __repr__(self) -> str:
        return f"RobustResults({self.kind}, {plural(len(self.clusters), 'cluster')})"


def robust(
    fit: RandomEffectsResults,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    kind: str = "CR2",
    freedom: Freedom | None = None,
) -> RobustResults:
    """Return a fit with cluster-robust inference; see `RandomEffectsResults.robust`."""
    import warnings

    chosen = freedom or ("satterthwaite" if kind in ("CR2", "CR3") else "clusters")
    if chosen not in FREEDOMS:
        raise UnknownChoiceError("degrees of freedom", chosen, FREEDOMS)
    refuse_own_weights(fit, "the robust covariance matrix")
    names, members = split_clusters(fit, cluster)
    total, x = fit.effects.v + fit.tau2, fit.design.matrix(fit.k)
    residuals = projected(x, fit.effects.y, total)[0] * np.sqrt(total)
    made = cluster_sandwich(x, residuals, members, [total[rows] for rows in members], kind)
    if chosen == "clusters" and len(names) <= fit.design.p:
        raise InputError(
            f"{len(names)} clusters for {fit.design.p} coefficients leave no degrees of freedom",
            "more clusters than coefficients",
            'use kind="CR2" with its Satterthwaite degrees of freedom, or a smaller model',
        )
    found = RobustResults(fit, kind, chosen, names, made)
    few = [n for n, df in zip(fit.design.names, found.df, strict=True) if df < FEW_DEGREES]
    if few:
        warnings.warn(
            f"the robust tests of {', '.join(few)} have fewer than {FEW_DEGREES:.0f} degrees of freedom: "
            "their p-values are not to be relied on",
            FewStudiesWarning,
            stacklevel=3,
        )
    return found


def split_clusters(
    fit: RandomEffectsResults, cluster: str | Sequence[object] | ArrayLike | None
) -> tuple[tuple[str, ...], list[NDArray[np.intp]]]:
    """Return the names of the clusters in order of appearance, and the rows of each.

    Raises
    ------
    ShapeError
        If there is not one entry for each effect.
    InputError
        If an entry is missing.
    """
    if cluster is None:
        labels: list[object] = list(fit.effects.study or fit.effects.row_ids)
    elif isinstance(cluster, str):
        labels = fit.effects.column(cluster).tolist()
    else:
        labels = np.asarray(cluster, dtype=object).ravel().tolist()
    if len(labels) != fit.k:
        raise ShapeError(f"cluster has {len(labels)} entries for {fit.k} effects", "one for each effect")
    missing = [fit.effects.row_ids[i] for i, label in enumerate(labels) if label is None or label != label]
    if missing:
        raise InputError("some effects have no cluster", "a cluster for every effect", rows=missing)
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        rows.setdefault(str(label), []).append(i)
    return tuple(rows), [np.array(part, dtype=np.intp) for part in rows.values()]
