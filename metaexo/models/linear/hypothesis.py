"""The result of a test, as an object: statistic, degrees of freedom, p-value, and the null in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from metaexo.formatting import number, p_value, plural, printed
from metaexo.immutable import Immutable
from metaexo.numeric.sandwich import Sandwich
from metaexo.numeric.tails import (
    chi2_tail,
    f_tail,
    normal_quantile,
    normal_two_sided,
    t_of_tail,
    t_quantile,
    t_two_sided,
)
from metaexo.readable import Readable, shows_itself
from metaexo.types import Array, Index

if TYPE_CHECKING:
    import pandas as pd


Distribution = Literal["z", "t", "chi2", "F", "exact", "mid-p"]
# Below LEAST_DF (denominator) degrees of freedom a test has no p-value; below FEW_DF it carries a caution.
# They are 1 and 2 less what rounding may take away: two clusters have 1 df, computed as 0.9999999999999992.
ROUNDING = 1e-8
LEAST_DF = 1.0 - ROUNDING
FEW_DF = 2.0 - ROUNDING


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class TestResult(Readable):
    """One hypothesis test.

    Attributes
    ----------
    statistic : float
        The test statistic.
    distribution : {"z", "t", "chi2", "F", "exact", "mid-p"}
        Its distribution under the null; "exact": that of the counts themselves, given their margins; "mid-p":
        the same with half of the probability of the observed counts.
    df : tuple of float
        Degrees of freedom: none for z, exact and mid-p tests, one for t and chi2, two for F.
    pvalue : float
        Two-sided for z, t, exact and mid-p tests, upper tail for chi2 and F.
    null : str
        The null hypothesis in words.
    """

    __test__ = False  # not a test class for pytest

    statistic: float
    distribution: Distribution
    df: tuple[float, ...]
    pvalue: float
    null: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row: distribution, df1, df2, statistic, pvalue, null."""
        import pandas as pd

        df = (*self.df, float("nan"), float("nan"))[:2]
        row = {"distribution": self.distribution, "df1": df[0], "df2": df[1]}
        return pd.DataFrame([row | {"statistic": self.statistic, "pvalue": self.pvalue, "null": self.null}])

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the p-value; empty if there is nothing."""
        df = denominator_df(self.distribution, self.df)
        if df is None or not df < FEW_DF or np.isnan(self.statistic):
            return ()
        reliance = "the p-value is a rough guide" if df >= LEAST_DF else "too few for a p-value"
        return (f"{df:.4g} denominator df: {reliance}",)

    @property
    def is_testable(self) -> bool:
        """Whether something was tested: there is a statistic, and a chi-square has degrees of freedom."""
        return not np.isnan(self.statistic) and not (self.distribution == "chi2" and self.df == (0.0,))

    @printed
    def __str__(self) -> str:
        if not self.is_testable:
            null, _, why = self.null.partition("; not testable")
            why = why or ("" if np.isnan(self.statistic) else ", no degrees of freedom")
            return null if null.startswith("not testable") else f"not testable{why} (null: {null})"
        inside = f"({', '.join(f'{d:.4g}' for d in self.df)})" if self.df else ""
        own = self.distribution in ("exact", "mid-p")
        head = (
            f"{self.distribution} test" if own else f"{self.distribution}{inside} = {number(self.statistic)}"
        )
        said = "".join(f"; caution: {text}" for text in self.cautions())
        return f"{head}, {p_value(self.pvalue)} (null: {self.null}){said}"


def denominator_df(distribution: Distribution, df: tuple[float, ...]) -> float | None:
    """Return the degrees of freedom that an estimated variance has in a test; None for z and chi2."""
    return float(df[-1]) if distribution in ("t", "F") else None


def make_test(statistic: float, distribution: Distribution, df: tuple[float, ...], null: str) -> TestResult:
    """Return the test of a statistic, its p-value taken from the tail of the distribution.

    There is no p-value (it is NaN) on fewer than 1 denominator degree of freedom.
    """
    tails = {"z": normal_two_sided, "t": t_two_sided, "chi2": chi2_tail, "F": f_tail}
    fewest = denominator_df(distribution, df)
    value = np.nan
    if fewest is None or fewest >= LEAST_DF:
        value = float(tails[distribution](statistic, *df))  # type: ignore[operator]
    return TestResult(float(statistic), distribution, tuple(map(float, df)), value, null)


def wald_statistics(difference: Array, se: Array) -> Array:
    """Return differences over their standard errors: NaN, not testable, where the standard error is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(se > 0, difference / se, np.nan))


def two_sided_pvalues(statistic: Array, df: Array | None) -> Array:
    """Return two-sided p-values of t statistics, or of z where df is None; NaN on fewer than 1."""
    if df is None:
        return normal_two_sided(statistic)
    enough = np.asarray(df) >= LEAST_DF
    return np.asarray(np.where(enough, t_two_sided(statistic, np.where(enough, df, 1.0)), np.nan))


def wald_test(beta: np.ndarray, cov: np.ndarray, df_residual: float | None, null: str) -> TestResult:
    """Return the test that all coefficients in `beta` are zero.

    The statistic is b' C^-1 b: chi-square with q degrees of freedom, or, with residual degrees of freedom,
    divided by q and taken as F(q, df). Where the covariance matrix is singular (coefficients without any
    spread) there is no test: statistic and p-value are NaN and the null says so.
    """
    q = beta.size
    distribution: Distribution = "chi2" if df_residual is None else "F"
    degrees = (float(q),) if df_residual is None else (float(q), float(df_residual))
    if not (np.isfinite(beta).all() and np.isfinite(cov).all()):
        return TestResult(np.nan, distribution, degrees, np.nan, f"{null}; not testable, no finite estimate")
    spread = np.sqrt(np.diagonal(cov))
    if (spread == 0).any() or np.linalg.matrix_rank(cov / np.outer(spread, spread)) < q:
        return TestResult(np.nan, distribution, degrees, np.nan, f"{null}; not testable, no spread")
    statistic = float(beta @ np.linalg.solve(cov, beta))
    return make_test(statistic if df_residual is None else statistic / q, distribution, degrees, null)


