"""The result of a test, as an object: statistic, degrees of freedom, p-value, and the null in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from metaexo.formatting import number, p_value
from metaexo.models.readable import Readable
from metaexo.numeric.problem import Array
from metaexo.numeric.tails import (
    chi2_tail,
    f_tail,
    normal_quantile,
    normal_two_sided,
    t_of_tail,
    t_quantile,
    t_two_sided,
)

if TYPE_CHECKING:
    import pandas as pd

Distribution = Literal["z", "t", "chi2", "F"]


@dataclass(frozen=True, slots=True)
class TestResult(Readable):
    """One hypothesis test.

    Attributes
    ----------
    statistic : float
        The test statistic.
    distribution : {"z", "t", "chi2", "F"}
        Its distribution under the null.
    df : tuple of float
        Degrees of freedom: none for z, one for t and chi2, two for F.
    pvalue : float
        Two-sided for z and t, upper tail for chi2 and F.
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

    def __str__(self) -> str:
        inside = f"({', '.join(f'{d:.4g}' for d in self.df)})" if self.df else ""
        head = f"{self.distribution}{inside} = {number(self.statistic)}"
        return f"{head}, {p_value(self.pvalue)} (null: {self.null})"


def make_test(statistic: float, distribution: Distribution, df: tuple[float, ...], null: str) -> TestResult:
    """Return the test of a statistic, its p-value taken from the tail of the distribution."""
    tails = {"z": normal_two_sided, "t": t_two_sided, "chi2": chi2_tail, "F": f_tail}
    value = tails[distribution](statistic, *df)  # type: ignore[operator]
    return TestResult(float(statistic), distribution, tuple(map(float, df)), float(value), null)


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


def combine(rows: Array, beta: Array, cov: Array) -> tuple[Array, Array]:
    """Return combinations of coefficients, shape (q,), and their covariance matrix, shape (q, q).

    A coefficient with weight zero takes no part, also if it is infinite or has no standard error.
    """
    with np.errstate(invalid="ignore"):
        estimate = np.where(rows == 0, 0.0, rows * beta).sum(axis=1)
    known = np.isfinite(np.diagonal(cov))
    covariance = rows @ np.where(np.outer(known, known), cov, 0.0) @ rows.T
    open_ = (rows[:, ~known] != 0).any(axis=1)
    covariance[open_], covariance[:, open_] = np.nan, np.nan
    return estimate, covariance


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
