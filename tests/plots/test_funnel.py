"""Funnel plots: where points, region and contours stand, and what is said."""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError, UnknownChoiceError
from metaexo.plots import THEMES, funnel, funnel_plan, overlapping_texts
from metaexo.plots.canvas.chart import Curve, Points, Region, Rule
from metaexo.plots.canvas.fonts import contrast
from metaexo.plots.canvas.words import stratum_words
from metaexo.plots.charts.funnel import CONTOURS
from tests.combined import combined

Z95 = 1.959963984540054


def points_of(plan):
    """Return the table of the points, in the order of the effects."""
    frame = plan.to_frame()
    frame = frame[frame["layer"] == "points"].copy()
    frame["position"] = frame["id"].rank(method="first")
    return frame


def by_label(plan, es):
    return points_of(plan).set_index("label").loc[list(es.row_labels)]


def region_of(plan, words="region"):
    """Return the two sides of the region: heights, left, right."""
    curves = plan.layers(Curve)
    at = next(i for i, curve in enumerate(curves) if words in curve.name)
    left, right = curves[at : at + 2]
    assert left.y == right.y
    return np.array(left.y), np.array(left.x), np.array(right.x)


def rule_of(plan, words):
    return next(rule.at for rule in plan.layers(Rule) if words in rule.name)


def names_of(plan):
    return [layer.name for layer in plan.panels[0].layers if getattr(layer, "name", "")]


def bcg():
    data = mx.datasets.load_dataset("bcg")
    return mx.effect_sizes(
        "RR",
        data=data,
        treatment_events="treatment_events",
        treatment_n="treatment_n",
        control_events="control_events",
        control_n="control_n",
        labels="study",
    )


def test_points_stand_at_effect_and_standard_error(make_effects):
    fit = mx.RandomEffects(make_effects(15)).fit()
    plan = funnel_plan(fit)
    frame = by_label(plan, fit.effects)
    assert frame["x"].to_numpy() == pytest.approx(fit.effects.y)
    assert frame["y"].to_numpy() == pytest.approx(np.sqrt(fit.effects.v))
    assert (frame["effect"] == frame["x"]).all()
    assert (frame["se"] == frame["y"]).all()
    assert plan.panels[0].y.inverted, "small standard errors stand above"
    assert rule_of(plan, "pooled effect") == fit.pooled().estimate


def test_the_pooled_effect_is_named_by_its_place_where_the_axis_has_what_was_analysed():
    """A reader who looks for 0.59 on an axis of log odds would find another place."""
    es = mx.effect_sizes("PLO", events=[2, 5, 9, 8], n=[10, 10, 12, 9])
    fit = mx.RandomEffects(es).fit()
    (rule,) = (one for one in funnel_plan(fit).panels[0].layers if isinstance(one, Rule))
    share = 1 / (1 + np.exp(-rule.at))
    assert rule.at == fit.estimate
    assert rule.name == f"pooled effect {rule.at:.2f} (proportion {share:.2f})"


@pytest.mark.parametrize(("level", "z"), [(0.95, Z95), (0.99, 2.5758293035489004)])
def test_the_region_is_the_pooled_effect_plus_minus_z_standard_errors(make_effects, level, z):
    fit = mx.RandomEffects(make_effects(15)).fit()
    plan = funnel_plan(fit, level=level)
    heights, left, right = region_of(plan)
    assert heights[0] == 0.0
    assert right - fit.estimate == pytest.approx(z * heights)
    assert fit.estimate - left == pytest.approx(z * heights)
    assert heights[-1] >= np.sqrt(fit.effects.v).max()
    low, high = plan.panels[0].x.limits
    assert low < left.min() < right.max() < high


