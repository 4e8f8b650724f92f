"""Beta-binomial and negative binomial models against scipy, statsmodels and a search without derivatives."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import betaln, expit, gammaln, logit, ndtr
from scipy.stats import beta, betabinom, binom, chi2, nbinom

import metaexo as mx
from metaexo.errors import (
    CollinearError,
    ConvergenceError,
    InputError,
    NotIdentifiableError,
    UnknownChoiceError,
)
from metaexo.numeric.counts.overdispersed import FIRST, GRID, Arms, height, maximise, rising, single

EVENTS = np.array([[0, 0], [3, 5], [0, 1], [2, 6], [1, 3], [7, 1], [0, 0], [4, 9]])
SIZES = np.array([[12, 11], [40, 42], [25, 25], [30, 31], [22, 20], [50, 60], [15, 300], [18, 17]])
COLUMNS = ("treatment_events", "control_events", "treatment_n", "control_n")


def two_arms(events=EVENTS, sizes=SIZES, time=False, **more) -> mx.effects.EventCounts:
    names = [name.replace("_n", "_time") if time else name for name in COLUMNS]
    values = np.hstack([np.asarray(events), np.asarray(sizes)]).T
    return mx.event_counts(**dict(zip(names, values, strict=True)), **more)


def one_arm(**more) -> mx.effects.EventCounts:
    return mx.event_counts(events=EVENTS[:, 1], n=SIZES[:, 1], **more)


def beta_binomial(y, n, mean, rho):
    """Return the log-likelihood by beta functions; a test holds it against scipy's distribution."""
    a, b = mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho
    choose = -np.log(n + 1) - betaln(n - y + 1, y + 1)
    return (choose + betaln(y + a, n - y + b) - betaln(a, b)).sum()


def highest_by_scipy(log_likelihood, starts):
    found = [
        minimize(lambda at: -log_likelihood(at), start, method="Nelder-Mead",
                 options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000})
        for start in starts
    ]  # fmt: skip
    best = min(found, key=lambda one: one.fun)
    return best.x, -best.fun


# -- the sums -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 1e-9, 1e-3, 0.4, 30.0])
@pytest.mark.parametrize("c", [1e-6, 0.3, 1.0])
@pytest.mark.parametrize("m", [0, 1, FIRST, FIRST + 1, 60, 4000])
def test_rising_sums_and_derivatives_are_those_of_their_terms(m, c, theta):
    found = rising(np.array([float(m)]), np.array([c]), np.array([theta]))
    j = np.arange(m)
    term = c + j * theta
    wanted = [
        np.log(c) + np.log1p(j * theta / c),
        1 / term,
        j / term,
        -1 / term**2,
        -j / term**2,
        -((j / term) ** 2),
    ]
    value, *slopes = (part[0] for part in found)
    assert value == pytest.approx(wanted[0].sum(), rel=2e-12, abs=1e-13 + 1e-16 * m)  # each term is rounded
    np.testing.assert_allclose(slopes, [part.sum() for part in wanted[1:]], rtol=2e-12, atol=1e-13)


