"""Every function of the room safety answers wrong inputs in words, and every result reads in every form."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from html import unescape
from typing import Any

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.formatting import latex_text, plain_text
from metaexo.safety.results import SafetyResult
from tests.contract.test_wrong_inputs_models import WRONG, bare

room = mx.safety


def with_weeks(counts: mx.effects.EventCounts) -> mx.effects.EventCounts:
    return counts.with_columns(weeks=[4.0, 52.0, 12.0, 26.0][: counts.k])


SILENT = with_weeks(mx.event_counts(events=[0, 0, 0], n=[12, 8, 30], labels=["Li", "Cho", "Roy"]))
SOME = with_weeks(mx.event_counts(events=[0, 2, 0, 1], n=[12, 8, 30, 10]))
TIMES = with_weeks(mx.event_counts(events=[0, 2, 1], time=[1.5, 8.0, 30.0]))
TWO_ARMS = with_weeks(
    mx.event_counts(treatment_events=[0, 1], treatment_n=[10, 12], control_events=[0, 2], control_n=[10, 11])
)
RATIO = mx.MantelHaenszel(
    mx.event_counts(treatment_events=[1, 3], treatment_n=[10, 12], control_events=[2, 2], control_n=[10, 11]),
    measure="RR",
).fit()
# Every public function with arguments that work, beside the counts.
NEEDED: dict[str, dict[str, Any]] = {
    "upper_limit": {},
    "limits_by_heterogeneity": {},
    "limits_by_group": {"by": "weeks"},
    "study_intervals": {},
    "heterogeneity_likelihood": {},
    "exclusion_curve": {"number": [20, 300]},
    "patients_to_exclude": {"risk": 0.1},
    "by_follow_up": {"weeks": "weeks"},
    "bayesian_limit": {"heterogeneity": 0.1},
    "predict_count": {"results": room.bayesian_limit(SOME), "n": 20},
    "absolute_effect": {"results": RATIO, "baseline": [0.1, 0.3]},
    "number_needed": {"results": RATIO, "baseline": 0.1},
    "compare_proportions": {},
    "risk_range": {"results": RATIO},
}
OF_PEOPLE = {"by_follow_up", "compare_proportions"}  # no person-time
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(room, name) for name in room.__all__ if inspect.isfunction(getattr(room, name))
}
OF_COUNTS = [
    name for name, call in FUNCTIONS.items() if next(iter(inspect.signature(call).parameters)) == "counts"
]


def test_every_function_is_asked() -> None:
    assert set(NEEDED) == set(FUNCTIONS)


@pytest.mark.parametrize("name", NEEDED)
def test_wrong_inputs_are_refused_in_words(name: str) -> None:
    call = FUNCTIONS[name]
    parameters = inspect.signature(call).parameters
    given = ({"counts": SOME} if "counts" in parameters else {}) | NEEDED[name]
    wrong = {}
    for parameter in parameters:
        for value in WRONG:
            said = bare(lambda value=value, parameter=parameter: call(**(given | {parameter: value})))
            if said:
                wrong[f"{parameter}={value!r}"] = said
    assert not wrong


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("counts", [SILENT, SOME, TIMES], ids=["no event", "events", "person-time"])
def test_a_result_is_complete_in_every_form(name: str, counts: mx.effects.EventCounts) -> None:
    if counts is TIMES and name in OF_PEOPLE:
        with pytest.raises(InputError, match="people"):
            FUNCTIONS[name](counts, **NEEDED[name])
        return
    found = FUNCTIONS[name](counts, **NEEDED[name])
    assert isinstance(found, SafetyResult)
    assert found.sentence.endswith(".")
    assert "nan" not in found.sentence.lower()
    assert found.method
    assert found.assumptions
    wanted = [found.sentence, *found.cautions()]
    forms = {
        "markdown": found.to_markdown().replace("\\", ""),
        "latex": found.to_latex(),
        "html": unescape(found.to_html()),
        "text": str(found),
    }
    for form, shown in forms.items():
        as_read = {"latex": latex_text, "text": plain_text}.get(form, str)
        assert [words for words in map(as_read, wanted) if words not in shown] == [], form
    values = found.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert len(found.to_frame()) >= 1
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again.sentence == found.sentence


@pytest.mark.parametrize("name", OF_COUNTS)
def test_of_two_arms_one_is_chosen(name: str) -> None:
    with pytest.raises(InputError, match="two arms"):
        FUNCTIONS[name](TWO_ARMS, **NEEDED[name])
    found = FUNCTIONS[name](TWO_ARMS, arm="control", **NEEDED[name])
    np.testing.assert_array_equal(found.counts.events, [[0], [2]])


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("events", [0, 1], ids=["no event", "an event"])
@pytest.mark.parametrize("n", [1, 10**6])
def test_one_study_of_one_and_of_a_million(name: str, events: int, n: int) -> None:
    counts = with_weeks(mx.event_counts(events=[events], n=[n]))
    assert not bare(lambda: str(FUNCTIONS[name](counts, **NEEDED[name])))