def test_contours_part_significant_from_other_studies(make_effects):
    plan = funnel_plan(make_effects(30), contours=True)
    regions = plan.layers(Region)
    assert [one.name for one in regions] == ["p < 0.01", "0.01 < p < 0.05", "0.05 < p < 0.10", ""]
    z = (2.5758293035489004, Z95, 1.6448536269514722)
    for region, quantile in zip(regions[1:], z, strict=True):
        x, y = np.array(region.corners).T
        assert np.abs(x) == pytest.approx(quantile * y)
    low, high = plan.panels[0].x.limits
    x = np.array(regions[0].corners)[:, 0]
    assert x.min() < low
    assert x.max() > high
    for words, quantile in zip(("p = 0.01", "p = 0.05", "p = 0.10"), z, strict=True):
        heights, left, right = region_of(plan, words)
        assert right == pytest.approx(quantile * heights)
        assert left == pytest.approx(-quantile * heights)
    assert "Shades: the p-value of each point against no effect." in plan.notes


@pytest.mark.parametrize("theme", THEMES)
def test_shades_and_the_lines_between_them_can_be_told_apart_in_every_theme(theme):
    look = THEMES[theme]
    for _, share, _ in CONTOURS:
        for ink in (look.grey, look.ink):
            assert contrast(ink, look.tint(share)) >= 3.0
    assert len({look.tint(share) for _, share, _ in CONTOURS}) == 4


def test_strata_have_colors_and_marks_of_their_own(make_effects):
    results = mx.stratify(make_effects(24), by=["source", "isolation"])
    plan = funnel_plan(results)
    signs = {layer.extra["group"][0]: (layer.color, layer.shape) for layer in plan.layers(Points) if layer.x}
    assert len(signs) == len(results.strata)
    assert len(set(signs.values())) == len(signs)
    names = [name.replace("\N{NO-BREAK SPACE}", " ") for name in names_of(plan)]
    for stratum in results.strata:
        assert f"{stratum_words(stratum.levels)} (k = {stratum.k})" in names


def test_strata_without_an_overall_effect_have_no_centre(make_effects):
    results = mx.stratify(make_effects(1), by="source")
    assert results.overall is None
    plan = funnel_plan(results)
    assert not any("pooled" in name for name in names_of(plan))
    assert len(points_of(plan)) == 1


def test_derived_values_are_hollow(make_effects, derived):
    es = make_effects(8, derived=derived(8))
    plan = funnel_plan(es, by="source")
    assert by_label(plan, es)["hollow"].tolist() == [False, False, True, True] * 2
    for layer in plan.layers(Points):
        assert all(layer.hollow == hollow for hollow in layer.extra.get("hollow", []))
    assert "hollow: derived value" in names_of(plan)


def test_a_standard_error_far_beyond_the_others_does_not_squash_them(make_effects):
    es = make_effects(12)
    v = es.v.copy()
    v[5] = 64.0
    plan = funnel_plan(mx.RandomEffects(mx.EffectSizes(es.y, v)).fit())
    deepest = 1.05 * np.sqrt(np.delete(v, 5).max())
    assert plan.panels[0].y.limits[1] == pytest.approx(deepest)
    assert plan.notes == ("Hollow triangle at the edge: a standard error beyond the axis (1: 8.00).",)
    assert plan.to_frame()["height"].max() == 8.0
    assert plan.to_frame()["y"].max() < 8.0
    frame = points_of(plan)
    assert frame["se"].max() == 8.0
    assert len(frame) == 12
    arrow = next(layer for layer in plan.layers(Points) if layer.shape == "triangle_down")
    assert (arrow.x, arrow.y) == ([es.y[5]], [pytest.approx(deepest)])


def test_few_studies_are_told(make_effects):
    assert any("here 4" in note for note in funnel_plan(make_effects(4)).notes)
    assert funnel_plan(make_effects(10)).notes == ()


def test_effects_of_one_study_are_said_to_depend_on_each_other(make_effects):
    es = make_effects(12, study=list("aabbccddeeff"))
    fit = mx.Multilevel(es, "study").fit()
    assert any("12 effects of 6 studies" in note for note in funnel_plan(fit).notes)


