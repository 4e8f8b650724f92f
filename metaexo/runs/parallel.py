"""Parts of long work through joblib: in this process, in others, or on a cluster, with a progress bar.

The steps of a part are short, so threads of one process only wait for each other; one core is quickest.
``with joblib.parallel_config(n_jobs=8)``, or ``backend="dask"``, hands the parts of the same call to other
processes or to a cluster.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from metaexo.inputs import check_flag

Result = TypeVar("Result")


def is_configured() -> bool:
    """Say whether parts may go to workers: nobody can have configured what was never imported."""
    return "joblib" in sys.modules


def each_part(function: Callable[..., Result], parts: Iterable[tuple[Any, ...]]) -> list[Result]:
    """Return what a function makes of each part, in the order of the parts.

    `function`: takes the arguments of one part. It must not depend on another part. `parts`: arguments, part
    by part.
    """
    todo = list(parts)
    if len(todo) == 1 or not is_configured():
        return [function(*part) for part in todo]
    from joblib import Parallel, delayed

    results: list[Result] = Parallel()(delayed(_quiet)(np.geterr(), function, part) for part in todo)
    return results


def as_finished(function: Callable[..., Result], parts: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    """Yield what a function makes of each part as soon as it is known, in any order.

    `function` and `parts` as in `each_part`; the parts may be an iterator, which is read as they are handed
    out.
    """
    if not is_configured():
        for part in parts:
            yield function(*part)
        return
    from joblib import Parallel, delayed, effective_n_jobs
    from joblib.parallel import get_active_backend

    calls = (delayed(_quiet)(np.geterr(), function, part) for part in parts)
    backend, workers = get_active_backend()
    if backend.supports_return_generator:
        with _errors_reported(backend):
            results = Parallel(return_as="generator_unordered")(calls)
            try:
                yield from results
            finally:  # where the caller goes no further, joblib would warn of parts that it cancels
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.close()
        return
    with Parallel() as pool:  # it gives results all at once, so each worker gets one part at a time
        while some := list(islice(calls, effective_n_jobs(workers))):
            yield from pool(some)


@contextmanager
def _errors_reported(backend: Any) -> Iterator[None]:
    """Let errors of dask itself end a call, such as a part whose workers have died again and again.

    joblib's backend of dask leaves them on the future that `submit` returns and calls nobody back, so that
    the call would never end.
    """
    if type(backend).__name__ != "DaskDistributedBackend" or not hasattr(backend, "submit"):
        yield
        return
    submit = backend.submit

    def reporting(function: Any, callback: Callable[[Any], None]) -> Any:
        future = submit(function, callback)
        future.add_done_callback(lambda it: callback(it.exception()) if it.exception() else None)
        return future

    backend.submit = reporting
    try:
        yield
    finally:
        del backend.submit


def _quiet(errors: Any, function: Callable[..., Result], part: tuple[Any, ...]) -> Result:
    """Call a function with the caller's treatment of floating-point errors, which workers do not inherit.

    What it calls itself does not go to other workers: they all have parts of their own.
    """
    from joblib import parallel_config

    with np.errstate(**errors), parallel_config(backend="sequential"):
        return function(*part)


def progress_bar(total: int, what: str, progress: bool | None, done: int = 0) -> Any:
    """Return a progress bar; by default it shows itself where a terminal or a notebook is."""
    from tqdm import tqdm

    off: bool | None = None if progress is None else not check_flag("progress", progress)
    if off is None and _in_notebook():
        off = False
    return tqdm(
        total=total, initial=done, unit=f" {what}", unit_scale=True, disable=off, delay=0.5, leave=False
    )


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    return python is not None and hasattr(python.get_ipython(), "kernel")
