"""Cases on trim and fill, fail-safe N and excess significance where the reference is the worse answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from scipy import integrate, stats

import metaexo as mx
from metaexo.models import RandomEffectsResults
from tests.reference.adapters.models import described
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]

THRESHOLD = 1e-5  # change of tau2 at which the reference's iteration stops by default
EIGENVALUE = 1e-7  # of X'X, below which the reference takes a design as not of full rank, whatever its scale
FEW = 2  # by how many studies the reference's rounded root may miss the least number


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    call = case["call"]
    if case["topic"] != "publication_bias" or case["results"] is None:
        return []
    if call.get("procedure") == "trim and fill":
        return [early_refit] if call["tau2_method"] == "REML" else []
    if call["model"] == "fail_safe_N":
        kind = call["type"].split()[0]
        return {"Rosenthal": [loose_fisher], "Binomial": [zeros_as_negative], "General": [loose_general]}.get(
            kind, []
        )
    if call["model"] == "test_of_excess_significance":
        return [] if call["effect"].startswith("equal-effects") else [rough_power]
    return []


def refusals_of(case: Case) -> list[Rule]:
    """Return the rules by which a refusal of the reference may not be ours."""
    trimmed = case["topic"] == "publication_bias" and case["call"].get("procedure") == "trim and fill"
    return [small_slope_design] if trimmed and case["call"]["side"].startswith("automatic") else []


def small_slope_design(case: Case, actual: Fields) -> Comparison:
    """The reference refuses the regression that chooses the side by an absolute tolerance on eigenvalues.

    With 60 decimal digits the standard errors differ, so that their slope has a sign, and it chooses our
    side whether tau2 is 0, that of the fit, or large.
    """
    found = Comparison()
    data = case["data"]
    with localcontext() as context:
        context.prec = 60
        y, v = ([Decimal(x) for x in data[name]] for name in ("yi", "vi"))
        x = [one.sqrt() for one in v]
        design = np.column_stack((np.ones(len(x)), [float(one) for one in x]))
        least = float(np.linalg.eigvalsh(design.T @ design)[0])
        demand(found, f"the smallest eigenvalue is {least!r}", least < EIGENVALUE)
        demand(found, "standard errors are equal", max(x) - min(x) > Decimal("1e-9") * max(x))
        for tau2 in (Decimal(0), Decimal(actual["tau2"]), 100 * max(v)):
            w = [1 / (one + tau2) for one in v]
            middle = sum(a * b for a, b in zip(w, x, strict=True)) / sum(w)
            slope = sum(a * (b - middle) * c for a, b, c in zip(w, x, y, strict=True))
            demand(
                found,
                f"slope {slope:.3g} at {tau2:.3g}",
                actual["side"] == ("right" if slope < 0 else "left"),
            )
    return found


def restricted(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Return the restricted log-likelihood of a mean, less its constant, from dense matrices."""
    w = np.diag(1 / (v + tau2))
    one = np.ones((y.size, 1))
    inner = one.T @ w @ one
    projector = w - w @ one @ np.linalg.solve(inner, one.T @ w)
    return 0.5 * float(np.linalg.slogdet(w)[1] - np.linalg.slogdet(inner)[1] - y @ projector @ y)


def demand_early(found: Comparison, y: np.ndarray, v: np.ndarray, ours: float, theirs: float) -> None:
    """Demand that ours is the higher likelihood and the reference's tau2 within its default threshold."""
    unit = float(np.std(y)) or 1.0  # so that effects of any size lose no digits
    heights = [restricted(y / unit, v / unit**2, tau2 / unit**2) for tau2 in (ours, theirs)]
    demand(found, f"restricted log-likelihoods {heights!r}", heights[0] >= heights[1] - 1e-12)
    near = THRESHOLD * max(1.0, theirs)
    demand(found, f"tau2 is {ours!r}, reference {theirs!r}", abs(ours - theirs) <= near)


