"""Differences and ratios of two means: worked examples, and routes that must meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo.effects import calculate, t_from_p
from metaexo.effects.corrections import hedges_factor

MEANS = {
    "treatment_mean": [103.0, 5.1, -2.0],
    "treatment_sd": [5.5, 1.1, 0.4],
    "treatment_n": [50, 8, 12],
    "control_mean": [100.0, 5.6, -1.0],
    "control_sd": [4.5, 0.9, 0.7],
    "control_n": [50, 11, 9],
}


def means(seed: int, k: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = {}
    for arm in ("treatment", "control"):
        groups[f"{arm}_mean"] = rng.uniform(5, 50, k)
        groups[f"{arm}_sd"] = rng.uniform(0.5, 9, k)
        groups[f"{arm}_n"] = rng.integers(4, 60, k)
    return groups


def swapped(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    other = {"treatment": "control", "control": "treatment"}
    return {f"{other[n.split('_')[0]]}_{n.split('_')[1]}": x for n, x in inputs.items()}


def t_of(inputs: dict[str, np.ndarray]) -> np.ndarray:
    n1, n2 = inputs["treatment_n"], inputs["control_n"]
    pooled = ((n1 - 1) * inputs["treatment_sd"] ** 2 + (n2 - 1) * inputs["control_sd"] ** 2) / (n1 + n2 - 2)
    return (inputs["treatment_mean"] - inputs["control_mean"]) / np.sqrt(pooled * (1 / n1 + 1 / n2))


def test_a_textbook_example():
    # Borenstein, Hedges, Higgins & Rothstein (2009), Introduction to Meta-Analysis, chapter 4: groups of 50,
    # means 103 and 100, SDs 5.5 and 4.5: difference 3 with variance 1.01; d = 0.5970, J = 0.9923 by the
    # approximation 1 - 3 / (4 df - 1), g = 0.5924 (variance there by another formula).
    raw = mx.effect_sizes("MD", data=None, **{name: x[0] for name, x in MEANS.items()})
    assert raw.y[0] == pytest.approx(3.0)
    assert raw.v[0] == pytest.approx(1.01)
    g = mx.effect_sizes("SMD", **{name: x[0] for name, x in MEANS.items()})
    assert g.y[0] == pytest.approx(0.5924, abs=5e-5)


def test_the_exact_factor_by_its_gamma_functions():
    # J(2) = Gamma(1) / (1 * Gamma(1/2)) = 1 / sqrt(pi); J(3) = (sqrt(pi)/2) / sqrt(3/2)
    assert hedges_factor(2) == pytest.approx(1 / np.sqrt(np.pi), rel=1e-15)
    assert hedges_factor(3) == pytest.approx(np.sqrt(np.pi) / 2 / np.sqrt(1.5), rel=1e-15)
    assert np.isnan(hedges_factor(1))


def test_the_factor_keeps_its_digits_in_large_samples():
    # Gamma(x + 1) = x Gamma(x) gives J(m) J(m - 1) = (m - 2) / sqrt(m (m - 1)) without any gamma function
    m = np.array([3.0, 50.0, 99.0, 100.0, 101.0, 102.0, 5000.0, 1e6])
    product = hedges_factor(m) * hedges_factor(m - 1)
    assert product == pytest.approx((m - 2) / np.sqrt(m * (m - 1)), rel=3e-14)


@pytest.mark.filterwarnings("ignore::metaexo.errors.NegativeMeansWarning")
def test_negative_means_of_one_sign_have_a_ratio_and_mixed_signs_have_none():
    done = calculate("ROM", {**MEANS, "control_mean": [100.0, -5.6, -1.0]})
    assert np.isfinite(done.y).tolist() == [True, False, True]
    assert done.reasons[1] == "ROM has no effect for these numbers"
    assert done.y[2] == pytest.approx(np.log(2) + (0.04 / 12 - 0.49 / 9) / 2)


@pytest.mark.parametrize("measure", ["MD", "SMD", "ROM", "CVR", "VR"])
@given(seed=st.integers(0, 10**6))
def test_swapping_the_arms_changes_the_sign_only(measure, seed):
    inputs = means(seed)
    if measure == "VR":
        inputs = {name: x for name, x in inputs.items() if not name.endswith("mean")}
    one, two = calculate(measure, inputs), calculate(measure, swapped(inputs))
    assert two.y == pytest.approx(-one.y, rel=1e-12, abs=1e-15)
    assert two.v == pytest.approx(one.v, rel=1e-12)


@given(seed=st.integers(0, 10**6), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_g_does_not_see_shift_and_scale_and_the_difference_follows_them(seed, shift, scale):
    inputs = means(seed)
    moved = {
        name: x * scale + (shift if name.endswith("mean") else 0) if not name.endswith("_n") else x
        for name, x in inputs.items()
    }
    assert calculate("SMD", moved).y == pytest.approx(calculate("SMD", inputs).y, rel=1e-9, abs=1e-9)
    assert calculate("SMD", moved).v == pytest.approx(calculate("SMD", inputs).v, rel=1e-9)
    raw, raw_moved = calculate("MD", inputs), calculate("MD", moved)
    assert raw_moved.y == pytest.approx(scale * raw.y, rel=1e-9, abs=1e-9)
    assert raw_moved.v == pytest.approx(scale**2 * raw.v, rel=1e-9)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_ratios_do_not_see_the_unit(seed, scale):
    inputs = means(seed)
    moved = {name: x if name.endswith("_n") else x * scale for name, x in inputs.items()}
    for measure in ("ROM", "CVR"):
        assert calculate(measure, moved).y == pytest.approx(calculate(measure, inputs).y, rel=1e-9, abs=1e-12)
        assert calculate(measure, moved).v == pytest.approx(calculate(measure, inputs).v, rel=1e-9)


@given(seed=st.integers(0, 10**6))
def test_means_t_and_exact_p_lead_to_one_g(seed):
    inputs = means(seed)
    sizes = {name: inputs[name] for name in ("treatment_n", "control_n")}
    t = t_of(inputs)
    by_means = calculate("SMD", inputs)
    by_t = calculate("SMD", {"t": t, **sizes})
    assert by_t.y == pytest.approx(by_means.y, rel=1e-12)
    assert by_t.v == pytest.approx(by_means.v, rel=1e-12)
    assert {mark.formula for mark in by_t.derived} == {"d from t"}


@given(p=st.floats(1e-300, 1.0, exclude_max=True), df=st.integers(2, 500), sign=st.sampled_from([-1.0, 1.0]))
def test_t_from_p_and_back(p, df, sign):
    from scipy.special import stdtr

    t = t_from_p(np.array(p), np.array(sign), np.array(float(df)))
    assert np.sign(t) == sign or p > 0.999
    assert 2 * stdtr(df, -abs(t)) == pytest.approx(p, rel=1e-6)


def test_the_first_complete_route_is_taken_row_by_row():
    es = mx.effect_sizes(
        "SMD",
        treatment_mean=[24.0, np.nan, np.nan],
        treatment_sd=5.0,
        treatment_n=[10, 10, 10],
        control_mean=[18.0, np.nan, np.nan],
        control_sd=5.0,
        control_n=10,
        t=[9.9, 2.0, np.nan],
        p_value=[0.9, 0.9, 0.05],
        direction=-1,
    )
    assert [mark.formula for mark in es.derived] == ["", "d from t", "d from exact p"]
    assert [mark.how for mark in es.derived] == ["reported", "converted", "converted"]
    assert es.y[0] == pytest.approx(1.2 * hedges_factor(18))
    assert es.y[2] < 0


@pytest.mark.parametrize("variance", ["LS", "LS2", "UB", "AV", "H0"])
@given(seed=st.integers(0, 10**6))
def test_variances_of_g_are_positive(variance, seed):
    assert (calculate("SMD", means(seed), variance=variance).v > 0).all()


@pytest.mark.parametrize("measure", ["MD", "SMD", "ROM", "CVR"])
@given(seed=st.integers(0, 10**6))
def test_all_rows_at_once_equal_row_by_row(measure, seed):
    inputs = means(seed)
    whole = calculate(measure, inputs)
    rows = [calculate(measure, {name: x[i] for name, x in inputs.items()}) for i in range(6)]
    assert whole.y.tolist() == [row.y[0] for row in rows]
    assert whole.v.tolist() == [row.v[0] for row in rows]
