"""The plan of a drapery plot."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots import drapery, drapery_plan, overlapping_texts
from metaexo.plots.canvas.chart import Curve, Curves
from tests.combined import combined


@pytest.mark.parametrize("measure", ["SMD", "RR"])
def test_curves_of_studies_are_two_sided_p_values(make_effects, measure):
    fit = mx.RandomEffects(make_effects(12, measure)).fit()
    (curves,) = drapery_plan(fit).layers(Curves)
    y, se = fit.effects.y, np.sqrt(fit.effects.v)
    shown = np.array(curves.x)
    places = np.log(shown) if measure == "RR" else shown
    expected = 2 * stats.norm.sf(np.abs(places - y[:, None]) / se[:, None])
    assert np.broadcast_to(curves.y, expected.shape) == pytest.approx(expected, rel=1e-7)
    assert curves.labels == fit.effects.row_labels


@pytest.mark.parametrize("test", ["z", "knapp-hartung"])
def test_the_pooled_curve_is_that_of_the_test_of_the_fit(make_effects, test):
    fit = mx.RandomEffects(make_effects(12)).fit(test=test)
    ahead, pooled = drapery_plan(fit).layers(Curve)
    mean, se = fit.pooled().estimate, fit.pooled().se
    law = stats.norm() if test == "z" else stats.t(11)
    x = np.array(pooled.x)
    assert pooled.y == pytest.approx(2 * law.sf(np.abs(x - mean) / se), rel=1e-6)
    x = np.array(ahead.x)
    assert ahead.y == pytest.approx(2 * law.sf(np.abs(x - mean) / np.hypot(se, fit.tau)), rel=1e-6)
    assert pooled.width > ahead.width
    assert (ahead.dash, pooled.dash) == ("dashed", "solid")


def test_intervals_of_metafor_lie_on_the_curves():
    # predict(rma(yi, vi, data = dat)) of metafor 3.8.1, threshold 1e-14, log risk ratios of dat.bcg
    low, high, ahead_low, ahead_high = -1.066897638810, -0.362167045506, -1.866692217903, 0.437627533587
    fit = mx.RandomEffects(mx.effect_sizes("RR", data=mx.load_dataset("bcg"))).fit(test="z")
    ahead, pooled = drapery_plan(fit).layers(Curve)
    for curve, ends in ((pooled, (low, high)), (ahead, (ahead_low, ahead_high))):
        half = len(curve.x) // 2
        left = np.interp(ends[0], np.log(curve.x[: half + 1]), curve.y[: half + 1])
        right = np.interp(ends[1], np.log(curve.x[half:]), curve.y[half:])
        assert (left, right) == pytest.approx((0.05, 0.05), abs=1e-4)


def test_the_scale_of_z_and_the_levels_at_the_right(make_effects):
    fit = mx.RandomEffects(make_effects(12)).fit()
    upright = drapery_plan(fit, y_scale="z").panels[0].y
    assert upright.limits[0] > upright.limits[1] == 0.0
    at = {label: place for place, label in upright.opposite}
    assert at["95%"] == pytest.approx(1.959963984540054)
    assert at["99.9%"] == pytest.approx(3.290526731491926)
    curve = drapery_plan(fit, y_scale="z").layers(Curve)[-1]
    same = drapery_plan(fit).layers(Curve)[-1]
    assert curve.x == same.x
    assert 2 * stats.norm.sf(curve.y) == pytest.approx(same.y)
    upright = drapery_plan(fit, levels=[0.9]).panels[0].y
    assert [(pytest.approx(place), label) for place, label in upright.opposite] == [(0.1, "90%")]
    with pytest.raises(InputError):
        drapery_plan(fit, levels=[95])


def test_equal_effects_have_no_curve_of_prediction(make_effects):
    fit = mx.RandomEffects(make_effects(12)).fit(method="EE")
    plan = drapery_plan(fit)
    assert len(plan.layers(Curve)) == 1
    assert any("no prediction interval" in note for note in plan.notes)
    assert not any("no prediction interval" in note for note in drapery_plan(fit, prediction=False).notes)


def test_multilevel_fits_moderators_and_estimates_beyond_the_axis(make_effects):
    es = make_effects(12, study=[f"s{i // 2}" for i in range(12)])
    fit = mx.Multilevel(es, "study").fit()
    assert drapery_plan(fit).layers(Curves)[0].name == "single effect"
    cut = drapery_plan(fit, limits=(0.5, 0.9))
    outside = int(((es.y < 0.5) | (es.y > 0.9)).sum())
    assert any(note.startswith(f"The estimates of {outside} of 12 effects of 6") for note in cut.notes)
    with pytest.raises(InputError, match="moderators"):
        drapery_plan(mx.RandomEffects(make_effects(12), "source").fit())
    with pytest.raises(InputError, match="a fit of effects"):
        drapery_plan(es)


def test_what_is_seen_is_said():
    fit = mx.RandomEffects(mx.effect_sizes("RR", data=mx.load_dataset("bcg"))).fit(test="z")
    assert "the pooled effect, 0.49 (95% CI 0.34 to 0.70)" in drapery_plan(fit).describe()


def test_the_number_of_artists_does_not_grow_with_the_effects(make_effects):
    few, many = (drapery(mx.RandomEffects(make_effects(k)).fit()) for k in (40, 1000))
    assert len(few.get_children()) == len(many.get_children())


@combined(k=[2, 3, 13, 150, 1000], measure=["SMD", "RR", "PLO", "PFT"])
def test_no_texts_overlap(make_effects, k, measure):
    fit = mx.RandomEffects(make_effects(k, measure)).fit()
    for y_scale in ("p", "z"):
        assert overlapping_texts(drapery(fit, y_scale=y_scale, title="Effects of " * 20)) == []


def test_axes_and_subfigures_of_the_user(make_effects):
    fit = mx.RandomEffects(make_effects(30)).fit()
    _, (left, _) = plt.subplots(1, 2)
    assert drapery(fit, ax=left) is left
    part = plt.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[1]
    ax = drapery(fit, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []
