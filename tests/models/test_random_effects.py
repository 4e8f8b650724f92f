"""The random-effects model: published results, refusals, and what a fit says of itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.meta_analysis import combine_effects

import metaexo as mx
from metaexo import errors

# The 2x2 tables of the 13 BCG trials (Colditz et al. 1994, 10.1001/jama.1994.03510330076038).
BCG_TABLES = np.array(
    [
        [4, 119, 11, 128],
        [6, 300, 29, 274],
        [3, 228, 11, 209],
        [62, 13536, 248, 12619],
        [33, 5036, 47, 5761],
        [180, 1361, 372, 1079],
        [8, 2537, 10, 619],
        [505, 87886, 499, 87892],
        [29, 7470, 45, 7232],
        [17, 1699, 65, 1600],
        [186, 50448, 141, 27197],
        [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ],
    dtype=float,
)
LATITUDE = np.array([44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33], dtype=float)


def bcg() -> mx.EffectSizes:
    a, b, c, d = BCG_TABLES.T
    return mx.EffectSizes(
        np.log(a / (a + b)) - np.log(c / (c + d)), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    )


def test_the_bcg_trials_give_the_published_dersimonian_laird_result() -> None:
    # Berkey et al. 1995 (10.1002/sim.4780140406) and many textbooks: RR 0.49, tau2 0.31, Q 152.23 on 12 df
    fit = mx.RandomEffects(bcg()).fit(method="DL", test="z")
    assert np.exp(fit.estimate) == pytest.approx(0.4896, abs=5e-5)
    assert fit.tau2 == pytest.approx(0.3088, abs=5e-5)
    assert fit.q.statistic == pytest.approx(152.23, abs=5e-3)
    assert fit.q.df == (12,)


def test_latitude_explains_most_of_the_bcg_heterogeneity() -> None:
    fit = mx.RandomEffects(bcg(), LATITUDE, names=["latitude"]).fit(test="z")
    assert fit.params["latitude"] == pytest.approx(-0.0291, abs=5e-5)
    assert fit.r2 == pytest.approx(0.756, abs=5e-4)
    assert fit.moderator_test.pvalue < 1e-4
    assert list(fit.to_frame()["term"]) == ["intercept", "latitude"]


def test_agrees_with_statsmodels() -> None:
    es = bcg()
    theirs = combine_effects(es.y, es.v, method_re="iterated")
    ours = mx.RandomEffects(es).fit(method="PM", test="z")
    assert ours.tau2 == pytest.approx(theirs.tau2, rel=1e-4)
    assert ours.estimate == pytest.approx(theirs.mean_effect_re, rel=1e-4)
    hksj = mx.RandomEffects(es).fit(method="PM", test="knapp-hartung")
    assert hksj.se[0] == pytest.approx(theirs.sd_eff_w_re_hksj, rel=1e-4)


def test_the_prediction_interval_adds_tau2_and_takes_the_quantile_of_the_test() -> None:
    fit = mx.RandomEffects(bcg()).fit()
    pooled = fit.pooled()
    from scipy import stats

    half = stats.t.ppf(0.975, 12) * np.sqrt(fit.se[0] ** 2 + fit.tau2)
    assert pooled.prediction_low == pytest.approx(pooled.estimate - half, rel=1e-12)
    assert pooled.prediction_high == pytest.approx(pooled.estimate + half, rel=1e-12)
    assert pooled.low > pooled.prediction_low


def test_the_equal_effects_model_has_no_prediction_interval_and_normal_quantiles() -> None:
    fit = mx.RandomEffects(bcg()).fit(method="EE")
    assert fit.test == "z"
    assert fit.tau2 == 0
    assert fit.pooled().prediction_low is None


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_every_interval_follows_the_level(level: float) -> None:
    fit = mx.RandomEffects(bcg()).fit(level=level)
    same = mx.RandomEffects(bcg()).fit()
    pd.testing.assert_frame_equal(fit.conf_int(), same.conf_int(level))
    assert fit.pooled() == same.pooled(level)
    assert fit.conf_int_heterogeneity() == same.conf_int_heterogeneity(level=level)


def test_order_of_rows_does_not_matter() -> None:
    es = bcg()
    order = np.random.default_rng(0).permutation(es.k)
    fit = mx.RandomEffects(mx.EffectSizes(es.y[order], es.v[order])).fit()
    assert fit.tau2 == pytest.approx(mx.RandomEffects(es).fit().tau2, rel=1e-12)


def test_weights_are_fractions_that_make_the_mean() -> None:
    fit = mx.RandomEffects(bcg()).fit()
    assert fit.weights.sum() == pytest.approx(1)
    assert fit.weights @ fit.effects.y == pytest.approx(fit.estimate, rel=1e-12)


def test_one_effect_is_refused_in_words_and_equal_effects_are_offered() -> None:
    es = mx.EffectSizes([0.4], [0.05])
    with pytest.raises(errors.TooFewStudiesError, match='method="EE"'):
        mx.RandomEffects(es).fit()
    fit = mx.RandomEffects(es).fit(method="EE")
    assert fit.pooled().se == pytest.approx(np.sqrt(0.05))
    assert (fit.i2, fit.h2) == (0.0, 1.0)
    assert "k = 1" in repr(fit)
    assert "1 effect" in str(fit.summary())


def test_two_effects_give_a_result() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.1, 0.9], [0.01, 0.02])).fit()
    assert np.isfinite([fit.tau2, fit.se[0], fit.pooled().prediction_high]).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"method": "RELM"}, errors.UnknownChoiceError, "REML"),
        ({"test": "knap-hartung"}, errors.UnknownChoiceError, "knapp-hartung"),
        ({"level": 95}, errors.InputError, "fraction"),
        ({"tau2": -1.0}, errors.InputError, "a variance from 0"),
    ],
)
def test_wrong_choices_are_named(call: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        mx.RandomEffects(bcg()).fit(**call)


@pytest.mark.parametrize("method", ["EE", "DL", "PM"])
def test_zero_variances_are_refused_where_they_are_divided_by(method: str) -> None:
    es = mx.EffectSizes([0.1, 0.2, 0.5], [0.0, 0.02, 0.03])
    with pytest.raises(errors.InputError, match="input:1"):
        mx.RandomEffects(es).fit(method=method)


def test_collinear_and_missing_moderators_are_named() -> None:
    twice = pd.DataFrame({"dose": LATITUDE, "double_dose": 2 * LATITUDE})
    with pytest.raises(errors.CollinearError, match="double_dose"):
        mx.RandomEffects(bcg(), twice)
    gap = LATITUDE.copy()
    gap[4] = np.nan
    with pytest.raises(errors.InputError, match="row 5"):
        mx.RandomEffects(bcg(), gap)
    with pytest.raises(errors.ShapeError, match="13 effects"):
        mx.RandomEffects(bcg(), LATITUDE[:-1])


def test_several_effects_of_one_study_are_flagged() -> None:
    es = mx.EffectSizes([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], study=["a", "a", "b"])
    with pytest.warns(errors.DependentEffectsWarning, match="3 effects come from 2 studies"):
        mx.RandomEffects(es)
    assert mx.RandomEffects(es, dependence="accept").effects.m == 2


def test_a_fit_is_sealed() -> None:
    fit = mx.RandomEffects(bcg()).fit()
    with pytest.raises(AttributeError):
        fit.method = "DL"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        fit.effects.y[0] = 1.0


def test_the_digest_tells_data_apart() -> None:
    es = bcg()
    first = mx.RandomEffects(es).fit().digest
    assert first == mx.RandomEffects(es).fit(method="DL").digest
    moved = es.y.copy()
    moved[0] += 1e-12
    assert first != mx.RandomEffects(mx.EffectSizes(moved, es.v)).fit().digest


def test_no_spread_at_all_is_said_not_hidden() -> None:
    fit = mx.RandomEffects(mx.EffectSizes([0.3] * 4, [0.1, 0.2, 0.1, 0.3])).fit()
    assert fit.se[0] == 0
    assert "not testable" in fit.moderator_test.null
    assert fit.conf_int_heterogeneity().empty


def test_moderator_fits_have_no_single_pooled_effect() -> None:
    fit = mx.RandomEffects(bcg(), LATITUDE).fit()
    with pytest.raises(errors.InputError, match="predict"):
        fit.pooled()
    table = fit.predict([[10.0], [50.0]])
    assert table["estimate"].iloc[0] > table["estimate"].iloc[1]
    with pytest.raises(errors.ShapeError, match="one column for each of x1"):
        fit.predict([[1.0, 2.0]])


def test_a_fit_knows_the_versions_that_made_it() -> None:
    versions = mx.RandomEffects(mx.EffectSizes([0.1, 0.4], [0.02, 0.03])).fit().versions
    assert versions["metaexo"] == mx.__version__
    assert set(versions) == {"metaexo", "numpy", "scipy"}
