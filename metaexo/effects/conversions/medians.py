"""Mean and standard deviation of samples of which medians, quartiles or ranges are reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaexo.effects.check import reads
from metaexo.effects.conversions import quantile_rules as rules
from metaexo.effects.conversions.quantile_models import (
    best_linear_unbiased,
    box_cox,
    quantile_estimation,
    unknown_non_normal,
)
from metaexo.effects.conversions.quantile_rules import Quantiles
from metaexo.errors import IntervalError, MissingInputError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.types import Array

Rule = Callable[[Quantiles], Array]

NUMBERS = ("minimum", "q1", "median", "q3", "maximum")
ANY = ("range", "quartiles", "five")
# method -> rule for the mean, rule for the SD, each with the scenarios it knows
MEANS: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "luo": (rules.luo_mean, ANY),
    "hozo": (rules.hozo_mean, ("range",)),
    "wan": (rules.wan_mean, ANY),
    "bland": (rules.wan_mean, ("five",)),
    "walter": (lambda x: x.median, ("range",)),
}
SDS: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "hozo": (rules.hozo_sd, ("range",)),
    "wan": (rules.wan_sd, ANY),
    "shi": (rules.shi_sd, ("five",)),
    "wan-shi": (lambda x: rules.shi_sd(x) if x.scenario == "five" else rules.wan_sd(x), ANY),
    "bland": (rules.bland_sd, ("five",)),
    "walter": (rules.walter_sd, ("range",)),
}
PAIRS = {
    "luo-wan-shi": ("luo", "wan-shi"),
    "luo-shi": ("luo", "shi"),
    "hozo": ("hozo", "hozo"),
    "wan": ("wan", "wan"),
    "bland": ("bland", "bland"),
    "walter": ("walter", "walter"),
}
FEWEST = 2  # people that have a standard deviation
MODELS = ("quantile-estimation", "box-cox", "mln", "blue")


@dataclass(frozen=True, slots=True)
class QuantileEstimates(Immutable):
    """Means and standard deviations estimated from quantiles, one entry per sample.

    Attributes
    ----------
    mean, sd : ndarray
        Estimates; NaN where the method does not apply, the sample is too skewed for it, or the numbers tell
        no SD: one person, or quartiles or ends without a distance between them.
    skewness, critical : ndarray
        Statistic of asymmetry of the quantiles, and its critical value at the 5 per cent level.
    skewed : ndarray of bool
        Whether the statistic exceeds the critical value.
    distribution : tuple of str
        Distribution that was assumed or chosen.
    """

    mean: Array
    sd: Array
    skewness: Array
    critical: Array
    skewed: NDArray[np.bool_]
    distribution: tuple[str, ...]


@reads
def mean_sd_from_quantiles(
    n: ArrayLike,
    *,
    median: ArrayLike,
    minimum: ArrayLike | None = None,
    q1: ArrayLike | None = None,
    q3: ArrayLike | None = None,
    maximum: ArrayLike | None = None,
    method: str = "luo-wan-shi",
    distribution: Literal["normal", "lognormal"] = "normal",
    skewness_test: bool = True,
    back_transform: bool = True,
) -> QuantileEstimates:
    """Estimate means and standard deviations from medians with quartiles, range, or both.

    Use it for groups of which a study reports "median (IQR)" or "median (range)". Each row is one sample;
    which quantiles it has decides which formula is taken. The defaults suit samples from a normal
    distribution and give nothing where a test says that the quantiles are too asymmetric for one; take
    distribution "lognormal" or the method "quantile-estimation" then.

    Parameters
    ----------
    n : array_like
        Sample sizes.
    median : array_like
        Medians.
    minimum, q1, q3, maximum : array_like, optional
        The other quantiles; NaN where a sample does not report them.
    method : str
        "luo-wan-shi" (mean by Luo, SD by Wan, or by Shi for five numbers), "luo-shi", "wan", "hozo",
        "bland", "walter", "blue" (best linear unbiased), "quantile-estimation", "box-cox", or "mln"
        (maximum likelihood after a power transformation).
    distribution : {"normal", "lognormal"}
        Distribution that closed formulas assume.
    skewness_test : bool
        Whether closed formulas give nothing for samples whose quantiles are too asymmetric.
    back_transform : bool
        For "lognormal": whether to return mean and SD of the sample or of its logarithms.

    Returns
    -------
    QuantileEstimates
        mean, sd, and the test of asymmetry.

    Raises
    ------
    MissingInputError
        If neither quartiles nor range are given.
    IntervalError
        If the quantiles of a sample do not ascend.
    UnknownChoiceError
        If the method or the distribution is not known.

    References
    ----------
    Luo, Wan, Liu & Tong (2018), Statistical Methods in Medical Research 27, 1785-1805,
    doi:10.1177/0962280216669183.
    Wan, Wang, Liu & Tong (2014), BMC Medical Research Methodology 14, 135, doi:10.1186/1471-2288-14-135.
    Shi, Luo, Weng et al. (2020), Research Synthesis Methods 11, 641-654, doi:10.1002/jrsm.1429.

    Examples
    --------
    >>> done = mean_sd_from_quantiles(50, median=12.0, q1=10.0, q3=15.0)
    >>> done.mean.round(3), done.sd.round(3)
    (array([12.354]), array([3.817]))
    """
    check_choice("method", method, (*PAIRS, *MODELS))
    check_choice("distribution", distribution, ("normal", "lognormal"))
    if (q1 is None or q3 is None) and (minimum is None or maximum is None):
        needed = "q1 and q3, or minimum and maximum"
        raise MissingInputError("neither quartiles nor a range are given", needed)
    given = (minimum, q1, median, q3, maximum, n)
    columns = np.broadcast_arrays(*(np.atleast_1d(np.nan if x is None else x) for x in given))
    whole = Quantiles(*(np.array(x, dtype=float) for x in columns))
    _check_order(whole)
    k = whole.n.size
    names = ["" for _ in range(k)]
    mean, sd, skewness, critical = (np.full(k, np.nan) for _ in range(4))
    for rows in _scenarios(whole):
        part = _rows(whole, rows)
        tested = part.logs() if distribution == "lognormal" else part
        skewness[rows], critical[rows] = rules.skewness_test(tested)
        if method in PAIRS or method == "blue":
            mean[rows], sd[rows] = _closed(part, method, distribution, back_transform)
            if skewness_test:
                out = rows[skewness[rows] > critical[rows]]
                mean[out] = sd[out] = np.nan
            chosen: list[str] = [distribution] * rows.size
        else:
            mean[rows], sd[rows], chosen = _modelled(part, method)
        none = rows[(sd[rows] <= 0) | np.isinf(sd[rows])]
        mean[none] = sd[none] = np.nan
        for place, name in zip(rows, chosen, strict=True):
            names[int(place)] = name
    return QuantileEstimates(mean, sd, skewness, critical, skewness > critical, tuple(names))


def _closed(x: Quantiles, method: str, distribution: str, back_transform: bool) -> tuple[Array, Array]:
    """Return mean and SD by closed formulas; NaN where a formula does not know the scenario."""
    on = x.logs() if distribution == "lognormal" else x
    if method == "blue":
        pairs = [best_linear_unbiased(_one(on, i)) for i in range(on.n.size)]
        mean, sd = (np.array(column) for column in zip(*pairs, strict=True))
    else:
        (mean_rule, knows_mean), (sd_rule, knows_sd) = MEANS[PAIRS[method][0]], SDS[PAIRS[method][1]]
        none = np.full(x.n.shape, np.nan)
        mean = mean_rule(on) if x.scenario in knows_mean else none
        sd = sd_rule(on) if x.scenario in knows_sd else none
    if distribution == "normal":
        return mean, sd
    if back_transform:
        return rules.lognormal_moments(x, mean, sd)
    return mean, np.sqrt(rules.log_scale_powers(x, sd)[0])


def _modelled(x: Quantiles, method: str) -> tuple[Array, Array, list[str]]:
    """Return mean and SD by a fitted distribution, sample by sample."""
    pairs, names = [], []
    for i in range(x.n.size):
        sample = _one(x, i)
        if method == "quantile-estimation":
            moments, name = quantile_estimation(sample)
        else:
            positive = bool(np.nanmin([getattr(sample, one) for one in NUMBERS]) > 0)
            fit = box_cox if method == "box-cox" else unknown_non_normal
            moments, name = (fit(sample) if positive else (np.nan, np.nan)), "transformed normal"
        pairs.append(moments)
        names.append(name)
    mean, sd = (np.array(column) for column in zip(*pairs, strict=True))
    return mean, sd, names


def without_distance(x: Quantiles) -> NDArray[np.bool_]:
    """Return the samples whose quartiles, or whose ends, are one value: they say nothing of a variability."""
    return np.asarray((x.q1 == x.q3) | (x.minimum == x.maximum), dtype=bool)


def _scenarios(x: Quantiles) -> list[NDArray[np.intp]]:
    """Return the rows of each scenario: five numbers, range, quartiles; those that tell an SD."""
    known = np.isfinite(x.median) & np.isfinite(x.n) & (x.n >= FEWEST) & ~without_distance(x)
    ends = np.isfinite(x.minimum) & np.isfinite(x.maximum)
    quartiles = np.isfinite(x.q1) & np.isfinite(x.q3)
    masks = (known & ends & quartiles, known & ends & ~quartiles, known & quartiles & ~ends)
    return [np.flatnonzero(mask) for mask in masks if mask.any()]


def _rows(x: Quantiles, rows: NDArray[np.intp]) -> Quantiles:
    return Quantiles(*(getattr(x, name)[rows] for name in (*NUMBERS, "n")))


def _one(x: Quantiles, i: int) -> Quantiles:
    return Quantiles(*(np.asarray(getattr(x, name)[i]) for name in (*NUMBERS, "n")))


def _check_order(x: Quantiles) -> None:
    """Refuse quantiles that do not ascend."""
    table = np.stack([getattr(x, name) for name in NUMBERS])
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(table), table, -np.inf)
        falls = known < np.maximum.accumulate(known, axis=0)
    wrong = np.flatnonzero((falls & np.isfinite(table)).any(axis=0))
    if wrong.size:
        rows = [table[np.isfinite(table[:, i]), i] for i in wrong]
        raise IntervalError(
            "the quantiles of a sample do not ascend",
            "minimum <= q1 <= median <= q3 <= maximum",
            "look at these rows in the source",
            [
                f"row {i + 1}: {', '.join(f'{value:g}' for value in row)}"
                for i, row in zip(wrong, rows, strict=True)
            ],
        )
