"""Events per person-time: rates of one group and comparisons of two.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.conversions.scales import inverse_freeman_tukey_rate
from metaexo.effects.measure import BackBySize, Measure, identity, register
from metaexo.types import Array

TWO = ("treatment_events", "treatment_time", "control_events", "control_time")
ONE = ("events", "time")


def log_rate_ratio(
    treatment_events: Array, treatment_time: Array, control_events: Array, control_time: Array
) -> tuple[Array, Array]:
    """Return the log ratio of two incidence rates.

    Use it when one person can have several events or people were followed for different times.

        y = log(x1 / t1) - log(x2 / t2),  v = 1 / x1 + 1 / x2

    Parameters
    ----------
    treatment_events, control_events : ndarray
        Numbers of events.
    treatment_time, control_time : ndarray
        Person-times, in one unit.

    Returns
    -------
    y, v : ndarray
        Log rate ratios and sampling variances.

    References
    ----------
    Bagos & Nikolopoulos (2009), International Journal of Biostatistics 5(1), 21, doi:10.2202/1557-4679.1168.

    Examples
    --------
    >>> y, v = log_rate_ratio(*np.array([[10.0], [100.0], [20.0], [100.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.6931]), array([0.15]))
    """
    y = np.log(treatment_events / treatment_time) - np.log(control_events / control_time)
    return y, 1 / treatment_events + 1 / control_events


def rate_difference(
    treatment_events: Array, treatment_time: Array, control_events: Array, control_time: Array
) -> tuple[Array, Array]:
    """Return the difference of two incidence rates: y = x1/t1 - x2/t2, v = x1/t1^2 + x2/t2^2.

    Use it when the number of events prevented per person-time is wanted.

    Parameters
    ----------
    treatment_events, treatment_time, control_events, control_time : ndarray
        Events and person-times of the groups.

    Returns
    -------
    y, v : ndarray
        Rate differences and sampling variances.

    References
    ----------
    Bagos & Nikolopoulos (2009), International Journal of Biostatistics 5(1), 21, doi:10.2202/1557-4679.1168.

    Examples
    --------
    >>> y, v = rate_difference(*np.array([[10.0], [100.0], [20.0], [100.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.1]), array([0.003]))
    """
    y = treatment_events / treatment_time - control_events / control_time
    return y, treatment_events / treatment_time**2 + control_events / control_time**2


def root_rate_difference(
    treatment_events: Array, treatment_time: Array, control_events: Array, control_time: Array
) -> tuple[Array, Array]:
    """Return the difference of square-root rates: y = sqrt(x1/t1) - sqrt(x2/t2), v = 1/(4 t1) + 1/(4 t2).

    Use it for rare events: zeros need no correction, and the variance does not depend on the events.

    Parameters
    ----------
    treatment_events, treatment_time, control_events, control_time : ndarray
        Events and person-times of the groups.

    Returns
    -------
    y, v : ndarray
        Differences and sampling variances.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> y, v = root_rate_difference(*np.array([[0.0], [100.0], [4.0], [100.0]]))
    >>> y.round(4), v.round(4)
    (array([-0.2]), array([0.005]))
    """
    y = np.sqrt(treatment_events / treatment_time) - np.sqrt(control_events / control_time)
    return y, 1 / (4 * treatment_time) + 1 / (4 * control_time)


def rate(events: Array, time: Array) -> tuple[Array, Array]:
    """Return an incidence rate: y = x / t, v = x / t^2.

    Parameters
    ----------
    events, time : ndarray
        Numbers of events and person-times.

    Returns
    -------
    y, v : ndarray
        Rates and sampling variances.

    References
    ----------
    Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed., chapter 14.

    Examples
    --------
    >>> y, v = rate(np.array([10.0]), np.array([100.0]))
    >>> float(y[0]), float(v[0])
    (0.1, 0.001)
    """
    return events / time, events / time**2


def log_rate(events: Array, time: Array) -> tuple[Array, Array]:
    """Return a log incidence rate: y = log(x / t), v = 1 / x.

    Use it as the usual scale for rates.

    Parameters
    ----------
    events, time : ndarray
        Numbers of events and person-times.

    Returns
    -------
    y, v : ndarray
        Log rates and sampling variances.

    References
    ----------
    Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed., chapter 14.

    Examples
    --------
    >>> y, v = log_rate(np.array([10.0]), np.array([100.0]))
    >>> y.round(4), float(v[0])
    (array([-2.3026]), 0.1)
    """
    return np.log(events / time), 1 / events


def root_rate(events: Array, time: Array) -> tuple[Array, Array]:
    """Return the square root of an incidence rate: y = sqrt(x / t), v = 1 / (4 t).

    Use it for rare events: zeros need no correction.

    Parameters
    ----------
    events, time : ndarray
        Numbers of events and person-times.

    Returns
    -------
    y, v : ndarray
        Square-root rates and sampling variances.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> y, v = root_rate(np.array([4.0]), np.array([100.0]))
    >>> float(y[0]), float(v[0])
    (0.2, 0.0025)
    """
    return np.sqrt(events / time), 1 / (4 * time)


def freeman_tukey_rate(events: Array, time: Array) -> tuple[Array, Array]:
    """Return the Freeman-Tukey transform of a rate: y = (sqrt(x/t) + sqrt((x+1)/t)) / 2, v = 1 / (4 t).

    Use it for rare events. The way back to a rate needs a person-time
    (:func:`metaexo.effects.inverse_freeman_tukey_rate`): each study is shown with its own, a pooled value
    with the harmonic mean of the studies' person-times.

    Parameters
    ----------
    events, time : ndarray
        Numbers of events and person-times.

    Returns
    -------
    y, v : ndarray
        Transformed rates and sampling variances.

    References
    ----------
    Freeman & Tukey (1950), Annals of Mathematical Statistics 21, 607-611, doi:10.1214/aoms/1177729756.

    Examples
    --------
    >>> y, v = freeman_tukey_rate(np.array([0.0]), np.array([100.0]))
    >>> float(y[0]), float(v[0])
    (0.05, 0.0025)
    """
    return (np.sqrt(events / time) + np.sqrt((events + 1) / time)) / 2, 1 / (4 * time)


def square(values: Array) -> Array:
    """Return the square of values cut at 0: the way back from a square root.

    Examples
    --------
    >>> square(np.array([-0.1, 0.2])).round(3)
    array([0.  , 0.04])
    """
    return np.asarray(np.maximum(values, 0.0) ** 2)


Compute = Callable[..., tuple[Array, Array]]

# code, name, function, display, way back, added to zero cells
_TWO: tuple[tuple[str, str, Compute, str, Callable[[Array], Array], float], ...] = (
    ("IRR", "log rate ratio", log_rate_ratio, "Rate ratio", np.exp, 0.5),
    ("IRD", "rate difference", rate_difference, "Rate difference", identity, 0.5),
    (
        "IRSD",
        "square-root rate difference",
        root_rate_difference,
        "Square-root rate difference",
        identity,
        0.0,
    ),
)
_ONE: tuple[tuple[str, str, Compute, Callable[[Array], Array], float], ...] = (
    ("IR", "rate", rate, identity, 0.5),
    ("IRLN", "log rate", log_rate, np.exp, 0.5),
    ("IRS", "square-root rate", root_rate, square, 0.0),
    ("IRFT", "Freeman-Tukey transform of a rate", freeman_tukey_rate, square, 0.0),
)
# v = 1 / (4 t), so that the sampling variance tells the person-time
_BY_TIME = BackBySize(inverse_freeman_tukey_rate, lambda v: 1 / (4 * v))

register(
    *(
        Measure(
            code=code,
            name=name,
            family="two groups, person-time",
            inputs=TWO,
            compute=compute,
            null=0.0,
            display=display,
            back=back,
            display_log=code == "IRR",
            reference="10.2202/1557-4679.1168",
            zero_cells=add,
        )
        for code, name, compute, display, back, add in _TWO
    ),
    *(
        Measure(
            code=code,
            name=name,
            family="one group, person-time",
            inputs=ONE,
            compute=compute,
            null=float("nan"),
            display="Rate",
            back=back,
            display_log=code == "IRLN",
            orientation="none",
            reference="10.1214/aoms/1177729756",
            zero_cells=add,
            by_size=_BY_TIME if code == "IRFT" else None,
        )
        for code, name, compute, back, add in _ONE
    ),
)