@dataclass(frozen=True, eq=False)
class WaldInference(Immutable):
    """How coefficients are tested: their covariance matrix and the distribution of the tests."""

    cov: Array  # of the coefficients, shape (p, p)
    df: float | None  # of the t and F distributions; None for the normal and chi-square
    scale: float = 1.0  # factor of the test on the covariance matrix, taken in already; 1 where it has none

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, shape (q, p); None for z."""
        return None if self.df is None else np.full(len(rows), float(self.df))

    def joint_test(self, rows: Array, difference: Array, null: str) -> TestResult:
        """Return the test that the `difference`, shape (q,), of combinations from their values is zero."""
        return wald_test(difference, covariance_of(rows, self.cov), self.df, null)


class OwnInference(NamedTuple):
    """Intervals and p-values that are not made of a standard error and a quantile, such as exact ones."""

    ends: Callable[[float], tuple[Array, Array]]  # from a level to low and high, each of shape (q,)
    pvalues: Callable[[Array], Array]  # from values under the null, shape (q,), to two-sided p-values


DfRule = Literal["satterthwaite", "clusters"]


@shows_itself
@dataclass(frozen=True, eq=False, kw_only=True)
class RobustCovariance(WaldInference):
    """Cluster-robust inference in place of that of the model.

    Attributes
    ----------
    cov, df
        Robust covariance matrix; clusters minus coefficients.
    kind : str
        Adjustment of the covariance matrix: "CR0", "CR1", "CR1p", "CR1S", "CR2" or "CR3".
    df_rule : {"satterthwaite", "clusters"}
        Degrees of freedom of a test: by moments for each combination, or clusters minus coefficients.
    clusters : tuple of str
        Names of the clusters.
    sandwich : Sandwich
        The covariance matrix and what its degrees of freedom are made of.
    members : tuple of ndarray
        Rows of each cluster, for refits of some of the rows; empty where the fit has no refits of its own.
    """

    kind: str
    df_rule: DfRule
    clusters: tuple[str, ...]
    sandwich: Sandwich
    members: tuple[Index, ...] = ()

    def df_of(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations of coefficients, shape (q, p)."""
        if self.df_rule == "satterthwaite":
            return self.sandwich.satterthwaite(rows)
        return np.full(len(rows), self.df)

    def joint_test(self, rows: Array, difference: Array, null: str) -> TestResult:
        """Return the test that the `difference`, shape (q,), of combinations from their values is zero."""
        if self.df_rule == "clusters":
            return super().joint_test(rows, difference, null)
        plain = wald_test(difference, covariance_of(rows, self.cov), None, null)
        return hotelling_test(plain, self.sandwich.hotelling(rows))

    def __str__(self) -> str:
        rule = "Satterthwaite df" if self.df_rule == "satterthwaite" else "df: clusters minus coefficients"
        return f"{self.kind} cluster-robust standard errors, {plural(len(self.clusters), 'cluster')}; {rule}"


def hotelling_test(wald: TestResult, eta: float) -> TestResult:
    """Return the approximate Hotelling test of a chi-square Wald test with q degrees of freedom.

    With eta degrees of freedom of the covariance matrix, F = (eta - q + 1) / (eta q) times the Wald
    statistic, on q and eta - q + 1 degrees of freedom. A test without a statistic stays as it is.
    """
    q = wald.df[0]
    second = eta - q + 1
    if np.isnan(wald.statistic) or not second > ROUNDING:
        known = np.isnan(wald.statistic)
        null = wald.null if known else f"{wald.null}; not testable, too few clusters"
        return TestResult(np.nan, "F", (q, max(second, 0.0)), np.nan, null)
    return make_test(wald.statistic * second / (eta * q), "F", (q, second), wald.null)


def combine(rows: Array, beta: Array, cov: Array) -> tuple[Array, Array]:
    """Return combinations of coefficients, shape (q,), and their covariance matrix, shape (q, q).

    A coefficient with weight zero is not used, also if it is infinite or has no standard error.
    """
    with np.errstate(invalid="ignore"):
        estimate = np.where(rows == 0, 0.0, rows * beta).sum(axis=1)
    return estimate, covariance_of(rows, cov)


def covariance_of(rows: Array, cov: Array) -> Array:
    """Return the covariance matrix of combinations, shape (q, q); see `combine`."""
    known = np.isfinite(np.diagonal(cov))
    covariance = rows @ np.where(np.outer(known, known), cov, 0.0) @ rows.T
    open_ = (rows[:, ~known] != 0).any(axis=1)
    covariance[open_], covariance[:, open_] = np.nan, np.nan
    return covariance


def quantiles(level: float, df: Array | float | None) -> Array | float:
    """Return the quantile that encloses `level` from both sides, for each of the degrees of freedom.

    Without degrees of freedom it is that of the normal distribution.
    """
    if df is None:
        return normal_quantile(level)
    several = np.asarray(df, dtype=float)
    if several.size == 1 or (several.size and (several == several.flat[0]).all()):
        return t_quantile(level, float(several.flat[0]))
    return t_of_tail((1 - level) / 2, several)
