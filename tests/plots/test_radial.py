"""Radial plots: where effects, line, band and arc stand."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.plots import overlapping_texts, radial, radial_plan
from metaexo.plots.canvas.chart import Band, Curve, Points, Words
from tests.combined import combined

Z95 = 1.959963984540054
# What radial() of metafor 3.8-1 draws of the BCG trials (REML, threshold 1e-14): the first four.
RADIAL = [
    (1.25114608293, -1.11265839194),
    (1.40327641718, -2.22473851472),
    (1.17152637802, -1.57930325273),
    (1.73225880361, -2.49713973977),
]


def bcg(measure="RR"):
    names = ("treatment_events", "treatment_n", "control_events", "control_n")
    data = mx.datasets.load_dataset("bcg")
    return mx.effect_sizes(measure, data=data, labels="study", **{name: name for name in names})


def points_of(plan, es):
    frame = plan.to_frame()
    return frame[frame["layer"] == "points"].set_index("label").loc[list(es.row_labels)]


def curve_of(plan, words):
    return next(curve for curve in plan.layers(Curve) if words in curve.name)


def test_counts_without_an_estimate_have_no_mark():
    counts = mx.event_counts(
        treatment_events=[1, 0, 3, 0], treatment_n=[50, 30, 61, 20],
        control_events=[4, 2, 5, 0], control_n=[49, 31, 60, 20],
    )  # fmt: skip
    plan = mx.plots.radial_plan(mx.MantelHaenszel(counts).fit())
    points = plan.to_frame().query("layer == 'points'")
    assert sorted(points["label"]) == ["1", "2", "3"]
    assert any("continuity correction (1)" in note for note in plan.notes)
    assert "of 3 effects" in plan.summary
    none = mx.event_counts(treatment_events=[0], treatment_n=[9], control_events=[2], control_n=[9])
    with pytest.raises(mx.errors.InputError, match="infinite"):
        mx.plots.radial_plan(mx.ExactConditional(none).fit())


def test_labels_of_the_arc_that_are_outside_after_a_zoom_are_not_drawn():
    es = mx.EffectSizes([0.1, 0.4, 0.9, -0.2], [0.02, 0.05, 0.04, 0.03])
    ax = mx.plots.radial(mx.RandomEffects(es).fit())
    assert len(all_texts_of_arc(ax)) == len(ax.texts) > 3
    ax.set_xlim(0.0, 0.5)
    assert overlapping_texts(ax) == []
    assert all_texts_of_arc(ax) == []


def all_texts_of_arc(ax):
    """Return the labels of the arc that are drawn."""
    ax.figure.draw_without_rendering()
    return [text.get_text() for text in ax.texts if text.get_window_extent().width > 1]


def test_effects_stand_at_their_precision_as_metafor_draws_them():
    es = bcg()
    plan = radial_plan(mx.RandomEffects(es).fit())
    frame = points_of(plan, es)
    assert frame[["x", "y"]].to_numpy(dtype=float)[:4] == pytest.approx(np.array(RADIAL), abs=1e-7)
    assert (frame["y"] / frame["x"]).to_numpy(dtype=float) == pytest.approx(es.y)


def test_without_heterogeneity_it_is_galbraiths_plot():
    es = bcg("OR")
    fit = mx.RandomEffects(es).fit(method="EE", test="z")
    plan = radial_plan(fit)
    frame = points_of(plan, es)
    x, z = (frame[name].to_numpy(dtype=float) for name in ("x", "y"))
    assert x == pytest.approx(1 / np.sqrt(es.v))
    # the pooled effect is the slope of the regression of z on x through the origin
    assert fit.estimate == pytest.approx((x @ z) / (x @ x))
    line = curve_of(plan, "pooled effect")
    assert line.y[1] / line.x[1] == pytest.approx(fit.estimate)
    # the squares of the distances from the line add up to Cochran's Q
    assert (frame["residual"].astype(float) ** 2).sum() == pytest.approx(fit.q.statistic)
    assert plan.panels[0].x.label == "1 / standard error"


@pytest.mark.parametrize(("level", "z"), [(0.95, Z95), (0.9, 1.6448536269514722)])
def test_the_band_is_the_line_plus_minus_z(level, z):
    fit = mx.RandomEffects(bcg()).fit()
    plan = radial_plan(fit, level=level)
    (band,) = plan.layers(Band)
    assert np.array(band.low) == pytest.approx(fit.estimate * np.array(band.x) - z)
    assert np.array(band.high) == pytest.approx(fit.estimate * np.array(band.x) + z)
    outside = np.abs(points_of(plan, fit.effects)["residual"].astype(float)) > z
    assert f"; {outside.sum()} outside the" in plan.summary


@pytest.mark.parametrize("measure", ["RR", "RD", "PLO", "PFT"])
def test_the_arc_has_shown_effects_at_the_slopes_that_belong_to_them(measure):
    data = mx.datasets.load_dataset("vasospasm")
    one_group = measure in ("PLO", "PFT")
    es = mx.effect_sizes(measure, data=data, events="events", n="n") if one_group else bcg(measure)
    plan = radial_plan(mx.RandomEffects(es).fit())
    words = plan.layers(Words)
    assert len(words) >= 3
    for one in words:
        shown = float(mx.effects.back_pooled(es, one.y / one.x))
        assert shown == pytest.approx(float(one.text.replace("\N{MINUS SIGN}", "-")), abs=2e-4)


def test_the_arc_is_a_circle_around_the_origin_beyond_all_points():
    fit = mx.RandomEffects(bcg("OR")).fit(method="EE", test="z")
    plan = radial_plan(fit)
    panel = plan.panels[0]
    assert panel.equal
    unit = np.array([panel.x.limits[1], panel.y.limits[1] - panel.y.limits[0]])
    arc = max((curve for curve in plan.layers(Curve) if not curve.name), key=lambda curve: len(curve.x))
    radii = np.hypot(np.array(arc.x) / unit[0], np.array(arc.y) / unit[1])
    assert radii == pytest.approx(radii[0])
    frame = points_of(plan, fit.effects)
    away = np.hypot(*(frame[name].to_numpy(dtype=float) / u for name, u in zip("xy", unit, strict=True)))
    assert away.max() < radii[0]
    low, high = panel.y.limits
    assert low < min(arc.y) < max(arc.y) < high
    interval = curve_of(plan, "95% interval of the pooled effect")
    ends = np.array(interval.y)[[0, -1]] / np.array(interval.x)[[0, -1]]
    assert ends == pytest.approx([fit.pooled().low, fit.pooled().high])


def test_multilevel_robust_and_stratified_fits_have_one(make_effects):
    data = mx.datasets.load_dataset("school_calendars")
    es = mx.EffectSizes(data["y"], data["v"], "SMD", data=data, study=data["district"].astype(str))
    nested = mx.Multilevel(es, ["district", "school"]).fit()
    for fit in (nested, mx.RandomEffects(es, dependence="accept").fit().robust("district")):
        plan = radial_plan(fit)
        frame = plan.to_frame().query("layer == 'points'")
        assert sorted(frame["x"]) == pytest.approx(sorted(1 / fit.residuals("pearson")["se"]))
        line = curve_of(plan, "pooled effect")
        assert line.y[1] / line.x[1] == pytest.approx(fit.beta[0])
        assert any("56 effects of 11 studies" in note for note in plan.notes)
    strata = mx.stratify(make_effects(24), by="source")
    plan = radial_plan(strata)
    assert len({(layer.color, layer.shape) for layer in plan.layers(Points)}) == 4


def test_labels_stand_beside_the_points_outside_the_band():
    fit = mx.RandomEffects(bcg()).fit(method="EE", test="z")
    plan = radial_plan(fit, labels="outside")
    words = {word for layer in plan.layers(Points) for word in layer.words if word}
    outside = np.abs(fit.residuals("pearson")["z"]) > Z95
    assert words == {name for name, out in zip(fit.effects.row_labels, outside, strict=True) if out}
    assert overlapping_texts(radial(plan)) == []


@combined(k=[1, 2, 3, 13, 150], theme=["metaexo", "dark"])
@pytest.mark.filterwarnings("ignore::metaexo.errors.FewStudiesWarning")
def test_texts_never_overlap_and_every_effect_has_a_mark_in_view(make_effects, k, theme):
    es = make_effects(k, measure="OR", labels=[f"王 Author {i} and many others" for i in range(k)])
    fit = mx.RandomEffects(es).fit(method="EE" if k < 3 else "DL", test="z")
    plan = radial_plan(fit, by="source", labels="all", title="A title " * 20, theme=theme)
    ax = radial(plan)
    assert overlapping_texts(ax) == []
    frame = points_of(plan, es)
    assert len(frame) == k
    (left, right), (low, high) = plan.panels[0].x.limits, plan.panels[0].y.limits
    assert frame["x"].between(left, right).all()
    assert frame["y"].between(low, high).all()
    _, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert radial(fit, ax=axes[1]) is axes[1]
    assert overlapping_texts(axes[1]) == []


def test_what_has_no_single_line_is_refused_with_a_remedy(make_effects):
    with pytest.raises(InputError, match=r"mx\.plots\.funnel"):
        radial_plan(mx.RandomEffects(bcg(), "latitude").fit())
    with pytest.raises(InputError, match="radial plot cannot be made of an EffectSizes"):
        radial_plan(make_effects(4))
    with pytest.raises(InputError, match="list"):
        radial_plan([])
    with pytest.raises(TooFewStudiesError):
        radial_plan(mx.EffectSizes([], []))


@pytest.mark.parametrize(("size", "measure"), [(1e-40, "SMD"), (1e40, "SMD"), (1e40, "RR"), (300.0, "OR")])
def test_effects_of_any_size_have_one(size, measure):
    draws = np.random.default_rng(0)
    es = mx.EffectSizes(draws.normal(0, size, 6), np.full(6, size**2), measure)
    plan = radial_plan(mx.RandomEffects(es).fit(method="EE", test="z"), labels="all")
    assert len(points_of(plan, es)) == 6
    assert overlapping_texts(radial(plan)) == []
    assert any(not curve.name and len(curve.x) > 50 for curve in plan.layers(Curve)), "the arc"
