"""p-uniform, p-uniform* and the Copas selection model, where the reference is not the better answer.

It solves equations with R's default tolerance, takes a normal distribution for an exact one, solves two
equations in turn until both move by less than 1e-3, climbs likelihoods from one start, and its table of the
Copas model follows a path of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from metaexo.bias.copas import fit_copas
from metaexo.types import Array
from tests.reference.adapters.one_level_extras import plain_effects
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
# Roots and one-dimensional maxima of R by default, eps^(1/4); a limit may be off by as much again as what it
# is measured from.
ROOT_TOLERANCE = 2 * float(np.finfo(float).eps ** 0.25)
OURS = 1e-7


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    if case["topic"] != "publication_bias_extra":
        return []
    model, estimator = case["call"]["model"], case["call"].get("estimator")
    if model == "p_uniform":
        return [loose_conditional_roots]
    if model == "p_uniform_star" and estimator != "ML":
        return [two_equations]
    return [another_path] if model == "copas_selection" else []


def _without(record: Fields, names: tuple[str, ...]) -> Fields:
    return {name: value for name, value in record.items() if name not in names}


def _turned(case: Case) -> tuple[Array, Array, Array, float]:
    """Return effects turned so that large is significant, standard errors, critical values and the sign."""
    es = plain_effects(case["data"])
    sign = 1.0 if case["call"]["side"] == "right" else -1.0
    se = np.sqrt(es.v)
    return sign * es.y, se, stats.norm.isf(case["call"]["alpha"] / 2) * se, sign


def irwin_hall(x: float, n: int) -> float:
    """Return P(sum of n uniforms <= x) by exact fractions."""
    exact = Fraction(x)
    return float(sum((-1) ** j * comb(n, j) * (exact - j) ** n for j in range(int(x) + 1)) / factorial(n))


# -- p-uniform ----------------------------------------------------------------------------------------------


def loose_conditional_roots(case: Case, actual: Fields) -> Comparison:
    """Estimates and limits are roots to R's tolerance, and p-values of a plain sum are normal.

    Ours must solve the equations, by the tails of scipy, and have the exact p-values; the reference's must
    lie within that tolerance, and its p-values be those of its own statistics.
    """
    expected, method = case["results"], case["call"]["estimator"]
    roots = ("estimate", "ci_lower", "ci_upper")
    pvalues = ("test_of_zero_p", "bias_test_p") if method == "P" else ()
    found = compare(actual, _without(expected, (*roots, *pvalues)), case["rtol"], case["atol"])
    y, se, cut, sign = _turned(case)
    chosen = y > cut
    y, se, cut, k = y[chosen], se[chosen], cut[chosen], int(chosen.sum())

    def log_q(mu: float) -> Array:
        return np.asarray(stats.norm.logsf(y, mu, se) - stats.norm.logsf(cut, mu, se))

    def log_likelihood(mu: float) -> float:
        return float((stats.norm.logpdf(y, mu, se) - stats.norm.logsf(cut, mu, se)).sum())

    sums = {
        "P": lambda mu: np.exp(log_q(mu)).sum(),
        "LNP": lambda mu: -log_q(mu).sum(),
        "LN1MINP": lambda mu: -np.log(-np.expm1(log_q(mu))).sum(),
    }
    if method == "P":
        zero, biased = (float(sums["P"](mu)) for mu in (0.0, sign * actual["fixed_effect"]))
        exact = (irwin_hall(zero, k), irwin_hall(k - biased, k))
        for name, value in zip(pvalues, exact, strict=True):
            demand(
                found, f"{name}: {actual[name]!r}, exactly {value!r}", abs(actual[name] / value - 1) < 1e-6
            )
        normal = (
            stats.norm.cdf(expected["test_of_zero_statistic"]),
            stats.norm.sf(expected["bias_test_statistic"]),
        )
        for name, z in zip(pvalues, normal, strict=True):
            demand(found, f"the reference's {name} is not that of its z", abs(expected[name] - z) < 1e-8)
    if method == "P" and np.exp(log_q(0.0)).sum() > k / 2:
        _set_to_zero(found, actual, expected, sign, lambda mu: float(sums["P"](mu)) / k)
        return found
    ours = {name: sign * actual[name] for name in roots}
    ends = sorted((ours["ci_lower"], ours["ci_upper"]))
    if method == "ML":
        top = log_likelihood(ours["estimate"])
        theirs = log_likelihood(sign * expected["estimate"])
        demand(found, f"the reference's likelihood is higher by {theirs - top!r}", theirs <= top + 1e-10)
        for end in ends:
            deviance = 2 * (top - log_likelihood(end))
            off = abs(deviance - stats.chi2.isf(0.05, 1))
            demand(found, f"the deviance at a limit is off by {off:.1e}", off < 1e-6)
    else:
        law = stats.irwinhall(k) if method == "P" else stats.gamma(k)
        off = abs(sums[method](ours["estimate"]) / law.mean() - 1)
        demand(found, f"our equation is off by {off:.1e}", off < OURS)
        reached = sorted(float(law.cdf(sums[method](end))) for end in ends)
        demand(found, f"our limits are at {reached}", np.allclose(reached, [0.025, 0.975], atol=1e-8))
    for name in roots:
        off = abs(actual[name] - expected[name])
        demand(found, f"{name} is off by {off!r}", off <= ROOT_TOLERANCE)
    return found


def _set_to_zero(
    found: Comparison, actual: Fields, expected: Fields, sign: float, mean_share: Callable[[float], float]
) -> None:
    """Demand that ours is 0, as the authors recommend where the solution is on the other side of it.

    The reference's may be 0 too, or the solution.
    """
    demand(found, f"our estimate is {actual['estimate']!r}", actual["estimate"] == 0)
    theirs = sign * expected["estimate"]
    solved = theirs < 0 and abs(mean_share(theirs) - 0.5) < 1e-3
    demand(found, f"the reference's estimate is {theirs!r}", solved or abs(theirs) <= ROOT_TOLERANCE)


# -- p-uniform* ---------------------------------------------------------------------------------------------


def two_equations(case: Case, actual: Fields) -> Comparison:
    """The two equations were solved in turn, with roots to R's tolerance in a range of 2, or not at all.

    Ours must solve both by the tails of scipy, and its limits reach the quantiles. The reference must have no
    solution, or one that does not solve them. A test statistic that is infinite there must be finite here: it
    is the logarithm of a tail that is 0 as a plain number.
    """
    expected, method = case["results"], case["call"]["estimator"]
    plain = ("k", "k_significant", "bias_statistic", "bias_p", "test_of_zero_statistic", "test_of_zero_p")
    infinite = expected["heterogeneity_statistic"] == "Inf"
    tested = () if infinite else ("heterogeneity_statistic", "heterogeneity_p")
    found = compare(actual, {name: expected[name] for name in (*plain, *tested)}, case["rtol"], case["atol"])
    y, se, cut, sign = _turned(case)
    k, large = y.size, y > cut
    law = stats.irwinhall(k) if method == "P" else stats.gamma(k)

    def left(mu: float, tau2: float) -> tuple[float, float]:
        """Return both sums, minus what is expected."""
        q, extreme = _shares(mu, np.sqrt(se**2 + tau2), y, cut, large)
        first = np.exp(q).sum() if method == "P" else -q.sum()
        second = extreme.sum() if method == "P" else -np.log1p(-extreme).sum()
        return float(first), float(second)

    mu, tau2, centre = sign * actual["estimate"], actual["tau2"], float(law.mean())
    one, two = left(mu, tau2)
    demand(found, f"our first equation is off by {one - centre:.1e}", abs(one / centre - 1) < OURS)
    solved = abs(two / centre - 1) < OURS or (tau2 == 0 and two >= centre)
    demand(found, f"our second equation is off by {two - centre:.1e}", solved)
    ends = sorted(float(law.cdf(left(sign * actual[name], tau2)[0])) for name in ("ci_lower", "ci_upper"))
    demand(found, f"our limits of the mean are at {ends}", np.allclose(ends, [0.025, 0.975], atol=1e-6))
    for name, goal in (("tau2_ci_lower", 0.025), ("tau2_ci_upper", 0.975)):
        at = float(law.cdf(left(mu, actual[name])[1]))
        reached = abs(at - goal) < 1e-6 or (actual[name] == 0 and at >= goal)
        demand(found, f"our {name} is at {at!r}", reached)
    if expected["estimate"] is not None:
        one, two = left(sign * expected["estimate"], expected["tau2"])
        off = max(abs(one / centre - 1), 0.0 if expected["tau2"] == 0 else abs(two / centre - 1))
        demand(found, f"the reference's solution is off by {off:.1e} only", off > 1e-6)
    if infinite:
        statistic = actual["heterogeneity_statistic"]
        demand(found, f"our statistic is {statistic!r}", bool(np.isfinite(statistic)))
        tail = float(stats.gamma.sf(statistic, k))
        demand(found, "our p-value is not that of it", abs(actual["heterogeneity_p"] - tail) <= 1e-9 * tail)
    return found


def _shares(mu: float, sd: Array, y: Array, cut: Array, large: Array) -> tuple[Array, Array]:
    """Return logarithms of conditional p-values, and conditional p-values of effects as far from the mean."""

    def between(low: Array, high: Array) -> Array:
        """Return log P(low < Y < high), from the tail on the nearer side."""
        upper = [stats.norm.logsf(x, mu, sd) for x in (low, high)]
        lower = [stats.norm.logcdf(x, mu, sd) for x in (high, low)]
        pairs = np.where(low > mu, upper, lower)
        with np.errstate(invalid="ignore"):
            return np.asarray(logsumexp(pairs, axis=0, b=np.array([[1.0], [-1.0]])))

    low, high = np.where(large, cut, -np.inf), np.where(large, np.inf, cut)
    q = between(y, high) - between(low, high)
    above = y > mu
    low, high = np.where(above, np.maximum(low, mu), low), np.where(above, high, np.minimum(high, mu))
    beyond = np.where(above, between(y, high), between(low, y)) - between(low, high)
    return q, np.exp(beyond)


# -- The Copas model ----------------------------------------------------------------------------------------


def another_path(case: Case, actual: Fields) -> Comparison:
    """The reference's table follows a path of its own, and its fits start from one place.

    Along the line of its chance of publication there must be a pair of gamma0 and gamma1 at which our fit has
    its mean; there its test of residual bias must be ours, and its adjusted estimate have our standard error,
    tau and number of unpublished studies. Where its mean is found nowhere, our likelihood must be higher than
    the one that its test shows, at the pair on the line through its other points, or our fit there has its
    mean. Our adjusted estimate must
    be the first of our table whose test is not significant.
    """
    expected, rtol = case["results"], case["rtol"]
    found = Comparison()
    es = plain_effects(case["data"])
    table = {name: np.asarray(expected[f"slope_{name}"], dtype=float) for name in _COLUMNS}
    none = float(actual["slope_rsb_p"][0])
    first = {name: float(np.asarray(actual[f"slope_{name}"])[0]) for name in _COLUMNS}
    for name in _COLUMNS:
        _near(found, f"{name} without selection", first[name], float(table[name][0]), rtol)
    slope = _likelihood_of_slope(es.y, es.v, none)
    pairs: list[tuple[float, float] | None] = [None]
    for i in range(1, table["estimates"].size):
        pair = _pair(es.y, es.v, table["publication_probability"][i], table["estimates"][i])
        pairs.append(pair)
        if pair is not None:
            fit = fit_copas(es.y, es.v, np.array([pair[0]]), np.array([pair[1]]))
            p = float(stats.chi2.sf(max(0.0, 2 * (slope - fit.log_likelihood[0])), 1))
            if not _is_near(p, table["rsb_p"][i], rtol):
                pairs[-1] = None
            else:
                found.agreed += 2
    known = np.array([pair for pair in pairs if pair is not None])
    for i in range(1, table["estimates"].size):
        if pairs[i] is None:
            _on_the_line(found, es.y, es.v, known, slope, table, i)
    _adjusted(found, case, actual, table, pairs)
    return found


_COLUMNS = ("estimates", "publication_probability", "rsb_p")


def _is_near(ours: float, theirs: float, rtol: float) -> bool:
    return abs(ours - theirs) <= 1e-4 + rtol * abs(theirs)


def _near(found: Comparison, name: str, ours: float, theirs: float, rtol: float) -> None:
    demand(found, f"{name}: {ours!r}, reference {theirs!r}", _is_near(ours, theirs, rtol))


def _likelihood_of_slope(y: Array, v: Array, none: float) -> float:
    """Return the log-likelihood of the regression on standard errors, by dense least squares over tau2."""
    from scipy.optimize import minimize_scalar

    x = np.column_stack([np.ones(y.size), np.sqrt(v)])

    def value(tau2: float) -> float:
        sd = np.sqrt(v + tau2)
        beta = np.linalg.lstsq(x / sd[:, None], y / sd, rcond=None)[0]
        return float(stats.norm.logpdf(y, x @ beta, sd).sum())

    best = minimize_scalar(lambda t: -value(t), bounds=(0, np.ptp(y) ** 2 + v.max()), method="bounded")
    return max(-float(best.fun), value(0.0))


def _pair(y: Array, v: Array, chance: float, estimate: float) -> tuple[float, float] | None:
    """Return gamma0 and gamma1 with that chance of publication at which our mean is the estimate."""
    se = np.sqrt(v)
    probit = float(stats.norm.ppf(chance))
    low, high = 0.0, 4.0 / (1 / se.min() - 1 / se.max())
    for _ in range(4):
        gamma1 = np.linspace(low, high, 25)
        off = fit_copas(y, v, probit - gamma1 / se.max(), gamma1).estimate - estimate
        cross = np.flatnonzero(off[:-1] * off[1:] <= 0)
        if not cross.size:
            return None
        low, high = float(gamma1[cross[0]]), float(gamma1[cross[0] + 1])
    if np.abs(off[cross[0] : cross[0] + 2]).max() > 1e-3 * (abs(estimate) + float(se.min())):
        return None  # a jump between two maxima, not a crossing
    middle = 0.5 * (low + high)
    return probit - middle / float(se.max()), middle


def _on_the_line(
    found: Comparison, y: Array, v: Array, known: Array, slope: float, table: dict[str, Array], i: int
) -> None:
    """Compare our fit where the line of the reference has this chance, or demand a higher likelihood."""
    if len(known) < 2:
        found.different.append(f"row {i} of the table: too few other rows to know its path")
        return
    rise, begin = np.polyfit(known[:, 0], known[:, 1], 1)
    small = float(np.sqrt(v.max()))
    gamma0 = (float(stats.norm.ppf(table["publication_probability"][i])) - begin / small) / (1 + rise / small)
    fit = fit_copas(y, v, np.array([gamma0]), np.array([begin + rise * gamma0]))
    theirs = slope - 0.5 * float(stats.chi2.isf(table["rsb_p"][i], 1))
    gain = float(fit.log_likelihood[0]) - theirs
    if abs(gain) <= 1e-4:
        _near(found, f"row {i} of the table", float(fit.estimate[0]), float(table["estimates"][i]), 0.01)
        return
    demand(found, f"row {i} of the table: our likelihood is higher by {gain!r}", gain > 1e-4)


def _adjusted(
    found: Comparison, case: Case, actual: Fields, table: dict[str, Array], pairs: list[Any]
) -> None:
    """Compare the adjusted estimate with our fit at its place, and ours with our own table."""
    expected, rtol = case["results"], case["rtol"]
    own = np.asarray(actual["slope_rsb_p"])
    clear = np.flatnonzero(own > 0.1)
    ours = np.nan if not clear.size else float(np.asarray(actual["slope_estimates"])[clear[0]])
    first = bool(np.isclose(ours, actual["estimate"], equal_nan=True))
    demand(found, "our estimate is not the first without residual bias", first)
    if expected["estimate"] is None:
        demand(found, "the reference's table reaches 0.1", bool((table["rsb_p"] <= 0.1).all()))
        return
    at = int(np.abs(table["estimates"] - expected["estimate"]).argmin())
    demand(found, "the reference's estimate is not of its table", table["rsb_p"][at] > 0.1)
    if at == 0:
        inner = compare(actual, _without(expected, tuple(f"slope_{name}" for name in _COLUMNS)), rtol, 1e-4)
        found.different += inner.different
        found.agreed += inner.agreed
        return
    if pairs[at] is None:
        found.different.append("the reference's estimate is at no pair")
        return
    es = plain_effects(case["data"])
    gamma0, gamma1 = pairs[at]
    fit = fit_copas(es.y, es.v, np.array([gamma0]), np.array([gamma1]))
    chance = stats.norm.cdf(gamma0 + gamma1 / np.sqrt(es.v))
    reach = float(stats.norm.isf(0.025) * fit.se[0])
    for name, value in (
        ("estimate", fit.estimate[0]),
        ("se", fit.se[0]),
        ("ci_lower", fit.estimate[0] - reach),
        ("ci_upper", fit.estimate[0] + reach),
        ("tau", fit.tau[0]),
        ("unpublished", float(((1 - chance) / chance).sum())),
    ):
        _near(found, name, float(value), expected[name], rtol)
    _near(found, "residual_bias_p", float(table["rsb_p"][at]), expected["residual_bias_p"], rtol)
