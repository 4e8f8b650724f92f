"""Points and weights of numerical integration, computed when first needed."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import roots_hermitenorm, roots_legendre

from metaexo.types import Array


@cache
def gauss_legendre(points: int) -> tuple[Array, Array]:
    """Return the points and weights of the Gauss-Legendre rule on -1 to 1.

    Returns `nodes` and `weights`: points and weights; do not write into them, they are shared.

    Examples
    --------
    >>> nodes, weights = gauss_legendre(20)
    >>> round(float((weights * nodes**2).sum()), 12)
    0.666666666667
    """
    nodes, weights = roots_legendre(points)
    return np.asarray(nodes), np.asarray(weights)


@cache
def gauss_hermite(points: int, dimensions: int = 1) -> tuple[Array, Array]:
    """Return the points and log weights of the Gauss-Hermite rule for normal variables.

    The product rule for independent standard normal variables: `nodes` of shape (dimensions, N) and
    `log_weights` of shape (N,), N = points ** dimensions. One point is the mean. Do not write into them, they
    are shared.

    Examples
    --------
    >>> nodes, log_weights = gauss_hermite(5)
    >>> round(float((np.exp(log_weights) * nodes[0] ** 4).sum()), 12)
    3.0
    """
    at, weights = roots_hermitenorm(points)
    weights = weights / weights.sum()
    grid = np.meshgrid(*[at] * dimensions, indexing="ij")
    logs = np.meshgrid(*[np.log(weights)] * dimensions, indexing="ij")
    nodes = np.stack([part.ravel() for part in grid])
    log_weights = np.asarray(sum(part.ravel() for part in logs))
    nodes.flags.writeable = log_weights.flags.writeable = False
    return nodes, log_weights
