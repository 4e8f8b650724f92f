"""ArmBasedFit: the record of a bivariate model of both arms, and the numbers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from scipy.special import logit

from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import get_measure
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import ConvergenceError, InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.counts.fit import CountFit, no_comparison, statistics_of_arms
from metaexo.models.counts.mixed.fit import CountCertificate
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.fit_statistics import FitStatistics, VarianceModel
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.counts.formulations import Formulation, formulate
from metaexo.numeric.counts.maximum import CountMaximum, begin_at, climb, height_at
from metaexo.numeric.counts.mean_links import LINKS, averaged
from metaexo.numeric.quadrature import gauss_hermite
from metaexo.numeric.region import Function, Region, region_end
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array, Mask

COMPONENT = "between studies"
PROFILE = "profile-likelihood"
STRUCTURES = ("unstructured", "compound")
# Points per dimension of the variance of true effects over studies.
EFFECT_POINTS = 40
ROUGH_POINTS = 7  # of the search, whose maximum is then climbed with all points
LEAST = 1e-300  # the smallest risk whose logarithm is taken
GONE = 1e-9  # variances below are 0, in squared units of the linear predictor
NOISE = 1e-26  # variances below, as a share of the mean squares they are left from, are rounding: 0
LARGEST_VARIANCE = 1e4  # variances above are infinite


class Moments(NamedTuple):
    """Means and covariance matrix of the linear predictors of both arms, with derivatives."""

    values: Array  # (5,): mean of treatment and control; variance of treatment and control; covariance
    slopes: Array  # (5, P): by the parameters of the search


def formulation(counts: EventCounts, link: str, structure: str, points: int) -> Formulation:
    """Return the model as the kernels see it.

    The predictors of a study are those of a random intercept and a random effect: of the treated arm alone,
    correlated with the intercept, which is any covariance matrix; or of half the effect in either direction,
    uncorrelated, which is equal variances with any correlation.
    """
    unstructured = structure == "unstructured"
    return formulate(
        "unconditional-random",
        counts.events[None],
        counts.totals[None],
        np.ones((1, counts.k, 1)),
        person_time=counts.person_time,
        link="logit" if counts.person_time else link,
        coding=(1.0, 0.0) if unstructured else (0.5, -0.5),
        random=True,
        correlated=unstructured,
        points=points,
    )


def highest(counts: EventCounts, link: str, structure: str, points: int) -> CountMaximum:
    """Return where the likelihood is highest, or say why it is highest nowhere."""
    if counts.k < 2:
        raise TooFewStudiesError(
            "there is one row of counts, and the risks of both arms may vary between studies",
            "at least 2 rows",
            "mx.BetaBinomial(counts) pools single rows; mx.ExactConditional(counts) has exact limits",
        )
    _refuse_whole_arms(counts)
    made = formulation(counts, link, structure, points)
    if made.infinite()[1][0]:
        raise NotIdentifiableError(
            "too few arms have both events and people without to bound the variances: the likelihood "
            "increases without bound",
            "an arm with both events and people without, for each variance",
            "mx.BetaBinomial(counts) has a maximum here"
            + ('; or fit structure="compound"' if structure == "unstructured" else ""),
        )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = None
        if points > ROUGH_POINTS:
            rough = _with_edges(formulation(counts, link, structure, ROUGH_POINTS).maximum())
            found = _refined(made, rough)
        found = _with_edges(made.maximum()) if found is None else found
    if not np.isfinite(found.value[0]) or not found.certified[0]:
        raise ConvergenceError(
            f"the search ended without a maximum: one more step promises {found.promised[0]:.1e}, the "
            f"smallest curvature is {found.curvature[0]:.1e}",
            "a maximum of the likelihood",
            'fit structure="compound", or mx.BetaBinomial(counts)',
        )
    return found


def _with_edges(found: CountMaximum) -> CountMaximum:
    """Return a maximum whose standard deviations that came down to 0 count as being at the boundary."""
    free, psi = found.free.copy(), found.psi.copy()
    free[0, 2:4] &= np.abs(found.psi[0, 2:4]) > GONE
    if (free == found.free).all():
        return found
    psi[~free] = 0.0
    bend = np.diagonal(found.hessian[0])[~free[0]]
    return replace(found, psi=psi, free=free, boundary=np.array([bend.max(initial=-math.inf)]))


def _refined(made: Formulation, rough: CountMaximum) -> CountMaximum | None:
    """Return the maximum next to one that was found with fewer points; None if it is of another kind.

    Searching with few points and climbing with many takes a third of the time.
    """
    free = np.flatnonzero(rough.free[0])
    if not rough.certified[0]:
        return None
    part = made.problem.only(free.tolist())
    done = climb(part, begin_at(part, rough.psi[:, free], rough.own))
    psi = np.zeros_like(rough.psi)
    psi[:, free] = done.place.psi
    height = height_at(made.problem, begin_at(made.problem, psi, rough.own))
    hessian, tight = height.hessian[0], 1e-6 * (1 + abs(float(height.value[0])))
    curvature = float(np.linalg.eigvalsh(-hessian[np.ix_(free, free)])[0])
    outer = np.diagonal(hessian)[~rough.free[0]].max(initial=-math.inf)
    sizes = np.abs(psi[0, free[free >= 2]])
    if not (curvature > 0 and outer <= tight and done.promised[0] <= tight and (sizes > GONE).all()):
        return None
    return replace(
        rough,
        psi=psi,
        mode=height.mode,
        spread=height.spread,
        value=height.value,
        gradient=height.gradient,
        hessian=height.hessian,
        curvature=np.array([curvature]),
        promised=done.promised,
        boundary=np.array([outer]),
        steps=rough.steps + done.steps,
    )


def _refuse_whole_arms(counts: EventCounts) -> None:
    """Raise if an arm has no event in any row, or events in everyone."""
    none = (counts.events == 0).all(axis=0)
    everyone = (counts.events == counts.totals).all(axis=0) & (not counts.person_time)
    if none.all() or everyone.all():
        raise no_comparison(counts, "the likelihood has no maximum")
    for j, arm in enumerate(("treated", "control")):
        if none[j] or everyone[j]:
            said = "there is no event" if none[j] else "everyone has an event"
            raise NotIdentifiableError(
                f"{said} in any row of the {arm} arm, so the likelihood has no maximum: it increases without "
                "bound",
                "an event in some row of every arm" if none[j] else "someone without an event in every arm",
                "mx.ExactConditional(counts).fit() has the one-sided limit that the counts set",
            )


def estimates(counts: EventCounts, measure: str) -> EffectSizes:
    """Return the estimate of each row by itself; double zeros have none, others with a zero get 1/2 added."""
    rule = get_measure(measure).zero_cells
    return counts.study_estimates(measure, None if rule is None else ZeroCells(rule, drop_double_zero=True))


# From the means of the arms to the measure, and its derivatives.
MEASURES: dict[str, Callable[[Array], tuple[float, Array]]] = {
    "OR": lambda m: (float(logit(m[0]) - logit(m[1])), np.array([1.0, -1.0]) / (m * (1 - m))),
    "RR": lambda m: (float(np.log(m[0]) - np.log(m[1])), np.array([1.0, -1.0]) / m),
    "RD": lambda m: (float(m[0] - m[1]), np.array([1.0, -1.0])),
    "IRR": lambda m: (float(np.log(m[0]) - np.log(m[1])), np.array([1.0, -1.0]) / m),
}


@dataclass(frozen=True, eq=False, repr=False)
class ArmBasedFit(CountFit):
    """A fitted bivariate model of both arms; `ArmBasedResults` describes the fields."""

    counts: EventCounts
    effects: EffectSizes
    design: Design
    maximum: CountMaximum
    link: str
    structure: str
    points: int
    method: str
    test: str
    level: float

    def on(self, counts: EventCounts, design: Design) -> Self:
        """Return the same model fitted to other counts."""
        return replace(
            self,
            counts=counts,
            effects=estimates(counts, self.measure.code),
            design=design,
            maximum=highest(counts, self.link, self.structure, self.points),
        )

    @property
    def informative(self) -> Mask:
        """Which rows the coefficients rest on, shape (k,): all of them."""
        return lock(np.ones(self.k, dtype=bool))

    @cached_property
    def formulation(self) -> Formulation:
        """The model as the kernels see it."""
        return lock(formulation(self.counts, self.link, self.structure, self.points))

    # -- parameters --------------------------------------------------------------------------------------

    def _moments_at(self, psi: Array) -> Moments:
        """Return means and covariances of the linear predictors at parameters of the search, shape (P,)."""
        effect, level, sigma, tau = psi[:4]
        slopes = np.zeros((5, psi.size))
        back = float(self.formulation.back[0, 0, 0])
        slopes[0, :2], slopes[1, 1] = [back, 1.0], 1.0
        if self.structure == "unstructured":
            turned = sigma + psi[4]
            variances = [turned**2 + tau**2, sigma**2, sigma * turned]
            slopes[2, 2:] = [2 * turned, 2 * tau, 2 * turned]
            slopes[3, 2] = 2 * sigma
            slopes[4, [2, 4]] = [turned + sigma, sigma]
        else:
            variances = [sigma**2 + tau**2 / 4] * 2 + [sigma**2 - tau**2 / 4]
            slopes[2:4, 2:] = [2 * sigma, tau / 2]
            slopes[4, 2:] = [2 * sigma, -tau / 2]
        return Moments(np.array([back * effect + level, level, *variances]), slopes)

    @cached_property
    def moments(self) -> Moments:
        """Means and covariances of the linear predictors at the maximum."""
        return lock(self._moments_at(self.maximum.psi[0]))

    @cached_property
    def parameter_cov(self) -> Array:
        """Inverse of the observed information of the parameters; 0 for those at the boundary."""
        free = self.maximum.free[0]
        cov = np.zeros((free.size, free.size))
        cov[np.ix_(free, free)] = np.linalg.inv(-self.maximum.hessian[0][np.ix_(free, free)])
        return lock(cov)

    def _risks_of(self, moments: Array) -> tuple[Array, Array]:
        """Return the marginal risks or rates of both arms, shape (2,), and derivatives by the moments."""
        found = averaged(LINKS[self.link], moments[:2], moments[2:4])
        slopes = np.zeros((2, 5))
        slopes[[0, 1], [0, 1]], slopes[[0, 1], [2, 3]] = found.slope, found.bend / 2
        return found.mean, slopes

    def _measure_of(self, moments: Array) -> tuple[float, Array]:
        """Return the marginal effect, and its derivatives by the moments."""
        risks, slopes = self._risks_of(moments)
        value, by_risks = MEASURES[self.measure.code](risks)
        return value, by_risks @ slopes

    @cached_property
    def beta(self) -> Array:
        """The marginal effect, shape (1,)."""
        return lock(np.array([self._measure_of(self.moments.values)[0]]))

    def _variance_of(self, slope: Array) -> float:
        """Return the variance of a function of the moments by the delta method, from its derivatives."""
        along = slope @ self.moments.slopes
        return max(float(along @ self.parameter_cov @ along), 0.0)

    @cached_property
    def model_inference(self) -> WaldInference:
        """Variance of the marginal effect by the delta method; t on k - 1, or z."""
        variance = self._variance_of(self._measure_of(self.moments.values)[1])
        return WaldInference(np.array([[variance]]), None if self.test == "z" else float(self.df_residual))

    # -- heterogeneity -----------------------------------------------------------------------------------

    def _effect_variance(self, psi: Array) -> tuple[float, Array]:
        """Return the variance of true effects over studies on the scale of the measure, and its slope by psi.

        The predictors of the arms are linear in psi, with standard normal variables as factors.
        """
        back = float(self.formulation.back[0, 0, 0])
        nodes, log_weights = gauss_hermite(EFFECT_POINTS, 2)
        weights, (z, w) = np.exp(log_weights), nodes
        of_effect, one, none = np.full_like(z, back), np.ones_like(z), np.zeros_like(z)
        if self.structure == "unstructured":
            by_psi = np.stack([[of_effect, one, z, w, z], [none, one, z, none, none]])
        else:
            by_psi = np.stack([[of_effect, one, z, w / 2], [none, one, z, -w / 2]])
        found = LINKS[self.link].means(np.einsum("apn,p->an", by_psi, psi))
        true, slope = found.mean, found.slope
        if self.measure.code != "RD":
            mean, rest = np.maximum(found.mean, LEAST), np.maximum(found.rest, LEAST)
            odds = self.measure.code == "OR"
            true = np.log(mean) - (np.log(rest) if odds else 0.0)
            slope = found.slope / mean / (rest if odds else 1.0)
        own = true[0] - true[1]
        off = own - weights @ own
        moves = slope[0] * by_psi[0] - slope[1] * by_psi[1]
        variance = float(weights @ off**2)
        rounding = NOISE * float((true**2 @ weights).sum())
        return (variance if variance > rounding else 0.0), 2 * (moves * off) @ weights

    @cached_property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The variance of true effects by name."""
        return {COMPONENT: self._effect_variance(self.maximum.psi[0])[0]}

    @property
    def new_effect_variance(self) -> float:
        """Not known around the marginal effect, which is no mean of the studies' effects."""
        return math.nan

    @property
    def typical_variance(self) -> float:
        """Sampling variance of a typical study, from the studies' own estimates; NaN of fewer than 2."""
        w = 1 / self.effects.v[self.has_estimate]
        if w.size < 2:
            return math.nan
        return float((w.size - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum()))

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the profile-likelihood interval of the variance of true effects."""
        if method is not None:
            get_interval(method, (PROFILE,))
        if level not in self._tau2_limits:
            self._tau2_limits[level] = self._variance_ends(self._effect_variance, level)
        return Tau2Limits({COMPONENT: self._tau2_limits[level]}, PROFILE)

    @cached_property
    def _tau2_limits(self) -> dict[float, tuple[float, float]]:
        """Intervals of tau2 that were found, by level."""
        return {}

    def variance_model(self) -> VarianceModel | None:
        """Return how tau2 depends on parameters: on several, of which no test of tau2 alone is made."""
        return None

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc; each arm of each row is an observation."""
        if restricted is not None and check_flag("restricted", restricted):
            raise InputError("counts have no restricted likelihood", "restricted=False")
        return statistics_of_arms(self.counts, float(self.maximum.value[0]), self.maximum.psi.shape[1])

    @property
    def certificate(self) -> CountCertificate:
        """What is known about the maximum of the likelihood."""
        found = self.maximum
        free, outer = found.free[0], float(found.boundary[0])
        return CountCertificate(
            at_boundary=not bool(free.all()),
            gradient=float(np.abs(found.gradient[0, free]).max(initial=0.0)),
            promised=float(found.promised[0]),
            curvature=float(found.curvature[0]),
            boundary_curvature=outer if math.isfinite(outer) else math.nan,
            maxima=int(found.maxima[0]),
            steps=int(found.steps[0]),
            certified=bool(found.certified[0]),
        )

    # -- profile likelihood ------------------------------------------------------------------------------

    @cached_property
    def _root(self) -> Array:
        """Square root of the covariance matrix of the parameters; of scales at 0, by their curvature."""
        cov = np.array(self.parameter_cov)
        for j in np.flatnonzero(~self.maximum.free[0]):
            cov[j, j] = 1 / max(-float(self.maximum.hessian[0, j, j]), 1.0)
        return lock(np.asarray(np.linalg.cholesky(cov)))

    def _through_moments(self, function: Function) -> Function:
        """Return a function of the moments, with its derivatives by them, as one of the parameters."""

        def of_parameters(psi: Array) -> tuple[float, Array]:
            moments = self._moments_at(psi)
            value, slope = function(moments.values)
            return value, slope @ moments.slopes

        return of_parameters

    def _ends(self, target: Function, level: float) -> tuple[float, float]:
        """Return the profile-likelihood interval of a function of the parameters of the search.

        Where a scale is 0 at the maximum, the likelihood is even in it, so a search that begins there has no
        slope to leave by: another one begins beside it, and the wider end counts. NaN where none was found.
        """
        problem = self.formulation.problem
        own = self.maximum.own[:1]

        def log_likelihood(psi: Array) -> tuple[float, Array]:
            place = begin_at(problem, psi[None], own)
            place.mode = self.maximum.mode[:1]
            with np.errstate(all="ignore"):
                found = height_at(problem, place)
            return float(found.value[0]), found.gradient[0]

        top = self.maximum.psi[0]
        lowest = float(self.maximum.value[0]) - 0.5 * float(normal_quantile(level)) ** 2
        none = np.empty((0, top.size))
        region = Region(log_likelihood, top, self._root, lowest, none, np.empty(0))
        free = self.maximum.free[0]
        nudges: list[Array | None] = [None] if free.all() else [None, np.where(free, 0.0, 0.5)]
        ends = [[region_end(region, target, sign, nudge).value for nudge in nudges] for sign in (-1.0, 1.0)]
        return float(np.fmin.reduce(ends[0])), float(np.fmax.reduce(ends[1]))

    def _variance_ends(self, target: Function, level: float) -> tuple[float, float]:
        """Return the profile-likelihood interval of a variance; a variance of 0 is its own low end."""
        low, high = self._ends(target, level)
        gone = low < GONE or target(self.maximum.psi[0])[0] < GONE
        return (0.0 if gone else low), (math.inf if high > LARGEST_VARIANCE else high)
