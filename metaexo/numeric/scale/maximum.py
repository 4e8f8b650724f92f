"""The highest likelihood of a location-scale model, also where it is reached at no finite coefficients.

With a log link a group of studies without heterogeneity has log tau2 = minus infinity: the likelihood
increases without bound in a direction d of the coefficients with z_i d < 0 for those studies and z_i d = 0
for the others. Such limits are models of their own, with tau2 = 0 in some rows and fewer coefficients; they
are found, maximised and compared like the others. With the identity link tau2 = 0 is a constraint that binds.

Every search begins at several points; the log says what came of each. It is a safeguarded Newton climb under
linear constraints. Constraints C a >= 0 are met exactly: those that bind are kept as equations while the
climb goes on in their null space, and are let go when their multiplier has the wrong sign. Steps are cut at
the next constraint and halved until the likelihood rises enough.

References
----------
Nocedal, J., Wright, S. J. (2006). Numerical Optimization, 2nd ed., chapters 3 and 16. Springer.
https://doi.org/10.1007/978-0-387-40065-5
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metaexo.errors import NotIdentifiableError, ScaleConvergenceError
from metaexo.numeric.roots import uphill_step
from metaexo.numeric.scale.likelihood import Point, ScaleLikelihood
from metaexo.types import Array, Mask

MAX_STEPS = 300
MAX_HALVINGS = 60
LONGEST_STEP = 3.0
ENOUGH = 1e-4  # share of the rise promised by the slope that a step must bring
ROUNDING = 64 * np.finfo(float).eps
BINDING = 1e-12
WRONG_SIGN = 1e-7
FLAT = 1e-14  # curvature that is rounding


# Rows whose tau2 is below such a share of v may have it at zero.
VANISHING = (*(10.0**-power for power in range(1, 15)), np.inf)
STILL = 1e-9
# How long a direction may be, for columns of size 1, and what counts as a fall along it.
FARTHEST = 1e6
FALLING = 1e-7


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
    """The maximum that was found, with its certificate."""

    # (q,): scale coefficients; infinite where the likelihood has no maximum, NaN where the direction is open
    coefficients: Array
    # (q, q): inverse of the observed information; NaN where a coefficient is not finite or a constraint binds
    cov: Array
    tau2: Array  # (k,): between-study variance of each effect
    value: float  # log-likelihood
    slope: float  # rise that one more Newton step promises
    curvature: float  # smallest eigenvalue of the information, in units of standardised scale columns
    zero: NDArray[np.bool_]  # (k,): effects whose tau2 is zero at the boundary
    maxima: int  # different local maxima that were reached
    # highest log-likelihood of a maximum without zeros that has a certificate; None if there is none
    finite_value: float | None
    log: tuple[str, ...]  # what came of each start


def maximise(model: ScaleLikelihood, start_tau2: float) -> ScaleMaximum:
    """Return the highest maximum of the likelihood.

    `start_tau2`: between-study variance of the model with one for all; 0 if there is none.
    Raises ScaleConvergenceError if no start ends at a maximum with a certificate; the error carries the log.
    Raises NotIdentifiableError if no coefficients give every effect a variance of at least zero.
    """
    size = np.sqrt(len(model.y))
    q, upper = np.linalg.qr(model.z)
    standard = replace(model, z=q * size)
    back = np.linalg.inv(upper) * size  # standardised coefficients to those asked for
    constraints = np.empty((0, q.shape[1])) if model.log_link else np.unique(standard.z, axis=0)
    log, found = [], []
    for words, start in _starts(standard, start_tau2, constraints):
        local = climb(standard.at, start, constraints)
        log.append(f"from {words}: {_in_words(local)}")
        found.append(Found(local, standard, np.eye(q.shape[1]), np.empty((q.shape[1], 0))))
    found.sort(key=lambda one: -one.value)
    heights = np.array([one.value for one in found])
    maxima = 1 + int((np.diff(heights) < -SAME_PLACE * (1 + np.abs(heights[1:]))).sum())
    limits = list(find_limits(standard, found)) if model.log_link else []
    log += [f"limit with tau2 = 0 in {one.model.zero.sum()} rows: {_in_words(one.local)}" for one in limits]
    best = _choose(found, limits, log)
    finite = [one.value for one in found if _certified(one) and not one.local.binding]
    return _report(best, standard, constraints, back, maxima, max(finite, default=None), tuple(log))


def _in_words(local: LocalMaximum) -> str:
    return (
        f"log-likelihood {local.point.value:.8g} after {local.steps} steps, "
        f"expected increase {local.slope:.1e}, smallest curvature {local.curvature:.1e}"
    )


def _certified(one: Found) -> bool:
    """Say whether a climb ended at a maximum.

    A tau2 that is tiny but not 0 leaves little curvature in its logarithm. On the way to such a limit the
    rise that is promised is about half the curvature; at a maximum it is next to nothing beside it.
    """
    slope, curvature = one.local.slope, one.local.curvature
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
    point = best.local.point
    coefficients, zero = point.coefficients, best.model.zero
    bound = bool(best.local.binding)
    if bound:  # put the constraints that bind exactly at zero
        free = null_space(constraints[list(best.local.binding)], coefficients.size)
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
        slope=best.local.slope,
        curvature=best.local.curvature,
        zero=zero,
        maxima=maxima,
        finite_value=finite_value,
        log=log,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A local maximum: of the whole model, or of a limit with tau2 = 0 in some rows."""

    local: LocalMaximum  # where the climb ended
    model: ScaleLikelihood  # what was climbed
    to_full: Array  # (q, r): takes its coefficients to those of the standardised model
    away: Array  # (q, n): directions, beside these, in which the rows that keep their tau2 do not change

    @property
    def value(self) -> float:
        """Log-likelihood."""
        return self.local.point.value


