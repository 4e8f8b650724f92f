"""Rules for kinds of multilevel cases where the reference stops short of the solution.

A rule applies by what the case asks and by what the reference itself says, never by the name of a case. It
compares all that can be compared and demands proof for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.reference.adapters.multilevel import base_fit
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare

Rule = Callable[[Case, dict[str, Any]], Comparison]
# Optimisers of the reference that differ by more than this in log-likelihood did not all arrive.
APART = 1e-4
# How near, relatively, the reference's values must be where it stopped on a flat likelihood.
FLAT_RTOL = 1e-3
# A range of so many distances makes the correlation a straight line: variance over range is all there is.
ENDLESS = 100.0


def rule_of(case: Case) -> Rule | None:
    """Return the rule that a multilevel case falls under, if any."""
    if case["topic"] != "multilevel" or case["results"] is None:
        return None
    results = case["results"]
    if case["call"]["model"] == "profile_likelihood_interval":
        return profile_limits
    structure = results.get("inner_outer_1")
    if structure is None:
        return None
    if structure["tau2"] == [0] and structure["structure"] in ("CS", "AR", "CAR"):
        return no_correlation
    if structure["structure"] == "SPSPH" and structure["rho"][0] > ENDLESS * _farthest(case):
        return endless_range
    spread = results.get("log_likelihood_spread_over_optimizers")
    if structure["structure"] in ("UN", "SPLIN") and spread is not None and spread > APART:
        return stopped_early
    return None


def _farthest(case: Case) -> float:
    return max(max(row) for row in case["inputs"][case["call"]["distance_input"]]["D"])


def _demand(found: Comparison, words: str, holds: bool) -> None:
    if holds:
        found.agreed += 1
    else:
        found.different.append(words)


def _higher(case: Case, actual: dict[str, Any]) -> bool:
    """Say whether our likelihood is at least the reference's, but for rounding."""
    kind = case["call"]["method"]
    ours = actual["fit_statistics"][kind]["log_likelihood"]
    theirs = case["results"]["fit_statistics"][kind]["log_likelihood"]
    return bool(ours >= theirs - 1e-9 * (1 + abs(theirs)))


def no_correlation(case: Case, actual: dict[str, Any]) -> Comparison:
    """Effects that do not vary have no correlation: ours is missing, all else is compared."""
    expected = dict(case["results"])
    structure = {key: value for key, value in expected["inner_outer_1"].items() if key != "rho"}
    found = compare(actual, expected | {"inner_outer_1": structure}, case["rtol"], case["atol"])
    _demand(found, "our correlation is not missing", math.isnan(actual["inner_outer_1"]["rho"][0]))
    return found


def stopped_early(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference's optimisers do not agree: near is enough if our likelihood is as high."""
    near = FLAT_RTOL * max(case["results"]["se"])
    found = compare(actual, case["results"], FLAT_RTOL, max(case["atol"], near))
    _demand(found, "our likelihood is lower", _higher(case, actual))
    return found


def endless_range(case: Case, actual: dict[str, Any]) -> Comparison:
    """Variance and range grow together for ever: their ratio, the likelihood and Q are what the data know."""
    expected = case["results"]
    kept = {key: expected[key] for key in ("n_effects", "p", "coefficient_names", "QE", "QE_df", "QE_p")}
    found = compare(actual, kept, case["rtol"], case["atol"])
    _demand(found, "our likelihood is lower", _higher(case, actual))
    ratio = [r["inner_outer_1"]["tau2"][0] / r["inner_outer_1"]["rho"][0] for r in (actual, expected)]
    _demand(found, f"variance over range {ratio}", math.isclose(*ratio, rel_tol=case["rtol"]))
    return found


def profile_limits(case: Case, actual: dict[str, Any]) -> Comparison:
    """Limits at which the reference's search stopped or failed: ours lie beyond them, with proof.

    The deviance of a limit that the reference does not reach must, by our refit, still be below the quantile
    at the reference's limit: refitting finds a likelihood at least as high as the reference knew.
    """
    expected, rtol, atol = dict(case["results"]), case["rtol"], case["atol"]
    plain = compare(actual, expected, rtol, atol)
    if not plain.different:
        return plain
    name = next(iter(expected))
    theirs = expected[name]
    found = compare(actual, {name: {"estimate": theirs["estimate"]}}, rtol, atol)
    for side, note in (("ci_lower", "lower_note"), ("ci_upper", "upper_note")):
        ours, limit = float(actual[name][side]), theirs[side]
        if limit is None:
            _demand(found, f"{side}: no deviance of the quantile", _at_quantile(case, ours))
        elif not compare({side: ours}, {side: limit}, rtol, atol).different:
            found.agreed += 1
        else:
            beyond = ours < limit if side == "ci_lower" else ours > limit
            inside = _deviance(case, limit) < QUANTILE - 0.01
            _demand(found, f"{side}: {ours}, reference {limit} {expected[note]}", beyond and inside)
    return found


QUANTILE = 3.841458820694124  # of chi-square with 1 degree of freedom, level 0.95


def _component(case: Case) -> str:
    fit = base_fit(case)
    kind = "correlation" if case["call"]["component"] == "rho" else "variance"
    table = fit.components
    return str(table.index[table["kind"] == kind][case["call"]["component_index_1based"] - 1])


def _deviance(case: Case, value: float) -> float:
    fit = base_fit(case)
    profile = fit.profile(_component(case), [value])
    return 2 * (profile.maximum - float(profile.llf[0]))


def _at_quantile(case: Case, value: float) -> bool:
    return math.isclose(_deviance(case, value), QUANTILE, rel_tol=1e-4)
