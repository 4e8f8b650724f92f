"""Conversions and their way back, and worked examples of the Cochrane Handbook."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri, stdtrit

from metaexo import effects
from metaexo.effects import d_of_point_biserial, d_of_t
from metaexo.effects.conversions.sd_and_se import (
    correlation_from_difference_se,
    sd_from_ci,
    sd_from_se,
    se_from_ci,
)
from metaexo.errors import InputError


def test_sd_from_ci_example_of_the_handbook():
    # Cochrane Handbook 6.5.2.2: n = 25, 95% CI 30.0 to 34.2; t with 24 df is 2.0639, SE 1.017, SD 5.09
    assert float(sd_from_ci(30.0, 34.2, 25)) == pytest.approx(5.087, abs=5e-4)


def test_se_of_a_log_ratio_example_of_the_handbook():
    # Cochrane Handbook 6.3.2: hazard ratio 0.64 with 95% CI 0.49 to 0.84 has an SE of the log near 0.1375
    assert float(se_from_ci(0.49, 0.84, log=True)) == pytest.approx(0.1375, abs=5e-5)


def test_correlation_example_of_the_handbook():
    # Cochrane Handbook 6.5.2.8: baseline SD 4.0, final SD 4.4, change SD 4.6 give a correlation of 0.40
    n = 20
    r = correlation_from_difference_se(4.6 / np.sqrt(n), 4.0, 4.4, n)
    assert float(r) == pytest.approx(0.40, abs=5e-3)


@given(sd=st.floats(1e-3, 1e3), n=st.integers(2, 1000), level=st.floats(0.5, 0.999))
def test_sd_survives_the_way_over_se_and_over_ci(sd, n, level):
    se = sd / np.sqrt(n)
    assert float(sd_from_se(se, n)) == pytest.approx(sd, rel=1e-12)
    half = -stdtrit(n - 1, (1 - level) / 2) * se
    assert float(sd_from_ci(5 - half, 5 + half, n, level)) == pytest.approx(sd, rel=1e-7)


@given(se=st.floats(1e-3, 3), estimate=st.floats(-3, 3))
def test_se_survives_the_way_over_an_interval_on_the_log_scale(se, estimate):
    half = ndtri(0.975) * se
    low, high = np.exp(estimate - half), np.exp(estimate + half)
    assert float(se_from_ci(low, high, log=True)) == pytest.approx(se, rel=1e-9)


@given(r=st.floats(-0.99, 0.99), sd_1=st.floats(0.1, 10), sd_2=st.floats(0.1, 10), n=st.integers(2, 500))
def test_the_correlation_survives_the_way_over_the_difference(r, sd_1, sd_2, n):
    se = np.sqrt((sd_1**2 + sd_2**2 - 2 * r * sd_1 * sd_2) / n)
    assert float(correlation_from_difference_se(se, sd_1, sd_2, n)) == pytest.approx(r, abs=1e-6)


@given(d=st.floats(-3, 3), n1=st.integers(2, 100), n2=st.integers(2, 100))
def test_d_over_t_and_over_the_point_biserial_correlation(d, n1, n2):
    sizes = np.array(float(n1)), np.array(float(n2))
    t = d / np.sqrt(1 / n1 + 1 / n2)
    r = t / np.sqrt(t**2 + n1 + n2 - 2)
    assert float(d_of_t(np.array(t), *sizes)) == pytest.approx(d, rel=1e-12, abs=1e-15)
    assert float(d_of_point_biserial(np.array(r), *sizes)) == pytest.approx(d, rel=1e-9, abs=1e-12)


def test_what_cannot_be_converted_is_missing_and_a_level_in_per_cent_is_refused():
    assert np.isnan(sd_from_ci(1.0, 2.0, 1))
    assert np.isnan(se_from_ci(-0.5, 2.0, log=True))
    assert np.isnan(correlation_from_difference_se(9.0, 1.0, 1.0, 10))
    with pytest.raises(InputError, match=r"write 0\.95"):
        se_from_ci(1.0, 2.0, level=95)


def test_results_of_conversions_cannot_be_written_to() -> None:
    r = [[1, 0.5, 0.4], [0.5, 1, 0.3], [0.4, 0.3, 1]]
    made = (
        (effects.regression_from_matrix(r, "y", ["x", "z"], ["y", "x", "z"], n=100), "estimate"),
        (effects.mean_sd_from_quantiles(40, q1=2.0, median=3.0, q3=5.0), "mean"),
    )
    for result, name in made:
        for one in (result, copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
            with pytest.raises(ValueError, match="read-only"):
                getattr(one, name)[...] = 99.0