def find_limits(model: ScaleLikelihood, found: list[Found]) -> Iterator[Found]:
    """Yield the maxima of the limits that the climbs point to, and of the one with tau2 = 0 everywhere."""
    looked: set[bytes] = set()
    tried: set[bytes] = set()
    for one in found:
        ratio = one.local.point.tau2 / model.v
        for share in VANISHING:
            small = ratio < share
            if small.tobytes() in looked:
                continue
            looked.add(small.tobytes())
            zero = falling_rows(model.z, small)
            if zero.any() and zero.tobytes() not in tried:
                tried.add(zero.tobytes())
                yield _limit(model, zero, one.local.point.coefficients)


def falling_rows(z: Array, small: Mask) -> Mask:
    """Return which of the small rows some direction sends to zero together, the other rows left alone.

    The largest set: directions that do this for two sets, added, do it for both. Small rows that no such
    direction sends to zero stay where they are.

    `z`, shape (k, q): columns of the scale. `small`, shape (k,): rows whose tau2 may fall; it must stay in
    the others.
    """
    from scipy.optimize import linprog

    zero = np.zeros(len(z), dtype=bool)
    rows, which = np.unique(z[small], axis=0, return_inverse=True)
    if not len(rows):
        return zero
    others, (n, q) = np.unique(z[~small], axis=0), rows.shape
    solved = linprog(  # fall z d + t <= 0 of each row, by up to 1
        np.concatenate([np.zeros(q), -np.ones(n)]),
        A_ub=np.hstack([rows, np.eye(n)]),
        b_ub=np.zeros(n),
        A_eq=np.hstack([others, np.zeros((len(others), n))]) if len(others) else None,
        b_eq=np.zeros(len(others)) if len(others) else None,
        bounds=[(-FARTHEST, FARTHEST)] * q + [(0, 1)] * n,
    )
    if solved.success:
        zero[small] = (solved.x[q:] > FALLING)[np.ravel(which)]
    return zero


def _limit(model: ScaleLikelihood, zero: Mask, start: Array) -> Found:
    """Return the maximum of the model with tau2 = 0 in the given rows."""
    rank, rows = 0, np.eye(start.size)
    if not zero.all():
        _, sizes, rows = np.linalg.svd(model.z[~zero])
        rank = int((sizes > STILL * np.sqrt(model.y.size)).sum())
    kept, away = rows[:rank].T, rows[rank:].T
    reduced = replace(model, z=model.z @ kept, zero=zero)
    return Found(climb(reduced.at, kept.T @ start, np.empty((0, rank))), reduced, kept, away)


def signs_of_infinity(standard: ScaleLikelihood, best: Found, back: Array) -> Array:
    """Return, a coefficient, 0 if it is finite, else the sign with which it leaves, NaN if that is open.

    `standard`: the model with all its coefficients. `back`, shape (q, q): takes standardised coefficients to
    those that are reported.
    """
    from scipy.optimize import linprog

    out = np.zeros(len(back))
    moving = back @ best.away
    rows = np.unique(standard.z[best.model.zero] @ best.away, axis=0)
    for j in range(len(back)):
        if np.abs(moving[j]).max(initial=0.0) <= STILL * np.abs(back[j]).max():
            continue
        ends = [
            sign * linprog(sign * moving[j], A_ub=rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1)).fun
            for sign in (1, -1)
        ]
        reach = STILL * np.abs(moving[j]).max()
        low, high = ends[0] < -reach, ends[1] > reach
        out[j] = np.nan if low == high else 1.0 if high else -1.0
    return out


@dataclass(frozen=True, slots=True)
class LocalMaximum:
    """Where a climb ended."""

    point: Point  # the likelihood there
    binding: tuple[int, ...]  # constraints that bind
    slope: float  # rise of the likelihood that one more Newton step promises; 0 but for rounding at a maximum
    # smallest eigenvalue of minus the Hessian in the directions that are free; positive at a maximum,
    # infinite where no direction is free
    curvature: float
    steps: int  # steps taken


