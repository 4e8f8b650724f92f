"""The plan of a caterpillar plot."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.plots import caterpillar, caterpillar_plan, overlapping_texts
from metaexo.plots.canvas.chart import Intervals, Points, Region, Rule
from tests.combined import combined

Z = 1.959963984540054


def ranked(plan):
    """Return x and y of the points of a plan, by rank."""
    found = [
        (y, x, label)
        for p in plan.layers(Points)
        if "BLUP" not in p.name
        for x, y, label in zip(p.x, p.y, p.labels, strict=True)
    ]
    return sorted(found)


def test_effects_rise_with_their_rank_and_have_their_intervals(make_effects):
    fit = mx.RandomEffects(make_effects(40)).fit()
    plan = caterpillar_plan(fit)
    y, se = fit.effects.y, np.sqrt(fit.effects.v)
    order = np.argsort(y)
    assert [x for _, x, _ in ranked(plan)] == pytest.approx(y[order].tolist())
    assert [label for *_, label in ranked(plan)] == [fit.effects.row_labels[i] for i in order]
    (lines,) = plan.layers(Intervals)
    by_rank = np.argsort(lines.at)
    assert np.array(lines.low)[by_rank] == pytest.approx((y - Z * se)[order])
    assert np.array(lines.high)[by_rank] == pytest.approx((y + Z * se)[order])
    assert sorted(lines.at) == list(range(1, 41))


def test_bands_are_those_of_the_pooled_effect(make_effects):
    fit = mx.RandomEffects(make_effects(40, "RR")).fit()
    pooled = fit.pooled()
    ahead, confident = caterpillar_plan(fit).layers(Region)
    assert sorted({x for x, _ in confident.corners}) == pytest.approx(np.exp([pooled.low, pooled.high]))
    assert sorted({x for x, _ in ahead.corners}) == pytest.approx(
        np.exp([pooled.prediction_low, pooled.prediction_high])
    )
    line = next(rule for rule in caterpillar_plan(fit).layers(Rule) if rule.name)
    assert line.at == pytest.approx(np.exp(pooled.estimate))
    assert caterpillar_plan(fit, interval=None).layers(Region) == []
    equal = caterpillar_plan(mx.RandomEffects(fit.effects).fit(method="EE"))
    assert len(equal.layers(Region)) == 1
    assert "There is no prediction interval: the model takes the true effects as equal." in equal.notes
    assert [r.name for r in caterpillar_plan(fit, interval="confidence").layers(Region)] == [confident.name]


def test_predicted_true_effects_are_those_of_metafor():
    # blup() of metafor 3.8.1 for rma(yi, vi, data = dat), threshold 1e-14, on the log risk ratios of dat.bcg
    expected = {"Aronson 1948": (-0.8002335620, -1.6036824753, 0.0032153513), "Comstock et al 1976": (
        -0.1467430699, -0.6238772851, 0.3303911454)}  # fmt: skip
    fit = mx.RandomEffects(mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")).fit(test="z")
    plan = caterpillar_plan(fit, true_effects=True)
    ranks = {label: y for y, _, label in ranked(plan)}
    (points,) = (p for p in plan.layers(Points) if "BLUP" in p.name)
    lines = plan.layers(Intervals)[-1]
    for label, (estimate, low, high) in expected.items():
        i = list(points.labels).index(label)
        assert points.y[i] == lines.at[i] == ranks[label] - 0.3, "beside the effect"
        assert points.x[i] == pytest.approx(np.exp(estimate), rel=1e-8)
        assert (lines.low[i], lines.high[i]) == pytest.approx((np.exp(low), np.exp(high)), rel=1e-8)


def test_true_effects_of_many_stand_over_the_effects(make_effects):
    fit = mx.RandomEffects(make_effects(150)).fit()
    (points,) = (p for p in caterpillar_plan(fit, true_effects=True).layers(Points) if "BLUP" in p.name)
    assert sorted(points.y) == list(range(1, 151))
    assert points.x == pytest.approx(fit.blup()["estimate"].to_numpy())


def test_falling_order_groups_and_limits(make_effects):
    es = make_effects(30)
    plan = caterpillar_plan(es, descending=True, color_by="source", wording={"platelet": "Platelets"})
    assert [x for _, x, _ in ranked(plan)] == pytest.approx(sorted(es.y, reverse=True))
    names = [p.name for p in plan.layers(Points)]
    assert len(names) == 4
    assert len({(p.color, p.shape) for p in plan.layers(Points)}) == 4
    assert any(name.startswith("Platelets") for name in names)
    assert {line.color for line in plan.layers(Intervals)} == {p.color for p in plan.layers(Points)}
    cut = caterpillar_plan(es, limits=(0.4, 1.0))
    outside = int(((es.y < 0.4) | (es.y > 1.0)).sum())
    assert sum(len(p.x) for p in cut.layers(Points) if p.hollow) == outside > 0
    assert sum(len(p.x) for p in cut.layers(Points)) == es.k
    assert any(f"an effect beyond the axis ({outside}" in note for note in cut.notes)


def test_what_has_no_pooled_effect_has_no_bands(make_effects):
    es = make_effects(24)
    for results in (es, mx.RandomEffects(es, "source").fit()):
        plan = caterpillar_plan(results)
        assert plan.layers(Region) == []
        assert not any(rule.name for rule in plan.layers(Rule))
    strata = mx.stratify(es, by="source")
    line = next(rule for rule in caterpillar_plan(strata).layers(Rule) if rule.name)
    assert line.at == strata.overall_pooled.estimate
    with pytest.raises(InputError, match="pool again"):
        caterpillar_plan(strata, level=0.9)


def test_what_cannot_be_drawn_is_refused(make_effects):
    es = make_effects(5)
    with pytest.raises(TooFewStudiesError):
        caterpillar_plan(es.select([]))
    with pytest.raises(InputError, match="no predicted true effects"):
        caterpillar_plan(es, true_effects=True)
    with pytest.raises(InputError, match="EffectSizes"):
        caterpillar_plan([0.1, 0.2])


def test_what_is_seen_is_said():
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"))
    assert "13 studies, from 0.20 to 1.56, the smallest below. 1 panel" in caterpillar_plan(es).describe()
    said = caterpillar_plan(mx.RandomEffects(es).fit(test="z"), descending=True).describe()
    assert "the largest below. Pooled effect 0.49 (95% CI 0.34 to 0.70)." in said


def test_the_number_of_artists_does_not_grow_with_the_effects(make_effects):
    few, many = (caterpillar(mx.RandomEffects(make_effects(k)).fit()) for k in (40, 1000))
    assert len(few.get_children()) == len(many.get_children())


@combined(k=[1, 2, 3, 13, 150, 1000], measure=["SMD", "RR", "PLO"])
def test_no_texts_overlap(make_effects, k, measure):
    es = make_effects(k, measure)
    results = es if k == 1 else mx.RandomEffects(es).fit()
    assert overlapping_texts(caterpillar(results, color_by="source", title="Effects of " * 20)) == []


def test_axes_and_subfigures_of_the_user(make_effects):
    fit = mx.RandomEffects(make_effects(30)).fit()
    _, (left, _) = plt.subplots(1, 2)
    assert caterpillar(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = caterpillar(fit, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_bands_and_intervals_that_the_axis_cuts_are_told_with_their_ends(make_effects):
    fit = mx.RandomEffects(mx.EffectSizes([0.0, 3.0, -2.5], [0.02, 0.03, 0.02], measure="SMD")).fit()
    pooled = fit.pooled()
    low, high = caterpillar_plan(fit).panels[0].x.limits
    assert pooled.prediction_low < low
    assert high < pooled.prediction_high
    ends = f"{pooled.prediction_low:.2f} to {pooled.prediction_high:.2f}".replace("-", "\N{MINUS SIGN}")
    assert f"The 95% prediction interval goes on beyond the axis: {ends}." in caterpillar_plan(fit).notes
    narrow = caterpillar_plan(fit, limits=(-2.6, 2.9), interval=None)
    cut = (fit.effects.y - Z * np.sqrt(fit.effects.v) < -2.6) | (
        fit.effects.y + Z * np.sqrt(fit.effects.v) > 2.9
    )
    assert f"{cut.sum()} intervals of effects go on beyond the axis." in narrow.notes
    assert not any("goes on" in note for note in caterpillar_plan(fit, limits=(-90, 90)).notes)
