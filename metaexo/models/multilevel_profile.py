"""Profile likelihoods of variances and correlations, and the intervals they give.

The deviance of a value is twice the loss of log-likelihood when the component is held there and all other
components are at their best. The interval holds the values whose deviance is below the chi-square quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metaexo.errors import ConvergenceError, InputError, UnknownChoiceError
from metaexo.inputs import Immutable, read_numbers, read_words
from metaexo.models.multilevel_terms import NamedTerm
from metaexo.numeric.mixed.maximum import MixedMaximum, variance_unit
from metaexo.numeric.mixed.problem import MixedProblem
from metaexo.numeric.mixed.structured import maximise
from metaexo.numeric.mixed.structures import Unstructured
from metaexo.numeric.mixed.terms import Term
from metaexo.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from metaexo.models.multilevel_results import MultilevelResults

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
        """Return one row a value: value, llf, below (distance to the maximum)."""
        import pandas as pd

        return pd.DataFrame({"value": self.value, "llf": self.llf, "below": self.maximum - self.llf})


def intervals(fit: MultilevelResults, components: Sequence[str] | None, level: float | None) -> pd.DataFrame:
    """Return profile intervals of components; see `MultilevelResults.conf_int_components`."""
    import pandas as pd

    table = fit.components
    if components is None:
        names = list(table.index[~table["fixed"]])
    else:
        names = [components] if isinstance(components, str) else list(read_words(components, "components"))
    found = [limits(fit, name, level) for name in names]
    return pd.DataFrame(
        {
            "estimate": [one.estimate for one in found],
            "low": [one.low for one in found],
            "high": [one.high for one in found],
            "low_open": [one.low_open for one in found],
            "high_open": [one.high_open for one in found],
        },
        index=pd.Index(names, name="component"),
    )


def profile(
    fit: MultilevelResults, component: str, grid: ArrayLike | None, level: float | None
) -> ComponentProfile:
    """Return the profile likelihood of a component; see `MultilevelResults.profile`."""
    found = limits(fit, component, level)
    if grid is None:
        low, high = _edges(fit, component)
        width = (min(found.high, 1e3 * max(found.estimate, variance_unit(fit.problem)[0])) - found.low) or 1.0
        points = np.linspace(
            max(low, found.low - 0.3 * width), min(high, found.low + 1.3 * width), GRID_POINTS
        )
    else:
        points = _read_grid(fit, component, grid)
    llf = np.array([refit_at(fit, component, float(x)).llf for x in points])
    return ComponentProfile(component, points, llf, fit.maximum.llf, found, fit._level(level))


def _read_grid(fit: MultilevelResults, component: str, grid: ArrayLike) -> Array:
    """Return the values of a grid; refuse those that the component cannot have."""
    points = read_numbers(grid, "grid").ravel()
    low, high = _edges(fit, component)
    bad = ~(np.isfinite(points) & (points >= low) & (points <= high))
    if bad.any() or not points.size:
        raise InputError(
            f"grid holds values that {component} cannot have" if points.size else "grid is empty",
            f"finite numbers from {low:g} to {high:g}",
            rows=[f"{x:g}" for x in points[bad]],
        )
    return points


def find(fit: MultilevelResults, component: object) -> tuple[int, int]:
    """Return the positions of the term and of the component in it.

    Raises
    ------
    UnknownChoiceError
        If there is no such component.
    """
    for j, named in enumerate(fit.terms):
        if isinstance(component, str) and component in named.components:
            return j, named.components.index(component)
    raise UnknownChoiceError("variance component", component, list(fit.component_values))


def _edges(fit: MultilevelResults, component: str) -> tuple[float, float]:
    j, i = find(fit, component)
    named = fit.terms[j]
    if named.kinds[i] != "correlation":
        return 0.0, np.inf
    if isinstance(named.term.structure, Unstructured):
        return -1.0, 1.0
    low, high = named.term.structure.bounds
    return float(low[i]), float(high[i])


def limits(fit: MultilevelResults, component: str, level: float | None) -> Limits:
    """Return the profile-likelihood interval of one component."""
    from scipy import special

    j, i = find(fit, component)
    if int(fit.problem.offsets[j]) + i in fit.fixed and not isinstance(
        fit.terms[j].term.structure, Unstructured
    ):
        raise InputError(f"{component} was held fixed", "a component that was estimated")
    estimate = fit.component_values[component]
    critical = float(special.chdtri(1, 1 - fit._level(level)))
    seen: dict[float, float] = {}

    low_edge, high_edge = _edges(fit, component)

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


def lower_limit(excess: object, estimate: float, edge: float) -> tuple[float, bool]:
    """Return where a deviance beyond the quantile falls below 0 on the way up to the estimate.

    The limit is the edge, and open, if the deviance does not exceed the quantile there.
    """
    if estimate <= edge or excess(edge) <= 0:  # type: ignore[operator]
        return edge, True
    outside = edge
    if np.isinf(excess(edge)):  # type: ignore[operator]
        outside = estimate
        while excess(outside) <= 0:  # type: ignore[operator]
            outside = edge + 0.5 * (outside - edge)
    return _root(excess, outside, estimate), False


def upper_limit(excess: object, estimate: float, edge: float, unit: float) -> tuple[float, bool]:
    """Return where a deviance beyond the quantile rises above 0 on the way up from the estimate."""
    if np.isfinite(edge):
        if estimate >= edge or excess(edge) <= 0:  # type: ignore[operator]
            return edge, True
        return _root(excess, estimate, edge), False
    inside, outside = estimate, max(2 * estimate, 0.1 * unit)
    for _ in range(DOUBLINGS):
        if excess(outside) > 0:  # type: ignore[operator]
            return _root(excess, inside, outside), False
        inside, outside = outside, 2 * outside
    return float("inf"), True


def _root(excess: object, a: float, b: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(excess, a, b, xtol=LIMIT_TOLERANCE * max(abs(a), abs(b)), rtol=1e-8))


def refit_at(fit: MultilevelResults, component: str, value: float) -> MixedMaximum:
    """Return the maximum with one component held at a value, started from the fit.

    Raises
    ------
    ConvergenceError
        If the likelihood cannot be computed with the component at this value.
    """
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
    fit: MultilevelResults, j: int, i: int, value: float
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
