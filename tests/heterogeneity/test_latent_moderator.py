"""Unreported studies as a mixture of known levels: the maximum, the probabilities, and the refusals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import metaexo as mx
from metaexo import errors
from metaexo.heterogeneity import latent_moderator
from metaexo.numeric.mixture import Mixture, _climb, _improve, _starts

SHARES = ("pooled", "own", "equal")


def mixture_effects(k: int = 40, seed: int = 0, hide: float = 0.4, means=(0.0, 0.6, 1.5)) -> mx.EffectSizes:
    rng = np.random.default_rng(seed)
    level = rng.integers(0, len(means), k)
    v = rng.uniform(0.02, 0.1, k)
    y = rng.normal(np.array(means)[level], np.sqrt(0.05 + v))
    words = np.array([f"level {j}" for j in level], dtype=object)
    words[rng.random(k) < hide] = None
    return mx.EffectSizes(y, v, data=pd.DataFrame({"isolation": words}))


def log_likelihood(es: mx.EffectSizes, mu, tau2: float, share, counts) -> float:
    """Return the log-likelihood, written down once more."""
    sd = np.sqrt(es.v + tau2)
    words = es.data["isolation"]
    levels = sorted(words.dropna().unique())
    total = 0.0
    for y, s, word in zip(es.y, sd, words, strict=True):
        if isinstance(word, str):
            total += norm.logpdf(y, mu[levels.index(word)], s)
        else:
            total += math.log(sum(p * norm.pdf(y, m, s) for p, m in zip(share, mu, strict=True)))
    return total + float(np.asarray(counts) @ np.log(share)) if np.any(counts) else total


def counts_of(es: mx.EffectSizes, shares: str) -> np.ndarray:
    counts = es.data["isolation"].dropna().value_counts().sort_index().to_numpy(dtype=float)
    return counts if shares == "pooled" else np.zeros_like(counts)


@pytest.mark.parametrize("shares", SHARES)
def test_the_maximum_is_that_of_a_general_optimiser(shares: str) -> None:
    es = mixture_effects(seed=3)
    found = latent_moderator(es, "isolation", shares=shares)
    best, counts = found.maximum, counts_of(es, shares)
    j = len(found.levels)

    def parts(x):
        logits = np.append(x[j + 1 :], 0.0) if shares != "equal" else np.zeros(j)
        share = np.exp(logits - logits.max())
        return x[:j], math.exp(x[j]), share / share.sum()

    start = np.concatenate([best.mu + 0.1, [math.log(0.1)], [] if shares == "equal" else np.zeros(j - 1)])
    theirs = minimize(lambda x: -log_likelihood(es, *parts(x), counts), start, method="BFGS")
    mu, tau2, share = parts(theirs.x)
    assert best.value == pytest.approx(-theirs.fun, abs=1e-6)
    assert best.mu == pytest.approx(mu, abs=1e-3)
    assert best.tau2 == pytest.approx(tau2, abs=1e-3)
    assert best.share == pytest.approx(share, abs=3e-3)
    assert best.value == pytest.approx(log_likelihood(es, best.mu, best.tau2, best.share, counts), abs=1e-9)


def test_standard_errors_are_those_of_the_second_derivatives() -> None:
    es = mixture_effects(seed=3)
    found = latent_moderator(es, "isolation", shares="pooled")
    best, counts = found.maximum, counts_of(es, "pooled")

    def value(x) -> float:
        logits = np.append(x[4:], 0.0)
        share = np.exp(logits) / np.exp(logits).sum()
        return log_likelihood(es, x[:3], x[3], share, counts)

    at = np.concatenate([best.mu, [best.tau2], np.log(best.share[:2] / best.share[2])])
    h, n = 1e-4, len(at)
    hessian = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            steps = [(sa, sb) for sa in (-h, h) for sb in (-h, h)]
            values = [
                np.sign(sa * sb) * value(at + sa * np.eye(n)[a] + sb * np.eye(n)[b]) for sa, sb in steps
            ]
            hessian[a, b] = sum(values) / (4 * h * h)
    cov = np.linalg.inv(-hessian)
    assert np.sqrt(np.diagonal(best.cov)) == pytest.approx(np.sqrt(np.diagonal(cov)[:3]), rel=1e-3)
    assert best.tau2_se == pytest.approx(math.sqrt(cov[3, 3]), rel=1e-3)


def test_no_step_of_em_lowers_the_likelihood() -> None:
    es = mixture_effects(seed=5)
    words = es.data["isolation"]
    levels = sorted(words.dropna().unique())
    known = np.array([[float(word == name) for name in levels] for word in words])
    hidden = np.flatnonzero(~known.any(axis=1))
    unit = np.full(es.k, -1)
    unit[hidden] = np.arange(hidden.size)
    mixture = Mixture(es.y, es.v, known, unit, hidden.size, np.zeros(3))
    posterior = _starts(mixture, np.random.default_rng(0))
    tau2 = np.full(len(posterior), 1.0)
    before = np.full(len(posterior), -np.inf)
    for _ in range(60):
        mu, tau2 = _improve(mixture, mixture.weights(posterior), tau2)
        now, posterior_next = mixture.expect(mu, tau2, mixture.shares(posterior))
        assert (now >= before - 1e-10 * (1 + np.abs(now))).all()
        before, posterior = now, posterior_next
    assert _climb(mixture, posterior)[4]


def test_every_start_that_ends_elsewhere_ends_lower_and_is_counted() -> None:
    best = latent_moderator(mixture_effects(seed=3), "isolation").maximum
    assert best.monotone
    assert best.slope < 1e-5
    assert best.curvature > 0
    assert 1 <= best.agree <= best.starts


def test_clear_studies_are_told_and_count_as_if_they_had_reported() -> None:
    level = ["UC"] * 4 + ["SEC"] * 4 + [None] * 3
    y = [0.0, 0.1, -0.1, 0.05, 5.0, 5.2, 4.9, 5.1, 0.02, 5.05, 4.95]
    es = mx.EffectSizes(y, [0.02] * 11, data=pd.DataFrame({"isolation": level}))
    found = latent_moderator(es, "isolation")
    assert found.posterior()["likeliest"].tolist() == ["UC", "SEC", "SEC"]
    told = es.with_columns(isolation=[*level[:8], "UC", "SEC", "SEC"])
    fit = mx.RandomEffects(told, "0 + isolation").fit("ML", test="z")
    assert found.maximum.mu == pytest.approx(
        [fit.params["isolationSEC"], fit.params["isolationUC"]], abs=1e-9
    )
    assert found.tau2 == pytest.approx(fit.tau2, abs=1e-9)
    assert found.to_frame()["se"].to_numpy() == pytest.approx(fit.se, rel=1e-5)


def test_probabilities_add_up_and_follow_from_shares_and_densities() -> None:
    es = mixture_effects(seed=3)
    found = latent_moderator(es, "isolation")
    best = found.maximum
    hidden = es.data["isolation"].isna().to_numpy()
    density = norm.pdf(es.y[hidden, None], best.mu, np.sqrt(es.v[hidden] + best.tau2)[:, None])
    wanted = density * best.share
    assert best.posterior == pytest.approx(wanted / wanted.sum(axis=1, keepdims=True), abs=1e-9)
    assert found.evidence == pytest.approx(density / density.sum(axis=1, keepdims=True), abs=1e-9)
    assert best.share == pytest.approx(
        (best.posterior.sum(axis=0) + counts_of(es, "pooled")) / es.k, abs=1e-7
    )
    assert found.to_frame()["expected"].sum() == pytest.approx(hidden.sum())


def test_order_and_shift_of_the_effects_do_not_matter() -> None:
    es = mixture_effects(seed=3)
    found = latent_moderator(es, "isolation")
    order = np.random.default_rng(1).permutation(es.k)
    moved = mx.EffectSizes(es.y[order] + 3.0, es.v[order], data=es.data.iloc[order].reset_index(drop=True))
    again = latent_moderator(moved, "isolation", seed=4)
    assert again.maximum.mu - 3.0 == pytest.approx(found.maximum.mu, abs=1e-6)
    assert again.maximum.share == pytest.approx(found.maximum.share, abs=1e-6)


def test_all_effects_of_a_study_are_of_one_level() -> None:
    es = mixture_effects(seed=3)
    hidden = np.flatnonzero(es.data["isolation"].isna())
    study = [str(i) for i in range(es.k)]
    study[hidden[1]] = study[hidden[0]]
    twice = mx.EffectSizes(es.y, es.v, study=study, data=es.data)
    with pytest.warns(errors.DependentEffectsWarning, match="given their level"):
        found = latent_moderator(twice, "isolation")
    assert len(found.studies) == hidden.size - 1
    best = found.maximum
    pair = hidden[:2]
    density = norm.pdf(es.y[pair, None], best.mu, np.sqrt(es.v[pair] + best.tau2)[:, None]).prod(axis=0)
    wanted = density * best.share
    at = found.studies.index(study[hidden[0]])
    assert best.posterior[at] == pytest.approx(wanted / wanted.sum(), abs=1e-9)


def test_a_share_at_zero_has_no_interval_and_words_say_so() -> None:
    level = ["UC"] * 3 + ["SEC"] * 3 + [None] * 2
    y = [0.1, 0.3, 0.2, 1.6, 1.4, 1.5, 1.3, 0.9]
    found = latent_moderator(
        mx.EffectSizes(y, [0.05] * 8, data=pd.DataFrame({"isolation": level})), "isolation", shares="own"
    )
    assert found.maximum.share.tolist() == [1.0, 0.0]
    assert np.isnan(found.maximum.share_se).all()
    assert "no unreported study is taken to be of UC" in str(found)
    assert (found.evidence > 0).all(), "the evidence does not rest on the share"


def test_studies_of_no_known_level_are_suspected() -> None:
    level = ["UC"] * 4 + ["SEC"] * 4 + [None] * 4
    y = [0.0, 0.1, -0.1, 0.05, 1.0, 1.2, 0.9, 1.1, 3.0, 3.2, 2.9, 3.1]
    found = latent_moderator(
        mx.EffectSizes(y, [0.02] * 12, data=pd.DataFrame({"isolation": level})), "isolation"
    )
    assert "may be of no known level" in str(found)


def data(levels: list[str | None], y: list[float], v: float = 0.05) -> mx.EffectSizes:
    return mx.EffectSizes(y, [v] * len(y), data=pd.DataFrame({"isolation": levels}))


def test_levels_with_one_mean_are_refused_in_words() -> None:
    es = data(["UC"] * 4 + ["SEC"] * 4 + [None] * 2, [0.1, 0.5, 0.3, 0.2, 0.3, 0.2, 0.5, 0.1, 0.9, -0.4])
    with pytest.raises(errors.NotIdentifiableError, match="no unreported study's effects indicate its level"):
        latent_moderator(es, "isolation", shares="equal")


def test_levels_that_their_own_studies_do_not_tell_apart_are_noted() -> None:
    es = data(["UC"] * 3 + ["SEC"] * 3 + [None] * 2, [0.1, 0.9, 0.3, 0.6, 1.2, 0.5, 0.2, 1.0])
    assert "do not separate the levels themselves" in str(latent_moderator(es, "isolation"))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (["UC"] * 3 + ["SEC"] + [None] * 2, "one study alone reports SEC"),
        (["UC"] * 4 + [None] * 2, "1 level of isolation known"),
        ([None] * 6, "0 levels of isolation known"),
    ],
)
def test_too_few_labelled_studies_are_refused(levels: list[str | None], words: str) -> None:
    with pytest.raises(errors.TooFewStudiesError, match=words):
        latent_moderator(data(levels, [0.1, 0.2, 0.3, 1.0, 0.5, 0.9]), "isolation")


def test_two_effects_of_one_study_are_one_label() -> None:
    es = mx.EffectSizes(
        [0.1, 0.2, 1.0, 1.1, 0.5],
        [0.05] * 5,
        study=["a", "b", "c", "c", "d"],
        data=pd.DataFrame({"isolation": ["UC", "UC", "SEC", "SEC", None]}),
    )
    with pytest.raises(errors.TooFewStudiesError, match="one study alone reports SEC"):
        latent_moderator(es, "isolation")


def test_other_refusals_are_in_words() -> None:
    with pytest.raises(errors.InputError, match="every study reports isolation"):
        latent_moderator(data(["UC", "UC", "SEC", "SEC"], [0.1, 0.2, 1.0, 1.1]), "isolation")
    with pytest.raises(errors.UnknownChoiceError, match="pooled"):
        latent_moderator(data(["UC", "UC", "SEC", None], [0.1, 0.2, 1.0, 1.1]), "isolation", shares="pool")
    zero = mx.EffectSizes(
        [0.1, 0.2, 1.0, 1.1, 0.5],
        [0.1, 0.1, 0.0, 0.1, 0.1],
        data=pd.DataFrame({"isolation": ["UC", "UC", "SEC", "SEC", None]}),
    )
    with pytest.raises(errors.InputError, match="zero"):
        latent_moderator(zero, "isolation")


def test_strata_carry_the_mixture_or_the_reason_why_there_is_none() -> None:
    es = mixture_effects(seed=3)
    result = mx.stratify(es, by="isolation", unreported="mixture")
    assert result.latent.maximum.mu == pytest.approx(latent_moderator(es, "isolation").maximum.mu)
    assert not result.strata[-1].reported, "unreported studies stay a stratum of their own"
    assert "probability of each level" in str(result)
    assert mx.stratify(es, by="isolation").latent is None

    lone = data(["UC"] * 3 + ["SEC"] + [None] * 2, [0.1, 0.2, 0.3, 1.0, 0.5, 0.9])
    refused = mx.stratify(lone, by="isolation", unreported="mixture")
    assert refused.latent is None
    assert "one study alone reports SEC" in str(refused)
    whole = mx.stratify(data(["UC"] * 3 + ["SEC"] * 3, [0.1] * 6), by="isolation", unreported="mixture")
    assert "every study reports isolation" in whole.latent_note
    crossed = mx.stratify(
        es.with_columns(source=["plant"] * es.k), by=["source", "isolation"], unreported="mixture"
    )
    assert "for one factor" in crossed.latent_note
    with pytest.raises(errors.UnknownChoiceError, match="mixture"):
        mx.stratify(es, by="isolation", unreported="mixtur")
