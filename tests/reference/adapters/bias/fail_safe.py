"""Fail-safe N."""

from __future__ import annotations

from typing import Any

import metaexo as mx
from tests.reference.adapters.models import fit_case
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case


def fail_safe_n(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the number and what it is of."""
    call = case["call"]
    kind = call["type"].split()[0].lower()
    choices: dict[str, Any] = {"significance": call.get("alpha", 0.05)}
    choices["weighted"] = call.get("weighted", False)
    if kind == "rosenthal":
        choices["pooling"] = call["pooling"].split(",")[0].lower()
    results = fit_case(case, data, test="z") if kind == "general" else plain_effects(data)
    found = mx.bias.fail_safe_n(results, kind, **choices)
    return {
        "fail_safe_n": found.number,
        "p_observed": found.pvalue,
        "average": found.average,
        "target": found.target,
        "tau2": found.tau2,
        "average_with_added": found.average_with,
        "p_with_added": found.pvalue_with,
        "tau2_with_added": found.tau2_with,
    }


MODELS = {("publication_bias", "fail_safe_N"): fail_safe_n}
