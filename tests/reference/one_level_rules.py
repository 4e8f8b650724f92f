"""One-level cases where the reference's value is the worse one: early, a rounding error, or none.

A rule applies by what the case asks, is used only where the values differ, compares all that can be compared
at the tolerance of the case, and demands proof for the rest from the data of the case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

import metaexo as mx
from metaexo.models import RandomEffectsResults
from metaexo.numeric.distributions import chi2_mixture
from tests.reference.adapters.models import fit_case, rows_used
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]

# R solves with the default tolerance eps^(1/4), in tau2 or in the quantile that is sought.
ROOT_TOLERANCE = float(np.finfo(float).eps ** 0.25)
# A tau2 below this share of the typical sampling variance may be the rounding error of 0.
NOTHING = 1e-8
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


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    topic, call = case["topic"], case["call"]
    if topic == "heterogeneity_intervals":
        generalised = call["interval_type"] == "GENQ" and not case["results"]["interval_is_null_set"]
        return [loose_roots, interval_at_zero] if generalised else [interval_at_zero]
    if topic == "alternative_definitions" and call.get("definition") in OF_LIKELIHOODS:
        return [] if call["tau2_method"] in ("ML", "REML") else [mixed_likelihoods]
    if topic == "stress_behaviour" and call["behaviour"] == ZERO_VARIANCES:
        return [default_threshold] if call["tau2_method"] in ("ML", "REML") else []
    if topic in ("random_effects", "meta_regression"):
        return [fit_at_zero, no_spread]
    if topic == "intervals_extra" and call.get("ci_method") == "KR":
        return [below_one_df]
    if topic == "diagnostics":
        return _of_diagnostics(case["results"])
    if topic == "publication_bias" and call["model"] == "henmi_copas":
        return [coarse_quantile]
    return []


def _of_diagnostics(results: Fields) -> list[Callable[[Case, Fields], Comparison]]:
    if "rstudent_x" in results:
        return [tied_residuals, residuals_of_nothing]
    if "Q_p" in results:
        return [no_spread_in_a_part, missing_refits]
    alone = [alone_with_a_coefficient] if "standardized_z" in results else []
    return [deviations_at_zero, missing_deletions, *alone]


def _without(record: Fields, names: tuple[str, ...]) -> Fields:
    return {name: value for name, value in record.items() if name not in names}


def _add(found: Comparison, inner: Comparison) -> None:
    found.different += inner.different
    found.absent += inner.absent
    found.agreed += inner.agreed


# -- tau2 at the boundary -----------------------------------------------------------------------------------


def demand_zero(found: Comparison, fit: RandomEffectsResults) -> None:
    """Demand that tau2 is 0 with a proof: dense matrices show no rise of the estimating equation there."""
    demand(found, f"our tau2 is {fit.tau2!r}", fit.tau2 == 0 and fit.certificate.at_boundary)
    demand(found, f"the score at 0 is {fit.certificate.score!r}", not fit.certificate.score > 0)
    y, v, x = fit.effects.y, fit.effects.v, fit.design.matrix(fit.k)
    w = np.diag(1 / v)
    inverse = np.linalg.inv(x.T @ w @ x)
    projector = w - w @ x @ inverse @ x.T @ w
    square = float(((projector @ y) ** 2).sum())
    slack = 1e-8 * float((1 / v).sum())
    expected = {"ML": np.trace(w), "REML": np.trace(projector)}.get(fit.method)
    if expected is not None:
        demand(found, "the likelihood rises from 0", square <= float(expected) + slack)


def no_spread(case: Case, actual: Fields) -> Comparison:
    """Effects without any spread have a standard error of 0, and by ours no test.

    The reference divides by it: a statistic of Inf and p = 0, beside no omnibus test.
    """
    expected = case["results"]
    of_test = ("test_statistic", "p_value")
    found = compare(actual, _without(expected, of_test), case["rtol"], case["atol"])
    fit = fit_case(case, case["data"])
    residuals = fit.effects.y - fit.design.matrix(fit.k) @ fit.beta
    demand(found, "the effects have a spread", float(np.abs(residuals).max()) <= 1e-12)
    demand(found, "the reference's standard errors are not 0", not np.any(expected["se"]))
    for name in of_test:
        given = np.asarray(actual[name], dtype=float)
        demand(found, f"our {name} is {given.tolist()}", bool(np.isnan(given).all()))
    demand(found, "the reference's p is not 0", not np.any(expected["p_value"]))
    return found


def no_spread_in_a_part(case: Case, actual: Fields) -> Comparison:
    """The same for entries of a series whose effects are equal: those left, or those so far."""
    expected = case["results"]
    of_test = ("statistic", "p_value")
    fit = fit_case(case, case["data"])
    y, series = fit.effects.y, "row_added_0based" in expected
    added = expected.get("row_added_0based", [])
    place = {row: i for i, row in enumerate(rows_used(case, case["data"]).tolist())}
    parts = [
        y[[place[row] for row in added[: i + 1]]] if series else np.delete(y, i)
        for i in range(len(expected["se"]))
    ]
    equal = np.array([part.size > 1 and np.ptp(part) <= 1e-12 * np.abs(part).max() for part in parts])
    found = compare(actual, _without(expected, of_test), case["rtol"], case["atol"])
    demand(found, "no part is without a spread", bool(equal.any()))
    demand(found, "the test has no scale", fit.test.startswith("knapp-hartung"))
    for name in of_test:
        given, theirs = (np.asarray(one[name], dtype=object) for one in (actual, expected))
        _add(found, compare(given[~equal].tolist(), theirs[~equal].tolist(), case["rtol"], case["atol"]))
        nothing = np.isnan(given[equal].astype(float)).all()
        demand(found, f"our {name} is {given[equal].tolist()}", bool(nothing))
    return found


def tied_residuals(case: Case, actual: Fields) -> Comparison:
    """Equal residuals share their quantiles; which of them gets which is rounding, in the reference too."""
    expected = case["results"]
    columns = [name for name in expected if name.endswith("_x")]
    found = compare(actual, _without(expected, tuple(columns)), case["rtol"], case["atol"])
    if found.different:
        return found
    for name in columns:
        y = np.array(expected[name.replace("_x", "_y")], dtype=float)
        ours, theirs = (np.array(one[name], dtype=float) for one in (actual, expected))
        order = np.argsort(y, kind="stable")
        for tie in np.split(order, np.flatnonzero(np.diff(y[order]) > 1e-11) + 1):
            pair = (np.sort(part[tie]).tolist() for part in (ours, theirs))
            _add(found, compare(*pair, case["rtol"], case["atol"]))
    return found


def residuals_of_nothing(case: Case, actual: Fields) -> Comparison:
    """A study that alone determines a coefficient has no residual that varies: it has no place among them.

    The reference ranks its residual of 0 with the others.
    """
    expected = case["results"]
    fit = fit_case(case, case["data"])
    x = fit.design.matrix(fit.k)
    own = [np.linalg.matrix_rank(np.delete(x, i, axis=0)) == fit.design.p for i in range(fit.k)]
    varies, n = np.array(own), sum(own)
    theirs = {name: np.array(expected[name], dtype=float) for name in ("rstandard_x", "rstandard_y")}
    others = {name: expected[name] for name in ("rstudent_x", "rstudent_y")}
    found = compare(actual, others, case["rtol"], case["atol"])
    demand(found, "every study has a residual that varies", n < fit.k == theirs["rstandard_y"].size)
    if found.different:
        return found
    demand(found, "the reference's residuals are not 0", not theirs["rstandard_y"][~varies].any())
    y, order = theirs["rstandard_y"][varies], np.argsort(theirs["rstandard_x"][varies])
    _add(found, compare({"y": actual["rstandard_y"]}, {"y": y.tolist()}, case["rtol"], case["atol"]))
    a = 3 / 8 if n <= 10 else 1 / 2
    places = np.empty(n)
    places[order] = norm.ppf((np.arange(n) + 1 - a) / (n + 1 - 2 * a))
    _add(found, compare({"x": actual["rstandard_x"]}, {"x": places.tolist()}, case["rtol"], case["atol"]))
    return found


def below_one_df(case: Case, actual: Fields) -> Comparison:
    """A t distribution on fewer than 1 df has no mean: by ours there is no p-value."""
    expected = case["results"]
    found = compare(actual, _without(expected, ("p_value",)), case["rtol"], case["atol"])
    demand(found, f"the reference has {expected['df']!r} df", expected["df"] < 1)
    demand(found, f"our p is {actual['p_value']!r}", bool(np.isnan(actual["p_value"])))
    statistic = expected["estimate"] / expected["se"]
    theirs = 2 * float(student_t.sf(abs(statistic), expected["df"]))
    demand(found, "the reference's p", math.isclose(theirs, expected["p_value"], rel_tol=1e-4))
    return found


def fit_at_zero(case: Case, actual: Fields) -> Comparison:
    """The solution is 0, the reference stops just above it: its tau is the root of a rounding error.

    So is R2 where the model without moderators has no heterogeneity either.
    """
    expected = case["results"]
    fit = fit_case(case, case["data"])
    found = compare(actual, _without(expected, ("tau", "R2_percent")), case["rtol"], case["atol"])
    demand_zero(found, fit)
    demand(found, f"our tau is {actual['tau']!r}", actual["tau"] == 0)
    near = 0 <= expected["tau2"] < NOTHING * float(np.median(fit.effects.v))
    demand(found, f"the reference's tau2 {expected['tau2']!r} is not nearly 0", near)
    demand(
        found,
        "the reference's tau",
        math.isclose(expected["tau"], math.sqrt(expected["tau2"]), abs_tol=1e-300),
    )
    inner = compare(actual, {"R2_percent": expected["R2_percent"]}, case["rtol"], case["atol"])
    if inner.different:
        null = mx.RandomEffects(fit.effects).fit(method=fit.method, test="z")
        demand_zero(found, null)
        demand(found, "our R2 is not 0", actual["R2_percent"] == 0)
    return found


def interval_at_zero(case: Case, actual: Fields) -> Comparison:
    """Intervals of such a fit: on scales with no standard error at 0, ours excludes nothing."""
    expected = case["results"]
    fit = fit_case(case, case["data"])
    found = compare(actual, _without(expected, SCALES), case["rtol"], case["atol"])
    demand_zero(found, fit)
    near = 0 <= expected["tau2"]["estimate"] < NOTHING * float(np.median(fit.effects.v))
    demand(found, "the reference's tau2 is not nearly 0", near)
    demand(found, "our tau is not 0", actual["tau"]["estimate"] == 0)
    scaleless = case["call"]["interval_type"] in ("Wald.log", "Wald.sqrt")
    for scale in SCALES:
        left = ("estimate",) if scale == "tau" else ()
        left += ("ci_upper",) if scaleless else ()
        _add(found, compare(actual, {scale: _without(expected[scale], left)}, case["rtol"], case["atol"]))
    if scaleless:
        theirs = float(str(expected["tau2"]["ci_upper"]).lower())
        ours = actual["tau2"]["ci_upper"]
        demand(found, f"upper bounds {ours!r} and {theirs!r}", theirs > 1e9 and ours in (None, math.inf))
    return found


def deviations_at_zero(case: Case, actual: Fields) -> Comparison:
    """Predicted deviations of such a fit are 0; the reference's standard errors are the root of its tau2."""
    expected = case["results"]
    fit = fit_case(case, case["data"])
    names = tuple(name for name in expected if name.startswith("random_effect"))
    found = compare(actual, _without(expected, names), case["rtol"], case["atol"])
    demand_zero(found, fit)
    demand(found, "no deviations are asked for", "random_effect_se" in expected)
    tiny = math.sqrt(NOTHING * float(np.median(fit.effects.v)))
    for name in names:
        theirs, ours = np.array(expected[name], dtype=float), np.array(actual[name], dtype=float)
        demand(found, f"{name} is not 0", bool((ours == 0).all()))
        demand(found, f"the reference's {name} is not nearly 0", bool((np.abs(theirs) < 3 * tiny).all()))
    return found


