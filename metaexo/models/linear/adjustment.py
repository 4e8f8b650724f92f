"""P-values adjusted for their number.

With q p-values in order, p(1) the smallest, the adjusted ones are, never above 1 and in the same order:

- Bonferroni q p(i), Sidak 1 - (1 - p(i))^q;
- Holm the largest of (q - j + 1) p(j) up to i, Holm-Sidak the same of 1 - (1 - p(j))^(q - j + 1);
- Hochberg the smallest of (q - j + 1) p(j) from i on;
- Hommel the largest p-value of Simes of all sets of hypotheses with this one;
- Benjamini-Hochberg the smallest of q p(j) / j from i on; Benjamini-Yekutieli that times 1 + 1/2 + ... + 1/q.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import InputError
from metaexo.inputs import read_numbers
from metaexo.models.linear.choices import get_adjustment
from metaexo.types import Array


def _times(p: Array, count: Array | int) -> Array:
    return np.asarray(p * count)


def _any_of(p: Array, count: Array | int) -> Array:
    """Return the chance that the smallest of this many independent p-values is no larger."""
    with np.errstate(divide="ignore"):  # of log(0) where p is 1
        return np.asarray(-np.expm1(count * np.log1p(-p)))


def _down(p: Array, by: Callable[[Array, Array | int], Array]) -> Array:
    return np.asarray(np.maximum.accumulate(by(p, np.arange(p.size, 0.0, -1.0))))


def _up(p: Array) -> Array:
    return np.asarray(np.minimum.accumulate(p[::-1])[::-1])


def _hochberg(p: Array) -> Array:
    return _up(p * np.arange(p.size, 0, -1))


def _hommel(p: Array) -> Array:
    """Of the sets of one size with a hypothesis, that with the largest other p-values decides."""
    adjusted = p
    for size in range(2, p.size + 1):
        simes = (size * p[-size:] / np.arange(1, size + 1)).min()
        adjusted = np.maximum(adjusted, np.minimum(size * p, simes))
    return adjusted


def _benjamini_hochberg(p: Array) -> Array:
    return _up(p * (p.size / np.arange(1, p.size + 1)))


def _benjamini_yekutieli(p: Array) -> Array:
    return np.asarray(_benjamini_hochberg(p * (1 / np.arange(1, p.size + 1)).sum()))


# Of p-values in order.
ADJUSTMENTS: dict[str, Callable[[Array], Array]] = {
    "bonferroni": lambda p: _times(p, p.size),
    "holm": lambda p: _down(p, _times),
    "sidak": lambda p: _any_of(p, p.size),
    "holm-sidak": lambda p: _down(p, _any_of),
    "hochberg": _hochberg,
    "hommel": _hommel,
    "benjamini-hochberg": _benjamini_hochberg,
    "benjamini-yekutieli": _benjamini_yekutieli,
}


def adjust_pvalues(pvalues: ArrayLike, how: str) -> Array:
    """Return p-values adjusted for their number.

    Use it where several tests answer one question; Holm's keeps the chance of any false claim below the
    level whatever the dependence.

    Parameters
    ----------
    pvalues : array_like, shape (q,)
        Unadjusted p-values.
    how : {"holm", "bonferroni", "sidak", "holm-sidak", "hochberg", "hommel", "benjamini-hochberg", \
"benjamini-yekutieli"}
        The last two bound the expected share of false claims instead.

    Returns
    -------
    ndarray, shape (q,)
        Adjusted p-values, at most 1; NaN stays NaN and does not count.

    Raises
    ------
    UnknownChoiceError
        If `how` is not known.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of
    Statistics 6, 65-70. https://www.jstor.org/stable/4615733
    Hochberg, Y. (1988). https://doi.org/10.1093/biomet/75.4.800
    Hommel, G. (1988). https://doi.org/10.1093/biomet/75.2.383
    Benjamini, Y., Hochberg, Y. (1995). https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    Benjamini, Y., Yekutieli, D. (2001). https://doi.org/10.1214/aos/1013699998

    Examples
    --------
    >>> adjust_pvalues([0.01, 0.04, 0.03], "holm").round(3)
    array([0.03, 0.06, 0.06])
    """
    how = get_adjustment(how, ADJUSTMENTS)
    p = read_numbers(pvalues, "pvalues", ndim=1)
    if ((p < 0) | (p > 1)).any():
        raise InputError("some p-values lie outside 0 to 1", "p-values from 0 to 1, NaN where there is none")
    known = ~np.isnan(p)
    out = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: known.sum()]  # NaN is last
    out[order] = np.minimum(ADJUSTMENTS[how](p[order]), 1.0)
    return out
