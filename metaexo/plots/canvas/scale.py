"""From the scale of the analysis to what is shown and to the axis; where an axis ends and has ticks.

An axis holds what is shown: a ratio on a logarithmic axis, everything else on a linear one, proportions and
correlations that were analysed on a scale of their own too. Places on a logarithmic axis are natural
logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from metaexo.effects.measure import GENERIC, Measure
from metaexo.errors import InputError
from metaexo.formatting import MINUS, power_label, ten_digits
from metaexo.plots.canvas.fonts import text_width

if TYPE_CHECKING:
    from matplotlib.axis import Axis as MatplotlibAxis
    from matplotlib.ticker import Formatter, Locator

Side = Literal["", "left", "right"]
LOGARITHM = Measure(
    code="LOG",
    name="value on a logarithmic axis",
    family="values",
    use="Positive values of any kind.",
    routes=(),
    null=float("nan"),
    display="Value",
    papers=(),
    back=np.exp,
    display_log=True,
)
# Ranges that an axis need not show as a whole.
DIFFERENCES = ("Risk difference", "Arcsine difference")
PART = 0.25
FURTHEST = 345.0  # a logarithmic axis goes from 1e-150 to 1e150 at most
FENCE = 1.5
SQUASHED = 2.5
TICK_SIZE = 7.5  # letters for which ticks have room


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick: its value on the scale of the axis and its label on the scale that is shown."""

    value: float
    label: str


def display(measure: Measure, value: float) -> float:
    """Return a value of the analysis on the scale that is shown; infinite where it is too large for it."""
    with np.errstate(over="ignore"):
        return float(measure.back(np.array(float(value))))


def on_axis(measure: Measure, value: float) -> float:
    """Return the place of a shown value on the axis of a measure: itself, or its natural logarithm."""
    if not measure.display_log:
        return float(value)
    return math.log(value) if value > 0 else -math.inf


def from_axis(measure: Measure, place: float) -> float:
    """Return the shown value at a place of the axis of a measure; infinite where it is too large."""
    if not measure.display_log:
        return float(place)
    with np.errstate(over="ignore"):
        return float(np.exp(place))


def place_of(measure: Measure, value: float, name: str) -> float:
    """Return the place of a value that the user gave, on the scale that is shown.

    Raises InputError if the axis of the measure does not have the value, for example a risk ratio of 0.
    """
    possible = math.exp(-FURTHEST) < value < math.exp(FURTHEST) if measure.display_log else abs(value) < 1e300
    if not possible:
        ratio = measure.display_log
        raise InputError(
            f"{name}: {value:g} is not a value of {measure.display!r}",
            "a number above 0, from 1e-149 to 1e149" if ratio else "a finite number below 1e300",
            "give it as the figure shows it, not as a logarithm" if ratio else "",
        )
    return on_axis(measure, value)


