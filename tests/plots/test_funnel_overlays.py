"""What results on small-study effects add to a funnel plot: curves, filled studies, adjusted means."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import metaexo as mx
from metaexo.bias.results import AdjustedEstimate
from metaexo.errors import InputError
from metaexo.plots import THEMES, funnel, funnel_plan, overlapping_texts
from metaexo.plots.canvas.chart import Curve, Intervals, Points, Region, Rule
from tests.combined import combined
from tests.contract.test_bias_results import METHODS, answer

Y_AXES = ("sei", "vi", "seinv", "vinv", "ni", "ninv", "sqrtni", "sqrtninv", "wi")
OF_SE = Y_AXES[:4]
BACK = {"sei": lambda t: t, "vi": np.sqrt, "seinv": lambda t: 1 / t, "vinv": lambda t: t**-0.5}


def smokers(measure="OR"):
    table = mx.load_dataset("passive_smoking")
    return mx.EffectSizes(table["y"], table["v"], measure, labels=table["study"].astype(str))


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def named(plan, kind, words):
    (found,) = (layer for layer in plan.layers(kind) if words in layer.name)
    return found


def names_of(plan):
    return [layer.name for layer in plan.panels[0].layers if getattr(layer, "name", "")]


# trimfill() of metafor 3.8-1 fills in these, and has these means, for rma(yi, vi, data=dat.hackshaw1998). Its
# REML estimates while trimming are good to five digits.
FILLED = (
    (-0.3600958385, 0.7349801802), (-0.3845469344, 0.4767814926), (-0.4131203068, 0.2981971876),
    (-0.4271065488, 0.3518752647), (-0.4767781586, 0.5631587013), (-0.5071492565, 0.5408934942),
    (-0.5930916863, 0.6310272842),
)  # fmt: skip
ADJUSTED, UNADJUSTED = 0.174471172055, 0.218889231609


def test_filled_studies_and_both_means_stand_where_metafor_has_them():
    es = smokers()
    plan = funnel_plan(mx.bias.trim_and_fill(mx.RandomEffects(es).fit()))
    filled = named(plan, Points, "filled (k0 = 7)")
    order = np.argsort(filled.x)[::-1]
    x, se = np.array(FILLED).T
    assert np.log(np.array(filled.x)[order]) == pytest.approx(x, abs=2e-6)
    assert np.array(filled.y)[order] == pytest.approx(se, abs=1e-9)
    assert (filled.hollow, filled.shape) == (True, "lozenge")
    assert filled.extra["filled"] == [True] * 7
    assert all(label.startswith("filled: ") for label in filled.labels)
    rest = [layer for layer in plan.layers(Points) if layer is not filled]
    assert sorted(x for layer in rest for x in layer.x) == pytest.approx(sorted(np.exp(es.y)))
    assert not any(layer.hollow for layer in rest)
    assert np.log(named(plan, Rule, "trim and fill (L0) 1.19 (95% CI 1.08 to 1.31)").at) == pytest.approx(
        ADJUSTED, abs=1e-6
    )
    assert np.log(named(plan, Rule, "unadjusted 1.24 (95% CI 1.13 to 1.37)").at) == pytest.approx(
        UNADJUSTED, abs=1e-6
    )
    left = named(plan, Curve, "region around it")
    assert np.log(left.x) == pytest.approx(ADJUSTED - 1.959963984540054 * np.array(left.y), abs=1e-6)
    assert "fills in 7 studies" in plan.describe()
    low, high = plan.panels[0].x.limits
    assert low < min(filled.x)
    assert high > max(x for layer in rest for x in layer.x)


def test_a_funnel_with_filled_studies_has_contours_where_they_have_a_meaning():
    tf = mx.bias.trim_and_fill(smokers())
    assert len(funnel_plan(tf).layers(Region)) == 4
    assert funnel_plan(tf, contours=False).layers(Region) == []
    assert funnel_plan(tf, yaxis="wi").layers(Region) == []
    assert funnel_plan(mx.bias.pet_peese(smokers())).layers(Region) == []
    shares = mx.effect_sizes("PLO", events=[2, 5, 9, 8, 4], n=[10, 15, 12, 90, 40])
    assert funnel_plan(mx.bias.trim_and_fill(shares)).layers(Region) == []


def test_over_the_funnel_of_a_fit_the_region_stays_around_its_mean():
    fit = mx.RandomEffects(smokers()).fit()
    tf = mx.bias.trim_and_fill(fit)
    plan = funnel_plan(fit, overlays=tf)
    assert np.log(named(plan, Rule, "pooled effect 1.24").at) == pytest.approx(UNADJUSTED, abs=1e-6)
    adjusted = named(plan, Curve, "trim and fill (L0) 1.19")
    assert np.log(adjusted.x) == pytest.approx([ADJUSTED] * 2, abs=1e-6)
    assert adjusted.mark
    left = named(plan, Curve, "region around it")
    assert np.log(left.x[0]) == pytest.approx(UNADJUSTED, abs=1e-6)
    assert len(named(plan, Points, "filled (k0 = 7)").x) == 7


def test_nothing_filled_in_is_said():
    es = mx.EffectSizes([-0.4, -0.2, 0.0, 0.2, 0.4], [0.04, 0.02, 0.01, 0.02, 0.04])
    tf = mx.bias.trim_and_fill(es, side="left")
    assert tf.k0 == 0
    plan = funnel_plan(tf)
    assert named(plan, Points, "filled (k0 = 0)").x == []
    assert not any("unadjusted" in name for name in names_of(plan))
    assert overlapping_texts(funnel(plan)) == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_filled_study_stands_across_from_the_one_that_it_mirrors(side):
    y = smokers().y * (1 if side == "left" else -1)
    tf = mx.bias.trim_and_fill(mx.EffectSizes(y, smokers().v), side=side)
    own = tf.effects
    assert tf.k0 == 7
    sums = tf.filled.y[tf.is_filled] + own.y[tf.mirrored]
    assert sums == pytest.approx(np.full(7, sums[0]))
    assert (tf.filled.v[tf.is_filled] == own.v[tf.mirrored]).all()
    kept = np.delete(own.y, tf.mirrored)
    assert (
        own.y[tf.mirrored].min() >= kept.max() if side == "left" else own.y[tf.mirrored].max() <= kept.min()
    )


def wls(es, column):
    return sm.WLS(es.y, sm.add_constant(column), weights=1 / es.v).fit().params


@pytest.mark.parametrize("yaxis", OF_SE)
def test_pet_and_peese_are_curves_and_the_chosen_one_is_solid(yaxis):
    es = smokers()
    found = mx.bias.pet_peese(es)
    plan = funnel_plan(mx.RandomEffects(es).fit(), overlays=found, yaxis=yaxis)
    se = np.sqrt(es.v)
    for name, column, power in (("PET ", se, 1), ("PEESE ", es.v, 2)):
        b = wls(es, column)
        curve = named(plan, Curve, name)
        t = BACK[yaxis](np.array(curve.y))
        assert np.log(curve.x) == pytest.approx(b[0] + b[1] * t**power, abs=1e-9)
        assert f"{np.exp(b[0]):.2f}" in curve.name
        assert curve.dash == ("solid" if name.strip() == found.chosen else "dotted")
        assert ("chosen" in curve.name) == (name.strip() == found.chosen)
        if yaxis in ("sei", "vi"):  # the mark stands at the limit
            assert (curve.y[0], np.log(curve.x[0])) == (0.0, pytest.approx(b[0], abs=1e-9))
    assert len({(curve.color, curve.mark) for curve in plan.layers(Curve) if curve.mark}) == 2


@pytest.mark.parametrize("yaxis", [name for name in Y_AXES if name not in OF_SE])
def test_where_the_axis_has_no_standard_errors_fitted_effects_are_marked(yaxis):
    es = bcg()
    plan = funnel_plan(
        mx.RandomEffects(es).fit(), overlays=mx.bias.pet_peese(es, predictor="se"), yaxis=yaxis
    )
    b = wls(es, np.sqrt(es.v))
    marks = named(plan, Points, "PET ")
    assert np.log(marks.x) == pytest.approx(b[0] + b[1] * np.sqrt(es.v), abs=1e-9)
    heights = dict(zip(*[plan.to_frame().query("id == id")[name] for name in ("label", "y")], strict=True))
    assert marks.y == pytest.approx([heights[label] for label in es.row_labels])
    assert any("fitted effects" in note for note in plan.notes)
    tops = [layer for layer in plan.layers(Points) if not layer.name and layer.y == [0.0]]
    assert len(tops) == (2 if yaxis in ("ninv", "sqrtninv") else 0)
    assert overlapping_texts(funnel(plan)) == []


@pytest.mark.parametrize("yaxis", OF_SE)
@pytest.mark.parametrize(("predictor", "power"), [("se", 1), ("variance", 2)])
def test_the_line_of_a_regression_test_goes_to_its_limit(yaxis, predictor, power):
    es = smokers("GEN")
    found = mx.bias.regression_test(es, predictor, "dispersion")
    plan = funnel_plan(mx.RandomEffects(es).fit(), overlays=found, yaxis=yaxis)
    model = sm.WLS(es.y, sm.add_constant(es.v ** (power / 2)), weights=1 / es.v).fit()
    b, ((low, high), _) = model.params, model.conf_int()
    words = "Egger line" if predictor == "se" else "regression test (sampling variance)"
    name = f"{words}, limit {b[0]:.2f} (95% CI {low:.2f} to {high:.2f})".replace("-", "−")
    curve = named(plan, Curve, words)
    assert curve.name == name
    t = BACK[yaxis](np.array(curve.y))
    assert np.array(curve.x) == pytest.approx(b[0] + b[1] * t**power, abs=1e-9)
    if yaxis in ("sei", "vi"):
        assert (curve.y[0], curve.x[0]) == (0.0, pytest.approx(b[0], abs=1e-9))
    assert f"t(35) = {model.tvalues[1]:.2f}" in " ".join(plan.notes)


SIZES = {"ni": lambda t: t, "ninv": lambda t: 1 / t, "sqrtni": lambda t: t**2, "sqrtninv": lambda t: t**-2.0}


@pytest.mark.parametrize("yaxis", SIZES)
@pytest.mark.parametrize("predictor", ["n", "1/n", "sqrt(n)", "1/sqrt(n)"])
def test_a_line_on_sample_sizes_is_a_curve_on_axes_of_sample_sizes(yaxis, predictor):
    es = bcg()
    trials = mx.load_dataset("bcg")
    power = {"n": 1.0, "1/n": -1.0, "sqrt(n)": 0.5, "1/sqrt(n)": -0.5}[predictor]
    n = (trials["treatment_n"] + trials["control_n"]).to_numpy(dtype=float)
    b = wls(es, n**power)
    plan = funnel_plan(mx.bias.regression_test(es, predictor, "dispersion"), yaxis=yaxis)
    curve = named(plan, Curve, "regression test")
    with np.errstate(divide="ignore"):
        at = SIZES[yaxis](np.array(curve.y)) ** power
    assert np.log(curve.x) == pytest.approx(b[0] + b[1] * at, abs=1e-9)
    assert ("limit" in curve.name) == (power < 0)
    if power < 0 and yaxis in ("ninv", "sqrtninv"):
        assert (curve.y[0], np.log(curve.x[0])) == (0.0, pytest.approx(b[0], abs=1e-9))
    if power > 0:  # which has no limit, so that the line does not go beyond the studies
        size = SIZES[yaxis](np.array([curve.y[0], curve.y[-1]]))
        assert sorted(size) == pytest.approx([n.min(), n.max()])
    ends = plan.panels[0].x.limits
    assert ends[0] < min(curve.x)
    assert max(curve.x) < ends[1]
    assert overlapping_texts(funnel(plan)) == []


def test_a_line_on_group_sizes_has_marks_of_fitted_effects_and_says_why(make_effects):
    es = bcg()
    found = mx.bias.regression_test(es, model="dispersion")
    plan = funnel_plan(found)
    trials = mx.load_dataset("bcg")
    x = np.sqrt(1 / trials["treatment_n"] + 1 / trials["control_n"]).to_numpy()
    b = wls(es, x)
    marks = named(plan, Points, "fitted effects")
    assert np.log(marks.x) == pytest.approx(b[0] + b[1] * x, abs=1e-9)
    assert marks.y == pytest.approx(np.sqrt(es.v))
    (top,) = (layer for layer in plan.layers(Points) if not layer.name and layer.y == [0.0])
    assert np.log(top.x) == pytest.approx([b[0]], abs=1e-9)
    assert (top.color, top.shape) == (marks.color, marks.shape)
    assert any(found.reason[1:] in note for note in plan.notes)
    slopes = mx.bias.regression_test(mx.RandomEffects(make_effects(12), "dose").fit(), "se")
    assert len(funnel_plan(slopes).layers(Curve)) == 0
    with pytest.raises(InputError, match="nothing to draw"):
        funnel_plan(slopes.effects, overlays=slopes)


def test_pet_on_sample_sizes_is_a_curve_on_axes_of_sample_sizes():
    es = bcg()
    trials = mx.load_dataset("bcg")
    n = (trials["treatment_n"] + trials["control_n"]).to_numpy(dtype=float)
    plan = funnel_plan(mx.bias.pet_peese(es, predictor="1/sqrt(n)"), yaxis="ninv")
    for name, column, power in (("PET ", n**-0.5, 0.5), ("PEESE ", 1 / n, 1)):
        b = wls(es, column)
        curve = named(plan, Curve, name)
        assert np.log(curve.x) == pytest.approx(b[0] + b[1] * np.array(curve.y) ** power, abs=1e-9)
    sizes = mx.bias.pet_peese(es)
    assert sizes.predictor == "sqrt(1/n1+1/n2)"
    plan = funnel_plan(sizes)
    assert np.log(named(plan, Points, "PET ").x) == pytest.approx(sizes.pet.at(sizes.x), abs=1e-9)
    assert any(sizes.reason[1:] in note for note in plan.notes)


def test_a_limit_meta_analysis_shows_its_curve_and_the_limit_of_each_effect():
    es = smokers()
    fit = mx.RandomEffects(es).fit()
    found = mx.bias.limit_meta_analysis(fit)
    plan = funnel_plan(fit, overlays=found)
    s = np.sqrt(es.v + fit.tau2)
    alpha, beta = sm.WLS(es.y, np.column_stack([s, np.ones(es.k)]), weights=1 / s**2).fit().params
    curve = named(plan, Curve, "limit meta-analysis")
    assert np.log(curve.x) == pytest.approx(beta + alpha * np.hypot(curve.y, fit.tau), abs=1e-9)
    limits = beta + fit.tau / s * (es.y - beta)
    points = named(plan, Points, "limit of each effect")
    assert np.log(points.x) == pytest.approx(limits, abs=1e-9)
    assert points.y == pytest.approx(np.sqrt(es.v))
    (lines,) = plan.layers(Intervals)
    ends = np.sort(np.exp([es.y, limits]), axis=0)
    assert np.array([lines.low, lines.high]) == pytest.approx(ends)
    other = mx.bias.limit_meta_analysis(fit, "mulim")
    upright = named(funnel_plan(fit, overlays=other), Curve, "limit meta-analysis 1.")
    assert np.log(upright.x) == pytest.approx([other.estimate] * 2)


def test_adjusted_means_are_upright_lines_with_signs_of_their_own():
    es = smokers()
    fit = mx.RandomEffects(es).fit()
    over = [mx.bias.waap_wls(fit), mx.bias.trim_and_fill(fit), mx.bias.trim_and_fill(fit, "R0")]
    plan = funnel_plan(fit, overlays=over)
    curves = [curve for curve in plan.layers(Curve) if curve.mark]
    assert [np.log(curve.x[0]) for curve in curves] == pytest.approx([one.estimate for one in over])
    assert len({curve.mark for curve in curves}) == len({curve.color for curve in curves}) == 3
    for curve, one in zip(curves, over, strict=True):
        assert curve.name.startswith(f"{one.name} {np.exp(one.estimate):.2f} (95% CI ")
    by_group = funnel_plan(fit, overlays=over)
    assert names_of(by_group)[-1] == names_of(plan)[-1]


def test_lines_and_groups_share_no_colour_and_no_shape(make_effects):
    es = make_effects(20)
    plan = funnel_plan(es, by="source", overlays=mx.bias.pet_peese(es))
    groups = {(layer.color, layer.shape) for layer in plan.layers(Points)}
    lines = {(curve.color, curve.mark) for curve in plan.layers(Curve) if curve.mark}
    assert len(groups) == 4
    assert len(lines) == 2
    assert not {color for color, _ in groups} & {color for color, _ in lines}
    assert not {shape for _, shape in groups} & {shape for _, shape in lines}


def test_a_result_alone_has_the_funnel_of_its_effects():
    es = smokers()
    fit = mx.RandomEffects(es).fit()
    found = mx.bias.pet_peese(fit)
    alone, bare = funnel_plan(found), funnel_plan(es, overlays=found)
    assert alone.to_frame().equals(bare.to_frame())
    limit = mx.bias.limit_meta_analysis(fit)  # which knows the mean before adjustment
    side = named(funnel_plan(limit), Curve, "pseudo 95% region")
    assert np.log(side.x) == pytest.approx(fit.estimate - 1.959963984540054 * np.array(side.y), abs=1e-9)
    lfk = mx.bias.lfk_index(es)  # has nothing to draw, and says so in words
    plan = funnel_plan(lfk)
    assert any("no test" in note for note in plan.notes)
    assert len(plan.to_frame().query("layer == 'points'")) == es.k
    with pytest.raises(InputError, match="nothing to draw"):
        funnel_plan(es, overlays=lfk)


# What the others are asked of has no events, and no threshold.
OTHERS = {
    "counts_test": lambda: mx.bias.counts_test(bcg()),
    "proportion_beyond": lambda: mx.bias.proportion_beyond(bcg(), 0.8, draws=100),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_result_has_a_funnel_and_every_adjusted_mean_a_place_in_it(name):
    found = OTHERS[name]() if name in OTHERS else answer(name)
    plan = funnel_plan(found)
    assert len(plan.to_frame().query("id == id")) == found.k
    assert overlapping_texts(funnel(plan)) == []
    if isinstance(found, AdjustedEstimate) and np.isfinite(found.estimate):
        at = [rule.at for rule in plan.layers(Rule)]
        at += [curve.x[0] for curve in plan.layers(Curve)]
        assert np.abs(np.log(at) - found.estimate).min() < 1e-9
        said = {f"{np.exp(found.estimate):.{decimals}f} (95% CI " for decimals in (2, 3)}
        assert any(words in name for name in names_of(plan) for words in said)
        before = getattr(found, "unadjusted", None)
        if before is not None:
            before = before.beta[0] if hasattr(before, "beta") else getattr(before, "estimate", before)
            words = f" {np.exp(before):.2f}"
            assert any(
                words in rule.name and np.log(rule.at) == pytest.approx(before) for rule in plan.layers(Rule)
            )
    elif not isinstance(found, AdjustedEstimate):
        said = " ".join(plan.notes).replace("τ²", "tau2").replace("I²", "I2")
        assert found.sentence.rstrip(".")[1:] in said


@pytest.mark.filterwarnings("ignore::metaexo.errors.MetaexoWarning")
def test_fits_of_every_kind_and_strata_take_overlays(make_effects):
    es = make_effects(12, study=[f"study {i // 2}" for i in range(12)])
    for fit in (
        mx.Multilevel(es, "study").fit(),
        mx.RandomEffects(es, dependence="accept").fit().robust("study"),
        mx.LocationScale(es, dependence="accept").fit(),
        mx.stratify(es, by="source"),
    ):
        overall = getattr(fit, "overall", fit)
        over = [mx.bias.trim_and_fill(overall, side="left"), mx.bias.pet_peese(overall, predictor="se")]
        plan = funnel_plan(fit, overlays=over)
        assert named(plan, Points, "filled").labels == [
            f"filled: {es.row_labels[i]}" for i in over[0].mirrored
        ]
        assert any("of 6 studies" in note for note in plan.notes)
        assert overlapping_texts(funnel(plan)) == []


def test_what_has_no_meaning_is_refused(make_effects):
    es = make_effects(12)
    found = mx.bias.pet_peese(es)
    slopes = mx.RandomEffects(es, "dose").fit()
    with pytest.raises(InputError, match="over residuals"):
        funnel_plan(slopes, overlays=found)
    assert any("PET" in name for name in names_of(funnel_plan(slopes, residuals=False, overlays=found)))
    with pytest.raises(InputError, match=r"other effects \(12\) than the funnel shows \(9\)"):
        funnel_plan(make_effects(9), overlays=found)
    for wrong in (3, "pet", [found, None], mx.RandomEffects(es).fit()):
        with pytest.raises(InputError, match="an overlay"):
            funnel_plan(es, overlays=wrong)
    with pytest.raises(InputError, match="sample sizes are not known"):
        funnel_plan(found, yaxis="ni")


def test_limits_hold_every_estimate_and_what_is_beyond_them_is_a_triangle():
    es = smokers()
    tf = mx.bias.trim_and_fill(es)
    plan = funnel_plan(tf, limits=(0.7, 3.0))
    shown = np.exp(tf.filled.y)
    beyond = int(((shown < 0.7) | (shown > 3.0)).sum())
    triangles = [layer for layer in plan.layers(Points) if layer.shape in ("left", "right")]
    assert sum(len(layer.x) for layer in triangles) == beyond > 0
    assert any(f"({beyond}: " in note for note in plan.notes)


def test_a_limit_far_beyond_the_studies_does_not_squash_them():
    """Standard errors that hardly differ say little of studies without sampling error."""
    es = mx.EffectSizes([-0.5, -0.1, 0.3, 0.6], [0.250, 0.255, 0.262, 0.270])
    found = mx.bias.regression_test(es, "se")
    assert found.limit_estimate < -20
    plan = funnel_plan(mx.RandomEffects(es).fit(), overlays=found)
    low, high = plan.panels[0].x.limits
    assert high - low < 6
    (note,) = (note for note in plan.notes if note.startswith("Beyond the axis: Egger line, limit −"))
    assert f"{abs(found.limit_estimate):.2f}" in note
    ratios = mx.EffectSizes(es.y, es.v, "RR")  # which are never 0
    (note,) = (note for note in funnel_plan(mx.bias.regression_test(ratios, "se")).notes if "Beyond" in note)
    assert re.search(r"limit \d\.\d+×10⁻\d+", note.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    near = mx.bias.pet_peese(smokers())
    assert not any("Beyond" in note for note in funnel_plan(near).notes)
    assert any("Beyond the axis: PET 1.01" in note for note in funnel_plan(near, limits=(1.05, 2.0)).notes)


def test_lines_that_hide_each_other_are_said():
    es = smokers("GEN")  # PET is the regression of Egger
    over = [mx.bias.regression_test(es, "se", "dispersion"), mx.bias.pet_peese(es)]
    notes = funnel_plan(es, overlays=over).notes
    (note,) = (one for one in notes if one.startswith("One line hides the other: Egger line, "))
    assert "; PET " in note
    assert not any("hides" in one for one in funnel_plan(es, overlays=over[1]).notes)


@pytest.mark.parametrize("c", [1e-6, 1.0, 1e6])
def test_values_have_the_decimals_that_their_interval_needs(c):
    es = smokers("GEN")
    scaled = mx.EffectSizes(c * es.y, c**2 * es.v)
    found = mx.bias.waap_wls(scaled)
    plan = funnel_plan(scaled, overlays=found)
    curve = next(curve for curve in plan.layers(Curve) if curve.mark)
    words = curve.name.partition(" ")[2].replace("95% CI", "")
    words = words.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")).replace("×10", "e")
    said = re.findall(r"[\d.]+(?:e-?\d+)?", words)
    assert [float(one) for one in said] == pytest.approx([found.estimate, found.low, found.high], rel=0.05)
    assert curve.x == pytest.approx([found.estimate] * 2)
    low, high = plan.panels[0].x.limits
    assert low < scaled.y.min() < scaled.y.max() < high
    assert overlapping_texts(funnel(plan)) == []


def test_a_place_on_the_axis_of_what_was_analysed_is_named_beside_the_shown_value():
    es = mx.effect_sizes("PLO", events=[2, 5, 9, 8, 4], n=[10, 15, 12, 90, 40])
    plan = funnel_plan(es, overlays=mx.bias.trim_and_fill(es))
    curve = next(curve for curve in plan.layers(Curve) if curve.mark)
    share = 1 / (1 + np.exp(-curve.x[0]))
    assert f" {curve.x[0]:.2f} (proportion {share:.2f}, 95% CI ".replace("-", "−") in curve.name


@combined(k=[3, 13, 150], measure=["SMD", "RR"])
def test_texts_never_overlap(make_effects, k, measure):
    names = [f"Author {i} and many others who wrote a paper with a long title" for i in range(k)]
    es = make_effects(k, measure=measure, labels=names)
    fit = mx.RandomEffects(es).fit()
    over = [mx.bias.regression_test(fit, "se"), mx.bias.pet_peese(fit), mx.bias.limit_meta_analysis(fit)]
    over += [mx.bias.waap_wls(fit)]
    for plan in (
        funnel_plan(fit, overlays=over, labels="all", by="source", title="A title " * 20),
        funnel_plan(mx.bias.trim_and_fill(fit, side="left"), labels="outside", notes=["A remark. " * 20]),
    ):
        ax = funnel(plan)
        assert overlapping_texts(ax) == []
        assert len(plan.to_frame().query("id == id")) == k


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_drawn_in_every_theme_with_marks_in_the_legend(theme):
    es = smokers()
    ax = funnel(es, overlays=[mx.bias.pet_peese(es), mx.bias.waap_wls(es)], theme=theme)
    assert overlapping_texts(ax) == []
    handles = [handle for handle in ax.get_legend().legend_handles if hasattr(handle, "get_marker")]
    marked = [handle for handle in handles if handle.get_marker() not in ("None", "none", "")]
    assert len(marked) == 3
    assert len({to_hex(handle.get_color()) for handle in marked}) == 3
    assert len({handle.get_marker() for handle in marked}) == 3


def test_it_is_drawn_into_axes_and_parts_of_figures():
    es = smokers()
    tf = mx.bias.trim_and_fill(es)
    figure = Figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2)
    funnel(tf, ax=left, theme="dark", title="Filled")
    funnel(es, ax=right, theme="dark", title="Limit", overlays=mx.bias.limit_meta_analysis(es))
    assert overlapping_texts(figure) == []
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert funnel(tf, ax=axes[0]) is axes[0]
    assert overlapping_texts(figure) == []


def test_the_line_on_sizes_of_groups_is_straight_over_that_axis() -> None:
    n = np.array([5, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80, 100.0])
    y = 0.2 + 1.5 * np.sqrt(2 / n) + np.resize([0.1, -0.12, 0.05], 12)
    data = pd.DataFrame({"treatment_n": n, "control_n": n})
    es = mx.EffectSizes(y, 2 / n + y**2 / (4 * n), "SMD", data=data)
    fit = mx.RandomEffects(es).fit()
    test = mx.bias.regression_test(fit)
    plan = mx.plots.funnel_plan(fit, yaxis="groups", overlays=test)
    frame = plan.to_frame()
    points = frame.query("id == id")
    np.testing.assert_allclose(np.sort(points["y"]), np.sort(np.sqrt(2 / n)))
    line = frame[frame["name"].str.startswith("regression test")]
    np.testing.assert_allclose(line["x"], test.limit_estimate + test.coef * line["y"], rtol=1e-9, atol=1e-12)
    assert len(line) > 2
    with pytest.raises(InputError, match="treatment_n"):
        mx.plots.funnel_plan(mx.EffectSizes(y, 2 / n), yaxis="groups")


def every_estimate(fit):
    bias = mx.bias
    methods = (bias.trim_and_fill, bias.pet_peese, bias.limit_meta_analysis, bias.waap_wls, bias.henmi_copas)
    more = (bias.selection_model, bias.p_uniform_star, bias.copas_selection, bias.worst_case)
    return [bias.regression_test(fit), *(method(fit) for method in (*methods, *more))]


def test_a_legend_of_ten_methods_leaves_room_for_the_notes():
    fit = mx.RandomEffects(smokers("RR")).fit()
    over = every_estimate(fit)
    for width in (5.0, 7.0):
        ax = funnel(fit, overlays=over, width=width)
        assert overlapping_texts(ax) == []
        legend = ax.get_legend() or next(one.get_legend() for one in ax.figure.axes if one.get_legend())
        assert len(legend.get_texts()) > 12
        plt.close(ax.figure)


def test_every_caution_stands_once_and_has_its_methods():
    fit = mx.RandomEffects(smokers("RR")).fit()
    notes = [note for note in funnel_plan(fit, overlays=every_estimate(fit)).notes if "aution" in note]
    said = [note.partition(": ")[2] for note in notes]
    assert len(set(said)) == len(said)
    (line,) = (note for note in notes if "by construction" in note)
    assert "PET-PEESE (PET), limit meta-analysis" in line
    (line,) = (note for note in notes if "adequate power" in note)
    assert line.startswith("Caution, WAAP-WLS: ")
    both = [mx.bias.worst_case(small := smokers_few()), mx.bias.waap_wls(small)]
    shared = [note for note in funnel_plan(small, overlays=both).notes if "fewer than 10" in note]
    assert len(shared) == 1
    assert shared[0].startswith("Caution: ")


def smokers_few():
    es = smokers("GEN")
    return mx.EffectSizes(es.y[:6], es.v[:6])


def test_what_is_not_to_be_used_is_not_drawn():
    es = smokers("GEN")
    found = replace(mx.bias.waap_wls(es), estimate=-50.0, low=-60.0, high=-40.0, usable=False)
    plan = funnel_plan(mx.RandomEffects(es).fit(), overlays=found)
    assert "Not drawn, because its estimate is not to be used: WAAP-WLS." in plan.notes
    assert not [curve for curve in plan.layers(Curve) if curve.mark]
    assert plan.panels[0].x.limits[0] > -10


def test_one_line_of_many_is_one_note():
    es = smokers("GEN")
    one = mx.bias.waap_wls(es)
    same = [one, replace(one), replace(one)]
    notes = [note for note in funnel_plan(es, overlays=same).notes if "hides" in note]
    assert notes == [f"One line hides the others: {'; '.join([note_name(es, one)] * 3)}."]


def note_name(es, one):
    return next(curve.name for curve in funnel_plan(es, overlays=one).layers(Curve) if curve.mark)
