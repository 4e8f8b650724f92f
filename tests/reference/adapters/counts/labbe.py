"""Where a L'Abbé plot has its points."""

from __future__ import annotations

from typing import Any

import numpy as np

import metaexo as mx
from tests.reference.cases import Case, NotCovered

SCALES = {"RR": "log", "OR": "odds", "RD": "risk"}
NAMES = ("treatment_events", "treatment_n", "control_events", "control_n")


def points(case: Case, data: dict[str, Any]) -> dict[str, Any]:
    """Return the points of both groups; 1/2 stands for no event on all axes, as the reference has it."""
    measure = case["call"]["measure"]
    if measure not in SCALES:
        raise NotCovered(f"a L'Abbé plot of {measure}")
    table = np.array([data[name] for name in ("ai", "n1i", "ci", "n2i")], dtype=float)
    whole = np.isfinite(table).all(axis=0)
    counts = mx.event_counts(**dict(zip(NAMES, table[:, whole], strict=True)))
    frame = mx.plots.labbe_plan(counts, scale=SCALES[measure], add_half=True).to_frame()
    frame = frame[frame["layer"] == "points"].assign(row=lambda rows: rows["label"].astype(int))
    at = frame.sort_values("row")[["x", "y"]].to_numpy(dtype=float).T
    x, y = at if measure == "RD" else np.log(at)
    return {"x": x, "y": y}


MODELS = {("count_models", "labbe_plot"): points}
