"""Pooled effects and tests from the counts of two arms: Mantel-Haenszel, Peto, Cochran, Breslow-Day.

All sums run over the last axis, so that other axes are many sets of studies at once (resampled, permuted,
without one study each). `n`, of the same shape or None, says how often each study counts; 0 leaves it out.

References
----------
Mantel, N., Haenszel, W. (1959). Journal of the National Cancer Institute 22, 719-748.
https://doi.org/10.1093/jnci/22.4.719
Robins, J., Breslow, N., Greenland, S. (1986). Estimators of the Mantel-Haenszel variance consistent in both
sparse data and large-strata limiting models. Biometrics 42, 311-323. https://doi.org/10.2307/2531052
Greenland, S., Robins, J. M. (1985). Estimation of a common effect parameter from sparse follow-up data.
Biometrics 41, 55-68. https://doi.org/10.2307/2530643
Sato, T., Greenland, S., Robins, J. M. (1989). On the variance estimator for the Mantel-Haenszel risk
difference. Biometrics 45, 1323-1324. https://doi.org/10.2307/2531784
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metaexo.numeric.tails import chi2_tail
from metaexo.types import Array


class TwoArms(NamedTuple):
    """Events and people (or person-time) of the treated arm, 1, and the control arm, 2; shapes (..., k)."""

    x1: Array
    n1: Array
    x2: Array
    n2: Array


class Sums(NamedTuple):
    """A pooled effect with its variance, shapes (...,), and the weights of the studies, shape (..., k).

    A ratio is a logarithm. It is infinite, its variance too, where one arm has no event in any study (for an
    odds ratio also where it has no one without), and NaN where neither has.
    """

    estimate: Array
    variance: Array
    weights: Array


def _total(values: Array, n: Array | None) -> Array:
    return np.asarray((values if n is None else values * n).sum(axis=-1))


def odds_ratio(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel log odds ratio with the variance of Robins, Breslow and Greenland."""
    whole = t.n1 + t.n2
    b, d = t.n1 - t.x1, t.n2 - t.x2
    up, down = t.x1 * d / whole, b * t.x2 / whole
    p, q = (t.x1 + d) / whole, (b + t.x2) / whole
    r, s = _total(up, n), _total(down, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            _total(p * up, n) / (2 * r**2)
            + _total(p * down + q * up, n) / (2 * r * s)
            + _total(q * down, n) / (2 * s**2)
        )
    return _ratio(r, s, variance, down)