def test_ratios_have_a_logarithmic_axis():
    fit = mx.RandomEffects(bcg()).fit()
    plan = funnel_plan(fit)
    axis = plan.panels[0].x
    assert (axis.scale, axis.label) == ("log", "Risk ratio (log scale)")
    assert plan.panels[0].y.label == "Standard error of the log risk ratio"
    assert by_label(plan, fit.effects)["x"].to_numpy() == pytest.approx(np.exp(fit.effects.y))
    heights, left, right = region_of(plan)
    assert np.log(right / left) == pytest.approx(2 * Z95 * heights)
    assert rule_of(plan, "no effect") == 1.0
    assert rule_of(plan, "pooled effect 0.49") == pytest.approx(np.exp(fit.estimate))
    ax = funnel(plan)
    ax.figure.draw_without_rendering()
    assert "1" in [text.get_text() for text in ax.get_xticklabels()]


# What funnel() of metafor 3.8-1 draws of these fits (REML, threshold 1e-14): the first trials.
RESIDUALS = [
    (0.139696356585, 0.618246441343),
    (-0.236261991568, 0.480092311063),
    (-0.377268907818, 0.688793165265),
]
RAW = [(-0.88931133, 0.570600355), (-1.58538866, 0.441113502), (-1.34807315, 0.644490470)]
PRECISIONS = [1.75254009470, 2.26699023291, 1.55161332435, 7.06929507221, 4.41897843353]
WEIGHTS = [5.05948273437, 6.36467937256, 4.43602740260, 9.69874701892, 8.86845639124]


def test_a_model_with_moderators_has_a_funnel_of_its_residuals():
    es = bcg()
    plan = funnel_plan(mx.RandomEffects(es, "latitude").fit(), labels="outside")
    frame = by_label(plan, es)
    x, y = np.array(RESIDUALS).T
    assert np.log(frame["x"].to_numpy()[:3]) == pytest.approx(x, abs=1e-8)
    assert frame["y"].to_numpy()[:3] == pytest.approx(y, abs=1e-8)
    assert rule_of(plan, "as the model predicts") == 1.0
    heights, left, right = region_of(plan, "95% region of residuals")
    assert np.log(right) == pytest.approx(Z95 * heights)
    assert np.log(left) == pytest.approx(-Z95 * heights)
    assert plan.panels[0].x.label == "Observed / fitted risk ratio (log scale)"
    assert any("with latitude" in note for note in plan.notes)
    assert not any("no effect" in name for name in names_of(plan))


def test_effects_of_a_model_with_moderators_have_no_centre():
    es = bcg()
    plan = funnel_plan(mx.RandomEffects(es, "latitude").fit(), residuals=False)
    x, y = np.array(RAW).T
    frame = by_label(plan, es)
    assert np.log(frame["x"].to_numpy()[:3]) == pytest.approx(x, abs=1e-8)
    assert frame["y"].to_numpy()[:3] == pytest.approx(y, abs=1e-8)
    assert "The model has moderators, so there is no single pooled effect." in plan.notes
    assert names_of(plan) == ["no effect"]


def test_multilevel_and_robust_fits_have_funnels_of_effects_and_residuals():
    es = bcg()
    nested = mx.Multilevel(es, "study", moderators="latitude").fit()
    frame = by_label(funnel_plan(nested), es)
    x, y = np.array(RESIDUALS).T  # the same model
    assert np.log(frame["x"].to_numpy()[:3]) == pytest.approx(x, abs=1e-6)
    assert frame["y"].to_numpy()[:3] == pytest.approx(y, abs=1e-6)
    data = mx.datasets.load_dataset("school_calendars")
    schools = mx.EffectSizes(data["y"], data["v"], "SMD", data=data, study=data["district"].astype(str))
    for fit in (
        mx.Multilevel(schools, ["district", "school"]).fit(),
        mx.Multilevel(schools, "district").fit().robust("district"),
        mx.RandomEffects(schools, dependence="accept").fit().robust("district"),
        mx.LocationScale(schools, dependence="accept").fit(),
    ):
        plan = funnel_plan(fit)
        assert rule_of(plan, "pooled effect") == fit.beta[0]
        assert sorted(points_of(plan)["x"]) == pytest.approx(sorted(schools.y))
        left = funnel_plan(fit, residuals=True)
        table = fit.residuals("standardized")
        assert sorted(points_of(left)["x"]) == pytest.approx(sorted(table["residual"]))
        assert sorted(points_of(left)["y"]) == pytest.approx(sorted(table["se"]))
        assert overlapping_texts(funnel(left)) == []


