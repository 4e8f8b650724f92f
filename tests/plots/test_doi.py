"""Doi plots: where points, limbs and tip stand, and what is said."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError
from metaexo.plots import doi, doi_plan, overlapping_texts
from metaexo.plots.canvas.chart import Curve, Points, Rule
from tests.combined import combined


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def points_of(plan):
    frame = plan.to_frame()
    return frame[frame["layer"] == "points"].set_index("label")


def test_points_stand_at_effect_and_score_of_the_rank():
    es = bcg()
    plan = doi_plan(mx.RandomEffects(es).fit())
    ranks = 1 / es.v
    below = np.array([ranks[es.y < one].sum() for one in es.y])
    half_a_rank = 0.5 / (100 * es.v.max())
    z = norm.ppf((below + ranks / 2 - half_a_rank) / ranks.sum())
    found = points_of(plan).loc[list(es.row_labels)]
    assert found["x"].to_numpy() == pytest.approx(np.exp(es.y), rel=1e-12)
    assert found["y"].to_numpy() == pytest.approx(np.abs(z), abs=1e-12)
    assert found["z"].to_numpy(dtype=float) == pytest.approx(z, abs=1e-12)
    (panel,) = plan.panels
    assert panel.y.inverted
    assert panel.x.scale == "log"
    assert panel.y.limits[1] > found["y"].max()
    tip = next(rule for rule in plan.layers(Rule) if rule.name.startswith("tip"))
    assert tip.at == pytest.approx(np.exp(es.y[np.abs(z).argmin()]))
    (limbs,) = plan.layers(Curve)
    order = np.argsort(es.y)
    assert limbs.x == pytest.approx(np.exp(es.y[order]))
    assert limbs.y == pytest.approx(np.abs(z[order]))
    index = 2.5 * np.mean(z + np.ptp(z) / np.ptp(es.y) * (es.y - np.log(tip.at)))
    assert limbs.name == f"both limbs (LFK index {index:.2f})".replace("-", "−")
    assert any("is no test" in note for note in plan.notes)


def test_a_fit_its_effects_and_their_index_have_the_same_plot():
    es = bcg()
    frames = [doi_plan(one).to_frame() for one in (es, mx.bias.lfk_index(es), mx.RandomEffects(es).fit())]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])
    strata = doi_plan(mx.stratify(es, by="allocation"))
    assert {layer.shape for layer in strata.layers(Points)} == {"circle", "square", "triangle"}


def test_labels_of_the_farthest_come_first_and_derived_effects_are_hollow(make_effects, derived):
    es = make_effects(8, derived=derived(8))
    plan = doi_plan(es, labels="all")
    for layer in plan.layers(Points):
        assert list(layer.y) == sorted(layer.y, reverse=True)
        assert list(layer.words) == list(layer.labels)
    assert sum(len(layer.x) for layer in plan.layers(Points) if layer.hollow) == 4
    assert any("ollow circle" in note for note in plan.notes)


@combined(k=[2, 3, 13, 150, 1000], measure=["SMD", "RR", "PLO"])
def test_texts_never_overlap_and_every_study_has_one_mark(make_effects, k, measure):
    names = [f"Author {i} and many others who wrote a paper with a long title" for i in range(k)]
    es = make_effects(k, measure=measure, labels=names)
    plan = doi_plan(es, by="source", labels="all", title="A title " * 20, notes=["A remark. " * 20])
    assert len(points_of(plan)) == k
    ax = doi(plan)
    assert overlapping_texts(ax) == []
    marks = np.vstack([np.asarray(one.get_offsets()) for one in ax.collections if len(one.get_offsets())])
    wanted = points_of(plan)[["x", "y"]].to_numpy(dtype=float)
    assert marks[np.lexsort(marks.T)] == pytest.approx(wanted[np.lexsort(wanted.T)])


def test_an_effect_beyond_the_limits_is_a_triangle_at_the_edge():
    plan = doi_plan(bcg(), limits=(0.3, 1.1))
    assert len(points_of(plan)) == 13
    assert {layer.shape for layer in plan.layers(Points)} == {"circle", "left", "right"}
    assert any("beyond the axis (6: " in note for note in plan.notes)
    with pytest.raises(InputError, match="above 0"):
        doi_plan(bcg(), limits=(-1.0, 1.0))


def test_it_is_drawn_into_axes_and_parts_of_figures():
    figure = Figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2)
    doi(bcg(), ax=left, theme="dark", title="Doi plot", labels="all")
    mx.plots.funnel(bcg(), ax=right, theme="dark", title="Funnel plot")
    assert overlapping_texts(figure) == []
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    assert doi(bcg(), ax=axes[0]) is axes[0]
    assert overlapping_texts(figure) == []


def test_what_cannot_be_drawn_is_refused(make_effects):
    with pytest.raises(TooFewStudiesError):
        doi_plan(make_effects(1))
    with pytest.raises(InputError, match="moderators"):
        doi_plan(mx.RandomEffects(make_effects(9), "dose").fit())
    with pytest.raises(InputError, match="zero"):
        doi_plan(mx.EffectSizes([0.1, 0.2], [0.0, 0.1]))


def test_it_says_what_is_seen():
    said = doi_plan(bcg()).describe()
    assert said.startswith("Doi plot of 13 effects; LFK index −4.10.")
