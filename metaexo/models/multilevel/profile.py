"""Variance components: tables, profile likelihoods, shares, and likelihood-ratio tests between structures.

The deviance of a value is twice the loss of log-likelihood when the component is held there and all other
components are at their best. The interval holds the values whose deviance is below the chi-square quantile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import ConvergenceError, InputError, NotNestedError, UnknownChoiceError
from metaexo.immutable import Immutable
from metaexo.inputs import read_numbers, read_words
from metaexo.models.linear.choices import get_interval
from metaexo.models.linear.fit import Tau2Limits
from metaexo.models.linear.hypothesis import TestResult
from metaexo.models.linear.likelihood_ratio import LikelihoodRatioTest, same_data, within
from metaexo.models.multilevel.fit import MultilevelFit, variances_of_terms
from metaexo.models.multilevel.multivariate_moments import METHODS as MOMENTS
from metaexo.models.multilevel.multivariate_moments import WORDS
from metaexo.models.multilevel.terms import NamedTerm, holds
from metaexo.numeric.mixed.likelihood import evaluate
from metaexo.numeric.mixed.maximum import MixedMaximum, parameter_scale, variance_unit
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.share_profile import share_limits
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.structures import Diagonal, Homogeneous, Unstructured
from metaexo.numeric.mixed.terms import Term
from metaexo.numeric.tails import chi2_tail
from metaexo.numeric.weighted import refuse_own_weights
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

GRID_POINTS = 41
LIMIT_TOLERANCE = 1e-9
# Doublings of a variance before its upper limit counts as infinite.
DOUBLINGS = 60
# Where warm starts begin, in units of a parameter's size, if the parameter rests at zero.
NUDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Limits:
    """A profile-likelihood interval.

    Attributes
    ----------
    estimate, low, high : float
        Estimate and limits.
    low_open, high_open : bool
        Whether the limit is the edge of the parameter's range, which the data do not exclude.
    """

    estimate: float
    low: float
    high: float
    low_open: bool
    high_open: bool


@dataclass(frozen=True, eq=False)
class ComponentProfile(Immutable):
    """The profile likelihood of one component.

    Attributes
    ----------
    component : str
        Its name.
    value : ndarray, shape (g,)
        Values it was held at.
    llf : ndarray, shape (g,)
        Log-likelihood with all other components at their best.
    maximum : float
        Log-likelihood of the fit.
    limits : Limits
        Estimate and interval.
    level : float
        Level of the interval.
    """

    component: str
    value: Array
    llf: Array
    maximum: float
    limits: Limits
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per value: value, llf, below (distance to the maximum)."""
        import pandas as pd

        return pd.DataFrame({"value": self.value, "llf": self.llf, "below": self.maximum - self.llf})


def intervals(fit: MultilevelFit, components: Sequence[str] | None, level: float | None) -> pd.DataFrame:
    """Return profile intervals of components; see `MultilevelResults.conf_int_components`."""
    import pandas as pd

    if components is None:
        names = [name for name in fit.component_values if name not in fit.fixed_components]
    else:
        names = [components] if isinstance(components, str) else list(read_words(components, "components"))
    found = [limits(fit, name, level) for name in names]
    columns = {field.name: [getattr(one, field.name) for one in found] for field in fields(Limits)}
    return pd.DataFrame(columns, index=pd.Index(names, name="component"))


def profile(
    fit: MultilevelFit, component: str | None, grid: ArrayLike | None, level: float | None
) -> ComponentProfile:
    """Return the profile likelihood of a component; see `MultilevelResults.profile`."""
    if component is None:
        component = _only_component(fit)
    found = limits(fit, component, level)
    if grid is None:
        low, high = edges(fit, component)
        width = (min(found.high, 1e3 * max(found.estimate, variance_unit(fit.problem)[0])) - found.low) or 1.0
        points = np.linspace(
            max(low, found.low - 0.3 * width), min(high, found.low + 1.3 * width), GRID_POINTS
        )
    else:
        points = _read_grid(fit, component, grid)
    llf = np.array([refit_at(fit, component, float(x)).llf for x in points])
    return ComponentProfile(component, points, llf, fit.maximum.llf, found, fit.at_level(level))


