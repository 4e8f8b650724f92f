"""Timing a call: the least of its repeats, which other work on the machine disturbs least."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(call: Callable[[], Any], budget: float = 1.0, most: int = 300) -> float:
    """Return the least time of a call in seconds, of at least three within the budget."""
    call()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < 3 or (time.perf_counter() - begin < budget and len(taken) < most):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return min(taken)
