"""Points and weights of numerical integration, computed when first needed."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import roots_legendre

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