def refuse_moments(fit: MultilevelFit, what: str) -> None:
    """Raise if the components do not maximise a likelihood."""
    if fit.method in MOMENTS:
        raise InputError(
            f"the components were estimated by {WORDS[fit.method]} ({fit.method}), and {what} needs the "
            "maximum of a likelihood",
            "a fit by REML or ML",
            'fit the model with method="REML"',
        )


def _only_component(fit: MultilevelFit) -> str:
    """Return the component that was estimated, if there is only one."""
    names = [name for name in fit.component_values if name not in fit.fixed_components]
    if len(names) != 1:
        raise InputError(
            f"no component is named, and the fit estimated {len(names) or 'none'}",
            f"one of {', '.join(names)}" if names else "a component that was estimated",
            f"write fit.profile({names[0]!r})" if names else "estimate a variance: leave out fix=",
        )
    return names[0]


def _read_grid(fit: MultilevelFit, component: str, grid: ArrayLike) -> Array:
    """Return the values of a grid; refuse those that the component cannot have."""
    points = read_numbers(grid, "grid").ravel()
    low, high = edges(fit, component)
    bad = ~(np.isfinite(points) & (points >= low) & (points <= high))
    if bad.any() or not points.size:
        raise InputError(
            f"grid holds values that {component} cannot have" if points.size else "grid is empty",
            f"finite numbers from {low:g} to {high:g}",
            rows=[f"{x:g}" for x in points[bad]],
        )
    return points


def find(fit: MultilevelFit, component: object) -> tuple[int, int]:
    """Return the positions of the term and of the component in it."""
    for j, named in enumerate(fit.terms):
        if isinstance(component, str) and component in named.components:
            return j, named.components.index(component)
    raise UnknownChoiceError("variance component", component, list(fit.component_values))


def edges(fit: MultilevelFit, component: str) -> tuple[float, float]:
    """Return the least and the largest value that a component can have."""
    j, i = find(fit, component)
    named = fit.terms[j]
    if named.kinds[i] != "correlation":
        return 0.0, np.inf
    if isinstance(named.term.structure, Unstructured):
        return -1.0, 1.0
    low, high = named.term.structure.bounds
    return float(low[i]), float(high[i])


def limits(fit: MultilevelFit, component: str, level: float | None) -> Limits:
    """Return the profile-likelihood interval of one component."""
    from scipy import special

    refuse_moments(fit, "a profile-likelihood interval")
    j, i = find(fit, component)
    if int(fit.problem.offsets[j]) + i in fit.fixed and not isinstance(
        fit.terms[j].term.structure, Unstructured
    ):
        raise InputError(f"{component} was held fixed", "a component that was estimated")
    estimate = fit.component_values[component]
    critical = float(special.chdtri(1, 1 - fit.at_level(level)))
    seen: dict[float, float] = {}

    low_edge, high_edge = edges(fit, component)

    def excess(x: float) -> float:
        if x not in seen:
            try:
                seen[x] = 2 * (fit.maximum.llf - refit_at(fit, component, x).llf) - critical
            except ConvergenceError:
                if x != low_edge:
                    raise
                seen[x] = float("inf")  # a singular covariance matrix: the likelihood falls to zero there
        return seen[x]

    if not np.isfinite(estimate):
        return Limits(estimate, low_edge, high_edge, True, True)
    low, low_open = lower_limit(excess, estimate, low_edge)
    high, high_open = upper_limit(excess, estimate, high_edge, variance_unit(fit.problem)[0])
    return Limits(estimate, low, high, low_open, high_open)


def lower_limit(excess: Callable[[float], float], estimate: float, edge: float) -> tuple[float, bool]:
    """Return where a deviance beyond the quantile falls below 0 on the way up to the estimate.

    The limit is the edge, and open, if the deviance does not exceed the quantile there.
    """
    if estimate <= edge or excess(edge) <= 0:
        return edge, True
    outside = edge
    if np.isinf(excess(edge)):
        outside = estimate
        while excess(outside) <= 0:
            outside = edge + 0.5 * (outside - edge)
    return _root(excess, outside, estimate), False


def upper_limit(
    excess: Callable[[float], float], estimate: float, edge: float, unit: float
) -> tuple[float, bool]:
    """Return where a deviance beyond the quantile rises above 0 on the way up from the estimate."""
    if np.isfinite(edge):
        if estimate >= edge or excess(edge) <= 0:
            return edge, True
        return _root(excess, estimate, edge), False
    inside, outside = estimate, max(2 * estimate, 0.1 * unit)
    for _ in range(DOUBLINGS):
        if excess(outside) > 0:
            return _root(excess, inside, outside), False
        inside, outside = outside, 2 * outside
    return float("inf"), True


