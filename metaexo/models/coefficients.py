"""What every fitted linear model says about its coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from metaexo.errors import InputError
from metaexo.models.design import Design
from metaexo.numeric.problem import Array
from metaexo.numeric.tails import normal_quantile, normal_two_sided, t_quantile, t_two_sided

if TYPE_CHECKING:
    import pandas as pd


class LinearResults(ABC):
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
        return np.sqrt(np.diagonal(self.cov))

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
        """Test statistics of single coefficients: t, or z."""
        return self._series(self._statistics, "statistic")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values by name."""
        tails = self._statistics
        df = self.df_test
        return self._series(normal_two_sided(tails) if df is None else t_two_sided(tails, df), "pvalue")

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Return the confidence intervals of the coefficients: columns low and high."""
        import pandas as pd

        half = self._quantile(self._level(level)) * self.se
        return pd.DataFrame(
            {"low": self.beta - half, "high": self.beta + half}, index=pd.Index(self.design.names)
        )

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        import pandas as pd

        names = pd.Index(self.design.names)
        return pd.DataFrame(self.cov, index=names, columns=names)

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients as a table: term, estimate, se, statistic, pvalue, low, high."""
        import pandas as pd

        bounds = self.conf_int()
        return pd.DataFrame(
            {
                "term": self.design.names,
                "estimate": self.beta,
                "se": self.se,
                "statistic": self._statistics,
                "pvalue": self.pvalues.to_numpy(),
                "low": bounds["low"].to_numpy(),
                "high": bounds["high"].to_numpy(),
            }
        )

    def _level(self, level: float | None) -> float:
        if level is not None and not 0 < level < 1:
            raise InputError(f"level is {level}", "a fraction between 0 and 1, for example 0.95")
        return self.level if level is None else level

    def _quantile(self, level: float) -> float:
        df = self.df_test
        return normal_quantile(level) if df is None else t_quantile(level, df)

    @property
    def _statistics(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.beta / self.se)

    def _series(self, values: Array, name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(values, index=pd.Index(self.design.names), name=name)
