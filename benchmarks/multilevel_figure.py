"""The figure of time and memory of multilevel models against the number of effects."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from metaexo.plots import THEMES, Chart, save
from metaexo.plots.canvas.chart import ChartAxis, Curve, Layer, Panel, Points, group_sign

# Who fitted what, in words; the place decides on colour and shape.
SIDES = {
    ("metaexo", "nested"): "metaexo, nested",
    ("metafor sparse", "nested"): "metafor, sparse",
    ("metafor dense", "nested"): "metafor, dense (its default)",
    ("metaexo", "crossed"): "metaexo, crossed",
}
X_LABEL = "Number of effects K (log scale)"
UNIT_SLOPE = "time in proportion to K"
TITLE = "Multilevel models: time and memory of one fit, by number of effects"


def scale_plan(found: pd.DataFrame) -> Chart:
    """Return what the figure shows.

    Parameters
    ----------
    found : DataFrame
        One row per fit: by, model, k, seconds, memory (MB).
    """
    time = _panel(found, "seconds", "Time", "Seconds (log scale)", [_unit_slope(found)])
    memory = _panel(found, "memory", "Peak memory", "MB (log scale)", [])
    return Chart(
        panels=(time, memory),
        across=2,
        legend="below",
        summary="Time and memory of fits of multilevel models.",
        title=TITLE,
        notes=(),
        width=7.0,
        height=3.6,
        theme=THEMES["metaexo"],
    )


def draw(found: pd.DataFrame, path: Path) -> None:
    """Write the figure as SVG and PNG."""
    ax = scale_plan(found).draw()
    for ending in (".svg", ".png"):
        save(ax, path.with_name(path.name + ending))


def _panel(found: pd.DataFrame, column: str, heading: str, label: str, first: list[Layer]) -> Panel:
    layers = [*first]
    for place, ((by, model), words) in enumerate(SIDES.items()):
        part = found[(found["by"] == by) & (found["model"] == model)].dropna(subset=[column]).sort_values("k")
        if len(part):
            x, y = part["k"].tolist(), part[column].tolist()
            color, shape = group_sign(place)
            layers += [
                Curve(x=x, y=y, color=color, width=1.2),
                Points(x=x, y=y, name=words, color=color, shape=shape),
            ]
    return Panel(
        heading=heading,
        x=ChartAxis(label=X_LABEL, scale="log"),
        y=ChartAxis(label=label, scale="log"),
        layers=layers,
    )


def _unit_slope(found: pd.DataFrame) -> Curve:
    """Return a line of slope 1 through our largest nested fit, down to the shortest time of all."""
    ours = found[(found["by"] == "metaexo") & (found["model"] == "nested")].sort_values("k").iloc[-1]
    k, seconds = float(ours["k"]), float(ours["seconds"])
    first = max(float(found["k"].min()), k * float(found["seconds"].min()) / seconds)
    return Curve(x=[first, k], y=[seconds * first / k, seconds], name=UNIT_SLOPE, dash="dashed")
