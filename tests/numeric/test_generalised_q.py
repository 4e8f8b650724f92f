"""Q-profile bounds by their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metaexo.numeric.moment_estimators import q_profile
from metaexo.numeric.moments import moments
from metaexo.numeric.problem import make_batch
from metaexo.numeric.tails import chi2_quantiles, chi2_tail, f_tail, normal_two_sided, t_of_tail, t_two_sided


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_q_equals_the_quantiles_at_the_bounds(level: float) -> None:
    rng = np.random.default_rng(4)
    v = rng.uniform(0.01, 0.2, 10)
    batch = make_batch(rng.normal(0, np.sqrt(v + 0.3)), v)
    small, large = chi2_quantiles(level, batch.df)
    low, high = q_profile(batch, small, large)
    assert 0 < low[0] < high[0]
    assert moments(batch, low).y_p_y[0] == pytest.approx(stats.chi2.ppf((1 + level) / 2, 9), rel=1e-10)
    assert moments(batch, high).y_p_y[0] == pytest.approx(stats.chi2.ppf((1 - level) / 2, 9), rel=1e-10)


def test_the_set_is_empty_when_effects_agree_too_well() -> None:
    batch = make_batch(np.array([0.1, 0.1001, 0.1, 0.0999, 0.1]), np.full(5, 4.0))
    low, high = q_profile(batch, *chi2_quantiles(0.95, batch.df))
    assert (low[0], high[0]) == (0.0, 0.0)


def test_tails_are_exact_far_out() -> None:
    assert normal_two_sided(12.0) == pytest.approx(2 * stats.norm.sf(12), rel=1e-12)
    assert t_two_sided(40.0, 7) == pytest.approx(2 * stats.t.sf(40, 7), rel=1e-10)
    assert chi2_tail(700.0, 3) == pytest.approx(stats.chi2.sf(700, 3), rel=1e-10)
    assert f_tail(200.0, 2, 30) == pytest.approx(stats.f.sf(200, 2, 30), rel=1e-10)


@pytest.mark.parametrize("df", [1, 3, 30, 1e3, 1e7])
@pytest.mark.parametrize("tail", [0.5, 0.4, 0.025, 1e-6, 1e-20])
def test_quantiles_of_t_have_the_tail_that_was_asked_for(df: float, tail: float) -> None:
    quantile = t_of_tail(tail, df)
    assert t_two_sided(quantile, df) / 2 == pytest.approx(tail, rel=1e-13)
    assert stats.t.sf(quantile, df) == pytest.approx(tail, rel=1e-9)
