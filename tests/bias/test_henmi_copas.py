"""The interval of Henmi and Copas as an adjusted estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import InputError, TooFewStudiesError
from tests.contract.test_results import CASES, example

Y = np.array([0.5, 0.4, 0.9, 0.1, 0.75, -0.2, 0.6])
V = np.array([0.04, 0.03, 0.09, 0.09, 0.06, 0.02, 0.07])


def test_the_numbers_by_their_formulas():
    found = mx.bias.henmi_copas(mx.RandomEffects(mx.EffectSizes(Y, V)).fit(level=0.9))
    w = 1 / V
    tau2 = mx.RandomEffects(mx.EffectSizes(Y, V)).fit(method="DL").tau2
    assert found.level == 0.9
    assert found.tau2 == pytest.approx(tau2)
    assert found.estimate == pytest.approx(np.average(Y, weights=w))
    assert found.se == pytest.approx(math.sqrt((w**2 * (V + tau2)).sum()) / w.sum())
    half = found.quantile * found.se
    assert (found.low, found.high) == (
        pytest.approx(found.estimate - half),
        pytest.approx(found.estimate + half),
    )
    assert found.quantile > 1.645


# hc() of metafor 3.8-1; its quantile is good to some five digits
R_VALUES = [0.297297297297, 0.175626035842, -0.139354593852, 0.733949188447]


def test_values_of_r():
    found = mx.bias.henmi_copas(mx.EffectSizes(Y, V))
    values = [found.estimate, found.se, found.low, found.high]
    assert values == pytest.approx(R_VALUES, rel=2e-4)


def test_ratios_are_shown_as_ratios():
    found = mx.bias.henmi_copas(mx.EffectSizes(Y, V, "RATIO"), level=0.8)
    assert found.level == 0.8
    mean, low, high = (math.exp(value) for value in (found.estimate, found.low, found.high))
    assert f"{mean:.3f} (80% CI {low:.3f} to {high:.3f})" in found.sentence
    assert found.sentence in found.to_text()
    assert found.to_frame()["ratio"].tolist() == [pytest.approx(math.exp(found.estimate))]


@pytest.mark.parametrize("factor", [1e-8, 1e7])
def test_units_origin_and_direction_do_not_matter(factor):
    plain = mx.bias.henmi_copas(mx.EffectSizes(Y, V))
    other = mx.bias.henmi_copas(mx.EffectSizes(factor * (2 - Y), factor**2 * V))
    assert other.low == pytest.approx(factor * (2 - plain.high), rel=1e-6)
    assert other.quantile == pytest.approx(plain.quantile, rel=1e-8)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_family_of_results(kind, name):
    fit = example(kind, name)
    if fit.design.x is not None:
        with pytest.raises(InputError, match="moderators"):
            mx.bias.henmi_copas(fit)
        return
    found = mx.bias.henmi_copas(fit)
    assert found.low < found.estimate < found.high
    assert found.level == fit.level
    if found.m < found.k:
        assert "taken as independent" in " ".join(found.cautions())


def test_wrong_inputs():
    with pytest.raises(InputError, match="fraction"):
        mx.bias.henmi_copas(mx.EffectSizes(Y, V), level=95)
    with pytest.raises(TooFewStudiesError):
        mx.bias.henmi_copas(mx.EffectSizes([0.1], [0.1]))
    with pytest.raises(InputError, match="zero"):
        mx.bias.henmi_copas(mx.EffectSizes([0.1, 0.2], [0.1, 0.0]))
    for wrong in (None, 3, "fit"):
        with pytest.raises(InputError):
            mx.bias.henmi_copas(wrong)
