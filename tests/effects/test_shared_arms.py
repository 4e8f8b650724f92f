"""Control arms that feed two effects are found, and named when a model ignores them."""

from __future__ import annotations

import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import shared_arms
from metaexo.errors import DependentEffectsWarning


def effects(**changes: list) -> mx.EffectSizes:
    arms = {
        "treatment_mean": [5.0, 6.0, 7.0, 5.5],
        "treatment_sd": [1.0, 1.2, 1.1, 0.9],
        "treatment_n": [8, 8, 8, 8],
        "control_mean": [4.0, 4.0, 4.5, 4.0],
        "control_sd": [1.1, 1.1, 1.1, 1.1],
        "control_n": [8, 8, 8, 8],
        "outcome": ["wound_area"] * 4,
    }
    data = pd.DataFrame(arms | changes)
    return mx.effect_sizes("SMD", data=data, study=["a", "a", "a", "b"], labels=list("wxyz"))


def test_rows_of_one_study_with_the_same_control_numbers_are_found() -> None:
    (found,) = shared_arms(effects())
    assert (found.study, found.arm, found.rows, found.labels) == ("a", "control", (0, 1), ("w", "x"))


def test_other_outcomes_and_other_studies_share_nothing() -> None:
    assert shared_arms(effects(outcome=["wound_area", "vessels", "wound_area", "wound_area"])) == ()


def test_a_sample_size_alone_is_no_sign_of_a_shared_arm() -> None:
    assert shared_arms(effects(control_mean=[4.0, 4.1, 4.5, 4.0], control_sd=[1.0, 1.1, 1.2, 1.3])) == ()


def test_a_row_that_stands_twice_is_told_apart() -> None:
    twice = effects(treatment_mean=[5.0, 5.0, 7.0, 5.5], treatment_sd=[1.0, 1.0, 1.1, 0.9])
    (found,) = shared_arms(twice)
    assert found.arm == "both"
    assert "repeat each other" in str(found)


def test_a_model_that_ignores_it_says_so() -> None:
    with pytest.warns(DependentEffectsWarning, match="w and x share a control arm"):
        mx.RandomEffects(effects())


def test_effects_without_the_arms_numbers_tell_nothing() -> None:
    assert shared_arms(mx.EffectSizes([0.1, 0.2], [0.1, 0.1], study=["a", "a"])) == ()
