"""Mixed models of the counts of one or two arms as problems of the search for the highest likelihood.

======================  ================================================================================
"unconditional-fixed"   two arms, an intercept per study that is estimated, random treatment effect
"unconditional-random"  two arms, a random intercept per study and a random treatment effect
"conditional-exact"     events of the first arm given all events of the study: non-central hypergeometric, or
                        for person-time binomial
"conditional-approximate"  the same with the binomial distribution, right where events are rare
"one-arm"               one arm, random intercept
======================  ================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit, ndtri

from metaexo.numeric.counts.kernels import Binomial, CountKernel, Hypergeometric, Poisson
from metaexo.numeric.counts.maximum import CountMaximum, CountProblem, Place, Search, search
from metaexo.numeric.counts.separation import separated
from metaexo.types import Array, Mask

FIXED, RANDOM, EXACT, APPROXIMATE, ONE_ARM = (
    "unconditional-fixed",
    "unconditional-random",
    "conditional-exact",
    "conditional-approximate",
    "one-arm",
)
# Values of a scale that the search begins from.
GRID = 7
GRID_OF_TWO = 4
# The smallest and the largest of them, in standard errors of a typical study and standard deviations of the
# studies' own estimates.
LEAST, LARGEST = 0.2, 3.0
ADDED = 0.5


@dataclass(frozen=True)
class Formulation:
    """B models of counts in standardised columns, ready for the search.

    The parameters psi are the coefficients of the standardised columns, then, if treatment effects are
    random, tau. For "unconditional-random" they are the coefficients, the mean of the study intercepts, sigma
    and tau, and with correlated random effects the loading of the treatment effect on the study intercept.
    """

    problem: CountProblem
    begin: Place
    plan: Search
    back: Array  # (B or 1, p, p): coefficients of the columns given = back @ those of standardised columns
    p: int  # coefficients of the columns given
    rows: Array  # (B or 1, R, P): columns of the rows of counts, for all parameters that are not scales
    extreme: tuple[Mask, Mask]  # (B or 1, R) each: counts that are the least, and the largest, possible
    counted: Mask  # (B or 1, R)
    inner: Mask  # (B or 1, K): studies that a random effect with infinite variance makes impossible
    random: bool

    def infinite(self) -> tuple[Mask, Mask]:
        """Return which problems have no finite estimate of a coefficient, and of a variance, (B,) each."""
        coefficients = separated(self.rows, *self.extreme, self.counted)
        if self.random:
            variances = ~(self.inner & (self.problem.weights > 0)).any(axis=1)
        else:
            variances = np.zeros(1, dtype=bool)
        size = self.problem.size
        return np.broadcast_to(coefficients, size), np.broadcast_to(variances, size)

    def maximum(self) -> CountMaximum:
        """Return the highest maxima."""
        return search(self.problem, self.begin, self.plan)


def formulate(
    model: str,
    x: Array,
    totals: Array,
    columns: Array,
    *,
    person_time: bool = False,
    link: str = "logit",
    coding: tuple[float, float] = (0.5, -0.5),
    random: bool = True,
    correlated: bool = False,
    points: int = 7,
    weights: Array | None = None,
) -> Formulation:
    """Return the models of counts x among totals, both of shape (B, K, g).

    `columns`, shape (B or 1, K, p): moderators of the treatment effect, or of the one arm. `random`: whether
    the treatment effects differ between studies. `weights`, shape (B or 1, K): how often each study counts.
    """
    k, p = columns.shape[1:]
    weights = np.ones((1, k)) if weights is None else weights
    kernel = _kernel(model, x, totals, person_time, link)
    y, v, level = _crude(model, x, totals, person_time, link, coding)
    # a study without events in either arm, or with nothing else, has nothing to say but on its intercept
    low, high = _extremes(model, x, totals, person_time)
    if model != RANDOM:
        weights = np.where(low & high, 0.0, weights)
    standard, back = _standardise(columns)
    beta = _regression(standard, y, v, weights, np.zeros((1, 1)))[:, 0]
    tau, unit = _grid(y, v, standard, beta, weights)
    design, constants, count = _design(model, standard, coding, random, correlated)
    size = max(len(x), len(columns), len(weights))
    shape = (size, k)
    psi = np.zeros((size, count))
    psi[:, :p] = beta
    own = np.zeros(shape)
    common = model == RANDOM
    if model == FIXED:
        own = np.broadcast_to(level, shape).copy()
    if common:
        psi[:, p] = (weights * level).sum(axis=1) / weights.sum(axis=1)
    problem = CountProblem(kernel, constants, design, weights, points, own=model == FIXED)
    begin = Place(psi, own, np.zeros((size, k, len(constants) - 1)))
    plan = _plan(p, common, random, correlated, tau, unit, level, weights)
    of_effect = slice(1, None) if common else slice(0, None)
    tau2 = [(values[..., of_effect] ** 2).sum(axis=-1) for values in plan.values]
    plan = replace(plan, coefficients=tuple(_regression(standard, y, v, weights, t) for t in tau2))
    rows, extreme, counted = standard, (low, high), weights > 0
    if common:  # each arm is a row
        first = np.concatenate([standard, np.zeros_like(standard)], axis=1)
        rows = np.concatenate([first, np.ones((len(first), 2 * k, 1))], axis=-1)
        none = np.concatenate([x[..., 0] == 0, x[..., 1] == 0], axis=1)
        every = np.concatenate([x[..., 0] == totals[..., 0], x[..., 1] == totals[..., 1]], axis=1)
        extreme = (none, np.zeros_like(every) if person_time else every)
        counted = np.concatenate([counted, counted], axis=1)
    inner = _inner(model, x, totals, person_time, coding, correlated, random)
    return Formulation(problem, begin, plan, back, p, rows, extreme, counted, inner, random or common)


def _kernel(model: str, x: Array, totals: Array, person_time: bool, link: str) -> CountKernel:
    if model.startswith("conditional"):
        all_events = x.sum(axis=-1, keepdims=True)
        first, second = totals[..., :1], totals[..., 1:]
        if person_time or model == APPROXIMATE:
            return Binomial(x[..., :1], all_events, "logit", np.log(first / second))
        return Hypergeometric(x[..., :1], first, second, all_events)
    return Poisson(x, np.log(totals)) if person_time else Binomial(x, totals, link)


def _extremes(model: str, x: Array, totals: Array, person_time: bool) -> tuple[Mask, Mask]:
    """Return which studies alone have an estimate of minus, and of plus infinity; both: of no information."""
    none = x == 0
    every = np.zeros(x.shape, dtype=bool) if person_time else x == totals
    if model == ONE_ARM:
        return none[..., 0], every[..., 0]
    if model == APPROXIMATE:  # all events in one arm; whether all people have one is not seen
        return none[..., 0], none[..., 1]
    return none[..., 0] | every[..., 1], every[..., 0] | none[..., 1]


def _inner(
    model: str,
    x: Array,
    totals: Array,
    person_time: bool,
    coding: tuple[float, float],
    correlated: bool,
    random: bool,
) -> Mask:
    """Return which studies have a likelihood that goes to 0 as a variance of the random effects grows.

    Where no study is one of them, the likelihood may increase without end. With two random effects both
    variances must be held: the treatment effect moves the arms that its coding says, the intercept both.
    An intercept alone is held by a study with an event in one arm and someone without in the other.
    """
    low, high = _extremes(model, x, totals, person_time)
    if not model.startswith("unconditional"):
        return np.asarray(~(low | high))
    if model == RANDOM and not random:
        x, totals = x.sum(axis=-1, keepdims=True), totals.sum(axis=-1, keepdims=True)
    inner = x > 0
    if not person_time:
        inner = inner & (x < totals)
    moved = np.array([True, True]) if correlated else np.asarray(coding) != 0
    if (model != RANDOM or random) and (
        correlated or not moved.all()
    ):  # one arm alone may take up an infinite variance
        held = [inner[..., a].any(axis=1, keepdims=True) for a in np.flatnonzero(moved)]
        return np.asarray(np.logical_and.reduce(held) & np.ones(inner.shape[:-1], dtype=bool))
    return np.asarray(inner.any(axis=-1))


def _crude(
    model: str, x: Array, totals: Array, person_time: bool, link: str, coding: tuple[float, float]
) -> tuple[Array, Array, Array]:
    """Return rough estimates, their variances, and rough intercepts of the studies, with 1/2 added."""
    if person_time:
        rate = np.log((x + ADDED) / totals)
        variance = 1.0 / (x + ADDED)
    else:
        p = (x + ADDED) / (totals + 2 * ADDED)
        odds = 1.0 / (p * (1.0 - p) * (totals + 2 * ADDED))
        rate, variance = logit(p), odds
        if link == "probit":
            rate = ndtri(p)
            variance = odds * (p * (1 - p)) ** 2 * 2 * np.pi * np.exp(rate**2)
        elif link == "cloglog":
            rate = np.log(-np.log1p(-p))
            variance = odds * (p / np.log1p(-p)) ** 2
    if model == ONE_ARM:
        return rate[..., 0], variance[..., 0], rate[..., 0]
    y = rate[..., 0] - rate[..., 1]
    level = rate.mean(axis=-1) - 0.5 * y
    return y, variance.sum(axis=-1), level


def _standardise(columns: Array) -> tuple[Array, Array]:
    """Return orthogonal columns of mean square 1 that span the same, and the way back."""
    k = columns.shape[1]
    scale = np.maximum(np.abs(columns).max(axis=1, keepdims=True), 1e-300)
    q, r = np.linalg.qr(columns / scale)
    back = np.linalg.inv(r) * np.sqrt(k) / np.swapaxes(scale, 1, 2)
    return q * np.sqrt(k), back


def _regression(standard: Array, y: Array, v: Array, weights: Array, tau2: Array) -> Array:
    """Return coefficients of weighted regressions of rough estimates at tau2, (B or 1, G), as (B, G, p)."""
    w = weights[:, None] / (v[:, None] + tau2[..., None])
    across = np.swapaxes(standard, 1, 2)[:, None] * w[:, :, None]
    gram = across @ standard[:, None]
    ridge = 1e-9 * np.trace(gram, axis1=2, axis2=3) + 1e-100  # rough estimates from any design
    gram = gram + ridge[..., None, None] * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(gram, across @ y[:, None, :, None])[..., 0])


def _grid(y: Array, v: Array, standard: Array, beta: Array, weights: Array) -> tuple[Array, Array]:
    """Return values of tau to begin from, (B, GRID), and the size of one that matters, (B,)."""
    rest = y - (standard @ beta[..., None])[..., 0]
    total = np.maximum(weights.sum(axis=-1), 1.0)
    unit = np.sqrt(total / np.maximum((weights / v).sum(axis=-1), 1e-300))
    spread = np.sqrt((weights * rest * rest).sum(axis=-1) / total)
    return _between(LEAST * unit, LARGEST * np.maximum(spread, unit), GRID), unit


def _between(low: Array, high: Array, points: int) -> Array:
    """Return values in geometric progression, (B, points)."""
    share = np.linspace(0.0, 1.0, points)
    return np.asarray(low[:, None] * (high / low)[:, None] ** share)


def _design(
    model: str, standard: Array, coding: tuple[float, float], random: bool, correlated: bool
) -> tuple[Array, Array, int]:
    """Return the maps from psi to a study's parameters and from these to predictors, and the size of psi."""
    size, k, p = standard.shape
    c = np.asarray(coding)
    if model == RANDOM:
        # of a study: effect, mean intercept, sigma, tau, loading of the effect on the intercept
        d = 3 + random + (random and correlated)
        constants = np.zeros((2 + random, 2, d))
        constants[0, 0, 0], constants[0, :, 1], constants[1, :, 2] = 1.0, 1.0, 1.0
        if random:
            constants[2, :, 3] = c
        if random and correlated:
            constants[1, :, 4] = c
        design = np.zeros((size, k, d, p + d - 1))
        for j in range(1, d):
            design[..., j, p + j - 1] = 1.0
    else:
        arms = 2 if model == FIXED else 1
        c = c if arms == 2 else np.ones(1)  # of the random effect; the fixed one is that of the first arm
        d = 1 + random
        constants = np.zeros((2, arms, d + (arms == 2)))
        constants[0, 0, 0] = 1.0
        if random:
            constants[1, :, 1] = c
        if arms == 2:
            constants[0, :, -1] = 1.0
        design = np.zeros((size, k, d, p + random))
        if random:
            design[..., 1, p] = 1.0
    design[..., 0, :p] = standard
    return design, constants, design.shape[-1]


