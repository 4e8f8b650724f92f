"""p-uniform*: mean and between-study variance, given which effects are significant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metaexo.bias.estimates import Alternative, estimates_of
from metaexo.bias.results import AdjustedEstimate
from metaexo.bias.significant import (
    DOUBLINGS,
    RELATIVE,
    Significant,
    crossing,
    log_complement,
    log_density,
    log_share,
    mean_excess,
    significant,
)
from metaexo.formatting import interval, number, p_value, plural
from metaexo.inputs import check_choice
from metaexo.models.linear.fit_statistics import Certificate
from metaexo.numeric.roots import bracketed_newton, of_arrays
from metaexo.numeric.tails import chi2_tail
from metaexo.types import Array

PUniformStarMethod = Literal["ML", "P", "LNP"]
TESTS = ("pvalue", "zero_statistic", "heterogeneity_statistic", "heterogeneity_pvalue")
METHODS: tuple[PUniformStarMethod, ...] = ("ML", "P", "LNP")
POINTS = 100  # of the scan over tau2
LEAST, MOST = 1e-6, 1e4  # ends of the scan, in units of the smallest variance and of the spread of effects
TINY = float(np.finfo(float).tiny)
STEP = 1e-3  # of differences in log tau2
GAP = 10.0  # how far below its first point, in log tau2, a maximum is sought before it counts as 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PUniformStar(AdjustedEstimate):
    """The estimates of p-uniform*.

    Attributes
    ----------
    method : {"ML", "P", "LNP"}
        Maximum likelihood, or sums of conditional p-values or of their logarithms.
    alternative : {"greater", "less"}
        The direction in which effects were significant.
    significance : float
        The level of single studies, two-sided.
    k_significant : int
        Number of effects that are significant in that direction.
    tau2_low, tau2_high : float
        Interval of the between-study variance.
    zero_statistic : float
        Likelihood-ratio statistic of no effect, whose p-value is `pvalue`; of "ML" alone.
    heterogeneity_statistic, heterogeneity_pvalue : float
        Test of no between-study variance, one-sided: the likelihood ratio, whose p-value is half that of a
        chi-square with 1 df, or minus the sum of the logarithms of two-sided conditional p-values.
        These tests and that of no effect are NaN where the data do not determine the mean.
    log_likelihood : float
        The conditional log-likelihood at the estimates; NaN for sums.
    certificate : Certificate or None
        What is known of the maximum; None for sums, and where there is none.
    """

    method: PUniformStarMethod
    alternative: Alternative
    significance: float
    k_significant: int
    tau2_low: float = np.nan
    tau2_high: float = np.nan
    zero_statistic: float = np.nan
    heterogeneity_statistic: float = np.nan
    heterogeneity_pvalue: float = np.nan
    log_likelihood: float = np.nan
    certificate: Certificate | None = None

    name: ClassVar[str] = "p-uniform*"
    rests_on: ClassVar[str] = "selection by significance"

    @property
    def sentence(self) -> str:
        """The mean with its test and the between-study variance, or why there are none."""
        if not self.usable:
            return f"p-uniform* ({self.method}): {plural(self.k, 'effect')} do not determine mean and tau2."
        zero = "" if np.isnan(self.pvalue) else f", no effect: {p_value(self.pvalue)}"
        bounds = interval(self.tau2_low, self.tau2_high, 3)
        return (
            f"p-uniform* ({self.method}), from {plural(self.k, 'effect')}, {self.k_significant} of them "
            f"significant: {self.shown}{zero}; tau2 {number(self.tau2, 3)} ({bounds}), no heterogeneity: "
            f"{p_value(self.heterogeneity_pvalue)}."
        )


@dataclass(frozen=True, eq=False)
class _Conditional:
    """Effects given which of them are significant, turned so that each lies beyond its cut on the right.

    An effect that is not significant is mirrored: it lies below the critical value, and its mirror image
    above that of the critical value.
    """

    y: Array
    v: Array
    cut: Array  # critical values of the effects, shape (k,)
    side: Array  # 1 where significant, -1 where not

    def at(self, mu: Array | float, tau2: Array | float) -> tuple[Array, Array, Array, Array]:
        """Return mirrored effects, cuts and means in SDs, and the SDs."""
        sd = np.sqrt(self.v + tau2)
        scale = self.side / sd
        return self.y * scale, self.cut * scale, mu * scale, sd

    def log_likelihood(self, mu: Array | float, tau2: Array | float) -> Array:
        """Return the conditional log-likelihood: mu and tau2 of shape (B, 1) give shape (B,)."""
        z, cut, centre, sd = self.at(mu, tau2)
        return np.asarray((log_density(z, cut, centre) - np.log(sd)).sum(axis=-1))

    def log_q(self, mu: float, tau2: float) -> tuple[Array, Array]:
        """Return the logarithms of conditional p-values, and of their complements, shape (k,)."""
        z, cut, centre, _ = self.at(mu, tau2)
        own, other = log_share(z, cut, centre), log_complement(z, cut, centre)
        large = self.side > 0
        return np.where(large, own, other), np.where(large, other, own)

    def extreme(self, mu: float, tau2: float) -> Array:
        """Return conditional p-values of effects as far from the mean, shape (k,).

        They are given the side of the mean as well, so that they are uniform and rise with tau2.
        """
        z, cut, centre, _ = self.at(mu, tau2)
        beyond = np.exp(log_share(np.maximum(z, centre), np.clip(cut, centre, np.maximum(z, centre)), centre))
        near, far = z - centre, cut - centre
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (special.ndtr(near) - special.ndtr(far)) / (-0.5 * special.erf(far / np.sqrt(2)))
        return np.where(near > 0, beyond, np.clip(between, 0.0, 1.0))

    def best_mean(self, tau2: Array) -> Array:
        """Return the means of highest likelihood given tau2, shape (B,); it is concave in the mean."""
        t = tau2[:, None]
        begin, step = self.begin, float(np.sqrt(self.spread))

        def score(mu: Array, which: NDArray[np.intp]) -> tuple[Array, Array]:
            z, cut, centre, sd = self.at(mu[:, None], t[which])
            b = cut - centre
            excess = mean_excess(b)
            slope = (self.side * ((z - cut) - excess) / sd).sum(axis=1)
            curvature = (np.maximum(1 - excess * (excess + b), TINY) / sd**2).sum(axis=1)
            return slope, slope / curvature

        ends = []
        for way in (-1.0, 1.0):
            end, reach, still = np.full(tau2.size, begin), step, np.arange(tau2.size)
            for _ in range(DOUBLINGS):
                still = still[score(end[still], still)[0] * way > 0]
                if not still.size:
                    break
                end[still] = begin + way * reach
                reach *= 2
            ends.append(end)
        low, width = ends[0], ends[1] - ends[0]
        found = bracketed_newton(
            of_arrays(lambda x, which: score(low[which] + x, which)),
            *(np.zeros(tau2.size), width, 0.5 * width, np.full(tau2.size, 1e-3 * step)),
        )
        return low + found.root

    def profile(self, tau2: float) -> float:
        """Return the log-likelihood given tau2, at the best mean."""
        mu = self.best_mean(np.array([tau2]))
        return float(self.log_likelihood(mu[0], tau2))

    def grid(self, mu: float | None = None) -> Array:
        """Return values of tau2 for a scan: 0, and from a fraction of a variance to far beyond the spread."""
        far = self.spread + (0.0 if mu is None else (mu - self.begin) ** 2)
        return np.concatenate([[0.0], np.geomspace(LEAST * self.v.min(), MOST * far, POINTS)])

    @property
    def begin(self) -> float:
        """A mean from which searches begin."""
        return float(np.average(self.y, weights=1 / self.v))

    @property
    def spread(self) -> float:
        """A variance that is no smaller than that of the effects."""
        return float(np.ptp(self.y) ** 2 + self.v.max())


@dataclass(frozen=True)
class _Peak:
    """The highest point of a scan over tau2, refined."""

    tau2: float
    value: float
    maxima: int
    evaluations: int
    inside: bool  # false where the likelihood still rises at the end of the scan


def _peak(function: Callable[[float], float], grid: Array, values: Array) -> _Peak:
    """Return the highest maximum of a function of tau2, from its values on a grid that begins with 0."""
    from scipy.optimize import minimize_scalar

    left = np.concatenate([[-np.inf], values[:-1]])
    right = np.concatenate([values[1:], [-np.inf]])
    tops = np.flatnonzero((values >= left) & (values > right))
    best, value, used = 0.0, float(values[0]), 0
    # Maxima far below the highest point of the scan cannot rise above it between its points.
    for i in tops[values[tops] > values.max() - 1]:
        if i == grid.size - 1:
            continue
        low = np.log(grid[max(i - 1, 1)]) - (GAP if i <= 1 else 0.0)
        found = minimize_scalar(
            lambda x: -function(float(np.exp(x))),
            bounds=(low, np.log(grid[i + 1])),
            method="bounded",
            options={"xatol": 1e-10},
        )
        used += int(found.nfev)
        if -found.fun > value:
            best, value = float(np.exp(found.x)), -float(found.fun)
    inside = not (values[-1] > value)
    return _Peak(best, value, int(tops.size), used, inside)


def p_uniform_star(
    results: object,
    method: str = "ML",
    *,
    alternative: str | None = None,
    significance: float = 0.05,
    level: float | None = None,
) -> PUniformStar:
    r"""Return the estimates of p-uniform*: mean and tau2, given which effects are significant.

    Use it where significant results were more likely to be published. All effects are used, those that are
    not significant as well, and the mean is not overestimated where effects vary between studies, as that of
    `p_uniform` is. It takes the chance of publication as one number for all significant effects and as
    another one for all others, whatever their standard errors.

    An effect :math:`y_i` is normal around the mean with the variance :math:`s_i^2 + \tau^2`, cut off at its
    critical value :math:`c s_i`: it lies above if it is significant, else below. "ML" maximises the product
    of these conditional densities. It is concave in the mean given :math:`\tau^2`; along :math:`\tau^2` it is
    scanned, and each maximum refined. Intervals are those of the profile likelihood. "P" and "LNP" solve two
    equations: the sum of the conditional p-values is half their number k ("P"), or minus the sum of their
    logarithms is k ("LNP"); and the same for conditional p-values of effects as far from the mean on their
    side of it ("LNP": of their complements). Their intervals hold the other parameter at its estimate.

    Parameters
    ----------
    results : FitResults or EffectSizes
        A fit of any model without moderators, or effects.
    method : {"ML", "P", "LNP"}
        Maximum likelihood, which the authors recommend: it has intervals and tests for everything, while the
        two equations of the others may have no solution.
    alternative : {"greater", "less"}, optional
        In which direction results are favoured; default that of the fixed-effect mean.
    significance : float
        The level at which single studies were tested, two-sided.
    level : float, optional
        Confidence level; default that of the fit, or 0.95.

    Returns
    -------
    PUniformStar
        Mean and between-study variance with intervals and tests, on the scale of the analysis. Missing where
        the likelihood has no maximum, which can be if all effects are significant or none is, or where the
        equations have no solution.

    Raises
    ------
    TooFewStudiesError
        If there are fewer than two effects.
    InputError
        If a sampling variance is zero, the fit has moderators, or `significance` is no fraction.
    NotIdentifiableError
        If the measure has no value of no effect.

    References
    ----------
    van Aert, R. C. M., van Assen, M. A. L. M. (2026). Correcting for publication bias in a meta-analysis with
    the p-uniform* method. Psychonomic Bulletin & Review 33. https://doi.org/10.3758/s13423-025-02812-4

    van Aert, R. C. M., van Assen, M. A. L. M. (2018). https://doi.org/10.31222/osf.io/zqjr9

    Examples
    --------
    >>> import metaexo as mx
    >>> es = mx.EffectSizes([0.62, 0.71, 0.48, 0.9, 0.1, 0.3], [0.05, 0.04, 0.03, 0.09, 0.04, 0.06])
    >>> found = mx.bias.p_uniform_star(es)
    >>> round(found.estimate, 3), round(found.tau2, 3)
    (0.43, 0.014)
    """
    est = estimates_of(results, "p_uniform_star", level=level)
    check_choice("method", method, METHODS)
    how = cast(PUniformStarMethod, method)
    taken = significant(est, alternative, significance)
    data = _Conditional(taken.y, taken.se**2, taken.critical * taken.se, np.where(taken.chosen, 1.0, -1.0))
    found = _likelihood(data, est.level) if how == "ML" else _moments(data, how, est.level)
    said = est.cautions()
    usable = found is not None
    if found is None:
        said += (
            "the conditional likelihood has no maximum: it rises as the mean moves away and tau2 grows"
            if how == "ML"
            else "the two equations have no solution",
        )
        found = {"estimate": np.nan, "low": np.nan, "high": np.nan}
    ends = sorted((taken.back(found.pop("low")), taken.back(found.pop("high"))))
    mean = taken.back(found.pop("estimate"))
    if how == "ML" and np.isinf(ends).any():
        said += ("the likelihood hardly falls as the mean moves away, so that its interval has no end",)
        usable = False
    far = est.far_outside(mean)
    if far:
        said, usable = said + far, False
    if not usable:
        found |= dict.fromkeys(TESTS, np.nan)
    return PUniformStar(
        effects=est.effects,
        said=said + _cautions(taken),
        level=est.level,
        method=how,
        alternative=taken.alternative,
        significance=float(significance),
        k_significant=taken.count,
        estimate=mean,
        se=np.nan,
        low=ends[0],
        high=ends[1],
        usable=usable,
        **found,
    )


def _cautions(taken: Significant) -> tuple[str, ...]:
    """Return what to know where all effects are significant, or none."""
    if 0 < taken.count < taken.y.size:
        return ()
    which = "all effects are" if taken.count else "no effect is"
    return (f"{which} significant, so that mean and tau2 can hardly be separated",)


def _likelihood(data: _Conditional, level: float) -> dict[str, Any] | None:
    """Return estimates, profile intervals and tests of maximum likelihood; None if there is no maximum."""
    grid = data.grid()
    values = data.log_likelihood(data.best_mean(grid)[:, None], grid[:, None])
    peak = _peak(data.profile, grid, values)
    if not peak.inside:
        return None
    best, top = float(data.best_mean(np.array([peak.tau2]))[0]), peak.value
    drop = 0.5 * float(special.chdtri(1, 1 - level))
    typical, endless = float(1 / (1 / data.v).mean()), MOST**2 * data.spread

    def of_mean(mu: float) -> float:
        """Return the log-likelihood given the mean, at the best tau2."""
        scan = data.grid(mu)
        seen = data.log_likelihood(mu, scan[:, None])
        return _peak(lambda t: float(data.log_likelihood(mu, t)), scan, seen).value

    step = float(np.sqrt(1 / (1 / (data.v + peak.tau2)).sum()))

    def beyond(way: float) -> float:
        return best + way * crossing(lambda x: top - of_mean(best + way * x) - drop, 0.0, step, endless**0.5)

    at_zero = float(values[0])
    above = crossing(
        lambda t: top - data.profile(peak.tau2 + t) - drop, 0.0, max(peak.tau2, typical), endless
    )
    below = 0.0
    if top - at_zero > drop:
        below = peak.tau2 - crossing(
            lambda t: top - data.profile(max(peak.tau2 - t, 0.0)) - drop, 0.0, 0.1 * peak.tau2
        )
    zero = max(0.0, 2 * (top - of_mean(0.0)))
    heterogeneity = max(0.0, 2 * (top - at_zero))
    return {
        "estimate": best,
        "low": beyond(-1.0),
        "high": beyond(1.0),
        "tau2": peak.tau2,
        "tau2_low": below,
        "tau2_high": peak.tau2 + above,
        "pvalue": float(chi2_tail(zero, 1)),
        "zero_statistic": zero,
        "heterogeneity_statistic": heterogeneity,
        "heterogeneity_pvalue": 0.5 * float(chi2_tail(heterogeneity, 1)),
        "log_likelihood": top,
        "certificate": _certificate(data, peak, typical),
    }


def _certificate(data: _Conditional, peak: _Peak, typical: float) -> Certificate:
    """Return what is known of a maximum: slope and curvature of the profile by differences."""
    score, curvature = np.nan, np.nan
    if peak.tau2 == 0:
        score = (data.profile(STEP * typical) - peak.value) / STEP
    else:
        down, up = (data.profile(peak.tau2 * float(np.exp(way * STEP))) for way in (-1, 1))
        score, curvature = (up - down) / (2 * STEP), (up - 2 * peak.value + down) / STEP**2
    return Certificate(peak.tau2 == 0, score, curvature, peak.evaluations, peak.maxima, False)


def _moments(data: _Conditional, method: str, level: float) -> dict[str, Any] | None:
    """Return the solution of the two equations with its intervals; None if there is none."""
    from scipy import stats

    k, plain = data.y.size, method == "P"
    rule = stats.irwinhall(k) if plain else stats.gamma(k)
    tail = (1 - level) / 2
    centre, few, many = float(rule.mean()), float(rule.ppf(tail)), float(rule.isf(tail))
    step, way = float(np.sqrt(data.v.mean())), 1.0 if plain else -1.0

    def of_mean(mu: float, tau2: float) -> float:
        logs = data.log_q(mu, tau2)[0]
        return float(np.exp(logs).sum() if plain else -logs.sum())

    def of_tau2(mu: float, tau2: float) -> float:
        shares = data.extreme(mu, tau2)
        with np.errstate(divide="ignore"):
            return float(shares.sum() if plain else -np.log1p(-shares).sum())

    def mean_where(target: float, tau2: float) -> float:
        return crossing(lambda mu: way * np.log(np.float64(of_mean(mu, tau2)) / target), data.begin, step)

    def tau2_where(target: float, mu: float) -> float:
        if of_tau2(mu, 0.0) >= target:
            return 0.0
        return crossing(lambda t: of_tau2(mu, abs(t)) - target, 0.0, step**2)

    def left(tau2: float) -> float:
        return of_tau2(mean_where(centre, tau2), tau2) - centre

    tau2 = _first_root(left, data.grid()[:: POINTS // 50])
    own, other = data.log_q(mean_where(centre, 0.0), 0.0)
    heterogeneity = -float((np.log(2) + np.minimum(own, other)).sum())
    tested = {
        "heterogeneity_statistic": heterogeneity,
        "heterogeneity_pvalue": float(special.gammaincc(k, heterogeneity)),
    }
    if tau2 is None:
        return None
    mu = mean_where(centre, tau2)
    ends = sorted(mean_where(target, tau2) for target in (few, many))
    return tested | {
        "estimate": mu,
        "low": ends[0],
        "high": ends[1],
        "tau2": tau2,
        "tau2_low": tau2_where(few, mu),
        "tau2_high": tau2_where(many, mu),
    }


def _first_root(function: Callable[[float], float], grid: Array) -> float | None:
    """Return where a function first reaches 0 from below, on a grid from 0 on; None if it does not."""
    from scipy.optimize import brentq

    before = 0.0
    if function(before) >= 0:
        return before
    for point in map(float, grid[1:]):
        if function(point) >= 0:
            return float(brentq(function, before, point, xtol=1e-14 * point, rtol=RELATIVE))
        before = point
    return None
