"""L'Abbé plots: where studies stand, and what curve a pooled effect has."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError, UnknownChoiceError
from metaexo.plots import labbe, labbe_plan, overlapping_texts
from metaexo.plots.canvas.chart import Band, Curve, Points
from tests.combined import combined

NAMES = ("treatment_events", "treatment_n", "control_events", "control_n")
# What labbe() of metafor 3.8-1 draws of the first BCG trials: logarithms of risks and of odds, control first.
LOG_RISKS = [(-2.536578660, -3.425889994), (-2.346436976, -3.931825633), (-2.995732274, -4.343805422)]
LOG_ODDS = [(-2.454134991, -3.392829132), (-2.245832276, -3.912023005), (-2.944438979, -4.330733340)]


def bcg(measure="RR"):
    data = mx.datasets.load_dataset("bcg")
    return mx.effect_sizes(measure, data=data, labels="study", **{name: name for name in NAMES})


def extreme(measure="OR"):
    """Return studies of which one has no event in a group, and one has nothing else."""
    return mx.effect_sizes(
        measure,
        treatment_events=[0, 3, 8, 12, 20, 29],
        treatment_n=[20, 25, 30, 30, 40, 30],
        control_events=[2, 9, 14, 12, 35, 30],
        control_n=[20, 25, 30, 30, 40, 30],
    )


def points_of(plan, es):
    frame = plan.to_frame()
    return frame[frame["layer"] == "points"].set_index("label").loc[list(es.row_labels)]


def curve_of(plan, words="pooled"):
    return next(curve for curve in plan.layers(Curve) if words in curve.name)


def test_studies_stand_at_their_risks():
    es, data = bcg(), mx.datasets.load_dataset("bcg")
    frame = points_of(labbe_plan(mx.RandomEffects(es).fit()), es)
    treated, control = (data[f"{group}_events"] / data[f"{group}_n"] for group in ("treatment", "control"))
    assert frame["x"].to_numpy(dtype=float) == pytest.approx(control.to_numpy())
    assert frame["y"].to_numpy(dtype=float) == pytest.approx(treated.to_numpy())


@pytest.mark.parametrize(("scale", "measure", "wanted"), [("log", "RR", LOG_RISKS), ("odds", "OR", LOG_ODDS)])
def test_studies_stand_where_metafor_draws_them(scale, measure, wanted):
    es = bcg(measure)
    frame = points_of(labbe_plan(es, scale=scale), es)
    found = np.log(frame[["x", "y"]].to_numpy(dtype=float)[:3])
    assert found == pytest.approx(np.array(wanted), abs=1e-8)


@pytest.mark.parametrize("scale", ["risk", "log", "odds"])
@pytest.mark.parametrize("measure", ["RR", "OR", "PETO", "RD", "AS"])
def test_the_measure_of_the_risks_along_the_curve_is_the_pooled_effect(measure, scale):
    fit = mx.RandomEffects(bcg(measure)).fit()
    plan = labbe_plan(fit, scale=scale)
    curve = curve_of(plan)
    control, treated = (np.array(values) for values in (curve.x, curve.y))
    if scale == "odds":
        control, treated = control / (1 + control), treated / (1 + treated)
    inside = (control > 0) & (treated > 0) & (treated < 1)
    control, treated = control[inside], treated[inside]
    assert control.size > 50
    many = 1e12  # people, so that whole numbers of events have these risks
    along = mx.effect_sizes(
        "OR" if measure == "PETO" else measure,
        treatment_events=np.round(treated * many),
        treatment_n=np.full(control.size, many),
        control_events=np.round(control * many),
        control_n=np.full(control.size, many),
    )
    assert along.y == pytest.approx(fit.estimate, abs=1e-6)
    (band,) = plan.layers(Band)
    at, seen = np.isin(band.x, curve.x), np.array(curve.y) > plan.panels[0].y.limits[0]
    assert (np.array(band.low)[at] < np.array(curve.y))[seen][1:].all()
    assert (np.array(band.high)[at] > np.array(curve.y))[seen][1:].all()


def test_the_band_is_the_interval_of_the_pooled_effect():
    fit = mx.RandomEffects(bcg()).fit()
    (band,) = labbe_plan(fit, level=0.9).layers(Band)
    x = np.array(band.x)[1:]
    assert np.log(np.array(band.low)[1:] / x) == pytest.approx(fit.pooled(0.9).low)
    assert np.log(np.array(band.high)[1:] / x) == pytest.approx(fit.pooled(0.9).high)
    assert labbe_plan(fit, interval=False).layers(Band) == []


def test_the_diagonal_is_no_effect_and_the_axes_are_equal():
    plan = labbe_plan(mx.RandomEffects(bcg()).fit())
    panel = plan.panels[0]
    assert panel.equal
    assert panel.x.limits == panel.y.limits
    line = curve_of(plan, "no effect")
    assert line.x == line.y
    ax = labbe(plan)
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    assert box.width == pytest.approx(box.height, rel=1e-3)


def test_areas_go_with_the_weights():
    fit = mx.RandomEffects(bcg()).fit()
    (points,) = labbe_plan(fit).layers(Points)
    weight = dict(zip(fit.effects.row_labels, fit.weights, strict=True))
    share = np.array([weight[name] for name in points.labels])
    assert np.array(points.size) ** 2 / share == pytest.approx((points.size[0] ** 2) / share[0])
    assert (np.diff(points.size) <= 0).all(), "small marks are drawn over large ones"
    (equal,) = labbe_plan(fit, sizes="equal").layers(Points)
    assert len(set(equal.size)) == 1


def test_groups_without_events_are_shown_as_observed_or_with_a_half_on_logarithmic_axes():
    es = extreme()
    frame = points_of(labbe_plan(es), es)
    assert (frame["x"].iloc[0], frame["y"].iloc[0]) == (0.1, 0.0)
    plan = labbe_plan(es, scale="log")
    frame = points_of(plan, es)
    assert (frame["x"].iloc[0], frame["y"].iloc[0]) == (0.1, 0.5 / 21)
    assert (frame["treated"].iloc[0], frame["control"].iloc[0]) == (0.0, 0.1)
    words = "1/2 is added to the cells of 2 groups without event, or with events in everyone."
    assert words in plan.notes
    odds = points_of(labbe_plan(es, scale="odds"), es)
    assert odds["x"].iloc[5] == pytest.approx(30.5 / 0.5)


def test_effects_that_were_turned_have_the_curve_of_the_events():
    es = bcg()
    turned = mx.EffectSizes(-es.y, es.v, "RR", data=mx.datasets.load_dataset("bcg"), oriented=True)
    plain, other = (curve_of(labbe_plan(mx.RandomEffects(one).fit())) for one in (es, turned))
    assert other.y == pytest.approx(plain.y)
    some = es.y * np.resize([1.0, -1.0], es.k)
    mixed = mx.EffectSizes(some, es.v, "RR", data=mx.datasets.load_dataset("bcg"), oriented=True)
    plan = labbe_plan(mx.RandomEffects(mixed).fit())
    assert not any("pooled" in curve.name for curve in plan.layers(Curve))
    assert any("share no curve" in note for note in plan.notes)


def test_effects_without_events_are_counted():
    es = bcg()
    data = mx.datasets.load_dataset("bcg").astype({"treatment_events": float})
    data.loc[[2, 5], "treatment_events"] = np.nan
    part = mx.EffectSizes(es.y, es.v, "RR", data=data, labels=es.labels)
    plan = labbe_plan(mx.RandomEffects(part).fit(), by="allocation")
    assert len(plan.to_frame().query("layer == 'points'")) == 11
    assert "2 of 13 effects are not shown: the events are not known." in plan.notes
    with pytest.raises(InputError, match="events behind the effects are not known"):
        labbe_plan(mx.EffectSizes(es.y, es.v, "RR"))


def test_rates_are_shown_likewise():
    counts = {"treatment_events": [4, 6, 3], "control_events": [11, 29, 11]}
    times = {"treatment_time": [123.0, 306.0, 231.0], "control_time": [139.0, 303.0, 220.0]}
    es = mx.effect_sizes("IRR", **counts, **times)
    fit = mx.RandomEffects(es).fit()
    plan = labbe_plan(fit)
    assert plan.panels[0].x.label == "Rate in the control group"
    curve = curve_of(plan)
    assert np.log(np.array(curve.y)[1:] / np.array(curve.x)[1:]) == pytest.approx(fit.estimate)
    with pytest.raises(InputError, match="odds of rates"):
        labbe_plan(fit, scale="odds")


def test_models_without_a_single_effect_and_measures_without_a_curve_say_so():
    plan = labbe_plan(mx.RandomEffects(bcg(), "latitude").fit())
    assert [curve.name for curve in plan.layers(Curve)] == ["no effect"]
    assert "The model has moderators, so there is no single pooled effect." in plan.notes
    plan = labbe_plan(mx.RandomEffects(bcg("PHI")).fit())
    assert any("has no curve in this plot" in note for note in plan.notes)


def test_strata_multilevel_and_robust_fits_have_one():
    es = bcg()
    strata = labbe_plan(mx.stratify(es, by="allocation"))
    assert len({(layer.color, layer.shape) for layer in strata.layers(Points)}) == 3
    nested = mx.Multilevel(es, "study").fit()
    for fit in (nested, nested.robust("study")):
        curve = curve_of(labbe_plan(fit))
        assert np.log(curve.y[-1] / curve.x[-1]) == pytest.approx(fit.beta[0])


def test_a_study_beyond_the_limits_is_a_triangle_at_the_edge():
    es = bcg()
    plan = labbe_plan(es, limits=(0.0, 0.15))
    frame = points_of(plan, es)
    assert len(frame) == 13
    assert frame["x"].max() == 0.15
    assert any("a risk in the control group beyond the axis (1: 0.26)" in note for note in plan.notes)
    for limits, scale in (((0.2, 0.1), "risk"), ((-0.1, 0.5), "risk"), ((0.0, 0.5), "log")):
        with pytest.raises(InputError, match="limits"):
            labbe_plan(es, limits=limits, scale=scale)


@combined(k=[1, 2, 3, 13, 150], scale=["risk", "log", "odds"])
@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_texts_never_overlap_and_every_study_has_a_mark_in_view(k, scale):
    draws = np.random.default_rng(k)
    n = draws.integers(20, 200, (2, k))
    events = draws.binomial(n, draws.uniform(0.02, 0.9, (2, k)))
    table = pd.DataFrame(
        dict(zip(NAMES, (events[0], n[0], events[1], n[1]), strict=True))
        | {"g": np.resize(["a", "王", "c"], k)}
    )
    names = [f"王 Author {i} and many others" for i in range(k)]
    es = mx.effect_sizes("OR", data=table, labels=names, **{name: name for name in NAMES})
    fit = mx.RandomEffects(es).fit(method="EE", test="z")
    plan = labbe_plan(fit, scale=scale, by="g", labels="all", title="A title " * 20, theme="dark")
    assert overlapping_texts(labbe(plan)) == []
    frame = points_of(plan, es)
    low, high = plan.panels[0].x.limits
    assert len(frame) == k
    assert frame["x"].between(low, high).all()
    assert frame["y"].between(low, high).all()
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert labbe(fit, ax=axes[0], theme="jama") is axes[0]
    assert overlapping_texts(figure) == []


def test_wrong_choices_are_refused():
    with pytest.raises(UnknownChoiceError) as error:
        labbe_plan(bcg(), scale="logs")
    assert error.value.nearest == "log"
    with pytest.raises(InputError, match="L'Abbé plot cannot be made of a list"):
        labbe_plan([])
    with pytest.raises(TooFewStudiesError):
        labbe_plan(mx.EffectSizes([], [], "RR"))
    with pytest.raises(UnknownChoiceError, match="label of a row"):
        labbe_plan(bcg(), labels=["Nobody 1900"])


def rare(**more):
    """Return counts of two arms, among them studies without any event and one with events in everyone."""
    return mx.event_counts(
        treatment_events=[0, 3, 0, 5, 0, 0, 2],
        treatment_n=[12, 40, 25, 5, 20, 33, 50],
        control_events=[0, 5, 1, 5, 0, 0, 7],
        control_n=[11, 42, 25, 5, 20, 30, 48],
        **more,
    )


def test_counts_are_drawn_as_they_were_counted_and_those_at_one_place_are_numbered():
    counts = rare()
    plan = labbe_plan(counts)
    frame = points_of(plan, counts)
    assert frame["y"].to_numpy(dtype=float) == pytest.approx(counts.events[:, 0] / counts.totals[:, 0])
    assert frame["x"].to_numpy(dtype=float) == pytest.approx(counts.events[:, 1] / counts.totals[:, 1])
    (points,) = plan.layers(Points)
    people = dict(zip(counts.row_labels, counts.totals.sum(axis=1), strict=True))
    areas = np.square(points.size) / [people[name] for name in points.labels]
    assert areas == pytest.approx(areas[0])
    assert not points.hollow
    assert [word for word in points.words if word] == ["×3"]
    assert points.labels[points.words.index("×3")] == "6", "the largest of the three"
    assert "Studies that overlap (×n beside them, where there is room): 3 at (0, 0)." in plan.notes
    ax = labbe(plan)
    assert "×3" in {text.get_text() for text in ax.texts}
    assert overlapping_texts(ax) == []


def test_labels_of_studies_at_one_place_are_listed_and_none_is_counted_several_times():
    named = labbe_plan(rare(labels=list("abcdefg")), labels="all")
    (points,) = named.layers(Points)
    beside = dict(zip(points.labels, points.words, strict=True))
    assert beside["f"] == "f; e; a"
    assert (beside["a"], beside["e"], beside["g"]) == ("", "", "g")
    (points,) = labbe_plan(rare(labels=list("abcdefg")), labels=["a"]).layers(Points)
    assert [word for word in points.words if word] == ["a and 2 more"]


def test_studies_at_several_places_are_counted_at_each():
    def notes(events):
        counts = mx.event_counts(
            treatment_events=events,
            treatment_n=[100] * 5,
            control_events=[8, 8, 8, 8, 9],
            control_n=[100] * 5,
        )
        return " ".join(labbe_plan(counts).notes)

    assert "Studies that overlap (×n beside them, where there is room): 4 at (0.08, 0.04)." in notes(
        [4, 4, 4, 4, 4]
    )
    assert (
        "Studies that overlap (×n beside them, where there is room): 2 at (0.08, 0.04), 2 at (0.08, 0.05)."
        in notes([4, 4, 5, 5, 4])
    )
    assert "overlap" not in notes([4, 5, 6, 7, 4])


def test_many_places_have_the_fullest_told_and_the_others_counted():
    few = [0] * 4 + [i // 2 for i in range(2, 22)]
    counts = mx.event_counts(
        treatment_events=few, treatment_n=[100] * 24, control_events=few, control_n=[100] * 24
    )
    note = next(one for one in labbe_plan(counts).notes if "overlap" in one)
    assert "): 4 at (0, 0), 2 at (0.01, 0.01), " in note
    assert note.endswith("6 at 3 other places.")


def test_half_an_event_stands_only_in_the_groups_that_need_it():
    counts = rare()
    frame = points_of(labbe_plan(counts, add_half=True), counts)
    assert frame["y"].iloc[:4].tolist() == pytest.approx([0.5 / 13, 3 / 40, 0.5 / 26, 5.5 / 6])
    assert frame["x"].iloc[:4].tolist() == pytest.approx([0.5 / 12, 5 / 42, 1 / 25, 5.5 / 6])
    rates = mx.event_counts(
        treatment_events=[0, 2], treatment_time=[10.0, 20.5], control_events=[1, 0], control_time=[9.5, 30.0]
    )
    plan = labbe_plan(rates, scale="log")
    assert points_of(plan, rates)["y"].tolist() == pytest.approx([0.05, 2 / 20.5])
    assert points_of(plan, rates)["x"].tolist() == pytest.approx([1 / 9.5, 0.5 / 30])
    assert "1/2 is added to the events of 2 groups without event." in plan.notes
    assert "Area of a mark: person-time in both groups." in plan.notes


def test_counts_of_one_arm_and_precisions_of_counts_are_refused():
    with pytest.raises(InputError, match="of one arm"):
        labbe_plan(rare().arm("treatment"))
    with pytest.raises(InputError, match="no standard errors"):
        labbe_plan(rare(), sizes="precision")


@pytest.mark.parametrize("k", [1, 2, 3, 150])
def test_many_studies_without_any_event_stand_in_the_corner(k):
    draws = np.random.default_rng(k)
    n = draws.integers(5, 40, (2, k))
    events = draws.binomial(n, 0.03)
    names = dict(zip(NAMES, (events[0], n[0], events[1], n[1]), strict=True))
    table = pd.DataFrame({"route": np.resize(["topical", "inhaled"], k)})
    counts = mx.event_counts(table, labels=[f"王 {i}" for i in range(k)], **names)
    plan = labbe_plan(counts, by="route", theme="dark")
    assert len(points_of(plan, counts)) == k
    both = int(counts.is_zero.sum())
    assert any(f"{both} at (0, 0)" in note or " overlap at " in note for note in plan.notes) is (both > 1)
    assert overlapping_texts(labbe(plan)) == []


def test_small_trials_are_seen_beside_large_ones():
    counts = mx.event_counts(
        treatment_events=[4, 60, 500], treatment_n=[120, 1500, 88000],
        control_events=[11, 90, 490], control_n=[139, 1450, 88000], labels=["small", "middle", "large"],
    )  # fmt: skip
    plan = mx.plots.labbe_plan(counts)
    (points,) = plan.layers(Points)
    sizes = dict(zip(points.labels, points.size, strict=True))
    assert sizes["small"] == 3.5 <= sizes["middle"] < sizes["large"]
    note = "Area of a mark: number of people in both groups; the smallest marks are drawn larger than that."
    assert note in plan.notes
    alike = mx.plots.labbe_plan(mx.event_counts(
        treatment_events=[4, 6], treatment_n=[120, 150], control_events=[11, 9], control_n=[139, 145]
    ))  # fmt: skip
    assert "Area of a mark: number of people in both groups." in alike.notes
