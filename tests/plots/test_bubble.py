"""The plan of a bubble plot."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import bubble, bubble_plan, overlapping_texts
from metaexo.plots.canvas.chart import Band, Curve, Intervals, Points
from tests.combined import combined

BCG = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def at(layer, x, *names):
    """Return the natural logarithms of a layer at a place."""
    return [np.interp(x, layer.x, np.log(getattr(layer, name))) for name in names]


def by_label(plan):
    """Return the place of each effect."""
    return {
        label: (x, y)
        for p in plan.layers(Points)
        for x, y, label in zip(p.x, p.y, p.labels, strict=True)
        if p.shape != "diamond"
    }


def test_curve_and_bands_are_those_of_metafor():
    # predict(rma(yi, vi, mods = ~ ablat, data = dat), newmods = ablat) of metafor 3.8.1, dat.bcg, with
    # control = list(threshold = 1e-14)
    expected = {
        13.0: (-0.126854215144, -0.458738364726, 0.205029934438, -0.762019271111, 0.508310840823),
        33.5: (-0.723439577883, -0.934515352410, -0.512363803356, -1.304680097952, -0.142199057814),
        55.0: (-1.349126665633, -1.743271759361, -0.954981571906, -2.018931050874, -0.679322280393),
    }
    plan = bubble_plan(mx.RandomEffects(BCG, "latitude").fit(test="z"))
    (curve,) = plan.layers(Curve)
    ahead, confident = plan.layers(Band)
    for x, numbers in expected.items():
        found = [*at(curve, x, "y"), *at(confident, x, "low", "high"), *at(ahead, x, "low", "high")]
        # 33.5 is between two places of the curve
        assert found == pytest.approx(numbers, abs=1e-5 if x == 33.5 else 1e-8)
    assert (curve.x[0], curve.x[-1]) == (13.0, 55.0)


def test_others_are_held_as_asked_and_the_note_says_so():
    # predict() of metafor 3.8.1 for rma(yi, vi, mods = ~ ablat + alloc, data = dat, test = "knha"),
    # threshold 1e-14: newmods c(55, 0, 0) is alternate allocation, c(mean(ablat), 1, 0) random
    fit = mx.RandomEffects(BCG, "latitude + allocation").fit(test="knapp-hartung")
    plan = bubble_plan(fit, "latitude")
    (curve,), (ahead, confident) = plan.layers(Curve), plan.layers(Band)
    found = [*at(curve, 55, "y"), *at(confident, 55, "low", "high"), *at(ahead, 55, "low", "high")]
    expected = -1.2069722403941, -2.070706796920, -0.3432376838683, -2.42597910622, 0.0120346254279
    assert found == pytest.approx(expected, abs=1e-8)
    assert "Other moderators are held at: allocation alternate (reference)." in plan.notes
    plan = bubble_plan(fit, "allocation")
    mean = next(p for p in plan.layers(Points) if p.shape == "diamond")
    i = mean.labels.index("random")
    ahead, confident = plan.layers(Intervals)
    found = [mean.y[i], confident.low[i], confident.high[i], ahead.low[i], ahead.high[i]]
    expected = -0.8869856239472, -1.334247392183, -0.4397238557116, -1.85651305734, 0.0825418094499
    assert np.log(found) == pytest.approx(expected, abs=1e-8)
    assert "Other moderators are held at: latitude 33.46 (mean)." in plan.notes
    plan = bubble_plan(fit, "latitude", at={"allocation": "random"})
    moved = at(plan.layers(Curve)[0], 33.46153846, "y")[0]
    assert moved == pytest.approx(-0.8869856239472, abs=1e-5)
    assert "Other moderators are held at: allocation random." in plan.notes


def test_a_polynomial_is_a_curve_as_in_metafor():
    # metafor 3.8.1: rma(yi, vi, mods = ~ poly(ablat, 2, raw = TRUE), method = "DL"), predicted at 13 and 40
    expected = {
        13.0: (-0.235217926542, -0.615235552505, 0.144799699420, -0.892058816208, 0.421622963124),
        40.0: (-0.790230294221, -1.111083284618, -0.469377303824, -1.414708636313, -0.165751952130),
    }
    fit = mx.RandomEffects(BCG, "latitude + I(latitude^2)").fit(method="DL", test="z")
    plan = bubble_plan(fit)
    (curve,), (ahead, confident) = plan.layers(Curve), plan.layers(Band)
    for x, numbers in expected.items():
        found = [*at(curve, x, "y"), *at(confident, x, "low", "high"), *at(ahead, x, "low", "high")]
        # 40 is between two places of the curve
        assert found == pytest.approx(numbers, abs=1e-4 if x == 40.0 else 1e-8)


def test_effects_stand_at_their_moderator_with_areas_by_weight():
    fit = mx.RandomEffects(BCG, "latitude").fit()
    plan = bubble_plan(fit)
    (points,) = plan.layers(Points)
    assert points.x == pytest.approx(mx.load_dataset("bcg")["latitude"].tolist())
    assert points.y == pytest.approx(np.exp(BCG.y))
    area = np.array(points.size) ** 2
    weight = 1 / (BCG.v + fit.tau2)
    assert area / area.max() == pytest.approx(weight / weight.max())
    precise = bubble_plan(fit, sizes="precision", marker_size=9.0).layers(Points)[0]
    assert max(precise.size) == 9.0
    assert (np.array(precise.size) / 9.0) ** 2 == pytest.approx(np.sqrt(BCG.v.min() / BCG.v), abs=0.03)
    assert set(bubble_plan(fit, sizes="equal", marker_size=5.0).layers(Points)[0].size) == {5.0}


def test_adjusted_effects_are_prediction_plus_residual():
    fit = mx.RandomEffects(BCG, "latitude + allocation").fit()
    x = fit.design.matrix(13).copy()
    residual = BCG.y - x @ fit.beta
    x[:, 2:] = 0.0  # alternate allocation
    plan = bubble_plan(fit, "latitude", adjusted=True)
    assert [y for _, y in by_label(plan).values()] == pytest.approx(np.exp(x @ fit.beta + residual))
    assert "Effects stand as they would be at these values." in plan.notes


def test_levels_of_an_interaction_have_curves_over_their_own_effects():
    fit = mx.RandomEffects(BCG, "latitude * allocation").fit()
    plan = bubble_plan(fit, "latitude", color_by="allocation", wording={"random": "Random"})
    data = mx.load_dataset("bcg")
    curves = {c.name: c for c in plan.layers(Curve) if c.name.startswith("mean")}
    assert set(curves) == {"mean effect, alternate", "mean effect, Random", "mean effect, systematic"}
    marks = {p.name.partition(" (")[0]: p for p in plan.layers(Points)}
    for level, word in (("alternate", "alternate"), ("random", "Random"), ("systematic", "systematic")):
        own = data["latitude"][data["allocation"] == level]
        curve = curves[f"mean effect, {word}"]
        assert (curve.x[0], curve.x[-1]) == (own.min(), own.max())
        ends = fit.predict({"latitude": [own.min(), own.max()], "allocation": level})["estimate"]
        assert np.log([curve.y[0], curve.y[-1]]) == pytest.approx(ends.to_numpy())
        assert curve.color == marks[word].color
    assert len({c.dash for c in curves.values()}) == 3


def test_a_level_at_one_place_has_no_curve():
    data = pd.DataFrame({"dose": [1.0, 2, 3, 4, 2, 2, 2], "source": list("aaaabbb")})
    es = mx.EffectSizes([0.1, 0.5, 0.2, 0.6, 0.3, 0.4, 0.1], [0.03] * 7, data=data)
    plan = bubble_plan(mx.RandomEffects(es, "dose + source").fit(), "dose", color_by="source")
    assert [c.name for c in plan.layers(Curve) if c.name.startswith("mean")] == ["mean effect, a"]
    assert "No curve of b: 1 level with one value of dose." in plan.notes


def test_a_column_beside_the_model_colours_and_no_more():
    plan = bubble_plan(mx.RandomEffects(BCG, "latitude").fit(), color_by="allocation")
    assert len(plan.layers(Points)) == 3
    assert len(plan.layers(Curve)) == 1


@pytest.mark.parametrize(
    "formula", ["log(dose)", "poly(dose, 3)", "bs(dose, df=4)", "cr(dose, df=3) + source"]
)
def test_formulas_of_all_kinds_have_the_curve_of_predict(make_effects, formula):
    fit = mx.RandomEffects(make_effects(40), formula).fit()
    plan = bubble_plan(fit, "dose", moderator_scale="log")
    (curve,) = plan.layers(Curve)
    new = pd.DataFrame({"dose": curve.x}).assign(source="adipose_msc")
    assert curve.y == pytest.approx(fit.predict(new)["estimate"].to_numpy())
    assert plan.panels[0].x.scale == "log"
    assert np.diff(np.log(curve.x)) == pytest.approx(np.log(curve.x[-1] / curve.x[0]) / 150, rel=1e-6)


def test_columns_of_numbers_multilevel_robust_and_location_scale_fits(make_effects):
    es = make_effects(24, study=[f"s{i // 2}" for i in range(24)])
    frame = es.data[["dose", "animals"]]
    fits = [
        mx.RandomEffects(make_effects(24), frame).fit(),
        mx.Multilevel(es, "study", moderators="dose + animals").fit(),
        mx.Multilevel(es, "study", moderators="dose + animals").fit().robust(),
        mx.LocationScale(make_effects(24), "dose", "animals").fit(),
    ]
    for fit in fits:
        plan = bubble_plan(fit, "dose")
        curve = plan.layers(Curve)[-1]
        new = pd.DataFrame({"dose": curve.x, "animals": frame["animals"].mean()})
        found = fit.predict(new)
        assert curve.y == pytest.approx(found["estimate"].to_numpy())
        ahead, confident = plan.layers(Band)
        assert confident.low == pytest.approx(found["low"].to_numpy())
        assert ahead.high == pytest.approx(found["prediction_high"].to_numpy())
        assert f"animals {frame['animals'].mean():.2f} (mean)" in " ".join(plan.notes)


def test_a_prediction_that_depends_on_an_inner_level_is_said_to_be_lacking():
    y = np.array([0.1, 0.4, 0.2, 0.7, 0.3, 0.9, 0.2, 0.5])
    data = pd.DataFrame({"x": np.arange(8.0), "outcome": ["a", "b"] * 4, "lab": list("ppqqrrss")})
    es = mx.EffectSizes(y, [0.02] * 8, study=list("ppqqrrss"), data=data)
    fit = mx.Multilevel(es, mx.RandomTerm("lab", "outcome", "DIAG"), moderators="x").fit()
    plan = bubble_plan(fit)
    assert len(plan.layers(Band)) == 1
    assert "There is no prediction interval: that of a new effect depends on its inner level." in plan.notes


def test_marks_of_a_level_do_not_hide_each_other(make_effects):
    es = make_effects(150)
    plan = bubble_plan(mx.RandomEffects(es, "source").fit(), marker_size=6.0, sizes="equal", height=5.0)
    (points,) = (p for p in plan.layers(Points) if p.shape != "diamond")
    ax = bubble(plan)
    ax.figure.draw_without_rendering()
    places = ax.transData.transform(np.column_stack([points.x, points.y])) * 72 / ax.figure.dpi
    far = np.hypot(*(places[:, None] - places[None]).T) + 1e9 * np.eye(150)
    assert far.min() > 5.0
    assert bubble_plan(mx.RandomEffects(es, "source").fit()).layers(Points)[0].x == (
        bubble_plan(mx.RandomEffects(es, "source").fit()).layers(Points)[0].x
    )


def test_effects_beyond_limits_are_marked_at_the_edge():
    fit = mx.RandomEffects(BCG, "latitude").fit()
    plan = bubble_plan(fit, limits=(0.25, 1.1))
    shown = np.exp(BCG.y)
    outside = int(((shown < 0.25) | (shown > 1.1)).sum())
    edge = [p for p in plan.layers(Points) if p.hollow]
    assert sum(len(p.x) for p in edge) == outside > 0
    assert sorted(float(word) for p in edge for word in p.words) == pytest.approx(
        sorted(shown[(shown < 0.25) | (shown > 1.1)]), abs=0.006
    )
    assert len(by_label(plan)) == 13
    assert f"Hollow triangle at the edge: an effect beyond the axis ({outside})." in plan.notes


def test_what_is_asked_for_is_drawn():
    fit = mx.RandomEffects(BCG, "latitude").fit()
    assert [len(bubble_plan(fit, interval=one).layers(Band)) for one in ("both", "confidence", None)] == [
        2,
        1,
        0,
    ]
    words = bubble_plan(fit, labels=["Aronson 1948"]).layers(Points)[0].words
    assert [word for word in words if word] == ["Aronson 1948"]
    assert bubble_plan(fit, labels="all").layers(Points)[0].words == list(BCG.row_labels)
    equal = mx.RandomEffects(BCG, "latitude").fit(method="EE")
    said = "There is no prediction interval: the model takes the true effects as equal."
    assert said in bubble_plan(equal).notes
    assert not any("no prediction interval" in note for note in bubble_plan(equal, interval=None).notes)


def test_cautions_of_the_fit_are_notes_in_its_words():
    data = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.5, 0.4], [0.02, 0.03, 0.04], data=data), "x").fit()
    assert "Caution: the intercept, x: 1 df, interval and p-value are rough guides." in bubble_plan(fit).notes


def test_what_is_seen_is_said():
    plan = bubble_plan(mx.RandomEffects(BCG, "latitude").fit())
    assert "mean effect 0.88 at 13.00 and 0.26 at 55.00" in plan.describe()
    fit = mx.RandomEffects(BCG, "allocation").fit()
    mean, _, low, high, *_ = fit.predict({"allocation": "random"}, scale="measure").iloc[0]
    assert f"random {mean:.2f} (95% CI {low:.2f} to {high:.2f})" in bubble_plan(fit).describe()


def test_the_number_of_artists_does_not_grow_with_the_effects(make_effects):
    for formula in ("dose", "source"):
        few, many = (bubble(mx.RandomEffects(make_effects(k), formula).fit()) for k in (40, 1000))
        assert len(few.get_children()) == len(many.get_children())


def test_what_cannot_be_drawn_is_refused(make_effects):
    with pytest.raises(InputError, match="no moderators"):
        bubble_plan(mx.RandomEffects(BCG).fit())
    with pytest.raises(InputError, match="a fit of effects"):
        bubble_plan(BCG)
    with pytest.raises(InputError, match=r"mx\.plots\.orchard"):
        bubble_plan(mx.stratify(BCG, by="allocation"))
    fit = mx.RandomEffects(BCG, "latitude + allocation").fit()
    with pytest.raises(UnknownChoiceError, match="latitude"):
        bubble_plan(fit, "lattitude")
    with pytest.raises(UnknownChoiceError, match="random"):
        bubble_plan(fit, at={"allocation": "randomly"})
    with pytest.raises(InputError, match="whose values the chart shows"):
        bubble_plan(fit, "latitude", at={"latitude": 3.0})
    es = make_effects(8)
    shifted = mx.EffectSizes(es.y, es.v, data=pd.DataFrame({"x": np.arange(8.0)}))
    with pytest.raises(InputError, match="above 0"):
        bubble_plan(mx.RandomEffects(shifted, "x").fit(), moderator_scale="log")


@combined(k=[4, 13, 150, 1000], measure=["SMD", "RR", "PLO"])
def test_no_texts_overlap(make_effects, k, measure):
    es = make_effects(k, measure, labels=[f"Müller-Łukasiewicz and 中村 {i}, " * 3 for i in range(k)])
    fit = mx.RandomEffects(es, "dose").fit()
    assert overlapping_texts(bubble(fit, color_by="source", title="Effects of " * 20, labels="all")) == []
    if k > 4:
        fit = mx.RandomEffects(es, "source").fit()
        long = {"platelet": "platelets of healthy donors, " * 3}
        assert overlapping_texts(bubble(fit, color_by="isolation", wording=long)) == []


def test_axes_and_subfigures_of_the_user():
    fit = mx.RandomEffects(BCG, "latitude").fit()
    _, (left, _) = plt.subplots(1, 2, layout="constrained")
    assert bubble(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = bubble(fit, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_effects_that_share_a_place_are_counted_where_the_moderator_is_a_number():
    data = pd.DataFrame({"dose": [1.0, 1.0, 1.0, 2.0, 3.0], "kind": list("aaabb")})
    es = mx.EffectSizes([0.2, 0.2, 0.2, 0.5, 0.4], [0.02, 0.03, 0.02, 0.04, 0.03], data=data)
    told = "3 marks stand at 1 place and hide each other."
    assert told in bubble_plan(mx.RandomEffects(es, "dose").fit()).notes
    assert told not in bubble_plan(mx.RandomEffects(es, "kind").fit()).notes  # they stand side by side
