"""Intervals for the amount of heterogeneity: one small function per method, in a registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metaexo.errors import InputError
from metaexo.formatting import interval, level_words, number, percent
from metaexo.inputs import check_choice
from metaexo.models.univariate.fit import UnivariateFit
from metaexo.numeric.likelihood_maximum import profile_likelihood_interval
from metaexo.numeric.moment_estimators import generalised_q_interval, q_profile
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
        """Return one row per measure: estimate, low and high of tau2, tau, I2 (a fraction) and H2."""
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
        return [ReaderTable(rows, ["measure", "estimate", f"{level_words(self.level)} interval"])]

    def table_notes(self) -> list[str]:
        """Return how the bounds were found, and what is special about them."""
        return [self.method, *([self.note] if self.note else [])]


class Bounds(NamedTuple):
    """Bounds for tau2."""

    low: float
    high: float
    note: str = ""


def heterogeneity_interval(fit: UnivariateFit, method: str, level: float) -> HeterogeneityInterval:
    """Return bounds for tau2, tau, I2 and H2; see `RandomEffectsResults.conf_int_heterogeneity`."""
    if fit.df_residual < 1:
        raise InputError("there are no residual degrees of freedom", "more effects than coefficients")
    if fit.has_zero_variance:
        raise InputError(
            "a sampling variance is zero, and intervals for heterogeneity divide by it",
            "sampling variances above 0",
            "look the rows up in the source",
        )
    check_choice("interval method", method, tuple(INTERVALS))
    low, high, note = INTERVALS[method](fit, level)
    return heterogeneity_interval_of((fit.tau2, low, high), fit.typical_variance, method, level, note)


def heterogeneity_interval_of(
    tau2: tuple[float, float, float], typical_variance: float, method: str, level: float, note: str = ""
) -> HeterogeneityInterval:
    """Return the bounds of tau, I2 and H2 that follow from estimate and bounds of tau2."""
    values = np.array(tau2)
    h2 = values / typical_variance + 1
    return HeterogeneityInterval(
        tau2=Interval(*map(float, values)),
        tau=Interval(*map(float, np.sqrt(values))),
        i2=Interval(*map(float, 1 - 1 / h2)),
        h2=Interval(*map(float, h2)),
        method=method,
        level=level,
        empty=note == EMPTY,
        note=note,
    )


def _q_profile(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Q-profile bounds (Viechtbauer 2007, https://doi.org/10.1002/sim.2514)."""
    small, large = chi2_quantiles(level, fit.batch.df)
    low, high = q_profile(fit.batch, small, large)
    return _test_bounds(float(low[0]), float(high[0]))


def _generalised_q(fit: UnivariateFit, level: float) -> Bounds:
    """Return the bounds of the generalised Q test (Jackson 2013, https://doi.org/10.1002/jrsm.1081)."""
    if fit.batch.weights is None:
        raise InputError(
            "this fit has no user-supplied weights",
            "a fit with weights, whose generalised Q is inverted",
            'use RandomEffects(effects, weights=...), or method="q-profile"',
        )
    low, high = generalised_q_interval(fit.batch, level)
    return _test_bounds(float(low[0]), float(high[0]))


def _test_bounds(low: float, high: float) -> Bounds:
    return Bounds(low, high, "" if high > 0 else EMPTY)


def _profile_likelihood(fit: UnivariateFit, level: float) -> Bounds:
    """Return the profile-likelihood bounds (Hardy and Thompson 1996)."""
    if fit.method not in ("ML", "REML"):
        raise InputError(
            f"tau2 was estimated by {fit.method}, which maximises no likelihood",
            "a fit by ML or REML",
            'fit with method="REML", or use method="q-profile"',
        )
    drop = 0.5 * normal_quantile(level) ** 2
    low, high = profile_likelihood_interval(fit.batch, fit.method == "REML", drop)
    return Bounds(float(low[0]), float(high[0]))


def _half_width(fit: UnivariateFit, level: float) -> float:
    """Return the normal quantile times the standard error of tau2."""
    if fit.tau2_se is None:
        raise InputError(
            f"tau2 of the method {fit.method} has no standard error",
            "an estimate with a standard error",
            'use method="q-profile"',
        )
    return normal_quantile(level) * fit.tau2_se


def _wald(fit: UnivariateFit, level: float) -> Bounds:
    """Return estimate plus and minus a multiple of its standard error, cut at 0."""
    half = _half_width(fit, level)
    return Bounds(max(0.0, fit.tau2 - half), fit.tau2 + half)


def _wald_log(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Wald bounds on the scale of log tau2."""
    half = _half_width(fit, level)
    if fit.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    ratio = half / fit.tau2
    return Bounds(fit.tau2 * math.exp(-ratio), fit.tau2 * math.exp(min(ratio, 700.0)))


def _wald_sqrt(fit: UnivariateFit, level: float) -> Bounds:
    """Return the Wald bounds on the scale of tau."""
    half = _half_width(fit, level)
    if fit.tau2 == 0:
        return Bounds(0.0, math.inf, NO_SCALE)
    tau = math.sqrt(fit.tau2)
    width = half / (2 * tau)
    return Bounds(max(0.0, tau - width) ** 2, (tau + width) ** 2)


def _higgins_thompson(fit: UnivariateFit, level: float) -> Bounds:
    """Return the test-based bounds of log H (Higgins and Thompson 2002, https://doi.org/10.1002/sim.1186)."""
    k = fit.df_residual + 1
    if fit.batch.p > 1 or k < 3:
        raise InputError(
            "the test-based interval is for three or more effects without moderators",
            "a fit of at least 3 effects without moderators",
            'use method="q-profile"',
        )
    if fit.cochran_q > k:
        se = (
            0.5
            * math.log(fit.cochran_q / fit.df_residual)
            / (math.sqrt(2 * fit.cochran_q) - math.sqrt(2 * k - 3))
        )
    else:
        se = math.sqrt((1 - 1 / (3 * (k - 2) ** 2)) / (2 * (k - 2)))
    half = 2 * normal_quantile(level) * se
    low, high = (max(1.0, fit.h2 * math.exp(sign * half)) for sign in (-1, 1))
    return Bounds(fit.typical_variance * (low - 1), fit.typical_variance * (high - 1))


INTERVALS: dict[str, Callable[[UnivariateFit, float], Bounds]] = {
    "q-profile": _q_profile,
    "generalised-q": _generalised_q,
    "profile-likelihood": _profile_likelihood,
    "wald": _wald,
    "wald-log": _wald_log,
    "wald-sqrt": _wald_sqrt,
    "higgins-thompson": _higgins_thompson,
}
