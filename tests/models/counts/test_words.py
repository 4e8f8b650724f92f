"""What the summaries of models of counts say of the rows, and of what has no value of no effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx

EVENTS, SIZES = np.array([0, 1, 3, 0, 2]), np.array([20, 31, 40, 18, 25])
TWO = {
    "treatment_events": EVENTS,
    "treatment_n": SIZES,
    "control_events": EVENTS[::-1],
    "control_n": SIZES[::-1] + 5,
}
MODELS = {
    "MH": mx.MantelHaenszel,
    "Peto": mx.Peto,
    "exact": mx.ExactConditional,
    "GLMM": mx.CountGLMM,
    "BB": lambda counts: mx.BetaBinomial(counts, "RR"),
}


@pytest.mark.parametrize("model", MODELS)
def test_counts_are_of_studies_and_nothing_is_converted(model: str) -> None:
    fit = MODELS[model](mx.event_counts(**TWO)).fit()
    assert " 5 studies, " in fit.summary().parts["What was fitted"][0]
    assert "effect" not in fit.summary().parts["What was fitted"][0].split(",")[0]
    assert not any("converted" in line or "reported" in line for line in fit.summary().parts["Data"])
    assert fit.to_dict()["derived"] == {}


def test_rows_of_one_study_are_said() -> None:
    counts = mx.event_counts(pd.DataFrame({**TWO, "study": list("aabcd")}))
    first = mx.MantelHaenszel(counts, dependence="accept").fit().summary().parts["What was fitted"][0]
    assert "pooling of 5 rows from 4 studies (column 'study'), " in first


@pytest.mark.parametrize(
    ("fit", "null", "shared"),
    [
        (lambda: mx.CountGLMM(mx.event_counts(events=EVENTS, n=SIZES), "PLO"), "proportion is 0.5", ""),
        (
            lambda: mx.CountGLMM(mx.event_counts(events=EVENTS, n=SIZES), "PLO", link="cloglog"),
            "proportion is 0.6321",  # 1 - exp(-1)
            "",
        ),
        (lambda: mx.CountGLMM(mx.event_counts(events=EVENTS, time=SIZES), "IRLN"), "rate is 1", ""),
        (lambda: mx.BetaBinomial(mx.event_counts(events=EVENTS, n=SIZES)), "proportion is 0.5", "proportion"),
        (
            lambda: mx.RandomEffects(mx.effect_sizes("PLO", events=EVENTS, n=SIZES)),
            "proportion is 0.5",
            "proportion",
        ),
    ],
)
def test_one_arm_has_no_effect_that_could_be_zero(fit, null: str, shared: str) -> None:
    found = fit().fit()
    assert found.omnibus.null == f"the pooled {null}"
    lines = found.summary().parts["Pooled"]
    assert not any("true effect" in line or "pooled effect" in line for line in lines)
    if shared:
        assert found.q.null == f"all studies share one true {shared}"


def test_a_test_of_no_effect_keeps_its_words() -> None:
    fit = mx.MantelHaenszel(mx.event_counts(**TWO)).fit()
    assert fit.omnibus.null == "the pooled effect is zero"
    fit = mx.RandomEffects(mx.effect_sizes("RR", **TWO)).fit()
    assert fit.q.null == "all studies share one true effect"
