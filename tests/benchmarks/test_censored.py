"""A small sample of the simulation of censored evidence, and its own parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks import censored
from metaexo.effects import calculate


@pytest.fixture(scope="module")
def draw():
    return censored.simulate(20, 0.1, 0.6, "not significant first", draws=150)


def test_what_is_kept_back_is_the_share_that_was_asked_for(draw):
    assert (draw.told.sum(axis=1) == 12).all()
    nothing = ~draw.significant
    assert (draw.told | ~nothing | (nothing.sum(axis=1) > 12)[:, None]).all()
    any_study = censored.simulate(20, 0.1, 0.6, "any study", draws=150)
    assert (any_study.told & any_study.significant).any()


def test_thresholds_are_those_of_the_t_test(draw):
    """Say p < 0.05 of an effect where its own t test does."""
    y, end = draw.y[:5].ravel(), draw.end[:5].ravel()
    for g, limit in zip(y, end, strict=True):
        found = [n for n in range(8, 21) if abs(_g_at_p(n) - limit) < 1e-9]
        (n,) = found
        t = abs(g) / abs(limit) * stats.t.isf(0.025, 2 * n - 2)
        assert (2 * stats.t.sf(t, 2 * n - 2) < 0.05) == (abs(g) > limit)


def _g_at_p(n):
    t = stats.t.isf(0.025, 2 * n - 2)
    return float(calculate("SMD", {"t": [t], "treatment_n": [n], "control_n": [n]}).y[0])


def test_the_bounds_hold_the_effects(draw):
    lower, upper, v, _ = censored.bounds_of(draw)
    assert ((lower <= draw.y) & (draw.y <= upper)).all()
    assert (lower < upper)[draw.told].all()
    assert (lower == upper)[~draw.told].all()
    assert (v > 0).all()


def test_the_model_is_nearer_the_truth_than_the_faults(draw):
    found = {name: censored.summary(one, 0.1) for name, one in censored.answers(draw, profile=False).items()}
    for name in ("complete", "censored"):
        assert abs(found[name]["bias"]) < 0.05
        assert found[name]["coverage"] > 0.88
    assert found["dropped"]["bias"] > 0.2
    assert found["zero"]["bias"] < -0.1
    assert found["zero"]["coverage"] < found["censored"]["coverage"]
    assert found["complete"]["rmse"] < found["censored"]["rmse"] < found["zero"]["rmse"]


def test_the_same_seed_gives_the_same_draws():
    first, again = (censored.simulate(10, 0.3, 0.3, "any study", draws=5) for _ in range(2))
    assert np.array_equal(first.y, again.y)
    assert np.array_equal(first.told, again.told)


def test_the_stored_table_is_of_all_settings_and_says_what_the_page_says(root):
    import pandas as pd

    stored = pd.read_csv(root / "benchmarks" / "results" / "censored.csv")
    settings = stored.groupby(["mechanism", "share", "k", "tau2"]).ngroups
    assert settings == 36
    assert (stored["no_estimate"] == 0).all()
    short = censored.in_short(stored)
    words = (root / "benchmarks" / "results" / "censored.md").read_text(encoding="utf8")
    assert all("| " + " | ".join(row) + " |" in words for row in short)
    shown = pd.read_csv(root / "benchmarks" / "results" / "censored_short.csv", dtype=str)
    assert shown.to_numpy().tolist() == short
    ours = stored[stored["method"] == "censored"]
    assert ours["bias"].abs().max() < 0.05
    assert ours["coverage"].min() > 0.93
    assert ours["tau2_coverage"].min() > 0.92
