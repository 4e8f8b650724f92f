"""The certainty of a result: each rule moves it by one step and says so, and nothing else does."""

from __future__ import annotations

import pickle

import pytest

from metaexo.errors import InputError, UnknownChoiceError
from metaexo.report import certainty
from metaexo.report.certainty import DESIGNS, WORDS, Certainty

GOOD = {"design": "randomised", "m": 20, "decides": True}
DOWN = {
    "few": ({"m": 9}, "few laboratories (9)"),
    "undecided": ({"decides": False}, "the interval or test does not decide"),
    "doubtful": ({"holds_without_doubtful": False}, "the result changes without doubtful rows"),
    "I2": ({"i2": 0.76}, "inconsistency (I² = 76%)"),
    "prediction": (
        {"prediction": (-0.1, 0.9)},
        "inconsistency (the prediction interval includes no effect)",
    ),
    "indirect": ({"indirect": "cells, not people"}, "indirectness: cells, not people"),
    "small": ({"small_study_effects": True}, "signs of small-study effects"),
}


@pytest.mark.parametrize(
    ("design", "word"),
    [
        ("observational", "low"),
        ("not reported", "low"),
        ("within laboratory", "high"),
        ("randomised", "high"),
    ],
)
def test_the_design_says_where_it_starts(design, word):
    found = certainty(design=design, m=10, decides=True)
    assert (found.word, str(found)) == (word, word)
    assert found.reasons == (DESIGNS[design][1],)


@pytest.mark.parametrize("rule", DOWN)
def test_each_rule_takes_one_step(rule):
    change, reason = DOWN[rule]
    found = certainty(**GOOD | change)
    assert found.word == "moderate"
    assert found.reasons == ("randomised comparison", reason)
    assert found.in_words() == f"moderate (randomised comparison; {reason})"


def test_steps_add_up_and_end_at_very_low():
    changes = {}
    for steps, rule in enumerate(("few", "doubtful", "indirect", "small"), start=1):
        changes |= DOWN[rule][0]
        found = certainty(**GOOD | changes)
        assert found.word == WORDS[max(3 - steps, 0)]
        assert len(found.reasons) == steps + 1


def test_one_unit_is_two_steps():
    found = certainty(design="within laboratory", m=1, decides=True)
    assert found.word == "low"
    assert found.reasons[1:] == ("few laboratories (1)",)
    assert certainty(design="within laboratory", m=2, decides=True).word == "moderate"


@pytest.mark.parametrize(
    "change",
    [
        {"m": 10},
        {"i2": 0.75},
        {"i2": 0.0},
        {"prediction": (0.1, 0.9)},
        {"prediction": (-0.9, -0.1)},
        {"prediction": (1.1, 3.0), "null": 1.0},
        {"large_effect": True},
    ],
)
def test_what_is_in_order_takes_none(change):
    assert certainty(**GOOD | change).reasons == ("randomised comparison",)


def test_heterogeneity_counts_once():
    both = certainty(**GOOD, i2=0.9, prediction=(-1.0, 2.0))
    assert both.reasons[1:] == ("inconsistency (I² = 90%)",)
    # an interval that does not decide lies within a prediction interval that cannot either
    undecided = certainty(**GOOD | {"decides": False}, prediction=(-1.0, 2.0))
    assert undecided.reasons[1:] == ("the interval or test does not decide",)
    assert certainty(**GOOD, prediction=(0.9, 3.0), null=1.0).word == "moderate"


def test_a_large_effect_raises_only_what_nothing_lowered():
    watched = {"design": "observational", "m": 40, "large_effect": True}
    raised = certainty(**watched, decides=True)
    assert raised.word == "moderate"
    assert raised.reasons == ("observational comparison", "raised for a large effect")
    for change, _ in DOWN.values():
        found = certainty(**{"decides": True, **watched, **change})
        assert (found.word, len(found.reasons)) == ("very low", 2)


def test_the_units_are_named():
    assert "few trials (3)" in certainty(**GOOD | {"m": 3}, units="trials").reasons


def test_it_cannot_be_changed():
    found = certainty(**GOOD)
    with pytest.raises(AttributeError):
        found.word = "low"
    assert pickle.loads(pickle.dumps(found)) == found == Certainty("high", ("randomised comparison",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"m": 0}, "m is 0"),
        ({"m": 2.5}, "m is 2.5"),
        ({"m": None}, "m is None"),
        ({"decides": 0.03}, "decides is 0.03"),
        ({"decides": None}, "decides is None"),
        ({"holds_without_doubtful": "yes"}, "holds_without_doubtful is"),
        ({"i2": 92}, "i2 is 92"),
        ({"i2": float("nan")}, "i2 is nan"),
        ({"i2": "high"}, "i2 is a str"),
        ({"prediction": (2.0, 1.0)}, "prediction is no interval"),
        ({"prediction": 1.0}, "prediction is no interval"),
        ({"prediction": (float("nan"), 1.0)}, "prediction is no interval"),
        ({"prediction": ("a", "b")}, "prediction holds"),
        ({"null": None}, "null is None"),
        ({"indirect": True}, "indirect is True"),
        ({"units": ""}, "units is a str"),
        ({"small_study_effects": 1}, "small_study_effects is 1"),
        ({"large_effect": None}, "large_effect is None"),
    ],
)
def test_wrong_arguments_are_named(change, says):
    with pytest.raises(InputError) as error:
        certainty(**GOOD | change)
    assert says in str(error.value)


def test_an_unknown_design_names_the_nearest():
    with pytest.raises(UnknownChoiceError, match="randomised"):
        certainty(**GOOD | {"design": "randomized"})
