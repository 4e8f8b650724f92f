"""The methods that the simulation of small-study effects compares, each on many meta-analyses at once.

What has a closed form is computed for all draws in one go; the tests hold these against the functions of
metaexo.bias, which the others call draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import metaexo as mx
from benchmarks.small_study_data import SIZES, TAUS, Draw
from metaexo.bias.selection.fitting import FAR, STEP_STARTS, step_bounds
from metaexo.bias.significant import log_share
from metaexo.numeric.selection.likelihood import Problem
from metaexo.numeric.selection.solver import maximise
from metaexo.numeric.selection.steps import Steps
from metaexo.numeric.tails import chi2_tail, normal_quantile, t_of_tail, t_two_sided
from metaexo.types import Array

LEVEL = 0.95
MANY, SOME, FEW, FEWEST = 4000, 1000, 250, 100
SEARCHED, HALVINGS = (-60.0, 12.0), 45  # where the mean of p-uniform is looked for
INTERVAL = ("estimate", "low", "high")
SAME = 1e-12  # spread of x, as a share of its square, below which all x are equal
ARRIVED = 1e-6
LENIENT = 0.1  # level of the test of PET that chooses PEESE
POWERED = 2.8  # effects over standard errors: a power of 80% at two-sided 5%


@dataclass(frozen=True)
class Found:
    """What a method found in each draw: the p-value of its test, or its estimate with a 95% interval."""

    pvalue: Array | None = None
    estimate: Array | None = None
    low: Array | None = None
    high: Array | None = None

    @property
    def rejects(self) -> NDArray[np.bool_]:
        """Whether each draw has p < 0.05, or an interval without 0."""
        if self.pvalue is not None:
            return self.pvalue < 1 - LEVEL
        return (self.low > 0) | (self.high < 0)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each draw has a p-value, or an estimate."""
        return np.isfinite(self.estimate if self.pvalue is None else self.pvalue)


@dataclass(frozen=True)
class Method:
    """A method: what it is called in tables, what it computes, in how many draws, and where."""

    words: str
    apply: Callable[[Draw], Found]
    draws: int = MANY
    taus: tuple[float, ...] = TAUS
    sizes: tuple[int, ...] = SIZES


@dataclass(frozen=True)
class Lines:
    """Weighted straight lines of y on x, one per draw."""

    total: Array  # sum of the weights
    x: Array  # weighted means of x and y
    y: Array
    spread: Array  # weighted sum of squares of x about its mean
    slope: Array
    dispersion: Array  # of the residuals
    df: int

    def at(self, x: Array | float) -> tuple[Array, Array]:
        """Return the line at x, and its variance at a dispersion of 1."""
        return self.y + self.slope * (x - self.x), 1 / self.total + (x - self.x) ** 2 / self.spread

    @property
    def intercept(self) -> tuple[Array, Array]:
        """Intercepts with their standard errors."""
        estimate, variance = self.at(0.0)
        return estimate, np.sqrt(self.dispersion * variance)

    @property
    def slope_pvalue(self) -> Array:
        """Two-sided p-values of the slopes."""
        return t_two_sided(self.slope / np.sqrt(self.dispersion / self.spread), self.df)


def lines(y: Array, v: Array, x: Array) -> Lines:
    """Fit weighted least squares with weights 1/v; missing where all x of a draw are equal."""
    w = 1 / v
    total = w.sum(axis=1)
    x_mean, y_mean = np.vecdot(w, x) / total, np.vecdot(w, y) / total
    dx, dy = x - x_mean[:, None], y - y_mean[:, None]
    spread = np.vecdot(w, dx * dx)
    spread = np.where(spread > SAME * total * x_mean**2, spread, np.nan)
    slope = np.vecdot(w, dx * dy) / spread
    rest = dy - slope[:, None] * dx
    df = y.shape[1] - 2
    return Lines(total, x_mean, y_mean, spread, slope, np.vecdot(w, rest * rest) / df, df)


