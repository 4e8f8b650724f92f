"""Variability by method: levels of repetition are never mixed, and words stand where nothing can be said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import repeatability
from metaexo.heterogeneity.levels import REPETITIONS


def spreads(
    levels: list[str | None], methods: list[str | None], cv: list[float], n: int = 12
) -> mx.EffectSizes:
    k = len(levels)
    es = mx.effect_sizes("CVLN", mean=[100.0] * k, sd=[100 * x for x in cv], n=[n] * k)
    return es.with_columns(repetition=levels, isolation=methods)


SIX = ["SEC"] * 3 + ["UC"] * 3
APART = [0.08, 0.09, 0.07, 0.3, 0.34, 0.31]
ALIKE = [0.18, 0.29, 0.17, 0.2, 0.14, 0.31]


def test_each_level_is_a_model_of_its_own() -> None:
    es = spreads(
        ["reading"] * 6 + ["preparation"] * 6, SIX * 2, [0.01, 0.012, 0.011, 0.02, 0.018, 0.02, *APART]
    )
    found = repeatability(es)
    assert list(found.levels) == ["reading", "preparation"]
    for level, rows in (("reading", np.arange(6)), ("preparation", np.arange(6, 12))):
        alone = mx.stratify(es.select(rows, level), by="isolation")
        for s in alone.strata:
            assert found.levels[level][s.name].pooled == s.pooled
        assert found.levels[level].between == alone.between


def test_the_table_is_on_the_scale_of_the_coefficient_of_variation() -> None:
    table = repeatability(spreads(["preparation"] * 6, SIX, APART)).to_frame().set_index("isolation")
    pooled = repeatability(spreads(["preparation"] * 6, SIX, APART)).levels["preparation"]["SEC"].pooled
    assert table.loc["SEC", "value"] == pytest.approx(np.exp(pooled.estimate))
    assert table.loc["SEC", "high"] == pytest.approx(np.exp(pooled.high))
    assert table.loc["UC", "k"] == 3


def test_the_most_repeatable_method_is_named_only_if_the_pairs_show_it() -> None:
    clear = repeatability(spreads(["preparation"] * 6, SIX, APART)).verdict("preparation")
    assert "SEC is the most repeatable" in clear
    vague = repeatability(spreads(["preparation"] * 6, SIX, ALIKE)).verdict("preparation")
    assert "no method is shown to be the most repeatable" in vague


def test_one_clause_over_all_levels() -> None:
    levels = ["reading"] * 6 + ["preparation"] * 6
    assert repeatability(spreads(levels, SIX * 2, [*ALIKE, *APART])).sentence == (
        "the most repeatable method is SEC over preparations"
    )
    vague = repeatability(spreads(levels, SIX * 2, [*ALIKE, *ALIKE]))
    assert vague.sentence == "no method is shown to be the most repeatable"
    alone = repeatability(spreads(["preparation"] * 2, ["SEC", "UC"], [0.01, 0.02]))
    assert alone.sentence == "which method is the most repeatable cannot be said"
    assert alone.undecided
    assert not vague.undecided


def test_unreported_methods_are_no_candidates() -> None:
    es = spreads(["preparation"] * 9, [*SIX, None, None, None], [*APART, 0.001, 0.0012, 0.0011])
    verdict = repeatability(es).verdict("preparation")
    assert "SEC is the most repeatable" in verdict


def test_a_level_that_is_not_reported_takes_no_part_and_is_counted() -> None:
    es = spreads(["preparation"] * 6 + ["not_reported", None], [*SIX, "UC", "UC"], [*APART, 0.01, 0.01])
    found = repeatability(es)
    assert found.unreported.k == 2
    assert found.levels["preparation"].effects.k == 6
    assert "2 spreads over something that is not reported: left out" in str(found)


def test_without_a_column_of_levels_the_answer_is_a_refusal() -> None:
    es = mx.effect_sizes("CVLN", mean=[100.0] * 3, sd=[5.0] * 3, n=[6] * 3).with_columns(isolation=["UC"] * 3)
    with pytest.raises(errors.MixedRepetitionError, match="says what was repeated") as caught:
        repeatability(es)
    assert all(name in str(caught.value) for name in REPETITIONS)


def test_a_word_that_could_be_any_level_is_refused() -> None:
    es = spreads(["preparation", "replicate", "preparation"], ["UC"] * 3, [0.1, 0.2, 0.1])
    with pytest.raises(errors.UnknownChoiceError, match="level of repetition 'replicate'") as caught:
        repeatability(es)
    assert caught.value.rows == ("input:2",)


def test_no_known_level_at_all_is_refused() -> None:
    es = spreads(["not_reported"] * 3, ["UC"] * 3, [0.1, 0.2, 0.1])
    with pytest.raises(errors.TooFewStudiesError, match="of 3 spreads none is known"):
        repeatability(es)


def test_other_effects_are_refused() -> None:
    es = mx.EffectSizes([0.1, 0.2], [0.1, 0.1], data=pd.DataFrame({"repetition": ["batch"] * 2}))
    with pytest.raises(errors.InputError, match="no measure of variability"):
        repeatability(es)


@pytest.mark.parametrize("second", ["reading", None])
def test_strata_refuse_to_mix_levels_of_repetition(second: str | None) -> None:
    es = spreads(["preparation"] * 5 + [second], SIX, APART)
    with pytest.raises(errors.MixedRepetitionError, match="one level of repetition in a model"):
        mx.stratify(es, by="isolation")
    apart = mx.stratify(es, by=["repetition", "isolation"])
    assert {s.levels["repetition"] for s in apart.strata if s.reported} <= {"preparation", "reading"}


def test_strata_of_other_effects_may_have_such_a_column() -> None:
    data = pd.DataFrame({"repetition": ["batch", "reading"] * 3, "isolation": SIX})
    es = mx.EffectSizes([0.1, 0.2, 0.3, 0.4, 0.5, 0.7], [0.1] * 6, data=data)
    assert len(mx.stratify(es, by="isolation").strata) == 2


def test_one_laboratory_a_method_says_nothing_of_methods() -> None:
    es = spreads(["preparation"] * 6, SIX, APART).with_columns(laboratory=["a"] * 3 + ["b"] * 3)
    with pytest.warns(errors.DependentEffectsWarning):
        found = repeatability(es, cluster="laboratory")
    table = found.to_frame()
    assert table["tau"].isna().all()
    assert table["note"].str.startswith("one laboratory: shown with its own effect").all()
    assert "(one study)" in str(found)
    verdict = found.verdict("preparation")
    assert "cannot be said" in verdict
    assert "0 methods with two or more independent groups by laboratory" in verdict
    assert "is the most repeatable (" not in str(found)


def test_a_level_nobody_reports_is_said_to_be_unknown() -> None:
    found = repeatability(spreads(["preparation"] * 6, SIX, APART))
    assert found.verdict("batch") == "batch: no spread is known to be over this level"


def test_ratios_of_two_groups_are_compared_by_pair_of_methods() -> None:
    k = 6
    es = mx.effect_sizes(
        "CVR",
        treatment_mean=[100.0] * k,
        treatment_sd=[8.0, 9.0, 7.0, 30.0, 34.0, 31.0],
        treatment_n=[12] * k,
        control_mean=[90.0] * k,
        control_sd=[20.0] * k,
        control_n=[12] * k,
    ).with_columns(pair=["SEC / UC"] * 3 + ["kit / UC"] * 3, repetition=["donor"] * k)
    found = repeatability(es, by="pair")
    table = found.to_frame().set_index("pair")
    assert table.loc["SEC / UC", "value"] < 1 < table.loc["kit / UC", "value"]
    assert "all strata share one mean effect" in found.verdict("donor")
