"""The figure of time and memory of multilevel models against the number of effects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from metaexo.plots import save
from metaexo.plots.canvas.canvas import draw as draw_page
from metaexo.plots.canvas.fonts import GREY, PALETTE
from metaexo.plots.canvas.page import Key
from metaexo.plots.canvas.scale import Axis, Tick, tick_label
from metaexo.plots.profile import Curve, CurveSet, CurvesPlan, curves_page, lay_out_curves

# Who fitted what: words, colour, mark.
SIDES = {
    ("metaexo", "nested"): ("metaexo, nested", PALETTE[0], "circle"),
    ("metaexo", "crossed"): ("metaexo, crossed", PALETTE[5], "diamond"),
    ("metafor sparse", "nested"): ("metafor, sparse", PALETTE[1], "triangle"),
    ("metafor dense", "nested"): ("metafor, dense (its default)", PALETTE[4], "square"),
}
DASH = (3.0, 2.0)
X_LABEL = "number of effects K"
UNIT_SLOPE = "time in proportion to K"


def scale_plan(found: pd.DataFrame) -> CurvesPlan:
    """Return what the figure shows.

    Parameters
    ----------
    found : DataFrame
        One row per fit: by, model, k, seconds, memory (MB).
    """
    low, high = np.log10(found["k"].min()) - 0.1, np.log10(found["k"].max()) + 0.1
    axis = Axis(low, high, powers(low, high), None, X_LABEL, True)
    time = _panel(found, "seconds", axis, "Time", "seconds (log scale)")
    memory = _panel(found, "memory", axis, "Peak memory", "MB (log scale)")
    keys = [Key(words, color, shape) for side, (words, color, shape) in SIDES.items() if _has(found, side)]
    return lay_out_curves(
        [_with_unit_slope(time, found), memory],
        columns=2,
        panel_size=(230.0, 190.0),
        keys=[*keys, Key(UNIT_SLOPE, GREY, "line", dash=DASH)],
    )


def draw(found: pd.DataFrame, path: Path) -> None:
    """Write the figure as SVG and PNG."""
    for ending in (".svg", ".png"):
        save(draw_page(curves_page(scale_plan(found))), path.with_name(path.name + ending))


def powers(low: float, high: float) -> tuple[Tick, ...]:
    """Return ticks at the powers of ten between two logarithms."""
    return tuple(
        Tick(float(i), tick_label(10.0**i) if i < 4 else f"10{str(i).translate(RAISED)}")
        for i in range(int(np.ceil(low)), int(np.floor(high)) + 1)
    )


RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _has(found: pd.DataFrame, side: tuple[str, str]) -> bool:
    return bool(((found["by"] == side[0]) & (found["model"] == side[1])).any())


def _panel(found: pd.DataFrame, column: str, axis: Axis, heading: str, label: str) -> CurveSet:
    values = np.log10(found[column].dropna())
    low, high = float(values.min()) - 0.2, float(values.max()) + 0.2
    curves = []
    for (by, model), (words, color, shape) in SIDES.items():
        part = found[(found["by"] == by) & (found["model"] == model)].dropna(subset=[column]).sort_values("k")
        points = tuple(zip(np.log10(part["k"]).tolist(), np.log10(part[column]).tolist(), strict=True))
        if points:
            curves.append(Curve(words, points, color, shape))
    return CurveSet(heading, axis, low, high, powers(low, high), label, tuple(curves))


def _with_unit_slope(panel: CurveSet, found: pd.DataFrame) -> CurveSet:
    """Return the panel with a line of slope 1 through our largest nested fit."""
    ours = found[(found["by"] == "metaexo") & (found["model"] == "nested")].sort_values("k").iloc[-1]
    x, y = float(np.log10(ours["k"])), float(np.log10(ours["seconds"]))
    line = Curve(UNIT_SLOPE, ((panel.axis.low, y + panel.axis.low - x), (x, y)), GREY, dash=DASH)
    return CurveSet(
        panel.heading,
        panel.axis,
        panel.y_low,
        panel.y_high,
        panel.y_ticks,
        panel.y_label,
        (line, *panel.curves),
    )
