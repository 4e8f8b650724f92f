"""Events of matched pairs: the same people twice, or both halves of a face.

All functions take arrays of one shape, one entry a study, and return effects and sampling variances. The
pairs fall into four cells: the event on both sides, on the first only, on the second only, on neither.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaexo.effects.measure import Alternative, Measure, identity, register
from metaexo.types import Array

FAMILY = "matched pairs, events"
CELLS = ("both", "first_only", "second_only", "neither")
ROUNDING = 1e-9
MARGINS = ("first_events", "second_events", "n")


def matched_risk_ratio(
    both: Array, first_only: Array, second_only: Array, neither: Array
) -> tuple[Array, Array]:
    """Return the log ratio of the two marginal risks of matched pairs.

    Use it for split-face and before-after counts. With cells a (both), b (first only), c (second only),

        y = log((a + b) / (a + c)),  v = (b + c) / ((a + b) (a + c))

    Parameters
    ----------
    both, first_only, second_only, neither : ndarray
        Numbers of pairs with the event on both sides, on the first only, on the second only, on neither.

    Returns
    -------
    y, v : ndarray
        Log risk ratios, first against second, and sampling variances.

    References
    ----------
    Zou (2007), Statistics in Medicine 26, 2958-2978, doi:10.1002/sim.2769.

    Examples
    --------
    >>> y, v = matched_risk_ratio(*np.array([[20.0], [10.0], [5.0], [15.0]]))
    >>> y.round(4), v.round(4)
    (array([0.1823]), array([0.02]))
    """
    del neither
    first, second = both + first_only, both + second_only
    return np.log(first / second), (first_only + second_only) / (first * second)


def matched_risk_difference(
    both: Array, first_only: Array, second_only: Array, neither: Array
) -> tuple[Array, Array]:
    """Return the difference of the two marginal risks of matched pairs.

    With n pairs, b first only and c second only,

        y = (b - c) / n,  v = ((b + c) / n - y^2) / n

    Parameters
    ----------
    both, first_only, second_only, neither : ndarray
        Numbers of pairs, as in :func:`matched_risk_ratio`.

    Returns
    -------
    y, v : ndarray
        Risk differences, first minus second, and sampling variances.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, 2635-2650,
    doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C.

    Examples
    --------
    >>> y, v = matched_risk_difference(*np.array([[20.0], [10.0], [5.0], [15.0]]))
    >>> y.round(4), v.round(4)
    (array([0.1]), array([0.0058]))
    """
    n = both + first_only + second_only + neither
    y = (first_only - second_only) / n
    return y, ((first_only + second_only) / n - y**2) / n


def matched_odds_ratio(
    both: Array, first_only: Array, second_only: Array, neither: Array
) -> tuple[Array, Array]:
    """Return the log ratio of the two marginal odds of matched pairs.

    Use it to set matched studies beside studies of two independent groups. With marginal risks p1, p2 and
    p the share with the event on both sides,

        y = logit(p1) - logit(p2)
        v = (1/(p1 q1) + 1/(p2 q2) - 2 (p - p1 p2) / (p1 q1 p2 q2)) / n,  q = 1 - p

    Parameters
    ----------
    both, first_only, second_only, neither : ndarray
        Numbers of pairs, as in :func:`matched_risk_ratio`.

    Returns
    -------
    y, v : ndarray
        Log odds ratios, first against second, and sampling variances.

    References
    ----------
    Elbourne et al. (2002), International Journal of Epidemiology 31, 140-149, doi:10.1093/ije/31.1.140.

    Examples
    --------
    >>> y, v = matched_odds_ratio(*np.array([[20.0], [10.0], [5.0], [15.0]]))
    >>> y.round(4), v.round(4)
    (array([0.4055]), array([0.0967]))
    """
    n = both + first_only + second_only + neither
    return _marginal_odds_ratio(both + first_only, both + second_only, both / n, n)


def conditional_odds_ratio(
    both: Array, first_only: Array, second_only: Array, neither: Array
) -> tuple[Array, Array]:
    """Return the log odds ratio within pairs: y = log(b / c), v = 1/b + 1/c.

    Use it for the effect on one person (pair) rather than on the population.

    Parameters
    ----------
    both, first_only, second_only, neither : ndarray
        Numbers of pairs, as in :func:`matched_risk_ratio`.

    Returns
    -------
    y, v : ndarray
        Log odds ratios, first against second, and sampling variances.

    References
    ----------
    Curtin, Elbourne & Altman (2002), Statistics in Medicine 21, 2145-2159, doi:10.1002/sim.1206.
    Breslow & Day (1980), Statistical Methods in Cancer Research I, chapter 5, IARC.

    Examples
    --------
    >>> y, v = conditional_odds_ratio(*np.array([[20.0], [10.0], [5.0], [15.0]]))
    >>> y.round(4), v.round(4)
    (array([0.6931]), array([0.3]))
    """
    del both, neither
    return np.log(first_only / second_only), 1 / first_only + 1 / second_only


def conditional_peto(
    both: Array, first_only: Array, second_only: Array, neither: Array
) -> tuple[Array, Array]:
    """Return Peto's log odds ratio within pairs: y = 2 (b - c) / (b + c), v = 4 / (b + c).

    Use it when a cell of discordant pairs is empty and no correction is wanted.

    Parameters
    ----------
    both, first_only, second_only, neither : ndarray
        Numbers of pairs, as in :func:`matched_risk_ratio`.

    Returns
    -------
    y, v : ndarray
        Log odds ratios, first against second, and sampling variances.

    References
    ----------
    Curtin, Elbourne & Altman (2002), Statistics in Medicine 21, 2145-2159, doi:10.1002/sim.1206.

    Examples
    --------
    >>> y, v = conditional_peto(*np.array([[20.0], [10.0], [5.0], [15.0]]))
    >>> y.round(4), v.round(4)
    (array([0.6667]), array([0.2667]))
    """
    del both, neither
    discordant = first_only + second_only
    return 2 * (first_only - second_only) / discordant, 4 / discordant


def odds_ratio_of_margins(
    first_events: Array, second_events: Array, n: Array, phi: Array
) -> tuple[Array, Array]:
    """Return the marginal log odds ratio of pairs from the two margins and the correlation of the pairs.

    Use it when a matched study reports each side's events but not the pairs. The share of pairs with the
    event on both sides is p1 p2 + phi sqrt(p1 q1 p2 q2), and the rest as in :func:`matched_odds_ratio`:

        y = logit(p1) - logit(p2)
        v = (1/(p1 q1) + 1/(p2 q2) - 2 phi / sqrt(p1 q1 p2 q2)) / n,  q = 1 - p

    Parameters
    ----------
    first_events, second_events : ndarray
        Numbers with the event on the first and on the second side.
    n : ndarray
        Numbers of pairs.
    phi : ndarray
        Correlation (phi) of the two sides over pairs.

    Returns
    -------
    y, v : ndarray
        Log odds ratios, first against second, and sampling variances; see :func:`matched_odds_ratio`.

    References
    ----------
    Elbourne et al. (2002), International Journal of Epidemiology 31, 140-149, doi:10.1093/ije/31.1.140.

    Examples
    --------
    >>> y, v = odds_ratio_of_margins(*np.array([[30.0], [25.0], [50.0], [0.408248]]))
    >>> y.round(4), v.round(4)
    (array([0.4055]), array([0.0967]))
    """
    p1, p2 = first_events / n, second_events / n
    both = p1 * p2 + phi * np.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    return _marginal_odds_ratio(first_events, second_events, both, n)


def odds_ratio_of_margins_and_share(
    first_events: Array, second_events: Array, n: Array, both_share: Array
) -> tuple[Array, Array]:
    """Return the marginal log odds ratio of pairs from the margins and the share with the event on both.

    Parameters
    ----------
    first_events, second_events, n : ndarray
        As in :func:`odds_ratio_of_margins`.
    both_share : ndarray
        Share of all pairs with the event on both sides.

    Returns
    -------
    y, v : ndarray
        Log odds ratios, first against second, and sampling variances; no variance where the share and the
        margins contradict each other.

    References
    ----------
    Elbourne et al. (2002), International Journal of Epidemiology 31, 140-149, doi:10.1093/ije/31.1.140.

    Examples
    --------
    >>> y, v = odds_ratio_of_margins_and_share(*np.array([[30.0], [25.0], [50.0], [0.4]]))
    >>> y.round(4), v.round(4)
    (array([0.4055]), array([0.0967]))
    """
    return _marginal_odds_ratio(first_events, second_events, both_share, n)


def _marginal_odds_ratio(first: Array, second: Array, both: Array, n: Array) -> tuple[Array, Array]:
    """Return the log ratio of marginal odds, given the share of pairs with the event on both sides."""
    p1, p2 = first / n, second / n
    s1, s2 = p1 * (1 - p1), p2 * (1 - p2)
    y = np.log(p1 / (1 - p1)) - np.log(p2 / (1 - p2))
    possible = (both <= np.minimum(p1, p2) + ROUNDING) & (both >= p1 + p2 - 1 - ROUNDING)
    v = (1 / s1 + 1 / s2 - 2 * (both - p1 * p2) / (s1 * s2)) / n
    return y, np.where(possible, v, np.nan)


_RECORDS: tuple[tuple[str, str, Callable[..., tuple[Array, Array]], str, str], ...] = (
    ("MPRR", "log risk ratio of matched pairs", matched_risk_ratio, "Risk ratio", "10.1002/sim.2769"),
    (
        "MPOR",
        "marginal log odds ratio of matched pairs",
        matched_odds_ratio,
        "Odds ratio",
        "10.1093/ije/31.1.140",
    ),
    (
        "MPRD",
        "risk difference of matched pairs",
        matched_risk_difference,
        "Risk difference",
        "10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C",
    ),
    (
        "MPORC",
        "conditional log odds ratio of matched pairs",
        conditional_odds_ratio,
        "Odds ratio",
        "10.1002/sim.1206",
    ),
    (
        "MPPETO",
        "conditional log odds ratio, Peto's method",
        conditional_peto,
        "Odds ratio",
        "10.1002/sim.1206",
    ),
)

register(
    *(
        Measure(
            code=code,
            name=name,
            family=FAMILY,
            inputs=CELLS,
            compute=compute,
            null=0.0,
            display=display,
            back=identity if code == "MPRD" else np.exp,
            display_log=code != "MPRD",
            reference=reference,
            zero_cells=0.0 if code == "MPPETO" else 0.5,
        )
        for code, name, compute, display, reference in _RECORDS
    ),
    Measure(
        code="MPORM",
        name="marginal log odds ratio of matched pairs from margins",
        family=FAMILY,
        inputs=(*MARGINS, "phi"),
        compute=odds_ratio_of_margins,
        null=0.0,
        display="Odds ratio",
        back=np.exp,
        display_log=True,
        reference="10.1093/ije/31.1.140",
        zero_cells=0.5,
        alternatives=(
            Alternative(
                (*MARGINS, "both_share"),
                odds_ratio_of_margins_and_share,
                "share of pairs with both events",
            ),
        ),
    ),
)
