"""Plots of the Copas selection model: means, intervals and p-values along the probability of publication."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.bias.copas import LARGEST_RHO
from metaexo.errors import InputError
from metaexo.plots import THEMES, copas, copas_plan, overlapping_texts
from metaexo.plots.canvas.chart import Band, Curve, Intervals, Points, Rule
from tests.combined import combined

Z95 = 1.959963984540054


def smoking():
    return mx.EffectSizes(data=mx.load_dataset("passive_smoking"), y="y", v="v", measure="OR")


@pytest.fixture(scope="module")
def found():
    return mx.bias.copas_selection(smoking())


def panels(plan):
    """Return the layers of both panels."""
    return [panel.layers for panel in plan.panels]


def of(layers, kind):
    return [layer for layer in layers if isinstance(layer, kind)]


def test_means_and_intervals_stand_at_the_values_of_the_path(found):
    left, _ = panels(copas_plan(found))
    path = found.path
    (curve,) = of(left, Curve)
    assert curve.x == pytest.approx(path.publication_probability)
    assert np.log(curve.y) == pytest.approx(path.estimate)
    (band,) = of(left, Band)
    assert band.x == curve.x
    free = ~(np.abs(path.rho) >= LARGEST_RHO)
    assert 0 < free.sum() < free.size
    half = Z95 * path.se
    assert np.log(band.low)[free] == pytest.approx((path.estimate - half)[free])
    assert np.log(band.high)[free] == pytest.approx((path.estimate + half)[free])
    table = found.sensitivity()
    assert band.low == pytest.approx(table["ratio_low"])
    assert band.high == pytest.approx(table["ratio_high"])
    points, chosen = of(left, Points)
    assert points.y == curve.y
    assert (chosen.x[0], np.log(chosen.y[0])) == pytest.approx(
        (found.publication_probability, found.estimate)
    )
    (interval,) = of(left, Intervals)
    assert np.log([interval.low[0], interval.high[0]]) == pytest.approx([found.low, found.high])
    (null,) = of(left, Rule)
    assert (null.axis, null.at, null.name) == ("y", 1.0, "no effect")


def test_without_selection_the_mean_is_that_of_maximum_likelihood(found):
    """The first point is the random-effects mean by maximum likelihood."""
    left, _ = panels(copas_plan(found))
    fit = mx.RandomEffects(smoking()).fit(method="ML", test="z")
    (curve,) = of(left, Curve)
    assert curve.x[0] == 1.0
    assert np.log(curve.y[0]) == pytest.approx(fit.estimate, abs=1e-7)
    (band,) = of(left, Band)
    assert np.log(band.high[0]) == pytest.approx(fit.pooled().high, abs=1e-6)


def test_p_values_of_residual_selection_bias(found):
    plan = copas_plan(found)
    _, right = panels(plan)
    (curve,) = of(right, Curve)
    assert curve.y == pytest.approx(found.path.residual_pvalue)
    (rule,) = of(right, Rule)
    assert (rule.axis, rule.at, rule.name) == ("y", found.residual_level, "p = 0.1")
    chosen = of(right, Points)[-1]
    assert (chosen.x[0], chosen.y[0]) == (found.publication_probability, found.residual_pvalue)
    first = next(i for i, p in enumerate(curve.y) if p > 0.1)
    assert chosen.x[0] == curve.x[first], "the first one that is no longer significant"
    assert [panel.x.inverted for panel in plan.panels] == [True, True]
    assert plan.notes[0] == found.sentence


def test_what_is_not_determined_is_not_drawn_like_a_finding():
    rng = np.random.default_rng(1)
    es = mx.EffectSizes(rng.normal(0.3, 0.3, 12), se=0.2 + 1e-6 * np.arange(12))
    plan = copas_plan(es)
    assert plan.layers(Intervals) == []
    assert len(plan.layers(Points)) == 2
    assert any("do not use the table" in note for note in plan.notes)
    assert overlapping_texts(copas(plan)) == []


def test_an_interval_by_the_profile_likelihood_is_said(found):
    assert any("those of the profile likelihood" in note for note in copas_plan(found).notes)


def test_no_adjusted_estimate_is_no_mark(found):
    names = ("estimate", "low", "high", "publication_probability", "residual_pvalue")
    none = replace(found, **dict.fromkeys(names, np.nan))
    plan = copas_plan(none)
    assert plan.layers(Intervals) == []
    assert len(plan.layers(Points)) == 2
    assert "no adjusted estimate" in plan.notes[0]
    assert overlapping_texts(copas(plan)) == []


def test_choices(found):
    plan = copas_plan(found, limits=(0.5, 2.0), reference=1.1, axis_label="OR")
    assert plan.panels[0].y.limits == pytest.approx((0.5, 2.0))
    assert plan.panels[0].y.label == "OR (log scale)"
    assert plan.layers(Rule)[0].name == "reference 1.10"
    assert len(copas_plan(found, reference=None).layers(Rule)) == 1
    same = copas_plan(mx.RandomEffects(smoking()).fit())
    assert same.layers(Curve)[0].y == pytest.approx(plan.layers(Curve)[0].y)


@combined(theme=THEMES, width=[3.5, 7.0])
def test_no_texts_overlap(found, theme, width):
    ax = copas(found, theme=theme, width=width, title="Effects of " * 20)
    assert overlapping_texts(ax) == []


@pytest.mark.parametrize(("k", "measure"), [(3, "SMD"), (13, "RR"), (13, "ZCOR"), (150, "SMD")])
def test_few_and_many_effects(make_effects, k, measure):
    ax = copas(make_effects(k, measure), title="Effects")
    assert overlapping_texts(ax) == []


def test_a_subfigure_of_the_user_but_no_axes(found):
    part = plt.figure(figsize=(12, 4), layout="constrained").subfigures(1, 2)[1]
    ax = copas(found, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []
    _, (left, _) = plt.subplots(1, 2)
    with pytest.raises(InputError, match="2 panels for one Axes"):
        copas(found, ax=left)


def test_what_cannot_be_drawn(make_effects):
    for wrong in (None, 3, "fit", [0.1], mx.RandomEffects(make_effects(12), "source").fit()):
        with pytest.raises(InputError):
            copas_plan(wrong)
