"""The plot of a sweep over assumed correlations shows the numbers of the sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.plots import rho_sweep, rho_sweep_plan
from metaexo.plots.canvas import overlapping_texts

Y = [0.3, 0.5, 0.9, 0.7, 0.1, -0.1, 0.4, 0.6, 0.2, 0.3, 0.8, 0.5]


def effects() -> mx.EffectSizes:
    data = pd.DataFrame({"outcome": ["size", "dose"] * 6})
    return mx.EffectSizes(Y, [0.02, 0.03, 0.04] * 4, "ROM", study=list("aabbccddeeff"), data=data)


def test_a_row_a_correlation_with_its_numbers() -> None:
    sweep = mx.rho_sweep(effects(), [0.0, 0.5])
    rows = [row for row in rho_sweep_plan(sweep).rows if row.kind == "study"]
    assert [row.cells["label"][0] for row in rows] == ["ρ = 0.00", "ρ = 0.50"]
    assert [row.cells["estimate"][0] for row in rows] == [f"{np.exp(b):.2f}" for b in sweep.estimate[:, 0]]
    totals = np.sqrt(sweep.components.sum(axis=1))
    assert [row.cells["tau"][0] for row in rows] == [f"{tau:.2f}" for tau in totals]


def test_several_coefficients_have_heads_and_nothing_overlaps() -> None:
    sweep = mx.rho_sweep(effects(), [0.0, 0.5], "SCE", by="outcome", moderators="0 + outcome")
    plan = rho_sweep_plan(sweep)
    assert sum(row.kind == "head" for row in plan.rows) == 2
    assert "tau" not in plan.rows[-1].cells
    assert not overlapping_texts(rho_sweep(plan).figure)
