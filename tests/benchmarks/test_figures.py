"""The figures of the simulations, drawn from the stored tables: their values, letters and second code."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import metaexo as mx
from benchmarks import attribution, censored, coverage

DRAW = {"coverage": coverage.draw, "attribution": attribution.draw, "censored": censored.draw_figure}


@pytest.fixture
def draw(root, tmp_path, monkeypatch):
    """Return a function that draws a stored table and returns the figure."""
    figures: list[Figure] = []
    monkeypatch.setattr(mx.plots, "save", lambda figure, path: figures.append(figure))

    def make(name: str) -> tuple[pd.DataFrame, Figure]:
        found = pd.read_csv(root / "benchmarks" / "results" / f"{name}.csv")
        DRAW[name](found, Path(tmp_path) / name)
        return found, figures[-1]

    return make


@pytest.mark.parametrize("name", DRAW)
def test_seven_inches_and_letters_that_can_be_read(draw, name) -> None:
    _, figure = draw(name)
    assert figure.get_figwidth() == 7.0
    assert mx.plots.overlapping_texts(figure) == []
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7.0


@pytest.mark.parametrize("name", ["coverage", "censored"])
def test_every_method_has_colour_and_mark(draw, name) -> None:
    _, figure = draw(name)
    lines = [line.lines[0] for line in figure.axes[0].containers]
    assert len(lines) == len(coverage.TESTS if name == "coverage" else censored.METHODS)
    assert (
        len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == len(lines)
    )


def test_coverage_is_that_of_the_table(draw) -> None:
    found, figure = draw("coverage")
    part = found.query("k == 3 and method == 'REML' and test == 'z'")
    line = figure.axes[0].containers[0].lines[0]
    assert line.get_ydata().tolist() == part["coverage"].tolist()


def test_bars_of_verdicts_end_at_one_and_differ_by_hatch(draw) -> None:
    found, figure = draw("attribution")
    bars = figure.axes[0].containers
    tops = [bar.get_y() + bar.get_height() for bar in bars[-1]]
    assert tops == pytest.approx([1.0] * len(tops))
    right = found.loc[found["truth"] == next(iter(attribution.TRUTHS)), "right"]
    assert [bar.get_height() for bar in bars[0]] == pytest.approx(right.tolist())
    assert len({(one[0].get_hatch(), to_hex(one[0].get_facecolor())) for one in bars}) == 4
    plt.close("all")