def early_refit(case: Case, actual: Fields) -> Comparison:
    """The reference refits with its default threshold: the same effects, and a tau2 that stopped early.

    Numbers of missing studies, their effects and variances are compared as usual. At the reference's own
    tau2 the fit to these effects must give all of its numbers, and the likelihood must be higher at ours.
    """
    expected = case["results"]
    whole = ("k0", "se_k0", "p_k0", "side", "k_total", "filled_vi")
    found = compare(actual, {n: expected[n] for n in whole if n in expected}, case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    y = np.concatenate((es.y, np.asarray(actual["filled_yi"])))
    v = np.concatenate((es.v, np.asarray(actual["filled_vi"])))
    demand_early(found, y, v, actual["tau2"], expected["tau2"])
    if "filled_yi" in expected:
        # Mirrored at a mean whose own tau2 stopped early: nearer than that moves any standard error.
        off = np.abs(np.asarray(actual["filled_yi"]) - np.asarray(expected["filled_yi"]))
        demand(found, f"filled effects are off by {off!r}", bool((off <= THRESHOLD * np.sqrt(v).max()).all()))
        y = np.concatenate((es.y, np.asarray(expected["filled_yi"], dtype=float)))
    given = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="REML", test="z", tau2=expected["tau2"])
    values = described(given, "z") | {"se_tau2": _expected_information_se(v, expected["tau2"])}
    rest = {name: value for name, value in expected.items() if name not in (*whole, "filled_yi")}
    if not isinstance(rest["estimate"], list):
        values |= {n: float(np.asarray(values[n])[0]) for n in ("estimate", "se", "ci_lower", "ci_upper")}
    inner = compare(values, rest, case["rtol"], case["atol"])
    found.different += inner.different
    found.absent += inner.absent
    found.agreed += inner.agreed
    return found


def _expected_information_se(v: np.ndarray, tau2: float) -> float:
    """Return the standard error of a REML estimate of tau2, by the expected information."""
    w = 1 / (v + tau2)
    projector = np.diag(w) - np.outer(w, w) / w.sum()
    return math.sqrt(2 / float((projector**2).sum()))


# -- fail-safe N --------------------------------------------------------------------------------------------


def demand_least(
    found: Comparison, pvalue: Callable[[int], float], ours: int, theirs: int, level: float
) -> None:
    """Demand that our number is the least that is not significant, and the reference's near and not."""
    demand(found, f"p at our {ours} is {pvalue(ours)!r}", pvalue(ours) > level)
    demand(found, f"{ours - 1} would do", ours == 0 or pvalue(ours - 1) <= level)
    demand(found, f"{ours}, reference {theirs}", 0 < abs(ours - theirs) <= FEW)


