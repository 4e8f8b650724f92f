"""Pooled effects in words: the numbers are those of the fit, and one study is not pooled."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo.errors import TooFewStudiesError
from metaexo.formatting import interval, number
from metaexo.report.in_words import pooled_in_words


def effects(k, measure="SMD", **more):
    rng = np.random.default_rng(5)
    return mx.EffectSizes(rng.normal(0.4, 0.5, k), rng.uniform(0.02, 0.2, k), measure, **more)


def test_the_numbers_are_those_of_the_fit():
    es = effects(5)
    fit = mx.RandomEffects(es).fit()
    words = pooled_in_words(es, "g")
    pooled = fit.pooled()
    assert f"g = {number(pooled.estimate)} ({interval(pooled.low, pooled.high)})" in words
    assert f"τ = {number(fit.tau)}" in words
    assert f"prediction interval {interval(pooled.prediction_low, pooled.prediction_high)}" in words
    assert "k = 5 effects of m = 5 studies" in words


def test_ratios_are_shown_as_ratios():
    es = effects(4, "ROM")
    pooled = mx.RandomEffects(es).fit().pooled()
    low, high = np.exp([pooled.low, pooled.high])
    assert f"{number(float(np.exp(pooled.estimate)))} ({interval(low, high)})" in pooled_in_words(es)


def test_the_equal_effects_model_has_no_prediction_interval():
    assert "prediction" not in pooled_in_words(effects(4), method="EE")


def test_one_study_is_told_and_not_pooled():
    one = pooled_in_words(mx.EffectSizes([0.5], [0.04], "SMD", labels=["Li 2020"]), "g")
    assert one == "one study, Li 2020: g = 0.50 (0.11 to 0.89); nothing to pool"
    two = pooled_in_words(mx.EffectSizes([0.5, 0.7], [0.04, 0.04], "SMD", study=["Li", "Li"]), "g")
    assert two.startswith("one study with 2 effects: g = 0.50 (0.11 to 0.89); 0.70")
    assert "τ" not in two


def test_no_effects_is_an_error():
    with pytest.raises(TooFewStudiesError):
        pooled_in_words(mx.EffectSizes([], []))
