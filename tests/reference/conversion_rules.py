"""Conversions where the reference is not the better answer; as in `effect_rules`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import integrate

from metaexo import effects
from metaexo.effects.conversions import delta
from tests.reference import five_number_rules
from tests.reference.adapters.effect_conversions import DELTA_FUNCTIONS, SCALES, column
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand
from tests.reference.effect_rules import OF_VARIANCE, Fields, Rule

END = 1e-3
STATISTICS = ("sens", "spec", "ppv", "npv")


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case of the topic conversions may fall under."""
    call = case["call"]
    if case["topic"] != "conversions":
        return []
    if call["operation"] == "mean_sd_from_five_numbers":
        return five_number_rules.rules_of(case)
    if call["operation"] == "reconstruct_2x2" and "sens" in call["columns"]:
        return [nearer_table]
    if call["operation"] == "transformation" and call["name"].endswith(".int"):
        return [failed_integral]
    if call["operation"] == "transformation" and call["name"].endswith(".mode"):
        return [better_modes]
    second_order = call["operation"] == "multivariate_delta_method" and call["order"] > 1
    return [squares_for_a_trace] if second_order else []


def nearer_table(case: Case, actual: Fields) -> Comparison:
    """Tables from rounded statistics: where the two differ, ours is nearer to what was reported."""
    expected, columns = case["results"], case["call"]["columns"]
    reported = [
        column(case["data"], columns[name]) if name in columns else np.full(len(expected["ai"]), np.nan)
        for name in STATISTICS
    ]
    totals = column(case["data"], columns["n"])
    found = Comparison()
    for i in range(len(expected["ai"])):
        ours, theirs = (
            np.array([x[name][i] for name in ("ai", "bi", "ci", "di")]) for x in (actual, expected)
        )
        if not compare(ours, theirs.tolist(), 0.0, 1e-9).different:
            found.agreed += 1
            continue
        sums = [_distance(table, [x[i] for x in reported]) for table in (ours, theirs)]
        demand(found, f"row {i}: sums of squares {sums}", sums[0] < sums[1])
        whole = (ours >= 0).all() and (ours == np.round(ours)).all() and ours.sum() == totals[i]
        demand(found, f"row {i}: {ours}", bool(whole))
    return found


def _distance(table: np.ndarray, reported: list[float]) -> float:
    a, b, c, d = (float(x) for x in table)
    found = (a / (a + c), d / (b + d), a / (a + b), d / (c + d))
    return sum((x - y) ** 2 for x, y in zip(found, reported, strict=True) if math.isfinite(y))


# -- back-transformed distributions -------------------------------------------------------------------------


def _scale(case: Case) -> effects.Transformation:
    return effects.get_transformation(SCALES[case["call"]["name"].split(".")[0]][0])


def failed_integral(case: Case, actual: Fields) -> Comparison:
    """Means over a confined normal distribution: some integrals of the reference came out as 0 or not at all.

    Without spread it takes the inverse of Fisher's z for other scales.
    """
    mu, tau2 = column(case["data"], "mu"), column(case["data"], "tau2")
    scale, found = _scale(case), Comparison()
    for i, row in enumerate(case["results"]["value"]):
        for j, theirs in enumerate(row):
            ours, where = float(actual["value"][i][j]), f"value[{i}][{j}]"
            if not compare(ours, theirs, case["rtol"], case["atol"]).different:
                found.agreed += 1
                continue
            spread = math.sqrt(tau2[i])
            failed = theirs is None or theirs == 0
            if spread == 0:
                failed = math.isclose(theirs, math.tanh(mu[j]), rel_tol=1e-12)
            exact = confined_mean(scale, float(mu[j]), spread) if spread else float(scale.inverse(mu[j]))
            demand(found, f"{where} of the reference is {theirs!r}", failed)
            demand(found, f"{where} {ours!r}, {exact!r}", math.isclose(ours, exact, rel_tol=1e-8))
    return found