# -- roots and quantiles ------------------------------------------------------------------------------------


def loose_roots(case: Case, actual: Fields) -> Comparison:
    """Bounds of the generalised Q: ours have the exact probability, theirs are within their tolerance."""
    expected, rtol, atol = case["results"], case["rtol"], case["atol"]
    found = compare(actual, _without(expected, SCALES), rtol, atol)
    for scale in SCALES:
        _add(found, compare(actual, {scale: {"estimate": expected[scale]["estimate"]}}, rtol, atol))
    tail = (1 - case["call"]["interval_level_percent"] / 100) / 2
    for end, target in zip(("ci_lower", "ci_upper"), (1 - tail, tail), strict=True):
        ours, theirs = actual["tau2"][end], expected["tau2"][end]
        allowed = 1.1 * ROOT_TOLERANCE + rtol * abs(theirs)
        demand(found, f"{end} {ours!r}, reference {theirs!r}", abs(ours - theirs) <= allowed)
        if theirs == 0 or ours == 0:
            continue
        off, reference_off = (abs(probability_below(case, tau2) - target) for tau2 in (ours, theirs))
        demand(found, f"{end}: the probability at ours is off by {off:.2e}", off < 1e-10)
        demand(found, f"{end}: theirs is nearer, off by {reference_off:.2e}", off <= reference_off)
    return found


