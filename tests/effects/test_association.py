"""Correlations of all kinds: from tables, from groups, from regressions; shares of variance; reliability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, stdtr

from metaexo.effects import calculate
from metaexo.effects.corrections import hypergeometric, unbiased_correlation
from metaexo.effects.formulas import bivariate_normal_cdf


def test_the_bivariate_normal_probability_at_known_places():
    h = np.array([0.0, 0.0, 1.0, -1.0])
    k = np.array([0.0, 0.0, -1.0, -2.0])
    r = np.array([0.5, -0.5, 0.0, 0.0])
    expected = [1 / 3, 1 / 6, ndtr(1) * ndtr(-1), ndtr(-1) * ndtr(-2)]
    assert bivariate_normal_cdf(h, k, r) == pytest.approx(expected, rel=1e-12)


@given(h=st.floats(-2, 2), k=st.floats(-2, 2), r=st.floats(-0.95, 0.95))
def test_the_tetrachoric_correlation_finds_the_correlation_behind_the_table(h, k, r):
    first = float(bivariate_normal_cdf(np.array(h), np.array(k), np.array(r)))
    row, column = float(ndtr(h)), float(ndtr(k))
    if min(first, row - first, column - first, 1 - row - column + first) < 1e-4:
        return
    n = 1e6
    counts = {
        "treatment_events": first * n,
        "treatment_n": row * n,
        "control_events": (column - first) * n,
        "control_n": (1 - row) * n,
    }
    assert calculate("RTET", counts).y[0] == pytest.approx(r, abs=1e-7)


def test_the_variance_of_an_independent_table_in_closed_form():
    # r = 0: p1 q1 p2 q2 / (N phi(h)^2 phi(k)^2), here p1 = p2 = 1/2: (1/16) (2 pi)^2 / N
    done = calculate(
        "RTET", {"treatment_events": 50, "treatment_n": 100, "control_events": 50, "control_n": 100}
    )
    assert done.y[0] == pytest.approx(0, abs=1e-12)
    assert done.v[0] == pytest.approx((2 * np.pi) ** 2 / 16 / 200, rel=1e-9)


def test_an_empty_cell_puts_the_correlation_at_the_end_and_leaves_no_variance():
    done = calculate("RTET", {"treatment_events": 0, "treatment_n": 9, "control_events": 4, "control_n": 9})
    assert done.y[0] == -1
    assert np.isnan(done.v[0])


@given(seed=st.integers(0, 10**6))
def test_phi_is_the_correlation_of_the_people(seed):
    rng = np.random.default_rng(seed)
    group, event = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    if len(set(group)) < 2 or len(set(event)) < 2:
        return
    counts = {
        "treatment_events": int((group & event).sum()),
        "treatment_n": int(group.sum()),
        "control_events": int(((1 - group) & event).sum()),
        "control_n": int((1 - group).sum()),
    }
    expected = np.corrcoef(group, event)[0, 1]
    assert calculate("PHI", counts).y[0] == pytest.approx(expected, abs=1e-12)
    fixed, free = (calculate("PHI", counts, variance=kind).v[0] for kind in ("ST", "CS"))
    assert fixed <= free * (1 + 1e-9)


@given(seed=st.integers(0, 10**6))
def test_the_point_biserial_correlation_is_the_correlation_of_the_people(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(1, 2, 12), rng.normal(0, 2, 17)
    inputs = {
        "treatment_mean": a.mean(),
        "treatment_sd": a.std(ddof=1),
        "treatment_n": 12,
        "control_mean": b.mean(),
        "control_sd": b.std(ddof=1),
        "control_n": 17,
    }
    group = np.repeat([1.0, 0.0], [12, 17])
    r = np.corrcoef(group, np.concatenate([a, b]))[0, 1]
    done = calculate("RPB", inputs)
    assert done.y[0] == pytest.approx(r)
    z = calculate("ZPB", inputs)
    assert z.y[0] == pytest.approx(np.arctanh(r))
    assert z.v[0] == pytest.approx(done.v[0] / (1 - r**2) ** 2)


def test_the_unbiased_correlation_and_its_function():
    # F(1, 1; 2; z) = -log(1 - z) / z; large c by the series, small c by the library
    assert hypergeometric(1.0, 2.0, 0.75) == pytest.approx(np.log(4) / 0.75)
    z = np.array([0.2, 0.9, 1.0])
    assert hypergeometric(0.5, 24.9, z) == pytest.approx(hypergeometric(0.5, 25.1, z), rel=1e-3)
    n = np.array([10.0, 1e4])
    assert unbiased_correlation(0.4, n) == pytest.approx(0.4 * (1 + 0.84 / (2 * (n - 4))), rel=5e-3)
    assert unbiased_correlation(-0.4, n) == pytest.approx(-unbiased_correlation(0.4, n))


@given(r=st.floats(-0.95, 0.95), n=st.integers(5, 300))
def test_correlations_from_t_and_from_p(r, n):
    t = r * np.sqrt((n - 2) / (1 - r**2))
    p = 2 * stdtr(n - 2, -abs(t))
    for code in ("COR", "ZCOR", "UCOR"):
        direct = calculate(code, {"correlation": r, "n": n})
        by_t = calculate(code, {"t": t, "n": n})
        assert by_t.y[0] == pytest.approx(direct.y[0], rel=1e-9, abs=1e-12)
        if p > 1e-290 and abs(r) > 1e-6:
            by_p = calculate(code, {"p_value": p, "direction": np.sign(r), "n": n})
            assert by_p.y[0] == pytest.approx(direct.y[0], rel=1e-6)


def test_small_samples_keep_the_correlation_and_lose_the_variance():
    done = calculate("COR", {"correlation": 0.5, "n": [3, 4]})
    assert done.y.tolist() == [0.5, 0.5]
    assert np.isnan(done.v).tolist() == [True, False]


def regression(seed: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return y, X (two predictors), R2 and the t of the first predictor."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 2))
    y = x @ [0.6, 0.3] + rng.normal(size=40)
    design = np.column_stack([np.ones(40), x])
    beta, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
    r2 = 1 - float(rss[0]) / float(((y - y.mean()) ** 2).sum())
    cov = np.linalg.inv(design.T @ design) * float(rss[0]) / 37
    return y, x, r2, float(beta[1] / np.sqrt(cov[1, 1]))


@given(seed=st.integers(0, 10**6))
def test_partial_and_semipartial_correlations_of_a_regression(seed):
    y, x, r2, t = regression(seed)
    rest = np.column_stack([np.ones(40), x[:, 1]])

    def residual(v: np.ndarray) -> np.ndarray:
        return v - rest @ np.linalg.lstsq(rest, v, rcond=None)[0]

    partial = np.corrcoef(residual(y), residual(x[:, 0]))[0, 1]
    semi = np.corrcoef(y, residual(x[:, 0]))[0, 1]
    given = {"t": t, "n": 40, "predictors": 2}
    assert calculate("PCOR", given).y[0] == pytest.approx(partial)
    assert calculate("SPCOR", {**given, "r_squared": r2}).y[0] == pytest.approx(semi)
    f = r2 / 2 / ((1 - r2) / 37)
    assert calculate("R2", {"f": f, "n": 40, "predictors": 2}).y[0] == pytest.approx(r2)


def test_r_squared_from_a_tiny_p_keeps_its_digits():
    from scipy.special import fdtrc

    n, m, r2 = 500.0, 3.0, 0.6
    f = r2 / m / ((1 - r2) / (n - m - 1))
    p = fdtrc(m, n - m - 1, f)
    assert p < 1e-90
    assert calculate("R2", {"p_value": p, "n": n, "predictors": m}).y[0] == pytest.approx(r2, rel=1e-9)


def test_fixed_predictors_leave_less_variance_than_random_ones():
    given = {"r_squared": [0.2, 0.5], "n": 200, "predictors": 3}
    assert (calculate("R2F", given).v < calculate("R2", given).v).all()


@pytest.mark.parametrize("code", ["ARAW", "AHW", "ABT"])
def test_reliability_there_and_back(code):
    from metaexo.effects import get_measure

    done = calculate(code, {"alpha": [0.3, 0.85], "items": 10, "n": 50})
    assert get_measure(code).back(done.y) == pytest.approx([0.3, 0.85])


def test_equilibrium_has_no_excess_of_heterozygotes():
    p = 0.3
    counts = {
        "homozygous_first": 1000 * p**2,
        "heterozygous": 2000 * p * (1 - p),
        "homozygous_second": 1000 * (1 - p) ** 2,
    }
    assert calculate("REH", counts).y[0] == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 10**6))
def test_superiority_by_normal_theory_agrees_with_counting_pairs(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.7, 1, 4000), rng.normal(0, 2, 4000)
    counted = np.searchsorted(np.sort(b), a).mean() / b.size
    inputs = {
        "treatment_mean": a.mean(),
        "treatment_sd": a.std(ddof=1),
        "treatment_n": 4000,
        "control_mean": b.mean(),
        "control_sd": b.std(ddof=1),
        "control_n": 4000,
    }
    done = calculate("CLESN", inputs)
    assert done.y[0] == pytest.approx(counted, abs=4 * np.sqrt(done.v[0]))
    free = calculate("CLES", {"auc": counted, "treatment_n": 4000, "control_n": 4000})
    assert free.v[0] == pytest.approx(done.v[0], rel=0.2)


def test_ties_make_the_variance_of_a_superiority_smaller():
    given = {"auc": 0.7, "treatment_n": 20, "control_n": 25}
    with_ties = calculate("CLES", {**given, "ties": 0.2}, variance="LS2")
    assert with_ties.v[0] < calculate("CLES", given, variance="LS2").v[0]
