"""What is made of the same data in the same way is equal; no comparison raises where there are arrays."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.immutable import ByContents, same
from tests.contract.test_bias_results import METHODS, answer
from tests.contract.test_reprs import CLASSES
from tests.contract.test_results import CASES, counts, effects, example

HOLD = ("ndarray", "NDArray", "Array", "Mask", "DataFrame", "Series")


def test_results_and_classes_with_arrays_or_tables_are_compared_by_contents():
    """The comparison of dataclasses raises, since arrays have no truth value, and knows no equal NaN."""
    wrong = [
        kind.__name__
        for kind in CLASSES
        if dataclasses.is_dataclass(kind)
        and (
            issubclass(kind, ByContents)
            or any(
                word in str(field.type) and "Callable" not in str(field.type)
                for field in dataclasses.fields(kind)
                for word in HOLD
            )
        )
        and kind.__eq__ is not ByContents.__eq__
    ]
    assert not wrong


def check(one, again) -> None:
    assert one == again
    assert (one != again) is False
    assert hash(one) == hash(again)
    assert one in [again]
    assert one not in (None, 1, "text", effects()["y"][:1].tolist())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_fits(kind, name):
    fit = example(kind, name)
    check(fit, pickle.loads(pickle.dumps(fit)))
    check(fit, copy.deepcopy(fit))


@pytest.mark.parametrize("name", METHODS)
def test_answers_of_tests_of_bias(name):
    found = answer(name)
    check(found, pickle.loads(pickle.dumps(found)))


def test_fits_of_other_data_or_choices_differ():
    es = effects()
    fit = mx.RandomEffects(es, dependence="accept").fit()
    check(fit, mx.RandomEffects(effects(), dependence="accept").fit())
    assert fit != mx.RandomEffects(es, dependence="accept").fit(method="DL")
    assert fit != mx.RandomEffects(es[1:], dependence="accept").fit()
    assert len({fit, copy.copy(fit), mx.RandomEffects(es, dependence="accept").fit(method="DL")}) == 2


def test_effects_and_counts():
    es = effects()
    check(es, effects())
    check(counts(), counts())
    assert es != es[:-1]
    assert es != es.with_columns(more=range(es.k))
    assert mx.EffectSizes([0.1, 0.2], [0.1, 0.1]) != mx.EffectSizes([0.1, 0.2], [0.1, 0.2])
    assert mx.EffectSizes([0.1], [0.1], labels=["a"]) != mx.EffectSizes([0.1], [0.1], labels=["b"])
    assert es != counts()


def test_figures_and_tables_of_them():
    fit = example("RandomEffectsResults", "mean")
    for make in (mx.plots.forest_plan, mx.plots.funnel_plan, mx.plots.baujat_plan):
        check(make(fit), make(fit))
        assert make(fit) != make(fit, title="Another")
    table = pd.DataFrame({"source": ["a", "b"], "isolation": ["UC", "SEC"], "study_id": ["x", "y"]})
    again = table.copy()
    one, other = (mx.plots.evidence_map_plan(x, rows="source", columns="isolation") for x in (table, again))
    check(one, other)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1.0, 2.0]), np.array([1.0, 3.0]), False),
        (np.array([1.0]), np.array([[1.0]]), False),
        (np.array(["a", None], dtype=object), np.array(["a", None], dtype=object), True),
        (np.array([True, False]), np.array([True, True]), False),
        (np.array([]), np.array([]), True),
        (float("nan"), float("nan"), True),
        (1, 1.0, True),
        ("1", 1, False),
        ((1, (2, np.zeros(2))), (1, (2, np.zeros(2))), True),
        ([1, 2], [1, 2, 3], False),
        ({"a": np.zeros(2)}, {"a": np.zeros(2)}, True),
        ({"a": 1}, {"b": 1}, False),
        (pd.DataFrame({"a": [1, None]}), pd.DataFrame({"a": [1, None]}), True),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), False),
        (pd.Series([1.0]), np.array([1.0]), False),
        (None, np.zeros(2), False),
    ],
)
def test_values(one, other, equal):
    assert same(one, other) is equal
    assert same(other, one) is equal
