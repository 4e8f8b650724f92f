"""Splitting effects: every effect in one part, and every ledger whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects.dependence.choose import split
from metaexo.errors import UnknownChoiceError

DATA = pd.DataFrame({"domain": ["b", "a", None, "a"], "family": ["x", "x", "x", "y"]})
EFFECTS = mx.EffectSizes(np.arange(4.0), np.ones(4), data=DATA)


def test_every_effect_is_in_one_part_and_the_ledgers_are_whole():
    parts = split(EFFECTS, ["domain", "family"])
    assert {key: part.y.tolist() for key, part in parts.items()} == {
        ("a", "x"): [1.0],
        ("a", "y"): [3.0],
        ("b", "x"): [0.0],
        ("not reported", "x"): [2.0],
    }
    assert list(parts) == sorted(parts)
    assert {part.ledger.total for part in parts.values()} == {4}
    assert parts["a", "y"].ledger.left_out[0].reason == "not a / y"


def test_an_unknown_column_is_named():
    with pytest.raises(UnknownChoiceError, match="domian"):
        split(EFFECTS, "domian")
