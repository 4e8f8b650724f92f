"""Strata for readers: the five parts, tables, and the intervals of spread."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from tests.heterogeneity.helpers import effects

SIZES = {"plant": 5, "adipose": 4, "milk": 1}


def test_the_summary_has_its_five_parts_in_order() -> None:
    parts = mx.stratify(effects(SIZES), by="source").summary().parts
    assert list(parts) == ["What was fitted", "Pooled", "Heterogeneity", "Data", "Fit"]
    assert all(parts.values())
    assert "milk: one study: shown" in "\n".join(parts["Data"])


def test_results_are_frozen() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    with pytest.raises(FrozenInstanceError):
        result.level = 0.9
    with pytest.raises(FrozenInstanceError):
        result.strata[0].note = "x"


@pytest.mark.parametrize("mode", ["separate", "common"])
def test_intervals_of_tau2_and_i2_are_those_of_the_model_they_come_from(mode: str) -> None:
    es = effects({"plant": 5, "adipose": 4}, tau2=0.3)
    result = mx.stratify(es, by="source", tau2=mode)
    for s in result.strata:
        fit = mx.RandomEffects(es, "source").fit() if mode == "common" else s.fit
        wanted = fit.conf_int_heterogeneity().tau2
        assert tuple(s.heterogeneity.tau2) == pytest.approx(tuple(wanted), rel=1e-8)
        v = s.fit.typical_variance
        assert s.heterogeneity.i2.high == pytest.approx(
            s.heterogeneity.tau2.high / (s.heterogeneity.tau2.high + v), rel=1e-10
        )
        assert s.heterogeneity.i2.estimate == pytest.approx(s.fit.i2, rel=1e-8)


def test_the_table_holds_the_intervals_and_the_effect_of_a_single_study() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    table = result.to_frame().set_index("stratum")
    assert table.loc["plant", "tau2_high"] == result["plant"].heterogeneity.tau2.high
    numbers = table.columns.drop(["source", "k", "m", "clusters", "note"])
    assert table.loc["plant", numbers].notna().all()
    own = ["estimate", "se", "low", "high"]
    assert table.loc["milk", numbers.drop(own)].isna().all()
    # the study's own effect, its interval from its sampling variance alone
    y, se = result["milk"].effects.y[0], np.sqrt(result["milk"].effects.v[0])
    wanted = [y, se, y - 1.959963984540054 * se, y + 1.959963984540054 * se]
    assert table.loc["milk", own].tolist() == pytest.approx(wanted)
    assert "one study: shown with its own effect" in table.loc["milk", "note"]
    for text in (str(result), result.to_markdown(), result.to_latex(), result.to_html()):
        assert "(one study)" in text


def test_several_effects_of_one_study_are_averaged_as_if_dependent() -> None:
    data = pd.DataFrame({"source": ["milk"] * 2 + ["plant"] * 3})
    es = mx.EffectSizes(
        [0.2, 0.8, 0.1, 0.3, 0.5], [0.01, 0.04, 0.02, 0.03, 0.02], data=data, study=list("aabcd")
    )
    with pytest.warns(errors.DependentEffectsWarning):
        milk = mx.stratify(es, by="source")["milk"]
    # weights 1/v are 4 to 1; with correlation 1 the standard error is the weighted mean of 0.1 and 0.2
    assert milk.single.estimate == pytest.approx(0.32)
    assert milk.single.se == pytest.approx(0.12)
    assert "as if they depended on each other completely" in milk.note


def test_the_equal_effects_model_has_no_spread_to_bound() -> None:
    result = mx.stratify(effects(SIZES), by="source", method="EE")
    assert all(s.heterogeneity is None for s in result.strata)
    assert result["plant"].pooled.prediction_low is None
    assert "equal effects" in str(result)


def test_a_sampling_variance_of_zero_leaves_no_interval() -> None:
    es = effects({"plant": 5, "adipose": 4})
    v = es.v.copy()
    v[0] = 0.0
    zero = mx.EffectSizes(es.y, v, data=es.data)
    result = mx.stratify(zero, by="source")
    assert result["plant"].heterogeneity is None
    assert result["adipose"].heterogeneity is not None
    with pytest.raises(errors.InputError, match="zero"):
        mx.stratify(zero, by="source", tau2="smoothed")


def test_plain_values_survive_json() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    back = json.loads(json.dumps(result.to_dict()))
    assert back["strata"][2]["tau2"] is None
    assert back["strata"][2]["estimate"] == result.strata[2].single.estimate
    assert back["between"]["pvalue"] == result.between.pvalue
    assert back["digest"] == result.digest


def test_markdown_latex_and_html_show_the_same_strata() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    for text in (result.to_markdown(), result.to_latex("Strata"), result.to_html("Strata")):
        assert all(s.name in text for s in result.strata)
        assert "not used to estimate tau2" in text
    assert result.to_latex("Strata").startswith(r"\begin{table}")
    assert "<caption>Strata</caption>" in result.to_html("Strata")
    assert result._repr_html_() == result.to_html()


def test_the_digest_follows_data_and_strata() -> None:
    es = effects(SIZES)
    result = mx.stratify(es, by="source")
    assert result.digest == mx.stratify(es, by="source", tau2="common").digest
    other = mx.EffectSizes(es.y + 1e-9, es.v, data=es.data)
    assert result.digest != mx.stratify(other, by="source").digest


def test_pairs_are_in_the_summary_of_three_strata() -> None:
    text = str(mx.stratify(effects({"plant": 5, "adipose": 4, "urine": 3}), by="source"))
    assert "adipose minus plant" in text
    assert "Holm" in text


def test_ratios_are_shown_as_ratios() -> None:
    es = effects({"plant": 5, "adipose": 4})
    ratio = mx.EffectSizes(es.y, es.v, "RR", data=es.data)
    result = mx.stratify(ratio, by="source")
    assert "risk ratio" in str(result)
    assert f"{np.exp(result['plant'].pooled.estimate):.2f}" in str(result)


def test_a_stratum_is_found_by_name() -> None:
    result = mx.stratify(effects(SIZES), by="source")
    assert result["milk"].k == 1
    with pytest.raises(errors.UnknownChoiceError, match="milk"):
        result["mlik"]


@pytest.mark.parametrize("word", [None, "", "not reported", "Not_reported"])
def test_unreported_levels_are_one_stratum_under_any_word(word: str | None) -> None:
    es = effects({"plant": 4, "adipose": 4})
    levels = es.data["source"].tolist()
    levels[0], levels[1], levels[5] = word, None, word
    result = mx.stratify(es.with_columns(source=levels), by="source")
    unreported = [s for s in result.strata if not s.reported]
    assert len(unreported) == 1
    assert unreported[0].k == 3
    assert result.strata[-1] is unreported[0]
    assert "a separate stratum" in str(result)


def test_the_table_has_each_bound_in_its_own_column() -> None:
    result = mx.stratify(effects({"plant": 5, "adipose": 4}, tau2=0.3), by="source")
    table = result.to_frame().set_index("stratum")
    for s in result.strata:
        row = table.loc[s.name]
        wanted = s.fit.conf_int_heterogeneity()
        assert (row["i2_low"], row["i2_high"]) == pytest.approx(tuple(wanted.i2[1:]), rel=1e-8)
        assert (row["tau2_low"], row["tau2_high"]) == pytest.approx(tuple(wanted.tau2[1:]), rel=1e-8)
        assert row["low"] < row["estimate"] < row["high"]
        assert row["prediction_low"] < row["low"]
        assert row["high"] < row["prediction_high"]
    assert (table["i2_low"] < table["i2_high"]).any()


def test_the_row_of_all_effects_says_when_it_rests_on_one_degree_of_freedom() -> None:
    result = mx.stratify(effects({"plant": 1, "milk": 1}), by="source")
    row = result.to_frame().set_index("stratum").loc["all"]
    assert row["df"] == 1
    assert "1 df" in row["note"]
    many = mx.stratify(effects({"plant": 5, "adipose": 4}), by="source").to_frame().set_index("stratum")
    assert many.loc["all", "note"] == ""


def test_strata_of_equal_effects_do_not_speak_of_tau2() -> None:
    data = pd.DataFrame({"source": ["milk"] * 3 + ["plant"] * 2})
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02], measure="RR", data=data)
    found = mx.stratify(es, "source", method="EE")
    for text in (str(found.summary()), found.to_markdown()):
        assert "tau" not in text
        assert "equal effects within each" in text
    assert "two studies: its tau2" in str(mx.stratify(es, "source").summary())
