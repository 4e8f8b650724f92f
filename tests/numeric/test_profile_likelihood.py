"""Profile-likelihood bounds by their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.numeric.likelihood import log_likelihood
from metaexo.numeric.likelihood_maximum import local_maxima, profile_likelihood_interval
from metaexo.numeric.problem import make_batch

DROP = 1.9207294103470617  # half the 95% point of chi-square with one degree of freedom


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("p", [1, 2])
def test_the_likelihood_at_the_bounds_has_dropped_by_half_the_quantile(restricted: bool, p: int) -> None:
    rng = np.random.default_rng(p)
    v = rng.uniform(0.01, 0.3, 12)
    x = np.column_stack([np.ones(12), rng.normal(size=(12, p - 1))])
    batch = make_batch(rng.normal(0, np.sqrt(v + 3.0)), v, x if p > 1 else None)
    low, high = profile_likelihood_interval(batch, restricted, DROP)
    problem, places = local_maxima(batch, restricted)
    best = log_likelihood(batch.take(problem), places, restricted).max()
    assert 0 < low[0] < places.max() < high[0]
    for bound in (low, high):
        assert log_likelihood(batch, bound, restricted)[0] == pytest.approx(best - DROP, abs=1e-9)


@given(seed=st.integers(0, 1_000_000), spread=st.floats(0, 8))
def test_no_value_outside_the_bounds_is_in_the_set(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 10))
    v = 10 ** rng.uniform(-spread / 2, spread / 2, k)
    batch = make_batch(rng.normal(0, np.sqrt(v + 10 ** rng.uniform(-3, 3))), v)
    low, high = profile_likelihood_interval(batch, True, DROP)
    problem, places = local_maxima(batch, True)
    best = log_likelihood(batch.take(problem), places, True).max()
    grid = np.concatenate([[0.0], np.geomspace(1e-6 * v.min(), 1e3 * (high[0] + v.max()), 400)])
    heights = np.array([log_likelihood(batch, np.array([t]), True)[0] for t in grid])
    inside = heights >= best - DROP + 1e-9 * max(1.0, abs(best))
    margin = 1e-9 * (high[0] + v.min())
    assert ((grid[inside] >= low[0] - margin) & (grid[inside] <= high[0] + margin)).all()
    assert np.isfinite(high[0])


def test_a_batch_gives_what_its_members_give() -> None:
    rng = np.random.default_rng(5)
    v = rng.uniform(0.01, 0.5, (6, 8))
    y = rng.normal(0, np.sqrt(v + 0.1))
    low, high = profile_likelihood_interval(make_batch(y, v), True, DROP)
    for b in range(6):
        one = profile_likelihood_interval(make_batch(y[b], v[b]), True, DROP)
        assert (low[b], high[b]) == pytest.approx((one[0][0], one[1][0]), rel=1e-8, abs=1e-14)


def test_effects_that_agree_reach_zero() -> None:
    batch = make_batch([0.1, 0.11, 0.09, 0.1], [0.2, 0.3, 0.2, 0.4])
    low, high = profile_likelihood_interval(batch, True, DROP)
    assert low[0] == 0
    assert high[0] > 0
