"""Cases on trim and fill, fail-safe N and excess significance where the reference is the worse answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from scipy import integrate, optimize, stats

import metaexo as mx
from metaexo.models import RandomEffectsResults
from tests.reference.adapters.models import described
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.asymmetry_rules import exact_regression, restricted_tau2
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]

THRESHOLD = 1e-5  # change of tau2 at which the reference's iteration stops by default
EIGENVALUE = 1e-7  # of X'X, below which the reference takes a design as not of full rank, whatever its scale
# What trimming finds; all else is of the fit to the effects with those filled in.
OF_TRIMMING = ("k0", "se_k0", "p_k0", "side", "k_total", "filled_yi", "filled_vi")
FEW = 2  # by how many studies the reference's rounded root may miss the least number


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    call = case["call"]
    if case["topic"] != "publication_bias" or case["results"] is None:
        return []
    if call.get("procedure") == "trim and fill":
        return [early_refit, early_trim] if call["tau2_method"] == "REML" else []
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
    side where the restricted likelihood of the regression is highest.
    """
    found = Comparison()
    data = case["data"]
    with localcontext() as context:
        context.prec = 60
        x = [Decimal(one).sqrt() for one in data["vi"]]
        design = np.column_stack((np.ones(len(x)), [float(one) for one in x]))
        least = float(np.linalg.eigvalsh(design.T @ design)[0])
        demand(found, f"the smallest eigenvalue is {least!r}", least < EIGENVALUE)
        demand(found, "standard errors are equal", max(x) - min(x) > Decimal("1e-9") * max(x))
        test = case | {"call": {"predictor": "sei"}, "data": {"ni": [1] * len(x), **data}}
        tau2 = restricted_tau2(test)
        slope = exact_regression(test, tau2).beta[1]
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


