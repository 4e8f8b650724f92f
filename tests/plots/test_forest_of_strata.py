"""The plan of a forest plot of strata: heads, subtotals, remarks, the test between them."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import DependentEffectsWarning, InputError
from metaexo.plots import forest, forest_plan, overlapping_texts
from metaexo.plots.canvas.words import stratum_words
from tests.plots.drawn import detail


def numbers(row):
    """Return estimate, low and high as the row prints them."""
    pieces = [re.sub(r"[\[\]]|to", "", piece).strip() for piece in row.cells["estimate"]]
    return [float(piece.replace("−", "-")) if piece else None for piece in pieces]


def kinds(plan):
    return [row.kind for row in plan.rows]


def test_strata_have_heads_subtotals_and_a_test(make_effects):
    results = mx.stratify(make_effects(16), by=["source", "isolation"])
    plan = forest_plan(results)
    heads = [" ".join(row.text) for row in plan.rows if row.kind == "head"]
    assert heads == [stratum_words(s.levels) for s in results.strata]
    fitted = [s for s in results.strata if s.fit is not None]
    assert 0 < len(fitted) < len(results.strata), "this test needs strata with and without a fit"
    assert kinds(plan).count("subtotal") == len(fitted)
    for s, stratum in enumerate(results.strata):
        assert detail(plan.row(f"head:{s}")) == stratum.note.partition(":")[0]
        if stratum.fit is not None:
            expected = [stratum.pooled.estimate, stratum.pooled.low, stratum.pooled.high]
            assert numbers(plan.row(f"subtotal:{s}")) == pytest.approx(expected, abs=6e-3)
            shares = results.overall.weights[stratum.rows].sum()
            assert plan.row(f"subtotal:{s}").weight == pytest.approx(shares)
    assert plan.row("between").text[0].startswith("Test between strata: F(")
    assert sorted(row.id for row in plan.rows if row.kind == "study") == sorted(
        f"study:{i}" for i in results.overall.effects.row_ids
    )


def test_studies_stand_in_their_own_stratum(make_effects):
    es = make_effects(16)
    plan = forest_plan(mx.stratify(es, by="source"))
    of_row = {f"study:{es.row_ids[i]}": stratum_words({"source": es.column("source")[i]}) for i in range(16)}
    head = ""
    for row in plan.rows:
        head = row.text[0] if row.kind == "head" else head
        if row.kind == "study":
            assert of_row[row.id] == head


def test_weights_within_strata_add_up_to_a_hundred(make_effects):
    plan = forest_plan(mx.stratify(make_effects(16), by="source"), weights="stratum")
    assert {row.cells["weight"][0] for row in plan.rows if row.kind == "subtotal"} == {"100.0%"}
    assert "weight" not in plan.row("total").cells


def test_strata_pooled_jointly_cannot_be_shown_at_another_level(make_effects):
    results = mx.stratify(make_effects(16), by="source", tau2="common")
    assert forest_plan(results).row("subtotal:0").mark.estimate == results.strata[0].pooled.estimate
    assert any("One τ² for all strata" in note for note in forest_plan(results).notes)
    with pytest.raises(InputError, match="pooled jointly"):
        forest_plan(results, level=0.9)


def test_strata_of_one_study_each_have_no_subtotal_and_no_overall(make_effects):
    es = mx.EffectSizes([0.5], [0.1], labels=["Li 2020"], data=make_effects(1).data)
    plan = forest_plan(mx.stratify(es, by="source"))
    assert kinds(plan) == ["head", "study", "spacer"]
    assert plan.rows[0].detail == ("one study",)
    assert " ".join(plan.notes) == (
        "One study: shown with its own effect, not used to estimate τ² or in a test. "
        "No stratum has two or more studies, so none is pooled."
    )


def test_a_remark_that_several_strata_share_is_told_once(make_effects):
    plan = forest_plan(mx.stratify(make_effects(6), by="source"), overall=False)
    details = [detail(row) for row in plan.rows if row.kind == "head"]
    assert sorted(details) == ["one study", "one study", "two studies", "two studies"]
    notes = " ".join(plan.notes)
    assert notes.count("one degree of freedom") == 1
    assert notes.count("not used to estimate τ²") == 1


def test_the_test_between_strata_may_be_left_away(make_effects):
    results = mx.stratify(make_effects(16), by="source")
    assert results.between is not None
    assert results.between_note.partition(" over")[0] in " ".join(forest_plan(results).notes)
    plan = forest_plan(results, between=False)
    assert "between" not in [row.id for row in plan.rows]
    assert "test" not in " ".join(plan.notes)


def test_strata_without_an_overall_fit_tell_what_was_derived_and_left_out(make_effects, derived):
    es = make_effects(3, derived=derived(4)[1:], study=["a", "a", "a"]).select([1, 2], "no SD")
    with pytest.warns(DependentEffectsWarning):
        results = mx.stratify(es, by="source")
    assert results.overall is None
    notes = " ".join(forest_plan(results).notes)
    assert "Hollow square: converted" in notes
    assert "Left out: 1 of 3 rows of input: no SD (1)." in forest_plan(results).describe()
    assert "Random-effects" not in notes


def test_long_strata_names_stay_whole(make_effects):
    es = make_effects(4)
    name = "umbilical cord mesenchymal stem cells of several donors grown in a bioreactor and " * 2
    data = es.data.assign(source=[name.strip()] * 4)
    plan = forest_plan(mx.stratify(mx.EffectSizes(es.y, es.v, data=data), by="source"))
    assert " ".join(plan.rows[0].text) == name.strip()
    assert overlapping_texts(forest(plan)) == []


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_a_stratum_of_one_study_with_several_effects_shows_their_mean_marked(level):
    data = pd.DataFrame({"source": list("aabbc")})
    es = mx.EffectSizes([0.2, 0.9, 0.4, 0.5, 1.2], [0.05] * 5, data=data, study=list("ppqrs"))
    with pytest.warns(DependentEffectsWarning):
        results = mx.stratify(es, by="source", level=level)
    plan = forest_plan(results)
    (single,) = [s for s in results.strata if s.fit is None and s.k > 1]
    (row,) = [row for row in plan.rows if row.id.startswith("single:")]
    assert (row.mark.shape, row.mark.hollow) == ("diamond", True)
    assert (row.mark.estimate, row.mark.low, row.mark.high) == pytest.approx(
        (single.single.estimate, single.single.low, single.single.high), abs=1e-12
    )
    assert detail(row) == "k = 2; m = 1"
    assert not [row for row in plan.rows if row.id.startswith("single:2")]  # one effect stands for itself
    assert overlapping_texts(forest(plan)) == []


def test_notes_name_strata_as_their_heads_do(make_effects):
    results = mx.stratify(make_effects(17), by=["source", "isolation"])
    wording = {"adipose_msc": "adipose MSC"}
    plan = forest_plan(results, wording=wording)
    notes = " ".join(plan.notes)
    assert any("adipose_msc / " in words for words in results.cautions())
    assert "_" not in notes
    heads = [row.text for row in plan.rows if row.kind == "head"]
    assert "adipose MSC / ultracentrifugation" in notes
    assert ("adipose MSC / ultracentrifugation",) in heads


def test_cautions_of_strata_and_of_their_test_stand_below():
    data = pd.DataFrame({"source": list("aabbddd")})
    y, v = [0.2, 0.9, 0.4, 0.5, 0.45, 0.47, 0.49], [0.05] * 4 + [0.1, 0.12, 0.09]
    notes = " ".join(forest_plan(mx.stratify(mx.EffectSizes(y, v, data=data), by="source")).notes)
    assert "a, b: 1 df" in notes
    assert "interval of d is narrower" in notes
    assert "test between strata: " in notes


def test_a_figure_counts_the_clusters_that_its_notes_count(make_effects):
    es = make_effects(12).with_columns(half=["a"] * 6 + ["b"] * 6, laboratory=list("uuvvuvwxyzzz"))
    with pytest.warns(DependentEffectsWarning):
        results = mx.stratify(es, by="half", cluster="laboratory")
    plan = forest_plan(results)
    found = [detail(plan.row(name)).replace("\u00a0", " ") for name in ("subtotal:0", "subtotal:1", "total")]
    assert [text.rpartition("clusters = ")[2] for text in found] == ["2", "4", "6"]
    assert "clusters are by laboratory" in " ".join(plan.notes)
    plain = forest_plan(mx.stratify(es, by="half"))
    assert not any("clusters" in detail(row) for row in plain.rows)
