"""CountGLMMFit: the record of a fitted mixed model of counts, and the numbers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.errors import InputError
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.counts.fit import CountFit
from metaexo.models.counts.mixed.saturated import Saturated, saturated, saturated_with_random_intercepts
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit_statistics import FitStatistics
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.counts.formulations import FIXED, RANDOM, Formulation, formulate
from metaexo.numeric.counts.maximum import CountMaximum
from metaexo.types import Array, Mask

BETWEEN = "between studies"


@dataclass(frozen=True, slots=True)
class CountCertificate:
    """What is known about the maximum of the likelihood of a mixed model of counts.

    Attributes
    ----------
    at_boundary : bool
        Whether a variance of random effects is 0 because no positive value fits better.
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

    def formulation(self, *, random: bool | None = None, points: int | None = None) -> Formulation:
        """Return the model as the kernels see it, or that of equal effects, or with another quadrature."""
        return formulate(
            self.model,
            self.counts.events[None],
            self.counts.totals[None],
            self.design.matrix(self.k)[None],
            person_time=self.counts.person_time,
            link=self.link,
            coding=self.coding,
            random=self.is_random if random is None else random,
            correlated=self.correlated,
            points=self.points if points is None else points,
        )

    @cached_property
    def own_formulation(self) -> Formulation:
        """The model as the kernels see it."""
        return self.formulation()

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
            return saturated(made)
        return saturated_with_random_intercepts(self.counts, self.points)

    # -- likelihood --------------------------------------------------------------------------------------

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
