"""Tests of funnel asymmetry, against independent computations and values of R's metafor 5.1-12."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm

import metaexo as mx
from metaexo.bias import rank_test, regression_test
from metaexo.bias.asymmetry import FREE, PREDICTORS, depends_on_effect
from metaexo.effects import all_measures

RNG = np.random.default_rng(20261129)
N = RNG.integers(8, 60, 15)
V = 4.5 / N * RNG.uniform(1, 1.4, 15)
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


def smd(**columns):
    import pandas as pd

    return mx.EffectSizes(Y, V, "SMD", data=pd.DataFrame(columns or {"dose": np.arange(15)}))


def test_the_default_predictor_is_made_of_sizes_where_the_standard_error_depends_on_the_effect():
    found = regression_test(smd(treatment_n=N // 2, control_n=N - N // 2))
    assert found.predictor == "sqrt(1/n1+1/n2)"
    assert "10.1002/jrsm.1332" in found.reason
    assert found.reason in found.to_text()
    found = regression_test(smd(n=N))
    assert found.predictor == "1/sqrt(n)"
    assert "10.7554/eLife.24260" in found.reason
    found = regression_test(smd())
    assert (found.predictor, found.reason) == ("se", "")
    assert "sample sizes are not known" in found.cautions()[0]
    asked = regression_test(smd(n=N), "sei")
    assert asked.predictor == "se"
    assert "too often" in asked.cautions()[0]
    for measure in ("GEN", "MD", "ZCOR", "HR"):
        found = regression_test(mx.EffectSizes(Y, V, measure, data=sizes()))
        assert (found.predictor, found.reason) == ("se", "")
    found = regression_test(mx.EffectSizes(Y, V, "OR", data=sizes()))
    assert any("counts_test" in text for text in found.cautions())


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("sei", "se"), ("VI", "variance"), ("ni", "n"), ("ninv", "1/n"), ("sqrtni", "sqrt(n)"),
     ("sqrtninv", "1/sqrt(n)"), ("sqrt(1/n1 + 1/n2)", "sqrt(1/n1+1/n2)")],
)  # fmt: skip
def test_other_spellings_of_predictors(spelling, name):
    assert regression_test(mx.EffectSizes(Y, V, data=sizes()), spelling).predictor == name


# -- dependent effects --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the robust tests")
def test_several_effects_per_study_have_robust_standard_errors():
    es = mx.EffectSizes(Y, V, study=STUDY)
    again = mx.RandomEffects(es, np.sqrt(V), dependence="accept").fit().robust()
    found = regression_test(es)
    assert (found.se, found.pvalue) == pytest.approx((again.se[1], again.wald_pvalues[1]), rel=1e-9)
    assert found.test.df == pytest.approx((again.df_inference.iloc[1],), rel=1e-8)
    assert found.clusters == 8
    # Weighted least squares is the equal-effects model, and so is its sandwich.
    again = mx.RandomEffects(es, np.sqrt(V), dependence="accept").fit("EE").robust()
    found = regression_test(es, model="dispersion")
    assert (found.se, found.pvalue) == pytest.approx((again.se[1], again.wald_pvalues[1]), rel=1e-9)
    low, high = again.bounds()
    assert (found.limit_low, found.limit_high) == pytest.approx((low[0], high[0]), rel=1e-9)
    apart = regression_test(es, cluster=None)
    assert apart.clusters == 0
    assert any("taken as independent" in text for text in apart.cautions())


@pytest.mark.filterwarnings("ignore:the robust tests")
def test_a_multilevel_fit_keeps_its_random_terms():
    es = mx.EffectSizes(Y, V, study=STUDY)
    found = regression_test(mx.Multilevel(es, "study/effect", fix={"study": 0.02}).fit("ML"), "variance")
    again = mx.Multilevel(es, "study/effect", moderators=V, fix={"study": 0.02}).fit("ML").robust()
    assert found.beta == pytest.approx(again.beta, rel=1e-6)
    assert (found.se, found.tau2) == pytest.approx((again.se[1], again.tau2), rel=1e-6)


def test_one_study_alone_has_the_standard_errors_of_the_model_and_says_so():
    es = mx.EffectSizes(Y, V, study=["one"] * 15)
    for model in ("mixed", "dispersion"):
        found = regression_test(es, model=model)
        assert found.clusters == 0
        assert any("not cluster-robust" in text for text in found.cautions())


# -- edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mixed", "dispersion"])
@pytest.mark.parametrize("scale", [1e-20, 1e-4, 1e6])
def test_units_and_origin_change_nothing(model, scale):
    plain = regression_test(mx.EffectSizes(Y, V), model=model)
    scaled = regression_test(mx.EffectSizes(scale * Y, scale**2 * V), model=model)
    mirrored = regression_test(mx.EffectSizes(3 - Y, V), model=model)
    assert (scaled.statistic, scaled.pvalue) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-6)
    assert scaled.limit_estimate == pytest.approx(scale * plain.limit_estimate, rel=1e-6)
    assert mirrored.statistic == pytest.approx(-plain.statistic, rel=1e-6)
    assert mirrored.limit_low == pytest.approx(3 - plain.limit_high, rel=1e-6)


@pytest.mark.parametrize("model", ["mixed", "dispersion"])
def test_equal_standard_errors_are_refused(model):
    with pytest.raises(mx.errors.CollinearError, match="same in all rows"):
        regression_test(mx.EffectSizes(Y, np.full(15, 0.1)), model=model)
    fit = mx.RandomEffects(mx.EffectSizes(Y, V), np.sqrt(V)).fit()
    with pytest.raises(mx.errors.CollinearError, match="determined by intercept, x1"):
        regression_test(fit, model=model)


def test_few_effects():
    three = mx.EffectSizes([0.1, 0.5, 0.4], [0.01, 0.05, 0.09])
    found = regression_test(three, model="dispersion")
    assert found.test.df == (1.0,)
    assert "3 studies" in found.cautions()[0]
    with pytest.raises(mx.errors.TooFewStudiesError):
        regression_test(three.select([0, 1]))
    found = rank_test(three.select([0, 1]))
    assert (found.tau, found.pvalue) == (1.0, 1.0)


def test_effects_on_a_line_are_not_testable():
    found = regression_test(mx.EffectSizes([0.3] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), model="dispersion")
    assert np.isnan(found.pvalue)
    assert "not testable" in found.sentence
    assert np.isnan(rank_test(mx.EffectSizes([0.3] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])).pvalue)


def test_the_sentence_shows_ratios():
    found = regression_test(mx.EffectSizes(Y, V, "RATIO"))
    assert f"to {np.exp(found.limit_estimate):.3f} (95% CI" in found.sentence
    assert found.to_frame()["limit_estimate"].item() == pytest.approx(found.limit_estimate)


def test_the_line_is_the_regression_with_its_interval():
    found = regression_test(mx.EffectSizes(Y, V), model="dispersion")
    fit = sm.WLS(Y, sm.add_constant(np.sqrt(V)), weights=1 / V).fit()
    at = np.array([0.0, 0.2, 0.5])
    middle, low, high = found.line(at)
    frame = fit.get_prediction(sm.add_constant(at)).summary_frame()
    assert middle == pytest.approx(frame["mean"].to_numpy(), rel=1e-9)
    assert low == pytest.approx(frame["mean_ci_lower"].to_numpy(), rel=1e-9)
    assert high == pytest.approx(frame["mean_ci_upper"].to_numpy(), rel=1e-9)


# -- rank correlation ---------------------------------------------------------------------------------------


def test_kendalls_tau_by_all_pairs_with_ties():
    y, v = np.array([0.1, 0.4, 0.2, 0.2, 0.9, 0.2, 0.7]), np.array([0.1, 0.2, 0.3, 0.3, 0.4, 0.2, 0.1])
    mean = np.average(y, weights=1 / v)
    deviates = (y - mean) / np.sqrt(v - 1 / (1 / v).sum())
    signs = np.sign(np.round(np.subtract.outer(deviates, deviates), 12)) * np.sign(np.subtract.outer(v, v))
    found = rank_test(mx.EffectSizes(y, v))
    assert found.score == np.triu(signs).sum()
    assert not found.exact
    with pytest.raises(mx.errors.InputError, match="tied"):
        rank_test(mx.EffectSizes(y, v), exact=True)


def test_the_exact_p_by_all_orders():
    from itertools import permutations

    y, v = np.array([0.1, 0.5, 0.2, 0.9, 0.4, 0.6]), np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.32])
    found = rank_test(mx.EffectSizes(y, v))
    pairs = np.triu_indices(6, 1)
    scores = [np.sign(np.subtract.outer(p, p)[pairs]).sum() for p in map(np.array, permutations(range(6)))]
    assert found.exact
    assert found.pvalue == pytest.approx(np.mean(np.abs(scores) >= abs(found.score)), rel=1e-12)


def test_a_study_that_outweighs_all_others_keeps_its_deviate():
    y, v = np.array([0.1, 0.5, -0.3, 0.9]), np.array([1e-18, 0.02, 0.04, 0.08])
    small, others = v[0], np.average(y[1:], weights=1 / v[1:])
    expected = (y[0] - others) / np.sqrt(
        small + 1 / (1 / v[1:]).sum()
    )  # as a deviation from the others' mean
    from metaexo.bias.asymmetry import standardised_deviates

    assert abs(standardised_deviates(y, v)[0]) <= abs(expected) * 1.01
    assert standardised_deviates(y, v)[1:] == pytest.approx((y[1:] - 0.1) / np.sqrt(v[1:]), rel=1e-9)


def test_many_effects_take_the_normal_approximation():
    rng = np.random.default_rng(1)
    v = rng.uniform(0.1, 1, 1000)
    found = rank_test(mx.EffectSizes(rng.normal(size=1000), v))
    assert not found.exact
    assert found.pvalue == pytest.approx(2 * float(norm.sf(abs(found.statistic))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictor": "sie"}, {"predictor": 3}, {"predictor": "n"}, {"model": "lm"}, {"level": 95},
        {"test": "f"}, {"model": "dispersion", "test": "z"}, {"cluster": "lab"}, {"cluster": [1, 2]},
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused_in_words(wrong):
    with pytest.raises(mx.errors.InputError, match="needed:"):
        regression_test(mx.EffectSizes(Y, V), **wrong)
    with pytest.raises(mx.errors.InputError, match="needed:"):
        regression_test(Y)
