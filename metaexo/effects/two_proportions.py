"""Comparisons of two proportions: risk ratio, odds ratio, risk difference.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
Zero cells are dealt with before (see :mod:`metaexo.effects.zero_cells`).
"""

from __future__ import annotations

import numpy as np

from metaexo.effects.corrections import average_over_rows
from metaexo.effects.measure import Measure, register
from metaexo.types import Array

FAMILY = "two groups, events"
EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")
VARIANCES = ("LS", "AV", "H0")
REFERENCE = "10.1177/096228029300200202"


def log_risk_ratio(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return the log risk ratio, treatment against control.

    Use it for events counted among people followed alike. With p the proportion of events in a group,

        y = log(p1 / p2),  v = (1 - p1) / (n1 p1) + (1 - p2) / (n2 p2)      (variance "LS")

    "AV" puts each group's proportion over all studies in place of p1 and p2 in v, "H0" the proportion of
    both groups together.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "AV", "H0"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Log risk ratios and sampling variances.

    References
    ----------
    Fleiss (1993), Statistical Methods in Medical Research 2, 121-145, doi:10.1177/096228029300200202.

    Examples
    --------
    >>> y, v = log_risk_ratio(*np.array([[10.0], [100.0], [20.0], [100.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.6931]), array([0.13]))
    """
    y = np.log(treatment_events / treatment_n) - np.log(control_events / control_n)
    p1, p2 = _risks(treatment_events, treatment_n, control_events, control_n, variance)
    return y, (1 - p1) / (treatment_n * p1) + (1 - p2) / (control_n * p2)


def log_odds_ratio(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return the log odds ratio, treatment against control.

    Use it for case-control data and wherever the outcome may be turned round without changing the answer.
    With p the proportion of events in a group,

        y = log(p1 / (1 - p1)) - log(p2 / (1 - p2)),
        v = 1 / (n1 p1 (1 - p1)) + 1 / (n2 p2 (1 - p2))      (variance "LS"; Woolf)

    "AV" puts each group's proportion over all studies in place of p1 and p2 in v, "H0" the proportion of
    both groups together.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "AV", "H0"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Log odds ratios and sampling variances.

    References
    ----------
    Fleiss (1993), Statistical Methods in Medical Research 2, 121-145, doi:10.1177/096228029300200202.

    Examples
    --------
    >>> y, v = log_odds_ratio(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-1.3863]), array([0.3]))
    """
    y = np.log(treatment_events / (treatment_n - treatment_events))
    y = y - np.log(control_events / (control_n - control_events))
    p1, p2 = _risks(treatment_events, treatment_n, control_events, control_n, variance)
    return y, 1 / (treatment_n * p1 * (1 - p1)) + 1 / (control_n * p2 * (1 - p2))


def risk_difference(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    *,
    variance: str = "LS",
) -> tuple[Array, Array]:
    """Return the risk difference, treatment minus control.

    Use it when the absolute number of events prevented or caused is wanted. With p the proportion of
    events in a group,

        y = p1 - p2,  v = p1 (1 - p1) / n1 + p2 (1 - p2) / n2      (variance "LS")

    "UB" divides by n - 1 instead of n (unbiased); "AV" puts each group's proportion over all studies in
    place of p1 and p2 in v, "H0" the proportion of both groups together.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"LS", "UB", "AV", "H0"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Risk differences and sampling variances.

    References
    ----------
    Fleiss (1993), Statistical Methods in Medical Research 2, 121-145, doi:10.1177/096228029300200202.

    Examples
    --------
    >>> y, v = risk_difference(*np.array([[10.0], [100.0], [20.0], [100.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.1]), array([0.0025]))
    """
    y = treatment_events / treatment_n - control_events / control_n
    p1, p2 = _risks(treatment_events, treatment_n, control_events, control_n, variance)
    less = 1 if variance == "UB" else 0
    return y, p1 * (1 - p1) / (treatment_n - less) + p2 * (1 - p2) / (control_n - less)


def _risks(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array, variance: str
) -> tuple[Array, Array]:
    """Return the proportions that enter the sampling variance."""
    if variance == "AV":
        p1 = average_over_rows(treatment_events / treatment_n, treatment_n)
        p2 = average_over_rows(control_events / control_n, control_n)
        return np.full(treatment_n.shape, p1), np.full(control_n.shape, p2)
    if variance == "H0":
        both = (treatment_events + control_events) / (treatment_n + control_n)
        return both, both
    return treatment_events / treatment_n, control_events / control_n


register(
    Measure(
        code="OR",
        name="log odds ratio",
        family=FAMILY,
        inputs=EVENTS,
        compute=log_odds_ratio,
        null=0.0,
        display="Odds ratio",
        back=np.exp,
        display_log=True,
        reference=REFERENCE,
        variances=VARIANCES,
        zero_cells=0.5,
    ),
    Measure(
        code="RR",
        name="log risk ratio",
        family=FAMILY,
        inputs=EVENTS,
        compute=log_risk_ratio,
        null=0.0,
        display="Risk ratio",
        back=np.exp,
        display_log=True,
        reference=REFERENCE,
        variances=VARIANCES,
        zero_cells=0.5,
    ),
    Measure(
        code="RD",
        name="risk difference",
        family=FAMILY,
        inputs=EVENTS,
        compute=risk_difference,
        null=0.0,
        display="Risk difference",
        reference=REFERENCE,
        variances=("LS", "UB", "AV", "H0"),
        zero_cells=0.5,
    ),
)
