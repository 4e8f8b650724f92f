"""Regression tests of funnel asymmetry where the reference refuses, or divides rounding errors.

What is demanded is computed with 60 decimal digits from the data of the case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]

DIGITS = 60
# The reference takes a design as not of full rank if an eigenvalue of X'X is below this, whatever its scale.
EIGENVALUE = 1e-7
PREDICTORS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "sei": lambda v, n: v.sqrt(),
    "vi": lambda v, n: v,
    "ni": lambda v, n: n,
    "ninv": lambda v, n: 1 / n,
    "sqrtni": lambda v, n: n.sqrt(),
    "sqrtninv": lambda v, n: 1 / n.sqrt(),
}


def _is_regression(case: Case) -> bool:
    return case["call"].get("model") == "funnel_asymmetry_regression"


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    if not _is_regression(case) or "moderator_formula" in case["call"]:
        return []
    return [no_spread, lower_restricted] if "REML" in case["call"]["regression"] else [no_spread]


def refusals_of(case: Case) -> list[Rule]:
    """Return the rules by which a refusal of the reference may not be ours."""
    return [small_eigenvalue] if _is_regression(case) and "moderator_formula" not in case["call"] else []


class _Exact(NamedTuple):
    """A regression on one predictor at a given tau2."""

    beta: tuple[Decimal, Decimal]
    se: tuple[Decimal, Decimal]  # by the model
    weighted_ss: Decimal
    score: Decimal  # twice the derivative of the restricted log-likelihood in tau2
    likelihood: Decimal  # the restricted log-likelihood, less its constant


def _columns(case: Case) -> tuple[list[Decimal], list[Decimal], list[Decimal]]:
    """Return effects, variances and the predictor as they stand in the data."""
    data, make = case["data"], PREDICTORS[case["call"]["predictor"]]
    y, v = ([Decimal(x) for x in data[name]] for name in ("yi", "vi"))
    return y, v, [make(one, Decimal(n)) for one, n in zip(v, data["ni"], strict=True)]


def exact_regression(case: Case, tau2: float) -> _Exact:
    """Return the weighted regression with variances v + tau2."""
    y, v, x = _columns(case)
    w = [1 / (one + Decimal(tau2)) for one in v]
    total = sum(w)
    middle = sum(a * b for a, b in zip(w, x, strict=True)) / total
    centred = [one - middle for one in x]
    sxx = sum(a * b * b for a, b in zip(w, centred, strict=True))
    slope = sum(a * b * c for a, b, c in zip(w, centred, y, strict=True)) / sxx
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / total
    residuals = [c - mean - slope * b for b, c in zip(centred, y, strict=True)]
    weighted_ss = sum(a * e * e for a, e in zip(w, residuals, strict=True))
    hat = [a * (1 / total + b * b / sxx) for a, b in zip(w, centred, strict=True)]
    trace = sum(a * (1 - h) for a, h in zip(w, hat, strict=True))
    score = sum((a * e) ** 2 for a, e in zip(w, residuals, strict=True)) - trace
    return _Exact(
        (mean - slope * middle, slope),
        ((1 / total + middle * middle / sxx).sqrt(), (1 / sxx).sqrt()),
        Decimal(weighted_ss),
        Decimal(score),
        (sum(one.ln() for one in w) - (total * sxx).ln() - weighted_ss) / 2,
    )


def _demand_numbers(found: Comparison, case: Case, record: Fields, exact: _Exact, rtol: float = 1e-7) -> None:
    """Demand that slope, test and limit of a record are those of the exact regression."""
    regression, k = case["call"]["regression"], len(case["data"]["yi"])
    free = "free multiplicative dispersion" in regression or "Knapp-Hartung" in regression
    factor = math.sqrt(exact.weighted_ss / (k - 2)) if free else 1.0
    se = [float(one) * factor for one in exact.se]
    statistic = float(exact.beta[1]) / se[1]
    df = k - 2 if free else math.inf
    quantile = stats.t.isf(0.025, df)
    values = {
        "coefficients": [float(one) for one in exact.beta],
        "coefficient_se": se,
        "statistic": statistic,
        "p_value": 2 * float(stats.t.sf(abs(statistic), df)),
    }
    if case["call"]["predictor"] not in ("ni", "sqrtni"):
        ends = float(exact.beta[0]), quantile * se[0]
        values |= {"limit_estimate": ends[0]}
        values |= {"limit_ci_lower": ends[0] - ends[1], "limit_ci_upper": ends[0] + ends[1]}
    inner = compare(record, values, rtol, 1e-14 * max(map(abs, case["data"]["yi"])))
    found.different += inner.different + [f"no field {name}" for name in inner.absent]
    found.agreed += inner.agreed


def _demand_tau2(found: Comparison, case: Case, tau2: float) -> None:
    """Demand that tau2 is that of the estimator: 0, DerSimonian and Laird's, or where the score is 0."""
    regression = case["call"]["regression"]
    if "REML" in regression:
        scale = exact_regression(case, tau2)
        steps = (1 - 1e-6, 1 + 1e-6)
        low, high = (exact_regression(case, tau2 * step).score for step in steps)
        holds = scale.score <= 0 if tau2 == 0 else low > 0 > high
        demand(found, f"the restricted likelihood has no maximum at {tau2!r}", bool(holds))
    elif "DL" in regression:
        y, v, x = _columns(case)
        at_zero = exact_regression(case, 0.0)
        w = [1 / one for one in v]
        middle = sum(a * b for a, b in zip(w, x, strict=True)) / sum(w)
        sxx = sum(a * (b - middle) ** 2 for a, b in zip(w, x, strict=True))
        trace = sum(a * (1 - a * (1 / sum(w) + (b - middle) ** 2 / sxx)) for a, b in zip(w, x, strict=True))
        expected = max(0.0, float((at_zero.weighted_ss - len(y) + 2) / Decimal(trace)))
        spread = max(x) - min(x)  # of a predictor that was rounded before it is centred
        near = max(1e-9, 1e-14 * float(max(x) / spread))
        demand(found, f"our tau2 is {tau2!r}", math.isclose(tau2, expected, rel_tol=near, abs_tol=1e-300))
    else:
        demand(found, f"our tau2 is {tau2!r}", tau2 == 0)


