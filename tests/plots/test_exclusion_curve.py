"""Exclusion curves: the limits of so many people, marks of the studies, and the numbers that are needed."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import exclusion_curve, exclusion_curve_plan, overlapping_texts
from metaexo.plots.canvas.chart import Band, Curve, Points, Rule, Words


def counts(x=(0, 0, 1, 0), n=(30, 50, 120, 40), **more):
    return mx.event_counts(events=list(x), n=list(n), labels=[f"Study {i}" for i in range(len(x))], **more)


def curve(*args, **more):
    return mx.safety.exclusion_curve(counts(*args), **more)


def marks(plan):
    return plan.to_frame().dropna(subset="limit")


def test_marks_have_the_limits_of_all_people_and_events_up_to_them():
    table = marks(exclusion_curve_plan(curve())).set_index("label").sort_index()
    people, events = np.cumsum([30, 50, 120, 40]), np.cumsum([0, 0, 1, 0])
    limit = stats.beta.ppf(0.95, events + 1, people - events)
    assert table["x"].to_numpy(dtype=float) == pytest.approx(people)
    assert table["y"].to_numpy(dtype=float) == pytest.approx(100 * limit, rel=1e-8)
    assert table["events"].tolist() == [0, 0, 1, 1]
    layers = [one for one in exclusion_curve_plan(curve()).layers(Points) if one.extra]
    assert [(one.hollow, one.labels) for one in layers] == [
        (False, ["Study 0", "Study 1"]),
        (True, ["Study 2", "Study 3"]),
    ]


def test_the_curve_is_that_of_no_event_and_falls_to_each_risk_at_the_number_that_is_needed():
    plan = exclusion_curve_plan(curve(), per=1000)
    line = next(one for one in plan.layers(Curve) if one.name == "no event in so many")
    assert np.array(line.y) == pytest.approx(1000 * (1 - 0.05 ** (1 / np.array(line.x))), rel=1e-8)
    needed = [one for one in plan.layers(Points) if one.shape == "diamond"]
    assert [(one.x[0], one.y[0]) for one in needed] == [(299, 10.0), (2995, 1.0)]
    assert [rule.at for rule in plan.layers(Rule)] == [10.0, 1.0]
    assert [word.text.strip("\N{NO-BREAK SPACE}") for word in plan.layers(Words)] == ["299", "2,995"]
    low, high = plan.panels[0].x.limits
    assert low <= 10
    assert high > 2995
    assert (10.0, "1 in 100") in plan.panels[0].y.opposite


def test_heterogeneity_has_a_curve_of_its_own_and_a_band_between():
    number = [1, 20, 50, 400]
    common = curve(number=number, risks=[0.01])
    varied = curve(number=number, risks=[0.02], heterogeneity=0.05, study_size=40)
    plan = exclusion_curve_plan({"common risk": common, "ICC 0.05": varied})
    lines = [one for one in plan.layers(Curve) if "in so many" in one.name]
    assert [one.name.partition(":")[0] for one in lines] == ["common risk", "ICC 0.05"]
    assert {one.dash for one in lines} == {"solid", "dashed"}
    (band,) = plan.layers(Band)
    at = band.x.index(50.0)
    assert band.low[at] == pytest.approx(100 * (1 - 0.05 ** (1 / 50)))
    assert band.high[at] == pytest.approx(100 * varied.limit[2])
    assert any("study risks with a beta distribution" in note for note in plan.notes)
    assert exclusion_curve_plan({"a": common, "b": varied}, band=False).layers(Band) == []
    marked = {one.color for one in plan.layers(Points) if one.extra}
    assert marked == {0, 1}


def test_groups_of_studies_share_the_curve_of_a_common_risk():
    groups = {"topical": curve((0, 0), (20, 30)), "inhaled": curve((0, 1), (9, 200))}
    plan = exclusion_curve_plan(groups)
    assert sum("in so many" in one.name for one in plan.layers(Curve)) == 1
    named = [one.name for one in plan.layers(Points) if one.extra]
    assert named == ["topical", "inhaled", "inhaled, after an event"]
    assert overlapping_texts(exclusion_curve(plan)) == []


def test_groups_have_blanks_for_underscores_and_needed_numbers_are_told_once():
    groups = {"injection_local": curve((0, 0), (20, 30)), "inhaled": curve((0,), (9,))}
    plan = exclusion_curve_plan(groups)
    assert "injection local" in [one.name for one in plan.layers(Points) if one.extra]
    assert not any("_" in note for note in plan.notes)
    assert sum("299 people" in note for note in plan.notes) == 1
    assert sum("a risk above" in note for note in plan.notes) == 2


def test_on_linear_axes_numbers_stand_above_the_marks_and_marked_risks_have_their_names():
    plan = exclusion_curve_plan(curve((0, 0), (30, 300)), scale="linear")
    axis = plan.panels[0].y
    diamonds = [one for one in plan.layers(Points) if one.shape == "diamond"]
    highest = max(one.y[0] for one in diamonds)
    assert all(word.y > highest + 0.05 * axis.limits[1] for word in plan.layers(Words))
    assert not any(one.clip for one in diamonds), "one at the end of the axis is whole"
    assert "1 in 100" in [text for _, text in axis.opposite]
    assert overlapping_texts(exclusion_curve(plan)) == []


def test_rates_have_person_time_and_risks_that_no_number_excludes_are_told():
    timed = mx.event_counts(events=[0, 1], time=[10.0, 40.0])
    plan = exclusion_curve_plan(mx.safety.exclusion_curve(timed, risks=[0.01]), per=100)
    assert marks(plan)["y"].iloc[0] == pytest.approx(100 * stats.chi2.ppf(0.95, 2) / 2 / 10)
    assert plan.panels[0].x.label == "Person-time (log scale)"
    assert plan.panels[0].y.opposite == ()
    never = replace(curve(risks=[0.01]), needed=np.array([np.inf]))
    assert not any(one.shape == "diamond" for one in exclusion_curve_plan(never).layers(Points))
    assert any("excluded by no number" in note for note in exclusion_curve_plan(never).notes)


@pytest.mark.parametrize(("k", "look"), [
    (1, {"theme": "dark"}), (2, {"scale": "linear", "width": 4.5}), (150, {"labels": "all", "theme": "jama"}),
])  # fmt: skip
def test_texts_never_overlap(k, look):
    n = np.random.default_rng(k).integers(1, 90, k)
    found = curve(np.random.default_rng(k).binomial(n, 0.01), n)
    plan = exclusion_curve_plan(found, title="Adverse events " * 9, **look)
    assert len(marks(plan)) == k
    assert overlapping_texts(exclusion_curve(plan)) == []
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert exclusion_curve(found, ax=axes[1]) is axes[1]
    assert overlapping_texts(figure) == []


def test_wrong_choices_are_refused():
    with pytest.raises(InputError, match="cannot be made of an EventCounts"):
        exclusion_curve_plan(counts())
    with pytest.raises(InputError, match=r"different levels: 0.95, 0.9"):
        exclusion_curve_plan({"a": curve(), "b": curve(level=0.9)})
    timed = mx.safety.exclusion_curve(mx.event_counts(events=[0], time=[3.0]))
    with pytest.raises(InputError, match="different units"):
        exclusion_curve_plan({"a": curve(), "b": timed})
    with pytest.raises(InputError, match="there is no curve"):
        exclusion_curve_plan({})
    with pytest.raises(InputError, match="per is 7"):
        exclusion_curve_plan(curve(), per=7)
    with pytest.raises(UnknownChoiceError, match="Study 9"):
        exclusion_curve_plan(curve(), labels=["Study 9"])
