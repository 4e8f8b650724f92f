"""Plots of selection weights: steps, curves, intervals and p-values at their values."""

from __future__ import annotations

import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import THEMES, overlapping_texts, selection_weights, selection_weights_plan
from metaexo.plots.canvas.chart import Band, Curve, Intervals, Region, Rule
from metaexo.plots.canvas.scale import RoundTicks
from tests.combined import combined

CUTS = (0.025, 0.5)


def smoking():
    data = mx.load_dataset("passive_smoking")
    return mx.EffectSizes(data=data, y="y", v="v", measure="OR")


def model(weights="step", es=None, **choices):
    return mx.bias.selection_model(smoking() if es is None else es, weights, **choices)


def curve_of(plan, position=0):
    curve = plan.layers(Curve)[position]
    return np.array(curve.x), np.array(curve.y)


@pytest.mark.parametrize("scale", ["sqrt", "linear"])
def test_steps_stand_at_their_weights(scale):
    plan = selection_weights_plan(model(cuts=CUTS, delta=(1, 0.7, 0.4)), scale=scale)
    x, y = curve_of(plan)
    assert x == pytest.approx([0, 0.025, 0.025, 0.5, 0.5, 1])
    assert y == pytest.approx([1, 1, 0.7, 0.7, 0.4, 0.4])
    assert plan.panels[0].x.scale == scale
    assert plan.layers(Band) == [], "weights that are given have no interval"
    null = next(rule for rule in plan.layers(Rule) if rule.name == "no selection")
    assert (null.axis, null.at) == ("y", 1.0)


@pytest.mark.parametrize(("weights", "formula"), [
    ("half-normal", lambda p, d: np.exp(-d * p**2)),
    ("negative-exponential", lambda p, d: np.exp(-d * p)),
    ("logistic", lambda p, d: 2 * np.exp(-d * p) / (1 + np.exp(-d * p))),
    ("power", lambda p, d: (1 - p) ** d),
])  # fmt: skip
@pytest.mark.parametrize("scale", ["sqrt", "linear", "log"])
def test_smooth_weights_and_their_intervals_follow_their_formula(weights, formula, scale):
    found = model(weights)
    plan = selection_weights_plan(found, scale=scale)
    x, y = curve_of(plan)
    assert y == pytest.approx(formula(x, found.delta[0]), rel=1e-9)
    (band,) = plan.layers(Band)
    assert band.x == pytest.approx(x)
    assert band.low == pytest.approx(formula(x, found.delta_high[0]), rel=1e-9)
    assert band.high == pytest.approx(formula(x, found.delta_low[0]), rel=1e-9)
    assert (x[0], x[-1]) == (pytest.approx(plan.panels[0].x.limits[0]), pytest.approx(1.0))
    assert band.name == "95% profile interval"


def test_the_intervals_of_steps_are_by_the_profile_likelihood():
    found = model(cuts=CUTS)
    (band,) = selection_weights_plan(found).layers(Band)
    ends = [found.profile_interval(name) for name in found.delta_names[1:]]
    assert band.x == pytest.approx([0, 0.025, 0.025, 0.5, 0.5, 1])
    assert np.isnan(band.low[:2]).all()
    assert band.low[2:] == pytest.approx(np.repeat([low for low, _ in ends], 2))
    assert band.high[2:] == pytest.approx(np.repeat([high for _, high in ends], 2))
    assert selection_weights_plan(found, intervals=False).layers(Band) == []


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_the_p_values_of_the_effects(alternative):
    found = model(alternative=alternative)
    z = found.effects.y / np.sqrt(found.effects.v)
    expected = {
        "greater": stats.norm.sf(z),
        "less": stats.norm.cdf(z),
        "two-sided": 2 * stats.norm.sf(np.abs(z)),
    }[alternative]
    plan = selection_weights_plan(found)
    (rug,) = plan.layers(Intervals)
    assert rug.at == pytest.approx(expected)
    assert rug.labels == found.effects.row_labels
    words = "Two-sided" if alternative == "two-sided" else "One-sided"
    assert plan.panels[0].x.label == f"{words} p-value (square-root scale)"


def test_a_step_without_p_values_is_hatched_and_has_no_weight():
    found = model(cuts=(0.0001, 0.025, 0.5))
    assert found.counts[0] == 0
    plan = selection_weights_plan(found)
    (unseen,) = plan.layers(Region)
    x, _ = np.array(unseen.corners).T
    assert (x.min(), x.max()) == pytest.approx((0, 0.0001))
    assert unseen.hatch
    x, y = curve_of(plan)
    assert np.isnan(y[:2]).all()
    assert y[2:] == pytest.approx(np.repeat(found.weight_at([0.01, 0.2, 0.8]), 2))
    assert any(note.startswith("Caution: ") and "no p-value is up to 0.0001" in note for note in plan.notes)
    ax = selection_weights(found)
    assert overlapping_texts(ax) == []


def test_a_logarithmic_axis_says_what_lies_below_it():
    es = smoking()
    far = mx.EffectSizes(np.append(es.y, 3.0), np.append(es.v, 0.04), "OR")
    plan = selection_weights_plan(model(es=far, cuts=CUTS), scale="log")
    low = plan.panels[0].x.limits[0]
    assert low == pytest.approx(1e-6)
    assert "1 p-value below the axis stands at its left end." in plan.notes
    assert min(plan.layers(Intervals)[0].at) == low
    assert curve_of(plan)[0][0] == low