def test_rising_sums_of_a_million_terms_cost_as_few():
    m, c, theta = 1e6, 0.2, 0.37
    direct = m * np.log(theta) + gammaln(c / theta + m) - gammaln(c / theta)
    assert rising(np.array([m]), np.array([c]), np.array([theta])).value[0] == pytest.approx(
        direct, rel=1e-13
    )


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "log", "identity", "rate"])
def test_likelihood_and_derivatives(link):
    rng = np.random.default_rng(4)
    n = rng.integers(1, 70, 9).astype(float)
    y = np.minimum(rng.poisson(0.2 * n), n).astype(float)
    x = np.column_stack([np.ones(9), np.arange(9) % 2])
    person_time = link == "rate"
    rows = single(y, n, x, "log" if person_time else link, person_time)
    start = {"logit": logit(0.2), "probit": -0.84, "cloglog": -1.5, "identity": 0.2}.get(link, np.log(0.2))
    at = np.array([start, 0.05, 0.1])
    means = {"logit": expit, "probit": ndtr, "cloglog": lambda e: -np.expm1(-np.exp(e)), "identity": np.array}
    mean = means.get(link, np.exp)(x @ at[:2])
    found = height(rows, at[None, :2], at[2:])
    if person_time:
        wanted = nbinom.logpmf(y, 9.0, 1 / (1 + mean * n / 9)).sum()
    else:
        wanted = betabinom.logpmf(y, n, 9 * mean, 9 * (1 - mean)).sum()
        assert wanted == pytest.approx(beta_binomial(y, n, mean, 0.1))
    assert found.value[0] == pytest.approx(wanted, rel=1e-12)
    for j, step in enumerate(1e-5 * np.eye(3)):
        up, down = (height(rows, (at + s)[None, :2], (at + s)[2:]) for s in (step, -step))
        assert found.gradient[0, j] == pytest.approx((up.value[0] - down.value[0]) / 2e-5, rel=1e-6, abs=1e-6)
        second = (up.gradient[0] - down.gradient[0]) / 2e-5
        np.testing.assert_allclose(found.hessian[0, j], second, rtol=1e-5, atol=1e-4)


def test_many_data_sets_at_once_are_those_one_by_one():
    rng = np.random.default_rng(8)
    n = rng.integers(1, 30, (6, 7)).astype(float)
    y = rng.binomial(n.astype(int), rng.beta(0.5, 3, (6, 7))).astype(float)
    y[:, 0] = np.maximum(y[:, 0], 1) - (n[:, 0] == 1)
    weight = np.ones((6, 7))
    weight[2, 3], weight[4, 5] = 0.0, 2.0
    many = maximise(Arms(y, n, np.ones((1, 7, 1)), weight, "logit", False))
    for b in range(6):
        times = weight[b].astype(int)
        rows = single(
            np.repeat(y[b], times), np.repeat(n[b], times), np.ones((times.sum(), 1)), "logit", False
        )
        alone = maximise(rows)
        assert many.value[b] == pytest.approx(alone.value[0], rel=1e-12)
        assert many.w[b] == pytest.approx(alone.w[0], abs=1e-9)


@cache
def highest_of_one_arm():
    y, n = EVENTS[:, 1], SIZES[:, 1]
    return highest_by_scipy(
        lambda at: beta_binomial(y, n, at[0], at[1]) if ((at > 0) & (at < 1)).all() else -np.inf, [[0.1, 0.1]]
    )


# -- one arm ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "link", "forward"),
    [
        ("PLO", None, expit),
        ("PLO", "probit", ndtr),
        ("PLO", "cloglog", lambda e: -np.expm1(-np.exp(e))),
        ("PLN", None, np.exp),
        ("PR", None, float),
    ],
)
def test_one_arm_is_the_same_maximum_on_every_scale(measure, link, forward):
    (risk, rho), value = highest_of_one_arm()
    fit = mx.BetaBinomial(one_arm(), measure, link=link).fit()
    assert fit.llf == pytest.approx(value, abs=1e-9)
    assert forward(fit.estimate) == pytest.approx(risk, rel=1e-5)
    assert fit.rho == pytest.approx(rho, rel=1e-5)
    risks = fit.risks()
    assert risks.loc["all", "estimate"] == pytest.approx(risk, rel=1e-5)
    table = fit.predict(scale="measure")
    assert [table["estimate"][0]] == pytest.approx([risk], rel=1e-5)


def test_covariance_is_the_inverse_of_the_information():
    fit = mx.BetaBinomial(one_arm()).fit()
    y, n = EVENTS[:, 1], SIZES[:, 1]
    at, h = np.array([fit.estimate, fit.rho]), 1e-4

    def value(a, b):
        return beta_binomial(y, n, expit(at[0] + a * h), at[1] + b * h * 0.1)

    top, cross = 2 * value(0, 0), (value(1, 1) - value(1, -1) - value(-1, 1) + value(-1, -1)) / 4
    second = np.array([[value(1, 0) - top + value(-1, 0), cross], [cross, value(0, 1) - top + value(0, -1)]])
    second = second / np.outer([h, h / 10], [h, h / 10])
    assert fit.cov[0, 0] == pytest.approx(np.linalg.inv(-second)[0, 0], rel=1e-4)
    assert fit.certificate.curvature < 0
    assert abs(fit.certificate.score) < 1e-9


