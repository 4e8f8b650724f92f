"""Specification curves: every path at its value, a mark under it for each option that leads to it."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.plots import overlapping_texts, specification_curve, specification_curve_plan
from metaexo.plots.canvas.chart import Band, Intervals, Points, Rule, Words
from metaexo.sensitivity import multiverse

CHOICES = {
    "measure": ["RR"],
    "include": {"all": None, "random": "allocation == 'random'", "late": "year >= 1960"},
    "method": ["REML", "DL", "EE"],
    "test": ["knapp-hartung", "z"],
}


@pytest.fixture(scope="module")
def found():
    return multiverse(
        mx.load_dataset("bcg"), CHOICES, unless="method == 'EE' and test != 'z'", better="lower"
    )


@pytest.fixture(scope="module")
def by_hand():
    """Return the fits of all paths, made one by one, in order of their risk ratios."""
    trials = mx.load_dataset("bcg")
    rows = []
    for include, method, test in itertools.product(
        ("all", "random", "late"), ("REML", "DL", "EE"), ("knapp-hartung", "z")
    ):
        if method == "EE" and test != "z":
            continue
        kept = {
            "all": trials["year"] > 0,
            "random": trials["allocation"] == "random",
            "late": trials["year"] >= 1960,
        }
        fit = mx.RandomEffects(mx.effect_sizes("RR", data=trials[kept[include]])).fit(method, test)
        low, high = np.exp(fit.conf_int().to_numpy()[0])
        rows.append((include, method, test, np.exp(fit.estimate), low, high))
    table = pd.DataFrame(rows, columns=["include", "method", "test", "estimate", "low", "high"])
    return table.sort_values("estimate", kind="stable", ignore_index=True)


def test_paths_stand_in_order_at_their_values(found, by_hand):
    plan = specification_curve_plan(found)
    curve, marks = plan.panels
    points = [p for p in curve.layers if isinstance(p, Points) and len(p.x) and p.name != "main analysis"]
    drawn = sorted((x, y) for p in points for x, y in zip(p.x, p.y, strict=True))
    assert [x for x, _ in drawn] == list(range(1, 16))
    assert [y for _, y in drawn] == pytest.approx(by_hand["estimate"].tolist(), rel=1e-9)
    ends = sorted(
        (at, low, high)
        for layer in curve.layers
        if isinstance(layer, Intervals)
        for at, low, high in zip(layer.at, layer.low, layer.high, strict=True)
    )
    assert [low for _, low, _ in ends] == pytest.approx(by_hand["low"].tolist(), rel=1e-9)
    assert [high for _, _, high in ends] == pytest.approx(by_hand["high"].tolist(), rel=1e-9)
    assert curve.y.scale == "log"
    assert curve.y.label == "Risk ratio (log scale)"
    assert {rule.name: rule.at for rule in curve.layers if isinstance(rule, Rule)} == {
        "no effect": 1.0,
        "median": pytest.approx(by_hand["estimate"].median()),
    }
    assert curve.x.limits == marks.x.limits


def test_marks_say_which_options_lead_to_each_path(found, by_hand):
    marks = specification_curve_plan(found).panels[1]
    layers = [layer for layer in marks.layers if isinstance(layer, Intervals)]
    rows = dict(marks.y.ticks)
    seen = {
        (at, rows[(low + high) / 2])
        for layer in layers
        for at, low, high in zip(layer.at, layer.low, layer.high, strict=True)
    }
    wanted = {
        (rank + 1, option)
        for rank, path in by_hand.iterrows()
        for option in (path["include"], path["method"], path["test"], "benefit")
    }
    assert seen == wanted
    medians = dict(marks.y.opposite)
    at = {option: row for row, option in rows.items()}
    for name in ("include", "method", "test"):
        for option, value in by_hand.groupby(name)["estimate"].median().items():
            assert medians[at[option]] == f"{value:.2f}"


def test_headings_have_the_share_of_each_choice(found):
    heads = [words.text for words in specification_curve_plan(found).layers(Words)]
    share = found.importance().set_index("choice")["share"]
    assert heads == ["95% CI", *(f"{n.capitalize()}: {share[n]:.0%}" for n in ("include", "method", "test"))]
    heads = [words.text for words in specification_curve_plan(found, choices=["test"]).layers(Words)]
    assert heads == ["95% CI", f"Test: {share['test']:.0%}"]


def test_the_main_analysis_is_marked_and_said(found, by_hand):
    plan = specification_curve_plan(found)
    (main,) = [p for p in plan.layers(Points) if p.name == "main analysis"]
    here = by_hand.query("include == 'all' and method == 'REML' and test == 'knapp-hartung'")
    assert main.x == [here.index[0] + 1]
    assert main.y == pytest.approx(here["estimate"].tolist(), rel=1e-9)
    text = " ".join(plan.notes)
    assert "Main analysis: 0.49 (95% CI 0.33 to 0.73). Paths rest on 7 to 13 effects" in text
    assert "not probabilities" in text


def test_conclusions_have_a_colour_a_shape_and_a_row():
    es = mx.EffectSizes([0.3, 0.5, -0.1, 0.6], [0.02, 0.03, 0.02, 0.05], oriented=True)
    paths = multiverse(
        es,
        {"test": ["knapp-hartung", "z"], "include": {"all": None, "some": "y > 0"}, "method": ["REML", "EE"]},
    )
    plan = specification_curve_plan(paths)
    counts = paths.to_frame()["conclusion"].value_counts()
    shown = {
        p.name: (len(p.x), p.color, p.shape)
        for p in plan.panels[0].layers
        if isinstance(p, Points) and len(p.x)
    }
    assert shown["95% CI: benefit"] == (counts["benefit"], "study", "circle")
    assert shown["95% CI: neither"] == (counts["neither"], "grey", "diamond")
    assert [label for _, label in plan.panels[1].y.ticks][:2] == ["benefit", "neither"]


def test_the_legend_has_the_marks_that_are_drawn(found):
    few = {p.name: p for p in specification_curve_plan(found).panels[0].layers if isinstance(p, Points)}
    assert (few["95% CI: benefit"].shape, few["95% CI: benefit"].hollow) == ("circle", False)
    rng = np.random.default_rng(3)
    es = mx.EffectSizes(rng.normal(0.2, 0.3, 12), rng.uniform(0.02, 0.2, 12), oriented=True)
    drop = {f"row {i}": {"in": lambda e: e, "out": lambda e, y=es.y[i]: e.select(e.y != y)} for i in range(8)}
    many = multiverse(es, drop)
    assert many.distinct == 256
    ax = specification_curve(specification_curve_plan(many, choices=["row 0"]))
    keys = [
        p for p in specification_curve_plan(many).panels[0].layers if isinstance(p, Points) and not len(p.x)
    ]
    assert [(key.shape, key.hollow) for key in keys] == [("bar", False)] * len(keys)
    assert {key.name for key in keys} == {f"95% CI: {word}" for word in set(many.conclusion)}
    legend = next(one.get_legend() for one in ax.figure.axes if one.get_legend() is not None)
    for key in keys:
        at = [text.get_text() for text in legend.get_texts()].index(key.name)
        box = legend.legend_handles[at].get_paths()[0].get_extents()
        assert box.height > 3 * box.width  # upright, as the intervals are


def test_options_without_a_path_say_so():
    es = mx.EffectSizes([0.3, 0.5, 0.1, 0.6], [0.02, 0.03, 0.02, 0.05], study=list("aabb"))
    choices = {"model": ["random effects", "robust"], "test": ["z", "t"], "method": ["DL", "EE"]}
    plan = specification_curve_plan(multiverse(es, choices, unless="method == 'EE'"))
    names = [label for _, label in plan.panels[1].y.ticks]
    assert {"random effects", "robust (no path possible)", "DL", "EE (ruled out)"} <= set(names)
    assert any("no path with model = robust could be fitted" in note for note in plan.notes)


def test_scales_have_a_curve_each():
    paths = multiverse(mx.load_dataset("bcg"), CHOICES | {"measure": ["RR", "RD"]}, better="lower")
    plan = specification_curve_plan(paths)
    assert plan.across == 2
    assert [panel.y.label for panel in plan.panels[:2]] == ["Risk ratio (log scale)", "Risk difference"]
    assert [
        len({x for p in panel.layers if isinstance(p, Points) for x in p.x}) for panel in plan.panels[:2]
    ] == [18, 18]
    assert overlapping_texts(specification_curve(plan)) == []
    with pytest.raises(InputError, match="2 scales"):
        specification_curve_plan(paths, axis_label="Effect")
    with pytest.raises(InputError, match="2 scales"):
        specification_curve_plan(paths, limits=(0.1, 2.0))


@pytest.mark.parametrize("k", [1, 2, 3, 13, 150])
def test_any_number_of_paths_fits(k):
    es = mx.EffectSizes(np.linspace(-0.2, 0.9, 12), np.linspace(0.02, 0.2, 12))
    choices = {"cut": {f"{i}": (lambda e, i=i: e.select(e.y > -0.3 + 0.005 * i)) for i in range(k)}}
    paths = multiverse(es, choices if k < 20 else choices | {"test": ["t", "z"]})
    ax = specification_curve(paths) if k < 20 else specification_curve(paths, choices=["test"])
    assert overlapping_texts(ax) == []


def test_very_many_paths_are_thinned_and_the_note_says_so():
    rng = np.random.default_rng(5)
    es = mx.EffectSizes(rng.normal(0.3, 0.3, 14), rng.uniform(0.02, 0.2, 14), oriented=True)
    drop = {f"row {i}": {"in": lambda e: e, "out": lambda e, y=es.y[i]: e.select(e.y != y)} for i in range(9)}
    paths = multiverse(es, drop | {"method": ["REML", "DL", "SJ"], "test": ["t", "z"]})
    assert paths.distinct == 3072
    plan = specification_curve_plan(paths, choices=["method", "row 0"])
    drawn = sum(len(p.x) for p in plan.panels[0].layers if isinstance(p, Points)) - 1
    assert 2000 <= drawn <= 2001
    assert f"Of 3,072 paths {drawn:,} evenly spaced ones are drawn." in plan.notes
    assert "3,072 paths declared: 3,072 distinct paths." in plan.notes
    assert overlapping_texts(specification_curve(plan, ax=plt.figure(figsize=(6, 5)))) == []


def test_limits_cut_intervals_and_say_so(found):
    plan = specification_curve_plan(found, limits=(0.3, 0.6))
    assert plan.panels[0].y.limits == (0.3, 0.6)
    low, high, middle = (found.shown[name] for name in ("low", "high", "estimate"))
    assert f"{((low < 0.3) | (high > 0.6)).sum()} intervals beyond the axis." in plan.notes
    assert f"{(middle > 0.6).sum()} estimates beyond the limits that were given." in plan.notes


def test_the_axis_has_the_label_that_was_given(found):
    plan = specification_curve_plan(found, axis_label="Vaccinated over unvaccinated")
    assert plan.panels[0].y.label == "Vaccinated over unvaccinated (log scale)"


def test_a_test_has_a_band_of_curves_without_an_effect(found):
    test = found.permutation_test(50)
    plan = specification_curve_plan(found, test=test, limits=(0.1, 10.0))
    (band,) = plan.layers(Band)
    assert list(band.low) == pytest.approx(np.exp(test.curve_low).tolist())
    assert list(band.high) == pytest.approx(np.exp(test.curve_high).tolist())
    assert any("50 random patterns" in note for note in plan.notes)
    other = multiverse(mx.load_dataset("bcg"), {"measure": ["RR"]})
    with pytest.raises(InputError, match="15 paths of 1"):
        specification_curve_plan(other, test=test)
    with pytest.raises(InputError, match="a CurveTest"):
        specification_curve_plan(found, test=0.05)


def test_what_is_no_multiverse_is_refused(found):
    with pytest.raises(InputError, match="a Multiverse"):
        specification_curve_plan(mx.RandomEffects(mx.EffectSizes([0.1, 0.2], [0.1, 0.1])).fit())
    with pytest.raises(UnknownChoiceError):
        specification_curve_plan(found, choices=["estimator"])
    with pytest.raises(InputError, match="one Axes"):
        specification_curve(found, ax=plt.subplots()[1])


def test_the_main_analysis_is_named_by_its_measure_where_there_are_several():
    trials = mx.load_dataset("bcg")
    for measures, words in (
        (["RR"], "Main analysis: 0.49"),
        (["RR", "OR"], "Main analysis, risk ratio: 0.49"),
    ):
        found = mx.sensitivity.multiverse(trials, {"measure": measures, "method": ["REML", "DL"]})
        assert any(note.startswith(words) for note in mx.plots.specification_curve_plan(found).notes)
