"""What the figures say of fits, of rows that were left out and of derived effects."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

import metaexo as mx
from metaexo.effects.derivation import Derivation
from metaexo.ledger import Ledger
from metaexo.plots.canvas.words import derived_words, ledger_words, method_words, words_of_test


def test_a_test_in_words(make_effects):
    test = mx.stratify(make_effects(12), by="source").between
    words = words_of_test(test)
    assert words.startswith(f"F({test.df[0]:.0f}, ")
    assert f" = {test.statistic:.2f}, p = " in words


def test_a_small_statistic_has_the_decimals_of_the_others():
    found = SimpleNamespace(df=(1, 10.7), distribution="F", statistic=0.00187, pvalue=0.966)
    assert words_of_test(found) == "F(1, 10.7) < 0.01, p = 0.97"
    found.statistic = 4.504
    assert words_of_test(found) == "F(1, 10.7) = 4.50, p = 0.97"


def test_small_tests_of_a_forest_have_the_decimals_of_the_others():
    fit = mx.RandomEffects(mx.EffectSizes([0.1, -0.0999, 0.0001], [0.5, 0.5, 0.5])).fit()
    plan = mx.plots.forest_plan(fit, test_effect=True)
    said = [text.replace("\N{NO-BREAK SPACE}", " ") for row in plan.rows for text in (*row.text, *row.detail)]
    assert abs(fit.q.statistic) < 0.05
    assert any("Q(2) < 0.1, p" in text for text in said)
    (test,) = [text for text in said if text.startswith("Test for overall effect")]
    assert re.search(r"= 0\.00, p", test)


def test_the_ledger_in_words_names_the_commonest_reasons(make_effects):
    es = make_effects(12).select(np.arange(12) < 9, "no control group")
    assert ledger_words(es.ledger) == "Left out: 3 of 12 rows of input: no control group (3)."
    assert ledger_words(make_effects(3).ledger) == ""


def test_rows_that_were_not_eligible_are_left_aside_and_thresholds_are_one_reason():
    ledger = Ledger("outcomes.csv", tuple(range(2, 12)))
    ledger = ledger.leave_out(dict.fromkeys((2, 3, 4), "not selected: contrast == 'x'"), "selection")
    reasons = {line: f"only p < {p}: gives a bound, not a point" for line, p in ((5, 0.05), (6, 0.01))}
    ledger = ledger.leave_out(reasons | {7: "an earlier time point; the latest is taken"}, "effect")
    assert ledger_words(ledger) == (
        "7 of 10 rows of outcomes.csv were eligible; 3 of these are left out: "
        "only a threshold of p, which gives a bound (2); an earlier time point, the latest is taken (1)."
    )
    one = Ledger("outcomes.csv", (2, 3)).leave_out({3: "not selected: contrast == 'x'"}, "selection")
    assert ledger_words(one) == "1 of 2 rows of outcomes.csv was eligible."


def test_rare_reasons_are_counted_together(make_effects):
    ledger = Ledger("a.csv", tuple(range(2, 12)))
    ledger = ledger.leave_out({line: f"reason {line}" for line in range(2, 8)}, "effect")
    assert ledger_words(ledger).endswith("reason 2 (1); reason 3 (1); reason 4 (1); other reasons (3).")
    marks = [Derivation("converted", name) for name in "abcdef"]
    assert derived_words(marks) == (
        "Hollow square: converted from another statistic: a (1); b (1); c (1); d (1); others (2).",
    )


@pytest.mark.parametrize(
    "plan",
    [
        "forest",
        "funnel",
        "doi",
        "caterpillar",
        "orchard",
        "drapery",
        "normal_quantile",
        "radial",
        "bubble",
    ],
)
def test_what_was_left_out_is_told_to_those_who_do_not_see_the_figure(make_effects, plan):
    es = make_effects(12).with_columns(dose=np.arange(12.0)).select(np.arange(12) < 9, "no control group")
    fit = mx.RandomEffects(es, "dose" if plan == "bubble" else None).fit()
    made = getattr(mx.plots, f"{plan}_plan")(fit)
    assert "Left out: 3 of 12 rows of input: no control group (3)." in made.alternative
    assert not any("eft out" in note for note in made.notes)


@pytest.mark.parametrize("method", ["REML", "DL", "PM", "EB"])
@pytest.mark.parametrize("test", ["z", "t", "knapp-hartung", "knapp-hartung-adhoc"])
def test_models_are_named_without_codes(make_effects, method, test):
    words = method_words(mx.RandomEffects(make_effects(6)).fit(method=method, test=test))
    assert f"({method})" in words
    assert not re.search(r"adhoc|by (z|t|knapp)\b", words)
