"""The rules for effect sizes and conversions: each is explained, and no wrong number gets through."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.reference import conversion_rules, effect_rules, five_number_rules
from tests.reference.adapters import effects as adapter
from tests.reference.cases import Case, read_cases, reference_files
from tests.reference.compare import compare
from tests.reference.rules import rules_of, settle

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


def differing_cases() -> Iterator[Case]:
    """Yield the stored cases that a rule settles: those that a plain comparison finds to differ."""
    for path in reference_files(HERE / "data"):
        if path.name.split(".")[0].rsplit("__", 1)[-1] in TOPICS:
            for case in read_cases(path):
                asked = bool(rules_of(case)) and case["results"] is not None
                if asked and compare(answer(case), case["results"], case["rtol"], case["atol"]).different:
                    yield case


CASES = {case["id"]: case for case in differing_cases()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_explained_and_needed(rule) -> None:
    row = next(line for line in TEXT.splitlines() if f"(rule `{rule.__name__}`)" in line)
    settled = [name for name, case in CASES.items() if rules_of(case)[0] is rule]
    assert settled
    told = [name.split("/")[-1] for name in settled if f"{name.split('/')[-1]}`" in row]
    assert told == [name.split("/")[-1] for name in settled]


def test_no_rule_knows_a_data_set() -> None:
    names = {name.split("/")[0] for name in CASES}
    for module in (effect_rules, conversion_rules, five_number_rules):
        source = Path(module.__file__).read_text(encoding="utf-8")
        assert not [name for name in names if name in source]


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_with_another_name_agrees_as_well(name: str) -> None:
    case = CASES[name] | {"id": "other/topic/case", "dataset": "other"}
    assert not settle(case, answer(case)).different


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_wrong_number_of_ours_is_noticed(name: str) -> None:
    case = CASES[name]
    actual = answer(case)
    for field in SPOILED:
        if field not in case["results"]:
            continue
        spoiled = copy.deepcopy(actual)
        values = np.array(spoiled[field], dtype=float)
        largest = int(np.nanargmax(np.where(np.isfinite(values), np.abs(values), np.nan)))
        values.ravel()[largest] = values.ravel()[largest] * 1.02 + (1 if field == "ai" else 0)
        spoiled[field] = values
        assert settle(case, spoiled).different, field


def test_a_reference_beyond_the_errors_of_its_simulation_is_noticed() -> None:
    case = copy.deepcopy(next(case for case in CASES.values() if case["id"].endswith("range_only_bc")))
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
