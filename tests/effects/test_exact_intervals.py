"""Clopper and Pearson's interval: its definition, closed forms, symmetry, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.effects.conversions.translations import clopper_pearson
from metaexo.errors import EventsError, InputError, SampleSizeError, ShapeError


def binomial_tail(x: int, n: int, p: float, upper: bool) -> float:
    """Return P(X >= x) or P(X <= x), summed term by term."""
    counts = range(x, n + 1) if upper else range(x + 1)
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in counts)


@st.composite
def counts(draw):
    n = draw(st.integers(1, 60))
    return draw(st.integers(0, n)), n


@given(counts(), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ends_cut_off_equal_tails(pair, level):
    x, n = pair
    low, high = (float(end) for end in clopper_pearson(x, n, level))
    tail = (1 - level) / 2
    if x > 0:
        assert binomial_tail(x, n, low, upper=True) == pytest.approx(tail, rel=1e-9)
    if x < n:
        assert binomial_tail(x, n, high, upper=False) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize("n", [1, 5, 33, 300])
def test_no_event_and_only_events_have_closed_forms(n):
    low, high = clopper_pearson([0, n], [n, n])
    end = 0.025 ** (1 / n)
    assert low[0] == 0
    assert high[0] == pytest.approx(1 - end, rel=1e-12)
    assert low[1] == pytest.approx(end, rel=1e-12)
    assert high[1] == 1


@given(counts())
def test_counting_the_others_turns_the_interval_round(pair):
    x, n = pair
    low, high = clopper_pearson(x, n)
    other_low, other_high = clopper_pearson(n - x, n)
    assert float(other_low) == pytest.approx(1 - float(high), abs=1e-13)
    assert float(other_high) == pytest.approx(1 - float(low), abs=1e-13)


def test_a_higher_level_is_wider_and_shapes_stay():
    events, n = np.array([[0, 1], [3, 7]]), np.array([[5, 60], [9, 7]])
    narrow, wide = clopper_pearson(events, n, 0.9), clopper_pearson(events, n, 0.99)
    assert narrow[0].shape == (2, 2)
    assert (wide[0] <= narrow[0]).all()
    assert (wide[1] >= narrow[1]).all()


def test_missing_counts_give_missing_ends():
    low, high = clopper_pearson([np.nan, 0, 1], [10, np.nan, 10])
    assert np.isnan(low[:2]).all()
    assert np.isnan(high[:2]).all()
    assert low[2] > 0


@pytest.mark.parametrize(
    ("events", "n", "level", "error"),
    [
        ([3], [2], 0.95, EventsError),
        ([-1], [2], 0.95, EventsError),
        ([0.5], [2], 0.95, EventsError),
        ([0], [0], 0.95, SampleSizeError),
        ([0, 1], [2], 0.95, ShapeError),
        ([0], [2], 95, InputError),
        ([0], [2], 1.0, InputError),
    ],
)
def test_what_is_no_proportion_is_refused(events, n, level, error):
    with pytest.raises(error):
        clopper_pearson(events, n, level)


@pytest.mark.parametrize("level", ["0.95", None, True, 95, float("nan")])
def test_a_level_that_is_no_fraction_is_refused_in_words(level):
    with pytest.raises(InputError, match="level"):
        clopper_pearson(3, 10, level)
