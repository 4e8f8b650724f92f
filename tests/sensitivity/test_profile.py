"""Profile likelihoods, against likelihoods that are maximised by other means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import metaexo as mx
from metaexo.errors import InputError, UnknownChoiceError
from metaexo.sensitivity import profile
from tests.contract.test_results import censored, effects, example

BCG = mx.load_dataset("bcg")
ES = mx.effect_sizes("RR", data=BCG, labels="study")
METAFOR_LLF = [-14.7383104588, -12.2056371093, -12.5632734133]
METAFOR_MULTILEVEL = [-8.98622831242, -8.12935463535, -9.01077767093]
DROP = stats.chi2.ppf(0.95, 1) / 2


def highest(y: np.ndarray, v: np.ndarray, x: np.ndarray) -> float:
    """Return the highest log-likelihood over tau2, the coefficients of x in closed form."""

    def negative(root: float) -> float:
        w = 1 / (v + root**2)
        beta = np.linalg.lstsq(x * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0]
        return -stats.norm.logpdf(y, x @ beta, 1 / np.sqrt(w)).sum()

    found = optimize.minimize_scalar(negative, bounds=(0, 5), method="bounded", options={"xatol": 1e-10})
    return -min(found.fun, negative(0.0))


@pytest.mark.parametrize("name", ["intercept", "latitude"])
def test_a_coefficient_is_held_and_all_else_is_at_its_best(name: str) -> None:
    fit = mx.RandomEffects(ES, "latitude").fit()
    j, x = ["intercept", "latitude"].index(name), np.column_stack([np.ones(13), BCG["latitude"]])
    estimate = fit.beta[j]
    found = profile(fit, name, [estimate - fit.se[j], estimate, estimate + 3 * fit.se[j]])
    rest = np.delete(x, j, axis=1)
    byhand = [highest(ES.y - b * x[:, j], ES.v, rest) for b in found.value]
    np.testing.assert_allclose(found.llf, byhand, rtol=1e-9)
    assert found.maximum == pytest.approx(highest(ES.y, ES.v, x), rel=1e-9)
    for end in (found.low, found.high):
        assert highest(ES.y - end * x[:, j], ES.v, rest) == pytest.approx(found.maximum - DROP, abs=1e-7)
    ml = mx.RandomEffects(ES, "latitude").fit("ML")
    assert found.estimate == pytest.approx(ml.beta[j], rel=1e-9)
    assert (found.likelihood, found.kind) == ("ML", "coefficient")


def test_the_pooled_effect_has_the_interval_of_hardy_and_thompson() -> None:
    found = profile(mx.RandomEffects(ES).fit(), "estimate", level=0.9)
    for end in (found.low, found.high):
        fall = found.maximum - highest(ES.y - end, ES.v, np.zeros((13, 1)))
        assert fall == pytest.approx(stats.chi2.ppf(0.9, 1) / 2, abs=1e-7)
    assert found.kind == "mean"
    shown = np.exp([found.estimate, found.low, found.high])
    assert f"Risk ratio {shown[0]:.3f}, {shown[1]:.3f} to {shown[2]:.3f}" in found.sentence
    np.testing.assert_allclose(found.to_frame()["ratio"], np.exp(found.value))


def test_tau2_has_the_values_of_metafor() -> None:
    # profile(rma(yi, vi), xlim = c(0.1, 0.5), steps = 3) and confint(type = "PL") of metafor 4.8
    found = profile(mx.RandomEffects(ES).fit(), grid=[0.1, 0.3, 0.5])
    np.testing.assert_allclose(found.llf, METAFOR_LLF, rtol=1e-9)
    limits = mx.RandomEffects(ES).fit().conf_int_heterogeneity(method="profile-likelihood").tau2
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=1e-8)
    assert (found.parameter, found.kind, found.likelihood) == ("tau2", "variance", "REML")
    assert (found.low_open, found.high_open) == (False, False)


def test_components_have_the_values_of_metafor() -> None:
    # profile(rma.mv(yi, vi, random = ~ 1 | district/school), sigma2 = 1, xlim = c(0.03, 0.15), steps = 3)
    table = mx.load_dataset("school_calendars")
    fit = mx.Multilevel(mx.EffectSizes(table["y"], table["v"], data=table), "district/school").fit()
    found = profile(fit, "district", [0.03, 0.09, 0.15])
    np.testing.assert_allclose(found.llf, METAFOR_MULTILEVEL, rtol=1e-7)
    assert found.estimate == fit.component_values["district"]


def test_coefficients_of_a_multilevel_fit_are_those_of_the_dense_likelihood() -> None:
    es = effects()
    fit = mx.Multilevel(es, "study/effect", moderators="dose").fit()
    study = np.unique(es.study, return_inverse=True)[1]
    same, dose = study[:, None] == study, es.column("dose").to_numpy()

    def dense(b: float) -> float:
        def negative(roots: np.ndarray) -> float:
            m = np.diag(es.v + roots[1] ** 2) + roots[0] ** 2 * same
            r = es.y - b * dose
            mean = np.linalg.solve(m, r).sum() / np.linalg.inv(m).sum()
            return -stats.multivariate_normal.logpdf(r, np.full(8, mean), m)

        starts = ([0.2, 0.2], [0.01, 0.3], [0.3, 0.01])
        return -min(optimize.minimize(negative, start, tol=1e-12).fun for start in starts)

    found = profile(fit, "dose", [-0.05, 0.1])
    np.testing.assert_allclose(found.llf, [dense(-0.05), dense(0.1)], rtol=1e-7)
    assert dense(found.high) == pytest.approx(found.maximum - DROP, abs=1e-6)
    # robust standard errors change nothing about a component
    robust = profile(example("MultilevelResults", "robust moderators"), "study/effect", [0.1])
    assert robust.llf == pytest.approx(
        profile(mx.Multilevel(es, moderators="dose").fit(), "study/effect", [0.1]).llf
    )


def test_families_agree_where_their_models_do() -> None:
    es = effects()
    one = profile(mx.RandomEffects(es, dependence="accept").fit(), "intercept")
    two = profile(mx.Multilevel(es, "effect").fit(), "intercept", one.value)
    three = profile(mx.LocationScale(es, dependence="accept").fit(), "intercept", one.value[::10])
    exact = mx.CensoredRandomEffects(es, dependence="accept").fit()
    four = profile(exact, "intercept", one.value)
    np.testing.assert_allclose(two.llf, one.llf, atol=1e-7)
    np.testing.assert_allclose(three.llf, one.llf[::10], atol=1e-7)
    np.testing.assert_allclose(four.llf, one.llf, atol=1e-7)
    for other in (two, three, four):
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-6)
    tau2 = profile(mx.RandomEffects(es, dependence="accept").fit())
    np.testing.assert_allclose(profile(exact, None, tau2.value).llf, tau2.llf, atol=1e-8)
    assert profile(exact).high == pytest.approx(tau2.high, rel=1e-6)


def test_location_coefficients_with_scale_moderators() -> None:
    fit = example("LocationScaleResults", "both")
    es, x, plant = fit.effects, fit.design.matrix(8), (fit.effects.column("source") == "plant").to_numpy()

    def by_group(b: float) -> float:  # tau2 of its own in each group, and an intercept
        def negative(at: np.ndarray) -> float:
            sd = np.sqrt(es.v + np.where(plant, at[1] ** 2, at[2] ** 2))
            return -stats.norm.logpdf(es.y - b * x[:, 1], at[0], sd).sum()

        starts = ([0.3, 0.3, 0.3], [0.1, 0.01, 0.3], [0.6, 0.3, 0.01], [0.3, 0.01, 0.01])
        return -min(optimize.minimize(negative, start, tol=1e-12).fun for start in starts)

    found = profile(fit, "dose", [-0.05, 0.1])
    np.testing.assert_allclose(found.llf, [by_group(-0.05), by_group(0.1)], rtol=1e-6)
    assert by_group(found.low) == pytest.approx(found.maximum - DROP, abs=1e-5)


def test_censored_coefficients_have_the_interval_of_the_fit() -> None:
    fit = censored("dose").fit("ML")
    for name in ("intercept", "dose"):
        found, ends = profile(fit, name), fit.conf_int(kind="profile").loc[name]
        assert (found.low, found.high) == pytest.approx((ends["low"], ends["high"]), abs=1e-9)
        at_ends = profile(fit, name, [found.low, found.high]).llf
        np.testing.assert_allclose(at_ends, found.maximum - DROP, atol=1e-7)
        assert found.llf.max() <= found.maximum + 1e-9


def test_strata_are_profiled_by_themselves_or_together() -> None:
    es = effects()
    milk = np.array(es.column("source") == "milk")
    alone = mx.RandomEffects(es.select(milk), dependence="accept").fit()
    fit = example("StratifiedResults", "separate")
    for ours, theirs in (("milk", "estimate"), ("tau2:milk", "tau2")):
        found, other = profile(fit, ours), profile(alone, theirs, level=0.9)
        assert found.parameter == ours
        np.testing.assert_allclose(found.llf, other.llf)
        assert (found.low, found.high) == pytest.approx((other.low, other.high))
    together = mx.RandomEffects(es, "0 + source", dependence="accept").fit()
    found = profile(example("StratifiedResults", "common"), "plant")
    other = profile(together, together.design.names[1], level=0.9)
    np.testing.assert_allclose(found.llf, other.llf, atol=1e-9)
    assert profile(example("StratifiedResults", "common")).parameter == "tau2"
    assert profile(example("StratifiedResults", "equal effects"), "milk").high > 0


def test_a_given_tau2_stays() -> None:
    fit = mx.RandomEffects(ES).fit(tau2=0.2)
    found = profile(fit, "estimate", [-1.0, 0.0])
    byhand = [stats.norm.logpdf(ES.y, b, np.sqrt(ES.v + 0.2)).sum() for b in (-1.0, 0.0)]
    np.testing.assert_allclose(found.llf, byhand, rtol=1e-12)
    # the likelihood is then a parabola, and the interval that of the normal distribution
    z = mx.RandomEffects(ES).fit(tau2=0.2, test="z")
    assert (found.low, found.high) == pytest.approx(tuple(np.ravel(z.bounds())), rel=1e-8)


def test_profiles_do_not_depend_on_the_unit() -> None:
    c = 1000.0
    one = profile(mx.RandomEffects(ES).fit(), "estimate")
    other = profile(mx.RandomEffects(mx.EffectSizes(c * ES.y, c**2 * ES.v)).fit(), "estimate")
    np.testing.assert_allclose(other.value, c * one.value, rtol=1e-7)
    assert other.high == pytest.approx(c * one.high, rel=1e-7)
    np.testing.assert_allclose(other.maximum - other.llf, one.maximum - one.llf, atol=1e-7)


def test_variances_far_apart_and_equal_effects_have_a_profile() -> None:
    with pytest.warns(mx.errors.VarianceRatioWarning):
        far = mx.EffectSizes([0.2, 0.4, 0.9], [1e-9, 0.04, 1.0])
    found = profile(mx.RandomEffects(far).fit(), "estimate")
    assert found.low < 0.2 < found.high
    same = mx.RandomEffects(mx.EffectSizes([0.3, 0.3], [0.02, 0.05])).fit(test="z")
    found = profile(same)
    assert (found.estimate, found.low, found.low_open) == (0.0, 0.0, True)
    assert "begins at the edge" in found.sentence
    assert profile(same, "estimate").estimate == pytest.approx(0.3)


def test_sentences_say_that_a_component_is_a_variance() -> None:
    es = mx.EffectSizes([0.1, 0.4, 0.9, 0.6, 0.2, -0.1], [0.03] * 6, study=list("aabbcc"))
    found = profile(mx.Multilevel(es, "study").fit(), "study")
    assert found.sentence.startswith(f"tau2 of study {found.estimate:.4f}, 95% profile-likelihood interval")
    assert profile(mx.RandomEffects(ES).fit()).sentence.startswith("tau2 0.")


def test_what_has_no_profile_says_why() -> None:
    one, several = mx.RandomEffects(ES).fit(), example("MultilevelResults", "mean")
    for fit, name, words in (
        ("fit", None, "fit of RandomEffects"),
        (one, 3, "name of a parameter"),
        (several, None, "one of study"),
        (example("RandomEffectsResults", "given tau2"), "tau2", "a parameter that was estimated"),
        (example("RandomEffectsResults", "equal effects"), None, "a parameter that was estimated"),
        (example("RandomEffectsResults", "robust mean"), "intercept", "before robust"),
        (example("MultilevelResults", "weights"), "intercept", "weights of its own"),
        (example("MomentResults", "correlated"), None, "Multilevel"),
        (example("ImputedResults", "mean"), None, "results.likelihood"),
        (example("AttributionResults", "divided"), None, "results.model"),
        (example("StratifiedResults", "smoothed"), None, "separate"),
        (example("StratifiedResults", "clusters"), "milk", "robust"),
        (mx.RandomEffects(mx.EffectSizes([0.1, 0.4, 0.9], [0.0, 0.1, 0.1])).fit(), "intercept", "above 0"),
    ):
        with pytest.raises(InputError, match=words):
            profile(fit, name)
    with pytest.raises(UnknownChoiceError, match="latitude"):
        profile(mx.RandomEffects(ES, "latitude").fit(), "lattitude")
    for grid, words in (([-0.1], "from 0"), ([np.nan], "finite"), ([], "empty"), (["a"], "no number")):
        with pytest.raises(InputError, match=words):
            profile(one, grid=grid)
    with pytest.raises(InputError, match="leave 0 out"):
        profile(mx.RandomEffects(mx.EffectSizes([0.1, 0.4, 0.9], [0.0, 0.1, 0.1])).fit(), grid=[0.0, 0.1])
    with pytest.raises(InputError, match="level"):
        profile(one, level=95)
