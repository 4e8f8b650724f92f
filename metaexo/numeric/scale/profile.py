"""The highest likelihood of a location-scale model with one scale coefficient held at a value.

In standardised columns the coefficient is a linear form r'a, so that a = c r / r'r + N t with N a basis of
what r does not see: the others move in t. With the identity link tau2 >= 0 becomes C N t >= - C r c / r'r.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metaexo.numeric.scale.likelihood import Point, ScaleLikelihood
from metaexo.numeric.scale.maximum import SAME_HEIGHT, climb, null_space
from metaexo.types import Array

# Levels of tau2, in typical sampling variances, from which the other coefficients are looked for.
LEVELS = (0.1, 1.0, 10.0)
# Share of the room between the constraints that a start keeps.
INSIDE = 0.01


@dataclass(frozen=True, slots=True)
class HeldCoefficient:
    """The likelihood as a function of one scale coefficient.

    Attributes
    ----------
    model : ScaleLikelihood
        The model in standardised columns of the scale.
    form : ndarray, shape (q,)
        The coefficient as a linear form of those of the standardised columns; 0 where none is held.
    others : ndarray, shape (q, q - 1)
        Directions that leave it as it is.
    constraints : ndarray, shape (c, q)
        Rows whose products with the coefficients are at least 0.
    starts : ndarray, shape (n, q)
        Standardised coefficients to climb from, whatever the value.
    """

    model: ScaleLikelihood
    form: Array
    others: Array
    constraints: Array
    starts: Array

    def base(self, value: float) -> Array:
        """Return the shortest standardised coefficients at which the coefficient has a value, shape (q,)."""
        square = float(self.form @ self.form)
        return self.form * (value / square) if square else np.zeros(self.form.size)

    def allows(self, value: float) -> bool:
        """Say whether every tau2 can be 0 or above with the coefficient at a value."""
        base = self.base(value)
        if not self.others.shape[1]:
            return bool((self.constraints @ base >= 0).all())
        return _inside(self.constraints @ self.others, -self.constraints @ base) is not None

    def highest(self, value: float, near: Array | None = None) -> tuple[float, Array]:
        """Return the highest log-likelihood with the coefficient at a value, and where it is, shape (q,).

        `near`, shape (q,): coefficients to climb from, beside the starts. Minus infinity if no other
        coefficients keep every tau2 at 0 or above.
        """
        base = self.base(value)
        if not self.others.shape[1]:
            outside = (self.constraints @ base < 0).any()
            return (-np.inf if outside else self.model.at(base).value), base

        def at(t: Array) -> Point:
            found = self.model.at(base + self.others @ t)
            gradient = self.others.T @ found.gradient
            hessian = self.others.T @ found.hessian @ self.others
            return replace(found, coefficients=t, gradient=gradient, hessian=hessian)

        constraints, bounds = self.constraints @ self.others, -self.constraints @ base
        inside = _inside(constraints, bounds)
        if inside is None:
            return -np.inf, base
        starts = self.starts if near is None else np.vstack([near, self.starts])
        best, where = -np.inf, base
        for i, start in enumerate(starts @ self.others):
            top = climb(at, _pulled(start, inside, constraints, bounds), constraints, bounds).point
            agree = i == 1 and abs(top.value - best) < SAME_HEIGHT * (1 + abs(best))
            if top.value > best:
                best, where = top.value, base + self.others @ top.coefficients
            if agree and near is not None:
                break  # the last place and that of the highest likelihood lead to the same one
        return best, where


def hold(model: ScaleLikelihood, j: int | None, coefficients: Array) -> HeldCoefficient:
    """Return the likelihood as a function of scale coefficient j; with None no coefficient is held.

    `coefficients`, shape (q,): those of the maximum; starts where they are finite.
    """
    size = np.sqrt(len(model.y))
    q, upper = np.linalg.qr(model.z)
    standard = replace(model, z=q * size)
    form = np.zeros(len(upper))
    if j is not None:
        form = np.linalg.solve(upper.T, np.eye(len(upper))[j]) * size  # row j of the inverse of upper
    typical = 1.0 / float((1.0 / model.v).mean())
    levels = np.array(LEVELS) * typical
    linear = np.log(levels) if model.log_link else levels
    starts = linear[:, None] * (standard.z.mean(axis=0))
    if np.isfinite(coefficients).all():
        starts = np.vstack([upper @ coefficients / size, starts])
    constraints = np.empty((0, len(upper))) if model.log_link else np.unique(standard.z, axis=0)
    others = np.eye(len(upper)) if j is None else null_space(form[None], len(upper))
    return HeldCoefficient(standard, form, others, constraints, starts)


def _inside(constraints: Array, bounds: Array) -> Array | None:
    """Return the point with the most room between the constraints, up to a size; None if there is none."""
    from scipy.optimize import linprog

    count, size = constraints.shape
    if not count:
        return np.zeros(size)
    unit = max(float(np.abs(bounds).max()), 1e-300)
    solved = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([-constraints, np.ones(count)]),
        b_ub=-bounds / unit,
        bounds=[(None, None)] * size + [(None, 1.0)],
    )
    if not solved.success or solved.x[-1] < 0:
        return None
    return np.asarray(solved.x[:-1] * unit)


def _pulled(start: Array, inside: Array, constraints: Array, bounds: Array) -> Array:
    """Return the start, moved towards a point inside until every constraint is met with room."""
    here, there = constraints @ start - bounds, constraints @ inside - bounds
    short = np.where(here < INSIDE * there, (INSIDE * there - here) / np.maximum(there - here, 1e-300), 0.0)
    share = float(np.clip(short.max(initial=0.0), 0.0, 1.0))
    return np.asarray((1 - share) * start + share * inside)
