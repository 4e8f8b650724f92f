r"""Intervals from draws of a statistic (percentile, basic, normal, studentized, BCa) and their errors.

With t the statistic, t* its R draws in order, and :math:`\alpha` the share that an interval leaves out at
one side, the quantile of the draws at a level p is the draw of rank (R + 1) p; between two ranks it is
interpolated on the scale of normal quantiles (Davison and Hinkley 1997, equation 5.8). BCa takes, in the
place of :math:`\alpha`, the level

.. math:: \Phi\left(z_0 + \frac{z_0 + z_\alpha}{1 - a (z_0 + z_\alpha)}\right),

where :math:`\Phi(z_0)` is the share of draws below t, ties counted by half, and a the acceleration: the
skewness of the influence of the units, or of the score, over 6 (Efron 1987).

The Monte Carlo error of a quantile follows from the binomial error of its level. That of an end of BCa allows
for the error of :math:`z_0`, which comes from the same draws. A quantile that is the most extreme draw has no
error that the draws could tell.

References
----------
Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association 82,
171-185. https://doi.org/10.1080/01621459.1987.10478410
DiCiccio, T. J., Efron, B. (1996). Bootstrap confidence intervals. Statistical Science 11, 189-228.
https://doi.org/10.1214/ss/1032280214
Davison, A. C., Hinkley, D. V. (1997). Bootstrap methods and their application, chapter 5. Cambridge
University Press. https://doi.org/10.1017/CBO9780511802843
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from metaexo.types import Array

NOISE = 1e-12
INTERVALS = ("bca", "percentile", "basic", "studentized", "normal")


class Ends(NamedTuple):
    """An interval with the Monte Carlo standard errors of its ends; NaN where there is none."""

    low: float
    high: float
    low_error: float
    high_error: float


NO_ENDS = Ends(math.nan, math.nan, math.nan, math.nan)


def _ends(values: Array, errors: Array) -> Ends:
    return Ends(float(values[0]), float(values[1]), float(errors[0]), float(errors[1]))


def quantiles_of_draws(draws: Array, levels: Array) -> Array:
    """Return the quantiles at levels, shape (L,), of draws in rising order, shape (R,)."""
    size = draws.size
    rank = np.clip((size + 1) * levels, 1.0, float(size))
    below = (
        np.minimum(np.floor(rank).astype(np.intp), size - 1) if size > 1 else np.ones(levels.size, np.intp)
    )
    if size == 1:
        return np.full(levels.size, draws[0])
    z, z_below, z_above = (
        special.ndtri(p) for p in (rank / (size + 1), below / (size + 1), (below + 1) / (size + 1))
    )
    share = (z - z_below) / (z_above - z_below)
    low, high = draws[below - 1], draws[below]
    return np.asarray(np.where(high > low, low + share * (high - low), low))


def intervals_of(
    estimate: float,
    draws: Array,
    level: float,
    acceleration: float = math.nan,
    se: float = math.nan,
    se_of_draws: Array | None = None,
) -> dict[str, Ends]:
    """Return the intervals of one statistic by kind; none where the draws do not vary at all.

    `draws`, shape (R,): finite. `acceleration`: NaN where there is no BCa interval. `se` and `se_of_draws`,
    shape (R,): standard errors, for the studentized interval.
    """
    found = dict.fromkeys(INTERVALS, NO_ENDS)
    if draws.size < 2 or not math.isfinite(estimate) or not vary(draws):
        return found
    alpha = np.array([(1 - level) / 2, (1 + level) / 2])
    ordered = np.sort(draws)
    ends, errors = quantiles_of_draws(ordered, alpha), _errors(ordered, alpha, _binomial(alpha, draws.size))
    found["percentile"] = _ends(ends, errors)
    found["basic"] = _ends(2 * estimate - ends[::-1], errors[::-1])
    found["normal"] = _normal(estimate, draws, alpha)
    if se_of_draws is not None:
        found["studentized"] = _studentized(estimate, draws, alpha, se, se_of_draws)
    found["bca"] = _bca(estimate, ordered, alpha, acceleration)
    return found


def _binomial(levels: Array, size: int) -> Array:
    """Return the Monte Carlo errors of the shares of draws below quantiles."""
    return np.asarray(np.sqrt(levels * (1 - levels) / size))


def _errors(ordered: Array, levels: Array, of_levels: Array) -> Array:
    """Return the errors of quantiles at levels that have errors themselves, shape (L,).

    NaN where a quantile is the first or last draw: what lies beyond it is not known.
    """
    first, last = 1 / (ordered.size + 1), ordered.size / (ordered.size + 1)
    below, above = np.clip(levels - of_levels, first, last), np.clip(levels + of_levels, first, last)
    away = quantiles_of_draws(ordered, above) - quantiles_of_draws(ordered, below)
    inside = (levels > first * (1 + NOISE)) & (levels < last * (1 - NOISE))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(inside, away / (above - below) * of_levels, np.nan))


def _normal(estimate: float, draws: Array, alpha: Array) -> Ends:
    """Return estimate minus bias, plus and minus multiples of the standard deviation of the draws."""
    size, mean, sd = draws.size, float(draws.mean()), float(draws.std(ddof=1))
    z = special.ndtri(alpha)
    ends = 2 * estimate - mean + z * sd
    away = (draws - mean) / sd
    skewness, kurtosis = float((away**3).mean()), float((away**4).mean())
    errors = sd * np.sqrt(np.maximum(1 - z * skewness + z**2 * (kurtosis - 1) / 4, 0.0) / size)
    return _ends(ends, errors)


def _studentized(estimate: float, draws: Array, alpha: Array, se: float, se_of_draws: Array) -> Ends:
    usable = (se_of_draws > 0) & np.isfinite(se_of_draws)
    if usable.sum() < 2 or not se > 0:
        return NO_ENDS
    ordered = np.sort((draws[usable] - estimate) / se_of_draws[usable])
    ends = quantiles_of_draws(ordered, alpha)
    errors = se * _errors(ordered, alpha, _binomial(alpha, ordered.size))
    return _ends(estimate - se * ends[::-1], errors[::-1])


def bias_correction(estimate: float, draws: Array) -> float:
    """Return the normal quantile of the share of draws below the estimate, ties by half."""
    return float(special.ndtri(0.5 * ((draws < estimate).mean() + (draws <= estimate).mean())))


def _bca(estimate: float, ordered: Array, alpha: Array, a: float) -> Ends:
    z0 = bias_correction(estimate, ordered)
    if not (math.isfinite(z0) and math.isfinite(a)):
        return NO_ENDS
    shifted = z0 + special.ndtri(alpha)
    left = 1 - a * shifted
    if (left <= 0).any():  # so skewed that the levels would cross
        return NO_ENDS
    z = z0 + shifted / left
    levels = special.ndtr(z)
    ends = quantiles_of_draws(ordered, levels)
    # errors: that of the share of draws below the end, less what z0 moves the level, from the same draws
    share = float(special.ndtr(z0))
    by_share = np.exp(0.5 * (z0**2 - z**2)) * (1 + left**-2)
    both = np.minimum(levels, share) - levels * share
    variance = levels * (1 - levels) + by_share**2 * share * (1 - share) - 2 * by_share * both
    errors = _errors(ordered, levels, np.sqrt(np.maximum(variance, 0.0) / ordered.size))
    return _ends(ends, errors)


def vary(values: Array) -> bool:
    """Say whether values differ by more than rounding."""
    return float(np.ptp(values)) > NOISE * float(np.abs(values).max())


def acceleration_of(leaving_out: Array) -> float:
    """Return the acceleration from the values of a statistic without each unit in turn, shape (G,).

    The skewness of the units' influence over 6, by the jackknife (Efron 1987); NaN where these do not differ.
    """
    values = leaving_out[np.isfinite(leaving_out)]
    if values.size < 2 or not vary(values):
        return math.nan
    away = values.mean() - values
    away = away / float(np.abs(away).max())
    return float((away**3).sum() / (6 * (away**2).sum() ** 1.5))


def acceleration_of_variance(projection: Array, change: Array) -> float:
    """Return the acceleration of a variance in a normal model: the skewness of its score over 6.

    `projection`, shape (k, k): P of the restricted likelihood, or the inverse of the covariance matrix for
    maximum likelihood. `change`, shape (k, k): the change of the covariance matrix along the least favourable
    direction. The score is a quadratic form in normal variables, with the variance tr(B B) / 2 and the third
    cumulant tr(B B B), where B is the product of both.
    """
    b = projection @ change
    second = b @ b
    variance = 0.5 * float(np.trace(second))
    return float(np.vdot(second.T, b)) / (6 * variance**1.5) if variance > 0 else math.nan
