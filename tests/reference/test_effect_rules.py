"""The rules for effect sizes: each difference is explained, and no wrong number gets through."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from tests.reference.adapters import effects as adapter
from tests.reference.cases import Case, read_cases, reference_files
from tests.reference.effect_rules import EFFECT_RULES, exact_factor, series
from tests.reference.runner import run_case

HERE = Path(__file__).parent
TEXT = (HERE / "DISAGREEMENTS.md").read_text(encoding="utf-8")
WANTED = {name.split("/")[0] + "__" + name.split("/")[1] for name in EFFECT_RULES}
CASES = {
    case["id"]: case
    for path in reference_files(HERE / "data")
    if path.name.split(".")[0] in WANTED
    for case in read_cases(path)
    if case["id"] in EFFECT_RULES
}


@pytest.mark.parametrize("name", EFFECT_RULES)
def test_every_case_with_a_rule_is_explained(name: str) -> None:
    dataset, topic, part = name.split("/")
    rule = EFFECT_RULES[name].__name__
    row = next(line for line in TEXT.splitlines() if f"(rule `{rule}`)" in line)
    assert f"{dataset}/{topic}/" in row
    assert f"{part}`" in row


def question(case: Case) -> Case:
    return {key: value for key, value in case.items() if key != "results"}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_wrong_number_of_ours_is_noticed(name: str) -> None:
    case = CASES[name]
    actual = adapter.TOPICS[case["topic"]](question(case), case["data"])
    assert not EFFECT_RULES[name](case, actual).different
    for field in ("yi", "vi", "mean", "sd", "value", "ai", "estimate", "se"):
        if field not in case["results"]:
            continue
        spoiled = copy.deepcopy(actual)
        values = np.array(spoiled[field], dtype=float)
        largest = int(np.nanargmax(np.abs(values)))
        values.ravel()[largest] = values.ravel()[largest] * 1.02 + (1 if field == "ai" else 0)
        spoiled[field] = values
        assert EFFECT_RULES[name](case, spoiled).different, field


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_with_a_rule_agrees(name: str) -> None:
    assert run_case(CASES[name]).verdict == "agreed"


def test_the_proofs_have_no_fault_of_their_own() -> None:
    # J(4) = Gamma(2) / (sqrt(2) Gamma(3/2)) = sqrt(2 / pi); F(1, 1; 2; z) = -log(1 - z) / z
    assert float(exact_factor(4)) == pytest.approx(np.sqrt(2 / np.pi), rel=1e-15)
    assert series(1.0, 2.0, 0.5) == pytest.approx(2 * np.log(2), rel=1e-14)
