"""The rules on combined p-values: each is explained, and none lets a wrong number through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import metaexo as mx
from tests.reference import adjust_rules
from tests.reference.adapters.bias.adjust import combined
from tests.reference.cases import Case
from tests.reference.rules import settle

TEXT = (Path(__file__).parent / "DISAGREEMENTS.md").read_text(encoding="utf-8")
P = [0.5046, 0.0606, 0.1518, 0.0084, 0.9256, 0.0001, 0.3298, 0.5843, 0.7628]


def case_with(pvalue: float) -> Case:
    """Return a case on the mean of z with this value of the reference."""
    return {
        "topic": "p_value_combination",
        "call": {"method": "mean_z", "words": "mean z (t test of the z values)"},
        "data": {"p": P},
        "results": {"statistic": None, "p_value": pvalue},
        "rtol": 1e-7,
        "atol": 1e-12,
    }


def test_the_normal_tail_is_settled_and_nothing_else() -> None:
    assert "`normal_tail_of_t`" in TEXT
    found = mx.bias.combine_pvalues(P, "mean-z")
    normal = float(stats.norm.sf(found.statistic))
    case = case_with(normal)
    actual: dict[str, Any] = combined(case, case["data"])
    assert not settle(case, actual).different
    assert adjust_rules.rules_of(case) == [adjust_rules.normal_tail_of_t]
    assert settle(case, actual | {"p_value": actual["p_value"] * 1.01}).different
    assert settle(case_with(normal * 1.001), actual).different


@pytest.mark.parametrize("method", ["fisher", "wilkinson_r2", "invt"])
def test_other_methods_have_no_rule(method: str) -> None:
    case = case_with(0.1) | {"call": {"method": method}}
    assert adjust_rules.rules_of(case) == []
