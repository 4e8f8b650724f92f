"""How numbers of methods for small-study effects are compared with those of R, without R."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from benchmarks import parity

METHODS = 10


@pytest.fixture(scope="module")
def es():
    rng = np.random.default_rng(3)
    v = rng.uniform(0.02, 0.3, 15)
    return mx.EffectSizes(rng.normal(0.4, np.sqrt(v + 0.05)), v)


@pytest.fixture(scope="module")
def ours(es):
    return parity.bias_of(es)


def test_equal_numbers_agree_and_what_r_stops_at_is_left_out(es, ours):
    gaps = parity.bias_gaps(es, dict(ours))
    assert len(gaps) == METHODS
    assert max(gaps.values()) == 0
    assert len(parity.bias_gaps(es, ours | {"rank test": None})) == METHODS - 1


@pytest.mark.parametrize("place", range(METHODS))
def test_another_number_is_noticed(es, ours, place):
    name = list(ours)[place]
    wrong = ours | {name: [1.1 * ours[name][0] + 0.1, *ours[name][1:]]}
    assert parity.bias_gaps(es, wrong)[name] > 1


def test_selection_models_are_judged_by_their_likelihood(es, ours):
    name = "selection, step function"
    estimate, gained = ours[name]
    assert parity.bias_gaps(es, ours | {name: [estimate + 1, gained - 0.1]})[name] == 0
    assert parity.bias_gaps(es, ours | {name: [estimate, gained + 0.1]})[name] == np.inf
