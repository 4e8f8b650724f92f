"""The lines below a forest plot that follow from what it shows."""

from __future__ import annotations

import re
from typing import Any

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.models.results import RandomEffectsResults
from metaexo.plots.forest_choices import Choices
from metaexo.plots.remarks import derived_words, ledger_words, method_words
from metaexo.plots.wording import typeset

INTERCEPT = re.compile(r"\bintercept\b")
WHOSE_TAU2 = {
    "separate": "τ² of its own in each stratum.",
    "common": "One τ² for all strata.",
    "smoothed": "τ² of each stratum drawn towards those of the others.",
}


def evidence_notes(es: EffectSizes) -> tuple[str, ...]:
    """Return how hollow marks are to be read, and what was left out."""
    return tuple(note for note in (*derived_words(es.derived), ledger_words(es.ledger)) if note)


def model_note(fit: Any, counts: bool) -> str:
    """Return the model in words, and whether it takes effects of one study as independent."""
    note = method_words(fit)
    es = fit.effects
    if isinstance(fit, RandomEffectsResults) and es.m < es.k:
        return f"{note} {es.k} effects of {es.m} studies are taken as independent."
    return note + (" k effects of m studies." if counts else "")


def caution_notes(results: Any, mean: str = "the pooled effect") -> tuple[str, ...]:
    """Return what to know before relying on what is pooled; the words are those of the results themselves.

    `mean` is what the figure calls the coefficient of a model without moderators.
    """
    found = results.cautions() if callable(getattr(results, "cautions", None)) else ()
    without_advice = (words.partition("; test=")[0] for words in found)
    return tuple(f"Caution: {typeset(INTERCEPT.sub(mean, words))}." for words in without_advice)


def strata_notes(results: Any, choices: Choices) -> tuple[str, ...]:
    """Return the notes of strata: model, remarks on strata, test between them, evidence.

    No model is named where neither a subtotal nor the overall effect is shown.
    """
    pooled = sum(stratum.fit is not None for stratum in results.strata)
    shown = choices.overall and results.overall is not None
    model = [_strata_model(results, choices)] if pooled or shown else []
    alone = [] if pooled else ["No stratum has two or more studies, so none is pooled."]
    remarks = dict.fromkeys(stratum.note for stratum in results.strata if stratum.note)
    test = _test_note(results, pooled) if choices.between else []
    sentences = [*model, *map(_sentence, remarks), *alone, *test]
    cautions = caution_notes(results) if pooled else ()
    if shown and results.clusters is None:
        cautions += caution_notes(results.overall, "the overall effect")
    if choices.between and results.between is not None:
        words = results.between.cautions()
        cautions += tuple(f"Caution: test between strata: {typeset(text)}." for text in words)
    model_and_test = [" ".join(sentences)] if sentences else []
    return (*model_and_test, *dict.fromkeys(cautions), *evidence_notes(results.effects))


def _strata_model(results: Any, choices: Choices) -> str:
    """Return the model, whose the between-study variances are, and whose the weights."""
    parts = [] if results.overall is None else [_overall_model(results, choices)]
    parts.append(WHOSE_TAU2[results.tau2_mode])
    if choices.weights == "overall" and results.overall is not None:
        parts.append("Weights are those of the overall effect.")
    elif choices.weights == "stratum":
        parts.append("Weights are those within the strata.")
    return " ".join(parts)


def _overall_model(results: Any, choices: Choices) -> str:
    """Return the model of all effects, and how it allows for dependence between them."""
    if results.clusters is None:
        return model_note(results.overall, choices.heterogeneity)
    counts = " k effects of m studies." if choices.heterogeneity else ""
    model = method_words(results.overall).partition("; intervals")[0]
    robust = f"intervals of pooled effects robust to dependence within each {results.cluster} (CR2)."
    return f"{model}; {robust}{counts}"


def _test_note(results: Any, pooled: int) -> list[str]:
    """Return how the strata were tested, or why they were not."""
    if results.between is not None:
        return [_sentence(results.between_note)] if results.between_note else []
    return ["No test between strata: only one has two or more studies."] if pooled == 1 else []


def short_remark(note: str) -> str:
    """Return what stands beside the name of a stratum; the whole note stands below the plot.

    Examples
    --------
    >>> short_remark("one study: shown, takes no part in a between-study variance")
    'one study'
    """
    return typeset(note.partition(":")[0])


def _sentence(words: str) -> str:
    return typeset(words[:1].upper() + words[1:]) + "."