def _plan(
    p: int,
    common: bool,
    random: bool,
    correlated: bool,
    tau: Array,
    unit: Array,
    level: Array,
    weights: Array,
) -> Search:
    if not common:
        if not random:
            return Search((), ((),), ((),), (np.zeros((1, 1, 0)),), unit)
        return Search((p,), ((), (p,)), ((), (GRID,)), (np.zeros((1, 1, 1)), tau[..., None]), unit)
    total = weights.sum(axis=-1)
    centre = ((weights * level).sum(axis=-1) / total)[:, None]
    spread = np.sqrt((weights * (level - centre) ** 2).sum(axis=-1) / total)
    least = LEAST * np.minimum(np.broadcast_to(unit, spread.shape), 1.0)
    sigma = _between(least, LARGEST * np.maximum(spread, 0.5), GRID_OF_TWO)
    at = p + 1  # sigma, tau, cross
    if not random:
        return Search((at,), ((), (at,)), ((), (GRID_OF_TWO,)), (np.zeros((1, 1, 1)), sigma[..., None]), unit)
    size = max(len(sigma), len(tau))
    few = np.broadcast_to(_between(tau[:, 0], tau[:, -1], GRID_OF_TWO), (size, GRID_OF_TWO))
    sigma = np.broadcast_to(sigma, (size, GRID_OF_TWO))
    zero = np.zeros((size, GRID_OF_TWO))
    pairs = np.stack([np.repeat(sigma, GRID_OF_TWO, axis=1), np.tile(few, (1, GRID_OF_TWO))], axis=-1)
    nothing = np.zeros((1, 1, 3 if correlated else 2))
    square = (GRID_OF_TWO, GRID_OF_TWO)
    if not correlated:
        return Search(
            (at, at + 1),
            ((), (at,), (at + 1,), (at, at + 1)),
            ((), (GRID_OF_TWO,), (GRID_OF_TWO,), square),
            (nothing, np.stack([sigma, zero], -1), np.stack([zero, few], -1), pairs),
            unit,
        )
    still = np.zeros_like(pairs[..., 0])
    ends = np.concatenate(
        [np.stack([pairs[..., 0], still, sign * pairs[..., 1]], -1) for sign in (-1.0, 1.0)], axis=1
    )
    part = np.concatenate(
        [
            np.stack([pairs[..., 0], pairs[..., 1] * np.sqrt(1 - r * r), pairs[..., 1] * r], -1)
            for r in (-0.8, 0.0, 0.8)
        ],
        axis=1,
    )
    return Search(
        (at, at + 1, at + 2),
        ((), (at + 1,), (at, at + 2), (at, at + 1, at + 2)),
        ((), (GRID_OF_TWO,), (2, *square), (3, *square)),
        (nothing, np.stack([zero, few, zero], -1), ends, part),
        unit,
    )
