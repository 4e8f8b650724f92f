"""Exact confidence intervals of single proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metaexo.effects.arguments import reads
from metaexo.effects.check import check_counts, check_events_within, check_sample_size
from metaexo.errors import ShapeError
from metaexo.inputs import check_level
from metaexo.types import Array


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
