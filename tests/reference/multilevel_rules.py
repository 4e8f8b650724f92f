"""Multilevel cases where the reference stops short of the solution.

A rule applies by what the case asks and by what the reference itself says, never by the name of a case, and
is used only where the values differ. It compares all that can be compared and demands proof for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from metaexo.errors import MetaexoError
from tests.reference.adapters.multilevel import base_fit, make_fit, numbers
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
# Optimisers of the reference that differ by more than this in log-likelihood did not all arrive.
APART = 1e-4
# How near, relatively, the reference's values must be where it stopped on a flat likelihood.
FLAT_RTOL = 1e-3
# A range of so many distances makes the correlation a straight line: variance over range is all there is.
ENDLESS = 100.0
# A variance below this share of the typical sampling variance may be the optimiser's way to say 0.
NOTHING = 1e-6
# How much higher a likelihood must be to be another maximum.
HIGHER = 1e-6
STRUCTURED = (("inner_outer_1", "tau2", "rho"), ("inner_outer_2", "gamma2", "phi"))


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a multilevel case may fall under."""
    if case["topic"] not in ("multilevel", "multilevel_groups") or case["results"] is None:
        return []
    if "F_df2" in case["results"]:
        return [joint_test_below_one_df]
    if case["call"]["model"] == "profile_likelihood_interval":
        return [profile_limits]
    if case["call"]["model"] != "multilevel_multivariate" or "fit_statistics" not in case["results"]:
        return []
    structure = case["results"].get("inner_outer_1")
    if structure is not None and structure["structure"] == "SPSPH":
        return [endless_range, stopped_early]
    return [no_correlation, stopped_early, local_maximum]


def _farthest(case: Case) -> float:
    return max(max(row) for row in case["inputs"][case["call"]["distance_input"]]["D"])


def _gained(case: Case, actual: Fields) -> float:
    """Return by how much our log-likelihood is higher, in units of the reference's rounding error."""
    kind = case["call"]["method"]
    ours = actual["fit_statistics"][kind]["log_likelihood"]
    theirs = case["results"]["fit_statistics"][kind]["log_likelihood"]
    return float((ours - theirs) / (1e-9 * (1 + abs(theirs))))


def joint_test_below_one_df(case: Case, actual: Fields) -> Comparison:
    """An F distribution on fewer than 1 denominator df: by ours there is no p-value."""
    expected = dict(case["results"])
    theirs = expected.pop("F_p")
    found = compare(actual, expected, case["rtol"], case["atol"])
    demand(found, f"the reference has {expected['F_df2']!r} df", expected["F_df2"] < 1)
    demand(found, f"our p is {actual['F_p']!r}", bool(np.isnan(actual["F_p"])))
    right = float(stats.f.sf(expected["F"], expected["F_df1"], expected["F_df2"]))
    demand(found, "the reference's p", math.isclose(theirs, right, rel_tol=1e-6))
    return found


def no_correlation(case: Case, actual: Fields) -> Comparison:
    """Effects that do not vary have no correlation: ours is missing, all else is compared."""
    expected, ours = dict(case["results"]), dict(actual)
    dropped = 0
    for key, variance, correlation in STRUCTURED:
        if key not in expected or expected[key][correlation] == [0]:
            continue
        theirs, own = expected[key], np.asarray(ours[key][correlation], dtype=float)
        still = np.isnan(own) & _still(case, theirs, variance, own.size)
        dropped += int(still.sum())
        expected[key] = theirs | {
            correlation: [x for x, gone in zip(theirs[correlation], still, strict=True) if not gone]
        }
        ours[key] = ours[key] | {correlation: own[~still]}
    found = compare(ours, expected, case["rtol"], case["atol"])
    demand(found, "no correlation of effects that do not vary", dropped > 0)
    return found


def _still(case: Case, theirs: Fields, variance: str, count: int) -> np.ndarray:
    """Say which correlations of the reference belong to effects that do not vary."""
    tiny = np.asarray(theirs[variance]) <= NOTHING * float(np.mean(case["data"]["vi"]))
    if tiny.size == 1 or count == 1:  # one correlation for all: two levels that vary would tell it
        return np.full(count, (~tiny).sum() < min(2, tiny.size))
    pairs = list(combinations(range(tiny.size), 2))
    return np.array([tiny[i] or tiny[j] for i, j in pairs]) if len(pairs) == count else np.zeros(count, bool)