def test_precisions_and_weights_are_those_of_metafor():
    fit = mx.RandomEffects(bcg()).fit()
    seinv = by_label(funnel_plan(fit, yaxis="seinv"), fit.effects)["y"].to_numpy()
    assert seinv[:5] == pytest.approx(PRECISIONS, abs=1e-10)
    weights = by_label(funnel_plan(fit, yaxis="wi"), fit.effects)["y"].to_numpy()
    assert weights[:5] == pytest.approx(WEIGHTS, abs=1e-7)
    assert weights.sum() == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("yaxis", "value", "falls"),
    [
        ("sei", lambda v, n: np.sqrt(v), True),
        ("vi", lambda v, n: v, True),
        ("seinv", lambda v, n: 1 / np.sqrt(v), False),
        ("vinv", lambda v, n: 1 / v, False),
        ("ni", lambda v, n: n, False),
        ("lni", lambda v, n: np.log(n), False),
        ("ninv", lambda v, n: 1 / n, True),
        ("sqrtni", lambda v, n: np.sqrt(n), False),
        ("sqrtninv", lambda v, n: 1 / np.sqrt(n), True),
    ],
)
def test_every_vertical_axis_has_large_studies_above(yaxis, value, falls):
    es = bcg()
    data = mx.datasets.load_dataset("bcg")
    n = (data["treatment_n"] + data["control_n"]).to_numpy()
    fit = mx.RandomEffects(es).fit()
    plan = funnel_plan(fit, yaxis=yaxis)
    assert by_label(plan, es)["y"].to_numpy() == pytest.approx(value(es.v, n))
    axis = plan.panels[0].y
    assert axis.inverted == falls
    ax = funnel(plan)
    assert overlapping_texts(ax) == []
    low, high = axis.limits
    assert ((points_of(plan)["y"] >= low) & (points_of(plan)["y"] <= high)).all()
    if "n" not in yaxis.removesuffix("inv"):  # the region is the same on every axis of standard errors
        heights, left, right = region_of(plan)
        heights, left, right = (one[1:] for one in (heights, left, right))
        back = {"sei": heights, "vi": np.sqrt(heights), "seinv": 1 / heights, "vinv": heights**-0.5}[yaxis]
        assert np.log(right / left) == pytest.approx(2 * Z95 * back)
    else:
        assert not any("region" in name for name in names_of(plan))


def test_what_an_axis_needs_is_said(make_effects):
    es = make_effects(6)
    with pytest.raises(InputError, match="sample sizes are not known"):
        funnel_plan(es, yaxis="ni")
    data = es.data.assign(n=[10, 20, None, 30, 0, 5])
    with pytest.raises(InputError, match="2 of 6 effects have no sample size"):
        funnel_plan(mx.EffectSizes(es.y, es.v, data=data), yaxis="ni")
    with pytest.raises(InputError, match="bare effects have no weights"):
        funnel_plan(es, yaxis="wi")
    with pytest.raises(InputError, match="no inverse"):
        funnel_plan(mx.EffectSizes([0.1, 0.2], [0.0, 0.1]), yaxis="seinv")
    with pytest.raises(InputError, match="p-values have no place"):
        funnel_plan(mx.EffectSizes(es.y, es.v, data=es.data.assign(n=20)), yaxis="ni", contours=True)
    with pytest.raises(UnknownChoiceError) as error:
        funnel_plan(es, yaxis="sie")
    assert error.value.nearest == "sei"


