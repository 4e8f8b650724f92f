"""Cases on adjusted estimates and combined p-values where the reference's value is the worse one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    if case["topic"] == "p_value_combination" and case["call"]["method"] == "mean_z":
        return [normal_tail_of_t]
    return []


def normal_tail_of_t(case: Case, actual: Fields) -> Comparison:
    """The mean of k normal values over its estimated standard error has a t distribution on k - 1 df.

    That is how the case describes the method. The reference takes the normal tail of the same statistic.
    """
    expected = case["results"]
    rest = {name: value for name, value in expected.items() if name != "p_value"}
    found = compare(actual, rest, case["rtol"], case["atol"])
    z = stats.norm.isf(np.array(case["data"]["p"], dtype=float))
    statistic = stats.ttest_1samp(z, 0).statistic
    theirs, ours = float(stats.norm.sf(statistic)), float(stats.t.sf(statistic, z.size - 1))
    demand(found, "the reference's p", math.isclose(theirs, expected["p_value"], rel_tol=case["rtol"]))
    demand(found, f"our p is {actual['p_value']!r}", math.isclose(ours, actual["p_value"], rel_tol=1e-10))
    return found
