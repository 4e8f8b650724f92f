"""Comparing results with reference values, field by field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

# Fields that describe the reference run rather than a result.
BOOKKEEPING = frozenset(
    {
        "control_used",
        "rows_used",
        "formula",
        "note",
        "notes",
        "log_likelihood_spread_over_optimizers",
        "pseudo_ci_words",  # how the region of a funnel plot is made, in words
    }
)


@dataclass
class Comparison:
    """What came of one case."""

    different: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    agreed: int = 0


def compare(actual: Any, expected: Any, rtol: float, atol: float) -> Comparison:
    """Compare `actual` with `expected`; fields that `actual` lacks are listed as absent."""
    found = Comparison()
    _walk(actual, expected, "", rtol, atol, found)
    return found


def demand(found: Comparison, words: str, holds: bool) -> None:
    """Count a condition that holds as agreement; one that does not is a difference in these words."""
    if holds:
        found.agreed += 1
    else:
        found.different.append(words)


def _walk(actual: Any, expected: Any, path: str, rtol: float, atol: float, found: Comparison) -> None:
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            found.different.append(f"{path}: {actual!r} for a record")
            return
        for key, value in expected.items():
            if key in BOOKKEEPING:
                continue
            inner = f"{path}.{key}" if path else key
            if key in actual:
                _walk(actual[key], value, inner, rtol, atol, found)
            else:
                found.absent.append(inner)
        return
    if isinstance(expected, list):
        values = _as_list(actual)
        if len(values) != len(expected):
            found.different.append(f"{path}: {len(values)} entries for {len(expected)}")
            return
        for i, (one, other) in enumerate(zip(values, expected, strict=True)):
            _walk(one, other, f"{path}[{i}]", rtol, atol, found)
        return
    if _equal(actual, expected, rtol, atol):
        found.agreed += 1
    else:
        found.different.append(f"{path}: {actual!r}, reference {expected!r}")


def _as_list(value: Any) -> list[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else [value]


def _equal(actual: Any, expected: Any, rtol: float, atol: float) -> bool:
    if expected is None:
        return actual is None or (isinstance(actual, float) and math.isnan(actual))
    if isinstance(expected, bool) or (isinstance(expected, str) and expected not in ("Inf", "-Inf")):
        return bool(actual == expected)
    reference = {"Inf": math.inf, "-Inf": -math.inf}.get(expected, expected)
    if actual is None or isinstance(actual, str):
        return False
    number = float(actual)
    if math.isinf(reference) or math.isnan(number):
        return number == reference
    return abs(number - reference) <= atol + rtol * abs(reference)
