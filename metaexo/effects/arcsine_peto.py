"""Comparisons of two proportions that need no correction for zeros: arcsine difference and Peto's odds ratio.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.measure import Measure, register
from metaexo.types import Array

FAMILY = "two groups, events"
EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")


def arcsine_difference(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return the difference of two arcsine square-root proportions.

    Use it for rare events: zeros need no correction, and the variance does not depend on the events.

        y = arcsin sqrt(p1) - arcsin sqrt(p2),  v = 1 / (4 n1) + 1 / (4 n2)

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Differences in radians and sampling variances.

    References
    ----------
    Ruecker, Schwarzer, Carpenter & Olkin (2009), Statistics in Medicine 28, 721-738, doi:10.1002/sim.3511.

    Examples
    --------
    >>> y, v = arcsine_difference(*np.array([[0.0], [25.0], [5.0], [25.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.4636]), array([0.02]))
    """
    y = np.arcsin(np.sqrt(treatment_events / treatment_n))
    y = y - np.arcsin(np.sqrt(control_events / control_n))
    return y, 1 / (4 * treatment_n) + 1 / (4 * control_n)


def peto_log_odds_ratio(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return Peto's one-step log odds ratio.

    Use it for rare events in groups of similar size and small effects. Zeros need no correction: nothing is
    added to them unless the caller asks for it, and tables without any event, or with events in everyone,
    carry no weight. With x the events of both groups,
    N = n1 + n2, E = n1 x / N and V = n1 n2 x (N - x) / (N^2 (N - 1)),

        y = (x1 - E) / V,  v = 1 / V

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Log odds ratios and sampling variances; none where nobody or everybody had the event.

    References
    ----------
    Yusuf, Peto, Lewis, Collins & Sleight (1985), Progress in Cardiovascular Diseases 27, 335-371,
    doi:10.1016/S0033-0620(85)80003-7.

    Examples
    --------
    >>> y, v = peto_log_odds_ratio(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-1.3111]), array([0.2622]))
    """
    total, events = treatment_n + control_n, treatment_events + control_events
    expected = treatment_n * events / total
    information = treatment_n * control_n * events * (total - events) / (total**2 * (total - 1))
    return (treatment_events - expected) / information, 1 / information


register(
    Measure(
        code="AS",
        name="arcsine difference",
        family=FAMILY,
        inputs=EVENTS,
        compute=arcsine_difference,
        null=0.0,
        display="Arcsine difference",
        reference="10.1002/sim.3511",
        zero_cells=0.0,
    ),
    Measure(
        code="PETO",
        name="log odds ratio, Peto's method",
        family=FAMILY,
        inputs=EVENTS,
        compute=peto_log_odds_ratio,
        null=0.0,
        display="Odds ratio",
        back=np.exp,
        display_log=True,
        reference="10.1016/S0033-0620(85)80003-7",
        zero_cells=0.0,
    ),
)
