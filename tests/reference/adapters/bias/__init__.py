"""Reference cases on small-study effects and selection: which answer a case gets, by its model or method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.reference.adapters.bias import (
    adjust,
    asymmetry,
    conditional,
    excess,
    fail_safe,
    henmi,
    selection,
    small_study,
    trim_and_fill,
)
from tests.reference.cases import Case, NotCovered

Answer = Callable[[Case, dict[str, Any]], dict[str, Any]]

# The parts, each with MODELS: (topic, model) of a call to its answer.
PARTS = (adjust, asymmetry, conditional, excess, fail_safe, henmi, selection, small_study, trim_and_fill)
ANSWERS: dict[tuple[str, str], Answer] = {
    key: answer for part in PARTS for key, answer in part.MODELS.items()
}


def answer(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Answer a case; raise NotCovered if there is no answer for its model."""
    topic, call = case["topic"], case["call"]
    model = str(call.get("model", ""))
    found = ANSWERS.get((topic, model))
    if found is None:
        raise NotCovered(f"model {model}" if model else f"topic {topic}")
    return found(case, data)


TOPICS = dict.fromkeys(
    (
        "publication_bias",
        "publication_bias_extra",
        "binary_small_study_tests",
        "selection_models",
        "p_value_combination",
        "proportion_beyond_threshold",
    ),
    answer,
)
