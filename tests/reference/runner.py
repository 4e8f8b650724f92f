"""Run reference cases through the public API and count what came of them, topic by topic."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaexo.errors import MetaexoError
from tests.reference.adapters import (
    behaviour,
    bias,
    counts,
    diagnostics,
    effects,
    model_tests,
    models,
    multilevel,
    multilevel_groups,
    one_level_extras,
    subsets,
)
from tests.reference.cases import Case, NotCovered, read_cases, reference_files
from tests.reference.rules import settle, settle_refusal

Adapter = Callable[[Case, dict[str, Any]], dict[str, Any]]

ADAPTERS: dict[str, Adapter] = {
    **effects.TOPICS,
    **models.TOPICS,
    **model_tests.TOPICS,
    **one_level_extras.TOPICS,
    **behaviour.TOPICS,
    **diagnostics.TOPICS,
    **multilevel.TOPICS,
    **multilevel_groups.TOPICS,
    **bias.TOPICS,
    **subsets.TOPICS,
    **counts.TOPICS,
}


@dataclass
class Outcome:
    """What came of one case: "agreed", "disagreed" or "not covered", and why."""

    case: str
    topic: str
    verdict: str
    reasons: list[str] = field(default_factory=list)


def run_case(case: Case) -> Outcome:
    """Run one case; one that breaks disagrees, and the rest of the run goes on."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answered(case)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        return Outcome(case["id"], case["topic"], "disagreed", [words])


def answered(case: Case) -> Outcome:
    """Return what came of one case. The adapter sees the call and the data, never the results."""
    topic = case["topic"]
    adapter = ADAPTERS.get(topic)
    name = case["id"]
    if case.get("error_kind") == "failure":
        return Outcome(name, topic, "not covered", ["the reference itself failed: nothing to compare"])
    if adapter is None:
        return Outcome(name, topic, "not covered", [f"topic {topic}"])
    question = {key: value for key, value in case.items() if key not in ("results", "r_error", "error_kind")}
    try:
        actual = adapter(question, case["data"])
    except NotCovered as gap:
        return Outcome(name, topic, "not covered", [str(gap)])
    except MetaexoError as error:
        if case["results"] is None:
            return Outcome(name, topic, "agreed")
        return Outcome(name, topic, "disagreed", [f"{type(error).__name__}: {error}"])
    found = settle_refusal(case, actual) if case["results"] is None else settle(case, actual)
    if found.different:
        return Outcome(name, topic, "disagreed", found.different)
    if found.absent:
        return Outcome(name, topic, "not covered", [f"field {path}" for path in found.absent])
    return Outcome(name, topic, "agreed" if found.agreed else "not covered", [])


def run_folder(folder: Path) -> list[Outcome]:
    """Run every case of every reference file in a folder."""
    return [run_case(case) for path in reference_files(folder) for case in read_cases(path)]


def report(outcomes: list[Outcome], examples: int = 5) -> str:
    """Return a line a topic with its counts, then the gaps by reason and the disagreements one by one."""
    by_topic: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_topic[outcome.topic][outcome.verdict] += 1
    lines = [f"{topic}: {_counts(counts)}" for topic, counts in sorted(by_topic.items())]
    lines.append(f"all: {_counts(Counter(outcome.verdict for outcome in outcomes))}")
    gaps: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.verdict == "not covered":
            gaps[outcome.topic, "; ".join(outcome.reasons[:3])].append(outcome.case)
    if gaps:
        lines.append("\nNot covered:")
        for (topic, reason), cases in sorted(gaps.items()):
            shown = ", ".join(case.split("/", 1)[-1] for case in cases[:examples])
            lines.append(
                f"  {topic}: {len(cases)} x {reason} ({shown}{', ...' if len(cases) > examples else ''})"
            )
    wrong = [outcome for outcome in outcomes if outcome.verdict == "disagreed"]
    if wrong:
        lines.append("\nDisagreed:")
        lines += [f"  {outcome.case}: {'; '.join(outcome.reasons[:4])}" for outcome in wrong]
    return "\n".join(lines)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("agreed", "disagreed", "not covered"))
