"""Which cases are compared by a rule because the reference is not the better answer.

Every case is compared plainly first, at its own tolerance. Only where that finds a difference do the rules of
its topic speak: each states a way in which the reference can be the worse one, compares whatever can be
compared, and demands proof from the data of the case for the rest. DISAGREEMENTS.md tells what each found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.reference import (
    adjust_rules,
    asymmetry_rules,
    conditional_rules,
    conversion_rules,
    count_rules_mixed,
    count_rules_pooled,
    counting_rules,
    effect_rules,
    location_scale_rules,
    model_test_rules,
    multilevel_rules,
    one_level_rules,
    selection_rules,
)
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare

Rule = Callable[[Case, dict[str, Any]], Comparison]


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under, by what it asks."""
    if case["topic"] == "location_scale":
        return list(location_scale_rules.RULES)
    if case["topic"] == "tests":
        return list(model_test_rules.rules_of(case))
    topics = (
        multilevel_rules,
        effect_rules,
        conversion_rules,
        one_level_rules,
        adjust_rules,
        asymmetry_rules,
        conditional_rules,
        count_rules_mixed,
        count_rules_pooled,
        counting_rules,
        selection_rules,
    )
    return [rule for topic in topics for rule in topic.rules_of(case)]


def settle(case: Case, actual: dict[str, Any]) -> Comparison:
    """Compare a result with the reference: plainly, and by its rules where that finds a difference.

    Where no rule explains the difference, the plain comparison stands.
    """
    plain = compare(actual, case["results"], case["rtol"], case["atol"])
    if not plain.different:
        return plain
    for rule in rules_of(case):
        found = rule(case, actual)
        if not found.different:
            return found
    return plain


def settle_refusal(case: Case, actual: dict[str, Any]) -> Comparison:
    """Say whether a result is right where the reference refuses: only if a rule of its kind proves it."""
    for rule in (*asymmetry_rules.refusals_of(case), *counting_rules.refusals_of(case)):
        found = rule(case, actual)
        if not found.different:
            return found
    return Comparison(different=["the reference refuses, we return a result"])
