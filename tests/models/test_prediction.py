"""Predictions: kinds, scales, probabilities, several rows together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metaexo as mx
from metaexo import errors

Y = [0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1]
V = [0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05]
DOSE = [1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0]


def plain(**choices: object) -> mx.models.RandomEffectsResults:
    return mx.RandomEffects(mx.EffectSizes(Y, V, measure="RR")).fit(**choices)


def dosed(**choices: object) -> mx.models.RandomEffectsResults:
    return mx.RandomEffects(mx.EffectSizes(Y, V), DOSE).fit(**choices)


@pytest.mark.parametrize(
    ("kind", "quantile"),
    [
        ("default", stats.t.ppf(0.975, 7)),
        ("riley", stats.t.ppf(0.975, 6)),
        ("hts", stats.t.ppf(0.975, 6)),
        ("t", stats.t.ppf(0.975, 7)),
        ("simple", stats.norm.ppf(0.975)),
    ],
)
def test_kinds_differ_in_quantile_and_spread(kind: str, quantile: float) -> None:
    fit = plain()
    row = fit.predict(kind=kind).iloc[0]
    se = fit.tau if kind == "simple" else np.sqrt(fit.tau2 + fit.se[0] ** 2)
    assert row["prediction_se"] == pytest.approx(se)
    assert row["prediction_high"] - row["estimate"] == pytest.approx(quantile * se)
    assert fit.pooled(kind=kind).prediction_low == pytest.approx(row["prediction_low"])


def test_the_sampling_variance_of_the_new_study_widens() -> None:
    fit = plain(test="z")
    true, observed = fit.predict().iloc[0], fit.predict(sampling_variance=0.5).iloc[0]
    assert observed["prediction_se"] ** 2 - true["prediction_se"] ** 2 == pytest.approx(0.5)
    assert observed["high"] == true["high"]


def test_transformations_take_the_bounds_along() -> None:
    fit = plain()
    base, shown = fit.predict().iloc[0], fit.predict(scale="exp").iloc[0]
    for column in ("estimate", "low", "high", "prediction_low", "prediction_high"):
        assert shown[column] == pytest.approx(np.exp(base[column]))
    assert fit.predict(scale="measure").equals(fit.predict(scale=np.exp))
    turned = fit.predict(scale=np.negative).iloc[0]
    assert turned["low"] == -base["high"]
    assert turned["prediction_high"] == -base["prediction_low"]


@pytest.mark.parametrize("test", ["z", "knapp-hartung"])
def test_the_probability_above_a_bound_of_the_interval_is_its_tail(test: str) -> None:
    fit = plain(test=test)
    row = fit.predict(level=0.9).iloc[0]
    assert fit.probability_above(row["prediction_high"])[0] == pytest.approx(0.05)
    assert fit.probability_above(row["prediction_low"])[0] == pytest.approx(0.95)
    assert fit.probability_above(row["estimate"])[0] == pytest.approx(0.5)


def test_probabilities_at_moderator_values() -> None:
    found = dosed().probability_above(0.5, [[1.0], [5.0]])
    assert found.shape == (2,)
    assert found[0] < found[1]


def test_no_spread_leaves_no_doubt() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.3] * 4, [0.1] * 4)).fit()
    assert list(fit.probability_above(0.2)) == [1.0]
    assert list(fit.probability_above(0.4)) == [0.0]


def test_bonferroni_makes_each_interval_that_of_a_higher_level() -> None:
    fit, rows = dosed(), [[1.0], [2.0], [5.0]]
    together = fit.predict(rows, adjust="bonferroni")
    assert together.equals(fit.predict(rows, level=1 - 0.05 / 3))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"kind": "rilay"}, "riley"),
        ({"scale": "expo"}, "exp"),
        ({"adjust": "bonferoni"}, "bonferroni"),
        ({"sampling_variance": -1.0}, "at least 0"),
    ],
)
def test_wrong_choices_are_named(choices: dict, words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        plain().predict(**choices)


def test_transform_is_another_name_of_scale() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03], measure="RR")).fit()
    by_transform, by_scale = fit.predict(transform="measure"), fit.predict(scale="measure")
    np.testing.assert_array_equal(by_transform, by_scale)
    np.testing.assert_allclose(by_scale["estimate"], np.exp(fit.beta))


def test_probabilities_of_a_location_scale_model_are_by_the_variance_of_each_row() -> None:
    rr = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    fit = mx.LocationScale(rr, "latitude", scale="latitude").fit()
    table = fit.predict()
    t = (0.2 - table["estimate"]) / table["prediction_se"]
    assert fit.probability_above(0.2) == pytest.approx(
        stats.t.sf(t, fit.df_test) if fit.df_test else stats.norm.sf(t)
    )
    assert (fit.probability_above(1e6) < 1e-6).all()
    row = fit.predict({"latitude": [20.0]}, level=0.9).iloc[0]
    assert fit.probability_above(row["prediction_high"], {"latitude": [20.0]})[0] == pytest.approx(0.05)


def test_probabilities_that_need_an_inner_level_are_missing_without_it() -> None:
    data = pd.DataFrame({"study": list("aabbccdd"), "outcome": ["size", "count"] * 4})
    y = [0.1, 0.9, 0.3, 0.2, 0.2, 1.4, 0.4, -0.3]
    es = mx.EffectSizes(y, [0.01] * 8, data=data, study=data["study"])
    fit = mx.Multilevel(es, random=[mx.RandomTerm("study", inner="outcome", structure="HCS")]).fit()
    assert np.isnan(fit.probability_above(0.0)).all()
    for outcome in ("size", "count"):
        row = fit.predict(level=0.9, inner={"outcome|study": outcome}).iloc[0]
        found = fit.probability_above(row["prediction_high"], inner={"outcome|study": outcome})
        assert found[0] == pytest.approx(0.05)


def test_equal_effects_have_no_distribution_of_new_effects() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.2, 0.6, 0.1], [0.02, 0.05, 0.03])).fit("EE")
    row, pooled = fit.predict().iloc[0], fit.pooled()
    assert np.isnan([row["prediction_low"], row["prediction_high"], fit.probability_above(0.0)[0]]).all()
    assert (pooled.prediction_low, pooled.prediction_high) == (None, None)
    assert (row["low"], row["high"]) == (pooled.low, pooled.high)
    observed = fit.predict(sampling_variance=0.04).iloc[0]  # of an observed effect there is one
    assert observed["prediction_high"] - observed["estimate"] == pytest.approx(
        stats.norm.ppf(0.975) * np.hypot(row["se"], 0.2)
    )


def test_predictions_for_a_table_keep_its_index() -> None:
    new = pd.DataFrame({"latitude": [10.0, 40.0]}, index=["south", "north"])
    rr = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    for fit in (
        mx.RandomEffects(rr, "latitude").fit(),
        mx.Multilevel(rr, "study", moderators="latitude").fit(),
        mx.LocationScale(rr, "latitude", scale="latitude").fit(),
    ):
        found = fit.predict(new)
        assert list(found.index) == ["south", "north"]
        assert found["estimate"].tolist() == fit.predict({"latitude": [10.0, 40.0]})["estimate"].tolist()


def test_a_location_scale_model_without_moderators_predicts_one_row() -> None:
    rr = mx.effect_sizes("RR", data=mx.load_dataset("bcg"), labels="study")
    fit = mx.LocationScale(rr).fit()
    row = fit.predict()
    assert len(row) == len(fit.probability_above(0.0)) == 1
    assert row["tau2"].iloc[0] == pytest.approx(fit.tau2, rel=1e-10)
    assert row["prediction_low"].iloc[0] == pytest.approx(fit.pooled().prediction_low, rel=1e-10)
