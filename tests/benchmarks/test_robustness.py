"""A small sample of the robustness run, and its own checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import robustness
from metaexo.numeric.estimators import ESTIMATORS
from metaexo.numeric.problem import make_batch

FAST = tuple(code for code in ESTIMATORS if code != "GENQM")


def test_a_sample_of_every_kind_has_no_failure() -> None:
    sets = 3 * len(robustness.KINDS) * robustness.BATCH
    tally = robustness.run(sets, seed=1, codes=FAST)
    assert tally.failures == {}
    assert set(tally.sets) == set(robustness.KINDS)
    assert tally.several.total() > 10
    assert 0 < tally.boundary.total() < sets
    text = robustness.table(tally, sets, 1)
    assert "Failures in all: 0." in text


@pytest.mark.parametrize("sets", [60])
def test_the_exact_distribution_fails_nowhere_in_a_sample(sets: int) -> None:
    assert robustness.run(sets, seed=2, codes=("GENQM",)).failures == {}


def test_a_wrong_solution_is_noticed() -> None:
    rng = np.random.default_rng(0)
    v = rng.uniform(0.01, 0.5, (3, 8))
    batch = make_batch(rng.normal(0, np.sqrt(v + 0.5)), v)
    right = ESTIMATORS["REML"].kernel(batch)
    wrong = replace(right, tau2=0.5 * right.tau2)
    assert not robustness.below_grid(batch, right, restricted=True).any()
    assert robustness.below_grid(batch, wrong, restricted=True).all()
    spoiled = replace(right, score=right.score + 1e-3, proved=right.proved & False)
    found = Counter()
    for words, where in robustness.check("REML", ESTIMATORS["REML"], batch, spoiled):
        found[words] += int(where.sum())
    assert found["equation not solved"] == 3
    assert found["not proved"] == 3
