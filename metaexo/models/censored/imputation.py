"""Multiple imputation of censored evidence, combined by Rubin's rules, as a check of the likelihood.

Censored rows are drawn from normal distributions within their intervals, by inversion.

References
----------
Rubin, D. B. (1987). Multiple Imputation for Nonresponse in Surveys. Wiley.
https://doi.org/10.1002/9780470316696
Barnard, J., Rubin, D. B. (1999). Small-sample degrees of freedom with multiple imputation. Biometrika 86,
948-955. https://doi.org/10.1093/biomet/86.4.948
Devroye, L. (1986). Non-Uniform Random Variate Generation, section II.2 (inversion). Springer.
https://doi.org/10.1007/978-1-4613-8643-8
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.errors import InputError, NotIdentifiableError
from metaexo.formatting import interval, number, percent, plural
from metaexo.immutable import lock
from metaexo.inputs import check_choice, check_flag, check_number
from metaexo.models.censored.effects import count_in_words
from metaexo.models.censored.evidence import expected_effects, q_test
from metaexo.models.censored.evidence import random_effects as predicted_deviations
from metaexo.models.censored.fit import CENSORED_TESTS, CensoredFit
from metaexo.models.linear.design import Design
from metaexo.models.linear.hypothesis import TestResult, WaldInference
from metaexo.models.linear.results import FitResults
from metaexo.models.linear.summary import FamilyLines
from metaexo.numeric.censored.limits import tau2_limits
from metaexo.numeric.censored.maximum import criterion_at
from metaexo.numeric.censored.rows import CensoredBatch
from metaexo.numeric.censored.terms import likeliest_mean, log_interval
from metaexo.numeric.estimators import get_estimator
from metaexo.numeric.moments import weighted_fit
from metaexo.numeric.problem import make_batch
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

GRID_POINTS = 400
# The grid of tau ends where the criterion is so much below its maximum.
DEEP = 12.0


@dataclass(frozen=True, eq=False, kw_only=True)
class RubinInference(WaldInference):
    """Inference by Rubin's rules: the total covariance matrix, and df of Barnard and Rubin."""

    between: Array  # covariance matrix of the coefficients between imputations
    draws: int
    complete_df: float  # if nothing were censored; infinite for normal quantiles

    def df_of(self, rows: Array) -> Array | None:
        """Return the degrees of freedom of combinations of coefficients, shape (q,); None for z."""
        if np.isinf(self.complete_df):
            return None
        between = (1 + 1 / self.draws) * np.einsum("qp,pr,qr->q", rows, self.between, rows)
        share = between / np.einsum("qp,pr,qr->q", rows, self.cov, rows)
        observed = (self.complete_df + 1) / (self.complete_df + 3) * self.complete_df * (1 - share)
        with np.errstate(divide="ignore"):
            by_draws = (self.draws - 1) / share**2
        return lock(np.asarray(1 / (1 / by_draws + 1 / observed)))


