"""What the layout of the effects cannot tell is refused in words, and what it can is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import NotIdentifiableError

RNG = np.random.default_rng(0)
STUDY = np.repeat(np.arange(10), 4)
OUTCOME = np.tile(list("abcd"), 10)
Y = RNG.normal(size=10)[STUDY] * 0.4 + RNG.normal(size=40) * 0.3
V = RNG.uniform(0.02, 0.08, 40)


def effects(outcome: np.ndarray = OUTCOME, study: np.ndarray = STUDY) -> mx.EffectSizes:
    data = pd.DataFrame({"study": study, "outcome": outcome, "dose": np.arange(40.0), "time": [1.0] * 40})
    return mx.EffectSizes(Y, V, data=data)


def rare() -> np.ndarray:
    return np.where(np.arange(40) == 0, "z", OUTCOME)


@pytest.mark.parametrize("code", ["DIAG", "CS", "HCS", "UN", "HAR"])
def test_one_study_says_nothing_between_studies(code: str) -> None:
    one = effects(study=np.zeros(40, dtype=int))
    with pytest.raises(NotIdentifiableError, match=r"outcome\|study has one level \(0\)"):
        mx.Multilevel(one, mx.RandomTerm("study", "outcome", code))
    with pytest.raises(NotIdentifiableError, match="one level"):
        mx.Multilevel(one, "1 + dose|study")


@pytest.mark.parametrize("code", ["DIAG", "HCS"])
def test_an_outcome_of_one_study_with_its_own_mean_has_no_variance(code: str) -> None:
    term = mx.RandomTerm("study", "outcome", code)
    with pytest.raises(NotIdentifiableError, match=r"outcome\|study:tau2\[z\] cannot be estimated"):
        mx.Multilevel(effects(rare()), term, moderators="0 + outcome")
    # with one mean for all, its distance from it says something
    assert mx.Multilevel(effects(rare()), term).fit().certificate.certified


def test_outcomes_that_never_meet_have_no_correlation() -> None:
    even = STUDY % 2 == 0
    first = np.arange(40) % 2 == 0
    apart = np.where(even, np.where(first, "a", "b"), np.where(first, "c", "d"))
    with pytest.raises(NotIdentifiableError, match="4 pairs") as caught:
        mx.Multilevel(effects(apart), mx.RandomTerm("study", "outcome", "UN"))
    assert caught.value.rows == ("a and c", "a and d", "b and c", "b and d")
    two = np.where(even, "a", "b")
    with pytest.raises(NotIdentifiableError, match="a and b never occur"):
        mx.Multilevel(effects(two), mx.RandomTerm("study", "outcome", "UN"))
    assert mx.Multilevel(effects(apart), mx.RandomTerm("study", "outcome", "HCS")).fit().certificate.certified


def test_a_slope_on_what_does_not_vary_is_refused() -> None:
    with pytest.raises(NotIdentifiableError, match="cannot be estimated separately"):
        mx.Multilevel(effects(), "1 + time|study")
    assert mx.Multilevel(effects(), "1 + dose|study").problem.count == 3


def test_two_terms_that_say_the_same_are_named() -> None:
    unit = effects().with_columns(unit=list(range(40)))
    term = mx.RandomTerm("study", "unit", "CS")
    with pytest.raises(NotIdentifiableError, match=r"unit\|study:rho cannot be estimated separately"):
        mx.Multilevel(unit, ["effect", term])
    held = mx.Multilevel(unit, ["effect", term], fix={"effect": 0.02})
    assert held.fit().component_values["effect"] == 0.02
