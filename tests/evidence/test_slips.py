"""Checks on arrays: each finds a constructed slip and is silent on what clean data give."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metaexo.errors import InputError, ShapeError, UnknownChoiceError
from metaexo.evidence import (
    constant_multiples,
    extreme_variances,
    grim,
    grim_median,
    grimmer,
    implied_p,
    implied_t,
    interval_and_p_agree,
    interval_is_centred,
    mean_near_zero,
    p_agrees,
    repeated_numbers,
    sd_against_n,
    statistic_agrees,
    unusual_cv,
)
from metaexo.evidence.slips.grim import decimals, nearest_means

whole_numbers = st.lists(st.integers(-20, 120), min_size=2, max_size=60)


def half_up(value: float, places: int) -> str:
    """Round halves away from zero, the other way than Python does."""
    return f"{value + np.sign(value) * 1e-9:.{places}f}"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("12.50", 2),
        ("12", 0),
        ("1.2e3", -2),
        ("1.20E-3", 5),
        (".5", 1),
        ("\N{MINUS SIGN}3.1", 1),
        (12, 0),
        (3.0, 0),
    ],
)
def test_decimals_are_those_typed(text: object, places: int) -> None:
    assert decimals(text) == places


@pytest.mark.parametrize("text", ["many", "inf", "nan", ""])
def test_decimals_of_words_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        decimals(text)


@given(whole_numbers, st.integers(0, 4), st.integers(1, 5))
def test_clean_data_give_no_grim_finding(data: list[int], places: int, items: int) -> None:
    x = np.array(data) / items
    for rounded in (f"{x.mean():.{places}f}", half_up(float(x.mean()), places)):
        assert grim(rounded, x.size, items)
        assert grimmer(rounded, f"{x.std(ddof=1):.{places}f}", x.size, items)
    assert grim_median(f"{np.median(x):.{places + 1}f}", x.size, items)


def test_grim_finds_every_mean_that_no_sum_gives() -> None:
    n, possible = 17, {f"{total / 17:.2f}" for total in range(17 * 5)}
    means = [f"{i / 100:.2f}" for i in range(100 * 4)]
    assert grim(means, n).tolist() == [mean in possible for mean in means]


def test_grim_knows_items_and_decimals() -> None:
    assert grim("3.46", 28).tolist() is True
    assert grim("3.47", 28).tolist() is False
    assert grim("3.47", 28, items=4).tolist() is True
    assert grim("3.5", 28).tolist() is True
    assert grim(3.47, 28, decimals=2).tolist() is False
    assert grim([3.47, np.nan, 3.47], [28, 28, np.nan]).tolist() == [False, True, True]
    assert nearest_means(3.47, 28) == pytest.approx((97 / 28, 98 / 28))


def test_grimmer_finds_what_no_four_whole_numbers_give() -> None:
    """All data sets of four numbers from 0 to 6: an SD that none of them has is mostly found."""
    sets = [np.array(x) for x in combinations_with_replacement(range(7), 4)]
    real = {(f"{x.mean():.2f}", f"{x.std(ddof=1):.2f}") for x in sets}
    assert all(grimmer(mean, sd, 4) for mean, sd in real)
    means = sorted({mean for mean, _ in real})
    tried = [(mean, f"{i / 100:.2f}") for mean in means for i in range(10, 150)]
    impossible = [pair for pair in tried if pair not in real]
    missed = [pair for pair in impossible if grimmer(*pair, 4)]
    assert len(missed) < 0.05 * len(impossible)


def test_grimmer_reads_a_standard_error_as_an_impossible_sd() -> None:
    x = np.array([3, 4, 4, 5, 7, 7, 8])
    sd = x.std(ddof=1)
    assert grimmer(f"{x.mean():.2f}", f"{sd:.2f}", 7)
    assert not grimmer(f"{x.mean():.2f}", f"{sd / np.sqrt(7):.2f}", 7)
    assert grimmer([5.43, np.nan, 5.43], [np.nan, 1, 1], [7, 7, np.nan]).all()
    assert grimmer("5", "2", 1)


def test_a_median_of_an_odd_number_is_one_of_them() -> None:
    assert grim_median(["10.5", "10.5", "10"], [33, 32, 33]).tolist() == [False, True, True]
    assert grim_median("10.25", 32, 2)
    assert not grim_median("10.25", 33, 2)


@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(3, 30), st.floats(0.1, 50), st.booleans())
def test_a_test_computed_from_the_data_agrees(
    seed: int, n1: int, n2: int, spread: float, welch: bool
) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(50, spread, n1), rng.normal(50 + spread, 1.5 * spread, n2)
    cells = [f"{x:.2f}" for x in (a.mean(), a.std(ddof=1), b.mean(), b.std(ddof=1))]
    low, high = implied_t(cells[0], cells[1], n1, cells[2], cells[3], n2)
    found = stats.ttest_ind(a, b, equal_var=not welch)
    assert statistic_agrees(f"{found.statistic:.2f}", low, high)
    assert statistic_agrees(f"{found.statistic**2:.3f}", low, high)
    ends = implied_p(low, high, n1, n2)
    for relation, p in (("=", f"{found.pvalue:.4f}"), ("<", f"{found.pvalue * 1.01 + 1e-9:.6g}")):
        assert p_agrees(p, relation, *ends)


@given(st.integers(0, 10_000), st.integers(3, 30), st.floats(-0.5, 0.95))
def test_a_paired_test_computed_from_the_data_agrees(seed: int, n: int, correlation: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.multivariate_normal([0, 1], [[4, 4 * correlation], [4 * correlation, 4]], n).T
    cells = [f"{x:.2f}" for x in (a.mean(), a.std(ddof=1), b.mean(), b.std(ddof=1))]
    low, high = implied_t(cells[0], cells[1], n, cells[2], cells[3], n, paired=True)
    found = stats.ttest_rel(a, b)
    assert statistic_agrees(f"{found.statistic:.3f}", low, high)
    assert p_agrees(f"{found.pvalue:.3f}", "=", *implied_p(low, high, n, n, paired=True))


def test_a_wrong_t_and_a_wrong_p_are_found() -> None:
    low, high = implied_t(["10.0"], ["2.0"], [20], ["12.0"], ["2.0"], [20])
    assert low < 3.162 < high
    assert statistic_agrees(["3.16", "10.0", "2.10", "6.32"], low, high).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not statistic_agrees(["10.0"], low, high, squared=False)
    assert statistic_agrees(["", "2.1"], [low[0], np.nan], [high[0], np.nan]).all()
    ends = implied_p(low, high, [20], [20])
    assert ends[0] < stats.t.sf(3.162, 38) * 2 < ends[1]
    told = p_agrees(["0.05", "0.01", "0.001", "0.05", "0.5", "0.003"], ["<", "<=", "<", ">", "=", "="], *ends)
    assert told.tolist() == [True, True, False, False, False, True]
    assert p_agrees(["", "0.2"], ["<", ""], *ends).all()


def test_a_relation_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownChoiceError, match="relation"):
        p_agrees("0.05", "about", 0.01, 0.02)


def test_a_standard_error_in_the_place_of_an_sd_contradicts_t() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(10, 3, 16), rng.normal(13, 3, 16)
    t = stats.ttest_ind(a, b).statistic
    se = [f"{x.std(ddof=1) / 4:.2f}" for x in (a, b)]
    ends = implied_t(f"{a.mean():.2f}", se[0], 16, f"{b.mean():.2f}", se[1], 16)
    assert not statistic_agrees(f"{t:.2f}", *ends, squared=False)


def test_intervals_off_centre_are_found_on_the_scale_they_were_made_on() -> None:
    low, high = ["1.20", "-5.54", "0.50", "0.01"], ["3.20", "-2.17", "2.00", "0.69"]
    estimates, ratio = ["2.20", "-2.44", "1.00", "0.35"], [False, False, True, True]
    assert interval_is_centred(estimates, low, high, log=ratio).tolist() == [True, False, True, False]
    assert interval_is_centred(["", "1"], ["0", ""], ["9", "2"]).all()


@given(st.floats(-3, 3), st.floats(0.05, 2), st.integers(1, 3))
def test_a_rounded_normal_interval_is_centred_and_agrees_with_its_p(y: float, se: float, places: int) -> None:
    low, estimate, high = (f"{y + z * se:.{places}f}" for z in (-1.959964, 0, 1.959964))
    assert interval_is_centred(estimate, low, high)
    p = 2 * stats.norm.sf(abs(y) / se)
    assert interval_and_p_agree(low, high, f"{p:.4f}", "=")
    relation = "<" if p < 0.05 else ">"
    assert interval_and_p_agree(low, high, "0.05", relation)


def test_an_interval_and_a_p_that_contradict_each_other_are_found() -> None:
    low, high = ["0.10", "-0.3", "1.10", "0.90", ""], ["0.9", "0.9", "2.0", "2.0", "1"]
    p, relation = ["0.2", "0.001", "0.3", "0.01", "1"], ["=", "<", "=", "=", "="]
    told = interval_and_p_agree(low, high, p, relation, null=[0, 0, 1, 1, 0])
    assert told.tolist() == [False, False, False, False, True]


def test_replicates_that_are_multiples_of_the_first_are_found() -> None:
    """The pattern of a public data set: in every block the readings are fixed multiples of the first."""
    rng = np.random.default_rng(3)
    first = rng.uniform(50, 900, 44)
    made_up = np.column_stack([first, 1.03 * first, 0.97 * first, 1.05 * first]).round(3)
    pairs = constant_multiples(made_up)
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
    assert pairs[0].factor == pytest.approx(1.03, rel=1e-5)
    measured = first[:, None] * rng.normal(1, 0.03, (44, 4))
    assert constant_multiples(measured.round(3)) == ()


def test_multiples_need_three_numbers_with_digits_and_are_no_repeats() -> None:
    assert constant_multiples([["1", "2"], ["2", "4"], ["3", "6"]]) == ()
    assert constant_multiples([["1.00", "2.00"], ["2.00", "4.00"]]) == ()
    assert constant_multiples([["101", "101"], ["207", "207"], ["315", "315"]]) == ()
    assert (
        len(constant_multiples([["101.0", "202.0"], ["207.0", "414.1"], ["315.0", "629.9"], ["", "7"]])) == 1
    )
    with pytest.raises(ShapeError):
        constant_multiples([1.0, 2.0])


def test_the_same_numbers_for_something_else_are_found() -> None:
    cells = [("12.31", "4.52"), ("12.31", "4.52"), ("12.310", "4.520"), ("1", "2"), ("1", "2"), ()]
    assert repeated_numbers(cells, ["a", "a", "b", "c", "d", "e"]) == (-1, -1, 0, -1, -1, -1)


def test_standard_errors_shrink_as_n_grows() -> None:
    rng = np.random.default_rng(8)
    n = np.array([8, 15, 30, 60, 120, 240])
    sd = rng.normal(5, 0.5, 6)
    slope, low, high = sd_against_n(sd, n)
    assert low < 0 < high
    slope, low, high = sd_against_n(sd / np.sqrt(n), n)
    assert high < 0
    assert low < -0.5 < high
    assert slope == pytest.approx(stats.linregress(np.log(n), np.log(sd / np.sqrt(n))).slope, rel=1e-10)
    assert np.isnan(sd_against_n(sd[:3], n[:3])).all()
    assert np.isnan(sd_against_n(sd, np.full(6, 10))).all()


def test_one_cv_far_below_the_others_is_found() -> None:
    study = ["a", "a", "b", "c", "d"]
    odd, _ = unusual_cv([50, 60, 55, 48, 52], [10, 11, 12, 9, 1.5], [25] * 5, study)
    assert odd.tolist() == [False, False, False, False, True]
    none, _ = unusual_cv([50, 60, 55, 48, 52], [10, 11, 12, 9, 6], [25] * 5, study)
    assert not none.any()
    alone, others = unusual_cv([50, 52], [10, 0.5], [25, 25], ["a", "b"])
    assert not alone.any()
    assert np.isnan(others).all()
    unknown, _ = unusual_cv([50, 60, 55, 48, 52], [10, 11, 12, 9, 1.5], [np.nan] * 5, study)
    assert unknown[-1]
    change, _ = unusual_cv([-50, 60, 55, 48, -52], [10, 11, 12, 9, 1.5], [25] * 5, study)
    assert not change.any()


def test_means_near_zero_and_extreme_variances_are_found() -> None:
    assert mean_near_zero([10, -10, 10, np.nan], [2, 40, 40, 1], [10, 10, 10, 10]).tolist() == [
        False,
        True,
        True,
        False,
    ]
    v = np.array([0.1, 0.2, 0.4, 1e-5, 900.0, np.nan, 0.0])
    assert extreme_variances(v).tolist() == [False, False, False, True, True, False, False]
    assert not extreme_variances([1.0]).any()
