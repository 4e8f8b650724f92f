"""What to know before relying on intervals and tests: few degrees of freedom, no width, impossible values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from metaexo.effects.bounded_effect_sizes import BoundedEffectSizes
from metaexo.effects.conversions.scales import back_pooled
from metaexo.effects.effect_sizes import EffectSizes
from metaexo.models.linear.hypothesis import FEW_DF, LEAST_DF
from metaexo.types import Array

# Measures of the same thing on a scale without ends.
WITHOUT_ENDS = {
    **dict.fromkeys(("COR", "UCOR"), "ZCOR"),
    **dict.fromkeys(("PR", "PLN"), "PLO"),
    "ARAW": "ABT",
    "PCOR": "ZPCOR",
    "PHI": "ZPHI",
    "RBIS": "ZBIS",
    "RPB": "ZPB",
    "RTET": "ZTET",
    "SPCOR": "ZSPCOR",
    "R2": "ZR2",
    "R2F": "ZR2F",
    "RD": "OR",
    "IR": "IRLN",
}


def cautions_of_estimates(names: Sequence[str], se: Array, df: Array | None) -> tuple[str, ...]:
    """Return what to know about t intervals and tests of estimates: few degrees of freedom, no width.

    The degrees of freedom, shape (q,), are None for z.
    """
    found = []
    still = [name for name, wide in zip(names, se, strict=True) if wide == 0]
    if still:
        found.append(
            f"the interval of {', '.join(still)} has no width, because the effects show no spread; it says "
            "nothing about the precision of the estimate, and there is no test"
        )
    if df is None:
        return tuple(found)
    for low, high, said in (
        (-np.inf, LEAST_DF, "too few for a p-value, and the interval is not to be relied on"),
        (LEAST_DF, FEW_DF, "interval and p-value are rough guides"),
    ):
        few = {
            name: float(d)
            for name, d, wide in zip(names, df, se, strict=True)
            if low <= d < high and wide > 0
        }
        if few:
            counts = sorted({f"{d:.3g}" for d in few.values()}, key=float)
            shown = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            found.append(f"{', '.join(few)}: {shown} df, {said}")
    return tuple(found)


def cautions_of_range(
    effects: EffectSizes | BoundedEffectSizes, intervals: Mapping[str, tuple[float | None, float | None]]
) -> tuple[str, ...]:
    """Return which intervals reach beyond what is possible on the scale on which their measure is shown.

    Intervals are named, with their ends on the scale of the analysis; None where there is none.
    """
    measure = effects.measure
    least, most = measure.possible
    if math.isinf(least) and math.isinf(most):
        return ()
    room = 1e-9
    found = []
    for name, (low, high) in intervals.items():
        if low is None or high is None:
            continue
        ends = back_pooled(effects, [low, high])
        if ends.min() < least - room or ends.max() > most + room:
            found.append(f"the {name} ({ends.min():.3g} to {ends.max():.3g})")
    if not found:
        return ()
    where = " to ".join(f"{end:.3g}" if math.isfinite(end) else "any size" for end in (least, most))
    other = WITHOUT_ENDS.get(measure.code)
    reach = "reaches" if len(found) == 1 else "reach"
    remedy = f"; {other} is the measure whose intervals cannot" if other else ""
    return (f"{' and '.join(found)} {reach} beyond what is possible ({where}){remedy}",)
