"""Bayesian limits against conjugate posteriors of scipy and a dense grid of the same model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import metaexo as mx
from metaexo.errors import InputError, MissingInputError, NotIdentifiableError

room = mx.safety
X, N = np.array([0, 4, 0, 0, 1]), np.array([12, 18, 30, 10, 25])
SILENT = mx.event_counts(events=[0, 0, 0, 0], n=[12, 8, 30, 10])
SOME = mx.event_counts(events=X, n=N)


@pytest.mark.parametrize(
    ("prior", "a", "b", "more"),
    [
        ("jeffreys", 0.5, 0.5, {}),
        ("uniform", 1, 1, {}),
        ("haldane", 0, 0, {}),
        ("conjugate", 0.4, 19.6, {"prior_mean": 0.02, "prior_size": 20}),
    ],
)
def test_a_common_risk_has_the_conjugate_posterior(prior, a, b, more):
    found = room.bayesian_limit(SOME, prior, **more)
    wanted = stats.beta(a + 5, b + 90)
    assert found.value == pytest.approx(wanted.ppf(0.95), rel=1e-11)
    assert found.new_study == found.value
    assert (found.median, found.mean) == pytest.approx((wanted.median(), wanted.mean()), rel=1e-11)
    assert found.probability_below(0.05) == pytest.approx(wanted.cdf(0.05), rel=1e-11)
    both = room.bayesian_limit(SOME, prior, sides=2, level=0.9, **more)
    assert (both.low, both.value) == pytest.approx(wanted.interval(0.9), rel=1e-11)
    assert f"Beta({a:g}, {b:g})" in found.sentence


def test_a_common_rate_has_the_conjugate_posterior():
    counts = mx.event_counts(events=[0, 2], time=[3.0, 8.0])
    found = room.bayesian_limit(counts)
    assert found.value == pytest.approx(stats.gamma.ppf(0.95, 2.5, scale=1 / 11), rel=1e-11)
    found = room.bayesian_limit(counts, "conjugate", prior_mean=0.1, prior_size=5)
    assert found.value == pytest.approx(stats.gamma.ppf(0.95, 2.5, scale=1 / 16), rel=1e-11)
    made = room.predict_count(found, 4.0)
    np.testing.assert_allclose(
        made.probabilities, stats.nbinom.pmf(np.arange(made.probabilities.size), 2.5, 16 / 20), rtol=1e-9
    )


def dense(x, n, h, log_prior_h):
    """Return the posterior of logits and correlations on a grid: the logits, their weights, the mixture."""
    t = np.linspace(-45, 8, 1601)
    p, q = special.expit(t)[:, None], special.expit(-t)[:, None]
    rest = (1 - h) / h
    logs = 0.5 * np.log(p) + 0.5 * np.log(q) + log_prior_h
    for a, b in zip(x, n, strict=True):
        logs = logs + special.betaln(a + p * rest, b - a + q * rest) - special.betaln(p * rest, q * rest)
    return t, special.softmax(logs)


@pytest.mark.parametrize("counts", [SILENT, SOME], ids=["no event", "events"])
def test_a_hierarchical_posterior_is_that_of_a_dense_grid(counts):
    """Jeffreys' prior of the mean, a half-normal prior with scale 0.2 of the correlation."""
    h = (np.arange(160) + 0.5) / 160
    t, weights = dense(counts.events[:, 0], counts.totals[:, 0], h, -(h**2) / 0.08)
    found = room.bayesian_limit(counts, heterogeneity_prior="half-normal", prior_scale=0.2)
    along, ends = np.cumsum(weights.sum(axis=1)), t + (t[1] - t[0]) / 2
    assert found.value == pytest.approx(special.expit(np.interp(0.95, along, ends)), rel=0.0005)
    assert found.median == pytest.approx(special.expit(np.interp(0.5, along, ends)), rel=0.0005)
    assert found.mean == pytest.approx(float(special.expit(t) @ weights.sum(axis=1)), rel=0.0005)
    assert found.probability_below(found.value) == pytest.approx(0.95, abs=1e-9)
    across = np.cumsum(weights.sum(axis=0))
    assert found.heterogeneity == pytest.approx(np.interp(0.5, across, h + 1 / 320), abs=0.0005)
    assert found.heterogeneity_high == pytest.approx(np.interp(0.975, across, h + 1 / 320), abs=0.0005)
    rest = (1 - h) / h
    p, q = special.expit(t)[::8, None], special.expit(-t)[::8, None]
    some = weights[::8] / weights[::8].sum()
    below = (special.betainc(p * rest, q * rest, found.new_study) * some).sum()
    assert below == pytest.approx(0.95, abs=0.0005)
    none = (np.exp(special.betaln(p * rest, 40 + q * rest) - special.betaln(p * rest, q * rest)) * some).sum()
    made = room.predict_count(found, 40)
    assert made.any_event == pytest.approx(1 - none, abs=0.001)
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-9)


