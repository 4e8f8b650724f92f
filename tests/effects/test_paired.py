"""The same people twice: means, ratios and events of matched pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaexo.effects import calculate
from metaexo.effects.corrections import hedges_factor

PAIR = {"post_mean": 12.0, "post_sd": 2.5, "pre_mean": 10.0, "pre_sd": 2.0, "n": 20, "correlation": 0.6}
TURNED = {"post_mean": 10.0, "post_sd": 2.0, "pre_mean": 12.0, "pre_sd": 2.5, "n": 20, "correlation": 0.6}


def people(seed: int, n: int = 30) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Return two conditions of the same people and their summary."""
    rng = np.random.default_rng(seed)
    base = rng.normal(20, 3, n)
    post, pre = base + rng.normal(1.5, 2, n), base + rng.normal(0, 1.5, n)
    summary = {
        "post_mean": post.mean(),
        "post_sd": post.std(ddof=1),
        "pre_mean": pre.mean(),
        "pre_sd": pre.std(ddof=1),
        "n": n,
        "correlation": np.corrcoef(post, pre)[0, 1],
    }
    return post, pre, summary


@given(seed=st.integers(0, 10**6))
def test_the_summary_gives_what_the_people_give(seed):
    post, pre, summary = people(seed)
    change = post - pre
    raw = calculate("MC", summary)
    assert raw.y[0] == pytest.approx(change.mean())
    assert raw.v[0] == pytest.approx(change.var(ddof=1) / change.size)
    d = change.mean() / change.std(ddof=1)
    assert calculate("SMCC", summary).y[0] == pytest.approx(d * hedges_factor(29))
    t = d * np.sqrt(30)
    by_t = calculate("SMCC", {"t": t, "n": 30})
    assert by_t.y[0] == pytest.approx(calculate("SMCC", summary).y[0])
    assert calculate("MC", {"post_mean": post.mean(), "pre_mean": pre.mean(), "t": t}).v[0] == pytest.approx(
        raw.v[0]
    )


@pytest.mark.parametrize("code", ["MC", "SMCC", "SMCRP", "SMCRPH", "ROMC", "CVRC"])
def test_swapping_the_conditions_changes_the_sign(code):
    one, two = calculate(code, PAIR), calculate(code, TURNED)
    assert two.y[0] == pytest.approx(-one.y[0])
    assert two.v[0] == pytest.approx(one.v[0])


def test_the_probability_of_superiority_is_that_of_its_opposite():
    one, two = calculate("CLESCN", PAIR), calculate("CLESCN", TURNED)
    assert one.y[0] + two.y[0] == pytest.approx(1)
    assert two.v[0] == pytest.approx(one.v[0])


def test_without_correlation_pairs_are_two_groups():
    alone = {**PAIR, "correlation": 0.0}
    groups = {
        "treatment_mean": 12.0,
        "treatment_sd": 2.5,
        "treatment_n": 20,
        "control_mean": 10.0,
        "control_sd": 2.0,
        "control_n": 20,
    }
    for paired, independent in (("MC", "MD"), ("ROMC", "ROM")):
        assert calculate(paired, alone).v[0] == pytest.approx(calculate(independent, groups).v[0])
    # the unequal-variance forms divide by n - 1 in both families
    assert calculate("SMCRPH", alone).v[0] == pytest.approx(
        calculate("SMDH", groups).v[0], rel=0.02
    )  # J differs by its degrees of freedom


@given(r=st.floats(-0.9, 0.9))
def test_the_more_alike_the_conditions_the_smaller_the_variance(r):
    lower = calculate("MC", {**PAIR, "correlation": r}).v[0]
    assert calculate("MC", {**PAIR, "correlation": r + 0.05}).v[0] < lower


def tables(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(2, 40, 5) for name in ("both", "first_only", "second_only", "neither")}


@pytest.mark.parametrize("code", ["MPRR", "MPRD", "MPOR", "MPORC", "MPPETO"])
@given(seed=st.integers(0, 10**6))
def test_swapping_the_sides_of_matched_pairs_changes_the_sign(code, seed):
    table = tables(seed)
    turned = {**table, "first_only": table["second_only"], "second_only": table["first_only"]}
    one, two = calculate(code, table), calculate(code, turned)
    assert two.y == pytest.approx(-one.y, rel=1e-12, abs=1e-15)
    assert two.v == pytest.approx(one.v, rel=1e-12)


@given(seed=st.integers(0, 10**6))
def test_margins_with_the_correlation_of_the_pairs_give_the_effect_of_the_pairs(seed):
    table = {name: x.astype(float) for name, x in tables(seed).items()}
    a, b, c, d = (table[name] for name in ("both", "first_only", "second_only", "neither"))
    margins = {"first_events": a + b, "second_events": a + c, "n": a + b + c + d}
    phi = (a * d - b * c) / np.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    expected = calculate("MPOR", table)
    for more in ({"phi": phi}, {"both_share": a / margins["n"]}):
        done = calculate("MPORM", {**margins, **more})
        assert done.y == pytest.approx(expected.y, rel=1e-9, abs=1e-12)
        assert done.v == pytest.approx(expected.v, rel=1e-9)


def test_margins_and_shares_that_contradict_each_other_have_no_variance():
    done = calculate("MPORM", {"first_events": 10, "second_events": 12, "n": 40, "both_share": 0.5})
    assert np.isfinite(done.y[0])
    assert np.isnan(done.v[0])
    assert done.reasons[0] == "MPORM has no sampling variance for these numbers"


def test_a_zero_in_matched_pairs_is_corrected_and_told():
    done = calculate("MPORC", {"both": 5, "first_only": 0, "second_only": 4, "neither": 9})
    assert done.y[0] == pytest.approx(np.log(0.5 / 4.5))
    assert done.derived[0].formula == "continuity correction"
