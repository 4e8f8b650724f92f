"""The benchmark of multilevel models: its table, its merging of runs, and its figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import multilevel
from benchmarks.multilevel_figure import UNIT_SLOPE, scale_plan
from metaexo.plots import overlapping_texts
from metaexo.plots.canvas.chart import Points


def runs(day: str = "2026-11-01") -> pd.DataFrame:
    """Return measurements whose time is in proportion to K for us and to its cube for the others."""
    rows = []
    for by, model, sizes, power in (
        ("metaexo", "nested", (500, 1_000, 5_000, 20_000, 100_000), 1),
        ("metaexo", "crossed", (500, 20_000), 1),
        ("metafor dense", "nested", (500, 1_000), 3),
        ("metafor sparse", "nested", (500, 5_000), 2),
    ):
        for k in sizes:
            seconds = 1e-5 * k if power == 1 else 5.0 * (k / 500) ** power
            rows.append((by, model, k, seconds, 110.0 + k / 1000, 0.3, -10.0, "versions", 1.5, day))
    names = [*multilevel.KEY, "seconds", "memory", "estimate", "llf", "version", "load", "day"]
    return pd.DataFrame(rows, columns=names)


def test_ratios_stand_beside_equal_results_only() -> None:
    found = runs()
    lines = multilevel.table(found).splitlines()
    assert any("500 effects" in line and "metafor dense" in line and "| 1,000 |" in line for line in lines)
    found.loc[found["by"] == "metafor dense", "estimate"] = 0.4
    assert "different result" in multilevel.table(found)


def test_slopes_are_those_of_the_times() -> None:
    found = runs()
    assert multilevel.slope(found, "metaexo", "nested") == pytest.approx(1.0)
    assert multilevel.slope(found, "metafor dense", "nested") == pytest.approx(3.0)


def test_lines_of_an_earlier_run_are_kept(tmp_path, monkeypatch) -> None:
    earlier = runs("2026-10-01")
    monkeypatch.setattr(multilevel, "RESULTS", tmp_path / "multilevel.csv")
    earlier.to_csv(multilevel.RESULTS, index=False)
    now = runs()[lambda table: table["by"] == "metaexo"]
    both = multilevel.merged(now)
    assert len(both) == len(earlier)
    assert (both.loc[both["by"] == "metaexo", "day"] == "2026-11-01").all()
    assert (both.loc[both["by"] != "metaexo", "day"] == "2026-10-01").all()


def test_the_figure_shows_every_line_at_its_values() -> None:
    plan = scale_plan(runs())
    shown = plan.to_frame()
    assert set(shown["panel"]) == {"Time", "Peak memory"}
    ours = shown[(shown["panel"] == "Time") & (shown["name"] == "metaexo, nested")]
    np.testing.assert_allclose(ours["x"], [500, 1_000, 5_000, 20_000, 100_000])
    np.testing.assert_allclose(ours["y"], [0.005, 0.01, 0.05, 0.2, 1.0], rtol=1e-9)
    slope = shown[shown["name"] == UNIT_SLOPE]
    np.testing.assert_allclose(slope["y"] / slope["x"], 1e-5)
    assert (
        len({(layer.color, layer.shape) for layer in plan.panels[0].layers if isinstance(layer, Points)}) == 4
    )


def test_the_axes_are_logarithmic_and_nothing_overlaps() -> None:
    ax = scale_plan(runs()).draw()
    assert [(one.get_xscale(), one.get_yscale()) for one in ax.figure.axes[:2]] == [("log", "log")] * 2
    assert not overlapping_texts(ax)


def test_the_benchmark_problems_are_fitted() -> None:
    found = multilevel.fit(multilevel.problem(60, crossed=True))
    assert list(found.component_values) == ["study", "study/effect", "source", "isolation"]
