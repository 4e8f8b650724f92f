"""Relative effects in absolute numbers, against formulas by hand and Altman's examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit

import metaexo as mx
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError

room = mx.safety


def fit(measure, y=0.3, se=0.2):
    """Return the pooled fit of one effect: its estimate and normal interval are those of the effect."""
    return mx.RandomEffects(mx.EffectSizes([y], se=[se], measure=measure)).fit("EE", test="z")


Z = 1.959963984540054
ENDS = [0.3, 0.3 - 0.2 * Z, 0.3 + 0.2 * Z]


@pytest.mark.parametrize(
    ("measure", "treated"),
    [
        ("RR", lambda b, y: b * math.exp(y)),
        ("OR", lambda b, y: expit(logit(b) + y)),
        ("PETO", lambda b, y: b * math.exp(y) / (1 - b + b * math.exp(y))),
        ("HR", lambda b, y: 1 - (1 - b) ** math.exp(y)),
        ("RD", lambda b, y: b + y),
        ("IRR", lambda b, y: b * math.exp(y)),
        ("IRD", lambda b, y: b + y),
    ],
)
def test_each_measure_has_its_formula(measure, treated):
    found = room.absolute_effect(fit(measure), [0.1, 0.25], per=100)
    for i, b in enumerate((0.1, 0.25)):
        wanted = [100 * (np.clip(treated(b, y), 0, 1) - b) for y in ENDS]
        assert [found.difference[i], found.low[i], found.high[i]] == pytest.approx(wanted, rel=1e-9)
        assert found.treated[i] == pytest.approx(treated(b, 0.3))


def test_a_level_and_a_prediction_interval():
    es = mx.EffectSizes([0.1, 0.9, -0.3, 0.5], [0.02, 0.03, 0.02, 0.05], measure="RR")
    results = mx.RandomEffects(es).fit()
    pooled = results.pooled(0.8)
    found = room.absolute_effect(results, 0.02, level=0.8)
    assert found.high[0] == pytest.approx(20 * (math.exp(pooled.high) - 1))
    assert found.prediction_low[0] == pytest.approx(20 * (math.exp(pooled.prediction_low) - 1))
    assert [line for line in found.cautions() if "prediction interval" in line]
    assert "more" in found.sentence


def test_what_is_beyond_a_risk_of_1_is_said():
    found = room.absolute_effect(fit("RR", 1.0), [0.01, 0.6])
    assert found.treated.tolist() == pytest.approx([0.01 * math.e, 1.0])
    assert [line for line in found.cautions() if "baseline of 0.6" in line]
    assert "cut off at what is possible" in found.sentence
    assert [line for line in room.number_needed(fit("RR", 1.0), 0.6).cautions() if "baseline of 0.6" in line]
    rates = room.absolute_effect(fit("IRR", 1.0), 0.6)
    assert rates.treated[0] == pytest.approx(0.6 * math.e)
    assert not [line for line in rates.cautions() if "baseline" in line]


def test_zeros_in_an_arm_leave_one_end():
    """No event with treatment: the exact odds ratio is 0, and its upper limit counts."""
    counts = mx.event_counts(
        treatment_events=[0, 0], treatment_n=[12, 40], control_events=[1, 5], control_n=[11, 42]
    )
    results = mx.ExactConditional(counts).fit()
    found = room.absolute_effect(results, 0.1)
    assert np.isnan([found.treated[0], found.difference[0], found.low[0]]).all()
    high = 1000 * (expit(logit(0.1) + results.pooled().high) - 0.1)
    assert found.high[0] == pytest.approx(high)
    assert f"no estimate, at least {-high:.1f} fewer with it" in found.sentence
    assert "estimate is infinite" in " ".join(found.cautions())
    needed = room.number_needed(results, 0.1)
    assert np.isnan(needed.number[0])
    assert needed.words().startswith("no estimate (limit NNT")
    swapped = mx.event_counts(
        treatment_events=[1, 5], treatment_n=[11, 42], control_events=[0, 0], control_n=[12, 40]
    )
    other = room.absolute_effect(mx.ExactConditional(swapped).fit(), 0.1)
    assert np.isnan(other.high[0])
    low = 1000 * (expit(logit(0.1) + mx.ExactConditional(swapped).fit().pooled().low) - 0.1)
    assert f"no estimate, at least {low:.1f} more with it" in other.sentence
    few = mx.event_counts(
        treatment_events=[0, 0], treatment_n=[12, 14], control_events=[1, 1], control_n=[11, 12]
    )
    assert (
        "no estimate, at most 244 more" in room.absolute_effect(mx.ExactConditional(few).fit(), 0.1).sentence
    )


def test_an_interval_without_width_is_refused():
    """No event in any arm: a difference of 0 with a standard error of 0 is no certainty."""
    counts = mx.event_counts(
        treatment_events=[0] * 4, treatment_n=[10] * 4, control_events=[0] * 4, control_n=[20] * 4
    )
    results = mx.MantelHaenszel(counts, "RD").fit()
    for ask in (room.absolute_effect, room.number_needed):
        with pytest.raises(NotIdentifiableError, match="no width"):
            ask(results, 0.05)


def test_numbers_needed_go_through_infinity():
    """Altman (1998): a difference of 5.0% (-1.9% to 11.9%) is NNTB 20 (NNTH 53 to infinity to NNTB 8.4)."""
    results = fit("RD", 0.05, (0.119 - 0.05) / Z)
    found = room.number_needed(results, event="benefit")
    assert found.words() == "NNTB 20 (NNTB 8.4 to ∞ to NNTH 53)"
    assert found.number[0] == pytest.approx(20)
    assert room.number_needed(results).words() == "NNTH 20 (NNTH 8.4 to ∞ to NNTB 53)"
    minus = room.number_needed(fit("RD", -0.05, (0.119 - 0.05) / Z))
    assert minus.words() == "NNTB 20 (NNTB 8.4 to ∞ to NNTH 53)"


def test_numbers_needed_on_one_side():
    assert room.number_needed(fit("RD", 0.1, 0.025 / Z * 2)).words() == "NNTH 10 (NNTH 6.7 to NNTH 20)"
    assert room.number_needed(fit("RD", -0.1, 0.025 / Z * 2)).words() == "NNTB 10 (NNTB 6.7 to NNTB 20)"
    none = room.number_needed(fit("RD", 0.0, 0.05 / Z))
    assert np.isinf(none.number[0])
    assert none.words() == "∞ (NNTH 20 to ∞ to NNTB 20)"


def test_a_number_needed_from_a_ratio_needs_a_baseline():
    found = room.number_needed(fit("OR", 0.7, 0.1), [0.01, 0.2])
    difference = expit(logit(np.array([0.01, 0.2])) + 0.7) - [0.01, 0.2]
    np.testing.assert_allclose(found.number, 1 / difference, rtol=1e-9)
    assert found.words(1).startswith(f"NNTH {1 / difference[1]:.1f} ")
    assert found.to_frame().shape == (2, 6)
    with pytest.raises(MissingInputError, match=r"baseline=0\.05"):
        room.number_needed(fit("OR"))
    with pytest.raises(InputError, match="from 0 to 1"):
        found.words(2)


def test_other_measures_and_baselines_are_refused():
    with pytest.raises(InputError, match="measure with a risk"):
        room.absolute_effect(fit("SMD"), 0.1)
    with pytest.raises(InputError, match="which ratio"):
        room.absolute_effect(fit("RATIO"), 0.1)
    with pytest.raises(InputError, match="between 0 and 1"):
        room.absolute_effect(fit("RR"), 10)
    with pytest.raises(InputError, match="Proportion"):
        room.absolute_effect(mx.RandomEffects(mx.effect_sizes("PLO", events=[1, 2], n=[10, 12])).fit(), 0.1)
