"""The vertical axes of a funnel plot: where effects stand on them, and the way back to what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metaexo.effects.effect_sizes import EffectSizes
from metaexo.effects.sample_sizes import group_sizes, sample_sizes
from metaexo.errors import InputError
from metaexo.models.linear.results import FitResults
from metaexo.plots.canvas.scale import robust_limits
from metaexo.types import Array

STEPS = 81  # points of a curve


@dataclass(frozen=True, slots=True)
class VerticalAxis:
    """A vertical axis of a funnel plot; large studies stand above on each of them."""

    label: str
    quantity: Literal["se", "n", "groups", "weight"]  # what it is made from
    of: Callable[[Array], Array]
    back: Callable[[Array], Array] | None = None  # the way back to the quantity
    falls: bool = False  # whether values are small for large studies

    @property
    def has_se(self) -> bool:
        """Whether it shows standard errors, in whatever units."""
        return self.quantity == "se"

    def quantities(self, heights: Array) -> Array:
        """Return the standard errors or sample sizes at heights; infinite where there is no end to them."""
        assert self.back is not None
        with np.errstate(divide="ignore"):
            return np.asarray(self.back(heights))

    def heights(self, ends: tuple[float, float]) -> Array:
        """Return the heights of the points of a curve, in ascending order."""
        return np.linspace(max(ends[0], 0.0), ends[1], STEPS)


Y_AXES: Mapping[str, VerticalAxis] = {
    "sei": VerticalAxis("Standard error", "se", lambda s: s, lambda t: t, True),
    "vi": VerticalAxis("Sampling variance", "se", lambda s: s**2, np.sqrt, True),
    "seinv": VerticalAxis("Precision (1 / standard error)", "se", lambda s: 1 / s, lambda t: 1 / t),
    "vinv": VerticalAxis("1 / sampling variance", "se", lambda s: 1 / s**2, lambda t: 1 / np.sqrt(t)),
    "ni": VerticalAxis("Sample size", "n", lambda n: n, lambda t: t),
    "ninv": VerticalAxis("1 / sample size", "n", lambda n: 1 / n, lambda t: 1 / t, True),
    "lni": VerticalAxis("Logarithm of sample size", "n", np.log, np.exp),
    "sqrtni": VerticalAxis("Square root of sample size", "n", np.sqrt, lambda t: t**2),
    "sqrtninv": VerticalAxis(
        "1 / square root of sample size", "n", lambda n: 1 / np.sqrt(n), lambda t: 1 / t**2, True
    ),
    "groups": VerticalAxis("Root of 1/n1 + 1/n2", "groups", lambda t: t, lambda t: t, True),
    "wi": VerticalAxis("Weight (%)", "weight", lambda w: 100 * w),
}
YAxis = Literal["sei", "vi", "seinv", "vinv", "ni", "lni", "ninv", "sqrtni", "sqrtninv", "groups", "wi"]


def heights_of(es: EffectSizes, fit: FitResults | None, se: Array, side: VerticalAxis) -> Array:
    """Return where effects stand on a vertical axis, shape (k,); raises InputError if that is not known.

    `se`: standard errors of what is drawn, effects or residuals.
    """
    if side.quantity == "weight":
        return np.asarray(side.of(_weights(es, fit)))
    if side.quantity == "n":
        return np.asarray(side.of(sample_sizes(es, 'choose yaxis="sei"')))
    if side.quantity == "groups":
        first, second = group_sizes(es, 'choose yaxis="sei"')
        return np.asarray(side.of(np.sqrt(1 / first + 1 / second)))
    still = np.flatnonzero(se == 0)
    if still.size and not side.falls:
        raise InputError(
            f"{still.size} of {es.k} effects have a standard error of 0, which has no inverse",
            "standard errors above 0",
            'choose yaxis="sei"',
            [es.row_labels[i] for i in still],
        )
    return np.asarray(side.of(se))


def _weights(es: EffectSizes, fit: FitResults | None) -> Array:
    """Return the weights of the effects in their fit, as fractions."""
    weights = np.asarray(getattr(fit, "weights", np.nan), dtype=float)
    if weights.shape != es.y.shape or not np.isfinite(weights).all():
        what = "bare effects have" if fit is None else "this fit has"
        raise InputError(
            f"{what} no weights",
            "a fit of RandomEffects, or of Multilevel without moderators",
            'choose yaxis="sei"',
        )
    return weights


def vertical_ends(side: VerticalAxis, y: Array) -> tuple[float, float]:
    """Return the ends of the vertical axis, the lower value first: all points but far standard errors."""
    if side.falls:
        ends = robust_limits([], y.tolist(), [0.0], pad=0.0) if side.has_se else (0.0, y.max())
        deepest = 1.05 * float(ends[1]) if ends[1] > 0 else 1.0
        return -0.02 * deepest, deepest  # room for marks at 0
    low, high = float(y.min()), float(y.max())
    room = 0.06 * (high - low) or 0.1 * high
    return max(low - room, 0.5 * low), high + room
