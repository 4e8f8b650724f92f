"""The data sets that every side is timed on: one seed, known truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SEED = 20261122


def one_problem(k: int) -> tuple[Array, Array]:
    """Return k effects and sampling variances with tau2 = 0.1 and a mean of 0.3."""
    rng = np.random.default_rng([SEED, k])
    v = rng.uniform(0.01, 0.3, k)
    return rng.normal(0.3, np.sqrt(v + 0.1)), v


def many_problems(count: int, k: int) -> tuple[Array, Array]:
    """Return `count` problems of k effects each, shape (count, k)."""
    rng = np.random.default_rng([SEED, count, k])
    v = rng.uniform(0.01, 0.3, (count, k))
    return rng.normal(0.3, np.sqrt(v + 0.1)), v
