"""Mantel-Haenszel pooling against statsmodels, metafor 3.8-1 (values cited) and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from statsmodels.stats.contingency_tables import StratifiedTable

import metaexo as mx
from metaexo.effects import EventCounts, ZeroCells
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    NotIdentifiableError,
    UnknownChoiceError,
)
from metaexo.numeric.counts.two_arms import TwoArms, expected_events, odds_ratio, risk_ratio

EVENTS = np.array([[1, 4], [0, 2], [3, 5], [0, 0], [12, 9]])
SIZES = np.array([[50, 49], [30, 31], [61, 60], [20, 20], [80, 41]])
# rma.mh of metafor 3.8-1, by measure: estimate, SE, Q
METAFOR = {
    "OR": (-0.735746626792995, 0.372827938162409, 1.10662891185179),
    "RR": (-0.640322390426018, 0.326461198304566, 1.31444903095539),
    "RD": (-0.0505475335398475, 0.0258697006764896, 0.30545642212913),
    "IRR": (-0.640322390426018, 0.349005432969295, 1.20529556465551),
    "IRD": (-0.0505475335398475, 0.0280537663245106, 0.288814511756242),
}


def counts(events=EVENTS, sizes=SIZES, time: bool = False, **more) -> EventCounts:
    return EventCounts(events, sizes, person_time=time, **more)


def fit(measure: str = "OR", events=EVENTS, sizes=SIZES, **more) -> mx.models.MantelHaenszelResults:
    return mx.MantelHaenszel(counts(events, sizes, measure.startswith("I")), measure, **more).fit()


@pytest.mark.parametrize("measure", METAFOR)
def test_estimates_errors_and_q_are_those_of_metafor(measure):
    found = fit(measure)
    assert (found.estimate, found.se[0], found.q.statistic) == pytest.approx(METAFOR[measure], rel=1e-12)
    assert found.q.df == (3.0,)  # the study without event has no estimate
    assert found.weights[3] == 0 or measure in ("RD", "IRD")
    assert found.informative[3] == (measure in ("RD", "IRD"))


def test_odds_ratio_and_its_tests_are_those_of_statsmodels():
    pairs = zip(EVENTS, SIZES, strict=True)
    peer = StratifiedTable([np.array([x, n - x]).T for x, n in pairs if x.sum()])
    found = fit()
    assert found.estimate == pytest.approx(peer.logodds_pooled, rel=1e-12)
    assert found.se[0] == pytest.approx(peer.logodds_pooled_se, rel=1e-12)
    assert fit("RR").estimate == pytest.approx(np.log(peer.riskratio_pooled), rel=1e-12)
    for correct in (True, False):
        test = peer.test_null_odds(correction=correct)
        ours = found.cochran_mantel_haenszel(correct)
        assert (ours.statistic, ours.pvalue) == pytest.approx((test.statistic, test.pvalue), rel=1e-12)
    for tarone in (True, False):
        test = peer.test_equal_odds(adjust=tarone)
        ours = found.breslow_day_test(tarone)
        assert (ours.statistic, ours.pvalue) == pytest.approx((test.statistic, test.pvalue), rel=1e-10)


def test_person_time_has_the_test_of_rates():
    # rma.mh of metafor 3.8-1
    assert fit("IRR").cochran_mantel_haenszel().statistic == pytest.approx(2.87047788229861, rel=1e-12)
    psi, m = np.exp(fit("IRR").estimate), EVENTS.sum(axis=1)
    share = psi * SIZES[:, 0] / (psi * SIZES[:, 0] + SIZES[:, 1])
    some = m > 0
    by_hand = ((EVENTS[:, 0] - m * share)[some] ** 2 / (m * share * (1 - share))[some]).sum()
    assert fit("IRR").breslow_day_test(tarone=False).statistic == pytest.approx(by_hand, rel=1e-12)


def test_cochran_has_n_in_the_place_of_n_less_one():
    x, n = EVENTS, SIZES
    m, whole = x.sum(axis=1), n.sum(axis=1)
    variance = (n.prod(axis=1) * m * (whole - m) / whole**3.0).sum()
    excess = abs((x[:, 0] - m * n[:, 0] / whole).sum()) - 0.5
    found = fit().cochran_mantel_haenszel(kind="cochran")
    assert found.statistic == pytest.approx(excess**2 / variance, rel=1e-12)
    assert found.pvalue == pytest.approx(chi2.sf(excess**2 / variance, 1), rel=1e-12)


def test_binomial_variance_of_a_risk_difference():
    found = mx.MantelHaenszel(counts(), "RD").fit(variance="greenland-robins")
    n1, n2 = SIZES.T.astype(float)
    p1, p2 = (EVENTS / SIZES).T
    w = n1 * n2 / (n1 + n2)
    variance = (w**2 * (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)).sum() / w.sum() ** 2
    assert found.se[0] == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert found.estimate == fit("RD").estimate
    assert found.on(found.counts, found.design).se[0] == found.se[0]


@pytest.mark.parametrize("measure", METAFOR)
def test_exchanged_arms_turn_the_sign_and_order_changes_nothing(measure):
    found, turned = fit(measure), fit(measure, EVENTS[:, ::-1], SIZES[:, ::-1])
    assert turned.estimate == pytest.approx(-found.estimate, rel=1e-12)
    assert turned.se[0] == pytest.approx(found.se[0], rel=1e-12)
    other = fit(measure, EVENTS[::-1], SIZES[::-1])
    assert other.estimate == pytest.approx(found.estimate, rel=1e-13)


def test_an_odds_ratio_of_those_without_event_is_the_inverse():
    assert fit(events=SIZES - EVENTS).estimate == pytest.approx(-fit().estimate, rel=1e-12)
    assert fit(events=SIZES - EVENTS).se[0] == pytest.approx(fit().se[0], rel=1e-12)
    assert fit("RD", SIZES - EVENTS).se[0] == pytest.approx(fit("RD").se[0], rel=1e-12)


def test_a_study_without_event_moves_a_difference_and_no_ratio():
    rest = np.array([0, 1, 2, 4])
    for measure in ("OR", "RR"):
        less = fit(measure, EVENTS[rest], SIZES[rest])
        assert less.estimate == pytest.approx(fit(measure).estimate, rel=1e-13)
    assert abs(fit("RD", EVENTS[rest], SIZES[rest]).estimate) > abs(fit("RD").estimate)
    assert "1 row without information" in str(fit().summary())


def test_rules_for_zeros_say_what_they_did():
    added = fit(zero_cells=ZeroCells(0.5))
    x = EVENTS + 0.5 * (EVENTS == 0).any(axis=1)[:, None]
    n = SIZES + (EVENTS == 0).any(axis=1)[:, None]
    by_hand = np.log(
        (x[:, 0] * (n - x)[:, 1] / n.sum(axis=1)).sum() / ((n - x)[:, 0] * x[:, 1] / n.sum(axis=1)).sum()
    )
    assert added.estimate == pytest.approx(by_hand, rel=1e-12)
    assert "pooled estimate: 0.5 added to every cell, in 2 of 5 rows" in str(added.summary())
    assert "pooled estimate: nothing added to zeros" in str(fit().summary())
    dropped = fit("RD", zero_cells=ZeroCells(0, drop_double_zero=True))
    assert (dropped.k, dropped.ledger.counts()["rows"].tolist()) == (4, [4, 1])
    kept = fit(study_zero_cells=ZeroCells(0.5))
    assert kept.q.df == (4.0,)
    assert kept.estimate == fit().estimate


def test_likelihood_is_normal_of_the_studies_own_estimates():
    found = fit()
    y, v = (x[found.has_estimate] for x in (found.effects.y, found.effects.v))
    llf = -0.5 * (np.log(2 * np.pi * v) + (y - found.estimate) ** 2 / v).sum()
    assert (found.llf, found.aic) == pytest.approx((llf, 2 - 2 * llf))
    assert found.bic == pytest.approx(np.log(4) - 2 * llf)
    assert (found.i2, found.h2) == pytest.approx((0.0, found.q.statistic / 3))


def test_deleted_residuals_are_from_the_fit_of_the_others():
    table = fit("RR").residuals("studentized")
    for i in range(5):
        rest = np.arange(5) != i
        less = fit("RR", EVENTS[rest], SIZES[rest])
        assert table["fitted"].iloc[i] == pytest.approx(less.estimate, rel=1e-12)
        expected = np.sqrt(fit("RR").effects.v[i] + less.se[0] ** 2)
        assert table["se"].iloc[i] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_sums_of_many_sets_at_once_are_those_of_each():
    rng = np.random.default_rng(3)
    n = rng.integers(0, 3, (20, 5)).astype(float)
    t = TwoArms(EVENTS[:, 0] * 1.0, SIZES[:, 0] * 1.0, EVENTS[:, 1] * 1.0, SIZES[:, 1] * 1.0)
    for kernel in (odds_ratio, risk_ratio):
        together = kernel(t, n)
        for i in range(20):
            rows = np.repeat(np.arange(5), n[i].astype(int))
            alone = kernel(TwoArms(*(x[rows] for x in t)))
            assert together.estimate[i] == pytest.approx(alone.estimate, rel=1e-12, nan_ok=True)
            assert together.variance[i] == pytest.approx(alone.variance, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("psi", [1e-300, 1e-3, 0.999999, 1.0, 1.000001, 37.0, 1e300])
def test_expected_events_have_the_odds_ratio(psi):
    rng = np.random.default_rng(4)
    n1, n2 = rng.integers(1, 10**6, (2, 50)).astype(float)
    x1, x2 = np.floor(rng.random((2, 50)) * np.array([n1, n2]))
    a, _ = expected_events(psi, TwoArms(x1, n1, x2, n2))
    m = x1 + x2
    assert ((a >= np.maximum(0, m - n2)) & (a <= np.minimum(n1, m))).all()
    inside = (a > 1) & (a < n1 - 1) & (m - a > 1) & (n2 - m + a > 1)
    a, n1, n2, m = (x[inside] for x in (a, n1, n2, m))
    np.testing.assert_allclose(a * (n2 - m + a) / ((n1 - a) * (m - a)), psi, rtol=1e-6)


def test_what_has_no_ratio_is_refused_with_a_remedy_that_works():
    empty = np.array([[0, 3], [0, 2], [0, 0]])
    for measure in ("OR", "RR"):
        with pytest.raises(NotIdentifiableError, match=r"no event in the treatment arm.*ExactConditional"):
            fit(measure, empty, SIZES[:3])
    assert mx.ExactConditional(counts(empty, SIZES[:3]), "OR").fit().limit("upper") < 1
    assert fit("RD", empty, SIZES[:3]).estimate < 0
    with pytest.raises(NotIdentifiableError, match="no event in either arm"):
        fit(events=np.zeros((2, 2), int), sizes=SIZES[:2])
    with pytest.raises(NotIdentifiableError, match="events in everyone in the control arm"):
        fit(events=np.array([[3, 49]]), sizes=SIZES[:1])
    with pytest.raises(NotIdentifiableError, match="no event in either arm, in each of 2 rows: the rule"):
        fit(events=np.zeros((2, 2), int), sizes=SIZES[:2], zero_cells=ZeroCells(0, drop_double_zero=True))


def test_no_event_at_all_is_a_difference_of_zero_with_a_caution():
    found = fit("RD", np.zeros((3, 2), int), SIZES[:3])
    assert (found.estimate, found.se[0]) == (0.0, 0.0)
    assert np.isnan(found.pvalues.iloc[0])
    assert any("no event in either arm" in text for text in found.cautions())
    assert "not testable" in found.cochran_mantel_haenszel().null


def test_one_study_is_its_own_estimate():
    found = fit("OR", EVENTS[:1], SIZES[:1])
    assert found.estimate == pytest.approx(np.log(1 * 45 / (49 * 4)))
    assert found.se[0] == pytest.approx(np.sqrt(1 / 1 + 1 / 49 + 1 / 4 + 1 / 45))
    assert (found.q.pvalue, found.i2, found.h2) == (1.0, 0.0, 1.0)


def test_wrong_choices_are_said():
    with pytest.raises(InputError, match='measure="IRR"'):
        mx.MantelHaenszel(counts(time=True), "OR")
    with pytest.raises(UnknownChoiceError, match="variance of OR"):
        mx.MantelHaenszel(counts()).fit(variance="sato")
    with pytest.raises(InputError, match=r"mx\.event_counts"):
        mx.MantelHaenszel([1, 2])
    with pytest.raises(InputError, match="share"):
        mx.MantelHaenszel(counts(), zero_cells=ZeroCells(0.5, share="variance"))
    with pytest.raises(InputError, match="one arm"):
        mx.MantelHaenszel(counts().arm("control"))
    with pytest.raises(InputError, match="use q"):
        fit("RD").breslow_day_test()
    with pytest.warns(DependentEffectsWarning, match="5 rows of counts come from 4 studies"):
        mx.MantelHaenszel(counts(study=list("abcda")))
    assert mx.MantelHaenszel(counts(time=True)).measure == "IRR"


def test_the_variance_of_a_difference_of_all_and_none_is_zero_and_not_less() -> None:
    counts = mx.event_counts(
        treatment_events=[28192], treatment_n=[28192], control_events=[0], control_n=[8194]
    )
    fit = mx.MantelHaenszel(counts, "RD").fit()
    assert (fit.estimate, fit.se[0]) == (1.0, 0.0)
