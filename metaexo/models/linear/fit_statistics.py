"""Small records of one fit: likelihood, variance model, pooled effect, certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaexo.numeric.likelihood import LOG_2PI
from metaexo.readable import Readable
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class FitStatistics(Readable):
    """Log-likelihood, deviance and information criteria.

    Attributes
    ----------
    llf : float
        (Restricted) log-likelihood at the fit's tau2.
    deviance : float
        ML: twice the distance to the saturated model; REML: -2 llf.
    aic, bic, aicc : float
        Information criteria; smaller is better. Those of REML compare fits with the same moderators only.
    restricted : bool
        Whether they come from the restricted likelihood.
    parameters : int
        Parameters counted: coefficients, and tau2 where it is estimated.
    """

    llf: float
    deviance: float
    aic: float
    bic: float
    aicc: float
    restricted: bool
    parameters: int

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table of one row."""
        import pandas as pd

        return pd.DataFrame([vars(self)])


def statistics_at(
    llf: float, v: Array, observations: float, parameters: int, restricted: bool
) -> FitStatistics:
    """Return the statistics of a log-likelihood of effects with sampling variances `v`, shape (k,).

    Where a variance is 0 there is no saturated model, and the deviance is -2 llf.
    """
    deviance = -2 * llf
    if not restricted and v.min() > 0:
        deviance -= v.size * LOG_2PI + float(np.log(v).sum())
    room = max(observations, parameters + 2)
    return FitStatistics(
        llf=llf,
        deviance=deviance,
        aic=-2 * llf + 2 * parameters,
        bic=-2 * llf + parameters * (math.log(observations) if observations > 0 else -math.inf),
        aicc=-2 * llf + 2 * parameters * room / (room - parameters - 1),
        restricted=restricted,
        parameters=parameters,
    )


@dataclass(frozen=True, slots=True)
class VarianceModel:
    """How the between-study variance of a fit depends on parameters."""

    link: str  # "log", "identity", or "none": no parameter, a variance that is zero or given
    z: Array  # columns of its linear predictor, shape (k, q)
    fixed: float = 0.0  # the variance where there is no parameter


@dataclass(frozen=True, eq=False, repr=False)
class Pooled(Readable):
    """The pooled effect of a fit without moderators, on the scale of the analysis.

    Attributes
    ----------
    estimate, se, low, high : float
        The mean effect, its standard error and its confidence interval.
    prediction_low, prediction_high : float or None
        Interval for the true effect of a new study; None for the equal-effects model, in which
        studies do not differ.
    level : float
        Level of both intervals.
    """

    estimate: float
    se: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the mean and its intervals as a table of one row."""
        import pandas as pd

        return pd.DataFrame([vars(self)]).astype({"prediction_low": float, "prediction_high": float})


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known about the estimate of tau2.

    Attributes
    ----------
    at_boundary : bool
        Whether tau2 is 0 because no positive value fits better.
    score, curvature : float
        First and second derivative of the criterion with respect to log tau2 at the solution (at the boundary
        the first with respect to tau2 over the typical variance, and no second); NaN for closed forms.
    iterations : int
        Evaluations after the scan; 0 for closed forms.
    maxima : int
        Local maxima of the criterion, the boundary included.
    proved : bool
        Whether it was shown that the criterion has no other maximum.
    """

    at_boundary: bool
    score: float
    curvature: float
    iterations: int
    maxima: int
    proved: bool
