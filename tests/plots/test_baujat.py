"""Baujat plots: squared Pearson residuals against squared changes of the result, named where they are far."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import baujat, baujat_plan, overlapping_texts


def bcg(moderator=None, **choices):
    es = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    return mx.RandomEffects(es, moderator).fit(**choices)


def of_studies(k, seed=5, letters=80):
    draws = np.random.default_rng(seed)
    labels = [
        f"{i} Exosomes of umbilical cord stem cells for wounds in diabetes".ljust(letters, "s")
        for i in range(k)
    ]
    es = mx.EffectSizes(draws.normal(0.3, 0.5, k), draws.uniform(0.02, 0.3, k), labels=labels)
    return mx.RandomEffects(es).fit(method="EE" if k < 3 else "DL")


def places(plan):
    frame = plan.to_frame().query("layer == 'points'").set_index("label")
    return frame["x"].astype(float), frame["y"].astype(float)


@pytest.mark.parametrize("choices", [
    {"method": "EE", "test": "z"}, {"method": "DL", "test": "z"}, {"method": "REML", "test": "z"},
])  # fmt: skip
def test_each_study_stands_where_leaving_it_out_puts_it(choices):
    fit = bcg(**choices)
    x, y = places(baujat_plan(fit))
    es = fit.effects
    for i, label in enumerate(es.row_labels):
        rest = mx.RandomEffects(es.select(np.arange(13) != i, "all others")).fit(**choices)
        assert x[label] == pytest.approx((es.y[i] - fit.estimate) ** 2 / (es.v[i] + fit.tau2), rel=1e-9)
        change = (fit.estimate - rest.estimate) ** 2 / rest.se[0] ** 2
        assert y[label] == pytest.approx(change, rel=1e-6)
    if choices["method"] == "EE":
        assert x.sum() == pytest.approx(fit.q.statistic)


def test_with_moderators_the_influence_is_that_on_the_fitted_value():
    fit = bcg("latitude", method="DL", test="z")
    es, latitude = fit.effects, mx.load_dataset("bcg")["latitude"].to_numpy()
    x, y = places(baujat_plan(fit))
    for i in (0, 6, 12):
        keep = np.arange(13) != i
        rest = mx.RandomEffects(es.select(keep, "all others"), "latitude").fit(method="DL", test="z")
        at = np.array([1.0, latitude[i]])
        label = es.row_labels[i]
        change = (at @ (fit.beta - rest.beta)) ** 2 / (at @ rest.cov @ at)
        assert y[label] == pytest.approx(change, rel=1e-6)
        assert x[label] == pytest.approx((es.y[i] - at @ fit.beta) ** 2 / (es.v[i] + fit.tau2), rel=1e-9)
    assert baujat_plan(fit).panels[0].y.label == "Influence on the fitted values"


def test_clusters_of_a_multilevel_fit_stand_at_their_numbers():
    table = mx.load_dataset("school_calendars")
    fit = mx.Multilevel(mx.EffectSizes(table["y"], table["v"], data=table), "district/school").fit()
    plan = baujat_plan(fit, cluster="district")
    found = mx.sensitivity.baujat(fit, "district")
    x, y = places(plan)
    assert x[list(found.labels)].tolist() == found.contribution.tolist()
    assert y[list(found.labels)].tolist() == found.influence.tolist()
    assert "of a cluster together" in plan.notes[0]
    assert places(baujat_plan(found))[1].tolist() == y.tolist()


def test_the_farthest_are_named_and_any_can_be():
    fit = of_studies(150, letters=20)
    (points,) = baujat_plan(fit).panels[0].layers
    far = np.hypot(np.array(points.x) / max(points.x), np.array(points.y) / max(points.y))
    assert (np.diff(far) <= 1e-12).all()
    assert [bool(word) for word in points.words] == [True] * 12 + [False] * 138
    one = fit.effects.row_labels[3]
    (points,) = baujat_plan(fit, labels=[one]).panels[0].layers
    assert [label for label, word in zip(points.labels, points.words, strict=True) if word] == [one]
    (points,) = baujat_plan(fit, labels="all").panels[0].layers
    assert all(points.words)
    with pytest.raises(UnknownChoiceError):
        baujat_plan(fit, labels=["nobody 1999"])


@pytest.mark.parametrize(("k", "look"), [(2, {}), (13, {"theme": "dark", "width": 3.5}), (150, {})])
def test_no_texts_overlap(k, look):
    ax = baujat(of_studies(k), labels="all" if k < 150 else "largest", title="What each study adds", **look)
    assert overlapping_texts(ax) == []


def test_axes_of_the_user():
    _, (one, other) = plt.subplots(ncols=2, figsize=(9.0, 4.0))
    for ax in (one, other):
        baujat(bcg(), ax=ax)
    assert overlapping_texts(one) == []


def test_wrong_inputs():
    with pytest.raises(InputError, match=r"mx\.plots\.baujat"):
        baujat_plan(bcg().effects)
    with pytest.raises(InputError, match="cluster"):
        baujat_plan(mx.sensitivity.baujat(bcg()), cluster="study")


def test_studies_without_an_estimate_are_not_said_to_be_needed():
    counts = mx.event_counts(
        treatment_events=[3, 1, 0, 6], treatment_n=[40, 25, 14, 60],
        control_events=[5, 4, 0, 2], control_n=[38, 25, 7, 61], labels=list("abcd"),
    )  # fmt: skip
    found = mx.sensitivity.baujat(mx.MantelHaenszel(counts).fit())
    assert not found.reasons
    assert found.influence[2] == 0
    notes = " ".join(mx.plots.baujat_plan(found).notes)
    assert "estimate of their own or an influence: c." in notes
    assert "No fit is possible" not in notes
