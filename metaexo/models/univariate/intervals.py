"""Intervals for the amount of heterogeneity: one small function a method, in a registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import interval, number, percent, printed
from metaexo.inputs import check_choice
from metaexo.numeric.moment_estimators import generalised_q_interval, q_profile
from metaexo.numeric.problem import Batch
from metaexo.numeric.profile_likelihood import profile_likelihood_interval
from metaexo.numeric.tails import chi2_quantiles, normal_quantile
from metaexo.readable import Readable, ReaderTable

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "no tau2 fits these data at this level: the effects agree more than chance allows"
NO_SCALE = "the estimate is 0, where this scale has an infinite standard error: nothing is excluded"


class Interval(NamedTuple):
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class HeterogeneityInterval(Readable):
    """Bounds for tau2 and for what follows from it.

    Attributes
    ----------
    tau2, tau, i2, h2 : Interval
        Estimate, low and high; i2 is a fraction. The bounds of i2 and h2 are those of tau2, transformed with
        the typical sampling variance of the fit.
    method : str
        How the bounds of tau2 were found.
    level : float
        Confidence level.
    empty : bool
        True if no tau2 >= 0 fits the data at this level; both bounds are then 0.
    note : str
        What is special about the interval, in words.
    """

    tau2: Interval
    tau: Interval
    i2: Interval
    h2: Interval
    method: str
    level: float
    empty: bool
    note: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a measure: estimate, low and high of tau2, tau, I2 (a fraction) and H2."""
        import pandas as pd

        parts = {"tau2": self.tau2, "tau": self.tau, "I2": self.i2, "H2": self.h2}
        rows = [part._asdict() for part in parts.values()]
        return pd.DataFrame(rows, index=pd.Index(list(parts), name="measure"))

    def reader_tables(self) -> list[ReaderTable]:
        """Return the measures with their intervals, numbers rounded."""
        rows = [
            [name, number(part.estimate, 4), interval(part.low, part.high, 4)]
            for name, part in (("tau2", self.tau2), ("tau", self.tau), ("H2", self.h2))
        ]
        low, high = percent(self.i2.low), percent(self.i2.high)
        rows.insert(2, ["I2", percent(self.i2.estimate), f"{low} to {high}"])
        return [ReaderTable(rows, ["measure", "estimate", f"{percent(self.level)} interval"])]

    def table_notes(self) -> list[str]:
        """Return how the bounds were found, and what is special about them."""
        return [self.method, *([self.note] if self.note else [])]

    @printed
    def __str__(self) -> str:
        return self.to_text()


class Bounds(NamedTuple):
    """Bounds for tau2."""

    low: float
    high: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """What the intervals are made of.

    Attributes
    ----------
    batch : Batch
        The problem.
    method : str
        Estimator of tau2.
    tau2, se : float
        Estimate and its standard error (NaN if there is none).
    typical_variance, h2, q : float
        Typical sampling variance, H2 and Cochran's Q of the fit.
    df : int
        Residual degrees of freedom.
    """

    batch: Batch
    method: str
    tau2: float
    se: float
    typical_variance: float
    h2: float
    q: float
    df: int


def heterogeneity_interval(spread: Spread, method: str, level: float) -> HeterogeneityInterval:
    """Return bounds for tau2, tau, I2 and H2 of one fit.

    Raises
    ------
    UnknownChoiceError
        If the method is not known.
    InputError
        If the method does not go with the fit.
    """
    check_choice("interval method", method, tuple(INTERVALS))
    low, high, note = INTERVALS[method](spread, level)
    values = np.array([spread.tau2, low, high])
    h2 = values / spread.typical_variance + 1
    i2 = 1 - 1 / h2
    return HeterogeneityInterval(
        tau2=Interval(*map(float, values)),
        tau=Interval(*map(float, np.sqrt(values))),
        i2=Interval(*map(float, i2)),
        h2=Interval(*map(float, h2)),
        method=method,
        level=level,
        empty=note == EMPTY,
        note=note,
    )


