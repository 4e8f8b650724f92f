"""Rules for whole kinds of one-level cases where the reference stops short of the solution.

A rule applies by what the case asks and by what the reference itself says (a tau2 that is 0 but for
rounding), never by the name of a case. It compares all that can be compared and demands proof for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import metaexo as mx
from metaexo.numeric.quadratic_form import chi2_mixture
from tests.reference.adapters.models import fit_case
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare

Rule = Callable[[Case, dict[str, Any]], Comparison]

# The reference solves for the bounds of the generalised Q with R's default tolerance, eps^(1/4), in tau2.
ROOT_TOLERANCE = 1.3e-4
# Its iterations stop at a tau2 below this where the solution is 0.
ALMOST_ZERO = 1e-13
# The kind of case that was iterated with the reference's default threshold, 1e-5 in tau2.
ZERO_VARIANCES = "some sampling variances are zero"
# R2 from the log-likelihoods without and with moderators, the first and the second argument.
OF_LIKELIHOODS: dict[str, Callable[[float, float, int], float]] = {
    "5": lambda null, full, k: 1 - full / null,
    "6": lambda null, full, k: -math.expm1(2 * (null - full) / k),
    "7": lambda null, full, k: math.expm1(2 * (null - full) / k) / math.expm1(2 * null / k),
    "8": lambda null, full, k: 1 - full / null,
}
SCALES = ("tau2", "tau", "I2_percent", "H2")


def rule_of(case: Case) -> Rule | None:
    """Return the rule that a case falls under, if any."""
    results = case["results"]
    if case["topic"] == "heterogeneity_intervals":
        if case["call"]["interval_type"] == "GENQ" and not results["interval_is_null_set"]:
            return loose_roots
        if 0 < results["tau2"]["estimate"] < ALMOST_ZERO:
            return interval_at_zero
    if case["topic"] == "alternative_definitions" and case["call"].get("definition") in OF_LIKELIHOODS:
        return None if case["call"]["tau2_method"] in ("ML", "REML") else mixed_likelihoods
    if case["topic"] == "stress_behaviour" and case["call"]["behaviour"] == ZERO_VARIANCES:
        return default_threshold if case["call"]["tau2_method"] in ("ML", "REML") else None
    if case["topic"] in ("random_effects", "meta_regression") and 0 < results["tau2"] < ALMOST_ZERO:
        return fit_at_zero
    return None


def _demand(found: Comparison, words: str, holds: bool) -> None:
    if holds:
        found.agreed += 1
    else:
        found.different.append(words)


def _without(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def loose_roots(case: Case, actual: dict[str, Any]) -> Comparison:
    """Bounds of the generalised Q: ours have the exact probability, theirs are within their tolerance."""
    expected, rtol, atol = case["results"], case["rtol"], case["atol"]
    found = compare(actual, _without(expected, SCALES), rtol, atol)
    ends = ("ci_lower", "ci_upper")
    for scale in SCALES:
        part = {scale: {"estimate": expected[scale]["estimate"]}}
        inner = compare(actual, part, rtol, atol)
        found.different += inner.different
        found.agreed += inner.agreed
    tail = (1 - case["call"]["interval_level_percent"] / 100) / 2
    for end, target in zip(ends, (1 - tail, tail), strict=True):
        ours, theirs = actual["tau2"][end], expected["tau2"][end]
        allowed = ROOT_TOLERANCE + rtol * abs(theirs)
        _demand(found, f"{end} {ours!r}, reference {theirs!r}", abs(ours - theirs) <= allowed)
        if theirs == 0 or ours == 0:
            continue
        off, reference_off = (abs(probability_below(case, tau2) - target) for tau2 in (ours, theirs))
        _demand(found, f"{end}: the probability at ours is off by {off:.2e}", off < 1e-10)
        _demand(found, f"{end}: theirs is nearer, off by {reference_off:.2e}", off <= reference_off)
    return found


def probability_below(case: Case, tau2: float) -> float:
    """Return P(Q <= observed) at a tau2, by dense eigenvalues."""
    fit = fit_case(case, case["data"])
    x, a = fit.design.matrix(fit.k), fit.weighting
    dense = np.diag(a) - (a[:, None] * x) @ np.linalg.solve((x.T * a) @ x, x.T * a)
    root = np.sqrt(fit.effects.v + tau2)
    eigenvalues = np.linalg.eigvalsh(root[:, None] * dense * root)[fit.design.p :]
    return chi2_mixture(float(fit.effects.y @ dense @ fit.effects.y), eigenvalues)[0]


def fit_at_zero(case: Case, actual: dict[str, Any]) -> Comparison:
    """The solution is 0, the reference stops just above it: its tau is the root of a rounding error."""
    expected = case["results"]
    found = compare(actual, _without(expected, ("tau",)), case["rtol"], case["atol"])
    _demand(found, f"tau {actual['tau']!r} is not 0", actual["tau"] == 0)
    _demand(found, "the reference's tau", math.isclose(expected["tau"], math.sqrt(expected["tau2"])))
    fit = fit_case(case, case["data"])
    _demand(found, "0 is no boundary solution", fit.certificate.at_boundary and not fit.certificate.score > 0)
    return found


def mixed_likelihoods(case: Case, actual: dict[str, Any]) -> Comparison:
    """R2 of a moment fit: the reference compares a restricted likelihood with an unrestricted one."""
    call, expected = case["call"], case["results"]
    found = compare(actual, _without(expected, ("R2_percent",)), case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    full = mx.RandomEffects(es, call["moderator_formula"]).fit(method=call["tau2_method"])
    null = mx.RandomEffects(es).fit(method=call["tau2_method"]).fit_statistics(restricted=False).llf
    for restricted, value in ((True, expected["R2_percent"]), (False, actual["R2_percent"])):
        own = OF_LIKELIHOODS[call["definition"]](null, full.fit_statistics(restricted).llf, full.k)
        same = math.isclose(value, 100 * max(0.0, own), rel_tol=1e-6)
        _demand(found, f"R2 {value!r} is not {own!r}", same or (call["definition"] == "8" and not restricted))
    return found


def default_threshold(case: Case, actual: dict[str, Any]) -> Comparison:
    """The reference stops early: the numbers are near, and our likelihood is not below its."""
    found = compare(actual, case["results"], 1e-4, 1e-7)
    kind = case["call"]["tau2_method"]
    ours, theirs = (x["fit_statistics"][kind]["log_likelihood"] for x in (actual, case["results"]))
    _demand(found, f"log-likelihood {ours!r} below the reference's {theirs!r}", ours >= theirs)
    return found


def interval_at_zero(case: Case, actual: dict[str, Any]) -> Comparison:
    """Intervals of such a fit: on scales with no standard error at 0, ours excludes nothing."""
    expected = case["results"]
    found = compare(actual, _without(expected, SCALES), case["rtol"], case["atol"])
    _demand(found, "tau is not 0", actual["tau"]["estimate"] == 0)
    scaleless = case["call"]["interval_type"] in ("Wald.log", "Wald.sqrt")
    for scale in SCALES:
        left = ("estimate",) if scale == "tau" else ()
        left += ("ci_upper",) if scaleless else ()
        inner = compare(actual, {scale: _without(expected[scale], left)}, case["rtol"], case["atol"])
        found.different += inner.different
        found.agreed += inner.agreed
    if scaleless:
        theirs = float(str(expected["tau2"]["ci_upper"]).lower())
        ours = actual["tau2"]["ci_upper"]
        _demand(found, f"upper bounds {ours!r} and {theirs!r}", theirs > 1e9 and ours in (None, math.inf))
    return found