def estimated(estimate: Array, se: Array, df: Array | float | None = None) -> Found:
    """Return estimates with t intervals, or normal ones without degrees of freedom."""
    half = se * (normal_quantile(LEVEL) if df is None else t_of_tail((1 - LEVEL) / 2, df))
    return Found(estimate=estimate, low=estimate - half, high=estimate + half)


def one_by_one(call: Callable[[mx.EffectSizes], Any], *names: str) -> Callable[[Draw], Found]:
    """Return a method of all draws from one that takes a single one; `names` are what is kept of its result.

    What a method refuses, as p-uniform without a significant effect, stays missing.
    """

    def apply(draw: Draw) -> Found:
        found = np.full((len(names), len(draw.y)), np.nan)
        for i, (y, v) in enumerate(zip(draw.y, draw.v, strict=True)):
            with suppress(mx.errors.MetaexoError):
                one = call(mx.EffectSizes(y, v))
                found[:, i] = [getattr(one, name) for name in names]
        return Found(**dict(zip(names, found, strict=True)))

    return apply


def favoured(call: Callable[..., Any]) -> Callable[[mx.EffectSizes], Any]:
    """Return a function of effects that knows the direction of selection."""
    return partial(call, alternative="greater")


def excess(es: mx.EffectSizes) -> Any:
    """Return the test of excess significance, with power averaged over true effects."""
    return mx.bias.excess_significance(mx.RandomEffects(es).fit())


def random_effects(test: str) -> Callable[[Draw], Found]:
    """Return the REML fit with intervals of one kind."""

    def apply(draw: Draw) -> Found:
        fits = mx.fit_many(draw.y, draw.v, test=test)
        return estimated(fits.estimate, fits.se, None if test == "z" else draw.y.shape[1] - 1)

    return apply


def egger(predictor: str) -> Callable[[Draw], Found]:
    """Return the regression test on standard errors, or on sqrt(1 / n1 + 1 / n2)."""

    def apply(draw: Draw) -> Found:
        x = draw.se if predictor == "se" else np.sqrt(draw.size)
        return Found(lines(draw.y, draw.v, x).slope_pvalue)

    return apply


def pet_peese(predictor: str) -> Callable[[Draw], Found]:
    """Return PET, or PEESE where PET finds an effect, on standard errors or on sqrt(1 / n1 + 1 / n2)."""

    def apply(draw: Draw) -> Found:
        x = draw.se if predictor == "se" else np.sqrt(draw.size)
        pet, peese = lines(draw.y, draw.v, x), lines(draw.y, draw.v, x * x)
        estimate, se = pet.intercept
        effect = t_two_sided(estimate / se, pet.df) < LENIENT
        return estimated(
            *(np.where(effect, *both) for both in zip(peese.intercept, pet.intercept, strict=True)), pet.df
        )

    return apply


def limit(draw: Draw) -> Found:
    """Return the expected effect of a study without sampling error, where effects depend on precision."""
    tau2 = mx.fit_many(draw.y, draw.v).tau2
    total = draw.v + tau2[:, None]
    estimate, variance = lines(draw.y, total, np.sqrt(total)).at(np.sqrt(tau2))
    return estimated(estimate, np.sqrt(variance))


def weighted_mean(y: Array, v: Array, part: Array) -> tuple[Array, Array, Array]:
    """Return inverse-variance means of those that take part, standard errors with a free dispersion, df."""
    w = part / v
    total = w.sum(axis=1)
    mean = np.vecdot(w, y) / total
    df = part.sum(axis=1) - 1
    return mean, np.sqrt(np.vecdot(w, (y - mean[:, None]) ** 2) / df / total), df


def waap_wls(draw: Draw) -> Found:
    """Return the weighted mean of the adequately powered studies, or of all where fewer than two are."""
    everyone = np.ones_like(draw.y)
    mean = weighted_mean(draw.y, draw.v, everyone)[0]
    powered = (draw.se <= np.abs(mean)[:, None] / POWERED).astype(float)
    part = np.where((powered.sum(axis=1) >= 2)[:, None], powered, 1.0)
    return estimated(*weighted_mean(draw.y, draw.v, part))


