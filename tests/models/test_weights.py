"""Weights of the user's own, and estimators that share a root or a formula."""

from __future__ import annotations

import numpy as np
import pytest

import metaexo as mx
from metaexo import errors
from metaexo.numeric.estimators import ESTIMATORS

Y = np.array([0.2, 0.9, -0.4, 1.3, 0.6, 0.1, -0.2, 1.1])
V = np.array([0.02, 0.05, 0.03, 0.04, 0.06, 0.02, 0.09, 0.05])
N = np.array([40.0, 25, 60, 30, 22, 51, 18, 33])
DOSE = np.array([1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 1.0, 4.0])
ES = mx.EffectSizes(Y, V)


@pytest.mark.parametrize("moderators", [None, DOSE])
@pytest.mark.parametrize("method", ["REML", "GENQ", "GENQM"])
def test_coefficients_and_covariance_are_those_of_the_sandwich(
    moderators: np.ndarray | None, method: str
) -> None:
    fit = mx.RandomEffects(ES, moderators, weights=N).fit(method, "z")
    x = fit.design.matrix(8)
    bread = np.linalg.inv((x.T * N) @ x) @ (x.T * N)
    np.testing.assert_allclose(fit.beta, bread @ Y, rtol=1e-12)
    np.testing.assert_allclose(fit.cov, bread @ np.diag(V + fit.tau2) @ bread.T, rtol=1e-11)


def test_equal_weights_give_the_plain_mean() -> None:
    fit = mx.RandomEffects(ES, weights="equal").fit(test="z")
    assert fit.estimate == pytest.approx(Y.mean())
    assert fit.se[0] == pytest.approx(np.sqrt((V + fit.tau2).sum()) / 8)
    np.testing.assert_allclose(fit.weights, 1 / 8)


def test_the_best_weights_of_ones_own_change_nothing() -> None:
    plain = mx.RandomEffects(ES).fit()
    same = mx.RandomEffects(ES, weights=1 / (V + plain.tau2)).fit()
    assert same.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert same.se[0] == pytest.approx(plain.se[0], rel=1e-12)
    assert same.llf == pytest.approx(plain.llf, rel=1e-12)


def test_other_weights_cost_precision_and_likelihood() -> None:
    plain = mx.RandomEffects(ES).fit(test="z")
    own = mx.RandomEffects(ES, weights=N).fit(test="z")
    assert own.se[0] > plain.se[0]
    assert own.llf < plain.llf


def test_generalised_q_contains_the_other_moment_estimators() -> None:
    for weights, method in ((1 / V, "DL"), ("equal", "HE")):
        own = mx.RandomEffects(ES, weights=weights).fit("GENQ", "z")
        other = mx.RandomEffects(ES).fit(method, "z")
        assert own.tau2 == pytest.approx(other.tau2, rel=1e-12)
        assert own.tau2_se == pytest.approx(other.tau2_se, rel=1e-12)


def test_estimators_that_are_other_ways_to_one_root_agree() -> None:
    one = {method: mx.RandomEffects(ES).fit(method).tau2 for method in ("PM", "EB", "DLIT", "SJIT")}
    assert len(set(one.values())) == 1


@pytest.mark.parametrize("method", sorted(ESTIMATORS))
def test_every_estimator_fits_with_and_without_moderators(method: str) -> None:
    for moderators in (None, DOSE):
        fit = mx.RandomEffects(ES, moderators, weights=N).fit(method)
        assert fit.tau2 >= 0
        assert np.isfinite(fit.beta).all()
        assert (fit.tau2_se is None) == (method == "EE")
        assert fit.certificate.proved


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mx.RandomEffects(ES).fit("GENQ"), "weights"),
        (lambda: mx.RandomEffects(ES, weights=N[:-1]), "one weight for each effect"),
        (lambda: mx.RandomEffects(ES, weights=np.where(N > 50, 0, N)), "input:3"),
        (lambda: mx.RandomEffects(ES, weights="equel"), "equal"),
        (lambda: mx.RandomEffects(ES).fit(test="z", df=4), "test"),
        (lambda: mx.RandomEffects(ES).fit(test="t", df=0), "above 0"),
    ],
)
def test_what_is_missing_is_named(call: object, words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        call()
