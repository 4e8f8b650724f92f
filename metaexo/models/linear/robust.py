"""Coefficients with cluster-robust standard errors: valid whatever the dependence inside a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import (
    FewStudiesWarning,
    InputError,
    ShapeError,
    TooFewStudiesError,
)
from metaexo.formatting import interval, number, p_value, plural, printed, text_table
from metaexo.immutable import frozen
from metaexo.inputs import as_word, check_choice, is_blank, read_entries
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import LinearResults
from metaexo.models.linear.grouping import column_values
from metaexo.models.linear.hypothesis import TestResult, make_test, quantiles, wald_test
from metaexo.models.linear.prediction import new_rows
from metaexo.numeric.problem import without_rounding
from metaexo.numeric.sandwich import KINDS, Sandwich, cluster_sandwich
from metaexo.numeric.weighted import projected
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.univariate.fit import RandomEffectsResults

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
        quantile, wide = quantiles(self._level(level), df), np.sqrt(se**2 + added)
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


def robust(
    fit: RandomEffectsResults,
    cluster: str | Sequence[object] | ArrayLike | None = None,
    kind: str = "CR2",
    freedom: Freedom | None = None,
) -> RobustResults:
    """Return a fit with cluster-robust inference; see `RandomEffectsResults.robust`."""
    chosen = read_freedom(kind, freedom)
    names, members = split_clusters(fit, cluster)
    total, x, weights = fit.effects.v + fit.tau2, fit.design.matrix(fit.k), fit.weighting
    if weights is None:
        residuals = projected(x, fit.effects.y, total)[0] * np.sqrt(total)
    else:
        residuals = fit.effects.y - x @ fit.beta
    made = cluster_sandwich(
        x,
        without_rounding(residuals, fit.effects.y),
        members,
        [total[rows] for rows in members],
        kind,
        None if weights is None else [weights[rows] for rows in members],
    )
    refuse_few_clusters(names, fit.design.p, chosen)
    found = RobustResults(fit, kind, chosen, names, made)
    warn_of_few(found)
    return found


def read_freedom(kind: str, freedom: Freedom | None) -> Freedom:
    """Return the degrees of freedom that are taken.

    Raises
    ------
    UnknownChoiceError
        If the kind or the degrees of freedom are not known.
    """
    check_choice("kind of robust covariance", kind, KINDS)
    if freedom is None:
        return "satterthwaite" if kind in ("CR2", "CR3") else "clusters"
    check_choice("degrees of freedom", freedom, FREEDOMS)
    return freedom


def refuse_few_clusters(names: Sequence[str], p: int, chosen: Freedom) -> None:
    """Raise if clusters minus coefficients leaves no degrees of freedom.

    Raises
    ------
    InputError
        With what does.
    """
    if chosen == "clusters" and len(names) <= p:
        raise InputError(
            f"{plural(len(names), 'cluster')} for {plural(p, 'coefficient')} leave no degrees of freedom",
            "more clusters than coefficients",
            'use kind="CR2" with its Satterthwaite degrees of freedom, or a smaller model',
        )


def warn_of_few(found: RobustResults) -> None:
    """Warn of tests with few degrees of freedom."""
    few = [n for n, df in zip(found.design.names, found.df, strict=True) if not df >= FEW_DEGREES]
    if few:
        warnings.warn(
            f"the robust tests of {', '.join(few)} have fewer than {FEW_DEGREES:.0f} degrees of freedom: "
            "their p-values are not to be relied on",
            FewStudiesWarning,
            stacklevel=4,
        )


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
    es = fit.effects
    if cluster is None:
        labels: list[Any] = list(es.study or es.row_ids)
    elif isinstance(cluster, str):
        labels = _words_of(es, cluster)
    else:
        if getattr(cluster, "ndim", 1) != 1:
            raise ShapeError("cluster is no list of single entries", "one entry for each effect")
        es.check_index("cluster", cluster)
        labels = read_entries(cluster, "cluster")
    if len(labels) != fit.k:
        raise ShapeError(f"cluster has {len(labels)} entries for {fit.k} effects", "one for each effect")
    missing = [es.row_ids[i] for i, label in enumerate(labels) if is_blank(label)]
    if missing:
        raise InputError(
            "some effects have no cluster",
            "a cluster for every effect",
            "fill them in; where cells were merged, fill down",
            rows=missing,
        )
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        rows.setdefault(as_word(label), []).append(i)
    return tuple(rows), [np.array(part, dtype=np.intp) for part in rows.values()]


def _words_of(es: EffectSizes, name: str) -> list[Any]:
    """Return the labels of a grouping: a column, "study", "effect", or combinations as "study/sample"."""
    known = [] if es.data is None else list(map(str, es.data.columns))
    parts = [name] if name in known else name.split("/")
    columns = [column_values(es, part).tolist() for part in parts]
    if len(columns) == 1:
        return columns[0]
    return ["/".join(map(as_word, row)) for row in zip(*columns, strict=True)]