def test_labels_stand_beside_the_points_outside_the_region_or_all():
    fit = mx.RandomEffects(bcg()).fit()
    es, se = fit.effects, np.sqrt(fit.effects.v)
    z = (es.y - fit.estimate) / se
    away = np.abs(z) - Z95
    plan = funnel_plan(fit, labels="outside")
    (points,) = plan.layers(Points)
    assert points.extra["z"] == pytest.approx([z[es.row_ids.index(i)] for i in points.extra["id"]])
    written = [word for word in points.words if word]
    assert written == [es.row_labels[i] for i in np.argsort(-away) if away[i] > 0]
    ax = funnel(plan)
    assert {text.get_text() for text in ax.texts} == set(written)
    assert overlapping_texts(ax) == []
    (points,) = funnel_plan(fit, labels="all").layers(Points)
    assert sorted(points.words) == sorted(es.row_labels)
    (points,) = funnel_plan(fit, labels=["Aronson 1948"]).layers(Points)
    assert [word for word in points.words if word] == ["Aronson 1948"]
    with pytest.raises(InputError, match="no region to be outside of"):
        funnel_plan(es, labels="outside")


def test_an_effect_beyond_the_limits_is_a_triangle_at_the_edge_with_its_value():
    fit = mx.RandomEffects(bcg()).fit()
    plan = funnel_plan(fit, limits=(0.3, 1.1))
    shown = np.exp(fit.effects.y)
    left, right = (
        next(one for one in plan.layers(Points) if one.shape == side) for side in ("left", "right")
    )
    assert (len(left.x), len(right.x)) == ((shown < 0.3).sum(), (shown > 1.1).sum()) == (5, 1)
    assert left.x == pytest.approx([0.3] * 5)
    assert right.x == pytest.approx([1.1])
    assert len(points_of(plan)) == 13
    assert any("an effect beyond the axis (6: " in note for note in plan.notes)
    with pytest.raises(InputError, match="above 0"):
        funnel_plan(fit, limits=(-1.0, 1.0))


def test_the_reference_line_stands_where_it_is_asked_for(make_effects):
    es = make_effects(5)
    assert rule_of(funnel_plan(es), "no effect") == 0.0
    assert rule_of(funnel_plan(es, reference=0.5), "reference 0.50") == 0.5
    assert funnel_plan(es, reference=None).layers(Rule) == []
    with pytest.raises(InputError, match="reference"):
        funnel_plan(bcg(), reference=0.0)


@combined(k=[1, 2, 3, 13, 150], measure=["SMD", "RR"])
def test_texts_never_overlap_and_every_study_has_one_mark(make_effects, k, measure):
    names = [
        f"Author {i} and many others who wrote a paper with a long title {2000 + i % 25}" for i in range(k)
    ]
    es = make_effects(k, measure=measure, labels=names)
    plan = funnel_plan(
        es, by="source", contours=True, labels="all", title="A title " * 20, notes=["A remark. " * 20]
    )
    assert len(points_of(plan)) == k
    ax = funnel(plan)
    assert overlapping_texts(ax) == []
    clouds = [one.get_offsets() for one in ax.collections if one.get_clip_on() and len(one.get_offsets())]
    drawn = np.vstack([np.asarray(cloud) for cloud in clouds])
    wanted = points_of(plan)[["x", "y"]].to_numpy(dtype=float)
    assert drawn[np.argsort(drawn[:, 0])] == pytest.approx(wanted[np.argsort(wanted[:, 0])])


@pytest.mark.parametrize("theme", ["dark", "jama"])
def test_it_is_drawn_into_axes_and_parts_of_figures(theme):
    es = bcg()
    fit, of_latitude = mx.RandomEffects(es).fit(), mx.RandomEffects(es, "latitude").fit()
    figure = Figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2)
    funnel(fit, ax=left, by="allocation", contours=True, theme=theme, title="Effects")
    funnel(of_latitude, ax=right, theme=theme, title="Residuals")
    assert overlapping_texts(figure) == []
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert funnel(fit, ax=axes[0], theme=theme) is axes[0]
    assert axes[0].get_xlim() == pytest.approx(funnel_plan(fit).panels[0].x.limits)
    axes[0].set_xlim(0.1, 10.0)
    assert axes[0].get_xlim() == (0.1, 10.0)
    assert overlapping_texts(figure) == []


