"""Numbers treated and the risks they exclude, against searches by hand with scipy's distributions."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError

room = mx.safety
SIZES = [12, 8, 30, 10]


def people(events, n=SIZES):
    return mx.event_counts(events=events, n=n)


# -- the next trials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize("allowed", [0, 2])
def test_the_number_is_the_smallest_that_excludes(level, allowed):
    found = room.patients_to_exclude([0.01, 0.2], level=level, events_allowed=allowed)
    for n, risk in zip(found.more, found.risk, strict=True):
        assert stats.binom.cdf(allowed, n, risk) <= 1 - level < stats.binom.cdf(allowed, n - 1, risk)
    if not allowed:
        closed = np.ceil(math.log(1 - level) / np.log1p(-found.risk))
        np.testing.assert_array_equal(found.more, closed)
    assert (found.power == 1).all()


def test_what_is_there_counts():
    found = room.patients_to_exclude([0.01, 0.001, 0.1], counts=people([0, 0, 0, 0]))
    assert found.more.tolist() == [239, 2935, 0]
    assert found.in_all.tolist() == [299, 2995, 60]
    assert "10.0% (1 in 10) is excluded already" in found.sentence
    one = room.patients_to_exclude(0.01, counts=people([0, 1, 0, 0]))
    assert stats.binom.cdf(1, 60 + one.more[0], 0.01) <= 0.05 < stats.binom.cdf(1, 59 + one.more[0], 0.01)


def test_a_power_at_a_true_risk_by_search():
    """The smallest number with which few enough events are likely enough, over all numbers."""
    risk, true, power = 0.05, 0.01, 0.8

    def sure(n):
        most = int(stats.binom.ppf(0.05, n, risk)) + 1
        while most >= 0 and stats.binom.cdf(most, n, risk) > 0.05:
            most -= 1
        return stats.binom.cdf(most, n, true), most

    n = next(n for n in range(1, 2000) if sure(n)[0] >= power)
    found = room.patients_to_exclude(risk, power=power, true_risk=true)
    assert found.more[0] == n
    assert found.power[0] == pytest.approx(sure(n)[0], rel=1e-10)
    assert found.events_allowed[0] == sure(n)[1]
    assert f"at most {sure(n)[1]} events" in found.sentence


def test_trials_that_differ_need_more():
    """Beta-binomial trials of 25, with the four that are there: by convolution of whole distributions."""
    icc, risk = 0.05, 0.05
    found = room.patients_to_exclude(
        risk, counts=people([0, 1, 0, 0]), heterogeneity=icc, study_size=25, events_allowed=1
    )
    a, b = risk * (1 - icc) / icc, (1 - risk) * (1 - icc) / icc

    def at_most(n):
        sizes = [*SIZES, *[25] * int(n // 25), int(n % 25)]
        return reduce(np.convolve, [stats.betabinom.pmf(np.arange(s + 1), s, a, b) for s in sizes])[:3].sum()

    n = found.more[0]
    assert at_most(n) <= 0.05 < at_most(n - 1)
    assert found.trials[0] == math.ceil(n / 25)
    common = room.patients_to_exclude(risk, counts=people([0, 1, 0, 0]), events_allowed=1)
    assert n > common.more[0]
    nearly = room.patients_to_exclude(0.01, heterogeneity=1e-12, study_size=10)
    assert nearly.more[0] == 299


def test_person_time_to_exclude_a_rate():
    found = room.patients_to_exclude([0.1, 2.0], person_time=True, events_allowed=1)
    np.testing.assert_allclose(found.more, stats.chi2.ppf(0.95, 4) / 2 / found.risk, rtol=1e-9)
    counts = mx.event_counts(events=[0, 1], time=[4.0, 5.5])
    more = room.patients_to_exclude(0.1, counts=counts).more
    assert more[0] == pytest.approx(stats.chi2.ppf(0.95, 4) / 2 / 0.1 - 9.5, rel=1e-9)
    varied = room.patients_to_exclude(0.1, counts=counts, heterogeneity=0.5, study_size=5.0)
    assert varied.person_time
    assert varied.more[0] > more[0]


def test_plans_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="below the risk"):
        room.patients_to_exclude(0.01, true_risk=0.02)
    with pytest.raises(InputError, match="both"):
        room.patients_to_exclude(0.01, power=0.8, events_allowed=1)
    with pytest.raises(MissingInputError, match="study_size"):
        room.patients_to_exclude(0.01, heterogeneity=0.1)
    with pytest.raises(NotIdentifiableError, match="excludes a mean risk"):
        room.patients_to_exclude(0.001, heterogeneity=0.5, study_size=10**9)
    with pytest.raises(InputError, match="1 in 100"):
        room.patients_to_exclude(1.0)
    with pytest.raises(InputError, match="without counts"):
        room.patients_to_exclude(0.1, arm="control")


# -- the curve -----------------------------------------------------------------------------------------------


def test_marks_and_curve_are_upper_limits():
    events = [0, 1, 0, 0]
    found = room.exclusion_curve(people(events), allowed=1, number=[1, 60, 10**6], risks=[0.05])
    np.testing.assert_allclose(found.limit, [1, *stats.beta.ppf(0.95, 2, [59, 10**6 - 1])], rtol=1e-10)
    for i in range(4):
        prefix = room.upper_limit(people(events[: i + 1], SIZES[: i + 1]))
        assert found.marks[i, 2] == pytest.approx(prefix.value, rel=1e-12)
    assert found.marks[:, 0].tolist() == [12, 20, 50, 60]
    assert found.marks[:, 1].tolist() == [0, 1, 1, 1]
    n = found.needed[0]
    assert stats.binom.cdf(1, n, 0.05) <= 0.05 < stats.binom.cdf(1, n - 1, 0.05)


def test_the_curve_of_varied_studies():
    found = room.exclusion_curve(people([0] * 4), heterogeneity=0.1, number=[10, 45])
    assert found.study_size == 15
    again = room.upper_limit(people([0] * 3, [15] * 3), heterogeneity=0.1)
    assert found.limit[1] == pytest.approx(again.value, rel=1e-10)
    one = room.upper_limit(people([0], [10]), heterogeneity=0.1)
    assert found.limit[0] == pytest.approx(one.value, rel=1e-10)
    fine = room.exclusion_curve(people([0] * 4), heterogeneity=0.3, scale="tau", number=[1, 37, 10**5])
    again = room.upper_limit(people([0] * 3, [15, 15, 7]), heterogeneity=0.3, scale="tau")
    assert fine.limit[1] == pytest.approx(again.value, rel=1e-9)
    assert fine.limit[0] == pytest.approx(0.95, rel=1e-9)
    times = mx.event_counts(events=[0], time=[3.0])
    rates = room.exclusion_curve(times, heterogeneity=0.1, scale="tau", number=[0.01, 9.0], level=0.999)
    again = room.upper_limit(
        mx.event_counts(events=[0] * 3, time=[3.0] * 3), heterogeneity=0.1, scale="tau", level=0.999
    )
    assert rates.limit[1] == pytest.approx(again.value, rel=1e-9)
    whole = room.upper_limit(people([0] * 4), heterogeneity=0.1)
    assert found.marks[-1, 2] == pytest.approx(whole.value, rel=1e-10)


@pytest.mark.parametrize(("scale", "h"), [("icc", 0.05), ("icc", 1.0), ("tau", 0.7)])
def test_the_marks_of_varied_studies_are_limits_of_what_was_there(scale, h, monkeypatch):
    """More studies than are searched together; each mark as if no later study were known."""
    monkeypatch.setattr("metaexo.safety.exclusion.TOGETHER", 3)
    x, n = [1, 0, 0, 1, 0, 2, 0], [1, 9, 9, 20, 4, 30, 9]
    found = room.exclusion_curve(people(x, n), heterogeneity=h, scale=scale, number=[10], risks=[])
    assert found.marks[0, 2] == 1.0
    for i in range(1, 7):
        so_far = room.upper_limit(people(x[: i + 1], n[: i + 1]), heterogeneity=h, scale=scale)
        assert found.marks[i, 2] == pytest.approx(so_far.value, rel=1e-10)


def test_marks_that_would_take_minutes_are_refused():
    many = people(np.ones(500), np.full(500, 100))
    with pytest.raises(
        InputError, match=r"500 rows with 500 events .*upper_limit\(counts, heterogeneity=0.05"
    ):
        room.exclusion_curve(many, heterogeneity=0.05)
    assert room.exclusion_curve(many).marks.shape == (500, 3)


def test_the_usual_curve_reaches_beyond_what_it_marks():
    found = room.exclusion_curve(people([0] * 4))
    assert found.number[0] == 1
    assert found.number[-1] > 2995
    assert found.needed.tolist() == [299, 2995]
    assert (np.diff(found.limit) < 0).all()
    assert list(found.curve_frame().columns) == ["number", "limit"]


def test_after_events_the_numbers_are_of_what_might_have_been():
    found = room.exclusion_curve(people([0, 2, 0, 0]))
    assert "with no event it would have taken, in all, 299 people for 1.00% (1 in 100)" in found.sentence
    none = room.exclusion_curve(people([0] * 4), heterogeneity=0.1)
    assert "if study risks vary with an ICC of 0.1, a mean risk above" in none.sentence
    assert "in all, in studies of 15," in none.sentence
    planned = room.patients_to_exclude(0.05, heterogeneity=0.1, study_size=15).sentence
    assert "vary with an ICC of 0.1 and new trials have 15 each, to exclude a mean risk" in planned
    done = room.patients_to_exclude(0.2, counts=people([0] * 4)).sentence
    assert done.endswith("a risk of 20.0% (1 in 5) is excluded already (95% confidence, one-sided).")
    times = room.patients_to_exclude(0.001, person_time=True).sentence
    assert "2,996 units of person-time" in times


# -- follow-up -----------------------------------------------------------------------------------------------


def test_what_each_follow_up_excludes():
    weeks = [4, 52, 12, 12]
    found = room.by_follow_up(people([0, 0, 2, 0]), weeks)
    assert found.weeks.tolist() == [4, 12, 52]
    assert found.people.tolist() == [60, 48, 8]
    assert found.seen_events.tolist() == [2, 2, 0]
    years = np.array([12 * 4 + 8 * 52 + 40 * 12, 8 * 52 + 40 * 12, 8 * 52]) * 7 / 365.25
    np.testing.assert_allclose(found.person_years, years, rtol=1e-12)
    np.testing.assert_allclose(found.rate_limit, stats.chi2.ppf(0.95, [6, 6, 2]) / 2 / years, rtol=1e-12)
    np.testing.assert_allclose(found.risk_limit, stats.beta.ppf(0.95, [3, 3, 1], [58, 46, 8]), rtol=1e-10)
    assert "No event in 8 people followed for at least 52 weeks" in found.sentence


def test_follow_up_that_is_missing_is_said():
    counts = people([0, 0, 0, 0]).with_columns(weeks=[4.0, np.nan, 12.0, 12.0])
    found = room.by_follow_up(counts, "weeks")
    assert found.people.tolist() == [52, 40]
    assert found.missing == 1
    assert "1 row of 4" in found.cautions()[0]
    with pytest.raises(InputError, match="every row"):
        room.by_follow_up(people([0] * 4), [np.nan] * 4)
    with pytest.raises(InputError, match="not above 0"):
        room.by_follow_up(people([0] * 4), [1, 2, 0, 4])
    with pytest.raises(InputError, match="person-time"):
        room.by_follow_up(mx.event_counts(events=[0], time=[3.0]), [4])
