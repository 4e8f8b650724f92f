"""Association in a 2 x 2 table: phi, its Fisher z, and Yule's Q and Y.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.biserial import fisher_z
from metaexo.effects.measure import Measure, identity, register
from metaexo.effects.two_proportions import log_odds_ratio
from metaexo.types import Array

EVENTS = ("treatment_events", "treatment_n", "control_events", "control_n")


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
