"""Selection models where the reference's optimiser stopped early, at a bound of its own, or has no errors.

The likelihood is computed here once more, without the package: steps and truncation by the normal
distribution function, smooth weights by a composite Gauss rule that is dense where weights or density turn.
A result of ours is accepted where this likelihood agrees with ours, is nowhere lower than at the reference's
estimates, and its second differences give our standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special
from scipy.optimize import minimize
from scipy.stats import norm

from metaexo.bias import SelectionModel
from metaexo.bias.selection.fitting import covariance
from tests.reference.adapters.bias.selection import fit_selection, weightr
from tests.reference.cases import Case
from tests.reference.compare import Comparison, compare, demand

Fields = dict[str, Any]
Rule = Callable[[Case, Fields], Comparison]
STEPPED = ("step", "truncated", "truncated-estimated")
# What does not depend on where the optimiser stopped.
KNOWN = (
    "coefficient_names",
    "selection_LRT_df",
    "log_likelihood_without_selection",
    "steps",
    "p_values_one_sided",
)
# Of log p and log(1 - p), the precision and the parameters: the logarithm of the weight.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "half-normal": lambda lp, lq, c, d: -d * c * np.exp(2 * lp),
    "negative-exponential": lambda lp, lq, c, d: -d * c * np.exp(lp),
    "logistic": lambda lp, lq, c, d: np.log(2) - np.logaddexp(0, d * c * np.exp(lp)),
    "power": lambda lp, lq, c, d: d * c * lq,
    "negative-exponential-power": lambda lp, lq, c, d, e: -d * c * np.exp(lp / max(e, 1e-300)),
    "beta": lambda lp, lq, c, a, b: (a - 1) * lp + (b - 1) * lq,
}


def rules_of(case: Case) -> list[Rule]:
    """Return the rules that a case may fall under."""
    topic, call = case["topic"], case["call"]
    if topic == "selection_models":
        return [profile_ends] if call.get("interval_type") else [highest_likelihood]
    if topic == "publication_bias_extra" and call["model"] == "weight_function_step":
        return [weightr_likelihood]
    return []


@dataclass
class Dense:
    """The likelihood of a selection model, computed without the package."""

    fit: SelectionModel

    def __post_init__(self) -> None:
        fit = self.fit
        self.sign = -1.0 if fit.alternative == "less" else 1.0
        self.y, self.v = self.sign * fit.effects.y, fit.effects.v
        self.x = fit.design.matrix(fit.k)
        self.two = fit.alternative == "two-sided"
        imprecision = fit.fitted.shape.precision
        self.c = np.ones(fit.k) if imprecision is None else imprecision

    def __call__(self, beta: Any, tau2: float, weights: Any) -> float:
        """Return the log-likelihood; `weights`: of steps relative to each other, or parameters."""
        mean, s = self.sign * (self.x @ np.atleast_1d(beta)), np.sqrt(self.v + tau2)
        if self.fit.weights in STEPPED:
            seen, area = self._steps(mean, s, np.asarray(weights, dtype=float))
        else:
            seen, area = self._smooth(mean, s, weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (self.y - mean) / s
            density = -0.5 * u * u - 0.5 * np.log(2 * np.pi) - np.log(s)
            return float((np.log(seen) + density - np.log(area)).sum())

    def _steps(self, mean: np.ndarray, s: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fit, root = self.fit, np.sqrt(self.v)
        if fit.weights != "step":
            point = self.sign * (fit.cuts[0] if fit.weights == "truncated" else weights[1])
            below = self.y <= point
            if len(weights) > 2:  # of ours: how many effects are below, the one at the point or not
                below = self.y <= np.sort(self.y)[int(weights[2]) - 1]
            high, low = (0.0, 1.0) if np.isinf(weights[0]) else (1.0, weights[0])
            t = (point - mean) / s
            area = high * special.ndtr(-t) + low * special.ndtr(t)
            return np.where(below, low, high), area
        p = self._p(self.y / root)
        points = -special.ndtri(np.array([0.0, *fit.cuts, 1.0]) / (1 + self.two))
        area = np.zeros(fit.k)
        for weight, (high, low) in zip(weights, pairwise(points), strict=True):
            for ends in ((low, high), (-high, -low)) if self.two else ((low, high),):
                if weight:
                    a, b = ((root * end - mean) / s for end in ends)
                    far = a > 0  # to the right the upper tails keep the digits
                    area = area + weight * np.abs(
                        special.ndtr(np.where(far, -b, b)) - special.ndtr(np.where(far, -a, a))
                    )
        return weights[np.searchsorted(np.array(fit.cuts), p)], area

    def _p(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(2 * special.ndtr(-np.abs(z)) if self.two else special.ndtr(-z))

    def _smooth(self, mean: np.ndarray, s: np.ndarray, delta: Any) -> tuple[np.ndarray, np.ndarray]:
        fit, root = self.fit, np.sqrt(self.v)
        function, top = FUNCTIONS[fit.weights], fit.cuts[0] if fit.cuts else None

        def log_weight(z: np.ndarray, c: Any) -> np.ndarray:
            a = np.abs(z)
            lp = np.log(2) + special.log_ndtr(-a) if self.two else special.log_ndtr(-z)
            lq = np.log(special.ndtr(a) - special.ndtr(-a)) if self.two else special.log_ndtr(z)
            if top is None:
                return np.asarray(function(lp, lq, c, *delta))
            at = np.log(top), np.log1p(-top)
            beyond = function(np.maximum(lp, at[0]), np.minimum(lq, at[1]), c, *delta)
            return np.asarray(beyond - function(*at, c, *delta))

        nodes, ways = np.polynomial.legendre.leggauss(6)
        area = np.empty(fit.k)
        spread = np.sinh(np.linspace(-6, 6, 181)) * (1.0 if fit.weights == "beta" else 0.1)
        with np.errstate(all="ignore"):
            for i in range(fit.k):
                edges = np.concatenate([np.linspace(-9, 9, 109), (mean[i] + s[i] * spread) / root[i]])
                if top is not None:  # where the weight has a kink
                    at = norm.isf(top / (1 + self.two))
                    edges = np.append(edges, (at, -at) if self.two else at)
                edges = np.unique(edges)
                half = 0.5 * np.diff(edges)[:, None]
                z = edges[:-1, None] + half * (1 + nodes)
                u = (z * root[i] - mean[i]) / s[i]
                density = -0.5 * u * u - 0.5 * np.log(2 * np.pi) + np.log(root[i] / s[i])
                area[i] = (half * ways * np.exp(log_weight(z, self.c[i]) + density)).sum()
            return np.exp(log_weight(self.y / root, self.c)), area

    def at(self, fit: SelectionModel) -> float:
        """Return the log-likelihood at the estimates of a fit."""
        return self(fit.coefficients.beta, fit.tau2, relative_weights(fit))


def relative_weights(fit: SelectionModel) -> np.ndarray:
    """Return the weights of the steps relative to each other, or the parameters."""
    if fit.weights == "truncated-estimated":
        return np.array([*fit.delta, fit.counts[1]])
    if fit.weights != "step":
        return np.asarray(fit.delta)
    middles = [0.5 * (a + b) for a, b in pairwise([0.0, *fit.cuts, 1.0])]
    return np.asarray(fit.weight_at(middles))


def second_differences(dense: Dense, fit: SelectionModel) -> np.ndarray:
    """Return standard errors of coefficients, tau2 and weights by second differences; NaN for what is held.

    The differences are taken along the axes of our covariance matrix, in the logarithms of weights and of
    tau2, so that flat directions cost no digits.
    """
    solution, data, p = fit.fitted.solution, fit.fitted.data, fit.design.p
    at = np.concatenate([fit.coefficients.beta, [fit.tau2], relative_weights(fit)])
    cov, _ = covariance(solution)
    free = np.flatnonzero(~solution.held)
    first = fit.weights.startswith("truncated")
    shift = np.nan_to_num(solution.problem.shift)
    to_natural = np.zeros((at.size + first, solution.theta.size))
    to_natural[:p, :p] = data.to_beta
    to_natural[p, p] = (solution.problem.tau2(solution.theta[None])[0] + data.floor) * data.unit**2
    count = solution.theta.size - p - 1
    values = np.append(1.0, at[p + 1 :]) if first else at[p + 1 :]
    for j in range(count):
        known = np.isfinite(values[j])
        to_natural[p + 1 + j, p + 1 + j] = values[j] + shift[j] if known else 0.0
    if first:
        to_natural = np.delete(to_natural, p + 1, axis=0)
    axes = to_natural[:, free] @ np.linalg.cholesky(cov[np.ix_(free, free)])
    size, step = free.size, 3e-4

    def value(i: int, j: int, a: float, b: float) -> float:
        theta = at + step * (a * axes[:, i] + b * axes[:, j])
        return dense(theta[:p], theta[p], theta[p + 1 :])

    hessian = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            rise = value(i, j, 1, 1) - value(i, j, 1, -1) - value(i, j, -1, 1) + value(i, j, -1, -1)
            hessian[i, j] = hessian[j, i] = rise / (4 * step**2)
    return np.asarray(np.sqrt(np.diagonal(axes @ np.linalg.inv(-hessian) @ axes.T)))


def same_standard_errors(found: Comparison, dense: Dense, fit: SelectionModel) -> None:
    """Demand that our standard errors are those of second differences; none at bounds or without maximum."""
    own = np.concatenate([fit.coefficients.se, [fit.tau2_se], fit.delta_se])
    names = [*fit.design.names, "tau2", *fit.delta_names]
    excused = {*fit.certificate.at_bound, *fit.certificate.unbounded}
    if np.isfinite(own).any() and fit.certificate.converged:
        other = second_differences(dense, fit)[: own.size]
        for name, ours, theirs in zip(names, own, other, strict=True):
            if np.isfinite(ours) and ours > 0:
                demand(found, f"se of {name}: {ours!r}, {theirs!r}", math.isclose(ours, theirs, rel_tol=5e-3))
    for name, ours in zip(names, own, strict=True):
        known = np.isfinite(ours) or name in excused or not fit.certificate.converged
        fixed = (name == "tau2" and fit.tau2_given) or name in fit.delta_names
        demand(found, f"no se of {name}", bool(known or fixed))


def not_lower(found: Comparison, dense: Dense, fit: SelectionModel, theirs: float, claimed: float) -> bool:
    """Demand that our likelihood is right, and not below that at the reference's estimates.

    Where ours has no settled maximum, and says so, the reference's must not be one either. Returns whether
    the reference's log-likelihood is that of its estimates: its integrals may be wrong.
    """
    right = abs(theirs - claimed) < 1e-4 * max(1.0, abs(claimed))
    if not fit.certificate.converged:
        words = " ".join(fit.cautions())
        demand(
            found,
            "ours is not settled, and does not say so",
            "do not use the estimate" in words or "flat" in words,
        )
        higher = np.isfinite(theirs) and theirs > fit.llf + 1e-3
        demand(found, f"theirs is higher: {theirs!r}", not (right and higher))
        return bool(right)
    ours = dense.at(fit)
    demand(
        found, f"our log-likelihood {fit.llf!r} is {ours!r}", abs(ours - fit.llf) < 2e-6 * max(1.0, abs(ours))
    )
    demand(found, f"theirs is higher: {theirs!r}", not theirs > fit.llf + 1e-6)
    return bool(right)


def highest_likelihood(case: Case, actual: Fields) -> Comparison:
    """Ours is the higher maximum, or the same one with standard errors that second differences confirm."""
    expected = case["results"]
    known = {name: expected[name] for name in KNOWN if name in expected}
    found = compare(actual, known, case["rtol"], case["atol"])
    fit = fit_selection(case, case["data"])
    dense = Dense(fit)
    theirs = dense(*(np.array(expected[name], dtype=float) for name in ("estimate", "tau2", "delta")))
    right = not_lower(found, dense, fit, theirs, float(expected["log_likelihood"]))
    same_standard_errors(found, dense, fit)
    statistic = 2 * (fit.llf - fit.plain.llf)
    demand(
        found, "our test of selection", math.isclose(max(statistic, 0), actual["selection_LRT"], abs_tol=1e-9)
    )
    heterogeneity = expected["heterogeneity_LRT"]
    if isinstance(heterogeneity, float | int) and fit.certificate.converged:
        none = fit_selection(case, case["data"], tau2=0.0)
        restricted = Dense(none).at(none)
        most = max(0.0, 2 * (fit.llf - restricted))
        ours = actual["heterogeneity_LRT"]
        known = math.isfinite(restricted)  # else the dense integrals of the fit without heterogeneity are 0
        demand(
            found, f"our test of heterogeneity {ours!r} is above {most!r}", ours <= most + 1e-4 or not known
        )
        least = expected["log_likelihood"] - 0.5 * heterogeneity
        if heterogeneity > 0 and right:
            demand(
                found,
                f"without heterogeneity theirs is higher: {least!r}",
                fit.llf - 0.5 * ours >= least - 1e-3,
            )
    return found


def weightr_likelihood(case: Case, actual: Fields) -> Comparison:
    """The same for weightr, whose estimates are tau2 (if it is estimated), the mean and the weights."""
    expected = case["results"]
    found = compare(actual, {"LRT_df": expected["LRT_df"]}, case["rtol"], case["atol"])
    for without in (False, True):
        fit = weightr(case, case["data"], without)
        dense = Dense(fit)
        record = "unadjusted" if without else "adjusted"
        values = list(expected[record])
        tau2 = 0.0 if fit.tau2_given else values.pop(0)
        weights = np.ones(fit.delta.size) if without else np.array([1.0, *values[1:]])
        not_lower(found, dense, fit, dense(values[0], max(tau2, 0.0), weights), -math.inf)
        same_standard_errors(found, dense, fit)
    return found


def profile_ends(case: Case, actual: Fields) -> Comparison:
    """Ends of profile intervals: the dense likelihood, maximised with the end held, falls by 1.92 there."""
    expected = case["results"]
    found = Comparison()
    demand(found, "other parameters", set(actual) == set(expected))
    fit = fit_selection(case, case["data"])
    demand(found, "ours is not settled, and does not say so", fit.certificate.converged or bool(fit.said))
    if not fit.certificate.converged:
        return found
    dense = Dense(fit)
    drop = 0.5 * norm.ppf(0.975) ** 2
    weights = relative_weights(fit)
    place = {"tau^2": 1, **{name.replace("_", "."): 2 + j for j, name in enumerate(fit.delta_names[1:])}}
    for name, i in place.items():
        for end in ("ci_lower", "ci_upper"):
            value = actual[name][end]
            if not np.isfinite(value) or (i > 1 and not np.isfinite(fit.delta).all()):
                continue
            if i == 1 and not np.isfinite(dense(fit.coefficients.beta, value, weights)):
                continue  # so far out that the normal distribution function is 0
            fall = fit.llf - _profile(dense, fit, weights, i, float(value))
            if fall > 10 and value > 100 * fit.tau2:
                continue  # the mean that belongs to it lies where the normal distribution function is 0
            at_end = value == 0 and fall <= drop + 1e-4
            demand(found, f"{name} {end} {value!r} falls by {fall!r}", at_end or abs(fall - drop) < 2e-3)
    return found


def _profile(dense: Dense, fit: SelectionModel, weights: np.ndarray, held: int, value: float) -> float:
    """Return the largest dense log-likelihood with tau2 (1) or a weight (2, ...) held."""
    scale = float(np.median(fit.effects.v))
    start = np.array([fit.estimate, np.log(fit.tau2 + 1e-6 * scale), *np.log(np.maximum(weights[1:], 1e-9))])
    keep = [i for i in range(start.size) if i != held]

    def minus(moves: np.ndarray) -> float:
        theta = start.copy()
        theta[keep] = moves
        tau2 = value if held == 1 else math.exp(min(theta[1], 50))
        inner = np.exp(np.minimum(theta[2:], 50))
        if held > 1:
            inner[held - 2] = value
        first = weights[0]
        found = dense(theta[0], tau2, np.array([first, *inner]))
        return -found if np.isfinite(found) else math.inf

    options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 1500}
    aside = start.copy()  # for where tau2 at 0 makes the search blind to it
    aside[1] = math.log(scale)
    ends = [
        minimize(minus, one[keep], method="Nelder-Mead", options=options)
        for one in (start, aside, aside + math.sqrt(scale) * (np.arange(start.size) == 0))
    ]
    best = min(ends, key=lambda end: float(end.fun))
    again = minimize(minus, best.x, method="Nelder-Mead", options=options)
    return -float(min(best.fun, again.fun))
