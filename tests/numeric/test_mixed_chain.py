"""Nested and crossed random effects along a chain: the same numbers as block by block, and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from metaexo.numeric.mixed.block_factor import factorise_blocks
from metaexo.numeric.mixed.likelihood import evaluate, evaluate_blocks, generalised_fit, least_squares
from metaexo.numeric.mixed.maximum import MixedMaximum, maximise
from metaexo.numeric.mixed.problem import MixedProblem, NotPositiveDefinite
from metaexo.numeric.mixed.structures import Diagonal
from metaexo.numeric.mixed.terms import intercept_term

K = 60
RNG = np.random.default_rng(3)


def codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.intp)


LAB = codes(RNG.integers(0, 5, K))
STUDY = codes(LAB * 10 + RNG.integers(0, 4, K))
SAMPLE = codes(STUDY * 10 + RNG.integers(0, 3, K))
EFFECT = np.arange(K)
SOURCE, ISOLATION = codes(RNG.integers(0, 4, K)), codes(RNG.integers(0, 3, K))
V = RNG.uniform(0.1, 0.4, K)
X = np.column_stack([np.ones(K), RNG.normal(size=K)])
Y = RNG.normal(size=K)

NESTED = {
    "study/effect": [STUDY, EFFECT],
    "study": [STUDY],
    "effect": [EFFECT],
    "lab/study/sample/effect": [LAB, STUDY, SAMPLE, EFFECT],
    "sample before lab before study": [SAMPLE, LAB, STUDY],
}
CROSSED = {
    "study/effect, source": [STUDY, EFFECT, SOURCE],
    "study, source, isolation": [STUDY, SOURCE, ISOLATION],
    "source, study/effect, isolation": [SOURCE, STUDY, EFFECT, ISOLATION],
}
EVERY = NESTED | CROSSED


def problem(columns: list[np.ndarray], v: np.ndarray = V, y: np.ndarray = Y) -> MixedProblem:
    terms = tuple(intercept_term(c, int(c.max()) + 1, Diagonal(1, True)) for c in columns)
    return MixedProblem(y, X, sparse.csr_array(sparse.diags_array(v)), terms)


def point(n: int, first: float) -> np.ndarray:
    theta = np.linspace(0.4, 0.1, n)
    theta[0] = first
    return theta


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("first", [0.3, 0.0])
@pytest.mark.parametrize("name", EVERY)
def test_likelihood_and_gradient_are_those_of_blocks(name: str, first: float, restricted: bool) -> None:
    one, theta = problem(EVERY[name]), point(len(EVERY[name]), first)
    assert one.chain is not None
    chained, blocked = evaluate(one, theta, restricted), evaluate_blocks(one, theta, restricted)
    assert chained.llf == pytest.approx(blocked.llf, rel=1e-13)
    np.testing.assert_allclose(chained.gradient, blocked.gradient, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(chained.information, blocked.information, rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(chained.scores, blocked.scores, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("name", EVERY)
def test_second_derivatives_are_differences_of_the_first(name: str, restricted: bool) -> None:
    one, theta, h = problem(EVERY[name]), point(len(EVERY[name]), 0.3), 1e-5

    def slope(at: np.ndarray) -> np.ndarray:
        return evaluate(one, at, restricted).gradient

    slopes = [(slope(theta - h * d) - slope(theta + h * d)) / (2 * h) for d in np.eye(theta.size)]
    found = evaluate(one, theta, restricted).observed
    assert found is not None
    np.testing.assert_allclose(found(), slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_least_squares_and_levels_are_those_of_blocks(name: str) -> None:
    one = problem(EVERY[name])
    gs = one.matrices(point(len(EVERY[name]), 0.3))
    chained, blocked = generalised_fit(one, gs), least_squares(one, factorise_blocks(one, gs))
    np.testing.assert_allclose(chained.beta, blocked.beta, rtol=1e-11)
    np.testing.assert_allclose(chained.cov, blocked.cov, rtol=1e-11)
    np.testing.assert_allclose(chained.r, blocked.r, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(chained.factor.diagonal(), blocked.factor.diagonal(), rtol=1e-11)
    for j in range(len(one.terms)):
        np.testing.assert_allclose(
            chained.factor.level_blocks(j), blocked.factor.level_blocks(j), rtol=1e-10, atol=1e-13
        )


def test_the_nest_is_found_whatever_the_order_of_the_terms() -> None:
    chain = problem([LAB, EFFECT, SOURCE, SAMPLE, STUDY]).chain
    assert chain is not None
    assert chain.nest == (1, 3, 4, 0)
    assert chain.crossing == (2,)
    assert chain.single == 1
    without = problem([SAMPLE, LAB]).chain
    assert without is not None
    assert without.single is None


def test_other_covariances_go_block_by_block() -> None:
    one = problem([STUDY, EFFECT])
    v = one.v.tolil()
    v[0, 1] = v[1, 0] = 0.01
    assert MixedProblem(Y, X, sparse.csr_array(v), one.terms).chain is None
    assert problem([STUDY, EFFECT], np.where(EFFECT == 0, 0.0, V)).chain is None
    related = intercept_term(LAB, 5, Diagonal(1, True), np.full((5, 5), 0.5) + 0.5 * np.eye(5))
    assert MixedProblem(Y, X, one.v, (*one.terms, related)).chain is None


def test_values_without_sampling_variances() -> None:
    terms = problem([STUDY, EFFECT]).terms
    one = MixedProblem(Y, X, sparse.csr_array((K, K)), terms)
    theta = np.array([0.3, 0.5])
    assert one.chain is not None
    assert evaluate(one, theta, True).llf == pytest.approx(evaluate_blocks(one, theta, True).llf, rel=1e-13)
    with pytest.raises(NotPositiveDefinite):
        evaluate(one, np.array([0.3, 0.0]), True)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_precise_effects_of_a_study_lose_no_digits(scale: float) -> None:
    v = V * 1e-9
    v[::7] = 0.2
    one = problem([STUDY], v * scale, Y * np.sqrt(scale))
    theta = np.array([0.3 * scale])
    m = np.diag(one.v.diagonal()) + theta[0] * (STUDY[:, None] == STUDY)
    information = X.T @ np.linalg.solve(m, X)
    e = one.y - X @ np.linalg.solve(information, X.T @ np.linalg.solve(m, one.y))
    llf = -0.5 * (
        (K - 2) * np.log(2 * np.pi)
        + np.linalg.slogdet(m)[1]
        + np.linalg.slogdet(information)[1]
        - np.linalg.slogdet(X.T @ X)[1]
        + e @ np.linalg.solve(m, e)
    )
    assert evaluate(one, theta, True).llf == pytest.approx(llf, rel=1e-6)


def test_a_study_of_thousands_of_effects_takes_no_matrix() -> None:
    k = 30_000
    rng = np.random.default_rng(5)
    study = np.repeat([0, 1, 2, 3, 4, 5], k // 6)
    terms = tuple(intercept_term(c, int(c.max()) + 1, Diagonal(1, True)) for c in (study, np.arange(k)))
    y = rng.normal(size=6)[study] + rng.normal(size=k)
    v = sparse.csr_array(sparse.diags_array(rng.uniform(0.1, 0.3, k)))
    found = maximise(MixedProblem(y, np.ones((k, 1)), v, terms), True)
    assert isinstance(found, MixedMaximum)
    assert found.certified
    assert found.agreeing == found.starts
    assert found.steps < 40
