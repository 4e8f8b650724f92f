"""The plan of a funnel plot."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import InputError, NotIdentifiableError, TooFewStudiesError
from metaexo.plots import funnel, funnel_plan, overlapping_texts
from metaexo.plots.canvas.page import Area, Dot
from metaexo.plots.canvas.words import stratum_words
from metaexo.plots.funnel import funnel_page
from tests.plots.boxes import clashes


def test_points_stand_at_effect_and_standard_error(make_effects):
    fit = mx.RandomEffects(make_effects(15)).fit()
    plan = funnel_plan(fit)
    frame = plan.to_frame()
    assert frame["effect"].to_numpy() == pytest.approx(fit.effects.y)
    assert frame["se"].to_numpy() == pytest.approx(np.sqrt(fit.effects.v))
    assert plan.panel.y(0.0) < plan.panel.y(0.5), "small standard errors stand above"
    assert plan.centre == fit.pooled().estimate


@pytest.mark.parametrize(("level", "z"), [(0.95, 1.959963984540054), (0.99, 2.5758293035489004)])
def test_the_region_is_the_pooled_effect_plus_minus_z_standard_errors(make_effects, level, z):
    fit = mx.RandomEffects(make_effects(15)).fit()
    plan = funnel_plan(fit, level=level)
    apex, right, left = plan.region
    assert apex == (plan.centre, 0.0)
    assert right[0] - plan.centre == pytest.approx(z * right[1])
    assert plan.centre - left[0] == pytest.approx(z * left[1])
    assert right[1] >= max(p.se for p in plan.points)


def test_contours_part_significant_from_other_studies(make_effects):
    plan = funnel_plan(make_effects(30), contours=True)
    whole, one, five, ten = (corners for _, corners in plan.contours)
    null, z = 0.0, {0.01: 2.5758293035489004, 0.05: 1.959963984540054, 0.10: 1.6448536269514722}
    assert min(x for x, _ in whole) == plan.axis.low
    for corners, p in ((one, 0.01), (five, 0.05), (ten, 0.10)):
        for x, y in corners:
            on_edge = abs(x - null) == pytest.approx(z[p] * y)
            assert on_edge or x in (plan.axis.low, plan.axis.high)
    assert [key.label for key in plan.legend][-4:] == [
        "p > 0.10",
        "0.05 < p < 0.10",
        "0.01 < p < 0.05",
        "p < 0.01",
    ]


def test_strata_have_colors_and_marks_of_their_own(make_effects):
    results = mx.stratify(make_effects(24), by=["source", "isolation"])
    plan = funnel_plan(results)
    signs = {p.group: (p.color, p.shape) for p in plan.points}
    assert len(signs) == len(results.strata)
    assert len(set(signs.values())) == len(signs)
    labels = [key.label.replace("\N{NO-BREAK SPACE}", " ") for key in plan.legend]
    for stratum in results.strata:
        assert f"{stratum_words(stratum.levels)} (k = {stratum.k})" in labels


def test_derived_values_are_hollow(make_effects, derived):
    plan = funnel_plan(make_effects(8, derived=derived(8)), by="source")
    assert [p.hollow for p in plan.points] == [False, False, True, True] * 2
    assert "hollow: derived value" in [key.label for key in plan.legend]


def test_a_standard_error_far_beyond_the_others_does_not_squash_them(make_effects):
    es = make_effects(12)
    v = es.v.copy()
    v[5] = 64.0
    plan = funnel_plan(mx.RandomEffects(mx.EffectSizes(es.y, v)).fit())
    assert plan.panel.y_bottom == pytest.approx(1.05 * np.sqrt(np.delete(v, 5).max()))
    assert plan.notes == ("An arrow at the lower edge: a standard error beyond the axis (8.00).",)
    assert plan.to_frame()["se"].max() == 8.0
    page = funnel_page(plan)
    assert sum(isinstance(item, Dot) for item in page.items) == 11
    arrow = next(item for item in page.items if isinstance(item, Area))
    tip = (plan.panel.x(es.y[5]), plan.panel.bottom)
    assert arrow.points[0] == pytest.approx(tip, abs=0.01)


def test_few_studies_are_told(make_effects):
    assert any("here 4" in note for note in funnel_plan(make_effects(4)).notes)
    assert funnel_plan(make_effects(10)).notes == ()


def test_ratios_have_a_logarithmic_axis(make_effects):
    plan = funnel_plan(mx.RandomEffects(make_effects(12, measure="RR")).fit())
    assert "1" in [tick.label for tick in plan.axis.ticks]
    assert plan.axis.label == "Risk ratio (log scale)"


@pytest.mark.parametrize("k", [1, 40])
def test_texts_never_overlap(make_effects, k):
    plan = funnel_plan(
        make_effects(k), by="source", contours=True, title="A title " * 20, notes=["A remark. " * 20]
    )
    assert clashes(funnel_page(plan)) == []
    assert overlapping_texts(funnel(plan)) == []


def test_what_cannot_be_drawn_is_refused(make_effects):
    with pytest.raises(InputError, match="list"):
        funnel_plan([])
    with pytest.raises(TooFewStudiesError):
        funnel_plan(mx.EffectSizes([], []))
    es = mx.effect_sizes("PLO", events=[3, 5, 8], n=[20, 30, 25])
    assert funnel_plan(es).axis.reference is None
    with pytest.raises(NotIdentifiableError, match="no value of no effect"):
        funnel_plan(es, contours=True)


def test_a_funnel_of_freeman_tukey_proportions_has_them_as_events_over_n():
    events, n = np.array([0, 3, 8]), np.array([5, 30, 34])
    plan = funnel_plan(mx.effect_sizes("PFT", events=events, n=n))
    assert plan.to_frame()["shown"].to_numpy() == pytest.approx(events / n, abs=1e-12)
    assert plan.axis.label == "Proportion, as analysed (PFT)"


def test_censored_evidence_has_no_funnel():
    es = bounded_effects([0.2, 0.5, 0.1, 0.4], [0.2, 0.5, 0.1, float("inf")], [0.1] * 4)
    with pytest.raises(InputError, match="funnel plot cannot be made of CensoredResults"):
        funnel_plan(mx.CensoredRandomEffects(es).fit())
