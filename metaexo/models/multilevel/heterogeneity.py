"""Variance components as tables, and the shares of the variability of effects that they account for.

References
----------
Nakagawa, S., Santos, E. S. A. (2012). Methodological issues and advances in biological meta-analysis.
Evolutionary Ecology 26, 1253-1274. https://doi.org/10.1007/s10682-012-9555-5
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from metaexo.inputs import check_choice
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.multilevel.fit import MultilevelFit, variances_of_terms
from metaexo.models.multilevel.profile import limits, lower_limit, refit_at, upper_limit
from metaexo.numeric.mixed.likelihood import evaluate
from metaexo.numeric.mixed.maximum import parameter_scale, variance_unit
from metaexo.numeric.mixed.problem import NotPositiveDefinite
from metaexo.numeric.mixed.structures import Diagonal, Homogeneous
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("profile",)


def component_table(fit: MultilevelFit) -> pd.DataFrame:
    """Return the parameters of the random terms; see `MultilevelResults.components`."""
    import pandas as pd

    rows = [
        {
            "component": name,
            "term": named.name,
            "structure": named.structure,
            "kind": kind,
            "estimate": fit.component_values[name],
            "sd": math.sqrt(fit.component_values[name]) if kind == "variance" else math.nan,
            "levels": named.term.levels,
            "fixed": name in fit.fixed_components,
            "at_bound": _at_bound(kind, fit.component_values[name]),
        }
        for named in fit.terms
        for name, kind in zip(named.components, named.kinds, strict=True)
    ]
    columns = ["component", "term", "structure", "kind", "estimate", "sd", "levels", "fixed", "at_bound"]
    return pd.DataFrame(rows, columns=columns).set_index("component")


def _at_bound(kind: str, value: float) -> bool:
    """Say whether a component is at the edge of what it can be."""
    return value <= 1e-12 if kind != "correlation" else abs(value) >= 1 - 1e-9


def matrix(fit: MultilevelFit, term: str) -> pd.DataFrame:
    """Return the covariance matrix of one term by its inner levels; see `MultilevelResults.matrix`."""
    import pandas as pd

    j = fit.position(term)
    names = fit.terms[j].inner or (term,)
    g = fit.g[j]
    if len(g) != len(names):
        g = np.full((len(names), len(names)), g[0, 1]) + (g[0, 0] - g[0, 1]) * np.eye(len(names))
    return pd.DataFrame(g, index=pd.Index(names), columns=pd.Index(names))


def tau2_limits(fit: MultilevelFit, level: float, method: str | None) -> Tau2Limits | None:
    """Return profile-likelihood intervals of the variances that were estimated; none by default.

    They take some refits for each variance, so that tables and summaries do without.
    """
    if method is None:
        return None
    check_choice("method", method, METHODS)
    estimated = [name for name in fit.tau2_by_component if name not in fit.fixed_components]
    found = {name: limits(fit, name, level) for name in estimated}
    return Tau2Limits({name: (one.low, one.high) for name, one in found.items()}, "profile likelihood")


def shares(fit: MultilevelFit, level: float | None) -> pd.DataFrame:
    """Return the share of each term with intervals; see `MultilevelResults.conf_int_i2`."""
    import pandas as pd

    v, total = fit.typical_variance, fit.tau2
    bounds = [_interval(fit, j, v, level) for j in range(len(fit.terms))]
    bounds.append(_interval_of_total(fit, total, v, level))
    variances = np.append(fit.term_variances, total)
    return pd.DataFrame(
        {
            "variance": variances,
            "i2": variances / (total + v),
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
        },
        index=pd.Index([*(named.name for named in fit.terms), "total"], name="term"),
    )


def _interval(fit: MultilevelFit, j: int, v: float, level: float | None) -> tuple[float, float]:
    """Return the shares of a term at the limits of its variance; NaN where it has several variances."""
    named = fit.terms[j]
    if named.kinds.count("variance") != 1:
        return np.nan, np.nan
    component = named.components[named.kinds.index("variance")]
    if component in fit.fixed_components:
        return np.nan, np.nan
    found = limits(fit, component, level)
    if not np.isfinite(found.high):
        return np.nan, 1.0
    own = []
    for value in (found.low, found.high):
        variances = variances_of_terms(
            fit.problem, fit.problem.matrices(refit_at(fit, component, value).theta)
        )
        own.append(float(variances[j] / (variances.sum() + v)))
    return min(own), max(own)


def _interval_of_total(
    fit: MultilevelFit, total: float, v: float, level: float | None
) -> tuple[float, float]:
    """Return the shares at the profile-likelihood limits of the total variance; NaN if it is not linear."""
    from scipy import special

    if v == 0:  # values without sampling variances: all their variance is that of the terms
        return 1.0, 1.0
    loads = _loads(fit)
    if loads is None or not np.isfinite(v):
        return np.nan, np.nan
    critical = float(special.chdtri(1, 1 - fit.at_level(level)))
    seen: dict[float, float] = {}

    def excess(x: float) -> float:
        if x not in seen:
            seen[x] = 2 * (fit.maximum.llf - _highest_with_total(fit, loads, x)) - critical
        return seen[x]

    low, _ = lower_limit(excess, total, 0.0)
    high, _ = upper_limit(excess, total, np.inf, variance_unit(fit.problem)[0])
    return low / (low + v) if low > 0 else 0.0, high / (high + v) if np.isfinite(high) else 1.0


def _loads(fit: MultilevelFit) -> Array | None:
    """Return what each parameter adds to the total variance; None if that depends on the others."""
    if fit.fixed or not all(isinstance(t.structure, Diagonal | Homogeneous) for t in fit.problem.terms):
        return None
    parts = []
    for term, theta in zip(fit.problem.terms, fit.problem.split(fit.maximum.theta), strict=True):
        changes = term.structure.derivatives(theta)
        parts.append([float(term.contributions(change).mean()) for change in changes])
    loads = np.concatenate([np.empty(0), *parts])
    return loads if loads.any() else None


def _highest_with_total(fit: MultilevelFit, loads: Array, total: float) -> float:
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
