"""Models of censored evidence: numbers, refusals in words, what each kind of evidence contributes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

import metaexo as mx
from metaexo.effects import bounded_effects
from metaexo.errors import (
    DependentEffectsWarning,
    InputError,
    MixedDomainsWarning,
    NotIdentifiableError,
    NotNestedError,
    RowsLeftOutWarning,
    UnknownChoiceError,
)
from metaexo.models import censored_strata, fit_many_censored
from metaexo.models.censored.effects import DIRECTION, EXACT, KINDS, ONE_END, TWO_ENDS

INF = float("inf")
LOWER = [0.2, 0.9, 0.6, 0.7, -0.6, -0.7, 0.0]
UPPER = [0.2, 0.9, 0.6, INF, 0.6, 0.7, INF]
V = [0.08, 0.10, 0.09, 0.13, 0.09, 0.12, 0.11]


@pytest.fixture
def effects():
    """Return three exact effects, one p < 0.05, two p > 0.05, and a direction."""
    return bounded_effects(LOWER, UPPER, V, measure="SMD", labels=list("abcdefg"), oriented=True)


@pytest.fixture
def fit(effects):
    return mx.CensoredRandomEffects(effects).fit()


def many(k, tau2=0.15, slope=0.0, seed=3, share=0.5, sizes=(6, 30)):
    """Return k effects of which a share is told as thresholds, with their exact values."""
    rng = np.random.default_rng(seed)
    v = 2 / rng.integers(*sizes, k)
    x = rng.normal(size=k)
    y = rng.normal(0.4 + slope * x, np.sqrt(tau2 + v))
    q = 1.96 * np.sqrt(v)
    told = rng.random(k) < share
    lower = np.select([told & (y > q), told & (y < -q), told], [q, -INF, -q], y)
    upper = np.select([told & (y > q), told & (y < -q), told], [INF, -q, q], y)
    data = pd.DataFrame({"x": x, "source": np.where(x > 0, "adipose", "plant")})
    return bounded_effects(lower, upper, v, data=data), mx.EffectSizes(y, v, data=data)


# -- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("test", ["knapp-hartung", "knapp-hartung-adhoc", "t", "z"])
@pytest.mark.parametrize("moderators", [None, "x"])
def test_exact_effects_give_the_random_effects_model(method, test, moderators):
    _, es = many(14)
    ours = mx.CensoredRandomEffects(es, moderators).fit(method, test)
    usual = mx.RandomEffects(es, moderators).fit(method, test)
    assert ours.tau2 == pytest.approx(usual.tau2, abs=1e-8)
    assert ours.tau2_se == pytest.approx(usual.tau2_se, rel=1e-8)
    assert ours.params.to_numpy() == pytest.approx(usual.params.to_numpy(), abs=1e-8)
    assert ours.cov_params().to_numpy() == pytest.approx(usual.cov_params().to_numpy(), abs=1e-8)
    assert ours.pvalues.to_numpy() == pytest.approx(usual.pvalues.to_numpy(), rel=1e-7)
    assert ours.conf_int().to_numpy() == pytest.approx(usual.conf_int().to_numpy(), abs=1e-8)
    for name in ("llf", "aic", "bic", "aicc", "i2", "h2", "typical_variance"):
        assert getattr(ours, name) == pytest.approx(getattr(usual, name), rel=1e-8), name
    assert ours.fit_statistics().deviance == pytest.approx(usual.fit_statistics().deviance, rel=1e-8)
    assert ours.predict().to_numpy() == pytest.approx(usual.predict().to_numpy(), abs=1e-8)
    assert ours.moderator_test.pvalue == pytest.approx(usual.moderator_test.pvalue, rel=1e-7)
    bounds, wanted = ours.conf_int_heterogeneity(), usual.conf_int_heterogeneity("profile-likelihood")
    for name in ("tau2", "tau", "i2", "h2"):
        assert getattr(bounds, name) == pytest.approx(getattr(wanted, name), abs=1e-6)


def test_a_given_tau2_is_that_of_the_usual_model_too():
    _, es = many(9)
    ours = mx.CensoredRandomEffects(es).fit(tau2=0.3)
    usual = mx.RandomEffects(es).fit(tau2=0.3)
    assert ours.tau2 == 0.3
    assert ours.estimate == pytest.approx(usual.estimate, abs=1e-10)
    assert ours.conf_int().to_numpy() == pytest.approx(usual.conf_int().to_numpy(), abs=1e-10)
    with pytest.raises(InputError, match="tau2 was given"):
        ours.conf_int_heterogeneity()
    assert "given" in str(ours.summary())


def test_a_probability_replaces_the_density(effects):
    fit = mx.CensoredRandomEffects(effects).fit("ML", "z")
    sd = np.sqrt(np.array(V) + fit.tau2)
    low, high = np.array(LOWER), np.array(UPPER)
    mass = stats.norm.cdf(high, fit.estimate, sd) - stats.norm.cdf(low, fit.estimate, sd)
    exact = low == high
    wanted = stats.norm.logpdf(low[exact], fit.estimate, sd[exact]).sum() + np.log(mass[~exact]).sum()
    assert fit.llf == pytest.approx(wanted, abs=1e-12)


def test_thresholds_move_the_estimate_the_way_they_say():
    base = [0.2, 0.5, 0.35]
    alone = mx.CensoredRandomEffects(bounded_effects(base, base, [0.05] * 3)).fit().estimate
    up = mx.CensoredRandomEffects(bounded_effects([*base, 0.8], [*base, INF], [0.05] * 4)).fit().estimate
    null = mx.CensoredRandomEffects(bounded_effects([*base, -0.2], [*base, 0.2], [0.05] * 4)).fit().estimate
    weak = mx.CensoredRandomEffects(bounded_effects([*base, -9], [*base, 9], [0.05] * 4)).fit().estimate
    assert null < alone < up
    assert weak == pytest.approx(alone, abs=1e-12)


def test_profile_intervals_hold_what_the_likelihood_holds(effects):
    fit = mx.CensoredRandomEffects(effects).fit("ML", "z")
    low, high = fit.conf_int(kind="profile").iloc[0]
    assert low < fit.estimate < high
    for end in (low, high):
        best = -minimize_scalar(
            lambda t, end=end: -_log_likelihood(end, t),
            bounds=(0, 20),
            method="bounded",
            options={"xatol": 1e-10},
        ).fun
        assert best == pytest.approx(fit.llf - 0.5 * 3.841458820694124, abs=1e-7)
    narrow = fit.conf_int(0.5, kind="profile").iloc[0]
    assert low < narrow["low"] < narrow["high"] < high
    with pytest.raises(UnknownChoiceError, match="kind of interval"):
        fit.conf_int(kind="bootstrap")


def _log_likelihood(mean, tau2):
    """Return the log-likelihood of the seven effects, from its definition."""
    sd, low, high = np.sqrt(np.array(V) + tau2), np.array(LOWER), np.array(UPPER)
    exact = low == high
    mass = stats.norm.cdf(high, mean, sd) - stats.norm.cdf(low, mean, sd)
    return stats.norm.logpdf(low[exact], mean, sd[exact]).sum() + np.log(mass[~exact]).sum()


def test_tests_of_moderators_and_of_heterogeneity(root):
    es, _ = many(40, slope=0.5)
    full = mx.CensoredRandomEffects(es, "x").fit("ML", "z")
    null = mx.CensoredRandomEffects(es).fit("ML", "z")
    ratio = full.likelihood_ratio_test()
    assert ratio.statistic == pytest.approx(2 * (full.llf - null.llf), abs=1e-8)
    assert ratio.df == (1.0,)
    assert ratio.pvalue == pytest.approx(stats.chi2.sf(ratio.statistic, 1), rel=1e-8)
    assert ratio.pvalue < 0.01
    assert full.likelihood_ratio_test(null).statistic == pytest.approx(ratio.statistic, abs=1e-10)
    assert full.moderator_test.pvalue < 0.01
    at_zero = mx.CensoredRandomEffects(es, "x").fit("ML", "z", tau2=0.0)
    spread = full.heterogeneity_test
    assert spread.statistic == pytest.approx(2 * (full.llf - at_zero.llf), abs=1e-8)
    assert spread.pvalue == pytest.approx(0.5 * stats.chi2.sf(spread.statistic, 1), rel=1e-8)
    assert at_zero.heterogeneity_test.statistic == pytest.approx(spread.statistic, abs=1e-8)


def test_a_likelihood_ratio_needs_nested_fits_of_the_same_effects():
    es, _ = many(20)
    full = mx.CensoredRandomEffects(es, "x").fit()
    other = mx.CensoredRandomEffects(es.select(np.arange(20) > 0, "a test")).fit()
    with pytest.raises(NotNestedError, match="other effects"):
        full.likelihood_ratio_test(other)
    with pytest.raises(NotNestedError, match="no special case"):
        full.likelihood_ratio_test(full)
    with pytest.raises(InputError, match="no moderators"):
        other.likelihood_ratio_test()


def test_no_heterogeneity_is_the_boundary():
    es = bounded_effects([0.3, 0.31, 0.29, -0.5], [0.3, 0.31, 0.29, 0.5], [0.05] * 4)
    fit = mx.CensoredRandomEffects(es).fit()
    assert fit.tau2 == 0
    assert fit.i2 == 0
    assert fit.certificate.at_boundary
    assert fit.heterogeneity_test.pvalue == 1
    assert fit.conf_int_heterogeneity().tau2.low == 0
    assert "boundary" in str(fit.summary())


def test_prediction_adds_the_spread_and_follows_the_level(fit):
    pooled, wide = fit.pooled(), fit.pooled(level=0.99)
    assert pooled.prediction_low < pooled.low < pooled.high < pooled.prediction_high
    half = stats.t.ppf(0.975, fit.effective - 1)
    assert pooled.high - pooled.estimate == pytest.approx(half * pooled.se, rel=1e-9)
    assert pooled.prediction_high - pooled.estimate == pytest.approx(
        half * np.hypot(pooled.se, fit.tau), rel=1e-9
    )
    assert wide.low < pooled.low


def test_many_fits_are_those_of_single_ones():
    cases = [many(9, seed=seed)[0] for seed in (1, 2, 5)]
    stack = [np.array([getattr(es, name) for es in cases]) for name in ("lower", "upper")]
    v = np.array([np.where(np.isfinite(es.lower), es.v_lower, es.v_upper) for es in cases])
    for method, test in (("REML", "knapp-hartung"), ("ML", "z")):
        fits = fit_many_censored(*stack, v, method=method, test=test, profile="both")
        for i, es in enumerate(cases):
            one = mx.CensoredRandomEffects(es).fit(method, test)
            assert fits.identifiable[i]
            assert fits.estimate[i] == pytest.approx(one.estimate, abs=1e-9)
            assert fits.tau2[i] == pytest.approx(one.tau2, abs=1e-9)
            assert fits.effective[i] == pytest.approx(one.effective, abs=1e-9)
            assert [fits.low[i], fits.high[i]] == pytest.approx(list(one.conf_int().iloc[0]), abs=1e-9)
            ends = list(one.conf_int(kind="profile").iloc[0])
            assert [fits.profile_low[i], fits.profile_high[i]] == pytest.approx(ends, abs=1e-6)
            bounds = one.conf_int_heterogeneity().tau2
            assert [fits.tau2_low[i], fits.tau2_high[i]] == pytest.approx(bounds[1:], abs=1e-6)


def test_many_fits_give_no_number_where_there_is_none():
    lower, upper = [[0.2, 0.3, 0.5], [0.1, 0.3, 0.5]], [[INF, INF, INF], [0.1, 0.3, INF]]
    fits = fit_many_censored(lower, upper, [[0.1] * 3] * 2)
    assert fits.identifiable.tolist() == [False, True]
    assert np.isnan([fits.estimate[0], fits.tau2[0], fits.low[0]]).all()
    assert np.isfinite([fits.estimate[1], fits.tau2[1], fits.low[1]]).all()
    assert fits.profile_low is None
    counts = [[1, 1, 1], [1, 1, 0]]
    assert fit_many_censored(lower, upper, [[0.1] * 3] * 2, counts=counts).estimate[1] == pytest.approx(0.2)
    with pytest.raises(InputError, match="lack an end or a variance"):
        fit_many_censored([[0.1, np.nan]], [[0.1, 0.2]], [[0.1, 0.1]])


# -- refusals in words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        ([0, 0, -INF], [INF, INF, 0], "neither a mean nor a between-study variance"),
        ([0.2, 0.4, 0.0], [INF, INF, INF], "increases without bound as the mean goes up"),
        ([-INF, -INF], [-0.2, 0.0], "increases without bound as the mean goes down"),
        ([0.5, 0.7, 0.2], [0.5, INF, INF], "1 effect of 3 .* is a point or lies between two ends"),
        (
            [0.2, 0.4, -INF],
            [INF, INF, -0.1],
            "0 effects of 3 .* nothing is left to estimate a between-study variance from, as",
        ),
        ([0.5], [0.5], "1 effect of 1"),
    ],
)
def test_what_cannot_be_told_is_said_and_no_number_is_given(lower, upper, words):
    model = mx.CensoredRandomEffects(bounded_effects(lower, upper, [0.1] * len(lower)))
    with pytest.raises(NotIdentifiableError, match=words) as caught:
        model.fit()
    assert caught.value.remedy
    assert caught.value.needed


def test_directions_without_sizes_are_refused_when_they_are_all_there_is():
    es = bounded_effects([0, 0], [INF, INF], [np.nan, np.nan])
    with pytest.raises(NotIdentifiableError, match="direction alone, without sizes"):
        mx.CensoredRandomEffects(es)


def test_one_exact_effect_is_enough_with_a_given_tau2():
    es = bounded_effects([0.5, 0.7, 0.2], [0.5, INF, INF], [0.1] * 3)
    fit = mx.CensoredRandomEffects(es).fit(test="z", tau2=0.1)
    assert fit.estimate > 0.5
    rising = bounded_effects([0.7, 0.2], [INF, INF], [0.1] * 2)
    with pytest.raises(NotIdentifiableError, match="no maximum"):
        mx.CensoredRandomEffects(rising).fit(test="z", tau2=0.1)


def test_signs_of_both_sides_have_a_mean_where_tau2_is_known():
    es = bounded_effects([0, 0, 0, -INF], [INF, INF, INF, 0], [0.2] * 4)
    fit = mx.CensoredRandomEffects(es).fit(test="z", tau2=0.3)
    assert fit.estimate == pytest.approx(np.sqrt(0.5) * stats.norm.ppf(0.75), abs=1e-9)


def test_a_level_of_one_sided_bounds_is_named():
    data = pd.DataFrame({"source": ["adipose"] * 4 + ["milk"] * 2})
    lower, upper = [0.2, 0.5, 0.9, 0.4, 0.6, 0.7], [0.2, 0.5, 0.9, 0.4, INF, INF]
    model = mx.CensoredRandomEffects(bounded_effects(lower, upper, [0.1] * 6, data=data), "source")
    with pytest.raises(NotIdentifiableError, match=r"sourcemilk \(up\)"):
        model.fit()


def test_only_not_significant_results_give_an_upper_bound_of_the_spread():
    es = bounded_effects([-0.6] * 5, [0.6] * 5, [0.1] * 5)
    fit = mx.CensoredRandomEffects(es).fit(test="z")
    assert fit.estimate == pytest.approx(0.0, abs=1e-10)
    assert fit.tau2 == 0
    assert 0 < fit.conf_int_heterogeneity().tau2.high < INF


def test_too_little_for_a_t_distribution_is_said():
    es = bounded_effects([-1.2] * 2, [1.2] * 2, [0.1] * 2)
    with pytest.raises(InputError, match=r"equivalent to .* exact ones for 1 coefficient"):
        mx.CensoredRandomEffects(es).fit()
    assert np.isfinite(mx.CensoredRandomEffects(es).fit(test="z").se).all()


@pytest.mark.parametrize(
    ("lower", "upper", "v", "v_upper", "words"),
    [
        ([0.1, -INF], [0.1, INF], [0.1, 0.1], None, "no finite end"),
        ([0.1, 0.2], [0.1, INF], [0.1, 0.0], None, "not above 0"),
        ([0.1, 0.2], [0.1, INF], [0.1, np.nan], None, "missing"),
        ([0.1, 0.2], [0.1, 0.6], [0.1, 0.3], [0.1, 0.2], r"v\(0\)"),
    ],
)
def test_ends_that_cannot_be_used_are_named(lower, upper, v, v_upper, words):
    es = bounded_effects(lower, upper, v, v_upper, labels=["first", "second"])
    with pytest.raises(InputError, match=words) as caught:
        mx.CensoredRandomEffects(es)
    assert caught.value.rows == ("second",)


def test_wrong_words_are_answered(effects):
    model = mx.CensoredRandomEffects(effects)
    with pytest.raises(UnknownChoiceError, match="method"):
        model.fit("DL")
    with pytest.raises(UnknownChoiceError, match="test"):
        model.fit(test="knapp-hartnug")
    with pytest.raises(InputError, match="level"):
        model.fit(level=95)
    with pytest.raises(InputError, match="tau2"):
        model.fit(tau2=-1.0)
    with pytest.raises(InputError, match="EffectSizes or BoundedEffectSizes"):
        mx.CensoredRandomEffects([0.1, 0.2])


# -- what is left out, assumed, dependent -------------------------------------------------------------------


def test_directions_without_sizes_are_left_out_with_a_reason():
    es = bounded_effects([0.2, 0.9, 0.0], [0.2, 0.9, INF], [0.1, 0.1, np.nan], labels=["a", "b", "c"])
    with pytest.warns(RowsLeftOutWarning, match="1 row of 3"):
        model = mx.CensoredRandomEffects(es, np.array([[0.1], [0.2], [0.3]]))
    assert model.effects.labels == ("a", "b")
    assert model.design.x.tolist() == [[1, 0.1], [1, 0.2]]
    (gone,) = model.effects.ledger.left_out
    assert gone.item == "c"
    assert "without sizes" in gone.reason


def test_a_variance_may_be_assumed_for_directions_and_is_marked():
    es = bounded_effects([0.2, 0.9, 0.0], [0.2, 0.9, INF], [0.1, 0.1, np.nan])
    fit = mx.CensoredRandomEffects(es, direction_v=0.25).fit()
    assert fit.k == 3
    assert fit.effects.derived[2].how == "assumed"
    assert "0.25" in str(fit.summary())
    same = bounded_effects([0.2, 0.9, 0.0], [0.2, 0.9, INF], [0.1, 0.1, 0.25])
    assert fit.estimate == pytest.approx(mx.CensoredRandomEffects(same).fit().estimate, abs=1e-12)
    with pytest.raises(InputError, match="direction_v"):
        mx.CensoredRandomEffects(es, direction_v=-1)


def test_effects_of_one_study_warn():
    es = bounded_effects(LOWER, UPPER, V, study=["s", "s", *"tuvwx"])
    with pytest.warns(DependentEffectsWarning, match="7 effects come from 6 studies"):
        mx.CensoredRandomEffects(es)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.CensoredRandomEffects(es, dependence="accept")


# -- what each kind contributes -----------------------------------------------------------------------------


def test_contributions_add_up(fit):
    table = fit.contributions()
    assert table.index.tolist() == [EXACT, TWO_ENDS, ONE_END, DIRECTION] == list(KINDS)
    assert table["k"].tolist() == [3, 2, 1, 1]
    assert table["effective"].sum() == pytest.approx(fit.effective)
    assert table.loc[EXACT, "effective"] == pytest.approx(3)
    assert (table.loc[[TWO_ENDS, ONE_END, DIRECTION], "effective"] < table["k"][1:]).all()
    assert table["share"].sum() == pytest.approx(1)
    assert table["tau2_share"].sum() == pytest.approx(1)
    assert fit.tau2 > 0
    assert table["tau2_pull"].sum() == pytest.approx(0, abs=1e-9)
    rows = fit.rows()
    assert rows.groupby("kind")["share"].sum()[EXACT] == pytest.approx(table.loc[EXACT, "share"])
    assert fit.weights == pytest.approx(rows["share"].to_numpy())


def test_what_an_interval_retains_is_the_variance_that_it_removes(fit):
    rows = fit.rows()
    sd = np.sqrt(np.array(V) + fit.tau2)
    low, high = (np.array(LOWER) - fit.estimate) / sd, (np.array(UPPER) - fit.estimate) / sd
    for i in range(3, 7):
        truncated = stats.truncnorm(low[i], high[i], loc=fit.estimate, scale=sd[i])
        assert rows.loc[i, "retained"] == pytest.approx(1 - truncated.var() / sd[i] ** 2, rel=1e-6)
        assert rows.loc[i, "expected"] == pytest.approx(truncated.mean(), rel=1e-6)
    assert rows.loc[:2, "expected"].tolist() == LOWER[:3]


# -- multiple imputation ------------------------------------------------------------------------------------


def test_imputation_agrees_within_its_monte_carlo_error():
    es, _ = many(300, tau2=0.15, share=0.5, seed=8)
    fit = mx.CensoredRandomEffects(es).fit()
    imputed = fit.impute(draws=400, seed=5)
    assert imputed.draws == 400
    assert imputed.beta[0] == pytest.approx(fit.estimate, abs=4 * imputed.monte_carlo_error[0])
    error = imputed.tau2_draws.std(ddof=1) / np.sqrt(400)
    assert imputed.tau2 == pytest.approx(fit.tau2, abs=4 * error)
    assert imputed.se[0] == pytest.approx(fit.se[0], rel=0.05)
    assert 0.02 < imputed.missing_information[0] < 0.5
    assert "imputations" in str(imputed)
    assert imputed.to_markdown()


def test_imputation_is_seeded(fit):
    first, again, other = fit.impute(20, seed=3), fit.impute(20, seed=3), fit.impute(20, seed=4)
    assert np.array_equal(first.estimates, again.estimates)
    assert not np.array_equal(first.estimates, other.estimates)
    with pytest.raises(InputError, match="draws"):
        fit.impute(1)


def test_imputation_of_exact_effects_is_the_fit_itself():
    _, es = many(12)
    fit = mx.CensoredRandomEffects(es).fit()
    imputed = fit.impute(5)
    assert imputed.beta == pytest.approx(fit.beta, abs=1e-9)
    assert imputed.cov == pytest.approx(fit.cov, abs=1e-9)
    assert imputed.missing_information == pytest.approx([0.0], abs=1e-12)


def test_imputation_at_the_estimate_needs_no_distribution_of_tau2():
    es = bounded_effects([0.2, 0.5, 0.7, 0.4], [0.2, 0.5, INF, INF], [0.1] * 4)
    fit = mx.CensoredRandomEffects(es).fit()
    with pytest.raises(NotIdentifiableError, match="nothing to draw from"):
        fit.impute(10)
    assert np.isfinite(fit.impute(10, draw_tau2=False).beta).all()


def test_rubins_rules(fit):
    imputed = fit.impute(30, seed=2)
    between = imputed.estimates[:, 0].var(ddof=1)
    total = imputed.covariances[:, 0, 0].mean() + (1 + 1 / 30) * between
    assert imputed.cov[0, 0] == pytest.approx(total)
    share = (1 + 1 / 30) * between / total
    complete = 6.0
    observed = (complete + 1) / (complete + 3) * complete * (1 - share)
    assert imputed.df_test == pytest.approx(1 / (share**2 / 29 + 1 / observed))
    assert mx.CensoredRandomEffects(fit.effects).fit(test="z").impute(5).df_test is None


# -- strata -------------------------------------------------------------------------------------------------


@pytest.fixture
def strata():
    source = ["adipose"] * 5 + ["plant"] * 4 + ["milk"] * 2 + [None] * 2
    lower = [0.9, 1.3, 0.7, 0.8, 1.0, 0.1, 0.3, -0.6, -0.1, 0.7, 0.9, 0.2, -0.6]
    upper = [0.9, 1.3, 0.7, INF, 1.0, 0.1, 0.3, 0.6, -0.1, INF, INF, 0.2, 0.6]
    data = pd.DataFrame({"source": source})
    return bounded_effects(lower, upper, [0.08] * 13, data=data)


def test_strata_have_their_fit_or_the_reason_in_words(strata):
    found = censored_strata(strata, "source")
    assert [s.name for s in found.strata] == ["adipose", "plant", "milk", "not reported"]
    assert [s.fit is not None for s in found.strata] == [True, True, False, True]
    assert "no maximum" in found.strata[2].note
    alone = strata.select(np.arange(13) < 5, "a test")
    assert found.strata[0].fit.estimate == pytest.approx(mx.CensoredRandomEffects(alone).fit().estimate)
    frame = found.to_frame()
    assert frame.loc[2, ["estimate", "low", "tau2"]].isna().all()
    assert frame.loc[[0, 1, 3], ["estimate", "low", "tau2"]].notna().all(axis=None)
    assert "milk" in found.note
    assert "milk" in str(found)


def test_strata_are_tested_in_one_model(strata):
    found = censored_strata(strata, "source")
    keep = np.array([name != "milk" for name in strata.column("source")])
    part = strata.select(keep, "a test")
    levels = part.column("source").fillna("none").to_numpy()
    dummies = np.column_stack([levels == name for name in ("plant", "none")]).astype(float)
    full = mx.CensoredRandomEffects(part, dummies).fit()
    assert found.wald.statistic == pytest.approx(full.moderator_test.statistic, rel=1e-6)
    assert found.likelihood_ratio.statistic == pytest.approx(full.likelihood_ratio_test().statistic, rel=1e-6)
    assert found.likelihood_ratio.df == (2.0,)


def test_there_is_no_test_of_one_stratum(strata):
    one = censored_strata(strata.select(np.arange(13) < 5, "a test"), "source")
    assert one.wald is None
    assert one.likelihood_ratio is None
    assert "no test" in one.note
    with pytest.raises(UnknownChoiceError, match="column"):
        censored_strata(strata, "isolation")


# -- for readers --------------------------------------------------------------------------------------------


def test_the_summary_has_five_parts_and_tells_the_evidence(fit):
    summary = fit.summary()
    assert list(summary.parts) == ["What was fitted", "Pooled", "Heterogeneity", "Data", "Fit"]
    text = str(summary)
    assert "3 exact, 2 between two ends, 1 beyond one end, 1 direction" in text
    assert "profile-likelihood interval" in text
    assert f"equivalent to {fit.effective:.1f} exact effects of 7" in text
    assert "nan" not in text
    es, _ = many(20, slope=0.3)
    with_moderators = mx.CensoredRandomEffects(es, "x").fit()
    assert "moderators: x\n" in str(with_moderators.summary())


def test_results_are_immutable_and_can_be_read(fit, effects):
    with pytest.raises(AttributeError):
        fit.level = 0.9
    again = mx.CensoredRandomEffects(effects).fit()
    assert fit.digest == again.digest
    assert fit.digest != mx.CensoredRandomEffects(effects.select([True] * 6 + [False], "a test")).fit().digest
    assert fit.to_frame()["term"].tolist() == ["intercept"]
    for text in (fit.to_markdown(), fit.to_html(), fit.to_latex()):
        assert "intercept" in text
    assert "effective" in repr(fit)
    assert fit.m == 7
    assert fit.kinds.count(DIRECTION) == 1


def test_sheets_hand_their_bounds_to_the_model(root):
    sheets = mx.read_sheets(root / "data")
    es = sheets.effects("SMD", where="study_id == 'pbsc_dfu2024'", bounds=True)
    with pytest.warns(DependentEffectsWarning):
        model = mx.CensoredRandomEffects(es)
    with pytest.raises(NotIdentifiableError, match="1 effect of 3"):
        model.fit()


def test_people_and_animals_in_one_stratum_of_censored_evidence_are_said() -> None:
    y = [0.9, 1.3, 0.7, 0.8, 0.1, 0.3, 0.2]
    design = ["rct_parallel"] * 2 + ["animal_controlled"] * 2 + ["rct_parallel"] * 3
    data = pd.DataFrame({"source": list("aaaappp"), "design": design})
    es = bounded_effects(y, y, [0.08] * 7, data=data)
    with pytest.warns(MixedDomainsWarning, match=r"one stratum.*a \(animals, people\)\. Select"):
        mx.models.censored_strata(es, by="source")
    mx.models.censored_strata(es, by=["source", "design"])  # any other warning is an error of the suite


def test_effects_without_bounds_are_exact_ones() -> None:
    es = mx.EffectSizes([0.2, 0.6, 0.1, 0.9, 0.7], [0.02, 0.05, 0.03, 0.04, 0.02])
    fit = mx.CensoredRandomEffects(es).fit()
    wanted = mx.RandomEffects(es).fit().q
    for q in (fit.q, fit.impute(2).q):
        assert q.statistic == pytest.approx(wanted.statistic)
        assert q.pvalue == pytest.approx(wanted.pvalue)
    assert fit.effects.y.tolist() == es.y.tolist()
    assert fit.effects.v.tolist() == es.v.tolist()
    with pytest.raises(InputError, match=r"mx\.RandomEffects\(result\.effects\.exact\)") as refused:
        fit.robust()
    assert "bounds" not in str(refused.value)
    assert mx.RandomEffects(fit.effects).fit().q.statistic == pytest.approx(wanted.statistic)
    some = mx.bounded_effects([0.1, 0.4], [0.1, float("inf")], [0.02, 0.05])
    with pytest.raises(InputError, match=r"1 of 2 effects are bounds.*`\.exact`.*CensoredRandomEffects"):
        _ = some.y
    assert np.isnan(mx.CensoredRandomEffects(some).fit(tau2=0.1, test="z").q.statistic)