def test_profile_intervals_are_where_the_likelihood_has_fallen_enough():
    fit = mx.BetaBinomial(one_arm()).fit()
    y, n = EVENTS[:, 1], SIZES[:, 1]
    lowest = fit.llf - chi2.ppf(0.9, 1) / 2

    def fallen_mean(eta):
        found = minimize(lambda at: -beta_binomial(y, n, expit(eta), expit(at[0])), [-3.0], method="BFGS")
        return -found.fun - lowest

    def fallen_rho(rho):
        found = minimize(lambda at: -beta_binomial(y, n, expit(at[0]), rho), [fit.estimate], method="BFGS")
        return -found.fun - lowest

    low, high = fit.profile_intervals(level=0.9).loc["intercept", ["low", "high"]]
    assert low == pytest.approx(brentq(fallen_mean, fit.estimate - 3, fit.estimate), abs=1e-5)
    assert high == pytest.approx(brentq(fallen_mean, fit.estimate, fit.estimate + 3), abs=1e-5)
    table = fit.dispersion(0.9)
    assert table.loc["intra-class correlation", "low"] == pytest.approx(
        brentq(fallen_rho, 1e-6, fit.rho), abs=1e-6
    )
    assert table.loc["intra-class correlation", "high"] == pytest.approx(
        brentq(fallen_rho, fit.rho, 0.9), abs=1e-6
    )
    risk = fit.risks().loc["all", "estimate"]
    assert table.loc["SD of risks, all", "estimate"] == pytest.approx(np.sqrt(fit.rho * risk * (1 - risk)))
    assert fit.tau2 == pytest.approx(fit.rho / (risk * (1 - risk)))
    component = fit.heterogeneity(0.9)
    assert component["high"].iloc[0] == pytest.approx(
        table.loc["intra-class correlation", "high"] / (risk * (1 - risk)), rel=1e-9
    )


def test_prediction_of_the_risk_of_a_new_study_is_a_beta_distribution():
    fit = mx.BetaBinomial(one_arm(), "PR").fit()
    pooled = fit.pooled(kind="simple")
    people = (1 - fit.rho) / fit.rho
    new = beta(pooled.estimate * people, (1 - pooled.estimate) * people)
    assert [pooled.prediction_low, pooled.prediction_high] == pytest.approx(new.ppf([0.025, 0.975]), rel=1e-9)
    assert fit.probability_above(0.3, kind="simple")[0] == pytest.approx(new.sf(0.3), rel=1e-9)
    default = fit.predict()
    assert default["prediction_low"][0] < pooled.prediction_low
    assert 0 < default["prediction_low"][0] < default["prediction_high"][0] < 1


@pytest.mark.parametrize("measure", ["PLO", "PR"])
def test_the_summary_has_the_prediction_interval_of_predict(measure):
    fit = mx.BetaBinomial(one_arm(), measure).fit()
    ends = fit.predict().loc[0, ["prediction_low", "prediction_high"]].to_numpy(dtype=float)
    text = str(fit.summary())
    found = re.search(r"95% prediction interval (\S+) to (\S+)", text)
    assert [float(end) for end in found.groups()] == pytest.approx(ends, abs=5.1e-5)
    if measure == "PLO":
        shown = re.search(r"proportion .*, prediction interval (\S+) to (\S+)", text)
        assert [float(end) for end in shown.groups()] == pytest.approx(expit(ends), rel=0.02)


def test_arms_of_one_person_say_nothing_on_rho():
    fit = mx.BetaBinomial(mx.event_counts(events=[0, 1, 1, 0, 1], n=[1] * 5)).fit()
    assert np.isnan(fit.heterogeneity_test.pvalue)
    assert fit.dispersion().loc["intra-class correlation", ["low", "high"]].tolist() == [0, 1]
    text = str(fit)
    assert "not testable: every arm has one person" in text
    assert "every rho has the same likelihood" in text
    assert "local maxima" not in text


