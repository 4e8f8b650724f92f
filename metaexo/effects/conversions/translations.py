# mypy: disable-error-code="empty-body"
"""Standardised mean differences and odds ratios in other words: overlap, superiority, correlations, risks.

They say to readers what an effect means; for analysis use the measures, which bring variances along.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.check import check_counts, check_events_within, check_sample_size, reads
from metaexo.effects.formulas import conversion
from metaexo.effects.papers import COHEN_POWER, MCGRAW_WONG, rests_on
from metaexo.errors import ShapeError
from metaexo.inputs import check_choice, check_level
from metaexo.types import Array


@rests_on(COHEN_POWER)
@conversion("below = Phi(abs(d) / 2)\nu1 = (2 * below - 1) / below")
def cohens_u1(d: ArrayLike) -> Array:
    """Return Cohen's U1: the share of the two distributions together that does not overlap.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Shares.

    Examples
    --------
    >>> cohens_u1(0.5).round(4)
    np.float64(0.3297)
    """


@rests_on(COHEN_POWER)
@conversion("u2 = Phi(d / 2)")
def cohens_u2(d: ArrayLike) -> Array:
    """Return Cohen's U2: the share of each group that lies beyond the same share of the other.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Shares.

    Examples
    --------
    >>> cohens_u2(0.5).round(4)
    np.float64(0.5987)
    """


@rests_on(COHEN_POWER)
@conversion("u3 = Phi(d)")
def cohens_u3(d: ArrayLike) -> Array:
    """Return Cohen's U3: the share of the controls below the average treated person.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Shares.

    Examples
    --------
    >>> cohens_u3(0.5).round(4)
    np.float64(0.6915)
    """


@conversion("overlap = 2 * Phi(-abs(d) / 2)")
def overlap(d: ArrayLike) -> Array:
    """Return the area that two normal densities share.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Overlapping areas, 0 to 1.

    References
    ----------
    Reiser & Faraggi (1999), The Statistician 48, 413-418, doi:10.1111/1467-9884.00199.

    Examples
    --------
    >>> overlap(0.5).round(4)
    np.float64(0.8026)
    """


@rests_on(MCGRAW_WONG)
@conversion("probability = Phi(d / sqrt(2))")
def superiority_of_d(d: ArrayLike) -> Array:
    """Return the probability that a treated person does better than an untreated one.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Probabilities.

    Examples
    --------
    >>> superiority_of_d(0.5).round(4)
    np.float64(0.6382)
    """


@rests_on(MCGRAW_WONG)
@conversion("d = sqrt(2) * z(probability)")
def d_of_superiority(probability: ArrayLike) -> Array:
    """Return the standardised mean difference of a probability of superiority.

    Parameters
    ----------
    probability : array_like
        Probabilities, 0 to 1.

    Returns
    -------
    ndarray
        Standardised mean differences; infinite at 0 and 1.

    Examples
    --------
    >>> d_of_superiority(0.75).round(4)
    np.float64(0.9539)
    """


@conversion("delta = 2 * Phi(d / sqrt(2)) - 1")
def cliffs_delta(d: ArrayLike) -> Array:
    """Return Cliff's delta of two normal groups.

    Parameters
    ----------
    d : array_like
        Standardised mean differences.

    Returns
    -------
    ndarray
        Values between -1 and 1.

    References
    ----------
    Cliff (1993), Psychological Bulletin 114, 494-509, doi:10.1037/0033-2909.114.3.494.

    Examples
    --------
    >>> cliffs_delta(0.5).round(4)
    np.float64(0.2763)
    """


@conversion("r = d / sqrt(d**2 + 4)\nrate = 0.5 + r / 2")
def success_rate(d: ArrayLike) -> Array:
    """Return the success rate of the treated in the binomial effect size display.

    Parameters
    ----------
    d : array_like
        Standardised mean differences of groups of one size.

    Returns
    -------
    ndarray
        Success rates; the controls have one minus it.

    References
    ----------
    Rosenthal & Rubin (1982), Journal of Educational Psychology 74, 166-169, doi:10.1037/0022-0663.74.2.166.

    Examples
    --------
    >>> success_rate(0.5).round(4)
    np.float64(0.6213)
    """


@reads
def tetrachoric_of_log_odds_ratio(log_odds_ratio: ArrayLike, formula: str = "pearson") -> Array:
    """Return an approximate tetrachoric correlation of a log odds ratio.

    Parameters
    ----------
    log_odds_ratio : array_like
        Log odds ratios.
    formula : {"pearson", "digby"}
        "pearson": cos(pi / (1 + sqrt(w))), w the odds ratio; "digby": (w^(3/4) - 1) / (w^(3/4) + 1).

    Returns
    -------
    ndarray
        Correlations.

    References
    ----------
    Pearson (1900), Philosophical Transactions of the Royal Society A 195, 1-47, doi:10.1098/rsta.1900.0022.
    Digby (1983), Biometrics 39, 753-757, doi:10.2307/2531104.

    Examples
    --------
    >>> tetrachoric_of_log_odds_ratio(1.0).round(4), tetrachoric_of_log_odds_ratio(1.0, "digby").round(4)
    (np.float64(0.3753), np.float64(0.3584))
    """
    x = np.asarray(log_odds_ratio, dtype=float)
    check_choice("formula", formula, ("pearson", "digby"))
    if formula == "digby":
        return np.asarray(np.tanh(0.375 * x))
    return np.asarray(np.cos(np.pi / (1 + np.exp(x / 2))))


@conversion("OR = exp(log_odds_ratio)\nrisk = control_risk * OR / (1 - control_risk + control_risk * OR)")
def risk_of_log_odds_ratio(log_odds_ratio: ArrayLike, control_risk: ArrayLike) -> Array:
    """Return the risk of the treated for a log odds ratio and the risk of the controls.

    Subtract the controls' risk for a risk difference, divide by it for a risk ratio.

    Parameters
    ----------
    log_odds_ratio, control_risk : array_like
        Log odds ratios, risks of the controls.

    Returns
    -------
    ndarray
        Risks of the treated.

    References
    ----------
    Grant (2014), BMJ 348, f7450, doi:10.1136/bmj.f7450.

    Examples
    --------
    >>> float(risk_of_log_odds_ratio(0.0, 0.2))
    0.2
    """


@reads
def clopper_pearson(events: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Return the exact confidence interval of a proportion.

    Use it for counts of single studies, above all where no or few events were seen: it holds its level for
    every n and every proportion, at the price of being wider than needed. With no event the lower end is 0,
    and with events in everyone the upper end is 1; the other end stays the bound of a two-sided interval.

        P(X >= x | low) = (1 - level) / 2 = P(X <= x | high)

    The ends are quantiles of beta distributions with (x, n - x + 1) and (x + 1, n - x).

    Parameters
    ----------
    events : array_like
        Numbers with the event; missing values give missing ends.
    n : array_like
        Sizes of the groups, of the same shape.
    level : float
        Level of the two-sided interval, between 0 and 1.

    Returns
    -------
    low, high : ndarray
        Ends as fractions, of the shape of the inputs.

    Raises
    ------
    EventsError
        If a number of events is negative, not whole or above n.
    SampleSizeError
        If a size is not a whole number of at least 1.
    ShapeError
        If the shapes differ.
    InputError
        If the level does not lie between 0 and 1.

    References
    ----------
    Clopper & Pearson (1934), Biometrika 26, 404-413, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> low, high = clopper_pearson([0, 1, 10], [10, 60, 10])
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.0, 0.0004, 0.6915], [0.3085, 0.0894, 1.0])
    """
    x, size = np.asarray(events, dtype=float), np.asarray(n, dtype=float)
    _check(x, size, level)
    tail = (1 - level) / 2
    low, high = np.zeros_like(x), np.ones_like(x)
    some, others = x > 0, x < size
    low[some] = special.betaincinv(x[some], (size - x + 1)[some], tail)
    high[others] = special.betainccinv((x + 1)[others], (size - x)[others], tail)
    missing = np.isnan(x) | np.isnan(size)
    low[missing] = high[missing] = np.nan
    return low, high


def _check(x: Array, size: Array, level: float) -> None:
    if x.shape != size.shape:
        raise ShapeError(f"events of shape {x.shape} and n of shape {size.shape}", "equal shapes")
    check_level(level)
    rows = [f"row {i + 1}" for i in range(x.size)]
    flat_x, flat_size = x.ravel(), size.ravel()
    check_counts("events", flat_x, rows)
    check_sample_size("n", flat_size, rows)
    check_events_within("events", flat_x, flat_size, rows)
