"""t, F, p, chi-square, odds ratios, correlations: against tests of raw data; each way and its way back."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import metaexo as mx
from metaexo import effects
from metaexo.errors import (
    CorrelationError,
    InputError,
    NegativeSDError,
    ProportionError,
    PValueError,
    SampleSizeError,
    ShapeError,
    UnknownChoiceError,
)

RNG = np.random.default_rng(20240611)
ONE, TWO = RNG.normal(12, 3, 14), RNG.normal(10, 3, 9)
N = ONE.size, TWO.size
POOLED = np.sqrt((13 * ONE.var(ddof=1) + 8 * TWO.var(ddof=1)) / 21)
GAP = ONE.mean() - TWO.mean()
BEFORE = RNG.normal(10, 2, 16)
AFTER = 0.7 * BEFORE + RNG.normal(4, 1, 16)


def test_the_sd_within_groups_is_recovered_from_tests_of_raw_data():
    t, p = stats.ttest_ind(ONE, TWO)
    f = stats.f_oneway(ONE, TWO).statistic
    tail = stats.ttest_ind(ONE, TWO, alternative="greater").pvalue
    assert float(effects.sd_from_t(GAP, t, *N)) == pytest.approx(POOLED, rel=1e-12)
    assert float(effects.sd_from_f(GAP, f, *N)) == pytest.approx(POOLED, rel=1e-12)
    assert float(effects.sd_from_p(GAP, p, *N)) == pytest.approx(POOLED, rel=1e-10)
    assert float(effects.sd_from_p(GAP, tail, *N, one_sided=True)) == pytest.approx(POOLED, rel=1e-10)
    assert float(effects.t_from_sd(GAP, POOLED, *N)) == pytest.approx(t, rel=1e-12)


def test_the_sd_within_groups_is_recovered_from_an_analysis_of_variance_of_four_groups():
    groups = [RNG.normal(centre, 2, size) for centre, size in ((3, 6), (5, 9), (4, 7), (8, 12))]
    f = stats.f_oneway(*groups).statistic
    sizes = np.array([group.size for group in groups])
    within = np.sqrt(sum(((x - x.mean()) ** 2).sum() for x in groups) / (sizes.sum() - 4))
    means = np.array([group.mean() for group in groups])
    assert float(effects.sd_from_anova(f, means, sizes)) == pytest.approx(within, rel=1e-12)
    assert float(effects.anova_f_from_sd(within, means, sizes)) == pytest.approx(f, rel=1e-12)
    rows = effects.sd_from_anova([f, 2 * f], [means, means + 7], sizes)
    assert rows == pytest.approx([within, within / np.sqrt(2)], rel=1e-12)


def test_an_analysis_of_variance_of_two_groups_is_a_t_test():
    f = stats.f_oneway(ONE, TWO).statistic
    of_anova = effects.sd_from_anova(f, [ONE.mean(), TWO.mean()], N)
    assert float(of_anova) == pytest.approx(float(effects.sd_from_f(GAP, f, *N)), rel=1e-12)


def test_the_sd_of_changes_is_recovered_from_a_paired_test():
    change = AFTER - BEFORE
    t, p = stats.ttest_rel(AFTER, BEFORE)
    sd = change.std(ddof=1)
    r = np.corrcoef(AFTER, BEFORE)[0, 1]
    both = BEFORE.std(ddof=1), AFTER.std(ddof=1)
    assert float(effects.change_sd_from_t(change.mean(), t, 16)) == pytest.approx(sd, rel=1e-12)
    assert float(effects.change_sd_from_p(change.mean(), p, 16)) == pytest.approx(sd, rel=1e-10)
    assert float(effects.change_sd(*both, r)) == pytest.approx(sd, rel=1e-12)
    assert float(effects.correlation_from_change_sd(sd, *both)) == pytest.approx(r, rel=1e-12)
    assert float(effects.t_from_change_sd(change.mean(), sd, 16)) == pytest.approx(t, rel=1e-12)


def test_d_of_every_statistic_of_one_data_set_is_one_number():
    d = GAP / POOLED
    t, p = stats.ttest_ind(ONE, TWO)
    f = stats.f_oneway(ONE, TWO).statistic
    r = np.corrcoef(np.repeat([1, 0], N), np.concatenate([ONE, TWO]))[0, 1]
    assert float(effects.d_of_t(t, *N)) == pytest.approx(d, rel=1e-12)
    assert float(effects.d_of_f(f, 1, *N)) == pytest.approx(d, rel=1e-12)
    assert float(effects.d_of_p(p, 1, *N)) == pytest.approx(d, rel=1e-10)
    assert float(effects.d_of_point_biserial(r, *N)) == pytest.approx(d, rel=1e-12)


TABLE = np.array([[18, 12], [7, 23]])


def test_d_of_a_chi_square_is_that_of_the_outcome_as_zero_and_one():
    chi_square = stats.chi2_contingency(TABLE, correction=False).statistic
    treated, controls = np.repeat([1, 0], TABLE[0]), np.repeat([1, 0], TABLE[1])
    pooled = np.sqrt((treated.var(ddof=1) + controls.var(ddof=1)) / 2)
    d = (treated.mean() - controls.mean()) / pooled
    assert float(effects.d_of_chi_square(chi_square, 1, 30, 30)) == pytest.approx(d, rel=1e-12)
    assert float(effects.d_of_chi_square(chi_square, -1, 30, 30)) == pytest.approx(-d, rel=1e-12)


def test_the_odds_ratio_of_a_chi_square_is_that_of_its_table():
    chi_square = stats.chi2_contingency(TABLE, correction=False).statistic
    log_odds = np.log(18 * 23 / (12 * 7))
    found = effects.log_odds_ratio_of_chi_square(chi_square, 1, 30, 30, 25)
    assert float(found) == pytest.approx(log_odds, rel=1e-12)
    assert float(effects.chi_square_of_log_odds_ratio(log_odds, 30, 30, 25)) == pytest.approx(chi_square)
    events = {"treatment_events": 18, "treatment_n": 30, "control_events": 7, "control_n": 30}
    assert float(effects.d_of_log_odds_ratio(found)) == pytest.approx(mx.effect_sizes("OR2DL", **events).y[0])
    cox = effects.d_of_log_odds_ratio(found, "normal")
    assert float(cox) == pytest.approx(mx.effect_sizes("OR2DN", **events).y[0])
    assert float(effects.d_of_risks(18 / 30, 7 / 30)) == pytest.approx(mx.effect_sizes("PBIT", **events).y[0])


def test_no_table_has_a_chi_square_that_large():
    assert np.isnan(effects.log_odds_ratio_of_chi_square(59.0, 1, 30, 30, 25))
    assert np.isinf(effects.log_odds_ratio_of_chi_square(60.0, 1, 30, 30, 30))


SIZE = st.integers(2, 400)
D = st.floats(-4, 4)


@given(d=D, n1=SIZE, n2=SIZE)
def test_d_and_back(d, n1, n2):
    sizes, sign = (n1, n2), np.sign(d)
    close = {"rel": 1e-9, "abs": 1e-12}
    assert float(effects.d_of_t(effects.t_of_d(d, *sizes), *sizes)) == pytest.approx(d, **close)
    assert float(effects.d_of_f(effects.f_of_d(d, *sizes), sign, *sizes)) == pytest.approx(d, **close)
    r = effects.point_biserial_of_d(d, *sizes)
    assert float(effects.d_of_point_biserial(r, *sizes)) == pytest.approx(d, **close)
    chi_square = effects.chi_square_of_d(d, *sizes)
    assert float(effects.d_of_chi_square(chi_square, sign, *sizes)) == pytest.approx(d, rel=1e-7, abs=1e-7)
    for outcome in ("logistic", "normal"):
        y = effects.log_odds_ratio_of_d(d, outcome)
        assert float(effects.d_of_log_odds_ratio(y, outcome)) == pytest.approx(d, rel=1e-14)


@given(d=D, n1=SIZE, n2=SIZE)
def test_d_and_back_over_p(d, n1, n2):
    assume(abs(d) > 1e-6)
    p = effects.p_of_d(d, n1, n2)
    assume(p > 1e-290)
    assert float(effects.d_of_p(p, np.sign(d), n1, n2)) == pytest.approx(d, rel=1e-8)
    beyond = effects.p_of_d(d, n1, n2, one_sided=True, direction=np.sign(d))
    assert float(beyond) == pytest.approx(float(p) / 2, rel=1e-12)
    back = effects.d_of_p(beyond, np.sign(d), n1, n2, one_sided=True)
    assert float(back) == pytest.approx(d, rel=1e-8)


@given(t=st.floats(-6, 6), df=st.integers(1, 300))
def test_a_one_sided_p_beyond_one_half_is_an_effect_on_the_other_side(t, df):
    p = effects.p_from_t(t, df, one_sided=True)
    assert float(p) == pytest.approx(float(stats.t.sf(t, df)), rel=1e-9)
    assume(abs(t) > 1e-6)
    assert float(effects.t_from_p(p, 1, df, one_sided=True)) == pytest.approx(t, rel=1e-6)


@given(d=st.floats(-3, 3), risk=st.floats(0.01, 0.99))
def test_risks_and_back(d, risk):
    treated = effects.risk_of_d(d, risk)
    assert 0 <= float(treated) <= 1
    assert float(effects.d_of_risks(treated, risk)) == pytest.approx(d, rel=1e-7, abs=1e-9)


@given(
    cells=st.tuples(*[st.integers(1, 60)] * 4),
)
def test_chi_square_and_log_odds_ratio_of_every_table(cells):
    a, b, c, d = cells
    log_odds = np.log(a * d / (b * c))
    chi_square = effects.chi_square_of_log_odds_ratio(log_odds, a + b, c + d, a + c)
    expected = (a * d - b * c) ** 2 * sum(cells) / ((a + b) * (c + d) * (a + c) * (b + d))
    assert float(chi_square) == pytest.approx(expected, rel=1e-7, abs=1e-12)
    back = effects.log_odds_ratio_of_chi_square(expected, np.sign(log_odds), a + b, c + d, a + c)
    assert float(back) == pytest.approx(log_odds, rel=1e-9, abs=1e-9)


@given(gap=st.floats(0.01, 50), sd=st.floats(0.01, 50), n1=SIZE, n2=SIZE)
def test_the_sd_and_back_over_every_test(gap, sd, n1, n2):
    t = effects.t_from_sd(-gap, sd, n1, n2)
    assert float(effects.sd_from_t(-gap, t, n1, n2)) == pytest.approx(sd, rel=1e-12)
    assert float(effects.sd_from_f(gap, effects.f_from_t(t), n1, n2)) == pytest.approx(sd, rel=1e-12)
    p = effects.p_from_t(t, n1 + n2 - 2)
    assume(1e-290 < p < 0.999)
    assert float(effects.sd_from_p(gap, p, n1, n2)) == pytest.approx(sd, rel=1e-7)
    assert float(effects.t_from_f(effects.f_from_t(t), -1)) == pytest.approx(float(t), rel=1e-12)


@given(s1=st.floats(0.1, 20), s2=st.floats(0.1, 20), r=st.floats(-0.99, 0.99), n=SIZE)
def test_the_sd_of_changes_and_back(s1, s2, r, n):
    sd = float(effects.change_sd(s1, s2, r))
    back = effects.correlation_from_change_sd(sd, s1, s2)
    assert float(back) == pytest.approx(r, abs=1e-7 * max(s1 / s2, s2 / s1))
    t = effects.t_from_change_sd(2.0, sd, n)
    assert float(effects.change_sd_from_t(2.0, t, n)) == pytest.approx(sd, rel=1e-12)
    p = effects.p_from_t(t, n - 1)
    assume(1e-290 < p < 0.999)
    assert float(effects.change_sd_from_p(2.0, p, n)) == pytest.approx(sd, rel=1e-7)


VECTORS = {
    "sd_from_t": ([2.0, 3.0], [1.0, -2.0], [8, 9], [7, 6]),
    "sd_from_p": ([2.0, 3.0], [0.04, 0.2], [8, 9], [7, 6]),
    "sd_from_f": ([2.0, 3.0], [4.0, 5.0], [8, 9], [7, 6]),
    "t_from_sd": ([2.0, 3.0], [4.0, 5.0], [8, 9], [7, 6]),
    "change_sd": ([2.0, 3.0], [4.0, 5.0], [0.2, -0.1]),
    "correlation_from_change_sd": ([3.0, 4.0], [2.0, 3.0], [3.0, 4.0]),
    "change_sd_from_t": ([2.0, 3.0], [1.0, -2.0], [8, 9]),
    "change_sd_from_p": ([2.0, 3.0], [0.01, 0.2], [8, 9]),
    "t_from_change_sd": ([2.0, 3.0], [1.0, 2.0], [8, 9]),
    "t_from_p": ([0.04, 0.2], [1, -1], [8, 9]),
    "p_from_t": ([0.04, 0.2], [8, 9]),
    "t_from_f": ([4.0, 5.0], [1, -1]),
    "d_of_t": ([1.0, -2.0], [8, 9], [7, 6]),
    "t_of_d": ([1.0, -2.0], [8, 9], [7, 6]),
    "d_of_f": ([1.0, 2.0], [1, -1], [8, 9], [7, 6]),
    "f_of_d": ([1.0, -2.0], [8, 9], [7, 6]),
    "d_of_p": ([0.04, 0.2], [1, -1], [8, 9], [7, 6]),
    "p_of_d": ([1.0, -2.0], [8, 9], [7, 6]),
    "d_of_chi_square": ([1.0, 2.0], [1, -1], [8, 9], [7, 6]),
    "chi_square_of_d": ([1.0, -2.0], [8, 9], [7, 6]),
    "d_of_log_odds_ratio": ([1.0, -2.0],),
    "log_odds_ratio_of_d": ([1.0, -2.0],),
    "d_of_risks": ([0.2, 0.4], [0.5, 0.1]),
    "risk_of_d": ([1.0, -2.0], [0.5, 0.1]),
    "log_odds_ratio_of_chi_square": ([1.0, 2.0], [1, -1], [8, 9], [7, 6], [5, 6]),
    "chi_square_of_log_odds_ratio": ([1.0, -2.0], [8, 9], [7, 6], [5, 6]),
}


@pytest.mark.parametrize("name", VECTORS)
def test_arrays_give_what_single_numbers_give_and_what_is_missing_stays_missing(name):
    function = getattr(effects, name)
    arguments = VECTORS[name]
    whole = function(*arguments)
    alone = [float(function(*(column[i] for column in arguments))) for i in range(2)]
    assert whole.tolist() == alone
    for i, column in enumerate(arguments):
        gap = [*arguments[:i], [np.nan, column[1]], *arguments[i + 1 :]]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = function(*gap)
        assert np.isnan(found[0])
        assert found[1] == whole[1]


def test_a_test_that_found_nothing_tells_nothing_of_the_spread():
    assert np.isnan(effects.sd_from_t(2.0, 0.0, 8, 8))
    assert np.isnan(effects.sd_from_p(2.0, 1.0, 8, 8))
    assert np.isnan(effects.sd_from_f(2.0, 0.0, 8, 8))
    assert np.isnan(effects.sd_from_anova(0.0, [1.0, 2.0, 3.0], 5))
    assert np.isnan(effects.change_sd_from_t(2.0, 0.0, 8))
    assert np.isnan(effects.correlation_from_change_sd(9.0, 2.0, 2.0))


REFUSED = [
    (lambda: effects.sd_from_p(1.0, 5.0, 8, 8), PValueError, "entry 1: 5"),
    (lambda: effects.d_of_p([0.1, -0.1], 1, 8, 8), PValueError, "entry 2"),
    (lambda: effects.d_of_f(-2.0, 1, 8, 8), InputError, "f is negative"),
    (lambda: effects.d_of_chi_square(-2.0, 1, 8, 8), InputError, "chi_square is negative"),
    (lambda: effects.d_of_chi_square(17.0, 1, 8, 8), InputError, "above the number of people"),
    (lambda: effects.d_of_t(2.0, 0, 8), SampleSizeError, "treatment_n is below 1"),
    (lambda: effects.change_sd(-1.0, 2.0, 0.5), NegativeSDError, "baseline_sd"),
    (lambda: effects.change_sd(1.0, 2.0, 1.5), CorrelationError, "outside -1 to 1"),
    (lambda: effects.d_of_point_biserial(1.02), CorrelationError, "outside -1 to 1"),
    (lambda: effects.d_of_risks(20.0, 0.1), ProportionError, "20 per cent"),
    (lambda: effects.d_of_log_odds_ratio(1.0, "cauchy"), UnknownChoiceError, "cauchy"),
    (lambda: effects.sd_from_anova(3.0, 4.0, 5), ShapeError, "two groups"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_impossible_values_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_examples_of_the_handbook():
    # Cochrane Handbook 6.5.2.3: t of p = 0.008 with 45 df is 2.78; the SE of 3.8 is 1.37
    t = effects.t_from_p(0.008, 1, 45)
    assert float(t) == pytest.approx(2.78, abs=5e-3)
    assert 3.8 / float(t) == pytest.approx(1.37, abs=5e-3)
    # 6.5.2.8: baseline SD 4.0, final SD 4.4, change SD 4.6 give a correlation of 0.40
    assert float(effects.correlation_from_change_sd(4.6, 4.0, 4.4)) == pytest.approx(0.40, abs=5e-3)


def test_d_of_an_f_from_the_public_door_is_marked():
    es = mx.effect_sizes("SMD", f=[4.0, 9.0], direction=[1, -1], treatment_n=10, control_n=12)
    same = mx.effect_sizes("SMD", t=[2.0, -3.0], treatment_n=10, control_n=12)
    assert es.y == pytest.approx(same.y, rel=1e-14)
    assert es.v == pytest.approx(same.v, rel=1e-14)
    assert [(mark.how, mark.formula) for mark in es.derived] == [("converted", "d from F")] * 2