def risk_ratio(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel log risk ratio with the variance of Greenland and Robins."""
    whole = t.n1 + t.n2
    up, down = t.x1 * t.n2 / whole, t.x2 * t.n1 / whole
    spread = ((t.x1 + t.x2) * t.n1 * t.n2 - t.x1 * t.x2 * whole) / whole**2
    r, s = _total(up, n), _total(down, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = _total(spread, n) / (r * s)
    return _ratio(r, s, variance, down)


def rate_ratio(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel log rate ratio with the variance of Greenland and Robins."""
    whole = t.n1 + t.n2
    up, down = t.x1 * t.n2 / whole, t.x2 * t.n1 / whole
    r, s = _total(up, n), _total(down, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = _total((t.x1 + t.x2) * (t.n1 / whole) * (t.n2 / whole), n) / (r * s)
    return _ratio(r, s, variance, down)


def _ratio(r: Array, s: Array, variance: Array, weights: Array) -> Sums:
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.log(r) - np.log(s)
    known = (r > 0) & (s > 0)
    without = np.where((r > 0) | (s > 0), np.inf, np.nan)
    return Sums(np.asarray(estimate), np.where(known, variance, without), weights)


def risk_difference(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel risk difference with the variance of Sato, Greenland and Robins.

    It is consistent in both sparse data and few large studies.
    """
    estimate, weights, total = _difference(t, n)
    share1, share2 = t.n1 / (t.n1 + t.n2), t.n2 / (t.n1 + t.n2)
    p = _total(t.x2 * share1**2 - t.x1 * share2**2 + share1 * share2 * (t.n2 - t.n1) / 2, n)
    q = _total(t.x1 * (t.n2 - t.x2) / (t.n1 + t.n2) + t.x2 * (t.n1 - t.x1) / (t.n1 + t.n2), n) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.maximum(
            (estimate * p + q) / total**2, 0.0
        )  # 0 but for rounding: events in one whole arm
        return Sums(estimate, np.asarray(variance), weights)


def risk_difference_binomial(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel risk difference with the binomial variance of Greenland and Robins.

    It takes the risk of each arm as observed; an arm without events adds nothing.
    """
    estimate, weights, total = _difference(t, n)
    each = t.x1 * (t.n1 - t.x1) / t.n1**3 + t.x2 * (t.n2 - t.x2) / t.n2**3
    with np.errstate(divide="ignore", invalid="ignore"):
        return Sums(estimate, np.asarray(_total(weights**2 * each, n) / total**2), weights)


def rate_difference(t: TwoArms, n: Array | None = None) -> Sums:
    """Return the Mantel-Haenszel rate difference with the variance of Greenland and Robins."""
    estimate, weights, total = _difference(t, n)
    each = t.x1 / t.n1**2 + t.x2 / t.n2**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return Sums(estimate, np.asarray(_total(weights**2 * each, n) / total**2), weights)


def _difference(t: TwoArms, n: Array | None) -> tuple[Array, Array, Array]:
    """Return the weighted mean difference, the weights, and their sum."""
    weights = t.n1 * (t.n2 / (t.n1 + t.n2))
    total = _total(weights, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(_total(weights * (t.x1 / t.n1 - t.x2 / t.n2), n) / total), weights, total


KERNELS: dict[str, Callable[[TwoArms, Array | None], Sums]] = {
    "OR": odds_ratio,
    "RR": risk_ratio,
    "RD": risk_difference,
    "IRR": rate_ratio,
    "IRD": rate_difference,
}


class Score(NamedTuple):
    """Observed minus expected events of the treated arm, and their variance, shapes (..., k)."""

    excess: Array
    variance: Array


def score(t: TwoArms, person_time: bool = False) -> Score:
    """Return the excess of events over what equal arms would have, and its variance, given the margins.

    Of people the variance is hypergeometric, of person-time binomial.
    """
    whole, events = t.n1 + t.n2, t.x1 + t.x2
    share = t.n1 / whole
    variance = events * share * (t.n2 / whole)
    if not person_time:
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(whole > 1, variance * (whole - events) / (whole - 1), 0.0)
    return Score(t.x1 - events * share, np.asarray(variance))


def peto(t: TwoArms, n: Array | None = None) -> Sums:
    """Return Peto's one-step log odds ratio; NaN, its variance too, where no study has information."""
    found = score(t)
    total = _total(found.variance, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.where(total > 0, _total(found.excess, n) / total, np.nan)
        return Sums(estimate, np.where(total > 0, 1 / total, np.nan), found.variance)


def squared_score(excess: Array, variance: Array, correct: bool) -> Array:
    """Return (|sum of excess| - 1/2)^2 / sum of variances, shape (...,); without the 1/2 if not `correct`.

    The correction brings the statistic no further than to 0. NaN where the variance is 0.
    """
    size, total = np.abs(excess.sum(axis=-1)), variance.sum(axis=-1)
    if correct:
        size = np.maximum(size - 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, size**2 / total, np.nan)


def expected_events(ratio: Array | float, t: TwoArms, person_time: bool = False) -> tuple[Array, Array]:
    """Return the events of the treated arm at a common ratio, margins as they are, and the variance of it.

    Of people: the cell a of the table with these margins whose odds ratio is `ratio`, and the variance
    1 / (1/a + 1/b + 1/c + 1/d) of a large table. Of person-time: mean and variance of a binomial.
    """
    events = t.x1 + t.x2
    psi = np.asarray(ratio, dtype=float)
    if person_time:
        share = psi * t.n1 / (psi * t.n1 + t.n2)
        return np.asarray(events * share), np.asarray(events * share * (1 - share))
    few = np.minimum(psi, 1 / psi)  # of the arm with the lower odds, so that nothing cancels
    own, other = np.where(psi <= 1, t.n1, t.n2), np.where(psi <= 1, t.n2, t.n1)
    linear = other - events + few * (own + events)
    root = np.sqrt(linear**2 + 4 * (1 - few) * few * own * events)
    with np.errstate(divide="ignore", invalid="ignore"):
        cell = np.where(events > 0, 2 * few * own * events / (linear + root), 0.0)
    a = np.where(psi <= 1, cell, events - cell)
    a = np.clip(a, np.maximum(0.0, events - t.n2), np.minimum(t.n1, events))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / a + 1 / (t.n1 - a) + 1 / (events - a) + 1 / (t.n2 - events + a)
        return a, np.where(np.isfinite(inverse), 1 / inverse, 0.0)


class Homogeneity(NamedTuple):
    """Statistics of the hypothesis that all studies share one ratio, chi-square with `df`; shapes (...,)."""

    breslow_day: Array
    tarone: Array  # allows for the ratio not being the one that fits best
    df: Array


def homogeneity(ratio: Array | float, t: TwoArms, person_time: bool = False) -> Homogeneity:
    """Return the tests of Breslow and Day, and of Tarone, at a common ratio."""
    fitted, variance = expected_events(ratio, t, person_time)
    has = variance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(has, (t.x1 - fitted) ** 2 / variance, 0.0)
        off = np.where(has, t.x1 - fitted, 0.0).sum(axis=-1) ** 2 / variance.sum(axis=-1)
    statistic = squares.sum(axis=-1)
    return Homogeneity(statistic, np.maximum(statistic - off, 0.0), np.asarray(has.sum(axis=-1) - 1.0))


def upper_pvalue(statistic: Array, df: Array | float) -> Array:
    """Return upper chi-square tails; 1 without degrees of freedom."""
    degrees = np.asarray(df, dtype=float)
    return np.asarray(np.where(degrees > 0, chi2_tail(statistic, np.maximum(degrees, 1.0)), 1.0))