def loose_fisher(case: Case, actual: Fields) -> Comparison:
    """The number is a root that the reference seeks with a loose tolerance; ours is the least that is enough.

    By the p-values themselves, combined study by study.
    """
    expected = case["results"]
    found = compare(actual, {"p_observed": expected["p_observed"]}, case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    log_p = stats.norm.logsf(np.abs(es.y) / np.sqrt(es.v))

    def pvalue(added: int) -> float:
        statistic = -2 * (log_p.sum() + added * math.log(0.5))
        return float(stats.chi2.sf(statistic, 2 * (es.k + added)))

    demand(found, "pooling", case["call"].get("pooling") == "Fisher")
    demand_least(
        found, pvalue, actual["fail_safe_n"], expected["fail_safe_n"], case["call"].get("alpha", 0.05)
    )
    return found


def zeros_as_negative(case: Case, actual: Fields) -> Comparison:
    """The reference counts effects of exactly 0 as negative, so that its answer changes with the direction.

    Without a sign they say nothing about it. The reference's p must be that with zeros counted as negative,
    ours that of the others.
    """
    expected = case["results"]
    es = plain_effects(case["data"])
    plus, minus, zero = (int(mask.sum()) for mask in (es.y > 0, es.y < 0, es.y == 0))
    found = Comparison()
    theirs = stats.binomtest(plus, plus + minus + zero).pvalue
    demand(found, f"reference p {expected['p_observed']!r}", math.isclose(theirs, expected["p_observed"]))
    ours = stats.binomtest(plus, plus + minus).pvalue
    demand(found, f"our p {actual['p_observed']!r}", math.isclose(ours, actual["p_observed"], rel_tol=1e-9))
    demand(found, "there are no zeros", zero > 0)
    most, n = max(plus, minus), actual["fail_safe_n"]
    levels = [
        stats.binomtest(most + pairs, plus + minus + 2 * pairs).pvalue
        for pairs in (n // 2, n // 2 - 1)
        if pairs >= 0
    ]
    demand(found, f"p at our {n}: {levels!r}", levels[0] > 0.05 and (n == 0 or levels[1] <= 0.05))
    wrong = max(plus, minus + zero)
    pairs = 0
    while stats.binomtest(wrong + pairs, es.k + 2 * pairs).pvalue <= 0.05:
        pairs += 1
    demand(found, f"reference {expected['fail_safe_n']}", expected["fail_safe_n"] == 2 * pairs)
    return found


def loose_general(case: Case, actual: Fields) -> Comparison:
    """The number is a rounded root of a loose search, of a fit that stopped early.

    The same formula, at the reference's tau2 and number, must give all of its values; by it, our number must
    be the least at our tau2, and the likelihood of REML higher there.
    """
    expected, method = case["results"], case["call"]["tau2_method"]
    level = case["call"].get("alpha", 0.05)
    es = plain_effects(case["data"])
    found = Comparison()

    def with_added(tau2: float, added: int) -> Fields:
        typical, k = stats.hmean(es.v), es.k
        w = 1 / (es.v + tau2)
        mean = float(w @ es.y / w.sum())
        between = tau2
        if added and method != "EE":
            apart = k * (mean - k * mean / (k + added)) ** 2 + added * (k * mean / (k + added)) ** 2
            between = ((k - 1) * tau2 + (added - 1) * tau2 + apart) / (k + added - 1)
        w = np.append(1 / (es.v + between), np.full(added, 1 / (typical + between)))
        after = float(np.append(es.y, np.zeros(added)) @ w / w.sum())
        p = float(2 * stats.norm.sf(abs(after) * math.sqrt(w.sum())))
        return {"average_with_added": after, "p_with_added": p, "tau2_with_added": between}

    for record in (actual, expected):
        plain = with_added(record["tau2"], 0)
        values = with_added(record["tau2"], record["fail_safe_n"])
        values |= {"average": plain["average_with_added"], "p_observed": plain["p_with_added"]}
        inner = compare(values, {name: record[name] for name in values}, case["rtol"], case["atol"])
        found.different += inner.different
        found.agreed += inner.agreed
    ours, theirs = actual["fail_safe_n"], expected["fail_safe_n"]
    least = [with_added(actual["tau2"], n)["p_with_added"] for n in (ours, max(ours - 1, 0))]
    demand(
        found, f"p at our {ours} and before: {least!r}", least[0] > level and (ours == 0 or least[1] <= level)
    )
    demand(found, f"{ours}, reference {theirs}", abs(ours - theirs) <= FEW)
    if method == "REML":
        demand_early(found, es.y, es.v, actual["tau2"], expected["tau2"])
    else:
        inner = compare({"tau2": actual["tau2"]}, {"tau2": expected["tau2"]}, case["rtol"], case["atol"])
        found.different += inner.different
    return found


# -- excess significance ------------------------------------------------------------------------------------


def rough_power(case: Case, actual: Fields) -> Comparison:
    """The reference averages power by one quadrature over a part of the range, of a fit that stopped early.

    Its chi-square must be that of its own expected number. Powers that differ by more than the tolerance must
    be nearer to adaptive quadrature in ours.
    """
    expected = case["results"]
    first = {name: expected[name] for name in ("observed", "theta")}
    found = compare(actual, first, case["rtol"], case["atol"])
    k = len(expected["power"])
    for record in (actual, expected):
        off = (record["observed"] - record["expected"]) ** 2
        statistic = off / record["expected"] + off / (k - record["expected"])
        half = float(stats.chi2.sf(statistic, 1)) / 2
        p = half if record["observed"] >= record["expected"] else 1 - half
        near = math.isclose(statistic, record["chi2"], rel_tol=1e-6, abs_tol=1e-12)
        demand(found, f"chi-square {record['chi2']!r}, {statistic!r}", near)
        demand(found, f"p {record['chi2_p']!r}, {p!r}", math.isclose(p, record["chi2_p"], rel_tol=1e-6))
        total = float(np.sum(record["power"]))
        demand(
            found, f"expected {record['expected']!r}", math.isclose(total, record["expected"], rel_tol=1e-9)
        )
    fit = mx.RandomEffects(plain_effects(case["data"])).fit(method="REML", test="z")
    ours, theirs = (np.asarray(record["power"], dtype=float) for record in (actual, expected))
    for i in np.flatnonzero(np.abs(ours - theirs) > case["atol"] + case["rtol"] * np.abs(theirs)):
        true = averaged_power(fit, float(np.sqrt(fit.effects.v[i])))
        off = abs(ours[i] - true), abs(theirs[i] - true)
        demand(found, f"power {i} is off by {off[0]:.1e}", off[0] <= 1e-8 and off[0] < off[1])
    return found


def averaged_power(fit: RandomEffectsResults, se: float) -> float:
    """Return the chance of a z beyond 1.96 over the true effects, by quadrature of its complement."""
    critical = stats.norm.isf(0.025)

    def missed(z: float) -> float:
        return float(stats.norm.pdf(z * se, fit.estimate, math.hypot(fit.tau, se)) * se)

    return 1 - integrate.quad(missed, -critical, critical, epsabs=1e-13, epsrel=1e-12)[0]
