"""One effect a study: which is kept, and what the ledger says of the others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo.effects.dependence.choose import ANOTHER, EARLIER, one_per_study
from metaexo.errors import ShapeError, UnknownChoiceError


def effects(study, **columns):
    k = len(study)
    data = pd.DataFrame(columns, index=range(k)) if columns else None
    return mx.EffectSizes(np.arange(k) / 10, np.full(k, 0.1), study=study, data=data)


def test_the_latest_is_kept_and_the_others_are_told():
    one = one_per_study(effects(["Li", "Li", "Li", "Cho"]), latest=[4, 12, 12, 1])
    assert one.y.tolist() == [0.1, 0.3]
    assert {entry.line: entry.reason for entry in one.ledger.left_out} == {1: EARLIER, 3: ANOTHER}
    assert one.ledger.total == 4


def test_each_outcome_has_its_own_choice():
    es = effects(["Li", "Li", "Li"], family=["wound", "scar", "wound"])
    assert one_per_study(es, by="family").y.tolist() == [0.0, 0.1]


def test_a_known_time_comes_before_an_unknown_one():
    assert one_per_study(effects(["Li", "Li"]), latest=[np.nan, 3]).y.tolist() == [0.1]
    assert one_per_study(effects(["Li", "Li"]), latest=[np.nan, np.nan]).y.tolist() == [0.0]


def test_rows_without_a_study_are_studies_of_their_own():
    es = mx.EffectSizes([0.1, 0.2], [0.1, 0.1])
    assert one_per_study(es) is es


def test_faults_are_named():
    with pytest.raises(ShapeError):
        one_per_study(effects(["Li", "Cho"]), latest=[1])
    with pytest.raises(UnknownChoiceError, match="famly"):
        one_per_study(effects(["Li"], family=["wound"]), by="famly")


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from([1.0, 2.0, np.nan])),
        min_size=1,
        max_size=12,
    )
)
def test_every_study_keeps_one_effect_and_it_is_among_the_latest(rows):
    study, family, time = (list(column) for column in zip(*rows, strict=True))
    one = one_per_study(effects(study, family=family, time=time), by=["family"], latest=time)
    kept = list(zip(one.study, one.data["family"], strict=True))
    assert sorted(kept) == sorted(set(zip(study, family, strict=True)))
    for key, late in zip(kept, one.data["time"], strict=True):
        known = [t for s, f, t in rows if (s, f) == key and not np.isnan(t)]
        assert not known or late == max(known)
    assert one.ledger is None or one.ledger.total == len(rows)


def test_a_column_can_be_added_to_effects():
    es = effects(["Li", "Cho"], family=["wound", "scar"])
    more = es.with_columns(question=["first", "second"], family=["a", "b"])
    assert more.column("question").tolist() == ["first", "second"]
    assert more.column("family").tolist() == ["a", "b"]
    assert es.column("family").tolist() == ["wound", "scar"]
    assert (more.study, more.y.tolist()) == (es.study, es.y.tolist())
    assert mx.EffectSizes([0.1], [0.1]).with_columns(x=[1]).column("x").tolist() == [1]
    with pytest.raises(ShapeError, match="question"):
        es.with_columns(question=["only one"])


def test_labels_can_be_exchanged():
    es = effects(["Li", "Cho"], family=["wound", "scar"])
    other = es.with_labels(["Li 2020", "Cho 2021"])
    assert other.row_labels == ("Li 2020", "Cho 2021")
    assert (es.row_labels, other.study) == (("1", "2"), es.study)
    assert other.column("family").tolist() == ["wound", "scar"]
    with pytest.raises(ShapeError, match="labels"):
        es.with_labels(["only one"])