@dataclass(frozen=True, eq=False, repr=False)
class ImputedResults(FitResults):
    """A fit of censored evidence by multiple imputation, combined by Rubin's rules.

    Attributes
    ----------
    effects : BoundedEffectSizes
        What was imputed.
    design : Design
        Columns of the mean.
    method, test : str
        Criterion of tau2 and kind of test in each completed data set.
    level : float
        Level of the intervals.
    estimates : ndarray, shape (draws, p)
        Coefficients of each completed data set.
    covariances : ndarray, shape (draws, p, p)
        Their covariance matrices.
    tau2_draws : ndarray, shape (draws,)
        tau2 of each completed data set.
    complete_df : float
        Degrees of freedom if nothing were censored; infinite for normal quantiles.
    likelihood : CensoredResults
        The fit by likelihood that this one must agree with.
    seed : int
        Seed of the random numbers.
    draw_tau2 : bool
        Whether tau2 was drawn for each imputation.
    """

    effects: BoundedEffectSizes
    design: Design
    method: str
    test: str
    level: float
    estimates: Array
    covariances: Array
    tau2_draws: Array
    complete_df: float
    likelihood: CensoredFit
    seed: int
    draw_tau2: bool

    @property
    def draws(self) -> int:
        """Number of imputations."""
        return int(self.estimates.shape[0])

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,): the mean over the imputations."""
        return lock(np.asarray(self.estimates.mean(axis=0)))

    @property
    def between(self) -> Array:
        """Covariance matrix of the coefficients between imputations, shape (p, p)."""
        away = self.estimates - self.beta
        return lock(np.asarray(away.T @ away / (self.draws - 1)))

    @cached_property
    def model_inference(self) -> WaldInference:
        """Total covariance matrix by Rubin's rules, within + (1 + 1/draws) between, and tests."""
        between = self.between
        total = self.covariances.mean(axis=0) + (1 + 1 / self.draws) * between
        found = RubinInference(
            cov=total, df=None, between=between, draws=self.draws, complete_df=self.complete_df
        )
        df = found.df_of(np.eye(self.design.p)[:1])
        return found if df is None else replace(found, df=float(df[0]))

    @property
    def missing_information(self) -> Array:
        """Share of the variance of each coefficient that is due to censoring, shape (p,)."""
        return lock(np.asarray((1 + 1 / self.draws) * np.diagonal(self.between) / np.diagonal(self.cov)))

    @property
    def monte_carlo_error(self) -> Array:
        """Monte Carlo standard error of the coefficients, shape (p,)."""
        return lock(np.asarray(np.sqrt(np.diagonal(self.between) / self.draws)))

    # -- heterogeneity and rows --------------------------------------------------------------------------

    @property
    def tau2_is_estimated(self) -> bool:
        """Whether tau2 is estimated in each completed data set, and not given."""
        return self.likelihood.tau2_is_estimated

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The between-study variance by name: the mean over the imputations."""
        return {"between studies": float(self.tau2_draws.mean())}

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, that of the fit by likelihood."""
        return self.likelihood.typical_variance

    @property
    def q(self) -> TestResult:
        """Cochran's Q where all effects are exact; with censored ones statistic and p-value are NaN."""
        return q_test(self.likelihood, "see the test of the fit by likelihood")

    @property
    def has_likelihood(self) -> bool:
        """No: the completed data sets have no common likelihood; `likelihood` is the fit that has one."""
        return False

    def digest_parts(self) -> list[Array]:
        """Return the arrays that the digest is made of: those of the fit by likelihood, and the draws."""
        return [*self.likelihood.digest_parts(), self.tau2_draws]

    def residuals(self, kind: str = "standardized") -> pd.DataFrame:
        """Return the residuals of expected effects: columns fitted, residual, se and z.

        Standard errors are missing: each completed data set has others.
        """
        import pandas as pd

        check_choice("kind of residual", kind, ("standardized",))
        fitted = self.design.matrix(self.k) @ self.beta
        nothing = np.full(self.k, np.nan)
        return pd.DataFrame(
            {
                "fitted": fitted,
                "residual": expected_effects(self.likelihood) - fitted,
                "se": nothing,
                "z": nothing,
            },
            index=list(self.effects.labels),
        )

    def random_effects(self, level: float | None = None) -> pd.DataFrame:
        """Return the predicted deviations of the fit by likelihood."""
        return predicted_deviations(self.likelihood, self.at_level(level))

    # -- for readers -------------------------------------------------------------------------------------

    def family_lines(self) -> FamilyLines:
        """Return what this family adds to the summary and to the notes below the tables."""
        pooled = []
        other = self.likelihood
        for name, error, missing, beta, low, high in zip(
            self.design.names,
            self.monte_carlo_error,
            self.missing_information,
            other.beta,
            *other.bounds(self.level),
            strict=True,
        ):
            pooled.append(
                f"{name}: Monte Carlo error {number(error, 4)}, {percent(missing)} of the information "
                f"censored; by likelihood {number(beta, 4)} ({interval(low, high, 4)})"
            )
        return FamilyLines(
            model="Random-effects model by multiple imputation",
            tests=f"{CENSORED_TESTS[self.test].partition(',')[0]}, Rubin's rules",
            fitted=(f"evidence: {count_in_words(other.kinds)}", plural(self.draws, "imputation")),
            pooled=tuple(pooled),
        )

    def facts(self) -> dict[str, Any]:
        """Return what this family adds to `to_dict`."""
        return super().facts() | {
            "draws": self.draws,
            "monte_carlo_error": self.monte_carlo_error,
            "missing_information": self.missing_information,
        }

    def __repr__(self) -> str:
        return f"ImputedResults({self.draws} imputations)"


def impute(fit: CensoredFit, draws: int, seed: int, draw_tau2: bool = True) -> ImputedResults:
    """Return a fit by multiple imputation; see `CensoredResults.impute`.

    tau2 is drawn from its criterion with a flat prior on tau, the coefficients from their normal
    approximation at that tau2, and each censored effect from its truncated normal distribution.
    """
    for name, number_of in (("draws", draws), ("seed", seed)):
        value = check_number(name, number_of)
        least = 2 if name == "draws" else 0
        if not least <= value < 1e9 or value != int(value):
            raise InputError(f"{name} is {number_of}", f"a whole number of at least {least}")
    draws, seed = int(draws), int(seed)
    check_flag("draw_tau2", draw_tau2)
    rng = np.random.default_rng(seed)
    fixed = fit.tau2_given or not draw_tau2
    tau2 = np.full(draws, fit.tau2) if fixed else _draw_tau2(fit, draws, rng)
    batch = fit.batch.take(np.zeros(draws, dtype=np.intp))
    at = likeliest_mean(batch, tau2, np.repeat(fit.maximum.gamma, draws, axis=0))
    root = np.linalg.cholesky(np.linalg.inv(at.information))
    gamma = at.gamma + np.einsum("bpq,bq->bp", root, rng.standard_normal(at.gamma.shape))
    y, v = draw_effects(batch, gamma, tau2, rng)
    beta, cov, of_draws = _fit_completed(fit, y, v)
    df = np.inf if fit.test == "z" else float(fit.k - fit.design.p)
    return ImputedResults(
        effects=fit.effects,
        design=fit.design,
        method=fit.method,
        test=fit.test,
        level=fit.level,
        estimates=beta,
        covariances=cov,
        tau2_draws=of_draws,
        complete_df=df,
        likelihood=fit,
        seed=seed,
        draw_tau2=draw_tau2,
    )


