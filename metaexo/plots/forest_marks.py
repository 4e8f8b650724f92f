"""The marks of a forest plot, and the texts of estimates with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from metaexo.effects.measure import Measure
from metaexo.plots.plan import Mark
from metaexo.plots.scale import display
from metaexo.plots.wording import shown

Bounds = tuple[float | None, float | None]

LARGEST, SMALLEST, PLAIN = 9.0, 2.6, 5.6
DIAMOND, BAR = 8.0, 2.6


def study_mark(estimate: float, low: float | None, high: float | None, how: str, share: float | None) -> Mark:
    """Return the mark of a study; its area goes with `share`, its weight over the largest one."""
    side = PLAIN if share is None else max(SMALLEST, LARGEST * float(np.sqrt(share)))
    return Mark("circle" if how == "assumed" else "square", estimate, low, high, side, how != "reported")


def pooled_mark(pooled: Any) -> Mark:
    """Return the diamond of a pooled effect."""
    return Mark("diamond", float(pooled.estimate), float(pooled.low), float(pooled.high), DIAMOND)


def estimate_cell(measure: Measure, mark: Mark, digits: int) -> tuple[str, str, str]:
    """Return estimate, lower and upper bound as text, on the scale that is shown."""
    values = [None if v is None else display(measure, v) for v in (mark.low, mark.high)]
    low, high = (shown(v, digits) for v in values)
    estimate = "" if mark.estimate is None else shown(display(measure, mark.estimate), digits)
    if mark.low is None and mark.high is None:
        return estimate, "", ""
    return estimate, f"[{low} to", f"{high}]"
