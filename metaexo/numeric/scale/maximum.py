"""The highest likelihood of a location-scale model, also where it is reached at no finite coefficients.

With a log link a group of studies without heterogeneity has log tau2 = minus infinity: the likelihood rises
for ever in a direction d of the coefficients with z_i d < 0 for those studies and z_i d = 0 for the others.
Such limits are models of their own, with tau2 = 0 in some rows; they are found, maximised and compared like
the others. With the identity link tau2 = 0 is a constraint that binds.

Every ascent begins at several points; the log says what came of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import NotIdentifiableError, ScaleConvergenceError
from metaexo.numeric.scale.climb import Summit, climb, null_space
from metaexo.numeric.scale.likelihood import ScaleLikelihood
from metaexo.numeric.scale.limits import STILL, Found, find_limits, signs_of_infinity
from metaexo.types import Array

SLOPES_LOG = (1.5, -1.5, 4.0, -4.0)
SLOPES_IDENTITY = (0.5, -0.5, 0.95, -0.95)
SMALLEST_CURVATURE = 1e-6
LEAST_CURVATURE = 1e-11
LEFT_OVER = 1e-4
LARGEST_SLOPE = 1e-9
SAME_HEIGHT = 1e-9
AS_HIGH = 1e-13
SAME_PLACE = 1e-6


@dataclass(frozen=True, slots=True)
class ScaleMaximum:
    """The maximum that was found, with its certificate.

    Attributes
    ----------
    coefficients : ndarray, shape (q,)
        Scale coefficients; infinite where the likelihood rises for ever, NaN where the direction is open.
    cov : ndarray, shape (q, q)
        Inverse of the observed information; NaN where a coefficient is not finite or a constraint binds.
    tau2 : ndarray, shape (k,)
        Between-study variance of each effect.
    value : float
        Log-likelihood.
    slope : float
        Rise that one more Newton step promises.
    curvature : float
        Smallest eigenvalue of the information, in units of standardised scale columns.
    zero : ndarray of bool, shape (k,)
        Effects whose tau2 is zero at the boundary.
    maxima : int
        Different local maxima that were reached.
    finite_value : float or None
        Highest log-likelihood of a maximum without zeros that has a certificate; None if there is none.
    log : tuple of str
        What came of each start.
    """

    coefficients: Array
    cov: Array
    tau2: Array
    value: float
    slope: float
    curvature: float
    zero: NDArray[np.bool_]
    maxima: int
    finite_value: float | None
    log: tuple[str, ...]


def maximise(model: ScaleLikelihood, start_tau2: float) -> ScaleMaximum:
    """Return the highest maximum of the likelihood.

    Parameters
    ----------
    model : ScaleLikelihood
        The likelihood.
    start_tau2 : float
        Between-study variance of the model with one for all; 0 if there is none.

    Raises
    ------
    ScaleConvergenceError
        If no start ends at a maximum with a certificate; the error carries the log.
    NotIdentifiableError
        If no coefficients give every effect a variance of at least zero.
    """
    size = np.sqrt(len(model.y))
    q, upper = np.linalg.qr(model.z)
    standard = replace(model, z=q * size)
    back = np.linalg.inv(upper) * size  # standardised coefficients to those asked for
    constraints = np.empty((0, q.shape[1])) if model.log_link else np.unique(standard.z, axis=0)
    log, found = [], []
    for words, start in _starts(standard, start_tau2, constraints):
        summit = climb(standard.at, start, constraints)
        log.append(f"from {words}: {_in_words(summit)}")
        found.append(Found(summit, standard, np.eye(q.shape[1]), np.empty((q.shape[1], 0))))
    found.sort(key=lambda one: -one.value)
    heights = np.array([one.value for one in found])
    maxima = 1 + int((np.diff(heights) < -SAME_PLACE * (1 + np.abs(heights[1:]))).sum())
    limits = list(find_limits(standard, found)) if model.log_link else []
    log += [f"limit with tau2 = 0 in {one.model.zero.sum()} rows: {_in_words(one.summit)}" for one in limits]
    best = _choose(found, limits, log)
    finite = [one.value for one in found if _certified(one) and not one.summit.binding]
    return _report(best, standard, constraints, back, maxima, max(finite, default=None), tuple(log))


def _in_words(summit: Summit) -> str:
    return (
        f"log-likelihood {summit.point.value:.8g} after {summit.steps} steps, "
        f"promised rise {summit.slope:.1e}, smallest curvature {summit.curvature:.1e}"
    )


def _certified(one: Found) -> bool:
    """Say whether an ascent ended at a maximum.

    A tau2 that is tiny but not 0 leaves little curvature in its logarithm. On the way to such a limit the
    rise that is promised is about half the curvature; at a maximum it is next to nothing beside it.
    """
    slope, curvature = one.summit.slope, one.summit.curvature
    if curvature >= SMALLEST_CURVATURE:
        return slope <= LARGEST_SLOPE
    return curvature >= LEAST_CURVATURE and slope <= LEFT_OVER * curvature


def _choose(found: list[Found], limits: list[Found], log: list[str]) -> Found:
    """Return the highest maximum: a limit, where it is as high as anything that was reached.

    A maximum with a tiny tau2 may be hardly higher than the limit with none; it is the maximum nevertheless.
    """
    top = max(one.value for one in [*found, *limits])
    high, near = (share * (1 + abs(top)) for share in (AS_HIGH, SAME_HEIGHT))
    for lowest in (top - high, top - near):
        limit = [one for one in limits if one.value >= lowest and _certified(one)]
        inner = [one for one in found if one.value >= top - near and _certified(one)]
        if limit:
            return max(limit, key=lambda one: int(one.model.zero.sum()))
        if inner:
            break
    if not inner:
        raise ScaleConvergenceError(
            "the highest likelihood was not reached with a certificate",
            "a maximum: no slope, and curvature in every direction",
            "use fewer or better spread scale moderators, or another link",
            log,
        )
    return inner[0]


# -- where to begin -----------------------------------------------------------------------------------------


def _starts(model: ScaleLikelihood, tau2: float, constraints: Array) -> Iterator[tuple[str, Array]]:
    """Yield words and standardised coefficients."""
    typical = 1.0 / float((1.0 / model.v).mean())
    levels = [level for level in (tau2, 0.1 * typical, typical, 10 * typical) if level > 0]
    squares = model.y**2 - model.v
    inside = np.zeros(model.z.shape[1]) if model.log_link else _feasible(constraints)
    if model.log_link:
        for level in levels:
            yield f"tau2 {level:.3g}", _project(model, np.full(model.y.size, np.log(level)))
        yield "squared residuals", _project(model, np.log(np.maximum(squares, 0.05 * model.v)))
    else:
        for level in levels:
            yield (
                f"tau2 {level:.3g}",
                _pull(_project(model, np.full(model.y.size, level)), inside * level, constraints),
            )
        yield (
            "squared residuals",
            _pull(_project(model, np.maximum(squares, 0.0)), inside * levels[-2], constraints),
        )
    for j in range(1, model.z.shape[1]):
        for level in levels:
            yield from _tilted(model, level, j, inside, constraints)


def _tilted(
    model: ScaleLikelihood, level: float, j: int, inside: Array, constraints: Array
) -> Iterator[tuple[str, Array]]:
    """Yield starts whose tau2 changes with one standardised column of the scale."""
    column = model.z[:, j]
    if not model.log_link:
        for slope in SLOPES_IDENTITY:
            target = level * (1 + slope * column / np.abs(column).max())
            words = f"tau2 {level:.3g}, slope {slope} in column {j + 1}"
            yield words, _pull(_project(model, target), inside * level, constraints)
        return
    for slope in SLOPES_LOG:
        words = f"tau2 {level:.3g}, slope {slope} in column {j + 1}"
        yield words, _project(model, np.log(level) + slope * column)
        # the same with this tau2 where it is largest, and next to nothing elsewhere
        end = column.max() if slope > 0 else column.min()
        yield f"{words}, at its end", _project(model, np.log(level) + 2 * slope * (column - end))


def _project(model: ScaleLikelihood, linear: Array) -> Array:
    """Return the coefficients whose linear predictor is nearest to the one wanted."""
    return np.asarray(model.z.T @ linear / len(linear))


def _feasible(constraints: Array) -> Array:
    """Return coefficients that give every row a variance well above zero, the smallest being 1."""
    from scipy.optimize import linprog

    size = constraints.shape[1]
    solved = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([-constraints, np.ones(len(constraints))]),
        b_ub=np.zeros(len(constraints)),
        bounds=[(-1, 1)] * size + [(None, 1)],
    )
    if not solved.success or solved.x[-1] <= 1e-9:
        raise NotIdentifiableError(
            "no coefficients of the scale give every effect a variance above zero",
            "scale columns of which some combination is positive everywhere",
            'give the scale an intercept, or use link="log"',
        )
    return np.asarray(solved.x[:-1] / solved.x[-1])


def _pull(start: Array, inside: Array, constraints: Array) -> Array:
    """Return the start, moved towards `inside` until every constraint is met with room."""
    here, there = constraints @ start, constraints @ inside
    need = (0.01 * there - here) / np.where(there > here, 0.99 * there - here + 0.01 * there, 1.0)
    share = float(np.clip(np.where(here < 0.01 * there, need, 0.0).max(), 0.0, 1.0))
    return np.asarray((1 - share) * start + share * inside)


# -- what is reported ---------------------------------------------------------------------------------------


def _report(
    best: Found,
    standard: ScaleLikelihood,
    constraints: Array,
    back: Array,
    maxima: int,
    finite_value: float | None,
    log: tuple[str, ...],
) -> ScaleMaximum:
    """Return the maximum in the coefficients that were asked for."""
    point = best.summit.point
    coefficients, zero = point.coefficients, best.model.zero
    bound = bool(best.summit.binding)
    if bound:  # put the constraints that bind exactly at zero
        free = null_space(constraints[list(best.summit.binding)], coefficients.size)
        coefficients = free @ (free.T @ coefficients)
        zero = np.linalg.norm(standard.z @ free, axis=1) <= STILL * np.linalg.norm(standard.z, axis=1)
    tau2 = np.where(zero, 0.0, best.model.tau2(coefficients))
    transform = back @ best.to_full
    coefficients = transform @ coefficients
    cov = np.full((len(back), len(back)), np.nan)
    if not bound and best.to_full.shape[1]:
        cov = transform @ np.linalg.solve(-point.hessian, transform.T)
    for j, sign in enumerate(signs_of_infinity(standard, best, back)):
        if sign != 0:
            coefficients[j] = sign * np.inf
            cov[j], cov[:, j] = np.nan, np.nan
    return ScaleMaximum(
        coefficients=coefficients,
        cov=cov,
        tau2=tau2,
        value=best.value,
        slope=best.summit.slope,
        curvature=best.summit.curvature,
        zero=zero,
        maxima=maxima,
        finite_value=finite_value,
        log=log,
    )
