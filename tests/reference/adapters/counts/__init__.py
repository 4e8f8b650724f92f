"""Reference cases on counts of events: which answer a case gets, by its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.reference.adapters.counts import glmm, labbe, mantel_haenszel
from tests.reference.cases import Case, NotCovered

Answer = Callable[[Case, dict[str, Any]], dict[str, Any]]

# The parts, each with MODELS: (topic, model) of a call to its answer.
PARTS = (labbe, mantel_haenszel, glmm)
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


TOPICS = {"count_models": answer}
