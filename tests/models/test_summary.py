"""The summary says what the fit holds, in five parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.effects import Derivation

PARTS = ["What was fitted", "Pooled", "Heterogeneity", "Data", "Fit"]


def fit(**choices: object) -> mx.RandomEffects:
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04], measure="RR")
    return mx.RandomEffects(es).fit(**choices)


def test_parts_stand_in_order_and_repeat_the_numbers_of_the_fit() -> None:
    result = fit()
    summary = result.summary()
    assert list(summary.parts) == PARTS
    text = str(summary)
    assert f"{result.estimate:.4f}" in text
    assert f"tau {result.tau:.4f}" in text
    assert f"{np.exp(result.estimate):.3f}" in text
    assert "Knapp-Hartung" in text
    assert result.digest in text


def test_rows_left_out_and_assumptions_are_told() -> None:
    es = mx.EffectSizes(
        [0.2, 0.6, 0.1],
        [0.02, 0.05, 0.03],
        derived=[
            Derivation("reported"),
            Derivation("converted", "SD from SE"),
            Derivation("assumed", "paired", "correlation 0.5"),
        ],
    )
    chosen = es.select([0, 1, 2], "nothing")
    fewer = chosen.select(np.array([True, True, True]), "none")
    text = str(mx.RandomEffects(fewer).fit().summary())
    assert "1 reported, 1 converted, 1 assumed" in text
    assert "assumed: correlation 0.5" in text
    dropped = str(mx.RandomEffects(es.select([0, 2], "not asked for")).fit().summary())
    assert "3 rows, 2 used, 1 left out" in dropped
    assert "1 x not asked for (selection)" in dropped


def test_the_boundary_is_named() -> None:
    es = mx.EffectSizes([0.2, 0.21, 0.19, 0.2], [0.2, 0.3, 0.2, 0.3])
    text = str(mx.RandomEffects(es).fit().summary())
    assert "at the boundary tau2 = 0" in text
    assert "no tau2 fits these data" in text


def test_moderators_are_tabled() -> None:
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.4], [0.02, 0.05, 0.03, 0.04, 0.02])
    result = mx.RandomEffects(es, [1.0, 2.0, 3.0, 4.0, 5.0], names=["dose"]).fit()
    text = str(result.summary())
    assert "dose" in text
    assert f"{result.params['dose']:.4f}" in text
    assert "R2" in text


def test_the_spread_of_new_studies_is_told_on_both_scales() -> None:
    result = fit()
    text = str(result.summary())
    pooled = result.pooled()
    assert f"{pooled.prediction_high:.4f}" in text
    assert f"{np.exp(pooled.prediction_high):.3f}" in text
    assert f"above 0 with probability {100 * result.probability_above(0.0)[0]:.0f}" in text


def test_the_certificate_says_whether_the_maximum_is_the_only_one() -> None:
    assert "global maximum verified" in str(fit().summary())
    y = [0.0, 0.001, -0.001, 3.0, -3.0, 3.5, -3.5, 2.8, -2.9]
    two = mx.RandomEffects(mx.EffectSizes(y, [1e-6] * 3 + [0.04] * 6)).fit()
    assert "global maximum verified: the highest of 2 local maxima" in str(two.summary())
    assert "closed form" in str(fit(method="HE").summary())


def test_one_effect_tells_nothing_of_heterogeneity() -> None:
    single = mx.RandomEffects(mx.EffectSizes([0.1], [0.02])).fit(method="EE", test="z")
    text = str(single.summary())
    assert "tau2 and I2 cannot be estimated" in text
    assert "I2 0" not in text
    assert "tau " not in text


def test_own_weights_are_named_and_their_q_is_inverted() -> None:
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.02, 0.05, 0.03, 0.04])
    text = str(mx.RandomEffects(es, weights=[1, 2, 3, 4]).fit("GENQ").summary())
    assert "weights: as given" in text
    assert "generalised-q)" in text


def test_variances_of_zero_leave_out_what_divides_by_them() -> None:
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9], [0.0, 0.05, 0.03, 0.04])
    assert "no I2, Q or interval" in str(mx.RandomEffects(es).fit().summary())


def test_the_summary_says_which_column_holds_the_studies() -> None:
    data = pd.DataFrame({"study": list("aabbcc"), "g": list("xyxyxy")})
    es = mx.EffectSizes([0.1, 0.2, 0.3, 0.4, 0.5, 0.7], [0.02] * 6, data=data)
    with pytest.warns(errors.DependentEffectsWarning):
        strata = mx.stratify(es, by="g", cluster="study")
    for result in (
        mx.RandomEffects(es, dependence="accept").fit(),
        mx.Multilevel(es, "study/effect").fit(),
        strata,
    ):
        assert "6 effects from 3 studies (column 'study')" in str(result.summary())