def climb(
    at: Callable[[Array], Point], start: Array, constraints: Array, bounds: Array | None = None
) -> LocalMaximum:
    """Climb from `start` to a local maximum.

    `at`: returns the likelihood at coefficients of shape (q,).
    `start`, shape (q,): where to begin; meets the constraints.
    `constraints`, shape (c, q): rows C of C a >= bounds; no rows for none.
    `bounds`, shape (c,): 0 by default.
    """
    if bounds is None:
        bounds = np.zeros(len(constraints))
    point = at(start)
    binding = _independent(constraints, np.flatnonzero(constraints @ start - bounds <= BINDING).tolist())
    slope, curvature, steps = np.inf, np.nan, 0
    while steps < MAX_STEPS:
        steps += 1
        free = null_space(constraints[binding], start.size)
        step, slope, curvature = _newton(point, free)
        if slope <= ROUNDING * (1 + abs(point.value)):
            wrong = _wrong_sign(point, constraints, binding)
            if wrong is None:
                break
            binding = [row for row in binding if row != wrong]
            continue
        moved, hit = _advance(at, point, step, slope, constraints, bounds, binding)
        if moved is None:
            break
        point = moved
        if hit is not None:
            binding = _independent(constraints, [*binding, hit])
    found = _polish(at, point, constraints, bounds, binding)
    return LocalMaximum(found, tuple(binding), slope, curvature, steps)


def _newton(point: Point, free: Array) -> tuple[Array, float, float]:
    """Return the uphill step, the rise that it promises, and the smallest curvature."""
    if free.shape[1] == 0:
        return np.zeros(free.shape[0]), 0.0, np.inf
    step, rise, eigenvalues = uphill_step(-free.T @ point.hessian @ free, free.T @ point.gradient, FLAT)
    step = free @ step
    length = float(np.linalg.norm(step))
    longest = LONGEST_STEP * max(1.0, float(np.linalg.norm(point.coefficients)))
    return step * min(1.0, longest / length if length > 0 else 1.0), rise, float(eigenvalues.min())


def _advance(
    at: Callable[[Array], Point],
    point: Point,
    step: Array,
    slope: float,
    constraints: Array,
    bounds: Array,
    binding: list[int],
) -> tuple[Point | None, int | None]:
    """Return the next point and the constraint that it runs into; no point if none is higher."""
    fall = constraints @ step
    room = constraints @ point.coefficients - bounds
    share, hit = 1.0, None
    for row in np.flatnonzero(fall < 0):
        if int(row) not in binding and room[row] < -share * fall[row]:
            share, hit = max(0.0, float(room[row] / -fall[row])), int(row)
    promised = float(point.gradient @ step)
    for halving in range(MAX_HALVINGS):
        trial = share * 0.5**halving
        if trial == 0:
            return point, hit
        moved = at(point.coefficients + trial * step)
        if moved.value >= point.value + ENOUGH * trial * promised:
            return moved, hit if halving == 0 else None
        if trial * promised <= ROUNDING * (1 + abs(point.value)):
            break
    return None, None


def _polish(
    at: Callable[[Array], Point], point: Point, constraints: Array, bounds: Array, binding: list[int]
) -> Point:
    """Take plain Newton steps while they make the gradient smaller."""
    free = null_space(constraints[binding], point.coefficients.size)
    for _ in range(3):
        hessian = free.T @ point.hessian @ free
        if free.shape[1] == 0:
            break
        curvature = np.linalg.eigvalsh(-hessian)
        if curvature.min() <= FLAT * max(1.0, float(curvature.max())):
            break
        step = free @ np.linalg.solve(-hessian, free.T @ point.gradient)
        moved = at(point.coefficients + step)
        inside = (constraints @ moved.coefficients - bounds >= -BINDING).all()
        smaller = np.linalg.norm(free.T @ moved.gradient) < np.linalg.norm(free.T @ point.gradient)
        if not (inside and smaller):
            break
        point = moved
    return point


def _wrong_sign(point: Point, constraints: Array, binding: list[int]) -> int | None:
    """Return the binding constraint that the likelihood would rise by leaving, if there is one."""
    if not binding:
        return None
    multipliers = np.linalg.lstsq(constraints[binding].T, -point.gradient, rcond=None)[0]
    scale = WRONG_SIGN * max(1.0, float(np.abs(multipliers).max()))
    return binding[int(multipliers.argmin())] if multipliers.min() < -scale else None


def _independent(constraints: Array, rows: Iterable[int]) -> list[int]:
    """Return rows in order, those left out that follow from the ones before."""
    kept: list[int] = []
    for row in rows:
        if np.linalg.matrix_rank(constraints[[*kept, row]]) > len(kept):
            kept.append(row)
    return kept


def null_space(rows: Array, size: int) -> Array:
    """Return an orthonormal basis, shape (size, r), of the directions that the rows do not see."""
    if len(rows) == 0:
        return np.eye(size)
    rank = int(np.linalg.matrix_rank(rows))
    return np.asarray(np.linalg.svd(rows)[2][rank:].T)
