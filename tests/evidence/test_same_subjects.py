"""Who an effect was measured on: arms of one label are the same animals, by way of others too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import UnknownChoiceError
from metaexo.evidence.descriptions.rows import same_subjects


def effects(rows):
    table = pd.DataFrame(rows, columns=["study", "treatment_label", "control_label"])
    k = len(table)
    return mx.EffectSizes(np.linspace(0.1, 0.9, k), np.full(k, 0.04), study=table["study"], data=table)


def test_the_same_arms_at_two_times_are_the_same_animals():
    es = effects([("Lee", "EV", "PBS"), ("Lee", "EV", "PBS"), ("Cho", "EV", "PBS")])
    assert same_subjects(es) == ("Lee", "Lee", "Cho")


def test_different_arms_of_one_study_are_different_animals():
    es = effects([("Lee", "EV", "PBS"), ("Lee", "EV in gel", "gel")])
    assert same_subjects(es) == ("Lee, group 1", "Lee, group 2")


def test_a_shared_control_ties_two_doses():
    es = effects([("Lee", "low", "PBS"), ("Lee", "high", "PBS"), ("Lee", "EV in gel", "gel")])
    assert same_subjects(es) == ("Lee, group 1", "Lee, group 1", "Lee, group 2")


def test_chains_are_followed_in_any_order():
    rows = [("Lee", "a", "b"), ("Lee", "c", "d"), ("Lee", "B ", "c")]
    assert len(set(same_subjects(effects(rows)))) == 1
    assert len(set(same_subjects(effects(rows[::-1])))) == 1


def test_an_arm_without_a_label_may_be_any_arm():
    es = effects([("Lee", "EV", None), ("Lee", "EV in gel", "gel"), ("Cho", None, None)])
    assert same_subjects(es) == ("Lee", "Lee", "Cho")


def test_the_sheets_of_one_study_with_two_comparisons(root):
    sheets = mx.read_sheets(root / "data")
    es = sheets.effects("MD", where="study_id == 'chen2024a'")
    names = same_subjects(es)
    by_arms = pd.Series(names).groupby(es.column("treatment_label").to_numpy()).nunique()
    assert (by_arms == 1).all()
    assert len(set(names)) == len(by_arms) == 2


def test_effects_without_labels_of_arms_are_refused():
    with pytest.raises(UnknownChoiceError, match="treatment_label"):
        same_subjects(mx.EffectSizes([0.1, 0.2], [0.1, 0.1]))