def _q_profile(spread: Spread, level: float) -> Bounds:
    """Return the Q-profile bounds (Viechtbauer 2007, https://doi.org/10.1002/sim.2514)."""
    small, large = chi2_quantiles(level, spread.batch.df)
    low, high = q_profile(spread.batch, small, large)
    return _test_bounds(float(low[0]), float(high[0]))


def _generalised_q(spread: Spread, level: float) -> Bounds:
    """Return the bounds of the generalised Q test (Jackson 2013, https://doi.org/10.1002/jrsm.1081)."""
    if spread.batch.weights is None:
        raise InputError(
            "this fit has no weights of its own",
            "a fit with weights, whose generalised Q is inverted",
            'use RandomEffects(effects, weights=...), or method="q-profile"',
        )
    low, high = generalised_q_interval(spread.batch, level)
    return _test_bounds(float(low[0]), float(high[0]))


def _test_bounds(low: float, high: float) -> Bounds:
    return Bounds(low, high, "" if high > 0 else EMPTY)


def _profile_likelihood(spread: Spread, level: float) -> Bounds:
    """Return the profile-likelihood bounds (Hardy and Thompson 1996)."""
    if spread.method not in ("ML", "REML"):
        raise InputError(
            f"tau2 was estimated by {spread.method}, which maximises no likelihood",
            "a fit by ML or REML",
            'fit with method="REML", or use method="q-profile"',
        )
    drop = 0.5 * normal_quantile(level) ** 2
    low, high = profile_likelihood_interval(spread.batch, spread.method == "REML", drop)
    return Bounds(float(low[0]), float(high[0]))


def _half_width(spread: Spread, level: float) -> float:
    """Return the normal quantile times the standard error of tau2."""
    if math.isnan(spread.se):
        raise InputError(
            f"tau2 of the method {spread.method} has no standard error",
            "an estimate with a standard error",
            'use method="q-profile"',
        )
    return normal_quantile(level) * spread.se


def _wald(spread: Spread, level: float) -> Bounds:
    """Return estimate plus and minus a multiple of its standard error, cut at 0."""
    half = _half_width(spread, level)
    return Bounds(max(0.0, spread.tau2 - half), spread.tau2 + half)


def _wald_log(spread: Spread, level: float) -> Bounds:
    """Return the Wald bounds on the scale of log tau2."""
    half = _half_width(spread, level)
    if spread.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    ratio = half / spread.tau2
    return Bounds(spread.tau2 * math.exp(-ratio), spread.tau2 * math.exp(min(ratio, 700.0)))


def _wald_sqrt(spread: Spread, level: float) -> Bounds:
    """Return the Wald bounds on the scale of tau."""
    half = _half_width(spread, level)
    if spread.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    tau = math.sqrt(spread.tau2)
    width = half / (2 * tau)
    return Bounds(max(0.0, tau - width) ** 2, (tau + width) ** 2)


def _higgins_thompson(spread: Spread, level: float) -> Bounds:
    """Return the test-based bounds of log H (Higgins and Thompson 2002, https://doi.org/10.1002/sim.1186)."""
    k = spread.df + 1
    if spread.batch.p > 1 or k < 3:
        raise InputError(
            "the test-based interval is for three or more effects without moderators",
            "a fit of at least 3 effects without moderators",
            'use method="q-profile"',
        )
    if spread.q > k:
        se = 0.5 * math.log(spread.q / spread.df) / (math.sqrt(2 * spread.q) - math.sqrt(2 * k - 3))
    else:
        se = math.sqrt((1 - 1 / (3 * (k - 2) ** 2)) / (2 * (k - 2)))
    half = 2 * normal_quantile(level) * se
    low, high = (max(1.0, spread.h2 * math.exp(sign * half)) for sign in (-1, 1))
    return Bounds(spread.typical_variance * (low - 1), spread.typical_variance * (high - 1))


INTERVALS: dict[str, Callable[[Spread, float], Bounds]] = {
    "q-profile": _q_profile,
    "generalised-q": _generalised_q,
    "profile-likelihood": _profile_likelihood,
    "wald": _wald,
    "wald-log": _wald_log,
    "wald-sqrt": _wald_sqrt,
    "higgins-thompson": _higgins_thompson,
}
