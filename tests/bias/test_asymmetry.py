"""Tests of funnel asymmetry, against independent computations and values of R's metafor 5.1-12."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

import metaexo as mx
from metaexo.bias import rank_test, regression_test
from metaexo.bias.asymmetry import FREE, PREDICTORS, depends_on_effect
from metaexo.effects import all_measures

RNG = np.random.default_rng(20261129)
N = RNG.integers(8, 60, 15)
V = 4 / N * RNG.uniform(0.8, 1.3, 15)
Y = 0.2 + 0.8 * np.sqrt(V) + RNG.normal(0, np.sqrt(V))
STUDY = [f"s{i // 2}" for i in range(15)]
BCG = [
    [-0.8893, 0.3256], [-1.5854, 0.1946], [-1.3481, 0.4154], [-1.4416, 0.02], [-0.2175, 0.0512],
    [-0.7861, 0.0069], [-1.6209, 0.223], [0.012, 0.004], [-0.4694, 0.0564], [-1.3713, 0.073],
    [-0.3394, 0.0124], [0.4459, 0.5325], [-0.0173, 0.0714],
]  # fmt: skip


def sizes():
    import pandas as pd

    return pd.DataFrame({"n": N, "treatment_n": N // 2, "control_n": N - N // 2, "x": np.arange(15) % 4})


PREDICTOR_VALUES = {
    "se": np.sqrt(V),
    "variance": V,
    "n": N,
    "1/n": 1 / N,
    "sqrt(n)": np.sqrt(N),
    "1/sqrt(n)": 1 / np.sqrt(N),
    "sqrt(1/n1+1/n2)": np.sqrt(1 / (N // 2) + 1 / (N - N // 2)),
}


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_the_dispersion_model_is_weighted_least_squares(predictor):
    found = regression_test(mx.EffectSizes(Y, V, data=sizes()), predictor, "dispersion")
    x = np.column_stack([np.ones(15), PREDICTOR_VALUES[predictor]])
    fit = sm.WLS(Y, x, weights=1 / V).fit()
    assert found.beta == pytest.approx(fit.params, rel=1e-10)
    assert (found.se, found.pvalue) == pytest.approx((fit.bse[1], fit.pvalues[1]), rel=1e-9)
    assert (found.test.distribution, found.test.df) == ("t", (13.0,))
    assert found.dispersion == pytest.approx(fit.scale, rel=1e-10)
    assert np.isnan(found.tau2)
    limit = (found.limit_estimate, found.limit_low, found.limit_high)
    if PREDICTORS[predictor][1]:
        assert limit == pytest.approx((fit.params[0], *fit.conf_int()[0]), rel=1e-9)
    else:
        assert np.isnan(limit).all()


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_the_mixed_model_is_the_meta_regression_on_the_predictor(predictor):
    es = mx.EffectSizes(Y, V, data=sizes())
    fit = mx.RandomEffects(es, "x").fit("PM", "t", 0.9)
    found = regression_test(fit, predictor)
    table = sizes().assign(z=PREDICTOR_VALUES[predictor])[["x", "z"]]
    again = mx.RandomEffects(es, table).fit("PM", "t", 0.9)
    assert found.beta == pytest.approx(again.beta, rel=1e-10)
    assert (found.se, found.pvalue, found.tau2) == pytest.approx(
        (again.se[2], again.wald_pvalues[2], again.tau2), rel=1e-9
    )
    assert (found.level, found.method) == (0.9, "PM")
    assert np.isnan(found.limit_estimate)  # it depends on the moderator


def test_values_of_metafor():
    """rma(yi, vi), regtest(), regtest(model="lm"), ranktest() of metafor 5.1-12 on these rounded effects."""
    fit = mx.RandomEffects(mx.EffectSizes(*np.transpose(BCG))).fit(test="z")
    found = regression_test(fit)
    assert (found.statistic, found.pvalue, found.limit_estimate) == pytest.approx(
        (-0.802626200571, 0.422190819937, -0.510569042167), rel=1e-8
    )
    found = regression_test(fit, model="dispersion")
    assert (found.statistic, found.pvalue, found.limit_estimate) == pytest.approx(
        (-1.391952120682, 0.191439682454, -0.193507248223), rel=1e-8
    )
    found = rank_test(fit)
    assert (found.tau, found.pvalue) == pytest.approx((0.025641025641, 0.952361907961), rel=1e-8)


# -- which predictor ----------------------------------------------------------------------------------------

# Inputs that are sizes, or say how measurements of one group depend on each other.
SIZES = {
    "treatment_n",
    "control_n",
    "n",
    "treatment_time",
    "control_time",
    "time",
    "items",
    "predictors",
    "ties",
}


@pytest.mark.parametrize("measure", all_measures(), ids=lambda measure: measure.code)
def test_the_standard_error_depends_on_the_effect_where_an_input_moves_both(measure):
    """Of each measure with a formula: some input, sizes apart, changes effect and variance together."""
    if measure.compute is None:
        assert measure.code in FREE
        return
    values = {
        "treatment_mean": 7.0, "control_mean": 5.0, "post_mean": 7.0, "pre_mean": 5.0, "mean": 6.0,
        "treatment_sd": 2.0, "control_sd": 1.5, "post_sd": 2.0, "pre_sd": 1.5, "sd": 2.0,
        "treatment_events": 12, "control_events": 7, "events": 12, "first_events": 12, "second_events": 9,
        "treatment_n": 40, "control_n": 35, "n": 40,
        "treatment_time": 50.0, "control_time": 45.0, "time": 50.0,
        "correlation": 0.4, "partial": 0.4, "semipartial": 0.3, "r_squared": 0.3, "predictors": 3,
        "alpha": 0.7, "items": 6, "auc": 0.7, "ties": 0.0, "phi": 0.2,
        "both": 10, "first_only": 12, "second_only": 7, "neither": 20,
        "homozygous_first": 20, "heterozygous": 30, "homozygous_second": 15,
    }  # fmt: skip
    inputs = {name: np.array([float(values[name])]) for name in measure.inputs}
    y, v = measure.compute(**inputs)
    moved = []
    for name in measure.inputs:
        paired = name == "correlation" and measure.family == "one group twice, means"
        if name not in SIZES and not paired:
            step = 1.0 if float(inputs[name][0]) > 1 else 0.05
            other_y, other_v = measure.compute(**(inputs | {name: inputs[name] + step}))
            moved.append(abs(other_y[0] - y[0]) > 1e-9 and abs(other_v[0] - v[0]) > 1e-9 * v[0])
    assert depends_on_effect(measure) == any(moved), measure.code