def _root(excess: Callable[[float], float], a: float, b: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(excess, a, b, xtol=LIMIT_TOLERANCE * max(abs(a), abs(b)), rtol=1e-8))


def refit_at(fit: MultilevelFit, component: str, value: float) -> MixedMaximum:
    """Return the maximum with one component held at a value, started from the fit."""
    j, i = find(fit, component)
    named = fit.terms[j]
    parts = fit.problem.split(fit.maximum.theta)
    fixed = dict(fit.fixed)
    if isinstance(named.term.structure, Unstructured):
        problem, parts[j], own = _brought_forward(fit, j, i, value)
        shift = problem.terms[j].structure.count - named.term.structure.count
        first, last = int(fit.problem.offsets[j]), int(fit.problem.offsets[j + 1])
        fixed = {at if at < first else at + shift: x for at, x in fixed.items() if not first <= at < last}
    else:
        problem, own = fit.problem, dict([named.term.structure.parameter(i, value)])
    fixed |= {int(problem.offsets[j]) + at: x for at, x in own.items()}
    warm = np.concatenate(parts)
    low, high = problem.bounds()
    scale = np.concatenate(
        [t.structure.scale(variance_unit(problem)[0] / t.mean_square) for t in problem.terms]
    )
    warm = np.clip(np.maximum(warm, low + NUDGE * scale), None, high)
    found = maximise(problem, fit.method == "REML", fixed, warm=warm, certify=False)
    if isinstance(found, tuple):
        raise ConvergenceError(
            f"the likelihood cannot be computed with {component} at {value:.6g}",
            "sampling covariances that are positive definite",
            "profile the component on a grid of other values",
            found,
        )
    return found


def _brought_forward(
    fit: MultilevelFit, j: int, i: int, value: float
) -> tuple[MixedProblem, Array, dict[int, float]]:
    """Return the problem with a component's inner levels first, its warm parameters, and what is held."""
    named: NamedTerm = fit.terms[j]
    part = named.term.structure.components()[i]
    s = named.term.size
    order = [*part.inner, *(a for a in range(s) if a not in part.inner)]
    g = fit.g[j][np.ix_(order, order)]
    ridge = 1e-6 * max(float(np.diagonal(g).max()), 1e-12)
    root = np.linalg.cholesky(g + ridge * np.eye(s))
    held: dict[int, float] = {}
    if part.kind == "correlation":
        structure = Unstructured(s, first_correlation=value)
        root[1, 1] = np.hypot(root[1, 0], root[1, 1])
    else:
        structure = Unstructured(s)
        held = dict([structure.parameter(0, value)])
    where = np.argsort(order)
    term: Term = replace(named.term, column=where[named.term.column], structure=structure)
    terms = list(fit.problem.terms)
    terms[j] = term
    return replace(fit.problem, terms=tuple(terms)), np.asarray(root[structure._places], dtype=float), held


# A simpler fit may be better than the larger one by rounding, not by more.
ROUNDING = 1e-6
# Likelihoods this near to each other (in proportion) are equal.
EQUAL = 1e-9


