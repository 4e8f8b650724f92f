"""Mean and standard deviation of samples of which medians, quartiles or ranges are reported.

By the rules of `quantile_rules`, or by fitting distributions to the quantiles, one sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, gammaincinv, log_ndtr, ndtri

from metaexo.effects.check import reads
from metaexo.effects.conversions import quantile_rules as rules
from metaexo.effects.conversions.quantile_rules import Quantiles, luo_mean, wan_sd
from metaexo.effects.papers import DAVID_JOHNSON, LUO, MCGRATH, SHI_NORMAL, WAN, YANG, rests_on
from metaexo.errors import IntervalError, MissingInputError
from metaexo.immutable import Immutable
from metaexo.inputs import check_choice
from metaexo.numeric.quadrature import gauss_legendre
from metaexo.readable import shows_itself
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


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
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


@rests_on(LUO, WAN, SHI_NORMAL)
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


Moments = tuple[float, float]

SCENARIOS = {"range": ("minimum", "median", "maximum"), "quartiles": ("q1", "median", "q3")}
FIVE = ("minimum", "q1", "median", "q3", "maximum")
# powers below 0 are left out: the transformed-back distribution has no mean there; so are powers above 3,
# where much of it would lie beyond what any transformed sample can be
POWERS = np.linspace(0.0, 3.0, 121)
POINTS = 400
REACH = 9.0
NEAR_ZERO = 1e-9


def values_of(x: Quantiles) -> Array:
    """Return the quantiles of one sample that its scenario has, in ascending order."""
    return np.array([getattr(x, name) for name in SCENARIOS.get(x.scenario, FIVE)], dtype=float)


@rests_on(YANG)
def ranks_of(x: Quantiles) -> Array:
    """Return the ranks at which the quantiles of one sample of n stand: floor(p n) + 1, n for the maximum."""
    n = float(x.n)
    rank = {"minimum": 1.0, "maximum": n}
    rank |= {name: np.floor(p * n) + 1 for name, p in (("q1", 0.25), ("median", 0.5), ("q3", 0.75))}
    return np.array([rank[name] for name in SCENARIOS.get(x.scenario, FIVE)])


@rests_on(MCGRATH)
def quantile_estimation(x: Quantiles) -> tuple[Moments, str]:
    """Fit four distributions to the quantiles by least squares and take the moments of the best.

    Normal, log-normal, gamma and Weibull distributions; minimum and maximum stand for the quantiles at
    1/n and 1 - 1/n. For samples with values of zero or below, the normal distribution only.

    Examples
    --------
    >>> none = np.array(np.nan)
    >>> sample = Quantiles(none, np.array(10.0), np.array(12.0), np.array(14.0), none, np.array(50.0))
    >>> moments, name = quantile_estimation(sample)
    >>> name, round(moments[0], 6), round(moments[1], 4)
    ('normal', 12.0, 2.9652)
    """
    values = values_of(x)
    n = float(x.n)
    share = {"minimum": 1 / n, "q1": 0.25, "median": 0.5, "q3": 0.75, "maximum": 1 - 1 / n}
    p = np.array([share[name] for name in SCENARIOS.get(x.scenario, FIVE)])
    fits = [_fit_normal(values, p)]
    if (values > 0).all():
        (mean, sd) = fits[0][1]
        if not (mean > 0 and sd > 0):
            return (np.nan, np.nan), "normal"
        shape = (mean / sd) ** 2
        fits += [
            _fit_lognormal(values, p),
            _fit("gamma", values, lambda t: gammaincinv(np.exp(t[0]), p) * np.exp(t[1]), _gamma_moments,
                 (np.log(shape), np.log(mean / shape))),
            _fit("weibull", values, lambda t: np.exp(t[1]) * (-np.log1p(-p)) ** np.exp(-t[0]),
                 _weibull_moments, (0.5 * np.log(1.5 * shape), np.log(mean))),
        ]  # fmt: skip
    _, moments, name = min(fits)
    return moments, name


@rests_on(YANG, DAVID_JOHNSON)
def best_linear_unbiased(x: Quantiles) -> Moments:
    """Return the best linear unbiased estimate of mean and SD of a normal sample from its order statistics.

    Means and covariances of normal order statistics are taken from their expansion to the second order in
    1 / (n + 2).

    Examples
    --------
    >>> none = np.array(np.nan)
    >>> sample = Quantiles(none, np.array(10.0), np.array(12.0), np.array(14.0), none, np.array(49.0))
    >>> mean, sd = best_linear_unbiased(sample)
    >>> round(mean, 4), round(sd, 4)
    (12.0, 3.0524)
    """
    if (np.diff(ranks_of(x)) <= 0).any():  # so few people that two quantiles are one order statistic
        return np.nan, np.nan
    alpha, cov = normal_order_statistics(ranks_of(x), float(x.n))
    design = np.column_stack([np.ones_like(alpha), alpha])
    weights = np.linalg.solve(cov, design)
    mean, sd = np.linalg.solve(design.T @ weights, weights.T @ values_of(x))
    return float(mean), float(sd)


@rests_on(DAVID_JOHNSON)
def normal_order_statistics(ranks: Array, n: float) -> tuple[Array, Array]:
    """Return approximate means and covariances of order statistics of n standard normal values.

    The q ranks ascend; the covariances have shape (q, q).

    Examples
    --------
    >>> mean, cov = normal_order_statistics(np.array([51.0]), 101.0)
    >>> float(mean[0]), cov.round(4)
    (0.0, array([[0.0155]]))
    """
    p = ranks / (n + 1)
    q, z, m = 1 - p, ndtri(p), n + 2
    d1 = np.sqrt(2 * np.pi) * np.exp(z**2 / 2)
    d2 = z * d1**2
    d3 = (1 + 2 * z**2) * d1**3
    d4 = z * (7 + 6 * z**2) * d1**4
    mean = z + p * q / (2 * m) * d2 + p * q / m**2 * ((q - p) / 3 * d3 + p * q / 8 * d4)
    lower, upper = np.minimum.outer(p, p), np.maximum.outer(p, p)
    tilt = (q - p) * d2 / d1 + p * q * d3 / (2 * d1)
    second = tilt[:, None] + tilt[None, :] + lower * (1 - upper) * np.outer(d2 / d1, d2 / d1) / 2
    return mean, lower * (1 - upper) * np.outer(d1, d1) / m * (1 + second / m)


@rests_on(MCGRATH)
def box_cox(x: Quantiles) -> Moments:
    """Make the quantiles symmetric by a power transformation, and take the moments back.

    The power, from 0 (the logarithm) to 3, makes upper and lower distances from the median as equal as
    possible; mean and SD of the transformed sample follow from the rules of Luo and Wan, and those of the
    sample itself by numerical integration.

    Examples
    --------
    >>> none = np.array(np.nan)
    >>> sample = Quantiles(none, np.array(10.0), np.array(12.0), np.array(14.0), none, np.array(50.0))
    >>> [round(value, 3) for value in box_cox(sample)]
    [12.0, 3.051]
    """
    values = values_of(x)
    scale = float(values[values.size // 2])

    def asymmetry(power: float) -> float:
        t = _power(values / scale, power)
        middle = t.size // 2
        return float(sum((t[i] + t[-1 - i] - 2 * t[middle]) ** 2 for i in range(middle)))

    # skewness is unaffected by the scale, so that distances at different powers can be compared
    power = _least(lambda one: asymmetry(one) / _spread(_power(values / scale, one)))
    mean, sd = _transformed_moments(x, power, scale)
    return _back(mean, sd, power, scale)


def unknown_non_normal(x: Quantiles) -> Moments:
    """Estimate power, mean and SD of a transformed normal sample by maximum likelihood.

    The likelihood is that of the reported order statistics. The power is chosen first, mean and SD then,
    given the power; they are taken back as in :func:`box_cox`.

    References
    ----------
    Cai, Zhou & Pan (2021), Statistical Methods in Medical Research 30, 2701-2719,
    doi:10.1177/09622802211047348.

    Examples
    --------
    >>> none = np.array(np.nan)
    >>> sample = Quantiles(none, np.array(10.0), np.array(12.0), np.array(14.0), none, np.array(50.0))
    >>> mean, sd = unknown_non_normal(sample)
    >>> 11.9 < mean < 12.1, 2.8 < sd < 3.1
    (True, True)
    """
    from scipy import optimize

    values, ranks, n = values_of(x), ranks_of(x), float(x.n)
    scale = float(values[values.size // 2])
    log_values = float(np.log(values / scale).sum())

    def profile(power: float) -> float:
        mean, sd = _transformed_moments(x, power, scale)
        t = _power(values / scale, power)
        return -_log_likelihood(t, ranks, n, mean, sd) - (power - 1) * log_values

    power = _least(profile)
    t = _power(values / scale, power)
    start = _transformed_moments(x, power, scale)
    found = optimize.minimize(
        lambda theta: -_log_likelihood(t, ranks, n, theta[0], float(np.exp(theta[1]))),
        [start[0], np.log(start[1])],
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000},
    )
    return _back(float(found.x[0]), float(np.exp(found.x[1])), power, scale)


def _fit_normal(values: Array, p: Array) -> tuple[float, Moments, str]:
    """Return the least-squares fit of a normal distribution, which is a straight line."""
    design = np.column_stack([np.ones_like(p), ndtri(p)])
    mean, sd = np.linalg.lstsq(design, values, rcond=None)[0]
    off = float(((design @ np.array([mean, sd]) - values) ** 2).sum())
    return off, (float(mean), float(sd)), "normal"


def _fit_lognormal(values: Array, p: Array) -> tuple[float, Moments, str]:
    z = ndtri(p)
    start = np.polyfit(z, np.log(values), 1)

    def moments(t: Array) -> Moments:
        mean = float(np.exp(t[1] + t[0] ** 2 / 2))
        return mean, mean * float(np.sqrt(np.expm1(t[0] ** 2)))

    return _fit("lognormal", values, lambda t: np.exp(t[1] + t[0] * z), moments, start)


def _fit(
    name: str,
    values: Array,
    quantiles: Callable[[Array], Array],
    moments: Callable[[Array], Moments],
    start: Sequence[float] | Array,
) -> tuple[float, Moments, str]:
    """Return the least-squares fit of a distribution: sum of squares, moments, name."""
    from scipy import optimize

    found = optimize.least_squares(
        lambda t: quantiles(t) / values[values.size // 2] - values / values[values.size // 2],
        np.asarray(start, dtype=float),
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=4000,
    )
    return float(((quantiles(found.x) - values) ** 2).sum()), moments(found.x), name


def _gamma_moments(t: Array) -> Moments:
    return float(np.exp(t[0] + t[1])), float(np.exp(t[0] / 2 + t[1]))


def _weibull_moments(t: Array) -> Moments:
    first, second = gamma(1 + np.exp(-t[0])), gamma(1 + 2 * np.exp(-t[0]))
    return float(np.exp(t[1]) * first), float(np.exp(t[1]) * np.sqrt(second - first**2))


def _power(values: Array, power: float) -> Array:
    """Return the Box-Cox transformation; the logarithm at a power of zero."""
    logs = np.log(values)
    return np.asarray(logs if abs(power) < NEAR_ZERO else np.expm1(power * logs) / power)


def _spread(t: Array) -> float:
    return float((t[-1] - t[0]) ** 2)


def _least(function: Callable[[float], float]) -> float:
    """Return the power at which a function is least, by a grid and a refinement."""
    from scipy import optimize

    heights = np.array([function(float(one)) for one in POWERS])
    i = int(np.nanargmin(heights))
    if i in (0, POWERS.size - 1):
        return float(POWERS[i])
    bounds = (float(POWERS[i - 1]), float(POWERS[i + 1]))
    found = optimize.minimize_scalar(function, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return float(found.x)


def _transformed_moments(x: Quantiles, power: float, scale: float) -> Moments:
    """Return mean and SD of the transformed sample by the rules of Luo and Wan."""
    numbers = {name: _power(np.atleast_1d(getattr(x, name) / scale), power) for name in FIVE}
    t = Quantiles(n=np.atleast_1d(x.n), **numbers)
    return float(luo_mean(t)[0]), float(wan_sd(t)[0])


def _log_likelihood(t: Array, ranks: Array, n: float, mean: float, sd: float) -> float:
    """Return the log likelihood of order statistics of a normal sample, but for a constant."""
    z = (t - mean) / sd
    total = float((-(z**2) / 2).sum() - t.size * np.log(sd))
    between = np.diff(ranks) - 1
    gap = log_ndtr(z[1:]) + np.log(-np.expm1(np.minimum(log_ndtr(z[:-1]) - log_ndtr(z[1:]), -1e-300)))
    total += float((between * gap).sum())
    return total + float((ranks[0] - 1) * log_ndtr(z[0]) + (n - ranks[-1]) * log_ndtr(-z[-1]))


def _back(mean: float, sd: float, power: float, scale: float) -> Moments:
    """Return mean and SD, on the reported scale, of a variable whose transformation is normal.

    Where the normal distribution reaches values that no transformed sample can have, it is cut there and as
    far on the other side, so that the median stays where it is.
    """
    nodes, weights = gauss_legendre(POINTS)
    near_zero = abs(power) < NEAR_ZERO
    reach = REACH if near_zero else min(REACH, (1 + power * mean) / (power * sd))
    t = mean + sd * reach * nodes
    weight = weights * np.exp(-((reach * nodes) ** 2) / 2)
    values = np.exp(t) if near_zero else (1 + power * t) ** (1 / power)
    weight = weight / weight.sum()
    centre = float((weight * values).sum())
    return centre * scale, float(np.sqrt((weight * (values - centre) ** 2).sum())) * scale
