"""The scan finds all maxima, and its proof holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.numeric.likelihood import (
    FORM,
    RHO,
    SIGMA,
    TRACE,
    _evaluate,
    log_likelihood,
    scan,
    score_parts,
    settled_between,
)
from metaexo.numeric.likelihood_maximum import local_maxima, restricted_maximum_likelihood
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import Batch, make_batch

# Three precise studies that agree and six imprecise ones that spread: a maximum each.
TWO_MAXIMA = make_batch([0.0, 0.001, -0.001, 3.0, -3.0, 3.5, -3.5, 2.8, -2.9], [1e-6] * 3 + [0.04] * 6)


def score_on(batch: Batch, grid: np.ndarray, restricted: bool) -> np.ndarray:
    form, trace, _, _ = score_parts(moments(batch, grid[None]), restricted)
    return (form - trace)[0]


def test_there_are_data_with_several_maxima_and_the_highest_is_returned() -> None:
    rng = np.random.default_rng(0)
    several = 0
    for _ in range(100):  # precise studies that differ a little, imprecise ones that differ a lot
        v = np.concatenate([rng.uniform(0.5e-4, 2e-4, 4), rng.uniform(0.5, 2, 3)])
        batch = make_batch(np.concatenate([rng.normal(0, 0.01, 4), rng.normal(0, 3, 3)]), v)
        problem, places = local_maxima(batch, restricted=True)
        if problem.size > 1:
            several += 1
            heights = log_likelihood(batch.take(problem), places, True)
            found = restricted_maximum_likelihood(batch)
            assert found.maxima[0] == problem.size
            assert found.tau2[0] == pytest.approx(places[heights.argmax()], rel=1e-9, abs=1e-300)
    assert several > 20


@pytest.mark.parametrize("restricted", [True, False])
@given(seed=st.integers(0, 1_000_000), spread=st.floats(0, 12))
def test_every_sign_change_of_a_fine_grid_lies_in_a_bracket(
    restricted: bool, seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 12))
    v = 10 ** rng.uniform(-spread / 2, spread / 2, k)
    y = rng.normal(0, 1, k) * np.sqrt(v + 10 ** rng.uniform(-spread / 2, spread / 2))
    batch = make_batch(y, v)
    seen = scan(batch, restricted)
    low, high = seen.ends[:, 0]
    grid = np.concatenate([[0.0], np.geomspace(1e-4 * v.min(), 1e4 * (v.max() + (y**2).sum()), 3000)])
    positive = score_on(batch, grid, restricted) > 0
    turns = np.flatnonzero(positive[:-1] & ~positive[1:])
    assert seen.proved[0]
    assert seen.boundary[0] == (not positive[0])
    assert turns.size == low.size
    for turn in turns:
        assert ((low <= grid[turn + 1]) & (grid[turn] <= high)).any()


def test_brackets_hold_what_they_say() -> None:
    seen = scan(TWO_MAXIMA, True)
    assert (seen.ends[0, FORM] > seen.ends[0, TRACE]).all()
    assert (seen.ends[1, FORM] <= seen.ends[1, TRACE]).all()


def test_equal_variances_need_no_search() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(0, 1, 8)
    found = restricted_maximum_likelihood(make_batch(y, np.full(8, 0.1)))
    assert found.tau2[0] == pytest.approx(np.var(y, ddof=1) - 0.1, rel=1e-12)
    assert found.proved[0]


def test_a_large_batch_solved_in_parts_gives_the_same() -> None:
    rng = np.random.default_rng(2)
    v = rng.uniform(0.01, 1, (40, 5000))
    y = rng.normal(0, np.sqrt(v + 0.1))
    together = restricted_maximum_likelihood(make_batch(y, v))
    alone = [restricted_maximum_likelihood(make_batch(a, b)).tau2[0] for a, b in zip(y, v, strict=True)]
    np.testing.assert_allclose(together.tau2, alone, rtol=1e-11)


def test_moments_keep_their_digits_when_one_study_is_a_trillion_times_more_precise() -> None:
    # one weight of 1e12 and others of 1: every quantity in exact rational arithmetic
    from fractions import Fraction

    v = [Fraction(1, 10**12), Fraction(1), Fraction(2), Fraction(1, 3)]
    y = [Fraction(1, 2), Fraction(7, 4), Fraction(-3, 8), Fraction(9, 16)]
    w = [1 / x for x in v]
    total = sum(w)
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / total
    we = [a * (b - mean) for a, b in zip(w, y, strict=True)]
    trace = sum(a - a * a / total for a in w)
    form = sum(x * x for x in we)
    cube = sum(a * x * x for a, x in zip(w, we, strict=True))
    cube -= sum(a * x for a, x in zip(w, we, strict=True)) ** 2 / total
    at = moments(make_batch([float(x) for x in y], [float(x) for x in v]), np.zeros(1))
    assert at.trace_p[0] == pytest.approx(float(trace), rel=1e-13)
    assert at.y_pp_y[0] == pytest.approx(float(form), rel=1e-13)
    assert at.y_ppp_y[0] == pytest.approx(float(cube), rel=1e-12)


@pytest.mark.parametrize("restricted", [True, False])
@given(seed=st.integers(0, 1_000_000), spread=st.floats(0, 8))
def test_rho_and_sigma_grow_at_least_as_fast_as_tau2(restricted: bool, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 12))
    v = 10 ** rng.uniform(-spread / 2, spread / 2, k)
    batch = make_batch(rng.normal(0, np.sqrt(v + 1)), v)
    grid = np.concatenate([[0.0], np.geomspace(1e-2 * v.min(), 1e2 * v.max(), 40)])
    at = _evaluate(batch, grid[None], restricted)[:, 0]
    for name in (RHO, SIGMA):
        assert (np.diff(at[name] - grid) >= -1e-10 * at[name, 1:]).all()


@pytest.mark.parametrize("restricted", [True, False])
@given(seed=st.integers(0, 1_000_000), spread=st.floats(0, 8))
def test_an_interval_that_is_settled_holds_one_stationary_point_at_most(
    restricted: bool, seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 12))
    v = 10 ** rng.uniform(-spread / 2, spread / 2, k)
    batch = make_batch(rng.normal(0, np.sqrt(v + 10 ** rng.uniform(-spread / 2, spread / 2))), v)
    ends = np.sort(np.concatenate([[0.0], 10 ** rng.uniform(-spread / 2 - 1, spread / 2 + 1, 11)]))
    at = _evaluate(batch, ends[None], restricted)[:, 0]
    settled = settled_between(at[:, :-1], at[:, 1:])
    for i in np.flatnonzero(settled):
        inside = _evaluate(batch, np.linspace(ends[i], ends[i + 1], 60)[None], restricted)[:, 0]
        score = inside[FORM] / inside[TRACE] - 1
        signs = np.sign(np.where(np.abs(score) < 1e-9, 0.0, score))
        changes = np.count_nonzero(np.diff(signs[signs != 0]))
        assert changes <= 1
        one = settled_between(tuple(map(float, at[:, i])), tuple(map(float, at[:, i + 1])))
        assert one