def structure_test(full: MultilevelFit, reduced: MultilevelFit) -> LikelihoodRatioTest:
    """Return the likelihood-ratio test of two structures; see `MultilevelResults.test_against`."""
    if not hasattr(reduced, "component_values"):
        raise InputError(
            f"a {type(reduced).__name__} was given",
            "a multilevel fit of the same effects",
            "fit it as Multilevel",
        )
    same_data(full, reduced)
    for fit in (full, reduced):
        refuse_own_weights(fit, "the likelihood-ratio test")
        refuse_moments(fit, "the likelihood-ratio test")
    _same_question(full, reduced)
    restricted = full.method == "REML"
    first, second = full.fit_statistics(restricted), reduced.fit_statistics(restricted)
    df = first.parameters - second.parameters
    statistic = 2 * (first.llf - second.llf)
    if df <= 0 or statistic < -ROUNDING * (1 + abs(first.llf)):
        raise NotNestedError(
            f"the second fit has {second.parameters} parameters and the first {first.parameters}; "
            f"their log-likelihoods are {second.llf:.6g} and {first.llf:.6g}",
            "the larger model first, and a smaller one that it holds",
            "exchange the two, or compare their AIC" if df < 0 else "compare their AIC with metaexo.compare",
        )
    dropped = set(full.component_values) - set(reduced.component_values)
    held = reduced.fixed_components - full.fixed_components
    dropped |= {name for name in held if reduced.component_values[name] == 0}
    dropped &= set(full.component_values)
    kinds = {
        name: kind for term in full.terms for name, kind in zip(term.components, term.kinds, strict=True)
    }
    edge = df == 1 and len(dropped) == 1 and kinds[next(iter(dropped))] == "variance"
    # at the edge the p-value of a statistic of 0 is 1, of any other at most 0.5: rounding shall not decide
    value = statistic if statistic > EQUAL * (1 + abs(first.llf)) else 0.0
    p = float(chi2_tail(value, df))
    words = "the simpler structure holds"
    if edge:
        p = 0.5 * (p + float(value <= 0))
        words += " (a variance of 0 is on the boundary: p-value of a mixture of chi-squares)"
    elif any(kinds[name] == "variance" for name in dropped):
        words += " (variances of 0 are on the boundary: the p-value is too large)"
    test = TestResult(value, "chi2", (float(df),), p, words)
    return LikelihoodRatioTest(test, first, second, None, edge)


def _same_question(full: MultilevelFit, reduced: MultilevelFit) -> None:
    if full.method != reduced.method:
        raise InputError(f"the fits are by {full.method} and {reduced.method}", "two fits by one method")
    _structures_within(reduced, full)
    if (full.problem.v != reduced.problem.v).nnz:
        raise NotNestedError("the fits have different sampling covariances", "one V for both")
    if not within(reduced.problem.x, full.problem.x):
        raise NotNestedError(
            "the moderators of the second fit are no special case of those of the first",
            "the larger model first",
        )
    if full.method == "REML" and full.design.p != reduced.design.p:
        raise InputError(
            "the fits are by REML and have different moderators", "fits by ML", 'fit both with method="ML"'
        )


def _structures_within(reduced: MultilevelFit, full: MultilevelFit) -> None:
    """Raise if a random term of the smaller model is no special case of a term of the larger one."""
    lost = [one.name for one in reduced.terms if not any(holds(other, one) for other in full.terms)]
    if lost:
        raise NotNestedError(
            f"the random terms {', '.join(lost)} of the second fit are no special case of those of the first "
            f"({', '.join(named.name for named in full.terms)})",
            "the larger model first, and a smaller one that it holds",
            "compare their AIC with metaexo.compare, or fit a model with the terms of both",
        )


# -- tables of components, and their shares -----------------------------------------------------------------

METHODS = ("profile-likelihood",)


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

    They take some refits for each variance, so that tables and summaries do without. Moments have none.
    """
    if method is None:
        return None
    method = get_interval(method, METHODS)
    if fit.method in MOMENTS:
        return None
    estimated = [name for name in fit.tau2_by_component if name not in fit.fixed_components]
    found = {name: limits(fit, name, level) for name in estimated}
    return Tau2Limits({name: (one.low, one.high) for name, one in found.items()}, method)


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


def interval_of_shares(fit: MultilevelFit, level: float | None) -> pd.DataFrame:
    """Return shares of tau2 with intervals; see `MultilevelResults.conf_int_shares`."""
    import pandas as pd
    from scipy import special

    names = list(fit.tau2_by_component)
    ends = np.full((len(names), 2), np.nan)
    single = all(named.structure == "intercept" for named in fit.terms) and not fit.fixed
    alpha = 1 - fit.at_level(level)
    if fit.method not in MOMENTS and fit.weighting is None and single and fit.tau2 > 0:
        if len(names) == 1:
            ends[:] = 1.0
        else:
            known = fit.ends_of_shares  # they take some refits
            if alpha not in known:
                critical = float(special.chdtri(1, alpha))
                restricted = fit.method == "REML"
                known[alpha] = share_limits(fit.problem, restricted, fit.maximum.theta, critical)
            ends = known[alpha]
    return pd.DataFrame(
        {"share": fit.tau2_shares, "low": ends[:, 0], "high": ends[:, 1]},
        index=pd.Index(names, name="component"),
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
