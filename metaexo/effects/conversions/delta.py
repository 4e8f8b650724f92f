"""The delta method for any function of estimates with a covariance matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from metaexo.errors import InputError, ShapeError
from metaexo.immutable import Immutable
from metaexo.inputs import check_level, check_number, read_numbers
from metaexo.numeric.tails import normal_quantile
from metaexo.readable import shows_itself
from metaexo.types import Array

FIRST_STEP = 0.05
HALVINGS = 5


@shows_itself
@dataclass(frozen=True, eq=False, slots=True)
class DeltaResult(Immutable):
    """Functions of estimates, with standard errors by the delta method.

    Attributes
    ----------
    estimate, se : ndarray, shape (q,)
        Values of the functions and their standard errors.
    z, pvalue : ndarray, shape (q,)
        Wald tests of the value 0.
    low, high : ndarray, shape (q,)
        Wald intervals.
    cov : ndarray, shape (q, q)
        Covariance matrix of the values.
    """

    estimate: Array
    se: Array
    z: Array
    pvalue: Array
    low: Array
    high: Array
    cov: Array


def delta_method(
    estimate: ArrayLike,
    cov: ArrayLike,
    function: Callable[..., ArrayLike],
    *,
    order: int = 1,
    level: float = 0.95,
) -> DeltaResult:
    """Return functions of estimates with standard errors by the delta method.

    Use it for ratios, products and back-transformations of coefficients. With g the gradients and H the
    matrices of second derivatives of two functions, taken numerically,

        order 1   Cov = g1' V g2
        order 2   Cov = g1' V g2 + trace(H1 V H2 V) / 2, exact for quadratic functions

    The values themselves are the functions at the estimates; no term of second order is added to them.

    Parameters
    ----------
    estimate : array_like, shape (p,)
        Estimates.
    cov : array_like, shape (p, p)
        Their covariance matrix.
    function : callable
        Function of p numbers that returns one number or q numbers.
    order : {1, 2}
        Order of the approximation of the variance.
    level : float
        Level of the intervals.

    Returns
    -------
    DeltaResult
        estimate, se, z, pvalue, low, high, cov.

    Raises
    ------
    ShapeError
        If the covariance matrix does not fit the estimates.
    InputError
        If the order is neither 1 nor 2.

    References
    ----------
    Oehlert (1992), The American Statistician 46, 27-29, doi:10.1080/00031305.1992.10475842.
    Casella & Berger (2002), Statistical Inference, 2nd ed., section 5.5.4.

    Examples
    --------
    >>> done = delta_method([0.4, 0.7], [[0.04, 0.0], [0.0, 0.09]], lambda a, b: a / b)
    >>> done.estimate.round(4), done.se.round(4)
    (array([0.5714]), array([0.3763]))
    """
    b, v = read_numbers(estimate, "estimate", ndim=1), read_numbers(cov, "cov")
    level = check_level(level)
    if not callable(function):
        raise InputError(f"function is {function!r}", "a function of the estimates")
    if b.ndim != 1 or v.shape != (b.size, b.size):
        raise ShapeError(f"{b.shape} estimates with a covariance matrix of shape {v.shape}", "p and p x p")
    if check_number("order", order) not in (1, 2):
        raise InputError(f"order = {order!r}", "1 or 2")

    def values(x: Array) -> Array:
        return read_numbers(_called(function, x), "what the function returns", ndim=1)

    with np.errstate(all="ignore"):
        gradients = jacobian(values, b)
        spread = gradients @ v @ gradients.T
        if order > 1:
            curved = hessians(values, b) @ v
            spread = spread + np.einsum("aij,bji->ab", curved, curved) / 2
        value, se = values(b), np.sqrt(np.diag(spread))
        z = value / se
    half = normal_quantile(level) * se
    return DeltaResult(value, se, z, 2 * ndtr(-np.abs(z)), value - half, value + half, spread)


def _called(function: Callable[..., ArrayLike], x: Array) -> ArrayLike:
    """Return the value of the user's function; what it raises is said in words."""
    try:
        return function(*x)
    except Exception as error:
        raise InputError(
            f"the function does not take these estimates ({type(error).__name__}: {error})",
            f"a function of {x.size} numbers that returns numbers",
        ) from error


def jacobian(function: Callable[[Array], Array], at: Array) -> Array:
    """Return the matrix of first derivatives, by central differences and Richardson extrapolation.

    From p numbers to q numbers it has shape (q, p).

    Examples
    --------
    >>> jacobian(lambda x: np.array([x[0] * x[1]]), np.array([2.0, 3.0])).round(9)
    array([[3., 2.]])
    """

    def of_one(j: int) -> Array:
        step = np.zeros_like(at)
        step[j] = FIRST_STEP * max(abs(at[j]), 0.1)

        def slope(h: float) -> Array:
            return np.asarray((function(at + h * step) - function(at - h * step)) / (2 * h * step[j]))

        return _richardson(slope)

    return np.stack([of_one(j) for j in range(at.size)], axis=-1)


def hessians(function: Callable[[Array], Array], at: Array) -> Array:
    """Return the matrices of second derivatives, by central differences and Richardson extrapolation.

    From p numbers to q numbers they have shape (q, p, p).

    Examples
    --------
    >>> hessians(lambda x: np.array([x[0] * x[1]]), np.array([2.0, 3.0])).round(6) + 0.0
    array([[[0., 1.],
            [1., 0.]]])
    """
    p, steps = at.size, FIRST_STEP * np.maximum(np.abs(at), 0.1)
    matrix = np.empty((function(at).size, p, p))
    for i in range(p):
        for j in range(i, p):
            a, b = np.zeros(p), np.zeros(p)
            a[i], b[j] = steps[i], steps[j]

            def curvature(h: float, a: Array = a, b: Array = b) -> Array:
                corners = function(at + h * (a + b)) - function(at + h * (a - b))
                corners = corners - function(at - h * (a - b)) + function(at - h * (a + b))
                return np.asarray(corners / (4 * h**2 * a.sum() * b.sum()))

            matrix[:, i, j] = matrix[:, j, i] = _richardson(curvature)
    return matrix


def _richardson(difference: Callable[[float], Array]) -> Array:
    """Extrapolate a central difference, whose error is even in the step, to a step of zero."""
    column = [difference(0.5**k) for k in range(HALVINGS)]
    factor = 1.0
    while len(column) > 1:
        factor *= 4.0
        column = [(factor * fine - coarse) / (factor - 1) for coarse, fine in pairwise(column)]
    return column[0]