def stopped_early(case: Case, actual: Fields) -> Comparison:
    """The reference's optimisers do not agree, or stopped lower: near is enough if ours is as high."""
    near = FLAT_RTOL * max(case["results"]["se"])
    found = compare(actual, case["results"], FLAT_RTOL, max(case["atol"], near))
    gained = _gained(case, actual)
    spread = case["results"].get("log_likelihood_spread_over_optimizers") or 0.0
    demand(found, "the reference arrived", spread > APART or gained > 1)
    demand(found, "our likelihood is lower", gained > -1)
    return found


def local_maximum(case: Case, actual: Fields) -> Comparison:
    """The reference ended at a lower maximum: held at its components, our fit gives all its values.

    What does not depend on the components is compared as it is, and our own values must be those of a fit
    held at our components, with a higher likelihood.
    """
    expected = case["results"]
    kept = {key: expected[key] for key in ("n_effects", "p", "coefficient_names", "QE", "QE_df", "QE_p")}
    found = compare(actual, kept, case["rtol"], case["atol"])
    try:
        theirs, ours = (_held(case, _components_of(one)) for one in (expected, actual))
    except MetaexoError as error:
        demand(found, f"not held at the components: {error}", False)
        return found
    kind = case["call"]["method"]
    gain = ours["fit_statistics"][kind]["log_likelihood"] - theirs["fit_statistics"][kind]["log_likelihood"]
    demand(found, "our likelihood is not higher", gain > HIGHER)
    for whose, held, said in (("its", theirs, expected), ("our", ours, actual)):
        again = compare(
            said, {key: _listed(value) for key, value in held.items()}, case["rtol"], case["atol"]
        )
        demand(found, f"held at {whose} components: {again.different}", not again.different)
    return found


def _held(case: Case, components: list[float]) -> Fields:
    """Return what a fit held at given components finds."""
    fit = make_fit(case, components)
    likelihoods = {
        kind: {"log_likelihood": fit.fit_statistics(kind == "REML").llf} for kind in ("ML", "REML")
    }
    return numbers(fit) | {"QM": fit.moderator_test.statistic, "fit_statistics": likelihoods}


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _components_of(expected: Fields) -> list[float]:
    """Return the components of a reference in our order."""
    out = list(expected["sigma2"]["estimate"]) if "sigma2" in expected else []
    for key, variance, correlation in STRUCTURED:
        if key in expected:
            plain = expected[key]["structure"] in ("DIAG", "ID", "GDIAG")
            out += list(expected[key][variance]) + ([] if plain else list(expected[key][correlation]))
    return out


def endless_range(case: Case, actual: Fields) -> Comparison:
    """Variance and range grow together for ever: their ratio, the likelihood and Q are what the data know."""
    expected = case["results"]
    kept = {key: expected[key] for key in ("n_effects", "p", "coefficient_names", "QE", "QE_df", "QE_p")}
    found = compare(actual, kept, case["rtol"], case["atol"])
    demand(found, "the range is short", expected["inner_outer_1"]["rho"][0] > ENDLESS * _farthest(case))
    demand(found, "our likelihood is lower", _gained(case, actual) > -1)
    ratio = [r["inner_outer_1"]["tau2"][0] / r["inner_outer_1"]["rho"][0] for r in (actual, expected)]
    demand(found, f"variance over range {ratio}", math.isclose(*ratio, rel_tol=case["rtol"]))
    return found


def profile_limits(case: Case, actual: Fields) -> Comparison:
    """Limits at which the reference's search stopped or failed: ours lie beyond them, with proof.

    The deviance of a limit that the reference does not reach must, by our refit, still be below the quantile
    at the reference's limit: refitting finds a likelihood at least as high as the reference knew.
    """
    expected, rtol, atol = dict(case["results"]), case["rtol"], case["atol"]
    name = next(iter(expected))
    theirs = expected[name]
    found = compare(actual, {name: {"estimate": theirs["estimate"]}}, rtol, atol)
    for side, note in (("ci_lower", "lower_note"), ("ci_upper", "upper_note")):
        ours, limit = float(actual[name][side]), theirs[side]
        if limit is None:
            demand(found, f"{side}: no deviance of the quantile", _at_quantile(case, ours))
        elif not compare({side: ours}, {side: limit}, rtol, atol).different:
            found.agreed += 1
        else:
            beyond = ours < limit if side == "ci_lower" else ours > limit
            inside = _deviance(case, limit) < QUANTILE - 0.01
            demand(found, f"{side}: {ours}, reference {limit} {expected[note]}", beyond and inside)
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
