"""Comparisons of two proportions: risk ratio, odds ratio, risk difference.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
Zero cells are dealt with before (see :mod:`metaexo.effects.zero_cells`).

Comparisons of two proportions that need no correction for zeros: arcsine difference and Peto's odds ratio.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.

Association in a 2 x 2 table: phi, its Fisher z, and Yule's Q and Y.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.corrections import average_over_rows
from metaexo.effects.measure import Measure, identity, register
from metaexo.effects.measures.biserial import fisher_z
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


def phi_coefficient(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    *,
    variance: str = "CS",
) -> tuple[Array, Array]:
    """Return the phi coefficient: the correlation of group and event.

    Use it to bring 2 x 2 tables into a synthesis of correlations. With cells a, b (treated with and without
    event), c, d (controls) and N their sum,

        y = (a d - b c) / sqrt((a + b) (c + d) (a + c) (b + d))

    The variance is that of a table of N people drawn at random ("CS", "LS") or of two groups whose sizes
    were fixed ("ST"); see the reference for the formulas.

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers with the event.
    treatment_n, control_n : ndarray
        Sizes of the groups.
    variance : {"CS", "LS", "ST"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        Correlations and sampling variances; 0 where phi is -1 or 1.

    References
    ----------
    Bishop, Fienberg & Holland (1975), Discrete Multivariate Analysis, section 11.2,
    doi:10.1007/978-0-387-72806-3.

    Examples
    --------
    >>> y, v = phi_coefficient(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.3333]), array([0.0148]))
    """
    total = treatment_n + control_n
    p1, p2 = treatment_events / treatment_n, control_events / control_n
    share, risk = treatment_n / total, (treatment_events + control_events) / total
    spread = np.sqrt(share * (1 - share))
    of_risk = np.sqrt(risk * (1 - risk))
    phi = (p1 - p2) * spread / of_risk
    # all with the event in one group and none in the other: -1 or 1, whatever the rounding
    separated = np.abs(p1 - p2) == 1
    phi = np.where(separated, p1 - p2, np.clip(phi, -1, 1))
    if variance == "ST":
        tilt = (p1 - p2) * (1 - 2 * risk) / (2 * of_risk**3)
        slope_1 = spread * (1 / of_risk - tilt * share)
        slope_2 = spread * (1 / of_risk + tilt * (1 - share))
        v = slope_1**2 * p1 * (1 - p1) / treatment_n + slope_2**2 * p2 * (1 - p2) / control_n
        return phi, np.where(separated, 0.0, v)
    skew_1, skew_2 = (2 * share - 1) / spread, (2 * risk - 1) / of_risk
    inner = 1 - phi**2 + phi * (1 + 0.5 * phi**2) * skew_1 * skew_2
    v = (inner - 0.75 * phi**2 * (skew_1**2 + skew_2**2)) / total
    return phi, np.where(separated, 0.0, v)


def phi_z(
    treatment_events: Array,
    treatment_n: Array,
    control_events: Array,
    control_n: Array,
    *,
    variance: str = "CS",
) -> tuple[Array, Array]:
    """Return Fisher's z of the phi coefficient; see :func:`phi_coefficient`.

    Parameters
    ----------
    treatment_events, treatment_n, control_events, control_n : ndarray
        Events and sizes of the groups.
    variance : {"CS", "LS", "ST"}
        Type of sampling variance.

    Returns
    -------
    y, v : ndarray
        z and sampling variances.

    Examples
    --------
    >>> y, v = phi_z(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.3466]), array([0.0188]))
    """
    return fisher_z(
        *phi_coefficient(treatment_events, treatment_n, control_events, control_n, variance=variance)
    )


def yules_q(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return Yule's Q: the odds ratio w as (w - 1) / (w + 1).

    Use it to show an odds ratio between -1 and 1; v = (1 - y^2)^2 / 4 times the variance of the log odds
    ratio.

    Parameters
    ----------
    treatment_events, treatment_n, control_events, control_n : ndarray
        Events and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Q and sampling variances; NaN where a cell is zero.

    References
    ----------
    Yule (1912), Journal of the Royal Statistical Society 75, 579-652, doi:10.2307/2340126.

    Examples
    --------
    >>> y, v = yules_q(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.6]), array([0.0307]))
    """
    log_or, v = log_odds_ratio(treatment_events, treatment_n, control_events, control_n)
    y = np.tanh(np.where(np.isfinite(log_or), log_or, np.nan) / 2)
    return y, (1 - y**2) ** 2 / 4 * v


def yules_y(
    treatment_events: Array, treatment_n: Array, control_events: Array, control_n: Array
) -> tuple[Array, Array]:
    """Return Yule's Y: the odds ratio w as (sqrt(w) - 1) / (sqrt(w) + 1).

    v = (1 - y^2)^2 / 16 times the variance of the log odds ratio.

    Parameters
    ----------
    treatment_events, treatment_n, control_events, control_n : ndarray
        Events and sizes of the groups.

    Returns
    -------
    y, v : ndarray
        Y and sampling variances; NaN where a cell is zero.

    References
    ----------
    Yule (1912), Journal of the Royal Statistical Society 75, 579-652, doi:10.2307/2340126.

    Examples
    --------
    >>> y, v = yules_y(*np.array([[10.0], [30.0], [20.0], [30.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.3333]), array([0.0148]))
    """
    log_or, v = log_odds_ratio(treatment_events, treatment_n, control_events, control_n)
    y = np.tanh(np.where(np.isfinite(log_or), log_or, np.nan) / 4)
    return y, (1 - y**2) ** 2 / 16 * v


_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]]], ...] = (
    ("PHI", "phi coefficient", phi_coefficient),
    ("ZPHI", "phi coefficient, Fisher's z", phi_z),
    ("YUQ", "Yule's Q", yules_q),
    ("YUY", "Yule's Y", yules_y),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family="two groups, events",
            inputs=EVENTS,
            compute=compute,
            null=0.0,
            display="Correlation" if "PHI" in code else name,
            back=np.tanh if code == "ZPHI" else identity,
            reference="10.1007/978-0-387-72806-3" if "PHI" in code else "10.2307/2340126",
            variances=("CS", "LS", "ST") if "PHI" in code else (),
            zero_cells=0.0 if "PHI" in code else 0.5,
        )
        for code, name, compute in _RECORDS
    )
)