# -- two arms -----------------------------------------------------------------------------------------------


def test_two_arms_are_one_maximum_for_the_three_measures():
    y, n = EVENTS.T.ravel(), SIZES.T.ravel()

    def value(at):
        if not 0 < at[2] < 1:
            return -np.inf
        return beta_binomial(y, n, np.repeat(expit(at[:2]), 8), at[2])

    (a, b, rho), top = highest_by_scipy(value, [[-3.0, -3.0, 0.1]])
    p1, p0 = expit([a, b])
    wanted = {"OR": a - b, "RR": np.log(p1 / p0), "RD": p1 - p0}
    fits = {measure: mx.BetaBinomial(two_arms(), measure).fit() for measure in wanted}
    for measure, fit in fits.items():
        assert fit.llf == pytest.approx(top, abs=1e-9)
        assert fit.estimate == pytest.approx(wanted[measure], rel=1e-4)
        assert fit.rho == pytest.approx(rho, rel=1e-4)
        np.testing.assert_allclose(fit.risks()["estimate"], [p1, p0], rtol=1e-4)
    # delta method from the log odds of the arms
    cov = fits["OR"].every_cov[:2, :2]
    turn = np.array([[1.0, 1.0], [0.0, 1.0]])
    arms = turn @ cov @ turn.T
    slope = np.array([p1 * (1 - p1), -p0 * (1 - p0)])
    assert fits["RD"].se[0] == pytest.approx(np.sqrt(slope @ arms @ slope), rel=1e-5)
    # profile intervals of the risks do not depend on the measure
    np.testing.assert_allclose(fits["OR"].risks()["high"], fits["RD"].risks()["high"], rtol=1e-7)


def test_double_zeros_count_in_full():
    whole, without = two_arms(), two_arms(EVENTS[1:], SIZES[1:])
    fits = [mx.BetaBinomial(counts, "RD").fit() for counts in (whole, without)]
    assert fits[0].informative.all()
    assert fits[0].estimate != pytest.approx(fits[1].estimate, rel=1e-3)
    assert "8 rows" in str(fits[0].summary())
    assert fits[0].counts.is_double_zero.sum() == 2


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR"])
def test_arms_change_places_and_rows_their_order(measure):
    time = measure == "IRR"
    fit = mx.BetaBinomial(two_arms(time=time), measure).fit()
    swapped = mx.BetaBinomial(two_arms(EVENTS[::-1, ::-1], SIZES[::-1, ::-1], time), measure).fit()
    assert swapped.estimate == pytest.approx(-fit.estimate, rel=1e-9)
    assert swapped.se[0] == pytest.approx(fit.se[0], rel=1e-8)
    assert swapped.llf == pytest.approx(fit.llf, rel=1e-12)
    assert sorted(-swapped.profile_intervals().iloc[0, 1:]) == pytest.approx(
        list(fit.profile_intervals().iloc[0, 1:]), rel=1e-5
    )


def test_events_and_others_change_places():
    fit = mx.BetaBinomial(two_arms(), "OR").fit()
    others = mx.BetaBinomial(two_arms(SIZES - EVENTS), "OR").fit()
    assert others.estimate == pytest.approx(-fit.estimate, rel=1e-8)
    assert others.rho == pytest.approx(fit.rho, rel=1e-7)


