"""BetaBinomialFit: the record of a fit of overdispersed counts, and the numbers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from metaexo.effects.counts import EventCounts
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.measure import get_measure
from metaexo.effects.measures.zero_cells import ZeroCells
from metaexo.errors import ConvergenceError, InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.formatting import plural
from metaexo.immutable import lock
from metaexo.inputs import check_flag
from metaexo.models.counts.fit import CountFit, no_comparison, statistics_of_arms
from metaexo.models.counts.mixed.many import Refitted, q_and_trace
from metaexo.models.counts.mixed.model import CLOGLOG
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.design import Design
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.fit_statistics import Certificate, FitStatistics, VarianceModel
from metaexo.models.linear.hypothesis import WaldInference
from metaexo.numeric.counts.mean_links import LINKS
from metaexo.numeric.counts.overdispersed import LARGEST, Arms, Highest, height, maximise, single
from metaexo.numeric.counts.separation import direction_of_infinity, separated
from metaexo.numeric.region import Function, Region, region_end
from metaexo.numeric.tails import normal_quantile
from metaexo.types import Array, Mask

PROFILE = "profile-likelihood"
COMPONENT = "between studies"


def arm_rows(counts: EventCounts, x: Array, link: str) -> Arms:
    """Return the arms as rows: those of the treated arm first, then those of the control arm.

    The linear predictor of a control arm is x a, that of a treated arm x a + x b; the columns of b come
    first. With one arm it is x b.
    """
    events, totals = (np.ascontiguousarray(part.T).ravel() for part in (counts.events, counts.totals))
    if counts.arms == 2:
        x = np.vstack([np.hstack([x, x]), np.hstack([np.zeros_like(x), x])])
    return single(events, totals, x, link, counts.person_time)


def estimates(counts: EventCounts, code: str, link: str) -> EffectSizes:
    """Return the estimate of each row by itself, on the scale of the link; double zeros have none.

    To studies with a count of zero the default of the measure is added; the model adds nothing.
    """
    scales = {"probit": get_measure("PRZ"), "cloglog": CLOGLOG}
    measure = scales.get(link) or get_measure(code)
    rule = measure.zero_cells
    double_zero = counts.arms == 2
    return counts.study_estimates(
        measure, None if rule is None else ZeroCells(rule, drop_double_zero=double_zero)
    )


def highest(counts: EventCounts, design: Design, link: str, method: str) -> Highest:
    """Return where the likelihood is highest, or say why it is highest nowhere."""
    rows = arm_rows(counts, design.matrix(counts.k), link)
    _refuse_infinite(counts, rows, design.x is None)
    found = maximise(rows, correlated=method != "EE")
    if not found.certified()[0]:
        inside = link in ("log", "identity") and not counts.person_time
        raise ConvergenceError(
            "the likelihood has no maximum inside the possible values"
            + (": a risk is at 0 or 1 there" if inside else ""),
            "a maximum: no slope, and curvature in every direction",
            'use a measure whose risks stay between 0 and 1: "OR", or "PLO" for one arm'
            if inside
            else "use fewer moderators, or join levels with few events",
        )
    return found


def _refuse_infinite(counts: EventCounts, rows: Arms, alone: bool) -> None:
    """Raise if the likelihood increases without bound: no event, or events in everyone, in a whole group."""
    none, everyone = rows.events[0] == 0, (rows.events[0] == rows.totals[0]) & (not rows.person_time)
    if alone:
        for j, arm in enumerate(("",) if counts.arms == 1 else ("treated ", "control ")):
            part = slice(j * counts.k, (j + 1) * counts.k)
            if none[part].all() or everyone[part].all():
                raise _infinite(counts, bool(none[part].all()), f"of the {arm}arm" if arm else "")
    elif direction_of_infinity(rows.x[0], none, everyone, np.ones_like(none)) is not None:
        raise NotIdentifiableError(
            "some values of the moderators have no event, or events in everyone, so the likelihood has no "
            "maximum: it increases without bound",
            "both people with an event and people without at every level of the moderators",
            "join levels, or fit without moderators",
        )


def _infinite(counts: EventCounts, no_event: bool, where: str) -> NotIdentifiableError:
    """Return the error for an arm without any event, or with events in everyone."""
    if counts.arms == 2 and counts.is_double_zero.all():
        return no_comparison(counts, "the likelihood has no maximum")
    said = "there is no event" if no_event else "everyone has an event"
    what = "rate" if counts.person_time else "risk"
    limit = f"has the largest {what} that is not excluded"
    if counts.arms == 2:
        remedy = "mx.ExactConditional(counts).fit() has the one-sided limit that the counts set"
    elif no_event:
        remedy = f"mx.safety.upper_limit(counts) {limit}"
    else:
        n = "counts.totals[:, 0]"
        others = f"mx.event_counts(events={n} - counts.events[:, 0], n={n})"
        remedy = f"count those without: others = {others}; mx.safety.upper_limit(others) {limit}"
    return NotIdentifiableError(
        f"{said} in any row {where}".rstrip()
        + ", so the likelihood has no maximum: it increases without bound",
        "an event in some row of every arm" if no_event else "someone without an event in every arm",
        remedy,
    )


def _infinite_in_sets(rows: Arms, arms: int, alone: bool) -> Mask:
    """Return which sets of rows have an infinite estimate, or columns that they do not determine, (B,)."""
    none, everyone = rows.events == 0, (rows.events == rows.totals) & (not rows.person_time)
    counted = rows.weight > 0
    if not alone:
        return separated(rows.x, none, everyone, counted)
    shape = (rows.size, arms, -1)
    sides = [(side | ~counted).reshape(shape).all(axis=2).any(axis=1) for side in (none, everyone)]
    return np.asarray(sides[0] | sides[1])


def require_df(test: str, counts: EventCounts, design: Design) -> None:
    """Refuse t tests without a degree of freedom."""
    if test == "t" and counts.k <= design.p:
        raise TooFewStudiesError(
            f"{plural(counts.k, 'row')} for t tests of {plural(design.p, 'coefficient')}",
            f"at least {design.p + 1} rows",
            'use test="z"',
        )


@dataclass(frozen=True, eq=False, repr=False)
class BetaBinomialFit(CountFit):
    """A fitted model of overdispersed counts; `BetaBinomialResults` describes the fields."""

    counts: EventCounts
    effects: EffectSizes
    design: Design
    code: str
    maximum: Highest
    link: str
    method: str
    test: str
    level: float

    def on(self, counts: EventCounts, design: Design) -> Self:
        """Return the same model fitted to other counts, with the columns of the design for their rows."""
        require_df(self.test, counts, design)
        return replace(
            self,
            counts=counts,
            effects=estimates(counts, self.code, self.link),
            design=design,
            maximum=highest(counts, design, self.link, self.method),
        )

    @property
    def informative(self) -> Mask:
        """Which rows the coefficients rest on, shape (k,): all of them."""
        return lock(np.ones(self.k, dtype=bool))

    @cached_property
    def rows(self) -> Arms:
        """The arms with the columns of their linear predictor."""
        return lock(arm_rows(self.counts, self.design.matrix(self.k), self.link))

    # -- coefficients ------------------------------------------------------------------------------------

    @property
    def every_beta(self) -> Array:
        """All coefficients, shape (g p,): those of the effect, and of two arms those of the control arm."""
        return lock(self.maximum.beta[0])

    @property
    def beta(self) -> Array:
        """Coefficients of the effect, shape (p,)."""
        return lock(self.every_beta[: self.design.p])

    @cached_property
    def every_cov(self) -> Array:
        """Inverse of the observed information of all coefficients and rho; NaN for rho at an edge."""
        return lock(self.maximum.cov()[0])

    @cached_property
    def model_inference(self) -> WaldInference:
        """Covariance matrix of the coefficients by the observed information; t on k - p, or z."""
        p = self.design.p
        return WaldInference(self.every_cov[:p, :p], None if self.test == "z" else float(self.df_residual))

    # -- risks -------------------------------------------------------------------------------------------

    @cached_property
    def _means(self) -> Array:
        """Mean risk or rate of each row of each arm, shape (g, k), and the slope of the link there."""
        eta = (self.rows.x[0] @ self.every_beta).reshape(self.counts.arms, self.k)
        found = LINKS[self.link].means(eta)
        return lock(np.stack([found.mean, found.slope]))

    @property
    def rho(self) -> float:
        """Intra-class correlation of the people of an arm, 1 / (1 + a + b); NaN for person-time."""
        return math.nan if self.counts.person_time else float(self.maximum.w[0])

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation of the arms' true rates; NaN for people."""
        w = float(self.maximum.w[0])
        return w / (1 - w) if self.counts.person_time else math.nan

    def _risk_variances(self, w: float) -> Array:
        """Return the variance of true risks or rates around each mean, shape (g, k), at a correlation."""
        mean = self._means[0]
        return np.asarray(mean**2 * (w / (1 - w)) if self.counts.person_time else w * mean * (1 - mean))

    # -- heterogeneity -----------------------------------------------------------------------------------

    @property
    def is_random(self) -> bool:
        """Whether true risks differ between studies in this model; False for equal risks."""
        return self.method != "EE"

    def _tau2_at(self, w: float) -> float:
        """Return the variance of true effects at a correlation, averaged over the rows."""
        return float(self._heterogeneity(np.array([w]), self._means[:, None], np.ones((1, self.k)))[0][0])

    @property
    def tau2_by_component(self) -> Mapping[str, float]:
        """The variance of true effects by name, by the delta method from that of the risks."""
        return {COMPONENT: self._tau2_at(float(self.maximum.w[0]))}

    @property
    def new_effect_variance(self) -> float:
        """Variance of a new true effect around its mean; NaN for two arms, whose pairing is ignored."""
        return self.tau2 if self.counts.arms == 1 and self.design.x is None else math.nan

    @property
    def typical_variance(self) -> float:
        """Sampling variance of an effect of arms of typical size, the harmonic mean of those there are."""
        w = np.minimum(self.maximum.w[:1], LARGEST)
        return float(self._heterogeneity(w, self._means[:, None], np.ones((1, self.k)))[1][0])

    def _heterogeneity(self, w: Array, means: Array, n: Array) -> tuple[Array, Array]:
        """Return tau2 and the typical sampling variance of B fits, shape (B,) each.

        `w`, shape (B,); `means`, shape (2, B, g, k): risks and slopes of the link there; `n`, shape (B, k):
        how often each row counts.
        """
        (mean, slope), size = means, self.counts.totals.T
        total = n.sum(axis=1)
        harmonic = total[:, None] / (n @ (1 / size.T))
        w = w[:, None, None]
        if self.counts.person_time:
            between, within = mean**2 * (w / (1 - w)), mean
        else:
            between, within = w * mean * (1 - mean), (1 - w) * mean * (1 - mean)
        parts = (between / slope**2, within / harmonic[:, :, None] / slope**2)
        tau2, typical = ((part.sum(axis=1) * n).sum(axis=1) / total for part in parts)
        return tau2, typical

    def many(self, n: Array) -> Refitted:
        """Return the fit of many sets of its rows, each row as often as `n`, shape (B, k), says."""
        size, p, arms = len(n), self.design.p, self.counts.arms
        rows = self.rows
        weight = np.tile(n, (1, arms))
        every = replace(
            rows,
            events=np.broadcast_to(rows.events, weight.shape),
            totals=np.broadcast_to(rows.totals, weight.shape),
            weight=weight,
        )
        total = n.sum(axis=1)
        fine = (total >= p + (self.test == "t")) & ~_infinite_in_sets(every, arms, self.design.x is None)
        beta, cov = np.full((size, p), np.nan), np.full((size, p, p), np.nan)
        tau2, typical = np.full(size, np.nan), np.full(size, np.nan)
        certified = np.zeros(size, dtype=bool)
        at = np.flatnonzero(fine)
        if at.size:
            found = maximise(every.at(at), correlated=self.is_random)
            known = found.certified()
            at, found = at[known], found.at(np.flatnonzero(known))
            beta[at], cov[at], certified[at] = found.beta[:, :p], found.cov()[:, :p, :p], True
            eta = (rows.x @ found.beta[:, :, None])[..., 0].reshape(at.size, arms, self.k)
            means = LINKS[self.link].means(eta)
            w = np.minimum(found.w, LARGEST)
            tau2[at], typical[at] = self._heterogeneity(w, np.stack([means.mean, means.slope]), n[at])
        has = self.has_estimate
        x, y, v = self.design.matrix(self.k)[has], self.effects.y[has], self.effects.v[has]
        q, q_df, _ = q_and_trace(x, y, v, n[:, has])
        return Refitted(beta, cov, tau2, q, q_df, typical, total, certified)

    def tau2_limits(self, level: float, method: str | None) -> Tau2Limits | None:
        """Return the profile-likelihood interval of the correlation, taken to tau2 at the mean risks."""
        if method is not None:
            get_interval(method, (PROFILE,) if self.is_random else ())
        if not self.is_random:
            return None
        low, high = (min(w, LARGEST) for w in self._correlation_limits(level))
        return Tau2Limits({COMPONENT: (self._tau2_at(low), self._tau2_at(high))}, PROFILE)

    def variance_model(self) -> VarianceModel:
        """Return how tau2 depends on parameters, for likelihood-ratio tests."""
        if not self.is_random:
            return VarianceModel("none", np.empty((self.k, 0)))
        return VarianceModel("identity", np.ones((self.k, 1)))

    # -- likelihood --------------------------------------------------------------------------------------

    def fit_statistics(self, restricted: bool | None = None) -> FitStatistics:
        """Return log-likelihood, deviance, AIC, BIC and AICc; each arm of each row is an observation."""
        if restricted is not None and check_flag("restricted", restricted):
            raise InputError("counts have no restricted likelihood", "restricted=False")
        count = self.every_beta.size + self.is_random
        return statistics_of_arms(self.counts, float(self.maximum.value[0]), count)

    @property
    def certificate(self) -> Certificate:
        """What is known about the maximum: by the logarithm of the correlation, or, at 0, by itself."""
        found = self.maximum
        w, edge = float(found.w[0]), bool(found.at_zero[0] | found.at_one[0])
        return Certificate(
            at_boundary=edge,
            score=float(found.gradient[0, -1]) * (1.0 if edge else w),
            curvature=math.nan if edge else -(w**2) / float(self.every_cov[-1, -1]),
            iterations=int(found.iterations[0]),
            maxima=int(found.maxima[0]),
            proved=False,
        )

    # -- profile likelihood ------------------------------------------------------------------------------

    @cached_property
    def _search(self) -> tuple[Arms, Array, Array, Array, Array]:
        """Return what intervals are searched in: rows, place of the maximum, its scale, and limits.

        Without moderators the parameters are the log odds of the arms, whatever the link: no value of theirs
        is impossible.
        """
        rows, top, cov = self.rows, self.every_beta, np.array(self.every_cov)
        n = top.size
        if self._free_of_limits:
            x = np.repeat(np.eye(n), self.k, axis=0)
            rows = replace(rows, x=x[None], link="logit")
            mean, slope = self._means[:, :, 0]
            top = LINKS["logit"].forward(mean)
            turn = np.eye(n + 1)
            turn[:n, :n] = (slope / (mean * (1 - mean)))[:, None] * self.rows.x[0, :: self.k]
            cov = turn @ np.where(np.isnan(cov), 0.0, cov) @ turn.T
        if float(self.maximum.w[0]) in (0.0, 1.0):  # how far the slope lets it go
            cov[-1], cov[:, -1] = 0.0, 0.0
            slope_at_edge = abs(float(self.maximum.gradient[0, -1]))
            cov[-1, -1] = min(1 / max(slope_at_edge, 1.0), 0.1) ** 2
        limits = np.eye(n + 1)[[n, n]] * np.array([[1.0], [-1.0]])
        least = np.array([0.0, -LARGEST if self.is_random else 0.0])
        if rows.link in ("log", "identity") and not self.counts.person_time:
            x = np.unique(np.pad(rows.x[0], ((0, 0), (0, 1))), axis=0)
            limits = np.vstack([limits, -x, *([x] if rows.link == "identity" else [])])
            ends = [-1.0, 0.0] if rows.link == "identity" else [0.0]
            least = np.concatenate([least, np.repeat(ends, len(x))])
        top = np.append(top, min(float(self.maximum.w[0]), LARGEST))
        return lock((rows, top, np.asarray(np.linalg.cholesky(cov)), limits, least))

    @property
    def _free_of_limits(self) -> bool:
        """Whether intervals are searched in the log odds of the arms."""
        return self.design.x is None and not self.counts.person_time

    def _ends(self, target: Function, level: float) -> tuple[float, float]:
        """Return the smallest and largest value of a function of the parameters by the likelihood.

        The parameters are those of `_search`, and then the correlation; equal risks keep it at 0. NaN where
        no end was found.
        """
        rows, top, root, limits, least = self._search
        n = top.size - 1

        def log_likelihood(at: Array) -> tuple[float, Array]:
            found = height(rows, at[None, :n], np.clip(at[n:], 0.0, LARGEST))
            return float(found.value[0]), found.gradient[0]

        lowest = float(self.maximum.value[0]) - 0.5 * float(normal_quantile(level)) ** 2
        region = Region(log_likelihood, top, root, lowest, limits, least)
        low, high = (region_end(region, target, sign).value for sign in (-1.0, 1.0))
        return low, high

    def _linear_ends(self, along: Array, level: float) -> tuple[float, float]:
        """Return the profile-likelihood interval of a combination of all coefficients."""
        n = along.size
        if not self._free_of_limits:
            gradient = np.append(along, 0.0)
            return self._ends(lambda at: (float(gradient @ at), gradient), level)
        weights = np.linalg.solve(self.rows.x[0, :: self.k].T, along)  # of the arms' linear predictors
        link = LINKS[self.link]

        def target(at: Array) -> tuple[float, Array]:
            odds = LINKS["logit"].means(np.clip(at[:n], -300.0, 300.0))
            eta = link.forward(odds.mean)
            slope = odds.slope / link.means(eta).slope
            return float(weights @ eta), np.append(weights * slope, 0.0)

        return self._ends(target, level)

    def _correlation_limits(self, level: float) -> tuple[float, float]:
        """Return the profile-likelihood interval of the correlation."""
        if level not in self._limits_by_level:
            gradient = np.eye(self.every_beta.size + 1)[-1]
            low, high = self._ends(lambda at: (float(gradient @ at), gradient), level)
            w = float(self.maximum.w[0])
            low, high = min(low, w), max(high, w)
            self._limits_by_level[level] = (
                0.0 if low < 1e-12 else low,
                1.0 if high >= LARGEST else high,
            )
        return self._limits_by_level[level]

    @cached_property
    def _limits_by_level(self) -> dict[float, tuple[float, float]]:
        """Intervals of the correlation that were found, by level."""
        return {}
