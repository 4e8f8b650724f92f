"""Closed formulas for the mean and SD of a sample of which only quantiles are reported.

Each function takes the quantiles of one scenario (minimum a, first quartile, median, third quartile,
maximum b) and the sample size, as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from metaexo.effects.formulas import computed, lines_of
from metaexo.effects.papers import HOZO, LUO, SHI_NORMAL, SHI_SKEWNESS, WAN, rests_on
from metaexo.numeric.quadrature import gauss_legendre
from metaexo.types import Array

SMALL, MEDIUM = 15, 70
HOZO_MEAN_N = 25
POINTS = 400

# approximate expected maximum and third quartile of n standard normal values
END = "z((n - 0.375) / (n + 0.25))"
QUARTER = "z((0.75 * n - 0.125) / (n + 0.25))"
LUO_MEAN = {
    "range": "w = 4 / (4 + n**0.75)\nm = w * ((min + max) / 2) + (1 - w) * med",
    "quartiles": "w = 0.7 + 0.39 / n\nm = w * ((lowq + upq) / 2) + (1 - w) * med",
    "five": """w = 2.2 / (2.2 + n**0.75)
u = 0.7 - 0.72 / n**0.55
m = w * ((min + max) / 2) + u * ((lowq + upq) / 2) + (1 - w - u) * med""",
}
WAN_SD = {
    "range": f"s = (max - min) / (2 * {END})",
    "quartiles": f"s = (upq - lowq) / (2 * {QUARTER})",
    "five": f"s = ((max - min) / (2 * {END}) + (upq - lowq) / (2 * {QUARTER})) / 2",
}
SHI_SD = {
    "five": f"s = (max - min) / ((2 + 0.14 * n**0.6) * {END})"
    f" + (upq - lowq) / ((2 + 2 / (0.07 * n**0.6)) * {QUARTER})",
}
"""Formulas by the quantiles that are reported: means by Luo et al., SDs by Wan et al. and Shi et al."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """What is reported of the samples of one scenario."""

    # quantiles; NaN where the scenario does not have them
    minimum: Array
    q1: Array
    median: Array
    q3: Array
    maximum: Array
    n: Array  # sample sizes

    @property
    def scenario(self) -> str:
        """Which quantiles there are: "range", "quartiles" or "five"."""
        ends, quartiles = np.isfinite(self.minimum).all(), np.isfinite(self.q1).all()
        return "five" if ends and quartiles else "range" if ends else "quartiles"

    def computed(self, text: str) -> Array:
        """Return what the lines of a formula arrive at."""
        values = (self.minimum, self.q1, self.median, self.q3, self.maximum, self.n)
        known = dict(zip(("min", "lowq", "med", "upq", "max", "n"), values, strict=True))
        lines = lines_of(text)
        return np.asarray(computed(lines, known)[lines[-1].sign])

    def logs(self) -> Quantiles:
        """Return the logarithms; NaN where a value is not above zero."""
        values = (self.minimum, self.q1, self.median, self.q3, self.maximum)
        a, q1, m, q3, b = (np.log(np.where(x > 0, x, np.nan)) for x in values)
        return Quantiles(a, q1, m, q3, b, self.n)


@rests_on(LUO)
def luo_mean(x: Quantiles) -> Array:
    """Return the mean by the weights of Luo et al., for any scenario."""
    return x.computed(LUO_MEAN[x.scenario])


@rests_on(WAN)
def wan_mean(x: Quantiles) -> Array:
    """Return the mean by the simple averages of Wan et al., for any scenario."""
    if x.scenario == "range":
        return np.asarray((x.minimum + 2 * x.median + x.maximum) / 4)
    if x.scenario == "quartiles":
        return np.asarray((x.q1 + x.median + x.q3) / 3)
    return np.asarray((x.minimum + 2 * (x.q1 + x.median + x.q3) + x.maximum) / 8)


@rests_on(WAN)
def wan_sd(x: Quantiles) -> Array:
    """Return the SD from the expected range and interquartile range of a normal sample."""
    return x.computed(WAN_SD[x.scenario])


@rests_on(SHI_NORMAL)
def shi_sd(x: Quantiles) -> Array:
    """Return the SD from all five numbers, range and quartiles weighted by sample size."""
    return x.computed(SHI_SD["five"])


@rests_on(HOZO)
def hozo_mean(x: Quantiles) -> Array:
    """Return the mean from median and range: the median itself above n = 25."""
    return np.where(x.n <= HOZO_MEAN_N, wan_mean(x), x.median)


@rests_on(HOZO)
def hozo_sd(x: Quantiles) -> Array:
    """Return the SD from median and range: a formula up to n = 15, above it a part of the range."""
    reach = x.maximum - x.minimum
    tiny = np.sqrt(((x.minimum - 2 * x.median + x.maximum) ** 2 / 4 + reach**2) / 12)
    return np.where(x.n <= SMALL, tiny, np.where(x.n <= MEDIUM, reach / 4, reach / 6))


def bland_sd(x: Quantiles) -> Array:
    """Return the SD from all five numbers without the sample size.

    References
    ----------
    Bland (2015), Journal of Applied Quantitative Methods 10(2), 57-64.
    """
    a, q1, m, q3, b = x.minimum, x.q1, x.median, x.q3, x.maximum
    squares = (a**2 + 2 * (q1**2 + m**2 + q3**2) + b**2) / 16
    products = (a * q1 + q1 * m + m * q3 + q3 * b) / 8
    return np.asarray(np.sqrt(squares + products - wan_mean(x) ** 2))


def walter_sd(x: Quantiles) -> Array:
    """Return the SD as the range over the expected range of a standard normal sample.

    References
    ----------
    Walter & Yao (2007), Journal of Clinical Epidemiology 60, 849-852, doi:10.1016/j.jclinepi.2006.11.003.
    """
    return np.asarray((x.maximum - x.minimum) / expected_range(x.n))


def expected_range(n: Array) -> Array:
    """Return the expected range of n standard normal values: the integral of 1 - Phi^n - (1 - Phi)^n.

    References
    ----------
    Tippett (1925), Biometrika 17, 364-387, doi:10.1093/biomet/17.3-4.364.

    Examples
    --------
    >>> expected_range(np.array([2.0, 10.0])).round(4)
    array([1.1284, 3.0775])
    """
    reach = 12.0
    nodes, weights = gauss_legendre(POINTS)
    z = reach * nodes
    size = np.asarray(n, dtype=float)[..., None]
    inside = -np.expm1(size * log_ndtr(z)) - np.exp(size * log_ndtr(-z))
    return np.asarray(reach * (weights * inside).sum(axis=-1))


def skewness_test(x: Quantiles) -> tuple[Array, Array]:
    """Return the statistic of asymmetry of the quantiles and its critical value at the 5 per cent level.

    References
    ----------
    Shi, Luo, Wan et al. (2023), Statistical Methods in Medical Research 32, 1338-1360,
    doi:10.1177/09622802231172043.
    """
    n = x.n
    of_range = np.abs(x.minimum + x.maximum - 2 * x.median) / (x.maximum - x.minimum)
    of_quartiles = np.abs(x.q1 + x.q3 - 2 * x.median) / (x.q3 - x.q1)
    if x.scenario == "range":
        return of_range, 1 / np.log(n + 9) + 2.5 / (n + 1)
    if x.scenario == "quartiles":
        return of_quartiles, 2.65 / np.sqrt(n) - 6 / n**2
    weighted = 2.65 * np.log(0.6 * n) / np.sqrt(n) * of_range
    return np.maximum(weighted, of_quartiles), 3 / np.sqrt(n) - 40 / n**3


# corrections of log-normal moments by scenario: mean (2), then variance (3)
_LOGNORMAL = {
    "range": (0.565, 0.37, 2.26, 5.92, 1.48),
    "quartiles": (0.57, 0.75, 2.28, 12.0, 3.0),
    "five": (0.405, 0.315, 1.62, 5.04, 1.26),
}


@rests_on(SHI_SKEWNESS)
def log_scale_powers(x: Quantiles, sd: Array) -> tuple[Array, Array]:
    """Return nearly unbiased second and fourth powers of the SD of the logarithms."""
    log2 = np.log(x.n) ** 2
    square, fourth = {
        "range": (1.01 + 0.25 / log2, 1 + 2.23 / log2),
        "quartiles": (1 + 1.58 / x.n, 1 + 19.2 / x.n**1.2),
        "five": (1 + 0.28 / log2, 1 + 3.93 / x.n),
    }[x.scenario]
    return np.asarray(sd**2 / square), np.asarray(sd**4 / fourth)


@rests_on(SHI_SKEWNESS)
def lognormal_moments(x: Quantiles, mean: Array, sd: Array) -> tuple[Array, Array]:
    """Return mean and SD of a log-normal sample from mean and SD of the logarithms, bias corrected."""
    c1, c2, c3, c4, c5 = (c / x.n for c in _LOGNORMAL[x.scenario])
    s2, s4 = log_scale_powers(x, sd)
    centre = np.exp(mean + s2 / 2) / (1 + c1 * s2 + c2 * s4)
    square = np.exp(2 * mean + 2 * s2) / (1 + c3 * s2 + c4 * s4)
    return centre, np.sqrt(square - np.exp(2 * mean + s2) / (1 + c3 * s2 + c5 * s4))
