"""Timing a call: the median over repeats, after one call that is not counted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(call: Callable[[], Any], budget: float = 1.0, most: int = 300) -> float:
    """Return the median time of a call in seconds, of at least three within the budget."""
    call()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < 3 or (time.perf_counter() - begin < budget and len(taken) < most):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)
