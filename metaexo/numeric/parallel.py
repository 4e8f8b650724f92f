"""Parts of a large batch, side by side.

Parts run in threads, one a core: numpy lets go of the interpreter while it computes, and nothing is
copied. joblib hands them out, so that ``with joblib.parallel_config(backend="dask")`` moves the same call to
a cluster.
"""

from __future__ import annotations

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
    if len(todo) == 1:
        return [function(*todo[0])]
    from joblib import Parallel, cpu_count, delayed

    side_by_side = Parallel(n_jobs=min(len(todo), cpu_count()), prefer="threads")
    results: list[Result] = side_by_side(delayed(_quiet)(np.geterr(), function, part) for part in todo)
    return results


def _quiet(errors: Any, function: Callable[..., Result], part: tuple[Any, ...]) -> Result:
    """Call a function with the caller's treatment of floating-point errors, which threads do not inherit."""
    with np.errstate(**errors):
        return function(*part)