def given_limits(measure: Measure, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of an axis that the user gave, as places on it.

    Raises InputError if the axis does not have them, or the first is not below the second.
    """
    low, high = (place_of(measure, value, "limits") for value in limits)
    if not low < high:
        raise InputError(
            f"the limits are {limits}",
            "two numbers, the lower one first",
            "exchange them, or move them apart",
        )
    return low, high


def axis_words(measure: Measure, label: str | None = None) -> str:
    """Return the name of what is shown with its scale; default: that of the measure."""
    return (measure.display if label is None else label) + (" (log scale)" if measure.display_log else "")


def whole_range(measure: Measure, low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis of a measure with a range: the whole of it, unless a part is enough.

    A proportion is shown from 0 to 1 and a correlation from -1 to 1; what takes less than a quarter of that,
    or is a difference, has an axis of its own, which ends where the range does.
    """
    least, most = measure.possible
    if (
        math.isfinite(most - least)
        and measure.display not in DIFFERENCES
        and high - low >= PART * (most - least)
    ):
        return least, most
    return max(low, least), min(high, most)


def robust_limits(
    lows: Sequence[float], highs: Sequence[float], always: Sequence[float], pad: float = 0.04
) -> tuple[float, float]:
    """Return axis limits that show what matters and let single huge intervals run out of the picture.

    With q1 and q3 the quartiles of all bounds, the bounds within [q1 - 1.5 (q3 - q1), q3 + 1.5 (q3 - q1)] are
    near. If all bounds together need more than 2.5 times the room of the near ones, the others are cut.
    The values of `always` are never cut.

    `lows` and `highs`: bounds of the intervals of the studies.
    `always`: values that must be seen: the reference line, pooled effects and their bounds.
    `pad`: room at both ends, as a share of the width.
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
    """Return ticks at round shown values, three or more if as many stand apart in `width` points.

    `low` and `high` are places on the axis.
    """
    ticks: tuple[Tick, ...] = ()
    for least in (3, 2):
        for values in _candidates(measure, low, high):
            labels = tick_labels(values)
            ticks = tuple(Tick(on_axis(measure, v), label) for v, label in zip(values, labels, strict=True))
            if least <= len(ticks) <= 9 and _stand_apart(ticks, low, high, width):
                return ticks
    return ticks[:1]


def round_values(low: float, high: float, most: int = 8) -> list[float]:
    """Return round values within the limits, at steps of 1, 2 or 5 times a power of ten."""
    for step in _steps(high - low):
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [ten_digits(i * step) for i in range(int(first), int(last) + 1)]
    return []


def tick_labels(values: Sequence[float]) -> list[str]:
    """Return the labels of the ticks of an axis, all in one notation: with powers of ten if one needs it."""
    powers = any(_needs_power(value) for value in values)
    return [tick_label(value, powers) for value in values]


def _needs_power(value: float) -> bool:
    return value != 0 and not 1e-4 <= abs(value) < 1e6


def tick_label(value: float, powers: bool = False) -> str:
    """Return the shortest text of a round value, with a true minus sign.

    It has a power of ten if it is very small or large, or with `powers` unless that power would be 0.
    """
    if _needs_power(value) or (powers and value != 0 and not 1 <= abs(value) < 10):
        return power_label(value)
    return f"{value:.6f}".rstrip("0").rstrip(".").replace("-", MINUS)


def _candidates(measure: Measure, low: float, high: float) -> list[list[float]]:
    """Return lists of round shown values, the densest first."""
    shown_low, shown_high = from_axis(measure, low), from_axis(measure, high)
    linear = [round_values(shown_low, shown_high, most) for most in (8, 7, 6, 5, 4, 3, 2)]
    if not measure.display_log or shown_low <= 0 or not math.isfinite(shown_high):
        return linear
    logs = [_log_values(shown_low, shown_high, mantissas) for mantissas in ((1, 2, 5), (1, 3), (1,))]
    logs += [_log_values(shown_low, shown_high, (1,), every) for every in (2, 3, 5, 10, 20, 50, 100)]
    return logs if len(logs[0]) >= 3 else linear


def _log_values(low: float, high: float, mantissas: tuple[int, ...], every: int = 1) -> list[float]:
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    values = [ten_digits(m * 10.0**e) for e in range(first, last + 1) if e % every == 0 for m in mantissas]
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
        needed = 0.5 * (text_width(one.label, TICK_SIZE) + text_width(two.label, TICK_SIZE))
        if gap < needed + 1.2 * TICK_SIZE:
            return False
    return True


Scale = Literal["linear", "log", "logit"]


def to_place(scale: Scale, value: float) -> float:
    """Return the place of a shown value on an axis: itself, its logarithm, or its log odds."""
    if scale == "linear":
        return float(value)
    if value <= 0:
        return -math.inf
    if scale == "log":
        return math.log(value)
    return math.inf if value >= 1 else math.log(value) - math.log1p(-value)


def from_place(scale: Scale, place: float) -> float:
    """Return the shown value at a place of an axis; infinite where it is too large."""
    if scale == "linear":
        return float(place)
    if scale == "log":
        return math.exp(place) if place < 709 else math.inf
    return 1.0 / (1.0 + math.exp(-place)) if place > -700 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAxis:
    """A horizontal axis of what is shown, from `low` to `high`; without ticks they are round values."""

    low: float
    high: float
    scale: Scale = "linear"
    reference: float | None = None
    label: str = ""
    ticks: tuple[float, ...] | None = None
    tick_labels: tuple[str, ...] | None = None

    def between(self, low: float, high: float) -> ShownAxis:
        """Return the axis with other ends."""
        return replace(self, low=float(low), high=float(high))

    @property
    def places(self) -> tuple[float, float]:
        """The places of its ends."""
        return to_place(self.scale, self.low), to_place(self.scale, self.high)

    def side_of(self, value: float | None) -> Side:
        """Return on which side of the axis a value lies; empty if it is on it."""
        if value is None:
            return ""
        (low, high), place = self.places, to_place(self.scale, value)
        slack = 1e-9 * (high - low)
        if low - slack <= place <= high + slack:
            return ""
        return "left" if place < low else "right"

    def misses(self, low: float | None, high: float | None) -> Side:
        """Return on which side of the axis a whole interval lies; empty if the axis shows some of it."""
        if low is None or high is None:
            return ""
        if high < self.low:
            return "left"
        return "right" if low > self.high else ""

    def near(self, value: float | None) -> float:
        """Return a value, or one that lies far beyond the axis if it is further, or no number."""
        low, high = self.places
        far = 20.0 * (high - low)
        place = low - far if value is None else to_place(self.scale, value)
        return from_place(self.scale, min(max(place, low - far), high + far))

    def within(self, value: float) -> float:
        """Return a value, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)


