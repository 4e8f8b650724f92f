"""Shares of random terms are drawn at the numbers of the fits, and bars add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo.errors import InputError
from metaexo.plots.canvas.chart import Intervals, Points, Region, Words

rng = np.random.default_rng(1)
DATA = pd.DataFrame({"source": rng.choice(list("abcde"), 60), "lab": np.repeat(np.arange(20), 3).astype(str)})


def fit(spread: float) -> mx.models.MultilevelResults:
    y = rng.normal(0, spread, 20)[np.repeat(np.arange(20), 3)] + rng.normal(0, 0.4, 60)
    return mx.Multilevel(mx.EffectSizes(y, [0.05] * 60, data=DATA), ["source", "lab", "effect"]).fit()


FITS = {"First": fit(0.6), "Second": fit(0.2)}
PLAN = mx.plots.variance_shares_plan(FITS, wording={"effect": "rest"})


def test_bars_begin_at_zero_add_up_to_one_hundred_and_have_the_shares() -> None:
    bars = PLAN.layers(Region)
    for i, one in enumerate(FITS.values()):
        own = [bar for bar in bars if abs(np.mean([y for _, y in bar.corners]) - i) < 1e-9]
        widths = [max(x for x, _ in bar.corners) - min(x for x, _ in bar.corners) for bar in own]
        assert widths == pytest.approx([100 * s for s in one.tau2_shares if s > 0])
        assert max(x for bar in own for x, _ in bar.corners) == pytest.approx(100.0)
    numbers = {words.text for words in PLAN.layers(Words)}
    assert {f"{s:.0%}" for one in FITS.values() for s in one.tau2_shares if s > 0.085} == numbers


def test_marks_and_intervals_are_those_of_conf_int_shares() -> None:
    table = {name: one.conf_int_shares() for name, one in FITS.items()}
    points, lines = PLAN.layers(Points), PLAN.layers(Intervals)
    assert [layer.name for layer in points] == ["source", "lab", "rest"]
    for layer, line, term in zip(points, lines, ("source", "lab", "effect"), strict=True):
        assert list(layer.x) == pytest.approx([100 * one.loc[term, "share"] for one in table.values()])
        assert list(line.low) == pytest.approx([100 * one.loc[term, "low"] for one in table.values()])
        assert list(line.high) == pytest.approx([100 * one.loc[term, "high"] for one in table.values()])
        assert list(layer.y) == list(line.at)


@pytest.mark.parametrize("intervals", [True, False])
def test_texts_do_not_overlap(intervals: bool) -> None:
    many = {f"Outcome {i}": list(FITS.values())[i % 2] for i in range(9)}
    ax = mx.plots.variance_shares(many, intervals=intervals, title="Shares of nine outcomes")
    assert mx.plots.overlapping_texts(ax) == []


def test_what_has_no_shares_is_refused() -> None:
    equal = mx.Multilevel(mx.EffectSizes([0.1] * 60, [0.05] * 60, data=DATA), ["lab", "effect"]).fit()
    with pytest.raises(InputError, match="no variance between effects"):
        mx.plots.variance_shares(equal)
    with pytest.raises(InputError, match="variance_components"):
        mx.plots.variance_shares(mx.RandomEffects(mx.EffectSizes([0.1, 0.4], [0.1, 0.2])).fit())
    with pytest.raises(InputError, match="no fit"):
        mx.plots.variance_shares({})
