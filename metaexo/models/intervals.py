"""Intervals for the amount of heterogeneity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaexo.errors import UnknownChoiceError
from metaexo.numeric.generalised_q import q_profile
from metaexo.numeric.problem import Batch
from metaexo.numeric.tails import chi2_quantiles


class Interval(NamedTuple):
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class HeterogeneityInterval:
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
    """

    tau2: Interval
    tau: Interval
    i2: Interval
    h2: Interval
    method: str
    level: float
    empty: bool


def heterogeneity_interval(
    batch: Batch, tau2: float, typical_variance: float, method: str, level: float
) -> HeterogeneityInterval:
    """Return bounds for tau2, tau, I2 and H2 of one fit.

    Raises
    ------
    UnknownChoiceError
        If the method is not known.
    """
    if method not in INTERVALS:
        raise UnknownChoiceError("interval method", method, INTERVALS)
    low, high, empty = INTERVALS[method](batch, level)
    values = np.array([tau2, low, high])
    with np.errstate(divide="ignore", invalid="ignore"):
        h2 = values / typical_variance + 1
        i2 = values / (values + typical_variance)
    return HeterogeneityInterval(
        tau2=Interval(*map(float, values)),
        tau=Interval(*map(float, np.sqrt(values))),
        i2=Interval(*map(float, i2)),
        h2=Interval(*map(float, h2)),
        method=method,
        level=level,
        empty=empty,
    )


def _q_profile(batch: Batch, level: float) -> tuple[float, float, bool]:
    """Return the Q-profile bounds (Viechtbauer 2007, https://doi.org/10.1002/sim.2514)."""
    small, large = chi2_quantiles(level, batch.df)
    low, high = q_profile(batch, small, large)
    return float(low[0]), float(high[0]), bool(high[0] == 0)


INTERVALS = {"q-profile": _q_profile}
