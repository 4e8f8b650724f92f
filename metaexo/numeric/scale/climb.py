"""A safeguarded Newton climb under linear constraints, for the few coefficients of a scale.

Constraints C a >= 0 are met exactly: those that bind are kept as equations while the climb goes on in their
null space, and are let go when their multiplier has the wrong sign. Steps are cut at the next constraint and
halved until the likelihood rises enough.

References
----------
Nocedal, J., Wright, S. J. (2006). Numerical Optimization, 2nd ed., chapters 3 and 16. Springer.
https://doi.org/10.1007/978-0-387-40065-5
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from metaexo.numeric.roots import uphill_step
from metaexo.numeric.scale.likelihood import Point
from metaexo.types import Array

MAX_STEPS = 300
MAX_HALVINGS = 60
LONGEST_STEP = 3.0
ENOUGH = 1e-4  # share of the rise promised by the slope that a step must bring
ROUNDING = 64 * np.finfo(float).eps
BINDING = 1e-12
WRONG_SIGN = 1e-7
FLAT = 1e-14  # curvature that is rounding


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


def climb(at: Callable[[Array], Point], start: Array, constraints: Array) -> LocalMaximum:
    """Climb from `start` to a local maximum.

    Parameters
    ----------
    at : callable
        Returns the likelihood at coefficients of shape (q,).
    start : ndarray, shape (q,)
        Where to begin; meets the constraints.
    constraints : ndarray, shape (c, q)
        Rows C of C a >= 0; no rows for none.
    """
    point = at(start)
    binding = _independent(constraints, np.flatnonzero(constraints @ start <= BINDING).tolist())
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
        moved, hit = _advance(at, point, step, slope, constraints, binding)
        if moved is None:
            break
        point = moved
        if hit is not None:
            binding = _independent(constraints, [*binding, hit])
    return LocalMaximum(_polish(at, point, constraints, binding), tuple(binding), slope, curvature, steps)


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
    binding: list[int],
) -> tuple[Point | None, int | None]:
    """Return the next point and the constraint that it runs into; no point if none is higher."""
    fall = constraints @ step
    room = constraints @ point.coefficients
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


def _polish(at: Callable[[Array], Point], point: Point, constraints: Array, binding: list[int]) -> Point:
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
        inside = (constraints @ moved.coefficients >= -BINDING).all()
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
