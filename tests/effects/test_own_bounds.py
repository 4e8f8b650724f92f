"""Bounded effects from numbers of one's own, exact effects seen as bounded, several tables as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects, join_bounded, one_per_study
from metaexo.effects.bounded_effect_sizes import as_bounded
from metaexo.errors import InputError, ShapeError, UnknownChoiceError

INF = float("inf")


def test_kinds_follow_from_the_ends():
    found = bounded_effects([0.4, 0.7, -0.7, 0.0, -INF], [0.4, INF, 0.7, INF, 0.0], [0.05] * 5)
    assert found.kind == ("exact", "interval", "interval", "direction", "direction")
    assert found.v_upper.tolist() == [0.05, INF, 0.05, INF, 0.05]
    assert found.v_lower.tolist() == [0.05, 0.05, 0.05, 0.05, INF]
    assert found.m == 5


def test_variances_may_differ_at_the_two_ends():
    found = bounded_effects([0.0], [0.7], [0.2], [0.25])
    assert (found.v_lower[0], found.v_upper[0]) == (0.2, 0.25)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ShapeError, match="upper"):
        bounded_effects([0.1, 0.2], [0.1], [0.1, 0.1])
    with pytest.raises(InputError, match="missing") as caught:
        bounded_effects([0.1, np.nan], [0.1, 0.2], [0.1, 0.1])
    assert caught.value.rows == ("row 2",)
    with pytest.raises(InputError, match="neither a point nor an interval"):
        bounded_effects([0.3], [0.1], [0.1])


def test_exact_effects_are_bounded_effects_with_equal_ends():
    data = pd.DataFrame({"source": ["plant", "milk"]})
    es = mx.EffectSizes(
        [0.1, 0.4], [0.02, 0.05], labels=["a", "b"], study=["s", "s"], data=data, oriented=True
    )
    found = as_bounded(es)
    assert found.lower.tolist() == found.upper.tolist() == [0.1, 0.4]
    assert found.v_lower.tolist() == [0.02, 0.05]
    assert (found.labels, found.study, found.oriented) == (("a", "b"), ("s", "s"), True)
    assert found.exact.y.tolist() == [0.1, 0.4]
    assert as_bounded(found) is found
    bare = as_bounded(mx.EffectSizes([0.1, 0.4], [0.02, 0.05]))
    assert bare.m == 2


def test_columns_and_labels():
    found = bounded_effects([0.1], [0.1], [0.1], data=pd.DataFrame({"source": ["plant"]}))
    assert found.column("source").tolist() == ["plant"]
    assert found.with_labels(["new"]).labels == ("new",)
    with pytest.raises(UnknownChoiceError, match="column"):
        found.column("sourse")


def test_one_effect_a_study_works_on_bounds_too():
    found = bounded_effects([0.1, 0.2, 0.3], [0.1, INF, 0.3], [0.1] * 3, study=["a", "a", "b"])
    one = one_per_study(found, latest=[4, 8, 1])
    assert one.kind == ("interval", "exact")
    assert len(one.ledger.left_out) == 1


def test_several_tables_become_one():
    first = bounded_effects([0.1, 0.2], [0.1, INF], [0.1] * 2, data=pd.DataFrame({"a": [1, 2]}))
    second = bounded_effects([-INF], [0.0], [0.2], study=["s"])
    both = join_bounded(first, second)
    assert both.k == 3
    assert both.kind == ("exact", "interval", "direction")
    assert both.data["line"].tolist() == [1, 2, 1]
    assert both.row_ids == tuple(f"input and input:{i}" for i in (1, 2, 3))
    with pytest.raises(InputError, match="one measure"):
        join_bounded(first, bounded_effects([0.1], [0.1], [0.1], measure="SMD"))
    with pytest.raises(InputError, match="one measure"):
        join_bounded()
