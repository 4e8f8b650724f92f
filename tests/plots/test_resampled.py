"""Histograms of a bootstrap and of a permutation test: counts of draws, beside what the data gave."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import bootstrap, bootstrap_plan, overlapping_texts, permutation, permutation_plan
from metaexo.plots.canvas.chart import Rule, Steps


def drawn_of(measure="RR", k=13, **choices):
    draws = np.random.default_rng(k)
    es = mx.EffectSizes(draws.normal(0.3, 0.4, k), draws.uniform(0.02, 0.2, k), measure)
    fit = mx.RandomEffects(es).fit(method="DL")
    return mx.sensitivity.bootstrap(fit, **{"draws": 499, **choices})


@pytest.mark.parametrize(("measure", "back"), [
    ("RR", np.exp), ("PLO", lambda y: 1 / (1 + np.exp(-y))), ("SMD", lambda y: y),
])  # fmt: skip
def test_bars_count_the_draws_between_their_edges(measure, back):
    found = drawn_of(measure)
    plan = bootstrap_plan(found)
    assert [panel.heading for panel in plan.panels] == ["Pooled effect", "τ²", "I²"]
    for j, (panel, name) in enumerate(zip(plan.panels, found.names, strict=True)):
        shown = {"estimate": back, "tau2": lambda x: x, "i2": lambda x: 100 * x}[name]
        (steps,) = (layer for layer in panel.layers if isinstance(layer, Steps))
        draws = shown(found.values(name))
        assert steps.heights == np.histogram(draws, steps.edges)[0].tolist()
        assert sum(steps.heights) >= 0.99 * draws.size
        rules = [layer.at for layer in panel.layers if isinstance(layer, Rule)]
        wanted = shown(np.array([found.estimates[j], found.low[j], found.high[j]]))
        assert rules == pytest.approx(wanted.tolist())
        assert panel.x.limits == (steps.edges[0], steps.edges[-1])
    scales = [panel.x.scale for panel in plan.panels]
    assert scales == ["log" if measure == "RR" else "linear", "linear", "linear"]
    assert plan.notes[0] == "Non-parametric bootstrap: 499 draws of 13 studies."
    assert overlapping_texts(bootstrap(plan)) == []


@pytest.mark.parametrize(("k", "look"), [(3, {"theme": "dark", "width": 3.5}), (13, {"font_size": 12.0})])
def test_no_texts_overlap(k, look):
    assert overlapping_texts(bootstrap(drawn_of(k=k), title="Bootstrap of the studies", **look)) == []


def test_one_statistic_fits_axes_of_the_user():
    _, (one, other) = plt.subplots(ncols=2, figsize=(9.0, 4.0))
    found = drawn_of()
    for ax in (one, other):
        bootstrap(found, statistics=["tau2"], ax=ax)
    assert one.get_xlabel() == "τ²"
    assert overlapping_texts(one) == []


def test_shares_and_draws_beyond_the_axis_are_named():
    y, v = [0.1, 0.4, 0.9, 0.6, 0.2, -0.1, 0.5, 0.8], [0.03] * 8
    fit = mx.Multilevel(mx.EffectSizes(y, v, study=list("aabbccdd")), "study/effect").fit()
    plan = bootstrap_plan(mx.sensitivity.bootstrap(fit, ["tau2", "i2:study"], draws=19, kind="parametric"))
    assert [(panel.heading, panel.x.label) for panel in plan.panels] == [
        ("τ²", "τ²"),
        ("I² of study", "I² (%)"),
    ]
    found = drawn_of(draws=1999)
    (panel,) = (plan := bootstrap_plan(found, statistics=["estimate"])).panels
    inside = np.log(panel.x.limits)
    beyond = int(((found.values("estimate") < inside[0]) | (found.values("estimate") > inside[1])).sum())
    assert beyond > 1
    assert f"Beyond the axis: {beyond} draws of the pooled effect." in plan.notes


def test_draws_that_are_all_alike_have_a_bar():
    es = mx.EffectSizes([0.3] * 6, [0.04] * 6)
    found = mx.sensitivity.bootstrap(mx.RandomEffects(es).fit(method="DL"), draws=99)
    plan = bootstrap_plan(found)
    assert [sum(layer.heights) for layer in plan.layers(Steps)] == [99, 99, 99]
    assert overlapping_texts(bootstrap(plan)) == []


def test_wrong_inputs():
    with pytest.raises(InputError, match=r"sensitivity\.bootstrap"):
        bootstrap_plan(drawn_of().effects)
    with pytest.raises(UnknownChoiceError, match="tau2"):
        bootstrap_plan(drawn_of(), statistics=["tau3"])


def permuted(moderators=None, **choices):
    y, v = [0.2, 0.6, 0.1, 0.9, 0.5, 0.4, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02, 0.03, 0.04]
    fit = mx.RandomEffects(mx.EffectSizes(y, v), moderators).fit(method="DL")
    return mx.sensitivity.permutation_test(fit, **{"statistics": True, **choices})


def test_arrangements_that_are_as_extreme_as_the_data_lie_beyond_its_lines():
    found = permuted()
    plan = permutation_plan(found)
    (panel,) = plan.panels
    (steps,) = (layer for layer in panel.layers if isinstance(layer, Steps))
    assert sum(steps.heights) == found.arrangements == 2**7
    (test,) = (one for one in found.tests if one.kind == "coefficient")
    rules = [layer.at for layer in panel.layers if isinstance(layer, Rule)]
    assert rules == [test.statistic, -test.statistic]
    beyond = np.abs(found.statistics[:, 0]) >= test.statistic * (1 - 1e-9)
    assert beyond.mean() == pytest.approx(test.pvalue)
    assert panel.x.label == f"Statistic (p = {test.pvalue:.3f})"
    assert plan.notes[0].startswith("Exact permutation test: all 128 patterns of signs of 7 effects.")
    assert (
        overlapping_texts(
            permutation(
                plan,
            )
        )
        == []
    )


def test_tests_have_panels_and_one_sided_ones_a_single_line():
    x = [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0], [5.0, 1.0], [6.0, 0.0], [7.0, 0.0]]
    found = permuted(x, alternative="greater", draws=99, limit=99)
    plan = permutation_plan(found)
    tests = [one for one in found.tests if one.name != "intercept" and one.kind != "term"]
    assert [one.kind for one in tests] == ["coefficient"] * 2 + ["omnibus"]
    asked = permutation_plan(found, tests=["intercept"])
    assert any("does not test whether it is 0" in note for note in asked.notes)
    assert [panel.heading for panel in plan.panels] == [one.name for one in tests]
    for panel, one in zip(plan.panels, tests, strict=True):
        assert [layer.at for layer in panel.layers if isinstance(layer, Rule)] == [one.statistic]
    assert overlapping_texts(permutation(found, width=3.5, theme="dark")) == []
    alone = permutation_plan(found, tests=["moderators"])
    assert len(alone.panels) == 1


def test_a_test_without_its_statistics_is_refused():
    with pytest.raises(InputError, match="statistics=True"):
        permutation_plan(permuted(statistics=False))
    with pytest.raises(InputError, match="first argument"):
        permutation_plan(drawn_of())
    with pytest.raises(UnknownChoiceError, match="moderators"):
        permutation_plan(permuted([1.0, 2, 3, 4, 5, 6, 7]), tests=["moderator"])
