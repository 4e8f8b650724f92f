"""What every fitted linear model says about its coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import ShapeError
from metaexo.immutable import lock
from metaexo.inputs import LARGEST, check_level, read_numbers
from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import (
    TestResult,
    cautions_of_estimates,
    combine,
    quantiles,
    two_sided_pvalues,
    wald_statistics,
    wald_test,
)
from metaexo.models.univariate.inference import cautions_of_range
from metaexo.numeric.tails import normal_quantile, t_quantile
from metaexo.readable import Readable, ReaderTable, plain
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from metaexo.models.linear.contrasts import Contrasts, TermTests, VarianceInflation, Weights


class LinearResults(Readable, ABC):
    """Coefficients with their standard errors, tests and intervals.

    A fit that inherits this provides `design`, `level`, `beta` (p,), `cov` (p, p) and `df_test`, the degrees
    of freedom of its t distribution, or None for the normal.
    """

    design: Design
    level: float

    @property
    @abstractmethod
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""

    @property
    @abstractmethod
    def cov(self) -> Array:
        """Covariance matrix of the coefficients, shape (p, p)."""

    @property
    @abstractmethod
    def df_test(self) -> float | None:
        """Degrees of freedom of the t distribution; None for z."""

    @cached_property
    def se(self) -> Array:
        """Standard errors of the coefficients, shape (p,)."""
        se: Array = lock(np.sqrt(np.diagonal(self.cov)))
        return se

    @property
    def params(self) -> pd.Series:
        """Coefficients by name."""
        return self._series(self.beta, "estimate")

    @property
    def bse(self) -> pd.Series:
        """Standard errors by name."""
        return self._series(self.se, "se")

    @property
    def tvalues(self) -> pd.Series:
        """Test statistics of single coefficients: t, or z; NaN where there is no spread."""
        return self._series(self._statistics, "statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values by name; NaN where there is no spread, or fewer than 1 degree of freedom."""
        df = self.df_of(np.eye(self.design.p))
        return self._series(two_sided_pvalues(self._statistics, df), "pvalue")

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high."""
        import pandas as pd

        half = quantiles(self._level(level), self.df_of(np.eye(self.design.p))) * self.se
        return pd.DataFrame(
            {"low": self.beta - half, "high": self.beta + half}, index=pd.Index(self.design.names)
        )

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        import pandas as pd

        names = pd.Index(self.design.names)
        return pd.DataFrame(np.array(self.cov), index=names, columns=names)

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients as a table: term, estimate, se, statistic, df, pvalue, low, high.

        The column df, the degrees of freedom of the t distributions, is NaN where the normal one is taken.
        """
        import pandas as pd

        bounds = self.conf_int()
        df = self.df_of(np.eye(self.design.p))
        return pd.DataFrame(
            {
                "term": self.design.names,
                "estimate": self.beta,
                "se": self.se,
                "statistic": self._statistics,
                "df": np.full(self.design.p, np.nan) if df is None else df,
                "pvalue": self.pvalues.to_numpy(),
                "low": bounds["low"].to_numpy(),
                "high": bounds["high"].to_numpy(),
            }
        )

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the intervals and tests; empty if there is nothing.

        The same lines stand below the tables of the fit and in its summary.
        """
        found = cautions_of_estimates(self.design.names, self.se, self.df_of(np.eye(self.design.p)))
        effects = getattr(self, "effects", None)
        if self.design.x is not None or effects is None:
            return found
        low, high = self.conf_int().to_numpy()[0]
        return (*found, *cautions_of_range(effects, {"interval of the pooled effect": (low, high)}))

    # -- for readers -----------------------------------------------------------------------------------------

    def reader_tables(self) -> list[ReaderTable]:
        """Return the table of coefficients, numbers rounded."""
        from metaexo.models.linear.tables import coefficient_rows

        return [ReaderTable(*coefficient_rows(self))]

    def to_dict(self) -> dict[str, Any]:
        """Return coefficients, their covariance and what else the fit knows as plain values.

        For files such as JSON: numbers are not rounded, what is missing is None.
        """
        df = self.df_of(np.eye(self.design.p))
        return {
            "coefficients": plain(self.to_frame()),
            "df": plain(df),
            "covariance": plain(self.cov),
            "level": self.level,
            **{name: plain(value) for name, value in self.facts().items()},
        }

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its coefficients; it goes into `to_dict`."""
        return {}

    # -- combinations of coefficients -----------------------------------------------------------------------

    def contrast(
        self,
        weights: Weights,
        null: ArrayLike = 0.0,
        level: float | None = None,
        adjust: str | None = None,
    ) -> Contrasts:
        """Return linear combinations of the coefficients with tests and intervals.

        Use it for what single coefficients do not say: the difference of two sources, the mean effect at a
        dose, or several coefficients together.

        Parameters
        ----------
        weights : str, list of str, dict, or array_like, shape (q, p)
            Names of coefficients; the weights of one combination, by name; a dict of such dicts; or an array
            with a row a combination and a column a coefficient.
        null : float or array_like, shape (q,)
            Values under the null hypothesis.
        level : float, optional
            Level of the intervals; default that of the fit.
        adjust : str, optional
            Adjusts the p-values for their number: "holm", "bonferroni", "sidak", "holm-sidak", "hochberg",
            "hommel", "benjamini-hochberg" or "benjamini-yekutieli".

        Returns
        -------
        Contrasts
            The combinations one by one, and their joint test.

        Raises
        ------
        UnknownChoiceError
            If a coefficient or the adjustment is not known.
        ShapeError
            If an array does not have a column for each coefficient.

        Examples
        --------
        >>> import pandas as pd
        >>> import metaexo as mx
        >>> data = pd.DataFrame({"source": ["adipose", "plant", "milk"] * 3})
        >>> y = [0.9, 0.1, 0.4, 0.7, 0.3, 0.5, 1.2, 0.2, 0.3]
        >>> fit = mx.RandomEffects(mx.EffectSizes(y, [0.04] * 9, data=data), "source").fit()
        >>> print(fit.contrast({"sourcemilk": 1, "sourceplant": -1}).to_frame().round(2).to_string())
                                  estimate    se  statistic   df  pvalue   low  high
        contrast
        sourcemilk - sourceplant       0.2  0.14       1.47  6.0    0.19 -0.13  0.53
        """
        from metaexo.models.linear.contrasts import make_contrasts

        return make_contrasts(self, weights, null, level, adjust)

    def test_terms(self, adjust: str | None = None) -> TermTests:
        """Return a test of each term of the model: that all its coefficients are zero.

        Use it for factors with several levels, whose single coefficients depend on the choice of the base.

        Parameters
        ----------
        adjust : str, optional
            Adjusts the p-values for the number of terms; see `contrast`.

        Returns
        -------
        TermTests
            Term to test, with `to_frame()`.

        Raises
        ------
        InputError
            If the model has no moderators.
        """
        from metaexo.models.linear.contrasts import make_term_tests

        return make_term_tests(self, adjust)

    def vif(self) -> VarianceInflation:
        """Return the variance inflation of each coefficient and of each term.

        Use it to see how much the coefficients suffer from being correlated: a value of 4 means a standard
        error twice as large as with uncorrelated coefficients.

        Returns
        -------
        VarianceInflation
            Factors by coefficient, and generalised factors by term.

        Raises
        ------
        InputError
            If the model has no moderators.

        References
        ----------
        Fox, J., Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
        Association 87, 178-183. https://doi.org/10.1080/01621459.1992.10475190
        """
        from metaexo.models.linear.contrasts import variance_inflation

        return variance_inflation(self)

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, shape (q,); None for z.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        """
        df = self.df_test
        return None if df is None else np.full(len(self._combinations(rows)[0]), float(df))

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the Wald test that combinations of coefficients have given values.

        Parameters
        ----------
        rows : ndarray, shape (q, p)
            The combinations.
        null : ndarray, shape (q,)
            The values.
        words : str
            The null hypothesis in words.
        """
        rows, null = self._combinations(rows, null)
        estimate, cov = combine(rows, self.beta, self.cov)
        return wald_test(estimate - null, cov, self.df_test, words)

    def _combinations(self, rows: Array, null: Array | float = 0.0) -> tuple[Array, Array]:
        """Return combinations of coefficients, shape (q, p), and their null values, shape (q,)."""
        table, values = read_numbers(rows, "rows", ndim=2), read_numbers(null, "null")
        if table.shape[1] != self.design.p or not (np.abs(table) <= LARGEST).all():
            raise ShapeError(
                f"rows has shape {table.shape}",
                f"finite numbers, one column for each of {', '.join(self.design.names)}",
            )
        if values.shape not in ((), (len(table),)):
            raise ShapeError(f"null has shape {values.shape} for {len(table)} rows", "one value per row")
        return table, np.broadcast_to(values, len(table))

    def _level(self, level: float | None) -> float:
        return self.level if level is None else check_level(level)

    def _quantile(self, level: float) -> float:
        df = self.df_test
        return normal_quantile(level) if df is None else t_quantile(level, df)

    @property
    def _statistics(self) -> Array:
        return wald_statistics(self.beta, self.se)

    def _series(self, values: Array, name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(np.array(values), index=pd.Index(self.design.names), name=name)