def test_moderators_of_two_arms_belong_to_the_effect_and_to_the_control_arm():
    group = np.array(["a", "b"] * 4)
    counts = two_arms().with_columns(g=group)
    fit = mx.BetaBinomial(counts, "OR", "g").fit()
    y, n, b = EVENTS.T.ravel(), SIZES.T.ravel(), np.tile(group == "b", 2)

    def value(at):
        eta = np.where(np.arange(16) < 8, np.where(b, at[1], at[0]), np.where(b, at[3], at[2]))
        return beta_binomial(y, n, expit(eta), at[4]) if 0 < at[4] < 1 else -np.inf

    eta = [logit(np.maximum(EVENTS[group == g].sum(0), 0.5) / SIZES[group == g].sum(0)) for g in "ab"]
    at, top = highest_by_scipy(value, [[eta[0][0], eta[1][0], eta[0][1], eta[1][1], 0.1]])
    assert fit.llf == pytest.approx(top, abs=1e-6)
    assert fit.beta == pytest.approx([at[0] - at[2], at[1] - at[3] - at[0] + at[2]], abs=1e-3)
    null = mx.BetaBinomial(counts, "OR").fit()
    test = mx.likelihood_ratio_test(fit, null)
    assert (test.df, test.statistic) == (2, pytest.approx(2 * (fit.llf - null.llf)))


# -- person-time --------------------------------------------------------------------------------------------


def test_rates_are_negative_binomial_as_in_statsmodels():
    from statsmodels.discrete.discrete_model import NegativeBinomial

    y, time = EVENTS.T.ravel(), SIZES.T.ravel()
    x = np.column_stack([np.repeat([1.0, 0.0], 8), np.ones(16)])
    wanted = NegativeBinomial(y, x, offset=np.log(time)).fit(disp=False, maxiter=500, gtol=1e-9)
    fit = mx.BetaBinomial(two_arms(time=True)).fit()
    assert fit.measure.code == "IRR"
    assert fit.llf == pytest.approx(wanted.llf, abs=1e-7)
    assert fit.estimate == pytest.approx(wanted.params[0], abs=1e-5)
    assert fit.cv2 == pytest.approx(wanted.params[2], rel=1e-4)
    assert fit.se[0] == pytest.approx(wanted.bse[0], rel=1e-3)
    assert fit.tau2 == pytest.approx(2 * fit.cv2)


def test_units_of_time_shift_the_log_rate_alone():
    days, weeks = (mx.event_counts(events=EVENTS[:, 1], time=SIZES[:, 1] * unit) for unit in (7.0, 1.0))
    per_day, per_week = (mx.BetaBinomial(counts).fit() for counts in (days, weeks))
    assert per_week.estimate - per_day.estimate == pytest.approx(np.log(7), rel=1e-9)
    assert per_week.cv2 == pytest.approx(per_day.cv2, rel=1e-7)


# -- edges --------------------------------------------------------------------------------------------------


