"""CountGLMMFit: the record of a fitted mixed model of counts, and the numbers that follow from it.

In the saturated model every study has an effect of its own. With study intercepts that are estimated, and in
conditional models, its log-likelihood is the highest that the counts of each study allow; with random study
intercepts it is a mixed model of its own, with a coefficient per study. Where a study's own effect is
infinite, the likelihood is its limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.counts.fit import CountFit
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.counts.formulations import FIXED, RANDOM, Formulation, formulate
from metaexo.numeric.counts.kernels import Binomial, CountKernel, Poisson
from metaexo.numeric.counts.maximum import CountMaximum
from metaexo.types import Array, Mask

BETWEEN = "between studies"
NEWTON_STEPS = 100
# The time of an arm that is taken out of a likelihood: no event is expected in it.
NO_TIME = -700.0


@dataclass(frozen=True, slots=True)
class Saturated:
    """The model in which every study has an effect of its own."""

    llf: float  # log-likelihood
    y: Array  # (n,): effects of the studies in which it is finite
    cov: Array  # (n, n): their covariance matrix
    finite: Mask  # (k,): which studies these are


@dataclass(frozen=True, slots=True)
class CountCertificate:
    """What is known about the maximum of the likelihood of a mixed model of counts.

    Attributes
    ----------
    at_boundary : bool
        Whether a variance of random effects is 0, or their correlation 1 or -1, because no value inside fits
        better.
    gradient : float
        Largest derivative of the log-likelihood by a parameter (in standardised columns) that is free.
    promised : float
        Increase of the log-likelihood that one more Newton step promises.
    curvature : float
        Smallest curvature of the log-likelihood in the free directions; above 0 at a maximum.
    boundary_curvature : float
        Largest second derivative by a standard deviation that is 0; not above 0 at a maximum. NaN if none is.
    maxima : int
        Local maxima that were found; the fit is the highest.
    steps : int
        Newton steps of the last climb.
    certified : bool
        Whether all this says that it is a maximum.
    """

    at_boundary: bool
    gradient: float
    promised: float
    curvature: float
    boundary_curvature: float
    maxima: int
    steps: int
    certified: bool


@dataclass(frozen=True, eq=False, repr=False)
class CountGLMMFit(CountFit):
    """A fitted mixed model of counts; `CountGLMMResults` describes the fields."""

    counts: EventCounts
    effects: EffectSizes
    design: Design
    maximum: CountMaximum
    model: str
    link: str
    coding: tuple[float, float]
    correlated: bool
    points: int
    method: str
    test: str
    level: float

    def _formulation(self, random: bool) -> Formulation:
        """Return the model as the kernels see it, with or without random effects of the treatment."""
        return formulate(
            self.model,
            self.counts.events[None],
            self.counts.totals[None],
            self.design.matrix(self.k)[None],
            person_time=self.counts.person_time,
            link=self.link,
            coding=self.coding,
            random=random,
            correlated=self.correlated,
            points=self.points,
        )

    @cached_property
    def own_formulation(self) -> Formulation:
        """The model as the kernels see it."""
        return lock(self._formulation(self.is_random))

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def beta(self) -> Array:
        """Coefficients, shape (p,)."""
        return lock(np.asarray(self.own_formulation.back[0] @ self.maximum.psi[0, : self.design.p]))

    @cached_property
    def parameter_cov(self) -> Array:
        """Inverse of the observed information of all parameters; 0 for those at the boundary."""
        free = self.maximum.free[0]
        cov = np.zeros((free.size, free.size))
        cov[np.ix_(free, free)] = np.linalg.inv(-self.maximum.hessian[0][np.ix_(free, free)])
        return lock(cov)

    @cached_property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients, and their tests: t on k - p, or z."""
        p, back = self.design.p, self.own_formulation.back[0]
        cov = back @ self.parameter_cov[:p, :p] @ back.T
        return lock(WaldInference(cov, None if self.test == "z" else float(self.df_residual)))

    @property
    def informative(self) -> Mask:
        """Which rows the coefficients rest on, shape (k,).

        With random study intercepts all rows count; otherwise those that are not double zero.
        """
        return lock(np.broadcast_to(self.own_formulation.problem.weights[0] > 0, self.k).copy())

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom: rows with information minus coefficients."""
        return float(self.informative.sum() - self.design.p)

    # -- random effects ----------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether true effects differ between studies in this model; False for equal effects."""
        return self.method != "EE"

    @property
    def _scales(self) -> Array:
        """The parameters after the coefficients: (level, sigma,) tau, (loading on the study intercept)."""
        return np.asarray(self.maximum.psi[0, self.design.p :])

    @property
    def tau2(self) -> float:
        """Between-study variance of the effect."""
        if not self.is_random:
            return 0.0
        if self.model != RANDOM:
            return float(self._scales[0] ** 2)
        return float((self._scales[2:] ** 2).sum())

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The between-study variance by name; empty for equal effects."""
        return {BETWEEN: self.tau2} if self.is_random else {}

    @property
    def tau2_se(self) -> float | None:
        """Standard error of tau2, by the observed information; None at the boundary and for equal effects."""
        if not self.is_random:
            return None
        p = self.design.p
        at = [p] if self.model != RANDOM else list(range(p + 2, self.maximum.psi.shape[1]))
        if not self.maximum.free[0, at].any():
            return None
        slope = 2.0 * self.maximum.psi[0, at]
        return float(math.sqrt(slope @ self.parameter_cov[np.ix_(at, at)] @ slope))

    @property
    def study_mean(self) -> float | None:
        """Mean of the study intercepts (log odds or rate of the control arm); None if not in the model."""
        return float(self._scales[0]) if self.model == RANDOM else None

    @property
    def sigma2(self) -> float | None:
        """Variance of the study intercepts; None if they are not random in this model."""
        return float(self._scales[1] ** 2) if self.model == RANDOM else None

    @property
    def rho(self) -> float | None:
        """Correlation of study intercept and effect; None if not estimated, NaN if a variance is 0."""
        if self.model != RANDOM or not (self.correlated and self.is_random):
            return None
        sigma, tau, cross = self._scales[1:]
        size = math.hypot(tau, cross)
        return math.nan if sigma == 0 or size == 0 else float(np.sign(sigma) * cross / size)

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, (k - p) / trace(P), from the studies' own estimates.

        Those have 1/2 added to the counts of studies with a zero; NaN without degrees of freedom.
        """
        has = self.has_estimate & self.informative
        x, w = self.design.matrix(self.k)[has], 1.0 / self.effects.v[has]
        df = int(has.sum()) - self.design.p
        if df < 1:
            return math.nan
        gram = x.T @ (w[:, None] * x)
        if np.linalg.matrix_rank(gram) < self.design.p:
            return math.nan
        trace = w.sum() - np.trace(np.linalg.solve(gram, x.T @ ((w * w)[:, None] * x)))
        return float(df / trace)

    @cached_property
    def saturated(self) -> Saturated:
        """The model in which every study has an effect of its own."""
        made = self.own_formulation
        if self.model != RANDOM:
            return lock(saturated(made))
        return lock(saturated_with_random_intercepts(self.counts, self.points))

    # -- likelihood --------------------------------------------------------------------------------------

    @cached_property
    def equal_effects_llf(self) -> float:
        """Log-likelihood of the model of equal effects."""
        if not self.is_random:
            return self.llf
        return float(self._formulation(random=False).maximum().value[0])

    @property
    def rows_in_likelihood(self) -> Mask:
        """Which rows the likelihood is of, shape (k,)."""
        return self.informative

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc.

        The log-likelihood holds the constants of the counts. The deviance is relative to the model in which
        every study has an effect of its own. The intercepts of the studies count as parameters where they are
        estimated; an unconditional model of two arms has two observations per row, the others have one.

        Parameters
        ----------
        restricted : bool, optional
            There is no restricted likelihood of counts.
        """
        if restricted is not None and check_flag("restricted", restricted):
            raise InputError("a restricted likelihood of counts", "restricted=False")
        rows = int(self.informative.sum())
        observations = float(2 * rows if self.model in (FIXED, RANDOM) else rows)
        count = self.maximum.psi.shape[1] + (rows if self.model == FIXED else 0)
        llf = float(self.maximum.value[0])
        room = max(observations, count + 2)
        return FitStatistics(
            llf=llf,
            deviance=2.0 * (self.saturated.llf - llf),
            aic=2.0 * (count - llf),
            bic=-2.0 * llf + count * math.log(observations),
            aicc=-2.0 * llf + 2.0 * count * room / (room - count - 1),
            restricted=False,
            parameters=count,
        )

    def variance_model(self) -> VarianceModel:
        """Return how tau2 depends on parameters, for likelihood-ratio tests."""
        if not self.is_random:
            return VarianceModel("none", np.empty((self.k, 0)))
        return VarianceModel("identity", np.ones((self.k, 1)))

    @property
    def llf(self) -> float:
        """Log-likelihood, constants of the counts included."""
        return float(self.maximum.value[0])

    @property
    def certificate(self) -> CountCertificate:
        """What is known about the maximum of the likelihood."""
        m = self.maximum
        free = m.free[0]
        outer = float(m.boundary[0])
        return CountCertificate(
            at_boundary=not bool(free.all()),
            gradient=float(np.abs(m.gradient[0, free]).max(initial=0.0)),
            promised=float(m.promised[0]),
            curvature=float(m.curvature[0]),
            boundary_curvature=outer if math.isfinite(outer) else math.nan,
            maxima=int(m.maxima[0]),
            steps=int(m.steps[0]),
            certified=bool(m.certified[0]),
        )


def saturated(made: Formulation) -> Saturated:
    """Return the saturated model where the studies have nothing in common."""
    kernel, counted = made.problem.kernel, made.problem.weights[0] > 0
    low, high = (part[0] for part in made.extreme)
    finite = counted & ~low & ~high
    eta = _own_predictors(kernel)
    variance = -1.0 / np.minimum(kernel.at(eta, 2)[2], -1e-300)
    y = eta[0, :, 0] if kernel.shape[2] == 1 else eta[0, :, 0] - eta[0, :, 1]
    v = variance[0].sum(axis=-1)
    llf = float(kernel.saturated()[0, counted].sum())
    return Saturated(llf, y[finite], np.diag(v[finite]), finite)


def _own_predictors(kernel: CountKernel) -> Array:
    """Return the predictors at which each count is most likely, (1, K, g); rough where they are infinite."""
    low, high = kernel.extremes()
    eta = np.zeros(kernel.shape)
    if isinstance(kernel, Poisson):
        return np.log(np.maximum(kernel.x, 0.5)) - kernel.log_time
    inner = ~(low | high)
    for _ in range(NEWTON_STEPS):
        _, slope, bend = kernel.at(eta, 2)
        step = np.where(inner, np.clip(-slope / np.minimum(bend, -1e-300), -1.0, 1.0), 0.0)
        eta = eta + step
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    return eta


def saturated_with_random_intercepts(counts: EventCounts, points: int) -> Saturated:
    """Return the saturated model with random study intercepts, a coefficient per study.

    Arms that a limit of it fits without fail are left out of the likelihood.
    """
    x, n = counts.events, counts.totals
    gone = x[:, 0] == 0
    if not counts.person_time:
        gone = gone | (x[:, 0] == n[:, 0])
    own = np.eye(counts.k)[:, ~gone]
    made = formulate(
        RANDOM, x[None], n[None], own[None], person_time=counts.person_time, random=False, points=points
    )
    kernel = made.problem.kernel
    silent = np.zeros(x.shape, dtype=bool)
    silent[gone, 0] = True
    if isinstance(kernel, Poisson):
        kernel = replace(kernel, log_time=np.where(silent, NO_TIME, kernel.log_time))
    else:
        assert isinstance(kernel, Binomial)
        keep = np.where(silent, 0.0, 1.0)
        kernel = Binomial(kernel.x * keep, kernel.n * keep, kernel.link)
    found = replace(made, problem=replace(made.problem, kernel=kernel)).maximum()
    p = own.shape[1]
    free = found.free[0]
    cov = np.linalg.inv(-found.hessian[0][np.ix_(free, free)])[:p, :p]
    back = made.back[0]
    return Saturated(float(found.value[0]), back @ found.psi[0, :p], back @ cov @ back.T, ~gone)