def test_a_stated_heterogeneity_meets_the_common_risk():
    exact = room.bayesian_limit(SILENT)
    for h in (1e-9, 1e-5):
        near = room.bayesian_limit(SILENT, heterogeneity=h)
        assert near.value == pytest.approx(exact.value, rel=2e-4)
        assert near.median == pytest.approx(exact.median, rel=2e-4)
        assert near.new_study == pytest.approx(exact.new_study, rel=2e-3)
    more = room.bayesian_limit(SILENT, heterogeneity=0.1)
    assert more.new_study > more.value > exact.value
    all_or_none = room.bayesian_limit(SILENT, heterogeneity=1.0)  # four studies of one
    assert all_or_none.value == pytest.approx(stats.beta.ppf(0.95, 0.5, 4.5), rel=1e-8)


def test_rates_that_vary_by_a_dense_grid():
    counts = mx.event_counts(events=[0, 3, 1], time=[4.0, 9.0, 7.0])
    found = room.bayesian_limit(counts, "conjugate", prior_mean=0.2, prior_size=5, heterogeneity=0.7)
    t, shape = np.linspace(-30, 4, 20001), 1 / 0.49
    logs = t - 5 * np.exp(t)
    for x, time in zip([0, 3, 1], [4.0, 9.0, 7.0], strict=True):
        logs = logs + stats.nbinom.logpmf(x, shape, shape / (shape + np.exp(t) * time))
    along = np.cumsum(special.softmax(logs))
    assert found.value == pytest.approx(np.exp(np.interp(0.95, along, t + (t[1] - t[0]) / 2)), rel=1e-4)
    below = stats.gamma.cdf(found.new_study, shape, scale=np.exp(t) / shape) @ special.softmax(logs)
    assert below == pytest.approx(0.95, abs=1e-5)


def test_the_interval_of_the_next_count_holds_its_probability():
    made = room.predict_count(room.bayesian_limit(SOME), 60, level=0.9)
    assert made.probabilities[made.low : made.high + 1].sum() >= 0.9
    assert made.probabilities[: made.low].sum() <= 0.05
    assert made.probabilities[made.high + 1 :].sum() <= 0.05
    wanted = stats.betabinom.pmf(np.arange(made.probabilities.size), 60, 5.5, 90.5)
    np.testing.assert_allclose(made.probabilities, wanted, rtol=1e-9)
    assert made.expected == pytest.approx(60 * 5.5 / 96)
    assert made.to_frame()["at_least"].iloc[0] == pytest.approx(1)


def test_what_is_improper_or_unsaid_is_refused():
    with pytest.raises(NotIdentifiableError, match="improper"):
        room.bayesian_limit(SILENT, "haldane")
    with pytest.raises(NotIdentifiableError, match="improper"):
        room.bayesian_limit(mx.event_counts(events=[3], n=[3]), "haldane")
    with pytest.raises(NotIdentifiableError, match="conjugate"):
        room.bayesian_limit(
            mx.event_counts(events=[0, 2], time=[3.0, 8.0]),
            heterogeneity_prior="half-normal",
            prior_scale=1.0,
        )
    with pytest.raises(MissingInputError, match="prior_mean"):
        room.bayesian_limit(SILENT, "conjugate")
    with pytest.raises(InputError, match="leave them out"):
        room.bayesian_limit(SILENT, prior_mean=0.1, prior_size=10)
    with pytest.raises(MissingInputError, match="prior_scale"):
        room.bayesian_limit(SILENT, heterogeneity_prior="half-normal")
    with pytest.raises(InputError, match="one of them"):
        room.bayesian_limit(SILENT, heterogeneity=0.1, heterogeneity_prior="uniform", prior_scale=0.5)
    with pytest.raises(InputError, match="some events"):
        room.bayesian_limit(SOME, heterogeneity=1.0)


def test_a_million_people_next(monkeypatch):
    """In closed form for a common risk; refused where sums over nodes and counts would not end."""
    made = room.predict_count(room.bayesian_limit(SOME), 10**6)
    wanted = stats.beta(5.5, 90.5)
    assert made.high / 10**6 == pytest.approx(wanted.ppf(0.975), rel=1e-3)
    assert made.expected == pytest.approx(10**6 * wanted.mean())
    assert made.probabilities.sum() == pytest.approx(1, abs=1e-8)
    monkeypatch.setattr("metaexo.numeric.risk_posterior.MOST_WORK", 100_000)
    with pytest.raises(InputError, match="too many may have an event"):
        room.predict_count(room.bayesian_limit(SOME, heterogeneity=0.2), 10**6)
