"""Selection models of many meta-analyses beside single fits of each."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, ShapeError, UnknownChoiceError

NAMES = ("estimate", "se", "low", "high", "tau2", "llf")


def draws(k=15, size=12):
    """Return effects of which those that are not significant are seen in part, and their variances."""
    rng = np.random.default_rng(k)
    se = rng.uniform(0.1, 0.5, (size, k))
    y = rng.normal(0.3, np.hypot(se, 0.2))
    z = y / se
    return np.where((z < 1.96) & (rng.uniform(size=z.shape) < 0.4), y + 0.4, y), se**2


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("cuts", [(0.025,), (0.025, 0.5), (0.01, 0.1, 0.6)])
def test_each_is_the_single_fit(alternative, cuts):
    y, v = draws()
    many = mx.bias.selection_many(y, v, cuts, alternative=alternative, level=0.9)
    for i in range(len(y)):
        one = mx.bias.selection_model(
            mx.EffectSizes(y[i], v[i]), "step", cuts, alternative=alternative, level=0.9
        )
        assert many.llf[i] == pytest.approx(one.llf, abs=1e-8)
        assert many.usable[i] == one.usable
        assert many.lrt_statistic[i] == pytest.approx(one.lrt.statistic, abs=1e-7)
        assert many.lrt_pvalue[i] == pytest.approx(one.lrt.pvalue, abs=1e-7)
        if one.usable:
            for name in NAMES:
                assert getattr(many, name)[i] == pytest.approx(getattr(one, name), rel=1e-5, abs=1e-7), name
            assert many.delta[i] == pytest.approx(one.delta, rel=1e-4, abs=1e-9)


def test_what_the_data_do_not_determine():
    se = np.linspace(0.28, 0.83, 14)
    rows = [1.8 * se, 2.1 * se, np.full(14, 0.1), np.linspace(0.1, 1.9, 14)]
    many = mx.bias.selection_many(rows, se=[se] * 4)
    singles = [mx.bias.selection_model(mx.EffectSizes(row, se=se), alternative="greater") for row in rows]
    assert many.usable.tolist() == [one.usable for one in singles]
    assert not many.usable[:2].any()
    assert many.delta[0].tolist() == [1, np.inf]
    assert many.delta[1].tolist() == [1, 0]


def test_units_and_chunks_do_not_matter(monkeypatch):
    y, v = draws()
    many = mx.bias.selection_many(y, v)
    other = mx.bias.selection_many(-1e3 * y, 1e6 * v, alternative="less")
    assert other.estimate[many.usable] == pytest.approx(-1e3 * many.estimate[many.usable], rel=1e-5)
    assert np.array_equal(other.usable, many.usable)
    monkeypatch.setattr("metaexo.bias.selection.many.TOGETHER", 1)
    alone = mx.bias.selection_many(y, v)
    assert alone.llf == pytest.approx(many.llf, abs=1e-9)


def test_wrong_inputs():
    y, v = draws(5, 2)
    with pytest.raises(ShapeError, match="same shape"):
        mx.bias.selection_many(y, v[:, :4])
    for few in (y[:, :1], y[:0]):
        with pytest.raises(ShapeError, match="two or more"):
            mx.bias.selection_many(few, np.ones(few.shape))
    for bad_y, bad_v in ((y, 0 * v), (np.where(y == y[0, 0], np.nan, y), v), (y, np.inf * v)):
        with pytest.raises(InputError):
            mx.bias.selection_many(bad_y, bad_v)
    with pytest.raises(UnknownChoiceError):
        mx.bias.selection_many(y, v, alternative="more")
    with pytest.raises(InputError, match="rising order"):
        mx.bias.selection_many(y, v, (0.5, 0.1))
    with pytest.raises(InputError, match="level"):
        mx.bias.selection_many(y, v, level=2)
    with pytest.raises(InputError):
        mx.bias.selection_many(y)