def test_several_models_have_colours_dashes_and_names_of_their_own():
    models = [model(), model("half-normal"), model(cuts=CUTS), model()]
    plan = selection_weights_plan(models)
    curves = plan.layers(Curve)
    assert [curve.name for curve in curves] == [
        "step: 0.025", "half normal", "step: 0.025, 0.5", "step: 0.025 (4)",
    ]  # fmt: skip
    assert len({(curve.color, curve.dash) for curve in curves}) == 4
    assert plan.layers(Band) == []
    assert [note.startswith("Selection model") for note in plan.notes[:4]] == [True] * 4
    named = selection_weights_plan({"three parameters": models[0]}, intervals=True)
    assert named.layers(Curve)[0].name == "three parameters"
    assert named.layers(Band)[0].color == "study"


def test_the_axis_holds_the_weights_and_says_where_an_interval_goes_on():
    found = model("beta")
    plan = selection_weights_plan(found)
    low, high = plan.panels[0].y.limits
    p = stats.norm.sf(found.effects.y / np.sqrt(found.effects.v))
    assert low == 0.0
    assert np.isfinite(high)
    a, b = found.delta
    x, y = map(np.array, curve_of(plan))
    own = stats.beta(a, b).pdf(np.append(x, p))
    mode = [stats.beta(a, b).pdf((a - 1) / (a + b - 2))] if min(a, b) > 1 else []
    largest = max([*own[x.size :], *mode])
    inside = np.isfinite(y) & (x > 0) & (x < 1)
    assert y[inside] == pytest.approx((own[: x.size] / largest)[inside])
    assert high > (own[x.size :] / largest).max()
    assert any("beta are relative to the largest one" in note for note in plan.notes)
    cut = selection_weights_plan(model(cuts=CUTS), limits=(0.0, 1.2))
    assert cut.panels[0].y.limits == (0.0, 1.2)
    assert "An interval that reaches the upper edge goes on beyond it." in cut.notes


@pytest.mark.parametrize("delta", [(2.0, 3.0), (1.0, 2.5), (0.4, 1.2)])
def test_weights_of_beta_are_relative_to_the_largest(delta):
    found = model("beta", delta=delta)
    x, y = map(np.array, curve_of(selection_weights_plan(found)))
    p = stats.norm.sf(found.effects.y / np.sqrt(found.effects.v))
    shape = stats.beta(*delta).pdf
    largest = shape(np.linspace(0, 1, 200_001)).max() if delta[0] >= 1 else shape(p).max()
    inside = (x > 0) & (x < 1)
    assert y[inside] == pytest.approx(shape(x[inside]) / largest, rel=1e-6)


def test_weights_that_are_not_determined_do_not_stretch_the_axis():
    es = mx.EffectSizes([1.02, 0.59, 0.26], se=[0.12, 0.4, 0.29])
    found = model(es=es)
    assert not found.usable
    assert found.delta[1] > 1e5
    plan = selection_weights_plan(found)
    assert plan.panels[0].y.limits[1] < 20
    assert "Weights of step: 0.025 go on beyond the upper edge." in plan.notes


def test_cautions_of_several_models_have_their_names():
    es = mx.EffectSizes([1.02, 0.59, 0.26], se=[0.12, 0.4, 0.29])
    plan = selection_weights_plan([model(es=es), model("half-normal", es)])
    cautions = [note for note in plan.notes if note.startswith("Caution")]
    few = [note for note in cautions if "3 studies" in note]
    assert len(few) == 1
    assert few[0].startswith("Caution: ")
    assert any(note.startswith("Caution (step: 0.025): the likelihood has no maximum") for note in cautions)
    assert not any("no maximum" in note for note in cautions if not note.startswith("Caution (step"))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.9), (0.0, 30.0), (0.0, 1e-4)])
@pytest.mark.parametrize("room", [60.0, 200.0, 450.0])
def test_ticks_of_square_roots_stand_apart(low, high, room):
    values = RoundTicks("sqrt").values(low, high, room)
    places = np.sqrt(values) / (np.sqrt(high) - np.sqrt(low)) * room
    assert len(values) >= (1 if room < 100 else 2)
    assert (np.diff(places) > 4 * 7.5).all()
    assert all(low <= value <= high for value in values)


@combined(theme=THEMES, scale=["sqrt", "linear", "log"])
def test_no_texts_overlap(theme, scale):
    models = [model(), model("half-normal"), model(cuts=CUTS)]
    ax = selection_weights(models, scale=scale, theme=theme, title="Effects of " * 20, width=4.0)
    assert overlapping_texts(ax) == []


@pytest.mark.parametrize("k", [3, 13, 150])
def test_few_and_many_effects(make_effects, k):
    ax = selection_weights(model(es=make_effects(k, "RR")), title="Effects")
    assert overlapping_texts(ax) == []


def test_a_figure_with_an_axis_of_square_roots_can_be_pickled():
    ax = selection_weights(model())
    again = pickle.loads(pickle.dumps(ax.figure)).axes[0]
    again.figure.canvas.draw()
    assert again.get_xlim() == ax.get_xlim() == (0.0, 1.0)
    assert [label.get_text() for label in again.get_xticklabels()][:2] == ["0", "0.01"]


def test_axes_and_subfigures_of_the_user():
    found = model()
    _, (left, _) = plt.subplots(1, 2)
    assert selection_weights(found, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = selection_weights(found, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_what_cannot_be_drawn(make_effects):
    one = model()
    other = model(es=make_effects(12, "OR"))
    wrongs = (None, 3, [], {}, "x", [one, 3], {3: one}, [one, other], [one, model(alternative="less")])
    for wrong in (*wrongs, model("truncated"), model("half-normal", precision="se")):
        with pytest.raises(InputError):
            selection_weights_plan(wrong)
