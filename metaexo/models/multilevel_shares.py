"""Shares of the variability of effects by random term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metaexo.models.multilevel_profile import limits, lower_limit, refit_at, upper_limit
from metaexo.numeric.mixed.likelihood import evaluate
from metaexo.numeric.mixed.maximum import parameter_scale, variance_unit
from metaexo.numeric.mixed.problem import NotPositiveDefinite
from metaexo.numeric.mixed.structures import Diagonal, Homogeneous
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.multilevel_results import MultilevelResults


def term_variances(fit: MultilevelResults, theta: Array) -> Array:
    """Return the mean variance that each term adds to an effect, at given parameters."""
    gs = fit.problem.matrices(theta)
    return np.array(
        [named.term.contributions(g).mean() for named, g in zip(fit.terms, gs, strict=True)], dtype=float
    )


def shares(fit: MultilevelResults, interval: bool, level: float | None) -> pd.DataFrame:
    """Return the share of each term; see `MultilevelResults.i2`."""
    import pandas as pd

    v = fit.typical_variance
    variances = term_variances(fit, fit.maximum.theta)
    total = variances.sum()
    frame = pd.DataFrame(
        {"variance": [*variances, total], "i2": [*(variances / (total + v)), total / (total + v)]},
        index=pd.Index([*(named.name for named in fit.terms), "total"], name="term"),
    )
    if not interval:
        return frame
    bounds = [_interval(fit, j, v, level) for j in range(len(fit.terms))]
    bounds.append(_interval_of_total(fit, float(total), v, level))
    frame["low"] = [low for low, _ in bounds]
    frame["high"] = [high for _, high in bounds]
    return frame


def _interval(fit: MultilevelResults, j: int, v: float, level: float | None) -> tuple[float, float]:
    """Return the shares of a term at the limits of its variance; NaN where it has several variances."""
    named = fit.terms[j]
    if named.kinds.count("variance") != 1:
        return np.nan, np.nan
    component = named.components[named.kinds.index("variance")]
    if fit.components.loc[component, "fixed"]:
        return np.nan, np.nan
    found = limits(fit, component, level)
    if not np.isfinite(found.high):
        return np.nan, 1.0
    own = []
    for value in (found.low, found.high):
        variances = term_variances(fit, refit_at(fit, component, value).theta)
        own.append(float(variances[j] / (variances.sum() + v)))
    return min(own), max(own)


def _interval_of_total(
    fit: MultilevelResults, total: float, v: float, level: float | None
) -> tuple[float, float]:
    """Return the shares at the profile-likelihood limits of the total variance; NaN if it is not linear."""
    from scipy import special

    if v == 0:  # values without sampling variances: all their variance is that of the terms
        return 1.0, 1.0
    loads = _loads(fit)
    if loads is None or not np.isfinite(v):
        return np.nan, np.nan
    critical = float(special.chdtri(1, 1 - fit._level(level)))
    seen: dict[float, float] = {}

    def excess(x: float) -> float:
        if x not in seen:
            seen[x] = 2 * (fit.maximum.llf - _highest_with_total(fit, loads, x)) - critical
        return seen[x]

    low, _ = lower_limit(excess, total, 0.0)
    high, _ = upper_limit(excess, total, np.inf, variance_unit(fit.problem)[0])
    return low / (low + v) if low > 0 else 0.0, high / (high + v) if np.isfinite(high) else 1.0


def _loads(fit: MultilevelResults) -> Array | None:
    """Return what each parameter adds to the total variance; None if that depends on the others."""
    if fit.fixed or not all(isinstance(t.structure, Diagonal | Homogeneous) for t in fit.problem.terms):
        return None
    parts = []
    for term, theta in zip(fit.problem.terms, fit.problem.split(fit.maximum.theta), strict=True):
        changes = term.structure.derivatives(theta)
        parts.append([float(term.contributions(change).mean()) for change in changes])
    loads = np.concatenate([np.empty(0), *parts])
    return loads if loads.any() else None


def _highest_with_total(fit: MultilevelResults, loads: Array, total: float) -> float:
    """Return the highest log-likelihood at which the terms' variances add up to a total."""
    from scipy.optimize import minimize

    scale = parameter_scale(fit.problem)
    lower, upper = fit.problem.bounds()
    start = fit.maximum.theta.copy()
    variances = loads > 0
    own = start[variances] + 1e-3 * scale[variances]
    start[variances] = own * total / (loads[variances] @ own)

    def negative(scaled: Array) -> tuple[float, Array]:
        try:
            found = evaluate(fit.problem, np.clip(scaled * scale, lower, upper), fit.method == "REML")
        except (NotPositiveDefinite, np.linalg.LinAlgError):
            return float("inf"), np.zeros(scaled.size)
        return -found.llf, -found.gradient * scale

    found = minimize(
        negative,
        start / scale,
        jac=True,
        method="SLSQP",
        bounds=list(zip(lower / scale, upper / scale, strict=True)),
        constraints={
            "type": "eq",
            "fun": lambda x: (
                (loads * scale) @ x / max(total, 1e-300) - 1 if total > 0 else (loads * scale) @ x
            ),
            "jac": lambda x: loads * scale / (total if total > 0 else 1.0),
        },
        options={"ftol": 1e-12, "maxiter": 200},
    )
    return -float(found.fun)
