"""The sealed outcome of a location-scale model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metaexo.effects.bounded_effect_sizes import counts_in_words
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError, ShapeError
from metaexo.formatting import level_words, number, plural, printed
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.ledger import Ledger
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel, statistics_at
from metaexo.models.linear.hypothesis import TestResult, make_test, quantiles
from metaexo.models.linear.prediction import new_rows, predict_rows
from metaexo.models.linear.results import LinearResults, row_counts
from metaexo.models.linear.summary import Summary, coefficient_rows, coefficient_table
from metaexo.numeric.likelihood import LOG_2PI
from metaexo.numeric.scale.maximum import ScaleMaximum
from metaexo.numeric.weighted import WeightedLeastSquares, weighted_least_squares
from metaexo.readable import ReaderTable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ScaleCoefficients(LinearResults):
    """Coefficients of the between-study variance, on the scale of the link.

    Attributes
    ----------
    design : Design
        Columns of the scale.
    level : float
        Confidence level of the intervals.
    maximum : ScaleMaximum
        Where the likelihood is highest.
    freedom : float or None
        Degrees of freedom of the t distribution; None for z.
    """

    design: Design
    level: float
    maximum: ScaleMaximum
    freedom: float | None

    @property
    def beta(self) -> Array:
        """Coefficients, shape (q,); infinite or NaN where the likelihood rises for ever."""
        return self.maximum.coefficients

    @property
    def cov(self) -> Array:
        """Inverse of the observed information, shape (q, q); NaN at the boundary."""
        return self.maximum.cov

    @property
    def df_test(self) -> float | None:
        """Degrees of freedom of the t distribution; None for z."""
        return self.freedom

    @printed
    def __str__(self) -> str:
        return coefficient_table(self)

    def __repr__(self) -> str:
        return f"ScaleCoefficients({', '.join(self.design.names)})"


@dataclass(frozen=True, eq=False, repr=False)
class LocationScaleResults(LinearResults):
    """A fitted location-scale model. Its own coefficients are those of the location.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    design, scale_design : Design
        Columns of the location and of the scale.
    wls : WeightedLeastSquares
        The location at the fitted variances.
    maximum : ScaleMaximum
        The scale with its certificate and its log.
    link : {"log", "identity"}
        What is linear in the scale moderators.
    method, test : str
        Likelihood and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    effects: EffectSizes
    design: Design
    scale_design: Design
    wls: WeightedLeastSquares
    maximum: ScaleMaximum
    link: str
    method: str
    test: str
    level: float

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def ledger(self) -> Ledger:
        """Rows used and left out."""
        return self.effects.ledger or Ledger("input", tuple(range(1, self.k + 1)))

    @property
    def df_test(self) -> int | None:
        """Degrees of freedom of the t distribution of the location; None for z."""
        return None if self.test == "z" else self.k - self.design.p

    @property
    def beta(self) -> Array:
        """Location coefficients, shape (p,)."""
        return self.wls.beta

    @property
    def cov(self) -> Array:
        """Covariance matrix of the location coefficients, shape (p, p)."""
        return self.wls.cov

    @cached_property
    def scale(self) -> ScaleCoefficients:
        """Scale coefficients with standard errors, tests and intervals."""
        freedom = None if self.test == "z" else float(self.k - self.scale_design.p)
        return ScaleCoefficients(self.scale_design, self.level, self.maximum, freedom)

    @property
    def tau2(self) -> Array:
        """Between-study variance of each effect, shape (k,)."""
        return self.maximum.tau2

    @property
    def tau(self) -> Array:
        """Between-study standard deviation of each effect, shape (k,)."""
        return lock(np.asarray(np.sqrt(self.tau2)))

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity, with weights 1/v."""
        fit = weighted_least_squares(self.design.matrix(self.k), self.effects.y, self.effects.v)
        null = "all studies share one true effect" if self.design.x is None else "no residual heterogeneity"
        return make_test(float(fit.residuals @ fit.residuals), "chi2", (self.k - self.design.p,), null)

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc at the fitted variances.

        Parameters
        ----------
        restricted : bool, optional
            From the restricted likelihood; default: for REML fits.
        """
        chosen = self.method == "REML" if restricted is None else check_flag("restricted", restricted)
        observations = self.k - self.design.p if chosen else self.k
        total = np.log(self.effects.v + self.tau2).sum() + self.wls.residuals @ self.wls.residuals
        llf = -0.5 * (observations * LOG_2PI + total + (self.wls.logdet if chosen else 0.0))
        count = self.design.p + self.scale_design.p
        return statistics_at(float(llf), self.effects.v, observations, count, chosen)

    @property
    def llf(self) -> float:
        """Log-likelihood: restricted for REML fits."""
        return self.fit_statistics().llf

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.fit_statistics().aic

    @property
    def bic(self) -> float:
        """Bayesian information criterion."""
        return self.fit_statistics().bic

    @property
    def aicc(self) -> float:
        """AIC with small-sample correction."""
        return self.fit_statistics().aicc

    def variance_model(self) -> VarianceModel:
        """Return how the between-study variance depends on parameters, for likelihood-ratio tests."""
        return VarianceModel(self.link, self.scale_design.matrix(self.k))

    def predict(
        self,
        location: ArrayLike | pd.DataFrame | None = None,
        scale: ArrayLike | pd.DataFrame | None = None,
        level: float | None = None,
    ) -> pd.DataFrame:
        """Return mean effects with confidence intervals, and prediction intervals of the variance there.

        Parameters
        ----------
        location, scale : array_like or DataFrame, shape (r, q), optional
            Rows of moderators, without the intercept; a table for models by formula, which may then be one
            for both. Default: the rows of the fit.
        level : float, optional
            Level of both intervals.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, tau2, prediction_se, prediction_low, prediction_high. Where a
            scale coefficient is not finite, tau2 of new rows is NaN unless it is sure to be 0.

        Raises
        ------
        ShapeError
            If the rows do not have a column for each moderator, or differ in number.
        InputError
            If rows are missing for a part that has moderators.
        """
        if location is None and scale is None:
            x, tau2 = self.design.matrix(self.k), self.tau2
        else:
            x, z = self._new_rows(location, scale)
            tau2 = self._tau2_at(z)
        quantile = float(np.asarray(quantiles(self.at_level(level), self.df_test)))
        table = predict_rows(x, self.beta, self.cov, 0.0, quantile)
        spread = np.sqrt(table["se"] ** 2 + tau2)
        table.insert(4, "tau2", tau2)
        table["prediction_se"] = spread
        table["prediction_low"] = table["estimate"] - quantile * spread
        table["prediction_high"] = table["estimate"] + quantile * spread
        return table

    def _new_rows(
        self, location: ArrayLike | pd.DataFrame | None, scale: ArrayLike | pd.DataFrame | None
    ) -> tuple[Array, Array]:
        """Return rows of both designs, as many of one as of the other."""
        if scale is None and hasattr(location, "columns"):
            scale = location
        parts = []
        asked = (("location", self.design, location), ("scale", self.scale_design, scale))
        for what, design, rows in asked:
            if design.x is not None and rows is None:
                raise InputError(
                    f"the {what} has moderators and no rows were given for it",
                    f"values of {', '.join(design.names[design.added :])}",
                )
            parts.append(np.ones((1, 1)) if design.x is None else new_rows(design, rows))
        count = max(len(part) for part in parts)
        if any(len(part) not in (1, count) for part in parts):
            raise ShapeError(
                f"there are {len(parts[0])} rows for the location and {len(parts[1])} for the scale",
                "as many rows for one as for the other",
            )
        x, z = (np.broadcast_to(part, (count, part.shape[1])) for part in parts)
        return x, z

    def _tau2_at(self, z: Array) -> Array:
        """Return tau2 at new rows of the scale, shape (r,)."""
        with np.errstate(invalid="ignore"):
            parts = np.where(z == 0, 0.0, z * self.maximum.coefficients)  # 0 times infinity counts as 0
            linear = parts.sum(axis=1)
        return np.asarray(np.exp(linear) if self.link == "log" else np.maximum(linear, 0.0))

    @cached_property
    def moderator_test(self) -> TestResult:
        """Omnibus test of all location coefficients but the intercept (of the intercept, if it is alone)."""
        return omnibus(self, "the pooled effect is zero")

    @cached_property
    def scale_test(self) -> TestResult:
        """Omnibus test of all scale coefficients but the intercept (of the intercept, if it is alone)."""
        return omnibus(self.scale, "the scale intercept is zero")

    @property
    def digest(self) -> str:
        """Fingerprint of effects, variances and designs: the same data give the same one."""
        parts = [self.effects.y, self.effects.v, self.design.matrix(self.k), self.scale_design.matrix(self.k)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()[:16]

    def reader_tables(self) -> list[ReaderTable]:
        """Return the coefficients of the location and those of the scale, numbers rounded."""
        return [
            ReaderTable(*coefficient_rows(self), "moderators of the mean"),
            ReaderTable(*coefficient_rows(self.scale), f"moderators of {self._scaled}"),
        ]

    def table_notes(self) -> list[str]:
        """Return the lines that stand below the tables: what was fitted, tests and spread."""
        parts = self.summary().parts
        tests = [f"mean: {self.moderator_test}", f"{self._scaled}: {self.scale_test}"]
        return [*parts["What was fitted"], *tests, *parts["Spread"][3:]]

    def facts(self) -> dict[str, Any]:
        """Return by name what the fit knows beyond its location coefficients; it goes into `to_dict`."""
        return {
            "scale": self.scale,
            "link": self.link,
            "measure": self.effects.measure.code,
            "method": self.method,
            "test": self.test,
            "k": self.k,
            "m": self.m,
            "tau2": self.tau2,
            "q": self.q,
            "moderator_test": self.moderator_test,
            "scale_test": self.scale_test,
            "likelihood": self.fit_statistics(),
            "certificate": self.maximum,
            "rows": row_counts(self.ledger),
            "digest": self.digest,
        }

    @property
    def _scaled(self) -> str:
        """What the scale moderators are linear in."""
        return "tau2" if self.link == "identity" else "log tau2"

    def summary(self) -> Summary:
        """Return the five-part summary: what was fitted, pooled, spread, data, fit."""
        measure, seal = self.effects.measure, self.maximum
        spread = [
            f"moderators of {self._scaled}:",
            coefficient_table(self.scale),
            str(self.scale_test),
            f"tau from {number(float(self.tau.min()), 4)} to {number(float(self.tau.max()), 4)}",
            f"Q: {self.q}",
        ]
        fit = [
            "converged at the highest maximum found",
            f"{plural(len(seal.log), 'start')}, {plural(seal.maxima, 'local maximum', 'local maxima')}",
            *([f"tau2 = 0 in {plural(int(seal.zero.sum()), 'row')}"] if seal.zero.any() else []),
            f"data digest {self.digest}",
        ]
        fitted = [
            f"Location-scale model of {counts_in_words(self.effects)}, {measure.name} ({measure.code})",
            f"{self.method}, {self.link} link, {self.test} tests, level {level_words(self.level)}",
        ]
        return Summary(
            {
                "What was fitted": fitted,
                "Pooled": [
                    coefficient_table(self),
                    str(self.moderator_test),
                    *(f"caution: {text}" for text in self.cautions()),
                ],
                "Spread": spread,
                "Data": [str(self.ledger)],
                "Fit": fit,
            }
        )

    def __repr__(self) -> str:
        return (
            f"LocationScaleResults({self.effects.measure.code}, {self.method}, {self.link} link: "
            f"k = {self.k}, tau2 {self.tau2.min():.4g} to {self.tau2.max():.4g})"
        )


def omnibus(fit: LinearResults, alone: str) -> TestResult:
    """Return the joint test of all coefficients but the intercept; of the intercept, if it is alone."""
    tested = fit.design.tested
    names = ", ".join(fit.design.names[j] for j in tested)
    words = alone if fit.design.x is None else f"no effect of {names}"
    return fit.joint_test(np.eye(fit.design.p)[tested], np.zeros(tested.size), words)