def probability_below(case: Case, tau2: float) -> float:
    """Return P(Q <= observed) at a tau2, by dense eigenvalues."""
    fit = fit_case(case, case["data"])
    x, a = fit.design.matrix(fit.k), fit.weighting
    dense = np.diag(a) - (a[:, None] * x) @ np.linalg.solve((x.T * a) @ x, x.T * a)
    root = np.sqrt(fit.effects.v + tau2)
    eigenvalues = np.linalg.eigvalsh(root[:, None] * dense * root)[fit.design.p :]
    return chi2_mixture(float(fit.effects.y @ dense @ fit.effects.y), eigenvalues)[0]


def coarse_quantile(case: Case, actual: Fields) -> Comparison:
    """The reference finds the quantile of an interval by a root search that stops at 1.22e-4.

    What it searches is the quantile over the root of 1 + tau2 W_2, with W_2 the sum of the squared weights
    over their sum, so that the bounds are only as good as that root times the standard error. Adaptive
    quadrature must find the probability at our quantile, and a worse one at the reference's.
    """
    expected = case["results"]
    found = compare(actual, _without(expected, ("ci_lower", "ci_upper")), case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    w = 1 / es.v
    stretch = math.sqrt(1 + actual["tau2"] * (w**2).sum() / w.sum())
    near = ROOT_TOLERANCE * stretch * actual["se"]
    for name in ("ci_lower", "ci_upper"):
        off = abs(actual[name] - expected[name])
        demand(found, f"{name} is off by {off!r}, more than {near!r}", off <= near)
    ours, theirs = (
        abs(tail_beyond(w, actual["tau2"], (record["ci_upper"] - record["estimate"]) / record["se"]) - 0.025)
        for record in (actual, expected)
    )
    demand(found, f"the probability beyond our quantile is off by {ours:.1e}", ours < 1e-9)
    demand(found, f"the probability beyond the reference's is nearer, off by {theirs:.1e}", ours <= theirs)
    return found


def tail_beyond(w: np.ndarray, tau2: float, quantile: float) -> float:
    """Return P(U > u) of Henmi and Copas with dense matrices and adaptive quadrature.

    Given R = r the effects are normal, and Q is a quadratic form in them: with A = diag(w) - w w' / sum w,
    mean r c and covariance S, its mean is tr(AS) + r^2 c'Ac and its variance 2 tr(ASAS) + 4 r^2 c'ASAc.
    """
    from scipy.integrate import quad
    from scipy.special import gammainc

    total, square = w.sum(), (w**2).sum()
    w2 = square / total
    cov = np.diag(1 / w + tau2)
    loading = w / math.sqrt(total)
    form = np.diag(w) - np.outer(w, w) / total
    variance = float(loading @ cov @ loading)
    slope = cov @ loading / variance
    rest = cov - variance * np.outer(slope, slope)
    once, twice = form @ rest, form @ rest @ form
    sd = math.sqrt(1 + tau2 * w2)

    def integrand(r: float) -> float:
        mean = np.trace(once) + r**2 * slope @ form @ slope
        spread = 2 * np.trace(once @ once) + 4 * r**2 * slope @ twice @ slope
        limit = (w.size - 1) + (total - w2) * (r**2 / quantile**2 - 1) / w2
        density = math.exp(-0.5 * (r / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
        return float(gammainc(mean**2 / spread, limit * mean / spread)) * density

    ends = [quantile, *(quantile + sd * step for step in (0.25, 0.5, 1, 2, 4, 8, 16))]
    parts = [quad(integrand, a, b, epsabs=1e-13, epsrel=1e-11)[0] for a, b in pairwise(ends)]
    return float(sum(parts))


# -- no answer, and early answers ---------------------------------------------------------------------------


def missing_deletions(case: Case, actual: Fields) -> Comparison:
    """The reference has no values where its iteration failed without a study: ours are those of a fit."""
    expected = case["results"]
    found = Comparison()
    fit = fit_case(case, case["data"])
    lost = set()
    for name, values in expected.items():
        columns = values.items() if isinstance(values, dict) else [(None, values)]
        for inner, column in columns:
            mine = list(actual[name] if inner is None else actual[name][inner])
            rows = [i for i, value in enumerate(column) if value is None]
            lost |= set(rows)
            pairs = [(mine[i], value) for i, value in enumerate(column) if value is not None]
            ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
            _add(found, compare({name: ours}, {name: theirs}, case["rtol"], case["atol"]))
    demand(found, "no values are missing", bool(lost))
    for i in lost:
        rest = [j for j in range(fit.k) if j != i]
        x = fit.design.matrix(fit.k)[rest]
        regular = np.linalg.matrix_rank(x) == fit.design.p < len(rest)
        demand(found, f"row {i}: no fit is possible without it", regular)
        if regular and "tau2_deleted" in expected:
            tau2 = dense_tau2(fit.effects.y[rest], fit.effects.v[rest], x, fit.method)
            same = math.isclose(
                actual["tau2_deleted"][i], tau2, rel_tol=1e-6, abs_tol=1e-9 * float(np.median(fit.effects.v))
            )
            demand(found, f"row {i}: tau2 without it is {tau2!r}", same)
    return found


def missing_refits(case: Case, actual: Fields) -> Comparison:
    """The reference has no values where its iteration failed on a part: ours are those of dense matrices."""
    expected = case["results"]
    lost = [i for i, value in enumerate(expected["estimate"]) if value is None]
    kept = [i for i, value in enumerate(expected["estimate"]) if value is not None]
    found = Comparison()
    for name, values in expected.items():
        ours, theirs = ([column[i] for i in kept] for column in (actual[name], values))
        _add(found, compare({name: ours}, {name: theirs}, case["rtol"], case["atol"]))
    demand(found, "no values are missing", bool(lost))
    fit = fit_case(case, case["data"])
    order = expected.get("row_added_0based")
    for i in lost:
        rows = [j for j in range(fit.k) if j != i] if order is None else order[: i + 1]
        y, v, x = fit.effects.y[rows], fit.effects.v[rows], np.ones((len(rows), 1))
        tau2 = dense_tau2(y, v, x, fit.method)
        w = 1 / (v + tau2)
        mean, df = float(w @ y / w.sum()), len(rows) - 1
        scale = float(w @ (y - mean) ** 2 / df) if case["call"]["test"] == "knha" else 1.0
        dense = {"tau2": tau2, "estimate": mean, "se": math.sqrt(scale / w.sum())}
        dense["Q"] = float((y - (y / v).sum() / (1 / v).sum()) ** 2 @ (1 / v))
        ours = {name: actual[name][i] for name in dense}
        _add(found, compare(ours, dense, 1e-6, 1e-9 * float(np.median(v))))
    return found


def alone_with_a_coefficient(case: Case, actual: Fields) -> Comparison:
    """A study that alone tells of a coefficient has the residual 0 and no spread: its z is 0 by 0.

    The reference divides rounding errors and says 0 or nothing, as they fall; ours is 0.
    """
    expected = dict(case["results"])
    fit = fit_case(case, case["data"])
    ours, theirs = actual["standardized_z"], expected.pop("standardized_z")
    found = compare(actual, expected, case["rtol"], case["atol"])
    x = fit.design.matrix(fit.k)
    for i, z in enumerate(theirs):
        if z is not None:
            _add(found, compare({"z": ours[i]}, {"z": z}, case["rtol"], case["atol"]))
            continue
        alone = np.linalg.matrix_rank(np.delete(x, i, axis=0)) < fit.design.p
        demand(found, f"row {i} is not alone with a coefficient", bool(alone))
        demand(found, f"row {i} has a residual or a z", ours[i] == 0 and abs(actual["raw"][i]) < case["atol"])
    return found


def dense_tau2(y: np.ndarray, v: np.ndarray, x: np.ndarray, method: str) -> float:
    """Return the tau2 of ML or REML where its dense estimating equation has its last root."""
    from scipy.optimize import brentq

    basis = np.linalg.qr(x)[0]

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        inverse = np.linalg.inv((basis.T * w) @ basis)
        projector = np.diag(w) - (w[:, None] * basis) @ inverse @ (basis.T * w)
        expected = w.sum() if method == "ML" else np.trace(projector)
        return float(((projector @ y) ** 2).sum() - expected)

    grid = np.concatenate([[0.0], np.geomspace(1e-6 * v.min(), 100 * (np.ptp(y) ** 2 + v.max()), 400)])
    values = np.array([slope(tau2) for tau2 in grid])
    down = np.flatnonzero((values[:-1] > 0) & (values[1:] <= 0))
    return (
        0.0
        if down.size == 0
        else float(brentq(slope, grid[down[-1]], grid[down[-1] + 1], xtol=1e-14 * grid[-1]))
    )


def mixed_likelihoods(case: Case, actual: Fields) -> Comparison:
    """R2 of a moment fit: the reference compares a restricted likelihood with an unrestricted one."""
    call, expected = case["call"], case["results"]
    found = compare(actual, _without(expected, ("R2_percent",)), case["rtol"], case["atol"])
    es = plain_effects(case["data"])
    full = mx.RandomEffects(es, call["moderator_formula"]).fit(method=call["tau2_method"])
    null = mx.RandomEffects(es).fit(method=call["tau2_method"]).fit_statistics(restricted=False).llf
    for restricted, value in ((True, expected["R2_percent"]), (False, actual["R2_percent"])):
        own = OF_LIKELIHOODS[call["definition"]](null, full.fit_statistics(restricted).llf, full.k)
        same = math.isclose(value, 100 * max(0.0, own), rel_tol=1e-6)
        demand(found, f"R2 {value!r} is not {own!r}", same or (call["definition"] == "8" and not restricted))
    return found


def default_threshold(case: Case, actual: Fields) -> Comparison:
    """The reference stops early: the numbers are near, and our likelihood is higher."""
    found = compare(actual, case["results"], 1e-4, 1e-7)
    kind = case["call"]["tau2_method"]
    ours, theirs = (x["fit_statistics"][kind]["log_likelihood"] for x in (actual, case["results"]))
    demand(found, f"log-likelihood {ours!r} not above the reference's {theirs!r}", ours > theirs)
    return found
