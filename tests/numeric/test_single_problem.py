"""One problem in plain numbers and the same problem in a batch have one answer and one proof."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.numeric.likelihood_maximum import (
    maximum_likelihood,
    maximum_of_one,
    restricted_maximum_likelihood,
)
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tau2 import Tau2


def both(y: np.ndarray, v: np.ndarray, x: np.ndarray | None, restricted: bool) -> tuple[Tau2, Tau2]:
    kernel = restricted_maximum_likelihood if restricted else maximum_likelihood
    twice = make_batch(np.stack([y, y]), np.stack([v, v]), x)
    return maximum_of_one(make_batch(y, v, x), restricted), kernel(twice)


def same(one: Tau2, many: Tau2) -> None:
    assert one.tau2[0] == pytest.approx(many.tau2[0], rel=1e-9, abs=1e-300)
    assert one.se[0] == pytest.approx(many.se[0], rel=1e-7, nan_ok=True)
    assert one.maxima[0] == many.maxima[0]
    assert one.at_boundary[0] == many.at_boundary[0]
    assert one.proved[0]
    assert many.proved[0]


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("slope", [False, True])
@given(seed=st.integers(0, 1_000_000), spread=st.floats(0, 8))
def test_plain_numbers_and_arrays_agree(restricted: bool, slope: bool, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(4, 30))
    v = 10 ** rng.uniform(-spread, 0, k)
    y = rng.normal(0, np.sqrt(v + rng.choice([0, 0.01, 0.1, 1, 10])))
    x = np.column_stack([np.ones(k), rng.normal(size=k)]) if slope else None
    same(*both(y, v, x, restricted))


@pytest.mark.parametrize("restricted", [True, False])
def test_several_maxima(restricted: bool) -> None:
    y = np.array([0.0, 0.001, -0.001, 3.0, -3.0, 3.5, -3.5, 2.8, -2.9])
    v = np.array([1e-6] * 3 + [0.04] * 6)
    one, many = both(y, v, None, restricted)
    same(one, many)


def test_precise_and_imprecise_studies_have_two_maxima() -> None:
    rng = np.random.default_rng(0)
    several = 0
    for _ in range(40):
        v = np.concatenate([rng.uniform(0.5e-4, 2e-4, 4), rng.uniform(0.5, 2, 3)])
        y = np.concatenate([rng.normal(0, 0.01, 4), rng.normal(0, 3, 3)])
        one, many = both(y, v, None, restricted=True)
        several += int(one.maxima[0] > 1)
        same(one, many)
    assert several > 5


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("zeros", [1, 2, 5])
def test_some_sampling_variances_of_zero(restricted: bool, zeros: int) -> None:
    rng = np.random.default_rng(zeros)
    v = np.concatenate([np.zeros(zeros), rng.uniform(0.1, 1, 3)])
    y = rng.normal(0, 1, v.size)
    one, many = both(y, v, None, restricted)
    if zeros == 1 and not restricted:  # the mean can be that effect, and -1/2 log tau2 has no bound
        assert np.isnan([one.tau2[0], many.tau2[0]]).all()
        assert not one.proved[0]
        assert not many.proved[0]
        return
    same(one, many)
    assert one.tau2[0] > 0


def test_equal_effects_have_no_spread() -> None:
    one, many = both(np.full(5, 0.3), np.linspace(0.1, 0.2, 5), None, restricted=True)
    same(one, many)
    assert one.tau2[0] == 0
    assert one.at_boundary[0]