def restricted_tau2(case: Case) -> float:
    """Return the tau2 of the highest restricted likelihood, by the exact score and likelihood."""
    v = case["data"]["vi"]
    grid = [0.0, *(float(np.median(v)) * np.geomspace(1e-6, 1e6, 49))]
    scores = [exact_regression(case, tau2).score for tau2 in grid]
    places = [0.0]
    for low, high, before, after in zip(grid, grid[1:], scores, scores[1:], strict=False):
        if before > 0 >= after:
            ends = [low, high]
            for _ in range(45):
                middle = sum(ends) / 2
                ends[int(exact_regression(case, middle).score <= 0)] = middle
            places.append(sum(ends) / 2)
    return max(places, key=lambda tau2: exact_regression(case, tau2).likelihood)


def small_eigenvalue(case: Case, actual: Fields) -> Comparison:
    """The reference refuses designs with a small eigenvalue of X'X, which depends on the unit of the data.

    The design is of full rank: the predictor differs between studies by far more than rounding errors do. Our
    numbers are those of the regression in exact arithmetic.
    """
    found = Comparison()
    with localcontext(prec=DIGITS):
        x = np.array([float(one) for one in _columns(case)[2]])
        design = np.column_stack([np.ones(x.size), x])
        least = float(np.linalg.eigvalsh(design.T @ design)[0])
        demand(found, f"the least eigenvalue is {least!r}", least < EIGENVALUE)
        own = float(np.linalg.norm(x - x.mean()) / np.linalg.norm(x))
        demand(found, f"the predictor differs by {own!r} of its size", own > 1e-9)
        tau2 = 0.0 if math.isnan(actual["tau2"]) else actual["tau2"]
        _demand_tau2(found, case, tau2)
        _demand_numbers(found, case, actual, exact_regression(case, tau2))
    return found


def no_spread(case: Case, actual: Fields) -> Comparison:
    """Effects without any spread have a slope and a standard error of 0, and by ours no test.

    The reference divides one rounding error by another, or by 0.
    """
    of_test = ("statistic", "p_value")
    rest = {name: value for name, value in case["results"].items() if name not in of_test}
    found = compare(actual, rest, case["rtol"], case["atol"])
    demand(found, "the effects have a spread", np.ptp(case["data"]["yi"]) == 0)
    for name in of_test:
        demand(found, f"our {name} is {actual[name]!r}", math.isnan(actual[name]))
    return found


def lower_restricted(case: Case, actual: Fields) -> Comparison:
    """The reference's iteration ended in a lower maximum of the restricted likelihood, or before the highest.

    In exact arithmetic ours is a maximum and higher; the numbers of both are those of the regression at their
    tau2.
    """
    expected = case["results"]
    found = Comparison()
    with localcontext(prec=DIGITS):
        ours = exact_regression(case, actual["tau2"])
        _demand_tau2(found, case, actual["tau2"])
        _demand_numbers(found, case, actual, ours)
        demand(found, "the reference tells no tau2", "tau2" in expected)
        if found.different:
            return found
        theirs = exact_regression(case, expected["tau2"])
        _demand_numbers(found, case, expected, theirs, 1e-5)
        gain = float(ours.likelihood - theirs.likelihood)
        demand(found, f"our restricted log-likelihood is {gain!r} above", gain > 0)
    return found
