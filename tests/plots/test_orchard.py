"""The plan of an orchard plot."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import orchard, orchard_plan, overlapping_texts
from metaexo.plots.canvas.chart import Intervals, Points
from metaexo.plots.charts.effects import swarm
from tests.combined import combined

BCG = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def clouds(plan):
    return [p for p in plan.layers(Points) if p.shape != "diamond"]


def means(plan):
    """Return estimate, low, high and prediction bounds of each row, as natural logarithms."""
    points = next(p for p in plan.layers(Points) if p.shape == "diamond")
    ahead, confident = plan.layers(Intervals)
    return {
        name: np.log([points.x[i], confident.low[i], confident.high[i], ahead.low[i], ahead.high[i]])
        for i, name in enumerate(points.labels)
    }


def test_levels_have_the_means_of_metafor():
    # predict() of metafor 3.8.1 for rma(yi, vi, mods = ~ ablat + alloc, data = dat, test = "knha"),
    # threshold 1e-14, at the mean latitude: random, systematic and alternate allocation
    expected = {
        "random": (-0.8869856239472, -1.334247392183, -0.4397238557116, -1.85651305734, 0.0825418094499),
        "systematic": (-0.5610331255060, -1.132647632486, 0.0105813814739, -1.59383683356, 0.4717705825500),
        "alternate": (-0.6194944124343, -1.306237659380, 0.0672488345111, -1.72020174956, 0.4812129246946),
    }
    fit = mx.RandomEffects(BCG, "latitude + allocation").fit(test="knapp-hartung")
    plan = orchard_plan(fit)
    found = means(plan)
    assert set(found) == set(expected)
    for name, numbers in expected.items():
        assert found[name] == pytest.approx(numbers, abs=1e-8)
    assert "Other moderators are held at: latitude 33.46 (mean)." in plan.notes
    north = means(orchard_plan(fit, at={"latitude": 55}))
    assert north["alternate"][0] == pytest.approx(-1.2069722403941, abs=1e-8)


def test_one_fit_is_one_row_with_all_effects():
    fit = mx.RandomEffects(BCG).fit(test="z")
    plan = orchard_plan(fit, overall_label="All trials")
    # predict(rma(yi, vi, data = dat)) of metafor 3.8.1, threshold 1e-14
    expected = -0.714532342158, -1.066897638810, -0.362167045506, -1.866692217903, 0.437627533587
    assert means(plan)["All trials"] == pytest.approx(expected, abs=1e-8)
    (cloud,) = clouds(plan)
    assert sorted(cloud.x) == pytest.approx(sorted(np.exp(BCG.y)))
    area = np.array(cloud.size) ** 2
    precision = 1 / np.sqrt(BCG.v)
    big = area > 1.5**2
    assert (area / area.max())[big] == pytest.approx((precision / precision.max())[big])
    assert [label for _, label in plan.panels[0].y.opposite] == ["k = 13"]


def test_every_effect_stands_in_the_row_of_its_level():
    plan = orchard_plan(mx.RandomEffects(BCG, "allocation").fit())
    rows = {name: place for place, name in plan.panels[0].y.ticks}
    data = mx.load_dataset("bcg").set_index("study")["allocation"]
    seen = []
    for cloud in clouds(plan):
        for y, label in zip(cloud.y, cloud.labels, strict=True):
            assert min(rows, key=lambda row, y=y: abs(y - rows[row])) == data[label]
            seen.append(label)
    assert sorted(seen) == sorted(data.index)


def test_strata_have_their_own_pooled_effects_and_one_of_all(make_effects):
    es = make_effects(20, "RR")
    results = mx.stratify(es, by="source")
    plan = orchard_plan(results, wording={"platelet": "Platelets"})
    found = means(plan)
    assert list(found)[-1] == "All effects"
    assert "Platelets" in found
    for stratum in results.strata:
        name = {"platelet": "Platelets"}.get(stratum.levels["source"])
        if name:
            pooled = stratum.pooled
            assert found[name][:3] == pytest.approx([pooled.estimate, pooled.low, pooled.high])
    assert sum(len(c.x) for c in clouds(plan)) == 40, "all effects stand once in their stratum, once below"
    assert "All effects" not in means(orchard_plan(results, overall=False))
    with pytest.raises(InputError, match="pool again"):
        orchard_plan(results, level=0.8)
    with pytest.raises(InputError, match="strata alone"):
        orchard_plan(results, moderator="source")


def test_strata_say_that_their_intervals_allow_for_shared_laboratories(make_effects):
    es = make_effects(20, "RR")
    es = es.with_columns(laboratory=[f"laboratory {i // 2}" for i in range(es.k)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shared = mx.stratify(es, by="source", cluster="laboratory")
        alone = mx.stratify(es, by="source", cluster=None)
    words = "robust to dependence within each laboratory (CR2)"
    assert words in " ".join(orchard_plan(shared).notes)
    assert "Knapp-Hartung" not in " ".join(orchard_plan(shared).notes)
    assert words not in " ".join(orchard_plan(alone).notes)
    assert "Knapp-Hartung" in " ".join(orchard_plan(alone).notes)


def test_a_stratum_of_one_study_has_points_and_no_estimate(make_effects):
    es = make_effects(9).with_columns(source=["a"] * 4 + ["b"] * 4 + ["c"])
    plan = orchard_plan(mx.stratify(es, by="source"), overall=False)
    points = next(p for p in plan.layers(Points) if p.shape == "diamond")
    assert set(points.labels) == {"a", "b"}
    assert sum(len(c.x) for c in clouds(plan)) == 9
    assert "No pooled effect of c: a single study." in plan.notes


def test_a_multilevel_fit_counts_effects_and_studies(make_effects):
    es = make_effects(24, study=[f"s{i // 3}" for i in range(24)])
    fit = mx.Multilevel(es, "study", moderators="source").fit()
    plan = orchard_plan(fit)
    point = next(p for p in plan.layers(Points) if p.shape == "diamond")
    levels = sorted(set(es.data["source"]))
    assert point.x == pytest.approx(fit.predict({"source": levels})["estimate"].to_numpy())
    for (_, said), level in zip(plan.panels[0].y.opposite, levels, strict=True):
        own = es.data["source"] == level
        m = len({one for one, mine in zip(es.study, own, strict=True) if mine})
        assert said == f"k = {own.sum()}" + (f" (m = {m})" if m < own.sum() else "")


def test_a_swarm_hides_nothing_and_leaves_room_for_the_trunk():
    draws = np.random.default_rng(2)
    at, size = draws.normal(0, 60, 300), draws.uniform(2, 7, 300)
    away = swarm(at, size, 500.0, trunk=4.0)
    far = np.hypot(at[:, None] - at, away[:, None] - away) + 1e9 * np.eye(300)
    assert (far >= 0.5 * (size[:, None] + size) - 1e-9).all()
    assert (np.abs(away) >= 4.0 + 0.5 * size - 1e-9).all()
    assert (away < 0).any()
    assert (away > 0).any()
    assert swarm(at, size, 10.0).max() <= 10.0
    assert np.array_equal(swarm(at, size, 500.0), swarm(at, size, 500.0))
    assert swarm([], [], 10.0).tolist() == []
    assert swarm([0.0, 50.0], [4.0, 4.0], 10.0).tolist() == [0.0, 0.0]


def test_rows_are_as_high_as_their_marks_need(make_effects):
    es = make_effects(160).with_columns(group=["many"] * 140 + ["few"] * 20)
    plan = orchard_plan(mx.RandomEffects(es, "group").fit(), marker_size=6.0, sizes="equal")
    ax = orchard(plan)
    ax.figure.draw_without_rendering()
    up = {cloud.color: ax.transData.transform(np.column_stack([cloud.x, cloud.y])) for cloud in clouds(plan)}
    places = [points * 72 / ax.figure.dpi for points in up.values()]
    few, many = sorted(np.ptp(points[:, 1]) for points in places)
    assert many > 1.5 * few
    for points in places:
        far = np.hypot(*(points[:, None] - points[None]).T) + 1e9 * np.eye(len(points))
        assert far.min() > 5.5, "no mark hides another"
    assert orchard_plan(mx.RandomEffects(es).fit(), height=2.0).height == 2.0


def test_limits_keep_a_mark_of_every_effect():
    plan = orchard_plan(mx.RandomEffects(BCG).fit(), limits=(0.3, 1.1))
    shown = np.exp(BCG.y)
    outside = int(((shown < 0.3) | (shown > 1.1)).sum())
    assert sum(len(c.x) for c in clouds(plan)) == 13
    assert sum(len(c.x) for c in clouds(plan) if c.hollow) == outside
    assert any(
        note.startswith(f"Hollow triangle at the edge: an effect beyond the axis ({outside}")
        for note in plan.notes
    )


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="is a number, not a factor"):
        orchard_plan(mx.RandomEffects(BCG, "latitude").fit())
    with pytest.raises(InputError, match="is a number, not a factor"):
        orchard_plan(mx.RandomEffects(BCG, "latitude + allocation").fit(), moderator="latitude")
    with pytest.raises(InputError, match="or strata"):
        orchard_plan(BCG)


def test_what_is_seen_is_said():
    said = orchard_plan(mx.RandomEffects(BCG).fit(test="z")).describe()
    assert "All effects 0.49 (95% CI 0.34 to 0.70)" in said


def test_the_number_of_artists_does_not_grow_with_the_effects(make_effects):
    few, many = (orchard(mx.RandomEffects(make_effects(k)).fit()) for k in (40, 1000))
    assert len(few.get_children()) == len(many.get_children())


@combined(k=[2, 3, 13, 150, 1000], measure=["SMD", "RR", "PLO", "PFT"])
def test_no_texts_overlap(make_effects, k, measure):
    es = make_effects(k, measure)
    long = {"platelet": "platelets of healthy donors, Łódź and 北京, " * 3}
    assert overlapping_texts(orchard(mx.RandomEffects(es).fit(), title="Effects of " * 20)) == []
    if k > 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strata = mx.stratify(es, by=["source", "isolation"])
        assert overlapping_texts(orchard(strata, wording=long, theme="dark")) == []


def test_axes_and_subfigures_of_the_user():
    fit = mx.RandomEffects(BCG, "allocation").fit()
    _, (left, _) = plt.subplots(1, 2, layout="constrained")
    assert orchard(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = orchard(fit, ax=part, theme="jama", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []
