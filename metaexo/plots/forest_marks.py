"""The marks of a forest plot, and the texts of estimates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.measure import Measure
from metaexo.plots.plan import Mark, Shape
from metaexo.plots.scale import from_axis, on_axis
from metaexo.plots.wording import fixed

# Estimate and the ends of its interval on the scale that is shown; what there is not is None or NaN.
Shown = Sequence[float | None] | NDArray[np.float64]

LARGEST, SMALLEST, PLAIN = 9.0, 2.6, 5.6
DIAMOND, BAR = 8.0, 2.6
CUT_AT = 1e-9


def mark_of(measure: Measure, shape: Shape, shown: Shown, size: float, hollow: bool = False) -> Mark:
    """Return the mark of an estimate with its interval, which ends where the range of the measure does."""
    estimate, low, high = (None if x is None or math.isnan(x) else float(x) for x in shown)
    least, most = measure.possible
    slack = CUT_AT * min(most - least, 1.0)
    bounded = (low is not None and low < least - slack) or (high is not None and high > most + slack)
    low = None if low is None else max(low, least)
    high = None if high is None else min(high, most)
    at, left, right = (None if x is None else on_axis(measure, x) for x in (estimate, low, high))
    return Mark(shape, at, left, right, size, hollow, bounded=bounded)


def study_mark(measure: Measure, shown: Shown, how: str, share: float | None) -> Mark:
    """Return the mark of a study; its area goes with `share`, its weight over the largest one."""
    side = PLAIN if share is None else max(SMALLEST, LARGEST * float(np.sqrt(share)))
    return mark_of(measure, "circle" if how == "assumed" else "square", shown, side, how != "reported")


def estimate_cell(measure: Measure, mark: Mark, digits: int) -> tuple[str, str, str]:
    """Return estimate, lower and upper bound as text, on the scale that is shown."""
    values = [None if v is None else from_axis(measure, v) for v in (mark.estimate, mark.low, mark.high)]
    estimate, low, high = (fixed(v, digits) for v in values)
    estimate = "" if mark.estimate is None else estimate
    if mark.low is None and mark.high is None:
        return estimate, "", ""
    return estimate, f"[{low} to", f"{high}]"
