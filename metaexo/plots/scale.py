"""From the scale of the analysis to the scale that is shown, and back; where an axis ends and has ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metaexo.effects.measure import Measure
from metaexo.errors import InputError
from metaexo.formatting import MINUS
from metaexo.plots.fonts import text_width
from metaexo.plots.style import SMALL_SIZE
from metaexo.plots.wording import power_label, settle

Array = NDArray[np.float64]
FURTHEST = 700.0  # exp(700) is nearly the largest double
FENCE = 1.5
SQUASHED = 2.5


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick: its value on the scale of the analysis and its label on the scale that is shown."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis of effects.

    Attributes
    ----------
    low, high : float
        Ends on the scale of the analysis.
    ticks : tuple of Tick
        Ticks inside the ends.
    reference : float or None
        Value of the reference line, on the scale of the analysis.
    label : str
        Name of the scale that is shown.
    log : bool
        Whether the scale that is shown is logarithmic.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    reference: float | None
    label: str
    log: bool = False


def display(measure: Measure, value: float) -> float:
    """Return a value of the analysis on the scale that is shown; infinite where it is too large for it."""
    with np.errstate(over="ignore"):
        return float(measure.back(np.array(float(value))))


def analysis(measure: Measure, value: float) -> float:
    """Return a shown value on the scale of the analysis: the inverse of `measure.back`, by bisection.

    Raises
    ------
    InputError
        If no value of the analysis is shown as `value`, for example a risk ratio of 0.
    """
    if display(measure, FURTHEST) == FURTHEST:  # what is shown is what is analysed
        return float(value)
    ends = sorted((display(measure, -FURTHEST), display(measure, FURTHEST)))
    if not ends[0] < value < ends[1]:
        raise InputError(
            f"{value:g} is not a value of {measure.display!r}",
            f"a value between {ends[0]:.3g} and {ends[1]:.3g}",
        )
    return _find(measure, value, -FURTHEST, FURTHEST)


def _find(measure: Measure, value: float, low: float, high: float) -> float:
    """Return where between two values of the analysis `value` is shown.

    Where several values are shown alike (arcsines below 0), the one nearest the middle is taken.
    """
    rising = display(measure, high) > display(measure, low)
    edges = []
    for take_equal in (True, False):
        one, two = low, high
        for _ in range(100):
            half = 0.5 * (one + two)
            at_half = display(measure, half)
            below = take_equal if at_half == value else (at_half < value) == rising
            one, two = (half, two) if below else (one, half)
        edges.append(0.5 * (one + two))
    return min(edges, key=lambda edge: abs(edge - 0.5 * (low + high)))


def robust_limits(
    lows: Sequence[float], highs: Sequence[float], always: Sequence[float], pad: float = 0.04
) -> tuple[float, float]:
    """Return axis limits that show what matters and let single huge intervals run out of the picture.

    With q1 and q3 the quartiles of all bounds, the bounds within [q1 - 1.5 (q3 - q1), q3 + 1.5 (q3 - q1)] are
    near. If all bounds together need more than 2.5 times the room of the near ones, the others are cut.
    The values of `always` are never cut.

    Parameters
    ----------
    lows, highs : sequence of float
        Bounds of the intervals of the studies, scale of the analysis.
    always : sequence of float
        Values that must be seen: the reference line, pooled effects and their bounds.
    pad : float
        Room at both ends, as a share of the width.

    Examples
    --------
    >>> robust_limits([-1.0, -0.5, -90.0], [1.0, 0.8, 95.0], [0.0], pad=0.0)
    (-1.0, 1.0)
    """
    bounds = np.array([x for x in (*lows, *highs) if np.isfinite(x)])
    needed = [x for x in always if np.isfinite(x)]
    if bounds.size:
        q1, q3 = np.quantile(bounds, [0.25, 0.75])
        fence = FENCE * (q3 - q1)
        near = [*needed, *bounds[(bounds >= q1 - fence) & (bounds <= q3 + fence)]]
        every = [*needed, *bounds]
        needed = every if np.ptp(every) <= SQUASHED * np.ptp(near) else near
    low, high = float(min(needed, default=-1.0)), float(max(needed, default=1.0))
    if high - low < 1e-12 * max(1.0, abs(low)):
        low, high = low - 1.0, high + 1.0
    room = pad * (high - low)
    return low - room, high + room


def make_ticks(measure: Measure, low: float, high: float, width: float) -> tuple[Tick, ...]:
    """Return ticks at round values of the scale that is shown, as many as stand apart in `width` points."""
    for values in _candidates(measure, low, high):
        ticks = tuple(Tick(_find(measure, v, low, high), tick_label(v)) for v in values)
        if 1 < len(ticks) <= 9 and _stand_apart(ticks, low, high, width):
            return ticks
    return ticks[:1]


def linear_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round values within the limits, at steps of 1, 2 or 5 times a power of ten."""
    for step in _steps(high - low):
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [settle(i * step) for i in range(int(first), int(last) + 1)]
    return []


def tick_label(value: float) -> str:
    """Return the shortest text of a round value, with a true minus sign.

    Examples
    --------
    >>> tick_label(0.5), tick_label(-2.0), tick_label(1e6)
    ('0.5', '−2', '10⁶')
    """
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return power_label(value)
    return f"{value:.6f}".rstrip("0").rstrip(".").replace("-", MINUS)


def _candidates(measure: Measure, low: float, high: float) -> list[list[float]]:
    """Return lists of round shown values, the densest first."""
    shown_low, shown_high = sorted((display(measure, low), display(measure, high)))
    linear = [linear_ticks(shown_low, shown_high, most) for most in (8, 7, 6, 5, 4, 3, 2)]
    if not measure.display_log or shown_low <= 0:
        return linear
    logs = [_log_values(shown_low, shown_high, mantissas) for mantissas in ((1, 2, 5), (1, 3), (1,))]
    logs += [_log_values(shown_low, shown_high, (1,), every) for every in (2, 3, 5, 10, 20, 50, 100)]
    return logs if len(logs[0]) >= 3 else linear


def _log_values(low: float, high: float, mantissas: tuple[int, ...], every: int = 1) -> list[float]:
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    values = [settle(m * 10.0**e) for e in range(first, last + 1) if e % every == 0 for m in mantissas]
    return [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]


def _steps(span: float) -> list[float]:
    if not span > 0:
        return []
    exponent = int(np.floor(np.log10(span))) - 2
    return [m * 10.0**e for e in range(exponent, exponent + 5) for m in (1, 2, 5)]


def _stand_apart(ticks: tuple[Tick, ...], low: float, high: float, width: float) -> bool:
    """Return whether the labels have at least the width of two letters between them."""
    for one, two in pairwise(sorted(ticks, key=lambda tick: tick.value)):
        gap = (two.value - one.value) / (high - low) * width
        needed = 0.5 * (text_width(one.label, SMALL_SIZE) + text_width(two.label, SMALL_SIZE))
        if gap < needed + 1.2 * SMALL_SIZE:
            return False
    return True
