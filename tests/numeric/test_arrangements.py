"""Arrangements by their number: each of them once, whatever the block, and as many as are counted by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from metaexo.numeric.arrangements import Orders, monte_carlo_interval, share_of, sign_patterns


@pytest.mark.parametrize("kinds", ["0", "01234", "001", "000", "0110222", "101010", "0000000123"])
def test_every_distinct_arrangement_is_made_once(kinds: str) -> None:
    orders = Orders(np.array(list(map(int, kinds))))
    units = orders.numbered(0, orders.count)
    assert (np.sort(units, axis=1) == np.arange(len(kinds))).all()
    labels = np.empty_like(units)
    np.put_along_axis(labels, units, np.broadcast_to(orders.kinds, units.shape), axis=1)
    assert sorted(map(tuple, labels.tolist())) == sorted(set(permutations(map(int, kinds))))
    some = np.random.default_rng(0).integers(0, orders.count, 40)
    np.testing.assert_array_equal(orders.at(some), units[some])


def test_units_of_one_kind_stand_in_order_and_large_numbers_are_counted() -> None:
    orders = Orders(np.repeat([0, 1, 2], [150, 149, 1]))
    assert orders.count > 10**80
    assert Orders(np.arange(10)).count == 3_628_800
    last = Orders(np.arange(10)).at(np.array([0, 3_628_799]))
    assert [row.tolist() for row in last] == [list(range(10)), list(range(9, -1, -1))]


def test_signs_are_the_bits_of_the_number() -> None:
    assert len({tuple(row) for row in sign_patterns(np.arange(32), 5).tolist()}) == 32
    np.testing.assert_array_equal(sign_patterns(np.arange(7, 11), 5), sign_patterns(np.arange(32), 5)[7:11])


@pytest.mark.parametrize(("count", "drawn"), [(0, 99), (7, 99), (99, 99), (1, 9999)])
def test_the_monte_carlo_interval_is_that_of_clopper_and_pearson(count: int, drawn: int) -> None:
    low, high = monte_carlo_interval(count, drawn, 0.9)
    own = stats.binomtest(count, drawn).proportion_ci(0.9, "exact")
    assert (low, high) == pytest.approx((own.low, own.high), rel=1e-10)
    assert share_of(count, drawn, drawn=True) == (1 + count) / (1 + drawn)
    assert share_of(0, 10, drawn=False) == 0.1
