"""LocationScaleResults: what a fitted location-scale model can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from metaexo.errors import InputError, ShapeError, UnknownChoiceError
from metaexo.formatting import TEST_NAMES, number, plural, printed
from metaexo.immutable import frozen
from metaexo.inputs import check_choice, check_number
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult, WaldInference, make_test, quantiles
from metaexo.models.linear.prediction import (
    Prediction,
    adjusted_level,
    index_of,
    new_rows,
    predict_new,
    prediction_frame,
)
from metaexo.models.linear.results import FitResults, LinearResults
from metaexo.models.linear.summary import FamilyLines, coefficient_rows, coefficient_table
from metaexo.models.location_scale.fit import LocationScaleFit
from metaexo.models.location_scale.profile import intervals
from metaexo.models.univariate.residuals import predicted_effects, random_effects
from metaexo.numeric.scale.maximum import ScaleMaximum
from metaexo.readable import ReaderTable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.linear.prediction import NewRows

RESIDUALS = ("standardized", "studentized", "pearson", "cholesky")
SCALES = ("linear", "tau2", "tau")
# An effect that alone determines a coefficient is not predicted by the others.
ALONE = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class ScaleCoefficients(LinearResults):
    """Coefficients of the between-study variance with their standard errors, tests and intervals.

    Attributes
    ----------
    design : Design
        Columns of the scale.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    maximum : ScaleMaximum
        Where the likelihood is highest.
    link : {"log", "identity"}
        What is linear in the scale moderators.
    test : {"t", "z"}
        Kind of test.
    """

    design: Design
    level: float
    maximum: ScaleMaximum
    link: str
    test: str

    @property
    def intercept_words(self) -> str:
        """The null hypothesis of `omnibus` for an intercept alone, in words."""
        return "the scale intercept is zero"

    @property
    def scale(self) -> str:
        """What the scale moderators are linear in: "log tau2" or "tau2"."""
        return "tau2" if self.link == "identity" else "log tau2"

    @property
    def beta(self) -> Array:
        """Coefficients, shape (q,); infinite or NaN where the likelihood increases without bound."""
        return self.maximum.coefficients

    @property
    def model_inference(self) -> WaldInference:
        """Inverse of the observed information, shape (q, q), NaN at the boundary; t on k - q, or z."""
        df = None if self.test == "z" else float(self.maximum.tau2.size - self.design.p)
        return WaldInference(self.maximum.cov, df)

    def tau2_at(self, z: Array) -> Array:
        """Return tau2 at rows of the scale, shape (r,); NaN where an infinite coefficient leaves it open."""
        with np.errstate(invalid="ignore"):
            parts = np.where(z == 0, 0.0, z * self.beta)  # 0 times infinity counts as 0
            linear = parts.sum(axis=1)
        return np.asarray(np.exp(linear) if self.link == "log" else np.maximum(linear, 0.0))

    def mean_limits(self, level: float) -> tuple[float, float]:
        """Return the Wald interval of the mean of tau2 over the effects; of its logarithm with a log link."""
        tau2 = self.maximum.tau2
        z = self.design.matrix(tau2.size)
        mean, slope = tau2.mean(), z.mean(axis=0)
        if self.link == "log":
            slope = (z.T @ tau2) / max(tau2.sum(), 1e-300)
        half = float(quantiles(level, self.df_test)) * float(np.sqrt(slope @ self.cov @ slope))
        if self.link == "log":
            return float(mean * np.exp(-half)), float(mean * np.exp(half))
        return float(np.maximum(mean - half, 0.0)), float(mean + half)

    @printed
    def __str__(self) -> str:
        return coefficient_table(self)

    def __repr__(self) -> str:
        return f"ScaleCoefficients({', '.join(self.design.names)})"


@dataclass(frozen=True, eq=False, repr=False)
class LocationScaleResults(LocationScaleFit, FitResults):
    """A fitted location-scale model. Its own coefficients are those of the location.

    `tau2`, and with it `tau`, `i2` and `h2`, is the mean of the between-study variances over the effects;
    `tau2_by_effect` has that of each effect, and `scale_coefficients` what it depends on.

    Attributes
    ----------
    effects : EffectSizes
        What was fitted.
    maximum : ScaleMaximum
        The scale with its certificate and its log.
    link : {"log", "identity"}
        What is linear in the scale moderators.
    method, test : str
        Likelihood and kind of test.
    level : float
        Confidence level of all intervals unless a call says otherwise.
    """

    # -- the scale ---------------------------------------------------------------------------------------

    @cached_property
    def scale_coefficients(self) -> ScaleCoefficients:
        """Scale coefficients with standard errors, tests and intervals."""
        return ScaleCoefficients(self.scale_design, self.level, self.maximum, self.link, self.test)

    @property
    def scale_test(self) -> TestResult:
        """Omnibus test of all scale coefficients but the intercept (of the intercept, if it is alone)."""
        return self.scale_coefficients.moderator_test

    def conf_int_scale(
        self, names: str | Sequence[str] | None = None, level: float | None = None
    ) -> pd.DataFrame:
        r"""Return profile-likelihood intervals of the scale coefficients.

        Use them in place of the Wald intervals of `scale_coefficients`, which are symmetric: the likelihood
        of a scale coefficient often is not. The interval holds the values at which the (restricted)
        log-likelihood, all other coefficients at their best, is at most half a chi-square quantile below its
        maximum. :func:`metaexo.sensitivity.profile` has the curve, under the name ``"scale:NAME"``.

        Parameters
        ----------
        names : str or sequence of str, optional
            Scale coefficients; default all.
        level : float, optional
            Confidence level; default that of the fit.

        Returns
        -------
        DataFrame
            One row per coefficient: estimate, low, high, low_open, high_open (the likelihood does not fall
            far enough up to the edge of what the coefficient can be, or to infinity).

        Raises
        ------
        UnknownChoiceError
            If a scale coefficient is not known.
        InputError
            If the estimate of a coefficient is not finite.

        References
        ----------
        Viechtbauer, W., López-López, J. A. (2022). Location-scale models for meta-analysis. Research
        Synthesis Methods 13, 697-715. https://doi.org/10.1002/jrsm.1562
        """
        return intervals(self, names, self.at_level(level))

    def predict_scale(
        self, new: NewRows = None, level: float | None = None, scale: str = "linear"
    ) -> pd.DataFrame:
        """Return the between-study variance that the scale moderators predict, with Wald intervals.

        Parameters
        ----------
        new : array_like, dict, Series or DataFrame, shape (r, q), optional
            Rows of the moderators of the scale. Default: the rows of the fit (one row without moderators).
        level : float, optional
            Level of the intervals; default that of the fit.
        scale : {"linear", "tau2", "tau"}
            What estimates and bounds are: what is linear in the moderators (log tau2, or tau2 with the
            identity link), tau2, or tau. Standard errors are those of what is linear.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high. Where a scale coefficient is not finite, standard errors and
            bounds are NaN.

        Raises
        ------
        ShapeError
            If the rows do not have a column for each moderator.
        UnknownChoiceError
            If the scale is not known.
        """
        import pandas as pd

        check_choice("scale", scale, SCALES)
        part = self.scale_coefficients
        if new is None:
            z = np.ones((1, 1)) if self.scale_design.x is None else self.scale_design.matrix(self.k)
        else:
            z = new_rows(self.scale_design, new)
        with np.errstate(divide="ignore"):
            estimate = np.log(part.tau2_at(z)) if self.link == "log" else part.tau2_at(z)
        se = np.sqrt(np.vecdot(z @ part.cov, z))
        half = quantiles(self.at_level(level), part.df_test) * se
        columns = {"estimate": estimate, "se": se, "low": estimate - half, "high": estimate + half}
        if scale != "linear":
            for name in ("estimate", "low", "high"):
                tau2 = np.exp(columns[name]) if self.link == "log" else np.maximum(columns[name], 0.0)
                columns[name] = tau2 if scale == "tau2" else np.sqrt(tau2)
        return pd.DataFrame(columns, index=index_of(new))

    @cached_property
    def q(self) -> TestResult:
        """Cochran's Q test of (residual) heterogeneity, with weights 1/v."""
        null = self.homogeneity_words()
        return make_test(float(self._at_zero.y_p_y), "chi2", (self.df_residual,), null)

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the Wald interval of the mean of tau2: of its logarithm with a log link."""
        name = "wald-log" if self.link == "log" else "wald"
        if method is not None:
            get_interval(method, (name,))
        ends = self.scale_coefficients.mean_limits(level)
        return Tau2Limits(dict.fromkeys(self.tau2_by_component, ends), name)

    def predict(
        self,
        new: NewRows = None,
        level: float | None = None,
        scale: str | Callable[[Array], Array] = "analysis",
        *,
        scale_moderators: NewRows = None,
        kind: str = "default",
        sampling_variance: float = 0.0,
        adjust: str | None = None,
        transform: str | Callable[[Array], Array] | None = None,
    ) -> pd.DataFrame:
        """Return mean effects with confidence intervals, and prediction intervals by the variance there.

        Parameters
        ----------
        new : array_like, dict, Series or DataFrame, shape (r, q), optional
            Rows of the moderators of the mean. What has names holds those of the scale as well, unless
            `scale_moderators` is given. Default: the rows of the fit (one row
            if neither part has moderators).
        level, scale : float and str, optional
            As in :meth:`metaexo.models.FitResults.predict`.
        scale_moderators : array_like, dict, Series or DataFrame, shape (r, q), optional
            Rows of the moderators of the scale.
        kind, sampling_variance, adjust, transform : str, float, str and str, optional
            As there.

        Returns
        -------
        DataFrame
            Columns estimate, se, low, high, prediction_se, prediction_low, prediction_high, tau2. Where a
            scale coefficient is not finite, tau2 of new rows is NaN unless it is sure to be 0.

        Raises
        ------
        ShapeError
            If the rows do not have a column for each moderator, or differ in number.
        InputError
            If rows are missing for a part that has moderators.
        """
        found, tau2 = self._predicted(new, scale_moderators, kind, sampling_variance)
        table = prediction_frame(
            self,
            found,
            adjusted_level(self, level, adjust, len(tau2)),
            scale if transform is None else transform,
            index_of(scale_moderators if new is None else new),
        )
        table["tau2"] = tau2
        return table

    def probability_above(
        self,
        value: float = 0.0,
        new: NewRows = None,
        kind: str = "default",
        *,
        scale_moderators: NewRows = None,
    ) -> Array:
        """Return the probability that the true effect of a new study exceeds a value, shape (r,).

        It is from the same distribution as the prediction interval of `predict`, by the variance of each row.
        """
        found, _ = self._predicted(new, scale_moderators, kind, 0.0)
        return found.above(check_number("value", value))

    def _predicted(
        self, new: NewRows, scale_moderators: NewRows, kind: str, sampling_variance: float
    ) -> tuple[Prediction, Array]:
        """Return the prediction for rows of both parts, those of the fit by default, and tau2 at each."""
        moderated = self.design.x is not None or self.scale_design.x is not None
        if new is None and scale_moderators is None and moderated:
            x, tau2 = self.design.matrix(self.k), self.tau2_by_effect
        else:
            x, z = self._new_rows(new, scale_moderators)
            tau2 = self.scale_coefficients.tau2_at(z)
        found = predict_new(self, x, kind, sampling_variance)
        of_mean = 0.0 if kind == "simple" else found.se**2
        return replace(found, prediction_se=np.sqrt(of_mean + tau2 + sampling_variance)), tau2

    def _new_rows(self, location: NewRows, scale: NewRows) -> tuple[Array, Array]:
        """Return rows of both designs, as many of one as of the other."""
        if scale is None and _has_names(location):
            _refuse_unknown(location, (*self.design.needed, *self.scale_design.needed))
            location, scale = (_part(location, one) for one in (self.design, self.scale_design))
        parts = []
        for what, design, rows in (
            ("location", self.design, location),
            ("scale", self.scale_design, scale),
        ):
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

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return a residual per effect: columns fitted, residual, its standard error se, and their ratio z.

        Parameters
        ----------
        kind : {"standardized", "studentized", "pearson", "cholesky"}
            What the standard error is. "standardized": that of the residual, which allows for the estimation
            of the coefficients. "studentized": effect minus what the other effects predict for it, over the
            standard error of that difference, at the variances of the fit. "pearson": the standard deviation
            of the effect, sqrt(v + tau2). "cholesky": that of uncorrelated residuals, in order; here the
            same.
        """
        import pandas as pd

        check_choice("kind of residual", kind, RESIDUALS)
        x, total = self.design.matrix(self.k), self.effects.v + self.tau2_by_effect
        residual, variance = self.effects.y - x @ self.beta, total
        if kind not in ("pearson", "cholesky"):
            left = 1 - np.vecdot(x @ self.cov, x) / total  # 1 minus the leverage
            left = np.where(left > ALONE, left, np.nan)
            variance = total * left if kind == "standardized" else total / left
            residual = residual if kind == "standardized" else residual / left
        se = np.sqrt(variance)
        return pd.DataFrame(
            {"fitted": self.effects.y - residual, "residual": residual, "se": se, "z": residual / se},
            index=list(self.effects.row_labels),
        )

    @property
    def weights(self) -> Array:
        """Share of each effect, 1 / (v + tau2) scaled to sum to 1, shape (k,)."""
        w = 1 / (self.effects.v + self.tau2_by_effect)
        return frozen(np.asarray(w / w.sum()))

    @property
    def hat_matrix(self) -> Array:
        """The matrix that takes effects to fitted values, shape (k, k)."""
        x, w = self.design.matrix(self.k), 1 / (self.effects.v + self.tau2_by_effect)
        return frozen(np.asarray((x @ self.wls.cov) @ (x.T * w)))

    @property
    def hat_values(self) -> Array:
        """Leverage of each effect, the diagonal of the hat matrix, shape (k,)."""
        x = self.design.matrix(self.k)
        return frozen(np.vecdot(x @ self.wls.cov, x) / (self.effects.v + self.tau2_by_effect))

    def cov_effects(self) -> Array:
        """Return the covariance matrix of the effects under the model, sampling errors included, (k, k)."""
        return frozen(np.diag(self.effects.v + self.tau2_by_effect))

    def cov_residuals(self) -> Array:
        """Return the covariance matrix of the raw residuals, shape (k, k)."""
        x = self.design.matrix(self.k)
        return frozen(np.diag(self.effects.v + self.tau2_by_effect) - x @ self.wls.cov @ x.T)

    def blup(self, level: float | None = None) -> pd.DataFrame:
        """Return the best prediction of each study's true effect: its own effect drawn towards the fit.

        The prediction for study i is l y + (1 - l) f, with its fitted value f and l = tau2 / (tau2 + v) with
        its own tau2. Columns estimate, se, low, high, one row per effect.
        """
        return predicted_effects(self, self.tau2_by_effect, level, deviations=False)

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted deviation of each true effect from its mean, with intervals.

        Columns component, level (the row's label), estimate, se, low, high, one row per effect.
        """
        return random_effects(self, self.tau2_by_effect, level)

    # -- for readers -------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Return by name what only this family knows: the scale, and tau2 of each effect."""
        return super().facts() | {
            "link": self.link,
            "scale_coefficients": self.scale_coefficients.to_frame(),
            "scale_covariance": self.scale_coefficients.cov,
            "scale_test": self.scale_test,
            "tau2_by_effect": self.tau2_by_effect,
        }

    def reader_tables(self) -> list[ReaderTable]:
        """Return the coefficients of the mean, those of the scale, and the heterogeneity, numbers rounded."""
        first, *others = super().reader_tables()
        scale = self.scale_coefficients
        return [
            first._replace(title="moderators of the mean"),
            ReaderTable(*coefficient_rows(scale), f"moderators of {scale.scale}"),
            *others,
        ]

    def family_lines(self) -> FamilyLines:
        """Return the link, the scale coefficients and how the maximum was found, in words."""
        found, scale, tau = self.maximum, self.scale_coefficients, np.sqrt(self.tau2_by_effect)
        zero = [f"tau2 = 0 in {plural(int(found.zero.sum()), 'row')}"] if found.zero.any() else []
        return FamilyLines(
            model="Location-scale model",
            tests=TEST_NAMES[self.test],
            fitted=(f"{self.method}, {self.link} link",),
            heterogeneity=(
                "tau and tau2: those of the mean of tau2 over the effects; "
                f"tau from {number(float(tau.min()), 4)} to {number(float(tau.max()), 4)}",
                f"moderators of {scale.scale}:\n{coefficient_table(scale)}",
                f"{scale.scale}: {self.scale_test}",
            ),
            certificate=(
                "converged at the highest maximum found",
                f"{plural(len(found.log), 'start')}, {plural(found.maxima, 'local maximum', 'local maxima')}",
                *zero,
            ),
        )

    def __repr__(self) -> str:
        tau2 = self.tau2_by_effect
        return (
            f"LocationScaleResults({self.measure.code}, {self.method}, {self.link} link: "
            f"k = {self.k}, tau2 {tau2.min():.4g} to {tau2.max():.4g})"
        )


def _has_names(new: Any) -> bool:
    """Say whether new rows name their moderators: a table, a dict, or a series that is one row."""
    return isinstance(new, Mapping) or hasattr(new, "columns") or hasattr(new, "iloc")


def _names(new: Any) -> list[Any]:
    if isinstance(new, Mapping):
        return list(new)
    return list(new.columns if hasattr(new, "columns") else new.index)


def _refuse_unknown(new: Any, needed: tuple[str, ...]) -> None:
    """Raise if a dict names a moderator of neither part; tables may have further columns."""
    for name in _names(new) if isinstance(new, Mapping) else ():
        if name not in needed:
            raise UnknownChoiceError("moderator", name, tuple(dict.fromkeys(needed)))


def _part(new: Any, design: Design) -> Any:
    """Return the entries of named new rows that a design needs."""
    if design.x is None:
        return None
    names = [name for name in _names(new) if str(name) in design.needed]
    if isinstance(new, Mapping):
        return {name: new[name] for name in names}
    if hasattr(new, "columns"):
        return new[names]
    return new[names] if set(map(str, names)) == set(design.needed) else new
