"""The rules for effect sizes and conversions: each is explained, and no wrong number gets through."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.reference import conversion_rules, effect_rules, five_number_rules
from tests.reference.adapters import effects as adapter
from tests.reference.cases import Case, read_cases, reference_files
from tests.reference.compare import compare
from tests.reference.rules import Rule, rules_of, settle

HERE = Path(__file__).parent
TEXT = (HERE / "DISAGREEMENTS.md").read_text(encoding="utf-8")
TOPICS = ("effect_sizes", "conversions")
RULES = (
    effect_rules.cancelled_digits,
    effect_rules.overflowed,
    effect_rules.tetrachoric,
    effect_rules.differenced_hessian,
    effect_rules.integrated_hypergeometric,
    effect_rules.derivative_of_another_scale,
    conversion_rules.nearer_table,
    conversion_rules.failed_integral,
    conversion_rules.better_modes,
    conversion_rules.squares_for_a_trace,
    five_number_rules.loose_expected_range,
    five_number_rules.lower_sum_of_squares,
    five_number_rules.one_simulation,
    five_number_rules.power_of_zero,
)
SPOILED = ("yi", "vi", "mean", "sd", "value", "ai", "estimate", "se")


def answer(case: Case) -> dict:
    question = {key: value for key, value in case.items() if key != "results"}
    return adapter.TOPICS[case["topic"]](question, case["data"])


def differing_cases() -> Iterator[tuple[Case, dict]]:
    """Yield the stored cases that a plain comparison finds to differ, which rules settle, and our answers."""
    for path in reference_files(HERE / "data"):
        if path.name.split(".")[0].rsplit("__", 1)[-1] in TOPICS:
            for case in read_cases(path):
                if not rules_of(case) or case["results"] is None:
                    continue
                actual = answer(case)
                if compare(actual, case["results"], case["rtol"], case["atol"]).different:
                    yield case, actual


@cache
def cases() -> dict[Rule, list[tuple[Case, dict]]]:
    """Return the stored cases, with our answers, by the rule that settles them."""
    found: dict[Rule, list[tuple[Case, dict]]] = {rule: [] for rule in RULES}
    for case, actual in differing_cases():
        found[rules_of(case)[0]].append((case, actual))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_explained_and_needed(rule) -> None:
    row = next(line for line in TEXT.splitlines() if f"(rule `{rule.__name__}`)" in line)
    settled = [case["id"] for case, _ in cases()[rule]]
    assert settled
    told = [name.split("/")[-1] for name in settled if f"{name.split('/')[-1]}`" in row]
    assert told == [name.split("/")[-1] for name in settled]


def test_no_rule_knows_a_data_set() -> None:
    names = {case["id"].split("/")[0] for settled in cases().values() for case, _ in settled}
    for module in (effect_rules, conversion_rules, five_number_rules):
        source = Path(module.__file__).read_text(encoding="utf-8")
        assert not [name for name in names if name in source]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_case_with_another_name_agrees_as_well(rule) -> None:
    for case, _ in cases()[rule]:
        other = case | {"id": "other/topic/case", "dataset": "other"}
        assert not settle(other, answer(other)).different, case["id"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_wrong_number_of_ours_is_noticed(rule) -> None:
    for case, actual in cases()[rule]:
        for field in (name for name in SPOILED if name in case["results"]):
            spoiled = copy.deepcopy(actual)
            values = np.array(spoiled[field], dtype=float)
            largest = int(np.nanargmax(np.where(np.isfinite(values), np.abs(values), np.nan)))
            values.ravel()[largest] = values.ravel()[largest] * 1.02 + (1 if field == "ai" else 0)
            spoiled[field] = values
            assert settle(case, spoiled).different, (case["id"], field)


def test_a_reference_beyond_the_errors_of_its_simulation_is_noticed() -> None:
    every = (case for settled in cases().values() for case, _ in settled)
    case = copy.deepcopy(next(case for case in every if case["id"].endswith("range_only_bc")))
    case["results"]["mean"][3] *= 1.04
    assert settle(case, answer(case)).different


def test_the_proofs_have_no_fault_of_their_own() -> None:
    # J(4) = Gamma(2) / (sqrt(2) Gamma(3/2)) = sqrt(2 / pi); F(1, 1; 2; z) = -log(1 - z) / z
    assert float(effect_rules.exact_factor(4)) == pytest.approx(np.sqrt(2 / np.pi), rel=1e-15)
    assert effect_rules.series(1.0, 2.0, 0.5) == pytest.approx(2 * np.log(2), rel=1e-14)
    # the quadrant probability of two normal variables is 1/4 + arcsin(r) / (2 pi)
    quadrant = effect_rules.share_below(np.array([10.0, 10.0, 10.0, 10.0]), 0.5)
    assert quadrant == pytest.approx(1 / 4 + np.arcsin(0.5) / (2 * np.pi), abs=1e-12)
    # a log-normal variable: mean exp(m + s^2 / 2), variance (exp(s^2) - 1) times its square
    (mean, sd), errors = five_number_rules.taken_back(0.2, 0.5, 0.0, 3.0, 100)
    assert mean == pytest.approx(3 * np.exp(0.325), rel=1e-9)
    assert sd == pytest.approx(mean * np.sqrt(np.expm1(0.25)), rel=1e-9)
    assert errors[0] == pytest.approx(sd / 10, rel=1e-12)
