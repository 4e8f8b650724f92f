"""Peto's method against metafor 3.8-1 (values cited), sums by hand, and what its bias is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nchypergeom_fisher

import metaexo as mx
from metaexo.effects import EventCounts, ZeroCells
from metaexo.errors import InputError, NotIdentifiableError

EVENTS = np.array([[1, 4], [0, 2], [3, 5], [0, 0], [12, 9]])
SIZES = np.array([[50, 49], [30, 31], [61, 60], [20, 20], [80, 41]])


def fit(events=EVENTS, sizes=SIZES, **more) -> mx.models.PetoResults:
    return mx.Peto(EventCounts(events, sizes), **more).fit()


def test_estimate_error_and_q_are_those_of_metafor():
    found = fit()
    assert found.estimate == pytest.approx(-0.724065464463, rel=1e-11)
    assert found.se[0] == pytest.approx(0.365292234398, rel=1e-11)
    assert found.q.statistic == pytest.approx(1.452207530168, rel=1e-11)
    assert (found.q.df, found.informative.tolist()) == ((3.0,), [True, True, True, False, True])


def test_z_squared_is_the_mantel_haenszel_test_without_correction():
    found = fit()
    test = found.cochran_mantel_haenszel(correct=False)
    assert found.tvalues.iloc[0] ** 2 == pytest.approx(test.statistic, rel=1e-12)
    assert found.pvalues.iloc[0] == pytest.approx(test.pvalue, rel=1e-12)


def test_one_study_is_the_measure_of_its_effect_and_all_are_their_weighted_mean():
    found = fit()
    y, v = (x[found.has_estimate] for x in (found.effects.y, found.effects.v))
    assert found.estimate == pytest.approx((y / v).sum() / (1 / v).sum(), rel=1e-12)
    assert found.weights[found.has_estimate] == pytest.approx((1 / v) / (1 / v).sum(), rel=1e-12)
    assert found.q.statistic == pytest.approx(((y - found.estimate) ** 2 / v).sum(), rel=1e-12)


def test_double_zero_studies_add_no_degree_of_freedom_to_q():
    kept = fit(study_zero_cells=ZeroCells(0.5))
    assert kept.has_estimate.all()
    assert (kept.q.statistic, kept.q.df) == (fit().q.statistic, (3.0,))
    dropped = fit(zero_cells=ZeroCells(0, drop_double_zero=True))
    assert (dropped.k, dropped.estimate) == (4, fit().estimate)


def test_exchanged_arms_or_outcome_turn_the_sign():
    assert fit(EVENTS[:, ::-1], SIZES[:, ::-1]).estimate == pytest.approx(-fit().estimate, rel=1e-12)
    assert fit(SIZES - EVENTS).estimate == pytest.approx(-fit().estimate, rel=1e-12)


def test_bias_is_what_the_step_misses_on_average_at_the_most_likely_ratio():
    """Of one study, at the odds ratio at which 11 events are expected: the exact mean of the estimate."""
    n1, n2, m = 400, 100, 20
    k = np.arange(m + 1)
    psi = 0.25
    for _ in range(60):  # the ratio at which 11 events are expected in the larger arm
        p = nchypergeom_fisher.pmf(k, n1 + n2, m, n1, psi)
        psi *= np.exp((11 - p @ k) / (p @ (k - p @ k) ** 2))
    variance = n1 * n2 * m * (n1 + n2 - m) / ((n1 + n2) ** 2 * (n1 + n2 - 1))
    mean = (p @ k - m * n1 / (n1 + n2)) / variance
    found = fit(np.array([[11, 9]]), np.array([[n1, n2]]))
    assert found.most_likely == pytest.approx(np.log(psi), rel=1e-9)
    assert found.bias == pytest.approx(mean - np.log(psi), rel=1e-9)
    assert abs(found.bias) > 0.1
    assert any("one arm is at least twice the other in 1 of 1" in text for text in found.cautions())


def test_rare_events_in_equal_arms_carry_no_caution_of_bias():
    found = fit(np.array([[10, 12], [8, 9]]), np.array([[1000, 1000], [900, 900]]))
    assert abs(found.bias) < 0.01
    assert found.cautions() == ()


def test_all_events_in_one_arm_are_finite_and_cautioned_of():
    found = fit(np.array([[0, 3], [0, 2]]), SIZES[:2])
    assert np.isfinite(found.estimate)
    assert (found.most_likely, found.bias) == (-np.inf, np.inf)
    assert any("biased" in text for text in found.cautions())


def test_deleted_residuals_are_from_the_fit_of_the_others():
    table = fit().residuals("studentized")
    rest = np.arange(5) != 4
    assert table["fitted"].iloc[4] == pytest.approx(fit(EVENTS[rest], SIZES[rest]).estimate, rel=1e-12)


def test_what_has_no_odds_ratio_is_refused():
    with pytest.raises(NotIdentifiableError, match="there is no odds ratio"):
        fit(np.array([[0, 0], [20, 20]]), np.array([[20, 20], [20, 20]]))
    with pytest.raises(InputError, match="ExactConditional"):
        mx.Peto(EventCounts(EVENTS, SIZES, person_time=True))
