"""The plot of a sweep over assumed correlations shows the numbers of the sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd

import metaexo as mx
from metaexo.plots import rho_sweep, rho_sweep_plan
from metaexo.plots.canvas.saving import overlapping_texts

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


def test_proportions_of_double_arcsines_come_back_by_the_size_of_the_studies() -> None:
    """Miller (1978): the way back takes the harmonic mean of the sizes, as the model's own summary does."""
    es = mx.effect_sizes(
        "PFT", events=[1, 2, 0, 1] * 4, n=[5, 12, 15, 200] * 4, study=list("aabbccddeeffgghh")
    )
    sweep = mx.rho_sweep(es, [0.0, 0.5])
    rows = [row for row in rho_sweep_plan(sweep).rows if row.kind == "study"]
    shown = mx.effects.back_pooled(es, sweep.estimate[:, 0])
    assert [row.cells["estimate"][0] for row in rows] == [f"{p:.2f}" for p in shown]
    assert not np.allclose(shown, es.measure.back(sweep.estimate[:, 0]), atol=0.005)
