"""Standardised mean differences as log odds ratios, and log odds ratios as standardised differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import ndtri

from metaexo.effects.conversions.d import through_d
from metaexo.effects.conversions.odds import LOGISTIC, NORMAL
from metaexo.effects.corrections import pooled_sd
from metaexo.effects.measure import Measure, register
from metaexo.effects.measures.two_proportions import log_odds_ratio
from metaexo.types import Array

Compute = Callable[..., tuple[Array, Array]]

MEANS = ("treatment_mean", "treatment_sd", "treatment_n", "control_mean", "control_sd", "control_n")
EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")


def odds_ratio_effect_of_d(
    d: Array, treatment_n: Array, control_n: Array, scale: float = LOGISTIC
) -> tuple[Array, Array]:
    """Return the log odds ratio that a standardised mean difference amounts to.

    Use it to set studies with means beside studies with events.

        y = c d,  v = c^2 (1/n1 + 1/n2 + d^2 / (2 (n1 + n2)))

    with c = pi / sqrt(3) for logistic and c = 1.65 for normal outcomes.

    Parameters
    ----------
    d : ndarray
        Mean differences over the pooled standard deviation, without correction.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    scale : float
        The factor c.

    Returns
    -------
    y, v : ndarray
        Log odds ratios and sampling variances.

    References
    ----------
    Chinn (2000), Statistics in Medicine 19, 3127-3131,
    doi:10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M.
    Cox & Snell (1989), Analysis of Binary Data, 2nd ed., doi:10.1201/9781315137391 (the factor 1.65).

    Examples
    --------
    >>> y, v = odds_ratio_effect_of_d(np.array([1.0]), np.array([10.0]), np.array([10.0]))
    >>> y.round(4), v.round(4)
    (array([1.8138]), array([0.7402]))
    """
    v = 1 / treatment_n + 1 / control_n + d**2 / (2 * (treatment_n + control_n))
    return scale * d, scale**2 * v


def d_effect_of_odds_ratio(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    scale: float = LOGISTIC,
) -> tuple[Array, Array]:
    """Return the standardised mean difference that a log odds ratio amounts to.

    Use it to set studies with events beside studies with means: log odds ratio over c, variance over c^2,
    with c = pi / sqrt(3) for logistic and c = 1.65 for normal outcomes.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    scale : float
        The factor c.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Hasselblad & Hedges (1995), Psychological Bulletin 117, 167-178, doi:10.1037/0033-2909.117.1.167.
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448.

    Examples
    --------
    >>> y, v = d_effect_of_odds_ratio(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.7643]), array([0.0912]))
    """
    y, v = log_odds_ratio(treatment_events, treatment_n, control_events, control_n)
    return y / scale, v / scale**2


def probit_difference(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return the difference of two probits: a standardised mean difference behind two proportions.

    Use it when events are a normally distributed outcome beyond a threshold. With z the normal quantile of
    a proportion p,

        y = z(p1) - z(p2),  v = sum over groups of 2 pi p (1 - p) exp(z^2) / n

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Standardised differences and sampling variances.

    References
    ----------
    Sanchez-Meca, Marin-Martinez & Chacon-Moscoso (2003), Psychological Methods 8, 448-467,
    doi:10.1037/1082-989X.8.4.448.

    Examples
    --------
    >>> y, v = probit_difference(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.8615]), array([0.1121]))
    """
    p1, p2 = treatment_events / treatment_n, control_events / control_n
    z1, z2 = ndtri(p1), ndtri(p2)
    v1 = p1 * (1 - p1) * np.exp(z1**2) / treatment_n
    v2 = p2 * (1 - p2) * np.exp(z2**2) / control_n
    return z1 - z2, 2 * np.pi * (v1 + v2)


def _from_means(scale: float) -> Compute:
    """Return the function of means for one factor."""

    def of_means(
        treatment_mean: Array,
        treatment_sd: Array,
        treatment_n: Array,
        control_mean: Array,
        control_sd: Array,
        control_n: Array,
    ) -> tuple[Array, Array]:
        sd = pooled_sd(treatment_sd, treatment_n, control_sd, control_n)
        return odds_ratio_effect_of_d((treatment_mean - control_mean) / sd, treatment_n, control_n, scale)

    of_means.__doc__ = odds_ratio_effect_of_d.__doc__  # d is (m1 - m2) over the pooled SD
    return of_means


# code, distribution in words, factor
_TO_OR = (("D2OR", "logistic", LOGISTIC), ("D2ORN", "normal", NORMAL), ("D2ORL", "logistic", LOGISTIC))
_TO_D = (("OR2D", "logistic", LOGISTIC), ("OR2DN", "normal", NORMAL), ("OR2DL", "logistic", LOGISTIC))

register(
    *(
        Measure(
            code=code,
            name=f"log odds ratio of a standardised mean difference ({shape} outcome)",
            family="two groups, means",
            inputs=MEANS,
            compute=_from_means(scale),
            null=0.0,
            display="Odds ratio",
            back=np.exp,
            display_log=True,
            reference="10.1037/0033-2909.117.1.167",
            alternatives=through_d(partial(odds_ratio_effect_of_d, scale=scale)),
        )
        for code, shape, scale in _TO_OR
    ),
    *(
        Measure(
            code=code,
            name=f"standardised mean difference of a log odds ratio ({shape} outcome)",
            family="two groups, events",
            inputs=EVENTS,
            compute=partial(d_effect_of_odds_ratio, scale=scale),
            null=0.0,
            display="Standardised mean difference",
            reference="10.1037/1082-989X.8.4.448",
            zero_cells=0.5,
        )
        for code, shape, scale in _TO_D
    ),
    Measure(
        code="PBIT",
        name="standardised mean difference of two proportions (probit)",
        family="two groups, events",
        inputs=EVENTS,
        compute=probit_difference,
        null=0.0,
        display="Standardised mean difference",
        reference="10.1037/1082-989X.8.4.448",
        zero_cells=0.5,
    ),
)
