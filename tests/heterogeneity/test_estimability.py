"""What a crossing of factors can tell: cells, groups, contrasts, and their words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.heterogeneity import estimability


def crossing(cells, **more):
    """Return effects with so many studies in each combination of levels."""
    rows = [levels for levels, m in cells.items() for _ in range(m)]
    data = pd.DataFrame(rows, columns=["source", "isolation", "technique"][: len(rows[0])])
    return mx.EffectSizes(np.arange(len(rows)), np.ones(len(rows)), data=data, **more)


LINKED = {("plant", "UC"): 3, ("plant", "SEC"): 2, ("milk", "SEC"): 2, ("MSC", "UC"): 1, ("MSC", "SEC"): 1}
APART = {("plant", "UC"): 3, ("plant", "SEC"): 2, ("milk", "kit"): 4}


def test_cells_count_effects_and_studies():
    found = estimability(crossing({("plant", "UC"): 4, ("milk", "UC"): 2}, study=list("aabcde")))
    cells = {cell.levels: cell for cell in found.cells}
    assert (cells["plant", "UC"].k, cells["plant", "UC"].m) == (4, 3)
    frame = estimability(crossing(LINKED)).to_frame()
    assert frame["k"].sum() == 9
    assert len(frame) == 6
    words = dict(zip(zip(frame["source"], frame["isolation"], strict=True), frame["estimable"], strict=True))
    assert words["milk", "UC"] == "nothing: no study"
    assert words["MSC", "UC"] == "an effect confounded with its study"
    assert words["plant", "SEC"] == "a mean; heterogeneity on one degree of freedom"
    assert words["plant", "UC"] == "a mean and heterogeneity"


def test_linked_levels_can_be_told_apart():
    found = estimability(crossing(LINKED))
    assert found.separable
    assert len(found.groups) == 1
    assert found.unlinked == ()
    assert (found.interaction_df, found.interaction_df_complete) == (1, 2)
    assert "source and isolation are separately estimable: studies link all levels" in found.words()


def test_groups_that_no_study_links_cannot():
    found = estimability(crossing(APART))
    assert not found.separable
    assert [(group.levels, group.m) for group in found.groups] == [
        ((("plant",), ("SEC", "UC")), 5),
        ((("milk",), ("kit",)), 4),
    ]
    assert set(found.unlinked) == {"source", "isolation"}
    words = next(line for line in found.words() if "are confounded" in line)
    assert "every effect with source plant has isolation SEC or UC" in words
    assert "and every effect with source milk has isolation kit" in words
    assert found.rows_of(1).tolist() == [False] * 5 + [True] * 4


def test_contrasts_say_by_which_studies():
    contrasts = {(c.first, c.second): c for c in estimability(crossing(LINKED)).contrasts}
    assert contrasts["MSC", "plant"].how == "both with SEC and UC"
    assert contrasts["milk", "plant"].estimable
    apart = {(c.first, c.second): c for c in estimability(crossing(APART)).contrasts}
    assert apart["SEC", "UC"].estimable
    assert not apart["milk", "plant"].estimable
    assert apart["milk", "plant"].how == "no study links the two"
    chain = {("a", "x"): 2, ("b", "x"): 2, ("b", "y"): 2, ("c", "y"): 2}
    through = {(c.first, c.second): c for c in estimability(crossing(chain)).contrasts}
    assert through["a", "c"].estimable
    assert through["a", "c"].how == "through other levels"
    frame = estimability(crossing(chain)).contrasts_frame()
    assert frame["estimable"].all()


def test_estimable_contrasts_are_those_that_no_other_solution_changes():
    rng = np.random.default_rng(4)
    for _ in range(30):
        rows = {(f"s{rng.integers(4)}", f"i{rng.integers(4)}"): 2 for _ in range(rng.integers(2, 7))}
        found = estimability(crossing(rows))
        table = found.used
        x = np.hstack([np.ones((table.k, 1)), table.indicators(0), table.indicators(1)])
        null = np.linalg.svd(x)[2][np.linalg.matrix_rank(x) :]
        names = [("intercept",), *(("source", n) for n in table.levels[0])]
        names += [("isolation", n) for n in table.levels[1]]
        for c in found.contrasts:
            a, b = names.index((c.factor, c.first)), names.index((c.factor, c.second))
            assert c.estimable == bool(np.abs(null[:, a] - null[:, b]).max(initial=0) < 1e-9)


def test_two_factors_are_separable_if_and_only_if_there_is_one_group():
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(60):
        rows = {(f"s{rng.integers(4)}", f"i{rng.integers(4)}"): 2 for _ in range(rng.integers(2, 9))}
        found = estimability(crossing(rows))
        assert found.separable == (len(found.groups) == 1)
        seen.add(found.separable)
    assert seen == {True, False}


def test_three_factors_can_be_linked_and_still_not_be_told_apart():
    # every row links levels, but the third factor is told by the other two
    cells = {("a", "x", "p"): 2, ("a", "y", "q"): 2, ("b", "x", "q"): 2, ("b", "y", "r"): 2}
    found = estimability(crossing(cells), ["source", "isolation", "technique"])
    assert len(found.groups) == 1
    assert not found.separable
    assert any("follow from those of the other factors" in line for line in found.words())


def test_levels_of_one_study_are_set_aside_until_nothing_changes():
    # milk stands in one study; without it kit does too, and then plant keeps UC alone
    cells = {("plant", "UC"): 3, ("plant", "kit"): 1, ("milk", "kit"): 1}
    found = estimability(crossing(cells))
    assert found.used.levels == (("plant",), ("UC",))
    assert found.left_out == {"source": ("milk",), "isolation": ("kit",)}
    assert {c.how for c in found.contrasts} == {"milk set aside", "kit set aside"}
    assert "source set aside, as in one study only: milk" in found.words()
    assert "isolation left without a second study by this: kit" in found.words()
    aside = next(cell for cell in found.cells if cell.levels == ("milk", "kit"))
    assert aside.estimable == "set aside: a level of too few studies"
    assert estimability(crossing(cells), min_studies=1).used.k == 5


def test_a_level_of_one_study_with_several_effects_is_still_one_study():
    found = estimability(crossing({("plant", "UC"): 3, ("milk", "UC"): 3}, study=list("abcddd")))
    assert found.left_out["source"] == ("milk",)


def test_words_and_summary_read_as_text():
    found = estimability(crossing(APART))
    assert "are confounded" in found.summary()
    assert [*map(str.strip, found.summary().splitlines())] == [
        "Estimability",
        *map(str.strip, str(found).splitlines()),
    ]
    assert "not separable" in repr(found)
    nothing = estimability(crossing({("plant", "UC"): 1}))
    assert nothing.words()[-1] == "no effect is left"
    with pytest.raises(InputError, match="min_studies"):
        estimability(crossing(APART), min_studies=0)