def worst_case(draw: Draw) -> Found:
    """Return the mean of the studies that are not significant and positive, with robust intervals.

    The standard errors are CR2 with Satterthwaite degrees of freedom, for one effect per study.
    """
    part = draw.y / draw.se < normal_quantile(LEVEL)
    w = part / (draw.v + mx.fit_many(draw.y, draw.v).tau2[:, None])
    total = w.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.vecdot(w, draw.y) / total[:, 0]
        square = (w / total) ** 2 / (1 - w / total)
        se = np.sqrt(np.vecdot(square, (draw.y - mean[:, None]) ** 2))
        own = np.where(part, square * (1 / w - 1 / total), 0.0)
        crossed = (square.sum(axis=1) ** 2 - np.vecdot(square, square)) / total[:, 0] ** 2
        df = own.sum(axis=1) ** 2 / (np.vecdot(own, own) + crossed)
    few = part.sum(axis=1) < 2
    return estimated(np.where(few, np.nan, mean), se, np.where(few, np.nan, df))


def trim_and_fill(draw: Draw) -> Found:
    """Return the random-effects means with the studies filled in that are missing on the left."""
    found = mx.bias.trim_and_fill_many(draw.y, draw.v).fits
    return Found(None, found.estimate, found.low, found.high)


@lru_cache
def sum_of_uniforms(count: int) -> tuple[float, float, float]:
    """Return the mean and the ends of the 95% interval of a sum of uniform variables."""
    rule, tail = stats.irwinhall(count), (1 - LEVEL) / 2
    return float(rule.mean()), float(rule.ppf(tail)), float(rule.isf(tail))


def p_uniform(draw: Draw) -> Found:
    """Return the estimates of p-uniform (sum of conditional p-values) by bisection of all draws at once."""
    critical = normal_quantile(LEVEL)
    z = draw.y / draw.se
    chosen = z > critical
    can = np.flatnonzero(chosen.any(axis=1))
    chosen, se = chosen[can], draw.se[can]
    z = np.where(chosen, z[can], critical)
    targets = np.array([sum_of_uniforms(int(count)) for count in chosen.sum(axis=1)]).reshape(-1, 3).T
    ends = []
    for target in targets:
        low, high = (np.full(can.size, end) for end in SEARCHED)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            total = np.where(chosen, np.exp(log_share(z, critical, middle[:, None] / se)), 0.0).sum(axis=1)
            low, high = np.where(total < target, middle, low), np.where(total < target, high, middle)
        ends.append((low + high) / 2)
    found = np.full((3, len(draw.y)), np.nan)
    estimate = np.maximum(ends[0], 0.0)
    found[:, can] = estimate, ends[1], np.maximum(ends[2], estimate)
    return Found(None, *found)