def test_many_thousand_points_are_one_collection_and_take_a_second():
    draws = np.random.default_rng(1)
    es = mx.EffectSizes(draws.normal(0, 1, 20_000), draws.uniform(0.01, 1, 20_000))
    fit = mx.RandomEffects(es).fit(method="DL")
    before = time.process_time()
    ax = funnel(fit, labels="outside")
    ax.figure.draw_without_rendering()
    assert time.process_time() - before < 4.0
    assert [len(one.get_offsets()) for one in ax.collections] == [20_000]


def test_what_cannot_be_drawn_is_refused(make_effects):
    with pytest.raises(InputError, match="list"):
        funnel_plan([])
    with pytest.raises(TooFewStudiesError):
        funnel_plan(mx.EffectSizes([], []))
    es = mx.effect_sizes("PLO", events=[3, 5, 8], n=[20, 30, 25])
    assert funnel_plan(es).layers(Rule) == []
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        funnel_plan(es, contours=True)
    with pytest.raises(InputError, match="bare effects have no residuals"):
        funnel_plan(make_effects(5), residuals=True)
    with pytest.raises(InputError, match="residuals=False"):
        funnel_plan(mx.RandomEffects(make_effects(9), "dose").fit(), contours=True)


def test_a_funnel_of_freeman_tukey_proportions_has_them_as_events_over_n():
    events, n = np.array([0, 3, 8]), np.array([5, 30, 34])
    es = mx.effect_sizes("PFT", events=events, n=n)
    plan = funnel_plan(es)
    assert by_label(plan, es)["shown"].to_numpy(dtype=float) == pytest.approx(events / n, abs=1e-12)
    assert plan.panels[0].x.label == "Proportion, as analysed (PFT)"


def test_effects_without_spread_have_a_funnel():
    es = mx.EffectSizes([0.2, 0.2, 0.2], [0.0, 0.0, 0.1])
    plan = funnel_plan(es)
    assert len(points_of(plan)) == 3
    assert overlapping_texts(funnel(plan)) == []


def test_censored_evidence_has_no_funnel():
    es = bounded_effects([0.2, 0.5, 0.1, 0.4], [0.2, 0.5, 0.1, float("inf")], [0.1] * 4)
    with pytest.raises(InputError, match="funnel plot cannot be made of a CensoredResults"):
        funnel_plan(mx.CensoredRandomEffects(es).fit())


def test_it_says_what_is_seen():
    fit = mx.RandomEffects(bcg()).fit()
    said = funnel_plan(fit).describe()
    assert said.startswith("Funnel plot of 13 effects around 0.49; 7 outside the 95% region")
    said = funnel_plan(fit, yaxis="groups").describe()
    assert said.startswith("Funnel plot of 13 effects around 0.49.")
    assert "region" not in said  # none is drawn


@pytest.mark.parametrize("kind", [mx.plots.funnel_plan, mx.plots.radial_plan])
def test_effects_that_share_a_place_are_counted(kind):
    def notes(events):
        es = mx.effect_sizes(
            "RR",
            treatment_events=events,
            treatment_n=[100] * 5,
            control_events=[8, 8, 8, 8, 9],
            control_n=[100] * 5,
        )
        return " ".join(kind(mx.RandomEffects(es).fit()).notes)

    assert "4 marks stand at 1 place and hide each other." in notes([4, 4, 4, 4, 4])
    assert "4 marks stand at 2 places and hide each other." in notes([4, 4, 5, 5, 4])
    assert "hide" not in notes([4, 5, 6, 7, 4])
