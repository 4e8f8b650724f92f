"""Effects of counts: worked examples, rules for zeros, and what a swap of arms or outcome does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo.effects import ZeroCells, calculate
from metaexo.errors import InputError, UnknownChoiceError

COUNTS = {
    "treatment_events": [4, 0, 0, 12],
    "treatment_n": [123, 20, 20, 12],
    "control_events": [11, 3, 0, 12],
    "control_n": [139, 20, 20, 12],
}


def tables(seed: int, k: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n1, n2 = rng.integers(5, 200, k), rng.integers(5, 200, k)
    return {
        "treatment_events": rng.integers(1, n1),
        "treatment_n": n1,
        "control_events": rng.integers(1, n2),
        "control_n": n2,
    }


def test_a_trial_of_the_bcg_vaccine():
    # Aronson (1948): 4 of 123 against 11 of 139; log RR = log(4/123 / (11/139)) and its Taylor variance
    es = mx.effect_sizes("RR", treatment_events=4, treatment_n=123, control_events=11, control_n=139)
    assert es.y[0] == pytest.approx(np.log(4 * 139 / (123 * 11)), rel=1e-14)
    assert es.v[0] == pytest.approx(1 / 4 - 1 / 123 + 1 / 11 - 1 / 139, rel=1e-13)


def test_zeros_get_a_half_in_every_cell_and_say_so():
    done = calculate("OR", COUNTS)
    odds = (0.5 / 20.5) / (3.5 / 17.5)
    assert done.y[1] == pytest.approx(np.log(odds))
    assert done.v[1] == pytest.approx(1 / 0.5 + 1 / 20.5 + 1 / 3.5 + 1 / 17.5)
    assert [mark.formula for mark in done.derived] == ["", *["continuity correction"] * 3]
    assert done.derived[1].note == "0.5 added to every cell"


def test_studies_without_events_stay_unless_told_otherwise():
    kept = calculate("RD", COUNTS)
    assert kept.y[2] == 0
    dropped = calculate("RD", COUNTS, zero_cells=ZeroCells(0.5, drop_double_zero=True))
    assert np.isnan(dropped.y).tolist() == [False, False, True, True]
    assert dropped.reasons[2:] == ("no event in either group", "an event in everyone of both groups")


@pytest.mark.parametrize(
    ("rule", "touched"),
    [
        (ZeroCells(0.5), [False, True, True, True]),
        (ZeroCells(0.5, "all"), [True] * 4),
        (ZeroCells(0.5, "all_if_any_zero"), [True] * 4),
        (ZeroCells(0.5, "none"), [False] * 4),
        (ZeroCells(0.0, "all"), [False] * 4),
    ],
)
def test_which_studies_the_addition_touches(rule, touched):
    done = calculate("RR", COUNTS, zero_cells=rule)
    assert [bool(mark.formula) for mark in done.derived] == touched


def test_the_addition_may_go_to_the_events_only_or_to_one_side_of_the_result():
    events = calculate("RD", COUNTS, zero_cells=ZeroCells(0.5, cells="events"))
    assert events.y[1] == pytest.approx(0.5 / 20.5 - 3.5 / 20.5)
    variance = calculate("RD", COUNTS, zero_cells=ZeroCells(0.5, share="variance"))
    both = calculate("RD", COUNTS)
    assert variance.y[1] == pytest.approx(-3 / 20)
    assert variance.v[1] == both.v[1]
    assert variance.derived[1].note == "0.5 added to every cell, in the variance only"


def test_a_rule_for_zeros_needs_counts_and_known_words():
    with pytest.raises(InputError, match="rule for zero cells"):
        mx.effect_sizes("MD", continuity=0.5, treatment_mean=1, control_mean=2, t=1)
    with pytest.raises(UnknownChoiceError, match="studies_with_zero"):
        ZeroCells(0.5, "only0")
    with pytest.raises(InputError, match="at least 0"):
        ZeroCells(-0.5)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
@given(seed=st.integers(0, 10**6))
def test_swapping_the_arms_changes_the_sign_only(measure, seed):
    a = tables(seed)
    b = {
        "treatment_events": a["control_events"],
        "treatment_n": a["control_n"],
        "control_events": a["treatment_events"],
        "control_n": a["treatment_n"],
    }
    one, two = calculate(measure, a), calculate(measure, b)
    assert two.y == pytest.approx(-one.y, rel=1e-12, abs=1e-15)
    assert two.v == pytest.approx(one.v, rel=1e-12)


@given(seed=st.integers(0, 10**6))
def test_turning_the_outcome_round_changes_the_sign_of_or_and_rd_but_not_of_rr(seed):
    a = tables(seed)
    b = {**a, "treatment_events": a["treatment_n"] - a["treatment_events"]}
    b["control_events"] = a["control_n"] - a["control_events"]
    for measure in ("OR", "RD"):
        assert calculate(measure, b).y == pytest.approx(-calculate(measure, a).y, rel=1e-9, abs=1e-12)
        assert calculate(measure, b).v == pytest.approx(calculate(measure, a).v, rel=1e-9)


@pytest.mark.parametrize("measure", ["PR", "PLN", "PLO", "PRZ", "PAS", "PFT"])
@given(n=st.integers(2, 500), share=st.floats(0.01, 0.99))
def test_the_display_scale_gives_the_proportion_back(measure, n, share):
    events = min(max(1, round(n * share)), n - 1)
    record = mx.effects.get_measure(measure)
    done = calculate(measure, {"events": events, "n": n})
    assert done.v[0] > 0
    back = record.back(done.y)[0]
    # the double arcsine is only nearly undone without a sample size
    assert back == pytest.approx(events / n, abs=0.6 / n if measure == "PFT" else 1e-9)


@given(seed=st.integers(0, 10**6))
def test_average_variance_lies_within_the_extremes_of_the_own_ones(seed):
    rng = np.random.default_rng(seed)
    n = np.full(5, 50)
    events = rng.integers(1, 25, 5)
    own = calculate("PR", {"events": events, "n": n}).v
    average = calculate("PR", {"events": events, "n": n}, variance="AV").v
    assert (own.min() - 1e-12 <= average).all()
    assert (average <= own.max() + 1e-12).all()
