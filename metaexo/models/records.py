"""Small records that a fit hands out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pooled:
    """The pooled effect of a fit without moderators, on the scale of the analysis.

    Attributes
    ----------
    estimate, se, low, high : float
        The mean effect, its standard error and its confidence interval.
    prediction_low, prediction_high : float or None
        Interval for the true effect of a new study; None for the equal-effects model, which knows of no
        difference between studies.
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


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the estimation of tau2 can vouch for.

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
