"""Significant results as draws from normal distributions cut off at the critical value.

Given that z exceeds the critical value c, the chance of a z at least as large is P(Z > z) / P(Z > c) with Z
normal around the true effect in standard errors. At the true effect this chance is uniform, whatever was not
published. p-uniform and p-curve rest on it. It is taken in logarithms throughout, so that a z of 100, or a
true effect far on the other side, is as good as any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from metaexo.bias.estimates import Alternative, Estimates
from metaexo.formatting import plural
from metaexo.inputs import check_level
from metaexo.types import Array, Mask

FAR = 1e300  # stands for infinity where a root is sought
DOUBLINGS = 200
ROOT_2 = float(np.sqrt(2))
HALF_LOG_2_PI = float(0.5 * np.log(2 * np.pi))
HALF_LOG_HALF_PI = float(0.5 * np.log(np.pi / 2))
SERIES = 300.0  # where the mean excess of a normal tail is taken from its series
RELATIVE = 4 * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Significant:
    """Effects, as distances from no effect, turned so that large is significant, and which of them are.

    Attributes
    ----------
    y, se : Array
        All effects in the direction that is favoured, shape (k,), and their standard errors.
    chosen : Mask
        Which are significant in that direction, shape (k,).
    opposite : int
        How many are significant in the other direction.
    critical : float
        The z beyond which an effect is significant.
    sign : float
        1, or -1 where small effects are favoured.
    null : float
        The value of no effect, from which effects are measured.
    """

    y: Array
    se: Array
    chosen: Mask
    opposite: int
    critical: float
    sign: float
    null: float

    @property
    def z(self) -> Array:
        """Effects over their standard errors."""
        return self.y / self.se

    @property
    def count(self) -> int:
        """Number of effects that are significant in the direction that is favoured."""
        return int(self.chosen.sum())

    def back(self, distance: float) -> float:
        """Return an effect on the scale of the analysis from its distance in that direction."""
        return self.null + self.sign * distance

    @property
    def alternative(self) -> Alternative:
        """The direction that is favoured."""
        return "greater" if self.sign > 0 else "less"

    def cautions(self, kept: bool) -> tuple[str, ...]:
        """Return what to know of effects that are significant in the other direction.

        `kept`: whether the method uses effects that are not significant as well.
        """
        if not self.opposite or kept:
            return ()
        were = "is" if self.opposite == 1 else "are"
        return (
            f"{plural(self.opposite, 'effect')} that {were} significant in the other direction "
            f"{'was' if self.opposite == 1 else 'were'} left out, like those that are not significant",
        )


def significant(est: Estimates, alternative: str | None, significance: object) -> Significant:
    """Return the effects in the direction that is favoured, and which of them are significant.

    `significance`: the level at which single studies were tested, two-sided.
    Raises InputError if `significance` is no fraction, NotIdentifiableError if the measure has no value of no
        effect.
    """
    level, null = check_level(significance, "significance"), est.no_effect()
    sign = 1.0 if est.direction(alternative) == "greater" else -1.0
    critical = -float(special.ndtri(level / 2))
    y = sign * (est.y - null)
    z = y / est.se
    return Significant(y, est.se, z > critical, int((z < -critical).sum()), critical, sign, null)


def log_share(z: Array, cut: Array | float, centre: Array | float) -> Array:
    """Return log P(Z > z | Z > cut) of a normal Z with SD 1 around `centre`; z is at least cut.

    Far out in the tail the logarithms of the two probabilities are large and nearly equal; there their
    difference is taken by that of the squares.
    """
    a, b = z - centre, cut - centre
    with np.errstate(all="ignore"):
        scaled = special.erfcx(a / ROOT_2) / special.erfcx(b / ROOT_2)
        tail = np.log(scaled) - 0.5 * (z - cut) * (a + b)
        body = special.log_ndtr(-a) - special.log_ndtr(-b)
    return np.asarray(np.where(b > 0, tail, body))


def log_complement(z: Array, cut: Array | float, centre: Array | float) -> Array:
    """Return log P(Z <= z | Z > cut), the complement of `log_share`."""
    a, b = z - centre, cut - centre
    with np.errstate(all="ignore"):
        below = special.log_ndtr(a)
        left = below + np.log(-np.expm1(special.log_ndtr(b) - below)) - special.log_ndtr(-b)
        right = np.log(-np.expm1(log_share(z, cut, centre)))
    return np.asarray(np.where(a < 0, left, right))


def log_density(z: Array, cut: Array | float, centre: Array | float) -> Array:
    """Return the log density of z given that Z > cut, for a normal Z with SD 1 around `centre`."""
    a, b = z - centre, cut - centre
    with np.errstate(all="ignore"):
        tail = -0.5 * (z - cut) * (a + b) - np.log(special.erfcx(b / ROOT_2)) - HALF_LOG_HALF_PI
        body = -0.5 * a * a - special.log_ndtr(-b) - HALF_LOG_2_PI
    return np.asarray(np.where(b > 0, tail, body))


def mean_excess(b: Array) -> Array:
    """Return E(Z - b | Z > b) of a standard normal Z."""
    far = np.maximum(b, SERIES)
    with np.errstate(all="ignore"):
        near = np.sqrt(2 / np.pi) / special.erfcx(b / ROOT_2) - b
    return np.asarray(np.where(b > SERIES, (1 - 2 / far**2 * (1 - 5 / far**2)) / far, near))


def crossing(function: Callable[[float], float], start: float, step: float, most: float = np.inf) -> float:
    """Return where an increasing function is 0, or infinity with its sign where it never is.

    `start`, `step`: where the search begins, and its first step; the step is doubled until the function has
    changed its sign, so that a root cannot be the end of a range.
    `most`: how far from the start a root is sought; what is beyond counts as infinite.
    """

    def bounded(x: float) -> float:
        with np.errstate(divide="ignore", over="ignore"):
            return float(np.clip(function(x), -FAR, FAR))

    finest = 1e-15 * step
    here = bounded(start)
    if here == 0:
        return start
    way = -1.0 if here > 0 else 1.0
    near, far = start, start
    for _ in range(DOUBLINGS):
        near, far = far, start + way * step
        step *= 2
        if not abs(far - start) <= most or not np.isfinite(far):
            break
        if bounded(far) * here <= 0:
            low, high = sorted((near, far))
            return float(brentq(bounded, low, high, xtol=finest, rtol=RELATIVE, maxiter=500))
    return way * np.inf
