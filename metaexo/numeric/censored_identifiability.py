"""Whether the likelihood of censored evidence has a maximum in the coefficients.

Exact rows and rows with two ends hold the mean from both sides; a half-line holds it from one. The
likelihood rises for ever in a direction d of the coefficients if no row with two sides feels it (x'd = 0) and
every half-line is at least as well served (x'd >= 0 for rows above a bound, <= 0 for rows below one). As in
the regression of a binary outcome such a direction is found by linear programming.

References
----------
Albert, A., Anderson, J. A. (1984). On the existence of maximum likelihood estimates in logistic regression
models. Biometrika 71, 1-10. https://doi.org/10.1093/biomet/71.1.1
"""

from __future__ import annotations

import numpy as np

from metaexo.types import Array

SMALLEST = 1e-7


def rising_direction(x: Array, lower: Array, upper: Array) -> Array | None:
    """Return a direction of the coefficients in which the likelihood rises for ever; None if there is none.

    Parameters
    ----------
    x : ndarray, shape (K, P)
        Design, of full column rank.
    lower, upper : ndarray, shape (K,)
        Ends of the rows; equal for exact ones, infinite where there is no bound.
    """
    from scipy.optimize import linprog

    size = np.abs(x).max(axis=0)
    columns = x / np.where(size > 0, size, 1.0)
    half = np.isinf(lower) | np.isinf(upper)
    signed = np.where(np.isinf(upper), 1.0, -1.0)[half, None] * columns[half]
    held = columns[~half]
    if not half.any():
        return None
    solved = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=held if len(held) else None,
        b_eq=np.zeros(len(held)) if len(held) else None,
        bounds=[(-1.0, 1.0)] * x.shape[1],
    )
    if not solved.success or -solved.fun <= SMALLEST:
        return None
    direction = np.where(np.abs(solved.x) > SMALLEST, solved.x, 0.0)
    return np.asarray(direction / np.where(size > 0, size, 1.0))
