"""Figures of adjusted estimates: a row per method, with its numbers as the measure is shown."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import metaexo as mx
import metaexo.bias
from metaexo.bias.report import Refused
from metaexo.bias.results import AdjustedEstimate
from metaexo.errors import InputError
from metaexo.plots import THEMES, adjusted, adjusted_plan, overlapping_texts
from tests.combined import combined


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Given(AdjustedEstimate):
    """An adjusted estimate with any numbers."""

    name: str = "given"
    rests_on = "nothing"
    sentence = "It was given."


def given(es, estimate, low, high, name="given", **more):
    numbers = {"estimate": estimate, "se": 0.1, "low": low, "high": high, "level": 0.95}
    return Given(effects=es, name=name, **numbers | more)


def bcg():
    return mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")


def all_of(es, **choices):
    fit = mx.RandomEffects(es, dependence="accept").fit(**choices)
    methods = (mx.bias.trim_and_fill, mx.bias.pet_peese, mx.bias.limit_meta_analysis)
    return [fit, *(method(fit) for method in methods)]


def marked(plan):
    return [row for row in plan.rows if row.marks]


def test_every_method_says_what_it_rests_on():
    for module in pkgutil.walk_packages(metaexo.bias.__path__, "metaexo.bias."):
        importlib.import_module(module.name)
    kinds = [kind for kind in AdjustedEstimate.__subclasses__() if kind.__module__.startswith("metaexo.")]
    assert len(kinds) > 3
    assert all(1 <= len(kind.rests_on.split()) <= 4 for kind in kinds)


@pytest.mark.parametrize("theme", THEMES)
def test_marks_and_cells_are_the_numbers_of_the_methods(theme):
    fit, *estimates = all_of(bcg())
    plan = adjusted_plan([fit, *estimates], theme=theme)
    mean = fit.pooled()
    wanted = [np.exp([one.estimate, one.low, one.high]) for one in (mean, *estimates)]
    pvalues = [float(fit.wald_pvalues[0]), *(one.pvalue for one in estimates)]
    assert [row.kind for row in plan.rows] == ["total", "spacer", "study", "study", "study"]
    for row, numbers, p in zip(marked(plan), wanted, pvalues, strict=True):
        mark = row.mark
        assert [mark.estimate, mark.low, mark.high] == pytest.approx(numbers)
        cell = row.cells["estimate"][0].replace(plan.theme.point, ".")
        assert cell == f"{numbers[0]:.2f}"
        shown = float(row.cells["p"][0].replace(plan.theme.point, "."))
        assert shown == pytest.approx(p, rel=0.06)
    assert plan.pooled == (pytest.approx(wanted[0][0]),)
    assert plan.axis.reference == 1.0
    assert plan.axis.scale == "log"
    assert plan.row("method:Trim and fill (L0)").cells["rests_on"] == (estimates[0].rests_on,)
    assert overlapping_texts(adjusted(plan)) == []


def test_what_the_unadjusted_row_and_the_notes_say():
    fit, *estimates = all_of(bcg())
    plan = adjusted_plan([*estimates, fit])
    assert plan.rows[0].text == ("Unadjusted",)
    assert plan.rows[0].mark.shape == "diamond"
    assert plan.notes[0].startswith("Unadjusted: Random-effects model")
    assert "one that differs proves nothing" in plan.notes[1]
    assert "3 adjusted estimates and the unadjusted one of 13 studies." in plan.describe()


def test_cautions_of_all_methods_are_said_once_and_others_with_their_method():
    es = bcg()
    common = "all of them"
    parts = [given(es, 0.1, 0.0, 0.2, name, said=(common, f"only {name}; see the help")) for name in "ab"]
    plan = adjusted_plan(parts)
    assert plan.notes[1:] == ("Caution: all of them.", "Caution, a: only a.", "Caution, b: only b.")


def test_without_the_unadjusted_fit_there_is_no_line():
    one = mx.bias.trim_and_fill(bcg())
    for results in (one, [one], (one,)):
        plan = adjusted_plan(results)
        assert [row.kind for row in plan.rows] == ["study"]
        assert plan.pooled == ()
        assert not any("proves nothing" in note for note in plan.notes)


def test_an_estimate_that_is_none_has_a_row_and_an_open_interval_an_arrow():
    es = bcg()
    none = given(es, np.nan, np.nan, np.nan, "p-nothing")
    half = given(es, -0.2, -np.inf, 0.4, "half")
    bare = given(es, -0.3, np.nan, np.nan, "bare")
    far = given(es, 3.0, 2.0, 4.0, "far")
    ax = adjusted([half, none, bare, far], limits=(0.3, 2.0))
    plan = mx.plots.plans_of(ax)[0]
    assert [row.cells["label"] for row in plan.rows] == [("Half",), ("Bare",), ("Far",), ("p-nothing",)]
    assert plan.rows[3].cells["estimate"] == ("–", "", "")
    assert not plan.rows[3].marks
    assert plan.rows[0].mark.cut_low
    assert plan.rows[0].cells["estimate"] == ("0.82", "[0.00 to", "1.49]")
    assert plan.rows[1].cells["estimate"] == ("0.74", "", "")
    assert plan.rows[2].mark.beyond == "right"
    assert "No estimate: p-nothing." in plan.notes
    assert overlapping_texts(ax) == []
    with pytest.raises(InputError, match="none of which gave an estimate"):
        adjusted_plan(none)


def test_levels_that_differ_are_said():
    es = bcg()
    plan = adjusted_plan([given(es, 0.1, 0.0, 0.2, "a"), given(es, 0.1, 0.0, 0.2, "b", level=0.9)])
    assert "Levels of the intervals: a 95%, b 90%." in plan.notes


def test_a_report_has_a_row_per_estimate_and_says_what_was_not_possible():
    report = mx.bias.report(bcg())
    plan = adjusted_plan(report)
    assert plan.notes[0] == report.sentence
    assert [row.kind for row in plan.rows].count("study") == len(report.estimates)
    shown = {row.id: row.mark.estimate for row in marked(plan)}
    for one in report.estimates:
        (found,) = [value for id, value in shown.items() if id.lower() == f"method:{one.name.lower()}"]
        assert found == pytest.approx(np.exp(one.estimate))
    assert np.log(shown["total"]) == pytest.approx(report.unadjusted.estimate)
    assert overlapping_texts(adjusted(plan)) == []
    lacking = (Refused("estimate", "waap wls", "?"), Refused("test", "rank test", "?"))
    less = adjusted_plan(replace(report, estimates=report.estimates[:2], refused=lacking))
    assert "Not possible: waap wls." in less.notes


def test_a_model_with_moderators_has_no_unadjusted_row():
    fit, *estimates = all_of(bcg())
    slope = mx.RandomEffects(fit.effects, "latitude").fit()
    assert [row.kind for row in adjusted_plan([slope, *estimates]).rows] == ["study"] * 3


@combined(measure=["SMD", "RR", "ZCOR", "ROM"], k=[3, 13, 150])
def test_no_texts_overlap(make_effects, k, measure):
    parts = all_of(make_effects(k, measure))
    long = given(parts[1].effects, 0.3, 0.2, 0.4, "A method whose name has very many letters, " * 3)
    for width in (5.0, 7.0):
        ax = adjusted([*parts, long], width=width, title="Effects of " * 20)
        assert overlapping_texts(ax) == []
        plt.close(ax.figure)


def test_axes_and_subfigures_of_the_user():
    parts = all_of(bcg())
    _, (left, _) = plt.subplots(1, 2, figsize=(14, 4))
    assert adjusted(parts, ax=left) is left
    part = plt.figure(figsize=(14, 4)).subfigures(1, 2)[1]
    ax = adjusted(parts, ax=part, theme="dark", title="Half a page")
    assert ax.figure is part
    assert overlapping_texts(ax) == []


def test_what_is_not_to_be_used_has_no_mark_and_does_not_stretch_the_axis():
    es = bcg()
    fit = mx.RandomEffects(es).fit()
    usual = given(es, -0.4, -0.8, 0.1, "usual")
    never = given(es, 9.0, 1.0, 17.0, "never", usable=False, said=("the likelihood has no maximum",))
    ax = adjusted([fit, never, usual])
    plan = mx.plots.plans_of(ax)[0]
    kinds = ["total", "spacer", "study", "spacer", "head", "study"]
    assert [row.kind for row in plan.rows] == kinds
    assert plan.rows[4].text == ("Not to be used",)
    assert plan.rows[5].cells["label"] == ("Never",)
    assert plan.rows[5].cells["estimate"] == ("–", "", "")
    assert not plan.rows[5].marks
    assert "Caution, never: the likelihood has no maximum." in plan.notes
    assert ax.get_xlim()[1] < np.exp(1.0)
    assert overlapping_texts(ax) == []
    with pytest.raises(InputError, match="none of which gave an estimate that is to be used"):
        adjusted_plan(never)


def test_what_adjusted_nothing_stands_apart():
    es = bcg()
    same = given(es, -0.7, -1.1, -0.3, "same", is_adjusted=False)
    changed = given(es, -0.4, -0.8, 0.1, "changed")
    plan = adjusted_plan([mx.RandomEffects(es).fit(), same, changed])
    assert [row.text or row.cells.get("label") for row in plan.rows if row.kind != "spacer"] == [
        ("Unadjusted",),
        ("Changed",),
        ("Adjusted nothing",),
        ("Same",),
    ]
    shown = {row.id: row.mark.estimate for row in marked(plan)}
    assert shown["method:Same"] == pytest.approx(np.exp(-0.7))
    assert shown["method:Changed"] == pytest.approx(np.exp(-0.4))
    assert [row.kind for row in adjusted_plan(same).rows] == ["study"]


def test_intervals_of_very_different_widths_are_no_warning():
    """A warning of variances that differ much is of effects, not of the intervals of methods."""
    es = bcg()
    parts = [given(es, 0.1, 0.1 - half, 0.1 + half, f"width {half}") for half in (1e-6, 1.0, 1e4)]
    shown = [row.mark for row in marked(adjusted_plan(parts))]
    assert np.log([mark.high for mark in shown[:2]]) == pytest.approx([0.1 + 1e-6, 1.1])


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_tiny_and_huge_units_have_significant_digits(make_effects, unit):
    es = make_effects(12, "MD")
    fit = mx.RandomEffects(mx.EffectSizes(unit * es.y, unit**2 * es.v, "MD")).fit()
    parts = [fit, mx.bias.pet_peese(fit), mx.bias.limit_meta_analysis(fit)]
    plan = adjusted_plan(parts)
    for row, one in zip(marked(plan), parts, strict=True):
        mantissa, raised = row.cells["estimate"][0].replace("−", "-").split("×10")
        power = int(raised.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
        assert float(mantissa) * 10.0**power == pytest.approx(one.estimate, rel=0.006)
    assert overlapping_texts(adjusted(plan)) == []


def test_a_measure_without_no_effect_has_no_pvalue():
    es = mx.effect_sizes("PLO", events=[4, 6, 9, 12, 20, 11], n=[20, 40, 50, 60, 150, 90])
    fit = mx.RandomEffects(es).fit()
    plan = adjusted_plan([fit, mx.bias.henmi_copas(fit)])
    assert [row.cells["p"] for row in marked(plan)] == [("–",), ("–",)]
    assert mx.bias.report(fit).to_frame()["pvalue"].isna().iloc[0]


def test_noise_of_rounding_is_zero():
    es = bcg()
    plan = adjusted_plan([given(es, 4e-17, 4e-17, 5e-17, "noise"), given(es, 0.5, 0.2, 0.8, "other")])
    mark = marked(plan)[0].mark
    assert (mark.estimate, mark.low, mark.high) == (1.0, 1.0, 1.0)
    assert marked(plan)[1].cells["estimate"][0] == "1.65"


def test_a_study_that_decides_is_named_in_the_notes():
    se = [*np.linspace(0.1, 0.5, 14), 0.001]
    es = mx.EffectSizes(np.resize([0.2, 0.5, 0.4], 15), se=se, labels=[f"Author {i}" for i in range(15)])
    plan = adjusted_plan([mx.bias.pet_peese(es), mx.bias.waap_wls(es)])
    assert sum("one study, Author 14, has more than 99%" in note for note in plan.notes) == 1


def test_what_cannot_be_drawn():
    fit, one, *_ = all_of(bcg())
    other = given(mx.EffectSizes([0.1, 0.2], [0.1, 0.1], "SMD"), 0.1, 0.0, 0.2)
    for wrong in (None, 3, "fit", [], [fit], [fit, fit, one], [one, 3], {"a": one}, [one, other]):
        with pytest.raises(InputError):
            adjusted_plan(wrong)
