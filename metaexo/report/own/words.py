"""Words of a report that several of its sections share: effects with their intervals, directions, factors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metaexo.effects import EffectSizes, Measure, back_by_rows, back_pooled
from metaexo.formatting import level_words, plural
from metaexo.heterogeneity.levels import readable
from metaexo.plots import pages_of
from metaexo.plots.canvas.plan import whole_figure
from metaexo.report.content import distinct
from metaexo.report.own.part import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONG = 20
FACTORS = {"source": ("source", "sources"), "isolation": ("isolation method", "isolation methods")}
GROUPS = {
    "exosome_vs_control": ("exosomes", "the control"),
    "post_vs_pre": ("values after treatment", "values before treatment"),
    "method_a_vs_method_b": ("the first method", "the second method"),
    "source_a_vs_source_b": ("the first source", "the second source"),
}


def measure_words(measure: Measure) -> str:
    """Return what the effects are called: "standardised mean difference (Hedges' g)", "risk ratio"."""
    name = measure.display if measure.rescaled else measure.name
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def short(measure: Measure) -> str:
    """Return the heading of a column of effects: the display scale, or the code where that is long."""
    return measure.display if len(measure.display) <= LONG else measure.code


def groups_of(part: Part) -> tuple[str, str]:
    """Return what the two groups of the comparison are called."""
    data = part.every.data
    contrast = "" if data is None or "contrast" not in data else str(data["contrast"].iloc[0])
    return GROUPS.get(contrast, ("the first group", "the second group"))


def factor_words(factor: str, many: bool = False) -> str:
    """Return a factor as a reader knows it: "isolation method", "isolation methods"."""
    one = readable(factor)
    return FACTORS.get(factor, (one, f"levels of {one}"))[many]


def typeset(text: str) -> str:
    """Return text with the signs of print: τ² and I² for tau2 and I2."""
    return re.sub(r"\b(?:tau2|I2)\b", lambda found: {"tau2": "τ²", "I2": "I²"}[found[0]], text)


def sentence(text: str) -> str:
    """Return words as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def small(name: str) -> str:
    """Return a title for the middle of a sentence."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list in a sentence."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def ends(effects: EffectSizes, *values: float | None) -> list[float]:
    """Return values on the scale of the analysis as the measure shows them; a missing one is NaN."""
    given = np.array([np.nan if value is None else value for value in values], dtype=float)
    return [float(value) for value in back_pooled(effects, given)]


def null_shown(effects: EffectSizes) -> float:
    """Return the value of no effect as the measure shows it: 0, 1 for ratios; NaN where there is none."""
    null = effects.measure.null
    return null if math.isnan(null) else ends(effects, null)[0]


def null_words(effects: EffectSizes) -> str:
    """Return the value of no effect in words: "0", "1"."""
    return f"{null_shown(effects):.4g}"


def shown_end(effects: EffectSizes, value: float) -> str:
    """Return a value as it is shown, with the digits by which it differs from no effect."""
    return distinct(value, null_shown(effects), 2)


def interval_shown(effects: EffectSizes, low: float, high: float) -> str:
    """Return "0.42 to 1.18", each end with the digits by which it differs from no effect."""
    return f"{shown_end(effects, low)} to {shown_end(effects, high)}"


def with_interval(effects: EffectSizes, level: float, *values: float | None) -> str:
    """Return "0.80 (95% CI 0.42 to 1.18)" of an estimate and its ends on the scale of the analysis."""
    middle, low, high = ends(effects, *values)
    return f"{shown_end(effects, middle)} ({level_words(level)} CI {interval_shown(effects, low, high)})"


def row_with_interval(effects: EffectSizes, i: int, level: float) -> str:
    """Return one effect with its normal interval."""
    limits = effects.conf_int(level)
    values = np.column_stack([effects.y, limits.iloc[:, 0], limits.iloc[:, 1]])
    middle, low, high = (float(back_by_rows(effects, values[:, j])[i]) for j in range(3))
    return f"{shown_end(effects, middle)} ({level_words(level)} CI {interval_shown(effects, low, high)})"


def side(low: float, high: float, null: float) -> int | None:
    """Return 1 for an interval above no effect, -1 below, 0 for one that includes it, None for none."""
    if math.isnan(low) or math.isnan(high):
        return None
    return 1 if low > null else -1 if high < null else 0


def direction(part: Part, low: float, high: float) -> str:
    """Return what an interval says of the direction, as a clause; empty where there is no value of no effect.

    low, high: its ends on the scale of the analysis.
    """
    null = part.every.measure.null
    if math.isnan(null) or math.isnan(low):
        return ""
    first, second = groups_of(part)
    if low <= null <= high:
        return f"an interval that includes {null_words(part.every)}, no effect"
    if part.every.oriented:
        return f"in favour of {first if low > null else second}"
    return f"{'higher' if low > null else 'lower'} with {first} than with {second}"


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes stand on; pyplot does not keep it, nor its further pages."""
    import matplotlib.pyplot as plt

    figure: Any = axes.figure
    for page in pages_of(figure):
        plt.close(whole_figure(page))
    return cast("Figure", figure)


def counted(part: Part) -> str:
    """Return how many studies and effects a part has: "12 studies (14 effects)"."""
    studies = plural(part.every.m, "study", "studies")
    return studies if part.every.k == part.every.m else f"{studies} ({plural(part.every.k, 'effect')})"
