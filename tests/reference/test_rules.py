"""The rules for settled differences: each is explained, and none lets a wrong number through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference import rules
from tests.reference.rules import RULES

TEXT = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RULES)
def test_every_case_with_a_rule_is_explained(name: str) -> None:
    dataset, topic, part = name.split("/")
    row = next(line for line in TEXT.splitlines() if f"(rule `{RULES[name].__name__}`)" in line)
    assert f"{dataset}/{topic}/" in row
    assert f"{part}`" in row


def likelihood(value: float) -> dict:
    return {"ML": {"log_likelihood": value}, "REML": {"log_likelihood": value}}


CASE = {
    "id": "x",
    "rtol": 1e-4,
    "atol": 1e-6,
    "call": {"tau2_method": "ML"},
    "results": {
        "estimate": [1.0],
        "scale_estimate": [-1.5, -20.0],
        "scale_se": [0.5, 2e4],
        "fit_statistics": likelihood(-3.0),
    },
}
OURS = {
    "estimate": [1.0],
    "scale_estimate": [-1.5, float("-inf")],
    "scale_se": [0.5, float("nan")],
    "fit_statistics": likelihood(-3.0 + 1e-9),
}


def test_a_limit_agrees() -> None:
    assert not rules.limit(CASE, OURS).different


@pytest.mark.parametrize(
    "change",
    [
        {"estimate": [1.01]},
        {"scale_estimate": [-1.6, float("-inf")]},
        {"scale_se": [0.6, float("nan")]},
        {"scale_estimate": [-1.5, float("inf")]},
        {"fit_statistics": likelihood(-3.0 - 1e-9)},
        {"fit_statistics": likelihood(-2.9)},
    ],
)
def test_a_limit_with_a_wrong_number_does_not_agree(change: dict) -> None:
    assert rules.limit(CASE, OURS | change).different


def test_a_finite_estimate_of_the_reference_is_no_limit() -> None:
    results = CASE["results"] | {"scale_se": [0.5, 3.0]}
    assert rules.limit(CASE | {"results": results}, OURS).different


def test_bounds_beyond_the_tolerance_of_the_root_search_do_not_agree() -> None:
    results = {"se": 0.3, "tau2": 0.3, "ci_lower": -1.0, "ci_upper": 1.0}
    case = {
        "id": "x",
        "rtol": 1e-4,
        "atol": 1e-6,
        "results": results,
        "data": {"vi": [0.05, 0.1, 0.2]},
        "call": {},
    }
    assert not rules.coarse_quantile(case, results | {"ci_lower": -1.00005}).different
    assert rules.coarse_quantile(case, results | {"ci_lower": -1.0003}).different
    assert rules.coarse_quantile(case, results | {"se": 0.31}).different


@pytest.mark.parametrize(
    ("rule", "results", "actual"),
    [
        (rules.higher_saturated, {"statistic": 2.0, "df": 3}, {"statistic": 1.9, "df": 3}),
        (rules.higher_saturated, {"statistic": 2.0, "df": 3}, {"statistic": 2.1, "df": 4}),
        (rules.not_testable, {"df": 1}, {"df": 1, "statistic": 0.0, "p": 1.0}),
        (rules.unconverged_tau2, {"df": 8}, {"df": 7, "statistic": 3.0}),
        (
            rules.grid_above_zero,
            {"tau2": [0, 1e-12, 0.1], "mean": [1.0, 1.0, 2.0]},
            {"tau2": [0, 0.1], "mean": [1.0, 2.1]},
        ),
    ],
)
def test_rules_refuse_what_they_must(rule: rules.Rule, results: dict, actual: dict) -> None:
    assert rule({"id": "x", "rtol": 1e-6, "atol": 1e-8, "results": results, "call": {}}, actual).different
