"""Coefficients and LinearFit: the records that every fitted linear model is."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes, counts_in_words
from metaexo.effects.derivation import Derivation
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import Measure
from metaexo.errors import InputError, ShapeError
from metaexo.immutable import Immutable, lock
from metaexo.inputs import LARGEST, check_level, read_numbers
from metaexo.ledger import Ledger, versions
from metaexo.models.linear.cautions import cautions_of_estimates, cautions_of_range
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel
from metaexo.models.linear.hypothesis import (
    DfRule,
    OwnInference,
    RobustCovariance,
    TestResult,
    WaldInference,
    combine,
    quantiles,
    two_sided_pvalues,
    wald_statistics,
)
from metaexo.numeric.sandwich import Sandwich
from metaexo.types import Array, Index, Mask


class Tau2Limits(NamedTuple):
    """Intervals of the between-study variances of a fit."""

    bounds: Mapping[str, tuple[float, float]]  # component to the ends for its tau2; NaN where there are none
    method: str  # how they were found, by its one name: "q-profile"
    note: str = ""  # what is special about them; may be empty


class Coefficients(Immutable, ABC):
    """Base of all records with coefficients: their covariance matrix, tests and intervals.

    A record gives `design`, `level`, `beta` and `model_inference`; the rest follows.
    """

    design: Design  # columns of the linear predictor
    level: float  # of all intervals unless a call says otherwise
    robust_covariance: RobustCovariance | None = None  # takes the place of the inference by the model

    @property
    @abstractmethod
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""

    @property
    @abstractmethod
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests by the model."""

    @property
    def wald(self) -> WaldInference:
        """Covariance matrix of the coefficients and their tests: cluster-robust, or by the model."""
        return self.robust_covariance or self.model_inference

    @property
    def cov(self) -> Array:
        """Covariance matrix of the coefficients, shape (p, p), the scale of the test included."""
        return self.wald.cov

    @property
    def df_test(self) -> float | None:
        """Degrees of freedom of the t distribution; None for z. Single coefficients may have others."""
        return self.wald.df

    @cached_property
    def se(self) -> Array:
        """Standard errors of the coefficients, shape (p,)."""
        return lock(np.sqrt(np.diagonal(self.cov)))

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, rows of shape (q, p); None for z."""
        return self.wald.df_of(self._combinations(rows)[0])

    def joint_test(self, rows: Array, null: Array, words: str) -> TestResult:
        """Return the Wald test that combinations of coefficients have given values.

        The rows, shape (q, p), are the combinations, `null`, shape (q,), their values, and `words` says so.
        """
        rows, null = self._combinations(rows, null)
        return self.wald.joint_test(rows, combine(rows, self.beta, self.cov)[0] - null, words)

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

    @property
    def intercept_words(self) -> str:
        """The null hypothesis of `omnibus` for an intercept alone, in words."""
        return "the pooled effect is zero"

    @property
    def omnibus(self) -> TestResult:
        """Test of all coefficients but the intercept (of the intercept, if it is alone)."""
        tested = self.design.tested
        names = ", ".join(self.design.names[j] for j in tested)
        words = self.intercept_words if self.design.x is None else f"no effect of {names}"
        if self.design.intercept is None and any(
            "means" in self.design.null_of(t) for t in self.design.terms
        ):
            words = " and ".join(self.design.null_of(term) for term in self.design.terms)
        return self.joint_test(np.eye(self.design.p)[tested], np.zeros(tested.size), words)

    @property
    def df_by_coefficient(self) -> Array | None:
        """Degrees of freedom of each coefficient, shape (p,); None for z."""
        return lock(self.df_of(np.eye(self.design.p)))

    @property
    def wald_statistics(self) -> Array:
        """Test statistics of the coefficients, shape (p,); NaN where the standard error is 0, or not used."""
        if self.own_inference(np.eye(self.design.p)) is not None:
            return lock(np.full(self.design.p, np.nan))
        return lock(wald_statistics(self.beta, self.se))

    @property
    def wald_pvalues(self) -> Array:
        """Two-sided p-values of the coefficients, shape (p,); NaN on fewer than 1 degree of freedom."""
        own = self.own_inference(np.eye(self.design.p))
        if own is not None:
            return lock(own.pvalues(np.zeros(self.design.p)))
        return lock(two_sided_pvalues(self.wald_statistics, self.df_by_coefficient))

    def bounds(self, level: float | None = None) -> tuple[Array, Array]:
        """Return the ends of the confidence intervals of the coefficients, each of shape (p,)."""
        own = self.own_inference(np.eye(self.design.p))
        if own is not None:
            return own.ends(self.at_level(level))
        half = quantiles(self.at_level(level), self.df_by_coefficient) * self.se
        return self.beta - half, self.beta + half

    def own_inference(self, rows: Array) -> OwnInference | None:
        """Return intervals and p-values of combinations, shape (q, p), of another kind than Wald's.

        None where they are made of the standard error: an estimate plus and minus a multiple of it.
        """
        return None

    def at_level(self, level: float | None) -> float:
        """Return a confidence level, checked; that of the fit if none is given."""
        return self.level if level is None else check_level(level)

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the intervals and tests; empty if there is nothing.

        The same lines stand below the tables of the fit and in its summary.
        """
        return cautions_of_estimates(self.design.names, self.se, self.df_by_coefficient)