class RoundTicks:
    """Ticks at round values that stand apart, for any ends and width that the axis has when it is drawn."""

    def __init__(self, scale: Scale | Literal["sqrt"], point: str = ".") -> None:
        self.scale = scale
        self.point = point

    def put_on(self, axis: MatplotlibAxis) -> None:
        """Make them the ticks of an axis of matplotlib; what the user sets later takes their place."""
        axis.set_major_locator(self.locator())
        self.put_labels_on(axis)

    def locator(self) -> Locator:
        """Return the ticks as matplotlib has them; a figure with them can be pickled."""
        from matplotlib.ticker import Locator

        values, anew = self.values, self.locator

        class Round(Locator):
            """Round values within the view."""

            def __reduce__(self) -> tuple[Any, ...]:
                return anew, (), self.__dict__

            def __call__(self) -> Any:
                return self.tick_values(*cast("Any", self.axis).get_view_interval())

            def tick_values(self, vmin: float, vmax: float) -> Any:
                axis = cast("Any", self.axis)
                box = axis.axes.get_window_extent()
                across = axis is axis.axes.xaxis
                size = axis.get_major_ticks(1)[0].label1.get_size()  # of the labels, whoever set it
                room = TICK_SIZE / size * (box.width if across else box.height) * 72 / axis.axes.figure.dpi
                return values(min(vmin, vmax), max(vmin, vmax), room if across else 2.0 * room)

        return Round()

    def formatter(self) -> Formatter:
        """Return the labels of the ticks as matplotlib has them; a figure with them can be pickled."""
        from matplotlib.ticker import Formatter

        anew, point = self.formatter, self.point

        class Labels(Formatter):
            """Round values in one notation."""

            def __reduce__(self) -> tuple[Any, ...]:
                return anew, (), self.__dict__

            def __call__(self, x: float, pos: int | None = None) -> str:
                return tick_label(x).replace(".", point)

            def format_ticks(self, values: Any) -> list[str]:
                return [label.replace(".", point) for label in tick_labels([float(v) for v in values])]

        return Labels()

    def put_labels_on(self, axis: MatplotlibAxis) -> None:
        """Write the ticks of an axis of matplotlib as round values."""
        from matplotlib.ticker import NullLocator

        axis.set_major_formatter(self.formatter())
        axis.set_minor_locator(NullLocator())

    def values(self, low: float, high: float, room: float) -> list[float]:
        """Return the values between two ends of an axis with a room in points."""
        if self.scale == "logit":
            return _odds_values(low, high, room)
        if self.scale == "sqrt":
            return _root_values(low, high, room)
        if self.scale == "log" and low <= 0:
            return []
        measure = LOGARITHM if self.scale == "log" else GENERIC
        ends = on_axis(measure, low), on_axis(measure, high)
        return [from_axis(measure, tick.value) for tick in make_ticks(measure, *ends, room)]


def _odds_values(low: float, high: float, room: float) -> list[float]:
    """Return round proportions that stand apart on an axis of log odds."""
    halves = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
    every = [*halves, 0.5, *(ten_digits(1 - value) for value in reversed(halves))]
    seen = [value for value in every if low <= value <= high]
    first = sorted(seen, key=lambda v: (v != 0.5, v not in (0.1, 0.9, 0.01, 0.99), abs(v - 0.5)))
    width = max(to_place("logit", high) - to_place("logit", low), 1e-12)
    return _with_room(first, [to_place("logit", value) / width * room for value in first])


def _root_values(low: float, high: float, room: float) -> list[float]:
    """Return round values that stand apart on an axis of square roots: 0 and powers of ten first."""
    seen = [value for value in _log_values(max(low, 1e-4 * high), high, (1, 5, 2)) if value <= high]
    first = sorted(seen, key=lambda v: (f"{v:e}"[0] != "1", f"{v:e}"[0] != "5", -v))
    first = [0.0, *first] if low <= 0 else first
    width = max(math.sqrt(high) - math.sqrt(max(low, 0.0)), 1e-300)
    return _with_room(first, [math.sqrt(value) / width * room for value in first])


def _with_room(first: Sequence[float], places: Sequence[float]) -> list[float]:
    """Return the values, the first ones first, whose places in points stand apart from those of others."""
    kept: dict[float, float] = {}
    for value, place in zip(first, places, strict=True):
        if all(abs(place - other) > 4.0 * TICK_SIZE for other in kept.values()):
            kept[value] = place
    return sorted(kept)
