"""What exact and bounded effects have in common works alike in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.effects.effect_rows import rows_by
from metaexo.errors import InputError, ShapeError
from metaexo.ledger import Ledger, without_rows

DATA = pd.DataFrame({"source": ["milk", "plant", "milk"]}, index=[7, 8, 9])
OPTIONS = {"labels": ["one", "two", "three"], "study": ["a", "a", "b"], "data": DATA}
EFFECTS = {
    "exact": mx.EffectSizes([0.1, 0.2, 0.3], [0.01, 0.02, 0.03], **OPTIONS),
    "bounded": bounded_effects([0.1, 0.2, 0.0], [0.1, np.inf, np.inf], [0.01, 0.02, 0.03], **OPTIONS),
}


@pytest.fixture(params=EFFECTS)
def effects(request: pytest.FixtureRequest) -> mx.EffectSizes:
    return EFFECTS[request.param]


def test_counts_names_and_columns(effects: mx.EffectSizes) -> None:
    assert (effects.k, effects.m, len(effects)) == (3, 2, 3)
    assert effects.row_ids == ("input:1", "input:2", "input:3")
    assert effects.row_labels == ("one", "two", "three")
    assert effects.column("source").tolist() == ["milk", "plant", "milk"]
    changed = effects.data
    changed["source"] = "none"
    assert effects.column("source").tolist() == ["milk", "plant", "milk"]


def test_rows_that_are_not_selected_enter_the_ledger(effects: mx.EffectSizes) -> None:
    kept = effects.select([True, False, True], "plants only")
    assert (kept.row_labels, kept.study) == (("one", "three"), ("a", "b"))
    assert kept.data.index.tolist() == [7, 9]
    gone = kept.ledger.left_out[0]
    assert (gone.line, gone.study, gone.item, gone.step, gone.reason) == (
        2,
        "a",
        "two",
        "selection",
        "plants only",
    )
    table = kept.to_frame(all_rows=True)
    assert table["left_out"].tolist() == ["", "plants only", ""]
    assert table["label"].tolist() == ["one", "two", "three"]


def test_a_column_of_studies_is_the_study_from_then_on(effects: mx.EffectSizes) -> None:
    named = effects.with_columns(study=["x", "y", "z"], dose=[1, 2, 3])
    assert (named.study, named.m, named.study_column) == (("x", "y", "z"), 3, "study")
    assert named.column("dose").tolist() == [1, 2, 3]
    assert effects.m == 2


def test_wrong_rows_and_columns_are_refused(effects: mx.EffectSizes) -> None:
    with pytest.raises(ShapeError):
        effects.select([True, False])
    with pytest.raises(InputError, match="index"):
        effects.select(pd.Series([True, False, True]))
    with pytest.raises(InputError, match="reason"):
        effects.select([0], " ")
    with pytest.raises(InputError, match="index"):
        effects.with_columns(dose=pd.Series([1, 2, 3]))


def test_positions_and_ledgers_by_row() -> None:
    found = rows_by(["b", "a", "b"])
    assert [(key, rows.tolist()) for key, rows in found.items()] == [("b", [0, 2]), ("a", [1])]
    ledger = without_rows(
        Ledger("x.csv", (2, 5, 9)), np.array([False, True, False]), ["", "no n", ""], "effect"
    )
    assert ledger.used == (2, 9)
    assert [(e.line, e.study, e.reason) for e in ledger.left_out] == [(5, "", "no n")]