def confined_mean(scale: effects.Transformation, mu: float, tau: float) -> float:
    """Return the mean of the inverse over the confined normal distribution, by adaptive quadrature."""
    low, high = max(scale.low, mu - 12 * tau), min(scale.high, mu + 12 * tau)
    if mu < scale.low:
        low, high = scale.low, min(scale.high, scale.low + 60 * tau**2 / (scale.low - mu))
    peak = min(max(mu, low), high)

    def weight(z: float) -> float:
        return math.exp(((peak - mu) ** 2 - (z - mu) ** 2) / (2 * tau**2))

    points = [peak] if low < peak < high else None
    options: dict[str, Any] = {"epsabs": 0, "epsrel": 1e-11, "limit": 500, "points": points}
    top = integrate.quad(lambda z: weight(z) * float(scale.inverse(np.asarray(z))), low, high, **options)[0]
    return top / integrate.quad(weight, low, high, **options)[0]


def better_modes(case: Case, actual: Fields) -> Comparison:
    """Modes of back-transformed distributions: where the two differ, the density is higher at ours.

    Without spread the mode is the inverse itself; the reference takes the arcsine scale's for others. A
    density may have a pole at an end; for a mean at or beyond the lower end the mass is there, and the
    reference goes to the upper one.
    """
    mu, tau2 = column(case["data"], "mu"), column(case["data"], "tau2")
    scale, found = _scale(case), Comparison()
    arcsine = effects.get_transformation("arcsine")
    for i, row in enumerate(case["results"]["value"]):
        for j, theirs in enumerate(row):
            ours, centre = float(actual["value"][i][j]), float(mu[j % mu.size])
            if not compare(ours, theirs, case["rtol"], case["atol"]).different:
                found.agreed += 1
            elif tau2[i] == 0:
                exact = float(scale.inverse(np.asarray(centre)))
                demand(
                    found, f"value[{i}][{j}] {ours!r}, {exact!r}", math.isclose(ours, exact, rel_tol=1e-14)
                )
                of_arcsine = float(arcsine.inverse(np.asarray(centre)))
                demand(found, f"theirs[{i}][{j}]", math.isclose(theirs, of_arcsine, abs_tol=1e-12))
            elif centre <= scale.low:
                at_low = ours == float(scale.inverse(np.asarray(scale.low)))
                demand(found, f"value[{i}][{j}] {ours!r} is not the lower end", at_low)
                top = 1.0 if not math.isfinite(scale.high) else float(scale.inverse(np.asarray(scale.high)))
                demand(found, f"theirs[{i}][{j}] {theirs!r} is not the upper end", abs(theirs - top) < END)
            else:
                heights = [_log_density(scale, x, centre, float(tau2[i])) for x in (ours, theirs)]
                demand(found, f"value[{i}][{j}]: log densities {heights}", heights[0] > heights[1])
    return found


def _log_density(scale: effects.Transformation, x: float, mu: float, tau2: float) -> float:
    """Return the log density of a back-transformed value, but for a constant; NaN for one that cannot be."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.asarray(scale.forward(np.asarray(x)))
        return float(-((z - mu) ** 2) / (2 * tau2) - np.log(scale.inverse_slope(z)))


# -- delta method -------------------------------------------------------------------------------------------


def squares_for_a_trace(case: Case, actual: Fields) -> Comparison:
    """The variance of second order is trace(HVHV)/2; the reference sums the squares of the entries of HV."""
    expected, names = case["results"], [("se" if name == "sei" else name) for name in OF_VARIANCE]
    kept = {name: value for name, value in expected.items() if name not in (*names, "vcov")}
    found = compare({name: actual[name] for name in kept}, kept, case["rtol"], case["atol"])
    b, v = np.array(case["data"]["estimate"]), np.array(case["data"]["vcov"])
    for i, text in enumerate(case["call"]["functions"]):

        def function(x: np.ndarray, text: str = text) -> np.ndarray:
            return np.array([DELTA_FUNCTIONS[text](*x)])

        g, h = delta.jacobian(function, b)[0], delta.hessians(function, b)[0]
        first, hv = float(g @ v @ g), h @ v
        theirs = math.sqrt(first + (hv**2).sum() / 2)
        demand(found, f"se[{i}] by their formula", math.isclose(expected["se"][i], theirs, rel_tol=1e-5))
        # a quadratic function of normal variables: its variance by the sum over the roots of HV
        roots = np.linalg.eigvals(hv)
        exact = math.sqrt(first + float((roots**2).sum().real) / 2)
        demand(found, f"se[{i}]", math.isclose(actual["se"][i], exact, rel_tol=1e-7))
        z = float(actual["estimate"][i]) / exact
        demand(found, f"z[{i}]", math.isclose(actual["z"][i], z, rel_tol=1e-6))
    return found