def test_without_extra_variation_the_fit_is_binomial():
    n = np.array([20, 40, 60, 100])
    fit = mx.BetaBinomial(mx.event_counts(events=n // 10, n=n)).fit()
    equal = mx.BetaBinomial(mx.event_counts(events=n // 10, n=n)).fit("EE")
    assert (fit.rho, fit.certificate.at_boundary) == (0.0, True)
    assert fit.certificate.score < 0
    assert fit.estimate == pytest.approx(logit(0.1))
    assert fit.se[0] == pytest.approx(1 / np.sqrt(220 * 0.09))
    assert fit.llf == pytest.approx(binom.logpmf(n // 10, n, 0.1).sum()) == equal.llf
    assert fit.heterogeneity_test.pvalue == 1
    low, high = fit.dispersion().loc["intra-class correlation", ["low", "high"]]
    assert low == 0 < high < 0.2
    assert fit.fit_statistics().parameters == equal.fit_statistics().parameters + 1
    assert not equal.is_random
    with pytest.raises(InputError, match="equal risks"):
        equal.dispersion()


def test_the_test_of_rho_is_a_mixture():
    fit, equal = (mx.BetaBinomial(one_arm()).fit(method) for method in ("ML", "EE"))
    statistic = 2 * (fit.llf - equal.llf)
    assert fit.heterogeneity_test.statistic == pytest.approx(statistic)
    assert fit.heterogeneity_test.pvalue == pytest.approx(chi2.sf(statistic, 1) / 2)
    assert mx.likelihood_ratio_test(fit, equal).pvalue == pytest.approx(fit.heterogeneity_test.pvalue)


def test_arms_of_events_alone_or_of_none_have_rho_1():
    fit = mx.BetaBinomial(mx.event_counts(events=[0, 6, 0, 9, 0], n=[4, 6, 8, 9, 3])).fit()
    assert fit.rho == 1
    assert fit.estimate == pytest.approx(logit(2 / 5))
    assert fit.se[0] == pytest.approx(1 / np.sqrt(5 * 0.24))
    assert fit.llf == pytest.approx(binom.logpmf(2, 5, 0.4) - np.log(10))
    assert any("upper end" in text for text in fit.cautions())
    assert fit.dispersion()["high"].iloc[0] == 1


def test_arms_of_one_person_have_no_correlation():
    fit = mx.BetaBinomial(mx.event_counts(events=[0, 1, 0, 0], n=[1, 1, 1, 1])).fit()
    assert (fit.rho, fit.estimate) == (0, pytest.approx(logit(0.25)))
    assert any("one person" in text for text in fit.cautions())


def test_one_study_and_large_numbers():
    one = mx.BetaBinomial(mx.event_counts(events=[3], n=[10])).fit()
    assert (one.rho, one.estimate) == (0, pytest.approx(logit(0.3)))
    n = np.array([1_000_000, 400_000, 2_000_000])
    large = mx.BetaBinomial(mx.event_counts(events=[120, 80, 150], n=n)).fit()
    risk = expit(large.estimate)
    assert large.llf == pytest.approx(beta_binomial(np.array([120, 80, 150]), n, risk, large.rho), abs=1e-3)
    assert 0 < large.rho < 1e-3


@pytest.mark.parametrize(
    ("counts", "measure", "said"),
    [
        (lambda: mx.event_counts(events=[0, 0], n=[4, 9]), "PLO", "mx.safety.upper_limit"),
        (lambda: mx.event_counts(events=[0, 0], time=[4, 9]), "IRLN", "mx.safety.upper_limit"),
        (lambda: mx.event_counts(events=[4, 9], n=[4, 9]), "PLO", "everyone has an event"),
        (lambda: two_arms(EVENTS * [0, 1]), "OR", "ExactConditional"),
        (lambda: two_arms(EVENTS * [1, 0]), "RD", "control arm"),
        (lambda: two_arms(EVENTS * 0), "OR", "mx.safety.upper_limit"),
    ],
)
def test_no_event_in_an_arm_is_refused_with_what_answers(counts, measure, said):
    with pytest.raises(NotIdentifiableError, match=said):
        mx.BetaBinomial(counts(), measure).fit()


def test_moderators_that_separate_are_refused():
    counts = one_arm(data=None).with_columns(g=["a" if y else "b" for y in EVENTS[:, 1]], dose=EVENTS[:, 1])
    with pytest.raises(NotIdentifiableError, match="values of the moderators"):
        mx.BetaBinomial(counts, "PLO", "g").fit()
    assert np.isfinite(mx.BetaBinomial(counts, "PLO", "dose").fit().beta).all()


def test_a_risk_driven_to_its_edge_is_refused():
    counts = mx.event_counts(events=[0, 0, 9, 18], n=[30, 30, 30, 30])
    with pytest.raises(ConvergenceError, match="at 0 or 1"):
        mx.BetaBinomial(counts, "PR", np.array([0.0, 1.0, 2.0, 3.0])).fit()


def test_wrong_choices():
    with pytest.raises(UnknownChoiceError, match="measure of these counts"):
        mx.BetaBinomial(one_arm(), "OR")
    with pytest.raises(InputError, match='for one arm of people, with the measure "PLO"'):
        mx.BetaBinomial(two_arms(), "OR", link="probit")
    with pytest.raises(InputError, match="event_counts"):
        mx.BetaBinomial(mx.EffectSizes([0.1], [0.2]))
    with pytest.raises(CollinearError):
        mx.BetaBinomial(one_arm(), "PLO", np.ones(8))
    with pytest.raises(UnknownChoiceError, match="method"):
        mx.BetaBinomial(one_arm()).fit("REML")
    with pytest.raises(UnknownChoiceError, match="coefficient"):
        mx.BetaBinomial(one_arm()).fit().profile_intervals("x")
    with pytest.raises(InputError, match="moderators"):
        mx.BetaBinomial(one_arm(), "PLO", np.arange(8.0)).fit().risks()
    with pytest.raises(InputError, match="no restricted"):
        mx.BetaBinomial(one_arm()).fit().fit_statistics(restricted=True)


def test_missing_moderators_are_left_out_by_name():
    counts = one_arm().with_columns(dose=[1.0, 2, np.nan, 4, 5, 6, 7, 8])
    with pytest.raises(InputError, match="dose"):
        mx.BetaBinomial(counts, "PLO", "dose")
    with pytest.warns(mx.errors.RowsLeftOutWarning, match="dose"):
        fit = mx.BetaBinomial(counts, "PLO", "dose", missing="drop").fit()
    assert fit.k == 7


def test_sensitivity_refits_the_same_model():
    fit = mx.BetaBinomial(two_arms(), "RR").fit(test="t", level=0.9)
    every = mx.sensitivity.leave_one_out(fit).to_frame()
    alone = mx.BetaBinomial(two_arms(np.delete(EVENTS, 2, 0), np.delete(SIZES, 2, 0)), "RR").fit(
        "ML", "t", 0.9
    )
    assert every["estimate"].iloc[2] == pytest.approx(alone.estimate)
    assert fit.on(fit.counts, fit.design).estimate == fit.estimate


@pytest.mark.parametrize("moderators", [None, "g"])
def test_many_refits_at_once_are_those_one_by_one(moderators):
    fit = mx.BetaBinomial(two_arms().with_columns(g=["a", "b"] * 4), "OR", moderators).fit(test="t")
    sets = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1],
            [0, 2, 1, 1, 1, 1, 0, 2],
            [2, 0, 1, 0, 0, 0, 1, 0],
            [0, 1, 1, 0, 3, 1, 1, 1],
        ]
    )
    found = mx.sensitivity.refits(fit, sets)
    for i in (0, 1, 3):
        alone = mx.sensitivity.refit(fit, np.repeat(np.arange(8), sets[i]))
        assert found.beta[i] == pytest.approx(alone.beta, rel=1e-6)
        assert found.se[i] == pytest.approx(alone.se, rel=1e-6)
        assert found.tau2[i] == pytest.approx(alone.tau2, rel=1e-6)
        assert found.i2[i] == pytest.approx(alone.i2, rel=1e-6)
        assert found.q[i] == pytest.approx(alone.q.statistic, rel=1e-9)
    assert list(found.reasons) == [2]


# -- properties ---------------------------------------------------------------------------------------------


def test_sparse_data_sets_give_a_maximum_or_a_reason():
    """Each of 2,000 has a certified maximum, or an arm without any event, or with events in everyone."""
    rng = np.random.default_rng(15)
    size, k = 2000, 4
    n = np.maximum(rng.geometric(1 / 15, (size, 2 * k)), 1).astype(float)
    risk = rng.choice([0.01, 0.05, 0.3], (size, 1))
    y = rng.binomial(n.astype(int), rng.beta(risk * 5, (1 - risk) * 5, (size, 2 * k))).astype(float)
    arms = y.reshape(size, 2, k), n.reshape(size, 2, k)
    known = ~((arms[0] == 0).all(2) | (arms[0] == arms[1]).all(2)).any(1)
    assert known.sum() > 1000
    x = np.column_stack([np.repeat([1.0, 0.0], k), np.ones(2 * k)])[None]
    rows = Arms(y[known], n[known], x, np.ones((int(known.sum()), 2 * k)), "logit", False)
    found = maximise(rows)
    assert found.rise().max() < 1e-9
    inner = ~(found.at_zero | found.at_one)
    assert (np.linalg.eigvalsh(found.information[inner])[:, 0] > 0).all()
    assert (found.gradient[found.at_zero, -1] <= 0).all()
    assert (found.value >= found.binomial - 1e-9).all()
    for w in GRID[3::4]:  # nowhere on the grid is the likelihood higher with the same coefficients
        there = height(rows, found.beta, np.full(found.w.size, w)).value
        assert (there <= found.value + 1e-9).all()
