"""Means and SDs from five numbers where the reference is not the better answer; as in `effect_rules`.

Two methods of the reference draw random numbers: their values are compared within four Monte Carlo errors of
the integrals that they stand for, and the integrals are proved here from the papers' formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate, optimize, stats
from scipy.special import gamma, log_ndtr, ndtr, ndtri

from tests.reference.adapters.effect_conversions import METHODS, column
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
Moments = tuple[float, float]

NAMES = ("min", "q1", "median", "q3", "max")
# Draws of one run of the reference, as the size of its deviations shows, and the errors allowed.
BOX_COX_DRAWS = 1000
LIKELIHOOD_DRAWS = 10_000
ERRORS = 4.0
REACH = 9.0
LARGEST_POWER = 3.0
POINTS = 20_001


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case with five numbers may fall under, by its method."""
    method = METHODS.get(case["call"]["method"])
    rules: dict[str | None, Rule] = {
        "walter": loose_expected_range,
        "quantile-estimation": lower_sum_of_squares,
        "box-cox": one_simulation,
        "mln": power_of_zero,
    }
    return [rules[method]] if method in rules else []


def _samples(case: Case) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return for each sample which of the five numbers it has, these numbers, and its size."""
    data = case["data"]
    table = np.array([column(data, name) if name in data else np.nan * column(data, "n") for name in NAMES])
    return [
        (np.isfinite(x), x[np.isfinite(x)], float(n)) for x, n in zip(table.T, column(data, "n"), strict=True)
    ]


def _but(case: Case, actual: Fields, fields: tuple[str, ...]) -> Comparison:
    expected = {name: value for name, value in case["results"].items() if name not in fields}
    return compare({name: actual[name] for name in expected}, expected, case["rtol"], case["atol"])


def loose_expected_range(case: Case, actual: Fields) -> Comparison:
    """The SD from the expected range of n normal values, an integral of which the reference has 7 digits."""
    found = _but(case, actual, ("sd",))
    for i, (_, x, n) in enumerate(_samples(case)):
        ours, theirs = float(actual["sd"][i]), case["results"]["sd"][i]
        if theirs is None:
            demand(found, f"sd[{i}] is {ours!r}", math.isnan(ours))
            continue
        half = integrate.quad(
            lambda z, k=n: -math.expm1(k * math.log(ndtr(z))) - ndtr(-z) ** k, 0, 9, epsabs=1e-12, limit=300
        )[0]
        exact = float(x[-1] - x[0]) / (2 * half)
        demand(found, f"sd[{i}]", math.isclose(ours, exact, rel_tol=1e-10))
        demand(found, f"sd[{i}] near", math.isclose(ours, theirs, rel_tol=1e-7))
    return found


# -- least squares ------------------------------------------------------------------------------------------


def lower_sum_of_squares(case: Case, actual: Fields) -> Comparison:
    """Least squares: where the two differ, ours has the lower sum."""
    expected = case["results"]
    fits = ("mean", "sd", "selected_distribution")
    found = _but(case, actual, fits)
    for i, (there, x, n) in enumerate(_samples(case)):
        ours, theirs = ({name: record[name][i] for name in fits} for record in (actual, expected))
        if not compare(ours, theirs, case["rtol"], case["atol"]).different:
            found.agreed += 1
            continue
        p = np.array([1 / n, 0.25, 0.5, 0.75, 1 - 1 / n])[there]
        sums = [float(((quantiles_of(fit, p) - x) ** 2).sum()) for fit in (ours, theirs)]
        demand(found, f"row {i}: sums of squares {sums}", sums[0] < sums[1])
    return found


def quantiles_of(fit: Fields, p: np.ndarray) -> np.ndarray:
    """Return quantiles of the distribution that has a name, a mean and an SD."""
    mean, sd, name = float(fit["mean"]), float(fit["sd"]), fit["selected_distribution"]
    if name == "lnorm":
        square = math.log1p((sd / mean) ** 2)
        return np.exp(math.log(mean) - square / 2 + math.sqrt(square) * ndtri(p))
    if name == "gamma":
        return stats.gamma.ppf(p, (mean / sd) ** 2, scale=sd**2 / mean)
    if name == "weibull":
        shape = optimize.brentq(
            lambda k: gamma(1 + 2 / k) / gamma(1 + 1 / k) ** 2 - 1 - (sd / mean) ** 2, 0.2, 200, xtol=1e-13
        )
        return stats.weibull_min.ppf(p, shape, scale=mean / gamma(1 + 1 / shape))
    return mean + sd * ndtri(p)


# -- simulations --------------------------------------------------------------------------------------------


def one_simulation(case: Case, actual: Fields) -> Comparison:
    """Box-Cox: the reference takes mean and SD of one sample of normal draws; ours are integrals."""
    found = _but(case, actual, ("mean", "sd"))
    deviations = []
    for i, (there, x, n) in enumerate(_samples(case)):
        power = least_asymmetric_power(x)
        mean, sd = luo_and_wan(there, power_of(x / np.median(x), power), n)
        exact, errors = taken_back(mean, sd, power, float(np.median(x)), BOX_COX_DRAWS)
        deviations += _demand_near(found, case, actual, i, exact, errors)
    size = float(np.mean(np.square(deviations)))
    demand(found, f"deviations of {size!r} squared Monte Carlo errors are no noise", 0.1 < size < 3)
    return found


def power_of_zero(case: Case, actual: Fields) -> Comparison:
    """Maximum likelihood after a power: the reference stays at the power 0, where the likelihood is lower."""
    found = _but(case, actual, ("mean", "sd"))
    for i, (there, x, n) in enumerate(_samples(case)):
        scale, ranks = float(np.median(x)), _ranks(there, n)
        likelihoods = {
            power: -_plug_in(power, there, x / scale, n) for power in (0.0, _likeliest(there, x / scale, n))
        }
        power = max(likelihoods, key=lambda one: likelihoods[one])
        for one, record in ((0.0, case["results"]), (power, actual)):
            mean, sd = _most_likely(there, power_of(x / scale, one), ranks, n)
            exact, errors = taken_back(mean, sd, one, scale, LIKELIHOOD_DRAWS)
            if record is actual:
                _demand_ours(found, actual, i, exact)
            else:
                _demand_theirs(found, case, i, exact, errors)
    return found


def _demand_near(
    found: Comparison, case: Case, actual: Fields, i: int, exact: Moments, errors: Moments
) -> list[float]:
    _demand_ours(found, actual, i, exact)
    return _demand_theirs(found, case, i, exact, errors)


def _demand_ours(found: Comparison, actual: Fields, i: int, exact: Moments) -> None:
    for name, value in zip(("mean", "sd"), exact, strict=True):
        ours = float(actual[name][i])
        demand(found, f"{name}[{i}] {ours!r}, {value!r}", math.isclose(ours, value, rel_tol=1e-5))


def _demand_theirs(found: Comparison, case: Case, i: int, exact: Moments, errors: Moments) -> list[float]:
    away = []
    for name, value, error in zip(("mean", "sd"), exact, errors, strict=True):
        away.append((case["results"][name][i] - value) / error)
        demand(found, f"{name}[{i}] of the reference is {away[-1]:.1f} errors off", abs(away[-1]) <= ERRORS)
    return away


def power_of(x: np.ndarray, power: float) -> np.ndarray:
    """Return the Box-Cox transformation."""
    return np.log(x) if abs(power) < 1e-9 else (x**power - 1) / power


def least_asymmetric_power(x: np.ndarray) -> float:
    """Return the power from 0 to 3 that makes distances from the median most equal, on a fine grid first."""

    def asymmetry(power: float) -> float:
        t = power_of(x / np.median(x), power)
        sides = t[: t.size // 2] + t[: -(t.size // 2) - 1 : -1] - 2 * t[t.size // 2]
        return float((sides**2).sum() / (t[-1] - t[0]) ** 2)

    return _lowest(asymmetry)


def _lowest(function: Callable[[float], float]) -> float:
    grid = np.linspace(0, LARGEST_POWER, 151)
    i = int(np.argmin([function(float(one)) for one in grid]))
    if i in (0, grid.size - 1):
        return float(grid[i])
    found = optimize.minimize_scalar(
        function, bounds=(grid[i - 1], grid[i + 1]), method="bounded", options={"xatol": 1e-11}
    )
    return float(found.x)


def luo_and_wan(there: np.ndarray, t: np.ndarray, n: float) -> Moments:
    """Return mean and SD of a normal sample by the rules of Luo et al. (2018) and Wan et al. (2014)."""
    ends, quarters = ndtri((n - 0.375) / (n + 0.25)), ndtri((0.75 * n - 0.125) / (n + 0.25))
    if not there[1]:
        w = 4 / (4 + n**0.75)
        return w * (t[0] + t[2]) / 2 + (1 - w) * t[1], (t[2] - t[0]) / (2 * ends)
    if not there[0]:
        w = 0.7 + 0.39 / n
        return w * (t[0] + t[2]) / 2 + (1 - w) * t[1], (t[2] - t[0]) / (2 * quarters)
    w1, w2 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
    mean = w1 * (t[0] + t[4]) / 2 + w2 * (t[1] + t[3]) / 2 + (1 - w1 - w2) * t[2]
    return mean, ((t[4] - t[0]) / ends + (t[3] - t[1]) / quarters) / 4


def taken_back(mean: float, sd: float, power: float, scale: float, draws: int) -> tuple[Moments, Moments]:
    """Return mean and SD of what is normal after a power, and the errors of both from so many draws."""
    reach = REACH if abs(power) < 1e-9 else min(REACH, (1 + power * mean) / (power * sd))
    z = np.linspace(-reach, reach, POINTS)
    t = mean + sd * z
    value = np.exp(t) if abs(power) < 1e-9 else np.maximum(1 + power * t, 0.0) ** (1 / power)
    weight = np.exp(-(z**2) / 2)
    total = integrate.simpson(weight, x=z)
    centre = float(integrate.simpson(weight * value, x=z) / total)
    variance, fourth = (float(integrate.simpson(weight * (value - centre) ** k, x=z) / total) for k in (2, 4))
    spread = math.sqrt(variance)
    errors = spread / math.sqrt(draws), spread * math.sqrt((fourth / variance**2 - 1) / (4 * draws))
    return (centre * scale, spread * scale), (errors[0] * scale, errors[1] * scale)


def _ranks(there: np.ndarray, n: float) -> np.ndarray:
    return np.array([1.0, *(math.floor(p * n) + 1.0 for p in (0.25, 0.5, 0.75)), n])[there]


def _minus_log_likelihood(t: np.ndarray, ranks: np.ndarray, n: float, mean: float, sd: float) -> float:
    """Return minus the log likelihood of order statistics of a normal sample, but for a constant."""
    z = (t - mean) / sd
    inner = np.log(ndtr(z[1:]) - ndtr(z[:-1]))
    total = -(z**2).sum() / 2 - t.size * math.log(sd) + ((np.diff(ranks) - 1) * inner).sum()
    return -float(total + (ranks[0] - 1) * log_ndtr(z[0]) + (n - ranks[-1]) * log_ndtr(-z[-1]))


def _plug_in(power: float, there: np.ndarray, x: np.ndarray, n: float) -> float:
    """Return minus the log likelihood of a power, mean and SD taken by the rules of Luo and Wan."""
    t = power_of(x, power)
    mean, sd = luo_and_wan(there, t, n)
    return _minus_log_likelihood(t, _ranks(there, n), n, mean, sd) - (power - 1) * float(np.log(x).sum())


def _likeliest(there: np.ndarray, x: np.ndarray, n: float) -> float:
    return _lowest(lambda power: _plug_in(power, there, x, n))


def _most_likely(there: np.ndarray, t: np.ndarray, ranks: np.ndarray, n: float) -> Moments:
    """Return mean and SD of the highest likelihood, in units of a first guess."""
    mean, sd = luo_and_wan(there, t, n)
    best = optimize.minimize(
        lambda u: _minus_log_likelihood(t, ranks, n, mean + sd * u[0], sd * math.exp(u[1])),
        [0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    ).x
    return float(mean + sd * best[0]), float(sd * math.exp(best[1]))