def three_parameters(draw: Draw) -> tuple[Found, Array]:
    """Return the means of a selection model with one step at p = 0.025, and twice the gain in likelihood.

    All draws are solved at once, each from the starts of metaexo.bias.selection_model.
    """
    k = draw.y.shape[1]
    unit = np.sqrt(1 / (1 / draw.v).mean(axis=1))
    y, v = draw.y / unit[:, None], draw.v / unit[:, None] ** 2
    plain = mx.fit_many(y, v, method="ML", test="z")
    seen = (y / np.sqrt(v) < normal_quantile(LEVEL)).astype(np.intp)
    starts = np.array([(a, b, c) for a, b, c in STEP_STARTS])
    spread = np.sqrt(np.median(v, axis=1) + plain.tau2)
    variance = starts[:, 1] * plain.tau2[:, None] + np.where(starts[:, 1] > 1, 0.1, 0.0)
    first = plain.estimate[:, None] + starts[:, 0] * spread[:, None]
    bounds = np.array([step_bounds(np.bincount(one, minlength=2)) for one in seen])
    reach = FAR * np.maximum(np.abs(y).max(axis=1), np.sqrt(v.max(axis=1)))
    zero = np.zeros_like(reach)
    low = np.column_stack([-reach, zero, bounds[:, 0]])
    high = np.column_stack([reach, np.log(reach**2 + 1), bounds[:, 1]])
    inner = [np.clip(starts[:, 2], low[:, j, None], high[:, j, None]) for j in (2, 3)]
    theta = np.stack([first, np.log(variance + 1), *inner], axis=-1).reshape(-1, 4)
    edges = normal_quantile(LEVEL) * np.sqrt(v)[:, :, None]
    weights = Steps(edges, np.array([1, 0]), seen, 2)
    problem = Problem(y, v, np.ones((*y.shape, 1)), weights, np.ones(len(y)))
    rows = np.repeat(np.arange(len(y)), len(starts))
    units = np.array([max(1.0, 0.5 * np.median(reach) / FAR), 1.5, 1.5, 1.5])
    maxima = maximise(problem.evaluate, theta, low[rows], high[rows], units, rows)
    best = maxima.llf.reshape(len(y), -1).argmax(axis=1) + np.arange(len(y)) * len(starts)
    found = maxima.take(best)
    free = ~found.held
    both = free[:, :, None] & free[:, None, :]
    minus = np.where(both, -found.hessian, np.eye(4))
    sound = np.isfinite(minus).all(axis=(1, 2))
    minus[~sound] = np.eye(4)
    sound &= np.linalg.eigvalsh(minus)[:, 0] > 0
    minus[~sound] = np.eye(4)
    cov, score = np.linalg.inv(minus), np.where(free, found.gradient, 0.0)
    sound &= np.einsum("bi,bij,bj->b", score, cov, score) < ARRIVED
    se = np.where(sound, np.sqrt(cov[:, 0, 0]), np.nan)
    total = v + plain.tau2[:, None]
    away = y - plain.estimate[:, None]
    without = -0.5 * (np.log(2 * np.pi * total) + away**2 / total).sum(axis=1)
    gain = np.where(sound, 2 * np.maximum(found.llf - without, 0.0), np.nan)
    one_step = (seen.sum(axis=1) == 0) | (seen.sum(axis=1) == k)
    return estimated(found.theta[:, 0] * unit, se * unit), np.where(one_step, np.nan, gain)


METHODS: dict[str, Method] = {
    "random effects": Method("random effects, Knapp-Hartung", random_effects("knapp-hartung")),
    "random effects, z": Method("random effects, normal", random_effects("z")),
    "trim and fill": Method("trim and fill (L0)", trim_and_fill),
    "Henmi-Copas": Method("Henmi-Copas", one_by_one(mx.bias.henmi_copas, *INTERVAL), FEW),
    "PET-PEESE": Method("PET-PEESE on SE", pet_peese("se")),
    "PET-PEESE, sizes": Method("PET-PEESE on sizes", pet_peese("sizes")),
    "limit": Method("limit meta-analysis", limit),
    "WAAP-WLS": Method("WAAP-WLS", waap_wls),
    "p-uniform": Method("p-uniform", p_uniform, SOME),
    "p-uniform*": Method(
        "p-uniform*", one_by_one(favoured(mx.bias.p_uniform_star), *INTERVAL), FEWEST, TAUS[1:], (20,)
    ),
    "selection": Method("selection model, one step", lambda draw: three_parameters(draw)[0], FEW),
    "worst case": Method("worst case", worst_case),
    "Egger": Method("Egger on SE", egger("se")),
    "Egger, sizes": Method("Egger on sizes", egger("sizes")),
    "rank": Method("rank test", one_by_one(mx.bias.rank_test, "pvalue"), FEW),
    "excess": Method("excess significance, random effects", one_by_one(excess, "pvalue"), FEW),
    "selection test": Method(
        "likelihood ratio, one step", lambda draw: Found(chi2_tail(three_parameters(draw)[1], 1)), FEW
    ),
}