def _draw_tau2(fit: CensoredFit, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of tau2 from its criterion, with a flat prior on tau."""
    closed = float(fit.batch.two_ended[0]) - fit.design.p
    if closed < 2:
        raise NotIdentifiableError(
            f"only {closed:.0f} more effects that are points or have two ends than coefficients: the "
            "distribution of tau that its likelihood gives has no end, so there is nothing to draw from",
            "two more at least",
            "impute at the estimate of tau2, with draw_tau2=False",
        )
    restricted = fit.method == "REML"
    _, high = tau2_limits(fit.batch, fit.maximum, restricted, DEEP)
    tau = np.linspace(0.0, np.sqrt(high[0]), GRID_POINTS)
    height = criterion_at(fit.batch, np.zeros(GRID_POINTS, dtype=np.intp), tau**2, restricted).height
    density = np.exp(height - height.max())
    reached = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return np.asarray(np.interp(rng.uniform(size=draws) * reached[-1], reached, tau) ** 2)


def _fit_completed(fit: CensoredFit, y: Array, v: Array) -> tuple[Array, Array, Array]:
    """Return coefficients, covariance matrices and tau2 of completed data sets."""
    batch = make_batch(y, v, fit.design.x)
    tau2 = np.full(len(y), fit.tau2) if fit.tau2_given else get_estimator(fit.method).kernel(batch).tau2
    wls = weighted_fit(batch, 1.0 / (batch.v + tau2[:, None]))
    scale = np.ones(len(y))
    if fit.test.startswith("knapp-hartung"):
        scale = wls.weighted_ss / batch.df
        scale = np.maximum(scale, 1.0) if fit.test.endswith("adhoc") else scale
    return wls.beta, wls.cov * scale[:, None, None], tau2


def truncated_normal(lower: Array, upper: Array, sd: Array, uniform: Array) -> Array:
    """Return the values of a normal variable with mean 0 within (lower, upper), by inversion.

    It works on logarithms of the nearer tail, so that intervals far from the mean are drawn from as well. The
    ends may be infinite; `uniform` are numbers between 0 and 1, all of one shape.
    """
    a, b = lower / sd, upper / sd
    with np.errstate(invalid="ignore"):
        turned = a + b > 0
    low, high = np.where(turned, -b, a), np.where(turned, -a, b)
    share = np.where(turned, 1.0 - uniform, uniform)
    with np.errstate(divide="ignore"):
        log_p = np.logaddexp(log_ndtr(low) + np.log1p(-share), log_ndtr(high) + np.log(share))
    drawn = np.clip(ndtri_exp(log_p), low, high)
    return np.asarray(np.where(turned, -drawn, drawn) * sd)


def draw_effects(
    batch: CensoredBatch, gamma: Array, tau2: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return effects and sampling variances with every censored row drawn once a problem, shape (B, K).

    A row with two ends of unequal variances is drawn before its division by the relative error of the
    standard deviation, with the variance that an effect of zero has. `gamma`, shape (B, P), are coefficients
    on the basis, the offset left out.
    """
    eta = gamma @ batch.basis.T
    y, v = batch.y.copy(), batch.v.copy()
    at = np.nonzero(batch.censored)
    if at[0].size:
        pieces = np.arange(at[0].size), _pieces(batch, eta, tau2, at, rng)
        ends = [end[at][pieces] - eta[at] for end in (batch.lower, batch.upper)]
        v[at] = batch.piece_v[at][pieces]
        sd = np.sqrt(v[at] + tau2[at[0]])
        y[at] = eta[at] + truncated_normal(ends[0], ends[1], sd, rng.uniform(size=sd.size))
    shift = batch.offset @ np.linalg.inv(batch.to_x.T) @ batch.basis.T if batch.p else 0.0
    return y + shift, v


def _pieces(
    batch: CensoredBatch, eta: Array, tau2: Array, at: tuple[NDArray[np.intp], ...], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return which interval of its mixture each censored row is drawn from."""
    if batch.lower.shape[-1] == 1:
        return np.zeros(at[0].size, dtype=np.intp)
    mean = eta[at][:, None]
    sd = np.sqrt(batch.piece_v[at] + tau2[at[0]][:, None])
    joint = batch.log_weight[at] + log_interval((batch.lower[at] - mean) / sd, (batch.upper[at] - mean) / sd)
    share = np.exp(joint - joint.max(axis=-1, keepdims=True))
    reached = np.cumsum(share, axis=-1) / share.sum(axis=-1, keepdims=True)
    return np.asarray((reached < rng.uniform(size=at[0].size)[:, None]).sum(axis=-1))
