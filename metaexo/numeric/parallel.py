"""Parts of a large batch, one after another, or side by side where joblib was told so.

The steps of a part are short, so threads of one process only wait for each other; one core is quickest.
``with joblib.parallel_config(n_jobs=8)``, or ``backend="dask"``, hands the parts of the same call to other
processes or to a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")


def each_part(function: Callable[..., Result], parts: Iterable[tuple[Any, ...]]) -> list[Result]:
    """Return what a function makes of each part, in the order of the parts.

    Parameters
    ----------
    function : callable
        Takes the arguments of one part. It must not depend on another part.
    parts : iterable of tuple
        Arguments, part by part.
    """
    todo = list(parts)
    if len(todo) == 1 or "joblib" not in sys.modules:  # nobody can have configured what was never imported
        return [function(*part) for part in todo]
    from joblib import Parallel, delayed

    results: list[Result] = Parallel()(delayed(_quiet)(np.geterr(), function, part) for part in todo)
    return results


def _quiet(errors: Any, function: Callable[..., Result], part: tuple[Any, ...]) -> Result:
    """Call a function with the caller's treatment of floating-point errors, which workers do not inherit."""
    with np.errstate(**errors):
        return function(*part)