class LinearFit(Coefficients):
    """Base of the records of all fitted models: a family inherits it in a frozen dataclass.

    The fields of a family are at least those below. It gives `beta` and `model_inference` (covariance matrix
    and tests), `tau2_by_component`, `typical_variance`, `tau2_limits` and `fit_statistics`. A family whose
    coefficients can have a cluster-robust covariance matrix gives `_sandwich_of` and has the field
    `robust_covariance`. All else follows from these.
    """

    effects: EffectSizes | BoundedEffectSizes
    method: str  # estimator of the heterogeneity
    test: str

    # -- what was fitted ---------------------------------------------------------------------------------

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.effects.k

    @property
    def m(self) -> int:
        """Number of studies."""
        return self.effects.m

    @property
    def rows_in_words(self) -> str:
        """How many rows of how many studies were fitted."""
        return counts_in_words(self.effects)

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """How each effect that was fitted came about; empty if that is not known."""
        return self.effects.derived

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom k - p."""
        return self.k - self.design.p

    @property
    def ledger(self) -> Ledger:
        """Rows used and left out."""
        return self.effects.ledger or Ledger.of_rows(self.k)

    @property
    def measure(self) -> Measure:
        """Effect-size measure of the effects."""
        return self.effects.measure

    @property
    def scale(self) -> str:
        """What the estimates are, in words: "log risk ratio"."""
        return self.measure.name

    @property
    def intercept_words(self) -> str:
        """The null hypothesis of `omnibus` for an intercept alone, in words.

        Where the measure has no value of no effect it says what the tested value is: a logit of zero is a
        proportion of 0.5.
        """
        if math.isfinite(self.measure.null):
            return super().intercept_words
        value = float(self.measure.back(np.zeros(1))[0])
        return f"the pooled {self.measure.display.lower()} is {value:.4g}"

    def homogeneity_words(self, rows: str = "studies") -> str:
        """Return the null hypothesis of a test of (residual) heterogeneity, in words."""
        if self.design.x is not None:
            return "no residual heterogeneity"
        has_null = math.isfinite(self.measure.null)
        return f"all {rows} share one true {'effect' if has_null else self.measure.display.lower()}"

    @property
    def digest(self) -> str:
        """Fingerprint of effects, sampling variances and design: the same data give the same one."""
        parts = [np.ascontiguousarray(part).tobytes() for part in self.digest_parts()]
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of."""
        assert isinstance(self.effects, EffectSizes)
        return [self.effects.y, self.effects.v, self.design.matrix(self.k)]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the numbers."""
        return versions()

    def _sandwich_of(self, members: Sequence[Index], kind: str, df_rule: DfRule) -> Sandwich:
        """Return the cluster-robust covariance matrix for the rows of each cluster; here there is none."""
        raise InputError(
            f"{type(self).__name__} have no cluster-robust covariance matrix",
            "a fit of RandomEffects or Multilevel",
            "fit the effects with Multilevel, whose random terms describe the dependence",
        )

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether true effects differ between studies in this model; False for equal effects."""
        return True

    @property
    def tau2_is_estimated(self) -> bool:
        """Whether the heterogeneity is estimated, neither given nor left out of the model."""
        return self.is_random

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """Component of the heterogeneity to its variance."""
        return {}

    @property
    def tau2(self) -> float:
        """Variance of true effects around their mean: the sum over the components."""
        return float(sum(self.tau2_by_component.values()))

    @property
    def tau(self) -> float:
        """Standard deviation of true effects around their mean, in units of the effect."""
        return math.sqrt(self.tau2)

    @property
    def tau2_shares(self) -> Array:
        """Share of each component in tau2, shape (components,); NaN if tau2 is 0."""
        values = np.array(list(self.tau2_by_component.values()), dtype=float)
        return lock(values / self.tau2 if self.tau2 > 0 else np.full(values.size, np.nan))

    @property
    def new_effect_variance(self) -> float:
        """Variance of a new true effect around its mean; NaN where it depends on more than x."""
        return self.tau2

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical effect; NaN where there is none."""
        return math.nan

    @property
    def i2(self) -> float:
        """Share of the variability of effects that is heterogeneity, a fraction.

        tau2 / (tau2 + typical sampling variance) (Higgins and Thompson 2002).
        """
        total = self.tau2 + self.typical_variance
        return 0.0 if total == 0 else self.tau2 / total

    @property
    def h2(self) -> float:
        """Total over sampling variability, 1 / (1 - I2)."""
        return 1.0 if self.typical_variance == 0 else self.tau2 / self.typical_variance + 1

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return intervals of the components, by default by the method of the family; None if it has none."""
        if method is not None:
            get_interval(method, ())
        return None

    def no_single_mean(self) -> tuple[str, str]:
        """Return why a fit with several coefficients has no single pooled effect, and what to do."""
        return (
            "this fit has moderators, so there is no single pooled effect",
            "use predict() at the moderator values of interest",
        )

    # -- likelihood --------------------------------------------------------------------------------------

    @property
    def has_likelihood(self) -> bool:
        """Whether the model has a likelihood, for `fit_statistics` and what rests on it."""
        return True

    @property
    def rows_in_likelihood(self) -> Mask:
        """Which effects the likelihood is of, shape (k,)."""
        return lock(np.ones(self.k, dtype=bool))

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc.

        Parameters
        ----------
        restricted : bool, optional
            From the restricted likelihood; default: for REML fits.
        """
        raise InputError(f"{type(self).__name__} have no likelihood", "a fit by maximum likelihood")

    def variance_model(self) -> VarianceModel | None:
        """Return how the heterogeneity depends on parameters, for likelihood-ratio tests; None if unknown."""
        return None

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

    @property
    def certificate(self) -> Any:
        """What is known about the maximum of the likelihood; None where nothing was maximised."""
        return None

    def cautions(self) -> tuple[str, ...]:
        """Return what to know before relying on the intervals and tests; empty if there is nothing."""
        found = super().cautions()
        if self.design.x is not None:
            return found
        low, high = (float(ends[0]) for ends in self.bounds())
        return (*found, *cautions_of_range(self.effects, {"interval of the pooled effect": (low, high)}))
