"""Grids of estimability: every count once, groups by colour, no text over another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.heterogeneity import estimability as find
from metaexo.plots import estimability, estimability_plan, overlapping_texts


def effects(cells, study=None):
    rows = [levels for levels, m in cells.items() for _ in range(m)]
    data = pd.DataFrame(rows, columns=["source", "isolation"])
    return mx.EffectSizes(np.arange(len(rows)), np.ones(len(rows)), data=data, study=study)


APART = {("plant", "UC"): 3, ("plant", "SEC"): 2, ("milk", "kit"): 4, ("urine", "kit"): 1}


def test_the_grid_has_the_counts(make_effects):
    es = make_effects(24)
    plan = estimability_plan(es)
    frame = plan.to_frame()
    assert frame["k"].sum() == 24
    counts = pd.crosstab(es.data["source"], es.data["isolation"])
    shown = dict(zip(plan.rows, (row for row in plan.cells), strict=True))
    counts.index, counts.columns = (names.str.replace("_", " ") for names in (counts.index, counts.columns))
    for cell in frame.itertuples():
        row, column = (name.replace("_", " ") for name in (cell.row, cell.column))
        assert cell.k == counts.loc[row, column]
        cells = shown[row.replace("_", " ")]
        assert cells[plan.columns.index(column)].lines == (f"m = {cell.m}", f"k = {cell.k}")
    assert plan.rows[-1] == "not reported"


def test_groups_have_colors_and_levels_of_one_study_are_set_aside():
    plan = estimability_plan(effects(APART))
    frame = plan.to_frame().set_index(["row", "column"])
    cells = {
        (row, column): cell
        for row, line in zip(plan.rows, plan.cells, strict=True)
        for column, cell in zip(plan.columns, line, strict=True)
    }
    assert frame.loc[("plant", "UC"), "group"] == 1
    assert frame.loc[("milk", "kit"), "group"] == 2
    assert cells["plant", "UC"].fill != cells["milk", "kit"].fill
    assert cells["plant", "UC"].fill != cells["plant", "SEC"].fill
    assert cells["urine", "kit"].fill == plan.theme.track
    assert cells["urine", "UC"].fill == ""
    keys = [key.label for key in plan.keys]
    assert "linked group 2" in keys
    assert "set aside: a level of too few studies" in keys
    assert "In brackets: set aside." in " ".join(plan.notes)
    for place, cell in cells.items():
        known = frame.loc[place]
        assert cell.lines[0].startswith("(m = ") == (known["m"] > 0 and pd.isna(known["group"]))
        assert cell.corner == ("" if pd.isna(known["group"]) else str(known["group"]))  # beside the colour
    assert any("are confounded" in note for note in plan.notes)


def test_one_group_needs_no_legend_of_groups():
    plan = estimability_plan(effects({("a", "x"): 2, ("a", "y"): 2, ("b", "x"): 2}))
    assert not any("group" in key.label for key in plan.keys)
    assert "Source and isolation are separately estimable: studies link all levels." in plan.notes


def test_effects_results_and_estimability_give_one_grid():
    es = effects({("a", "x"): 4, ("a", "y"): 4, ("b", "x"): 4})
    result = mx.attribute_heterogeneity(es, draws=0, permutations=19)
    assert estimability_plan(es) == estimability_plan(result) == estimability_plan(find(es))


def test_an_attribution_to_three_factors_shows_the_first_two():
    es = effects({("a", "x"): 4, ("a", "y"): 4, ("b", "x"): 4}).with_columns(technique=["NTA", "DLS"] * 6)
    result = mx.attribute_heterogeneity(es, ["source", "isolation", "technique"], draws=0, permutations=19)
    plan = estimability_plan(result)
    assert (plan.row_title, plan.column_title) == ("Source", "Isolation method")
    assert plan.to_frame()["k"].sum() == 12


def test_many_long_headings_stand_upright_and_nothing_overlaps():
    cells = {
        (f"source {i} with a rather long name of its own", f"isolation method {j} in words"): 1 + (i + j) % 3
        for i in range(4)
        for j in range(12)
    }
    for es, upright in ((effects(cells), True), (effects(APART), False)):
        plan = estimability_plan(es, title="Title " * 20, notes=["Note " * 50])
        assert plan.upright is upright
        assert overlapping_texts(estimability(plan)) == []


def test_a_grid_takes_two_known_factors():
    with pytest.raises(InputError, match="two factors"):
        estimability_plan(effects(APART), ["source"])
    with pytest.raises(UnknownChoiceError, match="sauce"):
        estimability_plan(effects(APART), ["source", "sauce"])