def scoring_step(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Return how far the next step of Fisher scoring moves the REML estimate of tau2, which stays above 0."""
    unit = float(np.std(y)) or 1.0  # so that effects of any size lose no digits
    w = 1 / (v / unit**2 + tau2 / unit**2)
    projector = np.diag(w) - np.outer(w, w) / w.sum()
    moved = projector @ (y / unit)
    step = float(moved @ moved - np.trace(projector)) / float((projector**2).sum()) * unit**2
    return step if step > 0 else min(-step, tau2)


def demand_early(found: Comparison, y: np.ndarray, v: np.ndarray, ours: float, theirs: float) -> None:
    """Demand that ours is the higher likelihood, and that the reference's iteration stops where it is."""
    unit = float(np.std(y)) or 1.0
    heights = [restricted(y / unit, v / unit**2, tau2 / unit**2) for tau2 in (ours, theirs)]
    demand(found, f"restricted log-likelihoods {heights!r}", heights[0] >= heights[1] - 1e-12)
    step = scoring_step(y, v, theirs)
    demand(found, f"from the reference's tau2 {theirs!r} the next step is {step!r}", step <= THRESHOLD)


def demand_stopped_mean(found: Comparison, y: np.ndarray, v: np.ndarray, mean: float) -> None:
    """Demand that a mean of the trimmed studies is at a tau2 at which the reference's iteration stops."""

    def off(tau2: float) -> float:
        return float(np.average(y, weights=1 / (v + tau2))) - mean

    unit = np.median(v)
    grid = np.append(0.0, unit * np.geomspace(1e-8, 1e8, 4000))
    apart = np.array([off(tau2) for tau2 in grid])
    stops = [abs(off(grid[0])) <= 1e-12 * np.abs(y).max() and scoring_step(y, v, 0.0) <= THRESHOLD]
    for i in np.flatnonzero(apart[:-1] * apart[1:] <= 0):
        root = optimize.brentq(off, grid[i], grid[i + 1], xtol=1e-14 * grid[i + 1], rtol=1e-14)
        stops.append(scoring_step(y, v, root) <= 1.01 * THRESHOLD)
    demand(found, f"no tau2 near the estimate has the mean {mean!r}", any(stops))


def early_refit(case: Case, actual: Fields) -> Comparison:
    """The reference fits with its default threshold: the same studies are filled in, and tau2 stopped early.

    Numbers of missing studies and the filled variances are compared as usual. The filled effects are mirrored
    at the mean of the trimmed studies: that must belong to a tau2 at which the reference's iteration stops.
    At its own tau2 the fit to these effects must give all of its numbers; its iteration must stop there, and
    the likelihood must be higher at ours.
    """
    expected = case["results"]
    whole = [name for name in OF_TRIMMING if name in expected and name != "filled_yi"]
    found = compare(actual, {name: expected[name] for name in whole}, case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    ours = np.asarray(actual["filled_yi"], dtype=float)
    y, v = np.concatenate((es.y, ours)), np.concatenate((es.v, np.asarray(actual["filled_vi"])))
    demand_early(found, y, v, actual["tau2"], expected["tau2"])
    shift = 0.0
    if "filled_yi" in expected:
        theirs = np.asarray(expected["filled_yi"], dtype=float)
        demand(found, "other numbers of filled effects", theirs.size == ours.size)
        if found.different:
            return found
        shifts = theirs - ours
        shift = float(np.mean(shifts)) if shifts.size else 0.0
        demand(found, f"filled effects move by {shifts!r}", bool(np.ptp([*shifts, shift]) <= 1e-8))
    elif ours.size:  # the mean is linear in where the effects are mirrored
        w = 1 / (v + expected["tau2"])
        shift = float((expected["estimate"] - np.average(y, weights=w)) * w.sum() / w[es.k :].sum())
    if abs(shift) > 1e-12 * np.abs(y).max():
        order = np.argsort(es.y if actual["side"] == "left" else -es.y, kind="stable")
        kept, gone = order[: es.k - ours.size], order[es.k - ours.size :]
        mean = float(ours.sum() + es.y[gone].sum()) / (2 * ours.size) + shift / 2
        demand_stopped_mean(found, es.y[kept], es.v[kept], mean)
        y = np.concatenate((es.y, ours + shift))
    demand_fit_of(found, case, y, v)
    return found


def demand_fit_of(found: Comparison, case: Case, y: np.ndarray, v: np.ndarray) -> None:
    """Demand that the reference's numbers are those of the fit to these effects at its own tau2."""
    expected = case["results"]
    given = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="REML", test="z", tau2=expected["tau2"])
    values = described(given, "z") | {"se_tau2": _expected_information_se(v, expected["tau2"])}
    rest = {name: value for name, value in expected.items() if name not in OF_TRIMMING}
    if not isinstance(rest["estimate"], list):
        values |= {n: float(np.asarray(values[n])[0]) for n in ("estimate", "se", "ci_lower", "ci_upper")}
    inner = compare(values, rest, case["rtol"], case["atol"])
    found.different += inner.different
    found.absent += inner.absent
    found.agreed += inner.agreed


def missing(y: np.ndarray, estimator: str) -> tuple[int, float]:
    """Return the number of missing studies below centred effects, and its standard error.

    By the formulas of Duval and Tweedie (2000); ties of absolute effects have ranks in row order.
    """
    k = y.size
    ranks = np.empty(k)
    ranks[np.argsort(np.abs(y), kind="stable")] = np.arange(1, k + 1)
    total = float(ranks[y > 0].sum())
    if estimator == "R0":
        below = ranks[y < 0]
        raw = (k - float(below.max() if below.size else 0)) - 1
        return max(0, round(raw)), math.sqrt(2 * max(0.0, raw) + 2)
    inner = 2 * k**2 - 4 * total + 0.25
    if estimator == "Q0" and inner < 0:
        return 0, math.nan
    raw = (4 * total - k * (k + 1)) / (2 * k - 1) if estimator == "L0" else k - 0.5 - math.sqrt(inner)
    n = raw
    variance = k * (k + 1) * (2 * k + 1) + 10 * n**3 + 27 * n**2 + 17 * n - 18 * k * n**2 - 18 * k * n
    spread = 2 * math.sqrt(max(0.0, variance + 6 * k**2 * n) / 24)
    divisor = (2 * k - 1) / 2 if estimator == "L0" else math.sqrt((k - 0.5) ** 2 - n * (2 * k - n - 1))
    return max(0, round(raw)), spread / divisor


def stopped_means(y: np.ndarray, v: np.ndarray) -> list[float]:
    """Return means of effects at values of tau2 where the reference's iteration stops, the best one first."""
    if y.size < 2:
        return [float(one) for one in y]
    best = mx.RandomEffects(mx.EffectSizes(y, v)).fit(method="REML", test="z").tau2
    grid = [best, 0.0, *(np.median(v) * np.geomspace(1e-4, 1e4, 400))]
    stops = [tau2 for tau2 in grid if scoring_step(y, v, tau2) <= THRESHOLD]
    return [float(np.average(y, weights=1 / (v + tau2))) for tau2 in stops]


def early_trim(case: Case, actual: Fields) -> Comparison:
    """The reference trims around means whose tau2 stopped early, and finds another number of studies.

    In small units its iteration stops wherever it begins. The number must come back around a mean of the
    studies that it leaves: ours around that of the highest likelihood, the reference's around one at another
    tau2 where its iteration stops, by formulas of their own. Its numbers are those of its filled effects.
    """
    expected, estimator = case["results"], case["call"]["estimator"]
    found = Comparison()
    es = plain_effects(case["data"])
    for record, exact in ((actual, True), (expected, False)):
        sign, k0 = (1.0 if record["side"] == "left" else -1.0), int(record["k0"])
        counted = len(record["filled_yi"]) == k0 if "filled_yi" in expected else k0 < es.k
        demand(found, f"{k0} are not those filled in", bool(counted))
        if found.different:
            return found
        order = np.argsort(sign * es.y, kind="stable")
        kept, gone = order[: es.k - k0], order[es.k - k0 :]
        means = stopped_means(es.y[kept], es.v[kept])[: 1 if exact else None]
        if k0 and "filled_yi" in expected:  # mirrored at one mean
            mirrors = (np.asarray(record["filled_yi"], dtype=float) + es.y[gone]) / 2
            demand(found, f"mirrored at {mirrors!r}", bool(np.ptp(mirrors) <= 1e-9 * np.abs(es.y).max()))
            if exact:
                near = abs(mirrors[0] - means[0]) <= 1e-9 * np.abs(es.y).max()
                demand(found, f"mirrored at {mirrors[0]!r}, the mean is {means[0]!r}", bool(near))
            else:
                means = [float(np.mean(mirrors))]
                demand_stopped_mean(found, es.y[kept], es.v[kept], means[0])
        pairs = [missing(sign * (es.y[order] - mean), estimator) for mean in means]
        told = record["se_k0"] if "se_k0" in expected else None
        again = [n == k0 and (told is None or math.isclose(se, told, rel_tol=1e-6)) for n, se in pairs]
        demand(found, f"{k0} with {told!r} does not come back", any(again))
    ours = [np.append(x, actual[f"filled_{name}"]) for name, x in (("yi", es.y), ("vi", es.v))]
    step = scoring_step(ours[0], ours[1], actual["tau2"])
    settled = step <= 1e-8 * (actual["tau2"] + np.median(es.v))
    demand(found, f"from our tau2 the next step is {step!r}", bool(settled))
    y, v = es.y, es.v
    if expected["k0"]:
        demand(found, "the reference does not tell what it filled in", "filled_yi" in expected)
        if found.different:
            return found
        y = np.concatenate((y, np.asarray(expected["filled_yi"], dtype=float)))
        v = np.concatenate((v, np.asarray(expected["filled_vi"], dtype=float)))
    step = scoring_step(y, v, expected["tau2"])
    demand(found, f"from the reference's tau2 the next step is {step!r}", step <= THRESHOLD)
    demand(found, "side", actual["side"] == expected["side"])
    demand_fit_of(found, case, y, v)
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
    ours = stats.binomtest(plus, plus + minus).pvalue if plus + minus else 1.0
    demand(found, f"our p {actual['p_observed']!r}", math.isclose(ours, actual["p_observed"], rel_tol=1e-9))
    demand(found, "there are no zeros", zero > 0)
    most, n = max(plus, minus), actual["fail_safe_n"]
    levels = [
        stats.binomtest(most + pairs, plus + minus + 2 * pairs).pvalue if most + pairs else 1.0
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
