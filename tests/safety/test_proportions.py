"""Pooled proportions side by side, the range of study risks, and the count of the next study from fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

import metaexo as mx
from metaexo.errors import InputError

room = mx.safety
COUNTS = mx.event_counts(events=[0, 4, 0, 0, 1, 6], n=[12, 18, 300, 10, 25, 20])
FOUND = room.compare_proportions(COUNTS)


def row(found, name):
    i = found.names.index(name)
    return found.estimate[i], found.low[i], found.high[i]


def test_each_row_is_the_fit_that_it_names():
    ends = stats.binomtest(11, 385).proportion_ci(0.95, "exact")
    assert row(FOUND, "sum of events") == pytest.approx((11 / 385, ends.low, ends.high), rel=1e-9)
    pooled = mx.CountGLMM(COUNTS, "PLO").fit().pooled()
    wanted = special.expit([pooled.estimate, pooled.low, pooled.high])
    assert row(FOUND, "mixed model") == pytest.approx(wanted, rel=1e-9)
    risks = mx.BetaBinomial(COUNTS, "PLO").fit().risks().iloc[0]
    assert row(FOUND, "beta-binomial") == pytest.approx(risks[["estimate", "low", "high"]], rel=1e-9)
    for name, code, back in (
        ("logit, 1/2 added", "PLO", special.expit),
        ("arcsine", "PAS", lambda y: np.sin(np.maximum(y, 0)) ** 2),
    ):
        pooled = mx.RandomEffects(COUNTS.effect_sizes(code)).fit(test="z").pooled()
        wanted = back(np.array([pooled.estimate, pooled.low, pooled.high]))
        assert row(FOUND, name) == pytest.approx(wanted, rel=1e-9)


def test_the_mean_of_a_mixed_model_is_the_mean_of_study_risks():
    fit = mx.CountGLMM(COUNTS, "PLO").fit()
    theta = fit.pooled().estimate
    wanted = integrate.fixed_quad(
        lambda z: stats.norm.pdf(z) * special.expit(theta + fit.tau * z), -12, 12, n=200
    )[0]
    assert row(FOUND, "mixed model, mean")[0] == pytest.approx(wanted, rel=1e-9)
    assert FOUND.range_high[2] == pytest.approx(special.expit(theta + stats.norm.ppf(0.975) * fit.tau))


def test_the_double_arcsine_goes_back_by_any_size():
    """Schwarzer et al. (2019): one mean is another proportion with another study size; both are named."""
    fit = mx.RandomEffects(COUNTS.effect_sizes("PFT")).fit(test="z")
    sizes = COUNTS.totals[:, 0]

    def back(n):
        t = 2 * fit.pooled().estimate
        inner = math.sin(t) + (math.sin(t) - 1 / math.sin(t)) / n
        return (1 - math.copysign(math.sqrt(1 - inner**2), math.cos(t))) / 2

    assert row(FOUND, "double arcsine")[0] == pytest.approx(back(6 / (1 / sizes).sum()), rel=1e-9)
    fault = FOUND.faults[FOUND.names.index("double arcsine")]
    assert f"{100 * back(10):.2f}% for the smallest" in fault
    assert f"{100 * back(300):.2f}% for the largest" in fault


def test_without_any_event_models_say_so_and_faults_show():
    found = room.compare_proportions(mx.event_counts(events=[0, 0, 0], n=[10, 12, 200]))
    assert np.isnan(row(found, "mixed model")[0])
    assert "no row has an event" in found.faults[1]
    assert row(found, "sum of events") == pytest.approx((0, 0, 1 - 0.025 ** (1 / 222)))
    assert row(found, "double arcsine")[2] < 0.001  # the interval of the fault
    assert "the exact one at 1.65%" in found.faults[5]
    assert "study sizes alone" in found.faults[4]
    assert "nan" not in found.sentence
    with pytest.raises(InputError, match="IRLN"):
        room.compare_proportions(mx.event_counts(events=[1, 2], time=[3.0, 4.0]))


def test_heterogeneity_as_a_range_of_risks():
    fit = mx.CountGLMM(COUNTS, "PLO").fit()
    found = room.risk_range(fit, share=0.8)
    theta, z = fit.pooled().estimate, stats.norm.ppf(0.9)
    wanted = special.expit([theta - z * fit.tau, theta, theta + z * fit.tau])
    assert (found.low, found.middle, found.high) == pytest.approx(wanted, rel=1e-9)
    beta = mx.BetaBinomial(COUNTS, "PLO").fit()
    mean, rest = special.expit(beta.pooled().estimate), (1 - beta.rho) / beta.rho
    found = room.risk_range(beta)
    wanted = stats.beta.ppf([0.025, 0.5, 0.975], mean * rest, (1 - mean) * rest)
    assert (found.low, found.middle, found.high) == pytest.approx(wanted, rel=1e-8)
    assert room.risk_range(mx.CountGLMM(COUNTS, "PLO").fit("EE")).low == pytest.approx(
        room.risk_range(mx.CountGLMM(COUNTS, "PLO").fit("EE")).high
    )


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_the_next_count_of_a_mixed_model_by_simulation(link):
    """Draws of the mean, of a study around it, and of its count."""
    fit = mx.CountGLMM(COUNTS, "PLO", link=link).fit()
    made = room.predict_count(fit, 40)
    pooled, draws = fit.pooled(), 200_000
    rng = np.random.default_rng(11)
    eta = rng.normal(pooled.estimate, pooled.se, draws) + rng.normal(0, fit.tau, draws)
    back = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda y: -np.expm1(-np.exp(y))}[link]
    counts = rng.binomial(40, back(eta))
    for x in (0, 1, 5):
        p = made.probabilities[x]
        assert (counts == x).mean() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / draws))
    assert counts.mean() == pytest.approx(made.expected, abs=4 * counts.std() / math.sqrt(draws))
    assert made.cautions()


def test_the_next_count_of_models_with_beta_and_gamma_risks():
    fit = mx.BetaBinomial(COUNTS, "PLO").fit()
    made = room.predict_count(fit, 40)
    z, w = np.polynomial.hermite_e.hermegauss(60)
    means = special.expit(fit.pooled().estimate + fit.pooled().se * z)
    rest = (1 - fit.rho) / fit.rho
    wanted = [stats.betabinom.pmf(x, 40, means * rest, (1 - means) * rest) @ w / w.sum() for x in range(4)]
    assert made.probabilities[:4] == pytest.approx(wanted, rel=1e-6)
    times = mx.event_counts(events=[0, 4, 0, 1], time=[12, 18, 30, 10])
    rates = mx.BetaBinomial(times).fit()
    made = room.predict_count(rates, 15.0)
    means, shape = np.exp(rates.pooled().estimate + rates.pooled().se * z), 1 / rates.cv2
    wanted = [stats.nbinom.pmf(x, shape, shape / (shape + 15 * means)) @ w / w.sum() for x in range(4)]
    assert made.probabilities[:4] == pytest.approx(wanted, rel=1e-6)
    assert made.person_time


def test_predictions_from_two_arms_are_refused():
    counts = mx.event_counts(
        treatment_events=[1, 3], treatment_n=[10, 12], control_events=[2, 2], control_n=[10, 11]
    )
    with pytest.raises(InputError, match="arm"):
        room.predict_count(counts, 10)
    with pytest.raises(InputError, match="one arm"):
        room.predict_count(mx.BetaBinomial(counts).fit(), 10)
    with pytest.raises(InputError, match="BetaBinomial"):
        room.predict_count(mx.MantelHaenszel(counts, measure="OR").fit(), 10)
