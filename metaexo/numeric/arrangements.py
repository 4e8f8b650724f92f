"""Arrangements of permutation tests: how many there are, any of them by its number, and p-values by counting.

An arrangement gives each of n places (rows of a design, labels) one of n units (effects, studies). Places
that are alike are interchangeable, so the distinct arrangements of places of G kinds, m_1, ..., m_G of each,
number n! / (m_1! ... m_G!). They are numbered in a mixed radix: a digit says which of the units that are left
the first kind takes, the next digit which the second takes of the others, and so on. So any block of them is
made by itself, without those before it.

References
----------
Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in
Genetics and Molecular Biology 9, 39. https://doi.org/10.2202/1544-6115.1585
Knuth, D. E. (2011). The Art of Computer Programming, volume 4A, sections 7.2.1.2 and 7.2.1.3. Addison-Wesley.
Clopper, C. J., Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated in the case of the
binomial. Biometrika 26, 404-413. https://doi.org/10.1093/biomet/26.4.404
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb, factorial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metaexo.errors import NotIdentifiableError
from metaexo.types import Array, Index, Mask

# Statistics that differ by less than this share count as equal: arrangements that give the same data.
TIE = 1e-8
# A contribution to the effects that is smaller than this share of the largest effect is rounding error.
NOTHING = 1e-12


def permutation_p(values: Array, observed: float, drawn: bool) -> float:
    """Return the share of the arrangements whose statistic is at least as large as the observed one.

    Statistics that differ by less than rounding error tie, infinite ones tie with infinite ones, and the
    arrangement of the data always counts, so the share is at least 1 / arrangements. The values are those of
    all arrangements, that of the data among them, or of drawn ones without it.

    Examples
    --------
    >>> permutation_p(np.array([np.inf, np.inf, 1.0, 2.0]), np.inf, drawn=False)
    0.5
    """
    refuse_undefined(int(np.isnan(values).sum()), len(values), bool(np.isnan(observed)))
    return share_of(int(as_extreme(values, observed).sum()), len(values), drawn)


def share_of(count: int, fitted: int, drawn: bool) -> float:
    """Return the p-value of a count of extreme arrangements among those fitted.

    The arrangement of the data counts: it is one of all, and comes beside drawn ones.
    """
    return (1 + count) / (1 + fitted) if drawn else max(count, 1) / fitted


def refuse_undefined(undefined: int, fitted: int, in_the_data: bool) -> None:
    """Raise if a statistic is undefined in the data or in some arrangements."""
    if undefined or in_the_data:
        raise NotIdentifiableError(
            "the test statistic is undefined in the data"
            if in_the_data
            else f"the test statistic is undefined in {undefined} of {fitted} rearrangements",
            "effects with some spread, and sampling variances above 0",
            'use another test or method, for example test="z" and method="REML"',
        )


def as_extreme(values: Array, observed: float) -> Mask:
    """Return which statistics are at least as large as the observed one, or as good as equal to it."""
    if np.isinf(observed):
        return np.asarray(values >= observed)
    return np.asarray(values >= observed - TIE * abs(observed))


def monte_carlo_interval(count: int, drawn: int, level: float) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for the p-value of all arrangements, from drawn ones.

    Examples
    --------
    >>> low, high = monte_carlo_interval(0, 99, 0.95)
    >>> low, round(high, 4)
    (0.0, 0.0366)
    """
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, drawn - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, drawn - count, 1 - tail)) if count < drawn else 1.0
    return low, high


def count_orders(repeats: Index) -> int:
    """Return the number of distinct orders of labels, of which each is there so many times."""
    total = factorial(int(repeats.sum()))
    for count in repeats:
        total //= factorial(int(count))
    return total


def sign_patterns(numbers: Index, units: int) -> Array:
    """Return the patterns of signs of these numbers, from 0 to 2^units, shape (B, units).

    Examples
    --------
    >>> sign_patterns(np.arange(4), 2).tolist()
    [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]
    """
    return np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(units)) & 1))


@dataclass(frozen=True, eq=False)
class Orders:
    """All distinct arrangements of places of several kinds.

    Examples
    --------
    Two places of one kind, and a third:

    >>> Orders(np.array([0, 0, 1])).numbered(0, 3).tolist()
    [[1, 2, 0], [0, 2, 1], [0, 1, 2]]
    """

    kinds: Index  # (n,): the kind of each place; kinds are numbered from 0

    @cached_property
    def members(self) -> tuple[Index, ...]:
        """The places of each kind; small kinds come first, since single places are the quickest."""
        places = [np.flatnonzero(self.kinds == kind) for kind in range(int(self.kinds.max()) + 1)]
        return tuple(sorted(places, key=len))

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return count_orders(np.array([part.size for part in self.members]))

    def numbered(self, begin: int, end: int) -> Index:
        """Return the arrangements numbered begin to end, shape (end - begin, n): the unit in each place."""
        return self.at(np.arange(begin, end))

    def at(self, numbers: Index) -> Index:
        """Return the arrangements of these numbers, from 0, shape (B, n): the unit in each place."""
        n, rest = self.kinds.size, numbers.astype(np.int64)
        small = np.uint8 if n < 256 else np.int32
        taken: list[NDArray[np.integer]] = []
        left = n
        for part in self.members:
            rest, digit = np.divmod(rest, comb(left, part.size))
            taken.append(_combination(digit, left, part.size).astype(small))
            left -= part.size
        # From the last kind to the first: its units are numbered among those that are left, and move up by
        # one for each unit of an earlier kind at or below them.
        units = np.empty((n, numbers.size), dtype=small)
        begin = n
        for own in reversed(taken):
            for one in own:
                units[begin:] += units[begin:] >= one
            begin -= len(own)
            units[begin : begin + len(own)] = own
        out = np.empty((numbers.size, n), dtype=np.intp)
        out[:, np.concatenate(self.members)] = units.T
        return out


def _combination(numbers: NDArray[np.int64], n: int, m: int) -> NDArray[np.int64]:
    """Return the m of n things that combinations of these numbers take, in rising order, shape (m, B)."""
    if m == 1:
        return numbers[None]
    if m == n:
        return np.broadcast_to(np.arange(n)[:, None], (n, numbers.size))
    out = np.empty((m, numbers.size), dtype=np.int64)
    rest, found = numbers.copy(), np.zeros(numbers.size, dtype=np.intp)
    every = np.arange(numbers.size)
    for thing in range(n):
        others = n - 1 - thing
        with_it = np.array([comb(others, m - 1 - f) for f in range(m)] + [0], dtype=np.int64)[found]
        takes = rest < with_it
        out[found[takes], every[takes]] = thing
        rest -= np.where(takes, 0, with_it)
        found += takes
    return out
