"""Covariances of effects with one control arm: against identities, a simulation, and averages."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import aggregate, covariance_matrix, get_measure, shared_control_covariances
from metaexo.effects.shared_control import SUMS
from metaexo.errors import InputError, MissingInputError, ShapeError

ARMS = {
    "mean": ([7.0, 9.0, 8.0], 6.0),
    "sd": ([1.5, 2.0, 1.0], 1.2),
    "n": ([10, 14, 9], 12),
    "events": ([4, 6, 3], 5),
    "time": ([40.0, 60.0, 30.0], 50.0),
}


def effects(code: str, **changes: list) -> mx.EffectSizes:
    """Return three arms of one study against one control, and an arm of another study."""
    columns = {f"treatment_{kind}": [*values, values[0]] for kind, (values, _) in ARMS.items()}
    columns |= {f"control_{kind}": [value] * 4 for kind, (_, value) in ARMS.items()}
    data = pd.DataFrame(columns | changes)
    wanted = {name: data[name] for name in get_measure(code).inputs}
    return mx.effect_sizes(code, study=["a", "a", "a", "b"], data=data, **wanted)


def of_two_arms(code: str, first: int, second: int) -> float:
    """Return the variance of the effect of one treated arm against another."""
    numbers = {}
    for name in get_measure(code).inputs:
        kind = name.split("_", 1)[1]
        numbers[name] = ARMS[kind][0][first if name.startswith("treatment") else second]
    return float(mx.effect_sizes(code, **numbers).v[0])


@pytest.mark.parametrize("code", SUMS)
def test_the_control_arm_drops_out_of_the_difference_of_two_effects(code):
    cov = covariance_matrix(shared_control_covariances(effects(code)))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        difference = cov[i, i] + cov[j, j] - 2 * cov[i, j]
        assert difference == pytest.approx(of_two_arms(code, i, j), rel=1e-12)
    assert cov[3, :3].tolist() == [0, 0, 0]
    assert np.linalg.eigvalsh(cov)[0] > 0


@pytest.mark.parametrize("code", ["SMD", "SMD1"])
def test_standardised_differences_by_simulation(code):
    rng = np.random.default_rng(3)
    draws, n = 20_000, (20, 25, 30)
    shifts = (0.9, 0.5, 0.0)
    samples = [rng.normal(shift, 1, (draws, size)) for shift, size in zip(shifts, n, strict=True)]
    mean, sd = ([x.mean(axis=1) for x in samples], [x.std(axis=1, ddof=1) for x in samples])
    pooled = np.sqrt(sum((size - 1) * s**2 for size, s in zip(n, sd, strict=True)) / (sum(n) - 3))
    unit = pooled if code == "SMD" else sd[2]
    d = np.stack([(mean[i] - mean[2]) / unit for i in (0, 1)])
    simulated = np.cov(d)[0, 1]
    error = np.sqrt((np.cov(d)[0, 0] * np.cov(d)[1, 1] + simulated**2) / draws)
    es = mx.EffectSizes(
        [0.9, 0.5],
        [0.1, 0.1],
        code,
        study=["a", "a"],
        data=pd.DataFrame({"treatment_n": n[:2], "control_n": [n[2]] * 2}),
    )
    cov = shared_control_covariances(es, ["saline", "saline"])[0].cov[0, 1]
    # the formula is that of large samples: of the order of 1 / n beside the covariance
    assert cov == pytest.approx(simulated, abs=4 * error + 0.08 * simulated)


def test_log_odds_ratios_of_standardised_differences_are_multiples():
    g, log_odds = effects("SMD"), effects("D2ORN")
    of_d = 1 / 12 + (log_odds.y[0] / 1.65) * (log_odds.y[1] / 1.65) / (2 * (12 + 10 + 14 + 9))
    assert shared_control_covariances(log_odds)[0].cov[0, 1] == pytest.approx(1.65**2 * of_d)
    expected = 1 / 12 + g.y[0] * g.y[1] / (2 * (12 + 10 + 14 + 9))
    assert shared_control_covariances(g)[0].cov[0, 1] == pytest.approx(expected)


def test_other_measures_take_the_share_of_the_control_in_the_sizes():
    es = effects("SMDH")
    share = (1 / 12) / np.sqrt((1 / 10 + 1 / 12) * (1 / 14 + 1 / 12))
    expected = share * np.sqrt(es.v[0] * es.v[1])
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(expected)


def test_arms_may_be_named_and_other_controls_share_nothing():
    cov = shared_control_covariances(effects("MD"), ["x", "x", "y", "x"])[0].cov
    assert cov[0, 1] == pytest.approx(1.2**2 / 12)
    assert cov[0, 2] == 0
    others = effects("MD", control_mean=[6.0, 6.0, 5.0, 6.0])
    assert shared_control_covariances(others)[0].cov[0, 2] == 0
    with pytest.raises(ShapeError, match="arm has 2"):
        shared_control_covariances(effects("MD"), ["x", "x"])


def test_zeros_in_the_control_arm_are_counted_as_in_the_effect():
    es = effects("OR", control_events=[0, 0, 0, 0])
    assert shared_control_covariances(es)[0].cov[0, 1] == pytest.approx(1 / 0.5 + 1 / 12.5)


def test_an_average_with_known_covariances_assumes_nothing():
    es = effects("MD")
    blocks = shared_control_covariances(es)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = aggregate(es, blocks=blocks)
    assert one.derived[0].note == "average of 3 effects, their correlation known"
    weights = np.linalg.solve(blocks[0].cov, np.ones(3))
    assert one.v[0] == pytest.approx(1 / weights.sum())
    assert one.y[0] == pytest.approx(weights @ es.y[:3] / weights.sum())
    with pytest.raises(ShapeError, match="every effect once"):
        aggregate(es, blocks=blocks[:1])


def test_what_is_missing_or_stands_twice_is_told():
    arms = {f"treatment_{kind}": [values[0]] * 4 for kind, (values, _) in ARMS.items()}
    twice = effects("MD", **arms).select([True, True, False, True], "two are enough")
    with pytest.raises(InputError, match="repeat each other"):
        shared_control_covariances(twice)
    bare = mx.EffectSizes([0.1, 0.2], [0.1, 0.1], "SMD", study=["a", "a"])
    with pytest.raises(MissingInputError, match="sizes of arms"):
        shared_control_covariances(bare, ["x", "x"])
    assert shared_control_covariances(bare)[0].cov.tolist() == [[0.1, 0.0], [0.0, 0.1]]
