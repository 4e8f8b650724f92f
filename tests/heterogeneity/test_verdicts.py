"""The rules of a verdict: what is named, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.heterogeneity import confounding
from metaexo.heterogeneity.attribution.verdicts import Evidence, judge, refusal

NAN = float("nan")
DATA = pd.DataFrame({"source": list("aabb") * 6, "isolation": list("xyxy") * 6})
FOUND = confounding(mx.EffectSizes(np.arange(24), np.ones(24), data=DATA))
CLEAR = Evidence(
    names=("source", "isolation"),
    given_others={(0,): 0.001, (1,): 0.5, (0, 1): 0.002},
    alone=(0.001, 0.5),
    shares=(0.6, -0.02),
    bounds=((0.2, 0.8), (0.0, 0.2)),
    together=0.58,
    interaction=None,
    level=0.95,
)


def test_one_factor_is_named_with_its_share():
    verdict = judge(CLEAR, FOUND)
    assert (verdict.kind, verdict.factors) == ("source", ("source",))
    assert "Source explains 60% of the between-study variance (p = 0.0010" in verdict.sentence
    assert "20 to 80%" in verdict.sentence


def test_a_factor_is_not_named_unless_all_together_explain_more_than_chance():
    verdict = judge(replace(CLEAR, given_others={(0,): 0.03, (1,): 0.5, (0, 1): 0.08}), FOUND)
    assert verdict.kind == "neither"


def test_a_share_below_zero_is_not_named():
    verdict = judge(replace(CLEAR, shares=(-0.01, -0.02)), FOUND)
    assert verdict.kind != "source"


def test_the_level_is_that_of_the_tests():
    borderline = replace(CLEAR, given_others={(0,): 0.03, (1,): 0.5, (0, 1): 0.03})
    assert judge(borderline, FOUND).kind == "source"
    assert judge(replace(borderline, level=0.99), FOUND).kind == "neither"


def test_together_but_none_beyond_the_other_is_not_separable():
    verdict = judge(replace(CLEAR, given_others={(0,): 0.3, (1,): 0.4, (0, 1): 0.001}), FOUND)
    assert verdict.kind == "not_separable"
    assert "together they explain 58%" in verdict.sentence
    assert "source p = 0.30, isolation p = 0.40" in verdict.sentence


def test_all_sets_that_hold_a_factor_must_be_beyond_chance():
    tests = {(0,): 0.01, (1,): 0.6, (2,): 0.7, (0, 1): 0.01, (0, 2): 0.2, (1, 2): 0.8, (0, 1, 2): 0.01}
    three = Evidence(
        ("source", "isolation", "dose"), tests, (0.01,) * 3, (0.5, 0, 0), ((NAN, NAN),) * 3, 0.5, None, 0.95
    )
    assert judge(three, FOUND).kind == "not_separable"
    assert judge(replace(three, given_others=tests | {(0, 2): 0.02}), FOUND).kind == "source"
    several = dict.fromkeys(tests, 0.01)
    named = judge(replace(three, given_others=several, shares=(0.3, 0.2, 0.1)), FOUND)
    assert named.kind == "several"
    assert named.factors == ("source", "isolation", "dose")
    assert named.sentence.startswith("Source, isolation and dose each explain heterogeneity")


def test_bounds_that_are_missing_are_not_printed():
    verdict = judge(replace(CLEAR, bounds=((NAN, NAN), (NAN, NAN))), FOUND)
    assert "interval" not in verdict.sentence
    neither = replace(CLEAR, given_others={(0,): 0.5, (1,): 0.5, (0, 1): 0.5}, bounds=((NAN, NAN),) * 2)
    assert "remain possible" not in judge(neither, FOUND).sentence


@pytest.mark.parametrize(("p", "first"), [(0.01, True), (0.4, False)])
def test_an_interaction_is_a_reason(p, first):
    verdict = judge(replace(CLEAR, interaction=p), FOUND)
    assert verdict.reasons[0].startswith("what one factor does depends on the other") is first
    assert verdict.kind == "source"


def test_confounding_comes_before_few_studies():
    """More studies of the same kind would not help, so that is what is told."""
    data = pd.DataFrame({"source": list("aabb"), "isolation": list("xxyy")})
    found = confounding(mx.EffectSizes(np.arange(4), np.ones(4), data=data))
    assert refusal(found.estimability, found).kind == "not_separable"
    assert refusal(FOUND.estimability, FOUND) is None
