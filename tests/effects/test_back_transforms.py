"""From the scale of the analysis to the scale that is shown, where that depends on the size of a study."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metaexo as mx
from metaexo import effects
from metaexo.report.in_words import pooled_in_words

N, X = [5, 60, 33, 200, 17], [0, 2, 1, 10, 4]
TIME = [12.5, 30.0, 7.0, 100.0, 55.0]
# metafor 3.8: escalc and summary with transf.ipft (ni = n) and transf.iirft (ti = time); predict of the DL
# fit with transf.ipft.hm and with transf.iirft at the harmonic mean of the times
ROWS = {
    "PFT": [
        (0, 0, 0.317251),
        (0.033333, 0.000548, 0.097845),
        (0.030303, 0, 0.125513),
        (0.05, 0.023488, 0.085139),
        (0.235294, 0.058741, 0.470271),
    ],
    "IRFT": [
        (0, 0, 0.137510),
        (0.066667, 0.000982, 0.200933),
        (0.142857, 0, 0.613775),
        (0.1, 0.046174, 0.173071),
        (0.072727, 0.015335, 0.165531),
    ],
}
POOLED = {
    "PFT": (0.03738498, 0.00601427, 0.08501833, 0.0, 0.12202116),
    "IRFT": (0.06475635, 0.02961299, 0.11004418, 0.02961299, 0.11004418),
}


def computed(code: str, **more):
    size = {"n": N} if code == "PFT" else {"time": TIME}
    return mx.effect_sizes(code, events=X, **size, **more)


@pytest.mark.parametrize("code", ["PFT", "IRFT"])
def test_effects_and_their_intervals_go_back_with_their_own_size(code):
    es = computed(code)
    half = 1.959963984540054 * np.sqrt(es.v)
    shown = effects.back_by_rows(es, [es.y, es.y - half, es.y + half])
    expected = np.array(ROWS[code]).T
    assert shown == pytest.approx(expected, abs=6e-7)
    assert shown[0] == pytest.approx(np.array(X) / (N if code == "PFT" else TIME), abs=1e-14)
    assert effects.back_by_rows(es, es.y[[3, 1]], [3, 1]) == pytest.approx(shown[0, [3, 1]], abs=0)


@pytest.mark.parametrize("code", ["PFT", "IRFT"])
def test_pooled_effects_go_back_with_the_harmonic_mean(code):
    fit = mx.RandomEffects(computed(code)).fit(method="DL", test="z")
    columns = ["estimate", "low", "high", "prediction_low", "prediction_high"]
    shown = fit.predict(scale="measure")[columns].to_numpy()[0]
    assert shown == pytest.approx(POOLED[code], abs=1e-8)
    low, high = POOLED[code][1:3]
    name = "proportion" if code == "PFT" else "rate"
    assert f"{name} {POOLED[code][0]:.3f} ({low:.3f} to {high:.3f})" in str(fit.summary())


def test_a_stratum_goes_back_with_its_own_harmonic_mean():
    es = computed("PFT", data=pd.DataFrame({"g": list("aaabb")}))
    strata = mx.stratify(es, by="g")
    shown = str(strata.summary())
    for stratum in strata.fitted:
        p = float(effects.back_pooled(es.select(stratum.rows, "a stratum"), stratum.pooled.estimate))
        other = float(effects.back_pooled(es, stratum.pooled.estimate))
        assert p != pytest.approx(other, abs=1e-4)
        line = re.search(rf"^  {stratum.name} .* ([0-9.]+) \([0-9.]+ to [0-9.]+\)$", shown, re.MULTILINE)
        assert line is not None
        assert line.group(1) == f"{p:.2f}"


def test_multilevel_and_explained_effects_are_shown_by_size_too():
    es = computed("PFT", study=list("aabbc"))
    fit = mx.Multilevel(es, "study").fit()
    shown = effects.back_pooled(es, fit.predict()["estimate"].iloc[0])
    assert f"proportion {float(shown):.3f}" in str(fit.summary())
    assert "Proportion 0.00 (0.00 to 0.32" in str(mx.explain(es, 0))
    assert "0.05 (0.02 to 0.09)" in pooled_in_words(es.select([3], "one"))


def test_without_a_size_the_way_back_is_the_limit():
    # a variance of 0 is an infinite size; one of 1/2 or more belongs to no size at all
    es = mx.EffectSizes([0.3, 0.3, 0.3], [0.0, 0.6, 1 / 402], "PFT")
    limit = np.sin(0.3) ** 2
    shown = effects.back_by_rows(es, es.y)
    assert shown[:2] == pytest.approx([limit, limit])
    assert shown[2] == pytest.approx(effects.inverse_double_arcsine(0.3, 100))
    assert effects.back_pooled(es, 0.3) == pytest.approx(effects.inverse_double_arcsine(0.3, 100))
    none = mx.EffectSizes([0.3, 0.3], [0.0, 0.6], "PFT")
    assert effects.back_pooled(none, 0.3) == pytest.approx(limit)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_the_double_arcsine_goes_back_to_its_counts_in_order(n, share, other):
    x = sorted((round(share * n), round(other * n)))
    es = mx.EffectSizes(effects.double_arcsine(np.array(x) / n, n), [1 / (4 * n + 2)] * 2, "PFT")
    shown = effects.back_by_rows(es, es.y)
    # sin(2 y) near its top loses half of the digits: so does p near 1/2, by 1e-16 n in the square root
    assert shown == pytest.approx(np.array(x) / n, abs=1e-7)
    assert 0 <= shown[0] <= shown[1] <= 1
