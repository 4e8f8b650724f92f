"""Tests of equal between-study variances, by definition with full matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import metaexo as mx
from metaexo import errors
from metaexo.models.univariate.heterogeneity import highest_likelihood

RNG = np.random.default_rng(4)
K = 9
Y, V, DOSE = RNG.normal(0.4, 0.6, K), RNG.uniform(0.02, 0.3, K), RNG.uniform(size=K)
ES = mx.EffectSizes(Y, V)


def restricted(tau2: np.ndarray, x: np.ndarray) -> float:
    s = V + tau2
    w = np.diag(1 / s)
    information = x.T @ w @ x
    b = np.linalg.solve(information, x.T @ w @ Y)
    e = Y - x @ b
    return -0.5 * (np.log(s).sum() + np.linalg.slogdet(information)[1] + e @ w @ e)


@pytest.mark.parametrize("moderators", [None, DOSE])
def test_the_restricted_score_test(moderators) -> None:
    fit = mx.RandomEffects(ES, moderators).fit()
    x = fit.design.matrix(K)
    at = np.full(K, fit.tau2)
    step = 1e-6 * np.eye(K)
    score = np.array([(restricted(at + h, x) - restricted(at - h, x)) / 2e-6 for h in step])
    w = np.diag(1 / (V + fit.tau2))
    p = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
    found = fit.heteroscedasticity_test()
    assert found.statistic == pytest.approx(score @ np.linalg.solve(0.5 * p**2, score), rel=1e-5)
    assert found.df == (K - 1,)
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.statistic, K - 1), rel=1e-10)


def test_the_plain_score_test() -> None:
    fit = mx.RandomEffects(ES).fit(method="ML")
    w = 1 / (V + fit.tau2)
    e = Y - fit.estimate
    score, information = 0.5 * (w**2 * e**2 - w), 0.5 * w**2
    assert fit.heteroscedasticity_test().statistic == pytest.approx((score**2 / information).sum(), rel=1e-9)


def test_the_likelihood_ratio_test_reaches_the_highest_likelihood() -> None:
    fit = mx.RandomEffects(ES).fit(method="ML")

    def minus(parameters: np.ndarray) -> float:
        s = V + parameters[1:] ** 2
        return 0.5 * (K * np.log(2 * np.pi) + np.log(s).sum() + ((Y - parameters[0]) ** 2 / s).sum())

    rng = np.random.default_rng(8)
    starts = np.column_stack([rng.uniform(Y.min(), Y.max(), 60), rng.uniform(0.05, 1, (60, K))])
    best = max(-optimize.minimize(minus, start, method="BFGS").fun for start in starts)
    ours = highest_likelihood(Y, V)
    assert ours >= best - 1e-9
    assert ours == pytest.approx(best, rel=1e-6)
    found = fit.heteroscedasticity_test("likelihood-ratio")
    assert found.statistic == pytest.approx(2 * (ours - fit.llf), rel=1e-9)


def test_units_and_shift_do_not_matter() -> None:
    for method, kind in (("REML", "score"), ("ML", "score"), ("ML", "likelihood-ratio")):
        plain = mx.RandomEffects(ES).fit(method=method).heteroscedasticity_test(kind).statistic
        moved = mx.RandomEffects(mx.EffectSizes(5 + 1e-4 * Y, 1e-8 * V)).fit(method=method)
        assert moved.heteroscedasticity_test(kind).statistic == pytest.approx(plain, rel=1e-6)


def test_equal_effects_leave_nothing_to_gain() -> None:
    same = mx.RandomEffects(mx.EffectSizes([0.3] * 4, [0.1, 0.2, 0.1, 0.3])).fit(method="ML")
    assert same.heteroscedasticity_test("likelihood-ratio").statistic == pytest.approx(0, abs=1e-12)


def test_two_effects_tell_nothing_of_two_variances() -> None:
    found = mx.RandomEffects(mx.EffectSizes([0.1, 0.9], [0.1, 0.2])).fit().heteroscedasticity_test()
    assert np.isnan(found.pvalue)
    assert "not testable" in found.null


def test_refusals() -> None:
    with pytest.raises(errors.UnknownChoiceError, match="score"):
        mx.RandomEffects(ES).fit().heteroscedasticity_test("wald")
    with pytest.raises(errors.InputError, match="ML"):
        mx.RandomEffects(ES).fit(method="DL").heteroscedasticity_test()
    with pytest.raises(errors.InputError, match='kind="score"'):
        mx.RandomEffects(ES, DOSE).fit(method="ML").heteroscedasticity_test("likelihood-ratio")
